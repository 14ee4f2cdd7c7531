"""Joining to the sample, and WAV files read back by libsndfile and the standard library."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.audio import Span, join, write_wav
from bark_infinity.errors import OutputError


def tone(n: int, value: float = 0.5) -> np.ndarray:
    return np.full(n, value, np.float32)


@pytest.mark.parametrize(
    ("lengths", "seconds", "spans", "total"),
    [
        ([], 0.25, [], 0),
        ([0], 0.25, [(0, 0)], 0),
        ([320], 0.25, [(0, 320)], 320),
        ([320, 640], 0.25, [(0, 320), (6320, 6960)], 6960),
        ([3, 4, 5], 0, [(0, 3), (3, 7), (7, 12)], 12),
        ([3, 4], 0.0001, [(0, 3), (5, 9)], 9),  # 2.4 samples
        ([0, 3, 0, 4, 0], 0.25, [(0, 0), (0, 3), (3, 3), (6003, 6007), (6007, 6007)], 6007),
    ],
)
def test_spans_to_the_sample(lengths, seconds, spans, total):
    audio, found = join([tone(n) for n in lengths], seconds)
    assert found == [Span(*span) for span in spans]
    assert audio.shape == (total,) and audio.dtype == np.float32


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=6), st.sampled_from([0, 0.001, 0.01]))
def test_pieces_stand_in_their_spans_and_silence_everywhere_else(lengths, seconds):
    pieces = [tone(n, 0.1 + i / 10) for i, n in enumerate(lengths)]
    audio, spans = join(pieces, seconds)
    for piece, span in zip(pieces, spans, strict=True):
        np.testing.assert_array_equal(audio[span.start : span.stop], piece)
        audio[span.start : span.stop] = 0
    assert not audio.any()
    assert len(audio) == sum(lengths) + max(0, np.count_nonzero(lengths) - 1) * round(seconds * 24_000)
    assert len(audio) == max((span.stop for span in spans), default=0)  # no silence behind the last


def test_wav_read_back():
    audio = np.array([0, 0.5, -0.5, 1 / 32768, -1, 1, 1.5, -7, 0.25], np.float32)
    tags = {"title": "नमस्ते, “welt” ♪", "comment": "seed 7; --text_temp 0.5"}
    write_wav(Path("clip.wav"), audio, tags)
    samples, rate = soundfile.read("clip.wav", dtype="int16")
    assert rate == 24_000
    assert samples.tolist() == [0, 16384, -16384, 1, -32768, 32767, 32767, -32768, 8192]  # clipped, never wrapped
    with soundfile.SoundFile("clip.wav") as sound:
        assert sound.copy_metadata() == tags
        assert (sound.channels, sound.subtype, sound.format) == (1, "PCM_16", "WAV")
    with wave.open("clip.wav") as sound:
        assert sound.getparams()[:4] == (1, 2, 24_000, len(audio))
        assert sound.readframes(99) == samples.tobytes()


def test_wav_without_samples_is_a_wav():
    write_wav(Path("clip.wav"), tone(0), {})
    assert len(soundfile.read("clip.wav")[0]) == 0


def test_wav_is_never_overwritten():
    write_wav(Path("clip.wav"), tone(10), {})
    before = Path("clip.wav").read_bytes()
    with pytest.raises(FileExistsError):
        write_wav(Path("clip.wav"), tone(20), {})
    assert Path("clip.wav").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["clip.wav"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_wav_is_whole_or_absent(monkeypatch, failure):
    write = soundfile.SoundFile.write

    def write_half(sound, audio):
        write(sound, audio[: len(audio) // 2])
        raise failure

    monkeypatch.setattr(soundfile.SoundFile, "write", write_half)
    with pytest.raises(failure):
        write_wav(Path("clip.wav"), tone(100_000), {"title": "half"})
    assert list(Path().iterdir()) == []


def test_a_full_disk_is_one_sentence():
    resource = pytest.importorskip("resource", reason="Windows has no file size limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match="a.wav"):
            write_wav(Path("a.wav"), np.zeros(100_000, np.float32), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir() == []


def test_an_empty_tag_and_a_sample_that_is_no_number():
    write_wav(Path("a.wav"), np.array([0.5, np.nan], np.float32), {"title": ""})
    assert soundfile.read("a.wav")[0].tolist() == [0.5, 0.0]
