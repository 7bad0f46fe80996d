#!/usr/bin/env python3
"""headers.py: each public function of ref/ has a row in headers.txt, with operations that exist.

Prints PASS or FAIL, and says what is missing."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The headers for embedders, as pagebox.h lists them, and the header for guests.
PUBLIC = ("allocator", "backing", "guest", "limiter", "mailbox", "memory", "pages", "status")


def functions():
    found = set()
    for name in PUBLIC:
        text = (ROOT / f"ref/{name}.h").read_text(encoding="utf-8")
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        found |= set(re.findall(r"\b(pb_[a-z0-9_]+)\((?!\*)", text))
    return found


def operations():
    return set(re.findall(r"^OP\(\d+, (\w+),", (ROOT / "fuzz/programs/op.def").read_text(encoding="utf-8"), flags=re.M))


def rows():
    for line in (ROOT / "fuzz/tests/headers.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield [part.strip() for part in line.split("|")]


def main():
    wrong, seen, known = [], set(), operations()
    for row in rows():
        if len(row) != 4 or not all(row):
            wrong.append(f"{row[0]}: a row has four parts")
            continue
        seen.add(row[0])
        wrong += [f"{row[0]}: no operation {name}" for name in row[1].split() if name not in known]
    have = functions()
    wrong += [f"{name}: no row" for name in sorted(have - seen)]
    wrong += [f"{name}: no such function any more" for name in sorted(seen - have)]
    print("PASS functions_of_headers_have_rows" if not wrong else
          "FAIL functions_of_headers_have_rows: fuzz/tests/headers.txt: " + "; ".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
