"""Tests of the gate but for its statistics: comparing counts, waivers, verdicts, exit statuses, the
store of the calibration, the history, JUnit."""
import datetime
import json
import pathlib
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

import gate_behaviour
import gate_build
import gate_calibrate
import gate_counts
import gate_history
import gate_report
import gate_time
import report

GATE = report.REPO / "scripts" / "gate.py"
TODAY = datetime.date(2030, 1, 2)


def verdicts(base, head, waivers=()):
    items = gate_counts.compare({"row": base}, {"row": head}, waivers, TODAY)
    return {i["metric"]: i["verdict"] for i in items}


def one_more_of_an_exact_count_blocks(_root):
    for metric in ("page_faults", "vmas", "voluntary_switches", "locked", "syscall:mmap"):
        assert verdicts({metric: 7}, {metric: 8}) == {metric: "regression"}
        assert verdicts({metric: 8}, {metric: 7}) == {metric: "improvement"}
        assert verdicts({metric: 8}, {metric: 8}) == {metric: "pass"}


def instructions_have_one_per_cent(_root):
    assert verdicts({"instructions": 1000}, {"instructions": 1010})["instructions"] == "pass"
    assert verdicts({"instructions": 1000}, {"instructions": 1011})["instructions"] == "regression"
    assert verdicts({"instructions": 1000}, {"instructions": 989})["instructions"] == "improvement"


def resident_bytes_have_their_spread(_root):
    spread = gate_counts.RESIDENT_TOLERANCE_BYTES
    assert verdicts({"resident_bytes": 0}, {"resident_bytes": spread})["resident_bytes"] == "pass"
    assert (
        verdicts({"resident_bytes": 0}, {"resident_bytes": spread + 1})["resident_bytes"]
        == "regression"
    )


def a_new_system_call_blocks_by_its_name(_root):
    found = verdicts({"syscall:mprotect": 2}, {"syscall:madvise": 2})
    assert found == {"syscall:mprotect": "improvement", "syscall:madvise": "regression"}


def a_count_of_one_side_only_is_an_error(_root):
    try:
        verdicts({"instructions": 5}, {})
    except gate_counts.CountError as error:
        assert "instructions" in str(error)
        return
    raise AssertionError("a missing count passed")


def a_broken_counter_is_an_error(_root):
    gate_counts.check_control(dict(gate_counts.CONTROL), "base")
    for metric in gate_counts.CONTROL:
        try:
            gate_counts.check_control(gate_counts.CONTROL | {metric: 0}, "base")
        except gate_counts.CountError:
            continue
        raise AssertionError(f"a control without {metric} passed")


def write_waivers(root, text):
    path = pathlib.Path(root) / "waivers"
    path.write_text(text)
    return gate_counts.read_waivers(path)


def a_waiver_allows_what_it_names_and_no_more(root):
    waivers, faults = write_waivers(
        root, "# comment\n2030-02-01 r* syscall:* +2 guard pages come back\n"
    )
    assert not faults
    assert verdicts({"syscall:mmap": 1}, {"syscall:mmap": 3}, waivers)["syscall:mmap"] == "pass"
    assert (
        verdicts({"syscall:mmap": 1}, {"syscall:mmap": 4}, waivers)["syscall:mmap"] == "regression"
    )
    assert verdicts({"vmas": 1}, {"vmas": 2}, waivers)["vmas"] == "regression"
    item = gate_counts.compare(
        {"row": {"syscall:mmap": 1}}, {"row": {"syscall:mmap": 2}}, waivers, TODAY
    )[0]
    assert item["waiver"] == "guard pages come back"


def waivers_that_expired_or_did_nothing_are_told(root):
    waivers, _ = write_waivers(root, "2029-12-31 row vmas +5 old\n2030-02-01 row vmas +5% other\n")
    assert verdicts({"vmas": 1}, {"vmas": 2}, waivers[:1])["vmas"] == "regression"
    notes = gate_counts.waiver_notes(waivers, TODAY)
    assert "expired on 2029-12-31" in notes[0] and "not needed" in notes[1]
    assert verdicts({"vmas": 100}, {"vmas": 105}, waivers)["vmas"] == "pass"
    assert len(gate_counts.waiver_notes(waivers, TODAY)) == 1


