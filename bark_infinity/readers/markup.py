"""Reads HTML, XHTML and XML into a tree of elements: any quality, in linear time, with no entities but those of HTML.

Python's `html.parser` and Expat are not enough for books from strangers: the one takes quadratic time on unclosed tags and
comments, the other refuses what is not well-formed, and would expand entities that a document declares. Here a document
type is skipped, so that an entity of its own is ordinary text.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import TextError
from .encodings import decode_text

MAX_DEPTH = 150  # elements within each other; deeper ones are put beside each other, so that walks can be recursive
MAX_ELEMENTS = 500_000  # of a document; a novel in one file has about 20,000


def words_of(text: str) -> frozenset[str]:
    """The words in a text."""
    return frozenset(text.split())


_DECLARED = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_DECLARED_WITHIN = 1024  # bytes from the beginning, as browsers look
_QUOTE_OR_END = re.compile("[\"'>]")
_NAME = re.compile(r"[A-Za-z][^\s/>]*")
_ATTRIBUTE = re.compile(r"""([^\s=/"'>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_VOID = words_of("area base br col embed hr img input link meta param source track wbr")
_RAW = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style")}  # their content is no markup
_BLOCKS = words_of(  # that end an open <p>, as its end tag may be left out
    "address article aside blockquote center details div dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr main nav ol p pre section table ul"
)
_ENDED_BY: Mapping[str, frozenset[str]] = {  # elements whose end tag may be left out before these
    **{name: frozenset({"p"}) for name in _BLOCKS},
    "li": frozenset({"li", "p"}),
    **dict.fromkeys(("dt", "dd"), frozenset({"dt", "dd", "p"})),
    **dict.fromkeys(("td", "th"), frozenset({"td", "th", "p"})),
    "tr": frozenset({"tr", "td", "th", "p"}),
    **dict.fromkeys(("tbody", "thead", "tfoot"), frozenset({"tbody", "thead", "tfoot", "tr", "td", "th", "p"})),
}
_NO_ATTRIBUTES: Mapping[str, str] = {}
_NO_WORDS: frozenset[str] = frozenset()


@dataclass(eq=False, slots=True)
class Element:
    """An element. Its name has no prefix and is in lower case; names of attributes are in lower case, with their prefix."""

    tag: str
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES)
    parent: Element | None = field(default=None, repr=False)
    children: list[Element | str] = field(default_factory=list, repr=False)

    def get(self, name: str) -> str:
        """The value of an attribute; "" if there is none."""
        return self.attributes.get(name, "")

    def words(self, name: str) -> frozenset[str]:
        """The words in an attribute such as `class`, in lower case."""
        return words_of(self.attributes[name].lower()) if name in self.attributes else _NO_WORDS

    @property
    def elements(self) -> list[Element]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Element)]

    def all(self, *tags: str) -> Iterator[Element]:
        """Yield the elements inside with one of these names, in document order; all elements if no name is given."""
        for node in self._nodes():
            if isinstance(node, Element) and (not tags or node.tag in tags):
                yield node

    def first(self, *tags: str) -> Element | None:
        """The first element inside with one of these names."""
        return next(self.all(*tags), None)

    @property
    def text(self) -> str:
        """All text inside, with white space collapsed."""
        return " ".join("".join(node for node in self._nodes() if isinstance(node, str)).split())

    def _nodes(self) -> Iterator[Element | str]:
        """Yield everything inside, in document order."""
        left = self.children[::-1]
        while left:
            node = left.pop()
            yield node
            if isinstance(node, Element):
                left += node.children[::-1]


def decode_markup(data: bytes, encoding: str = "auto") -> str:
    """The text of a document, by its byte order mark, the encoding that it declares, or its content.

    `encoding`: one that the user gives. Raises TextError.
    """
    marked = data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    declared = _DECLARED.search(data[:_DECLARED_WITHIN])
    if encoding == "auto" and not marked and declared is not None and b"\0" not in data[:_DECLARED_WITHIN]:
        try:
            return data.decode(declared[1].decode("ascii"))
        except (LookupError, ValueError):
            pass  # it says something wrong, or names no encoding of text
    return decode_text(data, encoding).text


def parse_markup(text: str, xml: bool = False) -> Element:
    """The root, which has no name, of the tree of a document. `xml`: every element has an end tag.

    Raises TextError for a document with too many elements.
    """
    builder = _Builder(xml)
    for token in _Tokens(text, xml):
        if isinstance(token, str):
            builder.add_text(token)
        elif token.closes:
            builder.end(token.name)
        else:
            builder.start(token)
    return builder.root


