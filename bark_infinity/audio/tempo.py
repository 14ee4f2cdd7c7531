"""Makes a stream of sound faster or slower and keeps its pitch, by FFmpeg's filter atempo (WSOLA)."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from .av_frames import audio_frame

if TYPE_CHECKING:  # loading it takes a while, and only some runs need it
    from av.filter import Graph

LOWEST, HIGHEST = 0.25, 4.0
_LOWEST_STEP, _HIGHEST_STEP = 0.5, 2.0  # of one filter: it takes nothing slower, and skips samples of what is faster
_FRAME = 1_024  # samples; a filter keeps back as much as it is given at once


class Tempo:
    """A stream at another speed: blocks in, and what is finished of them out.

    An n-th of the sound's length at speed n, to within 0.1 s. At speed 1 blocks are handed on as they are.
    """

    def __init__(self, speed: float, sample_rate: int):
        """`speed`: LOWEST to HIGHEST, 1 as it is. `sample_rate`: in Hz."""
        assert LOWEST <= speed <= HIGHEST
        self._rate, self._samples = sample_rate, 0
        self._graph = None if speed == 1 else _graph(speed, sample_rate)

    def write(self, block: np.ndarray) -> np.ndarray:
        """What is finished, (m,) float32, after samples (n,) float32 more; m may be 0."""
        if self._graph is None or not len(block):
            return block
        for start in range(0, len(block), _FRAME):
            frame = block[start : start + _FRAME]
            self._graph.push(audio_frame(frame, self._rate, self._samples))
            self._samples += len(frame)
        return self._finished()

    def close(self) -> np.ndarray:
        """The rest, (m,) float32."""
        if self._graph is None or not self._samples:
            return np.zeros(0, np.float32)
        self._graph.push(None)
        return self._finished()

    def _finished(self) -> np.ndarray:
        import av

        assert self._graph is not None
        blocks = [np.zeros(0, np.float32)]
        with contextlib.suppress(av.BlockingIOError, av.EOFError):  # there is no more yet, or at all
            while True:
                blocks.append(self._graph.pull().to_ndarray()[0])
        return np.concatenate(blocks)


def _graph(speed: float, sample_rate: int) -> Graph:
    """The filters, one behind the other, whose product is the speed."""
    import av

    graph = av.filter.Graph()
    nodes = [
        graph.add_abuffer(sample_rate=sample_rate, format="flt", layout="mono", time_base=Fraction(1, sample_rate)),
        *(graph.add("atempo", f"{step:.6f}") for step in _steps(speed)),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _steps(speed: float) -> list[float]:
    """Speeds that one filter takes, as few as possible, with this product."""
    steps = []
    while not _LOWEST_STEP <= speed <= _HIGHEST_STEP:
        steps.append(_LOWEST_STEP if speed < 1 else _HIGHEST_STEP)
        speed /= steps[-1]
    return [*steps, speed]
