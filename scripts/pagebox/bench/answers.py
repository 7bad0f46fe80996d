"""answers.py: fills the program's sentences with the figures of a benchmark run.

Used by page.py. bench/shim.h lists the figures that a sentence may use. A sentence whose rows were not
measured (because of a filter) is left out, and so is a part of it in [brackets].
"""
import re

from pagebox.bench.measures import TIMES, ratio_text, time_text

MARK = re.compile(r"\{([^}]*)\}")
DEAREST = 4  # how many rows {dearest} names


class Missing(Exception):
    """A row that a sentence needs was not measured."""


class Sentence:
    """Fills in one sentence, and collects the rows that its figures come from."""

    def __init__(self, rows):
        self.rows, self.rests_on = rows, {}

    # ---- rows

    def row(self, name):
        figures = self.rows.get(name)
        if figures is None:
            raise Missing(name)
        return self.noted(figures)

    def noted(self, figures):
        self.rests_on[figures.name] = figures
        return figures

    def matching(self, pattern, least=1):
        found = self.rows.matching(pattern)
        if len(found) < least:
            raise Missing(pattern)
        return [self.noted(f) for f in found]

    @staticmethod
    def line(figures):
        return figures.said.places[0].line if figures.said.places else figures.name

    # ---- figures of a row

    def time(self, name):
        return time_text(self.row(name).range()[0])

    def spread(self, name):
        return self.row(name).spread_text()

    def quantile(self, name, which):
        samples = self.row(name).samples
        if which not in samples:
            raise Missing(name)
        return time_text(samples[which])

    def faults(self, name):
        return f"{self.row(name).faults:,.0f}"

    def rate(self, name):
        return f"{1e9 / self.row(name).ns:,.0f}"

    def limit(self, name):
        return self.beside_limit(self.row(name))

    def beside_limit(self, figures):
        """700 ns (1.4 times the bare mprotect)"""
        other, ratio = figures.limit()
        if ratio is None:
            return time_text(figures.ns)
        return f"{time_text(figures.ns)} ({ratio_text(ratio)} the limit, {self.rows.called(other)})"

    def peer(self, name):
        other, ratio = self.row(name).best_peer()
        if other is None:
            raise Missing(name)
        return f"{self.time(other)} ({self.rows.called(other)}, {ratio_text(ratio)})"

    def peers(self, name):
        """The row and its peers, fastest first, then the peers that were skipped, each with the reason."""
        ours = self.row(name)
        known = {ours.name: self.line(ours)} | {n: self.rows.called(n) for n in ours.peer_names}
        good = sorted((self.row(n) for n in known if self.rows.get(n)), key=lambda f: f.range()[0])
        said = [f"{known[f.name]} {time_text(f.range()[0])}" for f in good]
        skipped = [f for n in sorted(known) if (f := self.rows.all.get(n)) and f.skipped]
        return ", ".join(said + [f"{known[f.name]}: {f.skipped}" for f in skipped])

    # ---- figures of two rows

    def ratio(self, name, other):
        return ratio_text(self.row(name).range()[0] / self.row(other).range()[0])

    def more(self, name, other):
        one, two = self.row(name), self.row(other)
        apart = one.half[0] > two.half[1] or one.half[1] < two.half[0]
        return f"{one.ns / two.ns - 1:+.0%}{'' if apart else ', within the spread'}"

    def faster(self, name, other, yes, no):
        """yes if both the median and the 95th percentile of the one are below the other's."""
        one, two = self.row(name), self.row(other)
        ends = [(f.range()[0], f.range()[2]) for f in (one, two)]
        return yes if all(a < b for a, b in zip(*ends)) else no

    # ---- figures of all rows that match

    def least(self, pattern):
        best = min(self.matching(pattern, 2), key=lambda f: f.ns)
        return f"`{self.line(best)}`, {self.beside_limit(best)}"

    def most(self, pattern):
        worst = max(self.matching(pattern, 2), key=lambda f: f.ns)
        return f"`{self.line(worst)}`, {self.beside_limit(worst)}"

    def rank(self, pattern):
        found = sorted(self.matching(pattern, 2), key=lambda f: f.ns)
        return ", ".join(f"`{self.line(f)}` {time_text(f.ns)}" for f in found)

    def ratios(self, pattern):
        """Each row's ratio to its limit."""
        found = [f for f in self.matching(pattern) if f.limit()[1] is not None]
        if not found:
            raise Missing(pattern)
        named = [(self.line(f), f.said.places[0].column, f) for f in found]
        return "; ".join(
            f"`{line}`{' ' + column if column else ''} {time_text(f.ns)} ({f.limit()[1]:.2f}{TIMES})"
            for line, column, f in named
        )

    def dearest(self, pattern):
        """Rows whose whole interval lies above the limit's, with the excess, worst first."""
        found = []
        for figures in self.matching(pattern):
            other, ratio = figures.limit()
            plain = self.rows.get(other)
            if plain and ratio and figures.interval[0] > plain.interval[1]:
                found.append((figures.ns - plain.ns, f"`{self.line(figures)}` {time_text(figures.ns - plain.ns)} ({ratio - 1:+.0%})"))
        ranked = [words for _, words in sorted(found, reverse=True)[:DEAREST]]
        return ", ".join(ranked) or "none: no row is above its limit by more than the spread"

    # ---- a sentence

    def figure(self, match):
        mark, *either = match.group(1).split(" | ")
        what, *names = mark.split(" ")
        if what in ("q50", "q95"):
            return self.quantile(names[0], what)
        return getattr(self, what)(*names, *either)

    def filled(self, text):
        """The text with its figures. A bracketed part with a missing row is dropped; "" if nothing is left."""
        marks = []
        kept = MARK.sub(lambda m: marks.append(m) or f"\0{len(marks) - 1}\0", text)  # a mark may have brackets
        put = lambda part: re.sub(r"\0(\d+)\0", lambda m: self.figure(marks[int(m.group(1))]), part)
        parts, some = re.split(r"\[([^\]]*)\]", kept), False
        for at in range(1, len(parts), 2):
            try:
                parts[at], some = put(parts[at]), True
            except Missing:
                parts[at] = ""
        if len(parts) > 1 and not some and not any("\0" in part for part in parts[::2]):
            raise Missing(text)
        parts[::2] = [put(part) for part in parts[::2]]
        return re.sub(r";(?=\.|$)", "", "".join(parts))


def rested(rows):
    """(sentence, the figures behind it, whether it is on the first screen) for each sentence."""
    for answer in rows.words.answers:
        sentence = Sentence(rows)
        try:
            text = sentence.filled(answer["text"])
        except Missing:
            continue
        yield text, list(sentence.rests_on.values()), answer["first"]
