"""plots.py: the plots of a benchmark report, drawn by gnuplot. Each is readable without the text.

Used by sections.py. The figures come from measures.py, in ns. The colour of a line depends on the first word of its
name; dashes and points tell lines with the same first word apart. So a strategy looks alike within a plot.
"""
import math
import re

from pagebox.bench.measures import time_text
from pagebox.common import report

COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#c53030", "#319795", "#b7791f", "#1a202c", "#718096", "#97266d")
POINTS = (7, 5, 9, 11, 13, 3, 15, 12, 4, 2)
PANEL_LINES = 4  # more lines in one plot cannot be told apart


def block(name):
    return re.sub(r"\W", "_", name)


def quoted(name):
    return name.replace("'", "\u2019")


def first_word(name):
    return re.split(r"[ _,]", name)[0]


def looks(names):
    """name -> (colour, dash, point)"""
    families, seen, made = list(dict.fromkeys(map(first_word, names))), {}, {}
    for name in names:
        family = first_word(name)
        seen[family] = seen.get(family, 0) + 1
        place = families.index(family)
        made[name] = (COLOURS[place % len(COLOURS)], seen[family], POINTS[(place + seen[family] - 1) % len(POINTS)])
    return made


def time_tics(*digits):
    """Tics of a time axis in microseconds, from 0.1 ns to 10 s, at these digits of each decade."""
    places = [digit * 10**power / 10000 for power in range(11) for digit in digits]
    return ", ".join(f"'{time_text(us * 1000)}' {us:g}" for us in places)


def families(lines):
    """Lines for one panel each: grouped by the first word of their names, or all together if there are few."""
    if len(lines) <= PANEL_LINES:
        return [lines]
    found = {}
    for name, points in lines.items():
        found.setdefault(first_word(name), {})[name] = points
    alone = {name: points for group in found.values() if len(group) == 1 for name, points in group.items()}
    several = [group for group in found.values() if len(group) > 1]
    names = list(alone)
    return several + [
        {name: alone[name] for name in names[at : at + PANEL_LINES]} for at in range(0, len(names), PANEL_LINES)
    ]


def panel(shown, lines, limits, look):
    """A plot command: these lines in colour, the others and the limits in grey behind them."""
    parts = []
    for number, _ in enumerate(limits):
        heading = "title 'limit'" if number == 0 and len(shown) == len(lines) else "notitle"
        parts.append(f"$limit{number} using 1:2 with lines lc rgb '#dfe3e8' lw 5 {heading}")
    for name in lines.keys() - shown.keys():
        parts.append(f"${block(name)} using 1:2 with lines lc rgb '#b8c0cc' lw 1 notitle")
    for name in shown:
        colour, dash, mark = look[name]
        style = f"lc rgb '{colour}' dt {dash}"
        parts.append(f"${block(name)} using 1:2 with linespoints {style} lw 2 pt {mark} ps 0.8 title '{quoted(name)}'")
        parts.append(f"${block(name)} using 1:3:(0):($4-$3) with vectors nohead {style} lw 1 notitle")
    return "plot " + ", ".join(parts)


