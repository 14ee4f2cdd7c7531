"""One loaded engine for many jobs: a thread fills each batch with ready segments of all of them, urgent ones first."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import torch

from ..bark import Generation, Settings
from ..errors import BarkError, DeviceError, EngineClosedError
from ..model.devices import is_out_of_memory
from ..run.engine import Engine
from ..run.scheduler import TOO_LITTLE_MEMORY
from .engine_client import CLOSED, EngineClient, Ticket
from .engine_statistics import EngineStatistics, Meter

_log = logging.getLogger(__name__)
_SEGMENTS_PER_ROW = 2  # of a batch, so that rows that end early are refilled
_URGENT_PER_OTHER = 3  # seconds that urgent work may take for each second of the rest, while both have work
_GATHER_S = 0.05  # that a batch which is not full waits for clients that may be about to submit more

_Decoding = tuple[Sequence[np.ndarray], "Future[list[np.ndarray]]"]  # codes, and the sound that they will be


class SharedEngine:
    """Owns an engine and the only thread that computes with it; `client` gives each job its access.

    A batch takes segments of all clients of equal standing and precedence in turn. Urgent ones go before the others: where
    `preempts`, a batch of the others stops between two of its steps while urgent segments are generated, else they are next
    after it. While both have work, the others get at least a quarter of the time.

    `rows`: the batch size; None: as many as fit. `preempts` None: where all stages are on the CPU; elsewhere a batch leaves
    too little memory for another one.
    """

    def __init__(
        self,
        engine: Engine,
        rows: int | None = None,
        preempts: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        on_cpu = all(stage["device"] == "cpu" for stage in engine.describe_stages().values())
        self.engine = engine
        self.lock = threading.Lock()
        self._rows, self._preempts, self._clock = rows, on_cpu if preempts is None else preempts, clock
        self._work = threading.Condition(self.lock)  # there may be something to do
        self._clients: list[EngineClient] = []
        self._running: set[Ticket] = set()
        self._decoding: dict[bool, deque[_Decoding]] = {True: deque(), False: deque()}  # by whether it is urgent
        self._n_served = 0  # segments that a batch has taken
        self._owed_s = 0.0  # that the others work before urgent segments are next
        self._standing: bool | None = None  # of what the thread works for now: whether it is urgent
        self._since = clock()  # when that began, or was last accounted for
        self._closed = False
        self._meter = Meter()
        self._batch_rows = rows or engine.rows_at_once(Settings())  # of the last batch
        self._n_threads = torch.get_num_threads()  # of this thread; a new one may get those of a step
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()

    def client(self, urgent: bool = False) -> EngineClient:
        """The access of one job, to be closed with it. Raises EngineClosedError."""
        with self.lock:
            if self._closed:
                raise EngineClosedError(CLOSED)
            client = EngineClient(self, urgent)
            self._clients.append(client)
        return client

    def decode(self, codes: Sequence[np.ndarray], urgent: bool = True) -> list[np.ndarray]:
        """Codes (8, frames) of several segments to float32 samples (frames * 320,) each, between two steps of the engine.

        Raises EngineClosedError.
        """
        future: Future[list[np.ndarray]] = Future()
        with self.lock:
            if self._closed:
                raise EngineClosedError(CLOSED)
            self._decoding[urgent].append((codes, future))
            self._work.notify()
        return future.result()

    def statistics(self) -> EngineStatistics:
        """What the engine has done since it was made, and what it is doing."""
        with self.lock:
            queued = sum(len(client.queue) for client in self._clients)
            return self._meter.statistics(queued, len(self._running), len(self._clients))

    def close(self) -> None:
        """End within a step. Clients that wait, or submit something later, get an EngineClosedError."""
        with self.lock:
            self._closed = True
            self._work.notify()
        self._thread.join()

    def __enter__(self) -> SharedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- for clients, which hold the lock ----

    @property
    def full_batch(self) -> int:
        """The number of segments that fill a batch."""
        return _SEGMENTS_PER_ROW * self._batch_rows

    def wake(self) -> None:
        """A client has submitted something, or waits."""
        self._work.notify()

    def n_running(self, client: EngineClient) -> int:
        """The number of this client's segments that are being generated."""
        return sum(ticket.client is client for ticket in self._running)

    def forget(self, client: EngineClient) -> None:
        """Serve this client no more."""
        if client in self._clients:
            self._clients.remove(client)

    # ---- what is next: the engine's thread ----

    def _loop(self) -> None:
        torch.set_num_threads(self._n_threads)
        while (urgent := self._wait_for_work()) is not None:
            try:
                with self._working(urgent):
                    self._decode_one(urgent)
                    self._generate_batch(urgent)
            except Exception as error:  # a fault of this module: nobody may wait for ever because of it
                _log.exception("the engine's thread")
                self._fail_all(error)
        self._end()

    def _wait_for_work(self) -> bool | None:
        """Wait until there is something to do; whether it is urgent. None once the engine is closed."""
        with self.lock:
            while not self._closed:
                for urgent in (True, False):
                    if self._is_next(urgent):
                        return urgent
                self._work.wait(_GATHER_S if any(client.queue for client in self._clients) else None)
            return None

    def _is_next(self, urgent: bool) -> bool:
        """Whether work of this standing is there, and it is its turn."""
        if urgent and self._owed_s > 0 and self._others_have_work():
            return False
        return bool(self._decoding[urgent]) or self._is_gathered(urgent)

    def _others_have_work(self) -> bool:
        """Whether something that is not urgent waits, or has been interrupted."""
        waiting = self._decoding[False] or any(True for _ in self._ready_clients(urgent=False))
        return bool(waiting) or any(not ticket.client.urgent for ticket in self._running)

    def _ready_clients(self, urgent: bool) -> Iterator[EngineClient]:
        """The clients of this standing that have segments in their queues."""
        return (client for client in self._clients if client.urgent is urgent and client.queue)

    def _is_gathered(self, urgent: bool) -> bool:
        """Whether a batch can begin: no client is about to submit more, or it is full, or one has waited long enough."""
        clients = list(self._ready_clients(urgent))
        if all(client.is_waiting for client in clients):
            return bool(clients)
        n_ready = sum(len(client.queue) for client in clients)
        return n_ready >= self.full_batch or time.monotonic() >= _GATHER_S + min(one.ready_since for one in clients)

    @contextlib.contextmanager
    def _working(self, urgent: bool) -> Iterator[None]:
        """For the length of a block, the thread's time is of this standing."""
        before = self._standing
        self._account(urgent)
        try:
            yield
        finally:
            self._account(before)

    def _account(self, standing: bool | None) -> None:
        """Note the time that has passed, and what the thread works for from now on."""
        with self.lock:
            now = self._clock()
            seconds, self._since = now - self._since, now
            was, self._standing = self._standing, standing
            if was is not None:
                self._meter.worked(seconds, was)
            if was is False:
                self._owed_s = max(0.0, self._owed_s - seconds)
            elif was is True:
                self._owed_s = self._owed_s + seconds / _URGENT_PER_OTHER if self._others_have_work() else 0.0

    def _decode_one(self, urgent: bool) -> None:
        with self.lock:
            if not self._decoding[urgent]:
                return
            codes, future = self._decoding[urgent].popleft()
        try:
            future.set_result(self.engine.decode(codes))
        except Exception as error:  # it is the caller's
            future.set_exception(error)

    def _fail_all(self, error: Exception) -> None:
        """Hand an error to all clients that wait for something."""
        with self.lock:
            waiting = [ticket for client in self._clients for ticket in client.queue]
            for ticket in {*waiting, *self._running}:
                if ticket.is_open:
                    ticket.client.take(ticket, _as_bark_error(error, ticket))
            for client in self._clients:
                client.queue.clear()
            self._running.clear()

    def _end(self) -> None:
        with self.lock:
            for waiting in self._decoding.values():
                for _, future in waiting:
                    future.set_exception(EngineClosedError(CLOSED))
            self._running.clear()
            for client in list(self._clients):
                client.end()

    # ---- batches: the engine's thread ----

    def _generate_batch(self, urgent: bool) -> None:
        """Generate the segments of a batch. A smaller one where memory does not suffice; where it fails, each of its halves,
        so that in the end a segment that makes it fail is alone.
        """
        with self.lock:
            if not self._is_gathered(urgent):
                return
            parts = [self._take_batch(urgent)]
        while parts:
            tickets, rows = parts.pop()
            error = self._try(tickets, rows, urgent)
            with self.lock:
                rest = [ticket for ticket in tickets if ticket.is_open]
                self._running.difference_update(tickets if error is None else set(tickets).difference(rest))
            if error is None or not rest:
                continue
            if _is_of_memory(error) and min(rows, len(rest)) > 1:
                parts.append((rest, min(rows, len(rest)) // 2))
            elif len(rest) > 1:
                parts += [(rest[len(rest) // 2 :], rows), (rest[: len(rest) // 2], rows)]
            else:
                self._finish(rest[0], _as_bark_error(error, rest[0]))

    def _take_batch(self, urgent: bool) -> tuple[list[Ticket], int]:
        """Ready segments of this standing, from all clients in turn, and the number of rows that fit."""
        tickets: list[Ticket] = []
        fitting: dict[Settings, int] = {}
        for ticket in self._in_turn(urgent):
            if ticket.settings not in fitting:
                fitting[ticket.settings] = self._rows or self.engine.rows_at_once(ticket.settings)
            rows = min(self._batch_rows, fitting[ticket.settings]) if tickets else fitting[ticket.settings]
            if len(tickets) >= _SEGMENTS_PER_ROW * rows:
                break
            self._batch_rows = rows
            self._n_served += 1
            ticket.client.last_served = self._n_served
            tickets.append(ticket.client.queue.popleft())
        self._running.update(tickets)
        if len(tickets) > self._batch_rows:  # the longest first, so that few rows are left without a segment at the end
            tickets.sort(key=lambda ticket: len(ticket.segment.text or ""), reverse=True)
        return tickets, self._batch_rows

    def _in_turn(self, urgent: bool) -> Iterator[Ticket]:
        """The next segment of the client that was served longest ago, and so on; each is taken before the next is asked for.

        All segments of clients with a lower precedence go before those of others.
        """
        waiting = sorted(self._ready_clients(urgent), key=lambda client: (client.precedence, client.last_served))
        for _, equals in itertools.groupby(waiting, key=lambda client: client.precedence):
            clients = list(equals)
            while clients:
                for client in clients:
                    yield client.queue[0]
                clients = [client for client in clients if client.queue]

    def _try(self, tickets: Sequence[Ticket], rows: int, urgent: bool) -> Exception | None:
        """Generate segments and hand each to its client. Returns what went wrong, without its frames, which hold memory."""

        def between_steps(*_: object) -> None:
            self._between_steps(tickets, urgent)

        lengths: list[int] = []  # of the finished ones, in frames
        segments = [ticket.segment for ticket in tickets]
        try:
            with contextlib.closing(self.engine.stream(segments, tickets[0].settings, between_steps, rows)) as stream:
                for place, generation in stream:
                    lengths.append(generation.voice.coarse.shape[1])
                    self._finish(tickets[place], generation)
                    between_steps()
        except _Abandoned:
            pass
        except Exception as error:
            if len(tickets) == 1 and not isinstance(error, BarkError):
                _log.exception("a segment could not be generated")
            return error.with_traceback(None)
        finally:
            with self.lock:
                self._meter.batch(lengths, rows)
        return None

    def _between_steps(self, tickets: Sequence[Ticket], urgent: bool) -> None:
        """Called after each step of a batch: what goes before its next step is done. Raises _Abandoned if none is needed."""
        with self.lock:
            if self._closed or not any(ticket.is_open for ticket in tickets):
                raise _Abandoned
            decode = [standing for standing in (True, False) if self._decoding[standing] and standing >= urgent]
        self._account(urgent)
        with self.lock:
            preempt = not urgent and self._preempts and self._is_next(urgent=True)
        for standing in decode:
            with self._working(standing):
                self._decode_one(standing)
        if preempt:
            with self._working(urgent=True):
                self._generate_batch(urgent=True)

    def _finish(self, ticket: Ticket, result: Generation | BarkError) -> None:
        with self.lock:
            self._running.discard(ticket)
            if not isinstance(result, BarkError):
                self._meter.finished(result)
            if ticket.is_open:
                ticket.client.take(ticket, result)


class _Abandoned(Exception):
    """Raised in the engine's progress callback to leave a batch that nobody needs."""


def _is_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and is_out_of_memory(error))


def _as_bark_error(error: Exception, ticket: Ticket) -> BarkError:
    """What a client is told of a segment that could not be generated."""
    if isinstance(error, BarkError):
        return error
    if _is_of_memory(error):
        return DeviceError(TOO_LITTLE_MEMORY)
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return DeviceError(
        f"the segment {(ticket.segment.text or '')[:40]!r} could not be generated ({reason}); try it again"
    )
