"""What the checks here share: processes that end with the check, ports that the
system gives, an app, and one HTTP request at a time, redirects not followed."""

import atexit
import http.client
import http.server
import re
import socket
import subprocess
import sys
import threading
import urllib.parse

WECHAT = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 MicroMessenger/8.0.49 Language/zh_CN"
PATIENCE = 60


def expect(truth, what):
    if not truth:
        sys.exit(f"{sys.argv[0]}: {what}")


def free_port():
    """A port that was free a moment ago, for programs that must be told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program that serves until this one ends. Its lines are read as they come."""

    def __init__(self, *arguments, **options):
        self.name = arguments[0]
        self.lines = []
        self.more = threading.Condition()
        self.child = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **options,
        )
        atexit.register(self.stop)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            with self.more:
                self.lines.append(line)
                self.more.notify_all()
        with self.more:
            self.lines.append(None)
            self.more.notify_all()

    def match(self, pattern):
        """The first line that matches, waited for."""
        seen = 0
        with self.more:
            while True:
                for line in self.lines[seen:]:
                    seen += 1
                    if line is None:
                        sys.exit(f"{self.name} ended: {self.written()}")
                    found = re.search(pattern, line)
                    if found:
                        return found
                if not self.more.wait(PATIENCE):
                    sys.exit(f"{self.name} never said {pattern}: {self.written()}")

    def written(self):
        return "".join(line for line in self.lines if line)

    def stop(self):
        """Ends it, and gives its exit code."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.child.kill()
        return self.child.wait()


class App(http.server.BaseHTTPRequestHandler):
    """Remembers the headers of each request, in order, and says yes."""

    protocol_version = "HTTP/1.1"
    seen = []

    def do_GET(self):
        App.seen.append(self.headers)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"yes")

    def log_message(self, *_):
        pass


def wait_for_port(port):
    """Waits until somebody listens: each try is the system's own answer."""
    for _ in range(600):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.1)
    sys.exit(f"nobody listens on port {port}")


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode("utf-8", "replace")

    @property
    def location(self):
        expect(self.status == 302, f"a redirect expected, got {self.status}: {self.text[:300]}")
        return self.headers["Location"]


def ask(url, method="GET", headers=None, body=None, context=None, to=None, source=""):
    """One request. With TLS, `to` is the port of this machine that `url` leads
    to, and `source` the address it is asked from."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        connection = TlsTo(parts.hostname, to, source, context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, body, {"User-Agent": WECHAT, "Accept": "text/html", **(headers or {})})
        return Answer(connection.getresponse())
    finally:
        connection.close()


class TlsTo(http.client.HTTPSConnection):
    """TLS to `host`, whose address is a port of this machine."""

    def __init__(self, host, port, source, context):
        super().__init__(host, timeout=PATIENCE, context=context)
        self.ends = (("127.0.0.1", port), (source, 0))
        self.tls = context

    def connect(self):
        there, here = self.ends
        plain = socket.create_connection(there, self.timeout, here)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


def pairs_of(answer, start=""):
    lines = [line.split(";")[0] for line in answer.headers.get_all("Set-Cookie", [])]
    return "; ".join(line for line in lines if line.startswith(start))
