"""Reading Markdown."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError, UsageError
from bark_infinity.readers.book import Block, Book, BookChapter
from bark_infinity.readers.markdown import read_markdown


def read(text: str, footnotes="skip") -> Book:
    return read_markdown(text.encode(), footnotes)


def texts(text: str, footnotes="skip") -> list[str]:
    """The texts of all blocks, with --- for scene breaks."""
    return [block.text or "---" for chapter in read(text, footnotes).chapters for block in chapter.blocks]


def titles(text: str) -> list[str]:
    return [chapter.title for chapter in read(text).chapters]


def words_of(book: Book) -> list[str]:
    parts = (text for chapter in book.chapters for text in (chapter.title, *(block.text for block in chapter.blocks)))
    return re.findall(r"\w+", " ".join(parts))


@pytest.mark.parametrize(
    ("source", "spoken"),
    [
        ("*One* **two** ~~three~~ `four` [five](http://a.b 'x').", ["One two three four five."]),
        ("One\ntwo  \nthree\\\nfour", ["One two three four"]),
        ("A ![black cat](cat.png) sat.\n\n![](x.png)", ["A black cat sat."]),
        ("One.\n\n```python\nx = 1\n```\n\n    y = 2\n\nTwo.", ["One.", "Two."]),
        ("One <!-- two --> three.\n\n<!-- four\n\nfive -->\n\nSix.", ["One three.", "Six."]),
        ("One.\n\n***\n\nTwo.\n\n* * *\n\n⁂\n\nThree.", ["One.", "---", "Two.", "---", "---", "Three."]),
        (
            "- one\n- two\n  more\n\n  again\n\n1. three\n2. four\n   * five",
            ["one", "two more", "again", "three", "four", "five"],
        ),
        ("- [ ] one\n- [x] two", ["one", "two"]),
        ("> one\n> two\n>\n> > three", ["one two", "three"]),
        ("| A | B |\n|---|:-:|\n| 1 | *two* |\n| | 3 |", ["A, B.", "1, two.", "3."]),
        ("<div class='x'>\n<p>one <b>two</b></p>\n</div>\n\n<script>\nthree\n</script>", ["one two"]),
        ("::: {.note}\nOne.\n:::", ["One."]),
        ("The re-\nduction and the soft\u00adness of noise is it.", ["The reduction and the softness of noise is it."]),
        (r"\*One\* &amp; 2 &lt; 3", ["*One* & 2 < 3"]),
        ("One[15], two.", ["One, two."]),
        ("A class [^a-z] of letters.", ["A class [^a-z] of letters."]),
    ],
)
def test_what_is_spoken(source, spoken):
    assert texts(source) == spoken


NOTES = """One[^1] two[^long]. Three^[*inline* note] four[^9].

[^1]: First note
goes on.

    Its second paragraph.
[^long]: Long note.

