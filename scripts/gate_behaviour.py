"""gate_behaviour.py: the gate's question whether the work tree does what it must: tools that exist.

Each step is one of the repository's own make targets or programs; any finding blocks. A step that
cannot run is an error, never a pass.
"""
import dataclasses
import os
import re
import signal
import subprocess
import time

import report

VERIFY_S = 10  # for each scenario: those that need longer are searched only so far
CORPORA = sorted(p.name for p in (report.REPO / "corpus").iterdir() if p.is_dir())


@dataclasses.dataclass
class Step:
    name: str
    command: list
    usual_s: int  # on a quiet machine with two cores, built before
    environment: dict = dataclasses.field(default_factory=dict)
    bounded: bool = False  # a search that ran out of its time is no finding


def make(*goals):
    return [os.environ.get("MAKE") or "make", "--no-print-directory", *goals]


def steps():
    replay = ["build/asan/replay", "-q", *(f"corpus/{name}" for name in CORPORA)]
    return [
        Step("build", make("-j2", "build/asan/replay", "build/sim/verify"), 40),
        Step("replay under the sanitizers", replay, 10),
        Step("replay under the engine at random", replay, 10, {"SCHED": "uniform"}),
        Step("engine", make("test-engine"), 20),
        Step("litmus", make("litmus"), 15),
        Step("verify", make("verify", f"TIME={VERIFY_S}"), 90, bounded=True),
        Step("scoreboard", ["scripts/defects.py", "run", "--quick"], 200),
    ]


def environment():
    """For a make or a script of its own: without what this make was told, which means other things
    to them."""
    ours = (
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "TIME",
        "FILTER",
        "BASE",
        "JOBS",
        "SUBJECT",
        "TARGET",
    )
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}


@dataclasses.dataclass
class Outcome:
    name: str
    status: int
    seconds: float
    findings: list  # lines that say what was found
    log: str


FINDING = re.compile(
    r"^(?:finding: .*|FAIL .*|missed: .*|caught canaries: .*|pristine fails on: .*)", re.M
)
REPLAYED = re.compile(r"(\d+) inputs, (\d+) findings, (\d+) not readable")


class Runner:
    """Runs the steps one after the other; stop() ends the one that runs, from another context."""

    def __init__(self, folder):
        self.folder, self.child, self.stopped = folder, None, False

    def stop(self):
        self.stopped = True
        if self.child and self.child.poll() is None:
            # Its own programs write partial reports at SIGINT; they are in its process group.
            os.killpg(self.child.pid, signal.SIGINT)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)

    def run(self, step):
        began = time.monotonic()
        log = self.folder / f"{step.name.replace(' ', '-')}.log"
        with open(log, "w") as out:
            self.child = subprocess.Popen(
                step.command, cwd=report.REPO, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, env=environment() | step.environment, start_new_session=True,
            )  # fmt: skip
            status = self.child.wait()
        return outcome(step, status, time.monotonic() - began, log.read_text(errors="replace"))


def outcome(step, status, seconds, text):
    findings = FINDING.findall(text)
    if step.bounded and status and not findings and re.search(r"\b0 findings", text):
        status = 0  # searched as far as the time went, and nothing was found
    replayed = REPLAYED.search(text)
    if step.name.startswith("replay") and status == 0 and not (replayed and int(replayed.group(1))):
        status, findings = 2, ["no input was replayed"]
    if status and not findings:
        findings = text.strip().splitlines()[-3:]
    return Outcome(step.name, status, seconds, findings[:20], text)


def item(done):
    """A step as the gate's report has it."""
    verdict = "regression" if done.status else "pass"
    shown = {"name": done.name, "part": "behaviour", "metric": "findings", "verdict": verdict}
    shown |= {"base": 0, "head": len(done.findings) if done.status else 0}
    shown |= {"shift": None, "low": None, "high": None, "p": None, "threshold": 0, "detectable": 1}
    return shown | {
        "seconds": round(done.seconds, 1),
        "findings": done.findings if done.status else [],
    }
