"""Audio files read, and resampled by their spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity.audio.reading import AudioError, read_audio, resample


def sine(seconds: float, rate: int, frequency: float = 220.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_channels_are_mixed_and_long_files_are_read_in_part():
    soundfile.write("a.wav", np.stack([np.full(16_000, 0.5), np.zeros(16_000)], axis=1), 8_000, subtype="FLOAT")
    samples, rate, channels, whole = read_audio(Path("a.wav"), 1)
    assert (len(samples), rate, channels, whole) == (8_000, 8_000, 2, False)
    np.testing.assert_array_equal(samples, np.float32(0.25))
    assert read_audio(Path("a.wav"), 2).whole


def test_unusable_files_are_refused(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    Path("text.wav").write_text("no sound")
    soundfile.write("nan.wav", np.full(100, np.nan), 8_000, subtype="FLOAT")
    soundfile.write("slow.wav", np.zeros(100), 100)
    for name, message in (
        ("text", "cannot be read as wav"),
        ("nan", "no numbers"),
        ("slow", "has 100 samples a second"),
    ):
        with pytest.raises(AudioError, match=message):
            read_audio(Path(f"{name}.wav"), 1)


@pytest.mark.parametrize("wanted", [16_000, 24_000])
@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_resampling_preserves_a_sine(rate, wanted):
    resampled = resample(sine(1.0, rate, 1_234.5), rate, wanted)
    assert resampled.dtype == np.float32 and abs(len(resampled) - wanted) <= 1
    inside = slice(wanted // 10, -wanted // 10)  # the ends are affected by the edges of the signal
    np.testing.assert_allclose(resampled[inside], sine(1.0, wanted, 1_234.5)[: len(resampled)][inside], atol=1e-3)


def test_resampling_removes_frequencies_beyond_the_new_rate():
    resampled = resample(sine(1.0, 48_000, 9_000), 48_000, 16_000)
    assert np.abs(resampled[1_600:-1_600]).max() < 0.5e-3  # 60 dB down
    resampled = resample(sine(1.0, 8_000, 3_000), 8_000, 24_000)
    spectrum = np.abs(np.fft.rfft(resampled * np.hanning(len(resampled))))
    assert spectrum[4_100:].max() < 1e-3 * spectrum.max()


def test_resampling_does_not_wrap_the_end_to_the_start():
    samples = np.concatenate([np.zeros(43_200, np.float32), sine(0.1, 48_000)])
    assert np.abs(resample(samples, 48_000, 16_000)[:8_000]).max() < 1e-3
