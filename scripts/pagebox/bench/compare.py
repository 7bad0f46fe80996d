"""compare.py: compares two benchmark reports, or two revisions of ref/, row by row.

    scripts/bench_compare.py A B                        # folders of results/bench, or `latest`
    scripts/bench_compare.py --revisions A B [--filter=REGEX] [--rounds=12] [--time=0.01]
    scripts/bench_compare.py --build-tuned              # the programs that `make bench` compares with: bench/tuned.txt

With --revisions, ref/ of both revisions (`worktree`: as it is now) is built with today's bench/ into
build/revisions/. The rows of both run in turn in one session, in random order within each pair, so that
disturbances affect both alike. Ratios are B to A: below 1, B is faster. A row is marked if the intervals
of the two medians do not overlap. Writes results/compare/.

Exit status: 0; 2 usage or set-up; 130 interrupted (the report is partial).
"""
import argparse
import hashlib
import io
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tarfile

from pagebox.bench import measures
from pagebox.bench.program import Program, stored
from pagebox.common import report
from pagebox.bench.cells import duration, times

REVISIONS = report.REPO / "build" / "revisions"
TUNED = report.REPO / "bench" / "tuned.txt"
RESAMPLES = 2000
SAME_MACHINE = ("cpu", "cores", "kernel", "memory_bytes", "thp", "compiler", "flags", "libc")
FASTER, SLOWER, SAME, TOO_FEW = "faster", "slower", "no difference seen", "too few rounds"
# With fewer rounds there is no verdict: two runs of the same program differ by chance in 1 of 35 sessions with 4 rounds
# each, and all pairs are on one side in 1 of 16 sessions with 5.
ROUNDS_APART, ROUNDS_PAIRED = 4, 5


# ---------------------------------------------------------------- two revisions


