"""calibrate.py: measures how often the gate is wrong on this machine: false alarms, and what it detects.

Runs sessions of the gate's time part with the work tree on both sides: with one link, with the head linked in another
order, and with a slowdown in the head's measured regions (a spin of that length). The raw pairs of every session
are appended to results/calibration/<machine>/sessions.jsonl.gz at once, so that calibration can be interrupted and
continued. Thresholds are frozen on one half of the sessions and scored on the other. Data of another machine is
neither added nor compared.
"""
import datetime
import gzip
import json
import math
import os
import re
import shutil
import time
import zlib

from pagebox.gate import building
from pagebox.gate import counting
from pagebox.common import processes
from pagebox.common import stats
from pagebox.gate import pairing
from pagebox.common import report

HOME = report.REPO / "results" / "calibration"
PERCENTS = (2, 3, 5, 10, 20)
COUNTED = {"syscall": "syscall:getppid", "fault": "page_faults", "instruction": "instructions"}
SESSIONS, INJECTED, COUNT_RUNS = 100, 8, 5
SESSIONS_MIN = 20  # fewer are not enough to freeze thresholds
FAILURES_MAX = 3  # failed sessions are repeated; one more ends the command
MARGIN = 1.1  # thresholds are this multiple of the largest shift without a cause
SAME = ("kernel", "cpu", "cores", "memory_bytes", "compiler", "libc")


def options(parser, positive):
    whole = positive(int)
    parser.add_argument("--sessions", type=whole, default=SESSIONS, help="sessions of base against itself")
    parser.add_argument("--injected", type=whole, default=INJECTED, help="sessions of each slowdown")
    parser.add_argument(
        "--rounds", type=whole, default=pairing.ROUNDS, help="pairs per row and session"
    )
    parser.add_argument(
        "--time", type=positive(float), help="seconds, after which no session is started"
    )
    parser.add_argument("--score", action="store_true", help="only the report, from the stored sessions")
    parser.add_argument("--filter", default="", help="regular expression on the rows' names")


# ---------------------------------------------------------------- the store


def machine_id(machine):
    cpu = re.sub(r"\((r|tm)\)|cpu|processor|@.*", " ", machine["cpu"].lower())
    words = re.sub(r"[^a-z0-9]+", "-", cpu).strip("-")[:40] or "unknown"
    return f"{words}-{machine['cores']}c-{round((machine['memory_bytes'] or 0) / 2**30)}g"


def folder_of(machine):
    return HOME / machine_id(machine)


def differs(machine, stored):
    """Which facts of the stored machine differ from this one's. Flags that were not stored are unknown."""
    keys = SAME + (("flags",) if stored.get("flags") else ())
    return [key for key in keys if machine.get(key) != stored.get(key)]


def suite_of(rows, rounds):
    """Sessions with the same timed rows and rounds belong together."""
    return building.digest(sorted(rows), rounds)[:12]


def thresholds(machine, suite):
    """(row -> threshold as a log-ratio, ""), frozen on this machine; ({}, why) if there are none."""
    try:
        stored = json.loads((folder_of(machine) / "thresholds.json").read_text(encoding="utf-8"))
        wrong = differs(machine, stored["machine"])
        wrong += ["set of rows or rounds"] if stored["suite"] != suite else []
        if wrong:
            return {}, f"this machine's calibration is of another {', '.join(wrong)}"
        return dict(stored["rows"]), ""
    except (OSError, ValueError, KeyError, TypeError):
        return {}, "this machine has no calibration"


def open_store(machine):
    """This machine's folder; exits with a clear message if it holds another's data."""
    folder = folder_of(machine)
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "machine.json"
    if about.exists():
        try:
            wrong = differs(machine, json.loads(about.read_text(encoding="utf-8")))
        except (ValueError, AttributeError):
            report.die(f"{about} cannot be read: fix it, or move {folder} away and start again")
        if wrong:
            report.die(
                f"{folder} was measured on a machine of another {', '.join(wrong)}: its figures "
                "are not comparable with this one's; move it away and start again"
            )
    else:
        about.write_text(json.dumps(machine, indent=1) + "\n", encoding="utf-8")
    return folder


MEMBER = gzip.compress(b"", mtime=0)[:8]  # the first bytes of each session


