"""explore.py: runs an ordinary C or C++ program under the concurrency engine (`make explore SRC=file.c`).

Compiles the files, renames their calls of pthreads, C11 threads, libc's allocator and time to the engine's, runs
`main` repeatedly under different schedules and weak-memory choices until a finding or the end of the time, shrinks
the schedule, prints it in columns and writes results/explore/.
fuzz/sim/EXPLORE.md shows how. Exit status: 0 nothing found, 1 a finding, 2 usage or set-up (also a
program that does not compile), 3 inconclusive (nothing found, but a limit of the engine was
reached: an incomplete exhaustive search, runs that were cut), 130 interrupted.
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
import time

from pagebox.common import processes
from pagebox.common import report
from pagebox.sim import advise, explore_build, trace

SHORT_S, BUILD_S = 10, 60  # with a TIME= this short, building gets BUILD_S extra seconds
LATE_S = 5  # the program ends itself earlier: an alarm at its time, another for shrinking
NO_TRACE = {"ranges": []}
SCHEDS = ("all", "bytes", "uniform", "pct", "pos", "feedback", "exhaustive")
BOUNDS = {  # enum sim_bound
    256: "each atomic of 16 bytes was simulated as if under a lock, which can hide weaker behaviour",
    1: "a run was cut at the engine's bound on steps (SET=steps=N)",
    2: "an old message was out of reach (SET=messages=N)",
    4: "a run was cut: the engine's memory for a run is used up",
    8: "a preemption was not offered (SET=preemptions=N)",
    32: "a run was cut: the engine runs no more threads (SET=threads=N, at most 128; 32 in a search)",
}


def say(text):
    """Prints a line, if anybody still reads."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def errors_go_with_output():
    """Whether standard error goes where standard output goes: the same terminal, or `>log 2>&1`."""
    try:
        return os.path.sameopenfile(1, 2)
    except OSError:
        return False


def files_of(word):
    """The files in SRC=: one file, whose name may contain spaces, or several separated by spaces, quoted as in a shell.
    """
    if os.path.isfile(word):
        return [word]
    try:
        return shlex.split(word)
    except ValueError as error:
        report.die(f"SRC={word}: {error}")


SETTINGS = ("src", "cflags", "args", "set", "volatile", "cc")  # settings that a program is built from


def take_settings(a):
    """Takes the settings of the report in the folder to be replayed."""
    folder = pathlib.Path(a.replay or "")
    if not a.replay or not folder.is_dir():
        report.die("which file? SRC= names it, or REPLAY= the folder of a report")
    try:
        settings = json.loads((folder / "report.json").read_text())["items"][0]["settings"]
        values = {name: settings[name] for name in SETTINGS}
    except (OSError, ValueError, LookupError, TypeError):
        report.die(f"{folder}: no report of make explore with a program in it: name its files (SRC=) and schedule.txt")
    vars(a).update(values)
    a.replay = str(folder / "schedule.txt")


