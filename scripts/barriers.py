#!/usr/bin/python3 -B
"""barriers.py: `make barriers`. The program is pagebox/bench/barriers.py."""
from pagebox import command

command.run("pagebox.bench.barriers")
