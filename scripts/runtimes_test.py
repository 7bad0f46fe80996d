#!/usr/bin/python3 -B
"""runtimes_test.py: `make test-runtimes`. The program is pagebox/runtimes/tests.py."""
from pagebox import command

command.run("pagebox.runtimes.tests")
