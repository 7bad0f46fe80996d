"""explore_build.py: builds the user's source files into a program under the engine, for explore.py.

clang's front end emits the program as written; then only locals are put into registers (sroa) and accesses are
instrumented (tsan), so that every access, order and width of the source remains. The objects are joined into one
with local names, so that none can clash with the engine's.
"""
import functools
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

from pagebox.common import report
from pagebox.sim import explore_kept
from pagebox.sim import trace

REPO = report.REPO
SIM = REPO / "fuzz" / "sim"
C, CXX = (".c",), (".cc", ".cpp", ".cxx", ".C")

FLAGS = (
    "-g -pthread -fno-pie -fno-common -fno-stack-protector "
    "-fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free"
)
PASSES = "always-inline,{coroutines}function(sroa),module(tsan-module),function(tsan)"
COROUTINES = "coro-early,cgscc(coro-split),coro-cleanup,"  # no code can be generated for coroutines without these
TSAN = ["-tsan-instrument-read-before-write", "-tsan-distinguish-volatile"]
# Each source line stays one place in the program: no merging of calls from different lines, no copies.
KEEP_APART = {
    "enable-tail-merge": 0,
    "disable-early-taildup": 1,
    "disable-tail-duplicate": 1,
    "tail-dup-placement": 0,
}
# The same if the user's own -O2 runs the optimiser.
KEEP_APART_O = {"sink-common-insts": 0, "enable-tail-merge": 0, "hoist-common-insts": 0}
INCLUDES = [f"-I{SIM}", "-idirafter", str(SIM / "verifiers")]
FLAGS += " -mcx16" if os.uname().machine == "x86_64" else ""
GCC_AS_WRITTEN = "-Og -fno-tree-dce -fno-tree-fre -fno-tree-dse -fno-builtin"

# Names of these families that object files may use; the rest is renamed or refused.
FAMILIES = re.compile(r"(pthread|thrd|mtx|cnd|tss|sem)_|__tls_get_addr|__atomic_|io_uring")
HARMLESS = re.compile(
    r"pthread_(attr|mutexattr|condattr|rwlockattr|barrierattr)_|pthread_equal$|thrd_equal$"
    r"|sem_close$|sem_unlink$"
)
VOLATILE = re.compile(
    r"^( *(?:%\S+ = )?(?:load|store)) volatile ((?:i8|i16|i32|i64|float|double|ptr|[^,]*\*)[ ,].*)"
    r"(, align \d+.*)$",
    re.MULTILINE,
)
WEAK_CAS = re.compile(
    r"^( *%\S+ = )cmpxchg weak (?:volatile )?(ptr|i\d+\*) (.+?), (i8|i16|i32|i64) (\S+), \4 (\S+) (\w+) (\w+)(.*)\n",
    re.MULTILINE,
)
ORDERS = {"monotonic": 0, "acquire": 2, "release": 3, "acq_rel": 4, "seq_cst": 5}
ASM = re.compile(r"\basm (?:sideeffect |alignstack |inteldialect |unwind )*\"([^\"]*)\".*!dbg !(\d+)")
ASM_HARMLESS = re.compile(r"(pause|nop|rep; ?nop|yield|isb|\\09|\\0A|;|\s)*")


class Deadline:
    """When a build must have ended, because it counts towards the user's time."""

    at = None
    began = time.monotonic()

    @classmethod
    def left_s(cls):
        return None if cls.at is None else max(0.1, cls.at - time.monotonic())


