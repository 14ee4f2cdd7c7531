"""Loudness of the signals of EBU Tech 3341, and beside pyloudnorm and FFmpeg's meter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, babble, ebur128, in_blocks, silence, tone

from bark_infinity.audio.loudness import LoudnessMeter

MONO = -3.01  # the signals are stereo: one channel of them has half the power


def loudness(blocks: list[np.ndarray], rate: int = RATE) -> float | None:
    meter = LoudnessMeter(rate)
    for block in blocks:
        meter.add(block)
    return meter.loudness()


@pytest.mark.parametrize("rate", [8_000, RATE, 44_100, 48_000])
@pytest.mark.parametrize(
    ("parts", "expected"),
    [  # EBU Tech 3341, table 1: seconds and level of each part
        ([(20, -23)], -23.0),
        ([(20, -33)], -33.0),
        ([(10, -36), (60, -23), (10, -36)], -23.0),
        ([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23.0),
        ([(20, -26), (20.1, -20), (20, -26)], -23.0),
    ],
)
def test_the_tones_of_the_ebu(parts, expected, rate):
    found = loudness([tone(seconds, level, rate=rate) for seconds, level in parts], rate)
    assert found is not None and abs(found - expected - MONO) < 0.1


@pytest.mark.parametrize("rate", [11_025, RATE, 44_100, 48_000])
def test_as_pyloudnorm_measures_it(rate):
    pyloudnorm = pytest.importorskip("pyloudnorm")
    samples = np.concatenate([babble(6, rate=rate), silence(3, rate), 0.1 * babble(4, 1, rate)])
    expected = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(samples.astype(float))
    assert loudness([samples], rate) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_as_ffmpeg_measures_it(rate):
    samples = np.concatenate([babble(6, rate=rate), silence(3, rate), 0.1 * babble(4, 1, rate)])
    assert loudness([samples], rate) == pytest.approx(ebur128(samples, rate).lufs, abs=0.1)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 100_000), st.lists(st.integers(0, 50_000), max_size=5))
def test_it_does_not_depend_on_how_samples_arrive(length, sizes):
    samples = np.resize(babble(2), length)
    assert loudness(in_blocks(samples, sizes)) == loudness([samples])


@pytest.mark.parametrize(
    "samples",
    [silence(0), silence(5), tone(0.39, -10), tone(5, -75)],
    ids=["nothing", "silence", "less than a block", "below the gate"],
)
def test_what_has_no_loudness(samples):
    meter = LoudnessMeter(RATE)
    meter.add(samples)
    assert meter.loudness() is None
    assert (meter.rms_db() is None) == (not samples.any())


def test_rms_is_that_of_all_samples():
    meter = LoudnessMeter(RATE)
    for block in np.array_split(np.concatenate([tone(1.5, -6), silence(1.5)]), 7):
        meter.add(block)
    assert meter.rms_db() == pytest.approx(-6 - 3.01 - 3.01, abs=0.01)


def test_a_factor_adds_its_decibels():
    samples = babble(5)
    before, after = loudness([samples]), loudness([samples * 0.5])
    assert before is not None and after is not None
    assert after - before == pytest.approx(20 * math.log10(0.5), abs=1e-6)
