"""Tests of `make gate SUBJECT_SRC=`: both sides of a user's folder, built and compared."""
import pathlib
import shutil
import subprocess
import sys

import pytest

from pagebox.common import report
from pagebox.gate import behaviour
from pagebox.gate import building
from pagebox.gate import counting
from pagebox.gate import subject

TEMPLATES = report.REPO / "fuzz" / "subjects"
GATE = report.REPO / "scripts" / "gate.py"


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@n", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def mine(root, monkeypatch):
    """A repository with a folder of one memory, whose path needs quoting."""
    monkeypatch.setattr(subject, "HOME", pathlib.Path(root) / "gate")
    top = pathlib.Path(root) / "it's mine"
    folder = top / "a memory"
    folder.mkdir(parents=True)
    shutil.copy2(TEMPLATES / "template.c", folder / "mine.c")
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-qm", "first")
    return folder


def change(folder, old, new, name="mine.c"):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def sides(folder):
    under = subject.Subject(folder, "HEAD")
    return under, under.prepare("base"), under.prepare("head")


def test_sources_that_say_the_same_are_the_same_code(mine):
    change(mine, "/* Reserves 4 GiB and a guard", "/* Reserves four GiB and a guard")
    under, base, head = sides(mine)
    assert under.dirty and under.same_code(base, head)


def test_a_call_more_is_counted(mine):
    change(mine, "*old_pages =", "(void)madvise(memory->record->base, 1, MADV_NORMAL);\n    *old_pages =")
    under, base, head = sides(mine)
    assert not under.same_code(base, head)
    kinds = {name: row["threads"] for name, row in counting.rows(head.program()).items() if "grow" in name}
    counts = [counting.count_side(side.program(), side.name, kinds) for side in (base, head)]
    blocked = {i["metric"] for i in counting.compare(*counts, []) if i["verdict"] == "regression"}
    assert "syscall:madvise" in blocked
    assert under.engine.keys() == {"base", "head"}


def test_locked_instructions_of_the_object_are_counted(mine):
    (mine / "mine.c").unlink()
    shutil.copy2(TEMPLATES / "template_mailbox.c", mine / "box.c")
    git(mine, "add", "-A", ".")
    git(mine, "commit", "-qm", "a mailbox")
    change(mine, "struct mailbox *m = self;\n    while", "struct mailbox *m = self;\n    atomic_fetch_or(&m->tail, 0);\n    while", "box.c")
    _, base, head = sides(mine)
    was, now = (counting.count_row(side.program(), "mailbox/one_by_one", "alone") for side in (base, head))
    if "locked" in was:  # otherwise another processor
        assert now["locked"] == was["locked"] + 256


def test_a_build_of_its_own_is_run(mine):
    (mine / "build").write_text('#!/bin/sh\nexec "$PAGEBOX/fuzz/subjects/build.sh" "$OUT" mine.c -DOWN\n')
    (mine / "build").chmod(0o755)
    under, base, head = sides(mine)
    assert under.same_code(base, head) and under.engine == {"base": subject.HOME / "base" / "engine.so"}


def test_what_does_not_build_is_told(mine):
    change(mine, "#include <stdlib.h>", "#include <nowhere.h>")
    with pytest.raises(building.Unbuildable, match="nowhere.h"):
        subject.Subject(mine, "HEAD").prepare("head")
    (mine / "mine.c").unlink()
    with pytest.raises(building.Unbuildable, match="neither C files nor"):
        subject.Subject(mine, "HEAD").prepare("head")


def test_only_what_the_base_does_not_break_blocks():
    outcome = lambda *findings: behaviour.Outcome("replay", int(bool(findings)), 1.0, list(findings))
    done, old = behaviour.less(outcome("R5-grow: a.ops", "R9-wide: b.ops"), outcome("R5-grow: c.ops"))
    assert done.findings == ["R9-wide: b.ops"] and done.status == 1 and old == ["R5-grow"]
    done, old = behaviour.less(outcome("R5-grow: a.ops"), outcome("R5-grow: c.ops"))
    assert done.status == 0 and behaviour.item(done)["verdict"] == "pass"


def test_a_count_that_varies_by_itself_does_not_block():
    item = lambda base, head: counting.item("r", "syscall:futex", base, head, "regression")
    items = [item(3, 5), item(3, 9)]
    counting.settle(items[:1], {"r": {"syscall:futex": 5}}, {"r": {"syscall:futex": 4}})
    counting.settle(items[1:], {"r": {"syscall:futex": 4}}, {"r": {"syscall:futex": 8}})
    assert [i["verdict"] for i in items] == ["pass", "regression"]
    assert items[0]["note"] == "varies from run to run: 3 to 5 on the base, 4 to 5 on the head"


def test_wrong_folders_are_told(root, mine):
    for folder, base, words in (
        (mine / "none", "HEAD", "no such folder"),
        (mine, "", "BASE=<revision>"),
        (mine, "no-such", "is not a commit"),
        (root, "HEAD", "not a git checkout"),
    ):
        command = [sys.executable, str(GATE), "run", "--subject-src", str(folder), "--base", base]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 2 and words in done.stderr, (folder, done.stderr)
