#!/usr/bin/python3
"""bench.py: runs the benchmarks and writes results/bench/<stamp>/: raw rows first, then the report.

    scripts/bench.py                    # every row, some minutes (`make bench` builds first)
    scripts/bench.py --quick            # fewer sizes, rounds and time: about a minute
    scripts/bench.py --filter=REGEX     # these rows, and the bare calls that bound them
    scripts/bench.py --from=FOLDER      # the report once more from a run's stored raw rows

Each row of each round runs in a fresh process of its own, in an order shuffled anew for each round,
rows to be compared close together: what one row leaves behind, and what the machine does meanwhile,
meets all rows alike. Every row of
every round is kept in raw/rows.jsonl as Google Benchmark wrote it, with our round and position.
bench/README.md tells how the figures are to be read.

Exit status: 0; 1 a row crashed or hung; 2 usage or set-up; 130 interrupted (the report is partial).
"""
import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench_figures
import bench_report
import report

PROGRAM = report.REPO / "build" / "bench" / "bench"
ROW_LIMIT_S = 60  # a row that takes longer hangs
ROUNDS_MIN = 3  # on a machine so busy that all rounds would take longer than the limit
# rounds, seconds of measuring a row and round, sizes left out, seconds that a row and round takes
# in all on a quiet machine, seconds after which no round is started
FULL = (7, 0.02, None, 0.09, 400)
QUICK = (5, 0.004, re.compile(r"/pages:(4|64)(/|$)(?!offset)"), 0.03, 45)
MARKED_ITERATIONS = 16
# Rows with two threads: they get more time, as they spread, and their system calls are not counted,
# as they do not make the same ones each time.
CROSS_THREAD = re.compile(r"/(threads:[2-9]|cores:\d|of:v8)$|/(producers|waiters):\d|of:v8/")
CROSS_THREAD_TIMES = 5
# Whose calls cannot be counted: those of several threads, and of another process.
UNCOUNTED = re.compile(CROSS_THREAD.pattern + r"|/of:v8(/|$)")
SLOW_NS = 20e6  # an iteration of a row that is traced but once


def arguments():
    parser = argparse.ArgumentParser(description="Runs the benchmarks and reports them.")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, rounds and time")
    parser.add_argument("--filter", metavar="REGEX", help="only rows whose name matches")
    parser.add_argument("--rounds", type=int, help="fresh processes a row")
    parser.add_argument("--time", type=float, help="seconds a row and round, at least")
    parser.add_argument("--seed", type=int, help="of the order of the rows")
    parser.add_argument("--program", default=PROGRAM, type=pathlib.Path, help=f"default: {PROGRAM}")
    parser.add_argument("--root", type=pathlib.Path, help="folder that holds results/")
    parser.add_argument("--from", dest="stored", type=pathlib.Path, help="a run's folder")
    given = parser.parse_args()
    if given.rounds is not None and not 1 <= given.rounds <= 1000:
        report.die("--rounds wants a number from 1 to 1000")
    if given.time is not None and not 0 < given.time <= 100:
        report.die("--time wants seconds: more than 0, up to 100")
    return given


# ---------------------------------------------------------------- the program


class Program:
    """The benchmark program, one process at a time."""

    def __init__(self, path):
        self.path, self.child = path, None
        if not path.is_file():
            report.die(f"{path} is missing: run `make bench`, which builds it")

    def run(self, options, before=()):
        """(status, output, errors); status None: it hung and was ended."""
        command = [*before, str(self.path), *options]
        try:
            self.child = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is ours: the report comes first
            )
        except OSError as error:
            report.die(f"cannot run {command[0]}: {error.strerror}")
        try:
            output, errors = self.child.communicate(timeout=ROW_LIMIT_S)
            return self.child.returncode, output, errors
        except subprocess.TimeoutExpired:
            self.stop()
            return None, "", f"took more than {ROW_LIMIT_S} s"
        finally:
            self.child = None

    def stop(self):
        if self.child:
            self.child.kill()

    def list(self, pattern=None, quick=False):
        """Names -> names of the rows that bound them; quick: of those that quick runs have."""
        options = ["--list"] + ([f"--filter={pattern}"] if pattern is not None else [])
        options += ["--quick"] if quick else []
        status, output, errors = self.run(options)
        if status != 0:
            print(
                errors.strip().partition("\n")[0] or "the program cannot list its rows",
                file=sys.stderr,
            )
            raise SystemExit(2)
        lines = [line.partition("\t") for line in output.splitlines()]
        return {name: [b for b in bounds.split(",") if b] for name, _, bounds in lines}


