"""Fills in defaults that depend on other options, and reports options that exclude or need each other."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from .. import constants as c
from ..audio.targets import sample_rate_problem
from ..errors import UsageError
from ..text.subtitle_formats import read_formats
from .flag import Flag
from .output_name import OutputName
from .recognizer_name import read_recognizer_name
from .shard import Shard
from .table import Options, flags

_GOAL_LENGTH = 110  # characters of a segment, about 8 s of speech
_NEGATIVE_SCALE = 0.5
_MIROSTAT_TAU = 5.0  # bits

REPORTS = (
    "detailed_gpu_report",
    "detailed_cuda_report",
    "detailed_hugging_face_cache_report",
    "detailed_numpy_report",
    "run_numpy_benchmark",
)
EXCLUSIVE = (
    ("text_prompt", "prompt_file"),
    ("text_prompt", "prompt_file", "bark_speaker_as_the_prompt"),
    ("history_prompt", "audio_file_as_history_prompt"),
    ("audition", "history_prompt", "audio_file_as_history_prompt"),
    ("regenerate", "restitch"),
    ("offline", "force_reload"),
    ("seed", "single_starting_seed"),
    ("device", "suno_use_directml"),
    ("semantic_top_p", "semantic_inverted_p"),
    ("semantic_top_k", "semantic_bottom_k"),
    ("absolute_semantic_history_only", "absolute_semantic_history_only_every_x"),
    ("render_npz_samples", "convert_model"),
    ("render_npz_samples", "voice_report"),
    ("convert_model", "voice_report"),
    *(
        (mode, name)
        for mode in ("render_npz_samples", "convert_model", "voice_report")
        for name in ("text_prompt", "prompt_file", "from_manifest", "bark_speaker_as_the_prompt")
    ),
)
NEEDS_RECOGNIZER = ("max_word_errors", "trim_babble")
_SPLITTERS = ("split_each_text_prompt_by", "split_input_into_separate_prompts_by")
_NEEDED = {  # flag: flags of which one must be given for it to have an effect
    "split_input_into_separate_prompts_by_value": _SPLITTERS[1:],
    "split_each_text_prompt_by_value": _SPLITTERS[:1],
    "group_text_by_counting": _SPLITTERS,
    "split_type_string": _SPLITTERS,
    "text_encoding": ("prompt_file",),
    "fit_subtitles": ("prompt_file",),
    "subtitles_by": ("subtitles",),
    "list_chapters": ("prompt_file", "text_prompt"),
    "chapters": ("prompt_file", "text_prompt"),
    "footnotes": ("prompt_file",),
    "speak_titles": ("prompt_file",),
    "export_script": ("prompt_file", "text_prompt"),
    "regenerate": ("from_manifest",),
    "restitch": ("from_manifest",),
    "negative_text_prompt_logits_scale": ("negative_text_prompt",),
    "negative_text_prompt_divergence_scale": ("negative_text_prompt",),
    "semantic_mirostat_learning_rate": ("semantic_mirostat_tau",),
    "take": ("from_manifest",),
    **dict.fromkeys(NEEDS_RECOGNIZER, ("recognizer",)),
    "workers": ("cluster",),
}
_UNREAD = {  # flag: flags that have no effect beside it
    "restitch": ("text_prompt", "prompt_file", "cast", "pronunciations", "cluster"),
    "from_manifest": ("output_iterations", "split_input_into_separate_prompts_by", "audition", "shard"),
    "fit_subtitles": ("split_input_into_separate_prompts_by",),
    "chapters": ("split_input_into_separate_prompts_by",),
    "export_script": ("split_input_into_separate_prompts_by",),
    "bark_speaker_as_the_prompt": (
        "split_input_into_separate_prompts_by",
        "split_each_text_prompt_by",
        "prompt_text_prefix",
        "prompt_text_suffix",
        "negative_text_prompt",
        "script",
        "cast",
        "pronunciations",
        "subtitles",
        "audition",
    ),
}
_CHECKS = (
    "check_min_loudness_db",
    "check_max_clipped_percent",
    "check_max_repeat_s",
    "check_max_length_ratio",
    "check_min_length_ratio",
    "max_word_errors",
)


def resolve(options: Options) -> Options:
    """`options` with environment variables and inherited defaults filled in, checked. Raises UsageError."""
    options = options.with_settings({line.name: line.typed(getattr(options, line.name)) for line in flags()})
    options = options.with_settings({**_from_environment(options), **expanded(options)})
    for line in flags():
        line.check(getattr(options, line.name))
    resolved = inherited(options)
    check_pairs(resolved, options)
    return resolved


def _from_environment(options: Options) -> dict[str, object]:
    unset = (line for line in flags() if getattr(options, line.name) == line.default)
    return {
        line.name: _parse_variable(line, line.env, text)
        for line in unset
        if line.env is not None and (text := os.environ.get(line.env))
    }


def _parse_variable(line: Flag, variable: str, text: str) -> object:
    try:
        return line.parse(text)
    except UsageError as error:
        raise UsageError(f"{variable} in the environment: {error}") from None


def inherited(options: Options) -> Options:
    """`options` with every default filled in that depends on another flag. This is the only place where that is done.

    `output_dir` becomes the folder of the clips, `output_filename` their name without folder and ending. Raises
    UsageError.
    """
    small = bool(options.use_smaller_models)
    place = OutputName.read(options.output_filename, options.output_dir, options.output_format)
    no_scale = (
        options.negative_text_prompt_logits_scale is None and options.negative_text_prompt_divergence_scale is None
    )
    reports = {name: options.show_all_reports or getattr(options, name) for name in REPORTS}
    return dataclasses.replace(
        options.with_settings(reports),
        asked=options,
        semantic_temp=options.text_temp if options.semantic_temp is None else options.semantic_temp,
        coarse_temp=options.waveform_temp if options.coarse_temp is None else options.coarse_temp,
        split_character_goal_length=options.split_character_goal_length
        or min(_GOAL_LENGTH, options.split_character_max_length),
        text_use_small=small or options.text_use_small,
        coarse_use_small=small or options.coarse_use_small,
        fine_use_small=small or options.fine_use_small,
        # the original separates ffmpeg's arguments by QQQQQ
        output_format_ffmpeg_parameters=options.output_format_ffmpeg_parameters
        and options.output_format_ffmpeg_parameters.replace("QQQQQ", " "),
        restitch=options.restitch or _only_takes(options),
        output_dir=place.folder,
        output_filename=place.stem,
        output_format=place.format or "wav",
        negative_text_prompt_logits_scale=_NEGATIVE_SCALE
        if options.negative_text_prompt is not None and no_scale
        else options.negative_text_prompt_logits_scale,
        semantic_mirostat_tau=_MIROSTAT_TAU
        if options.semantic_use_mirostat_sampling and options.semantic_mirostat_tau is None
        else options.semantic_mirostat_tau,
        absolute_semantic_history_only_every_x=1
        if options.absolute_semantic_history_only
        else options.absolute_semantic_history_only_every_x,
        semantic_allow_early_stop=options.semantic_allow_early_stop and not options.confused_travolta_mode,
    )


def only_stitches(settings: Mapping[str, object]) -> bool:
    """Whether settings ask for a finished clip's tokens to be stitched again, with --restitch or --take."""
    options = Options.from_settings(settings)
    return options.restitch or _only_takes(options)


