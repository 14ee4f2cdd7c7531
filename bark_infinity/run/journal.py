"""The journal of a run, from which it is resumed: a hidden file per run, and a folder `<clip>.partial` per unfinished clip.

A run's file is JSON lines: one with the drawn seed, then one for each finished clip. A clip's folder has the tokens of
its finished segments, each in a file named by the fingerprint of its inputs, and the output files that are not complete.
The process that works on such a file or folder holds its lock; the system releases the lock when the process ends.

Output folders belong to the user, so a folder is used or removed only if its lock file holds our marker. The marker is
written before the folder gets its name, and removed last.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import VoiceError
from ..files import (
    PARTIAL_SUFFIX,
    errors_naming,
    make_folder,
    name_together,
    remove_stale_temporaries,
    sync_folder,
    to_disk,
    write_whole,
)
from ..seeds import MAX_SEED
from ..voices.npz import VOICE_ARRAYS, read_npz
from ..voices.voice import Voice
from .locks import open_locked
from .naming import numbered
from .planning import ClipPlan
from .takes import RecordedTakes

FORMAT_VERSION = 1
_RUN_PREFIX, _RUN_SUFFIX = ".run-", ".jsonl"
_RUN_NAME = re.compile(r"\.run-[0-9a-f]{16}\.jsonl")
_MAX_BYTES = 100_000_000  # most that is read of a run's file: a million clips
PLAN_FILE, LOCK_FILE, SEGMENTS_FOLDER = "plan.json", "lock", "segments"
"""The names of what is in the folder of an unfinished clip."""
_MARKER = b"bark_infinity: the tokens of a clip that is not finished\n"  # in the lock file of a clip's folder
_HIDDEN_NAME = re.compile(rf"\.bark-infinity-[0-9a-f]{{16}}{re.escape(PARTIAL_SUFFIX)}")  # being created or removed
_FIRST_TAKE = re.compile(r"[^-]*\.npz")  # of a segment; the names of the files of further ones have their numbers
_ABOUT = "about"  # the array in a segment's file that holds JSON


@dataclass(frozen=True, eq=False)
class KeptSegment:
    """A take of a segment saved in the journal, or the chosen one of a finished clip.

    `about`: counts and seconds by name, and what was heard. `takes`: all takes of a finished clip's segment.
    """

    voice: Voice
    about: Mapping[str, Any]  # parsed JSON, which may come from a damaged file
    takes: RecordedTakes | None = None


class ClipJournal:
    """The folder of an unfinished clip, locked by this process. Methods that write raise OutputError."""

    def __init__(self, folder: Path, lock: BinaryIO):
        self.folder, self._lock = folder, lock
        self._segments, self._naming = folder / SEGMENTS_FOLDER, folder / "naming.json"
        self.work = folder / "writing"
        """The folder for output files that are not complete; empty at first."""

    @classmethod
    def create(cls, folder: Path) -> ClipJournal:
        """Create a new folder and lock it. Raises FileExistsError if the name is taken, OSError."""
        while True:  # again if another process mistook the folder for an abandoned one and removed it
            hidden = _hidden_name(folder.parent)
            hidden.mkdir(parents=True)
            with contextlib.suppress(FileNotFoundError):
                (hidden / LOCK_FILE).write_bytes(_MARKER)
                _rename_folder_to_new(hidden, folder)
                if clip := cls.claim(folder):
                    return clip

    @classmethod
    def claim(cls, folder: Path) -> ClipJournal | None:
        """Lock a folder that an earlier process left; None if it is not ours or another process has locked it."""
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            if _is_ours(folder) and (lock := open_locked(folder / LOCK_FILE)):
                return cls(folder, lock)
        return None

    def begin(self, about: Mapping[str, object]) -> None:
        """Record which clip the folder belongs to (`about`), and empty the work folder."""
        with errors_naming(self.folder):
            self._clear()
            self._segments.mkdir(exist_ok=True)
            self.work.mkdir(exist_ok=True)
        _write_json(self.folder / PLAN_FILE, about)

    @property
    def about(self) -> Mapping[str, Any]:
        """What `begin` recorded; empty before that."""
        return read_json(self.folder / PLAN_FILE)

    def kept(self) -> int:
        """The number of segments with a saved take, including damaged ones."""
        with contextlib.suppress(OSError):
            return sum(_FIRST_TAKE.fullmatch(name) is not None for name in os.listdir(self._segments))
        return 0

    def keep(self, key: str, segment: KeptSegment, take: int = 0) -> None:
        """Save a take of a segment under the segment's `key`; it is on the disk when this returns."""
        about = np.frombuffer(json.dumps(segment.about).encode(), np.uint8)
        # Any, because mypy takes one of these keywords for `savez_compressed`'s own bool argument
        arrays: dict[str, Any] = segment.voice.prompts() | {_ABOUT: about}
        write_whole(self._path_of(key, take), lambda file: np.savez_compressed(file, **arrays))

    def recall(self, key: str, take: int = 0) -> KeptSegment | None:
        """The take of a segment saved under `key`; None if there is none or it is damaged."""
        path = self._path_of(key, take)
        return read_take(path) if path.exists() else None  # one that is damaged is generated again

    def name(self, moves: Sequence[tuple[Path, Path]]) -> None:
        """Move finished files from the work folder to their final names: all or none, even if the process is killed meanwhile.

        Raises FileExistsError, OSError.
        """
        _write_json(self._naming, {"moves": [(hidden.name, path.name) for hidden, path in moves]})
        try:
            name_together(moves)
        except BaseException:
            self._naming.unlink()
            raise
        sync_folder(self.folder.parent)

    def named(self) -> Path | None:
        """The clip's audio file, if its process was killed in `name`; completes the remaining moves. None otherwise."""
        names = read_json(self._naming).get("moves") or []
        moves = [(_inside(self.work, hidden), _inside(self.folder.parent, name)) for hidden, name in names]
        open_moves = [(hidden, path) for hidden, path in moves if not _is_moved(hidden, path)]
        if not moves or moves[0] in open_moves:
            return None
        with contextlib.suppress(OSError):
            name_together(open_moves)
        return moves[0][1]

    def _path_of(self, key: str, take: int) -> Path:
        return self._segments / (f"{key}-{take}.npz" if take else f"{key}.npz")

    def remove(self) -> None:
        """Delete the folder and release its lock."""
        hidden = _hidden_name(self.folder.parent)
        try:
            os.rename(self.folder, hidden)  # first, so that other processes find all of it or nothing
        except OSError:  # Windows cannot rename a folder with an open file
            hidden = self.folder
        self._lock.close()
        _remove_folder(hidden)

    def leave(self) -> None:
        """Release the lock, so that a later run can resume the clip. A folder without a saved segment is removed."""
        if self.named() is None:  # else the clip is finished, but the run was stopped before it could record that
            if not self.kept():
                self.remove()
                return
            self._clear()
        self._lock.close()

    def _clear(self) -> None:
        """Remove incomplete output files."""
        with contextlib.suppress(OSError):
            self._naming.unlink()
        shutil.rmtree(self.work, ignore_errors=True)


