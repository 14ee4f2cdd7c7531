"""Lays out a text as subtitles: cues of one or two balanced lines of readable length, and the words in them."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise

from .breaks import NEVER_FIRST, SPOKEN, Break, collapse, find_breaks, weights_of
from .sentences import SPACELESS
from .splitting import normalize_text
from .units import Span, characters

# Widths are in half columns, of which most characters have 2. A line has 42 columns, as broadcasters have it, which is 16
# wide characters of Chinese, Japanese and Korean.
LINE_WIDTH = 84
_NARROW, _WIDE = 2, 5
_SHORT_QUOTATION = 20  # length up to which quotations and tags are not cut, in the unit of `weights_of`

# What is bad about a layout, in arbitrary units; the layout with the smallest sum is taken.
_EACH_CUE = 1.5
_SHORT_CUE = 2.0  # of a cue without width; in proportion less up to half a line
_IN_A_WORD = 10.0
_BETWEEN_CUES = {Break.CHARACTER: 4.0, Break.WORD: 2.5, Break.PHRASE: 1.2, Break.CLAUSE: 0.4}
_BETWEEN_LINES = {Break.CHARACTER: 2.0, Break.WORD: 1.0, Break.PHRASE: 0.4, Break.CLAUSE: 0.15}

_TAG = r"\[[^][\n]{1,60}\]"
_WORD = re.compile(
    rf"{_TAG} | [{SPACELESS}][{NEVER_FIRST}]* | (?:(?!{_TAG}|[{SPACELESS}])\S)+",
    re.VERBOSE,
)
_OPENERS = "¿¡"

Lines = tuple[Span, ...]
"""The lines of a cue, as spans of the text."""


def subtitle_text(text: str) -> str:
    """The text as its subtitles have it: normalised, on one line, with single spaces."""
    return " ".join(normalize_text(text).split())


def split_cues(text: str, by_sentence: bool = False) -> list[Lines]:
    """The lines of each cue for a text from `subtitle_text`; white space at their ends belongs to none.

    A cue has one or two lines of at most 42 columns. `by_sentence`: no cue has parts of two sentences.
    """
    if not text:
        return []
    places = _places(text)
    layout = _Layout(text, places)
    ends = [place for place, grade in places.items() if by_sentence and (grade or 0) >= Break.SENTENCE]
    cues: list[Lines] = []
    for start, end in pairwise([0, *ends, len(text)]):
        cues += layout.cues(_after(text, start), end)
    return cues


def words_of(text: str) -> list[Span]:
    """The words of a text, in order; all but white space belongs to one of them.

    A tag such as [laughs] is a word, as is each character of a script without spaces. Punctuation that stands alone belongs
    to the word before it; an opening mark, or what comes before all words, to the one after it.
    """
    words: list[Span] = []
    opening: int | None = None  # start of punctuation that belongs to the next word
    for match in _WORD.finditer(text):
        start, end = match.span()
        if not SPOKEN.search(text, start, end) and (not words or _opens(text, start, end)):
            opening = start if opening is None else opening
        elif not SPOKEN.search(text, start, end) and opening is None:
            words[-1] = Span(words[-1].start, end)
        else:
            words.append(Span(start if opening is None else opening, end))
            opening = None
    if opening is not None:  # nothing follows it
        words[-1:] = [Span(words[-1].start if words else opening, len(text.rstrip()))]
    return words


def speaking_times(text: str) -> list[int]:
    """The estimated time that the text before each offset takes to speak, in an arbitrary unit; n + 1 numbers."""
    return list(accumulate(weights_of(text), initial=0))


def _opens(text: str, start: int, end: int) -> bool:
    """Whether punctuation opens what follows it directly."""
    mark = text[start]
    opens = unicodedata.category(mark) in ("Ps", "Pi") or mark in _OPENERS
    return opens and not text[end : end + 1].isspace() and end < len(text)


def _after(text: str, place: int) -> int:
    return place + text[place : place + 1].isspace()


def width_of(text: str) -> int:
    """The width of a text in half columns."""
    return sum(map(_width, text))


@cache
def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _NARROW


def _places(text: str) -> dict[int, Break | None]:
    """The places where the text may be cut: {offset: grade}, ascending; None for those inside a word longer than a line."""
    prose = collapse(text)
    assert prose.text == text
    breaks: dict[int, Break | None] = dict(find_breaks(prose, speaking_times(text), 0, _SHORT_QUOTATION))
    for start, end in pairwise([0, *breaks, len(text)]):
        if width_of(text[start:end].strip()) > LINE_WIDTH:
            breaks |= dict.fromkeys(_full_lines(text, _after(text, start), end))
    return dict(sorted(breaks.items()))


def _full_lines(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the places that cut a word which is longer than a line into full lines, between its characters."""
    filled = 0
    for character in characters(text[start:end]):
        width = width_of(text[start + character.start : start + character.end])
        if filled and filled + width > LINE_WIDTH:
            yield start + character.start
            filled = 0
        filled += width


