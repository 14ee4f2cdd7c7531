"""What a run will make, before any model is loaded: prompts, clips, segments, seeds and file names."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from .. import constants as c
from ..errors import TextError
from ..options.table import Options
from ..output.manifest import Manifest
from ..seeds import Seeds, clip_seed, segment_seeds
from ..text.splitting import estimate_seconds, split_text
from ..voices.history import HistoryPlan, StageWeights
from .naming import clip_stems
from .prompts import cut_segments, tokens_of

CountIds = Callable[[str], int]

SEEDS = ("seed", "single_starting_seed")  # flags from which those of clips follow
_DECIDE_SEGMENTS = (  # flags from which the texts and seeds of segments follow
    "split_each_text_prompt_by",
    "split_each_text_prompt_by_value",
    "group_text_by_counting",
    "split_type_string",
    "split_character_goal_length",
    "split_character_max_length",
    "split_character_jitter",
    "prompt_text_prefix",
    "prompt_text_suffix",
    "extra_confused_travolta_mode",
    "bark_speaker_as_the_prompt",
    "semantic_seed",
    "coarse_seed",
    "fine_seed",
    *SEEDS,
)


@dataclass(frozen=True)
class SegmentPlan:
    """One segment: the text the model reads (empty: it goes on without words), and where its randomness starts.

    `settled`: these seeds are the outcome of an earlier run, and no others are tried.
    """

    text: str
    seeds: Seeds
    settled: bool = False


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
        longest = c.MAX_SEMANTIC_TOKENS / c.SEMANTIC_RATE_HZ
        if options.semantic_max_gen_duration_s is not None:
            longest = min(longest, options.semantic_max_gen_duration_s)
        stops = options.semantic_allow_early_stop
        speech = sum(min(estimate_seconds(s.text), longest) if s.text and stops else longest for s in self.segments)
        return speech + options.add_silence_between_segments * (len(self.segments) - 1)


@dataclass(frozen=True)
class FailedPrompt:
    """A prompt of a run that cannot be spoken, while the others can."""

    text: str
    error: TextError


def plan_clips(
    prompts: Sequence[str],
    options: Options,
    drawn_seed: int,
    count_ids: CountIds | None = None,
    own_stems: Container[str] = (),
) -> tuple[list[ClipPlan], list[FailedPrompt]]:
    """All clips of these prompts, in order, and the prompts that cannot be spoken.

    `count_ids` counts with the model's tokenizer; without it lengths are estimated. `own_stems`: names of clips that
    this run has finished already.
    Raises TextError if none can be spoken.
    """
    made: list[tuple[int, int, int, list[str]]] = []  # prompt, take, seed, texts of the segments
    failed = []
    for prompt, text in enumerate(prompts):
        for take in range(options.output_iterations):
            seed = clip_seed(options, drawn_seed, prompt, take)
            try:
                made.append((prompt, take, seed, split_segments(text, options, seed, count_ids)))
            except TextError as error:
                failed.append(FailedPrompt(text, error))
                break
    if failed and not made:
        raise failed[0].error
    named = [(prompts[prompt], prompt, take, seed) for prompt, take, seed, _ in made]
    stems = clip_stems(named, len(prompts), options, own_stems)
    clips = [
        ClipPlan(prompts[prompt], _segments(texts, options, seed), seed, prompt, take, stem)
        for (prompt, take, seed, texts), stem in zip(made, stems, strict=True)
    ]
    return clips, failed


def _segments(texts: Sequence[str], options: Options, seed: int) -> tuple[SegmentPlan, ...]:
    wordless = [""] * (options.extra_confused_travolta_mode or 0)
    return tuple(SegmentPlan(t, segment_seeds(options, seed, k)) for k, t in enumerate([*texts, *wordless]))


def plan_again(
    manifest: Manifest, options: Options, count_ids: CountIds | None = None, own_stems: Container[str] = ()
) -> ClipPlan:
    """The clip of a manifest: its very segments, or other ones where splitting or seeds were asked for otherwise."""
    seed, before, text = manifest.seed, manifest.options, manifest.text
    if options.bark_speaker_as_the_prompt != before.bark_speaker_as_the_prompt:
        text = tokens_of(options.bark_speaker_as_the_prompt)
    if all(getattr(options, name) == getattr(before, name) for name in _DECIDE_SEGMENTS):
        segments = tuple(SegmentPlan(text, seeds, settled=True) for text, seeds in manifest.segments)
    else:
        if any(getattr(options, name) != getattr(before, name) for name in SEEDS):
            seed = clip_seed(options, manifest.seed, 0, 0)
        segments = _segments(split_segments(text, options, seed, count_ids), options, seed)
    (stem,) = clip_stems([(text, 0, 0, seed)], 1, options, own_stems)
    return ClipPlan(text, segments, seed, manifest.prompt, manifest.take, stem)


def split_segments(text: str, options: Options, seed: int = 0, count_ids: CountIds | None = None) -> list[str]:
    """The texts of one prompt's segments, with prefix and suffix. Raises TextError if there is nothing to say."""
    if options.bark_speaker_as_the_prompt is not None:
        return [text]

    def around(part: str) -> str:
        return " ".join(
            filter(None, map(str.strip, (options.prompt_text_prefix or "", part, options.prompt_text_suffix or "")))
        )

    if options.split_each_text_prompt_by:
        parts = cut_segments(text, options, seed)
    else:
        parts = split_text(
            text,
            goal_length=options.split_character_goal_length,
            max_length=options.split_character_max_length,
            jitter=options.split_character_jitter,
            seed=seed,
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
    return HistoryPlan(
        options.stable_mode_interval,
        **weights,
        separate=options.separate_prompts,
        semantic_only_every=options.absolute_semantic_history_only_every_x,
    )
