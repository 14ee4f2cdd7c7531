"""The lines of text on the pages of a PDF, with their places, and its outline: all that is asked of pypdf, within bounds."""

from __future__ import annotations

import logging
import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..errors import TextError
from ..extras import missing_extra
from .footnotes import TO_SUPERSCRIPT

if TYPE_CHECKING:
    from pypdf import Configuration, PdfReader

MAX_PAGES = 20_000
MAX_LINES = 10_000  # of a page
MAX_CHARACTERS = 20_000_000  # of all pages
MAX_OUTLINE_ENTRIES = 10_000
MAX_OUTLINE_DEPTH = 20
MAX_SECONDS = 600.0  # for reading all pages; a book of 1000 pages takes about one minute
MAX_STREAM_BYTES = 10_000_000  # of a stream, unpacked; the text of a page has thousands
MAX_OPERATORS = 1_000_000  # of a page, with what they are given
MAX_FORMS = 500  # that are placed on a page
MAX_DESTINATIONS = 50_000  # that have names
MARK_BEGIN, MARK_END = "\ue000", "\ue001"  # around the mark of a footnote in the text of a line
UNCERTAIN = "?"  # before a mark that is not raised, but set apart from the word before

_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", MARK_BEGIN: None, MARK_END: None}
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARK = re.compile(r"\s*(?P<mark>\d{1,3}|[*†‡§¶]{1,3})\s*")
_BEFORE_MARK = re.compile(r"(?:[^\W\d_]{3}|[.,;:!?…'\"’”»)\]])\Z")  # the 2 of m² is no mark
_MAX_MARK_SIZE = 0.85  # size of a mark as a share of the size of the text around it
_DAMAGED = "it is a damaged PDF; get it again, or print it to a new PDF"


@dataclass(frozen=True)
class Line:
    """A line of text. Lengths are in points, counted from the lower left corner of the page."""

    text: str
    page: int  # counted from 0
    x: float  # of its beginning
    y: float  # of its baseline
    size: float  # of most of its letters


@dataclass(frozen=True)
class OutlineEntry:
    """An entry of the outline. `top`: the height on the page where it leads to, None: the top of the page."""

    title: str
    level: int  # 1 is the highest
    page: int
    top: float | None


@dataclass(frozen=True)
class PdfText:
    """What is read of a PDF."""

    pages: Sequence[Sequence[Line]]  # in the order of the file
    outline: Sequence[OutlineEntry]
    title: str | None
    author: str | None
    language: str | None


