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
from .journal import KeptSegment, RunJournal
from .planning import ClipPlan
from .recipe import Recipe
from .takes import Try

Result = FinishedSegment | Clip | FailedClip
Place = tuple[ClipState, int]
"""A segment of a clip: the clip's state and the segment's index."""

_TOO_LITTLE_MEMORY = "there is too little memory for one segment; use --model small, --dtype bfloat16 or --offload_cpu"
# Segments of a pass for each row: rows that end early are refilled. Not more, for a finished segment waits for the others.
_SEGMENTS_PER_ROW = 2
# Segments for each row that make a run long. The first pass of such a run has one segment for each row, so that the first
# sound comes in half the time. Its rows are not refilled, which costs at most 5 % of the whole run where a step takes the
# same time for any number of rows (computed from the lengths of a book's segments), and less elsewhere.
_LONG_RUN = 8


@dataclass(frozen=True)
class RunProgress:
    """What a run is doing: `stage` of a pass over `rows` segments, `tokens` finished of at most `tokens_total`.

    `segments_done`: segments of the run that have their sound, `segments_recalled` of them from an earlier run;
    `rows_done`: those of the current pass among them.
    """

    segments_done: int
    segments_recalled: int
    rows: int
    stage: str
    tokens: int
    tokens_total: int
    rows_done: int


