"""coverage.py: what seeds and tests reach in ref/, as numbers and as pages; results/coverage/<stamp>/.

    scripts/coverage.py           # `make coverage`: builds nothing itself, runs everything
    scripts/coverage.py --test    # `make test-coverage`: the same as tests; no report is kept

Seeds: corpus/ (with regress) and the engine's witnesses, with schedules from bytes and from each random source.
Tests: those of ref/. Measures clang's source-based coverage of ref/ only: lines, and each condition of a branch
being true and being false. Assertions are compiled out (NDEBUG), because they are for our own mistakes. The
goal, 100 % of lines and 95 % of branches, is for seeds and tests together: tests reach the error paths of
os_linux.c by failing the C library's calls, which no seed can do. Both are also shown separately.
ref/tests/unreached.txt explains what nothing reaches, fuzz/tests/unseeded.txt what no seed reaches. A line or branch
without an explanation fails, and so does an explanation that is no longer true.
Exit status: 0 all reached or explained, 1 not, or a run failed; 2 usage or set-up; 130 interrupted,
which leaves no report.
"""
import dataclasses
import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from pagebox.common import report

BUILD = report.REPO / "build" / "cov"
UNREACHED = report.REPO / "ref" / "tests" / "unreached.txt"
UNSEEDED = report.REPO / "fuzz" / "tests" / "unseeded.txt"
GOAL = {"lines": 100, "branches": 95}  # per cent, of seeds and tests together
SEEDS = ["corpus", "fuzz/tests/engine"]
SOURCES = ("bytes", "uniform", "pct", "pos")
GROUPS = ("seeds", "tests", "both")
BRANCH = 4  # the kind of region that llvm-cov calls a branch
SIDES = ("true", "false")


@dataclasses.dataclass(frozen=True)
class Place:
    """One thing that can be reached. what: line, true or false; text: the line, or the condition."""

    file: str
    line: int
    column: int
    function: str
    what: str
    text: str
    copy: int = 0  # a macro's condition is counted once per use of the macro


@dataclasses.dataclass
class Explanation:
    """A row of the explanations; all fields are shell patterns. sometimes: a matter of timing, reached in some runs."""

    at: str  # file and line of the row
    file: str
    function: str
    what: str
    text: str
    reason: str
    sometimes: bool = False
    used: int = 0

    def fits(self, place):
        return (
            fnmatch.fnmatchcase(place.what, self.what)
            and fnmatch.fnmatchcase(place.file, self.file)
            and fnmatch.fnmatchcase(place.function, self.function)
            and fnmatch.fnmatchcase(place.text, self.text)
        )


# ---------------------------------------------------------------- explanations


def explanations(path):
    """Reads rows: file | function | line, true, false or * | text | reason; # starts a comment. A ? after the third
    field: reached in some runs, so that reaching it is no error."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        report.die(f"{path}: cannot be read: {error}")
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split(" | ")]
        if len(fields) != 5 or fields[2].rstrip("?") not in ("line", *SIDES, "*") or not all(fields):
            report.die(f"{path}:{number}: the format is file | function | line, true, false or * | text | reason")
        sometimes = fields[2].endswith("?")
        fields[2] = fields[2].rstrip("?")
        rows.append(Explanation(f"{path.name}:{number}", *fields, sometimes))
    return rows


def explain(place, rows):
    """The reason why a place is not reached, or None."""
    for row in rows:
        if row.fits(place):
            row.used += 1
            return row.reason
    return None


# ---------------------------------------------------------------- running


def tool(name):
    """llvm-14's program, under its own name if the plain one is missing."""
    for candidate in (f"{name}-14", name):
        if shutil.which(candidate):
            return candidate
    report.die(f"{name} is missing: run scripts/setup test (package llvm-14)")


def call(command, log, **environment):
    """Runs one of our programs with its output in the log. Returns its exit status."""
    with open(log, "a") as out:
        out.write(f"$ {' '.join(map(str, command))}\n")
        out.flush()
        done = subprocess.run(
            command, stdout=out, stderr=out, cwd=report.REPO, env={**os.environ, **environment}
        )
    return done.returncode


