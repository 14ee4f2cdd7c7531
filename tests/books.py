"""Books that tests make: EPUBs, written with `zipfile`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from audio_files import jpeg, png

PNG, JPEG = png(), jpeg()
CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
FONTS = "http://www.idpf.org/2008/embedding"


@dataclass
class Epub:
    """The parts of an EPUB. Paths are relative to the folder of the package document, and written as they are."""

    documents: Mapping[str, str]  # bodies of XHTML, by path, in the order of the spine
    nav: Sequence[tuple[str, str]] | None = ()  # titles and links of the table of contents; None: there is none
    ncx: Sequence[tuple[str, str]] | None = None
    title: str = "A Book"
    head: str = ""  # further metadata
    guide: str = ""
    spine: str | None = None  # instead of the documents in their order
    items: str = ""  # further ones of the manifest
    files: Mapping[str, bytes | str] = field(default_factory=dict)  # by path in the archive

    def write(self) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
            for path, content in {**self._parts(), **self.files}.items():
                archive.writestr(path, content)
        return file.getvalue()

    def _parts(self) -> dict[str, str]:
        parts = {"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": self._package()}
        parts |= {
            f"OEBPS/{path}": body if body.lstrip().startswith("<?xml") else f"<html><body>{body}</body></html>"
            for path, body in self.documents.items()
        }
        if self.nav is not None:
            links = "".join(f"<li><a href={quoteattr(link)}>{escape(title)}</a></li>" for title, link in self.nav)
            parts["OEBPS/nav.xhtml"] = f'<html><body><nav epub:type="toc"><ol>{links}</ol></nav></body></html>'
        if self.ncx is not None:
            points = "".join(
                f"<navPoint><navLabel><text>{escape(title)}</text></navLabel><content src={quoteattr(link)}/></navPoint>"
                for title, link in self.ncx
            )
            parts["OEBPS/toc.ncx"] = f"<ncx><navMap>{points}</navMap></ncx>"
        return parts

    def _package(self) -> str:
        items = "".join(
            f'<item id="d{k}" href={quoteattr(path)} media-type="application/xhtml+xml"/>'
            for k, path in enumerate(self.documents)
        )
        if self.nav is not None:
            items += '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        if self.ncx is not None:
            items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
        spine = (
            self.spine
            if self.spine is not None
            else "".join(f'<itemref idref="d{k}"/>' for k in range(len(self.documents)))
        )
        return (
            f'<?xml version="1.0"?><package xmlns:dc="x"><metadata><dc:title>{escape(self.title)}</dc:title>{self.head}'
            f"</metadata><manifest>{items}{self.items}</manifest><spine>{spine}</spine><guide>{self.guide}</guide></package>"
        )
