"""run.py: runs the benchmarks and writes results/bench/<stamp>/: raw rows first, then the report.

    scripts/bench.py                    # every row, 17 minutes (`make bench` builds first)
    scripts/bench.py --quick            # fewer sizes, rounds and time: under two minutes
    scripts/bench.py --filter=REGEX     # these rows, and the bare calls that bound them
    scripts/bench.py --from=FOLDER      # writes the report again from a run's stored raw rows

Each row of each round runs in a fresh process, in an order that is shuffled for each round but keeps
rows that are compared close together: whatever a row leaves behind, and whatever else the machine does,
affects all rows alike. Every row of every round is kept in raw/rows.jsonl as Google Benchmark wrote it,
with its round and position. bench/README.md explains how to read the figures.

Exit status: 0; 1 a row crashed or hung; 2 usage or set-up; 130 interrupted (the report is partial).
"""
import argparse
import collections
import json
import pathlib
import random
import re
import sys
import tempfile
import time

from pagebox.bench import barriers
from pagebox.bench import compare
from pagebox.bench import measures
from pagebox.bench import plan
from pagebox.bench import words
from pagebox.bench.program import PROGRAM, Program, stored
from pagebox.bench import page
from pagebox.common import processes
from pagebox.common import report

# Budget of a run in seconds, including tracing and counting; most and fewest rounds; seconds of measuring per row in
# the pilot round.
FULL = (1020, 9, 3, 0.002)
QUICK = (95, 5, 2, 0.002)
EXTRA_PART = 0.15  # part of the measuring time that goes to rows whose interval is wide after all rounds
TRACED_ROW_S = 0.05  # approximate time to count the system calls of a row
TUNED_ROUNDS, TUNED_TIME_S = 9, 0.01  # before and after, per row
TUNED_S = 60
MARKED_ITERATIONS = 16
PARTIES_TIMES = 4  # rows with several threads get more time, because they vary more
SLOW_NS = 20e6  # a row whose iteration takes longer is traced only once


def arguments():
    parser = argparse.ArgumentParser(description="Runs the benchmarks and reports them.")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, rounds and time")
    parser.add_argument("--filter", metavar="REGEX", help="only rows whose name matches")
    parser.add_argument("--rounds", type=int, help="fresh processes per row")
    parser.add_argument("--time", type=float, help="seconds per row and round, at least")
    parser.add_argument("--seed", type=int, help="seed of the order of the rows")
    parser.add_argument("--program", default=PROGRAM, type=pathlib.Path, help=f"default: {PROGRAM}")
    parser.add_argument("--root", type=pathlib.Path, help="folder that holds results/")
    parser.add_argument("--from", dest="stored", type=pathlib.Path, help="a run's folder")
    given = parser.parse_args()
    if given.rounds is not None and not 1 <= given.rounds <= 1000:
        report.die("--rounds takes a number from 1 to 1000")
    if given.time is not None and not 0 < given.time <= 100:
        report.die("--time takes seconds: more than 0, up to 100")
    return given


def selected(program, known, pattern, quick):
    """The rows to run: those asked for, and the rows that they are compared with."""
    chosen = program.list(pattern, quick=quick)
    for beside in list(chosen.values()):
        chosen |= {name: list(known.row(name).beside) for name in beside}
    return chosen


# ---------------------------------------------------------------- measuring


