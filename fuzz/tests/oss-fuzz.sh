#!/bin/sh
# oss-fuzz.sh: `make oss-fuzz-check`: runs .clusterfuzzlite/build.sh under the contract of OSS-Fuzz and
# ClusterFuzzLite in a scratch folder, for address, undefined, coverage and no sanitizer with libFuzzer and for
# address with AFL++, and checks what the service's bad_build_check checks, and more: see README.md.
#   CLANG=clang-19      the compiler in the service's place (clang); with AFL++ it is always Debian's
#   BUILDS="address-libfuzzer ..."  only these
# Prints PASS, FAIL and SKIP lines and `N passed, N failed`; the whole log is build/test/oss-fuzz.log.
# Exit status: 0, 1 when a check failed, 2 when a program is missing, 130 when interrupted.
set -u
cd "$(dirname "$0")/../.." || exit 2
CLANG=${CLANG:-clang}
BUILDS=${BUILDS:-address-libfuzzer undefined-libfuzzer coverage-libfuzzer none-libfuzzer address-afl}
log=$PWD/build/test/oss-fuzz.log
mkdir -p build/test && : >"$log" || exit 2
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
trap 'echo interrupted; exit 130' INT TERM
passed=0
failed=0

for program in "$CLANG" "$CLANG++" afl-clang-fast afl-fuzz objdump unzip file prlimit git; do
    # clang-19's C++ name is clang++-19
    command -v "$program" >/dev/null ||
        command -v "$(echo "$program" | sed 's/^clang-\([0-9]*\)++$/clang++-\1/')" >/dev/null ||
        { echo "oss-fuzz-check: $program is missing: run scripts/setup" >&2; exit 2; }
done

pass() {
    passed=$((passed + 1))
    echo "PASS $1"
}
fail() {
    failed=$((failed + 1))
    echo "FAIL $1: $2 (the log: $log)"
}
# expect NAME PATTERN COMMAND...: the command succeeds and says something like PATTERN.
expect() {
    check=$1 pattern=$2
    shift 2
    echo "== $check: $*" >>"$log"
    "$@" >"$scratch/said" 2>&1
    status=$?
    cat "$scratch/said" >>"$log"
    if [ $status != 0 ]; then
        fail "$check" "status $status: $(tail -n 3 "$scratch/said" | tr '\n' ' ' | cut -c 1-300)"
    elif ! grep -qE -e "$pattern" "$scratch/said"; then
        fail "$check" "does not say $pattern"
    else
        pass "$check"
    fi
}
# limits NAME VALUE AT_LEAST AT_MOST
limits() {
    if [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then
        pass "$1"
    else
        fail "$1" "$2 is not from $3 to $4"
    fi
}

# ---- Building ------------------------------------------------------------------------------------

# The service's flags (infra/base-images/base-builder of OSS-Fuzz).
BASE='-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION'
UBSAN=bool,array-bounds,float-divide-by-zero,function,integer-divide-by-zero,return,shift
UBSAN=$UBSAN,signed-integer-overflow,vla-bound
flags_of() {
    case $1 in
    address) echo "$BASE -fsanitize=address -fsanitize-address-use-after-scope" ;;
    undefined) echo "$BASE -fsanitize=$UBSAN,unsigned-integer-overflow -fno-sanitize-recover=$UBSAN" ;;
    coverage) echo "$BASE -fprofile-instr-generate -fcoverage-mapping -pthread -Wl,--no-as-needed -ldl -lm" \
        "-Wno-unused-command-line-argument" ;;
    none) echo "$BASE" ;;
    esac
}

build() {
    sanitizer=${1%-*} engine=${1#*-}
    OUT=$scratch/out-$1
    mkdir -p "$OUT" "$scratch/work"
    flags=$(flags_of "$sanitizer")
    cc=$CLANG cxx=$(echo "$CLANG" | sed 's/^clang/clang++/') library=-fsanitize=fuzzer
    case $engine-$sanitizer in
    afl-*) cc=afl-clang-fast cxx=afl-clang-fast++ library=/usr/lib/afl/libAFLDriver.a ;;
    libfuzzer-coverage) ;;
    *) flags="$flags -fsanitize=fuzzer-no-link" ;;
    esac
    echo "== build $1" >>"$log"
    (cd "$scratch/src/pagebox" &&
        env -i PATH="$PATH" HOME="$scratch" SRC="$scratch/src" OUT="$OUT" WORK="$scratch/work" CC="$cc" \
            CXX="$cxx" CFLAGS="$flags" CXXFLAGS="$flags" LIB_FUZZING_ENGINE="$library" \
            SANITIZER="$sanitizer" FUZZING_ENGINE="$engine" ARCHITECTURE=x86_64 AFL_QUIET=1 \
            sh -eux "$scratch/src/build.sh") >>"$log" 2>&1
}

