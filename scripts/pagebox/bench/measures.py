"""measures.py: computes the figures of a benchmark run from the raw rows.

A row's figure is the median over its rounds; low and high are the least and the greatest; the interval
lies between two of the rounds and holds the true median in 95 of 100 runs (fewer if there are few
rounds: see `confidence`). A ratio to a bound is the median of the rounds' own ratios, so that drift
cancels. The pilot round counts only if there is no other. A measurement is disturbed if the program's
yardstick, a fixed piece of work just before and after it, took more than a tenth longer than in the fastest
tenth of the run, because something else used the core. Disturbed rounds are left out if a row has
QUIET_LEAST others.
"""
import math
import re
import statistics

from pagebox.bench import words
from pagebox.common import report

NOISY = 0.20  # a row is noisy if its interval is wider than this part of the median
CONFIDENCE = 0.95  # of intervals, if there are enough rounds
DISTURBED = 1.1  # a measurement is disturbed if its yardstick exceeds this multiple of the run's fastest tenth
QUIET_LEAST = 4  # how many undisturbed rounds a row's figure needs
PILOT = -1  # number of the round that warms up and finds out the cost of each row
QUANTILES = ("q01", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q99")
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
TIMES = "\u00d7"
def time_text(ns):
    """A duration for people: three significant digits and a unit."""
    if ns is None:
        return report.DASH
    for unit, size in (("s", 1e9), ("ms", 1e6), ("\u00b5s", 1e3)):
        if ns >= size * 0.9995:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


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


def interval(values, confidence=CONFIDENCE):
    """(low, high, confidence): the narrowest pair of order statistics, equally far from both ends, that holds the
    median of the distribution with at least that probability; the least and the greatest value if there are too few
    values. No distribution is assumed."""
    ordered, n = sorted(values), len(values)
    inside = 1.0  # P(the k-th least < median < the k-th greatest), k = 1
    best = None
    for k in range(1, n // 2 + 1):
        inside -= 2 * math.comb(n, k - 1) / 2**n
        if best is None or inside >= confidence:
            best = ordered[k - 1], ordered[n - k], inside
    return best or (ordered[0], ordered[-1], 0.0)


def outliers(values):
    """How many values are further than 1.5 times the width of the middle half from it. They are kept."""
    first, third = quarters(values)
    reach = 1.5 * (third - first)
    return sum(not first - reach <= value <= third + reach for value in values)


def yardstick_limit_ns(rows):
    """The yardstick above which a measurement of these rows counts as disturbed; infinite without yardsticks."""
    ordered = sorted(row["yardstick_ns"] for row in rows if "yardstick_ns" in row)
    return DISTURBED * ordered[len(ordered) // 10] if ordered else math.inf


def is_disturbed(row, limit_ns):
    return row.get("yardstick_ns", 0) > limit_ns


class Figures:
    """One row over its rounds. said: its words; limit_ns: see yardstick_limit_ns."""

    def __init__(self, name, rows, said=None, limit_ns=math.inf):
        self.name, self.said = name, said or words.Row(name, words=name)
        good = [r for r in rows if not r.get("error_occurred")]
        good = [r for r in good if r["round"] != PILOT] or good
        quiet = [r for r in good if not is_disturbed(r, limit_ns)]
        self.disturbed = len(good) - len(quiet)
        good = quiet if len(quiet) >= QUIET_LEAST else good
        refused = [r.get("error_message", "refused") for r in rows if r.get("error_occurred")]
        self.skipped = refused[0] if refused and not good else None
        self.middles = {r["round"]: r["q50"] for r in good if "q50" in r}
        self.rounds = {r["round"]: r["real_time"] * NANOSECONDS[r["time_unit"]] for r in good}
        self.samples = {
            q: self.middle(good, q) for q in QUANTILES if self.middle(good, q) is not None
        }
        self.faults = self.middle(good, "page_faults")
        self.interrupted = self.middle(good, "interrupted")
        self.drains = self.middle(good, "drains")
        self.vmas = self.middle(good, "vmas")
        self.resident = self.middle(good, "peak_resident_bytes")
        self.virtual = self.middle(good, "peak_virtual_bytes")
        self.growths = self.middle(good, "growths")
        self.iterations = sum(r["iterations"] for r in good)
        self.ratios, self.peer_names = {}, set()
        self.calls = None
        values = list(self.rounds.values())
        self.ns = statistics.median(values) if values else None
        self.low, self.high = (min(values), max(values)) if values else (None, None)
        first, third = quarters(values) if values else (0, 0)
        self.half = (first, third)
        self.spread = (third - first) / self.ns if self.ns else None
        judged = list((self.middles or self.rounds).values())  # the values that noise is judged by
        self.interval = interval(judged) if judged else (None, None, None)
        middle = statistics.median(judged) if judged else None
        self.width = (self.interval[1] - self.interval[0]) / middle if middle else None
        self.noisy = bool(self.width and self.width > NOISY)
        self.outliers = outliers(judged) if judged else 0

    @staticmethod
    def middle(rows, key):
        values = [r[key] for r in rows if key in r]
        return statistics.median(values) if values else None

    def shown(self):
        """The median, marked if it is noisy."""
        return (
            None if self.ns is None else time_text(self.range()[0]) + (" ~" if self.noisy else "")
        )

    def range(self):
        """(middle, low, high) of the rounds, or the 50th, 5th and 95th percentiles of the samples if there are any."""
        if self.samples:
            return self.samples["q50"], self.samples["q05"], self.samples["q95"]
        return self.ns, self.low, self.high

    def bar(self):
        """(middle, low, high) for a plot: of the rounds, or the middle half of the samples."""
        if self.samples:
            return self.samples["q50"], self.samples["q25"], self.samples["q75"]
        return self.ns, self.low, self.high

    def spread_text(self):
        middle, low, high = self.range()
        return " / ".join(time_text(ns) for ns in (low, middle, high))

    def middles_text(self):
        """The median of the samples, from the lowest to the highest round."""
        middles = self.middles.values()
        return f"{time_text(min(middles))} to {time_text(max(middles))}" if middles else None

    def shown_faults(self):
        """Page faults per iteration, for a table: a stray one among thousands counts as none."""
        return None if self.faults is None else round(self.faults, 2)

    def calls_text(self):
        if self.calls is None:
            return None
        words = [f"{n:.3g} {call}" if n != 1 else call for call, n in self.calls.items()]
        return " + ".join(words) or "none"

    def limit(self):
        """(name, ratio) of this row's limit; (None, None) if it has none."""
        return next(((n, r) for n, r in self.ratios.items() if n not in self.peer_names), (None, None))

    def peers(self):
        """Names of the peers' rows, fastest first, with our ratio to each."""
        found = {n: r for n, r in self.ratios.items() if n in self.peer_names and r is not None}
        return sorted(found.items(), key=lambda pair: pair[1], reverse=True)

    def best_peer(self):
        """(name, ratio) of the fastest peer; (None, None) if there is none."""
        return next(iter(self.peers()), (None, None))

    def item(self):
        numbers = {"real_time": self.ns, "time_unit": "ns", "low": self.low, "high": self.high}
        numbers |= {"spread": self.spread, "noisy": self.noisy, "rounds": len(self.rounds)}
        numbers |= {"disturbed": self.disturbed}
        numbers |= dict(zip(("interval_low", "interval_high", "confidence"), self.interval))
        numbers |= {"outliers": self.outliers}
        numbers |= dict(zip(("best_peer", "peer_ratio"), self.best_peer()))
        numbers |= {"iterations": self.iterations, "page_faults": self.faults}
        numbers |= {"interrupted": self.interrupted, "vmas": self.vmas}
        numbers |= {"peak_resident_bytes": self.resident, "peak_virtual_bytes": self.virtual}
        numbers |= {"system_calls": self.calls, "bounds": self.ratios, "skipped": self.skipped}
        place = self.said.places[0] if self.said.places else words.Place(None, None, None, None)
        told = {"kind": self.said.kind, "words": self.said.words, "section": place.section}
        return {"name": self.name, **told, "line": place.line, "column": place.column, **numbers, **self.samples}


def figures_of(facts, rows, crashes):
    """Name -> Figures of all rows that ran or crashed, with their words and ratios."""
    known, grouped = words.Words(facts.get("words") or {}), {}
    for row in rows:
        grouped.setdefault(row["name"], []).append(row)
    limit_ns = yardstick_limit_ns(rows)
    made = {
        name: Figures(name, grouped.get(name, []), known.row(name), limit_ns)
        for name in sorted({*grouped, *crashes})
    }
    for name, figures in made.items():
        if name in crashes:
            figures.skipped = f"crashed: {crashes[name]}"
        figures.calls = (facts.get("system_calls") or {}).get(name)
        for other in facts["bounds"].get(name, []):
            figures.ratios[other] = ratio(figures, made.get(other))
            if known.row(other).kind == "peer":
                figures.peer_names.add(other)
    return made


def round_ratios(figures, bound):
    """The rounds' own ratios; of the samples' medians if there are samples."""
    if bound is None:
        return []
    ours, theirs = figures.middles or figures.rounds, bound.middles or bound.rounds
    return [ours[r] / theirs[r] for r in ours.keys() & theirs.keys() if theirs[r] > 0]


def ratio(figures, bound):
    """The median over the rounds of the ratio."""
    ratios = round_ratios(figures, bound)
    return statistics.median(ratios) if ratios else None


class Rows:
    """All rows of a run, with their figures and words."""

    def __init__(self, facts, rows, crashes):
        self.facts, self.crashes = facts, crashes
        self.words = words.Words(facts.get("words") or {})
        self.all = figures_of(facts, rows, crashes)
        self.good = {name: f for name, f in self.all.items() if f.ns is not None}
        self.measured = len(rows)
        limit_ns = yardstick_limit_ns(rows)
        self.disturbed = sum(is_disturbed(row, limit_ns) for row in rows)

    def get(self, name):
        return self.good.get(name)

    def called(self, name):
        """The name of a row where it stands beside another."""
        return self.words.row(name).words

    def matching(self, pattern):
        """Figures of the rows whose names match, in the program's order."""
        wanted = re.compile(pattern)
        return [f for name in self.words.rows if wanted.search(name) and (f := self.get(name))]
