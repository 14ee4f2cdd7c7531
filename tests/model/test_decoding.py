"""Decoder slots and their cost: no step for finished rows, no prefix encoded twice, no attention to unfilled positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bark_infinity.model import attention, decoding
from bark_infinity.model.decoding import CachedDecoder, GraphedDecoder, RecomputingDecoder, compact
from bark_infinity.model.sampling import RowRandom
from bark_infinity.stages.coarse import CoarseRow, CoarseSettings
from bark_infinity.stages.semantic import SemanticRow, SemanticSettings


def semantic_rows(bark, n: int, **settings) -> list[SemanticRow]:
    own = SemanticSettings(**settings)
    return [SemanticRow(bark.encode(f"Text {k}."), np.zeros(0, int), RowRandom(k), own) for k in range(n)]


def coarse_row(n: int, voice=None, **settings) -> CoarseRow:
    history = (np.zeros(0, int), np.zeros((2, 0), int)) if voice is None else (voice.semantic, voice.coarse)
    semantic = np.random.default_rng(n).integers(0, 10_000, n)
    return CoarseRow(semantic, *history, RowRandom(n), CoarseSettings(**settings))


def test_finished_rows_take_no_steps(bark, decoders):
    """Every row steps once a token and once for the end of speech; all slots are used while rows wait."""
    results = bark.run_stage("semantic", semantic_rows(bark, 7), max_active=3)
    (decoder,) = decoders
    assert sum(decoder.rows_of_steps) == sum(len(result.tokens) + 1 for result in results)
    first_without = len(decoder.rows_of_steps) - next(
        i for i, rows in enumerate(reversed(decoder.rows_of_steps)) if rows == 3
    )
    assert decoder.rows_of_steps[:first_without] == [3] * first_without
    assert sorted(decoder.rows_of_steps, reverse=True) == decoder.rows_of_steps
    assert len(decoder.filled) == 7 and decoder.filled[:3] == [0, 1, 2]


def test_coarse_prefix_is_reused_until_the_window_moves(bark, decoders):
    """Without a voice the windows only grow up to 627 tokens (209 semantic tokens); then every window of 60 moves."""
    bark.run_stage("coarse", [coarse_row(200)])  # 600 coarse tokens, 10 windows
    bark.run_stage("coarse", [coarse_row(260)])  # 780: windows at 660 and 720 have moved
    assert [len(decoder.filled) for decoder in decoders] == [1, 3]


def test_coarse_prefix_is_encoded_again_when_either_part_moves(bark, decoders, make_voice):
    bark.run_stage("coarse", [coarse_row(80, make_voice(9.0))])  # 240 tokens behind a full history
    bark.run_stage("coarse", [coarse_row(80, make_voice(9.0), sliding_window_len=30)])
    assert [len(decoder.filled) for decoder in decoders] == [4, 8]


def test_attention_reads_each_row_only_up_to_its_length(bark, decoders, monkeypatch, make_voice):
    read = []
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, value, **kwargs):
        if query.shape[2] == 1:
            assert not kwargs  # no mask
            read.append(key.shape[0] * key.shape[2])
        return sdpa(query, key, value, **kwargs)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", spy)
    bark.run_stage("coarse", [coarse_row(1, make_voice(9.0)), coarse_row(1)])  # two tokens each
    with_voice, without_voice = 256 + 1 + 626, 256 + 1  # 209 semantic tokens are 628 coarse ones, and two are dropped
    layers = bark.stages["coarse"].model.config.n_layer
    assert sum(read) == layers * (with_voice + with_voice + 1 + without_voice + without_voice + 1)


@pytest.mark.parametrize("kind", [CachedDecoder, GraphedDecoder, RecomputingDecoder])
def test_reused_slots_give_the_hidden_states_of_the_whole_sequence(bark, kind):
    """A row's hidden states do not depend on its slot or on the rows that used the slot before."""
    model = bark.stages["coarse"].model
    rng = torch.Generator().manual_seed(3)
    sequences = [torch.randint(0, 12_000, (n,), generator=rng) for n in (9, 5, 12, 7)]

    def expected(which: int, steps: int) -> torch.Tensor:
        ids = sequences[which][None, : len(sequences[which]) - 3 + steps]
        return model(model.token_embedding(ids), torch.arange(ids.shape[1]), attention.attend_causally)[0, -1]

    def tokens(rows: list[tuple[int, int]]) -> torch.Tensor:
        return torch.stack([sequences[which][len(sequences[which]) - 3 + step] for which, step in rows])

    with torch.inference_mode():
        decoder = kind(model) if kind is RecomputingDecoder else kind(model, 3, 20)
        prefixes = [model.token_embedding(sequence[:-3]) for sequence in sequences]
        decoder.prefill([0, 1, 2], prefixes[:3])
        hidden = decoder.step(tokens([(0, 0), (1, 0), (2, 0)]))
        torch.testing.assert_close(hidden, torch.stack([expected(k, 1) for k in range(3)]), atol=1e-4, rtol=1e-4)
        decoder.prefill([0], prefixes[3:])  # row 3 takes the place of row 0
        hidden = decoder.step(tokens([(3, 0), (1, 1), (2, 1)]))
        wanted = torch.stack([expected(3, 1), expected(1, 2), expected(2, 2)])
        torch.testing.assert_close(hidden, wanted, atol=1e-4, rtol=1e-4)
        places = [[3, 1, 2][source] for source in decoder.keep([0, 2])]
        hidden = decoder.step(tokens([(which, {3: 1, 2: 2}[which]) for which in places]))
        wanted = torch.stack([expected(which, {3: 2, 2: 3}[which]) for which in places])
        torch.testing.assert_close(hidden, wanted, atol=1e-4, rtol=1e-4)


