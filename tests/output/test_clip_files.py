"""The files of a clip: written as its segments finish, whole or not at all, all under one unused name."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import any_format, decoded
from fakes import VOICE, Changed, Recorder, plan

from bark_infinity import Voice
from bark_infinity.audio.formats import AV_FORMATS
from bark_infinity.audio.writing import write_audio
from bark_infinity.bark import Generation
from bark_infinity.errors import OutputError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_files import save_clips, save_voice
from bark_infinity.run.clips import Clip, FailedClip, FinishedSegment
from bark_infinity.run.planning import ClipPlan, plan_clips
from bark_infinity.run.recipe import Recipe
from bark_infinity.run.scheduler import Result
from bark_infinity.stages.semantic import Statistics

OUT = Path("out")
STORY = "A first line.\nA second line.\nThe third one."
NOTHING = Generation(
    Voice(np.zeros(0, int), np.zeros((2, 0), int), np.zeros((8, 0), int)), np.zeros(0, np.float32), 0, {}
)
Change = Callable[[str, Generation], Generation]


class Fake(Recorder):
    """An engine whose segments are noise seeded by their number."""

    def say(self, text: str) -> Generation:
        generation = super().say(text)
        noise = np.random.default_rng(int(text[1:])).uniform(-0.5, 0.5, len(generation.audio)).astype(np.float32)
        return Generation(generation.voice, noise, 0, {"semantic": 0.1})


def save(
    demo, text: str = STORY, change: Change = lambda _, generation: generation, **options
) -> tuple[Path, list[FinishedSegment]]:
    """The audio of a clip by the demo model, and its segments."""
    options = {"split_each_text_prompt_by": "line", "semantic_max_gen_duration_s": 0.4, "seed": 5} | options
    resolved = resolve(Options(model="demo", **options))
    recipe = Recipe.from_options(resolved, Changed(demo, change))
    *segments, saved = save_clips(recipe, plan_clips([text], resolved, 0)[0], OUT, resolved)
    if isinstance(saved, FailedClip):
        raise saved.error
    return saved.path, segments


def results_of(
    engine: Recorder, *plans: ClipPlan, voice: Voice | None = VOICE, rows: int = 4, **options
) -> Iterator[Result]:
    """The results that a run of these clips yields while it writes their files."""
    resolved = resolve(Options(batch_size=rows, **options))
    return save_clips(Recipe.from_options(resolved, engine, voice), plans, OUT, resolved)


def lines(n: int, start: int = 0, **options):
    return plan([f"s{k}" for k in range(start, start + n)], **options)


def names(folder: str = "out") -> list[str]:
    """The files of finished clips."""
    paths = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if not is_for_resuming(path))


def is_for_resuming(path: Path) -> bool:
    return path.parts[0].endswith(".partial") or path.parts[0].startswith(".run-")


def content(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


# ---- what is written ------------------------------------------------------------------------------------------------


@any_format
def test_file_written_segment_by_segment_equals_the_whole_audio(format):
    """Whatever the order in which segments finish; the manifest's digest is that of the whole audio."""
    clip = lines(7, add_silence_between_segments=0.1)
    *segments, saved = results_of(Fake(backwards=True), clip, output_format=format)
    whole = np.concatenate([segment.sound for segment in segments])
    assert len(whole) == 7 * 96_000 + 6 * 2_400
    assert content(saved.path)["audio_sha256"] == hashlib.sha256(whole.astype("<f4").tobytes()).hexdigest()
    write_audio(Path(f"whole.{format}"), whole, {}, format)
    samples = [
        decoded(path) if format in AV_FORMATS else soundfile.read(path)[0]
        for path in (saved.path, Path(f"whole.{format}"))
    ]
    np.testing.assert_array_equal(*samples)


def test_audio_is_on_disk_before_the_clip_is_finished():
    sizes = []
    for result in results_of(Fake(), lines(6)):
        if isinstance(result, FinishedSegment):
            assert names() == []
            (sound,) = OUT.rglob("*.wav")
            sizes.append(sound.stat().st_size)
    assert sizes == sorted(set(sizes)) and sizes[-1] > 5 * 96_000 * 2
    assert [path.suffix for path in sorted(OUT.iterdir())] == [".json", ".npz", ".npz", ".wav"]


