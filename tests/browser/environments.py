"""The walk through several environments of one account: gateways for development and
tests, which have no secret, log their visitors in by way of production's.
"""

import json

from world import ALI, APP_ID, XIAOMING, Gateway, expect

from served import free_port

PRODUCTION, TEST = "www.environments.test", "try.environments-too.test"
HOSTS, CALLBACKS = [PRODUCTION, TEST], [PRODUCTION]


def production(world, origins):
    clients = "".join(
        f'[[accounts.shop.clients]]\nname = "{name}"\norigins = {json.dumps(listed)}\nkey = {{ file = "{name}.key" }}\n'
        for name, listed in origins.items()
    )
    server = '[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "production"\n'
    return Gateway(world, "production", server + world.account("shop", PRODUCTION, more=clients) + world.route(PRODUCTION))


def environment(world, name, host, server, tls, key=None):
    """A gateway without a secret."""
    account = (
        f'[accounts.shop]\napp_id = "{APP_ID}"\nvia = "https://{PRODUCTION}"\nclient = "{name}"\n'
        f'client_key = {{ file = "{key or name}.key" }}\nsandbox = true\n'
    )
    return Gateway(world, f"{name}-{key or host}", server + account + world.route(host), tls=tls)


def is_person(seen, openid):
    expect(seen.get("x-wechat-openid") == openid, f"the app was told {seen}, not {openid}")


def logs_in(world, visitor, places):
    """One login for production and all that log in by way of it."""
    before = world.wechat.asked()
    for place in places:
        target = f"{place}/cart?a=1&b=%2F&c=%E4%BD%A0"
        is_person(visitor.visits(target), XIAOMING)
        expect(world.wechat.asked() == before + 1, f"at {place} WeChat had been asked {world.wechat.asked() - before} times")
    visitor.reload()
    is_person(visitor.lands(target), XIAOMING)
    visitor.photo("environment")
    print("environments: a gateway without a secret logs in by way of production's, once for all")


def meanwhile(visitor, other, place):
    is_person(other.visits(f"{place}/ali"), ALI)
    is_person(visitor.visits(f"{place}/ming"), XIAOMING)
    print("environments: a second visitor is somebody else at the same time")


def logs_out(visitor, place):
    """Out is out, where the button was pressed, until one comes again."""
    visitor.open(f"{place}/.wxgate/logout")
    visitor.is_shown("退出登录", [405])
    visitor.click("form button")
    visitor.is_shown("已退出登录", [], "environment-logged-out")
    visitor.open(f"{place}/.wxgate/me")
    told = json.loads(visitor.text("pre"))
    visitor.walked_well([401])
    expect(told["code"] == 401 and told["login_url"].startswith(f"{place}/.wxgate/login"), f"after the logout: {told}")
    visitor.open(told["login_url"])
    is_person(visitor.lands(f"{place}/"), XIAOMING)
    print("environments: a logout, and in again")


def is_refused(world, visitor, place):
    """A gateway that production does not know sends nobody round in circles."""
    before = world.wechat.asked()
    visitor.open(f"{place}/cart")
    visitor.is_shown("此网关未获准使用本站登录", [403], "environment-refused")
    expect(world.wechat.asked() == before, "WeChat was asked for a gateway that is not listed")


def walk(world):
    local, other_local, wrong = free_port(), free_port(), free_port()
    for name in ("dev", "test", "wrong"):
        (world.dir / f"{name}.key").write_text(world.key())
    listed = {"dev": [f"http://localhost:{local}", f"http://localhost:{wrong}"], "test": [f"https://{TEST}"]}
    main = production(world, listed)

    def at_localhost(port, key=None):
        server = f'[server]\nlisten = ["127.0.0.1:{port}"]\npublic_scheme = "http"\nstate_dir = "dev-{port}"\n'
        return environment(world, "dev", "localhost", server, tls=False, key=key)

    server = '[server]\nlisten = ["127.0.0.1:0"]\nstate_dir = "test"\n'
    dev, test = at_localhost(local), environment(world, "test", TEST, server, tls=True)
    ports = {PRODUCTION: main.tls, TEST: test.tls}
    with world.profile("dev", "wechat-desktop", ports) as visitor, world.profile("dev-other", "ios", ports) as other:
        visitor.is_visitor(XIAOMING)
        other.is_visitor(ALI)
        logs_in(world, visitor, [f"http://localhost:{local}", f"https://{TEST}", f"https://{PRODUCTION}"])
        meanwhile(visitor, other, f"http://localhost:{local}")
        logs_out(visitor, f"http://localhost:{local}")
        dev.ends(confirm_logout=1, no_session=1)
        # The same at a port that is not listed, and with another key.
        for port, key in ((other_local, None), (wrong, "wrong")):
            refused = at_localhost(port, key)
            is_refused(world, visitor, f"http://localhost:{port}")
            refused.ends()
    print("environments: a port or a key that production does not know ends on a page that says so")
    test.ends()
    main.ends(client_origin_not_listed=1, client_key_wrong=1)
