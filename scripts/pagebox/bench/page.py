"""page.py: the report of a benchmark run: sentences, plots, tables, and the conditions of the run.

Used by bench.py. The figures come from measures.py, the sentences from answers.py, the plots from plots.py; this
file arranges them.
"""
import re

from pagebox.bench import behind
from pagebox.bench import compare
from pagebox.bench import answers
from pagebox.bench import barriers
from pagebox.bench import sections
from pagebox.common import report
from pagebox.bench.cells import duration, times
from pagebox.bench.measures import QUIET_LEAST, TIMES, Rows, figures_of


# ---------------------------------------------------------------- the report


def title_of(text):
    """The subject of a sentence: its words in bold."""
    found = re.search(r"\*\*(.+?)\*\*", text)
    return found.group(1) if found else text.partition(":")[0]


class Report:
    """The contents of a run's report. Parts without rows are left out."""

    def __init__(self, facts, rows, crashes, quick=False, pattern=None):
        self.rows = Rows(facts, rows, crashes)
        self.quick, self.pattern = facts.get("quick", quick), facts.get("filter", pattern)

    def lead(self, status):
        rounds = self.rows.facts.get("rounds")
        words = (
            f"{len(self.rows.good)} rows in {rounds} rounds of fresh processes, "
            f"{self.rows.measured:,} measurements."
        )
        if status == "interrupted":
            words = (
                f"Interrupted: what was measured until then, {self.rows.measured:,} measurements "
                f"of {len(self.rows.good)} rows."
            )
        if self.pattern:
            words += f" Only rows that match `{self.pattern}`, and what bounds them."
        return words + (" Quick: fewer sizes and rounds." if self.quick else "")

    def summary(self):
        noisy = sum(f.noisy for f in self.rows.good.values())
        skipped = sum(bool(f.skipped) for f in self.rows.all.values()) - len(self.rows.crashes)
        numbers = {"rows": len(self.rows.good), "measurements": self.rows.measured}
        numbers |= {"disturbed": self.rows.disturbed, "noisy": noisy}
        numbers |= {"skipped": skipped, "crashed": len(self.rows.crashes)}
        return numbers | behind.summary(self.rows)

    def items(self):
        return [figures.item() for figures in self.rows.all.values()]

    def sections(self):
        parts = [*self.answers(), behind.section(self.rows), *sections.sections(self.rows)]
        parts += [self.machine_code(), self.tuned()]
        parts += [self.left_out(), self.method(), self.environment(), self.every_row()]
        return [part for part in parts if part]

    def answers(self):
        """The first screen: five sentences with their figures, then how noisy the machine was."""
        told, swallowed = {True: [], False: []}, []
        for text, rests_on, first in self.rested():
            noisy = [f for f in rests_on if f.noisy]
            if noisy:
                swallowed.append(f"{title_of(text)} ({len(noisy)} of {len(rests_on)} rows)")
                continue
            widest = max((f.width for f in rests_on if f.width), default=None)
            within = f", intervals within {100 * widest:.0f} % of their medians" if widest else ""
            rows = f" (Rests on {report.counted(len(rests_on), 'row')}{within}.)" if rests_on else ""
            told[first].append(f"- {text}{rows}")
        nothing = "Noise swallowed every answer." if swallowed else "No row ran that answers a question."
        first, more = (told[True], told[False]) if told[True] else (told[False], [])
        made = [report.Section("Answers", "\n".join(first) or nothing), self.noise(swallowed)]
        if more:
            made.append(report.Section("More answers", "\n".join(more)))
        return made

    def rested(self):
        """The program's sentences, and those about all rows: (sentence, figures, whether it is on the first screen)."""
        yield from answers.rested(self.rows)
        whole = (barriers.sentence(self.rows.facts.get("barriers") or {}), behind.sentence(self.rows))
        yield from ((text, [], False) for text in whole if text)

    def noise(self, swallowed):
        """How far the rows' figures can be trusted."""
        good = list(self.rows.good.values())
        if not good:
            return None
        noisy = [f for f in good if f.noisy]
        text = (
            f"{len(noisy)} of {report.counted(len(good), 'row')} are noisy: the interval of their median is wider than a "
            "fifth of it. They are marked `~`."
        )
        if self.rows.disturbed:
            text += (
                f" {self.rows.disturbed} of {report.counted(self.rows.measured, 'measurement')} were disturbed: a fixed piece "
                "of work just before or after took more than a tenth longer than in the run's fastest tenth. They are "
                f"left out where a row has {QUIET_LEAST} others."
            )
        if self.is_swallowed():
            text += " That is more than half: the machine was too busy for a verdict on times. Counts (page faults, system calls) are exact all the same."
        if swallowed:
            text += f"\n\nNot quoted, because they rest on such rows: {'; '.join(swallowed)}."
        return report.Section("How noisy the machine was", text)

    def is_swallowed(self):
        good = self.rows.good.values()
        return sum(f.noisy for f in good) > len(good) / 2

    def judged(self, status):
        """A run that is too noisy passes nothing."""
        return "inconclusive" if status == "pass" and self.is_swallowed() else status

    # ---- the rest

    def machine_code(self):
        found = self.rows.facts.get("barriers") or {}
        inner = barriers.sections(found) if found.get("targets") else []
        return report.Section("What orders become in machine code", sections=inner) if inner else None

    def tuned(self):
        """Changes in ref/ that such figures led to: before and after, measured in this run."""
        rows = []
        for entry in self.rows.facts.get("tuned") or []:
            sides = [figures_of({"bounds": {}}, side, {}) for side in entry["rows"]]
            sides = [{n: f for n, f in side.items() if f.ns is not None} for side in sides]
            items = compare.compare(*sides, paired=True)
            words = [f"{entry['words']} (since {entry['revision']})"]
            if not items:
                rows.append([*words, entry.get("missing", "no row of that name"), *[None] * 5])
            for item in items:
                rows.append([*words, *compare.item_row(item)])
        if not rows:
            return None
        text = (
            "`ref/` as it was and as it is, both with today's benchmarks, in turn. After to before: "
            "below 1 it became faster."
        )
        columns = ["what was tuned", "row", "before", "after", "after to before", "interval", "verdict"]
        return report.Section("Tuned because of such figures", text, report.Table(columns, rows, "llrrrll"))

    def left_out(self):
        rows = [[f.name, f.skipped] for f in self.rows.all.values() if f.skipped]
        if not rows:
            return None
        return report.Section(
            "Left out", "Rows without a figure, and why.", report.Table(["row", "why"], rows, "ll")
        )

    def method(self):
        facts = self.rows.facts
        calls = "System calls are counted by a tracer in a pass of its own: exact, one thread only."
        if facts.get("calls_missing"):
            calls = f"System calls are not counted in this run: {facts['calls_missing']}."
        pilot = (
            "A pilot round warmed up files and caches and measured the cost of each row, from which each "
            "row's share of the time follows. "
        )
        extra = facts.get("extra_rounds")
        if extra:
            pilot += f"Rows whose interval was still wide ran up to {extra} times more. "
        text = (
            f"Each row ran in {facts.get('rounds')} rounds, each time in a fresh process. {pilot}The "
            f"order was shuffled for each round (seed {facts.get('seed')}). Rows that are compared ran "
            "close together, so that other load on the machine affects them alike. A figure is the median "
            "of its rounds. Its interval has two rounds as its ends and contains the true median in 95 of "
            "100 runs (with fewer than six rounds: the least and the greatest round, in fewer runs). A "
            "round is left out only if a fixed piece of work next to the row ran slowly and there are "
            f"{QUIET_LEAST} other rounds. Ratios are medians of the rounds' own ratios. Threads that share a row are "
            "pinned to separate cores, as the rows say. If the kernel preempted a row of one thread while "
            "it was measured, its processor time counts. Page faults are the kernel's exact count over "
            f"the measured parts. {calls}"
        )
        where = (
            "What a row measures, and how to read it, is in `bench/README.md`; the raw rows are "
            "in `raw/rows.jsonl`, and `scripts/bench.py --from=FOLDER` derives this page from "
            "them again."
        )
        return report.Section("How it was measured", f"{text}\n\n{where}")

    def environment(self):
        context = self.rows.facts.get("context") or {}
        caches = [
            f"L{c['level']} {c['type']} {c['size'] // 1024} KiB" for c in context.get("caches", [])
        ]
        rows = [
            ["compiler", context.get("compiler")],
            ["flags", context.get("flags")],
            [
                "allocators",
                f"glibc {context.get('glibc')}, jemalloc "
                f"{context.get('jemalloc', '').split('-')[0]}",
            ],
            ["caches", ", ".join(caches)],
            ["load at the start", ", ".join(f"{x:.2f}" for x in context.get("load_avg", []))],
            ["Google Benchmark", f"calls itself a {context.get('library_build_type')} build"],
        ]
        text = (
            "Debian's Google Benchmark says `debug` whatever it is: a known quirk of its "
            "package. The measured loops are ours."
        )
        return report.Section(
            "Environment of the program", text, report.Table(["", ""], rows, "ll")
        )

    def every_row(self):
        rows = []
        for f in self.rows.good.values():
            low, high, _ = f.interval
            rows.append(
                [
                    f.name,
                    duration(f),
                    duration(ns=low),
                    duration(ns=high),
                    duration(ns=f.high),
                    f.outliers,
                    times(f.limit()[1]),
                    times(f.best_peer()[1]),
                    f.shown_faults(),
                    f.calls_text(),
                ]
            )
        columns = ["row", "median", "from", "to", "greatest", "outliers", f"{TIMES} limit"]
        columns += [f"{TIMES} best peer", "faults", "system calls"]
        text = (
            "`from` and `to`: the interval of the median. An outlier is a round outside the middle half of "
            "the rounds by more than 1.5 times that half's width; figures include outliers."
        )
        return report.Section("Every row", text, report.Table(columns, rows, "lrrrrrrrrl"))
