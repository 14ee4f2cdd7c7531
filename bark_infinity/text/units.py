"""Splits a text into units, from characters to rhymed verses, and groups of units.

A unit is a span of the text without white space at its edges, so that nothing is lost or reordered.
"""

from __future__ import annotations

import functools
import io
import random
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError
from .lists import item_lines
from .sentences import begins_sentences_small, sentence_ends

if TYPE_CHECKING:
    from nltk.tag.perceptron import PerceptronTagger

SPLIT_UNITS = ("word", "line", "sentence", "char", "string", "random", "rhyme", "pos", "regex")
PATTERN_UNITS = ("string", "pos", "regex")  # these need a string or pattern to cut at
RANDOM_WORDS = 8  # most words of a random group, unless a size is given
RHYME_REACH = 4  # most lines from a line to its rhyme; ABCABC needs three
VERSE_LINES = 6  # most lines of a piece of verse, rhymed or not
BLANK_LINE = re.compile(r"\n\s*\n")


class Span(NamedTuple):
    """text[start:end]"""

    start: int
    end: int


def split_by(
    text: str,
    unit: str,
    group_size: int = 1,
    *,
    pattern: str | None = None,
    count_by: str | None = None,
    seed: int = 0,
    offline: bool = False,
) -> list[str]:
    """The text in groups of `group_size` units, white space collapsed.

    - `string` and `regex` cut at each `pattern` and leave it out.
    - `pos` cuts before each sequence of English parts of speech that `pattern` names with (beginnings of) Penn tags,
      such as "DT NN"; `offline` keeps it from downloading nltk's tagger.
    - `random`: groups of 1 to `group_size` words, or to `RANDOM_WORDS` where that is 1; the same for the same `seed`.
    - `rhyme`: lines until their rhymes are closed (English; see `_verses`).
    - With `count_by`, units are added to a group while it has no more than `group_size` of those other units, counting
      partial ones. A unit that has more by itself is a group of its own.

    Raises UsageError on a missing or broken pattern and where the tagger cannot be had; ValueError on an unknown unit
    and on a group size below 1.
    """
    text, spans = split_spans(text, unit, group_size, pattern=pattern, count_by=count_by, seed=seed, offline=offline)
    pieces = (" ".join(text[start:end].split()) for start, end in spans)
    return [piece for piece in pieces if piece]


def split_spans(
    text: str,
    unit: str,
    group_size: int = 1,
    *,
    pattern: str | None = None,
    count_by: str | None = None,
    seed: int = 0,
    offline: bool = False,
) -> tuple[str, list[Span]]:
    """As `split_by`, but returns the text without the matches of the pattern, and the spans of the groups in that text."""
    if unit not in SPLIT_UNITS or (count_by is not None and (count_by not in SPLIT_UNITS or count_by in PATTERN_UNITS)):
        raise ValueError(f"cannot split by '{unit}' or count by '{count_by}'; there are {', '.join(SPLIT_UNITS)}")
    if group_size < 1:
        raise ValueError(f"group size {group_size} must be 1 or more")
    text = text.strip()
    if unit in PATTERN_UNITS:
        text, spans = _by_pattern(text, unit, pattern, offline)
    else:
        spans = _units(text, unit, group_size if count_by is None and group_size > 1 else RANDOM_WORDS, seed)
    if count_by is not None:
        spans = _grouped_by_counting(spans, group_size, _units(text, count_by, RANDOM_WORDS, seed))
    elif unit != "random":
        spans = [Span(spans[i].start, spans[i : i + group_size][-1].end) for i in range(0, len(spans), group_size)]
    return text, spans


def _units(text: str, unit: str, most_words: int, seed: int) -> list[Span]:
    return _random(text, most_words, seed) if unit == "random" else _UNITS[unit](text)


def _grouped_by_counting(spans: Iterable[Span], limit: int, counted: Sequence[Span]) -> list[Span]:
    """Joins neighbouring spans while a group overlaps at most `limit` of the counted units."""
    starts, ends = [span.start for span in counted], [span.end for span in counted]
    groups: list[Span] = []
    for span in spans:
        if groups and bisect_left(starts, span.end) - bisect_right(ends, groups[-1].start) <= limit:
            groups[-1] = Span(groups[-1].start, span.end)
        else:
            groups.append(span)
    return groups


def characters(text: str) -> list[Span]:
    """Spans of grapheme clusters: letters with their marks, whole emoji sequences. A run of white space is one."""
    import regex  # which nltk needs too; it knows Unicode's grapheme clusters

    return [Span(*match.span()) for match in regex.finditer(r"\s+|\X", text)]


