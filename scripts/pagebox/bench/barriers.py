"""barriers.py: what the memory orders compile to, also on processors with weak ordering.

    scripts/barriers.py              # `make barriers`: tables on the screen, everything as JSON
    scripts/barriers.py --no-run     # only compile and count; run nothing under qemu

Compiles the files with sites (mailbox, guest, lock, waiters) for x86-64, arm64 (with and without its
single-instruction atomics) and riscv64: once for each order table, and once for each single site made
sequentially consistent. It counts ordering instructions and bytes of code in the disassembly; these are exact
counts, not measurements. Then bench/orders_check.c runs with the whole library under qemu-user. A
processor whose compiler is missing is left out with the reason. `make bench` has the same tables in its
report. build/barriers/barriers.json has all figures and is reused until a source changes.

Exit status: 0; 1 a program failed under qemu; 2 usage or set-up; 130 interrupted.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from pagebox.common import report

OUT = report.REPO / "build" / "barriers"
FILES = ("mailbox", "guest", "lock", "waiters")
TABLES = ("chosen", "acqrel", "seed", "sc")
RUN_LIMIT_S = 120

# name -> prefix of its tools, flags, emulator, Debian packages, kinds of ordering instructions
ARM = {
    "dmb": r"\bdmb\b",
    "ldar": r"\bldap?r[bh]?\b",
    "stlr": r"\bstlr[bh]?\b",
    "ldxr": r"\bldxr[bh]?\b",
    "ldaxr": r"\bldaxr[bh]?\b",
    "stxr": r"\bstxr[bh]?\b",
    "stlxr": r"\bstlxr[bh]?\b",
    "atomic": r"\b(cas|swp|ld(add|set|clr|eor))[bh]?\b",
    "atomic, acquire": r"\b(cas|swp|ld(add|set|clr|eor))a[bh]?\b",
    "atomic, release": r"\b(cas|swp|ld(add|set|clr|eor)|st(add|set|clr))l[bh]?\b",
    "atomic, both": r"\b(cas|swp|ld(add|set|clr|eor))al[bh]?\b",
}
TARGETS = {
    "x86-64": (
        "",
        [],
        [],
        "gcc binutils",
        {"lock": r"\block\b", "xchg": r"\bxchg\b[^\n]*\(", "mfence": r"\bmfence\b"},
    ),
    "arm64": (
        "aarch64-linux-gnu-",
        ["-mno-outline-atomics"],
        ["qemu-aarch64"],
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        ARM,
    ),
    "arm64, atomics": (
        "aarch64-linux-gnu-",
        ["-march=armv8.1-a"],
        ["qemu-aarch64"],
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        ARM,
    ),
    "riscv64": (
        "riscv64-linux-gnu-",
        [],
        ["qemu-riscv64"],
        "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross",
        {
            "fence": r"\bfence\b",
            "lr": r"\blr\.[wd]\b(?!\.)",
            "lr.aq": r"\blr\.[wd]\.aq(rl)?\b",
            "sc": r"\bsc\.[wd]\b(?!\.)",
            "sc.rl": r"\bsc\.[wd]\.(aq)?rl\b",
            "amo": r"\bamo\w+\.[wd]\b(?!\.)",
            "amo.aq": r"\bamo\w+\.[wd]\.aq\b",
            "amo.rl": r"\bamo\w+\.[wd]\.rl\b",
            "amo.aqrl": r"\bamo\w+\.[wd]\.aqrl\b",
        },
    ),
}
# Which instructions enforce an order that a relaxed access of the same kind does not need.
ORDERING = ("lock xchg mfence dmb ldar stlr ldaxr stlxr fence lr.aq sc.rl amo.aq amo.rl amo.aqrl").split()
ORDERING += ["atomic, acquire", "atomic, release", "atomic, both"]


def run(command, **more):
    """Standard output of a command; if it fails, ends the program with the first line of its errors."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", **more)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"{command[0]}: {lines[0]}")
    return done.stdout


# ---------------------------------------------------------------- tables of orders


def sites(text):
    """Site -> its chosen order, from a table's text."""
    return dict(re.findall(r"^#define PB_ORDER_(\w+) memory_order_(\w+)", text, re.MULTILINE))


