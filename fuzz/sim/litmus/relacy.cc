// Litmus texts under Relacy, an independent implementation of the C++11 memory model: prints the
// final states that its random scheduler reaches, `name<TAB>state` a line. scripts/litmus.py
// --relacy compares: what Relacy reaches, the engine must reach. Texts with statements or more
// threads than it can run are left out, told by a line `name<TAB>`.
//     build/litmus-relacy [--runs N] file.litmus...
extern "C" {
#include "../litmus_text.h"
}

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <relacy/relacy.hpp> // last, because it redefines keywords

static lt_program program;
// No allocation inside a simulated run: Relacy would take it for the program's.
enum { STATES_MAX = 4096 };
static char states[STATES_MAX][512];
static unsigned states_n;

static rl::memory_order order_of(int order) {
    switch (order) {
    case __ATOMIC_RELAXED:
        return rl::mo_relaxed;
    case __ATOMIC_ACQUIRE:
        return rl::mo_acquire;
    case __ATOMIC_RELEASE:
        return rl::mo_release;
    case __ATOMIC_ACQ_REL:
        return rl::mo_acq_rel;
    default:
        return rl::mo_seq_cst;
    }
}

enum { THREADS_MAX = 4 };

// Relacy has no awaits, locks, queues of sleepers or assumptions.
static bool is_known() {
    for (unsigned k = 0; k < program.threads_n; k++) {
        const lt_thread &t = program.threads[k];
        for (unsigned i = 0; i < t.statements_n; i++)
            if (t.statements[i].kind >= LT_AWAIT && t.statements[i].kind != LT_SPIN)
                return false;
    }
    return program.threads_n <= THREADS_MAX;
}

template <int threads> struct test : rl::test_suite<test<threads>, threads> {
    rl::atomic<unsigned> memory[LT_LOCATIONS];

    void before() {
        for (unsigned i = 0; i < program.locations_n; i++)
            memory[i].store(program.initial[i], rl::mo_relaxed, $);
    }
    void thread(unsigned index) {
        lt_thread &t = program.threads[index];
        unsigned counters[LT_NESTING] = {};
        std::memset(t.r, 0, sizeof t.r);
        for (unsigned i = 0; i < t.statements_n; i++) {
            const lt_statement &s = t.statements[i];
            rl::memory_order mo = order_of(s.order);
            unsigned v = s.value.is_register ? t.r[s.value.number] : s.value.number;
            unsigned e = s.expected.is_register ? t.r[s.expected.number] : s.expected.number;
            switch (s.kind) {
            case LT_STORE:
                memory[s.location].store(v, mo, $);
                break;
            case LT_LOAD:
                t.r[s.target] = memory[s.location].load(mo, $);
                break;
            case LT_ADD:
                t.r[s.target] = memory[s.location].fetch_add(v, mo, $);
                break;
            case LT_XCHG:
                t.r[s.target] = memory[s.location].exchange(v, mo, $);
                break;
            case LT_CAS:
                memory[s.location].compare_exchange_strong(e, v, mo, $, order_of(s.failure_order),
                                                           $);
                t.r[s.target] = e;
                break;
            case LT_FENCE:
                rl::atomic_thread_fence(mo, $);
                break;
            case LT_SET:
                t.r[s.target] = v + e;
                break;
            case LT_IF_EQUAL:
            case LT_IF_DIFFER:
                i = (v == e) == (s.kind == LT_IF_EQUAL) ? i : s.jump - 1u;
                break;
            case LT_JUMP:
                i = s.jump - 1u;
                break;
            case LT_REPEAT:
                counters[s.counter] = s.count;
                break;
            case LT_REPEAT_END:
                i = --counters[s.counter] ? s.jump - 1u : i;
                break;
            case LT_SPIN:
                t.r[s.target] = 0;
                for (unsigned n = 0; n < s.count && !t.r[s.target]; n++)
                    t.r[s.target] = memory[s.location].load(mo, $) == v;
                break;
            default:
                break; // is_known()
            }
        }
    }
    void after() {
        for (unsigned i = 0; i < program.locations_n; i++)
            program.memory[i] = memory[i].load(rl::mo_relaxed, $);
        if (states_n == STATES_MAX)
            return;
        lt_state(&program, states[states_n], sizeof states[0]);
        for (unsigned i = 0; i < states_n; i++)
            if (!std::strcmp(states[i], states[states_n]))
                return;
        states_n++;
    }
};

template <int threads> static bool run(unsigned long runs) {
    std::ostringstream quiet;
    rl::test_params p;
    p.search_type = rl::random_scheduler_type;
    p.iteration_count = runs;
    p.output_stream = &quiet;
    p.progress_stream = &quiet;
    if (rl::simulate<test<threads>>(p))
        return true;
    std::fprintf(stderr, "litmus-relacy: %s: %s\n", program.name, quiet.str().c_str());
    return false;
}

/* Relacy cannot run loops that wait, locks and the like: such a text is left out. */
static bool known() {
    for (unsigned t = 0; t < program.threads_n; t++)
        for (unsigned i = 0; i < program.threads[t].statements_n; i++)
            if (program.threads[t].statements[i].kind > LT_FENCE)
                return false;
    return true;
}

int main(int argc, char **argv) {
    unsigned long runs = 20000;
    for (int i = 1; i < argc; i++) {
        if (!std::strcmp(argv[i], "--runs") && i + 1 < argc) {
            runs = std::strtoul(argv[++i], nullptr, 0);
            continue;
        }
        std::ifstream file(argv[i]);
        std::stringstream text;
        text << file.rdbuf();
        char error[512];
        if (!file || !lt_parse(&program, text.str().c_str(), argv[i], error, sizeof error)) {
            std::fprintf(stderr, "litmus-relacy: %s\n", file ? error : argv[i]);
            return 2;
        }
        if (!known()) {
            std::fprintf(stderr, "litmus-relacy: %s left out: a statement that Relacy lacks\n",
                         program.name);
            continue;
        }
        states_n = 0;
        if (!is_known()) {
            std::printf("%s\t\n", program.name);
            continue;
        }
        bool ok = program.threads_n == 1   ? run<1>(runs)
                  : program.threads_n == 2 ? run<2>(runs)
                  : program.threads_n == 3 ? run<3>(runs)
                                           : run<THREADS_MAX>(runs);
        if (!ok)
            return 1;
        for (unsigned k = 0; k < states_n; k++)
            std::printf("%s\t%s\n", program.name, states[k]);
    }
}
