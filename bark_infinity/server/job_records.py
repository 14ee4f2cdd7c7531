"""What is kept of jobs on the disk: a record of each in a queue file, which survives a kill at any moment."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import OutputError, UsageError
from ..files import errors_naming, make_folder, read_bounded, sync_folder, to_disk, write_whole
from ..run.locks import open_locked
from .job_views import JobState

FOLDER = ".bark-jobs"
"""The hidden folder, in the output folder, of the queue file and of what jobs speak."""
_QUEUE, _LOCK = "queue.jsonl", "lock"
_MAX_BYTES = (
    1_000_000_000  # of the queue file; a job has about 1 kB, and each of its changes a line until the next start
)
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class ClipRecord:
    """A clip of a job. `name`: of its files, without suffix. `place`: indexes of its prompt and of its take.

    `files`: names in the output folder, the audio first; empty until it is finished. `revision`: when that was.
    """

    name: str
    n_segments: int
    place: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    files: tuple[str, ...] = ()
    revision: int = 0


@dataclass(frozen=True)
class Change:
    """What is to be changed in a finished clip. `segments`: by their index in the clip, what is wanted of each.

    `kind`: "texts" (new texts), "again" (other seeds; the values say nothing) or "takes" (indexes of takes).
    """

    clip: int
    kind: str
    segments: Mapping[int, str | int]

    def moved(self, places: Mapping[int, int]) -> Change:
        """The same change of a clip whose segments have other places: {old: new}; those that are gone are left out."""
        kept = {places[k]: wanted for k, wanted in self.segments.items() if k in places}
        return dataclasses.replace(self, segments=kept)


@dataclass(frozen=True)
class Swap:
    """A changed clip that is finished and about to take the place of `old`. `clip`: its index in the job."""

    clip: int
    new: ClipRecord
    old: ClipRecord


@dataclass(frozen=True)
class JobRecord:
    """A job, as it is kept. `state`: WAITING also while it runs.

    `source`: the name of the file in the job's folder that is spoken; None: it began with a finished clip of the command
    line. `is_text`: whether that is a given text, and no uploaded file. `order`: the waiting jobs run from the lowest to
    the highest. `run`: how many runs of it are over, the first one and those of its changes. `moved_up`: whether its
    segments go before those of other jobs, by their order.
    """

    id: str
    name: str
    origin: str
    created: float
    order: float
    state: JobState = JobState.WAITING
    options: Mapping[str, object] = field(default_factory=dict)
    source: str | None = None
    is_text: bool = True
    text: str = ""
    clips: tuple[ClipRecord, ...] = ()
    changes: tuple[Change, ...] = ()
    swap: Swap | None = None
    run: int = 0
    error: str | None = None
    note: str | None = None
    moved_up: bool = False

    @property
    def journal(self) -> str:
        """The name of the journal of its current run."""
        return f"job-{self.id}-{self.run}"

    def with_clip(self, index: int, clip: ClipRecord) -> JobRecord:
        """The same job with another clip in the place of one."""
        return dataclasses.replace(self, clips=(*self.clips[:index], clip, *self.clips[index + 1 :]))

    def content(self) -> dict[str, object]:
        """This record as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> JobRecord:
        """The inverse of `content`. Raises KeyError, TypeError or ValueError for anything else."""
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        swap = known.get("swap")
        known |= {
            "state": JobState(known["state"]),
            "clips": tuple(map(_clip, known["clips"])),
            "changes": tuple(Change(c["clip"], c["kind"], _by_index(c["segments"])) for c in known["changes"]),
            "swap": None if swap is None else Swap(swap["clip"], _clip(swap["new"]), _clip(swap["old"])),
        }
        return cls(**known)


def _clip(content: Mapping[str, Any]) -> ClipRecord:
    return ClipRecord(**{**content, "files": tuple(content["files"]), "place": tuple(content["place"])})


