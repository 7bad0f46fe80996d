"""Tests of the gate without its statistics: comparing counts, waivers, verdicts, exit statuses, the store of the
calibration, the history, JUnit."""
import contextlib
import datetime
import functools
import io
import json
import os
import pathlib
import random
import re
import select
import subprocess
import sys
import types
import xml.etree.ElementTree as xml
from unittest import mock

from pagebox.gate import run as gate_run
from pagebox.gate import behaviour
from pagebox.gate import building
from pagebox.gate import calibrate
from pagebox.gate import counting
from pagebox.gate import history
from pagebox.common import processes
from pagebox.gate import page
from pagebox.gate import pairing
from pagebox.common import report

GATE = report.REPO / "scripts" / "gate.py"
TODAY = datetime.date(2030, 1, 2)


def verdicts(base, head, waivers=()):
    items = counting.compare({"row": base}, {"row": head}, waivers, TODAY)
    return {i["metric"]: i["verdict"] for i in items}


def test_one_more_of_an_exact_count_blocks(root):
    for metric in ("page_faults", "vmas", "voluntary_switches", "locked", "syscall:mmap"):
        assert verdicts({metric: 7}, {metric: 8}) == {metric: "regression"}
        assert verdicts({metric: 8}, {metric: 7}) == {metric: "improvement"}
        assert verdicts({metric: 8}, {metric: 8}) == {metric: "pass"}


def test_instructions_have_one_per_cent(root):
    assert verdicts({"instructions": 1000}, {"instructions": 1010})["instructions"] == "pass"
    assert verdicts({"instructions": 1000}, {"instructions": 1011})["instructions"] == "regression"
    assert verdicts({"instructions": 1000}, {"instructions": 989})["instructions"] == "improvement"


def test_resident_bytes_have_their_spread(root):
    spread = counting.RESIDENT_TOLERANCE_BYTES
    assert verdicts({"resident_bytes": 0}, {"resident_bytes": spread})["resident_bytes"] == "pass"
    assert (
        verdicts({"resident_bytes": 0}, {"resident_bytes": spread + 1})["resident_bytes"]
        == "regression"
    )


def test_a_new_system_call_blocks_by_its_name(root):
    found = verdicts({"syscall:mprotect": 2}, {"syscall:madvise": 2})
    assert found == {"syscall:mprotect": "improvement", "syscall:madvise": "regression"}


def test_a_count_of_one_side_only_is_an_error(root):
    try:
        verdicts({"instructions": 5}, {})
    except counting.CountError as error:
        assert "instructions" in str(error)
        return
    raise AssertionError("a missing count passed")


def test_a_broken_counter_is_an_error(root):
    good = counting.CONTROL | {"resident_bytes": 2 * 2**20, "instructions": 5000}
    counting.check_control(good, "base")
    for metric in good:
        missing = {name: count for name, count in good.items() if name != metric}
        for bad in [good | {metric: 0}] + [missing] * (metric != "locked"):
            try:
                counting.check_control(bad, "base")
            except counting.CountError:
                continue
            raise AssertionError(f"a control without {metric} passed")


def test_a_count_that_the_kernel_refuses_is_an_error(root):
    kernel = {"page_faults": 1, "voluntary_switches": 0, "vmas": 0, "resident_bytes": None}
    with mock.patch.multiple(
        counting,
        kernel_counts=lambda *_: dict(kernel),
        system_calls=lambda *_: {},
        instructions=lambda *_: (5, None),
        uncounted=lambda kind: "",
    ):
        assert "locked" not in counting.count_row("p", "row", "sleeper")
        try:
            counting.count_row("p", "row", "alone")
        except counting.CountError as error:
            assert "resident_bytes" in str(error)
            return
    raise AssertionError("a count of None passed")


def test_sleepers_want_two_cores(root):
    assert counting.uncounted("spinners") and not counting.uncounted("alone")
    for cores, counted in (({0}, False), ({0, 1}, True)):
        with mock.patch.object(os, "sched_getaffinity", lambda _, cores=cores: cores):
            assert (counting.uncounted("sleeper") == "") == counted


