"""What is in an output folder besides the jobs of the server: finished clips, and runs of the command line."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import PARTIAL_SUFFIX
from ..run.unfinished import UnfinishedClip, unfinished_clip
from .clip_contents import files_of_clip, number_in, read_content, text_in

JOURNALS_OF_JOBS = ".job-"
"""How the names of the journals of jobs begin, whose clips are not those of the command line."""
_MANIFEST = ".json"
_SUBTITLES = ".subtitles.json"  # no manifest
_SETTLED_S = 2.0  # a folder that changed longer ago has been seen as it is, whatever the resolution of its times
_ALIVE_S = 30.0  # a run whose files changed less long ago is taken to be alive where locks cannot be seen


@dataclass(frozen=True)
class FoundClip:
    """A finished clip. `created`: when its manifest was written, in Unix seconds. `text`: its first 200 characters."""

    name: str
    created: float
    text: str
    n_segments: int
    seconds: float
    files: tuple[str, ...]


@dataclass(frozen=True)
class FoundRun:
    """A run of the command line with unfinished clips. `changed`: when it last saved something, in Unix seconds."""

    name: str  # of its journal
    clips: tuple[UnfinishedClip, ...]
    n_done: tuple[int, ...]  # segments of each clip
    changed: float
    alive: bool

    @property
    def text(self) -> str:
        """The first 200 characters of what it says."""
        return " ".join(text for text, _, _ in self.clips[0].texts[:20])[:200]


class FolderWatch:
    """Looks at an output folder without taking a lock or changing anything. What has not changed is not read again."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._seen_ns = -1  # the folder's time of change when its content was last listed and settled
        self._names: Mapping[str, tuple[int, int]] = {}
        self._partial: tuple[Path, ...] = ()
        self._known: dict[str, tuple[tuple[int, int], FoundClip | None]] = {}  # by manifest: its time and size
        self._unfinished: dict[Path, tuple[int, UnfinishedClip]] = {}

    def clips(self) -> list[FoundClip]:
        """The finished clips that have more than their manifest left, by name."""
        if self._list():
            manifests = [name for name in self._names if name.endswith(_MANIFEST) and not name.endswith(_SUBTITLES)]
            self._known = {name: self._look_at(name) for name in sorted(manifests)}
        return [clip for _, clip in self._known.values() if clip is not None and len(clip.files) > 1]

    def _look_at(self, name: str) -> tuple[tuple[int, int], FoundClip | None]:
        """A manifest's time and size, and its clip, if it is one, with the files that are there."""
        version = self._names[name]
        known, clip = self._known.get(name, (None, None))
        if known != version:
            return version, self._read(name, version[0])
        if clip is not None and clip.files != (files := files_of_clip(self._folder, clip.name, self._names.keys())):
            clip = dataclasses.replace(clip, files=files)
        return version, clip

    def runs(self) -> list[FoundRun]:
        """The runs of the command line that have unfinished clips, alive or interrupted, as of the last call of `clips`."""
        clips: dict[str, list[UnfinishedClip]] = {}
        for path in self._partial:
            clip = self._unfinished_at(path)
            if clip is not None and not clip.run.startswith(JOURNALS_OF_JOBS):
                clips.setdefault(clip.run, []).append(clip)
        locked = _locked_files() if clips else frozenset()
        return [self._run(name, sorted(own, key=lambda clip: clip.place), locked) for name, own in clips.items()]

    def _list(self) -> bool:
        """List the folder, if it may have changed since it was listed; whether it was."""
        with contextlib.suppress(OSError):
            changed = os.stat(self._folder).st_mtime_ns
            if changed == self._seen_ns:
                return False
            names: dict[str, tuple[int, int]] = {}
            partial: list[Path] = []
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or text_in(entry.name) != entry.name:
                        continue
                    if entry.name.endswith(PARTIAL_SUFFIX):
                        partial.append(Path(entry.path))
                    elif entry.name.endswith(_MANIFEST):
                        with contextlib.suppress(OSError):
                            status = entry.stat()
                            names[entry.name] = (status.st_mtime_ns, status.st_size)
                    else:
                        names[entry.name] = (0, 0)
            self._names, self._partial = names, tuple(sorted(partial))
            self._unfinished = {path: seen for path, seen in self._unfinished.items() if path in partial}
            self._seen_ns = changed if changed / 1e9 < time.time() - _SETTLED_S else -1
            return True
        return False

    def _read(self, name: str, changed_ns: int) -> FoundClip | None:
        stem = name.removesuffix(_MANIFEST)
        content = read_content(self._folder / name)
        if content is None:
            return None
        files = files_of_clip(self._folder, stem, self._names.keys())
        return FoundClip(
            stem,
            changed_ns / 1e9,
            (text_in(content.get("text")) or "")[:200],
            len(content["segments"]),
            number_in(content.get("seconds")) or 0.0,
            files,
        )

    def _unfinished_at(self, path: Path) -> UnfinishedClip | None:
        """The unfinished clip in a folder, read again when the folder has changed, as when its plan is written."""
        with contextlib.suppress(OSError):
            changed = path.stat().st_mtime_ns
            if path not in self._unfinished or self._unfinished[path][0] != changed:
                if (clip := unfinished_clip(path)) is None:
                    return None
                self._unfinished[path] = (changed, clip)
            return self._unfinished[path][1]
        return None

    def _run(self, name: str, clips: list[UnfinishedClip], locked: Collection[tuple[int, int]]) -> FoundRun:
        saved = [clip.saved_takes() for clip in clips]
        n_done = tuple(sum("-" not in path.stem for path in takes) for takes in saved)
        changed = max((time_ns for takes in saved for time_ns in takes.values()), default=0) / 1e9
        holds = any(key in locked for clip in clips if (key := _key_of(clip.lock)) is not None)
        return FoundRun(name, tuple(clips), n_done, changed, holds or changed > time.time() - _ALIVE_S)


def _key_of(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _locked_files() -> frozenset[tuple[int, int]]:
    """Device and inode of each file that a process of this machine has locked, as far as the system tells (Linux)."""
    if sys.platform != "linux":
        return frozenset()
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as file:
        return frozenset(_keys_in(file))
    return frozenset()


def _keys_in(lines: Any) -> Iterator[tuple[int, int]]:
    """The files in lines such as `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`."""
    for line in lines:
        words = line.split()
        with contextlib.suppress(ValueError, IndexError):
            major, minor, inode = words[5].split(":")
            yield os.makedev(int(major, 16), int(minor, 16)), int(inode)
