"""explore.py: runs an ordinary C program under the concurrency engine (`make explore SRC=file.c`).

Compiles the files, renames their calls of pthreads, C11 threads, libc's allocator and time to the
engine's, runs `main` again and again under schedules and weak-memory choices until a finding or the
end of the time, shrinks the schedule, prints it as columns and writes results/explore/.
fuzz/sim/EXPLORE.md shows how. Exit status: 0 nothing found, 1 a finding, 2 usage or set-up (also a
program that does not compile), 130 interrupted.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

from pagebox.common import report
from pagebox.sim import trace

REPO = report.REPO
SIM = REPO / "fuzz" / "sim"
SCHEDS = ("all", "bytes", "uniform", "pct", "pos", "exhaustive")
BOUNDS = {  # enum sim_bound
    1: "a run was cut at the bound on steps",
    2: "an old message was out of reach",
    4: "simulated memory ran out",
    8: "a preemption was not offered",
    16: "a spinning thread was held until something changed",
    32: "no more threads could be started",
}

# One source line, one place in the program: without these clang merges atomics of different lines.
KEEP_APART = ["sink-common-insts", "enable-tail-merge", "hoist-common-insts"]
FLAGS = (
    "-std=gnu11 -O1 -g -pthread -fno-pie -fno-common -fno-stack-protector -U_FORTIFY_SOURCE "
    "-fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free"
)
# What the object files may use of these families; the rest is renamed or refused.
FAMILIES = re.compile(r"(pthread|thrd|mtx|cnd|tss|sem)_|__tls_get_addr|__atomic_|io_uring")
HARMLESS = re.compile(
    r"pthread_(attr|mutexattr|condattr|rwlockattr|barrierattr)_|pthread_equal$|thrd_equal$"
    r"|sem_close$|sem_unlink$"
)


def say(text):
    """A line for whoever still reads."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def read_arguments():
    p = argparse.ArgumentParser(prog="explore.py", description=__doc__.partition("\n\n")[0])
    p.add_argument("src", nargs="+", help="C files; one of them has main")
    p.add_argument("--sched", default="all", choices=SCHEDS)
    p.add_argument("--time", type=float, default=60, help="seconds (default 60)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes of SCHED=exhaustive")
    p.add_argument("--replay", metavar="FILE", help="a schedule.txt of an earlier finding")
    p.add_argument("--cflags", default="", help="for the program: -DX, -Ipath, -O2, -lm ...")
    p.add_argument("--cc", default="clang", help="clang, clang-19, gcc")
    p.add_argument("--set", action="append", default=[], metavar="KEY=N", help="a bound or switch")
    p.add_argument("--root", help="where results/ is (default: the repository)")
    a = p.parse_args()
    if a.time <= 0:
        report.die("--time (TIME=) needs a number of seconds above 0")
    for file in a.src + ([a.replay] if a.replay else []):
        if not os.path.isfile(file):
            report.die(f"{file}: there is no such file; SRC= and REPLAY= name files")
    wrong = [f for f in a.src if not f.endswith(".c")]
    if wrong:
        report.die(f"{wrong[0]}: only C files (.c) can be explored")
    return a


# ---------------------------------------------------------------- from source to program


