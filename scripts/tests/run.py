#!/usr/bin/python3
"""run.py: runs the tests of scripts/: every test of each *_test.py here, each in a fresh folder.
`scripts/tests/run.py NAME...` runs only those with a NAME in theirs. The last line is
`N passed, N failed`; exit status 1 when one failed."""
import importlib
import pathlib
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


def tests_of(file):
    module = importlib.import_module(file.stem)
    return [(f"{file.stem.removesuffix('_test')}_{t.__name__}", t) for t in module.TESTS]


def main(wanted):
    counts = {True: 0, False: 0}
    for name, test in [t for file in sorted(HERE.glob("*_test.py")) for t in tests_of(file)]:
        if wanted and not any(w in name for w in wanted):
            continue
        try:
            with tempfile.TemporaryDirectory() as root:
                test(root)
            passed = True
            print(f"ok   {name}")
        except Exception:
            passed = False
            print(f"FAIL {name}\n{traceback.format_exc()}")
        counts[passed] += 1
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
