"""Misspelled words: what is one letter away is found, and short words are not confused."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.text.spelling import MAX_LENGTH, MIN_LENGTH, Spelling

WORDS = st.text(string.ascii_lowercase, min_size=MIN_LENGTH, max_size=12)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Ana", "Anna"),
        ("anna", "Anna"),
        ("Hanna", "Anna"),
        ("Anne", "Anna"),
        ("Anan", "Anna"),
        ("Dan", None),
        ("Annabel", None),
        ("BOB", "Bob"),
        ("Bobb", "Bob"),
        ("Rob", None),
        ("", None),
    ],
)
def test_examples(word, meant):
    assert Spelling(("Anna", "Bob")).nearest(word) == meant


@given(WORDS, st.integers(0), st.sampled_from(string.ascii_lowercase))
def test_one_letter_more_less_or_other_is_found(word, place, letter):
    place %= len(word)
    spelling = Spelling([word])
    for other in (
        word[:place] + letter + word[place:],
        word[:place] + word[place + 1 :],
        word[:place] + letter + word[place + 1 :],
    ):
        assert spelling.nearest(other) == word


def test_a_known_word_is_its_own_nearest_one():
    words = ["anna", "anne", "ann", "hannah", "hanna"]
    assert [Spelling(words).nearest(word) for word in words] == words


def test_long_words_are_only_found_in_another_case():
    spelling = Spelling(["a" * (MAX_LENGTH + 1)])
    assert spelling.nearest("A" * (MAX_LENGTH + 1)) and spelling.nearest("a" * MAX_LENGTH) is None
