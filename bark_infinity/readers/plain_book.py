"""Finds the chapters of a plain text: lines such as "Chapter 12" or "# The Door", and what Project Gutenberg adds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..constants import LANGUAGES
from ..text.blocks import MAX_WRAPPED_LENGTH, Paragraph, find_paragraphs
from ..text.breaks import SPOKEN, Break
from ..text.dialogue import chapter_title
from .book import Block, Book, BookChapter
from .chapter_headings import MAX_LENGTH, chapter_heading, is_roman_number
from .chapter_roles import CONTENTS, COPYRIGHT, TITLE_PAGE, role_of_title
from .sections import fold_empty, join_titles

MIN_ROMAN_CHAPTERS = 3  # chapters that have a number only; fewer are sections of a text
MAX_TITLE_PAGE = 100  # words before the contents of a book

_HASH_LINE = re.compile(r"(?:\A|(?<=\n\n))# [^\n]+(?=\n|\Z)")
_GUTENBERG_START = re.compile(
    r"^[ \t]*\*\*\* ?START OF TH[EI]S? PROJECT GUTENBERG E[^*]{1,500}\*\*\*[ \t]*$", re.M | re.I
)
_GUTENBERG_END = re.compile(r"^[ \t]*\*\*\* ?END OF TH[EI]S? PROJECT GUTENBERG E[^*]{1,500}\*\*\*", re.M | re.I)
_DETAIL = re.compile(r"^(?P<name>Title|Author|Language): (?P<value>.+(?:\n {2,}\S.*)*)", re.M)
_LANGUAGES = {name.lower(): code for code, name in LANGUAGES.items()}


@dataclass
class _Section:
    """The text from one heading of a chapter to the next."""

    title: str = ""
    label: str | None = None  # as "chapter 12", which a table of contents has too
    has_title: bool = True  # whether more than the label is known
    role: str | None = None
    paragraphs: list[Paragraph] = field(default_factory=list)


def read_plain_book(text: str) -> Book | None:
    """The book that a plain text is; None if it has no line that begins a chapter, and is not from Project Gutenberg.

    The titles and blocks of all chapters have the words of the text in their order. `text`: as `normalize_text` gives it.
    """
    start = _GUTENBERG_START.search(text)
    if start is None:
        chapters = _chapters(text)
        is_book = any(chapter.title and chapter.blocks and chapter.role is None for chapter in chapters)
        return Book(chapters) if is_book else None
    end = _GUTENBERG_END.search(text, start.end())
    header, footer = text[: start.end()], text[end.start() :] if end is not None else ""
    chapters = _chapters(text[start.end() : len(text) - len(footer)])
    if len(chapters) > 1 and chapters[1].role == CONTENTS and _n_words(chapters[0]) <= MAX_TITLE_PAGE:
        chapters = (dataclasses.replace(chapters[0], role=TITLE_PAGE), *chapters[1:])
    first, last = (BookChapter("", tuple(_blocks(find_paragraphs(part))), COPYRIGHT) for part in (header, footer))
    details = {match["name"]: " ".join(match["value"].split()) for match in _DETAIL.finditer(header)}
    language = _LANGUAGES.get(details.get("Language", "").lower())
    return Book(
        (first, *chapters, *([last] if last.blocks else [])), details.get("Title"), details.get("Author"), language
    )


def _chapters(text: str) -> tuple[BookChapter, ...]:
    sections = _with_contents(_sections(text))
    return fold_empty([BookChapter(part.title, tuple(_blocks(part.paragraphs)), part.role) for part in sections])


def _n_words(chapter: BookChapter) -> int:
    return sum(len(block.text.split()) for block in chapter.blocks)


def _blocks(paragraphs: Sequence[Paragraph]) -> Iterator[Block]:
    """Yield the blocks of paragraphs, and a scene break between those with a line of ornaments between them."""
    for k, paragraph in enumerate(paragraphs):
        yield Block(" ".join(paragraph.text.split()), "heading" if paragraph.heading else "paragraph")
        if paragraph.end is Break.SCENE and k + 1 < len(paragraphs):
            yield Block("", "scene_break")


# ---- headings --------------------------------------------------------------------------------------------------------


def _sections(text: str) -> list[_Section]:
    """A text cut at the headings of its chapters. The first section has what comes before them."""
    sections = [_Section()]
    end = 0
    for line in _HASH_LINE.finditer(text):
        title = chapter_title(line.group())
        if title is not None and len(title) <= MAX_LENGTH:
            _add_paragraphs(sections, text[end : line.start()])
            sections.append(_Section(" ".join(title.split())))
            end = line.end()
    _add_paragraphs(sections, text[end:])
    return sections if len(sections) > 1 else _cut_at_roman_numbers(sections[0])


def _add_paragraphs(sections: list[_Section], text: str) -> None:
    """Add paragraphs to the last section, or to new ones that begin at headings."""
    for paragraph in find_paragraphs(text):
        line = paragraph.text.strip()
        heading = chapter_heading(line)
        section = sections[-1]
        if heading is not None:
            label = " ".join(heading.label.casefold().split())
            sections.append(_Section(" ".join(line.split()), label, heading.has_title))
        elif role_of_title(line) == CONTENTS:
            sections.append(_Section(line, role=CONTENTS))
        elif not section.has_title and not section.paragraphs and _is_subtitle(paragraph):
            section.title, section.has_title = join_titles(section.title, " ".join(line.split())), True
        else:
            section.paragraphs.append(paragraph)


def _is_subtitle(paragraph: Paragraph) -> bool:
    """Whether a paragraph after a line such as "Chapter 12" is the chapter's title."""
    line = paragraph.text.strip()
    in_capitals = line.isupper() and "\n" not in line and len(line) <= MAX_LENGTH
    return (paragraph.heading or in_capitals) and SPOKEN.search(line) is not None and paragraph.end is not Break.SCENE


