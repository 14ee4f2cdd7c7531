"""Running heads, page numbers and footnotes on the pages of a PDF."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.readers.pdf_lines import MARK_BEGIN, MARK_END, UNCERTAIN, Line
from bark_infinity.readers.pdf_pages import text_size, without_heads, without_notes


def page(number: int, *texts: str, top: float = 700, size: float = 10) -> list[Line]:
    """Lines below each other."""
    return [Line(text, number, 72, top - 14 * k, size) for k, text in enumerate(texts)]


def body(number: int) -> list[Line]:
    return page(number, *(f"line {'abcdefgh'[k]} of {'pqrstuvwxyz'[number]}" for k in range(8)))


def head(number: int, text: str, y: float = 760, size: float = 10) -> Line:
    return Line(text, number, 72, y, size)


def texts(pages) -> list[list[str]]:
    return [[line.text for line in lines] for lines in pages]


def mark(text: str) -> str:
    return f"{MARK_BEGIN}{text}{MARK_END}"


@pytest.mark.parametrize(
    "heads",
    [
        ["The River"] * 4,
        ["The River", "Ann Lee"] * 2,
        ["12 The River", "Ann Lee 13", "14 The River", "Ann Lee 15"],
        ["12 One", "13 Two", "14 Three", "15 Four"],
        ["xii", "xiii", "xiv", "xv"],
        ["- 1 -", "- 2 -", "- 3 -", "- 4 -"],
        ["Page 7 of 90", "Page 8 of 90", "Page 9 of 90", "Page 10 of 90"],
        ["Chapter 1 5", "Chapter 1 6", "Chapter 1 7", "Chapter 2 8"],
        ["[3/9]", "[4/9]", "[5/9]", "[6/9]"],
    ],
)
@pytest.mark.parametrize("y", [760, 30])
def test_heads_and_feet_are_dropped(heads, y):
    pages = [[head(number, text, y), *body(number)] for number, text in enumerate(heads)]
    assert without_heads(pages) == [body(number) for number in range(4)]


@pytest.mark.parametrize(
    "heads",
    [
        ["One", "Two", "Three", "Four"],
        ["1984", "1987", "2001", "1999"],
        ["Chapter 1", "Chapter 2", "Chapter 3", "Chapter 4"],
        ["I walked", "I ran", "I sat", "I slept"],
    ],
)
def test_other_lines_at_the_top_stay(heads):
    pages = [[head(number, text), *body(number)] for number, text in enumerate(heads)]
    assert without_heads(pages) == pages


def test_titles_with_the_words_of_a_head_or_large_numbered_ones_stay():
    pages = [[head(number, "The River", *(() if number else (720, 18))), *body(number)] for number in range(4)]
    assert texts(without_heads(pages))[0][0] == "The River"
    poems = [[head(number, f"{number + 1} {'abcd'[number]}", 760, 16), *body(number)] for number in range(4)]
    assert without_heads(poems) == poems


def test_a_line_is_only_dropped_if_nothing_is_between_it_and_the_edge():
    pages = [
        [head(number, f"above {'pqrs'[number]}", 780), head(number, "The River"), *body(number)] for number in range(4)
    ]
    assert without_heads(pages) == pages


@given(
    st.lists(
        st.lists(st.sampled_from(["The River", "12", "Chapter 3", "a b c", "iv", "Page 2"]), max_size=12), max_size=8
    )
)
def test_only_lines_near_the_edges_are_dropped(pages):
    placed = [page(number, *lines) for number, lines in enumerate(pages)]
    for before, after in zip(placed, without_heads(placed), strict=True):
        assert [line for line in before if line in after] == after
        assert all(line in after for line in before[3:-3])


def test_footnotes():
    text = page(0, f"A house{mark('1')} of stone{mark('2')}.", "More of it.", *["and more"] * 5)
    notes = page(0, f"{mark('1')} The first", "goes on.", "2 The second.", top=200, size=8)
    assert texts(without_notes([[*text, *notes]], "skip"))[0][:2] == ["A house of stone.", "More of it."]
    inline = texts(without_notes([[*text, *notes]], "inline"))[0]
    assert inline[0] == "A house (The first goes on.) of stone (The second.)." and len(inline) == 7


def test_footnotes_go_on_on_the_next_page():
    first = [*page(0, f"A house{mark('*')}.", *["more"] * 5), *page(0, "* The note", top=200, size=8)]
    second = [*page(1, *["text"] * 5), *page(1, "goes on here.", top=200, size=8)]
    assert texts(without_notes([first, second], "skip"))[1] == ["text"] * 5


@pytest.mark.parametrize(
    "small",
    [
        page(0, "1 A caption.", top=200, size=8),
        page(0, "3 not a note of this page", top=200, size=8),
        page(0, "1 above the text", top=800, size=8),
    ],
)
def test_small_letters_without_a_mark_in_the_text_are_text(small):
    text = page(0, f"A house{mark('2')}.", *["more of it"] * 5)
    assert texts(without_notes([[*text, *small]], "skip"))[0][-1] == small[0].text


def test_uncertain_marks_are_digits_unless_they_have_a_footnote():
    text = page(0, f"A house{mark(UNCERTAIN + '1')} and covid{mark(UNCERTAIN + '19')}.", *["more"] * 5)
    notes = page(0, f"{mark(UNCERTAIN + '1')}The note.", top=200, size=8)
    assert texts(without_notes([[*text, *notes]], "skip"))[0][0] == "A house and covid19."
    assert texts(without_notes([[*text, *notes]], "inline"))[0][0] == "A house (The note.) and covid19."


def test_lines_with_nothing_but_a_mark_are_gone():
    assert texts(without_notes([page(0, mark("1"), "Text.")], "skip")) == [["Text."]]


def test_size_of_the_text():
    assert text_size([page(0, "A Title", size=20), page(1, "a long line of text", size=10)]) == 10
    assert text_size([]) == 0
