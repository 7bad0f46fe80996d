/* stall.c: livelock detection. When a run has made no progress for long, all threads take turns and
 * read the newest values (run.c), and this file watches for anything that has not occurred before:
 * the state of a thread (its registers and stack), a value of an atomic or of plain memory. A loop
 * that counts has a new state in every round. If nothing new occurs, all threads only repeat
 * themselves: a livelock. */
#include "internal.h"

#include <string.h>
#include <unwind.h>

enum { SEEN = 1 << 15, SEEN_MAX = SEEN / 2, WRITTEN_MAX = 32 };

static uint64_t seen[SEEN];
static uint32_t seen_run[SEEN], seen_now, seen_n;
static uintptr_t written[WRITTEN_MAX]; /* cells of plain memory about to change */
static uint32_t written_n;

static inline uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

/* If there is no room, everything counts as new. */
static void see(uint64_t what) {
    uint32_t i = (uint32_t)(what >> 32) % SEEN;
    for (; seen_run[i] == seen_now; i = (i + 1) % SEEN) {
        if (seen[i] == what) {
            return;
        }
    }
    S.novel = S.steps;
    if (seen_n < SEEN_MAX) {
        seen_run[i] = seen_now;
        seen[i] = what;
        seen_n++;
    }
}

/* A hash of the registers that a call preserves and of the stack above sp. */
__attribute__((no_sanitize("address"))) static uint64_t state_of(const struct thread *t,
                                                                 uintptr_t sp) {
    uint64_t h = mix(t->id + 1u, t->pending.pc ^ t->call);
    for (unsigned i = 0; i < SIM_ENTRY_REGISTERS; i++) {
        h = mix(h, sim_entry.registers[i]);
    }
    const uint64_t *top = (const uint64_t *)(uintptr_t)(t->stack + S.stack_size);
    for (const uint64_t *p = (const uint64_t *)sp; p < top; p++) {
        h = mix(h, *p);
    }
    return h;
}

void stall_begin(void) {
    seen_now++;
    seen_n = written_n = 0;
    S.novel = S.steps;
    S.stalls = true;
    sim_watch = 1;
}

void stall_end(void) {
    S.stalls = false;
    sim_watch = S.exploring;
}

/* Called before a step of t. */
void stall_step(const struct thread *t) {
    for (uint32_t i = 0; i < written_n; i++) {
        uint64_t value;
        memcpy(&value, (const void *)written[i], sizeof value);
        see(mix(mix(2, written[i]), value));
    }
    written_n = 0;
    uintptr_t sp = sim_entry.sp;
    sim_entry.sp = 0;
    if (sp - (uintptr_t)t->stack < S.stack_size) {
        see(state_of(t, sp));
    }
}

/* Reads the registers of the program's frame from the unwinder. Frames of the engine lie below it,
 * with leftover data that is not the program's. */
static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *frame, void *pc) {
    if (_Unwind_GetIP(frame) != *(const uintptr_t *)pc) {
        return _URC_NO_REASON;
    }
#if defined(__aarch64__)
    static const int preserved[] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29};
#else
    static const int preserved[] = {3, 6, 12, 13, 14, 15}; /* rbx, rbp, r12 to r15 */
#endif
    for (unsigned i = 0; i < sizeof preserved / sizeof preserved[0]; i++) {
        sim_entry.registers[i] = _Unwind_GetGR(frame, preserved[i]);
    }
    sim_entry.sp = _Unwind_GetCFA(frame);
    return _URC_END_OF_STACK;
}

void stall_call(uintptr_t pc) {
    sim_entry.sp = 0;
    _Unwind_Backtrace(look_at_frame, &pc);
}

void stall_atomic(uintptr_t at, uint64_t value) {
    see(mix(mix(3, at), value));
}

void stall_plain_write(const struct thread *t, uintptr_t at, size_t n) {
    if (at - (uintptr_t)t->stack < S.stack_size) {
        return;
    }
    for (uintptr_t cell = at & ~(uintptr_t)7; cell < at + n; cell += 8) {
        if (written_n == WRITTEN_MAX) {
            S.novel = S.steps;
            return;
        }
        written[written_n++] = cell;
    }
}
