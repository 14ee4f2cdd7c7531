"""Numbers of thousands of digits, wherever a setting can be given, raise a short error that does not repeat them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bark_infinity.cli.main import parse
from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.settings_file import read_config
from bark_infinity.options.table import Options, flags
from bark_infinity.output.manifest import read_manifest

DECIMAL = ["9" * 5000, "9" * 4000, "-" + "9" * 4000, "1" * 310]
IN_TOML = [*DECIMAL, "0x" + "f" * 5000, "0o" + "7" * 9000, "0b" + "1" * 20_000]
NUMBERS = [line for line in flags() if line.kind is int]


def error_message(act) -> str:
    with pytest.raises(UsageError) as error:
        act()
    assert len(str(error.value)) < 600
    return str(error.value)


@pytest.mark.parametrize("number", DECIMAL, ids=len)
def test_long_number_on_the_command_line(number):
    assert "--semantic_top_k " in error_message(lambda: resolve(parse([f"--semantic_top_k={number}"])))
    for line in NUMBERS:
        assert f"--{line.name} " in error_message(lambda line=line: line.check(line.parse(number)))


@pytest.mark.parametrize("number", IN_TOML, ids=lambda number: f"{number[:2]}{len(number)}")
def test_long_number_in_a_settings_file(number):
    for name in ("semantic_top_k", "text_temp", "dry_run", "text_prompt", "dtype", "gain_db", "seed"):
        Path("settings.toml").write_text(f"{name} = {number}\n")
        assert "--config settings.toml" in error_message(lambda: read_config("settings.toml"))


@pytest.mark.parametrize("line", NUMBERS, ids=lambda line: line.name)
def test_long_number_from_python(line):
    error_message(lambda: resolve(Options(**{line.name: 10**5000})))


@pytest.mark.parametrize("number", DECIMAL, ids=len)
def test_long_number_in_a_manifest(number):
    good = {"format": 1, "text": "a", "seed": 0, "prompt": 0, "take": 0, "settings": {}}
    good["segments"] = [{"text": "a", "seeds": {"segment": 1}}]
    for place in ('"format": 1', '"seed": 0', '"take": 0', '"segment": 1', '"settings": {'):
        value = f'{place}"semantic_top_k": {number}' if place.endswith("{") else f"{place.rpartition(' ')[0]} {number}"
        Path("clip.json").write_text(json.dumps(good).replace(place, value))
        assert "--from_manifest clip.json" in error_message(lambda: read_manifest("clip.json"))
