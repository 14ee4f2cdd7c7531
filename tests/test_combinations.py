"""Flags in combination: every pair of values in some run, a thousand prompts, and arbitrary texts."""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import re
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import pytest
import soundfile
from audio_files import png
from fakes import Listening

from bark_infinity.cli.main import main, parse
from bark_infinity.errors import UsageError
from bark_infinity.options.flag import MORE
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options, flags
from bark_infinity.output.descriptions import recorded_settings
from bark_infinity.text.subtitle_formats import SUBTITLE_SUFFIXES
from bark_infinity.voices.voice import Voice

START = Path(__file__).parents[1] / "bark_perform.py"
DEMO = ("--model=demo", "--device=cpu")
SPOKEN = "A dog.\nIt sat.\n"
SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nA dog.\n\n2\n00:00:01,000 --> 00:00:02,000\nIt sat.\n"
ENDED_AT_ONCE = "ended its speech at once"  # what the unlikeliest tokens of the demo do: the end is one of them

Value = Mapping[str, object]  # flags that are given together, by name

PARTS = 6  # of all pairs, so that tests beside each other end together
MODES = {  # these stop before a clip is made, or are not of a run; each has its case in test_flags_alive.py
    "text_encoding",
    "check_delivery",
    "list_speakers",
    "dry_run",
    "text_splits_only",
    "render_npz_samples",
    "voice_report",
    "convert_model",
    "audition",  # as many clips as voices, which test_audition.py has
    "regenerate",  # of a finished clip with its tokens
    "restitch",
    "take",
    "script",  # of texts with markup, which test_scripts.py has
    "cast",
    "chapter_files",
    "cluster",  # needs Ray
    "workers",
    "shard",  # makes a part of the clips
    "pronunciations",
    "list_chapters",  # of books, which run/test_book_source.py and cli/test_chapter_table.py have
    "chapters",
    "footnotes",
    "speak_titles",
    "export_script",
    "audio_file_as_history_prompt",  # needs a second model
    "device",  # the CPU in every run
    "suno_use_directml",
    "model",  # the demo in every run
    "text_use_small",  # the demo has no small sister
    "coarse_use_small",
    "fine_use_small",
    "use_smaller_models",
}

THROUGH_FFMPEG: Value = {"output_format": "m4a", "output_format_ffmpeg_parameters": "-ac 2"}


def each(*names: str, values: Sequence[object]) -> list[list[Value]]:
    """A factor for each flag: unset, or with one of these values."""
    return [[{}, *({name: value} for value in values)] for name in names]


