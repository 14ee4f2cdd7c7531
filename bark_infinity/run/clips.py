"""A clip while it is made and when it is done: its segments come in any order, and are handed on in their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .. import constants as c
from ..audio.writing import Joiner, Span
from ..bark import Generation
from ..errors import BarkError, TextError
from ..stages.semantic import Statistics
from ..voices.history import History
from ..voices.voice import Voice
from .checks import Try, best_of
from .planning import ClipPlan

_NO_SOUND = "the model ended its speech at once, every time; try another --seed or a higher --semantic_min_eos_p"
_VOICE_SECONDS = 7.0  # the fine stage hears 512 frames, 6.8 s


@dataclass(frozen=True, eq=False)
class SegmentMade:
    """Segment `index` of a clip, how much it heard before and what became of it: the best of its tries."""

    plan: ClipPlan
    index: int
    heard: Heard
    generation: Generation
    tries: tuple[Try, ...]
    recalled: bool = False  # made by an earlier run, whose seconds are not this run's


class Heard(NamedTuple):
    """How much a segment heard of what came before."""

    semantic_tokens: int = 0
    coarse_frames: int = 0
    fine_frames: int = 0

    @classmethod
    def of(cls, history: History) -> Heard:
        return cls(len(history.semantic), history.coarse.shape[1], history.fine.shape[1])


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """What is known of a segment for good: all but its sound and its tokens."""

    span: Span
    semantic_tokens: int
    frames: int
    cut_ids: int
    heard: Heard
    seconds_taken: Mapping[str, float]  # per stage
    statistics: Statistics | None
    tries: tuple[Try, ...]
    recalled: bool = False  # made by an earlier run, which took those seconds

    @property
    def kept(self) -> Try:
        """The one whose sound it is."""
        return self.tries[best_of(self.tries)]

    @property
    def seconds(self) -> float:
        """Length of its sound."""
        return (self.span.stop - self.span.start) / c.SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class PlacedSegment:
    """The next segment of a clip: what it adds to the sound, with the silence before it, and the record of it."""

    plan: ClipPlan
    index: int
    generation: Generation
    sound: np.ndarray  # (samples,)
    record: SegmentRecord


@dataclass(frozen=True, eq=False)
class ClipRecord:
    """What is known of a finished clip, whose segments have been handed on. It grows with the text by words alone."""

    plan: ClipPlan
    segments: Sequence[SegmentRecord]
    audio_sha256: str  # of its float32 samples, little-endian
    voice: Voice | None  # its first segments, as many as fill the longest history window; None if too short for one
    starting_voice: Voice | None  # the given one
    spoken_voice: Voice | None  # whose tokens are said

    @property
    def seconds(self) -> float:
        return self.segments[-1].span.stop / c.SAMPLE_RATE

    @property
    def seconds_taken(self) -> float:
        """Seconds of work, each segment's share of its batches, whichever run made it."""
        return sum(sum(segment.seconds_taken.values()) for segment in self.segments)

    @property
    def seconds_taken_now(self) -> float:
        """The same of this run alone: without the segments that an earlier run has made."""
        return sum(sum(segment.seconds_taken.values()) for segment in self.segments if not segment.recalled)


@dataclass(frozen=True, eq=False)
class Clip:
    """A finished clip with all of its sound, float32 samples at 24 kHz."""

    record: ClipRecord
    generations: Sequence[Generation]
    audio: np.ndarray

    @property
    def plan(self) -> ClipPlan:
        return self.record.plan

    @property
    def spans(self) -> list[Span]:
        """Where each segment stands in the sound."""
        return [segment.span for segment in self.record.segments]

    @property
    def voice(self) -> Voice | None:
        return self.record.voice


@dataclass(frozen=True)
class FailedClip:
    """A clip that could not be made, while the others go on."""

    plan: ClipPlan
    error: BarkError


class ClipUnderWay:
    """Takes the segments of a clip as they come. Only those that come before their turn are kept."""

    def __init__(self, plan: ClipPlan, gain_db: float = 0.0):
        self.plan = plan
        self._joiner = Joiner(gain_db)
        self._waiting: dict[int, SegmentMade] = {}
        self._records: list[SegmentRecord] = []
        self._voices: list[Voice] = []  # of the first segments with a sound

    def put(self, made: SegmentMade) -> Iterator[PlacedSegment]:
        """The segments whose turn it is now, none or several."""
        self._waiting[made.index] = made
        while (due := self._waiting.pop(len(self._records), None)) is not None:
            yield self._place(due)

    def finish(self, starting_voice: Voice | None, spoken_voice: Voice | None) -> ClipRecord | FailedClip | None:
        """What became of the clip; None while segments are to come."""
        if len(self._records) < len(self.plan.segments):
            return None
        if not self._voices:
            return FailedClip(self.plan, TextError(_NO_SOUND))
        voice = Voice.concatenate(self._voices).aligned()
        return ClipRecord(self.plan, self._records, self._joiner.sha256, voice, starting_voice, spoken_voice)

    def _place(self, made: SegmentMade) -> PlacedSegment:
        generation = made.generation
        sound, span = self._joiner.add(generation.audio, made.plan.segments[made.index].pause.seconds)
        record = SegmentRecord(
            span,
            len(generation.voice.semantic),
            generation.voice.fine.shape[1],
            generation.cut_ids,
            made.heard,
            generation.seconds_taken,
            generation.statistics,
            made.tries,
            made.recalled,
        )
        self._records.append(record)
        if not generation.silent and sum(voice.seconds for voice in self._voices) < _VOICE_SECONDS:
            self._voices.append(generation.voice)
        return PlacedSegment(made.plan, made.index, generation, sound, record)
