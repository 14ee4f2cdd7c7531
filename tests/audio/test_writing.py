"""Joining segments to the exact sample, and audio files in every format, written at once or in pieces and read back with libsndfile and FFmpeg's libraries."""

from __future__ import annotations

import hashlib
import os
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from audio_files import any_format, decoded, tags
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bark_infinity.audio.encoding import Encoding
from bark_infinity.audio.formats import AV_FORMATS, FORMATS, check_format
from bark_infinity.audio.tags import Tags
from bark_infinity.audio.writing import AudioEncoder, Joiner, Level, Span, write_audio
from bark_infinity.errors import OutputError, UsageError

SOUNDFILE_FORMATS = [name for name in FORMATS if name not in AV_FORMATS]
TAGS = {
    "title": "नमस्ते, “Wält” 你好 ♪",
    "comment": "seed 7; --text_prompt '" + "ü你न" * 184 + "'",  # 1 500 bytes
    "software": "Bark Infinity",
}


def tone(n: int, value: float = 0.5) -> np.ndarray:
    return np.full(n, value, np.float32)


def chirp(seconds: float) -> np.ndarray:
    """Rising from 100 Hz to 5 kHz."""
    at = np.arange(round(seconds * 24_000)) / 24_000
    return (0.5 * np.sin(2 * np.pi * (100 + 2450 * at / seconds) * at)).astype(np.float32)


def seconds_of(path: Path) -> float:
    """Length as FFmpeg's libraries see it."""
    with av.open(str(path)) as container:
        return (container.duration or 0) / 1e6


def join(pieces: list[np.ndarray], seconds: float) -> tuple[np.ndarray, list[Span], str]:
    """The pieces joined, the span of each in the result, and its digest."""
    joiner = Joiner()
    added = [joiner.add(piece, seconds) for piece in pieces]
    return np.concatenate([tone(0), *(sound for sound, _ in added)]), [span for _, span in added], joiner.sha256


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
def test_spans_are_exact_to_the_sample(lengths, seconds, spans, total):
    audio, found, _ = join([tone(n) for n in lengths], seconds)
    assert found == [Span(*span) for span in spans]
    assert audio.shape == (total,) and audio.dtype == np.float32


def test_each_piece_is_followed_by_its_own_silence():
    joiner = Joiner()
    pieces = [(2, 0.5), (0, 1.5), (0, 0.25), (3, 0.25), (0, 0.1), (4, 2.0)]
    spans = [joiner.add(tone(length), seconds)[1] for length, seconds in pieces]
    assert [span.stop for span in spans if span.start < span.stop] == [2, 2 + 36_000 + 3, 2 + 36_000 + 3 + 6_000 + 4]


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=6), st.sampled_from([0, 0.001, 0.01]))
def test_pieces_fill_their_spans_and_the_rest_is_silence(lengths, seconds):
    pieces = [tone(n, 0.1 + i / 10) for i, n in enumerate(lengths)]
    audio, spans, digest = join(pieces, seconds)
    assert digest == hashlib.sha256(audio.astype("<f4").tobytes()).hexdigest()
    for piece, span in zip(pieces, spans, strict=True):
        np.testing.assert_array_equal(audio[span.start : span.stop], piece)
        audio[span.start : span.stop] = 0
    assert not audio.any()
    assert len(audio) == sum(lengths) + max(0, np.count_nonzero(lengths) - 1) * round(seconds * 24_000)
    assert len(audio) == max((span.stop for span in spans), default=0)  # no silence behind the last


# ---- files ----------------------------------------------------------------------------------------------------------


def test_wav_samples_are_exact_and_clipped():
    audio = np.array([0, 0.5, -0.5, 1 / 32768, -1, 1, 1.5, -7, 0.25], np.float32)
    write_audio(Path("clip.wav"), audio, TAGS)
    samples, rate = soundfile.read("clip.wav", dtype="int16")
    assert rate == 24_000
    assert samples.tolist() == [0, 16384, -16384, 1, -32768, 32767, 32767, -32768, 8192]  # clipped, never wrapped
    with soundfile.SoundFile("clip.wav") as sound:
        assert (sound.channels, sound.subtype, sound.format) == (1, "PCM_16", "WAV")
    with wave.open("clip.wav") as sound:
        assert sound.getparams()[:4] == (1, 2, 24_000, len(audio))
        assert sound.readframes(99) == samples.tobytes()


@pytest.mark.parametrize("format", SOUNDFILE_FORMATS)
def test_libsndfile_reads_back_a_minute_with_its_tags(format):
    """Same length, samples and tags; lossy codecs have a bit rate high enough for a chirp."""
    audio, path = chirp(60), Path(f"clip.{format}")
    write_audio(path, audio, TAGS, format)
    decoded_samples, rate = soundfile.read(path, dtype="float32")
    assert (rate, decoded_samples.shape) == (24_000, audio.shape)
    assert np.corrcoef(audio, decoded_samples)[0, 1] > 0.999
    with soundfile.SoundFile(path) as sound:
        found = sound.copy_metadata()
    assert (found["title"], found["comment"]) == (TAGS["title"], TAGS["comment"])
    assert found["software"].startswith(TAGS["software"])
    kinds = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "opus": "OPUS", "mp3": "MPEG_LAYER_III"}
    assert soundfile.info(path).subtype == kinds[format]


