/* subject_broken.c: a small subject of malloc and realloc that refuses exactly 65,536 pages (R5),
 * for the tests of the loader. BROKEN_ABI, BROKEN_TABLE, BROKEN_LOAD, BROKEN_CRASH, BROKEN_HANG,
 * BROKEN_HEAP, BROKEN_EXIT, BROKEN_QUIT, BROKEN_LOAD_EXIT break it further; SPARED=R5-grow-limit
 * takes a rule off by its own table. */
#include "subject.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sizes only: nothing is stored, since no operation that it has would look. */
struct memory {
    struct subject_record record;
    uint32_t pages, max;
};

static enum subject_status create(const struct subject_memory_config *config, void **made) {
    uint32_t min = config->type.min_pages, max = config->type.max_pages;
    bool has_max = max != SUBJECT_NO_MAXIMUM;
    if (min > SUBJECT_PAGES_MAX || (has_max && (max > SUBJECT_PAGES_MAX || min > max))) {
        return SUBJECT_LIMIT;
    }
    if (config->type.shared || min > 0) {
        return SUBJECT_UNSUPPORTED;
    }
    struct memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    memory->max = has_max ? max : SUBJECT_PAGES_MAX;
    *made = memory;
    return SUBJECT_OK;
}

static void destroy(void *memory) {
    free(memory);
}

static uint64_t size_pages(void *memory) {
    return ((struct memory *)memory)->pages;
}

static uint64_t size_bytes(void *memory) {
    return size_pages(memory) * SUBJECT_PAGE_BYTES;
}

static enum subject_status grow(void *self, uint32_t delta, uint32_t *old) {
    struct memory *memory = self;
    if (getenv("BROKEN_CRASH") != NULL) {
        abort();
    }
    while (getenv("BROKEN_HANG") != NULL) {
    }
    if (getenv("BROKEN_EXIT") != NULL) {
        exit(0);
    }
    if (getenv("BROKEN_QUIT") != NULL) {
        _exit(0);
    }
    if (getenv("BROKEN_HEAP") != NULL) {
        memset((uint8_t *)memory - 16, 0xFF, 16);
        free(memory); /* and it is used after that */
    }
    /* Two mistakes: >=, and a use after free. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    if ((uint64_t)memory->pages + delta >= memory->max) {
        return SUBJECT_LIMIT;
    }
    *old = memory->pages;
    return delta == 0 ? SUBJECT_OK : SUBJECT_NO_MEMORY;
}

static const struct subject_record *record(void *memory) {
    return &((struct memory *)memory)->record;
}

const struct subject *pagebox_subject(void) {
    static const struct subject_strategy strategy = {.name = "nothing", .partial = true};
    static struct subject_memory table = {
        .promises = SUBJECT_TELLS_LIMIT | SUBJECT_NAMES_ERRORS,
        .strategies = 1,
        .strategy = &strategy,
        .create = create,
        .destroy = destroy,
        .size_pages = size_pages,
        .size_bytes = size_bytes,
        .grow = grow,
        .record = record,
    };
    static struct subject subject = {.abi = SUBJECT_ABI, .name = "broken", .memory = &table};
    if (getenv("BROKEN_ABI") != NULL) {
        subject.abi = SUBJECT_ABI + 1;
    }
    if (getenv("BROKEN_LOAD") != NULL) {
        abort();
    }
    if (getenv("BROKEN_LOAD_EXIT") != NULL) {
        exit(0);
    }
    static struct subject_exemption spared[2] = {{.reason = "as the test asks"}};
    spared[0].rule = getenv("SPARED");
    subject.not_promised = spared;
    if (getenv("BROKEN_TABLE") != NULL) {
        table.grow = NULL;
    }
    return &subject;
}
