"""suite.py: runs public suites of concurrent programs under the engine, and tabulates what is found.

    scripts/explore-suite.py [--seeds N] [--time S] [--only REGEX] [--sched NAME] FOLDER...

FOLDER is a checkout of GenMC (tests/wrong, tests/correct), of SCTBench
(benchmarks/concurrent-software-benchmarks), or any folder whose programs say by their names what they are:
*_bad.c, *_ok.c, or wrong/ and correct/ above them. Each wrong program is run with N seeds, each correct one
with one. The table goes to results/explore-suite/ (`make explore-suite SUITES="..."`).
Exit status: 0 every wrong program found with every seed and nothing found in a correct one, 1 not,
2 usage or set-up, 130 interrupted.
"""
import argparse
import concurrent.futures
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from pagebox.common import report

# Rules of C11 and of good style that such suites often break without counting it as a bug.
POLICY = ("data-race", "leaked-thread", "nonzero-exit", "destroy-while-held", "invalid-join")
LEFT_OUT = re.compile(r"/(fs|lkmm|cooking|relinche|ipr|lapor)/|\.skip$")  # for models other than RC11
MODEL = ("args.rc11.mo.in", "args.rc11.wb.in", "args.in")


class Case:
    def __init__(self, name, sources, wrong, cflags=""):
        self.name, self.sources, self.wrong, self.cflags = name, sources, wrong, cflags


def cflags_of(folder, checkout):
    """clang's flags in GenMC's runner: -DN=2 and the like, after `--` of an args file, with folders relative to the
    checkout."""
    for name in MODEL:
        file = folder / name
        if file.exists():
            first = (file.read_text().splitlines() or [""])[0]
            wanted = [x for x in first.split() if x.startswith(("-D", "-I"))]
            return " ".join(re.sub(r"^-I(\.{1,2}/)+", f"-I{checkout}/", x) for x in wanted)
    return ""


def genmc_cases(root, wrong):
    for variants in sorted(root.glob("**/variants")):
        folder = variants.parent
        name = str(folder.relative_to(root))
        if LEFT_OUT.search(f"/{name}/"):
            continue
        for file in sorted([*variants.glob("*.c"), *variants.glob("*.cpp")]):
            yield Case(f"{name}/{file.stem}", [file], wrong, cflags_of(folder, root.resolve().parents[1]))


def named_cases(root):
    """By name: x_bad.c, x_ok.c; sat and unsat say whether the error is reachable."""
    for file in sorted([*root.glob("**/*.c"), *root.glob("**/*.cpp")]):
        match = re.search(r"_(bad|ok|good|sat|unsat|true|false)$", file.stem)
        above = {p.name for p in file.relative_to(root).parents}
        if match or above & {"wrong", "correct"}:
            wrong = match.group(1) in ("bad", "sat", "false") if match else "wrong" in above
            yield Case(file.stem, [file], wrong)


def cases_of(folder):
    root = pathlib.Path(folder)
    if not root.is_dir():
        report.die(f"{folder}: there is no such folder; SUITES= names checkouts of public suites")
    if (root / "tests" / "wrong").is_dir():
        yield from genmc_cases(root / "tests" / "wrong", True)
        yield from genmc_cases(root / "tests" / "correct", False)
        return
    sctbench = root / "benchmarks" / "concurrent-software-benchmarks"
    yield from named_cases(sctbench if sctbench.is_dir() else root)


class Arguments:
    """The command-line arguments that explore_build expects."""

    def __init__(self, case, cc, cflags, settings):
        self.src, self.cc = [str(s) for s in case.sources], cc
        self.cflags = f"{case.cflags} {cflags} -w"
        self.sched, self.volatile, self.set = "all", "plain", settings


def run_case(case, options):
    """A program's row: built or not, what each seed found, after how many executions."""
    row = {"name": case.name, "wrong": case.wrong, "found": [], "executions": [], "error": ""}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="suite-"))
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", BUILD, json.dumps(vars(Arguments(case, options.cc, options.cflags, options.set))),
             str(folder)],
            capture_output=True, text=True, cwd=report.REPO / "scripts",
        )
        if done.returncode:
            row["error"] = done.stderr.strip().splitlines()[-1][-200:]
            return row
        for seed in range(1, (options.seeds if case.wrong else 1) + 1):
            seconds = options.time if case.wrong else min(options.time, options.time_correct)
            command = [str(folder / "program"), f"--out={folder}", f"--seconds={seconds}"]
            command += [f"--seed={seed}", f"--sched={options.sched}", "--shrink=1", "--processes=1"]
            command += [f"--{pair}" for pair in options.set]
            subprocess.run(command, capture_output=True, timeout=seconds + 60)
            result = json.loads((folder / "result.json").read_text())
            row["found"].append(result["finding"])
            row["executions"].append(result["executions"])
            row.setdefault("detail", result["detail"][:300])
            row["cut"] = result["cut"]
            row["complete"] = result["complete"]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        row["error"] = str(error)[-200:]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return row