# ---- units -----------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"\S+")
_LINE = re.compile("[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_CLAUSE_END = re.compile(r"[,;:.!?…—–][\"'”’»)\]]*(?=\s)")


def _words(text: str, start: int = 0, end: int = sys.maxsize) -> list[Span]:
    return [Span(*match.span()) for match in _WORD.finditer(text, start, end)]


def _lines(text: str, start: int = 0, end: int = sys.maxsize) -> list[Span]:
    return _trimmed(text, (match.span() for match in _LINE.finditer(text, start, end)))


def _paragraphs(text: str) -> list[Span]:
    return _between(text, (match.end() for match in BLANK_LINE.finditer(text)))


def _sentences(text: str) -> list[Span]:
    cuts: list[int] = []
    small_letters = begins_sentences_small(text)
    for start, end in _paragraphs(text):
        lines = _lines(text, start, end)
        items = [lines[k].start for k in item_lines([text[line.start : line.end] for line in lines])]
        for first, last in pairwise([start, *items, end]):
            cuts += [*_sentence_cuts(text, first, last, small_letters), last]
    return _between(text, cuts)


def _sentence_cuts(text: str, start: int, end: int, small_letters: bool) -> Iterator[int]:
    """Yield the offsets where sentences end inside text[start:end], a paragraph or a list item; line ends count as spaces."""
    words = _words(text, start, end)
    offsets = [0, *accumulate(word.end - word.start + 1 for word in words)]
    for place in sentence_ends(" ".join(text[word.start : word.end] for word in words), small_letters):
        k = bisect_left(offsets, place) - 1
        yield words[k].start + place - offsets[k]


def _between(text: str, cuts: Iterable[int]) -> list[Span]:
    """The spans between these offsets, ascending, and the ends of the text."""
    return _trimmed(text, pairwise([0, *cuts, len(text)]))


def _trimmed(text: str, spans: Iterable[tuple[int, int]]) -> list[Span]:
    """The spans without white space at their edges; spans of only white space are dropped."""
    trimmed = []
    for start, end in spans:
        piece = text[start:end].lstrip()
        if piece:
            trimmed.append(Span(end - len(piece), end - len(piece) + len(piece.rstrip())))
    return trimmed


def _random(text: str, most: int, seed: int) -> list[Span]:
    """Groups of 1 to `most` words."""
    words, rng, groups = _words(text), random.Random(seed), []
    start = 0
    while start < len(words):
        end = min(len(words), start + rng.randint(1, most))
        groups.append(Span(words[start].start, words[end - 1].end))
        start = end
    return groups


# ---- rhyme -----------------------------------------------------------------------------------------------------------

_TAG = re.compile(r"\[[^][\n]*\]")
_SPOKEN_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class _Ending(NamedTuple):
    """The last word of a line. `sounds`: its phonemes from the last stressed vowel on, one string per pronunciation."""

    sounds: frozenset[str]  # empty where the dictionary does not have the word
    spelling: str

    def rhymes(self, other: _Ending) -> bool:
        """Whether two endings sound alike or, if one is not in the dictionary, are spelled alike. A word rhymes with itself."""
        if self.sounds and other.sounds:
            return not self.sounds.isdisjoint(other.sounds)
        return self.spelling == other.spelling != ""


def _verses(text: str) -> list[Span]:
    """Pieces of verse that end where all rhymes are complete: couplets from AABB, quatrains from ABAB, ABBA and ABCB.

    A piece ends with a line that rhymes with an earlier one, if no other line in it rhymes with one of the next lines
    within `RHYME_REACH`; at a blank line; and after `VERSE_LINES`. Remaining lines of a stanza join its last piece. If a
    stanza is written in one line, its clauses count as lines.
    """
    pieces: list[Span] = []
    for start, end in _paragraphs(text):
        lines = _lines(text, start, end)
        if len(lines) == 1:
            clauses = _CLAUSE_END.finditer(text, start, end)
            lines = _trimmed(text, pairwise([start, *(match.end() for match in clauses), end]))
        bounds = [0, *_closed([_ending(text[line.start : line.end]) for line in lines])]
        pieces += [Span(lines[first].start, lines[last - 1].end) for first, last in pairwise(bounds)]
    return pieces


def _closed(endings: Sequence[_Ending]) -> list[int]:
    """Where the pieces of one stanza end: the number of lines up to each end."""
    ends = [0]
    waiting: list[int] = []  # lines of this piece without a rhyme so far
    for i, ending in enumerate(endings):
        partner = next((k for k in waiting if ending.rhymes(endings[k])), None)
        if partner is None:
            waiting.append(i)
        else:
            waiting.remove(partner)
        to_come = any(
            endings[k].rhymes(later) for k in waiting for later in endings[i + 1 : max(i, k + RHYME_REACH) + 1]
        )
        if (partner is not None and not to_come) or i + 1 - ends[-1] == VERSE_LINES:
            ends.append(i + 1)
            waiting = []
    if ends[-1] < len(endings):
        if len(ends) > 1 and len(endings) - ends[-2] <= VERSE_LINES:
            ends.pop()
        ends.append(len(endings))
    return ends[1:]


def _ending(line: str) -> _Ending:
    """The rhyming part of a line's last word."""
    import pronouncing

    words = _SPOKEN_WORD.findall(_TAG.sub(" ", line))
    if not words:
        return _Ending(frozenset(), "")
    word = words[-1].replace("’", "'").casefold()
    pronunciations = (phones.partition("#")[0] for phones in pronouncing.phones_for_word(word))  # remarks follow a #
    sounds = (re.sub(r"\d", "", pronouncing.rhyming_part(phones)).strip() for phones in pronunciations)
    return _Ending(frozenset(sounds), word[-3:])


# ---- patterns --------------------------------------------------------------------------------------------------------

_PENN_TAGS = (
    "CC CD DT EX FW IN JJ JJR JJS LS MD NN NNS NNP NNPS PDT POS PRP PRP$ RB RBR RBS RP SYM TO UH VB VBD VBG VBN VBP VBZ "
    "WDT WP WP$ WRB"
)
_TAGGER = "averaged_perceptron_tagger_eng"
_TOKEN = re.compile(
    r"""\w+(?=n't\b) | n't\b | '(?:s|re|ve|ll|d|m)\b          # do n't, she 'll: as the tagger has learned them
      | \w+(?:[-.'](?!(?:s|re|ve|ll|d|m)\b)\w+)* | [^\w\s]
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _by_pattern(text: str, unit: str, pattern: str | None, offline: bool) -> tuple[str, list[Span]]:
    """The text without the matches of the pattern (for `pos`: the whole text), and its units."""
    if not pattern:
        what = {"string": "the string to cut at", "regex": "the regular expression", "pos": "Penn tags such as DT NN"}
        raise UsageError(f"splitting by {unit} needs --split_type_string; give it {what[unit]}")
    if unit == "pos":
        return text, _between(text, _before_tags(text, pattern, offline))
    if unit == "string":
        return _without(text, re.compile(re.escape(pattern)))
    try:
        return _without(text, re.compile(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"--split_type_string {pattern!r} is not a regular expression ({error}); correct it, or split by string"
        ) from None


def _without(text: str, pattern: re.Pattern[str]) -> tuple[str, list[Span]]:
    """The text with each match replaced by white space, and the spans between the matches."""
    parts, start = [], 0
    for match in pattern.finditer(text):
        space = "" if not match.group() else "\n" if "\n" in match.group() else " "
        parts.append((text[start : match.start()], space))
        start = match.end()
    parts.append((text[start:], ""))
    left = "".join(part + space for part, space in parts)
    return left, _between(left, accumulate(len(part) + len(space) for part, space in parts))


def _before_tags(text: str, pattern: str, offline: bool) -> list[int]:
    """Offsets of the words that begin a sequence of parts of speech, given as Penn tags."""
    wanted = [tag.upper() for tag in re.split(r"[\s,-]+", pattern) if tag]
    for tag in wanted or [pattern]:
        if f" {tag}" not in f" {_PENN_TAGS}":
            raise UsageError(f"--split_type_string has no Penn tag '{tag}'; there are {_PENN_TAGS}")
    tagger = _tagger(offline)
    cuts = []
    for sentence in _sentences(text):
        tokens: list[str] = []
        heads = {}  # offset of each word by the number of its first spoken token
        for start, end in _words(text, *sentence):
            found = _TOKEN.findall(text[start:end].replace("’", "'"))
            spoken = next((i for i, token in enumerate(found) if token[-1].isalnum()), None)
            if spoken is not None:
                heads[len(tokens) + spoken] = start
            tokens += found
        tags = [tag for _, tag in tagger.tag(tokens)]
        for i, start in heads.items():
            if i + len(wanted) <= len(tags) and all(map(str.startswith, tags[i : i + len(wanted)], wanted)):
                cuts.append(start)
    return cuts


@functools.cache
def _tagger(offline: bool) -> PerceptronTagger:
    """nltk's tagger of English parts of speech, which reads JSON. Raises UsageError where its data cannot be had."""
    import nltk
    from nltk.tag.perceptron import PerceptronTagger

    try:
        return PerceptronTagger()
    except (LookupError, ValueError):  # missing or damaged
        mend = f"run `python -m nltk.downloader {_TAGGER}` once with a network, or split another way"
        if offline:
            raise UsageError(
                f"splitting by pos needs nltk's tagger, which --offline keeps from loading; {mend}"
            ) from None
    try:
        nltk.download(_TAGGER, quiet=True, print_error_to=io.StringIO())
        return PerceptronTagger()
    except Exception:  # the downloader raises what its network, its index and its folder do
        raise UsageError(f"splitting by pos needs nltk's tagger, which cannot be downloaded; {mend}") from None


_UNITS: dict[str, Callable[[str], list[Span]]] = {
    "word": _words,
    "line": _lines,
    "sentence": _sentences,
    "char": characters,
    "rhyme": _verses,
}
