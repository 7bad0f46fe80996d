"""trials.py: one run of one fuzz target of a copy under libFuzzer or AFL++, until it finds something."""
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

from pagebox.defects import planting
from pagebox.fuzz import fuzzers
from pagebox.common import processes

HANG_S = 10  # an input that takes longer is a finding
GRACE_S = 60  # an engine that does not end by itself is killed after this much more
PEACE_S = 2  # time to end by itself when asked to
INPUT_BYTES_MAX = fuzzers.INPUT_BYTES_MAX  # both fuzzers', as in make fuzz
# A user's settings for the harness's programs, which make exports. The scoreboard sets its own.
SETTINGS = ("SUBJECT", "RULES_OFF", "PAGEBOX_RULES_OFF", "PAGEBOX_PARTS", "PAGEBOX_SHRINK", "SCHED", "SEED",
            "TRACE", "TRACE_JSON")
CRASH = re.compile(r"(?:ERROR: libFuzzer: |SUMMARY: \w+Sanitizer: )([\w-]+)")
AFL_FLAGS = (
    "AFL_NO_UI AFL_SKIP_CPUFREQ AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES AFL_NO_AFFINITY "
    "AFL_FAST_CAL AFL_BENCH_UNTIL_CRASH"
)


def environment(**more):
    """The caller's environment without his settings for the harness's programs."""
    return {k: v for k, v in os.environ.items() if k not in SETTINGS} | more


@dataclasses.dataclass
class Catch:
    oracle: str
    seconds: float
    input: pathlib.Path | None


@dataclasses.dataclass
class Outcome:
    executions: int = 0
    catch: Catch | None = None
    reached_s: float | None = None
    triggered_s: float | None = None
    reached_executions: int | None = None  # libFuzzer only: AFL++ restarts its program
    triggered_executions: int | None = None
    fault: str | None = None  # why the engine ended by itself without a finding


class Processes:
    """Processes that are running, so that an interrupt can end them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.alive = set()
        self.stopping = False

    def spawn(self, command, **more):
        more.setdefault("env", environment())
        process = subprocess.Popen(
            command, start_new_session=True, preexec_fn=processes.end_with_parent, **more
        )
        with self.lock:
            self.alive.add(process)
        if self.stopping:  # stopping was requested while the process was starting
            processes.signal_group(process)
        return process

    def reap(self, process):
        processes.signal_group(process)
        process.wait()
        with self.lock:
            self.alive.discard(process)

    def stop(self):
        """Ends all processes: AFL++ gracefully, because its fuzzed program is in a session of its own."""
        self.stopping = True
        alive = list(self.alive)
        for process in alive:
            process.send_signal(signal.SIGINT)
        until = time.monotonic() + PEACE_S
        while time.monotonic() < until and any(process.poll() is None for process in alive):
            time.sleep(0.05)
        for process in alive:
            processes.signal_group(process)

    def run(self, command, timeout, **more):
        """Status and whole output; status None if it took too long."""
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        process = self.spawn(command, text=True, errors="replace", **pipe, **more)
        try:
            text, _ = process.communicate(timeout=timeout)
            return process.returncode, text
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it may have something to write
            ended(process, PEACE_S)
            processes.signal_group(process)
            return None, process.communicate()[0] or ""
        finally:
            self.reap(process)


@dataclasses.dataclass
class Trial:
    """The parameters of one run. seeds: a folder of inputs, or None."""

    processes: Processes
    tree: pathlib.Path
    target: str
    sched: str
    seed: int
    seconds: float
    folder: pathlib.Path
    seeds: pathlib.Path | None

    def environment(self, **more):
        marks = {"PB_DEFECT_REACHED_FILE": str(self.folder / "reached"),
                 "PB_DEFECT_TRIGGERED_FILE": str(self.folder / "triggered")}
        return environment(**marks, SCHED=self.sched, SEED=str(self.seed)) | more


def mark_of(path, began):
    """Seconds and executions from the start until the mark was set; None if it was not."""
    try:
        count = path.read_text().strip()
        return max(0.0, path.stat().st_mtime - began), int(count) if count else None
    except OSError:
        return None, None


def oracle_of(text):
    """The name in a finding's output, or the reason of the crash if it has none."""
    named = re.search(r"^finding: (\S+)", text, re.M)
    reason = CRASH.search(text)
    return named.group(1) if named else reason.group(1) if reason else "crash"


