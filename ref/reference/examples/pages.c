/* 65,536 pages are 4 GiB, and not 0. */
#include <pagebox/pages.h>

int main(void) {
    uint32_t sum;
    return pb_pages_to_bytes(PB_PAGES_MAX) == UINT64_C(4294967296) &&
                   !pb_pages_add(65535, 2, PB_PAGES_MAX, &sum)
               ? 0
               : 1;
}