def _only_takes(options: Options) -> bool:
    """Whether a manifest's clip gets other takes, and is the same otherwise: it is stitched again."""
    others = (options.regenerate, options.text_prompt, options.prompt_file, options.cast, options.pronunciations)
    return options.take is not None and all(other is None for other in others)


def expanded(options: Options) -> dict[str, str]:
    """Path settings with `~` expanded, which shells do not do after a `=`. Raises UsageError."""
    given = {line.name: value for line in flags() if line.path and (value := getattr(options, line.name)) is not None}
    for name, value in given.items():
        if "\0" in value:  # from a settings file
            raise UsageError(f"--{name} has a NUL character, which no path can have; leave it out")
    return {name: os.path.expanduser(value) for name, value in given.items()}


def check_pairs(options: Options, asked: Options) -> None:
    """Raise UsageError for settings that exclude each other or have no effect. `asked`: the options before `inherited`."""
    for conflict in conflicts(options, asked):
        raise UsageError(conflict.message)
    if options.subtitles is not None:
        read_formats(options.subtitles)
    read_recognizer_name(options.recognizer)
    if options.negative_text_prompt is not None and not options.negative_text_prompt.strip():
        raise UsageError("--negative_text_prompt has no text; give it words or leave it out")


@dataclass(frozen=True)
class Conflict:
    """Settings that conflict. `names`: those of which removing one resolves the conflict."""

    names: tuple[str, ...]
    message: str
    lacking: bool = False  # the setting has no effect because another one is missing


