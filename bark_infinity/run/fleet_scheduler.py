"""The scheduler of an engine of many workers: segments are submitted as soon as they are ready, without common passes."""

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
from .scheduler import Place, Result, RunProgress, Scheduler


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
    """A `Scheduler` for a `Fleet`: a segment goes to a worker when its history is known, whatever the others do."""

    def _run(self, waiting: Iterator[ClipPlan], rows: int) -> Iterator[Result]:
        fleet = self._recipe.engine
        assert isinstance(fleet, Fleet)
        self._fleet = fleet
        self._places: dict[int, Place] = {}  # submitted segments, by number
        self._submitted: dict[ClipState, dict[int, int]] = {}  # of each clip: their numbers, by index
        self._all_started = False  # whether no plan is left
        self._has_more = True  # whether plans or ready segments may be left that are not submitted
        waiting = self._to_the_end(waiting)
        while True:
            # 1. Submit what is ready, as far as there is room.
            if self._has_more and fleet.room > 0:
                yield from self._fill(waiting)
            if not self._places:
                return
            # 2. Wait for any of it; save and yield it.
            number, result = fleet.next_finished(self._report)
            if (place := self._places.pop(number, None)) is None:  # withdrawn
                continue
            clip, index = place
            del self._submitted[clip][index]
            if isinstance(result, BarkError):
                yield self._give_up(clip, result)
            elif outcome := clip.judge(index, result):
                yield from self._finish(clip, index, outcome, keep=True)
            # 3. Submit what waited for it.
            yield from self._submit_ready(clip)

    def _report(self, fleet: FleetProgress) -> None:
        self._progress(RunProgress(self._done, self._recalled, 0, "", 0, 0, 0, fleet))

    def _to_the_end(self, waiting: Iterator[ClipPlan]) -> Iterator[ClipPlan]:
        yield from waiting
        self._all_started = True

    def _fill(self, waiting: Iterator[ClipPlan]) -> Iterator[Result]:
        """Submit ready segments of all clips, and start clips until there is no more room."""
        while True:  # again where an earlier run has saved segments
            yield from self._take_plans(waiting, self._fleet.room + len(self._places))
            for clip in list(self._clips):
                yield from self._submit_ready(clip)
            self._has_more = self._fleet.room <= 0
            if self._has_more or self._all_started:
                return

    def _submit_ready(self, clip: ClipState) -> Iterator[Result]:
        """Submit segments of a clip that are ready, as far as there is room; finish those that an earlier run has saved."""
        while not clip.failed and (places := self._ready(clip)):
            if failures := list(self._prepare(places)):
                yield from failures
                break
            recalled_before = self._recalled
            yield from self._recall(places)
            for place in self._ready(clip):
                if place in places:
                    self._submit(place)
            if self._recalled == recalled_before:
                break  # else others may be ready now
        if clip.failed or clip.complete:
            self._forget(clip)

    def _ready(self, clip: ClipState) -> Sequence[Place]:
        """Segments of a clip that are ready and not submitted, as many as there is room for."""
        room = self._fleet.room
        if room <= 0 or clip.failed:
            self._has_more = True
            return ()
        submitted = self._submitted.setdefault(clip, {})
        ready = (index for index in clip.ready(room + len(submitted)) if index not in submitted)
        return [(clip, index) for index in itertools.islice(ready, room)]

    def _submit(self, place: Place) -> None:
        clip, index = place
        number = self._fleet.submit(clip.prepare(index), self._recipe.settings)
        self._places[number] = place
        self._submitted[clip][index] = number

    def _forget(self, clip: ClipState) -> None:
        """Withdraw the segments of a clip that has failed or is complete."""
        for number in self._submitted.pop(clip, {}).values():
            self._fleet.withdraw(number)
            del self._places[number]
