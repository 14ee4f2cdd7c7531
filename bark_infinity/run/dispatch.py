"""Which worker of a cluster generates which segments: sizes of batches, deadlines, retries and duplicates.

A state machine without threads, clocks or network: it is told what has happened and when (seconds of any clock), and
answers with the batches that are to be started now. Segments are numbers here ("tickets"); `cluster` knows the rest.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .pace import Pace

SEGMENTS_PER_ROW = 2  # of a full batch, so that rows that end early are refilled
MAX_TRIES = 3  # failures after which a segment is given up; the last try is its own batch, so no other can be to blame
_LATE_AFTER_S, _LATE_FACTOR = 60.0, 3.0  # a batch is late after a minute beyond so many times its expected seconds
_HUNG_FACTOR = 5.0  # how many times as long as until it is late a batch may take before its worker is given up
_STRANGER_FACTOR = 3.0  # how much slower than all known workers a new one may be
_OVERDUE_FACTOR = 3.0  # how many times as long as it is overdue a batch may still take
_WORTHWHILE = 0.8  # share of the rest of a batch's time within which a duplicate must be finished
_LOOK_EVERY_S = 1.0  # for late and for slow batches
_HORIZON_STEPS = 30  # of a bisection


@dataclass(frozen=True)
class Batch:
    """Segments that a worker generates together."""

    number: int
    worker: str
    tickets: tuple[int, ...]
    start: float


@dataclass
class _Ticket:
    """A segment that is not finished."""

    failures: int = 0
    most_together: int | None = None  # the largest batch that it may be in; None: any, as it has not failed
    failed_on: set[str] = field(default_factory=set)  # workers
    copies: int = 0  # running batches with it that are not late
    queued: bool = True


@dataclass
class _Worker:
    rows: int
    pace: Pace = field(default_factory=Pace)
    batch: Batch | None = None
    late: bool = False  # its batch is past the deadline, and has been given to others

    @property
    def capacity(self) -> int:
        """Segments of a full batch."""
        return SEGMENTS_PER_ROW * self.rows


class Dispatcher:
    """Distributes segments among workers. `submit` and `add_worker` at any time; then `assign` starts batches.

    A segment is finished once, by whichever batch comes first. One whose batches fail is tried in smaller ones, on other
    workers, and finally alone.
    """

    def __init__(self) -> None:
        self._workers: dict[str, _Worker] = {}
        self._tickets: dict[int, _Ticket] = {}
        self._queue: deque[int] = deque()  # may hold tickets that are no longer queued
        self._failed: deque[int] = deque()  # likewise: those that have failed, which go first
        self._n_queued = 0
        self._running: dict[int, Batch] = {}
        self._n_batches = 0
        self._idle: dict[str, None] = {}  # workers without a batch, in order
        self._capacity = 0
        self._next_look = 0.0  # for late and for slow batches
        self.hung: tuple[str, ...] = ()
        """Workers that will hardly answer any more, when `assign` last looked: they are to be removed."""

    # ---- state ----

    @property
    def n_workers(self) -> int:
        return len(self._workers)

    @property
    def n_busy(self) -> int:
        """Workers with a batch."""
        return len(self._running)

    @property
    def n_queued(self) -> int:
        """Segments that no worker has."""
        return self._n_queued

    @property
    def n_open(self) -> int:
        """Segments that are not finished."""
        return len(self._tickets)

    @property
    def capacity(self) -> int:
        """Segments of one full batch for each worker."""
        return self._capacity

    def rows_of(self, worker: str) -> int:
        return self._workers[worker].rows

    # ---- what happens ----

    def add_worker(self, name: str, rows: int) -> None:
        """A worker is ready for batches; `rows`: segments that fit into its memory side by side."""
        assert name not in self._workers and rows > 0
        self._workers[name] = worker = _Worker(rows)
        self._idle[name] = None
        self._capacity += worker.capacity

    def remove_worker(self, name: str) -> tuple[int, ...]:
        """A worker is gone, and its batch failed. Returns the segments that are given up."""
        worker = self._workers.get(name)
        if worker is None:
            return ()
        given_up = self.failed(worker.batch.number) if worker.batch is not None else ()
        del self._workers[name], self._idle[name]
        self.hung = tuple(other for other in self.hung if other != name)
        self._capacity -= worker.capacity
        return given_up

    def submit(self, ticket: int) -> None:
        """Queue a new segment."""
        assert ticket not in self._tickets
        self._tickets[ticket] = _Ticket()
        self._queue.append(ticket)
        self._n_queued += 1

    def withdraw(self, ticket: int) -> None:
        """A segment is not needed any more; a running batch is not stopped for it."""
        if (own := self._tickets.pop(ticket, None)) and own.queued:
            self._n_queued -= 1

    def finished(self, number: int, now: float) -> tuple[int, ...]:
        """A batch is finished. Returns the places in it of the segments that no other batch had finished before."""
        batch = self._end(number)
        if batch is None:
            return ()
        self._workers[batch.worker].pace.add(len(batch.tickets), now - batch.start)
        new = tuple(place for place, ticket in enumerate(batch.tickets) if ticket in self._tickets)
        for place in new:
            self.withdraw(batch.tickets[place])
        return new

    def failed(self, number: int) -> tuple[int, ...]:
        """A batch has failed, for a reason that may lie in one of its segments. Returns the segments that are given up."""
        batch = self._end(number)
        if batch is None:
            return ()
        given_up = []
        for ticket in batch.tickets:
            if (own := self._tickets.get(ticket)) is None:
                continue
            own.failures += 1
            own.failed_on.add(batch.worker)
            own.most_together = 1 if own.failures == MAX_TRIES - 1 else max(1, len(batch.tickets) // 2)
            if own.failures < MAX_TRIES:
                self._queue_again(ticket, self._failed)
            elif not own.copies:
                self.withdraw(ticket)
                given_up.append(ticket)
        return tuple(given_up)

    def out_of_memory(self, number: int) -> tuple[int, ...]:
        """A batch did not fit into its worker's memory: it gets smaller ones. Returns the segments that are given up."""
        batch = self._running.get(number)
        if batch is None:
            return ()
        worker = self._workers[batch.worker]
        rows = min(worker.rows, len(batch.tickets))
        if rows == 1:  # not even one segment fits; it may elsewhere
            return self.failed(number)
        self._capacity -= worker.capacity
        worker.rows = rows // 2
        self._capacity += worker.capacity
        self._end(number)
        for ticket in reversed(batch.tickets):
            self._queue_again(ticket, self._queue)
        return ()

    def _end(self, number: int) -> Batch | None:
        """Take a batch from its worker; None if the worker is gone."""
        batch = self._running.pop(number, None)
        if batch is None:
            return None
        worker = self._workers[batch.worker]
        if not worker.late:
            self._count_copies(batch, -1)
        worker.batch, worker.late = None, False
        self._idle[batch.worker] = None
        return batch

    def _count_copies(self, batch: Batch, change: int) -> None:
        for ticket in batch.tickets:
            if own := self._tickets.get(ticket):
                own.copies += change

    def _queue_again(self, ticket: int, queue: deque[int]) -> None:
        """Queue an unfinished segment at the front, unless another worker is at it."""
        own = self._tickets.get(ticket)
        if own is not None and not own.queued and not own.copies:
            own.queued = True
            self._n_queued += 1
            queue.appendleft(ticket)

    # ---- what is to be done ----

    def assign(self, now: float) -> list[Batch]:
        """Start batches on idle workers. Late batches are given to others; with nothing queued, slow ones are duplicated."""
        looks = now >= self._next_look
        if looks:
            self._next_look = now + _LOOK_EVERY_S
            self._queue_late(now)
        if not self._idle or not self._tickets:
            return []
        # The fastest first, since the last segments of a run are few.
        idle = sorted(self._idle, key=lambda name: self._expected(self._workers[name], self._workers[name].capacity))
        sizes = self._sizes(idle, now) if idle and self._n_queued else {}
        started = []
        for place, name in enumerate(idle):
            tickets = self._take_failed(name) or self._take(sizes.get(name, 0))
            if tickets or (looks and (tickets := self._take_slow(name, now, len(idle) - place))):
                started.append(self._start(name, tickets, now))
        return started

    def _start(self, name: str, tickets: Sequence[int], now: float) -> Batch:
        batch = Batch(self._n_batches, name, tuple(tickets), now)
        self._n_batches += 1
        self._running[batch.number] = self._workers[name].batch = batch
        del self._idle[name]
        self._count_copies(batch, 1)
        return batch

    def _expected(self, worker: _Worker, n: int) -> float:
        """Expected seconds of a batch; of a new worker by the slowest of the others, infinite if none is known."""
        if worker.pace.known:
            return worker.pace.seconds(n)
        known = [other.pace.seconds(n) for other in self._workers.values() if other.pace.known]
        return _STRANGER_FACTOR * max(known) if known else math.inf

    def _queue_late(self, now: float) -> None:
        """Queue the segments of batches that are past their deadlines; their workers get no others until they answer."""
        hung = []
        for batch in self._running.values():
            worker, taken = self._workers[batch.worker], now - batch.start
            if taken < _LATE_AFTER_S:
                continue
            deadline = _LATE_AFTER_S + _LATE_FACTOR * self._expected(worker, len(batch.tickets))
            if taken > deadline and not worker.late:
                worker.late = True
                self._count_copies(batch, -1)
                for ticket in reversed(batch.tickets):
                    self._queue_again(ticket, self._queue)
            if taken > _HUNG_FACTOR * deadline:
                hung.append(batch.worker)
        self.hung = tuple(hung)

    # ---- segments of a batch ----

    def _take(self, size: int) -> list[int]:
        """Take segments that have not failed from the queue, in order."""
        taken: list[int] = []
        while len(taken) < size and self._queue:
            ticket = self._queue.popleft()
            own = self._tickets.get(ticket)
            if own is None or not own.queued:
                continue  # withdrawn or finished meanwhile
            if own.failures:  # queued again for another reason after it had failed
                self._failed.append(ticket)
                continue
            self._unqueue(own)
            taken.append(ticket)
        return taken

    def _take_failed(self, name: str) -> list[int]:
        """Take segments that have failed elsewhere, in a batch as small as each of them needs."""
        taken: list[int] = []
        most = self._workers[name].capacity
        for _ in range(len(self._failed)):
            ticket = self._failed.popleft()
            own = self._tickets.get(ticket)
            if own is None or not own.queued:
                continue
            together = own.most_together or most
            if len(taken) < min(most, together) and self._may_try(own, name):
                most = min(most, together)
                self._unqueue(own)
                taken.append(ticket)
            else:
                self._failed.append(ticket)
        return taken

    def _may_try(self, ticket: _Ticket, name: str) -> bool:
        """Whether a worker may try a segment: it has not failed there, or on all others that answer too."""
        if name not in ticket.failed_on:
            return True
        return all(other in ticket.failed_on for other, worker in self._workers.items() if not worker.late)

    def _unqueue(self, ticket: _Ticket) -> None:
        ticket.queued = False
        self._n_queued -= 1

    def _take_slow(self, name: str, now: float, n_idle: int) -> list[int]:
        """With nothing queued: segments of the batch that would end last, if this worker can end well before it.

        They are divided among the `n_idle` workers that are idle.
        """
        worker = self._workers[name]
        if self._n_queued or not worker.pace.known:
            return []
        best: tuple[float, list[int]] = (0.0, [])
        for rest, tickets in self._single_copies(now):
            size = min(worker.capacity, math.ceil(len(tickets) / n_idle))
            tickets = [ticket for ticket in tickets if name not in self._tickets[ticket].failed_on][:size]
            if tickets and worker.pace.seconds(len(tickets)) < _WORTHWHILE * rest and rest > best[0]:
                best = rest, tickets
        return best[1]

    def _single_copies(self, now: float) -> Iterator[tuple[float, list[int]]]:
        """For each running batch the expected seconds left, and its segments that no other worker has too."""
        for batch in self._running.values():
            worker = self._workers[batch.worker]
            open_tickets = ((ticket, self._tickets.get(ticket)) for ticket in batch.tickets)
            tickets = [ticket for ticket, own in open_tickets if own is not None and own.copies == 1]
            if tickets and not worker.late:
                yield self._rest(worker, batch, now), tickets

    def _rest(self, worker: _Worker, batch: Batch, now: float) -> float:
        """Expected seconds until a batch ends. One that is overdue may take several times as long again as it is overdue."""
        expected = self._expected(worker, len(batch.tickets))
        rest = batch.start + expected - now
        return rest if rest >= 0.0 else -_OVERDUE_FACTOR * rest

    # ---- sizes of batches ----

    def _sizes(self, idle: Sequence[str], now: float) -> dict[str, int]:
        """The size of the next batch of each idle worker.

        Full, unless fewer segments are queued than the workers take at a time: then they are divided so that all workers end at
        the same time, those that are busy now and slower ones with fewer.
        """
        full = {name: self._workers[name].capacity for name in idle}
        if self._n_queued >= self.capacity:
            return full
        if not any(worker.pace.known for worker in self._workers.values()):
            share = math.ceil(self._n_queued / len(self._workers))
            return {name: min(size, share) for name, size in full.items()}
        within = self._segments_within(now)
        return {name: max(1, min(full[name], within[name])) for name in idle}

    def _segments_within(self, now: float) -> dict[str, int]:
        """Segments that each worker can finish by the time at which all that are queued are finished."""
        available = {name: worker for name, worker in self._workers.items() if not worker.late}
        lines = np.array([self._line(worker, now) for worker in available.values()])
        free, each, most = (
            lines.T
        )  # seconds until a batch could begin to be filled; of a segment; segments of a full batch

        def segments(horizon: float) -> np.ndarray:
            return np.clip((horizon - free) / each, 0.0, most)

        low, high = 0.0, float((free + each * most).max())
        for _ in range(_HORIZON_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if segments(middle).sum() >= self._n_queued else (middle, high)
        return dict(zip(available, map(math.ceil, segments(high)), strict=True))

    def _line(self, worker: _Worker, now: float) -> tuple[float, float, int]:
        """For `_segments_within`: seconds until a batch's fixed part would be over, seconds of a segment, capacity."""
        pace = worker.pace if worker.pace.known else self._slowest_pace()
        busy = self._rest(worker, worker.batch, now) if worker.batch is not None else 0.0
        return busy + pace.fixed, max(pace.per_segment, 1e-9), worker.capacity

    def _slowest_pace(self) -> Pace:
        known = (worker.pace for worker in self._workers.values() if worker.pace.known)
        return max(known, key=lambda pace: pace.seconds(1))
