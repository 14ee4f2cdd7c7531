"""A job in memory: its record, what is seen of its clips, and what its run reports."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import BarkError
from ..run.clips import FinishedSegment
from ..run.journal import named_file
from ..run.unfinished import UnfinishedClip, unfinished_clips
from ..text.splitting import estimate_seconds
from .clip_contents import (
    FAILED,
    MADE,
    SILENT,
    WAITING,
    ClipContents,
    contents_of_manifest,
    contents_of_plan,
    contents_of_texts,
    contents_of_unfinished,
    number_in,
    read_content,
    view_of_segment,
)
from .folder_watch import FoundRun
from .job_options import command_line, command_of
from .job_records import Change, ClipRecord, JobRecord, Swap
from .job_run import JobRun, PlannedClip
from .job_shelf import Shelf
from .job_views import ClipView, JobState, JobView, SegmentView
from .swapping import complete_swap
from .uploads import with_shown_names
from .waveform import Waveform

_CLOCKS_S = 2.0  # by which the clock of a file system may be behind
_MOST_EVENTS, _MOST_AT_REST = 1_000, 200  # of a job that are remembered, while it runs and afterwards


class JobEntry:
    """A job. Its methods need the lock of `shelf.changed`, but for those of `RunListener`, which take it themselves."""

    def __init__(
        self,
        record: JobRecord,
        shelf: Shelf,
        saved: bool = True,
        found: FoundRun | None = None,
        revision: int | None = None,
    ):
        """`saved`: whether the record is in the queue file. `found`: the run of the command line that it shows."""
        self.record, self.saved, self.found = record, saved, found
        self.run: JobRun | None = None
        self.revision = shelf.next_revision() if revision is None else revision
        self.position: int | None = None
        self.changing: int | None = None
        """The clip that is shown as it will be, while a change of it is made."""
        self.kept: Mapping[int, int] = {}
        """Which of its segments keep the tokens of the clip before, and which of those they are."""
        self.waveforms: dict[int, Waveform] = {}
        """The sound of unfinished clips so far."""
        self.n_done: dict[int, int] = {}
        """Segments of unfinished clips that an earlier process has made."""
        self._shelf = shelf
        self._contents: list[ClipContents] | None = None
        self._before: Sequence[ClipContents] = ()  # what was shown before it is read again
        self._events: deque[dict[str, object]] = deque(maxlen=_MOST_EVENTS)
        self._view: JobView | None = None
        self._left_sound = self._made_sound = (
            0.0  # seconds that are estimated to be missing, and those made in this run
        )
        self._begun = 0.0  # when the run began to make segments
        self._started = 0.0  # the same in Unix seconds
        self._events.append(self._event("created"))

    # ---- what is seen ----

    @property
    def state(self) -> JobState:
        """What the job is doing."""
        if self.found is not None:
            return JobState.RUNNING if self.found.alive else JobState.PAUSED
        if self.record.state is JobState.WAITING and self.run is not None:
            return JobState.RUNNING
        return self.record.state

    def view(self) -> JobView:
        """What is shown of it; made once for each revision."""
        if self._view is None:
            record, clips = self.record, self._clip_views()
            self._view = JobView(
                record.id,
                record.name,
                self.state,
                record.origin,
                record.created,
                record.text,
                self._command(),
                sum(clip.n_segments for clip in clips),
                sum(clip.n_done for clip in clips),
                sum(clip.seconds for clip in clips),
                self._left() if self.state is JobState.RUNNING else None,
                record.error,
                self._note(),
                clips,
                self.revision,
                self.position,
            )
        return self._view

    def _clip_views(self) -> tuple[ClipView, ...]:
        if self._contents is not None:
            return tuple(clip.view(self.state) for clip in self._contents)
        return tuple(
            ClipView(
                k,
                clip.name,
                clip.n_segments,
                clip.n_segments if clip.files else min(clip.n_segments, self.n_done.get(k, 0)),
                clip.seconds,
                JobState.FINISHED if clip.files else self.state,
                clip.files,
            )
            for k, clip in enumerate(self.record.clips)
        )

    def _note(self) -> str | None:
        if self.found is not None and not self.found.alive:
            return "this run was interrupted; the same command goes on with it"
        return self.record.note

    def _command(self) -> str:
        record = self.record
        if record.source is None:
            clips = [clip for clip in record.clips if clip.files]
            path = self._shelf.folder / f"{clips[0].name}.json" if clips else None
            return "" if path is None else command_line({"from_manifest": str(path)})
        folder = self._shelf.folder
        asked = {name: with_shown_names(value, folder) for name, value in record.options.items()}
        text = record.text if record.is_text else None
        return command_of({**asked, "output_dir": str(folder)}, text, record.source)

    def touch(self) -> None:
        """It has changed, so it is shown anew."""
        self.revision, self._view = self._shelf.next_revision(), None

    def tell(self, event: str, **about: object) -> None:
        """Remember an event, and that the job has changed."""
        self.touch()
        self._events.append(self._event(event, **about))

    def _event(self, event: str, **about: object) -> dict[str, object]:
        return {"revision": self.revision, "time": time.time(), "event": event, **about}

    def events(self, since: int) -> list[dict[str, object]]:
        """The events behind a revision."""
        return [event for event in self._events if event["revision"] > since]  # type: ignore[operator]

    def save(self, **changes: Any) -> None:
        """Change the record, on the disk too if it is kept there. `changes`: its fields."""
        self.record = dataclasses.replace(self.record, **changes)
        if self.saved:
            self._shelf.queue.put(self.record)

    def adopt(self) -> None:
        """Keep the record in the queue file from now on."""
        self._shelf.queue.put(self.record)
        self.saved = True

    # ---- segments ----

    @property
    def contents(self) -> list[ClipContents]:
        """The clips with their segments, read from the disk where they are not in memory. Raises BarkError."""
        if self._contents is None:
            self._contents = self._load()
            self._view = None
        return self._contents

    def forget(self) -> None:
        """Read the segments again when they are asked for; those that are what they were keep their revisions."""
        if self._contents is not None:
            self._before = self._contents
        self._contents, self._view = None, None

    def drop(self) -> None:
        """Free the memory of the segments of a job at rest; they are read again when they are asked for."""
        if self.run is None and self._contents is not None:
            self.n_done = {clip.index: clip.n_done for clip in self._contents}
            self._contents = None

    def rest(self) -> None:
        """Free the memory of what is only needed while it runs."""
        self.waveforms.clear()
        while len(self._events) > _MOST_AT_REST:
            self._events.popleft()

    def set_contents(self, contents: list[ClipContents]) -> None:
        """Show these segments."""
        self._contents, self._view = contents, None

    def _load(self) -> list[ClipContents]:
        if self.found is not None:
            contents: list[ClipContents] = []
            for k, clip in enumerate(self.found.clips):
                first = sum(len(before.segments) for before in contents)
                contents.append(contents_of_unfinished(k, first, clip, self.revision))
        else:
            contents = self._load_clips()
        for now, then in zip(contents, self._before, strict=False):
            now.keep_revisions(then)
        self._before = ()
        return contents

    def _load_clips(self) -> list[ClipContents]:
        record = self.record
        unfinished = self._unfinished() if any(not clip.files for clip in record.clips) else {}
        planned: list[ClipContents] | None = None
        contents: list[ClipContents] = []
        for k, clip in enumerate(record.clips):
            first = sum(len(before.segments) for before in contents)
            revision = clip.revision or self.revision
            if clip.files:
                contents.append(self._load_finished(k, first, clip))
            elif clip.place in unfinished:
                contents.append(contents_of_unfinished(k, first, unfinished[clip.place], revision))
            else:
                planned = planned if planned is not None else self._plan()
                same = planned[k] if k < len(planned) else None
                texts = [(s.text, s.speaker, s.chapter) for s in same.segments] if same is not None else []
                contents.append(contents_of_texts(k, first, clip.name, texts, revision))
        for change in record.changes:
            self._show_change(contents[change.clip], change)
        return contents

    def _load_finished(self, index: int, first: int, clip: ClipRecord) -> ClipContents:
        manifest = read_content(self._shelf.folder / f"{clip.name}.json") or {}
        revision = clip.revision or self.revision
        return contents_of_manifest(index, first, clip.name, manifest, clip.files, revision)

    def _unfinished(self) -> dict[tuple[int, int], UnfinishedClip]:
        file = named_file(self.record.journal)
        return {clip.place: clip for clip in unfinished_clips(self._shelf.folder) if clip.run == file}

    def _plan(self) -> list[ClipContents]:
        plans, _ = self._shelf.source(self.record).plan()
        return [contents_of_plan(k, 0, plan, self.revision) for k, plan in enumerate(plans)]

    def _show_change(self, clip: ClipContents, change: Change) -> None:
        """Show segments that are to be changed as waiting, with their new texts."""
        for k, wanted in change.segments.items():
            if k < len(clip.segments) and change.kind != "takes":
                text = str(wanted) if change.kind == "texts" else clip.segments[k].text
                before = clip.segments[k]
                clip.segments[k] = dataclasses.replace(before, text=text, state=WAITING, revision=self.revision)
        clip.state = JobState.WAITING

    def names_in_progress(self) -> Iterator[tuple[str, float]]:
        """How the names of the clips that its run is making begin, and since when, in Unix seconds."""
        if self.run is not None:
            for clip in self._contents or ():
                yield clip.name, self._started

    def expect(self, changes: Sequence[Change], order: float) -> None:
        """Changes are to be made, after those jobs with a lower `order`. Raises OutputError."""
        contents = self.contents
        self.tell("changing")
        state = JobState.PAUSED if self.record.state is JobState.PAUSED else JobState.WAITING
        self.save(changes=tuple(changes), state=state, order=order, error=None)
        for change in changes:
            if change.clip != self.changing:
                self._show_change(contents[change.clip], change)

    # ---- RunListener ----

    def planned(self, clips: Sequence[PlannedClip]) -> None:
        with self._shelf.changed:
            self.tell("planned", segments=sum(len(clip.plan.segments) for clip in clips))
            if self.record.changes:
                self._plan_change(clips[0])
            else:
                self._plan_all(clips)
            waiting = (s for clip in self.contents for s in clip.segments if s.state == WAITING)
            self._left_sound = sum(estimate_seconds(segment.text) for segment in waiting)
            self._made_sound, self._begun, self._started = 0.0, time.monotonic(), time.time() - _CLOCKS_S

    def _plan_all(self, clips: Sequence[PlannedClip]) -> None:
        before = self._contents or []
        unfinished = self._unfinished() if any(clip.n_done for clip in self._clip_views()) else {}
        contents: list[ClipContents] = []
        for clip in clips:
            first = sum(len(earlier.segments) for earlier in contents)
            now = contents_of_plan(clip.index, first, clip.plan, self.revision)
            if (saved := unfinished.get((clip.plan.prompt_index, clip.plan.take))) is not None:
                now.keep_made(contents_of_unfinished(clip.index, first, saved, self.revision))
            contents.append(now)
        for now, then in zip(contents, before, strict=False):
            now.keep_revisions(then)
        records = tuple(
            ClipRecord(clip.plan.stem, len(clip.plan.segments), (clip.plan.prompt_index, clip.plan.take))
            for clip in clips
        )
        self.set_contents(contents)
        self.save(clips=records)

    def _plan_change(self, clip: PlannedClip) -> None:
        """Show the clip as it will be: segments that keep their tokens are made already."""
        self.changing, self.kept = clip.index, clip.kept
        before = self.contents[clip.index]
        now = contents_of_plan(clip.index, before.segments[0].index, clip.plan, self.revision)
        for new, old in clip.kept.items():
            now.set(new, before.segments[old])
        now.files, now.seconds = self.record.clips[clip.index].files, before.seconds
        self.set_contents(_in_place(self.contents, now, self.revision))

    def made(self, clip: int, segment: FinishedSegment) -> None:
        with self._shelf.changed:
            if self.record.changes and segment.index in self.kept:
                return  # it is shown already, and where it begins is said by the finished clip
            self.tell("segment", clip=clip, index=self.contents[clip].segments[segment.index].index)
            contents = self.contents[clip]
            view = view_of_segment(segment, self.revision)
            if contents.segments[segment.index].state == WAITING:
                self._left_sound -= estimate_seconds(contents.segments[segment.index].text)
            if not segment.record.recalled:
                self._made_sound += segment.record.seconds
            contents.set(segment.index, view)
            contents.seconds = max(contents.seconds, segment.end)  # what is kept counts before it is read again
            self.waveforms.setdefault(clip, Waveform()).add(segment.sound)

    def finished(self, clip: int, record: ClipRecord) -> None:
        with self._shelf.changed:
            self.tell("clip", clip=clip, name=record.name)
            self.waveforms.pop(clip, None)
            record = dataclasses.replace(record, revision=self.revision)
            if not record.seconds:
                record = dataclasses.replace(record, seconds=self._recorded_seconds(record))
            if self.record.changes:
                self._finish_change(clip, record)
                return
            self.save(clips=self.record.with_clip(clip, record).clips)
            contents = self.contents[clip]
            if contents.n_done < len(contents.segments):  # an earlier process has finished it, and was killed just then
                contents = self.contents[clip] = self._load_finished(clip, contents.segments[0].index, record)
            contents.name, contents.files, contents.seconds = record.name, record.files, record.seconds
            contents.state = JobState.FINISHED

    def _finish_change(self, clip: int, record: ClipRecord) -> None:
        places = {} if self.run is None else self.run.places
        now, *later = self.record.changes
        later = [change.moved(places) if change.clip == clip else change for change in later]
        self.save(swap=Swap(clip, record, self.record.clips[clip]), changes=(now, *later))
        self.end_swap(later)

    def end_swap(self, changes: Sequence[Change]) -> None:
        """Put a changed clip in the place of the one before. `changes`: those that are still to be made. Raises OutputError."""
        assert self.record.swap is not None
        swap = self.record.swap
        record = complete_swap(self._shelf.folder, swap)
        left = tuple(change for change in changes if change.segments)
        self.forget()
        self.save(
            clips=self.record.with_clip(swap.clip, record).clips, swap=None, changes=left, run=self.record.run + 1
        )
        self.changing, self.kept = None, {}

    def _recorded_seconds(self, record: ClipRecord) -> float:
        content = read_content(self._shelf.folder / f"{record.name}.json") or {}
        return number_in(content.get("seconds")) or 0.0

    def failed(self, clip: int, error: BarkError) -> None:
        with self._shelf.changed:
            self.tell("failed", clip=clip, error=str(error))
            self.save(error=self.record.error or str(error))
            contents = self.contents[clip]
            contents.state = JobState.FAILED
            for k, segment in enumerate(contents.segments):
                if segment.state not in (MADE, SILENT):
                    contents.segments[k] = dataclasses.replace(segment, state=FAILED, revision=self.revision)

    def noted(self, sentence: str) -> None:
        with self._shelf.changed:
            self.tell("note", note=sentence)
            self.save(note=sentence)

    def _left(self) -> float | None:
        """Estimated seconds until it is finished, at the speed so far."""
        if self._made_sound <= 0:
            return None
        return max(0.0, self._left_sound) * (time.monotonic() - self._begun) / self._made_sound


def _in_place(contents: Sequence[ClipContents], clip: ClipContents, revision: int) -> list[ClipContents]:
    """The clips with another one in its place, and the segments behind it counted on from it."""
    new = [*contents[: clip.index], clip, *contents[clip.index + 1 :]]
    first = 0
    for one in new:
        for k, segment in enumerate(one.segments):
            if segment.index != first + k:
                one.segments[k] = dataclasses.replace(segment, index=first + k, revision=revision)
        first += len(one.segments)
    return new


def segments_of(contents: Sequence[ClipContents]) -> list[SegmentView]:
    """All segments of all clips, in order."""
    return [segment for clip in contents for segment in clip.segments]
