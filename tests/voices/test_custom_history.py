"""--custom_audio_processing_function: the context it is called with, the values it may return, and how its errors are handled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fakes import VOICE, Recorder, WholeClip, dialogue, plan, recipe_of, sources, whole_clips

from bark_infinity import Voice, Weights
from bark_infinity.cli.main import main
from bark_infinity.errors import UsageError, VoiceError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.clips import FailedClip
from bark_infinity.run.planning import plan_clips
from bark_infinity.voices.custom_history import load_function

OTHER = Voice(np.full(300, 77), np.full((2, 450), 77), np.full((8, 450), 77))


def run(function, n: int = 4, voice: Voice | None = None, **options) -> tuple[Recorder, WholeClip | FailedClip]:
    recorder = Recorder()
    recipe = dataclasses.replace(recipe_of(recorder, voice, **options), function=function)
    (clip,) = whole_clips(recipe, [plan([f"s{k}" for k in range(n)])])
    return recorder, clip


def test_function_is_called_once_per_segment_with_the_segments_before():
    seen = []
    recorder, _ = run(seen.append, voice=VOICE, stable_mode_interval=2)
    assert [(c.index, c.total, c.text, len(c.before)) for c in seen] == [(k, 4, f"s{k}", k) for k in range(4)]
    assert all(c.starting_voice.digest() == VOICE.digest() for c in seen)
    for handed in (seen[3].starting_voice.coarse, seen[3].before[0].semantic):
        with pytest.raises(ValueError, match="read-only"):
            handed[...] = 0
    assert [int(seen[3].before[k].semantic[0]) for k in range(3)] == [0, 1, 2]
    on, back = Weights((0, 1), (0, 1), (0, 1)), Weights()
    assert [c.weights for c in seen] == [back, on, back, on]
    assert sources(recorder, 4) == [{99}, {0}, {99}, {2}]  # None: as the interval says
    assert [len(batch) for batch in recorder.batches] == [1] * 4


def test_function_is_told_who_speaks():
    seen = []
    recipe = dataclasses.replace(recipe_of(Recorder(), VOICE, {"Anna": OTHER}), function=seen.append)
    list(whole_clips(recipe, [dialogue(["Anna", None, "Anna", "Bob"])]))
    told = {c.index: (c.speaker, c.starting_voice and int(c.starting_voice.semantic[0])) for c in seen}
    assert told == {0: ("Anna", 77), 1: (None, 99), 2: ("Anna", 77), 3: ("Bob", None)}
    assert {c.index: [int(voice.semantic[0]) for voice in c.before] for c in seen} == {0: [], 1: [], 2: [0], 3: []}


def test_without_a_voice_the_first_segment_becomes_the_starting_voice():
    seen = []
    run(seen.append)
    assert seen[0].starting_voice is None and int(seen[2].starting_voice.semantic[0]) == 0


def test_returned_weights_mix_the_history_of_each_stage():
    def half(context):
        return Weights(semantic=(0.5, 0.25), coarse=(0.0, 1.0), fine=(0.0, 0.0))

    recorder, _ = run(half, voice=VOICE)
    history = recorder.histories["s2"]
    assert history.semantic.tolist() == [99] * 128 + [1] * 64
    assert set(history.coarse.flat) == {1} and history.fine.shape == (8, 0)


def test_returned_voice_is_used_as_the_history():
    recorder, _ = run(lambda context: OTHER if context.index == 2 else None, voice=VOICE)
    assert sources(recorder, 4) == [{99}, {99}, {77}, {99}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "returned int"),
        (Weights(coarse=(1.5, 0)), "coarse weights"),
        (Weights(fine=(1,)), "fine weights"),
        (Weights(semantic=None), "semantic weights"),
        (Weights(semantic=(float("nan"), 0)), "semantic weights"),
        (Voice(1, 2, 3), "'semantic_prompt' has shape ()"),
        (
            Voice(np.full(300, -1), np.zeros((2, 450), int), np.zeros((8, 450), int)),
            "'semantic_prompt' has values -1..-1",
        ),
        (Voice(np.zeros(300), np.zeros((2, 450), int), np.zeros((8, 450), int)), "'semantic_prompt' holds float64"),
    ],
)
def test_invalid_return_value_fails_the_clip(value, message):
    def silly(context):
        return value if context.text == "s2" else None

    recorder, clip = run(silly)
    assert isinstance(clip, FailedClip) and message in str(clip.error) and "silly" in str(clip.error)
    assert [batch for batch in recorder.batches] == [["s0"], ["s1"]]


def test_failing_function_fails_only_its_own_clip():
    def picky(context):
        if context.text == "s11":
            raise KeyError("no more")

    recipe = dataclasses.replace(recipe_of(Recorder()), function=picky)
    plans = [plan(["s1", "s2"]), plan(["s10", "s11", "s12"]), plan(["s20", "s21"])]
    results = list(whole_clips(recipe, plans))
    failed = [r for r in results if isinstance(r, FailedClip)]
    assert len(results) == 3 and len(failed) == 1 and "segment 2 (KeyError: 'no more')" in str(failed[0].error)


CHATTY = """
print("imported")

def chatty(context):
    print("asked for", context.text)
    if context.index == 1:
        raise SystemExit(7)
