"""Tests of scripts/trace.py and scripts/dwarf.py: names for addresses, columns, the page."""
import pathlib
import subprocess

from pagebox.common import report
from pagebox.sim import dwarf
from pagebox.sim import trace

SOURCE = """#include <pthread.h>
struct part { char tag; struct { int x, y[3]; } in; int *pointer; pthread_mutex_t mutex; };
struct part table[2][3];
int plain;
int main(void) {
    return table[1][2].in.x + plain;
}
"""


def build(root, compiler="gcc"):
    source, program = pathlib.Path(root) / "p.c", pathlib.Path(root) / "p"
    source.write_text(SOURCE)
    command = [compiler, "-g", "-O0", "-no-pie", "-o", str(program), str(source)]
    subprocess.run(command, check=True)
    return program


def a_trace(program, lines, finding=None, detail=""):
    return {
        "threads": 2,
        "finding": finding,
        "detail": detail,
        "lines": lines,
        "ranges": [["heap", 0x7000000, 0x7001000]],
    }


def access(**fields):
    return {
        "thread": 0,
        "kind": "load",
        "pc": 0,
        "step": 1,
        "order": "acquire",
        "size": 4,
        "value": 0,
        "wrote": 0,
        "from": 0,
        "from_step": 0,
    } | fields


def test_parts_of_variables_by_both_compilers(root):
    for compiler in ("gcc", "clang"):
        types = dwarf.Types([build(root, compiler)])
        size = types.size(types.type_of(types.variables["table"])) // 6
        assert types.part("table", 0) == "table[0][0].tag"
        assert types.part("table", 5 * size + 16) == "table[1][2].in.y[2]"
        assert types.part("table", 24) == "table[0][0].pointer"
        assert types.part("table", 32) == "table[0][0].mutex"
        assert types.part("plain", 0) == "plain"
        assert types.part("unknown", 8) == "unknown+8"


def test_files_without_debug_information(root):
    types = dwarf.Types([pathlib.Path(root) / "none", __file__])
    assert types.part("x", 4) == "x+4"


def test_columns_and_page_show_stale_reads(root):
    program = trace.Program(build(root))
    at = next(start for start, _, name in program.variables if name == "plain")
    lines = [
        access(thread=1, kind="store", at=at, wrote=7, step=1, order="release"),
        access(thread=0, at=at, step=2, skipped=7, skipped_by=1, skipped_step=1),
        access(thread=0, at=0x7000010, step=3, value=1 << 40),
    ]
    data = a_trace(program, lines, "assertion", f"T0 looks at {at:#x}\n")
    text = trace.text(data, program)
    page = trace.page(data, program, "<title> & more")
    for words in (
        "plain = 7",
        "plain is 0",
        "stale: skips 7 by T1 at 1",
        "T0 looks at plain",
        "heap+0x10 is 0x10000000000",
    ):
        assert words in text and words in page, words
    assert "&lt;title&gt; &amp; more" in page and 'href="#s1-1"' in page
    assert "<script" not in page and "http" not in page  # one file, no network
    store, load = (next(l for l in text.splitlines() if w in l) for w in ("= 7", "plain is 0"))
    assert store.index("plain") - load.index("plain") == 44  # one column further right


def places_in_main(program):
    """Addresses of two different lines in main."""
    nm = subprocess.run(["nm", program.path], capture_output=True, text=True).stdout
    main = int(nm.partition(" T main")[0].split()[-1], 16)
    inside = range(main + 2, main + 24)
    program.look_up(inside)
    lines = {number: pc for pc in inside for _, file, number in [program.place(pc)] if file}
    return [lines[number] for number in sorted(lines)][:2]


def test_places_of_one_thread_are_counted_by_line(root):
    program = trace.Program(build(root))
    first, second = places_in_main(program)
    loop = lambda thread: [access(thread=thread, kind="rmw", pc=pc, at=0x7000100 + 64 * i, wrote=1, step=1)
                           for i in range(1, 65) for pc in (first, second)]
    alone = trace.text(a_trace(program, loop(0)), program)
    assert alone.count("becomes 1") == 2 and alone.count("63 more like it") == 2, alone
    both = trace.text(a_trace(program, [*loop(0), *loop(1)]), program)
    assert both.count("becomes 1") == 256 and "more like it" not in both
    named = trace.text(a_trace(program, loop(0), "deadlock", "T0 waits on 0x7000140\n  0x7000180"), program)
    assert "heap+0x140: 0 becomes 1" in named and "heap+0x180: 0 becomes 1" in named, named


def test_code_addresses_become_places(root):
    program = trace.Program(build(root))
    main = int(
        subprocess.run(["nm", program.path], capture_output=True, text=True)
        .stdout.partition(" T main")[0]
        .split()[-1],
        16,
    )
    assert "main at" in trace.named(a_trace(program, []), program, f"  @{main + 5:x}")
    assert trace.named(a_trace(program, []), program, "  @1").strip() == "??"


def test_a_bad_file_is_status_2(root):
    bad = pathlib.Path(root) / "bad.json"
    bad.write_text('{"threads": 1')
    script = report.REPO / "scripts/trace.py"
    done = subprocess.run([str(script), str(build(root)), str(bad)], capture_output=True, text=True)
    assert done.returncode == 2 and "bad.json" in done.stderr
    done = subprocess.run([str(script)], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr
