"""advise.py: finds the weakest memory order of each atomic access and fence that is still correct.

`make explore SRC=... ADVISE=1`. The program is not rebuilt: the order of one place (a source line and a kind of
access) is changed while it runs. For each weaker order a random search looks for a finding, then the exhaustive
search for a proof. At last the weakest orders are combined one by one, as long as the whole set holds. RC11 has
no load buffering: a weakening that lets a load and a later store of a thread swap is never proved here, so the
order counts as needed.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from pagebox.common import report
from pagebox.sim import explore_build, trace

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
PLAIN_ORDERS = {0: RELAXED, 1: RELAXED}  # plain reads and writes, numbered as in sites.c
RANDOM_S = 2


def acquires(order):
    return order in (CONSUME, ACQUIRE, ACQ_REL, SEQ_CST)


def releases(order):
    return order in (RELEASE, ACQ_REL, SEQ_CST)


def lets_swap(pairs, orders):
    """Could a load and a later store swap that could not before? pairs: (load, store), each a row or the order of an
    access outside the rows. orders: row -> new order."""
    if any(row.kind == "fence" for row in orders):
        return True  # a fence orders all earlier loads with all later stores

    def before(place):
        return getattr(place, "order", place)

    def after(place):
        return orders.get(place, before(place))

    return any(
        (acquires(before(load)) or releases(before(store)))
        and not (acquires(after(load)) or releases(after(store)))
        for load, store in pairs
    )


def interruptible():
    """From now on a termination is treated like an interrupt: the results so far are reported."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


# ---------------------------------------------------------------- what an order costs

EXPRESSION = {
    "load": "return __atomic_load_n(p, {o});",
    "store": "__atomic_store_n(p, v, {o}); return 0;",
    "rmw": "return __atomic_fetch_add(p, v, {o});",
    "cas": "__atomic_compare_exchange_n(p, &v, 7, 0, {o}, __ATOMIC_RELAXED); return v;",
    "cas-fails": "__atomic_compare_exchange_n(p, &v, 7, 0, __ATOMIC_RELAXED, {o}); return v;",
    "fence": "__atomic_thread_fence({o}); return 0;",
}
TARGETS = {  # name -> clang's name, the ordering instructions
    "x86-64": (["--target=x86_64-linux-gnu"], r"\t(mfence|lock\b|xchg[bwlq]?\b)"),
    "arm64": (
        ["--target=aarch64-linux-gnu", "-march=armv8.1-a"],
        r"\t(dmb|ldap?r[bh]?|stlr[bh]?|(?:cas|swp|ld(?:add|set|clr|eor))(?:al|a|l)[bh]?)\b",
    ),
    "riscv64": (["--target=riscv64-linux-gnu", "-march=rv64ima"], r"\t(fence|amo\w+\.\w\.(?:aqrl|aq|rl)|lr\.w\.aqrl|lr\.w\.aq|sc\.w\.rl)"),
}


COLUMNS = ["site", "order", "weakest that holds", "shown by", *TARGETS]


def constant(order):
    return f"__ATOMIC_{NAMES[order].upper()}"


