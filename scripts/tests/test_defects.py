"""Tests of the scoreboard's scripts: patches, marks in a copy, the verdict, the page, bad input."""
import argparse
import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types
import unittest.mock

import pytest

from pagebox.defects import scoreboard
from pagebox.defects import runner
from pagebox.defects import compare
from pagebox.defects import trials
from pagebox.defects import marks
from pagebox.defects import oracles
from pagebox.defects import patchfile
from pagebox.defects import page
from pagebox.defects import verdicts
from pagebox.defects import patchset
from pagebox.defects import censored
from pagebox.defects import subject
from pagebox.defects import planting
from pagebox.defects import witnesses
from pagebox.common import report
from pagebox.common import rules
from pagebox.common import stats

SCOREBOARD = report.REPO / "scripts/defects.py"
CODE = """/* thing.c: a thing. */
#include "os.h"

struct thing {
    int a;
    int b;
};

static int first(int a) {
    if (a > 1) {
        return a;
    } else if (a < 0) {
        return -a;
    }
    return 0;
}

int second(int a,
           int b) {
    int sum = a +
              b;
    return first(sum);
}
"""


def diff(old, new, root, name="ref/thing.c"):
    base = pathlib.Path(root)
    for side, text in (("a", old), ("b", new)):
        (base / side / name).parent.mkdir(parents=True, exist_ok=True)
        (base / side / name).write_text(text)
    command = ["diff", "-U2", f"a/{name}", f"b/{name}"]
    return subprocess.run(command, cwd=base, capture_output=True, text=True).stdout


def patch_of(text):
    return patchfile.Patch(pathlib.Path("x.patch"), {"Kind": "plain"}, "", text)


def marked(root, old, new):
    """The patched text with marks inserted."""
    patch = patch_of(diff(CODE.replace(old, new), CODE, root))
    tree = pathlib.Path(root) / "tree"
    (tree / "ref").mkdir(parents=True)
    (tree / "ref/thing.c").write_text(CODE)
    done = marks.mark(patch, tree)
    return done, (tree / "ref/thing.c").read_text()


def test_header_and_text_are_told_from_the_diff(root):
    path = pathlib.Path(root) / "S1-x.patch"
    path.write_text("Title: a: b\nKind: order\n\nTargets: not a field.\n\n--- a/ref/x.c\n+++ b/ref/x.c\n")
    patch = patchfile.read(path)
    assert patch.head == {"Title": "a: b", "Kind": "order"}, patch.head
    assert patch.files() == ["ref/x.c"] and patch.diff.startswith("--- a/")


def test_targets_and_rules_stand_between_commas_or_spaces_and_exist(root):
    path = pathlib.Path(root) / "mine.patch"
    head = "Title: t\nSeen: s\nRule: R5-grow-limit, R6-grow-atomic\nTargets: {}\nKind: plain\n\n"
    path.write_text(head.format("memory_fuzzer, system_fuzzer") + "--- a/ref/x.c\n+++ b/ref/x.c\n")
    patch = patchfile.read(path)
    assert patch.targets == ["memory_fuzzer", "system_fuzzer"] and patch.rules == ["R5-grow-limit", "R6-grow-atomic"]
    assert patchfile.header_fault(patch, patchfile.FIELDS[:5]) is None
    path.write_text(head.format("memory_fuzer") + "--- a/ref/x.c\n+++ b/ref/x.c\n")
    assert "memory_fuzer: one of" in patchfile.header_fault(patchfile.read(path), patchfile.FIELDS[:5])


def test_oracles_lists_each_name_that_can_be_reported_with_its_file(root, capsys):
    assert oracles.show() == 0
    said = capsys.readouterr().out.splitlines()
    assert any(re.match(r"R16 bulk: .*memory_fuzzer", line) for line in said), said
    assert any(re.match(r" +R16-bulk-check +.*judges/sequence_memory\.c", line) for line in said), said
    listed = [line.split()[0] for line in said if line.startswith("    R")]
    assert len(listed) == len(set(listed)) > 100
    of_rules = {patchfile.rule_number(name) for name in listed}
    assert set(patchfile.rule_texts()) - of_rules == {26}  # reported as R22
    words = {name for patch in patchfile.own() for name in patch.rules}
    titles = {f"R{number}-{title}" for number, (title, _) in patchfile.rule_texts().items()}
    crashes = {name for name in words if re.fullmatch(r"R\d+-(crash|hang|data-race)", name)}
    assert not words - set(listed) - titles - crashes, "no oracle, nor a rule, has such a name"


def test_a_patch_without_a_header_is_accepted_and_must_be_caught(root):
    path = pathlib.Path(root) / "mine.patch"
    path.write_text(diff("a\n", "b\n", root))
    patch = patchfile.read(path)
    assert patch.head == {} and patch.targets == [] and not patch.canary
    assert verdicts.item_of(patch, "libfuzzer", "bytes", 1)["must"]