class _Layout:
    """Finds the best layout of parts of a text."""

    def __init__(self, text: str, places: dict[int, Break | None]) -> None:
        self._text = text
        self._grades = places
        self._places = list(places)
        self._widths = list(accumulate(map(_width, text), initial=0))

    def cues(self, start: int, end: int) -> list[Lines]:
        """The cues of text[start:end] whose sum of what is bad about them is smallest."""
        places = [start, *self._between(start, end), end]
        # up to each place: the sum, the number of the place where the last cue begins, and its lines
        best: list[tuple[float, int, Lines]] = [(0.0, 0, ())]
        for k in range(1, len(places)):
            best.append(min(self._last_cues(places, k, best), key=lambda choice: choice[0]))
        cues: list[Lines] = []
        k = len(places) - 1
        while k > 0:
            _, before, lines = best[k]
            cues.append(lines)
            k = before
        return cues[::-1]

    def _last_cues(
        self, places: Sequence[int], k: int, best: Sequence[tuple[float, int, Lines]]
    ) -> Iterator[tuple[float, int, Lines]]:
        """Yield the cues that may end at place k, with the sum up to there."""
        last = k == len(places) - 1
        cut = 0.0 if last else _badness(self._grades[places[k]], _BETWEEN_CUES)
        for j in range(k - 1, -1, -1):
            start = _after(self._text, places[j]) if j else places[0]
            width = self._width(start, places[k])
            if width > 2 * LINE_WIDTH and j < k - 1:
                return
            if (found := self._lines(start, places[k])) is None:
                if j == k - 1:  # a single character that is wider than a line
                    yield best[j][0], j, (Span(start, places[k]),)
                continue
            badness, lines = found
            short = _SHORT_CUE * max(0.0, 1 - 2 * width / LINE_WIDTH)
            yield best[j][0] + _EACH_CUE + cut + short + badness, j, lines

    def _lines(self, start: int, end: int) -> tuple[float, Lines] | None:
        """The best lines for a cue, and what is bad about them; None if it does not fit into two."""
        if self._width(start, end) <= LINE_WIDTH:
            return 0.0, (Span(start, end),)
        choices = []
        for place in self._between(start, end):
            second = _after(self._text, place)
            widths = self._width(start, place), self._width(second, end)
            if max(widths) <= LINE_WIDTH:
                uneven = abs(widths[0] - widths[1]) / LINE_WIDTH
                badness = uneven + _badness(self._grades[place], _BETWEEN_LINES)
                choices.append((badness, (Span(start, place), Span(second, end))))
        return min(choices, default=None)

    def _between(self, start: int, end: int) -> list[int]:
        first, last = bisect_left(self._places, start + 1), bisect_left(self._places, end)
        return self._places[first:last]

    def _width(self, start: int, end: int) -> int:
        return self._widths[end] - self._widths[start]


def _badness(grade: Break | None, of_grades: dict[Break, float]) -> float:
    return _IN_A_WORD if grade is None else of_grades.get(grade, 0.0)
