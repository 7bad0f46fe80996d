"""advise.py: the weakest memory order at each atomic access and fence that is still right.

`make explore SRC=... ADVISE=1`. The program runs as it is; orders are changed at one place (a line of
the source and a kind of access) while it runs. For each weaker order a random search looks for a
finding, then the exhaustive search for a proof; at last the weakest orders are put together one by
one, as long as the whole set holds. RC11 has no load buffering: a weakening that lets a load and a
later store of a thread swap is never proved here, and stays needed.
"""
import json
import os
import pathlib
import re
import subprocess
import tempfile

from pagebox.common import report
from pagebox.sim import trace

RELAXED, CONSUME, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST = range(6)
NAMES = ("relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst")
KINDS = ("load", "store", "rmw", "cas", "cas-fails", "fence")
# Weaker orders of each kind, weakest first.
WEAKER = {
    "load": {SEQ_CST: [RELAXED, ACQUIRE], ACQUIRE: [RELAXED], CONSUME: [RELAXED]},
    "store": {SEQ_CST: [RELAXED, RELEASE], RELEASE: [RELAXED]},
    "rmw": {
        SEQ_CST: [RELAXED, ACQUIRE, RELEASE, ACQ_REL],
        ACQ_REL: [RELAXED, ACQUIRE, RELEASE],
        ACQUIRE: [RELAXED],
        RELEASE: [RELAXED],
    },
}
WEAKER["cas"] = WEAKER["fence"] = WEAKER["rmw"]
WEAKER["cas-fails"] = WEAKER["load"]
ARM = "RC11 has no load buffering: needed on Arm"
PLAIN_READ, PLAIN_WRITE = 0, 1
RANDOM_S = 2


def acquires(order):
    return order in (CONSUME, ACQUIRE, ACQ_REL, SEQ_CST)


def releases(order):
    return order in (RELEASE, ACQ_REL, SEQ_CST)


# ---------------------------------------------------------------- what an order costs

EXPRESSION = {
    "load": "return __atomic_load_n(p, {o});",
    "store": "__atomic_store_n(p, v, {o}); return 0;",
    "rmw": "return __atomic_fetch_add(p, v, {o});",
    "cas": "__atomic_compare_exchange_n(p, &v, 7, 0, {o}, __ATOMIC_RELAXED); return v;",
    "cas-fails": "__atomic_compare_exchange_n(p, &v, 7, 0, __ATOMIC_RELAXED, {o}); return v;",
    "fence": "__atomic_thread_fence({o}); return 0;",
}
TARGETS = {  # name -> clang's, the instructions that order
    "x86-64": (["--target=x86_64-linux-gnu"], r"\t(mfence|lock\b|xchg[bwlq]?\b)"),
    "arm64": (
        ["--target=aarch64-linux-gnu", "-march=armv8.1-a"],
        r"\t(dmb|ldap?r[bh]?|stlr[bh]?|(?:cas|swp|ld(?:add|set|clr|eor))(?:al|a|l)[bh]?)\b",
    ),
    "riscv64": (["--target=riscv64-linux-gnu", "-march=rv64ima"], r"\t(fence|amo\w+\.\w\.(?:aqrl|aq|rl)|lr\.w\.aqrl|lr\.w\.aq|sc\.w\.rl)"),
}


def constant(order):
    return f"__ATOMIC_{NAMES[order].upper()}"


class Costs:
    """The ordering instructions of each kind of access and order, by compiling it."""

    def __init__(self, cc):
        self.cc, self.known = cc, {}

    def of(self, target, kind, order):
        key = (target, kind, order)
        if key not in self.known:
            flags, pattern = TARGETS[target]
            body = EXPRESSION[kind].format(o=constant(order))
            source = f"int f(int *p, int v) {{ {body} }}\n"
            command = [self.cc, *flags, "-O2", "-ffreestanding", "-S", "-xc", "-", "-o", "-"]
            done = subprocess.run(command, input=source, capture_output=True, text=True)
            found = re.findall(pattern, done.stdout) if done.returncode == 0 else None
            self.known[key] = found
        return self.known[key]

    def change(self, target, kind, before, after):
        """What going from one order to another saves, in a word."""
        a, b = self.of(target, kind, before), self.of(target, kind, after)
        if a is None or b is None:
            return "?"
        if a == b:
            return "0"
        if len(a) != len(b):
            return f"{len(b) - len(a):+d} {(set(a) - set(b) or set(a)).pop()}"
        return next(f"{x} to {y}" for x, y in zip(a, b) if x != y)

    def cost(self, target, kind, order):
        return " ".join(self.of(target, kind, order) or ["0"]) if self.of(target, kind, order) is not None else "?"


