"""subject.py: the scoreboard for your own code: your patches planted into your subject.

    make defects SUBJECT_SRC=my/sources DEFECTS=my/defects [TIME= SEED= ONLY= QUICK=1 RULES_OFF=]

SUBJECT_SRC  the folder that is copied for each patch and built to a subject
DEFECTS      a folder with patches for `patch -p1` in that copy, with the header that
             fuzz/defects/README.md describes, and an executable `build`, which is run in the copy,
             with PAGEBOX (this repository) and OUT (the shared object to make) in its environment

First the pristine sources must build and pass all seeds. Then each patch is planted, built and fuzzed by
libFuzzer for its budget (or TIME seconds) with the targets that its header names. It is caught if a finding
has the name of a rule in the header and the pristine sources pass that input. A canary must be missed.
Exit status: 0 all as expected, 1 a miss or a caught canary, 2 usage or set-up, also a patch that does not
apply or build, 130 interrupted.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import time

from pagebox.defects import trials
from pagebox.defects import patchfile
from pagebox.defects import page
from pagebox.defects import planting
from pagebox.defects import verdicts
from pagebox.fuzz import fuzzers
from pagebox.common import builder
from pagebox.common import processes
from pagebox.common import report
from pagebox.common import subjects

WORK = report.REPO / "build" / "defects-subject"
BUILT = report.REPO / "build"
TARGETS = ("memory_fuzzer", "mailbox_fuzzer")
HANG_S, SHRINK_S = 10, 20


def arguments():
    parser = argparse.ArgumentParser(description="Plants your patches into your subject.")
    parser.add_argument("--sources", required=True, type=pathlib.Path)
    parser.add_argument("--defects", required=True, type=pathlib.Path)
    parser.add_argument("--time", type=int, help="seconds for each patch and target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="witnesses are not shrunk")
    parser.add_argument("--only", help="patches whose name matches this regular expression")
    parser.add_argument("--root", help="folder for results/ (default: the repository)")
    given = parser.parse_args()
    if not given.sources.is_dir():
        report.die(f"SUBJECT_SRC={given.sources}: there is no such folder")
    given.build = (given.defects if given.defects.is_dir() else given.defects.parent) / "build"
    if not os.access(given.build, os.X_OK):
        report.die(f"{given.build}: no such program; it must build $OUT from a copy of the sources")
    if given.time is not None and given.time < 1:
        report.die("TIME must be a number of seconds")
    return given


class Field:
    """The subject's sources, pristine or patched, and the programs that test it."""

    def __init__(self, given):
        self.given, self.child = given, None

    def tools(self):
        goals = ["build/asan/replay", "build/asan/shrink"]
        goals += [f"build/libfuzzer/{target}" for target in TARGETS]
        fault = builder.build(goals)
        if fault:
            report.die(f"the harness does not build:\n{fault[-3000:]}")
        for target in TARGETS:
            self.seeds(target).mkdir(parents=True, exist_ok=True)
            subprocess.run(
                [BUILT / "asan/replay", "-q", "-b", self.seeds(target), report.REPO / "corpus" / target],
                check=True, stdout=subprocess.DEVNULL, env=self.environment(None),
            )

    def seeds(self, target):
        return WORK / "seeds" / target

    def environment(self, subject):
        rules = {k: v for k, v in os.environ.items() if k == "PAGEBOX_RULES_OFF"}
        return trials.environment(**rules, **({"SUBJECT": str(subject)} if subject else {}))

    def plant(self, patch):
        """(the shared object, None), or (None, why there is none)."""
        tree = WORK / (patch.name if patch else "as-it-is")
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(self.given.sources, tree, ignore=shutil.ignore_patterns(".git", "*.patch"))
        if patch and patchfile.apply(patch, tree) is None:
            return None, "does not apply to these sources"
        out = tree / "subject.so"
        fault = subjects.build([self.given.build.resolve()], tree, out)
        return (None, fault) if fault else (out, None)

    def replay(self, subject, target, path):
        """The output of the replay program; "" if it is clean."""
        done = subprocess.run(
            [BUILT / "asan/replay", "-q", "-t", target, path], env=self.environment(subject),
            capture_output=True, text=True, errors="replace",
        )
        return "" if done.returncode in planting.REPLAY_CLEAN else done.stderr + done.stdout

    def fuzz(self, subject, target, seed, seconds, folder):
        """(finding's name and input, or None; executions; seconds)."""
        corpus = folder / "corpus"
        corpus.mkdir(parents=True)
        command = [BUILT / "libfuzzer" / target, corpus, self.seeds(target)]
        command += [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={HANG_S}"]
        command += ["-rss_limit_mb=2560", "-detect_leaks=0", "-print_final_stats=1", *fuzzers.DRAWS]
        command += [f"-max_len={trials.INPUT_BYTES_MAX}", f"-artifact_prefix={folder}/"]
        began = time.monotonic()
        with open(folder / "log", "w+", errors="replace") as log:
            self.child = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, start_new_session=True,
                preexec_fn=processes.end_with_parent, env=self.environment(subject), cwd=folder,
            )
            try:
                self.child.wait(seconds + 60)
            except subprocess.TimeoutExpired:
                processes.stop(self.child)
            log.seek(0)
            text = log.read()
        shutil.rmtree(corpus, ignore_errors=True)
        spent = time.monotonic() - began
        counts = re.findall(r"^#(\d+)|stat::number_of_executed_units: (\d+)", text, re.M)
        executions = max((int(a or b) for a, b in counts), default=0)
        inputs = trials.artifacts(folder)
        found = (trials.oracle_of(text), inputs[0]) if inputs else None
        return found, executions, spent

    def shrink(self, subject, target, oracle, path, to):
        command = [BUILT / "asan/shrink", "-t", target, "-n", oracle, "-s", str(SHRINK_S), "-o", to, path]
        subprocess.run(list(map(str, command)), env=self.environment(subject), capture_output=True)
        return to.read_text() if to.is_file() else None

    def stop(self):
        if self.child:
            self.child.kill()


