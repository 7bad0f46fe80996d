#!/usr/bin/python3
"""gate.py: says whether the work tree is worse than BASE, in speed or in behaviour.

    scripts/gate.py run --base REV        `make gate`: behaviour, counts and time; see --help
    scripts/gate.py calibrate             `make gate-calibrate`: how often the gate is wrong
    scripts/gate.py selftest [--fast]     `make gate-selftest`: planted regressions block, others do not
    scripts/gate.py check                 the planted patches apply and compile
    scripts/gate.py previous              counts against HEAD^, as one test
    scripts/gate.py trend                 `make trend`: each row over the commits

bench/gate/README.md tells what is measured and how verdicts are reached. Reports: results/gate/.
Exit status: 0 pass, 1 regression, 2 usage or set-up, 3 inconclusive, 130 interrupted (the report
then holds what was done).
"""
import argparse
import json
import os
import pathlib
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gate_behaviour
import gate_build
import gate_calibrate
import gate_counts
import gate_history
import gate_report
import gate_selftest
import gate_time
import report

TIME_S = 240  # at most for the pairs; usually much less
BUILD_S, COUNTS_S, ROUND_S = 4, 28, 1.1  # usual, on a quiet machine with two cores


class Gate:
    """One comparison: what was found so far, so that it can end at any moment."""

    def __init__(self, options):
        self.options = options
        self.items, self.notes, self.parts = [], [], []
        self.facts = {"base": None}
        self.stopping = False
        self.behaviour = self.counted = self.pairs = None
        if options.time is not None and options.time < 10:
            report.die(f"TIME={options.time:g} seconds are too few: 10 at least")
        self.commit = gate_build.revision(options.base)
        self.chosen = report.pattern(options.filter, "FILTER")
        gate_build.lock()
        self.run = report.Run("gate")
        self.facts |= {"base": self.commit, "base_name": options.base}
        self.began = time.monotonic()
        self.expected = self.expected_s()
        self.progress = report.Progress()

    def expected_s(self):
        """Part -> seconds that it takes on a quiet machine."""
        parts = {"build": BUILD_S, "counts": COUNTS_S}
        if self.options.timed:
            parts["time"] = min(self.options.time or TIME_S, ROUND_S * self.options.rounds)
        if self.options.behaviour:
            parts["behaviour"] = sum(step.usual_s for step in gate_behaviour.steps())
        return parts

    def say(self, part, share, text):
        """Progress: how much of a part is done. What is left takes as much longer than usual as what
        is done took."""
        order = list(self.expected)
        done = sum(self.expected[name] for name in order[: order.index(part)])
        done += share * self.expected[part]
        spent, total = time.monotonic() - self.began, sum(self.expected.values())
        slower = max(1, spent / done) if done > BUILD_S else 1
        self.progress.update(f"{text}; about {(total - done) * slower:.0f} s left")

    def stopped(self):
        return self.stopping

    # ------------------------------------------------------------ parts

    def build(self):
        self.say("build", 0, "building both sides")
        try:
            self.base = gate_build.prepare(
                "base", lambda folder: gate_build.from_revision(folder, self.commit)
            )
        except gate_build.Unbuildable as error:
            raise SetUp(f"BASE={self.options.base} cannot be built: {error}")
        try:
            self.head = gate_build.prepare("head", gate_build.from_work_tree)
        except gate_build.Unbuildable as error:
            raise SetUp(f"the work tree cannot be built: {error}")
        sizes = gate_build.text_bytes(self.base), gate_build.text_bytes(self.head)
        self.facts |= {"code_bytes_base": sizes[0], "code_bytes_head": sizes[1]}
        if gate_build.same_code(self.base, self.head):
            self.notes.append("the machine code of both sides is the same, byte for byte")
        elif None not in sizes and sizes[0] != sizes[1]:
            self.notes.append(f"advice: code size {sizes[0]:,} -> {sizes[1]:,} bytes")
        if self.commit == self.run.commit and self.run.dirty:
            self.notes.append("BASE is the commit that the work tree has changes to")

    def rows(self):
        """row -> what the program says of it, of both sides and as the filter says."""
        found = gate_counts.rows(self.base.program()) | gate_counts.rows(self.head.program())
        chosen = {name: row for name, row in found.items() if self.chosen.search(name)}
        if not chosen:
            raise SetUp(f"FILTER={self.options.filter} matches no row")
        return chosen | {"control": found["control"]}

    def count(self, rows):
        self.waivers, faults = gate_counts.read_waivers()
        if faults:
            raise SetUp("; ".join(faults))
        programs, kinds = {}, {}
        for side in (self.base, self.head):
            own = gate_counts.rows(side.program())
            programs[side.name] = side.program()
            kinds[side.name] = {name: row["threads"] for name, row in rows.items() if name in own}
        self.counted = {name: {} for name in programs}
        tasks = sum(map(len, kinds.values()))
        said = lambda row: self.say(
            "counts", sum(map(len, self.counted.values())) / tasks, f"counting {row}"
        )
        gate_counts.count_sides(programs, kinds, self.counted, said, self.stopped)
        if not self.stopping:
            self.compare_counts()
            self.parts.append("counts")

    def compare_counts(self):
        """Of an interrupted run only the rows that both sides have."""
        base, head = self.counted["base"], self.counted["head"]
        if self.stopping:
            both = base.keys() & head.keys()
            base, head = ({row: side[row] for row in both} for side in (base, head))
        self.keep("counts.json", self.counted)
        self.items += gate_counts.compare(base, head, self.waivers)
        if not self.options.filter and not self.stopping:
            self.notes += gate_counts.waiver_notes(self.waivers)

    def sample(self, rows):
        own = (
            gate_counts.rows(self.base.program()).keys()
            & gate_counts.rows(self.head.program()).keys()
        )
        kinds = {name: row["threads"] for name, row in rows.items() if row["timed"] and name in own}
        calibrated = gate_calibrate.thresholds(self.run.machine)
        if not calibrated:
            self.notes.append(
                "this machine has no calibration: thresholds are from this session's own noise "
                "(make gate-calibrate)"
            )
        until = time.monotonic() + (self.options.time or TIME_S)
        seed = int(time.time())
        self.sampler = gate_time.Sampler(self.base.program(), self.head.program(), kinds, seed)
        for row in sorted(self.sampler.left_out):
            self.notes.append(f"{row}: not timed: it wants two cores")
        self.pairs = pairs = {}
        self.judge = lambda: gate_time.judge(pairs, kinds, calibrated)
        gate_time.session(
            self.sampler, self.options.rounds, until,
            lambda done, all_: self.say("time", done / all_, f"timing, round {done} of {all_}"),
            self.stopped, pairs,
        )  # fmt: skip
        self.keep("pairs.json", {row: [vars(p) for p in found] for row, found in pairs.items()})
        items = self.judge()
        suspects = [i for i in items if i["verdict"] == "regression"]
        if suspects and not self.stopping:
            self.confirm(suspects, items, kinds, calibrated, seed)
        self.items += items
        if not self.stopping:
            self.parts.append("time")

    def confirm(self, suspects, items, kinds, calibrated, seed):
        """Suspected regressions are measured again, both sides linked in another order."""
        order = seed % 1000 + 1
        programs = [gate_build.link(side, order) for side in (self.base, self.head)]
        wanted = {item["name"]: kinds[item["name"]] for item in suspects}
        sampler = gate_time.Sampler(*programs, wanted, seed + 1)
        until = time.monotonic() + (self.options.time or TIME_S) / 2
        pairs = gate_time.session(
            sampler, gate_time.CONFIRM_ROUNDS, until,
            lambda done, all_: self.say(
                "time", 1, f"timing {len(wanted)} suspects again, round {done} of {all_}"
            ),
            self.stopped,
        )  # fmt: skip
        self.keep(
            "pairs-again.json", {row: [vars(p) for p in found] for row, found in pairs.items()}
        )
        gate_time.settle(items, gate_time.judge(pairs, wanted, calibrated))

    def behave(self):
        self.behaviour = gate_behaviour.Runner(self.run.path("raw/behaviour/log").parent)
        usual_s = 0
        for step in gate_behaviour.steps():
            if self.stopping:
                return
            self.say("behaviour", usual_s / self.expected["behaviour"], f"behaviour: {step.name}")
            usual_s += step.usual_s
            done = self.behaviour.run(step)
            if self.stopping:
                return
            if done.status not in (0, 1) and step.name == "build":
                raise SetUp(f"the harness cannot be built: {' '.join(done.findings)}")
            self.items.append(gate_behaviour.item(done))
        self.parts.append("behaviour")

    # ------------------------------------------------------------ the end

    def keep(self, name, what):
        self.run.path(f"raw/{name}").write_text(json.dumps(report.plain(what)) + "\n")

    def finish(self, verdict=None, why=""):
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            self.progress.done()
            verdict = verdict or gate_report.overall(self.items, self.parts)
            status = "finding" if verdict == "regression" else verdict
            name = self.options.base
            lead = (
                f"the work tree{' (with uncommitted changes)' if self.run.dirty else ''} against "
            )
            lead += self.commit[:12] + (f" ({name})" if not self.commit.startswith(name) else "")
            lead += f"; {time.monotonic() - self.began:.0f} s" + (f". {why}" if why else "")
            self.run.machine["flags"] = " ".join(gate_build.flags())
            self.facts["verdict"] = verdict
            seconds = time.monotonic() - self.began
            self.run.path("junit.xml").write_text(
                gate_report.junit(self.items, seconds, self.notes)
            )
            made = gate_report.sections(self.items, self.notes)
            summary = gate_report.summary(self.items, self.facts)
            title = f"Gate: {gate_report.WORDS[verdict].lower()}"
            path = self.run.finish(status, summary, self.items, made, title, lead)
            shown = os.path.relpath(path / "report.html")
            print(gate_report.screen(verdict, lead, self.items, self.notes, shown), flush=True)
            if verdict in ("pass", "regression", "inconclusive") and not self.options.filter:
                gate_history.append(
                    self.options.history, self.run, self.items, self.commit, verdict
                )
            return gate_report.EXIT[verdict]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def interrupt(self):
        self.stopping = True
        if self.behaviour:
            self.behaviour.stop()
        if self.counted and "counts" not in self.parts:
            self.compare_counts()
        if self.pairs and "time" not in self.parts:
            self.keep(
                "pairs.json", {r: [vars(p) for p in found] for r, found in self.pairs.items()}
            )
            self.items = [i for i in self.items if i["part"] != "time"]
            self.items += gate_time.unsettled(self.judge())
        done = ", ".join(self.parts) or "no part"
        self.finish("interrupted", f"interrupted: {done} done to the end")


