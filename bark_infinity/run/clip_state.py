"""A clip under way: which of its segments are made, which can be made next, and what they will hear."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from ..bark import Generation, Segment
from ..errors import BarkError
from ..voices.custom_history import HistoryContext, ask
from ..voices.history import History, Weights
from ..voices.voice import Voice
from .checks import Try, best_of
from .clips import FailedClip, Heard, SegmentMade
from .planning import ClipPlan
from .retries import next_seeds

if TYPE_CHECKING:
    from .scheduler import LongForm

_MOST_WAITING = 1000  # segments of a clip whose sound is kept because their turn has not come: at 15 s each 1.4 GB


class ClipRun:
    """A clip under way: which segments are made, and which can be made next."""

    def __init__(self, plan: ClipPlan, form: LongForm):
        self.plan, self.form = plan, form
        self.prepared: dict[int, Segment] = {}  # ready segments as the model will be given them
        self._best: dict[int, SegmentMade] = {}  # of those that are to be made again, what there is so far
        self._open = dict.fromkeys(range(len(plan.segments)))  # segments still to be made, in order
        self._silent: set[int] = set()  # segments made without sound
        self._voices: dict[int, Voice] = {}  # of segments that one still to be prepared may hear
        self._first = len(plan.segments)  # the first of those made with sound
        self._given = form.voice is not None or form.rule.separate  # the starting voice, or none
        self._weights = [form.rule.weights(k, wordless=not s.text) for k, s in enumerate(plan.segments)]

    @property
    def complete(self) -> bool:
        return not self._open

    @property
    def _first_open(self) -> int:
        return next(iter(self._open), len(self.plan.segments))

    def ready(self) -> Iterator[int]:
        """Segments not made yet whose history is known; only that for which all wait, where many wait already."""
        made = len(self.plan.segments) - len(self._open)
        known = filter(self._history_known, self._open)
        return known if made - self._first_open < _MOST_WAITING else islice(known, 1)

    def prepare(self, index: int) -> FailedClip | None:
        """Put a ready segment among the prepared ones, once: a user's function is not asked twice, even if memory fails."""
        if index in self.prepared:
            return None
        plan, bark, spoken = self.plan.segments[index], self.form.bark, self.form.spoken
        try:
            history = self._history(index)
            bark.check_history(history)
        except BarkError as error:
            return FailedClip(self.plan, error)
        semantic = spoken.semantic if spoken and plan.text else None
        self.prepared[index] = Segment(plan.text or None, history, plan.seeds, semantic)
        self._forget()
        return None

    def is_tried(self, index: int) -> bool:
        """Whether a prepared segment was made before, and not well."""
        return index in self._best

    def first_try(self, index: int) -> Segment:
        """A prepared segment as it was before any other seeds were tried."""
        return dataclasses.replace(self.prepared[index], seeds=self.plan.segments[index].seeds)

    def judge(self, index: int, generation: Generation) -> SegmentMade | None:
        """The best of a segment's tries, of which this is the latest; None if it is to be made again, from other seeds."""
        segment, before = self.prepared[index], self._best.pop(index, None)
        tries = (*(before.tries if before else ()), Try(segment.seeds, self._faults(segment, generation)))
        if before:
            taken = {stage: s + before.generation.seconds_taken[stage] for stage, s in generation.seconds_taken.items()}
            best = generation if best_of(tries) == len(before.tries) else before.generation
            generation = dataclasses.replace(best, seconds_taken=taken)  # of all tries
        made = SegmentMade(self.plan, index, Heard.of(segment.history), generation, tries)
        if seeds := next_seeds(self.first_try(index), tries, self.form.settings, self._retries(index)):
            self._best[index], self.prepared[index] = made, dataclasses.replace(segment, seeds=seeds)
            return None
        return made

    def _faults(self, segment: Segment, made: Generation) -> dict[str, float] | None:
        checks, given = self.form.checks, segment.semantic is not None
        return checks and checks.faults(made.audio, made.voice, segment.text, made.ended, given)

    def _retries(self, index: int) -> int:
        checks = self.form.checks
        return 0 if checks is None or self.plan.segments[index].settled else checks.retries

    def put(self, made: SegmentMade) -> None:
        """Note what became of a prepared segment."""
        index = made.index
        del self._open[index], self.prepared[index]
        if made.generation.silent:
            self._silent.add(index)
        else:
            self._voices[index] = made.generation.voice
            self._first = min(self._first, index)
        self._forget()

    def _forget(self) -> None:
        """Keep only the voices that may still be heard: of the segment before, the starting one; a function hears all."""
        if self.form.function is None:
            to_be_heard = {k for k in self._voices if k + 1 in self._open and k + 1 not in self.prepared}
            if not self._given:
                to_be_heard.add(self._first)
            self._voices = {k: voice for k, voice in self._voices.items() if k in to_be_heard}

    def _history(self, index: int) -> History:
        starting = self._starting(index)
        # A segment that came out silent leaves nothing to go on from: back to the starting voice.
        before = self._voices.get(index - 1, starting)
        wanted: Weights | Voice = self._weights[index]
        if self.form.function is not None:
            wanted = ask(self.form.function, self._context(index, starting))
        if isinstance(wanted, Voice):
            wanted, starting = Weights(), wanted
        return wanted.history(starting, before, self.form.bark.spec)

    def _context(self, index: int, starting: Voice | None) -> HistoryContext:
        plan = self.plan
        return HistoryContext(
            plan.prompt_index,
            plan.take,
            index,
            len(plan.segments),
            plan.segments[index].text,
            starting and starting.read_only(),
            [
                voice.read_only() for voice in self._voices.values()
            ],  # made one after the other where a function is asked
            self._weights[index],
        )

    def _history_known(self, index: int) -> bool:
        if index == 0:
            return True
        if self._weights[index].of_previous or self.form.function is not None:
            previous = index - 1
            if previous in self._open or (previous in self._silent and not self._starting_known(index)):
                return False
        return not self._weights[index].of_starting or self._starting_known(index)

    def _starting(self, index: int) -> Voice | None:
        """The given voice, or that of the first segment before `index` that is not silent."""
        if self._given:
            return self.form.voice
        return self._voices[self._first] if self._first < index else None

    def _starting_known(self, index: int) -> bool:
        """Whether no segment still to be made can become the starting voice of segment `index`."""
        return self._given or self._first_open >= min(index, self._first)