def test_interleaved_clips_are_kept_apart():
    how = {"voice": None, "stable_mode_interval": 0, "rows": 3}
    saved = [r for r in results_of(Fake(), lines(4), lines(1, 10), lines(5, 20), **how) if isinstance(r, Clip)]
    assert len(saved) == 3
    for clip in saved:
        first = int(clip.plan.text.split("\n")[0][1:])
        expected = [Fake().say(f"s{first + k}").audio for k in range(len(clip.plan.segments))]
        samples = soundfile.read(clip.path, dtype="float32")[0]
        for span, sound in zip([segment.span for segment in clip.segments], expected, strict=True):
            np.testing.assert_allclose(samples[span.start : span.stop], sound, atol=1 / 32_000)


def test_tokens_of_all_segments_are_in_one_file():
    *segments, saved = results_of(Fake(backwards=True), lines(5))
    arrays = {f"{n}_{s.index}": a for s in segments for n, a in s.generation.voice.prompts().items()}
    np.savez_compressed("expected.npz", **arrays)
    with np.load(saved.path.with_suffix(".segments.npz")) as found, np.load("expected.npz") as expected:
        assert found.files == expected.files and len(found.files) == 15
        for name in found.files:
            np.testing.assert_array_equal(found[name], expected[name])
            assert found[name].dtype == expected[name].dtype


def test_hoarder_mode_saves_every_segment_separately(demo):
    path, segments = save(demo, hoarder_mode=True, output_format="flac", output_filename="mine")
    assert path == Path("out/mine.flac")
    each = [f"mine.segments/{k}.{end}" for k in (1, 2, 3) for end in ("flac", "json", "npz")]
    assert names() == sorted([*each, "mine.flac", "mine.json", "mine.npz", "mine.segments.npz"])
    whole, _ = soundfile.read("out/mine.flac")
    for k, segment in enumerate(segments, 1):
        generation, span = segment.generation, segment.record.span
        part, _ = soundfile.read(f"out/mine.segments/{k}.flac")
        np.testing.assert_array_equal(part, whole[span.start : span.stop])
        np.testing.assert_array_equal(
            Voice.load(f"out/mine.segments/{k}.npz").fine[:, -9:], generation.voice.fine[:, -9:]
        )
        manifest = json.loads(Path(f"out/mine.segments/{k}.json").read_text())
        assert manifest["text"] == STORY.split("\n")[k - 1] and manifest["segment"] == k
        assert (
            manifest["settings"]["seed"] == 5 and manifest["seeds"] == {"segment": 5} and manifest["clip"]["seed"] == 5
        )
        assert manifest["clip"]["audio_sha256"] == content(path)["audio_sha256"]


def test_segment_files_do_not_grow_with_the_number_of_segments(demo):
    sizes = []
    for n in (2, 8):
        text = "\n".join(f"This is line number {k} of the book." for k in range(n))
        path, _ = save(demo, text=text, hoarder_mode=True, semantic_max_gen_duration_s=0.1, text_prompt=text)
        each = Path(f"{path.with_suffix('')}.segments").glob("*.json")
        sizes.append(max(file.stat().st_size for file in each))
    assert sizes[1] < sizes[0] * 1.05


def test_silent_segment_has_only_a_json_file(demo):
    save(
        demo,
        change=lambda text, generation: NOTHING if text == "A second line." else generation,
        hoarder_mode=True,
        output_filename="mine",
    )
    assert [name for name in names() if "/2." in name] == ["mine.segments/2.json"]


def test_extra_stats_in_the_name_match_the_manifest(demo):
    path, _ = save(demo, extra_stats=True, output_filename="mine")
    found = re.fullmatch(r"mine-seed-5-temp-0\.7-0\.7-0\.5-entropy-(\d+\.\d\d)-perplexity-(\d+\.\d)\.wav", path.name)
    segments = content(path)["segments"]
    tokens = [s["semantic_tokens"] for s in segments]
    entropy = np.average([s["entropy"] for s in segments], weights=tokens)
    perplexity = np.exp(np.average(np.log([s["perplexity"] for s in segments]), weights=tokens))
    assert float(found[1]) == pytest.approx(entropy, abs=0.006)
    assert float(found[2]) == pytest.approx(perplexity, abs=0.06)
    assert 10 < entropy < np.log2(10_001)


