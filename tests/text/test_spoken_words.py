"""The words that are said of a text, and where each begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.text.spoken_words import plain, spoken_words


def words(text: str, language: str = "en") -> list[str]:
    return [word.text for word in spoken_words(text, language)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The CAT\N{RIGHT SINGLE QUOTATION MARK}s hat, e.g. this one!", "the cats hat eg this one"),
        ("WOMAN: Well-known [sighs] tunes ♪ la la ♪", "well known tunes la la"),
        ("Mr. and Mrs. Smith, etc.", "mister and missus smith et cetera"),
        ("Um, hm, yes", "yes"),
        ("rock & roll", "rock and roll"),
    ],
)
def test_words_are_small_and_without_punctuation(text, found):
    assert words(text) == found.split()


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("$1,000,000 or £2 or 3.50 €", "en", "one million dollars or two pounds or three euro fifty cents"),
        ("9:30, 10:05 and 7:00", "en", "nine thirty ten oh five and seven"),
        ("in 1984, 2500 of 12,000", "en", "in nineteen eighty four two thousand five hundred of twelve thousand"),
        ("May 3 and 3 May and 3 cats", "en", "may third and third may and three cats"),
        ("007", "en", "zero zero seven"),
        ("1.234,5", "de", "eintausendzweihundertvierunddreissig komma funf"),
        ("100 %", "fr", "cent pour cent"),
    ],
)
def test_numbers_are_written_out(text, language, found):
    pytest.importorskip("num2words")
    assert words(text, language) == found.split()


def test_languages_without_number_words_keep_digits():
    assert words("共有12个", "zh") == ["共", "有", "12", "个"] and words("5 कुत्ते", "hi") == ["5", "कुत्ते"]


def test_accents_are_dropped_and_other_marks_kept():
    assert plain("Ça, Straße") == "ca, strasse" and words("हिन्दी", "hi") == ["हिन्दी"] and words("が", "ja") == ["が"]


@given(st.text(max_size=80), st.sampled_from(["en", "de", "ja", "tr"]))
def test_places_of_words_ascend_within_the_text(text, language):
    starts = [word.start for word in spoken_words(text, language)]
    assert starts == sorted(starts) and all(0 <= start < len(text) for start in starts)
