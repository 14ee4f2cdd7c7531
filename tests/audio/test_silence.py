"""Silence at both ends of a sound."""

from __future__ import annotations

import numpy as np
import pytest

from bark_infinity.audio.silence import sounding_span


def noise(n: int, level: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, n).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 1e-4])
def test_silence_is_left_out_at_any_loudness(gain):
    sound = gain * np.concatenate(
        [noise(4800, 1e-4), noise(24_000, 0.1), np.zeros(3000), noise(2400, 0.1), noise(7200, 1e-4)]
    )
    assert sounding_span(sound.astype(np.float32)) == type(sounding_span(sound))(4800, 34_320)


def test_sound_without_silence_and_silence_alone_are_whole():
    for sound in (noise(1000, 0.1), np.zeros(1000, np.float32), np.zeros(0, np.float32)):
        span = sounding_span(sound)
        assert (span.start, span.stop) == (0, len(sound))