class Costs:
    """The ordering instructions of each kind of access and order, found by compiling it."""

    def __init__(self, cc):
        self.cc, self.known = cc, {}

    def of(self, target, kind, order):
        key = (target, kind, order)
        if key not in self.known:
            flags, pattern = TARGETS[target]
            body = EXPRESSION[kind].format(o=constant(order))
            source = f"int f(int *p, int v) {{ {body} }}\n"
            command = [self.cc, *flags, "-O2", "-ffreestanding", "-S", "-xc", "-", "-o", "-"]
            done = subprocess.run(command, input=source, capture_output=True, text=True, errors="surrogateescape")
            found = re.findall(pattern, done.stdout) if done.returncode == 0 else None
            self.known[key] = found
        return self.known[key]

    def change(self, target, kind, before, after):
        """What changing one order to another saves, in a word."""
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
    """Accesses of one kind and order at one place in the source, wherever they are compiled to."""

    def __init__(self, name, kind, order):
        self.name, self.kind, self.order, self.pcs = name, kind, order, set()
        self.weakest, self.shown, self.known = None, "relaxed already", True

    def changes(self, order):
        return [f"{pc}:{KINDS.index(self.kind)}:{order}" for pc in sorted(self.pcs)]

    def verdict(self):
        if self.weakest is not None:
            return NAMES[self.weakest]
        if not WEAKER[self.kind].get(self.order):
            return "-"
        return "needed" if self.known else "not known"

    def costs(self, costs):
        """A cell per processor: what the weakest order saves, or what the order costs."""
        if self.weakest is not None:
            return [costs.change(t, self.kind, self.order, self.weakest) for t in TARGETS]
        return [costs.cost(t, self.kind, self.order) for t in TARGETS]

    def item(self, chosen):
        return {
            "name": self.name,
            "kind": self.kind,
            "order": NAMES[self.order],
            "weakest": self.verdict(),
            "shown_by": self.shown,
            "in_the_set": self in chosen,
        }


def changes_of(orders):
    return [c for row, order in orders.items() for c in row.changes(order)]


def find_weakest(row, pairs, judge):
    """Fills in a row. judge(orders): (True holds, False refuted, None unknown; words)."""
    for order in WEAKER[row.kind].get(row.order, []):
        holds, words = judge({row: order})
        if holds is not False and lets_swap(pairs, {row: order}):
            holds, row.shown = False, ARM
        elif row.known:
            row.shown = words if holds else f"{NAMES[order]}: {words}"
        if holds:
            row.weakest, row.shown = order, words
            return
        row.known = row.known and holds is not None


def together(rows, pairs, judge):
    """The rows that can be weaker at the same time, added one by one, and how that is known."""
    chosen, how = {}, ""
    for row in rows:
        attempt = chosen | {row: row.weakest}
        if row.weakest is None or lets_swap(pairs, attempt):
            continue
        holds, words = judge(attempt) if chosen else (True, row.shown)
        if holds:
            chosen, how = attempt, words
    return chosen, how


def set_text(chosen, how, interrupted):
    if chosen:
        names = ", ".join(f"{r.name} {NAMES[o]}" for r, o in chosen.items())
        return f"Together, one after the other in the order of the rows: {names} ({how})."
    return "Interrupted before the orders were put together." if interrupted else "No order can be weaker."


