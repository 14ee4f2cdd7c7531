"""MP4 files: chapters to the millisecond, cover, tags and exact lengths, read back by FFmpeg's libraries and from the atoms."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from audio_files import chapters, cover, decoded, jpeg, needs_ffmpeg, png, tags

from bark_infinity.audio.chapters import Chapter
from bark_infinity.audio.encoding import Encoding
from bark_infinity.audio.formats import AV_FORMATS
from bark_infinity.audio.tags import Tags
from bark_infinity.audio.writing import AudioEncoder

TEXTS = {
    "title": "Tïtle", "artist": "An Author", "album": "Tales", "narrator": "Bob", "genre": "Audiobook", "track": "2/9",
    "software": "Bark Infinity", "comment": "seed 7", "language": "de",
}  # fmt: skip
MADE = [Chapter("Öne", 0, 36_024), Chapter("Two # 100%", 36_024, 60_000), Chapter("Three", 60_000, 72_007)]
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"tref")


def clicks(n: int = 72_007) -> np.ndarray:
    """Noise with a click at the beginning of each chapter, and at the end."""
    sound = np.random.default_rng(0).normal(0, 0.01, n).astype(np.float32)
    sound[[0, 36_024, 60_000, n - 1]] = 0.9
    return sound


def write(
    path: Path, sound: np.ndarray, made: list[Chapter] = MADE, image: bytes | None = None, rate: int = 24_000
) -> None:
    whole = Tags(TEXTS, image, tuple(one.title for one in made))
    with path.open("w+b") as file, AudioEncoder(file, path, whole, Encoding(path.suffix[1:], rate)) as encoder:
        encoder.write(sound)
        encoder.close(made)


def atoms(data: bytes, at: int = 0, end: int | None = None, path: str = "") -> Iterator[tuple[str, int, bytes]]:
    """Path, place and content of each atom."""
    end = len(data) if end is None else end
    while at < end:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        assert 8 <= size <= end - at
        name = f"{path}/{kind.decode('latin-1')}"
        yield name, at, data[at + 8 : at + size]
        if kind in CONTAINERS:
            yield from atoms(data, at + 8, at + size, name)
        at += size


@pytest.mark.parametrize("image", [png(), jpeg()])
@pytest.mark.parametrize("format", AV_FORMATS)
def test_chapters_cover_and_tags_are_read_back(format, image):
    path = Path(f"clip.{format}")
    write(path, clicks(), MADE, image)
    assert chapters(path) == [("Öne", 0, 1501), ("Two # 100%", 1501, 2500), ("Three", 2500, 3000)]
    assert cover(path) == image
    found = tags(path)
    expected = {"title": "Tïtle", "artist": "An Author", "album": "Tales", "composer": "Bob", "genre": "Audiobook"}
    expected |= {"track": "2/9", "encoder": "Bark Infinity", "comment": "seed 7", "language": "deu"}
    assert expected.items() <= found.items()
    assert found["major_brand"] == {"mp4": "isom", "m4a": "M4A ", "m4b": "M4B "}[format]
    assert found.get("media_type") == ("2" if format == "m4b" else None)  # an audiobook


@pytest.mark.parametrize("rate", [24_000, 44_100])
def test_sound_begins_at_once_and_is_as_long_as_it_was(rate):
    """The encoder's delay is cut off by an edit list, so that nothing is shifted against the chapters."""
    write(Path("clip.m4b"), clicks(), rate=rate)
    sound = np.abs(decoded(Path("clip.m4b")))
    assert len(sound) == 72_007
    for click in (0, 36_024, 60_000):
        start = max(0, click - 5_000)
        assert start + np.argmax(sound[start : click + 5_000]) == click
    data = Path("clip.m4b").read_bytes()
    (edit,) = [body for name, _, body in atoms(data) if name == "/moov/trak/edts/elst"][:1]
    assert [int.from_bytes(edit[at : at + 4], "big") for at in (4, 8, 12)] == [1, 72_007, 1024]