# How much longer than the clip ffmpeg may find a file, in seconds: Opus counts its start-up of 6.5 ms, MP3 its start-up
# and the rest of its last frame, MP4 in whole milliseconds.
_PADDING = {"opus": 0.0066, "mp3": 0.09} | dict.fromkeys(AV_FORMATS, 0.001)


@any_format
@pytest.mark.parametrize("seconds", [1 / 24_000, 0.5, 11.13525])
def test_ffmpeg_reads_back_samples_and_tags(format, seconds):
    audio, path = chirp(seconds), Path(f"clip.{format}")
    write_audio(path, audio, TAGS, format)
    length, found = seconds_of(path), tags(path)
    assert -1e-6 <= length - seconds <= _PADDING.get(format, 1e-6)
    assert (found["title"], found["comment"]) == (TAGS["title"], TAGS["comment"])
    assert format == "opus" or any(value.startswith("Bark Infinity") for value in found.values())
    if len(audio) > 1:
        decoded_samples = decoded(path)[:: 2 if format == "opus" else 1]  # which FFmpeg decodes at 48 kHz
        assert (
            abs(len(decoded_samples) - len(audio)) < 1024
        )  # it may give a codec's frame too much or too little at the end
        n = min(len(audio), len(decoded_samples))
        assert np.corrcoef(audio[:n], decoded_samples[:n])[0, 1] > 0.99


@any_format
def test_empty_clip_is_a_readable_file(format):
    path = Path(f"clip.{format}")
    write_audio(path, tone(0), {}, format)
    assert len(decoded(path) if format in AV_FORMATS else soundfile.read(path)[0]) <= 24


@any_format
def test_unusual_file_and_folder_names_are_written(format):
    folder = Path("-a b's ü你" if os.name == "nt" else '-a b\'s "ü你" 50%d: $HOME\\')
    folder.mkdir()
    for name in ("-y", "clip ü%03d", "a'b") + (() if os.name == "nt" else ('a"b', "pipe:1")):
        write_audio(folder / f"{name}.{format}", chirp(0.1), TAGS, format)
        write_audio(Path(f"{name}.{format}"), chirp(0.1), TAGS, format)
        assert (folder / f"{name}.{format}").stat().st_size > 500 and Path(f"{name}.{format}").stat().st_size > 500
    assert len(os.listdir()) == 1 + len(os.listdir(folder))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
@any_format
def test_file_permissions_follow_the_umask(format):
    write_audio(Path(f"clip.{format}"), chirp(0.1), {}, format)
    Path("any").touch()
    assert Path(f"clip.{format}").stat().st_mode == Path("any").stat().st_mode


@any_format
def test_existing_file_is_never_overwritten(format):
    path = Path(f"clip.{format}")
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        write_audio(path, chirp(0.1), {}, format)
    assert path.read_bytes() == b"precious"
    assert os.listdir() == [path.name]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("format", SOUNDFILE_FORMATS)
