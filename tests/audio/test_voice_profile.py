"""What is measured of a voice, and how far two stretches of speech are apart."""

from __future__ import annotations

import numpy as np
import pytest
from tones import RATE, tone, vowel

from bark_infinity.audio.voice_profile import (
    distance,
    measure_voice,
    median_profile,
    semitones,
    spectral_distance,
)


def test_pitch_loudness_and_speech_are_measured():
    profile = measure_voice(vowel(), RATE)
    assert abs(semitones(profile.pitch, 120)) < 0.1
    assert 0.3 < profile.spread < 1.0  # of a sine of half a semitone: 0.7
    assert profile.seconds == pytest.approx(2 * 2 / 3, abs=0.15)  # without the pauses
    louder = measure_voice(vowel(level=2.0), RATE)
    assert louder.loudness - profile.loudness == pytest.approx(6.02, abs=0.01)
    assert spectral_distance(louder.spectrum, profile.spectrum) < 1e-6  # which knows no level
    assert louder.pitch == pytest.approx(profile.pitch) and louder.spread == pytest.approx(profile.spread)


def test_pauses_do_not_count_for_loudness_and_spectrum():
    speech = vowel(seconds=1.9)  # it ends in a pause
    profile, padded = (measure_voice(sound, RATE) for sound in (speech, np.concatenate([speech, np.zeros(4 * RATE)])))
    assert padded.loudness == pytest.approx(profile.loudness, abs=0.1)
    assert spectral_distance(padded.spectrum, profile.spectrum) < 0.1


def test_brightness_is_in_the_spectrum():
    dull, bright = (measure_voice(vowel(brightness=b), RATE) for b in (0.2, 1.2))
    slopes = [profile.spectrum[5] - profile.spectrum[0] for profile in (dull, bright)]
    assert slopes[1] > slopes[0] and spectral_distance(dull.spectrum, bright.spectrum) > 2


def test_what_holds_no_speech_has_no_profile():
    for samples in (np.zeros(RATE), np.zeros(0), vowel(seconds=0.1), np.full(RATE, 1e-7)):
        assert measure_voice(samples, RATE) is None


def test_whisper_has_no_pitch():
    profile = measure_voice(np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    assert profile.pitch is None and profile.spread is None and profile.loudness == pytest.approx(-20, abs=0.2)


def test_median_and_distance_rank_takes():
    usual = median_profile([measure_voice(vowel(hz), RATE) for hz in (118, 120, 123)])
    assert usual.pitch == pytest.approx(120, rel=0.01)
    takes = [vowel(121), vowel(126), vowel(121, brightness=0.2), vowel(200), vowel(121, level=4)]
    away = [distance(measure_voice(take, RATE), usual) for take in takes]
    assert away[0] < 0.3 and min(away[1:]) > away[0] and away[3] > away[1]
    assert distance(usual, usual) == 0


def test_distance_without_a_pitch_compares_the_rest():
    whisper = measure_voice(np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    assert 1 < distance(whisper, measure_voice(tone(120.0, 2.0), RATE)) < 100
    assert median_profile([whisper, whisper]).pitch is None
