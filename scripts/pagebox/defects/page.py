"""page.py: the scoreboard's lines on screen and its page, from the rows."""
import statistics

from pagebox.defects import compare
from pagebox.defects import patchfile
from pagebox.defects import censored
from pagebox.common import report

COLUMNS = "{:<{width}} {:<22} {:>9} {:>9} {:>11}  {}"
NAME_WIDTH = 34  # width of the names' column, unless one is longer
SLOW_S = 10
BY = {"seed": "an unmodified seed", "mutation": "a mutation", None: ""}


def name_width(names):
    return max([NAME_WIDTH, *map(len, names)])


def heading(width):
    return COLUMNS.format("defect", "rule", "reached s", "caught s", "executions", "oracle", width=width)


def seconds(value):
    return "-" if value is None else f"{value:.2f}"


def target(item):
    """The target that caught it, and after how long if others were tried first."""
    own_s = item.get("target_caught_s")
    return item["target"] if own_s is None or own_s == item["caught_s"] else f"{item['target']} after {own_s:.2f} s"


def verdict(item):
    if item["error"]:
        return "error: " + item["error"][:120]
    if item["oracle"]:
        other = "" if item["as_named"] in (None, True) else "another name than the header's"
        words = [target(item), BY[item["by"]], triggered(item) if item["marked"] else "", other]
        return f"{item['oracle']} ({', '.join(word for word in words if word)})"
    if item["note"]:
        return "missed: " + item["note"].strip().splitlines()[0][:90]
    if not item["must"]:
        return "missed, as a canary must be"
    return f"missed, {triggered(item)}" if item["marked"] else "missed"


def triggered(item):
    """When the wrong state first existed, in words."""
    if item["triggered_s"] is not None:
        return f"triggered after {item['triggered_s']:.2f} s"
    return "not triggered" if item["marked"] else "not marked"


def by_words(items):
    """How many catches were seeds, and how many were made by the fuzzer."""
    hits = [item["by"] for item in items if item["must"] and item["oracle"]]
    return f"caught by an unmodified seed input: {hits.count('seed')}, by a mutation: {hits.count('mutation')}"


def by_names(items):
    """How many catches had the name of a rule in the header, and how many the first one, which names the defect itself.
    """
    hits = [item for item in items if item["must"] and item["oracle"] and item["rules"]]
    named = [item for item in hits if item["as_named"]]
    first = [item for item in hits if patchfile.rule_number(item["oracle"]) == patchfile.rule_number(item["rule"])]
    return f"named by a rule of the header: {len(named)} of {len(hits)}, by the first one: {len(first)}"


def executions(item):
    """For a run without a catch: what each of its targets did."""
    each = item.get("executions_by_target") or {}
    if item["oracle"] or len(each) < 2:
        return ""
    return " (" + ", ".join(f"{target} {count:,}" for target, count in each.items()) + ")"


def line(item, width=NAME_WIDTH):
    """One row of the table on screen."""
    marks = [seconds(item[k]) for k in ("reached_s", "caught_s")]
    details = [f"#{item['seed']}"] if item["seed"] != 1 else []
    details += [item["engine"]] if item["engine"] != "libfuzzer" else []
    details += [item["sched"]] if item["sched"] != "bytes" else []
    name = " ".join([item["name"], *details])
    return COLUMNS.format(name, item["rule"] or "-", *marks, item["executions"], verdict(item) + executions(item),
                          width=width)


# ---------------------------------------------------------------- tables


def spread(values, form="{:.2f}"):
    """Median and quartiles as text."""
    if not values:
        return None
    if len(values) == 1:
        return form.format(values[0])
    low, middle, high = map(form.format, statistics.quantiles(values, n=4, method="inclusive"))
    return f"{middle} ({low} to {high})"


def as_named(hits):
    known = [i for i in hits if i["as_named"] is not None]
    count = sum(i["as_named"] for i in known)
    if not known:
        return None
    return "yes" if count == len(known) else f"no ({count} of {len(known)})"


