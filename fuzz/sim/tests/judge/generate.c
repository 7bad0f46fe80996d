/* generate.c: litmus programs by seed: the same class, seed and number give the same program
 * everywhere.
 *
 *     generate CLASS SEED COUNT        prints programs, separated by lines ---
 *     generate --classes               the classes and what they hold
 *
 * Each program is small enough for the judge to finish within a second, mostly. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may occur, as bits of a class. */
enum {
    RELAXED = 1, /* loads and stores that are not SC */
    SC = 2,
    RMW = 4,
    CAS = 8,
    FENCES = 16,
    SC_FENCES = 32,
    VALUES = 64, /* registers stored to memory, sums, if */
    REPEAT = 128,
    SPIN = 256,
    AWAIT = 512,
    LOCK = 1024,
    WAIT = 2048,
    ASSUME = 4096,
    MANY = 8192, /* 5 to 7 threads of one or two statements */
    MONITOR =
        16384,     /* flags that are set under a lock and awaited; in to_c.py condition variables */
    IDIOM = 32768, /* every thread runs the same idiom: takes a lock, meets a barrier, ... */
    CHANGING = 65536 /* awaited exchanges that change the value they see */
};

static const struct class {
    const char *name, *what;
    unsigned may;
} classes[] = {
    {"plain", "loads and stores below SC", RELAXED},
    {"rmw", "and read-modify-writes", RELAXED | RMW},
    {"cas", "compare-exchanges of all orders, also of failures", RELAXED | SC | RMW | CAS},
    {"sc", "SC and other accesses of the same locations", RELAXED | SC | RMW},
    {"fences", "SC and other fences", RELAXED | SC | FENCES | SC_FENCES},
    {"psc", "SC accesses, SC fences, RMW, CAS", RELAXED | SC | RMW | CAS | FENCES | SC_FENCES},
    {"values", "values copied from registers to memory; if", RELAXED | RMW | CAS | VALUES},
    {"loops", "counted loops and bounded spins", RELAXED | RMW | VALUES | REPEAT | SPIN},
    {"awaits", "loads, exchanges and compare-exchanges that wait", RELAXED | RMW | SC | AWAIT},
    {"locks", "locks and trylock", RELAXED | LOCK | VALUES},
    {"waits", "futex waits, timed waits, wakes", RELAXED | RMW | WAIT},
    {"many", "five to seven threads", RELAXED | SC | RMW | CAS | MANY},
    {"assume", "assume", RELAXED | RMW | VALUES | ASSUME},
    {"monitors", "flags set under a lock, and awaited", RELAXED | LOCK | MONITOR},
    {"idioms", "ticket, test-and-set and adaptive locks, barriers, counted and awaited events",
     RELAXED | IDIOM},
    {"sync", "locks, awaits, futexes, fences and SC accesses together, also in loops",
     RELAXED | SC | FENCES | SC_FENCES | LOCK | AWAIT | WAIT | REPEAT},
    {"exchanges", "exchanges that wait, at locations of other values", RELAXED | RMW | CHANGING},
    {"mixed", "some of all of it", 0},
};
enum { CLASSES_N = sizeof classes / sizeof classes[0] };

static uint64_t state;
static unsigned below(unsigned n) {
    uint64_t x = state += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (unsigned)(((x ^ (x >> 31)) >> 32) * n >> 32);
}
static bool chance(unsigned percent) {
    return below(100) < percent;
}

static struct {
    char text[16384];
    size_t n;
} out;
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out.text + out.n, sizeof out.text - out.n, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof out.text - out.n) {
        abort();
    }
    out.n += (size_t)n;
}

/* The program being generated. */
static struct {
    unsigned may, threads, locations;
    int budget;         /* events left in this thread */
    unsigned registers; /* registers of this thread so far */
    unsigned next;      /* a value that is not stored yet */
    bool separated;     /* the next statement needs no separator */
    unsigned flags;     /* locations that are awaited: f0, ... */
    unsigned locks;
    unsigned words; /* number of futex words */
    unsigned thread;
} now;

