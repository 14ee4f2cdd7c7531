"""Reads a page of HTML as a book: its headings begin chapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..errors import TextError
from .book import Block, Book, BookChapter, Footnotes
from .footnotes import Notes
from .html_blocks import Piece, read_blocks, spoken_text
from .markup import Element, decode_markup, parse_markup

MAX_BYTES = 20_000_000  # of a page


def read_html(data: bytes, footnotes: Footnotes, encoding: str = "auto") -> Book:
    """The book in a page. `encoding`: of its text, if it declares none or a wrong one. Raises TextError."""
    if len(data) > MAX_BYTES:
        raise TextError(f"it has more than the {MAX_BYTES / 1e6:.0f} MB that a page may have; split it")
    root = parse_markup(decode_markup(data, encoding))
    notes = Notes(footnotes)
    notes.add("", root)
    pieces = read_blocks(_main_part(root), "", notes)
    chapters = chapters_by_headings(pieces)
    title = next((element for element in root.all("title") if element.parent and element.parent.tag != "svg"), None)
    first_heading = next((piece.block.text for piece in pieces if piece.level == 1), None)
    return Book(
        tuple(chapters),
        (spoken_text(title.text) if title is not None else "") or first_heading,
        _meta(root, "author") or _meta(root, "dc.creator"),
        _language(root),
    )


def chapters_by_headings(pieces: Sequence[Piece]) -> list[BookChapter]:
    """The chapters of a page: each begins with a heading of the chapters' level or a higher one, which is also its title."""
    level = _chapter_level(pieces)
    starts = [k for k, piece in enumerate(pieces) if k == 0 or 0 < piece.level <= level]
    chapters = []
    for start, end in pairwise([*starts, len(pieces)]):
        first, blocks = pieces[start], blocks_of(pieces[start:end])
        if blocks:
            chapters.append(BookChapter(first.block.text if 0 < first.level <= level else "", blocks))
    return chapters


def blocks_of(pieces: Sequence[Piece]) -> tuple[Block, ...]:
    """The blocks of pieces, without those that only stand for ids."""
    return tuple(piece.block for piece in pieces if piece.block.text or piece.block.kind == "scene_break")


def _chapter_level(pieces: Sequence[Piece]) -> int:
    """The level of headings that begin chapters: the highest one of which there are several, most with text below them.

    So neither the title of the book nor the parts above its chapters are taken for them. If no level is like that, the
    highest one; 0 if there are no headings.
    """
    below = list(_headings_with_text(pieces))
    for level in range(1, 7):
        own = [has_text for piece_level, has_text in below if piece_level == level]
        if len(own) > 1 and 2 * sum(own) > len(own):
            return level
    return min((level for level, _ in below), default=0)


def _headings_with_text(pieces: Sequence[Piece]) -> Iterator[tuple[int, bool]]:
    """Yield the level of each heading, and whether a paragraph follows it before the next heading."""
    for piece, following in pairwise([*pieces, Piece(Block(""))]):
        if piece.level:
            yield piece.level, following.level == 0 and following.block.text != ""


def _main_part(root: Element) -> Element:
    """The only <main> of a page; else the whole page."""
    mains = list(root.all("main"))
    return mains[0] if len(mains) == 1 else root


def _meta(root: Element, name: str) -> str | None:
    """The content of <meta name="...">."""
    found = (element.get("content") for element in root.all("meta") if element.get("name").lower() == name)
    return next((" ".join(content.split()) for content in found if content.strip()), None)


def _language(root: Element) -> str | None:
    element = root.first("html")
    return (element.get("lang") or element.get("xml:lang") or None) if element is not None else None
