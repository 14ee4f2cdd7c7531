"""True peaks of a stream, and a limiter that keeps them below a ceiling with a gain that changes smoothly.

Peaks between samples are found at 176 kHz or more, as ITU-R BS.1770-4, annex 2, asks: at four times the rate of 48 kHz.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from .polyphase import Interpolator

_OVERSAMPLING = 4
_MORE_OVERSAMPLING, _LOW_RATE = 8, 40_000  # at rates below that
_REACH = 16  # samples on each side of which a value between samples is computed
_KAISER_BETA = 8.0
_FRAME = 2**14  # samples at once; always as many, so that rounding does not depend on how they arrive
_TRANSFORM = _FRAME + 2**9  # a length for which the transform is fast; the look-ahead has fewer than 2**9 samples
_LOOK_AHEAD_SECONDS = 0.005  # in which the gain falls before a peak
_RELEASE_SECONDS = 0.1  # time constant of the gain's return
_MARGIN_DB = 0.2  # below the ceiling, for what a gain that changes does to values between samples
_NEGLIGIBLE_DB = 1e-6


@functools.cache
def _interpolator(rate: int) -> Interpolator:
    oversampling = _MORE_OVERSAMPLING if rate < _LOW_RATE else _OVERSAMPLING
    return Interpolator.sinc(oversampling, 1, 1.0, _REACH, _KAISER_BETA)


def _peaks(samples: np.ndarray, fir: Interpolator, least: float) -> np.ndarray:
    """For each of n samples, given with _REACH further ones on both sides, the peak from there to the next: (n,) float32.

    Peaks up to `least` may be given as 0: most of speech is so far below its peaks that nothing need be computed.
    """
    n = len(samples) - 2 * _REACH
    if not n:
        return np.zeros(0, np.float32)
    padding = -n % fir.row + fir.before + fir.after - 2 * _REACH
    rows = fir.rows(np.concatenate([samples, np.zeros(padding, np.float32)]))
    loud = np.abs(rows).max(axis=1) * fir.most_gain > least
    peaks = np.zeros((len(rows), fir.row), np.float32)
    peaks[loud] = np.abs(rows[loud] @ fir.kernel).reshape(-1, fir.row, fir.up).max(axis=2)
    return peaks.ravel()[:n]


class TruePeakMeter:
    """Measures the true peak of a stream of one channel."""

    def __init__(self, rate: int):
        """`rate`: samples per second."""
        self._interpolator = _interpolator(rate)
        self._held = np.zeros(_REACH, np.float32)
        self._peak = 0.0

    def add(self, samples: np.ndarray) -> None:
        """Measure the next samples (n,)."""
        self._held = np.concatenate([self._held, samples.astype(np.float32, copy=False)])
        start, needed = 0, _FRAME + 2 * _REACH
        while len(self._held) - start >= needed:
            self._peak = self._peak_with(self._held[start : start + needed])
            start += _FRAME
        self._held = self._held[start:]

    def peak(self) -> float:
        """The highest magnitude of what was added; 1 is full scale."""
        return self._peak_with(np.concatenate([self._held, np.zeros(_REACH, np.float32)]))

    def _peak_with(self, samples: np.ndarray) -> float:
        """The highest magnitude with these samples, given with the ones around them."""
        return max(self._peak, float(_peaks(samples, self._interpolator, self._peak).max(initial=0)))


class Limiter:
    """Multiplies a stream by a gain, and lowers it around true peaks that would be over the ceiling.

    The gain falls within 5 ms before a peak and returns with a time constant of 100 ms, both without steps. The result does
    not depend on the sizes of the blocks, and is not delayed.
    """

    def __init__(self, rate: int, gain_db: float, ceiling_db: float):
        """`rate`: samples per second. `ceiling_db`: true peak in dB of full scale."""
        self._interpolator = _interpolator(rate)
        self._gain = np.float32(10 ** (gain_db / 20))
        self._ceiling = 10 ** ((ceiling_db - _MARGIN_DB) / 20)
        self._ahead = round(_LOOK_AHEAD_SECONDS * rate)
        window = np.hanning(self._ahead + 3)[1:-1]  # (ahead + 1,)
        self._smoothing = np.fft.rfft(window / window.sum(), _TRANSFORM)
        self._decay = math.exp(-1 / (_RELEASE_SECONDS * rate))
        self._growth = np.exp(np.arange(_FRAME) / (_RELEASE_SECONDS * rate))
        # Samples before the next frame, then those of it, with the gain. Silence comes first, in which the gain may fall.
        self._held = np.zeros(_REACH + 1 + self._ahead, np.float32)
        self._reductions = np.zeros(self._ahead)  # dB, before smoothing, of the samples before the next frame
        self._n_in, self._n_out = 0, -self._ahead  # without that silence
        self.most_reduction_db = 0.0
        """By how much a peak was lowered at most, so far."""

    def add(self, samples: np.ndarray) -> np.ndarray:
        """The outputs (m,) float32 that the next samples (n,) complete."""
        self._n_in += len(samples)
        return self._limited(samples)

    def finish(self) -> np.ndarray:
        """The remaining outputs."""
        before = max(0, self._n_out)
        return self._limited(np.zeros(_FRAME + self._ahead + _REACH, np.float32))[: self._n_in - before]

    def _limited(self, samples: np.ndarray) -> np.ndarray:
        self._held = np.concatenate([self._held, samples * self._gain])
        start, needed = 0, _REACH + 1 + _FRAME + self._ahead + _REACH
        outputs = [np.zeros(0, np.float32)]
        while len(self._held) - start >= needed:
            outputs.append(self._frame(self._held[start : start + needed]))
            start += _FRAME
        self._held = self._held[start:]
        made = np.concatenate(outputs)
        behind_silence = max(0, -self._n_out)
        self._n_out += len(made)
        return made[behind_silence:]

    def _frame(self, samples: np.ndarray) -> np.ndarray:
        """The outputs of a frame, given with the samples around it."""
        frame = samples[_REACH + 1 : _REACH + 1 + _FRAME]
        peaks = _peaks(
            samples, self._interpolator, self._ceiling
        )  # from the sample before the frame on: (1 + frame + ahead,)
        peaks = np.maximum(peaks[:-1], peaks[1:])  # on both sides of each sample
        if peaks.max() <= self._ceiling and self._reductions.max() < _NEGLIGIBLE_DB:
            self._reductions = np.zeros(self._ahead)
            return frame
        needed, over = np.zeros(len(peaks)), np.flatnonzero(peaks > self._ceiling)
        needed[over] = 20 * np.log10(peaks[over] / self._ceiling)
        held = _sliding_max(needed, self._ahead + 1) * self._growth  # (frame,)
        held[0] = max(held[0], self._reductions[-1] * self._decay)
        reductions = np.concatenate([self._reductions, np.maximum.accumulate(held) / self._growth])
        self._reductions = reductions[-self._ahead :]
        smooth = np.fft.irfft(np.fft.rfft(reductions, _TRANSFORM) * self._smoothing, _TRANSFORM)[
            self._ahead : len(reductions)
        ]
        self.most_reduction_db = max(self.most_reduction_db, float(smooth.max()))
        return frame * np.exp((-math.log(10) / 20 * smooth).astype(np.float32))


def _sliding_max(values: np.ndarray, width: int) -> np.ndarray:
    """The maximum of each `width` neighbouring values: (n,) -> (n - width + 1,)."""
    span = 1
    while 2 * span <= width:
        values = np.maximum(values[:-span], values[span:])
        span *= 2
    rest = width - span
    return np.maximum(values[: len(values) - rest], values[rest:])
