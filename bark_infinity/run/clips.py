"""Results of a run: finished segments in order, finished clips, and clips that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from .lateness import Lateness, lateness_of
from .pauses import Pause
from .planning import ClipPlan
from .takes import Try


class HistorySizes(NamedTuple):
    """The sizes of a segment's history."""

    semantic_tokens: int = 0
    coarse_frames: int = 0
    fine_frames: int = 0

    @classmethod
    def of(cls, history: History) -> HistorySizes:
        return cls(len(history.semantic), history.coarse.shape[1], history.fine.shape[1])


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """The facts about a finished segment that stay in memory, without its audio and tokens."""

    span: Span
    semantic_tokens: int
    frames: int
    cut_ids: int
    history_sizes: HistorySizes
    seconds_taken: Mapping[str, float]  # per stage
    statistics: Statistics | None
    tries: tuple[Try, ...]
    recalled: bool = False  # whether an earlier run generated it, and took `seconds_taken`
    chosen: int = 0  # index of the take whose audio is in the clip
    worker: str | None = None  # the worker of a cluster that generated it; None: this process

    @property
    def kept(self) -> Try:
        """The chosen take, whose audio is in the clip."""
        return self.tries[self.chosen]

    @property
    def seconds(self) -> float:
        """Length of the segment's audio in seconds."""
        return (self.span.stop - self.span.start) / c.SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class FinishedSegment:
    """A finished segment of a clip. Segments are yielded in the order of the text."""

    plan: ClipPlan
    index: int
    generation: Generation
    sound: np.ndarray  # (samples,) what it adds to the clip: the gap before it and its audio, with the gain applied
    record: SegmentRecord
    audio: np.ndarray
    """The audio without the gap before it, float32 (samples,) at 24 kHz, before it is faded into its neighbours."""
    other_takes: Mapping[int, Voice] = field(default_factory=dict)  # tokens of takes that are not in the clip, if kept

    @property
    def text(self) -> str:
        """The text of the segment; empty if it continues its history without words."""
        return self.plan.segments[self.index].text

    @property
    def speaker(self) -> str | None:
        """The name in the cast, or the voice of a [voice:...] tag; None for the narrator."""
        return self.plan.segments[self.index].speaker

    @property
    def chapter(self) -> str | None:
        """The title of the chapter that it belongs to."""
        return self.plan.segments[self.index].chapter

    @property
    def gap(self) -> Pause:
        """The silence, and the sounds, between it and the next segment."""
        return self.plan.segments[self.index].pause

    @property
    def voice(self) -> Voice:
        """The tokens of the segment, as a voice for other texts."""
        return self.generation.voice

    @property
    def start(self) -> float:
        """Where `audio` begins in the clip, in seconds."""
        return self.record.span.start / c.SAMPLE_RATE

    @property
    def end(self) -> float:
        """Where `audio` ends in the clip, in seconds."""
        return self.record.span.stop / c.SAMPLE_RATE

    @property
    def faults(self) -> Mapping[str, float]:
        """The faults of the kept try, {name: measured value}; empty without faults or without checks."""
        return self.record.kept.faults or {}

    def __repr__(self) -> str:
        return f"FinishedSegment({self.index}, {self.text[:40]!r}, {self.start:.2f}-{self.end:.2f} s)"


@dataclass(frozen=True, eq=False)
class Clip:
    """A finished clip, without audio and tokens: each segment adds only a few hundred bytes."""

    plan: ClipPlan
    segments: Sequence[SegmentRecord]
    samples: int  # at 24 kHz
    audio_sha256: str  # of the float32 samples, little-endian
    voice: Voice | None  # of the first segments of the speaker who is heard first; None if they are too short for one
    starting_voice: Voice | None  # the given one
    spoken_voice: Voice | None  # whose semantic tokens it speaks in place of a text
    voices: Mapping[str, Voice] = field(default_factory=dict)  # the given starting voices of other speakers
    filters: tuple[Mapping[str, object], ...] = ()  # what was done to the sound of the segments, as a manifest tells it
    path: Path | None = None  # of the audio file; None if none was written
    level: Level | None = None  # loudness of that file
    notes: tuple[str, ...] = ()  # sentences for the user about what could not be done to its sound

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.samples / c.SAMPLE_RATE

    @property
    def lateness(self) -> Lateness | None:
        """How late its segments begin; None if none of them has a time of its own."""
        starts = {k: record.span.start / c.SAMPLE_RATE for k, record in enumerate(self.segments) if record.seconds}
        return lateness_of(self.plan, starts)

    @property
    def seconds_taken(self) -> float:
        """Seconds of computation: each segment's share of its batches, in this run or an earlier one."""
        return sum(sum(segment.seconds_taken.values()) for segment in self.segments)

    @property
    def seconds_taken_now(self) -> float:
        """Seconds of computation in this run: without the segments that an earlier run generated."""
        return sum(sum(segment.seconds_taken.values()) for segment in self.segments if not segment.recalled)


@dataclass(frozen=True)
class FailedClip:
    """A clip that failed, and why; other clips of the run are not affected."""

    plan: ClipPlan
    error: BarkError


@dataclass(frozen=True)
class MasteringProgress:
    """How far the loudness of a finished clip is set, in several passes over its sound."""

    number: int  # of the pass, from 1; how many there are to be is not known
    share: float  # of the pass, 0..1


class ClipWriter(Protocol):
    """Writes the files of one clip while it is generated. All methods but `discard` raise OutputError."""

    def add(self, segment: FinishedSegment) -> None:
        """Write the next segment."""

    def finish(self, clip: Clip) -> Clip:
        """Complete all files and give them their final names. Returns the clip with the path and level of its audio."""

    def discard(self) -> None:
        """Remove the files that do not have their final names yet. Raises nothing, also after `finish`."""
