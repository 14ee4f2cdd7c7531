"""Runs on a real Ray cluster of this machine whose workers are killed, frozen, without memory or without the model.

    python benchmarks/cluster_faults.py
    python benchmarks/cluster_faults.py --segments 300 --seeds 1 2 3 --model demo
    sudo python benchmarks/cluster_faults.py --segments 300 --seeds --cut_s 20

Each run is compared, bit for bit, with one of a single process. Another one's command is killed, and given again; --cut_s
cuts another one's machine off the network, by network namespaces of Linux. The model is a tiny one with random weights,
unless --model names another.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:  # these import torch
    from bark_infinity.bark import Segment, Settings
    from bark_infinity.checkpoints.loading import ModelChoice
    from bark_infinity.run.workers import Reply, WorkerDescription

INTERVALS = (1, 0, 3)  # of --stable_mode_interval, one for each seed in turn
N_CLIPS = 6
LATE_AFTER_S = 8.0  # in place of a minute, so that a frozen worker is seen soon
FROZEN_S = 30.0
WRONG_MODELS = ("absent_model", "other_model")  # of which the second one's folder is there
CUT_AFTER_S = 12.0  # when the workers have begun
RAY_STARTS_S = 8.0
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # as many in all processes, so that sums are the same
    "PYTHONPATH": str(ROOT),
}
Report = Callable[[str], None]


# ---- workers --------------------------------------------------------------------------------------------------------


class TroubledWorker:
    """A ClusterWorker that shows its process in the folder BARK_TROUBLE, and takes its next fault from there."""

    def __init__(self, choice: ModelChoice, settings: Settings):
        from bark_infinity.run.cluster_worker import ClusterWorker

        self._folder = Path(os.environ["BARK_TROUBLE"])
        if self._is_asked("broken_start"):
            raise OSError("no such disk")
        for fault in WRONG_MODELS:
            if self._is_asked(fault):
                self._wait_for_another()
                choice = dataclasses.replace(choice, model=str(self._folder.parent / fault))
        self._worker = ClusterWorker(choice, settings)

    def _is_asked(self, fault: str) -> bool:
        """Whether this fault is due, once."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / fault).unlink()
            return True
        return False

    def _wait_for_another(self) -> None:
        """Wait until another worker has a batch: the first one's weights are those of the run."""
        while not list(self._folder.glob("busy_*")):
            time.sleep(0.05)

    def describe(self) -> WorkerDescription | str:
        return self._worker.describe()

    def generate(self, segments: Sequence[Segment], settings: Settings, rows: int, with_audio: bool) -> Reply:
        import torch

        bark: Any = self._worker._bark
        busy = self._folder / f"busy_{os.getpid()}"
        busy.touch()
        try:
            if self._is_asked("memory"):
                bark.generate = _raising(torch.OutOfMemoryError("a scripted lack of memory"))
            elif self._is_asked("error"):
                bark.generate = _raising(ValueError("a scripted fault"))
            return self._worker.generate(segments, settings, rows, with_audio)
        finally:
            bark.__dict__.pop("generate", None)
            busy.unlink()


def _raising(error: Exception) -> Callable[..., object]:
    def generate(*_: object, **__: object) -> object:
        raise error

    return generate