def test_half_a_header_is_told_what_it_lacks(root):
    half = lambda **head: patchfile.header_fault(patchfile.Patch(None, head, "", ""), ())
    assert "has Title, Kind and no Rule" in half(Title="t", Kind="plain")
    assert half() is None and half(Note="free text") is None and half(Kind="canary") is None
    assert "RULES.md" in half(Rule="R17") and "R17" in half(Rule="R17")
    assert half(Rule="R9-my-own-word") is None


def test_the_last_line_says_why_the_status_is_not_0(root):
    told = runner.why_it_fails(["A", "B"], [], ["C"], [])
    assert told == "status 1: 2 missed, 1 caught on an input that the pristine tree fails on, too", told
    assert runner.why_it_fails([], ["C01"], [], ["D"]) == "status 2: 1 could not be run, 1 of the canaries caught"


def test_a_mark_stands_before_the_statement(root):
    done, text = marked(root, "    return 0;\n", "    return 1;\n")
    assert done and "    PB_DEFECT_REACHED(); return 0;\n" in text, text


def test_a_mark_of_an_else_stands_before_its_if(root):
    done, text = marked(root, "(a < 0)", "(a <= 0)")
    assert done and "    PB_DEFECT_REACHED(); if (a > 1) {\n" in text, text


def test_a_mark_of_a_continued_line_stands_where_it_begins(root):
    done, text = marked(root, "              b;\n", "              a;\n")
    assert done and "    PB_DEFECT_REACHED(); int sum = a +\n" in text, text


def test_no_mark_stands_outside_of_functions(root):
    done, text = marked(root, "    int b;\n", "    long b;\n")
    assert not done and text == CODE


def test_what_stands_behind_a_hunk_is_no_part_of_it(root):
    """A mail's signature, from git format-patch, and anything else that `patch` ignores."""
    text = diff(CODE.replace("return first(sum)", "return 0"), CODE, root)
    (name, *whole), = marks.hunks(text)
    for more in ("-- \n2.39.5\n", "\n@@ junk\n", "--- and more\n"):
        assert marks.hunks(text + more) == [(name, *whole)], more
    other = text.replace("--- a/", "--- old/").replace("+++ b/", "+++ new/")
    assert name == "ref/thing.c" and marks.hunks(other) == [(name, *whole)], other


def test_an_order_is_marked_where_it_is_used(root):
    tree = pathlib.Path(root) / "tree"
    (tree / "ref").mkdir(parents=True)
    (tree / "ref/thing.c").write_text(CODE.replace("return first(sum)", "return first(ORDER_X)"))
    (tree / "ref/orders.h").write_text("#define ORDER_X 2\n")
    patch = patch_of(diff("#define ORDER_X 1\n", "#define ORDER_X 2\n", root, "ref/orders.h"))
    assert marks.mark(patch, tree)
    assert "PB_DEFECT_REACHED(); return first(ORDER_X)" in (tree / "ref/thing.c").read_text()


def test_the_first_mark_counts_whichever_process_made_it(root):
    source, mark = pathlib.Path(root) / "x.c", pathlib.Path(root) / "mark"
    source.write_text('#include "mark.h"\nint main(void) {\n    PB_DEFECT_REACHED();\n}\n')
    subprocess.run(["gcc", f"-I{patchfile.PATCHES}", "-o", f"{root}/x", str(source)], check=True)
    run = lambda: subprocess.run([f"{root}/x"], env={"PB_DEFECT_REACHED_FILE": str(mark)}, check=True)
    run()
    assert mark.read_text() == ""
    mark.write_text("the first")
    run()
    assert mark.read_text() == "the first"


def test_a_mirror_keeps_times_and_drops_what_is_gone(root):
    base, to = pathlib.Path(root) / "base", pathlib.Path(root) / "to"
    (base / "ref").mkdir(parents=True)
    (base / "ref/a").write_text("1")
    planting.mirror(base, to)
    (to / "ref/a").write_text("22")
    (to / "ref/b").write_text("3")
    planting.mirror(base, to)
    assert (to / "ref/a").read_text() == "1" and not (to / "ref/b").exists()
    assert planting.stamp(to / "ref/a") == planting.stamp(base / "ref/a")


def item(name, must, oracle, pristine=None, **more):
    head = {"Rule": "R5-grow-limit R6-grow-atomic"} if must else {"Kind": "canary"}
    patch = patchfile.Patch(pathlib.Path(name + ".patch"), head, "", "")
    made = verdicts.item_of(patch, "libfuzzer", "bytes", 1)
    made |= {"oracle": oracle, "pristine": pristine, "budget_s": 60.0}
    made |= {"caught_s": 1.0 if oracle else None, "target": "t" if oracle else None}
    made["as_named"] = verdicts.is_as_named(oracle, patch.rules) if oracle else None
    return made | more


