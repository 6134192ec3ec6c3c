"""What the checks of deploy/ share: where its files are, how a gateway.toml of it is
tried out elsewhere, and what the project says of itself."""

import os
import pathlib
import re
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(HERE.parent / "peers"))

from served import Process, free_port  # noqa: E402

SECRET = "0123456789abcdef0123456789abcdef"


def expect(truth, what):
    if not truth:
        sys.exit(f"{sys.argv[0]}: {what}")


def run(*command, fails=False, **options):
    """What a program prints. It must end well, or, with `fails`, must not."""
    command = [str(word) for word in command]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
    done = subprocess.run(command, timeout=300, check=False, **options)
    expect((done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def as_root():
    expect(os.geteuid() == 0, "another root, and files of other users, are root's to make: run this as root")


def version():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]


def secrets(dir, wxgate):
    """The files that the shipped gateway.toml name, in `dir`."""
    dir.mkdir(exist_ok=True)
    (dir / "session_key").write_text(run(wxgate, "keygen"))
    (dir / "app_secret").write_text(SECRET)
    (dir / "redis_url").write_text("redis://redis:6379/0")
    return dir


def check(text, dir, wxgate, place):
    """`wxgate check` of a gateway.toml whose secrets lie at `place`, with made-up
    ones. Gives what it means; a warning is a mistake."""
    secrets(dir / "secrets", wxgate)
    expect(place in text, f"a gateway.toml without {place}")
    file = dir / "gateway.toml"
    file.write_text(text.replace(place, str(dir / "secrets")))
    said = run(wxgate, "check", "--config", file)
    expect("warning" not in said, said)
    return tomllib.loads(text)


def operated(wxgate, dir):
    """A small gateway that runs, and the port where operators ask it."""
    admin, file = free_port(), dir / "operated.toml"
    file.write_text(f"""
[server]
listen = ["127.0.0.1:0"]
admin_listen = "127.0.0.1:{admin}"
state_dir = "state"
[[routes]]
host = "shop.example.com"
upstream = "http://127.0.0.1:3000"
auth = "none"
""")
    gateway = Process(wxgate, "run", "--config", file)
    gateway.match("admin paths on")
    return gateway, admin


def seconds(text):
    """ "10s" as gateway.toml writes it."""
    return int(re.fullmatch(r"(\d+)s", text).group(1))


# What is waited for when nothing is set (gateway.toml at the root says so).
def drain_timeout(config):
    reference = (ROOT / "gateway.toml").read_text()
    default = re.search(r'^# drain_timeout = "(.*)"$', reference, re.M).group(1)
    return seconds(config["server"].get("drain_timeout", default))
