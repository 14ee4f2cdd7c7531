"""Writes the sound of a clip as it comes: into one audio file, or into a file for each chapter beside a playlist."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from ..audio.chapters import Chapter
from ..audio.encoding import Encoding
from ..audio.tags import Tags
from ..audio.writing import AudioEncoder, Level
from ..files import portable_stem, to_disk, write_whole
from ..options.table import Options
from ..run.naming import FOLDER_SUFFIX, PLAYLIST_SUFFIX

_NOT_IN_PLAYLISTS = re.compile("[#%]")  # characters that some players take for the beginning of a comment or an escape
_LEAST_DIGITS = 2
_SHOP_KBITS = 192  # the constant bit rate that ACX asks of MP3 files; below 32 kHz, MP3 has less


class SoundSink(Protocol):
    """Takes the sound of a clip in order, block by block; OSError and OutputError are raised as they come.

    A filter, such as one that changes the loudness, is a sink in front of another one: what it does to the sound it hands
    on with the chapter it got it with. It is done when `close` is called, and closes the other one.
    """

    @property
    def level(self) -> Level:
        """Statistics of the samples that are encoded so far."""

    def write(self, samples: np.ndarray, chapter: int) -> None:
        """The next samples (n,) float32, and the chapter that they belong to, as an index that never falls."""

    def close(self, chapters: Sequence[Chapter]) -> None:
        """Complete the files and flush them to disk. `chapters`: for the one file; empty if the clip has none."""

    def discard(self) -> None:
        """Release everything, in any state; files that are not complete may stay. Raises nothing but from the system."""


class SoundFiles(SoundSink, Protocol):
    """The sink behind all others, which writes files beside each other in a work folder."""

    @property
    def suffixes(self) -> Sequence[str]:
        """What is added to the name of the clip for each file or folder; the first one is what a user opens."""

    def use_name(self, stem: str) -> None:
        """Make the complete files fit for this name of the clip; they are renamed afterwards."""


@dataclass(frozen=True)
class SoundPlan:
    """What is to be written. `path`: the final path, for messages. `most_samples`: an upper bound at the encoding's rate."""

    path: Path
    encoding: Encoding
    tags: Tags  # with the titles of all chapters
    most_samples: int = 0


def encoding_of(options: Options) -> Encoding:
    """How resolved options want the sound of a clip to be encoded."""
    for_shop = options.audio_format == "mp3" and options.loudness == "audiobook"
    return Encoding(
        options.audio_format,
        options.sample_rate,
        _SHOP_KBITS if for_shop else None,
        options.output_format_ffmpeg_parameters or "",
    )


def open_sound(base: Path, plan: SoundPlan, in_chapters: bool) -> SoundFiles:
    """Open the files of a clip. `base`: their path before they are renamed, without suffix. Raises OSError."""
    return ChapterFiles(base, plan) if in_chapters else OneFile(base, plan)


class OneFile:
    """One audio file, with chapters inside if its format has them."""

    def __init__(self, base: Path, plan: SoundPlan):
        self.suffixes = (f".{plan.encoding.format}",)
        self._file = _OpenFile(base.with_name(base.name + self.suffixes[0]), plan, plan.tags)

    @property
    def level(self) -> Level:
        return self._file.encoder.level

    def write(self, samples: np.ndarray, chapter: int) -> None:
        self._file.encoder.write(samples)

    def close(self, chapters: Sequence[Chapter]) -> None:
        self._file.complete(chapters)

    def use_name(self, stem: str) -> None:
        pass  # nothing in it names it

    def discard(self) -> None:
        self._file.discard()


class ChapterFiles:
    """A folder with one audio file for each chapter that has a sound, numbered and named by its title, and a playlist."""

    def __init__(self, base: Path, plan: SoundPlan):
        self.suffixes = (PLAYLIST_SUFFIX, FOLDER_SUFFIX)
        self.level = Level()
        self._base, self._plan = base, plan
        self._folder = base.with_name(base.name + FOLDER_SUFFIX)
        self._folder.mkdir()
        self._chapter = -1
        self._file: _OpenFile | None = None
        self._finished: list[tuple[Path, str, float]] = []  # name, title and seconds of each

    def write(self, samples: np.ndarray, chapter: int) -> None:
        if not len(samples):
            return
        if chapter != self._chapter:
            self._finish_chapter()
            self._chapter, self._file = chapter, self._begin(chapter)
        assert self._file is not None
        self._file.encoder.write(samples)

    def close(self, chapters: Sequence[Chapter]) -> None:
        self._finish_chapter()

    def use_name(self, stem: str) -> None:
        lines = [
            f"#EXTINF:{seconds:.3f},{title}\n{stem}{FOLDER_SUFFIX}/{path.name}\n"
            for path, title, seconds in self._finished
        ]
        text = "".join(["#EXTM3U\n", *lines])
        playlist = self._base.with_name(self._base.name + PLAYLIST_SUFFIX)
        write_whole(playlist, lambda file: file.write(text.encode()))

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()

    def _begin(self, chapter: int) -> _OpenFile:
        tags, titles = self._plan.tags, self._plan.tags.chapters
        own = {"title": titles[chapter], "track": f"{chapter + 1}/{len(titles)}"}
        own = {"album": tags.texts.get("title", "")} | dict(tags.texts) | own
        name = chapter_file_name(chapter, titles, self._plan.encoding.format)
        return _OpenFile(self._folder / name, self._plan, replace(tags, texts=own, chapters=()))

    def _finish_chapter(self) -> None:
        if self._file is None:
            return
        self._file.complete(())
        level, title = self._file.encoder.level, self._plan.tags.chapters[self._chapter]
        self.level.include(level)
        seconds = level.samples / self._plan.encoding.sample_rate
        self._finished.append((self._file.path, " ".join(title.split()), seconds))
        self._file = None


class _OpenFile:
    """An audio file that is being encoded."""

    def __init__(self, path: Path, plan: SoundPlan, tags: Tags):
        self.path = path
        with contextlib.ExitStack() as stack:
            self._file: BinaryIO = stack.enter_context(path.open("x+b"))
            self.encoder = AudioEncoder(self._file, plan.path, tags, plan.encoding, plan.most_samples)
            stack.callback(self.encoder.discard)
            self._resources = stack.pop_all()

    def complete(self, chapters: Sequence[Chapter]) -> None:
        self.encoder.close(chapters)
        to_disk(self._file)
        self._resources.close()

    def discard(self) -> None:
        """Raises OSError if buffered bytes cannot be written."""
        self._resources.close()


def chapter_file_name(chapter: int, titles: Sequence[str], format: str) -> str:
    """The name of the file of a chapter, which every file system takes: "03 The Storm.m4b"."""
    digits = max(_LEAST_DIGITS, len(str(len(titles))))
    title = _NOT_IN_PLAYLISTS.sub("_", " ".join(titles[chapter].split()))
    return f"{chapter + 1:0{digits}} {portable_stem(title)}.{format}"
