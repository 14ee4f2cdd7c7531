"""The scheduler: order of segments, histories, batches, pauses, memory, and segments that fail or stay silent."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tracemalloc
import weakref

import numpy as np
import pytest
from fakes import (
    VOICE,
    Hashing,
    Recorder,
    WholeClip,
    dialogue,
    plan,
    recipe_of,
    sources,
    spoken_by,
    voice_of,
    whole_clips,
)
from rich.console import Console

from bark_infinity.bark import Bark, Segment, Settings
from bark_infinity.cli.console import RunDisplay
from bark_infinity.errors import OutputError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run import clip_state, lineage
from bark_infinity.run.clips import Clip, FailedClip, FinishedSegment
from bark_infinity.run.planning import ClipPlan, plan_clips
from bark_infinity.run.recipe import Recipe
from bark_infinity.run.scheduler import Scheduler
from bark_infinity.seeds import Seeds
from bark_infinity.stages.fine import FineSettings
from bark_infinity.stages.semantic import SemanticSettings
from bark_infinity.voices.voice import Voice

STORY = " ".join(f"This is sentence number {n} of a story about a dog." for n in range(1, 6))


def run(recorder: Recorder, n: int, voice: Voice | None = None, rows: int = 16, **options) -> WholeClip:
    (clip,) = whole_clips(recipe_of(recorder, voice, **options), [plan([f"s{k}" for k in range(n)], **options)], rows)
    return clip


def results_of(recorder: Recorder, *plans: ClipPlan, voice: Voice | None = VOICE, rows: int = 4, **options):
    """The results that a run of these clips yields."""
    return Scheduler(recipe_of(recorder, voice, **options), rows).run(plans)


@pytest.mark.parametrize(
    ("options", "voice", "batches", "histories"),
    [
        ({}, VOICE, [5], [{99}] * 5),
        ({}, None, [1, 4], [set()] + [{0}] * 4),
        ({"stable_mode_interval": 0}, VOICE, [1] * 5, [{99}, {0}, {1}, {2}, {3}]),
        ({"stable_mode_interval": 2}, VOICE, [3, 2], [{99}, {0}, {99}, {2}, {99}]),
        ({"stable_mode_interval": 3}, None, [1, 2, 2], [set(), {0}, {1}, {0}, {3}]),
        ({"separate_prompts": True}, None, [5], [set()] * 5),
        ({"separate_prompts": True}, VOICE, [5], [{99}] * 5),
        ({"semantic_prev_segment_weight": 0.5}, VOICE, [1] * 5, [{99}, {0, 99}, {1, 99}, {2, 99}, {3, 99}]),
    ],
)
def test_histories_and_batches_follow_from_the_interval_and_weights(options, voice, batches, histories):
    recorder = Recorder()
    run(recorder, 5, voice, **options)
    assert [len(batch) for batch in recorder.batches] == batches
    assert sources(recorder, 5) == histories


def test_clip_has_its_segments_in_order_with_pauses():
    clip = run(Recorder(), 4, VOICE, rows=3, add_silence_between_segments=0.5)
    assert len(clip.audio) == 4 * 96_000 + 3 * 12_000
    for number, span in enumerate(clip.spans):
        assert span.start == number * 108_000 and span.stop == span.start + 96_000
        assert (clip.audio[span.start : span.stop] == np.float32(number / 100)).all()
        assert (clip.audio[span.stop : span.stop + 12_000] == 0).all()


def test_pause_after_a_silent_segment_is_kept():
    recorder = Recorder(silent={"s1", "s2"})
    (clip,) = whole_clips(recipe_of(recorder), [plan(["s0", "* * *", "s1", "s2", "", "s3"])])
    assert [span.start for span in clip.spans if span.stop > span.start] == [0, 96_000 + 36_000]


@pytest.mark.parametrize("interval", [0, 1, 2])
def test_silent_segments_are_skipped_as_history(interval):
    recorder = Recorder(silent=frozenset({"s0", "s2"}))
    clip = run(recorder, 5, None, stable_mode_interval=interval)
    histories = {0: [set(), set(), {1}, {1}, {3}], 1: [set(), set(), {1}, {1}, {1}], 2: [set(), set(), {1}, {1}, {1}]}
    assert sources(recorder, 5) == histories[interval]
    assert [span.stop - span.start for span in clip.spans] == [0, 96_000, 0, 96_000, 96_000]
    assert len(clip.audio) == 3 * 96_000 + 2 * 6_000


def test_segments_of_several_clips_share_batches():
    recorder = Recorder()
    plans = [plan([f"s{10 * p + k}" for k in range(n)]) for p, n in enumerate((3, 1, 2, 1))]
    clips = list(whole_clips(recipe_of(recorder, None), plans, rows=4))
    assert recorder.batches[0] == ["s0", "s10", "s20", "s30"]
    assert {len(clip.generations) for clip in clips} == {1, 2, 3} and len(clips) == 4
    assert sum(map(len, recorder.batches)) == 7


def test_plans_are_consumed_only_when_there_is_room():
    consumed = []

    def plans():
        for n in range(100):
            consumed.append(n)
            yield plan([f"s{n}"])

    recorder = Recorder()
    clips = whole_clips(recipe_of(recorder, None), plans(), rows=4)
    next(clips)
    assert len(consumed) <= 8


def test_unreadable_clip_does_not_stop_the_others():
    recorder = Recorder()
    plans = [plan(["s1"]), plan(["unreadable 2"]), plan(["s3"])]
    results = list(whole_clips(recipe_of(recorder, None), plans))
    assert [type(result) for result in results].count(FailedClip) == 1
    assert sorted(r.plan.text for r in results if isinstance(r, WholeClip)) == ["s1", "s3"]


def test_voice_of_a_clip_is_its_beginning():
    clip = run(Recorder(), 4, VOICE)  # 4 s each
    assert set(clip.voice.semantic) == {0, 1} and clip.voice.fine.shape == (8, 600)


def test_silent_clip_fails():
    recorder = Recorder(silent=frozenset({"s0", "s1"}))
    (failed,) = whole_clips(recipe_of(recorder, None), [plan(["s0", "s1"])])
    assert isinstance(failed, FailedClip) and "--semantic_min_eos_p" in str(failed.error)


# ---- on a real (tiny) model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"stable_mode_interval": 2}, {}])  # 0: one segment at a time
def test_number_of_rows_does_not_change_the_result(bark: Bark, options):
    how = {"split_each_text_prompt_by": "sentence", "semantic_max_gen_duration_s": 0.5}  # longer than a coarse window
    options = resolve(Options(single_starting_seed=4, **how, **options))
    clips = []
    for rows in (1, 3):
        (clip,) = whole_clips(Recipe.from_options(options, bark), plan_clips([STORY], options, 0)[0], rows)
        clips.append(clip)
    assert len(clips[0].generations) > 3
    for one, other in zip(clips[0].generations, clips[1].generations, strict=True):
        np.testing.assert_array_equal(one.voice.fine, other.voice.fine)
    np.testing.assert_allclose(clips[0].audio, clips[1].audio, atol=1e-6)


def test_prefix_counts_towards_the_token_limit_of_a_segment():
    options = resolve(
        Options(prompt_text_prefix="a " * 200, split_character_goal_length=400, split_character_max_length=400)
    )
    (clip,), _ = plan_clips(["b " * 190], options, 0, count_ids=lambda text: len(text.split()))
    assert len(clip.segments) > 1 and max(len(segment.text.split()) for segment in clip.segments) <= 256


def test_scene_break_lines_are_not_segments():
    (clip,), _ = plan_clips(["One.\n* * *\nTwo."], resolve(Options(split_each_text_prompt_by="line")), 0)
    assert [segment.text for segment in clip.segments] == ["One.", "Two."]
    assert [segment.pause.kind for segment in clip.segments] == ["scene", "paragraph"]


class LowMemory(Recorder):
    """Has memory for two segments at once, for none in `too_long`, and for those in `once` only at the second attempt."""

    def __init__(self, too_long: frozenset[str] = frozenset(), once: frozenset[str] = frozenset()):
        super().__init__()
        self.too_long, self.once = too_long, set(once)
        self.tried: list[tuple[int, int]] = []

    def stream(self, segments, settings, progress, rows):
        self.tried.append((len(segments), rows))
        if min(rows, len(segments)) > 2 or self.too_long & {segment.text for segment in segments}:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        for place, generation in super().stream(segments, settings, progress, rows):
            if segments[place].text in self.once:
                self.once.remove(segments[place].text)
                self.spoken.pop()
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            yield place, generation


def test_number_of_rows_is_reduced_when_memory_runs_out():
    recorder = LowMemory()
    assert len(run(recorder, 5, VOICE).generations) == 5
    assert recorder.tried == [(5, 16), (4, 2), (1, 2)]


def test_segments_finished_before_memory_ran_out_are_kept():
    recorder = LowMemory(once=frozenset({"s2"}))
    clip = run(recorder, 5, VOICE, rows=2)
    assert recorder.batches == [["s0", "s1", "s2", "s3"], ["s2"], ["s3"], ["s4"]]
    assert recorder.spoken == ["s0", "s1", "s2", "s3", "s4"] and len(clip.audio) == 5 * 96_000 + 4 * 6_000


def test_segment_that_does_not_fit_in_memory_fails_only_its_clip():
    recorder = LowMemory(too_long=frozenset({"s2"}))
    plans = [plan(["s1"]), plan(["s2"]), plan(["s3"])]
    results = list(whole_clips(recipe_of(recorder, None), plans))
    assert [type(r) for r in results].count(FailedClip) == 1
    assert sorted(r.plan.text for r in results if isinstance(r, WholeClip)) == ["s1", "s3"]


def test_other_runtime_errors_are_not_treated_as_out_of_memory():
    class Broken(Recorder):
        def stream(self, *_):
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run(Broken(), 2)


# ---- streaming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "batches"), [(1, [1] * 9), (2, [4, 4, 1]), (4, [8, 1])])
def test_batches_hold_twice_as_many_segments_as_rows(rows, batches):
    """So that a free row finds a segment waiting; with a single row, batches have one segment."""
    recorder = Recorder()
    run(recorder, 9, VOICE, rows=rows)
    assert [len(batch) for batch in recorder.batches] == batches and set(recorder.rows) == {rows}


@pytest.mark.parametrize(
    ("voice", "n", "batches"),
    [(VOICE, 31, [8, 8, 8, 7]), (VOICE, 32, [4, 8, 8, 8, 4]), (None, 33, [1, 4, 8, 8, 8, 4])],
)
def test_first_batch_of_a_long_run_is_small(voice, n, batches):
    recorder = Recorder()
    run(recorder, n, voice, rows=4)
    assert [len(batch) for batch in recorder.batches] == batches


def test_segment_is_yielded_before_the_next_is_generated():
    recorder = Recorder()
    for number, placed in enumerate(results_of(recorder, plan([f"s{k}" for k in range(6)]))):
        assert len(recorder.spoken) == min(6, number + 1)
        assert isinstance(placed, FinishedSegment if number < 6 else Clip)


@pytest.mark.parametrize("interval", [0, 1, 3])
def test_segments_finished_out_of_order_are_yielded_in_order(interval):
    texts = [f"s{k}" for k in range(20)]
    forward, backward = Recorder(), Recorder(backwards=True)
    results = [list(results_of(r, plan(texts), stable_mode_interval=interval)) for r in (forward, backward)]
    assert interval == 0 or backward.spoken != texts
    for *placed, record in results:
        assert [segment.index for segment in placed] == list(range(20))
        whole = np.concatenate([segment.sound for segment in placed])
        assert record.audio_sha256 == hashlib.sha256(whole.astype("<f4").tobytes()).hexdigest()
        assert [segment.record for segment in placed] == record.segments and record.seconds == len(whole) / 24_000
    assert results[0][-1].audio_sha256 == results[1][-1].audio_sha256


def test_record_has_the_history_sizes_tokens_and_time_of_a_segment():
    recorder = Recorder()
    *_, record = results_of(recorder, plan(["s1", "s2"]))
    for segment in record.segments:
        assert segment.history_sizes == (256, 315, 450) and (segment.semantic_tokens, segment.frames) == (200, 300)
    assert record.seconds_taken == 0.2 and record.starting_voice is VOICE


def test_closing_the_results_stops_the_engine():
    class Closing(Recorder):
        closed = False

        def stream(self, *more):
            try:
                yield from super().stream(*more)
            finally:
                self.closed = True

    recorder = Closing()
    results = results_of(recorder, plan(["s0"]), plan(["s1", "s2"]))
    next(results)
    assert not recorder.closed
    results.close()
    assert recorder.closed and recorder.spoken == ["s0"]


class FailingWriter:
    """A writer without space from the second segment of the clips in `failing_texts`."""

    def __init__(self, plan: ClipPlan, failing_texts: set[str]):
        self.plan, self.failing_texts = plan, failing_texts

    def add(self, segment: FinishedSegment) -> None:
        if segment.index and self.plan.text in self.failing_texts:
            raise OutputError("no space left")

    def finish(self, clip: Clip) -> Clip:
        return clip

    def discard(self) -> None:
        pass


def run_with_failing_writer(
    recorder: Recorder, plans: list[ClipPlan], failing_texts: set[str], rows: int = 4, **options
):
    recipe = recipe_of(recorder, **options)
    return Scheduler(recipe, rows, open_writer=lambda plan: FailingWriter(plan, failing_texts)).run(plans)


@pytest.mark.parametrize("backwards", [False, True])
def test_clip_that_cannot_be_written_is_not_generated_further(backwards):
    recorder = Recorder(backwards=backwards)
    plans = [plan([f"s{10 * p + k}" for k in range(9)]) for p in range(1, 4)]
    results = list(run_with_failing_writer(recorder, plans, {plans[1].text}, rows=2))
    assert [result.plan for result in results if isinstance(result, Clip)] == [plans[0], plans[2]]
    of_failed = [result for result in results if result.plan is plans[1]]
    assert [type(result) for result in of_failed] == [FinishedSegment, FailedClip] and of_failed[0].index == 0
    assert len(recorder.spoken) <= 9 + 6 + 9 and set(recorder.spoken) >= {f"s{k}" for k in range(30, 39)}


def test_batch_is_stopped_when_its_clip_has_failed():
    recorder = ReferenceCounting()
    texts = [f"s{k}" for k in range(30)]
    clip = plan(texts)
    list(run_with_failing_writer(recorder, [clip], {clip.text}))
    assert recorder.spoken == ["s0", "s1"]


def test_segments_of_a_failed_clip_are_released():
    recorder = ReferenceCounting(backwards=True)
    plans = [plan([f"s{k}" for k in range(30)]), plan([f"s{k}" for k in range(30, 40)])]
    for result in run_with_failing_writer(recorder, plans, {plans[0].text}, stable_mode_interval=3):
        if isinstance(result, Clip):
            assert sum(sound() is not None for sound in recorder.sounds) <= 2


def test_progress_counts_decoded_segments():
    seen = []
    list(Scheduler(recipe_of(Recorder()), 2, progress=seen.append).run([plan([f"s{k}" for k in range(6)])]))
    assert [(p.segments_done, p.rows, p.rows_done) for p in seen if p.stage == "semantic"] == [(0, 4, 0), (4, 2, 0)]
    assert [(p.segments_done, p.rows_done) for p in seen if p.stage == "fine"] == [
        (0, 0), (1, 1), (2, 2), (3, 3), (4, 0), (5, 1)
    ]  # fmt: skip
    display = RunDisplay(Console(file=io.StringIO(), force_terminal=True), 6)
    shown = []
    for progress in seen:
        display.update(progress)
        shown.append(display._bar.tasks[0].completed)
    assert shown == sorted(shown) and shown[0] > 0 and shown[-1] == 6


# ---- memory ---------------------------------------------------------------------------------------------------------


class ReferenceCounting(Recorder):
    """Counts how many of its results are still referenced, and holds none itself."""

    def __init__(self, **how):
        super().__init__(**how)
        self.sounds: list[weakref.ref] = []
        self.tokens: list[weakref.ref] = []
        self.most = [0, 0]

    def stream(self, *more):
        for place, generation in super().stream(*more):
            self.histories.clear()
            self.sounds.append(weakref.ref(generation.audio))
            self.tokens.append(weakref.ref(generation.voice.fine))
            alive = [sum(ref() is not None for ref in refs) for refs in (self.sounds, self.tokens)]
            self.most = [max(both) for both in zip(self.most, alive, strict=True)]
            yield place, generation


def last(recipe: Recipe, n: int) -> Clip:
    """The finished clip of n segments, keeping no reference to the segments."""
    for result in Scheduler(recipe, 4).run([plan([f"s{k}" for k in range(n)])]):
        if isinstance(result, Clip):
            return result
    raise AssertionError


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("interval", "voice", "waiting"), [(0, None, 0), (1, None, 8), (1, VOICE, 8), (3, VOICE, 24)])
def test_only_waiting_segments_are_in_memory(interval, voice, waiting, backwards):
    """`waiting`: the size of a batch times the number of segments that depend on each of its segments."""
    recorder = ReferenceCounting(backwards=backwards)
    clip = last(recipe_of(recorder, voice, stable_mode_interval=interval), 300)
    assert len(clip.segments) == len(recorder.sounds) == 300
    sounds, tokens = recorder.most
    assert (
        sounds <= waiting + 3 and tokens <= waiting + 8 + 6
    )  # the clip's voice (two segments), the starting voice, the previous one


def test_custom_function_holds_tokens_and_no_audio_in_memory():
    recorder = ReferenceCounting()
    last(dataclasses.replace(recipe_of(recorder), function=lambda context: None), 40)
    assert recorder.most[0] <= 3 and recorder.most[1] == 40


def test_memory_per_segment_is_a_few_kilobytes():
    def peak(n: int) -> int:
        recipe = recipe_of(ReferenceCounting())
        tracemalloc.start()
        last(recipe, n)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert (peak(250) - peak(50)) / 200 < 4_000  # bytes; audio and tokens would be 400 000


def test_no_new_chains_are_started_while_many_segments_wait(monkeypatch):
    """With a long interval, the dependent segments of a whole batch would otherwise all wait in memory."""
    monkeypatch.setattr(clip_state, "_MOST_WAITING", 20)
    recorder = ReferenceCounting()
    clip = last(recipe_of(recorder, stable_mode_interval=40), 320)
    assert len(clip.segments) == 320 and 20 <= recorder.most[0] <= 20 + 8 + 3


@pytest.mark.parametrize("voice", [None, VOICE])
@pytest.mark.parametrize("interval", [0, 1, 3])
def test_work_per_segment_does_not_grow_with_the_text(monkeypatch, interval, voice):
    """Counts how often the scheduler checks whether a segment's history is known."""
    checked = []
    known = lineage.Lineage.is_known
    monkeypatch.setattr(lineage.Lineage, "is_known", lambda self, k: checked.append(k) or known(self, k))
    for speakers in ("-", "AB", "--ABC"):
        counts = []
        for n in (40, 160):
            checked.clear()
            clip = spoken_by((speakers * n)[:n], plan([f"s{k}" for k in range(n)]))
            for _ in results_of(Recorder(), clip, voice=voice, stable_mode_interval=interval):
                pass
            counts.append(len(checked) / n)
        assert counts[1] <= 4 and counts[1] <= counts[0] + 0.3


