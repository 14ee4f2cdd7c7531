"""Refines when phones end: the teachers' own times are right to 20 ms or so, and leave silence to the phone before it.

A Gaussian for each kind of phone, with one covariance for all, is fitted to the spectra of the frames that are said to
be of that phone; the ends then move to where these are likeliest, and both are repeated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.fft import dct

from bark_infinity.constants import SAMPLE_RATE

from .latents import mel_bands
from .pronunciation import PAUSES, PHONES, SILENCE, STRESSES

_RATE = 100  # frames a second
_HOP, _WINDOW, _FFT = SAMPLE_RATE // _RATE, SAMPLE_RATE // 40, 1_024
_BANDS, _COEFFICIENTS = 40, 13
_CONTEXT = (-4, -2, 0, 2, 4)  # frames that are looked at together
_FURTHEST = 8  # frames that an end may move; the last phone's before a pause, back to where that phone begins
_SHORTEST = 2  # frames of a phone
_N_FITTED = 400  # clips that the Gaussians are fitted to
_ROUNDS = 5


@dataclass(frozen=True)
class Timed:
    """A clip's sound, int16 [n] at 24 kHz, its phones [p] as ids, and their ends in seconds [p]."""

    sound: np.ndarray
    phones: np.ndarray
    ends: np.ndarray


def refined_ends(clips: Sequence[Timed]) -> list[np.ndarray]:
    """Better ends for each clip of one voice."""
    fitted = [_Aligned(one) for one in clips[:_N_FITTED] if _slow_enough(one)]
    for _ in range(_ROUNDS):
        likelihoods = _Gaussians(fitted)
        for one in fitted:
            one.align(likelihoods)
    ends = []
    for clip in clips:
        if _slow_enough(clip):
            one = _Aligned(clip)
            one.align(likelihoods)
            ends.append(one.seconds())
        else:
            ends.append(clip.ends)
    return ends


def _slow_enough(clip: Timed) -> bool:
    return len(clip.phones) * _SHORTEST <= _n_frames(clip.sound)


def _n_frames(sound: np.ndarray) -> int:
    return math.ceil(len(sound) / _HOP)


@cache
def _kinds() -> np.ndarray:
    """For each phone the number of its kind: however stressed it is, and all that is silent in one."""
    silent = (SILENCE, *PAUSES)
    names = ["" if phone in silent else phone.lstrip(STRESSES) for phone in PHONES]
    return np.unique(names, return_inverse=True)[1]  # 0 is the silent kind, since "" is the first in order


class _Aligned:
    """A clip with frames of features, and where its phones end among them."""

    def __init__(self, clip: Timed):
        self._clip = clip
        self.kinds = _kinds()[clip.phones]
        self.features = _features(clip.sound)
        n = len(self.features)
        # every phone has its shortest length, before and behind
        ends = np.round(clip.ends * _RATE).astype(int)
        order = _SHORTEST * np.arange(1, len(ends) + 1)
        self._given = np.minimum(np.maximum.accumulate(ends - order) + order, n - order[-1] + order)
        self._given = np.maximum(self._given, order)
        self._given[-1] = n
        self.ends = self._given

    def frame_kinds(self) -> np.ndarray:
        """[frames]: the kind of phone at each frame."""
        return np.repeat(self.kinds, np.diff(self.ends, prepend=0))

    def seconds(self) -> np.ndarray:
        """The ends in seconds, the last at the end of the sound."""
        seconds = self.ends / _RATE
        seconds[-1] = len(self._clip.sound) / SAMPLE_RATE
        return seconds

    def align(self, likelihoods: _Gaussians) -> None:
        """Move the ends to where the phones are likeliest (Viterbi's algorithm over the ends)."""
        of_phones = np.cumsum(likelihoods(self.features)[:, self.kinds], 0)
        so_far = np.concatenate([np.zeros((1, len(self.kinds))), of_phones])
        starts, scores, choices = np.zeros(1, int), np.zeros(1), []
        for i, (earliest, latest) in enumerate(self._allowed()):
            ends = np.arange(earliest, latest + 1)
            total = scores + so_far[ends, i][:, None] - so_far[starts, i]
            total[ends[:, None] - starts < _SHORTEST] = -np.inf
            best = total.argmax(1)
            choices.append((ends, starts[best]))
            starts, scores = ends, total[np.arange(len(ends)), best]
        moved = [len(self.features)]
        for ends, before in reversed(choices[1:]):
            moved.append(int(before[np.searchsorted(ends, moved[-1])]))
        self.ends = np.array(moved[::-1])

    def _allowed(self) -> list[tuple[int, int]]:
        """The earliest and the latest frame at which each phone may end."""
        last, n = len(self.kinds) - 1, len(self.features)
        allowed = []
        for i, given in enumerate(self._given[:-1]):
            before_pause = i and self.kinds[i + 1] == 0
            earliest = (self._given[i - 1] if before_pause else given) - _FURTHEST
            allowed.append((max(earliest, _SHORTEST * (i + 1)), min(given + _FURTHEST, n - _SHORTEST * (last - i))))
        return [*allowed, (n, n)]


class _Gaussians:
    """Log likelihoods of frames, up to a constant for each frame, as linear functions of the features."""

    def __init__(self, clips: Sequence[_Aligned]):
        features = np.concatenate([one.features for one in clips])
        kinds = np.concatenate([one.frame_kinds() for one in clips])
        n_kinds, width = int(_kinds().max()) + 1, features.shape[1]
        means = np.zeros((n_kinds, width))
        np.add.at(means, kinds, features)
        counts = np.bincount(kinds, minlength=n_kinds)
        means = np.where(counts[:, None] > 0, means / np.maximum(counts, 1)[:, None], features.mean(0))
        apart = features - means[kinds]
        covariance = apart.T @ apart / len(apart) + 1e-3 * np.eye(width)
        self._slopes = np.linalg.solve(covariance, means.T)
        self._constants = -0.5 * (means.T * self._slopes).sum(0)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """[frames, width] to [frames, kinds]."""
        return features @ self._slopes + self._constants


def _features(sound: np.ndarray) -> np.ndarray:
    """[frames, width]: cepstra of log-mel bands around each frame."""
    frames = _n_frames(sound)
    padded = np.pad(sound.astype(np.float32) / 32_768, (_WINDOW // 2, _WINDOW + frames * _HOP - len(sound)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[_HOP // 2 :: _HOP][:frames]
    spectra = torch.from_numpy(pieces * np.hanning(_WINDOW)).float()
    bands = torch.fft.rfft(spectra, _FFT).abs() @ mel_bands(_BANDS, _FFT, SAMPLE_RATE / 3).T
    cepstra = dct(torch.log(bands + 1e-3).numpy(), axis=1, norm="ortho")[:, :_COEFFICIENTS]
    at = np.clip(np.arange(frames)[:, None] + _CONTEXT, 0, frames - 1)
    return cepstra[at].reshape(frames, -1)
