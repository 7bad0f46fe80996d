"""mailbox.py: the parts of a benchmark report on mailbox, orders, waits and wake-ups.

Used by page.py. A part for which there are no rows is left out.
"""
import re

from pagebox.bench import barriers
from pagebox.common import report
from pagebox.bench.cells import duration, percent, times
from pagebox.bench.measures import ORDERS, TIMES, bare
from pagebox.bench.plots import plot_bars, plot_orders, plot_producers, plot_wakes

MAILBOX = {
    "mailbox/enqueue": "enqueue",
    "mailbox/drain": "drain",
    "mailbox/enqueue_drain": "enqueue, drain, in turn",
    "mailbox/stream": "stream to another thread",
}
# Peers, as tables and plots call them.
PEERS = {
    "seed": "the seed's",
    "ck": "CK ring, many producers",
    "ck_signal": "CK ring and a flag",
    "ck_spsc": "CK ring, one producer",
    "urcu_wfcq": "liburcu wfcqueue",
    "dpdk": "DPDK rte_ring",
    "dpdk_signal": "DPDK rte_ring and a flag",
    "v8": "V8, from JavaScript",
}
OURS = "this mailbox"
# What is shared with the peers: rest of the row's name, in words.
SHARED = {
    "enqueue{}/threads:1": "enqueue",
    "drain{}/threads:1": "drain",
    "enqueue_drain{}/threads:1": "enqueue, drain, in turn",
    "stream{}/threads:2": "stream to another thread",
    "enqueue{}/threads:2": "two producers at once",
}
PRODUCERS = (1, 2, 4, 8)


def shared_rows(rows, pattern):
    """Who -> figures of one operation: ours first, then the peers that have it."""
    found = {OURS: rows.get("mailbox/" + pattern.format("/orders:chosen"))}
    found |= {w: rows.get("peer/" + pattern.format(f"/of:{p}")) for p, w in PEERS.items()}
    return {who: figures for who, figures in found.items() if figures}


def peer_words(name):
    """What a peer's row is called in a table."""
    found = re.search(r"/of:(\w+)", name or "")
    return PEERS.get(found.group(1), found.group(1)) if found else None


def limit_cells(rows, figures):
    """limit, its time, our ratio; best peer, its time, our ratio"""
    limit, to_limit = figures.limit()
    peer, ratio = figures.best_peer()
    cells = [bare(limit) if limit else None, duration(rows.get(limit)) if rows.get(limit) else None]
    cells += [times(to_limit), peer_words(peer)]
    return cells + [duration(rows.get(peer)) if rows.get(peer) else None, times(ratio)]


LIMIT_COLUMNS = ["limit", "takes", f"{TIMES} limit", "best peer", "takes", f"{TIMES} peer"]


