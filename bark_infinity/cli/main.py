"""The command line: a parser built from the table of flags, and error reports. Imports torch only to generate audio."""

from __future__ import annotations

import argparse
import dataclasses
import io
import logging
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from ..errors import EXIT_FAILED, EXIT_USAGE, BarkError, UsageError
from ..options.layers import layered, readable_beside
from ..options.parser import parse_given, parser_of, settings_of_file
from ..options.resolve import resolve
from ..options.settings_file import config_text
from ..options.table import Options, flags
from . import console as view
from .first_steps import program_name
from .signals import INTERRUPTED, stopping
from .streams import UnwritableOutput

EXIT_INTERRUPTED = 130
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


def parse(arguments: Sequence[str]) -> Options:
    """Options from a command line and from the settings file and manifest that it names. Raises UsageError.

    --help and --version print and exit.
    """
    given = parse_given(make_parser(), arguments)
    from_file = settings_of_file(given)
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
    return parser_of(
        flags(),
        program_name(),
        f"{program_name()} --text_prompt TEXT [flags]",
        "Text of any length to speech, music and sound with Suno's Bark.",
        _EPILOG,
    )
