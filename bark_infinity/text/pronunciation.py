"""How words are spoken: whole words and regular expressions, and what is spoken in their place."""

from __future__ import annotations

import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from ..errors import TextError
from ..options.toml import TomlError, parse_toml, show_key
from .sentences import SPACELESS

MAX_WRITTEN_LENGTH = 300  # characters of a word or pattern
MAX_SPOKEN_LENGTH = 1000  # characters that are spoken in its place
MAX_REPEATS = 1000  # product of a pattern's counts, as in \d{3}; `regex` takes memory in proportion to it
PATTERN_SECONDS = 5.0  # that a pattern may take on a short text; most patterns read a million characters in one
PATTERN_SECONDS_PER_CHARACTER = 5e-5

ErrorAt = Callable[[Sequence[str], str], TextError]
"""Makes an error of a message about a key of a TOML document. The key is given as the names that lead to it."""


@dataclass(frozen=True)
class Pronunciation:
    """One word, several words or one regular expression, and what is spoken in its place."""

    written: str
    spoken: str
    case: bool = False  # whether a word is only meant in exactly this case
    pattern: bool = False  # whether `written` is a regular expression, and `spoken` may refer to its groups

    @property
    def key(self) -> tuple[bool, str]:
        """Equal for entries of which only one can be followed."""
        return self.pattern, self.written if self.pattern or self.case else _folded(self.written)


@dataclass(frozen=True)
class Pronunciations:
    """Words and patterns, each in the order in which they were declared."""

    words: tuple[Pronunciation, ...] = ()
    patterns: tuple[Pronunciation, ...] = ()

    @property
    def entries(self) -> tuple[Pronunciation, ...]:
        return self.words + self.patterns

    def over(self, others: Pronunciations) -> Pronunciations:
        """These and the others; of two for the same word or pattern, this one's."""
        own = {entry.key for entry in self.entries}
        return _of_entries([*self.entries, *(entry for entry in others.entries if entry.key not in own)])

    def spoken(self, text: str) -> tuple[str, frozenset[Pronunciation]]:
        """The text as it is spoken, and the entries that changed it. Raises TextError if a pattern takes too long."""
        spoken = self.apply(text)
        return spoken.text, spoken.used

    def apply(self, text: str) -> SpokenText:
        """The text as it is spoken.

        Patterns are applied first, each to what the one before left, then words, all at once: the longest at each place,
        and not to what replaced another word. Words in square brackets, which are Bark's cues, stay as they are.
        Raises TextError if a pattern takes too long.
        """
        used: set[Pronunciation] = set()
        passes: list[Sequence[_Edit]] = []
        for pattern in self.patterns:
            if edits := _edits_of_pattern(pattern, text):
                text = _edited(text, edits)
                passes.append(edits)
                used.add(pattern)
        if edits := list(self._word_finder.edits(text, used)):
            text = _edited(text, edits)
            passes.append(edits)
        return SpokenText(text, frozenset(used), tuple(passes))

    @functools.cached_property
    def _word_finder(self) -> _WordFinder:
        return _WordFinder(self.words)


class _Edit(NamedTuple):
    """text[start:end] is replaced."""

    start: int
    end: int
    spoken: str


@dataclass(frozen=True)
class SpokenText:
    """A text as it is spoken, and the entries that changed it. `passes`: the edits that were made, one pass after the other."""

    text: str
    used: frozenset[Pronunciation] = frozenset()
    passes: tuple[Sequence[_Edit], ...] = ()

    def written(self, start: int, end: int) -> tuple[int, int]:
        """The span of the text as written that is spoken as text[start:end]; words are not cut."""
        for edits in reversed(self.passes):
            shifts = _shifts(edits)
            start, end = _offset_before(start, edits, shifts, False), _offset_before(end, edits, shifts, True)
        return start, end


def _edited(text: str, edits: Iterable[_Edit]) -> str:
    """The text with edits, which are in ascending order."""
    parts, done = [], 0
    for start, end, spoken in edits:
        parts += [text[done:start], spoken]
        done = end
    return "".join([*parts, text[done:]])


def _shifts(edits: Sequence[_Edit]) -> list[int]:
    """Where the replacement of each edit begins in the edited text."""
    starts, shift = [], 0
    for start, end, spoken in edits:
        starts.append(start + shift)
        shift += len(spoken) - (end - start)
    return starts


