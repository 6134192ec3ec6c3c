"""A Chromium that the checks here drive: W3C WebDriver, spoken to chromedriver with
Python's own library.

Every page that a browser was answered, those on the way included, is in its log of
the network; `walked` reads it.
"""

import atexit
import base64
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))
from served import PATIENCE, Process, expect  # noqa: E402

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]
PHONE = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2, "touch": True, "mobile": True}}
# How WebDriver names an element in JSON.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One Chromium with a profile of its own."""

    def __init__(self, driver, profile, screenshots, phone=False, agent=None, scripts=True, cookies=True, flags=()):
        options = {"args": [*FLAGS, *flags, f"--user-data-dir={profile}", "--window-size=1100,900"], "prefs": {}}
        if agent:
            options["args"].append(f"--user-agent={agent}")
        if not scripts:
            options["prefs"]["profile.managed_default_content_settings.javascript"] = 2
        if not cookies:
            options["prefs"]["profile.managed_default_content_settings.cookies"] = 2
        if phone:
            options["mobileEmulation"] = PHONE
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        self.screenshots = screenshots
        self.base = f"{driver}/session"
        session = self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self.base = f"{driver}/session/{session['sessionId']}"
        # chromedriver, when it is ended, leaves its browsers.
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        atexit.unregister(self.close)
        self.call("DELETE", "")

    def call(self, method, path, body=None):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=2 * PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["value"]
            raise LookupError(f"{told['error']}: {told['message'].splitlines()[0]}") from None

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def reload(self):
        self.call("POST", "/refresh")

    def url(self):
        return self.call("GET", "/url")

    def back(self):
        self.call("POST", "/back")

    def forward(self):
        self.call("POST", "/forward")

    def tab(self):
        """The tab that is looked at."""
        return self.call("GET", "/window")

    def tabs(self):
        return self.call("GET", "/window/handles")

    def new_tab(self):
        """Opens one, and looks at it."""
        handle = self.call("POST", "/window/new", {"type": "tab"})["handle"]
        self.turn_to(handle)
        return handle

    def turn_to(self, handle):
        self.call("POST", "/window", {"handle": handle})

    def source(self):
        return self.call("GET", "/source")

    def find(self, css):
        """The first element, waited for: a click returns before the next page is there."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]
            except LookupError as error:
                expect(time.monotonic() < end, f"no {css} at {self.url()}: {error}")
                time.sleep(0.1)

    def has(self, css):
        """Whether there is one now."""
        return bool(self.call("POST", "/elements", {"using": "css selector", "value": css}))

    def text(self, css):
        return self.call("GET", f"/element/{self.find(css)}/text")

    def click(self, css):
        self.call("POST", f"/element/{self.find(css)}/click")

    def run(self, script):
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def complaints(self):
        """What the browser found against the page's own policy."""
        entries = self.call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if "Content Security Policy" in entry["message"]]

    def walked(self):
        """The pages that came since this was last asked, redirects and frames included:
        (status, URL), and the name of the mistake for a status where none came."""
        pages, urls = [], {}
        for entry in self.call("POST", "/se/log", {"type": "performance"}):
            event = json.loads(entry["message"])["message"]
            method, told = event["method"], event["params"]
            if told.get("type") != "Document":
                continue
            if method == "Network.requestWillBeSent":
                urls[told["requestId"]] = told["request"]["url"]
                if "redirectResponse" in told:
                    pages.append((told["redirectResponse"]["status"], told["redirectResponse"]["url"]))
            elif method == "Network.responseReceived":
                pages.append((told["response"]["status"], told["response"]["url"]))
            elif method == "Network.loadingFailed":
                pages.append((told["errorText"], urls.get(told["requestId"], "?")))
        return pages

    def screenshot(self, name):
        file = self.screenshots / f"{name}.png"
        file.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))
        expect(file.stat().st_size > 5000, f"{name} is an empty picture")


def chromedriver():
    """The program that drives browsers, and its address."""
    driver = Process("chromedriver", "--port=0")
    port = driver.match(r"started successfully on port (\d+)").group(1)
    return driver, f"http://127.0.0.1:{port}"