class SetUp(Exception):
    """Something the person has to mend first."""


def previous(options):
    """Counts of the work tree against the commit before, as a test. Without such a commit, or where
    the interface has changed, it counts as neither passed nor failed."""
    if gate_build.git("rev-parse", "--verify", "--quiet", "HEAD^^{commit}").returncode:
        print("SKIP gate_counts_against_the_previous_commit: there is none here (shallow or first)")
        return 0
    for name, value in vars(arguments(["run", "--base", "HEAD^"])).items():
        setattr(options, name, value)
    options.behaviour = options.timed = False
    options.history = os.devnull
    status = run(options)
    name = "gate_counts_against_the_previous_commit"
    said = {0: f"PASS {name}", 3: f"SKIP {name}: inconclusive, see above"}
    print(said.get(status, f"FAIL {name}: status {status}, see above"))
    if status != 3:
        print(f"{int(status == 0)} passed, {int(status != 0)} failed")
    return 0 if status == 3 else status


def measure(gate, options):
    """Counts and time; says why they cannot be compared, where they cannot."""
    try:
        gate.build()
        rows = gate.rows()
        gate.count(rows)
        if options.timed:
            gate.sample(rows)
        return ""
    except gate_build.Inconclusive as error:
        return str(error)


def run(options):
    gate = Gate(options)
    report.on_interrupt(gate.interrupt)
    if not options.behaviour:
        gate.notes.append("behaviour was not asked for (BEHAVIOUR=0): this says nothing about it")
    if not options.timed:
        gate.notes.append("time was not measured (TIMED=0): this says nothing about it")
    try:
        why = measure(gate, options)
        if options.behaviour:
            gate.behave()
        if why and gate_report.overall(gate.items, gate.parts) != "regression":
            return gate.finish("inconclusive", why)
        return gate.finish(why=why)
    except (SetUp, gate_counts.CountError) as error:
        return gate.finish("error", str(error))


