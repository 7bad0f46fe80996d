/* one_page.h: what custom memories of exactly one page have in common: type, style, growth, record.
 *
 * self of pb_memory_create_custom is a struct one_page, or what begins with one. */
#ifndef ONE_PAGE_H
#define ONE_PAGE_H

#include "memory.h"

struct one_page {
    struct pb_memory_definition definition;
    bool shared;
};

static inline struct pb_memory_type one_page_type(void *self) {
    return (struct pb_memory_type){1, 1, ((struct one_page *)self)->shared};
}

static inline struct pb_memory_style one_page_style(void *self) {
    (void)self;
    return (struct pb_memory_style){.kind = PB_STYLE_STATIC, .bound_pages = 1};
}

static inline enum pb_status one_page_grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    (void)self;
    if (delta_pages != 0) {
        return PB_LIMIT; /* and nothing is told */
    }
    *old_pages = 1;
    return PB_OK;
}

static inline struct pb_memory_definition *one_page_definition(void *self) {
    return &((struct one_page *)self)->definition;
}

/* Where the page, and the record, are not the memory's own. */
static inline void one_page_release(void *self) {
    (void)self;
}

#endif
