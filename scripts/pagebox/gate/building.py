"""building.py: builds the two sides that the gate compares: ref/ of a revision and of the work tree.

The work tree's bench/gate/ is built against both. All paths have the same length on both sides (base, head), all
flags are the same, and objects are compiled under relative names, so equal sources give equal machine code.
Objects are kept by content in build/gate/objects/.
"""
import concurrent.futures
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile

from pagebox.common import processes
from pagebox.common import report

HOME = report.REPO / "build" / "gate"
BENCH = report.REPO / "bench" / "gate"
# Where a function begins within a cache line is luck, and can cost a short loop 20 %.
LAYOUT = ["-falign-functions=64"]
# Error messages of the compilers if the interface differs.
STRICT = ["implicit-function-declaration", "incompatible-pointer-types", "int-conversion"]
WARNINGS = ["-Wall", "-Wextra", "-Wno-unused", *(f"-Werror={name}" for name in STRICT)]


class Inconclusive(Exception):
    """The question cannot be answered: the program does not compile with BASE's ref/."""


class Unbuildable(Exception):
    """A side does not compile by itself."""


@dataclasses.dataclass
class Side:
    name: str  # base or head, or another pair of words of equal length
    folder: pathlib.Path
    objects: list
    library: list  # the objects to measure: ref/'s, or a subject

    def program(self, order=0):
        return self.folder / f"gate{order:04}"  # paths of equal length for every order


def lock():
    """Allows one gate at a time in a checkout: two would disturb each other's measurements, and share folders."""
    HOME.mkdir(parents=True, exist_ok=True)
    held.append(open(HOME / "lock", "w"))
    try:
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        report.die("another gate is running in this checkout: wait for it, or use a copy")
    shutil.rmtree(processes.SCRATCH, ignore_errors=True)  # left by an interrupted gate
    for path in (HOME / "objects").glob(".*.o"):
        path.unlink()


held = []  # open until the program ends


def compiler():
    return shlex.split(os.environ.get("CC") or "gcc")


def flags():
    given = os.environ.get("GATE_CFLAGS") or "-std=c11 -D_GNU_SOURCE -O2"
    return [f for f in shlex.split(given) if f != "-g"]


def machine():
    """What the figures depend on."""
    return report.machine(" ".join(compiler()), " ".join(flags()))


# ---------------------------------------------------------------- sources


def git(*arguments, repo=report.REPO):
    command = ["git", "-c", "safe.directory=*", "-C", str(repo), *arguments]
    return subprocess.run(command, capture_output=True)


def revision(name, repo=report.REPO):
    """The commit that BASE names in the repository; exits with a clear message if there is none."""
    if not name:
        report.die("no revision to compare with: make gate BASE=<revision>, for example BASE=main")
    if git("rev-parse", "--git-dir", repo=repo).returncode:
        report.die(f"{'this' if repo == report.REPO else repo} is not a git checkout, so BASE cannot be looked up")
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", repo=repo)
    if found.returncode:
        shallow = git("rev-parse", "--is-shallow-repository", repo=repo).stdout.strip() == b"true"
        more = "; this clone is shallow: git fetch --unshallow" if shallow else ""
        report.die(f"BASE={name} is not a commit here: git log --oneline lists some{more}")
    return found.stdout.decode().strip()


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "ref").mkdir(parents=True)
    return folder


def copy_bench(folder):
    (folder / "bench" / "gate").mkdir(parents=True)
    shutil.copy2(BENCH.parent / "threads.h", folder / "bench")
    for path in [*BENCH.glob("*.c"), *BENCH.glob("*.h")]:
        shutil.copy2(path, folder / "bench" / "gate")


def from_revision(folder, commit):
    archive = git("archive", "--format=tar", commit, "ref")
    if archive.returncode:
        raise Inconclusive(f"{commit[:12]} has no ref/: there is nothing to compare with")
    with tempfile.TemporaryFile() as file:
        file.write(archive.stdout)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            for member in tar.getmembers():
                if re.fullmatch(r"ref/[\w.-]+\.[ch]", member.name) and member.isfile():
                    (folder / member.name).write_bytes(tar.extractfile(member).read())


def from_work_tree(folder):
    for path in [*(report.REPO / "ref").glob("*.c"), *(report.REPO / "ref").glob("*.h")]:
        shutil.copy2(path, folder / "ref")


# ---------------------------------------------------------------- objects


def digest(*parts):
    state = hashlib.sha256()
    for part in parts:
        state.update(part if isinstance(part, bytes) else str(part).encode())
        state.update(b"\0")
    return state.hexdigest()[:32]


def headers_of(folder):
    paths = sorted([*folder.glob("ref/*.h"), *folder.glob("bench/**/*.h")])
    return digest(*[p.name.encode() + p.read_bytes() for p in paths])


