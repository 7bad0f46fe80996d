"""planting.py: copies of the working tree, pristine and with a defect, kept and built incrementally."""
import os
import pathlib
import re
import shutil
import tempfile

from pagebox.defects import marks
from pagebox.defects import patchfile
from pagebox.common import report

REPO = report.REPO
WORK = REPO / "build" / "defects"
COPIED = ("Makefile", "ref", "fuzz")
REPLAY = "build/asan/replay"
REPLAY_CLEAN = (0, 3)  # nothing was found; 3: operations or inputs did not run
SHRINK = "build/asan/shrink"
MUTATOR = "build/plain/pagebox_mutator.so"  # for AFL++


def copy_sources(to):
    for name in COPIED:
        if (REPO / name).is_dir():
            hidden = shutil.ignore_patterns("*.patch", "*.rej", "*.orig", "__pycache__")
            shutil.copytree(REPO / name, to / name, ignore=hidden)
        else:
            shutil.copy2(REPO / name, to / name)


def stamp(path):
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def mirror_file(source, to):
    if not to.exists() or stamp(to) != stamp(source):
        shutil.copy2(source, to)


def mirror(source, to):
    """Makes `to` equal to `source`, including times, so that make sees what has changed."""
    to.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name for entry in os.scandir(source)}
    for entry in list(os.scandir(to)):
        if entry.name not in wanted:
            path = pathlib.Path(entry.path)
            shutil.rmtree(path) if entry.is_dir(follow_symlinks=False) else path.unlink()
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            mirror(pathlib.Path(entry.path), to / entry.name)
        else:
            mirror_file(pathlib.Path(entry.path), to / entry.name)


def mirror_sources(base):
    """Copies the working tree into the pristine copy, which keeps its build/."""
    with tempfile.TemporaryDirectory(dir=base.parent) as folder:
        fresh = pathlib.Path(folder)
        copy_sources(fresh)
        base.mkdir(exist_ok=True)
        for name in COPIED:
            if (fresh / name).is_dir():
                mirror(fresh / name, base / name)
            else:
                mirror_file(fresh / name, base / name)


def make(run, tree, goals, *settings):
    """None, or the last lines of a failing build. run: starts a command (Processes.run)."""
    command = ["make", "--no-print-directory", *settings, *goals]
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    status, text = run(command, cwd=tree, env=env, timeout=None)
    return None if status == 0 else text[-3000:]


def elsewhere(said):
    """The files outside ref/ that `patch` says it has changed."""
    names = re.findall(r"^patching (?:file|symbolic link) '?(.+?)'?(?: \(.*\))?$", said, re.M)
    return [name for name in names if not name.startswith("ref/")]


def plant(run, base, patch, tree, goals):
    """Makes `tree` a built copy of `base` with the defect; returns the reason if that fails."""
    for marked in (True, False):
        mirror(base, tree)
        said = patchfile.apply(patch, tree)
        if said is None:
            return (
                "does not apply to this ref/: `patch -p1 --dry-run` says where; "
                "put a diff against today's ref/ in its place"
            )
        if elsewhere(said):
            return f"changes {', '.join(elsewhere(said))}: defects are planted only in ref/"
        if not patch.canary and not patchfile.changes_code(patch, base, tree):
            return patchfile.INERT
        if set(os.listdir(base / "ref")) != set(os.listdir(tree / "ref")):  # make does not notice that a file is gone
            shutil.rmtree(tree / "build", ignore_errors=True)
        if marked and not marks.mark(patch, tree):
            continue
        fault = make(run, tree, goals)
        if fault is None or not marked:
            return fault and "does not build: " + reason_of(fault)
    return None


def reason_of(output):
    """The first line of a failing build that gives a reason."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[0][:300]


def plant_series(run, base, patches, tree, goals):
    mirror(base, tree)
    for patch in patches:
        if patchfile.apply(patch, tree) is None:
            report.die(f"{patch.path}: does not apply on top of those before it")
    fault = make(run, tree, goals)
    if fault:
        report.die(f"the set does not build:\n{fault}")
