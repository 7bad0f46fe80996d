/* host.c: a program of wasm2c that runs on a memory of Pagebox, and a host with four threads that
 * wake its tasks. Run: make run-examples (with the Debian package wabt)
 *
 * The generated code checks no bounds: its accesses past the end fault, the handler asks whose
 * address it was, and turns a guest's fault into the trap of that task alone. */
#include "guest.h" /* generated from guest.wat */

#include <pagebox/pagebox.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOSTS = 4, TASKS_EACH = 3, FIRST_TASK = 11, MAILBOX_OFFSET = 4096 };

static struct pb_memory *guest_memory;
static Z_guest_instance_t guest;
static sigjmp_buf trap; /* of the one thread that runs the guest */

static void must(enum pb_status status, const char *what) {
    if (status != PB_OK) {
        fprintf(stderr, "host: %s: %s\n", what, pb_status_message(status));
        exit(1);
    }
}

/* ---- What generated code asks of its runtime ------------------------------------------------ */

static void publish(wasm_rt_memory_t *memory) {
    struct pb_memory_definition *definition = pb_memory_definition(guest_memory);
    memory->data = atomic_load(&definition->base);
    memory->size = (uint32_t)atomic_load(&definition->length_bytes);
    memory->pages = pb_memory_size_pages(guest_memory);
}

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages) {
    const struct pb_memory_config config = {.type = {.min_pages = pages, .max_pages = max_pages}};
    must(pb_memory_create(&config, &guest_memory), "create");
    memory->max_pages = max_pages;
    publish(memory);
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t delta) {
    uint32_t old_pages;
    if (pb_memory_grow(guest_memory, delta, &old_pages) != PB_OK) {
        return UINT32_MAX;
    }
    publish(memory);
    return old_pages;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory) {
    (void)memory;
    pb_memory_release(guest_memory);
}

void wasm_rt_trap(wasm_rt_trap_t code) {
    siglongjmp(trap, 1 + (int)code);
}

/* For tables of functions, of which this guest has none. */
uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...) {
    return params + results + 1;
}

bool wasm_rt_is_initialized(void) {
    return true;
}

/* ---- Faults, tasks, hosts ------------------------------------------------------------------- */

static void on_fault(int number, siginfo_t *information, void *context) {
    struct pb_address_owner owner;
    (void)context;
    if (pb_memory_fault_at(information->si_addr, &owner) == PB_FAULT_TRAP) {
        siglongjmp(trap, 1 + WASM_RT_TRAP_OOB);
    }
    signal(number, SIG_DFL); /* ours: crash as usual */
}

static unsigned ran, trapped;

static void run_task(void *context, uint32_t id) {
    (void)context;
    if (sigsetjmp(trap, 1) == 0) {
        printf("task %u ran, count %u\n", id, Z_guestZ_task(&guest, id));
        ran++;
    } else {
        printf("task %u trapped: out of bounds memory access\n", id);
        trapped++;
    }
}

static void *host(void *argument) {
    struct pb_waker **wakers = argument;
    for (int i = 0; i < TASKS_EACH; i++) {
        must(pb_waker_wake(wakers[i]), "wake");
        pb_waker_release(wakers[i]);
    }
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    Z_guest_init_module();
    Z_guest_instantiate(&guest);
    printf("guest grew from %u page\n", Z_guestZ_grow(&guest));

    const struct pb_mailbox_config at = {.memory = guest_memory, .offset = MAILBOX_OFFSET};
    struct pb_mailbox *mailbox;
    must(pb_mailbox_create(&at, &mailbox), "attach");
    pthread_t threads[HOSTS];
    struct pb_waker *wakers[HOSTS][TASKS_EACH];
    for (uint32_t i = 0; i < HOSTS; i++) {
        for (uint32_t j = 0; j < TASKS_EACH; j++) {
            must(pb_waker_create(mailbox, FIRST_TASK + i * TASKS_EACH + j, &wakers[i][j]), "waker");
        }
        if (pthread_create(&threads[i], NULL, host, wakers[i]) != 0) {
            return 1;
        }
    }
    while (ran + trapped < HOSTS * TASKS_EACH) {
        must(pb_mailbox_wait_for_signal(mailbox, -1), "wait");
        uint8_t *base = atomic_load(&pb_memory_definition(guest_memory)->base);
        pb_guest_drain((struct pb_mailbox_words *)(void *)(base + MAILBOX_OFFSET), run_task, NULL);
    }
    for (int i = 0; i < HOSTS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("%u tasks ran, %u trapped\n", ran, trapped);
    pb_mailbox_close(mailbox, NULL);
    pb_mailbox_release(mailbox);
    Z_guest_free(&guest);
    return ran == HOSTS * TASKS_EACH - 1 && trapped == 1 ? 0 : 1;
}
