"""cells.py: table cells of a benchmark report: shown with a unit, sorted as numbers.
"""
from pagebox.bench.measures import ratio_text, time_text


class Cell(str):
    """A number shown with its unit; report.py sorts it by `key`."""

    def __new__(cls, value, text):
        cell = super().__new__(cls, text)
        cell.key = float("nan") if value is None else float(value)
        return cell


def duration(figures=None, ns=None):
    if figures is None and ns is None:
        return None
    return Cell(figures.range()[0], figures.shown()) if figures else Cell(ns, time_text(ns))


def times(value):
    return None if value is None else Cell(value, ratio_text(value))


def percent(value):
    return None if value is None else Cell(value, f"{value:.0%}")


def beside(figures, peers=True):
    """The time, and in brackets the ratios to the limit and to the best peer, if there are any."""
    if figures is None:
        return None
    limit, peer = figures.limit()[1], figures.best_peer()[1] if peers else None
    words = "" if limit is None and peer is None else ratio_text(limit)
    words += f" / {ratio_text(peer)}" if peer is not None else ""
    text = figures.shown() + (f" ({words})" if words else "")
    return Cell(figures.range()[0], text)
