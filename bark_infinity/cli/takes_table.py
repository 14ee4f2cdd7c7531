"""What the terminal shows of the takes of a clip: the table of --show_takes, and what --take puts in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..narration import ClipSource
from ..options.table import Options
from ..output.remaking import describe_chosen_takes, takes_of_kept, with_dependents
from ..reports.tables import count
from .console import say
from .layout import print_table

if TYPE_CHECKING:  # nothing here waits for NumPy or torch
    from ..output.manifest import Manifest
    from ..run.takes import Try
    from ..text.word_errors import WordErrors

_MOST_ROWS = 500  # takes that are shown


def show_takes(console: Console, name: str, segments: Sequence[tuple[Sequence[Try], int]]) -> None:
    """Print the takes of a clip's segments, each with the index of the chosen one."""
    table = Table()
    for column in ("segment", "take"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for column in ("faults", "word errors"):
        table.add_column(column)
    table.add_column("seconds", justify="right", no_wrap=True)
    has_voices = any(known.voice_distance is not None for tries, _ in segments for known in tries)
    if has_voices:
        table.add_column("voice", justify="right", no_wrap=True)
    rows = [(k, take, chosen, tries[take]) for k, (tries, chosen) in enumerate(segments) for take in range(len(tries))]
    for k, take, chosen, known in rows[:_MOST_ROWS]:
        cells = (str(k + 1) if take == 0 else "", str(take + 1), "kept" if take == chosen else "")
        errors = "" if known.word_errors is None else ", ".join(_errors(known.word_errors))
        cut = " (cut)" if known.trim is not None else ""
        seconds = "" if known.seconds is None else f"{known.seconds:.2f}{cut}"
        voice = [] if not has_voices else ["" if known.voice_distance is None else f"{known.voice_distance:.1f}"]
        table.add_row(*cells, Text(known.describe()), errors, seconds, *voice, style=None if take == chosen else "dim")
    print_table(console, f"takes of {name}", table)
    if len(rows) > _MOST_ROWS:
        say(console, f"and {count(len(rows) - _MOST_ROWS, 'more take')}, which the .json of the clip tells")


def show_recorded_takes(console: Console, name: str, manifest: Manifest) -> None:
    """The same for a clip by its manifest."""
    from ..output.clip_tokens import recorded_takes

    takes = [recorded_takes(recorded) for recorded in manifest.content["segments"]]
    show_takes(console, name, [(of.tries, of.chosen) for of in takes])


def say_chosen_takes(console: Console, options: Options, source: ClipSource, kept: Mapping[int, int]) -> None:
    """Print what --take puts in, and which segments went on from other takes and stay. Raises UsageError.

    `kept`: the segments that keep their tokens, and which of the manifest's they are.
    """
    assert options.take is not None and source.manifest is not None
    manifest = source.manifest
    n = len(manifest.segments if source.mended is None else source.mended.plan.segments)
    takes = takes_of_kept(options.take, n, kept)
    has_voice, voices = source.given_voices()
    again = with_dependents(takes, manifest, options, has_voice, voices)
    chosen = {new: takes[old] for new, old in kept.items() if old in takes}
    say(console, describe_chosen_takes(chosen, {new for new, old in kept.items() if old in again}))


def _errors(errors: WordErrors) -> Iterator[str]:
    """Yield the share of wrong words, and how many of which kind."""
    n = errors.wrong + errors.missing + errors.invented
    yield f"{n} of {errors.expected}"
    inside = errors.invented - errors.invented_at_end
    kinds = {"wrong": errors.wrong, "missing": errors.missing, "invented": inside, "at the end": errors.invented_at_end}
    yield from (f"{number} {kind}" for kind, number in kinds.items() if number)
