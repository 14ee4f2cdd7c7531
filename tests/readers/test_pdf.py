"""Reading PDF files as books."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf_files import Entry, Text, column, file_of_objects, pdf_file, pdf_of_contents

from bark_infinity.errors import TextError, UsageError
from bark_infinity.readers import pdf_lines
from bark_infinity.readers.book import Block, Book
from bark_infinity.readers.pdf import looks_like_pdf, read_pdf

# Lines of running text are about as long as these:
TEXT = "the man and the woman went to the river in the evening and it was cold and dark when they came to it at last so"
WORDS = TEXT.split()
HELLO = b"BT /F 10 Tf 72 700 Td (Hello there, this is the text of a page.) Tj ET "


def prose(n_lines: int, seed: int = 0) -> list[str]:
    """Full lines of a paragraph, the last one short, all different."""
    lines = []
    for k in range(n_lines):
        turned = WORDS[(seed + k) % 20 :] + WORDS[: (seed + k) % 20]
        lines.append(f"w{seed}x{k} {' '.join(turned[:14])}")
    lines[0] = lines[0].capitalize()
    return [*lines, f"to the end {chr(97 + seed)}."]


def paragraphs(book: Book) -> list[str]:
    return [block.text for chapter in book.chapters for block in chapter.blocks]


def said(book: Book) -> str:
    return " ".join(
        text for chapter in book.chapters for text in (chapter.title, *(block.text for block in chapter.blocks))
    )


# ---- paragraphs ------------------------------------------------------------------------------------------------------


def test_lines_are_joined_to_paragraphs_by_indents_gaps_and_short_lines():
    indented = [f"   {prose(2, 1)[0]}", *prose(2, 1)[1:]]
    page = column([*prose(3), *indented, *prose(2, 2), "", prose(2, 3)[0], "", *prose(2, 4)])
    expected = [prose(3), prose(2, 1), prose(2, 2), prose(2, 3)[:1], prose(2, 4)]
    assert paragraphs(read_pdf(pdf_file([page]), "skip")) == [" ".join(lines) for lines in expected]


def test_dialogue_of_indented_lines_has_a_paragraph_for_each():
    page = column([*prose(6), '   "Is it you?"', '   "It is not."', f"   {prose(2, 1)[0]}", *prose(2, 1)[1:]])
    assert paragraphs(read_pdf(pdf_file([page]), "skip"))[1:] == ['"Is it you?"', '"It is not."', " ".join(prose(2, 1))]


def test_items_and_rows_are_paragraphs():
    page = column([*prose(6), "\u2022 First item", "\u2022 second item", "1. Third item", "Ann 3", "Bob 4"])
    assert paragraphs(read_pdf(pdf_file([page]), "skip"))[1:] == [
        "First item",
        "second item",
        "1. Third item",
        "Ann 3",
        "Bob 4",
    ]


def test_paragraphs_and_divided_words_go_on_over_the_end_of_a_page():
    first = column([*prose(8)[:-1], "it was a re-"])
    second = column(["duction of the price of the house in the street by the river and of the", *prose(3, 5)])
    assert paragraphs(read_pdf(pdf_file([first, second]), "skip")) == [
        " ".join(
            [
                *prose(8)[:-1],
                "it was a reduction of the price of the house in the street by the river and of the",
                *prose(3, 5),
            ]
        )
    ]


def test_large_letters_are_headings_and_large_initials_begin_words():
    page = [
        Text("A Heading", y=750, size=16),
        Text("T", y=686, size=30),
        *column(["he" + prose(3)[0], *prose(3)[1:]], y=700),
    ]
    book = read_pdf(pdf_file([page]), "skip")
    assert book.chapters[0].blocks[0] == Block("A Heading", "heading")
    assert paragraphs(book)[1] == "The" + " ".join(prose(3))


def test_ligatures_and_scene_breaks():
    content = "/F 10 Tf 72 700 Td (o\\256ce and more of the text on this page) Tj 0 -40 Td (* * *) Tj 0 -40 Td (The end of the text.) Tj"
    blocks = read_pdf(pdf_of_contents([f"BT {content} ET".encode()]), "skip").chapters[0].blocks
    assert [block.kind for block in blocks] == ["paragraph", "scene_break", "paragraph"]
    assert pdf_lines._cleaned("of\ufb01ce ba\ufb04e\ue000") == "office baffle"


# ---- running heads ---------------------------------------------------------------------------------------------------


def with_heads(n_pages: int, first_number: int = 1) -> list[list[Text]]:
    """Pages with the title at the left, the chapter at the right, and the number of the page in both and below."""
    pages = []
    for k in range(n_pages):
        number = first_number + k
        head = f"{number}   The River" if k % 2 else f"The Door   {number}"
        pages.append([Text(head, y=760, size=9), *column(prose(6, k)), Text(f"- {number} -", x=300, y=30)])
    return pages


def test_running_heads_and_page_numbers_are_dropped():
    assert (
        said(read_pdf(pdf_file(with_heads(6, 17)), "skip")).split()
        == " ".join(" ".join(prose(6, k)) for k in range(6)).split()
    )


def test_a_heading_with_the_words_of_the_head_stays():
    pages = with_heads(4)
    pages[0][0] = Text("The Door", y=720, size=18)
    assert said(read_pdf(pdf_file(pages), "skip")).split()[:3] == ["The", "Door", "W0x0"]


def test_numbers_that_do_not_count_pages_and_headings_of_chapters_stay():
    pages = [[*column([f"Chapter {k + 1}", "", *prose(5, k), "", str(1984 - 5 * k)])] for k in range(4)]
    book = read_pdf(pdf_file(pages), "skip")
    assert [chapter.title for chapter in book.chapters] == [f"Chapter {k + 1}" for k in range(4)]
    assert [chapter.blocks[-1].text for chapter in book.chapters] == [str(1984 - 5 * k) for k in range(4)]


def test_roman_page_numbers_are_dropped():
    pages = [[*column(prose(5, k)), Text(("v", "vi", "vii")[k], x=300, y=30)] for k in range(3)]
    assert said(read_pdf(pdf_file(pages), "skip")).split() == " ".join(" ".join(prose(5, k)) for k in range(3)).split()


# ---- footnotes -------------------------------------------------------------------------------------------------------


def page_with_note(mark: str = "1") -> list[Text]:
    """A page with a raised mark in its second line, and the footnote at its end."""
    first, second, *rest = prose(6)
    marked = [Text("The house", y=686), Text(mark, x=120, y=690, size=6), Text(second, x=128, y=686)]
    note = [Text(f"{mark} The note goes on in the", y=90, size=8), Text("next line.", y=80, size=8)]
    return [Text(first, y=700), *marked, *column(rest, y=672), *note]


@pytest.mark.parametrize("mark", ["1", "*"])
def test_footnotes_are_skipped_or_spoken_where_their_marks_are(mark):
    first, second, *rest = prose(6)
    data = pdf_file([page_with_note(mark)])
    assert said(read_pdf(data, "skip")).split() == [
        *first.split(),
        "The",
        "house",
        *second.split(),
        *" ".join(rest).split(),
    ]
    inline = said(read_pdf(data, "inline"))
    assert "The house (The note goes on in the next line.) " in inline and inline.count("next line") == 1


def test_small_print_without_a_mark_in_the_text_stays():
    page = [*column(prose(6)), Text("1 Small print of the house.", y=90, size=8)]
    assert said(read_pdf(pdf_file([page]), "skip")).endswith("1 Small print of the house.")


def test_raised_digits_that_are_no_marks_stay():
    page = [
        *column(prose(6)),
        Text("It has 30 m", y=500),
        Text("2", x=121.6, y=504, size=6),
        Text("of ground.", x=130, y=500),
    ]
    assert said(read_pdf(pdf_file([page]), "skip")).endswith("It has 30 m² of ground.")


# ---- chapters --------------------------------------------------------------------------------------------------------


def test_outline_gives_the_chapters():
    pages = [
        column(["The River", "by Ann Lee"]),
        column(["Contents", "Chapter 1 . . . . 3", "Chapter 2 . . . . 4"]),
        [*column(["Chapter 1"], size=18), *column(["The Door"], y=670, size=18), *column(prose(5), y=600)],
        [
            *column(prose(5, 1)),
            *column(["Section A", "", *prose(5, 2)], y=500),
            Text("Chapter 2", y=300),
            *column(prose(4, 3), y=200),
        ],
    ]
    outline = [
        Entry("The Door", 2, 760, [Entry("Section A", 3, 510)]),
        Entry("Chapter 2", 3, 320, [Entry("Not there", 3, 210)]),
    ]
    book = read_pdf(pdf_file(pages, outline, {"Title": "The River", "Author": "Ann Lee"}), "skip")
    assert (book.title, book.author, book.language) == ("The River", "Ann Lee", "en")
    assert [(chapter.title, chapter.role) for chapter in book.chapters] == [
        ("", "title page"),
        ("", "contents"),
        ("Chapter 1. The Door", None),
        ("Chapter 2", None),
    ]
    assert [(block.text, block.kind) for block in book.chapters[2].blocks] == [
        (" ".join(prose(5)), "paragraph"),
        (" ".join(prose(5, 1)), "paragraph"),
        ("Section A", "heading"),
        (" ".join(prose(5, 2)), "paragraph"),
    ]
    assert [block.text for block in book.chapters[3].blocks] == ["Not there", " ".join(prose(4, 3))]


def test_without_an_outline_lines_that_name_chapters_begin_them():
    pages = [[*column(["Chapter 1"], size=18), *column(["The Door"], y=670, size=18), *column(prose(5), y=600)]]
    pages.append([*column(["Chapter 2"], size=18), *column(prose(5, 1), y=600)])
    book = read_pdf(pdf_file(pages), "skip")
    assert [chapter.title for chapter in book.chapters] == ["Chapter 1. The Door", "Chapter 2"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [("Microsoft Word - x.docx", None), ("Untitled-1", None), ("book.pdf", None), ("Ä: a b", "Ä: a b")],
)
def test_names_of_files_are_no_titles(title, expected):
    assert read_pdf(pdf_file([column(prose(5))], info={"Title": title}), "skip").title == expected


# ---- files that are refused ------------------------------------------------------------------------------------------


def encrypted(user_password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf_file([column(prose(5))]))))
    writer.encrypt(user_password, "owner", algorithm="RC4-128")
    data = BytesIO()
    writer.write(data)
    return data.getvalue()


def test_a_file_that_opens_without_a_password_is_read():
    assert paragraphs(read_pdf(encrypted(""), "skip")) == [" ".join(prose(5))]


def one_page(stream: bytes, tree: str | None = None) -> bytes:
    return pdf_of_contents([stream], pages=tree)


def packed(content: bytes) -> bytes:
    """A file whose only page has this content, compressed."""
    data = zlib.compress(content, 9)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
    return file_of_objects(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
            3: b"<< >>",
            4: page,
            5: b"<< /Length %d /Filter /FlateDecode >> stream\n%b\nendstream" % (len(data), data),
        }
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pdf_of_contents([b"", b""]), "pictures of pages and no text; have the text recognized"),
        (pdf_of_contents([HELLO.replace(b"Hello", b"Hi")] + [b""] * 20), "pictures of pages"),
        (encrypted("secret"), "encrypted; save a copy that opens without a password"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 100, "damaged"),
        (pdf_file([column(prose(5))])[:400], "damaged"),
        (one_page(HELLO, "<< /Type /Pages /Kids [4 0 R 2 0 R] /Count 2 >>"), "damaged"),
        (one_page(HELLO, f"<< /Type /Pages /Kids [{'4 0 R ' * 30_000}] /Count 30000 >>"), "too large"),
        (packed(HELLO + b" " * 60_000_000), "too large"),
        (packed(HELLO + b"[" * 20_000), "damaged"),
    ],
)
def test_broken_and_hostile_files_are_refused_in_a_sentence(data, message):
    with pytest.raises(TextError, match=message) as error:
        read_pdf(data, "skip")
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def outline_file(*entries: bytes) -> bytes:
    """A page with an outline of objects 8, 9, and so on."""
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R /Outlines 7 0 R >>",
        2: b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        3: b"<< >>",
        4: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        5: b"<< /Length %d >> stream\n%b\nendstream" % (len(HELLO), HELLO),
        7: b"<< /Type /Outlines /First 8 0 R >>",
        **{8 + k: b"<< /Dest [4 0 R /Fit] %b >>" % entry for k, entry in enumerate(entries)},
    }
    return file_of_objects(objects)


@pytest.mark.parametrize(
    "entries",
    [
        [b"/Title (a) /Next 8 0 R /First 8 0 R"],
        [b"/Title (a) /Next 9 0 R /First 9 0 R", b"/Title (b) /Next 8 0 R /First 8 0 R"],
        [b"/Title (a%d) /First %d 0 R /Next %d 0 R" % (k, k + 9, k + 9) for k in range(30)],
        [b"/Title (a%d) /Next %d 0 R" % (k, k + 9) for k in range(11_000)],
        [b"/Title (a%d) /First %d 0 R" % (k, k + 9) for k in range(1000)],
        [b"/Title 7 /Dest (nowhere)"],
    ],
)
def test_endless_outlines_end(entries):
    assert "Hello there" in said(read_pdf(outline_file(*entries), "skip"))


def test_forms_that_place_each_other_end():
    form = (
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X %d 0 R >> >> /Length 60 >> stream\n"
        + b"/X Do " * 10
        + b"\nendstream"
    )
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> /XObject << /X 6 0 R >> >> >>"
    content = HELLO + b"/X Do"
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        3: b"<< >>",
        4: page,
    }
    objects[5] = b"<< /Length %d >> stream\n%b\nendstream" % (len(content), content)
    data = file_of_objects({**objects, **{k: form % (k + 1) for k in range(6, 16)}})
    assert "Hello there" in said(read_pdf(data, "skip"))


def test_limits_of_operators_characters_and_time(monkeypatch):
    data = pdf_file([column(prose(5))])
    for name, value, message in (
        ("MAX_OPERATORS", 10, "too large"),
        ("MAX_LINES", 3, "page 1 has more than 3 lines"),
        ("MAX_CHARACTERS", 10, "more than 10 characters"),
        ("MAX_SECONDS", -1.0, "takes more than"),
    ):
        with monkeypatch.context() as patch, pytest.raises(TextError, match=message):
            patch.setattr(pdf_lines, name, value)
            read_pdf(data, "skip")


def test_warnings_of_the_library_are_not_shown(capsys):
    read_pdf(outline_file(b"/Title (a) /Next 8 0 R"), "skip")
    assert capsys.readouterr() == ("", "")


def test_known_by_content_and_missing_package(monkeypatch):
    data = pdf_file([column(prose(5))])
    assert looks_like_pdf(data) and looks_like_pdf(b"\n" * 9 + data) and not looks_like_pdf(b"Not a PDF.")
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(UsageError, match=r'PDF needs .*pip install "bark-infinity\[books\]"'):
        read_pdf(data, "skip")


LINES = st.lists(
    st.text(alphabet="abc DEF.", min_size=8, max_size=60).map(str.strip).filter(lambda line: len(line) > 3),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(st.lists(LINES, min_size=1, max_size=3))
def test_no_word_is_lost_or_invented(pages):
    numbered = [[f"p{k}l{n} {line}" for n, line in enumerate(lines)] for k, lines in enumerate(pages)]
    letters = "".join("".join(lines) for lines in numbered)
    if len(re.findall(r"\w", letters)) < 10 * len(pages):
        return
    book = read_pdf(pdf_file([column(lines) for lines in numbered]), "skip")
    assert re.findall(r"\w+", said(book)) == re.findall(r"\w+", " ".join(line for lines in numbered for line in lines))


ENGINE = next(filter(shutil.which, ("typst", "chromium", "pdflatex")), None)


@pytest.mark.skipif(ENGINE is None, reason="neither typst, chromium nor pdflatex is installed")
def test_words_of_a_pdf_of_another_engine(tmp_path):
    text = [" ".join(prose(12, k)) for k in range(8)]
    match ENGINE:
        case "typst":
            (tmp_path / "a.typ").write_text(
                '#set page(width: 12cm, height: 12cm, numbering: "1")\n#set par(justify: true)\n' + "\n\n".join(text)
            )
            command = ["typst", "compile", "a.typ", "a.pdf"]
        case "chromium":
            (tmp_path / "a.html").write_text("".join(f"<p>{part}</p>" for part in text))
            command = [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--no-pdf-header-footer",
                "--print-to-pdf=a.pdf",
                "a.html",
            ]
        case _:
            (tmp_path / "a.tex").write_text(
                "\\documentclass{book}\\begin{document}\n" + "\n\n".join(text) + "\n\\end{document}"
            )
            command = ["pdflatex", "a.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert said(read_pdf((tmp_path / "a.pdf").read_bytes(), "skip")).split() == " ".join(text).split()
