"""The pitch of voices: exact on tones, and that of Praat on speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import RATE, tone

from bark_infinity.audio.pitch import track_pitch

HELLO = Path(__file__).parents[2] / "docs" / "hello.flac"


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("hz", [65.0, 99.5, 123.4, 220.0, 333.3, 480.0])
def test_tones_are_exact_to_two_hundredths_of_a_semitone(hz, rate):
    track = track_pitch(tone(hz, rate=rate), rate)
    assert (track > 0).mean() > 0.95
    np.testing.assert_allclose(track[track > 0], hz, rtol=1.2e-3)


def test_a_glide_is_followed():
    hz = np.linspace(100, 200, RATE)
    track = track_pitch(tone(hz), RATE)
    middles = 0.015 + 0.01 * np.arange(len(track))  # of the window of each frame, about
    assert (track > 0).mean() > 0.9
    np.testing.assert_allclose(track[track > 0], np.interp(middles, np.linspace(0, 1, RATE), hz)[track > 0], rtol=0.02)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    assert (track_pitch(noise, RATE) > 0).mean() < 0.02
    assert not track_pitch(np.zeros(RATE), RATE).any()
    assert not len(track_pitch(np.zeros(100), RATE))


def test_softer_voice_in_noise_is_still_found():
    noisy = tone(150.0) + np.random.default_rng(1).normal(0, 0.01, RATE)
    track = track_pitch(noisy, RATE)
    assert abs(np.median(track[track > 0]) - 150) < 1


def test_level_does_not_matter():
    np.testing.assert_allclose(track_pitch(tone(150.0) * 1e-3, RATE), track_pitch(tone(150.0), RATE), rtol=1e-6)


def test_speech_has_the_pitch_that_praat_finds():
    parselmouth = pytest.importorskip("parselmouth", reason="praat-parselmouth is not installed")
    samples, rate = soundfile.read(HELLO)
    ours = track_pitch(samples, rate)
    pitch = parselmouth.Sound(samples, rate).to_pitch(0.01, 60, 500)
    theirs = np.array([pitch.get_value_at_time(0.015 + 0.01 * k) for k in range(len(ours))])
    both = (ours > 0) & np.isfinite(theirs)
    assert both.sum() > 0.6 * np.isfinite(theirs).sum() and both.sum() > 0.95 * (ours > 0).sum()
    semitones = 12 * np.log2(ours[both] / theirs[both])
    assert abs(np.median(semitones)) < 0.1 and (np.abs(semitones) < 1).mean() > 0.95
