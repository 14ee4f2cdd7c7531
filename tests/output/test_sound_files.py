"""The sound of a clip in one file, or in a file for each chapter beside a playlist: together they have every sample."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import cover, png, tags
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.audio.encoding import Encoding
from bark_infinity.audio.tags import Tags
from bark_infinity.output.sound_files import SoundPlan, chapter_file_name, open_sound

TITLES = ("One", "The Storm: 100% #1", "One", "三")


def opened(titles=TITLES, format: str = "wav", in_chapters: bool = True):
    whole = Tags({"title": "Tales", "artist": "Ann", "software": "Bark"}, png(), titles)
    return open_sound(Path("work"), SoundPlan(Path("out/tales"), Encoding(format), whole), in_chapters)


def write(sound, lengths=(30_000, 70_000, 10, 24_000)) -> np.ndarray:
    """Noise of these lengths, chapter by chapter, in blocks; returns all of it."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, sum(lengths)).astype(np.float32)
    for chapter, piece in enumerate(np.split(noise, np.cumsum(lengths)[:-1])):
        for block in np.array_split(piece, 3):
            sound.write(block, chapter)
    return noise


def test_chapter_files_have_every_sample_and_the_playlist_lists_them():
    sound = opened()
    noise = write(sound)
    sound.close([])
    sound.use_name("tales_1")
    assert list(sound.suffixes) == [".m3u8", ".chapters"]
    names = sorted(os.listdir("work.chapters"))
    assert names == ["01 One.wav", "02 The Storm_ 100_ _1.wav", "03 One.wav", "04 三.wav"]
    pieces = [soundfile.read(f"work.chapters/{name}", dtype="float32")[0] for name in names]
    np.testing.assert_allclose(np.concatenate(pieces), noise, atol=1 / 32_000)
    assert Path("work.m3u8").read_text(encoding="utf-8") == (
        "#EXTM3U\n#EXTINF:1.250,One\ntales_1.chapters/01 One.wav\n"
        "#EXTINF:2.917,The Storm: 100% #1\ntales_1.chapters/02 The Storm_ 100_ _1.wav\n"
        "#EXTINF:0.000,One\ntales_1.chapters/03 One.wav\n#EXTINF:1.000,三\ntales_1.chapters/04 三.wav\n"
    )
    assert sound.level.samples == len(noise) and sound.level.peak == np.abs(noise).max()


@pytest.mark.parametrize("format", ["mp3", "m4b", "flac"])
def test_each_file_says_which_chapter_of_which_book_it_is(format):
    sound = opened(format=format)
    write(sound)
    sound.close([])
    sound.discard()
    path = Path(f"work.chapters/02 The Storm_ 100_ _1.{format}")
    found = tags(path)
    assert (found["title"], found["album"], found["artist"]) == ("The Storm: 100% #1", "Tales", "Ann")
    assert found["track"] == "2/4"
    assert cover(path) == (None if format == "flac" else png())


def test_chapter_without_sound_has_no_file():
    sound = opened()
    write(sound, (0, 100, 0, 100))
    sound.close([])
    assert [name[:2] for name in sorted(os.listdir("work.chapters"))] == ["02", "04"]


def test_only_one_file_is_open_at_a_time():
    sound = opened()
    sound.write(np.ones(10, np.float32), 0)
    first = sound._file
    sound.write(np.ones(10, np.float32), 1)
    assert first._file.closed and not sound._file._file.closed
    sound.discard()
    assert sound._file._file.closed


def test_one_file_has_everything():
    sound = opened(in_chapters=False)
    noise = write(sound)
    sound.close([])
    sound.use_name("tales_1")
    assert list(sound.suffixes) == [".wav"] and os.listdir() == ["work.wav"]
    np.testing.assert_allclose(soundfile.read("work.wav", dtype="float32")[0], noise, atol=1 / 32_000)


@given(st.lists(st.text(), min_size=1, max_size=5), st.data())
def test_names_of_files_are_possible_everywhere(titles, data):
    name = chapter_file_name(data.draw(st.integers(0, len(titles) - 1)), titles, "m4b")
    assert name.endswith(".m4b") and name[:2].isdigit() and len(name.encode()) < 200
    assert not set(name) & set('<>:"/\\|?*#%\n\r\t\0') and not name.removesuffix(".m4b").endswith((" ", "."))


def test_numbers_sort_with_many_chapters():
    assert chapter_file_name(6, ["x"] * 120, "mp3") == "007 x.mp3"