def selected(program, pattern, left_out):
    """The rows to run, each with its bounds: those asked for, and what bounds them."""
    every = program.list()
    chosen = program.list(pattern, quick=bool(left_out))
    if left_out:
        chosen = {name: bounds for name, bounds in chosen.items() if not left_out.search(name)}
    if not chosen:
        report.die(f"--filter={pattern} matches only sizes that --quick leaves out")
    for bounds in list(chosen.values()):
        chosen |= {name: every[name] for name in bounds}
    return chosen


def crash(status, errors):
    reason = (
        "hung"
        if status is None
        else f"ended by signal {-status}"
        if status < 0
        else f"ended with {status}"
    )
    last = errors.strip().splitlines()
    return f"{reason}: {last[-1]}" if last else reason


# ---------------------------------------------------------------- measuring


class Measurement:
    """The rows as they come; everything is on disk before it is in a report."""

    def __init__(self, program, names, rounds, time_s, row_s, seed, run):
        self.program, self.names, self.rounds = program, names, rounds
        self.time_s, self.row_s, self.run = time_s, row_s, run
        self.random = random.Random(seed)
        self.facts = {"seed": seed, "rounds": rounds, "time_s": time_s, "bounds": names}
        self.facts["system_calls"] = self.facts["calls_missing"] = None
        self.rows, self.crashes = [], {}
        self.file = run.path("raw/rows.jsonl").open("w", encoding="utf-8")

    def keep_facts(self):
        path = self.run.path("raw/run.json")
        path.write_text(json.dumps(self.facts, indent=1) + "\n", encoding="utf-8")

    def row(self, name, round_number, position):
        time_s = self.time_s * (CROSS_THREAD_TIMES if CROSS_THREAD.search(name) else 1)
        options = [f"--only={name}", f"--time={time_s}", "--json"]
        status, output, errors = self.program.run(options)
        try:
            result = json.loads(output)
        except ValueError:
            result = {}
        rows = result.get("benchmarks", [])
        if status != 0 or not rows:
            self.crashes.setdefault(name, crash(status, errors))
            return
        self.facts.setdefault("context", result["context"])
        for row in rows:
            row |= {"round": round_number, "position": position}
            self.rows.append(row)
            self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def all_rounds(self, progress, limit_s):
        done, total = 0, self.rounds * len(self.names)
        began = time.monotonic()
        for number in range(self.rounds):
            spent = time.monotonic() - began
            if limit_s and number >= ROUNDS_MIN and spent + spent / number > limit_s:
                break
            self.facts["rounds"] = number + 1
            for position, name in enumerate(shuffled(self.names, self.random)):
                spent = time.monotonic() - began
                pace = spent / done if done > 50 else self.row_s
                left = pace * (total - done)
                progress.update(
                    f"round {number + 1}/{self.rounds}, about {left:.0f} s left: {name}"
                )
                if name not in self.crashes:
                    self.row(name, number, position)
                done += 1
                if number == 0 and position == 0:
                    self.keep_facts()

    def count_calls(self, progress):
        """System calls of the measured part of each row, an iteration, by a tracer; a pass of its
        own, as a traced call is slow. Exact, but for rows with two threads."""
        if report.output_of(["strace", "--version"]) is None:
            self.facts["calls_missing"] = "strace is missing (scripts/setup installs it)"
            return
        self.facts["system_calls"] = {}
        nanoseconds = bench_figures.NANOSECONDS
        slow = {
            row["name"]
            for row in self.rows
            if row.get("real_time", 0) * nanoseconds.get(row.get("time_unit"), 1) > SLOW_NS
        }
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder) / "trace"
            for number, name in enumerate(sorted(self.names)):
                if UNCOUNTED.search(name) or name in self.crashes:
                    continue
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
                    continue  # that row alone: it hangs, or crashes, when it is traced
                if status != 0:
                    self.facts["calls_missing"] = "strace is not allowed to trace here"
                    return
                iterations = json.loads(output)["benchmarks"][0].get("iterations", 0)
                if iterations:
                    calls = calls_between_marks(trace.read_text(errors="replace"))
                    self.facts["system_calls"][name] = {c: n / iterations for c, n in calls.items()}


VARIANT = re.compile(r"/(strategy|allocator|reset|of|check|guard|type|orders|order|via|written|advice|offset):[^/]*")


def shuffled(names, generator):
    """The rows in an order of chance, but those to be compared with each other close together: an
    operation at one size, by all strategies, and what bounds it. So a machine that is busy for a
    while is busy for all of them."""
    owners = {}
    for name in sorted(names):
        for bound in names[name]:
            owners.setdefault(bound, name)
    groups = {}
    for name in sorted(names):
        groups.setdefault(VARIANT.sub("", owners.get(name, name)), []).append(name)
    order = list(groups.values())
    generator.shuffle(order)
    for group in order:
        generator.shuffle(group)
    return [name for group in order for name in group]


