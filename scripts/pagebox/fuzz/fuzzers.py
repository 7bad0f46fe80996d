"""fuzzers.py: libFuzzer and AFL++ on one target: start, watch, exchange inputs, stop.

Workers are named after the machine, so that folders of several machines can be merged into one
(fuzz/README.md, "Many machines").
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from pagebox.fuzz import findings
from pagebox.common import processes
from pagebox.common import report

BUILD = report.REPO / "build"
MUTATOR = BUILD / "plain" / "pagebox_mutator.so"  # for AFL++; libFuzzer's is in the targets
INPUT_BYTES_MAX = 256  # size limit of inputs that a fuzzer makes: some thirty operations
HANG_S = findings.HANG_MS // 1000
# How libFuzzer picks inputs: slow ones less often, since a few seeds cost as much as a hundred others; and a feature
# counts as rare only up to 16 executions (255 by default, but then most features stay in a list that each execution
# searches).
DRAWS = ["-entropic_scale_per_exec_time=1", "-entropic_feature_frequency_threshold=16"]
RESTARTS_MAX = 20  # for libFuzzer, which ends at each finding
FOUND_MAX = 200  # how many inputs of one fuzzer are examined
FEED_S = 5  # how often one fuzzer gets the inputs of the other
MEASURE_S = 2  # over the corpus of a run, afterwards


def host():
    """This machine's name, for the names of workers; PAGEBOX_HOST tells two machines with one name apart."""
    name = os.environ.get("PAGEBOX_HOST") or socket.gethostname().partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:20] or "host"


class Fuzzer:
    """One target under one fuzzer: one or more processes, restarted after findings if needed."""

    def __init__(self, plan, run, store, target, name, workers):
        self.plan, self.store, self.target, self.engine, self.workers = plan, store, target, name, workers
        self.name = f"{target}/{name}"
        self.folder = run.path(f"raw/{target}-{name}/log").parent
        self.seeds = run.path(f"raw/{target}-seeds/x").parent
        self.partner = None  # the other fuzzer on this target
        self.series, self.children = [], []
        self.began = self.ended = None
        self.executions = self.edges = self.corpus_inputs = self.fed = 0
        self.stability = None
        self.speed, self.operations_speed = (None, None), None
        self.problem, self.fed_at, self.given = None, 0.0, set()

    def seconds(self):
        return (self.ended or time.monotonic()) - self.began if self.began else 0.0

    def spawn(self, command, log, **environment):
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                                 stdin=subprocess.DEVNULL, start_new_session=True,
                                 preexec_fn=processes.end_with_parent,
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

    def sample(self):
        before = self.edges
        self.look()
        known = self.engine == "libfuzzer" or self.edges != before  # AFL++ reports it only now and then
        self.series.append((round(self.seconds(), 1), self.executions, self.edges if known else None,
                            self.corpus_inputs))

    def rate(self):
        """Executions per second over the last samples."""
        if len(self.series) < 2:
            return 0.0
        first, last = self.series[max(0, len(self.series) - 20)], self.series[-1]
        return (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else 0.0

    def state(self):
        if self.began is None:
            return "waits"
        return "ended" if self.ended else "runs"

    def look(self):
        """Nothing to report: seeds run by themselves."""

    def feed(self):
        """Takes the other fuzzer's inputs, in its own way."""

    def corpus(self):
        """The folder of the inputs that it made, or None."""

    def corpora(self):
        return [self.corpus()] if self.corpus() else []

    def dictionary(self):
        """The operations of op.def, for mutations that do not know them."""
        path = self.folder / "dictionary"
        with path.open("wb") as out:
            subprocess.run([str(BUILD / "plain" / "opgen"), "dict", self.target], stdout=out, check=True)
        return path

    def measure(self):
        """Executions and operations per second of one core, over the corpus that the run made."""
        command = [findings.REPLAY, "-t", self.target, "-s", MEASURE_S, self.corpus()]
        _, printed, _ = processes.answer(command, self.plan.environment(), 120)
        found = re.search(r"a second of the core: (\d+) executions, (\d+) operations", printed)
        if found:
            self.speed = int(found.group(1)), int(found.group(2))
            if self.speed[0] > 0 and self.seconds() > 0:
                self.operations_speed = self.executions / self.seconds() * self.speed[1] / self.speed[0]

    def item(self, run_dir):
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
            "inputs_from_partner": self.fed,
            "stability": self.stability,
            "problem": self.problem,
            "findings": [f.item(run_dir) for f in self.store.of(self.target, self.engine)],
        }


