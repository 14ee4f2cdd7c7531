"""Output for people, on stderr: progress, warnings and messages. Stdout has only the paths of results."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.segment import Segment
from rich.text import Text

from ..reports.tables import count
from .streams import UnwritableOutput

if TYPE_CHECKING:  # nothing here waits for NumPy or torch
    from ..run.clips import MasteringProgress, SegmentRecord
    from ..run.engine import FleetProgress
    from ..run.scheduler import RunProgress
    from ..run.takes import TakeRules


class _Share(NamedTuple):
    """Shares (0..1) of a segment's time: `own` of this stage, `before` of the stages before it."""

    before: float
    own: float


# Measured with the large model on two CPU cores; they only affect how evenly the bar moves.
_STAGE_SHARES = {"semantic": _Share(0.0, 0.3), "coarse": _Share(0.3, 0.5), "fine": _Share(0.8, 0.2)}

_LEAST_SECONDS = 0.5  # of a stage, before its speed is shown


_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LINE_ENDS = dict.fromkeys(map(ord, "\n\x85\u2028\u2029"), " ")
_CONTROLS = {  # C0 and C1 controls except the line feed, and controls of the writing direction
    code: _REPLACEMENT
    for code in (
        *range(0x0A),
        *range(0x0B, 0x20),
        *range(0x7F, 0xA0),
        0x061C,
        *range(0x200E, 0x2010),
        *range(0x2028, 0x202F),
        *range(0x2066, 0x206A),
    )
}
_LONGEST_MESSAGE = 8_000  # characters: room for two of the longest paths


class _SafeConsole(Console):
    """A console that replaces control characters, so that shown texts cannot control the terminal or reorder its text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(_CONTROLS), segment.style)


def make_console() -> Console:
    return _SafeConsole(stderr=True, highlight=False, soft_wrap=False)


def start_logging(console: Console, level: str) -> None:
    """Send the program's log to the console, from `level` on. DEBUG includes the tracebacks of reported errors."""
    handler = RichHandler(console=console, show_path=False, rich_tracebacks=True)
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    logging.getLogger("bark_infinity").setLevel(level)
    logging.getLogger("pypdf").setLevel("ERROR")  # its warnings are about faults of a PDF that the reader gets over


def warn(console: Console, message: str) -> None:
    """Print a one-line warning; brackets in it are not markup."""
    print_text(console, Text.assemble(("warning: ", "yellow"), _in_a_line(message)))


def report_error(console: Console, message: str) -> None:
    """Print a one-line error message; brackets in it are not markup."""
    print_text(console, Text.assemble(("error: ", "bold red"), _in_a_line(message)))


def _in_a_line(message: str) -> str:
    """A message without line breaks; the middle of a very long one is left out."""
    message = message.translate(_LINE_ENDS)
    half = _LONGEST_MESSAGE // 2
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:half]} ... {message[-half:]}"


def print_text(console: Console, text: Text) -> None:
    """Print a text: wrapped between words in a terminal, on one line in a pipe."""
    console.print(text, soft_wrap=not console.is_terminal)


def say(console: Console, message: str) -> None:
    """Print a message; brackets in it are not markup."""
    print_text(console, Text(message))


def say_loading(console: Console, model: str) -> None:
    """In a terminal, print that the model is being loaded."""
    if console.is_terminal:
        print_text(console, Text(f"loading the model {model}", style="dim"))


