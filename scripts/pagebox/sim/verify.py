"""verify.py: searches every schedule of the scenarios of fuzz/targets/scenarios.c; results/verify/<stamp>/.

    scripts/verify.py                        # all of them, both cores
    scripts/verify.py FILTER=waiters JOBS=1 TIME=60
    scripts/verify.py SET=locks=1
    scripts/verify.py FILTER=^pairs-ring     # pairs of calls on one object, of fuzz/programs/pairs.c

JOBS processes share each search (default: the cores) · FILTER a regular expression on names · TIME seconds at most
for each scenario · SET a reduction of the search, named in the result · SEED has no effect: nothing is random.
The same names work as environment variables, as make passes them. A search that TIME or an interrupt cut
continues when the same build is run again.
Exit status: 0 all complete and clean, 1 a finding or an incomplete search, 2 usage or set-up,
130 interrupted (the report is partial).
"""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from pagebox.common import processes
from pagebox.common import report
from pagebox.common import settings

PROGRAM = report.REPO / "build" / "sim" / "verify"
STATES = report.REPO / "build" / "verify"
BOUNDS = ((1, "steps"), (4, "memory"), (16, "loop"), (32, "threads"), (64, "mixed sizes"))  # enum sim_bound


def asked(arguments):
    return settings.read(arguments, {
        "JOBS": settings.number(os.cpu_count() or 1, 1, 64),
        "TIME": settings.number(0, 0, 10**6),
        "FILTER": settings.word(),
        "SET": settings.word(),
    })


def scenarios(pattern):
    """Names in the program's order."""
    if not PROGRAM.exists():
        report.die(f"{PROGRAM}: not built: `make verify` builds it")
    names = []
    for listing in ["--list"] + ["--pairs"] * ("pairs" in pattern):  # hundreds: only on request
        listed = subprocess.run([PROGRAM, listing], capture_output=True, text=True, check=True)
        names += [line.split()[0] for line in listed.stdout.splitlines()]
    try:
        chosen = [name for name in names if re.search(pattern, name)]
    except re.error as error:
        report.die(f"FILTER={pattern}: {error}")
    if not chosen:
        report.die(f"FILTER={pattern}: matches none of {', '.join(names)}")
    return chosen


class Search:
    """All scenarios of a run, one after the other."""

    def __init__(self, given):
        self.jobs, self.time_s = given.JOBS, given.TIME
        self.names = scenarios(given.FILTER)
        self.set = given.SET.split()
        for setting in self.set:
            if not re.fullmatch(r"(locks|barriers)=[01]", setting):
                report.die(f"SET={setting}: must be locks=0|1 or barriers=0|1")
        digest = hashlib.sha256(PROGRAM.read_bytes() + " ".join(self.set).encode()).hexdigest()[:16]
        self.state = STATES / digest
        self.state.mkdir(parents=True, exist_ok=True)
        for other in STATES.iterdir():  # states of builds that are gone
            if other != self.state:
                shutil.rmtree(other, ignore_errors=True)
        self.rows, self.said = [], {}
        self.stopping = False
        self.child = None

    def stop(self, *_):
        self.stopping = True
        if self.child and self.child.poll() is None:  # and all processes of its search
            processes.signal_group(self.child, signal.SIGINT)

    def command(self, name):
        command = [str(PROGRAM), "--processes", str(self.jobs), "--checkpoint", str(self.state)]
        command += ["--seconds", str(self.time_s)] if self.time_s else []
        for setting in self.set:
            command += ["--set", setting]
        return command + ([] if report.is_screen(sys.stderr) else ["--quiet"]) + [name]

    def run_one(self, name):
        """The row of one scenario, from an earlier run of this build or from a search now."""
        kept = self.state / f"{name}.json"
        if kept.exists():
            return json.loads(kept.read_text())
        log = self.state / f"{name}.log"
        show = report.is_screen(sys.stderr)
        with open(log, "w") as errors:
            self.child = subprocess.Popen(
                self.command(name),
                stdout=subprocess.PIPE,
                stderr=None if show else errors,
                text=True,
                start_new_session=True,
            )
            if self.stopping:  # requested while the child was starting
                self.stop()
            out, _ = self.child.communicate()
        status, self.child = self.child.returncode, None
        self.said[name] = log.read_text()[-20000:]
        if status == 2 or (not out.strip() and status != 130):
            report.die(f"{name}: {self.said[name].strip() or 'the search ended with ' + str(status)}")
        if not out.strip():
            return None
        row = json.loads(out.splitlines()[-1])
        if row["complete"] and not row["finding"]:
            kept.write_text(json.dumps(row))
        return row

    def run(self):
        for at, name in enumerate(self.names):
            if self.stopping:
                break
            began = time.monotonic()
            row = self.run_one(name)
            if row is None:
                break
            self.rows.append(row)
            print(line(row, at + 1, len(self.names), time.monotonic() - began), flush=True)
            if row["finding"]:
                print(f"finding: {row['finding']}", file=sys.stderr)
                sys.stderr.write(self.said.get(name, ""))

    def status(self):
        if any(row["finding"] for row in self.rows):
            return "finding"
        if len(self.rows) == len(self.names) and all(row["complete"] for row in self.rows):
            return "pass"
        return "interrupted" if self.stopping else "finding"


