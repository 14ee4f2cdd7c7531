"""Sound at another speed: its length follows, its pitch stays, and what is finished comes out at once."""

from __future__ import annotations

import numpy as np
import pytest
from speech_server import pitch_of

from bark_infinity.audio.tempo import Tempo

RATE = 24_000
WAVE = (0.5 * np.sin(2 * np.pi * 220 * np.arange(4 * RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize("speed", [0.25, 0.4, 0.5, 0.9, 1.1, 2.0, 3.0, 4.0])
def test_length_follows_and_pitch_stays(speed):
    tempo = Tempo(speed, RATE)
    parts = [tempo.write(WAVE[start : start + 9_000]) for start in range(0, len(WAVE), 9_000)]
    parts.append(tempo.close())
    changed = np.concatenate(parts)
    assert abs(len(changed) - len(WAVE) / speed) < 0.1 * RATE
    assert abs(pitch_of(changed, RATE) - 220) < 2
    assert len(parts[-1]) / RATE < 0.3  # the rest had come out before


def test_speed_1_changes_nothing():
    tempo = Tempo(1.0, RATE)
    assert tempo.write(WAVE) is WAVE and not len(tempo.close())


def test_a_stream_without_samples():
    tempo = Tempo(2.0, RATE)
    assert not len(tempo.write(WAVE[:0])) and not len(tempo.close())
