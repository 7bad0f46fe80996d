/* os_sim_faults.c: the plan of faults and its allocator under the engine. See os_sim_faults.h. */
#include "os_sim_faults.h"

#include "fault.h"
#include "os_sim.h"
#include "os_wrap.h"
#include "sim.h"

#include <string.h>

/* ---- Calls of os.h ----------------------------------------------------------------------------
 */

/* Also for the allocator's calls, which only ever answer NULL. */
enum pb_status os_sim_refusal(const char *name, enum pb_status usual) {
    static const enum pb_status errors[WORD_error_count] = {
        [WORD_error_no_memory] = PB_NO_MEMORY,
        [WORD_error_no_descriptors] = PB_NO_DESCRIPTORS,
        [WORD_error_interrupted] = PB_INTERRUPTED,
        [WORD_error_system] = PB_SYSTEM,
    };
    unsigned call = fault_armed() ? 0 : WORD_call_count;
    while (call < WORD_call_count && strcmp(op_word(KIND_call, call), name) != 0) {
        call++;
    }
    if (call == WORD_call_count || !fault_due(sim_self(), (enum word_call)call)) {
        return PB_OK;
    }
    return fault_error() == WORD_error_any ? usual : errors[fault_error()];
}

static bool refuses(const char *name) {
    return os_sim_refusal(name, PB_NO_MEMORY) != PB_OK || sim_fault();
}

/* For subject_ref.c: nothing is kept between programs. */
bool os_wrap_keeps(void) {
    return false;
}

static uint32_t blocks; /* alive */

/* ---- An allocator on the engine's heap, which sees what is freed too early or twice -----------
 */

static void *allocate_zeroed(size_t bytes) {
    void *at = refuses("allocate") ? NULL : sim_calloc(1, bytes);
    blocks += at != NULL;
    return at;
}

static void *resize(void *at, size_t bytes) {
    void *resized = refuses("resize") ? NULL : sim_realloc(at, bytes);
    blocks += at == NULL && resized != NULL;
    return resized;
}

static void release(void *at) {
    blocks -= at != NULL;
    sim_free(at);
}

const struct subject_environment *os_sim_environment(void) {
    static const struct subject_environment environment = {allocate_zeroed, resize, release, 65536};
    blocks = 0;
    return &environment;
}

uint32_t os_sim_blocks(void) {
    return blocks;
}
