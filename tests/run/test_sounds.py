"""Audio files of scripts: mixed to one channel, resampled, and the same when they are placed as when they were planned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity.errors import TextError
from bark_infinity.run import sounds
from bark_infinity.run.sounds import SoundFiles, read_sound


def test_sound_is_mixed_and_resampled():
    Path("s").mkdir()
    time = np.arange(48_000) / 48_000
    stereo = np.stack([np.sin(2 * np.pi * 440 * time), np.zeros(48_000)], axis=1)
    soundfile.write("s/a.flac", stereo * 0.5, 48_000)
    sound = SoundFiles(Path("s")).find("a.flac")
    samples = read_sound(sound)
    assert (sound.samples, len(samples), samples.dtype) == (24_000, 24_000, np.float32)
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)
    np.testing.assert_allclose(samples[500:-500], expected[500:-500], atol=2e-3)


def test_sound_at_the_programs_own_rate_is_unchanged():
    soundfile.write("a.wav", np.linspace(-1, 1, 777, dtype=np.float32), 24_000, subtype="FLOAT")
    whole = SoundFiles(Path("elsewhere")).find(str(Path("a.wav").absolute()))
    np.testing.assert_array_equal(read_sound(whole), np.linspace(-1, 1, 777, dtype=np.float32))


@pytest.mark.parametrize("name", ["absent.wav", ".", "bad\0name"])
def test_what_is_no_file_is_refused(name):
    with pytest.raises(TextError, match="the sound|no sound"):
        SoundFiles(Path()).find(name)


def test_long_sound_is_refused(monkeypatch):
    soundfile.write("a.wav", np.zeros(24_000), 24_000)
    monkeypatch.setattr(sounds, "_MAX_SECONDS", 0)
    with pytest.raises(TextError, match="longer than"):
        SoundFiles(Path()).find("a.wav")


def test_sound_that_has_changed_is_refused():
    soundfile.write("a.wav", np.zeros(100), 24_000)
    sound = SoundFiles(Path()).find("a.wav")
    soundfile.write("a.wav", np.ones(100) / 2, 24_000)
    with pytest.raises(TextError, match="has changed"):
        read_sound(sound)
