"""How fast this program is, measured the same way each time; `python benchmarks/speed.py --help`."""