def _offset_before(offset: int, edits: Sequence[_Edit], starts: Sequence[int], is_end: bool) -> int:
    """The offset in the text before the edits; inside of a replacement it is the start or end of what was replaced."""
    k = bisect_right(starts, offset) - 1
    if k >= 0 and is_end and starts[k] == offset:
        k -= 1  # an end that touches a replacement is before it
    if k < 0:
        return offset
    edit, within = edits[k], offset - starts[k]
    if within >= len(edit.spoken):
        return edit.end + within - len(edit.spoken)
    return edit.end if is_end else edit.start


def parse_pronunciations(text: str) -> Pronunciations:
    """The pronunciations of a TOML file with the tables [words] and [patterns]. Raises TextError that names the entry."""
    try:
        content = parse_toml(text)
    except TomlError as error:
        raise TextError(f"the pronunciations are not TOML ({error}); mend that place") from None
    return read_pronunciations(content, lambda path, message: TextError(f"pronunciation {show_key(path)}: {message}"))


def read_pronunciations(content: Mapping[str, object], error_at: ErrorAt) -> Pronunciations:
    """The pronunciations of a TOML table: of its tables [words] and [patterns], and words in itself.

    A word has a text, or a table as in {spoken = "U S", case = true}; `case = true` in a table of words is for all of them.
    """
    entries: dict[tuple[bool, str], Pronunciation] = {}
    for path, entry in _entries(content, (), error_at):
        other = entries.setdefault(entry.key, entry)
        if other is not entry:
            raise error_at(path, f"is the same as {other.written!r}; leave one out, or give both of them case = true")
    return _of_entries(entries.values())


def _of_entries(entries: Collection[Pronunciation]) -> Pronunciations:
    words = tuple(entry for entry in entries if not entry.pattern)
    return Pronunciations(words, tuple(entry for entry in entries if entry.pattern))


def _entries(
    content: Mapping[str, object], path: tuple[str, ...], error_at: ErrorAt
) -> Iterator[tuple[tuple[str, ...], Pronunciation]]:
    """Yield the entries of a table, each with the names that lead to it."""
    for key, value in content.items():
        own = (*path, key)
        if not path and key == "words" and isinstance(value, dict):
            yield from _entries(value, own, error_at)
        elif not path and key == "patterns" and isinstance(value, dict):
            for pattern, spoken in value.items():
                yield (*own, pattern), _pattern((*own, pattern), spoken, error_at)
        elif not (key == "case" and isinstance(value, bool)):
            yield own, _word(own, value, content.get("case") is True, error_at)


def _word(path: Sequence[str], value: object, case: bool, error_at: ErrorAt) -> Pronunciation:
    """An entry of words. `case`: whether case counts for all words of its table."""
    details: Mapping[str, object] = value if isinstance(value, dict) else {"spoken": value}
    for key in details:
        if key not in ("spoken", "case"):
            raise error_at((*path, key), "is not known here; a word has spoken and case")
    case_of_this = details.get("case", case)
    if not isinstance(case_of_this, bool):
        raise error_at((*path, "case"), "must be true or false")
    spoken = _checked_text(path, details.get("spoken"), error_at)
    written = " ".join(unicodedata.normalize("NFC", path[-1]).split())
    if _TOKEN.search(written) is None:
        raise error_at(path, "is no word; leave it out")
    return Pronunciation(written, spoken, case_of_this)


def _pattern(path: Sequence[str], value: object, error_at: ErrorAt) -> Pronunciation:
    """An entry of patterns, with a pattern and a replacement that can be used."""
    spoken = _checked_text(path, value, error_at)
    pattern = path[-1]
    repeats = 1
    for counts in _REPEAT.findall(pattern):
        repeats *= max(1, *(int(count) for count in counts.split(",") if count))
    if repeats > MAX_REPEATS:
        raise error_at(path, f"repeats something more than {MAX_REPEATS:,} times; use + or smaller numbers")
    try:
        compiled = re.compile(pattern)
        compiled.sub(spoken, "")  # checks the replacement too
    except (re.error, RecursionError, OverflowError, IndexError) as error:
        raise error_at(path, f"is no regular expression with its replacement ({error}); mend it") from None
    if compiled.search("") is not None:
        raise error_at(path, "matches where there is no text at all; use + instead of *, say")
    return Pronunciation(pattern, spoken, pattern=True)


