"""Sound as FFmpeg's libraries take it: frames of samples with their time."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # loading it takes a while, and only some runs need it
    from av import AudioFrame


def audio_frame(block: np.ndarray, rate: int, start: int) -> AudioFrame:
    """A frame of samples (n,) float32 in -1..1 at `rate` Hz. `start`: the number of samples before them."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[np.newaxis]), format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
    return frame
