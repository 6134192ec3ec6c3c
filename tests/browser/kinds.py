"""The walk to one address in different browsers: WeChat's own, WeCom's, and one on a
desk, each with the account that is for it.
"""

from world import ALI, APP_ID, XIAOMING, Gateway, Wechat, expect

HUB, SITE, CORP = "hub.kinds.test", "site.kinds.test", "corp.kinds.test"
HOSTS, CALLBACKS = [HUB, SITE, CORP], [HUB]
SITE_ID, CORP_ID, AGENT = "wx5150a7c0ffee0003", "ww5150a7c0ffee0004", "1000002"
# As the simulator has them.
UNION, MEMBER = "oUnionMing3Hn8Yc5Gx1Mj6Qe_uB", "XiaoMing"


def gateway(world, site, corp):
    server = '[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "kinds"\n'
    union = 'identity = "unionid"\nscope = "snsapi_userinfo"'
    return Gateway(
        world,
        "kinds",
        server
        + world.account("shop", HUB)
        + world.account("desk", HUB, site, 'kind = "website"')
        + world.account("corp", HUB, corp, f'kind = "wecom"\nagent_id = "{AGENT}"')
        + world.account("open", HUB, corp, f'kind = "wecom"\nagent_id = "{AGENT}"\noutsiders = true')
        + world.route(HUB, account=["shop", "desk", "corp"])
        + world.route(HUB, union, account=["shop", "desk"], path="/member")
        + world.route(HUB, path="/wechat")
        + world.route(HUB, account="desk", path="/desk")
        + world.route(HUB, account="corp", path="/corp")
        + world.route(HUB, account="open", path="/open")
        + world.route(HUB, account=["desk", "corp"], path="/staff"),
    )


def identity(seen):
    """What the app is told of who it is."""
    names = ("openid", "userid", "unionid", "appid")
    return {name: seen[f"x-wechat-{name}"] for name in names if seen.get(f"x-wechat-{name}")}


def scans(visitor, openid):
    """Scans the code of WeChat's page with that person's phone."""
    visitor.until(lambda: visitor.url().startswith(f"https://{SITE}/connect/qrconnect?") and visitor.has("a.person"), "no code to scan")
    visitor.click(f'a.person[href*="{openid}"]')


def is_sent_elsewhere(visitor, pages):
    """A page that has no account for this browser says in which one it has."""
    for path, heading in pages.items():
        url = f"https://{HUB}{path}?from=a"
        visitor.open(url)
        visitor.is_shown(heading, [403], f"elsewhere{path.replace('/', '-')}-{visitor.name}")
        expect(visitor.url() == url and visitor.text("code") == url, f"{visitor.url()}: {visitor.text('code')}")


def at_a_desk(site, visitor):
    target = f"https://{HUB}/member?a=1&b=%2F&c=%E4%BD%A0"
    visitor.open(target)
    visitor.until(lambda: visitor.has("a.person"), "no code to scan")
    visitor.photo("scan-to-log-in")
    visitor.click("a.button.no")
    visitor.is_shown("未获得授权", [403], "scan-refused")
    visitor.click("a.go")
    scans(visitor, XIAOMING)
    known = identity(visitor.lands(target))
    expect(known["appid"] == SITE_ID and known["unionid"] == UNION and "userid" not in known, f"the app was told {known}")
    scanned = site.asked("qrconnect")
    for target in (f"https://{HUB}/cart?d=2", f"https://{HUB}/member"):
        expect(identity(visitor.visits(target)) == known, f"{target} is somebody else's")
    expect(site.asked("qrconnect") == scanned, "a code was to be scanned again")
    is_sent_elsewhere(visitor, {"/wechat": "请在微信中打开", "/corp": "请在企业微信中打开"})
    print("kinds: at a desk one scans a code, once, and is known by a unionid")
    return known


