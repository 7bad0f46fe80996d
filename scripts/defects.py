#!/usr/bin/python3
"""defects.py: the scoreboard of known defects: plants each in a copy, and measures what catches it.

    scripts/defects.py check              each patch applies to today's ref/ and compiles
    scripts/defects.py refresh            rewrites the patches that apply only with an offset
    scripts/defects.py pick               chooses the subset for CI from the last report
    scripts/defects.py run [options]      `make defects`: fuzz each until caught or out of time

A patch is applied to a copy of the tree under build/defects/, which is built by its own Makefile
and fuzzed; the checkout itself is never touched. Results: results/defects/ (report.py).
Exit status: 0 all caught, 1 a miss, a caught canary or a failing pristine tree, 2 usage or set-up,
130 interrupted (the report then holds what was done).
"""
import argparse
import concurrent.futures
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import defects_report
import report

REPO = report.REPO
PATCHES = REPO / "fuzz" / "defects"
WORK = REPO / "build" / "defects"
COPIED = ("Makefile", "ref", "fuzz")
KINDS = ("plain", "schedule", "order", "fault", "canary")
FIELDS = ("Title", "Seen", "Rule", "Targets", "Kind", "Budget")
CRASH = re.compile(r"(?:ERROR: libFuzzer: |SUMMARY: \w+Sanitizer: )([\w-]+)")
HANG_S = 10  # an input that takes longer is a finding of its own
SHRINK_S = 20
QUICK_S = 4  # for each patch of the subset for CI
REPLAY = "build/asan/replay"
MUTATOR = "build/plain/pagebox_mutator.so"  # AFL++'s; libFuzzer's is in the targets
INPUT_BYTES_MAX = 256  # of an input that an engine makes, as in fuzz.py


# ---------------------------------------------------------------- patches


@dataclasses.dataclass
class Patch:
    path: pathlib.Path
    head: dict
    text: str  # all before the diff
    diff: str

    @property
    def name(self):
        return self.path.stem

    @property
    def canary(self):
        return self.head.get("Kind") == "canary"

    @property
    def targets(self):
        return self.head.get("Targets", "").split()

    def files(self):
        return re.findall(r"^\+\+\+ (?:b/)?(\S+)", self.diff, re.M)


def read_patch(path):
    try:
        whole = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        report.die(f"{path}: {error.strerror}")
    start = re.search(r"^(diff |--- |Index: )", whole, re.M)
    if not start:
        report.die(f"{path}: no diff in it: a defect is a patch for `patch -p1`")
    text = whole[: start.start()]
    head = dict(re.findall(r"^([A-Z][a-z]+): *(.*?) *$", text.split("\n\n")[0], re.M))
    return Patch(path, head, text, whole[start.start() :])


def patches_of(place):
    """All patches of a file or folder; the usual ones where none is given."""
    place = pathlib.Path(place) if place else PATCHES
    if not place.exists():
        report.die(f"{place}: no such file or folder: DEFECTS= names a patch or a folder of them")
    paths = sorted(place.glob("*.patch")) if place.is_dir() else [place]
    if not paths:
        report.die(f"{place}: holds no *.patch")
    return [read_patch(path) for path in paths]


def own_patches():
    """Those of this repository: one a defect, and the sets."""
    return patches_of(None) + [read_patch(p) for p in sorted(PATCHES.glob("*/*.patch"))]


def copy_sources(to):
    for name in COPIED:
        if (REPO / name).is_dir():
            hidden = shutil.ignore_patterns("*.patch", "*.rej", "*.orig", "__pycache__")
            shutil.copytree(REPO / name, to / name, ignore=hidden)
        else:
            shutil.copy2(REPO / name, to / name)


