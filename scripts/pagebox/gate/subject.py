"""subject.py: `make gate SUBJECT_SRC=folder BASE=revision`: is the user's memory or mailbox worse than before?

The folder is in a git repository of its own. Head is the folder as it is, base the same folder at BASE. Both are
copied and built into subjects: by an executable `build` in it (run in the copy, with PAGEBOX and OUT in its
environment), or else by fuzz/subjects/build.sh from all C files in the folder. Counts and times come from
bench/gate/subject/. Behaviour is all seeds of corpus/ on both sides: what only the head breaks blocks.
"""
import os
import shutil
import subprocess

from pagebox.gate import behaviour
from pagebox.gate import building
from pagebox.gate import counting
from pagebox.common import report
from pagebox.common import subjects

HOME = building.HOME / "subject"
REPLAY = ["build/asan/replay", "-q", *(f"corpus/{name}" for name in behaviour.CORPORA)]


class Subject:
    """What the gate compares: see building.Library, which has the same attributes."""

    calibrated = waivers = kept = False
    exact = False  # a user's code may count differently from run to run
    counts_s = 10

    def __init__(self, folder, base):
        if not folder.is_dir():
            report.die(f"SUBJECT_SRC={folder}: there is no such folder")
        self.folder = folder.resolve()
        self.commit = building.revision(base, self.folder)
        self.prefix = self.git("rev-parse", "--show-prefix").strip().rstrip("/")
        self.top = self.git("rev-parse", "--show-toplevel").rstrip("\n")
        self.head_commit = self.git("rev-parse", "HEAD").strip()
        self.dirty = bool(self.git("status", "--porcelain", "--", "."))
        self.name = f"SUBJECT_SRC={folder}"
        self.engine = {}  # side -> object for the concurrency engine, if one could be built

    def git(self, *arguments):
        return building.git(*arguments, repo=self.folder).stdout.decode(errors="replace")

    # ------------------------------------------------------------ sources

    def from_work_tree(self, sources):
        shutil.copytree(self.folder, sources, ignore=shutil.ignore_patterns(".git", "*.o", "*.so"))

    def from_base(self, sources):
        archive = building.git("archive", "--format=tar", f"{self.commit}:{self.prefix}", repo=self.top)
        if archive.returncode:
            raise building.Inconclusive(f"{self.commit[:12]} has no {self.prefix or 'files'}: nothing to compare with")
        sources.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(sources)], input=archive.stdout, check=True)

    # ------------------------------------------------------------ objects

    def build_object(self, side, sources, out, *flags):
        own = sources / "build"
        c_files = sorted(p.name for p in sources.glob("*.c"))
        if os.access(own, os.X_OK) and own.is_file():
            command = [own]
        elif c_files:
            command = [subjects.BUILD_SH, *flags, out, *c_files]
        else:
            raise building.Unbuildable(
                f"{self.name} ({side}) has neither C files nor an executable `build` that makes $OUT"
            )
        return subjects.build(command, sources, out)

    def prepare(self, side):
        folder = building.fresh(HOME / side)
        sources, out = folder / "sources", folder / counting.SUBJECT
        (self.from_work_tree if side == "head" else self.from_base)(sources)
        fault = self.build_object(side, sources, out)
        if fault:
            raise building.Unbuildable(f"{self.name} ({side}) {fault}")
        seen = folder / "engine.so"
        if not os.access(sources / "build", os.X_OK) and not self.build_object(side, sources, seen, "-e"):
            self.engine[side] = seen
        for path in [*(report.REPO / "ref").glob("*.h"), report.REPO / "fuzz" / "subject.h"]:
            shutil.copy2(path, folder / "ref")
        mine = folder / "bench" / "gate"
        mine.mkdir(parents=True)
        for name in ("gate.h", "main.c", "control.c", "subject/rows_subject.c"):
            shutil.copy2(building.BENCH / name, mine)
        return building.build(side, folder, [out])

    def same_code(self, base, head):
        return stripped(base.folder / "subject.so") == stripped(head.folder / "subject.so")

    # ------------------------------------------------------------ behaviour

    def steps(self):
        on = lambda side, name, **more: {"SUBJECT": str(HOME / side / name), **more}
        steps = [
            behaviour.Step("build", behaviour.make("-j2", "build/asan/replay"), 5),
            behaviour.Step(
                "replay of all seeds", REPLAY, 2, on("head", "subject.so"), base=on("base", "subject.so")
            ),
        ]
        if len(self.engine) == 2:
            both = [on(side, "engine.so", SCHED="uniform") for side in ("head", "base")]
            steps.append(
                behaviour.Step("replay under the engine at random", REPLAY, 2, both[0], base=both[1], partial=True)
            )
        return steps


def stripped(path):
    """The object without names, debug places and build stamps."""
    out = path.with_suffix(".stripped")
    command = ["objcopy", "--strip-all", "--remove-section=.note.gnu.build-id", "--remove-section=.comment", path, out]
    if subprocess.run(list(map(str, command)), capture_output=True).returncode:
        return path.read_bytes()
    return out.read_bytes()
