"""The judges: the words, the quality and the pitch of sounds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import listening
from benchmarks.listening import Judgement, Quality, dnsmos, heard, heard_by_pocketsphinx, judged, median_pitch

RATE = 24_000


@pytest.fixture
def tone() -> np.ndarray:
    at = np.arange(RATE) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * 130 * k * at) / k for k in range(1, 9))).astype(np.float32)


def test_pitch_is_that_of_the_voiced_parts(tone):
    assert median_pitch(np.concatenate([tone, np.zeros(RATE)])) == pytest.approx(130, abs=1)
    assert median_pitch(np.zeros(RATE)) == 0


def test_pocketsphinx_forgets_the_clip_before(tone):
    noise = np.random.default_rng(1).normal(0, 0.1, RATE)
    first = heard_by_pocketsphinx(noise)
    heard_by_pocketsphinx(tone)
    assert heard_by_pocketsphinx(noise) == first


def test_opinions_of_clips_become_rates_and_means(monkeypatch):
    opinions = {1: ("A cat sat.", "a cat sat", Quality(3.0, 4.0)), 2: ("Two dogs", "no dogs", Quality(2.0, 3.0))}
    monkeypatch.setattr(listening, "_opinion", lambda sound: opinions[len(sound)])
    found = judged(["a cat sat", "two dogs"], [np.zeros(1), np.zeros(2)])
    assert found == Judgement(0.0, 0.2, Quality(2.5, 3.5))


def test_absent_packages_are_named_with_the_way_to_get_them(monkeypatch):
    monkeypatch.setattr(listening, "_PACKAGES", ("json", "speech_moss", "whisperer"))
    with pytest.raises(
        ImportError, match=r"^the judges need speech_moss, whisperer: pip install -e '\.\[dev,judge\]'$"
    ):
        listening.check_packages()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """A sentence by the teacher of the female voice."""
    for package in (*listening._PACKAGES, "hibari", "onnx"):
        pytest.importorskip(package, reason="pip install -e '.[judge,training]'")
    from training.teacher import HibariTeacher

    return HibariTeacher().speak("She put the kettle on and waited for the rain to stop.")[0]


def test_whisper_hears_the_words(speech):
    assert heard(speech) == "She put the kettle on and waited for the rain to stop."


def test_dnsmos_prefers_clean_speech(speech):
    clean, noisy = dnsmos(speech), dnsmos(speech + np.random.default_rng(0).normal(0, 0.03, len(speech)))
    assert 5 > clean.overall > noisy.overall + 0.3 and 5 > clean.signal > 3