def test_a_row_that_fails_on_the_head_alone_is_told_apart(root):
    def count_row(program, row, _kind, _inject):
        if (program, row) == ("B", "bad"):
            raise counting.RowFailed("row bad ended with status 3")
        return dict(counting.CONTROL, resident_bytes=2 * 2**20, instructions=5000)

    counts, failed = ({"base": {}, "head": {}} for _ in range(2))
    kinds = {side: {"control": "alone", "bad": "alone", "good": "alone"} for side in counts}
    with mock.patch.object(counting, "count_row", count_row):
        counting.count_sides({"base": "A", "head": "B"}, kinds, counts, failed)
        assert failed == {"base": {}, "head": {"bad": "row bad ended with status 3"}}
        items = counting.compare(*counts.values(), [], TODAY, failed["head"])
        assert {i["name"] for i in items} == {"control", "good"}
        try:
            counting.count_side("B", "head", kinds["head"])
        except counting.RowFailed:
            return
    raise AssertionError("a side alone passed without one of its rows")


def program_of(root, name, body):
    path = pathlib.Path(root) / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_row_that_cannot_be_timed_on_the_head_alone_is_a_regression(root):
    good = program_of(root, "good", "echo '{\"ns\": 1000}'")
    bad = program_of(root, "bad", "[ $2 != row ] || exit 3; echo '{\"ns\": 1000}'")
    side = lambda path: types.SimpleNamespace(program=lambda: path)
    timing = pairing.Comparison(side(good), side(bad), {"row": "alone", "other": "alone"}, {})
    timing.run(1, 0)
    found = {(i["name"], i["metric"]): i for i in timing.items()}
    assert found["row", "row"]["verdict"] == "regression", found
    assert "status 3" in page.change(found["row", "row"])
    assert ("row", "time") not in found and ("other", "time") in found
    both = pairing.Comparison(side(bad), side(bad), {"row": "alone"}, {})
    both.sampler.batches["row"], both.sampler.first["row"] = 5, True  # the head fails first
    try:
        both.run(1, 0)
    except counting.RowFailed:
        return
    raise AssertionError("a row that fails on the base, too, was blamed on the head")


def write_waivers(root, text):
    path = pathlib.Path(root) / "waivers"
    path.write_text(text)
    return counting.read_waivers(path)


def test_a_waiver_allows_what_it_names_and_no_more(root):
    waivers, faults = write_waivers(
        root, "# comment\n2030-02-01 r* syscall:* +2 guard pages come back\n"
    )
    assert not faults
    assert verdicts({"syscall:mmap": 1}, {"syscall:mmap": 3}, waivers)["syscall:mmap"] == "pass"
    assert (
        verdicts({"syscall:mmap": 1}, {"syscall:mmap": 4}, waivers)["syscall:mmap"] == "regression"
    )
    assert verdicts({"vmas": 1}, {"vmas": 2}, waivers)["vmas"] == "regression"
    item = counting.compare(
        {"row": {"syscall:mmap": 1}}, {"row": {"syscall:mmap": 2}}, waivers, TODAY
    )[0]
    assert item["waiver"] == "guard pages come back"


def test_waivers_that_expired_or_did_nothing_are_told(root):
    waivers, _ = write_waivers(root, "2029-12-31 row vmas +5 old\n2030-02-01 row vmas +5% other\n")
    assert verdicts({"vmas": 1}, {"vmas": 2}, waivers[:1])["vmas"] == "regression"
    notes = counting.waiver_notes(waivers, TODAY)
    assert "expired on 2029-12-31" in notes[0] and "not needed" in notes[1]
    assert verdicts({"vmas": 100}, {"vmas": 105}, waivers)["vmas"] == "pass"
    assert len(counting.waiver_notes(waivers, TODAY)) == 1


