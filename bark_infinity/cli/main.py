"""The command line: a parser built from the table of flags, and error reports. Imports torch only to generate audio."""

from __future__ import annotations

import argparse
import dataclasses
import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.console import Console

from .. import __version__
from ..errors import EXIT_FAILED, EXIT_USAGE, BarkError, UsageError
from ..options.flag import Flag
from ..options.layers import layered, readable_beside
from ..options.resolve import resolve
from ..options.settings_file import config_text, read_config
from ..options.suggestions import suggest
from ..options.table import Options, flags
from . import console as view
from .first_steps import program_name
from .signals import INTERRUPTED, stopping
from .streams import UnwritableOutput

EXIT_INTERRUPTED = 130
_LONGEST_METAVAR = 40  # characters, for help at 80 columns
_EPILOG = (
    "Flags take _ or -, in either case.\nA flag that is true or false takes nothing (true) or the word.\n"
    "The command line wins over a script, that over a settings file,\nand that over a manifest.\n"
    'What they say is taken back by "none", as in --seed none; texts by "".'
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line. Returns the exit status."""
    console = view.make_console()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # paths in any script, whatever the locale
    with stopping() as request:
        try:
            status = _run(sys.argv[1:] if argv is None else argv, console)
        except BaseException as error:
            if request.status is None and not isinstance(error, KeyboardInterrupt):
                return _report(error, console)
            request.status = request.status or EXIT_INTERRUPTED
        if request.status is not None:  # also after a normal end: a library may have swallowed Stopped
            view.report_error(console, INTERRUPTED)
            return request.status
    return _report_lost_paths(console) or status


def _report(error: BaseException, console: Console) -> int:
    """Report an error in one sentence. Returns the exit status. Raises errors again that no user can cause."""
    if isinstance(error, BarkError):
        logging.getLogger(__name__).debug("", exc_info=error)  # the traceback, for --loglevel DEBUG
        view.report_error(console, str(error))
        return EXIT_USAGE
    if isinstance(error, BrokenPipeError):  # the reader of stdout has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    if isinstance(error, OSError):  # of stdout: other files raise OutputError
        reason = error.strerror or error
        view.report_error(console, f"the output cannot be written ({reason}); free space or redirect it")
        sys.stdout = None  # the buffered rest cannot be written when Python exits either
        return EXIT_FAILED
    raise error


def _report_lost_paths(console: Console) -> int:
    """Report finished results whose paths could not be printed, if there are any. Returns the exit status."""
    output = sys.stdout
    if not isinstance(output, UnwritableOutput) or not output.lost:
        return 0
    reason = output.reason.strerror
    view.report_error(
        console,
        f"the standard output cannot be written ({reason}); the files are complete, but redirect it to get their paths",
    )
    return EXIT_FAILED


def _run(argv: Sequence[str], console: Console) -> int:
    given = parse(argv)
    options = resolve(given)
    view.start_logging(console, options.loglevel)
    status = 0
    if options.print_config:
        print(config_text(given), end="")  # not the resolved ones: derived defaults must stay unset in the file
    elif options.print_completion is not None:
        print(completion(options.print_completion))
    else:
        _check_current_folder()
        from . import commands  # late: it imports NumPy, which --help and a wrong flag do not need

        status = commands.run(options, console)
    if sys.stdout is not None:
        sys.stdout.flush()  # while a full disk can still be reported
    return status


def _check_current_folder() -> None:
    """Raise UsageError if the current folder was deleted: torch and others fail on that when they are imported."""
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(
            f"the current folder cannot be used ({error.strerror}), so it was deleted or moved away; "
            "change to another one (cd) and start again"
        ) from None


# ---- parsing --------------------------------------------------------------------------------------------------------


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


def parse(arguments: Sequence[str]) -> Options:
    """Options from a command line and from the settings file and manifest that it names. Raises UsageError.

    --help and --version print and exit.
    """
    known, unknown = make_parser().parse_known_args([_normalize(a) for a in arguments])
    if unknown:
        raise UsageError(_explain_unknown(unknown[0]))
    given = vars(known)
    config = given.get("config")
    from_file = read_config(os.path.expanduser(config)) if config is not None else {}
    settings = layered(given, readable_beside(given, from_file))
    if settings.get("from_manifest") is not None:
        from ..output.recorded import with_manifest  # late: it imports NumPy

        settings = with_manifest(settings, os.path.expanduser(str(settings["from_manifest"])), "output_dir" in given)
    return dataclasses.replace(Options.from_settings(settings), given=frozenset(given))


def completion(shell: str) -> str:
    """A script for `shell` that completes the flags of the installed command."""
    import shtab

    parser = make_parser()
    parser.prog = "bark-infinity"
    choices = {line.name: line.choices for line in flags() if line.choices}
    for action in parser._actions:
        action.choices = choices.get(action.dest)
        action.help = (action.help or "").replace("\\[", "[")  # rich's escape
        if action.nargs == "?":
            action.nargs = 0  # a flag whose value may be left out: complete another flag after it
        if action.metavar in ("FILE", "DIR", "VOICE"):
            kind = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]  # read by shtab
    return shtab.complete(parser, shell)


def make_parser() -> argparse.ArgumentParser:
    """The argparse parser of all flags, in their groups."""
    parser = _Parser(
        prog=program_name(),
        usage=f"{program_name()} --text_prompt TEXT [flags]",
        description="Text of any length to speech, music and sound with Suno's Bark.",
        epilog=_EPILOG,
        formatter_class=_formatter(),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(line.group for line in flags())}
    for line in flags():
        _add_flag(groups[line.group], line)
    more = groups[flags()[-1].group]
    more.add_argument("--version", action="version", version=f"Bark Infinity {__version__}", help="Show the version.")
    more.add_argument("-h", "--help", action="help", help="Show this and stop.")
    return parser


def _add_flag(group: argparse._ArgumentGroup, line: Flag) -> None:
    names = [f"--{name}" for name in (line.name, *line.aliases)]
    text = line.help.replace("%", "%%")
    if line.kind is bool:
        words = "true|false|auto" if line.default is None else "true|false"
        group.add_argument(
            *names, nargs="?", const=True, type=line.parse, metavar=words, help=_with_default(text, line)
        )
    else:
        listed = "|".join(line.choices)
        if len(listed) > _LONGEST_METAVAR:
            text, listed = f"{text} One of {', '.join(line.choices)}.", "NAME"
        metavar = line.metavar or listed or line.kind.__name__.upper()
        group.add_argument(*names, type=line.parse, metavar=metavar, help=_with_default(text, line))


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