def is_seed(path, seeds):
    """The input is an unmodified seed. seeds: their folder, or None."""
    data = path.read_bytes()
    return seeds is not None and any(seed.read_bytes() == data for seed in seeds.iterdir())


def ended(process, seconds):
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


def until_end(trial, process, began, done=lambda: False):
    """Waits until the engine ends, done() is true, or the time is up. Returns the seconds since `began` (before the
    engine was started), on the same clock as the marks."""
    over = False
    while not over and time.time() - began < trial.seconds + GRACE_S and not done():
        over = ended(process, 0.05)
    spent = time.time() - began
    if not over:  # gracefully if possible: it then writes its statistics
        process.send_signal(signal.SIGINT)
        ended(process, PEACE_S)
    trial.processes.reap(process)
    return spent


def finished(trial, outcome, began):
    reached = mark_of(trial.folder / "reached", began)
    triggered = mark_of(trial.folder / "triggered", began)
    outcome.reached_s, outcome.reached_executions = reached
    outcome.triggered_s, outcome.triggered_executions = triggered
    return outcome


# ---------------------------------------------------------------- libFuzzer


def libfuzzer_command(trial, *more):
    corpus = trial.folder / "corpus"
    corpus.mkdir()
    command = [str(trial.tree / "build/libfuzzer" / trial.target), str(corpus)]
    command += [str(trial.seeds)] if trial.seeds else []
    command += [f"-max_total_time={max(1, int(trial.seconds))}", f"-seed={trial.seed}"]
    command += [f"-timeout={HANG_S}", "-rss_limit_mb=2560", "-detect_leaks=0", *fuzzers.DRAWS]
    command += [f"-max_len={INPUT_BYTES_MAX}", f"-artifact_prefix={trial.folder}/", *more]
    return command


def artifacts(folder):
    found = [p for p in folder.iterdir() if re.match(r"(crash|timeout|oom|leak)-", p.name)]
    return sorted(found, key=lambda p: p.stat().st_mtime_ns)


def unsymbolized(trial):
    """The environment without symbolised stack traces, as with AFL++: symbolising took longer than many a catch."""
    given = os.environ.get("ASAN_OPTIONS")
    return trial.environment(ASAN_OPTIONS=f"{given}:symbolize=0" if given else "symbolize=0")


def run_libfuzzer(trial):
    began = time.time()
    with open(trial.folder / "log", "w+", errors="replace") as log:
        command = libfuzzer_command(trial, "-print_final_stats=1")
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        process = trial.processes.spawn(command, env=unsymbolized(trial), cwd=trial.folder, **streams)
        spent = until_end(trial, process, began)
        log.seek(0)
        text = log.read()
    outcome = Outcome()
    counts = re.findall(r"^#(\d+)|stat::number_of_executed_units: (\d+)", text, re.M)
    outcome.executions = max((int(a or b) for a, b in counts), default=0)
    inputs = artifacts(trial.folder)
    if inputs:
        outcome.catch = Catch(oracle_of(text), spent, inputs[0])
    elif process.returncode != 0 and not trial.processes.stopping:
        named = re.search(r"^finding: (\S+)", text, re.M)
        outcome.fault = None if named else text[-500:]
        outcome.catch = Catch(named.group(1), spent, None) if named else None
    shutil.rmtree(trial.folder / "corpus", ignore_errors=True)
    return finished(trial, outcome, began)