# ---- several speakers -----------------------------------------------------------------------------------------------

ANNA, BOB = voice_of(71), voice_of(72)


def run_dialogue(
    recorder: Recorder, speakers: str, voice: Voice | None = VOICE, rows: int = 16, **options
) -> WholeClip:
    voices = {"A": ANNA, "B": BOB}
    (clip,) = whole_clips(recipe_of(recorder, voice, voices, **options), [dialogue(speakers, **options)], rows)
    assert isinstance(clip, WholeClip)
    return clip


@pytest.mark.parametrize(
    ("options", "batches", "histories"),
    [
        ({}, [7], [{71}, {72}, {71}, {99}, {71}, {72}, {99}]),
        ({"stable_mode_interval": 1}, [7], [{71}, {72}, {71}, {99}, {71}, {72}, {99}]),
        ({"stable_mode_interval": 0}, [3, 3, 1], [{71}, {72}, {0}, {99}, {2}, {1}, {3}]),
        ({"stable_mode_interval": 2}, [4, 3], [{71}, {72}, {0}, {99}, {71}, {1}, {3}]),
        ({"stable_mode_interval": 3}, [3, 3, 1], [{71}, {72}, {0}, {99}, {2}, {1}, {3}]),
        ({"separate_prompts": True}, [7], [{71}, {72}, {71}, {99}, {71}, {72}, {99}]),
        (
            {"semantic_prev_segment_weight": 0.5},
            [3, 3, 1],
            [{71}, {72}, {0, 71}, {99}, {2, 71}, {1, 72}, {3, 99}],
        ),
    ],
)
def test_histories_come_from_the_segments_own_speaker(options, batches, histories):
    recorder = Recorder()
    run_dialogue(recorder, "ABA-AB-", **options)
    assert sources(recorder, 7) == histories
    assert [len(batch) for batch in recorder.batches] == batches


