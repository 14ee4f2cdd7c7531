"""Every option is effective in `narrate` or refused with the Python way; errors speak of arguments, not of flags."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from audio_files import chapters, cover, png, tags
from fakes import VOICE

from bark_infinity import Bark, Narration, Options, Voice, generate_audio, narrate
from bark_infinity.errors import BarkError, CheckpointError, TextError, UsageError, VoiceError
from bark_infinity.options.table import flags
from bark_infinity.run.program_options import AS_LOADED, COMMAND_LINE, IN_A_FOLDER

TEXT = "One sentence is here, and it is long. Another one follows it. A third one is shorter. Four.\n\nA paragraph."
CAST = "+++\n[cast]\nAnna = 'someone.npz'\n+++\n"
SCRIPTS = {  # texts in which some options have an effect
    "add_silence_at_scene_breaks": "One, two.\n\n***\n\nThree.",
    "add_silence_between_speakers": f"{CAST}Anna: One, two.\nThree.",
    "add_silence_between_chapters": f"{CAST}Anna: One, two.\n# Two\nThree.",
    "script": "<speak>One, two.</speak>",
    "cast": "Two: One, two.",
    "chapters": Path("book.html"),
    "footnotes": Path("book.html"),
    "speak_titles": Path("book.html"),
}
BRIEF = {"semantic_max_gen_duration_s": 0.3, "fine_temp": 0.0}
BY_WORD = {"split_each_text_prompt_by": "word", "split_each_text_prompt_by_value": "5"}
NEGATIVE = {"negative_text_prompt": "Shout."}
VALUES = {  # options that change the plan or the recipe: others that they need, and a value that is not their default
    "history_prompt": ({}, "someone.npz"),
    "custom_audio_processing_function": ({}, "mix.py:less"),
    "bark_speaker_as_the_prompt": ({}, "someone.npz"),
    **{
        f"{stage}_{which}_weight": ({}, 0.25)
        for stage in ("semantic", "coarse", "fine")
        for which in ("history_starting", "history_future", "prev_segment")
    },
    "extra_stats": ({}, True),
    "text_temp": ({}, 0.1),
    "semantic_temp": ({}, 0.1),
    "waveform_temp": ({}, 0.1),
    "coarse_temp": ({}, 0.1),
    "fine_temp": ({}, 0.1),
    "semantic_top_k": ({}, 5),
    "semantic_top_p": ({}, 0.5),
    "coarse_top_k": ({}, 5),
    "coarse_top_p": ({}, 0.5),
    "semantic_min_eos_p": ({}, 0.5),
    "semantic_max_gen_duration_s": ({}, 2.0),
    "semantic_allow_early_stop": ({}, False),
    "confused_travolta_mode": ({}, True),
    "extra_confused_travolta_mode": ({}, 2),
    "semantic_use_kv_caching": ({}, False),
    "coarse_kv_caching": ({}, False),
    "semantic_history_oversize_limit": ({}, 9),
    "coarse_max_coarse_history": ({}, 99),
    "coarse_sliding_window_len": ({}, 9),
    "coarse_history_time_alignment_hack": ({}, -8),
    "absolute_semantic_history_only": ({}, True),
    "absolute_semantic_history_only_every_x": ({}, 2),
    "negative_text_prompt": ({}, "Shout."),
    "negative_text_prompt_logits_scale": (NEGATIVE, 2.0),
    "negative_text_prompt_divergence_scale": (NEGATIVE, 2.0),
    "semantic_use_mirostat_sampling": ({}, True),
    "semantic_mirostat_tau": ({}, 4.0),
    "semantic_mirostat_learning_rate": ({"semantic_mirostat_tau": 4.0}, 0.5),
    "semantic_token_repeat_penalty": ({}, 0.5),
    "semantic_inverted_p": ({}, 0.5),
    "semantic_bottom_k": ({}, 5),
    "seed": ({"single_starting_seed": None}, 5),
    "single_starting_seed": ({}, 5),
    "semantic_seed": ({}, 5),
    "coarse_seed": ({}, 5),
    "fine_seed": ({}, 5),
    "split_character_goal_length": ({"split_character_goal_length": None}, 20),
    "split_character_max_length": ({"split_character_goal_length": None}, 30),
    "split_character_jitter": ({}, 60),
    "split_each_text_prompt_by": ({}, "word"),
    "split_each_text_prompt_by_value": ({"split_each_text_prompt_by": "word"}, "5"),
    "group_text_by_counting": (BY_WORD, "sentence"),
    "split_type_string": ({"split_each_text_prompt_by": "string", "split_type_string": "and"}, ","),
    "prompt_text_prefix": ({}, "Well,"),
    "prompt_text_suffix": ({}, "yes"),
    "separate_prompts": ({}, True),
    "stable_mode_interval": ({}, 0),
    "add_silence_between_segments": ({}, 2.0),
    "add_silence_between_paragraphs": ({"split_character_goal_length": 20}, 2.0),
    "add_silence_at_scene_breaks": ({}, 4.0),
    "add_silence_between_speakers": ({}, 4.0),
    "add_silence_between_chapters": ({}, 4.0),
    "script": ({}, "plain"),
    "chapters": ({}, "2"),
    "footnotes": ({}, "inline"),
    "speak_titles": ({}, False),
    "cast": ({}, "Two=someone.npz"),
    "pronunciations": ({}, "words.toml"),
    "gain_db": ({}, 3.0),
    "trim_silence": ({}, True),
    "crossfade_ms": ({}, 30.0),
    "loudness": ({}, "audiobook"),
    "check_segments": ({}, "retry"),
    "retries": ({"check_segments": "retry"}, 7),
    "check_min_loudness_db": ({}, -30.0),
    "check_max_clipped_percent": ({}, 5.0),
    "check_max_repeat_s": ({}, 5.0),
    "check_max_length_ratio": ({}, 5.0),
    "check_min_length_ratio": ({}, 0.1),
    "candidates": ({}, 3),
    "recognizer": ({}, "pocketsphinx"),
    "max_word_errors": ({"recognizer": "pocketsphinx"}, 0.5),
    "trim_babble": ({"recognizer": "pocketsphinx"}, True),
    "keep_takes": ({}, True),
}
ELSEWHERE = {"model_dir", "offline", "batch_size", "voice_dir"}  # effective; tested below one by one
FILES = {
    "output_filename",
    "output_format",
    "output_format_ffmpeg_parameters",
    "chapter_files",
    "cover",
    "book_title",
    "book_author",
    "book_narrator",
    "always_save_speaker",
    "hoarder_mode",
    "subtitles",
    "subtitles_by",
    "sample_rate",
    "resume",
}


@pytest.fixture(autouse=True)
def inputs(make_voice):
    make_voice(2.0).save("someone.npz")
    Path("book.html").write_text(
        "<h1>One</h1><p>A dog<a class=noteref href=#n>1</a> ran.</p><aside id=n class=footnote>a big one</aside>"
        "<h1>Two</h1><p>A cat.</p>"
    )
    Path("words.toml").write_text('"sentence" = "phrase"')
    Path("mix.py").write_text("def less(context):\n    return context.weights\n")


def shown(narration: Narration) -> str:
    """Everything that decides what is made."""
    recipe = narration._recipe
    voices = [voice and voice.digest() for voice in (recipe.voice, recipe.spoken)]
    function = recipe.function and recipe.function.__name__
    judging = (recipe.checks, recipe.takes, recipe.recognizer and recipe.recognizer.name)
    return repr((narration.plan, recipe.rule, voices, function, recipe.settings, judging, recipe.joining))


def test_every_flag_is_in_one_table():
    tables = (VALUES, ELSEWHERE, FILES, COMMAND_LINE, AS_LOADED)
    named = [name for table in tables for name in table]
    assert sorted(named) == sorted({line.name for line in flags()}) and IN_A_FOLDER.keys() <= FILES


@pytest.mark.parametrize("name", VALUES)
def test_option_has_its_effect(demo: Bark, name: str):
    others, value = VALUES[name]
    text = SCRIPTS.get(name, TEXT)
    base: dict[str, Any] = {"single_starting_seed": 3, "split_character_goal_length": 40, **others}
    without = narrate(demo, text, options=Options(**base))
    spoken = name == "bark_speaker_as_the_prompt"
    with_it = narrate(demo, None if spoken else text, options=Options(**{**base, name: value}))
    assert shown(without) != shown(with_it)


def other_value(name: str) -> Any:
    """A value of a flag that is not its default."""
    line = next(line for line in flags() if line.name == name)
    if line.kind is bool:
        return line.default is not True
    return next((choice for choice in line.choices if choice != line.default), {int: 2, str: "x"}[line.kind])


@pytest.mark.parametrize("name", COMMAND_LINE)
def test_option_of_the_command_line_is_refused_with_the_python_way(demo: Bark, name: str):
    with pytest.raises(UsageError) as refused:
        narrate(demo, TEXT, options=Options(**{name: other_value(name)}))
    assert str(refused.value) == f"options: {name} is not for narrate; {COMMAND_LINE[name]}"
    assert "--" not in str(refused.value)


def test_cloning_names_its_python_way(demo: Bark):
    with pytest.raises(UsageError, match=r"pass voice=Voice\.clone\(path\)"):
        narrate(demo, TEXT, options=Options(audio_file_as_history_prompt="nofile.wav"))


OF_ANOTHER_MODEL = {
    "model": "small",
    "device": "cuda",
    "dtype": "int8",
    "text_use_small": True,
    "coarse_use_small": True,
    "fine_use_small": True,
    "use_smaller_models": True,
    "offload_cpu": True,
    "global_enable_mps": True,
    "suno_use_directml": True,
}
AS_THE_DEMO = {"model": "demo", "device": "cpu", "dtype": "float32", "use_smaller_models": False, "offload_cpu": False}
AS_THE_DEMO |= {f"{name}_use_gpu": False for name in ("text", "coarse", "fine", "codec")}
AS_THE_DEMO |= {"global_enable_mps": False, "suno_use_directml": False}


@pytest.fixture(scope="module")
def float32_demo() -> Bark:
    return Bark.load("demo", device="cpu", dtype="float32")


def test_model_flags_are_compared_with_the_loaded_bark(float32_demo: Bark):
    assert OF_ANOTHER_MODEL.keys() | AS_THE_DEMO.keys() == AS_LOADED.keys()
    for name, value in AS_THE_DEMO.items():
        narrate(float32_demo, TEXT, options=Options(**{name: value}))
    for name, value in OF_ANOTHER_MODEL.items():
        with pytest.raises(UsageError, match=f"^options: {name}={value!r} is not how the given Bark.* is loaded; "):
            narrate(float32_demo, TEXT, options=Options(**{name: value}))


def test_stage_on_a_gpu_is_not_on_the_cpu(float32_demo: Bark, monkeypatch):
    from bark_infinity.run import program_options

    monkeypatch.setattr(program_options, "_is_on", lambda bark, part, device: device == "cuda")
    for name in ("text_use_gpu", "coarse_use_gpu", "fine_use_gpu", "codec_use_gpu"):
        with pytest.raises(UsageError, match=f"{name}=False is not how"):
            narrate(float32_demo, TEXT, options=Options(**{name: False}))


def test_manifest_records_how_the_bark_was_loaded(float32_demo: Bark):
    saved = narrate(float32_demo, "Hello.", VOICE, options=Options(**BRIEF)).save("x.wav")
    recorded = json.loads(saved.with_suffix(".json").read_text())["settings"]
    assert {name: recorded[name] for name in AS_LOADED if name in recorded} == {
        "model": "demo",
        "device": "cpu",
        "dtype": "float32",
    }


# ---- files ----------------------------------------------------------------------------------------------------------


def files_of(bark: Bark, folder: str | None, **options: Any) -> set[str]:
    narration = narrate(bark, "Hello.", seed=1, folder=folder, options=Options(**BRIEF, **options))
    return {path.name for path in narration.save("copy/x").parent.iterdir()}


@pytest.mark.parametrize("folder", [None, "out"])
def test_options_of_files_apply_to_saved_clips(demo: Bark, folder: str | None):
    assert files_of(demo, folder) == {"x.wav", "x.npz", "x.json"}
    for options, files in (
        ({"output_format": "flac"}, {"x.flac", "x.npz", "x.json"}),
        ({"hoarder_mode": True}, {"x.wav", "x.npz", "x.json", "x.segments"}),
        *([({"always_save_speaker": False}, {"x.wav", "x.json"})] if folder is None else []),  # needed to save it again
    ):
        shutil.rmtree("copy")
        assert files_of(demo, folder, **options) == files


def test_options_of_files_apply_to_the_folder(demo: Bark):
    options = Options(
        **BRIEF, output_filename="ch.1", output_format="flac", hoarder_mode=True, always_save_speaker=False
    )
    list(narrate(demo, "Hello.", folder="out", options=options))
    assert {path.name for path in Path("out").iterdir()} == {"ch.1.flac", "ch.1.json", "ch.1.segments"}


def test_parameters_of_ffmpeg_are_refused_for_other_formats(demo: Bark):
    options = Options(**BRIEF, output_format_ffmpeg_parameters="-b:a 64k")
    with pytest.raises(UsageError, match="^output_format_ffmpeg_parameters are for mp4, m4a, m4b"):
        narrate(demo, "Hello.", folder="out", options=options)
    narration = narrate(demo, "Hello.", options=options)
    with pytest.raises(UsageError, match="^output_format_ffmpeg_parameters are for mp4, m4a, m4b"):
        narration.save("x.wav")
    assert not narration.segments


@pytest.mark.parametrize("folder", [None, "out"])
def test_book_and_its_cover_are_in_saved_clips(demo: Bark, folder: str | None):
    Path("cover.png").write_bytes(png())
    of_book = {"cover": "cover.png", "book_title": "Tales", "book_author": "Ann", "book_narrator": "Bob"}
    options = Options(**BRIEF, **of_book, script="dialogue")
    saved = narrate(demo, "# One\nHello.", folder=folder, options=options).save("copy/x.m4b")
    assert cover(saved) == png() == saved.with_suffix(".cover.png").read_bytes()
    found = tags(saved)
    assert (found["title"], found["artist"], found["composer"]) == ("Tales", "Ann", "Bob")
    assert [title for title, *_ in chapters(saved)] == ["One"]
    options = dataclasses.replace(options, chapter_files=True)
    saved = narrate(demo, "# One\nHello.", folder=folder, options=options).save("copy/y.mp3")
    assert saved == Path("copy/y.m3u8") and cover(Path("copy/y.chapters/01 One.mp3")) == png()


@pytest.mark.parametrize(("name", "value"), [("output_filename", "x.wav"), ("resume", False)])
def test_options_of_the_folder_need_one(demo: Bark, name: str, value: Any):
    with pytest.raises(UsageError, match=rf"^options: {name} does nothing without a folder; .*pass folder="):
        narrate(demo, TEXT, options=Options(**{name: value}))


@pytest.mark.parametrize("resume", [True, False])
def test_resume_is_followed(demo: Bark, resume: bool):
    options = Options(**BRIEF, split_character_goal_length=20, resume=resume)
    first = narrate(demo, TEXT, seed=1, folder="out", options=options)
    next(iter(first))
    first.cancel()
    list(first)
    second = narrate(demo, TEXT, seed=1, folder="out", options=options)
    assert [segment.record.recalled for segment in second][0] is resume


# ---- the rest -------------------------------------------------------------------------------------------------------


def test_batch_size_is_followed(demo: Bark, monkeypatch):
    stream, rows = Bark.stream, []

    def counting(self, segments, settings, progress, n):
        rows.append(n)
        return stream(self, segments, settings, progress, n)

    monkeypatch.setattr(Bark, "stream", counting)
    list(narrate(demo, "Hello.", options=Options(**BRIEF, batch_size=3)))
    assert rows == [3]


@pytest.mark.parametrize(
    ("options", "offline", "folder"),
    [({}, True, None), ({"model_dir": "here"}, True, "here"), ({"offline": False}, True, None)],
)
def test_voices_are_looked_up_as_the_bark_was_loaded_or_as_asked(monkeypatch, options, offline, folder):
    loaded_offline = Bark.load("demo", device="cpu", offline=True)
    assert voices_looked_up(loaded_offline, monkeypatch, options) == (offline, folder)


@pytest.mark.parametrize("options", [{}, {"offline": True}, {"model_dir": "here"}])
def test_voices_are_looked_up_as_asked(demo: Bark, monkeypatch, options):
    looked_up = voices_looked_up(demo, monkeypatch, options)
    assert looked_up == (options.get("offline", False), options.get("model_dir"))


def voices_looked_up(given: Bark, monkeypatch, options) -> tuple[bool, str | None]:
    """Whether offline, and the folder for downloads, of the hub that a voice is taken from."""
    from bark_infinity import bark

    used = []

    def load_voice(voice, hub, folders, on_mended):
        used.append((hub._offline, hub._cache))
        return None

    monkeypatch.setattr(bark, "load_voice", load_voice)
    narrate(given, TEXT, "someone.npz", options=Options(**options))
    return used[0]


def test_function_is_asked_and_voice_is_spoken(demo: Bark):
    Path("mix.py").write_text(
        "from bark_infinity import Weights\n\ndef less(context):\n    return Weights((0, 0), (0, 0), (0, 0))\n"
    )
    options = Options(**BRIEF, custom_audio_processing_function="mix.py:less")
    (segment,) = narrate(demo, "Hello.", VOICE, options=options)
    assert segment.record.history_sizes == (0, 0, 0)
    narration = narrate(demo, None, options=Options(**BRIEF, bark_speaker_as_the_prompt="someone.npz"))
    (segment,) = narration
    assert segment.voice.semantic.tolist() == Voice.load("someone.npz").semantic.tolist()
    content = json.loads(narration.save("x.wav").with_suffix(".json").read_text())
    assert content["spoken_voice"] == {"name": "someone", "sha256": Voice.load("someone.npz").digest()}


def test_missing_function_is_refused_before_anything_is_made(demo: Bark):
    with pytest.raises(UsageError, match=r"^custom_audio_processing_function: there is no file nofile\.py"):
        narrate(demo, TEXT, options=Options(custom_audio_processing_function="nofile.py:f"))


# ---- errors ---------------------------------------------------------------------------------------------------------

Call = Callable[[Bark], object]
ERRORS: Mapping[str, tuple[Call, type[BarkError], str]] = {
    "recording as voice": (lambda bark: narrate(bark, "hi", voice="rec.wav"), VoiceError, 'Voice.clone("rec.wav")'),
    "recording spoken": (lambda bark: bark.speak("hi", "rec.wav"), VoiceError, 'Voice.clone("rec.wav")'),
    "no recording": (lambda _: Voice.clone("nofile.wav"), VoiceError, "nofile.wav is no file; give a recording"),
    "voice cloned": (lambda _: Voice.clone("someone.npz"), VoiceError, 'read it: Voice.load("someone.npz")'),
    "blank": (lambda bark: narrate(bark, "   "), TextError, "the text is empty; give narrate words to speak"),
    "surrogates": (lambda bark: narrate(bark, "a\ud800"), TextError, "lone surrogates"),
    "None": (lambda bark: narrate(bark, None), UsageError, "narrate speaks a text (a str), not None"),
    "bytes": (lambda bark: narrate(bark, b"hi"), UsageError, "narrate speaks a text (a str), not bytes"),
    "text and tokens": (
        lambda bark: narrate(bark, "hi", options=Options(bark_speaker_as_the_prompt="someone.npz")),
        UsageError,
        "pass None as the text",
    ),
    "hot": (lambda bark: narrate(bark, "hi", options=Options(text_temp="hot")), UsageError, "text_temp takes a number"),
    "cold": (lambda bark: narrate(bark, "hi", options=Options(text_temp=-1.0)), UsageError, "text_temp must be 0.0"),
    "seed": (lambda bark: narrate(bark, "hi", seed="x"), UsageError, "seed takes a whole number, not 'x'"),
    "two seeds": (lambda bark: narrate(bark, "hi", seed=1, options=Options(seed=2)), UsageError, "options have seed"),
    "two voices": (
        lambda bark: narrate(bark, "hi", VOICE, options=Options(history_prompt="someone.npz")),
        UsageError,
        "options have history_prompt",
    ),
    "no model": (
        lambda _: generate_audio("hi"),
        CheckpointError,
        'model="demo"; preload_models has the argument model',
    ),
    "unknown model": (lambda _: Bark.load("nothing_like_it"), CheckpointError, "model nothing_like_it is no folder"),
    "folder": (lambda bark: narrate(bark, "hi", folder="someone.npz/x"), BarkError, "choose another folder"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_speak_of_arguments(demo: Bark, name: str, monkeypatch):
    from bark_infinity import drop_in

    monkeypatch.setattr(drop_in, "_session", drop_in._Session())
    call, kind, message = ERRORS[name]
    with pytest.raises(kind) as raised:
        call(demo)
    assert message in str(raised.value) and not re.search(r"(?<!bark-infinity )--\w", str(raised.value))
