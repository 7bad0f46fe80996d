"""litmus.py: runs litmus tests under the concurrency engine and writes results/litmus/<stamp>/.

    scripts/litmus.py [--relacy OTHER] PROGRAM [option of the runner]... FILE-OR-FOLDER...

PROGRAM is the runner (build/litmus, made by `make litmus`, which calls this). It explores every test exhaustively,
compares verdict and number of graphs, then runs the test at random until each outcome has been seen. With --relacy,
OTHER (build/litmus-relacy) runs the same texts under Relacy; each final state that it reaches must be one of ours,
apart from the known exceptions below.
Exit status: 0 all as stated, 1 not, 2 usage or set-up (a file that does not parse), 130 interrupted.
"""
import json
import subprocess
import sys

from pagebox.common import report


# test -> why Relacy reaches states there that this machine rightly excludes
EXCEPTIONS = {
    "SB+sc+fence": "Relacy does not order SC accesses with SC fences, which C++11 29.3 p4-5 and RC11 do",
}


def relacy(program, items, run):
    """Rows of the comparison, how many tests have states that only Relacy reaches, and how many Relacy cannot run."""
    files = [i["file"] for i in items if i["file"].endswith(".litmus")]
    try:
        done = subprocess.run([program, *files], capture_output=True, text=True)
    except OSError as error:
        report.die(f"litmus: cannot run {program}: {error}")
    run.path("raw/relacy.txt").write_text(done.stdout)
    if done.returncode:
        report.die(f"litmus: {program}: {done.stderr.strip()}")
    reached, left_out = {}, 0
    for line in done.stdout.splitlines():
        name, state = line.split("\t")
        if state:
            reached.setdefault(name, set()).add(state)
        else:
            left_out += 1
    rows, bad = [], 0
    for item in items:
        if item["name"] not in reached:
            continue
        theirs, ours = reached[item["name"]], set(item["states"])
        item["relacy_states"] = sorted(theirs)
        extra = sorted(theirs - ours)
        why = EXCEPTIONS.get(item["name"], "")
        if extra and not why:
            bad += 1
            print(f"FAIL {item['name']}: Relacy reaches {'; '.join(extra)}")
        rows.append([item["name"], len(ours), len(theirs), len(ours - theirs), "; ".join(extra), why])
    return rows, bad, left_out


def main():
    arguments = sys.argv[1:]
    other = None
    if arguments[:1] == ["--relacy"] and len(arguments) > 1:
        other, arguments = arguments[1], arguments[2:]
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
    sections = [report.Section("Tests", table=table)]
    if other and items:
        rows, bad, left_out = relacy(other, items, run)
        heads = ["test", "our states", "Relacy's", "only ours", "only Relacy's", "known reason"]
        sections.append(report.Section("Beside Relacy", table=report.Table(heads, rows)))
        summary |= {"relacy_tests": len(rows), "relacy_beyond_ours": bad, "relacy_left_out": left_out}
        lead += f" Relacy: {len(rows)} tests, {bad} with states beyond ours."
        print(f"Relacy: {len(rows)} tests compared, {bad} with states that we do not reach; "
              f"{left_out} left out: awaits, locks, sleepers or more than four threads")
        if bad and code == 0:
            code, status = 1, "finding"
    path = run.finish(status, summary, items, sections, "Litmus tests", lead)
    print(f"report: {path}")
    return code if code in (0, 1, 2, 130) else 2