def test_a_miss_a_caught_canary_a_failing_pristine_and_an_error_each_count(root):
    items = [item("a", True, "R5-x"), item("a", True, None), item("b", True, "R5-x")]
    items += [item("c", False, "R5-x"), item("d", False, None), item("e", True, None, False)]
    items += [item("f", True, None, error="does not apply")]
    assert verdicts.verdict(items) == (["a", "e"], ["c"], ["e"], ["f"])


def test_a_canary_whose_engine_ended_by_itself_is_an_error(root):
    rows = {name: item(name, name == "defect", None) for name in ("canary", "defect")}
    for row in rows.values():
        verdicts.enter(row, trials.Outcome(fault="was killed\nfor memory"), 0.0)
    assert verdicts.verdict(list(rows.values())) == (["defect"], [], [], ["canary"])


def test_a_comparison_misses_what_no_configuration_catches(root):
    items = [item("a", True, "R5-x"), item("a", True, None), item("b", True, None)]
    assert verdicts.verdict(items, configurations=2)[0] == ["b"]


def test_a_name_agrees_with_any_rule_of_the_header(root):
    assert item("a", True, "R6-crash")["as_named"] and not item("a", True, "R16-crash")["as_named"]
    assert verdicts.is_as_named("R5-x", []) is None


def test_the_quick_run_names_each_fault_as_a_test_that_failed(root):
    items = [item("a", True, None), item("b", False, "R5-x"), item("c", False, None, pristine=False)]
    faults = verdicts.verdict(items)
    short = ["missed: a", "caught canaries: b", "pristine fails on: c"]
    assert "".join(runner.told(faults, quick=False)).splitlines() == short
    lines = "".join(runner.told(faults, quick=True)).splitlines()
    assert [line for line in lines if line.startswith("FAIL ")] == [
        "FAIL scoreboard_a: missed", "FAIL scoreboard_b: caught canaries", "FAIL scoreboard_c: pristine fails on"
    ]


OPTIONS = types.SimpleNamespace(
    empty=False, time=None, seeds=1, engines=["libfuzzer"], scheds=["bytes"], quick=False
)


def test_the_page_names_what_was_missed_and_what_was_not_planted(root):
    items = [item("a", True, "R5-x"), item("b", True, None), item("c", False, None)]
    items += [item("d", True, None, error="does not apply", note="does not apply")]
    faults = verdicts.verdict(items)
    summary, rows, sections, title, lead = page.page(items, faults, OPTIONS, 4)
    assert (summary["caught"], summary["missed"], summary["errors"], summary["canaries"]) == (1, 1, 1, 1)
    assert sections[0].title == "Missed" and sections[0].table.rows[0][0] == "b"
    assert sections[1].title == "Errors" and sections[1].table.rows[0][0] == "d"


def test_every_rule_stands_in_the_table_of_rules(root):
    table = page.rules_table([item("a", True, "R5-x")])
    assert [row[0].split()[0] for row in table.rows] == [f"R{n}" for n in sorted(rules.rules())]
    assert not any(row[1] == "none" for row in table.rows), "a rule without a defect or a reason"


# ---------------------------------------------------------------- statistics


def test_survival_counts_what_was_cut_off(root):
    """The textbook example: 6, 6, 6, 7, 10 caught; 6, 9, 10, 11 cut off."""
    drawn = [(6, True)] * 3 + [(6, False), (7, True), (9, False), (10, True), (10, False), (11, False)]
    steps = censored.survival(drawn)
    assert [t for t, _ in steps] == [0, 6, 7, 10]
    wanted = [1, 6 / 9, 6 / 9 * 4 / 5, 6 / 9 * 4 / 5 * 2 / 3]
    assert all(abs(share - w) < 1e-12 for (_, share), w in zip(steps, wanted)), steps
    assert censored.median(drawn) == 10 and censored.median([(1, True), (5, False)] * 2) == 1
    assert censored.median([(5, False)] * 3) is None


def test_a_restricted_mean_is_the_area_below_the_curve(root):
    assert censored.restricted_mean([(2, True), (4, True)], 10) == 3
    assert censored.restricted_mean([(2, True), (10, False)], 10) == 6


def test_the_log_rank_test_agrees_with_a_published_one(root):
    """Remission of leukaemia, 6-MP against placebo (Freireich 1963): chi-square 16.79."""
    treated = [(t, True) for t in (6, 6, 6, 7, 10, 13, 16, 22, 23)]
    treated += [(t, False) for t in (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)]
    placebo = (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)
    p = censored.log_rank([(treated, [(t, True) for t in placebo])])
    assert abs(p - 4.17e-5) < 1e-6, p
    assert censored.log_rank([([(1, False)], [(1, False)])]) is None


