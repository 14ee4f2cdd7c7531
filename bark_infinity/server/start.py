"""The entry point of the server: reads its command line, opens its ports, and serves until it is told to stop."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..cli import console as view
from ..cli.start import bound_spinning
from ..cli.streams import open_standard_streams
from ..errors import EXIT_USAGE, BarkError
from ..extras import missing_extra
from .server_flags import PROGRAM, ServerFlags, read_command_line

_PACKAGES = ("fastapi", "uvicorn", "jinja2", "python_multipart")  # of the extra


def run_and_exit() -> None:
    """Run `main` and end the process with its status, without waiting for threads that still work."""
    open_standard_streams()
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # the outcome of a download is reported once, in our own message
    bound_spinning(os.environ)
    gc.disable()  # imports make a million objects, none of them garbage; it is enabled when the model is loaded
    try:
        status = main(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def main(arguments: Sequence[str]) -> int:
    """Serve as a command line asks for. Returns the exit status: 0 after a signal, 2 if it cannot be served."""
    console = view.make_console()
    try:
        flags, defaults = read_command_line(arguments, program_name())
        view.start_logging(console, defaults.loglevel)
        check_extra(flags)
        from .serving import Serving  # late: it imports the packages of the extra

        Serving(flags, defaults, console).run()
    except BarkError as error:
        view.report_error(console, str(error))
        return EXIT_USAGE
    return 0


def program_name() -> str:
    """How this process was started, as a user would type it."""
    start = Path(sys.argv[0])
    if start.name == "__main__.py":
        return "python -m bark_infinity.server"
    return "python bark_webui.py" if start.name == "bark_webui.py" else PROGRAM


def check_extra(flags: ServerFlags) -> None:
    """Raise UsageError if packages of the extra `web` are not installed."""
    wanted = (*_PACKAGES, *(("wyoming",) if flags.wyoming_port is not None else ()))
    if any(importlib.util.find_spec(name) is None for name in wanted):
        raise missing_extra(PROGRAM, "web")