def in_wechat(world, visitor, desk):
    before = world.wechat.asked()
    known = identity(visitor.visits(f"https://{HUB}/cart?f=4"))
    expect(known == {"openid": XIAOMING, "appid": APP_ID}, f"the app was told {known}")
    target = f"https://{HUB}/member?g=5"
    visitor.open(target)
    visitor.agrees()
    known = identity(visitor.lands(target))
    expect(known["appid"] == APP_ID and known["openid"] == XIAOMING, f"the app was told {known}")
    expect(known["unionid"] == desk["unionid"], f"{known} and at the desk {desk}: two people")
    visitor.visits(f"https://{HUB}/cart?h=6")
    expect(world.wechat.asked() == before + 2, f"WeChat was asked {world.wechat.asked() - before} times")
    is_sent_elsewhere(visitor, {"/desk": "请在浏览器中打开", "/corp": "请在企业微信中打开", "/staff": "请在企业微信或浏览器中打开"})
    print("kinds: inside WeChat the same person has the same unionid, and is asked as ever")


def in_wecom(corp, member, outsider):
    target = f"https://{HUB}/cart?i=7&j=%2F"
    known = identity(member.visits(target))
    expect(known == {"userid": MEMBER, "appid": CORP_ID}, f"the app was told {known}")
    member.photo("member")
    outsider.open(target)
    outsider.is_shown("企业微信登录只对企业成员开放", [403], "outsider")
    expect(outsider.text("code") == target, outsider.text("code"))
    outsider.click("a.go")
    outsider.is_shown("企业微信登录只对企业成员开放", [403])
    outsider.open(f"https://{HUB}/corp")
    outsider.is_shown("本页面只对企业成员开放", [403], "outsider-of-all")
    known = identity(outsider.visits(f"https://{HUB}/open?k=8"))
    expect(known["openid"] and known["appid"] == CORP_ID and "userid" not in known, f"the app was told {known}")
    before = corp.asked()
    member.reload()
    expect(identity(member.lands(target))["userid"] == MEMBER, "another member")
    is_sent_elsewhere(member, {"/member": "请在微信或浏览器中打开", "/wechat": "请在微信中打开", "/desk": "请在浏览器中打开"})
    expect(corp.asked() == before, "WeCom was asked again")
    print("kinds: inside WeCom a member is known by a userid; an outsider is let in where the account says so, by an openid")


def another_at_the_desk(stranger):
    """Whoever sits there next."""
    stranger.open(f"https://{HUB}/.wxgate/logout")
    stranger.is_shown("退出登录", [405])
    stranger.click("form button")
    stranger.is_shown("已退出登录", [])
    stranger.click("a.go")
    scans(stranger, ALI)
    known = identity(stranger.lands(f"https://{HUB}/"))
    expect(known["appid"] == SITE_ID and known.get("unionid") != UNION, f"the app was told {known}")
    print("kinds: at the desk somebody else logs in after a logout")


def walk(world):
    site = Wechat(world, SITE, SITE_ID, [HUB], "--website")
    corp = Wechat(world, CORP, CORP_ID, [HUB], "--wecom")
    kinds = gateway(world, site, corp)
    ports = {HUB: kinds.tls, SITE: site.front.tls, CORP: corp.front.tls}
    with world.profile("kinds-desktop", "desktop", ports) as visitor:
        desk = at_a_desk(site, visitor)
        another_at_the_desk(visitor)
    with world.profile("kinds-wechat", "android", ports) as visitor:
        visitor.is_visitor(XIAOMING)
        in_wechat(world, visitor, desk)
    with world.profile("kinds-wecom", "wecom", ports) as member, world.profile("kinds-out", "wecom", ports) as outsider:
        member.is_visitor(XIAOMING, CORP)
        outsider.is_visitor(ALI, CORP)
        in_wecom(corp, member, outsider)
    kinds.ends(refused_at_wechat=1, not_a_member_in_wecom=2, not_a_member=1, confirm_logout=1, no_session=8)
    site.ends()
    corp.ends()
