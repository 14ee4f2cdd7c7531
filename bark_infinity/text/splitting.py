"""Splits a text of any length into segments that Bark speaks well, about as long as one breath.

First every place where the text may be cut is marked with a `Break` grade. Filling segments, cutting long sentences and
keeping within the token limit then only choose among these places.
"""

from __future__ import annotations

import random
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, islice, pairwise
from math import ceil
from typing import NamedTuple

from .blocks import find_blocks
from .breaks import (
    SPOKEN,
    SYLLABLE,
    SYLLABLE_LENGTH,
    Break,
    CollapsedText,
    TextSegment,
    changes_of_speaker,
    collapse,
    ends_without_stop,
    find_breaks,
    weights_of,
)
from .sentences import SPACELESS
from .units import characters

CHARACTERS_PER_S = 14.0  # of Bark's speech in alphabetic scripts, counting spaces; a rule of thumb for English
SYLLABLES_PER_S = 4.5  # Chinese, Japanese and Korean characters, each a syllable or more
LETTERS_PER_ID = 2  # letters of a word per id of Bark's multilingual BERT vocabulary; cautious, in English about 4
SHORT_WORDS = 2  # Bark babbles on a segment of no more words than this
MIN_LENGTH = 20  # characters below which jitter does not lower a length


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
    """Splits a text into segments of whole sentences, about `goal_length` characters long and at most `max_length`.

    A longer sentence is cut at clause ends, then before conjunctions, then between words. Quotations, [tags], lyrics,
    numbers and URLs are not cut; one that is longer than `max_length` by itself makes a longer segment, but never one
    of more than `max_ids` token ids as `count_ids` counts them (estimated where it is not given). Nothing but white
    space and lines of ornaments is lost. A heading is a segment of its own. A paragraph of one or two words shares a
    segment with a neighbour, because Bark babbles on so few, but never with another speaker's words. An item
    of a list is a segment of its own unless a stop ends it. A Chinese, Japanese or Korean character counts as
    `SYLLABLE_LENGTH` and a digit as `DIGIT_LENGTH`, for the time they take to speak. `jitter` shifts both lengths by one
    random number of at most so many characters, the same for the same `seed`.
    Raises ValueError on lengths that make no sense. Text without a letter or digit is one segment.
    """
    segments = split_with_breaks(
        text,
        goal_length=goal_length,
        max_length=max_length,
        jitter=jitter,
        seed=seed,
    )
    return [segment.text for segment in within_ids(segments, count_ids, max_ids)]


def split_with_breaks(
    text: str,
    *,
    goal_length: int = 110,
    max_length: int = 170,
    jitter: int = 0,
    seed: int = 0,
) -> list[TextSegment]:
    """As `split_text`, but with the grade of the break after each segment, and without a limit on token ids."""
    if not 1 <= goal_length <= max_length:
        raise ValueError(f"goal_length {goal_length} must be from 1 to max_length, which is {max_length}")
    if jitter < 0:
        raise ValueError(f"jitter {jitter} must be 0 or more")
    shift = random.Random(seed).randint(-jitter, jitter)
    goal = max(min(goal_length, MIN_LENGTH), goal_length + shift)
    limit = max(min(max_length, MIN_LENGTH), goal, max_length + shift)

    segments: list[TextSegment] = []
    for block in find_blocks(text):
        own = _split_block(block.text, goal, limit)
        segments += [*own[:-1], *(TextSegment(last.text, block.end) for last in own[-1:])]
    return segments


def within_ids(
    segments: Iterable[TextSegment], count_ids: Callable[[str], int] | None = None, max_ids: int = 256
) -> list[TextSegment]:
    """The segments, with those of more than `max_ids` token ids cut further. `count_ids` None: ids are estimated."""
    if max_ids < 1:
        raise ValueError(f"max_ids {max_ids} must be 1 or more")
    count = _estimate_ids if count_ids is None else count_ids
    limited: list[TextSegment] = []
    for segment in segments:
        *parts, last = _within_ids(segment.text, count, max_ids) if SPOKEN.search(segment.text) else [segment.text]
        limited += [*(TextSegment(part, Break.WORD) for part in parts), TextSegment(last, segment.end)]
    return limited


def _split_block(text: str, goal: int, limit: int) -> list[TextSegment]:
    """The segments of a block: paragraphs, or one heading."""
    prose = collapse(text)
    text = prose.text
    if not SPOKEN.search(text):
        return [TextSegment(text.replace("\n", " "), Break.PARAGRAPH)] if text else []
    segments = _MarkedText(prose, goal, limit).segments()
    return [TextSegment(text[start:end].replace("\n", " "), grade) for start, end, grade in segments]


def estimate_seconds(text: str) -> float:
    """A rough estimate of the seconds of speech, for planning. Digits count as the words they are read as."""
    text = " ".join(text.split())
    syllables = len(SYLLABLE.findall(text))
    return syllables / SYLLABLES_PER_S + (sum(weights_of(text)) - SYLLABLE_LENGTH * syllables) / CHARACTERS_PER_S


def normalize_text(text: str) -> str:
    """The text in NFC with \\n as line end, without byte order marks and control characters other than \\n and \\t."""
    text = _LINE_END.sub("\n", text)
    return unicodedata.normalize("NFC", _UNSPEAKABLE.sub("", text))


_LINE_END = re.compile("\r\n|[\r\v\f\x85]")
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")


# ---- choosing among the places ---------------------------------------------------------------------------------------

_WORD = re.compile(rf"[{SPACELESS}]{{1,2}}|[^\W_](?:(?![{SPACELESS}])\S)*")


class Piece(NamedTuple):
    """text[start:end], and the grade of the break at its end."""

    start: int
    end: int
    grade: Break


