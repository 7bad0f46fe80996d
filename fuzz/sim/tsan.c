/* tsan.c: the entry points that gcc and clang emit under -fsanitize=thread, for C and for C++'s
 * atomics. Inside a run they call the engine; outside they access memory directly, with seq_cst
 * atomics. */
#include "posix.h"
#include "sites.h"

#include <string.h>

#define PC ((uintptr_t)__builtin_return_address(0))
#define ENTRY(name) __tsan_##name
#define ADDRESS(p) ((uintptr_t)(p))

/* A compiler may push a register only to align the stack. If the engine left values in such
 * registers, equal states of the program would look different (stall.c, search_loops.c). */
#if defined(__has_attribute) && __has_attribute(zero_call_used_regs)
#define LEAVES_NOTHING __attribute__((zero_call_used_regs("used-gpr")))
#else
#define LEAVES_NOTHING
#endif

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_begin(void) {}
void __tsan_ignore_thread_end(void);
void __tsan_ignore_thread_end(void) {}

/* ---- Calls, for the stacks in reports -------------------------------------------------------- */

LEAVES_NOTHING void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller) {
    if (!S.active) {
        return;
    }
    struct thread *t = S.now;
    uint32_t child = S.frames[t->frame].last_child;
    if (unlikely(!child || S.frames[child].pc != ADDRESS(caller))) {
        if (S.frames_n >= FRAMES_MAX) {
            stop_bound(SIM_BOUND_MEMORY);
        }
        child = S.frames_n++;
        S.frames[child] = (struct frame){.parent = t->frame, .pc = ADDRESS(caller)};
        S.frames[t->frame].last_child = child;
    }
    t->frame = child;
}

LEAVES_NOTHING void __tsan_func_exit(void);
void __tsan_func_exit(void) {
    if (S.active) {
        S.now->frame = S.frames[S.now->frame].parent;
    }
}

/* The order of an access: as written, or as the advisor overrides it. */
#define ORDER(kind, p) (unlikely(S.sites) ? site_order(kind, order, PC, ADDRESS(p)) : order)
#define FAILURE(p) \
    (unlikely(S.sites) ? site_order(SITE_CAS_FAILS, failure, PC, ADDRESS(p)) : failure)

/* ---- Plain accesses -------------------------------------------------------------------------- */

/* A loop of plain accesses has no scheduling point. After QUIET_MAX accesses without a step it
 * yields, so that the thread it waits for can run and the race is found. If that does not help, the
 * driver's timer sets S.watch, and the loop is reported with the variable that it accesses. */
enum { QUIET_MAX = 1 << 16 };

static void give_way(uintptr_t at, size_t n, bool write, uintptr_t pc) {
    enum { WRITES_MAX = 1000 }; /* what a loop reads says more than what it writes */
    if (S.watch && (!write || S.watch++ > WRITES_MAX)) {
        char stack[500];
        describe_stack(stack, sizeof stack, pc, S.now->frame);
        found("endless-loop", "T%u %s %zu bytes at %p again and again, and does nothing else%s",
              S.now->id, write ? "writes" : "reads", n, (void *)at, stack);
    }
    if (S.exploring) {
        return; /* the search schedules threads itself */
    }
    S.now->dull = S.o.stale_max;
    sim_yield();
    S.quiet_turns++;
}

static inline void plain(uintptr_t at, size_t n, bool write, uintptr_t pc) {
    access_plain(at, n, write, pc);
    if (unlikely(S.sites)) {
        site_plain(write, at);
    }
    if (unlikely(++S.quiet >= QUIET_MAX || S.watch)) {
        if (S.quiet_step == S.steps) {
            give_way(at, n, write, pc);
        }
        S.quiet = 0;
        S.quiet_step = S.steps;
    }
}

void access_of_user(uintptr_t at, size_t n, bool write, uintptr_t pc) {
    plain(at, n, write, pc);
}

/* Sites of volatile accesses, for a hint in race reports. */
enum { VOLATILES_MAX = 1024 };
static uintptr_t volatiles[VOLATILES_MAX];

