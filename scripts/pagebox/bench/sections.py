"""sections.py: the sections of a benchmark report about rows, each shown in the same way.

A section is a table. The words of the rows (words.py) say what its lines and columns are called, and which section a
row belongs to. After the table come a plot, the comparison with limits and peers at the usual column, the
distribution of samples, and what the rows do to the system.
"""
from pagebox.bench import plots
from pagebox.bench.cells import Cell, beside, duration, times
from pagebox.bench.measures import TIMES
from pagebox.common import report

NOTE = "In brackets: the ratios to the limit and to the best peer, if there are any."
LIMIT_COLUMNS = ["limit", "takes", f"{TIMES} limit", "best peer", "takes", f"{TIMES} peer"]
QUANTILES = ("q01", "q05", "q25", "q50", "q75", "q95", "q99")
SYSTEM_COLUMNS = ["faults", "VMAs", "peak resident", "peak virtual", "growths", "system calls"]


def size_words(value):
    if value is None:
        return None
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= size:
            return Cell(value, f"{value / size:.3g} {unit}")
    return Cell(value, f"{value:.0f} B")


def filled(heads, body, align, least=1):
    """A table without its empty columns; None if fewer than `least` are left."""
    kept = [i for i in range(len(heads)) if i == 0 or any(row[i] is not None for row in body)]
    if len(kept) < least:
        return None
    rows = [[row[i] for i in kept] for row in body]
    return report.Table([heads[i] for i in kept], rows, "".join(align[i] for i in kept))