def test_statistics_are_weighted_by_the_tokens_of_segments(demo):
    measured = dict(
        zip(STORY.split("\n"), [(10, Statistics(1, 2)), (30, Statistics(2, 4)), (60, Statistics(3, 8))], strict=True)
    )

    def change(text: str, generation: Generation) -> Generation:
        n, own = measured[text]
        voice = Voice(np.zeros(n, int), np.zeros((2, n), int), np.zeros((8, n), int))
        return Generation(voice, generation.audio, 0, {}, own)

    path, _ = save(demo, change=change)
    assert path.name.endswith("-entropy-2.50-perplexity-5.7.wav")  # 0.1 + 0.6 + 1.8; 2 to the 2.5


def test_name_taken_during_the_run_is_not_overwritten():
    """All files of the clip get the next unused name, on any file system."""
    for number, end in enumerate((".wav", ".npz", ".segments.npz", ".json", ".mp3")):
        results = results_of(Fake(), lines(3), hoarder_mode=True)
        stem = next(results).plan.stem
        OUT.joinpath(f"{stem}{end}").write_text("precious")
        *_, saved = results
        assert saved.path.name == f"{stem}_1.wav"
        for suffix in (".wav", ".npz", ".segments.npz", ".json", ".segments"):
            assert OUT.joinpath(f"{stem}_1{suffix}").exists()
        taken = [path for path in OUT.iterdir() if path.name.split(".")[0] == stem]
        assert [path.read_text() for path in taken] == ["precious"]
        shutil.move(OUT, f"out{number}")


def test_name_taken_while_renaming_is_not_overwritten(monkeypatch):
    from bark_infinity.run import journal

    together = journal.name_together

    def late(moves):
        if moves[0][1].name == "s0-SPK-random.wav":
            moves[-1][1].write_text("precious")  # the .json, when all names were seen to be free
        together(moves)

    monkeypatch.setattr(journal, "name_together", late)
    *_, saved = results_of(Fake(), plan(["s0"]))
    assert names() == ["s0-SPK-random.json", *(f"s0-SPK-random_1.{end}" for end in ("json", "npz", "wav"))]
    assert saved.path.name == "s0-SPK-random_1.wav" and OUT.joinpath("s0-SPK-random.json").read_text() == "precious"


@any_format
def test_clipped_samples_are_counted_in_the_manifest(format):
    def loud(text: str, generation: Generation) -> Generation:
        sound = np.where(np.arange(len(generation.audio)) < 960, np.float32(0.8), np.float32(-0.25))
        return Generation(generation.voice, sound, 0, {"semantic": 0.1})

    *_, saved = results_of(Changed(Fake(), loud), plan(["s0"]), output_format=format, gain_db=6.0)
    assert (saved.level.samples, saved.level.clipped) == (96_000, 960)
    assert saved.level.clipping(6.0) == "1 % of the samples are clipped; --gain_db 1.9 is the most that fits"
    assert content(saved.path)["clipped_samples"] == 960
    assert content(saved.path)["peak"] == pytest.approx(0.8 * 10**0.3, abs=1e-6)


