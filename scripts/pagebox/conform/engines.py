"""engines.py: starts a JavaScript engine for `make conform`: in a process of its own, or as a headless browser
that loads a page from here.

The engines and their tiers are those of fuzz/runtimes/engines.json whose workers driver.mjs can start, or a path
whose last part begins with such a name.
"""
import http.server
import json
import os
import pathlib
import queue
import subprocess
import tempfile
import threading

from pagebox.common import processes, report
from pagebox.runtimes import browser, known as runtimes

DRIVER = report.REPO / "fuzz/conform/driver.mjs"
WORKERS = ("worker_threads", "Worker", "$.agent", "evalInWorker")  # kinds of workers that driver.mjs can start


def is_browser(engine):
    return engine["run"][0].startswith("{browser ")


def known():
    return {name: e for name, e in runtimes.engines().items() if e.get("workers") in WORKERS or is_browser(e)}


def library(wanted):
    """The shim's shared object if RUNTIME= names a library in this process, "wamr" or "wamr:/its/place"; else None."""
    name = wanted.partition(":")[0]
    if name not in runtimes.shims():
        return None
    source = (runtimes.FOLDER / "shims" / f"{name.replace('-', '_')}.c").read_text()
    if ".is_threaded = true" not in source:
        report.die(f"{name}: its instances cannot share a memory or run at the same time, so there are no threads to test")
    built = runtimes.BUILD / f"{name.replace('-', '_')}.so"
    if not built.exists():
        report.die(f"{built.relative_to(report.REPO)} is missing: make {built.relative_to(report.REPO)} SHIM_FLAGS=..., see fuzz/runtimes/README.md")
    return built


def find(wanted):
    """Name and path of an engine; exits with instructions if it is not installed."""
    names = list(known())
    if "/" in wanted:
        name = next((n for n in names if pathlib.Path(wanted).name.startswith(n)), None)
        if name and os.access(wanted, os.X_OK):
            return name, wanted
        report.die(f"RUNTIME={wanted}: " + ("it cannot be started" if name else f"its name begins with none of {', '.join(names)}"))
    if wanted not in known():
        report.die(f"RUNTIME={wanted}: there are {', '.join(names)}, a path to one of them, or a shim ({', '.join(runtimes.shims())})")
    path = runtimes.program_of(known()[wanted])
    if not path:
        report.die(f"{wanted} is not installed: {known()[wanted]['get']}, or scripts/setup conform; or give its path, RUNTIME=/path/to/{wanted}")
    return wanted, path


def tiers(name):
    """An engine as it is by default, then each compiler alone: name, tier as in engines.json."""
    return [("default", {}), *known()[name]["tiers"].items()]


def command(name, path, tier, bundle, options):
    """The environment and words of the command that runs the driver."""
    engine = known()[name]
    environment, words = runtimes.words(engine, tier)
    words = [str(DRIVER) if word == str(runtimes.DRIVER) else word for word in [path, *words[1:]]]
    arguments = [str(bundle), *(f"{k}={v}" for k, v in options.items())]
    if engine["workers"] == "$.agent":
        return environment, [*words, "--", *arguments]
    if engine["workers"] == "evalInWorker":  # its arguments would be taken for scripts; and modules need a flag
        return environment, [*words[:-1], "-e", f"var conformArguments = {json.dumps(arguments)}", "-m", words[-1]]
    return environment, [*words, *arguments]


class Ended(Exception):
    """The engine's process has ended, with these last words."""

    def __init__(self, status, words):
        self.status, self.words = status, words


def pinned(cores):
    """preexec_fn for a process that runs on these cores only and ends with this one."""

    def prepare():
        processes.end_with_parent()
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


class Process:
    """An engine's process, which writes a line of JSON for each slice."""

    def __init__(self, command, cores=None, environment=None):
        self.errors = tempfile.TemporaryFile()
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, cwd=report.REPO,
            env=os.environ | (environment or {}), preexec_fn=pinned(cores), start_new_session=True, text=True, errors="replace",
        )  # fmt: skip

        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            try:
                self.lines.put(json.loads(line))
            except ValueError:
                pass  # output of the engine itself
        self.lines.put(None)

    def line(self, timeout_s):
        """The next line; None if none arrives in time. Raises Ended when the process has ended."""
        try:
            line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            status = self.child.wait()
            self.errors.seek(0)
            words = self.errors.read().decode(errors="replace")
            raise Ended(status, "\n".join(words.strip().splitlines()[-12:]))
        return line

    def stop(self):
        processes.stop(self.child)


PAGE = b"""<!doctype html><meta charset="utf-8"><title>conform</title><script type="module" src="/driver.mjs"></script>"""


class Browser:
    """The same for a browser: it loads a page from here, and posts its lines."""

    def __init__(self, name, path, tier, bundle, options, cores=None):
        self.lines = queue.Queue()
        files = {
            "/": (PAGE, "text/html"),
            "/driver.mjs": (DRIVER.read_bytes(), "text/javascript"),
            "/bundle.json": (bundle.read_bytes(), "application/json"),
            "/job.json": (json.dumps(options).encode(), "application/json"),
        }
        lines = self.lines

        class Handler(http.server.BaseHTTPRequestHandler):
            def reply(self, body, kind, status=200):
                self.send_response(status)
                # Only an isolated page can have shared memory.
                self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                known = files.get(self.path)
                self.reply(*(known or (b"", "text/plain", 404)))

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    lines.put(json.loads(body))
                except ValueError:
                    pass
                self.reply(b"{}", "application/json")

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.home = tempfile.TemporaryDirectory(prefix="conform-", ignore_cleanup_errors=True)
        url = f"http://127.0.0.1:{self.server.server_port}/"
        flags = tier.get("flags", [])
        if name == "chromium":  # only the last --js-flags counts
            flags = ["--js-flags=" + " ".join(["--expose-gc", *(f.partition("=")[2] for f in flags)])]
        command = browser.command(name, path, flags, self.home.name, url)
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env=os.environ | {"HOME": self.home.name}, preexec_fn=pinned(cores),
        )  # fmt: skip

    def line(self, timeout_s):
        try:
            line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            if self.child.poll() is not None:
                raise Ended(self.child.returncode, "") from None
            return None
        if line.get("isolated") is False:
            raise Ended(0, "the page is not isolated, so it has no shared memory")
        return line

    def stop(self):
        Process.stop(self)
        self.server.shutdown()
        self.home.cleanup()
