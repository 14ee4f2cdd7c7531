"""Tables for the terminal: the plan of a dry run, voices, finished clips and seconds taken."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .. import constants as c
from ..options.table import Options

if TYPE_CHECKING:  # nothing here waits for NumPy or torch
    from ..run.clips import SegmentRecord
    from ..run.planning import ClipPlan
    from ..voices.library import FoundVoice
from ..reports.tables import count
from ..run.lateness import lateness_of
from ..run.naming import audio_suffix
from .console import clock, print_text, say
from .layout import Shortened, print_table

_MOST_TEXTS = 20  # clips whose texts a dry run shows


_MOST_ROWS = 100  # clips of the closing table
_LEAST_REST = 0.1  # seconds outside of clips from which the closing table has a row for them


def show_plan(
    console: Console, clips: Sequence[ClipPlan], options: Options, marks: Sequence[str] | None = None
) -> None:
    """Print the table of --dry_run. `marks`: for one clip that is made again, a word about each segment (new, kept)."""
    table = Table()
    table.add_column("clip", justify="right", no_wrap=True)
    table.add_column("file")
    for column in ("segments", "about", "seed"):
        table.add_column(column, justify="right", no_wrap=True)
    seeds = (
        options.seed,
        options.single_starting_seed,
        options.from_manifest,
    )  # each of these fixes the seeds of the clips
    seeded = any(given is not None for given in seeds)
    for number, clip in enumerate(clips, 1):
        file = Shortened(clip.stem + audio_suffix(options))
        seed = str(clip.seed) if seeded else "drawn"
        table.add_row(str(number), file, str(len(clip.segments)), clock(clip.seconds(options)), seed)
    folder = "" if str(Path(options.output_dir)) == "." else f" in {Path(options.output_dir)}"
    print_table(console, f"dry run: nothing is loaded or written; the files would be these{folder}", table)
    if len(clips) <= _MOST_TEXTS:
        show_splits(console, clips, marks)
    else:
        console.print("--text_splits_only shows the texts of all segments")
    for clip in clips:
        if (late := lateness_of(clip, dict(enumerate(clip.starts(options))))) is not None:
            say(console, f"by estimate, {late.describe()}")
    total = clock(sum(clip.seconds(options) for clip in clips))
    segments = count(sum(len(clip.segments) for clip in clips), "segment")
    console.print(f"{count(len(clips), 'clip')}, {segments}, about {total} of sound")


def show_splits(console: Console, clips: Sequence[ClipPlan], marks: Sequence[str] | None = None) -> None:
    """Print the text of every segment, numbered. A take that is split like the one before is not shown again.

    `marks`: for a single clip, a word or two about each segment.
    """
    previous: ClipPlan | None = None
    for number, clip in enumerate(clips, 1):
        same = previous is not None and [s.text for s in clip.segments] == [s.text for s in previous.segments]
        if same and clip.take:
            continue
        previous = clip
        console.print(Text(f"clip {number}", style="bold"))
        lines = Table.grid(padding=(0, 1))
        lines.add_column(justify="right", style="cyan", min_width=4)
        if marks is not None:
            lines.add_column(no_wrap=True)
        is_timed = any(segment.start_at is not None for segment in clip.segments)
        if is_timed:
            lines.add_column(justify="right", no_wrap=True)
        has_speakers = any(segment.speaker is not None for segment in clip.segments)
        if has_speakers:
            lines.add_column(style="cyan", no_wrap=True)
        lines.add_column(overflow="fold")
        for k, segment in enumerate(clip.segments, 1):
            text = Text(segment.text) if segment.text else Text("goes on without words", style="italic")
            speaker = [Shortened(segment.speaker or "narrator")] if has_speakers else []
            mark = [] if marks is None else [marks[k - 1]]
            time = [] if not is_timed else ["" if segment.start_at is None else _time(segment.start_at)]
            lines.add_row(str(k), *mark, *time, *speaker, text)
        console.print(lines)


def _time(seconds: float) -> str:
    """A time of a clip, to the millisecond."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def show_voices(console: Console, voices: Sequence[FoundVoice]) -> None:
    """Print the tables of --list_speakers, one per folder."""
    from ..voices.library import HUB_PRESETS

    by_folder: dict[str, list[FoundVoice]] = {}
    for voice in voices:
        by_folder.setdefault(_folder_shown(voice), []).append(voice)
    for folder, own in by_folder.items():
        table = Table()
        table.add_column("language", no_wrap=True)
        table.add_column("name", overflow="fold")  # not shortened, because users copy it
        table.add_column("for model", overflow="fold")
        table.add_column("seconds", justify="right", no_wrap=True)
        for voice in own:
            length = (
                f"{voice.seconds:.1f}" if voice.seconds is not None else "no voice" if voice.cloned else "to be cloned"
            )
            table.add_row(c.LANGUAGES.get(voice.language, ""), escape(voice.name), escape(voice.models), length)
        print_table(console, f"voices {folder}", table)
    console.print(
        f"and {len(HUB_PRESETS)} presets, downloaded when first used: announcer, v2/LANG_speaker_0 to 9 and "
        f"LANG_speaker_0 to 9, where LANG is one of {', '.join(c.LANGUAGES)}; they suit the models large and small"
    )


