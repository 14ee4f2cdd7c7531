"""What the terminal shows of a script: cast, silences, what is said to no effect, and how a clip is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from bark_infinity.cli.main import main

FRONT = (
    "+++\n[cast]\nAnna = 'anna'\nBob = {text_temp = 0.6}\n[pronunciations]\n'Nguyen' = 'Win'\n'Quebec' = 'Kebek'\n+++\n"
)
PLAY = (
    FRONT
    + "Anna: Hello, Nguyen. [pause:1.5s]\nCarl: Nobody knows me.\nBob: [laughs] Good night.\n# Two\nAnna: It is over.\n"
)


@pytest.fixture
def shown(capsys, monkeypatch, make_voice):
    """Runs a command line: (exit status, stderr on one line)."""
    monkeypatch.setenv("COLUMNS", "200")
    Path("prompts").mkdir()
    make_voice().save("prompts/anna.npz")

    def run(*arguments: str) -> tuple[int, str]:
        status = main(["--model", "demo", *arguments])
        return status, " ".join(capsys.readouterr().err.split())

    return run


def test_dry_run_shows_the_cast_and_what_has_no_effect(shown):
    Path("play.txt").write_text(PLAY)
    status, error = shown("--prompt_file", "play.txt", "--dry_run")
    assert status == 0 and not Path("bark_samples").exists()
    for row in (
        "narrator │ random (of the run) │ │ 1 │",
        "Anna │ anna │ found │ 2 │",
        "Bob │ random (of the run) │ │ 1 │",
    ):
        assert row in error
    assert "silences: 1 of 1.5 s (asked), 1 of 0.35 s (speaker), 1 of 2 s (chapter)" in error
    assert "not in the cast, so spoken as text: Carl (line 10, column 1)" in error
    assert "pronunciations that hit nothing: Quebec" in error and "Nguyen" not in error.partition("hit nothing")[2]
    assert "1 Anna Hello, Win." in error


def test_missing_voice_is_shown_and_is_an_error(shown):
    Path("play.txt").write_text(PLAY.replace("anna", "annna"))
    status, error = shown("--prompt_file", "play.txt", "--dry_run")
    assert status == 2 and "Anna │ annna │ missing │ 2 │" in error
    assert "error: Anna in the cast: there is no voice 'annna'" in error and "did you mean anna" in error
    status, error = shown("--prompt_file", "play.txt")
    assert status == 2 and "Anna in the cast" in error and not Path("bark_samples").exists()
    status, error = shown("--text_prompt", "+++\n[cast]\n+++\nWell. [voice:nobody] Hello. [/voice]")
    assert status == 2 and "line 4, column 22: there is no voice 'nobody'" in error


def test_elements_of_ssml_without_effect_are_listed(shown):
    status, error = shown("--text_prompt", "<speak><prosody rate='slow'>Hello there.</prosody></speak>", "--dry_run")
    assert status == 0 and "elements without effect: prosody (line 1, column 8)" in error


def test_plain_text_is_shown_as_ever(shown):
    status, error = shown("--text_prompt", "Hello there.", "--dry_run")
    assert status == 0 and not {"cast", "silences", "narrator"} & set(error.split())


def test_mistake_in_a_script_is_one_sentence_with_its_place(shown):
    Path("play.txt").write_text(PLAY.replace("pause:1.5s", "pause=1.5"))
    status, error = shown("--prompt_file", "play.txt", "--dry_run")
    assert status == 2 and error.startswith(
        "error: --prompt_file play.txt, line 9, column 22: there is no tag [pause=1.5]; write [pause:1.5s]"
    )


def test_mended_clip_is_told_beforehand(shown):
    Path("old.txt").write_text(PLAY)
    quick = ("--semantic_max_gen_duration_s", "0.2", "--output_filename", "play")
    assert shown("--prompt_file", "old.txt", *quick)[0] == 0
    Path("new.txt").write_text(PLAY.replace("Good night", "Good morning"))
    again = ("--from_manifest", "bark_samples/play.json", "--prompt_file", "new.txt")
    diff = "- Bob: [laughs] Good night. + Bob: [laughs] Good morning. of the clip's segments: 1 new or changed, 1 left out or replaced, 3 kept"
    status, error = shown(*again, "--dry_run")
    assert status == 0 and diff in error and "1 kept Anna Hello, Win." in error and "3 new Bob" in error
    status, error = shown(*again)
    assert status == 0 and diff in error and Path("bark_samples/play_1.wav").exists()
    assert "bit for bit" not in error and "differs" not in error


def test_dry_run_shows_times_and_what_may_be_late(shown):
    Path("film.vtt").write_text(
        "WEBVTT\n\n00:01.500 --> 00:02.000\n<v Anna>Hello there.\n\n00:59:01.600 --> 00:59:03.000\nIt was the door.\n"
    )
    status, error = shown("--prompt_file", "film.vtt", "--fit_subtitles", "--cast", "Anna=anna", "--dry_run")
    assert status == 0 and "1 0:00:01.500 Anna Hello there." in error
    assert "2 0:59:01.600 narrator It was the door." in error
    assert "by estimate, all of 2 cues begin at their times" in error and "about 59:0" in error
    Path("late.vtt").write_text(Path("film.vtt").read_text().replace("00:59:01.600", "00:00:01.600"))
    status, error = shown("--prompt_file", "late.vtt", "--fit_subtitles", "--dry_run")
    assert status == 0 and "by estimate, 1 of 2 cues begin late, the worst by" in error
