"""Finds out which files are books, by name or content, and gives them to their readers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from ..errors import TextError, UsageError
from .archive import is_zip
from .book import Book, Footnotes
from .docx import looks_like_docx, read_docx
from .epub import read_epub
from .html import read_html
from .markdown import read_markdown
from .pdf import looks_like_pdf, read_pdf

BookKind = Literal["epub", "html", "markdown", "docx", "pdf"]

MAX_BYTES = 300_000_000  # of a book with its images
MAX_TEXT_BYTES = 20_000_000  # of a text: 400 hours of speech, four times the Bible

MAX_TEXT_LENGTH = 20_000_000  # characters of a book

_SUFFIXES: Mapping[str, BookKind] = {
    ".epub": "epub",
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    **dict.fromkeys((".md", ".markdown"), "markdown"),
    ".docx": "docx",
    ".pdf": "pdf",
}
_READERS: Mapping[BookKind, Callable[[bytes, Footnotes, str], Book]] = {
    "epub": lambda data, footnotes, _: read_epub(data, footnotes),
    "html": read_html,
    "markdown": read_markdown,
    "docx": lambda data, footnotes, _: read_docx(data, footnotes),
    "pdf": lambda data, footnotes, _: read_pdf(data, footnotes),
}
_IN_TEXT = frozenset(("html", "markdown"))  # kinds that have an encoding
_HEAD_BYTES = 1024  # in which a kind shows
_EPUB_TYPE = b"mimetypeapplication/epub+zip"  # name and content of the first file of an EPUB
_IS_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,500}?-->\s*)*<(?:!doctype\s+html|html)[\s>]", re.I | re.S)


def book_kind(data: bytes, name: str) -> BookKind | None:
    """The kind of book that a file is: by its name, or else by its content; None if it is none."""
    return kind_by_name(name) or _kind_by_content(data, name)


def kind_by_name(name: str) -> BookKind | None:
    """The kind of book that the ending of a file's name says."""
    return next((kind for suffix, kind in _SUFFIXES.items() if name.lower().endswith(suffix)), None)


def read_book(data: bytes, name: str, footnotes: Footnotes = "skip", encoding: str = "auto") -> Book | None:
    """The book in a file; None if it is no book. `name`: of the file, or "-". `encoding`: of a book that is text.

    Raises TextError for a book that cannot be read, without its name.
    """
    kind = book_kind(data, name)
    if kind is None:
        return None
    if kind not in _IN_TEXT and encoding != "auto":
        raise UsageError(f"--text_encoding does nothing for {kind}, which has its own; leave it out")
    book = _READERS[kind](data, footnotes, encoding)
    if sum(len(block.text) for chapter in book.chapters for block in chapter.blocks) > MAX_TEXT_LENGTH:
        raise TextError(f"it has more than {MAX_TEXT_LENGTH:,} characters; split it")
    return book


def max_bytes(head: bytes) -> int:
    """How long a file that begins like this may be: those with images may be longer than texts."""
    return MAX_BYTES if is_zip(head) or looks_like_pdf(head) else MAX_TEXT_BYTES


def _kind_by_content(data: bytes, name: str) -> BookKind | None:
    if looks_like_pdf(data):
        return "pdf"
    if looks_like_docx(data):
        return "docx"
    if is_zip(data):
        is_epub = _EPUB_TYPE in data[:_HEAD_BYTES] or b"META-INF/container.xml" in data[-MAX_TEXT_BYTES:]
        return "epub" if is_epub else None
    if name.lower().endswith(".txt"):
        return None
    return "html" if _IS_HTML.match(data[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")) else None
