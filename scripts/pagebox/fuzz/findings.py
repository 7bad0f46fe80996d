"""findings.py: the findings of a fuzz run: saved at once, told apart, shrunk, turned into programs.

An input that a fuzzer kept is copied into findings/<name>/ of the run before anything else happens to it, so that
nothing is lost however the run ends. While the fuzzers continue, it is shrunk, its trace is written, and a C program
is made of it, compiled and run. findings/<name>/finding.json has all facts.
Two inputs are the same finding if the broken rule and the place are the same (`shrink -k`).
"""
import contextlib
import functools
import hashlib
import json
import os
import queue
import re
import shlex
import shutil
import threading

from pagebox.common import processes
from pagebox.common import report

BUILD = report.REPO / "build"
REPLAY = BUILD / "asan" / "replay"
SHRINK = BUILD / "asan" / "shrink"
WEAK = "needs a weak memory order"  # in the first comment of a program
REPRODUCER = BUILD / "asan" / "reproducer"
TRACED = BUILD / "plain" / "replay"  # built so that its addresses are those in the file
LIBRARY = BUILD / "plain" / "libpagebox.a"
TOOLS = (REPLAY, SHRINK, REPRODUCER, TRACED, LIBRARY)  # what make must have built before
SHRINK_S = 30
HANG_MS = 10_000  # an input that runs longer is a finding
LATER_S = 180  # how long the end of a run waits for shrinking and programs
# A line of the operations as replay prints them; the page shows them elsewhere.
OPERATION = re.compile(r"(?:T\d+ |fault |choices |pagebox-ops )")


def told(errors):
    """What replay says below a finding's name: where it broke, what was expected and what happened."""
    lines = re.findall(r"^  (.*)", errors.partition("finding: ")[2].partition("\npagebox-ops")[0], re.M)
    at = next((line for line in lines if line.startswith(("at operation", "after all"))), None)
    differs = next((line for line in lines if line != at and not line.startswith("rule ")), None)
    return {"at": at, "difference": differs}


def name_in(text):
    found = re.search(r"^finding: (\S+)", text, re.MULTILINE)
    return found.group(1) if found else None


def replay(plan, target, path, *options, program=REPLAY, **environment):
    made = plan.environment(ASAN_OPTIONS="symbolize=1:detect_leaks=0", **environment)
    return processes.answer([program, "-t", target, *options, path], made, 60)


@functools.cache
def words_of_strategies():
    return re.findall(r"W\(strategy, (\w+)\)", report.file_text(report.REPO / "fuzz/programs/op.def", ""))


def own_strategy(word, strategies):
    """What an operation's word means to a subject with strategies of its own (alone_memory.c)."""
    words = words_of_strategies()
    return strategies[words.index(word) % len(strategies)] if word in words else word


