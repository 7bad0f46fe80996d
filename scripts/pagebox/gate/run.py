"""run.py: says whether the work tree is worse than BASE, in speed or in behaviour.

    scripts/gate.py run --base REV        `make gate`: behaviour, counts and time; see --help
    scripts/gate.py calibrate             `make gate-calibrate`: how often the gate is wrong
    scripts/gate.py selftest [--fast]     `make gate-selftest`: planted regressions block, others do not
    scripts/gate.py check                 the planted patches apply and compile
    scripts/gate.py previous              counts against HEAD^, as one test
    scripts/gate.py trend                 `make trend`: each row over the commits

bench/gate/README.md explains what is measured and how verdicts are reached. Reports: results/gate/.
Exit status: 0 pass, 1 regression, 2 usage or set-up, 3 inconclusive, 130 interrupted (the report
has what was done).
"""
import argparse
import dataclasses
import json
import os
import pathlib
import signal
import time

from pagebox.gate import behaviour
from pagebox.gate import building
from pagebox.gate import calibrate
from pagebox.gate import counting
from pagebox.gate import history
from pagebox.common import processes
from pagebox.gate import page
from pagebox.gate import selftest
from pagebox.gate import subject
from pagebox.gate import pairing
from pagebox.common import report

TIME_S = 240  # at most, for the pairs; usually much less
SAME = "Both sides are the same machine code, byte for byte: nothing was run, there is nothing to compare"
BUILD_S, ROUND_S = 4, 1.1  # usual, on a quiet machine with two cores


