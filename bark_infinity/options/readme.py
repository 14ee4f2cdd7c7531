"""The README's list of flags, from the table. `python -m bark_infinity.options.readme` writes it into README.md."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from .flag import Flag
from .table import flags

START, END = "<!-- flags: written by `python -m bark_infinity.options.readme` -->\n", "<!-- end of flags -->\n"


def flag_reference() -> str:
    """Markdown: a table for each group of flags."""
    return "\n".join(
        "\n".join([f"### {group}\n", "| flag | default | meaning |", "|---|---|---|", *map(_row, lines), ""])
        for group, lines in groupby(flags(), key=lambda line: line.group)
    )


def with_reference(readme: str) -> str:
    """A README's text with the list between its two marks replaced."""
    before, rest = readme.split(START)
    return f"{before}{START}\n{flag_reference()}\n{END}{rest.split(END)[1]}"


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
    path = Path(__file__).parents[2] / "README.md"
    path.write_text(with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")
