"""File names of clips: made from any text, sorted as the clips are, and not taken in the output folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

from ..audio.formats import FORMATS
from ..files import MAX_STEM_BYTES, portable_stem, safe_stem
from ..options.table import Options
from ..text.events import Script
from ..text.subtitle_formats import SUBTITLE_SUFFIXES

PLAYLIST_SUFFIX, FOLDER_SUFFIX = ".m3u8", ".chapters"  # of --chapter_files
COVER_SUFFIXES = (".cover.jpg", ".cover.png")
RESULT_SUFFIXES = (
    *(f".{name}" for name in FORMATS), *SUBTITLE_SUFFIXES.values(), ".npz", ".json", ".segments.npz", ".segments",
    PLAYLIST_SUFFIX, FOLDER_SUFFIX, *COVER_SUFFIXES,
)  # fmt: skip
_TEXT_CHARACTERS_IN_NAME = 60
_VOICE_BYTES_IN_NAME = 40


def text_for_name(text: str, script: Script | None) -> str:
    """What a clip is named after: the title of the book that it is, else its text."""
    return (script.book.title if script is not None else None) or text


def clip_stems(
    clips: Sequence[tuple[str, int, int, int]],
    n_prompts: int,
    options: Options,
    own: Container[str] = (),
    voices: Sequence[str] = (),
) -> list[str]:
    """A free file name, without suffix, for each clip of a run.

    `clips`: text, index of the prompt, index of the take and seed of each. `own`: names in the folder that belong to
    clips of this run, and so count as free. Names sort in the order of the clips: with several prompts they begin with
    the prompt's number. `voices`: those of --audition; `clips` has the prompts 0 to `n_prompts` - 1 in the first voice,
    then as many in the next one.
    """
    free = _FreeNames(Path(options.output_dir), own)
    bases = [
        _base(text, prompt % n_prompts, n_prompts, take, seed, options, voices[prompt // n_prompts] if voices else None)
        for text, prompt, take, seed in clips
    ]
    n_clips = Counter(bases)
    return [free.take(base, len(str(n_clips[base] - 1))) for base in bases]


def _base(
    text: str, prompt: int, n_prompts: int, take: int, seed: int, options: Options, auditioned: str | None
) -> str:
    given = auditioned or options.history_prompt
    voice = given or options.audio_file_as_history_prompt or "random"
    name = voice if given and not voice.endswith(".npz") else Path(voice).stem
    ending = f"-SPK-{safe_stem(name, _VOICE_BYTES_IN_NAME)}"
    to_name: Callable[[str, int], str]
    if options.output_filename is not None:
        to_name, text, ending = portable_stem, options.output_filename, ending if auditioned else ""
    else:
        to_name, text = safe_stem, _beginning(text)
        if n_prompts > 1:
            text = f"{prompt + 1:0{len(str(n_prompts))}}_{text}"
    if options.extra_stats:  # the seed makes names differ, so takes need a number to sort by
        if options.output_iterations > 1:
            ending += f"-take-{take + 1:0{len(str(options.output_iterations))}}"
        ending += f"-seed-{seed}-temp-{options.semantic_temp}-{options.coarse_temp}-{options.fine_temp}"
    return to_name(text, MAX_STEM_BYTES - len(ending.encode())) + ending


def _beginning(text: str) -> str:
    """The first words of a text, up to `_TEXT_CHARACTERS_IN_NAME` characters."""
    words = " ".join(text.split())
    if len(words) <= _TEXT_CHARACTERS_IN_NAME:
        return words
    return words[:_TEXT_CHARACTERS_IN_NAME].rpartition(" ")[0] or words[:_TEXT_CHARACTERS_IN_NAME]


class _FreeNames:
    """File stems that are used neither in the folder nor by an earlier clip of the run, on case-insensitive systems too."""

    def __init__(self, folder: Path, own: Container[str]):
        self._taken = {stem.casefold() for stem in taken_stems(folder) if stem not in own}
        self._candidates: dict[str, Iterator[str]] = {}  # by base name, the numbered names not tried yet

    def take(self, base: str, digits: int) -> str:
        """The first free name of `base`, `base_1`, `base_2`, ...; it is taken from then on."""
        candidates = self._candidates.setdefault(base, numbered(base, digits))
        stem = next(stem for stem in candidates if stem.casefold() not in self._taken)
        self._taken.add(stem.casefold())
        return stem


def taken_stems(folder: Path) -> Iterator[str]:
    """The names of all results in a folder, without suffix."""
    try:
        names = os.listdir(folder)
    except OSError:  # missing, or not readable: writing to it will report that
        return
    for name in names:
        for suffix in RESULT_SUFFIXES:
            if name.endswith(suffix):
                yield name.removesuffix(suffix)


def audio_suffix(options: Options) -> str:
    """What is added to the name of a clip for the file that a user opens."""
    return PLAYLIST_SUFFIX if options.chapter_files else f".{options.audio_format}"


def numbered(stem: str, digits: int = 1) -> Iterator[str]:
    """`stem`, `stem_1`, `stem_2`, ...; numbers are padded with zeros to `digits` digits."""
    yield stem
    number = 1
    while True:
        yield f"{stem}_{number:0{digits}}"
        number += 1
