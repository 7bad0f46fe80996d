"""Tests of scripts/coverage.py: unreached code needs an explanation, and an explanation of reached code is stale."""
import pathlib

from pagebox.fuzz import coverage
from pagebox.common import report

PLACE = coverage.Place("a.c", 3, 5, "grow", "true", "bytes > most")
LINE = coverage.Place("a.c", 4, 0, "grow", "line", "return PB_NO_MEMORY;")


def rows_of(root, text):
    path = pathlib.Path(root) / "unreached.txt"
    path.write_text(text)
    return coverage.explanations(path)


def result(rows, lines, branches, unseeded=()):
    """lines, branches: place -> count by (seeds, tests)."""
    counts = {}
    for i, group in enumerate(("seeds", "tests")):
        counts[group] = [{p: c[i] for p, c in places.items()} for places in (lines, branches)]
    counts["both"] = [{p: sum(c) for p, c in places.items()} for places in (lines, branches)]
    return coverage.Result(counts, rows, unseeded)


def test_unreached_is_unexplained_until_a_row_fits(root):
    lines, branches = {LINE: (0, 0)}, {PLACE: (0, 0)}
    assert result([], lines, branches).unexplained() == [PLACE, LINE]
    rows = rows_of(root, "# why\na.c | grow | true | bytes > * | 32 bits\n")
    found = result(rows, lines, branches)
    assert found.unexplained() == [LINE] and not found.stale
    assert dict(found.unreached)[PLACE] == "32 bits"
    assert coverage.complaints(found)["lines"] == ["ref/a.c:4: grow: line: return PB_NO_MEMORY;"]


def test_explanation_of_what_is_reached_is_stale(root):
    rows = rows_of(root, "a.c | grow | line | return * | never\na.c | grow | true? | bytes* | rare\n")
    found = result(rows, {LINE: (1, 1)}, {PLACE: (1, 0)})
    assert found.unexplained() == []
    assert [row.at for row in found.stale] == ["unreached.txt:1"]  # the other row is a matter of timing


def test_what_tests_alone_reach_wants_a_reason_too(root):
    lines, branches = {LINE: (0, 1)}, {PLACE: (1, 1)}
    found = result([], lines, branches)
    assert found.unexplained() == [LINE]
    assert coverage.complaints(found)["seeds"] == ["ref/a.c:4: grow: line only by tests: return PB_NO_MEMORY;"]
    rows = rows_of(root, "a.c | * | * | * | faults of the C library\nb.c | * | * | * | gone\n")
    found = result([], lines, branches, rows)
    assert not found.unexplained() and [row.at for row in found.stale] == ["unreached.txt:2"]
    seeded = result([], {LINE: (1, 1)}, branches, rows_of(root, "a.c | * | * | * | faults\n"))
    assert len(seeded.stale) == 1
    timing = rows_of(root, "a.c | grow | line? | * | rare\n")  # reached by the tests in some runs, by nothing in others
    for count in (0, 1):
        assert not result(timing, {LINE: (0, count)}, branches).unexplained()


def test_bad_rows_are_status_2(root):
    for text in ("a.c | grow | line | x\n", "a.c | grow | maybe | x | y\n", "a.c |  | line | x | y\n"):
        try:
            rows_of(root, text)
        except SystemExit as end:
            assert end.code == 2
        else:
            raise AssertionError(text)


def test_shares_count_what_is_reached(root):
    found = result([], {LINE: (0, 1)}, {PLACE: (0, 0)})
    assert found.share("lines", "seeds") == (0, 1) and found.share("lines", "both") == (1, 1)
    assert found.share("branches", "both", "b.c") == (0, 0)
    assert coverage.percent(0, 0) is None
    assert report.cell_text(coverage.percent(1, 1)) == "100"
