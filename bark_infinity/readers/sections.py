"""Cuts the blocks of a document into chapters at its headings, and joins titles that have no text of their own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .book import Block, BookChapter
from .chapter_headings import is_part_heading
from .chapter_roles import role_of_title


class LeveledBlock(NamedTuple):
    """A block. `level`: of a heading that may begin a chapter, 1 is the highest; None: the block begins none."""

    block: Block
    level: int | None = None


def cut_at_headings(
    blocks: Sequence[LeveledBlock], title: str | None = None
) -> tuple[str | None, tuple[BookChapter, ...]]:
    """The title of a document and its chapters. `title`: as its metadata has it.

    Chapters begin at headings of the highest level that occurs more than once, at those above, and below a part, as "Part
    One", at those of the next level. A first heading above all others is the title.
    """
    levels = Counter(block.level for block in blocks if block.level is not None)
    chapter_level = min((level for level, n in levels.items() if n > 1), default=min(levels, default=1))
    first = next((k for k, block in enumerate(blocks) if block.level is not None), None)
    if first is not None and _is_title(blocks[first], levels, chapter_level, title):
        title = title or blocks[first].block.text
        blocks = [*blocks[:first], *blocks[first + 1 :]]
    chapters = [BookChapter("", ())]
    own: list[Block] = []
    begins = _begin_chapters(blocks, chapter_level)
    for (block, _), begins_chapter in zip(blocks, begins, strict=True):
        if begins_chapter:
            chapters[-1] = dataclasses.replace(chapters[-1], blocks=tuple(own))
            chapters.append(BookChapter(block.text, (), role_of_title(block.text)))
            own = []
        else:
            own.append(block)
    chapters[-1] = dataclasses.replace(chapters[-1], blocks=tuple(own))
    return title, fold_empty(chapters)


def _begin_chapters(blocks: Sequence[LeveledBlock], chapter_level: int) -> Iterator[bool]:
    """Yield for each block whether it begins a chapter."""
    above: list[tuple[int, bool]] = []  # level of each open heading, and whether it is that of a part
    for block, level in blocks:
        if level is None:
            yield False
            continue
        while above and above[-1][0] >= level:
            above.pop()
        begins = level <= chapter_level or (bool(above) and above[-1][1])
        above.append((level, begins and is_part_heading(block.text)))
        yield begins


def _is_title(first: LeveledBlock, levels: Counter[int], chapter_level: int, title: str | None) -> bool:
    """Whether the first heading of a document is its title. `title`: as the metadata has it."""
    level, text = first.level, first.block.text
    assert level is not None
    is_known = title is None or title.casefold() == text.casefold()
    return is_known and levels[level] == 1 and level < chapter_level and level == min(levels)


def fold_empty(chapters: Sequence[BookChapter]) -> tuple[BookChapter, ...]:
    """The chapters that have text. The title of one without text begins the next title, as in "Part Two. Chapter 9"."""
    found: list[BookChapter] = []
    titles: list[str] = []
    for chapter in chapters:
        if chapter.role is not None and titles:  # a skipped chapter does not take the title of a part
            found.append(BookChapter("", (Block(join_titles(*titles), "heading"),)))
            titles = []
        if chapter.title:
            titles.append(chapter.title)
        if chapter.blocks or chapter.role is not None:
            found.append(dataclasses.replace(chapter, title=join_titles(*titles)))
            titles = []
    if titles and found:
        last = found[-1]
        found[-1] = dataclasses.replace(last, blocks=(*last.blocks, Block(join_titles(*titles), "heading")))
    elif titles:
        found.append(BookChapter(join_titles(*titles), ()))
    return tuple(found)


def join_titles(*titles: str) -> str:
    """One title of several: "Chapter 12" and "The Door" are "Chapter 12. The Door"."""
    ended = (title if title[-1] in ".:!?。：！？" else f"{title}." for title in titles[:-1])
    return " ".join((*ended, *titles[-1:]))
