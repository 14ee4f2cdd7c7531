"""Every flag of the table has an effect: a run with it differs from a run without it, in the way the flag promises."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
import torch
from audio_files import cover, png, tags
from babbler import FINE_HISTORY as FINE
from babbler import Babbler
from fakes import Listening

from bark_infinity.bark import Bark
from bark_infinity.checkpoints import loading
from bark_infinity.checkpoints.loading import ModelChoice
from bark_infinity.cli import commands
from bark_infinity.cli.main import main
from bark_infinity.errors import CheckpointError, UsageError
from bark_infinity.model.devices import Placement
from bark_infinity.options.resolve import REPORTS
from bark_infinity.options.table import flags
from bark_infinity.reports import catalogue as reports
from bark_infinity.run import ray_pool
from bark_infinity.stages import slots
from bark_infinity.voices.voice import Voice

DEMO = "--model demo --device cpu --seed 3"
SHORT = f"{DEMO} --fine_temp 0 --semantic_max_gen_duration_s 0.3"  # 15 semantic tokens a segment; greedy is quick
HELLO = f"{SHORT} --text_prompt Hello"
TWO = f"{SHORT} --prompt_file two.txt --split_each_text_prompt_by line"  # two segments
CHAPTER = f"{SHORT} --prompt_file chapter.txt"  # a paragraph's end, and a scene break
PLAY = f"{SHORT} --prompt_file play.txt --history_prompt someone.npz"  # two chapters, two speakers
THREE = f"{SHORT} --prompt_file three.txt --split_each_text_prompt_by line"
SPEAKER = "--history_prompt someone.npz"
SPLITS = "--text_splits_only --prompt_file story.txt"
STORY = (
    "The old dog walked home, because it rained.",
    "It slept.",
    "Then the sun came out, and the dog ran off again.",
)
ACCELERATOR = torch.device("cpu", 0)  # computes as the CPU does, and counts as another device

Tokens = Mapping[str, np.ndarray]  # semantic (n,), coarse (2, m), fine (8, m)


@dataclass(frozen=True, eq=False)
class CommandResult:
    """The result of a command line, read into memory."""

    status: int
    out: list[str]
    error: str  # stderr, its white space collapsed
    files: list[str]  # new files
    manifests: list[dict] = field(repr=False)
    tokens: list[list[Tokens]] = field(repr=False)  # per clip and segment
    audio: list[np.ndarray] = field(repr=False)
    placements: Mapping[str, Placement]  # of the stages and the codec
    batches: list[int]  # segments in each batch
    cached: list[bool]  # for each decoder, whether it has a KV cache

    def segment(self, index: int = 0) -> dict:
        """A segment's entry in the first clip's manifest."""
        return self.manifests[0]["segments"][index]

    def semantic_tokens(self, clip: int = 0, segment: int = 0) -> list[int]:
        """Semantic tokens of a segment."""
        return self.tokens[clip][segment]["semantic"].tolist()

    def history(self, index: int = 0) -> tuple[int, int, int]:
        """Lengths of the history of a segment of the first clip: semantic tokens, coarse frames, fine frames."""
        history = self.segment(index)["history"]
        return history["semantic_tokens"], history["coarse_frames"], history["fine_frames"]


Run = Callable[[str], CommandResult]
Expect = Callable[[CommandResult, CommandResult], bool]


@dataclass(frozen=True)
class Case:
    """A command line `base`, the `value` of the flag added to it, and the expected results without and with the flag.

    `more` also gets the runner, for checks that need other runs; `prepare` fakes the machine it runs on.
    """

    base: str
    value: str
    expect: Expect
    more: Callable[[Run, CommandResult], bool] = lambda run, with_flag: True
    prepare: Callable[[pytest.MonkeyPatch], None] | None = None


# ---- running --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_runs() -> dict[str, CommandResult]:
    """Runs without the flag, which many cases share."""
    return {}


@pytest.fixture(scope="module")
def demo_models() -> dict[ModelChoice, loading.Models]:
    return {}


@pytest.fixture
def run(capfd, monkeypatch, make_voice, demo_models) -> Run:
    """Runs a command line in this process, in a folder with texts and voices."""
    _make_inputs(make_voice)
    watched: dict[str, list] = {"models": [], "batches": [], "cached": []}
    _watch(monkeypatch, watched, demo_models)

    def perform(line: str) -> CommandResult:
        for seen in watched.values():
            seen.clear()
        before = set(_files())
        status = main(shlex.split(line))
        out, error = capfd.readouterr()
        lines = out.replace(os.sep, "/").splitlines()
        placements = {}
        for models in watched["models"]:
            placements = {name: stage.placement for name, stage in models.stages.items()}
            placements["codec"] = models.codec_placement
        new = sorted(set(_files()) - before)
        assert "Traceback" not in error or "DEBUG" in line
        seen = (placements, list(watched["batches"]), list(watched["cached"]))
        clips = [Path(name) for name in lines if name in new and Path(name).with_suffix(".json").is_file()]
        return CommandResult(status, lines, " ".join(error.split()), new, *_read(clips), *seen)

    return perform


def _watch(monkeypatch: pytest.MonkeyPatch, watched: Mapping[str, list], cache: dict) -> None:
    """Record the loaded models, batch sizes and kinds of decoders; load the plain demo once."""
    load, stream = loading.load_models, Bark.stream

    def load_and_record(choice: ModelChoice) -> loading.Models:
        plain = choice == ModelChoice("demo", "cpu")
        models = cache.get(choice) or load(choice)
        if plain:
            cache[choice] = models
        watched["models"].append(models)
        return models

    def stream_and_count(self, segments, *more):
        watched["batches"].append(len(segments))
        return stream(self, segments, *more)

    monkeypatch.setattr(loading, "load_models", load_and_record)
    monkeypatch.setattr(Bark, "stream", stream_and_count)
    make_decoder = slots.make_decoder

    def make_and_record(model, rows, length, cached):
        watched["cached"].append(cached)
        return make_decoder(model, rows, length, cached)

    monkeypatch.setattr(slots, "make_decoder", make_and_record)


def _make_inputs(make_voice) -> None:
    segments = [{"text": "Spoken before.", "seeds": {"segment": 5}}]
    manifest = {"format": 1, "text": "Spoken before.", "seed": 5, "prompt": 0, "take": 0, "segments": segments}
    texts = {
        "two.txt": "One dog.\nTwo cats.\n",
        "chapter.txt": "One dog is here.\n\nTwo cats are there.\n\n***\n\nThree birds are away.\n",
        "play.txt": "# One\nAnna: One dog.\nTwo cats.\n# Two\nThree mice [pause:2s] run.\n",
        "two.srt": "1\n00:00:01,500 --> 00:00:02,000\nOne dog.\n\n2\n00:00:04,250 --> 00:00:05,000\nTwo cats.\n",
        "late.srt": "1\n00:00:00,000 --> 00:00:02,000\nOne dog.\n\n2\n00:00:00,010 --> 00:00:05,000\nTwo cats.\n",
        "book.html": "<h1>One</h1><p>A dog<a class=noteref href=#n>1</a> ran.</p><aside id=n class=footnote>1. a big one</aside>"
        "<h1>Index</h1><p>A dog, 3.</p>",
        "words.toml": '[words]\n"dog" = "hound"\n',
        "three.txt": "One dog.\nTwo cats.\nThree mice.\n",
        "story.txt": " ".join(STORY),
        "settings.toml": 'text_prompt = "From a file."\n',
        "before.json": json.dumps(manifest | {"settings": {}}),
        "mix.py": "from bark_infinity.voices.history import Weights\n"
        "def less(context):\n    return Weights((0.25, 0.0), (0.25, 0.0), (0.25, 0.0))\n",
    }
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("cover.png").write_bytes(png())
    Path("old.txt").write_bytes("Да".encode("cp1251"))  # what --text_encoding auto detects
    make_voice(8.0).save("someone.npz")
    make_voice(0.5, seed=1).save("short.npz")
    Path("voices").mkdir()
    make_voice(0.5).save("voices/mine.npz")


def _files() -> Iterator[str]:
    return (p.as_posix() for p in Path().rglob("*") if p.is_file() and p.suffix != ".pyc" and "cache" not in p.parts)


def _read(clips: list[Path]) -> tuple[list[dict], list[list[Tokens]], list[np.ndarray]]:
    manifests = [json.loads(clip.with_suffix(".json").read_text(encoding="utf-8")) for clip in clips]
    tokens = [_tokens(clip, len(m["segments"])) for clip, m in zip(clips, manifests, strict=True)]
    audio = [soundfile.read(clip)[0] for clip in clips if clip.suffix == ".wav"]
    return manifests, tokens, audio


def _tokens(clip: Path, segments: int) -> list[Tokens]:
    several = clip.with_suffix(".segments.npz")
    if segments > 1:
        with np.load(several) as arrays:
            return [{s: arrays[f"{s}_prompt_{k}"] for s in ("semantic", "coarse", "fine")} for k in range(segments)]
    if not clip.with_suffix(".npz").is_file():
        return []
    voice = Voice.load(clip.with_suffix(".npz"))
    return [{"semantic": voice.semantic, "coarse": voice.coarse, "fine": voice.fine}]


# ---- expected results -----------------------------------------------------------------------------------------------


def first_stage_that_differs(plain: list[Tokens], with_flag: list[Tokens]) -> str | None:
    for stage in ("semantic", "coarse", "fine"):
        if not all(np.array_equal(a[stage], b[stage]) for a, b in zip(plain, with_flag, strict=True)):
            return stage
    return None


def changes(stage: str) -> Expect:
    """The flag changes this stage's tokens, and those of no stage before it."""
    return lambda plain, with_flag: (
        (plain.status, with_flag.status) == (0, 0)
        and first_stage_that_differs(plain.tokens[0], with_flag.tokens[0]) == stage
    )


