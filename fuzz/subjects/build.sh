#!/bin/sh
# build.sh: builds a subject from C sources.
#
#   build.sh [-e] OUT.so SOURCE.c... [compiler and linker flags]
#
# -e: as the concurrency engine sees it: each access is a call that the program which loads the
# object answers, and malloc, pthread_* and their kind are the engine's (fuzz/sim/redefine.syms).
# CC: the compiler, gcc; with -e CLANG, clang. Flags of the compiler go into SUBJECT_CFLAGS with -e. Exit status: the compiler's; 2 usage.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
seen=
[ "${1-}" != -e ] || { seen=yes && shift; }
if [ $# -lt 2 ]; then
    sed -n 's/^#   //p' "$0" >&2
    exit 2
fi
out=$1
shift
flags="-std=c11 -D_GNU_SOURCE -O2 -g -fPIC -I$here"
if [ -z "$seen" ]; then
    # shellcheck disable=SC2086 # words on purpose
    exec "${CC:-gcc}" $flags -shared "$@" -o "$out"
fi
# One object, so that its calls can be renamed; clang keeps apart atomics that it would merge.
for flag in -sink-common-insts=false -enable-tail-merge=false -hoist-common-insts=false; do
    flags="$flags -mllvm $flag"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for word in "$@"; do
    shift
    case $word in
    *.c)
        object=$work/$#-$(basename "$word" .c).o
        # shellcheck disable=SC2086
        "${CLANG:-clang}" $flags ${SUBJECT_CFLAGS-} -fsanitize=thread -c "$word" -o "$object"
        objcopy --redefine-syms="$here/sim/redefine.syms" "$object"
        word=$object
        ;;
    esac
    set -- "$@" "$word"
done
"${CLANG:-clang}" -shared "$@" -o "$out"