@dataclass(frozen=True, slots=True)
class _Tag:
    name: str
    closes: bool = False
    is_empty: bool = False  # <br/>
    attributes: str = ""  # as written

    def parsed_attributes(self) -> Mapping[str, str]:
        if "=" not in self.attributes and not self.attributes.strip(" /\t\n"):
            return _NO_ATTRIBUTES
        found: dict[str, str] = {}
        for match in _ATTRIBUTE.finditer(self.attributes):
            value = next((value for value in match.groups()[1:] if value is not None), "")
            found.setdefault(match[1].lower(), _unescaped(value))
        return found


class _Tokens:
    """Iterates over the tags and texts of a document. Every part of it is searched once."""

    def __init__(self, text: str, xml: bool) -> None:
        self._text = text
        self._raw = {} if xml else _RAW
        self._last = {sign: text.rfind(sign) for sign in "\"'>"}
        self._quotes_count = True  # until a tag without an end shows that they are not in pairs

    def __iter__(self) -> Iterator[str | _Tag]:
        text, done = self._text, 0
        while (start := text.find("<", done)) >= 0:
            if start > done:
                yield _unescaped(text[done:start])
            if text.startswith("<!--", start):
                done = self._after("-->", start + 4)
            elif text.startswith("<![CDATA[", start):
                done = self._after("]]>", start)
                yield text[start + 9 : done].removesuffix("]]>")
            elif text.startswith(("<!", "<?"), start):
                done = self._after_declaration(start)
            else:
                tag, done = self._tag(start)
                yield tag
                raw = None if isinstance(tag, str) or tag.closes or tag.is_empty else self._raw.get(tag.name)
                if raw is not None:
                    end = raw.search(text, done)
                    done = end.start() if end is not None else len(text)
        if done < len(text):
            yield _unescaped(text[done:])

    def _after(self, sign: str, start: int) -> int:
        """The offset behind the next such sign; the end of the text if there is none."""
        found = self._text.find(sign, start)
        return len(self._text) if found < 0 else found + len(sign)

    def _after_declaration(self, start: int) -> int:
        """The offset behind a document type with all that it declares, or a processing instruction."""
        end = self._after(">", start)
        has_subset = self._text.startswith("!", start + 1) and "[" in self._text[start:end]
        return self._after("]>", start) if has_subset else end

    def _tag(self, start: int) -> tuple[_Tag | str, int]:
        """The tag at an offset, or the sign < itself if there is none, and the offset behind it."""
        closes = self._text.startswith("/", start + 1)
        name = _NAME.match(self._text, start + 1 + closes)
        end = self._end_of_tag(name.end()) if name is not None and self._last[">"] > start else None
        if name is None or end is None:
            return "<", start + 1
        attributes = self._text[name.end() : end]
        local = name[0].rpartition(":")[2].lower()
        return _Tag(local, closes, attributes.endswith("/"), attributes), end + 1

    def _end_of_tag(self, start: int) -> int | None:
        """The offset of the > of a tag, which may have others in quotes."""
        place = start
        while self._quotes_count and (found := _QUOTE_OR_END.search(self._text, place)) is not None:
            if found[0] == ">":
                return found.start()
            is_paired = self._last[found[0]] > found.start()
            place = self._text.find(found[0], found.end()) + 1 if is_paired else found.end()
        self._quotes_count = False
        end = self._text.find(">", start)
        return end if end >= 0 else None


class _Builder:
    """Builds a tree of tags and texts."""

    def __init__(self, xml: bool) -> None:
        self.root = Element("")
        self._xml = xml
        self._open = [self.root]
        self._n_elements = 0

    def add_text(self, text: str) -> None:
        self._open[-1].children.append(text)

    def start(self, tag: _Tag) -> None:
        self._n_elements += 1
        if self._n_elements > MAX_ELEMENTS:
            raise TextError(f"it has a document of more than {MAX_ELEMENTS:,} elements; split it")
        if not self._xml:
            self._end_implied(_ENDED_BY.get(tag.name, frozenset()))
        parent = self._open[-1]
        element = Element(tag.name, tag.parsed_attributes(), parent)
        parent.children.append(element)
        has_content = not tag.is_empty and (self._xml or tag.name not in _VOID)
        if has_content and len(self._open) < MAX_DEPTH:
            self._open.append(element)

    def end(self, name: str) -> None:
        """End the innermost open element of this name, with all inside; without one the tag is ignored."""
        for k in range(len(self._open) - 1, 0, -1):
            if self._open[k].tag == name:
                del self._open[k:]
                return

    def _end_implied(self, ended: frozenset[str]) -> None:
        while self._open[-1].tag in ended:
            self._open.pop()


def _unescaped(text: str) -> str:
    """A text with HTML's character references resolved."""
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:  # a number of more digits than Python converts
        return text
