"""defects_report.py: the scoreboard's lines and pages, made from its items. See defects.py."""
import statistics

import report

COLUMNS = "{:<34} {:<22} {:>9} {:>9} {:>9} {:>11}  {}"
HEADING = COLUMNS.format(
    "defect", "rule", "reached s", "trigger s", "caught s", "executions", "oracle"
)


def seconds(value):
    return "-" if value is None else f"{value:.2f}"


def verdict(item):
    if item["oracle"]:
        return f"{item['oracle']} ({item['target']})"
    if item["note"]:
        return "missed: " + item["note"].strip().splitlines()[0][:90]
    return "missed" if item["must"] else "missed, as a canary must be"


def line(item):
    """One row of the table on screen."""
    marks = [seconds(item[k]) for k in ("reached_s", "triggered_s", "caught_s")]
    name = item["name"] + (f" #{item['seed']}" if item["seed"] != 1 else "")
    return COLUMNS.format(
        name, item["rule"] or "-", *marks, item["executions"], verdict(item)
    )


def spread(values):
    """Median and quartiles as text."""
    if not values:
        return None
    low, middle, high = quartiles(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})" if len(values) > 1 else f"{middle:.2f}"


def quartiles(values):
    if len(values) == 1:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def by_name(items):
    groups = {}
    for item in items:
        groups.setdefault(item["name"], []).append(item)
    return groups


def main_table(items):
    rows = []
    for name, group in sorted(by_name(items).items()):
        first = group[0]
        hits = [i for i in group if i["oracle"]]
        oracles = sorted({f"{i['oracle']}" for i in hits})
        rows.append([
            name,
            first["rule"],
            first["kind"],
            f"{len(hits)} of {len(group)}",
            spread([i["reached_s"] for i in group if i["reached_s"] is not None]),
            spread([i["triggered_s"] for i in group if i["triggered_s"] is not None]),
            spread([i["caught_s"] for i in hits]),
            round(statistics.median(i["executions"] for i in hits)) if hits else None,
            ", ".join(oracles) or ("missed" if first["must"] else "missed, as it must be"),
            ", ".join(sorted({i["target"] for i in hits})) or None,
            min((i["witness_operations"] for i in hits if i["witness_operations"]), default=None),
        ])
    columns = ["defect", "rule", "kind", "caught", "reached s", "triggered s", "caught s",
               "executions", "oracle", "target", "operations"]
    return report.Table(columns, rows)


def survival(items, budget_s):
    """Steps of the share that is not caught yet, over seconds, one curve a group of runs."""
    groups = {}
    for item in items:
        if item["must"]:
            groups.setdefault(f"{item['engine']} {item['sched']}", []).append(item)
    curves = {}
    for name, group in groups.items():
        times = sorted(i["caught_s"] for i in group if i["caught_s"] is not None)
        rows = [[0.01, 1.0]]
        rows += [[max(t, 0.01), 1 - (n + 1) / len(group)] for n, t in enumerate(times)]
        curves[name] = rows + [[max(budget_s, rows[-1][0]), rows[-1][1]]]
    return curves


def survival_section(items, options):
    curves = survival(items, options.time or 60)
    if not curves:
        return None
    parts = ", ".join(
        f"$c{n} using 1:2 with steps title '{name}'" for n, name in enumerate(curves)
    )
    script = "set logscale x\nset xlabel 'seconds'\nset ylabel 'not caught yet'\n"
    script += "set yrange [0:1]\nplot " + parts
    data = {f"c{n}": rows for n, rows in enumerate(curves.values())}
    text = "The share of runs that had not caught their defect after so many seconds (canaries left out)."
    return report.Section("How fast", text, svg=report.plot(script, data))


def compare_table(items):
    """Engines and sources of schedules side by side."""
    groups = {}
    for item in items:
        if item["must"]:
            key = (item["engine"], item["sched"], item["kind"])
            groups.setdefault(key, []).append(item)
    rows = []
    for (engine, sched, kind), group in sorted(groups.items()):
        hits = [i["caught_s"] for i in group if i["caught_s"] is not None]
        runs = [i["executions"] for i in group if i["caught_s"] is not None]
        rows.append([engine, sched, kind, len(group), len(hits), spread(hits),
                     round(statistics.median(runs)) if runs else None])
    return report.Table(
        ["engine", "schedule", "kind", "runs", "caught", "seconds: median (quartiles)",
         "executions, median"], rows)


