"""Precedence of settings: the command line overrides a settings file or a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from bark_infinity.cli.main import parse
from bark_infinity.errors import UsageError
from bark_infinity.options.layers import layered
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options, flags


@pytest.mark.parametrize(
    ("file", "command_line", "expected"),
    [
        (
            {"check_segments": "retry", "retries": 4, "check_min_loudness_db": -50.0},
            {"check_segments": "off"},
            {"check_segments": "off"},
        ),
        ({"output_iterations": 3}, {"from_manifest": "x"}, {"from_manifest": "x"}),
        ({"from_manifest": "x", "regenerate": "2"}, {"text_prompt": "Hi"}, {"text_prompt": "Hi"}),
        ({"retries": 4}, {}, {}),
        ({"retries": 4}, {"check_segments": "retry"}, {"retries": 4, "check_segments": "retry"}),
        ({"semantic_temp": 0.2}, {"text_temp": 0.7}, {"text_temp": 0.7}),
        ({"seed": 3}, {"single_starting_seed": 4}, {"single_starting_seed": 4}),
        ({"seed": 3}, {"seed": None}, {"seed": None}),
        ({"semantic_mirostat_tau": 4.0}, {"semantic_use_mirostat_sampling": False}, None),
        ({"semantic_mirostat_tau": 4.0}, {"text_temp": 0.0}, {"text_temp": 0.0}),
        ({"semantic_temp": 0.0}, {"semantic_mirostat_tau": 4.0}, {"semantic_mirostat_tau": 4.0}),
        ({"split_character_max_length": 60}, {"split_character_goal_length": 100}, None),
        ({"split_character_goal_length": 150}, {"split_character_max_length": 100}, None),
        ({"split_each_text_prompt_by": "word", "split_each_text_prompt_by_value": "9"}, {"split_each_text_prompt_by": None}, None),
        ({"split_each_text_prompt_by": "word", "split_each_text_prompt_by_value": "9"}, {"split_each_text_prompt_by": "line"}, None),
        ({"split_each_text_prompt_by": "word"}, {"bark_speaker_as_the_prompt": "v"}, {"bark_speaker_as_the_prompt": "v"}),
        ({"negative_text_prompt": "a", "negative_text_prompt_logits_scale": 2.0}, {"negative_text_prompt": None}, None),
        ({"use_smaller_models": True}, {"text_use_small": False}, {"text_use_small": False, "coarse_use_small": True, "fine_use_small": True}),
        ({"confused_travolta_mode": True}, {"semantic_allow_early_stop": True}, {"semantic_allow_early_stop": True}),
        ({"output_format": "mp3"}, {"output_filename": "a.flac"}, {"output_filename": "a.flac"}),
        ({"output_filename": "a.flac"}, {"output_format": "mp3"}, {"output_filename": "a", "output_format": "mp3"}),
        ({"force_reload": True}, {"offline": False}, {"force_reload": True, "offline": False}),
        ({"force_reload": True}, {"offline": True}, {"offline": True}),
    ],
)  # fmt: skip
def test_nearer_layer_wins_and_settings_it_makes_useless_are_dropped(file, command_line, expected):
    settings = layered(command_line, file)
    assert settings == (command_line if expected is None else expected)
    resolve(Options(**settings))


@pytest.mark.parametrize(
    ("file", "command_line", "message"),
    [
        ({}, {"check_segments": "off", "retries": 3}, "--retries does nothing without"),
        ({"check_segments": "off"}, {"retries": 3}, "--retries does nothing without"),
        ({}, {"from_manifest": "x", "output_iterations": 3}, "--output_iterations does nothing beside --from_manifest"),
        ({"from_manifest": "x", "output_iterations": 3}, {}, "--output_iterations does nothing beside --from_manifest"),
        ({"seed": 1, "single_starting_seed": 2}, {}, "exclude each other"),
        ({}, {"seed": 1, "single_starting_seed": 2}, "exclude each other"),
    ],
)
def test_contradictions_of_one_layer_are_refused(file, command_line, message):
    with pytest.raises(UsageError, match=message):
        resolve(Options(**layered(command_line, file)))


@pytest.mark.parametrize("line", [line for line in flags() if line.default is None and line.unset is not None])
def test_every_optional_flag_can_be_unset(line):
    """With its `unset` word, on the command line and in a settings file."""
    words = [line.unset, line.unset.upper(), *(["auto"] if line.kind is bool else [])]
    assert [line.parse(word) for word in words] == [None] * len(words)
    if line.name in ("config", "print_completion", "from_manifest"):
        return
    value = "3" if line.kind in (int, float) else "true" if line.kind is bool else next(iter(line.choices), "some.x")
    value = {"output_format_ffmpeg_parameters": "-b:a 96k", "semantic_top_p": "0.5"}.get(line.name, value)
    value = "0.5" if line.high == 1.0 else value
    Path("my.toml").write_text(f'{line.name} = "{value}"\n')
    parts = ["--config", "my.toml", "--model=small"]
    assert line.parse(value) is not None
    assert getattr(parse([*parts, f"--{line.name}={line.unset}"]), line.name) is None


def test_word_none_is_kept_in_texts():
    options = parse(["--text_prompt", "none", "--prompt_text_prefix", "None", "--output_filename", "none"])
    assert (options.text_prompt, options.prompt_text_prefix, options.output_filename) == ("none", "None", "none")
    assert parse(["--text_prompt", ""]).text_prompt == ""  # later refused as a text without words, not treated as unset


def test_flag_with_a_required_value_cannot_be_unset():
    with pytest.raises(UsageError, match="--text_temp takes a number, not 'none'"):
        parse(["--text_temp", "none"])
