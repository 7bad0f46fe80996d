#!/bin/sh
# elsewhere.sh arm64|riscv64|musl|16k|64k: `make test-ref-arm64` and the like. Runs the tests of ref/ built for another
# machine or C library, or as if host pages had 16 or 64 KiB (libc.c pretends that). FILTER: only tests
# with this in their names. QEMU_FLAGS: more options for the emulator.
# Ends with `N passed, N failed`. Exit status: 0; 1 when a test failed; 2 set-up.
set -u
cd "$(dirname "$0")/../.." || exit 2
case ${1:-} in
arm64) run="qemu-aarch64 ${QEMU_FLAGS:-}" ;;
riscv64) run="qemu-riscv64 ${QEMU_FLAGS:-}" ;;
musl) run= ;;
16k) run="env PB_TEST_PAGE_BYTES=16384" ;;
64k) run="env PB_TEST_PAGE_BYTES=65536" ;;
*) sed -n '2,6s/^# //p' "$0" >&2; exit 2 ;;
esac
for tool in $run; do
    command -v "$tool" >/dev/null || { echo "elsewhere.sh: $tool is missing: scripts/setup" >&2; exit 2; }
    break
done
# qemu-user answers some calls by itself, unlike Linux: mincore and mlockall report nothing, RLIMIT_AS and RLIMIT_DATA
# are not set, and the address space is the emulator's. Tests of just that are named and not counted.
left_out=
case $run in qemu*) left_out='address_space_limit|growth_under_a_limit|R43_address_space|failed_move_leaves_no_hole|stay_resident|locked|growth_that_cannot_be_undone|capacity_moves_or_is_refused' ;;
esac
tests=build/ref-$1/ref-tests
[ -e "$tests" ] || tests=build/plain/ref-tests
mkdir -p build/test
log=build/test/ref-$1.log
# shellcheck disable=SC2086
PB_TEST_SECONDS=${PB_TEST_SECONDS:-300} $run "$tests" ${FILTER:+"$FILTER"} >"$log" 2>&1
grep -E '^(FAIL|SKIP)' "$log" | grep -vE "${left_out:-^$}"
grep -E "^FAIL" "$log" | grep -E "${left_out:-^$}" | sed 's/^FAIL/LEFT OUT (emulator)/'
awk -v left_out="${left_out:-^$}" '
    /^PASS/ { passed++ }
    /^FAIL/ { if ($0 ~ left_out) left++; else failed++ }
    END {
        if (passed + failed == 0) { print "FAIL ref: nothing ran"; failed = 1 }
        if (left) print left " left out: see above"
        print passed + 0 " passed, " failed + 0 " failed"
        exit failed > 0
    }' "$log"
