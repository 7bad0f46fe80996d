"""pairing.py: times the rows of two programs against each other, in pairs.

A pair of a row is the minimum of three fresh processes of each side, in turns on one core; which side begins is
balanced over the rounds and otherwise random. The rows of a round are in random order. A pair that was disturbed from
outside is dropped, and counted, by the rule below, which looks at the machine, never at the figures. Rounds are added
as long as the time allows.
"""
import dataclasses
import json
import math
import os
import random
import re
import subprocess
import time

from pagebox.gate import building
from pagebox.gate import counting
from pagebox.common import processes
from pagebox.common import stats

PROCESSES = 3  # per side and pair: the minimum counts
ROUNDS = 20
BATCH_TIME_NS = 1.5e6  # measured time in one process,
PROCESS_TIME_NS = 8e6  # or time of a whole process, including the set-up of the regions
BATCHES = (5, 60)
LEAST_THRESHOLD = 0.05
THREADS_THRESHOLD = 1.0  # twice the time, for rows with two threads
CONFIRM_ROUNDS = 24
# As log-ratios: a row in which not even this much could be detected says nothing. One row, whose time jumps by half
# between processes, could not show +50 % in 9 of 100 calibrated sessions.
SEEN_LIMIT = math.log(2)
THREADS_SEEN_LIMIT = math.log(5)
PROCESS_LIMIT_S = 60

# When a pair is dropped, fixed beforehand. The program itself leaves out a region in which the kernel ran something
# else on the core; on a machine with 15 tasks for 2 cores the rest still spread by 1 % in most rows. A pair is dropped
# for disturbances that the kernel cannot see, or that starve it.
STEAL_TICKS_MAX = 0  # of the hypervisor, during the pair
PRESSURE_MAX = 0.25  # share of the pair's time in which some task waited for a core,
STARVED = 10  # if the pair also took this many times its usual time


@dataclasses.dataclass
class Pair:
    base_ns: float | None  # None: no undisturbed region
    head_ns: float | None
    dropped: str = ""  # the reason

    @property
    def difference(self):
        return math.log(self.head_ns / self.base_ns)


# ---------------------------------------------------------------- the machine


def steal_ticks():
    with open("/proc/stat") as file:
        return int(file.readline().split()[8])


def pressure_us():
    """Microseconds in which some task waited for a core; None if the kernel does not tell."""
    try:
        with open("/proc/pressure/cpu") as file:
            return int(re.search(r"total=(\d+)", file.readline()).group(1))
    except (OSError, AttributeError):
        return None


class Disturbance:
    """What happened outside between construction and why()."""

    def __init__(self):
        self.steal, self.pressure, self.began = steal_ticks(), pressure_us(), time.monotonic()

    def why(self, usual_s):
        if steal_ticks() - self.steal > STEAL_TICKS_MAX:
            return "steal"
        waited, spent = (pressure_us() or 0) - (self.pressure or 0), self.seconds()
        return (
            "pressure" if waited > PRESSURE_MAX * spent * 1e6 and spent > STARVED * usual_s else ""
        )

    def seconds(self):
        return time.monotonic() - self.began


# ---------------------------------------------------------------- one process


