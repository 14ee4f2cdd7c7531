"""Shows whether finished audio files are what a shop asks for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..options.table import Options
from ..reports.tables import count
from . import console as view
from .layout import print_table


def warn_of_delivery(options: Options, console: Console) -> None:
    """Warn, before anything is made, of options with which no file can pass --check_delivery."""
    if options.check_delivery is None:
        return
    from ..audio.delivery import SAMPLE_RATE

    wanted = {
        "--output_format mp3": options.output_format == "mp3",
        f"--sample_rate {SAMPLE_RATE}": options.sample_rate == SAMPLE_RATE,
        "--loudness audiobook": options.loudness == "audiobook",  # without which an MP3's bit rate varies
    }
    missing = [flag for flag, given in wanted.items() if not given]
    if missing:
        view.warn(console, f"--check_delivery {options.check_delivery} will fail; ACX wants {' '.join(missing)}")


def passes_delivery(clips: Iterable[Path], options: Options, console: Console) -> bool:
    """Measure the files of finished clips by --check_delivery, and show what is found; True if all pass, or none is asked for.

    Raises OutputError for a file that cannot be read.
    """
    if options.check_delivery is None:
        return True
    from ..audio.delivery import check_acx, sound_files

    failed = 0
    paths = [path for clip in clips for path in sound_files(clip)]
    for path, criteria in check_acx(paths):
        passed = all(one.passed for one in criteria)
        failed += not passed
        if passed and len(paths) > 1:
            levels = ", ".join(f"{one.name} {one.found}" for one in criteria[:3])
            view.say(console, f"{path}: passes ACX's check ({levels})")
            continue
        table = Table()
        for column in ("", "ACX wants", "measured", ""):
            table.add_column(column)
        for one in criteria:
            verdict = Text("passes", "green") if one.passed else Text("fails", "bold red")
            table.add_row(one.name, one.wanted, one.found, verdict)
        print_table(console, f"{path}: {'passes' if passed else 'fails'} ACX's check", table)
        for mend in dict.fromkeys(one.mend for one in criteria if not one.passed):
            view.say(console, f"to mend it: {mend}")
    if len(paths) > 1:
        view.say(console, f"{count(len(paths), 'file')} measured for ACX, {failed} failed")
    return not failed