BUILD = """
import json, pathlib, sys
from pagebox.sim import explore_build
class A: pass
a = A(); a.__dict__ = json.loads(sys.argv[1])
explore_build.build(a, pathlib.Path(sys.argv[2]))
"""


def verdict(row, seeds):
    found = [f for f in row["found"] if f]
    if row["error"]:
        return "not run"
    if row["wrong"]:
        return "found" if len(found) == seeds else f"{len(found)} of {seeds}"
    if not found:
        return "clean"
    # A checker of safety properties only cuts endless loops, so a correct program may have one there.
    endless = found[0] == "livelock" and not row["name"].startswith("liveness/")
    return "policy" if found[0] in POLICY or endless else "FALSE ALARM"


def read_arguments():
    p = argparse.ArgumentParser(prog="explore-suite.py", description=__doc__.partition("\n\n")[0])
    p.add_argument("folders", nargs="+", help="checkouts of public suites")
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--time", type=int, default=10, help="seconds per seed (default 10)")
    p.add_argument("--time-correct", type=int, default=3, help="seconds per correct program")
    p.add_argument("--only", default="", help="a regular expression on the programs' names")
    p.add_argument("--sched", default="all")
    p.add_argument("--cc", default="clang")
    p.add_argument("--cflags", default="")
    p.add_argument("--set", action="append", default=[], metavar="KEY=N")
    p.add_argument("--jobs", type=int, default=2)
    return p.parse_args()


def main():
    a = read_arguments()
    cases = [c for f in a.folders for c in cases_of(f) if re.search(a.only, c.name)]
    if not cases:
        report.die(f"{' '.join(a.folders)}: no program whose name or folder says whether it is correct")
    run = report.Run("explore-suite")
    rows, interrupted = [], False
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        try:
            for row in pool.map(lambda c: run_case(c, a), cases):
                row["verdict"] = verdict(row, a.seeds)
                rows.append(row)
                names = ", ".join(sorted({f for f in row["found"] if f}))
                median = statistics.median(row["executions"]) if row["executions"] else 0
                print(
                    f"{'wrong  ' if row['wrong'] else 'correct'} {row['name']:44} {row['verdict']:12}"
                    f" {median:>10,.0f}  {names or row['error']}",
                    flush=True,
                )
        except KeyboardInterrupt:
            interrupted = True
            pool.shutdown(cancel_futures=True)
    return finish(a, run, rows, interrupted)


def finish(a, run, rows, interrupted):
    wrong = [r for r in rows if r["wrong"]]
    correct = [r for r in rows if not r["wrong"]]
    found = sum(r["verdict"] == "found" for r in wrong)
    alarms = [r["name"] for r in correct if r["verdict"] == "FALSE ALARM"]
    not_run = [r["name"] for r in rows if r["verdict"] == "not run"]
    lead = (
        f"{found} of {len(wrong)} wrong programs found with each of {a.seeds} seeds; "
        f"{len(alarms)} false alarms in {len(correct)} correct ones; {len(not_run)} did not run."
    )
    table = report.Table(
        ["program", "is", "verdict", "finding", "median executions"],
        [
            [
                r["name"],
                "wrong" if r["wrong"] else "correct",
                r["verdict"],
                ", ".join(sorted({f for f in r["found"] if f})) or r["error"] or None,
                int(statistics.median(r["executions"])) if r["executions"] else None,
            ]
            for r in rows
        ],
        align="llllr",
    )
    good = found == len(wrong) and not alarms and not not_run
    word = "interrupted" if interrupted else "pass" if good else "finding"
    summary = {"wrong": len(wrong), "found": found, "correct": len(correct), "false_alarms": len(alarms)}
    items = [
        {"name": r["name"], "status": r["verdict"], "executions": r["executions"], "found": r["found"]}
        for r in rows
    ]
    section = report.Section("Programs", table=table)
    final = run.finish(word, summary, items, [section], "Public suites under the engine", lead)
    print(lead)
    print(f"report: {report.shown(final / 'report.html')}")
    return 130 if interrupted else 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
