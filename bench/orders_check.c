/* orders_check.c: checks that the mailbox works on the processor it was built for: two producers, a
 * guest that parks, each id exactly once and in its producer's order. scripts/barriers.py builds it
 * with the whole library for other processors and runs it under qemu-user. Measures nothing. Exit
 * status: 0; 1: an id was lost, arrived twice or out of order; 2: set-up failed. */
#include "guest.h"
#include "mailbox.h"
#include "memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { PRODUCERS = 2, IDS = 500, NUMBER_BITS = 16 };

struct guest {
    struct pb_memory *memory;
    struct pb_mailbox_words *words;
    uint32_t next[PRODUCERS]; /* next id expected from each producer */
    unsigned parks, wrong;
};

static struct pb_mailbox *mailbox;

static void *produce(void *argument) {
    uint32_t producer = *(const uint32_t *)argument;
    for (uint32_t number = 1; number <= IDS;) {
        if (pb_mailbox_enqueue(mailbox, producer << NUMBER_BITS | number) == PB_OK) {
            number++;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void take(void *context, uint32_t id) {
    struct guest *guest = context;
    uint32_t producer = id >> NUMBER_BITS, number = id & ((1u << NUMBER_BITS) - 1);
    if (producer >= PRODUCERS || number != guest->next[producer]) {
        guest->wrong++;
    } else {
        guest->next[producer]++;
    }
}

static int park(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns) {
    struct guest *guest = context;
    enum pb_wait result = PB_WAIT_NOT_EQUAL;
    guest->parks++;
    pb_memory_wait32(guest->memory, (uint64_t)((char *)flag - (char *)guest->words), expected,
                     timeout_ns, &result);
    return (int)result;
}

static bool guest_is_done(const struct guest *guest) {
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        if (guest->next[i] <= IDS) {
            return false;
        }
    }
    return true;
}

static int set_up(struct guest *guest) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 16, 65536};
    struct pb_memory_config memory = {.type = {4, 16, true}, .style = &style};
    enum pb_status status = pb_memory_create(&memory, &guest->memory);
    if (status == PB_OK) {
        struct pb_mailbox_config config = {.memory = guest->memory, .capacity = 8};
        status = pb_mailbox_create(&config, &mailbox);
    }
    if (status != PB_OK) {
        fprintf(stderr, "orders_check: %s\n", pb_status_message(status));
        return 2;
    }
    guest->words = (void *)atomic_load(&pb_memory_definition(guest->memory)->base);
    return 0;
}

int main(void) {
    static uint32_t numbers[PRODUCERS];
    pthread_t producers[PRODUCERS];
    struct guest guest = {.parks = 0};
    if (set_up(&guest) != 0) {
        return 2;
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        numbers[i] = i;
        guest.next[i] = 1;
        if (pthread_create(&producers[i], NULL, produce, &numbers[i]) != 0) {
            fprintf(stderr, "orders_check: no thread\n");
            return 2;
        }
    }
    struct pb_guest_host host = {.wait = park, .context = &guest};
    while (!guest_is_done(&guest) && guest.wrong == 0) {
        pb_guest_drain(guest.words, take, &guest);
        if (!guest_is_done(&guest)) {
            pb_guest_park(guest.words, &host, -1);
        }
    }
    printf("%u ids of %u producers, %u parks, %u wrong\n", IDS * PRODUCERS, PRODUCERS, guest.parks,
           guest.wrong);
    if (guest.wrong != 0) {
        return 1; /* producers may be stuck */
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
    }
    pb_mailbox_release(mailbox);
    pb_memory_release(guest.memory);
    return 0;
}
