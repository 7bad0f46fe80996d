#!/usr/bin/python3 -B
"""explore.py: `make explore`. The program is pagebox/sim/explore.py."""
from pagebox import command

command.run("pagebox.sim.explore")
