#!/usr/bin/python3 -B
"""report.py: where the latest reports are. The program is pagebox/common/report.py."""
from pagebox import command

command.run("pagebox.common.report")
