"""Integrated loudness of a stream, by ITU-R BS.1770-4 (and EBU R 128), in memory that hardly grows with its length."""

from __future__ import annotations

import math
from array import array

import numpy as np

_STEP_SECONDS = 0.1  # gating blocks begin every 100 ms
_STEPS_PER_BLOCK = 4  # and last 400 ms
_OFFSET_LUFS = -0.691  # BS.1770-4, equation 2
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0  # below the loudness of all blocks above the absolute gate
_RESPONSE_PART = 5  # a fifth of a second, after which the K filter's response to an impulse is below 1e-12

# The analogue filters of which the bilinear transform at 48 kHz makes the coefficients in BS.1770-4, tables 1 and 2
# (B. De Man, "Evaluation of Implementations of the EBU R128 Loudness Measurement", AES 2018).
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.9744509555319, 3.99984385397, 0.7071752369554193
_SHELF_EXPONENT = 0.499666774155  # of the gain in the middle of the slope
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087613982, 0.5003270373253953


class LoudnessMeter:
    """Measures the loudness and the RMS level of a stream of one channel."""

    def __init__(self, rate: int):
        """`rate`: samples per second."""
        self._rate = rate
        self._tail = (
            rate // _RESPONSE_PART
        )  # with a second, that is a length for which the transform is fast at all rates
        self._spectrum = np.fft.rfft(_k_response(rate, self._tail + 1), rate + self._tail)
        steps = round(1 / _STEP_SECONDS)
        self._edges = np.arange(steps + 1) * rate // steps  # of the steps in a second
        self._held = np.zeros(self._tail)  # the samples before the next second, then those of it
        self._powers = array("d")  # mean square of each step of the filtered stream: 2.9 MB for 10 hours
        self._n_samples, self._square_sum = 0, 0.0

    def add(self, samples: np.ndarray) -> None:
        """Measure the next samples (n,); 1 is full scale."""
        self._n_samples += len(samples)
        self._held = np.concatenate([self._held, samples])
        start, rate = 0, self._rate
        while len(self._held) - start >= self._tail + rate:
            self._measure(self._held[start : start + self._tail + rate])
            start += rate
        self._held = self._held[start:]

    def loudness(self) -> float | None:
        """Integrated loudness in LUFS of what was added; None if it has no block of 400 ms above the absolute gate."""
        powers = np.concatenate([self._powers, self._rest_powers()])
        if len(powers) < _STEPS_PER_BLOCK:
            return None
        sums = np.convolve(powers, np.ones(_STEPS_PER_BLOCK) / _STEPS_PER_BLOCK, "valid")
        blocks = np.maximum(sums, 0)
        loud = blocks[blocks > _power(_ABSOLUTE_GATE_LUFS)]
        if not len(loud):
            return None
        gate = loud.mean() * 10 ** (_RELATIVE_GATE_LU / 10)
        return _OFFSET_LUFS + 10 * math.log10(loud[loud > gate].mean())

    def rms_db(self) -> float | None:
        """Level of all samples in dB of full scale, without filter and gate; None for silence."""
        rest = self._held[self._tail :]
        total = self._square_sum + float(np.square(rest).sum())
        return 10 * math.log10(total / self._n_samples) if total else None

    def _measure(self, samples: np.ndarray) -> None:
        """Measure a second, given with the samples before it."""
        self._square_sum += float(np.square(samples[self._tail :]).sum())
        squares = np.square(self._filtered(samples))
        self._powers.extend(np.add.reduceat(squares, self._edges[:-1]) / np.diff(self._edges))

    def _rest_powers(self) -> np.ndarray:
        """Mean squares of the whole steps in what is held."""
        n = len(self._held) - self._tail
        edges = self._edges[self._edges <= n]
        if len(edges) < 2:
            return np.zeros(0)
        padded = np.concatenate([self._held, np.zeros(self._rate - n)])
        squares = np.square(self._filtered(padded))[: edges[-1]]
        return np.add.reduceat(squares, edges[:-1]) / np.diff(edges)

    def _filtered(self, samples: np.ndarray) -> np.ndarray:
        """A second after the K filter, given with the samples before it."""
        return np.fft.irfft(np.fft.rfft(samples) * self._spectrum, len(samples))[self._tail :]


def _power(lufs: float) -> float:
    return 10 ** ((lufs - _OFFSET_LUFS) / 10)


def _k_response(rate: int, length: int) -> np.ndarray:
    """The response (length,) of the K filter, a high shelf and then a high pass, to an impulse."""
    n = 2 * rate  # the spectrum is sampled so finely that the response's end does not reach its beginning
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(n))
    spectrum = np.ones(len(z), complex)
    for b, a in _k_sections(rate):
        spectrum *= np.polynomial.polynomial.polyval(z, b) / np.polynomial.polynomial.polyval(z, a)
    return np.fft.irfft(spectrum, n)[:length]


def _k_sections(rate: int) -> list[tuple[list[float], list[float]]]:
    """Coefficients (b, a) of the two biquads at this rate."""
    k = math.tan(math.pi * _SHELF_HZ / rate)
    high = 10 ** (_SHELF_DB / 20)
    middle = high**_SHELF_EXPONENT
    slope, square = k / _SHELF_Q, k * k
    shelf = (
        [high + middle * slope + square, 2 * (square - high), high - middle * slope + square],
        [1 + slope + square, 2 * (square - 1), 1 - slope + square],
    )
    k = math.tan(math.pi * _HIGH_PASS_HZ / rate)
    slope, square = k / _HIGH_PASS_Q, k * k
    # BS.1770 gives this numerator without the usual factor 1 / (1 + slope + square)
    norm = 1 + slope + square
    high_pass = ([norm, -2 * norm, norm], [norm, 2 * (square - 1), 1 - slope + square])
    return [shelf, high_pass]
