"""Settings files: every flag goes through one and back, the command line wins, and what is wrong is named with its file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.cli import main, parse
from bark_infinity.config import config_text, read_config
from bark_infinity.errors import UsageError
from bark_infinity.options import Options, flags

IN_FILES = [line for line in flags() if line.name not in ("config", "print_config", "print_completion")]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = {bool: st.booleans(), int: st.integers(-(2**40), 2**40), str: TEXTS}
VALUES[float] = st.floats(allow_nan=False, allow_infinity=False)


def write(text: str) -> str:
    Path("my.toml").write_text(text, encoding="utf-8")
    return "my.toml"


@st.composite
def some_options(draw) -> Options:
    chosen = draw(st.lists(st.sampled_from(IN_FILES), unique_by=lambda line: line.name))
    values = {x.name: draw(st.sampled_from(x.choices) if x.choices else VALUES[x.kind]) for x in chosen}
    return Options(**values)


@settings(deadline=None)
@given(some_options())
def test_what_is_printed_is_read_back(options):
    read = Options(**read_config(write(config_text(options))))
    assert read == options


def test_the_printed_file_names_every_flag_with_its_help():
    text = config_text(Options())
    for line in IN_FILES:
        assert f"{line.name} =" in text and f"# {line.help}\n" in text


def test_the_command_line_wins_over_the_file():
    file = write('text-temp = 0.3\nseed = 1\nmodel = "small"\n[long_clips]\nSTABLE_MODE_INTERVAL = 3\n')
    options = parse(["--config", file, "--seed", "2"])
    assert (options.text_temp, options.seed, options.model, options.stable_mode_interval) == (0.3, 2, "small", 3)


def test_printed_settings_go_on_following_each_other(capsys):
    """A file with semantic_temp spelled out would silence --text_temp."""
    assert main(["--print_config", "--text_temp", "0.4"]) == 0
    file = write(capsys.readouterr().out)
    assert parse(["--config", file]).resolved().semantic_temp == 0.4
    assert parse(["--config", file, "--text_temp", "0.1"]).resolved().semantic_temp == 0.1


def test_types_are_taken_as_on_the_command_line():
    file = write(
        'fine_temp = 0\nin_groups_of_size = 3\nprocess_text_by_each = "WORD"\noffload_cpu = "auto"\ndry_run = "yes"'
    )
    expected = Options(
        fine_temp=0.0, split_each_text_prompt_by_value="3", split_each_text_prompt_by="word", dry_run=True
    )
    assert parse(["--config", file]) == dataclasses.replace(expected, config=file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ", "is not TOML"),
        ("seed = 1\nseed = 2", "is not TOML"),
        ("sead = 1", "no setting sead; did you mean seed?"),
        ("xyzzy = 1", "no setting xyzzy; --help"),
        ('seed = "many"', "--seed takes a whole number"),
        ("seed = 1.5", "--seed takes a whole number"),
        ("seed = true", "--seed takes a whole number"),
        ("dry_run = 1", "--dry_run takes true or false"),
        ('model = ["small"]', "--model takes a text"),
        ("text_prompt = 1979-05-27", "--text_prompt takes a text"),
        ('device = "tpu"', "'tpu' is not one of auto"),
        ('config = "other.toml"', "no setting config"),
        ("[a.b.c]\nfine_temp = 'warm'", "--fine_temp takes a number"),
    ],
)
def test_a_wrong_file_is_named_with_the_place(text, message, capfd):
    file = write(text)
    assert main(["--config", file]) == 2
    err = " ".join(capfd.readouterr().err.split())
    assert f"--config {file}" in err and message in err


def test_files_that_cannot_be_read():
    Path("latin.toml").write_bytes(b'text_prompt = "caf\xe9"')
    Path("deep.toml").write_text("a = " + "[" * 100_000)
    for name, message in (
        ("absent.toml", "cannot be read"),
        (".", "cannot be read"),
        ("latin.toml", "not TOML"),
        ("deep.toml", "not TOML"),
    ):
        with pytest.raises(UsageError, match=message):
            read_config(name)


def test_values_out_of_range_are_found_whoever_gave_them(capfd):
    assert main(["--config", write("fine_temp = -1.0")]) == 2
    assert "--fine_temp must be 0.0 or more" in capfd.readouterr().err
