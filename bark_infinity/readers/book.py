"""What a reader makes of a file: a book with its chapters, as blocks of text in reading order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["paragraph", "heading", "scene_break"]
Footnotes = Literal["skip", "inline"]


@dataclass(frozen=True)
class Block:
    """A paragraph, a heading inside a chapter, or a scene break, which has no text. Line ends are spaces."""

    text: str
    kind: BlockKind = "paragraph"


@dataclass(frozen=True)
class BookChapter:
    """A chapter. `role`: what it is if it is not the book's own text, as "cover" or "contents"; such chapters are skipped."""

    title: str  # "" if it has none
    blocks: tuple[Block, ...]
    role: str | None = None


@dataclass(frozen=True)
class Book:
    """A book. `cover`: a JPEG or a PNG."""

    chapters: tuple[BookChapter, ...]
    title: str | None = None
    author: str | None = None
    language: str | None = None  # as in BCP 47
    cover: bytes | None = field(default=None, repr=False)
