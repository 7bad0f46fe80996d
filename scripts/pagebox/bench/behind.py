"""behind.py: where the reference is slower than a peer, or above 1.2 times its limit: by how much, and why.

Used by page.py. A row counts if the whole interval of its ratio (of the rounds' own ratios) lies above 1 for
the best peer, or above 1.2 for the limit; rows with one or two rounds are not judged. The reasons are
reviewed ones, from bench/behind.txt: the first pattern that is found in "ROW,OTHER" gives the reason.
"""
import dataclasses
import re
import statistics

from pagebox.common import report
from pagebox.bench.cells import duration, times
from pagebox.bench.measures import TIMES, interval, ratio_text, round_ratios

REASONS = report.REPO / "bench" / "behind.txt"
PEER_MOST, LIMIT_MOST = 1.0, 1.2
ROUNDS_LEAST = 3
SMALL = 1.05  # less than two runs of one program on a shared machine differ by
NOT_EXPLAINED = "not explained"


@dataclasses.dataclass
class Beside:
    """A row of the reference beside its limit or its best peer."""

    figures: object
    other: str
    ratio: float
    low: float
    high: float
    most: float

    def is_behind(self):
        return self.low > self.most

    def is_ahead(self):
        return self.high < self.most


def reasons():
    """[(pattern, words)] of bench/behind.txt."""
    found = []
    for number, line in enumerate(REASONS.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = line.split(None, 1)
            if len(fields) != 2:
                report.die(f"{REASONS}:{number}: must be a pattern, and the reason")
            found.append(tuple(fields))
    return found


def reason_of(beside, known):
    text = f"{beside.figures.name},{beside.other}"
    return next((words for pattern, words in known if re.search(pattern, text)), NOT_EXPLAINED)


def compared(rows):
    """Each row of the reference beside its best peer and beside its limit, if it has them."""
    found = []
    for figures in rows.good.values():
        if figures.said.kind != "ours":
            continue
        for (other, ratio), most in ((figures.best_peer(), PEER_MOST), (figures.limit(), LIMIT_MOST)):
            ratios = round_ratios(figures, rows.get(other))
            if len(ratios) >= ROUNDS_LEAST:
                low, high, _ = interval(ratios)
                found.append(Beside(figures, other, ratio, low, high, most))
    return found


def behind(rows):
    """[(Beside, reason)], worst first."""
    known = reasons()
    late = [one for one in compared(rows) if one.is_behind()]
    return [(one, reason_of(one, known)) for one in sorted(late, key=lambda one: -one.ratio)]


def summary(rows):
    found = behind(rows)
    unknown = sum(reason == NOT_EXPLAINED for _, reason in found)
    return {"behind": len(found), "behind_not_explained": unknown}


def best_strategies(shared, rows):
    """The fastest row for each operation and size that has a peer."""
    best = {}
    for one in shared:
        key = rows.words.kin(one.figures.name)
        if key not in best or one.figures.range()[0] < best[key].figures.range()[0]:
            best[key] = one
    return list(best.values())


def sentence(rows):
    found = compared(rows)
    shared = [one for one in found if one.most == PEER_MOST]
    limited = [one for one in found if one.most == LIMIT_MOST]
    said = []
    if shared:
        ahead, late = sum(o.is_ahead() for o in shared), sum(o.is_behind() for o in shared)
        best = best_strategies(shared, rows)
        said.append(
            f"{ahead} of {len(shared)} rows shared with a peer are ahead of every peer, "
            f"{len(shared) - ahead - late} level with the best within the spread, {late} behind; of the "
            f"fastest strategy at each operation and size {sum(o.is_ahead() for o in best)} of "
            f"{len(best)} are ahead, {sum(o.is_behind() for o in best)} behind"
        )
    if limited:
        late = [o.ratio for o in limited if o.is_behind()]
        middle = f" (half of these at most {ratio_text(statistics.median(late))})" if late else ""
        said.append(
            f"{len(limited) - len(late)} of {len(limited)} rows with a physical limit are within 1.2 of "
            f"it or their spread reaches it, {len(late)} are above{middle}"
        )
    if not said:
        return None
    late = behind(rows)
    unknown = [one.ratio for one, reason in late if reason == NOT_EXPLAINED]
    small = sum(ratio < SMALL for ratio in unknown)
    under = f", {small} of these by less than {SMALL:g}×" if small else ""
    why = f" Why, row by row, is below; {len(unknown)} of them are not explained{under}." if late else ""
    return f"**Ahead, or behind?** {'; '.join(said)}.{why}"


def section(rows):
    """None if nothing is behind."""
    found = behind(rows)
    if not found:
        return None
    why = list(dict.fromkeys(reason for _, reason in found))  # worst first
    number = {reason: i + 1 for i, reason in enumerate(why)}
    cells = []
    for reason in why:
        same = [one for one, its in found if its == reason]
        cells.append([number[reason], reason, len(same), times(same[-1].ratio), times(same[0].ratio)])
    columns = ["", "why", "rows", f"{TIMES} at least", f"{TIMES} at most"]
    text = (
        f"Rows of the reference that are slower than their best peer, or above {LIMIT_MOST} times their physical "
        "limit, with the whole interval of the ratio; the worst first. The reasons come from "
        "`bench/behind.txt`, written by hand after a look at the code and its system calls."
    )
    each = []
    for one, reason in found:
        other = rows.get(one.other)
        each.append(
            [one.figures.name, duration(one.figures), one.other, duration(other), times(one.ratio)]
            + [times(one.low), times(one.high), number[reason]]
        )
    heads = ["row", "time", "beside", "takes", TIMES, "from", "to", "why"]
    inner = report.Section("Each of these rows", "", report.Table(heads, each, "lrlrrrrr"))
    table = report.Table(columns, cells, "rlrrr")
    title = f"Behind a peer, or above {LIMIT_MOST} times the limit"
    return report.Section(title, text, table, sections=[inner])
