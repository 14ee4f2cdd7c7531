"""Finds the places where a text may be cut into segments, and grades them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from ..constants import SPEAKER_NAMES
from .lists import inline_items, item_lines
from .sentences import SPACELESS, begins_sentences_small, sentence_ends
from .units import BLANK_LINE

SYLLABLE_LENGTH = 3  # what a Chinese, Japanese or Korean character adds to a length, by the time it takes to speak
DIGIT_LENGTH = 6  # what a digit adds: "514" is read as "five hundred fourteen", "1999" as "nineteen ninety-nine"
ZERO_LENGTH = 2  # "101" and "2000" are hardly longer than "11" and "2"
VERSE_LINE_LENGTH = 60  # characters; prose is hardly ever wrapped to lines as short as those of verse


class Break(IntEnum):
    """Grades of places for a cut; a higher one is better."""

    CHARACTER = 1  # inside a word of a script without spaces
    WORD = 2
    PHRASE = 3
    CLAUSE = 4
    SENTENCE = 5
    ITEM = 6  # end of a list item without a full stop
    TURN = 7  # change of speaker
    PARAGRAPH = 8
    SCENE = 9  # a line of ornaments such as * * *


class TextSegment(NamedTuple):
    """The text of one segment, and the grade of the break after it."""

    text: str
    end: Break


_PARAGRAPH = re.compile(r"[^\n]+")  # of a collapsed text
SPOKEN = re.compile(r"[^\W_]")
_LETTER = re.compile(r"[^\W\d_]")
SYLLABLE = re.compile(rf"[{SPACELESS}가-힣]")
_DIGIT = re.compile(r"\d")
_CLOSERS = "[\"'”’»)\\]]*(?: »(?!\\S))?"
_WIDE_CLOSERS = "」』”’）】》"
NEVER_FIRST = "々ーぁぃぅぇぉっゃゅょァィゥェォッャュョ"  # characters that may not begin a line in Japanese typesetting
_WIDE_NEXT = rf"(?=[{SPACELESS}「『“‘（【《])"

# Words before which a speaker may pause even without a comma.
_CONJUNCTIONS = (
    "and or but nor while because although though unless until when where which who whose that if than since whether "
    "und oder aber sondern denn weil dass ob während bevor wenn als y e o pero sino porque aunque mientras que donde "
    "cuando si et ou mais car parce lorsque quand où qui dont ma perché mentre quando dove che se mas porém onde "
    "enquanto i oraz albo lub ale bo że żeby który która które gdy jeśli и или но что чтобы потому когда если где "
    "который которая которое которые ve veya ama fakat çünkü ki और या लेकिन क्योंकि कि जब अगर"
)

# A place is the offset of the end of a piece; a space there belongs to neither side. Later patterns override earlier ones.
_PLACES: tuple[tuple[Break, re.Pattern[str]], ...] = (
    (Break.CHARACTER, re.compile(rf"(?<=[{SPACELESS}])(?=[{SPACELESS}])(?![{NEVER_FIRST}])")),
    # A Japanese phrase usually ends in hiragana, but not in の ("of"), and the next one begins in kanji or katakana.
    (Break.PHRASE, re.compile(rf"(?<=[ぁ-ゖ])(?<!の)(?=[{SPACELESS}])(?![ぁ-ゖ々ー])")),
    (Break.WORD, re.compile(r"(?= )")),
    (Break.PHRASE, re.compile(rf"(?= (?:{'|'.join(_CONJUNCTIONS.split())}) )")),
    # Marks that end a clause, and marks inside a sentence: "What?" he asked.
    (Break.CLAUSE, re.compile(rf"(?:[,;:!?…،؛]|\.\.|\.(?=[\"'”’»)])){_CLOSERS}(?= )")),
    (Break.CLAUSE, re.compile(rf"(?:[，、；：,;:…—]+[{_WIDE_CLOSERS}]*|[{_WIDE_CLOSERS}]+){_WIDE_NEXT}")),
    # Dashes: "a - b", "a—b" and, before the second one, the Spanish "—¿Qué? —preguntó".
    (Break.CLAUSE, re.compile(r" (?:--?|[–—])(?= )|(?<=[\w\"'”’»)])(?:--|—)(?=[^\W\d])|(?= [—–(][\w¿¡])")),
    (Break.SENTENCE, re.compile(rf"[؟۔]+{_CLOSERS}(?= )")),  # Arabic and Urdu; `sentence_ends` knows Bark's languages
    (Break.PARAGRAPH, re.compile(r"(?=\n)")),
)

# Pairs of marks around text that is not cut if it fits into a segment. No pair crosses the end of a paragraph.
_LYRICS = re.compile(r"♪[^♪\n]*♪")
_PAIRS = (
    _LYRICS,
    re.compile(r"\[[^][\n]*\]"),
    # The same mark opens in one language and closes in another, so quotations are matched one after the other.
    re.compile(r"“[^“”\n]*”|„[^„“”\n]*[“”]"),
    re.compile(r"«[^«»\n]*»|(?<![^\s(—–-])»(?=\S)[^«»\n]*«"),
    re.compile(r"‘[^‘’\n]*(?:’(?=\w)[^‘’\n]*)*’(?!\w)"),  # an apostrophe does not close it: ‘I don’t know’
    re.compile(r"(?<![\w\"])\"(?=[^\s\"])[^\"\n]*\"(?!\w)"),
    re.compile(r"「[^「」\n]*」"),
    re.compile(r"『[^『』\n]*』"),
)

# Text that is not cut at any length.
_NEVER_CUT = re.compile(
    r"""(?:https?://|www\.)[!-~]+ | (?<![\w.+-])[\w.+-]+@[\w.-]+\w  # URLs and addresses
      | (?<!\d)(?<!\d\ )\d{1,3}(?:\ \d{3}){1,3}(?!\ ?\d)  # 1 234 567, but not a row of numbers
      | [〇零一二两三四五六七八九十百千万萬亿億]{2,12}  # (1,234.56 has no place for a cut)
      | \S\ (?=[!?;:%°€]|»(?!\S)) | [«¿¡(]\ \S  # French spacing
    """,
    re.VERBOSE,
)

# "[MAN] " and "OLD MAN: ", which stay with the word that follows.
_STOPS = re.compile(r"[.!?…।。！？]\W?\Z")
_STOPS_AND_COLONS = re.compile(r"[.!?…।。！？:：]\W?\Z")
_CAPITALS = "A-ZÀ-ÖØ-ÞĄĆĘĞİŁŃŚŞŹŻА-ЯЁ"
_SPEAKER_TAG = (
    rf"(?<!\S)(?:\[(?:[{_CAPITALS}]+ ){{0,2}}(?:{SPEAKER_NAMES})(?: \d+)?\]"
    rf"|[{_CAPITALS}][{_CAPITALS}\d.'’-]*(?: [{_CAPITALS}\d.'’-]+){{0,2}}:)"
)
_SPEAKER = re.compile(rf"{_SPEAKER_TAG} (?=\S)")
_SPEAKER_ANYWHERE = re.compile(rf"{_SPEAKER_TAG}(?=\s)")  # also in a paragraph of its own


class CollapsedText(NamedTuple):
    """A text with one paragraph per line and single spaces, and the offsets of original line ends that matter."""

    text: str
    verse_ends: list[int]
    item_ends: list[int]  # where an item of a list comes next
    list_ends: list[int]  # of paragraphs that end with an item


def collapse(text: str) -> CollapsedText:
    """The text with each paragraph in one line. The original line ends are kept only for verse and list items."""
    paragraphs = []
    for paragraph in BLANK_LINE.split(text):
        lines = [" ".join(line.split()) for line in paragraph.splitlines() if line.strip()]
        if lines:
            paragraphs.append(lines)
    item_paragraphs = set(item_lines([lines[0] for lines in paragraphs]))
    verse_ends: list[int] = []
    item_ends: list[int] = []
    list_ends: list[int] = []
    start = 0
    for k, lines in enumerate(paragraphs):
        ends = list(accumulate((len(line) + 1 for line in lines), initial=start - 1))  # before each line
        items = item_lines(lines)
        if items:
            item_ends += [ends[i] for i in items if i > 0]
        elif _is_verse(lines):
            verse_ends += ends[1:-1]
        if k in item_paragraphs or items or inline_items(" ".join(lines)):
            list_ends.append(ends[-1])
        start = ends[-1] + 1
    return CollapsedText("\n".join(map(" ".join, paragraphs)), verse_ends, item_ends, list_ends)


def _is_verse(lines: list[str]) -> bool:
    """Whether a paragraph is verse: all lines are short, and they begin with capitals or are not wrapped by an editor."""
    if any(_length(line) > VERSE_LINE_LENGTH for line in lines):
        return False
    firsts = (_LETTER.search(line) for line in lines)
    return not any(first and first.group().islower() for first in firsts) or not _may_be_wrapped(lines)


def _length(line: str) -> int:
    return len(line) + (SYLLABLE_LENGTH - 1) * len(SYLLABLE.findall(line))


def _may_be_wrapped(lines: list[str]) -> bool:
    """Whether an editor may have wrapped the lines: no line has room for the first word of the next one."""
    longest = max(map(len, lines))
    return all(len(line) + 1 + len(following.split(" ", 1)[0]) > longest for line, following in pairwise(lines))


def weights_of(text: str) -> bytearray:
    """What each character adds to a length, by the time it takes to speak; digits are read as words."""
    weights = bytearray(b"\1") * len(text)
    for match in SYLLABLE.finditer(text):
        weights[match.start()] = SYLLABLE_LENGTH
    for match in _DIGIT.finditer(text):
        weights[match.start()] = DIGIT_LENGTH if int(match.group()) else ZERO_LENGTH
    return weights


def find_breaks(prose: CollapsedText, lengths: list[int], goal: int, limit: int) -> dict[int, Break]:
    """The places where a text may be cut: {offset: grade}, ascending.

    `lengths`: of the text before each offset. `goal`, `limit`: lengths of segments.
    """
    text = prose.text
    breaks: dict[int, Break] = {}
    for grade, pattern in _PLACES:
        breaks.update((match.end(), grade) for match in pattern.finditer(text))
    small_letters = begins_sentences_small(text)
    for first, last in pairwise([0, *prose.item_ends, len(text)]):
        for paragraph in _PARAGRAPH.finditer(text, first, last):
            start, end = paragraph.span()
            if lengths[end] - lengths[start] > goal:  # a shorter paragraph is not cut at sentences
                places = sentence_ends(paragraph.group(), small_letters)
                breaks.update((start + place, Break.SENTENCE) for place in places)
            items = (start + place - 1 for place in inline_items(paragraph.group()))
            breaks.update((place, _grade_before_item(text, place)) for place in items)
    for place, grade in [*((place, Break.CLAUSE) for place in prose.verse_ends), *_turns(text)]:
        if place in breaks:
            breaks[place] = max(breaks[place], grade)
    for start, end in _whole(text, lengths, limit):
        for place in range(start + 1, end):
            breaks.pop(place, None)
    for place in prose.item_ends:
        breaks[place] = _grade_before_item(text, place)
    return _between_spoken(text, breaks)


def _grade_before_item(text: str, place: int) -> Break:
    return Break.SENTENCE if _STOPS.search(text, max(0, place - 3), place) else Break.ITEM


def ends_without_stop(text: str, place: int) -> bool:
    """Whether what ends here would run on into what follows: no stop ends it, nor the colon of an introduction."""
    return not _STOPS_AND_COLONS.search(text, max(0, place - 3), place)


def changes_of_speaker(text: str) -> list[int]:
    """Offsets of the tags that name another speaker than the tag before, or the first one."""
    changes: list[int] = []
    last = None
    for match in _SPEAKER_ANYWHERE.finditer(text):
        name = match.group().strip("[]:")
        if name != last:
            changes.append(match.start())
        last = name
    return changes


def _turns(text: str) -> Iterator[tuple[int, Break]]:
    """Yield places before a speaker's tag, so that a segment begins with it and has that speaker's voice.

    Also places where lyrics begin or end; they are as good as the end of a sentence.
    """
    for match in _SPEAKER.finditer(text):
        yield match.start() - 1, Break.TURN
    for match in _LYRICS.finditer(text):
        yield from ((match.start() - 1, Break.SENTENCE), (match.end(), Break.SENTENCE))


def _whole(text: str, lengths: list[int], limit: int) -> Iterator[tuple[int, int]]:
    """Yield spans that may not be cut."""
    for pattern in (_NEVER_CUT, _SPEAKER):
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in _PAIRS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if lengths[end] - lengths[start] <= limit:
                yield start, end
            else:  # it must be cut, but not between its marks and the words beside them: ♪ Oh ... my ♪
                yield from ((start, min(start + 3, end)), (max(start, end - 3), end))


def _between_spoken(text: str, breaks: dict[int, Break]) -> dict[int, Break]:
    """The breaks in ascending order. Of breaks with only punctuation between them the best is kept: no piece is punctuation."""
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
