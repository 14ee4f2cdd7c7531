"""Finds the silence at both ends of a sound."""

from __future__ import annotations

import numpy as np

from .. import constants as c
from .writing import Span

_FRAME = c.SAMPLE_RATE // 100  # samples whose loudness is measured together: 10 ms
_BELOW_LOUDEST_DB = 40.0  # a frame so much softer than the loudest one is silent


def sounding_span(samples: np.ndarray) -> Span:
    """The part of samples (n,) at 24 kHz without the silence at both ends, to 10 ms; all of a sound that is silent."""
    n_frames = -(-len(samples) // _FRAME)
    padded = np.pad(samples.astype(np.float32), (0, n_frames * _FRAME - len(samples)))
    loudness = np.sqrt(np.mean(padded.reshape(n_frames, _FRAME) ** 2, axis=1))  # (frames,)
    (sounding,) = np.nonzero(loudness > loudness.max(initial=0) * 10 ** (-_BELOW_LOUDEST_DB / 20))
    if not len(sounding):
        return Span(0, len(samples))
    return Span(int(sounding[0]) * _FRAME, min(int(sounding[-1] + 1) * _FRAME, len(samples)))
