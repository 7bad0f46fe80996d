#!/usr/bin/env python3
"""edges.py: every number that ref/ compares with, sizes by or shifts by has a row in edges.txt.

    edges.py [--list]

A row names the argument of an operation and the values that meet the number, or says why no input can. The test
mutate_draws_every_edge checks that the mutator draws those values. Prints PASS or FAIL; --list prints what ref/ has."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NUMBER = r"(?:UINT64_C\()?(0[xX][0-9A-Fa-f]+|\d+)(?:[uUlL]*)\)?"
PLACES = [
    rf"\b[A-Z][A-Z_0-9]+\s*=\s*{NUMBER}(?:\s*<<\s*(\d+))?\s*[,}}]",  # an enum's
    rf"#define\s+\w+\s+{NUMBER}\s*(?:/\*.*)?$",
    rf"(?<![<>])(?:[<>]=?|[=!]=)(?![<>])\s*{NUMBER}",
    rf"%\s*{NUMBER}",
    rf"\[{NUMBER}\];",
]
# Left out: small numbers, which every fuzzer tries, and the values of statuses and of system constants.
SMALL = 8
NAMES = re.compile(r"\b(PB_[A-Z_]+ = \d+,|MADV_\w+ \d+)")


def constants():
    found = {}
    for path in sorted((ROOT / "ref").glob("*.[ch]")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        for pattern in PLACES:
            for match in re.finditer(pattern, text, flags=re.M):
                if NAMES.search(match[0]):
                    continue
                value = int(match[1], 0)
                if match.lastindex == 2 and match[2]:
                    value <<= int(match[2])
                if value > SMALL:
                    found.setdefault((path.name, value), match[0].strip())
    return found


def rows():
    listed = set()
    for line in (ROOT / "fuzz/tests/edges.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, number = line.split("|")[0].split()
            listed.add((name, int(number)))
    return listed


def main():
    have, listed = constants(), rows()
    if "--list" in sys.argv[1:]:
        for (name, value), text in sorted(have.items()):
            print(f"{name} {value} | {text}")
        return 0
    missing = [f"{n} {v} ({have[n, v]})" for n, v in sorted(have) if (n, v) not in listed]
    stale = [f"{n} {v}" for n, v in sorted(listed) if (n, v) not in have]
    if missing:
        print("FAIL edges_of_ref_have_rows: no row in fuzz/tests/edges.txt for " + ", ".join(missing))
    elif stale:
        print("FAIL edges_of_ref_have_rows: nothing in ref/ any more for " + ", ".join(stale))
    else:
        print("PASS edges_of_ref_have_rows")
    return 1 if missing or stale else 0


if __name__ == "__main__":
    sys.exit(main())
