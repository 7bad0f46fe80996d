"""page.py: the gate's results as one screen, as sections of a page, and as JUnit XML."""
import math
import xml.etree.ElementTree as xml

from pagebox.common import stats
from pagebox.common import report

ORDER = ("regression", "inconclusive", "improvement", "pass")
WORDS = {
    "pass": "PASS",
    "regression": "REGRESSION",
    "inconclusive": "INCONCLUSIVE",
    "interrupted": "INTERRUPTED",
    "error": "ERROR",
}
EXIT = {"pass": 0, "regression": 1, "error": 2, "inconclusive": 3, "interrupted": 130}
SCREEN_ROWS = 14
HOW = """A **count** is exact: the same program gives the same number each time. It blocks if it is higher
than on the base: instructions by more than 1 %, resident bytes by more than their own spread.
`locked` counts executed instructions with a lock prefix; `syscall:NAME` counts calls by name.

A **time** blocks if the shift (Hodges-Lehmann, of paired logarithms) is above the row's threshold and
is significant by the exact signed-rank test after Holm's correction over all rows. Both must hold
again in fresh rounds, with both sides linked anew in another order of their objects. A row with two
threads blocks at twice the time. *Could see* is the smallest slowdown that would have been found nine
times out of ten: a pass rules out only slowdowns larger than that.

An intended rise of a count is listed, with its reason, in `bench/gate/waivers`."""


# ---------------------------------------------------------------- words


def percent(shift):
    """A log-ratio as per cent."""
    if shift is None or not math.isfinite(shift):
        return report.DASH
    if shift > math.log(3):
        return f"x {math.exp(shift):.3g}"
    return f"{100 * math.expm1(shift):+.1f} %"


def nanoseconds(ns):
    if ns is None:
        return report.DASH
    for unit, scale in (("ms", 1e6), ("us", 1e3)):
        if ns >= scale:
            return f"{ns / scale:.4g} {unit}"
    return f"{ns:.4g} ns"


def change(item):
    """base -> head, as one cell."""
    if item["metric"] == "row":
        return item["note"]
    if item["part"] == "time":
        return f"{percent(item['shift'])} [{percent(item['low'])}, {percent(item['high'])}]"
    if item["part"] == "behaviour":
        return "; ".join(item.get("findings", [])) or "clean"
    text = f"{report.cell_text(item['base'])} -> {report.cell_text(item['head'])}"
    if item["shift"] is not None and item["metric"] in ("instructions", "resident_bytes"):
        text += f" ({100 * item['shift']:+.1f} %)"
    return text


def of(items, part, verdict=None):
    return [i for i in items if i["part"] == part and (verdict is None or i["verdict"] == verdict)]


def overall(items, parts):
    """The gate's verdict. parts: those that completed; without any, nothing passes."""
    for verdict in ("regression", "inconclusive"):
        if any(item["verdict"] == verdict for item in items):
            return verdict
    return "pass" if items and parts else "inconclusive"


def blocked(items):
    return [item for item in items if item["verdict"] == "regression"]


def part_line(items, part):
    """One part's verdict on one line."""
    mine = of(items, part)
    if not mine:
        return "not run"
    verdict = next(v for v in ORDER if v in {i["verdict"] for i in mine} | {"pass"})
    verdict = "pass" if verdict == "improvement" else verdict
    worse, better = len(of(items, part, "regression")), len(of(items, part, "improvement"))
    failed = sum(i["metric"] == "row" and i["verdict"] == "regression" for i in mine)
    fails = f", {report.counted(failed, 'row')} that cannot run" if failed else ""
    if part == "behaviour":
        return f"{verdict}: {report.counted(len(mine), 'step')}, {worse} with findings"
    text = f"{verdict}: "
    mine = [i for i in mine if i["metric"] != "row"]
    if part == "counts":
        rows = len({i["name"] for i in mine})
        waived = sum("waiver" in i for i in mine)
        text += (
            f"{len(mine)} counts of {report.counted(rows, 'row')}, {worse - failed} higher, {better} lower"
        )
        return text + (f", {waived} waived" if waived else "") + fails
    kept, lost = sum(i["pairs"] for i in mine), sum(i["dropped"] for i in mine)
    unsure = len(of(items, part, "inconclusive"))
    text += f"{report.counted(len(mine), 'row')}, {worse - failed} slower, {better} faster, {unsure} inconclusive"
    text += f"{fails}; "
    return text + f"{lost} of {kept + lost} pairs dropped as disturbed; {could_see(mine)}"


