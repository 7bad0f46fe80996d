#!/usr/bin/python3 -B
"""conform-power.py: `make conform-power`. The program is pagebox/conform/power.py."""
from pagebox import command

command.run("pagebox.conform.power")
