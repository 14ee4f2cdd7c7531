"""A job's access to the engine that it shares with others: segments go in one by one, and come back in any order."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Protocol

import numpy as np

from ..bark import Generation, Segment, Settings, StageProgress
from ..errors import BarkError, EngineClosedError
from ..model.spec import BarkSpec
from ..run.engine import Engine, FleetProgress, stream_of_fleet
from ..voices.history import History

CLOSED = "the engine is closed; what is finished is kept, and the same job goes on from there when it is started again"
USUAL_PRECEDENCE = math.inf  # behind every client that was given another one; among equals segments take turns
_BATCHES_QUEUED = 2  # for which a client should have segments ready
_LOOK_S = 0.5  # between a waiting client's calls of `report` and `until`


class SharedEngine(Protocol):
    """What a client needs of `shared_engine.SharedEngine`. Its methods, but for the first two, are called with the lock."""

    engine: Engine
    lock: threading.Lock

    def client(self, urgent: bool = False) -> EngineClient:
        """Another client."""

    def decode(self, codes: Sequence[np.ndarray], urgent: bool = True) -> list[np.ndarray]:
        """Codes (8, frames) of several segments to float32 samples (frames * 320,) each."""

    @property
    def full_batch(self) -> int:
        """The number of segments that fill a batch."""

    def wake(self) -> None:
        """A client has submitted something, or waits."""

    def n_running(self, client: EngineClient) -> int:
        """The number of this client's segments that are being generated."""

    def forget(self, client: EngineClient) -> None:
        """Serve this client no more."""


class Ticket:
    """A submitted segment, until it is finished or withdrawn."""

    def __init__(self, client: EngineClient, number: int, segment: Segment, settings: Settings):
        self.client, self.number, self.settings = client, number, segment.settings or settings
        self.segment = dataclasses.replace(segment, settings=self.settings, is_wanted=lambda: self.is_open)
        self.is_open = True


class EngineClient:
    """A `Fleet` of one worker, the shared engine: the access of one job, made by `SharedEngine.client`. Closed by its job.

    All of its methods may be called from any thread, but for `next_finished`, for which one at a time may wait.
    """

    def __init__(self, shared: SharedEngine, urgent: bool):
        self._shared, self._urgent = shared, urgent
        self._changed = threading.Condition(shared.lock)  # something is finished, or the client is closed
        self._tickets: dict[int, Ticket] = {}  # neither finished nor withdrawn, by number
        self._results: deque[tuple[int, Generation | BarkError]] = deque()
        self._n_submitted = self._n_finished = 0
        self._start: float | None = None  # of the first segment
        self._closed = False
        self.precedence = USUAL_PRECEDENCE
        """Segments of clients with a lower one go first, among those that are urgent and among those that are not."""
        # Of the shared engine, under its lock:
        self.queue: deque[Ticket] = deque()
        self.last_served = 0
        self.ready_since = 0.0
        self.is_waiting = False

    @property
    def urgent(self) -> bool:
        """Whether its segments go before those of clients that are not urgent."""
        return self._urgent

    @urgent.setter
    def urgent(self, urgent: bool) -> None:
        with self._shared.lock:
            self._urgent = urgent
            self._shared.wake()

    def close(self) -> None:
        """Withdraw all segments. A thread that waits in `next_finished` gets an EngineClosedError, as later calls do."""
        with self._shared.lock:
            self.end()
            self._shared.forget(self)

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- Engine ----

    @property
    def name(self) -> str:
        return self._shared.engine.name

    @property
    def spec(self) -> BarkSpec:
        return self._shared.engine.spec

    @property
    def identity(self) -> str:
        return self._shared.engine.identity

    def describe_stages(self) -> Mapping[str, Mapping[str, str]]:
        return self._shared.engine.describe_stages()

    def encode(self, text: str) -> list[int]:
        return self._shared.engine.encode(text)

    def check_history(self, history: History) -> None:
        self._shared.engine.check_history(history)

    def rows_at_once(self, settings: Settings) -> int:
        return self._shared.engine.rows_at_once(settings)

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self._shared.decode(codes, self._urgent)

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> Generator[tuple[int, Generation], None, None]:
        """As `Engine.stream`, in batches with others' segments, so that `rows` is of no meaning."""
        with self._shared.client(self._urgent) as own:
            own.precedence = self.precedence
            yield from stream_of_fleet(own, segments, settings, progress)

    # ---- Fleet ----

    @property
    def room(self) -> int:
        """As `Fleet.room`; 1 for the first segment of an urgent client, so that the first sound need not wait for others."""
        with self._shared.lock:
            if self._urgent and not self._n_finished:
                return 1 - len(self._tickets)
            return _BATCHES_QUEUED * self._shared.full_batch - len(self.queue) - len(self._results)

    def submit(self, segment: Segment, settings: Settings) -> int:
        """As `Fleet.submit`. Raises EngineClosedError."""
        with self._shared.lock:
            self._check_open()
            number = self._n_submitted
            self._n_submitted += 1
            ticket = self._tickets[number] = Ticket(self, number, segment, settings)
            now = time.monotonic()
            if self._start is None:
                self._start = now
            if not self.queue:
                self.ready_since = now
            self.queue.append(ticket)
            self._shared.wake()
        return number

    def withdraw(self, number: int) -> None:
        """As `Fleet.withdraw`; a segment that has not begun never does."""
        with self._shared.lock:
            if (ticket := self._tickets.pop(number, None)) is not None:
                ticket.is_open = False
                if ticket in self.queue:
                    self.queue.remove(ticket)

    def next_finished(
        self, report: Callable[[FleetProgress], None], until: Callable[[], bool] = lambda: False
    ) -> tuple[int, Generation | BarkError] | None:
        """As `Fleet.next_finished`. Raises EngineClosedError."""
        report(self.progress())
        while (finished := self._collect()) is None:
            if until():
                return None
            self._wait()
            report(self.progress())
        return finished

    def progress(self) -> FleetProgress:
        """What the engine is doing for this client."""
        with self._shared.lock:
            running = self._shared.n_running(self)
            seconds = 0.0 if self._start is None else time.monotonic() - self._start
            rate = self._n_finished / seconds if seconds else 0.0
            return FleetProgress(1, int(running > 0), len(self.queue), running, rate)

    def _collect(self) -> tuple[int, Generation | BarkError] | None:
        with self._shared.lock:
            self._check_open()
            return self._results.popleft() if self._results else None

    def _wait(self) -> None:
        """Wait until something is finished, or it is time to look again."""
        with self._shared.lock:
            if not self._results and not self._closed:
                self.is_waiting = True
                self._shared.wake()
                self._changed.wait(_LOOK_S)
                self.is_waiting = False

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosedError(CLOSED)

    # ---- for the shared engine, which holds the lock ----

    def take(self, ticket: Ticket, result: Generation | BarkError) -> None:
        """A segment is finished, or has failed."""
        ticket.is_open = False
        del self._tickets[ticket.number]
        self._n_finished += 1
        self._results.append((ticket.number, result))
        self._changed.notify()

    def end(self) -> None:
        """Nothing is made for this client any more."""
        self._closed = True
        for ticket in self._tickets.values():
            ticket.is_open = False
        self._tickets.clear()
        self.queue.clear()
        self._results.clear()
        self._changed.notify_all()
