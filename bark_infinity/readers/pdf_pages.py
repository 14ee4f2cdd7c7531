"""Takes from the pages of a PDF what is not read aloud: running heads and feet, page numbers, and footnotes."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import pairwise, takewhile
from typing import TypeVar

from .book import Footnotes
from .chapter_headings import chapter_heading, roman
from .pdf_lines import MARK_BEGIN, MARK_END, UNCERTAIN, Line
from .plain import join_hyphens

_EDGE_LINES = 3  # at the top and at the bottom of a page that may be running heads or feet
_MAX_DISTANCE = 2  # pages between two that share a head: left and right pages may have their own
_MIN_PAGES = 3  # that share a head if they are farther apart
_Y_STEP = 3.0  # points; heads are at the same height within this
_MAX_HEAD_SIZE = (
    1.1  # size of the letters of a head beside a page number as a share of that of the text; larger is a title
)
_MAX_NOTE_SIZE = 0.93  # size of the letters of footnotes as a share of that of the text

_ROMAN = {roman(number).lower(): number for number in range(1, 100)}
_PAGE_NUMBER = re.compile(  # a line that has nothing else, such as - 12 -, [xii], Page 3 of 20
    r"\W*(?:(?:page|seite|p|s)\.?\s*)?(?P<number>\d{1,5}|[ivxlc]+)\W*(?:(?:of|von|sur|de)?\s*\d+\W*)?", re.IGNORECASE
)
_NUMBER_AT_EDGE = re.compile(r"(?:\A\W*(?=\w+\s)|(?<=\s)(?=\w+\W*\Z))(?P<number>\d{1,5}|[ivxlc]+)(?!\w)\W*")
_NOTE = re.compile(
    rf"(?:{MARK_BEGIN}\{UNCERTAIN}?(?P<raised>[^{MARK_END}]+){MARK_END}|(?P<mark>\d{{1,3}}|[*†‡§¶]{{1,3}})[.)]?(?=\s))\s*(?P<text>.*)"
)
_MARK = re.compile(rf"{MARK_BEGIN}(?P<uncertain>\{UNCERTAIN}?)(?P<mark>[^{MARK_END}]*){MARK_END}")

_WITH_NUMBER = "#"  # in place of the text of a head

_T = TypeVar("_T")
_Place = tuple[str, float, float, float]
"""Text, size and rounded height of a line: what heads of several pages share."""


def text_size(pages: Sequence[Sequence[Line]]) -> float:
    """The size of most letters."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page:
            sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


# ---- running heads ---------------------------------------------------------------------------------------------------


