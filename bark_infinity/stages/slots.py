"""Continuous batching: finished rows leave a decoder's slots, and waiting rows take their places.

A row has one sequence in the decoder or several, which read the same tokens after different prefixes: the text, and the
negative text. Rows with different settings are active side by side, and those with equal ones are drawn together.

Shapes: B active rows, b rows of a group, S sequences of the active rows, T positions of a prefix, C width.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

import torch

from ..model.decoding import Decoder, keep_decoder, make_decoder
from ..model.gpt import CausalGPT
from .progress import Wanted


class RowState(Protocol):
    """A row of the batch, with the tokens generated for it so far. Rows are compared by identity."""

    @property
    def use_kv_caching(self) -> bool:
        """False for a row whose sequences are computed anew in each step."""

    @property
    def n_sequences(self) -> int:
        """The number of its sequences in the decoder."""

    @property
    def draws_like(self) -> Hashable:
        """Equal for rows whose tokens are drawn with equal settings."""

    @property
    def done(self) -> bool:
        """Whether the row is finished."""

    @property
    def next_token(self) -> int:
        """The token that the model reads next."""

    @property
    def is_wanted(self) -> Wanted:
        """Tells whether anybody waits for its tokens."""

    def prefix(self, sequence: int) -> torch.Tensor:
        """Token embeddings (T, C) of everything that sequence number `sequence` reads before `next_token`."""


R = TypeVar("R", bound=RowState)


def batches(model: CausalGPT, rows: Sequence[R], length: int, max_active: int | None) -> Iterator[Slots[R]]:
    """Yield the batches that these rows form, each to be run to its end before the next one is taken.

    Up to `max_active` rows (None: all) of up to `length` positions are active at a time. Rows without a KV cache, the slow
    check of those with one, form a batch of their own, because a decoder either has a cache or not. All others share one.
    """
    for cached in (True, False):
        own = [row for row in rows if row.use_kv_caching is cached]
        if own:
            n_rows = min(max_active or len(own), len(own))
            n_sequences = sum(sorted((row.n_sequences for row in own), reverse=True)[:n_rows])  # at most at a time
            decoder = make_decoder(model, n_sequences, length, cached)
            yield Slots(decoder, own, n_rows, model.device)
            keep_decoder(model, decoder)


class Group(Generic[R]):
    """Active rows that are drawn with equal settings."""

    def __init__(self, rows: list[R], slots: Sequence[Sequence[int]], n_slots: int, device: torch.device):
        """`slots`: for each of a row's sequences, the slots of these rows; `n_slots`: of the whole decoder."""
        self.rows = rows
        self._indexes = [_index(own, n_slots, device) for own in slots]

    def of(self, values: torch.Tensor, sequence: int = 0) -> torch.Tensor:
        """The values (b, ...) of these rows' sequences with this number, among those of all sequences (S, ...)."""
        index = self._indexes[sequence]
        return values if index is None else values[index]


class Slots(Generic[R]):
    """The active rows of a batch, side by side in one decoder.

    The rows are arranged anew only when some of them finish. As long as all are drawn alike and have one sequence each,
    nothing is selected or reordered in a step.
    """

    def __init__(self, decoder: Decoder, rows: Iterable[R], n_rows: int, device: torch.device):
        """The first `n_rows` rows become active at once, and the others wait for finished ones."""
        self._decoder, self._device = decoder, device
        self._waiting: Iterator[R] = (row for row in rows if row.is_wanted())
        self._sequences: list[tuple[R, int]] = []  # in each slot: a row, and which of its sequences
        self.active: list[R] = []
        self.groups: list[Group[R]] = []  # the active rows, by how they are drawn
        self._admit(n_rows, free=[])

    def next_tokens(self) -> torch.Tensor:
        """The tokens that the active rows read next, (B,)."""
        return torch.tensor([row.next_token for row in self.active], device=self._device)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Hidden states (S, C) of all sequences after the active rows' tokens (B,)."""
        return self._decoder.step(tokens if self._row_of_slot is None else tokens[self._row_of_slot])

    def join(self, of_groups: Sequence[torch.Tensor]) -> torch.Tensor:
        """The values (B,) of the active rows, in their order, from those of each group (b,)."""
        joined = (of_groups[0] if len(of_groups) == 1 else torch.cat(list(of_groups))).to(self._device)
        return joined if self._order is None else joined[self._order]

    def release(self) -> None:
        """Remove the rows that are finished or not wanted any more.

        Waiting rows become active in their places, and slots without a row are dropped.
        """
        if leaving := [row for row in self.active if row.done or not row.is_wanted()]:
            self._admit(len(leaving), [slot for slot, (row, _) in enumerate(self._sequences) if row in leaving])

    def prefill(self, rows: Collection[R]) -> None:
        """Let the decoder read the prefixes of these active rows again."""
        if rows:
            self._prefill([slot for slot, (row, _) in enumerate(self._sequences) if row in rows])

    def _admit(self, n_rows: int, free: Sequence[int]) -> None:
        """Activate the next `n_rows` waiting rows in the `free` slots (ascending) and, if they are too few, in new ones."""
        new = [(row, number) for row in islice(self._waiting, n_rows) for number in range(row.n_sequences)]
        first_new = len(self._sequences)
        slots = [*free[: len(new)], *range(first_new, first_new + len(new) - len(free))]
        for slot, sequence in zip(slots, new, strict=True):
            self._sequences[slot : slot + 1] = [sequence]
        self._prefill(slots)
        if unused := set(free[len(new) :]):
            alive = [slot for slot in range(len(self._sequences)) if slot not in unused]
            self._sequences = [self._sequences[source] for source in self._decoder.keep(alive)]
        self._arrange()

    def _prefill(self, slots: Sequence[int]) -> None:
        if slots:
            prefixes = [row.prefix(number) for row, number in (self._sequences[slot] for slot in slots)]
            self._decoder.prefill(slots, prefixes)

    def _arrange(self) -> None:
        """Find rows and groups from the sequences in the slots."""
        slot_of = {sequence: slot for slot, sequence in enumerate(self._sequences)}
        self.active = [row for row, number in self._sequences if number == 0]
        place = {row: k for k, row in enumerate(self.active)}
        groups: dict[Hashable, list[R]] = {}
        for row in self.active:
            groups.setdefault((row.draws_like, row.n_sequences), []).append(row)
        self.groups = [
            Group(
                rows,
                [[slot_of[row, k] for row in rows] for k in range(rows[0].n_sequences)],
                len(slot_of),
                self._device,
            )
            for rows in groups.values()
        ]
        places = [place[row] for group in self.groups for row in group.rows]
        self._order = _index(sorted(range(len(places)), key=places.__getitem__), len(places), self._device)
        self._row_of_slot = _index([place[row] for row, _ in self._sequences], len(self.active), self._device)


def _index(positions: Sequence[int], n: int, device: torch.device) -> torch.Tensor | None:
    """A tensor that selects these of `n` positions; None where they are all of them in order, so nothing need be selected."""
    return None if list(positions) == list(range(n)) else torch.tensor(positions, device=device)
