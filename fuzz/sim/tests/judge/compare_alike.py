#!/usr/bin/python3
"""compare_alike.py: the search with `SET=symmetric=1` (interchangeable threads) against the search without.

    compare_alike.py SEED COUNT

Generates C programs by seed: two to four threads that run one function, with loads, stores and exchanges
of two atomics, sections of a mutex, branches on what was read, and sometimes an assertion about what a
thread has read or about the end. The verdict must be the same. If each thread certainly writes, no
execution is its own image, so the graphs must be fewer by exactly the factorial of the threads. Otherwise
there may be more than that, but no more than without the reduction. Some programs contain something
that must turn the reduction off (a weaker order, another lock's call, pthread_self): their graphs must not
change.

Exit status: 0 all the same, 1 a difference, 2 usage or set-up, 130 interrupted.
"""
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
REPO = pathlib.Path(__file__).resolve().parents[4]
sys.path.insert(0, str(REPO / "scripts"))
from pagebox.sim import explore_build

HEAD = """#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
static atomic_int x, y, sum;
static int plain;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
"""
MAIN = """int main(void) {{
    pthread_t t[{n}];
    for (int i = 0; i < {n}; i++)
        pthread_create(&t[i], 0, run, 0);
    for (int i = 0; i < {n}; i++)
        pthread_join(t[i], 0);
    {end}
    return 0;
}}
"""
WRITES = ["{v} = {c};", "r{i} = atomic_fetch_add(&{v}, {c});", "r{i} = atomic_exchange(&{v}, {c});"]
OTHERS = ["r{i} = {v};", "{{ int e = {c}; atomic_compare_exchange_strong(&{v}, &e, {d}); r{i} = e; }}",
          "{v} = r{k} + {c};", "if (r{k} == {c}) {v} = {d};", "if (r{k} == {c}) r{i} = {v};",
          "pthread_mutex_lock(&m); plain++; r{i} = {v}; pthread_mutex_unlock(&m);",
          "for (int n = 0; n < 3 && {v} != {c}; n++) ;", "if (r{k}) while ({v} == 0) ;"]
OFF = ["atomic_load_explicit(&x, memory_order_acquire);", "if (pthread_mutex_trylock(&m) == 0) pthread_mutex_unlock(&m);",
       "(void)pthread_self();", "atomic_store_explicit(&y, 1, memory_order_release);"]


def program(rng):
    """(text, number of threads, whether each thread certainly writes, whether the reduction holds)."""
    n = rng.choice([2, 2, 3, 3, 4])
    length = {2: rng.randint(2, 4), 3: rng.randint(1, 3), 4: rng.randint(1, 2)}[n]
    lines, writes, holds = ["int r0 = 0, r1 = 0;"], False, True
    for _ in range(length):
        kind = rng.choice(WRITES + OTHERS)
        writes |= kind in WRITES or "lock" in kind or "+ {c};" in kind
        lines.append(kind.format(v=rng.choice("xy"), i=rng.randint(0, 1), k=rng.randint(0, 1),
                                 c=rng.randint(0, 2), d=rng.randint(0, 3)))  # fmt: skip
    if rng.random() < 0.15:
        holds = False
        lines.insert(rng.randint(1, len(lines)), rng.choice(OFF))
    if rng.random() < 0.4:
        lines.append(f"assert(r{rng.randint(0, 1)} + 3 * y != {rng.randint(1, 9)});")
    end = f"assert(x + 3 * y != {rng.randint(1, 12)});" if rng.random() < 0.4 else ""
    body = "\n".join(f"    {line}" for line in lines)
    run = f"static void *run(void *unused) {{\n{body}\n    (void)r0, (void)r1;\n    return unused;\n}}\n"
    return HEAD + run + MAIN.format(n=n, end=end), n, writes, holds


class Arguments:
    cc, cflags, sched, volatile, set = "clang", "-w", "exhaustive", "plain", []


def search(built, folder, symmetric):
    command = [str(built), f"--out={folder}", "--seconds=30", "--sched=exhaustive", "--processes=1", "--shrink=0",
               f"--symmetric={symmetric}"]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=120)
    return json.loads((folder / "result.json").read_text())


def wrong(whole, reduced, n, writes, holds):
    """What is wrong, or None."""
    if whole["finding"] != reduced["finding"]:
        return f"finding {reduced['finding']} in place of {whole['finding']}"
    if whole["finding"]:
        return None
    if not whole["complete"] or not reduced["complete"]:
        return "not complete"
    graphs, fewer, images = whole["graphs"], reduced["graphs"], math.factorial(n)
    right = fewer == graphs if not holds else fewer * images == graphs if writes else graphs <= fewer * images
    return None if right and fewer <= graphs else f"{fewer} graphs, {graphs} without, {n} threads"


def main():
    try:
        seed, count = map(int, sys.argv[1:])
    except ValueError:
        print(__doc__, file=sys.stderr)
        return 2
    differ = found = graphs = fewer = off = 0
    try:
        for number in range(seed, seed + count):
            text, n, writes, holds = program(random.Random(number))
            with tempfile.TemporaryDirectory(prefix="alike-") as name:
                folder = pathlib.Path(name)
                source = folder / "program.c"
                source.write_text(text)
                a = Arguments()
                a.src = [str(source)]
                built = explore_build.build(a, folder)
                whole, reduced = search(built, folder, 0), search(built, folder, 1)
            why = wrong(whole, reduced, n, writes, holds)
            if why:
                differ += 1
                kept = REPO / "build" / "judge-differences" / f"alike-{number}.c"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(f"/* {why} */\n{text}")
                print(f"differs: {number}: {why}\n  {kept}", flush=True)
            found += bool(whole["finding"])
            off += not holds
            graphs, fewer = graphs + whole["graphs"], fewer + reduced["graphs"]
    except KeyboardInterrupt:
        return 130
    print(f"{count} programs of threads alike, {found} with a finding, {off} where it does not hold, {graphs} graphs "
          f"without, {fewer} with it, {differ} differ")  # fmt: skip
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
