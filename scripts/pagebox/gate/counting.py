"""counting.py: counts exactly what a row costs on two sides, and compares the counts.

Three runs of the program count the same region: alone (page faults, mappings, voluntary switches, peak resident bytes,
from the kernel's counters), under strace (system calls by name, between two marks), and under callgrind
(instructions, and which of them lock the bus). The row `control` has known counts: if they differ, the counters
are broken, and nothing passes.
"""
import collections
import concurrent.futures
import dataclasses
import datetime
import fnmatch
import functools
import json
import os
import platform
import re
import shutil
import subprocess

from pagebox.common import processes
from pagebox.common import report

INSTRUCTIONS_TOLERANCE = 0.01
# Resident bytes are the kernel's estimate, which differed by this much between equal runs.
RESIDENT_TOLERANCE = 0.04
RESIDENT_TOLERANCE_BYTES = 64 * 4096
LIMIT_S = 120
WAIVERS = report.REPO / "bench" / "gate" / "waivers"
CONTROL = {"page_faults": 512, "vmas": 2, "syscall:getppid": 3, "syscall:mmap": 2, "locked": 7}
CONTROL |= {"voluntary_switches": 1, "syscall:clock_nanosleep": 1}
# The cost of the row `control` with any compiler; two MiB, and how far the kernel's estimate may be off.
CONTROL_RANGES = {"instructions": (1024, 32768), "resident_bytes": (1.5 * 2**20, 2.5 * 2**20)}
LATE = "did not end within"  # the first words about a row that we ended
REGION = "gate_region_counted"
SUBJECT = "subject.so"  # next to the program, if a subject is measured
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


class CountError(Exception):
    """A count is missing or cannot be true: an error, never a pass."""


class RowFailed(CountError):
    """A row did not complete. On the head only, that is a regression."""


def head_alone(row, why, part="counts"):
    """The item of a row that ran on the base and failed on the head: a regression, unless only its time was over, as on
    a busy machine."""
    verdict = "inconclusive" if LATE in why else "regression"
    return remark(row, verdict, f"only the head fails: {why}", part)


# ---------------------------------------------------------------- running


def run(command, what):
    try:
        done = processes.run(command, LIMIT_S, env=ENVIRONMENT, text=True, errors="replace")
    except OSError as error:
        raise CountError(f"{command[0]} cannot be run ({error.strerror}): run scripts/setup test")
    except subprocess.TimeoutExpired:
        raise RowFailed(f"{what} {LATE} {LIMIT_S} s") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise RowFailed(f"{what} ended with status {done.returncode}: {said}")
    return done.stdout


@functools.cache
def fixed_addresses():
    """A command prefix that switches address randomisation off, if that is allowed."""
    tool = shutil.which("setarch")
    if tool:
        command = [tool, platform.machine(), "-R", "true"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return command[:-1]
    return []


def rows(program):
    """Name -> what the program says about the row."""
    lines = run([str(program), "--list"], f"{program} --list").splitlines()
    found = {row["name"]: row for row in map(json.loads, lines)}
    if "control" not in found or len(found) < 2:
        raise CountError(f"{program} lists no rows")
    return found


def kernel_counts(program, row, inject):
    command = [*fixed_addresses(), str(program), "--count", row, *inject]
    return json.loads(run(command, f"row {row}"))


def system_calls(program, row, inject):
    """Calls of the first thread between the two marks."""
    with processes.scratch_file(".strace") as trace:
        command = ["strace", "-o", trace.name, *fixed_addresses(), str(program), "--count", row]
        run([*command, *inject], f"row {row} under strace")
        text = trace.read()
    found = re.search(r'^write\(-1, "gate\+".*?\n(.*?)^write\(-1, "gate-"', text, re.M | re.S)
    if not found:
        raise CountError(f"row {row} under strace: the marks are missing from the trace")
    return collections.Counter(re.findall(r"^(\w+)\(", found.group(1), re.M))


@functools.cache
def locked_places(path, stamp):
    """Addresses of an object's own instructions that lock the bus; None on other processors."""
    if platform.machine() != "x86_64":
        return None
    text = run(["objdump", "-d", "--no-show-raw-insn", path], "objdump")
    # xchg with memory locks the bus even without a lock prefix.
    pattern = r"^\s*([0-9a-f]+):\s+(?:lock\b|xchg\s[^\n]*\(|mfence)"
    return frozenset(int(address, 16) for address in re.findall(pattern, text, re.M))


def instructions(program, row, inject):
    """(instructions, locking ones or None) of the region."""
    with processes.scratch_file(".callgrind") as out:
        command = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out.name}"]
        command += ["--collect-atstart=no", f"--toggle-collect={REGION}", "--dump-instr=yes"]
        command += ["--compress-pos=no", "--compress-strings=no", str(program), "--count", row]
        run([*command, *inject], f"row {row} under callgrind")
        lines = out.read().splitlines()
    places = {
        str(path): locked_places(str(path), path.stat().st_mtime_ns)
        for path in (program, program.with_name(SUBJECT))
        if path.exists()
    }
    total = locked = 0
    called, within = False, ()
    for line in lines:
        if line.startswith("calls="):
            called = True  # the next line repeats the cost of the callee
        elif line.startswith("ob="):
            within = places.get(line.strip()[3:]) or ()
        elif line.startswith("0x"):
            place, _, cost = line.split()
            if not called:
                total += int(cost)
                locked += int(cost) if int(place, 16) in within else 0
            called = False
    if total == 0:
        raise CountError(f"row {row} under callgrind: no instruction was counted")
    return total, None if None in places.values() else locked


