"""How fast: every stage and whole clips, beside `transformers`' Bark in the same run, and how far from what is possible.

`python benchmarks/speed.py --quick` for a first look; benchmarks/README.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is there, the checkout is not

from benchmarks import programs
from benchmarks.cases import OURS, STAGES, THEIRS, WHOLE, Case
from benchmarks.checkpoints import SIZES
from benchmarks.floors import Floor, Machine
from benchmarks.results import Results
from benchmarks.tables import show, write_markdown
from benchmarks.worker import ROOT, WorkerFailed, build_checkpoint, find_machine, run_case

_SLACK = 1.5  # times the floor that a stage is taken to need; prefills, which take longest, come close to it
_SHORT_S = 4.0  # of a short segment on the command line
_QUICK = {
    "parts": ["stages", "programs", "demo", "lengths"],
    "sizes": ["large"],
    "dtypes": ["bfloat16", "int8"],
    "peer_dtypes": ["float32"],
    "rows": [1, 16],
    "rounds": 1,
    "semantic_tokens": 24,
    "patience": 40.0,
    "budget": 2.0,
    "segments": [],
    "short_segments": [],
    "lengths": [1, 10],
}
_CUDA = {"dtypes": ["float32", "bfloat16"], "peer_dtypes": ["bfloat16"], "whole": [1, 64]}
_PLACES = ("--checkpoints", "--json", "--markdown")  # where files are kept shapes no result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = parse(arguments)
    try:
        results = Results.read(args.from_json) if args.from_json else measure(args, arguments)
    except WorkerFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(results)
    if args.json:
        results.write(args.json)
    if args.markdown:
        write_markdown(results, args.markdown)
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments, with the defaults that --quick and --device bring."""
    parser = _parser()
    first = parser.parse_args(argv)
    if first.device == "cuda":
        parser.set_defaults(**_CUDA)
    if first.quick:
        parser.set_defaults(**_QUICK)
    return parser.parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks/speed.py",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    parts = ("stages", "load", "programs", "demo", "lengths")
    add("--quick", action="store_true", help="less of everything, in under 4 minutes")
    add("--parts", nargs="+", choices=parts, default=parts, help="what to measure")
    add("--sizes", nargs="+", choices=tuple(SIZES), default=["large", "small"], help="models")
    add("--dtypes", nargs="+", default=["float32", "bfloat16", "int8"], help="types of this program")
    peers = ("float32", "bfloat16", "float16")
    add("--peer_dtypes", nargs="*", choices=peers, default=["float32", "bfloat16"], help="ratios are to the first")
    add("--stages", nargs="+", choices=STAGES, default=STAGES, help="stages")
    add("--rows", nargs="+", type=int, default=[1, 4, 16, 64], help="segments side by side; clips need 1 among them")
    add("--peer_rows", nargs="+", type=int, default=[1], help="the same for transformers; ratios are to the fewest")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where models compute")
    add("--rounds", type=int, default=2, help="how often the cases of the fewest rows are measured, in turns")
    add("--semantic_tokens", type=int, default=64, help="timed; a segment has 339")
    add("--coarse_windows", type=int, default=1, help="timed; a segment has 17")
    add(
        "--patience",
        type=float,
        default=150.0,
        help="seconds that a stage of a case may take, as far as is known before",
    )
    add("--budget", type=float, default=8.0, help="seconds for which a short run is repeated")
    add("--whole", nargs="+", type=int, default=[], metavar="ROWS", help="measure clips of so many segments whole, too")
    add(
        "--whole_dtypes", nargs="+", metavar="DTYPE", help="types of this program in whole clips; left out, all of them"
    )
    add("--prompts", type=int, default=1000, help="of the dry run")
    add("--segments", nargs="+", type=int, default=[1, 4], help="of clips on the command line")
    add(
        "--short_segments",
        nargs="*",
        type=int,
        default=[16],
        help=f"of clips with {_SHORT_S:g} s a segment, --dtype auto",
    )
    add("--lengths", nargs="+", type=int, default=[1, 10, 50, 200], help="segments of the demo model's texts")
    add("--checkpoints", type=Path, metavar="DIR", help="keep the checkpoints (large: 4.4 GB); else they are deleted")
    add("--json", type=Path, metavar="FILE", help="write everything that was found")
    add("--markdown", type=Path, metavar="FILE", help="put the tables between the marks of this file")
    add("--from_json", type=Path, metavar="FILE", help="measure nothing, show what such a file holds")
    return parser