def apply(patch, tree):
    """What `patch` says; None when it does not apply."""
    command = ["patch", "-p1", "--force", "--no-backup-if-mismatch", "-r", "-", "-d", str(tree)]
    done = subprocess.run(command, input=patch.diff, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode == 0 else None


# ---------------------------------------------------------------- check and refresh


def header_fault(patch):
    missing = [field for field in FIELDS if not patch.head.get(field)]
    if missing:
        return f"the header lacks {', '.join(missing)}"
    if patch.head["Kind"] not in KINDS:
        return f"Kind is none of {' '.join(KINDS)}"
    rule = r"R([1-9]|[12]\d|3[0-8])-[a-z-]+"
    if not patch.canary and not re.fullmatch(rf"{rule}( {rule})*", patch.head["Rule"]):
        return "Rule is not the name of a rule, such as R5-grow-limit"
    return None


def units_of(patch, tree):
    """The .c files to compile: those patched, and for a header those that include it."""
    units = set()
    for name in patch.files():
        path = tree / name
        if path.suffix == ".c":
            units.add(path)
        else:
            wanted = f'#include "{path.name}"'
            units |= {c for c in path.parent.glob("*.c") if wanted in c.read_text()}
    return sorted(units)


def compile_fault(patch, tree):
    flags = "-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes"
    command = [os.environ.get("CC", "gcc"), *flags.split(), "-Wmissing-prototypes", "-Werror"]
    command += ["-fsyntax-only", "-Iref", *(str(u.relative_to(tree)) for u in units_of(patch, tree))]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    return None if done.returncode == 0 else "does not compile:\n" + done.stderr[:2000]


def check_one(patch):
    fault = header_fault(patch)
    if fault:
        return fault
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        tree = pathlib.Path(folder)
        shutil.copytree(REPO / "ref", tree / "ref", ignore=shutil.ignore_patterns("tests"))
        (tree / "fuzz" / "defects").mkdir(parents=True)
        shutil.copy(PATCHES / "mark.h", tree / "fuzz" / "defects")
        said = apply(patch, tree)
        if said is None:
            return (
                "no longer applies to ref/. See where it belongs with\n"
                f"     patch -p1 --dry-run < {patch.path.relative_to(REPO)}\n"
                "     edit a copy of ref/ by hand, and put `diff -u2` of the two in its place"
            )
        return compile_fault(patch, tree)


def uncovered_rules(patches):
    """Rules without a defect and without a line in the README that says why."""
    explained = (PATCHES / "README.md").read_text()
    rules = {p.head.get("Rule", "").partition("-")[0] for p in patches if not p.canary}
    wanted = [f"R{n}" for n in range(1, 39)]
    return [r for r in wanted if r not in rules and not re.search(rf"^- {r}: ", explained, re.M)]


def check():
    WORK.mkdir(parents=True, exist_ok=True)
    patches = own_patches()
    passed = failed = 0

    def say(fault, name):
        nonlocal passed, failed
        passed, failed = passed + (not fault), failed + bool(fault)
        print(f"FAIL {name}: {fault}" if fault else f"PASS {name}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for patch, fault in zip(patches, pool.map(check_one, patches)):
            say(fault, f"defect_applies_{patch.name}")
    say(", ".join(uncovered_rules(patches)), "each_rule_has_a_defect_or_a_reason")
    say("" if sum(p.canary for p in patches) >= 5 else "too few", "five_canaries_or_more")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def refresh():
    """Patches that still apply are written anew with today's line numbers and context."""
    lost = 0
    for patch in own_patches():
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            for side in ("a", "b"):
                shutil.copytree(REPO / "ref", tree / side / "ref")
            if apply(patch, tree / "b") is None:
                print(f"{patch.path.relative_to(REPO)}: no longer applies: edit it by hand")
                lost += 1
                continue
            command = ["diff", "-U2", "-r", "-N", "a", "b"]
            fresh = subprocess.run(command, cwd=tree, capture_output=True, text=True).stdout
            fresh = re.sub(r"^diff .*\n", "", fresh, flags=re.M)
            fresh = re.sub(r"^((?:---|\+\+\+) \S+)\t.*$", r"\1", fresh, flags=re.M)
            if fresh != patch.diff:
                patch.path.write_text(patch.text + fresh, encoding="utf-8")
                print(f"{patch.path.relative_to(REPO)}: refreshed")
    return 1 if lost else 0


def pick():
    """Writes the list for --quick: of each rule the defect that was caught first."""
    try:
        rows = json.loads((REPO / "results/defects/latest/report.json").read_text())["items"]
    except (OSError, ValueError):
        report.die("there is no report of the scoreboard to pick from: run `make defects` first")
    fastest = {}
    for row in sorted((r for r in rows if r["must"] and r["caught_s"]), key=lambda r: r["caught_s"]):
        fastest.setdefault(row["rule"], row["name"])
    (PATCHES / "quick").write_text("".join(f"{name}\n" for name in sorted(fastest.values())))
    print(f"{len(fastest)} rules in {os.path.relpath(PATCHES / 'quick')}")
    return 0


# ---------------------------------------------------------------- reached: marks in a copy


def opens_function(lines, at):
    """True when line `at` stands in the body of a function: found by the column-0 line above."""
    for line in reversed(lines[:at]):
        if line[:1].strip() and not line.startswith(("#", "/", " ", "}")):
            return line.rstrip().endswith(") {") or "(" in line
        if re.match(r"\s+\S.*\) \{$", line) and line.startswith("      "):
            continue
        if line.startswith("}"):
            return False
    return False


def statement_above(lines, at):
    """The line on which the statement around line `at` begins, or None outside of functions."""
    deepest = 1 << 30  # an else belongs to the if of its own depth
    for i in range(min(at, len(lines) - 1), 0, -1):
        code, before = lines[i].strip(), lines[i - 1].strip()
        depth = len(lines[i]) - len(lines[i].lstrip())
        if code.startswith("} else"):
            deepest = min(deepest, depth)
        if not code or code.startswith(("}", "/*", "* ", "*/", "case ", "default:", "#")):
            continue
        starts = before.endswith((";", "}", "*/", ":", ") {", "else {", "do {"))
        if starts and depth <= deepest:
            return i if depth >= 4 and opens_function(lines, i) else None
    return None


def hunks(diff):
    """Of each hunk: the file, the line number it names (from 0), its lines in the patched file,
    and where among those each run of changes begins."""
    name, found, in_run = None, [], False
    for line in diff.splitlines():
        if line.startswith("+++ "):
            name = re.sub(r"^b/", "", line[4:].split("\t")[0])
        elif line.startswith("@@"):
            found.append((name, int(re.search(r"\+(\d+)", line).group(1)) - 1, [], []))
            in_run = False
        elif line.startswith(("+", "-")) and name and found and not line.startswith("--- "):
            if not in_run:
                found[-1][3].append(len(found[-1][2]))
            in_run = True
            if line.startswith("+"):
                found[-1][2].append(line[1:])
        elif line.startswith(" ") and found:
            in_run = False
            found[-1][2].append(line[1:])
    return found


def changed_lines(diff, tree):
    """file -> line numbers (from 0, in the patched file) where each run of changes begins. A hunk
    may have been applied some lines away from the number that it names: its text tells where."""
    places = {}
    for name, named, text, runs in hunks(diff):
        path = tree / name
        lines = path.read_text().splitlines() if path.exists() else []
        fits = [at for at in range(len(lines)) if lines[at : at + len(text)] == text]
        at = min(fits, key=lambda place: abs(place - named), default=named)
        places.setdefault(name, []).extend(at + run for run in runs)
    return places


def macro_uses(patch, tree):
    """An order's change is reached where the order is used."""
    names = set(re.findall(r"^\+#define (\w+)", patch.diff, re.M))
    for path in sorted((tree / "ref").glob("*.c")) if names else []:
        for i, line in enumerate(path.read_text().splitlines()):
            if any(re.search(rf"\b{name}\b", line) for name in names):
                yield str(path.relative_to(tree)), i


def mark_reached(patch, tree):
    """Puts a mark before each changed statement of the copy; False when no place was found."""
    places = changed_lines(patch.diff, tree)
    for name, line in macro_uses(patch, tree):
        places.setdefault(name, []).append(line)
    marked = False
    for name, numbers in places.items():
        path = tree / name
        if path.suffix not in (".c", ".h") or not path.exists():
            continue
        lines = path.read_text().splitlines()
        starts = {statement_above(lines, n) for n in numbers} - {None}
        for i in starts:
            indent = lines[i][: len(lines[i]) - len(lines[i].lstrip())]
            lines[i] = indent + "PB_DEFECT_REACHED(); " + lines[i].lstrip()
        if starts:
            lines[0] = '#include "../fuzz/defects/mark.h" ' + lines[0]
            path.write_text("\n".join(lines) + "\n")
            marked = True
    return marked


# ---------------------------------------------------------------- copies and builds


def stamp(path):
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def mirror(source, to):
    """Makes `to` equal to `source`, times included, so that make sees what has changed."""
    to.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name for entry in os.scandir(source)}
    for entry in list(os.scandir(to)):
        if entry.name not in wanted:
            path = pathlib.Path(entry.path)
            shutil.rmtree(path) if entry.is_dir(follow_symlinks=False) else path.unlink()
    for entry in os.scandir(source):
        path = to / entry.name
        if entry.is_dir(follow_symlinks=False):
            mirror(pathlib.Path(entry.path), path)
        elif not path.exists() or stamp(path) != stamp(pathlib.Path(entry.path)):
            shutil.copy2(entry.path, path)


def make(tree, goals):
    """None, or the last lines of a failing build."""
    command = ["make", "--no-print-directory", *goals]
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        command, cwd=tree, env=env, capture_output=True, text=True, errors="replace"
    )
    return None if done.returncode == 0 else (done.stdout + done.stderr)[-3000:]