@pytest.mark.parametrize(
    ("interval", "batches", "histories"),
    [
        (1, [4, 3], [set(), set(), {71}, {0}, {1}, {0}, {71}]),
        (0, [3, 3, 1], [set(), set(), {71}, {0}, {1}, {3}, {2}]),
        (2, [3, 4], [set(), set(), {71}, {0}, {1}, {0}, {2}]),
    ],
)
def test_first_segment_of_a_speaker_without_a_voice_becomes_his_own(interval, batches, histories):
    recorder = Recorder()
    run_dialogue(recorder, "C-AC-CA", None, stable_mode_interval=interval)
    assert sources(recorder, 7) == histories
    assert [len(batch) for batch in recorder.batches] == batches


@pytest.mark.parametrize("interval", [0, 1, 2])
def test_silent_first_segments_of_a_speaker_are_no_voice(interval):
    """C's first two segments are silent, so that his third becomes his starting voice; A has a voice and a silent segment."""
    recorder = Recorder(silent=frozenset({"s0", "s1", "s3"}))
    run_dialogue(recorder, "CACCACAC", None, stable_mode_interval=interval)  # C: 0 2 3 5 7, A: 1 4 6
    own = {
        0: [set(), {71}, set(), {2}, {71}, {2}, {4}, {5}],
        1: [set(), {71}, set(), {2}, {71}, {2}, {71}, {2}],
        2: [set(), {71}, set(), {2}, {71}, {2}, {71}, {2}],
    }
    assert sources(recorder, 8) == own[interval]


