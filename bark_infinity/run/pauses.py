"""The silence after a segment: its kind and its length, and the sounds that are played in it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from .. import constants as c
from ..options.table import Options
from ..text.breaks import Break

PauseKind = Literal["segment", "paragraph", "speaker", "scene", "chapter", "asked"]
PAUSE_KINDS: tuple[PauseKind, ...] = get_args(PauseKind)


@dataclass(frozen=True)
class GapSound:
    """An audio file that is played between segments, and the silence behind it."""

    file: str  # as the script names it
    path: Path
    sha256: str  # of the file
    samples: int  # at 24 kHz
    kind: PauseKind = "segment"
    seconds: float = 0.25

    def content(self, folder: Path) -> dict[str, object]:
        """This sound as a JSON object in a file of this folder, from which its path leads to the sound if possible."""
        try:
            path = os.path.relpath(self.path, folder)
        except ValueError:  # another drive
            path = self.path.name
        found = {"file": self.file, "path": Path(path).as_posix(), "sha256": self.sha256, "samples": self.samples}
        return found | {"kind": self.kind, "seconds": self.seconds}


@dataclass(frozen=True)
class Pause:
    """The gap between a segment and the next one of the same clip: silence, then sounds with silence behind each.

    Silence of the kind "asked" is as long as the script says; that of others follows from the options.
    """

    kind: PauseKind = "segment"
    seconds: float = 0.25
    sounds: tuple[GapSound, ...] = ()

    @classmethod
    def of(cls, kind: PauseKind, options: Options) -> Pause:
        """A pause of this kind, as long as the options say, but never shorter than one of a lower kind."""
        return cls(kind, _seconds_of(kind, options))

    def content(self, folder: Path) -> dict[str, object]:
        """This gap as a JSON object in a file of this folder."""
        silence: dict[str, object] = {"kind": self.kind, "seconds": self.seconds}
        return silence | ({"sounds": [sound.content(folder) for sound in self.sounds]} if self.sounds else {})

    @property
    def total_seconds(self) -> float:
        """The length of the whole gap, with its sounds."""
        return self.seconds + sum(sound.seconds + sound.samples / c.SAMPLE_RATE for sound in self.sounds)

    @property
    def ends_clip(self) -> bool:
        """Whether a clip whose last segment has this gap ends with it: what follows a text without markup is not heard."""
        return self.kind == "asked" or bool(self.sounds)

    def again(self, options: Options) -> Pause:
        """The same gap, with silence as long as these options say where the script does not say it."""

        def seconds(kind: PauseKind, before: float) -> float:
            return before if kind == "asked" else _seconds_of(kind, options)

        sounds = (dataclasses.replace(one, seconds=seconds(one.kind, one.seconds)) for one in self.sounds)
        return Pause(self.kind, seconds(self.kind, self.seconds), tuple(sounds))


NO_GAP = Pause("asked", 0.0)
"""What is before the first segment of a text without markup."""


def _seconds_of(kind: PauseKind, options: Options) -> float:
    seconds = options.add_silence_between_segments
    if kind in ("paragraph", "scene", "chapter"):
        seconds = max(seconds, options.add_silence_between_paragraphs)
    if kind in ("speaker", "chapter"):
        seconds = max(seconds, options.add_silence_between_speakers)
    if kind in ("scene", "chapter"):
        seconds = max(seconds, options.add_silence_at_scene_breaks)
    if kind == "chapter":
        seconds = max(seconds, options.add_silence_between_chapters)
    return seconds


def kind_of_break(end: Break) -> PauseKind:
    """The kind of pause that a break in the text calls for."""
    if end >= Break.SCENE:
        return "scene"
    return "paragraph" if end >= Break.PARAGRAPH else "segment"
