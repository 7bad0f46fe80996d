"""plots.py: the plots of a benchmark report, by gnuplot: each is legible without the text.

Used by page.py. `figures` are its Figures: medians in ns, with the least and the greatest.
"""
import math
import re

from pagebox.common import report
from pagebox.bench.measures import ORDERS, time_text

# One look for each strategy in all plots: colour, dash, point.
COLOURS = {
    "reserve": ("#2b6cb0", 1, 7),
    "reserve_rw": ("#319795", 1, 5),
    "remap": ("#b7791f", 1, 9),
    "move": ("#c05621", 1, 11),
    "heap glibc": ("#2f855a", 1, 13),
    "heap jemalloc": ("#2f855a", 2, 12),
    "image": ("#805ad5", 1, 3),
    "image, nothing written": ("#805ad5", 2, 4),
    "pool discard": ("#c53030", 1, 15),
    "pool renew": ("#c53030", 2, 14),
    "pool keep": ("#c53030", 3, 10),
    "guard": ("#1a202c", 1, 2),
    "no advice": ("#2b6cb0", 1, 7),
    "populate": ("#c05621", 1, 5),
    "huge pages": ("#2f855a", 1, 9),
    "image, 1 % written": ("#805ad5", 3, 6),
    "heap mimalloc": ("#2f855a", 3, 8),
    "guard page": ("#2b6cb0", 1, 7),
    "comparison": ("#c05621", 1, 5),
    "the library's call": ("#718096", 1, 2),
    "guard page, huge pages": ("#2b6cb0", 2, 6),
    "bare mapping": ("#a0aec0", 1, 1),
    "bare mapping, huge pages": ("#a0aec0", 2, 1),
}
# Who runs a program, in plots.
RUNNERS = {
    "wabt, guard page": "#a0aec0",
    "reserve, guard page": "#2b6cb0",
    "wabt, comparison": "#e2a77c",
    "reserve, comparison": "#c05621",
}


def block(name):
    return re.sub(r"\W", "_", name)


WAKES = {
    "wait and notify": "#2b6cb0",
    "mailbox, parked guest": "#805ad5",
    "mailbox, waiting host": "#319795",
    "spin, then wait and notify": "#63b3ed",
    "spin, then bare futex": "#a0aec0",
    "V8, from JavaScript": "#b7791f",
    "bare futex": "#718096",
    "condition variable": "#c05621",
    "spinning": "#2f855a",
}


# How many memories are alive at once in each thread.
MANY = {"1 at once": "#2b6cb0", "4 at once": "#63b3ed", "16 at once": "#a0aec0"}


def time_tics(*digits):
    """Marks of a time axis in microseconds, from 1 ns to 10 s, at these digits of each decade."""
    places = [digit * 10**power / 1000 for power in range(10) for digit in digits]
    return ", ".join(f"'{time_text(us * 1000)}' {us:g}" for us in places)


PANEL_LINES = 4  # more in one plot cannot be told apart


def families(lines):
    """Lines for one panel each: strategies by the first word of their name, all of them where they are few."""
    if len(lines) <= PANEL_LINES:
        return [lines]
    found = {}
    for name, points in lines.items():
        found.setdefault(re.split(r"[ _,]", name)[0], {})[name] = points
    alone = {name: points for group in found.values() if len(group) == 1 for name, points in group.items()}
    several = [group for group in found.values() if len(group) > 1]
    names = list(alone)
    return several + [
        {name: alone[name] for name in names[at : at + PANEL_LINES]} for at in range(0, len(names), PANEL_LINES)
    ]


def sized_panel(shown, lines, bounds):
    """A plot command: these lines in colour, the others and the bare calls grey behind them."""
    parts = []
    for number, _ in enumerate(bounds):
        heading = "title 'bare system calls'" if number == 0 and len(shown) == len(lines) else "notitle"
        parts.append(f"$bound{number} using 1:2 with lines lc rgb '#dfe3e8' lw 5 {heading}")
    for name in lines.keys() - shown.keys():
        parts.append(f"${block(name)} using 1:2 with lines lc rgb '#b8c0cc' lw 1 notitle")
    for name in shown:
        colour, dash, mark = COLOURS.get(name, ("#718096", 1, 1))
        look, words = f"lc rgb '{colour}' dt {dash}", name.replace("'", "\u2019")
        parts.append(f"${block(name)} using 1:2 with linespoints {look} lw 2 pt {mark} ps 0.8 title '{words}'")
        parts.append(f"${block(name)} using 1:3:(0):($4-$3) with vectors nohead {look} lw 1 notitle")
    return "plot " + ", ".join(parts)


