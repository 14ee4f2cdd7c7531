"""The events of a script: speech, pauses, sounds, times and chapters, each with its place in the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import ScriptError
from .pronunciation import Pronunciations


@dataclass(frozen=True)
class Place:
    """Where something is in the source, counted from 1."""

    line: int
    column: int


# Places do not count in comparisons: two scripts are equal if they say the same.


@dataclass(frozen=True)
class Speaker:
    """An entry of the cast."""

    name: str
    voice: str | None = None  # as in --history_prompt; None: the voice of the run
    settings: Mapping[str, object] = field(default_factory=dict)  # by flag name, of the groups Sampling and Seeds


@dataclass(frozen=True)
class Speech:
    """Text to be spoken by one speaker with one set of settings."""

    text: str
    place: Place = field(compare=False)
    speaker: str | None = None  # a name of the cast; None: the narrator, with the voice of the run
    voice: str | None = None  # of [voice:...] with a voice that is no name of the cast; None: that of the speaker
    settings: Mapping[str, object] = field(
        default_factory=dict
    )  # of [NAME|flag:value] alone; the cast has the speaker's
    new_paragraph: bool = field(
        default=False, compare=False
    )  # whether a blank line is between it and the speech before


@dataclass(frozen=True)
class Pause:
    """Silence."""

    seconds: float
    place: Place = field(compare=False)


@dataclass(frozen=True)
class Sound:
    """An audio file to be played. The name is as written: whether there is such a file is not known here."""

    file: str
    place: Place = field(compare=False)


@dataclass(frozen=True)
class StartAt:
    """The next speech begins so many seconds after the clip does, or later if what is before it takes longer."""

    seconds: float
    place: Place = field(compare=False)


@dataclass(frozen=True)
class Chapter:
    """The beginning of a chapter."""

    title: str
    place: Place = field(compare=False)


Event = Speech | Pause | Sound | StartAt | Chapter


@dataclass(frozen=True)
class BookTags:
    """What a script says of the book that it is from, for the tags of audio files."""

    title: str | None = None
    author: str | None = None
    narrator: str | None = None
    language: str | None = None  # as in BCP 47
    cover: str | None = None  # the path of an image, beside the script or absolute


@dataclass(frozen=True)
class Script:
    """What a script says, in order, and what it declares."""

    events: tuple[Event, ...]
    cast: Mapping[str, Speaker] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)  # of the front matter's [settings], by flag name
    pronunciations: Pronunciations = field(default_factory=Pronunciations)  # of the front matter
    book: BookTags = BookTags()  # of the front matter
    look_alikes: tuple[tuple[str, Place], ...] = field(
        default=(), compare=False
    )  # undeclared names that look like speakers
    ignored: tuple[tuple[str, Place], ...] = field(default=(), compare=False)  # SSML elements without effect


def script_error(place: Place, message: str) -> ScriptError:
    """An error at a place in a script. `message`: what is wrong there, and how to mend it."""
    return ScriptError(f"line {place.line}, column {place.column}: {message}")
