"""PDF files for tests, written by hand: texts at places on pages, an outline, and what hostile files have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

LEADING = 14  # points between two lines
TOP, LEFT = 700, 72


class Text(NamedTuple):
    """A text at a place on a page, in points from the lower left corner."""

    text: str
    x: float = LEFT
    y: float = TOP
    size: float = 10


class Entry(NamedTuple):
    """An entry of an outline. `page` is counted from 0."""

    title: str
    page: int
    top: float | None = None
    children: Sequence[Entry] = ()


def column(lines: Iterable[str], y: float = TOP, size: float = 10, leading: float = LEADING) -> list[Text]:
    """Lines below each other; "" leaves a gap, and a line that begins with spaces is indented."""
    found = []
    for line in lines:
        if line:
            found.append(Text(line.lstrip(), LEFT + 5 * (len(line) - len(line.lstrip())), y, size))
        y -= leading
    return found


def pdf_file(
    pages: Sequence[Sequence[Text]], outline: Sequence[Entry] = (), info: Mapping[str, str] | None = None
) -> bytes:
    """A PDF with these pages."""
    contents = [b"BT " + b" ".join(map(_shown, page)) + b" ET" for page in pages]
    return pdf_of_contents(contents, outline, info)


def pdf_of_contents(
    contents: Sequence[bytes],
    outline: Sequence[Entry] = (),
    info: Mapping[str, str] | None = None,
    pages: str | None = None,
) -> bytes:
    """A PDF with pages of these content streams. `pages`: the dictionary of the page tree, if not the usual one."""
    objects: dict[int, bytes] = {}
    numbers = count(4)
    page_numbers = [next(numbers) for _ in contents]
    for number, content in zip(page_numbers, contents, strict=True):
        stream = next(numbers)
        objects[stream] = b"<< /Length %d >> stream\n%b\nendstream" % (len(content), content)
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {stream} 0 R /Resources << /Font << /F "
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >> >> >>".encode()
        )
    kids = " ".join(f"{number} 0 R" for number in page_numbers)
    objects[2] = (pages or f"<< /Type /Pages /Kids [{kids}] /Count {len(page_numbers)} >>").encode()
    root = next(numbers)
    if outline:
        _add_entries(outline, root, objects, numbers, page_numbers)
    objects[1] = f"<< /Type /Catalog /Pages 2 0 R /Lang (en) {f'/Outlines {root} 0 R' if outline else ''} >>".encode(
        "latin-1"
    )
    objects[3] = (
        b"<< " + b" ".join(b"/%b %b" % (key.encode(), _string(value)) for key, value in (info or {}).items()) + b" >>"
    )
    return file_of_objects(objects)


def file_of_objects(objects: Mapping[int, bytes]) -> bytes:
    """A PDF with these objects: 1 is the catalog, 3 the information."""
    data = b"%PDF-1.7\n"
    offsets = {}
    for number in sorted(objects):
        offsets[number] = len(data)
        data += b"%d 0 obj\n%b\nendobj\n" % (number, objects[number])
    start = len(data)
    table = "".join(f"{number} 1\n{offset:010d} 00000 n \n" for number, offset in offsets.items())
    size = max(objects) + 1
    return (
        data
        + f"xref\n0 1\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R /Info 3 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    )


def _add_entries(
    entries: Sequence[Entry], parent: int, objects: dict[int, bytes], numbers: Iterable[int], pages: Sequence[int]
) -> None:
    own = [next(iter(numbers)) for _ in entries]
    for k, (number, entry) in enumerate(zip(own, entries, strict=True)):
        target = f"/XYZ null {entry.top} null" if entry.top is not None else "/Fit"
        links = f"/Parent {parent} 0 R /Dest [{pages[entry.page]} 0 R {target}]"
        links += f" /Next {own[k + 1]} 0 R" if k + 1 < len(own) else ""
        objects[number] = b"<< /Title %b %b" % (_string(entry.title), links.encode())
        if entry.children:
            _add_entries(entry.children, number, objects, numbers, pages)
        objects[number] += b" >>"
    ends = f" /First {own[0]} 0 R /Last {own[-1]} 0 R".encode()
    if parent in objects:
        objects[parent] += ends
    else:
        objects[parent] = b"<< /Type /Outlines" + ends + b" >>"


def _shown(text: Text) -> bytes:
    return b"/F %g Tf 1 0 0 1 %g %g Tm %b Tj" % (text.size, text.x, text.y, _string(text.text, "cp1252"))


def _string(text: str, encoding: str = "utf-16") -> bytes:
    data = text.encode("cp1252") if encoding == "cp1252" else b"\xfe\xff" + text.encode("utf-16-be")
    return b"<" + data.hex().encode() + b">"
