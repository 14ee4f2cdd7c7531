"""The state of one unfinished clip: which segments are ready, their histories, retries, and their order."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import pytest
from fakes import VOICE, Recorder, dialogue, plan, recipe_of, voice_of

from bark_infinity.bark import Generation, Settings
from bark_infinity.errors import TextError
from bark_infinity.run import clip_state
from bark_infinity.run.checks import SegmentChecks
from bark_infinity.run.clip_state import ClipState
from bark_infinity.run.takes import Outcome
from bark_infinity.stages.semantic import SemanticSettings
from bark_infinity.voices.history import Weights

ALL = 100  # more segments than any clip here has


class Checks:
    """Checks that find the given faults, one try after the other."""

    def __init__(self, *faults: dict[str, float], retries: int = 2):
        self.faults_of_tries, self.retries = list(faults), retries

    def faults(self, *_: object) -> dict[str, float]:
        return self.faults_of_tries.pop(0)


def new_state(n: int = 4, voice=VOICE, checks: Checks | None = None, function=None, **options) -> ClipState:
    recipe = recipe_of(Recorder(), voice, **options)
    return ClipState(
        plan([f"s{k}" for k in range(n)], **options), dataclasses.replace(recipe, checks=checks, function=function)
    )


def finish(state: ClipState, index: int, silent: bool = False) -> None:
    text = f"s{index}"
    generation = Recorder(silent=frozenset([text] if silent else [])).say(text)
    outcome = make(state, index, generation)
    assert outcome is not None
    state.finish(index, outcome)


def make(state: ClipState, index: int, generation: Generation) -> Outcome | None:
    """Give the state the next take of a segment."""
    take = state.pending(index)[0]
    state.prepare(index, take)
    assert state.made(index, take) is None  # nobody listens
    return state.judge(index, take, generation)


def sources(state: ClipState, index: int) -> set[int]:
    """The numbers of the segments in a segment's history; the given voice is 99."""
    return set(state.prepare(index).history.semantic.tolist())


@pytest.mark.parametrize(
    ("voice", "options", "ready"),  # at first, and after each segment is finished, in order
    [
        (VOICE, {}, [[0, 1, 2, 3], [1, 2, 3], [2, 3], [3], []]),
        (None, {}, [[0], [1, 2, 3], [2, 3], [3], []]),
        (VOICE, {"stable_mode_interval": 0}, [[0], [1], [2], [3], []]),
        (VOICE, {"stable_mode_interval": 2}, [[0, 2], [1, 2], [2], [3], []]),
        (None, {"stable_mode_interval": 2}, [[0], [1, 2], [2], [3], []]),
        (None, {"separate_prompts": True}, [[0, 1, 2, 3], [1, 2, 3], [2, 3], [3], []]),
    ],
)
def test_segments_become_ready_when_their_history_is_known(voice, options, ready):
    state = new_state(4, voice, **options)
    found = [state.ready(ALL)]
    for index in range(4):
        finish(state, index)
        found.append(state.ready(ALL))
    assert found == ready


def test_no_more_segments_are_ready_than_asked_for():
    assert new_state(4).ready(2) == [0, 1]


def test_only_the_first_segment_is_ready_while_too_many_wait_for_it(monkeypatch):
    monkeypatch.setattr(clip_state, "_MOST_WAITING", 2)
    state = new_state(5)
    finish(state, 1)
    assert state.ready(ALL) == [0, 2, 3, 4]
    finish(state, 2)
    assert state.ready(ALL) == [0]
    finish(state, 0)
    assert state.ready(ALL) == [3, 4]


@pytest.mark.parametrize("interval", [0, 1])
def test_first_segment_that_is_not_silent_becomes_the_starting_voice(interval):
    state = new_state(4, voice=None, stable_mode_interval=interval)
    finish(state, 0, silent=True)
    assert state.ready(ALL) == [1] and sources(state, 1) == set()
    finish(state, 1)
    assert sources(state, 2) == {1}
    finish(state, 2, silent=True)
    assert state.ready(ALL) == [3] and sources(state, 3) == {1}  # not the silent one


def test_histories_follow_the_interval():
    state = new_state(3, stable_mode_interval=0)
    histories = []
    for index in range(3):
        histories.append(sources(state, index))
        finish(state, index)
    assert histories == [{99}, {0}, {1}]


def test_faulty_try_is_repeated_with_other_seeds_until_one_has_no_fault():
    state = new_state(2, checks=Checks({"clipped_percent": 9.0}, {}))
    first = state.prepare(0)
    assert make(state, 0, Recorder().say("s0")) is None
    assert state.pending(0) == (1,) and state.pending(1) == (0,) and state.ready(ALL) == [0, 1]
    assert state.prepare(0, 1).seeds != first.seeds and state.prepare(0).seeds == first.seeds
    outcome = make(state, 0, Recorder().say("s0"))
    assert outcome is not None and [dict(own.faults or {}) for own in outcome.tries] == [{"clipped_percent": 9.0}, {}]
    assert outcome.generation.seconds_taken == {"semantic": 0.2}  # of both tries
    state.finish(0, outcome)
    assert state.pending(0) == () and state.ready(ALL) == [1]


def test_best_try_is_kept_when_no_more_are_allowed():
    state = new_state(1, checks=Checks({"clipped_percent": 5.0}, {"clipped_percent": 9.0}, retries=1))
    better, worse = Recorder().say("s0"), Recorder().say("s0")
    assert make(state, 0, better) is None
    outcome = make(state, 0, worse)
    assert outcome is not None and outcome.generation.voice is better.voice and len(outcome.tries) == 2


