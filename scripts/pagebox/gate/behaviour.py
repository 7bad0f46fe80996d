"""behaviour.py: the gate's check that the work tree behaves as it must, with existing tools.

Each step is one of the repository's own make targets or programs; any finding blocks. A step that exceeds its time
limit is inconclusive, because a busy machine looks the same as a hang. A step that cannot run is an error, never a
pass.
"""
import dataclasses
import os
import re
import signal
import subprocess
import time

from pagebox.common import processes
from pagebox.common import report

VERIFY_S = 10  # per scenario; those that need longer are searched only partly
LIMIT_LEAST_S = 600  # enough for a build from scratch on a busy machine
CORPORA = sorted(p.name for p in (report.REPO / "corpus").iterdir() if p.is_dir())


@dataclasses.dataclass
class Step:
    name: str
    command: list
    usual_s: int  # on a quiet machine with two cores, already built
    environment: dict = dataclasses.field(default_factory=dict)
    bounded: bool = False  # a search that runs out of time is no finding
    base: dict = None  # environment of the same step on the base, if only new findings block
    partial: bool = False  # it is allowed to run nothing


def make(*goals):
    return [os.environ.get("MAKE") or "make", "--no-print-directory", *goals]


def steps():
    replay = ["build/asan/replay", "-q", *(f"corpus/{name}" for name in CORPORA)]
    return [
        Step("build", make("-j2", "build/asan/replay", "build/sim/verify", "build/plain/conform"), 5),
        Step("replay under the sanitizers", replay, 1),
        Step("replay under the engine at random", replay, 1, {"SCHED": "uniform"}),
        Step("engine", make("test-engine"), 5),
        Step("litmus", make("litmus"), 3),
        Step("real threads", ["scripts/conform.py", "--quick", "--time", "10"], 12),
        Step("verify", make("verify", f"TIME={VERIFY_S}"), 30, bounded=True),
        Step("scoreboard", ["scripts/defects.py", "run", "--quick"], 50),
    ]


# Variables that make or a user's shell may set for other programs. They would change what the steps do, or make them
# check less.
OTHERS = (
    "MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES TIME FILTER BASE JOBS SUBJECT TARGET RULES_OFF SCHED SEED "
    "SEEDS SWARM PARTS TEST_PARTS ONLY ENGINE EMPTY QUICK TRACE TRACE_JSON RUNTIME RANDOM HANG FAULT"
).split()


def environment():
    """The user's environment, without what changes the meaning of the steps."""
    alien = lambda name: name in OTHERS or name.startswith("PAGEBOX_") or name.endswith("_TESTS")
    kept = {name: value for name, value in os.environ.items() if not alien(name)}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}


@dataclasses.dataclass
class Outcome:
    name: str
    status: int
    seconds: float
    findings: list  # what was found, or why it could not run
    ran: bool = True
    late: bool = False  # we ended it because its time was over


FINDING = re.compile(
    r"^(?:finding: .*|FAIL .*|missed: .*|caught canaries: .*|pristine fails on: .*)", re.M
)
ERRORS = re.compile(r"^errors: .*", re.M)  # in the scoreboard's output, before its sums
NAMED = re.compile(r"^(?:finding: (\S+)|(.+): a finding$)", re.M)  # in replay's output: a name, then the input
REPLAYED = re.compile(r"(\d+) inputs?, (\d+) findings?, (\d+) not readable")


def limit_s(step):
    """A step that takes longer hangs, even on a slow machine."""
    return max(LIMIT_LEAST_S, 5 * step.usual_s)


def run(step, folder, said=lambda seconds: None):
    """Runs one step with its output in a file of the folder. said: called every second with its running time."""
    began = time.monotonic()
    log = folder / f"{step.name.replace(' ', '-')}.log"
    with open(log, "w") as out:
        child = processes.start(
            step.command, cwd=report.REPO, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, env=environment() | step.environment,
        )  # fmt: skip
        while True:
            seconds = time.monotonic() - began
            said(seconds)
            try:
                status = child.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if seconds > limit_s(step):
                    processes.signal_group(child, signal.SIGKILL)
                    child.wait()
                    status = None
                    break
        processes.live.discard(child)
    seconds = time.monotonic() - began
    if status is None:
        return Outcome(step.name, 1, seconds, [f"did not end within {limit_s(step)} s"], late=True)
    return outcome(step, status, seconds, log.read_text(errors="replace"))


def by_rule(text, environment):
    """Replay's findings, one per rule: name, first input that breaks it, command that reproduces it."""
    inputs, name = {}, None
    for told, path in NAMED.findall(text):
        if told:
            name = name or told  # the first finding of a run counts
        else:
            inputs.setdefault(name or "crash", []).append(path)
            name = None
    setting = "".join(f"{k}={v} " for k, v in environment.items())
    for rule, paths in inputs.items():
        more = f" and {len(paths) - 1} more inputs" if len(paths) > 1 else ""
        yield f"{rule}: {paths[0]}{more}; its operations: {setting}build/asan/replay {paths[0]}"


def outcome(step, status, seconds, text):
    findings = list(dict.fromkeys(FINDING.findall(text)))
    if step.name.startswith("replay"):
        findings = list(by_rule(text, step.environment)) or findings
    if step.bounded and status and not findings and re.search(r"\b0 findings", text):
        status = 0  # searched until the time was over, and nothing was found
    if step.partial and status == 3 and not findings:
        status = 0  # the subject offers nothing that runs here
        return Outcome(step.name, status, seconds, [])
    replayed = REPLAYED.search(text)
    if step.name.startswith("replay") and status == 0 and not (replayed and int(replayed.group(1))):
        return Outcome(step.name, 2, seconds, ["no input was replayed"], ran=False)
    ran = status in (0, 1) or bool(findings)  # make exits with 2 whatever the status of its command
    if status and not findings:
        findings = ERRORS.findall(text) or text.strip().splitlines()[-3:]
    return Outcome(step.name, status, seconds, findings[:20], ran)


def less(done, base):
    """What the head breaks and the base does not; and the rules that both break."""
    name = lambda finding: finding.partition(":")[0]
    known = {name(f) for f in base.findings} if base.ran else set()
    new = [f for f in done.findings if name(f) not in known]
    old = sorted({name(f) for f in done.findings} & known)
    return dataclasses.replace(done, findings=new, status=done.status if new else 0), old


def item(done):
    """A step in the format of the gate's report."""
    verdict = "inconclusive" if done.late else "regression" if done.status else "pass"
    shown = {"name": done.name, "part": "behaviour", "metric": "findings", "verdict": verdict}
    shown |= {"base": 0, "head": len(done.findings) if done.status else 0}
    shown |= {"shift": None, "low": None, "high": None, "p": None, "threshold": 0, "detectable": 1}
    return shown | {
        "seconds": round(done.seconds, 1),
        "findings": done.findings if done.status else [],
    }
