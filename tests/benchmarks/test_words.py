"""Transcripts are compared by what is heard, not by how it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.words import cardinal, ordinal, sound_of, spoken, word_errors, year

PLAIN = st.lists(st.sampled_from(["the", "dog", "sees", "blue", "ships"]), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("In 1984, it rained!", "in nineteen eighty four it rained"),
        ("At 3:05 p.m. on the 23rd", "at three oh five p m on the twenty third"),
        ("10:00 am", "ten a m"),
        ("$20.50 or £1, 5%", "twenty dollars fifty or one pound five percent"),
        ("1,234,005 of 3.14", "one million two hundred thirty four thousand five of three point one four"),
        ("one hundred and five & 105", "one hundred five and one hundred five"),
        ("007 in 2005, 1900, 2012", "zero zero seven in two thousand five nineteen hundred twenty twelve"),
        ("It’s a well-known “fact”", "it's a well known fact"),
        ("♪ ...", ""),
    ],
)
def test_texts_become_the_words_that_are_said(text, words):
    assert " ".join(spoken(text)) == words


def test_numbers_are_written_out():
    assert ", ".join(map(cardinal, (0, 13, 40, 99, 1_001))) == "zero, thirteen, forty, ninety nine, one thousand one"
    assert ", ".join(map(ordinal, (1, 12, 20, 33, 100))) == "first, twelfth, twentieth, thirty third, one hundredth"
    assert ", ".join(map(year, (1905, 2000, 1776))) == "nineteen oh five, two thousand, seventeen seventy six"


@pytest.mark.parametrize(
    ("one", "other"),
    [("their", "there"), ("colour", "color"), ("sterilised", "sterilized"), ("grey", "gray"), ("theatre", "theater"),
     ("travelled", "traveled"), ("ok", "okay"), ("four", "for"), ("unfavourably", "unfavorably")],
)  # fmt: skip
def test_words_that_sound_alike_are_the_same(one, other):
    assert sound_of(one) == sound_of(other)


@pytest.mark.parametrize(("one", "other"), [("ship", "sheep"), ("our", "or"), ("rice", "rise"), ("cat", "cats")])
def test_words_that_sound_different_differ(one, other):
    assert sound_of(one) != sound_of(other)


def test_errors_are_counted_in_words():
    assert word_errors(["It's 10:00, see the grey sea."], ["its ten, sea the gray see"]) == 0
    assert word_errors(["the dog sees ships"], ["a dog sees blue ships"]) == 0.5


@given(PLAIN, PLAIN)
def test_only_the_same_words_are_without_errors(said, heard):
    assert (word_errors([" ".join(said)], [" ".join(heard).upper() + "."]) == 0) == (said == heard)
