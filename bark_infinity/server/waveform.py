"""The shape of a clip's sound, for drawing it: the loudest sample of each of some thousand stretches of equal length."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..audio.reading import audio_blocks

_MOST_STRETCHES = 4_000  # at which pairs of them become one, so that there are 2 000 or more of a long sound
_FIRST_SAMPLES = 64  # in a stretch, at first


class Waveform:
    """Takes a sound of any length block by block, in memory that does not grow."""

    def __init__(self) -> None:
        self._peaks = np.zeros(0, np.float32)
        self._rest = np.zeros(0, np.float32)  # samples that do not fill a stretch
        self._length = _FIRST_SAMPLES  # samples in a stretch

    def add(self, samples: np.ndarray) -> None:
        """Append float32 samples (n,)."""
        self._rest = np.concatenate([self._rest, np.abs(samples)])
        while n := min(len(self._rest) // self._length, _MOST_STRETCHES - len(self._peaks)):
            whole, self._rest = np.split(self._rest, [n * self._length])
            self._peaks = np.concatenate([self._peaks, whole.reshape(n, -1).max(axis=1)])
            if len(self._peaks) == _MOST_STRETCHES:
                self._peaks = self._peaks.reshape(-1, 2).max(axis=1)
                self._length *= 2

    def peaks(self) -> list[float]:
        """The magnitude of the loudest sample of each stretch, in order, at most 1. What fills no stretch is left out."""
        return np.minimum(self._peaks, 1.0).tolist()


def peaks_of_files(paths: Iterable[Path]) -> list[float]:
    """The shape of the sound in audio files, one after the other. Raises AudioError, OSError."""
    waveform = Waveform()
    for path in paths:
        for block in audio_blocks(path):
            waveform.add(block.samples)
    return waveform.peaks()