def run_tool(command, what):
    """Runs a build step; its own message is the clearest one."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        report.die(f"{command[0]} is missing: run scripts/setup")
    sys.stderr.write(done.stderr)
    if done.returncode:
        report.die(f"{what} failed; the message is above")
    return done.stdout


def compiler_flags(cc):
    version = run_tool([cc, "--version"], cc)
    if "clang" in version:
        return ["-femulated-tls"] + [x for k in KEEP_APART for x in ("-mllvm", f"-{k}=false")]
    return ["-fno-builtin"]


def check_symbols(object_file, source):
    """What a simulated run could not answer is refused here, with the reason."""
    symbols = run_tool(["readelf", "-sW", object_file], "readelf")
    if re.search(r"\bTLS\b", symbols):
        report.die(f"{source} has thread-local variables, which need clang: use CC_EXPLORE=clang")
    undefined = re.findall(r"\bUND (\S+)$", symbols, re.MULTILINE)
    for name in undefined:
        if name.startswith("__atomic_"):
            report.die(f"{source}: {name}: atomics wider than 8 bytes are not simulated")
        if FAMILIES.match(name) and not HARMLESS.match(name):
            report.die(f"{source} calls {name}, which the engine does not simulate; see EXPLORE.md")


def compile_one(a, source, object_file):
    extra = [f for f in shlex.split(a.cflags) if not f.startswith(("-l", "-L"))]
    command = [a.cc, *FLAGS.split(), *extra, "-fsanitize=thread", *compiler_flags(a.cc)]
    run_tool([*command, f"-I{SIM}", "-c", source, "-o", object_file], f"compiling {source}")
    sections = ["--rename-section=.data=sim_data", "--rename-section=.bss=sim_bss"]
    sections += [
        f"--rename-section=.text{s}=sim_text" for s in ("", ".startup", ".unlikely", ".hot")
    ]
    renamed = [f"--redefine-syms={SIM / 'redefine.syms'}", "--redefine-sym=main=sim_subject_main"]
    run_tool(["objcopy", *renamed, *sections, object_file], f"renaming the calls in {source}")
    check_symbols(object_file, source)


def fuzzer_library():
    """libFuzzer without its main, and what it needs."""
    machine = os.uname().machine
    names = (f"libclang_rt.fuzzer_no_main-{machine}.a", "libclang_rt.fuzzer_no_main.a")
    for name in names:
        found = run_tool(["clang", f"-print-file-name={name}"], "clang").strip()
        if os.path.isabs(found):
            return ["-Wl,-u,LLVMFuzzerRunDriver", found, "-lstdc++", "-lm"]
    report.die("libFuzzer is missing (libclang_rt.fuzzer_no_main): run scripts/setup")


def build(a, folder):
    engine = REPO / "build" / "plain"
    parts = [engine / "fuzz" / "sim" / "explore_main.o", engine / "libsim.a"]
    for part in parts:
        if not part.exists():
            report.die(f"{part} is not built: run `make explore-lib`")
    objects = []
    for i, source in enumerate(a.src):
        objects.append(str(folder / f"{i}.o"))
        compile_one(a, source, objects[-1])
    program = folder / "program"
    libraries = [f for f in shlex.split(a.cflags) if f.startswith(("-l", "-L"))]
    libraries += fuzzer_library() if a.sched == "bytes" else []
    command = ["gcc", "-no-pie", "-pthread", *objects, *map(str, parts), *libraries]
    run_tool([*command, "-o", str(program)], f"linking {' '.join(a.src)}")
    return program


# ---------------------------------------------------------------- the run and its report


class Exploration:
    def __init__(self, a):
        self.a = a
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="explore-"))
        self.child = None
        self.stopping = False

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, program, out):
        a = self.a
        command = [str(program), f"--out={out}", f"--seconds={max(1, round(a.time))}"]
        command += [f"--seed={a.seed}", f"--sched={a.sched}", f"--processes={a.jobs}"]
        command += [f"--replay={os.path.abspath(a.replay)}"] if a.replay else []
        return command + [f"--{pair}" for pair in a.set]

    def interrupt(self, number, frame):
        """The program writes what it has and ends; then the report is written."""
        self.stopping = True
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)

    def run(self, program, out):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.interrupt)
        self.child = subprocess.Popen(
            self.command(program, out),
            start_new_session=True,
            stdout=subprocess.DEVNULL if self.a.sched == "bytes" else None,
        )
        status = self.child.wait()
        try:
            return status, json.loads((out / "result.json").read_text())
        except (OSError, ValueError):
            shutil.rmtree(out, ignore_errors=True)
            where = f"signal {-status}" if status < 0 else f"status {status}"
            report.die(f"the program ended with {where} and left no result; its message is above")


def bounds_text(bits):
    return [text for bit, text in BOUNDS.items() if bits & bit]


def per_second(result):
    """None where a few executions say nothing."""
    return result["executions"] / result["seconds"] if result["seconds"] > 0.1 else None


def lead_of(a, result):
    names = ", ".join(f"`{os.path.basename(s)}`" for s in a.src)
    if result["finding"]:
        how = (
            "by replay"
            if a.replay
            else f"after {result['executions']:,} executions in {result['seconds']:.2f} s"
        )
        return f"{names}: **{result['finding']}** {how}."
    if a.sched == "exhaustive":
        seen = "all executions within the bounds" if result["complete"] else "NOT all executions"
        return f"{names}: no finding; {seen} were explored ({result['graphs']:,} graphs)."
    return f"{names}: no finding in {result['executions']:,} executions, {result['seconds']:.1f} s."


def sections_of(a, result, columns, lines):
    rows = [
        ["executions", result["executions"]],
        ["a second", per_second(result)],
        ["steps", result["steps"]],
        ["choices found", result["choices_found"]],
        ["choices after shrinking", result["choices"]],
    ]
    if a.sched == "exhaustive":
        rows += [
            ["graphs", result["graphs"]],
            ["pruned", result["pruned"]],
            ["complete", result["complete"]],
        ]
    rows += [["bound reached", text] for text in bounds_text(result["bounds"])]
    sections = []
    if result["finding"]:
        sections.append(report.Section("Finding", pre=lines))
        sections.append(
            report.Section(
                "Schedule",
                "One column a thread; [as a page](trace.html). "
                "`make explore SRC=... REPLAY=schedule.txt` runs it again.",
                pre=columns.partition("\nfinding: ")[0],
            )
        )
    sections.append(
        report.Section("Search", table=report.Table(["what", "value"], rows, align="lr"))
    )
    return sections


def finish(a, run, program, status, result):
    columns = lines = ""
    if result["finding"]:
        reader = trace.Program(program, sorted(program.parent.glob("*.o")))
        data = json.loads((run.dir / "trace.json").read_text())
        data["detail"] = result["detail"]
        columns, lines = trace.text(data, reader), trace.named(data, reader, result["detail"])
        title = f"{result['finding']} in {', '.join(map(os.path.basename, a.src))}"
        run.path("trace.txt").write_text(columns)
        run.path("trace.html").write_text(trace.page(data, reader, title), encoding="utf-8")
    word = {0: "pass", 1: "finding", 130: "interrupted"}.get(status, "error")
    item = {"name": os.path.basename(a.src[0]), "sources": a.src, "sched": a.sched, "seed": a.seed}
    item |= {
        k: result[k] for k in ("finding", "executions", "seconds", "graphs", "complete", "choices")
    }
    item |= {
        "detail": lines,
        "bounds": bounds_text(result["bounds"]),
        "cflags": a.cflags,
        "error": result["error"],
    }
    if result["finding"]:
        item |= {"trace": "trace.txt", "page": "trace.html", "reproducer": "schedule.txt"}
    summary = {
        "executions": result["executions"],
        "executions_per_s": per_second(result),
        "finding": result["finding"],
    }
    lead = lead_of(a, result)
    final = run.finish(
        word,
        summary,
        [item],
        sections_of(a, result, columns, lines),
        f"Exploring {os.path.basename(a.src[0])}",
        lead,
    )
    say(columns if result["finding"] else re.sub(r"[`*]", "", lead))
    for text in bounds_text(result["bounds"]):
        say(f"note: {text}")
    if result["cut"]:
        say(f"note: {result['cut']:,} of the runs were cut at a bound, so their ends were not seen")
    if result["error"]:
        print(f"explore: {result['error']}", file=sys.stderr)
    say(f"report: {os.path.relpath(final / 'report.html')}")
    if result["finding"]:
        say(f"page:   {os.path.relpath(final / 'trace.html')}")
        flags = f'CFLAGS_SRC="{a.cflags}" ' if a.cflags else ""
        say(
            f"replay: make explore SRC=\"{' '.join(a.src)}\" {flags}"
            f"REPLAY={os.path.relpath(final / 'schedule.txt')}"
        )
        print(f"finding: {result['finding']}", file=sys.stderr)


def main():
    a = read_arguments()
    e = Exploration(a)
    try:
        program = build(a, e.folder)
        run = report.Run("explore", a.root)
        run.machine |= {
            "compiler": report.output_of([a.cc, "--version"]),
            "flags": f"{FLAGS} {a.cflags}".strip(),
        }
        status, result = e.run(program, run.dir)
        finish(a, run, program, status, result)
        return 130 if e.stopping and status == 0 else status
    finally:
        e.clean()
