"""answers.py: what a benchmark run answers, in sentences with its own figures.

Used by page.py. A question for which rows are missing (a filter left them out) gets no
answer.
"""
from pagebox.bench import barriers
from pagebox.bench import behind
from pagebox.bench import subjects
from pagebox.bench.mailbox import OURS, MailboxParts, peer_words
from pagebox.bench.measures import ORDERS, TIMES, bare, ratio_text, time_text

USUAL_PAGES = 16  # the size that sentences speak of


class Watched:
    """A figure that notes when its time, or a ratio of it, is asked for: a sentence rests on it."""

    NOTED = {"ns", "limit", "ratios", "range", "low", "high", "samples", "best_peer"}

    def __init__(self, figures, noted):
        self._figures, self._noted = figures, noted

    def __getattr__(self, name):
        if name in self.NOTED:
            self._noted[self._figures.name] = self._figures
        return getattr(self._figures, name)


class WatchedRows:
    """Rows whose figures are watched."""

    def __init__(self, rows, noted):
        self._rows, self._noted = rows, noted

    def __getattr__(self, name):
        return getattr(self._rows, name)

    def watch(self, figures):
        return figures and Watched(figures, self._noted)

    @property
    def good(self):
        return {k: self.watch(f) for k, f in self._rows.good.items()}

    def get(self, name):
        return self.watch(self._rows.get(name))

    def of(self, operation, **wanted):
        return {k: self.watch(f) for k, f in self._rows.of(operation, **wanted).items()}

    def ranked(self, operation, **wanted):
        return [(k, self.watch(f)) for k, f in self._rows.ranked(operation, **wanted)]

    def orders(self, operation, threads):
        return {k: self.watch(f) for k, f in self._rows.orders(operation, threads).items()}