def git_bytes(*arguments):
    command = ["git", "-c", "safe.directory=*", "-C", str(report.REPO), *arguments]
    done = subprocess.run(command, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def revision_key(revision):
    """A unique name for the contents of ref/ in that revision; None: git does not know the revision."""
    if revision == "worktree":
        digest = hashlib.sha1()
        for path in sorted((report.REPO / "ref").rglob("*.[ch]")):
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()[:12]
    tree = git_bytes("rev-parse", "--verify", "--quiet", f"{revision}:ref")
    return tree.decode()[:12] if tree else None


def copy_sources(revision, folder):
    """Copies today's harness and that revision's ref/ together."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "results")
    for name in ("bench", "scripts", "fuzz"):
        shutil.copytree(report.REPO / name, folder / name, ignore=ignore, dirs_exist_ok=True)
    shutil.copy2(report.REPO / "Makefile", folder / "Makefile")
    if (folder / "ref").exists():
        return  # the folder's name identifies its contents
    fresh = folder / ".ref.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    if revision == "worktree":
        shutil.copytree(report.REPO / "ref", fresh / "ref")
    else:
        archive = git_bytes("archive", "--format=tar", revision, "ref")
        tarfile.open(fileobj=io.BytesIO(archive)).extractall(fresh)
    (fresh / "ref").rename(folder / "ref")
    shutil.rmtree(fresh)


def newer_than(program):
    """Whether bench/ or its build rules changed after the program was made."""
    if not program.is_file():
        return True
    made = program.stat().st_mtime
    sources = [p for p in (report.REPO / "bench").rglob("*") if p.suffix in (".c", ".h", ".cc", ".mk")]
    return any(p.stat().st_mtime > made for p in [*sources, report.REPO / "Makefile"])


class DoesNotBuild(report.Trouble):
    """A revision's ref/ does not compile with today's bench/."""


def build(revision):
    """The benchmark program of a revision; all paths have the same length."""
    key = revision_key(revision)
    if key is None:
        report.die(f"git knows no revision {revision!r} with a folder ref/")
    folder = REVISIONS / key
    if revision != "worktree" and not newer_than(folder / "build" / "bench" / "bench"):
        return folder / "build" / "bench" / "bench"
    copy_sources(revision, folder)
    log = folder / "build.log"
    print(f"building ref/ of {revision} with today's bench/ ({log})", flush=True)
    with log.open("w") as output:
        command = ["make", "-C", str(folder), "build/bench/bench", "-j2", "BENCH_LIBRARY_ONLY=1"]
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        last = [l for l in log.read_text(errors="replace").splitlines() if "error" in l][:1]
        raise DoesNotBuild(f"ref/ of {revision} does not build with today's bench/: {(last or [log])[0]}")
    return folder / "build" / "bench" / "bench"


def tuned_entries():
    """[(revision, pattern, words)] of bench/tuned.txt."""
    entries = []
    for number, line in enumerate(TUNED.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = line.split(None, 2)
            if len(fields) != 3:
                report.die(f"{TUNED}:{number}: must be a revision, a pattern, and what was tuned")
            entries.append(tuple(fields))
    return entries


def pair_rounds(programs, names, rounds, time_s, generator, keep, note=lambda text: None):
    """Runs each name in both programs, round by round; keep(side, round, row) receives the rows."""
    for number in range(rounds):
        order = list(names)
        generator.shuffle(order)
        for name in order:
            note(f"round {number + 1}/{rounds}: {name}")
            sides = [0, 1]
            generator.shuffle(sides)
            for side in sides:
                options = [f"--only={name}", f"--time={time_s}", "--json"]
                status, output, _ = programs[side].run(options)
                try:
                    rows = json.loads(output).get("benchmarks", []) if status == 0 else []
                except ValueError:
                    rows = []
                for row in rows:
                    keep(side, number, row | {"round": number})


# ---------------------------------------------------------------- comparing


def values_of(figures):
    """Round -> the value that a row is judged by: its time, or the median of its samples."""
    return figures.middles or figures.rounds


def ratio_apart(first, second):
    """(ratio, low, high) of two runs' medians, by bootstrap: the middle 95 % of the resampled ratios."""
    import numpy

    generator = numpy.random.default_rng(1)
    a, b = numpy.array(list(first)), numpy.array(list(second))
    draw = lambda x: numpy.median(generator.choice(x, (RESAMPLES, len(x))), axis=1)
    low, high = numpy.percentile(draw(b) / draw(a), [2.5, 97.5])
    return float(numpy.median(b) / numpy.median(a)), float(low), float(high)


def ratio_paired(first, second):
    """(ratio, low, high) for runs in the same rounds: of the rounds' own ratios."""
    ratios = [second[r] / first[r] for r in first.keys() & second.keys() if first[r] > 0]
    low, high, _ = measures.interval(ratios)
    return statistics.median(ratios), low, high


def compare(first, second, paired):
    """Items of the rows that both have: name, figures of both, ratio with interval, verdict."""
    items = []
    for name in sorted(first.keys() & second.keys()):
        a, b = first[name], second[name]
        ours, theirs = values_of(a), values_of(b)
        if not ours or not theirs or min(ours.values()) <= 0:
            continue
        if paired and ours.keys() & theirs.keys():
            ratio, low, high = ratio_paired(ours, theirs)
            apart = low > 1 or high < 1
            enough = len(ours.keys() & theirs.keys()) >= ROUNDS_PAIRED
        else:
            ratio, low, high = ratio_apart(ours.values(), theirs.values())
            apart = a.interval[1] < b.interval[0] or b.interval[1] < a.interval[0]
            enough = min(len(ours), len(theirs)) >= ROUNDS_APART
        verdict = TOO_FEW if not enough else SAME if not apart else FASTER if ratio < 1 else SLOWER
        items.append(
            {"name": name, "a": a, "b": b, "ratio": ratio, "low": low, "high": high, "verdict": verdict}
        )
    return items


def different_machines(first, second):
    """[(fact, there, here)] of the facts that figures depend on and that differ."""
    return [
        (key, first.get(key), second.get(key))
        for key in SAME_MACHINE
        if first.get(key) != second.get(key)
    ]


def item_row(item):
    low, high = (measures.ratio_text(item[k]) for k in ("low", "high"))
    words = [item["name"], duration(item["a"]), duration(item["b"])]
    return [*words, times(item["ratio"]), f"{low} to {high}", item["verdict"]]


def table(items):
    columns = ["row", "A", "B", "B to A", "interval", "verdict"]
    return report.Table(columns, [item_row(item) for item in items], "lrrrll")


def sections(items, warnings, only_a, only_b):
    changed = [item for item in items if item["verdict"] in (FASTER, SLOWER)]
    changed.sort(key=lambda item: item["ratio"])
    parts = []
    if warnings:
        rows = [[key, str(there), str(here)] for key, there, here in warnings]
        text = "**The machines differ**: the ratios show the machines as much as the code."
        parts.append(report.Section("Warning", text, report.Table(["", "A", "B"], rows)))
    text = (
        "Rows whose intervals do not overlap, the fastest B first. Among many unchanged rows a few are "
        "listed by chance: repeat the run if one is surprising."
    )
    if changed:
        parts.append(report.Section("Changed", text, table(changed)))
    parts.append(report.Section("Every row", "", table(items)))
    missing = [[name, "A"] for name in only_a] + [[name, "B"] for name in only_b]
    if missing:
        parts.append(report.Section("Only in one", "", report.Table(["row", "in"], missing)))
    return parts


def summary_of(items):
    count = lambda verdict: sum(item["verdict"] == verdict for item in items)
    counts = {"faster": count(FASTER), "slower": count(SLOWER), "same": count(SAME)}
    return {"rows": len(items), **counts, "too_few_rounds": count(TOO_FEW)}


def plain_items(items):
    keep = ("name", "ratio", "low", "high", "verdict")
    return [{k: i[k] for k in keep} | {"a_ns": i["a"].ns, "b_ns": i["b"].ns} for i in items]


def publish(run, names, first, second, warnings, paired, status="pass"):
    items = compare(first, second, paired)
    only_a, only_b = sorted(first.keys() - second.keys()), sorted(second.keys() - first.keys())
    summary = summary_of(items)
    lead = (
        f"A is `{names[0]}`, B is `{names[1]}`. Of {summary['rows']} rows, B is faster in "
        f"{summary['faster']}, slower in {summary['slower']}."
    )
    if summary["too_few_rounds"]:
        lead += f" In {summary['too_few_rounds']} there are too few rounds to say."
    if warnings:
        lead += " **The machines differ.**"
    title = "Two benchmark runs compared"
    path = run.finish(
        status, summary, plain_items(items), sections(items, warnings, only_a, only_b), title, lead
    )
    for one in warnings:
        print(f"bench_compare.py: warning: {one[0]} differs: {one[1]} and {one[2]}", file=sys.stderr)
    shown = sorted((i for i in items if i["verdict"] in (FASTER, SLOWER)), key=lambda i: i["ratio"])
    for item in shown or items[:40]:
        print("  ".join(str(cell) for cell in item_row(item)))
    print(f"\n{lead.replace('`', '').replace('*', '')}\ncompare: {path / 'report.html'}")


# ---------------------------------------------------------------- two reports


def folder_of(name):
    for folder in (pathlib.Path(name), report.REPO / "results" / "bench" / name):
        if (folder / "raw" / "rows.jsonl").is_file():
            return folder
    report.die(f"{name}: no benchmark run (a folder with raw/rows.jsonl, or its name in results/bench)")


def load(folder):
    """(figures by name, machine)"""
    facts, rows = stored(folder)
    figures = measures.figures_of(facts, rows, facts.get("crashes", {}))
    try:
        fact = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        fact = {}
    return {n: f for n, f in figures.items() if f.ns is not None}, fact.get("machine", {})


def compare_reports(given):
    folders = [folder_of(name) for name in given.runs]
    (first, machine_a), (second, machine_b) = map(load, folders)
    run = report.Run("compare", given.root)
    publish(run, folders, first, second, different_machines(machine_a, machine_b), paired=False)


def compare_revisions(given):
    programs = [Program(build(revision)) for revision in given.revisions]
    lists = [program.list(given.filter) for program in programs]
    names = sorted(set(lists[0]) & set(lists[1]))
    run = report.Run("compare", given.root)
    progress = report.Progress()
    rows, facts = ([], []), {"bounds": {}}
    file = run.path("raw/rows.jsonl").open("w", encoding="utf-8")

    def keep(side, number, row):
        rows[side].append(row)
        file.write(json.dumps(row | {"side": "AB"[side]}) + "\n")
        file.flush()

    def finish(status):
        figures = [measures.figures_of(facts, side, {}) for side in rows]
        good = [{n: f for n, f in side.items() if f.ns is not None} for side in figures]
        publish(run, given.revisions, *good, [], True, status)

    def interrupted():
        for program in programs:
            program.stop()
        progress.done()
        finish("interrupted")

    report.on_interrupt(interrupted)
    print(f"compare: {len(names)} rows, {given.rounds} rounds of both", flush=True)
    pair_rounds(
        programs, names, given.rounds, given.time, random.Random(given.seed), keep, progress.update
    )
    progress.done()
    finish("pass")


def arguments():
    parser = argparse.ArgumentParser(description="Compares two benchmark runs, or two revisions.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="two folders of runs, or their names")
    parser.add_argument("--revisions", nargs=2, metavar=("A", "B"), help="two revisions of ref/, in one session")
    parser.add_argument("--filter", metavar="REGEX", help="only rows whose name matches")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of both revisions (default: 12)")
    parser.add_argument("--time", type=float, default=0.01, help="seconds per row, round and revision")
    parser.add_argument("--seed", type=int, default=1, help="seed of the order")
    parser.add_argument("--root", type=pathlib.Path, help="folder that holds results/")
    parser.add_argument("--build-tuned", action="store_true", help="builds what tuned.txt names")
    given = parser.parse_args()
    report.pattern(given.filter, "FILTER")
    if not 1 <= given.rounds <= 1000 or not 0 < given.time <= 100:
        report.die("--rounds takes 1 to 1000, --time seconds up to 100")
    if not given.build_tuned and bool(given.revisions) == bool(given.runs):
        report.die("give two runs, or --revisions A B; see --help")
    if given.runs and len(given.runs) != 2:
        report.die(f"two runs are compared, not {len(given.runs)}")
    return given


def main():
    given = arguments()
    if given.build_tuned:
        for revision in dict.fromkeys(entry[0] for entry in tuned_entries()):
            if revision_key(revision):
                try:
                    build(revision)
                except DoesNotBuild as error:
                    print(f"compare: {error}: not compared with")
            else:
                print(f"compare: git has no {revision} here (a shallow clone?): not compared with")
    elif given.revisions:
        compare_revisions(given)
    else:
        compare_reports(given)
    return 0
