"""The type of an entry in the table of flags: its description, and how values are parsed and checked."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import numbers
import os
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError

INPUT, OUTPUT, MODEL = "Input", "Output", "Model"
SAMPLING, SEEDS, LONG_CLIPS, TAKES, MORE = "Sampling", "Seeds", "Long clips", "Takes", "More"
MACHINES, SERVER = "Many machines", "Server"


class Shapes(enum.Enum):
    """The first step of generating a clip that depends on a flag. A step also depends on the flags of earlier steps."""

    TEXT = "what there is to say; a manifest has the text itself"
    SEGMENTS = "into which segments a text is cut, and from which seeds they start"
    TOKENS = "the tokens of a segment"
    COMPUTING = "where and by which model is computed: tokens and sound differ by rounding, or altogether"
    SOUND = "what is made of the tokens: silence and loudness, say"
    FILES = "the files of a clip, with the same sound in them"
    NOTHING = "how the run goes, and what it shows"


SHAPE_TOKENS = (Shapes.TEXT, Shapes.SEGMENTS, Shapes.TOKENS)  # such flags have no effect if tokens are kept
_OF_THE_SOUND = (Shapes.SEGMENTS, Shapes.TOKENS, Shapes.COMPUTING, Shapes.SOUND)
_OF_GROUPS = {INPUT: Shapes.TEXT, OUTPUT: Shapes.FILES, MODEL: Shapes.COMPUTING, SEEDS: Shapes.SEGMENTS}
_OF_GROUPS |= {SAMPLING: Shapes.TOKENS, LONG_CLIPS: Shapes.TOKENS, TAKES: Shapes.TOKENS, MORE: Shapes.NOTHING}
_OF_GROUPS |= {MACHINES: Shapes.NOTHING, SERVER: Shapes.NOTHING}


@dataclass(frozen=True)
class Flag:
    """One flag. `flags_of` fills in `name` and `kind`, its type."""

    group: str
    help: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # what a text may be besides a number from `low` to `high`
    low: float | None = None
    high: float | None = None
    metavar: str | None = None
    env: str | None = None  # environment variable that sets it where the command line does not
    shapes: Shapes = Shapes.NOTHING
    unset: str | None = "none"  # the word for "not given", which overrides a settings file; only if the default is None
    path: bool = False  # whether it may hold a path: `~` is expanded, and metadata for others leaves the folder out
    name: str = ""
    kind: type = str
    default: object = None

    @property
    def sound(self) -> bool:
        """Whether the audio of a given text depends on it, so that making a clip again needs it."""
        return self.shapes in _OF_THE_SOUND

    def parse(self, text: str) -> object:
        """The value of a text from the command line. Raises UsageError that names the allowed values."""
        if self.default is None and text.lower() == self.unset:
            return None
        if self.kind is bool:
            return self._parse_bool(text)
        if self.choices:
            canonical = {choice.lower(): choice for choice in self.choices}
            if text.lower() not in canonical:
                raise UsageError(f"--{self.name} {_shown(text)} is not one of {', '.join(self.choices)}")
            return canonical[text.lower()]
        if self.words:
            return self._parse_word_or_number(text)
        if self.kind is str:
            return text
        try:
            return self.kind(text)
        except ValueError:  # also for more digits than Python converts
            raise UsageError(f"--{self.name} takes {_KINDS[self.kind]}, not {_shown(text)}") from None

    def read(self, value: object) -> object:
        """The value from a TOML or JSON file: a string as on the command line, or a value of the flag's type.

        Raises UsageError that names the allowed values.
        """
        if isinstance(value, str):
            return self.parse(value)
        self._check_size(value)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if self.kind is str and (whole or (self.words and type(value) is float)):
            return self.parse(str(value))  # a group size, say
        if self.kind is float and whole:
            return self.parse(str(value))
        if type(value) is not self.kind:
            found = repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
            raise UsageError(f"--{self.name} takes {_KINDS[self.kind]}, not {found}")
        return value

    def typed(self, value: object) -> object:
        """A program's value in the flag's own type: a path, or a number that NumPy made, becomes Python's own.

        Raises UsageError for a value of another type.
        """
        if value is None and self.default is None:
            return None
        if type(value) is self.kind:
            return value
        self._check_size(value)
        if self.kind is str and self.path and isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, bool):
            pass  # for Python a number, but never meant as one
        elif self.kind is float and isinstance(value, numbers.Real):
            return float(value)
        elif self.kind in (int, str) and isinstance(value, numbers.Integral):
            return self.kind(int(value))  # a text: of a group size, say
        elif self.words and isinstance(value, numbers.Real):
            return str(float(value))
        elif isinstance(value, self.kind):
            return value
        raise UsageError(f"--{self.name} takes {_KINDS[self.kind]}, not {_shortened(value)}")

    def check(self, value: Any) -> None:
        """Raise UsageError if a value of the flag's type is none of the choices or out of range. None is allowed."""
        if value is not None and (self.choices or self.words):
            self.parse(str(value))
        if value is None or self.kind not in (int, float):
            return
        self._check_size(value)
        if not math.isfinite(value):
            raise UsageError(f"--{self.name} must be a finite number, not {value}")
        low, high = self.low, self.high
        if (low is not None and not value >= low) or (high is not None and not value <= high):  # NaN fails both
            wanted = f"between {low} and {high}" if None not in (low, high) else f"{low} or more"
            raise UsageError(f"--{self.name} must be {wanted}, not {value}")

    def _parse_word_or_number(self, text: str) -> str:
        if text.lower() in self.words:
            return text.lower()
        assert self.low is not None and self.high is not None  # given with `words`
        try:
            if self.low <= float(text) <= self.high:
                return text
        except ValueError:
            pass
        allowed = f"{', '.join(self.words)} or a number from {self.low:g} to {self.high:g}"
        raise UsageError(f"--{self.name} {_shown(text)} is not one of {allowed}")

    def _check_size(self, value: object) -> None:
        """Raise UsageError for a whole number beyond 64 bits: Python can neither print one nor make a float of it."""
        if isinstance(value, int) and value.bit_length() > 64:
            raise UsageError(f"--{self.name} takes {_KINDS[self.kind]}, not a number of more than 19 digits")

    def _parse_bool(self, text: str) -> bool | None:
        words: dict[str, bool | None] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if self.default is None:
            words["auto"] = words["none"] = None
        if text.lower() not in words:
            raise UsageError(f"--{self.name} takes {', '.join(words)}, not {_shown(text)}")
        return words[text.lower()]


def _shown(text: str) -> str:
    """A value as a message quotes it."""
    return repr(text) if len(text) <= 200 else f"{text[:100]!r}..."


def _shortened(value: object) -> str:
    """A program's value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}..."


_KINDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def flag(default: object, group: str, help: str, **details: Any) -> Any:
    """A field of a dataclass with its Flag as metadata. `details`: further fields of Flag."""
    details.setdefault("shapes", _OF_GROUPS[group])
    return field(default=default, metadata={"flag": Flag(group, help, default=default, **details)})


@functools.cache
def flags_of(table: type) -> tuple[Flag, ...]:
    """The flags of a dataclass in the order of declaration, each with its name and type."""
    hints = typing.get_type_hints(table)
    return tuple(
        dataclasses.replace(f.metadata["flag"], name=f.name, kind=_kind(hints[f.name]))
        for f in dataclasses.fields(table)
        if "flag" in f.metadata
    )


def _kind(hint: Any) -> type:
    """The type of a flag from its annotation: `float` for `float | None`."""
    if isinstance(hint, types.UnionType):
        return next(t for t in hint.__args__ if t is not types.NoneType)
    return hint