def without_heads(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The pages without running heads and feet, which come again at the same height, and without page numbers."""
    edges = [line for page in pages for line in {*_edge(page, top=True), *_edge(page, top=False)}]
    offsets = _repeated((offset, line.page) for line in edges for offset in _page_offsets(line))
    max_size = text_size(pages) * _MAX_HEAD_SIZE
    heads = _repeated((place, line.page) for line in edges for place in _places(line, offsets, max_size))

    def is_head(line: Line) -> bool:
        places = _places(line, offsets, max_size)
        return not places or any(place in heads for place in places)

    return [_without_edges(page, is_head) for page in pages]


def _edge(page: Sequence[Line], top: bool) -> list[Line]:
    """The lines at the top or at the bottom of a page, from the edge inwards."""
    return sorted(page, key=lambda line: line.y, reverse=top)[:_EDGE_LINES]


def _without_edges(page: Sequence[Line], is_head: Callable[[Line], bool]) -> list[Line]:
    """A page without heads and feet. Between them and the edge there is nothing else."""
    heads = {line for top in (True, False) for line in takewhile(is_head, _edge(page, top))}
    return [line for line in page if line not in heads]


def _repeated(found: Iterable[tuple[_T, int]]) -> set[_T]:
    """What is found on several pages, near each other or many. `found`: each with its page."""
    pages: dict[_T, list[int]] = {}
    for thing, page in found:
        own = pages.setdefault(thing, [])
        if not own or own[-1] != page:
            own.append(page)
    return {
        thing
        for thing, own in pages.items()
        if len(own) >= _MIN_PAGES or any(after - before <= _MAX_DISTANCE for before, after in pairwise(own))
    }


def _page_offsets(line: Line) -> Iterator[int]:
    """Yield the differences between the numbers at both ends of a line and the page's own number in the file."""
    for match in _numbers(_without_mark_signs(line.text)):
        yield _value(match) - line.page


def _numbers(text: str) -> list[re.Match[str]]:
    """The numbers at both ends of a line, without that of a chapter, or the only number of a line without words."""
    if (whole := _PAGE_NUMBER.fullmatch(text)) is not None:
        return [whole] if _value(whole) else []
    heading = chapter_heading(text)
    label_end = 0 if heading is None else len(heading.label)
    return [match for match in _NUMBER_AT_EDGE.finditer(text) if match.start() >= label_end and _value(match)]


def _value(match: re.Match[str]) -> int:
    """The value of the number in a match; 0 for letters that are no Roman number."""
    number = match["number"]
    return int(number) if number.isdecimal() else _ROMAN.get(number.lower(), 0)


def _places(line: Line, offsets: Container[int], max_size: float) -> tuple[_Place, ...]:
    """What heads like this line share, in two grids; () for a line that has nothing but the number of its page.

    That is the text; with the number of the page beside it, and letters up to `max_size`, the place is enough.
    """
    whole = text = _without_mark_signs(line.text)
    for match in reversed(_numbers(text)):
        if _value(match) - line.page in offsets:
            text = text[: match.start()] + text[match.end() :]
    shared = [" ".join(text.casefold().split())]
    if not shared[0]:
        return ()
    if text != whole and line.size <= max_size:
        shared.append(_WITH_NUMBER)
    return tuple((own, line.size, grid, (line.y + grid) // _Y_STEP) for own in shared for grid in (0.0, _Y_STEP / 2))


def _without_mark_signs(text: str) -> str:
    """The text of a line with the marks of footnotes as plain text."""
    return _MARK.sub(lambda match: match["mark"], text)


# ---- footnotes -------------------------------------------------------------------------------------------------------


def without_notes(pages: Sequence[Sequence[Line]], footnotes: Footnotes) -> list[list[Line]]:
    """The pages without the footnotes at their ends and without their marks, or with the footnotes where the marks are.

    Footnotes are in smaller letters than the text, and begin with a mark that is in the text of their page. Only the first
    mark gets the footnote.
    """
    size = text_size(pages) * _MAX_NOTE_SIZE
    found: list[list[Line]] = []
    had_notes = False
    for page in pages:
        text, small = _cut_small(page, size)
        marks = {match["mark"] for line in text for match in _MARK.finditer(line.text)}
        rest, notes = _notes(small, marks)
        if rest and not (had_notes and (notes or not marks)):  # else they go on from the page before
            text = [*text, *rest]
        own = dict(notes) if footnotes == "inline" else {}
        spoken = (dataclasses.replace(line, text=_with_notes(line.text, own, notes).strip()) for line in text)
        found.append([line for line in spoken if line.text])
        had_notes = bool(notes)
    return found


def _cut_small(page: Sequence[Line], size: float) -> tuple[list[Line], list[Line]]:
    """The lines of a page, and those in small letters at its end, which are below all others."""
    start = len(page)
    while start and page[start - 1].size <= size:
        start -= 1
    above, below = list(page[:start]), list(page[start:])
    if above and below and min(line.y for line in above) <= max(line.y for line in below):
        return list(page), []
    return above, below


def _notes(lines: Sequence[Line], marks: Container[str]) -> tuple[list[Line], dict[str, str]]:
    """The lines before the first footnote, and the texts of the footnotes by their marks."""
    before: list[Line] = []
    notes: dict[str, list[str]] = {}
    own: list[str] | None = None
    for line in lines:
        match = _NOTE.fullmatch(line.text)
        mark = str(match["raised"] or match["mark"]) if match is not None else ""
        if match is not None and mark in marks and mark not in notes:
            own = notes[mark] = [match["text"]]
        elif own is not None:
            own.append(line.text)
        else:
            before.append(line)
    return before, {mark: " ".join(join_hyphens("\n".join(texts)).split()) for mark, texts in notes.items()}


def _with_notes(text: str, notes: dict[str, str], known: Container[str]) -> str:
    """The text of a line with footnotes in place of their marks, as far as they are there. Takes them from `notes`.

    `known`: the marks of the footnotes of the page; an uncertain mark without a footnote is text.
    """

    def note(match: re.Match[str]) -> str:
        mark = match["mark"]
        if match["uncertain"] and mark not in known:
            return mark
        own = _MARK.sub("", notes.pop(mark, ""))
        return f" ({own})" if own else ""

    return _MARK.sub(note, text)
