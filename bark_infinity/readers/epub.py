"""Reads EPUB 2 and 3: the documents of the spine, cut into chapters where the table of contents says."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..errors import TextError
from .archive import Archive, is_zip
from .book import Block, Book, BookChapter, Footnotes
from .chapter_roles import CONTENTS, NOTES, TITLE_PAGE, role_of_page, role_of_title, role_of_types
from .epub_package import Entry, Item, Package
from .footnotes import Notes, Place
from .html import blocks_of, leveled_blocks
from .html_blocks import Piece, read_blocks
from .markup import Element
from .sections import cut_at_headings

_MAX_TITLE_PAGE_LENGTH = 400  # characters of the text of a page that has the book's title and nothing else
_MAX_PIECES_TO_HEADING = 3  # that may begin a chapter: a number, an ornament, a heading
_NOT_LINEAR = "outside of the reading order"


@dataclass(frozen=True)
class _Document:
    """A document of the spine, read."""

    item: Item
    linear: bool
    pieces: Sequence[Piece]
    role: str | None  # that its markup or the package declares

    @property
    def text(self) -> str:
        return " ".join(piece.block.text for piece in self.pieces if piece.block.text)

    @property
    def first_heading(self) -> str:
        """The heading at the beginning; "" if there is none."""
        beginning = [piece for piece in self.pieces if piece.block.text][:_MAX_PIECES_TO_HEADING]
        return next((piece.block.text for piece in beginning if piece.level), "")


@dataclass(frozen=True)
class _Start:
    """Where a chapter begins: before a piece of a document."""

    document: int
    piece: int
    title: str = ""
    role: str | None = None


def read_epub(data: bytes, footnotes: Footnotes) -> Book:
    """The book in an EPUB file. Raises TextError for one that is broken, encrypted or too large."""
    if not is_zip(data):
        raise TextError("it is no EPUB, for it is no zip archive; get it again, or convert it to EPUB")
    package = Package(Archive(data))
    entries, landmarks = package.contents(), package.landmarks()
    documents = _read_documents(package, entries, landmarks, footnotes)
    if not documents:
        raise TextError("it has no readable document; get it again, or convert it to EPUB")
    listed = _listed_starts(documents, entries, landmarks)
    chapters = _chapters(documents, listed, package.title or "")
    return Book(tuple(chapters), package.title, package.author, package.language, package.cover())


def _read_documents(
    package: Package, entries: Sequence[Entry], landmarks: Mapping[Place, str], footnotes: Footnotes
) -> list[_Document]:
    """The documents of the spine. All are parsed before any is read, because footnotes may be in another one."""
    found = [(item, linear, root) for item, linear in package.spine() if (root := package.document(item)) is not None]
    notes = Notes(footnotes)
    for item, _, root in found:
        notes.add(item.path, root)
    nav_paths = package.nav_paths()
    wanted: dict[str, set[str]] = {}
    for path, name in (*(entry.place for entry in entries), *landmarks):
        wanted.setdefault(path.casefold(), set()).add(name)
    documents = []
    for item, linear, root in found:
        declared = _declared_role(root, landmarks.get((item.path, ""), ""))
        role = CONTENTS if item.path in nav_paths else declared
        with_lists = role in (NOTES, CONTENTS)
        pieces = read_blocks(root, item.path, notes, wanted.get(item.path.casefold(), ()), with_lists)
        documents.append(_Document(item, linear, pieces, role))
    return documents


def _declared_role(root: Element, landmark: str) -> str | None:
    """The role of a whole document: by a landmark, its body, or the only element in it."""
    types = landmark.split()
    element = root.first("body")
    while element is not None:
        types += [*element.get("epub:type").split(), *element.get("role").split()]
        inner = [child for child in element.children if not isinstance(child, str) or child.strip()]
        element = inner[0] if len(inner) == 1 and isinstance(inner[0], Element) else None
    return role_of_types(types)


def _chapters(documents: Sequence[_Document], listed: Sequence[_Start], book_title: str) -> Iterator[BookChapter]:
    """Yield the chapters, in reading order."""
    if not listed and len(documents) == 1:
        yield from cut_at_headings(leveled_blocks(documents[0].pieces), book_title)[1]
        return
    starts = list(_all_starts(documents, listed, book_title))
    ends = [(start.document, start.piece) for start in starts[1:]] + [(len(documents), 0)]
    for start, (last, end_piece) in zip(starts, ends, strict=True):
        pieces: list[Piece] = []
        for k in range(start.document, min(last + 1, len(documents))):
            first = start.piece if k == start.document else 0
            pieces += documents[k].pieces[first : end_piece if k == last else None]
        blocks = blocks_of(pieces)
        is_title_page = start.role is None and _is_title_page(start.title, blocks, book_title)
        yield BookChapter(start.title, blocks, TITLE_PAGE if is_title_page else start.role)


def _is_title_page(title: str, blocks: Sequence[Block], book_title: str) -> bool:
    """Whether a chapter has the title of the book, and little else."""
    is_short = sum(len(block.text) for block in blocks) <= _MAX_TITLE_PAGE_LENGTH
    return is_short and title != "" and title.casefold() == book_title.casefold()


def _listed_starts(
    documents: Sequence[_Document], entries: Sequence[Entry], landmarks: Mapping[Place, str]
) -> list[_Start]:
    """Where the chapters of the table of contents begin, in reading order. Entries with the same beginning are one chapter."""
    numbers = {document.item.path.casefold(): k for k, document in enumerate(documents)}
    places = [
        {name: k for k, piece in reversed(list(enumerate(document.pieces))) for name in piece.ids}
        for document in documents
    ]
    starts = []
    for entry in entries:
        path, name = entry.place
        number = numbers.get(path.casefold())
        if number is None:
            continue
        piece = places[number].get(name, 0)  # where the id is missing, the document itself is meant
        role = role_of_types(landmarks.get(entry.place, "").split())
        starts.append(_Start(number, piece, entry.title, role or (documents[number].role if piece == 0 else None)))
    starts.sort(key=lambda start: (start.document, start.piece))
    return [_merged(list(same)) for _, same in groupby(starts, key=lambda start: (start.document, start.piece))]


def _merged(starts: Sequence[_Start]) -> _Start:
    """One start for several at the same place, as of a part and its first chapter."""
    titles = list(dict.fromkeys(start.title for start in starts))
    role = next((start.role for start in starts if start.role is not None), None)
    return _Start(starts[0].document, starts[0].piece, ": ".join(titles[:2]), role)


def _all_starts(documents: Sequence[_Document], listed: Sequence[_Start], book_title: str) -> Iterator[_Start]:
    """Yield the starts that are listed, and those of documents that are not listed but chapters of their own.

    These are all documents before the first listed one, and those with a role. Others go on with the chapter before. In a
    book without a table of contents a heading at the beginning of a document begins a chapter.
    """
    by_document = {number: list(own) for number, own in groupby(listed, key=lambda start: start.document)}
    first_listed = listed[0].document if listed else len(documents)
    ended = True  # whether what comes next belongs to no chapter before
    for number, document in enumerate(documents):
        own = by_document.get(number, [])
        if not own or own[0].piece > 0:
            role = document.role if own else _role_of(document, number < first_listed, book_title)
            is_apart = number < first_listed and bool(listed or document.first_heading)
            if ended or is_apart or (role is not None and not own):
                yield _Start(number, 0, document.first_heading if not own else "", role)
                ended = role is not None
        if own:
            yield from own
            ended = False


def _role_of(document: _Document, is_before_chapters: bool, book_title: str) -> str | None:
    """The role of a document that the table of contents does not list."""
    if document.role is not None or not is_before_chapters:
        return document.role or (None if document.linear else _NOT_LINEAR)
    text, title = document.text, document.first_heading
    role = role_of_title(title) if title else None
    stem = posixpath.splitext(posixpath.basename(document.item.path))[0]
    role = role or role_of_page(stem, text)
    is_title_page = book_title and book_title.casefold() in text.casefold() and len(text) <= _MAX_TITLE_PAGE_LENGTH
    return role or (TITLE_PAGE if is_title_page else None if document.linear else _NOT_LINEAR)
