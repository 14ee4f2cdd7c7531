"""Schedules a run on many workers: each take is submitted as soon as its history is known, not in batches of the run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..errors import BarkError
from .clip_state import ClipState
from .clips import ClipWriter
from .engine import Fleet, FleetProgress
from .journal import KeptSegment, RunJournal
from .planning import ClipPlan
from .recipe import Recipe
from .recognition import Heard
from .scheduler import MadeTake, Place, Result, RunProgress, Scheduler, takes_to_make

_MOST_UNHEARD = 256  # takes that wait for the recogniser, beyond which no more are submitted: at 15 s each 370 MB


def make_scheduler(
    recipe: Recipe,
    rows: int | None = None,
    journal: RunJournal | None = None,
    known: Mapping[int, KeptSegment] | None = None,
    open_writer: Callable[[ClipPlan], ClipWriter] | None = None,
    progress: Callable[[RunProgress], None] = lambda _: None,
) -> Scheduler:
    """The scheduler that suits the engine of a recipe; the arguments are those of `Scheduler`."""
    kind = FleetScheduler if isinstance(recipe.engine, Fleet) else Scheduler
    return kind(recipe, rows, journal, known, open_writer, progress)


class FleetScheduler(Scheduler):
    """A `Scheduler` for a `Fleet`: a take goes to a worker when its segment's history is known, whatever the others do."""

    def _run(self, waiting: Iterator[ClipPlan], rows: int) -> Iterator[Result]:
        fleet = self._recipe.engine
        assert isinstance(fleet, Fleet)
        self._fleet = fleet
        self._places: dict[int, Place] = {}  # submitted takes, by number
        self._submitted: dict[ClipState, dict[Place, int]] = {}  # of each clip: their numbers
        self._changed: dict[ClipState, None] = {}  # clips whose takes came back or were judged, in order
        self._all_started = False  # whether no plan is left
        self._has_more = True  # whether plans or takes to be made may be left that are not submitted
        try:
            yield from self._run_to_the_end(waiting)
        finally:  # ended early, so that the workers need not make the rest
            for number in self._places:
                fleet.withdraw(number)

    def _run_to_the_end(self, waiting: Iterator[ClipPlan]) -> Iterator[Result]:
        waiting = self._to_the_end(waiting)
        while True:
            # 1. Submit what is ready, as far as there is room.
            if self._has_more and self._room > 0:
                yield from self._fill(waiting)
            if not self._places and not self._is_listening:
                return
            # 2. Wait for any of it; save it, and judge it or have the recogniser listen to it.
            if self._places:
                yield from self._collect()
            # 3. Judge what the recogniser has heard; wait for that only if the workers have nothing.
            yield from self._hear(wait_for_one=not self._places)
            # 4. Submit what waited for these.
            while self._changed:
                clip, _ = self._changed.popitem()
                yield from self._submit_ready(clip)

    @property
    def _room(self) -> int:
        """How many further takes should be submitted now; 0 or less for none."""
        if self._listener is not None and len(self._listener) >= _MOST_UNHEARD:
            return 0
        return self._fleet.room

    def _collect(self) -> Iterator[Result]:
        """Wait until a take comes back or the recogniser has heard one; save the former."""
        finished = self._fleet.next_finished(self._report, self._has_heard)
        if finished is None:
            return
        number, result = finished
        if (place := self._places.pop(number, None)) is None:  # withdrawn
            return
        del self._submitted[place.clip][place]
        if isinstance(result, BarkError):
            yield self._give_up(place.clip, result)
        else:
            yield from self._accept(MadeTake(place, result, recalled=False))
        self._changed[place.clip] = None

    def _judge(self, made: MadeTake, heard: Heard | None) -> Iterator[Result]:
        yield from super()._judge(made, heard)
        self._changed[made.place.clip] = None

    def _has_heard(self) -> bool:
        return self._listener is not None and self._listener.has_result

    def _report(self, fleet: FleetProgress) -> None:
        n_takes = len(self._places)
        n_segments = n_takes / self._recipe.takes.candidates
        self._progress(RunProgress(self._done, self._recalled, n_takes, "", 0, 0, 0, n_segments, fleet))

    def _to_the_end(self, waiting: Iterator[ClipPlan]) -> Iterator[ClipPlan]:
        yield from waiting
        self._all_started = True

    def _fill(self, waiting: Iterator[ClipPlan]) -> Iterator[Result]:
        """Submit ready takes of all clips, and start clips until there is no more room."""
        while True:  # again where an earlier run has saved takes
            yield from self._take_plans(waiting, self._room + len(self._places))
            for clip in list(self._clips):
                yield from self._submit_ready(clip)
            self._has_more = self._room <= 0
            if self._has_more or self._all_started:
                return

    def _submit_ready(self, clip: ClipState) -> Iterator[Result]:
        """Submit takes of a clip that are to be made, as far as there is room, but for those that an earlier run has saved."""
        while places := self._unsubmitted(clip):
            yield from self._prepare(places)
            yield from self._recall(places)
            for place in places:
                if place.is_pending:
                    self._submit(place)
        if clip.failed or clip.complete:
            self._forget(clip)

    def _unsubmitted(self, clip: ClipState) -> Sequence[Place]:
        """Takes of a clip that are to be made and not submitted, as many as there is room for."""
        if clip.failed:
            return ()
        if (room := self._room) <= 0:
            self._has_more = True
            return ()
        submitted = self._submitted.setdefault(clip, {})
        to_make = takes_to_make(clip, room + len(submitted))
        return list(itertools.islice((place for place in to_make if place not in submitted), room))

    def _submit(self, place: Place) -> None:
        number = self._fleet.submit(place.clip.prepare(place.segment, place.take), self._recipe.settings)
        self._places[number] = place
        self._submitted[place.clip][place] = number

    def _forget(self, clip: ClipState) -> None:
        """Withdraw the takes of a clip that has failed or is complete."""
        for number in self._submitted.pop(clip, {}).values():
            self._fleet.withdraw(number)
            del self._places[number]