class Scheduler:
    """Takes plans of clips and yields their segments in order, each as soon as it is finished, and then the clips.

    Clips may take turns. Each finished segment is kept in the `journal`, and those that an earlier run has kept are not
    made again. `known`: segments of the only clip that are not made again, by index. `open_writer` makes what writes the
    files of a clip, before its first segment is handed on. A clip that fails, also by its writer, fails alone.
    `rows`: segments side by side in a stage; None: as many as fit into memory.
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
        self._clips: list[ClipState] = []  # that are being made
        self._done = self._recalled = 0  # segments of the run; those of an earlier run among them
        self._short_first_pass = False  # whether a pass with one segment for each row is still due
        self._may_go_on = False  # whether the same command may finish a clip that failed now

    def run(self, plans: Iterable[ClipPlan]) -> Generator[Result, None, None]:
        """Make all clips. Plans are taken when there is room for their segments. Closing the generator ends the run."""
        complete = False
        rows = self._rows or self._engine.rows_at_once(self._recipe.settings)
        if isinstance(plans, Sequence):
            self._short_first_pass = sum(len(plan.segments) for plan in plans) >= _LONG_RUN * rows
        try:
            yield from self._run(iter(plans), rows)
            complete = not self._may_go_on
        finally:
            for clip in self._clips:
                _discard(clip)
            if self._journal is not None:
                self._journal.close(complete)

    def _run(self, waiting: Iterator[ClipPlan], rows: int) -> Iterator[Result]:
        while True:
            at_most = rows if rows == 1 or self._short_first_pass else _SEGMENTS_PER_ROW * rows
            # 1. Take plans until their ready segments fill a pass.
            yield from self._take_plans(waiting, at_most)
            places = list(islice(((clip, k) for clip in self._clips for k in clip.ready(at_most)), at_most))
            if not places:
                return
            # 2. Build their histories; a clip for which that fails is given up.
            if failures := list(self._prepare(places)):
                yield from failures
                continue
            # 3. Hand on what an earlier run has kept; other segments may be ready by that.
            recalled_before = self._recalled
            yield from self._recall(places)
            if self._recalled > recalled_before:
                continue
            self._short_first_pass &= len(places) < rows
            # 4. Make the rest, with fewer side by side if memory does not suffice.
            try:
                yield from self._pass(places, rows)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                rows = min(rows, len(places)) // 2
                if not rows:  # not even one fits; the next clip may be shorter
                    rows = 1
                    yield self._give_up(places[0][0], DeviceError(_TOO_LITTLE_MEMORY))

    def _take_plans(self, waiting: Iterator[ClipPlan], at_most: int) -> Iterator[FailedClip]:
        """Start clips until their ready segments fill a pass."""
        ready = sum(len(clip.ready(at_most)) for clip in self._clips)
        while ready < at_most and (plan := next(waiting, None)):
            try:
                if self._recipe.spoken is None:
                    for segment in plan.segments:
                        if segment.text:
                            self._engine.encode(segment.text)  # raises for what the model cannot read
                if self._journal is not None:
                    self._journal.clip(plan)
            except BarkError as error:
                self._may_go_on |= isinstance(error, OutputError)
                yield FailedClip(plan, error)
                continue
            self._clips.append(ClipState(plan, self._recipe))
            ready += len(self._clips[-1].ready(at_most))

    def _prepare(self, places: Sequence[Place]) -> Iterator[FailedClip]:
        for clip, index in places:
            try:
                if not clip.failed:
                    clip.prepare(index)
            except BarkError as error:
                yield self._give_up(clip, error)

    def _recall(self, places: Sequence[Place]) -> Iterator[Result]:
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
        """A kept segment with its sound; None if it is damaged, or other checks may choose another of its tries."""
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
        """Give prepared segments to the engine, and hand on each as soon as it is finished and kept.

        Those that are to be made again are left for another pass.
        """
        segments = [clip.prepare(index) for clip, index in places]
        rows_done = 0

        def report(stage: str, tokens: int, total: int) -> None:
            self._progress(RunProgress(self._done, self._recalled, len(places), stage, tokens, total, rows_done))

        with closing(self._engine.stream(segments, self._recipe.settings, report, rows)) as stream:
            for place, generation in stream:
                clip, index = places[place]
                if clip.failed:  # meanwhile, by another of its segments
                    continue
                if outcome := clip.judge(index, generation):
                    rows_done += 1
                    yield from self._finish(clip, index, outcome, keep=True)
                if all(other.failed for other, _ in places):  # nobody waits for the rest
                    return

    def _finish(self, clip: ClipState, index: int, outcome: Outcome, keep: bool = False) -> Iterator[Result]:
        """A segment is finished: keep it, hand on what may follow, and the clip if that was all of it."""
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
        """Let a finished segment outlast this process, under the fingerprint of its first try. Raises OutputError."""
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
        }
        key = self._recipe.fingerprint(clip.first_try(index))
        self._journal.clip(clip.plan).keep(key, KeptSegment(generation.voice, about))

    def _write(self, clip: ClipState, segment: FinishedSegment) -> None:
        if self._open_writer is not None:
            if clip.writer is None:
                clip.writer = self._open_writer(clip.plan)
            clip.writer.add(segment)

    def _complete(self, state: ClipState) -> Clip:
        """The finished clip, with its files under their names. Raises OutputError, and TextError if it has no sound."""
        clip = state.to_clip()
        if state.writer is not None:
            clip = state.writer.finish(clip)
            if self._journal is not None and clip.path is not None:
                self._journal.finished(clip.plan, clip.path)
        _discard(state)
        self._clips.remove(state)
        return clip

    def _give_up(self, clip: ClipState, error: BarkError) -> FailedClip:
        """Give a clip up. Its kept segments stay if the same command may succeed later, with more space or memory."""
        clip.failed = True
        _discard(clip)
        self._clips.remove(clip)
        may_pass = isinstance(error, (OutputError, DeviceError))
        self._may_go_on |= may_pass
        if self._journal is not None:
            self._journal.given_up(clip.plan, for_good=not may_pass)
        return FailedClip(clip.plan, error)

    @property
    def _checks(self) -> dict[str, object] | None:
        checks = self._recipe.checks
        return None if checks is None else dataclasses.asdict(checks)


def longest_seconds(plan: ClipPlan, recipe: Recipe) -> float:
    """An upper bound of the length of a clip."""
    spec = recipe.engine.spec
    tokens = max(spec.max_semantic_tokens, len(recipe.spoken.semantic) if recipe.spoken else 0)
    pauses = sum(segment.pause.seconds for segment in plan.segments)
    return len(plan.segments) * tokens / spec.semantic_rate_hz + pauses


def generation_of(kept: KeptSegment, decode: Callable[[np.ndarray], np.ndarray]) -> Generation | None:
    """A kept segment with its sound; None if its numbers are damaged.

    `decode`: codes (8, frames) to samples (frames * 320,).
    """
    voice, about = kept.voice, kept.about
    try:
        taken = {str(stage): float(seconds) for stage, seconds in about["seconds_taken"].items()}
        measured = {name: float(value) for name, value in (about["statistics"] or {}).items()}
        statistics = Statistics(**measured) if measured else None
        cut_ids, ended = int(about["cut_ids"]), bool(about["ended"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if not all(map(math.isfinite, [*taken.values(), *measured.values()])):
        return None
    sound = decode(voice.fine) if voice.fine.size else np.zeros(0, np.float32)
    return Generation(voice, sound, cut_ids, taken, statistics, ended)


def _discard(clip: ClipState) -> None:
    if clip.writer is not None:
        clip.writer.discard()
        clip.writer = None
