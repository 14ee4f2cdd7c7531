"""Joins the lines of a PDF to paragraphs, by their places on the pages and by how they end."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from ..text.blocks import is_ornament
from .chapter_headings import chapter_heading
from .pdf_lines import Line
from .pdf_pages import text_size

MAX_HEADING_LENGTH = 150  # characters

_HEADING_SIZE = 1.1  # size of the letters of a heading as a share of that of the text, at least
_DROP_CAP_SIZE = 1.8  # as a share of the size of the text, at least
_SAME_SIZE = 0.04  # difference of sizes, as a share, that is none
_GAP = 1.3  # distance of two lines as a share of the usual one, beyond which they are two paragraphs
_MIN_INDENT, _MAX_INDENT = 0.6, 6.0  # as a share of the size of letters
_SHORT = 0.75  # length of a last line that ends a sentence, as a share of that of full lines, at most
_VERY_SHORT = 0.5  # of a last line that does not, such as a list item or the row of a table
_FULL_QUANTILE = 0.8  # share of lines that are not longer than a full line
_MARGIN_SHARE = 0.08  # least share of lines at the left edge of a column

_STOP = re.compile(r"[.!?…:。！？।]['\"’”»)\]]*\Z")
BULLET = re.compile("\\A[•◦▪‣●○■□\uf0a7\uf0b7]\\s*")  # the last two are those of Word


@dataclass(frozen=True)
class Paragraph:
    """Lines that belong together. `is_heading`: by the size of the letters."""

    lines: tuple[Line, ...]
    is_heading: bool

    @property
    def text(self) -> str:
        """The lines, with their ends."""
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True)
class Layout:
    """What is usual for the lines of running text in a document."""

    size: float  # of letters
    distance: float  # of baselines
    length: int  # characters of a full line
    margins: tuple[
        Sequence[float], Sequence[float]
    ]  # left edges of the columns, on pages with an even and an odd number

    @classmethod
    def of(cls, pages: Sequence[Sequence[Line]]) -> Layout:
        """The layout of pages without running heads."""
        size = text_size(pages)
        lines = [[line for line in page if _is_same(line.size, size)] for page in pages]
        drops = (round(a.y - b.y, 1) for page in lines for a, b in pairwise(page) if a.y > b.y)
        lengths = sorted(len(line.text) for page in lines for line in page)
        return cls(
            size,
            _most_common(drops, 1.2 * size),
            lengths[int(_FULL_QUANTILE * len(lengths))] if lengths else 0,
            (_left_edges(chain.from_iterable(lines[::2]), size), _left_edges(chain.from_iterable(lines[1::2]), size)),
        )

    def indent(self, line: Line) -> float:
        """The distance of the beginning of a line from the left edge of its column."""
        margins = self.margins[line.page % 2]
        return line.x - max(
            (margin for margin in margins if margin <= line.x + 1), default=min(margins, default=line.x)
        )

    def is_indented(self, line: Line) -> bool:
        """Whether a line begins a little to the right of the edge."""
        return _MIN_INDENT * line.size <= self.indent(line) <= _MAX_INDENT * line.size


def join_lines(lines: Sequence[Line], layout: Layout) -> list[Paragraph]:
    """The paragraphs of successive lines, also over the ends of pages."""
    found: list[list[Line]] = []
    for line in _with_drop_caps(lines, layout.size):
        if not found or _begins_paragraph(found[-1], line, layout):
            found.append([])
        found[-1].append(line)
    return [Paragraph(tuple(own), _is_heading(own, layout)) for own in found]


def _left_edges(lines: Iterable[Line], size: float) -> list[float]:
    """The left edges of columns: where many lines begin, farther apart than an indent."""
    beginnings = Counter(round(line.x) for line in lines)
    least = _MARGIN_SHARE * beginnings.total()
    edges: list[float] = []
    for x in sorted(x for x, n in beginnings.items() if n >= least):
        if not edges or x - edges[-1] > _MAX_INDENT * size:
            edges.append(x)
    return edges


def _begins_paragraph(own: Sequence[Line], line: Line, layout: Layout) -> bool:
    """Whether a line begins a paragraph after the lines of another, which are all there are so far."""
    before = own[-1]
    if is_ornament(line.text) or is_ornament(before.text) or BULLET.match(line.text):
        return True
    if not _is_same(before.size, line.size) or (len(own) == 1 and chapter_heading(before.text) is not None):
        return True
    drop = before.y - line.y
    if before.page == line.page and drop > _GAP * layout.distance * line.size / layout.size:
        return True
    if line.size >= _HEADING_SIZE * layout.size:
        return False
    ends = _STOP.search(before.text) is not None
    if layout.is_indented(line):
        return ends or not abs(layout.indent(before) - layout.indent(line)) < 1
    if chapter_heading(line.text) is not None and (ends or before.page != line.page):
        return True
    return len(before.text) <= (_SHORT if ends else _VERY_SHORT) * layout.length and not line.text[0].islower()


def _with_drop_caps(lines: Sequence[Line], size: float) -> list[Line]:
    """The lines with large first letters of a chapter joined to the words that they begin."""
    found: list[Line] = []
    letter = ""
    for line, following in pairwise([*lines, None]):
        assert line is not None
        is_drop_cap = len(line.text) == 1 and line.text.isupper() and line.size >= _DROP_CAP_SIZE * size
        if is_drop_cap and following is not None and following.page == line.page and following.text[0].isalpha():
            letter = line.text
        else:
            found.append(dataclasses.replace(line, text=letter + line.text))
            letter = ""
    return found


def _is_heading(lines: Sequence[Line], layout: Layout) -> bool:
    is_large = all(line.size >= _HEADING_SIZE * layout.size for line in lines)
    return is_large and sum(len(line.text) for line in lines) <= MAX_HEADING_LENGTH


def _is_same(size: float, other: float) -> bool:
    return abs(size - other) <= _SAME_SIZE * max(size, other)


def _most_common(values: Iterable[float], default: float) -> float:
    counts = Counter(values).most_common(1)
    return counts[0][0] if counts else default