# ---------------------------------------------------------------- places


class Row:
    """One place in the source: accesses of one kind, order and line, wherever they are compiled to."""

    def __init__(self, key, kind, order):
        self.file, self.line, self.function = key
        self.kind, self.order, self.ids, self.pcs = kind, order, set(), []
        self.weakest, self.shown, self.holds = order, "", False

    def changes(self, order):
        return [f"--order={pc}:{KINDS.index(self.kind)}:{order}" for pc in self.pcs]

    def name(self):
        return f"{trace.short(self.file)}:{self.line} {self.kind}"


class Advisor:
    def __init__(self, a, program):
        self.a, self.program = a, program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="advise-", dir=program.parent))
        self.costs = Costs(a.cc if "clang" in a.cc else "clang")
        self.traces = 0

    def run(self, sched, seconds, changes=(), more=()):
        command = [str(self.program), f"--out={self.folder}", f"--seconds={max(1, round(seconds))}"]
        command += [f"--seed={self.a.seed}", f"--sched={sched}", f"--processes={self.a.jobs}"]
        command += ["--shrink=200", *[f"--{pair}" for pair in self.a.set], *changes, *more]
        (self.folder / "result.json").unlink(missing_ok=True)
        done = subprocess.run(command, capture_output=True, text=True)
        try:
            return json.loads((self.folder / "result.json").read_text())
        except (OSError, ValueError):
            report.die(f"the program ended with status {done.returncode}: {done.stderr.strip()}")

    def rows(self):
        """The places, as a run of the program as written shows them."""
        result = self.run("all", RANDOM_S, more=["--sites=1"])
        if result["finding"]:
            report.die(
                f"the program as written has a finding ({result['finding']}): mend that first"
            )
        data = json.loads((self.folder / "sites.json").read_text())
        reader = trace.Program(self.program)
        reader.look_up([s["pc"] for s in data["sites"]])
        wanted = [os.path.basename(f) for f in (self.a.advise_in or "").split()]
        rows = {}
        for site in data["sites"]:
            function, file, line = reader.place(site["pc"])
            if not file or (wanted and os.path.basename(file) not in wanted):
                continue
            key = (file, line, function)
            row = rows.setdefault((key, site["kind"], site["order"]), Row(key, site["kind"], site["order"]))
            row.ids.add(site["id"])
            row.pcs.append(site["pc"])
        self.rows_by_id = {i: row for row in rows.values() for i in row.ids}
        self.pairs = [tuple(p) for p in data["pairs"]]
        return sorted(rows.values(), key=lambda r: (r.file, r.line, KINDS.index(r.kind)))

    def swaps(self, orders):
        """Could a load and a later store swap that could not before? orders: row -> new order."""

        def order(i, changed):
            row = self.rows_by_id.get(i)
            if row is None:
                return RELAXED
            return orders.get(row, row.order) if changed else row.order

        fences = [r for r in orders if r.kind == "fence"]
        if fences:
            return True  # a fence orders loads with later stores, whichever it is
        for load, store in self.pairs:
            before = acquires(order(load, False)) or releases(order(store, False))
            after = acquires(order(load, True)) or releases(order(store, True))
            if before and not after:
                return True
        return False

    def judge(self, orders):
        """(holds, how it is known) of the program with these orders."""
        changes = [c for row, order in orders.items() for c in row.changes(order)]
        result = self.run("all", RANDOM_S, changes)
        if not result["finding"]:
            result = self.run("exhaustive", self.a.advise_time, changes)
        if result["finding"]:
            self.traces += 1
            return False, f"{self.words(orders)}: {result['finding']}, {self.keep(orders)}"
        if not result["complete"]:
            return False, f"not refuted in {RANDOM_S + self.a.advise_time:g} s"
        return True, f"complete, {result['graphs']:,} graphs"

    @staticmethod
    def words(orders):
        return ", ".join(NAMES[o] for o in orders.values())

    def keep(self, orders):
        """The trace of a refutation, as a file of the report."""
        data = json.loads((self.folder / "trace.json").read_text())
        reader = trace.Program(self.program)
        name = f"trace-{self.traces}.txt"
        text = "".join(f"{row.name()} made {NAMES[o]}\n" for row, o in orders.items())
        self.report.path(name).write_text(text + "\n" + trace.text(data, reader))
        return f"trace {self.traces}"

    def advise(self, row):
        """Fills in a row: the weakest order that holds alone."""
        reasons = []
        for order in WEAKER[row.kind].get(row.order, []):
            holds, how = self.judge({row: order})
            if (holds or how.startswith("not refuted")) and self.swaps({row: order}):
                holds, how = False, ARM
            if holds:
                row.weakest, row.shown, row.holds = order, how, True
                return
            reasons.append(how)
            if how.startswith("not refuted"):
                row.unsure = True
        row.shown = reasons[-1] if reasons else "relaxed already"

    def together(self, rows):
        """The rows that can be weakened at once, greedily; how it is known."""
        chosen, how = {}, ""
        for row in rows:
            if not row.holds:
                continue
            attempt = chosen | {row: row.weakest}
            if self.swaps(attempt):
                continue
            if len(attempt) > 1:
                holds, words = self.judge(attempt)
                if not holds:
                    continue
                how = words
            else:
                how = row.shown
            chosen = attempt
        return chosen, how


