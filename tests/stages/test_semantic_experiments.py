"""Experimental sampling of the semantic stage, checked against logits computed for the whole sequence at once."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from bark_infinity.model.attention import attend_causally
from bark_infinity.model.sampling import RowRandom
from bark_infinity.stages.semantic import SemanticResult, SemanticRow, SemanticSettings

TEXTS = ("Hello there.", "A dog walks along the river, slowly.", "♪ La la la ♪")
ENDLESS = {"allow_early_stop": False, "max_gen_duration_s": 1.0}  # 50 tokens


def row_of(
    bark, text: str, seed: int = 0, history: np.ndarray | None = None, negative: str | None = None
) -> SemanticRow:
    unwanted = () if negative is None else bark.encode(negative)
    history = np.zeros(0, np.int64) if history is None else history
    return SemanticRow(bark.encode(text), history, RowRandom(seed), negative_ids=unwanted)


def run(bark, rows, **settings) -> list[SemanticResult]:
    """The results of these rows, all with these settings."""
    own = SemanticSettings(**settings)
    return bark.run_stage("semantic", [dataclasses.replace(row, settings=own) for row in rows])


def logits_after(bark, text: str, tokens: np.ndarray, vocabulary: int = 10_001) -> torch.Tensor:
    """Logits at each step given all `tokens`, from one forward pass: (len(tokens) + 1, V)."""
    model, ids = bark.stages["semantic"].model, bark.encode(text)
    padded = torch.full((256,), 129_595)
    padded[: len(ids)] = torch.tensor(ids) + 10_048
    embed = model.token_embedding
    with torch.inference_mode():
        start = embed(padded) + embed(torch.full((256,), 10_000))
        rest = embed(torch.tensor([129_599, *tokens.tolist()]))
        sequence = torch.cat([start, rest])[None]
        hidden = model(sequence, torch.arange(sequence.shape[1]), attend_causally)
        return model.logits(hidden[0, 256:], 0, vocabulary)


def test_smallest_bottom_k_and_inverted_p_choose_the_least_likely_token(bark):
    for how in ({"bottom_k": 1}, {"inverted_p": 0.0}):
        (result,) = run(bark, [row_of(bark, TEXTS[0])], **how, **ENDLESS)
        expected = logits_after(bark, TEXTS[0], result.tokens, 10_000)[:-1].argmin(dim=-1)
        np.testing.assert_array_equal(result.tokens, expected)


def test_repeat_penalty_of_zero_forbids_repeated_tokens(bark):
    often = {"top_k": 30, **ENDLESS}
    (free,), (penalised,) = (run(bark, [row_of(bark, TEXTS[1])], **often, **p) for p in ({}, {"repeat_penalty": 0.0}))
    assert len(set(penalised.tokens)) == len(penalised.tokens) == len(free.tokens) > len(set(free.tokens))


def test_repeat_penalty_applies_to_greedy_tokens(bark):
    (result,) = run(bark, [row_of(bark, TEXTS[1])], temperature=0, repeat_penalty=0.5, **ENDLESS)
    counts, logits = torch.zeros(10_000), logits_after(bark, TEXTS[1], result.tokens, 10_000)
    for step, token in enumerate(result.tokens):
        assert token == int((logits[step] + counts * math.log(0.5)).argmax())
        counts[token] += 1
    assert counts.max() > 1


def test_logits_of_the_negative_text_are_subtracted(bark):
    """Greedy tokens maximise the difference; subtracting the text's own logits leaves a uniform distribution."""
    for scales in ((0.7, None), (None, 1.5), (0.3, 0.4)):
        settings = {"negative_logits_scale": scales[0], "negative_divergence_scale": scales[1], "temperature": 0}
        (result,) = run(bark, [row_of(bark, TEXTS[0], negative=TEXTS[1])], **settings, **ENDLESS)
        logits, others = (logits_after(bark, text, result.tokens, 10_000)[:-1] for text in TEXTS[:2])
        ours, theirs = logits.softmax(-1), others.softmax(-1)
        middle = (ours + theirs) / 2
        divergence = ((ours * (ours / middle).log2()).sum(-1) + (theirs * (theirs / middle).log2()).sum(-1)) / 2
        scale = (scales[0] or 0) + (scales[1] or 0) * divergence[:, None]
        np.testing.assert_array_equal(result.tokens, (logits - scale * others).argmax(-1))
    (result,) = run(bark, [row_of(bark, TEXTS[0], seed=5, negative=TEXTS[0])], negative_logits_scale=1.0, **ENDLESS)
    generator = torch.Generator().manual_seed(5)
    uniform = [int(torch.multinomial(torch.full((10_000,), 1e-4), 1, generator=generator)) for _ in result.tokens]
    np.testing.assert_array_equal(result.tokens, uniform)