def read_take(path: Path) -> KeptSegment | None:
    """A saved take of a segment; None if it is missing or damaged."""
    try:
        arrays = read_npz(path, (*VOICE_ARRAYS, _ABOUT))
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        voice = Voice(*(usable_tokens(name, arrays[name]) for name in VOICE_ARRAYS))
    except (VoiceError, KeyError, ValueError, RecursionError):
        return None
    return KeptSegment(voice, about) if isinstance(about, dict) else None


def about_take(path: Path) -> Mapping[str, Any]:
    """What is recorded of a saved take, without its tokens; empty if it is missing or damaged."""
    with contextlib.suppress(VoiceError, KeyError, ValueError, RecursionError):
        about = json.loads(read_npz(path, (_ABOUT,))[_ABOUT].tobytes())
        if isinstance(about, dict):
            return about
    return {}


def usable_tokens(name: str, tokens: np.ndarray) -> np.ndarray:
    """The array `name` of a voice, of any length, as int64. Raises ValueError for a wrong shape, type or value."""
    dimensions, rows, n_ids, _ = VOICE_ARRAYS[name]
    if tokens.ndim != dimensions or (rows and len(tokens) != rows) or tokens.dtype.kind not in "iu":
        raise ValueError(f"{name} has the shape {tokens.shape}")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < n_ids:
        raise ValueError(f"{name} has values outside 0..{n_ids - 1}")
    return tokens.astype(np.int64)


