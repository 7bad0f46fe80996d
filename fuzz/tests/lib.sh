# lib.sh: what the shell tests of this folder share; sourced. Wants the scratch folder $work.
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

# expect NAME STATUS PATTERN COMMAND...: the command ends with STATUS and says something like PATTERN.
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