def same_as(line: str) -> Callable[[Run, CommandResult], bool]:
    """The flag gives the tokens of this other command line."""
    return lambda run, with_flag: first_stage_that_differs(run(line).tokens[0], with_flag.tokens[0]) is None


def stage_as_in(stage: str, line: str) -> Callable[[Run, CommandResult], bool]:
    """The flag gives this stage the tokens of another command line."""
    return lambda run, with_flag: np.array_equal(with_flag.tokens[0][0][stage], run(line).tokens[0][0][stage])


def differs(part: Callable[[CommandResult], object], then: object) -> Expect:
    """`part` of the result is `then` with the flag, and something else without it."""
    return lambda plain, with_flag: part(plain) != then and part(with_flag) == then


def filters_of(result: CommandResult) -> list[dict]:
    """The filters that the first clip's sound went through."""
    return result.manifests[0].get("mastering", {}).get("filters", [])


def stderr_contains(words: str) -> Expect:
    """stderr contains `words` only with the flag."""
    return lambda plain, with_flag: words not in plain.error and words in with_flag.error


def book_has(name: str, text: str) -> Expect:
    """The manifest says this of the book only with the flag."""
    return differs(lambda result: result.manifests[0].get("book", {}).get(name), text)


def tag_is(name: str, text: str) -> Callable[[Run, CommandResult], bool]:
    """With the flag the audio file has this tag, as players read it."""
    return lambda run, with_flag: tags(Path(with_flag.out[0])).get(name) == text


def rate_of(path: str) -> int:
    with av.open(path) as container:
        return container.streams.audio[0].rate


def fails_with(words: str) -> Expect:
    """With the flag the run fails with an error that contains `words`."""
    return lambda plain, with_flag: with_flag.status == 2 and words in with_flag.error and words not in plain.error


