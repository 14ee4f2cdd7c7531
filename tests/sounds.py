"""Sounds for tests of audio: tones, something like speech, and a meter that nobody here wrote."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

RATE = 24_000


def tone(seconds: float, decibels: float, hertz: float = 1000.0, rate: int = RATE) -> np.ndarray:
    """A sine wave with this peak, in dB of full scale."""
    at = np.arange(round(seconds * rate)) / rate
    return (10 ** (decibels / 20) * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), np.float32)


@functools.cache
def babble(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Syllables of harmonics and of noise with short pauses, whose levels vary as those of speech do; peaks up to -6 dB."""
    rng = np.random.default_rng(seed)
    syllables: list[np.ndarray] = []
    length = 0
    while length < seconds * rate:
        n = round(rng.uniform(0.08, 0.3) * rate)
        at = np.arange(n) / rate
        pitch = rng.uniform(90, 220)
        voiced = sum(np.sin(2 * np.pi * pitch * k * at + rng.uniform(0, 6)) / k for k in range(1, 20))
        sound = 0.2 * rng.standard_normal(n) if rng.random() < 0.3 else voiced / 3
        syllables.append(np.hanning(n) * sound * 10 ** (rng.uniform(-18, 0) / 20))
        if rng.random() < 0.3:
            syllables.append(np.zeros(round(rng.uniform(0.03, 0.3) * rate)))
        length = sum(map(len, syllables))
    samples = np.concatenate(syllables)[: round(seconds * rate)]
    found = (samples / np.abs(samples).max() / 2).astype(np.float32)
    found.flags.writeable = False  # it is the same for all tests
    return found


def in_blocks(samples: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """The samples in blocks of these sizes, and the rest."""
    return np.split(samples, np.cumsum([size for size in sizes if size <= len(samples)]))


class Levels(NamedTuple):
    """What FFmpeg's filter ebur128 measures."""

    lufs: float
    true_peak_db: float


def ebur128(samples: np.ndarray, rate: int) -> Levels:
    """Integrated loudness and true peak of samples (n,), by FFmpeg's filter, from the package av."""
    import av

    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=rate, layout="mono", time_base=Fraction(1, rate))
    meter, sink = graph.add("ebur128", "peak=true:metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[None, :].astype(np.float32), format="flt", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    source.push(frame)
    source.push(None)
    found: dict[str, str] = {}
    while True:
        try:
            found |= sink.pull().metadata
        except (av.BlockingIOError, av.EOFError):
            break
    peak = float(found["lavfi.r128.true_peak"])
    return Levels(float(found["lavfi.r128.I"]), 20 * np.log10(peak) if peak else -np.inf)
