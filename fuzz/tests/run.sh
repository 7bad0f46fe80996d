#!/bin/sh
# run.sh: `make test-fuzz`. Runs the harness's tests and replays all seeds, plain and under the
# sanitizers; prints PASS or FAIL for each, and ends with `N passed, N failed` alone on a line.
# Exit status: 0, or 1 when anything failed.
set -u
cd "$(dirname "$0")/../.." || exit 2
unset SUBJECT PAGEBOX_RULES_OFF
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
. fuzz/tests/lib.sh

unit_tests() {
    build/"$1"/fuzz-tests >"$work/unit" 2>&1
    status=$?
    sed -n "s/^PASS .*/&_$1/p; s/^\(FAIL [^:]*\): /\1_$1: /p" "$work/unit"
    passed=$((passed + $(grep -c '^PASS ' "$work/unit")))
    failed=$((failed + $(grep -c '^FAIL ' "$work/unit")))
    if ! grep -q '^[0-9]* passed, 0 failed$' "$work/unit" || [ $status != 0 ]; then
        fail "unit_tests_end_well_$1" "status $status: $(tail -n 5 "$work/unit" | tr '\n' ' ')"
    fi
}

replays() {
    for folder in corpus/*_fuzzer corpus/regress; do
        inputs=$(find $folder -type f ! -name README.md ! -name '.*' | wc -l)
        [ "$inputs" = 0 ] && continue
        expect "replay_$(echo $folder | tr / _)_$1" 0 "^$inputs inputs, 0 findings, 0 not readable" \
            build/"$1"/replay -q $folder
    done
}

# A fuzzer reads no more of a seed than its limit of input.
seeds_fit() {
    most=$(PYTHONPATH=scripts python3 -B -c 'from pagebox.fuzz import fuzzers; print(fuzzers.INPUT_BYTES_MAX)')
    for folder in corpus/*_fuzzer; do
        mkdir "$work/bytes" && build/asan/replay -q -b "$work/bytes" "$folder" >"$work/said"
        long=$(find "$work/bytes" -type f -size +"$most"c | sed 's,.*/,,' | tr '\n' ' ')
        if [ -z "$long" ] && [ -n "$most" ] && [ -n "$(ls "$work/bytes")" ]; then
            pass "seeds_of_${folder#*/}_fit"
        else
            fail "seeds_of_${folder#*/}_fit" "more than $most bytes: $long"
        fi
        rm -r "$work/bytes"
    done
}

# Bad arguments of the replay program.
hostile_inputs() {
    replay=build/asan/replay
    : >"$work/empty"
    head -c 10485760 /dev/urandom >"$work/large"
    printf 'pagebox-ops 1 memory_fuzzer\nT0 memory_grow m0 pag' >"$work/cut.ops"
    printf 'pagebox-ops 9 memory_fuzzer\n' >"$work/version.ops"
    { echo 'pagebox-ops 1 memory_fuzzer' && yes 'T0 memory_reset m0' | head -c 10000000; } >"$work/long.ops"
    head -c 20000000 /dev/zero >"$work/huge"
    expect replay_of_empty_input 0 '1 input, 0 findings' $replay -q -t memory_fuzzer "$work/empty"
    for target in memory mailbox waiters system; do
        # 3: some of its operations were left out for what they cost
        expect replay_of_10_MiB_$target 0 '1 input, 0 findings' \
            sh -c '"$@"; status=$?; [ $status != 3 ] || exit 0; exit $status' - $replay -q -t ${target}_fuzzer "$work/large"
    done
    expect replay_of_truncated_text 2 'line 2: an argument is missing' $replay "$work/cut.ops"
    expect replay_of_other_version 2 'version 1' $replay "$work/version.ops"
    expect replay_of_too_long_text 2 'more operations than' $replay "$work/long.ops"
    expect replay_of_more_than_16_MiB 2 'larger than 16 MiB' $replay -t memory_fuzzer "$work/huge"
    expect replay_of_missing_file 2 'No such file' $replay "$work/nothing"
    expect replay_of_bytes_of_no_target 2 'say -t' $replay "$work/empty"
    expect replay_without_input 2 'usage' $replay
    expect replay_of_unknown_option 2 'usage' $replay -z "$work/empty"
    expect replay_of_unknown_target 2 'no target' $replay -t nothing_fuzzer "$work/empty"
    mkdir "$work/memory_fuzzer" && cp "$work/empty" "$work/memory_fuzzer/x"
    expect replay_takes_target_from_folder 0 '1 input, 0 findings' $replay -q "$work/memory_fuzzer"
}

