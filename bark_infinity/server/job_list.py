"""All jobs of an output folder in memory: those of the queue, and the clips and runs of the command line beside them."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Container, Iterator
from pathlib import Path

from ..errors import BarkError, UnknownError, UnknownJobError, UsageError
from ..run.journal import named_file
from ..run.unfinished import finished_in, remove_run, unfinished_clips
from .clip_contents import ClipContents
from .folder_watch import JOURNALS_OF_JOBS, FolderWatch, FoundClip, FoundRun
from .job_entry import JobEntry
from .job_options import MOST_TEXT
from .job_records import ClipRecord, JobRecord
from .job_shelf import Shelf
from .job_views import JobState, JobView

_LOOK_S = 1.0  # between looks at the folder
_MOST_IN_MEMORY = 16  # jobs at rest whose segments stay in memory
_COMMAND_LINE = "command line"


class JobList:
    """The jobs of a folder. All methods need the lock of the shelf."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self.entries: dict[str, JobEntry] = {}
        self._watch = FolderWatch(shelf.folder)
        self._looked = 0.0
        self._found: dict[str, FoundClip] = {}  # finished clips of the command line, by the id of their job
        self._claimed: set[str] = set()  # clips of jobs whose server was killed before it had recorded them
        self._recent: dict[str, None] = {}  # jobs whose segments may be in memory, the latest last
        self._restore()
        self._look_now()

    # ---- finding jobs ----

    def entry(self, id: str) -> JobEntry:
        """A job. Raises UnknownJobError."""
        if (entry := self.entries.get(id)) is None:
            raise UnknownJobError(f"there is no job {id[:40]!r}; it may have been removed")
        return entry

    def own(self, id: str, states: Container[JobState], what: str) -> JobEntry:
        """A job that may be told to do something in these states. Raises UsageError for others, and for the command line's."""
        entry = self.entry(id)
        if entry.found is not None:
            raise UsageError(
                "the job is a run of the command line, which the server only shows; stop it where it was started"
            )
        if entry.state not in states:
            raise UsageError(f"a job that is {entry.state.value} cannot {what}")
        return entry

    def views(self, since: int) -> list[JobView]:
        """The jobs that have changed since a revision, newest first."""
        views = [entry.view() for entry in self.entries.values() if entry.revision > since]
        return sorted(views, key=lambda view: (-view.created, view.id))

    def contents(self, entry: JobEntry) -> list[ClipContents]:
        """The clips of a job with their segments. Raises BarkError if its text cannot be read any more."""
        self.remember(entry)
        return entry.contents

    def remember(self, entry: JobEntry) -> None:
        """The segments of a job are in memory or about to be; those of others that were not asked for lately are dropped."""
        id = entry.record.id
        self._recent.pop(id, None)
        self._recent[id] = None
        while len(self._recent) > _MOST_IN_MEMORY:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            if oldest in self.entries:
                self.entries[oldest].drop()

    def find(self, entry: JobEntry, segment: int) -> tuple[ClipContents, int]:
        """The clip of a segment, and the index of the segment in it. Raises UnknownError."""
        for clip in self.contents(entry):
            if clip.segments and 0 <= (k := segment - clip.segments[0].index) < len(clip.segments):
                return clip, k
        raise UnknownError(f"the job has no segment {segment + 1}")

    @property
    def first_order(self) -> float:
        """The order of a job that is to be the first."""
        return min((entry.record.order for entry in self.entries.values()), default=0.0) - 1.0

    @property
    def last_order(self) -> float:
        """The order of a job that is to be the last."""
        return max((entry.record.order for entry in self.entries.values()), default=0.0) + 1.0

    def remove(self, id: str) -> None:
        """Take a job off the list."""
        self.entries.pop(id, None)
        self._found.pop(id, None)
        self._recent.pop(id, None)
        self.shelf.next_revision()

    def adopt(self, entry: JobEntry) -> None:
        """Keep a job of the command line in the queue from now on."""
        if not entry.saved:
            entry.adopt()
            self._found.pop(entry.record.id, None)

    # ---- after a start ----

    def _restore(self) -> None:
        """Take over what an earlier server has left, however it ended."""
        shelf = self.shelf
        shelf.queue.remove_strays()
        for record in list(shelf.queue.records.values()):
            entry = self.entries[record.id] = JobEntry(record, shelf)
            if record.swap is not None:
                self._end_swap(entry)
        self._remove_left_runs()
        for clip in unfinished_clips(shelf.folder):
            if (owner := self._of_journal(clip.run)) is not None:
                for k, one in enumerate(owner.record.clips):
                    if one.place == clip.place:
                        owner.n_done[k] = sum("-" not in path.stem for path in clip.saved_takes())

    def _end_swap(self, entry: JobEntry) -> None:
        """Put a changed clip in its place, which an earlier server began to do."""
        try:
            entry.end_swap(entry.record.changes[1:])
        except BarkError as error:
            entry.save(state=JobState.FAILED, error=str(error))
            return
        if entry.record.state is JobState.WAITING and not entry.record.changes:
            entry.save(state=JobState.FINISHED)

    def _remove_left_runs(self) -> None:
        """Remove journals of jobs that are over or gone; of the others, note the clips that are not recorded yet."""
        folder = self.shelf.folder
        journals = {path.name for path in folder.glob(f"{JOURNALS_OF_JOBS}*.jsonl")}
        journals |= {clip.run for clip in unfinished_clips(folder) if clip.run.startswith(JOURNALS_OF_JOBS)}
        for journal in journals:
            entry = self._of_journal(journal)
            if entry is None or entry.record.state is JobState.FINISHED:
                remove_run(folder, journal.removeprefix(".").removesuffix(".jsonl"))
                continue
            if entry.record.state is JobState.CANCELLED:
                remove_run(folder, entry.record.journal, keep_finished=True)
            self._claimed |= {Path(name).stem for name in finished_in(folder / journal)}

    def _of_journal(self, journal: str) -> JobEntry | None:
        """The job whose current run has the journal of this file name."""
        id = journal.removeprefix(JOURNALS_OF_JOBS).partition("-")[0]
        entry = self.entries.get(id)
        return entry if entry is not None and named_file(entry.record.journal) == journal else None

    # ---- the command line's ----

    def look(self) -> None:
        """Look at the folder for what the command line has done, unless that was done just now."""
        if time.monotonic() - self._looked >= _LOOK_S:
            self._look_now()

    def _look_now(self) -> None:
        self._merge_clips(self._watch.clips())
        self._merge_runs(self._watch.runs())
        self._looked = time.monotonic()

    def _merge_clips(self, clips: list[FoundClip]) -> None:
        own = set(self._own_names()) | self.shelf.queue.hidden
        making = [pair for entry in self.entries.values() for pair in entry.names_in_progress()]
        there: set[str] = set()
        revision: int | None = None  # one for all of them
        for clip in clips:
            if clip.name in own or any(clip.name.startswith(name) and clip.created >= since for name, since in making):
                continue
            id = f"clip-{hashlib.sha256(clip.name.encode(errors='surrogateescape')).hexdigest()[:16]}"
            there.add(id)
            if self._found.get(id) != clip:
                revision = revision or self.shelf.next_revision()
                self._found[id] = clip
                self.entries[id] = JobEntry(_record_of_clip(id, clip, revision), self.shelf, False, revision=revision)
        for id in self._found.keys() - there:
            self.remove(id)

    def _own_names(self) -> Iterator[str]:
        """The names of finished clips that are listed as those of jobs."""
        for entry in self.entries.values():
            if entry.saved:
                yield from (clip.name for clip in entry.record.clips if clip.files)
        yield from self._claimed

    def _merge_runs(self, runs: list[FoundRun]) -> None:
        there = {f"run-{run.name.removesuffix('.jsonl').rpartition('-')[2]}": run for run in runs}
        for id, run in there.items():
            entry = self.entries.get(id)
            if entry is None:
                entry = self.entries[id] = JobEntry(_record_of_run(id, run), self.shelf, False, run)
            elif entry.found != run:
                entry.record = dataclasses.replace(_record_of_run(id, run), created=entry.record.created)
                entry.found = run
                entry.forget()
                entry.touch()
            entry.n_done = dict(enumerate(run.n_done))
        for id in [id for id, entry in self.entries.items() if entry.found is not None and id not in there]:
            self.remove(id)


def _record_of_clip(id: str, clip: FoundClip, revision: int) -> JobRecord:
    """A finished clip of the command line as a job."""
    record = ClipRecord(clip.name, clip.n_segments, (0, 0), clip.seconds, clip.files, revision)
    created, text = clip.created, clip.text[:MOST_TEXT]
    return JobRecord(id, clip.name, _COMMAND_LINE, created, 0.0, JobState.FINISHED, text=text, clips=(record,))


def _record_of_run(id: str, run: FoundRun) -> JobRecord:
    """A run of the command line as a job."""
    clips = tuple(ClipRecord(clip.name, len(clip.texts), clip.place) for clip in run.clips)
    return JobRecord(id, clips[0].name, _COMMAND_LINE, time.time(), 0.0, text=run.text[:MOST_TEXT], clips=clips)