def what_is_no_waiver_is_a_fault(root):
    _, faults = write_waivers(
        root, "2030-02-01 row vmas 5 no plus\n2030-13-01 row vmas +5 no month\nrow\n"
    )
    assert len(faults) == 3, faults


def pairs_of(centre, count, spread=0.01, seed=1):
    import math

    chance = random.Random(seed)
    return [
        gate_time.Pair(1000.0, 1000 * math.exp(chance.gauss(centre, spread))) for _ in range(count)
    ]


def judged(pairs, kind="alone", calibrated=None):
    return gate_time.judge({"row": pairs}, {"row": kind}, calibrated or {})[0]


def times_are_judged(_root):
    assert judged(pairs_of(0, 20))["verdict"] == "pass"
    assert judged(pairs_of(0.1, 20))["verdict"] == "regression"
    assert judged(pairs_of(-0.1, 20))["verdict"] == "improvement"
    assert judged(pairs_of(0.1, 5))["verdict"] == "inconclusive"
    assert judged(pairs_of(0.03, 20))["verdict"] == "pass"  # significant, and below the threshold
    assert judged(pairs_of(0.1, 20), calibrated={"row": 0.2})["verdict"] == "pass"


def rows_of_two_threads_block_at_twice_the_time(_root):
    assert judged(pairs_of(0.6, 20), "sleeper")["verdict"] == "pass"
    assert judged(pairs_of(0.8, 20), "spinners")["verdict"] == "regression"


def dropped_pairs_do_not_count(_root):
    bad = pairs_of(3, 20)
    for pair in bad:
        pair.dropped = "steal"
    item = judged(pairs_of(0, 20) + bad)
    assert (item["verdict"], item["pairs"], item["dropped"]) == ("pass", 20, 20)
    assert judged(bad)["verdict"] == "inconclusive"


def a_suspect_has_to_show_again(_root):
    for centre, wanted in ((0.1, "regression"), (0.0, "pass")):
        first = judged(pairs_of(0.1, 20))
        gate_time.settle([first], [judged(pairs_of(centre, 20, seed=2))])
        assert first["verdict"] == wanted and "again" in first
    first = judged(pairs_of(0.1, 20))
    gate_time.settle([first], [judged(pairs_of(0.1, 4))])
    assert first["verdict"] == "inconclusive"


def the_beginner_of_pairs_is_balanced(_root):
    sampler = gate_time.Sampler("base", "head", {"row": "alone"}, 3)
    first = [sampler.turns("row") for _ in range(40)]
    assert sum(turn[0] for turn in first) == 20
    assert all(
        sum(turn) == gate_time.PROCESSES and len(turn) == 2 * gate_time.PROCESSES for turn in first
    )


def nothing_done_is_no_pass(_root):
    assert gate_report.overall([], []) == "inconclusive"
    good = {"verdict": "pass"}
    assert gate_report.overall([good], ["counts"]) == "pass"
    assert gate_report.overall([good, {"verdict": "inconclusive"}], ["counts"]) == "inconclusive"
    assert (
        gate_report.overall([{"verdict": "inconclusive"}, {"verdict": "regression"}], [])
        == "regression"
    )


def findings_of_behaviour_block(_root):
    step = gate_behaviour.Step("replay", ["true"], 1)
    clean = gate_behaviour.outcome(step, 0, 1, "12 inputs, 0 findings, 0 not readable\n")
    assert gate_behaviour.item(clean)["verdict"] == "pass"
    found = gate_behaviour.outcome(step, 1, 1, "finding: R5-grow-limit\n12 inputs, 1 findings\n")
    item = gate_behaviour.item(found)
    assert item["verdict"] == "regression" and item["findings"] == ["finding: R5-grow-limit"]
    # A replay of nothing, and a step that could not run, are no pass.
    assert gate_behaviour.item(gate_behaviour.outcome(step, 0, 1, ""))["verdict"] == "regression"
    assert (
        gate_behaviour.item(gate_behaviour.outcome(step, 2, 1, "no such file"))["verdict"]
        == "regression"
    )


