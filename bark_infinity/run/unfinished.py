"""What is seen of unfinished clips in an output folder without taking their locks, and the removal of a named run."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import PARTIAL_SUFFIX
from .journal import LOCK_FILE, PLAN_FILE, SEGMENTS_FOLDER, RunJournal, named_file, read_json


@dataclass(frozen=True)
class UnfinishedClip:
    """An unfinished clip. `run`: the name of its run's file. `texts`: text, speaker and chapter of each segment.

    `digests`: of text, seeds and settings of each segment. `place`: indexes of its prompt and of its take.
    """

    folder: Path
    run: str
    place: tuple[int, int]
    texts: tuple[tuple[str, str | None, str | None], ...]
    digests: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the clip, unless that is taken when it is finished."""
        return self.folder.name.removesuffix(PARTIAL_SUFFIX)

    @property
    def lock(self) -> Path:
        """The file of which the process that makes the clip holds a lock."""
        return self.folder / LOCK_FILE

    def saved_takes(self) -> dict[Path, int]:
        """The files of all saved takes, and the time of the last change of each, in ns.

        `journal.read_take` reads one; its `about` has the "segment" that it is of.
        """
        found: dict[Path, int] = {}
        with contextlib.suppress(OSError), os.scandir(self.folder / SEGMENTS_FOLDER) as entries:
            for entry in entries:
                if entry.name.endswith(".npz"):
                    with contextlib.suppress(OSError):
                        found[Path(entry.path)] = entry.stat().st_mtime_ns
        return found


def unfinished_clips(folder: Path) -> Iterator[UnfinishedClip]:
    """Yield the unfinished clips of a folder, by name. Those of earlier versions have no texts."""
    for path in sorted(folder.glob(f"[!.]*{PARTIAL_SUFFIX}")):
        if (clip := unfinished_clip(path)) is not None:
            yield clip


def unfinished_clip(path: Path) -> UnfinishedClip | None:
    """The unfinished clip in a folder; None if there is none, or it is damaged."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return _read(path, read_json(path / PLAN_FILE))
    return None


def _read(path: Path, about: Mapping[str, Any]) -> UnfinishedClip:
    prompt, take = map(int, about["place"])
    digests = tuple(map(str, about["segments"]))
    texts = tuple((_text(text) or "", _text(name), _text(chapter)) for text, name, chapter in about.get("texts", ()))
    if len(texts) != len(digests):
        texts = (("", None, None),) * len(digests)
    return UnfinishedClip(path, str(about["run"]), (prompt, take), texts, digests)


def _text(value: object) -> str | None:
    """A text as UTF-8 can have it."""
    return None if value is None else str(value).encode(errors="replace").decode()


def number_of_take(path: Path) -> int:
    """The index of the take that a file of `saved_takes` holds."""
    _, dash, number = path.stem.rpartition("-")
    return int(number) if dash and number.isdecimal() else 0


def finished_in(path: Path) -> list[str]:
    """The names of the audio files of all clips that a run's file says are finished; empty if it is missing or damaged."""
    names = []
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                names.append(str(json.loads(line)["path"]))
    return names


def remove_run(folder: Path, name: str, keep_finished: bool = False) -> bool:
    """Remove the journal of that name and its unfinished clips, if there are any; False if another process works on it.

    `keep_finished`: the journal stays if it has finished clips, which a later run does not make again.
    """
    file = named_file(name)
    if not (folder / file).exists() and not any(clip.run == file for clip in unfinished_clips(folder)):
        return True
    journal = RunJournal.named(folder, name, lambda _: "", 0)
    if journal is not None and keep_finished:
        journal.close(complete=True)
    elif journal is not None:
        journal.remove()
    return journal is not None
