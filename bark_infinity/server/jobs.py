"""The jobs of an output folder: durable, listed with the runs of the command line there, and run beside each other."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ..bark import Bark
from ..errors import BarkError, QueueFullError, TextError, UnknownError, UsageError
from ..files import make_folder, portable_stem, safe_stem
from ..options.table import Options
from ..run.journal import named_file
from ..run.script_names import ScriptNames
from ..run.unfinished import remove_run, unfinished_clips
from .clip_contents import MADE, SILENT, ClipContents, audio_files, contents_of_plan
from .clip_sound import finished_codes, unfinished_codes
from .job_entry import JobEntry, segments_of
from .job_list import JobList
from .job_options import MOST_TEXT, TEXT_FILE, read_asked
from .job_records import Change, ClipRecord, JobRecord, QueueFile, keep_source
from .job_run import JobClient, JobRun, RunStopped
from .job_shelf import Shelf
from .job_views import JobRequest, JobState, JobView, SegmentView
from .silence_bound import check_silence
from .uploads import Uploads
from .waveform import peaks_of_files

_log = logging.getLogger(__name__)
_LOOK_S = 1.0  # between looks at the folder, while somebody waits


class Engines(Protocol):
    """Gives each job its access to the engine: `shared_engine.SharedEngine`."""

    def client(self, urgent: bool = False) -> JobClient:
        """A new access, which is closed with its job."""


class JobStore:
    """All jobs of an output folder. Its methods may be called from any thread, and raise UnknownJobError.

    Each job is a run with a journal of its own, so it goes on where it was after any end of the server. At most
    `most_running` jobs run at a time; the others wait in order. While a job's clips are not finished, their segments cannot
    be changed. Changes of finished ones are made in the order in which they are asked for; the new clip takes the place,
    and the names, of the one before once it is complete.
    """

    def __init__(
        self,
        folder: Path,
        defaults: Options,
        bark: Bark,
        engine: Engines,
        names: ScriptNames,
        most_waiting: int = 100,
        uploads: Uploads | None = None,
        most_running: int = 8,
    ):
        """`defaults`: resolved options of the server. `names`: finds the files that texts name, which come from strangers.
        `uploads`: None: it takes none. Raises UsageError if another server uses the folder, OutputError.
        """
        make_folder(folder)
        self._engine, self._uploads = engine, uploads
        self._most_waiting, self._most_running = most_waiting, most_running
        self._shelf = Shelf(folder, defaults, bark, QueueFile(folder), names)
        self._lock = self._shelf.changed
        self._threads: dict[str, threading.Thread] = {}
        self._closed = False
        self._decoder = engine.client(urgent=True)
        with self._lock:
            self._list = JobList(self._shelf)
            self._start_ready()

    # ---- what there is ----

    def jobs(self) -> list[JobView]:
        """All jobs, newest first."""
        with self._lock:
            self._list.look()
            return self._list.views(0)

    def job(self, id: str) -> JobView:
        """One job."""
        with self._lock:
            self._list.look()
            return self._list.entry(id).view()

    def segments(self, id: str, since: int = 0) -> list[SegmentView]:
        """The segments of a job that have changed since a revision. Raises BarkError if its text cannot be read."""
        with self._lock:
            self._list.look()
            return [view for view in segments_of(self._list.contents(self._list.entry(id))) if view.revision > since]

    def changes(self, since: int) -> tuple[int, list[JobView]] | None:
        """The revision, and the jobs that have changed since one; None if nothing has. Jobs may be gone: see `jobs`."""
        with self._lock:
            self._list.look()
            revision = self._shelf.revision
            if since == revision:
                return None
            return revision, self._list.views(0 if since > revision else since)

    def wait(self, since: int, timeout: float) -> int:
        """Wait, at most so many seconds, until the revision is another one than `since`. Returns the revision."""
        end = time.monotonic() + timeout
        with self._lock:
            while not self._closed:
                self._list.look()
                left = end - time.monotonic()
                if self._shelf.revision != since or left <= 0:
                    break
                self._lock.wait(min(left, _LOOK_S))
            return self._shelf.revision

    def events(self, id: str, since: int = 0) -> list[dict[str, object]]:
        """What has happened to a job since a revision, since the server was started: "revision", "time", "event" of each."""
        with self._lock:
            return self._list.entry(id).events(since)

    def files(self, id: str) -> list[Path]:
        """The files of a job's finished clips."""
        with self._lock:
            clips = self._list.entry(id).record.clips
            return [self._shelf.folder / name for clip in clips for name in clip.files]

    def peaks(self, id: str, clip: int = 0) -> list[float]:
        """The shape of a clip's sound: the magnitudes, 0 to 1, of the loudest samples of some thousand stretches of it.

        Of an unfinished clip, of what is there so far. Raises UnknownError, AudioError for a damaged file.
        """
        with self._lock:
            entry = self._list.entry(id)
            if not 0 <= clip < len(entry.view().clips):
                raise UnknownError(f"the job has no clip {clip + 1}")
            files = entry.view().clips[clip].files
            if not files:
                return entry.waveforms[clip].peaks() if clip in entry.waveforms else []
            paths = tuple(self._shelf.folder / name for name in audio_files(files))
        return _peaks(paths, tuple(_changed_ns(path) for path in paths))

    def segment_audio(self, id: str, segment: int, take: int | None = None) -> np.ndarray:
        """The sound of a segment, float32 (samples,) at 24 kHz; `take`: of that take, None: of the chosen one.

        Raises UnknownError for what is not made, UsageError where the tokens are gone.
        """
        with self._lock:
            entry = self._list.entry(id)
            clip, k = self._list.find(entry, segment)
            view, folder = clip.segments[k], self._shelf.folder
            if take is not None and not 0 <= take < max(1, view.takes):
                raise UnknownError(f"segment {segment + 1} has no take {take + 1}")
            if entry.changing == clip.index:
                old = entry.kept.get(k)
                manifest = None if old is None else folder / f"{entry.record.clips[clip.index].name}.json"
                k = k if old is None else old
            else:
                manifest = folder / f"{clip.name}.json" if clip.files else None
        if view.state == SILENT and take is None:
            return np.zeros(0, np.float32)
        if manifest is not None:
            codes = finished_codes(manifest, k, take)
        elif view.state == MADE:
            codes = self._unfinished_codes(entry, clip, k, view.chosen if take is None else take)
        else:
            raise UnknownError(f"segment {segment + 1} is not made yet")
        return self._decoder.decode([codes])[0] if codes.size else np.zeros(0, np.float32)

    def _unfinished_codes(self, entry: JobEntry, clip: ClipContents, segment: int, take: int) -> np.ndarray:
        if entry.found is not None:
            return unfinished_codes(entry.found.clips[clip.index], segment, take)
        journal, place = named_file(entry.record.journal), entry.record.clips[clip.index].place
        for unfinished in unfinished_clips(self._shelf.folder):
            if unfinished.run == journal and (entry.changing is not None or unfinished.place == place):
                return unfinished_codes(unfinished, segment, take)
        raise UnknownError("the clip has just been finished or removed; ask again")

    # ---- new jobs ----

    def create(self, request: JobRequest) -> JobView:
        """Queue a job. Raises UsageError or TextError for what cannot be spoken, QueueFullError, OutputError."""
        with self._lock:
            self._check_room()
        asked = read_asked(request.options, self._shelf.bark)
        if request.name is not None and "output_filename" not in asked:
            asked["output_filename"] = safe_stem(request.name)
        record = JobRecord(secrets.token_hex(8), "", request.origin, time.time(), 0.0, options=asked)
        try:
            record = self._with_source(record, request)
            entry, name = self._planned(record)
            with self._lock:
                self._check_room()
                entry.record = dataclasses.replace(
                    entry.record, order=self._list.last_order, name=request.name or name, created=time.time()
                )
                entry.adopt()
                self._list.entries[record.id] = entry
                self._list.remember(entry)
                self._start_ready()
                return entry.view()
        except BaseException:
            if record.id not in self._list.entries:
                self._shelf.queue.remove_folder(record.id)
            raise

    def _with_source(self, record: JobRecord, request: JobRequest) -> JobRecord:
        """The record, with what it speaks kept in the job's folder."""
        folder = self._shelf.queue.folder_of(record.id)
        if request.upload is not None:
            if request.text is not None:
                raise UsageError("a job speaks a text or an uploaded file, and not both; leave one of them out")
            if self._uploads is None:
                raise UnknownError("this server takes no uploaded files")
            upload = self._uploads.find(request.upload)
            name = portable_stem(upload.name)
            keep_source(folder, name, upload.path)
            return dataclasses.replace(record, source=name, is_text=False)
        try:
            content = (request.text or "").encode()
        except UnicodeEncodeError:
            raise TextError("the text has lone surrogates, which stand for no character; send UTF-8") from None
        keep_source(folder, TEXT_FILE, content)
        return dataclasses.replace(record, source=TEXT_FILE, text=(request.text or "")[:MOST_TEXT])

    def _planned(self, record: JobRecord) -> tuple[JobEntry, str]:
        """The entry of a new job with its segments as they are planned without the model, and a name for it."""
        with self._lock:
            entry = JobEntry(record, self._shelf, saved=False)
        source = self._shelf.source(record)
        plans, _ = source.plan()
        check_silence(plans, source.options)
        contents: list[ClipContents] = []
        for k, plan in enumerate(plans):
            contents.append(contents_of_plan(k, sum(len(clip.segments) for clip in contents), plan, entry.revision))
        clips = tuple(ClipRecord(plan.stem, len(plan.segments), (plan.prompt_index, plan.take)) for plan in plans)
        entry.record = dataclasses.replace(record, clips=clips, text=record.text or plans[0].text[:MOST_TEXT])
        entry.set_contents(contents)
        return entry, plans[0].book.title or " ".join(plans[0].text.split())[:80]

    def _check_room(self) -> None:
        n = sum(entry.state is JobState.WAITING for entry in self._list.entries.values())
        if n >= self._most_waiting:
            raise QueueFullError(f"{n} jobs wait already, as many as may; try again later")

    # ---- what is done with jobs ----

    def pause(self, id: str) -> JobView:
        """Stop a job that waits or runs, until `go_on`; what is finished of it is kept."""
        with self._lock:
            entry = self._list.own(id, (JobState.WAITING, JobState.RUNNING, JobState.PAUSED), "be paused")
            if entry.state is not JobState.PAUSED:
                entry.tell("paused")
                entry.save(state=JobState.PAUSED)
                self._stop(entry)
            return self._settled(entry)

    def go_on(self, id: str) -> JobView:
        """Let a paused job wait for its turn."""
        with self._lock:
            entry = self._list.own(id, (JobState.PAUSED, JobState.WAITING, JobState.RUNNING), "go on")
            if entry.state is JobState.PAUSED:
                entry.tell("went on")
                entry.save(state=JobState.WAITING)
            return self._settled(entry)

    def move_up(self, id: str) -> JobView:
        """Put a job before all others: it waits before them, and while it runs its segments go before theirs."""
        with self._lock:
            entry = self._list.own(id, (JobState.WAITING, JobState.RUNNING, JobState.PAUSED), "be moved up")
            entry.tell("moved up")
            entry.save(order=self._list.first_order, moved_up=True)
            if entry.run is not None:
                entry.run.prefer(entry.record)
            return self._settled(entry)

    def cancel(self, id: str) -> JobView:
        """Give a job up and remove what is unfinished of it; finished clips stay. Of a changed clip: give the changes up."""
        with self._lock:
            entry = self._list.own(id, tuple(JobState), "be cancelled")
            if entry.record.state in (JobState.FINISHED, JobState.CANCELLED):
                return entry.view()
            entry.tell("cancelled")
            changed = bool(entry.record.changes)
            entry.save(state=JobState.FINISHED if changed else JobState.CANCELLED, changes=(), error=None)
            self._stop(entry, discard=True)
            return self._settled(entry)

    def retry(self, id: str) -> JobView:
        """Try a failed or cancelled job again."""
        with self._lock:
            entry = self._list.own(id, (JobState.FAILED, JobState.CANCELLED), "be tried again")
            self._check_room()
            entry.tell("tried again")
            entry.save(state=JobState.WAITING, error=None, note=None, order=self._list.last_order)
            entry.forget()
            return self._settled(entry)

    def remove(self, id: str) -> None:
        """Take a job off the list. Files of finished clips stay in the folder, and are not listed any more."""
        with self._lock:
            entry = self._list.own(id, tuple(JobState), "be removed")
            for clip in entry.record.clips:
                if clip.files:
                    self._shelf.queue.hide(clip.name)
            if entry.saved:
                self._shelf.queue.remove(id)
            entry.saved = False  # a run that is ending saves nothing any more
            entry.record = dataclasses.replace(entry.record, state=JobState.CANCELLED)
            self._stop(entry, discard=True)
            self._list.remove(id)
            self._start_ready()

    def _settled(self, entry: JobEntry) -> JobView:
        """The view of a job after something was done with it, and with the queue as that says."""
        self._start_ready()
        return entry.view()

    # ---- changes of finished clips ----

    def edit(self, id: str, texts: Mapping[int, str]) -> JobView:
        """Give segments of finished clips new texts, and make them again; "" leaves one out. Raises UsageError, UnknownError.

        The other segments keep their tokens, but for those that go on from a changed one.
        """
        return self._change(id, "texts", texts)

    def make_again(self, id: str, segments: Sequence[int]) -> JobView:
        """Make segments of finished clips, and those that go on from them, again from other seeds."""
        return self._change(id, "again", dict.fromkeys(segments, ""))

    def choose_take(self, id: str, segment: int, take: int) -> JobView:
        """Put another take of a segment in a finished clip. `take`: its index."""
        with self._lock:
            clip, k = self._list.find(self._list.entry(id), segment)
            if not 0 <= take < clip.segments[k].takes:
                raise UnknownError(f"segment {segment + 1} has no take {take + 1}")
        return self._change(id, "takes", {segment: take})

    def _change(self, id: str, kind: str, segments: Mapping[int, str | int]) -> JobView:
        with self._lock:
            entry = self._list.own(id, tuple(JobState), "be changed")
            if not segments:
                raise UsageError("no segment is named that is to be changed; name one")
            if any(not clip.files for clip in entry.record.clips):
                raise UsageError(
                    "the job is not finished yet, and its segments can be changed when it is; wait for its end"
                )
            wanted: dict[int, dict[int, str | int]] = {}
            for segment, value in segments.items():
                clip, k = self._list.find(entry, segment)
                wanted.setdefault(clip.index, {})[self._before_change(entry, clip.index, k)] = value
            self._list.adopt(entry)
            changes = [] if entry.state is JobState.FAILED else list(entry.record.changes)
            for index, values in wanted.items():
                _add(changes, Change(index, kind, values), n_begun=0 if entry.run is None else 1)
            entry.expect(changes, self._list.first_order)
            return self._settled(entry)

    def _before_change(self, entry: JobEntry, clip: int, segment: int) -> int:
        """The index of a segment of a clip that is being changed in the clip before, by which changes are kept."""
        if entry.changing != clip or entry.run is None:
            return segment
        before = {new: old for old, new in entry.run.places.items()}
        if segment not in before:
            raise UsageError(f"segment {segment + 1} is being made; wait for its end")
        return before[segment]

    # ---- runs ----

    def _start_ready(self) -> None:
        """Run the next jobs, as far as there is room, and count the places of those that wait."""
        while (
            not self._closed
            and sum(entry.run is not None for entry in self._list.entries.values()) < self._most_running
        ):
            waiting = self._waiting()
            if not waiting or not self._start(waiting[0]):
                break
        for position, entry in enumerate(self._waiting(), 1):
            if entry.position != position:
                entry.position = position
                entry.touch()

    def _waiting(self) -> list[JobEntry]:
        waiting = (
            entry for entry in self._list.entries.values() if entry.run is None and entry.state is JobState.WAITING
        )
        return sorted(waiting, key=lambda entry: entry.record.order)

    def _start(self, entry: JobEntry) -> bool:
        """Start the thread of a job; False if the engine is closed."""
        try:
            client = self._engine.client(urgent=False)
        except BarkError:
            return False
        id = entry.record.id
        if entry.record.error is not None or entry.record.note is not None:
            entry.save(error=None, note=None)
        entry.run = JobRun(entry.record, self._shelf, client, entry)
        entry.position = None
        entry.tell("started")
        self._threads[id] = threading.Thread(target=self._run, args=(entry, entry.run), name=f"job-{id}", daemon=True)
        self._threads[id].start()
        return True

    def _run(self, entry: JobEntry, run: JobRun) -> None:
        """The thread of a job."""
        stopped, error = False, None
        try:
            run.run()
        except RunStopped:
            stopped = True
        except BarkError as failure:
            error = str(failure)
        except Exception:
            _log.exception("job %s", entry.record.id)
            error = "the program has a fault, which its log tells; try it again with another text or other flags"
        with self._lock:
            try:
                self._end(entry, run, stopped, error)
            except BarkError as failure:  # of a full disk
                _log.warning("job %s: %s", entry.record.id, failure)
            finally:
                self._threads.pop(entry.record.id, None)
                self._start_ready()

    def _end(self, entry: JobEntry, run: JobRun, stopped: bool, error: str | None) -> None:
        """A run has ended; its job is in the state that somebody has asked for meanwhile, or in that which follows."""
        entry.run = entry.changing = None
        entry.rest()
        self._list.remember(entry)
        if run.discard:
            remove_run(self._shelf.folder, run.record.journal, keep_finished=entry.saved)
            entry.forget()
        elif stopped:
            if entry.record.changes:  # it shows the clip as it would be
                entry.forget()
        elif error is not None or entry.record.error is not None:
            entry.tell("failed", error=error or entry.record.error)
            entry.save(state=JobState.FAILED, error=error or entry.record.error)
        else:
            remove_run(self._shelf.folder, run.record.journal)
            more = bool(entry.record.changes)
            entry.tell("changed" if more else "finished")
            entry.save(state=JobState.WAITING if more else JobState.FINISHED)
        entry.touch()

    def _stop(self, entry: JobEntry, discard: bool = False) -> None:
        """End the run of a job within a step. `discard`: remove what is unfinished of it."""
        if entry.run is not None:
            entry.run.discard |= discard
            entry.run.stop()
        elif discard and entry.found is None:
            remove_run(self._shelf.folder, entry.record.journal, keep_finished=entry.saved)
            entry.forget()

    def close(self) -> None:
        """Stop all runs; they go on when a store is made again. Waits for their end."""
        with self._lock:
            self._closed = True
            threads = list(self._threads.values())
            for entry in self._list.entries.values():
                self._stop(entry)
            self._lock.notify_all()
        for thread in threads:
            thread.join()
        self._decoder.close()
        self._shelf.queue.close()


def _add(changes: list[Change], change: Change, n_begun: int) -> None:
    """Append a change, as a part of the last one if that is of the same kind and has not begun. `n_begun`: those that have."""
    last = changes[-1] if len(changes) > n_begun else None
    if last is not None and (last.clip, last.kind) == (change.clip, change.kind):
        changes[-1] = dataclasses.replace(last, segments={**last.segments, **change.segments})
    else:
        changes.append(change)


def _changed_ns(path: Path) -> int:
    """The time of the last change of a file. Raises UnknownError."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        raise UnknownError(f"the file {path.name} is not in the output folder any more") from None


@lru_cache(maxsize=64)
def _peaks(paths: tuple[Path, ...], changed_ns: tuple[int, ...]) -> list[float]:
    """The shape of the sound in files, found once for each time they change."""
    return peaks_of_files(paths)
