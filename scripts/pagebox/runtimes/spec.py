"""spec.py: `make spec TESTS=folder`: the specification's own tests of memories, on every runtime.

    scripts/spec.py FOLDER [RUNTIME]     # the .wast files of memory in FOLDER and below; RUNTIME: one, or "ours"

The files are the user's, a checkout of the specification's test suite. wast2json (wabt) parses them; files that it
cannot read, because of proposals that it does not support, are reported. Engines of fuzz/runtimes/engines.json run them
in each tier. "ours" are the memories of ref/, under each strategy: wasm2c compiles a script's modules to C, which gets
its memories from fuzz/runtimes/spec/memory.c; atomic instructions, which Debian's wasm2c does not support, are called by
name.
Exit status: 0 all passed, 1 a failure, 2 usage or set-up.
"""
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from pagebox.common import report
from pagebox.runtimes import known

# Tests of memories, by the first words of a file's name.
WANTED = re.compile(r"^(memory|bulk|data|address|align|float_memory|load|store|atomic|endianness|memory_\w+)\d*\.wast$")
FEATURES = ["--enable-threads", "--enable-multi-memory"]
SECONDS = 120


def files(folder):
    return [path for path in sorted(folder.rglob("*.wast")) if WANTED.match(path.name) and "64" not in path.name]


def taken_apart(path, folder):
    """The commands of a script, with modules as hexadecimal; or the reason why there are none."""
    made = folder / "script.json"
    for features in ([], FEATURES):
        done = subprocess.run(["wast2json", *features, str(path), "-o", str(made)], capture_output=True, text=True)
        if done.returncode == 0:
            break
    else:
        return None, (done.stderr.splitlines() or ["no reason given"])[0]
    commands = json.loads(made.read_text())["commands"]
    for command in commands:
        if command.get("filename", "").endswith(".wasm"):
            command["hex"] = (folder / command["filename"]).read_bytes().hex()
    return commands, None


def run(words, environment, script):
    """(passed, failed, left out, lines of failures)."""
    prefix = [f"{key}={value}" for key, value in environment.items()]
    command = ["env", *prefix, *(str(script) if word == str(known.DRIVER) else word for word in words)]
    if str(known.DRIVER) not in words:  # a browser has no driver in its command
        command.append(f"--script={script}")
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return 0, 1, 0, [f"{script.name}: took longer than {SECONDS} s"]
    lines = done.stdout.splitlines()
    count = next((line for line in lines if line.startswith("COUNT ")), None)
    if count is None:
        return 0, 1, 0, [f"ended with status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"]
    return (*map(int, count.split()[1:]), [line for line in lines if line not in (count, ".")])


# ---------------------------------------------------------------- our own memories

C_TYPES = {"i32": ("i", "u32"), "i64": ("l", "u64"), "f32": ("f", "f32"), "f64": ("d", "f64")}


def mangled(name):
    """As wasm2c encodes an export's name."""
    return "".join(c if c.isalnum() and c != "Z" or c == "_" else f"Z{ord(c):02X}" for c in name)


def literal(argument):
    kind, value = argument["type"], argument["value"]
    if kind in ("f32", "f64"):
        return f"spec_{kind}({value}ull)" if value.isdigit() else None
    return f"{value}u" if kind == "i32" else f"{value}ull"


