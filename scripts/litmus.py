#!/usr/bin/python3 -B
"""litmus.py: `make litmus`. The program is pagebox/sim/litmus.py."""
from pagebox import command

command.run("pagebox.sim.litmus")