class Advisor:
    def __init__(self, a, program):
        self.a, self.program = a, program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="advise-", dir=program.parent))
        self.costs = Costs(a.cc if "clang" in a.cc else "clang")
        self.traces = 0

    def run(self, sched, seconds, changes=(), more=()):
        command = [str(self.program), f"--out={self.folder}", f"--seconds={max(1, round(seconds))}"]
        command += [f"--seed={self.a.seed}", f"--sched={sched}", f"--processes={self.a.jobs}"]
        command += ["--shrink=200", *explore_build.of_program(self.a), *changes, *more]
        (self.folder / "result.json").unlink(missing_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        try:
            return json.loads((self.folder / "result.json").read_text())
        except (OSError, ValueError):
            report.die(f"the program ended with status {done.returncode}: {done.stderr.strip()}")

    def rows(self):
        """The places, from a run of the unchanged program."""
        result = self.run("all", RANDOM_S, more=["--sites=1"])
        if result["finding"]:
            report.die(
                f"the program as written has a finding ({result['finding']}): fix that first"
            )
        data = json.loads((self.folder / "sites.json").read_text())
        reader = trace.Program(self.program)
        reader.look_up([s["pc"] for s in data["sites"]])
        wanted = [os.path.basename(f) for f in (self.a.advise_in or "").split()]
        rows, where = {}, PLAIN_ORDERS | {s["id"]: s["order"] for s in data["sites"]}
        for site in data["sites"]:
            function, file, line = reader.place(site["pc"])
            if not file or (wanted and os.path.basename(file) not in wanted):
                continue
            key = (file, line, function or "")
            key += (site["kind"], site["order"])
            name = f"{trace.short(file)}:{line} {site['kind']}"
            where[site["id"]] = row = rows.setdefault(key, Row(name, site["kind"], site["order"]))
            row.pcs.add(site["pc"])
        self.pairs = {(where[load], where[store]) for load, store in data["pairs"]}
        order = lambda key: (key[0], key[1], KINDS.index(key[3]), key[2], key[4])
        return [rows[key] for key in sorted(rows, key=order)]

    def judge(self, orders):
        """The verdict on the program with these orders: True holds, False refuted, None unknown; and words."""
        changes = [f"--order={change}" for change in changes_of(orders)]
        result = self.run("all", RANDOM_S, changes)
        if not result["finding"]:
            result = self.run("exhaustive", self.a.advise_time, changes)
        if result["finding"]:
            self.traces += 1
            return False, f"{result['finding']}, {self.keep(orders)}"
        if not result["complete"]:
            return None, f"not refuted in {RANDOM_S + self.a.advise_time:g} s"
        return True, f"complete, {result['graphs']:,} graphs"

    def keep(self, orders):
        """Keeps the trace of a refutation as a file of the report."""
        data = json.loads((self.folder / "trace.json").read_text())
        reader = trace.Program(self.program)
        name = f"trace-{self.traces}.txt"
        text = "".join(f"{row.name} made {NAMES[o]}\n" for row, o in orders.items())
        self.report.path(name).write_text(text + "\n" + trace.text(data, reader))
        return f"trace {self.traces}"


def text_of(columns, lines):
    widths = [max(len(str(line[i])) for line in [columns, *lines]) for i in range(len(columns))]
    return "\n".join(
        "  ".join(str(c).ljust(w) for c, w in zip(line, widths)).rstrip() for line in [columns, *lines]
    )


def run(a, program, say):
    """Runs ADVISE=1; returns the exit status."""
    advisor = Advisor(a, program)
    advisor.report = report.Run("advise", a.root)
    rows, done, chosen, how, interrupted = [], [], {}, "", False
    interruptible()
    try:
        rows = advisor.rows()
        if not rows:
            report.die("no atomic access with an order was seen, so there is nothing to advise on")
        look_at_program(advisor, say)
        for row in rows:
            find_weakest(row, advisor.pairs, advisor.judge)
            done.append(row)
            say(f"{row.name}: {NAMES[row.order]} -> {row.verdict()} ({row.shown})")
        chosen, how = together(rows, advisor.pairs, advisor.judge)
    except KeyboardInterrupt:
        interrupted = True
    text = set_text(chosen, how, interrupted)
    lines = [[r.name, NAMES[r.order], r.verdict(), r.shown, *r.costs(advisor.costs)] for r in done]
    section = report.Section("Orders", text, table=report.Table(COLUMNS, lines, align="lllllll"))
    path = advisor.report.finish(
        "interrupted" if interrupted else "pass",
        {"sites": len(rows), "weaker": len(chosen)},
        [row.item(chosen) for row in done],
        [section],
        f"Memory orders of {', '.join(os.path.basename(s) for s in a.src)}",
        f"{len(done)} of {len(rows)} places, {len(chosen)} can be weaker at once.",
    )
    say("\n" + text_of(COLUMNS, lines) + "\n\n" + text)
    say(f"report: {report.shown(path / 'report.html')}")
    return 130 if interrupted else 0


def look_at_program(advisor, say):
    """The unchanged program must have no finding. Can it be explored completely?"""
    seconds = advisor.a.advise_time
    base = advisor.run("exhaustive", seconds)
    if base["finding"]:
        report.die(f"the program as written has a finding ({base['finding']}): fix that first")
    if not base["complete"]:
        say(
            f"note: the program as written was not explored to its end in {seconds:g} s: rows"
            " say `not refuted` where a smaller program would say `complete` (ADVISE_TIME=N)"
        )