def test_compact_fills_free_slots_from_the_end():
    assert compact([0, 2, 3]) == [0, 3, 2]
    assert compact([1, 4]) == [4, 1]
    assert compact([0, 1]) == [0, 1]
    assert compact([]) == []


# ---- the CUDA code path on the CPU ----------------------------------------------------------------------------------


def test_captured_step_equals_the_plain_step_and_stays_inside_the_cache(bark):
    model = bark.stages["coarse"].model
    rng = torch.Generator().manual_seed(3)
    prefixes = [torch.randint(0, 12_000, (n,), generator=rng) for n in (250, 259, 20)]
    steps = torch.randint(0, 12_000, (12, 3), generator=rng)
    with torch.inference_mode():
        graphed, plain = GraphedDecoder(model, 4, 266), CachedDecoder(model, 3, 300)
        for decoder in (graphed, plain):
            decoder.prefill([0, 1, 2], [model.token_embedding(ids) for ids in prefixes])
        for i, tokens in enumerate(steps):
            ours, theirs = graphed.step(tokens), plain.step(tokens)
            fits = [0, 2] if i >= 7 else [0, 1, 2]  # row 1 has no room left, so its output is undefined
            torch.testing.assert_close(ours[fits], theirs[fits], atol=1e-4, rtol=1e-4)
    assert set(graphed._captured) == {(4, 266)}  # three rows run in the graph for four


def plain_semantic(model, spec, row: SemanticRow) -> list[int]:
    """The semantic stage with noise in blocks of 16 draws, one row, a token at a time."""
    from bark_infinity.stages.semantic import _logits, _RowState

    state, settings = _RowState(row, model, spec, 768), row.settings
    decoder = CachedDecoder(model, 1, 1024)
    decoder.prefill([0], [state.prefix(0)])
    tokens: list[int] = []
    while True:
        if len(tokens) % 16 == 0:
            noise = torch.empty(16, 10_001).exponential_(generator=row.random.generator(torch.device("cpu")))
        hidden = decoder.step(torch.tensor([tokens[-1] if tokens else spec.semantic_infer_token]))
        probs = (_logits(model, spec, hidden, True)[0] / settings.temperature).softmax(-1)
        token = int((probs / noise[len(tokens) % 16]).argmax())
        if token == 10_000 or probs[-1] >= settings.min_eos_p:
            return tokens
        tokens.append(token)


def test_semantic_rows_drawn_ahead_equal_the_plain_loop_in_any_batch(bark, as_on_cuda):
    model, spec = bark.stages["semantic"].model, bark.stages["semantic"].spec
    with torch.inference_mode():
        expected = [plain_semantic(model, spec, row) for row in semantic_rows(bark, 5)]
    assert len({len(tokens) % 16 for tokens in expected}) > 1
    for max_active in (1, 2, 5):
        results = bark.run_stage("semantic", semantic_rows(bark, 5), max_active=max_active)
        for ours, theirs in zip(results, expected, strict=True):
            assert ours.tokens.tolist() == theirs
    assert isinstance(model.kept_decoder, GraphedDecoder)


def test_coarse_rows_drawn_ahead_do_not_depend_on_the_batch(bark, as_on_cuda, make_voice):
    def rows():
        return [coarse_row(95, make_voice(9.0)), coarse_row(30), coarse_row(61, make_voice(1.0)), coarse_row(7)]

    alone = [bark.run_stage("coarse", [row])[0] for row in rows()]
    for max_active in (2, 4):
        for ours, theirs in zip(bark.run_stage("coarse", rows(), max_active=max_active), alone, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_drawing_ahead_does_not_change_greedy_tokens(bark, make_voice, request):
    """Noise has no effect at temperature 0, so both paths must agree."""
    rows = lambda: [coarse_row(45, make_voice(9.0), temperature=0), coarse_row(30, temperature=0)]  # noqa: E731
    texts = lambda: semantic_rows(bark, 3, temperature=0)  # noqa: E731
    plain = bark.run_stage("coarse", rows()), bark.run_stage("semantic", texts())
    request.getfixturevalue("as_on_cuda")
    for ours, theirs in zip(bark.run_stage("coarse", rows()), plain[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(bark.run_stage("semantic", texts()), plain[1], strict=True):
        np.testing.assert_array_equal(ours.tokens, theirs.tokens)


def test_captured_graph_is_reused_until_the_weights_move(bark, as_on_cuda):
    model = bark.stages["coarse"].model

    def made(rows: int, length: int) -> object:
        """The decoder of a batch that has ended."""
        decoder = decoding.make_decoder(model, rows, length, cached=True)
        decoding.keep_decoder(model, decoder)
        return decoder

    first = made(4, 300)
    assert made(2, 200) is first
    larger = made(5, 300)
    assert larger is not first and made(5, 300) is larger
    model.to("cpu")
    assert made(5, 300) is not larger


def test_captured_graph_belongs_to_one_batch_at_a_time(bark, as_on_cuda):
    model = bark.stages["coarse"].model
    outer, inner = (decoding.make_decoder(model, rows, 300, cached=True) for rows in (4, 2))
    assert inner is not outer
    decoding.keep_decoder(model, inner)
    decoding.keep_decoder(model, outer)
    decoding.keep_decoder(model, inner)
    assert model.kept_decoder is outer, "the larger one"
