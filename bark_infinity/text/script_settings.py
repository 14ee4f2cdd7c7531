"""The flags that a script may set: for its speakers, and for itself as a whole."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from ..errors import UsageError
from ..options.flag import INPUT, MODEL, MORE, OUTPUT, SAMPLING, SEEDS, Flag, Shapes
from ..options.settings_file import flags_by_name, read_setting
from ..options.table import flags

_SHAPES = (Shapes.SEGMENTS, Shapes.TOKENS, Shapes.SOUND)
_OTHER_GROUPS = (INPUT, OUTPUT, MODEL, MORE)  # what the run reads, writes, computes with and shows is not the script's
_VOICE = "history_prompt"  # of the narrator
# flags of Sampling that say which segments there are, and what their histories are, and not how one of them is drawn
_OF_WHOLE_CLIPS = (
    "extra_confused_travolta_mode",
    "absolute_semantic_history_only",
    "absolute_semantic_history_only_every_x",
)


@functools.cache
def speaker_flags() -> Mapping[str, Flag]:
    """The flags that may be set for one speaker or one paragraph, by each of their names."""
    of_segments = (line for line in flags() if line.name not in _OF_WHOLE_CLIPS)
    return flags_by_name(line for line in of_segments if line.group in (SAMPLING, SEEDS))


@functools.cache
def script_flags() -> Mapping[str, Flag]:
    """The flags that may be set for a whole script, by each of their names. But for voices, none of them names a file."""
    shaping = (line for line in flags() if line.shapes in _SHAPES and line.group not in _OTHER_GROUPS)
    allowed = [line for line in shaping if not line.path]
    return flags_by_name([*allowed, *(line for line in flags() if line.name == _VOICE)])


def read_speaker_setting(key: str, value: object) -> tuple[str, object]:
    """The flag's name and the value of a speaker's setting. Raises UsageError."""
    return _read(key, value, speaker_flags(), "for a speaker, only for the whole run")


def read_script_setting(key: str, value: object) -> tuple[str, object]:
    """The flag's name and the value of a setting of a whole script. Raises UsageError."""
    return _read(key, value, script_flags(), "in a script; give it on the command line")


def _read(key: str, value: object, allowed: Mapping[str, Flag], excuse: str) -> tuple[str, object]:
    name = key.replace("-", "_").lower()
    if name not in allowed and name in flags_by_name(flags()):
        raise UsageError(f"{key} cannot be set {excuse}")
    return read_setting(key, value, allowed)
