"""The state of an unfinished clip: the status of each segment, and the history that it gets."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from ..bark import Generation, Segment
from ..voices.custom_history import HistoryContext, ask
from ..voices.history import History, Weights
from ..voices.voice import Voice
from .clips import Clip, ClipWriter, FinishedSegment, HistorySizes
from .judging import judge_take, language_to_hear
from .lineage import Lineage
from .planning import ClipPlan
from .recipe import Recipe
from .recognition import Heard
from .stitching import Stitcher
from .takes import Outcome, RecordedTakes, Try, best_of, depends_on_its_seed, seeds_of_take

_MOST_WAITING = 1000  # finished segments kept in memory until an earlier one is finished: at 15 s each 1.4 GB


class SegmentStatus(Enum):
    """The status of a segment; it passes through these in order.

    READY and RETRYING segments can be given to the engine while they have takes that are to be made.
    """

    WAITING = auto()  # its history depends on a segment that is not finished
    READY = auto()  # its history can be built
    RETRYING = auto()  # none of its takes so far passed; a further one is to be made
    DONE = auto()
    SILENT = auto()  # done, without any audio


@dataclass(frozen=True, slots=True)
class _Take:
    """A take that is judged."""

    generation: Generation
    known: Try
    recalled: bool  # whether an earlier run made it


@dataclass(slots=True)
class _SegmentState:
    """The state of one segment of an unfinished clip. Fields are set to None when they are no longer needed."""

    status: SegmentStatus = SegmentStatus.WAITING
    segment: Segment | None = None  # the input of the engine for its first take, once prepared
    asked: int = 0  # takes that are to be made before one is chosen
    pending: list[int] = dataclasses.field(
        default_factory=list
    )  # those of them that the engine has not made, ascending
    takes: dict[int, _Take] = dataclasses.field(default_factory=dict)  # those that are judged, until one is chosen
    outcome: Outcome | None = None  # DONE or SILENT: until all segments before it are finished
    history_sizes: HistorySizes | None = None  # of a finished segment, as long as `outcome`
    voice: Voice | None = None  # of a DONE segment, while an unfinished segment may have it in its history

    @property
    def finished(self) -> bool:
        return self.status in (SegmentStatus.DONE, SegmentStatus.SILENT)


class ClipState:
    """The state of an unfinished clip, driven by the scheduler.

    For each segment: `ready` lists it and `pending` its takes that are to be made, `prepare` gives the engine's input for
    one, `made` and `judge` get each take and choose among them, `finish` records the outcome, and `take_finished` returns
    the finished segments in order. The work per segment does not grow with the number of segments.
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

    # ---- segments for the engine ----

    def ready(self, most: int) -> list[int]:
        """Indexes of at most `most` segments that have takes to be made, ascending.

        Only the first of them while `_MOST_WAITING` finished segments wait for an earlier one, to bound memory.
        """
        waiting = self._n_finished - self._first_open
        return self._ready[: most if waiting < _MOST_WAITING else 1]

    def pending(self, index: int) -> tuple[int, ...]:
        """The takes of a segment that the engine has yet to make, ascending."""
        return tuple(self._states[index].pending)

    def prepare(self, index: int, take: int = 0) -> Segment:
        """The engine's input for a take of a ready segment. Its history is built once, so a user's function is called once.

        Raises BarkError if that function fails, or if the history has tokens that the engine's model does not have.
        """
        state = self._states[index]
        if state.segment is None:
            history = self._history(index)
            self.recipe.engine.check_history(history)
            state.segment = dataclasses.replace(self._without_history(index), history=history)
            self._forget_voice(self._lineage.previous(index))
        if take == 0:
            return state.segment
        return dataclasses.replace(state.segment, seeds=seeds_of_take(state.segment.seeds, take))

    def share_of_segment(self, index: int) -> float:
        """The part of a segment that one of its takes is: 1 / its number of takes so far."""
        return 1 / self._states[index].asked

    # ---- generations from the engine ----

    def made(self, index: int, take: int) -> str | None:
        """Note that the engine has made a take. Returns the language in which the recogniser is to listen to it, if it is.

        The segment is not ready any more once all of its takes are made, and waits for `judge` to get all of them.
        """
        state = self._states[index]
        state.pending.remove(take)
        if not state.pending:
            del self._ready[bisect_left(self._ready, index)]
        return language_to_hear(self.plan, self.plan.segments[index], self.recipe)

    def judge(
        self, index: int, take: int, generation: Generation, heard: Heard | None = None, recalled: bool = False
    ) -> Outcome | None:
        """Judge a take. Returns the outcome once all takes are judged and one is chosen; None while takes are missing.

        `heard`: what the recogniser heard in it. `recalled`: an earlier run made it.
        """
        state, segment = self._states[index], self.prepare(index, take)
        state.takes[take] = _Take(
            *judge_take(self.recipe, self.plan.segments[index], segment, generation, heard), recalled
        )
        if len(state.takes) < state.asked:
            return None
        takes = [state.takes[number] for number in range(state.asked)]
        tries = tuple(take.known for take in takes)
        if self._tries_again(index, tries):
            state.status = SegmentStatus.RETRYING
            state.pending.append(state.asked)
            state.asked += 1
            insort(self._ready, index)
            return None
        chosen = best_of(tries)
        stages = takes[chosen].generation.seconds_taken
        taken = {stage: sum(take.generation.seconds_taken.get(stage, 0.0) for take in takes) for stage in stages}
        others = {
            k: take.generation.voice for k, take in enumerate(takes) if k != chosen and not take.generation.silent
        }
        return Outcome(
            dataclasses.replace(takes[chosen].generation, seconds_taken=taken),
            tries,
            chosen,
            all(take.recalled for take in takes),
            others if self.recipe.takes.keep else {},
        )

    def keep(self, index: int, generation: Generation, recorded: RecordedTakes) -> Outcome:
        """The outcome of a segment that keeps its tokens from a finished clip. Only its faults are found anew."""
        for take in self.pending(index):
            self.made(index, take)
        _, known = judge_take(self.recipe, self.plan.segments[index], self.prepare(index), generation, None)
        tries = list(recorded.tries)
        tries[recorded.chosen] = dataclasses.replace(
            tries[recorded.chosen], faults=known.faults, seconds=known.seconds, pace=known.pace
        )
        others = recorded.others if self.recipe.takes.keep else {}
        return Outcome(generation, tuple(tries), recorded.chosen, True, others)

    def finish(self, index: int, outcome: Outcome) -> None:
        """Record the outcome of a prepared segment, and make the segments READY whose history is known now."""
        state, silent = self._states[index], outcome.generation.silent
        state.history_sizes = HistorySizes.of(self.prepare(index).history)
        state.segment, state.outcome = None, outcome
        state.takes.clear()
        state.status = SegmentStatus.SILENT if silent else SegmentStatus.DONE
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
            outcome, history_sizes = state.outcome, state.history_sizes
            state.outcome = state.history_sizes = None
            yield self._stitcher.place(outcome, history_sizes)

    def to_clip(self) -> Clip:
        """The clip, once it is complete. Raises TextError if all of its segments are silent."""
        return self._stitcher.to_clip(self.recipe.voice, self.recipe.spoken, self.recipe.voices)

    def _candidates(self, index: int) -> int:
        """The number of takes that are made of a segment at first."""
        return self.recipe.takes.candidates if self._may_vary(index) else 1

    def _tries_again(self, index: int, tries: tuple[Try, ...]) -> bool:
        """Whether a further take of a segment is to be made, because none of its takes passes."""
        checks, rules = self.recipe.checks, self.recipe.takes
        if checks is None or any(rules.passes(take) for take in tries):
            return False
        return len(tries) < self._candidates(index) + checks.retries and self._may_vary(index)

    def _may_vary(self, index: int) -> bool:
        """Whether other takes of a segment may be made, and would differ."""
        segment = self._without_history(index)
        settled = self.plan.segments[index].settled
        return not settled and depends_on_its_seed(segment, self.recipe.settings_of(segment))

    def _without_history(self, index: int) -> Segment:
        """The engine's input for the first take of a segment, but for its history."""
        plan, spoken = self.plan.segments[index], self.recipe.spoken
        semantic = spoken.semantic if spoken and plan.text else None
        return Segment(plan.text or None, seeds=plan.seeds, semantic=semantic, settings=plan.settings)

    # ---- the history of a segment ----

    def _update(self, indexes: Iterable[int]) -> None:
        """Of these segments, make the WAITING ones READY whose history is known now."""
        for index in indexes:
            state = self._states[index]
            if state.status is SegmentStatus.WAITING and self._lineage.is_known(index):
                state.status, state.asked = SegmentStatus.READY, self._candidates(index)
                state.pending = list(range(state.asked))
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
