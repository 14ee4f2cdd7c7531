"""HTML as a book: what is read of it and what is not, and where chapters begin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError
from bark_infinity.readers import html
from bark_infinity.readers.book import Block, Book
from bark_infinity.readers.html import read_html


def book_of(body: str, footnotes="skip", head: str = "") -> Book:
    return read_html(f"<html lang='en'><head>{head}</head><body>{body}</body></html>".encode(), footnotes)


def texts(body: str, footnotes="skip") -> list[str]:
    """The titles of chapters with # before them, and the texts of their blocks; *** for scene breaks."""
    marks = {"paragraph": "", "heading": "## ", "scene_break": "***"}
    read: list[str] = []
    for chapter in book_of(body, footnotes).chapters:
        read += [f"# {chapter.title}"] if chapter.title else []
        read += [marks[block.kind] + block.text for block in chapter.blocks]
    return read


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>One\n two.</p><p>Three <b>fo</b>ur.</p>", ["One two.", "Three four."]),
        ("<div>One<p>Two</p>Three</div>", ["One", "Two", "Three"]),
        ("<p>One<br/>two<br>\n<br>three</p>", ["One two", "three"]),
        ("<h2>CHAPTER I<br/>The Sea</h2><p>x</p>", ["# CHAPTER I. The Sea", "x"]),
        ("<p>A</p><hr/><p>B</p><p>* * *</p><p>C</p>", ["A", "***", "B", "***", "C"]),
        ("<p>ex\u00adam\u00adple and zero\u200bwidth</p>", ["example and zerowidth"]),
        ("<p>a</p><script>b</script><style>c</style><template>d</template><noscript>e</noscript>", ["a"]),
        ("<p>a <span hidden>b</span><i style='display: none'>c</i><u aria-hidden='true'>d</u></p>", ["a"]),
        ("<pre><code>x = 1</code></pre><pre class='listing'>y</pre><div class='sourceCode'>z</div>", []),
        ("<pre>Roses are red,\nviolets are blue.</pre>", ["Roses are red, violets are blue."]),
        ("<p>Run <code>ls</code> now.</p>", ["Run ls now."]),
        ("<nav><a href='x'>Home</a></nav><p>a</p><div role='doc-toc'>Contents</div>", ["a"]),
        ("<p>See p. <span epub:type='pagebreak'>12</span>there.</p>", ["See p. there."]),
        (
            "<p>And <span class='pagenum'>[Pg 12]</span>so on.</p><div class='pagebreak'>Kept.</div>",
            ["And so on.", "Kept."],
        ),
        (
            "<section class='pg-boilerplate'><p>Gutenberg</p></section><h2>A<span class='mw-editsection'>[edit]</span></h2>",
            ["# A"],
        ),
        ("<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字</p>", ["漢字"]),
        ("<ul><li>One</li><li><p>Two</p><ol><li>Three</li></ol></li></ul>", ["One", "Two", "Three"]),
        ("<dl><dt>Term</dt><dd>What it means.</dd></dl>", ["Term", "What it means."]),
        ("<p><math alttext='x squared'><mi>x</mi></math> and <math><mi>y</mi></math></p>", ["x squared and y"]),
        ("<p><span>T</span>he old man</p>", ["The old man"]),
    ],
)
def test_blocks(body, expected):
    assert texts(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p><img alt='A red house' src='x.png'/></p>", ["A red house"]),
        ("<p>Look: <img alt='a fox'>!</p>", ["Look: a fox !"]),
        ("<p><img alt='T'/>he end.</p>", ["The end."]),
        (
            "<img alt=''/><img alt='img_01.JPG'/><img alt='Cover'/><img alt='Figure 3'/><img alt='x y' role='presentation'/>",
            [],
        ),
        ("<figure><img alt='A fox'/><figcaption>A fox</figcaption></figure>", ["A fox"]),
        ("<figure><img alt='A fox'/><figcaption>By Ann.</figcaption></figure>", ["A fox", "By Ann."]),
    ],
)
def test_images_are_read_by_their_text(body, expected):
    assert texts(body) == expected


def test_tables_are_read_row_by_row():
    table = "<table><caption>Ages</caption><tr><th>Name</th><th>Age</th></tr><tr><td>Anna</td><td><p>12</p><p>or so.</p></td></tr></table>"
    assert texts(table) == ["Ages", "Name, Age.", "Anna, 12 or so."]
    nested = "<table><tr><td><table><tr><td>a</td><td>b!</td><td>c</td></tr></table></td></tr></table>"
    assert texts(nested) == ["a, b! c."]
    assert texts("<table><tr><td><p>Only</p><p>placed.</p></td></tr></table>") == ["Only", "placed."]


@pytest.mark.parametrize(
    "marked",
    [
        "A word[15].",
        "A word [3, 4].",
        "A word[*].",
        "A word.¹²",
        "A word<sup>12</sup>.",
        "A word<sup><a href='n.html'>12</a></sup>.",
        "A word<a href='#x1'><sup>1</sup></a>.",
        "A word<sup class='reference'><a href='#cite-1'>[1]</a></sup>.",
        "A word<a epub:type='noteref' href='x'>see</a>.",
        "A word<a role='doc-noteref' href='#x'>*</a>.",
        "A word<a class='footnote-ref' href='#fn1'>1</a>.",
        "A word<a href='#note3'>3</a>.",
        "A word†.",
    ],
)
def test_marks_of_footnotes_are_not_spoken(marked):
    assert texts(f"<p>{marked}</p>") == ["A word."]


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        ("12 m² and x³", None),
        ("10<sup>5</sup> and mc<sup>2</sup>", "10⁵ and mc²"),
        ("the 1<sup>st</sup> of May", "the 1st of May"),
        ("[a] great man said [laughs]", None),
        ("<a href='#c3'>Chapter 3</a> and <a href='ch4.html'>4</a>", "Chapter 3 and 4"),
        ("2 * 3", None),
    ],
)
def test_what_only_looks_like_a_mark_is_spoken(kept, read):
    assert texts(f"<p>{kept}</p>") == [read or kept]


