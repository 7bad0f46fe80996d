#!/usr/bin/python3 -B
"""verify.py: `make verify`. The program is pagebox/sim/verify.py."""
from pagebox import command

command.run("pagebox.sim.verify")