def test_the_effect_size_counts_pairs_of_the_same_defect(root):
    fast, slow = [(1, True), (2, True)], [(3, True), (9, False)]
    assert censored.faster([(fast, slow)]) == 1 and censored.faster([(slow, fast)]) == 0
    assert censored.faster([([(9, False)], [(9, False)])]) == 0.5
    assert stats.holm([0.01, None, 0.04]) == [0.02, None, 0.04]


def test_configurations_are_compared_on_the_defects_that_both_ran(root):
    items = [item("a", True, "R5-x"), item("b", True, "R5-x"), item("a", True, None, sched="pct")]
    sections = compare.comparison_sections(items)
    rows = sections[0].table.rows
    assert [row[:3] for row in rows] == [["libfuzzer bytes", "1 of 1", "1 of 1"],
                                         ["libfuzzer pct", "0 of 1", "0 of 1"]], rows
    assert sections[0].sections[1].table.rows[0][1:3] == ["1.00 (1/1)", "more (0/1)"]


def test_several_seeds_show_the_spread_of_seconds_and_executions(root):
    rows = [item("a", True, "R5-x", caught_s=n / 10, executions=1000 * n) for n in (1, 2, 3)]
    table = page.main_table(rows)
    cells = dict(zip(table.columns, table.rows[0]))
    assert cells["caught s"] == "0.20 (0.15 to 0.25)" and cells["executions"] == "2,000 (1,500 to 2,500)", cells
    table = compare.configuration_table({"x": rows})
    cells = dict(zip(table.columns, table.rows[0]))
    assert cells["quartiles executions"] == "1,000 to 3,000", cells


# ---------------------------------------------------------------- bad input


def refused(function, *arguments):
    """The message of the exception, SystemExit's status included."""
    try:
        function(*arguments)
    except (patchfile.PatchError, argparse.ArgumentTypeError, SystemExit) as error:
        return str(error)
    raise AssertionError("was accepted")


def test_a_patch_that_is_none_says_what_is_wanted(root):
    path = pathlib.Path(root) / "mine.patch"
    path.write_text("hello\n")
    assert "patch -p1" in refused(patchfile.read, path)
    path.write_text("Budget: soon\n\n" + diff("a\n", "b\n", root))
    assert "number of seconds" in refused(lambda: patchfile.read(path).budget_s)


def test_a_header_that_says_what_cannot_be_is_refused(root):
    for head in ({"Budget": "inf"}, {"Budget": "-5"}, {"Budget": "0.5"}, {"Budget": "nan"}):
        assert "number of seconds" in refused(lambda: patchfile.Patch(None, head, "", "").budget_s), head
    assert "canary is wanted" in refused(lambda: patchfile.Patch(None, {"Kind": "canery"}, "", "").kind)
    assert patchfile.Patch(None, {}, "", "").kind == "plain"


def test_options_out_of_range_are_refused(root):
    assert "bytes,uniform,pct,pos" in refused(scoreboard.schedules, "pct,fast")
    assert scoreboard.schedules("all") == ["bytes", "uniform", "pct", "pos"]
    for text in ("0", "-1", "0.5", "nan", "inf", "x", "1e12"):
        assert "from 1 on" in refused(scoreboard.positive(float), text), text
    command = [sys.executable, str(SCOREBOARD), "run", "--only", "("]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2 and "not a regular expression" in done.stderr, done


def board_in(root, patches):
    """A board whose copies are not built: make is `true`."""
    options = types.SimpleNamespace(
        target=None, engines=["libfuzzer"], scheds=["bytes"], quick=False, empty=True, seed=1, seeds=1,
        time=1, jobs=1, no_witness=True, work=root
    )
    run = types.SimpleNamespace(dir=pathlib.Path(root), path=lambda name: pathlib.Path(root) / name, final=None)
    board = runner.Board(options)
    board.run = run
    board.base = pathlib.Path(root) / "base"
    (board.base / "ref").mkdir(parents=True)
    (board.base / "ref/thing.c").write_text(CODE)
    (board.base / "Makefile").write_text("%:\n\tgcc -fsyntax-only ref/thing.c\n")
    return board


def test_a_patch_that_does_not_apply_or_compile_is_a_row_of_its_own(root):
    folder, board = pathlib.Path(root) / "mine", None
    folder.mkdir()
    wrong = diff(CODE, CODE.replace("return 0", "return zero"), root)
    (folder / "compiles-not.patch").write_text(wrong)
    (folder / "applies-not.patch").write_text(wrong.replace("    return 0;", "    return 7;"))
    (folder / "no-diff.patch").write_text("Title: nothing\n")
    board = board_in(root, folder)
    (board.base / "ref/thing.c").write_text(CODE.replace('#include "os.h"\n', ""))
    tree = pathlib.Path(root) / "tree"
    said = {}
    for path in sorted(folder.iterdir()):
        runner.board_patch(board, path, tree)
        said[path.stem] = board.items[-1]["error"]
    assert "does not apply" in said["applies-not"], said
    assert "does not build" in said["compiles-not"] and "zero" in said["compiles-not"], said
    assert "no diff" in said["no-diff"], said
    rows = [r | {"name": n} for n, r in zip(said, [item("x", True, None, error="e")] * 3)]
    assert verdicts.verdict(rows)[3] == sorted(said)