def test_index_is_at_the_front_and_chapters_are_written_in_both_ways():
    write(Path("clip.m4b"), clicks(), MADE, png())
    data = Path("clip.m4b").read_bytes()
    found = list(atoms(data))
    assert [name for name, _, _ in found if name.count("/") == 1] == ["/ftyp", "/moov", "/free", "/mdat"]
    nero = next(body for name, _, body in found if name == "/moov/udta/chpl")
    assert nero[8] == 3 and int.from_bytes(nero[9:17], "big") == 0
    second = 9 + 8 + 1 + nero[17]
    assert int.from_bytes(nero[second : second + 8], "big") == 15_010_000  # in units of 100 ns
    assert any(name == "/moov/trak/tref/chap" for name, _, _ in found)


def test_a_thousand_chapters_are_kept():
    made = [Chapter(f"Psalm {k}", 72 * k, 72 * (k + 1)) for k in range(1000)]
    write(Path("clip.m4b"), clicks(), made)
    assert chapters(Path("clip.m4b")) == [(f"Psalm {k}", 3 * k, 3 * (k + 1)) for k in range(1000)]


def test_sound_is_on_disk_before_the_end():
    noise = np.random.default_rng(0).normal(0, 0.2, 65_536).astype(np.float32)
    path, sizes = Path("clip.m4b"), []
    with path.open("w+b") as file, AudioEncoder(file, path, Tags(TEXTS), Encoding("m4b")) as encoder:
        for _ in range(6):
            encoder.write(noise)
            file.flush()
            sizes.append(path.stat().st_size)
    assert sizes[-1] > 4 * sizes[0] > 0


class FullDisk:
    """A file that fails after so many bytes, and counts what is asked of it afterwards."""

    def __init__(self, file, most: int):
        self.file, self.left, self.late = file, most, 0

    def write(self, data):
        self.late += self.left < 0
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("most", [0, 10_000, 36_500])
def test_full_disk_raises_the_error_of_the_file_and_writes_no_more(most):
    noise = np.random.default_rng(0).normal(0, 0.2, 72_000).astype(np.float32)
    with Path("clip.m4b").open("w+b") as file:
        full = FullDisk(file, most)
        with pytest.raises(OSError) as failed:
            with AudioEncoder(full, Path("clip.m4b"), Tags(TEXTS), Encoding("m4b")) as encoder:
                encoder.write(noise)
                encoder.close(MADE)
        assert failed.value.errno == errno.ENOSPC and full.late == 0


def test_interrupt_in_the_middle_of_writing_comes_through():
    with Path("clip.m4b").open("w+b") as file:
        full = FullDisk(file, 0)

        def interrupt(data):
            raise KeyboardInterrupt

        full.write = interrupt
        with pytest.raises(KeyboardInterrupt):
            with AudioEncoder(full, Path("clip.m4b"), Tags(TEXTS), Encoding("m4b")) as encoder:
                encoder.write(clicks())


def test_discarded_encoder_does_not_complete_the_file():
    with Path("clip.m4b").open("w+b") as file:
        encoder = AudioEncoder(file, Path("clip.m4b"), Tags(TEXTS), Encoding("m4b"))
        encoder.write(clicks())
        encoder.discard()
        encoder.discard()
    assert b"moov" not in Path("clip.m4b").read_bytes()


@needs_ffmpeg
def test_ffprobe_finds_the_same_chapters():
    write(Path("clip.m4b"), clicks(), MADE, png())
    command = ["ffprobe", "-v", "error", "-of", "csv=p=0", "-show_entries", "chapter=start_time,end_time", "clip.m4b"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert found == ["0.000000,1.501000", "1.501000,2.500000", "2.500000,3.000000"]


@pytest.mark.skipif(shutil.which("mpv") is None, reason="the player mpv is not on the PATH")
def test_a_player_seeks_to_the_third_chapter():
    write(Path("clip.m4b"), clicks(), MADE, png())
    command = ["mpv", "--no-video", "--ao=null", "--start=#3", "--end=#4", "--msg-level=all=v", "clip.m4b"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=60)