class Answers:
    """Sentences about the Rows of a run."""

    def __init__(self, rows):
        self.noted = {}
        self.rows = WatchedRows(rows, self.noted)

    def rested(self):
        """(sentence, the figures that it rests on) for each sentence."""
        for make in self.makers():
            self.noted.clear()
            text = make()
            if text:
                yield text, list(self.noted.values())

    def sentences(self):
        """Those that the rows of this run can answer."""
        return [text for text, _ in self.rested()]

    def makers(self):
        makers = (self.say_create, self.say_grow, self.say_touch, self.say_copy, self.say_life)
        makers += (self.say_growth, self.say_reuse, self.say_access, self.say_many)
        makers += (self.say_programs,)
        makers += (
            self.say_orders,
            self.say_sites,
            self.say_mailbox,
            self.say_peers,
            self.say_crowded,
            self.say_wake,
            self.say_spin,
            self.say_notify,
            self.say_storm,
            self.say_timeout,
            self.say_memcpy,
            self.say_fuzz,
            self.say_subjects,
            self.say_behind,
        )
        return makers

    def beside_bound(self, figures):
        """'700 ns (1.4x the bare call)'"""
        bound, ratio = figures.limit()
        if ratio is None:
            return time_text(figures.ns)
        return f"{time_text(figures.ns)} ({ratio_text(ratio)} the bare {bare(bound)})"

    def ends(self, operation, what):
        """Best, `reserve`, and worst of an operation at the usual size."""
        rank = self.rows.ranked(operation, pages=USUAL_PAGES)
        if len(rank) < 2:
            return None
        best, worst = rank[0], rank[-1]
        plain = dict(rank).get("reserve")
        middle = ""
        if plain and best[0] != "reserve" and worst[0] != "reserve":
            middle = f"; `reserve` {self.beside_bound(plain)}"
        return (
            f"{what}: least with `{best[0]}`, {self.beside_bound(best[1])}{middle}; most with "
            f"`{worst[0]}`, {self.beside_bound(worst[1])}."
        )

    def say_create(self):
        return self.ends("memory/create", f"**Creating** a memory of {USUAL_PAGES} pages")

    def say_grow(self):
        return self.ends(
            "memory/grow", f"**Growing** a written memory of {USUAL_PAGES} pages by one"
        )

    def say_touch(self):
        none = self.rows.of("memory/create_touch", pages=256, strategy="reserve")
        if len(none) < 3:
            return None
        base = none["no advice"]
        return (
            "**First touch** is what a new memory really costs: 256 pages (16 MiB), created and "
            f"written once, take {time_text(base.ns)} and {base.faults:,.0f} page faults; "
            f"populated by one call {time_text(none['populate'].ns)}; with huge pages advised "
            f"{time_text(none['huge pages'].ns)} and {none['huge pages'].faults:,.0f} faults."
        )

    def say_copy(self):
        copies, written = (
            self.rows.of(f"memory/{o}", pages=USUAL_PAGES) for o in ("copy", "copy_touch")
        )
        names = ("reserve", "image", "image, nothing written")
        if not all(n in copies and n in written for n in names):
            return None
        full, dirty, clean = (copies[n].ns for n in names)
        return (
            f"**Copying** {USUAL_PAGES} written pages takes {time_text(full)} with `reserve`. "
            f"`image` takes {time_text(clean)} when nothing was written since its last copy "
            f"({full / clean:.3g} times less) and {time_text(dirty)} when all was. If the copy "
            f"is then written whole: {time_text(written['reserve'].ns)}, "
            f"{time_text(written[names[2]].ns)} and {time_text(written['image'].ns)}."
        )

    def say_life(self):
        rank = self.rows.ranked("memory/life")
        bound = self.rows.get("bound/life/pages:1")
        if len(rank) < 2 or not bound:
            return None
        words = ", ".join(f"`{name}` {time_text(f.ns)}" for name, f in rank)
        return (
            f"**A short life** (create one page, write to four host pages, destroy): {words}. "
            f"The bare calls (map, protect, four faults, unmap): {time_text(bound.ns)}."
        )

    def say_growth(self):
        climb = "memory/grow_steps/strategy:{}/pages:1/to:16384/by:0"
        plain, rw, moves = (self.rows.get(climb.format(s)) for s in ("reserve", "reserve_rw", "move"))
        if not plain or not rw or not moves:
            return None
        return (
            f"**Growing on demand** from one page to 1 GiB, doubling: `reserve` {time_text(plain.ns)}, "
            f"`reserve_rw` {time_text(rw.ns)}; `move`, which copies, {time_text(moves.ns)}: reserve "
            "address space wherever there is some."
        )

    def say_reuse(self):
        pool = "memory/reuse/strategy:pool/reset:{}/pages:16"
        discard, keep = (self.rows.get(pool.format(reset)) for reset in ("discard", "keep"))
        if not discard or not keep:
            return None
        return (
            f"**The next tenant** of {USUAL_PAGES} written pages, who writes to all of them, pays "
            f"{time_text(discard.ns)} where a pool's slot gives them back and {time_text(keep.ns)} "
            f"where it keeps and zeroes them ({discard.ns / keep.ns:.2g} times less)."
        )

    def say_access(self):
        said = []
        for pages, size in ((1, "64 KiB"), (256, "16 MiB"), (16384, "1 GiB")):
            name = f"memory/access/strategy:reserve/pages:{pages}/pattern:random/check:"
            guard, compare = self.rows.get(name + "guard"), self.rows.get(name + "compare")
            if guard and compare:
                said.append(f"{size}: {time_text(guard.ns)} and {time_text(compare.ns)}")
        if not said:
            return None
        return (
            "**A load at random**, bounds by a guard page and by comparison: " + "; ".join(said) + "."
        )

    def say_many(self):
        said = []
        for key, words in (
            ("strategy:reserve", "`reserve`"),
            ("strategy:pool/reset:discard", "`pool discard`"),
            ("strategy:heap/allocator:glibc", "`heap glibc`"),
        ):
            one, two = (
                self.rows.get(f"memory/many/{key}/pages:1/memories:4/threads:{t}") for t in (1, 2)
            )
            if one and two:
                ratio = two.range()[0] / one.range()[0]
                said.append(f"{words} {time_text(one.range()[0])} and {time_text(two.range()[0])} ({ratio:.2g}{TIMES})")
        if not said:
            return None
        return (
            "**Two threads** in which memories come, grow and go, time a life in one thread and in "
            "two (0.5 would be perfect; the kernel's map lock stands between): "
            + "; ".join(said)
            + "."
        )

    def say_programs(self):
        said = []
        for f in self.rows.good.values():
            if f.operation != "bound/native":
                continue
            program = f.parameters["program"]
            names = [f"program/{program}/strategy:reserve/check:{c}" for c in ("guard", "compare")]
            ours = [self.rows.get(name) for name in names]
            if all(ours):
                guard, compare = (o.ns / f.ns for o in ours)
                said.append(f"`{program}` {guard:.2f} and {compare:.2f}")
        if not said:
            return None
        return (
            "**Real programs** through WebAssembly, times native, bounds by guard pages and by "
            "comparison: " + "; ".join(said) + "."
        )

    def say_orders(self):
        found = self.rows.orders("mailbox/enqueue", 1)
        if not {"chosen", "sc"} <= found.keys():
            return None
        chosen, rest = found["chosen"], []
        for table, figures in found.items():
            if table != "chosen":
                apart = figures.half[0] > chosen.half[1] or figures.half[1] < chosen.half[0]
                doubt = "" if apart else ", within the spread"
                difference = f"{figures.ns / chosen.ns - 1:+.0%}"
                rest.append(f"{ORDERS[table]} {time_text(figures.ns)} " f"({difference}{doubt})")
        made = (self.rows.facts.get("barriers") or {}).get("targets", {})
        counts = {
            target: [
                barriers.ordering(figures["tables"][table]["counts"]) for table in ("chosen", "sc")
            ]
            for target, figures in made.items()
        }
        why = ""
        if counts:
            words = ", ".join(f"{t} {c} \u2192 {sc}" for t, (c, sc) in counts.items())
            why = (
                " Instructions with an order in the code of mailbox and waiters, as chosen \u2192 all "
                f"SC: {words}. On x86-64 only a sequentially consistent store costs more than its "
                "weaker forms; the others show what a weaker processor would pay."
            )
        return (
            f"**Orders**: an enqueue takes {time_text(chosen.ns)} as chosen; "
            f"{'; '.join(rest)}.{why}"
        )

    def say_mailbox(self):
        rows = [
            self.rows.get(n)
            for n in (
                "mailbox/enqueue/orders:chosen/threads:1",
                "mailbox/drain/orders:chosen/threads:1",
            )
        ]
        add, lock = self.rows.get("bound/fetch_add/threads:1"), self.rows.get(
            "bound/lock/threads:1"
        )
        if not all(rows) or not add or not lock:
            return None
        text = (
            f"**The mailbox**: enqueue {time_text(rows[0].ns)} beside a bare fetch_add of "
            f"{time_text(add.ns)} and a bare uncontended lock of {time_text(lock.ns)}: it needs both, "
            "the lock as a move of the memory excludes it and as ids of one producer keep their order, "
            "the read-modify-write to signal a guest that may be parking, so "
            f"{time_text(add.ns + lock.ns)} is its own limit ({ratio_text(rows[0].ns / (add.ns + lock.ns))}). "
            f"A drain takes {time_text(rows[1].ns)} an id."
        )
        two = self.rows.get("mailbox/enqueue/orders:chosen/threads:2")
        pair = self.rows.get("bound/fetch_add/threads:2"), self.rows.get("bound/lock/threads:2")
        if two and all(pair):
            text += (
                f" Two producers at once: {two.spread_text()} an id at the 5th / 50th / 95th "
                f"percentile (fetch_add {pair[0].spread_text()}, lock {pair[1].spread_text()})."
            )
        return text

    def say_sites(self):
        """The accesses that cost most when they alone are made stronger."""
        found = [
            (site, figures, plain)
            for site, _, figures, plain in MailboxParts(self.rows).site_rows()
            if figures.interval[0] > plain.interval[1]
        ]
        if not self.rows.get("site/enqueue_drain/stronger:none"):
            return None
        if not found:
            return (
                "**One access stronger**: no single access made sequentially consistent costs more "
                "than the spread of its path."
            )
        words = ", ".join(
            f"`{site}` {time_text(figures.ns - plain.ns)} ({figures.ns / plain.ns - 1:+.0%} of its "
            "path)"
            for site, figures, plain in found[:4]
        )
        return f"**One access stronger**, made sequentially consistent alone, costs most at: {words}."

    def say_peers(self):
        """Ours beside the fastest peer, one thread, and what that one leaves out."""
        words = {"enqueue": "enqueue", "drain": "drain", "enqueue_drain": "enqueue and drain in turn"}
        said = []
        for operation, called in words.items():
            ours = self.rows.get(f"mailbox/{operation}/orders:chosen/threads:1")
            peer, ratio = ours.best_peer() if ours else (None, None)
            theirs = self.rows.get(peer) if peer else None
            if theirs:
                said.append(
                    f"{called} {time_text(ours.ns)} beside {time_text(theirs.ns)} "
                    f"({peer_words(peer)}, {ratio_text(ratio)})"
                )
        if not said:
            return None
        seed = self.rows.get("peer/enqueue/of:seed/threads:1")
        ours = self.rows.get("mailbox/enqueue/orders:chosen/threads:1")
        beside_seed = ""
        if seed and ours:
            beside_seed = (
                f" The seed's enqueue takes {time_text(seed.ns)}: "
                f"{ratio_text(seed.ns / ours.ns)} ours, as it asks the kernel each time."
            )
        return (
            f"**Mailbox or plain ring**, one thread: {'; '.join(said)}. The rings neither signal a "
            "parked consumer nor exclude moves of the memory: use one where threads of one process "
            f"hand pointers over and never park, the mailbox where the consumer is a guest.{beside_seed}"
        )

    def say_crowded(self):
        """Which of them to use with many producers, by the ring's state."""
        said = []
        for fill, where in (("low", "nearly empty"), ("high", "nearly full")):
            name = f"mailbox/contend/orders:chosen/producers:8/fill:{fill}"
            ours = self.rows.get(name)
            if not ours:
                continue
            peers = [(n, self.rows.all.get(n)) for n in ours.ratios if n.startswith("peer/")]
            good = [(n, f) for n, f in peers if f and f.ns is not None]
            ranked = sorted([(OURS, ours), *[(peer_words(n), f) for n, f in good]],
                            key=lambda pair: pair[1].range()[0])
            words = ", ".join(f"{who} {time_text(f.range()[0])}" for who, f in ranked)
            stuck = [peer_words(n) for n, f in peers if f and (f.skipped or "").startswith("gave up")]
            words += f" ({' and '.join(stuck)} stood still and gave up)" if stuck else ""
            said.append(f"ring {where}: {words}")
        if not said:
            return None
        return (
            "**Eight producers** on the cores there are, half of the batches, an id: "
            + "; ".join(said)
            + "."
        )

    def say_wake(self):
        said = []
        for cores, where in ((2, "on two cores"), (1, "on one core")):
            trip = self.rows.get(f"wait/round_trip/via:pagebox/cores:{cores}")
            futex, condvar = (
                self.rows.get(f"bound/round_trip/via:{v}/cores:{cores}")
                for v in ("futex", "condvar")
            )
            if trip and futex and condvar:
                said.append(
                    f"{where} {trip.spread_text()}, a bare futex {futex.spread_text()}, a "
                    f"condition variable {condvar.spread_text()}"
                )
        if not said:
            return None
        return (
            "**Wait and notify**, there and back between two threads, at the 5th / 50th / 95th "
            "percentile: " + "; ".join(said) + "."
        )

    def say_spin(self):
        park = self.rows.get("wait/round_trip/via:pagebox/cores:2")
        spin = self.rows.get("wait/round_trip/via:pagebox_spin/cores:2")
        if not park or not spin or not spin.samples or not park.samples:
            return None
        middle, far = (park.samples[q] / spin.samples[q] for q in ("q50", "q95"))
        advice = (
            "spin before you park where the answer comes within some 10 \u00b5s from another core"
            if middle > 1.5 and far > 1
            else "it pays at the middle, but not at the far end: park where cores are shared"
            if middle > 1.5
            else "it does not pay here: park at once"
        )
        return (
            f"**Spin before parking?** Half of the round trips take {time_text(spin.samples['q50'])} "
            f"in place of {time_text(park.samples['q50'])}, 95 % of them "
            f"{time_text(spin.samples['q95'])} in place of {time_text(park.samples['q95'])}: {advice}."
        )

    def say_storm(self):
        ours, futex, condvar = (
            self.rows.get(f"{n}/waiters:8")
            for n in ("wait/storm/via:pagebox", "bound/storm/via:futex", "bound/storm/via:condvar")
        )
        if not ours or not futex or not condvar:
            return None
        return (
            f"**Waking eight at once**, until the last one runs, 5 / 50 / 95 %: {ours.spread_text()}; "
            f"one futex call {futex.spread_text()}; a condition variable {condvar.spread_text()}. Ours "
            "wakes them one by one, in the order in which they came."
        )

    def say_timeout(self):
        ours, futex = (
            self.rows.get(f"{n}/timeout_us:0")
            for n in ("wait/timeout/via:pagebox", "bound/timeout/via:futex")
        )
        if not ours or not futex:
            return None
        return (
            f"**A timeout of 0** takes {time_text(ours.range()[0])}; the futex call with a timeout of "
            f"0 takes {time_text(futex.range()[0])}, as the kernel sleeps for its timer slack."
        )

    def say_notify(self):
        none, wake = self.rows.get("wait/notify_none"), self.rows.get("bound/futex_wake")
        if not none or not wake:
            return None
        calls = " without a system call" if none.calls == {} else ""
        return (
            f"**Notify with nobody there** takes {time_text(none.ns)}{calls}; the bare futex "
            f"wake that it stands for takes {time_text(wake.ns)}."
        )

    def say_memcpy(self):
        found = {
            int(f.parameters["offset"]): f
            for f in self.rows.good.values()
            if f.operation == "bound/memcpy"
        }
        if 0 not in found or len(found) < 2:
            return None
        worst = max(found.values(), key=lambda f: f.ns)
        factor = worst.ns / found[0].ns
        if factor < 1.5:
            return (
                "**memcpy** of 256 KiB takes the same at every offset here (worst "
                f"{factor:.2g}{TIMES})."
            )
        return (
            f"**memcpy** of 256 KiB takes {time_text(found[0].ns)} between page-aligned places "
            f"and {time_text(worst.ns)} at offset {worst.parameters['offset']} modulo 4,096 "
            f"({factor:.0f} times more): compare copies at equal alignment only."
        )

    def say_fuzz(self):
        ours = self.rows.get("fuzz/execution/target:memory_fuzzer")
        if not ours or ours.limit()[1] is None:
            return None
        bare_loop, share = self.rows.get(ours.limit()[0]), 1 / ours.limit()[1]
        return (
            f"**One execution of memory_fuzzer**, without sanitizers: {time_text(ours.ns)}, "
            f"{1e9 / ours.ns:,.0f} a second, is {ratio_text(ours.limit()[1])} a bare loop of the same "
            f"system calls and touched pages ({time_text(bare_loop.ns)}), so it reaches {share:.0%} of "
            "the bare loop's rate; the aim is half."
        )

    def say_subjects(self):
        """Other people's code beside the reference, at the usual size."""
        said = {}
        for operation, lines in subjects.tables(self.rows).items():
            for (of, strategy), sizes in lines.items():
                usual = lines.get(("reference", "reserve" if strategy else ""), {})
                size = USUAL_PAGES if USUAL_PAGES in sizes else min(sizes)
                if of != "reference" and size in usual:
                    ratio = ratio_text(sizes[size].ns / usual[size].ns)
                    called = operation.split("/")[1].replace("_", " ")
                    words = f"{called} {time_text(sizes[size].ns)} ({ratio})"
                    said.setdefault(" ".join(filter(None, (of, strategy))), []).append(words)
        if not said:
            return None
        lines = "; ".join(f"`{of}`: {', '.join(words)}" for of, words in said.items())
        return f"**Subjects**, and how many times the reference's time that is: {lines}."

    def say_behind(self):
        return behind.sentence(self.rows)