def history_is(index: int, *history: int) -> Expect:
    """Segment `index` has a history of these lengths (semantic tokens, coarse frames, fine frames) only with the flag."""
    return lambda plain, with_flag: (
        plain.history(index) != with_flag.history(index) and with_flag.history(index) == history
    )


def longer_by(seconds: float) -> Expect:
    return lambda plain, with_flag: len(with_flag.audio[0]) - len(plain.audio[0]) == round(seconds * 24_000)


def stdout_is(*pieces: str) -> Expect:
    return lambda plain, with_flag: plain.out != with_flag.out and with_flag.out == list(pieces)


def on_the_cpu(*stages: str) -> Expect:
    """With the flag exactly these stages are on the CPU; without it none is."""
    return lambda plain, with_flag: (
        {p.device for p in plain.placements.values()} == {ACCELERATOR}
        and {name for name, p in with_flag.placements.items() if p.device == torch.device("cpu")} == set(stages)
        and with_flag.status == 0
    )


# ---- machines -------------------------------------------------------------------------------------------------------


def with_directml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_directml", SimpleNamespace(device=lambda: ACCELERATOR))


def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def with_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Apple GPU is visible; building a model on it raises an error that says so."""
    build = loading.build

    def build_or_fail(weights, stage, dtype, device, name):
        if device.type == "mps":
            raise CheckpointError("built on mps")
        return build(weights, stage, dtype, device, name)

    without_cuda(monkeypatch)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(loading, "build", build_or_fail)


def with_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published small model is a second demo, whose stages record their source."""
    from bark_infinity.checkpoints import finding as checkpoints

    def find(model: str, *_) -> Babbler:
        checkpoint = Babbler()
        checkpoint.name = model
        return checkpoint

    monkeypatch.setattr(checkpoints, "_find", find)


def with_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)