def _inside(folder: Path, name: str) -> Path:
    """The path of a file in a folder. Raises ValueError for a name that leads elsewhere."""
    if name in ("", ".", "..") or name != Path(name).name:
        raise ValueError(f"{name} is no name of a file")
    return folder / name


def _is_moved(hidden: Path, path: Path) -> bool:
    """Whether a file has its final name. If it has both names (its process was killed just then), the hidden one is removed."""
    with contextlib.suppress(OSError):
        if os.path.samefile(hidden, path):
            hidden.unlink()
    return path.exists() and not hidden.exists()


class RunJournal:
    """The file of a run, locked by this process, and the folders of its clips. Methods that write raise OutputError."""

    def __init__(self, path: Path, file: BinaryIO | None, key: Callable[[ClipPlan], str], seed: int = 0):
        """`key`: digests everything that the files of a clip depend on. `seed`: the drawn seed of the run."""
        self._path, self._file, self._key, self.seed = path, file, key, seed
        self._stays = False  # whether the file stays when the run is complete
        self._open: dict[tuple[int, int], ClipJournal] = {}  # clips in progress, by prompt and take
        self._left: dict[
            tuple[int, int], ClipJournal
        ] = {}  # unfinished clips of an earlier process, by prompt and take
        self._folders: set[Path] = set()  # of all clips that were unfinished when this run found or began them
        self._done: dict[str, Path] = {}  # audio files of finished clips, by key

    @classmethod
    def start(cls, folder: Path, key: Callable[[ClipPlan], str], seed: int) -> RunJournal:
        """A new run with the drawn seed `seed`. Its file, and the folder if it is missing, are created with the first clip."""
        return cls(folder / f"{_RUN_PREFIX}{secrets.token_hex(8)}{_RUN_SUFFIX}", None, key, seed)

    @classmethod
    def unfinished(cls, folder: Path, key: Callable[[ClipPlan], str]) -> Iterator[RunJournal]:
        """Yield the unfinished runs of a folder that no other process works on, the latest first.

        The caller resumes or closes each.
        """
        _sweep(folder)
        paths = [path for path in folder.glob(f"{_RUN_PREFIX}*") if _RUN_NAME.fullmatch(path.name) and path.is_file()]
        for path in sorted(paths, key=_changed, reverse=True):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):  # not ours, or damaged
                if file := open_locked(path):
                    journal = cls(path, file, key)
                    try:
                        journal._read(file)
                    except BaseException:
                        file.close()
                        raise
                    yield journal

    @classmethod
    def named(
        cls, folder: Path, name: str, key: Callable[[ClipPlan], str], seed: int, resume: bool = True
    ) -> RunJournal | None:
        """The journal with this name, such as shard-1-of-3, new or of an earlier process; None if another one works on it.

        Because of its fixed name only one of two processes gets it, and no run that looks for `unfinished` ones takes it. It
        stays when all clips are finished, until `remove`. `resume`: whether what an earlier process has finished
        counts.
        """
        _sweep(folder)
        make_folder(folder)
        path = folder / named_file(name)
        with errors_naming(path):
            file = open_locked(path)
        if file is None:
            return None
        journal = cls(path, file, key, seed)
        try:
            journal._read(file)
        except (ValueError, TypeError, KeyError, RecursionError):  # new, or damaged
            journal._begin()
        if not resume:
            for clip in journal._left.values():
                clip.remove()
            journal = cls(path, file, key, seed)
            journal._begin()
        journal._stays = True
        return journal

    def _begin(self) -> None:
        """Write the first line of an empty file."""
        assert self._file is not None
        with errors_naming(self._path):
            self._file.truncate(0)
        self._add({"format": FORMAT_VERSION, "seed": self.seed})

    @property
    def own_stems(self) -> set[str]:
        """File names of the run's finished clips, without suffix."""
        return {path.name.removesuffix(path.suffix) for path in self._done.values()}

    def belongs_to(self, plans: Sequence[ClipPlan]) -> bool:
        """Whether these plans contain at least half of the run's clips, finished or not."""
        n_common = sum(self._key(plan) in self._done for plan in plans)
        n_common += sum(_is_same(self._left[place], plan) for plan in plans if (place := _place(plan)) in self._left)
        return 0 < n_common >= (len(self._done) + len(self._left)) / 2

    def done(self, plan: ClipPlan) -> Path | None:
        """The audio file of the clip if it is finished, else None."""
        return self._done.get(self._key(plan))

    def kept(self, plan: ClipPlan) -> int:
        """The number of segments that an earlier run has saved of an unfinished clip; 0 for a finished one."""
        left = self._left.get(_place(plan))
        return min(left.kept(), len(plan.segments)) if left else 0

    def clip(self, plan: ClipPlan) -> ClipJournal:
        """The folder of a clip; created or taken over at the first call, released by `finished` and `given_up`."""
        place = _place(plan)
        if place not in self._open:
            if self._file is None:
                self._create()
            with errors_naming(self._path):
                clip = self._left.pop(place, None) or _new_folder(self._path.parent, plan.stem)
            self._open[place] = clip
            self._folders.add(clip.folder)
            clip.begin(
                {
                    "run": self._path.name,
                    "place": place,
                    "key": self._key(plan),
                    "segments": _segment_digests(plan),
                    "texts": [(s.written or s.text, s.speaker, s.chapter) for s in plan.segments],
                }
            )
        return self._open[place]

    def finished(self, plan: ClipPlan, path: Path) -> None:
        """Record a clip whose files have their final names, and remove its folder. `path`: its audio file."""
        self._note_done(self._key(plan), path)
        self._open.pop(_place(plan)).remove()

    def given_up(self, plan: ClipPlan, for_good: bool) -> None:
        """Release a clip that failed. Its saved segments stay for a later run, unless `for_good`."""
        if clip := self._open.pop(_place(plan), None):
            clip.remove() if for_good else clip.leave()

    def close(self, complete: bool) -> None:
        """Release all locks. The run's file is removed if the run is complete or there is nothing to resume."""
        clips = [*self._open.values(), *self._left.values()]
        for clip in clips:
            clip.remove() if complete else clip.leave()
        if (complete and not self._stays) or not (self._done or any(folder.exists() for folder in self._folders)):
            with contextlib.suppress(OSError):
                self._path.unlink()
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Delete the file and the folders of unfinished clips, and release all locks. Finished clips stay."""
        self._stays = False
        self.close(complete=True)

    def _create(self) -> None:
        make_folder(self._path.parent)
        with errors_naming(self._path):
            self._file = open_locked(self._path)
        self._begin()

    def _note_done(self, key: str, path: Path) -> None:
        self._add({"clip": key, "path": path.name})
        self._done[key] = path

    def _add(self, line: Mapping[str, object]) -> None:
        assert self._file is not None  # `clip` has created it
        with errors_naming(self._path):
            self._file.write(json.dumps(line).encode() + b"\n")
            to_disk(self._file)

    def _read(self, file: BinaryIO) -> None:
        """Read the file and the clip folders of an earlier process. Raises ValueError, TypeError, KeyError, OSError."""
        file.seek(0)
        first, *lines = file.read(_MAX_BYTES).split(b"\n")
        content = json.loads(first)
        self.seed = content["seed"]
        if content["format"] != FORMAT_VERSION or type(self.seed) is not int or not 0 <= self.seed <= MAX_SEED:
            raise ValueError("no run of this version")
        if lines and lines[-1]:  # the last line was cut off: the next one must not be appended to it
            file.write(b"\n")
        folder = self._path.parent
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):  # the last one may be cut off
                clip = json.loads(line)
                path = _inside(folder, clip["path"])
                if path.exists():
                    self._done[str(clip["clip"])] = path
        for path in folder.glob(f"[!.]*{PARTIAL_SUFFIX}"):
            about = read_json(path / PLAN_FILE)
            if about.get("run") == self._path.name and (clip := ClipJournal.claim(path)):
                self._take(clip, about)

    def _take(self, clip: ClipJournal, about: Mapping[str, Any]) -> None:
        """Take over a clip's folder from an earlier process."""
        prompt, take = about["place"]
        if path := clip.named():
            self._note_done(str(about["key"]), path)
            clip.remove()
        else:
            self._left[prompt, take] = clip
            self._folders.add(clip.folder)


