"""oracles.py: `scripts/defects.py oracles`: the names under which the fuzzers report what breaks a rule.

Read from the code that reports them."""
import re

from pagebox.common import report
from pagebox.defects import patchfile

REPO = report.REPO
FOLDERS = ("judges", "runners", "reference", "targets")


def names():
    """R16-bulk-copy -> the files under fuzz/ that report it."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((REPO / "fuzz" / folder).glob("*.[ch]")):
            for name in re.findall(r'"(R\d+-[a-z0-9-]+)"', path.read_text(encoding="utf-8")):
                found.setdefault(name, {})[f"{folder}/{path.name}"] = True
    return {name: list(files) for name, files in found.items()}


def targets():
    """16 -> the targets that the known defects of rule 16 name."""
    found = {}
    for patch in patchfile.own():
        for name in patch.rules:
            found.setdefault(patchfile.rule_number(name), set()).update(patch.targets)
    return found


def show():
    """Prints each rule, the targets that its known defects name, and its names with their files below fuzz/."""
    known, by_rule = names(), targets()
    width = max(map(len, known))
    for number, (title, _) in sorted(patchfile.rule_texts().items()):
        print(f"R{number} {title}: {' '.join(sorted(by_rule.get(number, ()))) or 'no known defect'}")
        own = sorted(name for name in known if patchfile.rule_number(name) == number)
        for name in own:
            print(f"    {name:{width}}  {' '.join(known[name])}")
        if not own:
            print("    none of its own: what breaks it is reported as another rule")
    return 0
