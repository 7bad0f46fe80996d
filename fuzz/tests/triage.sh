#!/bin/sh
# triage.sh: `make test-triage`. Plants defects in copies; from an input that shows each, makes the
# shrunk operations (6 at most), the trace and the C program, which must fail with the planted library
# and pass with the good one. Then what a stranger may hand to shrink and reproducer.
#
#   fuzz/tests/triage.sh [NAME=INPUT...]     S01=corpus/memory_fuzzer/grow-limit.ops ...
#
# Prints PASS or FAIL for each, and ends with `N passed, N failed`. Exit status: 0, or 1 when anything
# failed. KEEP=folder keeps what was made.
set -u
cd "$(dirname "$0")/../.." || exit 2
tree=$PWD
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

pass() {
    passed=$((passed + 1))
    echo "PASS $1"
}
fail() {
    failed=$((failed + 1))
    echo "FAIL $1: $2"
}
# check NAME WHY COMMAND...
check() {
    name=$1 why=$2
    shift 2
    if "$@" >"$work/out" 2>&1; then pass "$name"; else fail "$name" "$why: $(tail -n 3 "$work/out" | tr '\n' ' ')"; fi
}
# expect NAME STATUS PATTERN COMMAND...
expect() {
    name=$1 wanted=$2 pattern=$3
    shift 3
    "$@" >"$work/out" 2>&1
    status=$?
    if [ $status != "$wanted" ]; then
        fail "$name" "status $status, not $wanted: $(head -c 300 "$work/out" | tr '\n' ' ')"
    elif ! grep -qE "$pattern" "$work/out"; then
        fail "$name" "does not say $pattern: $(head -c 300 "$work/out" | tr '\n' ' ')"
    else
        pass "$name"
    fi
}

# A copy with the patch in it, which rebuilds what the patch touches.
plant() {
    copy=$work/$1
    mkdir -p "$copy/build"
    cp -rp Makefile ref fuzz "$copy/"
    cp -rp build/plain build/sim "$copy/build/"
    cat fuzz/defects/"$1"-*.patch | patch -s -p1 -d "$copy" &&
        (cd "$copy" && "${MAKE:-make}" --no-print-directory build/plain/shrink \
            build/plain/reproducer build/plain/replay lib) >"$work/build" 2>&1
}

# compiled_with FOLDER TREE: the finding's program with that tree's library, made and run.
compiled_with() {
    rm -f "$1/finding"
    "${MAKE:-make}" --no-print-directory -s -C "$1" CFLAGS=-DSECONDS=1 PAGEBOX="$2" || return 9
    "$1/finding" >"$1/printed" 2>&1
}

defect() {
    id=$1 input=$2 tools=$work/$1/build/plain
    if ! plant "$id"; then
        fail "${id}_planted" "$(tail -n 3 "$work/build" | tr '\n' ' ')"
        return
    fi
    folder=$work/found/$id
    mkdir -p "$folder"
    check "${id}_is_shrunk" "shrink says" "$tools/shrink" -o "$folder/shrunk.ops" "$input"
    operations=$(grep -cE '^(T[0-7]|fault) ' "$folder/shrunk.ops")
    oracle=$(sed -n '2s/^# \([^ ]*\).*/\1/p' "$folder/shrunk.ops")
    if [ "$operations" -gt 0 ] && [ "$operations" -le 6 ]; then pass "${id}_has_6_operations_at_most"; else
        fail "${id}_has_6_operations_at_most" "$operations operations"
    fi
    "$tools/shrink" -o "$folder/again.ops" "$input" >/dev/null 2>&1
    check "${id}_shrinks_the_same_again" "another result" cmp "$folder/shrunk.ops" "$folder/again.ops"
    TRACE=1 "$tools/replay" "$folder/shrunk.ops" >"$folder/trace.txt" 2>&1
    check "${id}_has_the_same_name" "the replay says another" grep -qx "finding: $oracle" "$folder/trace.txt"
    check "${id}_has_a_program" "reproducer says" "$tools/reproducer" -o "$folder" "$folder/shrunk.ops"
    compiled_with "$folder" "$work/$id"
    status=$?
    if [ $status = 1 ] && grep -q 'is broken' "$folder/printed"; then pass "${id}_program_fails_with_the_planted_library"; else
        fail "${id}_program_fails_with_the_planted_library" "status $status: $(tail -n 1 "$folder/printed")"
    fi
    cp "$folder/printed" "$folder/finding.txt"
    compiled_with "$folder" "$tree"
    status=$?
    if [ $status = 0 ] && grep -q '^good' "$folder/printed"; then pass "${id}_program_passes_with_the_good_library"; else
        fail "${id}_program_passes_with_the_good_library" "status $status: $(tail -n 1 "$folder/printed")"
    fi
    expect "${id}_breaks_nothing_in_the_good_library" 2 'breaks nothing' build/plain/shrink "$folder/shrunk.ops"
    if [ -n "${KEEP:-}" ]; then mkdir -p "$KEEP" && cp -r "$folder" "$KEEP/"; fi
}