class Measurement:
    """Collects the rows; everything is on disk before it is in a report."""

    def __init__(self, program, described, names, seed, run):
        self.program, self.names, self.run = program, names, run
        self.words = words.Words(described)
        self.random = random.Random(seed)
        self.facts = {"seed": seed, "rounds": 0, "bounds": names, "words": described}
        self.facts["system_calls"] = self.facts["calls_missing"] = None
        self.rows, self.crashes = [], {}
        self.times, self.costs = {}, {}  # seconds of measuring, and in all, per row and round
        self.left_s = None  # until the planned end
        self.file = run.path("raw/rows.jsonl").open("w", encoding="utf-8")

    def keep_facts(self):
        path = self.run.path("raw/run.json")
        path.write_text(json.dumps(self.facts, indent=1) + "\n", encoding="utf-8")

    def row(self, name, round_number, position):
        options = [f"--only={name}", f"--time={self.times[name]:.4g}", "--json"]
        began = time.monotonic()
        status, output, errors = self.program.run(options)
        self.costs[name] = time.monotonic() - began
        try:
            result = json.loads(output)
        except ValueError:
            result = {}
        rows = result.get("benchmarks", [])
        if status != 0 or not rows:
            self.crashes.setdefault(name, processes.last_words(status, errors))
            return
        self.facts.setdefault("context", result["context"])
        for row in rows:
            row |= {"round": round_number, "position": position}
            self.rows.append(row)
            self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def one_round(self, number, names, what, progress, after_s):
        """Runs all of names once. after_s: time planned for what follows this round."""
        left_s = sum(self.costs.get(n, 0) for n in names)
        for position, name in enumerate(shuffled({n: self.names[n] for n in names}, self.words, self.random)):
            left = f"about {left_s + after_s:.0f} s left" if left_s else f"row {position + 1}"
            progress.update(f"{what}, {left}: {name}")
            left_s -= self.costs.get(name, 0)
            if name not in self.crashes:
                self.row(name, number, position)
            if position == 0:
                self.keep_facts()

    def weight(self, name):
        return PARTIES_TIMES if self.words.row(name).parties else 1

    def fixed(self, rounds, time_s, progress):
        """The requested number of rounds of the requested length, without a pilot."""
        self.times = {n: time_s * self.weight(n) for n in self.names}
        for number in range(rounds):
            self.facts["rounds"] = number + 1
            what = f"round {number + 1}/{rounds}"
            after_s = sum(self.costs.values()) * (rounds - number - 1)
            self.one_round(number, self.names, what, progress, after_s)

    def planned(self, budget_s, rounds, rounds_min, pilot_s, progress, say):
        """A pilot, the planned rounds, and more rounds for rows that need them."""
        began = time.monotonic()
        self.times = {n: pilot_s * self.weight(n) for n in self.names}
        self.one_round(measures.PILOT, self.names, "pilot round", progress, 0)
        left_s = budget_s - (time.monotonic() - began)
        costs = {n: max(self.costs[n], 1e-4) for n in self.names if n not in self.crashes}
        weights = {n: self.weight(n) for n in costs}
        rounds, times, planned_s = plan.plan(
            costs, self.times, weights, left_s * (1 - EXTRA_PART), rounds, rounds_min
        )
        self.times |= times
        say(f"{rounds} rounds, about {planned_s:.0f} s; then up to {left_s * EXTRA_PART:.0f} s more "
            "for the rows that spread")
        for number in range(rounds):
            spent = time.monotonic() - began
            if number >= rounds_min and spent + planned_s / rounds > budget_s:
                break  # the machine is busier than in the pilot
            self.facts["rounds"] = number + 1
            after_s = planned_s * (rounds - number - 1) / rounds
            what = f"round {number + 1}/{rounds}"
            self.one_round(number, list(costs), what, progress, after_s)
        self.more_for_the_wide(began + budget_s, progress)

    def more_for_the_wide(self, until, progress):
        """More rounds for rows whose interval is wide, while there is time and such a row."""
        for number in range(self.facts["rounds"], 3 * self.facts["rounds"]):
            figures = measures.figures_of(self.facts, self.rows, self.crashes)
            wide = {n: f.width for n, f in figures.items() if f.noisy}
            left_s = until - time.monotonic()
            names = plan.extra_rows(wide, self.names, self.costs, left_s)
            if not names:
                return
            self.facts["extra_rounds"] = self.facts.get("extra_rounds", 0) + 1
            what = f"once more, {len(names)} rows that spread"
            self.one_round(number, names, what, progress, 0)

    def before_and_after(self, progress):
        """What was tuned (bench/tuned.txt): the rows with ref/ before and after the change, in turn. Revisions that are
        not built (`make bench` builds them) are left out."""
        self.facts["tuned"] = []
        for revision, pattern, words in compare.tuned_entries():
            key = compare.revision_key(revision)
            path = key and compare.REVISIONS / key / "build" / "bench" / "bench"
            entry = {"revision": revision, "pattern": pattern, "words": words, "rows": [[], []]}
            self.facts["tuned"].append(entry)
            if not path or not path.is_file():
                entry["missing"] = "its revision is not built: `make bench` builds it"
                continue
            before = Program(path)
            names = sorted(set(before.list(pattern)) & set(self.program.list(pattern)))
            compare.pair_rounds(
                [before, self.program],
                names,
                TUNED_ROUNDS,
                TUNED_TIME_S,
                self.random,
                lambda side, number, row: entry["rows"][side].append(row),
                lambda text: progress.update(f"before and after, {text}"),
            )
            self.keep_facts()

    def count_calls(self, progress, until=None):
        """System calls per iteration of the measured part of each row, from a tracer. A separate pass, because traced
        calls are slow. Exact, except for rows with two threads."""
        if report.output_of(["strace", "--version"]) is None:
            self.facts["calls_missing"] = "strace is missing (scripts/setup installs it)"
            return
        self.facts["system_calls"] = {}
        nanoseconds = measures.NANOSECONDS
        slow = {
            row["name"]
            for row in self.rows
            if row.get("real_time", 0) * nanoseconds.get(row.get("time_unit"), 1) > SLOW_NS
        }
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder) / "trace"
            for number, name in enumerate(sorted(self.names)):
                if self.words.row(name).parties or name in self.crashes:
                    continue
                if until and time.monotonic() > until:
                    self.facts["calls_missing"] = "the time was over: for the last rows they are missing"
                    return
                progress.update(
                    f"counting system calls, row {number + 1}/{len(self.names)}: {name}"
                )
                options = [
                    f"--only={name}",
                    f"--iterations={1 if name in slow else MARKED_ITERATIONS}",
                    "--marks",
                    "--json",
                ]
                status, output, _ = self.program.run(options, ["strace", "-o", str(trace)])
                if status is None or (status != 0 and self.facts["system_calls"]):
                    continue  # only this row hangs or crashes when traced
                if status != 0:
                    self.facts["calls_missing"] = "strace is not allowed to trace here"
                    return
                iterations = json.loads(output)["benchmarks"][0].get("iterations", 0)
                if iterations:
                    calls = calls_between_marks(trace.read_text(errors="replace"))
                    self.facts["system_calls"][name] = {c: n / iterations for c, n in calls.items()}


