"""Words found in a recording of the demo model's own speech; texts in other languages are known as such."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("pocketsphinx", reason="a library of the extra check")
pytest.importorskip("num2words", reason="a library of the extra check")

from bark_infinity.audio.alignment import Aligner, _spoken_parts

HELLO = Path(__file__).parents[2] / "docs" / "hello.flac"


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner()


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("Hello there, my friend. [laughs]", True),
        ("“Did you hear that?” asked Nguyen. It was 42 °C & well-known.", True),
        ("Der alte Hund lief nach Hause, weil es regnete und die Kinder nicht da waren.", False),
        ("Le vieux chien est rentré à la maison parce qu'il pleuvait.", False),
        ("彼は「こんにちは」と言った。", False),
        ("[laughs] ♪", False),
    ],
)
def test_english_is_known(aligner, text, known):
    assert aligner.knows(text) is known


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("Don’t!", ["don't"]),
        ("well-known", ["well", "known"]),
        ("42,", ["forty", "two"]),
        ("1,000.5", ["one", "thousand", "point", "five"]),
        ("9" * 20, ["nine"] * 20),
        ("٤٢", ["forty", "two"]),
        ("[laughs]", []),
        ("—", []),
        ("‘tis’", ["tis"]),
    ],
)
def test_words_are_looked_up_as_they_are_read(word, parts):
    assert list(_spoken_parts(word)) == parts


def test_words_are_found_in_order(aligner):
    sound, rate = soundfile.read(HELLO, dtype="float32")
    assert rate == 24_000
    words = ["Hello,", "[sighs]", "I", "am", "very", "small."]
    found = aligner.align(words, sound)
    assert found is not None and len(found) == len(words)
    times = [span for span in found if span is not None]
    assert all(start < end for start, end in times) and all(a[1] <= b[0] + 1e-6 for a, b in pairwise(times))
    assert times[-1][1] <= len(sound) / rate


def test_learned_words_are_not_known(aligner):
    sound, _ = soundfile.read(HELLO, dtype="float32")
    words = ["Hello", "xqzzy", "wvrtt", "krrk"]
    aligner.align(words, sound)
    assert not aligner.knows(" ".join(words)) and aligner.knows("Hello, I am very small.")


def test_silence_and_nothing_are_no_recordings(aligner):
    assert aligner.align(["hello"], np.zeros(0, np.float32)) is None
    assert aligner.align(["[laughs]"], np.zeros(24_000, np.float32)) is None
    assert aligner.align(["hello", "there"] * 30, np.full(2400, 0.1, np.float32)) is None
