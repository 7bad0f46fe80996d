#!/usr/bin/python3
"""litmus.py: runs litmus tests under the concurrency engine and writes results/litmus/<stamp>/.

    scripts/litmus.py PROGRAM [option of the runner]... FILE-OR-FOLDER...

PROGRAM is the runner (build/litmus, made by `make litmus`, which calls this). Every test is explored
exhaustively, its verdict and number of graphs compared, then run at random until each outcome was
seen. Exit status: 0 all as stated, 1 not, 2 usage or set-up (a file that does not parse), 130
interrupted.
"""
import json
import subprocess
import sys

sys.dont_write_bytecode = True
import report


def main(arguments):
    if len(arguments) < 2 or arguments[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    run = report.Run("litmus")
    raw = run.path("raw/items.json")
    raw.parent.mkdir(parents=True, exist_ok=True)
    try:
        code = subprocess.run([arguments[0], "--json", str(raw), *arguments[1:]]).returncode
    except OSError as error:
        report.die(f"litmus: cannot run {arguments[0]}: {error}")
    except KeyboardInterrupt:
        code = 130
    try:
        items = json.loads(raw.read_text())
    except (OSError, ValueError):
        items = []
    failed = [i for i in items if not i["ok"]]
    status = {0: "pass", 1: "finding", 130: "interrupted"}.get(code, "error")
    summary = {
        "tests": len(items),
        "failed": len(failed),
        "graphs": sum(i["graphs"] for i in items),
        "executions": sum(i["executions"] for i in items),
        "random_runs": sum(i["random_runs"] for i in items),
    }
    rows = [
        [i["name"], "pass" if i["ok"] else "FAIL: " + (i["why"] or ""), i["verdict"], i["expected"], i["graphs"],
         i["expected_graphs"], len(i["states"]), i["executions"], i["pruned"], i["random_runs"]]
        for i in items
    ]
    table = report.Table(
        ["test", "", "verdict", "stated", "graphs", "stated", "final states", "executions", "pruned", "random runs"], rows)
    lead = f"{len(items)} tests, {len(failed)} not as stated."
    path = run.finish(status, summary, items, [report.Section("Tests", table=table)], "Litmus tests", lead)
    print(f"report: {path}")
    return code if code in (0, 1, 2, 130) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