@pytest.mark.parametrize("backwards", [False, True])
def test_starting_voice_of_a_speaker_does_not_depend_on_the_order_of_generation(backwards):
    recorder = Recorder(silent=frozenset({"s1"}), backwards=backwards)
    clip = run_dialogue(recorder, "CDCDDC", None, rows=2)
    assert sources(recorder, 6) == [set(), set(), {0}, set(), {3}, {0}]
    assert [len(generation.audio) for generation in clip.generations] == [96_000, 0, *[96_000] * 4]


@pytest.mark.parametrize(
    "options", [{}, {"stable_mode_interval": 0}, {"stable_mode_interval": 2}, {"separate_prompts": True}]
)
@pytest.mark.parametrize("voice", [None, VOICE])
def test_clip_of_one_speaker_is_that_of_the_narrator(options, voice):
    texts = ["One.", "Two.", "Three.", "Four.", "Five."]
    clip = plan(texts)
    voices = {} if voice is None else {"Anna": voice}
    (narrated,) = whole_clips(recipe_of(Hashing(), voice, **options), [clip])
    (spoken,) = whole_clips(recipe_of(Hashing(), None, voices, **options), [spoken_by(["Anna"] * 5, clip)])
    assert isinstance(narrated, WholeClip) and isinstance(spoken, WholeClip)
    assert spoken.clip.audio_sha256 == narrated.clip.audio_sha256


