"""The benchmark: its arithmetic by hand, its plan, and a run of all of it with a tiny model. No test asserts times."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from benchmarks import cases, loops, programs, speed, tables
from benchmarks.cases import OURS, THEIRS, Case, Report, Times, Work
from benchmarks.checkpoints import SIZES, write_checkpoint
from benchmarks.floors import Floor, Machine
from benchmarks.results import FROM_PARTS, Results, split

WEIGHTS = 12 * 1024**2 * 24  # of the large model's blocks
HEAD = 10_000 * 1024


def machine(bandwidth: float = 1e9, rate: float = 1e30, device: str = "cpu") -> Machine:
    return Machine(
        device, {"processor": "a slow one"}, bandwidth, {"float32": rate, "bfloat16": 2 * rate, "int8": None}
    )


def results(*reports: Report, device: str = "cpu") -> Results:
    return Results("2026-01-01", "python benchmarks/speed.py", "abc", machine(device=device), "float32", list(reports))


def case(who: str = OURS, dtype: str = "float32", rows: int = 1, stages: tuple[str, ...] = cases.STAGES) -> Case:
    return Case(who, "large", "folder", dtype, "cpu", rows, stages)


def report(**changes) -> Report:
    """Fake timings: a coarse prefill of 2 s, a semantic prefill of 1 s, and steps of 0.1 s."""
    times = {
        "semantic": Times(long=[1 + 63 * 0.1], short=[1.0]),
        "coarse": Times(long=[2 + 59 * 0.1], short=[2.1]),
        "fine": Times([20.0]),
        "codec": Times([1.5]),
    }
    return Report(case(**changes), times)


# ---- floors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "weight", "number"), [("float32", 4, 4), ("bfloat16", 2, 2), ("int8", 1, 2)])
def test_bytes_of_a_step_are_the_weights_once_and_the_cache_of_every_row(dtype, weight, number):
    floor = Floor(machine(), SIZES["large"], dtype)
    cache = 2 * 300 * 1024 * 24 * number
    assert floor.step("semantic", 1, 300) == pytest.approx(((WEIGHTS + HEAD) * weight + cache) / 1e9)
    assert floor.step("semantic", 16, 300) == pytest.approx(((WEIGHTS + HEAD) * weight + 16 * cache) / 1e9)


def test_compute_bound_step_has_its_products_as_lower_bound():
    floor = Floor(machine(bandwidth=1e30, rate=1e9), SIZES["large"], "float32")
    attention = 2 * 257**2 * 1024 * 24
    assert floor.prefill("semantic", 4, 257) == pytest.approx(4 * (2 * (WEIGHTS * 257 + HEAD) + attention) / 1e9)
    one = 2 * (WEIGHTS * 1024 + 1024 * 1024 * 512) + 4 * 1024**2 * 1024 * 24
    assert floor.fine(1) == pytest.approx(6 * one / 1e9)


def test_unsupported_dtype_uses_the_fastest_other_rate():
    assert machine(rate=1e9).rate("int8") == 2e9


def test_best_of_two_machine_measurements_is_used():
    both = machine(bandwidth=2e9, rate=1e9).best_of(machine(bandwidth=1e9, rate=3e9))
    assert (both.bandwidth, both.rates) == (2e9, {"float32": 3e9, "bfloat16": 6e9, "int8": None})


# ---- what follows from times ----------------------------------------------------------------------------------------


def test_prefill_and_step_times_are_derived_from_two_lengths():
    assert split(Work(1, 1), Work(2, 118), 3.5, 2 * 3 + 118 * 0.5) == pytest.approx((3.0, 0.5))
    assert split(Work(1, 0), Work(1, 47), 2.0, 1.9) == (2.0, 0.0)  # noise is no negative time


def test_segment_time_and_rates_are_derived_from_its_windows():
    measurements_by_stage = {m.stage: m for m in results(report()).measurements()}
    assert (cases.SEGMENT_TOKENS, cases.SEGMENT_FRAMES) == (339, 509)
    assert measurements_by_stage["coarse"].seconds == pytest.approx(17 * 2 + (2 * 509 - 17) * 0.1, rel=1e-3)
    assert measurements_by_stage["coarse"].tokens_per_s == pytest.approx(
        2 * 509 / measurements_by_stage["coarse"].seconds
    )
    assert measurements_by_stage["semantic"].seconds > 1 + 338 * 0.1  # later steps read more than those that were timed
    assert measurements_by_stage[FROM_PARTS].seconds == pytest.approx(
        sum(measurements_by_stage[stage].seconds for stage in cases.STAGES)
    )
    assert measurements_by_stage[FROM_PARTS].realtime == pytest.approx(
        509 / 75 / measurements_by_stage[FROM_PARTS].seconds
    )


def test_ratios_compare_with_the_peers_first_dtype_at_batch_size_one():
    batch = report(rows=16)
    del batch.times["fine"], batch.times["codec"]  # on a CPU one after the other, as measured with one row
    found = results(
        report(who=THEIRS), report(who=THEIRS, rows=4), report(who=THEIRS, dtype="bfloat16"), report(), batch
    )
    measured = found.measurements()
    baseline = found.baseline(measured, "large")
    ratios = {(m.rows, m.stage): m.times_as_fast(baseline) for m in measured if m.who == OURS}
    assert ratios[1, "coarse"] == 1 and ratios[16, "coarse"] == pytest.approx(16, rel=1e-2)
    clips = {m.rows: m.seconds for m in measured if m.who == OURS and m.stage == FROM_PARTS}
    assert clips[16] == pytest.approx(clips[1] + 15 * (20 + 1.5), rel=0.2)


def test_the_fastest_run_of_all_rounds_counts():
    first, second = report(), report()
    second.times["fine"] = Times([30.0, 5.0])
    fine = [m for m in results(first, second).measurements() if m.stage == "fine"]
    assert [m.seconds for m in fine] == [5.0]


# ---- plan -----------------------------------------------------------------------------------------------------------


def test_compared_cases_are_measured_alternately_and_batches_once():
    args = speed.parse(["--sizes", "small", "--dtypes", "bfloat16", "--rows", "1", "16", "--peer_dtypes", "float32"])
    planned = list(speed.plan(args, {"small": "folder"}))
    assert [(c.who, c.rows) for c in planned] == [(THEIRS, 1), (OURS, 1), (OURS, 16), (THEIRS, 1), (OURS, 1)]
    assert planned[1].stages == cases.STAGES and planned[2].stages == ("semantic", "coarse")


def test_batch_that_would_take_too_long_is_skipped_and_reported():
    found = dataclasses.replace(results(), machine=machine(bandwidth=1e12, rate=1e9))  # 0.6 s a position
    alone, batch = case(stages=cases.STAGES), case(rows=4, stages=("semantic", "coarse", "codec"))
    assert speed.patient(alone, found, patience_s=4000.0) == alone  # all ratios are to it
    assert speed.patient(batch, found, patience_s=4000.0).stages == ("semantic", "codec")
    assert len(found.left_out) == 1 and "4 rows, coarse: may take" in found.left_out[0]


# ---- output ---------------------------------------------------------------------------------------------------------


def test_markdown_replaces_only_the_results_of_its_device(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# How to run\n")
    tables.write_markdown(results(report()), path)
    tables.write_markdown(results(device="cuda"), path)
    gpu = path.read_text()[path.read_text().index("<!-- start of results on cuda") :]
    tables.write_markdown(results(report(dtype="bfloat16")), path)
    text = path.read_text()
    assert text.startswith("# How to run\n") and text.endswith(gpu)
    assert text.count("start of results on cpu") == 1
    assert "| ours | bfloat16 |" in text and "| ours | float32 |" not in text


def test_a_run_with_a_tiny_model(tmp_path, capsys):
    write_checkpoint(tmp_path / "kept" / "tiny", SIZES["tiny"])
    places = ["--checkpoints", "kept", "--json", "found.json", "--markdown", "found.md"]
    short = ["--rounds", "1", "--semantic_tokens", "3", "--budget", "0", "--rows", "1", "--prompts", "5"]
    kinds = ["--dtypes", "float32", "float3", "--peer_dtypes", "float32", "--parts", "stages", "programs"]
    arguments = ["--sizes", "tiny", *kinds, *short, "--segments", "1", "--short_segments", "2"]
    assert speed.main([*arguments, *places]) == 0

    found = Results.read(tmp_path / "found.json")
    assert found.command == f"python benchmarks/speed.py {' '.join(arguments)}"
    measurements_by_stage = {(m.who, m.stage): m.seconds for m in found.measurements()}
    assert set(measurements_by_stage) == {
        (who, stage) for who in (OURS, THEIRS) for stage in (*cases.STAGES, FROM_PARTS)
    }
    assert all(seconds > 0 for seconds in measurements_by_stage.values())
    assert [run.failed for run in found.programs] == [None] * len(found.programs)
    assert found.programs[-2].sound_s == pytest.approx(cases.SEGMENT_SECONDS, abs=0.01)
    assert found.programs[-1].sound_s == pytest.approx(2 * 4.0, abs=0.5)  # and the pause between them

    shown = capsys.readouterr().out
    assert shown.count("this version does not offer --dtype float3") == 1  # reported, and the run went on
    assert "transformers" in shown and "--dry_run of 5 prompts" in shown
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["tiny"]
    assert "### Tiny model" in (tmp_path / "found.md").read_text()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux alone has /proc")
def test_busy_processes_run_while_something_is_measured_beside_them():
    def busy_children() -> list[str]:
        commands = (path.read_text() for path in Path("/proc/self/task").glob("*/children"))
        pids = [pid for line in commands for pid in line.split()]
        return [pid for pid in pids if "while True" in Path(f"/proc/{pid}/cmdline").read_text()]

    def measure() -> programs.ProgramRun:
        # A process that was started a moment ago may not show its command yet: Linux lets the parent go on before.
        deadline = time.monotonic() + 30
        while len(busy_children()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return programs.ProgramRun(str(len(busy_children())), 0.0, None)

    assert programs._beside(2, measure).what == "2"
    assert busy_children() == []


def test_compiled_loops_are_measured_beside_torchs(needs_int8_loops, monkeypatch, capsys):
    for name, value in {
        "_BANDWIDTH_S": 0,
        "_LAYERS": 2,
        "_ROUNDS": 1,
        "_HEADS": 1,
        "_WIDTH": 64,
        "_FILLED": 20,
    }.items():
        monkeypatch.setattr(loops, name, value)
    loops.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4 + 2 + 2 and all(line.count("|") == 7 for line in lines)
    assert all(
        float(line.split("|")[column].strip().removesuffix("x")) >= 0 for line in lines[2:] for column in (3, 4, 5)
    )