# ---- whole or absent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["wav", "opus"])
@pytest.mark.parametrize("broken", ["write_manifest", "_add_tokens", "write_sound", "name_together", "to_disk"])
@pytest.mark.parametrize("failure", [OutputError("no space left"), OSError(28, "no space left"), KeyboardInterrupt()])
def test_clip_is_saved_whole_or_not_at_all(monkeypatch, broken, failure, format):
    from bark_infinity.output import clip_files, sound_files
    from bark_infinity.run import journal

    module = {"name_together": journal, "to_disk": sound_files}.get(broken, clip_files)
    works, calls = getattr(module, broken), []

    def fails_late(*arguments):
        calls.append(arguments)
        if len(calls) == (1 if broken in ("name_together", "to_disk") else 2):
            raise failure
        return works(*arguments)

    monkeypatch.setattr(module, broken, fails_late)
    written = results_of(Fake(), lines(4), lines(1, 10), hoarder_mode=True, output_format=format)
    if isinstance(failure, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            list(written)
        assert names() == []
        return
    found = [result for result in written if not isinstance(result, FinishedSegment)]
    assert [type(result) for result in found] == [FailedClip, Clip] and "no space left" in str(found[0].error)
    assert {name.split(".")[0] for name in names()} == {found[1].plan.stem}


def test_closing_the_results_leaves_no_audio_of_unfinished_clips():
    results = results_of(Fake(), lines(1, 10), lines(4), hoarder_mode=True)
    assert [type(next(results)) for _ in range(4)] == [FinishedSegment, Clip, FinishedSegment, FinishedSegment]
    assert list(OUT.glob("*.partial/writing/*.wav"))
    results.close()
    assert not list(OUT.glob("*.partial/writing"))
    assert names() and all(name.startswith("s10") for name in names())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
@any_format
def test_exception_in_the_engine_leaves_no_files_of_the_clip(failure, format):
    def fail(text: str, generation: Generation) -> Generation:
        if text == "s3":
            raise failure("enough")
        return generation

    with pytest.raises(failure, match="enough"):
        list(results_of(Changed(Fake(), fail), lines(5), output_format=format))
    assert names() == [] and not list(OUT.glob("*.partial/writing"))


def test_failed_clip_leaves_no_files():
    def no_more(context):
        if context.text == "s3":
            raise KeyError("no more")

    resolved = resolve(Options())
    recipe = Recipe.from_options(resolved, Fake(), VOICE, function=no_more)
    results = save_clips(recipe, [lines(5), lines(2, 20)], OUT, resolved)
    found = [result for result in results if not isinstance(result, FinishedSegment)]
    assert {type(result) for result in found} == {FailedClip, Clip}
    assert names() and all(name.startswith("s20") for name in names())


def test_silent_clip_fails_and_leaves_no_files():
    results = list(results_of(Fake(silent=frozenset({"s0", "s1"})), lines(2)))
    assert [type(result) for result in results] == [FinishedSegment, FinishedSegment, FailedClip]
    assert "--semantic_min_eos_p" in str(results[-1].error) and list(OUT.iterdir()) == []


@any_format
def test_full_disk_fails_the_clip_at_once_and_the_next_one_is_saved(format):
    resource = pytest.importorskip("resource", reason="Windows has no file size limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    silence = "s5"  # little audio, so that the second clip fits in every format
    fake = Fake()
    bark = Changed(
        fake,
        lambda text, generation: (
            Generation(generation.voice, generation.audio[:2_400], 0, {}) if text == silence else generation
        ),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        results = list(results_of(bark, lines(60, 100), plan([silence]), output_format=format, rows=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    failed, saved = (result for result in results if not isinstance(result, FinishedSegment))
    assert isinstance(failed, FailedClip) and isinstance(saved, Clip)
    assert re.search(rf"s100_.*\.{format} \((File too large|it gives no reason)\)", str(failed.error))
    assert len(fake.spoken) < 30  # segments that cannot be written are not generated
    assert all(name.startswith("s5") for name in names())


def test_output_folder_that_cannot_be_created_fails_the_clips():
    OUT.touch()
    results = list(results_of(Fake(), lines(2), lines(1, 10)))
    assert [type(result) for result in results] == [FailedClip, FailedClip]
    assert "the folder out cannot be created" in str(results[0].error)


# ---- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["wav", "ogg"])
def test_memory_does_not_grow_with_the_text(format):
    def peak(n: int) -> int:
        fake = Fake()
        fake.histories = _Forgetting()
        tracemalloc.start()
        for result in results_of(fake, lines(n), output_format=format):
            last = result
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(last, Clip)
        return most

    peak(2)  # imports and caches are filled once
    few, many = (min(peak(n) for _ in range(2)) for n in (10, 40))  # threads of other tests may still be ending
    assert (many - few) / 30 < 12_000  # bytes for the manifest's text; audio and tokens would be 400 000


class _Forgetting(dict):
    def __ior__(self, _):
        return self


# ---- voices ---------------------------------------------------------------------------------------------------------


def test_voice_is_saved_once_and_another_gets_the_next_name(make_voice):
    voice, other = make_voice(3.0), make_voice(3.0, seed=1)
    assert save_voice(voice, Path("out"), "me at home") == Path("out/me_at_home.npz")
    assert save_voice(voice, Path("out"), "me at home") == Path("out/me_at_home.npz")
    assert save_voice(other, Path("out"), "me at home") == Path("out/me_at_home_1.npz")
    Path("out/me_at_home_2.npz").write_text("no voice")
    third = make_voice(3.0, seed=2)
    assert save_voice(third, Path("out"), "me at home") == Path("out/me_at_home_3.npz")
    np.testing.assert_array_equal(Voice.load("out/me_at_home_3.npz").fine, third.fine)
    assert names() == ["me_at_home.npz", "me_at_home_1.npz", "me_at_home_2.npz", "me_at_home_3.npz"]
