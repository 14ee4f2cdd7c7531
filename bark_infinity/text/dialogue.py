"""Reads the lines of plain text and of dialogues: names at their beginnings, chapters, tags, and text between them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..constants import SPEAKER_NAMES
from .breaks import SPOKEN
from .events import Chapter, Event, Pause, Place, Sound, StartAt, script_error
from .speeches import NARRATOR, NO_SETTINGS, EventList, Reading, is_spoken
from .tags import BRACKETS, PauseTag, SoundTag, StartTag, Tag, TagError, TagReader, TurnTag, VoiceEndTag, VoiceTag

MAX_NAME_LENGTH = 60  # characters of a speaker's name
MAX_NAME_WORDS = 3  # of what looks like the name of a speaker who is not declared

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_REST_IS_BLANK = re.compile(r"\s*\Z")
_COLON = re.compile("[:：]")
_NOT_IN_NAMES = re.compile(r"[][|:：\n]|^[#/\\]|^\s|\s$")
_CHAPTER = re.compile(r"#[ \t]+(?P<title>\S.*)")
_BARK_SPEAKER = re.compile(rf"(?:\S+ )*(?:{SPEAKER_NAMES})(?: \d+)?")


def is_speaker_name(name: str) -> bool:
    """Whether a speaker of a cast may have this name: it is found before a colon, and in a tag."""
    return len(name) <= MAX_NAME_LENGTH and SPOKEN.search(name) is not None and not _NOT_IN_NAMES.search(name)


def line_start(line: str) -> int:
    """The offset of the first character of a line that is not white space."""
    return len(line) - len(line.lstrip())


def chapter_title(line: str) -> str | None:
    """The title of a line such as `# Chapter one`; None if the line is no heading of a chapter."""
    match = _CHAPTER.fullmatch(line.rstrip())
    return match["title"] if match and is_spoken(match["title"]) else None


def name_before_colon(line: str) -> tuple[str, int] | None:
    """What stands before the first colon of a line if it is short enough for a name, and the offset after the colon."""
    start = line_start(line)
    colon = _COLON.search(line, start, start + MAX_NAME_LENGTH + 2)
    return (line[start : colon.start()].rstrip(), colon.end()) if colon is not None else None


def has_markup_at_start(line: str, names: Collection[str]) -> bool:
    """Whether a line of a dialogue begins with a name of the cast and a colon, or is the heading of a chapter."""
    found = name_before_colon(line)
    return (found is not None and found[0] in names) or chapter_title(line) is not None


def without_backslashes(line: str) -> tuple[str, int]:
    """A line without the backslashes at its beginning, and the offset where they are; -1 if there are none."""
    start = line_start(line)
    rest = line[start:].lstrip("\\")
    return line[:start] + rest, start if len(rest) < len(line) - start else -1


@dataclass
class _Turn:
    """A speaker's turn, from his name or a tag with it to the end of the paragraph."""

    reading: Reading
    depth: int  # number of [voice:...] that were open when it began; those that begin later come before it
    to_blank_line: bool  # for a name alone on its line; others end with the line and the indented lines below

    def ends_before(self, line: str) -> bool:
        if not line.strip():
            return True
        return not self.to_blank_line and line[0] not in " \t"


