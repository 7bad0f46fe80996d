"""subjects.py: builds a user's folder of sources into a subject, a shared object with the interface of fuzz/subject.h.
"""
import os
import subprocess

from pagebox.common import report

BUILD_S = 300
BUILD_SH = report.REPO / "fuzz" / "subjects" / "build.sh"


def build(command, tree, out):
    """Runs the command in the folder, with PAGEBOX (this repository) and OUT (the object to make) in its environment.
    Returns None, or why there is no object."""
    made = {"PAGEBOX": str(report.REPO), "OUT": str(out)}
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=tree, env=os.environ | made, timeout=BUILD_S,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not build: {error}"
    if done.returncode != 0 or not out.is_file():
        return f"does not build: {(done.stdout + done.stderr)[-800:] or 'it made no $OUT'}"
    return None
