/* memory.h: one of the specification's scripts on our memories: spec.py writes it as a C file with
 * these types, and memory.c plays it.
 *
 * Plain instructions are what wasm2c makes of the script's modules, on memories from memory.c.
 * Debian's wasm2c does not support threads, so an atomic instruction is called by name, on a memory
 * with the module's limits. */
#ifndef SPEC_MEMORY_H
#define SPEC_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

enum spec_kind {
    SPEC_MODULE, /* call makes the instance, drop gives it back */
    SPEC_RETURN, /* call stores what it returns by spec_store; or `atomic` */
    SPEC_TRAP,
    SPEC_SHARED /* a memory for atomics: args are min, max, shared */
};

struct spec_step {
    unsigned line;
    enum spec_kind kind;
    void (*call)(void);
    void (*drop)(void);
    const char *atomic; /* the instruction's name, or NULL */
    uint64_t args[3];
    char type; /* of the result: i, l, f, d, or 0 for none */
    bool nan;  /* any NaN is accepted */
    uint64_t bits;
};
extern const struct spec_step spec_step[];
extern const unsigned spec_steps;
extern const char spec_name[];

void spec_store(const void *value, unsigned bytes);

#endif
