"""memory.py: the parts of a benchmark report on linear memories, allocators and programs.

Used by page.py. A part for which there are no rows is left out. Names of rows are the keys:
bench/README.md has their grammar.
"""
import re

from pagebox.common import report
from pagebox.bench.answers import USUAL_PAGES
from pagebox.bench.cells import BESIDE, Cell, beside, duration, times
from pagebox.bench.measures import TIMES
from pagebox.bench.mailbox import LIMIT_COLUMNS, limit_cells
from pagebox.bench.plots import COLOURS, MANY, RUNNERS, plot_ratios, plot_sizes

# Operations of a memory, in the order of the report: what one is, in words.
MEMORY = {
    "memory/create": ("Create", "A memory of so many pages, untouched."),
    "memory/grow": (
        "Grow",
        "One page more, of a memory whose bytes have all been written. `remap`, `move` and "
        "`heap` grow past what they reserved; the others grow in place.",
    ),
    "memory/touch": ("First touch", "One byte written to each host page of a new memory."),
    "memory/copy": (
        "Copy",
        "A copy of a memory whose bytes have all been written since the copy before; `image`, "
        "nothing or 1 % written: its image is still good, but for the host pages written.",
    ),
    "memory/copy_touch": (
        "Copy, then write",
        "The same, and one byte written to each host page of the copy, or to 1 % of them: where "
        "copy-on-write pays later.",
    ),
    "memory/destroy": (
        "Destroy",
        "A memory whose bytes have all been written. A pool resets the slot here.",
    ),
    "memory/create_touch": (
        "Create and touch, with advice",
        "Strategy `reserve`, create and one byte written to each host page: as it is, with the "
        "pages populated by one call, and with huge pages advised.",
    ),
    "memory/reset": ("Reset", "Back to the first state, of a memory that was written whole."),
    "memory/reuse": (
        "Reset, then write",
        "The same, and one byte written to each host page: what the next tenant pays. Zeroing by "
        "hand (`heap`, `pool keep`) beats giving pages back wherever they are wanted again at once.",
    ),
    "memory/init": (
        "First contents",
        "A memory with all of its bytes given: copied in, or a view of a frozen image; `read`: each "
        "host page is read after.",
    ),
}
PEERS = {
    "seed_static": "seed, static",
    "seed_dynamic": "seed, dynamic",
    "v8": "v8 (from JavaScript)",
}
ADVICE = {"none": "no advice", "populate": "populate", "huge": "huge pages"}
CHECKS = {"guard": "guard page", "compare": "comparison", "call": "the library's call"}
GROWTHS = {  # rest of the row's name, in words
    "pages:16": "16 pages, by 1",
    "pages:16/by:16": "by 16",
    "pages:16/by:1024": "by 1,024",
    "pages:1/to:1024/by:16": "1 to 1,024 pages, by 16",
    "pages:1/to:16384/by:0": "1 page to 1 GiB, doubling",
}
NO_GUARD = {
    "create/{}/pages:16": "create",
    "grow/{}/pages:16": "grow",
    "destroy/{}/pages:16": "destroy",
    "life/{}/pages:1": "a life",
    "copy/{}/pages:16/written:100": "copy",
    "many/{}/pages:1/memories:4/threads:1": "many, 1 thread",
    "many/{}/pages:1/memories:4/threads:2": "many, 2 threads",
}
ADVISED = {
    "create_touch/{}/pages:256": "create, write",
    "grow/{}/pages:256": "grow by one",
    "copy/{}/pages:256/written:100": "copy",
    "destroy/{}/pages:256": "destroy",
    "reset/{}/pages:256": "reset",
    "reuse/{}/pages:256": "reset, write",
}
OBJECTS = {
    "objects/waiters/{}": "table of waiters",
    "objects/clone/{}": "a clone's handle",
    "objects/wakers/{}": "a waker's box",
    "objects/wakers/{}/threads:2": "box, two threads",
}


def strategy_words(figures):
    """'heap jemalloc', 'pool discard': the strategy with its variant, without the row's options."""
    found = [figures.parameters.get(k) for k in ("strategy", "allocator", "reset")]
    return " ".join(part for part in found if part)


