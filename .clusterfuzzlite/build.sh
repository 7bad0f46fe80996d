#!/bin/sh
# build.sh: builds the fuzz targets by the contract of OSS-Fuzz and ClusterFuzzLite: with $CC, $CXX,
# $CFLAGS, $CXXFLAGS, $LIB_FUZZING_ENGINE and $SANITIZER, into $OUT; run in the repository. What each
# target is and is not made of: fuzz/oss-fuzz.mk. `make oss-fuzz-check` runs this and looks at the result.
set -eu
: "${CC:?}" "${CXX:?}" "${CFLAGS?}" "${CXXFLAGS?}" "${LIB_FUZZING_ENGINE:?}" "${OUT:?}" "${SANITIZER:?}"
work=${WORK:-/tmp}/pagebox

# What is neither fuzzed nor instrumented is built by a compiler that adds nothing.
case $CC in
*afl*) plain=clang ;;
*) plain=$CC ;;
esac

# The engine's flags that this compiler has: a newer one may have dropped some.
apart=
for flag in -sink-common-insts=false -enable-tail-merge=false -hoist-common-insts=false; do
    if echo 'int x;' | $plain -mllvm "$flag" -x c -c - -o /tmp/flag-probe.o 2>/tmp/flag-probe.txt; then
        apart="$apart -mllvm $flag"
    fi
done

# WARN: warnings of a compiler that nobody here has seen must not end a build.
rm -rf build/oss-fuzz
make -j"$(nproc)" CC="$plain" CLANG="$plain" WARN=-Wall ENGINE_APART="$apart" \
    OSS_CC="$CC" OSS_CXX="$CXX" OSS_CFLAGS="$CFLAGS" OSS_CXXFLAGS="$CXXFLAGS" \
    OSS_ENGINE="$LIB_FUZZING_ENGINE" OSS_SANITIZER="$SANITIZER" OUT="$OUT" \
    oss-fuzz-targets build/plain/replay build/plain/opgen

# Seeds as bytes; those of fixed bugs have names of their own.
rm -rf "$work"
for target in fuzz/targets/*_fuzzer.c; do
    target=$(basename "$target" .c)
    mkdir -p "$work/$target"
    build/plain/replay -q -b "$work/$target" "corpus/$target"
    for seed in corpus/regress/"$target"/*.ops; do
        [ -f "$seed" ] || continue
        mkdir -p "$work/regress"
        build/plain/replay -q -b "$work/regress" "$seed"
        mv "$work/regress/${seed##*/}" "$work/$target/regress-${seed##*/}"
    done
    mkdir -p "$work/each" # and one for each operation
    build/plain/opgen seeds "$target" "$work/each"
    for seed in "$work"/each/*; do
        mv "$seed" "$work/$target/each-${seed##*/}"
    done
    rm -f "$OUT/${target}_seed_corpus.zip"
    python3 -m zipfile -c "$OUT/${target}_seed_corpus.zip" "$work/$target"/*
    build/plain/opgen dict "$target" >"$OUT/$target.dict"
    cp .clusterfuzzlite/target.options "$OUT/$target.options"
done
