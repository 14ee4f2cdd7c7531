"""Recognising headings of chapters in plain text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.readers.chapter_headings import (
    chapter_heading,
    is_part_heading,
    is_roman_number,
)


@pytest.mark.parametrize(
    ("line", "label", "has_title"),
    [
        ("Chapter 12", "Chapter 12", False),
        ("  chapter twelve  ", "chapter twelve", False),
        ("CHAPTER XII.", "CHAPTER XII", False),
        ("Chapter Twenty-One", "Chapter Twenty-One", False),
        ("CHAPTER XII. The Title", "CHAPTER XII", True),
        ("CHAPTER IV THE LONG ROAD", "CHAPTER IV", True),
        ("Chapter 1. I am born", "Chapter 1", True),
        ("Chapter 1. The Boy Who Lived.", "Chapter 1", True),
        ("Chapter 5 — Who goes there?", "Chapter 5", True),
        ("Book the Second", "Book the Second", False),
        ("Part Two", "Part Two", False),
        ("Canto III", "Canto III", False),
        ("Prologue", "Prologue", False),
        ("Epilogue: Ten years later", "Epilogue", True),
        ("Kapitel 3", "Kapitel 3", False),
        ("Erstes Kapitel", "Erstes Kapitel", False),
        ("1. Kapitel: Der Wald", "1. Kapitel", True),
        ("Dritter Teil", "Dritter Teil", False),
        ("Chapitre premier", "Chapitre premier", False),
        ("Deuxième partie", "Deuxième partie", False),
        ("Capítulo primero", "Capítulo primero", False),
        ("Segunda parte", "Segunda parte", False),
        ("Capitolo XIV", "Capitolo XIV", False),
        ("Capítulo 7 - A Volta", "Capítulo 7", True),
        ("Rozdział piąty", "Rozdział piąty", False),
        ("Глава первая", "Глава первая", False),
        ("Birinci Bölüm", "Birinci Bölüm", False),
        ("अध्याय 1", "अध्याय 1", False),
        ("第三十二回", "第三十二回", False),
        ("第一章 风", "第一章", True),
        ("제1장", "제1장", False),
    ],
)
def test_headings(line, label, has_title):
    heading = chapter_heading(line)
    assert heading is not None
    assert (heading.text, heading.label, heading.has_title) == (line.strip(), label, has_title)


@pytest.mark.parametrize(
    "line",
    [
        "Chapter 12 was long.",
        "Chapter 12. It was long.",
        "Chapter 12 - as I said before",
        "Chapter 12, verse 3",
        "Chapter 3's end",
        "Chapter one\nwas long",
        "Chapter 4 the long road",
        "Part of me",
        "Part one begins",
        "Part I love best",
        "Act civil",
        "Act now",
        "Book me a table",
        "Introduction to Physics",
        "Scene 2",
        "第一章吾輩は猫である",
        "Chapter 2: " + "very " * 15 + "long",
        "",
    ],
)
def test_sentences_that_begin_like_headings_are_none(line):
    assert chapter_heading(line) is None


def test_parts_and_roman_numbers():
    assert is_part_heading("Part Two") and is_part_heading("Erstes Buch: Der Wald") and not is_part_heading("Chapter 2")
    assert [number for number in range(100) if is_roman_number("XLIX.", number)] == [49]


@given(st.text(max_size=60), st.sampled_from(["Chapter 12", "Erstes Kapitel", "第一章", "Prologue"]))
def test_nothing_follows_a_label_without_a_separator(text, label):
    heading = chapter_heading(label + text)
    if heading is not None:
        assert heading.text == (label + text).strip()
        assert not heading.has_title or not text.startswith(tuple("abcdefghijklmnopqrstuvwxyz'"))
