"""Two instances of `wxgate run` that share one real Redis, behind a real nginx,
are stopped and started again one after the other while visitors never pause: no
request fails, and nobody is logged out.

    rolling.py WXGATE
"""

import http.client
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from served import PATIENCE, App, Process, ask, expect, free_port, pairs_of, wait_for_port

APP_ID = "wx5150a7c0ffee0001"
SECRET = "0123456789abcdef0123456789abcdef"
ROUNDS = 3
VISITORS = 6

NGINX = """
daemon off;
error_log stderr crit;
pid {dir}/nginx.pid;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream wxgate {{
        server 127.0.0.1:{one} max_fails=0;
        server 127.0.0.1:{two} max_fails=0;
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://wxgate;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            # The default. What was not sent yet goes to the other instance.
            proxy_next_upstream error timeout;
        }}
    }}
}}
"""

GATEWAY = """
[server]
listen = ["127.0.0.1:{port}"]
admin_listen = "127.0.0.1:{admin}"
public_scheme = "http"
trusted_proxies = ["127.0.0.1"]

[session]
keys = [{{ file = "session.key" }}]

[store]
kind = {{ redis = {{ file = "redis_url" }} }}

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://127.0.0.1:{front}"
sandbox = true
open_base_url = "{simulator}"
api_base_url = "{simulator}"

[[routes]]
host = "127.0.0.1"
upstream = "http://127.0.0.1:{app}"
account = "shop"

[[routes]]
host = "127.0.0.1"
path = "/tokens"
upstream = "http://127.0.0.1:{app}"
account = "shop"
access_token = true
"""


class Posted(App):
    """Takes bodies too."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


class Visitor(threading.Thread):
    """Logs in once, and asks until it is enough; notes what was not as it should be."""

    def __init__(self, front, target, method, enough):
        super().__init__(daemon=True)
        self.front, self.target, self.method, self.enough = front, target, method, enough
        self.served, self.failed = 0, []
        self.cookies = log_in(front, target)

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.front, timeout=PATIENCE)
        headers = {"User-Agent": "MicroMessenger/8.0.49", "Accept": "text/html", "Cookie": self.cookies}
        body = b"x" * 5000 if self.method == "POST" else None
        while not self.enough.is_set():
            try:
                connection.request(self.method, self.target, body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if (answer.status, text) == (200, b"yes"):
                    self.served += 1
                else:
                    self.failed.append(f"{self.method} {self.target}: {answer.status} {answer.headers.get('Location')} {text[:200]}")
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{self.method} {self.target}: {error!r}")
                connection.close()
            self.enough.wait(0.005)


def log_in(front, target):
    """A visitor's session, by a whole login."""
    site = f"http://127.0.0.1:{front}"
    first = ask(f"{site}{target}")
    back = ask(first.location.split("#")[0])
    expect(back.location.startswith(f"{site}/.wxgate/callback?code="), back.location)
    done = ask(back.location, headers={"Cookie": pairs_of(first)})
    expect(done.location == f"{site}{target}", f"back at {done.location}")
    return pairs_of(done, "wxgate_shop=")


class Instance:
    """One of the two."""

    def __init__(self, wxgate, dir, name, settings):
        self.wxgate, self.config = wxgate, dir / f"{name}.toml"
        self.port, self.admin = free_port(), free_port()
        self.config.write_text(GATEWAY.format(port=self.port, admin=self.admin, **settings))

    def start(self):
        self.process = Process(self.wxgate, "run", "--config", self.config)
        self.process.match("listening on")
        deadline = time.monotonic() + PATIENCE
        while self.readiness() != 200:
            expect(time.monotonic() < deadline, f"never ready: {self.process.written()}")
            time.sleep(0.05)

    def readiness(self):
        return ask(f"http://127.0.0.1:{self.admin}/readyz").status

    def stop(self):
        expect(self.process.stop() == 0, f"did not end well: {self.process.written()}")


def main():
    with tempfile.TemporaryDirectory(prefix="wxgate-rolling-") as name:
        run(pathlib.Path(name), sys.argv[1])


def run(dir, wxgate):
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Posted)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    redis_port, front = free_port(), free_port()
    redis = Process("redis-server", "--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir)
    wait_for_port(redis_port)
    simulate = Process(wxgate, "simulate", "--listen", "127.0.0.1:0", "--app-id", APP_ID,
                       "--app-secret", SECRET, "--callback-host", f"127.0.0.1:{front}")
    simulator = simulate.match(r"api_base_url: (http://\S+)").group(1)
    for file, text in [("app_secret", SECRET), ("redis_url", f"redis://127.0.0.1:{redis_port}/0"),
                       ("session.key", subprocess.run([wxgate, "keygen"], check=True, capture_output=True, text=True).stdout)]:
        (dir / file).write_text(text)
    settings = {"app_id": APP_ID, "front": front, "simulator": simulator, "app": app.server_address[1]}
    instances = [Instance(wxgate, dir, name, settings) for name in ("one", "two")]
    for instance in instances:
        instance.start()
    one, two = instances
    (dir / "nginx.conf").write_text(NGINX.format(dir=dir, front=front, one=one.port, two=two.port))
    nginx = Process("nginx", "-p", dir, "-c", dir / "nginx.conf", "-e", "stderr")
    wait_for_port(front)

    enough = threading.Event()
    kinds = [("/page?a=1", "GET"), ("/form", "POST"), ("/tokens", "GET")]
    visitors = [Visitor(front, *kinds[at % len(kinds)], enough) for at in range(VISITORS)]
    exchanges = exchanged(simulator)
    for visitor in visitors:
        visitor.start()
    late = []
    for _ in range(ROUNDS):
        for instance in instances:
            before = [visitor.served for visitor in visitors]
            instance.stop()
            # With one instance alone, visitors still log in.
            late.append(log_in(front, "/late"))
            instance.start()
            deadline = time.monotonic() + PATIENCE
            while any(visitor.served < count + 20 for visitor, count in zip(visitors, before)):
                failed = [line for visitor in visitors for line in visitor.failed]
                expect(not failed, f"{len(failed)} failed, the first: {failed[:1]}")
                expect(time.monotonic() < deadline, "some visitor is not served any more")
                time.sleep(0.01)
    enough.set()
    for visitor in visitors:
        visitor.join(PATIENCE)
    failed = [line for visitor in visitors for line in visitor.failed]
    served = sum(visitor.served for visitor in visitors)
    expect(not failed, f"{len(failed)} of {served + len(failed)} failed, the first: {failed[:3]}")
    for cookies in late:
        page = ask(f"http://127.0.0.1:{front}/late", headers={"Cookie": cookies})
        expect(page.status == 200, f"logged out: {page.status}")
    expect(exchanged(simulator) == exchanges + len(late), "somebody had to log in again")
    print(f"rolling: {served} requests over {2 * ROUNDS} restarts, none failed, nobody logged out")
    expect(nginx.stop() == 0, f"nginx did not end well: {nginx.written()}")
    for instance in instances:
        instance.stop()
    expect(simulate.stop() == 0, "the simulator did not end well")
    redis.stop()


def exchanged(simulator):
    """How many codes WeChat has exchanged so far."""
    page = ask(f"{simulator}/simulator/calls", headers={"Accept": "application/json"})
    expect(page.status == 200, f"the simulator's count of calls: {page.status}")
    return json.loads(page.text)["exchange"]["total"]


if __name__ == "__main__":
    main()
