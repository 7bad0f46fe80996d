"""Tests of the package's structure: which module imports which."""
import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "pagebox"
# A folder may import from itself and from the folders named here.
MAY_IMPORT = {
    "common": set(),
    "bench": {"common"},
    "sim": {"common"},
    "fuzz": {"common", "sim"},
    "runtimes": {"common"},
    "conform": {"common", "runtimes", "defects"},
    "defects": {"common", "sim", "fuzz"},
    "gate": {"common", "sim", "fuzz", "defects"},
}


def imports(package):
    """Module -> modules of the package that it imports, anywhere in it."""
    made = {}
    for path in package.rglob("*.py"):
        module, found = path.relative_to(package).with_suffix("").parts, set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pagebox"):
                folder = node.module.split(".")[1:]
                found |= {(*folder, a.name) if len(folder) < 2 else tuple(folder) for a in node.names}
            if isinstance(node, ast.Import):
                found |= {tuple(a.name.split(".")[1:]) for a in node.names if a.name.startswith("pagebox")}
        made[module] = found
    return made


def circle(graph):
    """The modules of one import cycle, or None."""
    done = set()

    def visit(node, path):
        if node in path:
            return path[path.index(node) :] + [node]
        if node in done:
            return None
        found = next(filter(None, (visit(n, path + [node]) for n in graph.get(node, ()))), None)
        done.add(node)
        return found

    return next(filter(None, (visit(node, []) for node in graph)), None)


def trespassers(graph, allowed):
    for module, others in graph.items():
        if len(module) == 2 and module[1] != "__init__":
            for other in others:
                if other[0] != module[0] and other[0] not in allowed[module[0]]:
                    yield f"{'/'.join(module)} imports {'/'.join(other)}"


def test_no_module_imports_itself_by_way_of_others(root):
    assert circle({("a",): {("b",)}, ("b",): {("c",)}, ("c",): {("b",)}}) == [("b",), ("c",), ("b",)]
    assert circle(imports(PACKAGE)) is None


def test_folders_import_only_what_lies_below_them(root):
    folder = pathlib.Path(root) / "common"
    folder.mkdir()
    (folder / "a.py").write_text("def f():\n    from pagebox.gate import run\n    import pagebox.sim.trace\n")
    found = sorted(trespassers(imports(folder.parent), MAY_IMPORT))
    assert found == ["common/a imports gate/run", "common/a imports sim/trace"], found
    assert not list(trespassers(imports(PACKAGE), MAY_IMPORT))


def test_every_folder_has_a_place_among_the_layers(root):
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(MAY_IMPORT), folders


def test_no_name_of_a_benchmark_row_is_in_python():
    """Rows carry their own words (bench/shim.h); the report knows none of them by name."""
    kinds = "memory|mailbox|wait|bound|peer|site|program|objects|subject|fuzz"
    text = "".join(path.read_text() for path in sorted((ROOT / "bench").glob("*.[ch]")))
    names = set(re.findall(rf'"((?:{kinds})/[a-z_0-9]+)[/"]', text))
    assert len(names) > 60, names
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "scripts" / "pagebox").rglob("*.py"))
        for name in names
        if re.search(rf"[\"'^(]{re.escape(name)}(?![a-z_.])", path.read_text())
    ]
    assert not found, found


@pytest.mark.parametrize("source, header, refused", [
    ("fuzz/judges/model.c", "fuzz/sim/sim.h", "judges/ may not include sim"),
    ("fuzz/programs/op.c", "fuzz/programs/../subject.h", "programs/ may not include subject.h"),
    ("fuzz/reference/fault.c", "fuzz/judges/model.h", "reference/ may not include judges"),
    ("fuzz/runners/exec.c", "fuzz/targets/trial.h", "runners/ may not include targets"),
    ("fuzz/targets/input.c", "fuzz/runtimes/door.h", "targets/ may not include runtimes"),
    ("fuzz/sim/run.c", "ref/lock.h", "sim/ may not include ref"),
    ("fuzz/runtimes/pipe.c", "fuzz/targets/input.h", "runtimes/ may not include targets"),
    ("fuzz/conform/random.c", "fuzz/sim/sim.h", "conform/ may not include sim"),
    ("fuzz/subjects/template.c", "fuzz/judges/call.h", "subjects/ may not include judges"),
    ("ref/memory.c", "ref/../fuzz/subject.h", "ref/ may not include subject.h"),
])
def test_a_folder_includes_what_its_readme_says(root, source, header, refused):
    """Uses the compiler's lists of includes, which is all that includes.py reads."""
    listed = pathlib.Path(root) / "one.d"
    check = lambda: subprocess.run([ROOT / "fuzz/tests/includes.py", root], capture_output=True, text=True)
    listed.write_text(f"one.o: {source} /usr/include/stdio.h\n")
    assert check().returncode == 0
    listed.write_text(f"one.o: {source} /usr/include/stdio.h \\\n {header}\n")
    done = check()
    assert done.returncode == 1 and refused in done.stdout, done
