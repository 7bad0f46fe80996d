"""gate_history.py: what the gate measured, kept over the commits, and plotted: `make trend`.

The store is a file of one JSON object a line, one a run of the gate: HISTORY=file, by default
~/.local/state/pagebox/gate.jsonl ($XDG_STATE_HOME), outside of git. Figures of another machine are
never drawn into one line. Change points (binary segmentation on ranks) are advice, not a verdict.
"""
import json
import os
import pathlib

import gate_calibrate
import gate_stats as stats
import report

METRICS = ("time", "instructions")
POINTS_MIN = 2


def place(given):
    if given:
        return pathlib.Path(given)
    state = os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local" / "state"
    return pathlib.Path(state) / "pagebox" / "gate.jsonl"


def append(given, run, items, base, verdict):
    """One more line; a store that cannot be written is told, and changes no verdict."""
    rows = {}
    for item in items:
        if item["metric"] in METRICS and item["head"]:
            rows.setdefault(item["name"], {})[item["metric"]] = item["head"]
    entry = {"commit": run.commit, "dirty": run.dirty, "base": base, "verdict": verdict}
    entry |= {"when": f"{run.started:%Y-%m-%dT%H:%M:%SZ}", "rows": rows}
    entry["machine"] = gate_calibrate.machine_id(run.machine)
    path = place(given)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(report.plain(entry)) + "\n")
    except OSError as error:
        print(
            f"gate: the history in {path} was not written: {error.strerror} (HISTORY= names another)"
        )


def read(path):
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        report.die(
            f"no history in {path} ({error.strerror}): make gate BASE=... writes it; HISTORY= names another"
        )
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            entry["commit"], entry["machine"], entry["rows"].items()
            entries.append(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            print(f"gate.py: {path}:{number}: no entry of the history: left out")
    return entries


def options(parser):
    parser.add_argument("--history", help="the store; default: see gate_history.py")


def series(entries, row, metric):
    """[(commit, figure)] in the order in which they were measured."""
    found = [(e["commit"][:7], e["rows"].get(row, {}).get(metric)) for e in entries]
    return [(commit, figure) for commit, figure in found if figure]


def plot(row, metric, points, cuts):
    scale, unit = (1e3, "us") if metric == "time" else (1, "instructions")
    data = [[n, commit, figure / scale] for n, (commit, figure) in enumerate(points)]
    every = max(1, len(data) // 12)
    ticks = ", ".join(f"'{c}' {n}" for n, c, _ in data if n % every == 0)
    marks = "".join(
        f"set arrow from {c - 0.5},graph 0 to {c - 0.5},graph 1 nohead lt 7\n" for c in cuts
    )
    script = (
        f"set ylabel '{unit}'\nset xtics ({ticks}) rotate by -45\nset yrange [0:*]\n"
        f"set xrange [-0.5:{len(data) - 0.5}]\n{marks}"
        "plot $data using 1:3 with linespoints lt 1 notitle"
    )
    return report.plot(script, {"data": data}, (720, 240))


def trend(options):
    path = place(options.history)
    entries = read(path)
    run = report.Run("trend")
    here = gate_calibrate.machine_id(run.machine)
    mine = [e for e in entries if e["machine"] == here]
    if not mine:
        report.die(f"{path} holds {len(entries)} runs, none of this machine ({here})")
    items, made = [], []
    for metric in METRICS:
        for row in sorted({row for e in mine for row in e["rows"]}):
            points = series(mine, row, metric)
            if len(points) < POINTS_MIN:
                continue
            cuts = stats.change_points([figure for _, figure in points])
            changes = [points[cut][0] for cut in cuts]
            items.append({"name": row, "metric": metric, "points": len(points), "changes": changes})
            text = f"Changes its level at {', '.join(changes)}." if changes else ""
            if metric == "time" or changes:
                title = f"{row}, {metric}"
                made.append(report.Section(title, text, svg=plot(row, metric, points, cuts)))
    changed = [i for i in items if i["changes"]]
    rows = [[i["name"], i["metric"], ", ".join(i["changes"])] for i in changed]
    if rows:
        table = report.Table(["row", "what", "from commit"], rows)
        made.insert(
            0, report.Section("Change points", "Advice: see what these commits did.", table)
        )
    lead = f"{len(mine)} runs of the gate on this machine, {len(changed)} rows that changed their level"
    facts = {
        "runs": len(mine),
        "runs_of_other_machines": len(entries) - len(mine),
        "changed": len(changed),
    }
    path = run.finish("pass", facts, items, made, "Trend of the gate's figures", lead)
    print(f"trend: {lead}")
    for row in rows:
        print(f"  {row[0]:<28} {row[1]:<14} from {row[2]}")
    print(f"report: {os.path.relpath(path / 'report.html')}")
    return 0
