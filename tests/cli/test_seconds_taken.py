"""The reported seconds of a run: wall-clock time, shared out among its clips."""

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
    """Runs a command line with a model that advances a fake clock by 8 s per segment and reports 2 s for each of the four stages."""
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


def test_kept_segments_add_no_time(perform):
    _, (wav,), stderr = perform(*LINES, "--seed", "3")
    assert "in 24.0 s (0.27x real time)" in stderr
    manifest = Path(wav).with_suffix(".json")
    _, (again,), stderr = perform("--from_manifest", str(manifest), "--regenerate", "2", "--show_generation_times")
    assert "in 8.0 s (0.81x real time)" in stderr and "1 (kept)" in stderr and "2 (kept)" not in stderr
    content = json.loads(Path(again).with_suffix(".json").read_text())
    assert content["seconds_taken"] == 24.0  # the total over both runs


def test_shares_of_the_clips_add_up_to_the_run():
    clips = [tables.ClipRow((0, k), Path(f"{k}.wav"), 2.0, taken, 1, "") for k, taken in enumerate((8.0, 16.0))]
    console = Console(file=io.StringIO(), width=80)
    tables.show_closing(console, clips, 0, 30.0)
    shown = console.file.getvalue()
    column = [float(found) for found in re.findall(r"(\d+\.\d) s │ +(?:[\d.]+x)? +│", shown)]
    assert column == [8.0, 16.0, 6.0, 30.0]


def test_takes_of_a_prompt_share_the_run(perform):
    _, wavs, stderr = perform("--text_prompt", "One.", "--output_iterations", "3")
    assert len(wavs) == 3 and stderr.count("in 8.0 s") == 3 and re.search(r"all │ 6.0 s │ 24.0 s", stderr)
