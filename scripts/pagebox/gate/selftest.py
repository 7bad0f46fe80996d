"""selftest.py: tests the gate with patches whose outcome is known: it must be able to say no, and yes.

bench/gate/regressions/GS*.patch make ref/ slower and must block, by the count or the time that the header names;
GH*.patch are harmless and must pass. Each is applied to a copy of the work tree's ref/ and judged like the gate
does, but without waivers, which are for the current merge.
--fast: only patches that show in counts, and only the rows that the header names.
"""
import pathlib
import re
import shutil
import tempfile

from pagebox.defects import patchfile
from pagebox.defects import planting
from pagebox.gate import behaviour
from pagebox.gate import building
from pagebox.gate import calibrate
from pagebox.gate import counting
from pagebox.common import processes
from pagebox.gate import page
from pagebox.gate import pairing
from pagebox.common import report

PATCHES = building.BENCH / "regressions"
FIELDS = ("Title", "Kind", "Rows", "Metric")
KINDS = ("slower", "harmless")
LEAST = 8  # of each kind
TIMED_S = 120
BUILD_S = 600
# A behaviour bug from the scoreboard, which the corpus alone must find.
BEHAVIOUR = report.REPO / "fuzz" / "defects" / "G02-grow-zero-at-maximum.patch"


def options(parser):
    parser.add_argument("--fast", action="store_true", help="only by counts, only the rows that patches name")
    parser.add_argument("--only", default="", help="regular expression on the patches' names")


def patches():
    return [patchfile.read(path) for path in sorted(PATCHES.glob("*.patch"))]


def planted(name, patch, pristine=None):
    """A side with the patch; its folder's name is as long as the other's. pristine: the side whose sources are patched,
    so that the work tree may change meanwhile."""

    def fill(folder):
        if pristine:
            shutil.copytree(pristine.folder / "ref", folder / "ref", dirs_exist_ok=True)
        else:
            building.from_work_tree(folder)
        if patch is not None and patchfile.apply(patch, folder) is None:
            raise building.Unbuildable(f"{patch.name} does not apply")

    return building.prepare(name, fill, building.HOME / "self")


# ---------------------------------------------------------------- check


