#!/bin/sh
# build.sh: builds a subject from C sources.
#
#   build.sh [-e | -f] OUT.so SOURCE.c... [compiler and linker flags]
#
# -f: with coverage and the address sanitizer, so that these sources guide libFuzzer too, and heap corruption
# is reported where it happens. Only for programs built with that sanitizer: make fuzz, replay, shrink. AFL++
# runs such a subject without its coverage.
# -e: for the concurrency engine: each access is a call to the program that loads the object, and malloc,
# pthread_* and similar functions are renamed to the engine's (fuzz/sim/redefine.syms).
# The compiler is CC (gcc), or with -f and -e CLANG (clang); with -e its flags go into SUBJECT_CFLAGS. Exit
# status: the compiler's, or 2 for wrong usage.
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
fixed() { # runs compiler $1 with the flags of all subjects; the path of this folder may contain spaces
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
        # One object per source, so that its calls can be renamed; the flags keep clang from merging atomics.
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