def test_a_patch_that_lands_in_a_comment_is_no_defect(root):
    """`patch` drops context lines that do not fit; then one place is as good as another."""
    tree, old = pathlib.Path(root) / "tree", "int second(int a,\n           int b) {\n"
    moved = diff(CODE, CODE.replace(old, old + "    a++;\n"), root)
    board = board_in(root, None)
    comment = "/* second:\n *\n * its head was written anew,\n * and all that stood there\n * is a comment now. */\n"
    now = CODE.replace('#include "os.h"\n', "").replace(old, comment + "int second(int a, int b) {\n")
    (board.base / "ref/thing.c").write_text(now)
    patch = patch_of(moved)
    planting.mirror(board.base, tree)
    said = patchfile.apply(patch, tree)
    assert said is not None and "fuzz" in said, said
    landed = (tree / "ref/thing.c").read_text()
    assert landed.index("/*", 20) < landed.index("a++") < landed.rindex("*/"), landed
    assert planting.plant(board.processes.run, board.base, patch, tree, []) == patchfile.INERT
    fits = patch_of(diff(now, now.replace("return first", "return -first"), root))
    assert planting.plant(board.processes.run, board.base, fits, tree, ["all"]) is None


def test_a_patch_of_other_files_than_the_reference_is_refused(root):
    board, tree = board_in(root, None), pathlib.Path(root) / "tree"
    (board.base / "fuzz" / "judges").mkdir(parents=True)
    (board.base / "fuzz/judges/rule.c").write_text("a\n")
    plant = lambda text: planting.plant(board.processes.run, board.base, patch_of(text), tree, [])
    assert "changes fuzz/judges/rule.c" in plant(diff("a\n", "b\n", root, "fuzz/judges/rule.c"))
    assert "changes tmp/x" in plant("--- /tmp/x\n+++ /tmp/x\n@@ -0,0 +1 @@\n+a\n")
    assert plant("--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+a\n").startswith("does not apply")


def test_nothing_built_before_stands_in_for_a_file_that_is_gone(root):
    board, tree = board_in(root, None), pathlib.Path(root) / "tree"
    (board.base / "Makefile").write_text("%:\n\ttrue\n")
    for name in ("build/libpagebox.a", "ref/other.c"):
        (board.base / name).parent.mkdir(exist_ok=True)
        (board.base / name).write_text("int x;\n")
    gone = "--- a/ref/other.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-int x;\n"
    for text, kept in ((gone, False), (diff(CODE, CODE.replace("return 0", "return 1"), root), True)):
        assert planting.plant(board.processes.run, board.base, patch_of(text), tree, ["all"]) is None
        assert (tree / "build/libpagebox.a").exists() == kept, text


def test_a_target_leaves_out_the_patches_that_it_cannot_see(root):
    text = diff("a\n", "b\n", root)
    for name, head in (("a", "Targets: memory_fuzzer system_fuzzer\n"), ("b", "Targets: mailbox_fuzzer\n"), ("c", "")):
        (pathlib.Path(root) / f"{name}.patch").write_text(f"Title: t\n{head}\n{text}")
    (pathlib.Path(root) / "d.patch").symlink_to("nowhere")  # a row says that it cannot be read
    options = types.SimpleNamespace(quick=False, only="^[a-d]", target="memory_fuzzer")
    names = lambda: [p.stem for p in runner.chosen(options, patchfile.paths_of(root))]
    assert names() == ["a", "c", "d"]
    options.target = None
    assert names() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["upstream", "seeds"])  # seeds: what the folder was called
def test_a_set_refuses_what_it_would_ignore(root, name):
    command = [sys.executable, str(SCOREBOARD), "run", "--defects", f"fuzz/defects/{name}"]
    more = ["--engine", "afl", "--seeds", "2", "--root", root, "--work", root]
    done = subprocess.run(command + more, capture_output=True, text=True, timeout=600, cwd=patchfile.REPO)
    assert done.returncode == 2 and "not ENGINE= SEEDS=" in done.stderr, done