def test_what_is_no_waiver_is_a_fault(root):
    _, faults = write_waivers(
        root, "2030-02-01 row vmas 5 no plus\n2030-13-01 row vmas +5 no month\nrow\n"
    )
    assert len(faults) == 3, faults


def pairs_of(centre, count, spread=0.01, seed=1):
    import math

    chance = random.Random(seed)
    return [
        pairing.Pair(1000.0, 1000 * math.exp(chance.gauss(centre, spread))) for _ in range(count)
    ]


def judged(pairs, kind="alone", calibrated=None):
    return pairing.judge({"row": pairs}, {"row": kind}, calibrated or {})[0]


def test_times_are_judged(root):
    assert judged(pairs_of(0, 20))["verdict"] == "pass"
    assert judged(pairs_of(0.1, 20))["verdict"] == "regression"
    assert judged(pairs_of(-0.1, 20))["verdict"] == "improvement"
    assert judged(pairs_of(0.1, 5))["verdict"] == "inconclusive"
    assert judged(pairs_of(0.03, 20))["verdict"] == "pass"  # significant, but below the threshold
    assert judged(pairs_of(0.1, 20), calibrated={"row": 0.2})["verdict"] == "pass"


def test_rows_of_two_threads_block_at_twice_the_time(root):
    assert judged(pairs_of(0.6, 20), "sleeper")["verdict"] == "pass"
    assert judged(pairs_of(0.8, 20), "spinners")["verdict"] == "regression"


def test_a_row_that_could_not_see_a_doubling_says_nothing(root):
    for kind, spread, wanted in (
        ("alone", 0.5, "pass"),
        ("alone", 0.9, "inconclusive"),
        ("sleeper", 0.9, "pass"),
        ("sleeper", 2.5, "inconclusive"),
    ):
        item = judged(pairs_of(0, 20, spread, seed=3), kind, {"row": 0.05})
        assert item["verdict"] == wanted, item


def test_dropped_pairs_do_not_count(root):
    bad = pairs_of(3, 20)
    for pair in bad:
        pair.dropped = "steal"
    item = judged(pairs_of(0, 20) + bad)
    assert (item["verdict"], item["pairs"], item["dropped"]) == ("pass", 20, 20)
    assert judged(bad)["verdict"] == "inconclusive"


def test_a_suspect_has_to_show_again(root):
    for centre, wanted in ((0.1, "regression"), (0.0, "pass")):
        first = judged(pairs_of(0.1, 20))
        pairing.settle([first], [judged(pairs_of(centre, 20, seed=2))])
        assert first["verdict"] == wanted and "again" in first
    first = judged(pairs_of(0.1, 20))
    pairing.settle([first], [judged(pairs_of(0.1, 4))])
    assert first["verdict"] == "inconclusive"
    assert pairing.unsettled([judged(pairs_of(0.1, 20))])[0]["verdict"] == "inconclusive"


def test_fewer_rows_are_judged_as_the_whole_family(root):
    pairs = pairs_of(0.1, 9)
    alone = pairing.judge({"row": pairs}, {"row": "alone"}, {})[0]
    among = pairing.judge({"row": pairs}, {"row": "alone"}, {}, family=40)[0]
    assert (alone["verdict"], among["verdict"]) == ("regression", "inconclusive")
    assert abs(among["p"] - 40 * alone["p"]) < 1e-9


def test_the_beginner_of_pairs_is_balanced(root):
    sampler = pairing.Sampler("base", "head", {"row": "alone"}, 3)
    first = [sampler.turns("row") for _ in range(40)]
    assert sum(turn[0] for turn in first) == 20
    assert all(
        sum(turn) == pairing.PROCESSES and len(turn) == 2 * pairing.PROCESSES for turn in first
    )


def test_nothing_done_is_no_pass(root):
    assert page.overall([], []) == "inconclusive"
    good = {"verdict": "pass"}
    assert page.overall([good], ["counts"]) == "pass"
    assert page.overall([good, {"verdict": "inconclusive"}], ["counts"]) == "inconclusive"
    assert (
        page.overall([{"verdict": "inconclusive"}, {"verdict": "regression"}], [])
        == "regression"
    )


