"""Tests of scripts/defects.py: reading patches, marking a copy, refreshing, the verdict."""
import pathlib
import shutil
import subprocess
import types

import defects
import defects_report

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
    return defects.Patch(pathlib.Path("x.patch"), {"Kind": "plain"}, "", text)


def marked(root, old, new):
    """The patched text with marks put into it."""
    patch = patch_of(diff(CODE.replace(old, new), CODE, root))
    tree = pathlib.Path(root) / "tree"
    (tree / "ref").mkdir(parents=True)
    (tree / "ref/thing.c").write_text(CODE)
    done = defects.mark_reached(patch, tree)
    return done, (tree / "ref/thing.c").read_text()


def header_and_text_are_told_from_the_diff(root):
    path = pathlib.Path(root) / "S1-x.patch"
    path.write_text("Title: a: b\nKind: order\n\nTargets: not a field.\n\n--- a/ref/x.c\n+++ b/ref/x.c\n")
    patch = defects.read_patch(path)
    assert patch.head == {"Title": "a: b", "Kind": "order"}, patch.head
    assert patch.files() == ["ref/x.c"] and patch.diff.startswith("--- a/")


def a_patch_without_a_header_is_accepted_and_must_be_caught(root):
    path = pathlib.Path(root) / "mine.patch"
    path.write_text(diff("a\n", "b\n", root))
    patch = defects.read_patch(path)
    assert patch.head == {} and patch.targets == [] and not patch.canary
    assert defects.item_of(patch, "libfuzzer", 1, "bytes")["must"]


def a_mark_stands_before_the_statement(root):
    done, text = marked(root, "    return 0;\n", "    return 1;\n")
    assert done and "    PB_DEFECT_REACHED(); return 0;\n" in text, text


def a_mark_of_an_else_stands_before_its_if(root):
    done, text = marked(root, "(a < 0)", "(a <= 0)")
    assert done and "    PB_DEFECT_REACHED(); if (a > 1) {\n" in text, text


def a_mark_of_a_continued_line_stands_where_it_begins(root):
    done, text = marked(root, "              b;\n", "              a;\n")
    assert done and "    PB_DEFECT_REACHED(); int sum = a +\n" in text, text


def no_mark_stands_outside_of_functions(root):
    done, text = marked(root, "    int b;\n", "    long b;\n")
    assert not done and text == CODE


def an_order_is_marked_where_it_is_used(root):
    tree = pathlib.Path(root) / "tree"
    (tree / "ref").mkdir(parents=True)
    (tree / "ref/thing.c").write_text(CODE.replace("return first(sum)", "return first(ORDER_X)"))
    (tree / "ref/orders.h").write_text("#define ORDER_X 2\n")
    patch = patch_of(diff("#define ORDER_X 1\n", "#define ORDER_X 2\n", root, "ref/orders.h"))
    assert defects.mark_reached(patch, tree)
    assert "PB_DEFECT_REACHED(); return first(ORDER_X)" in (tree / "ref/thing.c").read_text()


def a_mirror_keeps_times_and_drops_what_is_gone(root):
    base, to = pathlib.Path(root) / "base", pathlib.Path(root) / "to"
    (base / "ref").mkdir(parents=True)
    (base / "ref/a").write_text("1")
    defects.mirror(base, to)
    (to / "ref/a").write_text("22")
    (to / "ref/b").write_text("3")
    defects.mirror(base, to)
    assert (to / "ref/a").read_text() == "1" and not (to / "ref/b").exists()
    assert defects.stamp(to / "ref/a") == defects.stamp(base / "ref/a")


def item(name, must, oracle, pristine=None):
    patch = defects.Patch(pathlib.Path(name + ".patch"), {"Rule": "R5-grow-limit"}, "", "")
    made = defects.item_of(patch, "libfuzzer", 1, "bytes")
    made |= {"must": must, "oracle": oracle, "pristine": pristine}
    return made | {"caught_s": 1.0 if oracle else None, "target": "t" if oracle else None}


def a_miss_a_caught_canary_and_a_failing_pristine_each_count(root):
    board = types.SimpleNamespace()
    board.items = [item("a", True, "R5-x"), item("a", True, None), item("b", True, "R5-x")]
    board.items += [item("c", False, "R5-x"), item("d", False, None), item("e", True, None, False)]
    missed, canaries, broken = defects.verdict(board)
    assert (missed, canaries, broken) == (["a", "e"], ["c"], ["e"]), (missed, canaries, broken)


def the_page_names_what_was_missed(root):
    items = [item("a", True, "R5-x"), item("b", True, None), item("c", False, None)]
    options = types.SimpleNamespace(empty=False, time=None, seeds=1)
    summary, rows, sections, title, lead = defects_report.page(items, items, ["b"], [], [], options)
    assert summary["caught"] == 1 and summary["missed"] == 1 and summary["canaries"] == 1
    assert sections[0].title == "Missed" and sections[0].table.rows[0][0] == "b"


def every_patch_of_the_repository_gets_a_mark_that_compiles(root):
    for patch in defects.patches_of(None):
        tree = pathlib.Path(root) / patch.name
        shutil.copytree(defects.REPO / "ref", tree / "ref", ignore=shutil.ignore_patterns("tests"))
        (tree / "fuzz/defects").mkdir(parents=True)
        shutil.copy(defects.PATCHES / "mark.h", tree / "fuzz/defects")
        assert defects.apply(patch, tree) is not None, f"{patch.name} does not apply"
        assert defects.mark_reached(patch, tree), f"{patch.name}: no place for a mark"
        fault = defects.compile_fault(patch, tree)
        assert fault is None, f"{patch.name}: {fault}"
        shutil.rmtree(tree)


TESTS = [
    header_and_text_are_told_from_the_diff,
    a_patch_without_a_header_is_accepted_and_must_be_caught,
    a_mark_stands_before_the_statement,
    a_mark_of_an_else_stands_before_its_if,
    a_mark_of_a_continued_line_stands_where_it_begins,
    no_mark_stands_outside_of_functions,
    an_order_is_marked_where_it_is_used,
    a_mirror_keeps_times_and_drops_what_is_gone,
    a_miss_a_caught_canary_and_a_failing_pristine_each_count,
    the_page_names_what_was_missed,
    every_patch_of_the_repository_gets_a_mark_that_compiles,
]