class Gate:
    """One comparison, with the results so far, so that it can end at any moment."""

    def __init__(self, options):
        self.options = options
        self.found = {"behaviour": [], "counts": [], "time": []}
        self.notes, self.parts = [], []
        self.facts = {"base": None}
        self.counted, self.failed, self.timing = None, None, None
        if options.time is not None and options.time < 10:
            report.die(f"TIME={options.time:g} seconds are too few: 10 at least")
        if options.subject_src:
            self.under = subject.Subject(options.subject_src, options.base)
        else:
            self.under = building.Library(options.base)
        self.commit = self.under.commit
        self.chosen = report.pattern(options.filter, "FILTER")
        building.lock()
        self.run = report.Run("gate")
        self.run.machine = building.machine()
        self.facts |= {"base": self.commit, "base_name": options.base}
        self.began = time.monotonic()
        self.expected = self.expected_s()
        self.progress = report.Progress()

    @property
    def items(self):
        return [item for part in self.found.values() for item in part]

    def expected_s(self):
        """Part -> its seconds on a quiet machine."""
        parts = {"build": BUILD_S, "counts": self.under.counts_s}
        if self.options.timed:
            parts["time"] = min(self.options.time or TIME_S, ROUND_S * self.options.rounds)
        if self.options.behaviour:
            parts["behaviour"] = sum(step.usual_s for step in self.steps())
        return parts

    def say(self, part, share, text, overdue=False):
        """Shows progress: how much of a part is done. The rest is expected to take as much longer than usual as the
        finished steps did. overdue: the present step takes longer than usual, so its end is unknown."""
        order = list(self.expected)
        done = sum(self.expected[name] for name in order[: order.index(part)])
        done += share * self.expected[part]
        spent, total = time.monotonic() - self.began, sum(self.expected.values())
        slower = max(1, spent / done) if done > BUILD_S else 1
        left = "longer than usual" if overdue else f"about {(total - done) * slower:.0f} s left"
        self.progress.update(f"{text}; {left}")

    def announce(self, items):
        """Reports what blocks as soon as it is known."""
        found = page.blocked(items)
        if found:
            self.progress.done()
            lines = page.rows_of(found)
            print(f"blocked already, {report.counted(len(found), 'item')}:", *lines, sep="\n", flush=True)

    # ------------------------------------------------------------ parts

    def build(self):
        self.say("build", 0, "building both sides")
        try:
            self.head = self.under.prepare("head")
        except building.Unbuildable as error:
            raise SetUp(f"the work tree cannot be built: {error}")
        except building.Inconclusive as error:  # not if the interfaces differ: then there is only one side
            raise SetUp(f"the work tree is at odds with itself: {error}")
        try:
            self.base = self.under.prepare("base")
        except building.Unbuildable as error:
            raise SetUp(f"BASE={self.options.base} cannot be built: {error}")
        sizes = building.text_bytes(self.base), building.text_bytes(self.head)
        self.facts |= {"code_bytes_base": sizes[0], "code_bytes_head": sizes[1]}
        if self.under.same_code(self.base, self.head):
            raise Same()
        if None not in sizes and sizes[0] != sizes[1]:
            self.notes.append(f"advice: code size {sizes[0]:,} -> {sizes[1]:,} bytes")
        if self.commit == self.under.head_commit and self.under.dirty:
            self.notes.append("compares uncommitted changes with HEAD")

    def rows(self):
        """row -> what the program says about it, for rows of both sides that match the filter."""
        self.own = {side.name: counting.rows(side.program()) for side in (self.base, self.head)}
        found = self.own["base"] | self.own["head"]
        self.timed = {name: row["threads"] for name, row in found.items() if row["timed"]}
        chosen = {name: row for name, row in found.items() if self.chosen.search(name)}
        if not chosen:
            raise SetUp(f"FILTER={self.options.filter} matches no row")
        return chosen | {"control": found["control"]}

    def count(self, rows):
        self.waivers, faults = counting.read_waivers() if self.under.waivers else ([], [])
        if faults:
            raise SetUp("; ".join(faults))
        if not counting.fixed_addresses():
            self.notes.append(
                "addresses cannot be fixed here (setarch -R): page faults and mappings may differ by chance"
            )
        programs = {side.name: side.program() for side in (self.base, self.head)}
        kinds = {
            name: {row: what["threads"] for row, what in rows.items() if row in own}
            for name, own in self.own.items()
        }
        self.counted, self.failed = ({name: {} for name in programs} for _ in range(2))
        tasks = sum(map(len, kinds.values()))
        said = lambda row: self.say(
            "counts", sum(map(len, self.counted.values())) / tasks, f"counting {row}"
        )
        counting.count_sides(programs, kinds, self.counted, self.failed, said)
        self.compare_counts(*self.counted.values())
        if not self.under.exact:
            self.count_again(programs, kinds)
        self.found["counts"] += [
            counting.remark(row, "pass", counting.uncounted(what["threads"]))
            for row, what in rows.items()
            if counting.uncounted(what["threads"])
        ]
        if not self.options.filter:
            self.notes += counting.waiver_notes(self.waivers)
        self.announce(self.found["counts"])
        for row, why in self.failed["base"].items():
            raise counting.CountError(f"on the base: {why}")
        self.parts.append("counts")

    def compare_counts(self, base, head):
        """A row that runs on the base and not on the head is a regression."""
        self.keep("counts.json", self.counted)
        failed = self.failed["base"].keys() | self.failed["head"].keys()
        self.found["counts"] = counting.compare(base, head, self.waivers, failed=failed) + [
            counting.head_alone(row, why)
            for row, why in self.failed["head"].items()
            if row not in self.failed["base"]
        ]

    def count_again(self, programs, kinds):
        """A user's code may count differently from run to run: what blocks must exceed all counts of the base."""
        rows = {i["name"] for i in page.blocked(self.found["counts"]) if i["metric"] != "row"}
        wanted = {side: {row: kind for row, kind in of.items() if row in rows} for side, of in kinds.items()}
        again, failed = ({name: {} for name in programs} for _ in range(2))
        said = lambda row: self.say("counts", 1, f"counting {row} again")
        if rows:
            counting.count_sides(programs, wanted, again, failed, said)
            counting.settle(self.found["counts"], *again.values())

    def sample(self, rows):
        both = self.own["base"].keys() & self.own["head"].keys() - self.failed["head"].keys()
        kinds = {row: kind for row, kind in self.timed.items() if row in rows and row in both}
        calibrated, why = {}, "rows of a subject have no calibration"
        if self.under.calibrated:
            suite = calibrate.suite_of(self.timed, self.options.rounds)
            calibrated, why = calibrate.thresholds(self.run.machine, suite)
            why = why and f"{why} (make gate-calibrate)"
        if why:
            self.notes.append(f"{why}: thresholds are from this session's own noise")
        lacking = sorted(kinds.keys() - calibrated.keys()) if calibrated else []
        if lacking:
            self.notes.append(f"without a calibrated threshold: {', '.join(lacking)}")
        self.timing = pairing.Comparison(self.base, self.head, kinds, calibrated)
        if self.timing.sampler.left_out:
            names = ", ".join(sorted(self.timing.sampler.left_out))
            self.notes.append(f"not timed, as they want two cores: {names}")
        try:
            self.timing.run(
                self.options.rounds,
                self.options.time or TIME_S,
                lambda share, text: self.say("time", share, text),
            )
            self.parts.append("time")
        finally:
            self.end_time()

    def end_time(self):
        """Also for a part that was ended early."""
        for name, pairs in self.timing.raw().items():
            self.keep(name, pairs)
        self.found["time"] = self.timing.items()

    def steps(self):
        return self.under.steps() if self.options.subject_src else behaviour.steps()

    def new(self, step, done, folder, said):
        """A step's findings that the base does not have."""
        if not (step.base and done.status and done.ran and not done.late):
            return done
        other = dataclasses.replace(step, name=f"{step.name} on the base", environment=step.base)
        done, old = behaviour.less(done, behaviour.run(other, folder, said))
        if old:
            self.notes.append(f"{step.name}: on the base, too, so it does not block: {', '.join(old)}")
        return done

    def behave(self):
        """Why steps could not run, or nothing."""
        folder = self.run.path("raw/behaviour/log").parent
        usual_s, faults = 0, []
        for step in self.steps():
            said = lambda seconds: self.say(
                "behaviour",
                (usual_s + min(seconds, step.usual_s)) / self.expected["behaviour"],
                f"behaviour: {step.name}",
                overdue=seconds > 1.5 * step.usual_s + 5,
            )  # fmt: skip
            done = self.new(step, behaviour.run(step, folder, said), folder, said)
            usual_s += step.usual_s
            if done.ran and (step.name != "build" or not done.status):
                self.found["behaviour"].append(behaviour.item(done))
                self.announce(self.found["behaviour"][-1:])
                continue
            faults.append(f"{step.name} could not run: {' '.join(done.findings)}")
            if step.name == "build":
                return f"the harness cannot be built: {' '.join(done.findings)}"
        if not faults:
            self.parts.append("behaviour")
        return "; ".join(faults)

    # ------------------------------------------------------------ the end

    def keep(self, name, what):
        self.run.path(f"raw/{name}").write_text(json.dumps(report.plain(what)) + "\n")

    def finish(self, verdict=None, why=""):
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            self.progress.done()
            items = self.items
            verdict = verdict or page.overall(items, self.parts)
            status = "finding" if verdict == "regression" else verdict
            name = self.options.base
            lead = (
                f"{self.under.name}{' (with uncommitted changes)' if self.under.dirty else ''} against "
            )
            lead += self.commit[:12] + (f" ({name})" if not self.commit.startswith(name) else "")
            lead += f"; {time.monotonic() - self.began:.0f} s" + (f". {why}" if why else "")
            self.facts["verdict"] = verdict
            seconds = time.monotonic() - self.began
            self.run.path("junit.xml").write_text(
                page.junit(items, seconds, self.notes, verdict, why)
            )
            made = page.sections(items, self.notes)
            summary = page.summary(items, self.facts)
            title = f"Gate: {page.WORDS[verdict].lower()}"
            path = self.run.finish(status, summary, items, made, title, lead)
            shown = report.shown(path / "report.html")
            print(page.screen(verdict, lead, items, self.notes, shown), flush=True)
            if verdict in ("pass", "regression", "inconclusive") and self.under.kept and not self.options.filter:
                history.append(self.options.history, self.run, items, self.commit, verdict)
            return page.EXIT[verdict]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def interrupt(self):
        """The report comes first, because ending the running children may take time."""
        processes.interrupt()
        if self.counted and "counts" not in self.parts:
            base, head = map(dict, self.counted.values())
            both = base.keys() & head.keys()
            self.compare_counts(*({row: side[row] for row in both} for side in (base, head)))
        if self.timing and "time" not in self.parts:
            self.end_time()
        done = ", ".join(self.parts) or "no part"
        self.finish("interrupted", f"interrupted: {done} done to the end")
        processes.end()