def conflicts(options: Options, asked: Options) -> Iterator[Conflict]:
    """Yield every conflict among the settings `asked`. `options`: the same with all defaults filled in."""
    for names in EXCLUSIVE:
        given = [name for name in names if _is_given(getattr(asked, name))]
        if len(given) > 1:
            yield Conflict(tuple(given), f"--{given[0]} and --{given[1]} exclude each other; give one of them")
    yield from _idle(options, asked.changed())
    greedy = options.semantic_temp is not None and options.semantic_temp < c.GREEDY_BELOW
    if greedy and options.semantic_mirostat_tau is not None:
        yield Conflict(
            ("semantic_mirostat_tau", "semantic_use_mirostat_sampling", "semantic_temp", "text_temp"),
            "mirostat draws tokens, and at temperature 0 none are drawn; raise --semantic_temp",
        )
    if options.convert_model is not None and options.dtype == "int8":
        yield Conflict(
            ("convert_model", "dtype"),
            "--convert_model writes no int8, which is made of any checkpoint while it is loaded; "
            "take --dtype bfloat16, float16 or float32",
        )
    if (options.split_character_goal_length or 1) > options.split_character_max_length:
        yield Conflict(
            ("split_character_goal_length", "split_character_max_length"),
            f"--split_character_goal_length {options.split_character_goal_length} is over "
            f"--split_character_max_length {options.split_character_max_length}; lower it or raise the other",
        )
    if options.loudness != "off" and options.gain_db:
        yield Conflict(
            ("loudness", "gain_db"),
            "--gain_db does nothing beside --loudness, which sets the gain; leave one of them out",
        )
    if (message := sample_rate_problem(options.sample_rate, options.audio_format)) is not None:
        yield Conflict(("sample_rate", "output_format"), message)
    if options.shard is not None:
        Shard.read(options.shard)
        seeded = options.seed is not None or options.single_starting_seed is not None
        if options.split_input_into_separate_prompts_by == "random" and not seeded:
            yield Conflict(
                ("shard", "split_input_into_separate_prompts_by"),
                "--shard needs --seed where the input is cut at random, so that every shard cuts it alike",
            )
        if options.history_prompt == "random" and not seeded:
            yield Conflict(
                ("shard", "history_prompt"),
                "--shard needs --seed beside --history_prompt random, so that every shard speaks in the same voice",
            )
    if (message := _coarse_input_over(options)) is not None:
        yield Conflict(("coarse_max_coarse_history", "coarse_sliding_window_len"), message)


def check_coarse_input(options: Options) -> None:
    """Raise UsageError for a coarse history and sliding window that are too long together."""
    if (message := _coarse_input_over(options)) is not None:
        raise UsageError(message)


def _coarse_input_over(options: Options) -> str | None:
    if options.coarse_max_coarse_history + options.coarse_sliding_window_len <= c.MAX_COARSE_INPUT:
        return None
    return (
        f"--coarse_max_coarse_history {options.coarse_max_coarse_history} and --coarse_sliding_window_len "
        f"{options.coarse_sliding_window_len} are over {c.MAX_COARSE_INPUT} together; lower one of them"
    )


def _idle(options: Options, changed: Container[str]) -> Iterator[Conflict]:
    """Yield settings that have no effect, because another one is missing or given."""
    for name, needed in _NEEDED.items():
        if name in changed and not any(n in changed or _is_given(getattr(options, n)) for n in needed):
            mend = "give that too or leave it out"
            yield Conflict((name,), f"--{name} does nothing without --{needed[0]}; {mend}", lacking=True)
    for name, unread in _UNREAD.items():
        for other in unread:
            if name in changed and other in changed:
                yield Conflict((other,), f"--{other} does nothing beside --{name}; leave one of them out")
    if "retries" in changed and options.check_segments != "retry":
        message = "--retries does nothing without --check_segments retry; give that too or leave it out"
        yield Conflict(("retries",), message, lacking=True)
    for name in _CHECKS:
        if options.check_segments == "off" and name in changed:
            yield Conflict((name,), f"--{name} does nothing beside --check_segments off; leave one of them out")


def _is_given(value: object) -> bool:
    """Whether the value of a flag means that it was given; 0 counts as given."""
    return value is not None and value is not False and value not in ("auto", "off")
