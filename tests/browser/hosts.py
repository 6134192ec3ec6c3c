"""The walk through several hosts with one login: three apps on three domains, and a
fourth host where WeChat sends visitors back to.
"""

import json

from world import ALI, XIAOMING, Gateway, expect

CALLBACK = "login.test"
CALLBACKS = [CALLBACK]
HOSTS = [CALLBACK, "shop.test", "club.test", "mall.test"]


def gateway(world):
    server = '[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "hosts"\n'
    asks = 'scope = "snsapi_userinfo"'
    return Gateway(
        world,
        "hosts",
        server
        + world.account("shop", CALLBACK)
        + world.route("shop.test")
        + world.route("shop.test", asks + "\nconsent_page = true", path="/member")
        + world.route("club.test", "keep_fragment = true")
        + world.route("club.test", asks, path="/member")
        + world.route("mall.test")
        + world.route("mall.test", asks, path="/member"),
    )


def is_person(seen, openid, url):
    expect(seen.get("x-wechat-openid") == openid, f"the app was told {seen}, not {openid}")
    path = url.split("#")[0].split("/", 3)[3]
    expect(seen["path"] == f"/{path}", f"the app was asked for {seen['path']}, not /{path}")


def first_visits(world, visitor):
    """The first visit to each host ends where it was going, and WeChat is asked once."""
    before, exchanged = world.wechat.asked(), world.wechat.asked("exchange")
    for url, by in [
        ("https://club.test/news/7?a=1&b=%2F&from=singlemessage&isappinstalled=0#/deep/route?z=%E4%BD%A0", [401]),
        ("https://mall.test/goods?q=%E8%8C%B6&empty=&q=2", []),
        ("https://shop.test/a%2Fb//c?x=%20y", []),
    ]:
        is_person(visitor.visits(url, by), XIAOMING, url)
        expect(world.wechat.asked() == before + 1, f"at {url} WeChat had been asked {world.wechat.asked() - before} times")
    expect(world.wechat.asked("exchange") == exchanged + 1, f"codes were exchanged: {world.wechat.calls()['exchange']}")
    visitor.photo("app")
    print("hosts: the first visit to each ends at its address, fragment where kept; WeChat was asked once")


def meanwhile(visitor, other):
    """Somebody else, in another profile, is somebody else."""
    url = "https://mall.test/goods"
    is_person(other.visits(url), ALI, url)
    is_person(visitor.visits(url), XIAOMING, url)
    url = "https://club.test/ali#mine"
    is_person(other.visits(url, [401]), ALI, url)
    print("hosts: a second visitor is somebody else at the same time")


def back_and_again(world, visitor):
    """The back button and a reload end at the app and not at WeChat."""
    before = world.wechat.asked()
    visitor.visits("https://shop.test/one")
    visitor.visits("https://mall.test/two")
    visitor.back()
    is_person(visitor.lands("https://shop.test/one"), XIAOMING, "https://shop.test/one")
    visitor.forward()
    visitor.lands("https://mall.test/two")
    visitor.reload()
    is_person(visitor.lands("https://mall.test/two"), XIAOMING, "https://mall.test/two")
    expect(world.wechat.asked() == before, "WeChat was asked for somebody who is known")
    print("hosts: back, forward and reload stay at the apps")


def back_to_the_question(visitor):
    """Whoever goes back to a question of ours or of WeChat's, and answers it again,
    gets where they are already."""
    target = "https://shop.test/member?level=1"
    visitor.open(target)
    visitor.is_shown("需要您的微信资料", [401], "asks-for-profile")
    visitor.click("a.go")
    visitor.is_asked("wechat-asks")
    visitor.reload()
    visitor.agrees()
    seen = visitor.lands(target)
    expect(seen["x-wechat-nickname"] == "%E5%B0%8F%E6%98%8E", f"the nickname is {seen.get('x-wechat-nickname')}")
    visitor.back()
    visitor.agrees()
    is_person(visitor.lands(target), XIAOMING, target)
    visitor.back()
    visitor.back()
    # Our own question was there once; who is known is not asked again.
    is_person(visitor.lands(target), XIAOMING, target)
    print("hosts: who goes back to a question and answers it again is where they wanted to be")


