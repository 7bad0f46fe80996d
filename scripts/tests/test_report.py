"""Tests of scripts/report.py: contents of the files, escaping, errors."""
import contextlib
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

from pagebox.common import report

SCRIPTS = str(report.REPO / "scripts")


def small_run(root, status="pass"):
    run = report.Run("fuzz", root)
    run.path("raw/rows.txt").write_text("1 2\n")
    rows = [["a|b", 12345.6], [report.Link("raw", "raw/rows.txt"), None]]
    table = report.Table(["name", "ns"], rows)
    line = report.plot("plot $data with lines", "1 2\n2 3")
    boxes = report.plot("plot $d with boxes", {"d": [[1, 2]]})
    hostile = "```\n<script>alert(1)</script>\x1b[31m"
    sections = [
        report.Section("Speed & size", "Some `code`.", table=table, svg=line),
        report.Section("Found", pre=hostile, sections=[report.Section("Inner", svg=boxes)]),
    ]
    items = [{"name": "x", "value": float("nan"), "path": pathlib.Path("/a")}]
    return run, run.finish(status, {"executions": 7}, items, sections, "A <title>", "All **well**.")


def test_json_follows_the_schema(root):
    run, path = small_run(root)
    fact = json.loads((path / "report.json").read_text())
    wanted = "kind schema commit dirty started seconds status machine summary items".split()
    assert list(fact) == wanted, list(fact)
    assert fact["items"] == [{"name": "x", "value": None, "path": "/a"}]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fact["started"])
    wanted = "kernel cpu cores memory_bytes thp overcommit compiler flags libc".split()
    assert sorted(fact["machine"]) == sorted(wanted)


def test_folder_is_renamed_and_latest_points_there(root):
    run, path = small_run(root)
    assert re.fullmatch(r"\d{8}T\d{6}Z-\w{7}", path.name), path.name
    assert sorted(p.name for p in path.parent.iterdir()) == sorted([path.name, "latest"])
    assert os.readlink(path.parent / "latest") == path.name
    assert (path / "raw/rows.txt").read_text() == "1 2\n"


def test_two_runs_in_one_second_get_two_folders(root):
    first, second = small_run(root)[1], small_run(root)[1]
    assert first != second and os.readlink(first.parent / "latest") == second.name


def test_page_holds_everything_and_escapes_what_it_shows(root):
    page = (small_run(root)[1] / "report.html").read_text()
    assert page.count("<svg") == 2 and "12,346" in page and "<code>code</code>" in page
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page and "\x1b" not in page
    assert "A &lt;title&gt;" in page
    addresses = set(re.findall(r"""https?://[^"'\s]+""", page))
    # Namespaces of SVG, which are not fetched.
    assert all(a.startswith("http://www.w3.org/") for a in addresses), addresses
    ids = re.findall(r"""\bid=["']([^"']+)""", page)
    assert len(ids) == len(set(ids)), ids


class Duration(str):
    """Shown as '2 ms', sorted as a number of nanoseconds."""

    key = 2e6


def test_tables_sort_by_number_or_by_key(root):
    assert report.cell_key(12) == "12.0" and report.cell_key("b") == "b"
    assert report.cell_key(Duration("2 ms")) == "2000000.0"
    assert report.cell_text(Duration("2 ms")) == "2 ms"


def test_markdown_links_plots_that_exist(root):
    path = small_run(root)[1]
    text = (path / "report.md").read_text()
    plots = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(plots) == 2 and all((path / p).read_text().startswith("<svg") for p in plots)
    assert "a\\|b" in text and "[raw](raw/rows.txt)" in text
    assert "\n````text\n" in text  # the fence is longer than the one inside


def test_plot_says_when_gnuplot_fails(root):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert "No plot: gnuplot says" in report.plot("plot $nothing", "1 2")
        path, os.environ["PATH"] = os.environ["PATH"], root
        try:
            assert "gnuplot is missing" in report.plot("plot $data", "1 2")
        finally:
            os.environ["PATH"] = path
    assert said.getvalue().count("No plot") == 2


def test_unknown_status_is_refused(root):
    run = report.Run("fuzz", root)
    try:
        run.finish("fine", {}, [], [], "t", "l")
    except ValueError:
        return
    raise AssertionError("status 'fine' was taken")


INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, {scripts!r})
from pagebox.common import report
run = report.Run("fuzz", {root!r})
report.on_interrupt(lambda: run.finish("interrupted", {{}}, [], [], "t", "l"))
os.kill(os.getpid(), {number})
signal.pause()
"""


INTERRUPTED_WRITE = """
import _io, os, signal, sys
from pagebox.common import report

class Raw(_io.FileIO):  # the signal comes while print() writes
    sent = False
    def write(self, data):
        if not Raw.sent:
            Raw.sent = True
            os.kill(os.getpid(), signal.SIGINT)
        return super().write(data)

report.on_interrupt(lambda: print("the partial report"))
sys.stdout = _io.TextIOWrapper(_io.BufferedWriter(Raw(1, "w", closefd=False)))
print("a row", flush=True)
"""


def test_interrupt_in_the_middle_of_a_print_leaves_a_report():
    path = {"PYTHONPATH": str(report.REPO / "scripts")}
    run = subprocess.run([sys.executable, "-c", INTERRUPTED_WRITE], capture_output=True, text=True, env=os.environ | path)
    assert run.returncode == 130 and run.stdout == "the partial report\n", run


def test_interrupt_leaves_a_valid_partial_report(root):
    for number in (signal.SIGINT, signal.SIGTERM):
        program = INTERRUPTED.format(scripts=SCRIPTS, root=root, number=int(number))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 130, done
        fact = json.loads((pathlib.Path(root) / "results/fuzz/latest/report.json").read_text())
        assert fact["status"] == "interrupted"


FULL = """
import resource, signal, sys
sys.path.insert(0, {scripts!r})
from pagebox.common import report
run = report.Run("fuzz", {root!r})
run.path("raw.txt").write_text("found")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
run.finish("finding", {{}}, [], [], "t", "l")
"""


def test_no_room_keeps_the_raw_data_and_says_where(root):
    """A limit on file sizes stands in for a full disk: the same write fails in the same way."""
    program = FULL.format(scripts=SCRIPTS, root=root)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2 and "the raw data is in" in done.stderr, done
    assert "Traceback" not in done.stderr
    kept = list(pathlib.Path(root).glob("results/fuzz/.*.tmp/raw.txt"))
    assert len(kept) == 1 and kept[0].read_text() == "found"


def test_a_broken_regular_expression_is_told_with_its_name(root):
    program = "import sys; sys.path.insert(0, sys.argv[1]); from pagebox.common import report; report.pattern('(', 'ONLY')"
    command = [sys.executable, "-c", program, SCRIPTS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "ONLY=(: not a regular expression" in done.stderr, done
    assert report.pattern(None, "ONLY").search("anything")


def test_every_program_has_a_help(root):
    programs = "barriers bench bench_compare coverage defects explore fuzz gate litmus report verify"
    for name in programs.split():
        command = [f"{SCRIPTS}/{name}.py", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0 and len((done.stdout + done.stderr).splitlines()) > 3, (name, done)