def by(hits):
    """seed, mutation, or the number of each."""
    known = [i["by"] for i in hits if i["by"]]
    words = [(kind, known.count(kind)) for kind in ("seed", "mutation") if kind in known]
    return ", ".join(kind if len(words) == 1 else f"{kind} {n}" for kind, n in words) or None


def known_times(group, mark):
    return [i[mark] for i in group if i[mark] is not None]


def main_row(name, group, marks):
    """marks: whether there is a column for when the wrong state existed."""
    first, hits = group[0], [i for i in group if i["oracle"]]
    when = spread(known_times(group, "triggered_s")) or triggered(first)
    missed = "missed" if first["must"] else "missed, as it must be"
    missed = "error" if first["error"] else missed
    return [
        name,
        " ".join(first["rules"]) or None,
        first["kind"],
        f"{len(hits)} of {len(group)}",
        spread(known_times(group, "reached_s")),
        *[when] * marks,
        spread([i["caught_s"] for i in hits]),
        by(hits),
        hits[0]["executions"] if len(hits) == 1 else spread([i["executions"] for i in hits], "{:,.0f}"),
        ", ".join(sorted({i["oracle"] for i in hits})) or missed,
        as_named(hits),
        ", ".join(sorted({i["target"] for i in hits})) or None,
        min((i["witness_operations"] for i in hits if i["witness_shrunk"]), default=None),
    ]


def main_table(items):
    marks = any(i["marked"] for i in items)
    rows = [main_row(n, group, marks) for n, group in sorted(compare.by_name(items).items())]
    columns = ["defect", "rules", "kind", "caught", "reached s", *["triggered s"] * marks, "caught s", "by",
               "executions", "oracle", "as named", "target", "operations"]
    return report.Table(columns, rows)


def rule_row(number, group):
    """A rule, its defects, and the names of their findings."""
    names = compare.by_name(group)
    hits = [i for i in group if i["oracle"]]
    caught = [n for n, runs in names.items() if all(i["oracle"] for i in runs)]
    fastest = min(hits, key=lambda i: i["caught_s"], default=None)
    own = sum(patchfile.rule_number(i["oracle"]) == number for i in hits)
    return [", ".join(sorted(names)), f"{len(caught)} of {len(names)}", f"{own} of {len(hits)}",
            fastest and fastest["name"], fastest and fastest["caught_s"]]


def rules_table(items):
    """Every rule: its defects in this run; otherwise those in the repository, or why there is none."""
    texts, why = patchfile.rule_texts(), patchfile.without_defect()
    here, all_of = {}, {}
    for item in items:
        if item["must"] and item["rule"]:
            here.setdefault(patchfile.rule_number(item["rule"]), []).append(item)
    for patch in patchfile.own():
        if patch.rules and patch.path.parent == patchfile.PATCHES:
            all_of.setdefault(patchfile.rule_number(patch.rules[0]), []).append(patch.name)
    rows = []
    for number in sorted(patchfile.rule_texts()):
        name = f"R{number} {texts.get(number, ('?', ''))[0]}"
        if number in here:
            rows.append([name, *rule_row(number, here[number])])
        elif number in all_of:
            rows.append([name, "not run: " + ", ".join(all_of[number]), None, None, None, None])
        else:
            rows.append([name, why.get(number, "none"), None, None, None, None])
    return report.Table(["rule", "defects", "caught", "under this rule's name", "fastest", "s"], rows)


# ---------------------------------------------------------------- sections


def witness_sections(items):
    sections = []
    for name, group in sorted(compare.by_name(items).items()):
        texts = [i for i in group if i["witness"]]
        if not texts:
            continue
        best = min(texts, key=lambda i: (not i["witness_shrunk"], i["witness_operations"]))
        text = f"{best['title']}. Found as `{best['oracle']}` by {best['target']}."
        if best["seen"]:
            text += f" Seen in: {best['seen']}."
        inner = []
        if best["trace"]:
            link = f"[As a page]({best['page']})." if best["page"] else ""
            inner = [report.Section("What happens", link, pre=best["trace"])]
        sections.append(report.Section(name, text, pre=best["witness"], sections=inner))
    return sections


