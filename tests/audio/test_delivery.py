"""What is measured of encoded files, and what ACX would refuse of them, each for its own reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import babble, silence

from bark_infinity.audio.delivery import check_acx, measure, sound_files
from bark_infinity.audio.mpeg_frames import read_frames
from bark_infinity.errors import OutputError

RATE = 44_100
GOOD = {"samplerate": RATE, "format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": (320 - 192) / (320 - 32)}


def speech(level: float = 1.0) -> np.ndarray:
    """Four seconds at about -19 dB RMS with peaks at -6 dB, and silence as in an audiobook."""
    loud = np.tanh(6 * babble(4, rate=RATE)) / 2
    return np.concatenate([silence(0.75, RATE), level * loud, silence(2, RATE)])


def write(samples: np.ndarray, name: str = "file.mp3", **changed) -> Path:
    soundfile.write(name, samples, **(GOOD | changed))
    return Path(name)


def failures(*paths: Path) -> list[set[str]]:
    return [{one.name for one in criteria if not one.passed} for _, criteria in check_acx(paths)]


def test_a_good_file_passes():
    assert failures(write(speech())) == [set()]


def noisy() -> np.ndarray:
    return speech() + 0.003 * np.random.default_rng(0).standard_normal(len(speech()))


@pytest.mark.parametrize(
    ("samples", "changed", "reasons"),
    [
        (lambda: speech(0.4), {}, {"RMS level"}),
        (lambda: np.where(np.arange(len(speech())) == 2 * RATE, 0.99, speech()), {}, {"peak"}),
        (noisy, {}, {"noise floor"}),
        (lambda: speech()[RATE // 2 :], {}, {"silence before"}),
        (lambda: np.concatenate([silence(0.5, RATE), speech()]), {}, {"silence before"}),
        (lambda: speech()[: -round(1.5 * RATE)], {}, {"silence behind"}),
        (speech, {"compression_level": 0.9}, {"bit rate"}),
        (speech, {"bitrate_mode": "VARIABLE", "compression_level": 0.2}, {"bit rate"}),
        (speech, {"samplerate": 48_000}, {"sample rate"}),
    ],
)
def test_each_fault_is_found(samples, changed, reasons):
    (found,) = failures(write(samples(), **changed))
    assert found >= reasons and len(found) <= len(reasons) + 1


def test_other_formats_are_no_mp3():
    soundfile.write("file.wav", speech(), RATE)
    assert failures(Path("file.wav")) == [{"bit rate"}]


def test_files_of_a_book_have_the_same_channels():
    mono, stereo = write(speech(), "1.mp3"), write(np.stack([speech(), speech()], axis=1), "2.mp3")
    assert failures(mono, stereo, mono) == [set(), {"channels"}, set()]
    assert failures(stereo, mono) == [set(), {"channels"}]


def test_what_is_measured_is_what_was_encoded():
    path = write(speech())
    found, samples = measure(path), speech()
    assert (found.sample_rate, found.channels) == (RATE, 1)
    assert found.seconds == pytest.approx(len(samples) / RATE, abs=0.1)
    assert found.rms_db == pytest.approx(10 * np.log10(np.mean(samples**2)), abs=0.5)
    assert found.peak_db == pytest.approx(20 * np.log10(np.abs(samples).max()), abs=0.5)
    assert found.head_seconds == pytest.approx(0.75, abs=0.1) and found.tail_seconds == pytest.approx(2, abs=0.15)
    assert found.frames.kbits == {192} and found.frames.n_frames == pytest.approx(len(samples) / 1152, abs=3)


def test_silence_and_nothing_are_measured():
    assert failures(write(silence(5, RATE)))[0] >= {"RMS level", "silence before"}
    soundfile.write("empty.wav", silence(0), RATE)
    assert measure(Path("empty.wav")).rms_db == -120


@pytest.mark.parametrize("content", [b"", b"no audio at all", b"\xff\xfb" * 500])
def test_what_is_no_audio_is_told(content):
    Path("broken.mp3").write_bytes(content)
    with pytest.raises(OutputError, match=r"broken\.mp3 cannot be measured"):
        measure(Path("broken.mp3"))


def test_the_files_of_a_playlist():
    Path("book.m3u8").write_text("#EXTM3U\n#EXTINF:1.0,One\nbook.chapters/01 One.mp3\n", encoding="utf-8")
    assert sound_files(Path("book.m3u8")) == [Path("book.chapters/01 One.mp3")]
    assert sound_files(Path("a.mp3")) == [Path("a.mp3")]
    with pytest.raises(OutputError, match="playlist"):
        sound_files(Path("absent.m3u8"))


# ---- frames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "kbits"), [(44_100, 192), (48_000, 320), (22_050, 160), (8_000, 64)])
@pytest.mark.parametrize("channels", [1, 2])
def test_frames_of_every_version(rate, kbits, channels):
    low, high = (32, 320) if rate >= 32_000 else (8, 160 if rate >= 16_000 else 64)
    samples = np.repeat(babble(2, rate=rate)[:, None], channels, axis=1)
    path = write(samples, samplerate=rate, compression_level=(high - kbits) / (high - low))
    found = read_frames(path)
    assert found.kbits == {kbits} and found.channels == {channels}
    per_frame = 1152 if rate >= 32_000 else 576
    assert found.n_frames == pytest.approx(len(samples) / per_frame, abs=4)


def test_tags_and_garbage_are_read_over():
    path = write(speech())
    content = path.read_bytes()
    tag = b"ID3\x04\x00\x00\x00\x00\x10\x00" + b"\xff\xfb\x90\x00" * 512  # 2048 bytes that look like frames
    plain = read_frames(path)
    path.write_bytes(tag + content + b"TAG" + bytes(125))
    assert read_frames(path) == plain


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xfb\x90", b"ID3", b"\xff" * 100_000, b"RIFF" + bytes(1000)])
def test_files_without_frames(content):
    Path("other").write_bytes(content)
    assert read_frames(Path("other")).n_frames == 0
