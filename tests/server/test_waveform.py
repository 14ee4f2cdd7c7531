"""The shape of a sound of any length, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity.server.waveform import Waveform, peaks_of_files


@pytest.mark.parametrize("n", [0, 63, 64, 1_000, 256_000, 1_000_003])
def test_peaks_are_those_of_stretches_of_equal_length(n):
    samples = np.random.default_rng(n).uniform(-1, 1, n).astype(np.float32)
    waveform = Waveform()
    for block in np.split(samples, sorted(np.random.default_rng(1).integers(0, n + 1, 20))):
        waveform.add(block)
    peaks = waveform.peaks()
    length = 64
    while n // length >= 4_000:
        length *= 2
    whole = np.abs(samples[: n // length * length]).reshape(-1, length)
    np.testing.assert_allclose(peaks, whole.max(axis=1) if len(whole) else [], atol=1e-6)
    assert len(peaks) < 4_000 and (n < 200_000 or len(peaks) >= 1_900)


def test_peaks_of_files_go_on_from_one_to_the_next():
    for name, level in (("a.wav", 0.25), ("b.flac", 0.5)):
        soundfile.write(name, np.full(6_400, level), 24_000)
    assert (
        peaks_of_files([Path("a.wav"), Path("b.flac")])
        == [pytest.approx(0.25, abs=1e-3)] * 100 + [pytest.approx(0.5, abs=1e-3)] * 100
    )