static const char *location(void) {
    static const char *const names[] = {"x", "y", "z", "w"};
    return names[below(now.locations)];
}

static const char *load_order(void) {
    static const char *const weak[] = {"rlx", "acq"};
    return now.may & SC && chance(45) ? "sc" : weak[below(2)];
}
static const char *store_order(void) {
    static const char *const weak[] = {"rlx", "rel"};
    return now.may & SC && chance(45) ? "sc" : weak[below(2)];
}
static const char *rmw_order(void) {
    static const char *const weak[] = {"rlx", "acq", "rel", "ar"};
    return now.may & SC && chance(40) ? "sc" : weak[below(4)];
}

static void begin(void) {
    if (!now.separated) {
        say(" ; ");
    }
    now.separated = false;
}

static unsigned new_register(void) {
    return now.registers++;
}

/* A value to store: mostly a new one, otherwise a small or copied one. */
static void value(void) {
    if (now.may & VALUES && now.registers && chance(40)) {
        say("r%u", below(now.registers));
    } else if (chance(60)) {
        say("%u", ++now.next);
    } else {
        say("%u", below(3));
    }
}

static void statements(int budget, unsigned depth);

static void load(void) {
    begin();
    say("r%u = load %s ", new_register(), location());
    say("%s", load_order());
    now.budget--;
}

static void store(void) {
    begin();
    say("store %s ", location());
    value();
    say(" %s", store_order());
    now.budget--;
}

static void rmw(void) {
    begin();
    unsigned r = now.registers;
    say("r%u = %s %s ", r, chance(50) ? "add" : "xchg", location());
    value();
    say(" %s", rmw_order());
    now.registers++;
    now.budget--;
}

static void cas(void) {
    static const char *const failure[] = {"rlx", "acq", "sc"};
    begin();
    unsigned r = now.registers, n = now.may & SC ? 3 : 2;
    say("r%u = cas %s ", r, location());
    if (chance(60)) {
        say("%u ", below(2));
    } else {
        say("%u ", now.next ? 1 + below(now.next) : 0);
    }
    value();
    say(" %s", rmw_order());
    say(" %s", failure[below(n)]);
    now.registers++;
    now.budget--;
}

static void fence(void) {
    static const char *const weak[] = {"acq", "rel", "ar"};
    begin();
    say("fence %s", now.may & SC_FENCES && chance(65) ? "sc" : weak[below(3)]);
}

static void conditional(unsigned depth) {
    begin();
    int each = now.budget > 2 ? 2 : 1;
    say("if r%u %s %u { ", below(now.registers), chance(70) ? "=" : "!=", below(3));
    now.separated = true;
    unsigned registers = now.registers;
    int left = now.budget;
    statements(each, depth + 1);
    say(" }");
    if (chance(40)) {
        say(" else { ");
        now.separated = true;
        statements(1, depth + 1);
        say(" }");
    }
    now.budget = left - each;
    if (now.registers < registers) {
        abort();
    }
    now.separated = false;
}

static void sum(void) {
    begin();
    unsigned from = below(now.registers);
    say("r%u = r%u + %u", new_register(), from, 1 + below(3));
}

static void repeat(unsigned depth) {
    begin();
    unsigned times = 2 + below(2);
    if ((int)times > now.budget) {
        times = 2;
    }
    int left = now.budget - (int)times;
    say("repeat %u { ", times);
    now.separated = true;
    statements(1, depth + 1);
    if (chance(30) && now.registers && now.may & VALUES) {
        sum();
    }
    say(" }");
    now.separated = false;
    now.budget = left;
}

static void spin(void) {
    begin();
    unsigned times = 2 + below(2);
    say("r%u = spin %u %s = %u ", new_register(), times, location(), below(3));
    say("%s", load_order());
    now.budget -= (int)times;
}

