"""Mends the arrays of voice files that other programs wrote a little differently: a batch axis, or lengths that do not agree.

What is cut is cut so that all arrays end together, because speech goes on from a voice's end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import constants as c
from .npz import VOICE_ARRAYS

RATIO = c.FRAME_RATE_HZ / c.SEMANTIC_RATE_HZ  # frames for each semantic token
_MAX_EXTRA_FRAMES = 8  # 0.1 s by which coarse and fine arrays may differ: a few codec steps lost or added at an edge
_MAX_OFF = 0.1  # share by which the lengths of tokens and frames may differ; beyond it they are not of the same speech


def mend_prompts(prompts: Mapping[str, np.ndarray]) -> tuple[Mapping[str, np.ndarray], tuple[str, ...]]:
    """The arrays of a voice file, mended where that is safe, and what was mended, in a few words each.

    Arrays that are not near enough to a voice are returned as they are, for `Voice.from_prompts` to refuse.
    """
    if any(name not in prompts for name in VOICE_ARRAYS):
        return prompts, ()
    arrays, notes = {}, []
    for name, (dimensions, *_) in VOICE_ARRAYS.items():
        arrays[name] = np.asarray(prompts[name])
        if arrays[name].ndim == dimensions + 1 and len(arrays[name]) == 1:
            arrays[name] = arrays[name][0]
            notes.append(f"the batch axis of '{name}' was dropped")
    semantic, coarse, fine = arrays.values()
    if any(array.ndim != VOICE_ARRAYS[name][0] or not array.size for name, array in arrays.items()):
        return prompts, ()
    difference = fine.shape[1] - coarse.shape[1]
    if 0 < abs(difference) <= _MAX_EXTRA_FRAMES:
        coarse, fine = _with_equal_frames(coarse, fine)
        longer = "fine_prompt" if difference > 0 else "coarse_prompt"
        notes.append(f"'{longer}' was {_frames(abs(difference))} too long")
    n, m = len(semantic), fine.shape[1]
    if coarse.shape[1] == m and not is_aligned(n, m) and abs(m / (n * RATIO) - 1) <= _MAX_OFF:
        tokens, frames = aligned_lengths(n, m)
        if tokens:
            semantic, coarse, fine = semantic[-tokens:], coarse[:, -frames:], fine[:, -frames:]
            cut = f"{n - tokens} semantic tokens" if n > tokens else _frames(m - frames)
            notes.append(f"{cut} were cut from its start, so that {m / n:.2f} frames to a semantic token became 1.5")
    return dict(zip(VOICE_ARRAYS, (semantic, coarse, fine), strict=True)), tuple(notes)


def is_aligned(tokens: int, frames: int) -> bool:
    """Whether frames and semantic tokens have the ratio of published voices, as other programs check it."""
    return round(frames / tokens, 1) == 1.5


def aligned_lengths(tokens: int, frames: int) -> tuple[int, int]:
    """The most semantic tokens, an even number, and frames of the same duration; (0, 0) for too few."""
    pairs = min(tokens // 2, int(frames / (2 * RATIO)))
    return 2 * pairs, int(2 * pairs * RATIO)


def _with_equal_frames(coarse: np.ndarray, fine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays with the frames of the shorter one, cut at the end if their codes agree from the start, else at the start."""
    m = min(coarse.shape[1], fine.shape[1])
    rows = min(len(coarse), len(fine))
    if np.array_equal(coarse[:rows, :m], fine[:rows, :m]):
        return coarse[:, :m], fine[:, :m]
    return coarse[:, -m:], fine[:, -m:]


def _frames(n: int) -> str:
    return "1 frame" if n == 1 else f"{n} frames"