class MailboxParts:
    """Sections made of the Rows of a run."""

    def __init__(self, rows):
        self.rows = rows

    def sections(self):
        return [part for part in (self.peers(), self.mailbox(), self.waits()) if part]

    # ---- peers

    def peers(self):
        inner = [self.contention(fill) for fill in ("low", "high")]
        groups = {words: shared_rows(self.rows, p) for p, words in SHARED.items()}
        groups = {words: found for words, found in groups.items() if len(found) > 1}
        if not groups and not any(inner):
            return None
        cells = [
            [words, duration(found[OURS]), *limit_cells(self.rows, found[OURS])]
            for words, found in groups.items()
            if OURS in found
        ]
        table = report.Table(["operation", OURS, *LIMIT_COLUMNS], cells, "lrlrrlrr")
        text = (
            "The same loops around each, time an id. They do different amounts of work: this "
            "mailbox keeps its words in guest memory, checks for room against a guest that is not "
            "trusted, signals a guest that may be parked, and excludes enqueues while the memory "
            "moves. Concurrency Kit's rings and DPDK's hand pointers over within one process, "
            "without signal; liburcu's is a list of nodes that the caller brings, without bounds. "
            "The seed's makes a system call an enqueue, and loses ids when its 256 slots are full."
        )
        svg = plot_bars(groups, "One id, by who hands it over: median") if groups else None
        rest = [self.peer_table(groups), *inner]
        return report.Section(
            "Mailbox beside its peers", text, table, svg, sections=[s for s in rest if s]
        )

    def peer_table(self, groups):
        """Every figure behind the plot."""
        who = [w for w in (OURS, *PEERS.values()) if any(w in found for found in groups.values())]
        cells = [[words, *[duration(f.get(w)) for w in who]] for words, f in groups.items()]
        if not cells:
            return None
        table = report.Table(["operation", *who], cells, "l" + "r" * len(who))
        return report.Section("Each of them", "Medians, time an id.", table)

    def contention(self, fill):
        """Time an id against the number of producers, ours, peers, and the limit."""
        lines = {}
        for count in PRODUCERS:
            pattern = f"contend{{}}/producers:{count}/fill:{fill}"
            for who, figures in shared_rows(self.rows, pattern).items():
                lines.setdefault(who, {})[count] = figures
            for what, words in (("fetch_add", "bare fetch_add"), ("lock", "bare lock")):
                limit = self.rows.get(f"bound/{what}/threads:{count}")
                if limit:
                    lines.setdefault(words, {})[count] = limit
        if OURS not in lines:
            return None
        cells = []
        for who, points in lines.items():
            cells.append([who, *[duration(points.get(count)) for count in PRODUCERS]])
        cells += self.contention_orders(fill)
        beside = [
            [f"{count} producers" if count > 1 else "1 producer", duration(f), *limit_cells(self.rows, f)]
            for count, f in sorted(lines[OURS].items())
        ]
        ratios = report.Table(["", OURS, *LIMIT_COLUMNS], beside, "lrlrrlrr")
        text = (
            "Ring nearly empty: room for all ids of a batch, drained all the time."
            if fill == "low"
            else "Ring nearly full: 256 slots, drained only after a producer was refused."
        )
        text += (
            " Producers have the cores in turn and share the first with the consumer; with more "
            "threads than cores whoever finds nothing to do gives its core away. Half of the batches "
            "took at most so long an id. A queue whose producers wait for each other's turn in a loop "
            "can then stand still until the kernel runs the right one: such a row gives up and is "
            "under `Left out`."
        )
        columns = ["", *[f"{n} producer{'s' * (n > 1)}" for n in PRODUCERS]]
        title = f"Several producers, ring nearly {'empty' if fill == 'low' else 'full'}"
        svg = plot_producers(lines, f"{title}: time an id, half of the batches")
        table = report.Table(columns, cells, "lrrrr")
        inner = [report.Section("Beside limit and best peer", "", ratios)]
        return report.Section(title, text, table, svg, sections=inner)

    def contention_orders(self, fill):
        """Lines of the other order tables, for the same table."""
        cells = []
        for table, words in ORDERS.items():
            if table != "chosen":
                names = [f"mailbox/contend/orders:{table}/producers:{n}/fill:{fill}" for n in PRODUCERS]
                found = [self.rows.get(name) for name in names]
                if any(found):
                    cells.append([f"{OURS}, orders {words}", *[duration(f) for f in found]])
        return cells

    # ---- orders

    def mailbox(self):
        inner = [s for threads in (1, 2) if (s := self.threads(threads))]
        inner += [s for s in [self.sites()] if s] + self.barriers()
        text = (
            "The same code, four tables of memory orders: as chosen in `ref/orders.h`; every "
            "access sequentially consistent; acquire and release wherever they fit; the seed's. "
            "Tables other than the chosen one are measured for their cost: they are not "
            "correct, or not known to be. Wall time an id, of both producers together where "
            "there are two. Each operation stands beside a bare fetch_add and a bare lock and "
            "unlock in as many threads; a drain beside a bare walk over the slots."
        )
        return report.Section("Mailbox, by order table", text, sections=inner) if inner else None

    def threads(self, threads):
        groups, rows = [], []
        for operation, words in MAILBOX.items():
            found = self.rows.orders(operation, threads)
            rows += [self.row(words, t, f) for t, f in found.items()]
            if found:
                groups.append((words, found))
        if not groups:
            return None
        title, text = "One thread", ""
        heading = "One thread: median, from the least round to the greatest"
        columns = ["operation", "orders", "ns an id", "least", "greatest"]
        if threads == 2:
            title = "Two threads, each on its own core"
            text = self.two_threads_text()
            heading = "Two threads: median and middle half of the batches"
            columns = ["operation", "orders", "half", "5 %", "95 %"]
        columns += ["bare", "time", f"{TIMES} bare", "lock", f"{TIMES} lock"]
        table = report.Table(columns, rows, "llrrrlrrrr")
        return report.Section(title, text, table, plot_orders(groups, heading))

    def two_threads_text(self):
        text = (
            "Two producers at once, or one producer and the guest. By batches of some thousand "
            "ids: half of the batches took at most so many ns an id, 5 % and 95 % of them stand "
            "beside. Such times spread widely on shared machines; where the ranges overlap "
            "there is no difference to see."
        )
        stream = self.rows.get("mailbox/stream/orders:chosen/threads:2")
        if stream and stream.drains:
            text += (
                f" In the stream the guest drained {stream.drains:.2g} times an id: near 1 it is "
                "faster than the producer, and each id crosses between the cores alone."
            )
        return text

    def row(self, words, table, figures):
        """operation, orders, middle, low, high; the bare call, its time, ratio; the lock, ratio"""
        found = [(n, r) for n, r in figures.ratios.items() if n.startswith("bound/")][:2]
        cells = [bare(found[0][0])] if found else [None]
        for bound, ratio in found:
            cells += [duration(self.rows.get(bound)), times(ratio)]
        cells += [None] * (5 - len(cells))
        middle, low, high = figures.range()
        noisy = " ~" if figures.noisy and not figures.samples else ""
        return [words, ORDERS[table], f"{middle:.3g}{noisy}", round(low, 1), round(high, 1), *cells]

    def site_rows(self):
        """(site, path, figures, figures of the path as chosen): first those whose intervals lie
        apart, the dearest first."""
        found = []
        for figures in self.rows.good.values():
            match = re.fullmatch(r"site/(\w+)/stronger:(\w+)", figures.name)
            if match and match.group(2) != "none":
                plain = self.rows.get(f"site/{match.group(1)}/stronger:none")
                if plain and figures.bound() in figures.ratios and figures.ratios[plain.name]:
                    found.append((match.group(2), match.group(1), figures, plain))
        apart = lambda one: one[2].interval[0] > one[3].interval[1]
        more = lambda one: (one[2].ratios[one[3].name] - 1) * one[3].ns
        return sorted(found, key=lambda one: (not apart(one), -more(one)))

    def sites(self):
        rows = []
        made = (self.rows.facts.get("barriers") or {}).get("targets", {}).get("x86-64", {})
        for site, path, figures, plain in self.site_rows():
            ratio = figures.ratios[plain.name]
            code = made.get("sites", {}).get(site)
            rows.append(
                [
                    site,
                    path,
                    duration(plain),
                    duration(figures),
                    duration(ns=(ratio - 1) * plain.ns) if ratio > 1 else "none",
                    percent(ratio - 1),
                    barriers.change_text(code) if code else None,
                ]
            )
        if not rows:
            return None
        text = (
            "Each access of the chosen table made sequentially consistent alone, on a path through "
            "it. Where the machine code is the same, a difference is noise: it shows how much noise "
            "there is. Sites that no single thread passes have no row here: `Left out` says which, and why."
        )
        columns = ["site", "path", "as chosen", "alone SC", "more", "", "code on x86-64"]
        return report.Section("What each site costs", text, report.Table(columns, rows, "llrrrrl"))

    def barriers(self):
        found = self.rows.facts.get("barriers") or {}
        return barriers.sections(found) if found.get("targets") else []

    # ---- waits

    def waits(self):
        inner = []
        for cores, where in ((2, "two cores"), (1, "one core")):
            trips = self.sampled(
                "round_trip",
                cores,
                f"wait/round_trip/via:pagebox/cores:{cores}",
                f"wait/round_trip/via:pagebox_spin/cores:{cores}",
            )
            v8 = self.rows.get("peer/round_trip/of:v8")
            trips += [(PEERS["v8"], v8)] if v8 and trips and cores == 2 else []
            if trips:
                text = (
                    f"There and back between two threads on {where}; each sleeps while it is the "
                    "other's turn."
                )
                if cores == 2:
                    text += (
                        " `spin, then` tries for some 10 \u00b5s before it sleeps. V8's threads are "
                        "placed by the scheduler, which may put both on one core: another kind of "
                        "caller, for orientation."
                    )
                title = f"Round trip on {where}"
                inner.append(self.distribution(title, text, f"{title}: distribution", trips))
        wakes = self.sampled(
            "wake",
            2,
            "mailbox/wake/orders:chosen/cores:2",
            "mailbox/signal/orders:chosen/cores:2",
            "wait/wake/via:pagebox/cores:2",
        )
        if wakes:
            text = (
                "From before the send to the first instruction of the thread that slept, on "
                "another core."
            )
            title = "One wake-up of a sleeping thread"
            inner.append(self.distribution(title, text, f"{title}: distribution", wakes))
        inner += [s for s in (self.crowds(), self.timeouts(), self.single_waits()) if s]
        text = (
            "Times between threads are distributions, not numbers: compare quantiles, and only "
            "by factors. The threads are kept on their cores; where the scheduler places them "
            "freely it mixes these cases."
        )
        return report.Section("Wait and notify", text, sections=inner) if inner else None

    def sampled(self, what, cores, *ours):
        words = {
            "wait/round_trip/via:pagebox/": "wait and notify",
            "wait/round_trip/via:pagebox_spin/": "spin, then wait and notify",
            "wait/wake/via:pagebox/": "wait and notify",
            "mailbox/wake/": "mailbox, parked guest",
            "mailbox/signal/": "mailbox, waiting host",
        }
        name_of = lambda name: next(w for start, w in words.items() if name.startswith(start))
        found = [(name_of(n), self.rows.get(n)) for n in ours]
        for via, called in (
            ("futex", "bare futex"),
            ("futex_spin", "spin, then bare futex"),
            ("condvar", "condition variable"),
            ("spin", "spinning"),
        ):
            found.append((called, self.rows.get(f"bound/{what}/via:{via}/cores:{cores}")))
        return [(name, f) for name, f in found if f and f.samples]

    def distribution(self, title, text, heading, rows):
        shown = ("q01", "q05", "q25", "q50", "q75", "q95", "q99")
        cells = [
            [
                name,
                *[duration(ns=f.samples[q]) for q in shown],
                f.middles_text(),
                *self.wait_ratios(f),
            ]
            for name, f in rows
        ]
        columns = ["by", "1 %", "5 %", "25 %", "half", "75 %", "95 %", "99 %", "half, by round"]
        columns += [f"{TIMES} futex", f"{TIMES} condvar", f"{TIMES} peer"]
        return report.Section(
            title, text, report.Table(columns, cells, "lrrrrrrrrrrr"), plot_wakes(heading, rows)
        )

    def wait_ratios(self, figures):
        found = [(re.search(r"via:(\w+)", name), r) for name, r in figures.ratios.items()]
        by = {match.group(1): r for match, r in found if match}
        peer = figures.best_peer()[1]
        return [times(by.get("futex", by.get("futex_spin"))), times(by.get("condvar")), times(peer)]

    def by_via(self, operation, key, values, words):
        """Cells of ours, futex and condition variable for each value, with ratios."""
        cells = []
        for value in values:
            ours = self.rows.get(f"wait/{operation}/via:pagebox/{key}:{value}")
            pair = [self.rows.get(f"bound/{operation}/via:{v}/{key}:{value}") for v in ("futex", "condvar")]
            if ours and all(pair):
                cells.append(
                    [
                        words.format(value),
                        *[f.spread_text() for f in (ours, *pair)],
                        *self.wait_ratios(ours)[:2],
                    ]
                )
        return cells

    def crowds(self):
        cells = self.by_via("notify", "waiters", (0, 1, 8), "the call, {} waiting")
        cells += self.by_via("storm", "waiters", (8,), "until the last of {} runs")
        if not cells:
            return None
        text = (
            "One notify of all who wait on a word, from none to a crowd on all cores: the time of "
            "the call itself, and until the last one runs; 5 % / half / 95 %. The rule that waiters "
            "wake in the order in which they came costs a system call for each of them; a bare "
            "futex wakes all by one."
        )
        columns = ["what", "notify", "bare futex", "condition variable", f"{TIMES} futex"]
        table = report.Table([*columns, f"{TIMES} condvar"], cells, "lrrrrr")
        return report.Section("Waking a crowd", text, table)

    def timeouts(self):
        cells = self.by_via("timeout", "timeout_us", (0, 100), "timeout of {} \u00b5s")
        if not cells:
            return None
        text = (
            "How much later than asked a wait ends that nobody wakes: 5 % / half / 95 %. The kernel "
            "adds some 50 \u00b5s of slack to any sleep, also to one whose time has come already; a "
            "timeout of 0 does not sleep here. A wait that ends early would be left out with that "
            "reason."
        )
        columns = ["what", "wait", "bare futex", "condition variable", f"{TIMES} futex"]
        table = report.Table([*columns, f"{TIMES} condvar"], cells, "lrrrrr")
        return report.Section("Timeouts", text, table)

    def single_waits(self):
        words = {
            "wait/notify_none": "notify, nobody waits",
            "wait/not_equal": "wait, the value differs",
        }
        rows = []
        for figures in filter(None, map(self.rows.get, words)):
            for other, ratio_here in figures.ratios.items():
                beside = self.rows.get(other)
                rows.append(
                    [
                        words[figures.name],
                        duration(figures),
                        peer_words(other) or bare(other),
                        duration(beside) if beside else None,
                        times(ratio_here),
                        figures.calls_text(),
                    ]
                )
        if not rows:
            return None
        columns = ["what", "time", "beside", "takes", f"{TIMES} that", "system calls"]
        return report.Section("Without a wake-up", "", report.Table(columns, rows, "lrlrrl"))