FACTORS: list[list[Value]] = [
    [
        {"text_prompt": SPOKEN},
        {"prompt_file": "spoken.txt"},
        {"prompt_file": "spoken.srt"},
        {"prompt_file": "spoken.srt", "fit_subtitles": True},
        {"from_manifest": "before.json"},
        {"bark_speaker_as_the_prompt": "short.npz"},
    ],
    [
        {},
        {"split_input_into_separate_prompts_by": "line"},
        {"split_input_into_separate_prompts_by": "word", "split_input_into_separate_prompts_by_value": "2"},
    ],
    *each("history_prompt", values=["someone", "short.npz"]),
    *each("voice_dir", values=["voices"]),
    # Output
    *each("output_dir", values=["new/folder"]),
    *each("output_filename", values=["take", "clip.flac"]),
    [{}, *({"output_format": name} for name in ("wav", "ogg", "opus", "mp3", "m4b"))],
    *each("cover", values=["cover.png"]),
    *each("book_title", "book_author", "book_narrator", values=["A Name"]),
    *each("output_iterations", values=[2]),
    *each("resume", values=[False]),
    *each("always_save_speaker", values=[False]),
    *each("hoarder_mode", "extra_stats", "show_generation_times", "silent", values=[True]),
    [{}, {"subtitles": "srt"}, {"subtitles": "vtt,ass,lrc,json", "subtitles_by": "word"}],
    # Model
    *each("dtype", values=["float32", "bfloat16"]),
    *each("text_use_gpu", "coarse_use_gpu", "fine_use_gpu", "codec_use_gpu", "global_enable_mps", values=[False]),
    *each("offload_cpu", values=[True, False]),
    *each("model_dir", values=["downloads"]),
    *each("offline", "force_reload", values=[True]),
    *each("batch_size", values=[1, 3]),
    # Sampling
    *each("text_temp", "semantic_temp", "waveform_temp", "coarse_temp", values=[0.0, 1.1]),
    [{"fine_temp": 0.0}, {}, {"fine_temp": 1.5}],
    *each("semantic_top_k", "coarse_top_k", values=[1, 50]),
    *each("semantic_top_p", "coarse_top_p", values=[0.0, 0.9]),
    *each("semantic_inverted_p", values=[0.3]),
    *each("semantic_bottom_k", values=[20]),
    *each("semantic_min_eos_p", values=[0.05, 1.0]),
    [{"semantic_max_gen_duration_s": seconds} for seconds in (0.1, 0.2)],
    *each("semantic_allow_early_stop", values=[False]),
    *each("confused_travolta_mode", values=[True]),
    *each("extra_confused_travolta_mode", values=[1]),
    *each("semantic_use_kv_caching", "coarse_kv_caching", values=[False]),
    *each("semantic_history_oversize_limit", values=[0, 100]),
    *each("coarse_max_coarse_history", values=[60, 300]),
    *each("coarse_sliding_window_len", values=[7, 138]),
    *each("coarse_history_time_alignment_hack", values=[0, -7]),
    [{}, {"absolute_semantic_history_only": True}, {"absolute_semantic_history_only_every_x": 2}],
    [
        {},
        {"negative_text_prompt": "Shout"},
        {"negative_text_prompt": "Shout", "negative_text_prompt_logits_scale": 0.3},
        {"negative_text_prompt": "Shout", "negative_text_prompt_divergence_scale": 0.5},
    ],
    [
        {},
        {"semantic_use_mirostat_sampling": True},
        {"semantic_mirostat_tau": 9.0, "semantic_mirostat_learning_rate": 0.1},
    ],
    *each("semantic_token_repeat_penalty", values=[0.0, 1.5]),
    # Seeds
    *each("seed", "single_starting_seed", values=[0, 2**32 - 1]),
    *each("semantic_seed", "coarse_seed", "fine_seed", values=[5]),
    # Long clips
    *each("split_character_goal_length", values=[1, 12]),
    *each("split_character_max_length", values=[12]),
    *each("split_character_jitter", values=[3]),
    [
        {},
        {"split_each_text_prompt_by": "line"},
        {"split_each_text_prompt_by": "word", "split_each_text_prompt_by_value": "2"},
        {
            "split_each_text_prompt_by": "sentence",
            "split_each_text_prompt_by_value": "3",
            "group_text_by_counting": "word",
        },
        {"split_each_text_prompt_by": "string", "split_type_string": " "},
    ],
    *each("prompt_text_prefix", "prompt_text_suffix", values=["[sighs]"]),
    *each("separate_prompts", values=[True]),
    *each("stable_mode_interval", values=[0, 2]),
    *each(*(line.name for line in flags() if line.name.endswith("_weight")), values=[0.0, 0.5]),
    *each("custom_audio_processing_function", values=["mix.py:less"]),
    *each("add_silence_between_segments", values=[0.0, 1.0]),
    *each("add_silence_between_paragraphs", "add_silence_at_scene_breaks", values=[0.0]),
    *each("add_silence_between_speakers", "add_silence_between_chapters", values=[0.0]),
    [{}, {"gain_db": -6.0}, {"loudness": "audiobook"}, {"loudness": "-20"}],
    *each("trim_silence", values=[True]),
    *each("crossfade_ms", values=[20.0]),
    *each("sample_rate", values=[8000, 48_000]),  # which all formats have
    [{}, {"check_segments": "off"}, {"check_segments": "retry"}, {"check_segments": "retry", "retries": 1}],
    *each("check_min_loudness_db", values=[-20.0]),
    *each("check_max_clipped_percent", "check_max_repeat_s", values=[0.0]),
    *each("check_max_length_ratio", "check_min_length_ratio", values=[1.0]),
    # Takes
    *each("candidates", values=[2]),
    [
        {},
        {"recognizer": "pocketsphinx"},
        {"recognizer": "pocketsphinx", "max_word_errors": 0.2},
        {"recognizer": "pocketsphinx", "trim_babble": True},
    ],
    *each("keep_takes", "show_takes", values=[True]),
]


