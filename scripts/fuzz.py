#!/usr/bin/python3
"""fuzz.py: builds the fuzz targets, runs them with libFuzzer and AFL++, writes results/fuzz/<stamp>/.

    scripts/fuzz.py                  # every target with both engines, 60 seconds each
    scripts/fuzz.py TIME=30 TARGET=memory_fuzzer ENGINE=libfuzzer JOBS=1 SEED=7

TIME seconds a target and engine · TARGET one of them · ENGINE libfuzzer, afl or both · JOBS engines
at once (default: the cores) · SEED of both engines · SUBJECT a shared object to test in place of
ref/ · EMPTY=1 without the seeds of corpus/. The same names work as environment variables, as make
passes them.

First all seeds are replayed; then the engines run; what they find is replayed, named by the rule it
breaks and kept once for each name, the smallest input, under findings/<rule>/ of the run.
Exit status: 0 clean, 1 a finding, 2 usage or set-up, 130 interrupted (the report is partial).
"""
import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import report

BUILD = report.REPO / "build"
CORPUS = report.REPO / "corpus"
REPLAY = BUILD / "asan" / "replay"
MUTATOR = BUILD / "plain" / "pagebox_mutator.so"  # AFL++'s; libFuzzer's is in the targets
TARGETS = sorted(path.stem for path in (report.REPO / "fuzz").glob("*_fuzzer.c"))
ENGINES = ("libfuzzer", "afl")
TOOLS = {"libfuzzer": ["clang"], "afl": ["afl-clang-fast", "afl-fuzz"]}
INPUT_BYTES_MAX = 256  # of an input that an engine makes: some thirty operations
HANG_S = 10  # an input that runs longer is a finding
RESTARTS_MAX = 4  # of an engine that ends at each finding
MEASURE_S = 2  # over the corpus of a run, afterwards
SHOWN_MAX = 40  # operations of a finding in the report

# ---------------------------------------------------------------- what is asked for


def settings(arguments):
    """NAME=value from the command line, else from the environment."""
    names = ("TIME", "TARGET", "ENGINE", "JOBS", "SEED", "SUBJECT", "EMPTY")
    given = {name: os.environ.get(name, "") for name in names}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or name not in given:
            report.die(f"{argument!r}: what can be set is {', '.join(names)}, as NAME=value")
        given[name] = value
    return given


def number(given, name, default, low, high):
    text = given[name] or str(default)
    if not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
        report.die(f"{name}={text}: wants a number from {low} to {high}")
    return int(text)


