"""Slots of a decoder: which row's sequences are where, which rows are drawn together, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.stages.progress import always_wanted
from bark_infinity.stages.slots import Slots

CPU = torch.device("cpu")


class Row:
    """A row of `n_tokens` tokens, each the row's number. Sequence k of row r has the prefix (r, k)."""

    use_kv_caching = True

    def __init__(self, number: int, n_tokens: int, n_sequences: int = 1, draws_like: str = ""):
        self.number, self.n_tokens, self.n_sequences, self.draws_like = number, n_tokens, n_sequences, draws_like
        self.next_token = number
        self.is_wanted = always_wanted
        self.taken = 0

    @property
    def done(self) -> bool:
        return self.taken == self.n_tokens

    def prefix(self, sequence: int) -> torch.Tensor:
        return torch.tensor([[self.number, sequence]])


class Decoder:
    """A decoder whose hidden states are the prefix of each slot and the sum of the tokens that it has read."""

    def __init__(self) -> None:
        self.prefixes: list[list[int]] = []
        self.sums: list[int] = []
        self.most = 0

    def prefill(self, slots: Sequence[int], prefixes: Sequence[torch.Tensor]) -> None:
        for slot, prefix in zip(slots, prefixes, strict=True):
            assert slot <= len(self.prefixes)
            self.prefixes[slot : slot + 1], self.sums[slot : slot + 1] = [prefix[0].tolist()], [0]
        self.most = max(self.most, len(self.prefixes))

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.sums = [own + int(token) for own, token in zip(self.sums, tokens, strict=True)]
        return torch.tensor([[*prefix, own] for prefix, own in zip(self.prefixes, self.sums, strict=True)])

    def keep(self, alive: Sequence[int]) -> list[int]:
        order = list(reversed(alive))  # any order is allowed
        self.prefixes, self.sums = [self.prefixes[k] for k in order], [self.sums[k] for k in order]
        return order


rows_of_batches = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 3), st.sampled_from("abc")), min_size=1, max_size=12
)


@settings(max_examples=100, deadline=None)
@given(rows_of_batches, st.integers(1, 5))
def test_every_sequence_reads_its_rows_tokens_and_groups_find_their_own(details, n_rows):
    rows = [Row(number, *own) for number, own in enumerate(details, 1)]
    decoder = Decoder()
    slots = Slots(decoder, rows, n_rows, CPU)
    while slots.active:
        assert len(slots.active) <= n_rows
        hidden = slots.step(slots.next_tokens())
        for group in slots.groups:
            assert len({(row.draws_like, row.n_sequences) for row in group.rows}) == 1
            for k in range(group.rows[0].n_sequences):
                expected = [[row.number, k, row.number * (row.taken + 1)] for row in group.rows]
                assert group.of(hidden, k).tolist() == expected
        numbers = [torch.tensor([row.number for row in group.rows]) for group in slots.groups]
        assert slots.join(numbers).tolist() == [row.number for row in slots.active]
        for row in slots.active:
            row.taken += 1
        slots.release()
    assert all(row.done for row in rows) and decoder.prefixes == []
    assert decoder.most <= sum(sorted((row.n_sequences for row in rows), reverse=True)[:n_rows])


def test_nothing_is_selected_or_reordered_where_all_rows_are_alike():
    slots = Slots(Decoder(), [Row(k, 2) for k in range(5)], 3, CPU)
    (group,) = slots.groups
    values = torch.arange(3)
    assert group.of(values) is values and slots.join([values]) is values and group.rows == slots.active


def test_prefill_reads_the_prefixes_of_the_chosen_rows_again():
    decoder = Decoder()
    slots = Slots(decoder, [Row(k, 9, n_sequences=2) for k in range(3)], 3, CPU)
    slots.step(torch.tensor([5, 6, 7]))
    slots.prefill([slots.active[1]])
    assert decoder.sums == [5, 5, 0, 0, 7, 7]
