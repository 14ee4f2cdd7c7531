"""A clip while it is made: what each of its segments waits for, the history it gets, and its place in the clip's sound."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

from ..bark import Generation, Segment
from ..voices.custom_history import HistoryContext, ask
from ..voices.history import History, Weights
from ..voices.voice import Voice
from .clips import Clip, ClipWriter, FinishedSegment, HistorySizes
from .planning import ClipPlan
from .recipe import Recipe
from .stitching import Stitcher
from .takes import Try, best_of, next_seeds

_MOST_WAITING = 1000  # finished segments whose sound waits for an earlier one: at 15 s each 1.4 GB


class SegmentStatus(Enum):
    """What becomes of a segment, in this order; from READY on it is given to the engine."""

    WAITING = auto()  # for a segment whose voice is part of its history
    READY = auto()  # its history can be built
    RETRYING = auto()  # it came out with faults, and is tried again from other seeds
    DONE = auto()
    SILENT = auto()  # done, without any sound


class Outcome(NamedTuple):
    """The best generation of a segment and all of its tries."""

    generation: Generation
    tries: tuple[Try, ...]
    recalled: bool = False  # whether an earlier run has made it


@dataclass(slots=True)
class _SegmentState:
    """One segment while its clip is made. What is no longer needed is None again."""

    status: SegmentStatus = SegmentStatus.WAITING
    segment: Segment | None = None  # as it is given to the engine, once prepared
    outcome: Outcome | None = None  # while RETRYING, of the tries so far; DONE or SILENT, until its turn has come
    history_sizes: HistorySizes | None = None  # of a finished segment, until its turn has come
    voice: Voice | None = None  # of a DONE segment, while it may still become another's history

    @property
    def finished(self) -> bool:
        return self.status in (SegmentStatus.DONE, SegmentStatus.SILENT)


class ClipState:
    """A clip while it is made. Segments become ready, are prepared, judged and finished, and leave in their order.

    Work for a segment does not grow with the number of segments.
    """

    def __init__(self, plan: ClipPlan, recipe: Recipe):
        self.plan, self.recipe = plan, recipe
        self.writer: ClipWriter | None = None  # once there is something to write
        self.failed = False  # whether the clip was given up
        self._states = [_SegmentState() for _ in plan.segments]
        self._ready: list[int] = []  # segments that are READY or RETRYING, in order
        self._n_finished = 0
        self._first_open = 0  # the first segment that is not finished
        self._first_voiced = len(plan.segments)  # the first segment that is DONE, so far
        self._stitcher = Stitcher(plan, recipe.gain_db)  # of segments whose turn has come
        self._update(range(len(plan.segments)))

    @property
    def complete(self) -> bool:
        """Whether all segments have left."""
        return self._stitcher.complete

    @property
    def n_finished(self) -> int:
        """Segments that are DONE or SILENT."""
        return self._n_finished

    # ---- what can be made next ----

    def ready(self, most: int) -> list[int]:
        """At most `most` segments whose history is known, in order.

        Only the first of them if so many finished segments already wait for it that memory would fill.
        """
        waiting = self._n_finished - self._first_open
        return self._ready[: most if waiting < _MOST_WAITING else 1]

    def prepare(self, index: int) -> Segment:
        """A ready segment with its history, as the engine is given it; built once, so a user's function is asked once.

        Raises BarkError if the function fails or the engine does not know the history's tokens.
        """
        state = self._states[index]
        if state.segment is None:
            plan, recipe = self.plan.segments[index], self.recipe
            history = self._history(index)
            recipe.engine.check_history(history)
            semantic = recipe.spoken.semantic if recipe.spoken and plan.text else None
            state.segment = Segment(plan.text or None, history, plan.seeds, semantic)
            self._forget_voice(index - 1)
        return state.segment

    def first_try(self, index: int) -> Segment:
        """A prepared segment with the seeds of its plan, before any others were tried."""
        return dataclasses.replace(self.prepare(index), seeds=self.plan.segments[index].seeds)

    def is_retried(self, index: int) -> bool:
        """Whether the segment was made before, with faults."""
        return self._states[index].status is SegmentStatus.RETRYING

    # ---- what was made ----

    def judge(self, index: int, generation: Generation) -> Outcome | None:
        """Check the latest try of a segment; None if the segment is to be tried again, from other seeds."""
        state, segment = self._states[index], self.prepare(index)
        before = state.outcome
        latest = Try(segment.seeds, self._faults(segment, generation))
        tries = (*(before.tries if before else ()), latest)
        if before:
            earlier = before.generation.seconds_taken
            taken = {stage: s + earlier.get(stage, 0.0) for stage, s in generation.seconds_taken.items()}
            best = generation if best_of(tries) == len(before.tries) else before.generation
            generation = dataclasses.replace(best, seconds_taken=taken)  # of all tries
        outcome = Outcome(generation, tries)
        first, settings = self.first_try(index), self.recipe.settings_of(segment)
        if seeds := next_seeds(first, tries, settings, self._retries(index)):
            state.outcome, state.status = outcome, SegmentStatus.RETRYING
            state.segment = dataclasses.replace(segment, seeds=seeds)
            return None
        return outcome

    def finish(self, index: int, outcome: Outcome) -> None:
        """Note what a prepared segment has become. Those that waited for it may be ready now."""
        state, silent = self._states[index], outcome.generation.silent
        state.history_sizes = HistorySizes.of(self.prepare(index).history)
        state.segment, state.outcome = None, outcome
        state.status = SegmentStatus.SILENT if silent else SegmentStatus.DONE
        del self._ready[bisect_left(self._ready, index)]
        self._n_finished += 1
        knew_start = self._starting_known(len(self._states))
        if not silent:
            state.voice = outcome.generation.voice
            self._first_voiced, before = min(self._first_voiced, index), self._first_voiced
            self._forget_voice(before)
        while self._first_open < len(self._states) and self._states[self._first_open].finished:
            self._first_open += 1
        knows_start = self._starting_known(len(self._states))
        self._update(
            (index + 1, self._first_open) if knows_start is knew_start else range(self._first_open, len(self._states))
        )
        self._forget_voice(index)

    def take_finished(self) -> Iterator[FinishedSegment]:
        """The finished segments whose turn has come, none or several. Nothing of their sound is kept."""
        while not self.complete and (state := self._states[self._stitcher.n_placed]).finished:
            assert state.outcome is not None and state.history_sizes is not None
            (generation, tries, recalled), history_sizes = state.outcome, state.history_sizes
            state.outcome = state.history_sizes = None
            yield self._stitcher.place(generation, tries, history_sizes, recalled)

    def to_clip(self) -> Clip:
        """The clip, once it is complete. Raises TextError if none of its segments has a sound."""
        return self._stitcher.to_clip(self.recipe.voice, self.recipe.spoken)

    def _faults(self, segment: Segment, generation: Generation) -> dict[str, float] | None:
        checks, given = self.recipe.checks, segment.semantic is not None
        if checks is None:
            return None
        return checks.faults(generation.audio, generation.voice, segment.text, generation.ended, given)

    def _retries(self, index: int) -> int:
        checks = self.recipe.checks
        return 0 if checks is None or self.plan.segments[index].settled else checks.retries

    # ---- which voices a segment's history is made of ----

    def _weights(self, index: int) -> Weights:
        return self.recipe.rule.weights(index, wordless=not self.plan.segments[index].text)

    def _update(self, indexes: Sequence[int]) -> None:
        """Make those of these WAITING segments READY whose history is known by now."""
        for index in indexes:
            is_waiting = index < len(self._states) and self._states[index].status is SegmentStatus.WAITING
            if is_waiting and self._history_known(index):
                self._states[index].status = SegmentStatus.READY
                insort(self._ready, index)

    def _history_known(self, index: int) -> bool:
        if index == 0:
            return True
        weights = self._weights(index)
        if self._depends_on_previous(weights):
            previous = self._states[index - 1]
            if not previous.finished:
                return False
            # A silent segment has no voice: the starting voice takes its place.
            if previous.status is SegmentStatus.SILENT and not self._starting_known(index):
                return False
        return not weights.of_starting or self._starting_known(index)

    def _depends_on_previous(self, weights: Weights) -> bool:
        return weights.of_previous or self.recipe.function is not None

    def _starting_known(self, index: int) -> bool:
        """Whether no open segment can still become the starting voice of segment `index`."""
        return self.recipe.has_starting_voice or self._first_open >= min(index, self._first_voiced)

    def _starting(self, index: int) -> Voice | None:
        """The given voice, else that of the first segment before `index` that has a sound."""
        if self.recipe.has_starting_voice:
            return self.recipe.voice
        return self._states[self._first_voiced].voice if self._first_voiced < index else None

    def _history(self, index: int) -> History:
        starting = self._starting(index)
        previous = self._states[index - 1].voice if index else None
        weights = self._weights(index)
        wanted: Weights | Voice = weights
        if self.recipe.function is not None:
            wanted = ask(self.recipe.function, self._context(index, starting, weights))
        if isinstance(wanted, Voice):
            starting, wanted = wanted, Weights()
        return wanted.history(starting, previous or starting, self.recipe.engine.spec)

    def _context(self, index: int, starting: Voice | None, weights: Weights) -> HistoryContext:
        plan = self.plan
        voices = (state.voice for state in islice(self._states, index))
        return HistoryContext(
            plan.prompt_index,
            plan.take,
            index,
            len(plan.segments),
            plan.segments[index].text,
            starting and starting.read_only(),
            [voice.read_only() for voice in voices if voice],  # one after the other where a function is asked
            weights,
        )

    def _forget_voice(self, index: int) -> None:
        """Drop the voice of a segment that is in no open segment's history. A user's function is given all of them."""
        if not 0 <= index < len(self._states) or self.recipe.function is not None:
            return
        is_start = index == self._first_voiced and not self.recipe.has_starting_voice
        following = self._states[index + 1] if index + 1 < len(self._states) else None
        is_next = following is not None and not following.finished and following.segment is None
        if not is_start and not is_next:
            self._states[index].voice = None
