"""run.py: runs programs with real threads: every outcome that a memory shows must be one that the rules allow.

    scripts/conform.py [--runtime node|deno|bun|jsc|js102|firefox|chromium|/path/to/one|SHIM] [--time SECONDS]
                       [--only PROGRAM-OR-FAMILY] [--input FILE] [--random N] [--seed N] [--hang SECONDS]
                       [--fault drop-notify|plain-store|early-size|wake-more] [--conform PROGRAM] [--quick]
                       [--until-finding] [--known PROGRAM,...]
    make conform RUNTIME=node TIME=60       the same; without RUNTIME the memory that SUBJECT= names.
SHIM: a runtime in C by its shim (fuzz/runtimes/shims), for instance wamr.

The programs of fuzz/conform/families, or those of FILE only, and N random ones run with real threads. What comes out
is compared with the complete set of outcomes of each program. results/conform/latest/ has the page. --fault plants a
fault. --quick prints a line and writes no report. --until-finding ends at the first finding, ignoring the programs
that --known names. Exit status: 0 clean; 1 a finding; 2 usage or set-up;
130 interrupted (the report has what was seen).
"""
import argparse
import collections
import dataclasses
import json
import os
import pathlib
import resource
import signal
import subprocess
import time
import zlib

from pagebox.common import report
from pagebox.conform import engines, page

FAMILIES = sorted((report.REPO / "fuzz/conform/families").glob("*.conform"))
FAULTS = ("drop-notify", "plain-store", "early-size", "wake-more")
UNCLEAR = "c0dec0de00000007"
BLOCKED = "c0dec0de00000003"
STUCK = 4  # exit status of threads.c
CONFIRMED_MOST, CONFIRM_S = 12, 6  # how many findings, one per program, get a run of their own, and its seconds ...
CONFIRM_ALL_S = 120  # ... and the seconds for all of them


def read_arguments():
    a = argparse.ArgumentParser(add_help=False)
    a.add_argument("--runtime", default="")
    a.add_argument("--time", type=float, default=60)
    a.add_argument("--only", default="")
    a.add_argument("--input", default="")
    a.add_argument("--random", type=int)
    a.add_argument("--seed", type=int, default=int(time.time()) % 1000000)
    a.add_argument("--hang", type=int, default=5)
    a.add_argument("--fault", default="", choices=("", *FAULTS))
    a.add_argument("--conform", default=str(report.REPO / "build/plain/conform"))
    a.add_argument("--root")
    a.add_argument("--quick", action="store_true")
    a.add_argument("--until-finding", action="store_true")
    a.add_argument("--known", default="")
    a.error = lambda message: report.die(f"{message}; see scripts/conform.py --help")
    got = a.parse_args()
    if not 1 <= got.time <= 1e6 or not 1 <= got.hang <= 600 or (got.random or 0) < 0:
        report.die("TIME= must be at least 1 second, HANG= 1 to 600, RANDOM= at least 0")
    if got.random is None:
        got.random = 0 if got.only or got.input else 24
    if got.fault and (not got.runtime or engines.library(got.runtime)):
        report.die("FAULT= plants a fault in the driver of an engine, so it needs RUNTIME=")
    return got


def ended_by(status):
    """A process's status in words: "signal SIGSEGV", "status 3"."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def processor_s():
    """Processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclasses.dataclass
class Seen:
    """What was seen of one program."""

    program: dict
    instances: int = 0
    seconds: float = 0.0
    rescued: int = 0
    unclear: int = 0
    lost: int = 0
    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    not_offered: bool = False

    def __post_init__(self):
        self.allowed = set(self.program["set"])

    def wrong(self):
        """Outcomes outside the set, if they are judged."""
        if self.program["racy"]:
            return {}
        return {k: n for k, n in self.outcomes.items() if k not in self.allowed}

    def beyond(self):
        """Outcomes outside the set, if they are not judged."""
        return {k: n for k, n in self.outcomes.items() if self.program["racy"] and k not in self.allowed}

    def seen(self):
        return sum(k in self.allowed for k in self.outcomes)