# The same to the targets, whose engines hand them anything.
hostile_to_targets() {
    printf '\020\000' >"$work/cut"
    for target in memory_fuzzer mailbox_fuzzer waiters_fuzzer system_fuzzer; do
        expect hostile_inputs_to_$target 0 '^Executed .*/large ' build/libfuzzer/$target -detect_leaks=0 \
            "$work/empty" "$work/cut" "$work/cut.ops" "$work/large"
    done
    expect target_with_wrong_SWARM 2 'wants a number, or off' env SWARM=some build/libfuzzer/memory_fuzzer -runs=1
}

# Every form says the same: text, bytes, C.
forms() {
    replay=build/plain/replay
    input=corpus/memory_fuzzer/grow-fault-guard-os_advise.ops
    mkdir "$work/bytes"
    $replay -p $input | grep -v '^#' >"$work/text"
    $replay -b "$work/bytes" $input
    $replay -p -t memory_fuzzer "$work/bytes" | grep -v '^#' >"$work/text2"
    $replay -c $input >"$work/program.h"
    cat >"$work/print.c" <<'C'
#include "op.h"
#include "program.h"
int main(void) {
    op_print(stdout, &program);
    return 0;
}
C
    if cmp -s "$work/text" "$work/text2"; then
        pass replay_bytes_are_the_text
    else
        fail replay_bytes_are_the_text "$(cat "$work/text2")"
    fi
    if "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -Ifuzz/programs -I"$work" "$work/print.c" fuzz/programs/op.c \
        -o "$work/print" 2>"$work/errors" && "$work/print" | cmp -s - "$work/text"; then
        pass ops_emitted_c_is_the_text
    else
        fail ops_emitted_c_is_the_text "$(head -c 300 "$work/errors")"
    fi
}

