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
fixed() { # runs $1 with the flags that every subject is built with; the path of this folder may have spaces
    compiler=$1
    shift
    "$compiler" -std=c11 -D_GNU_SOURCE -O2 -g -fPIC "-I$here" "$@"
}
if [ -z "$seen" ]; then
    fixed "${CC:-gcc}" -shared "$@" -o "$out"
    exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for word in "$@"; do
    shift
    case $word in
    *.c)
        object=$work/$#-$(basename "$word" .c).o
        # One object, so that its calls can be renamed; clang keeps apart atomics that it would merge.
        # shellcheck disable=SC2086 # words on purpose
        fixed "${CLANG:-clang}" -mllvm -sink-common-insts=false -mllvm -enable-tail-merge=false \
            -mllvm -hoist-common-insts=false ${SUBJECT_CFLAGS-} -fsanitize=thread -c "$word" -o "$object"
        objcopy --redefine-syms="$here/sim/redefine.syms" "$object"
        word=$object
        ;;
    esac
    set -- "$@" "$word"
done
"${CLANG:-clang}" -shared "$@" -o "$out"
