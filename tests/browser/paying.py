"""The walk to a till that orders under another account than visitors log in with:
both ids arrive, and the second login goes unnoticed.
"""

from world import ALI, XIAOMING, Gateway, Wechat, expect

SHOP, STALL, TILL, WEIXIN = "shop.paying.test", "stall.paying-too.test", "till.paying.test", "weixin.paying.test"
HOSTS, CALLBACKS = [SHOP, STALL, TILL, WEIXIN], [SHOP]
APP_ID = "wx5150a7c0ffee0002"
# What the paying account calls the same two people.
IDS = {XIAOMING: "oNoAvatar4Pm8Rd1Yt6Kb3Wq9-Zs", ALI: "oO_Brien2Jf6Bz0Uw9Xh4Cy7Ei1M"}


def gateway(world, weixin):
    server = '[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "paying"\n'
    pays = 'pay_account = "pay"'
    return Gateway(
        world,
        "paying",
        server
        + world.account("shop", SHOP)
        + world.account("pay", TILL, weixin)
        + world.route(SHOP)
        + world.route(SHOP, pays, path="/order")
        + world.route(STALL, pays)
        + world.route(STALL, pays + '\nauth = "optional"', path="/welcome"),
    )


def pays(seen, openid):
    """The app knows both ids, and which is whose."""
    known = {name: value for name, value in seen.items() if name.startswith("x-wechat")}
    wanted = {"x-wechat-openid": openid, "x-wechat-pay-openid": IDS[openid], "x-wechat-pay-appid": APP_ID}
    expect(wanted.items() <= known.items(), f"the app was told {known}, not {wanted}")


class Count:
    """How often both accounts were come to since then."""

    def __init__(self, world, weixin):
        self.both = (world.wechat, weixin)
        self.before = self.now()

    def now(self):
        return [wechat.asked() for wechat in self.both]

    def was(self, *wanted):
        since = [now - before for now, before in zip(self.now(), self.before)]
        expect(since == list(wanted), f"WeChat was come to {since} times, not {wanted}")


def is_visitor(visitor, openid):
    visitor.is_visitor(openid)
    visitor.is_visitor(IDS[openid], WEIXIN)


def orders(visitor, count):
    seen = visitor.visits(f"https://{SHOP}/browse?a=1")
    expect(seen["x-wechat-openid"] == XIAOMING and "x-wechat-pay-openid" not in seen, f"{seen}")
    count.was(1, 0)
    target = f"https://{SHOP}/order/new?goods=%E8%8C%B6&n=2"
    pays(visitor.visits(target), XIAOMING)
    count.was(1, 1)
    visitor.photo("both-ids")
    visitor.reload()
    pays(visitor.lands(target), XIAOMING)
    count.was(1, 1)
    said = visitor.run("return fetch('/order', {method: 'POST', body: 'n=2'}).then(answer => answer.text())")
    expect(XIAOMING in said and IDS[XIAOMING] in said, f"an order was sent as {said}")
    pays(visitor.visits(f"https://{STALL}/order?b=1"), XIAOMING)
    pays(visitor.visits(f"https://{STALL}/welcome"), XIAOMING)
    # Who pays is asked for at each host; who visits was known.
    count.was(1, 2)
    print("paying: both ids arrive, the second login goes unnoticed and happens once for each host")


def meanwhile(visitor, other):
    """Somebody else comes to the till at once, at another host."""
    target = f"https://{STALL}/order?c=1"
    pays(other.visits(target), ALI)
    pays(visitor.visits(target), XIAOMING)
    print("paying: a second visitor has two ids of their own")


def script_without(newcomer):
    """A page's order without the second id is told where to get it."""
    newcomer.visits(f"https://{SHOP}/browse")
    status, told = newcomer.run("return fetch('/order').then(answer => answer.json().then(told => [answer.status, told]))")
    expect(status == 401 and told["login_url"], f"{status}: {told}")
    newcomer.open(told["login_url"])
    newcomer.lands(f"https://{SHOP}/browse")
    said = newcomer.run("return fetch('/order').then(answer => answer.text())")
    expect(IDS[XIAOMING] in said, f"after the login the order is {said}")
    print("paying: a page's order leads to the second id and back")


def changes(visitor, count):
    """Who logs out and comes back as somebody else has nothing of the first."""
    visitor.open(f"https://{STALL}/.wxgate/logout")
    visitor.is_shown("退出登录", [405])
    visitor.click("form button")
    visitor.is_shown("已退出登录", [])
    is_visitor(visitor, ALI)
    pays(visitor.visits(f"https://{SHOP}/order"), ALI)
    pays(visitor.visits(f"https://{STALL}/order"), ALI)
    print("paying: after a logout both ids are another's")


def walk(world):
    weixin = Wechat(world, WEIXIN, APP_ID, [TILL])
    paying = gateway(world, weixin)
    ports = {**{host: paying.tls for host in HOSTS}, WEIXIN: weixin.front.tls}
    with world.profile("paying", "android", ports) as visitor, world.profile("paying-other", "ios", ports) as other:
        is_visitor(visitor, XIAOMING)
        is_visitor(other, ALI)
        orders(visitor, Count(world, weixin))
        meanwhile(visitor, other)
        changes(visitor, Count(world, weixin))
    with world.profile("paying-page", "wechat-desktop", ports) as newcomer:
        is_visitor(newcomer, XIAOMING)
        script_without(newcomer)
    paying.ends(no_payer=1, confirm_logout=1)
    weixin.ends()
