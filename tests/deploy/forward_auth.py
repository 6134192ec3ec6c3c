"""The proxies of deploy/ that send requests to the app themselves and ask the gateway
about each: the shipped file, with other addresses and names, run by its own program.
A visitor logs in, comes back, is known to the app, is nobody after a logout; what a
client sends in the gateway's name reaches no app.

    forward_auth.py WXGATE VENV
"""

import http.server
import os
import pathlib
import sys
import tempfile
import threading

from shipped import DEPLOY, SECRET, expect, run

from fronts import HOST, Front, at_home, caddy, nginx
from proxies import APP_ID, COOKIES, LONG, VERIFY, VISITOR, Shop, certificate
from proxies import check_plain, check_websocket, envoy, log_in, until_served
from served import App, Process, ask, free_port, pairs_of

# The account under which the app orders.
PAY_ID = "wxfedcba0987654321"

GATEWAY = """
[server]
listen = ["127.0.0.1:0"]
admin_listen = "127.0.0.1:{admin}"
trusted_proxies = ["127.0.0.1"]
state_dir = "state"

[session]
keys = [{keys}]

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "https://{host}"
sandbox = true
open_base_url = "{simulator}"
api_base_url = "{simulator}"
verify_files = ["MP_verify_{verify}.txt"]

[accounts.pay]
app_id = "{pay_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "https://{host}"
sandbox = true
open_base_url = "{payments}"
api_base_url = "{payments}"

[[routes]]
host = "{host}"
upstream = "none"
account = "shop"

[[routes]]
host = "{host}"
path = "/paid"
upstream = "none"
account = "shop"
pay_account = "pay"

[[routes]]
host = "{host}"
path = "/open"
upstream = "none"
auth = "none"

[[routes]]
host = "{host}"
path = "/welcome"
upstream = "none"
account = "shop"
auth = "optional"
"""

# Spellings of one name, to an app that takes "_" and "." for "-".
SPELLINGS = [
    "X-WeChat-OpenId",
    "x-wechat-openid",
    "X-WECHAT-OPENID",
    "X_WeChat_OpenId",
    "X-WeChat_OpenId",
    "x_wechat-openid",
    "X.WeChat.OpenId",
    "X-WeChat-Nickname",
    "X-WeChat-Access-Token",
    "X-WeChat-Snapshot",
    "X-WeChat-Pay-OpenId",
    "X-WeChat-Pay-AppId",
    "X-WeChat-Other",
]


class Legacy(Shop):
    """An old app: it takes POST too, and says what may be cached."""

    def do_POST(self):
        length = int(self.headers["Content-Length"] or 0)
        Legacy.posted = self.rfile.read(length)
        super().do_GET()

    def end_headers(self):
        if self.path.startswith("/shared"):
            self.send_header("Cache-Control", "public, max-age=60")
        super().end_headers()


PROXIES = [
    ("nginx", nginx, "nginx-auth-request.conf"),
    ("Caddy", caddy, "Caddyfile.forward-auth"),
    ("Envoy", envoy, "envoy-ext-authz.yaml"),
]


class Visitor:
    """Asks the proxy, and looks at what the app was asked."""

    def __init__(self, name, front, tls, session=""):
        self.name, self.front, self.tls, self.session = name, front, tls, session

    def ask(self, target, method="GET", body=None, **headers):
        cookie = {"Cookie": self.session} if self.session else {}
        headers = {name.replace("__", "-"): value for name, value in headers.items()}
        return ask(
            f"https://{HOST}{target}",
            method,
            {**cookie, **headers},
            body,
            context=self.tls,
            to=self.front.tls,
            source=VISITOR,
        )

    def reaches(self, target, **options):
        """What the app saw of a request that went there."""
        before = len(App.seen)
        page = self.ask(target, **options)
        expect((page.status, page.text) == (200, "yes"), f"{self.name}: {target}: {page.status}: {page.text[:300]}")
        expect(len(App.seen) == before + 1 and Shop.lines[-1] == target, f"{self.name}: the app was not asked for {target}")
        return App.seen[-1]

    def is_refused(self, target, status, **options):
        before = len(App.seen)
        page = self.ask(target, **options)
        expect(page.status == status, f"{self.name}: {target}: {page.status}, not {status}: {page.text[:300]}")
        expect(len(App.seen) == before, f"{self.name}: {target} reached the app")
        return page


