"""Tables that fit their console: file names are shortened in a terminal; in a pipe, lines are as long as needed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_LEAST_WIDTH = 12  # cells of a shortened name
_WIDEST = 10_000  # cells of a line in a pipe


class Shortened:
    """A name on one line, with an ellipsis in its middle if it does not fit; both ends distinguish names."""

    def __init__(self, name: str):
        self._name = " ".join(name.splitlines())

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = cell_len(self._name)
        return Measurement(min(width, _LEAST_WIDTH), width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(shorten(self._name, options.max_width), no_wrap=True, overflow="crop")


def shorten(name: str, width: int) -> str:
    """`name` with its middle left out to fit into `width` cells; wide characters take two."""
    if cell_len(name) <= width:
        return name
    tail = width // 2
    return f"{_start(name, width - 1 - tail)}…{_start(name[::-1], tail)[::-1]}"


def _start(name: str, width: int) -> str:
    """The first characters that fit into `width` cells."""
    kept = 0
    while kept < len(name) and cell_len(name[: kept + 1]) <= width:
        kept += 1
    return name[:kept]


def print_table(console: Console, title: str, table: Table) -> None:
    """Print a table below its title: at most as wide as a terminal; in a pipe, as wide as its longest cells."""
    console.print(Text(title, style="italic"), soft_wrap=not console.is_terminal)
    if console.is_terminal:
        console.print(table)
        return
    width, wide = console.width, console.options.update(width=_WIDEST)
    console.width = max(width, Measurement.get(console, wide, table).maximum)
    try:
        console.print(table)
    finally:
        console.width = width
