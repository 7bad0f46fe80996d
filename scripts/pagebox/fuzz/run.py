"""run.py: builds the fuzz targets, runs them with libFuzzer and AFL++, writes results/fuzz/<stamp>/.

    scripts/fuzz.py                  # every target with both fuzzers, 60 seconds each
    scripts/fuzz.py TIME=30 TARGET=memory_fuzzer ENGINE=libfuzzer JOBS=1 SEED=7
    scripts/fuzz.py recover          # the reports of runs that were killed

TIME seconds per target and fuzzer · TARGET one of them · ENGINE libfuzzer, afl or both · JOBS fuzzers
at once (default: the cores; more of them give each target several workers) · SEED of both fuzzers ·
SUBJECT a shared object to test in place of ref/ · EMPTY=1 without seeds and working corpus · SYNC a
folder that AFL++ shares with other machines. The same names work as environment variables, as make
passes them. PAGEBOX_CORPUS is the working corpus (default: ~/.local/state/pagebox/corpus), PAGEBOX_HOST this
machine's name.

First all seeds are replayed; then the fuzzers run and exchange inputs. A finding is saved at once, named after
the rule, told apart by the place, shrunk while the run continues, and kept under findings/<name>/ as input,
operations, trace and C program. At the end the corpora are merged.
Exit status: 0 clean, 1 a finding, 2 usage or set-up, 130 interrupted (the report is partial).
"""
import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from pagebox.fuzz import corpora
from pagebox.fuzz import fuzzers
from pagebox.fuzz import findings
from pagebox.fuzz import page
from pagebox.fuzz import screen
from pagebox.common import builder
from pagebox.common import processes
from pagebox.common import report
from pagebox.common import settings

BUILD = report.REPO / "build"
REPLAY = findings.REPLAY
TARGETS = sorted(path.stem for path in (report.REPO / "fuzz" / "targets").glob("*_fuzzer.c"))
ENGINES = ("libfuzzer", "afl")
TOOLS = {"libfuzzer": ["clang"], "afl": ["afl-clang-fast", "afl-fuzz"]}

# ---------------------------------------------------------------- settings


def asked(arguments):
    words = dict.fromkeys(("TARGET", "ENGINE", "SUBJECT", "EMPTY", "SYNC"), settings.word())
    numbers = {
        "TIME": settings.number(60, 1, 10**7),
        "JOBS": settings.number(os.cpu_count() or 1, 1, 1024),
        "SEED": settings.number(1, 1, 2**31 - 1),
    }
    return settings.read(arguments, numbers | words)


class Plan:
    """The settings, checked."""

    def __init__(self, arguments):
        given = asked(arguments)
        self.time_s, self.jobs, self.seed = given.TIME, given.JOBS, given.SEED
        self.empty = given.EMPTY not in ("", "0")
        self.targets = [given.TARGET] if given.TARGET else TARGETS
        self.engines = ENGINES if given.ENGINE in ("", "both") else (given.ENGINE,)
        self.subject = given.SUBJECT
        self.sync = pathlib.Path(given.SYNC).resolve() if given.SYNC else None
        if not set(self.targets) <= set(TARGETS):
            report.die(f"TARGET={given.TARGET}: there are {', '.join(TARGETS)}")
        if not set(self.engines) <= set(ENGINES):
            report.die(f"ENGINE={given.ENGINE}: choose libfuzzer, afl or both")
        if self.subject and not pathlib.Path(self.subject).is_file():
            report.die(f"SUBJECT={self.subject}: there is no such file")
        if self.sync and not (self.sync.is_dir() or self.sync.parent.is_dir()):
            report.die(f"SYNC={self.sync}: there is no such folder, and none to make it in")
        self.strategies = []  # of the subject, if it is not ref/
        self.check_tools()

    def check_tools(self):
        for engine in self.engines:
            for tool in ["make", "clang", *TOOLS[engine]]:
                if shutil.which(tool) is None:
                    other = ", or choose ENGINE=libfuzzer" if engine == "afl" and tool in TOOLS[engine] else ""
                    report.die(f"{tool} is missing: run scripts/setup fuzz{other}")

    def environment(self, **more):
        made = dict(os.environ, **more)
        made.pop("SUBJECT", None)
        if self.subject:
            made["SUBJECT"] = str(pathlib.Path(self.subject).resolve())
        return made

    def merges(self):
        """Whether inputs go into the working corpus: another subject's inputs say nothing about ours."""
        return not self.empty and not self.subject

    def build(self):
        if os.environ.get("PAGEBOX_RUNTIME"):  # in a process of its own: see fuzzers.py
            wanted = ["build/plain/opgen", *(f"build/bare/{target}" for target in self.targets)]
        else:
            wanted = [f"fuzz-build-{engine}" for engine in self.engines]
        wanted += [str(path.relative_to(report.REPO)) for path in findings.TOOLS]
        if self.merges():  # libFuzzer does the merging
            wanted += [f"build/libfuzzer/{target}" for target in self.targets]
        fault = builder.build(wanted, self.jobs)
        if fault:
            print(fault, file=sys.stderr)
            report.die("the fuzz targets do not build: see above")

    def meet_subject(self):
        """Says once what the subject offers and which rules are off; drops targets that it cannot run."""
        done = subprocess.run([str(REPLAY), "-i"], env=self.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stderr, end="", file=sys.stderr)
            report.die("that subject cannot be tested: see above")
        self.strategies = re.findall(r"^  strategy (\S+)", done.stdout, re.M) if self.subject else []
        if self.subject or "rules off" in done.stdout:
            print(done.stdout, end="", flush=True)
        self.targets = [name for name in self.targets if f"target {name}: not run" not in done.stdout]
        if not self.targets:
            report.die(f"{self.subject} has no function that the chosen targets could test")