def once(program, row, batches, core, inject):
    """Nanoseconds of the best undisturbed region of a fresh process; None if there was none."""
    command = [str(program), "--time", row, str(batches), str(core), *inject]
    try:
        done = processes.run(command, PROCESS_LIMIT_S, env=counting.ENVIRONMENT, cwd="/")
    except subprocess.TimeoutExpired:
        raise counting.RowFailed(f"row {row} {counting.LATE} {PROCESS_LIMIT_S} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        raise counting.RowFailed(f"row {row} ended with status {done.returncode}: {said}")
    return json.loads(done.stdout)["ns"]


# ---------------------------------------------------------------- pairs


class HeadFailed(Exception):
    """A row runs on the base and not on the head."""


class Sampler:
    """Pairs of two programs, row by row. inject: for the head side only."""

    def __init__(self, base, head, rows, seed, inject=()):
        self.base, self.head = base, head
        self.rows = rows  # row -> kind
        self.random = random.Random(seed)
        self.inject = ["--inject", *inject] if inject else []
        self.cores = sorted(os.sched_getaffinity(0))
        self.batches = {}
        self.first = {}  # row -> the side that began in the last pair
        self.usual_s = {}  # row -> the shortest time of a pair
        self.left_out = set()
        if len(self.cores) < 2:
            self.left_out = {row for row, kind in rows.items() if kind != "alone"}
        self.failed = {}  # row -> why, for rows that only the head cannot run

    def batches_of(self, row):
        """The number of regions for both sides, from the cost of one on the base side."""
        if row not in self.batches:
            whole_ns = math.inf
            for _ in range(2):
                began = time.monotonic_ns()
                ns = once(self.base, row, BATCHES[0], self.cores[0], []) or BATCH_TIME_NS
                whole_ns = min(whole_ns, time.monotonic_ns() - began)
            fits = min(BATCH_TIME_NS / ns, PROCESS_TIME_NS / (whole_ns / BATCHES[0]))
            self.batches[row] = int(min(max(fits, BATCHES[0]), BATCHES[1]))
        return self.batches[row]

    def turns(self, row):
        """The order of the sides, True for the head: in turns, the beginner balanced over pairs of rounds: random in
        the first of two, the other one in the second."""
        begins = self.first.pop(row, None)
        if begins is None:
            begins = self.random.random() < 0.5
            self.first[row] = not begins
        order = []
        for _ in range(PROCESSES):
            order += [begins, not begins]
            begins = not begins
        return order

    def pair(self, row):
        batches, core = self.batches_of(row), self.random.choice(self.cores)
        outside = Disturbance()
        best = {False: None, True: None}
        for head in self.turns(row):
            ns = self.once(head, row, batches, core)
            if ns is not None and (best[head] is None or ns < best[head]):
                best[head] = ns
        self.usual_s[row] = min(self.usual_s.get(row, math.inf), outside.seconds())
        pair = Pair(best[False], best[True], outside.why(self.usual_s[row]))
        if best[False] is None or best[True] is None:
            pair.dropped = "interrupted"
        return pair

    def once(self, head, row, batches, core):
        """A row that fails on the base is an error whatever the head does."""
        if not head:
            return once(self.base, row, batches, core, [])
        try:
            return once(self.head, row, batches, core, self.inject)
        except counting.RowFailed as error:
            once(self.base, row, batches, core, [])
            raise HeadFailed(str(error))

    def round(self, pairs, wanted=None):
        """Adds one pair of each row, or of the wanted ones, to pairs: row -> list."""
        rows = [row for row in self.rows if row not in self.left_out | self.failed.keys()]
        rows = [row for row in rows if wanted is None or row in wanted]
        self.random.shuffle(rows)
        for row in rows:
            try:
                pairs.setdefault(row, []).append(self.pair(row))
            except HeadFailed as error:
                self.failed[row] = str(error)


# ---------------------------------------------------------------- verdicts


def threshold_of(row, kind, calibrated):
    if kind != "alone":
        return max(math.log(1 + THREADS_THRESHOLD), calibrated.get(row, 0))
    return max(LEAST_THRESHOLD, calibrated.get(row, 0))


def judge(pairs, kinds, calibrated, family=0):
    """Items of all rows of a session: row -> list of Pair. calibrated: row -> threshold, from this machine's
    calibration; without it the session's own noise decides. family: rows of the whole test, if these are only some
    of them."""
    kept = {row: [p.difference for p in found if not p.dropped] for row, found in pairs.items()}
    ps = {row: stats.signed_rank(found)[0] for row, found in kept.items()}
    tests = max(family, len(ps))
    adjusted = dict(zip(ps, stats.holm([*ps.values(), *[1.0] * (tests - len(ps))])))
    items = []
    for row in sorted(kept):
        found, kind = kept[row], kinds[row]
        shift, low, high = stats.hodges_lehmann(found)
        spread = stats.spread(found, low, high)
        threshold = threshold_of(row, kind, calibrated)
        if row not in calibrated and len(found) > 1:
            threshold = max(threshold, 3 * spread / len(found) ** 0.5)
        seen = stats.detectable(spread, len(found), threshold, tests)
        seen_limit = SEEN_LIMIT if kind == "alone" else THREADS_SEEN_LIMIT
        verdict = stats.verdict(
            shift, adjusted[row], threshold, len(found), tests, seen, seen_limit
        )
        sides = [
            [p.base_ns for p in pairs[row] if p.base_ns],
            [p.head_ns for p in pairs[row] if p.head_ns],
        ]
        items.append(
            {
                "name": row,
                "part": "time",
                "metric": "time",
                "kind": kind,
                "verdict": verdict,
                "base": min(sides[0], default=None),
                "head": min(sides[1], default=None),
                "shift": shift,
                "low": low,
                "high": high,
                "p": adjusted[row],
                "threshold": threshold,
                "detectable": seen,
                "pairs": len(found),
                "dropped": len(pairs[row]) - len(found),
                "spread": spread,
            }
        )
    return items


def wanting(pairs, rounds):
    """Rows that do not have enough undisturbed pairs yet."""
    kept = {row: sum(not p.dropped for p in found) for row, found in pairs.items()}
    return {row for row, count in kept.items() if count < rounds}


def session(sampler, rounds, until, said=lambda done, wanted: None, pairs=None):
    """Runs rounds until every row has its pairs, or time.monotonic() reaches until."""
    pairs = {} if pairs is None else pairs
    for done in range(rounds):
        if done and time.monotonic() > until:
            return pairs
        said(done, rounds)
        sampler.round(pairs)
    more = 0
    while wanting(pairs, rounds) and time.monotonic() < until and more < rounds:
        more += 1
        said(rounds, rounds)
        sampler.round(pairs, wanting(pairs, rounds))
    return pairs


def settle(items, again):
    """Drops suspected regressions that the fresh rounds do not show. Changes items."""
    second = {item["name"]: item for item in again}
    for item in items:
        found = second.get(item["name"])
        if item["verdict"] != "regression" or found is None:
            continue
        item["again"] = {
            k: found[k] for k in ("verdict", "shift", "low", "high", "p", "pairs", "dropped")
        }
        said = f"again, linked in another order: {100 * math.expm1(found['shift']):+.1f} %"
        if found["verdict"] == "regression":
            item["note"] = said
        elif found["verdict"] == "inconclusive":
            item["verdict"], item["note"] = "inconclusive", f"suspected, and inconclusive {said}"
        else:
            item["verdict"], item["note"] = "pass", f"suspected, but not {said}"


def unsettled(items):
    """After an early end: a suspect that was not measured again does not block."""
    for item in items:
        if item["verdict"] == "regression" and "again" not in item:
            item["verdict"], item["note"] = "inconclusive", "suspected, and not measured again"
    return items


# ---------------------------------------------------------------- from sides to verdicts


class Comparison:
    """Two sides (gate_build.Side) timed against each other: rounds of pairs, then the suspects again with both sides
    linked in another order. Its results are valid at any moment."""

    def __init__(self, base, head, kinds, calibrated, family=0):
        self.sides, self.kinds, self.calibrated, self.family = (
            (base, head),
            kinds,
            calibrated,
            family,
        )
        self.seed = int(time.time())
        self.sampler = Sampler(base.program(), head.program(), kinds, self.seed)
        self.pairs, self.again, self.judged = {}, {}, None

    def run(self, rounds, seconds, said=lambda share, text: None):
        progress = lambda done, all_: said(done / all_, f"timing, round {done} of {all_}")
        session(self.sampler, rounds, time.monotonic() + seconds, progress, self.pairs)
        self.judged = self.judge()
        suspects = {i["name"] for i in self.judged if i["verdict"] == "regression"}
        if suspects:
            self.confirm({row: self.kinds[row] for row in suspects}, seconds / 2, said)

    def judge(self):
        return judge(self.pairs, self.kinds, self.calibrated, self.family)

    def confirm(self, suspects, seconds, said):
        programs = [building.link(side, self.seed % 1000 + 1) for side in self.sides]
        sampler = Sampler(*programs, suspects, self.seed + 1)
        progress = lambda done, all_: said(
            1, f"timing {len(suspects)} suspects again, round {done} of {all_}"
        )
        session(sampler, CONFIRM_ROUNDS, time.monotonic() + seconds, progress, self.again)
        self.sampler.failed |= sampler.failed
        settle(self.judged, judge(self.again, suspects, self.calibrated))

    def items(self):
        found = unsettled(self.judge() if self.judged is None else self.judged)
        failed = self.sampler.failed
        found = [item for item in found if item["name"] not in failed]
        return found + [
            counting.head_alone(row, why, "time")
            for row, why in sorted(failed.items())
        ]

    def raw(self):
        """File -> row -> pairs."""
        parts = {"pairs.json": self.pairs, "pairs-again.json": self.again}
        return {
            name: {row: [vars(p) for p in found] for row, found in pairs.items()}
            for name, pairs in parts.items()
            if pairs
        }
