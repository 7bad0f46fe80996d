"""processes.py: child processes. Each leads its own session, so that an interrupt or a time limit ends it with all the
processes that it has started. Also: the last line of its output, and the gate's folder for its files."""
import ctypes
import os
import signal
import subprocess
import tempfile
import time

from pagebox.common import report

SCRATCH = report.REPO / "build" / "gate" / "tmp"  # emptied by gate_build.lock()
PR_SET_PDEATHSIG = 1  # sys/prctl.h
PRCTL = ctypes.CDLL(None).prctl  # looked up here, because a forked child of a threaded program should not
live = set()
ending = False  # an interrupt ends everything: a child that ends now has not failed


def signal_group(child, number=signal.SIGKILL):
    """Sends a signal to a session's leader and its descendants."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def stop(child, seconds=2, first=signal.SIGTERM):
    """Asks the session to end, and kills it after a while with all its processes, even if the leader has ended."""
    signal_group(child, first)
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    signal_group(child)
    child.wait()


def running(child):
    """Asks the kernel, because the interrupted code may be in the middle of child.wait()."""
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def end_with_parent():
    """For preexec_fn: the kernel ends the child when the thread that started it ends, for any reason."""
    PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command, **options):
    """Starts a Popen, which is in `live` until it has ended."""
    child = subprocess.Popen(command, start_new_session=True, **options)
    live.add(child)
    if ending:  # requested by another thread while the child was starting
        signal_group(child, signal.SIGKILL)
    return child


def run(command, limit_s, **options):
    """Like subprocess.run with captured output. Raises subprocess.TimeoutExpired and OSError like it."""
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
    """(status, output, errors) as text; status None: it took too long. Control-C does not reach the child, because its
    partial output would be taken for its answer. It ends when this process does."""
    words = [str(word) for word in command]
    more = {"env": environment, "stdin": subprocess.DEVNULL, "preexec_fn": end_with_parent} | options
    try:
        done = run(words, seconds, **more)
    except subprocess.TimeoutExpired:
        return None, "", ""
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def kill_all():
    """Kills the processes that run() and answer() wait for."""
    for child in list(live):
        signal_group(child)


def last_words(status, errors):
    """How it ended, and its last line; status None: it took too long."""
    how = "hung" if status is None else f"ended by signal {-status}" if status < 0 else f"ended with {status}"
    lines = errors.strip().splitlines()
    return f"{how}: {lines[-1]}" if lines else how


def interrupt():
    """Asks all running children to end; those with a report of their own write it now."""
    global ending
    ending = True
    for child in list(live):
        signal_group(child, signal.SIGINT)


def end(seconds=5):
    """After interrupt(): waits for so long, and kills the rest."""
    until = time.monotonic() + seconds
    for child in list(live):
        while running(child) and time.monotonic() < until:
            time.sleep(0.02)
        signal_group(child, signal.SIGKILL)


def scratch_file(suffix):
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return tempfile.NamedTemporaryFile("r", errors="replace", suffix=suffix, dir=SCRATCH)
