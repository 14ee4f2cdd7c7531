"""Texts become phones, and every phone knows the word of the text that it was read from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.pronunciation import PAUSES, PHONES, SILENCE, Phone, Pronouncer, _Sentence, origins_of

WORDS = st.lists(st.sampled_from(["a", "b", "$3", "10:00", "c."]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("written", "read", "origins"),
    [
        ("at 10:00 am .", "at ten o'clock A.M. .", [0, 1, 1, 2, 3]),
        ("he has $3 billion now", "he has 3 billion dollars now", [0, 1, 2, 3, 3, 4]),
        ("on 3/4/2019 it", "on March fourth, 2019 it", [0, 1, 1, 1, 2]),
        ("- yes it is", "yes it is", [1, 2, 3]),
        ("two words", "two", [0]),
    ],
)
def test_every_word_that_is_read_comes_from_a_written_one(written, read, origins):
    assert origins_of(written.split(), read.split()) == origins


@given(WORDS, WORDS)
def test_origins_are_words_of_the_text_in_its_order(written, read):
    origins = origins_of(written, read)
    assert len(origins) == len(read) and origins == sorted(origins)
    assert all(0 <= origin < len(written) for origin in origins)


def collected(*parts: tuple[int, str]) -> list[Phone]:
    sentence = _Sentence(3, 7)
    for token, symbols in parts:
        sentence.add(token, symbols)
    return sentence.ended()


def names(phones: Sequence[Phone]) -> str:
    return " ".join(phone.name for phone in phones)


def test_stress_joins_its_vowel_and_words_are_counted():
    phones = collected((0, "twˈɛnti θɹˈi"), (1, "kˈæts"))
    assert names(phones) == "t w ˈɛ n t i θ ɹ ˈi k ˈæ t s ."
    assert [phone.word for phone in phones] == [7] * 6 + [8] * 3 + [9] * 4 + [-1]
    assert [phone.token for phone in phones] == [3] * 9 + [4] * 4 + [-1]


def test_the_strongest_of_several_marks_is_the_pause():
    assert names(collected((0, "“h"), (0, "I"), (0, ",”"), (1, "jˈɛs"), (1, "?!"), (1, ")"))) == "h I , j ˈɛ s ?"
    assert names(collected((0, "…"), (0, "h"), (0, ","))) == "h ."  # no pause comes first, and a sentence has an end
    assert collected((0, "“")) == []


def test_phones_are_distinct_and_silence_is_the_first():
    assert len(set(PHONES)) == len(PHONES) and PHONES[0] == SILENCE and PHONES[1 : 1 + len(PAUSES)] == PAUSES


@pytest.fixture(scope="module")
def pronounce() -> Pronouncer:
    pytest.importorskip("hibari", reason="pip install -e '.[training]'")
    return Pronouncer()


def by_token(pronounce: Pronouncer, text: str) -> list[str]:
    phones = pronounce(text)
    return ["".join(phone.name for phone in phones if phone.token == i) for i in range(len(text.split()))]


def test_numbers_and_times_belong_to_the_words_they_are_written_as(pronounce):
    assert by_token(pronounce, "At 3:05 pm $20 arrived. Really?")[:4] == [
        "ˌæt",
        "θɹˈiˈOfˈIv",
        "pˌiˈɛm",
        "twˈɛntidˈɑləɹz",
    ]


def test_sentences_end_in_their_pauses(pronounce):
    phones = pronounce("Is it cold - or not? Yes, it is")
    assert [phone.name for phone in phones if phone.word < 0] == [SILENCE, ",", "?", ",", "."]
    assert [phone.token for phone in phones][-3:] == [8, 8, -1] and not any(phone.end for phone in phones)
    assert {phone.name for phone in phones} <= set(PHONES)


def test_signs_that_are_not_read_have_no_phones(pronounce):
    assert by_token(pronounce, "No ♪ song") == ["nˈO", "", "sˈɔŋ"]
    assert [phone.name for phone in pronounce("♪")] == [SILENCE]
