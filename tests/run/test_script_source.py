"""The script of a run: its kind, its front matter as a layer of settings, its pronunciations, and prompts cut out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bark_infinity.cli.main import parse
from bark_infinity.errors import ScriptError, TextError, UsageError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options

FRONT = "+++\n[cast]\nAnna = 'v2/en_speaker_9'\n[settings]\nadd_silence_between_speakers = 0.4\ntext_temp = 0.3\n+++\n"


def source(*arguments: str) -> ClipSource:
    return ClipSource(resolve(parse(arguments)))


def speakers(*arguments: str) -> list[list[str | None]]:
    """The speakers of each clip's segments."""
    return [[segment.speaker for segment in plan.segments] for plan in source(*arguments).plan()[0]]


def test_front_matter_is_below_the_command_line_and_above_a_settings_file():
    Path("play.txt").write_text(FRONT + "Anna: Hello there.")
    Path("my.toml").write_text("add_silence_between_speakers = 3\ntext_temp = 0.9\nfine_temp = 0.1\n")
    options = source("--prompt_file", "play.txt", "--config", "my.toml").options
    assert (options.add_silence_between_speakers, options.semantic_temp, options.fine_temp) == (0.4, 0.3, 0.1)
    given = source("--prompt_file", "play.txt", "--config", "my.toml", "--semantic_temp", "0.7").options
    assert (given.add_silence_between_speakers, given.semantic_temp) == (0.4, 0.7)
    default = source("--prompt_file", "play.txt", "--add_silence_between_speakers", "0.35").options
    assert default.add_silence_between_speakers == 0.35  # given, though it is the default


def test_options_of_a_program_count_as_given():
    options = resolve(Options(text_prompt=FRONT + "Anna: Hello there.", text_temp=0.6))
    assert ClipSource(options).options.semantic_temp == 0.6
    assert ClipSource(options).options.add_silence_between_speakers == 0.4


def test_kind_is_found_or_given():
    line = "Anna: Hello there."
    assert speakers("--text_prompt", line) == [[None]]
    assert speakers("--text_prompt", line, "--cast", "Anna=v2/en_speaker_9") == [["Anna"]]
    assert speakers("--text_prompt", FRONT + line) == [["Anna"]]
    assert speakers("--text_prompt", f"<speak><voice name='Anna'>{line}</voice></speak>") == [["Anna"]]
    Path("a.ssml").write_text("<speak>Hello.</speak>")
    assert source("--prompt_file", "a.ssml").plan()[0][0].text == "Hello."
    with pytest.raises(UsageError, match="--cast does nothing in plain text"):
        source("--text_prompt", line, "--cast", "Anna=x", "--script", "plain")


def test_front_matter_is_for_all_prompts_that_are_cut():
    Path("play.txt").write_text(FRONT + "Anna: One here.\nTwo there.\nAnna: Three. [pause:2s]\n")
    arguments = (
        "--prompt_file",
        "play.txt",
        "--split_input_into_separate_prompts_by",
        "line",
        "--output_iterations",
        "2",
    )
    assert speakers(*arguments) == [["Anna"], ["Anna"], [None], [None], ["Anna"], ["Anna"]]
    plans, _ = source(*arguments).plan()
    assert plans[4].segments[-1].pause.seconds == 2.0
    with pytest.raises(UsageError, match="cannot cut SSML"):
        source("--text_prompt", "<speak>Hello.</speak>", *arguments[2:4])
    Path("cut.txt").write_text(FRONT + "[voice:Anna] One here.\nTwo. [/voice]\n")
    with pytest.raises(TextError, match=r"prompt 1 as it is cut: line 1, column 1: this \[voice:...\] has no end"):
        source("--prompt_file", "cut.txt", *arguments[2:4])


def test_errors_name_the_file_and_the_place():
    Path("play.txt").write_text(FRONT + "Anna: Wait. [pauze:1s]")
    with pytest.raises(ScriptError, match=r"--prompt_file play.txt, line 8, column 13: there is no tag \[pauze:1s\]"):
        source("--prompt_file", "play.txt")


def test_pronunciations_of_file_and_front_matter():
    Path("words.toml").write_bytes('[words]\n"dog" = "hound"\n"cat" = "puss"\n'.encode("utf-16"))
    text = "+++\n[pronunciations]\n'cat' = 'kitty'\n'mouse' = 'rat'\n+++\nA dog and a cat."
    one = source("--text_prompt", text, "--pronunciations", "words.toml")
    assert one.plan()[0][0].segments[0].text == "A hound and a kitty."
    assert {entry.written for entry in one.used_pronunciations} == {"dog", "cat"}
    for content, message in (
        ("[words", "--pronunciations words.toml: .* not TOML"),
        ("[words]\na = 1", "words.a: must be what"),
    ):
        Path("words.toml").write_text(content)
        with pytest.raises(TextError, match=message):
            source("--text_prompt", text, "--pronunciations", "words.toml")
    with pytest.raises(UsageError, match="--pronunciations absent.toml cannot be read"):
        source("--text_prompt", text, "--pronunciations", "absent.toml")


@pytest.mark.parametrize("cast", ["Anna", "Anna=", "=x", "A|b=x", "Anna=x,,"])
def test_cast_that_cannot_be_read_is_refused(cast):
    with pytest.raises(UsageError, match="--cast takes names with their voices"):
        source("--text_prompt", "Hello.", "--cast", cast)


def test_cast_of_the_command_line_replaces_voices_of_the_script():
    one = source("--text_prompt", FRONT + "Anna: Hello.", "--cast", "Anna=other.npz,Bob=bob.npz")
    assert {name: named.voice for name, named in one.voices.items()} == {"Anna": "other.npz", "Bob": "bob.npz"}
    bob = "+++\n[cast]\nBob = {voice = 'a.npz', text_temp = 0.6}\n+++\nBob: Hello there."
    (segment,) = source("--text_prompt", bob, "--cast", "Bob=b.npz").plan()[0][0].segments
    assert (segment.speaker, segment.own) == ("Bob", {"text_temp": 0.6})
    with pytest.raises(UsageError, match="--cast has Anna twice"):
        source("--text_prompt", "Hello.", "--cast", "Anna=x,Anna=y")
