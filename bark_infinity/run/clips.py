"""Results of a run: finished segments in order, finished clips, and clips that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from .. import constants as c
from ..audio.writing import Level, Span
from ..bark import Generation
from ..errors import BarkError
from ..stages.semantic import Statistics
from ..voices.history import History
from ..voices.voice import Voice
from .planning import ClipPlan
from .takes import Try, best_of


class HistorySizes(NamedTuple):
    """The sizes of the history that a segment went on from."""

    semantic_tokens: int = 0
    coarse_frames: int = 0
    fine_frames: int = 0

    @classmethod
    def of(cls, history: History) -> HistorySizes:
        return cls(len(history.semantic), history.coarse.shape[1], history.fine.shape[1])


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """What is kept of a finished segment in memory, without its sound and its tokens."""

    span: Span
    semantic_tokens: int
    frames: int
    cut_ids: int
    history_sizes: HistorySizes
    seconds_taken: Mapping[str, float]  # per stage
    statistics: Statistics | None
    tries: tuple[Try, ...]
    recalled: bool = False  # whether an earlier run has made it, and took those seconds

    @property
    def kept(self) -> Try:
        """The try whose sound this is."""
        return self.tries[best_of(self.tries)]

    @property
    def seconds(self) -> float:
        """Length of its sound."""
        return (self.span.stop - self.span.start) / c.SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class FinishedSegment:
    """The next segment of a clip, in the order of the text."""

    plan: ClipPlan
    index: int
    generation: Generation
    sound: np.ndarray  # (samples,) what it adds to the clip: the pause before it and its own sound, with the gain
    record: SegmentRecord

    @property
    def text(self) -> str:
        """The text that it speaks; empty where it continues its history without words."""
        return self.plan.segments[self.index].text

    @property
    def audio(self) -> np.ndarray:
        """Its own sound without the pause before it, float32 (samples,) at 24 kHz."""
        return self.sound[len(self.sound) - (self.record.span.stop - self.record.span.start) :]

    @property
    def voice(self) -> Voice:
        """Its tokens, as a voice for other texts."""
        return self.generation.voice

    @property
    def start(self) -> float:
        """Where its own sound begins in the clip, in seconds."""
        return self.record.span.start / c.SAMPLE_RATE

    @property
    def end(self) -> float:
        """Where its sound ends in the clip, in seconds."""
        return self.record.span.stop / c.SAMPLE_RATE

    @property
    def faults(self) -> Mapping[str, float]:
        """What the checks found in the kept try, by name; empty where nothing was found or nobody looked."""
        return self.record.kept.faults or {}

    def __repr__(self) -> str:
        return f"FinishedSegment({self.index}, {self.text[:40]!r}, {self.start:.2f}-{self.end:.2f} s)"


@dataclass(frozen=True, eq=False)
class Clip:
    """A finished clip without its sound and tokens: each segment adds a few hundred bytes."""

    plan: ClipPlan
    segments: Sequence[SegmentRecord]
    audio_sha256: str  # of its float32 samples, little-endian
    voice: Voice | None  # its first segments, as many as fill the longest history window; None if too short for one
    starting_voice: Voice | None  # the given one
    spoken_voice: Voice | None  # whose tokens it speaks
    path: Path | None = None  # of the audio file, where it was written
    level: Level | None = None  # of that file

    @property
    def seconds(self) -> float:
        """Length of its sound."""
        return self.segments[-1].span.stop / c.SAMPLE_RATE

    @property
    def seconds_taken(self) -> float:
        """Seconds of work: each segment's share of its batches, in whichever run it was made."""
        return sum(sum(segment.seconds_taken.values()) for segment in self.segments)

    @property
    def seconds_taken_now(self) -> float:
        """Seconds of work of this run: without the segments that an earlier one has made."""
        return sum(sum(segment.seconds_taken.values()) for segment in self.segments if not segment.recalled)


@dataclass(frozen=True)
class FailedClip:
    """A clip that could not be made; other clips of the run are not affected."""

    plan: ClipPlan
    error: BarkError


class ClipWriter(Protocol):
    """Writes the files of one clip while it is made. All methods but `discard` raise OutputError."""

    def add(self, segment: FinishedSegment) -> None:
        """Write the next segment."""

    def finish(self, clip: Clip) -> Clip:
        """Complete all files and give them their names; the clip with the path and level of the audio."""

    def discard(self) -> None:
        """Remove what has not got its name. Raises nothing, also after `finish`."""
