"""Audio files read, and resampled by their spectra."""

from __future__ import annotations

from pathlib import Path

import av
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


def test_unusable_files_are_refused():
    Path("text.wav").write_text("no sound")
    soundfile.write("nan.wav", np.full(100, np.nan), 8_000, subtype="FLOAT")
    soundfile.write("slow.wav", np.zeros(100), 100)
    for name, message in (
        ("text", "cannot be read as a recording"),
        ("nan", "no numbers"),
        ("slow", "has 100 samples a second"),
    ):
        with pytest.raises(AudioError, match=message):
            read_audio(Path(f"{name}.wav"), 1)


def write_by_ffmpeg(name: str, codec: str, seconds: float = 3.0) -> Path:
    """A file with a sine in the left of two channels."""
    rate = 48_000
    sound = np.stack([sine(seconds, rate), np.zeros(round(seconds * rate), np.float32)])
    with av.open(name, "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(sound, "fltp", "stereo")
        frame.rate = rate
        for part in av.AudioResampler(stream.format.name, "stereo", rate).resample(frame):
            for packet in stream.encode(part):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return Path(name)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.mp4", "aac"),
        ("a.aac", "aac"),
        ("a.webm", "libopus"),
        ("a.mka", "pcm_s16le"),
        ("http:x y.m4a", "aac"),
    ],
)
def test_formats_that_libsndfile_lacks_are_read_by_ffmpegs_libraries(name, codec):
    path = write_by_ffmpeg(name.rpartition(":")[2], codec).rename(name)
    samples, rate, channels, whole = read_audio(path, 10)
    assert (rate, channels, whole, samples.dtype) == (48_000, 2, True, np.float32)
    assert abs(len(samples) - 3 * rate) < 5_000
    middle = samples[rate : 2 * rate]
    assert abs(np.sqrt(np.mean(middle**2)) - 0.25 / np.sqrt(2)) < 0.01  # half of each channel
    assert not read_audio(path, 2).whole and len(read_audio(path, 2).samples) == 2 * rate


def test_damaged_end_of_a_file_is_left_out():
    data = write_by_ffmpeg("a.aac", "aac").read_bytes()
    Path("cut.aac").write_bytes(data[: len(data) // 2])
    assert 40_000 < len(read_audio(Path("cut.aac"), 10).samples) < 110_000


@pytest.mark.parametrize("name", ["list.m3u8", "list.m4a"])
@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile a.aac\n",
    ],
)
def test_lists_of_other_files_are_not_followed(name, content):
    other = write_by_ffmpeg("a.aac", "aac").absolute()
    Path(name).write_text(content.format(other=other))
    with pytest.raises(AudioError, match="cannot be read as a recording"):
        read_audio(Path(name), 10)


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
