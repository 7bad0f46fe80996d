#!/usr/bin/python3 -B
"""gate.py: `make gate`. The program is pagebox/gate/run.py."""
from pagebox import command

command.run("pagebox.gate.run")