def run_tool(command, what, given=None, said=None):
    """Runs a build step. Its own error message is the clearest one; it is added to the list `said`."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, errors="surrogateescape",
                              timeout=Deadline.left_s())  # fmt: skip
    except OSError:
        report.die(f"{command[0]} is missing: run scripts/setup")
    except subprocess.TimeoutExpired:
        report.die(f"the time ran out after {time.monotonic() - Deadline.began:.0f} s, before the program was built "
                   f"({what}): give it more (TIME=N); the files that were compiled are kept for the next try")
    sys.stderr.write(done.stderr)
    if said is not None and done.stderr:
        said.append(done.stderr)
    if done.returncode:
        report.die(f"{what} failed; the message is above")
    return done.stdout


def llvm_options(options):
    return [x for name, on in options.items() for x in ("-mllvm", f"-{name}={on}")]


# ---------------------------------------------------------------- the compiler


@functools.cache
def is_clang(cc):
    return "clang" in run_tool([cc, "--version"], cc)


def optimiser_of(cc):
    """opt of the same LLVM as this clang. clang may be a link to a compiler cache, so its resource folder tells."""
    resources = pathlib.Path(run_tool([cc, "-print-resource-dir"], cc).strip())  # .../lib/clang/19
    version = re.search(r"version (\d+)", run_tool([cc, "--version"], cc)).group(1)
    opt = resources.resolve().parents[2] / "bin" / "opt"
    if not opt.exists():
        report.die(f"{opt} is missing: install llvm-{version} (scripts/setup does)")
    return str(opt)


def compiler_of(cc, source):
    """The compiler of the same family for this language."""
    if not source.endswith(CXX):
        return [cc, "-std=gnu11"]
    cxx = re.sub(r"clang(?!\+)", "clang++", cc) if is_clang(cc) else cc.replace("gcc", "g++")
    return [cxx, "-std=gnu++20"]


# libstdc++'s std::latch counts down with a release exchange and then checks for waiters. C++ allows the check to come
# first, but no processor does that: its exchange is a full fence, or orders the check.
LATCH = re.compile(r"(define [^\n]*@_ZNSt5latch10count_down(?:(?!^}).)*?)(  call void @\S*notify_all)", re.MULTILINE | re.DOTALL)


# std::atomic<std::shared_ptr> has a lock bit, which a load clears with a relaxed operation. In C++ its reads then race
# with the next store. The program cannot prevent that, so the operation is treated as an unlock.
SHARED_UNLOCK = re.compile(r"(define [^\n]*@_ZNKSt10_Sp_atomic\S*13_Atomic_count6unlockESt12memory_order(?:(?!^}).)*?  store i32 )%\w+,",
                           re.MULTILINE | re.DOTALL)  # fmt: skip


# A processor fence that the source requests through its intrinsic.
MFENCE = re.compile(r"^  (?:tail )?call void @llvm\.x86\.sse2\.mfence\(\).*?(, !dbg !\d+)?$", re.MULTILINE)


def see_fences(text):
    return MFENCE.sub(r"  fence seq_cst\1", text)


def mend_library(text):
    text = LATCH.sub(r"\1  fence seq_cst\n\2", text)
    return SHARED_UNLOCK.sub(rf"\g<1>{ORDERS['seq_cst']},", text)


def place_of(text, number):
    """File and line of a debug location in LLVM's text."""

    def node(n):
        found = re.search(rf"^!{n} = (.*)$", text, re.MULTILINE)
        return found.group(1) if found else ""

    here = node(number)
    line = re.search(r"line: (\d+)", here)
    scope = re.search(r"scope: !(\d+)", here)
    while scope:
        here = node(scope.group(1))
        file = re.search(r"file: !(\d+)", here)
        if file:
            file = node(file.group(1))
            name = re.search(r'filename: "([^"]*)", directory: "([^"]*)"', file)
            path = os.path.join(name.group(2), name.group(1)) if name else "?"
            return path, int(line.group(1)) if line else 0
        scope = re.search(r"scope: !(\d+)", here)
    return "?", int(line.group(1)) if line else 0


def inline_assembly(text):
    """Places of inline assembly that may access or order memory, which the engine cannot see."""
    hits = (m for m in ASM.finditer(text) if not ASM_HARMLESS.fullmatch(m.group(1)))
    return sorted({place_of(text, m.group(2)) for m in hits})


def keep_weak(text):
    """Instrumentation does not tell weak compare-exchanges from strong ones, so the weak ones get calls of their own.
    """
    declared = {}

    def call(match):
        start, pointer, where, kind, expected, desired, order, failure, rest = match.groups()
        small = " zeroext" if kind in ("i8", "i16") else ""
        name = f"sim_weak_cas{kind[1:]}"
        declared[name] = f"declare {{ {kind}, i1 }} @{name}({pointer}, {kind}{small}, {kind}{small}, i32, i32)\n"
        arguments = f"{pointer} {where}, {kind}{small} {expected}, {kind}{small} {desired}"
        orders = f"i32 {ORDERS[order]}, i32 {ORDERS[failure]}"
        debug = re.search(r", !dbg !\d+", rest)
        return f"{start}call {{ {kind}, i1 }} @{name}({arguments}, {orders}){debug.group(0) if debug else ''}\n"

    return WEAK_CAS.sub(call, text) + "".join(declared.values())