class SetUp(Exception):
    """Something that the user has to fix first."""


class Same(Exception):
    """Both sides are the same machine code: there is nothing to compare."""


def previous(options):
    """Counts of the work tree against the previous commit, as a test. Without such a commit, or if the interface has
    changed, it counts as neither passed nor failed."""
    if building.git("rev-parse", "--verify", "--quiet", "HEAD^^{commit}").returncode:
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
    """Counts and times, as far as possible; (verdict, why) if they could not be completed."""
    try:
        gate.build()
        rows = gate.rows()
        gate.count(rows)
        if options.timed:
            gate.sample(rows)
        return None, ""
    except Same:
        return "pass", SAME
    except building.Inconclusive as error:
        return "inconclusive", str(error)
    except counting.CountError as error:
        return "error", str(error)


def run(options):
    gate = Gate(options)
    report.on_interrupt(gate.interrupt)
    if not options.behaviour:
        gate.notes.append("behaviour was not asked for (BEHAVIOUR=0): not checked")
    if not options.timed:
        gate.notes.append("time was not measured (TIMED=0): not checked")
    try:
        verdict, why = measure(gate, options)
        fault = gate.behave() if options.behaviour and why != SAME else ""
        if fault:
            verdict, why = "error", "; ".join(filter(None, (why, fault)))
        if page.overall(gate.items, gate.parts) == "regression":
            verdict = "regression"  # whatever else could not be done
        return gate.finish(verdict, why)
    except SetUp as error:
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
    gate.add_argument(
        "--subject-src", type=pathlib.Path, help="a folder of your sources, instead of ref/"
    )
    gate.add_argument("--behaviour", type=yes_or_no, default=True, help="0: leave it out")
    gate.add_argument("--timed", type=yes_or_no, default=True, help="0: only counts, no times")
    gate.add_argument(
        "--time", type=positive(float), help=f"seconds for the pairs, at most ({TIME_S})"
    )
    gate.add_argument("--rounds", type=positive(int), default=pairing.ROUNDS, help="pairs per row")
    gate.add_argument("--filter", help="regular expression on the rows' names")
    gate.add_argument("--history", help="the store of figures; see history.py")
    calibrate.options(
        commands.add_parser("calibrate", help="how often the gate is wrong"), positive
    )
    selftest.options(commands.add_parser("selftest", help="planted regressions must block"))
    commands.add_parser("check", help="the planted patches apply and compile")
    commands.add_parser("previous", help="counts against HEAD^, as one test")
    history.options(commands.add_parser("trend", help="each row over the commits"))
    return parser.parse_args(given)


def main():
    options = arguments()
    todo = {
        "run": run,
        "calibrate": calibrate.run,
        "selftest": selftest.run,
        "check": selftest.check,
        "previous": previous,
        "trend": history.trend,
    }
    return todo[options.command](options)