def line(row, at, of, seconds):
    verdict = row["finding"] or ("complete" if row["complete"] else "NOT complete")
    earlier = f", {seconds:.1f} s of them now" if seconds < row["seconds"] / 2 and row["seconds"] > 1 else ""
    reduced = f" (reduced by {row['reduced']})" if row["reduced"] else ""
    return (
        f"[{at}/{of}] {row['name']}: {verdict}: {row['graphs']:,} graphs{reduced}, {row['executions']:,} "
        f"executions, {row['seconds']:.1f} s, {row['peak_bytes'] / 2**20:.0f} MiB{earlier}"
    )


def reached(row):
    return ", ".join(word for bit, word in BOUNDS if row["bounds_reached"] & bit) or None


def table(rows):
    columns = "scenario rules bounds graphs executions dead_ends seconds MiB complete reached finding"
    lines = []
    for row in rows:
        lines.append(
            [row["name"], row["rules"], row["bounds"], row["graphs"], row["executions"]]
            + [row["pruned"], round(row["seconds"], 1), round(row["peak_bytes"] / 2**20, 1)]
            + ["yes" if row["complete"] else "no", reached(row), row["finding"]]
        )
    caption = (
        "Graphs: executions that differ in what a read reads or in the order of writes to one location. "
        "Dead ends: runs in which a thread waits as it would in no fair execution. Reached: the engine's "
        "bounds that a run met; if there are any, the search is not complete."
    )
    return report.Table(columns.split(), lines, caption=caption)


def main():
    arguments = sys.argv[1:]
    report.help_if_asked(__doc__)
    search = Search(asked(arguments))
    signal.signal(signal.SIGINT, search.stop)
    signal.signal(signal.SIGTERM, search.stop)
    run = report.Run("verify")
    search.run()
    status = search.status()
    total_s = sum(row["seconds"] for row in search.rows)
    summary = {
        "scenarios": len(search.names),
        "complete": sum(row["complete"] for row in search.rows),
        "findings": sum(bool(row["finding"]) for row in search.rows),
        "graphs": sum(row["graphs"] for row in search.rows),
        "search_seconds": round(total_s, 1),
        "jobs": search.jobs,
        "peak_bytes": max((row["peak_bytes"] for row in search.rows), default=0),
    }
    sections = [report.Section("Scenarios", table=table(search.rows))]
    for row in search.rows:
        if row["finding"]:
            text = search.said.get(row["name"]) or row["detail"]
            sections.append(report.Section(f"{row['name']}: {row['finding']}", pre=text))
    lead = (
        f"{summary['complete']} of {summary['scenarios']} scenarios searched to the end, "
        f"{summary['graphs']:,} execution graphs in {total_s:.0f} s, {report.counted(summary['findings'], 'finding')}."
    )
    items = [{**row, "bounds_reached": reached(row)} for row in search.rows]
    path = run.finish(status, summary, items, sections, "Every schedule of small scenarios", lead)
    print(f"{lead}\n{path.relative_to(report.REPO)}/report.html")
    if status == "pass" and not asked(arguments).FILTER:
        shutil.rmtree(search.state, ignore_errors=True)
    return {"pass": 0, "interrupted": 130}.get(status, 1)
