"""What a run will make, before any model is loaded: prompts, clips, segments, seeds and file names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import constants as c
from .errors import TextError, UsageError
from .files import MAX_STEM_BYTES, safe_stem
from .options import Options
from .seeds import Seeds, clip_seed, derive_seed, segment_seeds
from .text_splitting import estimate_seconds, normalize_text, split_by, split_text
from .voice_history import HistoryPlan, StageWeights

CountIds = Callable[[str], int]

SAMPLE_PROMPTS = (
    "Hello, my name is Suno. And, uh — and I like pizza. [laughs] But I also have other interests such as playing tic tac toe.",
    "♪ The rain came down on the tin roof tonight, and it played us a song till the morning light ♪",
)
RESULT_SUFFIXES = (".wav", ".npz", ".json", ".segments.npz")
_TEXT_CHARACTERS_IN_NAME = 60
_VOICE_BYTES_IN_NAME = 40


@dataclass(frozen=True)
class SegmentPlan:
    """One segment: the text the model reads, and where its randomness starts."""

    text: str
    seeds: Seeds


@dataclass(frozen=True)
class ClipPlan:
    """One output: a take of a prompt. `stem` is the file name it will have without suffix, if still free then."""

    text: str
    segments: tuple[SegmentPlan, ...]
    seed: int
    prompt_index: int
    take: int
    stem: str

    def seconds(self, options: Options) -> float:
        """Estimated length of the clip."""
        speech = sum(
            min(estimate_seconds(segment.text), c.MAX_SEMANTIC_TOKENS / c.SEMANTIC_RATE_HZ) for segment in self.segments
        )
        return speech + options.add_silence_between_segments * (len(self.segments) - 1)


@dataclass(frozen=True)
class FailedPrompt:
    """A prompt of a run that cannot be spoken, while the others can."""

    text: str
    error: TextError


def read_prompts(options: Options) -> list[str]:
    """The texts to speak, one a clip. Raises UsageError or TextError."""
    if options.prompt_file is not None:
        where, text = f"--prompt_file {options.prompt_file}", _read_text(options.prompt_file)
    elif options.text_prompt is not None:
        where, text = "--text_prompt", options.text_prompt
    else:
        return list(SAMPLE_PROMPTS)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise TextError(f"{where} is not UTF-8; set the terminal to UTF-8 or use a --prompt_file")
    text = normalize_text(text)
    if not text.strip():
        raise TextError(f"{where} has no text; give it words to speak")
    unit = options.split_input_into_separate_prompts_by
    return split_by(text, unit, options.split_input_into_separate_prompts_by_value) if unit else [text]


def _read_text(name: str) -> str:
    """A UTF-8 text file, or standard input for `-`."""
    try:
        if name == "-" and sys.stdin is None:
            raise UsageError("--prompt_file - has no standard input to read; give the path of a text file")
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"--prompt_file {name} does not exist; give the path of a text file") from None
    except OSError as error:
        raise UsageError(f"--prompt_file {name} cannot be read ({error.strerror}); give a readable text file") from None
    except UnicodeDecodeError as error:
        raise TextError(
            f"--prompt_file {name} is not UTF-8 (byte {error.start}); save it as UTF-8 in an editor"
        ) from None


def plan_clips(
    prompts: Sequence[str], options: Options, drawn_seed: int, count_ids: CountIds | None = None
) -> tuple[list[ClipPlan], list[FailedPrompt]]:
    """All clips of these prompts, in order, and the prompts that cannot be spoken.

    `count_ids` counts with the model's tokenizer; without it lengths are estimated.
    Raises TextError if none can be spoken.
    """
    names = _FreeNames(Path(options.output_dir))
    clips, failed = [], []
    for prompt_index, text in enumerate(prompts):
        for take in range(options.output_iterations):
            seed = clip_seed(options, drawn_seed, prompt_index, take)
            try:
                texts = split_segments(text, options, derive_seed(0, "take", take), count_ids)
            except TextError as error:
                failed.append(FailedPrompt(text, error))
                break
            segments = tuple(SegmentPlan(t, segment_seeds(options, seed, k)) for k, t in enumerate(texts))
            stem = names.take(*_stem(text, options))
            clips.append(ClipPlan(text, segments, seed, prompt_index, take, stem))
    if failed and not clips:
        raise failed[0].error
    return clips, failed


def split_segments(text: str, options: Options, jitter_seed: int = 0, count_ids: CountIds | None = None) -> list[str]:
    """The texts of one prompt's segments, with prefix and suffix. Raises TextError if there is nothing to say."""

    def around(part: str) -> str:
        return " ".join(
            filter(None, map(str.strip, (options.prompt_text_prefix or "", part, options.prompt_text_suffix or "")))
        )

    if options.split_each_text_prompt_by:
        parts = split_by(text, options.split_each_text_prompt_by, options.split_each_text_prompt_by_value)
    else:
        parts = split_text(
            text,
            goal_length=options.split_character_goal_length,
            max_length=options.split_character_max_length,
            jitter=options.split_character_jitter,
            seed=jitter_seed,
            count_ids=count_ids and (lambda part: count_ids(around(part))),
        )
    spoken = [part for part in parts if any(character.isalnum() or character == "♪" for character in part)]
    if not spoken:
        raise TextError(f"the text {text.strip()[:40]!r} has nothing to say; give it words")
    return [around(part) for part in spoken]


