"""Reads Word documents (.docx): headings by their styles, notes, tables and images' descriptions; no deleted text."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO

from ..errors import TextError
from ..extras import missing_extra
from .archive import MAX_DIRECTORY_BYTES, Archive, is_zip
from .book import Book, Footnotes
from .footnotes import Notes
from .html import leveled_blocks
from .html_blocks import read_blocks
from .markup import Element, decode_markup, parse_markup
from .sections import cut_at_headings

MAX_ELEMENTS = 600_000  # of all XML in a document; each takes about 2 kB while it is read

_OLE_SIGNATURE = b"\xd0\xcf\x11\xe0"  # of Word's old files, and of encrypted ones
_PARTS = re.compile(r"(?i)(?:word/|docprops/|_rels/|\[content_types\])[^:]*")
_DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))
_MAX_LEVEL = 6  # of headings in HTML
_MAX_BASES = 20  # styles that a style is based on
_HEADING_NAME = re.compile(r"heading (?P<number>[1-9])", re.IGNORECASE)
_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name^='toc '] => nav > p:fresh
p[style-name^='TOC '] => nav > p:fresh
p[style-name='table of figures'] => nav > p:fresh
p[style-name='Source Code'] => div.code:fresh
p[style-name='HTML Preformatted'] => div.code:fresh
"""
_DAMAGED = "it is a damaged Word document; open it in a word processor and save it again"


def looks_like_docx(data: bytes) -> bool:
    """Whether a file is a Word document, by the names of the files in it."""
    directory = data[-MAX_DIRECTORY_BYTES:]
    return is_zip(data) and b"[Content_Types].xml" in directory and b"word/" in directory


def read_docx(data: bytes, footnotes: Footnotes) -> Book:
    """The book in a Word document. Raises TextError if it is damaged, encrypted or too large, UsageError without mammoth."""
    if data.startswith(_OLE_SIGNATURE):
        raise TextError("it is a Word file of an old kind, or an encrypted one; save it as .docx without a password")
    if not is_zip(data):
        raise TextError("it is no Word document, for it is no zip archive; save it as .docx")
    parts = _checked_parts(Archive(data))
    root = parse_markup(_to_html(parts))
    notes = Notes(footnotes)
    notes.add("", root)
    blocks = leveled_blocks(read_blocks(root, "", notes))
    core = _parsed(parts, "docProps/core.xml")
    title, chapters = cut_at_headings(blocks, _property(core, "title"))
    return Book(chapters, title, _property(core, "creator"), _property(core, "language"))


def _checked_parts(archive: Archive) -> Mapping[str, bytes]:
    """The XML in a document, by path. Raises TextError if it is too large, or may grow when it is read."""
    parts = {
        path: archive.read(path)
        for path in archive.paths
        if path.endswith((".xml", ".rels")) and _PARTS.fullmatch(path)
    }
    if any(doctype in content for content in parts.values() for doctype in _DOCTYPES):
        raise TextError("it has a document type definition, which no word processor writes; save it again with one")
    if sum(content.count(b"<") - content.count(b"</") for content in parts.values()) > MAX_ELEMENTS:
        raise TextError(f"it has more than {MAX_ELEMENTS:,} parts of text with a format of their own; split it")
    return parts


def _to_html(parts: Mapping[str, bytes]) -> str:
    """The HTML of a document. Images have no content."""
    try:
        import mammoth
    except ImportError:
        raise missing_extra("docx", "books") from None
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as copy:
        for path, content in parts.items():
            copy.writestr(path, content)
    try:
        result = mammoth.convert_to_html(
            archive,
            style_map="\n".join([_STYLES, *_heading_styles(_parsed(parts, "word/styles.xml"))]),
            include_embedded_style_map=False,
            convert_image=mammoth.images.img_element(lambda _: {"src": ""}),
        )
    except MemoryError:
        raise
    except Exception:  # a damaged file takes mammoth to errors of all kinds
        raise TextError(_DAMAGED) from None
    return result.value.replace("</p>", "</p> ")  # so that the paragraphs of a footnote stay apart


def _heading_styles(styles: Element) -> Iterator[str]:
    """Yield rules of mammoth for the styles of headings, by their outline levels. The title is above all of them."""
    own = {style.get("w:styleid"): style for style in styles.all("style") if style.get("w:type") == "paragraph"}
    for style in own.values():
        name = _value(style, "name")
        level = _outline_level(style, own)
        if level is not None and name and "\n" not in name and name.lower() != "title":
            escaped = name.replace("\\", "\\\\").replace("'", "\\'")
            yield f"p[style-name='{escaped}'] => h{min(level + 2, _MAX_LEVEL)}:fresh"


def _outline_level(style: Element | None, styles: Mapping[str, Element]) -> int | None:
    """The outline level of a style, counted from 0, its own or that of the style that it is based on; None for text."""
    for _ in range(_MAX_BASES):
        if style is None:
            return None
        if match := _HEADING_NAME.fullmatch(_value(style, "name")):
            return int(match["number"]) - 1
        if level := _value(style, "outlinelvl"):
            return int(level) if level in "012345678" else None  # 9 is text
        style = styles.get(_value(style, "basedon"))
    return None


def _value(style: Element, name: str) -> str:
    """The value of a property of a style; "" if it has none."""
    element = style.first(name)
    return element.get("w:val") if element is not None else ""


def _parsed(parts: Mapping[str, bytes], path: str) -> Element:
    """The XML of a part, without anything if the part is missing."""
    return parse_markup(decode_markup(parts.get(path, b"")), xml=True)


def _property(core: Element, name: str) -> str | None:
    """A property of the document, such as its title."""
    element = core.first(name)
    return (element.text or None) if element is not None else None
