"""tests.py: `make test-runtimes`: bugs planted into a runtime's answers are found and named; the real engines that
are installed run for a minute each.

    scripts/runtimes_test.py quick            # planted bugs by their programs, kinds of nonsense: seconds; part of make test
    scripts/runtimes_test.py planted [TIME]   # each found by the fuzzer without seeds, TIME=60 s at most
    scripts/runtimes_test.py engines [TIME]   # each installed engine, or RUNTIME=jsc,bun, TIME=60 s
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from pagebox.common import report
from pagebox.runtimes import known

REPLAY = report.REPO / "build" / "plain" / "replay"
SHRINK = report.REPO / "build" / "plain" / "shrink"
FUZZER = report.REPO / "build" / "bare" / "memory_fuzzer"
TESTS = known.FOLDER / "tests"
SEEDS = 5  # at most so many restarts of an engine with a known bug
# planted bug (tests/planted.js): the names that its finding may have
PLANTED = {
    "grow-at-maximum": r"R5-grow-limit",
    "store-past-the-end": r"R18-access",
    "notify-one-too-many": r"R22-no-spurious",
    "sum-wraps": r"R18-access",
    "sign-not-extended": r"R18-load",
    "other-tier": r"R\d+-tiers",
    "hangs": r"R16-hang",
    "crashes": r"R18-crash",
    "exits": r"R16-exit",
}
# nonsense that a runtime answers once (tests/nonsense.py): the finding's name, and words of its message
NOT_AN_ANSWER = r"its answer is not of the protocol, "
NONSENSE = {
    **dict.fromkeys(("words", "zeros", "empty", "too-few", "unknown-status", "negative", "too-wide", "few-bytes"),
                    (r"R\d+-nonsense", NOT_AN_ANSWER + "no answer to each request")),
    "too-many": (r"R\d+-nonsense", NOT_AN_ANSWER + "more answers than requests"),
    "bad-repetition": (r"R\d+-nonsense", NOT_AN_ANSWER + "a repetition that is none"),
    "endless": (r"R\d+-nonsense", NOT_AN_ANSWER + "a line longer than any answer"),
    "twice": (r"R\d+-nonsense", NOT_AN_ANSWER + "more than one line"),
    "unasked": (r"R\d+-nonsense", NOT_AN_ANSWER),
    "half-and-gone": (r"R\d+-exit", "ended with status 0"),
    "closed": (r"R\d+-exit", "closed its output and goes on running"),
    "half-and-silent": (None, ""),  # a hang that does not repeat counts as a busy machine
}


def planted_environment(plant):
    """node with a planted bug, with a compiler that has none of its own; beside a sound one if tiers differ."""
    sound = f"sound\t1\texec node --no-liftoff {known.DRIVER}"
    bad = f"planted\t1\texec node --no-liftoff {TESTS / 'planted.js'} {plant}"
    made = {"SUBJECT": str(known.BUILD / "pipe.so"), "PAGEBOX_HANG_MS": "3000"}
    made["PAGEBOX_RUNTIME"] = f"{sound}\n{bad}" if plant == "other-tier" else bad
    return dict(os.environ, **made)


def found_in(text):
    return re.findall(r"^finding: (\S+)", text, re.MULTILINE)


def fuzz(environment, seconds, folder, seed=1):
    """Runs libFuzzer without seeds until a finding, and keeps it in folder: (names found, seconds, executions, output).
    """
    began = time.monotonic()
    command = [FUZZER, f"-max_total_time={seconds}", "-max_len=256", "-timeout=25", "-detect_leaks=0",
               "-rss_limit_mb=2560", "-print_final_stats=1", f"-seed={seed}", f"-artifact_prefix={folder}/"]
    done = subprocess.run([str(word) for word in command], env=dict(environment, PAGEBOX_ROTATE="1"), cwd=folder,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds + 120)
    text = done.stderr.decode(errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    return found_in(text), time.monotonic() - began, int(runs.group(1)) if runs else 0, text


def shrunk(environment, folder):
    """Shrinks the program that fuzz kept: its heading ("R18-store at memory_store") and its operations."""
    kept = next(path for path in pathlib.Path(folder).iterdir() if path.name.startswith(("crash-", "timeout-")))
    smallest = pathlib.Path(folder) / "shrunk.ops"
    subprocess.run([str(SHRINK), "-t", "memory_fuzzer", "-o", str(smallest), str(kept)], env=environment,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    kept.unlink()
    lines = smallest.read_text().splitlines()
    return lines[1].lstrip("# "), [line for line in lines if not line.startswith(("#", "pagebox"))]


def is_known(version, heading, operations, known_findings):
    return any(re.search(one["version"], version) and re.match(one["finding"], heading) and
               any(re.search(one["with"], operation) for operation in operations) for one in known_findings)


class Count:
    def __init__(self):
        self.passed = self.failed = 0

    def say(self, good, name, text=""):
        self.passed += good
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}{': ' if text else ''}{text}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def quick(count):
    for plant, names in PLANTED.items():
        command = [REPLAY, "-q", TESTS / f"{plant}.ops"]
        sound = dict(planted_environment(plant), PAGEBOX_RUNTIME=f"sound\t1\texec node --no-liftoff {known.DRIVER}")
        for environment, wanted in ((planted_environment(plant), [names]), (sound, [])):
            done = subprocess.run([str(word) for word in command], env=environment, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=120)
            got = found_in(done.stderr)
            good = len(got) == len(wanted) and all(re.fullmatch(w, g) for w, g in zip(wanted, got)) and \
                done.returncode == (1 if wanted else 0)
            kind = "planted" if wanted else "sound"
            count.say(good, f"runtimes_{kind}_{plant}", "" if good else f"found {got}, {done.stderr.strip()[-300:]}")


def nonsense(count):
    """Each kind of nonsense in the second of three programs: it is reported in one line, and a new process plays the
    third."""
    inputs = [TESTS / f"{name}.ops" for name in ("hangs", "exits", "sum-wraps")]
    for kind, (name, words) in NONSENSE.items():
        with tempfile.TemporaryDirectory() as folder:
            driver = f"/usr/bin/python3 -B {TESTS / 'nonsense.py'} {kind} {folder}/mark node --no-liftoff {known.DRIVER}"
            environment = {"SUBJECT": str(known.BUILD / "pipe.so"), "PAGEBOX_RUNTIME": f"{kind}\t1\texec {driver}",
                           "PAGEBOX_HANG_MS": "3000"}
            done = subprocess.run([str(REPLAY), "-q", *map(str, inputs)], env=dict(os.environ, **environment),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
            broken = os.path.exists(f"{folder}/mark")
        got, lines = found_in(done.stderr), re.findall(rf": {kind}: .*", done.stderr)
        good = broken and done.returncode == (1 if name else 0) and len(got) == len(lines) == (1 if name else 0) and \
            all(re.fullmatch(name, g) for g in got) and all(words in line for line in lines)
        count.say(good, f"runtimes_nonsense_{kind}", "" if good else f"found {got}, {done.stderr.strip()[-400:]}")


def planted(count, seconds):
    for plant, names in PLANTED.items():
        with tempfile.TemporaryDirectory() as folder:
            got, after, runs, _ = fuzz(planted_environment(plant), seconds, folder)
        good = bool(got) and re.fullmatch(names, got[0]) is not None
        count.say(good, f"runtimes_fuzz_{plant}", f"{', '.join(got) or 'nothing'} after {after:.1f} s, {runs} executions")


def engines(count, seconds):
    there = {}  # runtime: its version, its known bugs
    for name, engine in known.engines().items():
        if known.program_of(engine) is None:
            print(f"     {name} is left out: {known.how_to_get(engine)}")
        else:
            there[name] = known.version_of(engine), engine.get("known", [])
    if (known.BUILD / "wabt.so").exists():
        there["wabt:"] = known.wabt_version(), []
    else:
        print("     wabt: is left out: apt-get install wabt, or scripts/setup runtimes")
    wanted = [name for name in os.environ.get("RUNTIME", "").split(",") if name] or list(there)
    if not set(wanted) <= set(there):
        report.die(f"RUNTIME={','.join(wanted)}: not installed; there are {', '.join(there)}")
    for name in wanted:
        version, expected = there[name]
        play_engine(count, name, version, expected, seconds)


def play_engine(count, name, version, expected, seconds):
    """Fuzzes one engine for so many seconds; known findings do not end the run."""
    environment = dict(os.environ, **known.environment_of(name))
    left, executions, seen, new, why = seconds, 0, {}, {}, ""
    for seed in range(1, SEEDS + 1):
        with tempfile.TemporaryDirectory() as folder:
            got, after, runs, text = fuzz(environment, max(left, 5), folder, seed)
            left -= round(after)
            executions += runs
            why = "" if runs else f" {text[-200:]}"
            if got:
                heading, operations = shrunk(environment, folder)
                (seen if is_known(version, heading, operations, expected) else new)[heading] = operations
        if left <= 0 or not runs:
            break
    told = [f"{heading} (known)" for heading in seen] + [f"{heading}: {'; '.join(ops)}" for heading, ops in new.items()]
    count.say(executions > 0 and not new, f"runtimes_engine_{name.strip(':')}",
              f"{version}, {executions} executions in {seconds - left} s, found {', '.join(told) or 'nothing'}{why}")


def main():
    arguments = sys.argv[1:]
    report.help_if_asked(__doc__)
    kinds = {"quick": quick, "planted": planted, "engines": engines}
    if not arguments or arguments[0] not in kinds:
        report.die(f"which tests? {', '.join(kinds)}")
    count = Count()
    seconds = [int(arguments[1]) if arguments[1:] and arguments[1].isdigit() else 60] if arguments[0] != "quick" else []
    kinds[arguments[0]](count, *seconds)
    if arguments[0] == "quick":
        nonsense(count)
    return count.end()
