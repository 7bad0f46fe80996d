"""patchfile.py: a known defect as a patch: its header, where it applies, whether it compiles."""
import concurrent.futures
import dataclasses
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from pagebox.common import report

REPO = report.REPO
PATCHES = REPO / "fuzz" / "defects"
KINDS = ("plain", "schedule", "order", "fault", "canary")
FIELDS = ("Title", "Seen", "Rule", "Targets", "Kind", "Budget")
INERT = (
    "changes nothing that is compiled: the lines around it have changed and it was applied inside a comment, "
    "or it replaces code by code that means the same"
)


class PatchError(report.Trouble):
    """A patch that cannot be used; the text says why and what to do."""


@dataclasses.dataclass
class Patch:
    path: pathlib.Path
    head: dict
    text: str  # everything before the diff
    diff: str

    @property
    def name(self):
        return self.path.stem

    @property
    def canary(self):
        return self.head.get("Kind") == "canary"

    @property
    def marked(self):
        """The patch itself marks when the wrong state exists."""
        return re.search(r"^\+.*PB_DEFECT_TRIGGERED\(\)", self.diff, re.M) is not None

    def words(self, field):
        """The words of a field, separated by spaces or commas."""
        return re.findall(r"[^\s,]+", self.head.get(field, ""))

    @property
    def targets(self):
        known = [path.stem for path in sorted((REPO / "fuzz/targets").glob("*_fuzzer.c"))]
        for name in self.words("Targets"):
            if name not in known:
                raise PatchError(f"Targets: {name}: one of {' '.join(known)} is wanted")
        return self.words("Targets")

    @property
    def rules(self):
        """The rules in its header: first the one that the defect is about, then others that it breaks."""
        return [] if self.canary else self.words("Rule")

    @property
    def budget_s(self):
        text = self.head.get("Budget", "60")
        try:
            value = float(text)
        except ValueError:
            value = 0
        if not 1 <= value < 10**9:
            raise PatchError(f"Budget: {text}: a number of seconds is wanted, from 1 on")
        return value

    @property
    def kind(self):
        kind = self.head.get("Kind", "plain")
        if kind not in KINDS:
            raise PatchError(f"Kind: {kind}: one of {' '.join(KINDS)} is wanted")
        return kind

    def files(self):
        return re.findall(r"^\+\+\+ (?:b/)?(\S+)", self.diff, re.M)


def read(path):
    try:
        whole = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise PatchError(f"{path}: {error.strerror}")
    start = re.search(r"^(diff |--- |Index: )", whole, re.M)
    if not start:
        raise PatchError(f"{path}: no diff in it: a defect is a patch for `patch -p1`")
    text = whole[: start.start()]
    head = dict(re.findall(r"^([A-Z][a-z]+): *(.*?) *$", text.split("\n\n")[0], re.M))
    return Patch(path, head, text, whole[start.start() :])


def place(given):
    """A path as given, for argparse; the upstream systems also under the folder's former name."""
    path = pathlib.Path(given)
    if not path.exists() and path.resolve() == PATCHES / "seeds":
        return str(path.with_name("upstream"))
    return given


def paths_of(place):
    """The patches of a file or folder; the usual ones if none is given."""
    place = pathlib.Path(place) if place else PATCHES
    if not place.exists():
        report.die(f"{place}: no such file or folder: DEFECTS= names a patch or a folder of them")
    paths = sorted(place.glob("*.patch")) if place.is_dir() else [place]
    if not paths:
        report.die(f"{place}: holds no *.patch")
    return paths


def series_of(place):
    """The paths of a folder with a file `series`, in its order; None for any other place."""
    series = pathlib.Path(place or PATCHES) / "series"
    if not series.is_file():
        return None
    names = [n for n in series.read_text(errors="replace").splitlines() if n.strip() and not n.startswith("#")]
    return [series.parent / name.strip() for name in names]


