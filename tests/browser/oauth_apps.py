"""The walk to apps that do OAuth themselves, as WeChat's SDKs do: two of them, with
wechatpy, at origins of their own, and an app behind the gateway beside them. To the
two the facade is WeChat.
"""

import html
import http.cookies
import http.server
import json
import secrets
import urllib.parse

import urllib3.util.connection
from wechatpy.oauth import WeChatOAuth, WeChatOAuthException

from world import ALI, APP_ID, XIAOMING, Gateway, expect, serve

FACE, OWN = "wx.facade.test", "own.facade-too.test"
SHOP, CLUB = "shop.legacy.test", "club.legacy-too.test"
HOSTS, CALLBACKS = [FACE, OWN, SHOP, CLUB], [FACE]
NICKNAME = "小明"


class App(http.server.BaseHTTPRequestHandler):
    """An app with a login of its own: who is not known goes to WeChat, and comes back
    to where they wanted to be. One app is a class of its own (see `app`)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        jar = http.cookies.SimpleCookie(self.headers["Cookie"] or "")
        cookie = jar["app"].value if "app" in jar else ""
        if url.path == "/callback":
            self.come_back(query, cookie)
        elif url.path == "/favicon.ico":
            self.answer(404)
        elif url.path == "/out":
            self.kept.pop(cookie, None)
            self.page({"out": True})
        elif "openid" not in self.kept.get(cookie, {}):
            self.send_to_wechat(self.path)
        else:
            self.page({**self.kept[cookie], "path": self.path})

    def send_to_wechat(self, target):
        cookie = secrets.token_hex(8)
        state = secrets.token_hex(8)
        self.kept[cookie] = {"state": state, "target": target}
        self.answer(302, Location=self.oauth(state).authorize_url, Set_Cookie=f"app={cookie}; Path=/; Secure; HttpOnly; SameSite=Lax")

    def come_back(self, query, cookie):
        login = self.kept.get(cookie, {})
        if query.get("state") != login.get("state") or "code" not in query:
            self.page({"refused": True})
            return
        oauth = self.oauth()
        try:
            told = oauth.fetch_access_token(query["code"])
        except WeChatOAuthException as error:
            # As many apps do: once more from the beginning.
            self.errors.append(error.errcode)
            self.send_to_wechat(login["target"])
            return
        known = {"openid": told["openid"], "scope": told["scope"], "tokens": told}
        if self.scope == "snsapi_userinfo":
            known["nickname"] = oauth.get_user_info()["nickname"]
        login.update(known)
        self.answer(302, Location=f"https://{self.host}{login['target']}")

    @classmethod
    def oauth(cls, state=""):
        oauth = WeChatOAuth(cls.app_id, cls.secret, f"https://{cls.host}/callback", cls.scope, state)
        # Not what the environment of this program says.
        oauth._http.trust_env, oauth._http.verify = False, cls.ca
        return oauth

    def page(self, told):
        shown = {name: value for name, value in told.items() if name != "tokens"}
        page = (
            '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<title>app</title><p id="at"></p><pre id="seen">{html.escape(json.dumps(shown))}</pre>'
            "<script>document.getElementById('at').textContent = location.href</script>"
        ).encode()
        self.answer(200, page, Content_Type="text/html; charset=utf-8", Cache_Control="no-store")

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def app(world, name, host, scope):
    """An app that listens at `host`; its port."""
    own = {"app_id": f"wxlegacy0000{name}", "secret": secrets.token_hex(16), "host": host, "scope": scope}
    own.update(kept={}, errors=[], ca=str(world.authority.ca))
    handler = type(name, (App,), own)
    (world.dir / f"{name}.secret").write_text(handler.secret)
    return handler, serve(handler, world.authority.shown())


def gateway(world, apps):
    server = '[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "facade"\n'
    facade = f'[facade]\nhost = "{FACE}"\n' + "".join(
        f'[[facade.apps]]\nname = "{app.__name__}"\naccount = "shop"\napp_id = "{app.app_id}"\n'
        f'app_secret = {{ file = "{app.__name__}.secret" }}\ncallback_origins = ["https://{app.host}"]\n'
        for app in apps
    )
    return Gateway(world, "facade", server + world.account("shop", FACE) + world.route(OWN) + facade)


def find_at(gateway):
    """From now on this program finds the facade where its gateway is."""
    create = urllib3.util.connection.create_connection

    def connect(address, *more, **options):
        return create(("127.0.0.1", gateway.tls) if address == (FACE, 443) else address, *more, **options)

    urllib3.util.connection.create_connection = connect
    WeChatOAuth.OAUTH_BASE_URL, WeChatOAuth.API_BASE_URL = f"https://{FACE}/connect/", f"https://{FACE}/"


def logs_in(world, visitor, shop, club):
    """Each app logs its visitor in; WeChat is asked once for what all of them ask."""
    before = world.wechat.asked()
    target = f"https://{SHOP}/cart?a=1&b=%2F&c=%E4%BD%A0"
    seen = visitor.visits(target)
    expect(seen["openid"] == XIAOMING and seen["scope"] == "snsapi_base", f"{seen}")
    seen = visitor.visits(f"https://{OWN}/own?b=2")
    expect(seen["x-wechat-openid"] == XIAOMING and seen["x-wechat-appid"] == APP_ID, f"{seen}")
    expect(world.wechat.asked() == before + 1, f"WeChat was asked {world.wechat.asked() - before} times")
    target = f"https://{CLUB}/members?c=3"
    visitor.open(target)
    visitor.agrees()
    seen = visitor.lands(target)
    expect(seen["openid"] == XIAOMING and seen["nickname"] == NICKNAME, f"{seen}")
    expect(world.wechat.asked() == before + 2, f"WeChat was asked {world.wechat.asked() - before} times")
    visitor.photo("facade-app")
    expect(shop.errors == club.errors == [], f"the facade said {shop.errors} and {club.errors}")
    print("facade: two apps that use an SDK log in as at WeChat, which is asked as often as it must")


def again(world, visitor, other, shop):
    """An app that forgets its visitor gets them again, unnoticed; somebody else is
    somebody else."""
    before = world.wechat.asked()
    visitor.visits(f"https://{SHOP}/out")
    seen = visitor.visits(f"https://{SHOP}/again?d=4")
    expect(seen["openid"] == XIAOMING and world.wechat.asked() == before, f"{seen}, {world.wechat.asked() - before}")
    expect(other.visits(f"https://{SHOP}/ali")["openid"] == ALI, "a second visitor is somebody else")
    expect(visitor.visits(f"https://{SHOP}/ming")["openid"] == XIAOMING, "the first visitor is somebody else")
    expect(shop.errors == [], f"the facade said {shop.errors}")
    print("facade: who logs out of an app comes back unnoticed; a second visitor is somebody else")


def code_twice(visitor, shop):
    """A link back that is opened again is refused as WeChat does, and the app begins anew."""
    visitor.visits(f"https://{SHOP}/out")
    visitor.open(f"https://{SHOP}/twice")
    visitor.until(lambda: visitor.is_at(f"https://{SHOP}/twice"), "not at the app")
    links = [url for _, url in visitor.walked() if url.startswith(f"https://{SHOP}/callback?code=")]
    expect(len(links) == 1, f"came back by {links}")
    visitor.open(links[0])
    seen = visitor.lands(f"https://{SHOP}/twice")
    expect(seen["openid"] == XIAOMING and shop.errors == [40163], f"{seen}, the facade said {shop.errors}")
    print("facade: a code is good once, and who brings it again is logged in all the same")


def tokens(visitor, shop):
    """What an app does with its tokens; none of it outlives the session."""
    visitor.visits(f"https://{SHOP}/tokens")
    visitor.visits(f"https://{OWN}/tokens")
    told = [kept["tokens"] for kept in shop.kept.values() if kept.get("openid") == ALI][-1]
    oauth = shop.oauth()
    oauth.open_id, oauth.access_token = told["openid"], told["access_token"]
    expect(oauth.check_access_token() is True, "the token is none")
    renewed = oauth.refresh_access_token(told["refresh_token"])
    expect(renewed["openid"] == ALI and oauth.check_access_token() is True, f"{sorted(renewed)}")
    visitor.open(f"https://{OWN}/.wxgate/logout")
    visitor.is_shown("退出登录", [405])
    visitor.click("form button")
    visitor.is_shown("已退出登录", [])
    said = []
    for call in (oauth.check_access_token, lambda: oauth.refresh_access_token(renewed["refresh_token"])):
        try:
            said.append(call())
        except WeChatOAuthException as error:
            said.append(error.errcode)
    expect(said[0] in (40001, 40014, 42001) and said[1] in (40030, 42002), f"after the logout the tokens are {said}")
    print("facade: tokens are checked and renewed, and end with the session")


def refuses(visitor, club):
    """Who refuses at WeChat's question gets a page that lets them try again."""
    target = f"https://{CLUB}/members?e=5"
    visitor.open(target)
    visitor.refuses()
    visitor.is_shown("未获得授权", [403], "facade-refused")
    visitor.click("a.go")
    visitor.agrees()
    expect(visitor.lands(target)["nickname"], "no nickname")
    print("facade: who refuses can try again")


