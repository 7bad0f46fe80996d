"""subjects.py: the section of a benchmark report on subjects: others' code beside the reference."""
import re

from pagebox.common import report
from pagebox.bench.measures import ratio_text, time_text

OPERATIONS = {
    "subject/create_destroy": "Create and destroy",
    "subject/grow": "Grow by one page, of a written memory",
    "subject/copy": "Copy a written memory",
    "subject/round_trip": "Wait and notify, there and back between two cores",
    "subject/enqueue": "Enqueue an id",
    "subject/drain": "Drain an id",
}
SIZED = ("subject/create_destroy", "subject/grow", "subject/copy")
USUAL = ("reserve", "")  # the reference's strategy that others are compared with; a mailbox has none
ROW = re.compile(r"(subject/\w+)/of:([^/]+)(?:/strategy:([^/]+))?(?:/(pages|cores):(\d+))?$")
TEXT = (
    "Each through the table of functions of `fuzz/subject.h`, the reference too, so that all pay the "
    "same calls. The ratio is the median beside the reference's, with strategy `reserve` for memories."
)


def tables(rows):
    """operation -> (of, strategy) -> size -> figures"""
    found = {}
    for name, figures in rows.good.items():
        match = ROW.match(name)
        if match:
            operation, of, strategy, _, size = match.groups()
            sizes = found.setdefault(operation, {}).setdefault((of, strategy or ""), {})
            sizes[int(size or 0)] = figures
    return found


def cell(figures, usual):
    if figures is None:
        return None
    text = time_text(figures.ns)
    if usual is not None and usual is not figures:
        text += f" ({ratio_text(figures.ns / usual.ns)})"
    return text


def table(lines, paged):
    sizes = sorted({size for line in lines.values() for size in line})
    reference = next((lines[k] for s in USUAL if (k := ("reference", s)) in lines), {})
    order = sorted(lines, key=lambda key: (key[0] == "reference", key))
    body = [
        [of, strategy or None, *[cell(lines[of, strategy].get(s), reference.get(s)) for s in sizes]]
        for of, strategy in order
    ]
    heads = [f"{s} page{'s' * (s > 1)}" if paged else "time" for s in sizes]
    return report.Table(["of", "strategy", *heads], body, "ll" + "r" * len(sizes))


def section(rows):
    """None where no subject was measured."""
    found = tables(rows)
    inner = [
        report.Section(title, table=table(found[name], name in SIZED))
        for name, title in OPERATIONS.items()
        if name in found
    ]
    return report.Section("Subjects", TEXT, sections=inner) if inner else None