def read_arguments():
    p = argparse.ArgumentParser(prog="explore.py", description=__doc__.partition("\n\n")[0])
    p.add_argument("src", nargs="*", help="C or C++ files; one of them has main")
    p.add_argument("--sched", default="all", choices=SCHEDS)
    p.add_argument("--time", type=float, default=60, help="seconds (default 60)")
    p.add_argument("--build-time", type=float, help="seconds for building (default: part of --time)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes of SCHED=exhaustive")
    p.add_argument("--replay", metavar="FILE", help="schedule.txt of an earlier finding, or the folder of its report, which also has the files and settings")
    p.add_argument("--cflags", default="", help="flags for the program: -DX, -Ipath, -O2, -lm ...")
    p.add_argument("--cc", default="clang", help="clang, clang-19, gcc")
    p.add_argument("--set", action="append", default=[], metavar="KEY=N", help="a bound or switch")
    p.add_argument("--args", default="", help="arguments of the program's main")
    p.add_argument(
        "--volatile",
        default="plain",
        choices=("plain", "relaxed"),
        help="relaxed: volatile accesses are relaxed atomics",
    )
    p.add_argument("--advise", action="store_true", help="the weakest order of each atomic access")
    p.add_argument("--advise-in", help="... in these files only")
    p.add_argument("--advise-time", type=float, default=10, help="seconds for each proof")
    p.add_argument("--root", help="where results/ is (default: the repository)")
    a = p.parse_args()
    if not a.src:
        take_settings(a)
    a.src = [file for word in a.src for file in files_of(word)]
    if a.time <= 0:
        report.die("--time (TIME=) needs a number of seconds above 0")
    for file in a.src + ([a.replay] if a.replay else []):
        if not os.path.isfile(file):
            why = "that is a folder" if os.path.isdir(file) else "there is no such file"
            report.die(f"{file}: {why}; SRC= and REPLAY= name files")
        if not os.access(file, os.R_OK):
            report.die(f"{file} cannot be read: permission denied")
    known = explore_build.C + explore_build.CXX
    wrong = [f for f in a.src if not f.endswith(known)]
    if wrong:
        report.die(f"{wrong[0]}: only C and C++ files ({' '.join(known)}) can be explored")
    return a


# ---------------------------------------------------------------- the run and its report


class Exploration:
    def __init__(self, a):
        self.a = a
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="explore-"))
        self.child = None
        self.stopping = False
        self.began = time.monotonic()
        explore_build.Deadline.began = self.began
        self.is_whole = a.time > SHORT_S and not a.build_time
        explore_build.Deadline.at = self.began + (a.time if self.is_whole else a.build_time or BUILD_S)

    def left_s(self):
        """Seconds of TIME= left for the search. Building counts towards TIME=, unless that is short."""
        used = time.monotonic() - self.began if self.is_whole else 0
        return max(1.0, self.a.time - used)

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, program, out):
        a = self.a
        command = [str(program), f"--out={out}", f"--seconds={round(self.left_s())}"]
        command += [f"--seed={a.seed}", f"--sched={a.sched}", f"--processes={a.jobs}"]
        command += [f"--replay={os.path.abspath(a.replay)}"] if a.replay else []
        return command + explore_build.of_program(a)

    def interrupt(self, number, frame):
        """The program writes its results and ends; then the report is written."""
        self.stopping = True
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)

    def run(self, program, out):
        self.child = subprocess.Popen(
            self.command(program, out),
            start_new_session=True,
            stdout=subprocess.DEVNULL if self.a.sched == "bytes" else None,
        )
        try:
            status = self.child.wait(self.left_s() + LATE_S)
        except subprocess.TimeoutExpired:  # it is past its own alarms
            processes.signal_group(self.child)
            status = self.child.wait()
        try:
            return status, json.loads((out / "result.json").read_text())
        except (OSError, ValueError):
            shutil.rmtree(out, ignore_errors=True)
            if self.stopping:  # before it had started
                sys.exit(130)
            where = f"signal {-status}" if status < 0 else f"status {status}"
            report.die(f"the program ended with {where} and left no result; its message is above")


def bounds_text(bits):
    return [text for bit, text in BOUNDS.items() if bits & bit]


def cuts_of(result):
    """What was cut, one text each; a search says where."""
    return cuts_text(result["cuts"]) or bounds_text(result["bounds"])


def cuts_text(text):
    """Each cut with its place: `what (setting)`, then indented lines of the stack."""
    cuts = []
    for line in text.splitlines():
        if line.startswith(" ") and cuts:
            cuts[-1] += f", at {line.strip()}"
        elif line.strip():
            cuts.append(line.strip())
    return cuts


def per_second(result):
    """None if there are too few executions."""
    return result["executions"] / result["seconds"] if result["seconds"] > 0.1 else None


def graphs_text(result):
    text = f"{result['graphs']:,} graph{'s' if result['graphs'] != 1 else ''}"
    return text + (f", reduced by {result['reduced']}" if result.get("reduced") else "")


NAMES_SHOWN = 3  # how many files of a program the verdict names


