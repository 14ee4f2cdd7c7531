"""Lists of numbers: single ones and ranges, counted from 1."""

from __future__ import annotations

import pytest

from bark_infinity.errors import UsageError
from bark_infinity.options.numbers import chosen_numbers


@pytest.mark.parametrize(
    ("text", "chosen"), [("3", {2}), ("3,7-9", {2, 6, 7, 8}), (" 1 - 2 , 2", {0, 1}), ("9-9", {8})]
)
def test_numbers_and_ranges(text, chosen):
    assert chosen_numbers(text, 9, "chapters", "chapter", "book") == chosen


@pytest.mark.parametrize("text", ["", "a", "1,,2", "1-", "-1", "1.5", "9" * 5000])
def test_what_is_no_number(text):
    with pytest.raises(UsageError, match="--chapters takes numbers of chapters as in 3,7-9, not "):
        chosen_numbers(text, 9, "chapters", "chapter", "book")


@pytest.mark.parametrize("text", ["0", "10", "8-10", "5-4"])
def test_numbers_that_are_not_there(text):
    with pytest.raises(UsageError, match=f"^--chapters 1,{text}: the book has the chapters 1 to 9, and not {text}$"):
        chosen_numbers(f"1,{text}", 9, "chapters", "chapter", "book")
