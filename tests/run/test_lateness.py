"""Segments that begin at a time of the clip: to the sample where there is room, else as soon as what is before them ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import VOICE, Hashing, recipe_of
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.audio.writing import Joiner
from bark_infinity.errors import ScriptError, UsageError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_files import save_clips
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.mending import mend
from bark_infinity.output.remaking import plan_again
from bark_infinity.output.restitching import restitch_file
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.lateness import lateness_of
from bark_infinity.run.planning import ClipPlan, SegmentCutter, plan_clips
from bark_infinity.run.scheduler import Scheduler, longest_seconds
from bark_infinity.run.script_source import ScriptSource
from bark_infinity.text.events import Place, Script, Speech, StartAt
from bark_infinity.text.script import parse_script

HERE = Place(1, 1)
LONGEST = 1.0  # seconds of a segment of `Hashing`


def srt(starts: list[float]) -> str:
    def clock(seconds: float) -> str:
        ms = round(seconds * 1000)
        return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    cues = (
        f"{k + 1}\n{clock(start)} --> {clock(start + 0.5)}\nCue {k + 1} is here.\n" for k, start in enumerate(starts)
    )
    return "\n".join(cues)


def options_of(**more) -> Options:
    return resolve(Options(check_segments="off", seed=5, output_dir="out", output_filename="clip", **more))


def planned(script: str, **more) -> ClipPlan:
    (clip,), _ = plan_clips([parse_script(script, "plain")], options_of(**more), 0)
    return clip


def results_of(plan: ClipPlan) -> tuple[list[FinishedSegment], Clip]:
    *segments, clip = Scheduler(recipe_of(Hashing(), VOICE, check_segments="off"), 4).run([plan])
    return segments, clip


def saved(plan: ClipPlan, options: Options) -> Path:
    *_, clip = save_clips(recipe_of(Hashing(), VOICE, check_segments="off"), [plan], Path(options.output_dir), options)
    return clip.path


def content(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


def test_forty_cues_begin_at_their_times_and_late_ones_are_counted():
    starts = [1.0 + 1.7 * k for k in range(40)]
    starts[20] = starts[19] + 0.25  # its predecessor takes a second
    starts[21] = starts[20] + 0.5
    Path("film.srt").write_text(srt(starts))
    options = options_of(prompt_file="film.srt", fit_subtitles=True)
    (plan,), _ = ClipSource(options).plan()
    assert [segment.start_at for segment in plan.segments] == pytest.approx(starts, abs=0.001)
    path = saved(plan, options)
    segments = content(path)["segments"]
    on_time = [k for k in range(40) if k not in (20, 21)]
    for k in on_time:
        assert abs(segments[k]["start"] - starts[k]) < 0.001
    for k in (20, 21):
        assert segments[k]["start"] == segments[k - 1]["end"]
    late = [segments[k]["start"] - starts[k] for k in (20, 21)]
    timing = content(path)["timing"]
    assert (timing["timed"], timing["late"], timing["worst_segment"]) == (40, 2, 22)
    assert timing["worst_seconds"] == pytest.approx(max(late), abs=0.001)
    sound, _ = soundfile.read(path, dtype="float32")
    assert not sound[: round(starts[0] * 24_000)].any() and sound[round(starts[0] * 24_000) :][:100].any()


TIMES = st.lists(st.floats(0, 30), min_size=1, max_size=8)


@settings(max_examples=30, deadline=None)
@given(TIMES)
def test_segments_begin_at_their_times_or_as_soon_as_they_can(times):
    script = "\n".join(f"[at:{time:.3f}s]\nCue {k} is here." for k, time in enumerate(times))
    segments, clip = results_of(planned(script))
    before = 0
    for time, segment in zip(times, segments, strict=True):
        assert segment.record.span.start == max(before, round(round(time, 3) * 24_000))
        before = segment.record.span.stop
    assert clip.samples == before == sum(len(segment.sound) for segment in segments)
    assert clip.samples / 24_000 <= longest_seconds(clip.plan, recipe_of(Hashing(), VOICE))


def test_a_time_counts_for_the_first_segment_of_its_text():
    clip = planned("One is here.\n[at:9s] Two is there. And three is far away.", split_character_goal_length=10)
    assert [segment.start_at for segment in clip.segments] == [None, 9.0, None]
    assert clip.segments[0].pause.seconds == 0.0
    assert clip.starts(options_of())[1] == 9.0 and clip.seconds(options_of()) > 9.5


def test_pauses_before_a_time_are_a_part_of_the_wait():
    segments, _ = results_of(planned("One is here. [pause:2s] [at:2s]\nTwo is there. [at:9s] [pause:1s] Three is far."))
    one, two, three = segments
    assert two.start == one.end + 2.0 and three.start == 9.0


@pytest.mark.parametrize("seconds", [0.0, 0.1234, 1 / 3, 11.337])
def test_the_next_piece_begins_at_the_nearest_sample(seconds):
    joiner = Joiner()
    joiner.wait_until(seconds)
    sound, span = joiner.add(np.ones(10, np.float32), 0.5)
    assert span.start == round(seconds * 24_000) == len(sound) - 10
    joiner.wait_until(0.0)
    assert joiner.add(np.ones(10, np.float32), 0.0)[1].start == span.stop + 12_000  # the pause stays


def test_clips_made_again_and_stitched_again_keep_the_times():
    script = "[at:1.5s]\nOne is here.\n[at:4.25s]\nTwo is there."
    options = options_of()
    path = saved(planned(script), options)
    manifest = read_manifest(str(path.with_suffix(".json")))
    assert [part.start_at for part in manifest.parts] == [1.5, 4.25]
    asked = resolve(Options(from_manifest=str(path.with_suffix(".json")), check_segments="off", seed=5))
    assert [segment.start_at for segment in plan_again(manifest, asked).segments] == [1.5, 4.25]
    cut_anew = resolve(Options(from_manifest="x.json", split_character_goal_length=5, seed=5, check_segments="off"))
    assert [segment.start_at for segment in plan_again(manifest, cut_anew).segments] == [1.5, 4.25]
    again = restitch_file(path, lambda codes: Hashing().decode([codes])[0], Path("new/clip.wav"), options)
    assert again.read_bytes()[-1000:] == path.read_bytes()[-1000:]
    assert [s["start"] for s in content(again)["segments"]] == [1.5, 4.25]
    assert content(again)["timing"] == {"timed": 2, "late": 0}


def test_new_times_alone_make_no_segment_again():
    path = saved(planned("[at:1.5s]\nOne is here.\n[at:4.25s]\nTwo is there."), options_of())
    manifest = read_manifest(str(path.with_suffix(".json")))
    moved = parse_script("[at:2s]\nOne is here.\n[at:8s]\nTwo is there.", "plain")
    options = options_of()
    mended = mend(manifest, moved, options, SegmentCutter(options), set())
    assert mended.unchanged == {0: 0, 1: 1} and [s.start_at for s in mended.plan.segments] == [2.0, 8.0]


@pytest.mark.parametrize("value", [-1, "1", True, float("nan"), 1e9])
def test_damaged_times_of_a_manifest_are_refused(value):
    path = saved(planned("[at:1.5s]\nOne is here."), options_of()).with_suffix(".json")
    damaged = json.loads(path.read_text())
    damaged["segments"][0]["start_at"] = value
    path.write_text(json.dumps(damaged))
    with pytest.raises(UsageError, match="no time at which a segment begins"):
        read_manifest(str(path))


def test_an_hour_of_silence_is_refused():
    with pytest.raises(ScriptError, match="line 3, column 1: 4000 s is more than 3600 s after"):
        planned("[at:10s]\nOne is here.\n[at:4000s]\nTwo is there.")
    script = Script((StartAt(-1.0, HERE), Speech("One.", HERE)))
    with pytest.raises(UsageError, match="a time that is not from 0 to 86400"):
        ScriptSource.of_script(script, options_of())


def test_lateness_in_words():
    plan = planned("[at:1s]\nOne is here.\n[at:2s]\nTwo is there.")
    assert lateness_of(planned("One is here."), {0: 1.0}) is None
    punctual = lateness_of(plan, {0: 1.0, 1: 2.0005})
    assert punctual is not None and punctual.describe() == "all of 2 cues begin at their times"
    late = lateness_of(plan, {0: 1.0, 1: 3.25})
    assert late is not None and late.describe().startswith("1 of 2 cues begin late, the worst by 1.25 s (segment 2)")
    assert lateness_of(plan, {}) is None
