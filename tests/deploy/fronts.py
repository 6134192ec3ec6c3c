"""The proxies of deploy/ that Debian has: each shipped file with other addresses and
names, for its own program.
"""

import os

from shipped import expect, run

from served import free_port

HOST = "shop.test"


def replaced(text, *pairs):
    for old, new in pairs:
        expect(old in text, f"the shipped file has no {old}")
        text = text.replace(old, new)
    return text


class Front:
    """Where a proxy listens, what it sends to, and its certificate."""

    def __init__(self, dir, gateway, admin, app=None, host=HOST):
        self.dir, self.gateway, self.admin, self.host = dir, gateway, admin, host
        # Of a proxy that sends requests there itself.
        self.app = app
        self.plain, self.tls = free_port(), free_port()
        self.cert, self.key, self.both = dir / "cert.pem", dir / "key.pem", dir / "both.pem"


def to_app(front, old):
    """Where the shipped file has the app's port, if it has one."""
    return [(old, old.replace("3000", str(front.app)))] if front.app else []


def nginx(front, shipped):
    text = replaced(
        shipped,
        ("listen 80;", f"listen 127.0.0.1:{front.plain};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{front.tls} ssl http2;"),
        ("listen [::]:80;", ""),
        ("listen [::]:443 ssl http2;", ""),
        ("shop.example.com.pem", "cert.pem"),
        ("shop.example.com.key", "key.pem"),
        ("/etc/nginx/tls", str(front.dir)),
        ("shop.example.com", front.host),
        ("127.0.0.1:8080", f"127.0.0.1:{front.gateway}"),
        *to_app(front, "127.0.0.1:3000"),
    )
    temporary = "".join(
        f"{name}_temp_path {front.dir}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = front.dir / "nginx.conf"
    file.write_text(
        f"daemon off;\nerror_log stderr warn;\npid {front.dir}/nginx.pid;\nworker_processes 1;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{text}}}\n"
    )
    return ["nginx", "-p", front.dir, "-c", file, "-e", "stderr"]


def caddy(front, shipped):
    text = replaced(
        shipped,
        ("\nshop.example.com {\n", f"\nshop.example.com {{\n\ttls {front.cert} {front.key}\n"),
        ("shop.example.com", front.host),
        ("127.0.0.1:8080", f"127.0.0.1:{front.gateway}"),
        *to_app(front, "127.0.0.1:3000"),
    )
    file = front.dir / "Caddyfile"
    file.write_text(
        f"{{\n\tadmin off\n\thttp_port {front.plain}\n\thttps_port {front.tls}\n\tdefault_bind 127.0.0.1\n}}\n{text}"
    )
    run("caddy", "validate", "--config", file, "--adapter", "caddyfile", env=at_home(front))
    return ["caddy", "run", "--config", file, "--adapter", "caddyfile"]


def at_home(front):
    """Nothing is written to the home of who runs the checks."""
    return {**os.environ, "HOME": str(front.dir), "XDG_DATA_HOME": str(front.dir), "XDG_CONFIG_HOME": str(front.dir)}
