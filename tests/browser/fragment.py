"""A real Chromium, which says it is WeChat's, logs in at an address with a
fragment: the app's page finds it there when it is loaded.

    fragment.py WXGATE SCREENSHOTS
"""

import http.server
import pathlib
import sys
import tempfile
import threading

from chromium import Browser, chromedriver
from served import WECHAT, Process, expect, free_port

APP_ID = "wx5150a7c0ffee0001"
SECRET = "0123456789abcdef0123456789abcdef"

GATEWAY = """
[server]
listen = ["127.0.0.1:{port}"]
public_scheme = "http"
state_dir = "state"

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://127.0.0.1:{port}"
sandbox = true
open_base_url = "{simulator}"
api_base_url = "{simulator}"

[[routes]]
host = "127.0.0.1"
upstream = "http://127.0.0.1:{app}"
account = "shop"
keep_fragment = true

[[routes]]
host = "127.0.0.1"
path = "/ask"
upstream = "http://127.0.0.1:{app}"
account = "shop"
scope = "snsapi_userinfo"
consent_page = true
keep_fragment = true

[[routes]]
host = "127.0.0.1"
path = "/plain"
upstream = "http://127.0.0.1:{app}"
account = "shop"
scope = "snsapi_userinfo"
consent_page = true
"""

PAGE = b"""<!doctype html><meta charset="utf-8"><title>shop</title><p id="at"></p>
<noscript><p id="bare">no script</p></noscript>
<script>document.getElementById('at').textContent = location.href</script>"""


class Shop(http.server.BaseHTTPRequestHandler):
    """A page of one address: its script says where it finds itself."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def agree(browser):
    """Agrees at the simulator, which asks as WeChat does."""
    browser.find("a.button")
    expect("/connect/oauth2/authorize?" in browser.url(), f"not at the simulator but at {browser.url()}")
    browser.click("a.button")


def arrives(browser, address):
    """Waits for the app's page."""
    found = browser.text("#at")
    expect(found == address, f"the app's page found itself at {found}, not at {address}")
    expect(browser.url() == address, f"the browser is at {browser.url()}")
    expect(not browser.complaints(), f"{browser.complaints()}")


def fragment_survives(start, origin):
    with start("fragment") as browser:
        address = f"{origin}/shop?x=1&y=%20#/deep/route?z=%E4%BD%A0"
        browser.open(address)
        arrives(browser, address)
        # Whoever is known is not sent away, and keeps their fragment anyway.
        browser.open(f"{origin}/other#/elsewhere")
        expect(browser.text("#at") == f"{origin}/other#/elsewhere", browser.text("#at"))
        expect(browser.run("return sessionStorage.length") == 0, "something is left behind")
    with start("without") as browser:
        browser.open(f"{origin}/shop")
        arrives(browser, f"{origin}/shop")
    print("fragment: #/deep/route is there when the app's page is loaded, and nothing where there was nothing")


def two_tabs_keep_their_own(start, origin):
    with start("tabs") as browser:
        # Both are asked before either agrees.
        browser.open(f"{origin}/ask/one#first")
        browser.find("a.go")
        one = browser.call("GET", "/window")
        other = browser.call("POST", "/window/new", {"type": "tab"})["handle"]
        browser.call("POST", "/window", {"handle": other})
        browser.open(f"{origin}/ask/two#second")
        browser.click("a.go")
        agree(browser)
        arrives(browser, f"{origin}/ask/two#second")
        browser.call("POST", "/window", {"handle": one})
        browser.click("a.go")
        arrives(browser, f"{origin}/ask/one#first")
    print("fragment: two tabs keep each their own")


def asked_first(start, origin):
    for path in ("/ask", "/plain"):
        with start(path.strip("/")) as browser:
            address = f"{origin}{path}?a=b"
            if path == "/ask":
                address += "#/deep"
            browser.open(address)
            expect(browser.text("h1") == "需要您的微信资料", browser.text("h1"))
            browser.screenshot(f"7-consent-{path.strip('/')}")
            browser.click("a.go")
            agree(browser)
            arrives(browser, address)
    print("fragment: who is asked first and agrees gets there, fragment and all")


def without_scripts(start, origin):
    with start("no-scripts", scripts=False) as browser:
        browser.open(f"{origin}/shop?x=1#/lost")
        browser.find("#bare")
        expect(browser.url().split("#")[0] == f"{origin}/shop?x=1", f"at {browser.url()}")
    print("fragment: without scripts a visitor gets there without it")


def main():
    wxgate, screenshots = sys.argv[1], pathlib.Path(sys.argv[2])
    screenshots.mkdir(parents=True, exist_ok=True)
    port = free_port()
    simulator = Process(wxgate, "simulate", "--listen", "127.0.0.1:0", "--app-id", APP_ID, "--app-secret", SECRET,
                        "--callback-host", f"127.0.0.1:{port}")
    url = simulator.match(r"open_base_url and api_base_url: (http://\S+)").group(1)
    shop = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    # A browser that leaves is no error.
    shop.handle_error = lambda *_: None
    threading.Thread(target=shop.serve_forever, daemon=True).start()
    driver, drive = chromedriver()
    with tempfile.TemporaryDirectory(prefix="wxgate-browser-", ignore_cleanup_errors=True) as name:
        dir = pathlib.Path(name)
        (dir / "app_secret").write_text(SECRET)
        config = GATEWAY.format(port=port, app_id=APP_ID, simulator=url, app=shop.server_address[1])
        (dir / "gateway.toml").write_text(config)
        gateway = Process(wxgate, "run", "--config", dir / "gateway.toml")
        gateway.match(r"listening on (\S+)")

        def start(name, scripts=True):
            return Browser(drive, dir / name, screenshots, agent=WECHAT, scripts=scripts)

        origin = f"http://127.0.0.1:{port}"
        fragment_survives(start, origin)
        two_tabs_keep_their_own(start, origin)
        asked_first(start, origin)
        without_scripts(start, origin)
        expect(gateway.stop() == 0, "the gateway did not end well")
    driver.stop()
    expect(simulator.stop() == 0, "the simulator did not end well")


if __name__ == "__main__":
    main()
