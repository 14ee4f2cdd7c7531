"""Slots and what they cost: no step for finished rows, no prefix read twice, no position read that is not filled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bark_infinity import decoding
from bark_infinity.decoding import CachedDecoder, RecomputingDecoder, compact
from bark_infinity.sampling import RowRandom
from bark_infinity.stages import coarse as coarse_stage
from bark_infinity.stages import semantic as semantic_stage
from bark_infinity.stages.coarse import CoarseRow, CoarseSettings
from bark_infinity.stages.semantic import SemanticRow, SemanticSettings


class Counting(CachedDecoder):
    """Counts prefixes that are read and rows that step."""

    def __init__(self, *args):
        super().__init__(*args)
        self.filled: list[int] = []  # slots, in order
        self.rows_of_steps: list[int] = []

    def fill(self, slots, prefixes):
        self.filled += slots
        super().fill(slots, prefixes)

    def step(self, tokens):
        self.rows_of_steps.append(len(tokens))
        return super().step(tokens)


@pytest.fixture
def decoders(monkeypatch) -> list[Counting]:
    """The decoders that stages make."""
    made = []

    def make(model, rows, length, cached):
        made.append(Counting(model, rows, length))
        return made[-1]

    for stage in (semantic_stage, coarse_stage):
        monkeypatch.setattr(stage, "make_decoder", make)
    return made


def semantic_rows(bark, n: int) -> list[SemanticRow]:
    return [SemanticRow(bark.encode(f"Text {k}."), np.zeros(0, int), RowRandom(k)) for k in range(n)]


def coarse_row(n: int, voice=None) -> CoarseRow:
    history = (np.zeros(0, int), np.zeros((2, 0), int)) if voice is None else (voice.semantic, voice.coarse)
    return CoarseRow(np.random.default_rng(n).integers(0, 10_000, n), *history, RowRandom(n))


def test_no_step_is_spent_on_finished_rows(bark, decoders):
    """Every row steps once a token, and once for the end of speech; while rows wait all places are taken."""
    made = bark.run_stage("semantic", semantic_rows(bark, 7), SemanticSettings(), at_once=3)
    (decoder,) = decoders
    assert sum(decoder.rows_of_steps) == sum(len(m.tokens) + 1 for m in made)
    first_without = len(decoder.rows_of_steps) - next(
        i for i, rows in enumerate(reversed(decoder.rows_of_steps)) if rows == 3
    )
    assert decoder.rows_of_steps[:first_without] == [3] * first_without
    assert sorted(decoder.rows_of_steps, reverse=True) == decoder.rows_of_steps
    assert len(decoder.filled) == 7 and decoder.filled[:3] == [0, 1, 2]


def test_the_coarse_prefix_is_kept_while_it_has_not_moved(bark, decoders):
    """Without a voice the first windows only grow: 627 tokens of 209 semantic ones, then every window of 60 moves."""
    bark.run_stage("coarse", [coarse_row(200)], CoarseSettings())  # 600 coarse tokens, 10 windows
    bark.run_stage("coarse", [coarse_row(260)], CoarseSettings())  # 780: windows at 660 and 720 have moved
    assert [len(decoder.filled) for decoder in decoders] == [1, 3]


def test_the_coarse_prefix_is_read_again_when_either_part_moves(bark, decoders, make_voice):
    bark.run_stage("coarse", [coarse_row(80, make_voice(9.0))], CoarseSettings())  # 240 tokens behind a full history
    bark.run_stage("coarse", [coarse_row(80, make_voice(9.0))], CoarseSettings(sliding_window_len=30))
    assert [len(decoder.filled) for decoder in decoders] == [4, 8]


def test_attention_reads_each_row_as_far_as_it_is_filled(bark, decoders, monkeypatch, make_voice):
    read = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, value, **kwargs):
        if query.shape[2] == 1:
            assert not kwargs  # no mask
            read.append(key.shape[0] * key.shape[2])
        return attention(query, key, value, **kwargs)

    monkeypatch.setattr(decoding.F, "scaled_dot_product_attention", spy)
    bark.run_stage("coarse", [coarse_row(1, make_voice(9.0)), coarse_row(1)], CoarseSettings())  # two tokens each
    voiced, alone = 256 + 1 + 626, 256 + 1  # 209 semantic tokens are 628 coarse ones, and two are dropped
    layers = bark.stages["coarse"].model.config.n_layer
    assert sum(read) == layers * (voiced + voiced + 1 + alone + alone + 1)


@pytest.mark.parametrize("kind", [CachedDecoder, RecomputingDecoder])
def test_slots_are_filled_kept_and_filled_again(bark, kind):
    """A row's hidden states are those of the whole sequence, wherever it stands and whoever stood there before."""
    model = bark.stages["coarse"].model
    rng = torch.Generator().manual_seed(3)
    sequences = [torch.randint(0, 12_000, (n,), generator=rng) for n in (9, 5, 12, 7)]

    def expected(which: int, steps: int) -> torch.Tensor:
        ids = sequences[which][None, : len(sequences[which]) - 3 + steps]
        return model(model.token_embedding(ids), torch.arange(ids.shape[1]), decoding._attend_causally)[0, -1]

    def tokens(rows: list[tuple[int, int]]) -> torch.Tensor:
        return torch.stack([sequences[which][len(sequences[which]) - 3 + step] for which, step in rows])

    with torch.inference_mode():
        decoder = kind(model, 3, 20) if kind is CachedDecoder else kind(model)
        prefixes = [model.token_embedding(sequence[:-3]) for sequence in sequences]
        decoder.fill([0, 1, 2], prefixes[:3])
        hidden = decoder.step(tokens([(0, 0), (1, 0), (2, 0)]))
        torch.testing.assert_close(hidden, torch.stack([expected(k, 1) for k in range(3)]), atol=1e-4, rtol=1e-4)
        decoder.fill([0], prefixes[3:])  # row 3 takes the place of row 0
        hidden = decoder.step(tokens([(3, 0), (1, 1), (2, 1)]))
        wanted = torch.stack([expected(3, 1), expected(1, 2), expected(2, 2)])
        torch.testing.assert_close(hidden, wanted, atol=1e-4, rtol=1e-4)
        places = [[3, 1, 2][source] for source in decoder.keep([0, 2])]
        hidden = decoder.step(tokens([(which, {3: 1, 2: 2}[which]) for which in places]))
        wanted = torch.stack([expected(which, {3: 2, 2: 3}[which]) for which in places])
        torch.testing.assert_close(hidden, wanted, atol=1e-4, rtol=1e-4)


def test_holes_are_filled_from_the_end():
    assert compact([0, 2, 3]) == [0, 3, 2]
    assert compact([1, 4]) == [4, 1]
    assert compact([0, 1]) == [0, 1]
    assert compact([]) == []
