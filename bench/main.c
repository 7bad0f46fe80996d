/* main.c: the benchmark program. The subjects register themselves; shim.h says how. */
#include "allocators.h"
#include "shim.h"

#include <stddef.h>

/* The sections of the report that hold others, in their order. */
BENCH_SUBJECT {
    static const struct bench_section sections[] = {
        {.title = "Subjects",
         .text =
             "Each through the table of functions of `fuzz/subject.h`, the reference too, so that "
             "all pay the same calls. In brackets: times the reference's, with strategy `reserve` "
             "for memories."},
        {.title = "Linear memories, by strategy and size",
         .text =
             "Grey in the plots, and `limit` in the tables: the bare system calls, or the bare "
             "allocator, that give the same result on a mapping of their own. A strategy may get "
             "below that where it does less: `heap` keeps its pages, a pool recycles its slots. "
             "Peers are the algorithm of upstream (static and dynamic), wabt's runtime for "
             "wasm2c, and V8 called from JavaScript, another kind of caller. wabt 1.0.32 gives "
             "back the accessible part of a memory alone: its destroy is cheap, and leaks."},
        {.title = "Allocators",
         .text =
             "The heap strategy, as the allocator is in a process that lives: pages that were "
             "given back are used again. jemalloc as it comes; `decay_0`: freed pages go back to "
             "the kernel at once; `no_retain`: address space as well; `thp`: huge pages. The "
             "limit is the bare allocator."},
        {.title = "Real programs",
         .text =
             "C programs of our own, compiled to wasm32, turned into C by wasm2c, linked with our "
             "memories or with wabt's; an instance's whole life. `guard page`: compiled without "
             "bounds checks, on 8 GiB of address space; `comparison`: each access is compared "
             "with the size. Native programs use glibc's allocator and a heap that lives on, the "
             "others wasi-libc's in a memory that starts empty, so `store` and `grower` show "
             "page faults and allocators as well. All compute the same checksum."},
        {.title = "Mailbox beside its peers",
         .text =
             "The same loops around each, time an id. They do different amounts of work: this "
             "mailbox keeps its words in guest memory, checks for room against a guest that is "
             "not trusted, signals a guest that may be parked, and excludes enqueues while the "
             "memory moves. Concurrency Kit's rings and DPDK's hand pointers over within one "
             "process, without signal; liburcu's is a list of nodes that the caller brings, "
             "without bounds. Upstream's makes a system call an enqueue, and loses ids when its "
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
             "Times between threads are distributions, not numbers: compare quantiles, and only "
             "by factors. The threads are kept on their cores; where the scheduler places them "
             "freely it mixes these cases."},
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
