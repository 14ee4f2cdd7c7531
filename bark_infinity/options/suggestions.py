"""Suggests flags for unknown names: those of other programs or earlier versions, and typing errors."""

from __future__ import annotations

import difflib
import functools

from .table import flags

_ELSEWHERE = {  # flag: its names in Coqui TTS, Piper, eSpeak, OpenAI's API, other tools and earlier versions
    "text_prompt": "say speak speech sentence input_text message content t",
    "prompt_file": "file text_file input_file infile input script_file f i",
    "from_manifest": "manifest from_json replay",
    "history_prompt": "voice voice_preset voice_file voice_name speaker_id speaker_name spk preset history npz npz_file "
    "specific_npz_file custom_voice voice_prompt v",
    "audio_file_as_history_prompt": "speaker_wav reference_audio reference_wav ref_audio clone clone_voice voice_sample "
    "audio_prompt audio_file recording",
    "voice_dir": "voice_dirs voices_dir voice_folder speaker_dir speakers_dir",
    "list_speakers": "list_voices list_voice voices speakers list_speaker_idxs list_speaker_idx",
    "dry_run": "plan preview simulate",
    "output_dir": "out_dir outdir output_folder out_folder output_directory folder directory d",
    "output_filename": "out output outfile out_file output_file output_path filename file_name file_path save_as name write "
    "wav o w",
    "output_format": "format audio_format response_format file_format extension ext codec",
    "output_iterations": "iterations iteration number_of_iterations n num count takes repeat repeats num_samples n_samples "
    "generations",
    "always_save_speaker": "save_speaker save_voice save_npz save_history output_full",
    "silent": "quiet q no_progress progress progress_bar",
    "render_npz_samples": "specific_npz_folder render_voices npz_folder",
    "retries": "retry max_retries",
    "resume": "continue go_on restart overwrite",
    "model": "model_name model_path model_id checkpoint ckpt m",
    "use_smaller_models": "small smaller_models use_small",
    "model_dir": "cache_dir data_dir download_dir models_dir",
    "offline": "local local_files_only no_download no_network",
    "device": "use_cuda cuda gpu cpu use_gpu mps",
    "dtype": "precision half fp16 bf16 fp32 int8 quantize",
    "text_use_gpu": "less_gpu",
    "offload_cpu": "cpu_offload offload low_vram lowvram",
    "batch_size": "batch parallel threads",
    "text_temp": "temperature temp",
    "semantic_top_k": "top_k topk",
    "semantic_top_p": "top_p topp",
    "semantic_min_eos_p": "min_eos_p eos_p",
    "semantic_max_gen_duration_s": "max_duration max_gen_duration_s max_seconds duration",
    "seed": "random_seed manual_seed rng_seed",
    "split_character_goal_length": "chunk_size chunk_length",
    "split_character_max_length": "max_chars max_length max_characters max_len",
    "split_each_text_prompt_by": "split split_by split_text",
    "split_input_into_separate_prompts_by": "prompt_file_separator separator",
    "stable_mode_interval": "stable_mode stable",
    "extra_confused_travolta_mode": "keep_generating",
    "add_silence_between_segments": "sentence_silence silence pause pauses gap word_gap wordgap",
    "gain_db": "gain volume amplitude",
    "config": "config_file settings settings_file",
    "loglevel": "log_level verbose verbosity debug",
}
_WITH_VALUE = {  # former flag: the flag and value that replace it
    "split_by_words": "split_each_text_prompt_by word",
    "split_by_lines": "split_each_text_prompt_by line",
    "split_by_sentences": "split_each_text_prompt_by sentence",
}
MOST_NAMES = 3  # of one suggestion
LEAST_LIKENESS = 0.75  # of a misspelled flag, as difflib measures it: "modal" for "model" has 0.8
LEAST_LIKENESS_ELSEWHERE = 0.85  # of a misspelled name of another program; many of those are short common words

_SPEED = "speed and pitch are those of the voice; choose another one with {}history_prompt"
_LANGUAGE = (
    "Bark reads the language from the text; choose a voice that speaks it, as in {}history_prompt v2/de_speaker_3"
)
_NOT_HERE = {
    **dict.fromkeys(("speed", "rate", "pitch", "length_scale", "noise_scale", "noise_w", "words_per_minute"), _SPEED),
    **dict.fromkeys(("lang", "language", "language_idx", "language_id", "lang_id", "locale", "l"), _LANGUAGE),
}


def suggest(name: str, dashes: str = "--") -> str | None:
    """The end of a sentence that suggests flags for an unknown name, or None. `dashes`: the prefix of suggested flags."""
    name = name.replace("-", "_").lower()
    if name in _NOT_HERE:
        return _NOT_HERE[name].format(dashes)
    if name.removesuffix("_value") in _WITH_VALUE:
        flag, value = _WITH_VALUE[name.removesuffix("_value")].split()
        return f"did you mean {dashes}{flag} {value}, with {dashes}{flag}_value for how many?"
    known = _known_names()
    if name in known:
        return f"did you mean {dashes}{known[name]}?"
    near = _of_the_same_words(name) or _beginning_with(name) or _of_more_or_fewer_words(name) or _spelled_like(name)
    meant = list(dict.fromkeys(known[other] for other in near))[:MOST_NAMES]
    return f"did you mean {' or '.join(f'{dashes}{flag}' for flag in meant)}?" if meant else None


def _of_the_same_words(name: str) -> list[str]:
    """Known names of the same words in any order: `text_prompt_prefix` for `prompt_text_prefix`."""
    return [other for other in _known_names() if _words(other) == _words(name)]


def _beginning_with(name: str) -> list[str]:
    return [flag for flag in _flag_names() if flag.startswith(name)] if len(name) > 2 else []


def _of_more_or_fewer_words(name: str) -> list[str]:
    """Flags with all words of this name and the fewest more, or else with as many of its words as possible and no others."""
    words = _words(name)
    if len(words) < 2:
        return []
    longer = [flag for flag in _flag_names() if words < _words(flag)]
    if longer:
        fewest = min(len(_words(flag)) for flag in longer)
        return [flag for flag in longer if len(_words(flag)) == fewest]
    shorter = [flag for flag in _flag_names() if len(_words(flag)) > 1 and _words(flag) < words]
    most = max((len(_words(flag)) for flag in shorter), default=0)
    return [flag for flag in shorter if len(_words(flag)) == most]


def _spelled_like(name: str) -> list[str]:
    """The flag that is spelled most alike, or else the name of another program, which must be more alike."""
    elsewhere = [other for other in _known_names() if len(other) > 2]
    return difflib.get_close_matches(name, _flag_names(), n=1, cutoff=LEAST_LIKENESS) or difflib.get_close_matches(
        name, elsewhere, n=1, cutoff=LEAST_LIKENESS_ELSEWHERE
    )


def _words(name: str) -> frozenset[str]:
    """The words of a name, without the plural's s."""
    return frozenset(word.removesuffix("s") if len(word) > 3 else word for word in name.split("_"))


@functools.cache
def _flag_names() -> dict[str, str]:
    """The names and aliases of the flags, with the flag to suggest for each."""
    return {line.name: line.name for line in flags()} | {alias: line.name for line in flags() for alias in line.aliases}


@functools.cache
def _known_names() -> dict[str, str]:
    """Every name that is recognised, our own first, with the flag to suggest for it."""
    own = _flag_names()
    elsewhere = {name: flag for flag, names in _ELSEWHERE.items() for name in names.split()}
    return own | {name: flag for name, flag in elsewhere.items() if name not in own}
