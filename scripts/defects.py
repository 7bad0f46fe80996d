#!/usr/bin/python3 -B
"""defects.py: `make defects`. The program is pagebox/defects/scoreboard.py."""
from pagebox import command

command.run("pagebox.defects.scoreboard")
