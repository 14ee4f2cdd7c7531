"""The table of --show_takes."""

from __future__ import annotations

import io

from rich.console import Console

from bark_infinity.cli import takes_table
from bark_infinity.cli.takes_table import show_takes
from bark_infinity.run.takes import Try
from bark_infinity.run.trimming import Trim
from bark_infinity.seeds import Seeds
from bark_infinity.text.word_errors import WordErrors

TAKES = (
    Try(Seeds(1), {"quiet_dbfs": -71.2}, 1.5, 1.0, "x", WordErrors(9, 2, 1, 4, 3)),
    Try(Seeds(2), {}, 2.0, 1.0, "y", WordErrors(9), Trim(1, 2)),
    Try(Seeds(3), None),
)


def lines(segments) -> list[str]:
    shown = Console(file=io.StringIO(), width=200)
    show_takes(shown, "clip", segments)
    return shown.file.getvalue().splitlines()


def test_takes_are_listed_with_faults_errors_and_seconds():
    first, second, third = (line for line in lines([(TAKES, 1)]) if line.startswith("│"))
    assert "-71 dBFS" in first and "7 of 9, 2 wrong, 1 missing, 1 invented, 3 at the end" in first and "1.50" in first
    assert "kept" in second and "0 of 9" in second and "2.00 (cut)" in second
    assert "kept" not in first + third and "3" in third


def test_table_of_a_book_is_cut_short(monkeypatch):
    monkeypatch.setattr(takes_table, "_MOST_ROWS", 4)
    shown = lines([(TAKES, 0)] * 2)
    assert sum(line.startswith("│") for line in shown) == 4 and "and 2 more takes" in shown[-1]