# ---- What is in $OUT ------------------------------------------------------------------------------

contents() {
    wanted= strange=
    for target in $TARGETS; do
        wanted="$wanted $target $target.options ${target}_seed_corpus.zip $target.dict"
    done
    for path in "$OUT"/*; do
        case " $wanted " in *" ${path##*/} "*) ;; *) strange="$strange ${path##*/}" ;; esac
    done
    if [ -z "$strange" ]; then pass "$1_holds_nothing_else"; else fail "$1_holds_nothing_else" "$strange"; fi
    for target in $TARGETS; do
        seeds=$(unzip -Z1 "$OUT/${target}_seed_corpus.zip" | wc -l)
        texts=$(find corpus/"$target" corpus/regress/"$target" -name '*.ops' 2>/dev/null | wc -l)
        limits "$1_${target}_seeds_are_all_there" "$seeds" "$texts" 99999
        expect "$1_${target}_is_of_this_architecture" 'ELF 64-bit.*x86-64' file "$OUT/$target"
    done
}

# calls TARGET NAME: how often the code calls functions whose names begin so.
calls() {
    objdump -d "$OUT/$1" | grep -cE "callq?[[:space:]]+[0-9a-f]+ <__$2"
}
sanitizers() {
    for target in $TARGETS; do
        asan=$(calls "$target" asan) ubsan=$(calls "$target" ubsan) msan=$(calls "$target" msan)
        case $1 in
        address-*)
            limits "$1_${target}_calls_asan" "$asan" 1000 99999999
            limits "$1_${target}_does_not_mix_in_ubsan" "$ubsan" 0 200
            ;;
        undefined-*)
            limits "$1_${target}_calls_ubsan" "$ubsan" 168 99999999
            limits "$1_${target}_does_not_mix_in_asan" "$asan" 0 0
            ;;
        *) limits "$1_${target}_does_not_mix_in_asan" "$asan" 0 0 ;;
        esac
        limits "$1_${target}_does_not_mix_in_msan" "$msan" 0 3
    done
}

# ---- Running -------------------------------------------------------------------------------------

LIMITS="-rss_limit_mb=2560 -timeout=25 -artifact_prefix=$scratch/"
# The service's settings of the sanitizers.
export ASAN_OPTIONS='alloc_dealloc_mismatch=0:allocator_may_return_null=1:detect_odr_violation=2:detect_stack_use_after_return=0:handle_abort=1:handle_segv=1:handle_sigill=1:quarantine_size_mb=10:strict_string_check=1:symbolize=0:use_sigaltstack=1'
export UBSAN_OPTIONS='silence_unsigned_overflow=1:print_stacktrace=1:symbolize=0:halt_on_error=1'
export LLVM_PROFILE_FILE="$scratch/%m.profraw" # of the coverage build

# isolated PROGRAM...: with $OUT at /mnt, nothing writable but an empty /tmp, no /dev, another folder.
isolated() {
    # shellcheck disable=SC2016 # $1 and $@ are the inner shell's
    unshare -m -- sh -c 'out=$1; shift
        mount --make-rprivate / && mount --bind "$out" /mnt && mount -o remount,bind,ro /mnt &&
        mount -t tmpfs none /tmp && mount -t tmpfs -o ro none /dev && mount -o remount,bind,ro / &&
        cd /usr && exec "$@"' sh "$OUT" "$@"
}

runs() {
    # shellcheck disable=SC2086 # words on purpose
    for target in $TARGETS; do
        name=$1_$target
        rm -rf "$scratch/seeds" && mkdir "$scratch/seeds"
        unzip -q -d "$scratch/seeds" "$OUT/${target}_seed_corpus.zip"
        expect "${name}_seeds_are_clean" '#[0-9]+' "$OUT/$target" -runs=0 $LIMITS "$scratch/seeds"
        hostile "$name" "$target"
        [ "${1%-*}" != coverage ] || continue # it is not fuzzed
        expect "${name}_does_4_runs" 'Done 4 runs' "$OUT/$target" -seed=1337 -runs=4 $LIMITS
        edges=$(sed -nE 's/.*Loaded [0-9]+ modules? +\(([0-9]+) inline.*/\1/p' "$scratch/said")
        limits "${name}_is_instrumented" "${edges:-0}" 100 99999999
        if isolated true 2>>"$log"; then
            expect "${name}_needs_no_folder_of_its_own" 'Done 4 runs' \
                isolated /mnt/$target -seed=1337 -runs=4 $LIMITS -artifact_prefix=/tmp/
        else
            echo "SKIP ${name}_needs_no_folder_of_its_own: this user may not make a namespace"
        fi
        [ "${1%-*}" = address ] || limited "$name" "$target"
        expect "${name}_takes_its_dictionary" 'Dictionary: [1-9]' \
            "$OUT/$target" -dict="$OUT/$target.dict" -runs=1 $LIMITS
    done
}

