"""history.py: the gate's measurements over the commits, stored and plotted: `make trend`.

The store is a file with one JSON object per line, one for each run of the gate: HISTORY=file, by default
~/.local/state/pagebox/gate.jsonl ($XDG_STATE_HOME), outside git. Figures of other machines and of uncommitted
changes are stored but not drawn. Commits are in the order of the history, not of the measurements. Change points
(binary segmentation on ranks) are advice, not a verdict.
"""
import json
import os
import pathlib

from pagebox.gate import building
from pagebox.gate import calibrate
from pagebox.common import stats
from pagebox.common import report

DRAWN = ("instructions", "time")  # for every row; other counts only if their level changes
POINTS_MIN = 2
COLUMNS, PANEL = 4, (250, 100)  # columns of small plots; their size


def place(given):
    if given:
        return pathlib.Path(given)
    state = os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local" / "state"
    return pathlib.Path(state) / "pagebox" / "gate.jsonl"


def append(given, run, items, base, verdict):
    """Appends a line; a store that cannot be written is reported, and changes no verdict."""
    rows = {}
    for item in items:
        if item["part"] != "behaviour" and item["metric"] != "row" and item["head"] is not None:
            rows.setdefault(item["name"], {})[item["metric"]] = item["head"]
    entry = {"commit": run.commit, "dirty": run.dirty, "base": base, "verdict": verdict}
    entry |= {"when": f"{run.started:%Y-%m-%dT%H:%M:%SZ}", "rows": rows}
    entry["machine"] = {key: run.machine[key] for key in (*calibrate.SAME, "flags")}
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
    parser.add_argument("--history", help="the store (default: see history.py)")


def in_order(entries, machine):
    """Entries of this machine and of commits, in the order of the history, and of measurement within a commit; and how
    many were left out, by reason."""
    listed = building.git(
        "rev-list", "--all", "HEAD", "--topo-order", "--reverse"
    ).stdout.decode()
    places = {commit: n for n, commit in enumerate(listed.split())}
    left, kept = {}, []
    for entry in entries:
        same = isinstance(entry["machine"], dict) and not calibrate.differs(
            machine, entry["machine"]
        )
        why = "" if same else "of another machine"
        why = why or ("with uncommitted changes" if entry.get("dirty") else "")
        why = why or ("" if entry["commit"] in places else "of commits that are not here")
        if why:
            left[why] = left.get(why, 0) + 1
        else:
            kept.append(entry)
    return sorted(kept, key=lambda entry: places[entry["commit"]]), left


def series(entries, row, metric):
    """[(commit, figure)]."""
    found = [(e["commit"][:7], e["rows"].get(row, {}).get(metric)) for e in entries]
    return [(commit, figure) for commit, figure in found if figure is not None]


def panels(found):
    """Small plots with one time scale: [(title, points, cuts)]."""
    data, script = {}, []
    lines = -(-len(found) // COLUMNS)
    script.append(f"set multiplot layout {lines},{COLUMNS}\nunset key")
    script.append("set tics font ',8'\nset title font ',9' offset 0,-0.7")
    script.append("set tmargin 1.8\nset bmargin 1.8")
    for number, (title, points, cuts) in enumerate(found):
        name = f"d{number}"
        data[name] = [[n, figure] for n, (_, figure) in enumerate(points)]
        last, most = len(points) - 1, max(figure for _, figure in points)
        script.append(f"set title '{title}'\nset xrange [-0.5:{last + 0.5}]\nunset arrow")
        script.append(f"set xtics ('{points[0][0]}' 0, '{points[-1][0]}' {last})")
        script.append(f"set yrange [0:{1.2 * most or 1}]")
        script.append(f"set ytics ('0' 0, '{report.cell_text(most)}' {most or 1})")
        script += [
            f"set arrow from {cut - 0.5},graph 0 to {cut - 0.5},graph 1 nohead lt 7" for cut in cuts
        ]
        script.append(f"plot ${name} using 1:2 with linespoints lt 1")
    script.append("unset multiplot")
    return report.plot("\n".join(script), data, (COLUMNS * PANEL[0], max(1, lines) * PANEL[1]))


def trend(options):
    path = place(options.history)
    entries = read(path)
    mine, left = in_order(entries, building.machine())
    said = "; ".join(f"{count} {why}" for why, count in sorted(left.items()))
    if not mine:
        report.die(f"{path} holds {len(entries)} runs, none to draw: {said}")
    run = report.Run("trend")
    run.machine = building.machine()
    items, drawn = [], {}
    keys = {(metric, row) for e in mine for row, counts in e["rows"].items() for metric in counts}
    for metric, row in sorted(keys):
        points = series(mine, row, metric)
        if len(points) < POINTS_MIN:
            continue
        cuts = stats.change_points([figure for _, figure in points])
        changes = [points[cut][0] for cut in cuts]
        items.append({"name": row, "metric": metric, "points": len(points), "changes": changes})
        if metric in DRAWN or changes:
            drawn.setdefault(metric, []).append((row, points, cuts))
    rows = [[i["name"], i["metric"], ", ".join(i["changes"])] for i in items if i["changes"]]
    made = []
    if rows:
        table = report.Table(["row", "what", "from commit"], rows)
        text = "Advice: see what these commits did."
        made.append(report.Section("Change points", text, table))
    for metric in sorted(drawn, key=lambda metric: (metric not in DRAWN, metric)):
        text = "Of one region" + (", in nanoseconds." if metric == "time" else ".")
        made.append(report.Section(metric, text, svg=panels(drawn[metric])))
    lead = f"{len(mine)} runs of the gate on this machine, {len(rows)} figures that changed their level"
    lead += f"; left out: {said}" if said else ""
    facts = {"runs": len(mine), "left_out": len(entries) - len(mine), "changed": len(rows)}
    path = run.finish("pass", facts, items, made, "Trend of the gate's figures", lead)
    print(f"trend: {lead}")
    for row in rows:
        print(f"  {row[0]:<28} {row[1]:<14} from {row[2]}")
    print(f"report: {report.shown(path / 'report.html')}")
    return 0