def key_of(figures):
    """'strategy:heap/allocator:glibc': that part of the name."""
    found = [k for k in ("strategy", "allocator", "reset") if k in figures.parameters]
    return "/".join(f"{k}:{figures.parameters[k]}" for k in found)


def line_words(figures):
    """As a line of a plot or table over sizes is called; None for a row with other options."""
    options = dict(figures.parameters)
    known = {k: options.pop(k) for k in ("strategy", "allocator", "reset", "pages") if k in options}
    words = strategy_words(figures)
    if known.get("allocator", "").startswith("jemalloc_"):
        return None
    if figures.operation == "memory/create_touch":
        plain = known.get("strategy") == "reserve" and options.keys() == {"advice"}
        return ADVICE[options["advice"]] if plain else None
    written, touched = options.pop("written", "100"), options.pop("touched", "100")
    words += {"100": "", "0": ", nothing written", "1": ", 1 % written"}.get(written, "")
    words += "" if touched == "100" else f", {touched} % touched"
    words += ", read" if options.pop("read", None) else ""
    options.pop("from", None)
    return None if options else words


def size_words(value):
    if value is None:
        return None
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= size:
            return Cell(value, f"{value / size:.3g} {unit}")
    return Cell(value, f"{value:.0f} B")


def limited(figures):
    return beside(figures, peers=False)


def footprint_cells(figures):
    """mappings, peak resident, peak virtual"""
    vmas = None if figures.vmas is None else round(figures.vmas, 2)
    return [vmas, size_words(figures.resident), size_words(figures.virtual)]


