"""Collects the events of a script: parts of text become speeches, each of one speaker with one set of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .blocks import BLANK_LINE, is_ornament
from .breaks import SPOKEN
from .events import Chapter, Event, Pause, Place, Sound, Speech, StartAt

_Silent = Pause | Sound | StartAt | Chapter

NO_SETTINGS: Mapping[str, object] = {}


class Reading(NamedTuple):
    """Who speaks a part of text, and how."""

    speaker: str | None = None
    voice: str | None = None
    settings: Mapping[str, object] = NO_SETTINGS
    turn: int = 0  # counted from 1; 0: outside of turns. Two turns are two speeches, even of the same speaker


NARRATOR = Reading()


@dataclass
class _OpenSpeech:
    """A speech that is still being collected."""

    reading: Reading
    place: Place
    new_paragraph: bool
    parts: list[str] = field(default_factory=list)

    def speech(self) -> Speech:
        speaker, voice, settings, _ = self.reading
        return Speech("".join(self.parts), self.place, speaker, voice, settings, self.new_paragraph)


class EventList:
    """Takes text and other events in order.

    White space beside markup belongs to no speech; other white space stays as it is. A speech ends where the reading changes
    or another event comes, but text without a letter or digit begins none if it can stay with the one before:
    - punctuation that follows in the same line, as in `[voice:Bob] he said [/voice].`
    - lines of ornaments, which are scene breaks
    """

    def __init__(self) -> None:
        self._events: list[_OpenSpeech | _Silent] = []
        self._last: _OpenSpeech | None = None  # the last speech
        self._space: list[str] = []  # since the last text
        self._blank_line = False  # whether there was one since the last text, up to the last markup
        self._space_read = 0  # how much of `_space` is before the last markup

    def add_event(self, event: _Silent) -> None:
        self.note_markup()
        self._events.append(event)

    def note_markup(self) -> None:
        """There is markup here, so that its line is no blank one."""
        self._blank_line |= self._has_blank_line()
        self._space_read = len(self._space)

    def add_space(self, text: str) -> None:
        self._space.append(text)

    def add_text(self, text: str, place: Place, reading: Reading) -> None:
        """Add text without white space at its ends."""
        last = self._last
        if last is not None and last is self._events[-1] and last.reading == reading:
            last.parts += [*self._space, text]
        elif last is not None and self._belongs_to(last, text, reading):
            in_same_line = not any("\n" in space for space in self._space)
            last.parts += [text] if in_same_line else [*self._space, text]
        else:
            at_the_beginning = not self._events and reading == NARRATOR
            new_paragraph = bool(self._events) and (self._blank_line or self._has_blank_line())
            parts = [*self._space, text] if at_the_beginning else [text]
            self._last = _OpenSpeech(reading, place, new_paragraph, parts)
            self._events.append(self._last)
        self._space.clear()
        self._blank_line, self._space_read = False, 0

    def _has_blank_line(self) -> bool:
        """Whether a blank line is since the last text or markup."""
        return BLANK_LINE.search("".join(self._space[self._space_read :])) is not None

    def finish(self) -> tuple[Event, ...]:
        """All events. The text of a script without markup is unchanged."""
        last = self._events[-1] if self._events else None
        if isinstance(last, _OpenSpeech) and last.reading == NARRATOR:
            last.parts += self._space
        events = tuple(event.speech() if isinstance(event, _OpenSpeech) else event for event in self._events)
        return tuple(event for event in events if len(events) == 1 or not _is_scene_break(event))

    def _belongs_to(self, last: _OpenSpeech, text: str, reading: Reading) -> bool:
        """Whether text stays with the last speech, although the reading or an event is between them."""
        if is_spoken(text):
            return False
        return last.reading == reading or not any("\n" in space for space in self._space) or is_ornament(text)


def is_spoken(text: str) -> bool:
    """Whether there is something to speak in a text, rather than punctuation alone."""
    return SPOKEN.search(text) is not None or "♪" in text


def _is_scene_break(event: Event) -> bool:
    """Whether an event has nothing but lines of ornaments, with no speech before that they could belong to."""
    if not isinstance(event, Speech) or is_spoken(event.text):
        return False
    return all(is_ornament(line) for line in event.text.splitlines() if line.strip())
