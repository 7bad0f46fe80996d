#!/bin/sh
# run.sh CONFIG...: `make test-ref`. Runs build/CONFIG/ref-tests for each configuration, the plain ones once more with
# host pages of 64 KiB, and the tests of outside.sh; ends with the total `N passed, N failed`. FILTER: only tests with
# this in their names. Logs: build/test/ref-*.log. Status 0, 1 when a test failed, 130 when interrupted.
set -u
cd "$(dirname "$0")/../.." || exit 2
logs=build/test
mkdir -p $logs || exit 2
rm -f $logs/ref-*.log
trap 'echo "interrupted"; exit 130' INT TERM

# Shows a part's output and keeps it; only the total may look like a total.
part() {
    name=$1
    shift
    echo "== $name"
    { "$@" || echo "status $?"; } 2>&1 | tee "$logs/$name.log" |
        sed "s/^[0-9]* passed, [0-9]* failed/$name: &/; /^status [01]\$/d"
}

for config in "$@"; do
    part "ref-$config" build/"$config"/ref-tests ${FILTER:+"$FILTER"}
done
# With larger host pages, as libc.c pretends them.
part ref-64k env PB_TEST_PAGE_BYTES=65536 build/plain/ref-tests ${FILTER:+"$FILTER"}
part ref-outside ref/tests/outside.sh ${FILTER:+"$FILTER"}

# A part that ended without a count, or with another status than its failures explain, has failed;
# but a FILTER need not meet tests in each part.
awk -v filter="${FILTER:-}" '
    FNR == 1 { files++ }
    /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ {
        passed += $1; failed += $3; skipped += $5; counted++
    }
    /^status [0-9]+$/ && $2 > 1 && !(filter != "" && $2 == 2) {
        failed++; print "FAIL " FILENAME ": ended with status " $2
    }
    END {
        if (counted < parts && filter == "") { failed++; print "FAIL ref: a part counted nothing" }
        if (skipped) print skipped " skipped: see the SKIP lines"
        print passed + 0 " passed, " failed + 0 " failed"
        exit failed > 0 || passed == 0
    }' parts=$(($# + 2)) $logs/ref-*.log
