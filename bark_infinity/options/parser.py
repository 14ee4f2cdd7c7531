"""The parser of command lines, built from a table of flags, and what it says of arguments that it cannot read."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Container, Mapping, Sequence
from typing import Any, NoReturn

from .. import __version__
from ..errors import UsageError
from .flag import Flag
from .settings_file import read_config
from .suggestions import suggest

_LONGEST_METAVAR = 40  # characters, for help at 80 columns


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:  # argparse does not export its type of `file`
        """Print help or version. Unlike argparse's, this does not hide errors of a closed or full stdout."""
        file = file or sys.stderr
        file.write(message)
        file.flush()

    def error(self, message: str) -> NoReturn:
        name = re.search(r"--\w+", message)
        if name is not None and message.endswith("expected one argument"):
            raise UsageError(f"{name[0]} needs a value; one that begins with - is written {name[0]}=-value")
        raise UsageError(f"{message}; --help lists what there is")


def parser_of(
    table: Sequence[Flag], program: str, usage: str, description: str, epilog: str, hidden: Container[str] = ()
) -> argparse.ArgumentParser:
    """The argparse parser of a table of flags, in their groups; --version and --help are in the last one.

    Only flags that are given get attributes. `program`: how the process was started. `hidden`: names of flags that
    --help does not show.
    """
    parser = _Parser(
        prog=program,
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=_formatter(),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(line.group for line in table)}
    for line in table:
        _add_flag(groups[line.group], line, line.name not in hidden)
    more = groups[table[-1].group]
    more.add_argument("--version", action="version", version=f"Bark Infinity {__version__}", help="Show the version.")
    more.add_argument("-h", "--help", action="help", help="Show this and stop.")
    return parser


def parse_given(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    """The flags that a command line gives, by name. Raises UsageError. --help and --version print and exit."""
    known, unknown = parser.parse_known_args([_normalize(argument) for argument in arguments])
    if unknown:
        raise UsageError(_explain_unknown(unknown[0]))
    return vars(known)


def settings_of_file(given: Mapping[str, object]) -> dict[str, object]:
    """The settings of the file that --config names; none without it. Raises UsageError."""
    config = given.get("config")
    return {} if config is None else read_config(os.path.expanduser(str(config)))


def _add_flag(group: argparse._ArgumentGroup, line: Flag, shown: bool) -> None:
    names = [f"--{name}" for name in (line.name, *line.aliases)]
    text = line.help.replace("%", "%%")
    if line.kind is bool:
        words = "true|false|auto" if line.default is None else "true|false"
        help = _with_default(text, line) if shown else argparse.SUPPRESS
        group.add_argument(*names, nargs="?", const=True, type=line.parse, metavar=words, help=help)
    else:
        listed = "|".join(line.choices)
        if len(listed) > _LONGEST_METAVAR:
            text, listed = f"{text} One of {', '.join(line.choices)}.", "NAME"
        metavar = line.metavar or listed or line.kind.__name__.upper()
        help = _with_default(text, line) if shown else argparse.SUPPRESS
        group.add_argument(*names, type=line.parse, metavar=metavar, help=help)


def _with_default(text: str, line: Flag) -> str:
    if line.default is None or line.default is False:
        return text
    return f"{text} \\[{str(line.default).lower() if line.default is True else line.default}]"


def _formatter() -> type[argparse.HelpFormatter]:
    from rich_argparse import RawDescriptionRichHelpFormatter

    class Formatter(RawDescriptionRichHelpFormatter):
        group_name_formatter = str  # as declared, not in title case

        def __init__(self, prog: str):
            super().__init__(prog, max_help_position=30)

    return Formatter


def _normalize(argument: str) -> str:
    """`--Text-Prompt=x` -> `--text_prompt=x`; arguments that are not flags stay as they are."""
    match = re.match(r"--[A-Za-z][\w-]*(?==|$)", argument)
    return match[0][:2] + match[0][2:].replace("-", "_").lower() + argument[match.end() :] if match else argument


def _explain_unknown(argument: str) -> str:
    """The error message for an argument that the parser does not know."""
    if not re.match(r"-{1,2}[A-Za-z]", argument):
        return f'{argument!r} belongs to no flag; put a text with spaces in quotes, as in --text_prompt "Hello there."'
    name = argument.split("=")[0]
    return f"there is no flag {name}; {suggest(name.lstrip('-')) or '--help lists what there is'}"
