"""Which files are books, and how long they may be."""

from __future__ import annotations

import io

import pytest
from books import Epub

from bark_infinity.errors import TextError, UsageError
from bark_infinity.files import read_stream
from bark_infinity.readers import books
from bark_infinity.readers.books import MAX_BYTES, MAX_TEXT_BYTES, book_kind, max_bytes, read_book

EPUB = Epub({"a.xhtml": "<p>Hi.</p>"}, None).write()


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"", "a.epub", "epub"),
        (b"", "A.EPUB", "epub"),
        (b"", "a.htm", "html"),
        (b"", "a.md", "markdown"),
        (b"", "a.docx", "docx"),
        (b"", "a.pdf", "pdf"),
        (b"%PDF-1.7", "-", "pdf"),
        (b"PK\x03\x04...[Content_Types].xml...word/document.xml", "a", "docx"),
        (EPUB, "-", "epub"),
        (EPUB, "a.txt", "epub"),
        (b"PK\x03\x04 another archive", "-", None),
        (b"<!DOCTYPE html><p>", "-", "html"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?>\n<!-- x --><html lang='en'>", "a", "html"),
        (b"<html>", "a.txt", None),
        (b"<htmlx>", "-", None),
        (b"<speak>", "-", None),
        (b"Hi <html>", "-", None),
    ],
)
def test_kinds(data, name, kind):
    assert book_kind(data, name) == kind


def test_reading():
    book = read_book(EPUB, "-")
    assert book is not None and book.chapters[0].blocks[0].text == "Hi."
    assert read_book(b"Hello.", "a.txt") is None
    page = read_book("<p>Да</p>".encode("cp1251"), "a.html", encoding="cp1251")
    assert page is not None and page.chapters[0].blocks[0].text == "Да"
    with pytest.raises(UsageError, match="--text_encoding does nothing for epub"):
        read_book(EPUB, "-", encoding="utf-8")


def test_a_book_has_a_greatest_length(monkeypatch):
    monkeypatch.setattr(books, "MAX_TEXT_LENGTH", 2)
    with pytest.raises(TextError, match="more than 2 characters"):
        read_book(EPUB, "-")


def test_files_with_images_may_be_longer_than_texts():
    assert (max_bytes(EPUB), max_bytes(b"%PDF-1.7"), max_bytes(b"text")) == (MAX_BYTES, MAX_BYTES, MAX_TEXT_BYTES)
    limit = {b"P": 9, b"t": 3}
    assert read_stream(io.BytesIO(b"P23456789"), 3, lambda head: limit[head[:1]]) == b"P23456789"
    for data in (b"P234567890", b"t234"):
        with pytest.raises(OSError, match="more than the"):
            read_stream(io.BytesIO(data), 3, lambda head: limit[head[:1]])
