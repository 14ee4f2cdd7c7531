"""A pool of workers in this process and in virtual time, whose faults are scripted."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from fakes import text_of

from bark_infinity.bark import Segment, Settings
from bark_infinity.model.spec import BarkSpec
from bark_infinity.run.cluster import Cluster
from bark_infinity.run.engine import Engine
from bark_infinity.run.workers import (
    BatchDone,
    BatchFailed,
    WorkerDescription,
    WorkerEvent,
    WorkerLost,
    WorkerReady,
)

VERSIONS = {"bark_infinity": "1.0.0", "torch": "2.9"}
Fault = Callable[[str, Sequence[str]], str | None]
"""Given a worker and the texts of a batch: None, or how it fails: die, fail, freeze, memory."""
_LIMITS = {"semantic": 10_000, "coarse_semantic": 10_000, "coarse": 1024, "fine": 1024}
_RESTART_S = 20.0


def no_fault(worker: str, texts: Sequence[str]) -> str | None:
    return None


def described(engine: Engine, **changes: object) -> WorkerDescription:
    """A worker with this engine."""
    stages = {"semantic": {"source": "it", "dtype": "float32", "device": "cpu"}}
    plain = WorkerDescription("here", VERSIONS, engine.identity, BarkSpec(), _LIMITS, stages, 4, "CPU, 1 thread")
    return dataclasses.replace(plain, **changes)


class FakePool:
    """Workers that share an engine. `joins`: seconds after which each is ready; `speeds`: seconds of a segment of each."""

    def __init__(
        self,
        engine: Engine,
        joins: Mapping[str, float],
        fault: Fault = no_fault,
        descriptions: Mapping[str, WorkerDescription] | None = None,
        speeds: Mapping[str, float] | None = None,
        restarts: int = 100,
    ):
        self.now = 0.0
        self.closed = False
        self.batches: list[tuple[str, list[str], bool]] = []  # worker, texts, whether audio was asked for
        self.refused: set[str] = set()
        self._engine, self._fault, self._restarts = engine, fault, restarts
        self._descriptions, self._speeds = descriptions or {}, speeds or {}
        self._events: list[tuple[float, int, WorkerEvent]] = []
        self._order = itertools.count()
        self.n_starting = 0
        for name, when in joins.items():
            self._start(name, when)

    def clock(self) -> float:
        return self.now

    def begin(
        self, number: int, worker: str, segments: Sequence[Segment], settings: Settings, rows: int, with_audio: bool
    ) -> None:
        texts = [text_of(segment) for segment in segments]
        self.batches.append((worker, texts, with_audio))
        end = self.now + 5.0 + self._speeds.get(worker.split(".")[0], 1.0) * len(segments)
        match self._fault(worker, texts):
            case "die":
                self._add(end, WorkerLost(worker, "killed"))
                self._replace(worker, end)
            case "fail":
                self._add(end, BatchFailed(number, "ValueError: poison"))
            case "memory":
                self._add(end, BatchFailed(number, "out of memory", out_of_memory=True))
            case "freeze":
                pass
            case _:
                made = dict(self._engine.stream(segments, settings, lambda *_: None, rows))
                generations = [made[place] for place in range(len(segments))]
                if not with_audio:
                    generations = [dataclasses.replace(one, audio=np.zeros(0, np.float32)) for one in generations]
                self._add(end, BatchDone(number, generations))

    def wait(self, seconds: float) -> Sequence[WorkerEvent]:
        until = self.now + seconds
        if self._events and self._events[0][0] <= until:
            self.now = max(self.now, self._events[0][0])
        else:
            self.now = until
        happened = []
        while self._events and self._events[0][0] <= self.now:
            event = heapq.heappop(self._events)[2]
            self.n_starting -= isinstance(event, WorkerReady)
            happened.append(event)
        return happened

    def refuse(self, worker: str) -> None:
        self.refused.add(worker)

    def restart(self, worker: str) -> None:
        self._replace(worker, self.now)

    def close(self) -> None:
        self.closed = True

    def _replace(self, worker: str, when: float) -> None:
        if self._restarts:
            self._restarts -= 1
            self._start(f"{worker}'", when + _RESTART_S)

    def _start(self, name: str, when: float) -> None:
        self.n_starting += 1
        description = self._descriptions.get(name, described(self._engine))
        self._add(when, WorkerReady(name, description))

    def _add(self, when: float, event: WorkerEvent) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))


class FakeCodec:
    """Decodes as an engine does."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self._engine.decode([codes])[0]


class FakeTokenizer:
    def encode(self, text: str) -> list[int]:
        return [1] if text else []


def cluster_of(pool: FakePool, engine: Engine, rows: int | None = None) -> tuple[Cluster, list[str]]:
    """A cluster of these workers, and what it tells the user."""
    told: list[str] = []
    made = Cluster(
        engine.name,
        pool,
        FakeTokenizer(),
        lambda: FakeCodec(engine),
        VERSIONS,
        rows,
        told.append,
        pool.clock,
    )
    return made, told
