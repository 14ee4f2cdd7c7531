"""Splits a text at scene breaks and headings into blocks.

A line of ornaments (`***`, `---`, `#`, ❧) is a scene break, or underlines a heading. It is never spoken.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from .breaks import SPOKEN, SYLLABLE, SYLLABLE_LENGTH, VERSE_LINE_LENGTH, Break, TextSegment

MAX_HEADING_LENGTH = 60  # characters
MAX_HEADING_WORDS = 10
MAX_WRAPPED_LENGTH = 150  # characters; a text with longer lines is not wrapped
MAX_HEADINGS = 3  # in succession; more short paragraphs are a list or a poem


class Block(NamedTuple):
    """Some paragraphs, or one heading, and the break after them: PARAGRAPH or SCENE."""

    text: str
    end: Break


def find_blocks(text: str) -> list[Block]:
    """The blocks of a text, without lines of ornaments. No segment may cross the end of a block.

    Every block has a letter or a digit: paragraphs without one belong to the block before them. A text without any is one
    block.
    """
    if not SPOKEN.search(text):
        return [Block(text, Break.PARAGRAPH)] if text.strip() else []
    blocks: list[Block] = []
    parts: list[Paragraph] = []  # of the block that is not complete yet

    def close(end: Break) -> None:
        own = "\n\n".join(part.text for part in parts)
        if SPOKEN.search(own):
            blocks.append(Block(own, end))
        elif blocks and own:
            blocks[-1] = Block(f"{blocks[-1].text}\n\n{own}", max(blocks[-1].end, end))
        else:
            return  # it is put before the next paragraph
        parts.clear()

    for paragraph in find_paragraphs(text):
        if paragraph.heading:
            close(Break.PARAGRAPH)
        parts.append(paragraph)
        if paragraph.heading or paragraph.end is Break.SCENE:
            close(paragraph.end)
    close(Break.PARAGRAPH)
    return blocks


def texts_of_spans(text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
    """The texts of these spans with white space collapsed, without lines of ornaments and empty texts."""
    texts = (_text_of(text, parts) for parts in _without_ornaments(text, spans))
    return [own for own in texts if own]


def segments_of_spans(text: str, spans: Iterable[tuple[int, int]]) -> list[TextSegment]:
    """As `texts_of_spans`, but only texts with something to speak, and with the break after each.

    A blank line between spans is a PARAGRAPH break, a line of ornaments a SCENE break, anything else a WORD break.
    """
    segments: list[TextSegment] = []
    previous_end = 0
    for parts in _without_ornaments(text, spans):
        parts = [(a, b) for a, b in parts if SPOKEN.search(text, a, b) or "♪" in text[a:b]]
        if not parts:
            continue
        (start, _), (_, end) = parts[0], parts[-1]
        start, end = end - len(text[start:end].lstrip()), start + len(text[start:end].rstrip())
        if segments:
            segments[-1] = segments[-1]._replace(end=_break_in(text[previous_end:start]))
        segments.append(TextSegment(_text_of(text, parts), Break.PARAGRAPH))
        previous_end = end
    return segments


def _without_ornaments(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield the parts of each span that are left without lines of ornaments. `spans` are in ascending order."""
    scenes = deque(match.span() for match in _LINE.finditer(text) if is_ornament(match.group()))
    for start, end in spans:
        while scenes and scenes[0][1] <= start:
            scenes.popleft()
        yield list(_without(start, end, scenes))


def _text_of(text: str, parts: Iterable[tuple[int, int]]) -> str:
    return " ".join(" ".join(text[start:end] for start, end in parts).split())


def is_ornament(line: str) -> bool:
    """Whether a line consists of ornaments. Punctuation alone, such as "?!", does not count as ornament."""
    signs = "".join(line.split())
    return (
        bool(signs)
        and all(unicodedata.category(sign)[0] in "PSM" for sign in signs)
        and not _EMOJI_OR_MUSIC.search(signs)
        and _ORNAMENT.search(signs) is not None
    )


_LINE = re.compile(r"[^\n]+")
BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_EMOJI_OR_MUSIC = re.compile("[♩-♯\U0001f000-\U0001ffff]")
_ORNAMENT = re.compile(r"[^.,;:!?…'\"“”„‘’‚«»‹›()\[\]{}¿¡。、，；：！？・「」『』（）।॥]")
_INDENT = re.compile("(?:  +|\t|\u3000)(?=\\S)")
_UNDERLINE = re.compile(r"([-=~_^+*#\"'])\1{2,}")