def leb(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 128:
            return value, at


def sections(data):
    at, made = 8, {}
    while at < len(data):
        number = data[at]
        size, at = leb(data, at + 1)
        made[number] = data[at:at + size]
        at += size
    return made


def shared_memory(data):
    """(min, max, shared) of a module of atomic instructions, or None."""
    memory = sections(data).get(5)
    if memory is None or 2 in sections(data):
        return None
    flags, at = memory[1], 2
    low, at = leb(memory, at)
    high = leb(memory, at)[0] if flags & 1 else 65536
    return low, high, flags >> 1 & 1


class Program:
    """The C of one script."""

    def __init__(self, name, folder):
        self.name, self.folder, self.steps, self.code, self.headers = name, folder, [], [], []
        self.module, self.atomic = None, False

    def module_step(self, command, number):
        data = bytes.fromhex(command["hex"])
        self.module, self.atomic = f"m{number}", False
        wasm, made = self.folder / command["filename"], self.folder / f"m{number}.c"
        done = subprocess.run(["wasm2c", "-n", self.module, str(wasm), "-o", str(made)], capture_output=True)
        limits = shared_memory(data)
        if done.returncode == 0 and 2 not in sections(data):
            self.headers.append(f'#include "m{number}.h"')
            self.code.append(
                f"static Z_m{number}_instance_t i{number};\n"
                f"static void make_{number}(void) {{ memset(&i{number}, 0, sizeof i{number}); Z_m{number}_init_module(); "
                f"Z_m{number}_instantiate(&i{number}); }}\nstatic void drop_{number}(void) {{ Z_m{number}_free(&i{number}); }}")
            self.steps.append(f"{{.line = {command['line']}, .kind = SPEC_MODULE, .call = make_{number}, .drop = drop_{number}}}")
        elif done.returncode != 0 and limits and b"\xfe" in data:
            made.unlink(missing_ok=True)
            self.atomic = True
            self.steps.append(f"{{.line = {command['line']}, .kind = SPEC_SHARED, .args = {{{limits[0]}u, {limits[1]}u, {limits[2]}u}}}}")
        else:  # imports, or proposals that wasm2c does not support
            made.unlink(missing_ok=True)
            self.module = None
            self.steps.append(f"{{.line = {command['line']}, .kind = SPEC_MODULE}}")

    def call_step(self, command):
        action, kind = command["action"], "SPEC_TRAP" if command["type"] == "assert_trap" else "SPEC_RETURN"
        expected = command.get("expected", []) if kind == "SPEC_RETURN" and command["type"] == "assert_return" else []
        arguments = [literal(a) for a in action.get("args", [])]
        if action["type"] != "invoke" or action.get("module") or len(expected) > 1 or None in arguments or \
                any(e["type"] not in C_TYPES for e in expected):
            return False
        type_, nan, bits = "0", "false", "0"
        if expected:
            letter, value = C_TYPES[expected[0]["type"]][0], expected[0]["value"]
            type_, nan = f"'{letter}'", "true" if value.startswith("nan") else "false"
            bits = "0" if value.startswith("nan") else f"{value}ull"
        head = f"{{.line = {command['line']}, .kind = {kind}, .type = {type_}, .nan = {nan}, .bits = {bits}"
        if self.atomic:
            self.steps.append(f"{head}, .atomic = {json.dumps(action['field'])}, .args = {{{', '.join(arguments) or '0'}}}}}")
            return True
        if self.module is None:
            self.steps.append(f"{head}}}")  # after a module that is left out
            return True
        number = len(self.steps)
        call = f"Z_{self.module}Z_{mangled(action['field'])}({', '.join(['&i' + self.module[1:], *arguments])})"
        returns = expected[0]["type"] if expected else None
        body = f"{C_TYPES[returns][1]} value = {call}; spec_store(&value, sizeof value);" if returns else f"{call};"
        self.code.append(f"static void call_{number}(void) {{ {body} }}")
        self.steps.append(f"{head}, .call = call_{number}}}")
        return True

    def write(self):
        (self.folder / "script.c").write_text("\n".join([
            '#include <string.h>', '#include "memory.h"', *self.headers,
            "static inline f32 spec_f32(u64 bits) { u32 b = (u32)bits; f32 v; memcpy(&v, &b, 4); return v; }" if self.headers else "",
            "static inline f64 spec_f64(u64 bits) { f64 v; memcpy(&v, &bits, 8); return v; }" if self.headers else "",
            *self.code, f"const char spec_name[] = {json.dumps(self.name)};",
            "const struct spec_step spec_step[] = {", ",\n".join(self.steps), "};",
            "const unsigned spec_steps = sizeof spec_step / sizeof spec_step[0];", ""]))


def on_ours(name, commands, folder):
    """(counts by strategy, lines of failures, commands left out)."""
    program, left_out = Program(name, folder), 0
    for number, command in enumerate(commands):
        if command["type"] == "module" and "hex" in command:
            program.module_step(command, number)
        elif command["type"] in ("assert_return", "assert_trap", "action"):
            left_out += not program.call_step(command)
        else:
            left_out += 1  # invalid modules do not concern memories
    if not program.steps:
        return {}, [], left_out
    program.write()
    spec = known.FOLDER / "spec"
    rename = [f"-Dwasm_rt_{what}_memory=program_{what}_memory" for what in ("allocate", "grow", "free")]
    checks = ["-DWASM_RT_MEMCHECK_SIGNAL_HANDLER=0", "-DWASM_RT_USE_STACK_DEPTH_COUNT=0"]
    folders = [f"-I{spec}", f"-I{report.REPO / 'ref'}", f"-I{folder}", "-I/usr/share/wabt/wasm2c"]
    command = ["gcc", "-std=gnu11", "-w", "-O1", "-g", *rename, *checks, *folders, *map(str, sorted(folder.glob("m*.c"))),
               str(folder / "script.c"), str(spec / "memory.c"), "-lwasm-rt-impl",
               str(report.REPO / "build/plain/libpagebox.a"), "-lm", "-pthread", "-ldl", "-o", str(folder / "script")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {}, [f"{name}: does not compile: {done.stderr.strip()[-400:]}"], left_out
    done = subprocess.run([str(folder / "script")], capture_output=True, text=True, timeout=SECONDS)
    counts = {}
    for line in done.stdout.splitlines():
        if line.startswith("COUNT "):
            _, strategy, *numbers = line.split()
            counts[strategy] = [int(n) for n in numbers]
    failures = [line for line in done.stdout.splitlines() if not line.startswith("COUNT ")]
    if done.returncode != 0:
        failures.append(f"{name}: ended with status {done.returncode}: {done.stderr.strip()[-200:]}")
    return counts, failures, left_out


def main():
    report.help_if_asked(__doc__)
    if len(sys.argv) < 2:
        report.die("no tests given: make spec TESTS=folder, a checkout of the specification's test suite")
    folder = pathlib.Path(sys.argv[1])
    if not folder.is_dir() or not files(folder):
        report.die(f"TESTS={folder}: no .wast files of memory there; give a checkout of the specification's test suite")
    if shutil.which("wast2json") is None:
        report.die("wast2json is missing: apt-get install wabt, or scripts/setup runtimes")
    chosen = {n: e for n, e in known.engines().items() if known.program_of(e) and sys.argv[2:3] in ([], [""], [n])}
    ours = sys.argv[2:3] in ([], [""], ["ours"])
    if not chosen and not ours:
        report.die("no runtime is installed to run them: see make runtimes")
    totals = {(name, tier): [0, 0, 0] for name, engine in chosen.items() for tier in engine["tiers"]}
    runner = (known.FOLDER / "spec" / "engine.js").read_text()
    with tempfile.TemporaryDirectory() as temporary:
        for path in files(folder):
            name = str(path.relative_to(folder))
            commands, why = taken_apart(path, pathlib.Path(temporary))
            if commands is None:
                print(f"{name}: wast2json cannot read it: {why}", flush=True)
                continue
            if ours:
                with tempfile.TemporaryDirectory() as inner:
                    for wasm in pathlib.Path(temporary).glob("*.wasm"):
                        shutil.move(wasm, inner)
                    counts, lines, left_out = on_ours(name, commands, pathlib.Path(inner))
                for strategy, numbers in counts.items():
                    total = totals.setdefault(("ours", strategy), [0, 0, 0])
                    for i, count in enumerate(numbers):
                        total[i] += count
                    total[2] += left_out
                for line in lines:
                    totals.setdefault(("ours", "all"), [0, 0, 0])[1] += "COUNT" not in line and not counts
                    print(f"ours: {line}", flush=True)
            script = pathlib.Path(temporary) / "script.js"
            script.write_text(f"const script = {json.dumps({'name': name, 'commands': commands})};\n{runner}")
            for (engine, tier), total in totals.items():
                if engine == "ours":
                    continue
                environment, words = known.words(chosen[engine], chosen[engine]["tiers"][tier])
                *counts, lines = run(words, environment, script)
                for i, count in enumerate(counts):
                    total[i] += count
                for line in lines:
                    print(f"{engine} {tier}: {line}", flush=True)
    for (engine, tier), (passed, failed, left_out) in totals.items():
        words = shlex.join([engine, tier])
        print(f"{words:24} {passed} passed, {failed} failed, {left_out} left out (modules as text, several results, proposals that it does not have)")
    return 1 if any(total[1] for total in totals.values()) else 0
