"""How well the demo model is understood: word error rates beside those of its teacher and of its codec alone.

    pip install -e ".[dev,training]"
    python benchmarks/intelligibility.py --seeds 3

Sentences that no stage learned from (`plain_sentences.txt`) are spoken by the command line as a user starts it, in every
type, side by side, in two goes with an interruption, and with each voice file; pocketsphinx writes down what it hears.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bark_infinity.constants import SAMPLE_RATE  # noqa: E402
from benchmarks.listening import median_pitch, word_error_rate  # noqa: E402

SENTENCES = Path(__file__).with_name("plain_sentences.txt")
_BY_LINE = ("--split_input_into_separate_prompts_by", "line")


@dataclass(frozen=True)
class Speaker:
    """The command line with flags, speaking lines of text."""

    model: str
    flags: tuple[str, ...]
    interrupted: bool = False

    def speak(self, lines: Sequence[str], seed: int) -> list[np.ndarray]:
        """The clip of every line, float samples at 24 kHz."""
        with tempfile.TemporaryDirectory() as folder:
            prompts = Path(folder, "prompts.txt")
            prompts.write_text("\n".join(lines))
            command = [sys.executable, str(ROOT / "bark_perform.py"), "--model", self.model, "--device", "cpu"]
            command += ["--prompt_file", str(prompts), *_BY_LINE, "--output_dir", folder, "--silent"]
            command += ["--single_starting_seed", str(seed), "--check_segments", "off", *self.flags]
            if self.interrupted:
                _stop_half_way(command, Path(folder), len(lines))
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            clips = sorted(Path(folder).glob("*.wav"))  # their names begin with the number of the line
            assert len(clips) == len(lines), f"{len(clips)} clips of {len(lines)} lines"
            return [soundfile.read(clip, dtype="float32")[0] for clip in clips]


def _stop_half_way(command: Sequence[str], folder: Path, lines: int) -> None:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list(folder.glob("*.wav"))) < lines // 2:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)


@dataclass(frozen=True)
class Row:
    """What was measured of one way to speak; shares are of all clips of all seeds."""

    way: str
    errors: Sequence[float]  # word error rate for each seed
    odd_lengths: float | None = None  # over twice or under half the teacher's
    right_pitch: float | None = None  # on the voice's side of the middle between the voices

    def __str__(self) -> str:
        def share(value: float | None) -> str:
            return "" if value is None else f"{value:.1%}"

        spread = f" ± {np.std(self.errors):.3f}" if len(self.errors) > 1 else ""
        return f"| {self.way} | {np.mean(self.errors):.3f}{spread} | {share(self.odd_lengths)} | {share(self.right_pitch)} |"


class Bench:
    def __init__(self, model: str, lines: Sequence[str], seeds: int, processes: int):
        self.model, self.lines, self.seeds, self.processes = model, lines, range(seeds), processes
        self.taught: dict[str, list[np.ndarray]] = {}

    def errors(self, sounds: Sequence[np.ndarray]) -> float:
        return word_error_rate(self.lines, sounds, SAMPLE_RATE, self.processes)

    def teach(self) -> None:
        """What each voice's teacher says."""
        from training import settings
        from training.teacher import TEACHERS

        for voice in settings.VOICES:
            teacher = TEACHERS[voice.teacher]()
            self.taught[voice.name] = [teacher.speak(line)[0] for line in self.lines]

    def teacher(self, voice: str) -> Row:
        return Row(f"teacher, {voice}", [self.errors(self.taught[voice])])

    def codec(self, voice: str) -> Row:
        """The teacher through the demo's codec and back, with all eight codebooks."""
        import torch

        from bark_infinity import Bark
        from training import latents, settings

        model = Bark.load(self.model, device="cpu").codec
        books = torch.stack([layer.codebook.embed for layer in model.model.quantizer.layers]) / latents.SCALE
        kind = next(one for one in settings.VOICES if one.name == voice)
        sounds = []
        for sound in self.taught[voice]:
            points = latents.latents(torch.from_numpy(sound), kind)
            sounds.append(model.decode(latents.coded(points, books).numpy()))
        return Row(f"its codec alone, {voice}", [self.errors(sounds)])

    def spoken(self, way: str, *flags: str, voice: str | None = None, interrupted: bool = False) -> Row:
        """Text to speech with flags of the command line, for every seed."""
        given = (*flags, "--history_prompt", str(ROOT / "prompts" / f"demo_{voice}.npz")) if voice else flags
        speaker = Speaker(self.model, given, interrupted)
        takes = [speaker.speak(self.lines, seed) for seed in self.seeds]
        return Row(
            way, [self.errors(take) for take in takes], self._odd_lengths(takes), self._right_pitch(takes, voice)
        )

    def _odd_lengths(self, takes: Sequence[Sequence[np.ndarray]]) -> float | None:
        if not self.taught:
            return None
        of_teacher = [len(sound) for sound in next(iter(self.taught.values()))]
        ratios = [len(clip) / n for take in takes for clip, n in zip(take, of_teacher, strict=True)]
        return float(np.mean([not 0.5 <= ratio <= 2 for ratio in ratios]))

    def _right_pitch(self, takes: Sequence[Sequence[np.ndarray]], voice: str | None) -> float | None:
        if voice is None or not self.taught:
            return None
        pitches = {
            name: np.median([median_pitch(s, SAMPLE_RATE) for s in sounds]) for name, sounds in self.taught.items()
        }
        middle, high = np.mean(list(pitches.values())), pitches[voice] == max(pitches.values())
        found = [median_pitch(clip, SAMPLE_RATE) for take in takes for clip in take]
        return float(np.mean([(pitch > middle) == high for pitch in found]))

    def paragraphs(self) -> Row:
        """Ten sentences at a time on the ordinary long-form path, which cuts them and keeps a voice of its own choice."""
        texts = [" ".join(self.lines[i : i + 10]) for i in range(0, len(self.lines), 10)]
        takes = [Speaker(self.model, ("--dtype", "float32")).speak(texts, seed) for seed in self.seeds]
        return Row(
            "paragraphs of 10 sentences",
            [word_error_rate(texts, take, SAMPLE_RATE, self.processes) for take in takes],
        )

    def ways(self) -> dict[str, Callable[[], Row]]:
        ways = {}
        for voice in self.taught:
            ways[f"teacher-{voice}"] = lambda voice=voice: self.teacher(voice)
            ways[f"codec-{voice}"] = lambda voice=voice: self.codec(voice)
        alone, together = ("--batch_size", "1"), ("--dtype", "float32", "--batch_size", "16")
        ways["alone"] = lambda: self.spoken("float32, one at a time", "--dtype", "float32", *alone)
        for dtype in ("float32", "bfloat16", "int8"):
            flags = ("--dtype", dtype, "--batch_size", "16")
            ways[dtype] = lambda dtype=dtype, flags=flags: self.spoken(f"{dtype}, 16 side by side", *flags)
        ways["resumed"] = lambda: self.spoken("float32, interrupted and gone on", *together, interrupted=True)
        for voice in ("male", "female"):
            ways[f"voice-{voice}"] = lambda voice=voice: self.spoken(
                f"float32, voice demo_{voice}", *together, voice=voice
            )
        ways["paragraphs"] = self.paragraphs
        return ways


def seconds_to_speak(model: str, runs: int = 3) -> float:
    """From Enter to the finished file, the fastest of some runs, start-up included."""
    taken = []
    for _ in range(runs):
        start = time.monotonic()
        Speaker(model, ()).speak(["Hello, I am very small."], 1)
        taken.append(time.monotonic() - start)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=60, help="how many of the list")
    parser.add_argument("--processes", type=int, default=2, help="that listen beside each other")
    parser.add_argument("--ways", nargs="+", help="only these, by their short names")
    given = parser.parse_args()
    bench = Bench(given.model, SENTENCES.read_text().splitlines()[: given.sentences], given.seeds, given.processes)
    try:
        bench.teach()
    except ImportError as error:
        print(f"no teacher ({error}): pip install -e '.[training]' for its rows, lengths and pitches", file=sys.stderr)
    print("| way to speak | word error rate | odd lengths | right pitch |\n|---|---|---|---|", flush=True)
    for name, measure in bench.ways().items():
        if given.ways is None or name in given.ways:
            print(measure(), flush=True)
    print(f"\nA sentence, from Enter to the finished file: {seconds_to_speak(given.model):.1f} s")


if __name__ == "__main__":
    main()