class Grid:
    """The rows of one section: lines by columns."""

    def __init__(self, said, rows):
        self.said, self.rows = said, rows
        self.lines, self.columns, self.skipped = {}, {}, {}
        placed = [
            (figures, place)
            for name in rows.words.rows
            if (figures := rows.all.get(name))
            for place in figures.said.places
            if place.section == said["title"]
        ]
        placed.sort(key=lambda pair: pair[0].said.kind in ("peer", "limit"))  # ours first
        for figures, place in placed:
            if figures.ns is not None:
                self.lines.setdefault(place.line, {})[place.column] = figures
                self.columns.setdefault(place.column, place.number)
            elif figures.skipped:
                self.skipped.setdefault(place.line, figures.skipped)
        numbers = [n for n in self.columns.values() if n is not None]
        if len(numbers) == len(self.columns):
            self.columns = dict(sorted(self.columns.items(), key=lambda pair: pair[1]))
        usual = said["usual"]
        self.usual = usual if usual in self.columns else next(iter(self.columns), None)

    def usual_rows(self):
        return [(line, found[self.usual]) for line, found in self.lines.items() if self.usual in found]

    def figures(self):
        return [f for found in self.lines.values() for f in found.values()]

    def is_compared(self):
        return any(f.ratios for f in self.figures())

    def cell(self, figures, column):
        """The time, and in brackets the ratios to the limit and the peer, or to the lowest if no row has either."""
        if figures is None:
            return None
        if self.said["spread"]:
            return Cell(figures.range()[0], figures.spread_text())
        if self.is_compared() or len(self.lines) < 2:
            return beside(figures)
        least = min(found[column].ns for found in self.lines.values() if column in found)
        return Cell(figures.ns, f"{figures.shown()} ({figures.ns / least:.2f}{TIMES})")

    # ---- tables

    def table(self):
        if len(self.columns) == 1 and self.is_compared():
            return self.beside_table()
        body = [[line, *[self.cell(found.get(c), c) for c in self.columns]] for line, found in self.lines.items()]
        gone = [line for line in self.skipped if line not in self.lines]
        body += [[line, f"not available: {self.skipped[line]}", *[None] * (len(self.columns) - 1)] for line in gone]
        heads = [column or f"time {self.said['unit'] or ''}".strip() for column in self.columns]
        return report.Table(["", *heads], body, "l" + "r" * len(heads))

    def beside_table(self):
        """The usual column: time, limit and fastest peer."""
        body = [[line, duration(f), *self.beside_cells(f)] for line, f in self.usual_rows()]
        return filled(["", "time", *LIMIT_COLUMNS], body, "lrlrrlrr")

    def beside_cells(self, figures):
        cells = []
        for other, ratio in (figures.limit(), figures.best_peer()):
            found = self.rows.get(other)
            cells += [self.rows.called(other) if other else None, duration(found) if found else None, times(ratio)]
        return cells

    def peer_table(self):
        """All peers of each line of the usual column, if they differ between lines."""
        found = {line: {self.rows.called(n): self.rows.get(n) for n, _ in f.peers()} for line, f in self.usual_rows()}
        who = list(dict.fromkeys(name for peers in found.values() for name in peers))
        body = [
            [line, duration(f), *[duration(found[line].get(w)) for w in who]]
            for line, f in self.usual_rows()
            if found[line]
        ]
        if len(who) < 2 or len(body) > 1 and len({str(row[2:]) for row in body}) == 1:
            return None
        return report.Table(["", "ours", *who], body, "l" + "r" * (len(who) + 1))

    def distribution(self):
        body = [
            [line, *[duration(ns=f.samples[q]) for q in QUANTILES], f.middles_text()]
            for line, f in self.usual_rows()
            if f.samples
        ]
        heads = ["1 %", "5 %", "25 %", "half", "75 %", "95 %", "99 %", "half, by round"]
        return report.Table(["", *heads], body, "l" + "r" * len(heads)) if body else None

    def system_table(self):
        """What the rows of the usual column do to the system; empty columns are left out."""
        body = [
            [line, f.shown_faults(), None if f.vmas is None else round(f.vmas, 2), size_words(f.resident)]
            + [size_words(f.virtual), f.growths, f.calls_text()]
            for line, f in self.usual_rows()
        ]
        return filled(["", *SYSTEM_COLUMNS], body, "lrrrrrl", 3)

    # ---- plots

    def plot(self):
        title = self.said["title"]
        if self.said["axis"] and len(self.columns) > 1:
            return plots.curves(self.curves(), self.limit_curves(), title, self.said["axis"], self.said["unit"])
        if self.said["plot"] == "bars":
            return plots.bars({c: self.bars(c) for c in self.columns}, title, f"ns {self.said['unit'] or ''}".strip())
        if self.said["plot"] == "to limit":
            ratio = lambda f: (f.limit()[1],) * 3
            groups = {line: {c: ratio(f) for c, f in found.items() if f.limit()[1]} for line, found in self.lines.items()}
            groups = {line: found for line, found in groups.items() if found}
            return plots.bars(groups, title, "times the limit") if groups else None
        samples = [(line, f) for line, f in self.usual_rows() if f.samples]
        return plots.distributions(samples, title) if len(self.columns) == 1 and len(samples) > 1 else None

    def bars(self, column):
        return {line: found[column].bar() for line, found in self.lines.items() if column in found}

    def curves(self):
        return {line: [(self.columns[c], f) for c, f in sorted(found.items(), key=lambda p: self.columns[p[0]])]
                for line, found in self.lines.items()}

    def limit_curves(self):
        found = {}
        for line in self.lines.values():
            for column, figures in line.items():
                other = figures.limit()[0]
                if self.rows.get(other) and self.rows.get(other) not in self.figures():
                    found.setdefault(self.rows.called(other), {})[self.columns[column]] = self.rows.get(other).ns
        return {name: sorted(points.items()) for name, points in found.items()}

    # ---- everything

    def section(self):
        inner = []

        def add(title, table):
            heading = f"{self.usual}, {title}" if self.usual else title[0].upper() + title[1:]
            inner.extend([report.Section(heading, table=table)] if table else [])

        if len(self.columns) > 1 and self.is_compared():
            add("beside limit and peer", self.beside_table())
        add("each peer", self.peer_table())
        add("distribution", self.distribution())
        add("what it does to the system", self.system_table())
        brackets = len(self.columns) > 1 and self.is_compared() and not self.said["spread"]
        text = self.said["text"] + (f" {NOTE}" if brackets else "")
        return report.Section(self.said["title"], text.strip(), self.table(), self.plot(), sections=inner or None)


def sections(rows):
    """The program's tree of sections; sections without a measured row are left out."""
    made, top = {}, []
    for said in rows.words.sections:
        grid = Grid(said, rows)
        made[said["title"]] = grid.section() if grid.lines else report.Section(said["title"], said["text"])
        made[said["title"]].sections = made[said["title"]].sections or []
    for said in rows.words.sections:
        around = made.get(said["inside"])
        (around.sections if around else top).append(made[said["title"]])
    return [section for section in top if keep(section)]


def keep(section):
    """Whether it has any content; empty parts are dropped."""
    section.sections = [inner for inner in section.sections or [] if inner.table or keep(inner)]
    return bool(section.table or section.sections)