def lead_of(a, result):
    names = ", ".join(f"`{os.path.basename(s)}`" for s in a.src[:NAMES_SHOWN])
    if len(a.src) > NAMES_SHOWN:
        names += f" and {len(a.src) - NAMES_SHOWN} more"
    if result["finding"]:
        how = (
            "by replay"
            if a.replay
            else f"after {result['executions']:,} executions in {result['seconds']:.2f} s"
        )
        if result["finding"] == trace.UNSUPPORTED:
            runs = "the run was" if a.replay else f"{result['cut']:,} of {result['executions']:,} runs were"
            return f"{names}: no finding, but {runs} cut at a call that is not simulated."
        return f"{names}: **{result['finding']}** {how}."
    if result["executions"] and result["cut"] >= result["executions"]:
        return f"{names}: no finding, but every run was cut at a limit of the engine."
    if a.sched == "all" and result["complete"]:
        return (
            f"{names}: no finding; all executions were explored ({graphs_text(result)}), after a"
            f" random search; {result['executions']:,} executions in {result['seconds']:.1f} s."
        )
    if a.sched == "exhaustive":
        seen = "all executions" if result["complete"] else "NOT all executions"
        return f"{names}: no finding; {seen} were explored ({graphs_text(result)})."
    return f"{names}: no finding in {result['executions']:,} executions, {result['seconds']:.1f} s."


def replay_command(a, folder):
    """The command that reproduces the finding, to paste into a shell. For many files it names the report's folder
    instead."""
    if len(a.src) > NAMES_SHOWN:
        return f"make explore REPLAY={shlex.quote(report.shown(folder))}"
    settings = [("SRC", a.src[0] if len(a.src) == 1 else shlex.join(a.src)), ("CFLAGS_SRC", a.cflags), ("ARGS", a.args), ("SET", " ".join(a.set))]
    settings += [("VOLATILE", "" if a.volatile == "plain" else a.volatile)]
    settings += [("CC_EXPLORE", "" if a.cc == "clang" else a.cc)]
    settings += [("REPLAY", report.shown(folder / "schedule.txt"))]
    return " ".join(["make explore", *(f"{name}={shlex.quote(value)}" for name, value in settings if value)])


def sections_of(a, result, columns, lines, replay):
    rows = [
        ["executions", result["executions"]],
        ["a second", per_second(result)],
        ["steps", result["steps"]],
        ["choices found", result["choices_found"]],
        ["choices after shrinking", result["choices"]],
    ]
    if result["graphs"]:
        rows += [
            ["graphs", result["graphs"]],
            ["dead ends", result["pruned"]],
            ["complete", result["complete"]],
        ]
    rows += [["cut" if result["cuts"] else "bound reached", text] for text in cuts_of(result)]
    sections = []
    if result["finding"]:
        sections.append(report.Section("Finding", pre=lines))
    if columns:
        sections.append(
            report.Section(
                "Schedule",
                f"One column a thread; [as a page](trace.html). To see it again:\n\n`{replay}`",
                pre=columns.partition(f"\n{trace.heading(result['finding'])}: ")[0],
            )
        )
    sections.append(
        report.Section("Search", table=report.Table(["what", "value"], rows, align="lr"))
    )
    return sections


def hints_of(a, result, data, reader):
    """Possible causes of the finding that the engine knows of."""
    hints = []
    if result["volatile"]:
        at = re.search(r"0x([0-9a-f]+)", result["detail"])
        name = trace.where(data, reader, int(at.group(1), 16)) if at else "the variable"
        hints.append(
            f"{name} is volatile, which C does not make atomic; VOLATILE=relaxed (--volatile"
            " relaxed) takes volatile accesses as relaxed atomics"
        )
    if a.assembly:
        places = ", ".join(f"{trace.short(file)}:{line}" for file, line in a.assembly)
        hints.append(
            f"this may come from the inline assembly at {places}, which the engine cannot see: use"
            " C11 atomics there"
        )
    return hints


