"""The plan of a run, before any model is loaded: clips, segments, seeds and file names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .. import constants as c
from ..audio.images import Cover
from ..errors import TextError, UsageError
from ..options.table import Options
from ..seeds import Seeds, derive_seed
from ..text.breaks import TextSegment
from ..text.events import BookTags, Script
from ..text.pronunciation import Pronunciation
from ..text.splitting import estimate_seconds, split_with_breaks, within_ids
from ..voices.history import HistoryPlan, StageWeights
from .naming import clip_stems, text_for_name
from .own_settings import check_own_settings, options_of_segment
from .pauses import NO_GAP, Pause
from .prompts import cut_segments
from .script_cutting import CutScript, ScriptPart, cut_script, is_plain, script_of, text_of
from .sounds import FindSound, SoundFiles
from .trimming import Trim

if TYPE_CHECKING:  # planning is done without torch
    from ..bark import Settings

CountIds = Callable[[str], int]

_IDS_FOR_A_TEXT = 32  # token ids that a prefix and suffix must leave for the text

SEEDS = ("seed", "single_starting_seed")  # flags from which the seeds of clips are derived


@dataclass(frozen=True)
class SegmentPlan:
    """One segment: the text that the model reads (empty: it continues its history without words), and its seeds.

    `pause`: the gap between it and the next segment.
    `settled`: the seeds come from a manifest, so a faulty segment is not retried with others.
    `settings`: its own sampling settings; None: those of the run.
    `speaker`: a name in the cast, or the voice of a [voice:...] tag; None: the narrator. A segment goes on only from earlier
    ones of the same speaker.
    `own`: the settings that the script gives it, by flag name; `settings` are made of them before the segment is generated.
    `written`: the text as it is written, where it is spoken otherwise.
    `chapter`: the title of the chapter that it belongs to.
    `start_at`: seconds from the beginning of the clip; the segment begins then, or later if what is before it takes longer.
    `trim`: where a manifest says that it was cut; None: it was not.
    """

    text: str
    seeds: Seeds
    settled: bool = False
    pause: Pause = Pause()
    settings: Settings | None = None
    speaker: str | None = None
    own: Mapping[str, object] = field(default_factory=dict)
    written: str | None = None
    chapter: str | None = None
    start_at: float | None = None
    trim: Trim | None = None

    def seconds(self, options: Options) -> float:
        """The estimated length of the segment in seconds."""
        longest = c.MAX_SEMANTIC_TOKENS / c.SEMANTIC_RATE_HZ
        if options.semantic_max_gen_duration_s is not None:
            longest = min(longest, options.semantic_max_gen_duration_s)
        return min(estimate_seconds(self.text), longest) if self.text and options.semantic_allow_early_stop else longest


@dataclass(frozen=True)
class ClipPlan:
    """One output: a take of a prompt.

    `text`: what is said, without markup. `stem`: its file name without suffix, unless that is taken when it is finished.
    `lead`: the gap before the first segment. `script`: the prompt with its markup; None: it has none.
    `book`: what its files say of the book; `cover`: that of the book.
    """

    text: str
    segments: tuple[SegmentPlan, ...]
    seed: int
    prompt_index: int
    take: int
    stem: str
    lead: Pause = NO_GAP
    script: Script | None = None
    book: BookTags = BookTags()
    cover: Cover | None = field(default=None, repr=False, compare=False)

    def seconds(self, options: Options) -> float:
        """The estimated length of the clip in seconds."""
        last = self.segments[-1]
        return (
            self.starts(options)[-1]
            + last.seconds(options)
            + (last.pause.total_seconds if last.pause.ends_clip else 0.0)
        )

    def starts(self, options: Options) -> list[float]:
        """The estimated time at which each segment begins, in seconds."""
        starts: list[float] = []
        now = self.lead.total_seconds
        for segment in self.segments:
            now = max(now, segment.start_at or 0.0)
            starts.append(now)
            now += segment.seconds(options) + segment.pause.total_seconds
        return starts

    @property
    def gap_seconds(self) -> float:
        """The most seconds of silences and sounds. Behind the last segment are only those that the script has."""
        last = self.segments[-1].pause
        between = sum(segment.pause.total_seconds for segment in self.segments[:-1])
        waiting = max(segment.start_at or 0.0 for segment in self.segments)
        return self.lead.total_seconds + between + (last.total_seconds if last.ends_clip else 0.0) + waiting


@dataclass(frozen=True)
class FailedPrompt:
    """A prompt that cannot be spoken, and why; the other prompts of the run are not affected."""

    text: str
    error: TextError


def plan_clips(
    prompts: Sequence[str | Script],
    options: Options,
    drawn_seed: int,
    count_ids: CountIds | None = None,
    own_stems: Container[str] = (),
    cutter: SegmentCutter | None = None,
    voices: Sequence[str] = (),
) -> tuple[list[ClipPlan], list[FailedPrompt]]:
    """All clips of these prompts, in order, and the prompts that cannot be spoken. A str is a text without markup.

    `count_ids` counts token ids with the model's tokenizer; without it they are estimated. `own_stems`: names of clips
    that this run has already finished. `cutter`: reuses the segments of an earlier plan.
    `voices`: those of --audition, if the prompts are all texts in the first one, all texts in the second one, and so on.
    Raises TextError if no prompt can be spoken.
    """
    cutter = cutter or SegmentCutter(options)
    scripts = [script_of(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
    n_texts = len(scripts) // max(1, len(voices))
    cut_takes: list[tuple[int, int, int, CutScript]] = []  # prompt, take, seed, parts of the script
    failed = []
    for prompt, script in enumerate(scripts):
        for take in range(options.output_iterations):
            seed = clip_seed(options, drawn_seed, prompt % n_texts, take)
            try:
                cut_takes.append((prompt, take, seed, cutter.cut(script, seed, count_ids)))
            except TextError as error:
                failed.append(FailedPrompt(text_of(script), error))
                break
    if failed and not cut_takes:
        raise failed[0].error
    names = [text_for_name(text_of(script), script) for script in scripts]
    named = [(names[prompt], prompt, take, seed) for prompt, take, seed, _ in cut_takes]
    stems = clip_stems(named, n_texts, options, own_stems, voices)
    clips = [
        clip_of_script(scripts[prompt], cut, options, seed, prompt, take, stem)
        for (prompt, take, seed, cut), stem in zip(cut_takes, stems, strict=True)
    ]
    return clips, failed


def clip_of_script(
    script: Script, cut: CutScript, options: Options, seed: int, prompt: int, take: int, stem: str
) -> ClipPlan:
    """The plan of a clip whose script is cut already."""
    segments = seeded_segments(cut.parts, options, seed)
    with_markup = None if is_plain(script) else dataclasses.replace(script, settings={})
    return ClipPlan(text_of(script), segments, seed, prompt, take, stem, cut.lead, with_markup)


def seeded_segments(parts: Sequence[ScriptPart], options: Options, seed: int) -> tuple[SegmentPlan, ...]:
    """Segments of these parts, followed by the wordless ones of --extra_confused_travolta_mode, each with its seeds."""
    last = parts[-1]
    wordless = ScriptPart("", Pause.of("segment", options), last.speaker, last.own, chapter=last.chapter)
    return tuple(
        SegmentPlan(
            part.text,
            segment_seeds(options, seed, k, part.own),
            pause=part.pause,
            speaker=part.speaker,
            own=part.own,
            written=part.written,
            chapter=part.chapter,
            start_at=part.start_at,
        )
        for k, part in enumerate([*parts, *[wordless] * (options.extra_confused_travolta_mode or 0)])
    )


def with_sampling_settings(plans: Iterable[ClipPlan], options: Options) -> list[ClipPlan]:
    """The plans, where segments whose script gives them settings of their own have these as the model takes them."""
    from ..bark import Settings  # late: it imports torch

    made: dict[tuple[tuple[str, object], ...], Settings] = {}

    def settings_of(own: Mapping[str, object]) -> Settings:
        key = tuple(sorted(own.items()))
        if key not in made:
            made[key] = Settings.from_options(options_of_segment(own, options))
        return made[key]

    def with_settings(plan: ClipPlan) -> ClipPlan:
        if not any(segment.own for segment in plan.segments):
            return plan
        segments = (
            dataclasses.replace(segment, settings=settings_of(segment.own)) if segment.own else segment
            for segment in plan.segments
        )
        return dataclasses.replace(plan, segments=tuple(segments))

    return [with_settings(plan) for plan in plans]


class SegmentCutter:
    """Cuts scripts into segments as options say, and caches the results, because a run is planned several times."""

    def __init__(self, options: Options, find_sound: FindSound | None = None):
        """`find_sound`: finds the audio files of scripts; None: in the current folder."""
        self._options = options
        self._find_sound = find_sound or SoundFiles(Path()).find
        self.used: set[Pronunciation] = set()
        """The entries of pronunciations that changed a text so far."""
        self._parts: dict[
            tuple[str, int | None], list[TextSegment]
        ] = {}  # by text and seed; None: the seed does not matter
        self._depends_on_seed = options.split_character_jitter > 0 or options.split_each_text_prompt_by == "random"

    def cut(self, script: Script, seed: int = 0, count_ids: CountIds | None = None) -> CutScript:
        """The parts of one prompt, with prefix and suffix, each within the number of token ids that the model reads.

        Raises TextError if there is nothing to say or a sound is missing, UsageError if prefix and suffix leave no room for a
        text, or if settings of a speaker contradict each other.
        """
        options = self._options
        if options.bark_speaker_as_the_prompt is not None:
            return CutScript([ScriptPart(text_of(script), Pause.of("paragraph", options))])
        self._check_room(count_ids)
        cut = cut_script(script, lambda text: self._cut_text(text, seed, count_ids), self._find_sound, options)
        if not cut.parts:
            raise TextError(f"the text {text_of(script).strip()[:40]!r} has nothing to say; give it words")
        checked: list[Mapping[str, object]] = [{}]
        for part in cut.parts:
            if part.own not in checked:
                check_own_settings(part.own, options, part.speaker or "the narrator")
                checked.append(part.own)
        self.used |= cut.used
        parts = [
            dataclasses.replace(part, text=self._around(part.text), written=part.written and self._around(part.written))
            for part in cut.parts
        ]
        return dataclasses.replace(cut, parts=parts)

    def _cut_text(self, text: str, seed: int, count_ids: CountIds | None) -> list[TextSegment]:
        """The segments of the text of one speech, without prefix and suffix; none if there is nothing to say."""
        parts = self._cut_once(text, seed)
        if not self._options.split_each_text_prompt_by:
            parts = within_ids(parts, count_ids and (lambda part: count_ids(self._around(part))), c.MAX_TEXT_IDS)
        return [part for part in parts if any(character.isalnum() or character == "♪" for character in part.text)]

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


def segment_seeds(options: Options, seed: int, index: int, own: Mapping[str, object] | None = None) -> Seeds:
    """The seeds of segment `index` of a clip with this seed: with --seed the clip's seed itself, else one derived from it.

    `own`: settings of the segment, by flag name, which win.
    """
    given = {name: value for name, value in (own or {}).items() if isinstance(value, int)}
    same_for_all = "seed" in given or (options.seed is not None and "single_starting_seed" not in given)
    start = given.get("seed", given.get("single_starting_seed", seed))
    return Seeds(
        start if same_for_all else derive_seed(start, "segment", index),
        given.get("semantic_seed", options.semantic_seed),
        given.get("coarse_seed", options.coarse_seed),
        given.get("fine_seed", options.fine_seed),
    )
