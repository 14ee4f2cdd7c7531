"""Continuous batching over all clips of a run: segments go to the engine as soon as their history is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..bark import Generation
from ..errors import BarkError, DeviceError, OutputError
from ..model.devices import is_out_of_memory
from ..stages.semantic import Statistics
from .clip_state import ClipState
from .clips import Clip, ClipWriter, FailedClip, FinishedSegment, MasteringProgress
from .engine import FleetProgress
from .journal import KeptSegment, RunJournal
from .planning import ClipPlan
from .recipe import Recipe
from .recognition import Heard, Listener
from .takes import Outcome

Result = FinishedSegment | Clip | FailedClip


class Place(NamedTuple):
    """A take of a segment: the clip's state, the segment's index, and the take's number."""

    clip: ClipState
    segment: int
    take: int

    @property
    def is_pending(self) -> bool:
        """Whether the engine has yet to make it."""
        return not self.clip.failed and self.take in self.clip.pending(self.segment)


class MadeTake(NamedTuple):
    """A take that is to be judged."""

    place: Place
    generation: Generation
    recalled: bool  # whether an earlier run made it


TOO_LITTLE_MEMORY = "there is too little memory for one segment; use --model small, --dtype bfloat16 or --offload_cpu"
# Segments of a pass per row of the batch, so that rows that end early are refilled. Not more, because segments that depend
# on those of this pass wait for the next one.
_SEGMENTS_PER_ROW = 2
# From this many segments per row on, a run is long. The first pass of a long run has one segment per row, so that the
# first sound comes in half the time. Its rows are not refilled, which costs at most 5 % of the whole run where a step takes the
# same time for any number of rows (computed from the lengths of a book's segments), and less elsewhere.
_LONG_RUN = 8


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run: a pass over `rows` takes is at `stage`, with `tokens` of at most `tokens_total` generated.

    `segments_done`: finished segments of the run; `segments_recalled` of them come from an earlier run, `rows_done` from
    the current pass. `segments`: of which the pass makes takes, in parts where it does not make all takes of one;
    None: as many as takes. `fleet`: set for an engine of many workers, which has no passes: `rows` are all that it has.
    `mastering`: set while no stage works because the loudness of a finished clip is set.
    """

    segments_done: int
    segments_recalled: int
    rows: int
    stage: str
    tokens: int
    tokens_total: int
    rows_done: int
    segments: float | None = None
    fleet: FleetProgress | None = None
    mastering: MasteringProgress | None = None


class Scheduler:
    """Takes plans of clips and yields the segments of each in order, as soon as they are finished, and then the clip.

    Segments of different clips may alternate. Each finished segment is saved in the `journal`, and segments that an
    earlier run has saved there are not generated again. `known`: for a run of one clip, segments that are not generated
    again, by index. `open_writer` is called before a clip's first segment is yielded; its writer gets all segments. If a
    clip or its writer fails, a FailedClip is yielded and the other clips go on. `rows`: the batch size of a stage; None:
    as many as fit into memory. `progress` is called while a stage works.
    """

    def __init__(
        self,
        recipe: Recipe,
        rows: int | None = None,
        journal: RunJournal | None = None,
        known: Mapping[int, KeptSegment] | None = None,
        open_writer: Callable[[ClipPlan], ClipWriter] | None = None,
        progress: Callable[[RunProgress], None] = lambda _: None,
    ):
        self._recipe, self._engine = recipe, recipe.engine
        self._rows, self._journal, self._known = rows, journal, known or {}
        self._open_writer, self._progress = open_writer, progress
        self._clips: list[ClipState] = []  # started and not complete
        self._done = self._recalled = 0  # finished segments of the run; those of them from an earlier run
        self._short_first_pass = False  # whether the next pass has only one segment per row
        self._rows_done = 0  # segments that were finished in the current pass
        self._is_resumable = False  # whether a clip failed that the same command may finish later
        self._listener: Listener[MadeTake] | None = None if recipe.recognizer is None else Listener(recipe.recognizer)

    def run(self, plans: Iterable[ClipPlan]) -> Generator[Result, None, None]:
        """Generate all clips. Plans are taken when a pass has room for their segments. Closing the generator ends the run."""
        complete = False
        rows = self._rows or self._rows_that_fit(plans)
        if isinstance(plans, Sequence):
            n_takes = sum(len(plan.segments) for plan in plans) * self._recipe.takes.candidates
            self._short_first_pass = n_takes >= _LONG_RUN * rows
        try:
            yield from self._run(iter(plans), rows)
            complete = not self._is_resumable
        finally:
            if self._listener is not None:
                self._listener.close()
            for clip in self._clips:
                _discard(clip)
            if self._journal is not None:
                self._journal.close(complete)

    def _rows_that_fit(self, plans: Iterable[ClipPlan]) -> int:
        """The batch size that fits into memory with the settings of the run, and with those of every segment known so far."""
        settings = {self._recipe.settings}
        if isinstance(plans, Sequence):
            settings |= {own for plan in plans for segment in plan.segments if (own := segment.settings) is not None}
        return min(map(self._engine.rows_at_once, settings))

    def _run(self, waiting: Iterator[ClipPlan], rows: int) -> Iterator[Result]:
        while True:
            at_most = rows if rows == 1 or self._short_first_pass else _SEGMENTS_PER_ROW * rows
            # 1. Take plans until the takes of their ready segments fill a pass.
            yield from self._take_plans(waiting, at_most)
            places = list(islice((place for clip in self._clips for place in takes_to_make(clip, at_most)), at_most))
            if len(places) < rows and self._is_listening:  # what is heard in others may fill the batch
                yield from self._hear(wait_for_one=True)
                continue
            if not places:
                return
            # 2. Build their histories; give up clips for which that fails.
            if failures := list(self._prepare(places)):
                yield from failures
                continue
            # 3. Take what an earlier run has saved; this may make other segments ready.
            yield from self._recall(places)
            if not all(place.is_pending for place in places):
                continue
            self._short_first_pass &= len(places) < rows
            # 4. Generate the rest; halve the batch if memory does not suffice.
            try:
                yield from self._pass(places, rows)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                rows = min(rows, len(places)) // 2
                if not rows:  # not even one segment fits; the next clip may have shorter ones
                    rows = 1
                    yield self._give_up(places[0].clip, DeviceError(TOO_LITTLE_MEMORY))

    def _take_plans(self, waiting: Iterator[ClipPlan], at_most: int) -> Iterator[FailedClip]:
        """Start clips until the takes of their ready segments fill a pass; yield those that cannot be started."""
        ready = sum(len(list(takes_to_make(clip, at_most))) for clip in self._clips)
        while ready < at_most and (plan := next(waiting, None)):
            try:
                if self._recipe.spoken is None:
                    for segment in plan.segments:
                        if segment.text:
                            self._engine.encode(segment.text)  # raises TextError for a text that the model cannot read
                if self._journal is not None:
                    self._journal.clip(plan)
            except BarkError as error:
                self._is_resumable |= isinstance(error, OutputError)
                yield FailedClip(plan, error)
                continue
            self._clips.append(ClipState(plan, self._recipe))
            ready += len(list(takes_to_make(self._clips[-1], at_most)))

    def _prepare(self, places: Sequence[Place]) -> Iterator[FailedClip]:
        """Build the histories of these segments; yield the clips for which that failed."""
        for clip, index, _ in places:
            try:
                if not clip.failed:
                    clip.prepare(index)
            except BarkError as error:
                yield self._give_up(clip, error)

    def _recall(self, places: Sequence[Place]) -> Iterator[Result]:
        """Take those of these takes that are saved in the journal; finish segments that are `known`."""
        for place in places:
            clip, index, take = place
            if not place.is_pending:
                continue
            if (known := self._known.get(index)) is not None and known.takes is not None:
                if (generation := self._generation_of(known)) is not None:
                    yield from self._finish(clip, index, clip.keep(index, generation, known.takes))
            elif self._journal is not None:
                kept = self._journal.clip(clip.plan).recall(self._key(clip, index), take)
                if kept is not None and (generation := self._generation_of(kept)) is not None:
                    yield from self._receive(MadeTake(place, generation, recalled=True), _heard_in(kept))

    def _generation_of(self, kept: KeptSegment) -> Generation | None:
        return generation_of(kept, lambda codes: self._engine.decode([codes])[0])

    def _pass(self, places: Sequence[Place], rows: int) -> Iterator[Result]:
        """Run prepared segments through the engine; save each take as soon as it is made, and yield finished segments.

        Segments of which further takes are needed are left for a later pass.
        """
        segments = [clip.prepare(index, take) for clip, index, take in places]
        total = sum(clip.share_of_segment(index) for clip, index, _ in places)
        self._rows_done = 0

        def report(stage: str, tokens: int, tokens_total: int) -> None:
            self._progress(
                RunProgress(
                    self._done, self._recalled, len(places), stage, tokens, tokens_total, self._rows_done, total
                )
            )

        with closing(self._engine.stream(segments, self._recipe.settings, report, rows)) as stream:
            for number, generation in stream:
                yield from self._accept(MadeTake(places[number], generation, recalled=False))
                yield from self._hear()
                if all(other.failed for other, _, _ in places):  # the rest is not needed
                    return

    def _accept(self, made: MadeTake) -> Iterator[Result]:
        """Save a take that the engine has made, and have it judged."""
        if not made.place.clip.failed:  # in the meantime, because of another segment
            yield from self._keep(made)
            yield from self._receive(made)

    def _receive(self, made: MadeTake, heard: Heard | None = None) -> Iterator[Result]:
        """Have the recogniser listen to a take, or judge it at once where that is not to be, or has been done (`heard`)."""
        clip, index, take = made.place
        if clip.failed:
            return
        language = clip.made(index, take)
        recognizer = self._recipe.recognizer
        is_heard = heard is not None and recognizer is not None and heard.recognizer == recognizer.name
        if self._listener is None or language is None:
            yield from self._judge(made, None)
        elif is_heard:
            yield from self._judge(made, heard)
        else:
            self._listener.submit(made, made.generation.audio, language)

    @property
    def _is_listening(self) -> bool:
        """Whether takes wait for what the recogniser hears in them."""
        return self._listener is not None and len(self._listener) > 0

    def _hear(self, wait_for_one: bool = False) -> Iterator[Result]:
        """Judge the takes to which the recogniser has listened meanwhile."""
        if self._listener is None:
            return
        for made, heard in self._listener.results(wait_for_one):
            if not made.place.clip.failed:
                if heard is not None:
                    yield from self._keep(made, heard)
                yield from self._judge(made, heard)

    def _judge(self, made: MadeTake, heard: Heard | None) -> Iterator[Result]:
        """Judge a take, and finish its segment if that was the last one that is needed."""
        clip, index, take = made.place
        if clip.failed:
            return
        if outcome := clip.judge(index, take, made.generation, heard, made.recalled):
            yield from self._finish(clip, index, outcome)

    def _finish(self, clip: ClipState, index: int, outcome: Outcome) -> Iterator[Result]:
        """Record a finished segment. Yields the segments of the clip that come next, and the clip if it is complete."""
        try:
            clip.finish(index, outcome)
            self._done += 1
            self._recalled += outcome.recalled
            self._rows_done += not outcome.recalled
            for segment in clip.take_finished():
                self._write(clip, segment)
                yield segment
            if clip.complete:
                yield self._complete(clip)
        except BarkError as error:
            yield self._give_up(clip, error)

    def _keep(self, made: MadeTake, heard: Heard | None = None) -> Iterator[FailedClip]:
        """Save a take in the journal, under the fingerprint of its segment, with what was heard in it.

        If that fails, the clip is given up.
        """
        if self._journal is None:
            return
        (clip, index, take), generation = made.place, made.generation
        about = {
            "segment": index,
            "frames": generation.voice.fine.shape[1],
            "cut_ids": generation.cut_ids,
            "seconds_taken": generation.seconds_taken,
            "statistics": generation.statistics and dataclasses.asdict(generation.statistics),
            "ended": generation.ended,
            **({} if generation.worker is None else {"worker": generation.worker}),
            **({} if heard is None else {"heard": heard.content()}),
        }
        try:
            journal = self._journal.clip(clip.plan)
            journal.keep(self._key(clip, index), KeptSegment(generation.voice, about), take)
        except BarkError as error:
            yield self._give_up(clip, error)

    def _key(self, clip: ClipState, index: int) -> str:
        """The fingerprint of a segment, under which the journal has its takes."""
        return self._recipe.fingerprint(clip.prepare(index))

    def _write(self, clip: ClipState, segment: FinishedSegment) -> None:
        if self._open_writer is not None:
            if clip.writer is None:
                clip.writer = self._open_writer(clip.plan)
            clip.writer.add(segment)

    def report_mastering(self, mastering: MasteringProgress) -> None:
        """Report how far the writer of a clip is that has all segments."""
        self._progress(RunProgress(self._done, self._recalled, 0, "", 0, 0, 0, mastering=mastering))

    def _complete(self, state: ClipState) -> Clip:
        """The finished clip, with its files renamed to their final names. Raises OutputError, TextError if it is silent."""
        clip = state.to_clip()
        if state.writer is not None:
            clip = state.writer.finish(clip)
            if self._journal is not None and clip.path is not None:
                self._journal.finished(clip.plan, clip.path)
        _discard(state)
        self._clips.remove(state)
        return clip

    def _give_up(self, clip: ClipState, error: BarkError) -> FailedClip:
        """Give a clip up. Its saved segments stay if the same command may succeed later, with more disk space or memory."""
        clip.failed = True
        _discard(clip)
        self._clips.remove(clip)
        is_resumable = isinstance(error, (OutputError, DeviceError))
        self._is_resumable |= is_resumable
        if self._journal is not None:
            self._journal.given_up(clip.plan, for_good=not is_resumable)
        return FailedClip(clip.plan, error)


def takes_to_make(clip: ClipState, most: int) -> Iterator[Place]:
    """Yield the takes of a clip that can be given to the engine, of at most `most` segments."""
    for index in clip.ready(most):
        for take in clip.pending(index):
            yield Place(clip, index, take)


def _heard_in(kept: KeptSegment) -> Heard | None:
    """What was heard in a saved take, if anybody listened."""
    try:
        return Heard.of(kept.about["heard"])
    except (KeyError, TypeError, ValueError):
        return None


def longest_seconds(plan: ClipPlan, recipe: Recipe) -> float:
    """An upper bound of the length of a clip in seconds."""
    spec = recipe.engine.spec
    tokens = max(spec.max_semantic_tokens, len(recipe.spoken.semantic) if recipe.spoken else 0)
    return len(plan.segments) * tokens / spec.semantic_rate_hz + plan.gap_seconds


def generation_of(kept: KeptSegment, decode: Callable[[np.ndarray], np.ndarray]) -> Generation | None:
    """The generation of a saved segment, with its audio decoded again; None if its numbers are damaged.

    `decode`: codes (8, frames) to samples (frames * 320,).
    """
    voice, about = kept.voice, kept.about
    try:
        if (
            len(about.get("tries", ())) > 1
        ):  # of an earlier version, which saved the best of several under the first's key
            return None
        taken = {str(stage): float(seconds) for stage, seconds in about["seconds_taken"].items()}
        measured = {name: float(value) for name, value in (about["statistics"] or {}).items()}
        statistics = Statistics(**measured) if measured else None
        cut_ids, ended = int(about["cut_ids"]), bool(about["ended"])
        worker = None if about.get("worker") is None else str(about["worker"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if not all(map(math.isfinite, [*taken.values(), *measured.values()])):
        return None
    sound = decode(voice.fine) if voice.fine.size else np.zeros(0, np.float32)
    return Generation(voice, sound, cut_ids, taken, statistics, ended, worker)


def _discard(clip: ClipState) -> None:
    if clip.writer is not None:
        clip.writer.discard()
        clip.writer = None
