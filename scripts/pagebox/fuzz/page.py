"""page.py: the sections of a fuzz run's report."""
import pathlib

from pagebox.common import report
from pagebox.common import rules

OPERATIONS_MAX = 40  # shown of a finding that was not shrunk
TRACE_LINES_MAX = 120
STABILITY_MIN = 99.0  # per cent; below that, AFL++ sees runs of one input differ


def clipped(text, lines_max):
    lines = text.rstrip().splitlines()
    more = [f"... {len(lines) - lines_max} lines more"] if len(lines) > lines_max else []
    return "\n".join(lines[:lines_max] + more)


def sections(run, items, store, session):
    """items: the fuzzers; findings: the store's."""
    found = store.all()
    made = [next_section(run, items, found, session)]
    troubles = [f"**{item.name}**: {item.problem}" for item in items if item.problem]
    if troubles:
        made.append(report.Section("What did not run", "\n\n".join(troubles)))
    made += [finding_section(run, f, session) for f in found]
    made.append(speed_section(items, store))
    made += [plot_section(items, column, title) for column, title in
             ((2, "Coverage over time"), (1, "Executions over time"), (3, "Corpus over time"))]
    return [section for section in made if section]


def next_section(run, items, found, session):
    """What a reader should do next, the most urgent first."""
    steps = []
    for f in found:
        at = f"results/fuzz/{run.name}/{f.folder.relative_to(run.dir)}"
        program = "".join(f"Attach `{at}/{name}` to the bug report. " for name in programs_of(f))
        steps.append(f"[{f.oracle}](#{report.slug(title_of(f))}): see it with `{f.again(session.plan, pathlib.Path(at))}`. "
                     f"{program}When it is fixed, keep `finding.ops` under `corpus/regress/{f.target}/`.")
    for item in items:
        if item.stability is not None and item.stability < STABILITY_MIN:
            steps.append(f"**{item.name}** is {item.stability:.2f} % stable: runs of one input differ, so some state "
                         "survives a run. Run one input of its queue twice under `afl-showmap` and compare.")
    if not found and any(i.engine != "seeds" and i.executions for i in items):
        growing = [i.name for i in items if still_grows(i)]
        steps.append(f"Coverage still grew at the end of {', '.join(growing)}: run longer (`TIME=`)." if growing
                     else "No fuzzer found new coverage in the second half, so more time is of little use. `make coverage` "
                     "shows what no seed reaches. Next, try another `SEED=`, `SCHED=pct` for concurrent programs, "
                     "or `make defects` (does this harness catch known bugs?).")
    if session.promoted:
        names = ", ".join(f"{count} into {target}" for target, count in session.promoted.items() if count)
        if names:
            steps.append(f"The working corpus grew: {names}. `make corpus-promote INPUT=file` turns an input that is "
                         "worth keeping into a seed.")
    return report.Section("What to do next", "\n\n".join(steps)) if steps else None


def still_grows(item):
    """Whether it reached new edges in the second half of its time."""
    known = [(row[0], row[2]) for row in item.series if row[2]]
    half = [edges for seconds, edges in known if seconds <= item.seconds() / 2]
    return bool(known and half and known[-1][1] > half[-1])


def speed_section(items, store):
    columns = ["target", "engine", "workers", "executions", "executions/s", "operations/s", "edges",
               "corpus", "from the other", "stability %", "findings", "executions/s per core",
               "operations/s per core"]
    rows = []
    for i in items:
        item = i.item(i.store.dir.parent)
        rows.append([item["target"], item["engine"], item["workers"], item["executions"],
                     item["executions_per_s"], item["operations_per_s"], item["edges"] or None,
                     item["corpus_inputs"], item["inputs_from_partner"] or None, item["stability"],
                     len(store.of(i.target, i.engine)), item["corpus_executions_per_core_s"],
                     item["corpus_operations_per_core_s"]])
    return report.Section("What ran", "The last two columns: the run's corpus, replayed on one core with "
                          "the address and undefined-behaviour sanitizers, per second of processor "
                          "time. The fuzzers' own speeds include mutation, coverage and other load on "
                          "the machine.",
                          table=report.Table(columns, rows))


