"""runner.py: runs the scoreboard: each patch planted, fuzzed, judged; sets of patches; the verdict."""
import concurrent.futures
import fcntl
import itertools
import json
import os
import pathlib
import shutil
import sys
import threading
import traceback
import types

from pagebox.defects import trials
from pagebox.defects import patchfile
from pagebox.defects import page
from pagebox.defects import verdicts as rows
from pagebox.defects import patchset
from pagebox.defects import planting
from pagebox.defects import witnesses
from pagebox.common import builder
from pagebox.common import report

TIME_S = 60  # per target, if neither TIME nor the patch says
QUICK_S = 20  # at most, for a defect of the subset for CI, which is caught within few executions
QUICK_CANARY_S = 2
SEED_STEP = 1000  # added to the seed after a finding that the pristine tree shows too
SCHEDULED = ("schedule", "order")  # kinds of defects for which the source of schedules matters
ROWS = "rows.jsonl"  # file of a run under way: its options and number of patches, then its rows


class Board:
    """What all runs share: options, the base tree, seeds, processes, rows."""

    def __init__(self, options):
        self.options, self.run = options, None
        self.use(pathlib.Path(options.work or planting.WORK))
        self.name_width = page.NAME_WIDTH
        self.lock = threading.Lock()
        self.processes = trials.Processes()
        self.items = []
        self.begun = self.count = 0  # numbers of patches
        names = [path.stem for path in sorted((planting.REPO / "fuzz/targets").glob("*_fuzzer.c"))]
        self.targets = [n for n in names if not options.target or n == options.target]
        if not self.targets:
            report.die(f"there is no target {options.target}: there are {', '.join(names)}")
        self.engines = options.engines
        self.configurations = configurations(options)
        self.picked = picked() if options.quick else {}
        self.without_witness = options.quick or options.no_witness

    def use(self, work):
        """Sets the folder of the copies."""
        self.work = work.resolve()
        self.base = self.work / "base"

    @property
    def stopping(self):
        return self.processes.stopping

    def goals(self, targets):
        return [f"build/{e}/{t}" for e in self.engines for t in targets]

    def seeds(self, target):
        return None if self.options.empty else self.work / "seeds" / target

    def prepare(self):
        """Builds the pristine copy and packs the seeds."""
        planting.mirror_sources(self.base)
        tools = [planting.REPLAY] + [planting.SHRINK] * (not self.without_witness)
        tools += [planting.MUTATOR] * ("afl" in self.engines)
        fault = builder.build(tools + self.goals(self.targets), folder=self.base, children=self.processes)
        if fault and not self.stopping:
            report.die(f"the pristine tree does not build:\n{fault}")
        for target in self.targets:
            seeds = self.work / "seeds" / target
            shutil.rmtree(seeds, ignore_errors=True)
            seeds.mkdir(parents=True)
            texts = planting.REPO / "corpus" / target
            if texts.is_dir() and any(texts.iterdir()):
                replay = str(self.base / planting.REPLAY)
                self.processes.run([replay, "-q", "-b", str(seeds), str(texts)], timeout=300)
        for name in patchfile.witness_seeds():
            (self.work / "seeds" / name).unlink(missing_ok=True)

    def starts(self, patch):
        """Says which patch is under way; its row comes when it is done. Not printed among the rows, which may go to a
        file."""
        with self.lock:
            self.begun += 1
            print(f"{patch.name}: {self.begun} of {self.count} patches", file=sys.stderr, flush=True)

    def keep(self, item):
        """Shows a finished row on screen, and saves it on disk in case this program is killed."""
        with self.lock:
            self.items.append(item)
            print(page.line(item, self.name_width), flush=True)
            if not self.run.final:
                note(self.run, item)


def configurations(options):
    return list(itertools.product(options.engines, options.scheds))


def note(run, value):
    with open(run.path(ROWS), "a", encoding="utf-8") as file:
        file.write(json.dumps(report.plain(value)) + "\n")


def picked():
    """The subset for CI: defect -> the target that catches it."""
    lines = (patchfile.PATCHES / "quick").read_text().splitlines()
    return dict(line.split()[:2] for line in lines if line.strip() and not line.startswith("#"))


# ---------------------------------------------------------------- one patch