def with_a_broken_download(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("downloads/suno/bark-small").mkdir(parents=True)
    Path("downloads/suno/bark-small/config.json").write_text("no JSON")
    Path("downloads/suno/bark-small/model.safetensors").touch()
    Path("downloads/suno/bark-small/vocab.txt").touch()


def with_clipped_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sample in two hundred is beyond full scale."""
    decode = Bark.decode

    def clip(self, codes):
        sounds = decode(self, codes)
        for sound in sounds:
            sound[::200] = 2.0
        return sounds

    monkeypatch.setattr(Bark, "decode", clip)


def with_a_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """pocketsphinx hears the text in the first eighth of every sound, and seven other words behind it."""
    heard = Listening(lambda audio: "Hello and so on it goes for ever")
    monkeypatch.setattr("bark_infinity.run.recognizer_pocketsphinx.Pocketsphinx", lambda: heard)


def with_quick_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in reports.REPORTS:
        monkeypatch.setitem(reports.REPORTS, name, lambda name=name: f"the report {name}")


# ---- parts of the table --------------------------------------------------------------------------------------


def from_small(*stages: str) -> Expect:
    """With the flag exactly these stages come from the small model; without it none does."""

    def small(result: CommandResult) -> set[str]:
        return {name for name, stage in result.manifests[0]["stages"].items() if stage["source"] == "small"}

    return differs(small, set(stages))


def dtypes(result: CommandResult) -> set[str]:
    return {stage["dtype"] for stage in result.manifests[0]["stages"].values()}


def seeds(result: CommandResult) -> list[int]:
    return [segment["seeds"]["segment"] for segment in result.manifests[0]["segments"]]


def n_tokens(result: CommandResult) -> int:
    return result.segment()["semantic_tokens"]


def n_tries(result: CommandResult) -> int:
    return len(result.segment().get("tries", [result]))


def faults(result: CommandResult) -> set[str] | None:
    """Names of the first segment's faults; None if it was not checked."""
    found = result.segment().get("faults")
    return None if found is None else set(found)


def other_take_is_put_in(run: Run, _: CommandResult) -> bool:
    first = run(f"{HELLO} --candidates 2 --keep_takes --output_filename first")
    other = 3 - first.segment()["take"]
    again = run(f"--model demo --device cpu --from_manifest bark_samples/first.json --take 1={other}")
    return again.segment()["take"] == other and not np.array_equal(again.audio[0], first.audio[0])


def has_all_tokens(result: CommandResult) -> bool:
    return any(name.endswith(".segments.npz") for name in result.files)


def only_the_third_segment_differs(plain: CommandResult, with_flag: CommandResult) -> bool:
    pairs = list(zip(plain.tokens[0], with_flag.tokens[0], strict=True))
    return [first_stage_that_differs([a], [b]) is None for a, b in pairs] == [True, True, False]


def reproduced_bit_for_bit(run: Run, _: CommandResult) -> bool:
    first = run(f"{HELLO} --seed 8 --output_filename first")
    again = run("--model demo --device cpu --from_manifest bark_samples/first.json")
    return "bit for bit" in again.error and again.semantic_tokens() == first.semantic_tokens()


def second_segment_is_regenerated(run: Run, _: CommandResult) -> bool:
    first = run(f"{TWO} {SPEAKER} --output_filename first")
    again = run(f"--model demo --device cpu --from_manifest bark_samples/first.json {SPEAKER} --regenerate 2")
    return again.semantic_tokens(0, 0) == first.semantic_tokens(0, 0) and again.semantic_tokens(
        0, 1
    ) != first.semantic_tokens(0, 1)


def restitched_with_the_same_tokens(run: Run, _: CommandResult) -> bool:
    first = run(f"{TWO} --output_filename first")
    again = run("--model demo --device cpu --from_manifest bark_samples/first.json --restitch --gain_db -20")
    softer = np.allclose(again.audio[0], first.audio[0] / 10, atol=1e-4)
    return softer and not again.batches and again.semantic_tokens(0, 1) == first.semantic_tokens(0, 1)


def voice_is_reported(run: Run, _: CommandResult) -> bool:
    run(f"{TWO} --output_filename first")
    return "segment by segment" in run("--voice_report bark_samples/first.json --dry_run").error


def with_an_unfinished_run(patch: pytest.MonkeyPatch) -> None:
    """Every run resumes one that was interrupted after its first segment."""
    perform, stream = commands.speak, Bark.stream

    def stream_once(*arguments):
        yield next(stream(*arguments))
        raise KeyboardInterrupt

    def perform_again(options, *more):
        with patch.context() as stopping:
            stopping.setattr(Bark, "stream", stream_once)
            with pytest.raises(KeyboardInterrupt):
                perform(options, *more)
        return perform(options, *more)

    patch.setattr(commands, "speak", perform_again)


def with_a_pool_that_says_its_size(patch: pytest.MonkeyPatch) -> None:
    """Ray is not started, and there is no worker."""

    def pool(choice, settings, workers):
        raise UsageError(f"asked for at most {workers} workers")

    patch.setattr(ray_pool, "connect", lambda cluster: None)
    patch.setattr(ray_pool, "RayPool", pool)


# ---- the table ------------------------------------------------------------------------------------------------------

UNSEEDED = TWO.replace(" --seed 3", "")
AUTO = HELLO.replace(" --device cpu", "")
DIRECTML = f"{AUTO} --suno_use_directml"
ASKS = "--dry_run --text_prompt Hello"
ENDLESS = f"{HELLO} --semantic_allow_early_stop false"
ENDS = f"{HELLO} --semantic_max_gen_duration_s 0.6 --semantic_min_eos_p 0.005"  # after 20 of 30 tokens
GREEDY = f"{HELLO} --semantic_temp 0"
NEGATIVE = f"{ENDLESS} --negative_text_prompt Shout"
FIXED = f"{HELLO} --fine_temp 0.5 --semantic_seed 3 --coarse_seed 3"
QUARTER = f"{TWO} {SPEAKER} --semantic_history_future_weight 0.25 --coarse_history_future_weight 0.25 "
QUARTER += "--fine_history_future_weight 0.25"
NO_DOWNLOADS = "--model small --model_dir nowhere --text_prompt Hello"

SHY = f"{HELLO} --check_min_loudness_db 0"  # a threshold that no segment reaches
HEARD = f"{DEMO} --fine_temp 0 --text_prompt Hello --semantic_max_gen_duration_s 1 --recognizer pocketsphinx"
LONG = f"{DEMO} --fine_temp 0 --text_prompt Hi --semantic_max_gen_duration_s 4 "
LONG += "--semantic_token_repeat_penalty 1e9"  # one sound for 4 s
BRIEF = f"{DEMO} --fine_temp 0 --semantic_min_eos_p 0.0001 --text_prompt '{' '.join(STORY)}'"

ALIVE: dict[str, Case] = {
    # Input
    "text_prompt": Case("--text_splits_only", "Hello", stdout_is("Hello")),
    "text_encoding": Case("--text_splits_only --prompt_file old.txt", "koi8-r", stdout_is("дЮ")),
    "prompt_file": Case("--text_splits_only", "two.txt", stdout_is("One dog. Two cats.")),
    "from_manifest": Case("--text_splits_only", "before.json", stdout_is("Spoken before."), reproduced_bit_for_bit),
    "regenerate": Case(
        f"{DEMO} --from_manifest before.json", "2", fails_with("has the segments 1 to 1"), second_segment_is_regenerated
    ),
    "restitch": Case(
        f"{DEMO} --from_manifest before.json",
        "",
        fails_with("keeps the clip's tokens"),
        restitched_with_the_same_tokens,
    ),
    "split_input_into_separate_prompts_by": Case("--dry_run --prompt_file two.txt", "line", stderr_contains("2 clips")),
    "split_input_into_separate_prompts_by_value": Case(
        "--dry_run --prompt_file three.txt --split_input_into_separate_prompts_by line", "2", stderr_contains("2 clips")
    ),
    "fit_subtitles": Case(
        f"{SHORT} --prompt_file two.srt",
        "",
        differs(lambda result: [segment["start"] for segment in result.manifests[0]["segments"]], [1.5, 4.25]),
        lambda run, _: "late" in run(f"{SHORT} --prompt_file late.srt --fit_subtitles").error,
    ),
    "script": Case(
        "--text_splits_only --prompt_file play.txt",
        "dialogue",
        stdout_is("Anna: One dog. Two cats.", "Three mice", "run."),
    ),
    "cast": Case(
        PLAY,
        "Anna=voices/mine.npz",
        differs(lambda result: [segment.get("speaker") for segment in result.manifests[0]["segments"]][0], "Anna"),
        lambda _, with_flag: with_flag.history(0) != with_flag.history(1) == (256, 315, FINE),
    ),
    "list_chapters": Case(
        "--text_splits_only --prompt_file book.html", "", stdout_is("1\tOne\tkept", "2\tIndex\tskipped: index")
    ),
    "chapters": Case("--text_splits_only --prompt_file book.html", "2", stdout_is("Index", "A dog, 3.")),
    "footnotes": Case(
        "--text_splits_only --prompt_file book.html", "inline", stdout_is("One", "A dog (a big one) ran.")
    ),
    "speak_titles": Case("--text_splits_only --prompt_file book.html", "false", stdout_is("A dog ran.")),
    "export_script": Case(
        "--text_splits_only --prompt_file book.html",
        "written.txt",
        stdout_is("written.txt"),
        lambda run, _: run("--text_splits_only --prompt_file written.txt").out == ["One", "A dog ran."],
    ),
    "pronunciations": Case("--text_splits_only --prompt_file two.txt", "words.toml", stdout_is("One hound. Two cats.")),
    "history_prompt": Case(
        HELLO, "someone.npz", history_is(0, 256, 315, FINE), lambda _, with_flag: "SPK-someone" in with_flag.out[0]
    ),
    "audio_file_as_history_prompt": Case(HELLO, "absent.wav", fails_with("absent.wav")),
    "bark_speaker_as_the_prompt": Case(
        SHORT + " --output_filename x",
        "short.npz",
        lambda plain, with_flag: (
            with_flag.semantic_tokens() == Voice.load("short.npz").semantic.tolist() != plain.semantic_tokens()
        ),
    ),
    "voice_dir": Case(
        f"{ASKS} --history_prompt mine", "voices", lambda plain, with_flag: (plain.status, with_flag.status) == (2, 0)
    ),
    "audition": Case(
        f"{HELLO} --output_filename x",
        "someone.npz,voices/mine.npz",
        stdout_is("bark_samples/x-SPK-someone.wav", "bark_samples/x-SPK-mine.wav", "bark_samples/audition.html"),
        lambda _, with_flag: [clip["segments"][0]["speaker"] for clip in with_flag.manifests] == ["someone", "mine"],
    ),
    "list_speakers": Case(f"{ASKS} --output_dir voices", "", stdout_is("mine", "demo_female", "demo_male")),
    "dry_run": Case(
        HELLO, "", lambda plain, with_flag: bool(plain.files) and (with_flag.out, with_flag.files) == ([], [])
    ),
    "text_splits_only": Case(HELLO, "", lambda plain, with_flag: (with_flag.out, with_flag.files) == (["Hello"], [])),
    # Output
    "output_dir": Case(
        HELLO, "elsewhere", lambda _, with_flag: {Path(f).parts[0] for f in with_flag.files} == {"elsewhere"}
    ),
    "output_filename": Case(HELLO, "some/mine.wav", stdout_is("bark_samples/some/mine.wav")),
    "output_format": Case(
        HELLO,
        "flac",
        stdout_is("bark_samples/Hello-SPK-random.flac"),
        lambda _, g: soundfile.info(g.out[0]).format == "FLAC",
    ),
    "output_format_ffmpeg_parameters": Case(
        f"{HELLO} --output_format m4a",
        "-ar 44100",
        lambda plain, with_flag: plain.manifests[0]["settings"] != with_flag.manifests[0]["settings"],
        lambda run, with_flag: rate_of(with_flag.out[0]) == 44_100,
    ),
    "chapter_files": Case(
        f"{PLAY} --script dialogue",
        "",
        lambda plain, with_flag: (
            [Path(name).suffix for name in (*plain.out, *with_flag.out)] == [".wav", ".m3u8"]
            and {"01 One.wav", "02 Two.wav"} <= {Path(name).name for name in with_flag.files}
        ),
    ),
    "cover": Case(
        f"{HELLO} --output_format mp3",
        "cover.png",
        lambda plain, with_flag: set(with_flag.files) - set(plain.files) == {"bark_samples/Hello-SPK-random.cover.png"},
        lambda run, with_flag: cover(Path(with_flag.out[0])) == Path("cover.png").read_bytes(),
    ),
    "book_title": Case(HELLO, "Tales", book_has("title", "Tales"), tag_is("title", "Tales")),
    "book_author": Case(HELLO, "Ann Author", book_has("author", "Ann Author"), tag_is("artist", "Ann Author")),
    "book_narrator": Case(
        f"{HELLO} --output_format m4b", "Bob", book_has("narrator", "Bob"), tag_is("composer", "Bob")
    ),
    "always_save_speaker": Case(
        HELLO,
        "false",
        lambda plain, with_flag: set(plain.files) - set(with_flag.files) == {"bark_samples/Hello-SPK-random.npz"},
    ),
    "output_iterations": Case(
        HELLO,
        "2",
        differs(lambda result: len(result.manifests), 2),
        lambda _, with_flag: with_flag.semantic_tokens(0) != with_flag.semantic_tokens(1),
    ),
    "hoarder_mode": Case(
        HELLO,
        "",
        lambda plain, with_flag: (
            "bark_samples/Hello-SPK-random.segments/1.wav" in set(with_flag.files) - set(plain.files)
        ),
    ),
    "extra_stats": Case(
        HELLO, "", lambda plain, with_flag: "entropy" in with_flag.out[0] and "entropy" not in plain.out[0]
    ),
    "subtitles": Case(
        HELLO,
        "srt,vtt",
        lambda plain, with_flag: (
            set(with_flag.files) - set(plain.files)
            == {f"bark_samples/Hello-SPK-random.{ending}" for ending in ("srt", "vtt")}
        ),
    ),
    "subtitles_by": Case(
        f"{TWO} --subtitles srt --output_filename two",
        "word",
        differs(lambda result: result.manifests[0]["subtitles"]["by"], "word"),
        lambda *_: Path("bark_samples/two.srt").read_text().count("-->") == 4,
    ),
    "resume": Case(
        f"{TWO} --batch_size 1",
        "false",
        lambda plain, with_flag: (plain.batches, with_flag.batches) == ([1, 1], [1, 1, 1]),
        lambda _, with_flag: "were done" not in with_flag.error,
        prepare=with_an_unfinished_run,
    ),
    "show_generation_times": Case(HELLO, "", stderr_contains("codec")),
    "silent": Case(
        HELLO,
        "",
        lambda plain, with_flag: "0/1 segment" in plain.error and "0/1 segment" not in with_flag.error,
        prepare=with_a_terminal,
    ),
    "render_npz_samples": Case(SHORT, "voices", stdout_is("voices/mine.wav")),
    "voice_report": Case(
        "--model demo --dry_run", "before.json", fails_with("does not say where its segments are"), voice_is_reported
    ),
    # Model
    "model": Case("--model_dir nowhere --offline --text_prompt Hello", "small", fails_with("suno/bark-small")),
    "model_dir": Case(NO_DOWNLOADS, "downloads", fails_with("downloads"), prepare=with_a_broken_download),
    "offline": Case(NO_DOWNLOADS, "", fails_with("--offline is set")),
    "force_reload": Case(
        f"{NO_DOWNLOADS} --model_dir downloads", "", fails_with("HF_HUB_OFFLINE is set"), prepare=with_a_broken_download
    ),
    "convert_model": Case(
        f"{SHORT} --dtype float32",
        "saved",
        stdout_is("saved"),
        lambda run, _: same_as(HELLO)(run, run(HELLO.replace("demo", "saved"))),
    ),
    "device": Case(HELLO, "cuda", fails_with("sees no CUDA GPU"), prepare=without_cuda),
    "dtype": Case(HELLO, "int8", differs(dtypes, {"int8"}), lambda run, with_flag: not same_as(HELLO)(run, with_flag)),
    "text_use_gpu": Case(DIRECTML, "false", on_the_cpu("semantic"), prepare=with_directml),
    "coarse_use_gpu": Case(DIRECTML, "false", on_the_cpu("coarse"), prepare=with_directml),
    "fine_use_gpu": Case(DIRECTML, "false", on_the_cpu("fine"), prepare=with_directml),
    "codec_use_gpu": Case(DIRECTML, "false", on_the_cpu("codec"), prepare=with_directml),
    "text_use_small": Case(HELLO, "", from_small("semantic"), prepare=with_small_model),
    "coarse_use_small": Case(HELLO, "", from_small("coarse"), prepare=with_small_model),
    "fine_use_small": Case(HELLO, "", from_small("fine"), prepare=with_small_model),
    "use_smaller_models": Case(HELLO, "", from_small("semantic", "coarse", "fine"), prepare=with_small_model),
    "offload_cpu": Case(
        DIRECTML,
        "",
        differs(lambda result: {p.offload for p in result.placements.values()}, {True}),
        prepare=with_directml,
    ),
    "global_enable_mps": Case(
        AUTO,
        "false",
        lambda plain, with_flag: "built on mps" in plain.error and with_flag.status == 0,
        prepare=with_mps,
    ),
    "suno_use_directml": Case(
        AUTO,
        "",
        differs(lambda result: {p.device for p in result.placements.values()}, {ACCELERATOR}),
        prepare=with_directml,
    ),
    "batch_size": Case(
        f"{TWO} {SPEAKER}", "1", lambda plain, with_flag: (plain.batches, with_flag.batches) == ([2], [1, 1])
    ),
    # Sampling
    "text_temp": Case(HELLO, "0", changes("semantic"), stage_as_in("semantic", f"{GREEDY} --seed 4")),
    "semantic_temp": Case(
        f"{HELLO} --text_temp 0", "1", changes("semantic"), stage_as_in("semantic", f"{HELLO} --text_temp 1")
    ),
    "waveform_temp": Case(
        HELLO, "0", changes("coarse"), stage_as_in("coarse", f"{HELLO} --coarse_temp 0 --semantic_seed 3 --seed 4")
    ),
    "coarse_temp": Case(
        f"{HELLO} --waveform_temp 0", "1", changes("coarse"), stage_as_in("coarse", f"{HELLO} --waveform_temp 1")
    ),
    "fine_temp": Case(FIXED, "0", changes("fine"), stage_as_in("fine", f"{FIXED} --fine_temp 0 --seed 4")),
    "semantic_top_k": Case(HELLO, "1", changes("semantic"), stage_as_in("semantic", GREEDY)),
    "semantic_top_p": Case(HELLO, "0", changes("semantic"), stage_as_in("semantic", GREEDY)),
    "coarse_top_k": Case(HELLO, "1", changes("coarse"), stage_as_in("coarse", f"{HELLO} --coarse_temp 0")),
    "coarse_top_p": Case(HELLO, "0", changes("coarse"), stage_as_in("coarse", f"{HELLO} --coarse_temp 0")),
    "semantic_min_eos_p": Case(f"{ENDS} --semantic_min_eos_p 0.5", "0.005", differs(n_tokens, 20)),
    "semantic_max_gen_duration_s": Case(f"{DEMO} --text_prompt Hello", "0.2", differs(n_tokens, 10)),
    "semantic_allow_early_stop": Case(ENDS, "false", differs(n_tokens, 30)),
    "confused_travolta_mode": Case(ENDS, "", differs(n_tokens, 30)),
    "extra_confused_travolta_mode": Case(
        HELLO,
        "1",
        differs(lambda result: [segment["text"] for segment in result.manifests[0]["segments"]], ["Hello", ""]),
    ),
    "semantic_use_kv_caching": Case(
        HELLO, "false", differs(lambda result: result.cached, [False, True]), same_as(HELLO)
    ),
    "coarse_kv_caching": Case(HELLO, "false", differs(lambda result: result.cached, [True, False]), same_as(HELLO)),
    "semantic_history_oversize_limit": Case(
        f"{HELLO} {SPEAKER}", "0", changes("semantic"), stage_as_in("semantic", HELLO)
    ),
    "coarse_max_coarse_history": Case(f"{HELLO} {SPEAKER}", "60", changes("coarse")),
    "coarse_sliding_window_len": Case(f"{HELLO} {SPEAKER}", "10", changes("coarse")),
    "coarse_history_time_alignment_hack": Case(f"{HELLO} {SPEAKER}", "-8", changes("coarse")),
    "absolute_semantic_history_only": Case(f"{HELLO} {SPEAKER}", "", history_is(0, 256, 0, 0)),
    "absolute_semantic_history_only_every_x": Case(
        f"{TWO} {SPEAKER}", "2", history_is(1, 256, 0, 0), lambda _, with_flag: with_flag.history(0) == (256, 315, FINE)
    ),
    "negative_text_prompt": Case(HELLO, "Shout", changes("semantic")),
    "negative_text_prompt_logits_scale": Case(NEGATIVE, "3", changes("semantic")),
    "negative_text_prompt_divergence_scale": Case(
        f"{NEGATIVE} --negative_text_prompt_logits_scale 0.5", "1e6", changes("semantic")
    ),
    "semantic_use_mirostat_sampling": Case(
        HELLO, "", changes("semantic"), same_as(f"{HELLO} --semantic_mirostat_tau 5")
    ),
    "semantic_mirostat_tau": Case(f"{HELLO} --semantic_use_mirostat_sampling", "12", changes("semantic")),
    "semantic_mirostat_learning_rate": Case(f"{HELLO} --semantic_mirostat_tau 10", "0.1", changes("semantic")),
    "semantic_token_repeat_penalty": Case(
        HELLO,
        "1e9",
        changes("semantic"),
        lambda run, with_flag: len(set(with_flag.semantic_tokens())) < len(set(run(HELLO).semantic_tokens())) / 2,
    ),
    "semantic_inverted_p": Case(
        ENDLESS, "0", changes("semantic"), stage_as_in("semantic", f"{ENDLESS} --semantic_bottom_k 1")
    ),
    "semantic_bottom_k": Case(
        ENDLESS, "1", changes("semantic"), stage_as_in("semantic", f"{ENDLESS} --semantic_bottom_k 1 --seed 4")
    ),
    # Seeds
    "seed": Case(UNSEEDED, "7", differs(seeds, [7, 7]), same_as(f"{UNSEEDED} --seed 7")),
    "single_starting_seed": Case(
        UNSEEDED,
        "7",
        lambda plain, with_flag: 7 == seeds(with_flag)[0] != seeds(with_flag)[1] and seeds(plain)[0] != 7,
        same_as(f"{UNSEEDED} --single_starting_seed 7"),
    ),
    "semantic_seed": Case(
        HELLO, "9", changes("semantic"), stage_as_in("semantic", f"{HELLO} --semantic_seed 9 --seed 4")
    ),
    "coarse_seed": Case(
        HELLO, "9", changes("coarse"), stage_as_in("coarse", f"{HELLO} --semantic_seed 3 --coarse_seed 9 --seed 4")
    ),
    "fine_seed": Case(FIXED, "9", changes("fine"), stage_as_in("fine", f"{FIXED} --fine_seed 9 --seed 4")),
    # Long clips
    "split_character_goal_length": Case(SPLITS, "40", stdout_is(STORY[0], " ".join(STORY[1:]))),
    "split_character_max_length": Case(
        SPLITS, "40", lambda plain, with_flag: max(map(len, with_flag.out)) <= 40 < max(map(len, plain.out))
    ),
    "split_character_jitter": Case(
        f"{SPLITS} --seed 5 --split_character_goal_length 40", "30", lambda plain, with_flag: plain.out != with_flag.out
    ),
    "split_each_text_prompt_by": Case(SPLITS, "sentence", stdout_is(*STORY)),
    "split_each_text_prompt_by_value": Case(
        f"{SPLITS} --split_each_text_prompt_by sentence", "2", stdout_is(" ".join(STORY[:2]), STORY[2])
    ),
    "group_text_by_counting": Case(
        f"{SPLITS} --split_each_text_prompt_by sentence --split_each_text_prompt_by_value 11",
        "word",
        stdout_is(" ".join(STORY[:2]), STORY[2]),
    ),
    "split_type_string": Case(
        f"{SPLITS} --split_each_text_prompt_by string --split_each_text_prompt_by_value 2",
        ", ",
        stdout_is(
            "The old dog walked home because it rained. It slept. Then the sun came out", "and the dog ran off again."
        ),
    ),
    "prompt_text_prefix": Case(ASKS.replace("--dry_run", "--text_splits_only"), "Well,", stdout_is("Well, Hello")),
    "prompt_text_suffix": Case(ASKS.replace("--dry_run", "--text_splits_only"), "there", stdout_is("Hello there")),
    "separate_prompts": Case(TWO, "", history_is(1, 0, 0, 0)),
    "stable_mode_interval": Case(THREE, "0", only_the_third_segment_differs),
    "semantic_history_starting_weight": Case(f"{HELLO} {SPEAKER}", "0.25", history_is(0, 64, 315, FINE)),
    "coarse_history_starting_weight": Case(f"{HELLO} {SPEAKER}", "0.25", history_is(0, 256, 79, FINE)),
    "fine_history_starting_weight": Case(f"{HELLO} {SPEAKER}", "0.25", history_is(0, 256, 315, FINE // 4)),
    "semantic_history_future_weight": Case(f"{TWO} {SPEAKER}", "0.25", history_is(1, 64, 315, FINE)),
    "coarse_history_future_weight": Case(f"{TWO} {SPEAKER}", "0.25", history_is(1, 256, 79, FINE)),
    "fine_history_future_weight": Case(f"{TWO} {SPEAKER}", "0.25", history_is(1, 256, 315, FINE // 4)),
    "semantic_prev_segment_weight": Case(QUARTER, "1", history_is(1, 64 + 15, 79, FINE // 4)),
    "coarse_prev_segment_weight": Case(QUARTER, "1", history_is(1, 64, 79 + 22, FINE // 4)),
    "fine_prev_segment_weight": Case(QUARTER, "1", history_is(1, 64, 79, FINE // 4 + 22)),
    "custom_audio_processing_function": Case(f"{HELLO} {SPEAKER}", "mix.py:less", history_is(0, 64, 79, FINE // 4)),
    "add_silence_between_segments": Case(TWO, "1", longer_by(0.75)),
    "add_silence_between_paragraphs": Case(CHAPTER, "1.4", longer_by(0.8)),
    "add_silence_between_speakers": Case(f"{PLAY} --cast Anna=someone.npz", "1.35", longer_by(1.0)),
    "add_silence_between_chapters": Case(f"{PLAY} --script dialogue", "2.5", longer_by(0.5)),
    "add_silence_at_scene_breaks": Case(CHAPTER, "2.5", longer_by(1.0)),
    "trim_silence": Case(
        HELLO, "", differs(lambda result: [one["filter"] for one in filters_of(result)], ["trim_silence"])
    ),
    "crossfade_ms": Case(
        f"{TWO} --add_silence_between_segments 0",
        "20",
        differs(lambda result: round(result.segment(0)["end"] - result.segment(1)["start"], 6), 0.02),
    ),
    "loudness": Case(
        HELLO,
        "audiobook",
        lambda plain, with_flag: (
            len(with_flag.audio[0]) > len(plain.audio[0]) + 2 * 24_000
            and abs(with_flag.manifests[0]["mastering"]["after"]["true_peak_dbtp"]) >= 3.5
        ),
    ),
    "sample_rate": Case(
        HELLO,
        "48000",
        lambda plain, with_flag: (
            len(with_flag.audio[0]) == 2 * len(plain.audio[0]) and with_flag.manifests[0]["sample_rate"] == 48_000
        ),
    ),
    "check_delivery": Case(
        HELLO,
        "acx",
        lambda plain, with_flag: (plain.status, with_flag.status) == (0, 1) and "fails ACX's check" in with_flag.error,
    ),
    "gain_db": Case(
        HELLO, "-20", lambda plain, with_flag: np.allclose(with_flag.audio[0], plain.audio[0] / 10, atol=1e-4)
    ),
    "check_segments": Case(
        SHY, "retry", differs(n_tries, 3), lambda run, _: faults(run(f"{HELLO} --check_segments off")) is None
    ),
    "retries": Case(f"{SHY} --check_segments retry", "1", differs(n_tries, 2)),
    "check_min_loudness_db": Case(HELLO, "0", differs(faults, {"quiet_dbfs"})),
    "check_max_clipped_percent": Case(HELLO, "0", differs(faults, {"clipped_percent"}), prepare=with_clipped_sound),
    "check_max_repeat_s": Case(HELLO, "0.01", differs(faults, {"repeated_s"})),
    "check_max_length_ratio": Case(LONG, "40", differs(lambda result: "too_long_ratio" in faults(result), False)),
    "check_min_length_ratio": Case(BRIEF, "0", differs(faults, set())),
    # Takes
    "candidates": Case(HELLO, "3", differs(n_tries, 3)),
    "recognizer": Case(
        HELLO, "pocketsphinx", differs(lambda result: "word_errors" in result.segment(), True), prepare=with_a_listener
    ),
    "max_word_errors": Case(f"{HEARD} --check_segments retry", "0.1", differs(n_tries, 3), prepare=with_a_listener),
    "trim_babble": Case(
        HEARD, "", differs(lambda result: "trimmed" in result.segment(), True), prepare=with_a_listener
    ),
    "keep_takes": Case(f"{HELLO} --candidates 2", "", differs(has_all_tokens, True)),
    "take": Case(
        f"{DEMO} --from_manifest before.json", "1=2", fails_with("keeps the clip's tokens"), other_take_is_put_in
    ),
    "show_takes": Case(HELLO, "", stderr_contains("takes of Hello")),
    # More
    "config": Case("--text_splits_only", "settings.toml", stdout_is("From a file.")),
    "print_config": Case(
        f"{ASKS} --text_temp 0.25", "", lambda plain, with_flag: not plain.out and "text_temp = 0.25" in with_flag.out
    ),
    "print_completion": Case(
        ASKS, "bash", lambda plain, with_flag: not plain.out and "--text_temp" in "".join(with_flag.out)
    ),
    **{name: Case(ASKS, "", stderr_contains(f"the report {name}"), prepare=with_quick_reports) for name in REPORTS},
    "show_all_reports": Case(
        ASKS,
        "",
        lambda plain, with_flag: (
            "the report" not in plain.error and all(f"the report {name}" in with_flag.error for name in REPORTS)
        ),
        prepare=with_quick_reports,
    ),
    "loglevel": Case("--dry_run --text_prompt=", "DEBUG", stderr_contains("Traceback")),
    # Many machines
    "cluster": Case(
        HELLO, "127.0.0.1:1", fails_with("--cluster")
    ),  # with Ray: nothing answers there; without: pip's line
    "workers": Case(
        f"{HELLO} --cluster local",
        "2",
        fails_with("asked for at most 2 workers"),
        prepare=with_a_pool_that_says_its_size,
    ),
    "shard": Case(
        "--text_splits_only --prompt_file two.txt --split_input_into_separate_prompts_by line",
        "2/2",
        stdout_is("Two cats."),
    ),
}


def test_every_flag_has_a_case():
    assert set(ALIVE) == {line.name for line in flags()}


@pytest.mark.parametrize("name", ALIVE)
def test_flag_has_its_effect(name, run, plain_runs, monkeypatch):
    case = ALIVE[name]
    if case.prepare is not None:
        case.prepare(monkeypatch)
        plain = run(case.base)
    else:
        plain = plain_runs.setdefault(case.base, plain_runs.get(case.base) or run(case.base))
    shutil.rmtree("bark_samples", ignore_errors=True)  # so that both runs get the same file names
    shown = f"--{name}" + (f"={shlex.quote(case.value)}" if case.value else "")
    with_flag = run(f"{case.base} {shown}")
    assert not case.expect(plain, plain), f"{shown} would pass if nothing read it"
    assert case.expect(plain, with_flag), f"{shown}\nwithout: {plain}\nwith: {with_flag}"
    assert case.more(run, with_flag), f"{shown}\nwith: {with_flag}"