def history_plan(options: Options) -> HistoryPlan:
    """The rule by which segments hear each other, from the interval and the nine weights."""
    weights = {
        stage: StageWeights(
            getattr(options, f"{stage}_history_starting_weight"),
            getattr(options, f"{stage}_history_future_weight"),
            getattr(options, f"{stage}_prev_segment_weight"),
        )
        for stage in ("semantic", "coarse", "fine")
    }
    return HistoryPlan(options.stable_mode_interval, **weights, separate=options.separate_prompts)


def _stem(text: str, options: Options) -> tuple[str, str]:
    """The two parts of a clip's name: what is wanted, and what has to stand behind it whatever its length."""
    if options.output_filename is not None:
        return options.output_filename.removesuffix(".wav"), ""
    words = " ".join(text.split())
    if len(words) > _TEXT_CHARACTERS_IN_NAME:
        words = words[:_TEXT_CHARACTERS_IN_NAME].rpartition(" ")[0] or words[:_TEXT_CHARACTERS_IN_NAME]
    voice = options.history_prompt or "random"
    name = Path(voice).stem if voice.endswith(".npz") else voice
    return words, f"-SPK-{safe_stem(name, _VOICE_BYTES_IN_NAME)}"


class _FreeNames:
    """Stems that neither a file of the folder nor an earlier clip of the run has, told apart as on every file system."""

    def __init__(self, folder: Path):
        self._taken = {stem.casefold() for stem in taken_stems(folder)}
        self._numbers: dict[str, Iterator[str]] = {}  # goes on counting where the last clip of the same name stopped

    def take(self, wanted: str, ending: str) -> str:
        base = safe_stem(wanted, MAX_STEM_BYTES - len(ending.encode())) + ending
        candidates = self._numbers.setdefault(base, numbered(base))
        stem = next(stem for stem in candidates if stem.casefold() not in self._taken)
        self._taken.add(stem.casefold())
        return stem


def taken_stems(folder: Path) -> Iterator[str]:
    """The names of all results in a folder, without suffix."""
    try:
        names = os.listdir(folder)
    except OSError:  # not there yet, or never: whoever writes will say so
        return
    for name in names:
        for suffix in RESULT_SUFFIXES:
            if name.endswith(suffix):
                yield name.removesuffix(suffix)


def numbered(stem: str) -> Iterator[str]:
    """`stem`, `stem_1`, `stem_2`, ..."""
    yield stem
    number = 1
    while True:
        yield f"{stem}_{number}"
        number += 1
