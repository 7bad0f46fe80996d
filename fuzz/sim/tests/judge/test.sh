#!/bin/sh
# test.sh JUDGE GENERATE: the judge against numbers that are known (those of the litmus tests, and
# programs that were counted by hand) and against a second opinion. Prints what is not as stated.
here=$(dirname "$0")
{
    "$1" --check "$here"/known.litmus "$here"/../../litmus/text/*.litmus || echo "exit status $?"
    "$1" --check --c11 "$here"/known-c11.litmus || echo "exit status $?"
    second=$("$here"/second.py --judge "$1" --generate "$2" 1 10 psc cas values) || echo "$second"
} | { ! grep -v '^PASS'; }
