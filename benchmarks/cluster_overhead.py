"""What a cluster costs: Ray's workers on this machine with a model that only waits, against one process with as many rows.

    python benchmarks/cluster_overhead.py --workers 4 --seconds 2 --segments 80

Everything else is real: Ray, batches, tokens on their way, journal, audio files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.journal import NoModel  # noqa: E402

if TYPE_CHECKING:  # these import torch
    from bark_infinity.bark import Generation, Segment, Settings, StageProgress
    from bark_infinity.checkpoints.loading import ModelChoice
    from bark_infinity.run.cluster import Cluster
    from bark_infinity.run.engine import Engine
    from bark_infinity.run.workers import Reply, WorkerDescription

VERSIONS = {"bark_infinity": "a benchmark"}


class WaitingWorker:
    """A worker whose segments take a second or so each; `choice.model` is the number of seconds."""

    def __init__(self, choice: ModelChoice, settings: Settings):
        self._seconds, self._engine = float(choice.model), NoModel()

    def describe(self) -> WorkerDescription:
        from bark_infinity.run.workers import WorkerDescription

        limits = {"semantic": 10_000, "coarse_semantic": 10_000, "coarse": 1024, "fine": 1024}
        return WorkerDescription("here", VERSIONS, "no model", self._engine.spec, limits, {}, 1, "nothing")

    def generate(self, segments: Sequence[Segment], settings: Settings, rows: int, with_audio: bool) -> Reply:
        from bark_infinity.run.workers import Reply

        time.sleep(self._seconds * len(segments))
        return Reply([self._engine.segment] * len(segments))


class Letters:
    """Stands for a tokenizer."""

    def encode(self, text: str) -> list[int]:
        return [1] * len(text)


class Silence:
    """Stands for a codec."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.zeros(320 * codes.shape[1], np.float32)


class WaitingModel(NoModel):
    """A loaded model with as many rows as there are workers, so that a segment takes a part of the seconds."""

    def __init__(self, seconds: float):
        super().__init__()
        self._seconds = seconds

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> Generator[tuple[int, Generation], None, None]:
        for place in range(len(segments)):
            time.sleep(self._seconds)
            yield place, self.segment


def seconds_of(engine: Engine, segments: int) -> float:
    """Seconds of a run of so many segments."""
    from bark_infinity.options.resolve import resolve
    from bark_infinity.options.table import Options
    from bark_infinity.output.clip_files import save_clips
    from bark_infinity.run.planning import plan_clips
    from bark_infinity.run.recipe import Recipe

    text = "\n".join(f"This is line {k} of a long text." for k in range(segments))
    options = resolve(Options(text_prompt=text, split_each_text_prompt_by="line", seed=1, check_segments="off"))
    plans, _ = plan_clips([text], options, 0)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for _ in save_clips(Recipe.from_options(options, engine), plans, Path(folder), options):
            pass
        return time.perf_counter() - start


def start_cluster(n_workers: int, seconds: float) -> Cluster:
    """A cluster of workers that wait, all of them started."""
    import ray

    from bark_infinity.bark import Settings
    from bark_infinity.checkpoints.loading import ModelChoice
    from bark_infinity.run import ray_pool
    from bark_infinity.run.cluster import Cluster

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray_pool.ClusterWorker = WaitingWorker
    ray.init(num_cpus=n_workers, log_to_driver=False, include_dashboard=False)
    pool = ray_pool.RayPool(ModelChoice(str(seconds)), Settings(), n_workers)
    cluster = Cluster("no model", pool, Letters(), Silence, VERSIONS)
    while cluster.progress().workers < n_workers:
        cluster._look(0.5)
    return cluster


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--segments", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a segment")
    args = parser.parse_args()
    local = seconds_of(WaitingModel(args.seconds / args.workers), args.segments)
    cluster = start_cluster(args.workers, args.seconds)
    far = seconds_of(cluster, args.segments)
    cluster.close()
    ideal = args.segments * args.seconds / args.workers
    print(f"{args.segments} segments of {args.seconds} s, which are {ideal:.1f} s for {args.workers} rows or workers")
    print(f"in one process {local:.1f} s; by workers {far:.1f} s, {far / local - 1:+.1%}")


if __name__ == "__main__":
    main()
