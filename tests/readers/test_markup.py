"""Trees of HTML and XML: as a browser's parser sees them, in linear time, without entities of the document's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError
from bark_infinity.readers import markup
from bark_infinity.readers.markup import MAX_DEPTH, Element, decode_markup, parse_markup

PAGE = """<!DOCTYPE html><html lang="de"><head><title>A &amp; B</title><style>p > b {}</style></head>
<body class='x y'><!-- <p>no</p> --><p id=one>Text<br>more <svg:b>bold</svg:b> &nbsp;&#233;<p>next
<ul><li>a<li>b<ul><li>c</ul></ul><script>if (a < b) "</p>"</script><img alt="x > y" src=a.png>a < b & c</body></html>"""


def shape(element: Element) -> list:
    """A tree as nested lists."""
    return [element.tag, *(child if isinstance(child, str) else shape(child) for child in element.children)]


def test_tags_texts_and_attributes():
    body = parse_markup(PAGE).first("body")
    assert body is not None and body.words("class") == {"x", "y"}
    assert body.first("p").get("id") == "one" and body.first("p").text == "Text" + "more bold é"
    assert body.first("img").attributes == {"alt": "x > y", "src": "a.png"}
    assert body.text.endswith("a < b & c") and "if" not in body.text and "no" not in body.text.split()
    assert parse_markup(PAGE).first("title").text == "A & B"


def test_ends_that_are_left_out():
    assert shape(parse_markup("<p>a<p>b<ul><li>c<li>d</ul>e")) == ["", ["p", "a"], ["p", "b"], ["ul", ["li", "c"], ["li", "d"]], "e"]  # fmt: skip
    assert shape(parse_markup("<table><tr><td>a<td>b<tr><td>c</table>")) == [
        "", ["table", ["tr", ["td", "a"], ["td", "b"]], ["tr", ["td", "c"]]]
    ]  # fmt: skip
    assert shape(parse_markup("<b>a</i>b</b></b>c")) == ["", ["b", "a", "b"], "c"]


def test_xml_has_elements_of_any_name_and_empty_ones():
    assert shape(parse_markup("<opf:meta name='a'/><META>x</META><a/>b", xml=True)) == ["", ["meta"], ["meta", "x"], ["a"], "b"]  # fmt: skip
    assert shape(parse_markup("<p><a id='x'/>b</p><![CDATA[<i>&amp;]]>")) == ["", ["p", ["a"], "b"], "<i>&amp;"]


def test_entities_of_the_document_stay_text():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]><p>&b;&f;</p>'
    assert parse_markup(bomb, xml=True).text == "&b;&f;"


def test_deep_elements_are_beside_each_other():
    root = parse_markup("<div>" * 5000 + "deep" + "</div>" * 5000 + "<p>end</p>")
    depth, element = 0, root.first("div")
    while element is not None:
        depth, element = depth + 1, next(iter(element.elements), None)
    assert depth <= MAX_DEPTH and root.text == "deepend"


def test_too_many_elements_are_refused(monkeypatch):
    monkeypatch.setattr(markup, "MAX_ELEMENTS", 10)
    assert parse_markup("<i></i>" * 10).elements
    with pytest.raises(TextError, match="more than 10 elements"):
        parse_markup("<i></i>" * 11)


@pytest.mark.parametrize(
    "part", ["<!--", "<a ", '<a "', "<a b='", "<![CDATA[", "<!x[", "<?", "</", "<script>", '<a "><a b=\'"']
)
def test_unclosed_markup_takes_linear_time(part, monkeypatch):
    """Searches that begin again and again would read a document of 400,000 characters for minutes."""
    monkeypatch.setattr(markup, "MAX_ELEMENTS", 10**9)
    parse_markup(part * (400_000 // len(part)))


@given(st.text(alphabet="<>/!-?&;[]\"'= abp1#\n", max_size=80))
def test_any_text_is_read(text):
    root = parse_markup(text)
    assert all(element.parent is not None for element in root.all())


WORDS = st.text(alphabet="abc é&<>\"'", min_size=1, max_size=8)
TREES = st.recursive(WORDS, lambda inner: st.tuples(st.sampled_from(("div", "b", "section")), st.lists(inner, max_size=4)), max_leaves=20)  # fmt: skip


@given(st.lists(TREES, max_size=5))
def test_a_written_tree_is_read_as_bs4_reads_it(trees):
    from html import escape

    bs4 = pytest.importorskip("bs4", reason="needs beautifulsoup4 (the books extra)")

    def written(tree) -> str:
        if isinstance(tree, str):
            return escape(tree)
        return f"<{tree[0]}>{''.join(map(written, tree[1]))}</{tree[0]}>"

    page = "".join(map(written, trees))
    root, soup = parse_markup(page), bs4.BeautifulSoup(page, "html.parser")
    assert [element.tag for element in root.all()] == [tag.name for tag in soup.find_all(True)]
    assert root.text == " ".join(soup.get_text().split())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'<?xml version="1.0" encoding="iso-8859-1"?><p>\xe9</p>', "é"),
        (b'<meta charset="windows-1251"><p>\xc4\xe0</p>', "Да"),
        ('<?xml version="1.0" encoding="utf-16"?><p>é</p>'.encode("utf-16"), "é"),
        ('<meta charset="nonsense"><p>é</p>'.encode(), "é"),
        ('<?xml version="1.0" encoding="ascii"?><p>é</p>'.encode(), "é"),
        ("<p>é</p>".encode("utf-8-sig"), "é"),
    ],
)
def test_declared_encodings(data, text):
    assert parse_markup(decode_markup(data)).text == text


def test_the_encoding_of_the_user_wins():
    assert "Да" in decode_markup(b'<meta charset="utf-8"><p>\xc4\xe0</p>', "cp1251")


def test_numbers_without_end_are_text():
    assert parse_markup(f"<p>&#{'9' * 5000};</p>").text == f"&#{'9' * 5000};"
