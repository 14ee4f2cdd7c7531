"""Resampling beside scipy's, its pass band and stop band, and the same samples however they arrive."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, babble, in_blocks, tone

from bark_infinity.audio.polyphase import Resampler
from bark_infinity.audio.targets import SAMPLE_RATES

OTHERS = [rate for rate in SAMPLE_RATES if rate != RATE]


def resampled(blocks: list[np.ndarray], rate: int, wanted: int) -> np.ndarray:
    resampler = Resampler(rate, wanted)
    return np.concatenate([*map(resampler.add, blocks), resampler.finish()])


def level_db(samples: np.ndarray) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return 20 * np.log10(np.std(middle) + 1e-12)


@pytest.mark.parametrize("rate", OTHERS)
def test_a_tone_keeps_its_phase_and_its_level_up_to_91_percent_of_the_lower_nyquist_frequency(rate):
    hertz = 0.91 * min(rate, RATE) / 2
    found, expected = resampled([tone(1, 0, hertz)], RATE, rate), tone(1, 0, hertz, rate)
    assert len(found) == len(expected)
    assert level_db(found - expected) < -90


@pytest.mark.parametrize("rate", [rate for rate in OTHERS if rate < RATE])
@pytest.mark.parametrize("part", [1.0, 1.02, 1.3])
def test_what_is_above_the_lower_nyquist_frequency_is_gone(rate, part):
    hertz = part * rate / 2
    if hertz < RATE / 2:
        assert level_db(resampled([tone(0.5, 0, hertz)], RATE, rate)) < -90


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_no_images_arise_above_the_old_nyquist_frequency(rate):
    found = resampled([tone(1, 0, 10_900)], RATE, rate)
    spectrum = np.abs(np.fft.rfft(found * np.blackman(len(found))))
    images = spectrum[np.fft.rfftfreq(len(found), 1 / rate) > 12_100]
    assert 20 * np.log10(images.max() / spectrum.max()) < -90


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_speech_is_as_scipy_resamples_it(rate):
    signal = pytest.importorskip("scipy.signal")
    spectrum = np.fft.rfft(babble(3))
    spectrum[np.fft.rfftfreq(3 * RATE, 1 / RATE) > 0.9 * min(rate, RATE) / 2] = 0  # the slopes of the filters differ
    samples = np.fft.irfft(spectrum).astype(np.float32)
    common = np.gcd(rate, RATE)
    up, down = rate // common, rate // common * RATE // rate
    taps = signal.firwin(2 * 100 * max(up, down) + 1, 0.955 / max(up, down), window=("kaiser", 10.0))
    expected = signal.resample_poly(samples.astype(float), up, down, window=taps)
    found = resampled([samples], RATE, rate)
    assert len(found) == len(expected)
    assert 20 * np.log10(np.std(found - expected) / np.std(expected)) < -60


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([11_025, 16_000, 44_100, 48_000]),
    st.integers(0, 100_000),
    st.lists(st.integers(0, 40_000), max_size=6),
)
def test_the_samples_do_not_depend_on_how_they_arrive(rate, length, sizes):
    samples = np.resize(babble(1), length)
    whole = resampled([samples], RATE, rate)
    np.testing.assert_array_equal(resampled(in_blocks(samples, sizes), RATE, rate), whole)
    assert len(whole) == -(-length * rate // RATE)


def test_a_constant_stays_constant():
    found = resampled([np.full(48_000, 0.25, np.float32)], RATE, 44_100)
    np.testing.assert_allclose(found[2000:-2000], 0.25, atol=1e-6)