def test_mirostat_reaches_its_target_surprise(bark):
    """The tiny model's own surprise is about 13 bits and its likeliest token has 10; the targets lie in between."""
    own = []
    for tau in (None, 10.5, 12.0):
        rows = [row_of(bark, text, seed) for seed, text in enumerate(TEXTS)]
        results = run(bark, rows, mirostat_tau=tau, mirostat_learning_rate=0.5, temperature=1.0, allow_early_stop=False)
        log_probs = [
            logits_after(bark, t, m.tokens[:-1], 10_000).log_softmax(-1) for t, m in zip(TEXTS, results, strict=True)
        ]
        surprise = [
            -p[torch.arange(len(m.tokens)), m.tokens][100:].mean() / math.log(2)
            for p, m in zip(log_probs, results, strict=True)
        ]
        own.append(float(sum(surprise) / len(surprise)))
    assert own[0] > 12 and own[1] == pytest.approx(10.5, abs=0.3) and own[2] == pytest.approx(12.0, abs=0.3)


EXPERIMENTS = [
    {"mirostat_tau": 9.0},
    {"repeat_penalty": 0.3, "top_k": 20},
    {"negative_logits_scale": 0.5},
    {"negative_divergence_scale": 1.0, "top_p": 0.5},
    {"inverted_p": 0.01},
    {"bottom_k": 40, "mirostat_tau": 5.0},
]


@pytest.mark.parametrize("how", EXPERIMENTS)
def test_batched_rows_equal_single_rows_and_rows_without_a_cache(bark, how):
    histories = (None, np.arange(70), np.arange(300))
    negatives = ("Go away!", None, "Be quiet, all of you.")

    def rows() -> list[SemanticRow]:
        return [row_of(bark, *row) for row in zip(TEXTS, (3, 4, 5), histories, negatives, strict=True)]

    together = run(bark, rows(), min_eos_p=0.001, max_gen_duration_s=2.0, **how)
    for k, result in enumerate(together):
        (alone,) = run(bark, [rows()[k]], min_eos_p=0.001, max_gen_duration_s=2.0, **how)
        (slow,) = run(bark, [rows()[k]], min_eos_p=0.001, use_kv_caching=False, max_gen_duration_s=0.2, **how)
        np.testing.assert_array_equal(result.tokens, alone.tokens)
        np.testing.assert_array_equal(result.tokens[: len(slow.tokens)], slow.tokens)
    (usual,) = run(bark, rows()[:1], min_eos_p=0.001)
    assert not np.array_equal(usual.tokens, together[0].tokens)


@pytest.mark.parametrize("early_stop", [True, False])
def test_entropy_and_perplexity_are_those_of_the_unmodified_model(bark, early_stop):
    rows = [row_of(bark, text, seed) for seed, text in enumerate(TEXTS)]
    how = {"temperature": 0.6, "top_k": 500, "allow_early_stop": early_stop, "max_gen_duration_s": 1.0}
    for text, result in zip(TEXTS, run(bark, rows, statistics=True, **how), strict=True):
        logits = logits_after(bark, text, result.tokens, 10_001 if early_stop else 10_000)[: len(result.tokens)]
        probs = logits.double().softmax(-1)
        entropy = -(probs * probs.log2()).sum(-1).mean()
        likelihood = probs[torch.arange(len(probs)), torch.from_numpy(result.tokens)].log().mean()
        assert result.statistics.entropy == pytest.approx(float(entropy), rel=1e-4)
        assert result.statistics.perplexity == pytest.approx(math.exp(-likelihood), rel=1e-3)
    assert run(bark, rows, **how)[0].statistics is None