NOTES = (
    "<p>One<a id='r1' href='#n1'><sup>1</sup></a>, two.<a class='noteref' href='#n2'>*</a> Three.<a href='#n1'><sup>1</sup></a></p>"
    "<p id='n1'><a href='#r1'>1.</a> The first.</p><aside id='n2' epub:type='footnote'><p>* The <b>second</b>. "
    "<a href='#r2' role='doc-backlink'>↩</a></p></aside><div class='footnotes'><p>Third.</p></div>"
)


def test_footnotes_are_skipped_or_spoken_at_their_marks():
    assert texts(NOTES) == ["One, two. Three."]
    assert texts(NOTES, "inline") == ["One (The first.), two. (The second.) Three."]


def test_footnotes_whose_label_has_the_id():
    body = "<p>A.<a href='#fn9'><sup>9</sup></a></p><ol class='footnotes'><li><p><a name='fn9' href='#r'>[9]</a> Nine.</p></li></ol>"
    assert texts(body, "inline") == ["A. (Nine.)"]


def chapters(body: str) -> list[tuple[str, int]]:
    """Titles, and numbers of blocks."""
    return [(chapter.title, len(chapter.blocks)) for chapter in book_of(body).chapters]


def test_headings_begin_chapters():
    assert chapters("<h1>One</h1><p>a</p><h2>Sub</h2><p>b</p><h1>Two</h1><p>c</p>") == [("One", 3), ("Two", 1)]
    assert chapters("<h1>Book</h1><p>by A</p><h2>One</h2><p>a</p><h2>Two</h2><p>b</p>") == [
        ("", 1),
        ("One", 1),
        ("Two", 1),
    ]
    assert chapters("<p>Before.</p><h1>One</h1><p>a</p>") == [("", 1), ("One", 1)]
    assert chapters("<p>No heading.</p>") == [("", 1)]
    assert chapters("<h3>Only</h3><p>a</p>") == [("Only", 1)]
    assert chapters("") == []
    assert chapters("<div role='heading' aria-level='1'>One</div><p>a</p>") == [("One", 1)]


def test_headings_below_parts_begin_chapters():
    body = "<h1>Part I</h1><h2>One</h2><p>a</p><h2>Two</h2><p>b</p><h1>Part II</h1><h2>Three</h2><p>c</p><h3>Sub</h3><p>d</p>"
    expected = [("Part I. One", 1), ("Two", 1), ("Part II. Three", 3)]
    assert chapters(body) == expected
    assert chapters(f"<h1>Preface</h1><p>p</p><h2>Aside</h2><p>q</p>{body}") == [("Preface", 3), *expected]


def test_what_a_page_says_of_itself():
    book = book_of("<h1>One</h1><p>a</p>", head="<title>My  book</title><meta name='author' content='Ann'><meta name='Author' content='Bob'>")  # fmt: skip
    assert (book.title, book.author, book.language, book.cover) == ("My book", "Ann, Bob", "en", None)
    assert book_of("<h1>One</h1><h2>A</h2><h2>B</h2><p>a</p>").title == "One" and book_of("<p>a</p>").title is None


def test_only_the_main_part_of_a_page_is_read():
    assert texts("<header>Site</header><main><p>Text.</p></main><footer>About</footer>") == ["Text."]


def test_a_page_has_a_greatest_length(monkeypatch):
    monkeypatch.setattr(html, "MAX_BYTES", 10)
    with pytest.raises(TextError, match="more than the 0 MB"):
        read_html(b"<p>Hello there.</p>", "skip")


def test_many_line_ends_and_nested_tables_take_bounded_time():
    texts("<p>" + "a<br>" * 50_000 + "</p>")
    texts("<table><tr><td>a</td><td>" * 100 + "b")


@given(st.text(alphabet="<>/!&;[]\"'= aphbrtdsu1²*#\n", max_size=100), st.sampled_from(("skip", "inline")))
def test_any_page_is_read(text, footnotes):
    book = read_html(text.encode(), footnotes)
    assert all(isinstance(b, Block) and b.text == " ".join(b.text.split()) for c in book.chapters for b in c.blocks)


FOX = ["Ann", "saw", "the", "red", "fox", "near", "a", "lake", "and", "it", "ran", "off", "again"]
WORDS = st.lists(st.sampled_from(FOX), min_size=1, max_size=9).map(" ".join)


TAGS = st.sampled_from(("p", "h1", "h2", "li", "blockquote", "div"))


@given(st.lists(st.tuples(TAGS, WORDS), min_size=1, max_size=12))
def test_every_word_is_read_once(parts):
    book = book_of("".join(f"<{tag}>{text}</{tag}>\n" for tag, text in parts))
    read = [book.title or "", *(text for c in book.chapters for text in (c.title, *(b.text for b in c.blocks)))]
    assert sorted(" ".join(read).replace(".", "").split()) == sorted(" ".join(text for _, text in parts).split())
    paragraphs = [text for tag, text in parts if tag[0] != "h"]
    assert [b.text for c in book.chapters for b in c.blocks if b.kind == "paragraph"] == paragraphs
