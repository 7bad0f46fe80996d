"""dwarf.py: names parts of variables by offset (ring+12 is ring.slot[1]), for traces.

    scripts/dwarf.py OBJECT.o VARIABLE OFFSET

Reads what `readelf --debug-dump=info` prints. As a module: Types(files).part(variable, offset).
"""
import math
import re
import subprocess

ENTRY = re.compile(r"^ <(\d+)><([0-9a-f]+)>: Abbrev Number: \d+ \((DW_TAG_\w+)\)")
VALUE = re.compile(r"^\s+<[0-9a-f]+>\s+DW_AT_(\w+)\s*:\s*(.*?)\s*$")
TRANSPARENT = {"typedef", "const_type", "volatile_type", "atomic_type", "restrict_type"}
WANTED = {"name", "type", "byte_size", "count", "upper_bound", "data_member_location"}


def number(text):
    match = re.match(r"(?:\(\w+\) )?(0x[0-9a-f]+|\d+)", text or "")
    return int(match.group(1), 0) if match else 0


class Types:
    def __init__(self, files):
        self.variables = {}
        for file in files:
            try:
                self.read(file)
            except (OSError, subprocess.SubprocessError):
                pass  # names stay coarse

    def read(self, file):
        command = ["readelf", "--debug-dump=info", str(file)]
        dump = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout
        entries, parents, entry = {}, {}, None
        for line in dump.splitlines():
            if match := ENTRY.match(line):
                depth = int(match.group(1))
                entry = {"tag": match.group(3)[7:], "parts": [], "all": entries}
                entries[int(match.group(2), 16)] = parents[depth] = entry
                if depth - 1 in parents:
                    parents[depth - 1]["parts"].append(entry)
            elif entry and (match := VALUE.match(line)) and match.group(1) in WANTED:
                text = match.group(2)
                entry[match.group(1)] = (
                    text.rpartition("): ")[2] if match.group(1) == "name" else text
                )
        for entry in entries.values():
            if entry["tag"] == "variable" and "type" in entry:
                self.variables.setdefault(entry.get("name"), entry)

    def type_of(self, entry):
        match = re.search(r"<0x([0-9a-f]+)", entry.get("type", ""))
        found = entry["all"].get(int(match.group(1), 16)) if match else None
        return self.type_of(found) if found and found["tag"] in TRANSPARENT else found

    def dimensions(self, array):
        ranges = [p for p in array["parts"] if p["tag"] == "subrange_type"]
        return [
            number(p["count"]) if "count" in p else number(p.get("upper_bound")) + 1 for p in ranges
        ]

    def size(self, kind):
        if not kind:
            return 0
        if kind["tag"] == "array_type":
            return math.prod(self.dimensions(kind)) * self.size(self.type_of(kind))
        return 8 if kind["tag"] == "pointer_type" else number(kind.get("byte_size"))

    def inside(self, kind, offset):
        """The path to offset within a type, as C writes it; + what is left over."""
        if kind and kind["tag"] == "array_type" and (step := self.size(self.type_of(kind))):
            indices, at = "", offset // step
            for count in reversed(self.dimensions(kind)):
                indices, at = f"[{at % max(count, 1)}]{indices}", at // max(count, 1)
            return indices + self.inside(self.type_of(kind), offset % step)
        if kind and kind["tag"] in ("structure_type", "union_type"):
            for part in kind["parts"]:
                start, inner = number(part.get("data_member_location")), self.type_of(part)
                if part.get("name", "").startswith("__"):  # the inside of a pthread_mutex_t
                    break
                if part["tag"] == "member" and start <= offset < start + self.size(inner):
                    return f".{part.get('name', '?')}" + self.inside(inner, offset - start)
        return f"+{offset}" if offset else ""

    def part(self, variable, offset):
        entry = self.variables.get(variable)
        return variable + (
            self.inside(self.type_of(entry), offset) if entry else f"+{offset}" if offset else ""
        )
