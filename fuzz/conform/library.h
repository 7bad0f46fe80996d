/* library.h: a WebAssembly runtime in this process, through a shim (../runtimes/shim.h). Each
 * thread has its own instance of the program's module, and all share one memory. */
#ifndef CONFORM_LIBRARY_H
#define CONFORM_LIBRARY_H

#include "subject.h"
#include "wasm.h"

/* Loads the shim's shared object, once. False after printing what is wrong: it cannot be loaded, or
 * the runtime has no shared memories. */
bool library_open(const char *shim);
/* The runtime's name and version; NULL if none was opened. */
const char *library_name(void);

/* The program for memories that are made from now on; the seed determines the module. */
void library_load(const struct conform_program *program, uint64_t seed);

/* The runtime's memories: create, clone (an instance for another thread), grow, size, notify, read
 * and store by the host. */
const struct subject_memory *library_memory(void);

/* Call on each thread that uses the runtime, before its first call and after its last one. */
bool library_thread_begin(void);
void library_thread_end(void);

/* Runs all operations of a thread in one instance, in one call of its function. Results go to
 * result[slot] in the format of an outcome; `number` is the instance's. */
void library_run(void *memory, const struct conform_program *program, unsigned thread,
                 uint32_t block, uint32_t number, uint64_t *result);

/* A word of the harness in the memory, by enum conform_place. */
_Atomic uint32_t *library_word(void *memory, uint32_t place);

#endif
