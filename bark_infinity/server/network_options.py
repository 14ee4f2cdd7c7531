"""Which flags a client of the server may set, and to what: names in place of paths, bounded numbers, nothing of the machine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import BarkError, UsageError
from ..files import portable_stem
from ..options.flag import Flag
from ..options.recognizer_name import OFF, POCKETSPHINX
from ..options.resolve import REPORTS
from ..options.settings_file import flags_by_name
from ..options.suggestions import suggest
from ..options.table import Options, flags
from ..text.front_matter import parse_cast
from .network_names import NetworkNames

_MAX_TEXT_LENGTH = 10_000  # characters of the value of a flag
_MAX_NAME_LENGTH = 120  # characters of --output_filename

ALLOWED = frozenset(
    (
        "fit_subtitles", "split_input_into_separate_prompts_by", "split_input_into_separate_prompts_by_value",
        "script", "text_encoding", "chapters", "footnotes", "speak_titles", "output_format", "chapter_files",
        "book_title", "book_author", "book_narrator", "always_save_speaker", "output_iterations", "subtitles",
        "subtitles_by", "hoarder_mode", "extra_stats", "loudness", "trim_silence", "crossfade_ms",
        "sample_rate", "text_temp", "semantic_temp", "waveform_temp", "coarse_temp", "fine_temp",
        "semantic_top_k", "semantic_top_p", "coarse_top_k", "coarse_top_p", "semantic_min_eos_p",
        "semantic_max_gen_duration_s", "semantic_allow_early_stop", "confused_travolta_mode",
        "extra_confused_travolta_mode", "semantic_use_kv_caching", "coarse_kv_caching",
        "semantic_history_oversize_limit", "coarse_max_coarse_history", "coarse_sliding_window_len",
        "coarse_history_time_alignment_hack", "absolute_semantic_history_only",
        "absolute_semantic_history_only_every_x", "negative_text_prompt", "negative_text_prompt_logits_scale",
        "negative_text_prompt_divergence_scale", "semantic_use_mirostat_sampling", "semantic_mirostat_tau",
        "semantic_mirostat_learning_rate", "semantic_token_repeat_penalty", "semantic_inverted_p",
        "semantic_bottom_k", "seed", "single_starting_seed", "semantic_seed", "coarse_seed", "fine_seed",
        "split_character_goal_length", "split_character_max_length", "split_character_jitter",
        "split_each_text_prompt_by", "split_each_text_prompt_by_value", "group_text_by_counting",
        "split_type_string", "prompt_text_prefix", "prompt_text_suffix", "separate_prompts",
        "stable_mode_interval", "semantic_history_starting_weight", "coarse_history_starting_weight",
        "fine_history_starting_weight", "semantic_history_future_weight", "coarse_history_future_weight",
        "fine_history_future_weight", "semantic_prev_segment_weight", "coarse_prev_segment_weight",
        "fine_prev_segment_weight", "add_silence_between_segments", "add_silence_between_paragraphs",
        "add_silence_between_speakers", "add_silence_at_scene_breaks", "add_silence_between_chapters",
        "gain_db", "check_segments", "retries", "check_min_loudness_db", "check_max_clipped_percent",
        "check_max_repeat_s", "check_max_length_ratio", "check_min_length_ratio", "candidates",
        "max_word_errors", "trim_babble", "keep_takes",
    )
)  # fmt: skip
"""Flags that a client may set to any value of theirs, within `_MOST`. A flag that is named nowhere here is refused."""

_MOST: Mapping[str, float] = {  # highest values from the network, of flags by which a few words ask for years of work
    "output_iterations": 100,
    "candidates": 16,
    "retries": 10,
    "extra_confused_travolta_mode": 100,
    **{f"add_silence_between_{name}": 60.0 for name in ("segments", "paragraphs", "speakers", "chapters")},
    "add_silence_at_scene_breaks": 60.0,
    "split_character_max_length": 10_000,
    "split_character_jitter": 10_000,
}
_SPLITTERS = ("split_input_into_separate_prompts_by", "split_each_text_prompt_by")

_SERVER = "it is set where the server is started"
_TEXT = "give the text, or the id of an uploaded file, as the request has them"
_MADE = "ask for that of the job that made the clip"
_COMMAND = "run the command bark-infinity for it"
_TERMINAL = "it changes only what a terminal shows"
_JOB = "a job is resumed by itself"
REFUSED: Mapping[str, str] = {  # flags that no client may set, and why, or what to do instead
    **dict.fromkeys(("text_prompt", "prompt_file"), _TEXT),
    **dict.fromkeys(("from_manifest", "regenerate", "restitch", "take"), _MADE),
    **dict.fromkeys(("list_chapters", "list_speakers", "dry_run", "text_splits_only", "export_script"), _COMMAND),
    **dict.fromkeys(("render_npz_samples", "check_delivery", "voice_report", "convert_model"), _COMMAND),
    **dict.fromkeys(("print_config", "print_completion", *REPORTS, "show_all_reports"), _COMMAND),
    **dict.fromkeys(("show_generation_times", "silent", "show_takes"), _TERMINAL),
    **dict.fromkeys(("output_dir", "voice_dir", "config", "loglevel", "cluster", "workers", "shard"), _SERVER),
    **dict.fromkeys(("model", "model_dir", "offline", "force_reload", "device", "dtype", "batch_size"), _SERVER),
    **dict.fromkeys(("text_use_gpu", "coarse_use_gpu", "fine_use_gpu", "codec_use_gpu"), _SERVER),
    **dict.fromkeys(("text_use_small", "coarse_use_small", "fine_use_small", "use_smaller_models"), _SERVER),
    **dict.fromkeys(("offload_cpu", "global_enable_mps", "suno_use_directml"), _SERVER),
    "custom_audio_processing_function": "it would run a program on the server",
    "output_format_ffmpeg_parameters": "choose output_format, sample_rate and loudness",
    "resume": _JOB,
}


class OptionError(UsageError):
    """A flag that a client may not set, or not so. `flag`: its name, or what the client wrote for one."""

    def __init__(self, message: str, flag: str = ""):
        super().__init__(message)
        self.flag = flag


def network_flags() -> tuple[Flag, ...]:
    """The flags that a client may set, in the order of the table."""
    return tuple(line for line in flags() if line.name in ALLOWED or line.name in _CHECKED)


def network_options(given: Mapping[str, object], names: NetworkNames, defaults: Options) -> dict[str, object]:
    """The options that a client asks for, by flag name, checked; names of voices and ids of uploads become paths.

    `given`: names or aliases of flags, with texts as on the command line or values of their types; None is not given.
    `defaults`: what the server was started with. Raises OptionError.
    """
    options: dict[str, object] = {}
    for key, value in given.items():
        if value is None:
            continue
        line = _find(key)
        try:
            setting = _read(line, value, names, defaults)
        except BarkError as error:
            raise OptionError(str(error), line.name) from None
        if line.name in options:
            raise OptionError(f"--{line.name} is given twice; leave one of them out", line.name)
        options[line.name] = setting
    return options


def _find(key: str) -> Flag:
    """The flag of this name, if a client may set it. Raises OptionError."""
    name = key.replace("-", "_").lower()
    line = _by_name().get(name)
    if line is None:
        shown = key if len(key) <= 60 and key.isprintable() else repr(key[:60])
        raise OptionError(
            f"there is no setting {shown}; {suggest(name, dashes='') or 'see GET /v1/jobs/options'}", shown
        )
    if line.name not in ALLOWED and line.name not in _CHECKED:
        why = REFUSED.get(line.name, _SERVER)
        raise OptionError(f"--{line.name} is not for clients of the server; {why}", line.name)
    return line


@functools.cache
def _by_name() -> Mapping[str, Flag]:
    return flags_by_name(flags())


def _read(line: Flag, value: object, names: NetworkNames, defaults: Options) -> object:
    """The value of a flag that a client may set. Raises BarkError."""
    if isinstance(value, str):
        _check_text(line, value)
    setting = line.read(value)
    if setting is None:
        return None
    line.check(setting)
    if line.name in _CHECKED:
        assert isinstance(setting, str)  # they are texts
        return _CHECKED[line.name](setting, names, defaults)
    most = _MOST.get(line.name)
    if most is not None and isinstance(setting, int | float) and setting > most:
        raise UsageError(f"--{line.name} {setting} is more than the {most:g} that a client may ask for; lower it")
    if line.name in _SPLITTERS and setting == "regex":
        raise UsageError(f"--{line.name} regex is not for clients of the server, whom it could stop; cut at a string")
    return setting


def _check_text(line: Flag, text: str) -> None:
    if len(text) > _MAX_TEXT_LENGTH:
        raise UsageError(f"--{line.name} has more than {_MAX_TEXT_LENGTH:,} characters; shorten it")
    if unusable := unusable_characters(text):
        raise UsageError(f"--{line.name} has {unusable}; leave them out")


def unusable_characters(text: str) -> str | None:
    """Which characters a text has that stand for nothing, and break programs; None for a text without them."""
    if "\0" in text:
        return "NUL characters"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "lone surrogates, which stand for no character"
    return None


# ---- flags whose values are names ------------------------------------------------------------------------------------


def _voice(value: str, names: NetworkNames, defaults: Options) -> str:
    return names.voice(value)


def _cast(value: str, names: NetworkNames, defaults: Options) -> str:
    cast = parse_cast(value)
    voices = {name: names.voice(speaker.voice or "") for name, speaker in cast.items()}
    if impossible := next((voice for voice in voices.values() if "," in voice), None):
        raise UsageError(f"the voice {impossible} has a comma in its name, which --cast cannot have; rename it")
    return ",".join(f"{name}={voice}" for name, voice in voices.items())


def _audition(value: str, names: NetworkNames, defaults: Options) -> str:
    asked = [name.strip() for name in value.split(",")]
    return value if asked == ["all"] else ",".join(map(names.voice, asked))


def _recording(value: str, names: NetworkNames, defaults: Options) -> str:
    return names.sound(value)


def _cover(value: str, names: NetworkNames, defaults: Options) -> str:
    return names.cover(value)


def _pronunciations(value: str, names: NetworkNames, defaults: Options) -> str:
    return names.text(value)


def _file_name(value: str, names: NetworkNames, defaults: Options) -> str:
    if len(value) > _MAX_NAME_LENGTH or portable_stem(value) != value:
        raise UsageError(
            f"--output_filename {value[:60]!r} is no plain name; use at most {_MAX_NAME_LENGTH} letters, digits, - and _"
        )
    return value


def _recognizer(value: str, names: NetworkNames, defaults: Options) -> str:
    known = (OFF, POCKETSPHINX, *((defaults.recognizer,) if defaults.recognizer not in (OFF, POCKETSPHINX) else ()))
    if value.lower() not in (name.lower() for name in known):
        raise UsageError(f"--recognizer {value[:60]!r} is not one of {', '.join(known)}, which this server has")
    return value


_CHECKED: Mapping[str, Callable[[str, NetworkNames, Options], Any]] = {  # flags whose values are names of something
    "history_prompt": _voice,
    "bark_speaker_as_the_prompt": _voice,
    "cast": _cast,
    "audition": _audition,
    "audio_file_as_history_prompt": _recording,
    "cover": _cover,
    "pronunciations": _pronunciations,
    "output_filename": _file_name,
    "recognizer": _recognizer,
}
CHECKED = frozenset(_CHECKED)
"""Flags that a client may set to names of what the server has."""