class Plan:
    """The settings, checked."""

    def __init__(self, arguments):
        given = settings(arguments)
        self.time_s = number(given, "TIME", 60, 1, 10**7)
        self.jobs = number(given, "JOBS", os.cpu_count() or 1, 1, 1024)
        self.seed = number(given, "SEED", 1, 1, 2**31 - 1)
        self.empty = given["EMPTY"] not in ("", "0")
        self.targets = [given["TARGET"]] if given["TARGET"] else TARGETS
        self.engines = ENGINES if given["ENGINE"] in ("", "both") else (given["ENGINE"],)
        self.subject = given["SUBJECT"]
        if not set(self.targets) <= set(TARGETS):
            report.die(f"TARGET={given['TARGET']}: there are {', '.join(TARGETS)}")
        if not set(self.engines) <= set(ENGINES):
            report.die(f"ENGINE={given['ENGINE']}: there are libfuzzer, afl, both")
        if self.subject and not pathlib.Path(self.subject).is_file():
            report.die(f"SUBJECT={self.subject}: there is no such file")
        self.check_tools()

    def check_tools(self):
        for engine in self.engines:
            for tool in ["make", "clang", *TOOLS[engine]]:
                if shutil.which(tool) is None:
                    report.die(f"{tool} is missing: run scripts/setup fuzz, or choose ENGINE=")

    def environment(self, **more):
        made = dict(os.environ, **more)
        made.pop("SUBJECT", None)
        if self.subject:
            made["SUBJECT"] = str(pathlib.Path(self.subject).resolve())
        return made

    def build(self):
        wanted = [f"fuzz-build-{engine}" for engine in self.engines] + [str(REPLAY.relative_to(report.REPO))]
        command = [os.environ.get("MAKE", "make"), "--no-print-directory", f"-j{self.jobs}", *wanted]
        environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
        done = subprocess.run(command, cwd=report.REPO, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            print(done.stdout, file=sys.stderr)
            report.die("the fuzz targets do not build: see above")

    def meet_subject(self):
        """Says once what the subject offers and which rules are off; leaves out what it cannot run."""
        done = subprocess.run([str(REPLAY), "-i"], env=self.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stderr, end="", file=sys.stderr)
            report.die("that subject cannot be tested: see above")
        if self.subject or "rules off" in done.stdout:
            print(done.stdout, end="", flush=True)
        for part in ("memory", "mailbox"):
            if f"{part}: not offered" in done.stdout and f"{part}_fuzzer" in self.targets:
                self.targets = [name for name in self.targets if name != f"{part}_fuzzer"]
        if self.subject:  # the others run under the engine alone
            self.targets = [name for name in self.targets if name in ("memory_fuzzer", "mailbox_fuzzer")]
        if not self.targets:
            report.die(f"{self.subject} offers nothing that the chosen targets could run")


# ---------------------------------------------------------------- findings


class Finding:
    """One broken rule and the smallest input that shows it."""

    def __init__(self, oracle, source, seconds, executions):
        self.oracle, self.source = oracle, source
        self.seconds, self.executions = seconds, executions
        self.bytes = source.stat().st_size
        self.ops, self.trace, self.kept = "", "", None

    def keep(self, run, target):
        """Copies the input under its rule's name, with operations and trace beside."""
        folder = run.path(f"findings/{target}/{self.oracle}/ops.txt").parent
        self.kept = folder / ("input" + ("" if self.source.suffix != ".ops" else ".ops"))
        shutil.copyfile(self.source, self.kept)
        (folder / "ops.txt").write_text(self.ops)
        (folder / "trace.txt").write_text(self.trace)

    def item(self, run):
        return {
            "oracle": self.oracle,
            "input": str(self.kept.relative_to(run.dir)),
            "ops": self.ops,
            "trace": str((self.kept.parent / "trace.txt").relative_to(run.dir)),
            "reproducer": None,
            "seconds": round(self.seconds, 2),
            "executions": self.executions,
        }


def replay(plan, target, path, *options):
    """(status, output, errors) of the replay program on one input; status None: it hung."""
    command = [str(REPLAY), "-t", target, *options, str(path)]
    environment = plan.environment(ASAN_OPTIONS="symbolize=1:detect_leaks=0")
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
    except subprocess.TimeoutExpired:
        return None, "", ""
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def name_in(text):
    found = re.search(r"^finding: (\S+)", text, re.MULTILINE)
    return found.group(1) if found else None


def examine(plan, target, path, hint, seconds, executions):
    """A finding from an input that an engine kept. hint: the name where a replay gives none."""
    found = Finding("?", path, seconds, executions)
    status, printed, errors = replay(plan, target, path)
    listing = replay(plan, target, path, "-p")[1]
    found.ops = "".join(line for line in listing.splitlines(True) if not line.startswith("#"))
    found.trace = errors + "".join(l for l in printed.splitlines(True) if l.startswith(str(path)))
    found.oracle = name_in(errors) or ("timeout" if status is None else hint)
    if status == 0:
        found.trace += f"\nnot seen again by a replay: the engine saw {hint}\n"
    return found


# ---------------------------------------------------------------- the engines


class Engine:
    """One target under one engine: a process, perhaps started anew after findings."""

    def __init__(self, plan, run, target, name, workers):
        self.plan, self.target, self.engine, self.workers = plan, target, name, workers
        self.name = f"{target}/{name}"
        self.folder = run.path(f"raw/{target}-{name}/log").parent
        self.seeds = run.path(f"raw/{target}-seeds/x").parent
        self.findings, self.series = [], []
        self.children, self.starts = [], 0
        self.began = self.ended = None
        self.executions = self.edges = self.corpus_inputs = 0
        self.speed, self.operations_speed = (None, None), None
        self.problem = None

    def seconds(self):
        return (self.ended or time.monotonic()) - self.began if self.began else 0.0

    def spawn(self, command, log, **environment):
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                                 stdin=subprocess.DEVNULL, start_new_session=True,
                                 env=self.plan.environment(**environment))
        self.children.append(child)
        return child

    def start(self):
        self.began = time.monotonic()
        self.launch(self.plan.time_s)

    def running(self):
        return any(child.poll() is None for child in self.children)

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.ended = self.ended or time.monotonic()

    def add(self, path, hint, seconds, executions):
        found = examine(self.plan, self.target, path, hint, seconds, executions)
        for old in self.findings:
            if old.oracle == found.oracle:
                if found.bytes < old.bytes:
                    found.seconds, found.executions = old.seconds, old.executions
                    self.findings[self.findings.index(old)] = found
                return
        self.findings.append(found)

    def sample(self):
        before = self.edges
        self.look()
        known = self.engine == "libfuzzer" or self.edges != before  # AFL++ tells it now and then
        self.series.append((round(self.seconds(), 1), self.executions, self.edges if known else None,
                            self.corpus_inputs))

    def line(self):
        names = " ".join(f.oracle for f in self.findings)
        return (f"{self.target.removesuffix('_fuzzer')}/{self.engine} {self.executions:,} runs "
                f"{self.edges:,} edges {self.corpus_inputs:,} inputs {names}").rstrip()

    def dictionary(self):
        """The operations of op.def, for the mutations that know nothing of them."""
        path = self.folder / "dictionary"
        with path.open("wb") as out:
            subprocess.run([str(BUILD / "plain" / "opgen"), "dict", self.target], stdout=out, check=True)
        return path

    def corpus(self):
        raise NotImplementedError

    def measure(self):
        """Executions and operations a second of one core, over the corpus that the run made."""
        command = [str(REPLAY), "-t", self.target, "-s", str(MEASURE_S), str(self.corpus())]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120,
                                  env=self.plan.environment())
        except subprocess.TimeoutExpired:
            return
        found = re.search(r"a second of the core: (\d+) executions, (\d+) operations", done.stdout)
        if found:
            self.speed = int(found.group(1)), int(found.group(2))
            if self.speed[0] > 0 and self.seconds() > 0:
                self.operations_speed = (self.executions / self.seconds() * self.speed[1] / self.speed[0])

    def item(self, run):
        return {
            "name": self.name,
            "target": self.target,
            "engine": self.engine,
            "workers": self.workers,
            "seconds": round(self.seconds(), 2),
            "executions": self.executions,
            "executions_per_s": round(self.executions / self.seconds(), 1) if self.seconds() else 0,
            "operations_per_s": round(self.operations_speed) if self.operations_speed else None,
            "corpus_executions_per_core_s": self.speed[0],
            "corpus_operations_per_core_s": self.speed[1],
            "edges": self.edges,
            "corpus_inputs": self.corpus_inputs,
            "problem": self.problem,
            "findings": [f.item(run) for f in self.findings],
        }