# What op.def says for engines: dictionaries, and seeds that hold every operation and break nothing.
generated() {
    for target in memory_fuzzer mailbox_fuzzer waiters_fuzzer system_fuzzer; do
        mkdir -p "$work/seeds/$target" "$work/seeds-text/$target" "$work/back/$target"
        expect opgen_dict_$target 0 '^# The operations' build/plain/opgen dict $target
        build/plain/opgen dict $target >"$work/dict"
        bad=$(grep -vcE '^#|^[a-z0-9_]+="(\\x[0-9a-f]{2}){1,64}"$' "$work/dict")
        [ "$bad" = 0 ] && pass opgen_dict_form_$target ||
            fail opgen_dict_form_$target "$bad lines are no entries of a dictionary"
        build/plain/opgen seeds $target "$work/seeds/$target" &&
            build/plain/opgen text $target "$work/seeds-text/$target"
        inputs=$(find "$work/seeds/$target" -type f | wc -l)
        expect opgen_seeds_replay_$target 0 "^$inputs inputs, 0 findings, 0 not readable" \
            build/asan/replay -q "$work/seeds/$target"
        missing=
        for seed in "$work/seeds-text/$target"/*.ops; do
            name=$(basename "$seed" .ops)
            grep -qE "^(T[0-7] )?$name( |$)" "$seed" || missing=$name
        done
        [ "$inputs" -gt 9 ] && [ -z "$missing" ] && pass opgen_seeds_hold_each_operation_$target ||
            fail opgen_seeds_hold_each_operation_$target "$inputs seeds; without: $missing"
    done
    expect opgen_without_arguments 2 'usage' build/plain/opgen
    expect opgen_unknown_target 2 'no such target' build/plain/opgen dict nothing_fuzzer
    expect opgen_missing_folder 2 'No such file' build/plain/opgen seeds memory_fuzzer "$work/none"
}

# Another subject: the template's loader says what is wrong, and a broken one is found out.
subjects() {
    replay=build/plain/replay
    seed=corpus/memory_fuzzer/grow-limit.ops
    expect subject_missing 2 'cannot open shared object' env SUBJECT="$work/no.so" $replay $seed
    echo 'int x;' >"$work/x.c"
    "${CC:-cc}" -shared -fPIC "$work/x.c" -o "$work/x.so"
    expect subject_without_entry 2 'does not export pagebox_subject' env SUBJECT="$work/x.so" $replay $seed
    "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -shared -fPIC -Ifuzz fuzz/tests/subject_broken.c \
        -o "$work/broken.so"
    expect subject_of_other_version 2 'compile it anew' \
        env BROKEN_ABI=1 SUBJECT="$work/broken.so" $replay $seed
    expect subject_with_gaps 2 'lacks grow, which is required' env BROKEN_TABLE=1 SUBJECT="$work/broken.so" $replay $seed
    expect subject_that_breaks_R5 1 '^finding: R5-grow-limit' \
        env SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect subject_that_crashes 1 '^finding: R6-crash' \
        env BROKEN_CRASH=1 SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect subject_that_crashes_at_load 2 'crashes while it is loaded' \
        env BROKEN_LOAD=1 SUBJECT="$work/broken.so" $replay $seed
    expect subject_that_calls_exit 1 '^finding: R6-crash' \
        env BROKEN_EXIT=1 SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect subject_that_ends_the_process 1 'ended the process with status 0' \
        env BROKEN_QUIT=1 SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect subject_that_exits_at_load 2 'ends the process while it is loaded' \
        env BROKEN_LOAD_EXIT=1 SUBJECT="$work/broken.so" $replay $seed
    expect subject_that_corrupts_the_heap 1 '^finding: R6-crash' \
        env BROKEN_HEAP=1 SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    echo 'no object' >"$work/text.so"
    expect subject_that_is_no_object 2 'see fuzz/subjects/README.md' \
        env SUBJECT="$work/text.so" $replay $seed
    expect subject_says_what_it_lacks 0 '^memory: 6 of 41 functions; not offered: type, style, .*cancellable_wait32' \
        env SUBJECT="$work/broken.so" $replay -i
    expect rule_off_for_a_run 0 ' 0 findings' \
        env PAGEBOX_RULES_OFF=R12,R5 SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect rule_off_by_the_subject 0 '^rules off: R5-grow-limit .as the test asks.' \
        env SPARED=R5-grow-limit SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect rule_off_is_not_another 1 '^finding: R5-grow-limit' \
        env PAGEBOX_RULES_OFF=R5-grow-l,R4 SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect rule_off_hides_no_crash 1 '^finding: R6-crash' \
        env PAGEBOX_RULES_OFF=R6 BROKEN_CRASH=1 SUBJECT="$work/broken.so" $replay fuzz/tests/R5-broken.ops
    expect rule_off_unknown 2 "'grow' is no rule's name" env PAGEBOX_RULES_OFF=grow $replay $seed
    expect subject_that_hangs 1 '^finding: timeout' \
        env BROKEN_HANG=1 SUBJECT="$work/broken.so" $replay -w 1 fuzz/tests/R5-broken.ops
}

# Other people's memories and mailboxes: what each is known to break is still found, by its name, and
# the reference passes it. A subject whose package is not there is left out.
other_subjects() {
    # As C, from the subject's own parts: fails by the same name, with the other library alone.
    reproduced() {
        parts=fuzz/subjects/$1.map.h
        [ -e "$parts" ] || return 0
        if SUBJECT=build/subjects/$1.so build/plain/reproducer -p "$parts" -o "$work/as_c" "$3" \
            >"$work/errors" 2>&1 && make -s -B -C "$work/as_c" >>"$work/errors" 2>&1; then
            expect "$1_breaks_$2_as_c" 1 "^$2 is broken" "$work/as_c/finding"
        else
            fail "$1_breaks_$2_as_c" "$(head -c 300 "$work/errors")"
        fi
    }
    expect template_memory_is_clean 0 ' 0 findings' \
        env SUBJECT=build/subjects/template.so build/asan/replay -q corpus/memory_fuzzer
    expect template_mailbox_is_clean 0 ' 0 findings' \
        env SUBJECT=build/subjects/template_mailbox.so build/asan/replay -q corpus/mailbox_fuzzer
    if [ -e build/subjects/ck_ring.so ]; then
        expect ck_ring_is_clean 0 ' 0 findings' \
            env SUBJECT=build/subjects/ck_ring.so build/asan/replay -q corpus/mailbox_fuzzer
    else
        echo "left out: ck_ring_is_clean: its package is not installed"
    fi
    for input in corpus/subjects/*/*.ops; do
        folder=$(basename "$(dirname "$input")")
        rule=$(basename "$input" .ops)
        expect "reference_passes_${folder}_$rule" 0 ' 0 findings' build/plain/replay -q "$input"
        if [ -e "build/subjects/$folder.so" ]; then
            expect "${folder}_breaks_$rule" 1 "^finding: $rule\$" \
                env SUBJECT="build/subjects/$folder.so" build/plain/replay -q "$input"
            reproduced "$folder" "$rule" "$input"
        else
            echo "left out: ${folder}_breaks_$rule: its package is not installed"
        fi
    done
}

