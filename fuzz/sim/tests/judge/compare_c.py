#!/usr/bin/python3
"""compare_c.py: `make explore SCHED=exhaustive` on C programs against the judge.

    compare_c.py [options] SEED COUNT CLASS...      COUNT programs of each class

Each program is translated by to_c.py and run with each compiler, as users would. If no thread can get
stuck, the search must find nothing, be complete, and count the judge's graphs (except for `monitors`,
because the texts have no condition variables). Extra graphs are reported separately: if a compiler
leaves dead values in registers, equal states look different, and an await is seen once more. Every
third program asserts that it does not end in one of the judge's states; the search must find that. If a
thread can get stuck, the search must find that.

    --cc NAME...        compilers (clang clang-19)
    --keep DIR          where differing programs are saved (build/judge-differences)
    --time S            seconds per search (20)
    --judge, --generate FILE

Exit status: 0 all the same, 1 a difference, 2 usage or set-up, 130 interrupted.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare
import to_c

EXPLORE = pathlib.Path(__file__).resolve().parents[4] / "scripts" / "explore.py"
STUCK = ("deadlock", "lost-wakeup", "livelock", "leaked-thread")


def as_linux(text):
    """Adds fences: a futex call of a C program is a full fence, as on Linux; wait and wake of a text are not."""
    return re.sub(r"(\w+ = )?\b(wait|wait_timed|wake) \w", r"fence sc ; \g<0>", text)


def expected(index, judged):
    """(finding or None, asserted state or None)."""
    if judged.blocked:
        return "stuck", None
    if index % 3 == 0 and judged.states:
        return "assertion", judged.states[index // 3 % len(judged.states)]
    return None, None


def explore(source, compiler, seconds):
    with tempfile.TemporaryDirectory() as root:
        done = subprocess.run([str(EXPLORE), "--root", root, "--sched", "exhaustive", "--time", str(seconds), "--jobs",
                               "1", "--cc", compiler, source], capture_output=True, text=True)
        report = pathlib.Path(root) / "results" / "explore" / "latest" / "report.json"
        if not report.exists():
            return {"error": done.stderr.strip()[-400:]}
        return json.loads(report.read_text())["items"][0]


def wrong(item, finding, judged, count_graphs):
    """What differs from the expected result, or None."""
    if item.get("error"):
        return f"error: {item['error']}"
    if finding == "stuck":
        return None if item["finding"] in STUCK else f"finding {item['finding']}, but somebody can get stuck"
    if item["finding"] != finding:
        return f"finding {item['finding']} in place of {finding}: {item['detail'][:200]}"
    if finding:
        return None
    if not item["complete"]:
        return f"not complete after {item['executions']} executions, {item['graphs']} graphs: {item['bounds']}"
    if count_graphs and item["graphs"] < judged.graphs:
        return f"{item['graphs']} graphs, {judged.graphs} are right"
    return None


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("seed", type=int)
    p.add_argument("count", type=int)
    p.add_argument("classes", nargs="+")
    p.add_argument("--cc", nargs="+", default=["clang", "clang-19"])
    p.add_argument("--keep", default="build/judge-differences")
    p.add_argument("--time", type=int, default=20)
    p.add_argument("--judge", default="build/judge")
    p.add_argument("--generate", default="build/litmus-generate")
    args = p.parse_args()
    bad = total = skipped = 0
    try:
        for name in args.classes:
            texts = compare.by_name(compare.generated(args, name, args.seed, args.count))
            fenced = {program: as_linux(text) for program, text in texts.items()}
            judged = compare.ask([args.judge, "--graphs", "200000", "--seconds", "60"], fenced, 120)
            differ = ran = more = executions = graphs = 0
            for index, (program, text) in enumerate(texts.items()):
                j = judged[program]
                if j.all != "yes" or not j.states and not j.blocked:
                    skipped += 1
                    continue
                finding, state = expected(args.seed + index, j)
                source = os.path.join(tempfile.gettempdir(), f"judge-{os.getpid()}-{program}.c")
                with open(source, "w") as f:
                    f.write(to_c.translate(text, state))
                for compiler in args.cc:
                    item = explore(source, compiler, args.time)
                    ran += 1
                    why = wrong(item, finding, j, name != "monitors")
                    if not why and not finding:
                        executions += item["executions"]
                        graphs += j.graphs
                        more += name != "monitors" and item["graphs"] > j.graphs
                    if why:
                        differ += 1
                        os.makedirs(args.keep, exist_ok=True)
                        kept = os.path.join(args.keep, f"{program}.c")
                        body = "".join(f" * {line}\n" for line in text.splitlines())
                        with open(source) as f, open(kept, "w") as out:
                            out.write(f"/* {program}, {compiler}: {why}\n * judge: {j.graphs} graphs, "
                                      f"{j.blocked} blocked\n{body} */\n{f.read()}")
                        print(f"differs: {program}, {compiler}: {why}\n  {kept}", flush=True)
                os.unlink(source)
            total, bad = total + ran, bad + differ
            ratio = f", {executions / graphs:.3f} executions a graph" if graphs and name != "monitors" else ""
            print(f"{name}: {ran} runs, {differ} differ, {more} have graphs twice{ratio}", flush=True)
    except KeyboardInterrupt:
        return 130
    print(f"{total} runs of C programs, {skipped} programs skipped, {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