def test_findings_of_behaviour_block(root):
    step = behaviour.Step("replay", ["true"], 1)
    clean = behaviour.outcome(step, 0, 1, "12 inputs, 0 findings, 0 not readable\n")
    assert behaviour.item(clean)["verdict"] == "pass"
    found = behaviour.outcome(step, 1, 1, "finding: R5-grow-limit\n12 inputs, 1 finding\n")
    item = behaviour.item(found)
    assert item["verdict"] == "regression" and item["findings"] == ["finding: R5-grow-limit"]
    assert clean.ran and found.ran
    # A replay of no inputs, and a step that could not run, are neither a pass nor a finding.
    for status, text in ((0, ""), (2, "no such file"), (-9, ""), (127, "make: not found")):
        assert not behaviour.outcome(step, status, 1, text).ran, text
    # make exits with 2 whatever the status of its command.
    assert behaviour.outcome(step, 2, 1, "FAIL SB: allowed\nmake: Error 1\n").ran
    unsaid = behaviour.outcome(step, 2, 1, "errors: S03\n44 passed, 1 failed\n")
    assert not unsaid.ran and unsaid.findings == ["errors: S03"]


def test_a_step_that_runs_out_of_time_is_inconclusive(root):
    step = behaviour.Step("replay", ["sh", "-c", "sleep 600 & wait"], 0)
    with mock.patch.object(behaviour, "LIMIT_LEAST_S", 0):
        done = behaviour.run(step, pathlib.Path(root))
    item = behaviour.item(done)
    assert item["verdict"] == "inconclusive" and "did not end within" in item["findings"][0]
    assert page.EXIT[page.overall([item], ["behaviour"])] == 3
    assert counting.head_alone("a", "row a did not end within 120 s")["verdict"] == "inconclusive"
    assert counting.head_alone("a", "row a ended with status 3")["verdict"] == "regression"


def test_a_rule_that_many_inputs_break_is_told_once_with_how_to_see_it(root):
    step = behaviour.Step("replay", [], 1, {"SCHED": "uniform"})
    text = "".join(f"finding: R33-capacity\ncorpus/a{i}.ops: a finding\n" for i in range(8))
    text += "corpus/c.ops: a finding\n12 inputs, 9 findings, 0 not readable\n"
    findings = behaviour.outcome(step, 1, 1, text).findings
    assert findings == [
        "R33-capacity: corpus/a0.ops and 7 more inputs; its operations: SCHED=uniform build/asan/replay corpus/a0.ops",
        "crash: corpus/c.ops; its operations: SCHED=uniform build/asan/replay corpus/c.ops",
    ], findings


def test_equal_machine_code_is_a_pass_at_once(root):
    """Even if behaviour and time were asked for: nothing is run."""
    options = types.SimpleNamespace(behaviour=True, timed=True)
    mine = mock.Mock(items=[], parts=[], notes=[])
    mine.build.side_effect = gate_run.Same
    with mock.patch.object(gate_run, "Gate", lambda _: mine), mock.patch.object(report, "on_interrupt"):
        gate_run.run(options)
    assert not mine.count.called and not mine.behave.called and not mine.sample.called
    assert mine.finish.call_args[0] == ("pass", gate_run.SAME)


def test_steps_look_at_everything_whatever_the_shell_says(root):
    """Switched-off rules or a part of the tests would let anything pass."""
    names = (
        "PAGEBOX_RULES_OFF RULES_OFF SCHED SEED SWARM PARTS ONLY SEEDS ENGINE EMPTY QUICK TARGET"
    )
    names = f"{names} SUBJECT FILTER TIME JOBS MAKEFLAGS ENGINE_TESTS PAGEBOX_SHRINK".split()
    with mock.patch.dict(os.environ, dict.fromkeys(names, "1") | {"LANG": "C"}):
        left = behaviour.environment()
    assert not left.keys() & set(names) and left["LANG"] == "C"


