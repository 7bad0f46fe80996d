"""conform_engines.py: how an engine of JavaScript is started for `make conform`: in a process of its own,
or as a browser without a screen that loads a page from here.

An engine is a name of ENGINES, found on PATH or where npm puts it under build/, or a path whose last part
begins with such a name.
"""
import dataclasses
import functools
import http.server
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import tempfile
import threading

import report

DRIVER = report.REPO / "fuzz/conform/driver.mjs"
PLACES = [report.REPO / p for p in ("build/engines/node_modules/.bin", "build/npm/node_modules/.bin", "node_modules/.bin")]


@dataclasses.dataclass
class Engine:
    """arguments: before the program. tiers: a name and the flags or environment that keep an engine to
    one of its compilers; the first is what it does by itself. get: where to get it."""

    commands: tuple
    get: str
    arguments: tuple = ()
    tiers: tuple = (("default", (), {}),)
    is_browser: bool = False


ENGINES = {
    "node": Engine(
        ("node", "nodejs"), "apt-get install nodejs",
        tiers=(("default", (), {}), ("liftoff", ("--liftoff", "--no-wasm-tier-up"), {}), ("turbofan", ("--no-liftoff",), {})),
    ),
    "deno": Engine(
        ("deno",), "npm install --prefix build/engines deno", ("run", "-A"),
        tiers=(("default", (), {}), ("liftoff", ("--v8-flags=--liftoff,--no-wasm-tier-up",), {}), ("turbofan", ("--v8-flags=--no-liftoff",), {})),
    ),
    "bun": Engine(
        ("bun",), "npm install --prefix build/engines bun",
        tiers=(("default", (), {}), ("interpreter", (), {"BUN_JSC_useBBQJIT": "0", "BUN_JSC_useOMGJIT": "0"}), ("bbq", (), {"BUN_JSC_useOMGJIT": "0"})),
    ),
    "firefox": Engine(("firefox-esr", "firefox"), "apt-get install firefox-esr", is_browser=True),
    "chromium": Engine(("chromium", "chromium-browser", "google-chrome"), "apt-get install chromium", is_browser=True),
}  # fmt: skip


def find(wanted):
    """Name and path of an engine, or an end with what to do."""
    path = pathlib.Path(wanted)
    if "/" in wanted:
        for name, engine in ENGINES.items():
            if path.name.startswith(name):
                if not os.access(path, os.X_OK):
                    report.die(f"{wanted} is no program that can be started")
                return name, str(path)
    elif wanted in ENGINES:
        for command in ENGINES[wanted].commands:
            for place in [None, *PLACES]:
                found = shutil.which(command, path=str(place) if place else None)
                if found:
                    return wanted, found
        report.die(f"{wanted} is not there: {ENGINES[wanted].get}; or give its path, RUNTIME=/path/to/{wanted}")
    report.die(f"RUNTIME={wanted}: known are {', '.join(ENGINES)}, or a path to one of them")


class Ended(Exception):
    """The engine's process is gone, with these last words."""

    def __init__(self, status, words):
        self.status, self.words = status, words


class Process:
    """An engine's process that writes a line of JSON for each slice."""

    def __init__(self, command, cores=None, environment=None):
        pin = functools.partial(os.sched_setaffinity, 0, cores) if cores else None
        self.errors = tempfile.TemporaryFile()
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, cwd=report.REPO,
            env=os.environ | (environment or {}), preexec_fn=pin, start_new_session=True, text=True, errors="replace",
        )  # fmt: skip

        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            try:
                self.lines.put(json.loads(line))
            except ValueError:
                pass  # an engine's own words
        self.lines.put(None)

    def line(self, timeout_s):
        """The next one; None when there is none in time. Ended at the process's end."""
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
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, number)
                self.child.wait(timeout=2)
            except (OSError, subprocess.TimeoutExpired):
                pass


PAGE = b"""<!doctype html><meta charset="utf-8"><title>conform</title><script type="module" src="/driver.mjs"></script>"""


class Browser:
    """The same of a browser: it loads a page from here, and posts its lines."""

    def __init__(self, name, path, bundle, options):
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
                # Shared memory is to be had by a page that is isolated alone.
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
        if name == "firefox":
            command = [path, "--headless", "--no-remote", "--profile", self.home.name, url]
        else:
            command = [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={self.home.name}", url]
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env=os.environ | {"HOME": self.home.name},
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
