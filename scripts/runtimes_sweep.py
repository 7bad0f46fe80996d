#!/usr/bin/python3 -B
"""runtimes_sweep.py: `make runtimes-sweep`. The program is pagebox/runtimes/sweep.py."""
from pagebox import command

command.run("pagebox.runtimes.sweep")