def title_of(found):
    return f"Finding {found.oracle} ({found.target})"


def explained(found):
    """Lines on what was expected, what happened, and the rule."""
    if found.facts.get("at"):
        yield f"Broken {found.at}."
    if found.facts.get("difference"):
        yield f"{found.difference[:1].upper()}{found.difference[1:]}."
    says = rules.sentence(found.oracle)
    if says:
        yield f"The rule: {says} ({report.shown(rules.TEXT)})."


def told(plan, found, folder):
    """A finding on the terminal, as on its page. folder: its final place."""
    yield f"finding: {found.oracle} ({found.target}/{found.engine}, {found.seconds:.1f} s)"
    yield from ("  " + line for line in clipped(found.done(plan.strategies), 12).splitlines())
    yield from ("  " + line for line in explained(found))
    yield f"  See it again: {found.again(plan, folder)}"
    yield from (f"  {PROGRAMS[name]}: {folder}/{name}" for name in programs_of(found))


PROGRAMS = {"finding.c": "As a C program", "finding.js": "As JavaScript", "finding.wast": "As a script of the specification"}


def programs_of(found):
    """Names of files that reproduce it without this harness; a C program only if it was compiled and run."""
    ran = found.facts.get("reproducer_fails") is not None
    return [name for name in PROGRAMS if found.text(name) and (ran or name != "finding.c")]


def program_text(found, name):
    if name != "finding.c":
        return {
            True: "It reproduces the finding in the runtime without the harness, by the commands in its first lines.",
            False: "It does **not** reproduce the finding in the runtime without the harness.",
            None: "Only a program of that runtime can run it.",
        }[found.facts.get("reproducer_fails")]
    return {
        True: "It fails in the library under test.",
        False: "It does **not** fail in the library under test: it compares less than the harness does, or the "
               "schedule that it needs did not occur.",
    }[found.facts["reproducer_fails"]]


def finding_section(run, found, session):
    """On one screen: what was done, what was expected and why, what happened, how to reproduce it."""
    plan = session.plan
    at = lambda name: str((found.folder / name).relative_to(run.dir))
    link = lambda name, text: f"[{text}]({at(name)})" if (found.folder / name).exists() else ""
    links = [link(*pair) for pair in (
        ("finding.ops", "operations"), (found.input, "the input as found"), ("trace.txt", "trace"),
        ("trace.html", "trace as a page"), ("finding.c", "C program"), ("Makefile", "its Makefile"),
        ("finding.js", "JavaScript"), ("finding.wast", "script of the specification"))]
    problem = f" It is incomplete: {found.problem}." if "problem" in found.facts else ""
    text = "\n\n".join(explained(found))
    where = f"Found by {found.engine} after {found.seconds:.1f} s, seen {report.counted(found.seen, 'time')}.{problem} "
    where += f"Files: {', '.join(filter(None, links))}."
    folder = pathlib.Path("results/fuzz") / run.name / found.folder.relative_to(run.dir)
    inner = [report.Section("What was done", pre=clipped(found.done(plan.strategies), OPERATIONS_MAX)),
             report.Section("See it again", where, pre=found.again(plan, folder))]
    for name in programs_of(found):
        inner.append(report.Section(PROGRAMS[name], program_text(found, name), pre=clipped(found.text(name), 400)))
    if not programs_of(found):
        inner.append(report.Section("No program", clipped(found.text("reproducer.txt"), 3)))
    for title, name in (("What the program printed", "reproducer.txt"), ("Trace", "trace.txt")):
        if found.text(name) and (name == "trace.txt" or programs_of(found)):
            inner.append(report.Section(title, pre=clipped(found.text(name), TRACE_LINES_MAX)))
    return report.Section(title_of(found), text, sections=inner)


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
