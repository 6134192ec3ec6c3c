"""wechatpy, written against the real WeChat, and the gateway agree to the byte
on the links that send a visitor to WeChat, by a tap or by a code to scan; and what the gateway is sent back
with is a login for both.

    authorize_url.py WXGATE

Needs `wechatpy==1.8.18` and `cryptography` from PyPI.
"""

import pathlib
import sys
import tempfile
import urllib.parse

from served import Process, ask, expect
from wechatpy.oauth import WeChatOAuth


WEBSITE = """
[server]
listen = ["127.0.0.1:0"]
state_dir = "state"

[accounts.desk]
kind = "website"
app_id = "wx5150a7c0ffee0003"
app_secret = { file = "app_secret" }
callback_origin = "https://desk.example.com"

[[routes]]
host = "desk.example.com"
upstream = "http://127.0.0.1:9"
account = "desk"
"""


def website(wxgate):
    """The gateway sends a desktop browser where wechatpy would."""
    with tempfile.TemporaryDirectory(prefix="wxgate-peers-") as name:
        dir = pathlib.Path(name)
        (dir / "gateway.toml").write_text(WEBSITE)
        (dir / "app_secret").write_text("0123456789abcdef0123456789abcdef")
        gateway = Process(wxgate, "run", "--config", dir / "gateway.toml")
        address = gateway.match(r"listening on (\S+)").group(1)
        headers = {"Host": "desk.example.com", "User-Agent": "Mozilla/5.0 Chrome/150"}
        location = ask(f"http://{address}/orders", headers=headers).location
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))
        back = "https://desk.example.com/.wxgate/callback"
        oauth = WeChatOAuth("wx5150a7c0ffee0003", "-", back, state=query["state"])
        expect(location == oauth.qrconnect_url, f"{location}\nis not\n{oauth.qrconnect_url}")
        expect(gateway.stop() == 0, "the gateway did not end well")
    print("authorize_url: a website's link is wechatpy's to the byte")


def cookies_of(answer):
    pairs = [line.split(";")[0] for line in answer.headers.get_all("Set-Cookie", [])]
    return "; ".join(pairs)


def main():
    website(sys.argv[1])
    demo = Process(sys.argv[1], "demo", "--listen", "127.0.0.1:0")
    shop = demo.match(r"shop behind wxgate: +(http://\S+)/").group(1)
    simulator = demo.match(r"What WeChat did: +(http://\S+)/simulator/").group(1)
    WeChatOAuth.OAUTH_BASE_URL = f"{simulator}/connect/"
    WeChatOAuth.API_BASE_URL = f"{simulator}/"

    first = ask(f"{shop}/orders?a=1&b=%E8%8C%B6")
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(first.location).query))
    expect(query["redirect_uri"] == f"{shop}/.wxgate/callback", "another callback")
    oauth = WeChatOAuth(
        query["appid"],
        "0123456789abcdef0123456789abcdef",
        query["redirect_uri"],
        query["scope"],
        query["state"],
    )
    oauth._http.trust_env = False  # no proxy between us and loopback
    expect(first.location == oauth.authorize_url, f"{first.location}\nis not\n{oauth.authorize_url}")
    print("authorize_url: the link is wechatpy's to the byte")

    back = ask(oauth.authorize_url.split("#")[0])
    expect(back.location.startswith(query["redirect_uri"] + "?code="), "no code came back")
    done = ask(back.location, headers={"Cookie": cookies_of(first)})
    expect(done.location == f"{shop}/orders?a=1&b=%E8%8C%B6", "the visitor does not come back")
    page = ask(done.location, headers={"Cookie": cookies_of(done)})
    expect(page.status == 200 and 'id="openid"' in page.text, f"no shop: {page.status}")
    print("authorize_url: a visitor who follows wechatpy's link is logged in by the gateway")

    code = ask(oauth.authorize_url.split("#")[0]).location.split("code=")[1].split("&")[0]
    openid = oauth.fetch_access_token(code)["openid"]
    expect(f'id="openid">{openid}<' in page.text, "wechatpy and the gateway see different people")
    print("authorize_url: wechatpy and the gateway see the same openid")
    expect(demo.stop() == 0, "the demo did not end well")


if __name__ == "__main__":
    main()