def finish(a, run, program, status, result):
    columns = lines = ""
    hints = []
    if result["finding"] and (run.dir / "trace.json").exists():
        reader = trace.Program(program, sorted(program.parent.glob("[0-9]*.o")))
        data = json.loads((run.dir / "trace.json").read_text())
        data["detail"] = result["detail"]
        columns, lines = trace.text(data, reader), trace.named(data, reader, result["detail"])
        screen = trace.text(data, reader, rows_max=trace.ROWS_MAX)
        hints = hints_of(a, result, data, reader)
        say(screen)  # before anything is written, so that a full disk does not hide it
        title = f"{result['finding']} in {', '.join(map(os.path.basename, a.src))}"
        run.path("trace.txt").write_text(columns)
        run.path("trace.html").write_text(trace.page(data, reader, title), encoding="utf-8")
    elif result["finding"]:  # time ran out before there was a trace
        lines = trace.named(NO_TRACE, trace.Program(program), result["detail"])
        say(f"{trace.heading(result['finding'])}: {result['finding']}\n{lines}")
    word = {0: "pass", 1: "finding", 3: "inconclusive", 130: "interrupted"}.get(status, "error")
    item = {"name": os.path.basename(a.src[0]), "sources": a.src, "sched": a.sched, "seed": a.seed}
    item |= {
        k: result[k] for k in ("finding", "executions", "seconds", "graphs", "complete", "choices")
    }
    item["settings"] = {name: getattr(a, name) for name in SETTINGS} | {"src": [*map(os.path.abspath, a.src)]}
    item |= {
        "detail": lines,
        "bounds": cuts_of(result),
        "cflags": a.cflags,
        "error": result["error"],
    }
    if result["finding"]:
        item |= {"reproducer": "schedule.txt"}
    if columns:
        item |= {"trace": "trace.txt", "page": "trace.html"}
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
        sections_of(a, result, columns, lines, replay_command(a, run.home / run.name)),
        f"Exploring {os.path.basename(a.src[0])}",
        lead,
    )
    if not result["finding"]:
        say(re.sub(r"[`*]", "", lead))
    if columns and result["finding"] == trace.UNSUPPORTED:
        say(re.sub(r"[`*]", "", lead))
    for text in hints + cuts_of(result):
        say(f"note: {text}")
    calls = sorted({f"{name}()" for _, name in a.refused})
    if calls and not result["cut"] and result["finding"] != trace.UNSUPPORTED:
        say(f"note: no run got to {', '.join(calls)}, which the engine does not simulate")
    if result["cut"] and not result["cuts"] and result["finding"] != trace.UNSUPPORTED:
        say(f"note: {result['cut']:,} of the runs were cut at a bound, so their outcome is unknown")
    if result["error"]:
        print(f"explore: {result['error']}", file=sys.stderr)
    say(f"report: {report.shown(final / 'report.html')}")
    if columns:
        say(f"page:   {report.shown(final / 'trace.html')}")
    if result["finding"]:
        say(f"replay: {replay_command(a, final)}")
    if result["finding"] and not errors_go_with_output():
        print(f"{trace.heading(result['finding'])}: {result['finding']}", file=sys.stderr)


def warn(a):
    """Warns of parts of the program that the engine cannot see."""
    for file, line in a.assembly:
        print(
            f"{trace.short(file)}:{line}: warning: inline assembly: the engine does not see what it"
            " reads, writes or orders",
            file=sys.stderr,
        )
    for source, name in a.refused:
        print(
            f"{source}: note: it calls {name}(), which is not simulated: a run that gets there is cut",
            file=sys.stderr,
        )


def main():
    a = read_arguments()
    e = Exploration(a)
    try:
        program = explore_build.build(a, e.folder)
        warn(a)
        if a.advise:
            return advise.run(a, program, say)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, e.interrupt)
        run = report.Run("explore", a.root)
        run.machine |= {
            "compiler": report.output_of([a.cc, "--version"]),
            "flags": f"{explore_build.FLAGS} {a.cflags}".strip(),
        }
        status, result = e.run(program, run.dir)
        finish(a, run, program, status, result)
        return 130 if e.stopping and status == 0 else status
    finally:
        e.clean()
