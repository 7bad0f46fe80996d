#!/usr/bin/python3 -B
"""conform.py: `make conform`. The program is pagebox/conform/run.py."""
from pagebox import command

command.run("pagebox.conform.run")
