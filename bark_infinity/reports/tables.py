"""Building blocks of reports: probes that never raise, readable sizes, tables with wrapped cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import ParamSpec

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

UNKNOWN = "unknown"
_P = ParamSpec("_P")


def known(probe: Callable[[], object]) -> str:
    """The result of `probe` as text; "unknown" if it raises or finds nothing."""
    try:
        found = probe()
    except Exception:  # drivers and libraries raise whatever they like
        return UNKNOWN
    if isinstance(found, bool):
        return "yes" if found else "no"
    return UNKNOWN if found is None or found == "" else str(found)


def never_fails(build: Callable[_P, RenderableType]) -> Callable[_P, RenderableType]:
    """Decorator of reports: instead of raising, the report shows the error, which may be what the user is looking for."""

    @wraps(build)
    def report(*args: _P.args, **kwargs: _P.kwargs) -> RenderableType:
        try:
            return build(*args, **kwargs)
        except Exception as error:
            return Text(f"{build.__name__.replace('_', ' ')}: {UNKNOWN} ({type(error).__name__}: {error})")

    return report


def size(n_bytes: float) -> str:
    """A number of bytes as text: 12 bytes, 1.5 MiB, 4.2 GiB."""
    if n_bytes < 1024:
        return f"{n_bytes:.0f} bytes"
    for unit in ("KiB", "MiB"):
        n_bytes /= 1024
        if n_bytes < 1024:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1024:,.1f} GiB"


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], numbers: Iterable[str] = ()) -> Table:
    """A table of plain text. `numbers`: columns that are aligned to the right and not wrapped."""
    result = Table(title=Text(title), title_justify="left")
    for name in columns:
        result.add_column(
            name, overflow="fold", justify="right" if name in numbers else "left", no_wrap=name in numbers
        )
    for row in rows:
        result.add_row(*map(Text, row))
    return result


def facts_table(title: str, facts: Mapping[str, Callable[[], object]]) -> Table:
    """A table of two columns: each fact's name and the result of its probe."""
    result = table(title, ("what", "here"), ((name, known(probe)) for name, probe in facts.items()))
    result.show_header = False
    return result


def count(n: int, what: str) -> str:
    """A number with its noun: 1 clip, 2 clips."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