def mistakes(visitor, shop):
    """An app's wrong link ends on a page that says what is wrong with it."""
    link = shop.oauth("a1").authorize_url
    elsewhere = link.replace(urllib.parse.quote(f"https://{SHOP}", safe=""), "https%3A%2F%2Fevil.test")
    visitor.open(elsewhere)
    visitor.is_shown("应用的微信登录链接有误", [400], "facade-wrong-link")
    expect("10003" in visitor.text("small"), visitor.text("small"))
    visitor.open(f"https://{FACE}/")
    visitor.is_shown("页面不存在", [404], "facade-home")
    visitor.click("a.go")
    visitor.until(lambda: visitor.has("#seen"), "the page leads nowhere")
    visitor.walked_well()
    print("facade: a wrong link is told on a page, and the facade's own host leads on")


def outside(stranger):
    stranger.open(f"https://{SHOP}/cart?a=1")
    stranger.is_shown("请在微信中打开", [403], "facade-outside")
    link = stranger.url()
    expect(link.startswith(f"https://{FACE}/connect/oauth2/authorize?"), link)
    # The link has the state of this browser, and would be refused in another.
    expect(stranger.text("code") == f"https://{SHOP}/" and stranger.has("svg"), stranger.text("code"))
    stranger.click("a.go")
    stranger.is_shown("请在微信中打开", [403])
    expect(stranger.url() == link.split("#")[0], stranger.url())
    print("facade: a browser outside WeChat is shown a code")


def walk(world):
    (shop, shops), (club, clubs) = app(world, "shop", SHOP, "snsapi_base"), app(world, "club", CLUB, "snsapi_userinfo")
    face = gateway(world, [shop, club])
    find_at(face)
    ports = {FACE: face.tls, OWN: face.tls, SHOP: shops, CLUB: clubs}
    with world.profile("facade", "android", ports) as visitor, world.profile("facade-other", "ios", ports) as other:
        visitor.is_visitor(XIAOMING)
        other.is_visitor(ALI)
        logs_in(world, visitor, shop, club)
        again(world, visitor, other, shop)
        code_twice(visitor, shop)
        tokens(other, shop)
        refuses(other, club)
        mistakes(visitor, shop)
    with world.profile("facade-desktop", "desktop", ports) as stranger:
        outside(stranger)
    face.ends(confirm_logout=1, refused_at_wechat=1, errcode_10003=1, no_route=1, no_session=2)