def locked_instructions(folder):
    """Order table -> locked instructions in the objects of the mailbox, host and guest; x86 "
    "only."""
    found = {}
    for table in bench_figures.ORDERS:
        built = folder.parent / "plain" if table == "chosen" else folder / table
        objects = [built / "ref" / f"{name}.o" for name in ("mailbox", "guest")]
        command = ["objdump", "-d", "--no-show-raw-insn", *map(str, objects)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            return {}
        found[table] = len(re.findall(r"\block |\bxchg\s[^\n]*\(|\bmfence", done.stdout))
    return found if any(found.values()) else {}


def calls_between_marks(trace):
    """How often each call stands between "bench+" and "bench-" in strace's output."""
    counts, measured = {}, False
    for line in trace.splitlines():
        mark = re.match(r'write\(-1, "bench([+-])"', line)
        call = re.match(r"(\w+)\(", line)
        if mark:
            measured = mark.group(1) == "+"
        elif (
            measured and call and call.group(1) not in ("clock_gettime", "getrusage")
        ):  # the clock's
            counts[call.group(1)] = counts.get(call.group(1), 0) + 1
    return counts


# ---------------------------------------------------------------- putting it together


def publish(run, facts, rows, crashes, status, given):
    """Writes the three reports; returns where."""
    run.machine["flags"] = facts.get("context", {}).get("flags", run.machine["flags"])
    made = bench_report.Report(facts, rows, crashes, quick=given.quick, pattern=given.filter)
    lead = made.lead(status)
    title = "Benchmarks of linear memories, waits and mailboxes"
    return run.finish(status, made.summary(), made.items(), made.sections(), title, lead)


def stored(folder):
    """(facts, rows) of an earlier run. A line cut short by an interrupt is left out."""
    rows = []
    try:
        facts = json.loads((folder / "raw" / "run.json").read_text(encoding="utf-8"))
        lines = (folder / "raw" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        report.die(f"{folder} has no raw rows of a run (raw/run.json, raw/rows.jsonl): {error}")
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
            row["name"], row["round"]
            rows.append(row)
        except (ValueError, KeyError, TypeError):
            print(f"bench.py: line {number + 1} of rows.jsonl is no row: left out", file=sys.stderr)
    return facts, rows


def again(given):
    """The report from stored raw rows, as a run of its own."""
    facts, rows = stored(given.stored)
    run = report.Run("bench", given.root)
    run.path("raw/run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    run.path("raw/rows.jsonl").write_text(lines, encoding="utf-8")
    try:
        old = json.loads((given.stored / "report.json").read_text(encoding="utf-8"))
        run.machine, run.commit, run.dirty = old["machine"], old["commit"], old["dirty"]
    except (OSError, ValueError, KeyError):
        pass  # rows without a report: interrupted hard; machine and commit are today's
    return publish(run, facts, rows, facts.get("crashes", {}), "pass", given)


def measure(given):
    rounds, time_s, left_out, row_s, limit_s = QUICK if given.quick else FULL
    if given.rounds:
        rounds, limit_s = given.rounds, None
    time_s = given.time or time_s
    seed = given.seed if given.seed is not None else int(time.time())
    program = Program(given.program)
    names = selected(program, given.filter, left_out)
    run = report.Run("bench", given.root)
    progress = report.Progress()
    work = Measurement(program, names, rounds, time_s, row_s, seed, run)
    work.facts["locked_instructions"] = locked_instructions(given.program.parent)
    work.facts |= {"quick": given.quick, "filter": given.filter}

    def finish(status):
        work.facts["crashes"] = work.crashes
        work.keep_facts()
        return publish(run, work.facts, work.rows, work.crashes, status, given)

    def interrupted():
        program.stop()
        progress.done()
        print(f"interrupted; the report of {len(work.rows)} measurements: {finish('interrupted')}")

    report.on_interrupt(interrupted)
    print(
        f"bench: {len(names)} rows, {rounds} rounds, about "
        f"{len(names) * (rounds * row_s + 0.05):.0f} s"
    )
    sys.stdout.flush()
    work.all_rounds(progress, limit_s)
    work.count_calls(progress)
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


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:  # a full disk, most likely: what was written until then stays
        where = f" {error.filename}" if error.filename else ""
        report.die(f"cannot go on:{where} {error.strerror}; free some space, or check the rights")