def _cut_at_roman_numbers(section: _Section) -> list[_Section]:
    """A text without other headings, cut where paragraphs are I, II, III and so on."""
    sections = [_Section()]
    for paragraph in section.paragraphs:
        if len(sections) < 90 and is_roman_number(paragraph.text, len(sections)):
            sections.append(_Section(paragraph.text.strip()))
        else:
            sections[-1].paragraphs.append(paragraph)
    return sections if len(sections) > MIN_ROMAN_CHAPTERS else [section]


# ---- contents --------------------------------------------------------------------------------------------------------


def _with_contents(sections: Sequence[_Section]) -> list[_Section]:
    """The sections with those joined that are entries of a table of contents, whose lines look like headings.

    Of sections with the same label the last one with text is a chapter. Earlier ones without text, and what follows them,
    are entries.
    """
    chapters: dict[str, _Section] = {}
    for section in sections:
        if section.label is not None:
            known = chapters.get(section.label)
            chapters[section.label] = section if known is None or section.paragraphs or not known.paragraphs else known
    found: list[_Section] = []
    for section in sections:
        in_contents = bool(found) and found[-1].role == CONTENTS
        is_repeated = section.label is not None and chapters[section.label] is not section
        if is_repeated and (in_contents or not section.paragraphs):
            if not in_contents:
                found.append(_Section(role=CONTENTS))
            found[-1].paragraphs += [Paragraph(section.title), *section.paragraphs]
        else:
            found.append(section)
    return [part for section in found for part in _without_prose(section)]


def _without_prose(section: _Section) -> Iterator[_Section]:
    """Yield a section; of a table of contents, what follows it as running text becomes a section without a title."""
    first = next((k for k, part in enumerate(section.paragraphs) if _is_prose(part.text)), None)
    if section.role != CONTENTS or first is None:
        yield section
        return
    if first and section.paragraphs[first - 1].heading:
        first -= 1
    yield dataclasses.replace(section, paragraphs=section.paragraphs[:first])
    yield _Section(paragraphs=section.paragraphs[first:])


def _is_prose(text: str) -> bool:
    """Whether lines are running text: long, or wrapped, so that most of them begin in the middle of a sentence."""
    lines = text.split("\n")
    n_small = sum(line.lstrip()[:1].islower() for line in lines[1:])
    return max(map(len, lines)) > MAX_WRAPPED_LENGTH or (len(lines) > 2 and 2 * n_small > len(lines))
