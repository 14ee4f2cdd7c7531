"""Every format of the speech API, read back by FFmpeg's libraries, libsndfile and ffprobe."""

from __future__ import annotations

import io
import json
import shutil
import subprocess

import av
import numpy as np
import pytest
import soundfile
from speech_server import pitch_of

from bark_infinity.server.speech_formats import STREAMED_FORMATS, SpeechEncoder

RATE = 24_000
WAVE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
CODECS = {"mp3": "mp3", "opus": "opus", "aac": "aac", "flac": "flac", "wav": "pcm_s16le", "pcm": "pcm_s16le"}
ALL = tuple(STREAMED_FORMATS)


def encoded(format: str, blocks: list[np.ndarray]) -> list[bytes]:
    encoder = SpeechEncoder(format)
    return [*(encoder.write(block) for block in blocks), encoder.close()]


def read(format: str, data: bytes) -> tuple[np.ndarray, int]:
    """Samples and their rate, as FFmpeg's libraries read them."""
    options = {"sample_rate": str(RATE), "ch_layout": "mono"} if format == "pcm" else {}
    with av.open(io.BytesIO(data), format="s16le" if format == "pcm" else None, options=options) as file:
        frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
        return np.concatenate(frames), file.streams.audio[0].rate


@pytest.mark.parametrize("format", ALL)
def test_sound_is_read_back(format):
    data = b"".join(encoded(format, [WAVE[:10_000], WAVE[10_000:10_001], WAVE[10_001:]]))
    samples, rate = read(format, data)
    assert rate == (48_000 if format == "opus" else RATE)
    assert abs(len(samples) / rate - 2) < 0.1
    assert abs(pitch_of(samples.astype(np.float32), rate) - 440) < 1
    if format in ("flac", "wav", "pcm"):
        assert np.abs(samples / 32_768 - WAVE).max() < 1e-4


@pytest.mark.parametrize("format", [format for format in ALL if format not in ("aac", "pcm")])
def test_libsndfile_reads_it_too(format):
    with soundfile.SoundFile(io.BytesIO(b"".join(encoded(format, [WAVE])))) as file:
        samples, rate = file.read(int(1.9 * file.samplerate)), file.samplerate  # not to the end: streams have no length
    assert len(samples) == int(1.9 * rate) and abs(pitch_of(samples, rate) - 440) < 1


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize("format", ALL)
def test_ffprobe_names_the_codec(format, tmp_path):
    path = tmp_path / f"sound.{format}"
    path.write_bytes(b"".join(encoded(format, [WAVE])))
    raw = ["-f", "s16le", "-ar", str(RATE)] if format == "pcm" else []
    command = ["ffprobe", "-v", "error", *raw, "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (stream,) = json.loads(done.stdout)["streams"]
    assert not done.stderr and stream["codec_name"] == CODECS[format] and stream["channels"] == 1


@pytest.mark.parametrize("format", ALL)
def test_each_segment_comes_out_at_once(format):
    """At least what is before the last quarter of a second of it."""
    encoder, data = SpeechEncoder(format), b""
    for k in range(2):
        data += encoder.write(WAVE[k * RATE : (k + 1) * RATE])
        samples, rate = read(format, data)
        assert len(samples) / rate > k + 0.75


def test_wav_has_no_sizes():
    data = b"".join(encoded("wav", [WAVE]))
    assert data[4:8] == data[40:44] == b"\xff" * 4 and data[8:16] == b"WAVEfmt " and len(data) == 44 + 2 * len(WAVE)


def test_too_loud_samples_are_cut():
    loud = np.array([2.0, -2.0, 0.5], np.float32)
    assert np.frombuffer(b"".join(encoded("pcm", [loud])), "<i2").tolist() == [32_767, -32_768, 16_384]


@pytest.mark.parametrize("format", ALL)
def test_same_sound_same_bytes(format):
    assert encoded(format, [WAVE[:9_000]]) == encoded(format, [WAVE[:9_000]])


@pytest.mark.parametrize("format", ALL)
def test_no_samples(format):
    header = b"".join(encoded(format, [WAVE[:0]]))
    assert (header[:4] in (b"RIFF", b"fLaC", b"OggS")) == (format in ("wav", "flac", "opus"))
