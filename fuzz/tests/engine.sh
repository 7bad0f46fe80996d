#!/bin/sh
# engine.sh: `make test-engine`: ref/ under the concurrency engine, in under a minute.
#   ENGINE_TESTS=part of a name
# Small scenarios are searched to the end, with exactly so many graphs; seeds and witnesses replay
# clean under every source of choices; defects planted in copies are found, and a canary is not.
# Prints PASS and FAIL lines and `N passed, N failed`. Exit status: 0, or 1 when anything failed.
set -u
cd "$(dirname "$0")/../.." || exit 2
work=build/test-engine
mkdir -p $work || exit 2
passed=0
failed=0

wanted() {
    case $1 in *"${ENGINE_TESTS:-}"*) return 0 ;; esac
    return 1
}

# check NAME COMMAND...: passes when the command succeeds; shows its output when not.
check() {
    name=$1
    shift
    wanted "$name" || return 0
    if "$@" >$work/out 2>&1; then
        echo "PASS $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        sed 's/^/    /' $work/out | tail -20
        failed=$((failed + 1))
    fi
}

# graphs SCENARIO COUNT
graphs() {
    build/sim/verify --quiet "$1" >$work/row && grep -q "\"graphs\":$2,.*\"complete\":true" $work/row ||
        { cat $work/row; echo "expected $2 graphs (a change of ref/ may change them: put the new count here)"; return 1; }
}

# seeds SOURCE FOLDER...: clean when replayed with choices from there
seeds() {
    source=$1
    shift
    SCHED=$source build/plain/replay -q "$@"
}

# planted PATCH GOAL: a copy of the tree with a defect, GOAL built in it
planted() {
    tree=$work/$1
    rm -rf "$tree"
    mkdir -p "$tree/build/plain/fuzz" "$tree/build/sim"
    cp -a Makefile ref fuzz "$tree" && cp -a build/sim/seen build/sim/fuzz "$tree/build/sim/" &&
        cp -a build/plain/ref build/plain/fuzz build/plain/libsim.a "$tree/build/plain/" &&
        patch -s -p1 -d "$tree" <"$(find fuzz/defects -name "$1-*.patch")" &&
        "${MAKE:-make}" -s -C "$tree" "$2" >$work/make 2>&1 || { cat $work/make; return 1; }
}

# found PATCH SCENARIO: the search of the copy finds something; lost: it is clean and complete
found() {
    planted "$1" build/sim/verify || return 1
    "$work/$1/build/sim/verify" --quiet "$2"
    [ $? = 1 ]
}
lost() {
    planted "$1" build/sim/verify && "$work/$1/build/sim/verify" --quiet "$2"
}

# complete PAIR
complete() {
    build/sim/verify --quiet "$1" | grep '"complete":true'
}

# witness NAME RULE: clean here, RULE in the copy
witness() {
    planted "$1" build/plain/replay || return 1
    build/plain/replay -q fuzz/tests/engine/"$1".ops || return 1
    "$work/$1/build/plain/replay" -q fuzz/tests/engine/"$1".ops
    [ $? = 1 ] && grep -q "finding: $2" $work/out
}

# by_chance NAME RULE: the same by one of the random schedules of twenty seeds
by_chance() {
    planted "$1" build/plain/replay || return 1
    for seed in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        SCHED=pos SEED=$seed build/plain/replay -q fuzz/tests/engine/"$1".ops || return 1
        SCHED=pos SEED=$seed "$work/$1/build/plain/replay" -q fuzz/tests/engine/"$1".ops
        grep -q "finding: $2" $work/out && return 0
    done
    return 1
}

# The same input, the same schedule: two runs print the same trace, addresses aside.
same_twice() {
    for run in 1 2; do
        TRACE=1 $work/S15/build/plain/replay -q fuzz/tests/engine/S15.ops 2>&1 |
            sed 's/\[[0-9a-f]*\]//; s/0x[0-9a-f]*//g; s/[0-9]\{13,\}//g' >$work/trace$run
    done
    grep -q waiters.c $work/trace1 && cmp $work/trace1 $work/trace2
}

