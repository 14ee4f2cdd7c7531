"""Reads SSML: speak, p, s, break, voice and sub. Other elements have no effect; their content is spoken."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from xml.parsers import expat

from .events import Event, Pause, Place, script_error
from .speeches import NARRATOR, EventList, Reading
from .tags import BRACKETS, MAX_PAUSE, TagError, TagReader, VoiceTag

MAX_LENGTH = 10_000_000  # characters
MAX_DEPTH = 100  # of elements within elements
MAX_SHOWN = 60  # characters of a name or value in a message
STRENGTHS = {  # of <break>: seconds, those of Azure's speech service
    "none": 0.0,
    "x-weak": 0.25,
    "weak": 0.5,
    "medium": 0.75,
    "strong": 1.0,
    "x-strong": 1.25,
}

_BEGINNING = re.compile(
    r"\s*(?:<\?xml\b[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:speak[\s/>]|!DOCTYPE\s+speak\b)", re.DOTALL
)
_TIME = re.compile(r"\+?(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<unit>ms|s)")
_GAPS = ("", " ", "\n", "\n\n")  # what stands between words, sentences and paragraphs
_WORD, _SENTENCE, _PARAGRAPH = 1, 2, 3
_UNSPOKEN = ("metadata", "desc")  # elements with text about the speech


class SsmlContent(NamedTuple):
    events: tuple[Event, ...]
    ignored: tuple[tuple[str, Place], ...]  # elements without effect, where each comes first


def looks_like_ssml(text: str) -> bool:
    """Whether a text begins with <speak>, behind an XML declaration and comments if there are any."""
    return _BEGINNING.match(text) is not None


def read_ssml(text: str, names: Collection[str]) -> SsmlContent:
    """What an SSML document says. `names`: of the cast; other names of voices are voices. Raises ScriptError."""
    if len(text) > MAX_LENGTH:
        raise script_error(Place(1, 1), f"the SSML has more than {MAX_LENGTH:,} characters; cut it into several files")
    return _Reader(text, names).read()


class _Reader:
    """Turns what expat reports about a document into events.

    Nothing of a document type declaration is read: it is refused where it begins, so that no entities are defined.
    """

    def __init__(self, text: str, names: Collection[str]) -> None:
        body = text.lstrip()  # white space before an XML declaration is an error for expat
        self._text = body
        self._lines_before = text[: len(text) - len(body)].count("\n")
        self._tags = TagReader(names, plain=False)
        self._events = EventList()
        self._ignored: dict[str, Place] = {}
        self._depth = 0
        self._voices = [NARRATOR]  # of the elements that are open; the last one speaks
        self._unspoken_depth = 0  # of the element whose content is not spoken; 0: there is none
        self._parts: list[str] = []  # text since the last tag
        self._parts_place: Place | None = None  # of the first of them that is not white space
        self._gap = 0  # before the next text: an index of _GAPS
        self._begun = False  # whether there was text
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add_part

    def read(self) -> SsmlContent:
        try:
            self._parser.Parse(self._text, True)
        except expat.ExpatError as error:
            place = Place(self._lines_before + error.lineno, error.offset + 1)
            raise script_error(
                place, f"the SSML is not well-formed ({expat.ErrorString(error.code)}); mend that place"
            ) from None
        except UnicodeEncodeError as error:
            place = self._place_behind(self._text[: error.start])
            raise script_error(place, "there is half of a character; save the SSML as UTF-8") from None
        return SsmlContent(self._events.finish(), tuple(self._ignored.items()))

    def _place_behind(self, before: str) -> Place:
        """The place of what comes after the beginning of the text."""
        return Place(self._lines_before + before.count("\n") + 1, len(before) - before.rfind("\n"))

    def _place(self) -> Place:
        """The place of the tag or text that expat reports."""
        return Place(self._lines_before + self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)

    def _refuse_doctype(self, *_: object) -> None:
        read = self._text.encode()[: self._parser.CurrentByteIndex]  # expat reports where its name ends
        place = self._place_behind(read[: read.rfind(b"<!DOCTYPE")].decode())
        raise script_error(place, "SSML may have no document type or entities of its own; leave <!DOCTYPE out")

    def _begin(self, element: str, attributes: dict[str, str]) -> None:
        self._flush()
        name, place = element.rpartition(":")[2], self._place()
        self._depth += 1
        if self._depth == 1 and name != "speak":
            raise script_error(
                place, f"SSML begins with <speak>, not <{element[:MAX_SHOWN]}>; put all of it into <speak>"
            )
        if self._depth > MAX_DEPTH:
            raise script_error(place, f"more than {MAX_DEPTH} elements are within each other; close some of them")
        self._voices.append(self._voices[-1])
        if not self._unspoken_depth:
            self._begin_spoken(name, attributes, place)

    def _begin_spoken(self, name: str, attributes: dict[str, str], place: Place) -> None:
        if name in ("p", "s"):
            self._widen_gap(name)
        elif name == "break":
            self._add_break(attributes, place)
        elif name == "voice" and attributes.get("name", "").strip():
            self._voices[-1] = self._voice(attributes["name"].strip(), place)
        elif name == "sub" and "alias" in attributes:
            self._unspoken_depth = self._depth
            self._add_text(attributes["alias"], place)
        elif name in _UNSPOKEN:
            self._unspoken_depth = self._depth
        elif self._depth > 1:
            self._ignored.setdefault(name, place)

    def _end(self, element: str) -> None:
        self._flush()
        name = element.rpartition(":")[2]
        if self._unspoken_depth == self._depth:
            self._unspoken_depth = 0
        elif name in ("p", "s") and not self._unspoken_depth:
            self._widen_gap(name)
        self._depth -= 1
        self._voices.pop()

    def _widen_gap(self, element: str) -> None:
        """Let the next text begin a paragraph or a line."""
        self._gap = max(self._gap, _PARAGRAPH if element == "p" else _SENTENCE)

    def _add_part(self, data: str) -> None:
        """Take text up to the next tag, which expat reports in parts."""
        if self._unspoken_depth:
            return
        if self._parts_place is None and data.strip():
            place = self._place()
            self._parts_place = Place(place.line, place.column + len(data) - len(data.lstrip()))
        self._parts.append(data)

    def _flush(self) -> None:
        """Add the text before a tag."""
        if self._parts_place is not None:
            self._add_text("".join(self._parts), self._parts_place)
        elif self._parts:
            self._gap = max(self._gap, _WORD)
        self._parts.clear()
        self._parts_place = None

    def _add_text(self, text: str, place: Place) -> None:
        words = " ".join(text.split())
        if words:
            gap = max(self._gap, _WORD if text[0].isspace() else 0)
            self._events.add_space(_GAPS[gap] if self._begun else "")
            self._events.add_text(words, place, self._voices[-1])
            self._begun = True
            self._gap = _WORD if text[-1].isspace() else 0

    def _add_break(self, attributes: dict[str, str], place: Place) -> None:
        time, strength = attributes.get("time"), attributes.get("strength", "medium")
        if time is None:
            if strength not in STRENGTHS:
                raise script_error(
                    place, f"<break> has no strength {strength[:MAX_SHOWN]!r}; there are {', '.join(STRENGTHS)}"
                )
            seconds = STRENGTHS[strength]
        else:
            match = _TIME.fullmatch(time.strip())
            if match is None:
                raise script_error(place, f"<break> takes no time {time[:MAX_SHOWN]!r}; write 1.5s or 800ms, say")
            seconds = float(match["number"]) / (1000 if match["unit"] == "ms" else 1)
        if seconds > MAX_PAUSE:
            raise script_error(place, f"this <break> is longer than {MAX_PAUSE:.0f} s; shorten it, or write several")
        if seconds > 0:
            self._events.add_event(Pause(seconds, place))

    def _voice(self, name: str, place: Place) -> Reading:
        """The reading of a voice that [voice:...] may have too."""
        tag_text = BRACKETS.fullmatch(f"[voice:{name}]")
        try:
            tag = self._tags.read(tag_text["content"]) if tag_text is not None else None
        except TagError as error:
            raise script_error(place, str(error)) from None
        if not isinstance(tag, VoiceTag):
            raise script_error(
                place, f"{name[:MAX_SHOWN]!r} is no name of a voice; use one line without square brackets"
            )
        return Reading(tag.speaker, tag.voice)
