"""Books as scripts: which of their chapters are spoken, and what is said in each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import TextError
from ..options.numbers import chosen_numbers
from ..readers.book import Block, Book
from ..readers.chapter_roles import role_of_title
from ..readers.plain import SOFT_HYPHEN
from ..text.blocks import is_ornament
from ..text.breaks import SYLLABLE
from ..text.events import BookTags, Chapter, Event, Place, Script, Speech
from ..text.script import parse_script
from ..text.speeches import is_spoken
from ..text.splitting import normalize_text

MAX_TITLE_LENGTH = 200  # characters of a chapter's title in files and tables

_SCENE_BREAK = "***"
_MOST_TITLE_BLOCKS = 3  # at the beginning of a chapter, that together may be its title
_PLACE = Place(1, 1)  # books have no lines
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class ScriptChapter:
    """A chapter that can be chosen. `skipped`: why it is not spoken unless it is asked for."""

    title: str
    events: tuple[Event, ...]
    skipped: str | None = None

    @property
    def n_words(self) -> int:
        """The number of words; of Chinese, Japanese and Korean, that of characters."""
        text = " ".join(event.text for event in self.events if isinstance(event, Speech))
        n_syllables = len(SYLLABLE.findall(text))
        return n_syllables + len(_WORD.findall(SYLLABLE.sub(" ", text) if n_syllables else text))


def tags_of(book: Book) -> BookTags:
    """What a book says of itself."""
    return BookTags(*(value and _line(value) or None for value in (book.title, book.author, None, book.language)))


def chapters_of_book(book: Book, speak_titles: bool, has_tags: bool = False) -> list[ScriptChapter]:
    """The chapters of a book as events of a script.

    `speak_titles`: also the titles are said. `has_tags`: it is a text with tags such as [pause]; else nothing is markup.
    """
    is_alone = len(book.chapters) == 1
    chapters: list[ScriptChapter] = []
    for number, chapter in enumerate(book.chapters, 1):
        title = _line(chapter.title)
        title = title if is_spoken(title) else ""
        name = None if is_alone and not title else _shortened(title) or str(number)
        paragraphs = list(_paragraphs(_with_title(title, chapter.blocks, speak_titles)))
        skipped = chapter.role or (None if is_alone else role_of_title(title))
        if skipped is None and not any(_is_text(block) for block in chapter.blocks):
            skipped = "no text"
        chapters.append(ScriptChapter(title, tuple(_events(name, "\n\n".join(paragraphs), has_tags)), skipped))
    return chapters


def chapters_of_script(script: Script) -> list[ScriptChapter]:
    """The chapters of a script; what is before the first one is a chapter without a title."""
    chapters: list[tuple[str, list[Event]]] = []
    for event in script.events:
        if isinstance(event, Chapter) or not chapters:
            chapters.append((event.title if isinstance(event, Chapter) else "", []))
        chapters[-1][1].append(event)
    return [ScriptChapter(title, tuple(events)) for title, events in chapters]


def chosen_chapters(chapters: Sequence[ScriptChapter], wanted: str | None) -> list[ScriptChapter]:
    """The chapters that are spoken: those that --chapters names, else all that are not skipped.

    Raises UsageError for numbers that are none, TextError if all are skipped.
    """
    if wanted is not None:
        numbers = chosen_numbers(wanted, len(chapters), "chapters", "chapter", "book")
        return [chapter for k, chapter in enumerate(chapters) if k in numbers]
    chosen = [chapter for chapter in chapters if chapter.skipped is None]
    if not chosen:
        reasons = ", ".join(dict.fromkeys(chapter.skipped for chapter in chapters if chapter.skipped is not None))
        raise TextError(
            f"it has no chapter that is spoken unasked ({reasons or 'it is empty'}); see --list_chapters, and choose with "
            "--chapters"
        )
    return chosen


def events_of(chapters: Sequence[ScriptChapter]) -> tuple[Event, ...]:
    """The events of several chapters."""
    return tuple(event for chapter in chapters for event in chapter.events)


def _events(name: str | None, text: str, has_tags: bool) -> Iterator[Event]:
    """Yield the events of a chapter with this text. `name`: as tables and files call the chapter; None: it is the only one."""
    if name is not None:
        yield Chapter(name, _PLACE)
    speech = Speech(text, _PLACE)
    events = parse_script(text, "plain").events if has_tags else (speech,) if text else ()
    for k, event in enumerate(events):
        if k == 0 and name is not None and isinstance(event, Speech):
            event = dataclasses.replace(event, new_paragraph=True)
        yield event


def _with_title(title: str, blocks: Sequence[Block], speak: bool) -> Sequence[Block]:
    """The blocks of a chapter with its title before them, if it is spoken, and never twice.

    The title is often what the first blocks say too, or a part of it.
    """
    n, has_more = _title_blocks(title, blocks)
    if not speak:
        return blocks[n:]
    return blocks if has_more else [Block(title, "heading"), *blocks[n:]]


def _title_blocks(title: str, blocks: Sequence[Block]) -> tuple[int, bool]:
    """How many blocks at the beginning say the title, and whether they say all of it, or more."""
    wanted, said, n_partly = _letters(title), "", 0
    is_heading = True
    for n, block in enumerate(blocks[:_MOST_TITLE_BLOCKS], 1):
        is_heading &= block.kind == "heading"
        said += _letters(block.text)
        if said == wanted or (is_heading and wanted in said):
            return n, True
        if is_heading and said and said in wanted:
            n_partly = n
    return n_partly, False


def _paragraphs(blocks: Sequence[Block]) -> Iterator[str]:
    """Yield the paragraphs of a chapter, and scene breaks between them."""
    is_scene_end, is_first = False, True
    for block in blocks:
        if block.kind == "scene_break":
            is_scene_end = True
        elif not is_spoken(text := _line(block.text)):
            is_scene_end |= is_ornament(text)
        else:
            if is_scene_end and not is_first:
                yield _SCENE_BREAK
            yield text
            is_scene_end = is_first = False


def _is_text(block: Block) -> bool:
    return block.kind != "scene_break" and is_spoken(block.text)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _line(text: str) -> str:
    """A text in one line, as it is when it is read from a file."""
    return " ".join(normalize_text(text.replace(SOFT_HYPHEN, "")).split())


def _shortened(title: str) -> str:
    return title if len(title) <= MAX_TITLE_LENGTH else f"{title[: MAX_TITLE_LENGTH - 1].rstrip()}…"
