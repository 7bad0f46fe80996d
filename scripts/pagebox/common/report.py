"""report.py: the only way to write results: report.json, report.md, report.html.

As a module, in every script that runs something:

    run = report.Run("fuzz")                      # results/fuzz/.<stamp>-<commit7>.tmp/
    run.path("raw/rows.json").write_text(...)     # raw data goes there first
    path = run.finish("pass", summary, items, [report.Section("Speed", table=...)], title, lead)

As a program, `scripts/report.py KIND...` prints status, summary and path of the latest reports.
results/README.md has the schema of the files. Exit statuses: 0 clean, 1 finding, 2 usage or set-up,
130 interrupted.
"""
import dataclasses
import datetime
import html
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

SCHEMA = 1
STATUSES = ("pass", "finding", "inconclusive", "interrupted", "error")
REPO = pathlib.Path(__file__).resolve().parents[3]
DASH = "\u2013"  # shown where there is no value


# ---------------------------------------------------------------- parts of a report


@dataclasses.dataclass
class Table:
    """columns: headings; rows: lists of str, number, bool, Link or None (shown as a dash). align: a string of 'l' and
    'r', one per column; by default columns of numbers are right-aligned."""

    columns: list
    rows: list
    align: str | None = None
    caption: str = ""

    def side(self, column):
        if self.align:
            return "right" if self.align[column] == "r" else "left"
        cells = [row[column] for row in self.rows if row[column] is not None]
        return "right" if cells and all(is_number(c) for c in cells) else "left"


@dataclasses.dataclass
class Link:
    """A table cell that is a link, relative to the report's folder."""

    text: str
    href: str

    def __str__(self):
        return self.text


@dataclasses.dataclass
class Section:
    """text: paragraphs separated by empty lines, with `code`, **bold** and [text](link). svg: inline SVG, from plot().
    pre: preformatted text. Shown in the order of the fields, but svg comes first after the text."""

    title: str
    text: str = ""
    table: Table | None = None
    svg: str | None = None
    pre: str | None = None
    sections: list | None = None


def is_number(value):
    return hasattr(value, "__float__") and not isinstance(value, (bool, str))


def counted(number, word):
    """1 finding, 2 findings."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def cell_text(value):
    """A table cell as text: digits grouped, floats with four significant digits."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not is_number(value):
        return printable(str(value))
    number = float(value)
    if not math.isfinite(number):
        return DASH
    if number == int(number) and (abs(number) >= 1000 or not isinstance(value, float)):
        return f"{int(value):,}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def cell_key(value):
    """The sort key of a cell on the page: its number, or the attribute `key` of a class of its own ("2.1 ms")."""
    value = getattr(value, "key", value)
    return repr(float(value)) if is_number(value) else cell_text(value)


def printable(text):
    """Text of unknown origin without control characters, which would garble terminal and page."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text)


# ---------------------------------------------------------------- where it ran


def output_of(command):
    """The first line that a command prints, or None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0]


def file_text(path, default="unknown"):
    try:
        return pathlib.Path(path).read_text(errors="replace").strip()
    except OSError:
        return default