def measure(args: argparse.Namespace, argv: Sequence[str]) -> Results:
    """Everything that was asked for. What is finished when somebody interrupts is kept. Raises WorkerFailed."""
    peer_dtype = (args.peer_dtypes or ["none"])[0]
    results = Results(f"{datetime.date.today()}", _command(argv), _commit(), _machine(args), peer_dtype)
    with tempfile.TemporaryDirectory() as temporary:
        try:
            _measure(args, results, (args.checkpoints or Path(temporary)).resolve())
        except KeyboardInterrupt:
            results.left_out.append("interrupted: what came after is missing")
    return results


def _measure(args: argparse.Namespace, results: Results, checkpoints: Path) -> None:
    folders = {}
    if {"stages", "load", "programs"} & set(args.parts):
        folders = {size: str(_checkpoint(checkpoints, size)) for size in args.sizes}
    if {"stages", "load"} & set(args.parts):
        run_cases(list(plan(args, folders)), results, args.patience)
        if args.rounds > 1:
            results.machine = results.machine.best_of(_machine(args))
    if "load" in args.parts and programs.can_convert():
        _convert(args, folders, results)
    if "programs" in args.parts:
        _run_programs(args, folders, results)
    if "demo" in args.parts:
        say("the demo, also beside busy processes")
        results.programs += programs.demo_sentence(args.rounds)
    if "lengths" in args.parts:
        say("text lengths")
        results.lengths += programs.text_lengths(args.lengths)


def _machine(args: argparse.Namespace) -> Machine:
    say("measuring the machine")
    return find_machine(args.device, (*args.dtypes, *args.peer_dtypes), min(1.0, args.budget))


def _checkpoint(folder: Path, size: str) -> Path:
    """The folder of a random model, written where it is not there yet."""
    path = folder / size
    if not path.is_dir():
        say(f"writing random weights: {size}")
        build_checkpoint(path, size)
    return path


# ---- stages ---------------------------------------------------------------------------------------------------------


def plan(args: argparse.Namespace, folders: Mapping[str, str]) -> Iterator[Case]:
    """Cases in the order of work: in every round those to be compared, in turns; in the first one larger batches too."""
    for turn in range(args.rounds):
        for size in args.sizes:
            for who, dtype, rows in _models(args):
                fewest = rows == min(args.rows if who == OURS else args.peer_rows)
                if not fewest and (turn or "stages" not in args.parts):
                    continue
                yield Case(
                    who,
                    size,
                    folders[size],
                    dtype,
                    args.device,
                    rows,
                    tuple(_stages(args, who, dtype, rows, fewest, turn)),
                    args.semantic_tokens,
                    args.coarse_windows,
                    args.budget,
                )