def could_see(mine):
    """The detectable changes, for rows with one thread and with two."""
    said = []
    for words, alone in (("", True), (", with two threads ", False)):
        seen = sorted(
            i["detectable"]
            for i in mine
            if (i["kind"] == "alone") == alone and math.isfinite(i["detectable"])
        )
        if seen:
            middle, worst = percent(stats.median(seen)), percent(seen[-1])
            said.append(f"{words}{middle} in the median row, {worst} in the worst")
        elif alone:
            said.append("nothing")
    return "could see " + "".join(said)


def remarks(items):
    """What to report about rows that are not shown otherwise, equal words once: [words: rows]."""
    said = {}
    for item in items:
        if "note" in item and item["verdict"] not in ("regression", "inconclusive"):
            said.setdefault(item["note"], []).append(item["name"])
    return [f"{', '.join(names)}: {note}" for note, names in said.items()]


def with_note(item):
    """The change, with the remark on it."""
    text = change(item)
    return text + (f" ({item['note']})" if "note" in item and item["metric"] != "row" else "")


def rows_of(items):
    """As many rows as fit a screen, one per line."""
    lines = [f"  {i['name']:<28} {i['metric']:<18} {with_note(i)}" for i in items[:SCREEN_ROWS]]
    if len(items) > SCREEN_ROWS:
        lines.append(f"  ... and {len(items) - SCREEN_ROWS} more in the report")
    return lines


def screen(verdict, lead, items, notes, path):
    """The whole answer on one screen, the verdict first."""
    lines = [f"gate: {WORDS[verdict]}: {lead}"]
    for part in ("behaviour", "counts", "time"):
        lines.append(f"  {part:<10} {part_line(items, part)}")
    for title, verdict_ in (("blocked", "regression"), ("inconclusive", "inconclusive")):
        found = [i for i in items if i["verdict"] == verdict_]
        if found:
            lines.append(f"{title}:")
        lines += rows_of(found)
    lines += [f"note: {note}" for note in [*notes, *remarks(items)]]
    if path:
        lines.append(f"report: {path}")
    return "\n".join(lines)


# ---------------------------------------------------------------- sections


def by_verdict(items):
    return sorted(items, key=lambda i: (ORDER.index(i["verdict"]), i["name"], i["metric"]))


def blocked_section(items):
    found = blocked(items)
    if not found:
        return None
    rows = [[i["name"], i["metric"], with_note(i)] for i in by_verdict(found)]
    return report.Section("Blocked", table=report.Table(["row", "what", "base to head"], rows))


def counts_section(items):
    mine = of(items, "counts")
    if not mine:
        return None
    shown = [
        i
        for i in by_verdict(mine)
        if i["base"] != i["head"] or i["verdict"] != "pass" or "note" in i
    ]
    equal = len(mine) - len(shown)
    columns = ["row", "count", "base", "head", "change", "allowed", "verdict"]
    rows = []
    for i in shown:
        ratio = None if i["shift"] is None else f"{100 * i['shift']:+.2f} %"
        verdict = i["verdict"] + (f" (waived: {i['waiver']})" if "waiver" in i else "")
        verdict += f" ({i['note']})" if "note" in i else ""
        rows.append([i["name"], i["metric"], i["base"], i["head"], ratio, i["threshold"], verdict])
    counts = sum(i["metric"] != "row" for i in mine)
    text = f"{counts} counts, {equal} of them equal on both sides (left out here)."
    return report.Section("Counts", text, report.Table(columns, rows) if rows else None)


def time_section(items):
    mine = [i for i in of(items, "time") if i["metric"] != "row"]
    if not mine:
        return None
    columns = ["row", "base", "head", "shift", "95 % interval", "p", "blocks above", "could see"]
    columns += ["pairs", "dropped", "verdict"]
    rows = []
    for i in by_verdict(mine):
        interval = f"{percent(i['low'])} to {percent(i['high'])}"
        verdict = i["verdict"] + (f" ({i['note']})" if "note" in i else "")
        row = [i["name"], nanoseconds(i["base"]), nanoseconds(i["head"]), percent(i["shift"])]
        row += [interval, i["p"], percent(i["threshold"]), percent(i["detectable"])]
        rows.append(row + [i["pairs"], i["dropped"], verdict])
    table = report.Table(columns, rows, align="lrrrrrrrrrl")
    text = "Times are the least of one measured region; the verdict is by pairs, not by these."
    return report.Section("Time", text, table, forest(mine))


