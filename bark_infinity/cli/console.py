"""What people see in the terminal: progress, warnings and tables, on stderr; stdout is for result paths alone."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from .. import constants as c
from ..options.table import Options

if TYPE_CHECKING:  # nothing here waits for NumPy or torch
    from ..run.checks import Try
    from ..run.clips import SegmentRecord
    from ..run.planning import ClipPlan
    from ..run.scheduler import RunProgress
    from ..voices.voice import FoundVoice


class _Share(NamedTuple):
    """The part of a segment's time that a stage takes, and that those before it take."""

    before: float
    own: float


# Large model, two CPU cores. Only the smoothness of the bar depends on it.
_STAGE_SHARES = {"semantic": _Share(0.0, 0.3), "coarse": _Share(0.3, 0.5), "fine": _Share(0.8, 0.2)}


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
    logging.getLogger(__package__).setLevel(level)


def warn(console: Console, message: str) -> None:
    """One warning, whatever brackets it holds."""
    _say(console, Text.assemble(("warning: ", "yellow"), _in_a_line(message)))


def report_error(console: Console, message: str) -> None:
    """One sentence that says what is wrong."""
    _say(console, Text.assemble(("error: ", "bold red"), _in_a_line(message)))


def _in_a_line(message: str) -> str:
    """A message without line breaks, its middle left out where it quotes somebody at great length."""
    message = message.translate(_LINE_ENDS)
    half = _LONGEST_MESSAGE // 2
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:half]} ... {message[-half:]}"


def _say(console: Console, text: Text) -> None:
    """Wrapped between words for a person, on one line for a program."""
    console.print(text, soft_wrap=not console.is_terminal)


def say(console: Console, message: str) -> None:
    """One sentence of news, whatever brackets it holds."""
    _say(console, Text(message))


def say_loading(console: Console, model: str) -> None:
    """Tell a person why nothing moves yet."""
    if console.is_terminal:
        _say(console, Text(f"loading the model {model}", style="dim"))


def print_result(path: Path) -> None:
    """A result's path on stdout, at once, for whoever reads a pipe."""
    text = str(path)
    print(text.translate(_STEERING | _LINE_ENDS) if sys.stdout.isatty() else text, flush=True)


def clock(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


class RunDisplay:
    """A bar over all segments of a run, with the stage at work, its speed and the time left. For a `with` block.

    It starts when the model is there: until then the hub's own bars show downloads.
    """

    def __init__(self, console: Console, segments: int, silent: bool = False):
        self._segments = segments
        self._start = time.monotonic()
        self._stage, self._stage_start = "", self._start
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[segments]}"),
            BarColumn(None),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else rich would send result paths to stderr
            disable=silent or not console.is_terminal,
            refresh_per_second=8,
        )
        self._task = self._bar.add_task("", total=segments, segments=f"0/{count(segments, 'segment')}", status="")

    def __enter__(self) -> RunDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def update(self, run: RunProgress) -> None:
        """Show what the run is doing."""
        now = time.monotonic()
        if run.stage != self._stage:
            self._stage, self._stage_start = run.stage, now
        share = _STAGE_SHARES[run.stage]
        of_pass = share.before + share.own * run.tokens / max(1, run.tokens_total)
        completed = run.segments_done - run.rows_done + run.rows * of_pass
        made = completed - run.segments_recalled
        left = (now - self._start) * (self._segments - completed) / made if made > 0 else 0.0
        speed = run.tokens / max(now - self._stage_start, 1e-3)
        self._bar.update(
            self._task,
            completed=completed,
            segments=f"{run.segments_done}/{count(self._segments, 'segment')}",
            status=f"{run.stage} {speed:,.0f} tokens/s, {clock(left)} left",
        )


class FaultReport:
    """Warnings of faulty segments: of the first `most` one each, of all together one at the end."""

    def __init__(self, console: Console, most: int, retried: bool):
        self._console, self._most, self._retried = console, most, retried
        self._checked = self._faulty = 0

    def add(self, where: str, tries: Sequence[Try]) -> None:
        """Tell what was wrong with a segment, if anything was."""
        from ..run.checks import told

        self._checked += 1
        if (what := told(tries)) is not None:
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


_MOST_TEXTS = 20  # clips whose texts a dry run shows
_MOST_ROWS = 100  # clips of the closing table


# ---- tables ---------------------------------------------------------------------------------------------------------


def show_plan(console: Console, clips: Sequence[ClipPlan], options: Options) -> None:
    """The table of --dry_run."""
    table = Table(title="dry run: nothing is loaded or written", title_justify="left")
    table.add_column("clip", justify="right")
    table.add_column("file", overflow="fold")
    for column in ("segments", "about", "seed"):
        table.add_column(column, justify="right", no_wrap=True)
    seeded = options.seed is not None or options.single_starting_seed is not None
    for number, clip in enumerate(clips, 1):
        file = escape(str(Path(options.output_dir, f"{clip.stem}.{options.output_format}")))
        seed = str(clip.seed) if seeded else "drawn"
        table.add_row(str(number), file, str(len(clip.segments)), clock(clip.seconds(options)), seed)
    console.print(table)
    if len(clips) <= _MOST_TEXTS:
        show_splits(console, clips)
    else:
        console.print("--text_splits_only shows the texts of all segments")
    total = clock(sum(clip.seconds(options) for clip in clips))
    segments = count(sum(len(clip.segments) for clip in clips), "segment")
    console.print(f"{count(len(clips), 'clip')}, {segments}, about {total} of sound")


