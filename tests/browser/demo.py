"""A real Chromium visits the demo as a newcomer does, and sees the page for
browsers outside WeChat on a phone's screen.

    demo.py WXGATE SCREENSHOTS
"""

import pathlib
import sys
import tempfile

from chromium import Browser, chromedriver
from served import Process, expect, free_port

GATEWAY = """
[server]
listen = ["127.0.0.1:0"]
public_scheme = "http"
state_dir = "state"

[accounts.shop]
app_id = "wx5150a7c0ffee0001"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://127.0.0.1"
sandbox = true
open_base_url = "http://127.0.0.1:{nobody}"
api_base_url = "http://127.0.0.1:{nobody}"

[[routes]]
host = "127.0.0.1"
upstream = "http://127.0.0.1:{nobody}"
account = "shop"
"""


def visit_the_demo(browser, shop):
    browser.open(shop)
    browser.find("a.person")
    expect("/connect/oauth2/authorize?" in browser.url(), f"not at the simulator but at {browser.url()}")
    browser.screenshot("1-who-is-visiting")
    browser.click("a.person")
    browser.find('button[value="tea"]')
    expect(browser.url() == shop, f"not back at the shop but at {browser.url()}")
    openid = browser.text("#openid")
    expect(openid.startswith("o") and len(openid) == 28, f"no openid but {openid}")
    browser.screenshot("2-shop")
    print("demo: a newcomer chooses a visitor and is in the shop")
    return openid


def order(browser, shop, openid):
    browser.click('button[value="tea"]')
    number = browser.text("#order")
    expect(number.startswith("WX"), f"no order but {number}")
    expect(browser.text("#openid") == openid, "the order is somebody else's")
    browser.screenshot("3-order")
    browser.open(shop)
    browser.reload()
    expect(browser.text("#openid") == openid, "somebody else after the reload")
    expect(browser.url() == shop, f"sent away from the shop to {browser.url()}")
    print("demo: an order shows the openid, and a reload the same person")


def log_out(browser, shop):
    browser.open(f"{shop}.wxgate/logout")
    browser.screenshot("4-log-out")
    browser.click("form button")
    browser.find("a.go")
    expect("Logged out" in browser.source(), f"not logged out: {browser.source()[:600]}")
    browser.screenshot("5-logged-out")
    expect(not browser.complaints(), f"{browser.complaints()}")
    browser.click("a.go")
    browser.find("a.person")
    expect("/connect/oauth2/authorize?" in browser.url(), f"not asked again but at {browser.url()}")
    print("demo: who logs out is asked again")


def outside_wechat(browser, address):
    browser.open(f"http://{address}/goods/42?from=a")
    heading = browser.text("h1")
    expect(heading == "请在微信中打开", f"another page: {heading}")
    box = browser.run("const b = document.querySelector('svg').getBoundingClientRect(); return [b.left, b.right, b.top, b.bottom]")
    left, right, top, bottom = box
    expect(right - left >= 150 and abs((right - left) - (bottom - top)) < 1, f"the code is drawn as {box}")
    screen = browser.run("return [window.innerWidth, window.innerHeight, document.documentElement.scrollWidth]")
    expect(screen[0] == 390 and screen[2] <= 390, f"wider than the screen: {screen}")
    expect(left >= 0 and right <= screen[0] and bottom <= screen[1], f"the code is off the screen: {box}")
    expect(browser.text("code") == "http://127.0.0.1/goods/42?from=a", f"another address: {browser.text('code')}")
    color = browser.run("return getComputedStyle(document.querySelector('a.go')).backgroundColor")
    expect(color == "rgb(7, 193, 96)", f"the style is not applied: {color}")
    expect(not browser.complaints(), f"{browser.complaints()}")
    browser.screenshot("6-outside-wechat")
    print("demo: a phone outside WeChat shows the code and the address")


def main():
    wxgate, screenshots = sys.argv[1], pathlib.Path(sys.argv[2])
    screenshots.mkdir(parents=True, exist_ok=True)
    demo = Process(wxgate, "demo", "--listen", "127.0.0.1:0")
    shop = demo.match(r"shop behind wxgate: +(http://\S+)").group(1)
    driver, drive = chromedriver()
    with tempfile.TemporaryDirectory(prefix="wxgate-browser-", ignore_cleanup_errors=True) as name:
        dir = pathlib.Path(name)
        with Browser(drive, dir / "desktop", screenshots) as browser:
            openid = visit_the_demo(browser, shop)
            order(browser, shop, openid)
            log_out(browser, shop)
        (dir / "app_secret").write_text("0123456789abcdef0123456789abcdef")
        (dir / "gateway.toml").write_text(GATEWAY.format(nobody=free_port()))
        gateway = Process(wxgate, "run", "--config", dir / "gateway.toml")
        address = gateway.match(r"listening on (\S+)").group(1)
        with Browser(drive, dir / "phone", screenshots, phone=True) as browser:
            outside_wechat(browser, address)
        expect(gateway.stop() == 0, "the gateway did not end well")
    driver.stop()
    expect(demo.stop() == 0, "the demo did not end well")


if __name__ == "__main__":
    main()