def mark_locals(text):
    """Tells the engine about the locals that are in memory when their function begins."""
    pointer = "ptr" if re.search(r"\bptr\b", text) else "i8*"
    count = 0

    def mark(match):
        nonlocal count
        whole, name, kind = match.group(0), match.group(1), match.group(2)
        if ", " in re.sub(r"\{.*\}|\[.*\]|<.*>", "", kind):
            return whole  # its size is only known at run time
        count += 1
        typed = "ptr" if pointer == "ptr" else f"{kind}*"
        at, cast = name, ""
        if pointer != "ptr":
            at = f"%sim.local{count}"
            cast = f"  {at} = bitcast {kind}* {name} to i8*\n"
        size = f"ptrtoint ({typed} getelementptr ({kind}, {typed} null, i32 1) to i64)"
        return f"{whole}{cast}  call void @sim_stack_fresh({pointer} {at}, i64 {size})\n"

    line = re.compile(r"^  (%\S+) = alloca (.+?), align \d+(?:, !dbg !\d+)?\n", re.MULTILINE)
    text = line.sub(mark, text)
    return text + f"\ndeclare void @sim_stack_fresh({pointer}, i64)\n" if count else text


COMMON = [*FLAGS.split(), "-femulated-tls", "-fsanitize=thread"]  # flags for clang without its optimiser


def as_written(a, source, object_file, front, said):
    """Compiles with clang without its optimiser: front end, locals into registers, instrumentation, code. Returns the
    places of inline assembly."""
    compiler = compiler_of(a.cc, source)
    text = run_tool([*front, "-S", "-emit-llvm", source, "-o", "-"], compiling(a, source), said=said)
    assembly = inline_assembly(text)
    if a.volatile == "relaxed":
        text = VOLATILE.sub(r"\1 atomic volatile \2 monotonic\3", text)
    text = keep_weak(see_fences(mend_library(text.replace("define available_externally ", "define linkonce_odr "))))
    passes = PASSES.format(coroutines=COROUTINES if "@llvm.coro." in text else "")
    text = run_tool(
        [optimiser_of(a.cc), "-S", f"-passes={passes}", *TSAN, "-o", "-"],
        f"instrumenting {source}",
        text,
    )
    if "check_uninitialised=1" in a.set:
        text = mark_locals(text)
    written = pathlib.Path(object_file).with_suffix(".ll")
    written.write_text(text)
    back = ["-O2", "-Xclang", "-disable-llvm-passes", *llvm_options(KEEP_APART)]
    run_tool([compiler[0], *COMMON, *back, "-c", str(written), "-o", object_file], "code generation")
    return assembly


def compiling(a, source):
    return f"compiling {source} with {a.cc}" + (" (CC_EXPLORE=gcc: with gcc)" if is_clang(a.cc) else "")


def front_of(a, source):
    """The compiler's command without its output, and whether the program is compiled as written."""
    extra = [f for f in shlex.split(a.cflags) if not f.startswith(("-l", "-L", WRAP))]
    optimised = any(re.fullmatch(r"-O.*", f) for f in extra)
    compiler = compiler_of(a.cc, source)
    if is_clang(a.cc) and not optimised:
        front = ["-U_FORTIFY_SOURCE", "-O1", "-fno-inline", "-Xclang", "-disable-llvm-passes"]
        return [*compiler, *COMMON, *front, *extra, *INCLUDES], True
    flags = [*FLAGS.split(), "-U_FORTIFY_SOURCE", *GCC_AS_WRITTEN.split()]
    if is_clang(a.cc):
        flags = [*FLAGS.split(), "-U_FORTIFY_SOURCE", "-femulated-tls", *llvm_options(KEEP_APART_O)]
        flags += ["-mllvm", "-tsan-distinguish-volatile"]
    if a.volatile == "relaxed":
        report.die("--volatile=relaxed (VOLATILE=relaxed) needs clang and no -O of your own")
    return [*compiler, *flags, *extra, "-fsanitize=thread", *INCLUDES], False


