#!/bin/sh
# entry.sh LIBRARY: checks that the engine's library defines every function that gcc, clang and clang-19 call
# under -fsanitize=thread. A compiler that is not installed is skipped with a message.
here=$(dirname "$0")/entry
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
status=0
for pair in gcc:g++ clang:clang++ clang-19:clang++-19; do
    for source in c.c cxx.cc; do
        case $source in c.c) cc=${pair%:*} ;; *) cc=${pair#*:} ;; esac
        command -v "$cc" >/dev/null || { echo "  $cc is not installed: skipped"; continue; }
        for level in -O0 -O2; do
            "$cc" $level -w -fsanitize=thread -c "$here/$source" -o "$work/o.o" &&
                "$cc" "$work/o.o" "$1" -pthread -o "$work/program" || {
                echo "  $cc $level $source does not link"
                status=1
            }
        done
    done
done
exit $status