class LibFuzzer(Engine):
    """libFuzzer ends at a finding: it is started anew for the time that is left."""

    STATUS = re.compile(r"^#(\d+)\s.*?cov: (\d+)(?:.*?corp: (\d+)/)?", re.MULTILINE)

    def corpus(self):
        return self.folder / "corpus"

    def launch(self, seconds):
        self.corpus().mkdir(exist_ok=True)
        self.logs = getattr(self, "logs", [])
        for worker in range(self.workers):
            self.starts += 1
            log = self.folder / f"log-{self.starts}.txt"
            artifacts = self.folder / f"artifacts-{self.starts}"
            artifacts.mkdir(exist_ok=True)
            seed = self.plan.seed + self.starts - 1
            command = [str(BUILD / "libfuzzer" / self.target), f"-max_total_time={max(1, round(seconds))}",
                       f"-seed={seed}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={HANG_S}",
                       "-rss_limit_mb=2560", "-detect_leaks=0", "-reload=1", "-print_final_stats=1",
                       f"-dict={self.dictionary()}",
                       f"-artifact_prefix={artifacts}/", str(self.corpus()), str(self.seeds)]
            with log.open("wb") as out:
                child = self.spawn(command, out)
            self.logs.append({"log": log, "artifacts": artifacts, "child": child, "read": 0,
                              "executions": 0, "tail": "", "done": False})

    def look(self):
        for worker in self.logs:
            with worker["log"].open("rb") as file:
                file.seek(worker["read"])
                data = file.read()
            worker["read"] += len(data)
            text = worker["tail"] + data.decode(errors="replace")
            worker["tail"] = text[text.rfind("\n") + 1:]
            for found in self.STATUS.finditer(text[:len(text) - len(worker["tail"])]):
                worker["executions"] = max(worker["executions"], int(found.group(1)))
                self.edges = max(self.edges, int(found.group(2)))
            last = re.search(r"number_of_executed_units: (\d+)", text)
            if last:
                worker["executions"] = max(worker["executions"], int(last.group(1)))
        self.executions = sum(worker["executions"] for worker in self.logs)
        self.corpus_inputs = len(os.listdir(self.corpus()))
        for worker in self.logs:
            if worker["child"].poll() is not None and not worker["done"]:
                worker["done"] = True
                self.gather(worker)

    def gather(self, worker):
        text = worker["log"].read_text(errors="replace")
        kinds = {"crash": "crash", "timeout": "timeout", "oom": "out-of-memory", "leak": "leak"}
        inputs = [p for p in sorted(worker["artifacts"].iterdir()) if p.name.split("-")[0] in kinds]
        for path in inputs:
            hint = name_in(text) or kinds[path.name.split("-")[0]]
            self.add(path, hint, self.seconds(), self.executions)
        left = self.plan.time_s - self.seconds()
        if inputs and left >= 1 and self.starts < RESTARTS_MAX + self.workers and not self.ended:
            workers, self.workers = self.workers, 1
            self.launch(left)
            self.workers = workers
        elif not inputs and worker["child"].returncode not in (0, 130, -signal.SIGINT) and not self.ended:
            self.problem = f"libFuzzer ended with status {worker['child'].returncode}: see its log"


