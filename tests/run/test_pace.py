"""Seconds of a batch from those that were finished."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.run.pace import Pace


def paced(*batches: tuple[int, float]) -> Pace:
    pace = Pace()
    for n, seconds in batches:
        pace.add(n, seconds)
    return pace


def test_batches_of_one_size_are_half_fixed():
    pace = paced((32, 64.0), (32, 64.0))
    assert pace.seconds(32) == pytest.approx(64) and pace.fixed == pytest.approx(32)
    assert pace.seconds(16) == pytest.approx(48)


def test_different_sizes_tell_the_fixed_part():
    pace = paced(*[(n, 10.0 + 0.1 * n) for n in (1, 64, 1, 64, 1, 64)])
    assert pace.fixed == pytest.approx(10, abs=1) and pace.per_segment == pytest.approx(0.1, abs=0.02)


def test_later_batches_count_more():
    pace = paced(*[(8, 10.0)] * 20, *[(8, 20.0)] * 10)
    assert pace.seconds(8) == pytest.approx(20, rel=0.1)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1e5)), min_size=1))
def test_expectations_are_never_negative_and_grow_with_the_batch(batches):
    pace = paced(*batches)
    assert pace.known and pace.fixed >= 0 and pace.per_segment >= 0
    assert 0 <= pace.seconds(1) <= pace.seconds(100)
