"""Reading Word documents."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from docx_files import docx_file, footnote_mark, image, paragraph, run, table
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError, UsageError
from bark_infinity.readers import docx
from bark_infinity.readers.book import Block, Book, BookChapter
from bark_infinity.readers.docx import looks_like_docx, read_docx

SECOND_NOTE = "<w:p><w:r><w:t>Its second paragraph.</w:t></w:r></w:p>"


def texts(*body: str, footnotes="skip", **more) -> list[str]:
    return [
        block.text or "---"
        for chapter in read_docx(docx_file(*body, **more), footnotes).chapters
        for block in chapter.blocks
    ]


def test_title_author_and_chapters():
    book = read_docx(
        docx_file(
            paragraph("The Book", style="Title"),
            paragraph("Before."),
            paragraph("One", style="berschrift1"),
            paragraph("Text."),
            paragraph("Part", style="berschrift2"),
            paragraph("Mo", run("re", "<w:i/>"), "."),
            paragraph("Two", style="Chapter"),
            paragraph("End."),
        ),
        "skip",
    )
    assert book == Book(
        (
            BookChapter("", (Block("Before."),)),
            BookChapter("One", (Block("Text."), Block("Part", "heading"), Block("More."))),
            BookChapter("Two", (Block("End."),)),
        ),
        "The Book",
        "Ann & Bob",
        "en-GB",
    )


def test_tables_images_and_scene_breaks():
    assert texts(
        table(("A", "B"), ("1", "two.")),
        paragraph(image("A black cat"), " sat."),
        paragraph("* * *"),
        paragraph("End."),
    ) == [
        "A, B.",
        "1, two.",
        "A black cat sat.",
        "---",
        "End.",
    ]


def test_deleted_text_code_contents_and_comments_are_absent():
    deleted = '<w:del w:id="1"><w:r><w:delText>gone </w:delText></w:r></w:del>'
    inserted = f'<w:ins w:id="2">{run("new ")}</w:ins>'
    assert texts(
        paragraph("One 3", style="TOC1"),
        paragraph("It is ", deleted, inserted, "text."),
        paragraph("x = 1", style="Code"),
        paragraph("soft\u00adness"),
    ) == ["It is new text.", "softness"]


@pytest.mark.parametrize(
    ("footnotes", "spoken"), [("skip", "One two."), ("inline", "One (The note. Its second paragraph.) two.")]
)
def test_footnotes(footnotes, spoken):
    body = paragraph("One", footnote_mark(2), " two.")
    assert texts(body, footnotes=footnotes, notes={2: paragraph("The note.") + SECOND_NOTE}) == [spoken]


def test_known_by_content():
    assert looks_like_docx(docx_file(paragraph("a")))
    assert not looks_like_docx(b"PK\x03\x04 something else") and not looks_like_docx(b"[Content_Types].xml word/")


DOCTYPE = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
DEEP = "<w:tbl><w:tr><w:tc>" * 3000 + "</w:tc></w:tr></w:tbl>" * 3000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xd0\xcf\x11\xe0 old", "old kind"),
        (b"no zip", "no zip archive"),
        (docx_file(paragraph("a"))[:-100], "damaged"),
        (docx_file(parts={"word/document.xml": f'<?xml version="1.0"?>{DOCTYPE}<x>&b;</x>'}), "document type"),
        (
            docx_file(parts={"word/document.xml": f'<?xml version="1.0"?>{DOCTYPE}<x>&b;</x>'.encode("utf-16")}),
            "document type",
        ),
        (docx_file(parts={"docProps/core.xml": f"{DOCTYPE}<x>&b;</x>"}), "document type"),
        (docx_file(parts={"word/document.xml": "<w:document"}), "damaged"),
        (docx_file(parts={"_rels/.rels": "no XML"}), "damaged"),
        (docx_file(parts={"word/document.xml": b" " * 30_000_000}), "larger than 20 MB"),
        (docx_file(DEEP), "damaged"),
    ],
)
def test_broken_and_hostile_files_are_refused_in_a_sentence(data, message):
    with pytest.raises(TextError, match=message) as error:
        read_docx(data, "skip")
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_too_many_elements_are_refused_before_they_are_read(monkeypatch):
    monkeypatch.setattr(docx, "MAX_ELEMENTS", 100)
    monkeypatch.setitem(sys.modules, "mammoth", None)
    with pytest.raises(TextError, match="more than 100 parts"):
        read_docx(docx_file(*[paragraph("a")] * 50), "skip")


def test_files_beside_the_xml_are_not_unpacked():
    assert read_docx(docx_file(paragraph("One."), parts={"word/media/bomb.png": b"0" * 40_000_000}), "skip").chapters


def test_styles_that_are_based_on_each_other_end():
    styles = '<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">' + "".join(
        f'<w:style w:type="paragraph" w:styleId="{a}"><w:name w:val="{a}"/><w:basedOn w:val="{b}"/></w:style>'
        for a, b in ("AB", "BA")
    )
    assert texts(paragraph("One.", style="A"), parts={"word/styles.xml": styles + "</w:styles>"}) == ["One."]


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mammoth", None)
    with pytest.raises(UsageError, match=r'docx needs .*pip install "bark-infinity\[books\]"'):
        read_docx(docx_file(paragraph("a")), "skip")


WORDS = st.text(alphabet="abcäöжйñ", min_size=1, max_size=8)
SENTENCES = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
PARTS = st.one_of(
    st.tuples(SENTENCES, SENTENCES).map(lambda both: paragraph(both[0] + " ", run(both[1], "<w:b/>"))),
    st.tuples(SENTENCES, st.sampled_from(["berschrift1", "berschrift2", "Title"])).map(
        lambda both: paragraph(both[0], style=both[1])
    ),
    st.tuples(SENTENCES, SENTENCES).map(lambda row: table(row, row)),
)


@given(st.lists(PARTS, max_size=6))
def test_no_word_is_lost_or_invented(parts):
    book = read_docx(docx_file(*parts, parts={"docProps/core.xml": "<x/>"}), "skip")
    said = [
        book.title or "",
        *(text for chapter in book.chapters for text in (chapter.title, *(block.text for block in chapter.blocks))),
    ]
    assert sorted(re.findall(r"\w+", " ".join(said))) == sorted(
        re.findall(r"\w+", re.sub(r"<[^>]*>", "", "".join(parts).replace("</w:p>", " ")))
    )


@pytest.mark.skipif(shutil.which("pandoc") is None, reason="pandoc is not installed")
def test_document_of_pandoc(tmp_path):
    source = "---\ntitle: Book\nauthor: Ann\n---\n\n# One\n\nThe *first* text[^1].\n\n- a\n- b\n\n> quoted\n\n| A | B |\n|---|---|\n| 1 | 2 |\n\n# Two\n\nEnd.\n\n[^1]: Note."
    path = tmp_path / "book.docx"
    subprocess.run(["pandoc", "-f", "markdown", "-o", str(path)], input=source, text=True, check=True)
    book = read_docx(path.read_bytes(), "inline")
    assert (book.title, book.author, [chapter.title for chapter in book.chapters]) == (
        "Book",
        "Ann",
        ["", "One", "Two"],
    )
    assert [block.text for chapter in book.chapters[1:] for block in chapter.blocks] == [
        "The first text (Note.).",
        "a",
        "b",
        "quoted",
        "A, B.",
        "1, 2.",
        "End.",
    ]
