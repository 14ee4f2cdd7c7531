"""Results as tables: on the terminal, and as Markdown between two marks of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .cases import SEGMENT_SECONDS, STAGES, Report
from .programs import ProgramRun
from .results import FROM_PARTS, MEASURED, Measurement, Results, merged

_NONE = "-"


@dataclass(frozen=True)
class Table:
    """Plain text, ready to be shown. The first `words` columns are words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    words: int = 1


def tables(results: Results) -> list[Table]:
    """All of a run, the ratios first."""
    measured = results.measurements()
    sizes = list(dict.fromkeys(m.size for m in measured))
    made = [_machine(results)]
    for size in sizes:
        made += [_ratios(results, measured, size), _details(results, measured, size)]
    made += [_loading(results), _programs(results.programs), _lengths(results.lengths)]
    made.append(Table("Left out", ("what and why",), [(line,) for line in _left_out(results)]))
    return [table for table in made if table.rows]


def show(results: Results) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(width=None if Console().is_terminal else 140)
    console.print(Text(_caption(results)))
    for table in tables(results):
        shown = RichTable(title=Text(table.title), title_justify="left", box=box.SIMPLE_HEAD)
        for i, column in enumerate(table.columns):
            words = i < table.words
            shown.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=not words)
        for row in table.rows:
            shown.add_row(*map(Text, row))
        console.print(shown)


def write_markdown(results: Results, path: Path) -> None:
    """Put the tables between the marks of their device in `path`, or at its end."""
    start, end = (f"<!-- {mark} of results on {results.machine.device} -->" for mark in ("start", "end"))
    block = f"{start}\n{markdown(results)}\n{end}"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    between = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    text, replaced = between.subn(lambda _: block, text, count=1)
    path.write_text(text if replaced else f"{text.rstrip()}\n\n{block}\n".lstrip(), encoding="utf-8")


def markdown(results: Results) -> str:
    parts = [_caption(results)]
    for table in tables(results):
        lines = [f"### {table.title}\n", _line(table.columns)]
        lines.append(_line(["---" if i < table.words else "---:" for i in range(len(table.columns))]))
        parts.append("\n".join(lines + [_line(row) for row in table.rows]))
    return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _caption(results: Results) -> str:
    return f"{results.when}, commit {results.commit}: `{results.command}`"


# ---- the tables -----------------------------------------------------------------------------------------------------


def _machine(results: Results) -> Table:
    machine = results.machine
    rates = ", ".join(
        f"{dtype} {_NONE if rate is None else f'{rate / 1e9:,.0f}'}" for dtype, rate in machine.rates.items()
    )
    measured = {"memory read, GB/s": f"{machine.bandwidth / 1e9:,.1f}", "products, GFLOP/s": rates}
    return Table("Machine", ("what", "here"), list((dict(machine.facts) | measured).items()), words=2)


def _ratios(results: Results, measured: Sequence[Measurement], size: str) -> Table:
    """A line a case: how many times as fast as transformers, one at a time, in its first type."""
    baseline = results.baseline(measured, size)
    peaks = {(*report.case.model, report.case.rows): report.peak_bytes for report in merged(results.reports)}
    lines: dict[tuple[str, str, int], dict[str, Measurement]] = {}
    for m in measured:
        if m.size == size:
            lines.setdefault((m.who, m.dtype, m.rows), {})[m.stage] = m
    rows = []
    for (who, dtype, side_by_side), found in lines.items():
        clip = found.get(MEASURED) or found.get(FROM_PARTS)
        ratios = (_times(m and m.times_as_fast(baseline)) for m in (*map(found.get, STAGES), clip))
        peak = peaks.get((who, size, dtype, side_by_side))
        rows.append((who, dtype, str(side_by_side), *ratios, _times(clip and clip.realtime), _size(peak)))
    title = f"{size.capitalize()} model: times as fast as transformers in {results.peer_dtype}, one segment at a time"
    return Table(title, ("what", "type", "rows", *STAGES, "clip", "real time", "peak memory"), rows, words=2)


