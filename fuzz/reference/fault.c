/* fault.c: calls that fail by choice, and the counting allocator. */
#include "fault.h"

#include "asan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if CRASH_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum { BLOCK_BYTES_MAX = 4 << 20, TOTAL_BYTES_MAX = 32 << 20 };

/* Header of each block, to find the ones that leak. Keeps blocks aligned for any type. */
struct block {
    struct block *next, *previous;
    size_t bytes;
    size_t room; /* it may grow in place up to this size */
};
_Static_assert(sizeof(struct block) % _Alignof(max_align_t) == 0, "blocks stay aligned");

static struct {
    struct armed {
        int thread;
        enum word_call call;
        enum word_error error;
        uint64_t left; /* calls until it is due: 1 is the next */
    } armed[FAULTS_MAX];
    unsigned arms;
    enum word_error error;
    uint64_t fired;
    enum word_call last;
    unsigned count, too_long;
    uint64_t space_bytes; /* the longest reservation; 0: any */
    uint64_t file_bytes;  /* the longest file; 0: any */
    bool signalled;
    bool exhausted;
    int error_number;
    bool told; /* of any errno */
    const uint8_t *choice;
    size_t choices;
    struct block *blocks;
    size_t blocks_alive, bytes_alive;
} state;

void fault_begin(const uint8_t *choices, size_t choices_bytes) {
    state.arms = 0;
    state.count = state.too_long = 0;
    state.space_bytes = state.file_bytes = 0;
    state.signalled = state.exhausted = false;
    state.error_number = 0;
    state.told = false;
    state.choice = choices;
    state.choices = choices_bytes;
}

void (*fault_to)(const char *call, uint64_t nth, const char *error);

void fault_arm(int thread, enum word_call call, uint64_t nth, enum word_error error) {
    if (nth >= 1 && nth <= FAULT_NTH_MAX && state.arms < FAULTS_MAX) {
        if (fault_to != NULL) {
            fault_to(op_word(KIND_call, call), nth, op_word(KIND_error, error));
        }
        state.armed[state.arms++] = (struct armed){thread, call, error, nth};
    }
}

bool fault_armed(void) {
    return state.arms > 0;
}

void (*fault_asked)(enum word_call call);

/* If several faults are due at once, one that was armed with an error decides the error. */
bool fault_due(int thread, enum word_call call) {
    bool due = false;
    unsigned kept = 0;
    if (fault_asked != NULL) {
        fault_asked(call);
    }
    for (unsigned i = 0; i < state.arms; i++) {
        struct armed *x = &state.armed[i];
        bool mine = x->call == call && (x->thread == FAULT_ANYBODY || x->thread == thread);
        if (!mine || --x->left > 0) {
            state.armed[kept++] = *x;
            continue;
        }
        state.last = call;
        state.error_number = 0;
        if (!due || state.error == WORD_error_any) {
            state.error = x->error;
        }
        due = true;
    }
    state.arms = kept;
    state.count += due;
    state.fired += due;
    return due;
}

void fault_forgive(void) {
    state.count--;
    state.last = WORD_call_count; /* what fails later does so for another reason */
}

enum word_error fault_error(void) {
    return state.error;
}

void fault_space(uint64_t bytes) {
    state.space_bytes = bytes;
}

uint64_t fault_space_bytes(void) {
    return state.space_bytes;
}

bool fault_too_long(uint64_t bytes) {
    bool too_long = state.space_bytes != 0 && bytes > state.space_bytes;
    state.count += too_long;
    state.too_long += too_long;
    return too_long;
}

unsigned fault_too_long_count(void) {
    return state.too_long;
}

void fault_tell_errno(int error) {
    state.error_number = error;
    state.told |= error != 0;
}

bool fault_told(void) {
    return state.told;
}

int fault_errno(void) {
    return state.error_number;
}

void fault_exhaust(bool on) {
    state.exhausted = on;
}

bool fault_exhausted(void) {
    state.count += state.exhausted;
    return state.exhausted;
}

void fault_file_limit(uint64_t bytes) {
    state.file_bytes = bytes;
}

uint64_t fault_file_limit_bytes(void) {
    return state.file_bytes;
}

void fault_signal(void) {
    state.signalled = true;
}

bool fault_signalled(void) {
    return state.signalled;
}

uint64_t fault_fired(void) {
    return state.fired;
}

void fault_note(void) {
    state.count++;
}

enum word_call fault_last(void) {
    return state.last;
}

unsigned fault_count(void) {
    return state.count;
}

