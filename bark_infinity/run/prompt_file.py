"""Reads --prompt_file: a text in any encoding, subtitles, or a book."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..errors import TextError, UsageError
from ..files import read_bounded, read_stream
from ..options.table import Options
from ..readers.book import Book, Footnotes
from ..readers.books import MAX_TEXT_BYTES, book_kind, kind_by_name, max_bytes, read_book
from ..readers.encodings import check_encoding, decode_text
from ..readers.plain import join_hyphens
from ..readers.subtitles import subtitles_by_content, subtitles_by_name, text_of_cues, timed_script
from ..text.front_matter import parse_cast
from ..text.splitting import normalize_text

_NO_SUBTITLES = "this is no subtitle file; --fit_subtitles takes .srt, .vtt, .ass and .ssa"


def read_prompt_file(name: str, options: Options, notify: Callable[[str], None]) -> str | Book:
    """The text of --prompt_file (`-`: standard input), or the book in it.

    Of subtitles, only the spoken text, with times for --fit_subtitles. Raises UsageError or TextError.
    """
    where, wanted_encoding = f"--prompt_file {name}", options.text_encoding
    check_encoding(wanted_encoding)
    try:
        data = _read_bytes(name, notify)
        footnotes: Footnotes = "inline" if options.footnotes == "inline" else "skip"
        if (book := read_book(data, name, footnotes, wanted_encoding)) is not None:
            if options.fit_subtitles:
                raise TextError(_NO_SUBTITLES)
            if kind_by_name(name) is None:
                notify(f"{where} is read as a book ({book_kind(data, name)})")
            return book
        text, encoding, damaged = decode_text(data, wanted_encoding)
        if wanted_encoding == "auto" and (encoding != "utf-8" or damaged):
            left_out = f", {damaged} damaged places left out" if damaged else ""
            notify(f"{where} is read as {encoding}{left_out}; if that is wrong, give its --text_encoding")
        text = normalize_text(text)
        kind = subtitles_by_name(name) or subtitles_by_content(text)
        if kind is None and options.fit_subtitles:
            raise TextError(_NO_SUBTITLES)
        if kind is None:
            return join_hyphens(text)
        if subtitles_by_name(name) is None:
            notify(f"{where} is read as subtitles; only what is said in them is spoken")
        cast = parse_cast(options.cast) if options.cast is not None and options.script != "plain" else {}
        return timed_script(text, cast) if options.fit_subtitles else text_of_cues(text, cast)
    except TextError as error:
        raise TextError(f"{where}: {error}") from None


def _read_bytes(name: str, notify: Callable[[str], None]) -> bytes:
    try:
        if name != "-":
            waiting = f"waiting for a program that writes to {name}"
            return read_bounded(name, MAX_TEXT_BYTES, lambda: notify(waiting), max_bytes)
        if sys.stdin is None:
            raise UsageError("--prompt_file - has no standard input to read; give the path of a text file")
        return read_stream(sys.stdin.buffer, MAX_TEXT_BYTES, max_bytes)
    except FileNotFoundError:
        raise UsageError(f"--prompt_file {name} does not exist; give the path of a text file") from None
    except OSError as error:
        raise UsageError(f"--prompt_file {name} cannot be read ({error.strerror}); give a readable text file") from None
