#!/usr/bin/python3 -B
"""trace.py: a trace of the engine as columns. The program is pagebox/sim/trace.py."""
from pagebox import command

command.run("pagebox.sim.trace")
