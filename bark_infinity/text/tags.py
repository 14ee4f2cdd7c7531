"""Reads and writes the tags of scripts, such as [pause:1.5s] and [Anna|seed:42], and finds tags that are misspelled.

A tag is text in square brackets. Whatever is no tag of ours, and does not look as if it was meant for one, is Bark's: [laughs].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..errors import UsageError
from .script_settings import read_speaker_setting, speaker_flags
from .spelling import Spelling

BRACKETS = re.compile(r"\[(?P<content>[^][\n]*)\]")
DEFAULT_PAUSE = 1.0  # seconds
MAX_PAUSE = 3600.0  # seconds, as for the flags of silences
MAX_START = 86_400.0  # seconds from the beginning of a clip: a day
MAX_TAG_LENGTH = 1000  # characters; longer text in brackets is no tag

_TAG = re.compile(r"(?P<word>[^\W\d_]+)(?P<sign>\s*[:=：]\s*|\s+|(?=[\d.,-])|$)(?P<argument>.*)")
_END = re.compile(r"[/\\]\s*(?P<word>.+)")
_SETTING = re.compile(r"(?P<key>[\w-]+)\s*(?P<sign>[:=：])\s*(?P<value>.*)")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>ms|s|)", re.IGNORECASE)
_ANY_DURATION = re.compile(r"(?P<number>\d{1,6}(?:[.,]\d{1,6})?)\s*(?P<unit>[^\W\d_]*)")
_TIME = re.compile(
    r"(?:(?:(?P<hours>\d{1,2}):)?(?P<minutes>\d{1,2}):)?(?P<seconds>\d+(?:[.,]\d*)?)\s*s?", re.IGNORECASE
)
_SIGNS = (":", "=", "：")  # between a word and its argument; the first one is right
_FILE = re.compile(r".*\.\w{2,4}")


@dataclass(frozen=True)
class PauseTag:
    """[pause:1.5s]"""

    seconds: float


@dataclass(frozen=True)
class SoundTag:
    """[sound: file]"""

    file: str


@dataclass(frozen=True)
class StartTag:
    """[at:83.5s] or [at:1:23.5]: what follows begins at this time of the clip."""

    seconds: float


@dataclass(frozen=True)
class VoiceTag:
    """[voice:...], with a speaker of the cast or else a voice."""

    speaker: str | None
    voice: str | None


@dataclass(frozen=True)
class VoiceEndTag:
    """[/voice]"""


@dataclass(frozen=True)
class TurnTag:
    """[NAME|flag:value|...]"""

    speaker: str
    settings: Mapping[str, object]


Tag = PauseTag | SoundTag | StartTag | VoiceTag | VoiceEndTag | TurnTag


class TagError(ValueError):
    """A tag with a mistake. The message is a sentence with the nearest right form."""


class TagReader:
    """Reads tags, given the names of the cast; in plain text there are only pauses and sounds."""

    def __init__(self, names: Iterable[str], plain: bool) -> None:
        self._plain = plain
        self._names = frozenset(names)
        self._known_names = Spelling(self._names)
        self._known_tags = Spelling(("pause", "sound") if plain else ("pause", "sound", "voice"))

    def read(self, content: str) -> Tag | None:
        """The tag with this text in its brackets; None if that is Bark's. Raises TagError."""
        content = content.strip()
        if len(content) > MAX_TAG_LENGTH:
            return None
        tag = None if self._plain else self._end(content) or self._turn(content)
        match = _TAG.fullmatch(content)
        if tag is not None or match is None:
            return tag
        word, argument = match["word"].lower(), match["argument"]
        sign = " " if match["sign"].isspace() else match["sign"].strip()
        if word == "at" and argument[:1].isdigit():
            return _start(content, sign, argument)
        meant = word if word in ("pause", "sound", "voice") else self._known_tags.nearest(word)
        if meant == "pause":
            return _pause(content, word, sign, argument)
        if meant == "sound":
            return _sound(content, word, sign, argument)
        if meant == "voice" and not self._plain:
            return self._voice(content, word, sign, argument)
        return None

    def is_meant(self, content: str) -> bool:
        """Whether the text in brackets is a tag or is taken for a misspelled one."""
        try:
            return self.read(content) is not None
        except TagError:
            return True

    def _voice(self, content: str, word: str, sign: str, argument: str) -> Tag | None:
        speaker = argument if argument in self._names else self._known_names.nearest(argument)
        if word == "voice" and sign == ":" and argument:
            if speaker not in (None, argument):
                raise TagError(f"there is no {argument} in the cast; write {speaker}, or declare {argument} in [cast]")
            return VoiceTag(speaker, argument if speaker is None else None)
        if sign in _SIGNS or speaker is not None:
            raise _wrong(content, f"[voice:{speaker or argument or 'NAME'}]")
        return None  # [voice breaking]

    def _end(self, content: str) -> Tag | None:
        match = _END.fullmatch(content)
        if match is None:
            return None
        word = match["word"].lower()
        if content[0] == "/" and word == "voice":
            return VoiceEndTag()
        if word.startswith("voice") or self._known_tags.nearest(word) == "voice" or match["word"] in self._names:
            raise _wrong(content, "[/voice]")
        return None

    def _turn(self, content: str) -> Tag | None:
        name, *parts = (part.strip() for part in content.split("|"))
        if name in self._names:
            return TurnTag(name, _settings(name, parts))
        if not parts:
            self._check_without_bars(content)
            return None
        settings = [match for part in parts if (match := _SETTING.fullmatch(part))]
        if not any(match["key"].lower() in speaker_flags() for match in settings):
            return None
        nearest = self._known_names.nearest(name)
        if nearest is not None:
            raise _wrong(content, f"[{'|'.join((nearest, *parts))}]")
        raise TagError(f"there is no {name or 'speaker'} in [{_shown(content)}]; declare the name in [cast]")

    def _check_without_bars(self, content: str) -> None:
        """Raise TagError for [seed:42], which has no name, and for [Anna:seed:42] and [Anna, seed:42]."""
        for match in re.finditer(r"([\w-]+)\s*[:=：]\s*(?=\S)", content):
            if match[1].lower() in speaker_flags():
                before = content[: match.start()].strip(" \t:,;/")
                name = before if before in self._names else self._known_names.nearest(before)
                if name is not None or not before:
                    raise _wrong(content, f"[{name or 'NAME'}|{match[1]}:{content[match.end() :]}]")


