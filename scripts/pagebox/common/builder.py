"""builder.py: runs make and shows its progress, because a build takes minutes and must not look dead."""
import os
import re
import subprocess

from pagebox.common import report

STEP = re.compile(r"^  ([A-Z0-9]{2,7}) +(\S.*)$")  # the lines that `say` of the Makefile prints
KEPT_LINES = 60  # lines of output kept, for a failure


def without_make():
    """The environment without the variables that make passes to the makes in its recipes."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def command(*words):
    return [os.environ.get("MAKE") or "make", "--no-print-directory", *map(str, words)]


def steps(words, folder):
    """How many files make would build, or None if that is unknown."""
    try:
        done = subprocess.run(
            command("-n", *words), cwd=folder, env=without_make(), capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return len(re.findall(r"^printf '  %-7s", done.stdout, re.M))


def build(goals, jobs=None, folder=report.REPO, settings=(), children=None):
    """Returns None, or the last lines of make's output if it fails. Shows progress on standard error. children: a
    Processes of defects/trials.py, which ends running children at an interrupt."""
    words = [f"-j{jobs or os.cpu_count() or 1}", *settings, *goals]
    total = steps(words, folder)
    if total == 0:  # or only steps that are not announced
        total = None
    progress, done, kept = report.Progress(), 0, []
    if total and total > 5:
        progress.now(f"building {total} files")
    try:
        child = (children.spawn if children else subprocess.Popen)(
            command(*words), cwd=folder, env=without_make(), text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
    except OSError as error:
        return f"make cannot be run: {error.strerror}"
    with child:
        for line in child.stdout:
            kept = [*kept[1 - KEPT_LINES :], line]
            step = STEP.match(line)
            if step:
                done += 1
                of = f" of {max(total, done)}" if total else ""
                progress.update(f"building, file {done}{of}: {step[2]}")
    if children:
        children.reap(child)
    progress.done()
    return None if child.returncode == 0 else "".join(kept)
