"""A play from its text to its files: order, voices, gaps to the sample, batches, resuming, and making it again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import VOICE, Counting, Hashing, Recorder, voice_of

from bark_infinity import constants as c
from bark_infinity import narrate
from bark_infinity.bark import Settings
from bark_infinity.cli.main import parse
from bark_infinity.errors import UsageError, VoiceError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.manifest import differences, read_manifest
from bark_infinity.output.restitching import restitch_file
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.recipe import Recipe
from bark_infinity.text.events import Chapter, Pause, Place, Script, Speaker, Speech

NAMES = ("Anna", "Bob", "Cleo")
HERE = Place(1, 1)


def turn(k: int) -> str:
    """A turn of the play, with something of everything now and then."""
    name = NAMES[k % 3]
    begin = f"[{name}|seed:{k}|text_temp:0.5]" if k % 7 == 6 else f"{name}:"
    after = " [pause:1.5s]" if k % 10 == 3 else "\n[sound: bell.wav]" if k % 10 == 8 else "\n***" if k == 30 else ""
    return f"{begin} This is turn number {k} of Nguyen's play.{after}"


PLAY = "\n".join(
    [
        "+++\n[cast]\nAnna = 'anna.npz'\nBob = {voice = 'bob.npz', text_temp = 0.6}\nCleo = 'cleo.npz'",
        "[settings]\nadd_silence_between_speakers = 0.4\n[pronunciations]\n'Nguyen' = 'Win'\n+++\n# Act one",
        *map(turn, range(40)),
        "# Act two",
        *map(turn, range(40, 60)),
        "[pause:2s]",
    ]
)


@pytest.fixture(autouse=True)
def files() -> None:
    """A folder with the play, its three voices and its sound."""
    for number, name in enumerate(NAMES, 1):
        voice_of(number).save(Path(f"{name.lower()}.npz"))
    Path("play").mkdir()
    Path("play/play.txt").write_text(PLAY)
    soundfile.write("play/bell.wav", np.sin(np.arange(12_345) / 20).astype(np.float32) / 2, 24_000, subtype="FLOAT")


def source(*arguments: str) -> ClipSource:
    return ClipSource(resolve(parse(arguments or ("--prompt_file", "play/play.txt", "--seed", "5"))))


def job(of: ClipSource, engine=None) -> Job:
    voices = {name: voice_of(NAMES.index(name) + 1) for name in of.voices}
    return Job(of.options, of, Recipe.from_options(of.options, engine or Hashing(), VOICE, voices=voices))


def made(of: Job) -> Clip:
    clip = list(of.run())[-1]
    assert isinstance(clip, Clip) and clip.path is not None
    return clip


def test_play_of_sixty_turns_is_exact_to_the_sample():
    clip = made(job(source()))
    content = json.loads(clip.path.with_suffix(".json").read_text())
    segments, samples = content["segments"], soundfile.read(clip.path)[0]
    assert [segment["speaker"] for segment in segments] == [NAMES[k % 3] for k in range(60)]
    assert [segment["chapter"] for segment in segments] == ["Act one"] * 40 + ["Act two"] * 20
    assert all(f"number {k} of Win's" in segment["text"] for k, segment in enumerate(segments))
    assert all(segment["written"] == segment["text"].replace("Win", "Nguyen") for segment in segments)
    assert segments[6]["own_settings"] == {"seed": 6, "text_temp": 0.5} and segments[6]["seeds"] == {"segment": 6}
    assert segments[1]["own_settings"] == {"text_temp": 0.6}
    bell = soundfile.read("play/bell.wav", dtype="float32")[0]
    for k, (before, after) in enumerate(itertools.pairwise(segments)):
        start, stop = round(before["end"] * c.SAMPLE_RATE), round(after["start"] * c.SAMPLE_RATE)
        expected = {30: [1.5], 39: [2.0]}.get(k, [1.5] if k % 10 == 3 else [0.25, bell, 0.4] if k % 10 == 8 else [0.4])
        parts = [part if isinstance(part, np.ndarray) else np.zeros(round(part * c.SAMPLE_RATE)) for part in expected]
        np.testing.assert_allclose(samples[start:stop], np.concatenate(parts), atol=1e-4)
    end = round(segments[-1]["end"] * c.SAMPLE_RATE)
    assert len(samples) - end == 2 * c.SAMPLE_RATE and not samples[end:].any()
    assert content["seconds"] == pytest.approx(len(samples) / c.SAMPLE_RATE) and clip.samples == len(samples)


def test_all_speakers_run_in_one_batch_each_with_his_own_voice():
    class Wide(Recorder):
        def rows_at_once(self, settings: Settings) -> int:
            return 64

        def say(self, text):
            return super().say(text.split(" of ")[0].rpartition(" ")[2])

    engine = Wide()
    made(job(source(), engine))
    assert [len(batch) for batch in engine.batches] == [60]
    for k, text in enumerate(engine.batches[0]):
        assert set(engine.histories[text].semantic.tolist()) == {k % 3 + 1}


def test_killed_play_goes_on_bit_for_bit():
    whole = made(job(source()))
    results = job(source()).run()
    for result in results:
        if isinstance(result, FinishedSegment) and result.index == 23:
            break
    results.close()
    engine = Counting(Hashing())
    again = job(source(), engine)
    assert again.resumed
    clip = made(again)
    assert engine.n_spoken < 60 and clip.audio_sha256 == whole.audio_sha256


@pytest.mark.parametrize("interval", ["1", "0", "3"])
def test_play_is_made_again_and_stitched_again_bit_for_bit(interval):
    clip = made(job(source("--prompt_file", "play/play.txt", "--stable_mode_interval", interval)))
    manifest = clip.path.with_suffix(".json")
    again = made(job(source("--from_manifest", str(manifest))))
    assert again.audio_sha256 == clip.audio_sha256
    contents = [read_manifest(str(one.path.with_suffix(".json"))).content for one in (clip, again)]
    assert differences(*contents) == [] and contents[0]["script"] == contents[1]["script"]
    assert contents[0]["cast"] == contents[1]["cast"]
    decode = lambda codes: Hashing().decode([codes])[0]  # noqa: E731
    stitched = restitch_file(clip.path, decode, Path("stitched/play.wav"), again.plan and source().options)
    assert read_manifest(str(stitched.with_suffix(".json"))).content["audio_sha256"] == clip.audio_sha256


def test_other_lengths_of_segments_cut_the_recorded_script_again():
    clip = made(job(source()))
    again = source("--from_manifest", str(clip.path.with_suffix(".json")), "--split_character_goal_length", "15",
                   "--split_character_max_length", "20")  # fmt: skip
    (plan,), _ = again.plan()
    assert len(plan.segments) > 60 and {segment.speaker for segment in plan.segments} == set(NAMES)
    assert sum(len(segment.pause.sounds) for segment in plan.segments) == 6


def test_strangers_manifest_opens_no_sound_outside_its_folder(tmp_path, monkeypatch):
    clip = made(job(source()))
    manifest = str(clip.path.with_suffix(".json").absolute())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path(manifest).parent.parent.joinpath("anna.npz").rename(Path(manifest).with_name("anna.npz"))
    for name in ("bob", "cleo"):
        (tmp_path / f"{name}.npz").rename(Path(manifest).with_name(f"{name}.npz"))
    with pytest.raises(UsageError, match="plays the sound bell.wav, and there is no such file"):
        source("--from_manifest", manifest).plan()
    (tmp_path / "play/bell.wav").rename(Path(manifest).with_name("bell.wav"))
    assert len(source("--from_manifest", manifest).plan()[0][0].segments) == 60
    Path(manifest).with_name("bell.wav").write_bytes(b"another one")
    with pytest.raises(UsageError, match="with the same content"):
        source("--from_manifest", manifest).plan()


def test_changed_sound_fails_the_clip():
    play = job(source())
    soundfile.write("play/bell.wav", np.zeros(10), 24_000)
    *_, failed = play.run()
    assert "has changed since the script was planned" in str(failed.error)


# ---- from Python -----------------------------------------------------------------------------------------------------


def test_narrate_speaks_a_script_from_text_and_from_events(demo, make_voice):
    make_voice(seed=1).save("x.npz")
    make_voice(seed=2).save("y.npz")
    how = Options(cast="Anna=x.npz,Bob=y.npz", semantic_max_gen_duration_s=0.2)
    text = "# One\nAnna: Hello there.\n[pause:0.5]\nBob: And hello again."
    spoken = narrate(demo, text, seed=1, options=how)
    first, second = spoken
    assert (first.speaker, first.chapter, first.gap.seconds, second.speaker) == ("Anna", "One", 0.5, "Bob")
    events = (
        Chapter("One", HERE),
        Speech("Hello there.", HERE, "Anna"),
        Pause(0.5, HERE),
        Speech("And hello again.", HERE, "Bob"),
    )
    cast = {"Anna": Speaker("Anna", "x.npz"), "Bob": Speaker("Bob", "y.npz")}
    same = narrate(demo, Script(events, cast), seed=1, options=Options(semantic_max_gen_duration_s=0.2))
    np.testing.assert_array_equal(same.audio, spoken.audio)
    path = same.save("a.wav")
    assert json.loads(path.with_suffix(".json").read_text())["script"].endswith("Bob: And hello again.\n")
    with pytest.raises(VoiceError, match="Anna in the cast: there is no voice 'absent'"):
        narrate(demo, Script(events, {**cast, "Anna": Speaker("Anna", "absent")}))
    with pytest.raises(UsageError, match="a pause that is not from 0"):
        narrate(demo, Script((Pause(-1.0, HERE),)))


def test_own_settings_reach_the_model(demo):
    how = {"semantic_max_gen_duration_s": 0.2}
    text = "+++\n[cast]\nAnna = {semantic_max_gen_duration_s = 0.5}\n+++\nAnna: Hello there.\nI am the narrator."
    own, other = narrate(demo, text, seed=1, options=Options(**how, semantic_allow_early_stop=False))
    assert (len(own.voice.semantic), len(other.voice.semantic)) == (25, 10)


def test_sound_before_the_first_word_is_found_from_a_restitched_manifest():
    Path("play/short.txt").write_text(
        "+++\n[cast]\nAnna = 'anna.npz'\n+++\n[sound: bell.wav]\nAnna: Hello.\nAnna: Yes.\n"
    )
    clip = made(job(source("--prompt_file", "play/short.txt", "--seed", "5")))
    decode = lambda codes: Hashing().decode([codes])[0]  # noqa: E731
    Path("far/away").mkdir(parents=True)
    stitched = restitch_file(clip.path, decode, Path("far/away/play.wav"), source().options)
    again = source("--from_manifest", str(stitched.with_suffix(".json")))
    (plan,), _ = again.plan()
    (sound,) = plan.lead.sounds
    assert sound.path.resolve() == Path("play/bell.wav").resolve()
