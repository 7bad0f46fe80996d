#!/usr/bin/python3 -B
"""coverage.py: `make coverage`. The program is pagebox/fuzz/coverage.py."""
from pagebox import command

command.run("pagebox.fuzz.coverage")
