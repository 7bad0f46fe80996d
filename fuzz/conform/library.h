/* library.h: a WebAssembly runtime in this process, by way of a shim of ../runtimes/shim.h: each
 * thread has an instance of its own of the program's module, on one shared memory. */
#ifndef CONFORM_LIBRARY_H
#define CONFORM_LIBRARY_H

#include "subject.h"
#include "wasm.h"

/* Loads the shim's shared object. False after saying on standard error what is wrong: it cannot be
 * loaded, or the runtime has no shared memories. Once. */
bool library_open(const char *shim);
/* The runtime's name and version; NULL where none was opened. */
const char *library_name(void);

/* The program that memories made from now on belong to; the seed draws the module. */
void library_load(const struct conform_program *program, uint64_t seed);

/* The runtime's memories: create, clone (an instance for another thread), grow, size, notify, read
 * and store by the host. */
const struct subject_memory *library_memory(void);

/* On each thread that calls the runtime, before its first call and after its last one. */
bool library_thread_begin(void);
void library_thread_end(void);

/* A thread's whole part of one instance, in one call of its function. Results go to result[slot] as
 * an outcome has them; `number` is the instance's. */
void library_run(void *memory, const struct conform_program *program, unsigned thread,
                 uint32_t block, uint32_t number, uint64_t *result);

/* A word of the harness, enum conform_place, in the memory. */
_Atomic uint32_t *library_word(void *memory, uint32_t place);

#endif
