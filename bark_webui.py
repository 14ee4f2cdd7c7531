"""Start of the server from a checkout: `python bark_webui.py --help`."""

if __name__ == "__main__":
    try:
        from bark_infinity.server.start import run_and_exit
    except KeyboardInterrupt:  # Ctrl-C before the program listens for it
        raise SystemExit(130) from None
    run_and_exit()
