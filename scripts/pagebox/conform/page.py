"""page.py: the page of `make conform`, and the files that reproduce a finding."""
import html
import json
import os
import re

from pagebox.common import report
from pagebox.conform import engines

NAMES = {
    "c0dec0de00000001": "-", "c0dec0de00000002": "skipped", "c0dec0de00000003": "blocked", "c0dec0de00000004": "trap",
    "c0dec0de00000005": "ok", "c0dec0de00000006": "disabled", "c0dec0de00000007": "unclear",
}  # fmt: skip

SHOWN_MOST, UNSHOWN = 40, ("random",)  # programs whose outcomes are all on the page


def value_text(word):
    if word in NAMES:
        return NAMES[word]
    number = int(word, 16)
    return "-1" if number == 0xFFFFFFFF else str(number) if number < 100000 else hex(number)


def outcome_text(program, key):
    """T0: 0 1 | T1: 1 ; [0]=1 size=2"""
    words = key.split(",")
    if len(words) != len(program["labels"]):
        return key
    threads, rest = {}, []
    for label, word in zip(program["labels"], words):
        if label[0] == "T":
            threads.setdefault(label[:2], []).append(value_text(word))
        else:
            rest.append(f"{label}={value_text(word)}")
    shown = " | ".join(f"{t}: {' '.join(v)}" for t, v in threads.items())
    return f"{shown}{' ; ' if shown and rest else ''}{' '.join(rest)}"


def nearest(program, key, most=3):
    """The allowed outcomes that differ in the fewest words."""
    words = key.split(",")
    far = lambda other: sum(a != b for a, b in zip(words, other.split(",")))
    return sorted(program["set"], key=far)[:most]


# ---------------------------------------------------------------- files that reproduce a finding


HTML_HEAD = """<!doctype html>
<!-- {name}: runs by itself, but a page has shared memory only where it is isolated. Serve the folder with
       Cross-Origin-Opener-Policy: same-origin
       Cross-Origin-Embedder-Policy: require-corp
     or start chromium with -enable-features=SharedArrayBuffer and open the file (two dashes before it). -->
<meta charset="utf-8"><title>{name}</title><body><script type="module">
"""


def embedded(program):
    """The driver with the program inside: it needs no other file."""
    bundle = json.dumps({"programs": [program]}).replace("</", "<\\/")
    text = engines.DRIVER.read_text().replace("const EMBEDDED = null;", f"const EMBEDDED = {bundle};", 1)
    head, _, rest = text.partition("\nconst EMBEDDED")
    comment = "\n".join(f"// {line}" for line in program["text"].splitlines())
    return f"""// Shows what an engine does with this program of {program['threads']} threads on one shared memory:
//
{comment}
//
// node finding.mjs; deno run -A finding.mjs; bun finding.mjs. total_s=60 runs longer than 20 s. It prints each
// outcome, how often it came, and whether the WebAssembly threads proposal allows it; status 1 where not.

const EMBEDDED{rest}"""


def write_reproducers(folder, program):
    text = embedded(program)
    (folder / "finding.mjs").write_text(text)
    (folder / "finding.html").write_text(HTML_HEAD.format(name=html.escape(program["name"])) + text + "</script>\n")


# ---------------------------------------------------------------- the page


def times_text(times):
    return "once" if times == 1 else f"{times:,} times"


def finding_section(c, findings):
    """The findings of one kind in one program."""
    first = findings[0]
    lines = [first.program["text"].rstrip(), ""]
    for f in findings:
        if f.outcome:
            lines += [f"seen {times_text(f.times)}, first after {f.after_s:.1f} s ({f.phase}):", f"    {outcome_text(f.program, f.outcome)}"]
        else:
            lines += [f"{times_text(f.times)}, first after {f.after_s:.1f} s ({f.phase}):", *(f"    {line}" for line in f.words.splitlines())]
    if first.outcome:
        lines += ["", "the nearest allowed outcomes:"]
        lines += [f"    {outcome_text(first.program, k)}" for k in nearest(first.program, first.outcome)]
    text = first.confirmed[:1].upper() + first.confirmed[1:] + "."
    where = f"findings/{first.folder.name}" if first.folder else ""
    if where and c.name:
        text += f" To see it again with its rate: [finding.mjs]({where}/finding.mjs), [finding.html]({where}/finding.html)."
    if where:
        of = f"RUNTIME={c.a.runtime} " if c.a.runtime else f"SUBJECT={os.environ['SUBJECT']} " if os.environ.get("SUBJECT") else ""
        text += f" Again: `make conform {of}INPUT=results/conform/{c.run.name}/{where}/program.conform`."
    return report.Section(first.name, text, pre="\n".join(lines))


def outcome_rows(seen):
    rows = []
    for key in sorted(seen.program["set"], key=lambda k: -seen.outcomes[k]):
        rows.append([outcome_text(seen.program, key), seen.outcomes[key], "allowed" if seen.outcomes[key] else "not seen"])
    for key, n in seen.wrong().items():
        rows.append([outcome_text(seen.program, key), n, "NOT ALLOWED"])
    for key, n in seen.beyond().items():
        rows.append([outcome_text(seen.program, key), n, "not judged"])
    return rows


