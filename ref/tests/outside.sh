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

# pkg-config as it would answer had the staged files been installed in earnest.
pkg() {
    PKG_CONFIG_PATH=$work/root/opt/pb/lib/pkgconfig pkg-config \
        --define-variable=prefix="$work/root/opt/pb" "$@" pagebox
}

test_R1_install_each_header_alone_in_c_and_cpp() {
    install_here
    for header in "$work"/root/opt/pb/include/pagebox/*.h; do
        name=$(basename "$header")
        printf '#include <pagebox/%s>\n#include <pagebox/%s>\nint main(void) { return 0; }\n' \
            "$name" "$name" >"$work/alone.c"
        cp "$work/alone.c" "$work/alone.cpp"
        for compiler in gcc clang; do
            need $compiler
            # shellcheck disable=SC2086
            expect 0 $compiler $warn -Wpedantic -I"$work/root/opt/pb/include" -fsyntax-only "$work/alone.c"
        done
        for compiler in g++ clang++; do
            need $compiler
            expect 0 $compiler -std=c++17 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Werror \
                -I"$work/root/opt/pb/include" -fsyntax-only "$work/alone.cpp"
        done
    done
}

# What a C and a C++ compiler make of the structures is the same.
test_R1_install_c_and_cpp_agree_on_layouts() {
    install_here
    need g++
    cat >"$work/layout.c" <<'C'
#include <pagebox/pagebox.h>
#include <stddef.h>
#include <stdio.h>
#define SIZE(type) printf(#type " %zu\n", sizeof(struct type))
int main(void) {
    SIZE(pb_memory_config); SIZE(pb_memory_definition); SIZE(pb_memory_operations);
    SIZE(pb_mailbox_config); SIZE(pb_mailbox_words); SIZE(pb_guest_host); SIZE(pb_pool_config);
    SIZE(pb_address_owner); SIZE(pb_memory_type); SIZE(pb_memory_style); SIZE(pb_tunables);
    printf("%zu %zu\n", offsetof(struct pb_memory_definition, length_bytes),
           offsetof(struct pb_mailbox_words, ring));
    return 0;
}
C
    cp "$work/layout.c" "$work/layout.cpp"
    expect 0 gcc -std=c11 -I"$work/root/opt/pb/include" "$work/layout.c" -o "$work/layout_c"
    expect 0 g++ -std=c++17 -I"$work/root/opt/pb/include" "$work/layout.cpp" -o "$work/layout_cpp"
    "$work/layout_c" >"$work/c" && "$work/layout_cpp" >"$work/cpp" && cmp "$work/c" "$work/cpp" ||
        fail "$(diff "$work/c" "$work/cpp")"
}

# The map, the headers, the two libraries and the reference pages have the same names.
test_R1_install_shows_what_is_documented() {
    need nm
    install_here
    sed -n 's/^ *\(pb_[a-z0-9_]*\);$/\1/p' ref/pagebox.map | sort >"$work/map"
    ref/reference.py --names | sort >"$work/headers"
    cmp -s "$work/map" "$work/headers" || fail "map and headers: $(diff "$work/map" "$work/headers" | tail -n 3)"
    nm -D --defined-only "$work"/root/opt/pb/lib/libpagebox.so | awk '$2 ~ /[TRDB]/ { sub(/@.*/, "", $3); print $3 }' |
        sort >"$work/shared"
    cmp -s "$work/map" "$work/shared" || fail "map and .so: $(diff "$work/map" "$work/shared" | tail -n 3)"
    nm -g --defined-only "$work"/root/opt/pb/lib/libpagebox.a | awk 'NF == 3 { print $3 }' | sort >"$work/archive"
    cmp -s "$work/map" "$work/archive" || fail "map and .a: $(diff "$work/map" "$work/archive" | tail -n 3)"
    expect 0 ref/reference.py --check
}

test_R1_install_names_the_license_in_each_file() {
    install_here
    nameless=$(grep -rIL --exclude=libpagebox.\* 'SPDX-License-Identifier: MIT' "$work/root")
    [ -z "$nameless" ] || fail "no SPDX line: $nameless"
}

# Every macro of a header begins with PB_, and <memory.h> stays the C library's.
test_R1_install_defines_no_name_of_others() {
    install_here
    libc='#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>'
    echo "$libc" >"$work/before.c"
    printf '%s\n#include <pagebox/pagebox.h>\n' "$libc" >"$work/after.c"
    for program in before after; do
        gcc -std=c11 -dM -E -I"$work/root/opt/pb/include" "$work/$program.c" | sort >"$work/$program"
    done
    grep -q PB_VERSION "$work/after" || fail "no macro of ours was seen"
    foreign=$(comm -13 "$work/before" "$work/after" | grep -v '^#define PB_')
    [ -z "$foreign" ] || fail "defines $foreign"
    printf '#include <memory.h>\n#include <pagebox/pagebox.h>\nint main(void) { char a[1]; return memset(a, 0, 1) != a; }\n' \
        >"$work/memory.c"
    # shellcheck disable=SC2046
    expect 0 gcc -std=c11 -Wall -Werror $(pkg --cflags) "$work/memory.c" -o "$work/memory"
}

