"""bench_report.py: from the raw rows of a benchmark run to figures, sentences, plots and tables.

Used by bench.py. Every figure is derived here from the raw rows alone, so that it can be derived
again. A figure of a row is the median over its rounds; low and high are the least and the greatest;
a ratio to a bound is the median of the rounds' own ratios.
"""
import re
import statistics

import report
from bench_plots import COLOURS, ORDERS, plot_orders, plot_sizes, plot_wakes, time_text

NOISY = 0.10  # middle half of the rounds wider than this part of the median
QUANTILES = ("q01", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q99")
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
TIMES = "\u00d7"
USUAL_PAGES = 16  # the size that sentences speak of

# Operations of a memory, in the order of the report: what one is, in words.
MEMORY = {
    "memory/create": ("Create", "A memory of so many pages, untouched."),
    "memory/grow": (
        "Grow",
        "One page more, of a memory whose bytes have all been written. `remap`, `move` and `heap` grow "
        "past what they reserved; the others grow in place.",
    ),
    "memory/touch": ("First touch", "One byte written to each host page of a new memory."),
    "memory/copy": (
        "Copy",
        "A copy of a memory whose bytes have all been written since the copy before; `image`, nothing "
        "written: none have, so its image is still good.",
    ),
    "memory/copy_touch": (
        "Copy, then write",
        "The same, and one byte written to each host page of the copy: where copy-on-write pays later.",
    ),
    "memory/destroy": ("Destroy", "A memory whose bytes have all been written. A pool resets the slot here."),
    "memory/create_touch": (
        "Create and touch, with advice",
        "Strategy `reserve`, create and one byte written to each host page: as it is, with the pages "
        "populated by one call, and with huge pages advised.",
    ),
}
# What the bounds are, in words; others are called as they are.
BARE = {
    "reserve": "mmap + mprotect",
    "mmap": "mmap",
    "commit": "mprotect",
    "guard_install": "mmap + madvise (install guards)",
    "guard_remove": "madvise (remove guards)",
    "mprotect": "mprotect",
    "mremap": "mremap",
    "move": "mmap + memcpy + munmap",
    "munmap": "munmap",
    "discard": "madvise (discard) + mprotect",
    "renew": "mmap in its place",
    "touch": "page faults",
    "populate": "mmap + madvise (populate)",
    "touch_huge": "mmap, aligned + huge-page faults",
    "copy": "mmap + memcpy",
    "map_file": "mmap of a file",
    "map_file_touch": "mmap of a file + page faults",
    "calloc": "calloc",
    "realloc": "realloc",
    "free": "free",
    "life": "mmap + mprotect + 4 faults + munmap",
}
MAILBOX = {
    "mailbox/enqueue": "enqueue",
    "mailbox/drain": "drain",
    "mailbox/enqueue_drain": "enqueue + drain, one by one",
    "mailbox/stream": "stream to another thread",
}


# ---------------------------------------------------------------- figures


def bare(bound):
    """What a bound is, in words."""
    name = bound.removeprefix("bound/").split("/")[0]
    return BARE.get(name, name)


def ratio_text(ratio):
    if ratio is None:
        return report.DASH
    digits = 0 if ratio >= 10 else 1 if ratio >= 1.05 else 2
    return f"{ratio:.{digits}f}{TIMES}"


def quarters(values):
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


class Figures:
    """One row over its rounds."""

    def __init__(self, name, rows):
        self.name = name
        parts = name.split("/")
        self.parameters = dict(p.split(":", 1) for p in parts if ":" in p)
        self.operation = "/".join(p for p in parts if ":" not in p)
        good = [r for r in rows if not r.get("error_occurred")]
        refused = [r.get("error_message", "refused") for r in rows if r.get("error_occurred")]
        self.skipped = refused[0] if refused and not good else None
        self.middles = {r["round"]: r["q50"] for r in good if "q50" in r}
        self.rounds = {r["round"]: r["real_time"] * NANOSECONDS[r["time_unit"]] for r in good}
        self.samples = {q: self.middle(good, q) for q in QUANTILES if self.middle(good, q) is not None}
        self.faults = self.middle(good, "page_faults")
        self.drains = self.middle(good, "drains")
        self.iterations = sum(r["iterations"] for r in good)
        self.ratios = {}
        self.calls = None
        values = list(self.rounds.values())
        self.ns = statistics.median(values) if values else None
        self.low, self.high = (min(values), max(values)) if values else (None, None)
        first, third = quarters(values) if values else (0, 0)
        self.half = (first, third)
        self.spread = (third - first) / self.ns if self.ns else None
        self.noisy = bool(self.ns and self.spread > NOISY)

    @staticmethod
    def middle(rows, key):
        values = [r[key] for r in rows if key in r]
        return statistics.median(values) if values else None

    def pages(self):
        return int(self.parameters.get("pages", 0))

    def subject(self):
        """Strategy with its variant, as a line of a plot is called."""
        extra = {k: v for k, v in self.parameters.items() if k not in ("strategy", "pages", "written")}
        name = self.parameters.get("strategy", "")
        if "advice" in extra:
            return {"none": "no advice", "populate": "populate", "huge": "huge pages"}[extra["advice"]]
        name += "".join(f" {v}" for v in extra.values())
        return name + (", nothing written" if self.parameters.get("written") == "0" else "")

    def shown(self):
        """The median, with a mark where it is noisy."""
        return None if self.ns is None else time_text(self.range()[0]) + (" ~" if self.noisy else "")

    def range(self):
        """(middle, low, high): of the rounds; of the samples (5 and 95 %) where there are samples."""
        if self.samples:
            return self.samples["q50"], self.samples["q05"], self.samples["q95"]
        return self.ns, self.low, self.high

    def spread_text(self):
        middle, low, high = self.range()
        return " / ".join(time_text(ns) for ns in (low, middle, high))

    def middles_text(self):
        """The samples' median, from the least round to the greatest."""
        middles = self.middles.values()
        return f"{time_text(min(middles))} to {time_text(max(middles))}" if middles else None

    def calls_text(self):
        if self.calls is None:
            return None
        words = [f"{n:.3g} {call}" if n != 1 else call for call, n in self.calls.items()]
        return " + ".join(words) or "none"

    def bound(self):
        return next(iter(self.ratios), None)

    def item(self):
        numbers = {"real_time": self.ns, "time_unit": "ns", "low": self.low, "high": self.high}
        numbers |= {"spread": self.spread, "noisy": self.noisy, "rounds": len(self.rounds)}
        numbers |= {"iterations": self.iterations, "page_faults": self.faults}
        numbers |= {"system_calls": self.calls, "bounds": self.ratios, "skipped": self.skipped}
        return {"name": self.name, **numbers, **self.samples}


def figures_of(facts, rows, crashes):
    """Name -> Figures, of all rows that ran or crashed, each with its ratios."""
    grouped = {}
    for row in rows:
        grouped.setdefault(row["name"], []).append(row)
    made = {name: Figures(name, grouped.get(name, [])) for name in sorted({*grouped, *crashes})}
    for name, figures in made.items():
        if name in crashes:
            figures.skipped = f"crashed: {crashes[name]}"
        figures.calls = (facts.get("system_calls") or {}).get(name)
        for bound in facts["bounds"].get(name, []):
            figures.ratios[bound] = ratio(figures, made.get(bound))
    return made


def ratio(figures, bound):
    """Median over the rounds of the ratio; of the samples' medians where there are samples."""
    if bound is None:
        return None
    ours, theirs = figures.middles or figures.rounds, bound.middles or bound.rounds
    ratios = [ours[r] / theirs[r] for r in ours.keys() & theirs.keys() if theirs[r] > 0]
    return statistics.median(ratios) if ratios else None


# ---------------------------------------------------------------- the report


class Report:
    """Everything that a run's report says. Parts for which there are no rows are left out."""

    def __init__(self, facts, rows, crashes, quick=False, pattern=None):
        self.facts, self.crashes = facts, crashes
        self.quick, self.pattern = facts.get("quick", quick), facts.get("filter", pattern)
        self.all = figures_of(facts, rows, crashes)
        self.good = {n: f for n, f in self.all.items() if f.ns is not None}
        self.measured = len(rows)

    def get(self, name):
        return self.good.get(name)

    def of(self, operation, **wanted):
        """Rows of an operation whose parameters are as wanted, by subject."""
        found = [f for f in self.good.values() if f.operation == operation]
        match = lambda f: all(f.parameters.get(k) == str(v) for k, v in wanted.items())
        return {f.subject(): f for f in found if match(f)}

    def lead(self, status):
        rounds = self.facts.get("rounds")
        words = f"{len(self.good)} rows in {rounds} rounds of fresh processes, {self.measured:,} measurements."
        if status == "interrupted":
            words = f"Interrupted: what was measured until then, {self.measured:,} measurements of {len(self.good)} rows."
        if self.pattern:
            words += f" Only rows that match `{self.pattern}`, and what bounds them."
        return words + (" Quick: fewer sizes and rounds." if self.quick else "")

    def summary(self):
        noisy = sum(f.noisy for f in self.good.values())
        skipped = sum(bool(f.skipped) for f in self.all.values()) - len(self.crashes)
        numbers = {"rows": len(self.good), "measurements": self.measured, "noisy": noisy}
        return numbers | {"skipped": skipped, "crashed": len(self.crashes)}

    def items(self):
        return [figures.item() for figures in self.all.values()]

    def sections(self):
        parts = [self.answers(), self.memory(), self.mailbox(), self.waits(), self.memcpy()]
        parts += [self.left_out(), self.method(), self.environment(), self.every_row()]
        return [part for part in parts if part]

    # ---- sentences

    def answers(self):
        makers = (self.say_create, self.say_grow, self.say_touch, self.say_copy, self.say_life)
        makers += (self.say_orders, self.say_mailbox, self.say_wake, self.say_notify, self.say_memcpy)
        said = [text for make in makers if (text := make())]
        text = "\n".join(f"- {one}" for one in said) or "No row ran that answers a question."
        return report.Section("Answers", text)

    def beside_bound(self, figures):
        """'700 ns (1.4x the bare call)'"""
        bound = figures.bound()
        if bound is None or figures.ratios[bound] is None:
            return time_text(figures.ns)
        return f"{time_text(figures.ns)} ({ratio_text(figures.ratios[bound])} the bare {bare(bound)})"

    def ranked(self, operation, **wanted):
        found = self.of(operation, **wanted)
        return sorted(found.items(), key=lambda pair: pair[1].ns)

    def ends(self, operation, what):
        """Best, `reserve`, and worst of an operation at the usual size."""
        rank = self.ranked(operation, pages=USUAL_PAGES)
        if len(rank) < 2:
            return None
        best, worst = rank[0], rank[-1]
        plain = dict(rank).get("reserve")
        middle = ""
        if plain and best[0] != "reserve" and worst[0] != "reserve":
            middle = f"; `reserve` {self.beside_bound(plain)}"
        return (
            f"{what}: least with `{best[0]}`, {self.beside_bound(best[1])}{middle}; "
            f"most with `{worst[0]}`, {self.beside_bound(worst[1])}."
        )

    def say_create(self):
        return self.ends("memory/create", f"**Creating** a memory of {USUAL_PAGES} pages")

    def say_grow(self):
        return self.ends("memory/grow", f"**Growing** a written memory of {USUAL_PAGES} pages by one")

    def say_touch(self):
        none = self.of("memory/create_touch", pages=256)
        if len(none) < 3:
            return None
        base = none["no advice"]
        return (
            f"**First touch** is what a new memory really costs: 256 pages (16 MiB), created and written "
            f"once, take {time_text(base.ns)} and {base.faults:,.0f} page faults; populated by one call "
            f"{time_text(none['populate'].ns)}; with huge pages advised {time_text(none['huge pages'].ns)} "
            f"and {none['huge pages'].faults:,.0f} faults."
        )

    def say_copy(self):
        copies, written = (self.of(f"memory/{o}", pages=USUAL_PAGES) for o in ("copy", "copy_touch"))
        names = ("reserve", "image", "image, nothing written")
        if not all(n in copies and n in written for n in names):
            return None
        full, dirty, clean = (copies[n].ns for n in names)
        return (
            f"**Copying** {USUAL_PAGES} written pages takes {time_text(full)} with `reserve`. `image` takes "
            f"{time_text(clean)} when nothing was written since its last copy ({full / clean:.3g} times "
            f"less) and {time_text(dirty)} when all was. If the copy is then written whole: "
            f"{time_text(written['reserve'].ns)}, {time_text(written[names[2]].ns)} and "
            f"{time_text(written['image'].ns)}."
        )

    def say_life(self):
        rank = self.ranked("memory/life")
        bound = self.get("bound/life/pages:1")
        if len(rank) < 2 or not bound:
            return None
        words = ", ".join(f"`{name}` {time_text(f.ns)}" for name, f in rank)
        return (
            f"**A short life** (create one page, write to four host pages, destroy): {words}. The bare "
            f"calls (map, protect, four faults, unmap): {time_text(bound.ns)}."
        )

    def orders(self, operation, threads):
        found = {t: self.get(f"{operation}/orders:{t}/threads:{threads}") for t in ORDERS}
        return {t: f for t, f in found.items() if f}

    def say_orders(self):
        found = self.orders("mailbox/enqueue", 1)
        if not {"chosen", "sc"} <= found.keys():
            return None
        chosen, rest = found["chosen"], []
        for table, figures in found.items():
            if table != "chosen":
                apart = figures.half[0] > chosen.half[1] or figures.half[1] < chosen.half[0]
                difference = f"{figures.ns / chosen.ns - 1:+.0%}"
                rest.append(f"{ORDERS[table]} {time_text(figures.ns)} ({difference}{'' if apart else ', within the spread'})")
        locked = self.facts.get("locked_instructions") or {}
        why = ""
        if {"chosen", "sc"} <= locked.keys():
            why = (
                f" Locked instructions in the mailbox's code: {locked['chosen']} as chosen, "
                f"{locked['sc']} with all SC: on this processor only a sequentially consistent store "
                "costs more than its weaker forms."
            )
        return f"**Orders**: an enqueue takes {time_text(chosen.ns)} as chosen; {'; '.join(rest)}.{why}"

    def say_mailbox(self):
        rows = [self.get(n) for n in ("mailbox/enqueue/orders:chosen/threads:1", "mailbox/drain/orders:chosen/threads:1")]
        add, lock = self.get("bound/fetch_add/threads:1"), self.get("bound/lock/threads:1")
        if not all(rows) or not add or not lock:
            return None
        text = (
            f"**The mailbox**: enqueue {time_text(rows[0].ns)} beside a bare fetch_add of {time_text(add.ns)} "
            f"and a bare uncontended lock of {time_text(lock.ns)}; drain {time_text(rows[1].ns)} an id."
        )
        two = self.get("mailbox/enqueue/orders:chosen/threads:2")
        pair = self.get("bound/fetch_add/threads:2"), self.get("bound/lock/threads:2")
        if two and all(pair):
            text += (
                f" Two producers at once: {two.spread_text()} an id at the 5th / 50th / 95th percentile "
                f"(fetch_add {pair[0].spread_text()}, lock {pair[1].spread_text()})."
            )
        return text

    def say_wake(self):
        said = []
        for cores, where in ((2, "on two cores"), (1, "on one core")):
            trip = self.get(f"wait/round_trip/via:pagebox/cores:{cores}")
            futex, condvar = (self.get(f"bound/round_trip/via:{v}/cores:{cores}") for v in ("futex", "condvar"))
            if trip and futex and condvar:
                said.append(
                    f"{where} {trip.spread_text()}, a bare futex {futex.spread_text()}, a condition variable "
                    f"{condvar.spread_text()}"
                )
        if not said:
            return None
        return (
            "**Wait and notify**, there and back between two threads, at the 5th / 50th / 95th percentile: "
            + "; ".join(said) + "."
        )

    def say_notify(self):
        none, wake = self.get("wait/notify_none"), self.get("bound/futex_wake")
        if not none or not wake:
            return None
        calls = " without a system call" if none.calls == {} else ""
        return (
            f"**Notify with nobody there** takes {time_text(none.ns)}{calls}; the bare futex wake that it "
            f"stands for takes {time_text(wake.ns)}."
        )

    def say_memcpy(self):
        found = {int(f.parameters["offset"]): f for f in self.good.values() if f.operation == "bound/memcpy"}
        if 0 not in found or len(found) < 2:
            return None
        worst = max(found.values(), key=lambda f: f.ns)
        factor = worst.ns / found[0].ns
        if factor < 1.5:
            return f"**memcpy** of 256 KiB takes the same at every offset here (worst {factor:.2g}{TIMES})."
        return (
            f"**memcpy** of 256 KiB takes {time_text(found[0].ns)} between page-aligned places and "
            f"{time_text(worst.ns)} at offset {worst.parameters['offset']} modulo 4,096 ({factor:.0f} times "
            "more): compare copies at equal alignment only."
        )

    # ---- memory

    def memory(self):
        inner = [s for operation, (title, text) in MEMORY.items() if (s := self.memory_part(operation, title, text))]
        inner += [s for s in [self.lives()] if s]
        text = (
            "Medians; `~` marks a noisy one (the middle half of its rounds is wider than 10 % of it). Grey in "
            "the plots, and `bare` in the tables: the bare system calls, or the bare allocator, that give "
            "the same result on a mapping of their own. A strategy may get below that where it does "
            "less: `heap` keeps its pages, a pool recycles its slots."
        )
        return report.Section("Linear memories, by strategy and size", text, sections=inner) if inner else None

    def memory_part(self, operation, title, text):
        found = [f for f in self.good.values() if f.operation == operation]
        lines, bounds = {}, {}
        for figures in sorted(found, key=lambda f: f.pages()):
            lines.setdefault(figures.subject(), []).append((figures.pages(), figures))
            bound = self.get(figures.bound())
            if bound and "/pages:" in bound.name:
                points = bounds.setdefault(re.sub(r"/pages:\d+", "", bound.name), {})
                points[bound.pages()] = bound.ns
        if not lines:
            return None
        lines = {n: lines[n] for n in [*COLOURS, *lines] if n in lines}
        bounds = {name: sorted(points.items()) for name, points in bounds.items()}
        svg = plot_sizes(lines, bounds, f"{title}: median time, from least to greatest")
        return report.Section(title, text, self.memory_table(lines), svg)

    def memory_table(self, lines):
        sizes = sorted({p for points in lines.values() for p, _ in points})
        usual = USUAL_PAGES if USUAL_PAGES in sizes else sizes[0]
        rows = []
        for name, points in lines.items():
            by_size = dict(points)
            cells = [duration(by_size[p]) if p in by_size else None for p in sizes]
            rows.append([name, *cells, *self.details(by_size.get(usual))])
        rows += [[f.subject(), *[f"not to be had: {f.skipped}"] + [None] * (len(sizes) + 4)]
                 for f in self.skipped_like(lines, usual)]
        columns = ["strategy", *[f"{p} page{'s' * (p > 1)}" for p in sizes]]
        columns += [f"at {usual} pages: bare calls", "bare", f"{TIMES} bare", "faults", "system calls"]
        return report.Table(columns, rows, "l" + "r" * len(sizes) + "lrrrl")

    def skipped_like(self, lines, pages):
        operation = next(iter(lines.values()))[0][1].operation
        return [f for f in self.all.values() if f.operation == operation and f.skipped and f.pages() == pages]

    def details(self, figures):
        """bound, its time, ratio, page faults, system calls"""
        if figures is None:
            return [None] * 5
        bound = figures.bound()
        time = duration(self.get(bound)) if self.get(bound) else None
        return [bare(bound) if bound else None, time, times(figures.ratios.get(bound)), figures.faults, figures.calls_text()]

    def lives(self):
        rank = self.ranked("memory/life")
        bound = self.get("bound/life/pages:1")
        if not rank or not bound:
            return None
        rows = [[n, duration(f), times(f.ratios.get(bound.name)), f.faults, f.calls_text()] for n, f in rank]
        columns = ["strategy", "time", f"{TIMES} bare", "faults", "system calls"]
        text = (
            "Create one page, write to four host pages, destroy: what an instance of a moment costs. The "
            f"bare calls ({bare(bound.name)}) take {time_text(bound.ns)}."
        )
        return report.Section("A short life", text, report.Table(columns, rows, "lrrrl"))

    # ---- mailbox

    def mailbox(self):
        inner = [s for threads in (1, 2) if (s := self.mailbox_threads(threads))]
        inner += [s for s in [self.locked()] if s]
        text = (
            "The same code, four tables of memory orders: as chosen in `ref/orders.h`; every access "
            "sequentially consistent; acquire and release wherever they fit; the seed's. Tables other than "
            "the chosen one are measured for their cost: they are not correct, or not known to be. Wall "
            "time an id, of both producers together where there are two. Each operation stands beside a bare "
            "fetch_add and a bare lock and unlock in as many threads; a drain beside a bare walk over the slots."
        )
        return report.Section("Mailbox, by order table", text, sections=inner) if inner else None

    def mailbox_threads(self, threads):
        groups, rows = [], []
        for operation, words in MAILBOX.items():
            found = self.orders(operation, threads)
            rows += [self.mailbox_row(words, t, f) for t, f in found.items()]
            if found:
                groups.append((words, found))
        if not groups:
            return None
        where, text = "one thread", ""
        columns = ["operation", "orders", "ns an id", "least", "greatest"]
        if threads == 2:
            where = "two threads, each on its own core"
            text = (
                "Two producers at once, or one producer and the guest. By batches of some thousand ids: half of "
                "the batches took at most so long, 5 % and 95 % of them stand beside. Cross-thread times spread "
                "widely on shared machines; where the ranges overlap there is no difference to see."
            )
            columns = ["operation", "orders", "half", "5 %", "95 %"]
        columns += ["bare", "", f"{TIMES} bare", "lock", f"{TIMES} lock"]
        table = report.Table(columns, rows, "llrrrlrrrr")
        return report.Section(where.capitalize(), text, table, plot_orders(groups, where))

    def mailbox_row(self, words, table, figures):
        cells = [None] * 5
        for place, (bound, ratio_here) in enumerate(list(figures.ratios.items())[:2]):
            time = duration(self.get(bound)) if self.get(bound) else None
            cells[3 * place : 3 * place + 3 - place] = [bare(bound), time, times(ratio_here)][place:]
        middle, low, high = figures.range()
        noisy = " ~" if figures.noisy and not figures.samples else ""
        return [words, ORDERS[table], f"{middle:.3g}{noisy}", round(low, 1), round(high, 1), *cells]

    def locked(self):
        found = self.facts.get("locked_instructions") or {}
        if not found:
            return None
        rows = [[ORDERS[t], found[t]] for t in ORDERS if t in found]
        text = "In the objects of the mailbox's host and guest side, counted in their disassembly: exact."
        table = report.Table(["orders", "locked instructions (lock, xchg, mfence)"], rows, "lr")
        return report.Section("What the orders become", text, table)

    # ---- waits

    def waits(self):
        inner = []
        for cores, where in ((2, "two cores"), (1, "one core")):
            trips = self.sampled("round_trip", cores, f"wait/round_trip/via:pagebox/cores:{cores}")
            if trips:
                text = f"There and back between two threads on {where}; each sleeps while it is the other's turn."
                title = f"Round trip on {where}"
                inner.append(self.distribution(title, text, f"{title}: distribution", trips))
        wakes = self.sampled("wake", 2, "mailbox/wake/orders:chosen/cores:2", "wait/wake/via:pagebox/cores:2")
        if wakes:
            text = "From before the send to the first instruction of the thread that slept, on another core."
            title = "One wake-up of a sleeping thread"
            inner.append(self.distribution(title, text, f"{title}: distribution", wakes))
        single = [self.get(n) for n in ("wait/notify_none", "wait/not_equal") if self.get(n)]
        if single:
            inner.append(self.single_waits(single))
        text = (
            "Times between threads are distributions, not numbers: compare quantiles, and only by factors. The "
            "threads are kept on their cores; where the scheduler places them freely it mixes these cases."
        )
        return report.Section("Wait and notify", text, sections=inner) if inner else None

    def sampled(self, what, cores, *ours):
        names = {"wait": "wait and notify", "mailbox": "mailbox, parked guest"}
        found = [(names[n.split("/")[0]], self.get(n)) for n in ours]
        for via, words in (("futex", "bare futex"), ("condvar", "condition variable"), ("spin", "spinning")):
            found.append((words, self.get(f"bound/{what}/via:{via}/cores:{cores}")))
        return [(name, f) for name, f in found if f and f.samples]

    def distribution(self, title, text, heading, rows):
        shown = ("q01", "q05", "q25", "q50", "q75", "q95", "q99")
        cells = [
            [name, *[duration(ns=f.samples[q]) for q in shown], f.middles_text(), *self.wait_ratios(f)]
            for name, f in rows
        ]
        columns = ["by", "1 %", "5 %", "25 %", "half", "75 %", "95 %", "99 %", "half, by round"]
        columns += [f"{TIMES} futex", f"{TIMES} condvar"]
        return report.Section(title, text, report.Table(columns, cells, "lrrrrrrrrrr"), plot_wakes(heading, rows))

    def wait_ratios(self, figures):
        by = {re.search(r"via:(\w+)", name).group(1): r for name, r in figures.ratios.items()}
        return [times(by.get("futex")), times(by.get("condvar"))]

    def single_waits(self, found):
        words = {"wait/notify_none": "notify, nobody waits", "wait/not_equal": "wait, the value differs"}
        rows = []
        for figures in found:
            for bound, ratio_here in figures.ratios.items():
                least = self.get(bound)
                row = [words[figures.name], duration(figures), bare(bound)]
                rows.append([*row, duration(least) if least else None, times(ratio_here), figures.calls_text()])
        columns = ["what", "time", "bare call", "bare", f"{TIMES} bare", "system calls"]
        return report.Section("Without a wake-up", "", report.Table(columns, rows, "lrlrrl"))

    # ---- the rest

    def memcpy(self):
        found = [f for f in self.good.values() if f.operation == "bound/memcpy"]
        if not found:
            return None
        found.sort(key=lambda f: int(f.parameters["offset"]))
        aligned = found[0].ns
        rows = [[int(f.parameters["offset"]), duration(f), times(f.ns / aligned)] for f in found]
        text = (
            "256 KiB, both sides warm, by (destination - source) modulo 4,096. Memory from malloc lies 16 "
            "bytes past a page, mapped memory at its start: a copy between the two meets offset 16 by "
            "chance. All copies above are between places of equal alignment."
        )
        table = report.Table(["offset, bytes", "time", "to the first"], rows, "rrr")
        return report.Section("A trap: memcpy and alignment", text, table)

    def left_out(self):
        rows = [[f.name, f.skipped] for f in self.all.values() if f.skipped]
        if not rows:
            return None
        return report.Section("Left out", "Rows without a figure, and why.", report.Table(["row", "why"], rows, "ll"))

    def method(self):
        calls = self.facts.get("calls_missing")
        calls = f"System calls are not counted in this run: {calls}." if calls else (
            "System calls are counted by a tracer in a pass of its own: exact; not for rows with two threads."
        )
        text = (
            f"Each row ran {self.facts.get('rounds')} times, each time in a fresh process, for at least "
            f"{self.facts.get('time_s')} s; the order was shuffled anew for each round (seed {self.facts.get('seed')}), so "
            "that drift meets all rows alike. A figure is the median of its rounds, least and greatest "
            "stand beside it; ratios are medians of the rounds' own ratios. Page faults are the kernel's "
            f"count over the measured part alone: exact. {calls} What a row measures, and how to read it, "
            "is in `bench/README.md`; the raw rows are in `raw/rows.jsonl`, and "
            "`scripts/bench.py --from=FOLDER` derives this page from them again."
        )
        return report.Section("How it was measured", text)

    def environment(self):
        context = self.facts.get("context") or {}
        caches = [f"L{c['level']} {c['type']} {c['size'] // 1024} KiB" for c in context.get("caches", [])]
        rows = [
            ["compiler", context.get("compiler")],
            ["flags", context.get("flags")],
            ["allocators", f"glibc {context.get('glibc')}, jemalloc {context.get('jemalloc', '').split('-')[0]}"],
            ["caches", ", ".join(caches)],
            ["load at the start", ", ".join(f"{x:.2f}" for x in context.get("load_avg", []))],
            ["Google Benchmark", f"calls itself a {context.get('library_build_type')} build"],
        ]
        text = "Debian's Google Benchmark says `debug` whatever it is: a known quirk of its package. The measured loops are ours."
        return report.Section("Environment of the program", text, report.Table(["", ""], rows, "ll"))

    def every_row(self):
        rows = []
        for f in self.good.values():
            bound = f.bound()
            rows.append([f.name, duration(f), duration(ns=f.low), duration(ns=f.high), percent(f.spread),
                         times(f.ratios.get(bound)), f.faults, f.calls_text()])
        columns = ["row", "median", "least", "greatest", "spread", "ratio", "faults", "system calls"]
        return report.Section("Every row", "", report.Table(columns, rows, "lrrrrrrl"))


# ---------------------------------------------------------------- cells that sort as numbers


class Cell(str):
    """A number shown with its unit; report.py sorts it by `key`."""

    def __new__(cls, value, text):
        cell = super().__new__(cls, text)
        cell.key = float("nan") if value is None else float(value)
        return cell


def duration(figures=None, ns=None):
    return Cell(figures.range()[0], figures.shown()) if figures else Cell(ns, time_text(ns))


def times(value):
    return None if value is None else Cell(value, ratio_text(value))


def percent(value):
    return None if value is None else Cell(value, f"{value:.0%}")
