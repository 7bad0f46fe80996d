/* glue.c: registers one program in one build as a benchmark. Compiled once for each, with PROGRAM
 * (lz), CHECK (guard or compare), and, if wasm2c has made it, HEADER (its header) and MODULE
 * (lzguard); else MISSING (the reason). See ../rules.mk. */
#include "programs.h"
#include "shim.h"

#include <stddef.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

#define NATIVE JOIN(native_, PROGRAM)
uint32_t NATIVE(uint32_t rounds);

#ifdef MISSING
#define RUN NULL
#else
#include HEADER
#define MISSING NULL
#define RUN run_once

static uint32_t run_once(uint32_t rounds) {
    JOIN(JOIN(Z_, MODULE), _instance_t) instance;
    JOIN(JOIN(Z_, MODULE), _init_module)();
    JOIN(JOIN(Z_, MODULE), _instantiate)(&instance);
    uint32_t sum = JOIN(JOIN(Z_, MODULE), Z_run)(&instance, rounds);
    JOIN(JOIN(Z_, MODULE), _free)(&instance);
    return sum;
}
#endif

BENCH_SUBJECT {
    static const struct program program = {TEXT(PROGRAM), TEXT(CHECK), RUN, NATIVE, MISSING};
    program_add(&program);
}
