#!/bin/sh
# valgrind.sh: `make test-valgrind`. Runs the plain build's tests under memcheck, without those that
# need what valgrind has not: real parallel threads (minutes each), limits of the address space, remap.
# FILTER: only tests with this in their names. Status 0, 1 on a finding, 2 without valgrind.
set -u
cd "$(dirname "$0")/../.." || exit 2
command -v valgrind >/dev/null || {
    echo "valgrind.sh: valgrind is missing: run scripts/setup" >&2
    exit 2
}
# Stress tests, and those whose point is a limit or 4 GiB that valgrind's own bookkeeping breaks.
without='many_producers|against|ping_pong|concurrent|sum_of|while_others|come_and_go|clones_of_many'
without="$without|shared_by_threads|neighbours|updates_are|lost_between|at_once_release|os_wake"
without="$without|lock_excludes|address_space_limit|65536_pages|4_gib|sparse|os_more_than"
without="$without|failing_anywhere|leaves_no_address_space|covers_every_32_bit|step_by_step|producer_that_stop|as_wide_as|S24_growth_that_moves"
# Memcheck 3.19 takes what a growing mremap to a given place opened for closed: reports of accesses
# that the processor allows.
export PB_TEST_WITHOUT=remap
without="$without|a_move_that_the_kernel_refuses|has_moved_and_grown|keeps_its_place|3_gib_is_enough"
tests=$(build/plain/ref-tests -l | grep -vE "$without" | grep -F -- "${FILTER:-}") || {
    echo "valgrind.sh: no test has that in its name" >&2
    exit 2
}
# shellcheck disable=SC2086 # names have no blanks
PB_TEST_SECONDS=300 exec valgrind --quiet --trace-children=no --error-exitcode=99 \
    --leak-check=full --errors-for-leak-kinds=definite --suppressions=ref/tests/valgrind.supp \
    build/plain/ref-tests $tests
