"""Continuous batching over all clips of a run: segments go to the engine as soon as their history is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..bark import Generation
from ..errors import BarkError, DeviceError, OutputError
from ..model.devices import is_out_of_memory
from ..stages.semantic import Statistics
from .clip_state import ClipState, Outcome
from .clips import Clip, ClipWriter, FailedClip, FinishedSegment
from .engine import FleetProgress
from .journal import KeptSegment, RunJournal
from .planning import ClipPlan
from .recipe import Recipe
from .takes import Try

Result = FinishedSegment | Clip | FailedClip
Place = tuple[ClipState, int]
"""A segment of a clip: the clip's state and the segment's index."""

_TOO_LITTLE_MEMORY = "there is too little memory for one segment; use --model small, --dtype bfloat16 or --offload_cpu"
# Segments of a pass per row of the batch, so that rows that end early are refilled. Not more, because segments that depend
# on those of this pass wait for the next one.
_SEGMENTS_PER_ROW = 2
# From this many segments per row on, a run is long. The first pass of a long run has one segment per row, so that the
# first sound comes in half the time. Its rows are not refilled, which costs at most 5 % of the whole run where a step takes the
# same time for any number of rows (computed from the lengths of a book's segments), and less elsewhere.
_LONG_RUN = 8


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run: a pass over `rows` segments is at `stage`, with `tokens` of at most `tokens_total` generated.

    `segments_done`: finished segments of the run; `segments_recalled` of them come from an earlier run, `rows_done` from
    the current pass. `fleet`: set for an engine of many workers, which has no common pass.
    """

    segments_done: int
    segments_recalled: int
    rows: int
    stage: str
    tokens: int
    tokens_total: int
    rows_done: int
    fleet: FleetProgress | None = None


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
        self._is_resumable = False  # whether a clip failed that the same command may finish later

    def run(self, plans: Iterable[ClipPlan]) -> Generator[Result, None, None]:
        """Generate all clips. Plans are taken when a pass has room for their segments. Closing the generator ends the run."""
        complete = False
        rows = self._rows or self._rows_that_fit(plans)
        if isinstance(plans, Sequence):
            self._short_first_pass = sum(len(plan.segments) for plan in plans) >= _LONG_RUN * rows
        try:
            yield from self._run(iter(plans), rows)
            complete = not self._is_resumable
        finally:
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
            # 1. Take plans until their ready segments fill a pass.
            yield from self._take_plans(waiting, at_most)
            places = list(islice(((clip, k) for clip in self._clips for k in clip.ready(at_most)), at_most))
            if not places:
                return
            # 2. Build their histories; give up clips for which that fails.
            if failures := list(self._prepare(places)):
                yield from failures
                continue
            # 3. Yield segments that an earlier run has saved; this may make other segments ready.
            recalled_before = self._recalled
            yield from self._recall(places)
            if self._recalled > recalled_before:
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
                    yield self._give_up(places[0][0], DeviceError(_TOO_LITTLE_MEMORY))

    def _take_plans(self, waiting: Iterator[ClipPlan], at_most: int) -> Iterator[FailedClip]:
        """Start clips until their ready segments fill a pass; yield those that cannot be started."""
        ready = sum(len(clip.ready(at_most)) for clip in self._clips)
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
            ready += len(self._clips[-1].ready(at_most))

    def _prepare(self, places: Sequence[Place]) -> Iterator[FailedClip]:
        """Build the histories of these segments; yield the clips for which that failed."""
        for clip, index in places:
            try:
                if not clip.failed:
                    clip.prepare(index)
            except BarkError as error:
                yield self._give_up(clip, error)

    def _recall(self, places: Sequence[Place]) -> Iterator[Result]:
        """Finish those of these segments that are `known` or saved in the journal."""
        for clip, index in places:
            if clip.failed or clip.is_retried(index):
                continue
            kept = self._known.get(index)
            if kept is None and self._journal is not None:
                kept = self._journal.clip(clip.plan).recall(self._recipe.fingerprint(clip.first_try(index)))
            if kept and (outcome := self._outcome_of(kept, clip, index)):
                self._recalled += 1
                yield from self._finish(clip, index, outcome._replace(recalled=True))

    def _outcome_of(self, kept: KeptSegment, clip: ClipState, index: int) -> Outcome | None:
        """The outcome of a saved segment; None if it is damaged, or if other checks than now chose among its tries."""
        generation = generation_of(kept, lambda codes: self._engine.decode([codes])[0])
        try:
            tries = tuple(Try.of(content) for content in kept.about["tries"])
            if generation is None or not tries:
                return None
            if len(tries) == 1:
                return clip.judge(index, generation)
            return Outcome(generation, tries) if kept.about["checks"] == self._checks else None
        except (KeyError, TypeError, ValueError):
            return None

    def _pass(self, places: Sequence[Place], rows: int) -> Iterator[Result]:
        """Run prepared segments through the engine; save and yield each as soon as it is finished.

        Segments that are to be retried are left for a later pass.
        """
        segments = [clip.prepare(index) for clip, index in places]
        rows_done = 0

        def report(stage: str, tokens: int, total: int) -> None:
            self._progress(RunProgress(self._done, self._recalled, len(places), stage, tokens, total, rows_done))

        with closing(self._engine.stream(segments, self._recipe.settings, report, rows)) as stream:
            for place, generation in stream:
                clip, index = places[place]
                if clip.failed:  # in the meantime, because of another segment
                    continue
                if outcome := clip.judge(index, generation):
                    rows_done += 1
                    yield from self._finish(clip, index, outcome, keep=True)
                if all(other.failed for other, _ in places):  # the rest is not needed
                    return

    def _finish(self, clip: ClipState, index: int, outcome: Outcome, keep: bool = False) -> Iterator[Result]:
        """Record a finished segment. Yields the segments of the clip that come next, and the clip if it is complete.

        `keep`: save the segment in the journal first.
        """
        try:
            if keep:
                self._keep(clip, index, outcome)
            clip.finish(index, outcome)
            self._done += 1
            for segment in clip.take_finished():
                self._write(clip, segment)
                yield segment
            if clip.complete:
                yield self._complete(clip)
        except BarkError as error:
            yield self._give_up(clip, error)

    def _keep(self, clip: ClipState, index: int, outcome: Outcome) -> None:
        """Save a finished segment in the journal, under the fingerprint of its first try. Raises OutputError."""
        if self._journal is None:
            return
        generation = outcome.generation
        about = {
            "cut_ids": generation.cut_ids,
            "seconds_taken": generation.seconds_taken,
            "statistics": generation.statistics and dataclasses.asdict(generation.statistics),
            "ended": generation.ended,
            "tries": [one.content() for one in outcome.tries],
            "checks": self._checks,
            **({} if generation.worker is None else {"worker": generation.worker}),
        }
        key = self._recipe.fingerprint(clip.first_try(index))
        self._journal.clip(clip.plan).keep(key, KeptSegment(generation.voice, about))

    def _write(self, clip: ClipState, segment: FinishedSegment) -> None:
        if self._open_writer is not None:
            if clip.writer is None:
                clip.writer = self._open_writer(clip.plan)
            clip.writer.add(segment)

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

    @property
    def _checks(self) -> dict[str, object] | None:
        checks = self._recipe.checks
        return None if checks is None else dataclasses.asdict(checks)


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