bool is_volatile_access(uintptr_t pc) {
    return volatiles[pc % VOLATILES_MAX] == pc;
}

#define PLAIN(name, n, write)                 \
    LEAVES_NOTHING void ENTRY(name)(void *p); \
    void ENTRY(name)(void *p) {               \
        if (S.active)                         \
            plain(ADDRESS(p), n, write, PC);  \
    }
#define VOLATILE(name, n, write)              \
    LEAVES_NOTHING void ENTRY(name)(void *p); \
    void ENTRY(name)(void *p) {               \
        if (!S.active)                        \
            return;                           \
        volatiles[PC % VOLATILES_MAX] = PC;   \
        plain(ADDRESS(p), n, write, PC);      \
    }
#define VOLATILE_SIZES(prefix, write) \
    VOLATILE(prefix##1, 1, write)     \
    VOLATILE(prefix##2, 2, write)     \
    VOLATILE(prefix##4, 4, write) VOLATILE(prefix##8, 8, write) VOLATILE(prefix##16, 16, write)
#define PLAIN_SIZES(prefix, write) \
    PLAIN(prefix##1, 1, write)     \
    PLAIN(prefix##2, 2, write)     \
    PLAIN(prefix##4, 4, write) PLAIN(prefix##8, 8, write) PLAIN(prefix##16, 16, write)
PLAIN_SIZES(read, false)
PLAIN_SIZES(write, true)
PLAIN_SIZES(unaligned_read, false)
PLAIN_SIZES(unaligned_write, true)
VOLATILE_SIZES(volatile_read, false)
VOLATILE_SIZES(volatile_write, true)
VOLATILE_SIZES(unaligned_volatile_read, false)
VOLATILE_SIZES(unaligned_volatile_write, true)

#define READ_WRITE(name, n)                   \
    LEAVES_NOTHING void ENTRY(name)(void *p); \
    void ENTRY(name)(void *p) {               \
        if (!S.active)                        \
            return;                           \
        plain(ADDRESS(p), n, false, PC);      \
        plain(ADDRESS(p), n, true, PC);       \
    }
READ_WRITE(read_write1, 1)
READ_WRITE(read_write2, 2)
READ_WRITE(read_write4, 4)
READ_WRITE(read_write8, 8)
READ_WRITE(read_write16, 16)
READ_WRITE(unaligned_read_write1, 1)
READ_WRITE(unaligned_read_write2, 2)
READ_WRITE(unaligned_read_write4, 4)
READ_WRITE(unaligned_read_write8, 8)
READ_WRITE(unaligned_read_write16, 16)

#define PLAIN_PC(name, n, write)                        \
    LEAVES_NOTHING void ENTRY(name)(void *p, void *pc); \
    void ENTRY(name)(void *p, void *pc) {               \
        if (S.active)                                   \
            plain(ADDRESS(p), n, write, ADDRESS(pc));   \
    }
PLAIN_PC(read1_pc, 1, false)
PLAIN_PC(read2_pc, 2, false)
PLAIN_PC(read4_pc, 4, false)
PLAIN_PC(read8_pc, 8, false)
PLAIN_PC(read16_pc, 16, false)
PLAIN_PC(write1_pc, 1, true)
PLAIN_PC(write2_pc, 2, true)
PLAIN_PC(write4_pc, 4, true)
PLAIN_PC(write8_pc, 8, true)
PLAIN_PC(write16_pc, 16, true)

void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n) {
    if (S.active) {
        plain(ADDRESS(p), n, false, PC);
    }
}
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n) {
    if (S.active) {
        plain(ADDRESS(p), n, true, PC);
    }
}

void __tsan_vptr_read(void **p);
void __tsan_vptr_read(void **p) {
    if (S.active) {
        plain(ADDRESS(p), sizeof *p, false, PC);
    }
}
void __tsan_vptr_update(void **p, void *value);
void __tsan_vptr_update(void **p, void *value) {
    if (S.active) {
        plain(ADDRESS(p), sizeof *p, *p != value, PC);
    }
}

void *__tsan_memcpy(void *to, const void *from, size_t n);
void *__tsan_memcpy(void *to, const void *from, size_t n) {
    if (S.active) {
        plain(ADDRESS(from), n, false, PC);
        plain(ADDRESS(to), n, true, PC);
    }
    return memmove(to, from, n);
}
void *__tsan_memmove(void *to, const void *from, size_t n);
void *__tsan_memmove(void *to, const void *from, size_t n) {
    if (S.active) {
        plain(ADDRESS(from), n, false, PC);
        plain(ADDRESS(to), n, true, PC);
    }
    return memmove(to, from, n);
}
void *__tsan_memset(void *to, int byte, size_t n);
void *__tsan_memset(void *to, int byte, size_t n) {
    if (S.active) {
        plain(ADDRESS(to), n, true, PC);
    }
    return memset(to, byte, n);
}

/* ---- Atomics of 8 to 64 bits ----------------------------------------------------------------- */

/* Callers of the _val form compare the returned value with the expected one, so a spurious failure
 * must return another value: the latest different value that the location held, or else the
 * complement. (Only with sim_options.cas_weak. If a program does more with that value than retry,
 * what follows proves nothing.) */
static uint64_t another_value(uintptr_t at, unsigned size, uint64_t value) {
    for (uint32_t x = S.exploring ? 0 : cell_at(at)->atoms; x; x = S.atoms[x].next) {
        if (S.atoms[x].at == at && S.atoms[x].size == size) {
            for (uint32_t m = S.atoms[x].last; m; m = S.msgs[m].prev) {
                if (S.msgs[m].value != value) {
                    return S.msgs[m].value;
                }
            }
        }
    }
    return ~value;
}

/* ---- The state of a thread at a call ------------------------------------------------------------
 *
 * The search and the livelock detection need to know whether a loop has come round in the same
 * state. So atomics are entered through a few instructions that record the stack pointer and the
 * registers that calls preserve, and then jump to the C function, `seen_...`. */
struct sim_entry sim_entry;
uint8_t sim_watch;

#if defined(__x86_64__)
#define ENTRY_THROUGH(name, seen)                                                \
    __asm__(".text\n.globl " name "\n.type " name ",@function\n" name ":\n"      \
            "  cmpb $0, sim_watch(%rip)\n  je " seen "\n"                        \
            "  movq %rsp, sim_entry(%rip)\n  movq %rbx, sim_entry+8(%rip)\n"     \
            "  movq %rbp, sim_entry+16(%rip)\n  movq %r12, sim_entry+24(%rip)\n" \
            "  movq %r13, sim_entry+32(%rip)\n  movq %r14, sim_entry+40(%rip)\n" \
            "  movq %r15, sim_entry+48(%rip)\n  jmp " seen "\n.size " name ",.-" name "\n")
#elif defined(__aarch64__)
#define ENTRY_THROUGH(name, seen)                                                        \
    __asm__(".text\n.globl " name "\n.type " name ",%function\n" name ":\n"              \
            "  adrp x16, sim_watch\n  ldrb w16, [x16, :lo12:sim_watch]\n  cbz w16, 1f\n" \
            "  adrp x16, sim_entry\n  add x16, x16, :lo12:sim_entry\n  mov x17, sp\n"    \
            "  str x17, [x16]\n  stp x19, x20, [x16, #8]\n  stp x21, x22, [x16, #24]\n"  \
            "  stp x23, x24, [x16, #40]\n  stp x25, x26, [x16, #56]\n"                   \
            "  stp x27, x28, [x16, #72]\n  stp x29, x30, [x16, #88]\n"                   \
            "  stp d8, d9, [x16, #104]\n  stp d10, d11, [x16, #120]\n"                   \
            "  stp d12, d13, [x16, #136]\n  stp d14, d15, [x16, #152]\n"                 \
            "1: b " seen "\n.size " name ",.-" name "\n")
#endif
#define HIDDEN __attribute__((visibility("hidden"), used))

#define RMW(bits, T, name, op, real)                                                \
    HIDDEN T seen_##bits##_##name(volatile T *p, T v, int order);                   \
    ENTRY_THROUGH("__tsan_atomic" #bits "_" #name, "seen_" #bits "_" #name);        \
    T seen_##bits##_##name(volatile T *p, T v, int order) {                         \
        if (unlikely(!S.active))                                                    \
            return real(p, v, __ATOMIC_SEQ_CST);                                    \
        return (T)atomic_rmw(ADDRESS(p), sizeof(T), op, v, ORDER(SITE_RMW, p), PC); \
    }
#define CAS(bits, T, name, weak)                                                                  \
    HIDDEN int seen_##bits##_cas_##name(volatile T *p, T *expected, T v, int order, int failure); \
    ENTRY_THROUGH("__tsan_atomic" #bits "_compare_exchange_" #name, "seen_" #bits "_cas_" #name); \
    int seen_##bits##_cas_##name(volatile T *p, T *expected, T v, int order, int failure) {       \
        if (unlikely(!S.active))                                                                  \
            return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST,           \
                                               __ATOMIC_SEQ_CST);                                 \
        bool failed;                                                                              \
        T old = (T)atomic_cas(ADDRESS(p), sizeof(T), *expected, v, weak, ORDER(SITE_CAS, p),      \
                              FAILURE(p), &failed, PC);                                           \
        if (failed)                                                                               \
            *expected = old;                                                                      \
        return !failed;                                                                           \
    }
#define ATOMICS(bits, T)                                                                       \
    HIDDEN T seen_##bits##_load(const volatile T *p, int order);                               \
    ENTRY_THROUGH("__tsan_atomic" #bits "_load", "seen_" #bits "_load");                       \
    T seen_##bits##_load(const volatile T *p, int order) {                                     \
        if (unlikely(!S.active))                                                               \
            return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                       \
        return (T)load_atomic(ADDRESS(p), sizeof(T), ORDER(SITE_LOAD, p), PC);                 \
    }                                                                                          \
    HIDDEN LEAVES_NOTHING void seen_##bits##_store(volatile T *p, T v, int order);             \
    ENTRY_THROUGH("__tsan_atomic" #bits "_store", "seen_" #bits "_store");                     \
    void seen_##bits##_store(volatile T *p, T v, int order) {                                  \
        if (unlikely(!S.active))                                                               \
            __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                          \
        else                                                                                   \
            store_atomic(ADDRESS(p), sizeof(T), v, ORDER(SITE_STORE, p), PC);                  \
    }                                                                                          \
    RMW(bits, T, exchange, SIM_XCHG, __atomic_exchange_n)                                      \
    RMW(bits, T, fetch_add, SIM_ADD, __atomic_fetch_add)                                       \
    RMW(bits, T, fetch_sub, SIM_SUB, __atomic_fetch_sub)                                       \
    RMW(bits, T, fetch_and, SIM_AND, __atomic_fetch_and)                                       \
    RMW(bits, T, fetch_or, SIM_OR, __atomic_fetch_or)                                          \
    RMW(bits, T, fetch_xor, SIM_XOR, __atomic_fetch_xor)                                       \
    RMW(bits, T, fetch_nand, SIM_NAND, __atomic_fetch_nand)                                    \
    CAS(bits, T, strong, false)                                                                \
    CAS(bits, T, weak, true)                                                                   \
    HIDDEN T seen_##bits##_cas_val(volatile T *p, T expected, T v, int order, int failure);    \
    ENTRY_THROUGH("__tsan_atomic" #bits "_compare_exchange_val", "seen_" #bits "_cas_val");    \
    T seen_##bits##_cas_val(volatile T *p, T expected, T v, int order, int failure) {          \
        if (unlikely(!S.active)) {                                                             \
            __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST,              \
                                        __ATOMIC_SEQ_CST);                                     \
            return expected;                                                                   \
        }                                                                                      \
        bool failed;                                                                           \
        T old = (T)atomic_cas(ADDRESS(p), sizeof(T), expected, v, false, ORDER(SITE_CAS, p),   \
                              FAILURE(p), &failed, PC);                                        \
        return failed && old == expected ? (T)another_value(ADDRESS(p), sizeof(T), old) : old; \
    }
/* A weak compare-exchange, which explore_build.py keeps apart from strong ones. Returns LLVM's {
 * iN, i1 } in two registers. */
struct weak_cas {
    uint64_t old, done;
};
#define WEAK_CAS(bits, T)                                                                       \
    HIDDEN struct weak_cas seen_##bits##_weak_cas(volatile T *p, T expected, T v, int order,    \
                                                  int failure);                                 \
    ENTRY_THROUGH("sim_weak_cas" #bits, "seen_" #bits "_weak_cas");                             \
    struct weak_cas seen_##bits##_weak_cas(volatile T *p, T expected, T v, int order,           \
                                           int failure) {                                       \
        if (unlikely(!S.active)) {                                                              \
            bool done = __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST,   \
                                                    __ATOMIC_SEQ_CST);                          \
            return (struct weak_cas){expected, done};                                           \
        }                                                                                       \
        bool failed;                                                                            \
        uint64_t old = atomic_cas(ADDRESS(p), sizeof(T), expected, v, true, ORDER(SITE_CAS, p), \
                                  FAILURE(p), &failed, PC);                                     \
        return (struct weak_cas){old, !failed};                                                 \
    }
