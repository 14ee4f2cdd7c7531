"""The silence after a segment: its kind and its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..options.table import Options
from ..text.breaks import Break

PauseKind = Literal["segment", "paragraph", "scene"]
PAUSE_KINDS: tuple[PauseKind, ...] = get_args(PauseKind)


@dataclass(frozen=True)
class Pause:
    """The silence between a segment and the next one of the same clip."""

    kind: PauseKind = "segment"
    seconds: float = 0.25

    @classmethod
    def of(cls, kind: PauseKind, options: Options) -> Pause:
        """A pause of this kind, as long as the options say, but never shorter than one of a lower kind."""
        seconds = options.add_silence_between_segments
        if kind != "segment":
            seconds = max(seconds, options.add_silence_between_paragraphs)
        if kind == "scene":
            seconds = max(seconds, options.add_silence_at_scene_breaks)
        return cls(kind, seconds)


def kind_of_break(end: Break) -> PauseKind:
    """The kind of pause that a break in the text calls for."""
    if end >= Break.SCENE:
        return "scene"
    return "paragraph" if end >= Break.PARAGRAPH else "segment"
