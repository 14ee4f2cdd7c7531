"""EPUB 2 and 3: chapters by the table of contents, in reading order, with what is not the book's own text told apart."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from books import CONTAINER, FONTS, JPEG, PNG, Epub
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError
from bark_infinity.readers import archive, epub_package
from bark_infinity.readers.book import Book
from bark_infinity.readers.epub import read_epub

ONE = {"one.xhtml": "<h1>One</h1><p>First.</p>", "two.xhtml": "<h1>Two</h1><p>Second.</p>"}
TOC = [("One", "one.xhtml"), ("Two", "two.xhtml")]


def shown(book: Book) -> list[tuple[str, str, str | None]]:
    """Title, text and role of each chapter."""
    return [(c.title, " / ".join(b.text or "***" for b in c.blocks), c.role) for c in book.chapters]


def read(*arguments, footnotes="skip", **parts) -> list[tuple[str, str, str | None]]:
    return shown(read_epub(Epub(*arguments, **parts).write(), footnotes))


EXPECTED = [("One", "One / First.", None), ("Two", "Two / Second.", None)]


# ---- tables of contents ---------------------------------------------------------------------------------------------


def test_nav_or_else_ncx_or_else_headings():
    assert read(ONE, TOC) == EXPECTED
    assert read(ONE, None, TOC) == EXPECTED
    assert read(ONE, [], TOC) == EXPECTED  # a nav without entries
    assert read(ONE, None) == EXPECTED
    assert read(ONE, TOC, [("Other", "one.xhtml")]) == EXPECTED  # nav wins


def test_a_book_of_one_document_without_contents_has_chapters_by_headings():
    whole = {"all.xhtml": ONE["one.xhtml"] + ONE["two.xhtml"]}
    assert read(whole, None) == [("One", "First.", None), ("Two", "Second.", None)]


def test_documents_are_cut_at_fragments():
    body = (
        "<section id='a'><h1>One</h1><p>First.</p></section><h1><a id='b'/>Two</h1><p>Second.</p>"
        "<p>Third<a name='c'></a> here.</p><table><tr id='d'><td>x</td><td>y</td></tr></table><p><span epub:type='pagebreak' id='e'>9</span></p>"
    )
    entries = [(name.upper(), f"all.xhtml#{name}") for name in "abcde"]
    assert read({"all.xhtml": body}, entries) == [
        ("A", "One / First.", None),
        ("B", "Two / Second.", None),
        ("C", "Third here.", None),
        ("D", "x, y.", None),
        ("E", "", None),
    ]


def test_entries_in_disorder_and_at_the_same_place():
    entries = [
        ("Two", "two.xhtml#top"),
        ("Part: I", "one.xhtml"),
        ("One", "one.xhtml#gone"),
        ("Away", "http://a/b"),
        ("Lost", "no.xhtml"),
    ]
    assert read(ONE, entries) == [("Part: I: One", "One / First.", None), ("Two", "Two / Second.", None)]


def test_nested_contents_are_chapters_of_all_levels():
    nav = '<html><nav epub:type="page-list"><a href="two.xhtml">9</a></nav><nav epub:type="toc"><h2>Contents</h2><ol><li><a href="one.xhtml">One <i>x</i></a><ol><li><span>None</span><ol><li><a href="two.xhtml">Two</a></li></ol></li></ol></li></ol></nav></html>'
    book = read(ONE, [], files={"OEBPS/nav.xhtml": nav})
    assert [title for title, *_ in book] == ["One x", "Two"]


def test_documents_that_are_not_listed_go_on_with_the_chapter_before():
    documents = {"one.xhtml": "<p>A.</p>", "one_split_1.xhtml": "<p>B.</p>", "two.xhtml": "<p>C.</p><h1 id='x'>X</h1>"}
    assert read(documents, [("One", "one.xhtml"), ("X", "two.xhtml#x")]) == [
        ("One", "A. / B. / C.", None),
        ("X", "X", None),
    ]


def test_a_broken_nav_is_no_hindrance():
    for nav in (
        b"\xff\xfe\x00",
        "<html><nav epub:type='toc'><ol><li><a>",
        "no markup",
        "<nav epub:type='toc'><a href='%'>x</a>",
    ):
        assert read(ONE, [], files={"OEBPS/nav.xhtml": nav}) == EXPECTED


def test_paths_are_relative_encoded_and_in_any_case():
    package = (
        '<package><metadata/><manifest><item id="a" href="../Text/Kapitel%20%C3%A9.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="n" href="Nav/nav.xhtml" properties="nav" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>'
    )
    nav = '<nav epub:type="toc"><a href="../../text/kapitel%20%c3%a9.xhtml#z">Z</a></nav>'
    files = {"OEBPS/book.opf": package, "Text/Kapitel é.xhtml": "<p>A.</p><p id='z'>B.</p>", "OEBPS/Nav/nav.xhtml": nav}
    assert read({}, None, files=files) == [("", "A.", None), ("Z", "B.", None)]


def test_windows_paths_and_a_missing_container():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("OEBPS\\book.opf", Epub(ONE, None)._package())
        for path, body in ONE.items():
            file.writestr(f"OEBPS\\{path}", body)
    assert shown(read_epub(data.getvalue(), "skip")) == EXPECTED


SECTIONS = st.lists(st.lists(st.sampled_from(("h1", "p", "li", "div")), min_size=1, max_size=3), min_size=1, max_size=4)


@given(st.lists(SECTIONS, min_size=2, max_size=4), st.data())
def test_wherever_a_book_is_cut_every_word_is_read_once_and_in_order(documents, data):
    """`documents`: for each document the tags in each of its sections."""
    words, bodies, links = [], {}, []
    for d, sections in enumerate(documents):
        links.append(f"{d}.xhtml")
        body = ""
        for k, tags in enumerate(sections):
            links.append(f"{d}.xhtml#s{k}")
            texts = [f"w{d}-{k}-{n}" for n in range(len(tags))]
            words += texts
            inside = "".join(f"<{tag}>{text}</{tag}>" for tag, text in zip(tags, texts, strict=True))
            body += data.draw(st.sampled_from((f"<section id='s{k}'>{inside}</section>", f"<a id='s{k}'></a>{inside}")))
        bodies[f"{d}.xhtml"] = body
    toc = data.draw(st.lists(st.sampled_from(links), max_size=6))
    read = read_epub(Epub(bodies, [(f"Title {link}", link) for link in toc]).write(), "skip").chapters
    assert [block.text for chapter in read for block in chapter.blocks] == words
    for chapter in read:
        if len(chapter.title) == len("Title 0.xhtml#s0"):  # of one entry, with an id
            assert chapter.blocks[0].text == f"w{chapter.title[6]}-{chapter.title[-1]}-0"


# ---- the spine ------------------------------------------------------------------------------------------------------


def test_reading_order_is_that_of_the_spine():
    spine = "<itemref idref='d1'/><itemref idref='d0'/><itemref idref='d1'/><itemref idref='absent'/>"
    assert read(ONE, TOC, spine=spine) == EXPECTED[::-1]
    assert read(ONE, TOC, spine="") == EXPECTED  # a broken package
    assert read(ONE, TOC, spine="<itemref idref='nothing'/>") == EXPECTED


def test_documents_outside_of_the_reading_order_are_skipped():
    spine = "<itemref idref='d0'/><itemref idref='d1' linear='no'/>"
    assert read(ONE, TOC[:1], spine=spine) == [EXPECTED[0], ("Two", "Two / Second.", "outside of the reading order")]


def test_missing_documents_are_left_out():
    items = "<itemref idref='d0'/><itemref idref='gone'/><itemref idref='d1'/>"
    gone = '<item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/><item id="i" href="x.png" media-type="image/png"/>'
    assert read(ONE, TOC, spine=items, items=gone) == EXPECTED
    with pytest.raises(TextError, match="no readable document"):
        read({}, None, items=gone)


# ---- roles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "role"),
    [
        ("<section epub:type='titlepage'><p>A Book</p></section>", "title page"),
        ("<div><div role='doc-index'><p>lamp, 3</p></div></div>", "index"),
        ("<section epub:type='backmatter copyright-page'><p>Mine.</p></section>", "copyright"),
        ("<section epub:type='endnotes'><p>1. A note.</p></section>", "notes"),
        ("<section epub:type='bibliography'><p>A. Quill</p></section>", "bibliography"),
        ("<section epub:type='dedication'><p>For you.</p></section>", None),
    ],
)
def test_roles_by_type(body, role):
    first, *_ = read({"extra.xhtml": body, **ONE}, TOC)
    assert first[2] == role and first[1]
    assert read({**ONE, "extra.xhtml": body}, [*TOC, ("Extra", "extra.xhtml")])[2][2] == role


def test_roles_by_landmarks_and_guide():
    extra = {"extra.xhtml": "<p>lamp, 3</p>", **ONE}
    guide = "<reference type='index' href='extra.xhtml'/><reference type='text' href='one.xhtml'/>"
    assert read(extra, TOC, guide=guide)[0] == ("", "lamp, 3", "index")
    links = "".join(f"<li><a href='{path}'>{title}</a></li>" for title, path in TOC)
    nav = f"<nav epub:type='landmarks'><a epub:type='bibliography' href='extra.xhtml'>B</a></nav><nav epub:type='toc'><ol>{links}</ol></nav>"
    assert read(extra, [], files={"OEBPS/nav.xhtml": nav})[0][2] == "bibliography"


@pytest.mark.parametrize(
    ("path", "body", "role"),
    [
        ("cover.xhtml", "<img src='c.png' alt='Cover'/>", "cover"),
        ("titlepage.xhtml", "<p>Whatever</p>", "title page"),
        ("p1.xhtml", "<p>A BOOK</p><p>Ann</p>", "title page"),
        ("p1.xhtml", "<p>© 2020 Ann. All rights reserved.</p>", "copyright"),
        ("p1.xhtml", "<h1>Contents</h1><p>One</p>", "contents"),
        ("p1.xhtml", "<p>To my mother.</p>", None),
    ],
)
def test_roles_of_pages_before_the_first_chapter(path, body, role):
    assert read({path: body, **ONE}, TOC)[0][2] == role


def test_a_listed_title_page_is_known_by_its_title():
    documents = {"t.xhtml": "<h1>A Book</h1><p>by Ann</p>", **ONE}
    assert read(documents, [("A Book", "t.xhtml"), *TOC])[0][2] == "title page"
    story = {"t.xhtml": f"<h1>A Book</h1><p>{'Once. ' * 100}</p>"}
    assert read(story, [("A Book", "t.xhtml")])[0][2] is None


def test_a_nav_in_the_spine_is_no_chapter_of_the_text():
    spine = "<itemref idref='d0'/><itemref idref='nav'/><itemref idref='d1'/>"
    assert read(ONE, TOC, spine=spine) == [EXPECTED[0], ("", "One / Two", "contents"), EXPECTED[1]]


# ---- metadata, footnotes --------------------------------------------------------------------------------------------


def test_metadata():
    head = (
        "<dc:language>de</dc:language><dc:creator id='a'>Ann  B</dc:creator><dc:creator opf:role='ill'>Ivo</dc:creator>"
        "<dc:creator id='c'>Cem</dc:creator><meta refines='#a' property='role'>aut</meta><meta refines='#c' property='role'>aut</meta>"
    )
    book = read_epub(Epub(ONE, TOC, title="Über & <alles>", head=head).write(), "skip")
    assert (book.title, book.author, book.language) == ("Über & <alles>", "Ann B, Cem", "de")
    bare = read_epub(
        Epub(ONE, TOC, title="", head="<dc:creator>Ann</dc:creator><dc:creator>Bob</dc:creator>").write(), "skip"
    )
    assert (bare.title, bare.author, bare.language) == (None, "Ann, Bob", None)


@pytest.mark.parametrize(
    "parts",
    [
        {"items": "<item id='i' href='i.jpg' media-type='image/jpeg' properties='cover-image'/>"},
        {"items": "<item id='i' href='i.jpg' media-type='image/jpeg'/>", "head": "<meta name='cover' content='i'/>"},
        {
            "guide": "<reference type='cover' href='c.html'/>",
            "files": {"OEBPS/c.html": "<svg><image xlink:href='i.jpg'/></svg>"},
        },
        {"guide": "<reference type='cover' href='i.jpg'/>"},
        {"items": "<item id='x' href='cover.png' media-type='image/png'/>", "files": {"OEBPS/cover.png": JPEG}},
    ],
)
def test_cover(parts):
    parts = {**parts, "files": {"OEBPS/i.jpg": JPEG, **parts.get("files", {})}}
    assert read_epub(Epub(ONE, TOC, **parts).write(), "skip").cover == JPEG


def test_a_cover_is_a_jpeg_or_a_png():
    item = "<item id='i' href='i.png' media-type='image/png' properties='cover-image'/>"
    for image, cover in ((PNG, PNG), (b"GIF89a", None), (b"<svg/>", None)):
        assert read_epub(Epub(ONE, TOC, items=item, files={"OEBPS/i.png": image}).write(), "skip").cover == cover
    assert read_epub(Epub(ONE, TOC, items=item).write(), "skip").cover is None


def test_footnotes_in_another_document():
    documents = {
        "one.xhtml": "<p>Word<a epub:type='noteref' href='notes.xhtml#n1'>1</a>, and more.</p>",
        "notes.xhtml": "<section epub:type='endnotes'><h1>Notes</h1><ol><li id='n1'><p>It is <i>so</i>. <a href='one.xhtml#r'>back</a></p></li></ol></section>",
    }
    toc = [("One", "one.xhtml"), ("Notes", "notes.xhtml")]
    assert read(documents, toc)[0][1] == "Word, and more."
    assert read(documents, toc, footnotes="inline")[0][1] == "Word (It is so. back), and more."
    assert read(documents, toc)[1] == ("Notes", "Notes / It is so. back", "notes")  # for who asks for that chapter


# ---- broken and hostile ones ----------------------------------------------------------------------------------------


def refused(data: bytes) -> str:
    with pytest.raises(TextError) as error:
        read_epub(data, "skip")
    message = str(error.value)
    assert "\n" not in message and len(message) < 300
    return message


def encryption(algorithm: str) -> dict[str, bytes | str]:
    return {
        "META-INF/encryption.xml": f"<encryption><enc:EncryptedData><enc:EncryptionMethod Algorithm='{algorithm}'/></enc:EncryptedData></encryption>"
    }


def test_encrypted_books_are_refused_but_not_obfuscated_fonts():
    assert read(ONE, TOC, files=encryption(FONTS)) == EXPECTED
    assert "encrypted (DRM)" in refused(
        Epub(ONE, TOC, files=encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc")).write()
    )
    data = bytearray(Epub(ONE, TOC).write())
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:  # every file has a password
        data[at + 8] |= 1
        at += 4
    assert "password" in refused(bytes(data))


def test_what_is_no_epub():
    assert "no zip archive" in refused(b"Hello.")
    data = Epub(ONE, TOC).write()
    for broken in (
        data[:-30],
        data[:200],
        b"PK\x03\x04",
        data[: len(data) // 2] + bytes(50) + data[len(data) // 2 + 50 :],
    ):
        assert refused(broken)
    assert "no package document" in refused(
        Epub({}, None, files={"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": ""})
        .write()
        .replace(b"book.opf", b"book.xxx")
    )


def test_a_file_without_a_name_is_passed_over():
    data = Epub(ONE, TOC, files={"nameless": "?"}).write().replace(b"nameless", b"\0ameless")  # names end at a zero
    assert read_epub(data, "skip") == read_epub(Epub(ONE, TOC).write(), "skip")


def test_zip_bombs_are_not_unpacked(monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 150_000)
    bomb = {"one.xhtml": "<p>" + "a" * 1_000_000}
    assert "one.xhtml in it is larger" in refused(Epub(bomb, [("One", "one.xhtml")]).write())
    many = {f"{k}.xhtml": "<p>" + "a" * 40_000 for k in range(5)}
    assert "is larger than" in refused(Epub(many, None).write())


def test_a_cover_that_is_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 100_000)
    item = "<item id='i' href='i.png' media-type='image/png' properties='cover-image'/>"
    assert "i.png in it is larger" in refused(
        Epub(ONE, TOC, items=item, files={"OEBPS/i.png": PNG + bytes(200_000)}).write()
    )


def test_too_many_files_entries_and_documents(monkeypatch):
    data = Epub({f"{k}.xhtml": "<p>a</p>" for k in range(30)}, [(str(k), f"{k}.xhtml") for k in range(30)]).write()
    assert len(read_epub(data, "skip").chapters) == 30
    for module, name, message in (
        (archive, "MAX_FILES", "more than 9 files"),
        (archive, "MAX_DIRECTORY_BYTES", "files; split the book"),
        (epub_package, "MAX_ENTRIES", "table of contents has more than 9 entries"),
        (epub_package, "MAX_DOCUMENTS", "more than 9 documents"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 9)
            assert message in refused(data)


def test_zip64_lists_are_refused_before_they_are_read():
    data = Epub(ONE, TOC).write()
    end = data.rfind(b"PK\x05\x06")
    assert "more than" in refused(data[:end] + b"PK\x06\x07" + bytes(16) + data[end:])


def test_paths_do_not_climb_out():
    Path("secret.xhtml").write_text("<p>secret</p>")
    outside = Path.cwd() / "secret.xhtml"
    documents = {"one.xhtml": "<p>One.</p>"}
    items = "".join(
        f'<item id="x{k}" href="{path}" media-type="application/xhtml+xml"/>'
        for k, path in enumerate(("../../../../secret.xhtml", str(outside), f"file://{outside}", "..", ""))
    )
    spine = "<itemref idref='d0'/>" + "".join(f"<itemref idref='x{k}'/>" for k in range(5))
    assert read(documents, [("One", "one.xhtml")], items=items, spine=spine) == [("One", "One.", None)]


def test_endless_and_nested_contents():
    nav = "<nav epub:type='toc'>" + "<ol><li><a href='one.xhtml'>x</a>" * 10_000
    assert read(ONE, [], files={"OEBPS/nav.xhtml": nav})[0][0] == "x"
    ncx = "<ncx>" + "<navPoint><navLabel>x</navLabel><content src='one.xhtml'/>" * 10_000
    assert read(ONE, None, [], files={"OEBPS/toc.ncx": ncx})[0][0] == "x"


def test_entities_are_not_expanded():
    package = '<!DOCTYPE package [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY a "' + "b" * 1000 + '">]>'
    head = f"<dc:language>{'&a;' * 10}&x;</dc:language>"
    epub = Epub(
        {"one.xhtml": f"<?xml version='1.0'?>{package}<html><body><p>&x;&a;</p></body></html>"}, None, head=head
    )
    book = read_epub(epub.write(), "skip")
    assert book.language == "&a;" * 10 + "&x;" and shown(book) == [("", "&x;&a;", None)]


def test_footnotes_that_contain_each_other_are_bounded():
    body = "".join(f"<div id='n{k}'>{'a' * 1000}" for k in range(140)) + "</div>" * 140
    marks = "".join(f"<a epub:type='noteref' href='#n{k}'>1</a>" for k in range(140)) * 20
    ((_, text, _),) = read({"one.xhtml": f"<p>{marks}</p>{body}"}, [("One", "one.xhtml")], footnotes="inline")
    assert len(text) < 140 * 21_000 + 200_000


@given(st.data())
def test_damaged_books_give_a_book_or_a_sentence(data):
    content = bytearray(Epub({"one.xhtml": "<h1 id='a'>One</h1><p>First.</p>"}, [("One", "one.xhtml#a")]).write())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_epub(bytes(content), "inline")
    except TextError as error:
        assert "\n" not in str(error)


# ---- a second opinion -----------------------------------------------------------------------------------------------

MARKDOWN = """---
title: "The Lamp and the Sea"
author: [Ada Quill, Ben Marsh]
lang: en-GB
---

