/* shim.h: the interface between a runtime and the door to libraries (inside.c): a table of a few
 * functions.
 *
 * A shim is one file of shims/, compiled against the runtime's own headers. Everything is called
 * from one thread, except the functions at the end of the table and the calls of its instances. The
 * guest's functions have the type (i32 x 5) -> i64 and are exported by number; its memory is
 * exported as "m". */
#ifndef SHIM_H
#define SHIM_H

#include "guest.h"

#ifdef __cplusplus
extern "C" {
#endif

struct shim {
    const char *name;
    bool threads, no_wait, simd, second, names, imports; /* as in struct door_features */
    uint32_t costly_pages;

    /* Called once. `library`: what follows the colon in RUNTIME=shim:library, or "". False after
     * printing what is wrong on standard error. *about: name and version, if known. */
    bool (*open)(const char *library, const char **about);
    /* An instance of the module; NULL with *status: SUBJECT_INVALID for an invalid module,
     * SUBJECT_NO_MEMORY if it could not be instantiated. `imported`: NULL, or the type of a memory
     * that the host makes and the module imports as "h" "m". The bytes stay valid until drop. */
    void *(*make)(const uint8_t *wasm, size_t bytes, const struct subject_type *imported,
                  enum subject_status *status);
    void (*drop)(void *instance);
    /* Calls function `number` with its operands. A trap is SUBJECT_OUT_OF_BOUNDS, _MISALIGNED,
     * _NOT_SHARED, or SUBJECT_SYSTEM for any other. */
    enum subject_status (*call)(void *instance, unsigned number, const uint32_t operand[5],
                                uint64_t *result);
    /* Address and size of the memory's bytes. False: unknown. */
    bool (*view)(void *instance, uint8_t **base, uint64_t *bytes);
    /* Another instance, on the memory of `of`; NULL as in make, with SUBJECT_OUT_OF_BOUNDS if an
     * active segment does not fit. May be NULL: then memories are neither shared nor imported. */
    void *(*again)(const uint8_t *wasm, size_t bytes, void *of, enum subject_status *status);
    /* Grows from the host; returns the pages before, or 4294967295. May be NULL. */
    uint32_t (*grow)(void *instance, uint32_t pages);

    /* For ../conform/, which runs real threads. is_threaded: instances on one memory can be called
     * at the same time, each by its own thread. They are made by `thread`, from the module of `of`
     * and on its memory, and dropped before it (NULL: none could be made); or by `again`, if
     * `thread` is NULL. */
    bool is_threaded;
    void *(*thread)(void *of);
    /* Call on a thread that the runtime did not make, before its first call and after its last one.
     * NULL: not needed. */
    bool (*thread_begin)(void);
    void (*thread_end)(void);
};
extern const struct shim shim;

/* Finds the kind of trap in its text, since many runtimes report nothing else. */
enum subject_status shim_trap(const char *text);

#ifdef __cplusplus
}
#endif

#endif