class _MarkedText:
    """A text with the places where it may be cut, and the goal and limit for the lengths of its segments."""

    def __init__(self, prose: CollapsedText, goal: int, limit: int) -> None:
        self.text = prose.text
        self.goal = goal
        self.limit = limit
        self.lengths = list(accumulate(weights_of(prose.text), initial=0))  # length of the text before each offset
        self.breaks = find_breaks(prose, self.lengths, goal, limit)
        self.places = list(self.breaks)
        self.turns = changes_of_speaker(prose.text)
        self.list_ends = frozenset(prose.list_ends)

    def segments(self) -> list[Piece]:
        """The pieces, joined to segments about as long as the goal."""
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
        """Yield the sentences, with those longer than the limit in parts."""
        start = 0
        for end in [*(place for place in self.places if self.breaks[place] >= Break.SENTENCE), len(self.text)]:
            while self.length(start, end) > self.limit and (place := self.best_place(start, end)) is not None:
                yield Piece(start, place, self.breaks[place])
                start = self.after(place)
            yield Piece(start, end, self.breaks.get(end, Break.PARAGRAPH))
            start = self.after(end)

    def best_place(self, start: int, end: int) -> int | None:
        """The place to end the first part of a long sentence; None if it cannot be cut."""
        first, last = bisect_right(self.places, start), bisect_left(self.places, end)
        if first == last:
            return None
        beyond = bisect_right(self.places, self.lengths[start] + self.limit, key=self.lengths.__getitem__)
        fitting = self.places[first : min(last, beyond)]
        if not fitting:
            return self.places[first]  # the unbreakable part before it is too long
        length = self.length(start, end)
        parts = max(ceil(length / self.limit), round(length / self.goal))
        target = length / parts  # parts of equal length, instead of a short one at the end
        balanced = [p for p in fitting if min(self.length(start, p), self.length(p, end)) >= target / 2]
        return max(balanced or fitting[-1:], key=lambda p: (self.breaks[p], -abs(self.length(start, p) - target)))

    def takes(self, segment: Piece, piece: Piece) -> bool:
        """Whether the next piece is added to the segment."""
        if self.length(segment.start, piece.end) > self.limit or self.stays_apart(segment, piece):
            return False
        if self.is_short(segment):
            return True
        if segment.grade >= Break.ITEM:
            return False
        if segment.grade is Break.SENTENCE and piece.grade < Break.SENTENCE:
            return False  # the head of a long sentence stays with that sentence
        return self.length(segment.start, segment.end) < self.goal

    def join_short(self, segments: list[Piece]) -> None:
        """Join the last segment to the one before it if it has too few words. Called when no piece can be added to it."""
        if len(segments) > 1 and self.is_short(segments[-1]):
            before, short = segments[-2:]
            if self.length(before.start, short.end) <= self.limit and not self.stays_apart(before, short):
                segments[-2:] = [_joined(before, short)]

    def stays_apart(self, segment: Piece, piece: Piece) -> bool:
        """Whether the two are never joined, however short: the speaker changes between them, or a list item ends."""
        k = bisect_left(self.turns, segment.end)
        turn = self.turns[k] if k < len(self.turns) else piece.end
        if turn < piece.end and not SPOKEN.search(self.text, piece.start, turn):
            return True
        at_item = segment.grade is Break.ITEM or segment.end in self.list_ends
        return at_item and ends_without_stop(self.text, segment.end)

    def is_short(self, piece: Piece) -> bool:
        """Whether a piece has at most `SHORT_WORDS` words."""
        words = _WORD.finditer(self.text, piece.start, piece.end)
        return next(islice(words, SHORT_WORDS, None), None) is None

    def length(self, start: int, end: int) -> int:
        return self.lengths[end] - self.lengths[start]

    def after(self, place: int) -> int:
        """The offset where the piece after a place begins: a space at the place is skipped."""
        return place + self.text[place : place + 1].isspace()


def _joined(first: Piece, second: Piece) -> Piece:
    return Piece(first.start, second.end, second.grade)


# ---- token ids -------------------------------------------------------------------------------------------------------


def _within_ids(segment: str, count_ids: Callable[[str], int], max_ids: int) -> list[str]:
    """Cut a segment until no part has more than `max_ids` ids: in halves, or a single word in equal parts."""
    ids = count_ids(segment)
    if len(segment) < 2 or ids <= max_ids:
        return [segment]
    middle = len(segment) // 2
    breaks = _MarkedText(CollapsedText(segment, [], [], []), 0, middle).breaks
    central = [place for place in breaks if abs(place - middle) <= middle / 2]
    best = max(central or breaks, key=lambda place: (breaks[place], -abs(place - middle)), default=None)
    places = [best] if best is not None else _places_in_word(segment, ceil(ids / max_ids))
    pieces = (segment[start:end].strip() for start, end in pairwise([0, *places, len(segment)]))
    return [part for piece in pieces for part in _within_ids(piece, count_ids, max_ids)]


def _places_in_word(word: str, parts: int) -> list[int]:
    """Offsets that cut a word into equal parts; inside a grapheme cluster only if the word is a single one."""
    ends = [character.end for character in characters(word)]
    if len(ends) == 1:
        ends = list(range(1, len(word) + 1))
    step = ceil(len(ends) / parts)
    return ends[step - 1 : -1 : step]


def _estimate_ids(text: str) -> int:
    """A high estimate of token ids: one per `LETTERS_PER_ID` letters, per CJK character and per punctuation mark."""
    letters = len(SPOKEN.findall(text)) - len(SYLLABLE.findall(text))
    others = sum(map(len, text.split())) - letters
    return others + ceil(letters / LETTERS_PER_ID)
