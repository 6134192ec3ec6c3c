"""The world that browsers walk through: WeChat at its own address, apps that know
nothing of it, gateways that end TLS, and profiles of Chromium for which all their
hosts are on this machine.

What always holds: a browser reaches nothing but this machine; its addresses are
those of the field, https without a port, so that cookies and redirects are too.
"""

import collections
import html
import http.server
import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import urllib.request

from chromium import Browser, chromedriver
from served import Process, expect

APP_ID = "wx5150a7c0ffee0001"
SECRET = "0123456789abcdef0123456789abcdef"
# As the simulator has them; it calls the first one so on its first account.
XIAOMING = "oXiaoMing7Kq2VbT9wZr4Lp0sDfA"
ALI = "oALi-Rose5Tn1CvX8yQm3Ks6_gHb"
WEIXIN = "open.weixin.qq.com"
# For what happens by itself, as nobody waits longer for a page.
PATIENCE = 20

CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
AGENTS = {
    "android": "Mozilla/5.0 (Linux; Android 14; 23127PN0CC Build/UKQ1.230804.001; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36 XWEB/1260117 MMWEBSDK/20240501 MMWEBID/2160 "
    "MicroMessenger/8.0.50.2701(0x28003256) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64",
    "ios": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "MicroMessenger/8.0.50(0x18003233) NetType/4G Language/zh_CN",
    "wechat-desktop": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 NetType/WIFI "
    "MicroMessenger/7.0.20.1781(0x6700143B) WindowsWechat(0x63090c11) XWEB/11529 Flue",
    "wecom": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 wxwork/4.1.28 (MicroMessenger/7.0.1) "
    "WindowsWechat Language/zh ColorScheme/Light",
    "desktop": f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36",
}
PHONES = ("android", "ios")


class Legacy(http.server.BaseHTTPRequestHandler):
    """An app that shows what it was asked, and where its page's script finds itself."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers["Content-Length"] or 0)
        asked = {name.lower(): value for name, value in self.headers.items()}
        asked.update(method=self.command, path=self.path, body=self.rfile.read(length).decode())
        page = (
            '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            '<link rel="icon" href="data:,"><title>app</title><p id="at"></p>'
            f'<pre id="seen" style="white-space:pre-wrap">{html.escape(json.dumps(asked, indent=1))}</pre>'
            "<script>document.getElementById('at').textContent = location.href</script>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def tell(*_):
    """An app's mistake is told, and no mistake is that a browser leaves."""
    if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError, ssl.SSLError)):
        traceback.print_exc()


def serve(handler, tls=None):
    """Serves until this process ends, over TLS with a context for it; gives the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        # Each connection's own thread shakes hands.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = tell
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def openssl(*arguments, text=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=text, capture_output=True, check=False)
    expect(done.returncode == 0, f"openssl {arguments}: {done.stderr.decode()}")
    return done.stdout


class Authority:
    """A certificate authority, and one certificate of it for every host here."""

    def __init__(self, dir, hosts):
        self.dir, self.hosts = dir, hosts
        self.ca, self.cert, self.key = dir / "ca.pem", dir / "cert.pem", dir / "key.pem"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        basic = "basicConstraints=critical,CA:TRUE"
        openssl("req", "-x509", *curve, "-days", 2, "-subj", "/CN=the walk's CA", "-addext", basic,
                "-keyout", dir / "ca.key", "-out", self.ca)  # fmt: skip
        openssl("req", "-new", *curve, "-subj", f"/CN={hosts[0]}", "-keyout", self.key, "-out", dir / "csr.pem")
        (dir / "names").write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts))
        openssl("x509", "-req", "-in", dir / "csr.pem", "-CA", self.ca, "-CAkey", dir / "ca.key", "-CAcreateserial",
                "-days", 2, "-extfile", dir / "names", "-out", self.cert)  # fmt: skip
        self.cert.write_text(self.cert.read_text() + self.ca.read_text())
        self.key.chmod(0o600)

    def spki(self):
        """What Chromium is told to believe: the base64 of the key's hash."""
        key = openssl("pkey", "-pubin", "-outform", "der", text=openssl("x509", "-in", self.ca, "-noout", "-pubkey"))
        return openssl("base64", "-A", text=openssl("dgst", "-sha256", "-binary", text=key)).decode()

    def believed(self):
        """For who asks a server of it."""
        return ssl.create_default_context(cafile=str(self.ca))

    def shown(self):
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def table(self):
        """`[server.tls]` for a gateway of the same directory."""
        hosts = json.dumps(self.hosts)
        return f'[server.tls]\nlisten = ["127.0.0.1:0"]\ncertificates = [{{ hosts = {hosts}, cert = "cert.pem", key = "key.pem" }}]\n'


