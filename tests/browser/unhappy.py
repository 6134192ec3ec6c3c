"""The walk along the ways that do not end where a visitor wanted to be at once, each
of which leads somewhere all the same.
"""

import json

from chromium import ELEMENT
from served import free_port
from world import ALI, XIAOMING, Gateway, expect

SHOP, CLUB = "shop.unhappy.test", "club.unhappy-too.test"
HOSTS, CALLBACKS = [SHOP, CLUB], [SHOP]


def gateway(world):
    server = '[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "unhappy"\n'
    asks = 'scope = "snsapi_userinfo"'
    return Gateway(
        world,
        "unhappy",
        server
        + world.account("shop", SHOP)
        + world.route(SHOP)
        + world.route(SHOP, asks, path="/member")
        + world.route(SHOP, path="/open", account=None)
        + world.route(SHOP, f'upstream = "http://127.0.0.1:{free_port()}"', path="/gone")
        + world.route(CLUB),
    )


def knows(seen, openid):
    expect(seen.get("x-wechat-openid") == openid, f"the app was told {seen}, not {openid}")


def outside_wechat(world, stranger, name):
    """Not a mistake but an answer: the page has the address to open in WeChat."""
    url = f"https://{SHOP}/goods/42?from=a&q=%E8%8C%B6"
    before = world.wechat.asked()
    stranger.open(url)
    stranger.is_shown("请在微信中打开", [403], f"outside-{name}")
    expect(stranger.text("code") == url and stranger.has("svg"), f"no code of {url}: {stranger.text('code')}")
    expect(stranger.text("a.go") == "重新载入 / Reload", stranger.text("a.go"))
    stranger.click("a.go")
    stranger.is_shown("请在微信中打开", [403])
    expect(stranger.url() == url and world.wechat.asked() == before, f"{stranger.url()}, WeChat asked {world.wechat.asked() - before} times")


def consent_refused(visitor):
    target = f"https://{SHOP}/member?b=1"
    visitor.open(target)
    visitor.refuses()
    visitor.is_shown("未获得授权", [403], "refused")
    expect(visitor.text("a.go") == "再试一次 / Try again", visitor.text("a.go"))
    visitor.click("a.go")
    visitor.refuses()
    visitor.is_shown("未获得授权", [403])
    visitor.click("a.go")
    visitor.agrees()
    knows(visitor.lands(target), XIAOMING)
    print("unhappy: who refused can try again and gets there")


def snapshot(world, visitor):
    """A snapshot page's visitor is asked for the full service, where WeChat asks again."""
    target = f"https://{SHOP}/member?c=1"
    world.wechat.mood(mood="snapshot", times="1")
    visitor.open(target)
    visitor.is_shown("请使用完整服务", [403], "snapshot")
    visitor.click("a.go")
    visitor.agrees()
    knows(visitor.lands(target), XIAOMING)
    print("unhappy: who sees a snapshot page gets there by the full service")


def cookies_blocked(world, visitor):
    """A page that can be read, after a few tries, from either host; never a loop."""
    for host in (SHOP, CLUB):
        for again in (False, True):
            before = world.wechat.asked()
            if again:
                visitor.click("a.go")
            else:
                visitor.open(f"https://{host}/cart?a=1")
            visitor.is_shown("无法完成登录", [403], f"no-cookies-{host.split('.')[0]}")
            expect(world.wechat.asked() - before <= 3, f"{host}: WeChat was asked {world.wechat.asked() - before} times")
    print("unhappy: a browser without cookies ends on a page that says so")


def callback_of_another(world, visitor, other):
    """A link back from WeChat that somebody else opens is nobody's login."""
    visitor.visits(f"https://{SHOP}/friend")
    visitor.open(f"https://{SHOP}/.wxgate/logout")
    visitor.is_shown("退出登录", [405])
    visitor.click("form button")
    visitor.is_shown("已退出登录", [])
    visitor.open(f"https://{SHOP}/friend")
    visitor.until(lambda: visitor.is_at(f"https://{SHOP}/friend"), "not back")
    links = [url for _, url in visitor.walked() if "/.wxgate/callback?code=" in url]
    expect(len(links) == 1, f"came back by {links}")
    other.open(links[0])
    knows(other.lands(f"https://{SHOP}/"), ALI)
    print("unhappy: somebody else's link back logs one in as oneself")


def frames(visitor, newcomer):
    """A page in a frame is known where its cookies are, and never sent to WeChat."""
    here, there = f"https://{SHOP}/cart?framed=1", f"https://{CLUB}/goods"
    knows(visitor.visits(there), XIAOMING)
    framed(visitor, there, XIAOMING, f"https://{CLUB}/in-frame")
    framed(visitor, there, None, here)
    framed(newcomer, f"https://{SHOP}/open", None, here)
    print("unhappy: a frame never goes to WeChat")


