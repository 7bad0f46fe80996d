/* faults.h: calls of ref/os.h that fail when finding.c says so. Linked by -Wl,--wrap=pb_os_... */

/* Each thread's own. */
static _Thread_local bool
    closing_failed;              /* the last call that closes pages; none opened any since */
static _Thread_local bool opens; /* this call of os_advise */

static bool is_due(const char *call) {
    bool now_due = due(call);
    const bool opening =
        strcmp(call, "os_commit") == 0 || (strcmp(call, "os_advise") == 0 && opens);
    const bool closing = strcmp(call, "os_decommit") == 0 || strcmp(call, "os_renew") == 0;
    if (opening) { /* where nothing closes pages again, opening them does not fail */
        now_due = now_due && !closing_failed;
        closing_failed = closing_failed && strcmp(call, "os_commit") != 0;
    } else if (closing) {
        closing_failed = now_due;
    }
    return now_due;
}

/* The error that was asked for; else one of three by choice. */
static enum pb_status error_of(enum pb_status first, enum pb_status second, enum pb_status third) {
    static const char *const names[] = {"no_memory", "no_descriptors", "interrupted", "system"};
    static const enum pb_status errors[] = {PB_NO_MEMORY, PB_NO_DESCRIPTORS, PB_INTERRUPTED,
                                            PB_SYSTEM};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(names[i], error_now) == 0) {
            return errors[i];
        }
    }
    unsigned drawn = choose(3);
    return drawn == 0 ? first : drawn == 1 ? second : third;
}

static enum pb_status page_error(void) {
    return error_of(PB_NO_MEMORY, PB_INTERRUPTED, PB_SYSTEM);
}

static enum pb_status file_error(void) {
    return error_of(PB_NO_DESCRIPTORS, PB_NO_MEMORY, PB_SYSTEM);
}

/* Each wraps the library's function of that name. */
#define WRAP(error, name, parameters, arguments)                     \
    enum pb_status __real_pb_##name parameters;                      \
    enum pb_status __wrap_pb_##name parameters;                      \
    enum pb_status __wrap_pb_##name parameters {                     \
        return is_due(#name) ? (error) : __real_pb_##name arguments; \
    }
WRAP(page_error(), os_reserve, (uint64_t bytes, void **base), (bytes, base))
WRAP(page_error(), os_reserve_accessible, (uint64_t bytes, void **base), (bytes, base))
/* This one has opened a part when it fails, unless others shall fail after it. */
enum pb_status __real_pb_os_commit(void *at, uint64_t bytes);
enum pb_status __wrap_pb_os_commit(void *at, uint64_t bytes);
enum pb_status __wrap_pb_os_commit(void *at, uint64_t bytes) {
    if (!is_due("os_commit")) {
        return __real_pb_os_commit(at, bytes);
    }
    uint64_t half = bytes / 2 / pb_os_page_bytes() * pb_os_page_bytes();
    if (!any_armed() && half > 0) {
        (void)__real_pb_os_commit(at, half);
    }
    return page_error();
}
WRAP(page_error(), os_decommit, (void *at, uint64_t bytes), (at, bytes))
WRAP(page_error(), os_discard, (void *at, uint64_t bytes), (at, bytes))
WRAP(page_error(), os_renew, (void *at, uint64_t bytes), (at, bytes))
WRAP(page_error(), os_release, (void *base, uint64_t bytes), (base, bytes))
/* The target of this one is as it was when it fails. */
static enum pb_status move_error(bool *kept) {
    *kept = true;
    return page_error();
}
WRAP(move_error(kept), os_move,
     (void *from, uint64_t bytes, void *to, uint64_t to_bytes, bool *kept),
     (from, bytes, to, to_bytes, kept))
enum pb_status __real_pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice);
enum pb_status __wrap_pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice);
enum pb_status __wrap_pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice) {
    opens = advice == PB_OS_GUARD_REMOVE;
    if (!is_due("os_advise")) {
        return __real_pb_os_advise(at, bytes, advice);
    }
    uint64_t half = bytes / 2 / pb_os_page_bytes() * pb_os_page_bytes();
    if ((opens || advice == PB_OS_GUARD_INSTALL) && half > 0 && choose(2) == 1 &&
        (!opens || !any_armed())) {
        (void)__real_pb_os_advise(at, half, advice);
    }
    return page_error();
}
WRAP(file_error(), os_file_create, (uint64_t bytes, int *file), (bytes, file))
WRAP(file_error(), os_file_write, (int file, uint64_t offset, const void *data, uint64_t count),
     (file, offset, data, count))
WRAP(file_error(), os_file_freeze, (int file), (file))
WRAP(file_error(), os_file_map, (int file, void *at, uint64_t bytes, bool *lost),
     (file, at, bytes, lost))
WRAP(choose(2) == 0 ? PB_UNSUPPORTED : PB_SYSTEM, os_file_written,
     (const void *at, uint64_t bytes, uint8_t *written), (at, bytes, written))
