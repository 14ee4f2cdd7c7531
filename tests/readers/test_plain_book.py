"""Chapters of plain text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.readers.book import Block, Book, BookChapter
from bark_infinity.readers.plain_book import read_plain_book

GUTENBERG = """The Project Gutenberg eBook of Alice

Title: Alice's Adventures
       in Wonderland

Author: Lewis Carroll

Language: English

*** START OF THE PROJECT GUTENBERG EBOOK ALICE'S ADVENTURES ***

Alice's Adventures

by Lewis Carroll

Contents

 CHAPTER I.     Down the Rabbit-Hole
 CHAPTER II.    The Pool of Tears


CHAPTER I.
Down the Rabbit-Hole

Alice was beginning to get very tired of sitting by her sister on the
bank, and of having nothing to do.

* * *

So she was considering.

CHAPTER II.

The Pool of Tears

"Curiouser and curiouser!"

*** END OF THE PROJECT GUTENBERG EBOOK ALICE ***

Licence of the site.
"""


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def words_of(book: Book) -> list[str]:
    texts = (text for chapter in book.chapters for text in (chapter.title, *(block.text for block in chapter.blocks)))
    return words(" ".join(texts))


def test_chapters_begin_at_lines_that_name_them():
    book = read_plain_book(
        "A word before.\n\nChapter 1\n\nIt was.\n\nThe Door\n\nIt\nopened.\n\nChapter 2: Home\n\nIt is.\n"
    )
    assert book == Book(
        (
            BookChapter("", (Block("A word before."),)),
            BookChapter("Chapter 1", (Block("It was."), Block("The Door", "heading"), Block("It opened."))),
            BookChapter("Chapter 2: Home", (Block("It is."),)),
        )
    )


def test_chapters_begin_at_lines_with_a_hash():
    book = read_plain_book("# One\nHello there.\n\n# Two\n\nBye.\n# not a chapter: no blank line\n")
    assert [chapter.title for chapter in book.chapters] == ["One", "Two"]
    assert "not a chapter" in book.chapters[1].blocks[-1].text


@pytest.mark.parametrize(
    "text",
    [
        "Chapter 12 was long.\n\nIt ended.",
        "Chapter 12",
        "Hello.",
        "One.\n\n* * *\n\nTwo.",
        "I\n\nam two.\n\nII\n\nare more.",
        "Contents\n\nNothing here is a book.",
        "",
    ],
)
def test_other_texts_are_no_books(text):
    assert read_plain_book(text) is None


def test_title_after_the_number_is_part_of_the_title():
    book = read_plain_book("CHAPTER I.\n\nTHE DOOR.\n\nIt was open.\n\nCHAPTER II\nThe House\n\nIt was dark.")
    assert [chapter.title for chapter in book.chapters] == ["CHAPTER I. THE DOOR.", "CHAPTER II. The House"]


def test_part_without_text_begins_the_title_of_its_first_chapter():
    text = "Part One\n\nChapter 1\n\nIt was.\n\nChapter 2\n\nIt is.\n\nPart Two\n\nChapter 1\n\nAgain.\n\nEpilogue\n"
    book = read_plain_book(text)
    assert [chapter.title for chapter in book.chapters] == ["Part One. Chapter 1", "Chapter 2", "Part Two. Chapter 1"]
    assert book.chapters[-1].blocks[-1] == Block("Epilogue", "heading")
    assert words_of(book) == words(text)


def test_roman_numbers_alone_are_chapters_if_they_count_up():
    book = read_plain_book("Before.\n\nI\n\nOne.\n\nII.\n\nTwo.\n\nIII\n\nThree.\n")
    assert [chapter.title for chapter in book.chapters] == ["", "I", "II.", "III"]


def test_scene_breaks_stay():
    book = read_plain_book("Chapter 1\n\nIt was.\n\n* * *\n\nIt is.\n\n***\n")
    assert [block.kind for block in book.chapters[0].blocks] == ["paragraph", "scene_break", "paragraph"]


def test_project_gutenberg():
    book = read_plain_book(GUTENBERG)
    assert (book.title, book.author, book.language) == ("Alice's Adventures in Wonderland", "Lewis Carroll", "en")
    assert [(chapter.title, chapter.role) for chapter in book.chapters] == [
        ("", "copyright"),
        ("", "title page"),
        ("Contents", "contents"),
        ("CHAPTER I. Down the Rabbit-Hole", None),
        ("CHAPTER II. The Pool of Tears", None),
        ("", "copyright"),
    ]
    assert [block.kind for block in book.chapters[3].blocks] == ["paragraph", "scene_break", "paragraph"]
    assert words_of(book) == words(GUTENBERG)


def test_contents_without_heading_and_the_preface_after_them():
    preface = "To the Reader\n\nThis book was written in a year\nof rain and of storms, and so\nit is a wet book."
    text = f"CHAPTER I. The Rain\n\nCHAPTER II. The Storm\n\n{preface}\n\nCHAPTER I. The Rain\n\nIt rained.\n\nCHAPTER II. The Storm\n\nIt stormed."
    book = read_plain_book(text)
    assert [(chapter.title, chapter.role) for chapter in book.chapters] == [
        ("", "contents"),
        ("", None),
        ("CHAPTER I. The Rain", None),
        ("CHAPTER II. The Storm", None),
    ]
    assert words_of(book) == words(text)


def test_chapters_with_the_same_number_in_two_parts_are_no_contents():
    chapters = "\n\n".join(f"Chapter {k}\n\nText {k}." for k in (1, 2, 1, 2))
    assert all(chapter.role is None for chapter in read_plain_book(chapters).chapters)


PARAGRAPHS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "Chapter 1",
                "CHAPTER II. The Door",
                "Part Two",
                "Prologue",
                "# Title",
                "Contents",
                "I",
                "II",
                "III",
                "* * *",
            ]
        ),
        st.text(alphabet="abc DEF.,\n", min_size=1, max_size=60),
    ),
    max_size=14,
)


@given(PARAGRAPHS)
def test_a_book_has_the_words_of_the_text_in_order(paragraphs):
    text = "\n\n".join(paragraphs)
    book = read_plain_book(text)
    if book is not None:
        assert words_of(book) == words(text)
        assert all("\n" not in block.text for chapter in book.chapters for block in chapter.blocks)
        assert any(chapter.title and chapter.blocks and not chapter.role for chapter in book.chapters)