WEAK_CAS(8, uint8_t)
WEAK_CAS(16, uint16_t)
WEAK_CAS(32, uint32_t)
WEAK_CAS(64, uint64_t)

ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) {
    if (S.active) {
        atomic_fence(ORDER(SITE_FENCE, NULL), PC);
    } else {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
}
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) {
    (void)order;
} /* orders a thread only with its own signal handlers: no effect here */

/* ---- 128 bits: the newest value, in one order, as if under a lock ---------------------------- */

__extension__ typedef unsigned __int128 wide;

static struct object *wide_begin(const volatile wide *p, bool write, uintptr_t pc) {
    if (ADDRESS(p) & 15) {
        found("misaligned-atomic", "an atomic access of 16 bytes at %p\n  @%lx",
              (const void *)ADDRESS(p), (unsigned long)pc);
    }
    struct object *o = object_at(p, OBJECT_WIDE);
    step(p);
    S.mixed++;
    S.bounds |= SIM_BOUND_WIDE;
    for (unsigned i = 0; i < 16; i += 8) {
        struct cell *c = access_atomic(ADDRESS(p) + i, 8, write, pc);
        if (write) {
            overwrite_atoms(c, 0xff, S.now, pc);
        }
    }
    acquire(o->released);
    return o;
}

static void wide_end(struct object *o, const volatile wide *p, unsigned kind, wide old, wide new,
                     bool failed, uintptr_t pc) {
    release(&o->released);
    if (S.tracing) {
        trace_add((struct line){.kind = (uint8_t)kind,
                                .at = ADDRESS(p),
                                .size = 16,
                                .order = __ATOMIC_SEQ_CST,
                                .pc = pc,
                                .thread = S.now->id,
                                .value = (uint64_t)old,
                                .wrote = (uint64_t) new,
                                .failed = failed});
    }
}