def shuffled(names, known, generator):
    """The rows in random order, except that rows to be compared stay close together: an operation at one size, by all
    strategies, with its bounds. So a machine that is busy for a while affects all of them."""
    owners = {}
    for name in sorted(names):
        for bound in names[name]:
            owners.setdefault(bound, name)
    groups = {}
    for name in sorted(names):
        groups.setdefault(known.kin(owners.get(name, name)), []).append(name)
    order = list(groups.values())
    generator.shuffle(order)
    for group in order:
        generator.shuffle(group)
    return [name for group in order for name in group]


def calls_between_marks(trace):
    """How often each call occurs between "bench+" and "bench-" in strace's output."""
    counts, measured = {}, False
    for line in trace.splitlines():
        mark = re.match(r'write\(-1, "bench([+-])"', line)
        call = re.match(r"(\w+)\(", line)
        if mark:
            measured = mark.group(1) == "+"
        elif (
            measured and call and call.group(1) not in ("clock_gettime", "getrusage")
        ):  # calls of the clock
            counts[call.group(1)] = counts.get(call.group(1), 0) + 1
    return counts


# ---------------------------------------------------------------- putting it together


def google_json(facts, rows):
    """The rows as one run of Google Benchmark with repetitions, which its tools (compare.py) can read."""
    context = dict(facts.get("context") or {})
    kept = sorted((r for r in rows if r["round"] != measures.PILOT), key=lambda r: r["name"])
    counts = collections.Counter(row["name"] for row in kept)
    done, made = collections.Counter(), []
    for row in kept:
        name = row["name"]
        made.append(row | {"repetitions": counts[name], "repetition_index": done[name]})
        done[name] += 1
    return {"context": context, "benchmarks": made}


