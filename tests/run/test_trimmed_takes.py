"""Where a take is cut: behind the last word of its text, at a quiet place, in sound and tokens alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.bark import Generation
from bark_infinity.run.recognition import Heard, HeardWord
from bark_infinity.run.trimming import Trim, find_trim, trimmed
from bark_infinity.text.word_errors import compare_words
from bark_infinity.voices.voice import Voice

RATE = 24_000
TEXT = "One two three."


def take(seconds: float, quiet: tuple[float, float] = (0.0, 0.0)) -> Generation:
    """Noise that is silent between two times."""
    frames = round(75 * seconds)
    fine = np.random.default_rng(0).integers(0, 1024, (8, frames))
    audio = np.random.default_rng(0).normal(0, 0.1, 320 * frames).astype(np.float32)
    audio[round(quiet[0] * RATE) : round(quiet[1] * RATE)] = 0
    return Generation(Voice(np.arange(round(seconds * 49.9)), fine[:2], fine), audio, 0, {})


def heard(*words: tuple[str, float, float]) -> Heard:
    return Heard(tuple(HeardWord(f" {text}", start, end) for text, start, end in words), "fake", "en")


def cut(generation: Generation, words: Heard) -> float | None:
    """Where it is cut, in seconds."""
    trim = find_trim(generation, words, compare_words(TEXT, words.text))
    assert trim is None or trim.of_frames == generation.voice.fine.shape[1]
    return None if trim is None else trim.frames / 75


SPOKEN = (("one", 0.0, 0.5), ("two", 0.5, 1.0), ("three", 1.0, 1.5))


def test_cut_is_at_the_quietest_place_behind_the_last_word():
    assert cut(take(4.0, quiet=(1.6, 1.7)), heard(*SPOKEN, ("four", 2.0, 2.5))) == pytest.approx(1.65, abs=0.06)


def test_cut_is_before_the_first_word_that_does_not_belong_to_the_text():
    behind = cut(take(4.0, quiet=(1.8, 1.9)), heard(*SPOKEN, ("four", 1.6, 2.5)))
    assert behind is not None and 1.5 <= behind <= 1.6
    assert cut(take(4.0), heard(*SPOKEN, ("four", 1.4, 2.5))) == pytest.approx(
        1.5, abs=0.01
    )  # recognisers' times may overlap


def test_sound_without_words_is_cut_too():
    behind = cut(take(4.0, quiet=(1.7, 4.0)), heard(*SPOKEN))
    assert behind is not None and 1.7 <= behind <= 2.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.7, SPOKEN),  # too little follows
        (4.0, SPOKEN[:2]),
        (4.0, (*SPOKEN[:2], ("tree", 1.0, 1.5), ("house", 2.0, 2.5))),
        (4.0, ()),
    ],
)
def test_nothing_is_cut_where_nothing_follows_or_the_end_was_not_heard(seconds, words):
    assert cut(take(seconds, quiet=(1.5, 1.6)), heard(*words)) is None


@given(st.integers(1, 299))
def test_tokens_and_sound_end_together(frames):
    whole = take(4.0)
    part = trimmed(whole, Trim(frames, 300), lambda codes: np.zeros(codes.shape[1] * 320, np.float32))
    assert part.voice.fine.shape == (8, frames) and part.voice.coarse.shape == (2, frames)
    assert len(part.audio) == 320 * frames and len(part.voice.semantic) == round(200 * frames / 300)
    np.testing.assert_array_equal(part.voice.fine, whole.voice.fine[:, :frames])


@pytest.mark.parametrize("trim", [Trim(100, 299), Trim(300, 300), Trim(0, 300), Trim(400, 300)])
def test_cut_of_another_take_is_not_applied(trim):
    whole = take(4.0)
    assert trimmed(whole, trim, lambda codes: np.zeros(0, np.float32)) is whole
