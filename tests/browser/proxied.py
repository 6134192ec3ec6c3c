"""The walk behind the proxies that a house has already: nginx and Caddy send requests
to the apps themselves, with the files of deploy/, and ask one gateway about each.
"""

import pathlib
import shutil
import sys
import threading

from world import APP_ID, XIAOMING, Gateway, Process, expect

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "deploy"))
from fronts import Front, at_home, caddy, nginx  # noqa: E402
from served import ask, free_port  # noqa: E402
from shipped import DEPLOY  # noqa: E402

NGINX, CADDY = "nginx.test", "caddy.test"
HOSTS, CALLBACKS = [NGINX, CADDY], [NGINX]
PROXIES = [(NGINX, nginx, "nginx-auth-request.conf"), (CADDY, caddy, "Caddyfile.forward-auth")]


def gateway(world):
    server = '[server]\nlisten = ["127.0.0.1:0"]\ntrusted_proxies = ["127.0.0.1"]\nstate_dir = "proxied"\n'
    nothing = 'upstream = "none"'
    routes = "".join(
        world.route(host, nothing)
        + world.route(host, nothing + '\nscope = "snsapi_userinfo"', path="/member")
        + world.route(host, nothing, account=None, path="/open")
        for host in HOSTS
    )
    return Gateway(world, "proxied", server + world.account("shop", NGINX) + routes, tls=False)


def begin(world, gateway, host, prepare, file):
    """A proxy that serves `host`."""
    dir = world.dir / host
    dir.mkdir()
    for name in ("cert.pem", "key.pem"):
        shutil.copy(world.dir / name, dir / name)
    front = Front(dir, gateway.port, free_port(), world.app, host)
    process = Process(*prepare(front, (DEPLOY / file).read_text()), env=at_home(front))
    for _ in range(200):
        expect(process.child.poll() is None, f"{host} ended: {process.written()}")
        try:
            # What needs nobody's login: WeChat is not asked on the way.
            if ask(f"https://{host}/open", context=world.authority.believed(), to=front.tls).status == 200:
                return process, front.tls
        except OSError:
            pass
        threading.Event().wait(0.05)
    sys.exit(f"{host} never finds the gateway: {process.written()}")


def knows(seen, target):
    known = {name: value for name, value in seen.items() if name.startswith("x-wechat")}
    expect(known.get("x-wechat-openid") == XIAOMING and known.get("x-wechat-appid") == APP_ID, f"the app was told {seen}")
    expect(seen["path"] == target, f"the app was asked for {seen['path']}, not {target}")
    return known


def logs_in(world, visitor):
    before = world.wechat.asked()
    for host in HOSTS:
        target = f"/cart/{host}?a=1&b=%2F&c=%E4%BD%A0"
        knows(visitor.visits(f"https://{host}{target}"), target)
        expect(world.wechat.asked() == before + 1, f"{host}: WeChat was not asked once")
    print("proxied: behind nginx and Caddy a visitor logs in once for both")


def profile(visitor, host):
    """A path that asks for more sends who is known to WeChat again."""
    target = f"/member/{host}?b=2"
    visitor.open(f"https://{host}{target}")
    if host == NGINX:
        visitor.agrees()
    known = knows(visitor.lands(f"https://{host}{target}"), target)
    expect(known["x-wechat-nickname"] == "%E5%B0%8F%E6%98%8E", f"{host}: {known}")


def scripts(visitor, host):
    """What a page says in the gateway's name reaches no app."""
    visitor.visits(f"https://{host}/cart")
    said = visitor.run(
        "return fetch('/data', {method: 'POST', body: 'a=1', headers: {'X-WeChat-OpenId': 'forged', 'X-WeChat-UnionId': 'forged'}})"
        ".then(answer => answer.text())"
    )
    expect(XIAOMING in said and "forged" not in said, f"{host}: {said}")
    expect("body&quot;: &quot;a=1" in said, f"{host}: a body did not arrive: {said}")


def logout(visitor):
    visitor.open(f"https://{CADDY}/.wxgate/logout")
    visitor.is_shown("退出登录", [405])
    visitor.click("form button")
    visitor.is_shown("已退出登录", [])
    for host in HOSTS:
        page = f"https://{host}/open"
        expect(not visitor.visits(page).get("x-wechat-openid"), f"{host}: somebody is known at /open")
        told = visitor.run("return fetch('/data').then(answer => answer.json())")
        expect(told["code"] == 401 and told["login_url"].startswith(f"https://{host}/.wxgate/login?"), f"{host}: {told}")
        visitor.open(told["login_url"])
        visitor.lands(page)
        said = visitor.run("return fetch('/data').then(answer => answer.text())")
        expect(XIAOMING in said, f"{host}: nobody is known after the login: {said}")


def outside(stranger, host):
    stranger.open(f"https://{host}/cart?from=a")
    stranger.is_shown("请在微信中打开", [403], f"outside-{host}")
    expect(stranger.text("code") == f"https://{host}/cart?from=a", stranger.text("code"))


def walk(world):
    proxied = gateway(world)
    begun = [(host, *begin(world, proxied, host, prepare, file)) for host, prepare, file in PROXIES]
    ports = {host: port for host, _, port in begun}
    with world.profile("proxied", "ios", ports) as visitor:
        visitor.is_visitor(XIAOMING)
        logs_in(world, visitor)
        for host in HOSTS:
            scripts(visitor, host)
        logout(visitor)
        for host in HOSTS:
            profile(visitor, host)
    with world.profile("proxied-desktop", "desktop", ports) as stranger:
        for host in HOSTS:
            outside(stranger, host)
    print("proxied: scripts, profile, logout and the page for other browsers as without a proxy")
    # nginx asks, and sends whoever is refused for the answer.
    proxied.ends(no_session=5, session_ended=2, session_has_too_little=1, confirm_logout=1)
    for host, process, _ in begun:
        expect(process.stop() == 0, f"{host} did not end well: {process.written()}")
