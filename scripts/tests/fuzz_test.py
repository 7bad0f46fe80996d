"""Tests of fuzz.py and its modules that need no engine; fuzz/tests/triage.sh has those with one."""
import os
import pathlib
import re
import subprocess
import types

import fuzz
import fuzz_corpus
import fuzz_engines
import fuzz_findings
import fuzz_report
import fuzz_view
import report

FUZZ = report.REPO / "scripts" / "fuzz.py"


def ended(*arguments):
    done = subprocess.run([str(FUZZ), *arguments], capture_output=True, text=True)
    return done.returncode, done.stderr


def settings_that_are_wrong_end_with_2_and_say_what_is_right(root):
    for argument, told in (("TIME=x", "wants a number"), ("TIME=0", "from 1 to"), ("JOBS=0", "from 1 to"),
                           ("TARGET=no_fuzzer", "memory_fuzzer"), ("ENGINE=none", "libfuzzer, afl, both"),
                           ("SUBJECT=/no/such.so", "no such file"), ("SYNC=/no/such/folder", "no such folder"),
                           ("COLOUR=red", "what can be set is"), ("quick", "what can be set is")):
        status, errors = ended(argument)
        assert status == 2 and told in errors, (argument, status, errors)


def item(target, engine, **more):
    return types.SimpleNamespace(**({
        "target": target, "engine": engine, "name": f"{target}/{engine}", "executions": 1234567, "edges": 800,
        "corpus_inputs": 99, "fed": 0, "stability": None, "problem": None, "state": lambda: "runs",
        "rate": lambda: 5000.0, "seconds": lambda: 10.0, "series": []} | more))


def store_of(*findings):
    return types.SimpleNamespace(all=lambda: list(findings), of=lambda target, engine: list(findings),
                                 waiting=lambda: 3)


def found(root, name):
    folder = pathlib.Path(root) / name
    folder.mkdir()
    return fuzz_findings.Finding(folder, {"oracle": name, "place": "ref/linear.c:203", "seconds": 1.5, "seen": 2,
                                          "target": "memory_fuzzer", "engine": "afl", "input": "input",
                                          "executions": 7})


def screen_fits_the_terminal(root):
    view = fuzz_view.View(60, "memory_fuzzer")
    store = store_of(*[found(root, f"R{n}-grow-limit") for n in range(1, 40)])
    os.environ |= {"COLUMNS": "80", "LINES": "20"}
    try:
        lines = view.screen([item("memory_fuzzer", "afl", stability=99.5), item("mailbox_fuzzer", "libfuzzer")], store)
    finally:
        del os.environ["COLUMNS"], os.environ["LINES"]
    assert len(lines) <= 19 and all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert "99.50 %" in text and "1,234,567" in text and "left" in text and "R1-grow-limit" in text, text


def a_finding_is_on_disk_when_add_returns(root):
    root = pathlib.Path(root)
    (root / "crash").write_bytes(b"\x10\x00")
    store = fuzz_findings.Store(None, root)
    store.work = lambda: None  # nothing but the copy is asked for here
    store.add("memory_fuzzer", "libfuzzer", root / "crash", "crash", 1.0, 10)
    store.add("memory_fuzzer", "afl", root / "crash", "crash", 2.0, 20)
    kept = list(fuzz_findings.read_all(root))
    assert len(kept) == 1 and (kept[0].folder / kept[0].input).read_bytes() == b"\x10\x00"
    assert kept[0].engine == "libfuzzer" and kept[0].hint == "crash"


def the_next_steps_name_the_finding_and_what_is_not_stable(root):
    run = types.SimpleNamespace(name="x", dir=pathlib.Path(root))
    session = types.SimpleNamespace(promoted={"memory_fuzzer": 3})
    text = fuzz_report.next_section(run, [item("memory_fuzzer", "afl", stability=85.0)],
                                    [found(root, "R5-grow-limit")], session).text
    assert "make replay INPUT=results/fuzz/x/R5-grow-limit" in text and "85.00 % stable" in text
    assert "3 into memory_fuzzer" in text


def coverage_that_still_grows_is_seen(root):
    grows = item("memory_fuzzer", "afl", series=[(1, 1, 10, 1), (9, 1, 11, 1)])
    rests = item("memory_fuzzer", "afl", series=[(1, 1, 10, 1), (9, 1, 10, 1)])
    assert fuzz_report.still_grows(grows) and not fuzz_report.still_grows(rests)


def workers_have_the_machines_name(root):
    os.environ["PAGEBOX_HOST"] = "b.two"
    try:
        plan = types.SimpleNamespace(sync=pathlib.Path(root))
        run = types.SimpleNamespace(path=report.Run.path.__get__(types.SimpleNamespace(dir=pathlib.Path(root))))
        afl = fuzz_engines.Afl(plan, run, store_of(), "memory_fuzzer", "afl", 3)
        assert [folder.name for folder in afl.own()] == ["b_two-main", "b_two-s1", "b_two-s2"]
        assert afl.sync_folder() == pathlib.Path(root) / "memory_fuzzer"
    finally:
        del os.environ["PAGEBOX_HOST"]


def what_a_killed_run_left_is_seen(root):
    root = pathlib.Path(root)
    for name in ("raw/memory_fuzzer-libfuzzer/artifacts-1/crash-1", "raw/memory_fuzzer-libfuzzer/corpus/1",
                 "raw/mailbox_fuzzer-afl/out/a-main/hangs/id:000000", "raw/mailbox_fuzzer-afl/out/a-s1/crashes/id:000001"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    left = [(target, engine, hint) for target, engine, _, hint in fuzz_engines.left_over(root)]
    assert left == [("mailbox_fuzzer", "afl", "crash"), ("mailbox_fuzzer", "afl", "timeout"),
                    ("memory_fuzzer", "libfuzzer", "crash")], left


def rules_of_operations_are_those_of_op_def(root):
    assert fuzz_corpus.rules_of(["memory_grow", "memory_create", "interleave"]) == "R1 R6"


def every_operation_has_a_part_in_a_reproducer(root):
    text = (report.REPO / "fuzz" / "op.def").read_text()
    made = re.findall(r"^OP\(\d+, (\w+), \"(\w+)\", ([A-Z |]+),", text, re.MULTILINE)
    parts = {name: set(re.findall(r"^/\*= (\w+):", (report.REPO / "fuzz" / "reproducer" / name).read_text(), re.MULTILINE))
             for name in ("sequential.c", "threads.c")}
    elsewhere = {"end", "fault", "fault_at", "interleave", "memory_destroy"}
    missing = [name for name, _, targets in made if name not in elsewhere
               and ("MEMORY" in targets or "MAILBOX" in targets) and name not in parts["sequential.c"]]
    missing += [f"t_{name}" for name, _, targets in made if name not in elsewhere | {
        "memory_create", "memory_create_more", "mailbox_attach"}
        and ("WAITERS" in targets or "SYSTEM" in targets) and f"t_{name}" not in parts["threads.c"]]
    assert not missing, f"fuzz/reproducer/ has no part for {missing}"


TESTS = [
    settings_that_are_wrong_end_with_2_and_say_what_is_right,
    screen_fits_the_terminal,
    a_finding_is_on_disk_when_add_returns,
    the_next_steps_name_the_finding_and_what_is_not_stable,
    coverage_that_still_grows_is_seen,
    workers_have_the_machines_name,
    what_a_killed_run_left_is_seen,
    rules_of_operations_are_those_of_op_def,
    every_operation_has_a_part_in_a_reproducer,
]
