#!/usr/bin/python3
"""compare.py: the engine's exhaustive search against the judge, on programs by seed.

    compare.py [options] SEED COUNT CLASS...      COUNT programs of each class (all: every class)

Compares the number of complete graphs, the number of blocked graphs and the set of final states, and
checks that the search was complete. A program that differs is shrunk and kept as a file. Programs that
the judge does not finish are skipped and counted.

    --judge, --generate, --runner FILE    the programs (build/judge, build/litmus-generate, build/litmus)
    --keep DIR          where differences go (build/judge-differences)
    --shrink N          differences to shrink and keep per class (3)
    --judge-graphs N    the judge's limit on graphs, including incomplete ones (400000)
    --seconds S         the search's time limit per program (10)
    --files FILE...     use the programs of these files instead of SEED COUNT CLASS
    --processes N       share each search; final states are then not compared
    --c11               release sequences as in C11, on both sides
    --jobs N            programs at a time (1)
    --quiet             no progress

Exit status: 0 all the same, 1 a difference, 2 usage or set-up, 130 interrupted.
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import litmus_text

BATCH = 100


class Answer:
    def __init__(self):
        self.graphs = self.blocked = self.executions = 0
        self.all, self.why, self.states = "crashed", "", []


def answers(text):
    """Parses the output of judge or runner: answers by name, and the name of an unfinished one."""
    found, open_name = {}, None
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "program":
            open_name, a = rest, Answer()
            found[rest] = a
        elif open_name is None:
            continue
        elif word == "end":
            open_name = None
        elif word == "state":
            a.states.append(rest)
        elif word in ("graphs", "blocked", "executions"):
            setattr(a, word, int(rest))
        elif word in ("all", "why"):
            setattr(a, word, rest)
    return found, open_name


def run_until_stuck(command, seconds):
    """Runs a command, killed when it prints nothing for too long. Returns its output and how it ended."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        except OSError as error:
            sys.exit(f"compare: cannot run {command[0]}: {error}")
        size, since, fate = 0, time.monotonic(), ""
        while True:
            try:
                code = process.wait(0.5)
                break
            except subprocess.TimeoutExpired:
                now = os.fstat(out.fileno()).st_size
                if now != size:
                    size, since = now, time.monotonic()
                elif time.monotonic() - since > seconds:
                    process.kill()
                    code = process.wait()
                    fate = f"hung for {seconds:.0f} s"
                    break
            except KeyboardInterrupt:
                process.kill()
                raise
        err.seek(0)
        if code < 0 and not fate:
            fate = f"killed by signal {-code}"
        elif code not in (0, 1, 2) and not fate:
            fate = f"exit status {code}: {err.read()[-300:]}"
        out.seek(0)
        return out.read(), fate


def ask(command, texts, seconds):
    """Answers by name. A program on which the command crashes is marked, and the others still run."""
    found, left = {}, dict(texts)
    while left:
        with tempfile.NamedTemporaryFile("w", suffix=".litmus") as f:
            f.write("---\n".join(left.values()))
            f.flush()
            out, fate = run_until_stuck([*command, f.name], seconds)
        new, unfinished = answers(out)
        found |= new
        if not fate:
            break
        if unfinished is None:
            sys.exit(f"compare: {command[0]}: {fate}, outside any program")
        found[unfinished].all, found[unfinished].why = "crashed", fate
        names = list(left)
        left = {n: left[n] for n in names[names.index(unfinished) + 1:]}
    return found


def difference(judged, engine, states):
    """The difference in words, or None. states: compare final states too."""
    out = []
    if engine.all != "yes":
        out.append(f"the search: {engine.all}" + (f" ({engine.why})" if engine.why else ""))
    if engine.graphs != judged.graphs:
        out.append(f"{engine.graphs} graphs, {judged.graphs} are right")
    if engine.blocked != judged.blocked:
        out.append(f"{engine.blocked} blocked graphs, {judged.blocked} are right")
    missing, extra = set(judged.states) - set(engine.states), set(engine.states) - set(judged.states)
    if states and missing:
        out.append(f"{len(missing)} states missed")
    if states and extra:
        out.append(f"{len(extra)} states too many")
    return "; ".join(out) or None