# ---- all pairs ------------------------------------------------------------------------------------------------------

Cell = tuple[int, int]  # a factor and one of its values


def value_of(*cells: Cell) -> Value:
    return {name: given for factor, index in cells for name, given in FACTORS[factor][index].items()}


def is_forbidden(value: Value) -> bool:
    """Whether the options themselves refuse these flags together. Each is allowed alone."""
    if len(value) < 2:
        return False
    try:
        resolve(Options(**value))
    except UsageError:
        return True
    return False


@functools.cache
def all_pairs() -> tuple[list[Value], list[Value]]:
    """Runs that together contain every pair of values that the options allow, and the pairs they refuse.

    Greedy: each run starts from an uncovered pair, then takes for every other factor, in random order, the value that
    covers most.
    """
    rng = random.Random(0)
    factors = range(len(FACTORS))
    cells = [[(factor, index) for index in range(len(FACTORS[factor]))] for factor in factors]
    pairs = [pair for a, b in itertools.combinations(factors, 2) for pair in itertools.product(cells[a], cells[b])]
    forbidden = {frozenset(pair) for pair in pairs if is_forbidden(value_of(*pair))}
    open_pairs = dict.fromkeys(frozenset(pair) for pair in pairs if frozenset(pair) not in forbidden)
    runs = []
    while open_pairs:
        run = list(next(iter(open_pairs)))
        others = [factor for factor in factors if factor not in dict(run)]
        for factor in rng.sample(others, len(others)):
            allowed = [c for c in cells[factor] if not any(frozenset((c, other)) in forbidden for other in run)]
            run.append(max(allowed, key=lambda c: sum(frozenset((c, o)) in open_pairs for o in run) + rng.random() / 2))
        for pair in itertools.combinations(run, 2):
            open_pairs.pop(frozenset(pair), None)
        runs.append(value_of(*run))
    return runs, [value_of(*pair) for pair in forbidden]


def runs_through_ffmpeg() -> list[Value]:
    """A few runs that combine m4a with every value of every other factor that the options allow with it."""
    beside = [i for i, values in enumerate(FACTORS) if {"output_format": "wav"} not in values]
    open_cells = {(i, k) for i in beside for k in range(len(FACTORS[i]))}
    open_cells -= {cell for cell in open_cells if is_forbidden(value_of(cell) | THROUGH_FFMPEG)}
    runs = []
    for value in all_pairs()[0]:
        value = {name: given for name, given in value.items() if name != "output_format"} | THROUGH_FFMPEG
        if "clip.flac" in value.values():
            del value["output_filename"]  # its ending names another format
        held = {(i, k) for i, k in open_cells if all(value.get(n) == given for n, given in FACTORS[i][k].items())}
        if held:
            open_cells -= held
            runs.append(value)
    return runs


# ---- running them ---------------------------------------------------------------------------------------------------


@pytest.fixture
def perform(capfd, make_voice, monkeypatch, tmp_path):
    """Runs flags on the demo in this process, each time in a new folder with inputs: (exit status, stdout lines, stderr)."""
    import torch

    monkeypatch.setenv("COLUMNS", "300")
    heard = Listening(lambda audio: "A dog sat")
    monkeypatch.setattr(
        "bark_infinity.run.recognizer_pocketsphinx.Pocketsphinx", lambda: heard
    )  # loading it takes long
    numbers, threads = itertools.count(), torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model gains nothing from more

    def run(value: Value, *more: str) -> tuple[int, list[str], str]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        monkeypatch.chdir(folder)
        _make_inputs(make_voice)
        capfd.readouterr()
        status = main([*arguments(value), *more])
        out, error = capfd.readouterr()
        return status, out.splitlines(), " ".join(error.split())

    yield run
    torch.set_num_threads(threads)