def run_on(trial):
    """libFuzzer in fork mode continues after findings. Returns executions and the findings' inputs, oldest first."""
    more = ["-fork=1", "-ignore_crashes=1", "-ignore_timeouts=1", "-ignore_ooms=1"]
    with open(trial.folder / "log", "w+", errors="replace") as log:
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        command, began = libfuzzer_command(trial, *more), time.time()
        process = trial.processes.spawn(command, env=unsymbolized(trial), cwd=trial.folder, **streams)
        until_end(trial, process, began)
        log.seek(0)
        text = log.read()
    shutil.rmtree(trial.folder / "corpus", ignore_errors=True)
    executions = max((int(n) for n in re.findall(r"^#(\d+):", text, re.M)), default=0)
    return executions, artifacts(trial.folder)


# ---------------------------------------------------------------- AFL++


def afl_seeds(trial):
    if trial.seeds and any(trial.seeds.iterdir()):
        return trial.seeds
    empty = trial.folder / "empty"
    empty.mkdir(exist_ok=True)
    (empty / "0").write_bytes(b"\0")
    return empty


def afl_environment(trial):
    env = trial.environment(**{name: "1" for name in AFL_FLAGS.split()})
    mutator = trial.tree / planting.MUTATOR
    if mutator.exists():
        env["AFL_CUSTOM_MUTATOR_LIBRARY"] = str(mutator)
    return env


def afl_input(trial, seeds, text):
    """The input that crashes: saved by AFL++, or a seed, which it only names."""
    crashes = sorted((trial.folder / "afl/default/crashes").glob("id:*"))
    named = re.search(r"orig:([^']+)'[^\n]*results in a crash", text)
    if not crashes and named and (seeds / named.group(1)).exists():
        crashes = [seeds / named.group(1)]
    return crashes[0] if crashes else None


def run_afl(trial):
    seeds, began = afl_seeds(trial), time.time()
    program = str(trial.tree / "build/afl" / trial.target)
    command = ["afl-fuzz", "-i", str(seeds), "-o", str(trial.folder / "afl"), "-s", str(trial.seed)]
    command += ["-V", str(max(1, int(trial.seconds))), "-t", f"{HANG_S * 1000}", "-m", "none"]
    command += ["-G", str(INPUT_BYTES_MAX)]
    with open(trial.folder / "log", "w+", errors="replace") as log:
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        env = afl_environment(trial)
        process = trial.processes.spawn([*command, program], env=env, cwd=trial.folder, **streams)

        def found():  # a crashing seed is only mentioned in the log
            text = (trial.folder / "log").read_text(errors="replace")
            return afl_input(trial, seeds, text) is not None

        spent = until_end(trial, process, began, found)
        log.seek(0)
        text = log.read()
    outcome = Outcome(executions=afl_executions(trial.folder / "afl/default"))
    path = afl_input(trial, seeds, text)
    if path:
        if path.parent != seeds:
            spent = max(0.0, path.stat().st_mtime - began)
        kept = trial.folder / "crash-afl"
        shutil.copy(path, kept)
        status, said = trial.processes.run(  # AFL++'s program can replay a file too
            [program, str(kept)], timeout=GRACE_S, env=trial.environment(), cwd=trial.folder
        )
        name = "timeout" if status is None else oracle_of(said)
        outcome.catch = Catch(name, min(spent, trial.seconds), kept)
    elif process.returncode not in (0, -signal.SIGKILL) and not trial.processes.stopping:
        outcome.fault = re.sub(r"\x1b\[[\d;]*m", "", text)[-500:]
    shutil.rmtree(trial.folder / "afl", ignore_errors=True)
    outcome = finished(trial, outcome, began)
    outcome.reached_executions = outcome.triggered_executions = None  # of only one of its processes
    return outcome


def afl_executions(folder):
    """What AFL++ counted until the crash; for a crashing seed, until its end."""
    for path in (folder / "crashes").glob("id:*"):
        found = re.search(r",execs:(\d+)", path.name)
        if found:
            return int(found.group(1))
    try:
        text = (folder / "fuzzer_stats").read_text()
        return int(re.search(r"execs_done\s*: (\d+)", text).group(1))
    except (OSError, AttributeError):
        return 0


def run(engine, trial):
    trial.folder.mkdir(parents=True, exist_ok=True)
    return run_afl(trial) if engine == "afl" else run_libfuzzer(trial)
