"""dwarf.py: names parts of variables by offset (ring+12 is ring.slot[1]), for traces.

Reads DWARF with pyelftools. Use: Types(files).part(variable, offset).
"""
import math
import re

from elftools.common.exceptions import DWARFError, ELFError
from elftools.elf.elffile import ELFFile

RESERVED = re.compile("_[_A-Z]")  # names reserved for libraries
TRANSPARENT = {"typedef", "const_type", "volatile_type", "atomic_type", "restrict_type"}


def kind_of(die):
    return die.tag.removeprefix("DW_TAG_") if isinstance(die.tag, str) else ""


def value(die, name, default=0):
    """An attribute's value; the default if it is missing or an expression."""
    found = die.attributes.get(f"DW_AT_{name}")
    return default if found is None or isinstance(found.value, list) else found.value


def name_of(die):
    found = value(die, "name", b"")
    return found.decode(errors="replace")


class Types:
    def __init__(self, files):
        self.variables, self.open = {}, []
        for path in files:
            try:
                self.read(path)
            except (OSError, ELFError, DWARFError):
                pass  # without them, names are less exact

    def read(self, path):
        file = open(path, "rb")  # stays open: entries are read on demand
        self.open.append(file)
        elf = ELFFile(file)
        for unit in elf.get_dwarf_info().iter_CUs() if elf.has_dwarf_info() else ():
            for die in unit.iter_DIEs():
                if die.tag == "DW_TAG_variable" and "DW_AT_type" in die.attributes:
                    self.variables.setdefault(name_of(die), die)

    def type_of(self, die):
        found = die.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in die.attributes else None
        return self.type_of(found) if found and kind_of(found) in TRANSPARENT else found

    def dimensions(self, array):
        ranges = [die for die in array.iter_children() if kind_of(die) == "subrange_type"]
        return [value(die, "count", value(die, "upper_bound") + 1) for die in ranges]

    def size(self, kind):
        if not kind:
            return 0
        if kind_of(kind) == "array_type":
            return math.prod(self.dimensions(kind)) * self.size(self.type_of(kind))
        return 8 if kind_of(kind) == "pointer_type" else value(kind, "byte_size")

    def inside(self, kind, offset):
        """The path to offset within a type, in C syntax, plus the remaining offset."""
        if kind and kind_of(kind) == "array_type" and (step := self.size(self.type_of(kind))):
            indices, at = "", offset // step
            for count in reversed(self.dimensions(kind)):
                indices, at = f"[{at % max(count, 1)}]{indices}", at // max(count, 1)
            return indices + self.inside(self.type_of(kind), offset % step)
        if kind and kind_of(kind) in ("structure_type", "union_type"):
            for part in kind.iter_children():
                start, inner = value(part, "data_member_location"), self.type_of(part)
                if RESERVED.match(name_of(part)):  # the inside of a pthread_mutex_t or std::atomic
                    break
                if "DW_AT_external" in part.attributes:  # a static member is elsewhere
                    continue
                if kind_of(part) == "member" and start <= offset < start + self.size(inner):
                    return f".{name_of(part) or '?'}" + self.inside(inner, offset - start)
        return f"+{offset}" if offset else ""

    def part(self, variable, offset):
        die = self.variables.get(variable)
        return variable + (self.inside(self.type_of(die), offset) if die else f"+{offset}" if offset else "")