class Finding:
    """One rule broken at one place. Its folder holds everything; finding.json has the facts."""

    def __init__(self, folder, facts):
        self.folder, self.facts = folder, facts

    def __getattr__(self, name):
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def again(self, plan, folder):
        """The command that reproduces it, from the repository; folder: the finding's final folder."""
        name = "finding.ops" if self.text("finding.ops") else "input.ops" if self.text("input.ops") else self.input
        words = {"INPUT": f"{folder}/{name}", "TARGET": self.target}
        words |= {"RUNTIME": os.environ["RUNTIME"]} if os.environ.get("RUNTIME") else {"SUBJECT": plan.subject}
        words |= {"RULES_OFF": os.environ.get("PAGEBOX_RULES_OFF")}
        return "make replay " + " ".join(f"{k}={shlex.quote(str(v))}" for k, v in words.items() if v)

    def done(self, strategies):
        """The operations, with the subject's own strategies, and a mark at the last one reached."""
        lines = (self.text("finding.ops") or self.text("input.ops")).splitlines()
        lines = [line for line in lines if not line.startswith(("#", "pagebox-ops", "choices "))]
        at = re.match(r"at operation (\d+) of", self.facts.get("at") or "")
        for number, line in enumerate(lines):
            if strategies:
                line = re.sub(r"strategy:(\w+)", lambda m: f"strategy:{own_strategy(m[1], strategies)}", line)
            lines[number] = line + ("      <-- broken here" if at and number + 1 == int(at[1]) else "")
        return "\n".join(lines)

    def text(self, name):
        try:
            return (self.folder / name).read_text(errors="replace")
        except OSError:
            return ""

    def write(self):
        fresh = self.folder / ".finding.json.new"
        fresh.write_text(json.dumps(self.facts, indent=1) + "\n")
        os.replace(fresh, self.folder / "finding.json")

    def item(self, run_dir):
        at = lambda name: (str((self.folder / name).relative_to(run_dir))
                           if (self.folder / name).exists() else None)
        return {
            "name": self.folder.name,
            "oracle": self.oracle,
            "place": self.place,
            "input": at(self.input),
            "ops": self.text("finding.ops") or self.text("input.ops"),
            "trace": at("trace.txt"),
            "trace_page": at("trace.html"),
            "reproducer": at("finding.c"),
            "reproducer_fails": self.facts.get("reproducer_fails"),
            "operations": self.facts.get("operations"),
            "at": self.facts.get("at"),
            "difference": self.facts.get("difference"),
            "seconds": self.seconds,
            "executions": self.executions,
            "seen": self.seen,
        }