def print_result(path: Path) -> None:
    """Print a result's path on stdout and flush it, for programs that read a pipe.

    A closed or full stdout does not end the run: it is replaced by an `UnwritableOutput` that counts the lost paths.
    """
    text = str(path)
    try:
        print(text.translate(_CONTROLS | _LINE_ENDS) if sys.stdout.isatty() else text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        if not isinstance(sys.stdout, UnwritableOutput):
            sys.stdout = UnwritableOutput(error)
        sys.stdout.lost += 1


def clock(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


class RunDisplay:
    """Two bars: of all segments of a run with the time left, and of the stage at work. For a `with` block.

    The bars start when the model is there: until then the hub's own bars show downloads.
    """

    def __init__(self, console: Console, segments: int, silent: bool = False):
        self._segments = segments
        self._start = time.monotonic()
        self._stage, self._stage_start, self._first_tokens = "", self._start, 0
        self._completed = 0.0  # segments, including fractions of those in progress
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[name]}"),
            BarColumn(None),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else rich would send result paths to stderr
            disable=silent or not console.is_terminal,
            refresh_per_second=8,
        )
        self._run = self._bar.add_task("", total=segments, name=self._done(0), status="starting")
        self._pass = self._bar.add_task("", name="", status="", visible=False)

    def __enter__(self) -> RunDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, run: RunProgress) -> None:
        """Show the progress of the run."""
        now = time.monotonic()
        if run.mastering is not None:
            self._update_mastering(run, run.mastering)
            return
        if run.fleet is not None:
            self._update_fleet(run, run.fleet, now)
            return
        if run.stage != self._stage or run.tokens < self._first_tokens:
            self._stage, self._stage_start, self._first_tokens = run.stage, now, run.tokens
        segments = run.rows if run.segments is None else run.segments
        share = _STAGE_SHARES[run.stage]
        done_of_pass = share.before + share.own * run.tokens / max(1, run.tokens_total)
        completed = run.segments_done - run.rows_done + segments * done_of_pass
        self._completed = max(self._completed, completed)  # retried segments do not move the bar back
        generated = self._completed - run.segments_recalled
        left = (now - self._start) * (self._segments - self._completed) / max(generated, 1e-9)
        # The length of the first segments is not known before their semantic stage is over.
        is_known = run.stage != "semantic" or run.segments_done > run.segments_recalled
        status = f"{clock(left)} left" if is_known else ""
        self._bar.update(self._run, completed=self._completed, name=self._done(run.segments_done), status=status)
        at_most = "at most " if run.stage == "semantic" else ""  # the model decides when a segment ends
        self._bar.update(
            self._pass,
            completed=run.tokens,
            total=max(1, run.tokens_total),
            name=f"{run.stage}, {count(run.rows, _unit(run))}",
            status=f"{run.tokens:,} of {at_most}{run.tokens_total:,} tokens{self._speed(run.tokens, now)}",
            visible=True,
        )

    def _update_mastering(self, run: RunProgress, mastering: MasteringProgress) -> None:
        """Show how far the loudness of a clip is set whose segments are finished."""
        self._stage = ""  # the speed of the stage that comes next is counted anew
        self._bar.update(self._run, name=self._done(run.segments_done), status="")
        self._bar.update(
            self._pass,
            completed=mastering.share,
            total=1.0,
            name="setting the loudness",
            status=f"pass {mastering.number}, {mastering.share:.0%}",
            visible=True,
        )

    def _update_fleet(self, run: RunProgress, fleet: FleetProgress, now: float) -> None:
        """Show the progress of a run whose segments are generated by workers."""
        unit = _unit(run)
        generated, open_segments = run.segments_done - run.segments_recalled, self._segments - run.segments_done
        status = f"{clock((now - self._start) * open_segments / generated)} left" if generated else ""
        self._bar.update(self._run, completed=run.segments_done, name=self._done(run.segments_done), status=status)
        self._bar.update(
            self._pass,
            completed=fleet.busy,
            total=max(1, fleet.workers),
            name=f"{fleet.busy} of {count(fleet.workers, 'worker')} busy",
            status=f"{fleet.running:,} {unit}s at work, {fleet.queued:,} queued, {fleet.segments_per_s:.2f} {unit}s/s",
            visible=True,
        )

    def _done(self, segments: int) -> str:
        return f"{segments}/{count(self._segments, 'segment')}"

    def _speed(self, tokens: int, now: float) -> str:
        """Tokens per second of the stage since its first report; empty in the first moments."""
        seconds = now - self._stage_start
        return f", {(tokens - self._first_tokens) / seconds:,.0f}/s" if seconds >= _LEAST_SECONDS else ""


def _unit(run: RunProgress) -> str:
    """What the engine is generating: takes where it makes several of a segment, or one more."""
    return "segment" if run.segments in (None, run.rows) else "take"


class FaultReport:
    """Prints warnings of faulty segments: one for each of the first `most`, and a summary at the end."""

    def __init__(self, console: Console, most: int, retried: bool, rules: TakeRules):
        """`rules`: which word errors are faults."""
        self._console, self._most, self._retried, self._rules = console, most, retried, rules
        self._checked = self._faulty = 0

    def add(self, where: str, segment: SegmentRecord) -> None:
        """Count a segment, and warn if it has faults. `where`: the start of the warning."""
        from ..run.takes import describe_take

        self._checked += 1
        if (what := describe_take(segment.tries, segment.chosen, self._rules)) is not None:
            self._faulty += 1
            if self._faulty <= self._most:
                warn(self._console, f"{where}: {what}")

    def close(self) -> None:
        """Print the number of faulty segments and what to do about them, unless everything has been said already."""
        if self._faulty > (self._most if self._retried else 0):
            found = (
                f"faults in {self._faulty:,} of {count(self._checked, 'segment')}, which the .json of each clip tells"
            )
            mend = "" if self._retried else "; --check_segments retry makes such segments again"
            warn(self._console, f"{found}{mend}")


def print_for_pipes(lines: Iterable[str]) -> None:
    """Print lines on stdout if it is a pipe or a file; a terminal has the table on stderr already."""
    if not sys.stdout.isatty():
        for line in lines:
            print(line)
