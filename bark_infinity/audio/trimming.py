"""Finds the silence at the ends of a segment, and shortens it without touching speech."""

from __future__ import annotations

import numpy as np

from .. import constants as c

KEPT_SECONDS = 0.05  # of the silence at each end: room for the quiet beginnings and ends of sounds
_STEP = c.SAMPLE_RATE // 200  # samples between measurements of the level: 5 ms
_WINDOW_STEPS = 2  # steps that each measurement covers
_LOUD_PERCENTILE = 95  # of the levels: that of stressed vowels
_QUIET_PERCENTILE = 5  # of the levels: that of the noise, if the segment has a pause
_SPEECH_DB = -45.0  # below the loud level: weaker than the weakest consonants
_LEAST_SPEECH_DB = -35.0  # below the loud level: in noise that is no weaker, nothing is taken for silence
_OVER_NOISE_DB = 6.0
_INAUDIBLE_DB = -100.0  # of full scale
_FADE_SECONDS = 0.005  # where silence is cut off, so that what noise there is does not begin with a click


def trim(piece: np.ndarray, start: bool = True, stop: bool = True) -> np.ndarray:
    """A segment's samples (n,) float32 with the silence at its start and its stop cut to KEPT_SECONDS, where it is longer.

    What counts as silence depends on the segment's own level and noise; a segment without anything else stays whole.
    """
    first, last = _sound_in(piece)
    kept = round(KEPT_SECONDS * c.SAMPLE_RATE)
    begin = max(0, first - kept) if start else 0
    end = min(len(piece), last + kept) if stop else len(piece)
    fade = np.linspace(0, 1, round(_FADE_SECONDS * c.SAMPLE_RATE), dtype=np.float32)
    cut = piece[begin:end]
    if begin > 0 or end < len(piece):
        cut = cut.copy()
    if begin > 0:
        cut[: len(fade)] *= fade
    if end < len(piece):
        cut[-len(fade) :] *= fade[::-1]
    return cut


def _sound_in(piece: np.ndarray) -> tuple[int, int]:
    """The first sample of a segment's sound and the one behind its last; all of it if none of it is silence."""
    steps = len(piece) // _STEP
    if steps < _WINDOW_STEPS:
        return 0, len(piece)
    squares = np.square(np.nan_to_num(piece[: steps * _STEP]).astype(np.float64)).reshape(steps, _STEP).mean(axis=1)
    means = np.convolve(squares, np.ones(_WINDOW_STEPS) / _WINDOW_STEPS, "valid")
    levels = 10 * np.log10(np.maximum(means, 10 ** (_INAUDIBLE_DB / 10)))
    loud, noise = np.percentile(levels, [_LOUD_PERCENTILE, _QUIET_PERCENTILE])
    threshold = min(max(loud + _SPEECH_DB, noise + _OVER_NOISE_DB), loud + _LEAST_SPEECH_DB)
    sounding = np.flatnonzero(levels > max(threshold, _INAUDIBLE_DB))
    if not len(sounding):
        return 0, len(piece)
    last = int(sounding[-1]) + _WINDOW_STEPS
    # The samples behind the last whole step are not measured.
    return int(sounding[0]) * _STEP, len(piece) if last == steps else last * _STEP
