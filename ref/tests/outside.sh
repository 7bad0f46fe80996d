#!/bin/sh
# outside.sh [NAME]: tests of ref/ that need a compiler, a linker or another program: headers,
# installation, examples, the guest as WebAssembly, the test runner itself. NAME: only tests with
# that in their names. Prints PASS, FAIL or SKIP lines and `N passed, N failed` like ref-tests.
set -u
cd "$(dirname "$0")/../.." || exit 2
only=${1:-}
make=${MAKE:-make}
warn='-std=c11 -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror'
work=$(mktemp -d "${TMPDIR:-/tmp}/pagebox-test.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# A test is a function test_NAME; it ends with `fail WHAT`, `skip WHY` or by itself.
fail() { echo "$*" >"$work/why"; exit 1; }
skip() { echo "$*" >"$work/why"; exit 77; }
need() { command -v "$1" >/dev/null || skip "$1 is missing"; }
# Runs a command, keeps what it says, fails with it unless the status is as wanted.
expect() {
    wanted=$1
    shift
    "$@" >"$work/out" 2>&1
    status=$?
    [ $status = "$wanted" ] || fail "status $status, not $wanted: $*: $(tail -n 3 "$work/out")"
}
says() { grep -q -- "$1" "$work/out" || fail "does not say '$1': $(tail -n 3 "$work/out")"; }

# ---- Headers and compilers ----

test_R1_every_header_stands_alone() {
    for compiler in gcc clang; do
        need $compiler
        for header in ref/*.h; do
            echo "#include \"$header\"" >"$work/header.c"
            # shellcheck disable=SC2086
            expect 0 $compiler $warn -D_GNU_SOURCE -I. -Iref -fsyntax-only "$work/header.c"
        done
    done
}

# ---- Installation ----

install_here() {
    expect 0 "$make" --no-print-directory install PREFIX=/opt/pb DESTDIR="$work/root"
}

test_R1_install_a_program_builds_with_pkg_config() {
    need pkg-config
    install_here
    PKG_CONFIG_PATH=$work/root/opt/pb/lib/pkgconfig
    export PKG_CONFIG_PATH
    flags=$(pkg-config --define-variable=prefix="$work/root/opt/pb" --cflags --libs pagebox) ||
        fail "pkg-config does not know pagebox"
    # shellcheck disable=SC2086
    expect 0 gcc $warn -D_GNU_SOURCE ref/examples/runtime.c $flags -o "$work/runtime"
    expect 0 "$work/runtime"
    says 'task 7 is awake'
    [ "$(pkg-config --modversion pagebox)" = "$(sed -n 's/.*PB_VERSION "\(.*\)"/\1/p' \
        ref/pagebox.h)" ] || fail "pagebox.pc and pagebox.h differ in their version"
}

test_R1_install_a_strict_c11_program_builds() {
    install_here
    cat >"$work/user.c" <<'C'
#include <pagebox.h>
int main(void) {
    const struct pb_memory_config config = {.type = {1, 2, true}};
    struct pb_memory *memory;
    return pb_memory_create(&config, &memory) != PB_OK || (pb_memory_destroy(memory), 0);
}
C
    for compiler in gcc clang; do
        need $compiler
        # shellcheck disable=SC2086
        expect 0 $compiler $warn -I"$work/root/opt/pb/include/pagebox" "$work/user.c" \
            -L"$work/root/opt/pb/lib" -lpagebox -pthread -o "$work/user"
        expect 0 "$work/user"
    done
}

test_R1_uninstall_leaves_nothing() {
    install_here
    [ -n "$(find "$work/root" -name 'pagebox.*')" ] || fail "nothing was installed"
    expect 0 "$make" --no-print-directory uninstall PREFIX=/opt/pb DESTDIR="$work/root"
    left=$(find "$work/root" ! -type d)
    [ -z "$left" ] || fail "left behind: $left"
}

# ---- Examples and allocators ----

test_R4_examples_run() {
    for example in build/*/ref-example-runtime; do
        [ -x "$example" ] || fail "not built: $example"
        expect 0 "$example"
        says 'grew from 1 pages to 2'
        says 'trapped: out of bounds'
        says 'task 7 is awake'
    done
}

test_R8_heap_strategy_with_jemalloc() {
    library=$(/sbin/ldconfig -p | sed -n 's/.*libjemalloc.so.2 .*=> //p' | head -n 1)
    [ -n "$library" ] || skip "libjemalloc.so.2 is missing"
    for name in R2_ R6_grow R8_ R13_copy_ R15_reset_leaves; do
        expect 0 env LD_PRELOAD="$library" build/plain/ref-tests -q $name
    done
}

# ---- The guest as WebAssembly ----

# guest.c and the test's module: NAME, then flags of clang, then `--`, then flags of wasm-ld.
build_guest() {
    need clang
    need wasm-ld
    name=$1
    shift
    flags=
    while [ "$1" != -- ]; do
        flags="$flags $1"
        shift
    done
    shift
    for source in ref/guest.c ref/tests/wasm/guest_test.c; do
        # shellcheck disable=SC2086
        expect 0 clang --target=wasm32 $warn -O2 $flags -Iref -c $source \
            -o "$work/$(basename $source .c).o"
    done
    expect 0 wasm-ld --no-entry --import-memory "$@" "$work/guest.o" "$work/guest_test.o" \
        -o "$work/$name.wasm"
}

test_R31_guest_builds_for_wasm32_and_drains_in_node() {
    build_guest plain -matomics -- --initial-memory=262144 --max-memory=262144
    need node
    expect 0 timeout 60 node ref/tests/wasm/guest_test.mjs "$work/plain.wasm" plain
}

test_R34_guest_builds_with_atomics_and_parks_in_node() {
    build_guest shared -DPARK_BY_WAIT32 -matomics -mbulk-memory -- --shared-memory \
        --initial-memory=262144 --max-memory=262144
    need node
    expect 0 timeout 60 node ref/tests/wasm/guest_test.mjs "$work/shared.wasm" shared
}

# Without atomic instructions a drain loses what the host raises between its load and its store.
test_R34_guest_is_built_with_atomic_instructions_only() {
    need clang
    expect 1 clang --target=wasm32 -std=c11 -Iref -fsyntax-only ref/guest.c
    says 'compile with -matomics'
    expect 0 clang --target=wasm32 -std=c11 -O2 -matomics -Iref -S ref/guest.c -o "$work/guest.s"
    grep -q 'i32.atomic.rmw.and' "$work/guest.s" || fail "the drain's and is no instruction"
}

# ---- The tests themselves ----

test_R1_to_R38_and_S1_to_S28_each_have_a_test() {
    { build/plain/ref-tests -l; grep -o '^test_R[0-9]*_' "$0" | sed s/test_//; } >"$work/names"
    for rule in $(seq 1 38); do
        grep -qE "^R${rule}_" "$work/names" || fail "no test of R$rule"
    done
    for defect in $(seq 1 28); do
        grep -qE "^R[0-9]+_S${defect}_" "$work/names" || fail "no test of S$defect"
    done
}

test_R1_runner_tells_failures_apart() {
    expect 0 gcc -std=c11 -D_GNU_SOURCE -Iref -Iref/tests ref/tests/self/broken.c \
        ref/tests/runner.c build/plain/libpagebox.a -pthread -o "$work/broken"
    expect 1 env PB_TEST_SECONDS=1 "$work/broken"
    says '^PASS R1_passes$'
    says '^FAIL R2_fails: .*broken.c:[0-9]*: 1 + 1 is 2 (0x2), not 3 (0x3)$'
    says '^FAIL R3_has_the_wrong_status: .*PB_LIMIT is PB_LIMIT, not PB_OK \[strategy none\]$'
    says '^FAIL R4_crashes: .*Segmentation fault$'
    says '^FAIL R5_stands_still: .*blocked?$'
    says '^SKIP R6_is_skipped: this machine has no unicorn$'
    says '^FAIL R7_fails_in_a_thread: .*argument != NULL$'
    says '^FAIL R10_leaves_with_a_status_of_its_own: .*exit status 3'
    [ "$(tail -n 1 "$work/out")" = '1 passed, 6 failed, 1 skipped' ] ||
        fail "ends with: $(tail -n 1 "$work/out")"
    expect 0 "$work/broken" R1_passes
    [ "$(cat "$work/out")" = "PASS R1_passes
1 passed, 0 failed" ] || fail "prints: $(cat "$work/out")"
}

test_R1_runner_refuses_bad_usage() {
    expect 2 build/plain/ref-tests -x
    says usage
    expect 2 build/plain/ref-tests no_such_test
    says 'no test has that in its name'
    expect 0 build/plain/ref-tests -l R7_
    says '^R7_grow_zero_at_maximum$'
}

# ---- All of them ----

passed=0 failed=0 skipped=0
for name in $(sed -n 's/^test_\([A-Za-z0-9_]*\)() {$/\1/p' "$0"); do
    case $name in *"$only"*) ;; *) continue ;; esac
    rm -rf "$work/root" "$work/why"
    ("test_$name")
    case $? in
    0) passed=$((passed + 1)); echo "PASS $name" ;;
    77) skipped=$((skipped + 1)); echo "SKIP $name: $(cat "$work/why")" ;;
    *) failed=$((failed + 1)); echo "FAIL $name: $0: $(cat "$work/why" 2>/dev/null)" ;;
    esac
done
echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
[ $failed = 0 ]