def _without(start: int, end: int, holes: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a span outside the holes, which are in ascending order and end after its start."""
    for hole_start, hole_end in holes:
        if hole_start >= end:
            break
        if start < hole_start:
            yield start, hole_start
        start = hole_end
    if start < end:
        yield start, end


def _break_in(gap: str) -> Break:
    """The break that the text between two spans makes."""
    if any(is_ornament(line) for line in gap.splitlines()):
        return Break.SCENE
    return Break.PARAGRAPH if BLANK_LINE.search(gap) else Break.WORD


# ---- paragraphs and headings -----------------------------------------------------------------------------------------


class Paragraph(NamedTuple):
    """A paragraph or a heading, and the break after it: PARAGRAPH or SCENE."""

    text: str  # its lines
    end: Break = Break.PARAGRAPH
    heading: bool = False


def find_paragraphs(text: str) -> list[Paragraph]:
    """The paragraphs of a text, without lines of ornaments, with headings marked."""
    return _mark_headings(_paragraphs(text))


def _paragraphs(text: str) -> list[Paragraph]:
    """The paragraphs of a text, separated by blank lines, lines of ornaments and chapter headings."""
    found: list[Paragraph] = []
    lines: list[str] = []

    def close() -> None:
        found.extend(Paragraph("\n".join(own)) for own in _split_lines(lines))
        lines.clear()

    for line in text.split("\n"):
        if not line.strip():
            close()
        elif not is_ornament(line):
            lines.append(line)
            if len(lines) == 1 and _is_chapter(line):
                found.append(Paragraph(line, heading=True))
                lines.clear()
        elif len(lines) == 1 and _UNDERLINE.fullmatch(line.strip()) and _may_be_heading(lines[0]):
            found.append(Paragraph(lines.pop(), heading=True))
        else:
            close()
            if found:
                found[-1] = found[-1]._replace(end=Break.SCENE)
    close()
    return found


def _split_lines(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the paragraphs in lines without blank ones between them: one per line, or each with an indented first line."""
    longest = max(map(_length, lines), default=0)
    if len(lines) > 1 and longest > MAX_WRAPPED_LENGTH:
        with_stop = sum(_STOP.search(line.rstrip()) is not None for line in lines)
        starts = list(range(len(lines))) if 3 * with_stop >= 2 * len(lines) else [0]
    elif longest > VERSE_LINE_LENGTH and any(not _INDENT.match(line) for line in lines):
        starts = [0, *(k for k in range(1, len(lines)) if _INDENT.match(lines[k]) and not _INDENT.match(lines[k - 1]))]
    else:
        starts = [0]
    yield from (lines[start:end] for start, end in pairwise([*starts, len(lines)]) if start < end)


def _mark_headings(paragraphs: Sequence[Paragraph]) -> list[Paragraph]:
    """The paragraphs with headings marked: short ones without a full stop at the end, followed by another paragraph."""
    marked: list[Paragraph] = []
    n_before = 0  # possible headings in succession; too many of them are a list or a poem
    for k, paragraph in enumerate(paragraphs):
        text = paragraph.text.strip()
        if match := _DECORATED.fullmatch(text):
            text = match["title"]
        heading = paragraph.heading or (k + 1 < len(paragraphs) and _may_be_heading(text))
        marked.append(Paragraph(text if heading else paragraph.text, paragraph.end, heading))
        n_before = n_before + 1 if heading and not (_is_chapter(text) or _TITLE.fullmatch(text)) else 0
        if n_before > MAX_HEADINGS:
            for i in range(k - MAX_HEADINGS, k + 1):
                marked[i] = paragraphs[i]._replace(heading=False)
    return marked


_NUMBER = (
    r"(?:\d+|[IVXLC]+|(?:the )?(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty"
    r"|forty|fifty)(?:[- ]\w+)?|(?:the )?(?:first|second|third|fourth|fifth|last))"
)
PART_WORDS = (
    "chapter part book volume act scene section canto kapitel teil buch band akt szene abschnitt chapitre partie livre "
    "tome acte scène capítulo parte libro tomo acto escena capitolo atto scena cena ato livro rozdział część księga tom "
    "глава часть книга том акт сцена bölüm kısım kitap perde अध्याय भाग खंड"
)
PROLOGUE_WORDS = (
    "prologue epilogue preface foreword introduction afterword prolog epilog vorwort nachwort prólogo epílogo épilogue "
    "prologo epilogo пролог эпилог önsöz 序章 終章 终章 序 프롤로그 에필로그"
)
_CHAPTER = re.compile(  # a heading even without a blank line after it
    rf"(?:{'|'.join(PART_WORDS.split())}) {_NUMBER}(?: ?[:.–—-](?: \S.*)?)?"
    r"|第 ?[\d〇零一二三四五六七八九十百千]+ ?[章節节回卷話话部幕](?:[ :：].*)?|제 ?\d+ ?[장부화막절](?:[ :：].*)?",
    re.IGNORECASE,
)
_TITLE = re.compile(  # a heading whatever it ends with
    rf"(?:{'|'.join(PROLOGUE_WORDS.split())})[.:]?|(?-i:[IVXLC]+)[.)]?|§? ?\d+[.)]?", re.IGNORECASE
)
_DECORATED = re.compile(r"(?P<marks>[*~#=•·❧☙❦◆★☆_]+|--+)\s+(?P<title>\S(?:.*\S)?)\s+(?:[*~#=•·❧☙❦◆★☆_]+|--+)")
_STOP = re.compile(r"[.,;:!?…।॥。、，；：！？؟۔\"“”'’»«)\]}♪]$")
_SPEECH = re.compile(r"[\"“„‘«»「『\[(*♪–—-]|[^\W\d_]+(?: [^\W_]+){0,2}:")  # quotations, tags, names of speakers


def _is_chapter(line: str) -> bool:
    return _CHAPTER.fullmatch(" ".join(line.split())) is not None and _is_short(line)


def _length(line: str) -> int:
    return len(line) + (SYLLABLE_LENGTH - 1) * len(SYLLABLE.findall(line))


def _is_short(line: str) -> bool:
    return _length(line) <= MAX_HEADING_LENGTH and len(line.split()) <= MAX_HEADING_WORDS


def _may_be_heading(text: str) -> bool:
    text = text.strip()
    if "\n" in text or not _is_short(text) or not SPOKEN.search(text):
        return False
    if _is_chapter(text) or _TITLE.fullmatch(text):
        return True
    return not (_STOP.search(text) or _SPEECH.match(text) or text[0].islower())
