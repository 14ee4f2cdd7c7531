"""Pronunciations: whole words and patterns, what wins over what, and patterns that would take for ever."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError
from bark_infinity.text import pronunciation
from bark_infinity.text.pronunciation import Pronunciation, Pronunciations, parse_pronunciations

FILE = r"""
[words]
"Nguyen" = "Win"
"New York" = "Noo York"
"New York City" = "the big city"
"US" = {spoken = "U S", case = true}
"us" = "you and me"
"C++" = "see plus plus"
"O'Brien" = "Oh Bryan"
"東京" = "とうきょう"
"नमस्ते" = "namaste"
"(R)" = ""
[patterns]
'(\d+) ?km\b' = '\1 kilometers'
'kilometers per hour' = 'kay pee aitch'
"""


def spoken(text: str, toml: str = FILE) -> str:
    return parse_pronunciations(toml).spoken(text)[0]


def words(**entries: str) -> Pronunciations:
    return Pronunciations(tuple(Pronunciation(written, spoken) for written, spoken in entries.items()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Nguyen, NGUYEN's and nguyen", "Mr. Win, Win's and Win"),
        ("Nguyens Nguyen2 xNguyen Nguyen_", "Nguyens Nguyen2 xNguyen Nguyen_"),
        ("well-Nguyen (Nguyen)", "well-Win (Win)"),
        ("New\n York, new york city, NewYork, New-York", "Noo York, the big city, NewYork, New-York"),
        ("US us Us", "U S you and me you and me"),
        ("C++, C+ and C+++", "see plus plus, C+ and see plus plus+"),
        ("O'Brien and O’Brien", "Oh Bryan and Oh Bryan"),
        ("東京は", "とうきょうは"),
        ("नमस्ते, नमस्तेजी", "namaste, नमस्तेजी"),
        ("Bark (R) is", "Bark  is"),
        ("[Nguyen laughs] Nguyen", "[Nguyen laughs] Win"),
        ("90km per hour, 5 kmh", "90 kay pee aitch, 5 kmh"),
        ("", ""),
    ],
)
def test_words_and_patterns(text, expected):
    assert spoken(text) == expected


def test_what_replaces_a_word_is_not_replaced_again():
    assert words(a="b", b="a c").spoken("a b")[0] == "b a c"


def test_the_entries_that_were_used_are_told():
    known = parse_pronunciations(FILE)
    text, used = known.spoken("Nguyen ran 5 km.")
    assert {entry.written for entry in used} == {"Nguyen", r"(\d+) ?km\b"}
    assert used < set(known.entries) and len(known.entries) == 12
    assert known.spoken("Nothing of it.") == ("Nothing of it.", frozenset())


@given(st.text(max_size=60))
def test_other_texts_are_unchanged(text):
    assert words(xyzzy="a", plugh="b").spoken(text) == (text, frozenset())


def test_case_counts_for_a_whole_table():
    toml = '[words]\ncase = true\nPolish = "Poe lish"\nAmy = {spoken = "Ay me", case = false}'
    assert spoken("Polish polish AMY", toml) == "Poe lish polish Ay me"


def test_the_front_matter_wins_over_the_file():
    file = parse_pronunciations("[words]\na = '1'\nb = '2'\n[patterns]\nx = '3'\ny = '4'")
    front = parse_pronunciations("A = '5'\n[patterns]\nx = '6'\nz = '7'")
    both = front.over(file)
    assert [(entry.written, entry.spoken) for entry in both.entries] == [
        ("A", "5"),
        ("b", "2"),
        ("x", "6"),
        ("z", "7"),
        ("y", "4"),
    ]
    assert Pronunciations().over(file) == file.over(Pronunciations()) == file


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("a b", "are not TOML"),
        ("[words]\nNguyen = 3", "pronunciation words.Nguyen: must be what is spoken"),
        ("[words]\nNguyen = {case = true}", "pronunciation words.Nguyen: must be what is spoken"),
        ("[words]\nNguyen = {spoken = 'x', case = 'yes'}", "pronunciation words.Nguyen.case: must be true or false"),
        ("[words]\nNguyen = {spoken = 'x', pattern = true}", "pronunciation words.Nguyen.pattern: is not known here"),
        ("[words]\n' ' = 'x'", "pronunciation words. : is no word"),
        ("[words]\nUS = 'x'\nus = 'y'", "pronunciation words.us: is the same as 'US'"),
        ("US = 'x'\n[words]\nUS = 'y'", "pronunciation words.US: is the same as 'US'"),
        (f"[words]\n{'a' * 301} = 'x'", "has more than 300 characters"),
        (f"[words]\n{'a' * 100_000} = 3", "must be what is spoken"),
        (f"[words]\na = '{'x' * 1001}'", "is spoken as more than 1,000 characters"),
        ("[patterns]\n'(a' = 'x'", "pronunciation patterns.(a: is no regular expression"),
        (
            "[patterns]\na = '\\2'",
            "pronunciation patterns.a: is no regular expression with its replacement (invalid group",
        ),
        ("[patterns]\n'a*' = 'x'", "pronunciation patterns.a*: matches where there is no text"),
        ("[patterns]\n'(?:[a-z]{99}){99}' = 'x'", "repeats something more than 1,000 times"),
        ("[patterns]\n'a{99999999999}' = 'x'", "repeats something more than 1,000 times"),
        (f"[patterns]\n'{'(' * 140}a{')' * 140}' = {{spoken = 'x'}}", "must be what is spoken"),
    ],
)
def test_mistakes_name_the_entry(toml, message):
    with pytest.raises(TextError, match=re.escape(message)) as error:
        parse_pronunciations(toml)
    assert len(str(error.value)) < 350


def test_a_pattern_that_takes_for_ever_is_stopped(monkeypatch):
    monkeypatch.setattr(pronunciation, "PATTERN_SECONDS", 0.2)
    known = parse_pronunciations("[patterns]\n'(a+)+$' = 'x'")
    assert known.spoken("a" * 1000)[0] == "x"
    start = time.monotonic()
    with pytest.raises(
        TextError, match=r"^pronunciation '\(a\+\)\+\$' takes more than 0 s on a text of 1,001 characters"
    ):
        known.spoken("a" * 1000 + "b")
    assert time.monotonic() - start < 30  # it would be years


def test_the_work_for_a_text_does_not_grow_with_the_number_of_words(monkeypatch):
    searched = []
    search = pronunciation._WordFinder._longest
    monkeypatch.setattr(pronunciation._WordFinder, "_longest", lambda *given: searched.append(given) or search(*given))
    known = Pronunciations(tuple(Pronunciation(f"word{k}", "x") for k in range(20_000)))
    text, used = known.spoken("word7 and other words " * 50)
    assert text == "x and other words " * 50 and len(used) == 1
    assert len(searched) == 50
