"""A process of its own for everything that loads torch: peak memory is then that of one case, and nothing is warm.

Takes a job as JSON, prints what it found as the last line on stdout.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .cases import OURS, WHOLE, Case, Report, Times
from .checkpoints import SIZES, write_checkpoint
from .floors import Machine, measure_machine, wait_for

ROOT = Path(__file__).resolve().parents[1]
_REPEATS = 5  # at most
_LONG_S = 5.0


class WorkerFailed(Exception):
    """A process that ended without an answer; the last line it wrote."""


# ---- on this side ---------------------------------------------------------------------------------------------------


def build_checkpoint(folder: Path, size: str) -> None:
    _ask({"job": "checkpoint", "folder": str(folder), "size": size})


def find_machine(device: str, dtypes: tuple[str, ...], budget_s: float) -> Machine:
    return Machine(**_ask({"job": "machine", "device": device, "dtypes": dtypes, "budget_s": budget_s}))


def run_case(case: Case) -> Report:
    """Never raises for what breaks in the process: the report says so."""
    try:
        found = _ask({"job": "case", **dataclasses.asdict(case)})
    except WorkerFailed as error:
        return Report(case, failed=dict.fromkeys(case.stages or ("loading",), str(error)))
    times = {stage: Times(**runs) for stage, runs in found.pop("times").items()}
    return Report(case, times, **{name: value for name, value in found.items() if name != "case"})


def _ask(job: dict[str, object]) -> dict:
    """Raises WorkerFailed."""
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(job)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        if done.returncode == -9:
            why = "killed, which is what a system does that runs out of memory"
        raise WorkerFailed(why)
    return json.loads(done.stdout.splitlines()[-1])


# ---- in the process -------------------------------------------------------------------------------------------------


def measure(case: Case) -> Report:
    """Load the model, then time its stages in order."""
    from bark_infinity.errors import BarkError

    report = Report(case)
    if case.who == OURS and (refusal := _not_offered(case.dtype)):
        report.refused = refusal
        return report
    start = time.perf_counter()
    from . import peers

    peers.import_library(case.who)
    report.import_s = time.perf_counter() - start
    try:
        model = peers.load(case)
    except BarkError as error:
        report.refused = str(error)
        return report
    wait_for(case.device)
    report.load_s = time.perf_counter() - start - report.import_s
    model.wait()
    report.codec_s = time.perf_counter() - start - report.import_s - report.load_s
    report.loaded_bytes = peak_bytes(case.device)
    for stage in case.stages:
        try:
            report.times[stage] = _times(model, stage, case)
        except (RuntimeError, NotImplementedError, ValueError) as error:  # memory, or a type that an operation lacks
            report.failed[stage] = str(error).splitlines()[0]
    report.peak_bytes = peak_bytes(case.device)
    return report


def _not_offered(dtype: str) -> str | None:
    """Why this version has no such type."""
    from bark_infinity.options.table import flags

    choices = next(flag.choices for flag in flags() if flag.name == "dtype")
    return None if dtype in choices else f"this version does not offer --dtype {dtype}, only {', '.join(choices)}"


def _times(model, stage: str, case: Case) -> Times:
    run = getattr(model, stage)

    def seconds(*arguments: int) -> list[float]:
        budget = 0.0 if stage == WHOLE else case.budget_s
        return _repeated(lambda: run(*arguments), case.device, budget)

    if stage == "semantic":
        return Times(short=seconds(1), long=seconds(case.semantic_tokens))
    if stage == "coarse":
        return Times(short=seconds(1), long=seconds(case.coarse_semantic))
    return Times(seconds())


def _repeated(work: Callable[[], None], device: str, budget_s: float) -> list[float]:
    """Seconds of each run, one at least. The first one also prepares: it counts where that is little beside it."""
    first = _seconds(work, device)
    seconds = [first] if first > _LONG_S else []
    while not seconds or (len(seconds) < _REPEATS and sum(seconds) <= budget_s):
        seconds.append(_seconds(work, device))
    return seconds


def _seconds(work: Callable[[], None], device: str) -> float:
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


def peak_bytes(device: str) -> int | None:
    """The most that torch had on the GPU, or this process in memory; None where the system does not tell."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    try:  # Linux; its ru_maxrss begins with what the starting process had
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(job: dict) -> object:
    kind = job.pop("job")
    if kind == "checkpoint":
        write_checkpoint(Path(job["folder"]), SIZES[job["size"]])
        return {}
    if kind == "machine":
        return dataclasses.asdict(measure_machine(**job))
    return dataclasses.asdict(measure(Case(**job | {"stages": tuple(job["stages"])})))


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
