"""The state of an unfinished clip: the status of each segment, and the history that it gets."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from ..bark import Generation, Segment
from ..voices.custom_history import HistoryContext, ask
from ..voices.history import History, Weights
from ..voices.voice import Voice
from .clips import Clip, ClipWriter, FinishedSegment, HistorySizes
from .lineage import Lineage
from .planning import ClipPlan
from .recipe import Recipe
from .stitching import Stitcher
from .takes import Try, best_of, next_seeds

_MOST_WAITING = 1000  # finished segments kept in memory until an earlier one is finished: at 15 s each 1.4 GB


class SegmentStatus(Enum):
    """The status of a segment; it passes through these in order. READY and RETRYING segments can be given to the engine."""

    WAITING = auto()  # its history depends on a segment that is not finished
    READY = auto()  # its history can be built
    RETRYING = auto()  # its last try had faults; it is tried again with other seeds
    DONE = auto()
    SILENT = auto()  # done, without any audio


class Outcome(NamedTuple):
    """The best generation of a segment and all of its tries."""

    generation: Generation
    tries: tuple[Try, ...]
    recalled: bool = False  # whether an earlier run generated it


@dataclass(slots=True)
class _SegmentState:
    """The state of one segment of an unfinished clip. Fields are set to None when they are no longer needed."""

    status: SegmentStatus = SegmentStatus.WAITING
    segment: Segment | None = None  # the input of the engine, once prepared
    outcome: Outcome | None = (
        None  # RETRYING: of the tries so far; DONE or SILENT: until all segments before it are finished
    )
    history_sizes: HistorySizes | None = None  # of a finished segment, as long as `outcome`
    voice: Voice | None = None  # of a DONE segment, while an unfinished segment may have it in its history

    @property
    def finished(self) -> bool:
        return self.status in (SegmentStatus.DONE, SegmentStatus.SILENT)


class ClipState:
    """The state of an unfinished clip, driven by the scheduler.

    For each segment: `ready` lists it, `prepare` gives the engine's input, `judge` checks each try, `finish` records the
    outcome, and `take_finished` returns the finished segments in order. The work per segment does not grow with the
    number of segments.
    """

    def __init__(self, plan: ClipPlan, recipe: Recipe):
        self.plan, self.recipe = plan, recipe
        self.writer: ClipWriter | None = None  # opened with the first segment to write
        self.failed = False  # whether the scheduler has given the clip up
        self._states = [_SegmentState() for _ in plan.segments]
        self._ready: list[int] = []  # segments that are READY or RETRYING, in order
        self._n_finished = 0
        self._first_open = 0  # the first segment that is not finished
        self._lineage = Lineage(
            plan.segments, recipe.rule, lambda name: recipe.voice_of(name) is not None, recipe.function is not None
        )
        self._stitcher = Stitcher(plan, recipe.joining)
        self._update(range(len(plan.segments)))

    @property
    def complete(self) -> bool:
        """Whether `take_finished` has returned all segments."""
        return self._stitcher.complete

    @property
    def n_finished(self) -> int:
        """The number of segments that are DONE or SILENT."""
        return self._n_finished

    # ---- segments for the engine ----

    def ready(self, most: int) -> list[int]:
        """Indexes of at most `most` segments that are READY or RETRYING, ascending.

        Only the first of them while `_MOST_WAITING` finished segments wait for an earlier one, to bound memory.
        """
        waiting = self._n_finished - self._first_open
        return self._ready[: most if waiting < _MOST_WAITING else 1]

    def prepare(self, index: int) -> Segment:
        """The engine's input for a ready segment, with its history; built once, so a user's function is called once.

        Raises BarkError if that function fails, or if the history has tokens that the engine's model does not have.
        """
        state = self._states[index]
        if state.segment is None:
            plan, recipe = self.plan.segments[index], self.recipe
            history = self._history(index)
            recipe.engine.check_history(history)
            semantic = recipe.spoken.semantic if recipe.spoken and plan.text else None
            state.segment = Segment(plan.text or None, history, plan.seeds, semantic, plan.settings)
            self._forget_voice(self._lineage.previous(index))
        return state.segment

    def first_try(self, index: int) -> Segment:
        """The engine's input for the first try of a segment: with the seeds of its plan."""
        return dataclasses.replace(self.prepare(index), seeds=self.plan.segments[index].seeds)

    def is_retried(self, index: int) -> bool:
        """Whether the segment is RETRYING: generated before, with faults."""
        return self._states[index].status is SegmentStatus.RETRYING

    # ---- generations from the engine ----

    def judge(self, index: int, generation: Generation) -> Outcome | None:
        """Check the latest try of a segment. Returns the outcome, or None if it is to be tried again with other seeds."""
        state, segment = self._states[index], self.prepare(index)
        earlier = state.outcome
        latest = Try(segment.seeds, self._faults(segment, generation))
        tries = (*(earlier.tries if earlier else ()), latest)
        if earlier:
            taken_before = earlier.generation.seconds_taken
            taken = {stage: s + taken_before.get(stage, 0.0) for stage, s in generation.seconds_taken.items()}
            best = generation if best_of(tries) == len(earlier.tries) else earlier.generation
            generation = dataclasses.replace(best, seconds_taken=taken)  # of all tries
        outcome = Outcome(generation, tries)
        first, settings = self.first_try(index), self.recipe.settings_of(segment)
        if seeds := next_seeds(first, tries, settings, self._retries(index)):
            state.outcome, state.status = outcome, SegmentStatus.RETRYING
            state.segment = dataclasses.replace(segment, seeds=seeds)
            return None
        return outcome

    def finish(self, index: int, outcome: Outcome) -> None:
        """Record the outcome of a prepared segment, and make the segments READY whose history is known now."""
        state, silent = self._states[index], outcome.generation.silent
        state.history_sizes = HistorySizes.of(self.prepare(index).history)
        state.segment, state.outcome = None, outcome
        state.status = SegmentStatus.SILENT if silent else SegmentStatus.DONE
        del self._ready[bisect_left(self._ready, index)]
        self._n_finished += 1
        while self._first_open < len(self._states) and self._states[self._first_open].finished:
            self._first_open += 1
        if not silent:
            state.voice = outcome.generation.voice
        start = self._lineage.start(index)
        self._update(self._lineage.finish(index, silent))
        self._forget_voice(start)  # if another one is the starting voice now
        self._forget_voice(index)

    def take_finished(self) -> Iterator[FinishedSegment]:
        """Yield the finished segments that come next in the clip, none or several, and release their audio."""
        while not self.complete and (state := self._states[self._stitcher.n_placed]).finished:
            assert state.outcome is not None and state.history_sizes is not None
            (generation, tries, recalled), history_sizes = state.outcome, state.history_sizes
            state.outcome = state.history_sizes = None
            yield self._stitcher.place(generation, tries, history_sizes, recalled)

    def to_clip(self) -> Clip:
        """The clip, once it is complete. Raises TextError if all of its segments are silent."""
        return self._stitcher.to_clip(self.recipe.voice, self.recipe.spoken, self.recipe.voices)

    def _faults(self, segment: Segment, generation: Generation) -> dict[str, float] | None:
        checks, given = self.recipe.checks, segment.semantic is not None
        if checks is None:
            return None
        if segment.settings is not None:
            own = segment.settings.semantic
            checks = checks.with_settings(own.allow_early_stop, own.max_gen_duration_s)
        return checks.faults(generation.audio, generation.voice, segment.text, generation.ended, given)

    def _retries(self, index: int) -> int:
        checks = self.recipe.checks
        return 0 if checks is None or self.plan.segments[index].settled else checks.retries

    # ---- the history of a segment ----

    def _update(self, indexes: Iterable[int]) -> None:
        """Of these segments, make the WAITING ones READY whose history is known now."""
        for index in indexes:
            if self._states[index].status is SegmentStatus.WAITING and self._lineage.is_known(index):
                self._states[index].status = SegmentStatus.READY
                insort(self._ready, index)

    def _starting(self, index: int) -> Voice | None:
        """The starting voice of a segment's speaker: the given one, else that of his first segment that is not silent."""
        start = self._lineage.start(index)
        if start is None:
            return self.recipe.voice_of(self.plan.segments[index].speaker)
        return self._states[start].voice if start < index else None

    def _history(self, index: int) -> History:
        starting, before = self._starting(index), self._lineage.previous(index)
        previous = None if before is None else self._states[before].voice
        weights = self._lineage.weights(index)
        wanted: Weights | Voice = weights
        if self.recipe.function is not None:
            wanted = ask(self.recipe.function, self._context(index, starting, weights))  # the user's function decides
        if isinstance(wanted, Voice):
            starting, wanted = wanted, Weights()
        return wanted.history(starting, previous or starting, self.recipe.engine.spec)

    def _context(self, index: int, starting: Voice | None, weights: Weights) -> HistoryContext:
        plan = self.plan
        voices = (self._states[earlier].voice for earlier in self._lineage.earlier(index))
        return HistoryContext(
            plan.prompt_index,
            plan.take,
            index,
            len(plan.segments),
            plan.segments[index].text,
            starting and starting.read_only(),
            # all of them are kept, and known: with a function, a speaker's segments run one after the other
            [voice.read_only() for voice in voices if voice],
            weights,
            plan.segments[index].speaker,
        )

    def _forget_voice(self, index: int | None) -> None:
        """Drop the voice of a segment that no unfinished segment's history can need. A user's function gets all of them."""
        if index is None or self.recipe.function is not None:
            return
        following = self._lineage.following(index)
        next_state = None if following is None else self._states[following]
        is_next = next_state is not None and not next_state.finished and next_state.segment is None
        if not is_next and self._lineage.start(index) != index:
            self._states[index].voice = None