def plot_sizes(lines, bounds, title):
    """Cost against size, both on log axes: one line a strategy, a panel a family of them where there are many;
    all panels have the same axes."""
    data = {f"bound{n}": [[p, ns / 1e3] for p, ns in points] for n, points in enumerate(bounds.values())}
    for name, points in lines.items():
        data[block(name)] = [[p, f.ns / 1e3, f.low / 1e3, f.high / 1e3] for p, f in points]
    sizes = sorted({p for points in lines.values() for p, _ in points})
    times = [row[k] for rows in data.values() for row in rows for k in range(1, len(row))]
    panels = families(lines)
    across = min(len(panels), 2)
    down = -(-len(panels) // across)
    # Every second size is named where panels are narrow, so that the numbers do not touch.
    step = 1 if across == 1 or len(sizes) <= 5 else 2
    tics = ", ".join(f"'{p if i % step == 0 else ''}' {p}" for i, p in enumerate(sizes))
    script = f"""set logscale xy
set xlabel 'size of the memory, pages of 64 KiB'
set ylabel 'median time'
set xtics ({tics})
set xrange [{sizes[0] * 0.8}:{sizes[-1] * 1.25}]
set yrange [{min(times) * 0.7}:{max(times) * 1.5}]
set ytics ({time_tics(1)})
set key Left reverse samplen 3 spacing 1.15
"""
    if len(panels) == 1:
        script += f"set title '{title}'\nset key rmargin top vertical\n" + sized_panel(lines, lines, bounds)
        return report.plot(script, data, (860, 400))
    title += ". Grey: the other strategies; wide grey: bare system calls"
    script += f"set key above horizontal\nset tmargin 3.5\nset multiplot layout {down},{across} title '{title}'\n"
    script += "\n".join(sized_panel(shown, lines, bounds) for shown in panels)
    return report.plot(script + "\nunset multiplot", data, (860, 40 + 300 * down))


def plot_ratios(groups, looks, marks, title, words, least=0):
    """Bars of ratios: one cluster a group, one bar for each of looks that it has, lines at marks.
    groups: name -> {who: ratio}; looks: who -> colour; marks: ratio -> words; least: not 0: where a
    log axis begins."""
    who = [w for w in looks if any(w in found for found in groups.values())]
    width = 0.8 / max(len(who), 1)
    data, parts = {}, []
    for place, name in enumerate(who):
        shift = (place - (len(who) - 1) / 2) * width
        found = [(i + shift, g[name]) for i, g in enumerate(groups.values()) if name in g]
        data[f"bar{place}"] = [[x, ratio, f"{ratio:.2g}" if least else f"{ratio:.2f}"] for x, ratio in found]
        half = width * 0.46
        parts.append(
            f"$bar{place} using ($1-{half}):({least}):($1-{half}):($1+{half}):({least}):2 "
            f"with boxxyerror fs solid lc rgb '{looks[name]}' title '{name}'"
        )
        parts.append(f"$bar{place} using 1:2:3 with labels offset 0,0.6 font ',9' notitle")
    for number, (ratio, called) in enumerate(marks.items()):
        parts.append(f"{ratio} with lines dt {number + 2} lc rgb '#718096' title '{called}'")
    lines = [name.replace(" ", "\\n").replace("_", "\\n_") for name in groups]
    tics = ", ".join(f'"{name}" {i}' for i, name in enumerate(lines))
    top = max(ratio for g in groups.values() for ratio in g.values()) * (2 if least else 1.15)
    script = f"""set title '{title}'
{"set logscale y" if least else ""}
set xtics ({tics}) scale 0{" font ',9'" if len(groups) > 8 else ""}
set xrange [-0.55:{len(groups) - 0.45}]
set yrange [{least}:{max(top, *marks)}]
set ylabel '{words}'
set bmargin 4
set key rmargin top vertical Left reverse samplen 2
plot {", ".join(parts)}"""
    return report.plot(script, data, (900, 360))


def plot_orders(groups, title):
    """Bars: one cluster an operation, one bar an order table, a line from low to high."""
    tables = [t for t in ORDERS if any(t in found for _, found in groups)]
    colours = {"chosen": "#2b6cb0", "acqrel": "#63b3ed", "seed": "#a0aec0", "sc": "#c05621"}
    data, parts = {}, []
    width = 0.8 / len(tables)
    for place, table in enumerate(tables):
        shift = (place - (len(tables) - 1) / 2) * width
        found = [(i + shift, g[table]) for i, (_, g) in enumerate(groups) if table in g]
        data[f"t_{table}"] = [[x, *f.bar(), f"{f.bar()[0]:.3g}"] for x, f in found]
        look = f"lc rgb '{colours[table]}'"
        parts.append(
            f"$t_{table} using 1:2:({width * 0.92}) with boxes {look} title '{ORDERS[table]}'"
        )
        parts.append(
            f"$t_{table} using 1:3:(0):($4-$3) with vectors nohead lc rgb '#1a202c' lw 1 notitle"
        )
        parts.append(f"$t_{table} using 1:4:5 with labels offset 0,0.7 font ',10' notitle")
    tics = ", ".join(f'"{name}" {i}' for i, (name, _) in enumerate(groups))
    top = max(f.bar()[2] for _, g in groups for f in g.values()) * 1.25
    script = f"""set title '{title}'
set xtics ({tics}) scale 0
set xrange [-0.6:{len(groups) - 0.4}]
set yrange [0:{top}]
set ylabel 'ns an id'
set key rmargin top vertical Left reverse samplen 3
plot {", ".join(parts)}"""
    return report.plot(script, data, (860, 380))


def plot_wakes(title, rows):
    """Distributions: the part of all samples that was at most so long."""
    data, parts = {}, []
    for number, (name, figures) in enumerate(rows):
        points = sorted((ns / 1e3, int(q[1:])) for q, ns in figures.samples.items())
        data[f"d{number}"] = [list(p) for p in points]
        middle = f"{name} (median {time_text(figures.samples['q50'])})"
        look = f"lc rgb '{WAKES.get(name, '#b7791f')}' lw 2 pt 7 ps 0.6"
        parts.append(f"$d{number} using 1:2 with linespoints {look} title '{middle}'")
    times = [ns for _, figures in rows for ns in figures.samples.values()]
    digits = (1, 2, 5) if max(times) < 100 * min(times) else (1,)
    script = f"""set title '{title}'
set logscale x
set xlabel 'time'
set xtics ({time_tics(*digits)})
set ytics ('1 %%' 1, '10 %%' 10, '25 %%' 25, 'half' 50, '75 %%' 75, '90 %%' 90, '99 %%' 99)
set yrange [0:100]
set ylabel 'wake-ups at most so long'
set grid xtics ytics lc rgb '#dddddd' lt 1
set key rmargin top vertical Left reverse samplen 3
plot {", ".join(parts)}"""
    return report.plot(script, data, (860, 340))


# One look for each who hands ids over.
WHO = {
    "this mailbox": ("#2b6cb0", 1, 7),
    "the seed's": ("#a0aec0", 1, 5),
    "CK ring, many producers": ("#c05621", 1, 9),
    "CK ring, one producer": ("#ed9d6f", 2, 8),
    "liburcu wfcqueue": ("#2f855a", 1, 13),
    "DPDK rte_ring": ("#805ad5", 1, 11),
    "bare fetch_add": ("#b8c0cc", 1, 1),
    "bare lock": ("#b8c0cc", 2, 2),
}


def short(value):
    """A number for a label: three figures, no exponent."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def plot_bars(groups, title):
    """Bars on a log axis: one cluster an operation, one bar for each who does it. groups: words ->
    {who: figures}."""
    who = [w for w in WHO if any(w in found for found in groups.values())]
    width = 0.84 / len(who)
    data, parts = {}, []
    least = min(f.bar()[0] for found in groups.values() for f in found.values())
    base = 10 ** math.floor(math.log10(least / 1.5))
    for place, name in enumerate(who):
        shift = (place - (len(who) - 1) / 2) * width
        found = [(i + shift, g[name].bar()) for i, g in enumerate(groups.values()) if name in g]
        data[block(name)] = [[x, *bar, short(bar[0])] for x, bar in found]
        half = width * 0.46
        parts.append(
            f"${block(name)} using ($1-{half}):({base}):($1-{half}):($1+{half}):({base}):2 "
            f"with boxxyerror fs solid lc rgb '{WHO[name][0]}' title '{name.replace(chr(39), chr(8217))}'"
        )
        parts.append(
            f"${block(name)} using 1:3:(0):($4-$3) with vectors nohead lc rgb '#1a202c' lw 1 notitle"
        )
        parts.append(f"${block(name)} using 1:4:5 with labels offset 0,0.6 font ',9' notitle")
    lines = [words.replace(" to ", "\\nto ").replace(", ", ",\\n").replace(" at ", "\\nat ") for words in groups]
    tics = ", ".join(f'"{words}" {i}' for i, words in enumerate(lines))
    top = max(f.bar()[2] for found in groups.values() for f in found.values()) * 2
    script = f"""set title '{title}'
set logscale y
set xtics ({tics}) scale 0
set xrange [-0.55:{len(groups) - 0.45}]
set yrange [{base}:{top}]
set ylabel 'ns an id, log'
set bmargin 4
set key rmargin top vertical Left reverse samplen 2
plot {", ".join(parts)}"""
    return report.plot(script, data, (900, 400))


def plot_producers(lines, title):
    """Time an id against the number of producers, both on log axes: middle, and the middle half."""
    data, parts = {}, []
    for name, points in lines.items():
        colour, dash, mark = WHO.get(name, ("#718096", 1, 1))
        data[block(name)] = [[count, *f.bar()] for count, f in sorted(points.items())]
        look = f"lc rgb '{colour}' dt {dash}"
        shown = name.replace("'", "\u2019")
        parts.append(
            f"${block(name)} using 1:2 with linespoints {look} lw 2 pt {mark} ps 0.8 title '{shown}'"
        )
        parts.append(
            f"${block(name)} using 1:3:(0):($4-$3) with vectors nohead {look} lw 1 notitle"
        )
    counts = sorted({count for points in lines.values() for count in points})
    script = f"""set title '{title}'
set logscale xy
set xlabel 'producers at once'
set ylabel 'ns an id, log'
set xtics ({", ".join(f"'{c}' {c}" for c in counts)})
set xrange [{counts[0] * 0.85}:{counts[-1] * 1.2}]
set key rmargin top vertical Left reverse samplen 3
plot {", ".join(parts)}"""
    return report.plot(script, data, (860, 360))