def table_of(advisor, rows):
    lines = []
    for row in rows:
        order = row.weakest if row.holds else row.order
        words = NAMES[order] if row.holds else "needed" if WEAKER[row.kind].get(row.order) else "-"
        if getattr(row, "unsure", False) and not row.holds:
            words = "not known"
        costs = [
            advisor.costs.change(t, row.kind, row.order, order)
            if row.holds
            else advisor.costs.cost(t, row.kind, row.order)
            for t in TARGETS
        ]
        lines.append([row.name(), NAMES[row.order], words, row.shown, *costs])
    return lines


def text_of(columns, lines):
    widths = [max(len(str(line[i])) for line in [columns, *lines]) for i in range(len(columns))]
    return "\n".join(
        "  ".join(str(c).ljust(w) for c, w in zip(line, widths)).rstrip() for line in [columns, *lines]
    )


def run(a, program, say):
    """The whole of ADVISE=1; the exit status."""
    advisor = Advisor(a, program)
    advisor.report = final = report.Run("advise", a.root)
    rows = advisor.rows()
    if not rows:
        report.die("no atomic access with an order was seen: nothing to advise on")
    base = advisor.run("exhaustive", a.advise_time)
    if base["finding"]:
        report.die(f"the program as written has a finding ({base['finding']}): mend that first")
    if not base["complete"]:
        say(
            f"note: the program as written was not explored to its end in {a.advise_time:g} s: rows"
            " say `not refuted` where a smaller program would say `complete` (ADVISE_TIME=N)"
        )
    for row in rows:
        advisor.advise(row)
        say(f"{row.name()}: {NAMES[row.order]} -> {NAMES[row.weakest] if row.holds else row.shown}")
    chosen, how = advisor.together(rows)
    columns = ["site", "order", "weakest that holds", "shown by", *TARGETS]
    lines = table_of(advisor, rows)
    together = (
        "Together (one after the other in the order of the rows): "
        + "; ".join(f"{r.name()} {NAMES[o]}" for r, o in chosen.items())
        + f" ({how})."
        if chosen
        else "No order can be weaker."
    )
    items = [
        {
            "name": row.name(),
            "order": NAMES[row.order],
            "weakest": NAMES[row.weakest] if row.holds else None,
            "shown_by": row.shown,
            "in_the_set": row in chosen,
        }
        for row in rows
    ]
    names = ", ".join(os.path.basename(s) for s in a.src)
    section = report.Section("Orders", together, table=report.Table(columns, lines, align="lllllll"))
    path = final.finish(
        "pass", {"sites": len(rows), "weaker": len(chosen)}, items, [section],
        f"Memory orders of {names}", f"{len(rows)} places, {len(chosen)} can be weaker at once.",
    )
    say("\n" + text_of(columns, lines) + "\n\n" + together)
    say(f"report: {os.path.relpath(path / 'report.html')}")
    return 0