def curves(lines, limits, title, axis, unit):
    """Time against a number, both axes logarithmic. Many lines are split into a panel per family, with equal axes.
    lines: name -> [(x, figures)]; limits: name -> [(x, ns)]."""
    data = {f"limit{n}": [[x, ns / 1e3] for x, ns in points] for n, points in enumerate(limits.values())}
    for name, points in lines.items():
        data[block(name)] = [[x, *[ns / 1e3 for ns in f.bar()]] for x, f in points]
    places = sorted({x for points in lines.values() for x, _ in points})
    found = [row[k] for rows in data.values() for row in rows for k in range(1, len(row))]
    panels, look = families(lines), looks(lines)
    across = min(len(panels), 2)
    down = -(-len(panels) // across)
    # In narrow panels only every second tic has a number, so that the numbers do not overlap.
    step = 1 if across == 1 or len(places) <= 5 else 2
    tics = ", ".join(f"'{x if i % step == 0 else ''}' {x}" for i, x in enumerate(places))
    script = f"""set logscale xy
set xlabel '{quoted(axis)}'
set ylabel 'median time{" " + unit if unit else ""}'
set xtics ({tics})
set xrange [{places[0] * 0.8}:{places[-1] * 1.25}]
set yrange [{min(found) * 0.7}:{max(found) * 1.5}]
set ytics ({time_tics(1)})
set key Left reverse samplen 3 spacing 1.15
"""
    if len(panels) == 1:
        script += f"set title '{quoted(title)}'\nset key rmargin top vertical\n" + panel(lines, lines, limits, look)
        return report.plot(script, data, (860, 400))
    title = f"{quoted(title)}. Grey: the other lines; wide grey: limits"
    wide = max(map(len, lines)) > 20  # long names: no two panels side by side
    rows = max(map(len, panels)) if wide else 2
    script += f"set key above {'vertical maxcols 1' if wide else 'horizontal'}\nset tmargin {1.5 + 1.2 * rows}\nset multiplot layout {down},{across} title '{title}'\n"
    script += "\n".join(panel(shown, lines, limits, look) for shown in panels)
    return report.plot(script + "\nunset multiplot", data, (860, 40 + 300 * down))


def bars(groups, title, words):
    """Bars on a logarithmic axis labelled `words`, one cluster per group: group -> {who: (middle, low, high)}."""
    who = list(dict.fromkeys(name for found in groups.values() for name in found))
    look, width = looks(who), 0.84 / max(len(who), 1)
    data, parts = {}, []
    values = [bar for found in groups.values() for bar in found.values()]
    base = 10 ** math.floor(math.log10(min(bar[0] for bar in values) / 1.5))
    for place, name in enumerate(who):
        shift = (place - (len(who) - 1) / 2) * width
        found = [(i + shift, g[name]) for i, g in enumerate(groups.values()) if name in g]
        data[f"bar{place}"] = [[x, *bar, f"{bar[0]:.3g}" if bar[0] < 100 else f"{bar[0]:,.0f}"] for x, bar in found]
        half, (colour, dash, _) = width * 0.46, look[name]
        fill = "solid" if dash == 1 else f"solid {1 - 0.25 * min(dash - 1, 3)}"
        parts.append(
            f"$bar{place} using ($1-{half}):({base}):($1-{half}):($1+{half}):({base}):2 "
            f"with boxxyerror fs {fill} lc rgb '{colour}' title '{quoted(name)}'"
        )
        parts.append(f"$bar{place} using 1:3:(0):($4-$3) with vectors nohead lc rgb '#1a202c' lw 1 notitle")
        if len(who) * len(groups) <= 40:
            parts.append(f"$bar{place} using 1:4:5 with labels offset 0,0.6 font ',9' notitle")
    names = [name.replace(" to ", "\\nto ").replace(", ", ",\\n") for name in groups]
    tics = ", ".join(f'"{name}" {i}' for i, name in enumerate(names))
    script = f"""set title '{quoted(title)}'
set logscale y
set xtics ({tics}) scale 0
set xrange [-0.55:{len(groups) - 0.45}]
set yrange [{base}:{max(bar[2] for bar in values) * 2}]
set ylabel '{quoted(words)}, log'
set bmargin 4
set key rmargin top vertical Left reverse samplen 2
plot {", ".join(parts)}"""
    return report.plot(script, data, (900, 400))


def distributions(rows, title):
    """Cumulative distributions of all samples. rows: [(name, figures)]."""
    data, parts, look = {}, [], looks([name for name, _ in rows])
    for number, (name, figures) in enumerate(rows):
        data[f"d{number}"] = [list(p) for p in sorted((ns / 1e3, int(q[1:])) for q, ns in figures.samples.items())]
        colour, dash, mark = look[name]
        middle = f"{quoted(name)} (median {time_text(figures.samples['q50'])})"
        parts.append(f"$d{number} using 1:2 with linespoints lc rgb '{colour}' dt {dash} lw 2 pt {mark} ps 0.6 title '{middle}'")
    found = [ns for _, figures in rows for ns in figures.samples.values()]
    digits = (1, 2, 5) if max(found) < 100 * min(found) else (1,)
    script = f"""set title '{quoted(title)}'
set logscale x
set xlabel 'time'
set xtics ({time_tics(*digits)})
set ytics ('1 %%' 1, '10 %%' 10, '25 %%' 25, 'half' 50, '75 %%' 75, '90 %%' 90, '99 %%' 99)
set yrange [0:100]
set ylabel 'samples at most so long'
set grid xtics ytics lc rgb '#dddddd' lt 1
set key rmargin top vertical Left reverse samplen 3
plot {", ".join(parts)}"""
    return report.plot(script, data, (860, 340))