def old_names(folder):
    """Compiler options that map today's function names to those that ref/ in the folder uses."""
    text = "".join(path.read_text(errors="replace") for path in sorted(folder.glob("ref/*.h")))
    pairs = [l.split() for l in (report.REPO / "bench/renamed.txt").read_text().splitlines()]
    return [f"-D{p[0]}={p[1]}" for p in pairs if len(p) == 2 and f"{p[0]}(" not in text]


def compile_one(folder, source, headers):
    """The object of one source; (path, errors)."""
    options = [*LAYOUT, *WARNINGS, *old_names(folder), "-Iref"]
    command = [*compiler(), *flags(), "-g0", *options, "-c", str(source)]
    key = digest(report.output_of([*compiler(), "--version"]), command, headers)
    kept = HOME / "objects" / f"{digest(key, (folder / source).read_bytes())}.o"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh_name = kept.with_name(f".{kept.stem}-{os.getpid()}-{folder.name}.o")
        done = subprocess.run(
            [*command, "-o", str(fresh_name)],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode:
            fresh_name.unlink(missing_ok=True)
            return None, done.stderr
        fresh_name.replace(kept)
    object_ = folder / source.with_suffix(".o")
    shutil.copy2(kept, object_)
    return source.with_suffix(".o"), ""


def compile_all(folder, sources, headers):
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        done = list(pool.map(lambda s: compile_one(folder, s, headers), sources))
    faults = [errors for _, errors in done if errors]
    return [path for path, _ in done if path], "\n".join(faults)


def sources_of(folder, pattern):
    return sorted(p.relative_to(folder) for p in folder.glob(pattern))


def build(name, folder, measured=()):
    """Compiles a side from the sources in the folder, and links it. measured: the object to measure, if it is not ref/.
    Raises Unbuildable if its ref/ does not compile, Inconclusive if only the benchmark program does not."""
    headers = headers_of(folder)
    library, faults = compile_all(folder, sources_of(folder, "ref/*.c"), headers)
    if faults:
        raise Unbuildable(f"ref/ of {name} does not compile:\n{shorten(faults)}")
    bench, faults = compile_all(folder, sources_of(folder, "bench/gate/*.c"), headers)
    if faults:
        raise Inconclusive(
            f"the work tree's bench/gate/ does not build against ref/ of {name}: its interface is "
            f"another, so nothing can be compared\n{shorten(faults)}"
        )
    side = Side(name, folder, bench + library, list(measured) or library)
    link(side, 0)
    return side


def shorten(text, lines=12):
    found = [l for l in text.splitlines() if "error" in l or "undefined" in l] or text.splitlines()
    return "\n".join(found[:lines])


def link(side, order):
    """Links the program, with its objects in a random order that is the same on every side for the same number; 0:
    unchanged."""
    objects = sorted(map(str, side.objects))
    if order:
        random.Random(order).shuffle(objects)
    out = side.program(order)
    command = [*compiler(), *flags(), "-no-pie", *objects, "-pthread", "-o", str(out)]
    done = subprocess.run(
        command, cwd=side.folder, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        error = shorten(done.stderr)
        raise Inconclusive(f"the benchmark program of {side.name} does not link:\n{error}")
    return out


def prepare(name, fill, home=HOME):
    """A side: sources from fill(folder), then built."""
    folder = fresh(home / name)
    fill(folder)
    if not any(folder.glob("ref/*.c")):
        raise Inconclusive(f"{name} has no ref/*.c: there is nothing to compare with")
    copy_bench(folder)
    return build(name, folder)


def text_bytes(side):
    """Size of ref/'s machine code by section, from `size`; None without that tool."""
    command = ["size", *map(str, side.library)]
    try:
        done = subprocess.run(command, cwd=side.folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return sum(int(line.split()[0]) for line in done.stdout.splitlines()[1:])


def same_code(one, other):
    """Whether both programs are the same, byte for byte."""
    return one.program().read_bytes() == other.program().read_bytes()


class Library:
    """What the gate compares: ref/ of the work tree and of BASE."""

    calibrated = waivers = kept = True  # it has thresholds and waivers, and its figures go into the history
    exact = True  # equal programs give equal counts
    counts_s = 28  # usual, on a quiet machine with two cores
    name = "the work tree"

    def __init__(self, base):
        self.commit = revision(base)
        self.head_commit = report.git("rev-parse", "HEAD")
        self.dirty = bool(report.git("status", "--porcelain", "--untracked-files=no"))

    def prepare(self, side):
        fill = from_work_tree if side == "head" else lambda folder: from_revision(folder, self.commit)
        return prepare(side, fill)

    def same_code(self, base, head):
        return same_code(base, head)