def read_pdf_text(data: bytes) -> PdfText:
    """The text of a PDF. Raises TextError for one that is damaged, too large or needs a password, UsageError without pypdf."""
    try:
        from pypdf import PdfReader, apply_configuration
        from pypdf.errors import DependencyError, LimitReachedError
    except ImportError:
        raise missing_extra("PDF", "books") from None
    try:
        with _silent_pypdf(), apply_configuration(_limits()):
            reader = PdfReader(BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise TextError("it is encrypted; save a copy that opens without a password")
            return _read(reader)
    except DependencyError:
        raise TextError("it is encrypted; save a copy without a password or restrictions") from None
    except LimitReachedError:
        raise TextError("it has a page or an outline that is too large to be read; print it to a new PDF") from None
    except (TextError, MemoryError):
        raise
    except Exception:  # a damaged file takes pypdf to errors of all kinds
        raise TextError(_DAMAGED) from None


def _limits() -> Configuration:
    from pypdf import Configuration

    return Configuration(
        page_tree_maximum_entries=MAX_PAGES,
        outline_maximum_entries=MAX_OUTLINE_ENTRIES,
        outline_maximum_depth=MAX_OUTLINE_DEPTH,
        named_destinations_maximum_entries=MAX_DESTINATIONS,
        zlib_maximum_output_length=MAX_STREAM_BYTES,
        stream_parsing_work_maximum_count=MAX_OPERATORS,
        xform_maximum_invocations_per_extraction=MAX_FORMS,
        disable_legacy_handling=True,
    )


def _read(reader: PdfReader) -> PdfText:
    if len(reader.pages) > MAX_PAGES:
        raise TextError(f"it has more than {MAX_PAGES:,} pages; split it")
    deadline = time.monotonic() + MAX_SECONDS
    pages: list[Sequence[Line]] = []
    n_characters = 0
    for number, page in enumerate(reader.pages):
        collector = _LineCollector(number, deadline)
        upright = page.rotation % 360 == 0  # then text in other directions is beside the text that is read
        page.extract_text(
            orientations=(0,) if upright else (0, 90, 180, 270),
            visitor_operand_before=collector.check_time,
            visitor_text=collector.add,
        )
        pages.append(collector.finish())
        n_characters += sum(len(line.text) for line in pages[-1])
        if n_characters > MAX_CHARACTERS:
            raise TextError(f"it has more than {MAX_CHARACTERS:,} characters; split it")
    metadata = reader.metadata
    title, author = (metadata.title, metadata.author) if metadata is not None else (None, None)
    language = reader.root_object.get("/Lang")
    return PdfText(pages, _outline(reader), title, author, str(language) if language else None)


def _outline(reader: PdfReader) -> list[OutlineEntry]:
    """The entries of the outline that lead to a page; none if it is broken, for the text is there all the same."""
    entries: list[OutlineEntry] = []

    def add(items: Sequence[Any], level: int) -> None:
        for item in items:
            if isinstance(item, list):
                add(item, level + 1)
                continue
            page = reader.get_destination_page_number(item)
            title = " ".join(_cleaned(str(item.title or "")).split())
            if page is not None and page >= 0 and title:
                top = item.top
                entries.append(OutlineEntry(title, level, page, float(top) if isinstance(top, (int, float)) else None))

    try:
        add(reader.outline, 1)
    except Exception:  # as in `read_pdf_text`; also too deep or too large a one
        return []
    return entries


@contextmanager
def _silent_pypdf() -> Iterator[None]:
    """Keep the warnings of pypdf from being printed where no logging is set up."""
    logger, handler = logging.getLogger("pypdf"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@dataclass(frozen=True)
class _Fragment:
    """Text of a line in one font."""

    text: str
    x: float
    y: float
    size: float


class _LineCollector:
    """Collects the lines of a page from what pypdf reports while it extracts the text."""

    def __init__(self, page: int, deadline: float) -> None:
        self._page = page
        self._deadline = deadline
        self._fragments: list[_Fragment] = []  # of the line that is not complete yet
        self._lines: list[Line] = []

    def check_time(self, *_: object) -> None:
        """Called before every operator. Raises TextError after the deadline."""
        if time.monotonic() > self._deadline:
            raise TextError(f"it takes more than {MAX_SECONDS:.0f} seconds to read; print it to a new PDF, or split it")

    def add(self, text: str, cm: Sequence[float], tm: Sequence[float], _font: object, size: float) -> None:
        """Called with text in one font, which "\\n" ends where a line ends. `cm` and `tm` are matrices of transformation."""
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        scale = abs(tm[2] * cm[1] + tm[3] * cm[3]) or abs(tm[1] * cm[2] + tm[3] * cm[3]) or 1.0
        for k, part in enumerate(text.split("\n")):
            if k:
                self._end_line()
            if part:
                self._fragments.append(
                    _Fragment(_cleaned(part), _finite(x), _finite(y), _finite(abs(size) * scale) or 1.0)
                )

    def finish(self) -> list[Line]:
        self._end_line()
        return self._lines

    def _end_line(self) -> None:
        shown = [fragment for fragment in self._fragments if fragment.text.strip()]
        if shown:
            sizes: Counter[float] = Counter()
            for fragment in shown:
                sizes[round(fragment.size, 1)] += len(fragment.text)
            size = sizes.most_common(1)[0][0]
            main = next(fragment for fragment in shown if round(fragment.size, 1) == size)
            text = " ".join(_line_text(self._fragments, main).split())
            self._lines.append(Line(text, self._page, shown[0].x, main.y, size))
            if len(self._lines) > MAX_LINES:
                raise TextError(f"page {self._page + 1} has more than {MAX_LINES:,} lines; print it to a new PDF")
        self._fragments.clear()


def _line_text(fragments: Sequence[_Fragment], main: _Fragment) -> str:
    """The text of a line, with the marks of footnotes between MARK_BEGIN and MARK_END, and other raised digits in Unicode.

    Some fonts have raised digits that a PDF does not tell from others; but they are set apart from the word.
    """
    text = ""
    for fragment in fragments:
        raised = fragment.size <= _MAX_MARK_SIZE * main.size and fragment.y > main.y + 0.1 * main.size
        mark = _MARK.fullmatch(fragment.text)
        may_be_mark = not text.strip() or _BEFORE_MARK.search(text.rstrip() if raised else text) is not None
        if mark is not None and may_be_mark and (raised or not fragment.text[0].isspace()) and len(fragments) > 1:
            space = " " if fragment.text[-1].isspace() else ""
            text += f"{MARK_BEGIN}{'' if raised else UNCERTAIN}{mark['mark']}{MARK_END}{space}"
        else:
            text += fragment.text.translate(TO_SUPERSCRIPT) if raised else fragment.text
    return text


def _finite(length: float) -> float:
    return length if math.isfinite(length) else 0.0


def _cleaned(text: str) -> str:
    return _CONTROLS.sub("", text.translate(_LIGATURES))
