"""Tables in a terminal of 80 columns, and in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from bark_infinity.cli import tables
from bark_infinity.cli.layout import shorten
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.planning import plan_clips
from bark_infinity.voices.library import FoundVoice

FOLDER = Path("/home/alice/books/Moby Dick/spoken")
NAMES = [f"{k:03}_It_was_a_bright_cold_day_in_April_and_the_clocks-SPK-v2_en_speaker_6_{k}.wav" for k in range(1, 4)]
CLIPS = [tables.ClipRow((0, k), FOLDER / name, 123.4, 1256.7, 3716580215, "") for k, name in enumerate(NAMES)]


def shown(show, *arguments, width: int = 80, terminal: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    show(console, *arguments)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_final_table_has_one_line_per_clip_and_the_folder_once():
    lines = shown(tables.show_closing, CLIPS, 0, 3770.1)
    assert lines[0] == f"3 clips made in {FOLDER}"
    assert lines[4] == "│ 001_It_was_a_bri…n_speaker_6_1.wav │ 123.4 s │ 1256.7 s │ 0.10x │ 3716580215 │"
    assert [line[2:5] for line in lines[4:7]] == ["001", "002", "003"]
    assert len(lines) == 10 and all(cell_len(line) == 80 for line in lines[1:])


def test_names_are_not_shortened_where_there_is_room():
    for width, terminal in ((140, True), (80, False)):
        lines = shown(tables.show_closing, CLIPS, 0, 3770.1, width=width, terminal=terminal)
        assert all(name in line for name, line in zip(NAMES, lines[4:7], strict=True)) and len(lines) == 10


def test_dry_run_table_has_one_line_per_clip_and_the_folder_once():
    options = resolve(Options(output_dir=str(FOLDER), output_filename="你好世界" * 11 + " the end.flac"))
    plans, _ = plan_clips(["Hello."], options, 1)
    lines = shown(tables.show_plan, plans, options)
    assert "Moby Dick" in " ".join(lines[:2]) and "Moby Dick" not in "".join(lines[2:])
    (row,) = (line for line in lines if "drawn" in line)
    assert "你好世界" in row and "the end.flac" in row and "…" in row and cell_len(row) <= 80


def test_voices_are_listed_below_their_folder_with_full_names():
    voices = [
        FoundVoice(name, Path(f"{folder}/{name}.npz"), 3.0, "large, small")
        for folder, name in (("prompts", "v2/de_speaker_1"), ("prompts", "bob"), (str(FOLDER), "x" * 70))
    ]
    lines = shown(tables.show_voices, voices)
    assert "voices in prompts" in lines and f"voices in {FOLDER}" in lines
    assert any("v2/de_speaker_1" in line and "German" in line for line in lines)
    assert sum(line.count("x") for line in lines if "│" in line) == 70 and max(map(cell_len, lines)) <= 80


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40), st.integers(1, 50))
def test_shortened_names_fit_the_width(name, width):
    assert cell_len(shorten(name, width)) <= width
    assert shorten(name, 100) == name


@pytest.mark.parametrize(
    ("width", "short"), [(26, "abcdefghijklmnopqrstuvwxyz"), (9, "abcd…wxyz"), (8, "abc…wxyz"), (2, "…z"), (1, "…")]
)
def test_names_are_shortened_in_the_middle(width, short):
    assert shorten("abcdefghijklmnopqrstuvwxyz", width) == short