Five[^1].
"""


def test_footnotes_are_skipped():
    assert texts(NOTES) == ["One two. Three four.", "Five."]


def test_footnotes_are_spoken_where_their_marks_are():
    assert texts(NOTES, "inline") == [
        "One (First note goes on. Its second paragraph.) two (Long note.). Three (inline note) four.",
        "Five.",
    ]


def test_footnote_that_marks_itself_ends():
    assert texts("One[^1].\n\n[^1]: Note[^1].", "inline") == ["One (Note.)."]


def test_definition_of_a_footnote_in_code_is_code():
    assert texts("One.\n\n    [^1]: Note\n\nTwo[^1].") == ["One.", "Two."]


def test_heading_above_chapters_is_the_title():
    book = read("# The Book\n\nBefore.\n\n## One\n\nText.\n\n### Part\n\nMore.\n\nTwo\n---\n\nText.")
    assert book == Book(
        (
            BookChapter("", (Block("Before."),)),
            BookChapter("One", (Block("Text."), Block("Part", "heading"), Block("More."))),
            BookChapter("Two", (Block("Text."),)),
        ),
        "The Book",
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# One\n\na\n\n# Two\n\nb", ["One", "Two"]),
        ("One\n===\n\na\n\nTwo\n===\n\nb", ["One", "Two"]),
        ("# One\n\na\n\n## Two\n\nb", ["One"]),
        ("# Chapter 1\n\n## A\n\na\n\n## B\n\nb\n\n# Chapter 2\n\n## C\n\nc", ["Chapter 1", "Chapter 2"]),
        ("# Part One\n\n## A\n\na\n\n## B\n\nb\n\n# Part Two\n\n## C\n\nc", ["Part One. A", "B", "Part Two. C"]),
        ("## One\n\na\n\n## Two\n\nb\n\n# Appendix\n\nc", ["One", "Two", "Appendix"]),
        ("## One {#one .unnumbered}\n\na\n\n## Two\n\nb\n\n## Three\n", ["One", "Two"]),
        ("Just text.", [""]),
        ("#\n\na", [""]),
    ],
)
def test_chapters(source, expected):
    assert titles(source) == expected


def test_title_of_the_metadata_stands_above_that_of_the_first_heading():
    text = "---\ntitle: Book\n---\n# {}\n\n## A\n\na\n\n## B\n\nb"
    assert (read(text.format("book")).title, titles(text.format("book"))) == ("Book", ["A", "B"])
    assert (read(text.format("Story")).title, titles(text.format("Story"))) == ("Book", ["Story. A", "B"])


def test_contents_have_their_role():
    book = read("# Contents\n\n- One\n\n# One\n\na")
    assert [chapter.role for chapter in book.chapters] == ["contents", None]


def test_errors(monkeypatch):
    with pytest.raises(TextError, match="no text file"):
        read_markdown(bytes(range(256)) * 20, "skip")
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    with pytest.raises(UsageError, match=r'Markdown needs .*pip install "bark-infinity\[books\]"'):
        read("Hello.")


@pytest.mark.parametrize(
    "source",
    [
        "[" * 5000,
        "*a _b " * 2000,
        ">" * 5000,
        "- " * 5000,
        "[^1]" * 5000 + "\n\n[^1]: x",
        "^[" * 3000,
        "![" * 3000,
        "<a " * 5000,
    ],
)
def test_pathological_nesting_is_read(source):
    assert isinstance(read(source, "inline"), Book)


WORDS = st.text(alphabet="abcdeäöüßжй", min_size=1, max_size=8)
SENTENCES = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
WRITTEN = st.one_of(
    SENTENCES,
    SENTENCES.map(lambda text: f"> *{text}* and"),
    SENTENCES.map(lambda text: f"## {text}"),
    SENTENCES.map(lambda text: f"{text}\n---"),
    st.lists(SENTENCES, min_size=1, max_size=3).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.lists(SENTENCES, min_size=2, max_size=2).map(
        lambda row: f"| {row[0]} | {row[1]} |\n|---|---|\n| {row[1]} | {row[0]} |"
    ),
    SENTENCES.map(lambda text: f"[{text}](http://x.y) ![{text}z](q.png)"),
)


@given(st.lists(WRITTEN, max_size=8))
def test_no_word_is_lost_or_invented(blocks):
    source = "\n\n".join(blocks)
    plain = re.sub(r"\]\([^)]*\)", " ", source)
    book = read(source)
    expected = re.findall(r"\w+", plain)
    assert words_of(book) == expected or re.findall(r"\w+", book.title or "") + words_of(book) == expected


@pytest.mark.skipif(shutil.which("pandoc") is None, reason="pandoc is not installed")
def test_words_are_those_that_pandoc_writes_as_plain_text():
    source = "# Book\n\n## One\n\nThe *first* `text`.\n\n- a\n- b\n\n> quoted\n\n## Two\n\n| A | B |\n|---|---|\n| 1 | 2 |\n\nEnd."
    plain = subprocess.run(
        ["pandoc", "-f", "gfm", "-t", "plain"], input=source, capture_output=True, text=True, check=True
    ).stdout
    assert ["Book", *words_of(read(source))] == re.findall(r"[^\W_]+", plain)
