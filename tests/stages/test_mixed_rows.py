"""Rows with different settings side by side in every stage: each has the tokens that it has alone, and those of the plain loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import plain
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import coarse_row, fine_row, random_semantic, semantic_row

from bark_infinity.model.decoding import GraphedDecoder
from bark_infinity.stages import semantic as semantic_stage
from bark_infinity.stages.coarse import CoarseRow
from bark_infinity.stages.semantic import SemanticResult, SemanticRow

TEXTS = ("Hello there.", "A dog walks along the river, slowly.", "x", "♪ La la la ♪", "One, two, three, four.")
SHORT = {"max_gen_duration_s": 0.5}  # 25 tokens, of about 70 that the tiny model speaks on average

# How the rows of a semantic batch differ; `negative` is a negative text. The plain loop can do the first of them.
PLAIN: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.0},
    {"temperature": 1.1, "top_k": 40},
    {"temperature": 0.5, "top_p": 0.6},
    {"allow_early_stop": False, **SHORT},
    {"min_eos_p": 0.001},
    {"min_eos_p": None, "temperature": 0.9, "top_k": 30, "top_p": 0.8},
    {"max_gen_duration_s": 0.1},
    {"history_limit": 30, **SHORT},
    {"use_kv_caching": False, "max_gen_duration_s": 0.1},
)
EXPERIMENTS: tuple[dict[str, Any], ...] = (
    {"inverted_p": 0.01, **SHORT},
    {"bottom_k": 40, "mirostat_tau": 5.0, **SHORT},
    {"mirostat_tau": 9.0, "mirostat_learning_rate": 0.5, **SHORT},
    {"repeat_penalty": 0.3, "top_k": 20, **SHORT},
    {"repeat_penalty": 0.0, "temperature": 0.0, "allow_early_stop": False, **SHORT},
    {"negative": "Go away!", "negative_logits_scale": 0.5, **SHORT},
    {"negative": "Be quiet, all of you.", "negative_divergence_scale": 1.0, "top_p": 0.5, **SHORT},
    {"negative": "Go away!", "negative_logits_scale": 0.5, "use_kv_caching": False, "max_gen_duration_s": 0.1},
    {"negative": "No.", "negative_logits_scale": 0.3, "mirostat_tau": 8.0, "statistics": True, **SHORT},
    {"statistics": True, "temperature": 0.6, **SHORT},
    {"statistics": True, "allow_early_stop": False, **SHORT},
)
SEMANTIC = (*PLAIN, *EXPERIMENTS)
COARSE: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.0},
    {"temperature": 1.1, "top_k": 40},
    {"temperature": 0.5, "top_p": 0.6},
    {"max_coarse_history": 60},
    {"max_coarse_history": 630, "sliding_window_len": 138, "top_k": 40},
    {"max_coarse_history": 61, "sliding_window_len": 7, "temperature": 0.0},
    {"sliding_window_len": 11, "use_kv_caching": False, "max_coarse_history": 100},
)


def semantic_of(bark, make_voice, k: int) -> SemanticRow:
    voice = (None, make_voice(2.0), make_voice(9.0, seed=1))[k % 3]
    return semantic_row(bark, TEXTS[k % len(TEXTS)], voice, 100 + k, **SEMANTIC[k])


def coarse_of(make_voice, k: int) -> CoarseRow:
    voice = (None, make_voice(1.3), make_voice(9.0, seed=1))[k % 3]
    return coarse_row(random_semantic((45, 1, 30, 61)[k % 4], k), voice, 100 + k, **COARSE[k])


def assert_same_results(ours: SemanticResult, theirs: SemanticResult) -> None:
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    assert (ours.ended, ours.statistics) == (theirs.ended, theirs.statistics)


def alone(bark, stage: str, row_of: Callable[[int], object], n: int) -> list[Any]:
    return [bark.run_stage(stage, [row_of(k)])[0] for k in range(n)]


# ---- the semantic stage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_active", [None, 4])
def test_semantic_rows_with_different_settings_equal_single_rows(bark, make_voice, max_active):
    expected = alone(bark, "semantic", lambda k: semantic_of(bark, make_voice, k), len(SEMANTIC))
    rows = [semantic_of(bark, make_voice, k) for k in range(len(SEMANTIC))]
    for ours, theirs in zip(bark.run_stage("semantic", rows, max_active=max_active), expected, strict=True):
        assert_same_results(ours, theirs)


def test_semantic_rows_with_different_settings_equal_the_plain_loop(bark, oracle, make_voice):
    rows = [semantic_of(bark, make_voice, k) for k in range(len(SEMANTIC))]
    results = bark.run_stage("semantic", rows, max_active=7)
    for k, how in enumerate(PLAIN):
        own = rows[k].settings
        torch.manual_seed(100 + k)
        expected = plain.semantic(
            oracle,
            rows[k].text_ids,
            rows[k].history[max(0, len(rows[k].history) - own.history_limit) :],
            own.temperature,
            own.top_k,
            own.top_p,
            own.min_eos_p,
            own.max_gen_duration_s,
            own.allow_early_stop,
        )
        np.testing.assert_array_equal(results[k].tokens, expected, err_msg=repr(how))


@pytest.fixture(scope="module")
def single_rows(bark) -> Mapping[int, SemanticResult]:
    """The result of each row of `SEMANTIC` without a voice, alone."""
    return {k: bark.run_stage("semantic", [voiceless(bark, k)])[0] for k in range(len(SEMANTIC))}


def voiceless(bark, k: int) -> SemanticRow:
    return semantic_of(bark, lambda *_, **__: None, k)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(range(len(SEMANTIC))), min_size=2, max_size=12), st.integers(1, 5))
def test_any_mixture_of_rows_equals_single_rows(bark, single_rows, which, max_active):
    results = bark.run_stage("semantic", [voiceless(bark, k) for k in which], max_active=max_active)
    for k, ours in zip(which, results, strict=True):
        assert_same_results(ours, single_rows[k])


@pytest.mark.parametrize("max_active", [None, 3])
def test_semantic_rows_drawn_ahead_beside_others_equal_single_rows(bark, make_voice, as_on_cuda, max_active):
    """Rows that need each token (mirostat, penalties, statistics) hold their neighbours to one step at a time."""
    expected = alone(bark, "semantic", lambda k: semantic_of(bark, make_voice, k), len(SEMANTIC))
    rows = [semantic_of(bark, make_voice, k) for k in range(len(SEMANTIC))]
    for ours, theirs in zip(bark.run_stage("semantic", rows, max_active=max_active), expected, strict=True):
        assert_same_results(ours, theirs)
    assert isinstance(bark.stages["semantic"].model.kept_decoder, GraphedDecoder)


def test_host_reads_tokens_once_in_16_steps_unless_a_row_needs_each(bark, as_on_cuda, monkeypatch):
    steps = []
    decode = semantic_stage._decode

    def counting(model, spec, own_slots, ahead, noise_ahead):
        steps.append(ahead)
        return decode(model, spec, own_slots, ahead, noise_ahead)

    monkeypatch.setattr(semantic_stage, "_decode", counting)
    ends = [
        semantic_row(bark, "Hi.", None, k, allow_early_stop=False, max_gen_duration_s=s) for k, s in ((1, 0.6), (2, 1))
    ]
    bark.run_stage("semantic", ends)
    assert steps == [16] * 4  # 30 and 50 tokens
    steps.clear()
    bark.run_stage("semantic", [*ends, semantic_row(bark, "x", None, 3, repeat_penalty=0.5, max_gen_duration_s=0.1)])
    assert steps[:5] == [1] * 5 and steps[5] == 11 and set(steps[6:]) == {16}  # from then on in blocks again


def test_only_rows_with_a_negative_text_have_a_second_sequence(bark, decoders):
    how = [{}, {"negative": "Go.", "negative_logits_scale": 0.5}, {}, {"temperature": 0.0}, {"top_k": 9}]
    rows = [semantic_row(bark, TEXTS[k], None, k, **own, **SHORT) for k, own in enumerate(how)]
    results = bark.run_stage("semantic", rows, max_active=3)
    (decoder,) = decoders
    steps = [len(result.tokens) + (len(result.tokens) < 25) for result in results]  # and one for the end of speech
    assert decoder.rows == 4 and sum(decoder.rows_of_steps) == sum(steps) + steps[1]


def test_rows_without_a_cache_form_their_own_batch(bark, decoders):
    rows = [semantic_row(bark, "x", None, k, max_gen_duration_s=0.1, use_kv_caching=k % 3 > 0) for k in range(6)]
    bark.run_stage("semantic", rows)
    assert [(decoder.cached, decoder.rows) for decoder in decoders] == [(True, 4), (False, 2)]


# ---- the coarse stage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_active", [None, 3])
def test_coarse_rows_with_different_settings_equal_the_plain_loop(bark, oracle, make_voice, max_active):
    rows = [coarse_of(make_voice, k) for k in range(len(COARSE))]
    batch = bark.run_stage("coarse", rows, max_active=max_active)
    for k, (row, ours) in enumerate(zip(rows, batch, strict=True)):
        own = row.settings
        torch.manual_seed(100 + k)
        expected = plain.coarse(
            oracle,
            row.semantic,
            row.history_semantic,
            row.history_coarse,
            own.temperature,
            own.top_k,
            own.top_p,
            own.max_coarse_history,
            own.sliding_window_len,
        )
        np.testing.assert_array_equal(ours, expected, err_msg=repr(COARSE[k]))


@pytest.mark.parametrize("drawn_ahead", [False, True])
def test_coarse_rows_with_different_settings_equal_single_rows(bark, make_voice, request, drawn_ahead):
    if drawn_ahead:
        request.getfixturevalue("as_on_cuda")
    how = [*COARSE, {"alignment": 0}, {"alignment": -6, "top_p": 0.5}]

    def row(k: int) -> CoarseRow:
        return coarse_row(random_semantic(20 + 9 * k, k), make_voice(5.0, seed=k), k, **how[k])

    expected = alone(bark, "coarse", row, len(how))
    for max_active in (None, 4):
        batch = bark.run_stage("coarse", [row(k) for k in range(len(how))], max_active=max_active)
        for ours, theirs in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


# ---- the fine stage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_active", [None, 2])
def test_fine_rows_with_different_temperatures_equal_the_plain_loop(bark, oracle, make_voice, max_active):
    voices = [None, make_voice(2.0), make_voice(9.0, seed=1), None]
    temperatures = [0.5, 0.0, 1.2, None]
    coarse = [np.random.default_rng(n).integers(0, 1024, (2, n)) for n in (80, 700, 1300, 9)]
    rows = [fine_row(codes, voices[k], k, temperatures[k]) for k, codes in enumerate(coarse)]
    batch = bark.run_stage("fine", rows, max_active=max_active)
    for k, (voice, temperature) in enumerate(zip(voices, temperatures, strict=True)):
        torch.manual_seed(k)
        expected = plain.fine(oracle, coarse[k], None if voice is None else voice.fine, temperature)
        np.testing.assert_array_equal(batch[k], expected)
