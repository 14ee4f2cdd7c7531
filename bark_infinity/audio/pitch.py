"""The pitch of a voice, by YIN (de Cheveigné and Kawahara 2002, "YIN, a fundamental frequency estimator for speech and music").

Shapes: w samples of the window that is compared with itself, k lags.
"""

from __future__ import annotations

import numpy as np

HOP_SECONDS = 0.01
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0  # of speech, from deep male to high female and children's voices
_WINDOW_SECONDS = 0.03
_THRESHOLD = 0.15  # of the normalized difference, below which a lag counts as a period; the paper has 0.1 to 0.15
_QUIET_DB = -35.0  # below the loudest frames; what is quieter counts as unvoiced
_BLOCK = 512  # frames at once: 10 MB at 24 kHz
_LEAST_RUN = 3  # voiced frames in a row; fewer are chance
_JUMP_SEMITONES = 4.0  # in 10 ms, more than a voice can do


def track_pitch(samples: np.ndarray, rate: int) -> np.ndarray:
    """The pitch of samples (n,) in Hz every 10 ms, (frames,) float64; 0 where there is no voice."""
    hop, window = round(HOP_SECONDS * rate), round(_WINDOW_SECONDS * rate)
    shortest, longest = int(rate / HIGHEST_HZ), int(np.ceil(rate / LOWEST_HZ))
    length = window + longest
    n_frames = max(0, (len(samples) - length) // hop + 1)
    if not n_frames:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), length)[::hop]
    blocks = [_periods(frames[k : k + _BLOCK], window, shortest, longest) for k in range(0, n_frames, _BLOCK)]
    periods, energies = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    levels = 10 * np.log10(energies / window + 1e-12)
    voiced = (periods > 0) & (levels > np.percentile(levels, 95) + _QUIET_DB)
    return _without_jumps(np.where(voiced, rate / np.where(periods > 0, periods, 1.0), 0.0))


def _periods(frames: np.ndarray, window: int, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The period of each frame (f, w + k) in samples (0: none), and the energy of its window."""
    size = 1 << (frames.shape[1] + window - 1).bit_length()
    head = frames[:, :window]
    products = np.fft.irfft(np.fft.rfft(frames, size) * np.conj(np.fft.rfft(head, size)), size)[:, : longest + 1]
    squares = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energies = squares[:, window : window + longest + 1] - squares[:, : longest + 1]  # of the window at each lag
    difference = np.maximum(energies[:, :1] + energies - 2 * products, 0.0)
    # Normalized by its mean over all shorter lags, so that the lag 0 is no minimum:
    sums = np.cumsum(difference[:, 1:], axis=1)
    normalized = np.ones_like(difference)
    normalized[:, 1:] = difference[:, 1:] * np.arange(1, longest + 1) / np.maximum(sums, 1e-12)
    return _first_dips(normalized, shortest), energies[:, 0]


def _first_dips(normalized: np.ndarray, shortest: int) -> np.ndarray:
    """The lag, between samples, of each row's first local minimum below the threshold; 0 for rows without one."""
    inner = normalized[:, 1:-1]
    is_dip = (inner < _THRESHOLD) & (inner <= normalized[:, :-2]) & (inner < normalized[:, 2:])
    is_dip[:, : max(shortest - 1, 0)] = False
    first = is_dip.argmax(axis=1) + 1
    rows = np.arange(len(normalized))
    before, at, after = normalized[rows, first - 1], normalized[rows, first], normalized[rows, first + 1]
    bend = before - 2 * at + after
    offset = np.where(bend > 0, (before - after) / (2 * np.where(bend > 0, bend, 1.0)), 0.0)  # vertex of the parabola
    return np.where(is_dip.any(axis=1), first + np.clip(offset, -0.5, 0.5), 0.0)


def _without_jumps(pitch: np.ndarray) -> np.ndarray:
    """The same pitch, unvoiced where fewer than a few frames in a row have a voice that does not jump."""
    logs = 12 * np.log2(np.where(pitch > 0, pitch, 1.0))
    joined = (pitch[1:] > 0) & (pitch[:-1] > 0) & (np.abs(np.diff(logs)) < _JUMP_SEMITONES)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], joined, [False]]).astype(np.int8)))
    kept = np.zeros(len(pitch), bool)
    for start, stop in edges.reshape(-1, 2):
        if stop - start + 1 >= _LEAST_RUN:
            kept[start : stop + 1] = True
    return np.where(kept, pitch, 0.0)
