"""The package of an EPUB 2 or 3: what it says of the book, its documents in reading order, and its table of contents."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..audio.images import image_kind
from ..errors import TextError
from .archive import MAX_FILES, Archive
from .footnotes import Place, resolve
from .markup import Element, decode_markup, parse_markup

MAX_DOCUMENTS = MAX_FILES  # in the reading order
MAX_ENTRIES = 20_000  # of a table of contents
MAX_XML_BYTES = 10_000_000  # of a package document or a table of contents

_CONTAINER = "META-INF/container.xml"
_FONT_ALGORITHMS = frozenset(("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"))
_DOCUMENT_TYPES = frozenset(("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"))
_DOCUMENT_ENDINGS = (".xhtml", ".html", ".htm", ".xml")


@dataclass(frozen=True)
class Item:
    """A file of the package."""

    id: str
    path: str  # in the archive
    media_type: str
    properties: frozenset[str]

    @property
    def is_document(self) -> bool:
        return self.media_type in _DOCUMENT_TYPES or (
            not self.media_type.startswith("image/") and self.path.lower().endswith(_DOCUMENT_ENDINGS)
        )


@dataclass(frozen=True)
class Entry:
    """A line of the table of contents."""

    title: str
    place: Place


class Package:
    """The package of an EPUB. Its documents are read once each."""

    def __init__(self, archive: Archive) -> None:
        """Raises TextError for what is no EPUB, or an encrypted one."""
        self._archive = archive
        _check_protection(archive)
        self.path = _package_path(archive)
        self._root = self._read_xml(self.path)
        self.items = self._items()
        self._guide = [
            (element.get("type"), place)
            for guide in self._root.all("guide")
            for element in guide.all("reference")
            if (place := resolve(self.path, element.get("href"))) is not None
        ]

    @property
    def title(self) -> str | None:
        return next(self._metadata("title"), None)

    @property
    def language(self) -> str | None:
        return next(self._metadata("language"), None)

    @property
    def author(self) -> str | None:
        """The names of all authors; of all creators if none is said to be the author."""
        creators = [(element, element.text) for element in self._root.all("creator") if element.text]
        roles = {
            element.get("refines").removeprefix("#"): element.text
            for element in self._root.all("meta")
            if element.get("property") == "role"
        }
        of = [(name, element.get("opf:role") or roles.get(element.get("id"), "")) for element, name in creators]
        authors = [name for name, role in of if role == "aut"] or [name for name, _ in of]
        return ", ".join(dict.fromkeys(authors)) or None

    def spine(self) -> list[tuple[Item, bool]]:
        """The documents in reading order, each with whether it is part of the main text (linear). Raises TextError."""
        spine = self._root.first("spine")
        refs = [] if spine is None else [e for e in spine.elements if e.tag == "itemref"]
        if len(refs) > MAX_DOCUMENTS:
            raise TextError(f"it has more than {MAX_DOCUMENTS:,} documents; split the book")
        named = [(self.items.get(ref.get("idref")), ref.get("linear").lower() != "no") for ref in refs]
        found = {item.id: (item, linear) for item, linear in reversed(named) if item is not None and item.is_document}
        order = list(dict.fromkeys(item.id for item, _ in named if item is not None and item.id in found))
        if not order:  # a broken package: all documents as they are listed
            return [(i, True) for i in self.items.values() if i.is_document and "nav" not in i.properties]
        return [found[name] for name in order]

    def document(self, item: Item) -> Element | None:
        """The tree of a document; None if it is missing. Raises TextError."""
        if item.path not in self._archive:
            return None
        return parse_markup(_decoded(self._archive.read(item.path)))

    def contents(self) -> list[Entry]:
        """The table of contents: EPUB 3's nav, else EPUB 2's NCX; empty if there is none, or a broken one."""
        return self._entries(self._nav_entries()) or self._entries(self._ncx_entries())

    def landmarks(self) -> Mapping[Place, str]:
        """The types of places, by the landmarks of EPUB 3 and the guide of EPUB 2."""
        types = {place: kind for kind, place in reversed(self._guide)}
        for path, nav in self._navs:
            if "landmarks" in nav.words("epub:type"):
                for link in nav.all("a"):
                    if (place := resolve(path, link.get("href"))) is not None:
                        types[place] = link.get("epub:type")
        return types

    def nav_paths(self) -> frozenset[str]:
        """The paths of the documents that are tables of contents."""
        return frozenset(item.path for item in self.items.values() if "nav" in item.properties)

    def cover(self) -> bytes | None:
        """The image of the cover, if it is a JPEG or a PNG."""
        for path in self._cover_paths():
            if path in self._archive and image_kind(image := self._archive.read(path)) is not None:
                return image
        return None

    def _items(self) -> dict[str, Item]:
        """The files of the manifest, by id."""
        items: dict[str, Item] = {}
        manifest = self._root.first("manifest") or self._root
        for element in manifest.all("item"):
            place = resolve(self.path, element.get("href"))
            if place is not None:
                item = Item(element.get("id"), place[0], element.get("media-type").lower(), element.words("properties"))
                items.setdefault(item.id, item)
        return items

    def _metadata(self, tag: str) -> Iterator[str]:
        metadata = self._root.first("metadata") or self._root
        yield from (element.text for element in metadata.all(tag) if element.text)

    def _read_xml(self, path: str) -> Element:
        return parse_markup(_decoded(self._archive.read(path, MAX_XML_BYTES)), xml=True)

    @functools.cached_property
    def _navs(self) -> list[tuple[str, Element]]:
        """Each <nav> of the navigation documents, with the path of its document."""
        paths = [path for path in self.nav_paths() if path in self._archive]
        return [(path, nav) for path in paths for nav in self._read_xml(path).all("nav")]

    def _nav_entries(self) -> Iterator[Entry | None]:
        for path, nav in self._navs:
            if "toc" in nav.words("epub:type") or "doc-toc" in nav.words("role"):
                yield from (_entry(link.text, path, link.get("href")) for link in nav.all("a"))

    def _ncx_entries(self) -> Iterator[Entry | None]:
        for item in self.items.values():
            is_ncx = item.media_type == "application/x-dtbncx+xml" or item.path.lower().endswith(".ncx")
            if not is_ncx or item.path not in self._archive:
                continue
            for point in self._read_xml(item.path).all("navpoint"):
                children = {child.tag: child for child in point.elements}
                if "navlabel" in children and "content" in children:
                    yield _entry(children["navlabel"].text, item.path, children["content"].get("src"))

    @staticmethod
    def _entries(found: Iterator[Entry | None]) -> list[Entry]:
        entries: list[Entry] = []
        for entry in found:
            if entry is not None:
                entries.append(entry)
            if len(entries) > MAX_ENTRIES:
                raise TextError(f"its table of contents has more than {MAX_ENTRIES:,} entries; split the book")
        return entries

    def _cover_paths(self) -> Iterator[str]:
        """Yield the paths of what may be the cover, the likeliest first."""
        items = self.items.values()
        yield from (item.path for item in items if "cover-image" in item.properties)
        named = [element.get("content") for element in self._root.all("meta") if element.get("name") == "cover"]
        yield from (item.path for item in items if item.id in named)
        for path in [place[0] for kind, place in self._guide if kind.lower() == "cover"]:
            if path in self._archive and not path.lower().endswith((".jpg", ".jpeg", ".png")):
                for image in parse_markup(_decoded(self._archive.read(path))).all("img", "image"):
                    place = resolve(path, image.get("src") or image.get("xlink:href") or image.get("href"))
                    yield from [place[0]] if place is not None else []
            yield path
        yield from (i.path for i in items if i.media_type.startswith("image/") and "cover" in i.path.lower())


def _decoded(data: bytes) -> str:
    """The text of a document; damaged places, which a user cannot mend in an archive, are marked."""
    try:
        return decode_markup(data)
    except TextError:
        return data.decode("utf-8", "replace")


def _entry(title: str, path: str, link: str) -> Entry | None:
    place = resolve(path, link) if link else None
    return Entry(title, place) if place is not None and title else None


def _package_path(archive: Archive) -> str:
    """The path of the package document: the one that the container names, else any. Raises TextError."""
    named: list[str] = []
    if _CONTAINER in archive:
        container = parse_markup(_decoded(archive.read(_CONTAINER, MAX_XML_BYTES)), xml=True)
        named = [posixpath.normpath(element.get("full-path")) for element in container.all("rootfile")]
    found = [path for path in archive.paths if path.lower().endswith(".opf")]
    path = next((path for path in (*named, *found) if path in archive), None)
    if path is None:
        raise TextError("it is no EPUB, having no package document (.opf); get it again, or convert it to EPUB")
    return path


def _check_protection(archive: Archive) -> None:
    """Raise TextError for a book that is encrypted. Fonts may be obfuscated, which does not matter for the text."""
    encryption = "META-INF/encryption.xml"
    if encryption not in archive:
        return
    root = parse_markup(_decoded(archive.read(encryption, MAX_XML_BYTES)), xml=True)
    for data in root.all("encrypteddata"):
        method = data.first("encryptionmethod")
        if method is None or method.get("algorithm") not in _FONT_ALGORITHMS:
            raise TextError("it is encrypted (DRM), so its text cannot be read; get it without copy protection")
