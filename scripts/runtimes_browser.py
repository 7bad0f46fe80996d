#!/usr/bin/python3 -B
"""runtimes_browser.py: a browser behind the protocol of fuzz/runtimes/. The program is pagebox/runtimes/browser.py."""
from pagebox import command

command.run("pagebox.runtimes.browser")
