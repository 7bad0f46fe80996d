"""scoreboard.py: the scoreboard of known defects: plants each one in a copy, and measures what catches it.

    scripts/defects.py check              each patch applies to today's ref/ and compiles
    scripts/defects.py refresh            rewrites the patches that apply only with an offset
    scripts/defects.py pick [REPORT...]   chooses the subset for CI from reports (default: the last)
    scripts/defects.py run [options]      `make defects`: fuzz each until caught or out of time
    scripts/defects.py recover            the reports of runs that were killed
    scripts/defects.py oracles            for a patch's `Rule:`: what can be reported, and where

A patch is applied to a copy of the tree under build/defects/, which is built by its own Makefile
and fuzzed; the checkout itself is never touched. Results: results/defects/ (report.py).
Modules: patchfile.py (patches), marks.py (reached), planting.py (copies, builds),
trials.py (one run), oracles.py (names), witnesses.py (shrinking, traces), runner.py (all runs),
censored.py, page.py.
Exit status: 0 all caught, 1 a miss, a caught canary or a failing pristine tree, 2 usage or set-up (also a
patch that cannot be planted), 130 interrupted (the report has what was done).
"""
import argparse
import json
import os
import pathlib
import sys

from pagebox.defects import runner
from pagebox.defects import oracles
from pagebox.defects import patchfile
from pagebox.common import report

ENGINES = {"libfuzzer": ["libfuzzer"], "afl": ["afl"], "both": ["libfuzzer", "afl"]}
SCHEDS = ("bytes", "uniform", "pct", "pos")


def rows_of(places):
    """The items of all the reports."""
    rows = []
    for place in places or [report.REPO / "results/defects/latest"]:
        path = pathlib.Path(place)
        path = path / "report.json" if path.is_dir() else path
        try:
            rows += json.loads(path.read_text())["items"]
        except (OSError, ValueError, KeyError) as error:
            report.die(f"{path}: no scoreboard report to choose from ({error}): run `make defects`")
    return rows


def sure(rows):
    """defect -> (its slowest run, its target), for defects that every run caught with the same target."""
    by = {}
    for row in rows:
        if row["must"] and row["engine"] == "libfuzzer" and row["sched"] == "bytes":
            by.setdefault(row["name"], []).append(row)
    for name, group in by.items():
        targets = {row["target"] for row in group}
        if all(row["oracle"] and row["as_named"] for row in group) and len(targets) == 1:
            yield name, max(group, key=lambda row: row["executions"]), len(group)


def pick(places):
    """Writes the list for --quick: for each rule the defect whose slowest run needed the fewest executions. Executions,
    because seconds depend on what else the machine does."""
    best = {}
    for name, slowest, runs in sorted(sure(rows_of(places))):
        known = best.get(slowest["rule"])
        if known is None or slowest["executions"] < known[1]["executions"]:
            best[slowest["rule"]] = (name, slowest, runs)
    lines = ["# Written by `scripts/defects.py pick`: of each rule the defect that every run caught under its",
             "# own name, and whose slowest run needed the fewest executions.",
             "# defect target executions-at-most runs"]
    lines += sorted(f"{n} {row['target']} {row['executions']} {runs}" for n, row, runs in best.values())
    path = patchfile.PATCHES / "quick"
    path.write_text("\n".join(lines) + "\n")
    print(f"{len(best)} rules in {report.shown(path)}")
    return 0


def positive(kind):
    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 1 <= value < 10**9:
            raise argparse.ArgumentTypeError(f"{text}: a number from 1 on is wanted")
        return value

    return read


def schedules(text):
    names = SCHEDS if text == "all" else text.split(",")
    if not set(names) <= set(SCHEDS):
        raise argparse.ArgumentTypeError(f"{text}: must be some of {','.join(SCHEDS)}, or all")
    return list(dict.fromkeys(names))


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    checks = commands.add_parser("check", help="each patch applies and compiles")
    checks.add_argument("--defects", type=patchfile.place, help="a patch or a folder of patches, or your own")
    commands.add_parser("refresh", help="rewrite the patches with today's line numbers")
    commands.add_parser("oracles", help="the names of what can be reported, by rule")
    picks = commands.add_parser("pick", help="the subset for CI, from reports")
    picks.add_argument("reports", nargs="*", help="folders or report.json files")
    lost = commands.add_parser("recover", help="the reports of runs that were killed")
    run = commands.add_parser("run", help="the scoreboard")
    run.add_argument("--defects", type=patchfile.place, help="a patch or a folder of patches, or your own")
    run.add_argument("--only", help="regular expression on names and kinds")
    run.add_argument("--target", help="one target only")
    run.add_argument("--time", type=positive(float), help="seconds per target (default: its budget)")
    run.add_argument("--seeds", type=positive(int), default=1, help="repetitions")
    run.add_argument("--seed", type=positive(int), default=1, help="the first seed")
    run.add_argument("--jobs", type=positive(int), default=len(os.sched_getaffinity(0)))
    run.add_argument("--engine", choices=list(ENGINES), default="libfuzzer")
    run.add_argument("--sched", type=schedules, default=["bytes"],
                     help="sources of schedules, separated by commas, or all")
    run.add_argument("--empty", action="store_true", help="no seed corpus")
    run.add_argument("--quick", action="store_true", help="one defect per rule, and the canaries, for CI")
    run.add_argument("--no-witness", action="store_true",
                     help="do not shrink or trace catches: for comparisons")
    for one in (run, lost):
        one.add_argument("--work", help="folder of the copies (default: build/defects)")
        one.add_argument("--root", help="folder for results/ (default: the repository)")
    options = parser.parse_args(arguments)
    if options.command == "run":
        options.engines, options.scheds = ENGINES[options.engine], options.sched
    return options


def main():
    arguments = sys.argv[1:]
    options = options_of(arguments)
    if options.command == "run":
        return runner.run(options)
    if options.command == "pick":
        return pick(options.reports)
    if options.command == "oracles":
        return oracles.show()
    try:
        if options.command == "recover":
            return runner.recover(options)
        return patchfile.check(options.defects) if options.command == "check" else patchfile.refresh()
    except patchfile.PatchError as error:
        report.die(str(error))
