"""A real nginx that ends TLS in front of `wxgate run`: first visit, cookies,
login, and what the app is told of the visitor's connection.

    nginx.py WXGATE
"""

import http.server
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading

from served import App, Process, ask, expect, free_port, pairs_of, wait_for_port

HOST = "shop.test"
# An address of this machine that is not nginx's own: a stranger's.
VISITOR = "127.0.0.2"
APP_ID = "wx5150a7c0ffee0001"
SECRET = "0123456789abcdef0123456789abcdef"

NGINX = """
daemon off;
error_log stderr warn;
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
    server {{
        listen 127.0.0.1:{tls} ssl;
        server_name {host};
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
        location / {{
            proxy_pass http://127.0.0.1:{gateway};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-Id $request_id;
        }}
    }}
}}
"""

GATEWAY = """
[server]
listen = ["127.0.0.1:0"]
public_scheme = "https"
trusted_proxies = ["127.0.0.1"]
state_dir = "state"

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "https://{host}"
sandbox = true
open_base_url = "{simulator}"
api_base_url = "{simulator}"

[[routes]]
host = "{host}"
upstream = "http://127.0.0.1:{app}"
account = "shop"
"""


def certificate(dir):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
         "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", dir / "key.pem", "-out", dir / "cert.pem"],
        check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    return ssl.create_default_context(cafile=str(dir / "cert.pem"))


def check_first_visit(answer, simulator):
    expect(answer.location.startswith(f"{simulator}/connect/oauth2/authorize?"), "not sent to WeChat")
    expect("redirect_uri=https%3A%2F%2Fshop.test%2F.wxgate%2Fcallback&" in answer.location, answer.location)
    cookies = answer.headers.get_all("Set-Cookie")
    login = [line for line in cookies if line.startswith("__Secure-wxgate-login-")]
    expect(len(login) == 1 and "Path=/.wxgate/callback" in login[0], "no login cookie for the callback")
    expect(all(has_flags(line) for line in cookies), "a cookie without Secure, HttpOnly or SameSite=Lax")
    print("nginx: a first visit is sent to WeChat, with cookies for https alone")


def has_flags(line):
    flags = line.split("; ")
    return all(flag in flags for flag in ("Secure", "HttpOnly", "SameSite=Lax")) and not any(
        flag.startswith("Domain=") for flag in flags
    )


def main():
    with tempfile.TemporaryDirectory(prefix="wxgate-nginx-") as name:
        run(pathlib.Path(name), sys.argv[1])


def run(dir, wxgate):
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    simulate = Process(wxgate, "simulate", "--listen", "127.0.0.1:0", "--app-id", APP_ID,
                       "--app-secret", SECRET, "--callback-host", HOST)
    simulator = simulate.match(r"api_base_url: (http://\S+)").group(1)
    (dir / "app_secret").write_text(SECRET)
    (dir / "gateway.toml").write_text(
        GATEWAY.format(app_id=APP_ID, host=HOST, simulator=simulator, app=app.server_address[1])
    )
    gateway = Process(wxgate, "run", "--config", dir / "gateway.toml")
    port = int(gateway.match(r"listening on 127\.0\.0\.1:(\d+)").group(1))
    tls = certificate(dir)
    front = free_port()
    (dir / "nginx.conf").write_text(NGINX.format(dir=dir, tls=front, host=HOST, gateway=port))
    nginx = Process("nginx", "-p", dir, "-c", dir / "nginx.conf", "-e", "stderr")
    wait_for_port(front)

    def visit(target, cookies, **headers):
        return ask(f"https://{HOST}{target}", headers={"Cookie": cookies, **headers}, context=tls, to=front, source=VISITOR)

    first = visit("/cart?a=1&b=2", "")
    check_first_visit(first, simulator)
    back = ask(first.location.split("#")[0])
    expect(back.location.startswith(f"https://{HOST}/.wxgate/callback?code="), back.location)
    done = visit(back.location.removeprefix(f"https://{HOST}"), pairs_of(first))
    expect(done.location == f"https://{HOST}/cart?a=1&b=2", f"back at {done.location}")
    session = pairs_of(done, "__Host-wxgate_shop=")
    expect(session, "no __Host- session cookie")
    expect(all(has_flags(line) for line in done.headers.get_all("Set-Cookie")), "a cookie without Secure")
    print("nginx: the login ends where it began, with a __Host- cookie")

    page = visit("/cart?a=1&b=2", session, **{"X-Forwarded-For": "203.0.113.9", "X-WeChat-OpenId": "forged"})
    expect((page.status, page.text) == (200, "yes"), f"{page.status}: {page.text}")
    seen = App.seen[-1]
    expect(seen.get_all("X-Forwarded-Proto") == ["https"], f"proto {seen.get_all('X-Forwarded-Proto')}")
    expect(seen.get_all("Host") == [HOST], f"host {seen.get_all('Host')}")
    expect(len(seen.get_all("X-WeChat-OpenId")) == 1 and seen["X-WeChat-OpenId"] != "forged", "a forged openid")
    expect(seen.get_all("X-Forwarded-For") == [f"{VISITOR}, 127.0.0.1"], f"via {seen.get_all('X-Forwarded-For')}")
    expect(seen.get_all("X-Real-IP") == [VISITOR], f"client {seen.get_all('X-Real-IP')}")
    expect(len(seen["X-Request-Id"]) == 32, "nginx's request id was not kept")
    print("nginx: the app sees https, the visitor's address and one openid")
    expect(nginx.stop() == 0, f"nginx did not end well: {nginx.written()}")
    expect(gateway.stop() == 0, "the gateway did not end well")
    expect(simulate.stop() == 0, "the simulator did not end well")


if __name__ == "__main__":
    main()
