#!/bin/sh
# triage.sh: `make test-triage`. Plants defects in copies; from an input that shows each, makes the
# shrunk operations (6 at most), the trace and the C program, which must fail with the planted library
# and pass with the good one. Also: C programs of inputs that break nothing; bad arguments of
# shrink, reproducer and corpus-promote; a run that is killed or interrupted.
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
. fuzz/tests/lib.sh
export PAGEBOX_CORPUS="$work/working" # and not the user's

# check NAME WHY COMMAND...
check() {
    name=$1 why=$2
    shift 2
    if "$@" >"$work/out" 2>&1; then pass "$name"; else fail "$name" "$why: $(tail -n 3 "$work/out" | tr '\n' ' ')"; fi
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

# compiled_with FOLDER TREE SECONDS: the finding's program with that tree's library, made and run for so long at most.
compiled_with() {
    rm -f "$1/finding"
    "${MAKE:-make}" --no-print-directory -s -C "$1" CFLAGS=-DSECONDS="$3" PAGEBOX="$2" || return 9
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
    runs=$(sed -n 's/.*, \([0-9]*\) runs in .*/\1/p' "$work/out")
    if [ "${runs:-999999}" -le 20000 ]; then pass "${id}_is_shrunk_in_20000_runs_at_most"; else
        fail "${id}_is_shrunk_in_20000_runs_at_most" "${runs:-unknown}"
    fi
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
    compiled_with "$folder" "$work/$id" 120 # it ends when it has failed: a busy machine may take long
    status=$?
    if [ $status = 1 ] && grep -q "^$oracle is broken" "$folder/printed"; then pass "${id}_program_fails_with_the_planted_library"; else
        fail "${id}_program_fails_with_the_planted_library" "status $status: $(tail -n 1 "$folder/printed")"
    fi
    cp "$folder/printed" "$folder/finding.txt"
    compiled_with "$folder" "$tree" 1
    status=$?
    if [ $status = 0 ] && grep -q '^good' "$folder/printed"; then pass "${id}_program_passes_with_the_good_library"; else
        fail "${id}_program_passes_with_the_good_library" "status $status: $(tail -n 1 "$folder/printed")"
    fi
    expect "${id}_breaks_nothing_in_the_good_library" 2 'breaks nothing' build/plain/shrink "$folder/shrunk.ops"
    if [ -n "${KEEP:-}" ]; then mkdir -p "$KEEP" && cp -r "$folder" "$KEEP/"; fi
}

# A defect that only a weak memory order shows: its program runs under the engine, which replays the schedule.
weak_order() {
    plant M03 || fail M03_planted "$(tail -n 3 "$work/build" | tr '\n' ' ')"
    folder=$work/found/M03 tools=$work/M03/build/plain
    mkdir -p "$folder"
    "$tools/shrink" -o "$folder/shrunk.ops" fuzz/tests/engine/M03.ops >"$work/out" 2>&1
    check M03_has_a_program "reproducer says" "$tools/reproducer" -o "$folder" "$folder/shrunk.ops"
    check M03_program_says_what_it_needs "its head" grep -q 'needs a weak memory order' "$folder/finding.c"
    cp -rp scripts "$work/M03/"
    check M03_program_fails_under_the_engine "it says" sh -c "! ${MAKE:-make} -s -C '$folder' explore PAGEBOX='$work/M03' TIME=600"
    check M03_program_names_the_rule "another" grep -q 'R31-publish is broken' "$folder/results/explore/latest/trace.json"
    check M03_schedule_replays "it says" sh -c "! ${MAKE:-make} -s -C '$folder' explore PAGEBOX='$work/M03' REPLAY='$folder/schedule.txt'"
}

# A subject's own threads: made from template_shared.c, with a defect in it.
subject_threads() {
    mkdir -p "$work/w"
    for copy in w good_w; do
        mkdir -p "$work/$copy" && cp fuzz/subjects/template_shared.c "$work/$copy/mine.c"
    done
    cp fuzz/subjects/template_shared.c "$work/w/template_shared.c"
    patch -s -p1 -d "$work/w" <fuzz/subjects/defects/template_shared/W1-compared-before-the-lock.patch &&
        mv "$work/w/template_shared.c" "$work/w/mine.c"
    for copy in w good_w; do fuzz/subjects/build.sh "$work/$copy/mine.so" "$work/$copy/mine.c"; done
    fuzz/subjects/build.sh -e "$work/w/mine.engine.so" "$work/w/mine.c"
    folder=$work/found/W1
    mkdir -p "$folder"
    export SUBJECT="$work/w/mine.engine.so"
    check W1_is_shrunk "shrink says" build/plain/shrink -o "$folder/shrunk.ops" fuzz/tests/engine/W1-template_shared.ops
    check W1_has_a_program "reproducer says" build/plain/reproducer -o "$folder" "$folder/shrunk.ops"
    unset SUBJECT
    check W1_program_is_compiled "make says" "${MAKE:-make}" -s -C "$folder" CFLAGS="-DSECONDS=120 -Wall -Werror"
    expect W1_program_fails_for_the_rule 1 '^R21-atomic-enqueue is broken' "$folder/finding"
    "${MAKE:-make}" -s -B -C "$folder" CFLAGS=-DSECONDS=2 2>/dev/null
    expect W1_program_passes_with_the_good_subject 0 '^good' env SUBJECT="$work/good_w/mine.so" "$folder/finding"
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

# A stop while the input itself runs is waited for: what is known until then is written.
interrupted() {
    SUBJECT="$work/broken.so" BROKEN_HANG=1 build/asan/shrink -w 5000 -o "$work/stopped.ops" \
        fuzz/tests/R5-broken.ops 2>"$work/stopped" &
    run=$!
    # Loading the subject is a process of its own, too: before, a stop is not waited for.
    wait_for 300 grep -Eq '^SigCgt:.*[4-7c-f][0-9a-f]{3}$' /proc/$run/status || fail shrink_can_be_stopped "$(cat "$work/stopped")"
    wait_for 300 grep -q . /proc/$run/task/$run/children || fail shrink_starts_a_run "$(cat "$work/stopped")"
    kill -TERM $run
    wait $run
    status=$?
    if [ $status = 130 ] && grep -qx '# timeout' "$work/stopped.ops"; then pass shrink_that_is_stopped_writes_the_best; else
        fail shrink_that_is_stopped_writes_the_best "status $status: $(cat "$work/stopped")"
    fi
}

# good_program NAME PATTERN: the input on stdin breaks nothing; so does the C program that is made of it
# all the same, which says PATTERN.
good_program() {
    mkdir -p "$work/good/$1"
    cat >"$work/good/$1/input.ops"
    if ! build/plain/reproducer -n R0-none -o "$work/good/$1" "$work/good/$1/input.ops" >"$work/out" 2>&1; then
        fail "$1" "reproducer says $(cat "$work/out")"
        return
    fi
    compiled_with "$work/good/$1" "$tree" 1
    status=$?
    expect "$1" 0 "$2" sh -c "cat '$work/good/$1/printed'; exit $status"
}

# C programs that fail by themselves would prove nothing.
good_programs() {
    good_program program_ends_all_holds '^good' <<'OPS'
pagebox-ops 1 mailbox_fuzzer
T0 mailbox_attach ground:shared pages:1 region:front capacity:4 cursor:0 full:reject spill:0
T0 mailbox_hold
T0 interleave
T0 mailbox_enqueue count:1
T0 mailbox_hold
T1 guest_drain
choices 01
OPS
    good_program program_takes_turns_with_what_never_began '^good' <<'OPS'
pagebox-ops 1 system_fuzzer
T1 memory_grow m0 pages:1
T2 memory_grow m0 pages:1
T1 memory_grow m0 pages:1
T2 memory_grow m0 pages:1
OPS
    for strategy in heap remap pool reserve_rw guard; do
        good_program "program_has_the_engines_memory_for_$strategy" '^good' <<OPS
pagebox-ops 1 waiters_fuzzer
T0 memory_create m0 strategy:$strategy twin:none min:1 max:2 shared:yes style:static bound:2 guard:0 record:own
T1 memory_notify m0 at:0 count:1
T2 memory_notify m0 at:0 count:1
choices 01
OPS
    done
    good_program program_of_the_first_thread_alone '^good' <<'OPS'
pagebox-ops 1 mailbox_fuzzer
T0 mailbox_enqueue count:1
T0 guest_drain
T0 interleave
OPS
    good_program program_fails_calls_of_two_threads '^good' <<'OPS'
pagebox-ops 1 system_fuzzer
T1 fault_at call:os_commit nth:1 error:no_memory
T2 fault_at call:os_commit nth:2 error:interrupted
T1 memory_grow m0 pages:1
T2 memory_grow m0 pages:1
T2 memory_grow m0 pages:1
OPS
    check program_says_which_calls_fail_in_each_thread "not so" sh -c "
        grep -A1 'thread_1' '$work/good/program_fails_calls_of_two_threads/finding.c' | grep 'os_commit\", 1, \"no_memory' &&
        grep -A1 'thread_2' '$work/good/program_fails_calls_of_two_threads/finding.c' | grep 'os_commit\", 2, \"interrupted'"
    good_program program_sets_up_behind_a_fault '^good' <<'OPS'
pagebox-ops 1 waiters_fuzzer
T0 fault_at call:os_advise nth:9 error:any
T0 memory_create m0 strategy:reserve twin:none min:3 max:3 shared:yes style:static bound:3 guard:0 record:own
T1 memory_atomic_store m0 at:131072 offset:0 width:4 value:1
T1 memory_wait32 m0 at:131072 expected:0 timeout_ns:0
choices 01
OPS
    check program_has_the_memory_behind_a_fault "another memory" \
        grep 'wish0 = {"reserve", 3, 3, true' "$work/good/program_sets_up_behind_a_fault/finding.c"
    good_program program_loads_behind_4_GiB '^ +OUT_OF_BOUNDS' <<'OPS'
pagebox-ops 1 memory_fuzzer
T0 memory_create m0 strategy:reserve twin:none min:65536 max:65536 shared:no style:static bound:65536 guard:65536 record:own
T0 memory_load m0 at:end offset:0 width:1
OPS
    good_program program_stores_behind_4_GiB '^ +OUT_OF_BOUNDS' <<'OPS'
pagebox-ops 1 memory_fuzzer
T0 memory_create m0 strategy:reserve twin:none min:65536 max:65536 shared:no style:static bound:65536 guard:65536 record:own
T0 memory_atomic_store m0 at:end+8 offset:0 width:8 value:1
OPS
}

# Bad arguments.
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

# A tree of its own, whose results and corpora are not the user's; built already.
tree_of_its_own() {
    mkdir "$work/tree" && cp -rp Makefile ref fuzz scripts corpus "$work/tree/" && ln -s "$tree/build" "$work/tree/build"
}

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
    polls=$(($1 * 5))
    shift
    until "$@" >"$work/out" 2>&1; do
        polls=$((polls - 1))
        [ $polls -gt 0 ] || return 1
        sleep 0.2
    done
}
begun() { ls "$work"/tree/results/fuzz/.*.tmp/raw/*-libfuzzer/log-1.txt; }
found_something() { ls "$work"/tree/results/fuzz/.*.tmp/findings/*/finding.json; }

# A run that is killed, or interrupted, loses nothing that it had found.
runs() {
    fuzz=$work/tree/scripts/fuzz.py
    set -- TARGET=memory_fuzzer ENGINE=libfuzzer JOBS=1 TIME=100
    SUBJECT="$work/broken.so" "$fuzz" "$@" >"$work/run" 2>&1 &
    run=$!
    wait_for 300 found_something || fail run_finds_something "$(tail -n 3 "$work/run" | tr '\n' ' ')"
    kill -9 $run
    wait $run 2>/dev/null
    check finding_is_on_disk_after_kill "no input" ls "$work"/tree/results/fuzz/.*.tmp/findings/*/input*
    expect killed_run_is_recovered 1 '^finding: R[0-9]+-' "$fuzz" recover
    latest=$work/tree/results/fuzz/latest
    expect recovered_report_says_interrupted 0 '"status": "interrupted"' grep -h '"status"' "$latest/report.json"
    check recovered_finding_is_shrunk "no operations" grep -q '^# R[0-9]*-' "$latest"/findings/R*/finding.ops
    check recovered_finding_has_a_trace "no trace" grep -q '^finding: R' "$latest"/findings/R*/trace.txt
    expect nothing_is_left_to_recover 0 'nothing to recover' "$fuzz" recover
    # Background processes of a shell ignore SIGINT from the start; python puts its own handler there.
    "$fuzz" "$@" >"$work/run" 2>&1 &
    run=$!
    wait_for 300 begun || fail run_begins "$(tail -n 3 "$work/run" | tr '\n' ' ')"
    kill -INT $run
    wait $run
    status=$?
    if [ $status = 130 ] && grep -q '^interrupted: ' "$work/run"; then pass interrupt_ends_with_130_and_a_report; else
        fail interrupt_ends_with_130_and_a_report "status $status: $(tail -n 3 "$work/run" | tr '\n' ' ')"
    fi
}

# Inputs become seeds, or are refused with the reason.
promotion() {
    promote="$work/tree/scripts/fuzz_corpus.py promote"
    printf 'pagebox-ops 1 memory_fuzzer\nT0 memory_create m0 strategy:remap twin:none min:3 max:7 shared:no style:tuned bound:2 guard:4096 record:own\n' >"$work/new.ops"
    # shellcheck disable=SC2086 # the words of a command
    {
        expect promote_makes_a_seed 0 '^corpus/memory_fuzzer/mine.ops$' $promote -n mine "$work/new.ops"
        expect promoted_seed_replays_clean 0 '1 input, 0 findings' build/plain/replay "$work/tree/corpus/memory_fuzzer/mine.ops"
        expect promote_knows_a_seed_again 0 'is corpus/memory_fuzzer/mine.ops already' $promote "$work/new.ops"
        expect promote_refuses_what_breaks 2 'breaks R5-grow-limit' env SUBJECT="$work/broken.so" $promote fuzz/tests/R5-broken.ops
        expect promote_refuses_a_missing_file 2 'No such file' $promote "$work/nothing"
        expect promote_refuses_a_folder 2 'is a folder' $promote corpus
        expect promote_refuses_an_empty_input 2 'has no operations' $promote -t memory_fuzzer "$work/empty"
        expect promote_without_input 2 'arguments are required: files' $promote
    }
}

if [ $# = 0 ]; then
    set -- S01=corpus/memory_fuzzer/grow-limit.ops S06=corpus/memory_fuzzer/initialise-bounds.ops \
        P16=corpus/regress/memory_fuzzer/R6-growth-that-opened-a-part.ops \
        S20=fuzz/tests/engine/S20.ops S21=fuzz/tests/engine/S21.ops S22=corpus/mailbox_fuzzer/full-reject.ops
    kinds
    hostile_inputs
    tree_of_its_own
    promotion
    interrupted
    good_programs
    weak_order
    subject_threads
    runs
fi
for one in "$@"; do
    defect "${one%%=*}" "${one#*=}"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