static void block_of_lock(unsigned depth) {
    unsigned m = below(now.locks), n = 1 + below(2);
    begin();
    say("lock m%u", m);
    unsigned locks = now.locks;
    if (depth == 0 && m + 1 < locks && chance(20)) { /* a second lock, always in the same order */
        say(" ; lock m%u", m + 1);
        statements(1, 9);
        say(" ; unlock m%u", m + 1);
        now.budget -= 1;
    } else {
        int left = now.budget - (int)n;
        statements((int)n, 9);
        now.budget = left;
    }
    say(" ; unlock m%u", m);
    now.budget--;
}

static void trylock(void) {
    begin();
    unsigned r = new_register(), m = below(now.locks);
    say("r%u = trylock m%u ; if r%u = 1 { ", r, m, r);
    int left = now.budget - 2;
    now.separated = true;
    statements(1, 9);
    say(" ; unlock m%u }", m);
    now.separated = false;
    now.budget = left;
}

/* A flag takes few values, so that a failing exchange writes the value that it read. */
static void await(void) {
    begin();
    unsigned f = below(now.flags);
    switch (below(6)) {
    case 0:
    case 1:
        say("r%u = await f%u %s 1 ", new_register(), f, chance(80) ? "=" : "!=");
        say("%s", load_order());
        break;
    case 2:
        say("store f%u %u %s", f, below(2), store_order());
        break;
    case 3: /* a spin lock around something */
        say("r%u = await_xchg f%u 1 ", new_register(), f);
        say("%s = 0", rmw_order());
        if (now.budget > 1 && chance(60)) {
            statements(1, 9);
        }
        if (chance(90)) {
            say(" ; store f%u 0 %s", f, store_order());
        }
        now.budget--;
        break;
    case 4:
        say("await_cas f%u 0 1 %s %s", f, rmw_order(), load_order());
        if (now.budget > 1 && chance(60)) {
            statements(1, 9);
        }
        if (chance(90)) {
            say(" ; store f%u 0 %s", f, store_order());
        }
        now.budget--;
        break;
    default:
        say("store f%u 1 %s", f, store_order());
        break;
    }
    now.budget--;
}

static void wait_or_wake(void) {
    begin();
    unsigned x = below(now.words);
    switch (below(7)) {
    case 0:
    case 1:
        say("r%u = wait u%u %u", new_register(), x, below(2));
        break;
    case 2:
        say("r%u = wait_timed u%u %u", new_register(), x, below(2));
        break;
    case 3:
        say("store u%u %u %s", x, 1 + below(2), store_order());
        break;
    case 4:
        say("r%u = wake u%u %u", new_register(), x, 1 + below(2));
        break;
    default:
        say("store u%u 1 %s ; r%u = wake u%u %u", x, store_order(), new_register(), x,
            chance(60) ? 1 : 9);
        now.budget--;
    }
    now.budget--;
}

static void assume(void) {
    begin();
    say("assume r%u = %u", below(now.registers), below(3));
}

static void monitor(void) {
    unsigned m = below(now.locks);
    begin();
    if (chance(50)) {
        say("r%u = await fm%u = 1 rlx ; lock m%u ; unlock m%u", new_register(), m, m, m);
    } else {
        say("lock m%u", m);
        if (chance(50)) {
            statements(1, 9);
        }
        say(" ; store fm%u 1 rlx ; unlock m%u", m, m);
    }
    now.budget -= 2;
}

static void changing(void) {
    begin();
    switch (below(4)) {
    case 0:
    case 1:
        say("r%u = await_xchg f0 1 ", new_register());
        say("%s = 0", rmw_order());
        now.budget--;
        break;
    case 2:
        say("store f0 %u %s", 2 * below(2), store_order());
        break;
    default:
        say("r%u = add f0 %u %s", new_register(), 1 + below(2), rmw_order());
    }
    now.budget--;
}

/* A memory order, which each thread draws for itself: mostly the right one. */
static const char *mostly(const char *right) {
    static const char *const stores[] = {"rlx", "rel", "sc"}, *const loads[] = {"rlx", "acq", "sc"};
    if (chance(75)) {
        return right;
    }
    return strcmp(right, "acq") == 0 ? loads[below(3)] : stores[below(3)];
}

