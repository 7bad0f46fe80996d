"""browser.py: a headless browser as a command that speaks the protocol of fuzz/runtimes/README.md.

    scripts/runtimes_browser.py chromium /usr/bin/chromium [--js-flags=--liftoff-only]
    scripts/runtimes_browser.py firefox /usr/bin/firefox-esr [javascript.options.wasm_optimizingjit=false]

    scripts/runtimes_browser.py chromium /usr/bin/chromium --script=FILE   # runs FILE instead, and prints its output

The browser loads a page from here. The page's worker fetches lines, passes them to driver.js and posts the answers.
"""
import http.server
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from pagebox.common import processes, report
from pagebox.runtimes import known

PAGE = b"<!doctype html><meta charset=utf-8><title>pagebox</title><script>new Worker('/worker.js')</script>"
WORKER = b"""
const post = (where, text) => { const r = new XMLHttpRequest(); r.open('POST', where, false); r.send(text); return r.responseText; };
importScripts('/driver.js');
let line = post('/next', '');
for (;;) line = post('/next', pageboxAnswer(line, text => post('/say', text)));
"""
SCRIPT_WORKER = b"""
const post = text => { const r = new XMLHttpRequest(); r.open('POST', '/say', false); r.send(text); };
self.print = post;
try { importScripts('/script.js'); } catch (error) { post(String(error)); }
post('.');
"""
START_S = 60
PREFERENCES = {  # the browser itself contacts nobody, and memories can be shared
    "browser.shell.checkDefaultBrowser": False, "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False, "app.update.enabled": False, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "browser.startup.homepage_override.mstone": "ignore",
}


def handler(lines, answers, script):
    files = {"/": (PAGE, "text/html"), "/worker.js": (SCRIPT_WORKER if script else WORKER, "text/javascript"),
             "/driver.js": (known.DRIVER.read_bytes(), "text/javascript"), "/script.js": (script, "text/javascript")}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def reply(self, body, kind, status=200):
            self.send_response(status)
            # Only an isolated page can have shared memory.
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def do_GET(self):
            self.reply(*files.get(self.path, (b"", "text/plain", 404)))

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if body:
                answers.put(body)
            self.reply(lines.get() if self.path == "/next" else b"", "text/plain")

        def log_message(self, *arguments):
            pass

    return Handler


def command(name, path, options, home, url):
    if name != "firefox":
        return [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                f"--user-data-dir={home}", *options, url]
    preferences = dict(PREFERENCES, **{key: json.loads(value) for key, value in (o.split("=", 1) for o in options)})
    text = "".join(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in preferences.items())
    (pathlib.Path(home) / "user.js").write_text(text)
    return [path, "--headless", "--no-remote", "--profile", home, url]


def play(child, lines, answers, asked):
    """Passes lines to the page and answers back, until either ends. A line with "step" has several answers, up to a
    dot."""
    first = True
    for line in asked:
        lines.put(line)
        stepwise = b'"step":1' in line
        while True:
            try:
                answer = answers.get(timeout=START_S if first else 1)
            except queue.Empty:
                if child.poll() is not None or first:
                    print(f"{child.args[0]} ended with status {child.poll()}, or loads no page", file=sys.stderr)
                    return 1
                continue
            first = False
            sys.stdout.buffer.write(answer + b"\n")
            sys.stdout.buffer.flush()
            if not stepwise or answer == b".":
                break
    return 0


def main():
    report.help_if_asked(__doc__)
    if len(sys.argv) < 3:
        report.die("give the browser's kind and its path: see --help")
    options = sys.argv[3:]
    path = options.pop().partition("=")[2] if options and options[-1].startswith("--script=") else ""
    script = pathlib.Path(path).read_bytes() if path else b""
    asked = [b'"step":1'] if script else sys.stdin.buffer  # a script begins without a request
    lines, answers = queue.Queue(), queue.Queue()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(lines, answers, script))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # runs the `finally` blocks
    with tempfile.TemporaryDirectory(prefix="pagebox-", ignore_cleanup_errors=True) as home:
        words = command(sys.argv[1], sys.argv[2], options, home, f"http://127.0.0.1:{server.server_port}/")
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr,
                                 start_new_session=True, preexec_fn=processes.end_with_parent, env=dict(os.environ, HOME=home))
        try:
            return play(child, lines, answers, asked)
        finally:
            processes.stop(child)
            sys.stdout.flush()
            shutil.rmtree(home, ignore_errors=True)
            os._exit(0)  # a request may still be waiting for a line