def publish(run, facts, rows, crashes, status, given):
    """Writes the three reports, and the rows for Google Benchmark's tools; returns where."""
    text = json.dumps(google_json(facts, rows)) + "\n"
    run.path("google-benchmark.json").write_text(text, encoding="utf-8")
    run.machine["flags"] = facts.get("context", {}).get("flags", run.machine["flags"])
    made = page.Report(facts, rows, crashes, quick=given.quick, pattern=given.filter)
    lead = made.lead(status)
    title = "Benchmarks of linear memories, waits and mailboxes"
    return run.finish(made.judged(status), made.summary(), made.items(), made.sections(), title, lead)


def again(given):
    """Writes the report from stored raw rows, as a run of its own."""
    facts, rows = stored(given.stored)
    if not facts.get("words"):  # from a run before rows carried their words
        facts["words"] = Program(given.program).describe()
    run = report.Run("bench", given.root)
    run.path("raw/run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    run.path("raw/rows.jsonl").write_text(lines, encoding="utf-8")
    try:
        old = json.loads((given.stored / "report.json").read_text(encoding="utf-8"))
        run.machine, run.commit, run.dirty = old["machine"], old["commit"], old["dirty"]
    except (OSError, ValueError, KeyError):
        pass  # rows without a report, after a hard interrupt; machine and commit are today's
    return publish(run, facts, rows, facts.get("crashes", {}), "pass", given)


def measure(given):
    budget_s, rounds, rounds_min, pilot_s = QUICK if given.quick else FULL
    seed = given.seed if given.seed is not None else int(time.time())
    program = Program(given.program)
    described = program.describe()
    names = selected(program, words.Words(described), given.filter, given.quick)
    run = report.Run("bench", given.root)
    progress = report.Progress()
    work = Measurement(program, described, names, seed, run)
    work.facts |= {"quick": given.quick, "filter": given.filter}

    def finish(status):
        work.facts["crashes"] = work.crashes
        work.keep_facts()
        return publish(run, work.facts, work.rows, work.crashes, status, given)

    def interrupted():
        program.stop()
        progress.done()
        print(f"interrupted; the report of {len(work.rows)} measurements: {finish('interrupted')}")

    def say(text):
        progress.done()
        print(f"bench: {text}", flush=True)

    report.on_interrupt(interrupted)
    began, planned = time.monotonic(), not (given.rounds or given.time)
    if not planned:
        rounds = given.rounds or rounds
        say(f"{len(names)} rows, {rounds} rounds")
        work.fixed(rounds, given.time or pilot_s, progress)
    else:
        wanted_s = min(budget_s, len(names) * (budget_s / 300))  # a few rows need less time
        say(f"{len(names)} rows, about {wanted_s / 60:.1f} minutes in all")
        counting_s = len(names) * TRACED_ROW_S
        counting_s += 0 if given.quick or given.filter else TUNED_S
        work.planned(wanted_s - counting_s, rounds, rounds_min, pilot_s, progress, say)
    if planned and not given.quick and not given.filter:
        work.before_and_after(progress)
    work.count_calls(progress, began + budget_s if planned else None)
    # The counts are exact, so an earlier count of the same code can be reused; `make bench` counts first.
    work.facts["barriers"] = barriers.stored()
    if not given.filter and not work.facts["barriers"]:
        work.facts["barriers"] = barriers.measure(None, False, progress.update, "x86-64")
    progress.done()
    for name, what in work.crashes.items():
        print(f"finding: bench-crash {name}: {what}", file=sys.stderr)
    return finish("finding" if work.crashes else "pass"), bool(work.crashes)


def main():
    given = arguments()
    path, found = (again(given), False) if given.stored else measure(given)
    answers = (path / "report.md").read_text(encoding="utf-8").split("\n## ")
    print("\n".join(line for line in answers[1].splitlines()[1:] if line))
    print(f"\nbench: {path / 'report.html'}")
    return 1 if found else 0