def kind(judged, engine):
    """The kind of difference, which a shrunk program must show too."""
    return (engine.all, (engine.why or " ").split()[:1], engine.graphs < judged.graphs, engine.graphs > judged.graphs,
            engine.blocked < judged.blocked, engine.blocked > judged.blocked)


class Comparer:
    def __init__(self, args):
        self.args = args
        self.judge = [args.judge, *args.c11, "--graphs", str(args.judge_graphs), "--seconds", "60"]

    def runner(self, seconds):
        return [self.args.runner, *self.args.c11, "--states", "--processes", str(self.args.processes), "--seconds",
                str(seconds)]

    def compare(self, texts, seconds):
        """(judged, engine's answers, skipped, {name: difference}) of texts by name."""
        judged = ask(self.judge, texts, 120)
        settled = {n: texts[n] for n in texts if n in judged and judged[n].all == "yes"}
        engine = ask(self.runner(seconds), settled, 4 * seconds + 20) if settled else {}
        late = {n: settled[n] for n, e in engine.items() if e.all == "no"}  # on a busy machine: not a difference
        if late:
            engine |= ask(self.runner(6 * seconds), late, 24 * seconds + 20)
        for n in settled.keys() - engine.keys():
            engine[n] = Answer()
            engine[n].all, engine[n].why = "silent", "the runner does not understand it"
        states = self.args.processes == 1
        differ = {n: d for n in settled if (d := difference(judged[n], engine[n], states))}
        skipped = sum(n in judged and judged[n].all == "gave-up" for n in texts)
        return judged, engine, skipped, differ

    def shrink(self, text, wanted):
        """The smallest program found that shows the same kind of difference."""
        program, seconds = litmus_text.parse(text), min(2, self.args.seconds)
        for _ in range(60):
            candidates = {f"c{i}": p for i, p in enumerate(litmus_text.smaller(program))}
            for at in range(0, len(candidates), 40):
                names = list(candidates)[at:at + 40]
                judged, engine, _, differ = self.compare(
                    {n: litmus_text.print_program(candidates[n], n) for n in names}, seconds)
                same = [n for n in names if n in differ and kind(judged[n], engine[n]) == wanted]
                if same:
                    program = candidates[same[0]]
                    break
            else:
                break
        return litmus_text.print_program(program)

    def keep(self, name, text, wanted):
        """Shrinks a differing program, saves it and prints it."""
        small = self.shrink(text, wanted)
        judged, engine, _, differ = self.compare({name: small}, self.args.seconds)
        if name not in differ:  # it differed only under the shorter time limit
            small = text
            judged, engine, _, differ = self.compare({name: small}, self.args.seconds)
        j, e, what = judged[name], engine[name], differ.get(name, "the same when it was run again")
        lines = [f"# {name}: {what}",
                 f"# judge:  {j.graphs} graphs, {j.blocked} blocked, {len(j.states)} states",
                 f"# search: {e.graphs} graphs, {e.blocked} blocked, {len(e.states)} states, "
                 f"{e.executions} executions, all {e.all} {e.why}"]
        lines += [f"# missed: {s}" for s in sorted(set(j.states) - set(e.states))[:10]]
        lines += [f"# too many: {s}" for s in sorted(set(e.states) - set(j.states))[:10]]
        body = small + f"graphs {j.graphs}\nblocked {j.blocked}\n"
        os.makedirs(self.args.keep, exist_ok=True)
        path = os.path.join(self.args.keep, name + ".litmus")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n" + body)
        print("\n".join(lines) + "\n" + body + f"kept: {path}", flush=True)


