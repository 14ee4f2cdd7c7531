"""Generates the reference of all flags. `python -m bark_infinity.options.readme` writes it to docs/flags.md."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from .flag import Flag
from .table import flags

_HEAD = """# All flags

Written by `python -m bark_infinity.options.readme` from the table in `bark_infinity/options/table.py`.

Every flag takes `_` or `-`, in either case. One that is true or false takes nothing (true), or the word. A flag without a
default is taken back by `none`, where a settings file or a manifest has set it.
"""


def flag_reference() -> str:
    """The page as Markdown: an introduction, and a table for each group of flags."""
    tables = (
        "\n".join([f"## {group}\n", "| flag | default | meaning |", "|---|---|---|", *map(_row, lines), ""])
        for group, lines in groupby(flags(), key=lambda line: line.group)
    )
    return "\n".join([_HEAD, *tables])


def _row(line: Flag) -> str:
    names = ", ".join(f"`--{name}`" for name in (line.name, *line.aliases))
    return f"| {names} | {_default(line)} | {' '.join(_meaning(line)).replace('|', chr(92) + '|')} |"


def _default(line: Flag) -> str:
    if line.default is None:
        return "auto" if line.kind is bool else ""
    return str(line.default).lower() if line.kind is bool else f"`{line.default}`"


def _meaning(line: Flag) -> Iterator[str]:
    yield line.help
    if line.choices:
        yield f"One of {', '.join(line.choices)}."
    if line.low is not None and line.high is not None:
        yield f"{line.low:g} to {line.high:g}."
    if line.env:
        yield f"Environment: `{line.env}`."


if __name__ == "__main__":
    path = Path(__file__).parents[2] / "docs" / "flags.md"
    path.write_text(flag_reference(), encoding="utf-8")