# ---------------------------------------------------------------- seeds


def pack_seeds(plan, run, store, target):
    """The seeds as bytes for the fuzzers, without those that break something by themselves."""
    folder = run.path(f"raw/{target}-seeds/x").parent
    (folder / "empty").write_bytes(b"\0")  # fuzzers need at least one
    item = fuzzers.Fuzzer(plan, run, store, target, "seeds", 1)
    item.began = time.monotonic()
    paths = [] if plan.empty else corpora.seeds(target)
    good = paths
    if paths and findings.replay(plan, target, paths[0], "-q", *paths[1:])[0] != 0:
        good = [path for path in paths if runs_clean(plan, store, item, path)]
    if good:
        findings.replay(plan, target, good[0], "-b", folder, *good[1:])
    if not plan.empty:
        for path in corpora.working(target).iterdir():
            if path.is_file() and not path.name.startswith("."):  # a temporary file of rsync
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(path, folder / f"working-{path.name}")
    item.executions = item.corpus_inputs = len(paths)
    item.ended = time.monotonic()
    return item


def runs_clean(plan, store, item, path):
    status, _, errors = findings.replay(plan, item.target, path, "-q")
    if status == 2:
        report.die(f"{path}: {errors.strip()}")
    if status != 0:
        store.add(item.target, item.engine, path, "crash", item.seconds(), None)
    return status == 0


# ---------------------------------------------------------------- a run


