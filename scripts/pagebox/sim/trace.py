"""trace.py: a trace of the concurrency engine in columns, one per thread: as text and as one page.

    scripts/trace.py PROGRAM TRACE.json [PAGE.html]     # text on standard output, and the page

TRACE.json is what sim_trace_json() wrote for a run of PROGRAM (an ELF file with -g). The page is
self-contained. As a module: Program, text(trace, program), page(trace, program, title).
Exit status: 0, or 2 for a file that cannot be read.
"""
import bisect
import json
import linecache
import os
import pathlib
import re
import subprocess
import sys
import textwrap

from pagebox.sim import dwarf

ENGINE = re.compile(r"\bfuzz/sim/\w+\.[ch]$")
SYSTEM = re.compile(r"^/usr/|^$|^\.\./sysdeps|^\./")
PLAIN = ("read", "write")
UNSUPPORTED = "unsupported-call"
THEIRS = ".theirs"  # suffix that linking gave to a program's own sim_* names (explore_build.py)
ROWS_MAX = 60  # of a trace on a terminal
HERE = pathlib.Path(__file__).resolve().parent


def heading(finding):
    """If the engine could not continue, nothing is wrong with the program."""
    return "inconclusive" if finding == UNSUPPORTED else "finding"


def die(message):
    print(f"trace.py: {message}", file=sys.stderr)
    sys.exit(2)


class Program:
    """Names for the addresses in one ELF file: source places of code, variables of data."""

    def __init__(self, path, objects=None):
        """objects: the files whose variables may appear in a trace (default: the program)."""
        self.path = str(path)
        self.types = dwarf.Types(objects or [path])
        self.places = {}
        self.variables = sorted(self.read_variables())
        self.starts = [v[0] for v in self.variables]

    def read_variables(self):
        lines = self.output(["nm", "-S", "-C", "--defined-only", self.path]).splitlines()
        for line in lines:
            words = line.split()
            if len(words) >= 4 and words[2] in "bBdDrRvV":
                yield int(words[0], 16), int(words[1], 16), " ".join(words[3:]).removesuffix(THEIRS)

    @staticmethod
    def output(command, given=None):
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, errors="replace", check=True)
        except OSError:
            die(f"{command[0]} is missing: run scripts/setup")
        except subprocess.CalledProcessError as error:
            die(f"{' '.join(command)}: {error.stderr.strip()}")
        return done.stdout

    def look_up(self, addresses):
        """Finds the places of return addresses; the call is just before them."""
        new = sorted({a for a in addresses if a} - self.places.keys())
        given = "".join(f"{a - 1:#x}\n" for a in new)
        command = ["addr2line", "-a", "-f", "-i", "-C", "-e", self.path]
        answer = self.output(command, given).splitlines() if new else []
        heads = [i for i, line in enumerate(answer) if line.startswith("0x")]
        ends = heads[1:] + [len(answer)]
        for address, i, end in zip(new, heads, ends):  # of inlined functions, the innermost comes first
            self.places[address] = [self.named(*answer[k : k + 2]) for k in range(i + 1, end - 1, 2)]

    def dynamic(self):
        """Whether it is mapped at an address of the system's choice (position-independent)."""
        return "DYN" in self.output(["readelf", "-h", self.path])

    @staticmethod
    def named(function, place):
        file, _, line = re.sub(r" \(discriminator \d+\)$", "", place).rpartition(":")
        number = int(line) if line.isdigit() else 0
        known = file not in ("", "??") and number
        function = "main" if function == "sim_subject_main" else function.removesuffix(THEIRS)
        function = re.sub(r"\(.*", "", function) if "(" in function[1:] else function
        return function, os.path.normpath(file) if known else "", number if known else 0

    def frames(self, address):
        """(function, file, line) of the inlined functions there, innermost first."""
        if address not in self.places:
            self.look_up([address])
        return self.places.get(address) or [("?", "", 0)]

    def place(self, address, callers=()):
        """(function, file, line) in the user's code; the file is "" if nothing is known."""
        frames = [f for a in (address, *callers) for f in self.frames(a)]
        return next((f for f in frames if not SYSTEM.match(f[1])), frames[0])

    def variable(self, address):
        """The name of the variable there, or None."""
        i = bisect.bisect_right(self.starts, address) - 1
        if i < 0:
            return None
        start, size, name = self.variables[i]
        if address >= start + max(size, 1):
            return None
        return self.types.part(name, address - start)