def _by_index(content: Mapping[str, Any]) -> dict[int, str | int]:
    return {int(k): wanted for k, wanted in content.items()}


class QueueFile:
    """The queue of an output folder, locked by this process. Every change is on the disk when its method returns.

    It is written whole when it is opened, and each change is appended as a line: the last line of a job counts. A line that
    was cut off by a kill is as if it had never been written. Methods that write raise OutputError.
    """

    def __init__(self, folder: Path):
        """`folder`: the output folder. Raises UsageError if another server uses it, OutputError."""
        self._folder = folder / FOLDER
        self._path = self._folder / _QUEUE
        make_folder(self._folder)
        with errors_naming(self._folder):
            lock = open_locked(self._folder / _LOCK)
        if lock is None:
            raise UsageError(
                f"another server works in the folder {folder}; stop it, or give this one another --output_dir"
            )
        self._lock = lock
        try:
            self.records, self.hidden = self._read()
            self._file = self._rewrite()
        except BaseException:
            lock.close()
            raise

    def _read(self) -> tuple[dict[str, JobRecord], set[str]]:
        """All records, by id, and the names of finished clips that are not to be listed."""
        records: dict[str, JobRecord] = {}
        hidden: set[str] = set()
        for line in self._lines():
            with contextlib.suppress(KeyError, TypeError, ValueError, RecursionError, AttributeError):
                content = json.loads(line)
                if "hide" in content:
                    hidden.add(str(content["hide"]))
                elif content.get("removed"):
                    records.pop(content["id"], None)
                elif content.get("format", _FORMAT_VERSION) == _FORMAT_VERSION:
                    record = JobRecord.of(content)
                    records[record.id] = record
        return records, hidden

    def _lines(self) -> Iterator[bytes]:
        try:
            yield from read_bounded(self._path, _MAX_BYTES).split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(
                f"the queue of jobs {self._path} cannot be read ({error.strerror}); mend or remove it"
            ) from None

    def _rewrite(self) -> BinaryIO:
        lines = [_line({"hide": name}) for name in sorted(self.hidden)]
        lines += [_line(record.content()) for record in self.records.values()]
        write_whole(self._path, lambda file: file.writelines(lines))
        with errors_naming(self._path):
            return open(self._path, "ab")

    def put(self, record: JobRecord) -> None:
        """Keep a record, in place of the one with the same id."""
        self._append(record.content())
        self.records[record.id] = record

    def remove(self, id: str) -> None:
        """Forget a record, and delete what its job speaks."""
        self._append({"id": id, "removed": True})
        self.records.pop(id, None)
        self.remove_folder(id)

    def hide(self, name: str) -> None:
        """Remember that the finished clip of this name is not to be listed."""
        self._append({"hide": name})
        self.hidden.add(name)

    def folder_of(self, id: str) -> Path:
        """The folder of a job, for what it speaks."""
        return self._folder / id

    def remove_folder(self, id: str) -> None:
        """Delete what a job speaks."""
        shutil.rmtree(self.folder_of(id), ignore_errors=True)

    def remove_strays(self) -> None:
        """Delete folders of jobs that were never recorded, because their server was killed just then."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path.is_dir() and path.name not in self.records:
                    shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Release the lock."""
        self._file.close()
        self._lock.close()

    def _append(self, content: Mapping[str, object]) -> None:
        with errors_naming(self._path):
            self._file.write(b"\n" + _line(content))  # behind what a full disk may have cut off
            to_disk(self._file)


def _line(content: Mapping[str, object]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def keep_source(folder: Path, name: str, content: bytes | Path) -> None:
    """Write what a job speaks, or a copy of that file, into the job's folder, which is created. Raises OutputError."""
    make_folder(folder)
    if isinstance(content, bytes):
        write_whole(folder / name, lambda file: file.write(content))
    else:
        with errors_naming(folder / name), content.open("rb") as source:
            write_whole(folder / name, lambda file: shutil.copyfileobj(source, file))
    sync_folder(folder.parent)