class Session:
    """All items of a run; JOBS of them run at once."""

    def __init__(self, plan, run):
        self.plan, self.run = plan, run
        self.store = findings.Store(plan, run.dir)
        self.items, self.waiting, self.active = [], collections.deque(), []
        self.promoted, self.view = {}, None
        facts = {"pid": os.getpid(), "commit": run.commit, "dirty": run.dirty, "targets": plan.targets,
                 "engines": list(plan.engines), "time_s": plan.time_s, "subject": plan.subject}
        run.path("plan.json").write_text(json.dumps(facts) + "\n")

    def prepare(self):
        pairs = len(self.plan.targets) * len(self.plan.engines)
        workers = max(1, self.plan.jobs // pairs)
        for target in self.plan.targets:
            seeds = pack_seeds(self.plan, self.run, self.store, target)
            if not self.plan.empty:
                self.items.append(seeds)
            made = {engine: fuzzers.KINDS[engine](self.plan, self.run, self.store, target, engine, workers)
                    for engine in self.plan.engines}
            for engine, item in made.items():
                item.partner = next((other for name, other in made.items() if name != engine), None)
                self.items.append(item)
                self.waiting.append(item)

    def slots_used(self):
        return sum(item.workers for item in self.active)

    def go(self):
        total = sum(item.workers for item in self.waiting)
        self.view = screen.View(self.plan.time_s * max(1, -(-total // self.plan.jobs)), self.what())
        try:
            self.watch()
        finally:  # gives the terminal back even on failure
            self.view.done()
        self.work_out()
        self.merge()
        for item in self.fuzzer_items():
            if item.corpus().is_dir():
                item.measure()

    def watch(self):
        """Starts the fuzzers and watches them until the last has ended."""
        while self.waiting or self.active:
            while self.waiting and (not self.active or
                                    self.slots_used() + self.waiting[0].workers <= self.plan.jobs):
                self.active.append(self.waiting.popleft())
                self.active[-1].start()
            time.sleep(0.5)
            for item in list(self.active):
                item.feed()
                item.sample()
                if not item.running() or item.seconds() > self.plan.time_s + 30:
                    item.stop()
                    item.sample()
                    self.active.remove(item)
            self.view.update(self.items, self.store)

    def what(self):
        return (f"{' '.join(self.plan.targets)}, {' '.join(self.plan.engines)}, JOBS={self.plan.jobs} "
                f"SEED={self.plan.seed}" + (f" SUBJECT={self.plan.subject}" if self.plan.subject else ""))

    def fuzzer_items(self):
        return [item for item in self.items if item.engine != "seeds" and item.began]

    def work_out(self, seconds=findings.LATER_S):
        if self.store.waiting():
            print(f"{self.store.waiting()} inputs still have to be examined and shrunk", file=sys.stderr)
        self.store.end(seconds)

    def merge(self):
        """Merges new inputs into the working corpus."""
        for target in self.plan.targets if self.plan.merges() else []:
            folders = [self.run.path(f"raw/{target}-seeds/x").parent]
            folders += [folder for item in self.fuzzer_items() if item.target == target
                        for folder in item.corpora()]
            self.promoted[target], problem = corpora.merge(target, folders, self.plan.environment())
            for item in self.fuzzer_items():
                if problem and item.target == target:
                    item.problem = item.problem or problem

    def end_early(self, status):
        """Ends everything, reports what was found so far, and returns the path."""
        for item in self.active:
            item.stop()
            try:
                item.sample()
            except OSError as error:
                item.problem = str(error)
        self.work_out(20)
        path = self.report(status)
        processes.kill_all()
        return path

    def interrupt(self):
        if self.view:
            self.view.done()
        path = self.end_early("interrupted")
        print(f"\ninterrupted: what was found until now is in {path}", file=sys.stderr)

    def report(self, status=None):
        """Writes the report once; a second call returns the same path."""
        if self.run.final:
            return self.run.final
        found = self.store.all()
        problems = [item for item in self.items if item.problem]
        status = status or ("finding" if found else "error" if problems else "pass")
        items = [item.item(self.run.dir) for item in self.items]
        names = sorted({f.oracle for f in found})
        stable = [item.stability for item in self.items if item.stability is not None]
        summary = {
            "targets": " ".join(self.plan.targets),
            "engines": " ".join(self.plan.engines),
            "time_s": self.plan.time_s,
            "jobs": self.plan.jobs,
            "seed": self.plan.seed,
            "subject": self.plan.subject or "ref/",
            "runtime": os.environ.get("PAGEBOX_RUNTIME_NAME"),
            "executions": sum(item["executions"] for item in items),
            "findings": len(found),
            "names": " ".join(names) or "none",
            "stability_min": min(stable, default=None),
            "working_corpus_new": sum(self.promoted.values()),
        }
        self.run.machine["compiler"] = report.output_of(["clang", "--version"]) or "unknown"
        self.run.machine["flags"] = "-O2 -fsanitize=address,undefined"
        lead = (f"{report.counted(len(found), 'finding')}: {', '.join(names)}." if names else
                "No rule broken." if status == "pass" else f"Ended as {status}.")
        made = page.sections(self.run, self.items, self.store, self)
        return self.run.finish(status, summary, items, made, "Fuzzing", lead)


# ---------------------------------------------------------------- runs that were killed


def killed_runs():
    """Folders of runs whose program is gone, with their plan."""
    for folder in sorted((report.REPO / "results" / "fuzz").glob(".*.tmp")):
        try:
            facts = json.loads((folder / "plan.json").read_text())
        except (OSError, ValueError):
            continue
        if "fuzz.py" not in report.file_text(f"/proc/{facts['pid']}/cmdline", ""):
            yield folder, facts


def recover(folder, facts):
    """The report of a killed run, with status interrupted: its findings, and inputs that were not examined yet."""
    plan = Plan([f"TARGET={facts['targets'][0]}" if len(facts["targets"]) == 1 else "TARGET=",
                 "ENGINE=both" if len(facts["engines"]) > 1 else f"ENGINE={facts['engines'][0]}",
                 f"TIME={facts['time_s']}", f"SUBJECT={facts['subject']}", "EMPTY=1"])
    plan.targets = facts["targets"]
    plan.build()
    run = report.Run.reopen(folder, facts["commit"], facts["dirty"])
    session = Session(plan, run)
    before = run.dir / "found-before"
    if session.store.dir.is_dir():  # may exist already, from an interrupted recovery
        before.mkdir(exist_ok=True)
        os.rename(session.store.dir, before / str(time.time_ns()))
    for found in findings.read_all(before):
        try:
            session.store.add(found.target, found.engine, found.folder / found.input, found.hint, found.seconds,
                              found.executions)
            shutil.rmtree(found.folder)
        except OSError as error:
            print(f"{found.folder}: left where it is: {error}", file=sys.stderr)
    for target, engine, path, hint in fuzzers.left_over(run.dir):
        session.store.add(target, engine, path, hint, 0.0, None)
    session.store.end()
    if not any(before.rglob("finding.json")):
        shutil.rmtree(before, ignore_errors=True)
    for target, engine in sorted({(f.target, f.engine) for f in session.store.all()}):
        session.items.append(fuzzers.Fuzzer(plan, run, session.store, target, engine, 1))
    path = session.report("interrupted")
    print(f"{report.counted(len(session.store.all()), 'finding')} of a killed run: {path}/report.html")
    for found in session.store.all():
        print(f"finding: {found.oracle} ({found.target})", file=sys.stderr)
    return len(session.store.all())


TOLD_MAX = 3  # how many findings the terminal shows in full


def tell(session, path):
    """Prints the findings: what was done, what was expected, what happened, how to reproduce it."""
    found = session.store.all()
    for one in found[:TOLD_MAX]:
        one.folder = path / "findings" / one.folder.relative_to(session.store.dir)  # the folder is renamed at the end
        print("\n".join(page.told(session.plan, one, report.shown(one.folder))), file=sys.stderr)
    for one in found[TOLD_MAX:]:
        print(f"finding: {one.oracle} ({one.target}/{one.engine}, {one.seconds:.1f} s)", file=sys.stderr)


def main():
    report.help_if_asked(__doc__)
    if sys.argv[1:] == ["recover"]:
        runs = list(killed_runs())
        if not runs:
            print("no run was killed: nothing to recover")
        return 1 if sum([recover(*run) for run in runs]) else 0
    plan = Plan(sys.argv[1:])
    for folder, _ in killed_runs():
        print(f"{folder} is from a killed run: scripts/fuzz.py recover writes its report", file=sys.stderr)
    plan.build()
    plan.meet_subject()
    run = report.Run("fuzz")
    session = Session(plan, run)
    report.on_interrupt(session.interrupt)
    try:
        session.prepare()
        session.go()
    except (OSError, subprocess.CalledProcessError) as error:  # a full disk: report what was found so far
        print(f"fuzz.py: the run ends here: {error}", file=sys.stderr)
        path = session.end_early("error")
        print(f"what was found until now is in {path}", file=sys.stderr)
        return 2
    path = session.report()
    tell(session, path)
    for item in session.items:
        if item.problem:
            print(f"{item.name}: {item.problem}", file=sys.stderr)
    total = sum(item.executions for item in session.items)
    count = len(session.store.all())
    print(f"{total:,} executions, {report.counted(count, 'finding')}: {path}/report.html")
    if count:
        return 1
    return 2 if any(item.problem for item in session.items) else 0
