"""The seconds that a run says it took: those that went by, shared out among its clips."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bark_infinity.bark import Bark, Generation
from bark_infinity.cli import main as cli
from bark_infinity.cli import tables
from bark_infinity.voices.voice import Voice

LINES = ["--text_prompt", "One.\nTwo.\nThree.", "--split_each_text_prompt_by", "line"]


@pytest.fixture
def perform(capsys, monkeypatch):
    """A model that takes 8 s of a clock for each segment, which it says are 2 s in each of the four stages."""
    clock = itertools.count(1.0, 0.0)

    def stream(self, segments, *_):
        nonlocal clock
        for place, _ in enumerate(segments):
            clock = itertools.count(next(clock) + 8.0, 0.0)
            voice = Voice(np.zeros(100, int), np.zeros((2, 150), int), np.zeros((8, 150), int))
            taken = dict.fromkeys(("semantic", "coarse", "fine", "codec"), 2.0)
            yield place, Generation(voice, np.ones(48_000, np.float32) / 2, 0, taken)

    monkeypatch.setattr(Bark, "stream", stream)
    monkeypatch.setattr("bark_infinity.cli.speak.time.monotonic", lambda: next(clock))

    def run(*arguments: str) -> tuple[int, list[str], str]:
        status = cli.main(["--model", "demo", "--check_segments", "off", *arguments])
        out, err = capsys.readouterr()
        return status, out.splitlines(), " ".join(err.split())

    return run


def test_segments_of_an_earlier_run_take_no_time_of_this_one(perform):
    _, (wav,), said = perform(*LINES, "--seed", "3")
    assert "in 24.0 s (0.27x real time)" in said
    manifest = Path(wav).with_suffix(".json")
    _, (again,), said = perform("--from_manifest", str(manifest), "--regenerate", "2", "--show_generation_times")
    assert "in 8.0 s (0.81x real time)" in said and "1 (kept)" in said and "2 (kept)" not in said
    content = json.loads(Path(again).with_suffix(".json").read_text())
    assert content["seconds_taken"] == 24.0  # what the clip has cost in all


def test_shares_of_clips_and_the_rest_add_up():
    clips = [tables.ClipRow((0, k), Path(f"{k}.wav"), 2.0, taken, 1, "") for k, taken in enumerate((8.0, 16.0))]
    console = Console(file=io.StringIO(), width=80)
    tables.show_closing(console, clips, 0, 30.0)
    shown = console.file.getvalue()
    column = [float(found) for found in re.findall(r"(\d+\.\d) s │ +(?:[\d.]+x)? +│", shown)]
    assert column == [8.0, 16.0, 6.0, 30.0]


def test_takes_of_a_prompt_share_the_run(perform):
    _, wavs, said = perform("--text_prompt", "One.", "--output_iterations", "3")
    assert len(wavs) == 3 and said.count("in 8.0 s") == 3 and re.search(r"all │ 6.0 s │ 24.0 s", said)
