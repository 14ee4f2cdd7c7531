"""Settings files: every flag survives a round trip, the command line wins, and errors name the file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.cli.main import main, parse
from bark_infinity.errors import UsageError
from bark_infinity.options.flag import Flag
from bark_infinity.options.resolve import resolve
from bark_infinity.options.settings_file import config_text, read_config
from bark_infinity.options.table import Options, flags

IN_FILES = [line for line in flags() if line.name not in ("config", "print_config", "print_completion")]
MAX_INT = 2**63 - 1  # whole numbers of settings have 64 bits at most
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def values(line: Flag) -> st.SearchStrategy:
    """A strategy for the values of a flag."""
    if line.choices:
        return st.sampled_from(line.choices)
    if line.words:
        return st.sampled_from(line.words) | st.floats(line.low, line.high).map(str)
    if line.kind is float:
        return st.floats(line.low, line.high, allow_nan=False, allow_infinity=False)
    texts = TEXTS.filter(lambda text: text.lower() != line.unset)  # the word for none at all
    return {bool: st.booleans(), int: st.integers(line.low, MAX_INT if line.high is None else line.high), str: texts}[
        line.kind
    ]


def write(text: str) -> str:
    Path("my.toml").write_text(text, encoding="utf-8")
    return "my.toml"


@st.composite
def some_options(draw) -> Options:
    chosen = draw(st.lists(st.sampled_from(IN_FILES), unique_by=lambda line: line.name))
    return Options(**{line.name: draw(values(line)) for line in chosen})


@settings(deadline=None)
@given(some_options(), st.booleans())
def test_printed_settings_are_read_back_unchanged(options, ascii_only):
    text = config_text(options, ascii_only)
    assert Options(**read_config(write(text))) == options
    assert text.isascii() or not ascii_only


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]  # UTF-16 alone has a byte order mark


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_of_powershell_and_notepad_are_read(encoding, line_end):
    """PowerShell 5 writes UTF-16 with a byte order mark; Notepad can write any of these encodings."""
    options = Options(text_prompt="Grüße, 世界 🙂", fine_temp=0.25)
    Path("my.toml").write_bytes(config_text(options).replace("\n", line_end).encode(encoding))
    assert Options(**read_config("my.toml")) == options
    Path("big_endian.toml").write_bytes("\ufeffseed = 5".encode("utf-16-be"))
    assert read_config("big_endian.toml") == {"seed": 5}


def test_file_in_another_encoding_is_refused_with_the_remedy():
    Path("my.toml").write_bytes('text_prompt = "Grüße"'.encode("cp1252"))
    with pytest.raises(UsageError, match="neither UTF-8 nor UTF-16; save it as UTF-8"):
        read_config("my.toml")


def test_the_printed_file_names_every_flag_with_its_help():
    text = config_text(Options())
    for line in IN_FILES:
        assert f"{line.name} =" in text and f"# {line.help}\n" in text


def test_the_command_line_wins_over_the_file():
    file = write('text-temp = 0.3\nseed = 1\nmodel = "small"\n[long_clips]\nSTABLE_MODE_INTERVAL = 3\n')
    options = parse(["--config", file, "--seed", "2"])
    assert (options.text_temp, options.seed, options.model, options.stable_mode_interval) == (0.3, 2, "small", 3)


def test_printed_settings_keep_inherited_values_unset(capsys):
    """A file that spelled out the inherited semantic_temp would override --text_temp."""
    assert main(["--print_config", "--text_temp", "0.4"]) == 0
    file = write(capsys.readouterr().out)
    assert resolve(parse(["--config", file])).semantic_temp == 0.4
    assert resolve(parse(["--config", file, "--text_temp", "0.1"])).semantic_temp == 0.1


def test_values_are_parsed_as_on_the_command_line():
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
        ("fine_temp = " + "1" * 400, "--fine_temp"),
        ("fine_temp = inf", "--fine_temp must be a finite number"),
        ("[a.b.c]\nfine_temp = 'warm'", "--fine_temp takes a number"),
    ],
)
def test_error_names_the_file_and_the_setting(text, message, capfd):
    file = write(text)
    assert main(["--config", file]) == 2
    err = " ".join(capfd.readouterr().err.split())
    assert f"--config {file}" in err and message in err


def test_unreadable_file_raises_usage_error():
    Path("latin.toml").write_bytes(b'text_prompt = "caf\xe9"')
    Path("deep.toml").write_text("a = " + "[" * 100_000)
    Path("tables.toml").write_text(f"[{'.'.join('a' * 3000)}]\nseed = 1")
    for name, message in (
        ("absent.toml", "cannot be read"),
        (".", "cannot be read"),
        ("latin.toml", "neither UTF-8 nor UTF-16"),
        ("deep.toml", "not TOML"),
        ("tables.toml", "not TOML"),
    ):
        with pytest.raises(UsageError, match=message):
            read_config(name)


def test_byte_order_mark_of_notepad_is_skipped():
    Path("my.toml").write_bytes("seed = 4\r\n".encode("utf-8-sig"))
    assert parse(["--config", "my.toml"]).seed == 4


@pytest.mark.parametrize(
    ("file", "arguments", "overridden"),
    [
        ('text_prompt = "Hello."', ["--prompt_file", "x.txt"], "text_prompt"),
        ("single_starting_seed = 1", ["--seed", "2"], "single_starting_seed"),
        ("semantic_top_p = 0.5", ["--inverted_p", "0.5"], "semantic_top_p"),
        ('history_prompt = "announcer"', ["--audio_file_as_history_prompt", "x.wav"], "history_prompt"),
    ],
)
def test_command_line_overrides_settings_it_excludes(file, arguments, overridden):
    options = parse(["--config", write(file), *arguments])
    assert getattr(options, overridden) is None
    resolve(options)


def test_values_out_of_range_are_refused(capfd):
    assert main(["--config", write("fine_temp = -1.0")]) == 2
    assert "--fine_temp must be 0.0 or more" in capfd.readouterr().err
