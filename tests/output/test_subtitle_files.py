"""Subtitles of clips: cues inside their segments, words complete and in order, files with all the others or not at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes import VOICE, Changed, Hashing, recipe_of
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.bark import Generation
from bark_infinity.errors import OutputError, UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output import subtitles as module
from bark_infinity.output.clip_files import clip_keys, save_clips
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.restitching import restitch_file
from bark_infinity.output.subtitles import subtitles_of
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.journal import RunJournal
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.scheduler import Scheduler
from bark_infinity.text.events import Script
from bark_infinity.text.script import parse_script
from bark_infinity.voices.voice import Voice

PLAY = """\
+++
[cast]
Anna = "demo_female"
[pronunciations]
"Nguyen" = "Win"
+++
# Chapter one
[pause:1s]
Anna: Did you hear Nguyen? [laughs] [pause:1.5s]
It was the door. The wind has been pushing at it all night, and nobody wanted to get up and close it again.
# Chapter two
[voice:prompts/bob.npz] Good morning. [/voice] ♪ La la ♪
"""
ALL = "srt,vtt,ass,lrc,json"
Change = Callable[[str, Generation], Generation]
PARTS = st.sampled_from(["One dog ran.", "“Stop!”", "[laughs]", "Two cats, & a <mouse> --> slept.", "♪ La la ♪", "犬が寝た。", "Then 42 birds flew away over the old house, and came back."])  # fmt: skip


@pytest.fixture(autouse=True)
def without_aligner(monkeypatch) -> None:
    """Hashed noise is no speech."""
    monkeypatch.setattr(module, "aligner_is_there", lambda: False)


def clip_of(script: str, change: Change = lambda _, generation: generation, **options) -> list[FinishedSegment]:
    """The finished segments of a clip whose sound is noise, or what `change` makes of it."""
    prompt = parse_script(script, "dialogue") if script.startswith("+++") else script
    (plan,), _ = plan_clips([prompt], resolve(Options(check_segments="off", seed=5, **options)), 0)
    engine = Changed(Hashing(), change)
    results = Scheduler(recipe_of(engine, VOICE, check_segments="off"), 4).run([plan])
    return [result for result in results if isinstance(result, FinishedSegment)]


def cues_of(segments: list[FinishedSegment], by: str) -> list[dict]:
    return json.loads(subtitles_of(segments, "json", by))["cues"]


def save(text: str | Script = PLAY, folder: str = "out", **options) -> Path:
    """The audio of a clip in a folder, with all that is beside it."""
    asked = resolve(Options(check_segments="off", output_dir=folder, output_filename="clip", seed=5, **options))
    prompt = parse_script(text, "dialogue") if isinstance(text, str) else text
    plans, _ = plan_clips([prompt], asked, 0)
    *_, saved = save_clips(recipe_of(Hashing(), VOICE, check_segments="off"), plans, Path(folder), asked)
    assert isinstance(saved, Clip) and saved.path is not None
    return saved.path


@settings(max_examples=25, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=12).map(" ".join), st.sampled_from(["segment", "sentence", "word"]))
def test_cues_lie_inside_their_segments_with_all_words_in_order(text, by):
    segments = clip_of(f"So, {text}")
    cues = cues_of(segments, by)
    shown = "".join("".join(cue["lines"]) for cue in cues)
    assert "".join(shown.split()) == "".join("".join(segment.text for segment in segments).split())
    for cue in cues:
        segment = segments[cue["segment"] - 1]
        assert segment.start - 1e-6 <= cue["start"] < cue["end"] <= segment.end + 1e-4
        assert "".join("".join(cue["lines"]).split()) in "".join(segment.text.split())
        words = cue.get("words", [])
        assert ("".join(word["text"] for word in words) == "".join(cue["lines"])) == (by == "word") or " " in shown
        assert all(cue["start"] - 1e-6 <= w["start"] <= w["end"] <= cue["end"] + 1e-4 for w in words)
    assert all(a["end"] <= b["start"] for a, b in pairwise(cues))
    if by == "word":
        words = [word["text"] for cue in cues for word in cue["words"]]
        assert "".join("".join(words).split()) == "".join(shown.split())


def test_text_is_as_written_with_speakers_and_chapters_and_without_our_tags():
    segments = clip_of(PLAY)
    vtt = subtitles_of(segments, "vtt")
    assert "<v Anna>Did you hear Nguyen? [laughs]\n" in vtt and "Win?" not in vtt
    assert "<v bob>Good morning.\n" in vtt and "prompts" not in vtt
    assert (
        vtt.index("NOTE Chapter: Chapter one")
        < vtt.index("Anna")
        < vtt.index("NOTE Chapter: Chapter two")
        < vtt.index("bob")
    )
    assert "pause" not in vtt and "[voice" not in vtt
    assert vtt.splitlines()[2] == "NOTE Times: exact for segments, in proportion to length inside them"


def test_cues_of_segments_begin_and_end_with_them():
    segments = clip_of(PLAY)
    cues = cues_of(segments, "segment")
    for number in {cue["segment"] for cue in cues}:
        own = [cue for cue in cues if cue["segment"] == number]
        span = own[0]["start"], own[-1]["end"]
        assert span == pytest.approx((segments[number - 1].start, segments[number - 1].end), abs=1e-6)
    assert len(cues) == len(segments) + 1  # a long segment has two
    assert cues[0]["start"] == 1.0


def test_segments_without_sound_or_words_have_no_cue():
    nothing = Voice(np.zeros(0, int), np.zeros((2, 0), int), np.zeros((8, 0), int))

    def silence(text: str, generation: Generation) -> Generation:
        return (
            dataclasses.replace(generation, voice=nothing, audio=generation.audio[:0]) if "One" in text else generation
        )

    lines = {"split_each_text_prompt_by": "line", "separate_prompts": True}
    segments = clip_of("One is here.\nTwo is there.", silence, **lines)
    assert len(segments) == 2 and [cue["lines"] for cue in cues_of(segments, "word")] == [["Two is there."]]
    wordless = dataclasses.replace(segments[1].plan.segments[1], text="")
    plan = dataclasses.replace(segments[1].plan, segments=(segments[1].plan.segments[0], wordless))
    assert cues_of([dataclasses.replace(segments[1], plan=plan)], "word") == []


def test_times_inside_a_segment_leave_out_silence_at_its_ends():
    def quiet_ends(_: str, generation: Generation) -> Generation:
        sound = generation.audio.copy()
        sound[:6000] = sound[-3000:] = 0
        return dataclasses.replace(generation, audio=sound)

    (segment,) = clip_of("One is here. Two is there.", quiet_ends)
    cues = cues_of([segment], "sentence")
    assert cues[0]["start"] == pytest.approx(0.25, abs=0.011)
    assert cues[-1]["end"] == pytest.approx(segment.end - 0.125, abs=0.011)
    assert cues[0]["end"] == cues[1]["start"]


class Tenths:
    """An aligner that finds each word to take a tenth of a second, and knows German by its articles."""

    def knows(self, text: str) -> bool:
        return "Der" not in text

    def align(self, words, samples):
        return [(0.1 * k, 0.1 * k + 0.1) for k in range(len(words))]


def test_an_aligner_is_used_where_it_is_and_the_text_is_english(monkeypatch):
    monkeypatch.setattr(module, "aligner_is_there", lambda: True)
    monkeypatch.setattr(module, "the_aligner", Tenths)
    segments = clip_of("One two three four.")
    (cue,) = cues_of(segments, "word")
    assert [word["start"] for word in cue["words"]] == pytest.approx([0.0, 0.1, 0.2, 0.3], abs=1e-5)
    assert "NOTE Times: exact for segments, aligned inside them" in subtitles_of(segments, "vtt", "word")
    german = clip_of("Der Hund ist da.")
    assert "in proportion to length" in subtitles_of(german, "vtt", "word")


def test_files_are_written_with_the_others_and_listed():
    path = save(subtitles=ALL, subtitles_by="word")
    names = {file.name for file in path.parent.iterdir()}
    assert {"clip.srt", "clip.vtt", "clip.ass", "clip.lrc", "clip.subtitles.json", "clip.json", "clip.wav"} <= names
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert manifest["subtitles"] == {
        "formats": ALL.split(","),
        "by": "word",
        "times": "exact for segments, in proportion to length inside them",
    }
    assert path.with_suffix(".vtt").read_text(encoding="utf-8").startswith("WEBVTT\n")
    again = save(subtitles="srt")
    assert again.name == "clip_1.wav" and again.with_suffix(".srt").exists()


def test_names_of_subtitles_are_never_overwritten():
    Path("out").mkdir()
    Path("out/clip.lrc").write_text("mine")
    assert save(subtitles="lrc").name == "clip_1.wav"
    assert Path("out/clip.lrc").read_text() == "mine"


def test_without_subtitles_none_are_written():
    path = save()
    assert not any(path.with_suffix(suffix).exists() for suffix in (".srt", ".vtt", ".ass", ".lrc"))
    assert "subtitles" not in json.loads(path.with_suffix(".json").read_text())


def test_a_failing_disk_leaves_neither_sound_nor_subtitles(monkeypatch):
    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr(module, "_write", fail)
    asked = resolve(Options(check_segments="off", subtitles="srt", output_dir="out"))
    plans, _ = plan_clips(["One is here."], asked, 0)
    *_, failed = save_clips(recipe_of(Hashing(), VOICE, check_segments="off"), plans, Path("out"), asked)
    assert isinstance(failed.error, OutputError)
    assert not [path for path in Path("out").rglob("*") if path.suffix in (".wav", ".srt")]


@pytest.mark.parametrize("by", ["segment", "word"])
def test_restitching_writes_the_same_subtitles(by):
    path = save(subtitles=ALL, subtitles_by=by)
    files = resolve(Options(text_prompt="-", subtitles=ALL, subtitles_by=by))
    again = restitch_file(path, lambda codes: Hashing().decode([codes])[0], Path("new/clip.wav"), files)
    for suffix in (".srt", ".vtt", ".ass", ".lrc", ".subtitles.json"):
        assert again.with_suffix(suffix).read_bytes() == path.with_suffix(suffix).read_bytes()
    without = restitch_file(path, lambda codes: Hashing().decode([codes])[0], Path("new/bare.wav"), resolve(Options()))
    assert "subtitles" not in read_manifest(str(without.with_suffix(".json"))).content


def test_resumed_run_writes_the_same_subtitles():
    whole = save(subtitles="json", subtitles_by="word")

    class Stops(Hashing):
        def stream(self, *arguments):
            yield next(super().stream(*arguments))
            raise KeyboardInterrupt

    asked = resolve(
        Options(
            check_segments="off",
            output_dir="new",
            output_filename="clip",
            seed=5,
            subtitles="json",
            subtitles_by="word",
        )
    )
    plans, _ = plan_clips([parse_script(PLAY, "dialogue")], asked, 0)

    def run(engine: Hashing, journal: RunJournal | None = None) -> list:
        recipe = recipe_of(engine, VOICE, check_segments="off")
        return list(save_clips(recipe, plans, Path("new"), asked, journal))

    with pytest.raises(KeyboardInterrupt):
        run(Stops())
    recipe = recipe_of(Hashing(), VOICE, check_segments="off")
    (journal,) = RunJournal.unfinished(Path("new"), clip_keys(asked, recipe))
    assert journal.kept(plans[0]) == 1
    *_, saved = run(Hashing(), journal)
    assert saved.path.with_suffix(".subtitles.json").read_bytes() == whole.with_suffix(".subtitles.json").read_bytes()


def test_wrong_words_of_a_program_are_refused():
    segments = clip_of("One is here.")
    for call, message in (
        (lambda: subtitles_of(segments, "txt"), "is not one of srt"),
        (lambda: subtitles_of(segments, "srt", "letter"), "by segment, sentence, word"),
        (lambda: subtitles_of([], "srt"), "no segment"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
