"""Recordings: reading every format, choosing the part with speech, resampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity.errors import VoiceError
from bark_infinity.voices.recording import Recording, choose_part, read_recording

RATE = 16_000


def sine(seconds: float, rate: int = RATE, hz: float = 440.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), np.float32)


def write(samples: np.ndarray, rate: int = RATE, name: str = "take.wav", subtype: str | None = None) -> Path:
    soundfile.write(name, samples, rate, subtype)
    return Path(name)


def error_message(path: Path, seconds: float = 8.0) -> str:
    with pytest.raises(VoiceError) as error:
        choose_part(read_recording(path), path, seconds)
    assert path.name in str(error.value) and "--audio_file_as_history_prompt" in str(error.value)
    assert "\n" not in str(error.value) and ";" in str(error.value)
    return str(error.value)


def part_of(*pieces: np.ndarray, seconds: float = 8.0) -> tuple[float, float]:
    """Start and stop in seconds of the part chosen from these pieces played one after the other."""
    recording = Recording(np.concatenate(pieces), RATE)
    part, _ = choose_part(recording, Path("take.wav"), seconds)
    return part.start / RATE, part.stop / RATE


# ---- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_sample_rates_and_formats_are_read(rate, subtype):
    read = read_recording(write(sine(2, rate), rate, subtype=subtype))
    assert read.rate == rate and read.samples.dtype == np.float32 and not read.notes
    np.testing.assert_allclose(read.samples, sine(2, rate), atol=0.01)
    assert bool(read.warnings) == (rate == 8_000)


@pytest.mark.parametrize("name", ["take.flac", "take.ogg", "take.mp3", "take.opus"])
def test_compressed_files_are_read(name):
    if name.endswith("opus"):
        soundfile.write(name, sine(2, 48_000), 48_000, format="OGG", subtype="OPUS")
    else:
        write(sine(2, 48_000), 48_000, name)
    read = read_recording(Path(name))
    assert read.rate == 48_000 and abs(len(read.samples) - 96_000) < 5_000
    assert 0.4 < np.abs(read.samples).max() < 0.7


def test_file_extension_is_ignored():
    write(sine(2)).rename("take.raw")
    assert len(read_recording(Path("take.raw")).samples) == 2 * RATE


def test_channels_are_mixed_down():
    read = read_recording(write(np.stack([sine(2), silence(2), sine(2)], axis=1)))
    np.testing.assert_allclose(read.samples, sine(2) * 2 / 3, atol=1e-3)
    assert read.notes == ("its 3 channels were mixed into one",)


def test_recording_beyond_full_scale_is_attenuated():
    read = read_recording(write(sine(2, level=2.0), subtype="FLOAT"))
    assert abs(read.samples).max() == 1.0 and "6.0 dB quieter" in read.notes[0]


def test_only_the_first_minutes_of_a_long_recording_are_read(monkeypatch):
    from bark_infinity.voices import recording

    monkeypatch.setattr(recording, "_MAX_SECONDS", 60)
    read = read_recording(write(sine(61)))
    assert len(read.samples) == 60 * RATE and "first 1 minutes" in read.notes[0]
    assert not read_recording(write(sine(60))).notes


def test_files_that_are_not_audio_are_refused():
    Path("text.wav").write_text("Dear diary, today I recorded nothing.\n" * 50)
    Path("empty.mp3").touch()
    for name in ("text.wav", "empty.mp3"):
        assert "cannot be read as a recording" in error_message(Path(name))
    Path("folder").mkdir()
    assert "is no file" in error_message(Path("folder"))
    assert "is no file" in error_message(Path("missing.wav"))


def test_nan_and_infinite_samples_are_refused():
    for bad in (np.nan, np.inf):
        samples = sine(3)
        samples[RATE] = bad
        assert "no numbers" in error_message(write(samples, subtype="FLOAT"))


def test_implausible_sample_rate_is_refused():
    assert "1000 samples a second" in error_message(write(sine(3), 1_000))


# ---- choosing -------------------------------------------------------------------------------------------------------


def test_silent_recording_is_refused():
    assert "is silent" in error_message(write(silence(5)))
    assert "is silent" in error_message(write(silence(0)))
    assert "is silent" in error_message(write(silence(5) + np.float32(0.2), subtype="FLOAT"))  # a DC offset is silence


def test_too_little_speech_is_refused():
    assert "0.1 s" in error_message(write(sine(0.1)))
    assert "too little" in error_message(write(np.concatenate([silence(4), sine(1.5), silence(4)])))
    choose_part(read_recording(write(sine(2.0))), Path("take.wav"), 8.0)


def test_silence_around_speech_is_trimmed():
    start, stop = part_of(silence(3), sine(4), silence(2))
    assert start == pytest.approx(2.9, abs=0.03) and stop == pytest.approx(7.1, abs=0.03)


def test_noise_floor_is_not_counted_as_speech():
    noise = np.random.default_rng(0).standard_normal(9 * RATE).astype(np.float32) * 0.01
    speech = np.concatenate([silence(3), sine(4), silence(2)])
    start, stop = part_of(noise + speech)
    assert start == pytest.approx(2.9, abs=0.05) and stop == pytest.approx(7.1, abs=0.05)


def test_densest_part_that_ends_at_a_pause_is_chosen():
    sparse = np.concatenate([np.concatenate([sine(0.5), silence(1.5)]) for _ in range(6)])  # 0..12 s
    full = np.concatenate([sine(3.5), silence(0.3), sine(3.5)])  # 12..19.3 s
    start, stop = part_of(sparse, full, silence(1), sparse)
    assert stop == pytest.approx(19.4, abs=0.05) and start == pytest.approx(11.9, abs=0.6)
    assert stop - start <= 8.0


def test_without_a_pause_the_end_of_the_speech_is_chosen():
    start, stop = part_of(sine(20), seconds=6.0)
    assert (start, stop) == (pytest.approx(14.1, abs=0.03), 20.0)


def test_chosen_part_is_never_longer_than_asked():
    rng = np.random.default_rng(3)
    for _ in range(20):
        pieces = [sine(rng.uniform(0.1, 4)) if i % 2 else silence(rng.uniform(0.05, 2)) for i in range(12)]
        start, stop = part_of(*pieces, sine(2), seconds=5.0)
        assert 2.0 <= stop - start <= 5.0 + 1e-6


def warnings_of(samples: np.ndarray) -> tuple[str, ...]:
    return choose_part(Recording(samples, RATE), Path("take.wav"), 8.0)[1]


def test_quiet_and_clipped_recordings_give_warnings():
    assert warnings_of(sine(3)) == ()
    assert "very quiet (-5" in warnings_of(sine(3, level=0.003))[0]
    assert "clipped" in warnings_of(np.clip(sine(3, level=2.0), -1, 1))[0]
    clicks = sine(3)
    clicks[::50] = 1.0
    assert warnings_of(clicks) == ()  # isolated peaks are not clipping
