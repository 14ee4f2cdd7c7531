"""Reads Markdown: CommonMark with tables, strikethrough, footnotes and metadata at the top."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from ..extras import missing_extra
from ..text.splitting import normalize_text
from .book import Book, Footnotes
from .encodings import decode_text
from .footnotes import Notes
from .html_blocks import read_blocks
from .markdown_metadata import split_metadata
from .markup import parse_markup
from .plain import join_hyphens
from .sections import LeveledBlock, cut_at_headings

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

_NOTES = "footnotes"  # in markdown-it's environment: the texts of footnotes by their labels
_INDENT = 4  # spaces before the further lines of a footnote
_LABEL = r"\[\^(?P<label>[^\]\s]{1,100})\]"
_MARK = re.compile(_LABEL)
_DEFINITION = re.compile(rf"{_LABEL}:[ \t]*")
_FENCED_DIV = re.compile(r"^ {0,3}:{3,}[^\n]*$", re.MULTILINE)  # pandoc's ::: {.note}
_ATTRIBUTES = re.compile(r"\s*\{[#.:][^{}]*\}$")  # pandoc's {#introduction .unnumbered} behind a heading
_CHECK_BOX = re.compile(r"\[[ xX]\] ")


def read_markdown(data: bytes, footnotes: Footnotes, encoding: str = "auto") -> Book:
    """The book in a Markdown file. Raises TextError if it is not text, UsageError without the package that reads it."""
    text = join_hyphens(normalize_text(decode_text(data, encoding).text))
    metadata, text = split_metadata(text)
    root = parse_markup(_to_html(_FENCED_DIV.sub("", text)))
    notes = Notes(footnotes)
    notes.add("", root)
    blocks = []
    for piece in read_blocks(root, "", notes):
        cleaned = _ATTRIBUTES if piece.level else _CHECK_BOX
        block = dataclasses.replace(piece.block, text=cleaned.sub("", piece.block.text, count=1))
        blocks.append(LeveledBlock(block, piece.level or None))
    title, chapters = cut_at_headings(blocks, metadata.title)
    return Book(chapters, title, metadata.author, metadata.language)


def _to_html(text: str) -> str:
    """The HTML of a Markdown text, with the footnotes at its end."""
    try:
        from markdown_it import MarkdownIt
    except ModuleNotFoundError:
        raise missing_extra("Markdown", "books") from None
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parser.block.ruler.before("reference", "footnote", _read_definition, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("link", "footnote", _read_mark)
    notes: dict[str, str] = {}
    body = parser.render(text, {_NOTES: notes})
    own = (f'<div id="{_note_id(label)}">{parser.render(note, {_NOTES: {}})}</div>' for label, note in notes.items())
    return f'{body}<div class="footnotes">{"".join(own)}</div>'


def _note_id(label: str) -> str:
    return f"fn-{label.encode().hex()}"


def _read_definition(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A rule of markdown-it: `[^1]: text` and the indented lines below are a footnote, and no part of the text."""
    definition = _DEFINITION.match(state.src, state.bMarks[start] + state.tShift[start], state.eMarks[start])
    if definition is None or state.is_code_block(start):
        return False
    if silent:
        return True
    lines = [state.src[definition.end() : state.eMarks[start]]]
    line = start + 1
    while line < end and not _ends_definition(state, line, end, after_blank=not lines[-1].strip()):
        lines.append(state.getLines(line, line + 1, state.blkIndent + _INDENT, False))
        line += 1
    state.env[_NOTES].setdefault(definition["label"], "\n".join(lines))
    state.line = line
    return True


def _ends_definition(state: StateBlock, line: int, end: int, after_blank: bool) -> bool:
    """Whether a line is no part of the footnote above: it is not indented, and follows a blank line or begins a block."""
    if state.isEmpty(line) or state.sCount[line] - state.blkIndent >= _INDENT:
        return False
    return after_blank or any(begins(state, line, end, True) for begins in state.md.block.ruler.getRules("paragraph"))


def _read_mark(state: StateInline, silent: bool) -> bool:
    """A rule of markdown-it: `[^1]` and `^[text]` are links to footnotes, as `readers.footnotes` knows them."""
    mark = _MARK.match(state.src, state.pos, state.posMax)
    if mark is not None:
        label, end = mark["label"], mark.end()
        if label not in state.env[_NOTES] and not label.isdecimal():
            return False
    elif state.src.startswith("^[", state.pos):
        end = state.md.helpers.parseLinkLabel(state, state.pos + 1) + 1
        if end <= 0:
            return False
        label = f" {len(state.env[_NOTES])}"  # no label in brackets begins with a space
        if not silent:
            state.env[_NOTES][label] = state.src[state.pos + 2 : end - 1]
    else:
        return False
    if not silent:
        state.push("html_inline", "", 0).content = f'<a class="footnote-ref" href="#{_note_id(label)}"></a>'
    state.pos = end
    return True