def test_an_interrupt_leaves_a_report(root):
    command = [patchfile.REPO / "scripts/defects.py", "run", "--root", root, "--work", root + "/work"]
    run = subprocess.Popen([*command, "--only", "^S22"], stdout=subprocess.PIPE, text=True)
    first = run.stdout.readline()
    run.send_signal(signal.SIGINT)
    rest = run.communicate()[0]
    assert "1 patches" in first and run.returncode == 130, (first, rest, run.returncode)
    told = json.loads((pathlib.Path(root) / "results/defects/latest/report.json").read_text())
    assert told["status"] == "interrupted" and told["summary"]["not_run"] == 1, told["summary"]
    assert rest.endswith("0 caught, 0 missed\n"), rest


def test_a_run_that_was_killed_leaves_its_rows(root):
    """Its report is made from them; the last line may be cut. A completed run leaves nothing to recover."""
    where = ["--root", root, "--work", root + "/work"]
    make = pathlib.Path(root) / "make"  # during which it is killed
    make.write_text("#!/bin/sh\nexec sleep 60\n")
    make.chmod(0o755)
    command = [SCOREBOARD, "run", *where, "--only", "^S2[1-4]"]
    path = f"{root}:{os.environ['PATH']}"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PATH": path}) as started:
        noted = lambda: pathlib.Path(root).glob(f"results/defects/.*.tmp/{runner.ROWS}")
        while started.poll() is None and not any(path.stat().st_size for path in noted()):
            time.sleep(0.01)
        started.kill()
    (folder,) = (pathlib.Path(root) / "results/defects").glob(".*.tmp")
    with open(folder / runner.ROWS, "a") as file:
        file.write(json.dumps(item("S21", True, "R34-x")) + '\n{"name": "S2')
    recover = lambda: subprocess.run([SCOREBOARD, "recover", *where], capture_output=True, text=True, timeout=600)
    done = recover()
    assert done.returncode == 0 and done.stdout.endswith("1 caught, 0 missed\n"), done
    told = json.loads((pathlib.Path(root) / "results/defects/latest/report.json").read_text())
    assert told["status"] == "interrupted" and [i["name"] for i in told["items"]] == ["S21"], told["items"]
    assert told["summary"]["not_run"] == 3, told["summary"]
    assert "nothing to recover" in recover().stdout and not list(pathlib.Path(root).rglob(runner.ROWS))


SUBJECT_RUN = """import os, pathlib, signal, sys
from pagebox.defects import subject as d
sys.argv[1:] = ["--sources", {sources!r}, "--defects", {defects!r}, "--root", {root!r}, "--quick"]
d.Field.tools = lambda field: None
d.Field.plant = lambda field, patch: (pathlib.Path("x.so"), None)
d.Field.replay = lambda field, subject, target, path: ""
def fuzz(field, subject, target, seed, seconds, folder):
    if not folder.parent.name.startswith("T1-"):  # the folder of the run has a date and a T in its name
        os.kill(os.getpid(), signal.SIGINT)
    return ("R5-grow-limit", pathlib.Path(__file__)), 7, 0.5
d.Field.fuzz = fuzz
d.Field.seeds = lambda field, target: None
sys.exit(d.main())
"""


def test_an_interrupt_leaves_a_report_of_your_own_code(root):
    """The programs are replaced; the second patch is interrupted."""
    home = patchfile.REPO / "fuzz/subjects"
    places = {"sources": str(home), "defects": str(home / "defects/template"), "root": root}
    program = pathlib.Path(root) / "run.py"
    program.write_text(f"import sys\nsys.path.insert(0, {str(patchfile.REPO / 'scripts')!r})\n"
                       + SUBJECT_RUN.format(**places).replace('"--quick"', '"--quick", "--only", "T[123]"'))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 130, done
    told = json.loads((pathlib.Path(root) / "results/defects/latest/report.json").read_text())
    assert told["status"] == "interrupted" and told["summary"]["not_run"] == 2, told["summary"]
    assert [i["oracle"] for i in told["items"]] == ["R5-grow-limit"], told["items"]


def test_a_patch_that_cannot_be_planted_into_your_code_is_no_miss(root):
    given = types.SimpleNamespace(defects="d", sources="s")
    for name, row, status, words in (
        ("caught", item("a", True, "R5-x"), 0, "pass"), ("missed", item("a", True, None), 1, "finding"),
        ("error", item("a", True, None, error="does not build"), 2, "error"),
    ):
        run = report.Run("defects", pathlib.Path(root) / name)
        with contextlib.redirect_stdout(None):
            assert subject.finish(given, run, [row], 1) == status, name
        assert json.loads((run.final / "report.json").read_text())["status"] == words


def test_a_subject_without_sources_and_settings_without_use_are_refused(root):
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    make = ["make", "-s", "-C", str(patchfile.REPO), "defects"]
    for more, said in (["SUBJECT=./mine.so"], "say SUBJECT_SRC="), (["SUBJECT_SRC=x", "JOBS=2"], "not JOBS="):
        done = subprocess.run([*make, "ONLY=^none$$", *more], capture_output=True, text=True, timeout=600, env=clean)
        assert done.returncode == 2 and said in done.stderr, (more, done)