_DETAILS: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    ("what", lambda m: m.who),
    ("type", lambda m: m.dtype),
    ("stage", lambda m: m.stage),
    ("rows", lambda m: str(m.rows)),
    ("prefill s", lambda m: _number(m.prefill_s)),
    ("floor", lambda m: _times(m.prefill_s, m.prefill_floor_s)),
    ("step ms", lambda m: _number(m.step_s and m.step_s * 1000)),
    ("floor", lambda m: _times(m.step_s, m.step_floor_s)),
    ("seconds", lambda m: _number(m.seconds)),
    ("floor", lambda m: _times(m.seconds, m.floor_s)),
    ("tokens/s", lambda m: _number(m.tokens_per_s)),
    ("real time", lambda m: _times(m.realtime)),
)


def _details(results: Results, measured: Sequence[Measurement], size: str) -> Table:
    """A line a stage. Every `floor` says how many times its least possible seconds the column before it is."""
    baseline = results.baseline(measured, size)
    rows = [(*(cell(m) for _, cell in _DETAILS), _times(m.times_as_fast(baseline))) for m in measured if m.size == size]
    title = f"{size.capitalize()} model: segments of {SEGMENT_SECONDS:.1f} s with a voice, as many side by side as rows"
    return Table(title, (*(name for name, _ in _DETAILS), "as fast"), rows, words=3)


def _loading(results: Results) -> Table:
    """Once for each model and type: how many rows it is to make is nothing to its loading."""
    reports: dict[str, Report] = {}
    for report in merged(results.reports):
        reports.setdefault(_model(report), report)
    reports |= {f"{_model(r)}, from converted files": r for r in results.converted}
    rows = [
        (what, *map(_number, (r.import_s, r.load_s, r.codec_s)), _size(r.loaded_bytes))
        for what, r in reports.items()
        if r.load_s is not None
    ]
    columns = ("what", "import s", "three stages s", "then the codec s", "memory")
    return Table("Loading from a folder whose files are in memory", columns, rows)


def _programs(runs: Sequence[ProgramRun]) -> Table:
    """A whole process each, start-up included."""
    rows = [
        (
            run.what,
            _number(run.seconds),
            _number(run.sound_s or None),
            _times(run.sound_s or None, run.seconds),
            _size(run.peak_bytes),
        )
        for run in runs
        if not run.failed
    ]
    return Table("Command line, start-up included", ("what", "seconds", "sound s", "real time", "memory"), rows)


def _lengths(runs: Sequence[ProgramRun]) -> Table:
    rows, before = [], None
    for run in (run for run in runs if not run.failed):
        more = before and (run.seconds - before.seconds) / (run.segments - before.segments)
        rows.append(
            (str(run.segments), _number(run.seconds), _number(more), _number(run.sound_s), _size(run.peak_bytes))
        )
        before = run
    columns = ("segments", "seconds", "seconds for each more", "sound s", "memory")
    return Table("Time against text length (demo model, a process each)", columns, rows, words=0)


def _left_out(results: Results) -> Iterator[str]:
    """What is missing in the other tables, each once."""
    lines = list(results.left_out)
    for report in results.reports + results.converted:
        if report.refused:
            lines.append(f"{_model(report)}: {report.refused}")
        lines += [f"{report.case}, {stage}: {why}" for stage, why in report.failed.items()]
    lines += [f"{run.what}: {run.failed}" for run in results.programs + results.lengths if run.failed]
    return iter(dict.fromkeys(lines))


# ---- cells ----------------------------------------------------------------------------------------------------------


def _model(report: Report) -> str:
    return ", ".join(report.case.model)


def _number(value: float | None) -> str:
    """Three digits that count, of whatever is not next to nothing."""
    if value is None:
        return _NONE
    return f"{value:,.0f}" if value >= 100 or value < 0.0005 else f"{value:.3g}"


def _times(value: float | None, unit: float | None = 1.0) -> str:
    return _NONE if value is None or not unit else f"{value / unit:.3g}x"


def _size(n_bytes: float | None) -> str:
    return _NONE if n_bytes is None else f"{n_bytes / 2**30:.2f} GiB"
