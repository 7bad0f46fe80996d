/* posix_cxx.c: what C++ programs call under the engine: operator new and delete, guards of local
 * statics, destructors of thread-locals. The rest of libstdc++ runs unchanged, with its calls of
 * pthreads, futexes and clocks renamed to the engine's (scripts/pagebox/sim/explore_build.py). */
#include "posix.h"

#include <stdlib.h>
#include <string.h>

/* ---- new and delete -------------------------------------------------------------------------- */

void *sim__Znwm(size_t size);
void *sim__Znam(size_t size);
void *sim__ZnwmSt11align_val_t(size_t size, size_t alignment);
void *sim__ZnamSt11align_val_t(size_t size, size_t alignment);
void *sim__ZnwmRKSt9nothrow_t(size_t size, const void *tag);
void *sim__ZnamRKSt9nothrow_t(size_t size, const void *tag);
void sim__ZdlPv(void *block);
void sim__ZdaPv(void *block);
void sim__ZdlPvm(void *block, size_t size);
void sim__ZdaPvm(void *block, size_t size);
void sim__ZdlPvSt11align_val_t(void *block, size_t alignment);
void sim__ZdaPvSt11align_val_t(void *block, size_t alignment);
void sim__ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void sim__ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);

static void *obtain(size_t size, size_t alignment, uintptr_t pc) {
    void *p = heap_obtain(size ? size : 1, alignment, pc);
    if (!p) {
        refuse("operator new", "std::bad_alloc is not simulated", pc);
    }
    return p;
}

void *sim__Znwm(size_t size) {
    return obtain(size, 16, CALLER);
}
void *sim__Znam(size_t size) {
    return obtain(size, 16, CALLER);
}
void *sim__ZnwmSt11align_val_t(size_t size, size_t alignment) {
    return obtain(size, alignment, CALLER);
}
void *sim__ZnamSt11align_val_t(size_t size, size_t alignment) {
    return obtain(size, alignment, CALLER);
}
void *sim__ZnwmRKSt9nothrow_t(size_t size, const void *tag) {
    (void)tag;
    return heap_obtain(size ? size : 1, 16, CALLER);
}
void *sim__ZnamRKSt9nothrow_t(size_t size, const void *tag) {
    (void)tag;
    return heap_obtain(size ? size : 1, 16, CALLER);
}

#define DELETE(name, ...)           \
    void sim_##name(__VA_ARGS__) {  \
        heap_return(block, CALLER); \
    }
DELETE(_ZdlPv, void *block)
DELETE(_ZdaPv, void *block)
DELETE(_ZdlPvm, void *block, __attribute__((unused)) size_t size)
DELETE(_ZdaPvm, void *block, __attribute__((unused)) size_t size)
DELETE(_ZdlPvSt11align_val_t, void *block, __attribute__((unused)) size_t alignment)
DELETE(_ZdaPvSt11align_val_t, void *block, __attribute__((unused)) size_t alignment)
DELETE(_ZdlPvmSt11align_val_t, void *block, __attribute__((unused)) size_t size,
       __attribute__((unused)) size_t alignment)
DELETE(_ZdaPvmSt11align_val_t, void *block, __attribute__((unused)) size_t size,
       __attribute__((unused)) size_t alignment)

/* ---- Local statics: like pthread_once; the guard byte stays 0, so each use comes here -------- */

int sim___cxa_guard_acquire(uint64_t *guard);
void sim___cxa_guard_release(uint64_t *guard);
void sim___cxa_guard_abort(uint64_t *guard);
enum { GUARD_NEW, GUARD_RUNNING, GUARD_DONE };

static bool guard_settled(const struct object *o) {
    return o->count != GUARD_RUNNING;
}

int sim___cxa_guard_acquire(uint64_t *guard) {
    enter("a local static", CALLER);
    struct object *o = object_at(guard, OBJECT_ONCE);
    await(o, guard_settled, SIM_NEVER);
    acquire(o->released);
    if (o->count == GUARD_DONE) {
        return leave(0);
    }
    o->count = GUARD_RUNNING;
    o->owner = S.now->id;
    return leave(1);
}

