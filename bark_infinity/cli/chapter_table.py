"""--list_chapters: the chapters of a book or script, with those that are skipped and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import UsageError
from ..narration import ClipSource
from ..options.numbers import chosen_numbers
from ..options.table import Options
from ..reports.tables import count
from ..run.book_source import ScriptChapter
from .console import clock, print_for_pipes
from .layout import Shortened, print_table


def show_chapters(console: Console, source: ClipSource, options: Options) -> None:
    """Print the table, and on a stdout that is no terminal a line with number, title and state for each chapter."""
    chapters = source.chapters()
    if not chapters:
        raise UsageError("--list_chapters found nothing to speak; give a book or a script")
    wanted = None
    if options.chapters is not None:
        wanted = chosen_numbers(options.chapters, len(chapters), "chapters", "chapter", "book")
    states = list(_states([chapter for chapter, _ in chapters], wanted))
    table = Table()
    table.add_column("chapter", justify="right", no_wrap=True)
    table.add_column("title")
    for column in ("words", "about"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    n_words, seconds = 0, 0.0
    for number, ((chapter, about), state) in enumerate(zip(chapters, states, strict=True), 1):
        is_kept = not state
        style = "" if is_kept else "dim"
        row = (Text(str(number), style), Shortened(chapter.title or "(no title)"), Text(f"{chapter.n_words:,}", style))
        table.add_row(*row, Text(clock(about), style), Text(state or "kept", style))
        if is_kept:
            n_words, seconds = n_words + chapter.n_words, seconds + about
    book = source.script.book if source.script is not None else None
    print_table(console, " by ".join(filter(None, (book.title, book.author) if book else ())) or "chapters", table)
    n_kept = states.count("")
    console.print(
        f"{count(n_kept, 'chapter')} of {len(chapters)} kept, {n_words:,} words, about {clock(seconds)} of sound"
    )
    print_for_pipes(
        f"{number}\t{chapter.title}\t{state or 'kept'}"
        for number, ((chapter, _), state) in enumerate(zip(chapters, states, strict=True), 1)
    )


def _states(chapters: Collection[ScriptChapter], wanted: Collection[int] | None) -> Iterator[str]:
    """Yield for each chapter why it is not spoken; "" if it is. `wanted`: indexes of --chapters."""
    for k, chapter in enumerate(chapters):
        if wanted is not None:
            yield "" if k in wanted else "not chosen"
        else:
            yield f"skipped: {chapter.skipped}" if chapter.skipped is not None else ""