class Gateway:
    """A gateway that runs, and its access log."""

    def __init__(self, world, name, config, tls=True):
        self.name = name
        file = world.dir / f"{name}.toml"
        table = world.authority.table() if tls else ""
        file.write_text(f'{config}\n{table}\n[log]\nformat = "json"\n')
        self.process = Process(world.wxgate, "run", "--config", file)
        self.port = int(self.process.match(r"listening on 127\.0\.0\.1:(\d+)\"").group(1))
        self.tls = int(self.process.match(r"listening on 127\.0\.0\.1:(\d+) with TLS").group(1)) if tls else None

    def lines(self):
        """What the access log says so far."""
        told = [json.loads(line) for line in self.process.lines if line and line.startswith("{")]
        return [line for line in told if line["target"] == "wxgate::access"]

    def ends(self, **pages):
        """It ends well, and has refused or asked visitors so often, each for its reason,
        and nobody else. A browser's own question for a picture of the site is no page."""
        expect(self.process.stop() == 0, f"{self.name} did not end well: {self.process.written()}")
        told = [line for line in self.lines() if line["status"] >= 400 and line["path"] != "/favicon.ico"]
        found = collections.Counter(line["reason"] for line in told)
        short = [(line["status"], line["reason"], line["host"], line["path"]) for line in told]
        expect(found == collections.Counter(pages), f"{self.name}: {dict(found)}, not {pages}: {short}")


class Wechat:
    """WeChat, as one account knows it, of which kind `option` says: it sends visitors
    back to `callbacks`. Browsers find it at `host`, over TLS."""

    def __init__(self, world, host, app_id, callbacks, option="--app-id"):
        self.host, self.app_id = host, app_id
        words = [word for callback in callbacks for word in ("--callback-host", callback)]
        account = [option, app_id, "--app-secret", SECRET]
        self.process = Process(world.wxgate, "simulate", "--listen", "127.0.0.1:0", *account, *words)
        self.url = self.process.match(r"open_base_url and api_base_url: (http://\S+)").group(1)
        route = f'[[routes]]\nhost = "{host}"\nupstream = "{self.url}"\nauth = "none"\n'
        server = f'[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "{host}"\n{route}'
        self.front = Gateway(world, host, server)

    def calls(self):
        """What was asked, and what came of it."""
        with urllib.request.urlopen(f"{self.url}/simulator/calls", timeout=PATIENCE) as answer:
            return json.load(answer)

    def asked(self, page="authorize"):
        """How often visitors came to a page, or the gateway to a call."""
        return self.calls()[page]["total"]

    def mood(self, **fields):
        """From now on it treats so who comes."""
        body = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(f"{self.url}/simulator/mood", body, PATIENCE) as answer:
            expect(answer.status == 200, f"{fields}: {answer.status}")

    def ends(self):
        self.front.ends()
        expect(self.process.stop() == 0, f"{self.host} did not end well")


class World:
    """WeChat, an app, and what starts gateways and browsers among them."""

    def __init__(self, wxgate, dir, screenshots, hosts, callbacks):
        self.wxgate, self.dir, self.screenshots = pathlib.Path(wxgate).resolve(), dir, screenshots
        self.authority = Authority(dir, [WEIXIN, *hosts])
        (dir / "app_secret").write_text(SECRET)
        self.app = serve(Legacy)
        self.driver, self.drive = chromedriver()
        self.shots = 0
        self.wechat = Wechat(self, WEIXIN, APP_ID, callbacks)

    def key(self):
        """A key, as `wxgate keygen` makes them."""
        made = subprocess.run([self.wxgate, "keygen"], capture_output=True, text=True, check=True)
        return made.stdout

    def account(self, name, callback, wechat=None, more=""):
        """`[accounts.NAME]`, known to `wechat`, with its callback at the host `callback`."""
        wechat = wechat or self.wechat
        base = "" if wechat.host == WEIXIN else f'open_base_url = "https://{wechat.host}"\n'
        return (
            f'[accounts.{name}]\napp_id = "{wechat.app_id}"\napp_secret = {{ file = "app_secret" }}\n{base}'
            f'callback_origin = "https://{callback}"\nsandbox = true\napi_base_url = "{wechat.url}"\n{more}\n'
        )

    def route(self, host, more="", account="shop", path="/"):
        account = f"account = {json.dumps(account)}" if account else 'auth = "none"'
        upstream = "" if "upstream" in more else f'upstream = "http://127.0.0.1:{self.app}"'
        return f'[[routes]]\nhost = "{host}"\npath = "{path}"\n{upstream}\n{account}\n{more}\n'

    def profile(self, name, kind, ports, **options):
        """A browser with a profile of its own: `ports` says where each host is."""
        rules = [f"MAP {host}:443 127.0.0.1:{port}" for host, port in {WEIXIN: self.wechat.front.tls, **ports}.items()]
        rules = ", ".join([*rules, "EXCLUDE localhost", "MAP * ~NOTFOUND"])
        flags = [f"--host-resolver-rules={rules}", f"--ignore-certificate-errors-spki-list={self.authority.spki()}"]
        options = {"phone": kind in PHONES, "agent": AGENTS[kind], "flags": flags, **options}
        return Profile(self, Browser(self.drive, self.dir / f"profile-{name}", self.screenshots, **options), name)

    def stop(self):
        self.wechat.ends()
        self.driver.stop()