class Trouble(threading.Thread):
    """Does something bad to a worker that has a batch, again and again, in random order."""

    def __init__(self, folder: Path, seed: int, pause_s: float, report: Report, remove_node: Callable[[], None]):
        super().__init__(daemon=True)
        self.done: Counter[str] = Counter()
        self._folder, self._random, self._pause_s, self._report = folder, random.Random(seed), pause_s, report
        self._remove_node = remove_node
        self._over = threading.Event()
        kinds = ["kill", "kill", "memory", "error", "broken_start", "freeze", "freeze for good"]
        self._plan = self._random.sample(kinds, len(kinds)) + ["node"]
        self._frozen: list[int] = []

    def run(self) -> None:
        while self._busy() is None and not self._over.is_set():
            pass
        for kind in self._plan:
            if self._over.wait(self._pause_s):
                return
            self._do(kind)

    def end(self) -> None:
        self._over.set()
        self.join()
        for process in self._frozen:
            _signal(process, signal.SIGCONT)

    def _do(self, kind: str) -> None:
        if kind in ("memory", "error", "broken_start"):
            (self._folder / kind).touch()
        elif kind == "node":
            self._remove_node()
        elif (process := self._busy()) is None:
            return
        elif kind == "kill":
            _signal(process, signal.SIGKILL)
        else:
            _signal(process, signal.SIGSTOP)
            self._frozen.append(process)
            if kind == "freeze":
                threading.Timer(FROZEN_S, _signal, (process, signal.SIGCONT)).start()
        self.done[kind] += 1
        self._report(f"-- {kind}")

    def _busy(self) -> int | None:
        """The process of a worker that has a batch; waits a while for one."""
        for _ in range(200):
            found = [int(path.name.removeprefix("busy_")) for path in self._folder.glob("busy_*")]
            alive = [process for process in found if process not in self._frozen and is_alive(process)]
            if alive:
                return self._random.choice(alive)
            if self._over.wait(0.05):
                return None
        return None


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


# ---- runs -----------------------------------------------------------------------------------------------------------


def arguments(model: str, segments: int, seed: int, folder: Path) -> list[str]:
    """The command line of a run of `N_CLIPS` clips with so many segments in all."""
    each = segments // N_CLIPS
    text = "\n".join(" ".join(f"Sentence {k} of text {clip}." for k in range(each)) for clip in range(N_CLIPS))
    (folder.parent / "text.txt").write_text(text)
    line = ["--model", model, "--device", "cpu", "--dtype", "float32", "--seed", str(seed), "--check_segments", "off"]
    line += ["--prompt_file", str(folder.parent / "text.txt"), "--output_dir", str(folder)]
    line += ["--split_input_into_separate_prompts_by", "line", "--split_each_text_prompt_by", "sentence"]
    interval = INTERVALS[(seed - 1) % len(INTERVALS)]
    return [*line, "--semantic_max_gen_duration_s", "0.4", "--stable_mode_interval", str(interval)]


def run_command(line: Sequence[str], report: Report, *more: str) -> tuple[int, list[str]]:
    """Run the command line in this process: its status, and the paths that it prints."""
    import io

    from bark_infinity.cli.main import main

    told = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(told):
        status = main([*line, *more])
    for sentence in told.getvalue().splitlines():
        if any(word in sentence for word in ("lost", "memory", "failed", "not used", "error", "worker")):
            report(sentence)
    return status, out.getvalue().splitlines()


def digests(folder: Path) -> dict[str, str]:
    """The digest of the sound of each clip, by its name."""
    return {path.stem: json.loads(path.read_text())["audio_sha256"] for path in folder.glob("*.json")}


