#!/usr/bin/python3 -B
"""advise.py: `make advise`. The program is pagebox/sim/advise_ref.py."""
from pagebox import command

command.run("pagebox.sim.advise_ref")
