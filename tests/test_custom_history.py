"""A user's function that decides what each segment hears: what it is told, what it may answer, and what becomes of its faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_long_form import VOICE, Recorder, plan, sources

from bark_infinity import Voice, Weights
from bark_infinity.custom_history import load_function
from bark_infinity.errors import UsageError
from bark_infinity.long_form import Clip, FailedClip, LongForm
from bark_infinity.options import Options

OTHER = Voice(np.full(300, 77), np.full((2, 450), 77), np.full((8, 450), 77))


def run(function, n: int = 4, voice: Voice | None = None, **options) -> tuple[Recorder, Clip | FailedClip]:
    recorder = Recorder()
    form = LongForm.from_options(Options(**options).resolved(), recorder, voice)
    form.function = function
    (clip,) = form.clips([plan([f"s{k}" for k in range(n)])])
    return recorder, clip


def test_it_is_asked_once_before_each_segment_and_told_what_came_before():
    seen = []
    recorder, _ = run(seen.append, voice=VOICE, stable_mode_interval=2)
    assert [(c.index, c.total, c.text, len(c.before)) for c in seen] == [(k, 4, f"s{k}", k) for k in range(4)]
    assert all(c.starting_voice is VOICE for c in seen)
    assert [int(seen[3].before[k].semantic[0]) for k in range(3)] == [0, 1, 2]
    on, back = Weights((0, 1), (0, 1), (0, 1)), Weights()
    assert [c.weights for c in seen] == [back, on, back, on]
    assert sources(recorder, 4) == [{99}, {0}, {99}, {2}]  # None: as the interval says
    assert [len(batch) for batch in recorder.batches] == [1] * 4


def test_without_a_given_voice_the_first_segment_is_the_starting_voice():
    seen = []
    run(seen.append)
    assert seen[0].starting_voice is None and int(seen[2].starting_voice.semantic[0]) == 0


def test_weights_mix_stage_by_stage():
    def half(context):
        return Weights(semantic=(0.5, 0.25), coarse=(0.0, 1.0), fine=(0.0, 0.0))

    recorder, _ = run(half, voice=VOICE)
    heard = recorder.heard["s2"]
    assert heard.semantic.tolist() == [99] * 128 + [1] * 64
    assert set(heard.coarse.flat) == {1} and heard.fine.shape == (8, 0)


def test_a_voice_is_heard_as_it_is():
    recorder, _ = run(lambda context: OTHER if context.index == 2 else None, voice=VOICE)
    assert sources(recorder, 4) == [{99}, {99}, {77}, {99}]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (3, "returned int"),
        (Weights(coarse=(1.5, 0)), "coarse weights"),
        (Weights(fine=(1,)), "fine weights"),
        (Weights(semantic=None), "semantic weights"),
        (Weights(semantic=(float("nan"), 0)), "semantic weights"),
    ],
)
def test_an_answer_that_is_none_fails_the_clip_alone(answer, message):
    def silly(context):
        return answer if context.text == "s2" else None

    recorder, clip = run(silly)
    assert isinstance(clip, FailedClip) and message in str(clip.error) and "silly" in str(clip.error)
    assert [batch for batch in recorder.batches] == [["s0"], ["s1"]]


def test_one_clip_fails_and_the_others_are_made():
    def picky(context):
        if context.text == "s11":
            raise KeyError("no more")

    form = LongForm.from_options(Options().resolved(), Recorder(), VOICE)
    form.function = picky
    results = list(form.clips([plan(["s1", "s2"]), plan(["s10", "s11", "s12"]), plan(["s20", "s21"])]))
    failed = [r for r in results if isinstance(r, FailedClip)]
    assert len(results) == 3 and len(failed) == 1 and "segment 2 (KeyError: 'no more')" in str(failed[0].error)


SOURCE = """
from bark_infinity import Weights

def every_other(context):
    return Weights((1, 0), (0, 1), (0.5, 0.5)) if context.index % 2 else None

not_callable = 3
"""


def test_it_is_found_in_a_file_or_a_module(monkeypatch):
    Path("my_history.py").write_text(SOURCE)
    Path("odd name.py").write_text(SOURCE)
    for name in ("my_history.py:every_other", "./odd name.py:every_other", "my_history:every_other"):
        function = load_function(name)
        assert function.__name__ == "every_other" and function(type("C", (), {"index": 1})).fine == (0.5, 0.5)
    assert load_function("json:dumps")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py:f", "cannot be imported"),
        ("no_such_module_here:f", "cannot be imported"),
        ("broken.py:f", "cannot be imported (SyntaxError"),
        ("raising.py:f", "cannot be imported (ZeroDivisionError"),
        ("good.py:f", "has no function f"),
        ("good.py:not_callable", "has no function not_callable"),
        ("good.py", "is not of the form"),
        ("good.py:", "is not of the form"),
        (":f", "is not of the form"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(name, message):
    Path("broken.py").write_text("def f(:")
    Path("raising.py").write_text("1 / 0")
    Path("good.py").write_text(SOURCE)
    with pytest.raises(UsageError, match="--custom_audio_processing_function") as raised:
        load_function(name)
    assert message in str(raised.value)