def _make_inputs(make_voice) -> None:
    Path("spoken.txt").write_text(SPOKEN)
    Path("spoken.srt").write_text(SUBTITLES)
    segments = [{"text": line, "seeds": {"segment": 5}} for line in SPOKEN.splitlines()]
    manifest = {"format": 1, "text": SPOKEN, "seed": 5, "prompt": 0, "take": 0, "segments": segments, "settings": {}}
    Path("before.json").write_text(json.dumps(manifest))
    Path("mix.py").write_text(
        "from bark_infinity.voices.history import Weights\ndef less(context):\n    return Weights((0.25, 0.5))\n"
    )
    Path("cover.png").write_bytes(png())
    Path("prompts").mkdir()
    make_voice(8.0).save("prompts/someone.npz")
    make_voice(0.4, seed=1).save("short.npz")


def arguments(value: Value) -> list[str]:
    """The command line that gives these flags."""
    return [
        *DEMO,
        *(f"--{name}={str(given).lower() if given in (True, False) else given}" for name, given in value.items()),
    ]


def n_clips(value: Value) -> int:
    """The expected number of clips: the inputs have two lines, which are two sentences of two words."""
    if "from_manifest" in value:
        return 1  # that clip, again
    cut = "split_input_into_separate_prompts_by" in value and "bark_speaker_as_the_prompt" not in value
    return (2 if cut else 1) * value.get("output_iterations", 1)


def may_end_at_once(value: Value) -> bool:
    """Whether the semantic stage draws among its unlikeliest tokens, of which the demo's end of speech is one."""
    early = value.get("semantic_allow_early_stop", True) and not value.get("confused_travolta_mode", False)
    return early and ("semantic_bottom_k" in value or "semantic_inverted_p" in value)


def check_run(value: Value, status: int, out: list[str], error: str) -> None:
    failed = error.count("not made:")
    assert len(out) + failed == n_clips(value), error
    assert status == (1 if failed else 0), error
    assert not failed or (may_end_at_once(value) and error.count(ENDED_AT_ONCE) == failed), error
    folder = value.get("output_dir", "." if "from_manifest" in value else "bark_samples")
    assert len(set(out)) == len(out) and {Path(path).parent.as_posix() for path in out} <= {folder}
    for path in out:
        check_clip(value, Path(path))


def check_clip(value: Value, path: Path) -> None:
    """Check that a clip's files exist and can be read, and that its manifest records the flags."""
    stem = path.name.removesuffix(path.suffix)
    content = json.loads(path.with_name(f"{stem}.json").read_text(encoding="utf-8"))
    assert duration(path) == pytest.approx(content["seconds"], abs=0.1)  # mp3 and m4a fill their last frames
    wanted = value.get("output_format") or ("flac" if value.get("output_filename") == "clip.flac" else "wav")
    assert path.suffix == f".{wanted}"
    voice = path.with_name(f"{stem}.npz")
    assert voice.exists() == value.get("always_save_speaker", True) and (not voice.exists() or Voice.load(voice))
    assert path.with_name(f"{stem}.segments").is_dir() == value.get("hoarder_mode", False)
    written = {name for name, suffix in SUBTITLE_SUFFIXES.items() if path.with_name(f"{stem}{suffix}").exists()}
    assert written == set(filter(None, str(value.get("subtitles", "")).split(",")))
    assert content["settings"] == recorded_settings(resolve(parse(arguments(value))))
    usual = resolve(Options())
    recorded = {line.name for line in flags() if line.sound or not line.path}
    given = {name: setting for name, setting in value.items() if setting != getattr(usual, name) and name in recorded}
    assert {name: content["settings"].get(name) for name in given} == given


def duration(path: Path) -> float:
    with av.open(str(path)) as container:
        return container.duration / 1e6


def test_every_flag_that_shapes_a_run_is_combined():
    combined = {name for values in FACTORS for value in values for name in value} | set(THROUGH_FFMPEG)
    assert combined | MODES == {line.name for line in flags() if line.group != MORE} and not combined & MODES


