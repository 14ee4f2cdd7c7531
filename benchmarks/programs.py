"""The command line as a user starts it: seconds and memory of a whole process, start-up included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .cases import SEGMENT_SECONDS, SPEC, random_voice
from .worker import ROOT

_SENTENCE = "This is sentence number {}, and it is read aloud by the machine at hand."


@dataclass(frozen=True)
class ProgramRun:
    """A command that was run: the fastest of its runs, and the sound that came out."""

    what: str
    seconds: float
    peak_bytes: int | None
    sound_s: float = 0.0
    segments: int = 0
    failed: str | None = None


def start_up(prompts: int, runs: int) -> list[ProgramRun]:
    """What answers without a model."""
    with tempfile.TemporaryDirectory() as folder:
        file = _text(Path(folder), prompts)
        dry = ["--prompt_file", str(file), "--split_input_into_separate_prompts_by", "line", "--dry_run"]
        return [
            _fastest("--help", ["--help"], 0, runs),
            _fastest(f"--dry_run of {prompts:,} prompts", dry, 0, runs),
        ]


def demo_sentence(runs: int) -> list[ProgramRun]:
    """The demo speaking one sentence, on a quiet machine and beside other programs that keep a core busy, or all of them."""
    flags = ["--single_starting_seed", "1"]
    return [
        _beside(busy, partial(_speak, f"demo, one sentence{where}", "demo", 1, flags, runs))
        for busy, where in ((0, ""), (1, ", beside a busy core"), (os.cpu_count() or 1, ", beside as many as cores"))
    ]


def _beside(busy: int, measure: Callable[[], ProgramRun]) -> ProgramRun:
    """Measure while so many processes do nothing but work."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        return measure()
    finally:
        for process in processes:
            process.kill()
            process.wait()


def text_lengths(segments: Sequence[int]) -> list[ProgramRun]:
    """The demo model over longer and longer texts, of one sentence a segment."""
    return [_speak(f"demo model, {n} segments", "demo", n, ["--single_starting_seed", "1"], 1) for n in segments]


def spoken(
    folder: str, size: str, dtype: str, device: str, segments: int, seconds: float = SEGMENT_SECONDS
) -> ProgramRun:
    """A full-size model from a folder: a clip with a voice, every segment of it so many seconds long."""
    seconds = (round(seconds * SPEC.semantic_rate_hz) - 0.5) / SPEC.semantic_rate_hz
    flags = ["--dtype", dtype, "--device", device, "--semantic_allow_early_stop", "false"]
    flags += ["--semantic_max_gen_duration_s", f"{seconds:.4f}"]
    what = f"{size} model, {dtype}, {segments} segment{'s' * (segments > 1)} of {seconds:.1f} s with a voice"
    return _speak(what, folder, segments, flags, 1, voice=True)


def convert(folder: str, size: str, converted: str, dtype: str) -> ProgramRun:
    """Write a checkpoint again in the type it will be used in."""
    flags = ["--model", folder, "--convert_model", converted, "--dtype", dtype]
    return _fastest(f"{size} model, --convert_model to {dtype}", flags, 0, 1)


def can_convert() -> bool:
    """Whether this version converts checkpoints."""
    from bark_infinity.options.table import flags

    return any(flag.name == "convert_model" for flag in flags())


def _text(folder: Path, lines: int) -> Path:
    path = folder / "text.txt"
    path.write_text("".join(f"{_SENTENCE.format(k + 1)}\n" for k in range(lines)), encoding="utf-8")
    return path


def _speak(what: str, model: str, segments: int, flags: Sequence[str], runs: int, voice: bool = False) -> ProgramRun:
    """A text of so many lines, one segment each."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--model", model, "--prompt_file", str(_text(Path(folder), segments)), "--output_dir", folder]
        arguments += ["--split_each_text_prompt_by", "line", "--split_each_text_prompt_by_value", "1", *flags]
        if voice:
            random_voice().save(Path(folder) / "voice.npz")
            arguments += ["--history_prompt", str(Path(folder) / "voice.npz")]
        return _fastest(what, arguments, segments, runs)


def _fastest(what: str, arguments: Sequence[str], segments: int, runs: int) -> ProgramRun:
    return min((_run(what, arguments, segments) for _ in range(runs)), key=lambda run: run.seconds)


def _run(what: str, arguments: Sequence[str], segments: int) -> ProgramRun:
    command = [sys.executable, str(ROOT / "bark_perform.py"), *arguments]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        peak = _wait(process)
        seconds = time.perf_counter() - start
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            why = (errors.read().strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            return ProgramRun(what, seconds, peak, segments=segments, failed=why)
        sound = sum(_seconds_of(Path(line.strip())) for line in out if line.strip().endswith(".wav"))
    return ProgramRun(what, seconds, peak, sound, segments)


def _wait(process: subprocess.Popen) -> int | None:
    """Most bytes the process had in memory; None on systems that do not tell."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _seconds_of(path: Path) -> float:
    if not path.is_file():  # a plan of a dry run
        return 0.0
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()
