"""Start of the command line from a checkout: `python bark_perform.py --help`."""

if __name__ == "__main__":
    try:
        from bark_infinity.cli.start import run_and_exit
    except KeyboardInterrupt:  # Ctrl-C before the program listens for it
        raise SystemExit(130) from None
    run_and_exit()