def where(trace, program, address):
    """A name for a data address, or its hexadecimal number."""
    name = program.variable(address)
    if name:
        return name
    for kind, start, end in trace["ranges"]:
        if start <= address < end:
            return f"{kind}+{address - start:#x}" if kind != "pages" else f"{address:#x}"
    return f"{address:#x}"


def named(trace, program, text):
    """Replaces data addresses (0x...) in a text by names, and code addresses (@...) by places."""

    def code(match):
        return shown(program.place(int(match.group(1), 16)))

    text = "\n".join(user_first(text.split("\n"), program))
    text = re.sub(r"0x([0-9a-f]+)", lambda m: where(trace, program, int(m.group(1), 16)), text)
    return re.sub(r"@([0-9a-f]+)", code, text)


def shown(frame):
    function, file, line = frame
    return f"{function} at {short(file)}:{line}" if file else function


def user_first(lines, program):
    """Stacks with the user's frames first and the library's after them, without the engine's."""
    out, inside = [], []
    for line in [*lines, ""]:
        match = re.fullmatch(r"\s+@([0-9a-f]+)", line)
        if not match:
            if not out or not out[-1].startswith("  "):  # no frame of the user's
                out += [f"  {shown(f)}" for f in inside]
            out.append(line)
            inside = []
            continue
        for frame in program.frames(int(match.group(1), 16)):
            if ENGINE.search(frame[1]):
                continue
            if SYSTEM.match(frame[1]):
                inside.append(frame)
                continue
            out += [f"  {shown(frame)}"] + [f"    in {shown(f)}" for f in inside]
            inside = []
    return out[:-1]


def short(file):
    """A path as one would type it from here."""
    relative = os.path.relpath(file)
    return file if relative.startswith("../..") else relative


def value(number):
    return str(number) if number < 1 << 32 else hex(number)


def operation(line, trace, program):
    """What a line did, in words, and the remarks on it."""
    at = where(trace, program, line["at"]) if "at" in line else ""
    kind, order = line["kind"], line.get("order", "")
    read, wrote = value(line["value"]), value(line["wrote"])
    words = {
        "load": f"{at} is {read}",
        "store": f"{at} = {wrote}",
        "rmw": f"{at}: {read} becomes {wrote}",
        "cas": f"{at}: {read} becomes {wrote}",
        "fence": "fence",
        "wait": f"waits on {at} while it is {wrote}",
        "wake": f"wakes {read} of those that wait on {at}",
        "spawn": f"starts T{read}",
        "join": f"has joined T{read}",
        "lock": f"locks {at}",
        "unlock": f"unlocks {at}",
        "exit": "ends",
        "read": f"{at} is {read}" if line.get("size", 0) <= 8 else f"reads {line['size']} bytes at {at}",
        "write": f"writes {at}",
    }.get(kind, named(trace, program, line.get("text", kind)))
    remarks = []
    if kind == "cas" and line.get("failed"):
        words = f"{at}: is {read}, not changed to {wrote}"
    if kind == "wait" and line.get("failed"):
        remarks.append(f"it is {read}: no wait")
    if "skipped" in line:
        by = (
            f"T{line['skipped_by']} at {line['skipped_step']}"
            if line["skipped_step"]
            else "the start"
        )
        remarks.append(f"stale: skips {value(line['skipped'])} by {by}")
    elif line.get("from_step") and line["from"] != line["thread"]:
        remarks.append(f"by T{line['from']} at {line['from_step']}")
    if line.get("inserted"):
        remarks.append("before the newest in modification order")
    return words, order, remarks


