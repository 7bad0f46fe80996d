#!/usr/bin/python3 -B
"""spec.py: `make spec TESTS=folder`. The program is pagebox/runtimes/spec.py."""
from pagebox import command

command.run("pagebox.runtimes.spec")
