"""patchset.py: a set of patches: one tree with all of them, fuzzed on after each finding."""
import re
import time

from pagebox.defects import trials
from pagebox.defects import patchfile
from pagebox.defects import verdicts as rows
from pagebox.defects import planting
from pagebox.defects import witnesses


AT_ONCE = 100  # inputs per process
TRIES = 3  # inputs of one name, until one of them can be shrunk


def names_of(board, tree, target, inputs):
    """What each input breaks: {path: name}. Hundreds of inputs go into a few processes."""
    found, name = {}, None
    command = [str(tree / planting.REPLAY), "-q", "-t", target]
    for start in range(0, len(inputs), AT_ONCE):
        some = [str(path) for path in inputs[start : start + AT_ONCE]]
        text = board.processes.run([*command, *some], timeout=AT_ONCE * trials.HANG_S)[1]
        for line in text.splitlines():
            told = re.match(r"finding: (\S+)", line)
            ends = re.match(r"(.*): a finding", line)
            if told and name is None:  # the first finding of a run counts
                name = told.group(1)
            elif ends:
                found[ends.group(1)], name = name or "crash", None
    return found


def shown(board, tree, target, catches, folder, env):
    """The first catch whose witness can be shrunk, or else the first: catch, witness, their folder."""
    best = None
    for number, catch in enumerate(catches[:TRIES]):
        inner = folder / catch.oracle / str(number)
        inner.mkdir(parents=True, exist_ok=True)
        witness = witnesses.show(board.processes, tree, target, catch, env, inner, "as published")
        shrunk = witness is not None and witness.shrunk
        if best is None or shrunk:
            best = catch, witness, inner
        if shrunk or board.stopping:
            break
    return best


def finding_of(board, patches, tree, target, paths, oracle, began, executions, folder):
    """The item of a name that is new. paths: the inputs that broke it, oldest first."""
    seconds = lambda path: max(0.0, path.stat().st_mtime - began)
    catches = [trials.Catch(oracle, seconds(path), path) for path in paths]
    env = trials.environment()
    catch, witness, inner = shown(board, tree, target, catches, folder, env)
    item = rows.item_of(patches[0], "libfuzzer", "bytes", board.options.seed)
    item |= {"name": oracle, "title": "As published", "rule": oracle, "rules": [oracle]}
    item |= {"kind": "plain", "target": target, "executions": executions, "seen": None}
    item["pristine"] = witnesses.pristine_is_clean(
        board.processes, board.base, "libfuzzer", target, catch, witness and witness.operations,
        env, inner
    )
    item["input"] = str(catch.input.relative_to(board.run.dir))
    rows.show_witness(item, witness, board.run.dir)
    if item["pristine"]:
        rows.caught(item, catches[0], 0.0, board.seeds(target))
    else:
        item["note"] = f"the pristine tree fails on the witness, too: {oracle}"
    return item


def run(board, patches):
    """One item for each name that was found, and one for each stated rule that was not broken."""
    tree, seconds = board.work / "tree0", board.options.time or 60
    goals = [planting.REPLAY, *board.goals(board.targets)]
    planting.plant_series(board.processes.run, board.base, patches, tree, goals)
    for target in board.targets:
        folder, began = board.run.path(f"raw/{target}/log").parent, time.time()
        trial = trials.Trial(
            board.processes, tree, target, "bytes", board.options.seed, seconds, folder,
            board.seeds(target)
        )
        executions, inputs = trials.run_on(trial)
        names = names_of(board, tree, target, inputs)
        fresh = {}
        for path in inputs:
            oracle = names.get(str(path))
            if oracle is not None and oracle not in {item["name"] for item in board.items}:
                fresh.setdefault(oracle, []).append(path)
        for oracle, paths in fresh.items():
            if not board.stopping:
                board.keep(finding_of(board, patches, tree, target, paths, oracle, began, executions, folder))
        kept = {item["input"] for item in board.items}
        for path in inputs:
            if str(path.relative_to(board.run.dir)) not in kept:
                path.unlink(missing_ok=True)
    broken = {patchfile.rule_number(item["oracle"]) for item in board.items}
    for patch in patches:
        for rule in patch.rules:
            if patchfile.rule_number(rule) not in broken:
                item = rows.item_of(patch, "libfuzzer", "bytes", board.options.seed)
                item |= {"name": f"{patch.name}: {rule}", "rule": rule, "budget_s": seconds}
                board.keep(item)
