#!/bin/sh
# test.sh: `make test`. Runs every part, shows its output, adds up its `N passed, N failed` lines,
# and ends with a line that has only the total. A part that fails without counting a failure, or
# that counts nothing, is reported as one failure. Logs: build/test/<part>.log.
# Exit status: 0; 1 if anything failed; 2 if a tool is missing.
set -u
cd "$(dirname "$0")/.." || exit 2

# Each part is a make target of the folder that it tests.
# TEST_PARTS="test-ref test-bench" runs some of them.
TEST_PARTS=${TEST_PARTS:-test-ref test-sim test-explore test-fuzz test-planted-runtimes test-triage test-engine test-conform test-defects
    test-scoreboard test-bench test-gate test-coverage test-scripts test-lint}

# Tools that a part needs: checked first, because building takes minutes.
tools_of() {
    echo gcc objcopy python3
    case $1 in
    test-bench) echo clang g++ strace pytest ;;
    test-scripts | test-conform) echo pytest ;;
    test-gate) echo strace valgrind ;;
    test-ref | test-sim | test-explore | test-fuzz | test-triage | test-engine | test-scoreboard | test-coverage)
        echo clang ;;
    esac
}

there() {
    case $1 in
    gcc) command -v "${CC:-gcc}" ;;
    clang) command -v "${CLANG:-clang}" ;;
    pytest) /usr/bin/python3 -c 'import pytest' 2>/dev/null && echo yes ;;
    python3) command -v /usr/bin/python3 ;;
    *) command -v "$1" ;;
    esac
}

missing=
for tool in $(for part in $TEST_PARTS; do tools_of "$part"; done | tr ' ' '\n' | sort -u); do
    [ -n "$(there "$tool")" ] || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "make test: missing:$missing. Run scripts/setup test, which installs it. Nothing was built." >&2
    exit 2
fi

logs=build/test
mkdir -p $logs || exit 2
trap 'echo "interrupted"; exit 130' INT TERM
total_passed=0
total_failed=0
broken=
table=

for part in $TEST_PARTS; do
    echo "== $part"
    log=$logs/$part.log
    began=$(date +%s)
    {
        ${MAKE:-make} --no-print-directory "$part" </dev/null 2>&1
        echo $? >"$log.status"
    } | tee "$log"
    status=$(cat "$log.status")
    sums=$(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3; n++ }
                END { print p + 0, f + 0, n + 0 }' "$log")
    read -r passed failed lines <<SUMS
$sums
SUMS
    if [ "$lines" = 0 ] || { [ "$status" != 0 ] && [ "$failed" = 0 ]; }; then
        failed=$((failed + 1))
        echo "FAIL $part: ended with status $status and $lines count lines (its log: $log)"
    fi
    [ "$failed" = 0 ] || broken="$broken $part"
    seconds=$(($(date +%s) - began))
    table="$table$(printf '%-14s %5d passed %5d failed %6d s' "$part" "$passed" "$failed" "$seconds")
"
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
done

echo "== total"
printf '%s' "$table"
[ -z "$broken" ] || echo "failed in:$broken"
echo "$total_passed passed, $total_failed failed"
[ $total_failed = 0 ]
