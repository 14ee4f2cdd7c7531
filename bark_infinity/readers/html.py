"""Reads a page of HTML as a book: its headings begin chapters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..errors import TextError
from .book import Block, Book, BookChapter, Footnotes
from .footnotes import Notes
from .html_blocks import Piece, read_blocks, spoken_text
from .markup import Element, decode_markup, parse_markup

MAX_BYTES = 20_000_000  # of a page
_END = Piece(Block(""))


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
        _meta(root, "author", "dc.creator"),
        _language(root),
    )


def chapters_by_headings(pieces: Sequence[Piece]) -> list[BookChapter]:
    """The chapters of a page: each begins with a heading that is also its title. What is before the first has none."""
    starts = _chapter_starts(pieces)
    chapters = []
    for start, end in pairwise([*sorted({0, *starts}), len(pieces)]):
        if blocks := blocks_of(pieces[start:end]):
            chapters.append(BookChapter(pieces[start].block.text if start in starts else "", blocks))
    return chapters


def blocks_of(pieces: Sequence[Piece]) -> tuple[Block, ...]:
    """The blocks of pieces, without those that only stand for ids."""
    return tuple(piece.block for piece in pieces if piece.block.text or piece.block.kind == "scene_break")


def _chapter_starts(pieces: Sequence[Piece]) -> set[int]:
    """Indexes of the headings that begin chapters: those of the chapters' level or a higher one.

    Where such a heading has nothing but further headings below it, as that of a part, these begin chapters too.
    """
    level = _chapter_level(pieces)
    starts: set[int] = set()
    above: list[tuple[int, bool]] = []  # level of each open heading, and whether it is one of a part
    for k, (piece, following) in enumerate(pairwise([*pieces, _END])):
        if not piece.level:
            continue
        while above and above[-1][0] >= piece.level:
            above.pop()
        is_start = piece.level <= level or (bool(above) and above[-1][1])
        if is_start:
            starts.add(k)
        above.append((piece.level, is_start and following.level > piece.level))
    return starts


def _chapter_level(pieces: Sequence[Piece]) -> int:
    """The highest level of which there are several headings, most of them with text below; so not that of the book's title.

    If no level is like that, the highest one; 0 if there are no headings.
    """
    has_text: dict[int, list[bool]] = {}
    for piece, following in pairwise([*pieces, _END]):
        if piece.level:
            has_text.setdefault(piece.level, []).append(following.level == 0 and following.block.text != "")
    several = (level for level, own in has_text.items() if len(own) > 1 and 2 * sum(own) > len(own))
    return min(several, default=min(has_text, default=0))


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