def family(seen):
    """What the app reads of the family, whatever it folds names to, empty values aside."""
    fold = lambda name: "".join(c if c.isalnum() else "-" for c in name.lower())
    return {fold(name): value for name, value in seen.items() if "wechat" in name.lower() and value}


def check_identity(visitor, openid):
    path = "/a%2Fb//c/./%7Ed%20e?q=%3D&r=%E4%BD%A0"
    seen = visitor.reaches(path)
    known = family(seen)
    expect(known.pop("x-wechat-openid", None) == openid, f"{visitor.name}: {dict(seen)}")
    expect(known == {"x-wechat-appid": APP_ID, "x-wechat-scope": "snsapi_base"}, f"{visitor.name}: {known}")
    expect(seen.get_all("X-WeChat-OpenId") == [openid], f"{visitor.name}: {seen.get_all('X-WeChat-OpenId')}")
    expect(seen.get_all("Host") == [HOST], f"{visitor.name}: host {seen.get_all('Host')}")
    expect(seen["X-Forwarded-For"].split(",")[-1].strip() == VISITOR, f"{visitor.name}: {seen['X-Forwarded-For']}")
    posted = visitor.reaches("/order", method="POST", body=b"a=1&b=2")
    expect(posted["X-WeChat-OpenId"] == openid and Legacy.posted == b"a=1&b=2", f"{visitor.name}: a POST")
    long = {"Cookie": f"{visitor.session}; {COOKIES}"}
    expect(visitor.reaches(f"/long?{LONG}", **long)["X-WeChat-OpenId"] == openid, f"{visitor.name}: long headers")


def check_payer(visitor, payments):
    """The second openid comes by a second login, and is told where the route asks for it."""
    page = visitor.is_refused("/paid", 302)
    jar = f"{visitor.session}; {pairs_of(page)}"
    if page.location.startswith((f"https://{HOST}/", "/")):
        page = visitor.ask(page.location.removeprefix(f"https://{HOST}"))
        jar = f"{visitor.session}; {pairs_of(page)}"
    expect(page.location.startswith(f"{payments}/connect/oauth2/authorize?"), f"{visitor.name}: {page.location}")
    back = ask(page.location.split("#")[0])
    page = visitor.ask(back.location.removeprefix(f"https://{HOST}"), Cookie=jar)
    expect(page.location == f"https://{HOST}/paid", f"{visitor.name}: {page.status} {page.location}")
    paid = pairs_of(page, "__Host-wxgate-pay-pay=")
    expect(paid, f"{visitor.name}: no second cookie")
    payer = Visitor(visitor.name, visitor.front, visitor.tls, f"{visitor.session}; {paid}")
    seen = family(payer.reaches("/paid", **{"X-WeChat-Pay-OpenId": "forged"}))
    told = seen.get("x-wechat-pay-openid"), seen.get("x-wechat-pay-appid")
    expect(told[0] and told[0] != "forged" and told[1] == PAY_ID, f"{visitor.name}: {seen}")
    seen = family(payer.reaches("/cart"))
    expect("x-wechat-pay-openid" not in seen, f"{visitor.name}: {seen}")


def check_spoofing(visitor, stranger, openid):
    forged = {name: f"forged-{at}" for at, name in enumerate(SPELLINGS)}
    for headers in [{name: value} for name, value in forged.items()]:
        if visitor.name == "nginx" and "X-WeChat-Other" in headers:
            # It has no pattern to take names away by; the gateway refuses who brings one.
            visitor.is_refused("/welcome", 404, **headers)
            stranger.is_refused("/open", 404, **headers)
            continue
        for who, target, known in [
            (visitor, "/cart", openid),
            (visitor, "/welcome", openid),
            (stranger, "/welcome", None),
            (stranger, "/open", None),
            (visitor, "/open", None),
        ]:
            seen = family(who.reaches(target, **headers))
            expect(seen.get("x-wechat-openid") == known, f"{who.name}: {headers} at {target}: {seen}")
            expect("forged" not in str(seen), f"{who.name}: {headers} at {target}: {seen}")
        stranger.is_refused("/cart", 302, **headers)