@dataclasses.dataclass
class Finding:
    name: str
    program: dict
    outcome: str | None  # None: a hang or a crash
    times: int
    phase: str
    after_s: float
    words: str = ""
    confirmed: str = ""
    folder: pathlib.Path | None = None


class Conformance:
    def __init__(self, a):
        self.a = a
        self.files = [a.input] if a.input else [str(path) for path in FAMILIES]
        self.seen = {}
        self.findings = {}
        self.phases = []  # name, instances, seconds, programs, processor time
        self.engine = ""
        self.errors = []
        self.shortages = collections.Counter()  # running out of memory is always allowed
        self.process = None
        self.library = engines.library(a.runtime)
        self.name, self.path = engines.find(a.runtime) if a.runtime and not self.library else ("", "")
        self.run = None if a.quick else report.Run("conform", a.root)
        self.folder = self.run.path("raw/x").parent if self.run else pathlib.Path("build/conform")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()

    # ---- Programs

    def bundle(self, seed, only=""):
        """A file with programs, sets and modules; and its contents."""
        path = self.folder / f"bundle-{seed}.json"
        command = [self.a.conform, "bundle", "-s", str(seed)]
        command += ["-f", self.a.fault] if self.a.fault else []
        command += ["-r", f"{seed * 1000}:{self.a.random}"] if self.a.random and not only else []
        command += ["-p", only or self.a.only] if only or self.a.only else []
        with open(path, "w") as out:
            done = subprocess.run([*command, *self.files], stdout=out, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            report.die(done.stderr.strip() or f"{self.a.conform} failed with status {done.returncode}")
        data = json.loads(path.read_text())
        for program in data["programs"]:
            self.seen.setdefault(program["name"], Seen(program))
        return path, data["programs"]

    # ---- Runs

    def start(self, bundle, programs, seconds, seed, tier, cores=None, only=""):
        usable = max(1, len([p for p in programs if p.get("wasm") or not self.name]))
        slice_ms = int(max(20, min(400, seconds * 1000 / usable / 2)))
        if not self.name:
            command = [self.a.conform, "run", *(["-L", str(self.library)] if self.library else []), "-s", str(seed), "-t", str(slice_ms), "-T", str(max(1, int(seconds))), "-n", str(self.a.hang)]
            command += ["-r", f"{seed * 1000}:{self.a.random}"] if self.a.random and not only else []
            command += ["-p", only or self.a.only] if only or self.a.only else []
            return engines.Process([*command, *self.files], cores)
        options = {"slice_ms": slice_ms, "total_s": seconds, "hang_s": self.a.hang, "seed": seed}
        options |= {"spins": 64} if cores else {}
        if engines.is_browser(engines.known()[self.name]):
            return engines.Browser(self.name, self.path, tier, bundle, options, cores)
        environment, command = engines.command(self.name, self.path, tier, bundle, options)
        return engines.Process(command, cores, environment)

    def take(self, line, phase, tally):
        """Takes one line of an engine."""
        if "engine" in line:
            self.engine = self.engine or line["engine"]
        if "program" not in line:
            return
        seen = self.seen[line["program"]]
        if line.get("not_offered"):
            seen.not_offered = True
            return
        if line.get("error"):
            self.errors.append(f"{line['program']}: {line['error'].splitlines()[0]}")
        if line.get("shortage"):
            self.shortages[line["shortage"]] += 1
        if line.get("stuck"):
            where = ", ".join(f"T{t} in its operation {n}" for t, n in line.get("threads", []))
            self.found("hang", seen, None, 1, phase, f"neither the program nor a notify by the harness wakes {where}" if where else "threads do not come back from their operations")
        seen.instances += line.get("instances", 0)
        seen.seconds += line.get("seconds", 0)
        seen.rescued += line.get("rescued", 0)
        seen.lost += line.get("lost", 0)
        tally[0] += line.get("instances", 0)
        tally[1] += line.get("seconds", 0)
        for key, times in line.get("outcomes", []):
            if UNCLEAR in key.split(","):
                seen.unclear += times
                continue
            seen.outcomes[key] += times
            if key not in seen.allowed and not seen.program["racy"]:
                blocked = BLOCKED in key.split(",") and not seen.program["may_block"]
                self.found("hang" if blocked else "outcome", seen, key, times, phase)

    def found(self, what, seen, outcome, times, phase, words=""):
        name = seen.program["name"]
        key = (name, outcome, what)
        if name in self.a.known.split(","):
            return
        if key in self.findings:
            self.findings[key].times += times
            return
        after = time.monotonic() - self.began
        self.findings[key] = Finding(f"{what}: {name}", seen.program, outcome, times, phase, after, words)
        if not self.a.quick:
            print(f"finding: {what} in {name} after {after:.1f} s ({phase})", flush=True)

    def phase(self, name, seconds, seed, tier, cores=None, only=""):
        """Runs for so many seconds; starts a new process if one ends early."""
        bundle, programs = self.bundle(seed, only)
        tally, until = [0, 0.0], time.monotonic() + seconds
        progress = report.Progress(self.a.time)
        crashes, spent = 0, processor_s()
        while (left := until - time.monotonic()) > 0.5 or (tally == [0, 0.0] and not crashes):
            current, quiet = None, time.monotonic()
            self.process = self.start(bundle, programs, max(0.5, left), seed + crashes, tier, cores, only)
            try:
                while True:
                    line = self.process.line(1)
                    if line is None:
                        if time.monotonic() - quiet > 10 * self.a.hang + 60:
                            if current is None:
                                report.die(f"{self.name or 'the subject'} has printed nothing for {10 * self.a.hang + 60} s")
                            self.found("hang", self.seen[current], None, 1, name, "the engine's process hangs")
                            break
                        continue
                    quiet = time.monotonic()
                    current = line.get("begins", current)
                    self.take(line, name, tally)
                    if line.get("ended") or self.is_enough():
                        break
                    wrong = len(self.findings)
                    progress.update(f"{name}: {tally[0]:,} instances, {report.counted(wrong, 'finding')}, {current or ''}")
            except engines.Ended as end:
                if current is None:
                    report.die(f"{self.name or 'the subject'} did not start (status {end.status}): {end.words}")
                if end.status != STUCK or self.name:
                    self.found("crash", self.seen[current], None, 1, name, f"{ended_by(end.status)}\n{end.words}".strip())
                crashes += 1
                if crashes > 20:
                    self.errors.append(f"{name}: the process ended {crashes} times; no more tries")
                    break
            finally:
                self.process.stop()
            if self.is_enough() or (line and line.get("ended") and not crashes):
                break
        progress.done()
        self.phases.append([name, tally[0], tally[1], len(programs), processor_s() - spent])

    def plan(self):
        """Name, share of the time, tier, cores."""
        one = {min(os.sched_getaffinity(0))}
        if self.a.quick:
            return [("default", 1.0, {}, None)]
        if not self.name:
            return [("all cores", 0.85, {}, None), ("one core", 0.15, {}, one)]
        (first, tier), *others = engines.tiers(self.name)
        share = 0.4 / max(1, len(others))
        return [(first, 0.5, tier, None), *((n, share, t, None) for n, t in others), ("one core", 0.1, tier, one)]

    def is_enough(self):
        return self.a.until_finding and bool(self.findings)

    def go(self):
        for i, (name, share, tier, cores) in enumerate(self.plan()):
            self.phase(name, self.a.time * share, self.a.seed + i, tier, cores)

    # ---- Findings

    def confirm(self, finding):
        """Runs the program alone until the finding appears again; keeps what reproduces it."""
        program = finding.program
        label = f"{program['name']}-{finding.name.partition(':')[0] if finding.outcome is None else format(zlib.crc32(finding.outcome.encode()) & 0xFFFF, '04x')}"
        finding.folder = self.run.path(f"findings/{label}/x").parent
        (finding.folder / "program.conform").write_text(program["text"])
        if self.name:
            page.write_reproducers(finding.folder, program)
        plan = {p[0]: p for p in self.plan()}
        _, _, tier, cores = plan.get(finding.phase, self.plan()[0])
        if program["family"] == "random":
            finding.confirmed = f"seen {finding.times} times" if finding.times > 1 else "seen once"
            return
        before, tally = self.seen[program["name"]].outcomes[finding.outcome], [0, 0.0]
        known = dict(self.findings)
        bundle, programs = self.bundle(self.a.seed, program["name"])
        until = time.monotonic() + CONFIRM_S + (30 if finding.outcome else 4 * self.a.hang + 20)  # a browser starts slowly
        self.process = self.start(bundle, programs, CONFIRM_S, self.a.seed, tier, cores, program["name"])
        again = False
        try:
            while time.monotonic() < until and not again:
                line = self.process.line(1)
                if line:
                    self.take(line, finding.phase, tally)
                    again = bool(line.get("stuck")) if finding.outcome is None else self.seen[program["name"]].outcomes[finding.outcome] - before >= 10
                    if line.get("ended"):
                        break
        except engines.Ended:
            again = finding.outcome is None
        finally:
            self.process.stop()
        self.findings = known | {k: v for k, v in self.findings.items() if k in known}
        times = self.seen[program["name"]].outcomes[finding.outcome] - before if finding.outcome else int(again)
        if finding.outcome and times:
            finding.confirmed = f"seen again {times} times in {tally[0]:,} instances of a run of its own"
        elif finding.outcome is None:
            finding.confirmed = "seen again in a run of its own" if again else "not seen again in a run of its own"
        else:
            finding.confirmed = f"not seen again in {tally[0]:,} instances of a run of its own" + ("; seen once" if finding.times == 1 else "")

    def finish(self, status):
        if self.process:
            self.process.stop()
        instances = sum(s.instances for s in self.seen.values())
        judged = [s for s in self.seen.values() if s.instances]
        line = (
            f"conform: {self.engine or self.name or 'reference'}: {len(judged)} programs, {instances:,} instances, "
            f"{sum(s.seen() for s in judged)} of {sum(len(s.allowed) for s in judged)} allowed outcomes seen, {report.counted(len(self.findings), 'finding')}"
        )
        if self.a.quick:
            print(line)
            for f in self.findings.values():
                print(f"finding: {f.name} after {f.after_s:.1f} s: {page.outcome_text(f.program, f.outcome) if f.outcome else f.words}")
            for e in self.errors[:10]:
                print(f"error: {e}")
            return None
        final = page.write(self, status)
        print(line)
        for f in self.findings.values():
            print(f"finding: {f.name} after {f.after_s:.1f} s: {page.outcome_text(f.program, f.outcome) if f.outcome else f.words.splitlines()[0]}")
            print(f"  {f.confirmed}{'; ' + report.shown(final / 'findings' / f.folder.name) if f.folder else ''}")
        print(f"report: {report.shown(final / 'report.html')}")
        return final


def main():
    report.help_if_asked(__doc__)
    a = read_arguments()
    if not os.access(a.conform, os.X_OK):
        report.die(f"{a.conform} is missing: make conform builds it")
    c = Conformance(a)
    report.on_interrupt(lambda: c.finish("interrupted"))
    c.go()
    if not a.quick:
        looked, until = set(), time.monotonic() + CONFIRM_ALL_S
        for finding in list(c.findings.values()):
            if finding.program["name"] not in looked and len(looked) < CONFIRMED_MOST and time.monotonic() < until:
                looked.add(finding.program["name"])
                c.confirm(finding)
            else:
                finding.confirmed = f"seen {finding.times:,} times" if finding.times > 1 else "seen once"
    ran = any(s.instances for s in c.seen.values())
    status = "finding" if c.findings else "pass" if ran and not c.errors else "error"
    c.finish(status)
    if not ran and not c.findings:
        report.die("nothing ran: " + (c.errors[0] if c.errors else "the memory has none of the functions that the programs need"))
    return {"finding": 1, "pass": 0}.get(status, 2)

