"""The entry point: sets up streams, environment and signals before anything slow is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import MutableMapping

from .signals import INTERRUPTED, Stopped, stopping
from .streams import open_standard_streams

_SPINS = "1000"  # about 20 microseconds
_SPIN_MS = "1"  # the least but none at all; the default is 200


def run_and_exit() -> None:
    """Run `main` and exit the process with its status."""
    open_standard_streams()
    # The hub's library retries by itself; the outcome is reported once, in our own message.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    bound_spinning(os.environ)
    gc.disable()  # imports make a million objects, none of them garbage; `speak` enables it when the model is loaded
    status = _run()
    gc.freeze()  # else the interpreter looks through all of them again, several times, before it ends
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


def bound_spinning(environment: MutableMapping[str, str]) -> None:
    """Let threads of OpenMP that wait for others go to sleep after some microseconds, unless the user has chosen.

    By default they spin for milliseconds, which on a busy machine takes the core from the very thread that they wait for:
    a sentence took 4 s or 40 s beside another program, and takes 7 s with this. OpenMP reads it when torch is loaded.
    """
    if not any(name in environment for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")):
        environment["GOMP_SPINCOUNT"] = _SPINS  # GCC's OpenMP, of torch on Linux
        environment["KMP_BLOCKTIME"] = _SPIN_MS  # LLVM's and Intel's, of torch on macOS and Windows