def _checked_text(path: Sequence[str], value: object, error_at: ErrorAt) -> str:
    """What is spoken in place of an entry."""
    if not isinstance(value, str):
        raise error_at(
            path, 'must be what is spoken, a text in quotes, or a table such as {spoken = "U S", case = true}'
        )
    if len(value) > MAX_SPOKEN_LENGTH:
        raise error_at(path, f"is spoken as more than {MAX_SPOKEN_LENGTH:,} characters; shorten it")
    if len(path[-1]) > MAX_WRITTEN_LENGTH:
        raise error_at(path, f"has more than {MAX_WRITTEN_LENGTH} characters; shorten it")
    return unicodedata.normalize("NFC", value)


# ---- patterns --------------------------------------------------------------------------------------------------------

_REPEAT = re.compile(r"\{(\d*,?\d*)\}")


def _edits_of_pattern(entry: Pronunciation, text: str) -> list[_Edit]:
    """The pattern's matches, and what is spoken in their place. Raises TextError if it takes too long.

    `re` has checked the pattern, but only `regex` can stop: some patterns take exponential time.
    """
    import regex  # which nltk needs too

    edits: list[_Edit] = []

    def take(match: regex.Match[str]) -> str:
        edits.append(_Edit(match.start(), match.end(), match.expand(entry.spoken)))
        return ""

    seconds = PATTERN_SECONDS + PATTERN_SECONDS_PER_CHARACTER * len(text)
    try:
        regex.sub(entry.written, take, text, timeout=seconds)
        return edits
    except (regex.error, IndexError) as error:
        raise TextError(f"pronunciation {entry.written!r} cannot be used ({error}); simplify it") from None
    except TimeoutError:
        raise TextError(
            f"pronunciation {entry.written!r} takes more than {seconds:.0f} s on a text of {len(text):,} characters; "
            "simplify it, for example a repeat within a repeat"
        ) from None


# ---- words -----------------------------------------------------------------------------------------------------------

_MARKS = "\u0300-\u036f\u0900-\u0963\u0966-\u097f"  # combining ones, and those of Hindi, which `re` has not in \w
_TOKEN = re.compile(rf"[{SPACELESS}]|(?:(?![{SPACELESS}])[\w{_MARKS}])+|\S")
_TOKEN_OR_CUE = re.compile(rf"(?P<cue>\[[^][\n]*\])|{_TOKEN.pattern}")


class _WordFinder:
    """Finds words and names of several words in texts."""

    def __init__(self, entries: Iterable[Pronunciation]) -> None:
        self.entries: dict[str, list[Pronunciation]] = {}  # of the same folded words; those in whose case counts first
        self.most_tokens: dict[str, int] = {}  # by the first token: of the longest entry that begins with it
        for entry in entries:
            folded = [_folded(token) for token in _TOKEN.findall(entry.written)]
            self.most_tokens[folded[0]] = max(len(folded), self.most_tokens.get(folded[0], 0))
            same = self.entries.setdefault(_folded(entry.written), [])
            same.insert(0 if entry.case else len(same), entry)

    def edits(self, text: str, used: set[Pronunciation]) -> Iterator[_Edit]:
        """Yield what is replaced in the text, and add the entries that were found to `used`."""
        if not self.entries:
            return
        done = 0
        for match in _TOKEN_OR_CUE.finditer(text):
            start = match.start()
            if start < done or match["cue"]:
                continue
            most = self.most_tokens.get(_folded(match.group()), 0)
            entry, end = self._longest(text, start, most) if most else (None, start)
            if entry is not None:
                used.add(entry)
                yield _Edit(start, end, entry.spoken)
                done = end

    def _longest(self, text: str, start: int, most_tokens: int) -> tuple[Pronunciation | None, int]:
        """The entry with the most tokens among those that begin here, and its end in the text."""
        found: tuple[Pronunciation | None, int] = (None, start)
        written, previous_end = "", start
        for token in islice(_TOKEN.finditer(text, start), most_tokens):
            gap = " " if token.start() > previous_end else ""
            written += gap + token.group()
            previous_end = token.end()
            for entry in self.entries.get(_folded(written), ()):
                if not entry.case or entry.written == written:
                    found = (entry, previous_end)
                    break
        return found


def _folded(text: str) -> str:
    """Equal for texts that differ in case or in the form of apostrophes."""
    return text.casefold().replace("’", "'")
