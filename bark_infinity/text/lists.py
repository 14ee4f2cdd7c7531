"""Finds list items: lines that begin with a number, a letter or a bullet, and such items in running text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .abbreviations import AFTER_ORDINALS

_BULLETS = "•◦▪‣⁃●○■□➢✓"
_HANGUL_LETTERS = "가나다라마바사"
_CHINESE_NUMBERS = "一二三四五六七八九十"
_LINE = re.compile(
    rf"""\s* (?: (?P<bullet> [{_BULLETS}] | [-–—*+](?=\s) )
      | (?P<open> [(（]? )
        (?P<value> \d{{1,3}} | [A-Za-zА-я] | [ivx]{{1,5}} | [{_HANGUL_LETTERS}] | [{_CHINESE_NUMBERS}] | [①-⑳] )
        (?P<close> [.．]\) | [.．)）、] | (?<=[①-⑳]) ) (?: \s+ | (?<=[．）、①-⑳]) | (?=[^\W\d_]{{2}}) ) (?=\S) )
    """,
    re.VERBOSE,
)
_INLINE = re.compile(
    rf"(?<!\S)(?:(?P<bullet>[{_BULLETS}])\s|(?P<value>\d{{1,3}}|[A-Za-zа-я])(?P<close>\.\)|[.)])\s(?P<next>[^\W\d_]+))"
)
_INTRODUCTION = re.compile(r"[:.!?。：！？…][\"'”’»)\]]*\s*\Z")
_REACH = 10


class _Marker(NamedTuple):
    """The marker of a list item. `style`: its bullet or punctuation; `value`: its number, None for a bullet."""

    style: str
    value: int | None

    def precedes(self, other: _Marker) -> bool:
        return self.style == other.style and (self.value is None or other.value == self.value + 1)


def item_lines(lines: Sequence[str]) -> list[int]:
    """Indexes of the lines of a paragraph that begin list items: at least two, with consecutive numbers."""
    found = [(k, marker) for k, line in enumerate(lines) if (marker := _marker_of_line(line)) is not None]
    items = set()
    for (k, marker), (following, other) in zip(found, found[1:], strict=False):
        if marker.precedes(other):
            items |= {k, following}
    return sorted(items)


def inline_items(text: str) -> list[int]:
    """Offsets of list items within running text: "1. Wash the rice 2. Boil the water".

    The first number must be at the start of the text, or after a colon or the end of a sentence.
    """
    starts: list[int] = []
    last: _Marker | None = None  # of an item that may begin a list
    last_start = 0
    for match in _INLINE.finditer(text):
        if match["bullet"]:
            starts.append(match.start())
            continue
        if match["next"][0].islower() or match["next"].lower() in AFTER_ORDINALS:
            continue
        marker = _Marker(match["close"], _number(match["value"]))
        if last is not None and last.precedes(marker):
            starts += [last_start, match.start()]
        elif match.start() and not _INTRODUCTION.search(text, max(0, match.start() - _REACH), match.start()):
            continue
        last, last_start = marker, match.start()
    return sorted({start for start in starts if start})


def _marker_of_line(line: str) -> _Marker | None:
    match = _LINE.match(line)
    if match is None:
        return None
    if match["bullet"]:
        return _Marker(match["bullet"], None)
    return _Marker(match["open"] + match["close"], _number(match["value"]))


def _number(value: str) -> int:
    """The value of a number, or the position of a letter in its alphabet."""
    if value.isdecimal():
        return int(value)
    for row in (_HANGUL_LETTERS, _CHINESE_NUMBERS):
        if value in row:
            return row.index(value)
    roman = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "x": 10}
    return ord(value) if len(value) == 1 else 1000 + roman.get(value, 0)
