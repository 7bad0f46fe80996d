#!/usr/bin/python3 -B
"""bench.py: `make bench`. The program is pagebox/bench/run.py."""
from pagebox import command

command.run("pagebox.bench.run")
