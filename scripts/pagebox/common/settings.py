"""settings.py: the settings of a make target, NAME=value: from the command line, or else from the environment.

    given = settings.read(arguments, {"TIME": settings.number(60, 1, 10**7), "TARGET": settings.word()})
    given.TIME, given.TARGET

argparse does the work; an unknown setting or an invalid value gives one line and status 2.
"""
import argparse
import os
import re

from pagebox.common import report


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """Shows 'argument --TIME: x: must be a number' as the user typed it: TIME=x."""
        report.die(re.sub(r"^argument --(\w+): ", r"\1=", message))


def word(default=""):
    return {"default": default}


def number(default, low, high):
    """A whole number; default may be None."""

    def read(text):
        if not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text}: must be a number from {low} to {high}")
        return int(text)

    return {"default": default, "type": read}


def read(arguments, known):
    """The values, as attributes. known: name -> word() or number(). An empty value means the default."""
    parser = Parser(add_help=False, allow_abbrev=False)
    for name, how in known.items():
        parser.add_argument(f"--{name}", **how | {"default": os.environ.get(name) or how["default"]})
    words = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or name not in known:
            report.die(f"{argument!r}: what can be set is {', '.join(known)}, as NAME=value")
        words += [f"--{name}={value}"] if value else []
    return parser.parse_args(words)