# planted FOLDER PATCH: the shared object of fuzz/subjects/ with that patch, as the scoreboard makes it.
planted() {
    rm -rf "$work/tree" && mkdir "$work/tree" && cp fuzz/subjects/*.c "$work/tree" &&
        patch -s -p1 --force -r - -d "$work/tree" <"$2" && (cd "$work/tree" &&
        PAGEBOX=$root OUT=$work/planted.so "$root/$1/build")
}

# as_c NAME RULE TARGET: the planted object's finding as a program that calls its table: it compiles, and
# fails for the same rule; with the sources as they are it says good.
as_c() {
    for seed in corpus/"$3"/*.ops; do
        name_found=$(SUBJECT="$work/planted.so" build/plain/reproducer -o "$work/as_c" "$seed" 2>/dev/null) || continue
        [ "$name_found" = "$2" ] || continue
        if make -s -B -C "$work/as_c" >"$work/errors" 2>&1; then
            expect "subject_defect_$1_as_c" 1 "^$2 is broken" "$work/as_c/finding"
            expect "subject_defect_$1_as_c_is_good_without_it" 0 '^good' \
                env SUBJECT="build/subjects/$4.so" "$work/as_c/finding"
        else
            fail "subject_defect_$1_as_c" "$(head -c 300 "$work/errors")"
        fi
        return
    done
    fail "subject_defect_$1_as_c" 'no seed shows it'
}

# The set of planted defects that shows how one is made: each is caught by what its header says, the
# weak order by the engine; canaries are not.
planted_defects() {
    root=$PWD
    export SCHED=uniform
    for patch in fuzz/subjects/defects/*/*.patch; do
        name=$(basename "$patch" .patch)
        folder=$(dirname "$patch")
        target=$(sed -n 's/^Targets: //p' "$patch")
        rule=$(sed -n 's/^Rule: //p' "$patch")
        if ! planted "$folder" "$patch" >"$work/errors" 2>&1; then
            fail "subject_defect_$name" "does not build: $(head -c 300 "$work/errors")"
        elif [ "$rule" = none ]; then
            expect "subject_canary_$(basename "$folder")_$name" 0 ' 0 findings' \
                env SUBJECT="$work/planted.so" build/asan/replay -q "corpus/$target"
        else
            expect "subject_defect_$name" 1 "^finding: $rule\$" env SUBJECT="$work/planted.so" sh -c \
                'for SEED in 1 2 3 4 5 6 7 8; do
                    export SEED
                    build/asan/replay -q "$1" >"$3" 2>&1
                    status=$?
                    cat "$3"
                    ! grep -q "^finding: $2\$" "$3" || exit $status
                done' - "corpus/$target" "$rule" "$work/said"
            [ "$target" != memory_fuzzer ] || as_c "$(basename "$patch" .patch)" "$rule" "$target" "$(basename "$folder")"
        fi
    done
    expect template_mailbox_is_clean_under_the_engine 0 ' 0 findings' \
        env SUBJECT=build/subjects/template_mailbox.engine.so build/asan/replay -q corpus/mailbox_fuzzer
    expect template_shared_is_clean_under_the_engine 0 ' 0 findings, 0 not readable, [0-9]* not run' \
        env SUBJECT=build/subjects/template_shared.engine.so build/asan/replay -q corpus/waiters_fuzzer corpus/system_fuzzer
    unset SCHED
    expect template_shared_is_clean 0 ' 0 findings' \
        env SUBJECT=build/subjects/template_shared.so build/asan/replay -q corpus/memory_fuzzer
    expect what_a_subject_cannot_run_is_not_clean 3 ' 0 findings, 0 not readable, [0-9]* not run' \
        env SUBJECT=build/subjects/template.so build/plain/replay -q corpus/waiters_fuzzer
    expect replay_on_a_full_disk_is_not_clean 2 'the output could not be written: No space left' \
        sh -c 'build/plain/replay -q corpus/regress/memory_fuzzer >/dev/full'
    expect target_without_its_subject 2 'runs nothing on this subject: its threads need a subject' \
        env SUBJECT=build/subjects/template.so build/libfuzzer/waiters_fuzzer -runs=1
    expect subject_seen_by_the_engine_says_so 0 'the engine sees its accesses' \
        env SUBJECT=build/subjects/template_mailbox.engine.so build/plain/replay -i
    mkdir -p "$work/one" && cp fuzz/subjects/defects/template/build "$work/one" &&
        echo 'no diff' >"$work/one/x.patch"
    expect defects_that_are_no_patch 2 'no diff in it' \
        scripts/defects_subject.py --sources fuzz/subjects --defects "$work/one"
    expect defects_in_a_template_are_caught 0 '^1 of 1 caught' \
        scripts/defects_subject.py --sources fuzz/subjects --defects fuzz/subjects/defects/template \
        --only T4 --root "$work"
    expect defects_of_no_sources 2 'no such folder' \
        scripts/defects_subject.py --sources "$work/none" --defects "$work"
    expect defects_without_a_build 2 'it must build .OUT from a copy' \
        scripts/defects_subject.py --sources fuzz/subjects --defects "$work"
}

