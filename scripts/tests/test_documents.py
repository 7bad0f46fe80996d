"""Tests of the documents: the README of a folder names all of its files."""
import fnmatch
import inspect
import pathlib
import re
import subprocess

from pagebox.fuzz import coverage
from pagebox.defects import page
from pagebox.defects import verdicts
from pagebox.sim import explore
from pagebox.fuzz import run
from pagebox.fuzz import fuzzers
from pagebox.fuzz import findings
from pagebox.gate import calibrate
from pagebox.gate import history
from pagebox.conform import page as conform_page
from pagebox.conform import power
from pagebox.sim import litmus
from pagebox.sim import verify

# Files that write items and summaries of report.json; those of bench and gate are figures under many names.
WRITERS = {
    "fuzz": (run.Session.report, fuzzers.Fuzzer.item, findings.Finding.item),
    "defects": (verdicts.item_of, page.summary_of, page.series_page),
    "litmus": (litmus.main,),
    "verify": (verify.main,),
    "explore": (explore.finish,),
    "coverage": (coverage.summary_of, coverage.items_of),
    "gate-calibration": (calibrate.score, calibrate.publish),
    "trend": (history.trend,),
    "conform": (conform_page.write,),
    "conform-power": (power.show, power.main),
}

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDERS = ("ref", "fuzz", "bench", "scripts")  # and their direct subfolders


def tracked():
    """Folder -> the names of its files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True)
    folders = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = pathlib.PurePath(name)
        folders.setdefault(path.parent, []).append(path.name)
    return folders


def unnamed(names, text):
    """Files that no word or `pattern` of the text matches. A source and its header count as one."""
    words = set(re.findall(r"[\w.+-]+", text))
    patterns = [p for part in re.findall(r"`([^`\n]+)`", text) for p in re.split(r"[ ,]+", part) if "*" in p]
    for name in names:
        alike = {name, re.sub(r"\.[ch]$", ".c", name), re.sub(r"\.[ch]$", ".h", name)}
        if not alike & words and not any(fnmatch.filter(alike, p) for p in patterns):
            yield name


def test_every_file_is_named_in_the_readme_of_its_folder(root):
    missing = []
    for folder, names in tracked().items():
        if folder.parts[:1] and folder.parts[0] in FOLDERS and len(folder.parts) < 3 and "README.md" in names:
            pages = [REPO / folder / name for name in names if name.endswith(".md")]
            text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
            missing += [f"{folder}/{name}" for name in unnamed(names, text) if name != "README.md"]
    assert not missing, f"in no row of their folder's README: {missing}"


def test_a_file_without_a_reader_is_seen(root):
    text = "| `op.c` `gate_*.py` | the operations |\nrules.mk builds them."
    assert list(unnamed(["op.c", "op.h", "gate_a.py", "rules.mk", "load.h", "xop.c"], text)) == ["load.h", "xop.c"]


def test_every_field_of_report_json_is_documented(root):
    text = (REPO / "results/README.md").read_text(encoding="utf-8")
    common = text.partition("\nKind ")[0]
    parts = dict(re.findall(r"^Kind `([\w-]+)`:((?:.+\n)+)", text, re.M))
    missing = []
    for kind, functions in WRITERS.items():
        named = set(re.findall(r"\w+", common + parts[kind]))
        for function in functions:
            fields = re.findall(r'"([a-z_]+)"(?::|\] = )', inspect.getsource(function))
            assert fields, function
            missing += [f"{kind}: {field}" for field in fields if field not in named]
    assert not missing, f"not in results/README.md: {missing}"


def ordered_accesses(sources):
    """(name, load, store, rmw or cas) for each use of a name of ref/orders.h."""
    call = r"atomic_(\w+)_explicit\((?:(?!atomic_\w+_explicit)[^;{])*?PB_ORDER_(\w+)"
    found = set()
    for function, name in re.findall(call, sources, re.S):
        plain = function in ("load", "store")
        found.add((name, function if plain else "cas" if function.startswith("compare") else "rmw"))
    return found


def test_an_ordered_access_is_seen(root):
    text = "atomic_fetch_or_explicit(&a[i(1)], 2,\n PB_ORDER_A); if (atomic_load_explicit(p, PB_ORDER_B)) {}" \
           "atomic_compare_exchange_weak_explicit(p, &q, 1, PB_ORDER_C, memory_order_relaxed)"
    assert ordered_accesses(text) == {("A", "rmw"), ("B", "load"), ("C", "cas")}


def test_table_of_orders_has_each_ordered_access(root):
    ref = REPO / "ref"
    orders = dict(re.findall(r"#define PB_ORDER_(\w+) memory_order_(\w+)", (ref / "orders.h").read_text()))
    accesses = ordered_accesses("\n".join(path.read_text() for path in sorted(ref.glob("*.[ch]"))))
    assert {name for name, _ in accesses} == orders.keys(), "used, or defined, but not both"
    text = (ref / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z_]+) \| (\w+) \| (\w+) \| \S", text, re.M)
    wanted = {(name, kind, orders[name]) for name, kind in accesses if orders[name] != "relaxed"}
    assert set(rows) == wanted and len(rows) == len(wanted), set(rows) ^ wanted
    assert f"None of the {len(accesses)} accesses" in text
    assert f"{len(accesses) - len(wanted)} are relaxed already" in text
    counts = map(int, re.findall(r"^- (\d+) (?:weaker orders|orders?|are) ", text, re.M))
    assert sum(counts) == len(wanted), "the bullets do not add up to the table"
