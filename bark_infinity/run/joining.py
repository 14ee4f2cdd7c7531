"""How the segments of a clip are joined: gain, silence at their ends, crossfades, and the silence around the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..audio.targets import HEAD_SECONDS, TAIL_SECONDS
from ..audio.trimming import KEPT_SECONDS
from ..options.table import Options
from .chapters import chapters_of_segments
from .planning import ClipPlan


@dataclass(frozen=True)
class Joining:
    """What options say about how segments become one sound."""

    gain_db: float = 0.0
    trim_silence: bool = False  # at both ends of each segment
    crossfade_seconds: float = 0.0  # between segments without silence
    head_seconds: float = 0.0  # silence before the clip's first sound, besides what is kept of the segment's own
    tail_seconds: float = 0.0  # silence behind its last sound, likewise
    around_chapters: bool = False  # whether every chapter has them

    @classmethod
    def from_options(cls, options: Options) -> Joining:
        """The joining that resolved options describe; audiobooks get the silence that shops want around them."""
        plain = cls(options.gain_db, options.trim_silence, options.crossfade_ms / 1000)
        if options.loudness != "audiobook":
            return plain
        head, tail = HEAD_SECONDS - KEPT_SECONDS, TAIL_SECONDS - KEPT_SECONDS
        return replace(plain, head_seconds=head, tail_seconds=tail, around_chapters=options.chapter_files)

    @property
    def has_edges(self) -> bool:
        """Whether the silence around the clip is of a given length."""
        return self.head_seconds > 0 or self.tail_seconds > 0

    def most_silence_around(self, plan: ClipPlan) -> float:
        """An upper bound of the seconds of silence that a clip and its chapters get around them."""
        parts = chapters_of_segments(plan.segments)[-1] + 1 if self.around_chapters else 1
        return parts * (self.head_seconds + self.tail_seconds)