def uncounted(kind):
    """Why rows of this kind have no counts here; "" if they have."""
    if kind == "spinners":
        return "not counted: how long its threads spin is chance"
    if kind == "sleeper" and len(os.sched_getaffinity(0)) < 2:
        return "not counted: it needs two cores"
    return ""


def count_row(program, row, kind, inject=()):
    """Metric -> count of one row; empty for a row that is uncounted()."""
    inject = ["--inject", *inject] if inject else []
    if uncounted(kind):
        return {}
    counts = dict(kernel_counts(program, row, inject))
    if kind == "sleeper":  # the kernel may count the partner's pages too
        counts.pop("resident_bytes")
    calls = system_calls(program, row, inject)
    counts |= {f"syscall:{name}": n for name, n in sorted(calls.items())}
    counts["instructions"], counts["locked"] = instructions(program, row, inject)
    if counts["locked"] is None:  # another processor
        del counts["locked"]
    for metric, count in counts.items():
        if count is None:
            raise CountError(f"row {row}: {metric} cannot be counted here (/proc/self/clear_refs)")
    return counts


def check_control(counts, side):
    ranges = {metric: (wanted, wanted) for metric, wanted in CONTROL.items()} | CONTROL_RANGES
    for metric, (least, most) in ranges.items():
        if metric == "locked" and metric not in counts:
            continue  # another processor
        if not least <= counts.get(metric, -1) <= most:
            wanted = f"{least:g}" if least == most else f"{least:g} to {most:g}"
            raise CountError(
                f"the counters of {side} are broken: the control row makes {wanted} "
                f"{metric}, and {counts.get(metric)} were counted"
            )


def count_sides(programs, kinds, counts, failed, said=lambda row: None, inject=()):
    """Counts two rows at a time, each row on all sides before the next. Fills counts: side -> row -> metric -> count,
    and failed: side -> row -> why; both are valid at any moment. programs: side -> path; kinds: side -> row -> kind."""

    def one(task):
        row, side = task
        if processes.ending:
            return
        said(row)
        try:
            found = count_row(programs[side], row, kinds[side][row], inject)
        except RowFailed as error:
            if row == "control":
                raise CountError(f"the counters of {side} are broken: {error}")
            if not processes.ending:
                failed[side][row] = str(error)
            return
        if processes.ending:
            return
        if row == "control" and not inject:
            check_control(found, side)
        counts[side][row] = found

    rows = sorted({row for side in kinds for row in kinds[side]}, key=lambda row: row != "control")
    tasks = [(row, side) for row in rows for side in programs if row in kinds[side]]
    workers = min(2, len(os.sched_getaffinity(0)))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, tasks))


def count_side(program, side, kinds, inject=()):
    """Row -> counts of one side alone."""
    counts, failed = {side: {}}, {side: {}}
    count_sides({side: program}, {side: kinds}, counts, failed, inject=inject)
    for why in failed[side].values():
        raise RowFailed(why)
    return counts[side]


# ---------------------------------------------------------------- waivers