def a_search_without_an_end_is_no_finding(_root):
    step = gate_behaviour.Step("verify", ["true"], 1, bounded=True)
    ended = gate_behaviour.outcome(
        step, 1, 1, "10 of 15 scenarios searched to the end, 0 findings."
    )
    assert gate_behaviour.item(ended)["verdict"] == "pass"
    ended = gate_behaviour.outcome(
        step, 1, 1, "10 of 15 scenarios searched to the end, 1 findings."
    )
    assert gate_behaviour.item(ended)["verdict"] == "regression"


def junit_is_xml_whatever_was_found(_root):
    items = gate_counts.compare({"a<b": {"vmas": 1}}, {"a<b": {"vmas": 2}}, [], TODAY)
    items.append(judged(pairs_of(0, 3)))
    suites = xml.fromstring(gate_report.junit(items, 1.0, ["bell \a & <tag>"]))
    counts = suites.find("testsuite[@name='gate.counts']")
    assert counts.get("failures") == "1" and counts.find("testcase/failure") is not None
    assert suites.find("testsuite[@name='gate.time']").get("skipped") == "1"


def the_screen_says_the_verdict_first(_root):
    items = gate_counts.compare({"row": {"vmas": 1}}, {"row": {"vmas": 2}}, [], TODAY)
    lines = gate_report.screen("regression", "this against that", items, [], None).splitlines()
    assert lines[0] == "gate: REGRESSION: this against that"
    assert any("vmas" in line and "1 -> 2" in line for line in lines)


def sessions_are_appended_and_a_cut_one_is_left_out(root):
    folder = pathlib.Path(root)
    for number in range(3):
        gate_calibrate.add(folder, {"kind": "same", "number": number})
    path = folder / "sessions.jsonl.gz"
    whole = path.read_bytes()
    assert [r["number"] for r in gate_calibrate.stored(folder)] == [0, 1, 2]
    path.write_bytes(whole[:-7])
    assert [r["number"] for r in gate_calibrate.stored(folder)] == [0, 1]
    gate_calibrate.add(folder, {"kind": "same", "number": 2})
    assert path.read_bytes() == whole


def another_machines_calibration_is_refused(root):
    machine = report.machine()
    other = machine | {"kernel": "another"}
    assert gate_calibrate.differs(machine, machine) == []
    assert gate_calibrate.differs(machine, other) == ["kernel"]
    assert gate_calibrate.machine_id(machine) == gate_calibrate.machine_id(other)
    home = gate_calibrate.HOME
    try:
        gate_calibrate.HOME = pathlib.Path(root)
        folder = gate_calibrate.open_store(machine)
        text = json.dumps({"machine": machine, "rows": {"row": 0.1}})
        (folder / "thresholds.json").write_text(text)
        assert gate_calibrate.thresholds(machine) == {"row": 0.1}
        assert gate_calibrate.thresholds(other) == {}
        try:
            gate_calibrate.open_store(other)
        except SystemExit as end:
            assert end.code == 2
        else:
            raise AssertionError("another machine's data was taken")
    finally:
        gate_calibrate.HOME = home


def sessions_of(count, shift, seed):
    pairs = lambda n: [
        [p.base_ns, p.head_ns, ""] for p in pairs_of(shift, 20, 0.02, seed * 100 + n)
    ]
    return [{"kind": "same", "pairs": {"row": pairs(n)}} for n in range(count)]


def the_calibration_counts_what_is_there(_root):
    kinds = {"row": "alone"}
    frozen = gate_calibrate.freeze(sessions_of(20, 0, 1), kinds)
    assert 0.05 <= frozen["row"] < 0.06
    assert gate_calibrate.rates(sessions_of(20, 0, 2), kinds, frozen)[1:3] == (0, 0)
    assert gate_calibrate.rates(sessions_of(20, 0.18, 3), kinds, frozen)[3]["row"] == 20


