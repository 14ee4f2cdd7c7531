"""Finds footnotes and their marks in HTML, and the marks in plain text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from .book import Footnotes
from .markup import Element, words_of

MAX_NOTE_LENGTH = 20_000  # characters of a footnote that are spoken
MAX_NOTES_LENGTH = 5_000_000  # characters of all footnotes that are spoken

_NOTE_TYPES = words_of("footnote endnote rearnote footnotes endnotes rearnotes")
_NOTE_ROLES = words_of("doc-footnote doc-endnote doc-endnotes")
_NOTE_CLASSES = words_of("footnote footnotes endnote endnotes rearnote rearnotes footnote-list references reflist")
_REFERENCE_CLASSES = words_of(
    "noteref footnote-ref footnoteref footnote-reference fnref fnanchor endnote-ref endnoteref"
)
_BACK_CLASSES = words_of("footnote-back footnote-backref footnote-backlink fnback")
_INLINE = ("a", "span", "sup", "b", "i", "em", "strong", "small")
_WHOLE = ("html", "body", "section", "article", "main")  # which may begin with a footnote and go on with text
_SYMBOLS = "*†‡§¶"
_MARK = re.compile(rf"[\[(]?(?:\d{{1,4}}|[a-z]|[{_SYMBOLS}]{{1,4}})[\])]?")  # what a link to a footnote reads
_LABEL = re.compile(  # before a footnote
    rf"(?:[\[(]?\d{{1,4}}[\])]?|[{_SYMBOLS}]{{1,4}}|[\[(]\s?[\])]|[↩↑^])?[.:)]?\s+"
)
_NOTE_ID = re.compile(r"(?:fn|ft|foot|note|en|end|ref|r|n|_ftn|_edn)[a-z_-]*\d", re.IGNORECASE)
_SUPERSCRIPTS = "⁰¹²³⁴-⁹"
_AFTER_WORD = r"(?<=[^\W\d_]{3})|(?<=[.,;:!?…'\"’”»)\]])"  # m² and x³ are no marks
_MARKS = re.compile(
    rf"""\s?\[(?:\d{{1,4}}(?:\s?[,–-]\s?\d{{1,4}})*|[{_SYMBOLS}]{{1,4}})\]   # [15], [3, 4]
      | (?<=[\w.,;:!?'"’”»)])\[[a-z]\]                                       # word[a], but not "[a] word"
      | (?:{_AFTER_WORD})[{_SUPERSCRIPTS}]+(?![\w{_SUPERSCRIPTS}])           # word¹²
      | (?<=\w)[†‡]+""",
    re.VERBOSE,
)
TO_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Place = tuple[str, str]
"""The path of a document in its book, and an id in it; "" is its beginning."""


def without_marks(text: str) -> str:
    """A text without marks of footnotes such as [15] and ¹²."""
    return _MARKS.sub("", text)


def superscript(text: str) -> str:
    """The text of <sup> in characters: digits are raised, so that a mark can be told from the end of a number."""
    return text.translate(TO_SUPERSCRIPT) if text.strip().isdigit() else text


def resolve(path: str, link: str) -> Place | None:
    """The place that a link in the document of this path leads to; None for one that leads out of the book."""
    try:
        parts = urlsplit(link.strip())
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        return None
    target = unquote(parts.path)
    if not target:
        return path, unquote(parts.fragment)
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target)), unquote(parts.fragment)


def is_reference(element: Element) -> bool:
    """Whether an element is the mark of a footnote, with a link to it."""
    if element.tag != "a":
        return False
    if "noteref" in element.words("epub:type") or "doc-noteref" in element.words("role"):
        return True
    if "#" not in element.get("href"):
        return False
    if element.words("class") & _REFERENCE_CLASSES:
        return True
    text = element.text
    if not _MARK.fullmatch(text):
        return False
    raised = element.first("sup") is not None or (element.parent is not None and element.parent.tag == "sup")
    fragment = element.get("href").rpartition("#")[2]
    return raised or not text.isalnum() or _NOTE_ID.match(fragment) is not None


def is_back_link(element: Element) -> bool:
    """Whether an element is a link from a footnote back to its mark."""
    if element.tag != "a":
        return False
    is_declared = "backlink" in element.words("epub:type") or "doc-backlink" in element.words("role")
    return is_declared or bool(element.words("class") & _BACK_CLASSES) or element.text in ("↩", "↩︎", "↑", "^", "↵")


class Notes:
    """The footnotes of a book: all of its documents are added before any is read."""

    def __init__(self, footnotes: Footnotes) -> None:
        self._inline = footnotes == "inline"
        self._left = MAX_NOTES_LENGTH
        self._targets: set[Place] = set()
        self._elements: dict[Place, Element] = {}  # with --footnotes inline

    def add(self, path: str, root: Element) -> None:
        """Take note of what is in a document."""
        for element in root.all():
            if self._inline and (name := element.get("id") or (element.get("name") if element.tag == "a" else "")):
                self._elements.setdefault((path, name), element)
            if is_reference(element) and (place := resolve(path, element.get("href"))) is not None:
                self._targets.add(place)

    def is_note(self, path: str, element: Element) -> bool:
        """Whether an element is a footnote, or has nothing but footnotes."""
        if element.words("epub:type") & _NOTE_TYPES or element.words("role") & _NOTE_ROLES:
            return True
        if element.tag in _INLINE or element.tag in _WHOLE:
            return False
        if element.words("class") & _NOTE_CLASSES:
            return True
        is_target = any((path, name) in self._targets for name in _own_ids(element))
        return is_target and any("#" in link.get("href") for link in element.all("a"))  # which leads back

    def text_of(self, path: str, link: str) -> str | None:
        """The text of the footnote that a link leads to, the first time; None with --footnotes skip, or if it is missing."""
        place = resolve(path, link)
        element = self._elements.pop(place, None) if place is not None else None
        while element is not None and element.tag in (*_INLINE, "td"):
            element = element.parent  # the id is that of its label
        if element is None or self._left <= 0:
            return None
        text = "".join(_up_to(MAX_NOTE_LENGTH, _spoken_of(element)))
        self._left -= len(text)
        return without_marks(_without_label(" ".join(text.split()))) or None


def _own_ids(element: Element) -> Iterator[str]:
    """Yield the ids at the beginning of an element: its own, and those of what is first in it."""
    for _ in range(4):
        yield element.get("id")
        children = [child for child in element.children if not isinstance(child, str) or child.strip()]
        if not children or isinstance(children[0], str):
            return
        element = children[0]
        if element.tag == "a" and element.get("name"):
            yield element.get("name")


def _spoken_of(note: Element) -> Iterator[str]:
    """Yield the texts of a footnote, without links back and without footnotes of its own."""
    for child in note.children:
        if isinstance(child, str):
            yield child
        elif not (is_back_link(child) or is_reference(child)):
            yield from _spoken_of(child)


def _without_label(note: str) -> str:
    """The text of a footnote without its number, or what is around a number that is a link."""
    label = _LABEL.match(note)
    return note[label.end() :] if label is not None else note


def _up_to(limit: int, parts: Iterator[str]) -> Iterator[str]:
    """Yield parts until they have so many characters."""
    for part in parts:
        yield part[:limit]
        limit -= len(part)
        if limit <= 0:
            return