def named_file(name: str) -> str:
    """The name of the file of a journal with a name."""
    return f".{name}{_RUN_SUFFIX}"


def _place(plan: ClipPlan) -> tuple[int, int]:
    return plan.prompt_index, plan.take


def _segment_digests(plan: ClipPlan) -> list[str]:
    """A short digest of the text, the seeds and the settings of each segment."""
    contents = (repr((s.text, s.seeds, *([] if s.settings is None else [s.settings]))) for s in plan.segments)
    return [hashlib.sha256(content.encode(errors="replace")).hexdigest()[:16] for content in contents]


def _is_same(clip: ClipJournal, plan: ClipPlan) -> bool:
    """Whether the plan has at least half of the segments of the clip."""
    before = clip.about.get("segments")
    if not isinstance(before, list) or not all(isinstance(digest, str) for digest in before):
        return False
    return len(set(before) & set(_segment_digests(plan))) >= max(1, len(before) / 2)


def _new_folder(folder: Path, stem: str) -> ClipJournal:
    """Create a folder for a clip, with a number in its name if another clip has that name. Raises OSError."""
    for name in numbered(stem):
        with contextlib.suppress(FileExistsError):
            return ClipJournal.create(folder / f"{name}{PARTIAL_SUFFIX}")
    raise AssertionError("there is always another name")


