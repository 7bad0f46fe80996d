"""command.py: how each command of scripts/ starts and ends: one clear line for what is missing or full.

A command is a module with main(), which reads sys.argv and returns the exit status.
"""
import argparse
import importlib
import os
import signal
import sys

# The packages of Debian that hold what a module may import.
PACKAGES = {
    "jinja2": "python3-jinja2",
    "markupsafe": "python3-jinja2",
    "numpy": "python3-scipy",
    "scipy": "python3-scipy",
    "elftools": "python3-pyelftools",
}


def missing(error):
    """What to do about a module that is not there; our own modules' absence is our own bug."""
    package = PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        raise error
    return (
        f"{sys.executable} has no {error.name}: run scripts/setup, which installs {package}, "
        f"and use Debian's /usr/bin/python3"
    )


def usage(parser, message):
    """A wrong option is one line."""
    parser.exit(2, f"{parser.prog}: {message}; see --help\n")


def run(name):
    """Runs main() of the module so named and ends with its status."""
    from pagebox.common import report

    argparse.ArgumentParser.error = usage
    # Whoever started us may have blocked them; then an interrupt would never come.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        sys.exit(importlib.import_module(name).main())
    except ModuleNotFoundError as error:
        report.die(missing(error))
    except report.Trouble as error:
        report.die(str(error))
    except KeyboardInterrupt:  # before there is anything to report
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has gone
        os._exit(2)
    except OSError as error:  # a full disk, most likely: what was written until then stays
        where = f" {error.filename}" if error.filename else ""
        report.die(f"cannot go on:{where} {error.strerror}; free some space, or check the permissions")