#define WIDE(name, result)                                               \
    wide ENTRY(atomic128_##name)(volatile wide * p, wide v, int order);  \
    wide ENTRY(atomic128_##name)(volatile wide * p, wide v, int order) { \
        (void)order;                                                     \
        wide old = *p;                                                   \
        if (!S.active) {                                                 \
            *p = result;                                                 \
            return old;                                                  \
        }                                                                \
        struct object *o = wide_begin(p, true, PC);                      \
        old = *p;                                                        \
        *p = result;                                                     \
        wide_end(o, p, LINE_RMW, old, *p, false, PC);                    \
        return old;                                                      \
    }
WIDE(exchange, v)
WIDE(fetch_add, old + v)
WIDE(fetch_sub, old - v)
WIDE(fetch_and, old &v)
WIDE(fetch_or, old | v)
WIDE(fetch_xor, old ^ v)
WIDE(fetch_nand, ~(old &v))
wide __tsan_atomic128_load(const volatile wide *p, int order);
wide __tsan_atomic128_load(const volatile wide *p, int order) {
    (void)order;
    if (!S.active) {
        return *p;
    }
    struct object *o = wide_begin(p, false, PC);
    wide value = *p;
    wide_end(o, p, LINE_LOAD, value, 0, false, PC);
    return value;
}
void __tsan_atomic128_store(volatile wide *p, wide v, int order);
void __tsan_atomic128_store(volatile wide *p, wide v, int order) {
    (void)order;
    if (!S.active) {
        *p = v;
        return;
    }
    struct object *o = wide_begin(p, true, PC);
    *p = v;
    wide_end(o, p, LINE_STORE, 0, v, false, PC);
}

static wide wide_cas(volatile wide *p, wide expected, wide v, uintptr_t pc) {
    if (!S.active) {
        wide old = *p;
        *p = old == expected ? v : old;
        return old;
    }
    struct object *o = wide_begin(p, true, pc);
    wide old = *p;
    if (old == expected) {
        *p = v;
    }
    wide_end(o, p, LINE_CAS, old, v, old != expected, pc);
    return old;
}
#define WIDE_CAS(name)                                                                           \
    int ENTRY(atomic128_compare_exchange_##name)(volatile wide * p, wide * e, wide v, int order, \
                                                 int failure);                                   \
    int ENTRY(atomic128_compare_exchange_##name)(volatile wide * p, wide * e, wide v, int order, \
                                                 int failure) {                                  \
        (void)order;                                                                             \
        (void)failure;                                                                           \
        wide old = wide_cas(p, *e, v, PC);                                                       \
        bool done = old == *e;                                                                   \
        *e = old;                                                                                \
        return done;                                                                             \
    }
WIDE_CAS(strong)
WIDE_CAS(weak)
wide __tsan_atomic128_compare_exchange_val(volatile wide *p, wide e, wide v, int order,
                                           int failure);
wide __tsan_atomic128_compare_exchange_val(volatile wide *p, wide e, wide v, int order,
                                           int failure) {
    (void)order;
    (void)failure;
    return wide_cas(p, e, v, PC);
}

/* ---- Atomics as functions, for interpreters and layers --------------------------------------- */

HIDDEN uint64_t seen_atomic_load(const volatile void *at, unsigned size, int order);
ENTRY_THROUGH("sim_atomic_load", "seen_atomic_load");
uint64_t seen_atomic_load(const volatile void *at, unsigned size, int order) {
    return load_atomic(ADDRESS(at), size, order, PC);
}
void sim_atomic_store(volatile void *at, unsigned size, uint64_t value, int order) {
    store_atomic(ADDRESS(at), size, value, order, PC);
}
HIDDEN uint64_t seen_atomic_rmw(volatile void *at, unsigned size, enum sim_rmw op, uint64_t operand,
                                int order);
ENTRY_THROUGH("sim_atomic_rmw", "seen_atomic_rmw");
uint64_t seen_atomic_rmw(volatile void *at, unsigned size, enum sim_rmw op, uint64_t operand,
                         int order) {
    return atomic_rmw(ADDRESS(at), size, op, operand, order, PC);
}
HIDDEN uint64_t seen_atomic_cas(volatile void *at, unsigned size, uint64_t expected,
                                uint64_t desired, bool weak, int order, int failure_order,
                                bool *failed);
ENTRY_THROUGH("sim_atomic_cas", "seen_atomic_cas");
uint64_t seen_atomic_cas(volatile void *at, unsigned size, uint64_t expected, uint64_t desired,
                         bool weak, int order, int failure_order, bool *failed) {
    return atomic_cas(ADDRESS(at), size, expected, desired, weak, order, failure_order, failed, PC);
}
void sim_atomic_fence(int order) {
    atomic_fence(order, PC);
}
