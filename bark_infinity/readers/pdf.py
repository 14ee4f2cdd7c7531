"""Reads a PDF as a book: chapters by its outline, else by lines such as "Chapter 12"; only what is read aloud."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

from ..errors import TextError
from ..text.blocks import is_ornament
from ..text.breaks import SPOKEN
from ..text.splitting import normalize_text
from .book import Block, Book, BookChapter, Footnotes
from .chapter_headings import chapter_heading
from .chapter_roles import CONTENTS, TITLE_PAGE, role_of_page, role_of_title
from .footnotes import without_marks
from .pdf_lines import Line, OutlineEntry, read_pdf_text
from .pdf_pages import without_heads, without_notes
from .pdf_paragraphs import BULLET, Layout, Paragraph, join_lines
from .plain import join_hyphens
from .plain_book import read_plain_book
from .sections import LeveledBlock, cut_at_headings, join_titles

MIN_LETTERS = 10  # a page, on average; scans have fewer, such as a stamp on each page
MAX_UNREADABLE = 0.2  # share of letters that the fonts of a PDF do not name

_UNREADABLE = re.compile("[\ufffd\ue002-\uf8ff]")  # without the signs around marks
_FILE_NAME = re.compile(r"(?:microsoft \w+ - )?(?:.*\.\w{2,5}|untitled.*|document\d*)", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[\W_]+")
_ENDS_WITH_NUMBER = re.compile(r".*\D\d{1,4}|.*[\s.][ivxlc]+")  # as lines of a table of contents do
_SEPARATOR = "\n\n\x1e\n\n"  # between texts while the hyphens of all are joined
_MAX_HEADING_LINES = 5
_MAX_HEADING_LENGTH = 300  # characters
_MAX_SAME_LINES = 20  # lines with the same words on a page that may be a heading
_MAX_TITLE_PAGE_WORDS = 40


def looks_like_pdf(data: bytes) -> bool:
    """Whether a file is a PDF; some have other bytes before its beginning."""
    return b"%PDF-" in data[:1024]


def read_pdf(data: bytes, footnotes: Footnotes) -> Book:
    """The book in a PDF. Raises TextError for one without text, encrypted, damaged or too large, UsageError without pypdf."""
    found = read_pdf_text(data)
    _check_readable(found.pages)
    pages = without_notes(without_heads(found.pages), footnotes)
    layout = Layout.of(pages)
    title, author = _real_name(found.title), _real_name(found.author)
    starts = _find_starts(pages, found.outline)
    if starts:
        title, chapters = _cut_at_outline([line for page in pages for line in page], starts, layout, title)
        return Book(chapters, title, author, found.language)
    blocks = _blocks_of([join_lines([line for page in pages for line in page], layout)])[0]
    book = read_plain_book("\n\n".join(block.text or "* * *" for block in blocks))
    chapters = book.chapters if book is not None else (BookChapter("", tuple(blocks)),)
    return Book(chapters, title, author, found.language)


def _check_readable(pages: Sequence[Sequence[Line]]) -> None:
    """Raise TextError for pages without text, and for text that cannot be read."""
    text = "".join(line.text for page in pages for line in page)
    n_letters = len(SPOKEN.findall(text))
    n_unreadable = len(_UNREADABLE.findall(text))
    if n_letters + n_unreadable < MIN_LETTERS * len(pages) or not n_letters + n_unreadable:
        raise TextError("it has pictures of pages and no text; have the text recognized first, as by ocrmypdf")
    if n_unreadable > MAX_UNREADABLE * (n_letters + n_unreadable):
        raise TextError("its fonts do not say which letters they show; have the text recognized first, as by ocrmypdf")


def _real_name(text: str | None) -> str | None:
    """A title or an author of the metadata; None for what a program put there, such as the name of a file."""
    name = " ".join(normalize_text(text or "").split())
    return name if name and not _FILE_NAME.fullmatch(name) else None


def _blocks_of(sections: Sequence[Sequence[Paragraph]]) -> list[list[Block]]:
    """The blocks of sections. Hyphens are joined in all of them at once, because that depends on the language."""
    texts = join_hyphens(_SEPARATOR.join(part.text for section in sections for part in section)).split(_SEPARATOR)
    left = iter(texts)
    found: list[list[Block]] = []
    for section in sections:
        blocks: list[Block] = []
        for part, own in zip(section, left, strict=False):
            text = " ".join(without_marks(_UNREADABLE.sub(" ", BULLET.sub("", own))).split())
            if is_ornament(text):
                blocks.append(Block("", "scene_break"))
            elif text:
                blocks.append(Block(text, "heading" if part.is_heading else "paragraph"))
        found.append(blocks)
    return found


# ---- the outline -----------------------------------------------------------------------------------------------------


class _Start(NamedTuple):
    """Where the text of an entry of the outline begins. `begin` to `end`: the lines of its heading."""

    begin: int
    end: int
    title: str
    level: int


def _find_starts(pages: Sequence[Sequence[Line]], outline: Sequence[OutlineEntry]) -> list[_Start]:
    """Where the entries of an outline begin among the lines of all pages, in reading order."""
    lines = _IndexedLines(pages)
    names = {_name(entry.title) for entry in outline}
    starts = [lines.find_start(entry, names) for entry in outline if entry.page < len(pages)]
    return sorted(starts, key=lambda start: start.begin)


class _IndexedLines:
    """The lines of all pages, to be found by their words."""

    def __init__(self, pages: Sequence[Sequence[Line]]) -> None:
        self._lines = [line for page in pages for line in page]
        self._names = [_name(line.text) for line in self._lines]
        self._first = [0, *accumulate(map(len, pages))]  # lines of the pages
        self._with_name: dict[tuple[int, str], list[int]] = {}  # lines by page and name
        for k, (line, name) in enumerate(zip(self._lines, self._names, strict=True)):
            self._with_name.setdefault((line.page, name), []).append(k)

    def find_start(self, entry: OutlineEntry, names: Container[str]) -> _Start:
        """Where an entry begins: at its heading, which is found by its words, else at the place where the entry leads.

        A line such as "Chapter 1" above the heading belongs to it, unless it is an entry too. `names`: of all entries.
        """
        first, end_of_page = self._first[entry.page : entry.page + 2]
        headings = [(k, end) for k in self._beginnings(entry) if (end := self._heading_end(k, _name(entry.title)))]
        if not headings:
            below = (k for k in range(first, end_of_page) if _is_below(self._lines[k], entry.top))
            begin = next(below, end_of_page)
            return _Start(begin, begin, entry.title, entry.level)
        begin, end = min(headings, key=lambda found: _distance(self._lines[found[0]], entry))
        label = chapter_heading(self._lines[begin - 1].text) if begin > first else None
        if label is not None and not label.has_title and _name(label.text) not in names:
            return _Start(begin - 1, end, join_titles(label.text, entry.title), entry.level)
        return _Start(begin, end, entry.title, entry.level)

    def _beginnings(self, entry: OutlineEntry) -> Iterator[int]:
        """Yield the lines that the title of an entry begins with, on the page where it leads and on the next one."""
        name = _name(entry.title)[:_MAX_HEADING_LENGTH]
        for page in (entry.page, entry.page + 1):
            for length in range(1, len(name) + 1):
                yield from self._with_name.get((page, name[:length]), ())[:_MAX_SAME_LINES]

    def _heading_end(self, begin: int, name: str) -> int:
        """The end of the lines that have just these words, from a line on; 0 if there are none."""
        words = ""
        for k in range(begin, min(begin + _MAX_HEADING_LINES, len(self._lines))):
            words += self._names[k]
            if words == name:
                return k + 1
            if not name.startswith(words):
                break
        return 0


def _name(text: str) -> str:
    """The letters and digits of a text, to compare headings."""
    return _NOT_IN_NAMES.sub("", text).casefold()


def _is_below(line: Line, top: float | None) -> bool:
    return top is None or line.y <= top


def _distance(line: Line, entry: OutlineEntry) -> tuple[int, float]:
    """How far a line is from where an entry leads."""
    return line.page - entry.page, abs(line.y - entry.top) if entry.top is not None else -line.y


def _cut_at_outline(
    lines: Sequence[Line], starts: Sequence[_Start], layout: Layout, title: str | None
) -> tuple[str | None, tuple[BookChapter, ...]]:
    """The title and the chapters of a document with an outline."""
    front = _front_sections(lines[: starts[0].begin], title)
    ends = [*(start.begin for start in starts[1:]), len(lines)]
    own = [lines[start.end : end] for start, end in zip(starts, ends, strict=True)]
    blocks = _blocks_of([join_lines(part, layout) for part in (*(part for _, part in front), *own)])
    before = [BookChapter("", tuple(blocks[k]), role) for k, (role, _) in enumerate(front)]
    leveled: list[LeveledBlock] = []
    for start, part in zip(starts, blocks[len(front) :], strict=True):
        leveled.append(LeveledBlock(Block(start.title, "heading"), start.level))
        leveled += map(LeveledBlock, part)
    title, chapters = cut_at_headings(leveled, title)
    return title, (*(chapter for chapter in before if chapter.blocks), *chapters)


def _front_sections(lines: Sequence[Line], title: str | None) -> list[tuple[str | None, list[Line]]]:
    """The pages before the first entry of the outline, those with the same role together."""
    pages = [list(page) for _, page in groupby(lines, key=lambda line: line.page)]
    sections: list[tuple[str | None, list[Line]]] = []
    for page in pages:
        role = _role_of_front(page, title)
        if sections and sections[-1][0] == role:
            sections[-1][1].extend(page)
        else:
            sections.append((role, page))
    return sections


def _role_of_front(page: Sequence[Line], title: str | None) -> str | None:
    """What a page before the first chapter is."""
    text = " ".join(line.text for line in page)
    n_entries = sum(_ENDS_WITH_NUMBER.fullmatch(line.text) is not None for line in page)
    if role_of_title(page[0].text) == CONTENTS or (n_entries > 2 and 2 * n_entries > len(page)):
        return CONTENTS
    if (role := role_of_page("", text)) is not None:
        return role
    is_short = len(text.split()) <= _MAX_TITLE_PAGE_WORDS
    return TITLE_PAGE if is_short and title is not None and _name(title) in _name(text) else None