def program_row(s):
    judged = "not judged: data race" if s.program["racy"] else "not offered" if s.not_offered else f"{sum(s.wrong().values()):,} wrong" if s.wrong() else "within"
    rate = s.instances / s.seconds if s.seconds > 0.01 else None
    return [s.program["name"], s.instances, rate, len(s.allowed), s.seen(), judged]


def write(c, status):
    seen = [s for s in c.seen.values() if s.instances or s.not_offered]
    families = {}
    for s in seen:
        families.setdefault(s.program["family"], []).append(s)
    instances, seconds = sum(s.instances for s in seen), sum(s.seconds for s in seen)
    judged = [s for s in seen if not s.program["racy"] and s.instances]
    racy = [s for s in seen if s.program["racy"] and s.instances]
    allowed, met = sum(len(s.allowed) for s in judged), sum(s.seen() for s in judged)
    fast = [s for s in judged if s.program["threads"] == 2 and not s.program["waits"] and not s.program["grows"] and not s.program["host"]]
    fast_rate = sum(s.instances for s in fast) / max(1e-9, sum(s.seconds for s in fast))
    alike = {}
    for f in c.findings.values():
        alike.setdefault(f.name, []).append(f)
    sections = [finding_section(c, f) for f in alike.values()]
    phases = report.Table(["phase", "programs", "instances", "instances a second", "... of processor time"],
                          [[n, p, i, i / s if s else None, i / used if used > 0.1 else None] for n, i, s, p, used in c.phases])
    sections.append(report.Section(
        "Runs", "Each phase is one process. Seconds count only the time in which programs ran. Processor time is that of all threads, "
        "including start and compilation, and estimates an idle machine. Some processes of a browser do not report theirs.", table=phases))
    rows = [[name, len(f), sum(s.instances for s in f), sum(len(s.allowed) for s in f), sum(s.seen() for s in f),
             sum(sum(s.wrong().values()) for s in f), sum(s.program["racy"] for s in f)] for name, f in families.items()]  # fmt: skip
    sections.append(report.Section(
        "Families", "An allowed outcome that never came is no defect: the machine may not show it, or only rarely. "
        "Programs with a data race are run and counted, but their outcomes outside the interleavings are not judged.",
        table=report.Table(["family", "programs", "instances", "allowed", "seen", "wrong", "not judged"], rows)))  # fmt: skip
    for name, of in families.items():
        inner = [report.Section("Programs", table=report.Table(["program", "instances", "a second", "allowed", "seen", ""], [program_row(s) for s in of]))]
        for s in of:
            if s.instances and len(s.allowed) <= SHOWN_MOST and name not in UNSHOWN:
                inner.append(report.Section(s.program["name"], s.program["about"] + ".", pre=s.program["text"], table=report.Table(["outcome", "times", ""], outcome_rows(s))))
        sections.append(report.Section(f"Family {name}", sections=inner))
    if c.shortages:
        sections.append(report.Section("Out of memory", "Slices that were cut short, because an engine can hold only a limited number of shared memories at a time.",
                                       table=report.Table(["message", "times"], [list(x) for x in c.shortages.items()])))  # fmt: skip
    if c.errors:
        sections.append(report.Section("What did not run", pre="\n".join(c.errors[:50])))
    summary = {
        "engine": c.engine or c.name, "programs": len(seen), "not_judged": len(racy), "instances": instances,
        "instances_per_s": instances / seconds if seconds else None, "two_threads_no_waits_per_s": fast_rate if fast else None,
        "instances_per_processor_s": instances / used_s if (used_s := sum(used for *_, used in c.phases)) > 0.1 else None,
        "allowed": allowed, "seen": met, "findings": len(c.findings),
        "unclear": sum(s.unclear for s in seen), "outcomes_lost": sum(s.lost for s in seen), "seed": c.a.seed, "hang_s": c.a.hang,
    }  # fmt: skip
    items = [{
        "name": s.program["name"], "family": s.program["family"], "racy": s.program["racy"], "instances": s.instances,
        "seconds": s.seconds, "allowed": len(s.allowed), "seen": s.seen(), "wrong": s.wrong(), "states": s.program["states"],
        "outcomes": dict(s.outcomes), "rescued": s.rescued, "unclear": s.unclear,
    } for s in seen]  # fmt: skip
    items += [{"name": f.name, "family": "finding", "outcome": f.outcome, "times": f.times, "phase": f.phase,
               "after_s": round(f.after_s, 2), "confirmed": f.confirmed} for f in c.findings.values()]  # fmt: skip
    fault = f" With the planted fault **{c.a.fault}**." if c.a.fault else ""
    lead = (
        f"{c.engine or c.name}: {len(seen)} programs, {instances:,} instances with real threads; {met} of {allowed} allowed outcomes "
        f"were seen, {report.counted(len(c.findings), 'finding')}.{fault} A hang is {c.a.hang} s without progress."
    )
    return c.run.finish(status, summary, items, sections, f"Real threads: {re.split(',', c.engine or c.name)[0]}", lead)
