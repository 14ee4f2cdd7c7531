"""Starts the server: `python -m bark_infinity.server`."""

try:
    from .start import run_and_exit
except KeyboardInterrupt:  # Ctrl-C before the program listens for it
    raise SystemExit(130) from None

run_and_exit()