def _hidden_name(folder: Path) -> Path:
    """A random name for a clip's folder while it is created or removed."""
    return folder / f".bark-infinity-{secrets.token_hex(8)}{PARTIAL_SUFFIX}"


def _rename_folder_to_new(hidden: Path, folder: Path) -> None:
    """Rename `hidden` to `folder`; if that fails, remove `hidden` and raise OSError (FileExistsError if the name is taken)."""
    try:
        if os.path.lexists(folder):
            raise FileExistsError(folder)
        os.rename(hidden, folder)
    except OSError as error:
        _remove_folder(hidden)
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):  # another process was faster
            raise FileExistsError(folder) from None
        raise


def _is_ours(folder: Path) -> bool:
    """Whether a path is a folder, not a link to one, with our marker in its lock file."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(folder.lstat().st_mode) and stat.S_ISREG((folder / LOCK_FILE).lstat().st_mode):
            with open(folder / LOCK_FILE, "rb") as file:
                return file.read(len(_MARKER)) == _MARKER
    return False


def _remove_folder(folder: Path) -> None:
    """Remove a folder of ours, its marker last, so that a rest after a kill is still known as ours. Raises nothing."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK_FILE:
                os.unlink(entry.path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / LOCK_FILE)
        os.rmdir(folder)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: temporary files, and clip folders that were being created or removed."""
    remove_stale_temporaries(folder)
    for path in folder.glob(f"*{PARTIAL_SUFFIX}"):
        hidden = _HIDDEN_NAME.fullmatch(path.name) is not None
        with contextlib.suppress(OSError):
            if (hidden or not (path / PLAN_FILE).exists()) and (clip := ClipJournal.claim(path)):
                clip.remove()
            elif hidden:
                _remove_markerless(path)


def _remove_markerless(hidden: Path) -> None:
    """Remove a folder whose process was killed before it wrote the marker or after it removed it. Raises OSError."""
    if os.listdir(hidden) == [LOCK_FILE] and (hidden / LOCK_FILE).stat().st_size == 0:
        os.unlink(hidden / LOCK_FILE)
    os.rmdir(hidden)  # only if it is empty


def _changed(path: Path) -> float:
    """The time of the last change in seconds; 0 if the file is gone."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    write_whole(path, lambda file: file.write(json.dumps(content).encode()))


def read_json(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty if the file is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        with open(path, "rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
        if isinstance(content, dict):
            return content
    return {}