def judge(board, trial, catch, item, spent, wants_witness):
    """Enters a catch into the item. False if the pristine tree fails on the input too, because then the input does not
    show the defect."""
    env, witness = trial.environment(), None
    if catch.input:
        if wants_witness and not board.stopping:
            witness = witnesses.show(
                board.processes, trial.tree, trial.target, catch, env, trial.folder, item["name"]
            )
        clean = witnesses.pristine_is_clean(
            board.processes, board.base, item["engine"], trial.target, catch,
            witness and witness.operations, env, trial.folder
        )
        if not clean and not board.stopping:
            item["pristine"] = False
            item["note"] = (f"the pristine tree fails, too: {catch.oracle}: {trial.target}, seed "
                            f"{trial.folder.name}, input {catch.input.read_bytes().hex()}")
            return False
        item["pristine"] = item["pristine"] is not False
        item["input"] = str(catch.input.relative_to(board.run.dir))
    rows.caught(item, catch, spent, trial.seeds)
    rows.show_witness(item, witness, board.run.dir)
    return True


def fuzz_target(board, tree, target, item, seconds, spent, folder, wants_witness):
    """Runs one target until it catches the defect or runs out of time. After a finding that the pristine tree shows
    too, it continues with another seed."""
    used, seed = 0.0, item["seed"]
    while seconds - used >= 1 and not board.stopping:
        trial = trials.Trial(
            board.processes, tree, target, item["sched"], seed, seconds - used,
            folder / str(seed), board.seeds(target)
        )
        outcome = trials.run(item["engine"], trial)
        rows.enter(item, outcome, spent + used)
        if not outcome.catch:
            return False
        if judge(board, trial, outcome.catch, item, spent + used, wants_witness):
            return True
        used += max(1.0, outcome.catch.seconds)
        seed += SEED_STEP
    return False


def seconds_of(board, patch):
    if board.options.quick:
        return QUICK_CANARY_S if patch.canary else QUICK_S
    return board.options.time or patch.budget_s


def fuzz_once(board, patch, tree, targets, item, wants_witness):
    """One patch, one configuration, one seed: its targets in turn until one catches the defect."""
    seconds, spent = seconds_of(board, patch), 0.0
    item["budget_s"] = seconds * len(targets)
    for target in targets:
        name = "-".join([patch.name, item["engine"], item["sched"], str(item["seed"]), target])
        folder = board.run.path(f"raw/{name}/log").parent
        item["target"] = target
        if fuzz_target(board, tree, target, item, seconds, spent, folder, wants_witness):
            return
        if board.stopping:
            return
        spent += seconds


def refuse(board, item, why):
    item["error"] = why.strip().splitlines()[0]
    item["note"] = why
    board.keep(item)


def targets_of(board, patch):
    if patch.name in board.picked:
        return [t for t in board.targets if t == board.picked[patch.name]]
    return [t for t in patch.targets or board.targets if t in board.targets]


def configurations_of(board, patch):
    """When schedules are compared, a patch to which they do not matter runs under the first configuration only."""
    first = board.configurations[0][1]
    matters = patch.head.get("Kind", "schedule") in SCHEDULED
    return [c for c in board.configurations if matters or c[1] == first]


def board_patch(board, path, tree):
    """All runs of one patch."""
    blank = patchfile.Patch(path, {}, "", "")
    first, seed = board.configurations[0], board.options.seed
    try:
        patch = patchfile.read(path)
        patch.kind, patch.budget_s, patch.targets  # these raise an error for what they cannot read
    except patchfile.PatchError as error:
        return refuse(board, rows.item_of(blank, *first, seed), str(error))
    board.starts(patch)
    targets = targets_of(board, patch)
    if not targets:
        why = "no such target here: " + " ".join(patch.targets)
        return refuse(board, rows.item_of(patch, *first, seed), why)
    fault = planting.plant(
        board.processes.run, board.base, patch, tree, board.goals(targets)
    )
    if board.stopping:
        return
    if fault:
        refuse(board, rows.item_of(patch, *first, seed), fault)
    else:
        run_all(board, patch, tree, targets)


def run_all(board, patch, tree, targets):
    shrunk = False
    for seed in range(board.options.seed, board.options.seed + board.options.seeds):
        for engine, sched in configurations_of(board, patch):
            item = rows.item_of(patch, engine, sched, seed)
            fuzz_once(board, patch, tree, targets, item, not board.without_witness and not shrunk)
            shrunk = shrunk or item["witness_shrunk"]
            if not board.stopping or item["oracle"]:
                board.keep(item)
            if board.stopping:
                return


# ---------------------------------------------------------------- the verdict


