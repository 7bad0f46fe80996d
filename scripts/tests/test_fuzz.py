"""Tests of fuzz.py and its modules that need no engine; fuzz/tests/triage.sh has those that do."""
import contextlib
import io
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import time
import types
import unittest.mock

from pagebox.fuzz import run as fuzz_run
from pagebox.fuzz import corpora
from pagebox.fuzz import fuzzers
from pagebox.fuzz import findings
from pagebox.fuzz import page
from pagebox.fuzz import screen
from pagebox.common import processes
from pagebox.common import report
from pagebox.common import rules

FUZZ = report.REPO / "scripts" / "fuzz.py"
SCRIPTS = str(FUZZ.parent)


def ended(*arguments):
    done = subprocess.run([str(FUZZ), *arguments], capture_output=True, text=True)
    return done.returncode, done.stderr


def test_settings_that_are_wrong_end_with_2_and_say_what_is_right(root):
    for argument, told in (("TIME=x", "must be a number"), ("TIME=0", "from 1 to"), ("JOBS=0", "from 1 to"),
                           ("TARGET=no_fuzzer", "memory_fuzzer"), ("ENGINE=none", "libfuzzer, afl or both"),
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
    return findings.Finding(folder, {"oracle": name, "place": "ref/linear.c:203", "seconds": 1.5, "seen": 2,
                                          "target": "memory_fuzzer", "engine": "afl", "input": "input",
                                          "executions": 7})


def test_screen_fits_the_terminal(root):
    view = screen.View(60, "memory_fuzzer")
    store = store_of(*[found(root, f"R{n}-grow-limit") for n in range(1, 40)])
    os.environ |= {"COLUMNS": "80", "LINES": "20"}
    try:
        lines = view.screen([item("memory_fuzzer", "afl", stability=99.5), item("mailbox_fuzzer", "libfuzzer")], store)
    finally:
        del os.environ["COLUMNS"], os.environ["LINES"]
    assert len(lines) <= 19 and all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert "99.50 %" in text and "1,234,567" in text and "left" in text and "R1-grow-limit" in text, text


def test_a_finding_is_on_disk_when_add_returns(root):
    root = pathlib.Path(root)
    (root / "crash").write_bytes(b"\x10\x00")
    store = findings.Store(None, root)
    store.work = lambda: None  # only the copy is tested here
    store.add("memory_fuzzer", "libfuzzer", root / "crash", "crash", 1.0, 10)
    store.add("memory_fuzzer", "afl", root / "crash", "crash", 2.0, 20)
    kept = list(findings.read_all(root))
    assert len(kept) == 1 and (kept[0].folder / kept[0].input).read_bytes() == b"\x10\x00"
    assert kept[0].engine == "libfuzzer" and kept[0].hint == "crash"


def test_the_next_steps_name_the_finding_and_what_is_not_stable(root):
    run = types.SimpleNamespace(name="x", dir=pathlib.Path(root))
    session = types.SimpleNamespace(promoted={"memory_fuzzer": 3}, plan=plan_of(subject="./mine.so"))
    text = page.next_section(run, [item("memory_fuzzer", "afl", stability=85.0)],
                                    [found(root, "R5-grow-limit")], session).text
    assert "make replay INPUT=results/fuzz/x/R5-grow-limit" in text and "85.00 % stable" in text
    assert "SUBJECT=./mine.so" in text
    assert "3 into memory_fuzzer" in text


def test_coverage_that_still_grows_is_seen(root):
    grows = item("memory_fuzzer", "afl", series=[(1, 1, 10, 1), (9, 1, 11, 1)])
    rests = item("memory_fuzzer", "afl", series=[(1, 1, 10, 1), (9, 1, 10, 1)])
    assert page.still_grows(grows) and not page.still_grows(rests)


def test_workers_have_the_machines_name(root):
    os.environ["PAGEBOX_HOST"] = "b.two"
    try:
        plan = types.SimpleNamespace(sync=pathlib.Path(root))
        run = types.SimpleNamespace(path=report.Run.path.__get__(types.SimpleNamespace(dir=pathlib.Path(root))))
        afl = fuzzers.Afl(plan, run, store_of(), "memory_fuzzer", "afl", 3)
        assert [folder.name for folder in afl.own()] == ["b_two-main", "b_two-s1", "b_two-s2"]
        assert afl.sync_folder() == pathlib.Path(root) / "memory_fuzzer"
    finally:
        del os.environ["PAGEBOX_HOST"]


def test_each_input_lies_in_the_folder_of_its_target(root):
    """Elsewhere, neither make fuzz nor OSS-Fuzz would start from it."""
    for path in corpora.CORPUS.rglob("*.ops"):
        target = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("pagebox-ops 1 ")
        if "subjects" not in path.parts:
            assert path in corpora.seeds(target), path


def test_what_a_killed_run_left_is_seen(root):
    root = pathlib.Path(root)
    for name in ("raw/memory_fuzzer-libfuzzer/artifacts-1/crash-1", "raw/memory_fuzzer-libfuzzer/corpus/1",
                 "raw/mailbox_fuzzer-afl/out/a-main/hangs/id:000000", "raw/mailbox_fuzzer-afl/out/a-s1/crashes/id:000001"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    left = [(target, engine, hint) for target, engine, _, hint in fuzzers.left_over(root)]
    assert left == [("mailbox_fuzzer", "afl", "crash"), ("mailbox_fuzzer", "afl", "timeout"),
                    ("memory_fuzzer", "libfuzzer", "crash")], left


def test_rules_of_operations_are_those_of_op_def(root):
    assert corpora.rules_of(["memory_grow", "memory_create", "interleave"]) == "R1 R6"


def test_every_call_that_is_written_down_has_both_mappings(root):
    folder = report.REPO / "fuzz" / "targets"
    tape = (folder / "tape.c").read_text()
    calls = set(re.findall(r'call\("(?:DONE\((?:\w+ = |%s = |w%u = )?)?(\w+)\(', tape)) | {"memory_clone", "memory_copy"}
    assert len(calls) > 35, sorted(calls)
    for name in ("ref.h", "table.h"):
        text = (folder / "program" / name).read_text()
        missing = [call for call in sorted(calls) if not re.search(rf"\b{call}\(", text)]
        assert not missing, f"{name} has no {missing}"


# ---------------------------------------------------------------- findings, with a shrink of our own

PLACE_IS_THE_INPUT = "for last; do :; done; printf 'R5-grow-limit\\t%s\\n' \"$(cat \"$last\")\""


@contextlib.contextmanager
def shrink_that(root, does):
    """A shell script in shrink's place, or none; the other tools fail."""
    path = pathlib.Path(root) / "shrink"
    if does is not None:
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)
    false = pathlib.Path("/bin/false")
    with unittest.mock.patch.multiple(findings, SHRINK=path, REPLAY=false, REPRODUCER=false, TRACED=false):
        yield


def plan_of(**more):
    return types.SimpleNamespace(**({"environment": lambda **names: dict(os.environ, **names), "subject": "",
                                     "targets": ["memory_fuzzer"], "engines": ("libfuzzer",), "time_s": 1000,
                                     "jobs": 1, "seed": 1, "empty": True, "build": lambda: None, "strategies": []} | more))


def run_of(root):
    return types.SimpleNamespace(path=report.Run.path.__get__(types.SimpleNamespace(dir=pathlib.Path(root))))


def store_with(root, hint, *inputs):
    """A store that has processed these inputs."""
    store = findings.Store(plan_of(), pathlib.Path(root))
    for number, data in enumerate(inputs):
        path = pathlib.Path(root) / f"kept-{number}"
        path.write_bytes(data)
        store.add("memory_fuzzer", "libfuzzer", path, hint, 1.0, 10)
    store.end()
    return store


def test_what_cannot_be_named_stays_a_finding(root):
    with shrink_that(root, None):
        kept = store_with(root, "R5-grow-limit", b"\x10\x00").all()
    assert [found.oracle for found in kept] == ["R5-grow-limit"], kept
    assert (kept[0].folder / kept[0].input).read_bytes() == b"\x10\x00" and "shrink" in kept[0].problem
    run = types.SimpleNamespace(dir=pathlib.Path(root), name="x")
    shown = page.finding_section(run, kept[0], types.SimpleNamespace(plan=plan_of()))
    assert "It is incomplete" in "".join(inner.text for inner in shown.sections)


REPLAYED = """finding: R5-grow-result
  at operation 2 of 2: T0 memory_grow m1 pages:1
  expected the old size 0, got 1
  rule R5 grow-limit: growth succeeds up to min(max, 65,536) (ref/README.md)
pagebox-ops 1 memory_fuzzer
T0 memory_create m1 strategy:reserve min:0 max:1
  this is no line of it
"""


def test_a_finding_says_what_was_expected_and_how_to_see_it_again(root):
    facts = findings.told(REPLAYED)
    assert facts == {"at": "at operation 2 of 2: T0 memory_grow m1 pages:1",
                     "difference": "expected the old size 0, got 1"}, facts
    assert findings.told("finding: timeout\n") == {"at": None, "difference": None}
    folder = pathlib.Path(root) / "f"
    folder.mkdir()
    (folder / "finding.ops").write_text("pagebox-ops 1 memory_fuzzer\n# why\nT0 memory_create m1 strategy:reserve\n"
                                        "T0 memory_grow m1 pages:1\n")
    facts |= {"oracle": "R5-grow-result", "target": "memory_fuzzer", "engine": "afl", "seconds": 1.0}
    one = findings.Finding(folder, facts)
    plan = plan_of(subject="/a b/mine.so", strategies=["mine"])
    told = "\n".join(page.told(plan, one, "results/x"))
    assert "strategy:mine\n" in told and "pages:1      <-- broken here" in told, told
    assert "Expected the old size 0, got 1." in told and "The rule: R5 grow-limit: " in told, told
    assert "INPUT=results/x/finding.ops TARGET=memory_fuzzer SUBJECT='/a b/mine.so'" in told, told


def test_every_rule_that_an_oracle_names_has_a_sentence(root):
    named = set()
    for path in (report.REPO / "fuzz").rglob("*.c"):
        named |= set(re.findall(r'"R(\d+)-[a-z]', path.read_text()))
    assert len(named) > 30 and named <= set(map(str, rules.rules())), named - set(map(str, rules.rules()))
    assert rules.sentence("R33-capacity").startswith("R33 capacity: ") and rules.sentence("crash") is None


def test_only_a_hang_that_a_replay_ends_is_dropped(root):
    for says, hint, names in (("the input breaks nothing here", "timeout", []),
                              ("cannot start a process", "timeout", ["timeout"]),
                              ("the input breaks nothing here", "crash", ["crash"])):
        folder = pathlib.Path(root) / f"{hint}-{len(says)}"
        folder.mkdir()
        with shrink_that(folder, f"echo 'shrink: {says}' >&2; exit 2"):
            kept = store_with(folder, hint, b"1").all()
        assert [found.oracle for found in kept] == names, (says, hint, kept)


def test_one_without_a_place_counts_with_its_like(root):
    with shrink_that(root, PLACE_IS_THE_INPUT):
        kept = store_with(root, "crash", b"ref/a.c:1", b"", b"ref/b.c:2").all()
    assert [(found.place, found.seen) for found in kept] == [("ref/a.c:1", 2), ("ref/b.c:2", 1)], kept


def test_a_signals_handler_may_ask_while_the_run_does(root):
    store = findings.Store(None, pathlib.Path(root))
    with store.lock:
        assert store.lock.acquire(blocking=False)


def test_a_tool_has_a_session_of_its_own(root):
    program = "import os; print(os.getsid(0) == os.getpid())"
    assert processes.answer([sys.executable, "-c", program], None, 60)[:2] == (0, "True\n")


def gone(pipe):
    """Whether the last process that holds the other end has ended."""
    os.close(pipe[1])
    return bool(select.select([pipe[0]], [], [], 600)[0])


def test_a_tool_that_takes_too_long_ends_with_what_it_started(root):
    pipe = os.pipe()
    status = processes.answer(["sh", "-c", "sleep 1000 & wait"], None, 0.5, pass_fds=pipe[1:])[0]
    assert status is None and gone(pipe)


def test_a_tool_ends_with_the_run(root):
    pipe = os.pipe()
    program = ("import sys; sys.path.insert(0, sys.argv[1]); from pagebox.common import processes; "
               "processes.answer(['sh', '-c', 'echo >/dev/fd/$0; exec sleep 1000', sys.argv[2]], None, 1000, "
               "pass_fds=[int(sys.argv[2])])")
    child = subprocess.Popen([sys.executable, "-c", program, SCRIPTS, str(pipe[1])], pass_fds=pipe[1:])
    os.read(pipe[0], 1)
    child.kill()
    child.wait()
    assert gone(pipe)


def put(folder, data):
    """A finding as a killed run leaves it; without its input if there is no data."""
    folder.mkdir(parents=True)
    facts = {"target": "memory_fuzzer", "engine": "afl", "input": "input", "hint": "crash", "seconds": 1.0,
             "executions": 7, "oracle": "", "place": "", "seen": 1}
    (folder / "finding.json").write_text(json.dumps(facts))
    if data:
        (folder / "input").write_bytes(data)


def test_a_recovery_that_was_interrupted_is_done_again(root):
    folder = pathlib.Path(root) / "results/fuzz/.20260101T000000Z-abcdef0.tmp"
    put(folder / "found-before/1/new/a", b"ref/a.c:1")
    put(folder / "found-before/1/new/b", None)
    put(folder / "findings/new/c", b"ref/c.c:3")
    facts = {"targets": ["memory_fuzzer"], "engines": ["afl"], "time_s": 5, "subject": "", "commit": "abcdef0",
             "dirty": False}
    said = io.StringIO()
    with shrink_that(root, PLACE_IS_THE_INPUT), unittest.mock.patch.object(fuzz_run, "Plan", lambda given: plan_of()), \
            contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        assert fuzz_run.recover(folder, facts) == 2
    latest = folder.parent / "latest"
    places = {found.place for found in findings.read_all(latest / "findings")}
    assert places == {"ref/a.c:1", "ref/c.c:3"}, places
    assert "left where it is" in said.getvalue() and list(latest.glob("found-before/1/new/b/finding.json"))


def test_seeds_are_packed_while_the_working_corpus_is_copied_to(root):
    corpus = pathlib.Path(root) / "corpus/memory_fuzzer"
    (corpus / "folder").mkdir(parents=True)
    (corpus / ".0123.Xy12").write_bytes(b"half")
    (corpus / "4567").write_bytes(b"whole")
    (corpus / "gone").symlink_to("nothing")
    with unittest.mock.patch.dict(os.environ, PAGEBOX_CORPUS=str(corpus.parent)), \
            unittest.mock.patch.object(corpora, "seeds", lambda target: []):
        fuzz_run.pack_seeds(plan_of(empty=False), run_of(root), None, "memory_fuzzer")
    packed = sorted(path.name for path in (pathlib.Path(root) / "raw/memory_fuzzer-seeds").iterdir())
    assert packed == ["empty", "working-4567"], packed


def test_an_engine_that_is_not_started_again_says_so(root):
    store = types.SimpleNamespace(add=lambda *all: None)
    engine = fuzzers.LibFuzzer(plan_of(), run_of(root), store, "memory_fuzzer", "libfuzzer", 1)
    engine.began, engine.starts = time.monotonic(), fuzzers.RESTARTS_MAX + 1
    (engine.folder / "log-21.txt").write_text("finding: R5-grow-limit\n")
    (engine.folder / "artifacts-21").mkdir()
    (engine.folder / "artifacts-21/crash-1").write_bytes(b"1")
    engine.gather({"log": engine.folder / "log-21.txt", "artifacts": engine.folder / "artifacts-21"})
    assert re.fullmatch(r"stopped after 21 findings, \d+ s unused; RULES_OFF=R5-grow-limit looks past it",
                        engine.problem), engine.problem


FULL = """
import resource, signal, sys
sys.path.insert(0, {scripts!r})
from pagebox.common import report
from pagebox.fuzz import fuzzers, run
class Full(fuzzers.Fuzzer):
    def launch(self, seconds):
        with open(self.folder / "log", "wb") as log:
            print(self.spawn(["sleep", "1000"], log).pid)
    def look(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        (self.folder / "more").write_text("x" * 1000)
    def corpus(self):
        return self.folder / "corpus"
fuzzers.KINDS = {{"libfuzzer": Full}}
run.Plan.check_tools = run.Plan.build = run.Plan.meet_subject = lambda self: None
in_repo = report.Run
report.Run = lambda kind: in_repo(kind, {root!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.argv = ["fuzz.py", "TIME=100", "TARGET=memory_fuzzer", "ENGINE=libfuzzer", "EMPTY=1"]
sys.exit(run.main())
"""


def test_no_room_ends_the_run_and_keeps_what_it_has(root):
    """A limit on file sizes stands in for a full disk, as in test_report.py."""
    program = FULL.format(scripts=SCRIPTS, root=root)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done
    assert "the run ends here: [Errno 27]" in done.stderr and "the raw data is in" in done.stderr, done
    assert not pathlib.Path(f"/proc/{int(done.stdout)}").exists(), "the engine runs on"
