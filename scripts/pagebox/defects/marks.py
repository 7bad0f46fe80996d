"""marks.py: puts a mark before each changed statement of a patched copy, for `reached`."""
import re


def opens_function(lines, at):
    """True if line `at` is in the body of a function, judged by the column-0 line above it."""
    for line in reversed(lines[:at]):
        if line[:1].strip() and not line.startswith(("#", "/", " ", "}")):
            return line.rstrip().endswith(") {") or "(" in line
        if re.match(r"\s+\S.*\) \{$", line) and line.startswith("      "):
            continue
        if line.startswith("}"):
            return False
    return False


def statement_above(lines, at):
    """The first line of the statement around line `at`, or None outside functions."""
    deepest = 1 << 30  # an else belongs to the if with its own indentation
    for i in range(min(at, len(lines) - 1), 0, -1):
        code, before = lines[i].strip(), lines[i - 1].strip()
        depth = len(lines[i]) - len(lines[i].lstrip())
        if code.startswith("} else"):
            deepest = min(deepest, depth)
        if not code or code.startswith(("}", "/*", "* ", "*/", "case ", "default:", "#")):
            continue
        starts = before.endswith((";", "}", "*/", ":", ") {", "else {", "do {"))
        if starts and depth <= deepest:
            return i if depth >= 4 and opens_function(lines, i) else None
    return None


def hunks(diff):
    """For each hunk: the file, its line number (from 0), its lines in the patched file, and the positions among those
    where a run of changes begins."""
    name, found, in_run, old, new = None, [], False, 0, 0
    for line in diff.split("\n"):
        begins = re.match(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", line)
        if old > 0 or new > 0:  # lines still missing from the hunk: what follows is not part of it
            changed = line.startswith(("+", "-"))
            if changed and not in_run:
                found[-1][3].append(len(found[-1][2]))
            in_run = changed or (in_run and line.startswith("\\"))
            old, new = old - (line[:1] in "- "), new - (line[:1] in "+ ")
            if line[:1] in "+ ":
                found[-1][2].append(line[1:])
        elif line.startswith("+++ "):  # with -p1
            name = re.sub(r"^[^/]*/+", "", line[4:].split("\t")[0])
        elif begins and name:
            old, new = (1 if count is None else int(count) for count in begins.group(1, 3))
            found.append((name, int(begins.group(2)) - 1, [], []))
            in_run = False
    return found


def changed_lines(diff, tree):
    """file -> line numbers (from 0, in the patched file) where each run of changes begins. A hunk may have been applied
    away from its line number, so its text is searched for."""
    places = {}
    for name, named, text, runs in hunks(diff):
        path = tree / name
        lines = path.read_text().splitlines() if path.exists() else []
        fits = [at for at in range(len(lines)) if lines[at : at + len(text)] == text]
        at = min(fits, key=lambda place: abs(place - named), default=named)
        places.setdefault(name, []).extend(at + run for run in runs)
    return places


def macro_uses(patch, tree):
    """A change of an order is reached where the order is used."""
    names = set(re.findall(r"^\+#define (\w+)", patch.diff, re.M))
    for path in sorted((tree / "ref").glob("*.c")) if names else []:
        for i, line in enumerate(path.read_text().splitlines()):
            if any(re.search(rf"\b{name}\b", line) for name in names):
                yield str(path.relative_to(tree)), i


def mark(patch, tree):
    """Puts a mark before each changed statement of the copy; False if no place was found."""
    places = changed_lines(patch.diff, tree)
    for name, line in macro_uses(patch, tree):
        places.setdefault(name, []).append(line)
    marked = False
    for name, numbers in places.items():
        path = tree / name
        if path.suffix not in (".c", ".h") or not path.exists():
            continue
        lines = path.read_text().splitlines()
        starts = {statement_above(lines, n) for n in numbers} - {None}
        for i in starts:
            indent = lines[i][: len(lines[i]) - len(lines[i].lstrip())]
            lines[i] = indent + "PB_DEFECT_REACHED(); " + lines[i].lstrip()
        if starts:
            lines[0] = '#include "../fuzz/defects/mark.h" ' + lines[0]
            path.write_text("\n".join(lines) + "\n")
            marked = True
    return marked
