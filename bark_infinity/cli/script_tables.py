"""What a dry run shows of a script, and how a clip is mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..reports.tables import count
from ..text.events import Place
from .console import clock, print_text, say, warn
from .layout import Shortened, print_table

if TYPE_CHECKING:  # nothing here waits for NumPy
    from ..narration import ClipSource
    from ..output.mending import Mended
    from ..run.pauses import Pause
    from ..run.planning import ClipPlan

_NARRATOR = "narrator"
_MOST_SHOWN = 10  # names, elements or entries in a line
_MOST_LINES = 20  # of a mended text


def show_script(console: Console, source: ClipSource, plans: Sequence[ClipPlan], missing: Collection[str]) -> None:
    """Print the cast, the silences, and what a script says to no effect. `missing`: speakers without a usable voice."""
    if source.voices:
        _show_cast(console, source, plans, missing)
    gaps = [gap for plan in plans for gap in _gaps(plan)]
    if source.script is None or not (source.voices or any(gap.kind == "asked" or gap.sounds for gap in gaps)):
        _show_notes(console, source)
        return
    say(console, f"silences: {', '.join(_silences(gaps)) or 'none'}")
    _show_notes(console, source)


def show_mended(console: Console, mended: Mended, kept: Collection[int]) -> None:
    """Print how a mended clip differs from the manifest's: a line for each segment that is left out (-) or new (+)."""
    from ..output.mending import describe_mended

    lines = list(mended.lines())
    for sign, segment in lines[:_MOST_LINES]:
        print_text(console, Text(f"{sign} {segment}", style="red" if sign == "-" else "green"))
    if len(lines) > _MOST_LINES:
        say(console, f"and {len(lines) - _MOST_LINES} more such lines")
    say(console, describe_mended(mended, kept))


def _show_cast(console: Console, source: ClipSource, plans: Sequence[ClipPlan], missing: Collection[str]) -> None:
    table = Table()
    table.add_column("speaker")
    table.add_column("voice")
    for column in ("", "segments", "about"):
        table.add_column(column, justify="right", no_wrap=True)
    of_run = source.options.history_prompt or source.options.audio_file_as_history_prompt or "random"
    segments = [segment for plan in plans for segment in plan.segments]
    narrated = any(segment.speaker is None for segment in segments)
    names: list[str | None] = [*([None] if narrated else []), *source.voices]
    for name in names:
        own = [segment for segment in segments if segment.speaker == name]
        voice = None if name is None else source.voices[name].voice
        seconds = sum(segment.seconds(source.options) for segment in own)
        state = "missing" if name in missing else "" if voice is None else "found"
        table.add_row(
            Shortened(_NARRATOR if name is None else name),
            Shortened(voice or f"{of_run} (of the run)"),
            Text(state, style="red" if state == "missing" else ""),
            str(len(own)),
            clock(seconds),
        )
    print_table(console, "cast", table)


def _gaps(plan: ClipPlan) -> Iterator[Pause]:
    """Yield the gaps that are heard."""
    yield from (segment.pause for segment in plan.segments[:-1])
    yield from (gap for gap in (plan.lead, plan.segments[-1].pause) if gap.ends_clip)


def _silences(gaps: Iterable[Pause]) -> Iterator[str]:
    """Yield how many silences of each kind and length there are, and how many sounds."""
    stretches: Counter[tuple[str, float]] = Counter()
    n_sounds = 0
    for gap in gaps:
        stretches.update([(gap.kind, gap.seconds), *((sound.kind, sound.seconds) for sound in gap.sounds)])
        n_sounds += len(gap.sounds)
    shown = [(kind, seconds, n) for (kind, seconds), n in stretches.most_common() if seconds]
    for kind, seconds, n in shown[:_MOST_SHOWN]:
        yield f"{n} of {seconds:g} s ({kind})"
    if len(shown) > _MOST_SHOWN:
        yield f"{len(shown) - _MOST_SHOWN} other lengths"
    if n_sounds:
        yield count(n_sounds, "sound")


def _show_notes(console: Console, source: ClipSource) -> None:
    script = source.script
    if script is None:
        return
    if script.look_alikes:
        warn(console, f"not in the cast, so spoken as text: {_with_places(script.look_alikes)}")
    if script.ignored:
        say(console, f"elements without effect: {_with_places(script.ignored)}")
    unused = [entry.written for entry in script.pronunciations.entries if entry not in source.used_pronunciations]
    if unused:
        warn(console, f"pronunciations that hit nothing: {_listed(unused)}")


def _with_places(found: Sequence[tuple[str, Place]]) -> str:
    return _listed([f"{name} (line {place.line}, column {place.column})" for name, place in found])


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_SHOWN
    return ", ".join([*names[:_MOST_SHOWN], *([f"and {rest} more"] if rest > 0 else [])])
