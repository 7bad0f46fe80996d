#!/bin/sh
# build.sh: builds a subject from C sources.
#
#   build.sh [-e | -f] OUT.so SOURCE.c... [compiler and linker flags]
#
# -f: with coverage and the address sanitizer, so that libFuzzer's feedback comes from these sources, too,
# and a broken heap is told where it breaks. Only for programs built with that sanitizer: make fuzz, replay,
# shrink. AFL++ runs it without its coverage. CLANG: the compiler.
# -e: as the concurrency engine sees it: each access is a call that the program which loads the
# object answers, and malloc, pthread_* and their kind are the engine's (fuzz/sim/redefine.syms).
# CC: the compiler, gcc; with -e CLANG, clang. Flags of the compiler go into SUBJECT_CFLAGS with -e. Exit status: the compiler's; 2 usage.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
seen=
followed=
case ${1-} in
-e) seen=yes && shift ;;
-f) followed=yes && shift ;;
esac
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
if [ -n "$followed" ]; then
    fixed "${CLANG:-clang}" -fsanitize=fuzzer-no-link,address -fno-omit-frame-pointer -shared "$@" -o "$out"
    exit
fi
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
