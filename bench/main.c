/* main.c: the benchmark program. Subjects register themselves; see shim.h. */
#include "allocators.h"
#include "shim.h"

#include <stddef.h>

/* Sections of the report that contain other sections, in order. */
BENCH_SUBJECT {
    static const struct bench_section sections[] = {
        {.title = "Subjects",
         .text = "All subjects, the reference too, are called through the function table of "
                 "`fuzz/subject.h`, so call costs are the same. In brackets: the ratio to the "
                 "reference, with strategy `reserve` for memories."},
        {.title = "Linear memories, by strategy and size",
         .text =
             "The limit (grey in the plots) is the bare system calls, or the bare allocator, for "
             "the same result on a mapping of their own. A strategy that does less work can beat "
             "it: `heap` keeps its pages, a pool recycles its slots. Peers are upstream's "
             "algorithm (static and dynamic), wabt's runtime for wasm2c, and V8 called from "
             "JavaScript, another kind of caller. wabt 1.0.32 unmaps only the accessible part of "
             "a memory, so its destroy is cheap, and leaks."},
        {.title = "Allocators",
         .text =
             "The heap strategy in a long-running process, where freed pages are reused. "
             "`jemalloc` has its default settings; with `decay_0` freed pages go back to the "
             "kernel at once, with `no_retain` address space too, and `thp` uses huge pages. The "
             "limit is the bare allocator."},
        {.title = "Real programs",
         .text =
             "C programs of our own, compiled to wasm32, turned into C by wasm2c, linked with our "
             "memories or with wabt's; an instance's whole life. `guard page`: compiled without "
             "bounds checks, on 8 GiB of address space; `comparison`: each access is compared "
             "with the size. Native programs use glibc's allocator on a heap that is already "
             "warm. The others use wasi-libc's in a memory that starts empty, so `store` and "
             "`grower` also show page faults and allocators. All compute the same checksum."},
        {.title = "Mailbox beside its peers",
         .text =
             "The same loops for each queue, time an id. The queues do different amounts of work: "
             "this mailbox keeps its words in guest memory, checks for room against a guest that "
             "is "
             "not trusted, signals a guest that may be parked, and excludes enqueues while the "
             "memory moves. Concurrency Kit's rings and DPDK's hand pointers over within one "
             "process, without a signal. liburcu's is an unbounded list of nodes that the caller "
             "supplies. Upstream's makes a system call for each enqueue, and loses ids when its "
             "256 slots are full."},
        {.title = "Mailbox, by order table",
         .text =
             "The same code, four tables of memory orders: as chosen in `ref/orders.h`; every "
             "access sequentially consistent; acquire and release wherever they fit; upstream's. "
             "Tables other than the chosen one are measured for their cost: they are not correct, "
             "or not known to be. Each operation stands beside a bare fetch_add and a bare lock "
             "and unlock in as many threads; a drain beside a bare walk over the slots."},
        {.title = "Wait and notify",
         .text =
             "Times between threads are distributions: compare quantiles, and only by factors. "
             "The threads are pinned to cores; without pinning the scheduler mixes these cases."},
        {.title = NULL},
    };
    bench_sections_add(sections);
}

int main(int argc, char **argv) {
    bench_environment("compiler", __VERSION__);
    bench_environment("flags", BENCH_FLAGS);
    bench_environment("glibc", bench_glibc_version());
    bench_environment("jemalloc", bench_jemalloc_version());
    bench_environment("jemalloc_settings", bench_jemalloc_settings());
    bench_environment("mimalloc", bench_mimalloc_version());
    return bench_main(argc, argv);
}
