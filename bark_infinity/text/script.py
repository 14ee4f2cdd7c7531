"""Scripts: text with speakers, pauses, sounds and chapters, from text to events and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Literal

from .blocks import is_ornament
from .dialogue import TextReader, has_markup_at_start, line_start, without_backslashes
from .events import Chapter, Event, Pause, Place, Script, Sound, Speaker, Speech, StartAt, script_error
from .front_matter import FrontMatter, declares_cast, format_front_matter, read_front_matter, split_front_matter
from .ssml import looks_like_ssml, read_ssml
from .tags import BRACKETS, TagReader, format_pause, format_start, format_turn

ScriptKind = Literal["plain", "dialogue", "ssml"]

_PLUSES = re.compile(r"\s*\\*(?=\+\+\+)")


def parse_script(text: str, kind: ScriptKind, cast: Mapping[str, Speaker] | None = None) -> Script:
    """The events of a script. `cast`: speakers that are declared elsewhere, which replace those of the front matter.

    Raises ScriptError that names line and column.
    """
    if kind == "ssml":
        content = read_ssml(text, cast or {})
        return Script(content.events, cast or {}, ignored=content.ignored)
    parts = split_front_matter(text)
    before, body = parts if parts is not None else ("", _without_escape(text))
    front = read_front_matter(before) if before else FrontMatter()
    if kind == "plain" and declares_cast(before):
        raise script_error(Place(1, 1), "plain text has no cast; leave out [cast], or read the text as a dialogue")
    speakers = {**front.cast, **(cast or {})}
    reader = TextReader(speakers, plain=kind == "plain")
    events = reader.read(body, 1 + before.count("\n"))
    look_alikes = tuple(reader.look_alikes.items())
    return Script(events, speakers, front.settings, front.pronunciations, front.book, look_alikes)


def script_kind(text: str, file_name: str | None, has_cast: bool) -> ScriptKind:
    """The kind of a script that does not say it. `has_cast`: whether speakers are declared outside of the text."""
    if looks_like_ssml(text) or (file_name is not None and file_name.lower().endswith(".ssml")):
        return "ssml"
    parts = split_front_matter(text)
    return "dialogue" if has_cast or (parts is not None and declares_cast(parts[0])) else "plain"


def _before_pluses(text: str) -> int | None:
    """The offset of lines of +++ at the beginning that would be front matter but for backslashes before them, or None."""
    match = _PLUSES.match(text)
    return match.end() if match is not None and split_front_matter(text[match.end() :]) is not None else None


def _without_escape(text: str) -> str:
    """A text without the backslash that makes text of lines of +++ at the beginning."""
    pluses = _before_pluses(text)
    return text if not pluses or text[pluses - 1] != "\\" else text[: pluses - 1] + text[pluses:]


# ---- writing ---------------------------------------------------------------------------------------------------------


def format_script(script: Script) -> str:
    """A text that is read as an equal script: as plain text where that is enough, else as a dialogue; `script_kind` knows.

    Raises ValueError for what has no markup: settings without a speaker, or of a speech of several paragraphs.
    """
    speeches = [event for event in script.events if isinstance(event, Speech)]
    has_voices = any(speech.speaker is not None or speech.voice is not None for speech in speeches)
    has_chapters = any(isinstance(event, Chapter) for event in script.events)
    like_ssml = bool(speeches) and looks_like_ssml(speeches[0].text)
    plain = not (script.cast or has_voices or has_chapters or like_ssml)
    declared = FrontMatter(script.cast, script.settings, script.pronunciations, script.book)
    front_matter = format_front_matter(declared, with_cast=not plain)
    writer = _Writer(script.cast, plain)
    body = "".join(writer.write(*pair) for pair in zip_longest(script.events, script.events[1:]))
    return front_matter + body if front_matter else _with_escape(body)


def _with_escape(text: str) -> str:
    """A text that is read without a front matter, even if it begins with lines of +++."""
    pluses = _before_pluses(text)
    return text if pluses is None else f"{text[:pluses]}\\{text[pluses:]}"


class _Writer:
    """Writes events as lines of plain text or of a dialogue."""

    def __init__(self, names: Collection[str], plain: bool) -> None:
        self._names = names
        self._plain = plain
        self._tags = TagReader(names, plain)
        self._written = ""  # the last event

    def write(self, event: Event, following: Event | None) -> str:
        """The lines of an event; those of a paragraph, or of a chapter that begins with one, have a blank line before them."""
        first = following if isinstance(event, Chapter) else event
        begins = isinstance(first, Speech) and first.new_paragraph
        blank_line = begins and bool(self._written) and not self._written.endswith("\n\n")
        self._written = self._write(event, is_last=following is None)
        return "\n" * blank_line + self._written

    def _write(self, event: Event, is_last: bool) -> str:
        match event:
            case Pause(seconds):
                return f"{format_pause(seconds)}\n"
            case Sound(file):
                return f"[sound: {file}]\n"
            case StartAt(seconds):
                return f"{format_start(seconds)}\n"
            case Chapter(title):
                return f"# {' '.join(title.splitlines())}\n"
            case Speech(text, _, speaker, voice, settings):
                if speaker is not None and voice is None:
                    return self._turn(text, speaker, settings)
                if settings:
                    raise ValueError(f"no markup says {dict(settings)} without a speaker")
                return self._span(text, voice) if voice is not None else self._lines(text) + "\n" * (not is_last)

    def _turn(self, text: str, speaker: str, settings: Mapping[str, object]) -> str:
        """A speech behind its speaker's name: in one line with indented lines below, or below the name to a blank line."""
        name = format_turn(speaker, settings) if settings else f"{speaker}:"
        lines = text.split("\n")
        indented = next(
            (k for k, line in enumerate(lines) if k and not (line.strip() and line[0] in " \t")), len(lines)
        )
        if _are_scene_breaks(lines[indented:]):
            return f"{name} {self._lines(text, at_line_start=False)}\n"
        filled = next((k for k, line in enumerate(lines) if not line.strip()), len(lines))
        if _are_scene_breaks(lines[filled:]):
            return f"{name}\n{self._lines(text)}\n\n"
        if settings:
            raise ValueError("no markup sets flags for more than one paragraph")
        return self._span(text, speaker)

    def _span(self, text: str, voice: str) -> str:
        return f"[voice:{voice}] {self._lines(text, at_line_start=False)} [/voice]\n"

    def _lines(self, text: str, at_line_start: bool = True) -> str:
        """Text with backslashes before what would be markup. `at_line_start`: whether it begins a line."""
        return "\n".join(self._line(line, at_line_start or k > 0) for k, line in enumerate(text.split("\n")))

    def _line(self, line: str, at_start: bool) -> str:
        if at_start and not self._plain and has_markup_at_start(without_backslashes(line)[0], self._names):
            start = line_start(line)
            line = f"{line[:start]}\\{line[start:]}"
        return BRACKETS.sub(lambda tag: f"\\{tag[0]}" if self._tags.is_meant(tag["content"]) else tag[0], line)


def _are_scene_breaks(lines: Sequence[str]) -> bool:
    """Whether lines have nothing but scene breaks in them."""
    return all(is_ornament(line) or not line.strip() for line in lines)