@dataclasses.dataclass
class Waiver:
    expires: datetime.date
    row: str  # with * and ?
    metric: str  # with * and ?
    most: str  # "+3": at most 3 more; "+5%"
    reason: str
    line: int
    used: bool = False

    def allows(self, row, metric, base, head):
        if not (fnmatch.fnmatch(row, self.row) and fnmatch.fnmatch(metric, self.metric)):
            return False
        number = float(self.most.strip("+%"))
        most = base * (1 + number / 100) if self.most.endswith("%") else base + number
        return head <= most


def read_waivers(path=WAIVERS):
    """All waivers, and a complaint for each malformed line."""
    found, faults = [], []
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(
            r"(\d{4}-\d\d-\d\d)\s+(\S+)\s+(\S+)\s+(\+\d+(?:\.\d+)?%?)\s+(\S.*)", line
        )
        try:
            expires = datetime.date.fromisoformat(match.group(1))
            found.append(Waiver(expires, *match.groups()[1:], line=number))
        except (AttributeError, ValueError):
            faults.append(f"{path.name}:{number}: not a waiver: {line.strip()}")
    return found, faults


# ---------------------------------------------------------------- comparing


def limit(metric, base):
    """The highest count that is no regression."""
    if metric == "instructions":
        return base * (1 + INSTRUCTIONS_TOLERANCE)
    if metric == "resident_bytes":
        return max(base * (1 + RESIDENT_TOLERANCE), base + RESIDENT_TOLERANCE_BYTES)
    return base


def floor(metric, base):
    """The lowest count that is no improvement."""
    return base - (limit(metric, base) - base)


def item(row, metric, base, head, verdict):
    ratio = head / base - 1 if base else None
    found = {"name": row, "part": "counts", "verdict": verdict, "metric": metric}
    found |= {"base": base, "head": head, "shift": ratio, "low": ratio, "high": ratio}
    most = limit(metric, base)
    return found | {"p": None, "threshold": most, "detectable": int(most) + 1 - base}


def compare_metric(row, metric, base, head, waivers, today):
    if head < floor(metric, base):
        return item(row, metric, base, head, "improvement")
    if head <= limit(metric, base):
        return item(row, metric, base, head, "pass")
    for waiver in waivers:
        if waiver.expires >= today and waiver.allows(row, metric, base, head):
            waiver.used = True
            return item(row, metric, base, head, "pass") | {"waiver": waiver.reason}
    return item(row, metric, base, head, "regression")


def remark(row, verdict, note, part="counts"):
    """An item about a whole row."""
    return item(row, "row", 0, 0, verdict) | {"part": part, "note": note}


def compare(base, head, waivers, today=None, failed=()):
    """Items of all rows and metrics. A row that only one side has cannot be compared. failed: rows without counts on
    one side, because they did not complete."""
    today = today or datetime.date.today()
    items = []
    for row in sorted((set(base) | set(head)) - set(failed)):
        if row not in base or row not in head:
            lone = "head" if row in head else "base"
            verdict = "pass" if lone == "head" else "inconclusive"
            items.append(remark(row, verdict, f"only {lone} has this row"))
            continue
        metrics = sorted(set(base[row]) | set(head[row]))
        for metric in metrics:
            if not metric.startswith("syscall:") and (metric in base[row]) != (metric in head[row]):
                raise CountError(f"row {row}: {metric} was counted on one side only")
            was, now = base[row].get(metric, 0), head[row].get(metric, 0)
            items.append(compare_metric(row, metric, was, now, waivers, today))
    return items


def settle(items, base, head):
    """Checks counts that block against a second count of both sides: what one side counts differently does not block,
    unless the head's lowest is above the base's highest. Changes items."""
    for item in items:
        row, metric = item["name"], item["metric"]
        if item["verdict"] != "regression" or row not in base or row not in head:
            continue
        was = sorted((item["base"], base[row].get(metric, 0)))
        now = sorted((item["head"], head[row].get(metric, 0)))
        if now[0] <= limit(metric, was[1]):
            item["verdict"] = "pass"
            item["note"] = f"varies from run to run: {was[0]} to {was[1]} on the base, {now[0]} to {now[1]} on the head"


def waiver_notes(waivers, today=None):
    """What to report about waivers that had no effect."""
    today = today or datetime.date.today()
    notes = []
    for waiver in waivers:
        where = f"waiver in line {waiver.line} ({waiver.row} {waiver.metric} {waiver.most})"
        if waiver.expires < today:
            notes.append(f"{where} expired on {waiver.expires}: remove or renew it")
        elif not waiver.used:
            notes.append(f"{where} is not needed by this comparison: remove it once merged")
    return notes
