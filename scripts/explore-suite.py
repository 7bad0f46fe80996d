#!/usr/bin/python3 -B
"""explore-suite.py: `make explore-suite`. The program is pagebox/sim/suite.py."""
from pagebox import command

command.run("pagebox.sim.suite")