class MemoryParts:
    """Sections made of the Rows of a run."""

    def __init__(self, rows):
        self.rows = rows

    def sections(self):
        return [part for part in (self.memory(), self.allocators(), self.programs()) if part]

    def memory(self):
        inner = [self.shared()]
        inner += [self.sized(o, title, text) for o, (title, text) in MEMORY.items()]
        inner += [self.lives(), self.growths(), self.variants(), self.access(), self.bulk()]
        inner += [self.many()]
        inner = [part for part in inner if part]
        text = (
            f"Medians; `~` marks a noisy one (its interval is wider than 20 % of it). {BESIDE} Grey in the "
            "plots, and `limit` in the tables: the bare system calls, or the bare allocator, that "
            "give the same result on a mapping of their own. A strategy may get below that where "
            "it does less: `heap` keeps its pages, a pool recycles its slots. Peers are the "
            "seed's algorithm (static and dynamic), wabt's runtime for wasm2c, and V8 called from "
            "JavaScript, another kind of caller. wabt 1.0.32 gives back the accessible part of a "
            "memory alone: its destroy is cheap, and leaks."
        )
        title = "Linear memories, by strategy and size"
        return report.Section(title, text, sections=inner) if inner else None

    def of(self, operation):
        return [f for f in self.rows.good.values() if f.operation == operation]

    def strategies(self, operation):
        """Strategy in words -> its part of names, in the plots' order."""
        found = {strategy_words(f): key_of(f) for f in self.of(operation) if key_of(f)}
        return {w: found[w] for w in [*COLOURS, *found] if w in found}

    # ---- limits and peers

    def shared(self):
        """`reserve` at the usual size beside limit and best peer, for each operation."""
        names = [f"memory/{o}/strategy:reserve/pages:16" for o in ("create", "grow", "destroy")]
        names += [f"memory/grow/strategy:reserve/pages:16/by:{by}" for by in (16, 1024)]
        names += ["memory/copy/strategy:reserve/pages:16/written:100"]
        names += ["memory/life/strategy:reserve/pages:1"]
        names += [f"memory/grow_steps/strategy:reserve/{g}" for g in list(GROWTHS)[3:]]
        found = [f for name in names if (f := self.rows.get(name))]
        if not found:
            return None
        cells = []
        for f in found:
            words = re.sub(r"memory/|strategy:reserve/", "", f.name)
            cells.append([words, duration(f), *limit_cells(self.rows, f)])
        peers = self.peer_table(found)
        text = "Strategy `reserve`, in the rows that it shares with others."
        table = report.Table(["operation", "reserve", *LIMIT_COLUMNS], cells, "lrlrrlrr")
        return report.Section("Beside limits and peers", text, table, sections=peers)

    def peer_table(self, found):
        names = ["seed_static", "seed_dynamic", "wabt", "v8"]
        cells = []
        for f in found:
            rest = re.sub(r"^memory/(\w+)/strategy:reserve/", r"peer/\1/of:{}/", f.name)
            peers = [self.rows.get(rest.format(peer)) for peer in names]
            if any(peers):
                words = re.sub(r"memory/|strategy:reserve/", "", f.name)
                cells.append([words, duration(f), *[duration(p) for p in peers]])
        columns = ["operation", "reserve", "seed, static", "seed, dynamic", "wabt"]
        columns += ["v8 (from JavaScript)"]
        table = report.Table(columns, cells, "lrrrrr")
        return [report.Section("Each of them", "Medians.", table)] if cells else []

    # ---- by size

    def sized(self, operation, title, text):
        lines, bounds = {}, {}
        for figures in sorted(self.of(operation), key=lambda f: f.pages()):
            words = line_words(figures)
            if words is None:
                continue
            lines.setdefault(words, []).append((figures.pages(), figures))
            bound = self.rows.get(figures.bound())
            if bound and "/pages:" in bound.name:
                points = bounds.setdefault(re.sub(r"/pages:\d+", "", bound.name), {})
                points[bound.pages()] = bound.ns
        if not lines:
            return None
        lines = {n: lines[n] for n in [*COLOURS, *lines] if n in lines}
        bounds = {name: sorted(points.items()) for name, points in bounds.items()}
        drawn = {name: points for name, points in lines.items() if name in COLOURS}
        svg = None  # one size makes no curve
        if len({pages for points in drawn.values() for pages, _ in points}) > 1:
            svg = plot_sizes(drawn, bounds, f"{title}: median time, from least to greatest")
        beside = [self.beside(lines), self.footprints(lines)]
        return report.Section(title, text, self.size_table(operation, lines), svg, sections=beside)

    def usual(self, lines):
        sizes = sorted({pages for points in lines.values() for pages, _ in points})
        return USUAL_PAGES if USUAL_PAGES in sizes else sizes[0]

    def size_table(self, operation, lines):
        """Medians: a strategy a line, a size a column; what is not to be had, and why."""
        sizes = sorted({pages for points in lines.values() for pages, _ in points})
        rows = []
        for name, points in lines.items():
            by_size = dict(points)
            rows.append([name, *[beside(by_size.get(p)) for p in sizes]])
        for f in self.rows.all.values():
            if f.operation == operation and f.skipped and f.pages() == self.usual(lines):
                if line_words(f):
                    reason = f"not to be had: {f.skipped}"
                    rows.append([line_words(f), reason, *[None] * (len(sizes) - 1)])
        columns = ["strategy", *[f"{p} page{'s' * (p > 1)}" for p in sizes]]
        return report.Table(columns, rows, "l" + "r" * len(sizes))

    def pages_title(self, lines, rest):
        pages = self.usual(lines)
        return f"{pages} page{'s' * (pages > 1)}, {rest}"

    def usual_rows(self, lines):
        usual = self.usual(lines)
        return [(n, dict(points)[usual]) for n, points in lines.items() if usual in dict(points)]

    def beside(self, lines):
        rows = [[n, duration(f), *limit_cells(self.rows, f)] for n, f in self.usual_rows(lines)]
        table = report.Table(["strategy", "time", *LIMIT_COLUMNS], rows, "lrlrrlrr")
        return report.Section(self.pages_title(lines, "beside limit and peer"), "", table)

    def footprints(self, lines):
        rows = [
            [n, f.shown_faults(), *footprint_cells(f), f.calls_text()]
            for n, f in self.usual_rows(lines)
        ]
        columns = ["strategy", "faults", "VMAs", "peak resident", "peak virtual", "system calls"]
        table = report.Table(columns, rows, "lrrrrl")
        return report.Section(self.pages_title(lines, "what it does to the system"), "", table)

    # ---- one table each

    def lives(self):
        rank = sorted((f for f in self.of("memory/life")), key=lambda f: f.ns)
        rows = [
            [strategy_words(f), duration(f), *limit_cells(self.rows, f), f.calls_text()]
            for f in rank
        ]
        if not rows:
            return None
        text = "Create one page, write to four host pages, destroy: what an instance of a moment costs."
        table = report.Table(
            ["strategy", "time", *LIMIT_COLUMNS, "system calls"], rows, "lrlrrlrrl"
        )
        return report.Section("A short life", text, table)

    def growths(self):
        if not self.of("memory/grow_steps"):
            return None
        rows = []
        who = {w: f"memory/{{}}/{k}/" for w, k in self.strategies("memory/grow_steps").items()}
        who |= {
            f"peer: {PEERS.get(p, p)}": f"peer/{{}}/of:{p}/"
            for p in ("seed_static", "seed_dynamic", "wabt", "v8")
        }
        for words, prefix in who.items():
            names = [prefix.format("grow_steps" if "to:" in g else "grow") + g for g in GROWTHS]
            found = [self.rows.get(name) for name in names]
            if any(found):
                rows.append([words, *[beside(f) for f in found]])
        text = (
            "By more than a page, and on demand: from one page in equal steps, and doubling up to "
            "1 GiB. The first three are single growths of a memory that was written whole; nothing "
            "is written in the last two. `heap` zeroes by hand what it adds, or takes a zeroed block where it "
            f"adds more than it has. {BESIDE}"
        )
        table = report.Table(["strategy", *GROWTHS.values()], rows, "l" + "r" * len(GROWTHS))
        return report.Section("Growth by more, and on demand", text, table)

    def variants(self):
        parts = [self.unguarded(), self.advised()]
        parts = [part for part in parts if part]
        title = "Guards, populated pages, huge pages"
        text = "In brackets: times the limit. Peers have none of these variants."
        return report.Section(title, text, sections=parts) if parts else None

    def unguarded(self):
        """One line for each strategy with a guard, and one with none."""
        rows = []
        for words, key in self.strategies("memory/create").items():
            names = ["memory/" + name.format(key) for name in NO_GUARD]
            bare = [re.sub(r"(/threads:\d)?$", r"/guard:0\1", name, count=1) for name in names]
            pair = [[self.rows.get(name) for name in side] for side in (names, bare)]
            if any(pair[1]):
                rows += [[words, g, *map(limited, f)] for g, f in zip(("64 KiB", "none"), pair)]
        if not rows:
            return None
        text = (
            "With a guard of 64 KiB behind the memory, as everywhere else, and with none. 16 pages; a life "
            "is of one page; many: lives with four at once in each thread, as below."
        )
        columns = ["strategy", "guard", *NO_GUARD.values()]
        table = report.Table(columns, rows, "ll" + "r" * len(NO_GUARD))
        return report.Section("No guard", text, table)

    def advised(self):
        """One line for each strategy and advice."""
        rows = []
        for words, key in self.strategies("memory/create_touch").items():
            for advice, called in ADVICE.items():
                rest = f"/advice:{advice}" if advice != "none" else ""
                names = ["memory/" + name.format(key) + rest for name in ADVISED]
                names[0] += "" if rest else "/advice:none"  # it has one in any case
                found = [self.rows.get(name) for name in names]
                if any(found):
                    rows.append([words, called, *map(limited, found)])
        if not rows:
            return None
        columns = ["strategy", "pages", *ADVISED.values()]
        table = report.Table(columns, rows, "ll" + "r" * len(ADVISED))
        text = (
            "256 pages (16 MiB): as they come, all populated by one call, and with huge pages advised."
        )
        return report.Section("Populated, huge pages", text, table)

    def access_line(self, f):
        check = CHECKS.get(f.parameters.get("check"))
        words = check if check else "bare mapping"
        return words + (", huge pages" if "advice" in f.parameters or "_huge" in f.name else "")

    def access(self):
        found = [f for f in self.of("memory/access") if f.parameters["strategy"] == "reserve"]
        found += self.of("bound/access") + self.of("bound/access_huge")
        if not self.of("memory/access"):
            return None
        parts = []
        for pattern, words in (
            ("sequential", "In sequence"),
            ("strided", "Strided"),
            ("random", "At random"),
        ):
            lines = {}
            for f in sorted(found, key=lambda f: f.pages()):
                if f.parameters["pattern"] == pattern:
                    lines.setdefault(self.access_line(f), []).append((f.pages(), f))
            if lines:
                sizes = {pages for points in lines.values() for pages, _ in points}
                heading = f"{words}: one load of 4 bytes, by who checks bounds"
                svg = plot_sizes(lines, {}, heading) if len(sizes) > 1 else None
                table = self.size_table("memory/access", lines)
                parts.append(report.Section(words, "", table, svg))
        rest = {
            strategy_words(f): beside(f)
            for f in self.of("memory/access")
            if f.pages() == 256
            and f.parameters["pattern"] == "random"
            and "advice" not in f.parameters
        }
        table = report.Table(["strategy", "16 MiB at random"], list(map(list, rest.items())), "lr")
        text = (
            "One load, base (and length, where it is compared) read anew each time, as generated "
            "code does. The same loop runs over a bare mapping: the limit."
        )
        parts.append(report.Section("Every strategy", "", table))
        return report.Section("Access, and what bounds checks cost", text, sections=parts)

    def bulk(self):
        rows = []
        for kind in ("copy", "fill", "init"):
            for f in sorted(
                self.of(f"memory/bulk_{kind}"), key=lambda f: int(f.parameters["bytes"])
            ):
                words = [f"memory.{kind}", f.parameters["type"], int(f.parameters["bytes"])]
                rows.append([*words, duration(f), *limit_cells(self.rows, f)[:3]])
        if not rows:
            return None
        text = (
            "Beside the C library's memmove, memset and memcpy of as many bytes. In a shared memory "
            "each byte goes by a relaxed atomic access, as guests may race."
        )
        columns = ["instruction", "memory", "bytes", "time", *LIMIT_COLUMNS[:3]]
        return report.Section("Bulk instructions", text, report.Table(columns, rows, "llrrlrr"))

    def many(self):
        cases = [(m, t) for m in (1, 4, 16) for t in (1, 2)]
        rest = {f"pages:1/memories:{m}/threads:{t}": (m, t) for m, t in cases}
        who = {w: f"memory/many/{k}/" for w, k in self.strategies("memory/many").items()}
        rows, bars = [], {}
        for words, prefix in {**who, "bare calls": "bound/many/"}.items():
            found = {case: self.rows.get(prefix + name) for name, case in rest.items()}
            pairs = {f"{m} at once": (found[m, 1], found[m, 2]) for m in (1, 4, 16)}
            ratios = {at: b.range()[0] / a.range()[0] for at, (a, b) in pairs.items() if a and b}
            if any(found.values()):
                rows.append([words, *map(beside, found.values()), times(ratios.get("4 at once"))])
            if ratios:
                bars[words] = ratios
        if not rows:
            return None
        text = (
            "A life (create, grow by one page four times, write to each, destroy), with 1 to 16 "
            "memories alive at once in each thread; time over the lives of all threads. Two threads "
            "that do not meet would need half of the time of one (0.5). The kernel has one lock for "
            "a process's whole map, taken by each map, protect and unmap: strategies that ask it "
            "for less scale. In brackets: times the bare calls in as many threads."
        )
        heads = [f"{m} at once, {t} thread{'s' * (t > 1)}" for m, t in cases]
        columns = ["strategy", *heads, "4 at once: 2 threads / 1"]
        table = report.Table(columns, rows, "l" + "r" * (len(cases) + 1))
        marks = {0.5: "twice the work in all", 1: "as much as one thread"}
        title = "A memory\u2019s life in two threads: time, as a part of that in one thread"
        svg = plot_ratios(bars, MANY, marks, title, "two threads / one, log", 0.25) if bars else None
        return report.Section("Several memories at once", text, table, svg)

    # ---- allocators

    def allocators(self):
        keys = {w: k for w, k in self.strategies("memory/create").items() if "heap" in w}
        operations = ("create", "grow", "touch", "destroy")
        columns = {f"{o}/{{}}/pages:{p}": f"{o} {p}" for o in operations for p in (16, 256)}
        rows = []
        for words, key in keys.items():
            found = [self.rows.get("memory/" + name.format(key)) for name in columns]
            rows.append([words.removeprefix("heap "), *[beside(f) for f in found]])
        text = (
            "The heap strategy, as the allocator is in a process that lives: pages that were given "
            "back are used again. jemalloc as it comes; `decay_0`: freed pages go back to the kernel "
            f"at once; `no_retain`: address space as well; `thp`: huge pages. {BESIDE} The limit is the "
            "bare allocator."
        )
        parts = [part for part in [self.objects()] if part]
        if not rows and not parts:
            return None
        table = report.Table(["allocator", *columns.values()], rows, "l" + "r" * len(columns))
        return report.Section("Allocators", text, table, sections=parts)

    def objects(self):
        names = {f.parameters["allocator"] for f in self.rows.good.values() if "objects/" in f.name}
        table = {n: [self.rows.get(o.format(f"allocator:{n}")) for o in OBJECTS] for n in sorted(names)}
        best = [min((f.ns for f in column if f), default=None) for column in zip(*table.values())]
        rows = []
        for name, found in table.items():
            pairs = [(duration(f), times(f.ns / b) if f else None) for f, b in zip(found, best)]
            rows.append([name, *[cell for pair in pairs for cell in pair]])
        text = (
            "Taken and given back; in two threads one takes what the other gives back. Beside each: "
            "times the fastest. A waiter itself needs none: its record is on its thread's stack."
        )
        columns = ["allocator", *[c for words in OBJECTS.values() for c in (words, f"{TIMES} best")]]
        made = report.Table(columns, rows, "l" + "rr" * len(OBJECTS))
        return report.Section("Small objects of waiters and wakers", text, made) if rows else None

    # ---- programs

    def programs(self):
        natives = {f.parameters["program"]: f for f in self.of("bound/native")}
        groups, tables = {}, []
        for program, native in natives.items():
            rows = [f for f in self.of(f"program/{program}")]
            peers = {c: self.rows.get(f"peer/{program}/of:wabt/check:{c}") for c in CHECKS}
            found = {"native": native}
            found |= {f"wabt, {CHECKS[c]}": f for c, f in peers.items() if f}
            for check in ("guard", "compare"):
                ours = self.rows.get(f"program/{program}/strategy:reserve/check:{check}")
                if ours:
                    found[f"reserve, {CHECKS[check]}"] = ours
            if len(found) > 1:
                groups[program] = found
                tables.append(self.program_table(program, native, rows))
        if not groups:
            return None
        who = list(dict.fromkeys(w for found in groups.values() for w in found))
        cells = []
        for program, found in groups.items():
            native = found["native"]
            ratios = [times(f.ns / native.ns) if (f := found.get(w)) else None for w in who[1:]]
            cells.append([program, duration(native), *ratios])
        text = (
            "C programs of our own, compiled to wasm32, turned into C by wasm2c, linked with our "
            "memories or with wabt's; an instance's whole life. `guard page`: compiled without "
            "bounds checks, on 8 GiB of address space; `comparison`: each access is compared with "
            "the size. Native programs use glibc's allocator and a heap that lives on, the others "
            "wasi-libc's in a memory that starts empty, so `store` and `grower` show page faults "
            "and allocators as well. All compute the same checksum."
        )
        columns = ["program", "native", *[f"{w}, {TIMES} native" for w in who[1:]]]
        table = report.Table(columns, cells, "lr" + "r" * len(who[1:]))
        bars = {
            program: {w: f.ns / found["native"].ns for w, f in found.items() if w in RUNNERS}
            for program, found in groups.items()
        }
        title = "Real programs, by memory and check: times native"
        svg = plot_ratios(bars, RUNNERS, {1: "native"}, title, "times the native program")
        return report.Section("Real programs", text, table, svg, sections=tables)

    def program_table(self, program, native, rows):
        cells = []
        for f in sorted(rows, key=lambda f: f.ns):
            words = strategy_words(f)
            words += f", {ADVICE[f.parameters['advice']]}" if "advice" in f.parameters else ""
            cells.append(
                [words, CHECKS[f.parameters["check"]], duration(f), times(f.ns / native.ns)]
                + [times(f.best_peer()[1]), f.growths, f.shown_faults(), size_words(f.resident)]
            )
        columns = ["strategy", "bounds by", "time", f"{TIMES} native", f"{TIMES} wabt", "growths"]
        table = report.Table([*columns, "faults", "peak resident"], cells, "llrrrrrr")
        return report.Section(f"{program}, every strategy", "", table)
