"""Every flag, declared once: parser, help, README reference, dry run and manifest all read this table.

`None` means not given. Defaults that follow another flag are filled in by `resolve.resolve`, before work starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import constants as c
from ..audio.formats import FORMATS
from ..audio.targets import LOUDNESS_NAMES, MAX_LUFS, MIN_LUFS
from ..seeds import MAX_SEED
from ..text.subtitle_formats import SUBTITLES_BY
from ..text.units import PATTERN_UNITS, SPLIT_UNITS
from .flag import INPUT, LONG_CLIPS, MACHINES, MODEL, MORE, OUTPUT, SAMPLING, SEEDS, TAKES, Flag, Shapes, flag, flags_of


@dataclass(frozen=True)
class Options:
    """All settings of a run. Construct with keywords, or from a command line through `cli`."""

    text_prompt: str | None = flag(
        None, INPUT, "Text to speak, of any length.", aliases=("text", "prompt"), metavar="TEXT", unset=None
    )
    prompt_file: str | None = flag(
        None,
        INPUT,
        "File to speak: text, subtitles (`.srt`, `.vtt`, `.ass`) or a book (`.epub`, `.html`, `.md`, `.docx`, `.pdf`), most of "
        "them also known by their content; `-` reads standard input.",
        path=True,
        metavar="FILE",
    )
    from_manifest: str | None = flag(
        None,
        INPUT,
        "Make a clip again from its `.json`, with the same text, voice, settings and seeds; beside a text, only what is "
        "new in it.",
        path=True,
        metavar="FILE",
    )
    regenerate: str | None = flag(
        None,
        INPUT,
        "With --from_manifest: make these segments again from other seeds, and those that depend on them; keep the others.",
        metavar="3,7-9",
        shapes=Shapes.NOTHING,
    )
    restitch: bool = flag(
        False,
        INPUT,
        "With --from_manifest: make the audio again from the clip's tokens, with another silence, gain or format.",
        shapes=Shapes.NOTHING,
    )
    fit_subtitles: bool = flag(
        False,
        INPUT,
        "Start each cue of a subtitle file at its time: with silence before it, or later if what is before is too long.",
    )
    split_input_into_separate_prompts_by: str | None = flag(
        None, INPUT, "Cut the input into prompts, one clip each.", choices=SPLIT_UNITS
    )
    split_input_into_separate_prompts_by_value: str | None = flag(
        None,
        INPUT,
        "How many lines, words, ... make one prompt; or the string, pattern or tags to cut at.",
        metavar="N|TEXT",
        unset="",
    )
    script: str = flag(
        "auto",
        INPUT,
        "How markup in the text is read (docs/scripts.md); auto: ssml and dialogues with a cast are known, else plain.",
        choices=("auto", "plain", "dialogue", "ssml"),
    )
    cast: str | None = flag(
        None,
        INPUT,
        "Who speaks with which voice, as in Anna=v2/en_speaker_9,Bob=prompts/bob.npz.",
        path=True,
        metavar="NAME=VOICE",
    )
    pronunciations: str | None = flag(
        None, INPUT, "TOML file that says how words are spoken (docs/scripts.md).", path=True, metavar="FILE"
    )
    history_prompt: str | None = flag(
        None,
        INPUT,
        "The voice: an `.npz` file, or a name from --voice_dir, prompts/, custom_speakers/, the output folder or Bark's "
        "presets (v2/en_speaker_6, announcer, ...); random makes a new one and names it.",
        aliases=("speaker", "speaker_idx"),
        path=True,
        metavar="VOICE",
        shapes=Shapes.TOKENS,
    )
    audio_file_as_history_prompt: str | None = flag(
        None,
        INPUT,
        "Clone the voice of this recording, save it as `.npz`, and use it.",
        path=True,
        metavar="FILE",
    )
    bark_speaker_as_the_prompt: str | None = flag(
        None,
        INPUT,
        "Speak the semantic tokens of this voice instead of a text.",
        path=True,
        metavar="VOICE",
        shapes=Shapes.SEGMENTS,
    )
    text_encoding: str = flag(
        "auto",
        INPUT,
        "Encoding of --prompt_file: auto finds UTF-8, UTF-16 and the likeliest older one, and says which it took.",
        metavar="NAME",
    )
    voice_dir: str = flag(
        "bark_voices",
        INPUT,
        "Folder of voices: NAME/*.wav (mp3, flac, ogg, m4a) is cloned when NAME is first spoken with, NAME.npz is a voice.",
        path=True,
        metavar="DIR",
        shapes=Shapes.NOTHING,
    )
    audition: str | None = flag(
        None,
        INPUT,
        "Speak the text in each of these voices, one clip each, and write a page to hear them side by side; all: every voice "
        "found that suits the model.",
        path=True,
        metavar="VOICE,VOICE",
    )
    list_chapters: bool = flag(
        False,
        INPUT,
        "List the chapters of a book or script, with words, times, and why some are skipped, and stop.",
        shapes=Shapes.NOTHING,
    )
    chapters: str | None = flag(
        None,
        INPUT,
        "Speak only these chapters, by their numbers in --list_chapters, also skipped ones.",
        metavar="1,3-7",
    )
    footnotes: str = flag(
        "skip",
        INPUT,
        "Footnotes of a book: leave them out, or speak each where its mark is.",
        choices=("skip", "inline"),
    )
    speak_titles: bool = flag(True, INPUT, "Speak the titles of a book's chapters.")
    export_script: str | None = flag(
        None,
        INPUT,
        "Write what would be spoken as a script to edit (docs/scripts.md), a book's cover beside it, and stop.",
        path=True,
        metavar="FILE",
        shapes=Shapes.NOTHING,
    )
    list_speakers: bool = flag(False, INPUT, "List the voices found, by language, and stop.", shapes=Shapes.NOTHING)
    dry_run: bool = flag(
        False,
        INPUT,
        "Show prompts, segments, times, file names and seeds; load and write nothing.",
        shapes=Shapes.NOTHING,
    )
    text_splits_only: bool = flag(False, INPUT, "Show only how the text is split, and stop.", shapes=Shapes.NOTHING)

    output_dir: str = flag(
        "bark_samples",
        OUTPUT,
        "Folder for results; created if missing.",
        path=True,
        metavar="DIR",
        shapes=Shapes.NOTHING,
    )
    output_filename: str | None = flag(
        None,
        OUTPUT,
        "The clip's file, with folders below --output_dir and an ending such as .mp3 if you like; a path from / or ./ is "
        "taken as it is. Unset: start of the text and the voice. Never overwrites.",
        aliases=("out_path",),
        path=True,
        metavar="FILE",
        unset="",
    )
    output_format: str | None = flag(
        None,
        OUTPUT,
        "Kind of audio file; unset: by the ending of --output_filename, else wav. mp3, mp4, m4a and m4b have chapters and "
        "a cover inside.",
        choices=FORMATS,
    )
    output_format_ffmpeg_parameters: str | None = flag(
        None,
        OUTPUT,
        'Encoding of mp4, m4a and m4b in words of the program ffmpeg, as in "-b:a 96k" (docs/audio_files.md).',
        metavar="TEXT",
        unset="",
    )
    chapter_files: bool = flag(
        False,
        OUTPUT,
        "One audio file for each chapter, numbered and named, in `<name>.chapters`, beside a playlist `<name>.m3u8`.",
    )
    cover: str | None = flag(
        None,
        OUTPUT,
        "Image (JPEG or PNG) for the cover, also saved beside the clip; unset: that of the book.",
        path=True,
        metavar="FILE",
    )
    book_title: str | None = flag(
        None, OUTPUT, "Title and album in the audio file; unset: the book's.", metavar="TEXT", unset=""
    )
    book_author: str | None = flag(
        None, OUTPUT, "Author in the audio file; unset: the book's.", metavar="TEXT", unset=""
    )
    book_narrator: str | None = flag(
        None, OUTPUT, "Narrator in the audio file; unset: the script's.", metavar="TEXT", unset=""
    )
    always_save_speaker: bool = flag(True, OUTPUT, "Save the clip's voice as `<name>.npz` beside the audio.")
    output_iterations: int = flag(
        1,
        OUTPUT,
        "Takes of each prompt, each with its own seed.",
        low=1,
        high=100_000,
        metavar="N",
        shapes=Shapes.NOTHING,
    )
    subtitles: str | None = flag(
        None,
        OUTPUT,
        "Write subtitles beside the clip: srt, vtt, ass, lrc, json, or several with commas between.",
        metavar="FORMATS",
    )
    subtitles_by: str = flag(
        "segment",
        OUTPUT,
        "What one cue has. Times inside a segment are aligned by the extra `check` (English), else in proportion to length.",
        choices=SUBTITLES_BY,
    )
    hoarder_mode: bool = flag(
        False, OUTPUT, "Also write a folder beside each clip with every segment's audio, voice and parameters."
    )
    extra_stats: bool = flag(
        False,
        OUTPUT,
        "Put seed, temperatures, and the semantic tokens' mean entropy and perplexity into the file name.",
    )
    resume: bool = flag(
        True,
        OUTPUT,
        "Resume what an earlier run of the same command left unfinished; false starts over.",
        shapes=Shapes.NOTHING,
    )
    show_generation_times: bool = flag(
        False, OUTPUT, "Show seconds and speed of every stage and segment.", shapes=Shapes.NOTHING
    )
    silent: bool = flag(False, OUTPUT, "No progress bar.", shapes=Shapes.NOTHING)
    render_npz_samples: str | None = flag(
        None,
        OUTPUT,
        "Turn every voice of this folder into an audio file beside it, and stop.",
        path=True,
        metavar="DIR",
        shapes=Shapes.NOTHING,
    )

    loudness: str = flag(
        "off",
        OUTPUT,
        "Loudness of the whole clip: ebu (-23 LUFS), podcast (-16), audiobook (-19 LUFS, with the level, the peaks and the "
        "silence at both ends that ACX wants) or a number in LUFS; one gain, and a limiter of true peaks "
        "(docs/finished_audio.md).",
        words=LOUDNESS_NAMES,
        low=MIN_LUFS,
        high=MAX_LUFS,
        metavar="NAME|LUFS",
        shapes=Shapes.SOUND,
    )
    trim_silence: bool = flag(
        False, OUTPUT, "Shorten the silence at both ends of each segment to 0.05 s.", shapes=Shapes.SOUND
    )
    crossfade_ms: float = flag(
        0.0,
        OUTPUT,
        "Milliseconds for which two segments without silence between them sound together, one fading into the other.",
        low=0.0,
        high=1000.0,
        metavar="MS",
        shapes=Shapes.SOUND,
    )
    sample_rate: int = flag(
        c.SAMPLE_RATE,
        OUTPUT,
        "Samples per second of the audio file, from 8000 to 96000; the model's are 24000.",
        metavar="HZ",
        shapes=Shapes.SOUND,
    )
    check_delivery: str | None = flag(
        None,
        OUTPUT,
        "Measure each finished file by what this shop asks for, show a table, and exit with 1 if it would be refused.",
        choices=("acx",),
        shapes=Shapes.NOTHING,
    )

    voice_report: str | None = flag(
        None,
        OUTPUT,
        "Measure how the voice of a finished clip (its `.json`) drifts: pitch, pace, loudness and spectrum of each segment, "
        "those that stand out, and a drawing beside it; and stop.",
        path=True,
        metavar="FILE",
        shapes=Shapes.NOTHING,
    )

    model: str = flag(
        "large",
        MODEL,
        "large, small, demo (tiny, built in, needs no download), a hub repository, or a folder with a checkpoint.",
        path=True,
        metavar="NAME",
    )
    model_dir: str | None = flag(
        None, MODEL, "Where downloads go; unset: the hub's cache.", path=True, metavar="DIR", shapes=Shapes.NOTHING
    )
    offline: bool = flag(False, MODEL, "Never touch the network.", shapes=Shapes.NOTHING)
    force_reload: bool = flag(False, MODEL, "Download the model again.", shapes=Shapes.NOTHING)
    convert_model: str | None = flag(
        None,
        MODEL,
        "Save the model as a folder for --model, in --dtype or bfloat16, and stop.",
        path=True,
        metavar="DIR",
        shapes=Shapes.NOTHING,
    )
    device: str = flag("auto", MODEL, "Where to compute.", choices=("auto", "cpu", "cuda", "mps"))
    dtype: str = flag(
        "auto",
        MODEL,
        "Number format of the computation; auto: bfloat16 or float32, whichever is faster here, as measured once.",
        choices=("auto", "float32", "bfloat16", "float16", "int8"),
        shapes=Shapes.TOKENS,
    )
    text_use_gpu: bool = flag(True, MODEL, "false keeps the semantic stage on the CPU.", shapes=Shapes.TOKENS)
    coarse_use_gpu: bool = flag(True, MODEL, "false keeps the coarse stage on the CPU.", shapes=Shapes.TOKENS)
    fine_use_gpu: bool = flag(True, MODEL, "false keeps the fine stage on the CPU.", shapes=Shapes.TOKENS)
    codec_use_gpu: bool = flag(True, MODEL, "false keeps the codec on the CPU.")
    text_use_small: bool = flag(False, MODEL, "Semantic stage from the small model.", shapes=Shapes.TOKENS)
    coarse_use_small: bool = flag(False, MODEL, "Coarse stage from the small model.", shapes=Shapes.TOKENS)
    fine_use_small: bool = flag(False, MODEL, "Fine stage from the small model.", shapes=Shapes.TOKENS)
    use_smaller_models: bool | None = flag(
        None,
        MODEL,
        "All three stages from the small model.",
        aliases=("use_small_models",),
        env="SUNO_USE_SMALL_MODELS",
        shapes=Shapes.TOKENS,
    )
    offload_cpu: bool | None = flag(
        None, MODEL, "Keep only the stage in use on the GPU; auto: when not all of them fit.", env="SUNO_OFFLOAD_CPU"
    )
    global_enable_mps: bool | None = flag(
        None, MODEL, "Allow Apple's GPU; auto: where the processor has one.", env="SUNO_ENABLE_MPS"
    )
    suno_use_directml: bool | None = flag(
        None, MODEL, "Compute through DirectML, where torch-directml is installed; auto: no.", env="SUNO_USE_DIRECTML"
    )
    batch_size: int | None = flag(
        None,
        MODEL,
        "Segments generated side by side; unset: as free memory allows, at most 16, or 64 on CUDA.",
        low=1,
        metavar="N",
        shapes=Shapes.NOTHING,
    )

    text_temp: float = flag(0.7, SAMPLING, "Randomness of the semantic stage (what is said); 0 is greedy.", low=0.0)
    semantic_temp: float | None = flag(None, SAMPLING, "Other name of --text_temp, which it overrides.", low=0.0)
    waveform_temp: float = flag(0.7, SAMPLING, "Randomness of the coarse stage (how it sounds); 0 is greedy.", low=0.0)
    coarse_temp: float | None = flag(None, SAMPLING, "Other name of --waveform_temp, which it overrides.", low=0.0)
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
        0.2, SAMPLING, "End the speech once the model gives its end this probability.", low=0.0, high=1.0, metavar="P"
    )
    semantic_max_gen_duration_s: float | None = flag(
        None, SAMPLING, "End a segment after so many seconds.", low=0.0, metavar="SECONDS"
    )
    semantic_allow_early_stop: bool = flag(True, SAMPLING, "Let the model end a segment; false fills the whole window.")
    confused_travolta_mode: bool = flag(False, SAMPLING, "No early stop: every segment fills the model's window.")
    extra_confused_travolta_mode: int | None = flag(
        None,
        SAMPLING,
        "Number of segments without words after the text; each continues the previous one, whatever the weights.",
        aliases=("additional_unconditional_segments",),
        low=0,
        high=10_000,
        metavar="N",
        shapes=Shapes.SEGMENTS,
    )
    semantic_use_kv_caching: bool = flag(True, SAMPLING, "false recomputes every semantic step: slower, same tokens.")
    coarse_kv_caching: bool = flag(
        True, SAMPLING, "false recomputes every coarse step: slower, same tokens.", aliases=("coarse_use_kv_caching",)
    )
    semantic_history_oversize_limit: int = flag(
        c.SEMANTIC_HISTORY_WINDOW,
        SAMPLING,
        "Most semantic tokens of history that the semantic stage reads.",
        low=0,
        high=c.SEMANTIC_HISTORY_WINDOW,
        metavar="N",
    )
    coarse_max_coarse_history: int = flag(
        c.MAX_COARSE_HISTORY,
        SAMPLING,
        "Coarse tokens of history that a sliding window reads.",
        low=c.MIN_COARSE_HISTORY,
        high=c.MAX_COARSE_HISTORY,
        metavar="N",
    )
    coarse_sliding_window_len: int = flag(
        60,
        SAMPLING,
        "Coarse tokens generated in each sliding window.",
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

    absolute_semantic_history_only: bool = flag(
        False, SAMPLING, "Give a history to the semantic stage only: the voice's manner of speaking, but not its sound."
    )
    absolute_semantic_history_only_every_x: int | None = flag(
        None, SAMPLING, "Apply --absolute_semantic_history_only to every x-th segment only.", low=1, metavar="X"
    )
    negative_text_prompt: str | None = flag(
        None,
        SAMPLING,
        "Steer the semantic stage away from how this text would be spoken.",
        metavar="TEXT",
        unset="",
    )
    negative_text_prompt_logits_scale: float | None = flag(
        None,
        SAMPLING,
        "Factor with which the negative text's logits are subtracted; unset: 0.5, or none with the other scale.",
        low=0.0,
        high=1e6,
        metavar="SCALE",
    )
    negative_text_prompt_divergence_scale: float | None = flag(
        None,
        SAMPLING,
        "Factor with which the negative text's logits are subtracted for each bit that the two predictions diverge.",
        low=0.0,
        high=1e6,
        metavar="SCALE",
    )
    semantic_use_mirostat_sampling: bool = flag(
        False,
        SAMPLING,
        "Mirostat sampling: keep the surprise of semantic tokens at a constant level.",
        aliases=("use_mirostat_sampling",),
    )
    semantic_mirostat_tau: float | None = flag(
        None,
        SAMPLING,
        "Mirostat's target surprise in bits; switches it on. Unset: 5.",
        aliases=("mirostat_tau",),
        low=0.0,
        metavar="BITS",
    )
    semantic_mirostat_learning_rate: float = flag(
        1.0,
        SAMPLING,
        "Mirostat's learning rate: how fast it corrects itself.",
        aliases=("mirostat_learning_rate",),
        low=0.0,
        metavar="RATE",
    )
    semantic_token_repeat_penalty: float | None = flag(
        None,
        SAMPLING,
        "Factor on a semantic token's probability for each time it has occurred: below 1 avoids repeats, above 1 favours them.",
        aliases=("token_repeat_penalty",),
        low=0.0,
        high=1e9,
        metavar="FACTOR",
    )
    semantic_inverted_p: float | None = flag(
        None,
        SAMPLING,
        "Draw among the unlikeliest semantic tokens that together exceed p; the end of speech counts as one.",
        aliases=("inverted_p",),
        low=0.0,
        high=1.0,
        metavar="P",
    )
    semantic_bottom_k: int | None = flag(
        None,
        SAMPLING,
        "Draw among the k unlikeliest semantic tokens; the end of speech counts as one.",
        aliases=("bottom_k",),
        low=1,
        metavar="K",
    )

    seed: int | None = flag(None, SEEDS, "Every segment starts from this seed.", low=0, high=MAX_SEED, metavar="N")
    single_starting_seed: int | None = flag(
        None, SEEDS, "Each segment starts from a seed derived from this one.", low=0, high=MAX_SEED, metavar="N"
    )
    semantic_seed: int | None = flag(
        None, SEEDS, "The semantic stage starts from this seed in every segment.", low=0, high=MAX_SEED, metavar="N"
    )
    coarse_seed: int | None = flag(
        None, SEEDS, "The coarse stage starts from this seed in every segment.", low=0, high=MAX_SEED, metavar="N"
    )
    fine_seed: int | None = flag(
        None, SEEDS, "The fine stage starts from this seed in every segment.", low=0, high=MAX_SEED, metavar="N"
    )

    split_character_goal_length: int | None = flag(
        None,
        LONG_CLIPS,
        "Characters a segment should have; unset: 110, or the maximum. Chinese, Japanese and Korean ones count three.",
        low=1,
        metavar="N",
        shapes=Shapes.SEGMENTS,
    )
    split_character_max_length: int = flag(
        170, LONG_CLIPS, "Characters a segment may have.", low=1, metavar="N", shapes=Shapes.SEGMENTS
    )
    split_character_jitter: int = flag(
        0,
        LONG_CLIPS,
        "Vary goal and maximum length by up to this many characters, differently in each take.",
        low=0,
        metavar="N",
        shapes=Shapes.SEGMENTS,
    )
    split_each_text_prompt_by: str | None = flag(
        None,
        LONG_CLIPS,
        "Cut each prompt into segments by these units instead of sentences of a good length.",
        choices=SPLIT_UNITS,
        aliases=("process_text_by_each",),
        shapes=Shapes.SEGMENTS,
    )
    split_each_text_prompt_by_value: str | None = flag(
        None,
        LONG_CLIPS,
        "How many units make one segment; or the string, pattern or tags to cut at.",
        aliases=("in_groups_of_size",),
        metavar="N|TEXT",
        shapes=Shapes.SEGMENTS,
        unset="",
    )
    group_text_by_counting: str | None = flag(
        None,
        LONG_CLIPS,
        "Count these units for the size of a group instead, for example sentences in groups of at most 30 words.",
        choices=tuple(unit for unit in SPLIT_UNITS if unit not in PATTERN_UNITS),
        shapes=Shapes.SEGMENTS,
    )
    split_type_string: str | None = flag(
        None,
        LONG_CLIPS,
        "The string, pattern or tags to cut at, if a group size is given too.",
        metavar="TEXT",
        shapes=Shapes.SEGMENTS,
        unset="",
    )
    prompt_text_prefix: str | None = flag(
        None,
        LONG_CLIPS,
        "Text to put before the text of every segment.",
        metavar="TEXT",
        shapes=Shapes.SEGMENTS,
        unset="",
    )
    prompt_text_suffix: str | None = flag(
        None,
        LONG_CLIPS,
        "Text to put after the text of every segment.",
        metavar="TEXT",
        shapes=Shapes.SEGMENTS,
        unset="",
    )
    separate_prompts: bool = flag(False, LONG_CLIPS, "No history between the segments of a clip.")
    stable_mode_interval: int = flag(
        1,
        LONG_CLIPS,
        "History of each segment. 1: the starting voice. 0: the previous segment. N: the previous segment N - 1 times, "
        "then the starting voice again.",
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
    coarse_history_starting_weight: float = flag(
        1.0,
        LONG_CLIPS,
        "Share of the coarse stage's history that the first segment gets of the starting voice.",
        low=0.0,
        high=1.0,
    )
    fine_history_starting_weight: float = flag(
        1.0,
        LONG_CLIPS,
        "Share of the fine stage's history that the first segment gets of the starting voice.",
        low=0.0,
        high=1.0,
    )
    semantic_history_future_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the semantic stage's history that later segments get of the starting voice; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    coarse_history_future_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the coarse stage's history that later segments get of the starting voice; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    fine_history_future_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the fine stage's history that later segments get of the starting voice; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    semantic_prev_segment_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the semantic stage's history that later segments get of the previous segment; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    coarse_prev_segment_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the coarse stage's history that later segments get of the previous segment; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    fine_prev_segment_weight: float | None = flag(
        None,
        LONG_CLIPS,
        "Share of the fine stage's history that later segments get of the previous segment; unset: by interval.",
        low=0.0,
        high=1.0,
    )
    custom_audio_processing_function: str | None = flag(
        None,
        LONG_CLIPS,
        "Python function that decides which history each segment gets; see docs/python.md. It runs as you.",
        path=True,
        metavar="FILE.py:NAME",
    )
    add_silence_between_segments: float = flag(
        0.25,
        LONG_CLIPS,
        "Seconds of silence between segments.",
        low=0.0,
        high=3600.0,
        metavar="SECONDS",
        shapes=Shapes.SOUND,
    )
    add_silence_between_paragraphs: float = flag(
        0.6,
        LONG_CLIPS,
        "Seconds of silence after headings and paragraphs, if longer than that between segments.",
        low=0.0,
        high=3600.0,
        metavar="SECONDS",
        shapes=Shapes.SOUND,
    )
    add_silence_between_speakers: float = flag(
        0.35,
        LONG_CLIPS,
        "Seconds of silence where another speaker begins, if longer than that between segments.",
        low=0.0,
        high=3600.0,
        metavar="SECONDS",
        shapes=Shapes.SOUND,
    )
    add_silence_at_scene_breaks: float = flag(
        1.5,
        LONG_CLIPS,
        "Seconds of silence at a line of ornaments (***, ---, #), which is not spoken, if longer than that of a paragraph.",
        low=0.0,
        high=3600.0,
        metavar="SECONDS",
        shapes=Shapes.SOUND,
    )
    add_silence_between_chapters: float = flag(
        2.0,
        LONG_CLIPS,
        "Seconds of silence where a chapter begins, if longer than that at a scene break.",
        low=0.0,
        high=3600.0,
        metavar="SECONDS",
        shapes=Shapes.SOUND,
    )
    gain_db: float = flag(
        0.0,
        LONG_CLIPS,
        "Gain in decibels: positive is louder, negative is softer. Samples beyond full scale are clipped, with a warning.",
        low=-100.0,
        high=100.0,
        metavar="DB",
        shapes=Shapes.SOUND,
    )
    check_segments: str = flag(
        "warn",
        LONG_CLIPS,
        "What to do about segments that did not come out as speech: warn, try them again from other seeds, or nothing.",
        choices=("warn", "retry", "off"),
    )
    retries: int = flag(
        2,
        LONG_CLIPS,
        "Maximum number of further tries of a segment that did not come out as speech; the best try is kept.",
        low=1,
        high=100,
        metavar="N",
    )
    check_min_loudness_db: float = flag(
        -60.0, LONG_CLIPS, "Loudness (RMS, dBFS) below which a segment is silent.", low=-200.0, high=0.0, metavar="DB"
    )
    check_max_clipped_percent: float = flag(
        1.0,
        LONG_CLIPS,
        "Percent of a segment's samples that may be beyond full scale.",
        low=0.0,
        high=100.0,
        metavar="PERCENT",
    )
    check_max_repeat_s: float = flag(
        2.0, LONG_CLIPS, "Seconds for which the same token may be repeated.", low=0.0, metavar="SECONDS"
    )
    check_max_length_ratio: float = flag(
        2.5,
        LONG_CLIPS,
        "Longest allowed segment, as a multiple of the length estimated from its text; 3 s more are always allowed.",
        low=1.0,
        metavar="RATIO",
    )
    check_min_length_ratio: float = flag(
        0.4,
        LONG_CLIPS,
        "Shortest allowed segment, as a fraction of the length estimated from its text; 3 s less are always allowed.",
        low=0.0,
        high=1.0,
        metavar="RATIO",
    )

    candidates: int = flag(
        1,
        TAKES,
        "Takes of every segment, side by side in the batch; the best is kept (docs/takes.md).",
        low=1,
        high=100,
        metavar="N",
    )
    recognizer: str = flag(
        "off",
        TAKES,
        "Who listens to the takes: off, pocketsphinx (English), whisper, or whisper:SIZE, as in whisper:tiny, or the folder "
        "of a faster-whisper model.",
        path=True,
        metavar="NAME",
    )
    max_word_errors: float | None = flag(
        None,
        TAKES,
        "Share of wrong, missing and invented words beyond which a segment is at fault, and tried again with "
        "--check_segments retry; unset: takes are only ranked by it.",
        low=0.0,
        metavar="SHARE",
    )
    trim_babble: bool = flag(
        False, TAKES, "End a segment where the recognizer heard the end of its text, if more follows."
    )
    keep_takes: bool = flag(
        False,
        TAKES,
        "Keep the tokens of all takes in the clip's `.segments.npz`, for --take.",
        shapes=Shapes.SOUND,  # so that a clip that is made again from its manifest keeps them too
    )
    take: str | None = flag(
        None,
        TAKES,
        "With --from_manifest: put other takes in the clip, kept by --keep_takes, as in 7=2,9=1 (segment=take).",
        metavar="7=2,9=1",
        shapes=Shapes.NOTHING,
    )
    show_takes: bool = flag(
        False,
        TAKES,
        "Show a table of all takes: faults, word errors and seconds; beside --from_manifest and --dry_run, that clip's.",
        shapes=Shapes.NOTHING,
    )

    cluster: str | None = flag(
        None,
        MACHINES,
        "Let the workers of a Ray cluster generate segments (docs/cluster.md): host:port of its head; auto: one that is "
        "there, else this machine; local: this machine's GPUs.",
        metavar="auto|local|HOST:PORT",
    )
    workers: int | None = flag(
        None,
        MACHINES,
        "With --cluster: at most so many workers. Unset: one for each GPU, or for every 8 CPU cores.",
        low=1,
        high=100_000,
        metavar="N",
    )
    shard: str | None = flag(
        None,
        MACHINES,
        "Make only every 20th clip from the 3rd on, as in 3/20: for jobs beside each other that share an output folder.",
        metavar="K/N",
    )

    config: str | None = flag(
        None,
        MORE,
        "TOML file with settings by the names of these flags; the command line wins.",
        path=True,
        metavar="FILE",
    )
    print_config: bool = flag(False, MORE, "Print all settings as a file for --config, and stop.")
    print_completion: str | None = flag(
        None,
        MORE,
        "Print a script with which this shell completes the flags, and stop.",
        choices=("bash", "zsh", "tcsh"),
    )
    detailed_gpu_report: bool = flag(False, MORE, "Show processors, memory and what `auto` chooses.")
    detailed_cuda_report: bool = flag(False, MORE, "Show versions, settings and memory of CUDA.")
    detailed_hugging_face_cache_report: bool = flag(False, MORE, "Show what the hub's cache holds.")
    detailed_numpy_report: bool = flag(False, MORE, "Show how NumPy and libsndfile were built.")
    run_numpy_benchmark: bool = flag(False, MORE, "Measure the processor for a few seconds.")
    show_all_reports: bool = flag(False, MORE, "Show all of these reports.")
    loglevel: str = flag(
        "WARNING",
        MORE,
        "How much to log; DEBUG shows tracebacks.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )

    asked: Options | None = field(
        default=None, repr=False, compare=False
    )  # for resolved options: the options they were resolved from
    given: frozenset[str] | None = field(
        default=None, repr=False, compare=False
    )  # names of the settings of a command line, over which no script wins; None: all that differ from their defaults

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Options:
        """Options from {flag name: value}; each value has its flag's type."""
        return cls(**settings)

    def with_settings(self, settings: Mapping[str, Any]) -> Options:
        """A copy of these options with other values: {flag name: value}, each of its flag's type."""
        return dataclasses.replace(self, **settings)

    @property
    def audio_format(self) -> str:
        """`output_format` of resolved options, which is never None."""
        assert self.output_format is not None  # they are resolved
        return self.output_format

    def changed(self) -> dict[str, object]:
        """The settings that differ from their defaults, as they were given: without derived defaults."""
        asked = self.asked or self
        values = ((line.name, getattr(asked, line.name), line.default) for line in flags())
        return {name: value for name, value, default in values if value != default}


def flags() -> tuple[Flag, ...]:
    """The table: every flag in the order of declaration, with its name and type."""
    return flags_of(Options)
