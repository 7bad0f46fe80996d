/* programs.c: real programs on our memories: compiled to wasm32, turned into C by wasm2c, linked
 * with our memory by wasm_rt_adapter.c; beside the same program on wabt's own runtime, and native.
 * Run: build/bench/bench --filter='^program/|^bound/native'.
 *
 * An iteration is the life of an instance: created, run for one round (see bench/programs/),
 * destroyed. check:guard: compiled without bounds checks, on a memory with 8 GiB of address space,
 * which such code relies on; check:compare: each access is compared with the size, and any strategy
 * works. The checksum must equal the native one. */
#include "programs.h"
#include "memories.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 1 };
#define ADDRESSABLE_BYTES (UINT64_C(8) << 30) /* a 32-bit index plus a 32-bit offset */

/* A row: a program on a strategy, or on wabt's memories if subject is NULL. */
struct job {
    const struct program *program;
    const struct subject *subject;
};

static bool checksum_is(struct bench_state *state, const struct program *program, uint32_t sum) {
    static const struct program *known;
    static uint32_t native;
    if (known != program) {
        native = program->native(ROUNDS);
        known = program;
    }
    if (sum != native || sum == 0) {
        char reason[96];
        snprintf(reason, sizeof reason, "checksum %u, the native program's is %u", sum, native);
        bench_skip(state, reason);
    }
    return sum == native && sum != 0;
}

static void run_native(struct bench_state *state) {
    const struct program *program = bench_argument(state);
    for (bool good = true; good && bench_next(state, 1);) {
        uint32_t sum = program->native(ROUNDS);
        good = checksum_is(state, program, sum);
    }
}

#ifdef BENCH_WABT
#include "wasm_rt_adapter.h"

static void run_instances(struct bench_state *state, const struct program *program,
                          const struct pb_memory_config *config) {
    bool good = checksum_is(state, program, program->native(ROUNDS));
    wasm_rt_adapter_use(config);
    while (good && bench_next(state, 1)) {
        bench_begin(state);
        uint32_t sum = program->run(ROUNDS);
        bench_end(state);
        good = checksum_is(state, program, sum);
        bench_count(state, "growths", wasm_rt_adapter_growths());
        bench_value(state, "pages", wasm_rt_adapter_pages());
    }
}

static void run_program(struct bench_state *state) {
    const struct job *job = bench_argument(state);
    struct memories memories;
    if (job->subject == NULL) {
        run_instances(state, job->program, NULL);
        return;
    }
    uint64_t guard_bytes = strcmp(job->program->check, "guard") == 0
                               ? ADDRESSABLE_BYTES - pb_pages_to_bytes(BENCH_CAPACITY_PAGES)
                               : BENCH_GUARD_BYTES;
    if (memories_begin_guarded(&memories, state, job->subject, BENCH_CAPACITY_PAGES, guard_bytes)) {
        run_instances(state, job->program, &memories.config);
    }
    memories_end(&memories);
}
#else
static void run_program(struct bench_state *state) {
    bench_skip(state, "wabt is missing");
}
#endif

/* ---- Registration ---------------------------------------------------------------------------- */

static const struct job *job_of(const struct program *program, const struct subject *subject) {
    struct job *made = bench_kept(sizeof *made);
    *made = (struct job){program, subject};
    return made;
}

static void add(const struct program *program, const struct subject *subject,
                struct bench_parameter option, bool full_only) {
    struct bench_case bench = {
        .name = bench_kept_text("%s/%s", subject != NULL ? "program" : "peer", program->name),
        .run = run_program,
        .argument = job_of(program, subject),
        .clock = BENCH_CLOCK_SECTIONS,
        .bounds = bench_kept_text("bound/native/program:%s", program->name),
        .skip = program->missing,
        .full_only = full_only,
    };
    int next = 0;
    if (subject == NULL) {
        bench.parameters[next++] = (struct bench_parameter){"of", "wabt", 0};
    } else {
        const char *name = pb_strategy_info(subject->strategy)->name;
        bench.parameters[next++] = (struct bench_parameter){"strategy", name, 0};
        bench.bounds = bench_kept_text("bound/native/program:%s,peer/%s/of:wabt/check:%s",
                                       program->name, program->name, program->check);
        const char *reason;
        if (bench.skip == NULL && pb_strategy_available(subject->strategy, &reason) != PB_OK) {
            bench.skip = reason;
        }
    }
    if (subject != NULL && subject->variant.name != NULL) {
        bench.parameters[next++] = subject->variant;
    }
    bench.parameters[next++] = (struct bench_parameter){"check", program->check, 0};
    bench.parameters[next] = option;
    bench_register(&bench);
}

/* A program without checks needs address space that never moves. */
static bool fits(const struct subject *subject, bool guard) {
    const struct pb_strategy_info *info = pb_strategy_info(subject->strategy);
    return !subject->tuned && (!guard || (info->traps && info->stable_base));
}

void program_add(const struct program *program) {
    static const struct bench_parameter none = {NULL, NULL, 0};
    static const struct bench_parameter huge = {"advice", "huge", PB_ADVICE_HUGE_PAGES};
    static const struct bench_parameter populate = {"advice", "populate", PB_ADVICE_POPULATE};
    bool guard = strcmp(program->check, "guard") == 0;
    bench_section_add(
        &(struct bench_section){.inside = "Real programs",
                                .title = bench_kept_text("%s, every strategy", program->name),
                                .rows = bench_kept_text("^program/%s/", program->name),
                                .lines = STRATEGY_KEYS " check advice"});
    if (guard) {
        bench_register(&(struct bench_case){.name = "bound/native",
                                            .run = run_native,
                                            .argument = program,
                                            .parameters = {{"program", program->name, 0}}});
        add(program, SUBJECT_RESERVE, huge, true);
        add(program, SUBJECT_RESERVE, populate, true);
    }
    add(program, NULL, none, false);
    for (int i = 0; i < subjects_count; i++) {
        if (fits(&subjects[i], guard)) {
            add(program, &subjects[i], none, &subjects[i] != SUBJECT_RESERVE);
        }
    }
}

BENCH_SUBJECT {
    bench_words("/native", "");
    bench_words("bound/native", "native program");
    bench_section_add(&(struct bench_section){
        .inside = "Real programs",
        .title = "By memory and check",
        .rows = "^(bound/native/program:[a-z]+|program/[a-z]+/strategy:reserve/check:[a-z]+"
                "|peer/[a-z]+/of:wabt/check:[a-z]+)$",
        .lines = "operation program",
        .columns = "row of strategy check",
        .usual = "reserve, guard page",
        .plot = BENCH_PLOT_TO_LIMIT});
    bench_answer("**Real programs** through WebAssembly, relative to native, bounds by guard pages "
                 "and by comparison: {ratios ^program/[a-z]+/strategy:reserve/check:[a-z]+$}.");
}