class Afl(Engine):
    """afl-fuzz goes on after a finding, and ends with status 0 whatever it found."""

    QUIET = {name: "1" for name in (
        "AFL_NO_UI", "AFL_SKIP_CPUFREQ", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES", "AFL_NO_AFFINITY",
        "AFL_FAST_CAL")}

    def corpus(self):
        return self.folder / "out" / "default" / "queue"

    def launch(self, seconds):
        self.log = self.folder / "log.txt"
        self.seen = set()
        command = ["afl-fuzz", "-i", str(self.seeds), "-o", str(self.folder / "out"), "-V", str(seconds),
                   "-s", str(self.plan.seed), "-G", str(INPUT_BYTES_MAX), "-t", "2000", "-m", "none",
                   "-x", str(self.dictionary()), "--", str(BUILD / "afl" / self.target)]
        with self.log.open("wb") as out:
            self.spawn(command, out, AFL_CUSTOM_MUTATOR_LIBRARY=str(MUTATOR), **self.QUIET)

    def statistics(self):
        try:
            text = (self.folder / "out" / "default" / "fuzzer_stats").read_text()
        except OSError:
            return {}
        return dict(re.findall(r"^(\w+)\s*: (.*)$", text, re.MULTILINE))

    def look(self):
        stats = self.statistics()
        plot = self.folder / "out" / "default" / "plot_data"
        self.executions = max(self.executions, int(stats.get("execs_done", 0)))
        self.edges = max(self.edges, int(stats.get("edges_found", 0)))
        try:  # more often written than the statistics
            row = [r for r in plot.read_text().splitlines() if r and not r.startswith("#")][-1].split(", ")
            self.executions = max(self.executions, int(row[11]))
            self.edges = max(self.edges, int(row[12]))
        except (OSError, IndexError, ValueError):
            pass
        if self.corpus().is_dir():
            names = [name for name in os.listdir(self.corpus()) if name.startswith("id:")]
            self.corpus_inputs = len(names)
            # The statistics come once a minute; the newest input's name says how many runs it took.
            for found in map(re.compile(r",execs:(\d+)").search, names):
                self.executions = max(self.executions, int(found.group(1)) if found else 0)
        for kind, hint in (("crashes", "crash"), ("hangs", "timeout")):
            for path in sorted((self.folder / "out" / "default" / kind).glob("id:*")):
                if path not in self.seen and len(self.seen) < 40:
                    self.seen.add(path)
                    self.take(path, hint)
        child = self.children[0]
        if child.poll() not in (None, 0) and not self.ended and not self.findings:
            words = self.log.read_text(errors="replace").splitlines()
            told = [re.sub(r"\x1b\[[0-9;]*m", "", w) for w in words if "PROGRAM ABORT" in w or "ROR" in w]
            self.problem = "afl-fuzz: " + (told[-1].strip() if told else f"status {child.returncode}")

    def take(self, path, hint):
        """Its name says when: id:000000,sig:06,src:...,time:1234,execs:5678,..."""
        at = re.search(r"time:(\d+),execs:(\d+)", path.name)
        seconds = int(at.group(1)) / 1000 if at else self.seconds()
        copy = self.folder / f"{hint}-{len(self.seen)}"
        shutil.copyfile(path, copy)
        found = examine(self.plan, self.target, copy, hint, seconds, int(at.group(2)) if at else None)
        if hint == "timeout" and "not seen again" in found.trace:
            return  # a busy machine, not a hang: AFL++'s limit is short
        self.add(copy, hint, seconds, found.executions)


