"""The plan of a run, before any model is loaded: clips, segments, seeds and file names."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import constants as c
from ..errors import TextError, UsageError
from ..options.table import Options
from ..seeds import Seeds, derive_seed
from ..text.breaks import Break, TextSegment
from ..text.splitting import estimate_seconds, split_with_breaks, within_ids
from ..voices.history import HistoryPlan, StageWeights
from .naming import clip_stems
from .pauses import Pause, kind_of_break
from .prompts import cut_segments

if TYPE_CHECKING:  # planning is done without torch
    from ..bark import Settings

CountIds = Callable[[str], int]

_IDS_FOR_A_TEXT = 32  # token ids that a prefix and suffix must leave for the text

SEEDS = ("seed", "single_starting_seed")  # flags from which the seeds of clips are derived


@dataclass(frozen=True)
class SegmentPlan:
    """One segment: the text that the model reads (empty: it continues its history without words), and its seeds.

    `pause`: the silence between it and the next segment.
    `settled`: the seeds come from a manifest, so a faulty segment is not retried with others.
    `settings`: its own sampling settings; None: those of the run.
    `speaker`: a name in the cast; None: the narrator. A segment goes on only from earlier ones of the same speaker.
    """

    text: str
    seeds: Seeds
    settled: bool = False
    pause: Pause = Pause()
    settings: Settings | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class ClipPlan:
    """One output: a take of a prompt. `stem`: its file name without suffix, unless that is taken when it is finished."""

    text: str
    segments: tuple[SegmentPlan, ...]
    seed: int
    prompt_index: int
    take: int
    stem: str

    def seconds(self, options: Options) -> float:
        """The estimated length of the clip in seconds."""
        longest = c.MAX_SEMANTIC_TOKENS / c.SEMANTIC_RATE_HZ
        if options.semantic_max_gen_duration_s is not None:
            longest = min(longest, options.semantic_max_gen_duration_s)
        stops = options.semantic_allow_early_stop
        speech = sum(min(estimate_seconds(s.text), longest) if s.text and stops else longest for s in self.segments)
        return speech + sum(segment.pause.seconds for segment in self.segments[:-1])


@dataclass(frozen=True)
class FailedPrompt:
    """A prompt that cannot be spoken, and why; the other prompts of the run are not affected."""

    text: str
    error: TextError


def plan_clips(
    prompts: Sequence[str],
    options: Options,
    drawn_seed: int,
    count_ids: CountIds | None = None,
    own_stems: Container[str] = (),
    cutter: SegmentCutter | None = None,
) -> tuple[list[ClipPlan], list[FailedPrompt]]:
    """All clips of these prompts, in order, and the prompts that cannot be spoken.

    `count_ids` counts token ids with the model's tokenizer; without it they are estimated. `own_stems`: names of clips
    that this run has already finished. `cutter`: reuses the segments of an earlier plan.
    Raises TextError if no prompt can be spoken.
    """
    cutter = cutter or SegmentCutter(options)
    cut_takes: list[tuple[int, int, int, list[TextSegment]]] = []  # prompt, take, seed, texts of the segments
    failed = []
    for prompt, text in enumerate(prompts):
        for take in range(options.output_iterations):
            seed = clip_seed(options, drawn_seed, prompt, take)
            try:
                cut_takes.append((prompt, take, seed, cutter.cut(text, seed, count_ids)))
            except TextError as error:
                failed.append(FailedPrompt(text, error))
                break
    if failed and not cut_takes:
        raise failed[0].error
    named = [(prompts[prompt], prompt, take, seed) for prompt, take, seed, _ in cut_takes]
    stems = clip_stems(named, len(prompts), options, own_stems)
    clips = [
        ClipPlan(prompts[prompt], seeded_segments(texts, options, seed), seed, prompt, take, stem)
        for (prompt, take, seed, texts), stem in zip(cut_takes, stems, strict=True)
    ]
    return clips, failed


def seeded_segments(texts: Sequence[TextSegment], options: Options, seed: int) -> tuple[SegmentPlan, ...]:
    """Segments with these texts, followed by the wordless ones of --extra_confused_travolta_mode, each with its seeds."""
    wordless = [TextSegment("", Break.SENTENCE)] * (options.extra_confused_travolta_mode or 0)
    return tuple(
        SegmentPlan(text, segment_seeds(options, seed, k), pause=Pause.of(kind_of_break(end), options))
        for k, (text, end) in enumerate([*texts, *wordless])
    )


class SegmentCutter:
    """Cuts texts into segments as options say, and caches the results, because a run is planned several times."""

    def __init__(self, options: Options):
        self._options = options
        self._parts: dict[
            tuple[str, int | None], list[TextSegment]
        ] = {}  # by text and seed; None: the seed does not matter
        self._depends_on_seed = options.split_character_jitter > 0 or options.split_each_text_prompt_by == "random"

    def cut(self, text: str, seed: int = 0, count_ids: CountIds | None = None) -> list[TextSegment]:
        """The texts of one prompt's segments, with prefix and suffix, each within the number of token ids that the model reads.

        Raises TextError if there is nothing to say, UsageError if prefix and suffix leave no room for a text.
        """
        if self._options.bark_speaker_as_the_prompt is not None:
            return [TextSegment(text, Break.PARAGRAPH)]
        self._check_room(count_ids)
        parts = self._cut_once(text, seed)
        if not self._options.split_each_text_prompt_by:
            parts = within_ids(parts, count_ids and (lambda part: count_ids(self._around(part))), c.MAX_TEXT_IDS)
        spoken = [part for part in parts if any(character.isalnum() or character == "♪" for character in part.text)]
        if not spoken:
            raise TextError(f"the text {text.strip()[:40]!r} has nothing to say; give it words")
        return [TextSegment(self._around(part.text), part.end) for part in spoken]

    def _cut_once(self, text: str, seed: int) -> list[TextSegment]:
        key = (text, seed if self._depends_on_seed else None)
        if key not in self._parts:
            options = self._options
            if options.split_each_text_prompt_by:
                self._parts[key] = cut_segments(text, options, seed)
            else:
                assert options.split_character_goal_length is not None  # they are resolved
                self._parts[key] = split_with_breaks(
                    text,
                    goal_length=options.split_character_goal_length,
                    max_length=options.split_character_max_length,
                    jitter=options.split_character_jitter,
                    seed=seed,
                )
        return self._parts[key]

    def _around(self, part: str) -> str:
        """The text between the prefix and the suffix."""
        options = self._options
        prefix, suffix = options.prompt_text_prefix or "", options.prompt_text_suffix or ""
        return " ".join(filter(None, map(str.strip, (prefix, part, suffix))))

    def _check_room(self, count_ids: CountIds | None) -> None:
        """Raise UsageError if prefix and suffix leave too few token ids for a text."""
        around = self._around("")
        if not around:
            return
        ids = len(around.split()) if count_ids is None else count_ids(around)  # every word has at least one
        if ids > c.MAX_TEXT_IDS - _IDS_FOR_A_TEXT:
            raise UsageError(
                f"--prompt_text_prefix and --prompt_text_suffix have {ids} tokens together and leave too little of the "
                f"{c.MAX_TEXT_IDS} that the model reads; use at most {c.MAX_TEXT_IDS - _IDS_FOR_A_TEXT}"
            )


def history_plan(options: Options) -> HistoryPlan:
    """The rule for the history of segments, from --stable_mode_interval, the nine weights and the flags beside them."""
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


def clip_seed(options: Options, drawn: int, prompt: int, take: int) -> int:
    """The seed of one take of one prompt. A given seed is the same for all prompts, a drawn one differs between them."""
    given = options.seed if options.seed is not None else options.single_starting_seed
    start = given if given is not None else derive_seed(drawn, "prompt", prompt)
    return derive_seed(start, "take", take)


def segment_seeds(options: Options, seed: int, index: int) -> Seeds:
    """The seeds of segment `index` of a clip with this seed: with --seed the clip's seed itself, else one derived from it."""
    own = seed if options.seed is not None else derive_seed(seed, "segment", index)
    return Seeds(own, options.semantic_seed, options.coarse_seed, options.fine_seed)
