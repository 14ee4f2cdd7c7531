"""The texts of a run: where they come from, and how they are cut into prompts and segments."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from bark_infinity.errors import TextError, UsageError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run import planning
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.prompts import SAMPLE_PROMPTS, cut_source, read_source
from bark_infinity.run.recipe import Recipe
from bark_infinity.text.splitting import split_with_breaks

POEM = "One two three.\nFour five.\nSix seven eight nine.\nTen."


def prompts(drawn: int = 0, **options) -> list[str]:
    resolved = resolve(Options(**options))
    return cut_source(read_source(resolved), resolved, drawn)


def segments(text: str, **options) -> list[str]:
    (plan,), _ = plan_clips([text], resolve(Options(**options)), 5)
    return [segment.text for segment in plan.segments]


def test_sample_prompts_are_used_without_a_text():
    assert prompts() == list(SAMPLE_PROMPTS)


def test_text_is_read_from_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("Grüße.\r\nZwei.".encode("utf-8-sig"))))
    assert prompts(prompt_file="-") == ["Grüße.\nZwei."]


def test_subtitle_files_are_read_as_their_spoken_text():
    srt = "1\n00:00:01,000 --> 00:00:02,000\n<i>Hello</i>\nthere.\n\n2\n00:00:03,000 --> 00:00:04,000\n[laughs]\n"
    for name in ("film.srt", "FILM2.SRT"):
        Path(name).write_bytes(srt.replace("\n", "\r\n").encode("utf-8-sig"))
        assert prompts(prompt_file=name) == ["Hello there.\n[laughs]"]
        assert prompts(prompt_file=name, split_input_into_separate_prompts_by="line") == ["Hello there.", "[laughs]"]
    Path("no.srt").write_text("Just text.")
    with pytest.raises(TextError, match="subtitle"):
        prompts(prompt_file="no.srt")


CUTS = [
    ({"by": "line"}, ["One two three.", "Four five.", "Six seven eight nine.", "Ten."]),
    ({"by": "line", "value": "3"}, ["One two three. Four five. Six seven eight nine.", "Ten."]),
    ({"by": "word", "value": "4"}, ["One two three. Four", "five. Six seven eight", "nine. Ten."]),
    ({"by": "string", "value": "five"}, ["One two three. Four", ". Six seven eight nine. Ten."]),
    ({"by": "regex", "value": r"\d|(?=Six)"}, ["One two three. Four five.", "Six seven eight nine. Ten."]),
    ({"by": "line", "value": "5", "count": "word"}, ["One two three. Four five.", "Six seven eight nine. Ten."]),
    ({"by": "string", "value": "2", "string": "\n"}, ["One two three. Four five.", "Six seven eight nine. Ten."]),
    ({"by": "char", "value": "9"}, ["One two t", "hree. Fou", "r five. S", "ix seven", "eight nin", "e. Ten."]),
]


@pytest.mark.parametrize(("how", "expected"), CUTS)
def test_prompts_and_segments_are_split_by_the_same_rules(how, expected):
    finer = {"group_text_by_counting": how.get("count"), "split_type_string": how.get("string")}
    as_segments = {"split_each_text_prompt_by": how["by"], "split_each_text_prompt_by_value": how.get("value")}
    assert segments(POEM, **as_segments, **finer) == expected
    as_prompts = {f"split_input_into_separate_prompts_by{k}": how.get(n) for k, n in (("", "by"), ("_value", "value"))}
    assert prompts(text_prompt=POEM, **as_prompts, **finer) == expected


def test_scene_breaks_are_not_prompts():
    text = "One two.\n\n***\n\nThree.\n---\nFour."
    by = "split_input_into_separate_prompts_by"
    assert prompts(text_prompt=text, **{by: "line"}) == ["One two.", "Three.", "Four."]
    assert prompts(text_prompt=text, **{by: "line", f"{by}_value": "3"}) == ["One two. Three.", "Four."]
    assert prompts(text_prompt=text, **{by: "string", f"{by}_value": "***"}) == ["One two.", "Three. Four."]
    assert prompts(text_prompt=text, **{by: "word", f"{by}_value": "4"}) == ["One two. Three.", "Four."]


def test_grouping_flags_apply_to_segments_when_both_are_split():
    options = {
        "split_input_into_separate_prompts_by": "line",
        "split_each_text_prompt_by": "word",
        "split_each_text_prompt_by_value": "9",
        "group_text_by_counting": "char",
    }
    assert prompts(text_prompt=POEM, **options) == POEM.split("\n")
    assert segments("One two three.", **options) == ["One two", "three."]


def test_random_splits_depend_on_the_seed_and_the_take():
    text = " ".join(f"word{n}" for n in range(60))
    cut = {"split_each_text_prompt_by": "random", "split_each_text_prompt_by_value": "6"}
    assert segments(text, seed=3, **cut) == segments(text, single_starting_seed=3, **cut)
    assert segments(text, seed=3, **cut) != segments(text, seed=4, **cut)
    takes, _ = plan_clips([text], resolve(Options(seed=3, output_iterations=2, **cut)), 0)
    assert [s.text for s in takes[0].segments] != [s.text for s in takes[1].segments]
    by = {"split_input_into_separate_prompts_by": "random", "text_prompt": text}
    assert prompts(1, **by) != prompts(2, **by)
    assert prompts(1, seed=9, **by) == prompts(2, seed=9, **by)


def test_jitter_depends_on_the_seed_of_the_take():
    """A take is reproduced from its seed alone, whatever its number."""
    text = " ".join("A sentence that is about this long, more or less." for _ in range(40))
    how = {"split_character_jitter": 60}
    takes, _ = plan_clips([text], resolve(Options(single_starting_seed=3, output_iterations=4, **how)), 0)
    again, _ = plan_clips([text], resolve(Options(single_starting_seed=takes[3].seed, **how)), 0)
    assert again[0].segments == takes[3].segments
    assert len({tuple(s.text for s in take.segments) for take in takes}) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"split_each_text_prompt_by": "word", "split_each_text_prompt_by_value": "0"},
            "by_value takes a whole number",
        ),
        (
            {"split_each_text_prompt_by": "line", "split_each_text_prompt_by_value": "two"},
            "by_value takes a whole number",
        ),
        ({"split_each_text_prompt_by": "line", "split_type_string": "x"}, "does nothing when text is cut by line"),
        ({"split_each_text_prompt_by": "string"}, "--split_type_string"),
        ({"split_each_text_prompt_by": "regex", "split_each_text_prompt_by_value": "("}, "--split_type_string"),
        ({"split_each_text_prompt_by_value": "3"}, "does nothing without --split_each_text_prompt_by"),
        ({"group_text_by_counting": "word"}, "does nothing without --split_each_text_prompt_by"),
        ({"split_type_string": "x"}, "does nothing without --split_each_text_prompt_by"),
    ],
)
def test_invalid_split_flags_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        segments(POEM, **options)


def test_text_without_a_remainder_is_refused():
    with pytest.raises(TextError, match="nothing left"):
        prompts(
            text_prompt="abc",
            split_input_into_separate_prompts_by="string",
            split_input_into_separate_prompts_by_value="abc",
        )


def test_extra_segments_without_text_follow_the_text():
    options = resolve(Options(extra_confused_travolta_mode=2, seed=4, prompt_text_prefix="Oh,"))
    (plan,), _ = plan_clips(["Hello."], options, 0)
    assert [s.text for s in plan.segments] == ["Oh, Hello.", "", ""]
    assert plan.seconds(options) > 30


# ---- files of every kind --------------------------------------------------------------------------------------------


def notes_of(name: str, **options) -> tuple[list[str], list[str]]:
    """The prompts of a file, and the notices about how it was read."""
    notes: list[str] = []
    resolved = resolve(Options(prompt_file=name, **options))
    return cut_source(read_source(resolved, notes.append), resolved), notes


def test_guessed_encoding_is_reported():
    Path("old.txt").write_bytes("He said “Été” – twice.".encode("cp1252"))
    Path("wide.txt").write_bytes("Hello there.\r\n".encode("utf-16"))
    Path("new.txt").write_bytes("Été.".encode("utf-8-sig"))
    assert notes_of("old.txt") == (
        ["He said “Été” – twice."],
        ["--prompt_file old.txt is read as cp1252; if that is wrong, give its --text_encoding"],
    )
    (text,), (note,) = notes_of("wide.txt")
    assert text == "Hello there.\n" and "read as utf-16" in note
    assert notes_of("new.txt") == (["Été."], [])
    assert notes_of("old.txt", text_encoding="mac_roman") == (["He said ì…tÈî ñ twice."], [])


@pytest.mark.parametrize(
    ("encoding", "error", "message"),
    [
        ("nonsense", UsageError, "--text_encoding nonsense is no encoding"),
        ("ascii", TextError, "--prompt_file old.txt: it is no ascii"),
    ],
)
def test_wrong_text_encoding_is_refused(encoding, error, message):
    Path("old.txt").write_bytes("Été".encode("cp1252"))
    with pytest.raises(error, match=message):
        notes_of("old.txt", text_encoding=encoding)


def test_subtitles_are_recognised_by_content(monkeypatch):
    srt = "1\n00:00:01,000 --> 00:00:02,000\nÉté\nthere.\n"
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna>Été there.\n"
    ass = "[Script Info]\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Été\\Nthere.\n"
    for text in (srt, vtt, ass):
        for encoding in ("utf-8", "utf-16", "cp1252"):
            Path("film.txt").write_bytes(text.encode(encoding))
            found, notes = notes_of("film.txt")
            assert found == ["Été there."] and "is read as subtitles" in notes[-1]
            monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode(encoding))))
            assert prompts(prompt_file="-") == ["Été there."]
            monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode(encoding))))
            assert prompts(prompt_file="-", fit_subtitles=True) == ["[at:1s]\nÉté there."]


def test_only_subtitles_have_times():
    Path("story.txt").write_text("Just text.")
    with pytest.raises(TextError, match="story.txt: this is no subtitle file; --fit_subtitles takes .srt"):
        prompts(prompt_file="story.txt", fit_subtitles=True)


@pytest.mark.parametrize("ending", ["srt", "vtt", "ass", "ssa"])
def test_speakers_of_subtitles_are_those_of_the_cast(ending):
    cues = {
        "srt": "1\n00:00:01,000 --> 00:00:02,000\nAnna: Hello.\n",
        "vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna>Hello.\n",
        "ass": "[Script Info]\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,Anna,0,0,0,,Hello.\n",
    }
    Path(f"film.{ending}").write_text(cues.get(ending, cues["ass"]))
    for fit in (False, True):
        source = ClipSource(resolve(Options(prompt_file=f"film.{ending}", cast="Anna=someone.npz", fit_subtitles=fit)))
        ((segment,),) = (plan.segments for plan in source.plan()[0])
        assert (segment.speaker, segment.text, segment.start_at) == ("Anna", "Hello.", 1.0 if fit else None)


def test_hyphenated_words_are_joined():
    Path("book.txt").write_text("The committee spoke about the re-\nduction of noise in the after-\nnoon session.\n")
    assert prompts(prompt_file="book.txt") == [
        "The committee spoke about the reduction\nof noise in the afternoon\nsession.\n"
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_pipe_is_waited_for_until_a_writer_opens_it(monkeypatch):
    """However long that takes, with a notice to the user."""
    monkeypatch.setattr("bark_infinity.files._SECONDS_BEFORE_NOTICE", 0.1)
    monkeypatch.setattr("bark_infinity.files._WRITER_SECONDS", 0.1)
    os.mkfifo("pipe")
    writer = threading.Timer(0.6, lambda: Path("pipe").write_text("Hello there."))
    writer.start()
    assert notes_of("pipe") == (["Hello there."], ["waiting for a program that writes to pipe"])
    writer.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_waiting_for_a_pipe_can_be_interrupted(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "bark_infinity", "--prompt_file", "pipe", "--text_splits_only"]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=environment, text=True)
    assert "waiting for a program that writes to pipe" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.stderr.close()


# ---- cost and limits ------------------------------------------------------------------------------------------------


def test_each_text_is_split_and_tokenised_once_per_run(demo, monkeypatch):
    """Although a run plans before the model is loaded, once for every unfinished run, and once more."""
    cuts: list[str] = []
    encoded: list[str] = []
    monkeypatch.setattr(
        planning, "split_with_breaks", lambda text, **how: cuts.append(text) or split_with_breaks(text, **how)
    )
    tokenizer, backend = demo.tokenizer, demo.tokenizer._backend
    counting = SimpleNamespace(encode=lambda text, **how: encoded.append(text) or backend.encode(text, **how))
    monkeypatch.setattr(tokenizer, "_backend", counting)
    how = {"model": "demo", "semantic_max_gen_duration_s": 0.1, "output_iterations": 2, "output_dir": "out"}
    options = resolve(Options(text_prompt="One dog sat here.\n\nTwo cats sat there.", **how))
    for _ in range(2):  # interrupted runs
        unfinished = Job(options, ClipSource(options), Recipe.from_options(options, demo)).run()
        next(unfinished)
        unfinished.close()
    cuts.clear(), encoded.clear(), tokenizer._cached.cache_clear()
    source = ClipSource(options)
    source.plan()
    list(Job(options, source, Recipe.from_options(options, demo)).run())
    assert cuts == [options.text_prompt]
    assert sorted(encoded) == ["One dog sat here.", "Two cats sat there."]


@pytest.mark.parametrize("unit", [None, "line"])
def test_prefix_that_leaves_no_room_is_refused(unit):
    def count(text: str) -> int:
        return 2 * len(text.split())

    for how in (
        {"prompt_text_prefix": "a " * 230},
        {"prompt_text_prefix": "a " * 120, "prompt_text_suffix": "b " * 120},
    ):
        options = resolve(Options(split_each_text_prompt_by=unit, **how))
        with pytest.raises(UsageError, match="--prompt_text_prefix and --prompt_text_suffix have"):
            plan_clips(["Hello there."], options, 0)
        with pytest.raises(UsageError, match="use at most 224"):
            plan_clips(["Hello there."], options, 0, count)
    options = resolve(Options(split_each_text_prompt_by=unit, prompt_text_prefix="a " * 112))
    assert plan_clips(["Hello there."], options, 0, count)[0][0].segments[0].text.endswith("a Hello there.")


@pytest.mark.parametrize("size", ["9" * 5000, "1" * 10, "٣" * 5000])
def test_group_size_of_many_digits_is_refused(size):
    with pytest.raises(UsageError, match="by_value takes a whole number from 1 to 999,999,999, not") as error:
        segments(POEM, split_each_text_prompt_by="word", split_each_text_prompt_by_value=size)
    assert len(str(error.value)) < 200