# ---------------------------------------------------------------- one run of one target


class Board:
    """What all runs share: options, the base tree, seeds, processes alive."""

    def __init__(self, options, run):
        self.options, self.run = options, run
        self.base = WORK / "base"
        self.lock = threading.Lock()
        self.alive = set()
        self.items = []
        self.stopping = False
        names = [path.stem for path in sorted((REPO / "fuzz").glob("*_fuzzer.c"))]
        self.targets = [n for n in names if not options.target or n == options.target]
        if not self.targets:
            report.die(f"there is no target {options.target}: there are {', '.join(names)}")
        self.engines = ["libfuzzer", "afl"] if options.engine == "both" else [options.engine]

    def goals(self, targets):
        return [f"build/{e}/{t}" for e in self.engines for t in targets]

    def prepare(self):
        """The pristine copy, built, and the seeds packed."""
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            fresh = pathlib.Path(folder) / "tree"
            fresh.mkdir()
            copy_sources(fresh)
            self.base.mkdir(exist_ok=True)
            for name in COPIED:
                if (fresh / name).is_dir():
                    mirror(fresh / name, self.base / name)
                elif not (self.base / name).exists() or stamp(self.base / name) != stamp(
                    fresh / name
                ):
                    shutil.copy2(fresh / name, self.base / name)
        mutator = [MUTATOR] if "afl" in self.engines else []
        fault = make(self.base, [REPLAY, *mutator, *self.goals(self.targets)])
        if fault:
            report.die(f"the pristine tree does not build:\n{fault}")
        for target in self.targets:
            seeds = WORK / "seeds" / target
            shutil.rmtree(seeds, ignore_errors=True)
            seeds.mkdir(parents=True)
            texts = REPO / "corpus" / target
            if texts.is_dir() and any(texts.iterdir()):
                self.replay(self.base, ["-q", "-b", str(seeds), str(texts)])

    def replay(self, tree, arguments):
        """Status and output of the replay program."""
        command = [str(tree / REPLAY), *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=60
            )
        except subprocess.TimeoutExpired:
            return 1, "finding: timeout"
        return done.returncode, done.stdout + done.stderr

    def spawn(self, command, **more):
        process = subprocess.Popen(command, start_new_session=True, **more)
        with self.lock:
            self.alive.add(process)
        if self.stopping:  # asked to stop while it was being started
            self.kill(process)
        return process

    def kill(self, process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def reap(self, process):
        self.kill(process)
        process.wait()
        with self.lock:
            self.alive.discard(process)


@dataclasses.dataclass
class Catch:
    oracle: str
    seconds: float
    input: pathlib.Path


@dataclasses.dataclass
class Outcome:
    executions: int = 0
    catch: Catch | None = None
    reached_s: float | None = None
    triggered_s: float | None = None
    fault: str | None = None


def environment(board, folder):
    env = dict(os.environ)
    env["PB_DEFECT_REACHED_FILE"] = str(folder / "reached")
    env["PB_DEFECT_TRIGGERED_FILE"] = str(folder / "triggered")
    if board.options.sched:
        env |= {"SCHED": board.options.sched, "SEED": str(board.options.seed)}
    return env


def mark_time(path, began):
    """Seconds from the start until the mark was made, or None."""
    try:
        return max(0.0, path.stat().st_mtime - began)
    except OSError:
        return None


def oracle_of(text):
    """The name that a finding's output gives it; the reason of the crash where it gives none."""
    named = re.search(r"^finding: (\S+)", text, re.M)
    reason = CRASH.search(text)
    return named.group(1) if named else reason.group(1) if reason else "crash"


def run_libfuzzer(board, tree, target, seed, seconds, folder):
    corpus = folder / "corpus"
    corpus.mkdir()
    command = [str(tree / "build/libfuzzer" / target), str(corpus)]
    if not board.options.empty:
        command.append(str(WORK / "seeds" / target))
    command += [f"-max_total_time={max(1, int(seconds))}", f"-seed={seed}", f"-timeout={HANG_S}"]
    command += ["-rss_limit_mb=2560", "-detect_leaks=0", "-print_final_stats=1"]
    command += [f"-max_len={INPUT_BYTES_MAX}", f"-artifact_prefix={folder}/"]
    began, clock = time.time(), time.monotonic()
    with open(folder / "log", "w+", errors="replace") as log:
        env = environment(board, folder)
        process = board.spawn(command, stdout=log, stderr=log, env=env, cwd=folder)
        try:
            process.wait(seconds + 60)
        except subprocess.TimeoutExpired:
            pass
        spent = time.monotonic() - clock
        board.reap(process)
        log.seek(0)
        text = log.read()
    outcome = Outcome()
    counts = re.findall(r"^#(\d+)|stat::number_of_executed_units: (\d+)", text, re.M)
    outcome.executions = max((int(a or b) for a, b in counts), default=0)
    inputs = [p for p in folder.iterdir() if re.match(r"(crash|timeout|oom|leak)-", p.name)]
    if inputs:
        outcome.catch = Catch(oracle_of(text), spent, inputs[0])
    elif process.returncode != 0 and not board.stopping:
        named = re.search(r"^finding: (\S+)", text, re.M)
        outcome.fault = None if named else text[-500:]
        outcome.catch = Catch(named.group(1), spent, None) if named else None
    shutil.rmtree(corpus, ignore_errors=True)
    outcome.reached_s = mark_time(folder / "reached", began)
    outcome.triggered_s = mark_time(folder / "triggered", began)
    return outcome


AFL_ENV = "AFL_NO_UI AFL_SKIP_CPUFREQ AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES AFL_NO_AFFINITY"
AFL_ENV += " AFL_FAST_CAL AFL_BENCH_UNTIL_CRASH"


def run_afl(board, tree, target, seed, seconds, folder):
    seeds = WORK / "seeds" / target
    if board.options.empty or not any(seeds.iterdir()):
        seeds = folder / "empty"
        seeds.mkdir()
        (seeds / "0").write_bytes(b"\0")
    program = str(tree / "build/afl" / target)
    command = ["afl-fuzz", "-i", str(seeds), "-o", str(folder / "afl"), "-s", str(seed)]
    command += ["-V", str(max(1, int(seconds))), "-t", f"{HANG_S * 1000}", "-m", "none", program]
    env = environment(board, folder) | {name: "1" for name in AFL_ENV.split()}
    env["AFL_CUSTOM_MUTATOR_LIBRARY"] = str(board.base / MUTATOR)
    began, clock = time.time(), time.monotonic()
    crashes = folder / "afl/default/crashes"
    found = []
    with open(folder / "log", "w+", errors="replace") as log:
        process = board.spawn(command, stdout=log, stderr=log, env=env, cwd=folder)
        while process.poll() is None and time.monotonic() - clock < seconds + 60:
            found = sorted(crashes.glob("id:*")) if crashes.is_dir() else []
            if found:
                break
            time.sleep(0.1)
        spent = time.monotonic() - clock
        board.reap(process)
        log.seek(0)
        text = log.read()
    outcome = Outcome()
    found = sorted(crashes.glob("id:*")) if crashes.is_dir() else []
    if not found and "results in a crash" in text:  # a seed crashes: which one AFL tells
        named = re.search(r"orig:([^']+)'", text)
        found = [seeds / named.group(1)] if named and (seeds / named.group(1)).exists() else []
    if found:
        kept = folder / "crash-afl"
        shutil.copy(found[0], kept)
        make(tree, [REPLAY])
        said = board.replay(tree, ["-q", "-t", target, str(kept)])[1]
        outcome.catch = Catch(oracle_of(said), spent, kept)
    try:
        stats = (folder / "afl/default/fuzzer_stats").read_text()
        outcome.executions = int(re.search(r"execs_done\s*: (\d+)", stats).group(1))
    except (OSError, AttributeError):
        pass
    shutil.rmtree(folder / "afl", ignore_errors=True)
    outcome.reached_s = mark_time(folder / "reached", began)
    outcome.triggered_s = mark_time(folder / "triggered", began)
    return outcome


# ---------------------------------------------------------------- shrinking by operations


def shrink(board, tree, target, catch, folder):
    """The witness as operations, fewer and fewer while the same name comes out; None when the
    replay program does not reproduce it."""
    if make(tree, [REPLAY]):
        return None
    status, text = board.replay(tree, ["-p", "-t", target, str(catch.input)])
    lines = [l for l in text.splitlines() if l.strip() and not l.startswith("#")]
    if status != 0 or not lines or not lines[0].startswith("pagebox-ops"):
        return None
    trial = folder / "trial.ops"
    deadline = time.monotonic() + SHRINK_S

    def fails(body):
        trial.write_text("\n".join([lines[0], *body]) + "\n")
        said = board.replay(tree, ["-q", str(trial)])[1]
        return oracle_of(said) == catch.oracle if "finding" in said else False

    body = lines[1:]
    if not fails(body):
        return None
    size = max(1, len(body) // 2)
    while size >= 1 and time.monotonic() < deadline and not board.stopping:
        at, shorter = 0, False
        while at < len(body) and time.monotonic() < deadline:
            rest = body[:at] + body[at + size :]
            if rest and fails(rest):
                body, shorter = rest, True
            else:
                at += size
        size = size if size == 1 and shorter else size // 2
    trial.unlink(missing_ok=True)
    return "\n".join([lines[0], *body]) + "\n"


def pristine_is_clean(board, target, catch, text, folder):
    """The pristine tree passes the witness, as operations and as the bytes that were found."""
    if text:
        (folder / "witness.ops").write_text(text)
        if board.replay(board.base, ["-q", str(folder / "witness.ops")])[0] != 0:
            return False
    if not catch.input:
        return True
    engine = board.engines[0]
    command = [str(board.base / "build" / engine / target), str(catch.input)]
    env = environment(board, folder) | {"PB_DEFECT_REACHED_FILE": ""}
    done = subprocess.run(command, capture_output=True, env=env, timeout=120, cwd=folder)
    return done.returncode == 0


# ---------------------------------------------------------------- one patch


def item_of(patch, engine, seed, sched):
    return {
        "name": patch.name,
        "title": patch.head.get("Title", patch.name),
        "rule": patch.head.get("Rule"),
        "seen": patch.head.get("Seen"),
        "kind": patch.head.get("Kind", "plain"),
        "must": not patch.canary,
        "reached_s": None,
        "triggered_s": None,
        "caught_s": None,
        "executions": 0,
        "oracle": None,
        "target": None,
        "engine": engine,
        "sched": sched,
        "seed": seed,
        "witness": None,
        "witness_operations": None,
        "pristine": None,
        "note": None,
    }


def plant(board, patch, tree, targets):
    """A built copy with the defect; the reason where that fails."""
    for marked in (True, False):
        mirror(board.base, tree)
        if apply(patch, tree) is None:
            return "does not apply to this ref/: scripts/defects.py check says more"
        if marked and not mark_reached(patch, tree):
            continue
        fault = make(tree, board.goals(targets))
        if fault is None or not marked:
            return fault and "does not build: " + fault[-800:]
    return None


def judge(board, tree, target, outcome, item, spent, folder):
    """Enters a catch into the item. False when the pristine tree fails on its input, too: what
    fails without the defect does not show it."""
    catch, text = outcome.catch, None
    if catch.input:
        text = None if board.options.quick else shrink(board, tree, target, catch, folder)
        if not pristine_is_clean(board, target, catch, text, folder):
            item["pristine"] = False
            item["note"] = f"the pristine tree fails, too: {catch.oracle}: {folder.name}"
            return False
        item["pristine"] = item["pristine"] is not False
        item["input"] = str(catch.input.relative_to(board.run.dir))
    item |= {"caught_s": round(spent + catch.seconds, 3), "oracle": catch.oracle}
    item |= {"witness": text, "witness_operations": text.count("\n") - 1 if text else None}
    return True


def fuzz_target(board, tree, target, item, seconds, spent, folder):
    """One target until it catches, or is out of time. After a finding that the pristine tree shows,
    too, it goes on with another seed."""
    runner = run_afl if item["engine"] == "afl" else run_libfuzzer
    used, seed = 0.0, item["seed"]
    while seconds - used >= 1 and not board.stopping:
        one = folder / str(seed)
        one.mkdir(parents=True)
        outcome = runner(board, tree, target, seed, seconds - used, one)
        item["executions"] += outcome.executions
        for key in ("reached_s", "triggered_s"):
            value = getattr(outcome, key)
            if item[key] is None and value is not None:
                item[key] = round(spent + used + value, 3)
        if outcome.fault:
            item["note"] = "ended by itself: " + outcome.fault
        if not outcome.catch:
            return False
        if judge(board, tree, target, outcome, item, spent + used, one):
            return True
        used += max(1.0, outcome.catch.seconds)
        seed += 1000
    return False


def fuzz_once(board, patch, tree, targets, engine, seed):
    """One patch, one engine, one seed: its targets one after the other until one catches it."""
    item = item_of(patch, engine, seed, board.options.sched or "bytes")
    seconds = board.options.time or float(patch.head.get("Budget", 60))
    spent = 0.0
    for target in targets:
        folder = board.run.path(f"raw/{patch.name}-{engine}-{seed}-{target}/log").parent
        item["target"] = target
        if fuzz_target(board, tree, target, item, seconds, spent, folder) or board.stopping:
            break
        spent += seconds
    return item


def refuse(board, item, why):
    item["note"] = why
    with board.lock:
        print(defects_report.line(item), flush=True)
    return item


def board_patch(board, patch, tree):
    """All runs of one patch."""
    targets = [t for t in patch.targets or board.targets if t in board.targets]
    runs = [(e, s) for e in board.engines for s in range(board.options.seeds)]
    if not targets:
        item = item_of(patch, board.engines[0], board.options.seed, board.options.sched or "bytes")
        return [refuse(board, item, "no such target here: " + " ".join(patch.targets))]
    fault = plant(board, patch, tree, targets)
    if fault:
        item = item_of(patch, board.engines[0], board.options.seed, board.options.sched or "bytes")
        return [refuse(board, item, fault)]
    items = []
    for engine, seed in runs:
        if not board.stopping:
            one = board.options.seed + seed
            items.append(fuzz_once(board, patch, tree, targets, engine, one))
            row = defects_report.line(items[-1])
            with board.lock:
                print(row, flush=True)
    return items


# ---------------------------------------------------------------- a set: one tree, many findings


def series_of(place):
    """The patches of a folder with a file `series`, in its order; None for any other place."""
    series = pathlib.Path(place or PATCHES) / "series"
    if not series.is_file():
        return None
    names = [n for n in series.read_text().splitlines() if n.strip() and not n.startswith("#")]
    return [read_patch(series.parent / name.strip()) for name in names]


def plant_series(board, patches, tree):
    mirror(board.base, tree)
    for patch in patches:
        if apply(patch, tree) is None:
            report.die(f"{patch.path}: does not apply on top of those before it")
    fault = make(tree, board.goals(board.targets))
    if fault:
        report.die(f"the set does not build:\n{fault}")


def run_on(board, tree, target, seconds, folder):
    """libFuzzer in fork mode goes on after findings. Gives their inputs, oldest first."""
    (folder / "corpus").mkdir()
    command = [str(tree / "build/libfuzzer" / target), str(folder / "corpus")]
    if not board.options.empty:
        command.append(str(WORK / "seeds" / target))
    command += ["-fork=1", "-ignore_crashes=1", "-ignore_timeouts=1", "-ignore_ooms=1"]
    command += [f"-max_total_time={int(seconds)}", f"-seed={board.options.seed}"]
    command += [f"-timeout={HANG_S}", f"-artifact_prefix={folder}/", "-detect_leaks=0"]
    command += [f"-max_len={INPUT_BYTES_MAX}", "-rss_limit_mb=2560"]
    with open(folder / "log", "w") as log:
        env = environment(board, folder)
        process = board.spawn(command, stdout=log, stderr=log, env=env, cwd=folder)
        try:
            process.wait(seconds + 120)
        except subprocess.TimeoutExpired:
            pass
        board.reap(process)
    text = (folder / "log").read_text(errors="replace")
    executions = max((int(n) for n in re.findall(r"^#(\d+):", text, re.M)), default=0)
    shutil.rmtree(folder / "corpus", ignore_errors=True)
    inputs = [p for p in folder.iterdir() if re.match(r"(crash|timeout|oom|leak)-", p.name)]
    return executions, sorted(inputs, key=lambda p: p.stat().st_mtime_ns)


def oracle_of_input(board, tree, target, path):
    command = [str(tree / "build/libfuzzer" / target), f"-timeout={HANG_S}", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
    except subprocess.TimeoutExpired:
        return "timeout"
    return oracle_of(done.stdout + done.stderr) if done.returncode else None


def board_series(board, patches):
    """One item for each name that comes out, and one for each rule stated but not broken."""
    tree, seconds = WORK / "tree0", board.options.time or 60
    plant_series(board, patches, tree)
    seen = " + ".join(p.name for p in patches)
    for target in board.targets:
        folder = board.run.path(f"raw/{target}/log").parent
        began = time.time()
        executions, inputs = run_on(board, tree, target, seconds, folder)
        for path in inputs:
            oracle = oracle_of_input(board, tree, target, path)
            known = {item["name"] for item in board.items}
            if oracle is None or oracle in known or board.stopping:
                path.unlink()
                continue
            catch = Catch(oracle, max(0.0, path.stat().st_mtime - began), path)
            text = shrink(board, tree, target, catch, folder)
            item = item_of(patches[0], "libfuzzer", board.options.seed, "bytes")
            item |= {"name": oracle, "title": "As published", "rule": oracle, "seen": seen}
            item |= {"kind": "plain", "caught_s": round(catch.seconds, 3), "oracle": oracle}
            item |= {"target": target, "executions": executions, "witness": text}
            item["witness_operations"] = text.count("\n") - 1 if text else None
            item["pristine"] = pristine_is_clean(board, target, catch, text, folder)
            if not item["pristine"]:
                item["note"] = f"the pristine tree fails on the witness, too: {oracle}"
                item["oracle"] = item["caught_s"] = None
            board.items.append(item)
            print(defects_report.line(item), flush=True)
    broken = {defects_report.rule_number(item["oracle"]) for item in board.items if item["oracle"]}
    for patch in patches:
        for rule in patch.head.get("Rule", "").split():
            if defects_report.rule_number(rule) not in broken:
                item = item_of(patch, "libfuzzer", board.options.seed, "bytes")
                item |= {"name": f"{patch.name}: {rule}", "rule": rule}
                board.items.append(item)
                print(defects_report.line(item), flush=True)
    return finish(board, patches)


# ---------------------------------------------------------------- the scoreboard


def verdict(board):
    """Why the scoreboard fails: lists of names."""
    by = {}
    for item in board.items:
        by.setdefault(item["name"], []).append(item)
    missed = sorted(n for n, i in by.items() if i[0]["must"] and any(not one["oracle"] for one in i))
    canaries = sorted(n for n, i in by.items() if not i[0]["must"] and any(o["oracle"] for o in i))
    broken = sorted(n for n, i in by.items() if any(one["pristine"] is False for one in i))
    return missed, canaries, broken


def finish(board, patches, interrupted=False):
    missed, canaries, broken = verdict(board)
    failing = missed or canaries or broken
    status = "interrupted" if interrupted else "finding" if failing else "pass"
    page = defects_report.page(board.items, patches, missed, canaries, broken, board.options)
    path = board.run.finish(status, *page)
    names = {i["name"] for i in board.items}
    caught = {i["name"] for i in board.items if i["oracle"] and i["must"]} - set(missed)
    for title, names_of in (("caught canaries", canaries), ("pristine fails on", broken)):
        if names_of:
            print(f"{title}: {' '.join(names_of)}")
    if missed:
        print(f"missed: {' '.join(missed)}")
    silent = sorted(n for n in names - caught - set(missed) - set(canaries))
    print(f"canaries missed, as they must be: {len(silent)}")
    print(f"report: {os.path.relpath(path / 'report.html')}")
    print(f"{len(caught)} caught, {len(missed)} missed", flush=True)
    return 1 if failing else 0


def board_all(options):
    series = series_of(options.defects)
    patches = series or patches_of(options.defects)
    WORK.mkdir(parents=True, exist_ok=True)
    guard = open(WORK / "lock", "w")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        report.die("another scoreboard is running in this checkout: wait for it, or use a copy")
    run = report.Run("defects")
    board = Board(options, run)
    if options.quick:
        chosen = (PATCHES / "quick").read_text().split()
        patches = [p for p in patches if p.name in chosen or p.canary]
        options.time = options.time or QUICK_S
    if options.only:
        patches = [p for p in patches if re.search(options.only, f"{p.name} {p.head.get('Kind')}")]
    print(f"{len(patches)} patches; building the pristine tree in {os.path.relpath(board.base)}")
    board.prepare()

    def stop():
        board.stopping = True
        for process in list(board.alive):
            board.kill(process)
        finish(board, patches, interrupted=True)

    report.on_interrupt(stop)
    print(defects_report.HEADING, flush=True)
    if series:
        return board_series(board, series)
    trees = [WORK / f"tree{i}" for i in range(options.jobs)]

    def work(patch):
        with board.lock:
            tree = trees.pop()
        try:
            items = board_patch(board, patch, tree)
        finally:
            with board.lock:
                trees.append(tree)
        with board.lock:
            board.items += items

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for waited in [pool.submit(work, patch) for patch in patches]:
            waited.result()
    return finish(board, patches)


def positive(kind):
    def read(text):
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text}: a number above 0 is wanted")
        return value

    return read


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="each patch applies and compiles")
    commands.add_parser("pick", help="the fastest of each rule, for --quick, from the last report")
    commands.add_parser("refresh", help="today's line numbers for the patches")
    run = commands.add_parser("run", help="the scoreboard")
    run.add_argument("--defects", help="a patch or a folder of patches, also of your own")
    run.add_argument("--only", help="regular expression on names and kinds")
    run.add_argument("--target", help="one target only")
    run.add_argument("--time", type=positive(float), help="seconds a target; default: its budget")
    run.add_argument("--seeds", type=positive(int), default=1, help="repetitions")
    run.add_argument("--seed", type=int, default=1, help="the first seed")
    run.add_argument("--jobs", type=positive(int), default=len(os.sched_getaffinity(0)))
    run.add_argument("--engine", choices=["libfuzzer", "afl", "both"], default="libfuzzer")
    run.add_argument("--sched", choices=["bytes", "uniform", "pct", "pos"])
    run.add_argument("--empty", action="store_true", help="no seed corpus")
    run.add_argument("--quick", action="store_true", help="one a rule, and the canaries, for CI")
    options = parser.parse_args()
    if options.command == "run":
        return board_all(options)
    return {"check": check, "refresh": refresh, "pick": pick}[options.command]()


if __name__ == "__main__":
    sys.exit(main())