def table_header(table, chosen):
    """File name for PB_ORDERS_TABLE. None: the orders as chosen; a site's name: that one site strengthened."""
    if table == "chosen":
        return None
    if table in ("acqrel", "seed"):
        return {"acqrel": "orders_acqrel.h", "seed": "orders_upstream.h"}[table]
    path = OUT / f"orders_{table}.h"
    path.parent.mkdir(parents=True, exist_ok=True)
    stronger = chosen if table == "sc" else [table]
    lines = ["#undef PB_ORDERS_H", "#undef PB_ORDERS_TABLE", '#include "orders.h"']
    for site in stronger:
        lines += [f"#undef PB_ORDER_{site}", f"#define PB_ORDER_{site} memory_order_seq_cst"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.name


def compile_command(target, header):
    prefix, flags = TARGETS[target][:2]
    command = [f"{prefix}gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", *flags]
    command += [f"-I{report.REPO / 'ref'}", f"-I{report.REPO / 'bench'}", f"-I{OUT}"]
    return command + ([f'-DPB_ORDERS_TABLE="{header}"'] if header else [])


# ---------------------------------------------------------------- counting


def functions_of(disassembly):
    """Function -> its instructions, of objdump -d --no-show-raw-insn."""
    found, current = {}, None
    for line in disassembly.splitlines():
        head = re.match(r"[0-9a-f]+ <([\w.]+)>:$", line)
        if head and head.group(1).startswith(".L"):
            continue  # a local label: the function continues
        if head:
            # Code that the compiler moved out of line belongs to its function.
            current = found.setdefault(re.sub(r"\.(cold|part|isra|constprop).*", "", head.group(1)), [])
        elif current is not None and re.match(r"\s+[0-9a-f]+:\t", line):
            current.append(line.split("\t", 1)[1])
    return found


def count(target, instructions):
    kinds = TARGETS[target][4]
    text = "\n".join(instructions)
    counted = {kind: len(re.findall(pattern, text)) for kind, pattern in kinds.items()}
    return {kind: number for kind, number in counted.items() if number}


def ordering(counts):
    """How many of the counted instructions enforce an order."""
    return sum(number for kind, number in counts.items() if kind in ORDERING)


def counts_text(counts):
    return " + ".join(f"{number} {kind}" for kind, number in counts.items()) or "none"


def sizes_of(target, objects):
    lines = run([f"{TARGETS[target][0]}size", *map(str, objects)]).splitlines()[1:]
    return sum(int(line.split()[0]) for line in lines)


def variant(target, table, header, files):
    """{'functions': {name: {kind: n}}, 'counts', 'text_bytes', 'code'} of the files under a table."""
    folder = OUT / re.sub(r"\W+", "_", target) / table
    folder.mkdir(parents=True, exist_ok=True)
    functions, objects, code = {}, [], ""
    for name in files:
        made = folder / f"{name}.o"
        source = report.REPO / "ref" / f"{name}.c"
        run([*compile_command(target, header), "-c", str(source), "-o", str(made)])
        text = run([f"{TARGETS[target][0]}objdump", "-d", "--no-show-raw-insn", str(made)])
        code += text.partition("Disassembly")[2]
        functions |= {f: count(target, body) for f, body in functions_of(text).items()}
        objects.append(made)
    total = collections.Counter()
    for counts in functions.values():
        total.update(counts)
    found = {"functions": functions, "counts": dict(total), "text_bytes": sizes_of(target, objects)}
    return found, code


def files_with(site):
    """The files that contain the site. For a site in other files (reference counts), those are searched here."""
    named = re.compile(rf"\bPB_ORDER_{site}\b")
    return [f for f in FILES if named.search((report.REPO / "ref" / f"{f}.c").read_text())]


def stronger_sites(target, chosen, pool):
    """Site -> what the files that contain it gain if it alone is sequentially consistent."""
    wanted = {s: files_with(s) for s, order in chosen.items() if order != "seq_cst"}
    groups = sorted({tuple(files) for files in wanted.values() if files})
    plain = {
        files: pool.submit(variant, target, "plain_" + "_".join(files), None, files)
        for files in groups
    }
    made = {
        site: (tuple(files), pool.submit(variant, target, site, table_header(site, chosen), files))
        for site, files in wanted.items()
        if files
    }
    found = {}
    for site, (files, job) in made.items():
        (now, code), (before, old_code) = job.result(), plain[files].result()
        kinds = {**before["counts"], **now["counts"]}
        change = {k: now["counts"].get(k, 0) - before["counts"].get(k, 0) for k in kinds}
        found[site] = {
            "order": chosen[site],
            "change": {k: n for k, n in change.items() if n},
            "bytes": now["text_bytes"] - before["text_bytes"],
            "same_code": code == old_code,
        }
    return found


def check(target):
    """Whether bench/orders_check.c works there: its output, or why it was not run."""
    prefix, _, emulator = TARGETS[target][:3]
    missing = [tool for tool in emulator if not shutil.which(tool)]
    if missing:
        return {"skipped": f"{missing[0]} is missing (Debian: qemu-user)"}
    said = {}
    for table in ("chosen", "sc"):
        program = OUT / re.sub(r"\W+", "_", target) / f"orders_check_{table}"
        header = table_header(table, sites(orders_text()))
        sources = sorted((report.REPO / "ref").glob("*.c"))
        sources.append(report.REPO / "bench" / "orders_check.c")
        run([*compile_command(target, header), "-static", "-pthread", *map(str, sources), "-o", str(program)])
        try:
            done = subprocess.run(
                [*emulator, str(program)], capture_output=True, text=True, timeout=RUN_LIMIT_S
            )
            said[table] = done.stdout.strip() if done.returncode == 0 else None
            if done.returncode:
                said["failed"] = f"{table}: status {done.returncode}: {(done.stderr or done.stdout).strip()}"
        except subprocess.TimeoutExpired:
            said["failed"] = f"{table}: took more than {RUN_LIMIT_S} s"
    return said


def orders_text():
    return (report.REPO / "ref" / "orders.h").read_text(encoding="utf-8")


def key():
    """What the figures depend on: sources, tables, compilers, and the way of counting."""
    digest = hashlib.sha1()
    paths = [*(report.REPO / "ref").glob("*.[ch]"), *(report.REPO / "bench").glob("orders_*")]
    for path in sorted([*paths, pathlib.Path(__file__)]):
        digest.update(path.name.encode() + path.read_bytes())
    for tool in sorted({f"{prefix}gcc" for prefix, *_ in TARGETS.values()} | {"qemu-aarch64"}):
        digest.update(f"{tool} {report.output_of([tool, '--version'])}".encode())
    return digest.hexdigest()


def stored():
    """The figures of an earlier run with the same sources and compilers, or None."""
    try:
        found = json.loads((OUT / "barriers.json").read_text(encoding="utf-8"))
        return found if found.get("key") == key() else None
    except (OSError, ValueError):
        return None


def measure(jobs=None, run_programs=True, note=lambda text: None, only=None):
    """{'targets': {name: {...}}, 'skipped': {name: why}}; see the module's docstring. only: one target."""
    chosen = sites(orders_text())
    found = {"key": key(), "targets": {}, "skipped": {}, "tables": list(TABLES)}
    with concurrent.futures.ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool:
        for target, (prefix, _, _, packages, _) in TARGETS.items():
            if only and target != only:
                continue
            if target == "x86-64" and os.uname().machine != "x86_64":
                found["skipped"][target] = "not the processor of this machine"
                continue
            if not shutil.which(f"{prefix}gcc") or not shutil.which(f"{prefix}objdump"):
                found["skipped"][target] = f"no compiler for it (Debian: {packages})"
                continue
            note(f"counting barriers for {target}")
            try:
                jobs_made = {
                    t: pool.submit(variant, target, t, table_header(t, chosen), FILES) for t in TABLES
                }
                made = {"tables": {t: job.result()[0] for t, job in jobs_made.items()}}
                made["sites"] = stronger_sites(target, chosen, pool)
                made["check"] = check(target) if run_programs else {"skipped": "not asked for"}
                found["targets"][target] = made
            except RuntimeError as error:
                found["skipped"][target] = str(error)
    return found


# ---------------------------------------------------------------- tables


def table_of_tables(found):
    rows = []
    for target, made in found["targets"].items():
        for table, figures in made["tables"].items():
            counts = figures["counts"]
            rows.append([target, table, ordering(counts), counts_text(counts), figures["text_bytes"]])
    columns = ["processor", "orders", "with an order", "instructions", "bytes of code"]
    return report.Table(columns, rows, "llrlr")


def table_of_functions(found):
    """Ordering instructions by function, as chosen and all SC, for functions that have any."""
    targets = list(found["targets"])
    names = {}
    for target in targets:
        for table in ("chosen", "sc"):
            for function, counts in found["targets"][target]["tables"][table]["functions"].items():
                if counts:
                    names.setdefault(function)
    rows = []
    for function in sorted(names, key=lambda n: (not n.startswith("pb_"), n)):
        row = [function]
        for target in targets:
            tables = found["targets"][target]["tables"]
            pair = [tables[t]["functions"].get(function) for t in ("chosen", "sc")]
            row.append(" \u2192 ".join("\u2013" if c is None else str(ordering(c)) for c in pair))
        rows.append(row)
    return report.Table(["function", *targets], rows, "l" + "r" * len(targets))


def table_of_sites(found):
    targets = list(found["targets"])
    sites_found = dict.fromkeys(s for t in targets for s in found["targets"][t]["sites"])
    rows = []
    for site in sites_found:
        here = {t: found["targets"][t]["sites"].get(site) for t in targets}
        order = next(figures["order"] for figures in here.values() if figures)
        rows.append([site, order, *[change_text(figures) for figures in here.values()]])
    return report.Table(["site, the only seq_cst one", "chosen", *targets], rows, "ll" + "l" * len(targets))


def change_text(figures):
    if figures is None:
        return None
    if figures["same_code"]:
        return "same code"
    words = [f"{number:+d} {kind}" for kind, number in figures["change"].items()]
    return " ".join(words) or "only moved"


def check_text(found):
    """One sentence per processor: whether the program worked there."""
    said = []
    for target, made in found["targets"].items():
        result = made["check"]
        if "failed" in result:
            said.append(f"{target}: FAILED, {result['failed']}")
        elif "skipped" in result:
            said.append(f"{target}: not run, {result['skipped']}")
        else:
            said.append(f"{target}: works ({result['chosen']})")
    said += [f"{target}: left out, {why}" for target, why in found["skipped"].items()]
    return "; ".join(said) + "."


def sentence(found):
    """None if nothing was counted."""
    made = found.get("targets") or {}
    counts = {target: [ordering(figures["tables"][t]["counts"]) for t in ("chosen", "sc")] for target, figures in made.items()}
    if not counts:
        return None
    words = ", ".join(f"{target} {chosen} \u2192 {sc}" for target, (chosen, sc) in counts.items())
    return (
        f"**Instructions with an order** in the code of mailbox and waiters, as chosen \u2192 all SC: {words}. On x86-64 "
        "only a sequentially consistent store costs more than its weaker forms; the other processors show the cost "
        "on a weaker memory model."
    )


def sections(found):
    """The report's sections; none if nothing could be compiled."""
    if not found["targets"]:
        return [report.Section("What the orders become", check_text(found))]
    text = (
        "Counted in the disassembly of the mailbox's host and guest side, the lock and the waiters, "
        "compiled for each processor: exact, and independent of the machine that ran this. `with an "
        "order` counts instructions that a relaxed access would not need or would need in a weaker form. "
        "On x86-64 every read-modify-write is locked whatever its order, and every load and store is "
        "acquire or release at no cost. So the times above hardly differ; arm64 and riscv64 show the "
        f"difference. A program of two producers and a guest that parks ran on each, under qemu-user if this machine is a different one: {check_text(found)}"
    )
    functions = report.Section(
        "By function",
        "Instructions with an order: as chosen \u2192 all sequentially consistent. A dash: the function is inlined.",
        table_of_functions(found),
    )
    single = report.Section(
        "One site stronger",
        "What changes if only one access is made sequentially consistent.",
        table_of_sites(found),
    )
    return [
        report.Section(
            "What the orders become", text, table_of_tables(found), sections=[functions, single]
        )
    ]


def main():
    parser = argparse.ArgumentParser(description="What the memory orders compile to.")
    parser.add_argument("--no-run", action="store_true", help="run nothing under qemu")
    parser.add_argument("--jobs", type=int, help="compilers at once (default: the cores)")
    parser.add_argument("--if-changed", action="store_true", help="only if not yet known; print no tables")
    given = parser.parse_args()
    if given.if_changed and stored():
        return 0
    if given.jobs is not None and given.jobs < 1:
        report.die("--jobs takes a number, 1 or more")
    report.on_interrupt(lambda: print("barriers: interrupted: nothing is written", file=sys.stderr))
    progress = report.Progress()
    found = measure(given.jobs, not given.no_run, progress.update)
    progress.done()
    for section in sections(found) if not given.if_changed else []:
        print("\n".join(report.markdown_section(section, 2, {})))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "barriers.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"barriers: {OUT / 'barriers.json'}")
    if not found["targets"]:
        return 2
    return 1 if any("failed" in made["check"] for made in found["targets"].values()) else 0