def show_splits(console: Console, clips: Sequence[ClipPlan]) -> None:
    """Every segment's text, numbered; a take that is split like the one before is not shown again."""
    before: ClipPlan | None = None
    for number, clip in enumerate(clips, 1):
        same = before is not None and [s.text for s in clip.segments] == [s.text for s in before.segments]
        if same and clip.take:
            continue
        before = clip
        console.print(Text(f"clip {number}", style="bold"))
        lines = Table.grid(padding=(0, 1))
        lines.add_column(justify="right", style="cyan", min_width=4)
        lines.add_column(overflow="fold")
        for k, segment in enumerate(clip.segments, 1):
            lines.add_row(str(k), Text(segment.text) if segment.text else Text("goes on without words", style="italic"))
        console.print(lines)


def show_voices(console: Console, voices: Sequence[FoundVoice]) -> None:
    """The table of --list_speakers."""
    from ..voices.voice import HUB_PRESETS

    if voices:
        table = Table(title="voices on this machine", title_justify="left")
        for column in ("language", "name", "path"):
            table.add_column(column, overflow="fold")
        table.add_column("seconds", justify="right", no_wrap=True)
        for voice in voices:
            length = "no voice" if voice.seconds is None else f"{voice.seconds:.1f}"
            table.add_row(c.LANGUAGES.get(voice.language, ""), escape(voice.name), escape(str(voice.path)), length)
        console.print(table)
    else:
        console.print("no voices on this machine yet; every clip saves its own as an .npz file")
    console.print(
        f"and {len(HUB_PRESETS)} presets, downloaded when first used: announcer, v2/LANG_speaker_0 to 9 and "
        f"LANG_speaker_0 to 9, where LANG is one of {', '.join(c.LANGUAGES)}"
    )


def print_for_pipes(lines: Iterable[str]) -> None:
    """What was asked for, a line each on stdout, where a program and no person reads it."""
    if not sys.stdout.isatty():
        for line in lines:
            print(line)


def count(n: int, what: str) -> str:
    """1 clip, 2 clips."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


@dataclass(frozen=True)
class MadeClip:
    """A finished clip: its place in the run, its file, seconds of sound, seconds of work, seed."""

    place: tuple[int, int]  # prompt and take
    path: Path
    seconds: float
    seconds_taken: float
    seed: int


def show_made(console: Console, clip: MadeClip) -> None:
    """One line for a finished clip."""
    speed = f" ({times(clip.seconds, clip.seconds_taken)} real time)" if clip.seconds_taken else ""
    path = "" if sys.stdout.isatty() else f"{clip.path}  "  # whoever sees stdout too has just read it
    details = f"{clip.seconds:.1f} s of sound in {clip.seconds_taken:.1f} s{speed}, seed {clip.seed}"
    _say(console, Text.assemble(("made ", "green"), path, details))


def times(seconds: float, taken: float) -> str:
    """How fast against real time: 0.42x, 12x."""
    ratio = seconds / taken if taken else 0.0
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def show_closing(console: Console, clips: Sequence[MadeClip], failed: int, seconds_taken: float) -> None:
    """The table at the end of a run of several clips; `seconds_taken` is all that the user waited."""
    where = f" in {clips[0].path.parent}" if clips else ""
    title = escape(f"{count(len(clips), 'clip')} made{where}") + (f", {failed} failed" if failed else "")
    table = Table(title=title, title_justify="left", show_footer=True)
    shown = sorted(clips, key=lambda clip: clip.place)[-_MOST_ROWS:]
    hidden = len(clips) - len(shown)
    table.add_column("file", footer=f"all, with {hidden} shown above" if hidden else "all", overflow="fold")
    sound = sum(clip.seconds for clip in clips)
    footers = {"sound": f"{sound:.1f} s", "taken": f"{seconds_taken:.1f} s", "speed": times(sound, seconds_taken)}
    for name, footer in footers.items():
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    table.add_column("seed", justify="right", no_wrap=True)
    for clip in shown:
        speed = times(clip.seconds, clip.seconds_taken)
        row = (f"{clip.seconds:.1f} s", f"{clip.seconds_taken:.1f} s", speed, str(clip.seed))
        table.add_row(escape(clip.path.name), *row)
    console.print(table)


def show_times(console: Console, segments: Sequence[SegmentRecord]) -> None:
    """For --show_generation_times: seconds of each stage for each segment of a clip."""
    stages = list(segments[0].seconds_taken)
    if len(segments) == 1:
        taken = segments[0].seconds_taken
        _say(console, Text(", ".join(f"{stage} {taken[stage]:.2f} s" for stage in stages)))
        return
    table = Table(title="seconds taken", title_justify="left", show_footer=True)
    totals = [sum(made.seconds_taken[stage] for made in segments) for stage in stages]
    spoken = sum(made.seconds for made in segments)
    footers = [f"{total:.2f}" for total in totals] + [f"{spoken:.2f} s", times(spoken, sum(totals))]
    table.add_column("segment", footer="all", justify="right")
    for name, footer in zip([*stages, "sound", "speed"], footers, strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for number, made in enumerate(segments, 1):
        cells = [f"{made.seconds_taken[stage]:.2f}" for stage in stages]
        speed = times(made.seconds, sum(made.seconds_taken.values()))
        table.add_row(str(number), *cells, f"{made.seconds:.2f} s", speed)
    console.print(table)