def test_no_setting_of_the_callers_reaches_what_is_run(root):
    names = ("SUBJECT", "RULES_OFF", "PAGEBOX_RULES_OFF", "SCHED", "SEED", "TRACE")
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(names, "of-the-caller"))
    try:
        text = trials.Processes().run(["env"], timeout=600)[1]
        trial = trials.Trial(None, None, "t", "bytes", 3, 1.0, pathlib.Path(root), None)
        made = trial.environment()
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert "PATH=" in text and "of-the-caller" not in text, text
    assert "of-the-caller" not in made.values() and (made["SCHED"], made["SEED"]) == ("bytes", "3"), made


def test_a_seed_is_told_from_a_mutation(root):
    seeds, found = pathlib.Path(root) / "seeds", pathlib.Path(root) / "crash-1"
    seeds.mkdir()
    (seeds / "a").write_bytes(b"one")
    kinds = []
    for data in (b"one", b"two"):
        found.write_bytes(data)
        row = item("x", True, None)
        verdicts.caught(row, trials.Catch("R5-x", 1.0, found), 0.0, seeds)
        kinds.append(row["by"])
    assert kinds == ["seed", "mutation"] and not trials.is_seed(found, None), kinds
    rows = [item("a", True, "R5-x", by="seed"), item("b", True, "R5-x", by="mutation")]
    summary, _, sections, _, lead = page.page(rows, verdicts.verdict(rows), OPTIONS, 2)
    assert (summary["caught_by_a_seed"], summary["caught_by_a_mutation"]) == (1, 1), summary
    assert "an unmodified seed input: 1, by a mutation: 1" in lead and "a mutation" in page.line(rows[1])


def test_triggered_is_shown_where_it_is_marked(root):
    table = lambda rows: next(s for s in page.page(
        rows, verdicts.verdict(rows), OPTIONS, 1)[2] if s.title == "All defects").table
    plain = item("a", True, None)
    assert "triggered s" not in table([plain]).columns and "trigger" not in page.line(plain)
    marked = item("b", True, None, marked=True)
    both = table([plain, marked])
    column = both.columns.index("triggered s")
    assert [row[column] for row in both.rows] == ["not marked", "not triggered"], both.rows
    assert "missed, not triggered" in page.line(marked)
    assert patchfile.Patch(None, {}, "", "+    PB_DEFECT_TRIGGERED();\n").marked
    assert not patch_of("     PB_DEFECT_TRIGGERED();\n").marked


def test_a_set_shows_the_first_input_that_can_be_shrunk(root):
    catches = [trials.Catch("R5-x", 1.0, pathlib.Path(root) / n) for n in "abc"]
    board = types.SimpleNamespace(processes=None, stopping=False)
    shown = lambda: patchset.shown(board, None, "t", catches, pathlib.Path(root), {})
    before, good = witnesses.show, "b"  # the one that can be shrunk
    witnesses.show = lambda processes, tree, target, catch, *rest: witnesses.Witness(
        catch.input.name, catch.input.name == good, "", None)
    try:
        catch, witness, _ = shown()
        assert catch.input.name == witness.operations == "b" and witness.shrunk
        good = "none"
        catch, witness, _ = shown()
        assert catch.input.name == witness.operations == "a" and not witness.shrunk
    finally:
        witnesses.show = before
    text = witnesses.as_found("pagebox-ops 1 t\nT0 x\n", "R5-x", "finding: R6-y\n")
    assert text.splitlines()[1:] == ["# R5-x, not shrunk: on its own it shows R6-y", "T0 x"], text


def test_the_corpus_lacks_seeds_that_are_a_witness(root):
    seeds = patchfile.witness_seeds()
    assert seeds and all((patchfile.REPO / "corpus" / name).is_file() for name in seeds), seeds
    board = board_in(root, None)
    board.options.empty, board.targets = False, [name.split("/")[0] for name in seeds]
    packed = lambda command, **more: [shutil.copy(p, command[3]) for p in pathlib.Path(command[4]).iterdir()]
    board.processes.run = lambda command, **more: packed(command) if "-b" in command else (0, "")
    with unittest.mock.patch.object(runner.builder, "build", lambda *goals, **more: None):
        board.prepare()
    for name in seeds:
        folder = board.seeds(name.split("/")[0])
        assert any(folder.iterdir()) and not (board.work / "seeds" / name).exists(), name