def told(faults, quick):
    """Lines that name the problems; with --quick also a line per patch, as for a test."""
    for title, names in zip(("missed", "caught canaries", "pristine fails on", "errors"), faults):
        if names:
            yield f"{title}: {' '.join(names)}\n"
            yield from (f"FAIL scoreboard_{name}: {title}\n" for name in names if quick)


def why_it_fails(missed, canaries, broken, errors):
    """The last line, so that make's error is not taken for a fault of the scoreboard."""
    kinds = [(errors, "could not be run"), (missed, "missed"), (canaries, "of the canaries caught"),
             (broken, "caught on an input that the pristine tree fails on, too")]
    return f"status {2 if errors else 1}: " + ", ".join(f"{len(names)} {words}" for names, words in kinds if names)


def finish(board, count, series=None, status=None):
    """Writes the report and the last lines; returns the exit status. count: of the requested patches."""
    items = list(board.items)
    missed, canaries, broken, errors = faults = rows.verdict(items, len(board.configurations))
    hidden = series and any(i["oracle"] for i in items)  # a set lists what it breaks, which hides the rest
    failing = (missed and not hidden) or canaries or broken
    status = status or ("error" if errors else "finding" if failing else "pass")
    made = page.page(items, faults, board.options, count, series)
    path = board.run.finish(status, *made)
    (path / ROWS).unlink(missing_ok=True)
    must = {i["name"] for i in items if i["must"] and i["oracle"]} - set(missed)
    silent = {i["name"] for i in items if not i["must"]} - set(canaries) - set(errors)
    print("".join(told(faults, board.options.quick)), end="")
    if not board.options.empty:
        print(page.by_words(items))
    print(page.by_names(items))
    print(f"canaries missed, as they must be: {len(silent)}")
    print(f"report: {report.shown(path / 'report.html')}")
    if board.options.quick:
        wrong = len(missed) + len(canaries) + len(set(broken) - set(missed)) + len(errors)
        print(f"{len(must) + len(silent)} passed, {wrong} failed")
    if status == "interrupted":
        print(f"interrupted: {max(0, count - len({i['name'] for i in items}))} of {count} patches were not run")
    print(f"{len(must)} caught, {len(missed)} missed")
    if failing or errors:
        print(why_it_fails(missed if failing else [], canaries, broken, errors))
    sys.stdout.flush()
    return 2 if errors else 1 if failing else 0


# ---------------------------------------------------------------- all of it


def chosen(options, paths):
    """The paths that --quick, --only and --target select. Unreadable ones stay, so that a row says why."""
    patches, names = [], picked()
    for path in paths:
        try:
            patches.append(patchfile.read(path))
        except patchfile.PatchError:
            patches.append(patchfile.Patch(path, {}, "", ""))
    if options.quick:
        patches = [p for p in patches if p.name in names or p.canary]
    wanted = report.pattern(options.only, "ONLY")
    patches = [p for p in patches if wanted.search(f"{p.name} {p.head.get('Kind', '')}")]
    if options.target:
        seen = lambda p: [names[p.name]] if options.quick and p.name in names else p.targets
        patches = [p for p in patches if not seen(p) or options.target in seen(p)]
    if not patches:
        report.die("no patch is left to run: ONLY= is a regular expression on names and kinds, TARGET= "
                   "leaves out what it cannot see")
    return [p.path for p in patches]


def run_patches(board, paths):
    board.count = len(paths)
    jobs = min(board.options.jobs, len(paths))
    trees = [board.work / f"tree{i}" for i in range(jobs)]

    def work(path):
        if board.stopping:
            return
        with board.lock:
            tree = trees.pop()
        try:
            board_patch(board, path, tree)
        finally:
            with board.lock:
                trees.append(tree)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, path) for path in paths]
        try:
            for future in futures:
                future.result()
        except BaseException:
            board.processes.stop()
            raise


WORKS = 8  # how many scoreboards may run at once in one checkout


def take_work(board, options):
    """The folder of this run's copies: the usual one, or the next if another scoreboard of this checkout uses it."""
    if options.work:
        return one_at_a_time(pathlib.Path(options.work))
    for number in range(1, WORKS + 1):
        work = planting.WORK if number == 1 else planting.WORK.with_name(f"{planting.WORK.name}-{number}")
        try:
            guard = one_at_a_time(work, wait=True)
        except BlockingIOError:
            continue
        board.use(work)
        return guard
    report.die(f"{WORKS} scoreboards are running in this checkout: wait for one, or use a copy")