static void guard_end(uint64_t *guard, unsigned count, uintptr_t pc) {
    enter("a local static", pc);
    struct object *o = object_at(guard, OBJECT_ONCE);
    step(guard);
    release(&o->released);
    o->count = count;
    o->owner = -1;
    wake_all(o);
    leave(0);
}

void sim___cxa_guard_release(uint64_t *guard) {
    guard_end(guard, GUARD_DONE, CALLER);
}
void sim___cxa_guard_abort(uint64_t *guard) {
    guard_end(guard, GUARD_NEW, CALLER);
}

/* ---- std::call_once: libstdc++ passes the call in two thread-locals, here emulated ones ------ */

void sim___once_proxy(void);
void *sim___emutls_get_address(void *variable);
struct emulated {
    size_t size, alignment;
    void *unused;
    const void *initial;
};
extern struct emulated once_callable __asm__("__emutls_v._ZSt15__once_callable"), once_call
    __asm__("__emutls_v._ZSt11__once_call");
struct emulated once_callable = {sizeof(void *), sizeof(void *), NULL, NULL};
struct emulated once_call = {sizeof(void *), sizeof(void *), NULL, NULL};

void sim___once_proxy(void) {
    void (**call)(void) = sim___emutls_get_address(&once_call);
    (*call)();
}

/* ---- Exceptions ---------------------------------------------------------------------------------
 *
 * libstdc++ counts the references to an exception, unseen by the engine. A thread that drops a
 * reference is ordered after all threads that dropped theirs before: all their uses happen before
 * what it does next. */

#define RELEASE(prefix) \
    __asm__(prefix "_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv") __attribute__((weak))
void **__cxa_get_globals(void) __attribute__((weak));
void __real___cxa_end_catch(void) __attribute__((weak));
void __wrap___cxa_end_catch(void);
void exception_ptr_release_real(void **pointer) RELEASE("__real_");
void exception_ptr_release(void **pointer) RELEASE("__wrap_");

void exceptions_begin(void) {
    S.caught = __cxa_get_globals ? __cxa_get_globals() : NULL;
    if (S.caught) {
        memset(S.caught, 0, sizeof S.threads[0].caught);
    }
}

/* The exception object of a caught exception's header (Itanium C++ ABI). It follows the header; a
 * dependent exception, rethrown in another thread, begins with a pointer to it. */
#if __LP64__
enum { HEADER = 112, HEADER_CLASS = 80 };
#define IS_DEPENDENT 1u /* set in the last letter of the class "GNUCC++" */

static const void *object_of_caught(const char *header) {
    bool dependent = *(const uint64_t *)(const void *)(header + HEADER_CLASS) & IS_DEPENDENT;
    return dependent ? *(void *const *)(const void *)header : header + HEADER;
}
#else
static const void *object_of_caught(const char *header) {
    (void)header;
    return S.caught;
}
#endif

void __wrap___cxa_end_catch(void) {
    if (S.active && S.caught && S.caught[0]) {
        order_after_others(object_of_caught(S.caught[0]));
    }
    __real___cxa_end_catch();
}

void exception_ptr_release(void **pointer) {
    if (S.active && *pointer) {
        order_after_others(*pointer);
    }
    exception_ptr_release_real(pointer);
}

/* ---- Thread-locals with destructors ---------------------------------------------------------- */

int sim___cxa_thread_atexit(void (*call)(void *), void *arg, void *module);
struct local_end {
    void (*call)(void *);
    void *arg;
    struct local_end *before;
};

int sim___cxa_thread_atexit(void (*call)(void *), void *arg, void *module) {
    (void)module;
    struct local_end *e = arena_alloc(sizeof *e);
    *e = (struct local_end){call, arg, self()->locals};
    self()->locals = e;
    return 0;
}

void locals_end(void) {
    while (self()->locals) {
        struct local_end *e = self()->locals;
        self()->locals = e->before;
        e->call(e->arg);
    }
}