class TextReader:
    """Reads plain text or a dialogue, line by line."""

    def __init__(self, names: Collection[str], plain: bool) -> None:
        self.look_alikes: dict[str, Place] = {}  # undeclared names that look like speakers, where they come first
        self._names = names
        self._plain = plain
        self._tags = TagReader(names, plain)
        self._events = EventList()
        self._spans: list[tuple[Reading, Place]] = []  # of [voice:...] that are open
        self._turn: _Turn | None = None
        self._n_turns = 0

    def read(self, text: str, first_line: int) -> tuple[Event, ...]:
        """The events of a whole text. `first_line`: its number in the source. Raises ScriptError."""
        for number, line in enumerate(_LINE.finditer(text), first_line):
            self._read_line(line.group(), number)
        if self._spans:
            raise script_error(self._spans[-1][1], "this [voice:...] has no end; put [/voice] where it ends")
        return self._events.finish()

    def _read_line(self, line: str, number: int) -> None:
        if self._plain:
            self._read_parts(line, 0, number)
            return
        if self._turn is not None and self._turn.ends_before(line):
            self._turn = None
        bare, escape = without_backslashes(line)
        if escape >= 0 and has_markup_at_start(bare, self._names):
            self._read_parts(line, escape + 1, number, line[:escape])
        elif (title := chapter_title(line)) is not None:
            self._turn = None
            self._events.add_event(Chapter(title, Place(number, 1)))
        else:
            self._read_parts(line, self._read_name(line, number), number)

    def _read_name(self, line: str, number: int) -> int:
        """Begin a turn if the line begins with a name of the cast; the offset of the text after it."""
        found = name_before_colon(line)
        if found is None:
            return 0
        name, end = found
        if name in self._names:
            self._begin_turn(name, NO_SETTINGS, line, end)
            return end
        if _looks_like_speaker(name):
            self.look_alikes.setdefault(name, Place(number, line_start(line) + 1))
        return 0

    def _read_parts(self, line: str, start: int, number: int, literal: str = "") -> None:
        """Read the tags of a line from an offset, and the text between them. `literal`: text before, without markup."""
        parts, parts_start = [literal], start - len(literal)
        for match in BRACKETS.finditer(line, start):
            begin, end = match.span()
            if begin > start and line[begin - 1] == "\\":
                if self._tags.is_meant(match["content"]):
                    parts.append(line[start : begin - 1])
                    start = begin
                continue
            place = Place(number, begin + 1)
            try:
                tag = self._tags.read(match["content"])
            except TagError as error:
                raise script_error(place, str(error)) from None
            if tag is not None:
                parts.append(line[start:begin])
                self._add_text("".join(parts), number, parts_start)
                self._apply(tag, place, line, end)
                parts, start, parts_start = [], end, end
        parts.append(line[start:])
        self._add_text("".join(parts), number, parts_start)

    def _add_text(self, text: str, number: int, start: int) -> None:
        """Add text between tags. `start`: its offset in its line."""
        core = text.strip()
        if not core:
            self._events.add_space(text)
            return
        before = line_start(text)
        self._events.add_space(text[:before])
        self._events.add_text(core, Place(number, start + before + 1), self._reading())
        self._events.add_space(text[before + len(core) :])

    def _apply(self, tag: Tag, place: Place, line: str, end: int) -> None:
        """Do what a tag says. `end`: its own, in its line."""
        match tag:
            case PauseTag(seconds):
                self._events.add_event(Pause(seconds, place))
            case SoundTag(file):
                self._events.add_event(Sound(file, place))
            case StartTag(seconds):
                self._events.add_event(StartAt(seconds, place))
            case TurnTag(speaker, settings):
                self._begin_turn(speaker, settings, line, end)
            case VoiceTag(speaker, voice):
                self._events.note_markup()
                self._spans.append((Reading(speaker, voice), place))
            case VoiceEndTag():
                if not self._spans:
                    raise script_error(place, "there is no [voice:...] for this [/voice]; leave it out")
                self._events.note_markup()
                self._spans.pop()

    def _begin_turn(self, speaker: str, settings: Mapping[str, object], line: str, end: int) -> None:
        """Begin a speaker's turn behind his name or tag, which ends at `end` of the line."""
        self._events.note_markup()
        self._n_turns += 1
        reading = Reading(speaker, None, settings, self._n_turns)
        self._turn = _Turn(reading, len(self._spans), to_blank_line=_REST_IS_BLANK.match(line, end) is not None)

    def _reading(self) -> Reading:
        """Who speaks now: what began last, a turn or a [voice:...]."""
        if self._turn is not None:
            self._turn.depth = min(self._turn.depth, len(self._spans))
            if self._turn.depth == len(self._spans):
                return self._turn.reading
        return self._spans[-1][0] if self._spans else NARRATOR


def _looks_like_speaker(name: str) -> bool:
    """Whether a name is one of up to three words, none of which begins small. Bark's own, such as MAN, are no others."""
    words = name.split()
    return (
        0 < len(words) <= MAX_NAME_WORDS
        and words[0][0].isalpha()
        and all(word[0].isalnum() and not word[0].islower() for word in words)
        and not _BARK_SPEAKER.fullmatch(name)
    )
