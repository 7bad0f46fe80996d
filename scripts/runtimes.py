#!/usr/bin/python3 -B
"""runtimes.py: `make runtimes`, RUNTIME=. The program is pagebox/runtimes/known.py."""
from pagebox import command

command.run("pagebox.runtimes.known")
