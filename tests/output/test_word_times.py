"""Times of words: in proportion to length between silences, or where an aligner finds them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.output.word_times import WordTimes, times_of_words
from bark_infinity.text.subtitle_lines import words_of

TEXT = "One dog [laughs] barks twice."
SOUND = np.concatenate([np.zeros(12_000), np.full(48_000, 0.5), np.zeros(12_000)]).astype(np.float32)  # 0.5 s to 2.5 s
STEP = 0.005  # seconds to which silence is found


class Finds:
    """An aligner that finds these words, by text."""

    def __init__(self, found: dict[str, tuple[float, float]]):
        self.found = found
        self.asked: list[str] = []

    def align(self, words, samples):
        self.asked = list(words)
        return [self.found.get(word) for word in words] if self.found else None


def test_times_are_in_proportion_to_length_between_the_silences():
    found = times_of_words(TEXT, TEXT, SOUND, None)
    assert not found.aligned
    starts = [0.5 + 2.0 * offset / len(TEXT) for offset in (0, 4, 8, 17, 23)]
    np.testing.assert_allclose(found.times[:, 0], starts, atol=STEP + 0.001)
    assert found.times[-1, 1] == pytest.approx(2.5, abs=STEP + 0.001)


def test_digits_count_as_they_are_read():
    found = times_of_words("in 1777 now", "in 1777 now", SOUND, None)
    assert found.times[1, 1] - found.times[1, 0] > 1.4


def test_aligned_words_keep_their_times_and_others_share_what_is_between():
    aligner = Finds({"One": (0.6, 0.8), "dog": (0.8, 1.0), "barks": (1.6, 1.9), "twice.": (1.9, 2.6)})
    found = times_of_words(TEXT, TEXT, SOUND, aligner)
    assert found.aligned and aligner.asked == ["One", "dog", "[laughs]", "barks", "twice."]
    expected = [(0.6, 0.8), (0.8, 1.0), (1.0, 1.6), (1.6, 1.9), (1.9, 2.5)]  # the last one ends before the silence
    np.testing.assert_allclose(found.times, expected, atol=STEP + 0.001)


def test_words_that_are_spoken_otherwise_lie_between_those_that_are_not():
    aligner = Finds({"Mister": (0.5, 0.9), "Win": (0.9, 1.2), "ran": (1.4, 1.8)})
    found = times_of_words("Mr. Nguyen ran", "Mister Win ran", SOUND, aligner)
    np.testing.assert_allclose(found.times[2], [1.4, 1.8], atol=STEP + 0.001)
    assert found.times[0, 0] == pytest.approx(0.5, abs=STEP + 1e-6) and found.times[1, 1] == pytest.approx(1.4)


def test_a_text_that_the_aligner_does_not_find_is_timed_by_length():
    found = times_of_words(TEXT, TEXT, SOUND, Finds({}))
    assert not found.aligned
    np.testing.assert_array_equal(found.times, times_of_words(TEXT, TEXT, SOUND, None).times)


def test_times_inside_a_word_are_in_proportion():
    words = words_of("abcd ef")
    times = WordTimes(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), False)
    assert [times.begin(offset, words) for offset in (0, 2, 5)] == [1.0, 1.5, 3.0]
    assert [times.end(offset, words) for offset in (2, 4, 5, 7)] == [1.5, 2.0, 2.0, 4.0]


PAIRS = st.none() | st.tuples(st.floats(0, 3), st.floats(0, 3)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(PAIRS, min_size=6, max_size=6))
def test_times_are_always_in_the_sounding_part(found):
    """Whatever an aligner says."""
    text = "a bb ccc [dd] e ff"
    times = times_of_words(
        text, text, SOUND, Finds(dict(zip([text[a:b] for a, b in words_of(text)], found, strict=True)))
    )
    assert times.times.min() >= 0.5 - STEP - 1e-6 and times.times.max() <= 2.5 + STEP + 1e-6
    if all(pair is None for pair in found):
        assert all(a <= b for a, b in pairwise(times.times.ravel()))
