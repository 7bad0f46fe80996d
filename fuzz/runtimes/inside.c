/* inside.c: the door to a library in this process, through a shim (shim.h). While the library runs,
 * its own handlers of SIGSEGV and SIGBUS are installed; the harness's are restored after each
 * program. */
#include "door.h"
#include "model.h"
#include "shim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SLOTS_MAX = 512 };
static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
enum { FAULTS = sizeof faults / sizeof faults[0] };

static struct sigaction theirs[FAULTS], ours[FAULTS];
static const char *volatile running; /* the rule that a crash would break now */
static void *slot[SLOTS_MAX];
static uint8_t *bytes_store;
static size_t bytes_used, bytes_room;

enum subject_status shim_trap(const char *text) {
    if (text == NULL) {
        return SUBJECT_SYSTEM;
    }
    if (strcasestr(text, "aligned") != NULL || strcasestr(text, "misalign") != NULL) {
        return SUBJECT_MISALIGNED;
    }
    if (strcasestr(text, "bound") != NULL || strcasestr(text, "out of range") != NULL ||
        strcasestr(text, "outside") != NULL) {
        return SUBJECT_OUT_OF_BOUNDS;
    }
    return strcasestr(text, "shared") != NULL ? SUBJECT_NOT_SHARED : SUBJECT_SYSTEM;
}

/* A copy of differing bytes, kept until the next program. */
static const uint8_t *keep(const uint8_t *from, size_t count) {
    if (bytes_used + count > bytes_room) {
        return NULL;
    }
    memcpy(bytes_store + bytes_used, from, count);
    bytes_used += count;
    return bytes_store + bytes_used - count;
}

static struct answer access_bytes(const struct request *r) {
    const uint64_t at = r->word[2] | (uint64_t)r->word[3] << 32;
    const uint32_t count = r->word[4];
    uint8_t *base;
    uint64_t bytes;
    if (!shim.view(slot[r->word[1]], &base, &bytes)) {
        return r->foretold; /* the runtime cannot answer this */
    }
    if (at > bytes || count > bytes - at) {
        return (struct answer){.status = SUBJECT_OUT_OF_BOUNDS};
    }
    if (r->word[0] == REQUEST_WRITE) {
        memcpy(base + at, model_pattern(), count);
        return (struct answer){.status = SUBJECT_OK};
    }
    const bool same = door_digest(base + at, count) == r->word[5];
    return (struct answer){.status = SUBJECT_OK, .bytes = same ? NULL : keep(base + at, count)};
}

static void *make(const struct play *p, const struct request *r, enum subject_status *status) {
    const struct guest_bytes *module = p->module[r->word[1]];
    const struct subject_type type = {r->word[2], r->word[3], r->word[4] == 1};
    return shim.make(module->at, module->count, r->word[5] == GUEST_IMPORTED ? &type : NULL,
                     status);
}

/* Module `number` on the memory of slot `of`. */
static void *again(const struct play *p, uint32_t number, uint32_t of,
                   enum subject_status *status) {
    const struct guest_bytes *module = p->module[number];
    return slot[of] != NULL ? shim.again(module->at, module->count, slot[of], status) : NULL;
}

static struct answer play_one(const struct play *p, const struct request *r) {
    struct answer a = {.status = SUBJECT_OK};
    const uint32_t number = r->word[1];
    enum subject_status why = SUBJECT_SYSTEM;
    uint8_t *base;
    void *made;
    switch (r->word[0]) {
    case REQUEST_MAKE:
        slot[number] = make(p, r, &why);
        a.status = slot[number] != NULL ? SUBJECT_OK : why;
        return a;
    case REQUEST_AGAIN:
        slot[number] = again(p, number, r->word[2], &why);
        a.status = slot[number] != NULL ? SUBJECT_OK : why;
        return a;
    default:
        break;
    }
    if (slot[number] == NULL) {
        a.status = r->word[0] == REQUEST_DROP ? SUBJECT_OK : SUBJECT_SYSTEM;
        return a;
    }
    switch (r->word[0]) {
    case REQUEST_DROP:
        shim.drop(slot[number]);
        slot[number] = NULL;
        break;
    case REQUEST_CALL:
        a.status = shim.call(slot[number], r->word[2], &r->word[3], &a.value);
        break;
    case REQUEST_GROW:
        a.value = shim.grow(slot[number], r->word[2]);
        break;
    case REQUEST_SEGMENTS: /* instantiated for its active segments */
        made = again(p, r->word[2], number, &why);
        a.status = made != NULL ? SUBJECT_OK : why;
        if (made != NULL) {
            shim.drop(made);
        }
        break;
    case REQUEST_BYTES:
        if (!shim.view(slot[number], &base, &a.value)) {
            a = r->foretold;
        }
        break;
    default:
        a = access_bytes(r);
        break;
    }
    return a;
}

static enum played play(struct play *p) {
    bytes_used = 0;
    for (unsigned i = 0; i < FAULTS; i++) {
        sigaction(faults[i], &theirs[i], &ours[i]);
    }
    for (unsigned i = 0; i < p->requests; i++) {
        running = p->request[i].rule;
        p->answer[i] = play_one(p, &p->request[i]);
    }
    for (unsigned i = 0; i < SLOTS_MAX; i++) { /* for programs that were cut short */
        if (slot[i] != NULL) {
            shim.drop(slot[i]);
            slot[i] = NULL;
        }
    }
    running = NULL;
    for (unsigned i = 0; i < FAULTS; i++) {
        sigaction(faults[i], &ours[i], NULL);
    }
    return PLAYED;
}

static const char *now(void) {
    return running;
}

static bool open_library(struct door_features *features) {
    const char *library = getenv("PAGEBOX_LIBRARY"), *about = NULL;
    bytes_room = (size_t)64 << 20;
    bytes_store = malloc(bytes_room);
    if (bytes_store == NULL || !shim.open(library != NULL ? library : "", &about)) {
        return false;
    }
    for (unsigned i = 0; i < FAULTS; i++) {
        sigaction(faults[i], NULL, &theirs[i]);
    }
    *features = (struct door_features){.threads = shim.threads,
                                       .no_wait = shim.no_wait,
                                       .again = shim.again != NULL,
                                       .imports = shim.imports,
                                       .host_grow = shim.grow != NULL,
                                       .second = shim.second,
                                       .simd = shim.simd,
                                       .names = shim.names,
                                       .costly_pages = shim.costly_pages};
    snprintf(features->name, sizeof features->name, "%s", about != NULL ? about : shim.name);
    return true;
}

const struct door door = {.open = open_library, .play = play, .now = now};
