"""Reads TOML of any origin in bounded time, finds the places of its keys, and writes values as TOML."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence

from ..errors import UsageError
from ..files import read_bounded

_LONG_NAME = re.compile(
    r"""(?<![\w-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){300}"""
)  # a dotted name that tomllib would parse for minutes
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class TomlError(ValueError):
    """A text that is not TOML. The message ends with "(at line 3, column 5)" where that is known."""


def parse_toml(text: str) -> dict[str, object]:
    """The content of a TOML document, in time in proportion to its length. Raises TomlError."""
    if sys.version_info >= (3, 11):  # late: most runs read none
        import tomllib
    else:
        import tomli as tomllib

    text = text.replace("\r\n", "\n")
    if _LONG_NAME.search(text):
        raise TomlError("a name has hundreds of parts")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TomlError(_shortened(str(error))) from None
    except ValueError:  # a number of more digits than Python converts
        raise TomlError("a number has thousands of digits") from None


def read_toml_text(flag: str, name: str, most_bytes: int) -> str:
    """The text of a file that a flag names, which has at most so many bytes. Raises UsageError.

    UTF-8, or UTF-16 as PowerShell's `>` and Notepad write it, with a byte order mark or without.
    """
    try:
        data = read_bounded(name, most_bytes)
        return data.decode(json.detect_encoding(data))
    except OSError as error:
        raise UsageError(f"--{flag} {name} cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise UsageError(f"--{flag} {name} is neither UTF-8 nor UTF-16; save it as UTF-8 in an editor") from None


def format_toml(value: object, ascii_only: bool = False) -> str:
    """A text, number, truth value or list of them in TOML syntax: that of JSON, except that TOML also escapes DEL.

    `ascii_only`: escape all other characters too.
    """
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return re.sub(r"[^\x00-\x7f]", lambda match: f"\\U{ord(match[0]):08X}", text) if ascii_only else text


def format_toml_key(key: str) -> str:
    """A key in TOML syntax, quoted if it must be."""
    return key if _BARE_KEY.fullmatch(key) else format_toml(key)


def _shortened(message: str) -> str:
    """A message or key without the middle of a long one: the end of a message has line and column."""
    return message if len(message) <= 160 else f"{message[:80]}...{message[-60:]}"


# ---- keys ----------------------------------------------------------------------------------------------------------

_HEADER = re.compile(r"\s*\[(?P<names>[^][]+)\]\s*(?:#.*)?")
_NAME = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s."']+""")


def show_key(path: Sequence[str]) -> str:
    """A key as a message shows it. `path`: the names that lead to it."""
    return _shortened(".".join(path))


def find_key(text: str, path: Sequence[str]) -> tuple[int, int]:
    """Line and column of a key, counted from 1, or of as many as are found of the names that lead to it.

    Reads lines, not TOML: a key that is written with escapes, or over several lines, is not found.
    """
    place, most = (1, 1), 0
    table: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            table = [name.strip("\"'") for name in _NAME.findall(header["names"])]
        if table != list(path[: len(table)]):
            continue
        within, column = (0, line.find("[")) if header is not None else _find_names(line, path[len(table) :])
        found = len(table) + within
        if found > most and (within or header is not None):
            place, most = (number, column + 1), found
    return place


def _find_names(line: str, names: Sequence[str]) -> tuple[int, int]:
    """How many of these names lead a line and the inline table in it, and where the last of them is."""
    found = end = column = 0
    for name in names:
        before = r"[^\n]*?[{,.\s]" if found else r"\s*"
        match = re.compile(rf"""{before}(["']?{re.escape(name)}["']?)\s*[.=]""").match(line, end)
        if match is None:
            break
        found, end, column = found + 1, match.end(1), match.start(1)
    return found, column
