"""program.py: runs the benchmark program, one process at a time, and reads the raw rows of earlier runs.
"""
import json
import subprocess
import sys

from pagebox.common import report

PROGRAM = report.REPO / "build" / "bench" / "bench"
ROW_LIMIT_S = 60  # a row that takes longer counts as hanging


class Program:
    """The benchmark program, one process at a time."""

    def __init__(self, path):
        self.path, self.child = path, None
        if not path.is_file():
            report.die(f"{path} is missing: run `make bench`, which builds it")

    def run(self, options, before=()):
        """(status, output, errors); status None: it hung and was ended."""
        command = [*before, str(self.path), *options]
        try:
            self.child = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is handled here: the report is written first
            )
        except OSError as error:
            report.die(f"cannot run {command[0]}: {error.strerror}")
        try:
            output, errors = self.child.communicate(timeout=ROW_LIMIT_S)
            return self.child.returncode, output, errors
        except subprocess.TimeoutExpired:
            self.stop()
            return None, "", f"took more than {ROW_LIMIT_S} s"
        finally:
            self.child = None

    def stop(self):
        if self.child:
            self.child.kill()

    def describe(self):
        """What the program says about its rows and the report (words.py)."""
        status, output, errors = self.run(["--describe"])
        if status != 0:
            report.die(f"{self.path} cannot describe its rows: {errors.strip()}")
        return json.loads(output)

    def list(self, pattern=None, quick=False):
        """Names -> names of the rows that bound them; quick: only the rows of quick runs."""
        options = ["--list"] + ([f"--filter={pattern}"] if pattern is not None else [])
        options += ["--quick"] if quick else []
        status, output, errors = self.run(options)
        if status != 0:
            print(
                errors.strip().partition("\n")[0] or "the program cannot list its rows",
                file=sys.stderr,
            )
            raise SystemExit(2)
        lines = [line.partition("\t") for line in output.splitlines()]
        return {name: [b for b in bounds.split(",") if b] for name, _, bounds in lines}


def stored(folder):
    """(facts, rows) of an earlier run. Ignores a last line that was cut short by an interrupt."""
    rows = []
    try:
        facts = json.loads((folder / "raw" / "run.json").read_text(encoding="utf-8"))
        lines = (folder / "raw" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        report.die(f"{folder} has no raw rows of a run (raw/run.json, raw/rows.jsonl): {error}")
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
            row["name"], row["round"]
            rows.append(row)
        except (ValueError, KeyError, TypeError):
            print(f"bench.py: line {number + 1} of rows.jsonl is no row: left out", file=sys.stderr)
    return facts, rows