"""


def test_system_exit_fails_the_clip_and_prints_go_to_stderr(capsys):
    Path("chatty.py").write_text(CHATTY)
    _, clip = run(load_function("chatty.py:chatty"))
    out, err = capsys.readouterr()
    assert isinstance(clip, FailedClip) and "chatty failed at segment 2 (SystemExit: 7)" in str(clip.error)
    assert out == "" and err == "imported\nasked for s0\nasked for s1\n"


def test_function_passed_from_python_prints_to_stdout(capsys):
    run(lambda context: print("asked for", context.text))
    assert capsys.readouterr().out.startswith("asked for s0\n")


class Odd(BaseException):
    def __str__(self):
        raise Odd

    __repr__ = __str__


class Unusable:
    """An object whose every use fails."""

    def __fails(self, *_):
        raise Odd

    __iter__ = __repr__ = __str__ = __len__ = __le__ = __ge__ = __array__ = __fails
    __class__ = property(__fails)


def raising(error: BaseException):
    def function(context):
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raising(BaseException("odd")), "function failed at segment 1 (BaseException: odd)"),
        (raising(GeneratorExit()), "function failed at segment 1 (GeneratorExit)"),
        (raising(StopIteration(1)), "function failed at segment 1 (StopIteration: 1)"),
        (raising(Odd()), "function failed at segment 1 (Odd: its message cannot be shown)"),
        (lambda _: Unusable(), "what <lambda> returned at segment 1 cannot be used (Odd: "),
        (lambda _: Weights(Unusable()), "what <lambda> returned at segment 1 cannot be used (Odd: "),
        (lambda _: Weights((Unusable(), 0)), "what <lambda> returned at segment 1 cannot be used (Odd: "),
        (lambda _: Voice(Unusable(), Unusable(), Unusable()), "what <lambda> returned at segment 1"),
        (lambda _: Weights((10**5000, 0)), "what <lambda> returned at segment 1 cannot be used (ValueError: "),
        (lambda _: Weights((2, 0)), "<lambda> returned semantic weights (2, 0); let them be two shares"),
    ],
)
def test_any_exception_becomes_a_one_line_error(function, message):
    _, clip = run(function)
    assert isinstance(clip, FailedClip) and message in str(clip.error) and "\n" not in str(clip.error)
    assert isinstance(clip.error, UsageError | VoiceError)


def test_keyboard_interrupt_in_a_function_propagates():
    with pytest.raises(KeyboardInterrupt):
        run(raising(KeyboardInterrupt()))


@pytest.mark.parametrize("level", ["WARNING", "DEBUG"])
def test_import_error_without_a_printable_message_is_reported(capfd, level):
    Path("odd.py").write_text(
        "class Odd(BaseException):\n    def __str__(self): raise Odd\n    __repr__ = __str__\nraise Odd"
    )
    function = ["--custom_audio_processing_function", "odd.py:f", "--loglevel", level]
    assert main(["--model", "demo", "--device", "cpu", "--text_prompt", "hi", *function]) == 2
    assert "odd.py cannot be imported (Odd: its message cannot be shown)" in " ".join(capfd.readouterr().err.split())


def test_context_identifies_prompt_and_take():
    seen = []
    recipe = dataclasses.replace(recipe_of(Recorder()), function=seen.append)
    plans = plan_clips(["s1", "s2"], resolve(Options(output_iterations=2)), 0)[0]
    list(whole_clips(recipe, plans))
    assert sorted((c.prompt, c.take, c.text) for c in seen) == [(0, 0, "s1"), (0, 1, "s1"), (1, 0, "s2"), (1, 1, "s2")]


def test_history_refused_by_the_engine_fails_the_clip_once():
    def refuse(history):
        raise VoiceError("another model's")

    recorder = Recorder()
    recorder.check_history = refuse
    results = list(whole_clips(recipe_of(recorder), [plan(["s0", "s1", "s2"])]))
    assert [type(result) for result in results] == [FailedClip]


SOURCE = """
from bark_infinity import Weights

def every_other(context):
    return Weights((1, 0), (0, 1), (0.5, 0.5)) if context.index % 2 else None

not_callable = 3
"""


def test_function_is_loaded_from_a_file_or_a_module(monkeypatch):
    Path("my_history.py").write_text(SOURCE)
    Path("odd name.py").write_text(SOURCE)
    for name in ("my_history.py:every_other", "./odd name.py:every_other", "my_history:every_other"):
        function = load_function(name)
        assert function.__name__ == "every_other" and function(type("C", (), {"index": 1})).fine == (0.5, 0.5)
    assert load_function("json:dumps")
    Path("json.py").write_text(SOURCE)
    assert load_function("json.py:every_other")
    assert load_function("json:dumps")(1) == "1"  # the real one is still there


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py:f", "there is no file absent.py"),
        ("no_such_module_here:f", "cannot be imported"),
        ("broken.py:f", "cannot be imported (SyntaxError"),
        ("raising.py:f", "cannot be imported (ZeroDivisionError"),
        ("leaving.py:f", "cannot be imported (SystemExit"),
        ("good.py:f", "has no function f"),
        ("good.py:not_callable", "has no function not_callable"),
        ("good.py", "is not of the form"),
        ("good.py:", "is not of the form"),
        (":f", "is not of the form"),
    ],
)
def test_function_that_cannot_be_loaded_raises_usage_error(name, message):
    Path("broken.py").write_text("def f(:")
    Path("raising.py").write_text("1 / 0")
    Path("leaving.py").write_text("import sys; sys.exit(7)")
    Path("good.py").write_text(SOURCE)
    with pytest.raises(UsageError, match="--custom_audio_processing_function") as raised:
        load_function(name)
    assert message in str(raised.value)