# Inputs that no engine makes.
hostile() {
    head -c 10485760 /dev/urandom >"$scratch/large"
    : >"$scratch/empty"
    head -c 1000 "$(find "$scratch/seeds" -type f | head -n 1)" | head -c 7 >"$scratch/cut"
    for input in large empty cut; do
        # shellcheck disable=SC2086
        expect "$1_takes_${input}_input" 'Executed ' "$OUT/$2" $LIMITS "$scratch/$input"
    done
}

# 5,120 MiB of address space, as Centipede's lane has: what cannot be reserved is a value.
limited() {
    # shellcheck disable=SC2086
    expect "$1_runs_in_5_GiB_of_address_space" 'Done [0-9]+ runs' \
        prlimit --as=5368709120 "$OUT/$2" -seed=1337 -runs=20000 -max_total_time=5 $LIMITS "$scratch/seeds"
}

afl_runs() {
    for target in $TARGETS; do
        name=$1_$target
        rm -rf "$scratch/seeds" "$scratch/afl" && mkdir "$scratch/seeds"
        unzip -q -d "$scratch/seeds" "$OUT/${target}_seed_corpus.zip"
        ls "$scratch/seeds" | tail -n +6 | sed "s|^|$scratch/seeds/|" | xargs rm -f
        echo "== $name: afl-fuzz" >>"$log"
        env ASAN_OPTIONS="$ASAN_OPTIONS:abort_on_error=1" AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 \
            AFL_FORKSRV_INIT_TMOUT=30000 AFL_FAST_CAL=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 \
            afl-fuzz -V 5 -m none -t 2000+ -i "$scratch/seeds" -o "$scratch/afl" -- "$OUT/$target" \
            >"$scratch/said" 2>&1
        cat "$scratch/said" >>"$log"
        if ! grep -q 'All set and ready to roll' "$scratch/said"; then
            fail "${name}_is_fuzzed" "$(tail -n 3 "$scratch/said" | tr '\n' ' ')"
        elif grep -qE 'target binary (crashed|terminated)' "$scratch/said" ||
            ls "$scratch"/afl/default/crashes/id:* >/dev/null 2>&1; then
            fail "${name}_is_fuzzed" 'a seed or one of the first inputs crashes'
        else
            pass "${name}_is_fuzzed"
        fi
    done
}

# The coverage build tells what its seeds reach, of both halves of the library.
covers() {
    llvm=$(echo "$CLANG" | sed -n 's/^clang\(-[0-9]*\)$/\1/p')
    for target in $TARGETS; do
        rm -rf "$scratch/seeds" && mkdir "$scratch/seeds"
        unzip -q -d "$scratch/seeds" "$OUT/${target}_seed_corpus.zip"
        LLVM_PROFILE_FILE="$scratch/$target.profraw" "$OUT/$target" -runs=0 "$scratch/seeds" >>"$log" 2>&1
        "llvm-profdata${llvm:--14}" merge -o "$scratch/p" "$scratch/$target.profraw" 2>>"$log"
        file=linear.c
        [ "$target" != waiters_fuzzer ] || file=waiters.c
        "llvm-cov${llvm:--14}" export -summary-only -format=lcov "$OUT/$target" -instr-profile="$scratch/p" \
            >"$scratch/said" 2>>"$log"
        lines=$(awk -F: -v file="/ref/$file" '$1 == "SF" { here = index($2, file) }
            here && $1 == "LH" { print $2 }' "$scratch/said")
        limits "$1_${target}_tells_what_is_covered_of_$file" "${lines:-0}" 100 99999
    done
}

# ---- The builds ----------------------------------------------------------------------------------

TARGETS=$(for source in fuzz/targets/*_fuzzer.c; do basename "$source" .c; done | tr '\n' ' ')
mkdir -p "$scratch/src/pagebox"
git ls-files -co --exclude-standard -z | tar -c --null -T - 2>>"$log" | tar -x -C "$scratch/src/pagebox"
cp .clusterfuzzlite/build.sh "$scratch/src/build.sh"

for one in $BUILDS; do
    began=$(date +%s)
    if ! build "$one"; then
        fail "${one}_is_built" "$(tail -n 3 "$log" | tr '\n' ' ' | cut -c 1-300)"
        continue
    fi
    pass "${one}_is_built"
    contents "$one"
    sanitizers "$one"
    case $one in
    *-afl) afl_runs "$one" ;;
    *) runs "$one" ;;
    esac
    [ "$one" != coverage-libfuzzer ] || covers "$one"
    echo "$one: $(($(date +%s) - began)) s" | tee -a "$log"
    rm -rf "$OUT"
done
echo "$passed passed, $failed failed" | tee -a "$log"
[ $failed = 0 ]