class Profile:
    """A visitor's browser: what it does, and what must hold wherever it lands."""

    def __init__(self, world, browser, name):
        self.world, self.browser, self.name = world, browser, name
        # What a browser opens by itself at first is no step of the walk.
        browser.open("about:blank")
        browser.walked()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.close()

    def __getattr__(self, what):
        return getattr(self.browser, what)

    def is_visitor(self, openid, at=WEIXIN):
        """From now on WeChat knows this browser as that of `openid`."""
        self.browser.open(f"https://{at}/simulator/")
        cookie = {"name": "wxgate_simulator_visitor", "value": openid, "path": "/connect", "httpOnly": True}
        self.browser.call("POST", "/cookie", {"cookie": cookie})
        self.browser.open("about:blank")
        self.browser.walked()

    def until(self, holds, what):
        """Waits until `holds` gives something."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = holds()
                if found:
                    return found
            except LookupError:
                pass
            if time.monotonic() > end:
                self.browser.screenshot(f"walk-failed-{self.name}")
                sys.exit(
                    f"{sys.argv[0]}: {self.name}: {what}, but at {self.browser.url()}\n"
                    f"after {self.browser.walked()}:\n{self.browser.source()[:1500]}"
                )
            time.sleep(0.05)

    def is_at(self, url):
        """A browser takes the fragment of an address along to where that redirects, and
        WeChat's has one."""
        return self.browser.url() in (url, url if "#" in url else f"{url}#wechat_redirect")

    def lands(self, url, by=()):
        """It is at the app's page at `url`: gives what the app was asked. Of the pages
        on its way none was a mistake but those of the statuses `by`, in order."""
        self.until(lambda: self.is_at(url) and self.browser.has("#seen"), f"not at {url}")
        seen = json.loads(self.browser.text("#seen"))
        found, browser = self.browser.text("#at"), self.browser.url()
        expect(found == browser, f"{self.name}: the app's page finds itself at {found}, not at {browser}")
        self.walked_well(by)
        return seen

    def walked_well(self, by=()):
        walked = self.browser.walked()
        wrong = [status for status, _ in walked if not isinstance(status, int) or status >= 400]
        expect(wrong == list(by), f"{self.name}: {wrong}, not {list(by)}, among {walked}")
        return walked

    def visits(self, url, by=()):
        self.browser.open(url)
        return self.lands(url, by)

    def is_shown(self, heading, by, picture=None):
        """A page of the gateway's own, which leads somewhere and breaks no policy."""
        self.until(lambda: self.browser.has("h1") and self.browser.text("h1") == heading, f"no {heading}")
        expect(self.browser.has("a.go, form button"), f"{self.name}: {heading} leads nowhere")
        expect(not self.browser.complaints(), f"{self.name}: {self.browser.complaints()}")
        if picture:
            self.photo(picture)
        return self.walked_well(by)

    def is_asked(self, picture=None):
        """WeChat's own question is there."""
        self.until(lambda: self.browser.url().startswith(f"https://{WEIXIN}/connect/") and self.browser.has("a.button"), "not asked")
        if picture:
            self.photo(picture)

    def agrees(self):
        self.is_asked()
        self.browser.click("a.button:not(.no)")

    def refuses(self):
        self.is_asked()
        self.browser.click("a.button.no")

    def photo(self, name):
        self.world.shots += 1
        self.browser.screenshot(f"walk-{self.world.shots:02}-{name}")
