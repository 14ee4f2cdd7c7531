"""Every line that docs/migrating.md gives for another program's is planned as it stands; nothing of it is left out or unknown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import soundfile
from tiny_hubert import speech

from bark_infinity.cli.main import main
from bark_infinity.options.suggestions import suggest

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
OURS = [line for _, cell in ROWS for line in re.findall(r"`python bark_perform\.py (.*?)`", cell)]
THEIRS = [
    line for cell, ours in ROWS if ours == "the same" for line in re.findall(r"`python bark_perform\.py (.*?)`", cell)
]


@pytest.fixture(autouse=True)
def inputs(make_voice):
    Path("story.txt").write_text("One dog.\nTwo cats.\n")
    Path("voices").mkdir()
    make_voice(1.0).save("voices/mine.npz")
    Path("bark_voices/ljspeech").mkdir(parents=True)
    soundfile.write("bark_voices/ljspeech/speaker.wav", speech(3.0, 24_000), 24_000)


@pytest.mark.parametrize("line", [*OURS, *THEIRS])
def test_line_is_planned(line, capfd):
    assert main([*shlex.split(line), "--dry_run"]) == 0, capfd.readouterr().err


def test_page_has_lines_of_all_three():
    assert len(OURS) >= 12 and len(THEIRS) >= 1
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert [section.partition("\n")[0] for section in sections] == [
        "From Suno's package",
        "From Coqui's",
        "From the first Bark Infinity",
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("split_by_lines", "--split_each_text_prompt_by line"),
        ("split_by_words", "--split_each_text_prompt_by word"),
        ("prompt_file_separator", "--split_input_into_separate_prompts_by"),
        ("stable_mode", "--stable_mode_interval"),
        ("filename", "--output_filename"),
        ("iterations", "--output_iterations"),
        ("list_speaker_idxs", "--list_speakers"),
        ("voice_dirs", "--voice_dir"),
    ],
)
def test_former_names_are_answered_with_ours(theirs, ours):
    assert ours in suggest(theirs)
