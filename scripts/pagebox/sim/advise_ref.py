"""advise_ref.py: `make advise`: the weakest order for each name of ref/orders.h, by `make verify`'s scenarios.

    scripts/advise.py [FILTER=regex] [TIME=seconds a search] [ORDERS=regex] [JOBS=n]

Each name's order is weakened at all its places while the scenarios of FILTER run; nothing is rebuilt. A weaker
order holds only if every scenario that uses the name was searched completely. A search has TIME (default 10)
seconds, or four times that if the unchanged orders took at most twice TIME. At last the weakest orders are combined
one by one. Report: results/advise/<stamp>/, which an interrupted run writes too.
Exit status: 0 whatever it advises, 2 usage or set-up, 130 interrupted.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from pagebox.common import report
from pagebox.common import settings
from pagebox.sim import advise, trace
from pagebox.sim.advise import NAMES, TARGETS

PROGRAM = report.REPO / "build" / "sim" / "verify"
NAME = re.compile(r"\bPB_ORDER_(\w+)")
FIXED = ["setarch", "-R"]  # the same addresses in every process
COLUMNS = ["name", "kind", "order", "weakest that holds", "shown by", *TARGETS]


def asked(arguments):
    return settings.read(arguments, {
        "TIME": settings.number(10, 1, 99999),
        "JOBS": settings.number(os.cpu_count() or 1, 1, 99),
        "FILTER": settings.word(),
        "ORDERS": settings.word(),
    })


class Scenario:
    def __init__(self, name, row, pcs):
        self.name, self.graphs, self.complete, self.pcs = name, row["graphs"], row["complete"], pcs


class Orders:
    def __init__(self, given):
        self.time_s, self.jobs = given.TIME, given.JOBS
        if not PROGRAM.exists():
            report.die(f"{PROGRAM} is not built: `make advise` builds it")
        listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True)
        names = [l.split()[0] for l in listed.stdout.splitlines()]
        wanted = report.pattern(given.FILTER, "FILTER")
        self.names = [n for n in names if wanted.search(n)]
        if not self.names:
            report.die(f"FILTER={given.FILTER}: no scenario has such a name; `build/sim/verify --list` names them")
        self.costs = advise.Costs("clang")
        self.reader = trace.Program(PROGRAM)
        self.scenarios, self.rows, self.pairs = [], {}, set()

    def search(self, name, seconds, jobs, changes=(), more=()):
        command = [*FIXED, str(PROGRAM), "--quiet", "--seconds", str(seconds), "--processes", str(jobs), *more]
        for change in changes:
            command += ["--order", change]
        done = subprocess.run([*command, name], capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if not lines:
            report.die(f"{name}: {done.stderr.strip()[-300:]}")
        return json.loads(lines[-1])

    def look(self):
        """Runs each unchanged scenario, for its graphs and its places."""
        for name in self.names:
            with tempfile.NamedTemporaryFile(suffix=".json") as file:
                # the processes of a search do not share their places, so use one
                found = self.search(name, 2 * self.time_s, 1, more=["--sites", file.name])
                data = json.load(open(file.name))
            if found["finding"]:
                report.die(f"{name} has a finding ({found['finding']}): fix that first")
            if not found["complete"]:
                print(f"{name}: not complete in {2 * self.time_s} s: it can refute an order, but not prove one", flush=True)
            self.scenarios.append(Scenario(name, found, {s["pc"] for s in data["sites"]}))
            self.collect(data)
        self.scenarios.sort(key=lambda s: (not s.complete, s.graphs))

    def collect(self, data):
        base = data["base"] if self.reader.dynamic() else 0
        self.reader.look_up([s["pc"] - base for s in data["sites"]])
        where = dict(advise.PLAIN_ORDERS)
        for site in data["sites"]:
            where[site["id"]] = site["order"]
            name = self.macro(self.reader.frames(site["pc"] - base))
            if name and site["kind"] != "cas-fails":
                key = (name, site["kind"], site["order"])
                row = where[site["id"]] = self.rows.setdefault(key, advise.Row(*key))
                row.pcs.add(site["pc"])
        self.pairs |= {(where[load], where[store]) for load, store in data["pairs"]}

    @staticmethod
    def macro(frames):
        """The name from orders.h in the statement of the innermost frame that has one."""
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

    def judge(self, orders):
        """The verdict of the scenarios on these orders: (True holds, False refuted, None unknown; words)."""
        changes = advise.changes_of(orders)
        pcs = set().union(*(row.pcs for row in orders))
        judges = [s for s in self.scenarios if s.pcs & pcs]
        graphs, unsure = 0, []
        for scenario in judges:
            seconds = 4 * self.time_s if scenario.complete else self.time_s
            found = self.search(scenario.name, seconds, self.jobs, changes)
            if found["finding"]:
                return False, f"{found['finding']} in {scenario.name}"
            graphs += found["graphs"]
            if not found["complete"]:
                unsure.append(f"{scenario.name} {seconds} s")
        if unsure:
            return None, f"not refuted ({', '.join(unsure)})"
        plural = "s" if len(judges) > 1 else ""
        return True, f"complete, {len(judges)} scenario{plural}, {graphs:,} graphs"


def write(run, orders, done, chosen, how, interrupted):
    lines = [[r.name, r.kind, NAMES[r.order], r.verdict(), r.shown, *r.costs(orders.costs)] for r in done]
    weaker_n = sum(row.weakest is not None for row in done)
    proved = [s.name for s in orders.scenarios if s.complete]
    others = [s.name for s in orders.scenarios if not s.complete]
    lead = f"{len(lines)} of {len(orders.rows)} rows of ref/orders.h, {weaker_n} could be weaker."
    text = f"Searched to their end: {', '.join(proved) or 'none'}. For a time only: {', '.join(others) or 'none'}."
    text += "\n\n" + advise.set_text(chosen, how, interrupted)
    table = report.Table(COLUMNS, lines, align="l" * len(COLUMNS))
    path = run.finish(
        "interrupted" if interrupted else "pass",
        {"names": len(lines), "weaker": weaker_n},
        [row.item(chosen) for row in done],
        [report.Section("Orders", text, table=table)],
        "Orders of ref/",
        lead,
    )
    print(f"\n{advise.text_of(COLUMNS, lines)}\n\n{text}\n{lead}")
    print(f"report: {report.shown(path / 'report.html')}")


def main():
    report.help_if_asked(__doc__)
    given = asked(sys.argv[1:])
    wanted = report.pattern(given.ORDERS, "ORDERS")
    orders = Orders(given)
    run = report.Run("advise")
    done, chosen, how, interrupted = [], {}, "", False
    advise.interruptible()
    try:
        orders.look()
        for key in sorted(k for k in orders.rows if wanted.search(k[0])):
            row = orders.rows[key]
            advise.find_weakest(row, orders.pairs, orders.judge)
            done.append(row)
            print(f"{row.name} {row.kind}: {NAMES[row.order]} -> {row.verdict()} ({row.shown})", flush=True)
        chosen, how = advise.together(done, orders.pairs, orders.judge)
    except KeyboardInterrupt:
        interrupted = True
    write(run, orders, done, chosen, how, interrupted)
    return 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
