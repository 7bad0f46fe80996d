"""known.py: the WebAssembly runtimes under test: which are installed, and how they are started.

    scripts/runtimes.py                                # the table of make runtimes
    scripts/runtimes.py with node -- command...        # runs a command with that runtime as its subject
    scripts/runtimes.py command jsc:bbq                # how it is started, one line per tier: name, repeat, command

A runtime is an engine of fuzz/runtimes/engines.json, optionally with tiers (jsc:interpreter,bbq);
"pipe:COMMAND", any command that speaks the protocol of fuzz/runtimes/README.md; or a library in this process,
SHIM:LIBRARY, with a shim of fuzz/runtimes/shims/ (wasm-c-api:/usr/lib/libsome.so).
Exit status: the command's; 2 usage or set-up.
"""
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

from pagebox.common import report

FOLDER = report.REPO / "fuzz" / "runtimes"
BUILD = report.REPO / "build" / "runtimes"
DRIVER = FOLDER / "driver.js"


def engines_folder():
    """The folder in which `scripts/setup runtimes` lets npm put its engines."""
    state = pathlib.Path(os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local" / "state")
    return pathlib.Path(os.environ.get("PAGEBOX_ENGINES") or state / "pagebox" / "engines")


def engines():
    return json.loads((FOLDER / "engines.json").read_text())["engines"]


def program_of(engine):
    """The engine's program, or None if it is not installed."""
    for name in engine["program"]:
        path = shutil.which(name) if "/" not in name else engines_folder() / name
        if path and os.access(path, os.X_OK):
            return str(path)
    return None


def how_to_get(engine):
    """Browsers are large, so `scripts/setup runtimes` does not install them."""
    return f"{engine['get']}, or scripts/setup {'conform' if engine['run'][0].startswith('{browser ') else 'runtimes'}"


WABT_HEADER = pathlib.Path("/usr/include/wabt/interp/interp.h")


def wabt_version():
    """The version of the library in the package, or None if it is not installed."""
    return output_of(["dpkg-query", "-W", "-f", "${Version}", "wabt"]) if WABT_HEADER.exists() else None


def version_of(engine):
    if isinstance(engine["version"], str):  # {apt PACKAGE}
        return output_of(["dpkg-query", "-W", "-f", "${Version}", engine["version"].strip("{}").split()[1]])
    return output_of([program_of(engine), *engine["version"]])


def output_of(command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (done.stdout.splitlines() or ["unknown"])[0].strip()


def words(engine, tier):
    """One tier's command: its environment and its words."""
    made = []
    if engine["run"][0].startswith("{browser "):
        kind = engine["run"][0].strip("{}").split()[1]
        return {}, [str(report.REPO / "scripts" / "runtimes_browser.py"), kind, program_of(engine), *tier.get("flags", [])]
    for word in engine["run"]:
        if word == "{driver}":
            made.append(str(DRIVER))
        elif word == "{v8}":
            made += ["--v8-flags=" + ",".join(tier["v8"])] if tier.get("v8") else []
        else:
            made.append(word)
    return tier.get("env", {}), [program_of(engine), *tier.get("flags", []), *made]


def commands(runtime):
    """[(tier, repeats of each program, shell command)] of a runtime in a process of its own."""
    name, _, wanted = runtime.partition(":")
    if name == "pipe":
        return [("pipe", "1", wanted)]
    known = engines()
    if name not in known:
        report.die(f"RUNTIME={runtime} is unknown; there are {', '.join(known)}, pipe:COMMAND, and shims by SHIM:LIBRARY "
            f"({', '.join(shims())}); `make runtimes` lists the installed ones")
    engine = known[name]
    if program_of(engine) is None:
        report.die(f"{name} is not installed: {how_to_get(engine)}")
    tiers = wanted.split(",") if wanted else list(engine["tiers"])
    if not set(tiers) <= set(engine["tiers"]):
        report.die(f"RUNTIME={runtime}: {name}'s tiers are {', '.join(engine['tiers'])}")
    made = []
    for tier in tiers:
        environment, command = words(engine, engine["tiers"][tier])
        prefix = "".join(f"{key}={shlex.quote(value)} " for key, value in environment.items())
        made.append((f"{name} {tier}", str(engine["tiers"][tier].get("repeat", 1)),
                     f"{prefix}exec {shlex.join(command)}"))
    return made


def shims():
    return sorted(path.stem.replace("_", "-") for path in (FOLDER / "shims").glob("*.c*"))


def environment_of(runtime):
    """Environment variables for the programs of fuzz/."""
    shim, _, library = runtime.partition(":")
    if shim in shims():
        return {"SUBJECT": str(BUILD / f"{shim.replace('-', '_')}.so"), "PAGEBOX_LIBRARY": library or shim,
                "PAGEBOX_RUNTIME_NAME": runtime}
    known = engines().get(shim, {})
    made = {"SUBJECT": str(BUILD / "pipe.so"), "PAGEBOX_RUNTIME_NAME": runtime,
            "PAGEBOX_RUNTIME": "\n".join("\t".join(tier) for tier in commands(runtime))}
    if os.environ.get("REPEAT"):
        made["PAGEBOX_REPEAT"] = os.environ["REPEAT"]
    for limit in ("costly_pages", "costly_shared_pages"):
        if known.get(limit):
            made[f"PAGEBOX_{limit.upper()}"] = os.environ.get(f"PAGEBOX_{limit.upper()}") or str(known[limit])
    return made


def table():
    rows = []
    for name, engine in engines().items():
        there = program_of(engine)
        rows.append((name, version_of(engine) if there else "not installed", ", ".join(engine["tiers"]),
                     there or how_to_get(engine)))
    rows.append(("wabt:", wabt_version() or "not installed", "interpreter",
                 "in the fuzzer's process" if wabt_version() else "apt-get install wabt, or scripts/setup runtimes"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]))
    for shim in shims():
        if shim == "wabt":
            continue
        print(f"{shim}: a library by path, RUNTIME={shim}:/path/to/lib.so (fuzz/runtimes/README.md)")


def main():
    arguments = sys.argv[1:]
    if not arguments:
        table()
        return 0
    if arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    if arguments[0] == "command" and len(arguments) == 2:
        for tier in commands(arguments[1]):
            print("\t".join(tier))
        return 0
    if arguments[0] == "with" and arguments[2:3] == ["--"] and len(arguments) > 3:
        os.environ.update(environment_of(arguments[1]))
        try:
            os.execvp(arguments[3], arguments[3:])
        except OSError as error:
            report.die(f"{arguments[3]}: {error.strerror}")
    return report.die("unknown command; see scripts/runtimes.py --help")

