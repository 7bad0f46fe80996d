"""page.py: the sections of a fuzz run's report."""
from pagebox.common import report

OPERATIONS_MAX = 40  # of a finding that was not shrunk
TRACE_LINES_MAX = 120
STABILITY_MIN = 99.0  # per cent; below it AFL++ sees runs of one input differ


def clipped(text, lines_max):
    lines = text.rstrip().splitlines()
    more = [f"... {len(lines) - lines_max} lines more"] if len(lines) > lines_max else []
    return "\n".join(lines[:lines_max] + more)


def sections(run, items, store, session):
    """items: the engines; the findings are the store's."""
    found = store.all()
    made = [next_section(run, items, found, session)]
    troubles = [f"**{item.name}**: {item.problem}" for item in items if item.problem]
    if troubles:
        made.append(report.Section("What did not run", "\n\n".join(troubles)))
    made += [finding_section(run, f) for f in found]
    made.append(speed_section(items, store))
    made += [plot_section(items, column, title) for column, title in
             ((2, "Coverage over time"), (1, "Executions over time"), (3, "Corpus over time"))]
    return [section for section in made if section]


def next_section(run, items, found, session):
    """What a reader should do now, the most urgent first."""
    steps = []
    for f in found:
        at = f"results/fuzz/{run.name}/{f.folder.relative_to(run.dir)}"
        command = f"make replay INPUT={at}/{'finding.ops' if f.text('finding.ops') else f.input} TARGET={f.target}"
        steps.append(f"**{f.oracle}**{' at `' + f.place + '`' if f.place else ''}: see it with `{command}`; attach "
                     f"`{at}/finding.c` to the bug report; when it is fixed keep `finding.ops` under "
                     f"`corpus/regress/{f.target}/`.")
    for item in items:
        if item.stability is not None and item.stability < STABILITY_MIN:
            steps.append(f"**{item.name}** is {item.stability:.2f} % stable: runs of one input differ, so something "
                         "outlives a run. Run one input of its queue twice under `afl-showmap` and compare.")
    if not found and any(i.engine != "seeds" and i.executions for i in items):
        growing = [i.name for i in items if still_grows(i)]
        steps.append(f"Coverage still grew at the end of {', '.join(growing)}: run longer (`TIME=`)." if growing
                     else "No engine found new coverage in the second half: more time is of little use here. "
                     "`make coverage` shows what no seed reaches; another `SEED=`, `SCHED=pct` for the engines of "
                     "threads, or `make defects` (does this harness catch known bugs?) tell more.")
    if session.promoted:
        names = ", ".join(f"{count} into {target}" for target, count in session.promoted.items() if count)
        if names:
            steps.append(f"The working corpus grew: {names}. `make corpus-promote INPUT=file` makes a seed of what "
                         "is worth to be kept.")
    return report.Section("What to do next", "\n\n".join(steps)) if steps else None


def still_grows(item):
    """New edges in the second half of its time."""
    known = [(row[0], row[2]) for row in item.series if row[2]]
    half = [edges for seconds, edges in known if seconds <= item.seconds() / 2]
    return bool(known and half and known[-1][1] > half[-1])


def speed_section(items, store):
    columns = ["target", "engine", "workers", "executions", "executions/s", "operations/s", "edges",
               "corpus", "from the other", "stability %", "findings", "executions/s of a core",
               "operations/s of a core"]
    rows = []
    for i in items:
        item = i.item(i.store.dir.parent)
        rows.append([item["target"], item["engine"], item["workers"], item["executions"],
                     item["executions_per_s"], item["operations_per_s"], item["edges"] or None,
                     item["corpus_inputs"], item["inputs_from_partner"] or None, item["stability"],
                     len(store.of(i.target, i.engine)), item["corpus_executions_per_core_s"],
                     item["corpus_operations_per_core_s"]])
    return report.Section("What ran", "The last two columns: the corpus that the run made, replayed "
                          "on one core with the address and undefined-behaviour sanitizers, a "
                          "second of processor time. The engines' own speeds hold their mutations, "
                          "their coverage and whatever else the machine did.",
                          table=report.Table(columns, rows))


def finding_section(run, found):
    """Operations, trace and C program, one after the other."""
    at = lambda name: str((found.folder / name).relative_to(run.dir))
    link = lambda name, text: f"[{text}]({at(name)})" if (found.folder / name).exists() else ""
    links = [link(*pair) for pair in (
        ("finding.ops", "operations"), (found.input, "the input as found"), ("trace.txt", "trace"),
        ("trace.html", "trace as a page"), ("finding.c", "C program"), ("Makefile", "its Makefile"),
        ("finding.js", "JavaScript"), ("finding.wast", "script of the specification"))]
    fails = found.facts.get("reproducer_fails")
    if (found.folder / "finding.js").exists() or (found.folder / "finding.wast").exists():
        fails = {True: "shows", False: "hides", None: "alone"}[fails]
    program = {"shows": "The script below shows it in the runtime alone, by the commands in its head.",
               "hides": "The script below does **not** show it in the runtime alone.",
               "alone": "The script below needs a program of the runtime's that runs it.",
               True: "The C program below fails with the library under test.",
               False: "The C program below does **not** fail with the library under test: it compares less than "
                      "the harness does, or needs a schedule that it did not meet.",
               None: "No C program was run."}[fails]
    told = f" Not all was done for it: {found.problem}." if "problem" in found.facts else ""
    text = (f"{'At `' + found.place + '`. ' if found.place else ''}Found by {found.engine} on {found.target} after "
            f"{found.seconds:.1f} s, seen {found.seen} times; {found.facts.get('operations', '?')} operations. "
            f"{program}{told}\n\n{', '.join(filter(None, links))}")
    ops = clipped(found.text("finding.ops") or found.text("input.ops"), OPERATIONS_MAX)
    inner = [report.Section("Operations", pre=ops)]
    for title, name in (("What the C program or script printed", "reproducer.txt"), ("Trace", "trace.txt"),
                        ("C program", "finding.c"), ("JavaScript", "finding.js"), ("Script", "finding.wast")):
        if found.text(name):
            limit = 2000 if name.startswith("finding.") else TRACE_LINES_MAX
            inner.append(report.Section(title, pre=clipped(found.text(name), limit)))
    return report.Section(f"Finding {found.oracle} ({found.target})", text, sections=inner)


def plot_section(items, column, title):
    lines = {}
    for item in items:
        if len(item.series) > 1:
            lines[f"d{len(lines)}"] = (item.name, [(row[0], row[column]) for row in item.series
                                                   if row[column] is not None])
    if not lines:
        return None
    label = {1: "executions", 2: "edges", 3: "inputs"}[column]
    script = (f"set xlabel 'seconds'\nset ylabel '{label}'\nset key left top\nset yrange [0:*]\n"
              "plot " + ", ".join(f"${key} using 1:2 with lines lw 2 title '{name.replace('_', ' ')}'"
                                  for key, (name, _) in lines.items()))
    return report.Section(title, svg=report.plot(script, {k: rows for k, (_, rows) in lines.items()}))
