"""Interpolation of streams by windowed-sinc filters: other sample rates, and peaks between samples.

Shapes: r input samples make one row of s output samples, which depend on w input samples.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

_LEAST_ROW = 96  # input samples that make a row of outputs; shorter rows waste products
_FRAME = 2**15  # input samples filtered at once: always as many, so that rounding does not depend on how they arrive
_PASSBAND = 0.91  # of the lower Nyquist frequency; what is above it fades out, and is gone at that frequency
_ATTENUATION_DB = 100.0  # of the stopband


@dataclass(frozen=True, eq=False)
class Interpolator:
    """A low-pass filter evaluated at `up` / `down` as many places as there are samples, as one product of matrices."""

    up: int
    down: int
    before: int  # input samples that a row's outputs depend on, before its first one
    row: int  # r
    kernel: np.ndarray  # (w, s) float32; w = before + r + after

    @property
    def width(self) -> int:
        """w: input samples that a row of outputs depends on."""
        return len(self.kernel)

    @property
    def after(self) -> int:
        """Input samples that a row's outputs depend on, after its last one."""
        return self.width - self.row - self.before

    @classmethod
    def sinc(cls, up: int, down: int, cutoff: float, half_width: float, beta: float) -> Interpolator:
        """A sinc under a Kaiser window. `cutoff`: the middle of its slope, 1 is the lower of the two Nyquist frequencies.

        `half_width`: of the window, in samples of the lower rate. `beta`: shape of the window.
        """
        scale = min(1.0, up / down)  # the lower rate, in terms of the input's
        reach = math.ceil(half_width / scale)
        row = down * max(1, math.ceil(_LEAST_ROW / down))
        at = np.arange(row * up // down) * (down / up)  # of the outputs, in input samples from the row's first one
        distance = (at[None, :] - np.arange(-reach, row + reach + 1)[:, None]) * scale  # (w, s)
        window = np.i0(beta * np.sqrt(np.clip(1 - (distance / half_width) ** 2, 0, None))) / np.i0(beta)
        kernel = scale * cutoff * np.sinc(cutoff * distance) * window * (np.abs(distance) <= half_width)
        return cls(
            up, down, reach, row, (kernel / kernel.sum(axis=0)).astype(np.float32)
        )  # silence and offsets stay exact

    @functools.cached_property
    def most_gain(self) -> float:
        """No output is over the largest magnitude of the samples it depends on, times this."""
        return float(np.abs(self.kernel).sum(axis=0).max())

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """A view (n / r, w) of n samples, n a multiple of r, given with `before` and `after` further ones around them."""
        return np.lib.stride_tricks.sliding_window_view(samples, self.width)[:: self.row]

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """The outputs (n / r, s) of the samples that `rows` takes."""
        return self.rows(samples) @ self.kernel


class Resampler:
    """Converts a stream of float32 samples to another rate. Its result does not depend on the sizes of the blocks.

    A linear-phase FIR filter without delay: output n is the input at the time n / `wanted`. It is flat to 0.01 dB up to 91 %
    of the lower Nyquist frequency, and -90 dB from there on. n samples give ceil(n * wanted / rate).
    """

    def __init__(self, rate: int, wanted: int):
        """Both in samples per second; rates of which one is a small fraction of the other need little memory."""
        common = math.gcd(rate, wanted)
        up, down = wanted // common, rate // common
        slope = (1 - _PASSBAND) / 2  # width of the transition, in cycles per sample of the lower rate
        half_width = (_ATTENUATION_DB - 7.95) / (14.36 * slope) / 2  # Kaiser's formulas
        beta = 0.1102 * (_ATTENUATION_DB - 8.7)
        self._filter = Interpolator.sinc(up, down, (1 + _PASSBAND) / 2, half_width, beta)
        self._frame = self._filter.row * (_FRAME // self._filter.row)
        self._held = np.zeros(self._filter.before, np.float32)
        self._n_in = self._n_out = 0

    def add(self, samples: np.ndarray) -> np.ndarray:
        """The outputs (m,) that the next samples (n,) complete."""
        self._n_in += len(samples)
        return self._filtered(samples)

    def finish(self) -> np.ndarray:
        """The remaining outputs; the stream is followed by silence."""
        fir = self._filter
        length = -(-self._n_in * fir.up // fir.down)
        before = self._n_out
        return self._filtered(np.zeros(self._frame + fir.after, np.float32))[: length - before]

    def _filtered(self, samples: np.ndarray) -> np.ndarray:
        fir = self._filter
        self._held = np.concatenate([self._held, samples])
        needed, outputs = fir.before + self._frame + fir.after, [np.zeros(0, np.float32)]
        start = 0
        while len(self._held) - start >= needed:
            outputs.append(fir.apply(self._held[start : start + needed]).ravel())
            start += self._frame
        self._held = self._held[start:]
        made = np.concatenate(outputs)
        self._n_out += len(made)
        return made