class LibFuzzer(Fuzzer):
    """libFuzzer ends at a finding; it is restarted for the remaining time."""

    STATUS = re.compile(r"^#(\d+)\s.*?cov: (\d+)(?:.*?corp: (\d+)/)?", re.MULTILINE)
    KINDS = {"crash": "crash", "timeout": "timeout", "oom": "out-of-memory", "leak": "leak"}

    def corpus(self):
        return self.folder / "corpus"

    def launch(self, seconds):
        self.logs = []
        self.starts = 0
        self.corpus().mkdir(exist_ok=True)
        self.words = self.dictionary()
        for _ in range(self.workers):
            self.launch_one(seconds)

    def launch_one(self, seconds):
        self.starts += 1
        log = self.folder / f"log-{self.starts}.txt"
        artifacts = self.folder / f"artifacts-{self.starts}"
        artifacts.mkdir(exist_ok=True)
        seed = self.plan.seed + self.starts - 1
        # A subject that runs in another process needs no sanitizers in this one.
        build = "bare" if os.environ.get("PAGEBOX_RUNTIME") else "libfuzzer"
        command = [str(BUILD / build / self.target), f"-max_total_time={max(1, round(seconds))}",
                   f"-seed={seed}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={HANG_S}",
                   "-rss_limit_mb=2560", "-detect_leaks=0", "-reload=1", "-print_final_stats=1", *DRAWS,
                   f"-dict={self.words}", f"-artifact_prefix={artifacts}/", str(self.corpus()), str(self.seeds)]
        with log.open("wb") as out:
            child = self.spawn(command, out, PAGEBOX_ROTATE="1")  # a runtime's tiers take turns
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
        for worker in list(self.logs):
            if worker["child"].poll() is not None and not worker["done"]:
                worker["done"] = True
                self.gather(worker)

    def gather(self, worker):
        text = worker["log"].read_text(errors="replace")
        inputs = [p for p in sorted(worker["artifacts"].iterdir()) if p.name.split("-")[0] in self.KINDS]
        for path in inputs:
            hint = findings.name_in(text) or self.KINDS[path.name.split("-")[0]]
            self.store.add(self.target, self.engine, path, hint, self.seconds(), self.executions)
        left = self.plan.time_s - self.seconds()
        if inputs and left >= 1 and self.starts < RESTARTS_MAX + self.workers and not self.ended:
            self.launch_one(left)
        elif inputs and left >= 1 and not self.ended:
            past = f"; RULES_OFF={hint} looks past it" if re.match(r"R\d+-(?!crash)", hint) else ""
            self.problem = self.problem or f"stopped after {RESTARTS_MAX + 1} findings, {left:.0f} s unused{past}"
        elif not inputs and worker["child"].returncode not in (0, 130, -signal.SIGINT) and not self.ended:
            self.problem = f"libFuzzer ended with status {worker['child'].returncode}: see its log"

    def feed(self):
        """AFL++'s queues, also those of other machines in the same folder. libFuzzer reloads its folder and keeps
        inputs that are new to it."""
        if time.monotonic() - self.fed_at < FEED_S or not self.partner:
            return
        self.fed_at = time.monotonic()
        for path in self.partner.sync_folder().glob("*/queue/id:*"):
            key = (path.parent.parent.name, path.name)
            if key in self.given or ",orig:" in path.name:
                continue
            self.given.add(key)
            try:
                shutil.copyfile(path, self.corpus() / f"afl-{key[0]}-{path.name[3:9]}")
                self.fed += 1
            except OSError:  # it is gone
                pass