def miss_sections(items, missed, canaries, broken, errors):
    sections, rows = [], []
    for name in missed:
        item = next(i for i in items if i["name"] == name and not i["oracle"])
        rows.append([name, item["rule"], item["kind"], item["reached_s"], item["executions"], verdict(item)])
    if rows:
        columns = ["defect", "rule", "kind", "reached s", "executions", "why"]
        text = "These must be caught and were not. Reached: when the planted line first ran."
        sections.append(report.Section("Missed", text, table=report.Table(columns, rows)))
    if errors:
        rows = [[i["name"], i["note"].strip()[:400]] for i in items if i["error"]]
        text = "These could not be planted or did not run to the end, so nothing is known about them."
        table = report.Table(["patch", "why"], rows)
        sections.append(report.Section("Errors", text, table=table))
    if canaries:
        text = "Caught, though nothing observable changes: an oracle is wrong: " + ", ".join(canaries)
        sections.append(report.Section("Caught canaries", text))
    if broken:
        text = "The pristine reference fails on the witness of: " + ", ".join(broken)
        sections.append(report.Section("Pristine fails", text))
    return sections


def slow_section(items):
    rows = [[i["name"], i["engine"], i["sched"], i["seed"], i["caught_s"], i["executions"]]
            for i in items if i["caught_s"] is not None and i["caught_s"] > SLOW_S]
    columns = ["defect", "engine", "schedules", "seed", "caught s", "executions"]
    text = f"Took more than {SLOW_S} seconds."
    return [report.Section("Slow", text, table=report.Table(columns, rows))] if rows else []


# ---------------------------------------------------------------- a set, for its users


def mistakes_of(number):
    """The known bugs of the upstream systems that break a rule, from the headers of S*.patch."""
    found = []
    for patch in patchfile.own():
        numbers = {patchfile.rule_number(rule) for rule in patch.rules}
        if patch.name.startswith("S") and patch.path.parent == patchfile.PATCHES and number in numbers:
            found.append(f"- {patch.head['Title']} (`{patch.name}`; {patch.head['Seen']})")
    return "\n".join(found)


def broken_section(item, texts):
    number = patchfile.rule_number(item["oracle"])
    name, text = texts.get(number, ("", ""))
    words = f"**The rule, R{number} {name}:** {text}."
    words += f"\n\nFound as `{item['oracle']}` by {item['target']} after {item['caught_s']:.1f} s."
    known = mistakes_of(number)
    words += f"\n\nKnown bugs of the published systems that break this rule:\n\n{known}" if known else ""
    inner = []
    if item["witness"]:
        count = item["witness_operations"]
        words = "that show it" if item["witness_shrunk"] else "as they were found"
        title = f"{count} operation{'s' if count != 1 else ''} {words}"
        inner.append(report.Section(title, pre=item["witness"]))
    if item["trace"]:
        link = f"[The same as a page]({item['page']})." if item["page"] else ""
        inner.append(report.Section("What happens", link, pre=item["trace"]))
    return report.Section(item["oracle"], words, sections=inner)


