#!/usr/bin/python3 -B
"""fuzz.py: `make fuzz`. The program is pagebox/fuzz/run.py."""
from pagebox import command

command.run("pagebox.fuzz.run")