def rows_of(trace, program):
    """All lines of the trace, with what both output forms show."""
    lone = lone_places(trace)
    program.look_up({a for l in trace["lines"] for a in (l["pc"], *l.get("callers", ()))})
    for i, line in enumerate(trace["lines"]):
        words, order, remarks = operation(line, trace, program)
        function, file, number = ("", "", 0)
        if line["pc"]:
            function, file, number = program.place(line["pc"], line.get("callers", ()))
        if ENGINE.search(file):
            function, file, number = "", "", 0
        yield {
            "step": line.get("step", "") if "at" in line or line["kind"] == "fence" else "",
            "anchor": f"s{line['step']}-{line['thread']}" if "step" in line else f"l{i}",
            "thread": line["thread"],
            "kind": line["kind"],
            "words": words,
            "order": "plain" if line["kind"] in PLAIN else order,
            "remarks": remarks,
            "times": line["wrote"] if line["kind"] in PLAIN else 1,
            "stale": "skipped" in line,
            "failed": line.get("failed", False),
            "function": function,
            "file": short(file) if file else "",
            "name": os.path.basename(file),
            "extra": line.get("extra", False),
            "lone": bool(file) and line.get("at") in lone,
            "line": number,
            "code": linecache.getline(file, number).strip() if file else "",
            "to": f"s{line['skipped_step']}-{line['skipped_by']}"
            if line.get("skipped_step")
            else f"s{line['from_step']}-{line['from']}"
            if line.get("from_step")
            else "",
        }


def cell(row, width, one_file):
    """One operation wrapped to its column; remarks are indented."""
    file = "" if one_file else os.path.basename(row["file"])
    place = f"{file}:{row['line']} " if row["file"] else ""
    order = f" ({row['order']})" if row["order"] else ""
    words = row["words"].removeprefix("pthread_")
    lines = textwrap.wrap(f"{place}{words}{order}", width, subsequent_indent="  ")
    for remark in row["remarks"]:
        lines += textwrap.wrap(remark, width, initial_indent="  ", subsequent_indent="  ")
    return lines


def marked(trace):
    """The trace with `extra` set on lines that matter little: plain accesses that are neither to what the finding
    names, nor the last one of the thread that it stopped."""
    named_there = [int(n, 16) for n in re.findall(r"0x([0-9a-f]+)", trace["detail"])]
    last = next((l for l in reversed(trace["lines"]) if l["kind"] != "finding"), None)

    def is_extra(line):
        if line["kind"] not in PLAIN or line is last:
            return False
        return not any(line["at"] - 8 < n < line["at"] + max(8, line["size"]) for n in named_there)

    return trace | {"lines": [l | {"extra": is_extra(l)} for l in trace["lines"]]}


def concerned(trace):
    """The lines that a text shows."""
    return trace | {"lines": [l for l in marked(trace)["lines"] if not l["extra"]]}


def shortened(trace, lines_max):
    """The first and the last lines of a long trace, with a note of how many are left out."""
    lines = trace["lines"]
    if len(lines) <= lines_max:
        return trace
    half = lines_max // 2
    text = f"... {len(lines) - 2 * half} lines are left out here: they are in trace.txt ..."
    note = lines[half] | {"kind": "note", "text": text, "pc": 0, "callers": []}
    note.pop("at", None)
    return trace | {"lines": [*lines[:half], note, *lines[-half:]]}


def lone_places(trace):
    """Addresses that only one thread accesses, except those that the finding names."""
    touched = {}
    for line in trace["lines"]:
        if "at" in line:
            touched.setdefault(line["at"], set()).add(line["thread"])
    named_there = {int(n, 16) for n in re.findall(r"0x([0-9a-f]+)", trace["detail"])}
    return {at for at, threads in touched.items() if len(threads) == 1} - named_there


def remarked(row, times, others):
    """The row, with the number of similar rows left out."""
    remarks = [f"{times} times in a row"] if times > 1 else []
    remarks += [f"{others} more like it, at places that no other thread touches"] if others else []
    return row | {"remarks": [*row["remarks"], *remarks]}