def series_page(items, faults, options, series):
    hits = sorted((i for i in items if i["oracle"]),
                  key=lambda i: (patchfile.rule_number(i["oracle"]), i["oracle"]))
    rules = {patchfile.rule_number(i["oracle"]) for i in hits}
    silent = sorted({i["rule"] for i in items if not i["oracle"] and i["rule"]},
                    key=patchfile.rule_number)
    summary = {"rules_broken": len(rules), "findings": len(hits), "not_found": len(silent),
               "pristine_fails": len(faults[2]), "time_s": options.time or 60}
    lead = (f"{len(series)} patches turn the reference into the systems as they were published. They break "
            f"{len(rules)} of {len(patchfile.rule_texts())} rules; the reference itself passes every input below.")
    texts = patchfile.rule_texts()
    what = "\n\n".join(f"**{p.head.get('Title', p.name)}.** Seen in {p.head.get('Seen')}." for p in series)
    rows = [[report.Link(i["oracle"], "#" + report.slug(i["oracle"])), i["target"], i["caught_s"],
             i["witness_operations"] if i["witness_shrunk"] else f"not shrunk: {i['witness_operations'] or 0}"]
            for i in hits]
    table = report.Table(["broken", "target", "found after s", "operations"], rows)
    sections = miss_sections(items, [], *faults[1:])
    sections += [report.Section("What was published", what),
                 report.Section("What it breaks", table=table),
                 report.Section("One by one", sections=[broken_section(i, texts) for i in hits])]
    if silent:
        text = "Stated in the patches' headers, but not found in this time: " + ", ".join(silent) + "."
        text += " Planted one at a time they are caught; planted together, shallower bugs hide them."
        sections.append(report.Section("Hidden behind others", text))
    return summary, items, sections, "The upstream systems as they were published", lead


# ---------------------------------------------------------------- the page


def summary_of(items, faults, options, count):
    missed, canaries, broken, errors = faults
    must = [i for i in items if i["must"] and not i["error"]]
    defects, hits = {i["name"] for i in must}, [i for i in must if i["oracle"]]
    named = [i["as_named"] for i in hits if i["as_named"] is not None]
    drawn = compare.sample(must)
    return {
        "defects": len(defects),
        "caught": len(defects - set(missed)),
        "missed": len(missed),
        "canaries": len({i["name"] for i in items if not i["must"]}),
        "canaries_caught": len(canaries),
        "pristine_fails": len(broken),
        "errors": len(errors),
        "caught_by_a_seed": sum(i["by"] == "seed" for i in hits),
        "caught_by_a_mutation": sum(i["by"] == "mutation" for i in hits),
        "median_caught_s": censored.median(drawn) if drawn else None,
        "median_executions": statistics.median(i["executions"] for i in hits) if hits else None,
        "slower_than_10_s": sum(i["caught_s"] > SLOW_S for i in hits),
        "as_named": f"{sum(named)} of {len(named)}",
        "corpus": "empty" if options.empty else "seeds",
        "time_s": options.time or "each patch's budget",
        "seeds": options.seeds,
        "engines": " ".join(options.engines),
        "schedules": " ".join(options.scheds),
        "not_run": count - len({i["name"] for i in items}),
    }


def page(items, faults, options, count, series=None):
    """The arguments of report.Run.finish after the status. faults: rows.verdict's; count: of patches."""
    if series:
        return series_page(items, faults, options, series)
    summary = summary_of(items, faults, options, count)
    lead = (f"{summary['caught']} of {summary['defects']} known defects caught; "
            f"{summary['canaries'] - summary['canaries_caught']} of {summary['canaries']} canaries "
            "missed, as they must be.")
    if not options.empty:
        lead += f" {by_words(items).capitalize()}. {by_names(items).capitalize()}."
    if summary["errors"]:
        lead += f" {summary['errors']} could not be planted or run."
    if summary["not_run"]:
        lead += f" {summary['not_run']} were not run."
    sections = miss_sections(items, *faults) + slow_section(items)
    sections.append(report.Section("All defects", table=main_table(items)))
    sections += compare.survival_sections(items)
    sections += compare.comparison_sections(items)
    sections.append(report.Section("By engine, schedules and kind",
                                   table=compare.kind_table(items)))
    sections.append(report.Section("By rule", table=rules_table(items)))
    witnesses = witness_sections(items)
    if witnesses:
        text = "The shortest operations that show each; the pristine reference passes them."
        sections.append(report.Section("Witnesses", text, sections=witnesses))
    return summary, items, sections, "The scoreboard of known defects", lead
