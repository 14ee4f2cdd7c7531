"""Sounds with a known pitch: tones with harmonics, and a plain vowel."""

from __future__ import annotations

import numpy as np

RATE = 24_000


def tone(hz: float | np.ndarray, seconds: float = 1.0, rate: int = RATE, harmonics: int = 8) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, round(seconds * rate))) / rate
    return sum(np.sin(k * phase) / k for k in range(1, harmonics + 1)) * 0.1


def vowel(hz: float = 120.0, seconds: float = 2.0, brightness: float = 1.0, level: float = 1.0) -> np.ndarray:
    """A voice on one pitch with vibrato, and pauses; its higher harmonics are stronger where it is bright."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(hz * 2 ** (0.5 / 12 * np.sin(2 * np.pi * 5 * t))) / RATE
    sound = sum(np.sin(k * phase) / k ** (2 - brightness) for k in range(1, 30))
    return 0.05 * level * sound * (np.sin(2 * np.pi * 1.5 * t) > -0.5)