def _folder_shown(voice: FoundVoice) -> str:
    """The title of a voice's table: the folder to which its name is relative."""
    from ..voices.library import DEMO_VOICES

    folder = voice.path.parents[len(Path(voice.name).parts) - 1]
    return "built in" if folder == DEMO_VOICES else f"in {folder}"


@dataclass(frozen=True)
class ClipRow:
    """What tables show of a finished clip."""

    place: tuple[int, int]  # prompt and take
    path: Path
    seconds: float  # of sound
    seconds_taken: float  # of the run
    seed: int
    audio_sha256: str


def times(seconds: float, taken: float) -> str:
    """Speed relative to real time: 0.42x, 12x."""
    ratio = seconds / taken if taken else 0.0
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def show_closing(console: Console, clips: Sequence[ClipRow], failed: int, seconds_taken: float) -> None:
    """Print the table at the end of a run of several clips. `seconds_taken`: of the whole run."""
    where = f" in {clips[0].path.parent}" if clips else ""
    title = f"{count(len(clips), 'clip')} made{where}" + (f", {failed} failed" if failed else "")
    table = Table(show_footer=True)
    shown = sorted(clips, key=lambda clip: clip.place)[-_MOST_ROWS:]
    hidden = len(clips) - len(shown)
    table.add_column("file", footer=f"all, with {hidden} shown above" if hidden else "all")
    sound = sum(clip.seconds for clip in clips)
    footers = {"sound": f"{sound:.1f} s", "taken": f"{seconds_taken:.1f} s", "speed": times(sound, seconds_taken)}
    for name, footer in footers.items():
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    table.add_column("seed", justify="right", no_wrap=True)
    for clip in shown:
        speed = times(clip.seconds, clip.seconds_taken)
        row = (f"{clip.seconds:.1f} s", f"{clip.seconds_taken:.1f} s", speed, str(clip.seed))
        table.add_row(Shortened(clip.path.name), *row)
    rest = seconds_taken - sum(
        clip.seconds_taken for clip in clips
    )  # not spent on a clip; shown so that the column adds up
    if rest >= _LEAST_REST:
        table.add_row("loading, saving" + (", what failed" if failed else ""), "", f"{rest:.1f} s", "", "")
    print_table(console, title, table)


def show_times(console: Console, segments: Sequence[SegmentRecord]) -> None:
    """Print the seconds of each stage for each segment of a clip (--show_generation_times)."""
    stages = list(segments[0].seconds_taken)
    if len(segments) == 1:
        taken = segments[0].seconds_taken
        print_text(console, Text(", ".join(f"{stage} {taken[stage]:.2f} s" for stage in stages)))
        return
    table = Table(show_footer=True)
    totals = [sum(segment.seconds_taken[stage] for segment in segments) for stage in stages]
    spoken = sum(segment.seconds for segment in segments)
    footers = [f"{total:.2f}" for total in totals] + [f"{spoken:.2f} s", times(spoken, sum(totals))]
    table.add_column("segment", footer="all", justify="right")
    for name, footer in zip([*stages, "sound", "speed"], footers, strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for number, segment in enumerate(segments, 1):
        cells = [f"{segment.seconds_taken[stage]:.2f}" for stage in stages]
        speed = times(segment.seconds, sum(segment.seconds_taken.values()))
        label = f"{number} (kept)" if segment.recalled else str(number)
        table.add_row(label, *cells, f"{segment.seconds:.2f} s", speed)
    print_table(console, "seconds taken", table)


def show_clip(console: Console, clip: ClipRow) -> None:
    """Print one line about a finished clip."""
    speed = f" ({times(clip.seconds, clip.seconds_taken)} real time)" if clip.seconds_taken else ""
    path = "" if sys.stdout.isatty() else f"{clip.path}  "  # in a terminal, stdout has just shown it
    details = f"{clip.seconds:.1f} s of sound in {clip.seconds_taken:.1f} s{speed}, seed {clip.seed}"
    print_text(console, Text.assemble(("made ", "green"), path, details))
