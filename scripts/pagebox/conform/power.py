"""power.py: does `make conform` find bugs? Plants faults and reports how soon each was found.

    scripts/conform-power.py [--runtime node] [--time SECONDS] [--only REGEX] [--seed N] [--no-ref]
    make conform-power RUNTIME=node TIME=60     the same

Faults in the driver of an engine: plain instead of atomic stores, one notify in a thousand that wakes no waiter, one
waiter too many woken, a size that is reported before its bytes exist. What the engine itself gets wrong in
the same time without a fault does not count. Faults in copies of ref/: the defects of fuzz/defects that threads on
this processor can show, and the harmless ones. Exit status: 0 all found, and none of the harmless ones; 1 a miss;
2 usage or set-up; 130 interrupted.
"""
import argparse
import fcntl
import pathlib
import re
import subprocess
import sys

from pagebox.common import report
from pagebox.conform import engines
from pagebox.defects import patchfile, planting

# The fault, and the family or program that tests it. Other programs of `bytes` also show what V8 itself gets wrong.
FAULTS = {"plain-store": "SB", "drop-notify": "lost", "wake-more": "count", "early-size": "bytes+size"}
# Defects of the reference, by what real threads on x86 show of them.
SHOWN = {
    "S15": "lost", "S16": "timeout", "S17": "timeout", "S18": "disable", "S18b": "disable", "W05": "count", "W06": "fifo",
    "W08": "timeout", "W09": "count", "W11": "disable", "W14": "storm", "G14": "bytes", "G16": "grow",
}  # fmt: skip
# Orders that x86 always keeps, or that do not change the compiled code there.
ORDERS = ("O01", "O02", "O03", "O04", "O05", "O06", "O07", "O08", "O09", "O10")
CANARIES = ("C01", "C02", "C03", "C06", "C07")


def read_arguments():
    a = argparse.ArgumentParser(add_help=False)
    a.add_argument("--runtime", default="node")
    a.add_argument("--time", type=float, default=60)
    a.add_argument("--only", default="")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--no-ref", action="store_true")
    a.error = lambda message: report.die(f"{message}; see scripts/conform-power.py --help")
    return a.parse_args()


def conform(a, *more):
    """The findings of a short run: program, seconds, text."""
    command = [sys.executable, "-B", str(report.REPO / "scripts/conform.py"), "--quick", "--seed", str(a.seed), "--hang", "2", *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        report.die(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return re.findall(r"^finding: \w+: (\S+) after ([\d.]+) s: (.*)", done.stdout, re.M), done.stdout


def in_driver(a, rows):
    engines.find(a.runtime)
    for fault, family in FAULTS.items():
        if not re.search(a.only or ".", fault):
            continue
        time_ = ["--time", str(a.time), "--only", family, "--runtime", a.runtime]
        known, _ = conform(a, *time_)
        names = ",".join(sorted({k[0] for k in known}))
        found, out = conform(a, *time_, "--fault", fault, "--until-finding", "--known", names)
        show(rows, f"{a.runtime}: {fault}", "found", found, out, f"without the fault: {names or 'clean'}")


def run_command(command, **options):
    timeout = options.pop("timeout", None)
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)
    return done.returncode, done.stdout + done.stderr


def in_reference(a, rows):
    patches = {p.name.split("-")[0]: p for p in patchfile.own()}
    work = report.REPO / "build/conform/power"
    work.mkdir(parents=True, exist_ok=True)
    lock = open(work / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        report.die(f"another make conform-power is using {work}: wait for it")
    base, goals = work / "pristine", ["build/plain/conform"]
    wanted = [n for n in [*SHOWN, *ORDERS, *CANARIES] if re.search(a.only or ".", n)]
    if not wanted:
        return
    planting.mirror_sources(base)
    fault = planting.make(run_command, base, goals, "-j2")
    if fault:
        report.die(f"the reference does not build:\n{fault}")
    for name in wanted:
        tree = work / "planted"
        wrong = planting.plant(run_command, base, patches[name], tree, goals)
        if wrong:
            report.die(f"{name}: {wrong}")
        family = SHOWN.get(name, "")
        more = ["--only", family] if family else []
        found, out = conform(a, "--time", str(a.time), "--conform", str(tree / goals[0]), "--until-finding", *more)
        expected = "found" if name in SHOWN else "clean" if name in CANARIES else "may be missed on x86"
        show(rows, patches[name].name, expected, found, out, "")


def show(rows, name, expected, found, out, note):
    first = found[0] if found else None
    good = expected.startswith("may") or bool(found) == (expected == "found")
    instances = re.search(r"([\d,]+) instances", out)
    rows.append({
        "name": name, "expected": expected, "good": good, "after_s": float(first[1]) if first else None,
        "program": first[0] if first else None, "outcome": first[2] if first else None, "note": note,
        "instances": int(instances.group(1).replace(",", "")) if instances else None,
    })  # fmt: skip
    said = f"{first[1]} s, {first[0]}: {first[2]}" if first else "no finding"
    print(f"{'ok  ' if good else 'MISS' if expected == 'found' else 'FALSE'} {name} ({expected}): {said}", flush=True)


def main():
    report.help_if_asked(__doc__)
    a = read_arguments()
    run, rows = report.Run("conform-power"), []

    def finish(status):
        table = report.Table(
            ["planted", "expected", "seconds", "program", "outcome", "instances", ""],
            [[r["name"], r["expected"], r["after_s"], r["program"], r["outcome"], r["instances"], r["note"]] for r in rows],
        )
        summary = {"planted": len(rows), "found": sum(r["after_s"] is not None for r in rows), "wrong": sum(not r["good"] for r in rows), "time_s": a.time}
        lead = f"{summary['found']} of {len(rows)} planted mistakes were found with real threads, {summary['wrong']} not as expected."
        return run.finish(status, summary, rows, [report.Section("Planted", table=table)], "Real threads: planted mistakes", lead)

    report.on_interrupt(lambda: finish("interrupted"))
    try:
        in_driver(a, rows)
        if not a.no_ref:
            in_reference(a, rows)
    except (OSError, SystemExit):
        if rows:  # keep what was found so far
            finish("error")
        raise
    if not rows:
        report.die(f"--only {a.only} matches nothing")
    bad = any(not r["good"] for r in rows)
    final = finish("finding" if bad else "pass")
    print(f"report: {final.relative_to(pathlib.Path.cwd()) if final.is_relative_to(pathlib.Path.cwd()) else final}/report.html")
    return 1 if bad else 0
