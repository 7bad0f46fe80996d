"""rates.py: `make bench-runtimes`: programs per second of a core, for the harness with its pipe and for an engine.

    scripts/runtimes_rates.py                               # RUNTIME=node-npm:liftoff RUNS=20000
    scripts/runtimes_rates.py RUNTIME=node:turbofan,jsc:interpreter RUNS=50000

Records a fuzzer's run without seeds once. Then the engine plays the recorded programs without the harness, and the
harness runs them again with fuzz/runtimes/echo.c, which repeats the engine's answers. Both are measured in processor
time, so that a busy machine matters little; each with and without growth, which is V8's most expensive operation.
Exit status: 0, 2 usage or set-up, 130 interrupted.
"""
import ctypes
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from pagebox.common import report
from pagebox.common import settings
from pagebox.runtimes import known

FUZZER = report.REPO / "build" / "bare" / "memory_fuzzer"
ECHO = known.BUILD / "echo"
SET_CHILD_SUBREAPER = 36  # prctl: orphans of the harness become children of this process


def asked(arguments):
    """Names of runtimes, and the number of programs."""
    given = settings.read(arguments, {
        "RUNTIME": settings.word("node-npm:liftoff"),
        "RUNS": settings.number(20000, 1, 10**8 - 1),
    })
    return given.RUNTIME.split(","), given.RUNS


def processor_s(words, **options):
    """Runs a command; returns processor seconds of it and of all the processes that it left behind."""
    child = subprocess.Popen(words, **options)
    seconds = 0.0
    while True:
        try:
            _, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            child.returncode = 0
            return seconds
        del status
        seconds += usage.ru_utime + usage.ru_stime


def fuzz(pipe, runs, growth, rules_off, folder):
    """Runs the harness with the shell command `pipe` as its runtime; returns processor seconds. Exits if not all
    programs ran."""
    environment = dict(os.environ, SUBJECT=str(known.BUILD / "pipe.so"), PAGEBOX_RUNTIME=f"pipe\t1\t{pipe}",
                       PAGEBOX_RULES_OFF=",".join(rules_off), PAGEBOX_HANG_MS="20000")
    if not growth:
        environment["PAGEBOX_WITHOUT_GROWTH"] = "1"
    words = [str(FUZZER), f"-runs={runs}", "-seed=1", "-max_len=256", "-timeout=60", "-detect_leaks=0", f"-artifact_prefix={folder}/"]
    with (folder / "log").open("wb") as log:
        seconds = processor_s(words, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    text = (folder / "log").read_text(errors="replace")
    if re.search(r"^#\d+\s+DONE", text, re.M) is None:
        found = re.search(r"^finding: .*\n.*\n.*", text, re.M)
        report.die(f"{pipe}\nended before {runs} programs: {found.group(0) if found else text[-500:]}")
    return seconds


def measure(runtime, runs, growth):
    """(programs, programs per second of the harness with an echo, of the engine)."""
    tier = known.commands(runtime)[0]
    found = known.engines().get(runtime.partition(":")[0], {}).get("known", [])
    broken = [one["finding"].partition("-")[0] for one in found]
    rules_off = [f"R{n}" for n in range(100) if any(re.fullmatch(one, f"R{n}") for one in broken)]  # a finding would end the run
    with tempfile.TemporaryDirectory(prefix="pagebox-") as name:
        folder = pathlib.Path(name)
        asked, answers = folder / "asked", folder / "answers"
        fuzz(f"tee {asked} | ({tier[2]}) | tee {answers}", runs, growth, rules_off, folder)
        programs = asked.read_bytes().count(b"\n") - 1
        echo_s = fuzz(f"exec {shlex.quote(str(ECHO))} {answers}", runs, growth, rules_off, folder)
        with asked.open("rb") as lines:
            engine_s = processor_s(["/bin/sh", "-c", tier[2]], stdin=lines, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
    return programs, programs / echo_s, programs / engine_s


def main():
    report.help_if_asked(__doc__)
    runtimes, runs = asked(sys.argv[1:])
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    rows, items = [], []
    print(f"{'runtime':22}{'programs':22}{'harness and echo':>18}{'engine':>10}{'both':>10}{'engine has':>12}   (programs per second of a core)")
    for runtime in runtimes:
        for growth in (False, True):
            programs, harness, engine = measure(runtime, runs, growth)
            both = 1 / (1 / harness + 1 / engine)
            kind = f"{programs} {'as usual' if growth else 'without growth'}"
            row = [runtime, kind, round(harness), round(engine), round(both), f"{100 * both / engine:.0f} %"]
            print(f"{row[0]:22}{row[1]:22}{row[2]:18,}{row[3]:10,}{row[4]:10,}{row[5]:>12}", flush=True)
            rows.append(row)
            items.append({"name": f"{runtime} {'usual' if growth else 'without growth'}", "programs": programs,
                          "harness_per_s": round(harness, 1), "engine_per_s": round(engine, 1)})
    run = report.Run("runtimes-rates")
    table = report.Table(["runtime", "programs", "harness and echo", "engine", "both", "engine has"], rows,
                         caption="Programs per second of a core, in processor time.")
    print(run.finish("pass", {"runtimes": " ".join(runtimes), "runs": runs}, items, [report.Section("Rates", table=table)],
                     "Real runtimes: rates", f"{len(runtimes)} runtimes, {runs:,} programs each, with and without growth."))
    return 0
