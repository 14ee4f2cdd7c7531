"""Finds the silence at the ends of a segment, and shortens it without touching speech."""

from __future__ import annotations

import numpy as np

from .. import constants as c
from .writing import Span

KEPT_SECONDS = 0.05  # of the silence at each end: room for the quiet beginnings and ends of sounds
_STEP = c.SAMPLE_RATE // 200  # samples between measurements of the level: 5 ms
_WINDOW_STEPS = 2  # steps that each measurement covers
_LOUD_PERCENTILE = 95  # of the levels: that of stressed vowels
_QUIET_PERCENTILE = 5  # of the levels: that of the noise, if the segment has a pause
_SPEECH_DB = -45.0  # below the loud level: weaker than the weakest consonants
_LEAST_SPEECH_DB = -35.0  # below the loud level: in noise that is no weaker, nothing is taken for silence
_OVER_NOISE_DB = 6.0
_INAUDIBLE_DB = -100.0  # of full scale
_CLICK_STEPS = 8  # at most 40 ms: what the codec makes of its start, or a click
_CLICK_DB = -25.0  # below the loud level
# Silence between a click and speech. The burst of a final t comes up to 0.15 s after its vowel; nothing such begins a word.
_AFTER_CLICK_STEPS, _BEFORE_CLICK_STEPS = 16, 40
_FADE_SECONDS = 0.005  # where silence is cut off, so that what noise there is does not begin with a click


def trim(piece: np.ndarray, start: bool = True, stop: bool = True) -> np.ndarray:
    """A segment's samples (n,) float32 with the silence at its start and its stop cut to KEPT_SECONDS, where it is longer.

    What counts as silence depends on the segment's own level and noise; a segment without anything else stays whole.
    """
    sounding = sounding_span(piece)
    kept = round(KEPT_SECONDS * c.SAMPLE_RATE)
    begin = max(0, sounding.start - kept) if start else 0
    end = min(len(piece), sounding.stop + kept) if stop else len(piece)
    fade = np.linspace(0, 1, round(_FADE_SECONDS * c.SAMPLE_RATE), dtype=np.float32)
    cut = piece[begin:end]
    if begin > 0 or end < len(piece):
        cut = cut.copy()
    if begin > 0:
        cut[: len(fade)] *= fade
    if end < len(piece):
        cut[-len(fade) :] *= fade[::-1]
    return cut


def sounding_span(piece: np.ndarray) -> Span:
    """The part of a segment's samples (n,) without the silence at both ends, to 5 ms; all of it if there is nothing else."""
    steps = len(piece) // _STEP
    if steps < _WINDOW_STEPS:
        return Span(0, len(piece))
    squares = np.square(np.nan_to_num(piece[: steps * _STEP]).astype(np.float64)).reshape(steps, _STEP).mean(axis=1)
    means = np.convolve(squares, np.ones(_WINDOW_STEPS) / _WINDOW_STEPS, "valid")
    levels = 10 * np.log10(np.maximum(means, 10 ** (_INAUDIBLE_DB / 10)))
    loud, noise = np.percentile(levels, [_LOUD_PERCENTILE, _QUIET_PERCENTILE])
    threshold = min(max(loud + _SPEECH_DB, noise + _OVER_NOISE_DB), loud + _LEAST_SPEECH_DB)
    runs = _runs(levels > max(threshold, _INAUDIBLE_DB))
    if not runs:
        return Span(0, len(piece))

    def is_click(run: tuple[int, int]) -> bool:
        first, stop = run
        return stop - first <= _CLICK_STEPS and levels[first:stop].max() < loud + _CLICK_DB

    while len(runs) > 1 and is_click(runs[0]) and runs[1][0] - runs[0][1] >= _AFTER_CLICK_STEPS:
        del runs[0]
    while len(runs) > 1 and is_click(runs[-1]) and runs[-1][0] - runs[-2][1] >= _BEFORE_CLICK_STEPS:
        del runs[-1]
    last = runs[-1][1] - 1 + _WINDOW_STEPS
    # The samples behind the last whole step are not measured.
    return Span(runs[0][0] * _STEP, len(piece) if last == steps else last * _STEP)


def _runs(sounding: np.ndarray) -> list[tuple[int, int]]:
    """The first (inclusive) and the last (exclusive) place of each run of true values (n,)."""
    edges = np.flatnonzero(np.diff(sounding.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
