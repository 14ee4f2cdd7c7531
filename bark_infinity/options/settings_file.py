"""Settings files: TOML with the names of the flags, read by --config and written by --print_config."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from ..errors import UsageError
from .flag import Flag
from .suggestions import suggest
from .table import Options, flags
from .toml import TomlError, format_toml, parse_toml, read_toml_text

_MAX_BYTES = 200_000  # a file with all flags has 30 kB
_NOT_IN_FILES = ("config", "print_config", "print_completion")


def read_config(name: str) -> dict[str, object]:
    """The settings of a TOML file, by flag name. Names of tables are ignored. Raises UsageError.

    The file is in an encoding that `read_toml_text` reads.
    """
    text = read_toml_text("config", name, _MAX_BYTES)
    try:
        return dict(_settings(parse_toml(text), name))
    except TomlError as error:
        raise UsageError(f"--config {name} is not TOML ({error}); mend that place") from None


def read_setting(key: str, value: object, allowed: Mapping[str, Flag]) -> tuple[str, object]:
    """The flag's name and the value of a setting as a file or script has it. Raises UsageError.

    `allowed`: flags by their names and aliases, as of `flags_by_name`.
    """
    name = key.replace("-", "_").lower()
    if name not in allowed:
        hint = suggest(name, dashes="") or "--help lists the flags"
        raise UsageError(f"there is no setting {key}; {hint}")
    setting = allowed[name].read(value)
    allowed[name].check(setting)
    return allowed[name].name, setting


def flags_by_name(lines: Iterable[Flag]) -> dict[str, Flag]:
    """Flags by each of their names."""
    return {name: line for line in lines for name in (line.name, *line.aliases)}


def _settings(content: Mapping[str, object], file: str) -> Iterator[tuple[str, object]]:
    table = flags_by_name(line for line in flags() if line.name not in _NOT_IN_FILES)
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _settings(value, file)
            continue
        try:
            yield read_setting(key, value, table)
        except UsageError as error:
            raise UsageError(f"--config {file}: {error}") from None


def config_text(options: Options, ascii_only: bool = os.name == "nt") -> str:
    """All settings as a TOML file that `read_config` reads back; those without a value are comments.

    `ascii_only`: escape other characters, because PowerShell damages them: it decodes the output of a program with the
    console's code page before it writes a file.
    """
    lines = ["# Settings of Bark Infinity, for --config. The command line wins over this file.\n"]
    in_file = (line for line in flags() if line.name not in _NOT_IN_FILES)
    for group, members in groupby(in_file, key=lambda line: line.group):
        lines.append(f"\n[{group.lower().replace(' ', '_')}]\n")
        lines.extend(_setting(line, getattr(options, line.name), ascii_only) for line in members)
    return "".join(lines)


def _setting(line: Flag, value: object, ascii_only: bool) -> str:
    text = f"{line.name} = {format_toml(value, ascii_only)}" if value is not None else f"# {line.name} ="
    return f"# {line.help}\n{text}\n"
