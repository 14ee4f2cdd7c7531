"""How the segments of a clip are joined: gain, silence at their ends, crossfades, and the silence around the whole."""

from __future__ import annotations

from dataclasses import dataclass

from ..audio.targets import HEAD_SECONDS, TAIL_SECONDS
from ..options.table import Options


@dataclass(frozen=True)
class Joining:
    """What options say about how segments become one sound."""

    gain_db: float = 0.0
    trim_silence: bool = False  # at both ends of each segment
    crossfade_seconds: float = 0.0  # between segments without silence
    head_seconds: float = 0.0  # least silence before the clip's first sound, with that of the first segment
    tail_seconds: float = 0.0  # least silence behind its last sound

    @classmethod
    def from_options(cls, options: Options) -> Joining:
        """The joining that resolved options describe; audiobooks get the silence that shops want around them."""
        edges = (HEAD_SECONDS, TAIL_SECONDS) if options.loudness == "audiobook" else (0.0, 0.0)
        return cls(options.gain_db, options.trim_silence, options.crossfade_ms / 1000, *edges)

    @property
    def has_edges(self) -> bool:
        """Whether the silence around the clip is of a given length."""
        return self.head_seconds > 0 or self.tail_seconds > 0
