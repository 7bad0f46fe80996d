"""second.py: a second opinion on machine.c: computes the outcomes of a program from its text in another way.

Written from README.md, not from machine.c, and for clarity rather than speed: a state is a tuple, a step a
function that yields the states that it can lead to.
"""
import re

NONE, SKIPPED, BLOCKED, TRAP, OK, DISABLED = (0xC0DEC0DE00000000 + i for i in range(1, 7))
TEN_DAYS_NS = 864_000 * 10**9
WITH_RESULT = "load atomic_load atomic_rmw atomic_cmpxchg wait32 wait64 notify grow size".split()
ACCESSES = "load store atomic_load atomic_store atomic_rmw atomic_cmpxchg wait32 wait64".split()


class Operation:
    def __init__(self, words):
        self.name = words[0].removeprefix("memory_")
        given = dict(w.split(":", 1) for w in words[1:])
        self.when = None
        if "when" in given:
            n, sign, value = re.fullmatch(r"(\d+)(!?=)(\d+)", given.pop("when")).groups()
            self.when = (int(n), sign == "=", int(value))
        self.kind = given.pop("kind", "")
        places = {k: given.pop(k) for k in ("at", "to", "from") if k in given}
        self.place = {k: (v.startswith("grown"), int(v.removeprefix("grown").lstrip("+") or 0)) for k, v in places.items()}
        self.number = {k: int(v, 0) for k, v in given.items()}
        if self.name in ("wait32", "wait64"):
            self.number["width"] = 4 if self.name == "wait32" else 8

    def touched(self):
        """(grown, offset, count) of each range of bytes."""
        count = self.number.get("width", self.number.get("count", 0))
        if self.name == "bulk_copy":
            return [(*self.place["to"], count), (*self.place["from"], count)]
        return [(*self.place["at"], count)] if self.name in ACCESSES or self.name in ("bulk_fill", "bulk_init") else []

    def is_far(self):
        return any(grown for grown, _, _ in self.touched()) or (self.name == "notify" and self.place["at"][0])


