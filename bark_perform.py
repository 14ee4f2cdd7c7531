"""Start of the command line from a checkout: `python bark_perform.py --help`."""

import sys

from bark_infinity.cli import main

if __name__ == "__main__":
    sys.exit(main())
