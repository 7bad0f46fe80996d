"""command.py: starts and ends each command of scripts/: one clear line for a missing module, wrong usage, a full disk.

A command is a module with main(), which reads sys.argv and returns the exit status.
"""
import argparse
import importlib
import os
import signal
import sys

# Debian packages of the modules that may be imported.
PACKAGES = {
    "jinja2": "python3-jinja2",
    "markupsafe": "python3-jinja2",
    "numpy": "python3-scipy",
    "scipy": "python3-scipy",
    "elftools": "python3-pyelftools",
}


def missing(error):
    """What to do about a missing module. If one of our own is missing, that is our bug."""
    package = PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        raise error
    return (
        f"{sys.executable} has no {error.name}: run scripts/setup, which installs {package}, "
        f"and use Debian's /usr/bin/python3"
    )


def usage(parser, message):
    """Reports a wrong option in one line."""
    parser.exit(2, f"{parser.prog}: {message}; see --help\n")


def run(name):
    """Runs main() of the named module and exits with its status."""
    from pagebox.common import report

    argparse.ArgumentParser.error = usage
    # A caller may have blocked these signals; then an interrupt would never arrive.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        sys.exit(importlib.import_module(name).main())
    except ModuleNotFoundError as error:
        report.die(missing(error))
    except report.Trouble as error:
        report.die(str(error))
    except KeyboardInterrupt:  # before there is anything to report
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output has gone
        os._exit(2)
    except OSError as error:  # most likely a full disk: what was already written stays
        where = f" {error.filename}" if error.filename else ""
        report.die(f"cannot continue:{where} {error.strerror}; free some space, or check the permissions")
