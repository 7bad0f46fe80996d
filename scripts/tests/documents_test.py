"""Tests of the documents: what a folder's README says is in it."""
import fnmatch
import pathlib
import re
import subprocess

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDERS = ("ref", "fuzz", "bench", "scripts")  # and what is right below them


def tracked():
    """Folder -> the names of its files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True)
    folders = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = pathlib.PurePath(name)
        folders.setdefault(path.parent, []).append(path.name)
    return folders


def unnamed(names, text):
    """Those of the files that no word or `pattern` of the text fits. A source and its header are one."""
    words = set(re.findall(r"[\w.+-]+", text))
    patterns = [p for part in re.findall(r"`([^`\n]+)`", text) for p in re.split(r"[ ,]+", part) if "*" in p]
    for name in names:
        alike = {name, re.sub(r"\.[ch]$", ".c", name), re.sub(r"\.[ch]$", ".h", name)}
        if not alike & words and not any(fnmatch.filter(alike, p) for p in patterns):
            yield name


def every_file_is_named_in_the_readme_of_its_folder(root):
    missing = []
    for folder, names in tracked().items():
        if folder.parts[:1] and folder.parts[0] in FOLDERS and len(folder.parts) < 3 and "README.md" in names:
            pages = [REPO / folder / name for name in names if name.endswith(".md")]
            text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
            missing += [f"{folder}/{name}" for name in unnamed(names, text) if name != "README.md"]
    assert not missing, f"in no row of their folder's README: {missing}"


def a_file_without_a_reader_is_seen(root):
    text = "| `op.c` `gate_*.py` | the operations |\nrules.mk builds them."
    assert list(unnamed(["op.c", "op.h", "gate_a.py", "rules.mk", "load.h", "xop.c"], text)) == ["load.h", "xop.c"]


TESTS = [every_file_is_named_in_the_readme_of_its_folder, a_file_without_a_reader_is_seen]