def framed(visitor, page, openid, url):
    visitor.visits(page)
    visitor.run(
        f"const frame = document.createElement('iframe'); frame.src = '{url}'; frame.id = 'framed';"
        "document.body.prepend(frame); return new Promise(done => frame.onload = () => done(1))"
    )
    walked = visitor.walked()
    expect(not any("/connect/" in at or "/.wxgate/" in at for _, at in walked), f"the frame went to {walked}")
    visitor.photo("frame")
    visitor.call("POST", "/frame", {"id": {ELEMENT: visitor.find("#framed")}})
    text = visitor.text("body")
    visitor.call("POST", "/frame", {"id": None})
    if openid:
        expect(openid in text, f"the frame has {text}")
    else:
        told = json.loads(text)
        expect(told["code"] == 401 and told["login_url"].startswith("https://"), f"the frame has {text}")


def scripts(newcomer):
    """A page's own questions are told where to log in, and that leads back to the page."""
    page = f"https://{SHOP}/open/page?p=1"
    newcomer.visits(page)
    answer = "answer => answer.json().then(told => [answer.status, told, answer.redirected])"
    status, told, redirected = newcomer.run(f"return fetch('/api/cart').then({answer})")
    expect(status == 401 and not redirected and told["code"] == 401, f"{status}: {told}")
    told_too = newcomer.run("return fetch('/.wxgate/openid').then(answer => answer.json())")
    expect(told_too["code"] == 401 and told_too["msg"], f"openid: {told_too}")
    newcomer.run(f"location.href = {json.dumps(told['login_url'])}")
    newcomer.until(lambda: newcomer.is_at(page), f"not back at {page}")
    newcomer.lands(page)
    told = newcomer.run("return fetch('/.wxgate/openid').then(answer => answer.json())")
    expect(told == {"code": 0, "data": {"openid": ALI}}, f"openid: {told}")
    print("unhappy: a page's fetch() gets 401 and a login_url that leads back to the page")


def form_after_the_end(visitor):
    """A form sent after the session has ended says that it was not delivered."""
    visitor.visits(f"https://{SHOP}/order")
    form = "<form id=form method=post action=/order><input name=tea value=2><button>send</button></form>"
    visitor.run(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(form)})")
    visitor.call("DELETE", "/cookie")
    visitor.click("#form button")
    visitor.is_shown("登录已过期", [401], "form-not-delivered")
    visitor.click("a.go")
    knows(visitor.lands(f"https://{SHOP}/order"), XIAOMING)
    print("unhappy: a form after the end of a session is told not to be delivered, and the login leads back")


def app_gone(visitor):
    visitor.open(f"https://{SHOP}/gone?x=1")
    visitor.is_shown("服务暂不可用", [502], "app-gone")
    visitor.open(f"https://{SHOP}/.wxgate/nothing")
    visitor.is_shown("页面不存在", [404], "nothing")
    visitor.click("a.go")
    knows(visitor.lands(f"https://{SHOP}/"), XIAOMING)
    print("unhappy: an app that is gone, and an address of nothing, have pages that lead on")


def callbacks(unhappy):
    return sum(line["path"] == "/.wxgate/callback" for line in unhappy.lines())


def wechat_unwell(world, unhappy, newcomer):
    """What WeChat does not do at once is tried again, and what it does twice is done once."""
    world.wechat.mood(mood="errcode", api="exchange", errcode="-1", times="1")
    newcomer.call("DELETE", "/cookie")
    knows(newcomer.visits(f"https://{SHOP}/busy"), XIAOMING)
    outcomes = world.wechat.calls()["exchange"]["outcomes"]
    expect(outcomes.get("-1") == 1, f"WeChat was not busy: {outcomes}")
    newcomer.call("DELETE", "/cookie")
    before = callbacks(unhappy)
    world.wechat.mood(mood="double-callback", times="1")
    newcomer.open(f"https://{SHOP}/twice")
    newcomer.until(lambda: newcomer.is_at(f"https://{SHOP}/twice"), "not back after a doubled callback")
    newcomer.walked()
    knows(json.loads(newcomer.text("#seen")), XIAOMING)
    expect(callbacks(unhappy) == before + 2, f"the callback came {callbacks(unhappy) - before} times")
    print("unhappy: a busy WeChat and a doubled callback go unnoticed")


def walk(world):
    unhappy = gateway(world)
    ports = {host: unhappy.tls for host in HOSTS}
    for name, kind in (("desktop", "desktop"), ("wecom", "wecom")):
        with world.profile(f"unhappy-{name}", kind, ports) as stranger:
            outside_wechat(world, stranger, name)
    print("unhappy: browsers outside WeChat are shown the code of the address")
    with world.profile("unhappy-blocked", "ios", ports, cookies=False) as visitor:
        cookies_blocked(world, visitor)
    with world.profile("unhappy", "ios", ports) as visitor, world.profile("unhappy-other", "android", ports) as other:
        visitor.is_visitor(XIAOMING)
        other.is_visitor(ALI)
        frames(visitor, other)
        scripts(other)
        consent_refused(visitor)
        form_after_the_end(visitor)
        app_gone(visitor)
        snapshot(world, visitor)
        callback_of_another(world, visitor, other)
        wechat_unwell(world, unhappy, visitor)
    unhappy.ends(
        no_session=9,
        login_cookie_missing=4,
        refused_at_wechat=2,
        snapshot_visitor=1,
        app_down=1,
        confirm_logout=1,
        # An address of nothing; a login for a frame, which has no cookies.
        endpoint=1, not_found=1,
    )