@contextlib.contextmanager
def ray_cluster(nodes: int) -> Iterator[Any]:
    """A cluster on this machine: a head without cores, and nodes for one worker each."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(nodes):
        made.add_node(num_cpus=1)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def counted_keeps() -> Counter[tuple[str, str, int]]:
    """How often each take of each clip is written to its journal, from now on."""
    from bark_infinity.run.journal import ClipJournal

    kept: Counter[tuple[str, str, int]] = Counter()
    keep = ClipJournal.keep

    def counted(self: ClipJournal, name: str, segment: Any, take: int = 0) -> None:
        kept[str(self.folder), name, take] += 1
        keep(self, name, segment, take)

    ClipJournal.keep = counted  # type: ignore[method-assign]
    return kept


def troubled_run(model: str, segments: int, seed: int, pause_s: float, folder: Path, report: Report) -> bool:
    """A run in which everything happens; whether its clips are those of a single process."""
    trouble_folder = _without_trouble()
    start = time.monotonic()
    local = arguments(model, segments, seed, folder / "local")
    assert run_command(local, lambda _: None)[0] == 0
    seconds = time.monotonic() - start
    report(f"seed {seed}: one process makes {segments} segments in {seconds:.0f} s")
    with ray_cluster(3) as cluster:
        for fault in WRONG_MODELS:
            (trouble_folder / fault).touch()
            cluster.add_node(num_cpus=1)
        kept = counted_keeps()
        extra = cluster.add_node(num_cpus=1)
        trouble = Trouble(
            trouble_folder,
            seed,
            pause_s,
            report,
            lambda: cluster.remove_node(extra, allow_graceful=False),
        )
        trouble.start()
        start = time.monotonic()
        far = arguments(model, segments, seed, folder / "far")
        status, _ = run_command(far, report, "--cluster", cluster.address)
        seconds = time.monotonic() - start
        trouble.end()
    same = digests(folder / "far") == digests(folder / "local") and status == 0
    happened = ", ".join(f"{kind} {n}" for kind, n in trouble.done.items())
    report(f"seed {seed}: {seconds:.0f} s; {happened}; {'the same clips' if same else 'OTHER CLIPS'}")
    twice = sum(n > 1 for n in kept.values())
    report(f"seed {seed}: {len(kept)} takes in the journal, {twice} of them written twice")
    return same and not twice and len(kept) == segments


def _without_trouble() -> Path:
    """The folder of faults to come, without those that an earlier run has left there."""
    folder = Path(os.environ["BARK_TROUBLE"])
    for path in folder.iterdir():
        path.unlink()
    return folder


def killed_command(model: str, segments: int, folder: Path, report: Report) -> bool:
    """The command is killed in the middle, and given again; whether its clips are those of a single process."""
    assert run_command(arguments(model, segments, 1, folder / "local"), lambda _: None)[0] == 0
    line = arguments(model, segments, 1, folder / "far")
    _without_trouble()
    with ray_cluster(2) as cluster:
        command = [sys.executable, str(ROOT / "bark_perform.py"), *line, "--cluster", cluster.address]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while len(list((folder / "far").glob("*.partial/segments/*.npz"))) < segments // N_CLIPS // 2:
                assert process.poll() is None
                time.sleep(0.1)
            workers = _actors()
            process.kill()
        start = time.monotonic()
        while any(map(is_alive, workers)):
            time.sleep(0.1)
        report(f"{len(workers)} workers have ended {time.monotonic() - start:.1f} s after their command was killed")
        done = len(list((folder / "far").glob("*.partial/segments/*.npz")))
        status = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    same = digests(folder / "far") == digests(folder / "local") and status == 0
    report(
        f"the same command went on from {done} segments of open clips; {'the same clips' if same else 'OTHER CLIPS'}"
    )
    return same


def cut_network(model: str, segments: int, seconds: float, folder: Path, report: Report) -> bool:
    """One of two machines is out of reach for so many seconds; whether the clips are those of a single process.

    Needs Linux, `ip` and its rights.
    """
    assert run_command(arguments(model, segments, 1, folder / "local"), lambda _: None)[0] == 0
    _without_trouble()
    with _two_machines() as (address, link):
        cut = threading.Timer(CUT_AFTER_S, _run, ("ip", "link", "set", link, "down"))
        mend = threading.Timer(CUT_AFTER_S + seconds, _run, ("ip", "link", "set", link, "up"))
        start = time.monotonic()
        for timer in (cut, mend):
            timer.start()
        status, _ = run_command(arguments(model, segments, 1, folder / "far"), report, "--cluster", address)
        took = time.monotonic() - start
        mend.join()
    manifests = [json.loads(path.read_text()) for path in (folder / "far").glob("*.json")]
    workers = Counter(segment.get("worker") for manifest in manifests for segment in manifest["segments"])
    same = digests(folder / "far") == digests(folder / "local") and status == 0
    report(
        f"cut off for {seconds:.0f} of {took:.0f} s: {'the same clips' if same else 'OTHER CLIPS'}, by {dict(workers)}"
    )
    return same


@contextlib.contextmanager
def _two_machines() -> Iterator[tuple[str, str]]:
    """The address of a cluster of two, the second one in a network namespace of its own, and the name of the link to that."""
    near, far, name = "10.213.7.1", "10.213.7.2", "bark_far"
    node = ["--num-cpus", "1", "--disable-usage-stats", "--block"]
    ray = [str(Path(sys.executable).with_name("ray")), "start"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    _run("ip", "netns", "add", name)
    started: list[subprocess.Popen[bytes]] = []
    try:
        _run("ip", "link", "add", "bark0", "type", "veth", "peer", "name", "bark1", "netns", name)
        _run("ip", "addr", "add", f"{near}/24", "dev", "bark0")
        _run("ip", "link", "set", "bark0", "up")
        for words in (
            ["addr", "add", f"{far}/24", "dev", "bark1"],
            *(["link", "set", d, "up"] for d in ("bark1", "lo")),
        ):
            _run("ip", "netns", "exec", name, "ip", *words)
        head = ["--head", "--node-ip-address", near, "--port", "6411", "--include-dashboard", "false"]
        started.append(subprocess.Popen([*ray, *head, *node], **quiet))
        time.sleep(RAY_STARTS_S)
        join = ["ip", "netns", "exec", name, *ray, "--address", f"{near}:6411", "--node-ip-address", far]
        started.append(subprocess.Popen([*join, *node], **quiet))
        time.sleep(RAY_STARTS_S)
        yield f"{near}:6411", "bark0"
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        _run("ip", "netns", "delete", name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _actors() -> list[int]:
    """The processes of Ray's actors on this machine, by what they call themselves."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::ClusterWorker"):
                found.append(int(path.parent.name))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--segments", type=int, default=300)
    parser.add_argument(
        "--seeds", type=int, nargs="*", default=[1, 2, 3], help="of the order of faults; one run for each"
    )
    parser.add_argument("--pause_s", type=float, default=5.0, help="between two faults")
    parser.add_argument("--cut_s", type=float, default=None, help="cut a machine off for so long, in one more run")
    parser.add_argument("--model", default=None, help="a folder or a name; by default a tiny one with random weights")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trouble").mkdir()
        _prepare({**ENVIRONMENT, "BARK_TROUBLE": str(folder / "trouble"), "XDG_CACHE_HOME": str(folder / "cache")})
        from benchmarks.checkpoints import SIZES, write_checkpoint

        model = args.model
        if model is None:
            model = str(folder / "tiny")
            write_checkpoint(folder / "tiny", SIZES["tiny"])
        write_checkpoint(folder / "other_model", SIZES["tiny"], seed=1)
        good = []
        for seed in args.seeds:
            (folder / str(seed)).mkdir()
            good.append(troubled_run(model, args.segments, seed, args.pause_s, folder / str(seed), _say))
        (folder / "killed").mkdir()
        good.append(killed_command(model, args.segments, folder / "killed", _say))
        if args.cut_s is not None:
            (folder / "cut").mkdir()
            good.append(cut_network(model, args.segments, args.cut_s, folder / "cut", _say))
    return 0 if all(good) else 1


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {sentence}", flush=True)


def _prepare(environment: Mapping[str, str]) -> None:
    """Before Ray and torch are imported: their settings, the workers with faults, and a shorter patience."""
    os.environ.update(environment)
    import ray

    from bark_infinity.run import dispatch, ray_pool

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray_pool.ClusterWorker = TroubledWorker  # type: ignore[assignment,misc]
    dispatch._LATE_AFTER_S = LATE_AFTER_S


if __name__ == "__main__":
    sys.exit(main())