def test_an_interrupt_ends_what_runs_with_its_children(root):
    child = processes.start(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
    watched = os.pidfd_open(int(child.stdout.readline()))
    try:
        with child._waitpid_lock:  # as if wait() were interrupted
            processes.interrupt()
            processes.end(seconds=0)
        assert child.wait() < 0
        ended = select.poll()
        ended.register(watched, select.POLLIN)
        assert ended.poll(600000), "it sleeps on"
    finally:
        child.stdout.close()
        os.close(watched)
        processes.live.discard(child)
        processes.ending = False


def test_a_search_without_an_end_is_no_finding(root):
    step = behaviour.Step("verify", ["true"], 1, bounded=True)
    ended = behaviour.outcome(
        step, 1, 1, "10 of 15 scenarios searched to the end, 0 findings."
    )
    assert behaviour.item(ended)["verdict"] == "pass"
    ended = behaviour.outcome(
        step, 1, 1, "10 of 15 scenarios searched to the end, 1 finding."
    )
    assert behaviour.item(ended)["verdict"] == "regression"


def test_junit_is_xml_whatever_was_found(root):
    items = counting.compare({"a<b": {"vmas": 1}}, {"a<b": {"vmas": 2}}, [], TODAY)
    items.append(judged(pairs_of(0, 3)))
    items[0]["note"] = "only here"
    suites = xml.fromstring(page.junit(items, 1.0, ["bell \a & <tag>"], "regression", ""))
    assert suites.find("testsuite[@name='gate.run']") is None
    counts = suites.find("testsuite[@name='gate.counts']")
    assert counts.get("failures") == "1" and counts.find("testcase/failure") is not None
    assert suites.find("testsuite[@name='gate.time']").get("skipped") == "1"
    assert "only here" in counts.find("testcase/failure").text


def test_a_verdict_of_no_row_is_a_case_of_its_own_in_junit(root):
    passed = [judged(pairs_of(0, 20))]
    for verdict, items, tag in (
        ("error", [], "error"),
        ("interrupted", passed, "error"),
        ("inconclusive", passed, "skipped"),
    ):
        suites = xml.fromstring(page.junit(items, 1.0, [], verdict, "said why"))
        suite = suites.find("testsuite[@name='gate.run']")
        assert suite.find(f"testcase/{tag}").get("message") == "said why"
        counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
        assert counts == ["1", "0", *(("1", "0") if tag == "error" else ("0", "1"))]
    unsure = [judged(pairs_of(0, 3))]  # it has a case of its own
    for verdict, items in (("inconclusive", unsure), ("pass", passed)):
        suites = xml.fromstring(page.junit(items, 1.0, [], verdict, ""))
        assert suites.find("testsuite[@name='gate.run']") is None


def test_the_screen_says_the_verdict_first(root):
    items = counting.compare({"row": {"vmas": 1}}, {"row": {"vmas": 2}}, [], TODAY)
    lines = page.screen("regression", "this against that", items, [], None).splitlines()
    assert lines[0] == "gate: REGRESSION: this against that"
    assert any("vmas" in line and "1 -> 2" in line for line in lines)


def test_the_screen_tells_what_is_to_be_said_of_rows(root):
    items = counting.compare({}, {"new": {"vmas": 1}, "newer": {"vmas": 1}}, [], TODAY)
    items += [counting.remark("old", "regression", "the head alone fails: status 3")]
    two, suspect = judged(pairs_of(0, 20), "sleeper"), judged(pairs_of(0.1, 20))
    pairing.settle([suspect], [judged(pairs_of(0.0, 20, seed=2))])
    shown = page.screen("regression", "", [*items, two, suspect], [], None)
    assert "note: new, newer: only head has this row" in shown
    assert "the head alone fails: status 3" in shown and "suspected, but not again" in shown
    assert re.search(r"could see \+.* with two threads \+", shown), shown


def test_sessions_are_appended_and_a_cut_one_is_left_out(root):
    folder = pathlib.Path(root)
    for number in range(3):
        calibrate.add(folder, {"kind": "same", "number": number})
    path = folder / "sessions.jsonl.gz"
    whole = path.read_bytes()
    assert [r["number"] for r in calibrate.stored(folder)] == [0, 1, 2]
    path.write_bytes(whole[:-7])
    assert [r["number"] for r in calibrate.stored(folder)] == [0, 1]
    calibrate.add(folder, {"kind": "same", "number": 2})
    assert path.read_bytes() == whole


def test_a_damaged_session_before_the_last_is_not_cut_off(root):
    folder = pathlib.Path(root)
    for number in range(3):
        calibrate.add(folder, {"kind": "same", "number": number})
    path = folder / "sessions.jsonl.gz"
    size = path.stat().st_size // 3
    damaged = bytearray(path.read_bytes())
    damaged[size + size // 2] ^= 0xFF
    path.write_bytes(damaged)
    try:
        calibrate.stored(folder)
    except SystemExit as end:
        assert end.code == 2 and path.read_bytes() == damaged
        return
    raise AssertionError("a damaged session was taken for the last")


def test_another_machines_calibration_is_refused(root):
    machine = report.machine()
    other, suite = machine | {"kernel": "another"}, "suite"
    assert calibrate.differs(machine | {"flags": "-O2"}, machine | {"flags": ""}) == []
    slow = machine | {"flags": "-O0"}
    assert calibrate.differs(machine, machine) == []
    assert calibrate.differs(machine, other) == ["kernel"]
    assert calibrate.machine_id(machine) == calibrate.machine_id(other)
    home = calibrate.HOME
    try:
        calibrate.HOME = pathlib.Path(root)
        folder = calibrate.open_store(machine)
        kept = {"machine": machine | {"flags": "-O2"}, "suite": suite, "rows": {"row": 0.1}}
        (folder / "thresholds.json").write_text(json.dumps(kept))
        machine["flags"] = "-O2"
        assert calibrate.thresholds(machine, suite) == ({"row": 0.1}, "")
        for there, what in ((other, "kernel"), (slow, "flags")):
            rows, why = calibrate.thresholds(there, suite)
            assert rows == {} and what in why
        assert calibrate.thresholds(machine, "of another")[0] == {}
        written = (folder / "machine.json").stat().st_mtime_ns
        calibrate.open_store(machine)
        assert (folder / "machine.json").stat().st_mtime_ns == written
        try:
            calibrate.open_store(other)
        except SystemExit as end:
            assert end.code == 2
        else:
            raise AssertionError("another machine's data was taken")
    finally:
        calibrate.HOME = home


def sessions_of(count, shift, seed):
    pairs = lambda n: [
        [p.base_ns, p.head_ns, ""] for p in pairs_of(shift, 20, 0.02, seed * 100 + n)
    ]
    return [{"kind": "same", "pairs": {"row": pairs(n)}} for n in range(count)]


def test_the_calibration_counts_what_is_there(root):
    kinds = {"row": "alone"}
    frozen = calibrate.freeze(sessions_of(20, 0, 1), kinds)
    assert 0.05 <= frozen["row"] < 0.06
    assert calibrate.rates(sessions_of(20, 0, 2), kinds, frozen)[1:3] == (0, 0)
    assert calibrate.rates(sessions_of(20, 0.18, 3), kinds, frozen)[3]["row"] == 20


def test_a_row_that_was_not_measured_has_no_threshold(root):
    assert "other" not in calibrate.freeze(sessions_of(20, 0, 1), ["row", "other"])


def test_counts_are_compared_whatever_a_run_lacks(root):
    run = lambda commit, kind="counts", **counts: {
        "kind": kind,
        "commit": commit,
        "counts": {"row": {"instructions": 9} | counts},
    }
    found = calibrate.counts_found(
        [
            run("a", **{"syscall:mmap": 1}),
            run("a", locked=2, resident_bytes=5),
            run("a", locked=3, resident_bytes=9),
            run("b", vmas=7),
            run("c", vmas=8),  # of another program: not a difference
            run("a", "count:instruction", instructions=99),
        ]
    )
    assert found["counts_unequal"] == ["row locked: [2, 3]", "row syscall:mmap: [0, 1]"], found
    assert found["resident_spread_bytes"] == 4 and found["found_instruction"] == ["row"]


def test_only_the_whole_suite_is_kept(root):
    folder = pathlib.Path(root) / "store"
    folder.mkdir()
    sessions = sessions_of(20, 0, 1) + sessions_of(2, 0.3, 2)
    for number, record in enumerate(sessions):
        kind = "same" if number < 20 else "percent:20"
        more = {"kind": kind, "number": number, "suite": "s", "seconds": 1, "commit": "c"}
        calibrate.add(folder, record | more)
    work = types.SimpleNamespace(
        folder=folder, machine=report.machine(), kinds={"row": "alone"}, suite="s", whole=False
    )
    fresh = functools.partial(report.Run, root=root)
    with mock.patch.object(report, "Run", fresh), contextlib.redirect_stdout(io.StringIO()):
        calibrate.publish(work, "pass")
        assert [p.name for p in folder.iterdir()] == ["sessions.jsonl.gz"]
        work.whole = True
        calibrate.publish(work, "pass")
    assert json.loads((folder / "thresholds.json").read_text())["suite"] == "s"
    assert "2/2 [16, 100]" in (folder / "report.md").read_text()
    plots = [path.read_text() for path in (folder / "plots").iterdir()]
    assert len(plots) == 2 and not any("No plot" in plot for plot in plots)


def test_trends_are_of_commits_in_their_order(root):
    machine = report.machine()
    entry = lambda **more: {"commit": "second", "machine": machine, "rows": {}} | more
    entries = [
        entry(n=1),
        entry(n=2, commit="first"),
        entry(dirty=True),
        entry(commit="gone"),
        entry(machine=machine | {"kernel": "another"}),
        entry(machine="of an older form"),
    ]
    listed = types.SimpleNamespace(stdout=b"first\nsecond\n")
    with mock.patch.object(building, "git", lambda *_: listed):
        kept, left = history.in_order(entries, machine)
    assert [e["n"] for e in kept] == [2, 1]
    assert sorted(left.values()) == [1, 1, 2], left


def test_the_history_outlives_a_broken_line(root):
    path = pathlib.Path(root) / "h.jsonl"
    entry = {"commit": "abcdef012345", "machine": "m", "rows": {"row": {"time": 5.0}}}
    path.write_text(json.dumps(entry) + "\n{cut\n" + json.dumps(entry) + "\n")
    entries = history.read(path)
    assert history.series(entries, "row", "time") == [("abcdef0", 5.0)] * 2


def run_gate(*arguments, cwd=report.REPO):
    command = [sys.executable, str(GATE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=600)


def test_wrong_usage_is_told(root):
    for arguments, words in (
        (["run"], "BASE=<revision>"),
        (["run", "--base", "no-such-revision"], "is not a commit"),
        (["run", "--base", "--help"], "expected one argument"),
        (["run", "--base", "HEAD", "--filter", "("], "not a regular expression"),
        (["run", "--base", "HEAD", "--time", "x"], "invalid"),
        (["run", "--base", "HEAD", "--behaviour", "maybe"], "0 or 1"),
        (["calibrate", "--filter", "("], "not a regular expression"),
        (["selftest", "--only", "("], "not a regular expression"),
        (["trend", "--history", "/nonexistent/h"], "no history"),
        ([], "required"),
    ):
        done = run_gate(*arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)


def test_equal_sources_give_equal_programs(root):
    home = pathlib.Path(root)
    sides = [building.prepare(name, building.from_work_tree, home) for name in ("base", "head")]
    assert building.same_code(*sides)
    again = building.link(sides[0], 5), building.link(sides[1], 5)
    assert again[0].read_bytes() == again[1].read_bytes() != sides[0].program().read_bytes()


def test_a_change_of_interface_is_inconclusive(root):
    def fill(folder):
        building.from_work_tree(folder)
        for path in folder.glob("ref/*.[ch]"):  # consistently, so that ref/ itself still compiles
            path.write_text(path.read_text().replace("pb_memory_grow", "pb_memory_grow_by"))

    try:
        building.prepare("base", fill, pathlib.Path(root))
    except building.Inconclusive as error:
        assert "interface" in str(error)
        return
    raise AssertionError("a renamed function was no change of interface")


def test_a_tree_that_does_not_fit_itself_is_a_set_up_error(root):
    def prepare(name, _fill):
        raise building.Inconclusive(f"does not build against ref/ of {name}")

    library = building.Library.__new__(building.Library)  # without a revision
    mine = types.SimpleNamespace(say=lambda *_: None, under=library)
    with mock.patch.object(building, "prepare", prepare):
        try:
            gate_run.Gate.build(mine)
        except gate_run.SetUp as error:
            assert "ref/ of head" in str(error)
            return
    raise AssertionError("a tree that does not fit itself was compared")


def test_behaviour_runs_whatever_the_counts_say(root):
    """A regression that was found is the verdict, even if something else could not be done."""
    error, worse = counting.CountError("broken"), [{"verdict": "regression"}]
    options = types.SimpleNamespace(behaviour=True, timed=False)
    for raised, items, fault, wanted in (
        (error, [], "", "error"),
        (error, worse, "", "regression"),
        (None, worse, "litmus could not run", "regression"),
        (None, [{"verdict": "pass"}], "litmus could not run", "error"),
        (building.Inconclusive("another interface"), [], "", "inconclusive"),
        (None, [{"verdict": "pass"}], "", None),
    ):
        mine = mock.Mock(items=items, parts=["counts"], notes=[])
        mine.count.side_effect, mine.behave.return_value = raised, fault
        with mock.patch.object(gate_run, "Gate", lambda _, mine=mine: mine), mock.patch.object(
            report, "on_interrupt"
        ):
            gate_run.run(options)
        assert mine.behave.called and mine.finish.call_args[0][0] == wanted, (raised, items)
        said = mine.finish.call_args[0][1]
        assert (raised is None or str(raised) in said) and fault in said


def test_a_base_that_does_not_compile_is_told(root):
    def fill(folder):
        building.from_work_tree(folder)
        (folder / "ref" / "lock.c").write_text("this is no C\n")

    try:
        building.prepare("base", fill, pathlib.Path(root))
    except building.Unbuildable as error:
        assert "ref/ of base does not compile" in str(error)
        return
    raise AssertionError("nonsense compiled")


def test_workflows_run_only_what_is_here(root):
    """Every step is scripts/setup with an existing target, or prepares or shows what that needs."""
    around = (
        "apt-get update -q && apt-get install",
        "sysctl -w vm.mmap_rnd_bits",
        "if [ -f results/",
    )
    help_ = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=report.REPO).stdout
    targets = {line.split()[0] for line in help_.splitlines() if line.startswith("  ")}
    files = sorted((report.REPO / ".github" / "workflows").glob("*.yml"))
    assert len(files) >= 4
    for path in files:
        text = path.read_text()
        steps = re.findall(r"^\s+(?:- )?run: (.*)$", text, re.M)
        assert text.startswith(f"# {path.name}: ") and "permissions:" in text, path
        for step in steps:
            ours = re.match(r"scripts/setup (\S+)", step)
            assert step.startswith(around) or (ours and ours.group(1) in targets), (path, step)
            assert (
                "${{" not in step
            ), f"{path}: an expression in a shell's text can be injected into"
