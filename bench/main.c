/* main.c: the benchmark program. The subjects register themselves; shim.h says how. */
#include "allocators.h"
#include "shim.h"

int main(int argc, char **argv) {
    bench_environment("compiler", __VERSION__);
    bench_environment("flags", BENCH_FLAGS);
    bench_environment("glibc", bench_glibc_version());
    bench_environment("jemalloc", bench_jemalloc_version());
    bench_environment("jemalloc_settings", bench_jemalloc_settings());
    bench_environment("mimalloc", bench_mimalloc_version());
    return bench_main(argc, argv);
}
