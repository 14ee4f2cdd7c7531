"""Clips of several segments: order, history, batches, silence, and what becomes of segments that fail or stay silent."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bark_infinity.bark import Bark, Generation
from bark_infinity.long_form import Clip, FailedClip, LongForm
from bark_infinity.options import Options
from bark_infinity.planning import ClipPlan, plan_clips
from bark_infinity.spec import BarkSpec
from bark_infinity.voice import Voice

STORY = " ".join(f"This is sentence number {n} of a story about a dog." for n in range(1, 9))


class Recorder:
    """Stands in for Bark: says every segment in tokens that tell which it was, and remembers what it was given."""

    spec = BarkSpec()

    def __init__(self, silent: frozenset[str] = frozenset()):
        self.batches: list[list[str]] = []
        self.heard = {}
        self.silent = silent
        self.tokenizer = self

    def encode(self, text: str) -> list[int]:
        return [1] if "unreadable" not in text else []

    def check_history(self, history) -> None:
        """Whatever it is, it can be heard."""

    def rows_at_once(self, settings) -> int:
        return 16

    def generate(self, segments, settings, progress) -> list[Generation]:
        self.batches.append([segment.text for segment in segments])
        self.heard |= {segment.text: segment.history for segment in segments}
        progress("semantic", 1, 2)
        return [self.say(segment.text) for segment in segments]

    def say(self, text: str) -> Generation:
        n, m = (0, 0) if text in self.silent else (200, 300)
        number = int(text.removeprefix("s"))
        voice = Voice(np.full(n, number), np.full((2, m), number), np.full((8, m), number))
        return Generation(voice, np.full(m * 320, number / 100, np.float32), 0, {"semantic": 0.1})


def plan(texts: list[str]) -> ClipPlan:
    return plan_clips(["\n".join(texts)], Options(split_each_text_prompt_by="line").resolved(), 0)[0][0]


def run(recorder: Recorder, n: int, voice: Voice | None = None, rows: int = 16, **options) -> Clip:
    settings = LongForm.from_options(Options(**options).resolved(), recorder, voice)
    (clip,) = dataclasses.replace(settings, rows=rows).clips([plan([f"s{k}" for k in range(n)])])
    return clip


def sources(recorder: Recorder, n: int) -> list[set[int]]:
    """From which segments each segment's semantic history came (the voice of `make_voice` counts as -1)."""
    return [{int(t) for t in np.unique(recorder.heard[f"s{k}"].semantic)} for k in range(n)]


VOICE = Voice(np.full(300, 99), np.full((2, 450), 99), np.full((8, 450), 99))


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
    clips = list(LongForm(recorder, LongForm.from_options(Options(), recorder, None).rule, rows=4).clips(plans))
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
    clips = LongForm(recorder, LongForm.from_options(Options(), recorder, None).rule, rows=4).clips(plans())
    next(clips)
    assert len(taken) <= 5


def test_an_unreadable_clip_does_not_stop_the_others():
    recorder = Recorder()
    plans = [plan(["s1"]), plan(["unreadable 2"]), plan(["s3"])]
    results = list(LongForm.from_options(Options(), recorder, None).clips(plans))
    assert [type(result) for result in results].count(FailedClip) == 1
    assert sorted(r.plan.text for r in results if isinstance(r, Clip)) == ["s1", "s3"]


def test_the_voice_of_a_clip_is_its_beginning():
    clip = run(Recorder(), 4, VOICE)  # 4 s each
    assert set(clip.voice.semantic) == {0, 1} and clip.voice.fine.shape == (8, 600)


def test_a_clip_without_any_sound_has_failed():
    recorder = Recorder(silent=frozenset({"s0", "s1"}))
    (failed,) = LongForm.from_options(Options(), recorder, None).clips([plan(["s0", "s1"])])
    assert isinstance(failed, FailedClip) and "--semantic_min_eos_p" in str(failed.error)


# ---- on a real (tiny) model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"stable_mode_interval": 0}, {"stable_mode_interval": 2}, {}])
def test_rows_at_once_change_nothing(bark: Bark, options):
    options = Options(single_starting_seed=4, split_each_text_prompt_by="sentence", **options).resolved()
    made = []
    for rows in (1, 3):
        (clip,) = dataclasses.replace(LongForm.from_options(options, bark, None), rows=rows).clips(
            plan_clips([STORY], options, 0)[0]
        )
        made.append(clip)
    assert len(made[0].generations) > 3
    for one, other in zip(made[0].generations, made[1].generations, strict=True):
        np.testing.assert_array_equal(one.voice.fine, other.voice.fine)
    np.testing.assert_allclose(made[0].audio, made[1].audio, atol=1e-6)


def test_prefix_and_suffix_count_towards_the_ids_a_segment_may_have():
    options = Options(
        prompt_text_prefix="a " * 200, split_character_goal_length=400, split_character_max_length=400
    ).resolved()
    (clip,), _ = plan_clips(["b " * 190], options, 0, count_ids=lambda text: len(text.split()))
    assert len(clip.segments) > 1 and max(len(segment.text.split()) for segment in clip.segments) <= 256


def test_lines_without_words_are_no_segments():
    (clip,), _ = plan_clips(["One.\n* * *\nTwo."], Options(split_each_text_prompt_by="line").resolved(), 0)
    assert [segment.text for segment in clip.segments] == ["One.", "Two."]


class Cramped(Recorder):
    """Has memory for two segments, and for none whose text is in `too_long`."""

    def __init__(self, too_long: frozenset[str] = frozenset()):
        super().__init__()
        self.too_long = too_long

    def generate(self, segments, settings, progress):
        if len(segments) > 2 or self.too_long & {segment.text for segment in segments}:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return super().generate(segments, settings, progress)


def test_batches_shrink_when_memory_runs_out():
    recorder = Cramped()
    assert len(run(recorder, 5, VOICE).generations) == 5
    assert [len(batch) for batch in recorder.batches] == [2, 2, 1]


def test_a_segment_without_memory_fails_its_clip_alone():
    recorder = Cramped(too_long=frozenset({"s2"}))
    plans = [plan(["s1"]), plan(["s2"]), plan(["s3"])]
    results = list(LongForm.from_options(Options(), recorder, None).clips(plans))
    assert [type(r) for r in results].count(FailedClip) == 1
    assert sorted(r.plan.text for r in results if isinstance(r, Clip)) == ["s1", "s3"]


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    class Broken(Recorder):
        def generate(self, *_):
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run(Broken(), 2)