def compile_one(a, source, object_file):
    """Reuses the object of an earlier run if nothing has changed since and the compiler had nothing to say."""
    front, is_as_written = front_of(a, source)
    text = run_tool([*front, "-w", "-E", source, "-o", "-"], compiling(a, source))
    name = explore_kept.name_of(
        text, *front, os.getcwd(), a.volatile, *a.set, run_tool([a.cc, "--version"], a.cc),
        pathlib.Path(__file__).read_text(),
    )
    assembly = explore_kept.take(name, object_file)
    if assembly is None:
        said, assembly = [], []
        if is_as_written:
            assembly = as_written(a, source, object_file, front, said)
        else:
            run_tool([*front, "-c", source, "-o", object_file], compiling(a, source), said=said)
        if not said:
            explore_kept.keep(name, object_file, assembly)
    a.assembly += [tuple(place) for place in assembly]


# ---------------------------------------------------------------- names


def symbols_of(object_file):
    """An object's undefined, defined and local symbols."""
    needs, offers, own = set(), set(), set()
    table = run_tool(["readelf", "-sW", object_file], "readelf")
    for line in table.splitlines():
        words = line.split()
        if len(words) < 8 or words[3] in ("SECTION", "FILE") or not words[0].endswith(":"):
            continue
        if words[3] == "TLS":
            report.die("thread-local variables need clang: use CC_EXPLORE=clang")
        group = needs if words[6] == "UND" else own if words[4] == "LOCAL" else offers
        group.add(words[7])
    return needs, offers, own


def twins():
    """Functions of the C library that the engine replaces: name -> twin."""
    lines = (SIM / "redefine.syms").read_text().splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def check_needs(needs, known, source):
    """Refuses, with the reason, calls that a simulated run could not answer."""
    for name in sorted(needs):
        if name.startswith("__atomic_"):
            report.die(f"{source}: {name}: atomics wider than 16 bytes, of 16 bytes by gcc, and of addresses that are"
                       " not a multiple of their size are not simulated")  # fmt: skip
        if name.startswith(("__kmpc_", "GOMP_", "omp_")):
            report.die(f"{source} calls {name}: OpenMP is not simulated; use explicit threads")
        if FAMILIES.match(name) and not HARMLESS.match(name) and name not in known:
            report.die(f"{source} calls {name}, which the engine does not simulate; see EXPLORE.md")


def rename_calls(objects, sources):
    """Renames calls of the C library to the engine's, except functions that the program defines itself."""
    tables = [symbols_of(o) for o in objects]
    offered = set().union(*(offers for _, offers, _ in tables))
    known, refused = twins(), []
    for object_file, source, (needs, _, own) in zip(objects, sources, tables):
        outside = needs - offered
        check_needs(outside, known, source)
        pairs = [(n, known[n]) for n in sorted(outside) if n in known and n not in own]
        refused += [(source, n) for n, twin in pairs if twin.startswith("sim_no_")]
        theirs = [n for n in own | offered if n.startswith("sim_")]
        pairs += [("main", "sim_subject_main"), *((n, n + trace.THEIRS) for n in sorted(theirs))]
        flags = [f"--redefine-sym={name}={new}" for name, new in pairs]
        run_tool(["objcopy", *flags, object_file], f"renaming the calls in {source}")
    if "main" not in offered:
        report.die(f"{' '.join(sources)}: there is no main")
    return refused, set().union(*(needs for needs, _, _ in tables))


WRAP = "-Wl,--wrap="


def join(a, objects, folder):
    """Joins the objects into one, with sections under names that the driver knows, and local symbols."""
    subject = str(folder / "subject.o")
    wrapped = [f.removeprefix("-Wl,") for f in shlex.split(a.cflags) if f.startswith(WRAP)]
    run_tool(
        ["ld", "-r", "--force-group-allocation", "-T", str(SIM / "subject.ld"), *wrapped, *objects]
        + ["-o", subject],
        "linking the program",
    )
    run_tool(["objcopy", "--keep-global-symbol=sim_subject_main", subject], "hiding its names")
    return subject


# ---------------------------------------------------------------- linking


def fuzzer_library():
    """libFuzzer without its main, and the libraries that it needs."""
    machine = os.uname().machine
    names = (f"libclang_rt.fuzzer_no_main-{machine}.a", "libclang_rt.fuzzer_no_main.a")
    for name in names:
        found = run_tool(["clang", f"-print-file-name={name}"], "clang").strip()
        if os.path.isabs(found):
            return ["-Wl,-u,LLVMFuzzerRunDriver", found, "-lstdc++", "-lm"]
    report.die("libFuzzer is missing (libclang_rt.fuzzer_no_main): run scripts/setup")