def the_history_outlives_a_broken_line(root):
    path = pathlib.Path(root) / "h.jsonl"
    entry = {"commit": "abcdef012345", "machine": "m", "rows": {"row": {"time": 5.0}}}
    path.write_text(json.dumps(entry) + "\n{cut\n" + json.dumps(entry) + "\n")
    entries = gate_history.read(path)
    assert gate_history.series(entries, "row", "time") == [("abcdef0", 5.0)] * 2


def run_gate(*arguments, cwd=report.REPO):
    command = [sys.executable, str(GATE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60)


def wrong_usage_is_told(_root):
    for arguments, words in (
        (["run"], "BASE=<revision>"),
        (["run", "--base", "no-such-revision"], "is no commit"),
        (["run", "--base", "--help"], "expected one argument"),
        (["run", "--base", "HEAD", "--filter", "("], "no regular expression"),
        (["run", "--base", "HEAD", "--time", "x"], "invalid"),
        (["run", "--base", "HEAD", "--behaviour", "maybe"], "0 or 1"),
        (["calibrate", "--filter", "("], "no regular expression"),
        (["selftest", "--only", "("], "no regular expression"),
        (["trend", "--history", "/nonexistent/h"], "no history"),
        ([], "required"),
    ):
        done = run_gate(*arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)


def equal_sources_give_equal_programs(root):
    home = pathlib.Path(root)
    sides = [gate_build.prepare(name, gate_build.from_work_tree, home) for name in ("base", "head")]
    assert gate_build.same_code(*sides)
    again = gate_build.link(sides[0], 5), gate_build.link(sides[1], 5)
    assert again[0].read_bytes() == again[1].read_bytes() != sides[0].program().read_bytes()


def a_change_of_interface_is_inconclusive(root):
    def fill(folder):
        gate_build.from_work_tree(folder)
        for path in folder.glob("ref/*.[ch]"):  # consistently, so that ref/ itself still compiles
            path.write_text(path.read_text().replace("pb_memory_grow", "pb_memory_grow_by"))

    try:
        gate_build.prepare("base", fill, pathlib.Path(root))
    except gate_build.Inconclusive as error:
        assert "interface" in str(error)
        return
    raise AssertionError("a renamed function was no change of interface")


def a_base_that_does_not_compile_is_told(root):
    def fill(folder):
        gate_build.from_work_tree(folder)
        (folder / "ref" / "lock.c").write_text("this is no C\n")

    try:
        gate_build.prepare("base", fill, pathlib.Path(root))
    except gate_build.Unbuildable as error:
        assert "ref/ of base does not compile" in str(error)
        return
    raise AssertionError("nonsense compiled")


def workflows_run_only_what_is_here(_root):
    """Every step is scripts/setup with a target that exists, or prepares or shows what that needs."""
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


TESTS = [
    workflows_run_only_what_is_here,
    one_more_of_an_exact_count_blocks,
    instructions_have_one_per_cent,
    resident_bytes_have_their_spread,
    a_new_system_call_blocks_by_its_name,
    a_count_of_one_side_only_is_an_error,
    a_broken_counter_is_an_error,
    a_waiver_allows_what_it_names_and_no_more,
    waivers_that_expired_or_did_nothing_are_told,
    what_is_no_waiver_is_a_fault,
    times_are_judged,
    rows_of_two_threads_block_at_twice_the_time,
    dropped_pairs_do_not_count,
    a_suspect_has_to_show_again,
    the_beginner_of_pairs_is_balanced,
    nothing_done_is_no_pass,
    findings_of_behaviour_block,
    a_search_without_an_end_is_no_finding,
    junit_is_xml_whatever_was_found,
    the_screen_says_the_verdict_first,
    sessions_are_appended_and_a_cut_one_is_left_out,
    another_machines_calibration_is_refused,
    the_calibration_counts_what_is_there,
    the_history_outlives_a_broken_line,
    wrong_usage_is_told,
    equal_sources_give_equal_programs,
    a_change_of_interface_is_inconclusive,
    a_base_that_does_not_compile_is_told,
]