def fault_of(patch, scratch):
    fault = patchfile.fields_fault(patch, FIELDS, KINDS)
    if fault:
        return fault
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        shutil.copytree(
            report.REPO / "ref", f"{folder}/ref", ignore=shutil.ignore_patterns("tests")
        )
        if patchfile.apply(patch, folder) is None:
            return f"does not apply: patch -p1 --dry-run < {report.shown(patch.path)}"
        return patchfile.compile_fault(patch, pathlib.Path(folder))


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def say(self, name, fault):
        self.passed, self.failed = self.passed + (not fault), self.failed + bool(fault)
        print(f"FAIL {name}: {fault}" if fault else f"PASS {name}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def check(_options):
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        report.on_interrupt(lambda: (tally.end(), shutil.rmtree(scratch, ignore_errors=True)))
        for patch in patches():
            tally.say(f"gate_patch_applies_{patch.name}", fault_of(patch, scratch))
    for kind in KINDS:
        count = sum(p.head.get("Kind") == kind for p in patches())
        tally.say(
            f"gate_has_{kind}_patches", "" if count >= LEAST else f"only {count}, not {LEAST}"
        )
    return tally.end()


# ---------------------------------------------------------------- run


class Selftest:
    def __init__(self, options):
        self.options = options
        building.lock()
        self.pristine = planted("base", None)
        self.rows = counting.rows(self.pristine.program())
        self.timed = [name for name, row in self.rows.items() if row["timed"]]
        suite = calibrate.suite_of(self.timed, pairing.ROUNDS)
        self.calibrated, _ = calibrate.thresholds(building.machine(), suite)
        self.counted = {}

    def kinds(self, pattern, timed):
        """The rows that matter: all of them only for a harmless patch, if there is time."""
        found = {n: r["threads"] for n, r in self.rows.items() if re.search(pattern, n)}
        return {n: k for n, k in found.items() if not timed or self.rows[n]["timed"]}

    def base_counts(self, kinds):
        missing = {row: kind for row, kind in kinds.items() if row not in self.counted}
        self.counted |= counting.count_side(self.pristine.program(), "base", missing)
        return {row: self.counted[row] for row in kinds}

    def judge(self, patch):
        """What is wrong with the gate's verdict on this patch; "" if nothing."""
        head = planted("head", patch, self.pristine)
        slower, metric = patch.head["Kind"] == "slower", patch.head["Metric"]
        pattern = patch.head["Rows"] if slower or self.options.fast else ""
        items = []
        if metric != "time" or not slower:
            kinds = self.kinds(pattern, False)
            mine = counting.count_side(head.program(), "head", kinds)
            items += counting.compare(self.base_counts(kinds), mine, [])
        if not self.options.fast and (metric == "time" or not slower):
            items += self.time(head, self.kinds(pattern, True))
        return self.wrong(items, slower, metric)

    def time(self, head, kinds):
        timing = pairing.Comparison(
            self.pristine, head, kinds, self.calibrated, family=len(self.timed)
        )
        timing.run(pairing.ROUNDS, TIMED_S)
        return timing.items()

    def wrong(self, items, slower, metric):
        said = "; ".join(
            f"{i['name']} {i['metric']} {i['verdict']}: {page.with_note(i)}"
            for i in items
            if i["verdict"] in ("regression", "inconclusive")
        )
        if slower:
            blocked = [i for i in items if i["verdict"] == "regression"]
            found = any(i["metric"] == metric for i in blocked)
            return "" if found else f"no {metric} blocks ({said or 'nothing does'})"
        return f"does not pass: {said}" if said else ""


def behaviour_blocks():
    """Replays the corpus on a copy with a planted bug: it must find the bug, and the patch must be the cause."""
    tree = building.HOME / "self" / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    planting.copy_sources(tree)
    for name in ("bench", "scripts"):  # the Makefile includes their rules
        shutil.copytree(report.REPO / name, tree / name)
    if patchfile.apply(patchfile.read(BEHAVIOUR), tree) is None:
        return f"{BEHAVIOUR.name} does not apply"
    environment, text = behaviour.environment(), {"text": True, "errors": "replace"}
    built = processes.run(
        behaviour.make("-s", "build/asan/replay"), BUILD_S, cwd=tree, env=environment, **text
    )
    if built.returncode:
        return f"the copy does not build: {(built.stdout + built.stderr)[-300:]}"
    step = next(s for s in behaviour.steps() if s.name.startswith("replay"))
    command = [str(tree / step.command[0]), *step.command[1:]]
    limit_s = behaviour.limit_s(step)
    done = processes.run(command, limit_s, cwd=report.REPO, env=environment, **text)
    found = behaviour.outcome(step, done.returncode, 0, done.stdout + done.stderr)
    verdict = behaviour.item(found)["verdict"]
    return "" if verdict == "regression" and done.returncode == 1 else "the replay found nothing"


def run(options):
    tally = Tally()
    pattern = report.pattern(options.only, "ONLY")

    def interrupted():
        processes.interrupt()
        print("interrupted")
        tally.end()
        processes.end()

    report.on_interrupt(interrupted)
    try:
        tests = Selftest(options)
    except (building.Unbuildable, building.Inconclusive) as error:
        report.die(str(error))
    for patch in patches():
        skipped = options.fast and patch.head["Metric"] == "time" and patch.head["Kind"] == "slower"
        if skipped or not pattern.search(patch.name):
            continue
        verb = "blocks" if patch.head["Kind"] == "slower" else "passes"
        try:
            fault = tests.judge(patch)
        except (building.Unbuildable, building.Inconclusive, counting.CountError) as error:
            fault = str(error)
        tally.say(f"gate_{verb}_{patch.name}", fault)
    if not options.fast and pattern.search(BEHAVIOUR.stem):
        tally.say(f"gate_blocks_{BEHAVIOUR.stem}", behaviour_blocks())
    return tally.end()
