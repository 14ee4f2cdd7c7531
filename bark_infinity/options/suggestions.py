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
    "specific_npz_file custom_voice v",
    "audio_file_as_history_prompt": "speaker_wav reference_audio reference_wav ref_audio clone clone_voice voice_sample "
    "audio_prompt audio_file recording",
    "list_speakers": "list_voices list_voice voices speakers list_speaker_idxs list_speaker_idx",
    "dry_run": "plan preview simulate",
    "output_dir": "out_dir outdir output_folder out_folder output_directory folder directory d",
    "output_filename": "out output outfile out_file output_file output_path filename file_name file_path save_as name write "
    "wav o w",
    "output_format": "format audio_format response_format file_format extension ext codec",
    "output_iterations": "iterations iteration n num count takes repeat repeats num_samples n_samples generations",
    "always_save_speaker": "save_speaker save_voice save_npz save_history",
    "silent": "quiet q no_progress progress",
    "render_npz_samples": "specific_npz_folder render_voices npz_folder",
    "resume": "continue go_on restart overwrite",
    "model": "model_name model_path model_id checkpoint ckpt m",
    "use_smaller_models": "small smaller_models use_small",
    "model_dir": "cache_dir data_dir download_dir models_dir",
    "offline": "local local_files_only no_download no_network",
    "device": "use_cuda cuda gpu cpu use_gpu mps",
    "dtype": "precision half fp16 bf16 fp32 int8 quantize",
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
    "gain_db": "gain volume amplitude loudness",
    "config": "config_file settings settings_file",
    "loglevel": "log_level verbose verbosity debug",
}
_WITH_VALUE = {  # former flag: the flag and value that replace it
    "split_by_words": "split_each_text_prompt_by word",
    "split_by_lines": "split_each_text_prompt_by line",
    "split_by_sentences": "split_each_text_prompt_by sentence",
}
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
    if name in _WITH_VALUE:
        flag, value = _WITH_VALUE[name].split()
        return f"did you mean {dashes}{flag} {value}, with {dashes}{flag}_value for how many?"
    known = _known_names()
    if name in known:
        return f"did you mean {dashes}{known[name]}?"
    begun = [own for own in known if own.startswith(name) and own == known[own]] if len(name) > 2 else []
    near = begun[:3] or difflib.get_close_matches(name, [own for own in known if len(own) > 2], n=1, cutoff=0.6)
    meant = dict.fromkeys(known[own] for own in near)
    return f"did you mean {' or '.join(f'{dashes}{flag}' for flag in meant)}?" if meant else None


@functools.cache
def _known_names() -> dict[str, str]:
    """Every known name, our own first: {name: flag to suggest}."""
    own = {name: name for line in flags() for name in (line.name, *line.aliases)}
    elsewhere = {name: flag for flag, names in _ELSEWHERE.items() for name in names.split()}
    return own | {name: flag for name, flag in elsewhere.items() if name not in own}