def test_failed_write_leaves_no_file(monkeypatch, format, failure):
    write = soundfile.SoundFile.write

    def write_half(sound, audio):
        write(sound, audio[: len(audio) // 2])
        raise failure

    monkeypatch.setattr(soundfile.SoundFile, "write", write_half)
    with pytest.raises(failure):
        write_audio(Path(f"clip.{format}"), tone(100_000), {"title": "half"}, format)
    assert os.listdir() == []


@any_format
def test_full_disk_raises_output_error_naming_the_file(format):
    resource = pytest.importorskip("resource", reason="Windows has no file size limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).normal(0, 0.2, 240_000).astype(np.float32)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match=f"a.{format}"):
            write_audio(Path(f"a.{format}"), noise, {}, format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir() == []


@any_format
def test_loud_and_nan_samples_are_clipped(format):
    """They neither wrap around nor break the codec: the file holds the clipped sound."""
    wild = chirp(1) * 4
    wild[10_000:10_010] = np.nan, np.inf, -np.inf, 1e30, -1e30, np.nan, np.nan, np.nan, np.nan, np.nan
    path = Path(f"clip.{format}")
    write_audio(path, wild, {}, format)
    decoded_samples = decoded(path) if format in AV_FORMATS else soundfile.read(path, dtype="float32")[0]
    assert np.corrcoef(np.clip(np.nan_to_num(wild), -1, 1), decoded_samples[: len(wild)])[0, 1] > 0.98


@any_format
def test_empty_tags_are_left_out_and_invalid_characters_removed(format):
    """NUL and surrogate characters cannot be stored in a file or passed on a command line."""
    path = Path(f"clip.{format}")
    write_audio(path, chirp(0.1), {"title": "", "comment": "a\0b \udcff\n=;'\"", "software": ""}, format)
    found = tags(path)
    assert "title" not in found and found["comment"] == "ab ?\n=;'\""


def test_mp3_without_tags_begins_with_an_audio_frame():
    write_audio(Path("clip.mp3"), chirp(0.1), {}, "mp3")
    assert Path("clip.mp3").read_bytes()[:2] == b"\xff\xf3"


@any_format
def test_file_written_in_pieces_equals_file_written_at_once(format):
    """Whatever the lengths of the pieces; and samples are on disk before the end."""
    audio = np.random.default_rng(1).normal(0, 0.2, 288_000).astype(np.float32)
    audio[90_000:150_000] *= 0.01  # Vorbis looks ahead for what gets loud
    write_audio(Path(f"whole.{format}"), audio, TAGS, format)
    path, sizes = Path(f"pieces.{format}"), []
    with path.open("wb+") as file, AudioEncoder(file, path, Tags(TAGS), Encoding(format)) as encoder:
        for piece in np.split(audio, [0, 7, 7, 30_000, 65_536, 65_537, 140_001, 149_000, 270_000]):
            encoder.write(piece)
            sizes.append(path.stat().st_size)
    if format in AV_FORMATS:
        np.testing.assert_array_equal(decoded(path), decoded(Path(f"whole.{format}")))
    else:
        assert sizes[-2] > 50_000
        np.testing.assert_array_equal(soundfile.read(path)[0], soundfile.read(f"whole.{format}")[0])
        assert format in ("ogg", "opus") or path.read_bytes() == Path(f"whole.{format}").read_bytes()


def test_short_wav_prepared_for_rf64_stays_riff():
    for samples, format in ((2**31 - 2**20, "WAV"), (2**31, "WAVEX")):
        with (
            Path("clip.wav").open("wb+") as file,
            AudioEncoder(file, Path("clip.wav"), Tags(TAGS), most_samples=samples) as e,
        ):
            e.write(chirp(1))
        with soundfile.SoundFile("clip.wav") as sound:
            assert (sound.format, sound.frames, sound.title) == (format, 24_000, TAGS["title"])
        assert Path("clip.wav").read_bytes()[:4] == b"RIFF"


def test_wav_beyond_4_gib_is_rf64_with_the_right_length():
    """A hole in the file stands for a day of sound."""
    path = Path("clip.wav")
    with path.open("wb+") as file, AudioEncoder(file, path, Tags(TAGS), most_samples=2**31 + 2**20) as encoder:
        encoder.write(tone(2**16))
        encoder._encoder._sound.seek(2**31)
        encoder.write(chirp(1))
    with soundfile.SoundFile(path) as sound:
        assert (sound.format, sound.frames, sound.title) == ("RF64", 2**31 + 24_000, TAGS["title"])
        sound.seek(2**31)
        np.testing.assert_allclose(sound.read(), chirp(1), atol=1 / 32_000)
    path.unlink()


def test_ten_minutes_of_vorbis_are_written_without_a_crash():
    write_audio(Path("clip.ogg"), np.zeros(10 * 60 * 24_000, np.float32), {}, "ogg")
    assert soundfile.info("clip.ogg").frames == 10 * 60 * 24_000


# ---- checked before anything is made --------------------------------------------------------------------------------


@any_format
def test_every_format_passes_the_check(format):
    check_format(format, "")
    check_format(format, "-b:a 64k" if format in AV_FORMATS else " ")


@pytest.mark.parametrize("format", SOUNDFILE_FORMATS)
def test_ffmpeg_parameters_are_refused_for_other_formats(format):
    with pytest.raises(UsageError, match=f"{format} does not go through FFmpeg"):
        check_format(format, "-b:a 64k")


def test_opus_is_refused_with_an_old_libsndfile(monkeypatch):
    monkeypatch.setattr(soundfile, "check_format", lambda container, codec: (container, codec) != ("OGG", "OPUS"))
    check_format("ogg", "")
    with pytest.raises(UsageError, match="--output_format opus.*too old"):
        check_format("opus", "")


@given(
    hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-3, 3, width=32)),
    st.floats(0.5, 30).map(lambda gain: round(gain, 2)),
)
def test_suggested_gain_avoids_clipping(sound, gain_db):
    """At the suggested gain nothing is clipped; 0.1 dB more would clip."""
    level = Level()
    level.add(sound * np.float32(10 ** (gain_db / 20)))
    sentence = level.clipping(gain_db)
    assert (sentence is None) == (level.clipped == 0)
    if sentence is not None:
        fitting = float(sentence.split("--gain_db ")[1].split()[0])
        peaks = [np.abs(sound).max() * 10 ** (gain / 20) for gain in (fitting, fitting + 0.1001)]
        assert peaks[0] <= 1 + 1e-6 and peaks[1] > 1


def test_a_few_clipped_samples_give_no_warning():
    level = Level()
    level.add(np.concatenate([np.full(2, 1.01), np.zeros(100_000)]))
    assert level.clipped == 2 and level.clipping(0.0) is None and level.clipping(-1.0) is None
    level.add(np.full(50, np.float32(3e38)))  # infinite ones, as the encoder measures them
    assert level.clipping(0.0) == "0.052 % of the samples are clipped"
