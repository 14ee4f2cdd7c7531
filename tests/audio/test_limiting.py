"""True peaks beside FFmpeg's meter, and a limiter whose output stays below its ceiling, changes smoothly and is not delayed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, babble, ebur128, in_blocks, silence, tone

from bark_infinity.audio.limiting import Limiter, TruePeakMeter


def limited(blocks: list[np.ndarray], gain_db: float, ceiling_db: float, rate: int = RATE) -> np.ndarray:
    limiter = Limiter(rate, gain_db, ceiling_db)
    return np.concatenate([silence(0), *map(limiter.add, blocks), limiter.finish()])


def true_peak_db(samples: np.ndarray, rate: int = RATE) -> float:
    meter = TruePeakMeter(rate)
    for block in np.array_split(samples, 3):
        meter.add(block)
    return 20 * np.log10(meter.peak())


@pytest.mark.parametrize("hertz", [997, RATE / 4, RATE / 6])
@pytest.mark.parametrize("degrees", [0, 45, 60])
def test_peaks_between_samples_are_found(hertz, degrees):
    at = np.arange(RATE) / RATE
    wave = np.sin(2 * np.pi * hertz * at + np.radians(degrees)) * np.hanning(RATE)  # no step at the ends
    assert true_peak_db(0.5 * wave) == pytest.approx(-6.02, abs=0.4)  # EBU Tech 3341: +0.2, -0.4 dB


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_true_peaks_are_those_of_ffmpeg(rate):
    samples = babble(4, rate=rate)
    assert true_peak_db(samples, rate) == pytest.approx(ebur128(samples, rate).true_peak_db, abs=0.15)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 5), st.floats(0, 25), st.sampled_from([-1.0, -3.5, -10.0]), st.sampled_from([RATE, 44_100]))
def test_no_true_peak_is_over_the_ceiling(seed, gain_db, ceiling_db, rate):
    output = limited([babble(2, seed, rate)], gain_db, ceiling_db, rate)
    assert true_peak_db(output, rate) <= ceiling_db


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_ffmpeg_finds_no_true_peak_over_the_ceiling(rate):
    output = limited([babble(5, rate=rate)], 15, -1, rate)
    assert ebur128(output, rate).true_peak_db <= -1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 70_000), st.lists(st.integers(0, 30_000), max_size=5), st.sampled_from([0.0, 12.0]))
def test_the_samples_do_not_depend_on_how_they_arrive(length, sizes, gain_db):
    samples = np.resize(babble(1), length)
    whole = limited([samples], gain_db, -3)
    assert len(whole) == length
    np.testing.assert_array_equal(limited(in_blocks(samples, sizes), gain_db, -3), whole)


def test_what_is_below_the_ceiling_only_gets_the_gain():
    samples = babble(3)
    np.testing.assert_array_equal(limited([samples], 3, -1), samples * np.float32(10 ** (3 / 20)))


def test_the_gain_falls_before_a_peak_and_returns_without_steps():
    samples = np.concatenate([tone(1, -20), tone(0.05, 0), tone(2, -20)])
    output = limited([samples], 0, -6)
    quiet = np.abs(samples) > 0.001
    gains_db = 20 * np.log10(output[quiet] / samples[quiet])
    times = np.flatnonzero(quiet) / RATE
    assert gains_db[times < 0.99].min() > -0.01 and gains_db[times > 2].min() > -0.01
    assert gains_db.min() == pytest.approx(-6.2, abs=0.1)
    assert np.abs(np.diff(gains_db)).max() < 0.3  # dB from one sample to the next


@pytest.mark.parametrize("place", [0, 1, 100, 2**14 - 1, 2**14, 39_999])
def test_a_single_loud_sample_is_limited_wherever_it_is(place):
    samples = silence(40_000 / RATE)
    samples[place] = 4
    assert true_peak_db(limited([samples], 6, -3)) <= -3


def test_silence_and_nothing_stay():
    assert not limited([silence(2)], 40, -1).any()
    assert len(limited([], 0, -1)) == 0
    assert TruePeakMeter(RATE).peak() == 0