def first_match(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else "unknown"


def machine(compiler=None, flags=None):
    """What the figures depend on. compiler: a command; flags: its flags."""
    command = compiler or os.environ.get("CC") or "gcc"
    memory_kib = first_match(r"^MemTotal:\s*(\d+)", file_text("/proc/meminfo", ""))
    thp = file_text("/sys/kernel/mm/transparent_hugepage/enabled", "")
    return {
        "kernel": os.uname().release,
        "cpu": first_match(r"^model name\s*:(.*)", file_text("/proc/cpuinfo", "")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(memory_kib) * 1024 if memory_kib.isdigit() else None,
        "thp": first_match(r"\[(\w+)\]", thp),
        "overcommit": file_text("/proc/sys/vm/overcommit_memory"),
        "compiler": output_of(command.split() + ["--version"]) or f"{command}: not found",
        "flags": flags if flags is not None else os.environ.get("CFLAGS", ""),
        "libc": os.confstr("CS_GNU_LIBC_VERSION") or "unknown",
    }


def shown(path):
    """A path as a user types it here: relative if it is below the current folder."""
    path, here = pathlib.Path(path).resolve(), pathlib.Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def git(*arguments):
    return output_of(["git", "-c", "safe.directory=*", "-C", str(REPO), *arguments])


# ---------------------------------------------------------------- messages


class Trouble(Exception):
    """A problem that the user has to fix. Its text is the last line of the command, which exits with status 2."""


def die(message, status=2):
    """Prints one clear line on standard error and exits."""
    print(f"{pathlib.Path(sys.argv[0]).name}: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def help_if_asked(text):
    """-h or --help anywhere: prints the text and exits."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(text.strip())
        sys.exit(0)


def pattern(text, name):
    """The regular expression that the user gave as NAME=text; without one, everything matches."""
    try:
        return re.compile(text or "")
    except re.error as error:
        die(f"{name}={text}: not a regular expression: {error}")


def is_screen(stream):
    """Whether lines on it can be overwritten: a terminal that is not dumb."""
    return stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")


class Progress:
    """One live line on a terminal; elsewhere a plain line every ten seconds."""

    QUIET_S = 10

    def __init__(self, total_s=None, stream=None):
        self.total_s, self.stream = total_s, stream or sys.stderr
        self.live = is_screen(self.stream)
        self.began = time.monotonic()
        self.printed = -math.inf

    def now(self, text):
        """Prints a line now, even if there was one just before."""
        self.printed = -math.inf
        self.update(text)

    def update(self, text):
        now = time.monotonic()
        if now - self.printed < (0.1 if self.live else self.QUIET_S):
            return
        self.printed = now
        total = f"/{self.total_s:g}" if self.total_s else ""
        line = printable(f"  {now - self.began:.0f}{total} s  {text}")
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r{line[:width]:<{width}}")
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def done(self):
        """Clears the live line, so that the next output starts at its beginning."""
        if self.live and self.printed > 0:
            self.stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self.stream.flush()


AGAIN_S = 3  # one Ctrl-C can arrive twice: from the terminal, and from make or timeout


def usable(stream):
    """The stream, or if the signal came in the middle of a write to it, another one on the same file."""
    try:
        stream.flush()
    except RuntimeError:  # a reentrant call
        return open(stream.fileno(), "w", encoding="utf-8", closefd=False)
    except OSError:
        pass
    return stream


def on_interrupt(callback):
    """At SIGINT or SIGTERM: callback() ends the child processes and writes the partial report; then exits with status
    130. A second signal some seconds later exits at once."""
    first = []

    def handle(number, frame):
        now = time.monotonic()
        if first:
            if now - first[0] > AGAIN_S:
                os._exit(130)
            return
        first.append(now)
        status = 130
        sys.stdout, sys.stderr = usable(sys.stdout), usable(sys.stderr)
        try:
            callback()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 2
        except Exception as error:  # the signal must end the program whatever the callback does
            print(f"the partial report could not be written: {error}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


# ---------------------------------------------------------------- plots

PLOT_SETUP = """set terminal svg size {w},{h} noenhanced background '#ffffff' font 'sans-serif,12'
set encoding utf8
set border 3 lc rgb '#555555'
set tics nomirror textcolor rgb '#333333'
set grid ytics lc rgb '#dddddd' lt 1
set key above
set style fill solid 0.85 noborder
set linetype 1 lc rgb '#2b6cb0' lw 2 pt 7 ps 0.5
set linetype 2 lc rgb '#c05621' lw 2 pt 5 ps 0.5
set linetype 3 lc rgb '#2f855a' lw 2 pt 9 ps 0.6
set linetype 4 lc rgb '#805ad5' lw 2 pt 11 ps 0.6
set linetype 5 lc rgb '#b7791f' lw 2 pt 13 ps 0.6
set linetype 6 lc rgb '#718096' lw 2 pt 3 ps 0.6
set linetype 7 lc rgb '#c53030' lw 2 pt 2 ps 0.6
set linetype 8 lc rgb '#319795' lw 2 pt 1 ps 0.6
set linetype cycle 8
"""
END_OF_DATA = "END_OF_PAGEBOX_DATA"
plots_made = 0


def data_line(row):
    """One data row for gnuplot: words quoted, nothing for a missing value."""
    quoted = lambda v: '"' + printable(str(v)).replace('"', "'").replace("\n", " ") + '"'
    return " ".join("NaN" if v is None else str(v) if is_number(v) else quoted(v) for v in row)


def data_block(name, rows):
    text = rows if isinstance(rows, str) else "\n".join(data_line(row) for row in rows)
    text = text.replace(END_OF_DATA, "")
    return f"${name} << {END_OF_DATA}\n{text.rstrip()}\n{END_OF_DATA}\n"


def plot(script, data, size=(720, 360)):
    """Runs gnuplot on the script and returns SVG for a page. data: the text of $data, or a dictionary: name -> text or
    list of rows, each readable as $name. Text is not 'enhanced'. If gnuplot is missing or fails, the SVG is one line
    that says so."""
    blocks = data.items() if isinstance(data, dict) else [("data", data)]
    setup = PLOT_SETUP.format(w=size[0], h=size[1])
    source = setup + "".join(data_block(name, rows) for name, rows in blocks) + script + "\n"
    try:
        done = subprocess.run(["gnuplot"], input=source, capture_output=True, text=True, timeout=60)
    except OSError:
        return plot_message("No plot: gnuplot is missing. Run scripts/setup to install it.", size)
    except subprocess.TimeoutExpired:
        return plot_message("No plot: gnuplot did not finish within a minute.", size)
    start = done.stdout.find("<svg")
    if done.returncode or start < 0:
        lines = [l.strip() for l in done.stderr.splitlines() if l.strip(" ^\t")]
        return plot_message(f"No plot: gnuplot says: {' '.join(lines[-2:])[:160]}", size)
    return own_names(re.sub(r"<title>Gnuplot</title>\s*", "", done.stdout[start:]).strip())


def plot_message(text, size):
    print(f"report: {printable(text)}", file=sys.stderr)
    text = html.escape(printable(text))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="40" '
        f'viewBox="0 0 {size[0]} 40"><rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="12" y="25" font-family="sans-serif" font-size="13">{text}</text></svg>'
    )


def own_names(svg):
    """Makes the ids unique within a page that has several plots."""
    global plots_made
    plots_made += 1
    svg = re.sub(r"""\bid=(["'])""", rf"id=\1p{plots_made}-", svg)
    svg = re.sub(r"""href=(["'])#""", rf"href=\1#p{plots_made}-", svg)
    return re.sub(r"url\(#", f"url(#p{plots_made}-", svg)


# ---------------------------------------------------------------- Markdown and HTML


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "section"


def markdown_table(table):
    escape = lambda text: text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
    marks = {"left": "---", "right": "---:"}
    lines = ["| " + " | ".join(escape(str(c)) for c in table.columns) + " |"]
    lines.append("|" + "|".join(marks[table.side(i)] for i in range(len(table.columns))) + "|")
    for row in table.rows:
        cells = [escape(cell_text(c)) for c in row]
        cells = [f"[{t}]({c.href})" if isinstance(c, Link) else t for t, c in zip(cells, row)]
        lines.append("| " + " | ".join(cells) + " |")
    return ([table.caption, ""] if table.caption else []) + lines


def markdown_pre(text):
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return [fence + "text", text.rstrip("\n"), fence]


def markdown_section(section, level, plots):
    lines = ["#" * min(level, 6) + " " + section.title, ""]
    if section.text:
        lines += [printable(section.text.strip()), ""]
    if section.svg:
        name = f"plots/{len(plots) + 1:02}-{slug(section.title)}.svg"
        plots[name] = section.svg
        lines += [f"![{section.title}]({name})", ""]
    if section.table:
        lines += markdown_table(section.table) + [""]
    if section.pre:
        lines += markdown_pre(printable(section.pre)) + [""]
    for inner in section.sections or []:
        lines += markdown_section(inner, level + 1, plots)
    return lines


def markdown(page):
    """The report as Markdown, and the plots that it links to: name -> SVG."""
    plots = {}
    lines = [f"# {page['title']}", "", f"**{page['status']}** {page['lead']}", ""]
    for section in page["sections"] + page["ends"]:
        lines += markdown_section(section, 2, plots)
    return "\n".join(lines).rstrip() + "\n", plots


def html_text(text):
    """Paragraphs, lists, `code`, **bold**, [text](link); everything else is escaped."""
    marks = (
        (r"`([^`]+)`", r"<code>\1</code>"),
        (r"\*\*([^*]+)\*\*", r"<strong>\1</strong>"),
        (r"(?<![\w*])\*([^*\s][^*\n]*)\*(?![\w*])", r"<em>\1</em>"),
        (r"\[([^\]]+)\]\((?!javascript:)([^)\s]+)\)", r'<a href="\2">\1</a>'),
    )
    out = []
    for block in re.split(r"\n\s*\n", printable(text).strip()):
        block = html.escape(block)
        for pattern, replacement in marks:
            block = re.sub(pattern, replacement, block)
        if block.startswith("- "):
            entries = re.split(r"\n- ", block[2:])
            out.append("<ul>" + "".join(f"<li>{e}</li>" for e in entries) + "</ul>")
        else:
            out.append(f"<p>{block}</p>")
    return "".join(out)


def render_html(page):
    try:
        import jinja2
        import markupsafe
    except ImportError:
        die("python3-jinja2 is missing: run scripts/setup, and use Debian's /usr/bin/python3")
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent)
    env = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    env.filters.update(cell=cell_text, key=cell_key, slug=slug, printable=printable)
    env.filters["words"] = lambda text: markupsafe.Markup(html_text(text))
    env.tests["link"] = lambda value: isinstance(value, Link)
    return env.get_template("report.html.j2").render(page)


# ---------------------------------------------------------------- a run


def plain(value):
    """A value that JSON can hold: no NaN, numpy, paths, or bytes that are not text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value).encode("utf-8", "replace").decode()


class Run:
    """One run of one kind. Everything is written to a temporary folder, which finish() renames."""

    def __init__(self, kind, root=None):
        """root: the folder that holds results/ (default: the repository)."""
        self.kind = kind
        self.commit = git("rev-parse", "HEAD") or "unknown"
        self.dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
        self.home = pathlib.Path(root or REPO).resolve() / "results" / kind
        self.machine = machine()  # callers add machine["flags"] and others
        self.final = None
        while True:  # the name contains the second: a second run in the same second waits for the next
            self.started = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
            self.name = f"{self.started:%Y%m%dT%H%M%SZ}-{self.commit[:7]}"
            self.dir = self.home / f".{self.name}.tmp"
            try:
                if not (self.home / self.name).exists():
                    self.dir.mkdir(parents=True)
                    break
            except FileExistsError:
                pass
            except OSError as error:
                die(f"cannot make {self.dir}: {error.strerror}; free some space, or check the permissions")
            time.sleep(0.2)
        self.began = time.monotonic()

    @classmethod
    def reopen(cls, folder, commit, dirty):
        """The run whose temporary folder a killed program left behind; finish() completes it."""
        run = cls.__new__(cls)
        folder = pathlib.Path(folder)
        run.kind, run.home, run.dir, run.final = folder.parent.name, folder.parent, folder, None
        run.name = folder.name.removeprefix(".").removesuffix(".tmp")
        run.commit, run.dirty, run.machine = commit, dirty, machine()
        utc = datetime.timezone.utc
        run.started = datetime.datetime.strptime(run.name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=utc)
        last = max((p.stat().st_mtime for p in folder.rglob("*")), default=run.started.timestamp())
        run.began = time.monotonic() - max(0.0, last - run.started.timestamp())
        return run

    def path(self, name):
        """A path inside the run's folder; creates its parent folders."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def finish(self, status, summary, items, sections, title, lead):
        """Writes the three reports, renames the folder, sets `latest`, and returns the final path. If called again (by
        an interrupt), it only returns the path."""
        if self.final:
            return self.final
        if status not in STATUSES:
            raise ValueError(f"status {status!r} is none of {STATUSES}")
        if not all("name" in item for item in items):
            raise ValueError("every item needs a name")
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            self.write(status, summary, items, sections, title, lead)
            final = self.home / self.name
            os.rename(self.dir, final)
            self.dir = self.final = final
            self.link_latest()
        except OSError as error:
            reason = error.strerror or error
            die(f"the report could not be written ({reason}); the raw data is in {self.dir}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return self.final

    def write(self, status, summary, items, sections, title, lead):
        fact = {
            "kind": self.kind,
            "schema": SCHEMA,
            "commit": self.commit,
            "dirty": self.dirty,
            "started": f"{self.started:%Y-%m-%dT%H:%M:%SZ}",
            "seconds": round(time.monotonic() - self.began, 3),
            "status": status,
            "machine": self.machine,
            "summary": summary,
            "items": items,
        }
        text = json.dumps(plain(fact), indent=1, ensure_ascii=False)
        self.path("report.json").write_text(text + "\n", encoding="utf-8")
        page = {"title": title, "lead": lead, "fact": fact, "status": status}
        page |= {"sections": list(sections), "ends": self.ends(fact)}
        text, plots = markdown(page)
        for name, svg in plots.items():
            self.path(name).write_text(svg + "\n", encoding="utf-8")
        self.path("report.md").write_text(text, encoding="utf-8")
        self.path("report.html").write_text(render_html(page), encoding="utf-8")

    def ends(self, fact):
        """The end of every report: the summary's figures, and where it ran."""
        head = {k: fact[k] for k in ("commit", "dirty", "started", "seconds")}
        rows = [[k, str(v)] for k, v in (head | self.machine).items()]
        figures = [[k, v] for k, v in fact["summary"].items()]
        summary = Section("Summary", table=Table(["figure", "value"], figures, align="lr"))
        place = Section("Where it ran", table=Table(["", ""], rows))
        return [summary, place] if figures else [place]

    def link_latest(self):
        fresh = self.home / f".latest-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.name)
        os.replace(fresh, self.home / "latest")


# ---------------------------------------------------------------- as a program


def show(kind):
    """Two lines about the latest report of a kind."""
    folder = REPO / "results" / kind / "latest"
    try:
        fact = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        die(f"no report of kind {kind!r} in {folder.parent}: run `make {kind}` first")
    except (OSError, ValueError) as error:
        die(f"{folder / 'report.json'} cannot be read: {error}")
    figures = ", ".join(f"{k} {cell_text(v)}" for k, v in fact["summary"].items())
    print(f"{kind}: {fact['status']} ({figures})\n  {(folder / 'report.html').resolve()}")


def main():
    help_if_asked(__doc__)
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        die("usage: scripts/report.py KIND... (fuzz, bench, ...): where the latest reports are")
    for wanted in sys.argv[1:]:
        show(wanted)
    return 0
