"""corpora.py: the working corpus, and how its inputs become seeds.

    scripts/fuzz_corpus.py promote [-n NAME] [-t TARGET] FILE...    `make corpus-promote INPUT=`

A run starts from the seeds in corpus/<target>/ and from the working corpus. That is kept outside git and build/,
so that `make clean` leaves it: ~/.local/state/pagebox/corpus/<target>/ ($XDG_STATE_HOME), or
$PAGEBOX_CORPUS/<target>/. At the end of a run, inputs that reach something new are merged into it, the smallest
first. promote writes chosen inputs, bytes or text, as text into corpus/<target>/, if they run clean and are no
seeds yet.
Exit status: 0 all are seeds now, 2 usage, or an input that was refused (the message says why).
"""
import argparse
import hashlib
import os
import pathlib
import re
import subprocess
import tempfile

from pagebox.common import processes
from pagebox.common import report

BUILD = report.REPO / "build"
CORPUS = report.REPO / "corpus"
REPLAY = BUILD / "asan" / "replay"
MERGE_S = 300  # at the end of a run, for each target


def working(target):
    """Creates and returns the folder of a target's working corpus."""
    state = os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local" / "state"
    root = pathlib.Path(os.environ.get("PAGEBOX_CORPUS") or pathlib.Path(state) / "pagebox" / "corpus")
    folder = (root if root.is_absolute() else report.REPO / root) / target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        report.die(f"the working corpus cannot be made in {folder}: {error.strerror}")
    return folder


def seeds(target):
    """The text seeds of a target."""
    paths = [*(CORPUS / target).glob("*"), *(CORPUS / "regress" / target).glob("*")]
    return sorted(p for p in paths if p.is_file() and p.name != "README.md" and not p.name.startswith("."))


def merge(target, folders, environment, seconds=MERGE_S):
    """Adds inputs of the folders that reach something new to the working corpus. Returns how many, and a problem or
    None. libFuzzer merges the smallest first, and leaves out inputs that break something."""
    into = working(target)
    before = set(os.listdir(into))
    given = [str(f) for f in folders if f.is_dir() and os.listdir(f)]
    if not given:
        return 0, None
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(BUILD / "libfuzzer" / target), "-merge=1", f"-merge_control_file={scratch}/control",
                   "-timeout=10", "-rss_limit_mb=2560", "-detect_leaks=0", f"-artifact_prefix={scratch}/",
                   str(into), *given]
        status, _, errors = processes.answer(command, environment, seconds, cwd=scratch)
    if status is None:
        return 0, f"merging took more than {seconds} s: the working corpus is as it was"
    came = len(set(os.listdir(into)) - before)
    if status != 0:
        lines = errors.strip().splitlines() or [f"status {status}"]
        return came, f"merging: {lines[-1]}"
    return came, None


# ---------------------------------------------------------------- promote


def replay(*options):
    done = subprocess.run([str(REPLAY), *map(str, options)], capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout, done.stderr


def as_bytes(path, target, scratch):
    """The canonical bytes of an input."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    replay("-t", target, "-b", folder, path)
    return (folder / path.name).read_bytes()


def rules_of(names):
    text = (report.REPO / "fuzz" / "programs" / "op.def").read_text()
    rules = dict(re.findall(r'^OP\(\d+, (\w+), "(R\d+)"', text, re.MULTILINE))
    found = {rules[name] for name in names if rules.get(name, "R0") != "R0"}
    return " ".join(sorted(found, key=lambda rule: int(rule[1:])))


def promote_one(path, target, name, scratch):
    """The seed's path. Exits with a message if the input cannot be a seed."""
    given = ["-t", target] if target else []
    status, printed, errors = replay("-p", *given, path)
    if status != 0:
        report.die(errors.strip().removeprefix("replay: "))
    lines = [line for line in printed.splitlines() if not line.startswith("#")]
    target = lines[0].split()[2]
    status, _, errors = replay("-q", "-t", target, path)
    if status != 0:
        broken = re.search(r"^finding: (\S+)", errors, re.MULTILINE)
        report.die(f"{path}: breaks {broken.group(1) if broken else 'something'}: a seed must run clean. "
                   "Fix the mistake, then keep the input under corpus/regress/")
    operations = [line.split()[1] for line in lines[1:] if re.match(r"T\d ", line)]
    if not operations:
        report.die(f"{path}: has no operations: nothing to keep")
    data = as_bytes(path, target, scratch)
    for seed in seeds(target):
        if as_bytes(seed, target, scratch) == data:
            print(f"{path}: is {seed.relative_to(report.REPO)} already")
            return seed
    to = CORPUS / target / f"{name or 'found-' + hashlib.sha256(data).hexdigest()[:8]}.ops"
    if to.exists():
        report.die(f"{to.relative_to(report.REPO)} exists and holds another program: choose another name")
    names = list(dict.fromkeys(operations))
    comment = f"# kept from a fuzz run: {', '.join(names)} ({rules_of(names) or 'no rule'})"
    fresh = to.with_name(f".{to.name}.new")
    fresh.write_text("\n".join([lines[0], comment, *lines[1:]]) + "\n")
    os.replace(fresh, to)
    print(to.relative_to(report.REPO))
    return to


def main():
    parser = argparse.ArgumentParser(prog="fuzz_corpus.py", description="Turns inputs into seeds.")
    parser.add_argument("action", choices=["promote"])
    parser.add_argument("-n", dest="name", help="name of the seed (default: from its content)")
    parser.add_argument("-t", dest="target", help="target of binary inputs")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    given = parser.parse_args()
    if given.name and (len(given.files) > 1 or not re.fullmatch(r"[\w.-]+", given.name)):
        report.die("-n takes letters, digits, dots and dashes, and only with one file")
    if not REPLAY.exists():
        report.die(f"{REPLAY} is missing: run make build/asan/replay")
    with tempfile.TemporaryDirectory() as scratch:
        for path in given.files:
            if path.is_dir():
                report.die(f"{path}: is a folder: name the inputs in it that should become seeds")
            promote_one(path, given.target, given.name, scratch)
    return 0
