"""verdicts.py: the scoreboard's rows: what each run found, and the verdict of all."""
import pathlib

from pagebox.defects import trials
from pagebox.defects import patchfile
from pagebox.defects import witnesses


def item_of(patch, engine, sched, seed):
    return {
        "name": patch.name,
        "title": patch.head.get("Title", patch.name),
        "rule": patch.rules[0] if patch.rules else None,
        "rules": patch.rules,
        "seen": patch.head.get("Seen"),
        "kind": patch.head.get("Kind", "plain"),
        "must": not patch.canary,
        "marked": patch.marked,  # the patch marks when its wrong state exists (triggered)
        "reached_s": None,
        "triggered_s": None,
        "caught_s": None,  # over all targets that were tried, one after the other
        "target_caught_s": None,  # within the target that caught it
        "budget_s": None,  # its whole time: a run without a catch took at least this long
        "reached_executions": None,
        "triggered_executions": None,
        "executions": 0,
        "executions_by_target": {},
        "oracle": None,
        "as_named": None,
        "by": None,  # what caught it: an unmodified "seed", or a "mutation"
        "target": None,
        "engine": engine,
        "sched": sched,
        "seed": seed,
        "witness": None,
        "witness_operations": None,
        "witness_shrunk": None,
        "trace": None,
        "page": None,
        "input": None,
        "pristine": None,
        "note": None,
        "error": None,
    }


def is_as_named(oracle, rules):
    """Whether the name is of a rule in the patch's header; None if the header names none."""
    numbers = {patchfile.rule_number(rule) for rule in rules}
    return patchfile.rule_number(oracle) in numbers if rules else None


def caught(item, catch, spent, seeds):
    """seeds: the folder that the run started from, or None."""
    item["caught_s"] = round(spent + catch.seconds, 3)
    item["target_caught_s"] = round(catch.seconds, 3)
    if catch.input:
        item["by"] = "seed" if trials.is_seed(catch.input, seeds) else "mutation"
    item["oracle"] = catch.oracle
    item["as_named"] = is_as_named(catch.oracle, item["rules"])


def show_witness(item, witness, folder):
    """folder: the run's, to which paths in a report are relative."""
    if witness:
        item["witness"], item["trace"] = witness.operations, witness.trace
        item["witness_operations"] = witnesses.operations_of(witness.operations)
        item["witness_shrunk"] = witness.shrunk
        item["page"] = witness.page and str(pathlib.Path(witness.page).relative_to(folder))


def enter(item, outcome, spent):
    """Adds times and counts of one run to the item of all its targets."""
    for mark in ("reached", "triggered"):
        value = getattr(outcome, mark + "_s")
        if item[mark + "_s"] is None and value is not None:
            item[mark + "_s"] = round(spent + value, 3)
            count = getattr(outcome, mark + "_executions")
            item[mark + "_executions"] = None if count is None else item["executions"] + count
    item["executions"] += outcome.executions
    each = item["executions_by_target"]
    each[item["target"]] = each.get(item["target"], 0) + outcome.executions
    if outcome.fault:
        item["note"] = "ended by itself: " + outcome.fault.strip()
        if not item["must"]:  # a canary counts as missed only if its run completed
            item["error"] = item["note"].splitlines()[0]


def verdict(items, configurations=1):
    """What makes the scoreboard fail: missed, caught canaries, pristine fails, errors. A defect is missed if one of its
    runs missed it; when configurations are compared, if all did."""
    by = {}
    for item in items:
        by.setdefault(item["name"], []).append(item)
    errors = sorted(n for n, i in by.items() if any(one["error"] for one in i))
    fails = all if configurations > 1 else any
    missed = [n for n, i in by.items() if i[0]["must"] and fails(not one["oracle"] for one in i)]
    canaries = sorted(n for n, i in by.items() if not i[0]["must"] and any(o["oracle"] for o in i))
    broken = sorted(n for n, i in by.items() if any(one["pristine"] is False for one in i))
    return sorted(set(missed) - set(errors)), canaries, broken, errors
