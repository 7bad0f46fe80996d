#!/bin/sh
# run.sh [CLASSES]: `make test-sim`: the litmus tests, the entry points, the judge, the search against the judge, and the
# engine's own tests. Prints PASS or FAIL for each, and ends with `N passed, N failed`. Exit status: 0, 1 if
# anything failed, 130 interrupted.
set -u
cd "$(dirname "$0")/../../.." || exit 2
work=$(mktemp) || exit 2
trap 'rm -f "$work"' EXIT
trap 'exit 130' INT TERM
judge=fuzz/sim/tests/judge
passed=0
failed=0

part() {
    name=$1
    shift
    if "$@"; then
        echo "PASS $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name: see above"
        failed=$((failed + 1))
    fi
}

part litmus_tests_as_stated build/litmus --quiet --runs 200000 fuzz/sim/litmus fuzz/sim/litmus/text
part entry_points_all_defined fuzz/sim/tests/entry.sh build/plain/libsim.a
part judge_as_counted $judge/test.sh build/judge build/litmus-generate
part search_as_judged $judge/compare.py --quiet 1 1000 "${1:-all}"

build/test-sim | tee "$work" | grep -v '^[0-9]* passed'
total=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work") || {
    echo "FAIL engine: its tests did not come to their end"
    total='0 passed, 1 failed'
}
passed=$((passed + ${total%% *}))
total=${total#*, }
failed=$((failed + ${total%% *}))
echo "$passed passed, $failed failed"
[ $failed = 0 ]
