"""Every flag, declared once: parser, help, README reference, dry run and manifest all read this table.

`None` means not given. Defaults that follow another flag are filled in by `Options.resolved`, before work starts.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import types
import typing
from dataclasses import dataclass, field

from . import constants as c
from .errors import UsageError
from .text_splitting import SPLIT_UNITS

INPUT, OUTPUT, MODEL = "Input", "Output", "Model"
SAMPLING, SEEDS, LONG_CLIPS, MORE = "Sampling", "Seeds", "Long clips", "More"
MAX_SEED = 2**32 - 1  # torch's CPU generator keeps no more bits than these


@dataclass(frozen=True)
class Flag:
    """What the table says of one flag beside its name, type and default."""

    group: str
    help: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    metavar: str | None = None
    env: str | None = None  # environment variable that sets it where the command line does not
    name: str = ""
    kind: type = str
    default: object = None

    def parse(self, text: str) -> object:
        """The value that `text` stands for. Raises UsageError, naming what is allowed."""
        if self.kind is bool:
            return self._parse_bool(text)
        if self.choices:
            canonical = {choice.lower(): choice for choice in self.choices}
            if text.lower() not in canonical:
                raise UsageError(f"--{self.name} {text!r} is not one of {', '.join(self.choices)}")
            return canonical[text.lower()]
        if self.kind is str:
            return text
        try:
            return self.kind(text)
        except ValueError:
            what = "a whole number" if self.kind is int else "a number"
            raise UsageError(f"--{self.name} takes {what}, not {text!r}") from None

    def check(self, value: object) -> None:
        """Raise UsageError if a number is out of range."""
        if value is None or self.kind not in (int, float):
            return
        low, high = self.low, self.high
        if (low is not None and not value >= low) or (high is not None and not value <= high):  # NaN fails both
            wanted = f"between {low} and {high}" if None not in (low, high) else f"{low} or more"
            raise UsageError(f"--{self.name} must be {wanted}, not {value}")

    def _parse_bool(self, text: str) -> bool | None:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if self.default is None:
            words["auto"] = None
        if text.lower() not in words:
            raise UsageError(f"--{self.name} takes {', '.join(words)}, not {text!r}")
        return words[text.lower()]


def flag(default: object, group: str, help: str, **details) -> typing.Any:
    """A field of Options with its line of the table; `details` are fields of Flag."""
    return field(default=default, metadata={"flag": Flag(group, help, default=default, **details)})


_GOAL_LENGTH = 110  # characters of a segment, about 8 s of speech


@dataclass(frozen=True)
class Options:
    """All settings of a run. Construct with keywords, or from a command line through `cli`."""

    text_prompt: str | None = flag(None, INPUT, "Text to speak, of any length.", aliases=("prompt",), metavar="TEXT")
    prompt_file: str | None = flag(
        None, INPUT, "UTF-8 text file to speak instead; `-` reads standard input.", metavar="FILE"
    )
    split_input_into_separate_prompts_by: str | None = flag(
        None, INPUT, "Cut the input into prompts, one clip each.", choices=SPLIT_UNITS
    )
    split_input_into_separate_prompts_by_value: int = flag(
        1, INPUT, "Size of those groups: so many lines, sentences or words a prompt.", low=1, metavar="N"
    )
    history_prompt: str | None = flag(
        None,
        INPUT,
        "The voice: an `.npz` file, or a name from prompts/, custom_speakers/, the output folder or Bark's presets "
        "(v2/en_speaker_6, announcer, ...).",
        metavar="VOICE",
    )
    list_speakers: bool = flag(False, INPUT, "List the voices found, by language, and stop.")
    dry_run: bool = flag(False, INPUT, "Show prompts, segments, times, file names and seeds; load and write nothing.")
    text_splits_only: bool = flag(False, INPUT, "Show only how the text is split, and stop.")

    output_dir: str = flag("bark_samples", OUTPUT, "Folder for results; created if missing.", metavar="DIR")
    output_filename: str | None = flag(
        None, OUTPUT, "Base name of the clip; unset: start of the text and the voice. Never overwrites.", metavar="NAME"
    )
    always_save_speaker: bool = flag(True, OUTPUT, "Save the clip's voice as `<name>.npz` beside the audio.")
    output_iterations: int = flag(1, OUTPUT, "Takes of each prompt, each with its own seed.", low=1, metavar="N")

    model: str = flag(
        "large",
        MODEL,
        "large, small, demo (tiny, built in, needs no download), a hub repository, or a folder with a checkpoint.",
        metavar="NAME",
    )
    model_dir: str | None = flag(None, MODEL, "Where downloads go; unset: the hub's cache.", metavar="DIR")
    offline: bool = flag(False, MODEL, "Never touch the network.")
    force_reload: bool = flag(False, MODEL, "Download the model again.")
    device: str = flag("auto", MODEL, "Where to compute.", choices=("auto", "cpu", "cuda", "mps"))
    dtype: str = flag(
        "auto",
        MODEL,
        "How to compute; auto: bfloat16 on CUDA, float32 elsewhere.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    text_use_gpu: bool = flag(True, MODEL, "false keeps the semantic stage on the CPU.")
    coarse_use_gpu: bool = flag(True, MODEL, "false keeps the coarse stage on the CPU.")
    fine_use_gpu: bool = flag(True, MODEL, "false keeps the fine stage on the CPU.")
    codec_use_gpu: bool = flag(True, MODEL, "false keeps the codec on the CPU.")
    text_use_small: bool = flag(False, MODEL, "Semantic stage from the small model.")
    coarse_use_small: bool = flag(False, MODEL, "Coarse stage from the small model.")
    fine_use_small: bool = flag(False, MODEL, "Fine stage from the small model.")
    use_smaller_models: bool | None = flag(
        None,
        MODEL,
        "All three stages from the small model.",
        aliases=("use_small_models",),
        env="SUNO_USE_SMALL_MODELS",
    )
    offload_cpu: bool | None = flag(
        None, MODEL, "Keep only the stage at work on the GPU; auto: when not all fit.", env="SUNO_OFFLOAD_CPU"
    )
    global_enable_mps: bool | None = flag(
        None, MODEL, "Allow Apple's GPU; auto: where the processor has one.", env="SUNO_ENABLE_MPS"
    )
    batch_size: int | None = flag(
        None, MODEL, "Segments generated side by side; unset: by free memory, at most 16.", low=1, metavar="N"
    )

    text_temp: float = flag(0.7, SAMPLING, "Randomness of the semantic stage (what is said); 0 is greedy.", low=0.0)
    semantic_temp: float | None = flag(None, SAMPLING, "The same by its other name; wins.", low=0.0)
    waveform_temp: float = flag(0.7, SAMPLING, "Randomness of the coarse stage (how it sounds); 0 is greedy.", low=0.0)
    coarse_temp: float | None = flag(None, SAMPLING, "The same by its other name; wins.", low=0.0)
    fine_temp: float = flag(0.5, SAMPLING, "Randomness of the fine stage (detail); 0 is greedy.", low=0.0)
    semantic_top_k: int | None = flag(None, SAMPLING, "Draw among the k likeliest semantic tokens.", low=1, metavar="K")
    semantic_top_p: float | None = flag(
        None,
        SAMPLING,
        "Draw among the likeliest semantic tokens that together exceed p.",
        low=0.0,
        high=1.0,
        metavar="P",
    )
    coarse_top_k: int | None = flag(None, SAMPLING, "Draw among the k likeliest coarse tokens.", low=1, metavar="K")
    coarse_top_p: float | None = flag(
        None, SAMPLING, "Draw among the likeliest coarse tokens that together exceed p.", low=0.0, high=1.0, metavar="P"
    )
    semantic_min_eos_p: float = flag(
        0.2, SAMPLING, "End the speech once its end is this probable.", low=0.0, high=1.0, metavar="P"
    )
    semantic_max_gen_duration_s: float | None = flag(
        None, SAMPLING, "End a segment after so many seconds.", low=0.0, metavar="SECONDS"
    )
    semantic_allow_early_stop: bool = flag(True, SAMPLING, "Let the model end a segment; false fills the whole window.")
    confused_travolta_mode: bool = flag(False, SAMPLING, "No early stop: it goes on until the window is full.")
    semantic_use_kv_caching: bool = flag(True, SAMPLING, "false recomputes every semantic step: slower, same tokens.")
    coarse_kv_caching: bool = flag(
        True, SAMPLING, "false recomputes every coarse step: slower, same tokens.", aliases=("coarse_use_kv_caching",)
    )
    semantic_history_oversize_limit: int = flag(
        c.SEMANTIC_HISTORY_WINDOW,
        SAMPLING,
        "Hear at most so many semantic tokens of history.",
        low=0,
        high=c.SEMANTIC_HISTORY_WINDOW,
        metavar="N",
    )
    coarse_max_coarse_history: int = flag(
        c.MAX_COARSE_HISTORY,
        SAMPLING,
        "Coarse tokens that a window looks back on.",
        low=c.MIN_COARSE_HISTORY,
        high=c.MAX_COARSE_HISTORY,
        metavar="N",
    )
    coarse_sliding_window_len: int = flag(
        60,
        SAMPLING,
        "Coarse tokens made in a window.",
        low=1,
        high=c.MAX_COARSE_INPUT - c.MIN_COARSE_HISTORY,
        metavar="N",
    )
    coarse_history_time_alignment_hack: int = flag(
        -2,
        SAMPLING,
        "Coarse tokens dropped from the end of the history, as a negative number.",
        aliases=("x_coarse_history_alignment_hack",),
        low=-c.MAX_COARSE_HISTORY,
        high=0,
        metavar="-N",
    )

    seed: int | None = flag(None, SEEDS, "Every segment starts from this seed.", low=0, high=MAX_SEED, metavar="N")
    single_starting_seed: int | None = flag(
        None, SEEDS, "Each segment starts from a seed derived from this one.", low=0, high=MAX_SEED, metavar="N"
    )
    semantic_seed: int | None = flag(
        None, SEEDS, "The semantic stage starts from it in every segment.", low=0, high=MAX_SEED, metavar="N"
    )
    coarse_seed: int | None = flag(None, SEEDS, "The coarse stage likewise.", low=0, high=MAX_SEED, metavar="N")
    fine_seed: int | None = flag(None, SEEDS, "The fine stage likewise.", low=0, high=MAX_SEED, metavar="N")

    split_character_goal_length: int | None = flag(
        None,
        LONG_CLIPS,
        "Characters a segment should have; unset: 110, or the maximum. Chinese, Japanese and Korean ones count three.",
        low=1,
        metavar="N",
    )
    split_character_max_length: int = flag(170, LONG_CLIPS, "Characters a segment may have.", low=1, metavar="N")
    split_character_jitter: int = flag(
        0, LONG_CLIPS, "Vary both by up to so many characters, differently in each take.", low=0, metavar="N"
    )
    split_each_text_prompt_by: str | None = flag(
        None,
        LONG_CLIPS,
        "Cut each prompt into segments this way instead.",
        choices=SPLIT_UNITS,
        aliases=("process_text_by_each",),
    )
    split_each_text_prompt_by_value: int = flag(
        1, LONG_CLIPS, "Size of those groups.", low=1, aliases=("in_groups_of_size",), metavar="N"
    )
    prompt_text_prefix: str | None = flag(None, LONG_CLIPS, "Put before every segment's text.", metavar="TEXT")
    prompt_text_suffix: str | None = flag(None, LONG_CLIPS, "Put behind every segment's text.", metavar="TEXT")
    separate_prompts: bool = flag(False, LONG_CLIPS, "No history between the segments of a clip.")
    stable_mode_interval: int = flag(
        1,
        LONG_CLIPS,
        "1: every segment goes on from the starting voice. 0: from the segment before. N: N - 1 times from the segment "
        "before, then back to the starting voice.",
        low=0,
        metavar="N",
    )
    semantic_history_starting_weight: float = flag(
        1.0,
        LONG_CLIPS,
        "Share of the semantic stage's history that the first segment gets of the starting voice.",
        low=0.0,
        high=1.0,
    )
    coarse_history_starting_weight: float = flag(1.0, LONG_CLIPS, "The same for the coarse stage.", low=0.0, high=1.0)
    fine_history_starting_weight: float = flag(1.0, LONG_CLIPS, "The same for the fine stage.", low=0.0, high=1.0)
    semantic_history_future_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the semantic stage's history that later segments get of the starting voice; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    coarse_history_future_weight: float | None = flag(
        None, LONG_CLIPS, "The same for the coarse stage.", low=0.0, high=1.0
    )
    fine_history_future_weight: float | None = flag(None, LONG_CLIPS, "The same for the fine stage.", low=0.0, high=1.0)
    semantic_prev_segment_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the semantic stage's history that later segments get of the segment before; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    coarse_prev_segment_weight: float | None = flag(
        None, LONG_CLIPS, "The same for the coarse stage.", low=0.0, high=1.0
    )
    fine_prev_segment_weight: float | None = flag(None, LONG_CLIPS, "The same for the fine stage.", low=0.0, high=1.0)
    add_silence_between_segments: float = flag(
        0.25, LONG_CLIPS, "Seconds of silence between segments.", low=0.0, high=3600.0, metavar="SECONDS"
    )

    loglevel: str = flag(
        "WARNING",
        MORE,
        "How much to tell; DEBUG shows tracebacks.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )

    def resolved(self) -> Options:
        """These options with environment and inherited defaults filled in, checked. Raises UsageError."""
        options = dataclasses.replace(self, **self._from_environment(), **self._expanded())
        for line in flags():
            line.check(getattr(options, line.name))
        options._check_pairs()
        return options._inherited()

    def changed(self) -> dict[str, object]:
        """The settings of resolved options that differ from their defaults."""
        default = Options()._inherited()
        values = ((line.name, getattr(self, line.name), getattr(default, line.name)) for line in flags())
        return {name: value for name, value, usual in values if value != usual}

    def _inherited(self) -> Options:
        """With every default that follows another flag filled in; nowhere else are they."""
        small = bool(self.use_smaller_models)
        return dataclasses.replace(
            self,
            semantic_temp=self.text_temp if self.semantic_temp is None else self.semantic_temp,
            coarse_temp=self.waveform_temp if self.coarse_temp is None else self.coarse_temp,
            split_character_goal_length=self.split_character_goal_length
            or min(_GOAL_LENGTH, self.split_character_max_length),
            text_use_small=small or self.text_use_small,
            coarse_use_small=small or self.coarse_use_small,
            fine_use_small=small or self.fine_use_small,
            semantic_allow_early_stop=self.semantic_allow_early_stop and not self.confused_travolta_mode,
        )

    def _from_environment(self) -> dict[str, object]:
        unset = (line for line in flags() if line.env and getattr(self, line.name) == line.default)
        return {line.name: line.parse(os.environ[line.env]) for line in unset if os.environ.get(line.env)}

    def _expanded(self) -> dict[str, str]:
        """Paths from the home folder written out; the shell does not do it behind a `=`."""
        names = ("prompt_file", "history_prompt", "output_dir", "model", "model_dir")
        given = ((name, getattr(self, name)) for name in names)
        return {name: os.path.expanduser(value) for name, value in given if value is not None}

    def _check_pairs(self) -> None:
        """Raise UsageError for values that exclude each other."""
        if self.text_prompt is not None and self.prompt_file is not None:
            raise UsageError("--text_prompt and --prompt_file exclude each other; give one of them")
        if self.offline and self.force_reload:
            raise UsageError("--offline and --force_reload exclude each other; give one of them")
        if self.seed is not None and self.single_starting_seed is not None:
            raise UsageError("--seed and --single_starting_seed exclude each other; give one of them")
        if (self.split_character_goal_length or 1) > self.split_character_max_length:
            raise UsageError(
                f"--split_character_goal_length {self.split_character_goal_length} is over "
                f"--split_character_max_length {self.split_character_max_length}; lower it or raise the other"
            )
        if self.coarse_max_coarse_history + self.coarse_sliding_window_len > c.MAX_COARSE_INPUT:
            raise UsageError(
                f"--coarse_max_coarse_history {self.coarse_max_coarse_history} and --coarse_sliding_window_len "
                f"{self.coarse_sliding_window_len} are over {c.MAX_COARSE_INPUT} together; lower one of them"
            )


@functools.cache
def flags() -> tuple[Flag, ...]:
    """The table: every flag in the order of its declaration, with its name and type."""
    hints = typing.get_type_hints(Options)
    return tuple(
        dataclasses.replace(f.metadata["flag"], name=f.name, kind=_kind(hints[f.name]))
        for f in dataclasses.fields(Options)
    )


def _kind(hint: object) -> type:
    """`float` of `float | None`."""
    if isinstance(hint, types.UnionType):
        return next(t for t in hint.__args__ if t is not types.NoneType)
    return hint
