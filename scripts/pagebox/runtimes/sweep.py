"""sweep.py: `make runtimes-sweep`: fuzzes one runtime after the other and writes results/runtimes/<stamp>/: a table
of engines and rules, rates, versions, and every finding with its operations and its script.

    scripts/runtimes_sweep.py                            # every engine that is installed, TIME=600 s each
    scripts/runtimes_sweep.py RUNTIME=node,jsc TIME=60 EMPTY=1
    scripts/runtimes_sweep.py OF=results/fuzz/A,results/fuzz/B      # only the page, of earlier runs

RUNTIME also takes shims (wasm3:) and tiers (jsc:bbq+omg, with a plus, since the comma separates runtimes). JOBS, SEED
and RULES_OFF as for make fuzz.
Exit status: 0 clean, 1 a finding, 2 usage or set-up, 130 interrupted (the page has what was done).
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from pagebox.common import report
from pagebox.common import settings
from pagebox.runtimes import known

SETTINGS = ("TIME", "RUNTIME", "EMPTY", "JOBS", "SEED", "RULES_OFF", "OF")
# Rules that can be checked on a runtime. All others need what an engine does not show outside: an address, a copy.
ASKED = ("R1", "R2", "R5", "R6", "R7", "R8", "R9", "R12", "R16", "R17", "R18")
ASKED_SHARED = ("R14",)
ASKED_WAITS = ("R19", "R20", "R22", "R23")
ASKED_THREADS = (*ASKED_SHARED, *ASKED_WAITS)
WITHOUT_SHARED = ("wasm3", "wasm-c-api")
WITHOUT_WAITS = (*WITHOUT_SHARED, "wabt")


def asked(arguments):
    words = dict.fromkeys(("RUNTIME", "EMPTY", "JOBS", "SEED", "RULES_OFF", "OF"), settings.word())
    return settings.read(arguments, {"TIME": settings.number(600, 1, 9999999)} | words)


def fuzz(runtime, given):
    """The folder of its report; None if it could not run."""
    words = [f"{name}={value}" for name in ("EMPTY", "SEED", "RULES_OFF") if (value := getattr(given, name))]
    command = ["make", "--no-print-directory", "fuzz", f"RUNTIME={runtime}", f"TIME={given.TIME}",
               f"JOBS={given.JOBS or 1}", *words]
    environment = {k: v for k, v in os.environ.items() if k not in (*SETTINGS, "MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    print(f"== {runtime}", flush=True)
    with subprocess.Popen(command, cwd=report.REPO, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as child:
        folder = None
        for line in child.stdout:
            print(line, end="", flush=True)
            found = re.search(r"(\S+)/report\.html$", line.strip())
            folder = pathlib.Path(found.group(1)) if found else folder
    return folder


def version(runtime):
    name = runtime.partition(":")[0]
    engine = known.engines().get(name)
    if name == "wabt":
        return known.wabt_version() or ""
    return known.version_of(engine) if engine and known.program_of(engine) else ""


def cell(runtime, rule, found):
    names = sorted({f["oracle"] for f in found if f["oracle"].split("-")[0] == rule})
    if names:
        return ", ".join(name.partition("-")[2] for name in names)
    name = runtime.partition(":")[0]
    asked = rule in ASKED or (rule in ASKED_SHARED and name not in WITHOUT_SHARED) or \
        (rule in ASKED_WAITS and name not in WITHOUT_WAITS)
    return "clean" if asked else "not promised"


def page(runs):
    """runs: [(runtime, folder, facts)]. (items, sections, findings)."""
    items, rates, findings = [], [], []
    for runtime, folder, facts in runs:
        fuzzed = [i for i in facts["items"] if i["engine"] != "seeds"]
        executions, seconds = sum(i["executions"] for i in fuzzed), sum(i["seconds"] for i in fuzzed)
        found = [f for i in facts["items"] for f in i["findings"]]
        rate = round(executions / seconds, 1) if seconds else 0
        items.append({"name": runtime, "version": version(runtime), "executions": executions, "seconds": round(seconds, 1),
                      "executions_per_s": rate, "findings": found, "run": str(folder), "commit": facts["commit"]})
        short = re.split(r" built | \(", version(runtime))[0]
        rates.append([runtime, short, ", ".join(sorted({f["oracle"] for f in found})) or "none", executions, round(seconds), rate])
        findings += [(runtime, folder, f) for f in found]
    broken = {f["oracle"].split("-")[0] for _, _, f in findings}
    columns = sorted((*ASKED, *ASKED_THREADS), key=lambda rule: rule not in broken)  # broken rules first
    rules = [[runtime, *(cell(runtime, rule, [f for one, _, f in findings if one == runtime]) for rule in columns)]
             for runtime, _, _ in runs]
    sections = [
        report.Section("Runtimes", "One after the other on this machine; executions per second include the engine's own share.",
                       table=report.Table(["runtime", "version", "findings", "executions", "seconds", "a second"], rates)),
        report.Section("Rules", "Rules that are missing here need information that an engine does not expose.",
                       table=report.Table(["runtime", *columns], rules)),
    ]
    for runtime, folder, found in findings:
        inner = [report.Section("Operations", pre=found["ops"])]
        for title, name in (("Script", "finding.js"), ("Script", "finding.wast"), ("What it printed", "reproducer.txt")):
            path = folder / "findings" / found["name"] / name
            if path.exists():
                inner.append(report.Section(title, pre=path.read_text(errors="replace")[:6000]))
        shown = {True: "The script reproduces it in the engine without the harness.", False: "The script does not show it.",
                 None: "No script was run."}[found["reproducer_fails"]]
        sections.append(report.Section(f"{found['oracle']} in {runtime}",
                                       f"After {found['seconds']:.1f} s, seen {report.counted(found['seen'], 'time')}; "
                                       f"{found['operations'] or '?'} operations. {shown}", sections=inner))
    return items, sections, findings


def main():
    report.help_if_asked(__doc__)
    given = asked(sys.argv[1:])
    if given.OF:
        folders = [pathlib.Path(name) for name in given.OF.split(",")]
        wanted = []
    else:
        there = [name for name, engine in known.engines().items() if known.program_of(engine)]
        there += ["wabt:"] if known.wabt_version() else []
        wanted = [name.replace("+", ",") for name in given.RUNTIME.split(",")] if given.RUNTIME else there
        folders = []
    run = report.Run("runtimes")
    runs = []

    def finish(status=None):
        items, sections, findings = page(runs)
        names = sorted({f["oracle"] for _, _, f in findings})
        executions = sum(item["executions"] for item in items)
        summary = {"runtimes": " ".join(item["name"] for item in items), "executions": executions,
                   "findings": len(findings), "names": " ".join(names) or "none"}
        lead = f"{report.counted(len(items), 'runtime')}, {executions:,} executions, {report.counted(len(findings), 'finding')}" + (
            f": {', '.join(names)}." if names else ".")
        for item in items:
            for found in item["findings"]:
                kept = run.path(f"findings/{item['name'].replace(':', '-')}-{found['name']}/x").parent
                source = pathlib.Path(item["run"]) / "findings" / found["name"]
                for path in source.iterdir() if source.is_dir() else []:
                    if path.is_file():
                        shutil.copyfile(path, kept / path.name)
        return run.finish(status or ("finding" if findings else "pass"), summary, items, sections, "Real runtimes", lead)

    report.on_interrupt(lambda: finish("interrupted"))
    for folder in folders:
        try:
            facts = json.loads((folder / "report.json").read_text())
        except (OSError, ValueError) as error:
            report.die(f"{folder}: not a report folder of make fuzz: {error}")
        runs.append((facts["summary"].get("runtime") or folder.name, folder, facts))
    for runtime in wanted:
        folder = fuzz(runtime, given)
        if folder is None:
            print(f"{runtime}: could not be run, see above", file=sys.stderr)
            continue
        runs.append((runtime, folder, json.loads((folder / "report.json").read_text())))
    if not runs:
        report.die("nothing was run: make runtimes lists the installed engines")
    path = finish()
    print(f"{path}")
    return 1 if any(item["findings"] for item in page(runs)[0]) else 0
