#!/usr/bin/python3 -B
"""runtimes_rates.py: `make bench-runtimes`. The program is pagebox/runtimes/rates.py."""
from pagebox import command

command.run("pagebox.runtimes.rates")
