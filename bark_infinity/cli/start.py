"""The entry point: sets up streams, environment and signals before anything slow is imported."""

from __future__ import annotations

import os
import sys

from .signals import INTERRUPTED, Stopped, stopping
from .streams import open_standard_streams


def run_and_exit() -> None:
    """Run `main` and exit the process with its status."""
    open_standard_streams()
    # The hub's library retries by itself; the outcome is reported once, in our own message.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    status = _run()
    if status > 128:  # stopped by a signal: do not wait for threads that may still be importing libraries
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _run() -> int:
    with stopping() as request:
        try:
            from .main import main

            return main()
        except BaseException as error:  # raised during the import: main reports its own errors
            status = error.status if isinstance(error, Stopped) else request.status
            if status is None:
                raise
            print(f"error: {INTERRUPTED}", file=sys.stderr)
            return status