# Dedication

To my mother.

# Part One

## Chapter 1: Arrival

The boat came in at dawn.[^1] Nobody was there.

[^1]: At five.

* * *

Later, the *keeper* came.

| Name  | Age |
|-------|-----|
| Anna  | 12  |

![A lighthouse at night](lamp.png)

``` python
print("code")
```

## Chapter 2

It rained.
"""


@pytest.mark.parametrize("version", ["epub2", "epub3"])
def test_books_of_pandoc(version):
    if shutil.which("pandoc") is None:
        pytest.skip("needs pandoc")
    Path("book.md").write_text(MARKDOWN)
    Path("lamp.png").write_bytes(PNG)
    subprocess.run(
        ["pandoc", "book.md", "-t", version, "-o", "book.epub", "--epub-cover-image", "lamp.png"], check=True
    )
    book = read_epub(Path("book.epub").read_bytes(), "inline")
    assert (book.title, book.author, book.language, book.cover) == (
        "The Lamp and the Sea",
        "Ada Quill, Ben Marsh",
        "en-GB",
        PNG,
    )
    assert [(title, text) for title, text, role in shown(book) if role is None] == [
        ("Dedication", "Dedication / To my mother."),
        ("Part One", "Part One"),
        (
            "Chapter 1: Arrival",
            "Chapter 1: Arrival / The boat came in at dawn. (At five.) Nobody was there. / *** / Later, the keeper came. / "
            "Name, Age. / Anna, 12. / A lighthouse at night",
        ),
        ("Chapter 2", "Chapter 2 / It rained."),
    ]