def check_runs(perform, runs: Sequence[Value]) -> None:
    faults = []
    for value in runs:
        try:
            status, out, error = perform(value, "--dry_run")
            assert (status, out) == (0, []) and f"{n_clips(value)} clip" in error and not Path("bark_samples").exists()
            check_run(value, *perform(value))
        except Exception as fault:  # all of them are wanted, each with its command line
            faults.append(f"{shlex.join(arguments(value))}\n    {type(fault).__name__}: {fault}")
    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_pair_of_values_works_together(perform, part):
    runs, forbidden = all_pairs()
    assert 30 < len(runs) < 80 and forbidden
    check_runs(perform, runs[part::PARTS])


def test_m4a_works_with_every_other_value(perform):
    check_runs(perform, runs_through_ffmpeg())


def test_pairs_that_exclude_each_other_are_refused(perform):
    _, forbidden = all_pairs()
    for value in forbidden:
        status, out, error = perform({"text_prompt": "Hello"} | value)
        assert (status, out) == (2, []) and error.startswith("error: ") and "--" in error, value
        assert not Path("bark_samples").exists()


@pytest.mark.parametrize(
    "value",
    [
        {"seed": 0, "single_starting_seed": 5},
        {"seed": 5, "single_starting_seed": 0},
        {"semantic_top_p": 0.0, "semantic_inverted_p": 0.5},
    ],
)
def test_zero_counts_as_set(value):
    assert is_forbidden(value)


@pytest.mark.parametrize(
    "value",
    [
        {"from_manifest": "before.json", "output_iterations": 2},
        {"from_manifest": "before.json", "split_input_into_separate_prompts_by": "line"},
        {"bark_speaker_as_the_prompt": "short.npz", "split_input_into_separate_prompts_by": "line"},
        {"bark_speaker_as_the_prompt": "short.npz", "split_each_text_prompt_by": "line"},
        {"bark_speaker_as_the_prompt": "short.npz", "prompt_text_prefix": "[sighs]"},
    ],
)
def test_flag_is_refused_or_has_an_effect_beside_another(perform, value):
    source, flag = value
    alone, both = perform({source: value[source]}, "--dry_run"), perform(value, "--dry_run")
    assert both[0] == 2 and f"--{flag}" in both[2] or alone != both


def test_every_x_is_refused_or_kept_beside_history_only_everywhere():
    value = {"absolute_semantic_history_only": True, "absolute_semantic_history_only_every_x": 2}
    assert is_forbidden(value) or resolve(Options(**value)).absolute_semantic_history_only_every_x == 2


# ---- many prompts ---------------------------------------------------------------------------------------------------

MANY = "".join(f"This is line {n % 7} of many.\n" for n in range(1000))


@pytest.mark.parametrize("more", [[], ["--output_filename", "take"], ["--output_iterations", "3"]])
def test_a_thousand_prompts_are_planned_without_torch(tmp_path, more):
    (tmp_path / "many.txt").write_text(MANY)
    arguments_of_a_run = [
        "--dry_run",
        "--prompt_file",
        "many.txt",
        "--split_input_into_separate_prompts_by",
        "line",
        *more,
    ]
    code = f"import sys\nfrom bark_infinity.cli.main import main\nprint(main({arguments_of_a_run!r}), 'torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(START.parent), "COLUMNS": "200"}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.stdout.split() == ["0", "False"], result.stderr
    names = re.findall(r"(\S+)\.wav", result.stderr)
    assert len(names) == 1000 * (3 if "3" in more else 1)
    assert names == sorted(names) and len({name.casefold() for name in names}) == len(names)


def test_ten_prompts_are_spoken_in_one_run(perform):
    texts = MANY.splitlines()[:10]
    cut = {"split_input_into_separate_prompts_by": "line", "semantic_max_gen_duration_s": 0.1, "fine_temp": 0.0}
    status, out, error = perform({"text_prompt": "\n".join(texts)} | cut)
    assert status == 0 and error.count("made bark_samples") == 10
    spoken_texts = [json.loads(Path(name).with_suffix(".json").read_text())["text"] for name in sorted(out)]
    assert spoken_texts == texts