test_R1_install_sample_in_c_with_pkg_config() {
    need pkg-config
    install_here
    cp -r ref/installed/c "$work/c-project"
    expect 0 "$make" -C "$work/c-project" PKG_CONFIG="env PKG_CONFIG_PATH=$work/root/opt/pb/lib/pkgconfig \
        pkg-config --define-variable=prefix=$work/root/opt/pb"
    expect 0 env LD_LIBRARY_PATH="$work/root/opt/pb/lib" "$work/c-project/main"
    says 'PB_OUT_OF_BOUNDS, task 42'
    expect 0 "$make" -B -C "$work/c-project" LINK=-static PKG_CONFIG="env \
        PKG_CONFIG_PATH=$work/root/opt/pb/lib/pkgconfig pkg-config --define-variable=prefix=$work/root/opt/pb"
    expect 0 "$work/c-project/main"
    [ "$(pkg --modversion)" = "$(sed -n 's/.*PB_VERSION "\(.*\)"/\1/p' ref/pagebox.h)" ] ||
        fail "pagebox.pc and pagebox.h differ in their version"
    pkg --cflags | grep -q 'include/pagebox' && fail "our memory.h stands before the C library's"
    true
}

test_R1_install_sample_in_cpp_with_cmake() {
    need cmake
    need g++
    install_here
    expect 0 cmake -S ref/installed/cpp -B "$work/cpp-build" -DCMAKE_PREFIX_PATH="$work/root/opt/pb"
    expect 0 cmake --build "$work/cpp-build"
    for kind in pagebox static; do
        expect 0 "$work/cpp-build/sample_$kind"
        says 'from C++: 3 tasks'
    done
}

test_R1_install_examples_build_outside() {
    need pkg-config
    install_here
    # shellcheck disable=SC2046,SC2086
    expect 0 gcc $warn -D_GNU_SOURCE ref/examples/start.c $(pkg --cflags --libs) -o "$work/start"
    expect 0 env LD_LIBRARY_PATH="$work/root/opt/pb/lib" "$work/start"
    says 'task 7 is awake'
}

# Each page's example is a program: it builds against what is installed, and ends with 0.
test_R1_install_examples_of_the_reference_run() {
    install_here
    for example in ref/reference/examples/*.c; do
        # shellcheck disable=SC2086
        expect 0 gcc $warn -I"$work/root/opt/pb/include" "$example" \
            "$work/root/opt/pb/lib/libpagebox.a" -pthread -o "$work/example"
        expect 0 "$work/example"
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
    for example in build/*/ref-example-start; do
        [ -x "$example" ] || fail "not built: $example"
        expect 0 "$example"
        says 'past the end: out of bounds'
        says 'task 7 is awake'
    done
}

# A program of wasm2c: its fault is its task's trap, four threads wake the others.
test_R39_example_of_wasm2c_runs() {
    need wasm2c
    need wat2wasm
    expect 0 "$make" --no-print-directory build/plain/ref-example-wasm2c
    expect 0 build/plain/ref-example-wasm2c
    says 'task 13 trapped'
    says '11 tasks ran, 1 trapped'
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
    expect 0 timeout 600 node ref/tests/wasm/guest_test.mjs "$work/plain.wasm" plain
}

test_R34_guest_builds_with_atomics_and_parks_in_node() {
    build_guest shared -DPARK_BY_WAIT32 -matomics -mbulk-memory -- --shared-memory \
        --initial-memory=262144 --max-memory=262144
    need node
    expect 0 timeout 600 node ref/tests/wasm/guest_test.mjs "$work/shared.wasm" shared
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
        ref/tests/fixture.c ref/tests/runner.c build/plain/libpagebox.a -pthread -o "$work/broken"
    expect 1 env PB_TEST_SECONDS=5 "$work/broken"
    says '^PASS R1_passes$'
    says '^FAIL R2_fails: .*broken.c:[0-9]*: 1 + 1 is 2 (0x2), not 3 (0x3)$'
    says '^FAIL R3_has_the_wrong_status: .*PB_LIMIT is PB_LIMIT, not PB_OK \[strategy none\]$'
    says '^FAIL R4_crashes: .*Segmentation fault$'
    says '^FAIL R5_stands_still: .*blocked?$'
    says '^SKIP R6_is_skipped: this machine has no unicorn$'
    says '^FAIL R7_fails_in_a_thread: .*argument != NULL$'
    says '^PASS R8_row_that_passes$'
    says '^FAIL R8_row_that_fails: .*broken.c:[0-9]*: row 1$'
    says '^FAIL R10_leaves_with_a_status_of_its_own: .*exit status 3'
    [ "$(tail -n 1 "$work/out")" = '2 passed, 7 failed, 1 skipped' ] ||
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
