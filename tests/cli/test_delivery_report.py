"""--check_delivery on the command line: a table, what mends it, and the exit status."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console
from sounds import babble, silence

from bark_infinity.cli.delivery_report import passes_delivery, warn_of_delivery
from bark_infinity.errors import OutputError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options

ASKED = resolve(Options(text_prompt="-", check_delivery="acx"))
RATE = 44_100


def checked(*clips: Path, options: Options = ASKED) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    passed = passes_delivery(clips, options, console)
    return passed, console.file.getvalue()


def write(name: str, level: float = 1.0) -> Path:
    loud = level * np.tanh(6 * babble(4, rate=RATE)) / 2
    samples = np.concatenate([silence(0.75, RATE), loud, silence(2, RATE)])
    soundfile.write(name, samples, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=128 / 288)
    return Path(name)


def test_a_file_that_passes_is_shown_with_what_was_measured():
    passed, shown = checked(write("good.mp3"))
    assert passed and "good.mp3: passes ACX's check" in shown
    assert "noise floor" in shown and "192 kbit/s" in shown and "fails" not in shown and "to mend it" not in shown


def test_a_file_that_fails_is_shown_with_what_mends_it():
    passed, shown = checked(write("soft.mp3", 0.3))
    assert not passed and "soft.mp3: fails ACX's check" in shown
    assert shown.count("│ fails") == 1 and "--loudness audiobook sets the level" in shown


def test_of_several_files_those_that_fail_have_tables():
    Path("book.chapters").mkdir()
    good, soft = write("book.chapters/1.mp3"), write("book.chapters/2.mp3", 0.3)
    Path("book.m3u8").write_text(f"#EXTM3U\n{good.as_posix()}\n{soft.as_posix()}\n")
    passed, shown = checked(Path("book.m3u8"))
    assert not passed and shown.count("ACX wants") == 1
    assert "1.mp3: passes ACX's check (RMS level" in shown and "2 files measured for ACX, 1 failed" in shown


def test_nothing_is_measured_unasked():
    assert checked(Path("absent.mp3"), options=resolve(Options(text_prompt="-"))) == (True, "")
    with pytest.raises(OutputError):
        checked(Path("absent.mp3"))


def warnings(**changed) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    warn_of_delivery(resolve(Options(text_prompt="-", **changed)), console)
    return console.file.getvalue()


def test_what_cannot_pass_is_said_before_anything_is_made():
    assert "ACX wants --output_format mp3 --sample_rate 44100 --loudness audiobook" in warnings(check_delivery="acx")
    book = {"output_format": "mp3", "sample_rate": RATE, "loudness": "audiobook"}
    assert warnings(check_delivery="acx", **book) == warnings() == ""