# ---------------------------------------------------------------- the command line


def positive(kind, least=0):
    def read(text):
        value = kind(text)
        if not least < value < 1e6:
            raise argparse.ArgumentTypeError(f"{text}: a number above {least} is wanted")
        return value

    return read


def yes_or_no(text):
    if text not in ("0", "1", ""):
        raise argparse.ArgumentTypeError(f"{text}: 0 or 1 is wanted")
    return text != "0"


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    gate = commands.add_parser("run", help="the comparison")
    gate.add_argument("--base", default="", help="a git revision")
    gate.add_argument("--behaviour", type=yes_or_no, default=True, help="0: leave it out")
    gate.add_argument("--timed", type=yes_or_no, default=True, help="0: counts only, no time")
    gate.add_argument(
        "--time", type=positive(float), help=f"seconds for the pairs, at most ({TIME_S})"
    )
    gate.add_argument("--rounds", type=positive(int), default=gate_time.ROUNDS, help="pairs a row")
    gate.add_argument("--filter", help="regular expression on the rows' names")
    gate.add_argument("--history", help="the store of figures; see gate_history.py")
    gate_calibrate.options(
        commands.add_parser("calibrate", help="how often the gate is wrong"), positive
    )
    gate_selftest.options(commands.add_parser("selftest", help="planted regressions must block"))
    commands.add_parser("check", help="the planted patches apply and compile")
    commands.add_parser("previous", help="counts against HEAD^, as one test")
    gate_history.options(commands.add_parser("trend", help="each row over the commits"))
    return parser.parse_args(given)


def main():
    options = arguments()
    todo = {
        "run": run,
        "calibrate": gate_calibrate.run,
        "selftest": gate_selftest.run,
        "check": gate_selftest.check,
        "previous": previous,
        "trend": gate_history.trend,
    }
    return todo[options.command](options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # whoever read the output has gone
        os._exit(2)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        report.die(f"cannot go on:{where} {error.strerror}; free some space, or check the rights")
