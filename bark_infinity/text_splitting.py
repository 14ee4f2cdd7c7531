"""Text of any length -> segments that Bark speaks well, about as long as one breath; pure.

`split_text` marks every place where the text may be cut with a `Break` grade, once. What lies between two places is
unbreakable. Filling segments, cutting long sentences and keeping within the token limit then only choose among places.
"""

from __future__ import annotations

import random
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import accumulate, islice, pairwise
from math import ceil
from typing import NamedTuple

from .sentences import SPACELESS, sentence_ends
from .text_units import BLANK_LINE, characters

CHARACTERS_PER_S = 14.0  # of Bark's speech in scripts that write sounds, spaces included; a rule of thumb for English
SYLLABLES_PER_S = 4.5  # Chinese, Japanese and Korean characters, each a syllable or more
SYLLABLE_LENGTH = 3  # what such a character adds to a length, rounded from the two rates
LETTERS_PER_ID = 2  # of a word, for Bark's multilingual BERT vocabulary: cautious, English has about 4
SHORT_WORDS = 2  # Bark babbles on a segment of no more words than this
MIN_LENGTH = 20  # characters that jitter leaves of a length
VERSE_LINE_LENGTH = 60  # characters; prose is hardly ever wrapped to lines as short as those of verse


class Break(IntEnum):
    """How good a place is for a cut."""

    CHARACTER = 1  # inside a word of a script without spaces
    WORD = 2
    PHRASE = 3
    CLAUSE = 4
    SENTENCE = 5
    PARAGRAPH = 6


# ---- public ----------------------------------------------------------------------------------------------------------


def split_text(
    text: str,
    *,
    goal_length: int = 110,
    max_length: int = 170,
    jitter: int = 0,
    seed: int = 0,
    count_ids: Callable[[str], int] | None = None,
    max_ids: int = 256,
) -> list[str]:
    """Segments of whole sentences, filled up to `goal_length` characters and no longer than `max_length`.

    A longer sentence is cut at clause ends, then before conjunctions, then between words. Quotations, [tags], lyrics,
    numbers and URLs are not cut; one that is longer than `max_length` by itself makes a longer segment, but never one
    of more than `max_ids` token ids as `count_ids` counts them (estimated where it is not given). Nothing but white
    space is lost. A Chinese, Japanese or Korean character counts as `SYLLABLE_LENGTH`, for the time it takes to speak.
    `jitter` shifts both lengths by one random number of at most so many characters, the same for the same `seed`.
    Raises ValueError on lengths that make no sense. Text without a letter or digit is one segment.
    """
    if not 1 <= goal_length <= max_length:
        raise ValueError(f"goal_length {goal_length} must be from 1 to max_length, which is {max_length}")
    if jitter < 0 or max_ids < 1:
        raise ValueError(f"jitter {jitter} must be 0 or more and max_ids {max_ids} must be 1 or more")
    shift = random.Random(seed).randint(-jitter, jitter)
    goal = max(min(goal_length, MIN_LENGTH), goal_length + shift)
    limit = max(min(max_length, MIN_LENGTH), goal, max_length + shift)

    text, verse_ends = _collapsed(text)
    if not _SPOKEN.search(text):
        return [text.replace("\n", " ")] if text else []
    count = _estimate_ids if count_ids is None else count_ids
    segments = _MarkedText(text, goal, limit, verse_ends).segments()
    return [
        part for start, end, _ in segments for part in _within_ids(text[start:end].replace("\n", " "), count, max_ids)
    ]


def estimate_seconds(text: str) -> float:
    """Rough seconds of speech, for planning."""
    text = " ".join(text.split())
    syllables = len(_SYLLABLE.findall(text))
    return syllables / SYLLABLES_PER_S + (len(text) - syllables) / CHARACTERS_PER_S


def normalize_text(text: str) -> str:
    """NFC, lines ended by \\n, without byte order marks and without control characters other than \\n and \\t."""
    text = _LINE_END.sub("\n", text)
    return unicodedata.normalize("NFC", _UNSPEAKABLE.sub("", text))


_LINE_END = re.compile("\r\n|[\r\v\f\x85]")
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")


# ---- places where the text may be cut --------------------------------------------------------------------------------

_PARAGRAPH = re.compile(r"[^\n]+")  # of a collapsed text
_SPOKEN = re.compile(r"[^\W_]")
_LETTER = re.compile(r"[^\W\d_]")
_SYLLABLE = re.compile(rf"[{SPACELESS}가-힣]")
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


def _collapsed(text: str) -> tuple[str, list[int]]:
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
    length = len(line) + (SYLLABLE_LENGTH - 1) * len(_SYLLABLE.findall(line))
    return length <= VERSE_LINE_LENGTH and not (first and first.group().islower())


def _breaks(text: str, lengths: list[int], goal: int, limit: int, verse_ends: Iterable[int]) -> dict[int, Break]:
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
    """Where somebody else speaks, as good as a paragraph: a segment that begins with the tag has the speaker's voice.

    And where somebody begins or ceases to sing, as good as the end of a sentence.
    """
    for match in _SPEAKER.finditer(text):
        yield match.start() - 1, Break.PARAGRAPH
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
        if _SPOKEN.search(text, previous, place):
            last = place
            kept[place] = breaks[place]
        elif kept and breaks[place] >= kept[last]:
            del kept[last]
            last = place
            kept[place] = breaks[place]
        previous = place
    if kept and not _SPOKEN.search(text, last):
        del kept[last]
    return kept


# ---- choosing among the places ---------------------------------------------------------------------------------------

