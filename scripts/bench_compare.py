#!/usr/bin/python3 -B
"""bench_compare.py: `make bench-compare`. The program is pagebox/bench/compare.py."""
from pagebox import command

command.run("pagebox.bench.compare")
