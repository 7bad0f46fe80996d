#!/usr/bin/python3
"""to_c.py: a litmus program as an ordinary C program with pthreads, for `make explore`.

    to_c.py [--assert 'T0:r0=1 x=2'] FILE.litmus > file.c

Locks become mutexes; awaits and spins become loops; waits and wakes become futex calls; assume becomes a
call of the engine's assume. An await of a location m<name> or c<name>, from generate.c's class
`monitors`, becomes a wait on a condition variable. With --assert the program asserts that it does not
end in this state.
"""
import argparse
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import litmus_text

ORDERS = {"rlx": "memory_order_relaxed", "acq": "memory_order_acquire", "rel": "memory_order_release",
          "ar": "memory_order_acq_rel", "sc": "memory_order_seq_cst"}
HEAD = """#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void __VERIFIER_assume(int holds);

static __attribute__((unused)) uint32_t wait_on(void *at, uint32_t value, const struct timespec *at_most)
{
    if (syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, value, at_most, 0, 0) == 0)
        return 1;
    return errno == ETIMEDOUT ? 2 : 0;
}
static __attribute__((unused)) uint32_t wake(void *at, int n)
{
    return (uint32_t)syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, 0, 0, 0);
}
"""


class Thread:
    """Translates one thread to C and collects the names that it uses."""

    def __init__(self, number, statements, names):
        self.names, self.registers, self.lines = names, {}, []
        self.block(statements, 1)
        self.number = number

    def value(self, v):
        if v in self.registers:
            return self.registers[v]
        return f"{int(v, 0) & 0xFFFFFFFF}u"

    def say(self, depth, text):
        self.lines.append("    " * depth + text)

    def block(self, statements, depth):
        for s in statements:
            if isinstance(s, str):
                self.statement(s.split(), depth)
                continue
            words = s.head.split()
            if words[0] == "repeat":
                self.say(depth, f"for (int i{depth} = 0; i{depth} < {words[1]}; i{depth}++) {{")
            else:
                self.say(depth, f"if ({self.value(words[1])} {words[2].replace('=', '==', words[2] == '=')} "
                                f"{self.value(words[3])}) {{")
            self.block(s.body, depth + 1)
            if s.other is not None:
                self.say(depth, "} else {")
                self.block(s.other, depth + 1)
            self.say(depth, "}")

    def location(self, name):
        self.names["locations"][name] = None
        return name

    def target(self, register):
        return self.registers.setdefault(register, register)

    def statement(self, w, depth):
        def say(text):
            self.say(depth, text)

        def lock(name):
            self.names["locks"][name] = None
            return f"&{name}"

        if w[0] == "store":
            if f"c_{w[1]}" in self.names["conditions"]:  # the lock is held
                say(f"{w[1]} = {self.value(w[2])};")
                say(f"pthread_cond_broadcast(&c_{w[1]});")
                self.location(w[1])
                return
            say(f"atomic_store_explicit(&{self.location(w[1])}, {self.value(w[2])}, {ORDERS[w[3]]});")
        elif w[0] == "fence":
            say(f"atomic_thread_fence({ORDERS[w[1]]});")
        elif w[0] == "lock":
            say(f"pthread_mutex_lock({lock(w[1])});")
        elif w[0] == "unlock":
            say(f"pthread_mutex_unlock({lock(w[1])});")
        elif w[0] == "assume":
            say(f"__VERIFIER_assume({self.value(w[1])} == {self.value(w[3])});")
        elif w[0] == "await_cas":
            say("for (;;) {")
            self.cas(depth + 1, w[1:])
            self.say(depth + 1, f"if (e == {self.value(w[2])})")
            self.say(depth + 2, "break;")
            say("}")
        else:
            self.assignment(w[0], w[2:], depth, say, lock)

    def cas(self, depth, w):
        self.say(depth, f"uint32_t e = {self.value(w[1])};")
        self.say(depth, f"atomic_compare_exchange_strong_explicit(&{self.location(w[0])}, &e, {self.value(w[2])}, "
                        f"{ORDERS[w[3]]}, {ORDERS[w[4]]});")

    def assignment(self, register, w, depth, say, lock):
        op = w[0]
        known = dict(self.registers)
        value = lambda v: known[v] if v in known else self.value(v)  # noqa: E731
        target = self.target(register)
        if op == "load":
            say(f"{target} = atomic_load_explicit(&{self.location(w[1])}, {ORDERS[w[2]]});")
        elif op in ("add", "xchg"):
            name = "atomic_fetch_add_explicit" if op == "add" else "atomic_exchange_explicit"
            say(f"{target} = {name}(&{self.location(w[1])}, {value(w[2])}, {ORDERS[w[3]]});")
        elif op == "cas":
            say("{")
            self.cas(depth + 1, w[1:])
            self.say(depth + 1, f"{target} = e;")
            say("}")
        elif op == "await" and f"c_{w[1]}" in self.names["conditions"]:
            m = self.names["conditions"][f"c_{w[1]}"]
            self.names["locks"][m] = None
            say(f"pthread_mutex_lock(&{m});")
            say(f"while ({self.location(w[1])} != {value(w[3])})")
            say(f"    pthread_cond_wait(&c_{w[1]}, &{m});")
            say(f"{target} = {w[1]};")
            say(f"pthread_mutex_unlock(&{m});")
        elif op == "await":
            different = w[2] == "!="
            say("do")
            say(f"    {target} = atomic_load_explicit(&{self.location(w[1])}, {ORDERS[w[4]]});")
            say(f"while ({target} {'==' if different else '!='} {value(w[3])});")
        elif op == "await_xchg":
            say("do")
            say(f"    {target} = atomic_exchange_explicit(&{self.location(w[1])}, {value(w[2])}, {ORDERS[w[3]]});")
            say(f"while ({target} != {value(w[5])});")
        elif op == "spin":
            say(f"{target} = 0;")
            say(f"for (int i = 0; i < {w[1]}; i++)")
            say(f"    if (atomic_load_explicit(&{self.location(w[2])}, {ORDERS[w[5]]}) == {value(w[4])}) {{")
            say(f"        {target} = 1;")
            say("        break;")
            say("    }")
        elif op == "trylock":
            say(f"{target} = pthread_mutex_trylock({lock(w[1])}) == 0;")
        elif op == "wait":
            say(f"{target} = wait_on(&{self.location(w[1])}, {value(w[2])}, 0);")
        elif op == "wait_timed":
            say(f"{target} = wait_on(&{self.location(w[1])}, {value(w[2])}, &(struct timespec){{0, 1000}});")
        elif op == "wake":
            say(f"{target} = wake(&{self.location(w[1])}, {w[2]});")
        else:
            say(f"{target} = {value(w[0])}" + (f" + {value(w[2])};" if len(w) > 1 else ";"))