def _models(args: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Who, type and rows: few rows first, both programs side by side."""
    for rows in sorted({*args.rows, *args.peer_rows}):
        if rows in args.peer_rows:
            yield from ((THEIRS, dtype, rows) for dtype in args.peer_dtypes)
        if rows in args.rows:
            yield from ((OURS, dtype, rows) for dtype in args.dtypes)


def _stages(args: argparse.Namespace, who: str, dtype: str, rows: int, fewest: bool, turn: int) -> Iterator[str]:
    """What is new in a case: the codec, and on a CPU our fine stage, take one segment after the other at any rows."""
    if "stages" not in args.parts:
        return
    for stage in args.stages:
        one_by_one = stage == "codec" or (stage == "fine" and who == OURS and args.device == "cpu")
        if fewest or not one_by_one:
            yield stage
    if rows in args.whole and turn == 0 and (who == THEIRS or dtype in (args.whole_dtypes or args.dtypes)):
        yield WHOLE


def run_cases(cases: Sequence[Case], results: Results, patience_s: float) -> None:
    """Each in a process of its own. A model that is refused once is not asked for again."""
    refused = set()
    for number, case in enumerate(cases, 1):
        if case.model in refused:
            continue
        case = patient(case, results, patience_s)
        say(f"{number} of {len(cases)}: {case}")
        report = run_case(case)
        results.reports.append(report)
        if report.refused:
            say(report.refused)
            refused.add(case.model)


def patient(case: Case, results: Results, patience_s: float) -> Case:
    """The case without batches that would take too long, which the results tell. One row is always measured."""
    floor = Floor(results.machine, SIZES[case.size], case.dtype)
    kept = []
    for stage in case.stages:
        seconds = _SLACK * case.least_seconds(stage, floor)
        if case.rows == 1 or seconds <= patience_s:
            kept.append(stage)
        else:
            results.left_out.append(f"{case}, {stage}: may take {seconds:.0f} s, more than --patience {patience_s:g}")
    return dataclasses.replace(case, stages=tuple(kept))


# ---- programs -------------------------------------------------------------------------------------------------------


def _convert(args: argparse.Namespace, folders: Mapping[str, str], results: Results) -> None:
    """A checkpoint written again in bfloat16: how long that takes, and then loading it."""
    for size, folder in folders.items():
        dtypes = [dtype for dtype in _offered(args, results, size) if dtype != "float32"]
        if not dtypes:
            continue
        say(f"converting: {size}")
        with tempfile.TemporaryDirectory() as temporary:
            converted = str(Path(temporary) / "converted")
            results.programs.append(programs.convert(folder, size, converted, "bfloat16"))
            for dtype in dtypes if not results.programs[-1].failed else ():
                results.converted.append(run_case(Case(OURS, size, converted, dtype, args.device, 1, ())))


def _run_programs(args: argparse.Namespace, folders: Mapping[str, str], results: Results) -> None:
    say("start-up")
    results.programs += programs.start_up(args.prompts, args.rounds)
    size = min(args.sizes, key=lambda name: SIZES[name].width)
    for dtype in _offered(args, results, size):
        for segments in args.segments:
            say(f"command line: {size}, {dtype}, segments: {segments}")
            results.programs.append(programs.spoken(folders[size], size, dtype, args.device, segments))
    for segments in args.short_segments:
        say(f"command line: {size}, auto, segments of {_SHORT_S:g} s: {segments}")
        results.programs.append(programs.spoken(folders[size], size, "auto", args.device, segments, _SHORT_S))


def _offered(args: argparse.Namespace, results: Results, size: str) -> list[str]:
    """The types of this program that no case was refused."""
    refused = {report.case.model for report in results.reports if report.refused}
    return [dtype for dtype in args.dtypes if (OURS, size, dtype) not in refused]


# ---- how it was run -------------------------------------------------------------------------------------------------


def _command(argv: Sequence[str]) -> str:
    """The command line, without where files are kept: that shapes no result."""
    kept, skip = [], False
    for argument in argv:
        if not skip and argument.split("=")[0] not in _PLACES:
            kept.append(argument)
        skip = argument in _PLACES
    return shlex.join(["python", "benchmarks/speed.py", *kept])


def _commit() -> str:
    """Of the checkout, and whether something in it is not committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def say(what: str) -> None:
    """Progress, on stderr: the tables alone are on stdout."""
    print(f"[{datetime.datetime.now():%H:%M:%S}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
