"""--voice_report on the command line: measures a finished clip, writes and draws the report, and shows what stands out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..errors import UsageError
from ..options.table import Options
from ..output.voice_drawing import draw_report
from ..output.voice_report import LEAST_SEGMENTS, SegmentVoice, measure_clip, report_path, write_report
from ..reports.tables import count
from . import console as view
from .layout import Shortened, print_table
from .voices import only_shows

_FORMS = {
    "pitch": "{:.0f} Hz",
    "spread": "{:.1f} st",
    "pace": "{:.2f}",
    "loudness": "{:.1f} dB",
    "spectrum": "{:.1f} dB",
}
_MOST_ROWS = 40  # of segments; of a longer clip only those that stand out are shown


def report_voice(name: str, options: Options, console: Console) -> int:
    """--voice_report: report on the clip of manifest `name`. Returns the exit status. Raises UsageError, OutputError."""
    segments = measure_clip(name)
    _show(name, segments, console)
    if only_shows(options):
        return 0
    view.print_result(write_report(name, segments))
    picture = report_path(name, "png")
    try:
        draw_report(picture, f"{name}: red rings stand out", segments)
    except UsageError as error:  # matplotlib is missing; the numbers are written
        view.warn(console, str(error))
    else:
        view.print_result(picture)
    return 0


def _show(name: str, segments: Sequence[SegmentVoice], console: Console) -> None:
    outliers = [segment for segment in segments if segment.outliers]
    shown = segments if len(segments) <= _MOST_ROWS else outliers
    if shown:
        _show_table(name, shown, console)
    speakers = {segment.speaker for segment in segments}
    if not any(segment.scores for segment in segments):
        view.say(
            console,
            f"too little to tell what stands out: that takes {LEAST_SEGMENTS} segments of a speaker with a voice in them",
        )
    elif not outliers:
        view.say(console, f"none of {count(len(segments), 'segment')} stands out from its speaker's medians")
    else:
        numbers = ",".join(str(segment.index + 1) for segment in outliers)
        whose = "its speaker's" if len(speakers) > 1 else "the clip's"
        view.say(
            console,
            f"{len(outliers)} of {count(len(segments), 'segment')} {'stands' if len(outliers) == 1 else 'stand'} out from "
            f"{whose} medians; to make {'it' if len(outliers) == 1 else 'them'} again: "
            f"--from_manifest {shlex.quote(name)} --regenerate {numbers}",
        )


def _show_table(name: str, segments: Sequence[SegmentVoice], console: Console) -> None:
    table = Table()
    for heading in ("segment", *_FORMS):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what stands out, or the text")
    for segment in segments:
        values = ((form, segment.value(feature)) for feature, form in _FORMS.items())
        row = ["" if value is None else form.format(value) for form, value in values]
        words = segment.describe()
        table.add_row(str(segment.index + 1), *row, Shortened(words or segment.text), style="red" if words else None)
    print_table(console, f"the voice of {name}, segment by segment", table)