def conditions_of(text):
    """Monitors: {condition variable: mutex} of the locations fm<...>, each guarded by the lock m<...>."""
    return {f"c_{f}": f[1:] for f in re.findall(r"\bawait (fm\w*)", text)}


def translate(text, state=None):
    program = litmus_text.parse(text)
    names = {"locations": {}, "locks": {}, "conditions": conditions_of(text)}
    initial = {}
    for h in program.header:
        if h.startswith("init"):
            initial |= dict(re.findall(r"(\w+)\s*=\s*(-?\w+)", h[4:]))
    threads = [Thread(i, t, names) for i, t in enumerate(program.threads)]
    out = [f"/* {program.name} */", HEAD]
    for x in {**dict.fromkeys(initial), **names["locations"]}: # not static: unread stores would be removed
        plain = f"c_{x}" in names["conditions"]
        out.append(f"{'' if plain else '_Atomic '}uint32_t {x} = {initial.get(x, 0)};")
    out += [f"static pthread_mutex_t {m} = PTHREAD_MUTEX_INITIALIZER;" for m in names["locks"]]
    out += [f"static pthread_cond_t {c} = PTHREAD_COND_INITIALIZER;" for c in names["conditions"]]
    for t in threads:
        for r in t.registers:
            out.append(f"static uint32_t T{t.number}_{r};")
    for t in threads:
        out += ["", f"static void *thread{t.number}(void *unused)", "{"]
        out += [f"    uint32_t {r} = 0;" for r in t.registers] + t.lines
        out += [f"    T{t.number}_{r} = {r};" for r in t.registers]
        out += ["    return unused;", "}"]
    n = len(threads)
    out += ["", "int main(void)", "{", f"    pthread_t t[{n}];"]
    out += [f"    pthread_create(&t[{i}], 0, thread{i}, 0);" for i in range(n)]
    out += [f"    pthread_join(t[{i}], 0);" for i in range(n)]
    if state is not None:
        terms = []
        for term in state.split():
            left, value = term.split("=")
            m = re.match(r"T(\d+):(\w+)", left)
            terms.append(f"T{m[1]}_{m[2]} == {value}u" if m else f"{left} == {value}u")
        out.append(f"    assert(!({' && '.join(terms) or '1'}));")
    out += ["    return 0;", "}"]
    return "\n".join(out) + "\n"


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--assert", dest="state")
    p.add_argument("file")
    args = p.parse_args()
    with open(args.file) as f:
        print(translate(f.read(), args.state), end="")


if __name__ == "__main__":
    main()
