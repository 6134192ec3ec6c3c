"""PyJWT, which knows nothing of the gateway, verifies what an app is sent: the
visitor by `X-WeChat-Assertion` and the published keys alone. What was moved,
changed or signed in another way is refused, and a rotation of the keys refuses
nobody.

    assertion.py WXGATE

Needs `PyJWT==2.15.1` and `cryptography` from PyPI.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from served import App, Process, ask, expect, free_port, pairs_of

HOST = "127.0.0.1"
APP_ID = "wx5150a7c0ffee0001"
SECRET = "0123456789abcdef0123456789abcdef"

GATEWAY = """
[server]
listen = ["127.0.0.1:{port}"]
public_scheme = "http"
state_dir = "state"

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://127.0.0.1:{port}"
sandbox = true
open_base_url = "{simulator}"
api_base_url = "{simulator}"

[[routes]]
host = "127.0.0.1"
upstream = "http://127.0.0.1:{app}"
account = "shop"
assertion = true
"""

# The key that the first start made, and a new one.
KEPT = '{ file = "state/assertion.key" }'
NEW = '{ file = "new.key" }'


class Verifier:
    """The app's half, as README.md shows it."""

    def __init__(self, origin):
        self.origin = origin
        self.keys = jwt.PyJWKClient(f"{origin}/.wxgate/jwks.json")

    def __call__(self, token, audience=HOST):
        key = self.keys.get_signing_key_from_jwt(token).key
        return jwt.decode(token, key, algorithms=["ES256"], audience=audience, issuer=self.origin,
                          options={"require": ["exp", "sub"]})


def login(origin):
    """Logs in as WeChat's browser does, and gives the session's cookie."""
    first = ask(f"{origin}/cart")
    back = ask(first.location.split("#")[0])
    done = ask(back.location, headers={"Cookie": pairs_of(first)})
    expect(done.location == f"{origin}/cart", f"back at {done.location}")
    return pairs_of(done)


def asserted(origin, session):
    """What the app is sent with a visit."""
    page = ask(f"{origin}/cart", headers={"Cookie": session, "X-WeChat-Assertion": "forged"})
    expect((page.status, page.text) == (200, "yes"), f"{page.status}: {page.text}")
    values = App.seen[-1].get_all("X-WeChat-Assertion")
    expect(values is not None and len(values) == 1, f"assertions {values}")
    return values[0]


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def headed(token, alg):
    """The claims of `token` with a header that asks for `alg`, not yet signed."""
    head = {**jwt.get_unverified_header(token), "alg": alg}
    return f"{encoded(json.dumps(head).encode())}.{token.split('.')[1]}"


def with_changed_byte(token, at):
    parts = token.split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[at] + "=="))
    data[len(data) // 2] ^= 1
    parts[at] = encoded(bytes(data))
    return ".".join(parts)


def forgeries(verify, token):
    """Tokens that nobody signed, each with what it is."""
    key = verify.keys.get_signing_key_from_jwt(token).key
    yield "alg none", headed(token, "none") + "."
    for name, secret in (
        ("PEM", key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
        ("DER", key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        ("a point", key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
    ):
        start = headed(token, "HS256")
        tag = hmac.new(secret, start.encode(), hashlib.sha256).digest()
        yield f"HS256 with the public key as {name}", f"{start}.{encoded(tag)}"
    for at, part in enumerate(("header", "claims", "signature")):
        yield f"a changed byte in the {part}", with_changed_byte(token, at)


def check_claims(verify, token):
    claims = verify(token)
    seen = App.seen[-1]
    expect(claims["sub"] == seen["X-WeChat-OpenId"], f"sub {claims['sub']}")
    expect(claims["appid"] == APP_ID, f"appid {claims['appid']}")
    expect(claims["scope"] == seen["X-WeChat-Scope"], f"scope {claims['scope']}")
    expect(0 < claims["exp"] - claims["iat"] <= 300, f"from {claims['iat']} to {claims['exp']}")
    head = jwt.get_unverified_header(token)
    expect(head["alg"] == "ES256" and head["typ"] == "JWT", f"header {head}")
    check_thumbprint(verify, head["kid"])
    print("assertion: PyJWT verifies the visitor by the published key alone")


def check_thumbprint(verify, kid):
    """RFC 7638, computed here once more."""
    key = next(key for key in json.loads(ask(verify.keys.uri).text)["keys"] if key["kid"] == kid)
    members = {name: key[name] for name in ("crv", "kty", "x", "y")}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    expect(encoded(hashlib.sha256(text.encode()).digest()) == kid, "the kid is not the key's thumbprint")


def check_refusals(verify, token):
    try:
        verify(token, audience="other.example")
    except jwt.InvalidAudienceError:
        pass
    else:
        sys.exit("assertion: another host takes it")
    for what, forged in forgeries(verify, token):
        try:
            verify(forged)
        except jwt.PyJWTError:
            continue
        sys.exit(f"assertion: {what} is taken")
    print("assertion: another audience, another algorithm and a changed byte are refused")


def check_rotation(dir, wxgate, start, visit, origin, old):
    """As README.md says: known first, then first. PyJWT asks for unknown keys
    no sooner than 30 seconds after it asked last, and has to ask for none."""
    with open(dir / "new.key", "wb") as file:
        subprocess.run([wxgate, "keygen", "--assertion"], check=True, stdin=subprocess.DEVNULL, stdout=file)
    gateway = start(KEPT, NEW)
    verify = Verifier(origin)
    kids = [kid_of(old), kid_of(visit())]
    expect(verify(old)["sub"] and kids[0] == kids[1], "an appended key signs")
    expect(gateway.stop() == 0, "the gateway did not end well")

    gateway = start(NEW, KEPT)
    new = visit()
    expect(kid_of(new) != kids[0], "the new key does not sign")
    for app in (verify, Verifier(origin)):
        expect(app(old)["sub"] == app(new)["sub"], "two visitors")
    expect(gateway.stop() == 0, "the gateway did not end well")
    print("assertion: a rotation refuses nobody, before or after")


def kid_of(token):
    return jwt.get_unverified_header(token)["kid"]


def main():
    os.environ["NO_PROXY"] = "*"  # none between us and loopback
    with tempfile.TemporaryDirectory(prefix="wxgate-assertion-") as name:
        run(pathlib.Path(name), sys.argv[1])


def run(dir, wxgate):
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    port = free_port()
    origin = f"http://{HOST}:{port}"
    simulate = Process(wxgate, "simulate", "--listen", "127.0.0.1:0", "--app-id", APP_ID,
                       "--app-secret", SECRET, "--callback-host", f"{HOST}:{port}")
    simulator = simulate.match(r"api_base_url: (http://\S+)").group(1)
    (dir / "app_secret").write_text(SECRET)
    config = dir / "gateway.toml"
    text = GATEWAY.format(port=port, app_id=APP_ID, simulator=simulator, app=app.server_address[1])

    def start(*keys):
        config.write_text(f"assertion.keys = [{', '.join(keys)}]\n{text}")
        gateway = Process(wxgate, "run", "--config", config)
        gateway.match("listening on")
        return gateway

    gateway = start()
    session = login(origin)
    old = asserted(origin, session)
    verify = Verifier(origin)
    check_claims(verify, old)
    check_refusals(verify, old)
    expect(gateway.stop() == 0, "the gateway did not end well")
    check_rotation(dir, wxgate, start, lambda: asserted(origin, session), origin, old)
    expect(simulate.stop() == 0, "the simulator did not end well")


if __name__ == "__main__":
    main()
