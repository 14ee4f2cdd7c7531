"""Errors in a Python program's words: where the command line has flags, a program has arguments of the same names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..errors import BarkError
from .table import flags

_COMMANDS = ("list_speakers",)  # what a program has no argument for, and a user can ask the command line
_VALUES = {"model": ("large", "small", "demo")}  # that a message may name, beside the choices of the table
_FLAG = re.compile(r"--(\w+)(?: (\w+))?")


@contextmanager
def python_words(replaced: Mapping[str, str] | None = None) -> Iterator[None]:
    """Raise a BarkError of the block again with a message in a program's words.

    `replaced`: texts of the message, and what takes their place; for flags whose argument has another name.
    """
    try:
        yield
    except BarkError as error:
        raise in_python_words(error, replaced or {}) from error.__cause__


def in_python_words(error: BarkError, replaced: Mapping[str, str] | None = None) -> BarkError:
    """The same error, with arguments in place of flags: `--model demo` becomes `model="demo"`, `--seed` becomes `seed`."""
    message = str(error)
    for text, other in (replaced or {}).items():
        message = message.replace(text, other)
    table = {line.name: line for line in flags()}

    def argument(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name in _COMMANDS:
            return f"bark-infinity {match[0]}"
        if name not in table:
            return match[0]
        if value is None:
            return name
        is_value = value in (*table[name].choices, *_VALUES.get(name, ()))
        return f'{name}="{value}"' if is_value else f"{name} {value}"

    return type(error)(_FLAG.sub(argument, message))
