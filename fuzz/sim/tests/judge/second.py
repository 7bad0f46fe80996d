#!/usr/bin/python3
"""second.py: a second opinion on the judge, by another method in another language.

    second.py SEED COUNT CLASS...        classes plain rmw cas sc fences psc values assume

The judge grows graphs event by event. This guesses a whole graph (what each read reads, each modification
order), drops it if it has a cycle of po | rf, and tests the axioms on sets of pairs. An RMW is two
events here, as in the paper. For programs without loops, locks, awaits and waits.
Exit status: 0 all the same, 1 a difference.
"""
import argparse
import itertools
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare
import litmus_text

TOO_MANY = 3000  # guesses


def seq(*relations):
    """r1; r2; ..."""
    out = relations[0]
    for r in relations[1:]:
        after = {}
        for a, b in r:
            after.setdefault(a, []).append(b)
        out = {(a, c) for a, b in out for c in after.get(b, ())}
    return out


def closure(r):
    out, new = set(r), set(r)
    while new:
        new = seq(new, r) - out
        out |= new
    return out


def acyclic(r):
    return all(a != b for a, b in closure(r))


def identity(events):
    return {(e, e) for e in events}


class Event:
    """kind: R, W, F. pair: the other half of an RMW."""

    def __init__(self, thread, kind, order, place, op):
        self.thread, self.kind, self.order, self.place, self.op = thread, kind, order, place, op
        self.pair = self.value = None

    def acquires(self):
        return self.kind != "W" and self.order in ("acq", "ar", "sc")

    def releases(self):
        return self.kind != "R" and self.order in ("rel", "ar", "sc")


def consistent(events, po, rf, mo, rmw):
    w = [e for e in events if e.kind == "W"]
    f = [e for e in events if e.kind == "F"]
    inverse = {(b, a) for a, b in rf}
    rb = seq(inverse, mo)
    all_ = identity(events)
    rs = seq(identity(w), closure(seq(rf, rmw)) | all_)
    release, acquire = identity(e for e in events if e.releases()), identity(e for e in events if e.acquires())
    before, after = seq(identity(f), po) | all_, seq(po, identity(f)) | all_
    sw = seq(release, before, rs, rf, after, acquire)
    start = {(a, b) for a in events for b in events if a.thread < 0 <= b.thread}
    hb = closure(po | sw | start)
    eco = closure(rf | mo | rb)
    if any(a == b for a, b in hb | seq(hb, eco)):
        return False
    if rmw & seq(rb, mo):
        return False
    sc = [e for e in events if e.order == "sc"]
    if len(sc) < 2:
        return True
    sc_f = identity(e for e in sc if e.kind == "F")
    same = lambda r: {(a, b) for a, b in r if a.place == b.place and a.place}  # noqa: E731
    other = po - same(po)
    scb = po | seq(other, hb, other) | same(hb) | mo | rb
    maybe = hb | all_
    psc_base = seq(identity(sc) | seq(sc_f, maybe), scb, identity(sc) | seq(maybe, sc_f))
    psc_f = seq(sc_f, hb | seq(hb, eco, hb), sc_f)
    return acyclic(psc_base | psc_f)


class Run:
    """One guess: `choice` maps each read to its source, (thread, index of operation)."""

    def __init__(self, program, initial, choice):
        self.program, self.initial, self.choice = program, initial, choice

    def thread(self, t, values):
        """(operations, registers, outcome) of thread t, as far as values are known. An operation is
        (kind, words, value read); the outcome is "end", "more" or "cut"."""
        registers, ops = {}, []

        def value(v):
            return registers.get(v, 0) if not v.lstrip("-")[0].isdigit() else int(v, 0)

        def walk(statements):
            for s in statements:
                if not isinstance(s, str):
                    words = s.head.split()
                    holds = (value(words[1]) == value(words[3])) == (words[2] == "=")
                    result = walk(s.body if holds else s.other or [])
                    if result != "end":
                        return result
                    continue
                words = s.split()
                if words[0] in ("store", "fence"):
                    ops.append(("F", None, words[1], None) if words[0] == "fence" else
                               ("W", words[1], words[3], value(words[2]) & 0xFFFFFFFF))
                    continue
                if words[0] == "assume":
                    if value(words[1]) != value(words[3]):
                        return "cut"
                    continue
                target, what = words[0], words[2:]
                if what[0] not in ("load", "add", "xchg", "cas"):
                    registers[target] = (value(what[0]) + (value(what[2]) if len(what) > 1 else 0)) & 0xFFFFFFFF
                    continue
                place, source = what[1], self.choice.get((t, len(ops)))
                if source is None:
                    ops.append(("R", place, None, None))
                    return "read"
                read = values.get(source, {}).get(place) if source[0] >= 0 else self.initial.get(place, 0)
                if read is None:
                    return "more"
                if what[0] == "load":
                    ops.append(("R", place, what[2], read))
                elif what[0] == "cas":
                    if read == value(what[2]):
                        ops.append(("U", place, what[4], read, value(what[3]) & 0xFFFFFFFF))
                    else:
                        ops.append(("R", place, what[5], read))
                else:
                    new = value(what[2]) + (read if what[0] == "add" else 0)
                    ops.append(("U", place, what[3], read, new & 0xFFFFFFFF))
                registers[target] = read
            return "end"

        return ops, registers, walk(self.program.threads[t])

    def execute(self):
        """Runs all threads in rounds until nothing new is known: (operations by thread, registers, outcomes)."""
        values, n = {}, len(self.program.threads)
        while True:
            outcome = [self.thread(t, values) for t in range(n)]
            new = {(t, i): {op[1]: op[-1]} for t, (ops, _, _) in enumerate(outcome) for i, op in enumerate(ops)
                   if op[0] in "WU"}
            if new == values:
                return outcome
            values = new


