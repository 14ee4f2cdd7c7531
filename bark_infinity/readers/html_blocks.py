"""The text of HTML as it is read aloud: paragraphs, headings and scene breaks, without what only the eye needs."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from ..text.blocks import is_ornament
from .book import Block
from .footnotes import Notes, is_back_link, is_reference, superscript, without_marks
from .markup import Element, words_of

_BLOCKS = words_of(
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup html li main nav ol p pre section summary table tbody td tfoot th thead "
    "tr ul"
)
_SILENT = words_of(
    "audio button canvas datalist del embed head iframe input map noscript object rp rt script select style svg "
    "template textarea title video"
)
_LIST_TYPES = words_of("toc landmarks page-list lot loi")  # values of epub:type
_LIST_ROLES = words_of("doc-toc doc-pagelist navigation")
_DECORATIVE = frozenset(("presentation", "none"))
_CODE = words_of("code samp kbd")  # inside of <pre>; in a sentence they are words of it
_CODE_CLASSES = words_of("code sourcecode programlisting highlight listing screen")
_PAGE_CLASSES = words_of("pagenum pageno pagenumber page-number pagebreak")  # with the number of a printed page
_SITE_CLASSES = words_of("pg-boilerplate pgheader pgfooter mw-editsection navbox noprint")  # of Gutenberg and Wikipedia
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u2060\ufeff"))  # soft hyphens, and spaces without width
_NO_DESCRIPTION = re.compile(
    r"\S+\.(?:jpe?g|png|gif|svg|webp|tiff?|bmp)|(?:the )?(?:cover|image|img|picture|photo|figure|logo|illustration)"
    r"(?: image| page)?(?: ?\d+)?|untitled|\d+",
    re.IGNORECASE,
)
_LINE_END = "\N{LINE SEPARATOR}"  # of <br>; those of the source are spaces
_ENDS_WITH_STOP = re.compile(r"[.,;:!?…。！？；：]['\"”’»)]*$")


class Piece(NamedTuple):
    """A block, and what is known of it beside its text."""

    block: Block
    level: int = 0  # of a heading: 1 to 6
    ids: tuple[str, ...] = ()  # of the elements that begin here, of those that are asked for

    @property
    def is_empty(self) -> bool:
        """Whether it only stands for ids."""
        return not self.block.text and self.block.kind != "scene_break"


def read_blocks(
    root: Element, path: str, notes: Notes, ids: Container[str] = (), with_lists: bool = False
) -> list[Piece]:
    """The blocks of a document in reading order. A piece without text may stand for ids at the end.

    `path`: of the document in its book. `ids`: of elements whose places are wanted. `with_lists`: read footnotes and
    tables of contents too, for a document that has nothing else.
    """
    reader = _BlockReader(path, notes, ids, with_lists)
    reader.read(root)
    return reader.finish()


class _BlockReader:
    """Walks a document and collects its blocks."""

    def __init__(self, path: str, notes: Notes, ids: Container[str], with_lists: bool) -> None:
        self._path = path
        self._notes = notes
        self._ids = ids
        self._with_lists = with_lists
        self._pieces: list[Piece] = []
        self._parts: list[str] = []  # of the paragraph that is not complete yet
        self._begun: list[str] = []  # ids since the last block
        self._level = 0  # of the heading that is open
        self._in_code = False
        self._described: set[str] = set()  # texts of images

    def finish(self) -> list[Piece]:
        self._flush()
        if self._begun:
            self._pieces.append(Piece(Block(""), 0, tuple(self._begun)))
        return self._pieces

    def read(self, element: Element) -> None:
        if element.tag in _BLOCKS:
            self._flush()
        self._begin(element)
        if not self._is_silent(element):
            self._read_spoken(element)

    def _begin(self, element: Element) -> None:
        """Take note of an element that is asked for."""
        for name in (element.get("id"), element.get("name") if element.tag == "a" else ""):
            if name and name in self._ids:
                self._begun.append(name)

    def _read_spoken(self, element: Element) -> None:
        match element.tag:
            case "br":
                self._break_line()
            case "hr":
                self._flush()
                self._add_scene_break()
            case "img":
                self._add_image(element)
            case "math":
                self._parts.append(f" {element.get('alttext') or element.text} ")
            case "sup":
                before = len(self._parts)
                self._read_children(element)
                self._parts[before:] = [superscript("".join(self._parts[before:]))]
            case "table" if _has_columns(element):
                self._read_table(element)
            case "a" if is_reference(element):
                note = self._notes.text_of(self._path, element.get("href"))
                self._parts.append(f" ({note})" if note is not None else "")
            case tag if tag in _BLOCKS:
                self._read_block(element)
            case _:
                self._read_children(element)

    def _read_block(self, element: Element) -> None:
        level, in_code = self._level, self._in_code
        self._level = _heading_level(element) or level
        self._in_code |= element.tag == "pre"
        self._read_children(element)
        self._flush()
        self._level, self._in_code = level, in_code

    def _read_children(self, element: Element) -> None:
        for child in element.children:
            if isinstance(child, str):
                self._parts.append(child)
            else:
                self.read(child)

    def _is_silent(self, element: Element) -> bool:
        if element.tag in _SILENT or (element.tag in _CODE and self._in_code):
            return True
        if not element.attributes:
            return element.tag == "nav" and not self._with_lists
        if _is_hidden(element) or is_back_link(element) or _is_page_break(element):
            return True
        if element.words("class") & _SITE_CLASSES:
            return True
        if element.tag in ("pre", "div") and element.words("class") & _CODE_CLASSES:
            return True
        if element.tag == "img" and element.words("role") & _DECORATIVE:
            return True
        return not self._with_lists and (_is_list_of_places(element) or self._notes.is_note(self._path, element))

    def _break_line(self) -> None:
        """A line ends: two ends in succession end a paragraph, one in a heading is a stop."""
        for k in range(len(self._parts) - 1, -1, -1):
            part = self._parts[k].rstrip(" \t\r\n")
            if part == _LINE_END:
                self._flush()
                return
            if part:
                stop = "." if self._level and not _ENDS_WITH_STOP.search(part) else ""
                self._parts[k] = f"{part}{stop}"
                self._parts.append(_LINE_END)
                return

    def _flush(self) -> None:
        """End the paragraph."""
        text = spoken_text("".join(self._parts))
        self._parts.clear()
        if text and is_ornament(text):
            self._add_scene_break()
        elif text in self._described and self._pieces and self._pieces[-1].block.text == text:
            return  # the caption below the image says the same
        elif text:
            self._add(Block(text, "heading" if self._level else "paragraph"), self._level)

    def _add_scene_break(self) -> None:
        self._add(Block("", "scene_break"))

    def _add(self, block: Block, level: int = 0) -> None:
        self._pieces.append(Piece(block, level, tuple(self._begun)))
        self._begun.clear()

    def _add_image(self, element: Element) -> None:
        text = " ".join(element.get("alt").split())
        if not text or _NO_DESCRIPTION.fullmatch(text):
            return
        self._described.add(text)
        self._parts.append(text if len(text) == 1 else f" {text} ")  # one letter is an initial, drawn by an artist

    def _read_table(self, table: Element) -> None:
        """Read a table row by row: each is a paragraph of the texts in its cells."""
        for element in table.all("caption", "tr"):
            if element.tag == "caption" and element.parent is table:
                self.read(element)
            elif element.tag == "tr" and _table_of(element) is table and not self._is_silent(element):
                self._read_row(element)

    def _read_row(self, row: Element) -> None:
        self._begin(row)
        cells: list[str] = []
        for cell in row.elements:
            reader = _BlockReader(self._path, self._notes, self._ids, self._with_lists)
            reader.read(cell)
            pieces = reader.finish()
            self._begun += [name for piece in pieces for name in piece.ids]
            cells.append(" ".join(piece.block.text for piece in pieces if piece.block.text))
        texts = [text for text in cells if text]
        for text in texts:
            sign = "" if _ENDS_WITH_STOP.search(text) else "." if text is texts[-1] else ","
            self._parts.append(f"{text}{sign} ")
        self._flush()


def spoken_text(text: str) -> str:
    """A text from HTML as it is spoken: in one line, without soft hyphens and marks of footnotes."""
    return " ".join(without_marks(text.translate(_UNSEEN)).split())


def _is_hidden(element: Element) -> bool:
    attributes = element.attributes
    if not attributes:
        return False
    is_hidden = "hidden" in attributes or attributes.get("aria-hidden", "").lower() == "true"
    return is_hidden or ("style" in attributes and _HIDDEN_STYLE.search(attributes["style"]) is not None)


def _is_page_break(element: Element) -> bool:
    is_declared = "pagebreak" in element.words("epub:type") or "doc-pagebreak" in element.words("role")
    return is_declared or (element.tag not in _BLOCKS and bool(element.words("class") & _PAGE_CLASSES))


def _is_list_of_places(element: Element) -> bool:
    """Whether an element is a table of contents, or another list that leads to places in the book or on the site."""
    return (
        element.tag == "nav"
        or bool(element.words("epub:type") & _LIST_TYPES)
        or bool(element.words("role") & _LIST_ROLES)
    )


def _heading_level(element: Element) -> int:
    """The level of a heading; 0 for another element."""
    if len(element.tag) == 2 and element.tag[0] == "h" and element.tag[1] in "123456":
        return int(element.tag[1])
    if "heading" in element.words("role"):
        level = element.get("aria-level").strip()
        return int(level) if level in ("1", "2", "3", "4", "5", "6") else 2
    return 0


def _has_columns(table: Element) -> bool:
    """Whether a table has rows of several cells; others only place their content."""
    rows = (row for row in table.all("tr") if _table_of(row) is table)
    return any(sum(bool(cell.text or cell.first("img")) for cell in row.elements) > 1 for row in rows)


def _table_of(element: Element) -> Element | None:
    """The innermost table around an element."""
    parent = element.parent
    while parent is not None and parent.tag != "table":
        parent = parent.parent
    return parent