def format_pause(seconds: float) -> str:
    """The tag of a pause."""
    return f"[pause:{_in_decimals(seconds)}s]"


def _in_decimals(number: float) -> str:
    """A number without an exponent."""
    return format(Decimal(repr(number)).normalize(), "f")


def format_start(seconds: float) -> str:
    """The tag of a time."""
    return f"[at:{_in_decimals(seconds)}s]"


def format_turn(name: str, settings: Mapping[str, object]) -> str:
    """The tag of a turn with settings: {flag name: value}."""
    return f"[{'|'.join((name, *(f'{key}:{_format_value(key, value)}' for key, value in settings.items())))}]"


def _format_value(key: str, value: object) -> str:
    if value is None:
        return speaker_flags()[key].unset or ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pause(content: str, word: str, sign: str, argument: str) -> Tag | None:
    if word == "pause" and not argument and sign not in _SIGNS:
        return PauseTag(DEFAULT_PAUSE)
    match = _DURATION.fullmatch(argument)
    if match and word == "pause" and sign in (":", " "):
        seconds = float(match["number"]) / (1000 if match["unit"].lower() == "ms" else 1)
        if seconds > MAX_PAUSE:
            raise TagError(f"[{_shown(content)}] is longer than {MAX_PAUSE:.0f} s; shorten it, or write several")
        return PauseTag(seconds)
    if word != "pause" and argument and sign not in _SIGNS and not argument[0].isdigit():
        return None  # [pauses briefly]
    raise _wrong(content, _nearest_pause(argument))


def _start(content: str, sign: str, argument: str) -> Tag | None:
    match = _TIME.fullmatch(argument)
    if sign not in _SIGNS:
        return None  # [at 5 o'clock]
    if match is None or sign != ":":
        raise _wrong(content, "[at:83.5s] or [at:1:23.5]")
    hours, minutes = (int(match[part] or 0) for part in ("hours", "minutes"))
    seconds = 3600 * hours + 60 * minutes + float(match["seconds"].replace(",", "."))
    if seconds > MAX_START:
        raise TagError(f"[{_shown(content)}] is later than {MAX_START:.0f} s; a clip is not longer than a day")
    return StartTag(seconds)


def _nearest_pause(argument: str) -> str:
    """The right form of a pause with this wrong argument."""
    match = _ANY_DURATION.search(argument)
    if match is None:
        return "[pause:1.5s]" if argument else "[pause]"
    number, unit = match["number"].replace(",", "."), match["unit"].lower()
    if unit.startswith("ms") or unit.startswith("milli"):
        return f"[pause:{number}ms]"
    return f"[pause:{format(Decimal(number) * 60, 'f') if unit.startswith('m') else number}s]"


def _sound(content: str, word: str, sign: str, argument: str) -> Tag | None:
    if word == "sound" and sign == ":" and argument:
        return SoundTag(argument)
    if sign in _SIGNS or _FILE.fullmatch(argument):
        raise _wrong(content, f"[sound: {argument or 'FILE'}]")
    return None  # [sound of rain]


def _settings(name: str, parts: Sequence[str]) -> Mapping[str, object]:
    """The settings of the parts of a turn's tag behind the name. Raises TagError."""
    settings: dict[str, object] = {}
    for part in parts:
        match = _SETTING.fullmatch(part)
        if match is None:
            raise TagError(f"'{_shown(part)}' is no flag with its value; write [{name}|seed:42], say")
        if match["sign"] != ":":
            raise _wrong("|".join((name, *parts)), f"[{name}|{match['key']}:{match['value']}]")
        try:
            key, value = read_speaker_setting(match["key"], match["value"])
        except UsageError as error:
            raise TagError(str(error)) from None
        if key in settings:
            raise TagError(f"{key} is given twice; leave one of them out")
        settings[key] = value
    return settings


def _wrong(content: str, right: str) -> TagError:
    shown = _shown(content)
    return TagError(f"there is no tag [{shown}]; write {right}, or \\[{shown}] to have it spoken as it stands")


def _shown(content: str) -> str:
    """The text of a tag as a message shows it."""
    return content if len(content) <= 60 else f"{content[:40]}..."
