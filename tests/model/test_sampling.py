"""Sampling filters against values computed by hand, and each row's random draws against torch's generator."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.model.sampling import (
    Mirostat,
    NoiseBlocks,
    RowRandom,
    apply_negative_logits,
    apply_repeat_penalty,
    divergence_bits,
    draw,
    keep_bottom_k,
    keep_inverted_p,
    keep_top_k,
    keep_top_p,
    probabilities,
    zipf_exponent,
)

OUT = -torch.inf


def logits_of(*probs: float) -> torch.Tensor:
    """Logits whose softmax gives these probabilities."""
    return torch.tensor(probs).log()


def kept_tokens(filtered: torch.Tensor) -> list[int]:
    return torch.nonzero(filtered > OUT).flatten().tolist()


# ---- filters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0, [1]),
        (0.49, [1]),
        (0.51, [1, 3]),
        (0.79, [1, 3]),
        (0.81, [0, 1, 3]),
        (0.96, [0, 1, 2, 3]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_top_p_keeps_the_likeliest_up_to_the_one_that_crosses_p(p, expected):
    logits = logits_of(0.15, 0.5, 0.05, 0.3)  # cumulative .5, .8, .95, 1
    filtered = keep_top_p(logits, p)
    assert kept_tokens(filtered) == expected
    assert torch.equal(filtered[expected], logits[expected])


@pytest.mark.parametrize(
    ("p", "n"), [(0.0, 1), (0.24, 1), (0.25, 2), (0.26, 2), (0.5, 3), (0.74, 3), (0.75, 4), (1.0, 4)]
)
def test_top_p_is_exceeded_not_just_reached(p, n):
    assert len(kept_tokens(keep_top_p(torch.zeros(4), p))) == n  # four quarters, exact in float32


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [3]), (2, [0, 2, 3, 4]), (4, [0, 2, 3, 4]), (5, [0, 1, 2, 3, 4]), (6, range(6)), (99, range(6))],
)
def test_top_k_keeps_ties_with_the_kth(k, expected):
    filtered = keep_top_k(torch.tensor([1.0, 0.0, 1.0, 2.0, 1.0, -5.0]), k)
    assert kept_tokens(filtered) == list(expected)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ((1.0, None, None), [0.3, 0.1, 0.4, 0.2]),
        ((0.5, None, None), [9 / 30, 1 / 30, 16 / 30, 4 / 30]),  # squares
        ((0.25, None, None), [81 / 354, 1 / 354, 256 / 354, 16 / 354]),
        ((2.0, None, None), [0.281806, 0.162700, 0.325401, 0.230093]),  # roots .5477 .3162 .6325 .4472, of 1.9436
        ((1.0, 2, None), [3 / 7, 0, 4 / 7, 0]),
        ((0.5, 3, None), [9 / 29, 0, 16 / 29, 4 / 29]),
        ((1.0, None, 0.6), [3 / 7, 0, 4 / 7, 0]),
        ((1.0, None, 0.0), [0, 0, 1, 0]),
        ((0, None, None), [0, 0, 1, 0]),
        ((0, 2, 0.9), [0, 0, 1, 0]),
    ],
)
def test_probabilities_by_hand(how, expected):
    torch.testing.assert_close(
        probabilities(logits_of(0.3, 0.1, 0.4, 0.2), *how),
        torch.tensor(expected, dtype=torch.float32),
        atol=1e-5,
        rtol=0,
    )


def test_top_p_comes_before_top_k_and_both_before_temperature():
    logits = logits_of(0.4, 0.3, 0.2, 0.1)
    # Raw, .4 stays below p = .42, so .3 is kept too. Of the three likeliest it is .444, squared .533: over p.
    torch.testing.assert_close(probabilities(logits, 1.0, 3, 0.42), torch.tensor([4 / 7, 3 / 7, 0, 0]))
    torch.testing.assert_close(probabilities(logits, 0.5, None, 0.42), torch.tensor([0.64, 0.36, 0, 0]))
    torch.testing.assert_close(probabilities(logits, 0.5, 1, 0.42), torch.tensor([1.0, 0, 0, 0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("how", [(0.7, 20, None), (0.7, None, 0.8), (0, 20, 0.8)])
def test_probabilities_are_float32_and_logits_are_unchanged(dtype, how):
    logits = (torch.randn(50, generator=torch.Generator().manual_seed(0)) * 4).to(dtype)
    before = logits.clone()
    probs = probabilities(logits, *how)
    assert torch.equal(logits, before)
    assert probs.dtype == torch.float32
    assert torch.equal(probs, probabilities(before.float(), *how))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=4),
    st.sampled_from([0, 0.3, 1.0]),
    st.none() | st.integers(1, 7),
    st.none() | st.sampled_from([0.0, 0.3, 0.8, 1.0]),
)
def test_filters_treat_each_row_of_a_batch_independently(rows, temperature, top_k, top_p):
    logits = torch.tensor(rows, dtype=torch.float32)  # few values: many ties
    together = probabilities(logits, temperature, top_k, top_p)
    alone = torch.stack([probabilities(row, temperature, top_k, top_p) for row in logits])
    assert torch.equal(together, alone)
    assert torch.equal(probabilities(logits[None], temperature, top_k, top_p)[0], together)
    torch.testing.assert_close(together.sum(-1), torch.ones(len(rows)))


# ---- draws ----------------------------------------------------------------------------------------------------------


def random_probs(rows: int, size: int = 300, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def draws(probs: torch.Tensor, rows: list[RowRandom], steps: int = 8) -> torch.Tensor:
    """(steps, B)"""
    return torch.stack([draw(probs, rows) for _ in range(steps)])


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_row_draws_equal_torch_multinomial_with_its_seed(seed):
    probs, generator = random_probs(3), torch.Generator().manual_seed(seed)
    expected = [torch.multinomial(probs[1], 1, generator=generator).item() for _ in range(8)]
    rows = [RowRandom(5), RowRandom(seed), RowRandom(seed)]
    assert draws(probs, rows)[:, 1].tolist() == expected
    assert len(set(expected)) > 1


def test_draws_do_not_depend_on_the_batch():
    probs = random_probs(6)
    together = draws(probs, [RowRandom(seed) for seed in range(6)])
    for row in range(6):
        assert torch.equal(draws(probs[row : row + 1], [RowRandom(row)])[:, 0], together[:, row])
    backwards = draws(probs.flip(0), [RowRandom(seed) for seed in reversed(range(6))])
    assert torch.equal(backwards.flip(1), together)


def test_row_continues_its_draws_when_other_rows_have_finished():
    probs, rows = random_probs(2), [RowRandom(1), RowRandom(2)]
    first, rest = draws(probs, rows, 3)[:, 1], draws(probs[1:], rows[1:], 5)[:, 0]
    assert torch.equal(torch.cat([first, rest]), draws(probs[1:], [RowRandom(2)], 8)[:, 0])


def test_seeded_rows_do_not_use_the_default_generator():
    probs = random_probs(2)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    draws(probs, [RowRandom(0), RowRandom(1)])
    assert torch.equal(torch.get_rng_state(), before)


def test_unseeded_rows_use_the_default_generator():
    probs = random_probs(1)
    torch.manual_seed(11)
    expected = torch.stack([torch.multinomial(probs[0], 1) for _ in range(8)])
    torch.manual_seed(11)
    assert torch.equal(draws(probs, [RowRandom()]), expected)
    assert torch.equal(draws(probs, [RowRandom(11)]), expected)  # and --seed 11 is the same as torch.manual_seed(11)


def test_draw_frequencies_follow_the_probabilities():
    probs = torch.tensor([[0.0, 0.75, 0.0, 0.25]])
    counts = draws(probs, [RowRandom(0)], 2000)[:, 0].bincount(minlength=4)
    assert counts[0] == counts[2] == 0 and 1400 < counts[1] < 1600


def test_tiny_temperatures_are_greedy_and_finite():
    assert probabilities(torch.tensor([1.0, 20.0, 3.0]), 1e-38, None, None).tolist() == [0, 1, 0]


# ---- experiments ----------------------------------------------------------------------------------------------------


def shares_of(logits: torch.Tensor) -> list[float]:
    return [round(p, 5) for p in logits.softmax(dim=-1).tolist()]


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.05, [0, 0, 0, 1]), (0.25, [0, 0, 2 / 3, 1 / 3]), (0.35, [0, 1 / 2, 1 / 3, 1 / 6]), (1.0, [0.4, 0.3, 0.2, 0.1])],
)
def test_inverted_p_keeps_the_unlikeliest_that_exceed_p(p, expected):
    assert shares_of(keep_inverted_p(logits_of(0.4, 0.3, 0.2, 0.1), p)) == pytest.approx(expected, abs=1e-5)


def test_bottom_k_keeps_the_k_unlikeliest_and_their_ties():
    assert shares_of(keep_bottom_k(logits_of(0.4, 0.3, 0.2, 0.1), 2)) == pytest.approx([0, 0, 2 / 3, 1 / 3], abs=1e-5)
    assert shares_of(keep_bottom_k(logits_of(0.4, 0.2, 0.2, 0.2), 1)) == pytest.approx(
        [0, 1 / 3, 1 / 3, 1 / 3], abs=1e-5
    )
    assert shares_of(keep_bottom_k(logits_of(0.4, 0.6), 9)) == pytest.approx([0.4, 0.6])
    # top-p keeps .4, .3 and .2
    top_p_logits = keep_top_p(logits_of(0.4, 0.3, 0.2, 0.1), 0.75)
    assert shares_of(keep_bottom_k(top_p_logits, 2)) == pytest.approx([0, 0.6, 0.4, 0])
    assert shares_of(keep_bottom_k(keep_top_k(logits_of(0.4, 0.6), 1), 2)) == [0, 1]


def test_repeat_penalty_is_applied_once_per_occurrence():
    logits, counts = logits_of(0.4, 0.3, 0.2, 0.1), torch.tensor([2.0, 0, 1, 0])
    assert shares_of(apply_repeat_penalty(logits, counts, 0.5)) == pytest.approx([1 / 6, 3 / 6, 1 / 6, 1 / 6], abs=1e-5)
    assert shares_of(apply_repeat_penalty(logits, counts, 2.0)) == pytest.approx(
        [16 / 24, 3 / 24, 4 / 24, 1 / 24], abs=1e-5
    )
    assert shares_of(apply_repeat_penalty(logits, counts, 0.0)) == pytest.approx([0, 0.75, 0, 0.25])
    # when every possible token has occurred, the rarest stays possible
    assert shares_of(apply_repeat_penalty(keep_top_k(logits, 1), counts, 0.0)) == [1, 0, 0, 0]


def test_negative_logits_divide_the_odds():
    logits, negative = logits_of(0.4, 0.3, 0.2, 0.1), logits_of(0.64, 0.12, 0.12, 0.12)
    full = [0.4 / 0.64, 0.3 / 0.12, 0.2 / 0.12, 0.1 / 0.12]
    half = [0.4 / 0.8, *(p / math.sqrt(0.12) for p in (0.3, 0.2, 0.1))]
    for scale, odds in ((1.0, full), (0.5, half), (0.0, [0.4, 0.3, 0.2, 0.1])):
        moved = apply_negative_logits(logits, negative, scale, None)
        assert shares_of(moved) == pytest.approx([o / sum(odds) for o in odds], abs=1e-5)


def test_divergence_is_in_bits_and_scales_the_negative_logits():
    nearly_sure, unsure = logits_of(0.9, 0.1), logits_of(0.1, 0.9)
    # the middle is one bit; H(.9, .1) is .468996 bit, twice
    assert float(divergence_bits(nearly_sure, unsure)) == pytest.approx(1 - 0.468996, abs=1e-5)
    assert float(divergence_bits(nearly_sure, nearly_sure)) == 0
    assert float(divergence_bits(torch.tensor([0.0, -200.0]), torch.tensor([-200.0, 0.0]))) == pytest.approx(1)
    expected = nearly_sure - (0.25 + 2 * 0.531004) * unsure
    torch.testing.assert_close(apply_negative_logits(nearly_sure, unsure, 0.25, 2.0), expected, atol=1e-5, rtol=0)
    # equal distributions have no divergence, so nothing changes
    torch.testing.assert_close(apply_negative_logits(unsure, unsure, None, 2.0), unsure, atol=1e-6, rtol=0)


def zipf(n: int, s: float) -> torch.Tensor:
    p = torch.arange(1, n + 1, dtype=torch.float64) ** -s
    return (p / p.sum()).float()


@pytest.mark.parametrize("s", [0.5, 1.0, 1.5, 3.0])
def test_zipf_exponent_is_estimated(s):
    assert zipf_exponent(zipf(100, s)) == pytest.approx(s, rel=1e-3)


def test_mirostat_by_hand():
    """n = 16 and s = 1.5, so epsilon = 0.5 and k = (0.5 * 2 ** mu / (1 - 16 ** -0.5)) ** (1 / 1.5)."""
    probs, order = zipf(16, 1.5), torch.randperm(16, generator=torch.Generator().manual_seed(0))
    mirostat = Mirostat(tau=2.0, learning_rate=1.0)  # mu = 4: k = (0.5 * 16 / 0.75) ** (2 / 3) = 4.85
    filtered = mirostat.keep(probs[order])
    assert sorted(order[filtered > 0].tolist()) == [0, 1, 2, 3, 4]
    torch.testing.assert_close(filtered[filtered > 0], (probs[:5] / probs[:5].sum())[order[filtered > 0]])
    mirostat.observe(1 / 8)  # 3 bits, one too many: mu = 3 and k = (0.5 * 8 / 0.75) ** (2 / 3) = 3.05
    assert (mirostat.keep(probs) > 0).tolist() == [True] * 3 + [False] * 13
    slow = Mirostat(tau=2.0, learning_rate=0.5)
    slow.observe(1 / 2)  # one bit too few
    assert slow.limit == 4.5


def test_mirostat_keeps_the_mean_surprise_at_tau():
    row, probs = RowRandom(3), zipf(2000, 1.1)
    for tau in (3.5, 5.0):  # the likeliest token alone has 2.5 bits
        mirostat, surprises = Mirostat(tau, 0.2), []
        for _ in range(800):
            token = int(draw(mirostat.keep(probs)[None], [row]))
            mirostat.observe(float(probs[token]))
            surprises.append(-math.log2(probs[token]))
        assert sum(surprises[50:]) / 750 == pytest.approx(tau, abs=0.1)


@pytest.mark.parametrize("probs", [[1.0, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0], [1.0]])
def test_mirostat_handles_degenerate_distributions(probs):
    for limit in (-300.0, 0.0, 300.0, 1e6):
        mirostat = Mirostat(1.0, 1.0)
        mirostat.limit = limit
        result = mirostat.keep(torch.tensor(probs))
        assert result.isfinite().all() and float(result.sum()) == pytest.approx(1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=8))
def test_noise_of_a_row_does_not_depend_on_how_many_draws_are_taken_at_once(wanted):
    blocks, random, cpu = NoiseBlocks(RowRandom(4), 5), RowRandom(4), torch.device("cpu")
    taken: list[torch.Tensor] = []
    for n in wanted:
        taken += blocks.take(len(taken), min(n, blocks.left(len(taken))), 3, cpu)
    expected = torch.cat([random.noise(5, 3, cpu) for _ in range(8)])
    assert torch.equal(torch.stack(taken), expected[: len(taken)])
