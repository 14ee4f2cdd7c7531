"""Start of the command line from a checkout: `python bark_perform.py --help`."""

from bark_infinity.cli.main import run_and_exit

if __name__ == "__main__":
    run_and_exit()