def check_disguises(visitor, stranger):
    """A client says that it asks for something open."""
    for headers in [
        {"X-Original-URI": "/open"},
        {"X-Original-Method": "OPTIONS"},
        {"X-Original-URL": "/open"},
        {"X-Rewrite-URL": "/open"},
        {"X-Forwarded-Uri": "/open"},
        {"X-Forwarded-Method": "OPTIONS"},
        {"X-Forwarded-Host": "other.test"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Original-URI": "/open", "X-Original-Method": "GET", "X-Forwarded-Uri": "/open"},
    ]:
        before = len(App.seen)
        page = stranger.ask("/cart", **headers)
        expect(page.status in (302, 400, 403), f"{stranger.name}: {headers}: {page.status}")
        expect(len(App.seen) == before, f"{stranger.name}: {headers} reached the app")
        seen = visitor.reaches("/cart", **headers)
        expect(not seen["X-Rewrite-URL"] and not seen["X-Original-URL"], f"{visitor.name}: {headers}: {dict(seen)}")
    for target in [
        "/open/../cart",
        "/open/%2e%2e/cart",
        "/open%2f..%2fcart",
        "/open/..%2fcart",
        "/open/..;/cart",
        "/cart?/open",
        "//open/../cart",
        "/open\\..\\cart",
    ]:
        before = len(App.seen)
        page = stranger.ask(target)
        expect(page.status in (302, 400, 403), f"{stranger.name}: {target}: {page.status}: {page.text[:200]}")
        expect(len(App.seen) == before, f"{stranger.name}: {target} reached the app")
    for target in ["/.wxgate/auth", "/.wxgate/auth/open", "/.wxgate/%61uth", "/.wxgate/./auth", "/x/../.wxgate/auth"]:
        for headers in [{}, {"X-Original-URI": "/open", "X-Original-Method": "GET"}]:
            before = len(App.seen)
            page = visitor.ask(target, **headers)
            # To some a path is the app's until somebody tidies it.
            app = target.startswith("/x/") and len(App.seen) == before + 1
            expect(page.status >= 400 or app, f"{visitor.name}: {target}: {page.status}: {page.text[:200]}")
            expect(app or len(App.seen) == before, f"{visitor.name}: {target} reached the app")
            expect(not any("wechat" in name.lower() for name in page.headers), f"{visitor.name}: {page.headers}")


def check_refusals(stranger):
    page = stranger.is_refused("/order", 401, method="POST", body=b"a=1", Accept="application/json")
    expect('"login_url"' in page.text, f"{stranger.name}: {page.text[:300]}")
    page = stranger.is_refused("/data", 401, **{"X-Requested-With": "XMLHttpRequest"})
    expect('"login_url"' in page.text, f"{stranger.name}: {page.text[:300]}")
    page = stranger.is_refused("/cart", 403, **{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/150"})
    expect("<svg" in page.text, f"{stranger.name}: no QR code outside WeChat")
    foreign = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Origin": "https://evil.test",
    }
    stranger.is_refused("/socket", 401, **foreign)
    return foreign


def check_own_paths(visitor, openid):
    page = visitor.ask("/.wxgate/openid")
    expect(openid in page.text, f"{visitor.name}: {page.text[:300]}")
    page = visitor.ask(f"/MP_verify_{VERIFY}.txt")
    expect((page.status, page.text) == (200, VERIFY), f"{visitor.name}: WeChat's file: {page.status}")


def check_renewal(visitor):
    """Under a new key a session is written anew, but in no answer that is shared."""
    page = visitor.ask("/shared")
    cookies = page.headers.get_all("Set-Cookie", [])
    shared = "public" in str(page.headers.get_all("Cache-Control"))
    page = visitor.ask("/cart")
    renewed = pairs_of(page, "__Host-wxgate_shop=")
    expect(page.status == 200 and renewed, f"{visitor.name}: no session under the new key: {page.headers}")
    if visitor.name != "Envoy":
        expect(not (cookies and shared), f"{visitor.name}: a session in an answer that caches share")
    again = Visitor(visitor.name, visitor.front, visitor.tls, renewed)
    page = again.ask("/cart")
    expect(page.status == 200 and not page.headers.get_all("Set-Cookie"), f"{visitor.name}: renewed on and on")
    return again


def check_logout(visitor):
    copied = visitor.session
    page = visitor.ask("/.wxgate/logout", method="POST", Origin=f"https://{HOST}", Accept="application/json")
    expect(page.status == 200, f"{visitor.name}: logout: {page.status}")
    Visitor(visitor.name, visitor.front, visitor.tls, copied).is_refused("/cart", 302)


def main():
    wxgate = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="wxgate-forward-auth-") as name:
        dir = pathlib.Path(name)
        app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Legacy)
        threading.Thread(target=app.serve_forever, daemon=True).start()
        simulate = Process(
            wxgate, "simulate", "--listen", "127.0.0.1:0", "--app-id", APP_ID, "--app-secret", SECRET, "--callback-host", HOST
        )
        simulator = simulate.match(r"api_base_url: (http://\S+)").group(1)
        (dir / "app_secret").write_text(SECRET)
        # The other account is at another WeChat, where one openid is as good as another.
        pays = Process(
            wxgate, "simulate", "--listen", "127.0.0.1:0", "--app-id", PAY_ID, "--app-secret", SECRET, "--callback-host", HOST
        )
        payments = pays.match(r"api_base_url: (http://\S+)").group(1)
        for key in ("old", "new"):
            (dir / key).write_text(run(wxgate, "keygen"))
        tls = certificate(dir)
        for name, prepare, file in PROXIES:
            admin = free_port()

            def configure(*keys):
                keys = ", ".join(f'{{ file = "{key}" }}' for key in keys)
                text = GATEWAY.format(
                    app_id=APP_ID,
                    pay_id=PAY_ID,
                    host=HOST,
                    simulator=simulator,
                    payments=payments,
                    admin=admin,
                    verify=VERIFY,
                    keys=keys,
                )
                (dir / "gateway.toml.new").write_text(text)
                os.replace(dir / "gateway.toml.new", dir / "gateway.toml")

            configure("old")
            gateway = Process(wxgate, "run", "--config", dir / "gateway.toml")
            port = int(gateway.match(r"listening on 127\.0\.0\.1:(\d+)").group(1))
            front = Front(dir, port, admin, app.server_address[1])
            shipped = (DEPLOY / file).read_text()
            proxy = Process(*prepare(front, shipped), env=at_home(front))
            until_served(front, tls, proxy)
            session = log_in(name, front, tls, simulator)
            stranger, visitor = Visitor(name, front, tls), Visitor(name, front, tls, session)
            openid = visitor.reaches("/cart")["X-WeChat-OpenId"]
            expect(openid, f"{name}: no openid")
            check_identity(visitor, openid)
            check_payer(visitor, payments)
            check_spoofing(visitor, stranger, openid)
            check_disguises(visitor, stranger)
            foreign = check_refusals(stranger)
            visitor.is_refused("/socket", 403, **foreign)
            check_websocket(name, front, tls, session)
            check_own_paths(visitor, openid)
            check_plain(name, front)
            configure("new", "old")
            gateway.match(r"gateway\.toml was read anew")
            check_logout(check_renewal(visitor))
            # Nobody gets to the app whom the gateway did not let in.
            expect(gateway.stop() == 0, f"the gateway did not end well: {gateway.written()}")
            for target in ("/cart", "/open"):
                page = visitor.ask(target)
                expect(page.status >= 400, f"{name}: {target} without a gateway: {page.status}")
            proxy.stop()
            print(f"{name}: login, identity, spoofing, disguises, WebSocket, renewal and logout as they should be")
        for simulator in (simulate, pays):
            expect(simulator.stop() == 0, "a simulator did not end well")


if __name__ == "__main__":
    main()
