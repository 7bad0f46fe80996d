#!/usr/bin/python3
"""explore.py: tests of `make explore`. Every program of fuzz/sim/examples and fuzz/sim/tests/posix
states the expected results in its first comment, one line per case:

    expect: pass|<finding> [sched=...] [time=...] [cflags=...] [set=KEY=N]

A pass with sched=exhaustive must also be complete. The finding of an example must be reproduced by its
schedule, and its trace must contain the text of each `shows: text`, both as text and as a page. Run by
`make test-explore`; an argument is a regular expression that selects cases by name.
"""
import concurrent.futures
import html
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SIM = HERE.parent
REPO = SIM.parent.parent
EXPLORE = REPO / "scripts" / "explore.py"


def explore(folder, *arguments):
    command = [str(EXPLORE), "--root", str(folder), "--build-time", "200", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def latest(folder):
    path = pathlib.Path(folder) / "results" / "explore" / "latest"
    return path, json.loads((path / "report.json").read_text())


def cases():
    for source in sorted([*(SIM / "examples").glob("*.c"), *(HERE / "posix").glob("*.c*")]):
        text = source.read_text()
        lines = re.findall(r"^ \* expect: (.*?)(?: \*/)?$", text, re.MULTILINE)
        assert len(lines) == text.count("expect: "), f"{source}: each `expect:` begins a line"
        for line in lines:
            outcome, *options = line.split()
            yield source, outcome, dict(o.split("=", 1) for o in options)


ONE_EXECUTION = "only one execution"


def seconds(outcome, options):
    """Time limit: generous where the run ends by itself, with a finding or a complete search."""
    given = int(options.get("time", "20"))
    return max(given, 120) if outcome != "pass" or options.get("sched") == "exhaustive" else given


def check_pass(report, done, options):
    item = report["items"][0]
    if done.returncode != 0 or report["status"] != "pass" or item["finding"]:
        return f"status {done.returncode}, finding {item['finding']}: {item['detail']}"
    if options.get("sched") == "exhaustive":
        if not item["complete"]:
            return f"the search was not complete: {item['bounds']}"
        graphs = int(options.get("graphs", item["graphs"]))
        return None if item["graphs"] == graphs else f"{item['graphs']} graphs, not {graphs}"
    return None if item["executions"] > 1 else ONE_EXECUTION


def check_finding(folder, report, path, done, outcome, source, cflags):
    item = report["items"][0]
    status, word = (3, "inconclusive") if outcome == "unsupported-call" else (1, "finding")
    if done.returncode != status or report["status"] != word or item["finding"] != outcome:
        return f"status {done.returncode}, finding {item['finding']}: {item['detail']}"
    if item["error"]:
        return item["error"]
    if f"{word}: {outcome}" not in done.stderr:
        return f"standard error lacks the line `{word}: ...`"
    page, columns = ((path / f).read_text() for f in ("trace.html", "trace.txt"))
    for text in [outcome, *re.findall(r"^ \* shows: (.*)$", source.read_text(), re.MULTILINE)]:
        if text not in html.unescape(page) or text not in columns:
            return f"the page or the columns do not show '{text}'"
    if source.parent.name != "examples":
        return None
    again = explore(folder, source, f"--cflags={cflags}", "--replay", path / "schedule.txt")
    if f"finding: {outcome}\n" not in again.stdout or again.returncode != 1:
        return f"replay: status {again.returncode}: {again.stderr}"
    return None


def run_case(case):
    source, outcome, options = case
    cflags = options.get("cflags", "")
    name = f"{source.stem}_{outcome}" + "".join(
        f"_{v.removeprefix('-D')}" for v in options.values()
    )
    arguments = [source, "--jobs", "1", f"--cflags={cflags}"]
    arguments += ["--sched", options["sched"]] if "sched" in options else []
    arguments += ["--set", options["set"]] if "set" in options else []
    arguments += [f"--args={options['args']}"] if "args" in options else []
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        for time in (seconds(outcome, options), 120):
            done = explore(folder, *arguments, "--time", str(time))
            try:
                path, report = latest(folder)
            except OSError:
                return name, f"no report: {done.stderr}"
            why = check_pass(report, done, options) if outcome == "pass" else None
            if why != ONE_EXECUTION:
                break
        if outcome == "pass":
            return name, why
        return name, check_finding(folder, report, path, done, outcome, source, cflags)


# ---------------------------------------------------------------- bad input


def refused(name, source, message, *arguments):
    """This source must be refused with exit status 2 and a message with the reason."""
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        file = pathlib.Path(folder) / "program.c"
        file.write_text(source)
        done = explore(folder, file, "--time", "1", *(a.format(folder=folder) for a in arguments))
        if done.returncode == 2 and message in done.stderr:
            return name, None
        return name, f"status {done.returncode}, expected 2 and '{message}': {done.stderr}"


MAIN = "int main(void) { return 0; }\n"
REFUSED = [
    ("refuses_syntax_error", "int main(void) { return 0 }\n", "expected ';'"),
    ("refuses_no_main", "int f(void) { return 0; }\n", "there is no main"),
    (
        "refuses_192_bit_atomics",
        "#include <stdatomic.h>\nstatic _Atomic struct { long a, b, c; } x;\n"
        "int main(void) { x; return 0; }\n",
        "atomics wider than 16 bytes",
    ),
    (
        "refuses_unknown_pthread_call",
        "#include <pthread.h>\nstatic pthread_mutex_t m;\n"
        "int main(void) { return pthread_mutex_setprioceiling(&m, 1, 0); }\n",
        "does not simulate",
    ),
    (
        "refuses_openmp",
        "int main(void) {\n#pragma omp parallel\n    { }\n    return 0;\n}\n",
        "OpenMP is not simulated",
        "--cflags=-fopenmp",
    ),
    (
        "refuses_gcc_thread_local",
        "_Thread_local int x;\nint main(void) { return x; }\n",
        "thread-local",
        "--cc",
        "gcc",
    ),
    ("refuses_unknown_setting", MAIN, "SET=nonsense=1: no such setting", "--set", "nonsense=1"),
    ("refuses_value_of_switch", MAIN, "SET=symmetric=2: no such setting or value", "--set", "symmetric=2"),
    ("refuses_missing_replay", MAIN, "no such file", "--replay", "{folder}/none"),
    ("refuses_hostile_replay", MAIN, "is not a schedule", "--replay", "{folder}/program.c"),
    ("refuses_sched", MAIN, "invalid choice", "--sched", "none"),
]


def other_compiler(name, behind_a_script=False):
    """The same program built by another compiler, or through a compiler cache, gives the same finding."""
    test = f"compiler_{name}" + "_behind_a_script" * behind_a_script
    if not shutil.which(name):
        return test, f"{name} is missing: run scripts/setup"
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        source = SIM / "examples" / "dekker.c"
        if behind_a_script:
            script = pathlib.Path(folder) / name
            script.write_text(f'#!/bin/sh\nexec "{shutil.which(name)}" "$@"\n')
            script.chmod(0o755)
            name = str(script)
        done = explore(folder, source, "--time", "120", "--cflags=-DBROKEN -O2", "--cc", name)
        found = "finding: assertion" in done.stderr and "raised[1] is 0" in done.stdout
        return test, None if found else done.stdout + done.stderr


def advice(example, line, kind, words):
    """Checks a row of ADVISE=1 on an example."""
    name = f"advise_{example}_{line}"
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        done = explore(folder, SIM / "examples" / f"{example}.c", "--advise", "--advise-time", "5")
        row = re.search(rf"^\S*{example}\.c:{line} {kind} +\w+ +(.*)$", done.stdout, re.MULTILINE)
        if done.returncode == 0 and row and row.group(1).startswith(words):
            return name, None
        return name, f"status {done.returncode}: {done.stdout[-2000:]}{done.stderr[-500:]}"


def explore_text(source, *runs, name="program.c", prefix="test-explore-"):
    """Explores a program given as text, once per list of arguments."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        file = pathlib.Path(folder) / name
        file.write_text(source)
        return [explore(folder, file, *arguments) for arguments in runs]


def warns_of_assembly():
    """Inline assembly is reported before the run, and a finding says that it may come from there."""
    name = "warns_of_assembly"
    source = (
        "#include <pthread.h>\nstatic int x;\nstatic void *run(void *a) {\n"
        '__asm__ volatile("incl %0" : "+m"(x) :: "memory");\nx++; return a; }\n'
        "int main(void) { pthread_t t; pthread_create(&t, 0, run, 0); x++;"
        " return pthread_join(t, 0); }\n"
    )
    (done,) = explore_text(source, ["--time", "120"])
    right = "program.c:4: warning: inline assembly" in done.stderr and "may come from" in done.stdout
    return name, None if right else f"status {done.returncode}: {done.stdout}{done.stderr}"


def volatile_hint():
    """A race on a volatile variable names it and the option; with the option there is no race."""
    name = "volatile_hint"
    source = (
        "#include <pthread.h>\nstatic volatile int flag;\n"
        "static void *run(void *a) { flag = 1; return a; }\n"
        "int main(void) { pthread_t t; pthread_create(&t, 0, run, 0); while (!flag) { }"
        " return pthread_join(t, 0); }\n"
    )
    done, again = explore_text(source, ["--time", "120"], ["--time", "1", "--volatile", "relaxed"])
    right = "flag is volatile" in done.stdout and "VOLATILE=relaxed" in done.stdout and not again.returncode
    return name, None if right else f"{done.stdout}{done.stderr}{again.stdout}{again.stderr}"


def path_with_a_space():
    """Source places are shown although the path has a space."""
    name = "path_with_a_space"
    source = ("#include <assert.h>\n#include <stdatomic.h>\nstatic atomic_int x;\n"
              "int main(void) {\n    x = 1;\n    assert(x == 2);\n    return 0;\n}\n")
    (done,) = explore_text(source, ["--time", "120"], name="my program.c", prefix="test explore ")
    right = ":5 x = 1" in done.stdout and "main at " in done.stdout and "my program.c:6\n" in done.stdout
    return name, None if right else done.stdout + done.stderr


def own_names():
    """A program's own functions and variables may have the names of the engine's."""
    name = "own_names"
    source = (
        "#include <assert.h>\n#include <pthread.h>\n#include <stdlib.h>\nint sim_pthread_create = 5;\n"
        "static int sim_run;\nint sim_malloc(int n) { return n + sim_run; }\nvoid sim_subject_main(void) { }\n"
        "static void *run(void *a) { sim_run++; return a; }\n"
        "int main(void) {\n    pthread_t t;\n    free(malloc(8));\n    pthread_create(&t, 0, run, 0);\n"
        "    assert(sim_malloc(1) == 1 && sim_pthread_create == 5);\n    pthread_join(t, 0);\n    return 0;\n}\n"
    )
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        file = pathlib.Path(folder) / "program.c"
        file.write_text(source)
        done = explore(folder, file, "--time", "5")
        right = "finding: data-race" in done.stderr and "at sim_run\n" in done.stdout and "  sim_malloc at " in done.stdout
        return name, None if right else done.stdout + done.stderr


def wrapped_calls():
    """-Wl,--wrap= works between the files of a program, as in an ordinary link."""
    name = "wrapped_calls"
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        first, second = pathlib.Path(folder) / "first.c", pathlib.Path(folder) / "second.c"
        first.write_text("#include <assert.h>\nint answer(void);\nint __real_answer(void);\nint __wrap_answer(void);\n"
                         "int __wrap_answer(void) { return __real_answer() + 1; }\n"
                         "int main(void) {\n    assert(answer() == 42);\n    return 0;\n}\n")
        second.write_text("int answer(void);\nint answer(void) { return 41; }\n")
        done = explore(folder, first, second, "--sched", "exhaustive", "--cflags=-Wl,--wrap=answer")
        return name, None if done.returncode == 0 else done.stdout + done.stderr


def kept_objects():
    """A second run compiles only what has changed, and uses the change; warnings are repeated in every run."""
    name = "kept_objects"
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        folder = pathlib.Path(folder)
        first, second, cc, log = (folder / n for n in ("first.c", "second.c", "clang", "log"))
        cc.write_text(f'#!/bin/sh\ncase "$*" in *-emit-llvm*) echo "$*" >>{log} ;; esac\nexec clang "$@"\n')
        cc.chmod(0o755)
        first.write_text("#include <assert.h>\nint answer(void);\nint main(void) {\n    assert(answer() == 42);\n    return 0;\n}\n")
        texts = ["int answer(void);\nint answer(void) { return 42; }\n", "int answer(void);\nint answer(void) { return 41; }\n"]
        warns = "#warning told each time\n" + texts[0]
        statuses, compiled, warnings = [], [], []
        for text in (texts[0], texts[0], texts[1], warns, warns):
            second.write_text(text)
            log.write_text("")
            done = explore(folder, first, second, "--sched", "exhaustive", "--cc", cc)
            statuses.append(done.returncode)
            compiled.append(len(log.read_text().splitlines()))
            warnings.append(done.stderr.count("told each time [-W"))
        right = statuses == [0, 0, 1, 0, 0] and compiled == [2, 0, 1, 1, 1] and warnings == [0, 0, 0, 1, 1]
        return name, None if right else f"{statuses} {compiled} {warnings} {done.stderr}"


def replays_a_folder():
    """A report with many files can be replayed by its folder alone; an unsupported call that no run reached is noted."""
    name = "replays_a_folder"
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        folder = pathlib.Path(folder)
        files = [folder / f"part{i}.c" for i in range(5)]
        for i, file in enumerate(files[1:], 1):
            file.write_text(f"int part{i}(void);\nint part{i}(void) {{ return VALUE; }}\n")
        files[0].write_text("#include <assert.h>\n#include <sys/mman.h>\nint part3(void);\nint main(int n, char **v) {\n    (void)v;\n"
                            "    if (n > 5) { mremap(0, 1, 2, 0); }\n    assert(part3() == n);\n    return 0;\n}\n")
        done = explore(folder, *files, "--time", "120", "--cflags=-D_GNU_SOURCE -DVALUE=7", "--args", "a b")
        line = next((l for l in done.stdout.splitlines() if l.startswith("replay: ")), "")
        where = line.partition("REPLAY=")[2]
        again = subprocess.run(["make", "-s", "-C", str(REPO), "explore", f"ROOT={folder}", f"REPLAY={REPO / where}"],
                               capture_output=True, text=True, timeout=900)
        told = "no run got to mremap()" in done.stdout
        right = done.returncode == 1 and "SRC=" not in line and told and "by replay" in latest(folder)[0].joinpath("report.md").read_text()
        wrong = explore(folder, "--replay", folder)
        right = right and again.returncode == 2 and "part0.c:7" in again.stdout and wrong.returncode == 2 and "no report" in wrong.stderr
        return name, None if right else f"{done.stdout}{done.stderr}{again.stdout}{again.stderr}{wrong.stderr}"


def refuses_cflags():
    """make CFLAGS= would not reach the user's file: the message names the setting that does."""
    name = "refuses_make_cflags"
    command = ["make", "-C", str(REPO), "explore", f"SRC={SIM / 'examples' / 'dekker.c'}", "CFLAGS=-DBROKEN"]
    done = subprocess.run(command, capture_output=True, text=True)
    right = done.returncode == 2 and "CFLAGS_SRC= does" in done.stderr
    return name, None if right else f"status {done.returncode}: {done.stdout}{done.stderr}"


def is_searching(parent):
    """Has the explored program, a child of this process, used processor time?"""
    try:
        programs = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        fields = [pathlib.Path(f"/proc/{p}/stat").read_text().rpartition(")") for p in programs]
    except OSError:
        return False
    return any("(exe" in name or "(program" in name for name, _, rest in fields if int(rest.split()[11]) > 10)


def interrupted():
    """An interrupt ends the search with status 130 and a complete report."""
    name = "interrupt_keeps_report"
    with tempfile.TemporaryDirectory(prefix="test-explore-") as folder:
        command = [
            str(EXPLORE),
            "--root",
            folder,
            "--time",
            "600",
            str(SIM / "examples" / "queue.c"),
        ]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while child.poll() is None and not is_searching(child.pid):
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=600)
        try:
            report = latest(folder)[1]
        except OSError:
            return name, f"no report: {errors}"
        if child.returncode == 130 and report["status"] == "interrupted":
            return name, None
        return name, f"exit status {child.returncode}, report {report['status']}"


def main():
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    jobs = (
        [(run_case, (c,)) for c in cases()] + [(refused, r) for r in REFUSED] + [(interrupted, ())]
    )
    jobs += [(warns_of_assembly, ()), (volatile_hint, ()), (refuses_cflags, ()),
             (path_with_a_space, ()), (own_names, ()), (wrapped_calls, ()), (kept_objects, ()), (replays_a_folder, ())]
    jobs += [
        (advice, ("ring", 31, "load", "needed")),
        (advice, ("ring", 35, "store", "needed")),
        (advice, ("dekker", 39, "load", "relaxed")),
    ]
    jobs += [(other_compiler, c) for c in (("gcc",), ("clang-19",), ("clang-19", True))]
    jobs = [j for j in jobs if pattern.search(f"{j[0].__name__} {j[1]}")]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, wrong in pool.map(lambda j: j[0](*j[1]), jobs):
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print(f"FAIL {name}: {wrong.strip()}" if wrong else f"ok   {name}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
