"""What a run will make, before any model is loaded: prompts, clips, segments, seeds and file names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import constants as c
from .errors import TextError, UsageError
from .files import safe_stem
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


def read_prompts(options: Options) -> list[str]:
    """The texts to speak, one a clip. Raises UsageError or TextError."""
    if options.prompt_file is not None:
        where, text = f"--prompt_file {options.prompt_file}", _read_text(options.prompt_file)
    elif options.text_prompt is not None:
        where, text = "--text_prompt", options.text_prompt
    else:
        return list(SAMPLE_PROMPTS)
    text = normalize_text(text)
    if not text.strip():
        raise TextError(f"{where} has no text; give it words to speak")
    unit = options.split_input_into_separate_prompts_by
    return split_by(text, unit, options.split_input_into_separate_prompts_by_value) if unit else [text]


def _read_text(name: str) -> str:
    """A UTF-8 text file, or standard input for `-`."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
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
) -> list[ClipPlan]:
    """All clips of these prompts, in order. `count_ids` counts with the model's tokenizer; without it lengths are estimated.

    Raises TextError for a text that cannot be spoken.
    """
    names = _FreeNames(Path(options.output_dir).expanduser())
    clips = []
    for prompt_index, text in enumerate(prompts):
        for take in range(options.output_iterations):
            seed = clip_seed(options, drawn_seed, prompt_index, take)
            texts = split_segments(text, options, derive_seed(0, "take", take), count_ids)
            segments = tuple(SegmentPlan(t, segment_seeds(options, seed, k)) for k, t in enumerate(texts))
            stem = names.take(
                options.output_filename.removesuffix(".wav") if options.output_filename else _stem(text, options)
            )
            clips.append(ClipPlan(text, segments, seed, prompt_index, take, stem))
    return clips


def split_segments(text: str, options: Options, jitter_seed: int = 0, count_ids: CountIds | None = None) -> list[str]:
    """The texts of one prompt's segments, with prefix and suffix. Raises TextError if there is nothing to say."""
    if options.split_each_text_prompt_by:
        texts = split_by(text, options.split_each_text_prompt_by, options.split_each_text_prompt_by_value)
    else:
        texts = split_text(
            text,
            goal_length=options.split_character_goal_length,
            max_length=options.split_character_max_length,
            jitter=options.split_character_jitter,
            seed=jitter_seed,
            count_ids=count_ids,
        )
    if not any(character.isalnum() or character == "♪" for t in texts for character in t):
        raise TextError(f"the text {text.strip()[:40]!r} has nothing to say; give it words")
    around = (options.prompt_text_prefix or "", options.prompt_text_suffix or "")
    return [" ".join(filter(None, (around[0].strip(), t, around[1].strip()))) for t in texts]


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


def _stem(text: str, options: Options) -> str:
    """`<start of the text>-SPK-<voice or random>`, cut between words."""
    words = " ".join(text.split())
    if len(words) > _TEXT_CHARACTERS_IN_NAME:
        words = words[:_TEXT_CHARACTERS_IN_NAME].rpartition(" ")[0] or words[:_TEXT_CHARACTERS_IN_NAME]
    voice = options.history_prompt or "random"
    name = Path(voice).stem if voice.endswith(".npz") else voice.replace("/", "_")
    return f"{safe_stem(words)}-SPK-{name}"


class _FreeNames:
    """Stems that neither a file of the folder nor an earlier clip of the run has, told apart as on every file system."""

    def __init__(self, folder: Path):
        self._taken = {stem.casefold() for stem in taken_stems(folder)}

    def take(self, wanted: str) -> str:
        stem = next(s for s in numbered(safe_stem(wanted)) if s.casefold() not in self._taken)
        self._taken.add(stem.casefold())
        return stem


def taken_stems(folder: Path) -> Iterator[str]:
    """The names of all results in a folder, without suffix."""
    for path in folder.iterdir() if folder.is_dir() else ():
        for suffix in RESULT_SUFFIXES:
            if path.name.endswith(suffix):
                yield path.name.removesuffix(suffix)


def numbered(stem: str) -> Iterator[str]:
    """`stem`, `stem_1`, `stem_2`, ..."""
    yield stem
    number = 1
    while True:
        yield f"{stem}_{number}"
        number += 1