def test_a_full_disk_is_told_of_and_loses_nothing(root):
    """What a run raises where it cannot write, after one row was done."""
    board = board_in(root, None)
    board.items = [item("a", True, "R5-x")]
    board.run = report.Run("defects", root)
    full = OSError(errno.ENOSPC, "No space left on device", "raw/x")
    with open(pathlib.Path(root) / "said", "w") as said, contextlib.redirect_stdout(said), \
            contextlib.redirect_stderr(said):
        status = refused(runner.cut_short, board, 2, None, full)
    text = (pathlib.Path(root) / "said").read_text()
    assert status == "2" and "raw/x: No space left on device" in text and "1 caught" in text, text
    told = json.loads((board.run.final / "report.json").read_text())
    assert told["status"] == "error" and [i["name"] for i in told["items"]] == ["a"]


def test_a_mistake_of_the_scoreboard_itself_loses_nothing(root):
    board = board_in(root, None)
    board.items, board.run = [item("a", True, "R5-x")], report.Run("defects", root)
    with open(pathlib.Path(root) / "said", "w") as said, contextlib.redirect_stdout(said), \
            contextlib.redirect_stderr(said):
        assert refused(runner.cut_short, board, 2, None, KeyError("odd")) == "2"
    assert "KeyError: 'odd'" in (pathlib.Path(root) / "said").read_text()
    told = json.loads((board.run.final / "report.json").read_text())
    assert told["status"] == "error" and [i["name"] for i in told["items"]] == ["a"]


def test_the_subset_for_ci_is_what_every_run_caught_in_the_fewest_executions(root):
    rows = [item("a", True, "R5-x", executions=n) for n in (5, 900)]
    rows += [item("b", True, "R5-x", executions=n) for n in (40, 50)]
    rows += [item("c", True, "R5-x", executions=1), item("c", True, None, executions=1)]
    rows += [item("d", True, "R9-x", executions=1), item("e", False, None)]
    path = pathlib.Path(root) / "report.json"
    path.write_text(json.dumps({"items": rows}))
    best = {name: row["executions"] for name, row, _ in scoreboard.sure(scoreboard.rows_of([path]))}
    assert best == {"a": 900, "b": 50}, best


def test_the_subset_for_ci_names_patches_and_targets_that_exist(root):
    picked = runner.picked()
    names = {path.stem for path in patchfile.paths_of(None)}
    targets = {path.stem for path in (patchfile.REPO / "fuzz" / "targets").glob("*_fuzzer.c")}
    assert picked and picked.keys() <= names and set(picked.values()) <= targets


def test_every_patch_of_the_repository_gets_a_mark_that_compiles(root):
    for patch in map(patchfile.read, patchfile.paths_of(None)):
        tree = pathlib.Path(root) / patch.name
        shutil.copytree(patchfile.REPO / "ref", tree / "ref", ignore=shutil.ignore_patterns("tests"))
        (tree / "fuzz/defects").mkdir(parents=True)
        shutil.copy(patchfile.PATCHES / "mark.h", tree / "fuzz/defects")
        assert patchfile.apply(patch, tree) is not None, f"{patch.name} does not apply"
        assert marks.mark(patch, tree), f"{patch.name}: no place for a mark"
        fault = patchfile.compile_fault(patch, tree)
        assert fault is None, f"{patch.name}: {fault}"
        shutil.rmtree(tree)


def test_long_names_fit_their_column():
    long = "U42-a-name-that-is-longer-than-thirty-four-letters"
    width = page.name_width([long, "S01"])
    item = blank(long)
    assert page.heading(width).index("rule") == page.line(item, width).index("R5-grow-limit")


def test_a_miss_says_what_each_target_had():
    item = blank("S01") | {"executions": 3, "executions_by_target": {"memory_fuzzer": 1, "system_fuzzer": 2}}
    assert "memory_fuzzer 1, system_fuzzer 2" in page.line(item)


def test_a_row_says_how_long_the_target_took_where_others_were_tried_before():
    catch = types.SimpleNamespace(seconds=0.25, input=None, oracle="R5-x")
    alone, second = item("a", True, None), item("a", True, None)
    for row, spent in ((alone, 0), (second, 25)):
        row["target"] = "system_fuzzer"
        verdicts.caught(row, catch, spent, None)
    assert "(system_fuzzer)" in page.line(alone) and alone["caught_s"] == 0.25
    assert "(system_fuzzer after 0.25 s)" in page.line(second) and second["caught_s"] == 25.25


def test_how_many_were_named_right_is_said():
    items = [blank("S01") | {"oracle": "R5-grow-limit", "as_named": True},
             blank("S02") | {"oracle": "R6-grow-atomic", "as_named": True, "rules": ["R5-grow-limit", "R6-grow-atomic"]},
             blank("S03") | {"oracle": "R1-create", "as_named": False}]
    assert page.by_names(items) == "named by a rule of the header: 2 of 3, by the first one: 1"


def blank(name):
    head = {"Rule": "R5-grow-limit", "Kind": "plain"}
    return verdicts.item_of(patchfile.Patch(pathlib.Path(name + ".patch"), head, "", ""), "libfuzzer", "bytes", 1)