# The functions that libstdc++ itself calls in the engine; its own memory and files stay real.
LIBSTDCXX = re.compile(
    r"(pthread|sched|sem)_|_Z[nd]|__cxa_(guard|thread_atexit)|(clock_gettime|nanosleep|usleep|syscall|abort"
    r"|gettimeofday|time|fwrite|fputs|putc|fputc|fflush|write) "
)

# References to exceptions are dropped through posix_cxx.c, also inside libstdc++.
EXCEPTIONS = ("__cxa_end_catch", "_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv")


def library_cxx():
    """libstdc++ with its calls renamed, made once."""
    original = run_tool(["gcc", "-print-file-name=libstdc++.a"], "gcc").strip()
    if not os.path.isabs(original):
        report.die("libstdc++.a is missing: install libstdc++-12-dev, or g++")
    made = REPO / "build" / "plain" / "libstdcxx-sim.a"
    table = SIM / "redefine.syms"
    if made.exists() and made.stat().st_mtime > max(os.stat(original).st_mtime, table.stat().st_mtime):
        return str(made)
    pairs = [f"{n} {t}\n" for n, t in twins().items() if LIBSTDCXX.match(n + " ")]
    names = made.with_suffix(f".{os.getpid()}.syms")
    names.write_text("".join(pairs))
    new = made.with_suffix(f".{os.getpid()}.a")
    run_tool(["objcopy", f"--redefine-syms={names}", original, str(new)], "renaming libstdc++'s calls")
    names.unlink()
    new.replace(made)
    return str(made)


def mark(folder, name):
    """An object that marks the beginning or end of the library's own data, which are restored before each run."""
    made = str(folder / f"{name}.o")
    text = "".join(f".section {s}\n.balign 16\n.globl sim_library_{s[1:]}_{name}\nsim_library_{s[1:]}_{name}:\n.skip 16\n"
                   for s in (".data", ".bss"))  # fmt: skip
    text += ".section .note.GNU-stack\n"
    run_tool(["gcc", "-x", "assembler", "-c", "-", "-o", made], "marking the library's data", text)
    return made


def of_program(a):
    """Options for the program under the engine in every run: its arguments, and the calls that it makes."""
    told = [f"--argument={x}" for x in shlex.split(a.args)]
    told += ["--input=1"] if a.reads_input else []
    told += ["--tryjoin=1"] if a.tries_join else []
    told += ["--polls=1"] if a.polls else []
    return told + [f"--{pair}" for pair in a.set]


def build(a, folder):
    """Builds the program and returns its path. Sets a.assembly, a.refused, a.tries_join, a.polls and a.reads_input."""
    engine = REPO / "build" / "plain" / "explore-engine.o"
    if not engine.exists():
        report.die(f"{engine} is not built: run `make explore-lib`")
    a.assembly, objects = [], []
    for i, source in enumerate(a.src):
        objects.append(str(folder / f"{i}.o"))
        compile_one(a, source, objects[-1])
    a.refused, needs = rename_calls(objects, a.src)
    a.tries_join = "pthread_tryjoin_np" in needs
    a.polls = bool(needs & {"poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait"})
    a.reads_input = bool(needs & {"stdin", "scanf", "__isoc99_scanf", "__isoc23_scanf", "getchar",
                                  "gets", "read", "getchar_unlocked", "_ZSt3cin"})
    subject = join(a, objects, folder)
    program = folder / "program"
    libraries = [f for f in shlex.split(a.cflags) if f.startswith(("-l", "-L"))]
    libraries += fuzzer_library() if a.sched == "bytes" else []
    if any(s.endswith(CXX) for s in a.src):
        wrapped = [f"-Wl,-u,{name},--wrap={name}" for name in EXCEPTIONS]
        first, last = (mark(folder, name) for name in ("first", "last"))
        libraries = [*wrapped, first, library_cxx(), last, *libraries, "-lgcc_eh"]
    command = ["gcc", "-no-pie", "-pthread", subject, str(engine), *libraries, "-lm"]
    run_tool([*command, "-o", str(program)], f"linking {' '.join(a.src)}")
    return program
