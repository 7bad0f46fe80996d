"""Tests of scripts/coverage.py: what is not reached is explained, and what is reached is not."""
import pathlib

import coverage
import report

PLACE = coverage.Place("a.c", 3, 5, "grow", "true", "bytes > most")
LINE = coverage.Place("a.c", 4, 0, "grow", "line", "return PB_NO_MEMORY;")


def rows_of(root, text):
    path = pathlib.Path(root) / "unreached.txt"
    path.write_text(text)
    return coverage.explanations(path)


def result(rows, lines, branches):
    """lines, branches: place -> count by (seeds, tests)."""
    counts = {}
    for i, group in enumerate(("seeds", "tests")):
        counts[group] = [{p: c[i] for p, c in places.items()} for places in (lines, branches)]
    counts["both"] = [{p: sum(c) for p, c in places.items()} for places in (lines, branches)]
    return coverage.Result(counts, rows)


def unreached_is_unexplained_until_a_row_fits(root):
    lines, branches = {LINE: (0, 0)}, {PLACE: (0, 0)}
    assert result([], lines, branches).unexplained() == [PLACE, LINE]
    rows = rows_of(root, "# why\na.c | grow | true | bytes > * | 32 bits\n")
    found = result(rows, lines, branches)
    assert found.unexplained() == [LINE] and not found.stale
    assert dict(found.unreached)[PLACE] == "32 bits"
    assert list(coverage.complaints(found)) == ["ref/a.c:4: grow: line: return PB_NO_MEMORY;"]


def explanation_of_what_is_reached_is_stale(root):
    rows = rows_of(root, "a.c | grow | line | return * | never\na.c | grow | true? | bytes* | rare\n")
    found = result(rows, {LINE: (0, 1)}, {PLACE: (1, 0)})
    assert found.unexplained() == []
    assert [row.line for row in found.stale] == [1]  # the other is a matter of timing
    assert list(found.only_tests()) == [LINE]


def bad_rows_are_status_2(root):
    for text in ("a.c | grow | line | x\n", "a.c | grow | maybe | x | y\n", "a.c |  | line | x | y\n"):
        try:
            rows_of(root, text)
        except SystemExit as end:
            assert end.code == 2
        else:
            raise AssertionError(text)


def shares_count_what_is_reached(root):
    found = result([], {LINE: (0, 1)}, {PLACE: (0, 0)})
    assert found.share("lines", "seeds") == (0, 1) and found.share("lines", "both") == (1, 1)
    assert found.share("branches", "both", "b.c") == (0, 0)
    assert coverage.percent(0, 0) is None
    assert report.cell_text(coverage.percent(1, 1)) == "100"


TESTS = [
    unreached_is_unexplained_until_a_row_fits,
    explanation_of_what_is_reached_is_stale,
    bad_rows_are_status_2,
    shares_count_what_is_reached,
]