# Crashes, hangs and another subject are shrunk, too.
kinds() {
    "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -shared -fPIC -Ifuzz fuzz/tests/subject_broken.c -o "$work/broken.so"
    export SUBJECT="$work/broken.so"
    shrink=build/asan/shrink
    expect shrink_of_a_subjects_finding 0 '^# R5-grow-limit at memory_grow$' $shrink fuzz/tests/R5-broken.ops
    expect shrink_of_a_crash 0 '^# R6-crash' env BROKEN_CRASH=1 $shrink fuzz/tests/R5-broken.ops
    expect shrink_of_a_hang 0 '^# timeout$' env BROKEN_HANG=1 $shrink -w 200 fuzz/tests/R5-broken.ops
    expect key_of_a_finding 0 '^R5-grow-limit	memory_grow$' $shrink -k fuzz/tests/R5-broken.ops
    unset SUBJECT
}

# What a stranger may hand over.
hostile_inputs() {
    : >"$work/empty"
    head -c 10485760 /dev/urandom >"$work/large"
    head -c 20000000 /dev/zero >"$work/huge"
    printf 'pagebox-ops 1 memory_fuzzer\nT0 memory_grow m0 pag' >"$work/cut.ops"
    for tool in shrink "reproducer -o $work/x"; do
        run="build/asan/$tool"
        word=${tool%% *}
        # shellcheck disable=SC2086 # the options are words of their own
        {
            expect "${word}_of_empty_input" 2 'breaks nothing' $run -t memory_fuzzer "$work/empty"
            expect "${word}_of_10_MiB" 2 'breaks nothing' $run -t mailbox_fuzzer "$work/large"
            expect "${word}_of_more_than_16_MiB" 2 'larger than 16 MiB' $run -t memory_fuzzer "$work/huge"
            expect "${word}_of_truncated_text" 2 'line 2: an argument is missing' $run "$work/cut.ops"
            expect "${word}_of_missing_file" 2 'No such file' $run "$work/nothing"
            expect "${word}_of_a_folder" 2 'is a folder' $run corpus
            expect "${word}_of_bytes_of_no_target" 2 'say -t' $run "$work/empty"
            expect "${word}_of_unknown_target" 2 'no target' $run -t nothing_fuzzer "$work/empty"
            expect "${word}_without_input" 2 'usage' $run
        }
    done
    expect shrink_to_no_folder 2 'No such file' env SUBJECT="$work/broken.so" build/asan/shrink \
        -o "$work/none/x.ops" fuzz/tests/R5-broken.ops
}

if [ $# = 0 ]; then
    set -- S01=corpus/memory_fuzzer/grow-limit.ops S06=corpus/memory_fuzzer/initialise-bounds.ops \
        S20=fuzz/tests/engine/S20.ops S21=fuzz/tests/engine/S21.ops S22=corpus/mailbox_fuzzer/full-reject.ops
    kinds
    hostile_inputs
fi
for one in "$@"; do
    defect "${one%%=*}" "${one#*=}"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
