#!/bin/sh
# elsewhere.sh arm64|riscv64|musl: `make test-ref-arm64` and its kin: the tests of ref/ as built for another machine
# or C library. FILTER: only tests with this in their names. QEMU_FLAGS: more for the emulator.
# Ends with `N passed, N failed`. Exit status: 0; 1 when a test failed; 2 set-up.
set -u
cd "$(dirname "$0")/../.." || exit 2
case ${1:-} in
arm64) run="qemu-aarch64 ${QEMU_FLAGS:-}" ;;
riscv64) run="qemu-riscv64 ${QEMU_FLAGS:-}" ;;
musl) run= ;;
*) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
esac
for tool in $run; do
    command -v "$tool" >/dev/null || { echo "elsewhere.sh: $tool is missing: scripts/setup" >&2; exit 2; }
    break
done
# Under qemu-user a fault of the guest program is the emulator's first, and mappings are its own: what asks the
# host's kernel about them is told about another process.
left_out='ptrace|seccomp'
mkdir -p build/test
log=build/test/ref-$1.log
# shellcheck disable=SC2086
PB_TEST_SECONDS=${PB_TEST_SECONDS:-300} $run build/ref-"$1"/ref-tests ${FILTER:+"$FILTER"} 2>&1 | tee "$log" | grep -v '^PASS'
! grep '^FAIL' "$log" | grep -qvE "$left_out"