def rule_number(rule):
    digits = (rule or "").partition("-")[0][1:]
    return int(digits) if digits.isdigit() else 99


def rules_table(items):
    """Each rule with its defects, and under which names they came out."""
    groups = {}
    for item in items:
        if item["must"] and item["rule"]:
            groups.setdefault(item["rule"], []).append(item)
    rows = []
    for rule, group in sorted(groups.items(), key=lambda pair: rule_number(pair[0])):
        names = by_name(group)
        caught = [n for n, g in names.items() if all(i["oracle"] for i in g)]
        hits = [i for i in group if i["oracle"]]
        own = sum(rule_number(i["oracle"]) == rule_number(rule) for i in hits)
        fastest = min(hits, key=lambda i: i["caught_s"], default=None)
        rows.append([rule, len(names), len(caught), f"{own} of {len(hits)}",
                     fastest and fastest["name"], fastest and fastest["caught_s"]])
    return report.Table(["rule", "defects", "caught", "under this rule's name", "fastest", "s"], rows)


def witness_sections(items):
    sections = []
    for name, group in sorted(by_name(items).items()):
        texts = [i for i in group if i["witness"]]
        if texts:
            best = min(texts, key=lambda i: i["witness_operations"])
            text = f"{best['title']}. Found as `{best['oracle']}` by {best['target']}."
            if best["seen"]:
                text += f" Seen in: {best['seen']}."
            sections.append(report.Section(name, text, pre=best["witness"]))
    return sections


def miss_sections(items, missed, canaries, broken):
    sections = []
    rows = []
    for name in missed:
        item = next(i for i in items if i["name"] == name and not i["oracle"])
        rows.append([name, item["rule"], item["kind"], item["reached_s"], item["triggered_s"],
                     item["executions"], verdict(item)])
    if rows:
        columns = ["defect", "rule", "kind", "reached s", "triggered s", "executions", "why"]
        text = "Must be caught, and was not. Reached says whether the planted line ran at all."
        sections.append(report.Section("Missed", text, table=report.Table(columns, rows)))
    if canaries:
        text = "Caught, though nothing observable changes: an oracle is wrong: " + ", ".join(canaries)
        sections.append(report.Section("Caught canaries", text))
    if broken:
        text = "The pristine reference fails on the witness of: " + ", ".join(broken)
        sections.append(report.Section("Pristine fails", text))
    return sections


def page(items, patches, missed, canaries, broken, options):
    """What report.Run.finish takes after the status."""
    defects = {i["name"] for i in items if i["must"]}
    hits = [i for i in items if i["oracle"] and i["must"]]
    caught = defects - set(missed)
    summary = {
        "defects": len(defects),
        "caught": len(caught),
        "missed": len(missed),
        "canaries": len({i["name"] for i in items if not i["must"]}),
        "canaries_caught": len(canaries),
        "pristine_fails": len(broken),
        "median_caught_s": statistics.median(i["caught_s"] for i in hits) if hits else None,
        "median_executions": statistics.median(i["executions"] for i in hits) if hits else None,
        "corpus": "empty" if options.empty else "seeds",
        "time_s": options.time or "each patch's budget",
        "seeds": options.seeds,
        "not_run": len(patches) - len({i["name"] for i in items}),
    }
    lead = (f"{len(caught)} of {len(defects)} known defects caught; "
            f"{summary['canaries'] - len(canaries)} of {summary['canaries']} canaries missed, "
            "as they must be.")
    sections = miss_sections(items, missed, canaries, broken)
    sections.append(report.Section("All defects", table=main_table(items)))
    curve = survival_section(items, options)
    if curve:
        sections.append(curve)
    sections.append(report.Section("By engine, schedule and kind", table=compare_table(items)))
    sections.append(report.Section("By rule", table=rules_table(items)))
    witnesses = witness_sections(items)
    if witnesses:
        text = "The shortest operations that show each; the pristine reference passes them."
        sections.append(report.Section("Witnesses", text, sections=witnesses))
    return summary, items, sections, "The scoreboard of known defects", lead