# ---------------------------------------------------------------- a run


def pack_seeds(plan, run, target):
    """Seeds as bytes for the engines, without those that break something by themselves."""
    folder = run.path(f"raw/{target}-seeds/x").parent
    (folder / "empty").write_bytes(b"\0")  # engines want at least one
    seeds = Engine(plan, run, target, "seeds", 1)
    seeds.began = time.monotonic()
    if plan.empty:
        seeds.ended = seeds.began
        return seeds
    for path in sorted([*(CORPUS / target).glob("*"), *(CORPUS / "regress" / target).glob("*")]):
        if not path.is_file() or path.name in ("README.md", ".gitkeep"):
            continue
        status, _, errors = replay(plan, target, path, "-q")
        seeds.executions += 1
        if status == 2:
            report.die(f"{path}: {errors.strip()}")
        if status != 0:
            seeds.add(path, "crash", seconds=seeds.seconds(), executions=seeds.executions)
            continue
        replay(plan, target, path, "-b", str(folder))
    seeds.corpus_inputs = seeds.executions
    seeds.ended = time.monotonic()
    return seeds


class Session:
    """All items of a run, as many at once as JOBS says."""

    def __init__(self, plan, run):
        self.plan, self.run = plan, run
        self.items, self.waiting, self.active = [], collections.deque(), []
        self.finished = False

    def prepare(self):
        pairs = [(t, e) for t in self.plan.targets for e in self.plan.engines]
        workers = max(1, self.plan.jobs // len(pairs))
        for target in self.plan.targets:
            seeds = pack_seeds(self.plan, self.run, target)
            if not self.plan.empty:
                self.items.append(seeds)
            for engine in self.plan.engines:
                kind = LibFuzzer if engine == "libfuzzer" else Afl
                item = kind(self.plan, self.run, target, engine, workers if engine == "libfuzzer" else 1)
                self.items.append(item)
                self.waiting.append(item)

    def slots_used(self):
        return sum(item.workers for item in self.active)

    def go(self):
        batches = -(-len(self.waiting) // self.plan.jobs)
        progress = report.Progress(self.plan.time_s * max(1, batches))
        while self.waiting or self.active:
            while self.waiting and (not self.active or
                                    self.slots_used() + self.waiting[0].workers <= self.plan.jobs):
                self.active.append(self.waiting.popleft())
                self.active[-1].start()
            time.sleep(0.5)
            for item in list(self.active):
                item.sample()
                if not item.running() or item.seconds() > self.plan.time_s + 30:
                    item.stop()
                    item.sample()
                    self.active.remove(item)
            progress.update(" | ".join(item.line() for item in self.active))
        progress.done()
        for item in self.items:
            if item.engine != "seeds" and item.corpus().is_dir():
                item.measure()

    def interrupt(self):
        for item in self.active:
            item.stop()
            item.sample()
        path = self.report("interrupted")
        print(f"\ninterrupted: what was found until now is in {path}", file=sys.stderr)

    def report(self, status=None):
        """Once: a second call gives the same path."""
        for item in self.items:
            for found in item.findings:
                found.keep(self.run, item.target)
        found = [f for item in self.items for f in item.findings]
        problems = [item for item in self.items if item.problem]
        status = status or ("finding" if found else "error" if problems else "pass")
        items = [item.item(self.run) for item in self.items]
        names = sorted({f.oracle for f in found})
        summary = {
            "targets": " ".join(self.plan.targets),
            "engines": " ".join(self.plan.engines),
            "time_s": self.plan.time_s,
            "jobs": self.plan.jobs,
            "seed": self.plan.seed,
            "subject": self.plan.subject or "ref/",
            "executions": sum(item["executions"] for item in items),
            "findings": len(names),
            "names": " ".join(names) or "none",
        }
        self.run.machine["compiler"] = report.output_of(["clang", "--version"]) or "unknown"
        self.run.machine["flags"] = "-O2 -fsanitize=address,undefined"
        lead = (f"{len(names)} broken rules: {', '.join(names)}." if names else
                "No rule broken." if status == "pass" else f"Ended as {status}.")
        return self.run.finish(status, summary, items, self.sections(items), "Fuzzing", lead)

    def sections(self, items):
        made = [self.speed_section(items)]
        made += self.finding_sections()
        made += [self.plot_section(column, title) for column, title in
                 ((2, "Coverage over time"), (1, "Executions over time"), (3, "Corpus over time"))]
        troubles = [f"**{item.name}**: {item.problem}" for item in self.items if item.problem]
        if troubles:
            made.insert(0, report.Section("What did not run", "\n\n".join(troubles)))
        return [section for section in made if section]

    def speed_section(self, items):
        columns = ["target", "engine", "executions", "executions/s", "operations/s", "edges",
                   "corpus", "findings", "executions/s of a core", "operations/s of a core"]
        rows = [[i["target"], i["engine"], i["executions"], i["executions_per_s"], i["operations_per_s"],
                 i["edges"] or None, i["corpus_inputs"], len(i["findings"]),
                 i["corpus_executions_per_core_s"], i["corpus_operations_per_core_s"]] for i in items]
        return report.Section("What ran", "The last two columns: the corpus that the run made, replayed "
                              "on one core with the address and undefined-behaviour sanitizers, a "
                              "second of processor time. The engines' own speeds hold their mutations, "
                              "their coverage and whatever else the machine did.",
                              table=report.Table(columns, rows))

    def finding_sections(self):
        made = []
        for item in self.items:
            for found in item.findings:
                ops = found.ops.splitlines()
                shown = "\n".join(ops[:SHOWN_MAX] + ([f"# and {len(ops) - SHOWN_MAX} more"]
                                                     if len(ops) > SHOWN_MAX else []))
                path = found.kept.relative_to(self.run.dir)
                made.append(report.Section(
                    f"Finding {found.oracle} ({item.name})",
                    f"After {found.seconds:.1f} s. Input: `{path}`; what the replay printed: "
                    f"`{path.parent}/trace.txt`. To see it again: "
                    f"`make replay INPUT=results/fuzz/{self.run.name}/{path} TARGET={item.target}`.",
                    pre=shown))
        return made

    def plot_section(self, column, title):
        lines = {}
        for item in self.items:
            if len(item.series) > 1:
                lines[f"d{len(lines)}"] = (item.name, [(row[0], row[column]) for row in item.series
                                                         if row[column] is not None])
        if not lines:
            return None
        label = {1: "executions", 2: "edges", 3: "inputs"}[column]
        script = (f"set xlabel 'seconds'\nset ylabel '{label}'\nset key left top\nset yrange [0:*]\n"
                  "plot " + ", ".join(f"${key} using 1:2 with lines lw 2 title '{name.replace('_', ' ')}'"
                                      for key, (name, _) in lines.items()))
        return report.Section(title, svg=report.plot(script, {k: rows for k, (_, rows) in lines.items()}))


def main():
    if any(argument in ("-h", "--help") for argument in sys.argv[1:]):
        print(__doc__)
        return 0
    plan = Plan(sys.argv[1:])
    plan.build()
    plan.meet_subject()
    run = report.Run("fuzz")
    session = Session(plan, run)
    report.on_interrupt(session.interrupt)
    session.prepare()
    session.go()
    path = session.report()
    for item in session.items:
        for found in item.findings:
            print(f"finding: {found.oracle} ({item.name}, {found.seconds:.1f} s)", file=sys.stderr)
        if item.problem:
            print(f"{item.name}: {item.problem}", file=sys.stderr)
    total = sum(item.executions for item in session.items)
    print(f"{total:,} executions, {sum(len(i.findings) for i in session.items)} findings: {path}/report.html")
    if any(item.findings for item in session.items):
        return 1
    return 2 if any(item.problem for item in session.items) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before there is anything to report
        sys.exit(130)
