"""Scripts: text with speakers, pauses, sounds and chapters, from text to events and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .events import Script, Speaker

ScriptKind = Literal["plain", "dialogue", "ssml"]


def parse_script(text: str, kind: ScriptKind, cast: Mapping[str, Speaker] | None = None) -> Script:
    """The events of a script. `cast`: speakers declared elsewhere, before those of the front matter.

    Raises ScriptError that names line and column.
    """
    raise NotImplementedError


def script_kind(text: str, file_name: str | None, has_cast: bool) -> ScriptKind:
    """The kind of a script by --script auto. `has_cast`: whether speakers are declared outside of the text."""
    raise NotImplementedError


def format_script(script: Script) -> str:
    """A text that is parsed to an equal script, in the kind that `script_kind` finds for it."""
    raise NotImplementedError
