/* store.c: a small key-value store: open addressing, keys and values in blocks of their own, a
 * table that doubles. A round puts, gets and deletes; the store is kept, so memory grows on
 * demand. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

enum { PUTS = 20000, KEY_BYTES = 16, LEAST_SLOTS = 64, VALUE_BYTES_MAX = 200 };

struct entry {
    char *key;
    uint8_t *value;
    uint32_t hash, value_bytes;
};
struct store {
    struct entry *slots;
    uint32_t size, used; /* used: including deleted ones */
};
static char deleted[1];

static uint32_t hash_of(const char *key) {
    uint32_t hash = program_mix(2166136261u, key, KEY_BYTES);
    return hash ^ hash >> 15;
}

/* The slot of the key, or the free one where it belongs. */
static struct entry *find(struct store *store, const char *key, uint32_t hash) {
    struct entry *free_slot = NULL;
    for (uint32_t i = hash;; i++) {
        struct entry *entry = &store->slots[i & (store->size - 1)];
        if (entry->key == NULL) {
            return free_slot != NULL ? free_slot : entry;
        }
        if (entry->key == deleted) {
            free_slot = free_slot != NULL ? free_slot : entry;
        } else if (entry->hash == hash && memcmp(entry->key, key, KEY_BYTES) == 0) {
            return entry;
        }
    }
}

static bool lives(const struct entry *entry) {
    return entry->key != NULL && entry->key != deleted;
}

static bool resize(struct store *store) {
    struct store bigger = {NULL, store->size == 0 ? LEAST_SLOTS : 2 * store->size, 0};
    bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < store->size; i++) {
        if (lives(&store->slots[i])) {
            *find(&bigger, store->slots[i].key, store->slots[i].hash) = store->slots[i];
            bigger.used++;
        }
    }
    free(store->slots);
    *store = bigger;
    return true;
}

static bool put(struct store *store, const char *key, const uint8_t *value, uint32_t bytes) {
    if (4 * (store->used + 1) > 3 * store->size && !resize(store)) {
        return false;
    }
    uint32_t hash = hash_of(key);
    struct entry *entry = find(store, key, hash);
    if (!lives(entry)) {
        store->used += entry->key == NULL;
        *entry = (struct entry){malloc(KEY_BYTES), NULL, hash, 0};
        if (entry->key == NULL) {
            return false;
        }
        memcpy(entry->key, key, KEY_BYTES);
    }
    uint8_t *made = realloc(entry->value, bytes);
    if (made == NULL) {
        return false;
    }
    memcpy(made, value, bytes);
    entry->value = made;
    entry->value_bytes = bytes;
    return true;
}

static void drop(struct entry *entry) {
    free(entry->key);
    free(entry->value);
    *entry = (struct entry){deleted, NULL, 0, 0};
}

static void name_key(char *key, uint32_t number) {
    memset(key, 'k', KEY_BYTES);
    for (int i = 0; i < 8; i++) {
        key[KEY_BYTES - 1 - i] = "0123456789abcdef"[number >> 4 * i & 15];
    }
}

static uint32_t round_of(struct store *store, uint32_t *seed, uint32_t first) {
    char key[KEY_BYTES];
    uint8_t value[VALUE_BYTES_MAX];
    uint32_t sum = 0;
    for (uint32_t i = 0; i < PUTS; i++) {
        name_key(key, first + i);
        uint32_t bytes = 1 + program_random(seed) % VALUE_BYTES_MAX;
        memset(value, (int)(i & 255), bytes);
        if (!put(store, key, value, bytes)) {
            return 0;
        }
        name_key(key, program_random(seed) % (first + i + 1));
        struct entry *entry = find(store, key, hash_of(key));
        if (lives(entry)) {
            sum += program_mix(sum, entry->value, entry->value_bytes);
            if (*seed % 4 == 0) {
                drop(entry);
            }
        }
    }
    return sum;
}

uint32_t run(uint32_t rounds) {
    struct store store = {NULL, 0, 0};
    uint32_t sum = 0, seed = 3;
    for (uint32_t i = 0; i < rounds; i++) {
        sum = sum * 31 + round_of(&store, &seed, i * PUTS);
    }
    for (uint32_t i = 0; i < store.size; i++) {
        if (lives(&store.slots[i])) {
            drop(&store.slots[i]);
        }
    }
    free(store.slots);
    return sum;
}
