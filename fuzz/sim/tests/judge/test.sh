#!/bin/sh
# test.sh JUDGE GENERATE: checks the judge against known numbers (the litmus tests, and programs that were
# counted by hand) and against a second opinion. Prints the differences.
here=$(dirname "$0")
{
    "$1" --check "$here"/known.litmus "$here"/../../litmus/text/*.litmus || echo "exit status $?"
    "$1" --check --c11 "$here"/known-c11.litmus || echo "exit status $?"
    second=$("$here"/second.py --judge "$1" --generate "$2" 1 10 psc cas values) || echo "$second"
} | { ! grep -v '^PASS'; }