for config in plain asan; do
    unit_tests $config
    replays $config
done
left_out() {
    printf 'pagebox-ops 1 memory_fuzzer\nT0 memory_create m0 strategy:reserve twin:none min:1 max:4 shared:yes style:tuned bound:0 guard:4096 record:own\nT0 memory_wait32 m0 at:0 expected:0 timeout_ns:-1\n' >"$work/blocks.ops"
    expect replay_tells_what_was_left_out 3 'nothing found; 1 operation left out: 1 that would block' \
        build/plain/replay "$work/blocks.ops"
    expect edges_of_ref_have_rows 0 '^PASS' fuzz/tests/edges.py
    expect functions_of_headers_have_rows 0 '^PASS' fuzz/tests/headers.py
}

# What build.sh makes of a mailbox with a pthread mutex, made in attach or statically, under the engine; and
# of a memory with coverage and the address sanitizer. A finding says what was expected and what came.
built_subjects() {
    mutex='s/#include <stdlib.h>/#include <pthread.h>\n&/; s/ *while (atomic_flag_test_and_set_explicit.*/pthread_mutex_lock(\&m->busy); {/
        s/atomic_flag_clear_explicit(&m->busy, memory_order_release)/pthread_mutex_unlock(\&m->busy)/'
    sed "$mutex; s/atomic_flag busy;/pthread_mutex_t busy;/; s/ *atomic_init(&mailbox->head/pthread_mutex_init(\&mailbox->busy, NULL); &/" \
        fuzz/subjects/template_mailbox.c >"$work/made.c"
    sed "$mutex; /atomic_flag busy;/d; s/&m->busy/\&busy/; s/^enum { SLOTS.*/& static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;/" \
        fuzz/subjects/template_mailbox.c >"$work/static.c"
    for kind in made static; do
        fuzz/subjects/build.sh -e "$work/$kind.so" "$work/$kind.c" || return
        expect "mailbox_with_a_mutex_$kind" 0 ' 0 findings' \
            env SUBJECT="$work/$kind.so" build/asan/replay -q corpus/mailbox_fuzzer
    done
    fuzz/subjects/build.sh -f "$work/followed.so" fuzz/subjects/template.c || return
    expect subject_with_coverage 0 ' 0 findings' env SUBJECT="$work/followed.so" build/asan/replay -q corpus/memory_fuzzer
    sed 's/\*old_pages = .*/*old_pages = 7;/' fuzz/subjects/template.c >"$work/wrong.c"
    fuzz/subjects/build.sh "$work/wrong.so" "$work/wrong.c" || return
    expect finding_says_what_was_expected_and_came 1 '^  expected .*1, got 7$' \
        env SUBJECT="$work/wrong.so" build/asan/replay corpus/memory_fuzzer/grow-limit.ops
    expect finding_says_where 1 '^  at operation [0-9]* of [0-9]*: T0 memory_grow' \
        env SUBJECT="$work/wrong.so" build/asan/replay corpus/memory_fuzzer/grow-limit.ops
    expect finding_says_the_rule 1 '^  rule R5 grow-limit: ' \
        env PAGEBOX_RULES=ref/RULES.md SUBJECT="$work/wrong.so" build/asan/replay corpus/memory_fuzzer/grow-limit.ops
}

seeds_fit
hostile_inputs
hostile_to_targets
left_out
built_subjects
forms
generated
subjects
other_subjects
planted_defects
echo "$passed passed, $failed failed"
[ $failed = 0 ]
