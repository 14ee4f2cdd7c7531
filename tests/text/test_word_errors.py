"""Word errors: what counts as the same word, and how many are wrong, missing, invented, and invented at the end."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.text.word_errors import WordErrors, compare_words

WORDS = [
    "apple",
    "bridge",
    "candle",
    "dragon",
    "engine",
    "forest",
    "garden",
    "harbor",
    "island",
    "jungle",
]  # of which no two sound alike
OTHERS = ["kettle", "lemon", "mountain", "needle", "orange"]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)


def errors(text: str, heard: str, language: str = "en") -> tuple[int, int, int, int]:
    found = compare_words(text, heard, language).errors
    return found.wrong, found.missing, found.invented, found.invented_at_end


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        (
            "The CAT, sat: on \N{LEFT DOUBLE QUOTATION MARK}the\N{RIGHT DOUBLE QUOTATION MARK} mat!",
            "the cat sat on the mat",
        ),
        ("They're over there with their knight", "their over they're with there night"),
        ("I won't, can't, and didn't.", "I will not can not and did not"),
        ("It is what it is; I am sure.", "It's what it's, I'm sure"),
        ("a well-known U.S.A. team", "a well known u s a team"),
        ("Everybody knows somebody", "every body knows some body"),
        ("[laughs] Hello ♪ there [sighs] MAN: friend", "Hello there friend"),
        ("Mr. Smith, um, came", "mister smith came"),
        ("café naïve", "cafe naive"),
        ("The colour of organised travellers", "the color of organized travelers"),
        ("L'été était là", "l'ete etait la"),
        ("", ""),
        ("[laughs]", ""),
    ],
)
def test_what_is_said_alike_is_no_error(text, heard):
    assert errors(text, heard) == errors(heard, text) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("language", "text", "heard"),
    [
        ("en", "It costs $5.50 at 10:05 on May 3, 1984.", "It costs five dollars fifty cents at ten oh five on May third nineteen eighty-four"),
        ("en", "the 21st of 1,234 or 3.5 percent", "the twenty-first of one thousand two hundred and thirty four or three point five %"),
        ("en", "room 007", "room zero zero seven"),
        ("de", "Das kostet 5 € im Jahr 1984", "das kostet fünf Euro im Jahr neunzehnhundertvierundachtzig"),
        ("fr", "12 chats", "douze chats"),
        ("ja", "千円", "1000円"),
    ],
)  # fmt: skip
def test_numbers_are_compared_as_words(language, text, heard):
    pytest.importorskip("num2words")
    assert errors(text, heard, language) == (0, 0, 0, 0)


def test_numbers_are_compared_as_digits_without_the_package(monkeypatch):
    from bark_infinity.text import spoken_words

    monkeypatch.setattr(spoken_words, "_in_words", lambda *_: "")
    assert errors("room 12", "room 12") == (0, 0, 0, 0)
    assert errors("room 12", "room twelve") == (1, 0, 0, 0)


def test_chinese_and_japanese_are_compared_by_characters():
    assert errors("今天天气很好", "今天气很好", "zh") == (0, 1, 0, 0)
    assert compare_words("今天天气很好。", "今天天气很好", "zh").errors == WordErrors(6)
    assert errors("犬はここ", "犬がここ", "ja") == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        ("a quick brown fox jumps", (0, 0, 0, 0)),
        ("a quick red fox jumps", (1, 0, 0, 0)),
        ("a quick fox jumps", (0, 1, 0, 0)),
        ("a very quick brown fox jumps", (0, 0, 1, 0)),
        ("a quick brown fox jumps over the moon", (0, 0, 3, 3)),
        ("a quick brown fox leaps over the moon", (1, 0, 3, 3)),
        ("a quick brown", (0, 2, 0, 0)),
        ("", (0, 5, 0, 0)),
    ],
)
def test_errors_are_told_apart(heard, found):
    assert errors("A quick brown fox jumps.", heard) == found


def test_end_of_the_text_is_found_in_what_was_heard():
    found = compare_words("One two three.", "one two three and so on")
    assert (found.is_complete, found.last_start, found.tail_start) == (True, 8, 14)
    assert not compare_words("One two three.", "one two and").is_complete
    whole = compare_words("In the U.S.A.", "in the u s a")
    assert whole.is_complete and whole.last_start == 11 and whole.tail_start is None


@given(texts, texts)
def test_rate_is_that_of_jiwer(text, heard):
    found = compare_words(" ".join(text), " ".join(heard)).errors
    assert found.rate == pytest.approx(jiwer.wer(" ".join(text), " ".join(heard)))
    assert found.wrong + found.missing <= found.expected == len(text)
    assert found.invented_at_end <= found.invented


@given(texts, st.lists(st.sampled_from(OTHERS), max_size=5))
def test_invented_end_is_counted_as_such(text, tail):
    found = compare_words(" ".join(text), " ".join(text + tail))
    assert found.errors == WordErrors(len(text), invented=len(tail), invented_at_end=len(tail))
    assert found.is_complete and found.errors.rate_without_end == 0
    assert (found.tail_start is None) == (not tail)


@given(texts, st.data())
def test_missing_and_wrong_words_are_counted(text, data):
    place = data.draw(st.integers(0, len(text) - 1))
    without = [*text[:place], *text[place + 1 :]]
    assert compare_words(" ".join(text), " ".join(without)).errors == WordErrors(len(text), missing=1)
    wrong = [*text[:place], "kettle", *text[place + 1 :]]
    assert compare_words(" ".join(text), " ".join(wrong)).errors == WordErrors(len(text), wrong=1)


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["en", "de", "ja", "zh", "hi"]))
def test_any_texts_can_be_compared(text, heard, language):
    assert compare_words(text, text, language).errors.rate == 0
    found = compare_words(text, heard, language)
    assert found.errors.rate >= 0 and (found.tail_start is None or 0 <= found.tail_start < len(heard))