def two_tabs(world, other):
    """Two tabs log in at once at two hosts; a third comes in between."""
    shop, mall, club = "https://shop.test/member/tab?n=1", "https://mall.test/member/tab?n=2", "https://club.test/tab#3"
    first = other.tab()
    other.open(shop)
    other.is_shown("需要您的微信资料", [401])
    other.click("a.go")
    other.is_asked()
    second = other.new_tab()
    other.open(mall)
    other.is_asked()
    third = other.new_tab()
    is_person(other.visits(club), ALI, club)
    other.turn_to(second)
    other.agrees()
    is_person(other.lands(mall), ALI, mall)
    other.turn_to(first)
    other.agrees()
    is_person(other.lands(shop), ALI, shop)
    other.turn_to(third)
    other.reload()
    is_person(other.lands(club), ALI, club)
    other.call("DELETE", "/window")
    other.turn_to(first)
    print("hosts: two tabs log in side by side, a third in between")


def all_at_once(world, newcomer):
    """A page opens the others of its house before anybody is known."""
    urls = [f"https://{host}/at-once?host={host}" for host in ("shop.test", "club.test", "mall.test")]
    first = newcomer.tab()
    newcomer.run("".join(f"window.open('{url}');" for url in urls))
    newcomer.until(lambda: len(newcomer.tabs()) == 1 + len(urls), "the tabs are not open")
    landed = []
    for tab in newcomer.tabs():
        if tab != first:
            newcomer.turn_to(tab)
            at = lambda: newcomer.has("#seen") and next(filter(newcomer.is_at, urls), None)
            url = newcomer.until(at, "a tab is not at an app")
            landed.append(url)
            is_person(json.loads(newcomer.text("#seen")), XIAOMING, url)
    expect(sorted(landed) == sorted(urls), f"the tabs are at {landed}")
    # What a tab asked first the browser does not tell: the gateway will.
    newcomer.walked()
    print("hosts: a newcomer's three tabs log in at three hosts at once")


def logout(world, visitor, other):
    """A logout at one host ends all of this visitor's sessions, and nobody else's."""
    before = world.wechat.asked()
    visitor.open("https://mall.test/.wxgate/logout")
    visitor.is_shown("退出登录", [405], "log-out")
    visitor.click("form button")
    visitor.is_shown("已退出登录", [], "logged-out")
    for url, by in [("https://shop.test/after", []), ("https://club.test/after", [401])]:
        is_person(visitor.visits(url, by), XIAOMING, url)
        expect(world.wechat.asked() == before + 1, f"{url}: asked {world.wechat.asked() - before} times after the logout")
    url = "https://mall.test/goods"
    is_person(other.visits(url), ALI, url)
    expect(world.wechat.asked() == before + 1, "somebody else was logged out, too")
    print("hosts: a logout at one ends all, and nobody else's")


def logout_after_more(world, visitor):
    """The same where one host has asked for more since: its session is another one."""
    before = world.wechat.asked()
    visitor.open("https://club.test/.wxgate/logout")
    visitor.is_shown("退出登录", [405])
    visitor.click("form button")
    visitor.is_shown("已退出登录", [])
    visitor.visits("https://shop.test/after-more")
    expect(world.wechat.asked() == before + 1, "shop.test still knows who logged out at club.test")
    print("hosts: a logout ends what one host had asked for besides")


def nothing_here(visitor):
    """The callback's host has no app: its page leads to one that has."""
    visitor.open(f"https://{CALLBACK}/")
    visitor.is_shown("页面不存在", [404], "callbacks-host")
    visitor.click("a.go")
    is_person(visitor.lands("https://shop.test/"), XIAOMING, "https://shop.test/")
    print("hosts: the callback's host leads to an app")


def opened_again(world, visitor):
    """A browser that was closed knows its visitor when it is opened again."""
    before = world.wechat.asked()
    for url in ("https://shop.test/next-day", "https://mall.test/next-day"):
        is_person(visitor.visits(url), XIAOMING, url)
    expect(world.wechat.asked() == before, "WeChat was asked after the browser was opened again")
    print("hosts: a browser that was closed knows its visitor when it is opened again")


def walk(world):
    hosts = gateway(world)
    ports = {host: hosts.tls for host in HOSTS}
    with world.profile("android", "android", ports) as visitor, world.profile("ios", "ios", ports) as other:
        visitor.is_visitor(XIAOMING)
        other.is_visitor(ALI)
        first_visits(world, visitor)
        meanwhile(visitor, other)
        back_and_again(world, visitor)
        logout(world, visitor, other)
        nothing_here(visitor)
        back_to_the_question(visitor)
        logout_after_more(world, visitor)
        two_tabs(world, other)
    with world.profile("android", "android", ports) as visitor:
        opened_again(world, visitor)
    with world.profile("newcomer", "wechat-desktop", ports) as newcomer:
        newcomer.is_visitor(XIAOMING)
        all_at_once(world, newcomer)
    hosts.ends(keep_fragment=4, consent_page=2, confirm_logout=2, no_route=1)