unsigned fault_choose(unsigned n) {
    if (state.choices == 0 || n == 0) {
        return 0;
    }
    state.choices--;
    return *state.choice++ % n;
}

/* ---- The allocator ----------------------------------------------------------------------------
 */

/* A request that would fill the machine or exceed a limit of the process fails like a fault. */
static bool fails(enum word_call call, size_t bytes, size_t old_bytes) {
    bool too_much =
        bytes > BLOCK_BYTES_MAX || state.bytes_alive - old_bytes + bytes > TOTAL_BYTES_MAX;
    state.count += too_much;
    return fault_due(FAULT_ANYBODY, call) || too_much;
}

/* Tells ASan that the room behind a block's bytes must not be touched. */
static void close_spare(struct block *block) {
#if CRASH_HAS_ASAN
    uint8_t *at = (uint8_t *)(block + 1);
    __asan_unpoison_memory_region(at, block->room);
    if (block->room > block->bytes) {
        __asan_poison_memory_region(at + block->bytes, block->room - block->bytes);
    }
#else
    (void)block;
#endif
}

static void link_in(struct block *block, size_t bytes) {
    block->bytes = bytes;
    block->previous = NULL;
    block->next = state.blocks;
    if (block->next != NULL) {
        block->next->previous = block;
    }
    state.blocks = block;
    state.blocks_alive++;
    state.bytes_alive += bytes;
}

static void unlink_from(struct block *block) {
    *(block->previous == NULL ? &state.blocks : &block->previous->next) = block->next;
    if (block->next != NULL) {
        block->next->previous = block->previous;
    }
    state.blocks_alive--;
    state.bytes_alive -= block->bytes;
}

enum { STALE_BYTE = 0xA5, LARGE_BYTES = 65536, BEHIND_BYTES = 64 };

/* Large blocks get 64 KiB more than asked for, so that some growths are in place and some are not.
 */
static size_t room_for(size_t bytes) {
    return bytes >= LARGE_BYTES && bytes <= BLOCK_BYTES_MAX / 4 ? bytes + LARGE_BYTES : bytes;
}

static void *allocate_zeroed(size_t bytes) {
    const size_t room = room_for(bytes);
    struct block *block =
        fails(WORD_call_allocate, bytes, 0) ? NULL : calloc(1, sizeof *block + room);
    if (block == NULL) {
        fault_note();
        return NULL;
    }
    if (room > bytes) { /* the rest is filled when the block grows in place: see resize */
        memset((uint8_t *)(block + 1) + bytes, STALE_BYTE, BEHIND_BYTES);
    }
    block->room = room;
    link_in(block, bytes);
    close_spare(block);
    return block + 1;
}

/* realloc may leave anything in new bytes; here they are never zero. */
static void *resize(void *at, size_t bytes) {
    struct block *old = at == NULL ? NULL : (struct block *)at - 1;
    const size_t old_bytes = old == NULL ? 0 : old->bytes;
    if (fails(WORD_call_resize, bytes, old_bytes)) {
        return NULL;
    }
    struct block *block = old;
    if (old != NULL) {
        unlink_from(old);
    }
    if (old == NULL || bytes > old->room) {
        const size_t room = room_for(bytes);
        block = malloc(sizeof *block + room);
        if (block == NULL) {
            if (old != NULL) {
                link_in(old, old_bytes);
            }
            fault_note();
            return NULL;
        }
        block->room = room;
        if (old_bytes > 0) {
            memcpy(block + 1, old + 1, old_bytes < bytes ? old_bytes : bytes);
        }
        free(old);
    }
    link_in(block, bytes);
    close_spare(block);
    if (bytes > old_bytes) {
        memset((uint8_t *)(block + 1) + old_bytes, STALE_BYTE, bytes - old_bytes);
    }
    return block + 1;
}

static void release(void *at) {
    if (at != NULL) {
        struct block *block = (struct block *)at - 1;
        unlink_from(block);
        block->bytes = block->room;
        close_spare(block);
        free(block);
    }
}

const struct subject_environment *fault_environment(void) {
    static struct subject_environment environment = {allocate_zeroed, resize, release, 0};
    if (environment.host_page_bytes == 0) {
        environment.host_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    }
    return &environment;
}

size_t fault_blocks(void) {
    return state.blocks_alive;
}

static bool swept;

bool fault_swept(void) {
    return swept;
}

void fault_sweep(void) {
    swept = true;
    for (struct block *block = state.blocks, *next; block != NULL; block = next) {
        next = block->next;
        block->bytes = block->room;
        close_spare(block);
        free(block);
    }
    state.blocks = NULL;
    state.blocks_alive = state.bytes_alive = 0;
}
