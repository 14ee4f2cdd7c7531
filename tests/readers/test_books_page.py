"""Every example of docs/books.md is spoken as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bark_infinity.readers import archive, books
from bark_infinity.readers.book import Footnotes
from bark_infinity.readers.html import read_html
from bark_infinity.text.front_matter import read_front_matter

PAGE = (Path(__file__).parents[2] / "docs" / "books.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^```html\n(.*?)\n```\n```spoken\n(.*?)\n```(?:\n```inline\n(.*?)\n```)?", PAGE, re.DOTALL | re.M
)


@pytest.mark.parametrize(("page", "spoken", "inline"), EXAMPLES)
def test_example_is_spoken_as_the_page_says(page, spoken, inline):
    modes: list[tuple[Footnotes, str]] = [("skip", spoken), *([("inline", inline)] if inline else [])]
    for footnotes, expected in modes:
        blocks = [block for chapter in read_html(page.encode(), footnotes).chapters for block in chapter.blocks]
        assert [block.text or "***" for block in blocks] == expected.splitlines()


def test_all_examples_are_tried():
    assert len(EXAMPLES) == PAGE.count("```html") == 2


def test_the_front_matter_of_the_page():
    toml = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert toml is not None
    book = read_front_matter(f"+++\n{toml[1]}+++\n").book
    assert (book.narrator, book.cover) == ("Bark", "book.jpg")


def test_limits_of_the_page():
    assert f"{books.MAX_BYTES // 10**6} MB, {archive.MAX_FILES:,} files, {archive.MAX_FILE_BYTES // 10**6} MB" in PAGE
    assert f"{archive.MAX_TOTAL_BYTES // 10**6} MB for all" in PAGE