check R30_mailbox_2x1_all_graphs graphs mailbox-2x1 2688
check R35_mailbox_wrap_all_graphs graphs mailbox-wrap 2688
check R23_waiters_twice_all_graphs graphs waiters-twice 514
check R34_mailbox_signal_all_graphs graphs mailbox-signal 70
check R36_mailbox_close_all_graphs graphs mailbox-close 25472
check R36_mailbox_close_parked_all_graphs graphs mailbox-close-parked 953
check R36_mailbox_close_lent_all_graphs graphs mailbox-close-lent 483
check R36_mailbox_close_silent_all_graphs graphs mailbox-close-silent 25472
check R33_mailbox_full_all_graphs graphs mailbox-full 114
check R32_mailbox_spill_all_graphs graphs mailbox-spill-2 17856
check R34_waiters_doorbell_all_graphs graphs waiters-doorbell 902
check R11_growth_all_graphs graphs growth-2 150
check R21_waiters_notify_all_graphs graphs waiters-notify 12734

# A search that was stopped goes on in another process, from its checkpoint.
resumes() {
    rm -rf "$work/resumed" # a checkpoint of an older program may be there
    mkdir -p "$work/resumed"
    for turn in 1 2; do
        build/sim/verify --processes 1 --seconds 1 --checkpoint "$work/resumed" mailbox-spill >"$work/resumed/$turn" 2>&1
    done
    cat "$work/resumed/2"
    first=$(grep -o '"graphs":[0-9]*' "$work/resumed/1" | cut -d: -f2)
    second=$(grep -o '"graphs":[0-9]*' "$work/resumed/2" | cut -d: -f2)
    [ "${second:-0}" -gt "${first:-0}" ]
}
check a_search_goes_on_in_another_process resumes

# Another build of the program, here one with a byte more, refuses the checkpoint.
refuses_another_build() {
    cp build/sim/verify "$work/another" && echo >>"$work/another" || return 1
    rm -rf "$work/kept"
    mkdir -p "$work/kept"
    build/sim/verify --processes 1 --seconds 1 --checkpoint "$work/kept" mailbox-spill >/dev/null 2>&1
    "$work/another" --processes 1 --seconds 1 --checkpoint "$work/kept" mailbox-spill >"$work/refused" 2>&1
    status=$?
    cat "$work/refused"
    [ $status = 2 ] && grep -q "is a checkpoint of another build: remove it to start anew" "$work/refused"
}
check a_checkpoint_of_another_build_is_refused refuses_another_build

corpora="corpus/waiters_fuzzer corpus/system_fuzzer corpus/mailbox_fuzzer"
check seeds_are_clean build/plain/replay -q $corpora
check seeds_are_clean_at_random seeds uniform $corpora
check seeds_are_clean_by_priorities seeds pct $corpora
check seeds_are_clean_by_pending_operations seeds pos $corpora
check witnesses_are_clean_without_the_defect build/plain/replay -q fuzz/tests/engine

check R31_relaxed_publish_is_found found M03 mailbox-2x1
check R36_notify_after_close_is_found found M16 mailbox-close-lent
check stronger_orders_are_not_found lost C02 mailbox-2x1
check R21_S15_witness_finds_the_lost_notify witness S15 R21-atomic-enqueue
check R34_S21_witness_finds_the_stranded_id witness S21 R34-no-lost-wakeup
check R22_W05_witness_counts_beside_a_scribble witness W05 R22-no-spurious
check R44_N17_witness_finds_the_flag_of_the_new_mailbox witness N17 R44-closed
check R34_Y29_witness_clears_what_was_rung by_chance Y29 R34-no-lost-wakeup
check R34_Y30_witness_forgets_one_of_two_guests by_chance Y30 R34-no-lost-wakeup
check R34_N19_witness_hides_an_id witness N19 R34-not-shown
check R36_N20_witness_writes_after_close witness N20 R36-write-after-close
check R18_N21_witness_loads_behind_the_times by_chance N21 R18-order
check R18_N22_witness_exchanges_behind_the_times by_chance N22 R18-order
check R18_N24_witness_reads_two_halves witness N24 R18-torn
check R18_N82_witness_leaves_half_of_two_stores witness N82 R18-torn
check R20_N83_witness_waits_for_half_a_number witness N83 R20-torn
check R36_N27_witness_wakes_one_of_two witness N27 R36-close-unseen
check R42_N28_witness_counts_two_pins_as_one witness N28 R42-pin
check a_pair_is_searched_to_its_end complete pairs-ring-enqueue+enqueue
check R29_W11_witness_finds_the_parked_guest witness W11 R29-disable
wanted same_schedule_twice && [ -x $work/S15/build/plain/replay ] &&
    check same_schedule_twice same_twice

echo "$passed passed, $failed failed"
[ $failed = 0 ]
