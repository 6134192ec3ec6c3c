"""Two SDKs that were written against the real WeChat, wechatpy and wechat-oauth (of
Node), log a visitor in at the gateway's facade, with WeChat's simulator behind it:
openid, profile, refresh, check, and 40163 for a code that is shown again.

    facade.py WXGATE NODE_MODULES

Needs `wechatpy==1.8.18` and `cryptography` from PyPI, Node, and `wechat-oauth@1.5.0`
from npm in NODE_MODULES.
"""

import html
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

from served import Process, ask, expect, free_port, pairs_of, wait_for_port
from wechatpy.exceptions import WeChatOAuthException
from wechatpy.oauth import WeChatOAuth

REAL = "wx5150a7c0ffee0001"
REAL_SECRET = "0123456789abcdef0123456789abcdef"
APP, SECRET = "wxlegacy00000001", "fedcba9876543210fedcba9876543210"
BACK = "https://legacy.example.com/wechat/callback?shop=1"
STATE = "State123"

GATEWAY = """
[server]
listen = ["127.0.0.1:{port}"]
public_scheme = "http"
state_dir = "state"

[accounts.shop]
app_id = "{real}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://127.0.0.1:{port}"
sandbox = true
open_base_url = "{simulator}"
api_base_url = "{simulator}"

[facade]
host = "127.0.0.1"

[[facade.apps]]
name = "legacy"
account = "shop"
app_id = "{app}"
app_secret = {{ file = "legacy_secret" }}
callback_origins = ["https://legacy.example.com"]
"""


class Browser:
    """WeChat's: it keeps the gateway's cookies, and its visitor agrees when asked."""

    def __init__(self, gateway, simulator):
        self.gateway, self.simulator = gateway, simulator
        self.cookies = {}

    def open(self, url):
        url = url.split("#")[0]
        ours = url.startswith(self.gateway)
        line = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = ask(url, headers={"Cookie": line} if ours and line else {})
        if ours:
            for pair in filter(None, pairs_of(answer).split("; ")):
                name, value = pair.split("=", 1)
                self.cookies[name] = value
        return answer

    def code(self, url):
        """Follows `url` until it leads back to the app, and gives the code."""
        for _ in range(12):
            if url.startswith("https://legacy.example.com/"):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
                expect(query["shop"] == ["1"] and query["state"] == [STATE], f"came back changed: {url}")
                return query["code"][0]
            answer = self.open(url)
            if answer.status == 200 and "允许" in answer.text:
                link = re.search(r'href="(/simulator/choose/[^"]+)"', answer.text).group(1)
                answer = ask(self.simulator + html.unescape(link))
            url = answer.location
        sys.exit(f"facade: no way back to the app, last at {url}")


def refused(number, call, what):
    try:
        call()
    except WeChatOAuthException as error:
        expect(error.errcode == number, f"{what}: {number} expected, got {error.errcode}")
    else:
        sys.exit(f"facade: {what}: {number} expected, but it passed")


def wechatpy(browser):
    WeChatOAuth.API_BASE_URL = f"{browser.gateway}/"
    WeChatOAuth.OAUTH_BASE_URL = f"{browser.gateway}/connect/"
    for scope in ("snsapi_base", "snsapi_userinfo"):
        oauth = WeChatOAuth(APP, SECRET, BACK, scope, STATE)
        oauth._http.trust_env = False  # no proxy between us and loopback
        code = browser.code(oauth.authorize_url)
        answer = oauth.fetch_access_token(code)
        expect(re.fullmatch(r"o[A-Za-z0-9_-]{27}", answer["openid"]), f"{scope}: no openid")
        expect(answer["scope"] == scope, f"{scope}: another scope")
        if scope == "snsapi_base":
            refused(48001, oauth.get_user_info, "a profile without its scope")
        else:
            profile = oauth.get_user_info()
            expect(profile["openid"] == answer["openid"] and profile["nickname"], "no profile")
            expect(profile["unionid"] == answer["unionid"], "another unionid")
        oauth.refresh_access_token(oauth.refresh_token)
        expect(oauth.check_access_token() is True, "a refreshed token is not good")
        refused(40030, lambda: oauth.refresh_access_token("none"), "a wrong refresh token")
        refused(40163, lambda: oauth.fetch_access_token(code), "the same code again")
        refused(40001, oauth.check_access_token, "a token of a code that was shown again")
        print(f"facade: wechatpy, {scope}: ok")


def wechat_oauth(browser, modules):
    script = pathlib.Path(__file__).with_name("wechat_oauth.js")

    def node(*arguments):
        done = subprocess.run(
            ["node", script, browser.gateway, APP, SECRET, *arguments],
            env={**os.environ, "NODE_PATH": str(modules), "NO_PROXY": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        expect(done.returncode == 0, f"wechat-oauth: {done.stderr}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    link = node("link", BACK, STATE, "snsapi_userinfo")
    expect(link.startswith(f"{browser.gateway}/connect/oauth2/authorize?appid={APP}&"), f"another link: {link}")
    told = node("login", browser.code(link))
    openid = told["data"]["openid"]
    expect(told["data"]["scope"] == "snsapi_userinfo" and told["data"]["expires_in"] == 7200, "another grant")
    expect(told["profile"]["openid"] == openid and told["profile"]["nickname"], "no profile")
    expect(told["profile"]["privilege"] == [] and told["profile"]["sex"] == 0, "another profile than WeChat's")
    expect(told["renewed"]["openid"] == openid, "another openid after a refresh")
    expect(told["checked"]["errcode"] == 0, "a refreshed token is not good")
    expect((told["again"], told["after"]) == (40163, 40001), f"shown again: {told['again']}, {told['after']}")
    print("facade: wechat-oauth: ok")


def main():
    wxgate, modules = (pathlib.Path(name).resolve() for name in sys.argv[1:])
    port = free_port()
    simulate = Process(
        wxgate, "simulate", "--listen", "127.0.0.1:0", "--app-id", REAL, "--app-secret", REAL_SECRET,
        "--callback-host", f"127.0.0.1:{port}",
    )
    simulator = simulate.match(r"^open_base_url and api_base_url: (http://\S+)").group(1).rstrip("/")
    with tempfile.TemporaryDirectory(prefix="wxgate-facade-") as name:
        dir = pathlib.Path(name)
        (dir / "app_secret").write_text(REAL_SECRET)
        (dir / "legacy_secret").write_text(SECRET)
        config = dir / "gateway.toml"
        config.write_text(GATEWAY.format(port=port, real=REAL, app=APP, simulator=simulator))
        gateway = Process(wxgate, "run", "--config", config)
        wait_for_port(port)
        browser = Browser(f"http://127.0.0.1:{port}", simulator)
        wechatpy(browser)
        wechat_oauth(browser, modules)
        expect(gateway.stop() == 0, f"the gateway did not end well: {gateway.written()}")
        for secret in (SECRET, REAL_SECRET, STATE):
            expect(secret not in gateway.written(), "something secret stands in the log")
    expect(simulate.stop() == 0, "the simulator did not end well")


if __name__ == "__main__":
    main()
