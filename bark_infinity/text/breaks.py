"""Places where a text may be cut into segments, and how good each is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import accumulate, islice
from typing import NamedTuple

from .sentences import SPACELESS, sentence_ends
from .units import BLANK_LINE

SYLLABLE_LENGTH = 3  # what a Chinese, Japanese or Korean character adds to a length: the time that it takes
VERSE_LINE_LENGTH = 60  # characters; prose is hardly ever wrapped to lines as short as those of verse


class Break(IntEnum):
    """How good a place is for a cut."""

    CHARACTER = 1  # inside a word of a script without spaces
    WORD = 2
    PHRASE = 3
    CLAUSE = 4
    SENTENCE = 5
    TURN = 6  # somebody else speaks
    PARAGRAPH = 7
    SCENE = 8  # a line of ornaments such as * * *


class TextSegment(NamedTuple):
    """The text of one segment, and what kind of break comes behind it."""

    text: str
    end: Break


_PARAGRAPH = re.compile(r"[^\n]+")  # of a collapsed text
SPOKEN = re.compile(r"[^\W_]")
_LETTER = re.compile(r"[^\W\d_]")
SYLLABLE = re.compile(rf"[{SPACELESS}가-힣]")
_CLOSERS = "[\"'”’»)\\]]*(?: »(?!\\S))?"
_WIDE_CLOSERS = "」』”’）】》"
_NEVER_FIRST = "々ーぁぃぅぇぉっゃゅょァィゥェォッャュョ"  # in a line, by the rules of Japanese typesetting
_WIDE_NEXT = rf"(?=[{SPACELESS}「『“‘（【《])"

# Before these a speaker may breathe even where no comma is written.
_CONJUNCTIONS = (
    "and or but nor while because although though unless until when where which who whose that if than since whether "
    "und oder aber sondern denn weil dass ob während bevor wenn als y e o pero sino porque aunque mientras que donde "
    "cuando si et ou mais car parce lorsque quand où qui dont ma perché mentre quando dove che se mas porém onde "
    "enquanto i oraz albo lub ale bo że żeby który która które gdy jeśli и или но что чтобы потому когда если где "
    "который которая которое которые ve veya ama fakat çünkü ki और या लेकिन क्योंकि कि जब अगर"
)

# A place is the offset behind the piece that it ends; a space there belongs to neither side. Later patterns win.
_PLACES: tuple[tuple[Break, re.Pattern[str]], ...] = (
    (Break.CHARACTER, re.compile(rf"(?<=[{SPACELESS}])(?=[{SPACELESS}])(?![{_NEVER_FIRST}])")),
    # A Japanese phrase usually ends in hiragana, but not in の ("of"), and the next one begins in kanji or katakana.
    (Break.PHRASE, re.compile(rf"(?<=[ぁ-ゖ])(?<!の)(?=[{SPACELESS}])(?![ぁ-ゖ々ー])")),
    (Break.WORD, re.compile(r"(?= )")),
    (Break.PHRASE, re.compile(rf"(?= (?:{'|'.join(_CONJUNCTIONS.split())}) )")),
    # Marks that end a clause, and those of a sentence that goes on: "What?" he asked.
    (Break.CLAUSE, re.compile(rf"(?:[,;:!?…،؛]|\.\.|\.(?=[\"'”’»)])){_CLOSERS}(?= )")),
    (Break.CLAUSE, re.compile(rf"(?:[，、；：,;:…—]+[{_WIDE_CLOSERS}]*|[{_WIDE_CLOSERS}]+){_WIDE_NEXT}")),
    # Dashes: "a - b", "a—b" and, before the second one, the Spanish "—¿Qué? —preguntó".
    (Break.CLAUSE, re.compile(r" (?:--?|[–—])(?= )|(?<=[\w\"'”’»)])(?:--|—)(?=[^\W\d])|(?= [—–(][\w¿¡])")),
    (Break.SENTENCE, re.compile(rf"[؟۔]+{_CLOSERS}(?= )")),  # Arabic and Urdu; `sentence_ends` knows Bark's languages
    (Break.PARAGRAPH, re.compile(r"(?=\n)")),
)

# Pairs around text that stays whole where it fits. No pair crosses the end of a paragraph.
_LYRICS = re.compile(r"♪[^♪\n]*♪")
_PAIRS = (
    _LYRICS,
    re.compile(r"\[[^][\n]*\]"),
    re.compile(r"“[^“”\n]*”"),
    re.compile(r"„[^„“”\n]*[“”]"),
    re.compile(r"«[^«»\n]*»"),
    re.compile(r"(?<!\S)»(?=\S)[^«»\n]*«"),
    re.compile(r"‘[^‘’\n]*(?:’(?=\w)[^‘’\n]*)*’(?!\w)"),  # an apostrophe does not close it: ‘I don’t know’
    re.compile(r"(?<![\w\"])\"(?=[^\s\"])[^\"\n]*\"(?!\w)"),
    re.compile(r"「[^「」\n]*」"),
    re.compile(r"『[^『』\n]*』"),
)

# What stays whole at any length.
_NEVER_CUT = re.compile(
    r"""(?:https?://|www\.)[!-~]+ | (?<![\w.+-])[\w.+-]+@[\w.-]+\w  # URLs and addresses
      | \d(?:\ \d{3})+(?!\d) | [〇零一二两三四五六七八九十百千万萬亿億]{2,}  # numbers; 1,234.56 has no place anyway
      | \S\ (?=[!?;:%°€]|»(?!\S)) | [«¿¡(]\ \S  # French spacing
    """,
    re.VERBOSE,
)

# "[MAN] " and "OLD MAN: ", which stay with the word that follows.
_CAPITALS = "A-ZÀ-ÖØ-ÞĄĆĘĞİŁŃŚŞŹŻА-ЯЁ"
_SPEAKER = re.compile(
    rf"(?<!\S)(?:\[[{_CAPITALS} ]+\]|[{_CAPITALS}][{_CAPITALS}\d.'’-]*(?: [{_CAPITALS}\d.'’-]+){{0,2}}:) (?=\S)"
)


def collapsed(text: str) -> tuple[str, list[int]]:
    """The paragraphs, one a line and without other white space than single spaces, and the offsets of line ends in verse.

    Verse is a paragraph of short lines none of which begins with a small letter. Elsewhere a line end says nothing.
    """
    paragraphs: list[str] = []
    verse_ends: list[int] = []
    start = 0
    for paragraph in BLANK_LINE.split(text):
        lines = [" ".join(line.split()) for line in paragraph.splitlines() if line.strip()]
        if all(map(_is_verse_line, lines)):
            verse_ends += islice(accumulate((len(line) + 1 for line in lines), initial=start - 1), 1, len(lines))
        if lines:
            paragraphs.append(" ".join(lines))
            start += len(paragraphs[-1]) + 1
    return "\n".join(paragraphs), verse_ends


def _is_verse_line(line: str) -> bool:
    first = _LETTER.search(line)
    length = len(line) + (SYLLABLE_LENGTH - 1) * len(SYLLABLE.findall(line))
    return length <= VERSE_LINE_LENGTH and not (first and first.group().islower())


def find_breaks(text: str, lengths: list[int], goal: int, limit: int, verse_ends: Iterable[int]) -> dict[int, Break]:
    """The places where a text may be cut, ascending, and how good they are."""
    breaks: dict[int, Break] = {}
    for grade, pattern in _PLACES:
        breaks.update((match.end(), grade) for match in pattern.finditer(text))
    for paragraph in _PARAGRAPH.finditer(text):
        start, end = paragraph.span()
        if lengths[end] - lengths[start] > goal:  # else it stays whole, and nltk need not be imported
            breaks.update((start + place, Break.SENTENCE) for place in sentence_ends(paragraph.group()))
    for place, grade in [*((place, Break.CLAUSE) for place in verse_ends), *_turns(text)]:
        if place in breaks:
            breaks[place] = max(breaks[place], grade)
    for start, end in _whole(text, lengths, limit):
        for place in range(start + 1, end):
            breaks.pop(place, None)
    return _between_spoken(text, breaks)


def _turns(text: str) -> Iterator[tuple[int, Break]]:
    """Where somebody else speaks: a segment that begins with the tag has the speaker's voice.

    And where somebody begins or ceases to sing, as good as the end of a sentence.
    """
    for match in _SPEAKER.finditer(text):
        yield match.start() - 1, Break.TURN
    for match in _LYRICS.finditer(text):
        yield from ((match.start() - 1, Break.SENTENCE), (match.end(), Break.SENTENCE))


def _whole(text: str, lengths: list[int], limit: int) -> Iterator[tuple[int, int]]:
    """Spans without a place inside."""
    for pattern in (_NEVER_CUT, _SPEAKER):
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in _PAIRS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if lengths[end] - lengths[start] <= limit:
                yield start, end
            else:  # it has to be cut, but its marks stay with its words: ♪ Oh ... my ♪
                yield from ((start, min(start + 3, end)), (max(start, end - 3), end))


def _between_spoken(text: str, breaks: dict[int, Break]) -> dict[int, Break]:
    """The breaks in order, of those with only punctuation between them the best, so that no piece is punctuation."""
    kept: dict[int, Break] = {}
    last = previous = 0
    for place in sorted(breaks):
        if SPOKEN.search(text, previous, place):
            last = place
            kept[place] = breaks[place]
        elif kept and breaks[place] >= kept[last]:
            del kept[last]
            last = place
            kept[place] = breaks[place]
        previous = place
    if kept and not SPOKEN.search(text, last):
        del kept[last]
    return kept
