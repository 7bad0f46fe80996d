"""compare.py: how fast defects are caught, and which engine and source of schedules is faster: curves, tables, tests.
"""
import itertools
import statistics

from pagebox.defects import censored
from pagebox.common import report
from pagebox.common import stats

CURVES_MAX = 8


def sample(items):
    """(seconds, caught) of each run; a run without a catch counts with its whole time."""
    return [(i["caught_s"], True) if i["caught_s"] is not None else (i["budget_s"] or 0.0, False)
            for i in items]


def executions_sample(items):
    return [(i["executions"], i["caught_s"] is not None) for i in items]


def measured(items):
    return [i for i in items if i["must"] and not i["error"]]


def by_configuration(items):
    groups = {}
    for item in measured(items):
        groups.setdefault(f"{item['engine']} {item['sched']}", []).append(item)
    return groups


def by_name(items):
    groups = {}
    for item in items:
        groups.setdefault(item["name"], []).append(item)
    return groups


def common(groups):
    """Only the defects that every configuration ran, so that all are measured on the same ones."""
    shared = set.intersection(*({i["name"] for i in group} for group in groups.values()))
    return {name: [i for i in group if i["name"] in shared] for name, group in groups.items()}


# ---------------------------------------------------------------- how fast


def curves(groups, sample_of):
    """The steps of each group's survival curve, from the plot's left edge to its last time."""
    made = {}
    for name, group in groups.items():
        drawn = sample_of(group)
        least = 0.01 if sample_of is sample else 1
        steps = [[max(time, least), share] for time, share in censored.survival(drawn)]
        end = max([time for time, _ in drawn] + [least])
        made[name] = [*steps, [max(end, steps[-1][0]), steps[-1][1]]]
    return made


def survival_plot(groups, sample_of, what):
    data = curves(dict(itertools.islice(groups.items(), CURVES_MAX)), sample_of)
    parts = ", ".join(f"$c{n} using 1:2 with steps lw 2 title '{name}'" for n, name in enumerate(data))
    script = f"set logscale x\nset xlabel '{what}'\nset ylabel 'not caught yet'\n"
    script += "set yrange [0:1.02]\nset key outside top right\nplot " + parts
    return report.plot(script, {f"c{n}": rows for n, rows in enumerate(data.values())})


def survival_sections(items):
    groups = by_configuration(items)
    if not groups:
        return []
    groups = common(groups) if len(groups) > 1 else groups
    text = ("The share of runs that had not caught their defect yet (Kaplan-Meier). A run that missed is "
            "censored at the end of its time. Canaries are left out.")
    return [
        report.Section("How fast, in seconds", text, svg=survival_plot(groups, sample, "seconds")),
        report.Section("How fast, in executions", "The same by executions. A random source of "
                       "schedules makes 16 runs per execution.",
                       svg=survival_plot(groups, executions_sample, "executions")),
    ]


# ---------------------------------------------------------------- comparisons


def number(value, digits=2):
    return None if value is None else round(float(value), digits)


def quartiles(drawn, form="{:.2f}"):
    low, high = censored.spread(drawn)
    text = lambda value: "–" if value is None else form.format(value)
    return f"{text(low)} to {text(high)}"


def configuration_table(groups):
    until = min(i["budget_s"] or 0.0 for group in groups.values() for i in group)
    rows = []
    for name, group in groups.items():
        drawn, counts = sample(group), executions_sample(group)
        names = by_name(group)
        hits = sum(caught for _, caught in drawn)
        found = sum(any(i["oracle"] for i in runs) for runs in names.values())
        rows.append([name, f"{hits} of {len(group)}", f"{found} of {len(names)}",
                     number(censored.median(drawn)), quartiles(drawn),
                     number(censored.restricted_mean(drawn, until)),
                     number(censored.median(counts), 0), quartiles(counts, "{:,.0f}")])
    columns = ["engine and schedules", "runs that caught", "defects caught", "median s",
               "quartiles s", f"mean s, at most {until:.0f}", "median executions", "quartiles executions"]
    return report.Table(columns, rows)


def strata(first, second):
    """Pairs of samples, one per defect."""
    one, two = by_name(first), by_name(second)
    return [(sample(one[name]), sample(two[name])) for name in sorted(one.keys() & two.keys())]


def pair_table(groups):
    pairs = list(itertools.combinations(groups, 2))
    layers = [strata(groups[a], groups[b]) for a, b in pairs]
    values = stats.holm([censored.log_rank(layer) for layer in layers])
    rows = []
    for (first, second), layer, p in zip(pairs, layers, values):
        share = censored.faster(layer)
        verdict = "no difference shown"
        if p is not None and p < 0.05:
            verdict = f"{first if share > 0.5 else second} is faster"
        rows.append([first, second, len(layer), number(share), number(p, 4), verdict])
    return report.Table(["first", "second", "defects", "first is faster", "p", ""], rows)


def defect_table(groups):
    """A row per defect and a column per configuration, as in Magma and FuzzBench."""
    named = {name: by_name(group) for name, group in groups.items()}
    rows = []
    for defect in sorted(set.union(*(set(names) for names in named.values()))):
        row = [defect]
        for names in named.values():
            runs = names.get(defect, [])
            hits = sum(i["oracle"] is not None for i in runs)
            middle = censored.median(sample(runs)) if runs else None
            row.append(None if not runs else
                       f"{'more' if middle is None else f'{middle:.2f}'} ({hits}/{len(runs)})")
        first_two = [sample(names.get(defect, [])) for names in list(named.values())[:2]]
        row.append(number(censored.mann_whitney(*first_two), 3) if len(first_two) == 2 else None)
        rows.append(row)
    columns = ["defect", *named, "p of the first two"]
    return report.Table(columns, rows, align="l" + "r" * (len(columns) - 1))


def comparison_sections(items):
    groups = by_configuration(items)
    if len(groups) < 2:
        return []
    groups = common(groups)
    if not all(groups.values()):
        return []
    text = ("Over the defects that all of them ran; if only the schedules differ, over those of kind schedule "
            "or order. The restricted mean counts a time above the shortest budget as that budget.")
    pairs = ("**first is faster**: how often a run of the first catches before a run of the second on "
             "the same defect (Vargha and Delaney; 0.5 is no difference). **p**: log-rank test "
             "stratified by defect, two-sided, corrected by Holm for the number of pairs.")
    each = ("Median seconds (runs that caught / runs); *more*: half or more of the runs missed. p: "
            "Mann-Whitney between the first two columns, runs that missed ranking last.")
    return [report.Section("Engines and sources of schedules", text, table=configuration_table(groups),
                           sections=[report.Section("Pair by pair", pairs, table=pair_table(groups)),
                                     report.Section("Defect by defect", each, table=defect_table(groups))])]


def kind_table(items):
    groups = {}
    for item in measured(items):
        groups.setdefault((item["engine"], item["sched"], item["kind"]), []).append(item)
    rows = []
    for key, group in sorted(groups.items()):
        hits = [i for i in group if i["oracle"]]
        rows.append([*key, len(group), len(hits), number(censored.median(sample(group))),
                     round(statistics.median(i["executions"] for i in hits)) if hits else None])
    return report.Table(["engine", "schedules", "kind", "runs", "caught", "median s",
                         "median executions"], rows)
