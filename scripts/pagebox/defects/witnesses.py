"""witnesses.py: shrinks a catch and shows it: operations, the trace of their run, the pristine tree's answer."""
import dataclasses
import json
import re

from pagebox.defects import trials
from pagebox.defects import planting
from pagebox.sim import trace

SHRINK_S = 20
RUN_S = 60
TRACE_LINES_MAX = 120  # in a report; the page has all of them
FRAME = re.compile(r"^ *#\d+ 0x\w+ in (\w+) \S*?((?:ref|fuzz)/\S+)")


@dataclasses.dataclass
class Witness:
    operations: str  # the .ops text
    shrunk: bool  # otherwise it is the original input, with a line that says why
    trace: str  # what happens when they run
    page: str | None  # path of the trace as a page, if threads interleave


def program_of(processes, tree, target, catch, env):
    """The input as text, with the choices that were made if a random source chose the schedule."""
    command = [str(tree / planting.REPLAY), "-p", "-t", target, str(catch.input)]
    status, text = processes.run(command, timeout=RUN_S)
    lines = [l for l in text.splitlines() if l.strip() and not l.startswith("#")]
    if status != 0 or not lines or not lines[0].startswith("pagebox-ops"):
        return None
    command = [str(tree / planting.REPLAY), "-q", "-t", target, str(catch.input)]
    said = processes.run(command, timeout=RUN_S, env=env)[1]
    chosen = re.search(r"^# by these choices: (choices \w+)", said, re.M)
    if chosen:
        lines = [l for l in lines if not l.startswith("choices ")] + [chosen.group(1)]
    return "\n".join(lines) + "\n"


def as_found(text, name, said):
    """The original input, with a line that says why it is not shrunk. said: the output of its replay."""
    shown = re.search(r"^finding: (\S+)", said, re.M)
    other = shown.group(1) if shown else "nothing"
    why = "not in time" if other == name else f"on its own it shows {other}"
    first, rest = text.split("\n", 1)
    return f"{first}\n# {name}, not shrunk: {why}\n{rest}"


def shrink(processes, tree, target, catch, env, folder):
    """The fewest operations that give the same name, and True; if a replay does not show that name, the original ones,
    and False. None for an input that cannot be read."""
    if planting.make(processes.run, tree, [planting.REPLAY, planting.SHRINK]):
        return None, False
    text = program_of(processes, tree, target, catch, env)
    if text is None:
        return None, False
    found, small = folder / "found.ops", folder / "witness.ops"
    found.write_text(text)
    command = [str(tree / planting.SHRINK), "-n", catch.oracle, "-s", str(SHRINK_S)]
    processes.run([*command, "-o", str(small), str(found)], timeout=2 * SHRINK_S)
    shrunk = small.exists()
    if not shrunk:
        said = processes.run([str(tree / planting.REPLAY), "-q", str(found)], timeout=RUN_S)[1]
        small.write_text(as_found(text, catch.oracle, said))
    return small.read_text(encoding="utf-8", errors="replace"), shrunk


def plain_trace(text):
    """Of a run on one thread: the finding, the sanitizer's message, the calls on the stack."""
    lines = [l for l in text.splitlines() if l.startswith("finding: ")][:1]
    lines += [l for l in text.splitlines() if "ERROR: " in l or "runtime error: " in l][:2]
    frames = [FRAME.match(l) for l in text.splitlines()]
    lines += [f"  {f.group(1)} {f.group(2)}" for f in frames if f][:8]
    return "\n".join(lines)


def columns(processes, tree, program, folder, title):
    """The trace under the engine as text and as a page; None if the engine did not run."""
    data = folder / "trace.json"
    replay = tree / "build/plain/replay"
    # Without address randomisation, so that the trace's addresses are those in the file.
    if planting.make(processes.run, tree, ["build/plain/replay"], "CFLAGS.plain=-O2 -g -no-pie"):
        return None
    env = trials.environment(TRACE_JSON=str(data), SCHED="bytes")
    processes.run([str(replay), "-q", str(program)], timeout=RUN_S, env=env)
    try:
        run = json.loads(data.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = trace.Program(replay)
    page = folder / "trace.html"
    page.write_text(trace.page(run, names, title), encoding="utf-8")
    lines = trace.text(run, names).splitlines()
    if len(lines) > TRACE_LINES_MAX:
        left = len(lines) - TRACE_LINES_MAX
        lines = [*lines[: -TRACE_LINES_MAX or None][:2], f"  ... {left} lines more ...",
                 *lines[-TRACE_LINES_MAX:]]
    data.unlink()
    return "\n".join(lines), page


def show(processes, tree, target, catch, env, folder, title):
    """The witness of a catch, or None if its input cannot be shown."""
    text, shrunk = shrink(processes, tree, target, catch, env, folder)
    if text is None:
        return None
    small = folder / "witness.ops"
    drawn = columns(processes, tree, small, folder, f"{title}: {catch.oracle}")
    if drawn:
        return Witness(text, shrunk, drawn[0], str(drawn[1]))
    said = processes.run([str(tree / planting.REPLAY), "-q", str(small)], timeout=RUN_S)[1]
    return Witness(text, shrunk, plain_trace(said), None)


def operations_of(text):
    """The number of operations of a witness, without the first line and the choices."""
    lines = [l for l in text.splitlines()[1:] if l.strip() and not l.startswith(("#", "choices"))]
    return len(lines)


def pristine_is_clean(processes, base, engine, target, catch, text, env, folder):
    """Whether the pristine tree passes the witness, both as operations and as the original bytes."""
    if text:
        path = folder / "witness.ops"
        done = processes.run([str(base / planting.REPLAY), "-q", str(path)], timeout=RUN_S)
        if done[0] not in planting.REPLAY_CLEAN:
            return False
    if not catch.input:
        return True
    command = [str(base / "build" / engine / target), str(catch.input)]
    quiet = env | {"PB_DEFECT_REACHED_FILE": "", "PB_DEFECT_TRIGGERED_FILE": ""}
    return processes.run(command, timeout=RUN_S, env=quiet, cwd=folder)[0] == 0