_WORD = re.compile(rf"[{SPACELESS}]{{1,2}}|[^\W_](?:(?![{SPACELESS}])\S)*")


class Piece(NamedTuple):
    """text[start:end], and the grade of the break at its end."""

    start: int
    end: int
    grade: Break


class _MarkedText:
    """A text with the places where it may be cut, and the lengths that its segments are to have."""

    def __init__(self, text: str, goal: int, limit: int, verse_ends: Iterable[int] = ()) -> None:
        weights = bytearray(b"\1") * len(text)
        for match in _SYLLABLE.finditer(text):
            weights[match.start()] = SYLLABLE_LENGTH
        self.text = text
        self.goal = goal
        self.limit = limit
        self.lengths = list(accumulate(weights, initial=0))  # of the text before each offset
        self.breaks = _breaks(text, self.lengths, goal, limit, verse_ends)
        self.places = list(self.breaks)

    def segments(self) -> list[Piece]:
        segments: list[Piece] = []
        for piece in self.pieces():
            if segments and self.takes(segments[-1], piece):
                segments[-1] = _joined(segments[-1], piece)
            else:
                self.join_short(segments)
                segments.append(piece)
        self.join_short(segments)
        return segments

    def pieces(self) -> Iterator[Piece]:
        """The sentences, those longer than the limit in parts."""
        start = 0
        for end in [*(place for place in self.places if self.breaks[place] >= Break.SENTENCE), len(self.text)]:
            while self.length(start, end) > self.limit and (place := self.best_place(start, end)) is not None:
                yield Piece(start, place, self.breaks[place])
                start = self.after(place)
            yield Piece(start, end, self.breaks.get(end, Break.PARAGRAPH))
            start = self.after(end)

    def best_place(self, start: int, end: int) -> int | None:
        """Where to end the first part of a long sentence; None where it cannot be cut."""
        first, last = bisect_right(self.places, start), bisect_left(self.places, end)
        if first == last:
            return None
        beyond = bisect_right(self.places, self.lengths[start] + self.limit, key=self.lengths.__getitem__)
        fitting = self.places[first : min(last, beyond)]
        if not fitting:
            return self.places[first]  # what is unbreakable may be too long
        length = self.length(start, end)
        parts = max(ceil(length / self.limit), round(length / self.goal))
        target = length / parts  # all alike, rather than a stub at the end
        balanced = [p for p in fitting if min(self.length(start, p), self.length(p, end)) >= target / 2]
        return max(balanced or fitting[-1:], key=lambda p: (self.breaks[p], -abs(self.length(start, p) - target)))

    def takes(self, segment: Piece, piece: Piece) -> bool:
        """Whether the segment goes on with the next piece."""
        if self.length(segment.start, piece.end) > self.limit:
            return False
        if self.is_short(segment):
            return True
        if segment.grade is Break.PARAGRAPH:
            return False
        if segment.grade is Break.SENTENCE and piece.grade < Break.SENTENCE:
            return False  # the head of a long sentence stays with that sentence
        return self.length(segment.start, segment.end) < self.goal

    def join_short(self, segments: list[Piece]) -> None:
        """Join the last segment to the one before if it is short: it could not go on."""
        if len(segments) > 1 and self.is_short(segments[-1]):
            before, short = segments[-2:]
            if self.length(before.start, short.end) <= self.limit:
                segments[-2:] = [_joined(before, short)]

    def is_short(self, piece: Piece) -> bool:
        words = _WORD.finditer(self.text, piece.start, piece.end)
        return next(islice(words, SHORT_WORDS, None), None) is None

    def length(self, start: int, end: int) -> int:
        return self.lengths[end] - self.lengths[start]

    def after(self, place: int) -> int:
        """Where the piece behind a place begins."""
        return place + self.text[place : place + 1].isspace()


def _joined(first: Piece, second: Piece) -> Piece:
    return Piece(first.start, second.end, second.grade)


# ---- token ids -------------------------------------------------------------------------------------------------------


def _within_ids(segment: str, count_ids: Callable[[str], int], max_ids: int) -> list[str]:
    """Cut the segment until no part has more than `max_ids` ids: in halves, or in like parts where it is one word."""
    ids = count_ids(segment)
    if len(segment) < 2 or ids <= max_ids:
        return [segment]
    middle = len(segment) // 2
    breaks = _MarkedText(segment, 0, middle).breaks
    central = [place for place in breaks if abs(place - middle) <= middle / 2]
    best = max(central or breaks, key=lambda place: (breaks[place], -abs(place - middle)), default=None)
    places = [best] if best is not None else _places_in_word(segment, ceil(ids / max_ids))
    pieces = (segment[start:end].strip() for start, end in pairwise([0, *places, len(segment)]))
    return [part for piece in pieces for part in _within_ids(piece, count_ids, max_ids)]


def _places_in_word(word: str, parts: int) -> list[int]:
    """Where to cut it in like parts; inside a character with its marks or an emoji sequence only if that is all."""
    ends = [character.end for character in characters(word)]
    if len(ends) == 1:
        ends = list(range(1, len(word) + 1))
    step = ceil(len(ends) / parts)
    return ends[step - 1 : -1 : step]


def _estimate_ids(text: str) -> int:
    """Token ids, rather too many: one for `LETTERS_PER_ID` letters, for a CJK character and for any mark."""
    letters = len(_SPOKEN.findall(text)) - len(_SYLLABLE.findall(text))
    others = sum(map(len, text.split())) - letters
    return others + ceil(letters / LETTERS_PER_ID)