def test_clip_has_the_voice_of_the_speaker_who_is_heard_first():
    clip = run_dialogue(Recorder(silent=frozenset({"s0"})), "ABAABB")  # 4 s each
    assert clip.voice is not None and set(clip.voice.semantic) == {1, 4} and clip.voice.fine.shape == (8, 600)
    clip = run_dialogue(Recorder(), "A----")
    assert clip.voice is not None and set(clip.voice.semantic) == {0}


@pytest.mark.parametrize("interval", [0, 1, 3])
def test_only_waiting_segments_of_all_speakers_are_in_memory(interval):
    recorder = ReferenceCounting()
    clip = dialogue(("AB-C" * 75), stable_mode_interval=interval)
    results = Scheduler(recipe_of(recorder, None, {"A": ANNA}, stable_mode_interval=interval), 4).run([clip])
    assert sum(1 for _ in results) == 301
    sounds, tokens = recorder.most
    # as for one speaker, with a starting voice and a previous segment of each
    assert sounds <= 24 + 3 and tokens <= 24 + 8 + 6 + 2 * 3


# ---- settings of a segment's own ------------------------------------------------------------------------------------


def test_segments_with_own_settings_equal_separate_runs(bark: Bark):
    warm = Settings(SemanticSettings(max_gen_duration_s=0.2))
    greedy = Settings(SemanticSettings(temperature=0.0, max_gen_duration_s=0.2), fine=FineSettings(0.0))
    segments = [
        Segment(f"Number {k}.", seeds=Seeds(k), settings=own) for k, own in enumerate((None, greedy, None, greedy))
    ]
    together = bark.generate(segments, warm)
    for k, segment in enumerate(segments):
        (alone,) = bark.generate([dataclasses.replace(segment, settings=None)], segment.settings or warm)
        np.testing.assert_array_equal(together[k].voice.fine, alone.voice.fine)


def test_batch_size_fits_the_settings_of_every_segment():
    class Small(Recorder):
        def rows_at_once(self, settings: Settings) -> int:
            return 16 if settings.negative_text is None else 3

    clip = plan([f"s{k}" for k in range(4)])
    segments = (*clip.segments[:3], dataclasses.replace(clip.segments[3], settings=Settings(negative_text="Go away.")))
    for plans, rows in (([clip], 16), ([clip, dataclasses.replace(clip, segments=segments)], 3)):
        recorder = Small()
        list(Scheduler(recipe_of(recorder)).run(plans))
        assert set(recorder.rows) == {rows}