def one_at_a_time(work, wait=False):
    """Locks the copies, which are kept from run to run: two scoreboards with the same ones would disturb each other."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        guard = open(work / "lock", "w")
    except OSError as error:
        report.die(f"cannot write in {work}: {error.strerror}: free space, or check rights")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if wait:
            raise BlockingIOError from error
        report.die("another scoreboard is running in this checkout: wait for it, or use a copy")
    return guard


def check_tools(engines):
    needed = ["make", "clang", "patch"] + ["afl-fuzz", "afl-clang-fast"] * ("afl" in engines)
    for tool in needed:
        if shutil.which(tool) is None:
            other = ", or choose ENGINE=libfuzzer" if tool.startswith("afl") else ""
            report.die(f"{tool} is missing: run scripts/setup defects{other}")


def cut_short(board, count, series, error):
    """The disk is full or similar: reports what was done, as far as it can be written."""
    board.processes.stop()
    if isinstance(error, BrokenPipeError):  # the reader has gone, as with `| head`
        print("defects.py: standard output was closed", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    elif isinstance(error, OSError):
        print(f"defects.py: {error.filename or board.run.dir}: {error.strerror}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    finish(board, count, series, "error")
    report.die("stopped: free some space, or fix the error above; the report has what was done")


def refuse_with_set(options):
    """Refuses options that a set (one tree that is fuzzed on after each finding) would ignore."""
    given = {"ENGINE": options.engine != "libfuzzer", "SCHED": options.sched != ["bytes"],
             "SEEDS": options.seeds > 1, "ONLY": options.only, "QUICK": options.quick,
             "WITNESS": options.no_witness}
    if any(given.values()):
        names = " ".join(f"{name}=" for name, value in given.items() if value)
        report.die(f"{options.defects} is a set, fuzzed as one tree: it takes TARGET= TIME= SEED= EMPTY=, not {names}")


def whole_lines(path):
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return  # the last line may have been cut


def killed(root):
    """For each killed run: its folder, its options, its rows. Runs that are still under way are not included."""
    home = pathlib.Path(root or report.REPO) / "results" / "defects"
    for path in sorted(home.glob(f".*.tmp/{ROWS}")):
        plan, *items = list(whole_lines(path)) or [{}]
        if "options" in plan:
            yield path.parent, plan, items


def recover(options):
    """Writes the reports of killed runs, with status interrupted."""
    guard = one_at_a_time(pathlib.Path(options.work or planting.WORK))
    count = 0
    for folder, plan, items in killed(options.root):
        asked = types.SimpleNamespace(**plan["options"])
        board = types.SimpleNamespace(items=items, options=asked, configurations=configurations(asked))
        board.run = report.Run.reopen(folder, plan["commit"], plan["dirty"])
        series = [patchfile.read(path) for path in patchfile.series_of(asked.defects) or []]
        finish(board, plan["count"], series, "interrupted")
        count += 1
    guard.close()
    if count == 0:
        print("no run was killed: nothing to recover")
    return 0


def run(options):
    """`make defects`."""
    if os.environ.get("SUBJECT"):
        report.die("defects are planted into sources, not into a SUBJECT=: say SUBJECT_SRC=folder")
    check_tools(options.engines)
    series = patchfile.series_of(options.defects)
    try:
        series = series and [patchfile.read(path) for path in series]
    except patchfile.PatchError as error:
        report.die(str(error))
    if series:
        refuse_with_set(options)
    board = Board(options)
    paths = [p.path for p in series] if series else chosen(options, patchfile.paths_of(options.defects))
    board.name_width = page.name_width(path.stem for path in paths)
    guard = take_work(board, options)
    for folder, _, _ in killed(options.root):
        print(f"{report.shown(folder)} is from a killed run: scripts/defects.py recover writes its report")
    board.run = report.Run("defects", options.root)
    asked = {"options": vars(options), "count": len(paths), "commit": board.run.commit, "dirty": board.run.dirty}

    def stop():
        board.processes.stop()
        finish(board, len(paths), series, "interrupted")

    report.on_interrupt(stop)
    print(f"{len(paths)} patches; building the pristine tree in {report.shown(board.base)}")
    try:
        note(board.run, asked)
        board.prepare()
        print(page.heading(board.name_width), flush=True)
        if series:
            patchset.run(board, series)
        else:
            run_patches(board, paths)
        return finish(board, len(paths), series)
    except Exception as error:
        cut_short(board, len(paths), series, error)
    finally:
        guard.close()
