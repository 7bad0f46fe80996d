"""trace.py: a trace of the concurrency engine as columns, one a thread: as text and as one page.

    scripts/trace.py PROGRAM TRACE.json [PAGE.html]     # text on standard output, the page beside

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

ENGINE = re.compile(r"\bfuzz/sim/\w+\.c$")
HERE = pathlib.Path(__file__).resolve().parent


def die(message):
    print(f"trace.py: {message}", file=sys.stderr)
    sys.exit(2)


class Program:
    """Names for the addresses in one ELF file: source places of code, variables of data."""

    def __init__(self, path, objects=None):
        """objects: the files whose variables can be seen in a trace (default: the program)."""
        self.path = str(path)
        self.types = dwarf.Types(objects or [path])
        self.places = {}
        self.variables = sorted(self.read_variables())
        self.starts = [v[0] for v in self.variables]

    def read_variables(self):
        lines = self.output(["nm", "-S", "--defined-only", self.path]).splitlines()
        for line in lines:
            words = line.split()
            if len(words) == 4 and words[2] in "bBdDrRvV":
                yield int(words[0], 16), int(words[1], 16), words[3]

    @staticmethod
    def output(command, given=None):
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
        except OSError:
            die(f"{command[0]} is missing: run scripts/setup")
        except subprocess.CalledProcessError as error:
            die(f"{' '.join(command)}: {error.stderr.strip()}")
        return done.stdout

    def look_up(self, addresses):
        """Finds the places of return addresses: the call itself is just before."""
        new = sorted({a for a in addresses if a} - self.places.keys())
        given = "".join(f"{a - 1:#x}\n" for a in new)
        command = ["addr2line", "-a", "-f", "-i", "-e", self.path]
        answer = self.output(command, given).splitlines() if new else []
        heads = [i for i, line in enumerate(answer) if line.startswith("0x")]
        for address, i in zip(new, heads):  # the innermost of inlined functions comes first
            function, place = answer[i + 1 : i + 3]
            file, _, line = place.partition(" ")[0].rpartition(":")
            number = int(line) if line.isdigit() else 0
            known = file not in ("", "??") and number
            function = "main" if function == "sim_subject_main" else function
            self.places[address] = (function, file if known else "", number if known else 0)

    def place(self, address):
        """(function, file, line); the file is "" where nothing is known."""
        if address not in self.places:
            self.look_up([address])
        return self.places.get(address, ("?", "", 0))

    def variable(self, address):
        """The name of what lies there, or None."""
        i = bisect.bisect_right(self.starts, address) - 1
        if i < 0:
            return None
        start, size, name = self.variables[i]
        if address >= start + max(size, 1):
            return None
        return self.types.part(name, address - start)


def where(trace, program, address):
    """A name for a data address, the hex number when there is none."""
    name = program.variable(address)
    if name:
        return name
    for kind, start, end in trace["ranges"]:
        if start <= address < end:
            return f"{kind}+{address - start:#x}" if kind != "pages" else f"{address:#x}"
    return f"{address:#x}"


def named(trace, program, text):
    """Replaces data addresses (0x...) in a text by names and code addresses (@...) by places."""

    def code(match):
        function, file, line = program.place(int(match.group(1), 16))
        return f"{function} at {short(file)}:{line}" if file else function

    lines = [l for l in text.split("\n") if not is_engine(l, program)]
    text = "\n".join(lines)
    text = re.sub(r"0x([0-9a-f]+)", lambda m: where(trace, program, int(m.group(1), 16)), text)
    return re.sub(r"@([0-9a-f]+)", code, text)


def is_engine(line, program):
    """Is this line of a stack inside the engine? Nobody wants to read that."""
    match = re.fullmatch(r"\s+@([0-9a-f]+)", line)
    return bool(match) and bool(ENGINE.search(program.place(int(match.group(1), 16))[1]))


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
    """Every line of the trace with all that both forms show of it."""
    program.look_up([line["pc"] for line in trace["lines"]])
    for i, line in enumerate(trace["lines"]):
        words, order, remarks = operation(line, trace, program)
        function, file, number = program.place(line["pc"]) if line["pc"] else ("", "", 0)
        if ENGINE.search(file):
            function, file, number = "", "", 0
        yield {
            "step": line.get("step", "") if "at" in line or line["kind"] == "fence" else "",
            "anchor": f"s{line['step']}-{line['thread']}" if "step" in line else f"l{i}",
            "thread": line["thread"],
            "kind": line["kind"],
            "words": words,
            "order": order,
            "remarks": remarks,
            "stale": "skipped" in line,
            "failed": line.get("failed", False),
            "function": function,
            "file": short(file) if file else "",
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


def text(trace, program, total=120):
    """Columns for a terminal of this width."""
    rows = [row for row in rows_of(trace, program) if row["kind"] != "finding"]
    files = sorted({os.path.basename(row["file"]) for row in rows if row["file"]})
    width = max(22, min(44, (total - 6) // max(1, trace["threads"])))
    head = "".join(f"{f'T{i}':<{width}}" for i in range(trace["threads"]))
    out = [f"step  {head}".rstrip()]
    for row in rows:
        step = f"{row['step']:<6}"
        for line in cell(row, width - 2, len(files) == 1):
            out.append(step + " " * (width * row["thread"]) + line)
            step = " " * 6
    if len(files) == 1:
        out.insert(0, f"(:N is line N of {files[0]})")
    if trace["finding"]:
        out += ["", f"finding: {trace['finding']}", named(trace, program, trace["detail"]).rstrip()]
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
    rows = [r for r in rows_of(trace, program) if r["kind"] != "finding"]
    return env.get_template("trace.html.j2").render(
        title=title,
        lead=lead,
        rows=rows,
        threads=range(trace["threads"]),
        anchors={r["anchor"] for r in rows},
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