def judge(field, run, patch, pristine, subject, target, item):
    """Fuzzes one target until it finds something that the pristine sources do not show."""
    seconds = field.given.time or patch.budget_s
    seed, left = field.given.seed, seconds
    while left >= 1:
        folder = run.path(f"raw/{patch.name}/{target}-{seed}/log").parent
        found, executions, spent = field.fuzz(subject, target, seed, int(left), folder)
        item["executions"] += executions
        if not found:
            return
        oracle, path = found
        if field.replay(pristine, target, path):
            item["note"] = f"{oracle} is there without the patch, too"
        else:
            text = None
            if not field.given.quick:
                text = field.shrink(subject, target, oracle, path, folder / "witness.ops")
            item |= {"oracle": oracle, "target": target, "pristine": True, "note": None}
            item["as_named"] = verdicts.is_as_named(oracle, item["rules"])
            item |= {"caught_s": round(seconds - left + spent, 3), "witness": text}
            item["by"] = "seed" if trials.is_seed(path, field.seeds(target)) else "mutation"
            item["witness_operations"] = sum(l.startswith("T") for l in (text or "").splitlines()) or None
            return
        left, seed = left - max(spent, 0.5), seed + 1


def try_patch(field, run, patch, pristine):
    item = verdicts.item_of(patch, "libfuzzer", "bytes", field.given.seed)
    subject, fault = field.plant(patch)
    if fault:
        item["error"] = fault
        return item
    for target in patch.targets or TARGETS:
        if target in TARGETS and not item["oracle"]:
            judge(field, run, patch, pristine, subject, target, item)
    return item


def is_right(item):
    """A canary must be missed; any other patch must be caught by a rule in its header."""
    if item["error"] or not item["must"]:
        return not item["error"] and not item["oracle"]
    return bool(item["oracle"]) and item["as_named"] is not False


def sections(items):
    rows = [
        [i["name"], i["title"], i["rule"], page.verdict(i), i["caught_s"], i["executions"],
         i["witness_operations"], "yes" if is_right(i) else "NO"]
        for i in items
    ]
    columns = ["defect", "title", "rule", "verdict", "caught s", "executions", "operations", "right"]
    parts = [report.Section("Patches", table=report.Table(columns, rows, "llllrrrl"))]
    inner = [report.Section(i["name"], pre=i["witness"]) for i in items if i["witness"]]
    return parts + ([report.Section("Witnesses", sections=inner)] if inner else [])


def finish(given, run, items, count, status=None):
    """Writes the report and the last line; returns the exit status. count: of the requested patches."""
    wrong = [i["name"] for i in items if not is_right(i)]
    summary = {"defects": sum(i["must"] for i in items), "caught": sum(bool(i["oracle"]) for i in items)}
    summary |= {"canaries": sum(not i["must"] for i in items), "wrong": len(wrong), "not_run": count - len(items)}
    lead = f"Patches of {given.defects}, planted into {given.sources}."
    errors = any(i["error"] for i in items)
    status = status or ("error" if errors else "finding" if wrong else "pass")
    path = run.finish(status, summary, items, sections(items), "Your defects in your subject", lead)
    print(f"{summary['caught']} of {summary['defects']} caught, {summary['canaries']} canaries: {path}/report.html")
    return 2 if errors else 1 if wrong else 0


def main():
    given = arguments()
    paths = patchfile.paths_of(given.defects)
    wanted = report.pattern(given.only, "ONLY")
    patches = [patchfile.read(p) for p in paths if wanted.search(p.stem)]
    field = Field(given)
    WORK.mkdir(parents=True, exist_ok=True)
    field.tools()
    pristine, fault = field.plant(None)
    if fault:
        report.die(f"{given.sources}: the unchanged sources: {fault}")
    for target in TARGETS:
        said = field.replay(pristine, target, report.REPO / "corpus" / target)
        if said:
            report.die(f"the unchanged sources already fail the seeds: fix that, or set RULES_OFF=:\n{said[-1500:]}")
    run, items = report.Run("defects", given.root), []

    def stop():
        field.stop()
        finish(given, run, items, len(patches), "interrupted")

    report.on_interrupt(stop)
    print(page.heading(page.NAME_WIDTH), flush=True)
    for patch in patches:
        items.append(try_patch(field, run, patch, pristine))
        print(page.line(items[-1]), flush=True)
    return finish(given, run, items, len(patches))