def graphs(program):
    """(number of complete graphs, final states), or None: too many guesses."""
    initial = {}
    for h in program.header:
        for term in h[4:].split():
            place, v = term.split("=")
            initial[place] = int(v, 0)
    places = sorted({w for t in program.threads for w in words_of(t)} | set(initial))
    count, states, guesses = 0, set(), 0
    todo, sizes = [{}], [0]
    writers = possible_writers(program)
    while todo:
        choice = todo.pop()
        guesses += 1
        if guesses > TOO_MANY:
            return None
        outcome = Run(program, initial, choice).execute()
        if any(end == "cut" for _, _, end in outcome):
            continue
        ask = next(((t, len(ops) - 1, ops[-1][1]) for t, (ops, _, end) in enumerate(outcome) if end == "read"), None)
        if ask:
            t, i, place = ask
            for source in [(-1, 0), *writers[place]]:
                if source != (t, i):
                    todo.append({**choice, (t, i): source})
            continue
        if any(end == "more" for _, _, end in outcome):
            continue  # a cycle of reads-from, or a source that is not a write
        n, found = orders(program, outcome, choice, initial, places)
        if n is None or sum(sizes) > TOO_MANY:
            return None
        sizes.append(found[0])
        count += n
        states |= found[1]
    return count, states


def words_of(statements):
    for s in statements:
        if isinstance(s, str):
            w = s.split()
            if w[0] == "store":
                yield w[1]
            elif len(w) > 3 and w[2] in ("load", "add", "xchg", "cas"):
                yield w[3]
        else:
            yield from words_of(s.body + (s.other or []))


def possible_writers(program):
    """By location: each (thread, index) that can be a write, whichever way the branches go."""
    out = {}

    def longest(statements):
        n = 0
        for s in statements:
            if isinstance(s, str):
                w = s.split()
                n += w[0] in ("store", "fence") or len(w) > 2 and w[2] in ("load", "add", "xchg", "cas")
            else:
                n += longest(s.body) + longest(s.other or [])
        return n

    for t, statements in enumerate(program.threads):
        for place in set(words_of(statements)):
            out.setdefault(place, []).extend((t, i) for i in range(longest(statements)))
    return out


def orders(program, outcome, choice, initial, places):
    """Number of consistent graphs with these reads: (n, (orders tried, states))."""
    events, po, rmw, write_of, read_of = [], set(), set(), {}, {}
    for place in places:
        e = Event(-1, "W", "init", place, (-1, 0))
        e.value = initial.get(place, 0)
        events.append(e)
        write_of[(-1, place)] = e
    for t, (ops, _, _) in enumerate(outcome):
        mine = []
        for i, op in enumerate(ops):
            for kind in {"U": "RW"}.get(op[0], op[0]):
                e = Event(t, kind, op[2], op[1], (t, i))
                e.value = op[-1]
                if kind == "W":
                    write_of[(t, i)] = e
                elif kind == "R":
                    read_of[(t, i)] = e
                if op[0] == "U" and kind == "W":
                    rmw.add((mine[-1], e))
                mine.append(e)
        po |= set(itertools.combinations(mine, 2))
        events += mine
    rf = set()
    for (t, i), source in choice.items():
        read = read_of.get((t, i))
        write = write_of.get((-1, read.place) if source[0] < 0 else source)
        if write is None or write.place != read.place:
            return 0, (0, set())
        rf.add((write, read))
    if not acyclic(po | rf):
        return 0, (0, set())
    lists = [[e for e in events if e.kind == "W" and e.place == place and e.thread >= 0] for place in places]
    n = tried = 0
    states = set()
    for order in itertools.product(*[itertools.permutations(x) for x in lists]):
        tried += 1
        if tried > 200:
            return None, (0, set())
        mo = set()
        for place, writes in zip(places, order):
            mo |= set(itertools.combinations([write_of[(-1, place)], *writes], 2))
        if consistent(events, po, rf, mo, rmw):
            n += 1
            items = [f"{p}={(w[-1] if w else write_of[(-1, p)]).value}" for p, w in zip(places, order)]
            for t, (_, registers, _) in enumerate(outcome):
                items += [f"T{t}:{r}={v}" for r, v in registers.items()]
            states.add(frozenset(items))
    return n, (tried, states)


def without_unset(state):
    """Drops registers that were never set: 0 in the judge's states, missing in ours."""
    return frozenset(i for i in state if not (i.startswith("T") and i.endswith("=0")))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("seed", type=int)
    p.add_argument("count", type=int)
    p.add_argument("classes", nargs="+")
    p.add_argument("--judge", default="build/judge")
    p.add_argument("--generate", default="build/litmus-generate")
    args = p.parse_args()
    compared = skipped = bad = 0
    for name in args.classes:
        texts = compare.by_name(compare.generated(args, name, args.seed, args.count))
        judged = compare.ask([args.judge, "--graphs", "200000", "--seconds", "60"], texts, 120)
        for program, text in texts.items():
            j = judged[program]
            mine = graphs(litmus_text.parse(text)) if j.all == "yes" and j.graphs < 400 else None
            if mine is None:
                skipped += 1
                continue
            compared += 1
            theirs = {without_unset(s.split()) for s in j.states}
            if (mine[0], {without_unset(s) for s in mine[1]}) != (j.graphs, theirs):
                bad += 1
                print(f"differs: {program}: {mine[0]} graphs and {len(mine[1])} states here, "
                      f"the judge {j.graphs} and {len(theirs)}\n{text}", flush=True)
    print(f"{compared} programs compared with a second opinion, {skipped} skipped, {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
