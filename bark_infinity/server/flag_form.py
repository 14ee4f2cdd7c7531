"""The table of flags as a form: groups of fields, each with its control, its bounds and what it is now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from ..options.flag import Flag
from ..options.table import Options, flags

ELSEWHERE = frozenset(("history_prompt", "audio_file_as_history_prompt", "chapters", "cast"))
"""Flags that the page asks for in other places than the form."""
_FILES = {
    "cover": "image/png,image/jpeg",
    "pronunciations": ".toml,.txt",
}  # flags that take an uploaded file: its kinds
_UNITS = {"SECONDS": "s", "MS": "ms", "HZ": "Hz", "DB": "dB", "PERCENT": "%"}  # of metavars
_CODE = re.compile(r"`([^`]+)`|(--[a-z_]+(?: [a-z]+(?=[:;,.)]))?)")


@dataclass(frozen=True)
class Field:
    """A flag in the form.

    `control`: "switch" (true or false), "choice" (one of `choices`), "number", "text", or "file" (which is uploaded; `choices`
    are the kinds that are offered). `default`: what is used if the field
    is left alone, as text. `help`: pieces of (text, whether it is code). `unit`: of a number, or "".
    """

    name: str
    label: str
    help: tuple[tuple[str, bool], ...]
    control: str
    default: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    step: str = "any"
    unit: str = ""


@dataclass(frozen=True)
class Group:
    """The fields of a group of flags."""

    name: str
    fields: tuple[Field, ...]


def form_groups(defaults: Options, is_allowed: Callable[[str], bool]) -> list[Group]:
    """The groups of the form, in the order of the table. `is_allowed`: whether the page may set a flag, by its name.

    `defaults`: the options that a job has if the form is left alone.
    """
    shown = (line for line in flags() if is_allowed(line.name) and line.name not in ELSEWHERE)
    asked = defaults.asked or defaults
    return [
        Group(name, tuple(_field(line, getattr(asked, line.name)) for line in lines))
        for name, lines in groupby(shown, key=lambda line: line.group)
    ]


def _field(line: Flag, value: object) -> Field:
    choices = _choices(line)
    is_number = line.kind in (int, float)
    control = "choice" if choices else "switch" if line.kind is bool else "number" if is_number else "text"
    if line.name in _FILES:
        control, choices, value = "file", (_FILES[line.name],), None
    return Field(
        line.name,
        _label(line.name),
        tuple(_pieces(line.help)),
        control,
        _text(value, line),
        choices,
        line.low if is_number else None,
        line.high if is_number else None,
        "1" if line.kind is int else "any",
        _UNITS.get(line.metavar or "", ""),
    )


def _choices(line: Flag) -> tuple[str, ...]:
    """The values among which a flag is chosen, if there are few; "none" stands for none of them."""
    if line.choices:
        return line.choices if line.default is not None else ("", *line.choices)
    return ("", "true", "false") if line.kind is bool and line.default is None else ()


def _text(value: object, line: Flag) -> str:
    """A value as the form shows it."""
    if value is None:
        return ""
    if line.kind is bool:
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    """The name of a flag as words."""
    words = [word.upper() if word in ("kv", "npz", "gpu") else word for word in name.split("_") if word]
    label = " ".join("(dB)" if word == "db" else f"({word})" if word in ("ms", "s") else word for word in words)
    return label[:1].upper() + label[1:]


def _pieces(help: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a help text, and whether each is code: names of flags, and what is between backticks."""
    end = 0
    for match in _CODE.finditer(help):
        if match.start() > end:
            yield help[end : match.start()], False
        yield match[1] or match[2], True
        end = match.end()
    if end < len(help):
        yield help[end:], False