def add(folder, record):
    """Appends a session, as a gzip member of its own."""
    data = gzip.compress((json.dumps(report.plain(record)) + "\n").encode(), mtime=0)
    with open(folder / "sessions.jsonl.gz", "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def stored(folder):
    """All complete sessions. A last session that a crash cut short is removed; damage before that is not repaired here.
    """
    path, records, good = folder / "sessions.jsonl.gz", [], 0
    data = path.read_bytes() if path.exists() else b""
    while good < len(data):
        inflate = zlib.decompressobj(wbits=31)
        try:
            text = inflate.decompress(data[good:])
            if not inflate.eof:
                raise ValueError
            records.append(json.loads(text))
        except (zlib.error, ValueError):
            if MEMBER in data[good + 1 :]:
                report.die(f"{path} is damaged at byte {good}, and continues after that: restore it")
            print(f"gate.py: the last session in {path} is not whole: left out")
            os.truncate(path, good)
            break
        good = len(data) - len(inflate.unused_data)
    return records


# ---------------------------------------------------------------- measuring


def plan(options):
    """(kind, number) of all wanted sessions, mixed so that any part of them is useful."""
    alike = [("same" if n % 2 == 0 else "relinked", n) for n in range(options.sessions)]
    slowed = [(f"percent:{p}", n) for n in range(options.injected) for p in PERCENTS]
    counted = [("counts", n) for n in range(COUNT_RUNS)] + [
        (f"count:{what}", 0) for what in COUNTED
    ]
    total = [
        (i / max(1, len(part)), j, s)
        for j, part in enumerate((alike, slowed, counted))
        for i, s in enumerate(part)
    ]
    return [session for _, _, session in sorted(total)]


class Calibration:
    def __init__(self, options, folder, machine):
        self.options, self.folder, self.machine = options, folder, machine
        self.commit = report.git("rev-parse", "HEAD")
        self.side = building.prepare("base", building.from_work_tree)
        self.other = building.prepare("head", building.from_work_tree)
        pattern = report.pattern(options.filter, "FILTER")
        self.rows = counting.rows(self.side.program())
        self.rows = {n: r for n, r in self.rows.items() if n == "control" or pattern.search(n)}
        self.kinds = {n: r["threads"] for n, r in self.rows.items() if r["timed"]}
        self.suite = suite_of(self.kinds, options.rounds)
        self.whole = not options.filter and options.rounds == pairing.ROUNDS
        self.program = building.digest(self.side.program().read_bytes())[:12]

    def session(self, kind, number):
        began = time.monotonic()
        if kind.startswith("count"):
            record = self.counts(kind)
        else:
            order = number + 1 if kind == "relinked" else 0
            inject = [kind] if kind.startswith("percent") else ()
            programs = self.side.program(), building.link(self.other, order)
            seed = time.time_ns() % 2**32
            sampler = pairing.Sampler(*programs, self.kinds, seed, inject)
            pairs = pairing.session(sampler, self.options.rounds, math.inf)
            if order:
                programs[1].unlink()
            for row, why in sampler.failed.items():
                raise counting.RowFailed(why)
            rows = {
                r: [[p.base_ns, p.head_ns, p.dropped] for p in found] for r, found in pairs.items()
            }
            record = {"pairs": rows, "seed": seed}
        record |= {"kind": kind, "number": number, "suite": self.suite}
        record |= {"seconds": round(time.monotonic() - began, 1)}
        record |= {"commit": self.commit, "program": self.program}
        record["load"] = os.getloadavg()[0]
        record["when"] = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        add(self.folder, record)

    def counts(self, kind):
        inject = [kind.partition(":")[2]] if ":" in kind else ()
        rows = {name: row["threads"] for name, row in self.rows.items()}
        found = {"counts": counting.count_side(self.other.program(), "head", rows, inject)}
        if inject:  # with the rows that it is compared with
            found["plain"] = counting.count_side(self.side.program(), "base", rows)
        return found

    def all(self):
        done = {
            (r["kind"], r["number"]) for r in stored(self.folder) if r.get("suite") == self.suite
        }
        left = [session for session in plan(self.options) if session not in done]
        progress = report.Progress()
        began, made, failures = time.monotonic(), 0, 0
        while made < len(left):
            kind, number = left[made]
            spent = time.monotonic() - began
            if self.options.time and spent > self.options.time:
                break
            rest = f", about {spent / made * (len(left) - made) / 60:.0f} min left" if made else ""
            progress.update(f"session {made + 1} of {len(left)} ({kind}){rest}")
            try:
                self.session(kind, number)
                made += 1
            except counting.CountError as error:
                failures += 1
                progress.done()
                print(f"gate-calibrate: session {kind} {number} failed: {error}", flush=True)
                if failures > FAILURES_MAX:
                    raise
        progress.done()
        return len(left) - made


# ---------------------------------------------------------------- scoring


def differences(record, row):
    found = record["pairs"].get(row, [])
    return [math.log(head / base) for base, head, dropped in found if not dropped]


def freeze(records, rows):
    """row -> threshold: above every shift without a cause in the training half; none for a row that was not measured.
    """
    frozen = {}
    for row in rows:
        found = [differences(r, row) for r in records]
        shifts = [abs(stats.hodges_lehmann(one)[0]) for one in found if one]
        if shifts:
            frozen[row] = max(pairing.LEAST_THRESHOLD, MARGIN * max(shifts))
    return frozen


def alarms(record, kinds, frozen):
    """Rows that this session alone would suspect, and all its items; computed once."""
    if "alarms" in record:
        return record["alarms"]
    pairs = {
        row: [pairing.Pair(*pair) for pair in found]
        for row, found in record["pairs"].items()
        if row in kinds
    }
    items = pairing.judge(pairs, kinds, frozen)
    record["alarms"] = {i["name"] for i in items if i["verdict"] == "regression"}, items
    return record["alarms"]


def confirmed(suspects, records, at, kinds, frozen):
    """The suspects that the next session confirms, with tests of their own."""
    if not suspects or len(records) < 2:
        return set()
    following = records[(at + 1) % len(records)]
    pairs = {row: [pairing.Pair(*p) for p in following["pairs"].get(row, [])] for row in suspects}
    items = pairing.judge(pairs, {row: kinds[row] for row in suspects}, frozen)
    return {i["name"] for i in items if i["verdict"] == "regression"}


def rates(records, kinds, frozen):
    """(sessions, sessions with a suspect, sessions that block, row -> number of blocks)."""
    suspected = blocked = 0
    by_row = {row: 0 for row in kinds}
    for at, record in enumerate(records):
        suspects, _ = alarms(record, kinds, frozen)
        final = confirmed(suspects, records, at, kinds, frozen)
        suspected, blocked = suspected + bool(suspects), blocked + bool(final)
        for row in final:
            by_row[row] += 1
    return len(records), suspected, blocked, by_row


def count_of(run, row, metric):
    """None: not counted. A system call that was not made counts as 0."""
    if row not in run:
        return None
    return run[row].get(metric, 0 if metric.startswith("syscall:") else None)


def counts_of(run):
    return {(row, metric) for row, counts in run.items() for metric in counts}


def counts_found(records):
    """What the counts show: how many were equal in all runs of one program, how far resident bytes spread, and in which
    rows injected ones were found."""
    groups = {}
    for record in records:
        if record["kind"] == "counts":
            program = record.get("program") or record["commit"]
            groups.setdefault(program, []).append(record["counts"])
    facts = {"count_runs": sum(map(len, groups.values()))}
    unequal, counted, spread = [], set(), 0
    for runs in groups.values():
        for row, metric in sorted(set().union(*map(counts_of, runs))):
            seen = {count_of(run, row, metric) for run in runs} - {None}
            counted.add((row, metric))
            if metric == "resident_bytes":
                spread = max(spread, max(seen) - min(seen))
            elif len(seen) > 1:
                unequal.append(f"{row} {metric}: {sorted(seen)}")
    if groups:
        facts |= {"counts": len(counted), "counts_unequal": unequal}
        facts["resident_spread_bytes"] = spread
    for what, metric in COUNTED.items():
        record = next((r for r in records if r["kind"] == f"count:{what}"), None)
        beside = record and (record.get("plain") or groups.get(record["commit"], [None])[0])
        if not beside:
            continue
        run = record["counts"]
        rows = [row for row in run if "instructions" in beside.get(row, ())]
        items = counting.compare({r: beside[r] for r in rows}, {r: run[r] for r in rows}, [])
        found = {i["name"] for i in items if i["metric"] == metric and i["verdict"] == "regression"}
        facts[f"found_{what}"] = sorted(found)
        facts[f"missed_{what}"] = sorted(set(rows) - found)
    return facts


def with_interval(hits, trials):
    if not trials:
        return report.DASH
    low, high = stats.clopper_pearson(hits, trials)
    return f"{hits} of {trials}: {100 * hits / trials:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def brief(hits, trials):
    """The same for a cell of a table."""
    if not trials:
        return report.DASH
    low, high = stats.clopper_pearson(hits, trials)
    return f"{hits}/{trials} [{100 * low:.0f}, {100 * high:.0f}]"


def score(folder, suite, kinds):
    """Everything in the report, from the raw sessions, with thresholds from half of them."""
    records = [r for r in stored(folder) if r.get("suite") == suite]
    alike = [r for r in records if r["kind"] in ("same", "relinked")]
    training, scored = alike[0::4] + alike[1::4], alike[2::4] + alike[3::4]
    frozen = freeze(training, kinds)
    facts = {
        "sessions": len(alike),
        "sessions_training": len(training),
        "sessions_scored": len(scored),
    }
    facts["frozen"] = len(alike) >= SESSIONS_MIN
    _, suspected, blocked, by_row = rates(scored, kinds, frozen)
    unsure = sum(
        any(i["verdict"] == "inconclusive" for i in alarms(r, kinds, frozen)[1]) for r in scored
    )
    facts |= {"suspected": suspected, "blocked": blocked, "inconclusive": unsure}
    power = {}
    for percent in PERCENTS:
        slowed = [r for r in records if r["kind"] == f"percent:{percent}"]
        power[percent] = (len(slowed), rates(slowed, kinds, frozen)[3])
    return records, facts, frozen, by_row, power, scored


def publish(work, status):
    """Writes the report; if it covers the whole suite and enough sessions, it is kept, with the thresholds."""
    folder, machine, kinds = work.folder, work.machine, work.kinds
    records, facts, frozen, by_row, power, scored = score(folder, work.suite, kinds)
    facts |= counts_found(records)
    facts["kept"] = facts["frozen"] and work.whole
    items = []
    for row in sorted(kinds):
        seen = [
            i["detectable"] for r in scored for i in alarms(r, kinds, frozen)[1] if i["name"] == row
        ]
        entry = {
            "name": row,
            "kind": kinds[row],
            "false_alarms": by_row[row],
            "sessions": len(scored),
        }
        blocks = pairing.threshold_of(row, kinds[row], frozen) if row in frozen else None
        entry |= {"threshold": blocks, "detectable": stats.median(seen) if seen else None}
        items.append(entry | {f"found_{p}": found[row] for p, (_, found) in power.items()})
    run = report.Run("gate-calibration")
    run.machine = machine
    seconds = [r["seconds"] for r in records if "pairs" in r]
    facts["session_s"] = round(stats.median(seconds), 1) if seconds else None
    made = sections(facts, items, power)
    lead = f"{facts['sessions']} sessions of one tree against itself; "
    lead += f"blocked: {with_interval(facts['blocked'], facts['sessions_scored'])}"
    path = run.finish(status, facts, items, made, "Calibration of the gate", lead)
    if facts["kept"]:
        about = {"machine": machine, "suite": work.suite, "rows": frozen}
        about["sessions"] = facts["sessions_training"]
        (folder / "thresholds.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
        for name in ("report.md", "report.json"):
            shutil.copy(path / name, folder / name)
        shutil.rmtree(folder / "plots", ignore_errors=True)
        if (path / "plots").is_dir():
            shutil.copytree(path / "plots", folder / "plots")
    print(f"gate-calibrate: {lead}")
    for percent, (sessions, found) in power.items():
        alone = [row for row in kinds if kinds[row] == "alone"]
        hits = sum(found[row] for row in alone)
        print(
            f"  +{percent} %: found in {with_interval(hits, sessions * len(alone))} of row sessions"
        )
    for what in COUNTED:
        if f"found_{what}" in facts:
            found, lost = len(facts[f"found_{what}"]), len(facts[f"missed_{what}"])
            print(f"  one more {what}: found in {found} of {found + lost} rows")
    kept = (
        f", kept in {report.shown(folder)}"
        if facts["kept"]
        else "; thresholds stay as they were"
    )
    print(f"report: {report.shown(path / 'report.html')}{kept}")


def sections(facts, items, power):
    scored = facts["sessions_scored"]
    rows = [
        ["a session suspects a row", with_interval(facts["suspected"], scored)],
        ["a session blocks (shown twice)", with_interval(facts["blocked"], scored)],
        ["a session is inconclusive", with_interval(facts["inconclusive"], scored)],
    ]
    if facts["count_runs"]:
        unequal = "; ".join(facts["counts_unequal"]) or "none"
        rows.append(
            [f"counts that differed in {facts['count_runs']} runs of {facts['counts']}", unequal]
        )
        rows.append(["resident bytes spread by, at most", facts["resident_spread_bytes"]])
    text = (
        f"Thresholds were frozen on {facts['sessions_training']} sessions and scored on {scored} others. "
        "Intervals are Clopper-Pearson, 95 %. A row counts as blocked only if the next session shows it "
        "too, because the gate measures a suspect again."
    )
    if not facts["kept"]:
        text += (
            f" The gate does not use these thresholds: there are fewer than {SESSIONS_MIN} sessions, or "
            "they are not of the whole suite (FILTER=, ROUNDS=)."
        )
    table = report.Table(["false alarms", "how often"], rows, align="ll")
    made = [report.Section("False alarms", text, table)]
    columns = ["row", "false alarms", "blocks above %", "could see %", *(f"+{p} %" for p in power)]
    lines = []
    for item in items:
        seen = item["detectable"]
        line = [
            item["name"],
            brief(item["false_alarms"], item["sessions"]),
            None if item["threshold"] is None else 100 * math.expm1(item["threshold"]),
        ]
        line.append(None if seen is None or not math.isfinite(seen) else 100 * math.expm1(seen))
        lines.append(line + [brief(item[f"found_{p}"], n) for p, (n, _) in power.items()])
    table = report.Table(columns, lines, align="l" + "r" * (len(columns) - 1))
    text = (
        "How often a real slowdown, a spin in the measured region, was blocked: sessions out of how many, "
        "with the interval in %."
    )
    found = report.Section("What is detected", text, table, curve(items, power))
    if found.svg:
        found.sections = [report.Section("By row", svg=heat_map(items, power))]
    made.append(found)
    lines = []
    for what in COUNTED:
        if f"found_{what}" in facts:
            missed = ", ".join(facts[f"missed_{what}"]) or "none"
            lines.append([f"one more {what}", len(facts[f"found_{what}"]), missed])
    if lines:
        text = (
            "One more system call or page fault in a whole region; one more instruction in each "
            "operation (found where it is more than 1 % of them)."
        )
        columns = ["made worse by", "rows that block", "rows that do not"]
        made.append(report.Section("Counts", text, report.Table(columns, lines, align="lrl")))
    return made


def curve(items, power):
    alone = [item for item in items if item["kind"] == "alone"]
    data = []
    for percent, (sessions, _) in power.items():
        if sessions and alone:
            hits, trials = sum(i[f"found_{percent}"] for i in alone), sessions * len(alone)
            low, high = stats.clopper_pearson(hits, trials)
            data.append([percent, 100 * hits / trials, 100 * low, 100 * high])
    if not data:
        return None
    script = (
        "set xlabel 'slowdown, %'\nset ylabel 'blocked, % of rows and sessions'\nset yrange [0:105]\n"
        "set xrange [0:21]\nset key bottom right\n"
        "plot $data using 1:2 with lines lt 1 notitle, "
        "$data using 1:2:3:4 with yerrorbars lt 1 title 'rows of one thread, 95 % interval'"
    )
    return report.plot(script, {"data": data})


def heat_map(items, power):
    """Rows of one thread by slowdown: the share of sessions that blocked."""
    percents = [p for p, (sessions, _) in power.items() if sessions]
    rows = sorted((i for i in items if i["kind"] == "alone"), key=lambda i: i["name"], reverse=True)
    share = lambda item, p: 100 * item[f"found_{p}"] / power[p][0]
    data = [
        [x, y, share(item, p), f"{share(item, p):.0f}"]
        for y, item in enumerate(rows)
        for x, p in enumerate(percents)
    ]
    ticks = ", ".join(f"'+{p} %%' {x}" for x, p in enumerate(percents))
    names = ", ".join(f"'{item['name']}' {y}" for y, item in enumerate(rows))
    script = (
        f"set xtics ({ticks})\nset ytics ({names})\nunset grid\nunset colorbox\nset cbrange [0:100]\n"
        "set palette defined (0 '#ffffff', 100 '#7fb2e5')\n"
        f"set xrange [-0.5:{len(percents) - 0.5}]\nset yrange [-0.5:{len(rows) - 0.5}]\n"
        "set title 'blocked, % of sessions'\n"
        "plot $data using 1:2:(0.5):(0.5):3 with boxxyerror fc palette fs solid notitle, "
        "$data using 1:2:4 with labels notitle"
    )
    return report.plot(script, {"data": data}, (720, 80 + 18 * len(rows)))


def run(options):
    report.pattern(options.filter, "FILTER")
    building.lock()
    run_machine = building.machine()
    folder = open_store(run_machine)
    try:
        work = Calibration(options, folder, run_machine)
    except (building.Unbuildable, building.Inconclusive) as error:
        report.die(str(error))

    def interrupted():
        processes.interrupt()
        print("interrupted; what was measured is kept, and is continued by the same command")
        publish(work, "interrupted")
        processes.end()

    report.on_interrupt(interrupted)
    try:
        left = 0 if options.score else work.all()
    except counting.CountError as error:
        report.die(str(error))
    if left:
        print(f"gate-calibrate: out of time; {left} sessions are left: the same command continues")
    publish(work, "pass")
    return 0
