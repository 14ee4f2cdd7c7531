"""ID3 tags, read back by a small parser of its own and by FFmpeg's libraries: texts, cover, chapters and tables of contents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from audio_files import chapters, cover, decoded, jpeg, png, tags
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.audio.chapters import Chapter
from bark_infinity.audio.encoding import Encoding
from bark_infinity.audio.id3 import id3, id3_space
from bark_infinity.audio.tags import Tags
from bark_infinity.audio.writing import AudioEncoder

TEXTS = {
    "title": "Tïtle", "artist": "An Author", "album": "你好", "narrator": "Bob", "genre": "Audiobook", "track": "2/9",
    "software": "Bark Infinity", "comment": "seed 7", "language": "en-GB",
}  # fmt: skip


def synchsafe(data: bytes) -> int:
    assert all(byte < 128 for byte in data)
    return sum(byte << shift for byte, shift in zip(data, (21, 14, 7, 0), strict=True))


def frames(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and body of each frame, up to the padding."""
    at = 0
    while at < len(data) and data[at]:
        size = synchsafe(data[at + 4 : at + 8])
        yield data[at : at + 4].decode(), data[at + 10 : at + 10 + size]
        at += 10 + size
    assert not any(data[at:])


def read(data: bytes) -> list[tuple[str, bytes]]:
    assert data[:6] == b"ID3\x04\0\0" and synchsafe(data[6:10]) == len(data) - 10
    return list(frames(data[10:]))


def test_nothing_to_say_is_no_tag():
    assert id3(Tags()) == b"" and id3_space(Tags()) == 0


def test_texts_cover_and_language_have_their_frames():
    found = dict(read(id3(Tags(TEXTS, png()))))
    assert {name: body[1:].decode() for name, body in found.items() if name[0] == "T"} == {
        "TIT2": "Tïtle", "TPE1": "An Author", "TALB": "你好", "TCOM": "Bob", "TCON": "Audiobook", "TRCK": "2/9",
        "TSSE": "Bark Infinity", "TLAN": "eng",
    }  # fmt: skip
    assert found["COMM"] == b"\x03eng\0seed 7" and found["APIC"] == b"\x03image/png\0\x03\0" + png()


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.integers(0, 2**33)), max_size=9
    )
)
def test_chapters_fit_the_space_kept_for_them(drawn):
    titles = tuple(title for title, _ in drawn)
    made = [Chapter(title, start, start + 24_000) for title, start in drawn]
    whole = Tags({"title": "x"}, None, titles)
    for some in (made, made[1:], []):
        data = id3(whole, some, id3_space(whole))
        assert len(data) == id3_space(whole)
        found = [body for name, body in read(data) if name == "CHAP"]
        times = [
            [int.from_bytes(body[at : at + 4], "big") for at in (body.index(0) + 1, body.index(0) + 5)]
            for body in found
        ]
        assert times == [[min(own.start_ms, 2**32 - 1), min(own.stop_ms, 2**32 - 1)] for own in some]
        names = [dict(frames(body[body.index(0) + 17 :]))["TIT2"][1:].decode() for body in found]
        assert names == [own.title for own in some]


@pytest.mark.parametrize("n", [1, 255, 256, 1200])
def test_tables_of_contents_list_every_chapter_in_order(n):
    made = [Chapter(f"Psalm {k}", 24_000 * k, 24_000 * (k + 1)) for k in range(n)]
    found = read(id3(Tags(), made))
    tables = {body.split(b"\0")[0]: body[body.index(0) + 1 :] for name, body in found if name == "CTOC"}

    def listed(name: bytes) -> list[bytes]:
        flags, count, entries = tables[name][0], tables[name][1], tables[name][2:].split(b"\0")[:-1]
        assert len(entries) == count and flags & 1 and bool(flags & 2) == (name == b"toc")
        return [leaf for entry in entries for leaf in (listed(entry) if entry in tables else [entry])]

    assert (
        listed(b"toc") == [body[: body.index(0)] for name, body in found if name == "CHAP"] and len(listed(b"toc")) == n
    )


@pytest.mark.parametrize("image", [png(), jpeg()])
def test_ffmpeg_reads_texts_chapters_and_cover_of_an_mp3_whose_sound_begins_at_once(image):
    click = np.zeros(72_000, np.float32)
    click[[0, 36_024]] = 0.9
    made = [Chapter("Öne", 0, 36_024), Chapter("Two", 36_024, 72_000)]
    path = Path("clip.mp3")
    with (
        path.open("w+b") as file,
        AudioEncoder(file, path, Tags(TEXTS, image, ("Öne", "Two")), Encoding("mp3")) as encoder,
    ):
        encoder.write(click)
        encoder.close(made)
    assert chapters(path) == [("Öne", 0, 1501), ("Two", 1501, 3000)] and cover(path) == image
    found = tags(path)
    assert (found["title"], found["artist"], found["album"], found["composer"]) == ("Tïtle", "An Author", "你好", "Bob")
    assert (found["genre"], found["track"], found["language"]) == ("Audiobook", "2/9", "eng")
    sound = np.abs(decoded(path))
    assert np.argmax(sound[:12_000]) == 0 and 24_000 + np.argmax(sound[24_000:48_000]) == 36_024
    assert len(sound) == 72_000


def test_bit_rate_is_constant_at_44100_hz_as_shops_want_it():
    path = Path("clip.mp3")
    noise = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    with path.open("w+b") as file, AudioEncoder(file, path, Tags({}), Encoding("mp3", 44_100, 192)) as encoder:
        for level in (0.0, 1.0, 0.001, 1.0):
            encoder.write(noise * np.float32(level))
    data, at, rates = path.read_bytes(), 0, []
    while at + 4 <= len(data):
        assert data[at] == 0xFF and data[at + 1] & 0xFE == 0xFA  # MPEG 1, layer III
        kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[data[at + 2] >> 4]
        assert (data[at + 2] >> 2) & 3 == 0  # 44.1 kHz
        rates.append(kbits)
        at += 144_000 * kbits // 44_100 + (data[at + 2] >> 1 & 1)
    assert set(rates[1:]) == {192} and len(rates) > 150