def own():
    """Those of this repository: the single defects, and the sets."""
    return [read(path) for path in paths_of(None) + sorted(PATCHES.glob("*/*.patch"))]


def witness_seeds():
    """The seeds of the corpus that are the witness of a patch, as `target/name`."""
    return [patch.head["Seed"] for patch in own() if "Seed" in patch.head]


def apply(patch, tree):
    """The output of `patch`; None if the patch does not apply."""
    command = ["patch", "-p1", "--force", "--no-backup-if-mismatch", "-r", "-", "-d", str(tree)]
    done = subprocess.run(command, input=patch.diff, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode == 0 else None


# ---------------------------------------------------------------- rules


def rule_number(rule):
    """5 for R5-grow-limit; 0 if it is no rule's name."""
    found = re.match(r"R(\d+)\b", rule or "")
    return int(found.group(1)) if found else 0


def rule_texts():
    """number -> (name, the rule in one line)."""
    lines = (PATCHES / "rules").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"R(\d+) ([\w-]+): (.*)", line) for line in lines]
    return {int(m.group(1)): (m.group(2), m.group(3)) for m in found if m}


def without_defect():
    """Rules that have no defect for a reason in the README: number -> why."""
    lines = re.findall(r"^- R(\d+): (.*)$", (PATCHES / "README.md").read_text(), re.M)
    return {int(number): why for number, why in lines}


def uncovered_rules(patches):
    """Rules without a defect and without a reason in the README."""
    covered = {rule_number(p.rules[0]) for p in patches if p.rules} | without_defect().keys()
    return [f"R{n}" for n in sorted(rule_texts()) if n not in covered]


# ---------------------------------------------------------------- check


def fields_fault(patch, fields, kinds):
    """What is wrong with the header of a patch of any set (its fields, its kind), or None."""
    missing = [field for field in fields if not patch.head.get(field)]
    if missing:
        return f"the header lacks {', '.join(missing)}"
    if patch.head.get("Kind", kinds[0]) not in kinds:
        return f"Kind: {patch.head['Kind']} is none of {' '.join(kinds)}"
    return None


def header_fault(patch, fields):
    given = [field for field in FIELDS if field in patch.head]
    if not fields and not given:
        return None  # a user's own patch, which needs no header
    fault = fields_fault(patch, fields, KINDS)
    if fault:
        return fault
    if not patch.canary and not patch.words("Rule"):
        return (f"the header has {', '.join(given)} and no Rule: say which rules it breaks, such as Rule: "
                "R5-grow-limit, or leave out the whole header")
    known = {f"R{number}-{name}" for number, (name, _) in rule_texts().items()}
    numbers = {f"R{number}" for number in rule_texts()}
    names = patch.words("Rule")
    if not patch.canary and not all(name in known or name.split("-")[0] in numbers and "-" in name for name in names):
        return (f"Rule: {patch.head['Rule']}: names of rules are wanted, a number (ref/RULES.md lists them) and any "
                "word, such as R5-grow-limit: the number is what counts")
    try:
        patch.targets
    except PatchError as error:
        return str(error)
    if "Seed" in patch.head and not (REPO / "corpus" / patch.head["Seed"]).is_file():
        return f"Seed: there is no corpus/{patch.head['Seed']}"
    return None


def units_of(patch, tree):
    """The .c files to compile: those patched, and for a header those that include it."""
    units = set()
    for name in patch.files():
        path = tree / name
        if path.suffix == ".c":
            units.add(path)
        else:
            wanted = f'#include "{path.name}"'
            units |= {c for c in path.parent.glob("*.c") if wanted in c.read_text()}
    return sorted(units)


def code_of(patch, tree):
    """The code of a patch's units as the compiler sees it, without comments; None if that is unknown."""
    if not all((tree / name).suffix in (".c", ".h") for name in patch.files()):
        return None
    command = [os.environ.get("CC", "gcc"), "-E", "-P", "-D_GNU_SOURCE", "-Iref"]
    done = subprocess.run(
        command + [str(unit.relative_to(tree)) for unit in units_of(patch, tree)],
        cwd=tree, capture_output=True, text=True
    )
    return done.stdout if done.returncode == 0 else None


