"""What people see in the terminal: progress, warnings and tables, on stderr; stdout is for result paths alone."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
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
    from ..run.scheduler import RunProgress
    from ..run.takes import Try


class _Share(NamedTuple):
    """The part of a segment's time that a stage takes, and that those before it take."""

    before: float
    own: float


# Large model, two CPU cores. Only the smoothness of the bar depends on it.
_STAGE_SHARES = {"semantic": _Share(0.0, 0.3), "coarse": _Share(0.3, 0.5), "fine": _Share(0.8, 0.2)}

_LEAST_SECONDS = 0.5  # of a stage before its speed is shown


_UNSEEN = "\N{REPLACEMENT CHARACTER}"
_LINE_ENDS = dict.fromkeys(map(ord, "\n\x85\u2028\u2029"), " ")
_STEERING = {  # C0 and C1 controls but for the line feed, and those of the direction of writing
    code: _UNSEEN
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
_LONGEST_MESSAGE = 8_000  # characters: the longest paths twice


class _SafeConsole(Console):
    """A console on which nothing that is shown can steer the terminal or turn the order of what stands there."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(_STEERING), segment.style)


def make_console() -> Console:
    return _SafeConsole(stderr=True, highlight=False, soft_wrap=False)


def start_logging(console: Console, level: str) -> None:
    """Send the program's log, from `level` on, to the console. DEBUG has the tracebacks of reported errors."""
    handler = RichHandler(console=console, show_path=False, rich_tracebacks=True)
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    logging.getLogger("bark_infinity").setLevel(level)


def warn(console: Console, message: str) -> None:
    """One warning, whatever brackets it holds."""
    print_text(console, Text.assemble(("warning: ", "yellow"), _in_a_line(message)))


def report_error(console: Console, message: str) -> None:
    """One sentence that says what is wrong."""
    print_text(console, Text.assemble(("error: ", "bold red"), _in_a_line(message)))


def _in_a_line(message: str) -> str:
    """A message without line breaks, its middle left out where it quotes somebody at great length."""
    message = message.translate(_LINE_ENDS)
    half = _LONGEST_MESSAGE // 2
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:half]} ... {message[-half:]}"


def print_text(console: Console, text: Text) -> None:
    """Wrapped between words for a person, on one line for a program."""
    console.print(text, soft_wrap=not console.is_terminal)


def say(console: Console, message: str) -> None:
    """One sentence of news, whatever brackets it holds."""
    print_text(console, Text(message))


def say_loading(console: Console, model: str) -> None:
    """Tell a person why nothing moves yet."""
    if console.is_terminal:
        print_text(console, Text(f"loading the model {model}", style="dim"))


def print_result(path: Path) -> None:
    """A result's path on stdout, at once, for whoever reads a pipe.

    A stdout that is closed or full ends no run: it is replaced by one that counts what is lost.
    """
    text = str(path)
    try:
        print(text.translate(_STEERING | _LINE_ENDS) if sys.stdout.isatty() else text, flush=True)
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
        self._completed = 0.0  # segments, with the finished part of those in work
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
        """Show what the run is doing."""
        now = time.monotonic()
        if run.stage != self._stage or run.tokens < self._first_tokens:
            self._stage, self._stage_start, self._first_tokens = run.stage, now, run.tokens
        share = _STAGE_SHARES[run.stage]
        of_pass = share.before + share.own * run.tokens / max(1, run.tokens_total)
        completed = run.segments_done - run.rows_done + run.rows * of_pass
        self._completed = max(self._completed, completed)  # segments that are made again do not move it back
        made = self._completed - run.segments_recalled
        left = (now - self._start) * (self._segments - self._completed) / max(made, 1e-9)
        # How long the first segments become is known when their semantic stage is over.
        is_known = run.stage != "semantic" or run.segments_done > run.segments_recalled
        status = f"{clock(left)} left" if is_known else ""
        self._bar.update(self._run, completed=self._completed, name=self._done(run.segments_done), status=status)
        at_most = "at most " if run.stage == "semantic" else ""  # the model decides when a segment ends
        self._bar.update(
            self._pass,
            completed=run.tokens,
            total=max(1, run.tokens_total),
            name=f"{run.stage}, {count(run.rows, 'segment')}",
            status=f"{run.tokens:,} of {at_most}{run.tokens_total:,} tokens{self._speed(run.tokens, now)}",
            visible=True,
        )

    def _done(self, segments: int) -> str:
        return f"{segments}/{count(self._segments, 'segment')}"

    def _speed(self, tokens: int, now: float) -> str:
        """Of the stage since its first report, which comes with the first tokens."""
        seconds = now - self._stage_start
        return f", {(tokens - self._first_tokens) / seconds:,.0f}/s" if seconds >= _LEAST_SECONDS else ""


class FaultReport:
    """Warnings of faulty segments: of the first `most` one each, of all together one at the end."""

    def __init__(self, console: Console, most: int, retried: bool):
        self._console, self._most, self._retried = console, most, retried
        self._checked = self._faulty = 0

    def add(self, where: str, tries: Sequence[Try]) -> None:
        """Tell what was wrong with a segment, if anything was."""
        from ..run.takes import describe_faults

        self._checked += 1
        if (what := describe_faults(tries)) is not None:
            self._faulty += 1
            if self._faulty <= self._most:
                warn(self._console, f"{where}: {what}")

    def close(self) -> None:
        """Tell how many there were, where that is news, and what to do about them."""
        if self._faulty > (self._most if self._retried else 0):
            found = (
                f"faults in {self._faulty:,} of {count(self._checked, 'segment')}, which the .json of each clip tells"
            )
            mend = "" if self._retried else "; --check_segments retry makes such segments again"
            warn(self._console, f"{found}{mend}")


def print_for_pipes(lines: Iterable[str]) -> None:
    """What was asked for, a line each on stdout, where a program and no person reads it."""
    if not sys.stdout.isatty():
        for line in lines:
            print(line)