class Afl(Fuzzer):
    """afl-fuzz continues after a finding, and exits with 0 whatever it found. One worker is the main one, which also
    reads libFuzzer's corpus (-F); the others are secondaries."""

    QUIET = {name: "1" for name in (
        "AFL_NO_UI", "AFL_SKIP_CPUFREQ", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES", "AFL_NO_AFFINITY",
        "AFL_FAST_CAL", "AFL_AUTORESUME")}

    def sync_folder(self):
        """Where workers find each other's queues; SYNC= for several machines."""
        return self.plan.sync / self.target if self.plan.sync else self.folder / "out"

    def own(self):
        """The folders of this run's workers."""
        names = [f"{host()}-main"] + [f"{host()}-s{n}" for n in range(1, self.workers)]
        return [self.sync_folder() / name for name in names]

    def corpus(self):
        return self.own()[0] / "queue"

    def corpora(self):
        return [folder / "queue" for folder in self.own()]

    def launch(self, seconds):
        self.seen = set()
        self.logs = []
        words = self.dictionary()
        self.sync_folder().mkdir(parents=True, exist_ok=True)
        for number, own in enumerate(self.own()):
            role = ["-M", own.name] if number == 0 else ["-S", own.name]
            if number == 0 and self.partner:
                self.partner.corpus().mkdir(exist_ok=True)
                role += ["-F", str(self.partner.corpus())]
            command = ["afl-fuzz", *role, "-i", str(self.seeds), "-o", str(self.sync_folder()),
                       "-V", str(seconds), "-s", str(self.plan.seed + number), "-G", str(INPUT_BYTES_MAX),
                       "-t", "2000", "-m", "none", "-x", str(words), "--", str(BUILD / "afl" / self.target)]
            more = {"AFL_CUSTOM_MUTATOR_LIBRARY": str(MUTATOR)} if MUTATOR.exists() else {}
            log = self.folder / f"log-{own.name}.txt"
            with log.open("wb") as out:
                self.spawn(command, out, **self.QUIET, **more)
            self.logs.append(log)

    @staticmethod
    def statistics(own):
        text = report.file_text(own / "fuzzer_stats", "")
        return dict(re.findall(r"^(\w+)\s*: (.*)$", text, re.MULTILINE))

    def look(self):
        self.executions = max(self.executions, sum(self.look_at(own) for own in self.own()))
        for own, child, log in zip(self.own(), self.children, self.logs):
            if child.poll() not in (None, 0) and not self.ended and not self.store.of(self.target, self.engine):
                words = log.read_text(errors="replace").splitlines()
                told = [re.sub(r"\x1b\[[0-9;]*m", "", w) for w in words if "PROGRAM ABORT" in w or "ROR" in w]
                self.problem = f"afl-fuzz {own.name}: " + (told[-1].strip() if told else
                                                           f"status {child.returncode}")

    def look_at(self, own):
        """Executions of one worker, and other figures of this fuzzer."""
        stats = self.statistics(own)
        executions = int(stats.get("execs_done", 0))
        self.edges = max(self.edges, int(stats.get("edges_found", 0)))
        stability = re.match(r"([\d.]+)%", stats.get("stability", ""))
        if stability:
            self.stability = min(float(stability.group(1)), self.stability or 100.0)
        try:  # written more often than the statistics
            text = (own / "plot_data").read_text()
            row = [r for r in text.splitlines() if r and not r.startswith("#")][-1].split(", ")
            executions = max(executions, int(row[11]))
            self.edges = max(self.edges, int(row[12]))
        except (OSError, IndexError, ValueError):
            pass
        if (own / "queue").is_dir():
            names = [name for name in os.listdir(own / "queue") if name.startswith("id:")]
            self.corpus_inputs = max(self.corpus_inputs, len(names))
            self.fed = max(self.fed, sum(",sync:" in name for name in names))
            # The statistics come once a minute, but the newest input's name has the number of executions.
            for found in map(re.compile(r",execs:(\d+)").search, names):
                executions = max(executions, int(found.group(1)) if found else 0)
        for kind, hint in (("crashes", "crash"), ("hangs", "timeout")):
            for path in sorted((own / kind).glob("id:*")):
                if path not in self.seen and len(self.seen) < FOUND_MAX:
                    self.seen.add(path)
                    self.take(path, hint)
        return executions

    def take(self, path, hint):
        """The name says when: id:000000,sig:06,src:...,time:1234,execs:5678,..."""
        at = re.search(r"time:(\d+),execs:(\d+)", path.name)
        seconds = int(at.group(1)) / 1000 if at else self.seconds()
        self.store.add(self.target, self.engine, path, hint, seconds, int(at.group(2)) if at else None)


KINDS = {"libfuzzer": LibFuzzer, "afl": Afl}


def left_over(run_dir):
    """What fuzzers left in a run's folder: (target, engine, path, hint)."""
    for folder in sorted((run_dir / "raw").glob("*_fuzzer-*")):
        target, _, engine = folder.name.rpartition("-")
        for path in sorted(folder.glob("artifacts-*/*")):
            hint = LibFuzzer.KINDS.get(path.name.split("-")[0])
            if hint:
                yield target, engine, path, hint
        for kind, hint in (("crashes", "crash"), ("hangs", "timeout")):
            for path in sorted(folder.glob(f"out/*/{kind}/id:*")):
                yield target, engine, path, hint
