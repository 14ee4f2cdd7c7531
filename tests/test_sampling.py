"""Filters against hand arithmetic, and the randomness of rows against torch's own generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.sampling import RowRandom, draw, keep_top_k, keep_top_p, probabilities

OUT = -torch.inf


def logits_of(*probs: float) -> torch.Tensor:
    """Logits whose softmax these are."""
    return torch.tensor(probs).log()


def kept(filtered: torch.Tensor) -> list[int]:
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
    logits = logits_of(0.15, 0.5, 0.05, 0.3)  # together .5, .8, .95, 1
    filtered = keep_top_p(logits, p)
    assert kept(filtered) == expected
    assert torch.equal(filtered[expected], logits[expected])


@pytest.mark.parametrize(
    ("p", "n"), [(0.0, 1), (0.24, 1), (0.25, 2), (0.26, 2), (0.5, 3), (0.74, 3), (0.75, 4), (1.0, 4)]
)
def test_top_p_must_be_exceeded_not_reached(p, n):
    assert len(kept(keep_top_p(torch.zeros(4), p))) == n  # four quarters, exact in float32


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [3]), (2, [0, 2, 3, 4]), (4, [0, 2, 3, 4]), (5, [0, 1, 2, 3, 4]), (6, range(6)), (99, range(6))],
)
def test_top_k_keeps_ties_with_the_kth(k, expected):
    filtered = keep_top_k(torch.tensor([1.0, 0.0, 1.0, 2.0, 1.0, -5.0]), k)
    assert kept(filtered) == list(expected)


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
def test_arithmetic_is_float32_and_leaves_the_logits_as_they_were(dtype, how):
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
def test_a_row_of_a_batch_is_filtered_as_if_alone(rows, temperature, top_k, top_p):
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
def test_a_row_draws_what_multinomial_draws_from_a_generator_of_its_seed(seed):
    probs, generator = random_probs(3), torch.Generator().manual_seed(seed)
    expected = [torch.multinomial(probs[1], 1, generator=generator).item() for _ in range(8)]
    rows = [RowRandom(5), RowRandom(seed), RowRandom(seed)]
    assert draws(probs, rows)[:, 1].tolist() == expected
    assert len(set(expected)) > 1


def test_draws_know_neither_neighbours_nor_batch_size():
    probs = random_probs(6)
    together = draws(probs, [RowRandom(seed) for seed in range(6)])
    for row in range(6):
        assert torch.equal(draws(probs[row : row + 1], [RowRandom(row)])[:, 0], together[:, row])
    backwards = draws(probs.flip(0), [RowRandom(seed) for seed in reversed(range(6))])
    assert torch.equal(backwards.flip(1), together)


def test_a_row_goes_on_with_its_draws_when_others_have_left():
    probs, rows = random_probs(2), [RowRandom(1), RowRandom(2)]
    first, rest = draws(probs, rows, 3)[:, 1], draws(probs[1:], rows[1:], 5)[:, 0]
    assert torch.equal(torch.cat([first, rest]), draws(probs[1:], [RowRandom(2)], 8)[:, 0])


def test_seeded_rows_leave_the_default_generator_alone():
    probs = random_probs(2)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    draws(probs, [RowRandom(0), RowRandom(1)])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_seed_rows_draw_from_the_default_generator():
    probs = random_probs(1)
    torch.manual_seed(11)
    expected = torch.stack([torch.multinomial(probs[0], 1) for _ in range(8)])
    torch.manual_seed(11)
    assert torch.equal(draws(probs, [RowRandom()]), expected)
    assert torch.equal(draws(probs, [RowRandom(11)]), expected)  # and --seed 11 is the same as torch.manual_seed(11)


def test_only_possible_tokens_are_drawn_in_their_proportion():
    probs = torch.tensor([[0.0, 0.75, 0.0, 0.25]])
    counts = draws(probs, [RowRandom(0)], 2000)[:, 0].bincount(minlength=4)
    assert counts[0] == counts[2] == 0 and 1400 < counts[1] < 1600


def test_tiny_temperatures_are_greedy_and_finite():
    assert probabilities(torch.tensor([1.0, 20.0, 3.0]), 1e-38, None, None).tolist() == [0, 1, 0]
