"""Settings files: TOML with the names of the flags, read by --config and written by --print_config."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby

from ..errors import UsageError
from ..files import read_bounded
from .flag import Flag
from .suggestions import suggest
from .table import Options, flags

_MAX_BYTES = 200_000  # a file with all flags has 30 kB
_LONG_NAME = re.compile(
    r"""(?<![\w-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){300}"""
)  # a dotted name that tomllib would parse for minutes
_NOT_IN_FILES = ("config", "print_config", "print_completion")


def read_config(name: str) -> dict[str, object]:
    """The settings of a TOML file, by flag name. Names of tables are ignored. Raises UsageError.

    The file is UTF-8, or UTF-16 as PowerShell's `>` and Notepad write it, with a byte order mark or without.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        data = read_bounded(name, _MAX_BYTES)
        text = data.decode(json.detect_encoding(data)).replace("\r\n", "\n")
        if _LONG_NAME.search(text):
            raise UsageError(f"--config {name} is not TOML of settings (a name has hundreds of parts); mend that place")
        return dict(_settings(tomllib.loads(text), name))
    except OSError as error:
        raise UsageError(f"--config {name} cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise UsageError(f"--config {name} is neither UTF-8 nor UTF-16; save it as UTF-8 in an editor") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"--config {name} is not TOML ({str(error)[:200]}); mend that place") from None
    except ValueError:  # a number of more digits than Python converts
        raise UsageError(f"--config {name} has a number of thousands of digits; mend that place") from None


def _settings(content: Mapping[str, object], file: str) -> Iterator[tuple[str, object]]:
    table = {name: line for line in flags() for name in (line.name, *line.aliases) if line.name not in _NOT_IN_FILES}
    for key, value in content.items():
        name = key.replace("-", "_").lower()
        if isinstance(value, dict):
            yield from _settings(value, file)
        elif name in table:
            try:
                setting = table[name].read(value)
                table[name].check(setting)
            except UsageError as error:
                raise UsageError(f"--config {file}: {error}") from None
            yield table[name].name, setting
        else:
            hint = suggest(name, dashes="") or "--help lists the flags"
            raise UsageError(f"--config {file}: there is no setting {key}; {hint}")


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
    text = f"{line.name} = {_toml(value, ascii_only)}" if value is not None else f"# {line.name} ="
    return f"# {line.help}\n{text}\n"


def _toml(value: object, ascii_only: bool) -> str:
    """A value in TOML syntax: that of JSON, except that TOML also escapes the DEL character."""
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return re.sub(r"[^\x00-\x7f]", lambda match: f"\\U{ord(match[0]):08X}", text) if ascii_only else text