# ---- any text -------------------------------------------------------------------------------------------------------

SENTENCES = {
    "en": "Hello there, how are you? I am fine.",
    "de": "Guten Tag, wie geht es Ihnen? Mir geht es gut.",
    "es": "¿Cómo está usted? Estoy muy bien, gracias.",
    "fr": "Bonjour, comment allez-vous ? Très bien, merci !",
    "hi": "नमस्ते, आप कैसे हैं? मैं ठीक हूँ।",
    "it": "Buongiorno, come sta? Sto bene, perché no?",
    "ja": "こんにちは、お元気ですか？はい、元気です。",
    "ko": "안녕하세요, 어떻게 지내세요? 잘 지내요.",
    "pl": "Dzień dobry, jak się masz? Świetnie, dziękuję.",
    "pt": "Olá, como você está? Estou ótimo, obrigado.",
    "ru": "Здравствуйте, как дела? Всё хорошо.",
    "tr": "Merhaba, nasılsınız? İyiyim, teşekkürler.",
    "zh": "你好，你好吗？我很好。",
}
ODD = {
    "right to left": "שלום עולם. مرحبا بالعالم؟",
    "marks": "Ca\u0301fe\u0301 Z" + "\u0316\u0317\u0318" * 200 + "algo.",
    "a word": "a" * 20_000,
    "a Chinese word": "字" * 2_000,
    "Windows": "One line.\r\nTwo lines.\r\n\r\nThree.\r\n",
    "old Mac": "One line.\rTwo lines.\r",
    "byte order mark": "\ufeffHello there.",
    "zeros": "Hel\0lo \0 there.\0",
    "controls": "Hello\x07 \x1b[31mthere\x7f.\u200b\u2028Again\u202e.",
    "emoji with words": "Hello 👩‍👩‍👧‍👦 there 🏳️‍🌈!",
    "noncharacters": "Hello \ufffe\U0010ffff there \ufffd.",
    "markup": "[/bold] [laughs] {x} %s $(x) <b>Hi</b> \\",
}
UNSPEAKABLE = {
    "emoji": "😀👩‍👩‍👧‍👦🏳️‍🌈",
    "zeros alone": "\0\0",
    "marks alone": "\u0301\u0301",
    "space": " \r\n\t\u3000\u200b",
}


def tell(perform, text: str, *more: str) -> tuple[int, list[str], str]:
    """Run the command line on a text in a file."""
    file = Path("text.txt").absolute()
    file.write_bytes(text.encode())
    return perform({"prompt_file": str(file)}, *more)


@pytest.mark.parametrize("name", [*SENTENCES, *ODD])
def test_any_text_is_split(perform, name):
    text = (SENTENCES | ODD)[name]
    status, pieces, error = tell(perform, text, "--text_splits_only")
    assert status == 0 and pieces, error
    assert all(any(c.isalnum() for c in piece) for piece in pieces)
    assert max(map(len, pieces)) <= (512 if name == "a word" else 170) or name == "marks"  # no longer than 256 ids
    letters = [c for c in unicodedata.normalize("NFC", text) if c.isalnum()]
    assert [c for c in unicodedata.normalize("NFC", "".join(pieces)) if c.isalnum()] == letters


@pytest.mark.parametrize("name", UNSPEAKABLE)
@pytest.mark.parametrize("more", ["--text_splits_only", "--dry_run", "--silent"])
def test_text_without_words_gives_a_one_line_error(perform, name, more):
    status, out, error = tell(perform, UNSPEAKABLE[name], more)
    assert (status, out) == (2, []) and error.startswith("error: ") and error.count("error") == 1
    assert not Path("bark_samples").exists()


@pytest.mark.parametrize("name", ["hi", "ja", "right to left", "marks", "zeros", "controls", "noncharacters", "markup"])
def test_any_text_is_spoken(perform, name):
    status, (path,), _ = tell(perform, (SENTENCES | ODD)[name], "--semantic_max_gen_duration_s=0.1", "--fine_temp=0")
    assert status == 0 and soundfile.info(path).frames
