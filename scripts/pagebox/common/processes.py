"""processes.py: child processes. Each leads a session of its own, so that an interrupt or a time limit ends it
with all that it has started. Also: its last output line, and the gate's folder for what it writes."""
import ctypes
import os
import signal
import subprocess
import tempfile
import time

from pagebox.common import report

SCRATCH = report.REPO / "build" / "gate" / "tmp"  # emptied by gate_build.lock()
PR_SET_PDEATHSIG = 1  # sys/prctl.h
PRCTL = ctypes.CDLL(None).prctl  # looked up here: a forked child of a threaded program should not
live = set()
ending = False  # an interrupt ends the whole: what ends now has not failed


def signal_group(child, number=signal.SIGKILL):
    """Sends a signal to a session's leader and to what it started."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def stop(child, seconds=2, first=signal.SIGTERM):
    """Asks it to end, and after a while kills it, with all that it started, even if it has itself ended."""
    signal_group(child, first)
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    signal_group(child)
    child.wait()


def running(child):
    """Asked of the kernel: the code that was interrupted may be in the midst of child.wait()."""
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def end_with_parent():
    """For preexec_fn: the kernel ends the child when the thread that started it ends, for whatever reason."""
    PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


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


def answer(command, environment, seconds, **options):
    """(status, output, errors) as text; status None: it took too long. Control-C does not reach it, since its
    output then would be taken for its answer. It ends when we do."""
    words = [str(word) for word in command]
    more = {"env": environment, "stdin": subprocess.DEVNULL, "preexec_fn": end_with_parent} | options
    try:
        done = run(words, seconds, **more)
    except subprocess.TimeoutExpired:
        return None, "", ""
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def kill_all():
    """Ends what run() and answer() wait for."""
    for child in list(live):
        signal_group(child)


def last_words(status, errors):
    """How it ended, and its last line; status None: it took too long."""
    how = "hung" if status is None else f"ended by signal {-status}" if status < 0 else f"ended with {status}"
    lines = errors.strip().splitlines()
    return f"{how}: {lines[-1]}" if lines else how


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
