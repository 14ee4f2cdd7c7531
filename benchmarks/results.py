"""What a run of the benchmark found, and what follows from it: whole segments, rates, ratios, distance from the floor."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import cases
from .cases import OURS, STAGES, THEIRS, WHOLE, Case, Report, Times, Work
from .checkpoints import SIZES
from .floors import Floor, Machine
from .programs import ProgramRun

FROM_PARTS = "clip, parts"  # its seconds are the sum of the stages'
MEASURED = "clip, whole"


@dataclass
class Results:
    """All of a run. `command` leaves out where files are kept."""

    when: str
    command: str
    commit: str
    machine: Machine
    peer_dtype: str  # of transformers, that all ratios are to
    reports: list[Report] = field(default_factory=list)
    converted: list[Report] = field(default_factory=list)  # loading of converted checkpoints
    programs: list[ProgramRun] = field(default_factory=list)
    lengths: list[ProgramRun] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        content = dataclasses.asdict(self) | {"measurements": [dataclasses.asdict(m) for m in self.measurements()]}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["measurements"]
        content["machine"] = Machine(**content["machine"])
        for name in ("reports", "converted"):
            content[name] = [_report(found) for found in content[name]]
        for name in ("programs", "lengths"):
            content[name] = [ProgramRun(**found) for found in content[name]]
        return cls(**content)

    def measurements(self) -> list[Measurement]:
        """Every stage of every case, and clips of all stages; the rounds of a case count as one."""
        stages = [m for report in merged(self.reports) for m in _stages(report, self.machine)]
        made = stages + list(_clips(stages))
        cases = list(dict.fromkeys(m.case for m in made))
        return sorted(made, key=lambda m: cases.index(m.case))

    def baseline(self, measured: Sequence[Measurement], size: str) -> dict[str, Measurement]:
        """Of each stage, and of a clip: transformers, one at a time, in its first type."""
        peers = [m for m in measured if (m.who, m.size, m.dtype) == (THEIRS, size, self.peer_dtype)]
        fewest = min((m.rows for m in peers), default=1)
        return {m.stage: m for m in peers if m.rows == fewest}


def _report(found: Mapping) -> Report:
    case = Case(**found["case"] | {"stages": tuple(found["case"]["stages"])})
    times = {stage: Times(**runs) for stage, runs in found["times"].items()}
    return Report(**found | {"case": case, "times": times})


@dataclass(frozen=True)
class Measurement:
    """A stage, or a clip of all stages, of `rows` segments; seconds for all of them."""

    who: str
    size: str
    dtype: str
    rows: int
    stage: str
    seconds: float
    prefill_s: float | None = None
    step_s: float | None = None
    prefill_floor_s: float | None = None
    step_floor_s: float | None = None
    floor_s: float | None = None

    @property
    def case(self) -> tuple[str, str, str, int]:
        return self.who, self.size, self.dtype, self.rows

    @property
    def tokens_per_s(self) -> float | None:
        return self.rows * cases.tokens(self.stage) / self.seconds if self.stage in STAGES else None

    @property
    def realtime(self) -> float:
        """Seconds of speech a second."""
        return self.rows * cases.SEGMENT_SECONDS / self.seconds

    def times_as_fast(self, baseline: Mapping[str, Measurement]) -> float | None:
        stage = FROM_PARTS if self.stage == MEASURED and MEASURED not in baseline else self.stage
        return self.realtime / baseline[stage].realtime if stage in baseline else None


def merged(reports: Iterable[Report]) -> list[Report]:
    """One report a case, with the runs of all rounds; of loading the fastest, of memory the most."""
    found: dict[tuple, Report] = {}
    for report in reports:
        key = (*report.case.model, report.case.rows)
        found[key] = _together(found[key], report) if key in found else report
    return list(found.values())


def _together(one: Report, other: Report) -> Report:
    none = Times()
    times = {}
    for stage in one.times | other.times:
        a, b = one.times.get(stage, none), other.times.get(stage, none)
        times[stage] = Times(a.long + b.long, a.short + b.short)
    return dataclasses.replace(
        one,
        times=times,
        failed=one.failed | other.failed,
        import_s=_choose(min, one.import_s, other.import_s),
        load_s=_choose(min, one.load_s, other.load_s),
        codec_s=_choose(min, one.codec_s, other.codec_s),
        peak_bytes=_choose(max, one.peak_bytes, other.peak_bytes),
        loaded_bytes=_choose(max, one.loaded_bytes, other.loaded_bytes),
    )


def _choose(by: Callable, *values: float | None) -> float | None:
    return by((value for value in values if value is not None), default=None)


def split(short: Work, long: Work, short_s: float, long_s: float) -> tuple[float, float]:
    """Seconds of a prefill and of a step, from two runs of different lengths."""
    determinant = short.prefills * long.steps - long.prefills * short.steps
    step = (short.prefills * long_s - long.prefills * short_s) / determinant
    step = max(step, 0.0)  # noise, where both are next to nothing
    return (short_s - short.steps * step) / short.prefills, step


def _stages(report: Report, machine: Machine) -> Iterable[Measurement]:
    case = report.case
    floor = Floor(machine, SIZES[case.size], case.dtype)
    for stage, times in report.times.items():
        if stage in ("semantic", "coarse"):
            yield _causal(case, stage, times, floor)
            continue
        seconds = min(times.long)
        rows = 1 if stage == "codec" else case.rows
        floor_s = floor.fine(rows) if stage == "fine" else None
        name = MEASURED if stage == WHOLE else stage
        yield Measurement(case.who, case.size, case.dtype, rows, name, seconds, floor_s=floor_s)


def _causal(case: Case, stage: str, times: Times, floor: Floor) -> Measurement:
    """A whole segment's prefills and steps, each step as far from its floor as the measured ones."""
    short, long, whole = case.short(stage), case.long(stage), cases.segment_work(stage)
    prefill_s, step_s = split(short, long, min(times.short), min(times.long))
    prefill_floor = floor.prefill(stage, case.rows, cases.prefix(stage))
    step_floor = floor.step(stage, case.rows, cases.context(stage, long))
    later_floor = floor.step(stage, case.rows, cases.context(stage, whole))
    seconds = whole.prefills * prefill_s + whole.steps * step_s * later_floor / step_floor
    return Measurement(
        case.who,
        case.size,
        case.dtype,
        case.rows,
        stage,
        seconds,
        prefill_s,
        step_s,
        prefill_floor,
        step_floor,
        whole.prefills * prefill_floor + whole.steps * later_floor,
    )


def _clips(stages: Sequence[Measurement]) -> Iterable[Measurement]:
    """All stages of as many segments as there are rows. A stage that goes one by one is taken so often."""
    found = {(*m.case, m.stage): m for m in stages}
    for who, size, dtype, rows in dict.fromkeys(m.case for m in stages):
        total = 0.0
        for stage in STAGES:
            one_by_one = stage == "codec" or (stage == "fine" and who == OURS)
            own = found.get((who, size, dtype, rows, stage))
            single = found.get((who, size, dtype, 1, stage)) if one_by_one else None
            if own is None and single is None:
                break
            total += own.seconds if own else single.seconds * rows
        else:
            yield Measurement(who, size, dtype, rows, FROM_PARTS, total)
