"""Ends of phones move to where the sound changes."""

from __future__ import annotations

import numpy as np

from training.alignment import Timed, refined_ends
from training.pronunciation import PHONES

RATE = 24_000
PITCHES = {"ɑ": 300, "ˈɑ": 300, "i": 900, "s": 5_000}


def clip(rng: np.random.Generator, names: list[str], off: float) -> tuple[Timed, np.ndarray]:
    """Tones between silences, with ends that are wrong by up to `off` seconds, and the true ends."""
    seconds = rng.uniform(0.1, 0.2, len(names))
    parts = []
    for name, length in zip(names, seconds, strict=True):
        at = np.arange(round(length * RATE)) / RATE
        parts.append(0.3 * np.sin(2 * np.pi * PITCHES[name] * at) if name in PITCHES else 0 * at)
    sound = np.concatenate(parts) + rng.normal(0, 1e-3, sum(map(len, parts)))
    true = np.cumsum(seconds)
    given = true + rng.uniform(-off, off, len(true))
    given[-1] = len(sound) / RATE
    phones = np.array([PHONES.index(name) for name in names], np.uint8)
    return Timed((sound * 32_767).astype(np.int16), phones, given), true


def clips(off: float) -> list[tuple[Timed, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [clip(rng, ["pau", *rng.permutation(["ɑ", "i", "s", "ˈɑ"] * 2), "."], off) for _ in range(20)]


def test_ends_move_to_where_the_sound_changes():
    found = clips(0.04)
    before, after = [], []
    for (one, true), ends in zip(found, refined_ends([one for one, _ in found]), strict=True):
        changes = [i for i in range(len(true) - 1) if PHONES[one.phones[i]][-1] != PHONES[one.phones[i + 1]][-1]]
        before += np.abs(one.ends - true)[changes].tolist()
        after += np.abs(ends - true)[changes].tolist()
        assert abs(ends[-1] - len(one.sound) / RATE) < 1e-9 and (np.diff(ends) > 0.019).all()
    assert np.mean(after) < 0.01 < 0.018 < np.mean(before)


def test_silence_is_taken_from_the_phone_before_a_pause():
    found = clips(0.01)
    late = [Timed(one.sound, one.phones, np.r_[one.ends[:-2], one.ends[-1] - 0.01, one.ends[-1]]) for one, _ in found]
    for (_, true), ends in zip(found, refined_ends(late), strict=True):
        assert abs(ends[-2] - true[-2]) < 0.05 < ends[-1] - true[-2]


def test_ends_of_a_clip_that_is_too_short_stay_as_they_are():
    (one, _), *others = clips(0.01)
    short = Timed(one.sound[:1_200], one.phones, np.linspace(0.005, 0.05, len(one.phones)))
    assert (np.diff(refined_ends([*(other for other, _ in others), short])[-1]) >= 0).all()
