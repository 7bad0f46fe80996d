"""processes.py: the programs that the gate starts, each in a session of its own, so that an interrupt
ends them with all that they have started; and the folder for what they write."""
import ctypes
import os
import signal
import subprocess
import tempfile
import time

from pagebox.common import report

SCRATCH = report.REPO / "build" / "gate" / "tmp"  # emptied by gate_build.lock()
PR_SET_PDEATHSIG = 1  # sys/prctl.h
live = set()
ending = False  # an interrupt ends the whole: what ends now has not failed


def signal_group(child, number):
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def running(child):
    """Asked of the kernel: the code that was interrupted may be in the midst of child.wait()."""
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def end_with_parent():
    """For preexec_fn: the kernel ends the child when its parent is gone, however that came."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command, **options):
    """A Popen, which belongs into live until it has ended."""
    child = subprocess.Popen(command, start_new_session=True, **options)
    live.add(child)
    if ending:  # asked in another thread while it was started
        signal_group(child, signal.SIGKILL)
    return child


def run(command, limit_s, **options):
    """Like subprocess.run with the output captured. subprocess.TimeoutExpired, OSError as there."""
    child = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        out, errors = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        signal_group(child, signal.SIGKILL)
        child.communicate()
        raise
    finally:
        live.discard(child)
    return subprocess.CompletedProcess(command, child.returncode, out, errors)


def interrupt():
    """Asks all that runs to end; what writes a report of its own does so now."""
    global ending
    ending = True
    for child in list(live):
        signal_group(child, signal.SIGINT)


def end(seconds=5):
    """After interrupt(): waits so long, and ends what is left."""
    until = time.monotonic() + seconds
    for child in list(live):
        while running(child) and time.monotonic() < until:
            time.sleep(0.02)
        signal_group(child, signal.SIGKILL)


def scratch_file(suffix):
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return tempfile.NamedTemporaryFile("r", errors="replace", suffix=suffix, dir=SCRATCH)
