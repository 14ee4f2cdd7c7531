"""How well a cluster of 1 to 1,000 workers is used, in virtual time: the real dispatcher with simulated workers and driver.

    python benchmarks/cluster.py
    python benchmarks/cluster.py --workers 8 100 --batch_s 20 --driver_ms 12 --deaths_per_hour 1

No model is loaded and nothing is waited for. The ideal: all workers compute full batches until the end, and the driver
costs nothing.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bark_infinity.run.dispatch import SEGMENTS_PER_ROW, Batch, Dispatcher

POLL_S = 1.0  # how often the driver looks for late batches


@dataclass(frozen=True)
class Machine:
    """A kind of worker: rows side by side, seconds of a full batch, and the share of them that a batch of one takes too."""

    rows: int = 16
    batch_s: float = 120.0
    fixed_share: float = 0.5

    @property
    def segments(self) -> int:
        return SEGMENTS_PER_ROW * self.rows

    @property
    def rate(self) -> float:
        """Segments per second in full batches."""
        return self.segments / self.batch_s

    def seconds(self, lengths: list[float]) -> float:
        """Seconds for segments of these lengths, relative to the mean."""
        each = self.batch_s * (1.0 - self.fixed_share) / self.segments
        return self.batch_s * self.fixed_share + each * sum(lengths)


@dataclass(frozen=True)
class Faults:
    """What goes wrong, for each worker."""

    deaths_per_hour: float = 0.0  # its batch is lost, and another one takes its place after `restart_s`
    stragglers: float = 0.0  # share of batches that take `straggling` times as long
    straggling: float = 5.0
    restart_s: float = 30.0


@dataclass
class Outcome:
    """What a simulated run took."""

    seconds: float
    ideal_s: float
    driver_s: float  # in which the driver was busy
    batches: int
    repeated: int  # segments that were generated again or twice

    @property
    def efficiency(self) -> float:
        return self.ideal_s / self.seconds

    @property
    def driver_load(self) -> float:
        return self.driver_s / self.seconds


class Simulation:
    """A run of segments that do not wait for each other. The driver takes `driver_s` for each result."""

    def __init__(
        self, machines: list[Machine], segments: int, driver_s: float = 0.0, faults: Faults = Faults(), seed: int = 0
    ):
        self._machines = {f"worker {k}": machine for k, machine in enumerate(machines)}
        self._random, self._driver_s, self._faults = random.Random(seed), driver_s, faults
        self._lengths = [max(0.2, self._random.gauss(1.0, 0.3)) for _ in range(segments)]
        self._dispatcher = Dispatcher()
        self._events: list[tuple[float, int, str, Batch | None]] = []  # time, order, worker, batch; None: it is ready
        self._n_events = 0
        self.finished = [0] * segments  # how often each segment was handed on
        self._n_taken = self._n_repeated = self._n_batches = 0
        self._backlog: deque[int] = deque()

    def run(self) -> Outcome:
        """The whole run, in virtual time."""
        for name, machine in self._machines.items():
            self._dispatcher.add_worker(name, machine.rows)
        now = driver_s = 0.0
        self._submit_and_assign(now)
        while self._dispatcher.n_open or self._backlog:
            if self._backlog:  # the driver saves one result, then looks what has come
                self.finished[self._backlog.popleft()] += 1
                now += self._driver_s
                driver_s += self._driver_s
            else:
                now = min(self._events[0][0], now + POLL_S) if self._events else now + POLL_S
            while self._events and self._events[0][0] <= now:
                self._handle(now)
            self._submit_and_assign(now)
        ideal = len(self._lengths) / sum(machine.rate for machine in self._machines.values())
        return Outcome(now, ideal, driver_s, self._n_batches, self._n_repeated)

    def _submit_and_assign(self, now: float) -> None:
        dispatcher = self._dispatcher
        if dispatcher.n_queued < dispatcher.capacity:
            while self._n_taken < len(self._lengths) and dispatcher.n_queued < 1.5 * dispatcher.capacity:
                dispatcher.submit(self._n_taken)
                self._n_taken += 1
        for batch in dispatcher.assign(now):
            self._start(batch, now)

    def _start(self, batch: Batch, now: float) -> None:
        self._n_batches += 1
        seconds = self._machines[batch.worker].seconds([self._lengths[ticket] for ticket in batch.tickets])
        if self._random.random() < self._faults.stragglers:
            seconds *= self._faults.straggling
        if self._faults.deaths_per_hour:
            life = self._random.expovariate(self._faults.deaths_per_hour / 3600.0)
            if life < seconds:
                self._dies(batch, now + life)
                return
        self._add_event(now + seconds, batch.worker, batch)

    def _dies(self, batch: Batch, when: float) -> None:
        self._add_event(when, f"death of {batch.worker}", batch)
        self._add_event(when + self._faults.restart_s, batch.worker, None)

    def _add_event(self, when: float, worker: str, batch: Batch | None) -> None:
        self._n_events += 1
        heapq.heappush(self._events, (when, self._n_events, worker, batch))

    def _handle(self, now: float) -> None:
        _, _, worker, batch = heapq.heappop(self._events)
        if batch is None:
            self._dispatcher.add_worker(worker, self._machines[worker].rows)
        elif worker != batch.worker:
            self._n_repeated += len(batch.tickets)
            assert not self._dispatcher.remove_worker(batch.worker)  # nobody dies three times over the same segment
        else:
            new = self._dispatcher.finished(batch.number, now)
            self._n_repeated += len(batch.tickets) - len(new)
            self._backlog.extend(batch.tickets[place] for place in new)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    parser.add_argument("--hours", type=float, default=2.0, help="ideal length of each run, which sets its segments")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--batch_s", type=float, default=120.0, help="seconds of a full batch")
    parser.add_argument("--fixed_share", type=float, default=0.5, help="share of them that a batch of one takes too")
    parser.add_argument(
        "--driver_ms", type=float, default=10.0, help="for each segment: to journal, check and write it"
    )
    parser.add_argument("--deaths_per_hour", type=float, default=0.2)
    parser.add_argument("--stragglers", type=float, default=0.002, help="share of batches that take five times as long")
    args = parser.parse_args()
    print("| workers | segments | hours | of ideal | driver busy | batches | generated again or twice |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    machine = Machine(args.rows, args.batch_s, args.fixed_share)
    for n in args.workers:
        segments = round(args.hours * 3600 * n * machine.rate)
        faults = Faults(args.deaths_per_hour, args.stragglers)
        outcome = Simulation([machine] * n, segments, args.driver_ms / 1e3, faults).run()
        cells = [f"{segments:,}", f"{outcome.seconds / 3600:.2f}", f"{outcome.efficiency:.1%}"]
        cells += [f"{outcome.driver_load:.0%}", f"{outcome.batches:,}", f"{outcome.repeated / segments:.1%}"]
        print(f"| {n:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