static void inside(void) {
    if (chance(50)) {
        say(" ; r5 = load x rlx ; r6 = r5 + 1 ; store x r6 rlx");
    } else if (chance(50)) {
        say(" ; store x %u rlx", ++now.next);
    }
}

static void idiom(unsigned which, unsigned of) {
    begin();
    switch (which) {
    case 0:
        say("r0 = add next 1 rlx ; r1 = await owner = r0 %s", mostly("acq"));
        inside();
        say(" ; r2 = r0 + 1 ; store owner r2 %s", mostly("rel"));
        break;
    case 1:
        say("r0 = await_xchg l 1 %s = 0", mostly("acq"));
        inside();
        say(" ; store l 0 %s", mostly("rel"));
        break;
    case 2: /* test, then take */
        say("r0 = await l = 0 rlx ; await_cas l 0 1 %s rlx", mostly("acq"));
        inside();
        say(" ; store l 0 %s", mostly("rel"));
        break;
    case 3: /* spin, then sleep once, then spin for good */
        say("r0 = spin %u l = 0 rlx ; r1 = xchg l 1 acq ; if r1 != 0 { r2 = wait l 1 ; r3 = "
            "await_xchg l 1 acq = 0 }",
            1 + below(2));
        inside();
        say(" ; store l 0 rel ; r4 = wake l 1");
        break;
    case 4: /* a barrier, with accesses on both sides */
        if (chance(50)) {
            say("store y %u rlx ; ", ++now.next);
        }
        say("r0 = add b 1 %s ; r1 = await b = %u %s", chance(75) ? "ar" : "rlx", of, mostly("acq"));
        if (chance(50)) {
            say(" ; r2 = load y rlx");
        }
        break;
    default: /* sleepers, and a thread that counts them */
        if (now.thread == 0) {
            say("r0 = await n = %u acq ; store e 1 %s ; r1 = wake e %u", of - 1, mostly("rel"),
                1 + below(of));
        } else {
            say("r0 = add n 1 rel ; r1 = %s e 0 ; r2 = load e %s",
                chance(60) ? "wait" : "wait_timed", mostly("acq"));
        }
    }
}

/* One of the statements that may occur. depth 9: a simple one, inside a block. */
static void statement(unsigned depth) {
    unsigned kind = 0;
    for (;;) {
        kind = below(14);
        switch (kind) {
        case 0:
        case 1:
            load();
            if (now.may & ASSUME && chance(30)) {
                assume();
            }
            if (now.may & VALUES && depth == 0 && now.budget > 0 && chance(25)) {
                conditional(depth);
            }
            return;
        case 2:
        case 3:
            store();
            return;
        case 4:
            if (!(now.may & RMW)) {
                break;
            }
            rmw();
            return;
        case 5:
            if (!(now.may & CAS)) {
                break;
            }
            cas();
            return;
        case 6:
            if (!(now.may & (FENCES | SC_FENCES)) || depth == 9) {
                break;
            }
            fence();
            return;
        case 7:
            if (!(now.may & VALUES) || !now.registers) {
                break;
            }
            if (depth < 2 && chance(65)) {
                conditional(depth);
            } else {
                sum();
            }
            return;
        case 8:
            if (!(now.may & REPEAT) || depth || now.budget < 2) {
                break;
            }
            repeat(depth);
            return;
        case 9:
            if (!(now.may & SPIN) || depth || now.budget < 2) {
                break;
            }
            spin();
            return;
        case 10:
            if (!(now.may & AWAIT) || depth > 1) {
                break;
            }
            await();
            return;
        case 11:
            if (!(now.may & LOCK) || depth > 1) {
                break;
            }
            if (chance(70)) {
                block_of_lock(depth);
            } else {
                trylock();
            }
            return;
        case 12:
            if (!(now.may & WAIT) || depth > 1) {
                break;
            }
            wait_or_wake();
            return;
        default:
            if (!(now.may & ASSUME) || !now.registers || !chance(60)) {
                break;
            }
            assume();
            return;
        }
    }
}

