#!/usr/bin/env python3
"""includes.py: compares what each folder of fuzz/ includes, from the compiler's own lists (.d), with the line
"May include:" of the folder's README. ref/ may include nothing of fuzz/, and needs no such line.

    includes.py BUILD-FOLDER        a folder of objects that lies below build/, with their lists

Prints each include that is not allowed. Exit status: 0 none, 1 some, 2 no lists or no such line.
"""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def lists(build):
    """Source -> headers of this project that it includes, however far down."""
    found = {}
    for path in sorted(build.rglob("*.d")):
        words = path.read_text(encoding="utf-8").split("\n\n")[0].replace("\\\n", " ").split(":", 1)
        files = words[1].split("\n", 1)[0].split() if len(words) == 2 else []
        if files and files[0].startswith(("fuzz/", "ref/")) and (ROOT / files[0]).is_file():  # others: lists of deleted sources
            found.setdefault(files[0], set()).update(map(os.path.normpath, files[1:]))
    return found


def part(path):
    """The folder below fuzz/ that a file belongs to, "ref", or "subject.h"."""
    names = pathlib.PurePosixPath(path).parts
    if names[:2] == ("build", "include"):  # ref/'s headers as they are installed
        return "ref"
    if names[0] != "fuzz":
        return names[0]
    return names[1] if len(names) > 1 else names[0]


def allowed(folder):
    if folder == "ref":
        return set()
    readme = ROOT / "fuzz" / folder / "README.md"
    line = re.search(r"^May include: (.*)\.$", readme.read_text(encoding="utf-8"), re.M) if readme.is_file() else None
    if line is None:
        return None
    return set() if line[1] == "nothing else" else {word.strip() for word in line[1].split(",")}


def main(argv):
    if len(argv) != 2 or not pathlib.Path(argv[1]).is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    made, wrong = lists(pathlib.Path(argv[1])), []
    folders = sorted({part(source) for source in made} - {"tests"})
    rules = {folder: allowed(folder) for folder in folders}
    for folder in [name for name, words in rules.items() if words is None]:
        print(f"fuzz/{folder}/README.md has no line 'May include:'", file=sys.stderr)
        return 2
    if not made:
        print(f"{argv[1]}: no lists of includes: build first", file=sys.stderr)
        return 2
    for source, headers in made.items():
        folder = part(source)
        if folder in rules:
            wrong += [f"{source} includes {header}: {folder}/ may not include {part(header)}"
                      for header in sorted(headers)
                      if not header.startswith("/") and part(header) not in rules[folder] | {folder}]
    print("\n".join(sorted(set(wrong))) or f"includes: {len(made)} files of {len(folders)} folders, as their READMEs say")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
