"""The progress display before and after the first finished segment."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bark_infinity.cli.console import RunDisplay
from bark_infinity.run.clips import MasteringProgress
from bark_infinity.run.engine import FleetProgress
from bark_infinity.run.scheduler import RunProgress


class Screen:
    """A display in a terminal of 80 columns, with a fake clock."""

    def __init__(self, monkeypatch, segments: int):
        self.now = 100.0
        monkeypatch.setattr("bark_infinity.cli.console.time.monotonic", lambda: self.now)
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
        self.display = RunDisplay(console, segments)

    def lines(self) -> list[str]:
        console = Console(file=io.StringIO(), width=80, color_system=None)
        console.print(self.display._bar.get_renderable())
        return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]

    def bar(self) -> float:
        return self.display._bar.tasks[0].completed


@pytest.fixture
def screen(monkeypatch) -> Screen:
    return Screen(monkeypatch, 40)


def progress(stage: str, tokens: int, total: int, done: int = 0, rows: int = 32) -> RunProgress:
    return RunProgress(done, 0, rows, stage, tokens, total, done, rows)


def test_first_token_moves_the_bar(screen):
    (line,) = screen.lines()
    assert "0/40 segments" in line and "starting" in line
    screen.display.update(progress("semantic", 1, 24_576))
    first, second = screen.lines()
    assert "0/40 segments" in first and "left" not in first and screen.bar() > 0
    assert "semantic, 32 segments" in second and "1 of at most 24,576 tokens" in second


def test_every_stage_moves_both_bars_and_shows_its_speed(screen):
    shown = []
    for stage in ("semantic", "coarse", "fine"):
        for tokens in (1_000, 5_000, 10_000):
            screen.now += 10.0
            screen.display.update(progress(stage, tokens, 10_000))
            shown.append(screen.bar())
            first, second = screen.lines()
            assert "0/40 segments" in first and ("left" in first) == (stage != "semantic")
            assert f"{stage}, 32 segments" in second and f"{tokens:,} of" in second
            assert ("/s" in second) == (tokens > 1_000)
    assert shown == sorted(set(shown)) and shown[-1] == pytest.approx(32)
    assert " 450/s" in screen.lines()[1]  # 9 000 tokens in the 20 s since the stage's first report


def test_finished_segments_are_counted_while_others_are_in_progress(screen):
    screen.now += 60.0
    screen.display.update(progress("fine", 5_000, 10_000, done=12))
    assert "12/40 segments" in screen.lines()[0] and "0:23 left" in screen.lines()[0]  # 28.8 segments of 40 in 60 s


def test_retried_segments_do_not_move_the_bar_back(screen):
    screen.display.update(progress("fine", 10_000, 10_000, done=30))
    before = screen.bar()
    screen.display.update(RunProgress(30, 0, 10, "semantic", 1, 7_680, 0, 10))
    assert screen.bar() == before and "semantic, 10 segments" in screen.lines()[1]


def test_takes_are_parts_of_segments(screen):
    screen.display.update(RunProgress(0, 0, 30, "fine", 10_000, 10_000, 0, 10))  # three takes of ten segments
    assert screen.bar() == pytest.approx(10) and "fine, 30 takes" in screen.lines()[1]


def test_workers_are_shown_with_their_rate_and_what_is_queued(screen):
    screen.display.update(RunProgress(0, 0, 0, "", 0, 0, 0, fleet=FleetProgress(3, 2, 20, 16, 0.0)))
    first, second = screen.lines()
    assert "0/40 segments" in first and "left" not in first and "2 of 3 workers busy" in second
    screen.now += 30.0
    screen.display.update(RunProgress(15, 5, 0, "", 0, 0, 0, fleet=FleetProgress(3, 3, 9, 16, 1 / 3)))
    first, second = screen.lines()
    assert "15/40 segments" in first and "1:15 left" in first and screen.bar() == 15  # 10 of the run in 30 s, 25 to go
    assert "3 of 3 workers busy" in second and "16 segments at work, 9 queued" in second


def test_passes_over_a_finished_clip_are_shown_and_do_not_count_as_a_stages_time(screen):
    screen.display.update(progress("fine", 10_000, 10_000, done=32))
    before = screen.bar()
    screen.display.update(RunProgress(32, 0, 0, "", 0, 0, 0, mastering=MasteringProgress(2, 0.37)))
    first, second = screen.lines()
    assert "32/40 segments" in first and "setting the loudness" in second and "pass 2, 37%" in second
    assert screen.bar() == before
    screen.now += 1000.0
    screen.display.update(progress("fine", 1_000, 10_000, done=32))
    screen.now += 10.0
    screen.display.update(progress("fine", 10_000, 10_000, done=32))
    assert " 900/s" in screen.lines()[1]