def forest(mine):
    """Each row's shift with its interval, and the threshold as a mark."""
    shown = [i for i in mine if i["kind"] == "alone" and math.isfinite(i["low"])]
    if not shown:
        return None
    shown.sort(key=lambda i: i["shift"])
    data = []
    for place, i in enumerate(shown):
        cells = [
            100 * math.expm1(i[k]) for k in ("shift", "low", "high", "threshold", "detectable")
        ]
        data.append([place, i["name"], *cells])
    script = (
        f"set yrange [-1:{len(shown)}]\nset xlabel 'head against base, %'\n"
        "set grid xtics\nset arrow from 0,graph 0 to 0,graph 1 nohead lc rgb '#888888'\n"
        "plot $data using 3:1:4:5:ytic(2) with xerrorbars lt 1 title 'shift, 95 % interval', "
        "$data using 6:1 with points lt 7 title 'blocks above', "
        "$data using 7:1 with points lt 6 title 'could see'"
    )
    return report.plot(script, {"data": data}, (760, 120 + 17 * len(shown)))


def behaviour_section(items):
    mine = of(items, "behaviour")
    if not mine:
        return None
    rows = [[i["name"], i["verdict"], i["seconds"], change(i)] for i in mine]
    table = report.Table(["step", "verdict", "seconds", "findings"], rows, align="llrl")
    return report.Section("Behaviour", table=table)


def sections(items, notes):
    made = [blocked_section(items)]
    if notes:
        made.append(report.Section("Notes", "\n".join(f"- {note}" for note in notes)))
    made += [behaviour_section(items), counts_section(items), time_section(items)]
    made.append(report.Section("How to read this", HOW))
    return [section for section in made if section]


# ---------------------------------------------------------------- JUnit


def junit(items, seconds, notes, verdict, why):
    """A suite per part, a case per row, for CI services. Inconclusive is `skipped`. A verdict without a row (nothing
    could be compared) is the only case of the suite gate.run."""
    suites = xml.Element("testsuites", name="gate", time=f"{seconds:.1f}")
    unsaid = verdict == "inconclusive" and not any(i["verdict"] == verdict for i in items)
    if verdict in ("error", "interrupted") or unsaid:
        kind = "skipped" if unsaid else "error"
        suite = xml.SubElement(suites, "testsuite", name="gate.run", tests="1", failures="0")
        suite.set("errors", str(int(not unsaid)))
        suite.set("skipped", str(int(unsaid)))
        case = xml.SubElement(suite, "testcase", classname="gate.run", name=verdict)
        said = report.printable(why or WORDS[verdict].lower())
        xml.SubElement(case, kind, message=said).text = said
    for part in ("behaviour", "counts", "time"):
        mine = of(items, part)
        rows = {}
        for item in mine:
            rows.setdefault(item["name"], []).append(item)
        worst = {
            n: next(v for v in ORDER if v in {i["verdict"] for i in r}) for n, r in rows.items()
        }
        suite = xml.SubElement(suites, "testsuite", name=f"gate.{part}", tests=str(len(rows)))
        suite.set("failures", str(sum(v == "regression" for v in worst.values())))
        suite.set("skipped", str(sum(v == "inconclusive" for v in worst.values())))
        suite.set("errors", "0")
        for name, found in rows.items():
            case = xml.SubElement(suite, "testcase", classname=f"gate.{part}", name=name)
            case.set("time", f"{sum(i.get('seconds', 0) for i in found):.1f}")
            bad = [i for i in found if i["verdict"] == worst[name]]
            said = report.printable("; ".join(f"{i['metric']}: {with_note(i)}" for i in bad))
            if worst[name] == "regression":
                xml.SubElement(case, "failure", message=said, type="regression").text = said
            elif worst[name] == "inconclusive":
                xml.SubElement(case, "skipped", message=f"inconclusive: {said}")
            elif any("note" in i for i in found):
                noted = [i for i in found if "note" in i]
                said = "; ".join(f"{i['metric']}: {with_note(i)}" for i in noted)
                xml.SubElement(case, "system-out").text = report.printable(said)
        if notes:
            xml.SubElement(suite, "system-out").text = report.printable("\n".join(notes))
    xml.indent(suites)
    return xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def summary(items, facts):
    made = dict(facts)
    for part in ("behaviour", "counts", "time"):
        for verdict in ("regression", "improvement", "inconclusive"):
            made[f"{part}_{verdict}"] = len(of(items, part, verdict))
    mine = [i for i in of(items, "time") if i["metric"] != "row"]
    made["pairs"] = sum(i["pairs"] for i in mine)
    made["pairs_dropped"] = sum(i["dropped"] for i in mine)
    made["rows"] = len({i["name"] for i in of(items, "counts") + mine})
    return made