class Store:
    """All findings of a run. add() returns at once; a thread does the slow work."""

    def __init__(self, plan, run_dir):
        self.plan, self.dir = plan, run_dir / "findings"
        self.findings = {}  # (target, oracle, place) -> Finding
        self.known = set()  # hashes of inputs
        self.lock = threading.RLock()  # reentrant: a signal handler may take it in the interrupted thread
        self.tasks = queue.SimpleQueue()  # inputs without a name yet; a signal handler may add to it
        self.came = self.named = 0  # how many inputs were added, and how many were looked at
        self.later = []  # findings still to be shrunk and turned into programs
        self.thread = None
        self.stopping = False

    # ---- Called by the run

    def add(self, target, engine, path, hint, seconds, executions):
        """hint: the name, if replay gives none. The copy is on disk when this returns."""
        data = path.read_bytes()
        digest = hashlib.sha256(target.encode() + b"\0" + data).hexdigest()[:12]
        if digest in self.known:
            return
        self.known.add(digest)
        folder = self.dir / "new" / digest
        folder.mkdir(parents=True, exist_ok=True)
        name = "input.ops" if data.startswith(b"pagebox-ops") else "input"
        shutil.copyfile(path, folder / name)
        facts = {"target": target, "engine": engine, "input": name, "hint": hint, "seconds": round(seconds, 2),
                 "executions": executions, "oracle": "", "place": "", "seen": 1}
        found = Finding(folder, facts)
        found.write()
        self.came += 1
        self.tasks.put(found)
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, daemon=True)
            self.thread.start()

    def names(self, target=None, engine=None):
        with self.lock:
            return [f.folder.name for f in self.findings.values()
                    if target in (None, f.target) and engine in (None, f.engine)]

    def of(self, target, engine):
        with self.lock:
            return [f for f in self.findings.values() if (f.target, f.engine) == (target, engine)]

    def all(self):
        with self.lock:
            return list(self.findings.values())

    def waiting(self):
        return self.came - self.named + len(self.later)

    def end(self, seconds=LATER_S):
        """Waits for the thread. What it does not finish keeps its input and its name."""
        waited = 0.0
        while self.waiting() and waited < seconds:
            threading.Event().wait(0.2)
            waited += 0.2
        self.stopping = True
        new = self.dir / "new"
        if not self.waiting() and not any(found.folder.parent == new for found in self.all()):
            shutil.rmtree(new, ignore_errors=True)

    # ---- The thread

    def work(self):
        """Names come first, because they are quick and show what was found."""
        while not self.stopping:
            try:
                found = self.tasks.get(timeout=None if not self.later else 0.01)
            except queue.Empty:
                self.guarded(self.work_out, self.later[0])
                self.later.pop(0)
                continue
            self.guarded(self.name, found)
            self.named += 1

    def guarded(self, step, found):
        """After a full disk, a failed fork, or while a program is being linked, the input is still kept: it is a
        finding, under the fuzzer's name if it has no other."""
        try:
            step(found)
        except OSError as error:
            found.facts["problem"] = str(error)
            if not found.oracle:
                found.facts |= {"oracle": found.hint, "place": ""}
                with self.lock:
                    self.findings[found.target, found.hint, found.folder.name] = found
            with contextlib.suppress(OSError):
                found.write()

    def name(self, found):
        """The first of its kind moves to a folder with its name."""
        oracle, place = self.key(found)
        if oracle is None:
            shutil.rmtree(found.folder, ignore_errors=True)
            return
        found.facts |= {"oracle": oracle, "place": place}
        with self.lock:
            old = self.same_as(found)
            if old is None:
                self.findings[found.target, oracle, place] = found
                self.later.append(found)
                self.move(found)
        if old is not None:
            old.facts["seen"] += 1
            old.write()
            shutil.rmtree(found.folder, ignore_errors=True)

    def same_as(self, found):
        """The known finding that is the same; if replay does not tell the place, the one with that name."""
        for (target, oracle, place), old in self.findings.items():
            known = place == old.place  # it has only the fuzzer's name
            if known and (target, oracle) == (found.target, found.oracle) and found.place in ("", place):
                return old
        return None

    def work_out(self, found):
        """Makes everything that a reader wants of a finding."""
        self.list_operations(found)
        self.shrink(found)
        self.trace(found)
        self.reproduce(found)
        found.write()

    def key(self, found):
        """(oracle, place), or (None, None): a fuzzer's timeout on a busy machine, since replay ends."""
        source = found.folder / found.input
        command = [SHRINK, "-k", "-w", str(HANG_MS), "-t", found.target, source]
        environment = self.plan.environment(ASAN_OPTIONS="symbolize=1:detect_leaks=0")
        status, printed, errors = processes.answer(command, environment, 90)
        if status == 0:
            oracle, _, place = printed.strip().partition("\t")
            return oracle, place
        if found.hint == "timeout" and "breaks nothing" in errors:
            return None, None
        (found.folder / "trace.txt").write_text(
            f"not seen again by a replay: the fuzzer saw {found.hint}\n{errors}")
        return found.hint, ""

    def move(self, found):
        base = re.sub(r"[^\w.-]", "_", f"{found.oracle}-{found.target.removesuffix('_fuzzer')}")
        number, folder = 1, self.dir / base
        while folder.exists():
            number += 1
            folder = self.dir / f"{base}-{number}"
        os.rename(found.folder, folder)
        found.folder = folder
        found.write()

    def list_operations(self, found):
        """The original input as text."""
        if found.input == "input":
            listing = replay(self.plan, found.target, found.folder / found.input, "-p")[1]
            text = "".join(line for line in listing.splitlines(True) if not line.startswith("#"))
            (found.folder / "input.ops").write_text(text)

    def shrink(self, found):
        shrunk = found.folder / "finding.ops"
        hang = ["-w", "1000"] if found.oracle == "timeout" else []
        command = [SHRINK, "-n", found.oracle, "-s", str(SHRINK_S), *hang, "-t", found.target, "-o", shrunk,
                   found.folder / found.input]
        processes.answer(command, self.plan.environment(), SHRINK_S * 3)
        source = "finding.ops" if shrunk.exists() else "input.ops"
        found.facts["operations"] = len(re.findall(r"^(?:T\d|fault) ", found.text(source), re.MULTILINE))

    def best(self, found):
        """The smallest input there is, as text with the choices that were made."""
        return next(found.folder / name for name in ("finding.ops", "input.ops", found.input)
                    if (found.folder / name).exists())

    def trace(self, found):
        """The output of replay, and the schedule in columns if threads ran."""
        status, _, errors = replay(self.plan, found.target, self.best(found), TRACE="1", SCHED="")
        name = name_in(errors) or ("timeout" if status is None else None)
        if name:
            found.facts |= told(errors)
            lines = [line for line in errors.splitlines(True) if not OPERATION.match(line)]
            (found.folder / "trace.txt").write_text("".join(lines))
        if not self.plan.subject:
            self.trace_page(found)

    def trace_page(self, found):
        """The engine's schedule as a page, if the engine ran."""
        data = found.folder / "trace.json"
        replay(self.plan, found.target, self.best(found), "-q", program=TRACED, SCHED="", TRACE_JSON=str(data))
        if data.exists():
            command = [report.REPO / "scripts" / "trace.py", TRACED, data, found.folder / "trace.html"]
            processes.answer(command, self.plan.environment(), 60)

    def reproduce(self, found):
        """Makes the C program, compiles it with the library under test, runs it, and keeps its exit status."""
        folder = found.folder
        if os.environ.get("PAGEBOX_RUNTIME") or os.environ.get("PAGEBOX_LIBRARY"):
            self.reproduce_in_runtime(found)
            return
        command = [REPRODUCER, "-n", found.oracle, "-t", found.target, "-o", folder, self.best(found)]
        environment = self.plan.environment(SCHED="", ASAN_OPTIONS="detect_leaks=0")
        status, _, errors = processes.answer(command, environment, 60)
        if status != 0:
            (folder / "reproducer.txt").write_text(f"no C program: {errors}")
            return
        make = [os.environ.get("MAKE", "make"), "-s", "-C", folder, f"PAGEBOX={report.REPO}"]
        clean = {k: v for k, v in self.plan.environment().items() if k not in ("MAKEFLAGS", "MFLAGS", "TARGET")}
        if WEAK in (folder / "finding.c").read_text(errors="replace") and not self.plan.subject:
            # For the engine; its schedule is beside it.
            status, printed, errors = processes.answer([*make, "explore", "TIME=120"], clean, 300)
            found.facts["reproducer_fails"] = "finding: " in printed
            (folder / "reproducer.txt").write_text(printed + errors)
            return
        status, printed, errors = processes.answer([*make, "CFLAGS=-DSECONDS=10"], clean, 60)
        if status == 0:
            status, printed, errors = processes.answer([folder / "finding"], clean, 90)
            found.facts["reproducer_fails"] = status == 1
            (folder / "finding").unlink(missing_ok=True)
        (folder / "reproducer.txt").write_text(printed + errors)


    def reproduce_in_runtime(self, found):
        """Runs finding.js or .wast as its first lines say, once per tier: a command that exits with a status reproduces
        it."""
        shown = found.folder / ("finding.js" if os.environ.get("PAGEBOX_RUNTIME") else "finding.wast")
        replay(self.plan, found.target, self.best(found), "-q", PAGEBOX_RUNTIME_SCRIPT=str(shown))
        if not shown.exists():
            (found.folder / "reproducer.txt").write_text("no script: the finding did not come again\n")
            return
        printed, fails = "", []
        for command in re.findall(r"^//     (.*)$", shown.read_text(errors="replace"), re.MULTILINE):
            status, output, errors = processes.answer(["sh", "-c", command], self.plan.environment(), 60, cwd=found.folder)
            fails.append(status != 0)
            printed += f"$ {command}\n{output}{errors}status {status}\n"
        found.facts["reproducer_fails"] = any(fails) if fails else None
        (found.folder / "reproducer.txt").write_text(printed)


# ---------------------------------------------------------------- after a run that was killed


def read_all(folder):
    """The findings in a folder, worked out or not."""
    for path in sorted(folder.glob("**/finding.json")):
        try:
            yield Finding(path.parent, json.loads(path.read_text()))
        except ValueError:
            print(f"{path}: not readable, left where it is")