def changes_code(patch, before, tree):
    """Whether the patch changes compiled code. `patch` guesses where lines go whose context has changed, and may put
    them inside a comment."""
    was, now = code_of(patch, before), code_of(patch, tree)
    return was is None or now is None or was != now


def compile_fault(patch, tree):
    flags = "-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes"
    command = [os.environ.get("CC", "gcc"), *flags.split(), "-Wmissing-prototypes", "-Werror"]
    command += ["-fsyntax-only", "-Iref", *(str(u.relative_to(tree)) for u in units_of(patch, tree))]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    return None if done.returncode == 0 else "does not compile:\n" + done.stderr[:2000]


def applies_fault(patch, tree, own_one):
    """tree: a copy of ref/ with mark.h. A patch of the repository must fit exactly."""
    said = apply(patch, tree)
    if said is None:
        return (
            "no longer applies to ref/. Find where it belongs with\n"
            f"     patch -p1 --dry-run < {report.shown(patch.path)}\n"
            "     edit a copy of ref/ by hand, and put `diff -U2` of the two in its place"
        )
    if own_one and " with fuzz " in said:
        return (
            "the lines around it have changed: `patch` guesses its place. If the guess is right,\n"
            "     `scripts/defects.py refresh` rewrites the patch"
        )
    return None if changes_code(patch, REPO, tree) else INERT


def check_one(patch, fields=FIELDS):
    fault = header_fault(patch, fields)
    if fault:
        return fault
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        shutil.copytree(REPO / "ref", tree / "ref", ignore=shutil.ignore_patterns("tests"))
        (tree / "fuzz" / "defects").mkdir(parents=True)
        shutil.copy(PATCHES / "mark.h", tree / "fuzz" / "defects")
        return applies_fault(patch, tree, bool(fields)) or compile_fault(patch, tree)


def check(place=None):
    """`make test-defects`: checks the repository's patches, or those of a file or folder."""
    passed = failed = 0

    def say(fault, name):
        nonlocal passed, failed
        passed, failed = passed + (not fault), failed + bool(fault)
        print(f"FAIL {name}: {fault}" if fault else f"PASS {name}", flush=True)

    fields = itertools.repeat(FIELDS if place is None else ())
    patches = own() if place is None else [read(path) for path in paths_of(place)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for patch, fault in zip(patches, pool.map(check_one, patches, fields)):
            say(fault, f"defect_applies_{patch.name}")
    if place is None:
        say(", ".join(uncovered_rules(patches)), "each_rule_has_a_defect_or_a_reason")
        say("" if sum(p.canary for p in patches) >= 5 else "too few", "five_canaries_or_more")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


# ---------------------------------------------------------------- refresh


def difference(tree):
    """The difference between ref/ of tree/a and tree/b, in the format of the patches here."""
    command = ["diff", "-U2", "-r", "-N", "a", "b"]
    fresh = subprocess.run(command, cwd=tree, capture_output=True, text=True).stdout
    fresh = re.sub(r"^diff .*\n", "", fresh, flags=re.M)
    return re.sub(r"^((?:---|\+\+\+) \S+)\t.*$", r"\1", fresh, flags=re.M)


def refresh():
    """Rewrites the patches that still apply, with today's line numbers and context."""
    lost = 0
    for patch in own():
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            for side in ("a", "b"):
                shutil.copytree(REPO / "ref", tree / side / "ref")
            if apply(patch, tree / "b") is None:
                print(f"{patch.path.relative_to(REPO)}: no longer applies: edit it by hand")
                lost += 1
                continue
            fresh = difference(tree)
            if fresh != patch.diff:
                patch.path.write_text(patch.text + fresh, encoding="utf-8")
                print(f"{patch.path.relative_to(REPO)}: refreshed")
    return 1 if lost else 0
