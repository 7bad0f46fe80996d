"""screen.py: the progress of a fuzz run: one screen on a terminal, plain lines elsewhere."""
import shutil
import sys
import time

from pagebox.common import report

REDRAW_S = 0.5
CLEAR = "\x1b[H\x1b[J"  # cursor home, clear the rest
ALTERNATE, BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # the alternate screen without cursor, and back


def clock(seconds):
    minutes, seconds = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


class View:
    """Call update() as often as you like; done() gives the terminal back."""

    COLUMNS = ("target", "engine", "state", "executions", "a second", "edges", "inputs", "fed", "stability",
               "findings")

    def __init__(self, total_s, what):
        self.total_s, self.what = total_s, what
        self.began, self.drawn = time.monotonic(), 0.0
        self.live = report.is_screen(sys.stderr) and report.is_screen(sys.stdout)
        self.progress = None if self.live else report.Progress(total_s)
        if self.live:
            sys.stderr.write(ALTERNATE)

    def row(self, item, store):
        names = store.of(item.target, item.engine)
        return (item.target.removesuffix("_fuzzer"), item.engine, item.state(), f"{item.executions:,}",
                f"{item.rate():,.0f}", f"{item.edges:,}" if item.edges else "", f"{item.corpus_inputs:,}",
                f"{item.fed:,}" if item.fed else "",
                f"{item.stability:.2f} %" if item.stability is not None else "", str(len(names) or ""))

    def screen(self, items, store):
        """The lines of one screen, cut to the size of the terminal."""
        width, height = shutil.get_terminal_size()
        gone = time.monotonic() - self.began
        lines = [f"make fuzz   {self.what}",
                 f"{clock(gone)} gone, {clock(self.total_s - gone)} left"
                 f"   control-C ends it with the report", ""]
        rows = [self.COLUMNS] + [self.row(item, store) for item in items]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.COLUMNS))]
        for row in rows:
            lines.append("  ".join(cell.ljust(w) if i < 3 else cell.rjust(w)
                                   for i, (cell, w) in enumerate(zip(row, widths))))
        found = store.all()
        if found:
            waiting = f", {store.waiting()} inputs to look at" if store.waiting() else ""
            lines += ["", f"findings{waiting}:"]
            lines += [f"  {f.folder.name}  {f.place}  after {f.seconds:.1f} s, seen {f.seen} times" for f in found]
        problems = [f"{item.name}: {item.problem}" for item in items if item.problem]
        lines += ["", *problems] if problems else []
        return [report.printable(line)[:width] for line in lines][:height - 1]

    def plain(self, items, store):
        return " | ".join(
            f"{item.target.removesuffix('_fuzzer')}/{item.engine} {item.executions:,} runs "
            f"{item.edges:,} edges {item.corpus_inputs:,} inputs "
            f"{' '.join(f.folder.name for f in store.of(item.target, item.engine))}".rstrip()
            for item in items if item.state() == "runs")

    def update(self, items, store):
        now = time.monotonic()
        if not self.live:
            self.progress.update(self.plain(items, store))
        elif now - self.drawn >= REDRAW_S:
            self.drawn = now
            sys.stderr.write(CLEAR + "\r\n".join(self.screen(items, store)))
            sys.stderr.flush()

    def done(self):
        if self.live:
            self.live = False
            sys.stderr.write(BACK)
            sys.stderr.flush()
        elif self.progress:
            self.progress.done()
