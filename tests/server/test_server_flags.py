"""The server's command line: its own flags, the defaults of what it speaks, and what is refused."""

from __future__ import annotations

import re

import pytest

from bark_infinity.errors import UsageError
from bark_infinity.options.flag import flags_of
from bark_infinity.options.table import flags
from bark_infinity.server.server_flags import REFUSED, ServerFlags, make_parser, read_command_line
from bark_infinity.server.services import ServerSettings


def test_own_flags_and_defaults_are_told_apart(tmp_path):
    (tmp_path / "my.toml").write_text("seed = 7\ntext_temp = 0.5\n")
    line = "--Port 0 --host-names bark.lan,,b.example --model demo --config my.toml --text_temp 0.6 --most_waiting=5"
    own, defaults = read_command_line(line.split())
    assert own.settings(8080) == ServerSettings("127.0.0.1", 8080, None, ("bark.lan", "b.example"), 5)
    assert (defaults.model, defaults.seed, defaults.text_temp) == ("demo", 7, 0.6)
    assert (defaults.semantic_temp, defaults.output_format) == (0.6, "wav")  # they are resolved


def test_the_key_comes_from_the_environment_unless_it_is_given(monkeypatch):
    monkeypatch.setenv("BARK_API_KEY", "from-there")
    assert read_command_line([])[0].api_key == "from-there"
    assert read_command_line(["--api_key", "from-here"])[0].api_key == "from-here"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--text_prompt Hello", "--text_prompt is no default of a server: it belongs to one job"),
        ("--dry_run", "--dry_run is no default of a server: it is for the command line"),
        ("--cluster local", "--cluster is no default of a server"),
        ("--port 65536", "--port must be between 0 and 65535, not 65536"),
        ("--port none", "--port takes a whole number, not 'none'"),
        ("--api_key ключ", "--api_key must be of ASCII characters"),
        ("--api_key=", "--api_key must be of ASCII characters"),
        ("--seeed 3", "there is no flag --seeed; did you mean --seed?"),
        ("--output_format xyz", "--output_format 'xyz' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(line, says):
    with pytest.raises(UsageError) as error:
        read_command_line(line.split())
    assert str(error.value).startswith(says)


def test_a_settings_file_is_held_to_the_same(tmp_path):
    (tmp_path / "my.toml").write_text('text_prompt = "Hello"\n')
    with pytest.raises(UsageError, match="--text_prompt is no default"):
        read_command_line(["--config", "my.toml"])


def test_help_shows_the_servers_flags_first_and_none_that_is_refused(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = re.sub(r"\x1b\[[\d;]*m", "", make_parser().format_help())
    assert text.index("Server:") < text.index("Input:") < text.index("More:")
    assert max(map(len, text.splitlines())) <= 80
    shown = set(re.findall(r"^  (?:-h, )?--(\w+)", text, re.M))
    table = {line.name for line in flags()}
    assert REFUSED.keys() <= table
    assert shown == (table - REFUSED.keys()) | {line.name for line in flags_of(ServerFlags)} | {"version", "help"}


def test_no_name_stands_for_two_flags():
    names = [name for line in (*flags_of(ServerFlags), *flags()) for name in (line.name, *line.aliases)]
    assert len(names) == len(set(names))
