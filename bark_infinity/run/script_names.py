"""Replaces the names of files in a script by those that are opened, for scripts of strangers, who name no paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

from ..errors import BarkError, ScriptError, UsageError
from ..text.events import BookTags, Event, Place, Script, Sound, Speaker, Speech, script_error

_VOICE = "history_prompt"  # the setting of a script for its narrator's voice


class ScriptNames(Protocol):
    """Finds the files that a script names. Each method returns what is opened in place of the name, or raises BarkError."""

    def voice(self, name: str) -> str:
        """The voice as --history_prompt takes it."""

    def sound(self, name: str) -> str:
        """The whole path of an audio file."""

    def cover(self, name: str) -> str:
        """The whole path of an image."""


def with_names(script: Script, names: ScriptNames) -> Script:
    """The script with the files that `names` finds. Raises ScriptError with the place, or UsageError for front matter."""

    def found(event: Event) -> Event:
        match event:
            case Sound(file, place):
                return Sound(_at(place, names.sound, file), place)
            case Speech(voice=str(voice), place=place):
                return dataclasses.replace(event, voice=_at(place, names.voice, voice))
        return event

    return dataclasses.replace(
        script,
        events=tuple(map(found, script.events)),
        cast={name: _speaker(speaker, names) for name, speaker in script.cast.items()},
        settings=_settings(script.settings, names),
        book=_book(script.book, names),
    )


def _speaker(speaker: Speaker, names: ScriptNames) -> Speaker:
    if speaker.voice is None:
        return speaker
    return dataclasses.replace(speaker, voice=_named(f"{speaker.name} in the cast", names.voice, speaker.voice))


def _settings(settings: Mapping[str, object], names: ScriptNames) -> Mapping[str, object]:
    voice = settings.get(_VOICE)
    return {**settings, _VOICE: _named(_VOICE, names.voice, voice)} if isinstance(voice, str) else settings


def _book(book: BookTags, names: ScriptNames) -> BookTags:
    return book if book.cover is None else dataclasses.replace(book, cover=_named("cover", names.cover, book.cover))


def _at(place: Place, find: Callable[[str], str], name: str) -> str:
    try:
        return find(name)
    except BarkError as error:
        raise script_error(place, str(error)) from None


def _named(where: str, find: Callable[[str], str], name: str) -> str:
    try:
        return find(name)
    except ScriptError:
        raise
    except BarkError as error:
        raise UsageError(f"{where}: {error}") from None
