"""Reads a page of HTML as a book: its headings begin chapters."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import TextError
from .book import Block, Book, Footnotes
from .footnotes import Notes
from .html_blocks import Piece, read_blocks, spoken_text
from .markup import Element, decode_markup, parse_markup
from .sections import LeveledBlock, cut_at_headings

MAX_BYTES = 20_000_000  # of a page


def read_html(data: bytes, footnotes: Footnotes, encoding: str = "auto") -> Book:
    """The book in a page. `encoding`: of its text, if it declares none or a wrong one. Raises TextError."""
    if len(data) > MAX_BYTES:
        raise TextError(f"it has more than the {MAX_BYTES / 1e6:.0f} MB that a page may have; split it")
    root = parse_markup(decode_markup(data, encoding))
    notes = Notes(footnotes)
    notes.add("", root)
    heading, chapters = cut_at_headings(leveled_blocks(read_blocks(_main_part(root), "", notes)))
    title = root.first("title")
    return Book(
        chapters,
        (spoken_text(title.text) if title is not None else "") or heading,
        _meta(root, "author", "dc.creator"),
        _language(root),
    )


def leveled_blocks(pieces: Sequence[Piece]) -> list[LeveledBlock]:
    """The blocks of pieces, with the levels of headings."""
    return [LeveledBlock(piece.block, piece.level or None) for piece in pieces if not piece.is_empty]


def blocks_of(pieces: Sequence[Piece]) -> tuple[Block, ...]:
    """The blocks of pieces, without those that only stand for ids."""
    return tuple(piece.block for piece in pieces if not piece.is_empty)


def _main_part(root: Element) -> Element:
    """The only <main> of a page; else the whole page."""
    mains = list(root.all("main"))
    return mains[0] if len(mains) == 1 else root


def _meta(root: Element, *names: str) -> str | None:
    """The contents of all <meta name="..."> with one of these names."""
    found = (element.get("content") for element in root.all("meta") if element.get("name").lower() in names)
    return ", ".join(dict.fromkeys(" ".join(content.split()) for content in found if content.strip())) or None


def _language(root: Element) -> str | None:
    element = root.first("html")
    return (element.get("lang") or element.get("xml:lang") or None) if element is not None else None
