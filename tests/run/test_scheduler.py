"""Clips of several segments: order, history, passes, silence, memory, and what becomes of segments that fail or stay silent."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tracemalloc
import weakref

import numpy as np
import pytest
from fakes import VOICE, Recorder, WholeClip, plan, recipe_of, sources, whole_clips
from rich.console import Console

from bark_infinity.bark import Bark, Segment, Settings
from bark_infinity.cli.console import RunDisplay
from bark_infinity.errors import OutputError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run import clip_state
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
    """What a run of these clips hands on."""
    return Scheduler(recipe_of(recorder, voice, **options), rows).run(plans)


@pytest.mark.parametrize(
    ("options", "voice", "batches", "heard"),
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
def test_who_hears_whom_and_what_runs_together(options, voice, batches, heard):
    recorder = Recorder()
    run(recorder, 5, voice, **options)
    assert [len(batch) for batch in recorder.batches] == batches
    assert sources(recorder, 5) == heard


def test_a_clip_has_its_segments_in_order_with_silence_between():
    clip = run(Recorder(), 4, VOICE, rows=3, add_silence_between_segments=0.5)
    assert len(clip.audio) == 4 * 96_000 + 3 * 12_000
    for number, span in enumerate(clip.spans):
        assert span.start == number * 108_000 and span.stop == span.start + 96_000
        assert (clip.audio[span.start : span.stop] == np.float32(number / 100)).all()
        assert (clip.audio[span.stop : span.stop + 12_000] == 0).all()


def test_the_pause_of_a_segment_without_sound_is_not_lost():
    recorder = Recorder(silent={"s1", "s2"})
    (clip,) = whole_clips(recipe_of(recorder), [plan(["s0", "* * *", "s1", "s2", "", "s3"])])
    assert [span.start for span in clip.spans if span.stop > span.start] == [0, 96_000 + 36_000]


@pytest.mark.parametrize("interval", [0, 1, 2])
def test_silent_segments_leave_no_hole_in_the_history(interval):
    recorder = Recorder(silent=frozenset({"s0", "s2"}))
    clip = run(recorder, 5, None, stable_mode_interval=interval)
    heard = {0: [set(), set(), {1}, {1}, {3}], 1: [set(), set(), {1}, {1}, {1}], 2: [set(), set(), {1}, {1}, {1}]}
    assert sources(recorder, 5) == heard[interval]
    assert [span.stop - span.start for span in clip.spans] == [0, 96_000, 0, 96_000, 96_000]
    assert len(clip.audio) == 3 * 96_000 + 2 * 6_000


def test_segments_of_several_clips_share_batches():
    recorder = Recorder()
    plans = [plan([f"s{10 * p + k}" for k in range(n)]) for p, n in enumerate((3, 1, 2, 1))]
    clips = list(whole_clips(recipe_of(recorder, None), plans, rows=4))
    assert recorder.batches[0] == ["s0", "s10", "s20", "s30"]
    assert {len(clip.generations) for clip in clips} == {1, 2, 3} and len(clips) == 4
    assert sum(map(len, recorder.batches)) == 7


def test_plans_are_taken_only_when_there_is_room():
    taken = []

    def plans():
        for n in range(100):
            taken.append(n)
            yield plan([f"s{n}"])

    recorder = Recorder()
    clips = whole_clips(recipe_of(recorder, None), plans(), rows=4)
    next(clips)
    assert len(taken) <= 8


def test_an_unreadable_clip_does_not_stop_the_others():
    recorder = Recorder()
    plans = [plan(["s1"]), plan(["unreadable 2"]), plan(["s3"])]
    results = list(whole_clips(recipe_of(recorder, None), plans))
    assert [type(result) for result in results].count(FailedClip) == 1
    assert sorted(r.plan.text for r in results if isinstance(r, WholeClip)) == ["s1", "s3"]


def test_the_voice_of_a_clip_is_its_beginning():
    clip = run(Recorder(), 4, VOICE)  # 4 s each
    assert set(clip.voice.semantic) == {0, 1} and clip.voice.fine.shape == (8, 600)


def test_a_clip_without_any_sound_has_failed():
    recorder = Recorder(silent=frozenset({"s0", "s1"}))
    (failed,) = whole_clips(recipe_of(recorder, None), [plan(["s0", "s1"])])
    assert isinstance(failed, FailedClip) and "--semantic_min_eos_p" in str(failed.error)


# ---- on a real (tiny) model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"stable_mode_interval": 0}, {"stable_mode_interval": 2}, {}])
def test_rows_at_once_change_nothing(bark: Bark, options):
    how = {"split_each_text_prompt_by": "sentence", "semantic_max_gen_duration_s": 0.5}  # longer than a coarse window
    options = resolve(Options(single_starting_seed=4, **how, **options))
    made = []
    for rows in (1, 3):
        (clip,) = whole_clips(Recipe.from_options(options, bark), plan_clips([STORY], options, 0)[0], rows)
        made.append(clip)
    assert len(made[0].generations) > 3
    for one, other in zip(made[0].generations, made[1].generations, strict=True):
        np.testing.assert_array_equal(one.voice.fine, other.voice.fine)
    np.testing.assert_allclose(made[0].audio, made[1].audio, atol=1e-6)


def test_prefix_and_suffix_count_towards_the_ids_a_segment_may_have():
    options = resolve(
        Options(prompt_text_prefix="a " * 200, split_character_goal_length=400, split_character_max_length=400)
    )
    (clip,), _ = plan_clips(["b " * 190], options, 0, count_ids=lambda text: len(text.split()))
    assert len(clip.segments) > 1 and max(len(segment.text.split()) for segment in clip.segments) <= 256


def test_lines_without_words_are_no_segments():
    (clip,), _ = plan_clips(["One.\n* * *\nTwo."], resolve(Options(split_each_text_prompt_by="line")), 0)
    assert [segment.text for segment in clip.segments] == ["One.", "Two."]
    assert [segment.pause.kind for segment in clip.segments] == ["scene", "paragraph"]


class Cramped(Recorder):
    """Has memory for two segments side by side, for none of `too_long`, and for that in `once` only at the second try."""

    def __init__(self, too_long: frozenset[str] = frozenset(), once: frozenset[str] = frozenset()):
        super().__init__()
        self.too_long, self.once = too_long, set(once)
        self.tried: list[tuple[int, int]] = []

    def stream(self, segments, settings, progress, rows):
        self.tried.append((len(segments), rows))
        if min(rows, len(segments)) > 2 or self.too_long & {segment.text for segment in segments}:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        for place, made in super().stream(segments, settings, progress, rows):
            if segments[place].text in self.once:
                self.once.remove(segments[place].text)
                self.spoken.pop()
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            yield place, made


def test_rows_shrink_when_memory_runs_out():
    recorder = Cramped()
    assert len(run(recorder, 5, VOICE).generations) == 5
    assert recorder.tried == [(5, 16), (4, 2), (1, 2)]


def test_what_is_made_before_memory_runs_out_is_not_made_again():
    recorder = Cramped(once=frozenset({"s2"}))
    clip = run(recorder, 5, VOICE, rows=2)
    assert recorder.batches == [["s0", "s1", "s2", "s3"], ["s2"], ["s3"], ["s4"]]
    assert recorder.spoken == ["s0", "s1", "s2", "s3", "s4"] and len(clip.audio) == 5 * 96_000 + 4 * 6_000


def test_a_segment_without_memory_fails_its_clip_alone():
    recorder = Cramped(too_long=frozenset({"s2"}))
    plans = [plan(["s1"]), plan(["s2"]), plan(["s3"])]
    results = list(whole_clips(recipe_of(recorder, None), plans))
    assert [type(r) for r in results].count(FailedClip) == 1
    assert sorted(r.plan.text for r in results if isinstance(r, WholeClip)) == ["s1", "s3"]


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    class Broken(Recorder):
        def stream(self, *_):
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run(Broken(), 2)


# ---- as they come ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "batches"), [(1, [1] * 9), (2, [4, 4, 1]), (4, [8, 1])])
def test_places_that_get_free_find_segments_waiting(rows, batches):
    """Twice as many are given as stand side by side; where one stands alone it goes out alone."""
    recorder = Recorder()
    run(recorder, 9, VOICE, rows=rows)
    assert [len(batch) for batch in recorder.batches] == batches and set(recorder.rows) == {rows}


@pytest.mark.parametrize(
    ("voice", "n", "batches"),
    [(VOICE, 31, [8, 8, 8, 7]), (VOICE, 32, [4, 8, 8, 8, 4]), (None, 33, [1, 4, 8, 8, 8, 4])],
)
def test_the_first_pass_of_a_long_run_is_short(voice, n, batches):
    recorder = Recorder()
    run(recorder, n, voice, rows=4)
    assert [len(batch) for batch in recorder.batches] == batches


def test_a_segment_is_handed_on_before_the_next_is_made():
    recorder = Recorder()
    for number, placed in enumerate(results_of(recorder, plan([f"s{k}" for k in range(6)]))):
        assert len(recorder.spoken) == min(6, number + 1)
        assert isinstance(placed, FinishedSegment if number < 6 else Clip)


@pytest.mark.parametrize("interval", [0, 1, 3])
def test_segments_that_come_early_wait_for_their_turn(interval):
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


def test_a_record_tells_what_a_segment_heard_and_took():
    recorder = Recorder()
    *_, record = results_of(recorder, plan(["s1", "s2"]))
    for segment in record.segments:
        assert segment.history_sizes == (256, 315, 450) and (segment.semantic_tokens, segment.frames) == (200, 300)
    assert record.seconds_taken == 0.2 and record.starting_voice is VOICE


def test_leaving_ends_the_model_s_work():
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


class Failing:
    """A writer that has no space from the second segment of some clips on."""

    def __init__(self, plan: ClipPlan, lost: set[str]):
        self.plan, self.lost = plan, lost

    def add(self, segment: FinishedSegment) -> None:
        if segment.index and self.plan.text in self.lost:
            raise OutputError("no space left")

    def finish(self, clip: Clip) -> Clip:
        return clip

    def discard(self) -> None:
        pass


def failing(recorder: Recorder, plans: list[ClipPlan], lost: set[str], rows: int = 4, **options):
    recipe = recipe_of(recorder, **options)
    return Scheduler(recipe, rows, open_writer=lambda plan: Failing(plan, lost)).run(plans)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_clip_that_cannot_be_written_is_neither_made_nor_handed_on(backwards):
    recorder = Recorder(backwards=backwards)
    plans = [plan([f"s{10 * p + k}" for k in range(9)]) for p in range(1, 4)]
    results = list(failing(recorder, plans, {plans[1].text}, rows=2))
    assert [result.plan for result in results if isinstance(result, Clip)] == [plans[0], plans[2]]
    of_lost = [result for result in results if result.plan is plans[1]]
    assert [type(result) for result in of_lost] == [FinishedSegment, FailedClip] and of_lost[0].index == 0
    assert len(recorder.spoken) <= 9 + 6 + 9 and set(recorder.spoken) >= {f"s{k}" for k in range(30, 39)}


def test_a_pass_ends_when_nobody_waits_for_its_segments():
    recorder = Counted()
    texts = [f"s{k}" for k in range(30)]
    clip = plan(texts)
    list(failing(recorder, [clip], {clip.text}))
    assert recorder.spoken == ["s0", "s1"]


def test_of_what_is_lost_nothing_waits():
    recorder = Counted(backwards=True)
    plans = [plan([f"s{k}" for k in range(30)]), plan([f"s{k}" for k in range(30, 40)])]
    for result in failing(recorder, plans, {plans[0].text}, stable_mode_interval=3):
        if isinstance(result, Clip):
            assert sum(sound() is not None for sound in recorder.sounds) <= 2


def test_progress_counts_what_has_its_sound():
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


class Counted(Recorder):
    """Knows how much of what it has said is still held, and keeps none of it itself."""

    def __init__(self, **how):
        super().__init__(**how)
        self.sounds: list[weakref.ref] = []
        self.tokens: list[weakref.ref] = []
        self.most = [0, 0]

    def stream(self, *more):
        for place, made in super().stream(*more):
            self.histories.clear()
            self.sounds.append(weakref.ref(made.audio))
            self.tokens.append(weakref.ref(made.voice.fine))
            alive = [sum(ref() is not None for ref in refs) for refs in (self.sounds, self.tokens)]
            self.most = [max(both) for both in zip(self.most, alive, strict=True)]
            yield place, made


def last(recipe: Recipe, n: int) -> Clip:
    """The finished clip of so many segments; nothing of them is kept."""
    for result in Scheduler(recipe, 4).run([plan([f"s{k}" for k in range(n)])]):
        if isinstance(result, Clip):
            return result
    raise AssertionError


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("interval", "voice", "waiting"), [(0, None, 0), (1, None, 8), (1, VOICE, 8), (3, VOICE, 24)])
def test_of_a_long_text_only_what_waits_is_in_memory(interval, voice, waiting, backwards):
    """`waiting`: the sound of as many segments as go to the model at once, times those that go on from each of them."""
    recorder = Counted(backwards=backwards)
    clip = last(recipe_of(recorder, voice, stable_mode_interval=interval), 300)
    assert len(clip.segments) == len(recorder.sounds) == 300
    sounds, tokens = recorder.most
    assert sounds <= waiting + 3 and tokens <= waiting + 8 + 6  # a voice of two segments, the starting one, one before


def test_a_function_that_hears_all_is_given_tokens_and_no_sound():
    recorder = Counted()
    last(dataclasses.replace(recipe_of(recorder), function=lambda context: None), 40)
    assert recorder.most[0] <= 3 and recorder.most[1] == 40


def test_a_segment_more_is_a_few_words_more():
    def peak(n: int) -> int:
        recipe = recipe_of(Counted())
        tracemalloc.start()
        last(recipe, n)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert (peak(250) - peak(50)) / 200 < 4_000  # bytes; its sound and its tokens are 400 000


def test_where_much_waits_already_only_that_for_which_it_waits_is_made(monkeypatch):
    """Long intervals: the segments that go on from each other in twice as many places as rows would all wait."""
    monkeypatch.setattr(clip_state, "_MOST_WAITING", 20)
    recorder = Counted()
    clip = last(recipe_of(recorder, stable_mode_interval=40), 320)
    assert len(clip.segments) == 320 and 20 <= recorder.most[0] <= 20 + 8 + 3


@pytest.mark.parametrize("voice", [None, VOICE])
@pytest.mark.parametrize("interval", [0, 1, 3])
def test_the_work_for_a_segment_does_not_grow_with_the_text(monkeypatch, interval, voice):
    """Whether a segment's history is known is looked up some times for each, however many there are."""
    asked = []
    known = clip_state.ClipState._history_known
    monkeypatch.setattr(clip_state.ClipState, "_history_known", lambda self, k: asked.append(k) or known(self, k))
    counts = []
    for n in (50, 400):
        asked.clear()
        last(recipe_of(Recorder(), voice, stable_mode_interval=interval), n)
        counts.append(len(asked) / n)
    assert counts[1] <= 4 and counts[1] <= counts[0] + 0.2


# ---- settings of a segment's own ------------------------------------------------------------------------------------


def test_segments_with_settings_of_their_own_are_made_as_if_alone(bark: Bark):
    warm = Settings(SemanticSettings(max_gen_duration_s=0.2))
    greedy = Settings(SemanticSettings(temperature=0.0, max_gen_duration_s=0.2), fine=FineSettings(0.0))
    segments = [
        Segment(f"Number {k}.", seeds=Seeds(k), settings=own) for k, own in enumerate((None, greedy, None, greedy))
    ]
    together = bark.generate(segments, warm)
    for k, segment in enumerate(segments):
        (alone,) = bark.generate([dataclasses.replace(segment, settings=None)], segment.settings or warm)
        np.testing.assert_array_equal(together[k].voice.fine, alone.voice.fine)
