"""spec.py: `make spec TESTS=folder`: the specification's own tests of memory, on every runtime.

    scripts/spec.py FOLDER [RUNTIME]     # the .wast files of memory in FOLDER and below; RUNTIME: one of them

The files are the user's, a checkout of the specification's test suite. wast2json (wabt) takes them apart; what it cannot
read, proposals that it does not know, is told. Engines of fuzz/runtimes/engines.json run them in each tier.
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

# What is asked of memories: by the first words of a file's name.
WANTED = re.compile(r"^(memory|bulk|data|address|align|float_memory|load|store|atomic|endianness|memory_\w+)\d*\.wast$")
FEATURES = ["--enable-threads", "--enable-multi-memory"]
SECONDS = 120


def files(folder):
    return [path for path in sorted(folder.rglob("*.wast")) if WANTED.match(path.name) and "64" not in path.name]


def taken_apart(path, folder):
    """The commands of a script with their modules as hexadecimal, or the reason why there are none."""
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
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return 0, 1, 0, [f"{script.name}: took longer than {SECONDS} s"]
    lines = done.stdout.splitlines()
    count = next((line for line in lines if line.startswith("COUNT ")), None)
    if count is None:
        return 0, 1, 0, [f"ended with status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"]
    return (*map(int, count.split()[1:]), [line for line in lines if line != count])


def main():
    report.help_if_asked(__doc__)
    if len(sys.argv) < 2:
        report.die("where are the tests? make spec TESTS=folder, a checkout of the specification's test suite")
    folder = pathlib.Path(sys.argv[1])
    if not folder.is_dir() or not files(folder):
        report.die(f"TESTS={folder}: no .wast files of memory there: a checkout of the specification's test suite is wanted")
    if shutil.which("wast2json") is None:
        report.die("wast2json is missing: apt-get install wabt, or scripts/setup runtimes")
    chosen = {n: e for n, e in known.engines().items() if known.program_of(e) and sys.argv[2:3] in ([], [""], [n])}
    if not chosen:
        report.die("no runtime is there to run them: make runtimes tells")
    totals = {(name, tier): [0, 0, 0] for name, engine in chosen.items() for tier in engine["tiers"]}
    runner = (known.FOLDER / "spec.js").read_text()
    with tempfile.TemporaryDirectory() as temporary:
        for path in files(folder):
            name = str(path.relative_to(folder))
            commands, why = taken_apart(path, pathlib.Path(temporary))
            if commands is None:
                print(f"{name}: wast2json cannot read it: {why}", flush=True)
                continue
            script = pathlib.Path(temporary) / "script.js"
            script.write_text(f"const script = {json.dumps({'name': name, 'commands': commands})};\n{runner}")
            for (engine, tier), total in totals.items():
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
