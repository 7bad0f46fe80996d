"""advise_ref.py: `make advise`: the weakest order for each name of ref/orders.h, by `make verify`'s scenarios.

    scripts/advise.py [FILTER=regex] [TIME=seconds a search] [ORDERS=regex] [JOBS=n]

Scenarios of FILTER that complete within TIME (default 5) seconds judge. Each name's order is weakened
at all its places while the scenarios run, nothing is rebuilt. Report: results/advise/<stamp>/. Exit
status: 0 whatever it advises, 2 usage or set-up, 130 interrupted.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from pagebox.common import report
from pagebox.sim import trace
from pagebox.sim.advise import ARM, KINDS, NAMES, TARGETS, WEAKER, Costs, text_of

PROGRAM = report.REPO / "build" / "sim" / "verify"
NAME = re.compile(r"\bPB_ORDER_(\w+)")
FIXED = ["setarch", "-R"]  # the same addresses in every process


def settings(arguments):
    given = {n: os.environ.get(n, "") for n in ("FILTER", "TIME", "ORDERS", "JOBS")}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or name not in given:
            report.die(f"{argument!r}: what can be set is {', '.join(given)}, as NAME=value")
        given[name] = value
    if not re.fullmatch(r"\d{0,5}", given["TIME"]) or not re.fullmatch(r"\d{0,2}", given["JOBS"]):
        report.die("TIME= and JOBS= want whole numbers")
    return given


class Orders:
    def __init__(self, given):
        self.time_s = int(given["TIME"] or 5)
        self.jobs = int(given["JOBS"] or os.cpu_count() or 1)
        if not PROGRAM.exists():
            report.die(f"{PROGRAM} is not built: `make advise` builds it")
        listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True)
        names = [l.split()[0] for l in listed.stdout.splitlines()]
        self.names = [n for n in names if re.search(given["FILTER"], n)]
        self.costs = Costs("clang")

    def search(self, name, changes=(), more=()):
        command = [*FIXED, str(PROGRAM), "--quiet", "--seconds", str(self.time_s)]
        command += ["--processes", str(self.jobs), *more]
        for change in changes:
            command += ["--order", change]
        done = subprocess.run([*command, name], capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if not lines:
            report.die(f"{name}: {done.stderr.strip()[-300:]}")
        return json.loads(lines[-1])

    def complete_ones(self):
        """Scenarios that judge, and the rows: name of orders.h -> [(pc, kind)] with its order."""
        chosen, rows, ids = [], {}, {}
        reader = trace.Program(PROGRAM)
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            for name in self.names:
                row = self.search(name, more=["--sites", file.name])
                if row["finding"]:
                    report.die(f"{name} has a finding ({row['finding']}): mend that first")
                if not row["complete"]:
                    print(f"{name}: not complete in {self.time_s} s: it does not judge", flush=True)
                    continue
                chosen.append(name)
                # processes of a search keep their sites to themselves: one more, alone and short
                jobs, self.jobs = self.jobs, 1
                self.search(name, more=["--sites", file.name])
                self.jobs = jobs
                self.collect(json.load(open(file.name)), reader, rows, ids)
        return chosen, rows

    def collect(self, data, reader, rows, ids):
        base = data["base"] if reader.dynamic() else 0
        reader.look_up([s["pc"] - base for s in data["sites"]])
        named = {}
        for site in data["sites"]:
            name = self.macro(reader.frames(site["pc"] - base))
            if not name or site["kind"] == "cas-fails":
                continue
            named[site["id"]] = name
            row = rows.setdefault((name, site["kind"], site["order"]), {"pcs": set(), "pairs": set()})
            row["pcs"].add(site["pc"])
        orders = {s["id"]: s["order"] for s in data["sites"]}
        for load, store in data["pairs"]:
            for site, other in ((load, store), (store, load)):
                if site in named:
                    key = (named[site], next(s["kind"] for s in data["sites"] if s["id"] == site), orders[site])
                    rows[key]["pairs"].add(("load" if site == load else "store", orders.get(other, 0)))

    @staticmethod
    def macro(frames):
        """The name of orders.h in the statement of the innermost frame that has one."""
        for _, file, line in frames:
            if "/ref/" not in file and not file.startswith("ref/"):
                continue
            try:
                lines = open(file, encoding="utf-8").read().splitlines()
            except OSError:
                continue
            for text in lines[line - 1 : line + 3]:
                found = NAME.search(text)
                if found:
                    return found.group(1)
                if ";" in text:
                    break
        return None

    def swaps(self, row, before, after):
        """Does the weakening let a load and a later store swap that it kept apart alone?"""
        for role, other in row["pairs"]:
            keeps = (1, 2, 4, 5) if role == "load" else (3, 4, 5)
            others = (3, 4, 5) if role == "load" else (1, 2, 4, 5)
            if before in keeps and after not in keeps and other not in others:
                return True
        return False

    def judge(self, chosen, changes):
        graphs, unsure = 0, None
        for name in chosen:
            row = self.search(name, changes)
            if row["finding"]:
                return False, f"{row['finding']} in {name}"
            graphs += row["graphs"]
            if not row["complete"]:
                unsure = name
        if unsure:
            return None, f"not refuted in {self.time_s} s ({unsure})"
        return True, f"complete, {len(chosen)} scenarios, {graphs:,} graphs"

    def advise(self, chosen, key, row):
        """(order that holds or None, words)."""
        name, kind, order = key
        words = "relaxed already"
        for weaker in WEAKER[kind].get(order, []):
            changes = [f"{pc}:{KINDS.index(kind)}:{weaker}" for pc in sorted(row["pcs"])]
            holds, how = self.judge(chosen, changes)
            if holds is not False and self.swaps(row, order, weaker):
                holds, how = False, ARM
            if holds:
                return weaker, how
            words = f"{NAMES[weaker]}: {how}" if how != ARM else how
        return None, words


def main():
    given = settings(sys.argv[1:])
    orders = Orders(given)
    run = report.Run("advise")
    chosen, rows = orders.complete_ones()
    if not chosen:
        report.die(f"no scenario completes in {orders.time_s} s: give more (TIME=N)")
    lines, items, weaker_n = [], [], 0
    columns = ["name", "kind", "order", "weakest that holds", "shown by", *TARGETS]
    for key in sorted(rows):
        name, kind, order = key
        if not re.search(given["ORDERS"], name):
            continue
        weakest, words = orders.advise(chosen, key, rows[key])
        can = WEAKER[kind].get(order)
        verdict = NAMES[weakest] if weakest is not None else "-" if not can else (
            "not known" if "not refuted" in words else "needed"
        )
        weaker_n += weakest is not None
        costs = [
            orders.costs.change(t, kind, order, weakest) if weakest is not None else orders.costs.cost(t, kind, order)
            for t in TARGETS
        ]
        lines.append([name, kind, NAMES[order], verdict, words, *costs])
        items.append({"name": name, "kind": kind, "order": NAMES[order], "weakest": verdict, "shown_by": words})
        print(f"{name} {kind}: {NAMES[order]} -> {verdict} ({words})", flush=True)
    lead = f"{len(lines)} places of ref/orders.h, {weaker_n} could be weaker, judged by {len(chosen)} scenarios."
    table = report.Table(columns, lines, align="l" * len(columns))
    section = report.Section("Orders, one at a time", f"Scenarios: {', '.join(chosen)}.", table=table)
    path = run.finish("pass", {"names": len(lines), "weaker": weaker_n}, items, [section], "Orders of ref/", lead)
    print("\n" + text_of(columns, lines) + f"\n\n{lead}\nreport: {os.path.relpath(path / 'report.html')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