class Program:
    def __init__(self, text):
        self.threads, self.first, self.low, self.high = [], {}, 1, 1
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if not words or words[0] == "pagebox-conform":
                continue
            if words[0] == "memory":
                self.low, self.high = (int(w.split(":")[1]) for w in words[1:])
            elif words[0] == "first":
                at, width, value = (int(w.split(":")[1]) for w in words[1:])
                for i in range(width):
                    self.first[False, at + i] = value >> 8 * i & 255
            else:
                thread = int(words[0][1:])
                while len(self.threads) <= thread:
                    self.threads.append([])
                self.threads[thread].append(Operation(words[1:]))
        self.grows = any(o.name in ("grow", "size") or o.is_far() for t in self.threads for o in t)
        touched = {(g, a // 8 * 8 + i * 8) for t in self.threads for o in t for g, at, n in o.touched() if n
                   for a in [at] for i in range((at + n - 1) // 8 - at // 8 + 1)}
        touched |= {(False, a // 8 * 8) for (_, a), v in self.first.items() if v}
        self.words = sorted(touched)


# A state: bytes (sorted items), pages, disabled, queue ((thread, place), ...), threads ((next, status, results), ...).


def outcomes(program):
    """The complete set, as text keys like those of `conform bundle`."""
    threads = tuple((0, "runs", ()) for _ in program.threads)
    start = (tuple(sorted(program.first.items())), program.low, False, (), threads)
    todo, seen, ends = [start], {start}, set()
    while todo:
        state = todo.pop()
        following = list(successors(program, state))
        if not following:
            ends.add(outcome(program, state))
        for other in following:
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return ends


def with_thread(threads, t, value):
    return (*threads[:t], value, *threads[t + 1 :])


def done(threads, t, result):
    at, _, results = threads[t]
    return with_thread(threads, t, (at + 1, "runs", (*results, result)))


def successors(program, state):
    memory, pages, disabled, queue, threads = state
    for t, (at, status, results) in enumerate(threads):
        if status == "runs" and at < len(program.threads[t]):
            yield from step(program, state, t, program.threads[t][at])
        elif status == "disables":
            for place in {p for _, p in queue}:
                left, now = queue, threads
                for waiter, p in queue:
                    if p == place:
                        left, now = tuple(q for q in left if q[0] != waiter), done(now, waiter, DISABLED)
                yield memory, pages, disabled, left, now
            if not queue:
                yield memory, pages, disabled, queue, done(threads, t, OK)
    for waiter, _ in queue:
        operation = program.threads[waiter][threads[waiter][0]]
        if 0 <= operation.number["timeout_ns"] < TEN_DAYS_NS:
            yield memory, pages, disabled, tuple(q for q in queue if q[0] != waiter), done(threads, waiter, 2)


def step(program, state, t, o):
    memory, pages, disabled, queue, threads = state
    results = threads[t][2]
    if o.when and (results[o.when[0]] == o.when[2]) != o.when[1]:
        yield memory, pages, disabled, queue, done(threads, t, SKIPPED)
        return
    outside = any(g and (n or a) for g, a, n in o.touched()) or (o.name == "notify" and o.place["at"][0])
    if outside and pages == program.low:
        yield memory, pages, disabled, queue, with_thread(threads, t, (threads[t][0], "trapped", results))
        return
    held = dict(memory)
    width = o.number.get("width", 0)
    at = o.place.get("at")

    def read(place, n):
        return sum(held.get((place[0], place[1] + i), 0) << 8 * i for i in range(n))

    def write(place, n, value):
        for i in range(n):
            held[place[0], place[1] + i] = value >> 8 * i & 255

    def next_(result, size=pages, line=queue, others=threads):
        kept = tuple(sorted((k, v) for k, v in held.items() if v))
        return kept, size, disabled, line, done(others, t, result)

    mask = (1 << 8 * width) - 1
    if o.name in ("load", "atomic_load"):
        yield next_(read(at, width))
    elif o.name in ("store", "atomic_store"):
        write(at, width, o.number["value"] & mask)
        yield next_(OK)
    elif o.name == "atomic_rmw":
        old, v = read(at, width), o.number["value"]
        new = {"add": old + v, "sub": old - v, "and": old & v, "or": old | v, "xor": old ^ v, "xchg": v}[o.kind]
        write(at, width, new & mask)
        yield next_(old)
    elif o.name == "atomic_cmpxchg":
        old = read(at, width)
        if old == o.number["expected"] & mask:
            write(at, width, o.number["value"] & mask)
        yield next_(old)
    elif o.name in ("wait32", "wait64"):
        if disabled:
            yield next_(DISABLED)
        elif read(at, width) != o.number["expected"] & mask:
            yield next_(1)
        else:
            yield memory, pages, disabled, (*queue, (t, at)), with_thread(threads, t, (threads[t][0], "waits", results))
    elif o.name == "notify":
        woken = [w for w, place in queue if place == at][: o.number["count"]]
        others = threads
        for w in woken:
            others = done(others, w, 0)
        yield next_(len(woken), line=tuple(q for q in queue if q[0] not in woken), others=others)
    elif o.name == "grow":
        if pages + o.number["pages"] <= program.high:
            yield next_(pages, size=pages + o.number["pages"])
        yield next_(0xFFFFFFFF)
    elif o.name == "size":
        yield next_(pages)
    elif o.name == "bulk_fill":
        for i in range(o.number["count"]):
            write((at[0], at[1] + i), 1, o.number["value"])
        yield next_(OK)
    elif o.name == "bulk_init":
        for i in range(o.number["count"]):
            held[at[0], at[1] + i] = o.number["value"] + i + 1
        yield next_(OK)
    elif o.name == "bulk_copy":
        copied = [read((o.place["from"][0], o.place["from"][1] + i), 1) for i in range(o.number["count"])]
        for i, value in enumerate(copied):
            write((o.place["to"][0], o.place["to"][1] + i), 1, value)
        yield next_(OK)
    elif o.name == "disable_atomics":
        yield memory, pages, True, queue, with_thread(threads, t, (threads[t][0], "disables", results))
    else:
        yield next_(OK)  # a fence


def outcome(program, state):
    memory, pages, _, _, threads = state
    held, key = dict(memory), []
    for operations, (at, status, results) in zip(program.threads, threads):
        for n, o in enumerate(operations):
            if o.name in WITH_RESULT or o.is_far():
                stopped = {"waits": BLOCKED, "trapped": TRAP}.get(status, NONE)
                key.append(results[n] if n < len(results) else stopped if n == at else NONE)
    for grown, word in program.words:
        there = not grown or pages > program.low
        key.append(sum(held.get((grown, word + i), 0) << 8 * i for i in range(8)) if there else NONE)
    if program.grows:
        key.append(pages)
    return ",".join(f"{v:x}" for v in key)