def folded(rows):
    """Repeated rows are counted instead. So are rows of one source line about places that no other thread accesses,
    such as the locks of a table that a thread walks through, until the thread does something else."""
    out, alone = [], {}  # of the current sequence of such rows: source line -> its entry
    for row in rows:
        key = (row["thread"], row["file"], row["line"], row["words"], row["order"], row["stale"])
        if out and out[-1]["key"] == key:
            out[-1]["times"] += row["times"]
            continue
        if not row["lone"] or (out and out[-1]["row"]["thread"] != row["thread"]):
            alone = {}
        place = (row["file"], row["line"], row["kind"], row["order"])
        if place in alone:
            alone[place]["others"] += row["times"]
            continue
        out.append({"row": row, "key": key, "times": row["times"], "others": 0})
        if row["lone"]:
            alone[place] = out[-1]
    return [remarked(entry["row"], entry["times"], entry["others"]) for entry in out]


def text(trace, program, total=120, rows_max=None):
    """Columns for a terminal of this width; of more than rows_max rows, the first and last."""
    trace = concerned(trace)
    if rows_max:
        trace = shortened(trace, 10 * rows_max)
    rows = [row for row in rows_of(trace, program) if row["kind"] != "finding"]
    files = sorted({os.path.basename(row["file"]) for row in rows if row["file"]})
    width = max(22, min(44, (total - 6) // max(1, trace["threads"])))
    narrow = trace["threads"] * width > 2 * total  # too many threads for columns
    names = [""] if narrow else [f"T{i}" for i in range(trace["threads"])]
    head = "".join(f"{name:<{width}}" for name in names)
    out = [f"step  {head}".rstrip()]
    rows = folded(rows)
    skipped = len(rows) - rows_max if rows_max else 0
    for i, row in enumerate(rows):
        if skipped > 0 and i == rows_max // 2:
            out.append(f"      ... {skipped} rows more, in trace.txt ...")
        if skipped > 0 and rows_max // 2 <= i < rows_max // 2 + skipped:
            continue
        step = f"{row['step']:<6}"
        place = f"T{row['thread']:<4}" if narrow else " " * (width * row["thread"])
        for line in cell(row, 90 if narrow else width - 2, len(files) == 1):
            out.append(step + place + line)
            step = " " * 6
    if len(files) == 1:
        out.insert(0, f"(:N is line N of {files[0]})")
    if trace["finding"]:
        out += ["", f"{heading(trace['finding'])}: {trace['finding']}", named(trace, program, trace["detail"]).rstrip()]
    return "\n".join(out) + "\n"


def page(trace, program, title, lead=""):
    """The page. Needs jinja2."""
    try:
        import jinja2
    except ImportError:
        die("python3-jinja2 is missing: run scripts/setup")
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    trace = shortened(marked(trace), 2000)
    rows = folded(r for r in rows_of(trace, program) if r["kind"] != "finding")
    return env.get_template("trace.html.j2").render(
        title=title,
        lead=lead,
        rows=rows,
        threads=range(trace["threads"]),
        anchors={r["anchor"] for r in rows},
        extra=sum(r["extra"] for r in rows),
        finding=trace["finding"],
        detail=named(trace, program, trace["detail"]).strip(),
    )


def main():
    arguments = sys.argv[1:]
    if len(arguments) not in (2, 3) or arguments[0].startswith("-"):
        die("usage: scripts/trace.py PROGRAM TRACE.json [PAGE.html]")
    try:
        trace = json.loads(pathlib.Path(arguments[1]).read_text(encoding="utf-8"))
        trace["lines"], trace["ranges"], trace["detail"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        die(f"{arguments[1]} is not a trace of sim_trace_json: {error}")
    program = Program(arguments[0])
    print(text(trace, program), end="")
    if len(arguments) == 3:
        made = page(
            trace, program, f"{trace['finding'] or 'a run'} in {os.path.basename(arguments[0])}"
        )
        pathlib.Path(arguments[2]).write_text(made, encoding="utf-8")
    return 0
