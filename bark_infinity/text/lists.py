"""Finds list items: lines that begin with a number, a letter or a bullet, and such items in running text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .abbreviations import AFTER_ORDINALS

_BULLETS = "•◦▪‣⁃➢✓●○■□"
_HANGUL_LETTERS = "가나다라마바사"
_CHINESE_NUMBERS = "一二三四五六七八九十"
_LINE = re.compile(
    rf"""\s* (?: (?P<bullet> [{_BULLETS}] | [-–—*+](?=\s) )
      | (?P<open> [(（]? )
        (?P<value> \d{{1,3}} | [A-Za-zА-я] | [ivx]{{1,5}} | [IVX]{{1,5}} | [{_HANGUL_LETTERS}] | [{_CHINESE_NUMBERS}] | [①-⑳] )
        (?P<close> [.．]\) | [.．)）、] | (?<=[①-⑳]) ) (?: \s+ | (?<=[．）、①-⑳]) | (?=[^\W\d_]{{2}}) ) (?=\S) )
    """,
    re.VERBOSE,
)
_COUNTED_LINE = re.compile(r"\s*(?P<value>\d{1,3})\s+[\"“„«‘(\[]?(?P<letter>[^\W\d_])")
_INLINE = re.compile(
    rf"(?<!\S)(?:(?P<bullet>[{_BULLETS}])(?=\s|(?<![●○■□])\w)|(?P<value>\d{{1,3}}|[A-Za-zа-я])(?P<close>\.\)|[.)])\s(?P<next>[^\W\d_]+))"
)
_ROMAN_NUMBERS = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv")
_INTRODUCTION = re.compile(r"[:.!?。：！？…][\"'”’»)\]]*\s*\Z")
_REACH = 10


class _Marker(NamedTuple):
    """The marker of a list item. `style`: its bullet or punctuation; `value`: its number, None for a bullet."""

    style: str
    value: int | None

    def precedes(self, other: _Marker) -> bool:
        return self.style == other.style and (self.value is None or other.value == self.value + 1)


def item_lines(lines: Sequence[str]) -> list[int]:
    """Indexes of the lines of a paragraph that begin list items: at least two, with consecutive numbers.

    Lists may be nested if their numbers have different styles.
    """
    items = set(_counted_lines(lines))
    last: dict[str, tuple[int, _Marker]] = {}  # line and marker, by style
    for k, line in enumerate(lines):
        for marker in _markers_of_line(line):
            if marker.style in last and last[marker.style][1].precedes(marker):
                items |= {last[marker.style][0], k}
            last[marker.style] = k, marker
    return sorted(items)


def _counted_lines(lines: Sequence[str]) -> list[int]:
    """Indexes of consecutive lines that begin with bare numbers, counting up from 1: at least two."""
    items: list[int] = []
    row: list[int] = []
    for k, line in enumerate(lines):
        match = _COUNTED_LINE.match(line)
        value = int(match["value"]) if match else 0
        if match and value == 1:
            wrapped = k > 0 and match["letter"].islower() and not _INTRODUCTION.search(lines[k - 1])
            row = [] if wrapped else [k]  # "on page\n1 and then"
        elif row and value == len(row) + 1:
            row.append(k)
            items += row if value == 2 else [k]
        else:
            row = []
    return items


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
        marker = _markers(match["close"], match["value"])[0]
        if last is not None and last.precedes(marker):
            starts += [last_start, match.start()]
        elif match.start() and not _INTRODUCTION.search(text, max(0, match.start() - _REACH), match.start()):
            continue
        last, last_start = marker, match.start()
    return sorted({start for start in starts if start})


def _markers_of_line(line: str) -> list[_Marker]:
    match = _LINE.match(line)
    if match is None:
        return []
    if match["bullet"]:
        return [_Marker(match["bullet"], None)]
    return _markers(match["open"] + match["close"], match["value"])


def _markers(around: str, value: str) -> list[_Marker]:
    """All readings of a number or letter: "i" is a letter and a Roman number."""
    if value.isdecimal():
        return [_Marker(f"1{around}", int(value))]
    for row in (_HANGUL_LETTERS, _CHINESE_NUMBERS):
        if value in row:
            return [_Marker(f"{row[0]}{around}", row.index(value))]
    kind = "I" if value.isupper() else "i"
    markers = [_Marker(f"{'A' if value.isupper() else 'a'}{around}", ord(value))] if len(value) == 1 else []
    if value.lower() in _ROMAN_NUMBERS:
        markers.append(_Marker(f"{kind}{around}", _ROMAN_NUMBERS.index(value.lower())))
    return markers