def convert(command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=report.REPO)
    if done.returncode != 0:
        report.die(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def collect(work, log):
    """Runs seeds and tests; returns the names of those that failed."""
    failed = []
    for source in SOURCES:
        environment = {"SCHED": source, "LLVM_PROFILE_FILE": f"{work}/seeds-%m.profraw"}
        if call([BUILD / "replay", "-q", *SEEDS], log, **environment) != 0:
            failed.append(f"seeds with schedules from {source}")
    environment = {"LLVM_PROFILE_FILE": f"{work}/tests-%m.profraw"}
    if call([BUILD / "ref-tests", "-q"], log, **environment) != 0:
        failed.append("ref-tests")
    return failed


def left_out(log):
    """What replay said about seeds whose operations did not all run, once per seed."""
    said = re.findall(r"^(\S+): nothing found; (.* left out: .*)$", log.read_text(), re.M)
    return sorted(set(said))


def profiles(work):
    """One merged profile per group."""
    merge = [tool("llvm-profdata"), "merge", "-o"]
    paths = {group: work / f"{group}.profdata" for group in GROUPS}
    for group in ("seeds", "tests"):
        raw = sorted(map(str, work.glob(f"{group}-*.profraw")))
        if not raw:
            report.die(f"no counters were written by the {group}: build/cov is incomplete: remove it and run again")
        convert(merge + [str(paths[group]), *raw])
    convert(merge + [str(paths["both"]), str(paths["seeds"]), str(paths["tests"])])
    return paths


# ---------------------------------------------------------------- reading what llvm-cov says


class Sources:
    """Lines of the files that are covered."""

    def __init__(self):
        self.lines = {}

    def line(self, file, number):
        if file not in self.lines:
            path = report.REPO / "ref" / file
            self.lines[file] = path.read_text(encoding="utf-8").splitlines()
        if number > len(self.lines[file]):
            report.die(f"ref/{file} has changed since build/cov was made: run `make coverage`")
        return self.lines[file][number - 1]

    def span(self, file, line, column, end_line, end_column):
        """The condition's text, on one line."""
        if line == end_line:
            return self.line(file, line)[column - 1 : end_column - 1]
        parts = [self.line(file, line)[column - 1 :]]
        parts += [self.line(file, n) for n in range(line + 1, end_line)]
        parts += [self.line(file, end_line)[: end_column - 1]]
        return " ".join(part.strip() for part in parts)


def plain_name(name):
    """The function's name: for static functions llvm-cov gives file.c:name."""
    return name.rpartition(":")[2]


def branches_of(exported, sources):
    """Place -> count; copies of a header's function in several files are added up."""
    counts = {}
    for function in exported["functions"]:
        for line, column, end_line, end_column, true, false, file, _, kind in function["branches"]:
            if kind != BRANCH:
                continue
            name = pathlib.Path(function["filenames"][file]).name
            text = sources.span(name, line, column, end_line, end_column)
            for side, count in zip(SIDES, (true, false)):
                copy = file if name.endswith(".c") else 0
                place = Place(name, line, column, plain_name(function["name"]), side, text, copy)
                counts[place] = counts.get(place, 0) + count
    return counts


def functions_at(exported):
    """(file, line) -> the name of the enclosing function."""
    names = {}
    for function in exported["functions"]:
        first, last = function["regions"][0][0], function["regions"][0][2]
        name = pathlib.Path(function["filenames"][0]).name
        for line in range(first, last + 1):
            names[name, line] = plain_name(function["name"])
    return names


def lines_of(lcov, names, sources):
    """Place -> count, from llvm-cov's lcov format, which has its line counts."""
    counts, file = {}, None
    for record in lcov.splitlines():
        kind, _, value = record.partition(":")
        if kind == "SF":
            file = pathlib.Path(value).name
        elif kind == "DA":
            line, count = map(int, value.split(",")[:2])
            text = sources.line(file, line).strip()
            function = names.get((file, line), "")
            counts[Place(file, line, 0, function, "line", text)] = count
    return counts


def read(profile, sources):
    """(lines, branches) of one group, each place -> count."""
    export = [tool("llvm-cov"), "export", str(BUILD / "ref-tests"), f"-instr-profile={profile}"]
    exported = json.loads(convert(export))["data"][0]
    lines = lines_of(convert(export + ["-format=lcov"]), functions_at(exported), sources)
    return lines, branches_of(exported, sources)


def pages(profiles_of, run):
    """The annotated sources as HTML, a folder per group."""
    for group, profile in profiles_of.items():
        convert(
            [tool("llvm-cov"), "show", str(BUILD / "ref-tests"), f"-instr-profile={profile}"]
            + ["-format=html", "-show-branches=count", f"-output-dir={run.path(group)}"]
            + [f"-project-title=ref/ by {group}", "-Xdemangler=cat"]
        )


# ---------------------------------------------------------------- the result


class Result:
    """What was reached, by group; what was not reached at all or not by seeds, with the reasons."""

    def __init__(self, counts, rows, unseeded=()):
        self.lines = {group: counts[group][0] for group in GROUPS}
        self.branches = {group: counts[group][1] for group in GROUPS}
        self.unreached = []  # (place, reason or None)
        for places in (self.lines["both"], self.branches["both"]):
            self.unreached += [(p, explain(p, rows)) for p, count in places.items() if count == 0]
        # What only some runs reach is reached by tests, whose threads are real.
        reasons = [*unseeded, *(row for row in rows if row.sometimes)]
        self.unseeded = [(p, explain(p, reasons)) for p in self.only_tests()]
        for pairs in (self.unreached, self.unseeded):
            pairs.sort(key=lambda pair: (pair[0].file, pair[0].line, pair[0].column))
        self.stale = [row for row in (*rows, *unseeded) if row.used == 0 and not row.sometimes]

    def unexplained(self):
        return [place for place, reason in self.unreached + self.unseeded if reason is None]

    def share(self, kind, group, file=None):
        """(reached, total) of lines or branches."""
        places = getattr(self, kind)[group]
        counts = [count for place, count in places.items() if file in (None, place.file)]
        return sum(count > 0 for count in counts), len(counts)

    def files(self):
        return sorted({place.file for place in self.lines["both"]})

    def only_tests(self):
        """What tests reach and no seed does."""
        for kind in ("lines", "branches"):
            seeds, both = getattr(self, kind)["seeds"], getattr(self, kind)["both"]
            yield from (p for p, count in both.items() if count > 0 and seeds.get(p, 0) == 0)


def percent(reached, count):
    return 100 * reached / count if count else None


def page_link(file):
    """llvm-cov names its pages after the absolute path of the source."""
    return report.Link(file, f"both/coverage{report.REPO}/ref/{file}.html")


def file_table(result):
    columns = ["file"]
    for kind in ("lines", "branches"):
        columns += [kind] + [f"{kind} % by {group}" for group in GROUPS]
    rows = []
    for file in [*result.files(), None]:
        row = ["all" if file is None else page_link(file)]
        for kind in ("lines", "branches"):
            row.append(result.share(kind, "both", file)[1])
            row += [percent(*result.share(kind, group, file)) for group in GROUPS]
        rows.append(row)
    return report.Table(columns, rows, align="l" + "r" * (len(columns) - 1))


def what_of(place):
    return "line" if place.what == "line" else f"never {place.what}"


def places_table(pairs, what):
    rows = [
        [f"{p.file}:{p.line}", p.function, what(p), p.text, reason or "**not explained**"]
        for p, reason in pairs
    ]
    return report.Table(["place", "function", "what", "text", "why"], rows, align="lllll")


def sections_of(result, failed, partial):
    sections = []
    if partial:
        text = "\n".join(f"- {name}: {what}" for name, what in partial)
        sections.append(report.Section("Seeds that did not run whole", f"They reach less than their operations say.\n\n{text}"))
    if failed:
        text = "\n".join(f"- {name}" for name in failed)
        sections.append(report.Section("Runs that failed", f"See log.txt.\n\n{text}"))
    if result.stale:
        text = "\n".join(f"- {row.at}: {row.file} {row.function}: {row.text}" for row in result.stale)
        sections.append(report.Section("Stale explanations: take them out", text))
    sections.append(report.Section("By file", "[All annotated sources](both/index.html): by both; "
        "[by seeds](seeds/index.html), [by tests](tests/index.html).", table=file_table(result)))
    sections.append(report.Section("What nothing reaches", f"{UNREACHED.relative_to(report.REPO)} "
        "holds the explanations.", table=places_table(result.unreached, what_of)))
    text = f"{UNSEEDED.relative_to(report.REPO)} says why no seed does."
    sections.append(report.Section("Reached only by tests", text,
                                   table=places_table(result.unseeded, lambda p: p.what)))
    return sections


def summary_of(result):
    summary = {}
    for kind in ("lines", "branches"):
        summary[kind] = result.share(kind, "both")[1]
        for group in GROUPS:
            reached, count = result.share(kind, group)
            summary[f"{kind}_percent_{group}"] = round(percent(reached, count), 2)
    summary["unreached"] = len(result.unreached)
    summary["tests_alone"] = len(result.unseeded)
    summary["unexplained"] = len(result.unexplained())
    summary["stale_explanations"] = len(result.stale)
    return summary


def items_of(result):
    items = []
    for file in result.files():
        item = {"name": file}
        for kind in ("lines", "branches"):
            item[kind] = result.share(kind, "both", file)[1]
            for group in GROUPS:
                item[f"{kind}_{group}"] = result.share(kind, group, file)[0]
        for name, pairs in (("unreached", result.unreached), ("tests_alone", result.unseeded)):
            item[name] = [
                {"line": p.line, "function": p.function, "what": p.what, "text": p.text, "why": reason}
                for p, reason in pairs
                if p.file == file
            ]
        items.append(item)
    return items


def complaints(result):
    """Lines to print, by what makes the status 1."""
    made = {"lines": [], "branches": [], "seeds": []}
    made["stale"] = [f"{row.at}: stale: all that it explains is reached or gone" for row in result.stale]
    for place in (place for place, reason in result.unreached if reason is None):
        kind = "lines" if place.what == "line" else "branches"
        made[kind].append(f"ref/{place.file}:{place.line}: {place.function}: {what_of(place)}: {place.text}")
    for place in (place for place, reason in result.unseeded if reason is None):
        where = f"ref/{place.file}:{place.line}: {place.function}"
        made["seeds"].append(f"{where}: {place.what} only by tests: {place.text}")
    return made


def check(name, complaint):
    print(f"FAIL {name}: {complaint}" if complaint else f"PASS {name}")
    return not complaint


def judge(result, failed):
    """The verdict as tests; returns the exit status."""
    of = complaints(result)
    passed = [
        check("coverage_runs_end_well", ", ".join(failed)),
        check("coverage_lines_are_reached_or_explained", "; ".join(of["lines"])),
        check("coverage_branches_are_reached_or_explained", "; ".join(of["branches"])),
        check("coverage_what_tests_alone_reach_is_explained", "; ".join(of["seeds"])),
        check("coverage_explanations_are_not_stale", "; ".join(of["stale"])),
    ]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    return 0 if all(passed) else 1


def finish(run, result, failed):
    bad = failed or result.unexplained() or result.stale
    partial = left_out(run.path("log.txt"))
    summary = summary_of(result)
    shares = [f"{summary[f'lines_percent_{g}']:.1f} and {summary[f'branches_percent_{g}']:.1f} %" for g in GROUPS]
    lead = (f"Of the lines and branches of ref/ seeds reach {shares[0]}, tests {shares[1]}, both together "
            f"{shares[2]} (the aim: {GOAL['lines']} and {GOAL['branches']} %). The verdict depends on the rest: each line and "
            f"branch that no seed reaches must be explained, and {summary['unexplained']} are not."
            f"{f' Of {len(partial)} seeds operations were left out.' if partial else ''}")
    path = run.finish("finding" if bad else "pass", summary, items_of(result),
                      sections_of(result, failed, partial), "Coverage of ref/", lead)
    for complaint in sum(complaints(result).values(), []):
        print(complaint, file=sys.stderr)
    for name in failed:
        print(f"coverage: {name} failed: see {path / 'log.txt'}", file=sys.stderr)
    print(f"{lead}\n{path.relative_to(report.REPO)}/report.html")
    return 1 if bad else 0


def clean_up(run, folder):
    """Half a coverage run means nothing: no report is kept."""
    if not run.final:
        shutil.rmtree(run.dir, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    print("coverage: interrupted: no report is written", file=sys.stderr)


def main():
    arguments = sys.argv[1:]
    report.help_if_asked(__doc__)
    if arguments not in ([], ["--test"]):
        report.die("usage: scripts/coverage.py [--test]")
    for program in ("replay", "ref-tests"):
        if not (BUILD / program).exists():
            report.die(f"{BUILD / program}: not built: `make coverage` builds it")
    testing = arguments == ["--test"]
    rows, unseeded = explanations(UNREACHED), explanations(UNSEEDED)
    with tempfile.TemporaryDirectory() as folder:
        work, sources = pathlib.Path(folder), Sources()
        run = report.Run("coverage", root=folder if testing else None)
        report.on_interrupt(lambda: clean_up(run, folder))
        failed = collect(work, run.path("log.txt"))
        paths = profiles(work)
        result = Result({group: read(path, sources) for group, path in paths.items()}, rows, unseeded)
        if testing:
            return judge(result, failed)
        pages(paths, run)
        return finish(run, result, failed)