def generated(args, name, seed, count):
    done = subprocess.run([args.generate, name, str(seed), str(count)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"compare: {done.stderr.strip()}")
    return done.stdout


def by_name(text):
    """Programs by name; names are made unique."""
    out = {}
    for i, t in enumerate(litmus_text.split(text)):
        m = re.search(r"^\s*name\s+(.*?)\s*$", t, flags=re.M)
        name = m[1] if m and m[1] not in out else f"program-{i}"
        out[name] = t if m and name == m[1] else f"name {name}\n" + re.sub(r"^\s*name.*\n", "", t, flags=re.M)
    return out


def batches(args):
    """(class, programs by name), in batches."""
    if args.files:
        for path in args.files:
            with open(path) as f:
                yield "files", by_name(f.read())
        return
    classes = subprocess.run([args.generate, "--classes"], capture_output=True, text=True, check=True).stdout
    known = [c.split("\t")[0] for c in classes.splitlines()]
    names = known if "all" in args.classes else args.classes
    each = -(-args.count // len(names))
    for name in names:
        if name not in known:
            sys.exit(f"compare: no class {name}: all, {', '.join(known)}")
        for at in range(0, each, BATCH):
            yield name, by_name(generated(args, name, args.seed + at, min(BATCH, each - at)))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("seed", type=int, nargs="?")
    p.add_argument("count", type=int, nargs="?")
    p.add_argument("classes", nargs="*")
    p.add_argument("--judge", default="build/judge")
    p.add_argument("--generate", default="build/litmus-generate")
    p.add_argument("--runner", default="build/litmus")
    p.add_argument("--keep", default="build/judge-differences")
    p.add_argument("--shrink", type=int, default=3)
    p.add_argument("--judge-graphs", type=int, default=400000)
    p.add_argument("--seconds", type=int, default=10)
    p.add_argument("--files", nargs="*")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--processes", type=int, default=1)
    p.add_argument("--c11", action="store_const", const=["--c11"], default=[])
    p.add_argument("--quiet", action="store_true")
    args = p.parse_args()
    if not args.files and (args.seed is None or not args.count or not args.classes):
        p.error("SEED COUNT CLASS, or --files FILE...")
    comparer, rows = Comparer(args), {}
    pool = concurrent.futures.ThreadPoolExecutor(max(1, args.jobs))
    try:
        work = [(name, texts, pool.submit(comparer.compare, texts, args.seconds)) for name, texts in batches(args)]
        for name, texts, result in work:
            row = rows.setdefault(name, {"programs": 0, "skipped": 0, "differ": 0, "graphs": 0, "blocked": 0,
                                         "executions": 0, "kept": 0, "worst": (0, "-")})
            judged, engine, skipped, differ = result.result()
            row["programs"] += len(texts)
            row["skipped"] += skipped
            row["differ"] += len(differ)
            for n in texts.keys() - judged.keys():
                print(f"compare: {n}: not understood by the judge", file=sys.stderr)
                row["differ"] += 1
            for n, e in engine.items():
                if n not in differ:
                    row["graphs"] += e.graphs
                    row["blocked"] += e.blocked
                    row["executions"] += e.executions
                    if e.graphs + e.blocked:
                        row["worst"] = max(row["worst"], (e.executions / (e.graphs + e.blocked), n))
            if not args.quiet:
                print(f"{name}: {row['programs']} programs, {row['differ']} differ, {row['skipped']} skipped",
                      file=sys.stderr, flush=True)
            for n, d in differ.items():
                if row["kept"] < args.shrink:
                    row["kept"] += 1
                    comparer.keep(n, texts[n], kind(judged[n], engine[n]))
                else:
                    print(f"differs: {n}: {d}", flush=True)
    except KeyboardInterrupt:
        print("compare: interrupted", file=sys.stderr)
        return 130
    finally:
        pool.shutdown(cancel_futures=True)
        print(f"{'class':10} {'programs':>8} {'skipped':>7} {'differ':>6} {'graphs':>9} {'blocked':>8} "
              "executions a graph, at most")
        for name, r in rows.items():
            all_graphs = r["graphs"] + r["blocked"]
            ratio = f"{r['executions'] / all_graphs:.3f}" if all_graphs else "-"
            print(f"{name:10} {r['programs']:8} {r['skipped']:7} {r['differ']:6} {r['graphs']:9} {r['blocked']:8} "
                  f"{ratio} {r['worst'][0]:.3f} {r['worst'][1]}")
    differ = sum(r["differ"] for r in rows.values())
    total = sum(r["programs"] for r in rows.values())
    print(f"{total} programs, {sum(r['skipped'] for r in rows.values())} skipped, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