def test_settled_segment_is_not_retried():
    state = new_state(1, checks=Checks({"clipped_percent": 5.0}))
    segments = [dataclasses.replace(segment, settled=True) for segment in state.plan.segments]
    state = ClipState(dataclasses.replace(state.plan, segments=tuple(segments)), state.recipe)
    assert make(state, 0, Recorder().say("s0")) is not None


def test_finished_segments_are_taken_in_the_order_of_the_text():
    state = new_state(3)
    finish(state, 2)
    finish(state, 1)
    assert not list(state.take_finished()) and not state.complete
    finish(state, 0)
    assert [finished.index for finished in state.take_finished()] == [0, 1, 2]
    assert state.complete and not list(state.take_finished())
    assert len(state.to_clip().segments) == 3


def test_clip_of_silent_segments_alone_is_an_error():
    state = new_state(2)
    for index in range(2):
        finish(state, index, silent=True)
    assert len(list(state.take_finished())) == 2
    with pytest.raises(TextError):
        state.to_clip()


def test_function_is_asked_once_per_segment_and_sees_all_earlier_voices():
    asked = []

    def function(context):
        asked.append((context.index, [int(voice.semantic[0]) for voice in context.before]))
        return context.before[0] if context.before else Weights()

    state = new_state(3, stable_mode_interval=1, function=function)
    for index in range(3):
        assert state.ready(ALL) == [index]
        assert sources(state, index) == ({0} if index else {99})
        finish(state, index)
    assert asked == [(0, []), (1, [0]), (2, [0, 1])]


def test_checks_follow_the_settings_of_a_segment():
    """Neither speech without an end nor a short length is a fault where the settings ask for it."""
    checks = SegmentChecks(min_loudness_db=-100.0, max_repeat_s=99.0)
    endless = Settings(SemanticSettings(allow_early_stop=False))
    short = Settings(SemanticSettings(max_gen_duration_s=4.0))
    text = "A sentence that takes its speaker a lot longer than four seconds, because it has so many words. " * 3
    faults = []
    for own in (None, endless, short):
        state = new_state(1)
        segments = (dataclasses.replace(state.plan.segments[0], text=text, settings=own),)
        recipe = dataclasses.replace(state.recipe, checks=checks)
        state = ClipState(dataclasses.replace(state.plan, segments=segments), recipe)
        generation = dataclasses.replace(Recorder().say("s1"), ended=own is None)
        outcome = make(state, 0, generation)
        assert outcome is not None
        faults.append(set(outcome.tries[0].faults or {}))
    assert faults == [{"too_short_ratio"}, set(), {"no_end_s"}]


# ---- several speakers -----------------------------------------------------------------------------------------------


def conversation(speakers: str, voice=VOICE, voices=None, function=None, **options) -> ClipState:
    """A clip whose segments are spoken by these speakers; "-" is the narrator."""
    recipe = dataclasses.replace(recipe_of(Recorder(), voice, voices, **options), function=function)
    return ClipState(dialogue(speakers, **options), recipe)


@pytest.mark.parametrize(
    ("interval", "ready"),  # at first, and after each segment is finished, in order
    [
        (1, [[0, 1, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4], [3, 4], [4], []]),
        (0, [[0, 1], [1, 2], [2, 3], [3, 4], [4], []]),
        (2, [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 4], [4], []]),
    ],
)
def test_speakers_do_not_wait_for_each_other(interval, ready):
    state = conversation("ABABA", voices={"A": voice_of(71), "B": voice_of(72)}, stable_mode_interval=interval)
    found = [state.ready(ALL)]
    for index in range(5):
        finish(state, index)
        found.append(state.ready(ALL))
    assert found == ready


def test_speaker_without_a_voice_waits_for_his_own_first_segment():
    state = conversation("AB-AB", voices={"A": voice_of(71)})
    assert state.ready(ALL) == [0, 1, 2, 3]
    finish(state, 0)
    assert state.ready(ALL) == [1, 2, 3]
    finish(state, 1, silent=True)
    assert state.ready(ALL) == [2, 3, 4] and sources(state, 4) == set()  # it becomes his starting voice
    assert (sources(state, 2), sources(state, 3)) == ({99}, {71})


def test_function_sees_the_speaker_his_starting_voice_and_his_earlier_segments():
    asked = {}

    def function(context):
        start = context.starting_voice and int(context.starting_voice.semantic[0])
        asked[context.index] = (context.speaker, start, [int(voice.semantic[0]) for voice in context.before])
        return context.before[-1] if context.before else None

    state = conversation("A-BAB-A", voices={"A": voice_of(71)}, function=function)
    while ready := state.ready(ALL):
        for index in reversed(ready):
            finish(state, index)
    assert asked == {
        0: ("A", 71, []),
        1: (None, 99, []),
        2: ("B", None, []),
        3: ("A", 71, [0]),
        4: ("B", 2, [2]),
        5: (None, 99, [1]),
        6: ("A", 71, [0, 3]),
    }


def test_only_voices_that_a_speaker_still_needs_are_in_memory():
    state = conversation("ABABBA", voice=None, voices={"A": voice_of(71)}, stable_mode_interval=2)
    voices = {}

    def alive() -> list[int]:
        gc.collect()
        return [index for index, ref in voices.items() if ref() is not None]

    def finish_and_forget(index: int) -> None:
        finish(state, index)
        voices[index] = weakref.ref(state._states[index].voice) if state._states[index].voice else lambda: None
        for _ in state.take_finished():
            pass
        state._stitcher._voices.clear()  # those of the clip's voice

    finish_and_forget(0)
    finish_and_forget(1)
    assert alive() == [0, 1]
    finish_and_forget(2)  # its history had segment 0; the next segment of A returns to his voice
    finish_and_forget(3)
    finish_and_forget(4)
    finish_and_forget(5)
    assert alive() == [1]  # B has no other starting voice