static void statements(int budget, unsigned depth) {
    now.budget = budget;
    for (bool first = true; first || now.budget > 0; first = false) {
        statement(depth);
    }
}

/* Puts the kind of statement that the class is named for first in some threads, so that it does
 * occur. */
static void characteristic(void) {
    if (now.may & CHANGING && chance(80)) {
        changing();
    } else if (now.may & MONITOR && chance(80)) {
        monitor();
    } else if (now.may & LOCK && chance(45)) {
        block_of_lock(0);
    } else if (now.may & AWAIT && chance(60)) {
        await();
    } else if (now.may & WAIT && chance(70)) {
        wait_or_wake();
    } else if (now.may & REPEAT && chance(40)) {
        repeat(0);
    } else if (now.may & SPIN && chance(40)) {
        spin();
    }
}

static void program(const struct class *c, uint64_t seed) {
    state = seed * UINT64_C(0xD1342543DE82EF95) + (uint64_t)(c - classes) * 7919 + 1;
    below(2);
    out.n = 0;
    memset(&now, 0, sizeof now);
    now.may = c->may;
    if (!c->may) { /* the class "mixed" */
        now.may = RELAXED;
        for (unsigned i = 1; i < 13; i++) {
            if (chance(30)) {
                now.may |= 1u << i;
            }
        }
    }
    static const unsigned per[] = {0, 0, 5, 4, 2, 2, 1, 1};
    unsigned n = now.may & MANY ? 5 + below(3) : 2 + below(10) / 4;
    if (now.may & IDIOM && n == 4 && chance(70)) {
        n = 3;
    }
    now.locations = 1 + below(n > 4 ? 2 : 3);
    now.flags = 1 + below(2);
    now.locks = 1 + below(2);
    now.words = 1 + below(4) / 3;
    now.threads = n;
    unsigned which = below(6);
    if (which == 3 && n == 4) {
        which = 0; /* four threads that spin, sleep and spin are too many for the judge */
    }
    say("name %s-%llu\n", c->name, (unsigned long long)seed);
    if (chance(20)) {
        say("init x=%u\n", 1 + below(2));
    }
    for (unsigned t = 0; t < n; t++) {
        now.thread = t;
        now.registers = 0;
        now.separated = true;
        say("T%u: ", t);
        unsigned budget = per[n] > 2 ? 1 + below(per[n]) : per[n] == 2 ? 1 + below(3) : 1;
        if (now.may & (AWAIT | LOCK | WAIT | CHANGING) && chance(50)) {
            budget += 2; /* the judge finishes larger ones of these */
        }
        if (n >= 5) {
            budget = t < 2 ? 1 + below(2) : 1;
        }
        if (now.may & IDIOM) {
            idiom(which, n);
            say("\n");
            continue;
        }
        now.budget = (int)budget;
        characteristic();
        if (now.budget > 0 || now.separated) {
            statements(now.budget, 0);
        }
        say("\n");
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--classes") == 0) {
        for (unsigned i = 0; i < CLASSES_N; i++) {
            printf("%s\t%s\n", classes[i].name, classes[i].what);
        }
        return 0;
    }
    if (argc == 4) {
        for (unsigned i = 0; i < CLASSES_N; i++) {
            if (strcmp(classes[i].name, argv[1]) == 0) {
                uint64_t seed = strtoull(argv[2], NULL, 10), n = strtoull(argv[3], NULL, 10);
                for (uint64_t k = 0; k < n; k++) {
                    program(&classes[i], seed + k);
                    printf("%s%s", k ? "---\n" : "", out.text);
                }
                return fflush(stdout) || ferror(stdout) ? 2 : 0;
            }
        }
    }
    fprintf(stderr, "usage: generate CLASS SEED COUNT | generate --classes\n");
    return 2;
}
