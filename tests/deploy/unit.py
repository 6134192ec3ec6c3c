"""deploy/wxgate.service and its drop-in, by systemd's own word, and the gateway
within what the unit allows.

    unit.py WXGATE
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from shipped import DEPLOY, check, drain_timeout, expect, run, secrets

from served import Process

# Tenths, as --threshold counts: 2.0 of 10.
EXPOSED_AT_MOST = 20
CREDENTIALS = "/run/credentials/wxgate.service"


def settings(text):
    found = {}
    for line in text.splitlines():
        if line and not line.startswith(("#", "[")):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def verify(dir, unit, drop_in=None):
    """systemd's opinion of the unit. Warnings count."""
    (dir / "wxgate.service").write_text(unit)
    drop_ins = dir / "wxgate.service.d"
    if drop_in:
        drop_ins.mkdir()
        (drop_ins / drop_in.name).write_text(drop_in.read_text())
    said = run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", dir / "wxgate.service")
    expect("wxgate.service" not in said, said)
    offline = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED_AT_MOST}", dir / "wxgate.service")
    return offline.strip().splitlines()[-1].removeprefix("→ ")


def check_seconds(unit, config):
    stop = int(unit["TimeoutStopSec"][0])
    drain = drain_timeout(config)
    expect(stop > drain + 5, f"TimeoutStopSec={stop} is not above a drain of {drain} seconds")


def check_credentials(unit, text):
    named = set(re.findall(re.escape(CREDENTIALS) + r"/(\w+)", text))
    loaded = {value.split(":")[0] for value in unit["LoadCredential"]}
    expect(named == loaded, f"gateway.toml names {named}, the unit loads {loaded}")


def allowed(unit):
    """The system calls that SystemCallFilter= leaves."""

    def members(name):
        if not name.startswith("@"):
            return {name}
        listed = run("systemd-analyze", "syscall-filter", name, stderr=subprocess.DEVNULL).splitlines()
        words = [line.strip() for line in listed[1:] if line.strip() and not line.strip().startswith("#")]
        return set().union(*map(members, words))

    calls = members("@default")
    for value in unit["SystemCallFilter"]:
        taken = value.startswith("~")
        for word in value.removeprefix("~").split():
            calls = calls - members(word) if taken else calls | members(word)
    return calls


def check_system_calls(unit, text, dir, wxgate):
    """Runs the gateway from start to stop, with a reload's signal, and looks at
    each system call that it makes."""
    place = secrets(dir / "secrets", wxgate)
    text = text.replace(CREDENTIALS, str(place))
    text = re.sub(r"127\.0\.0\.1:(8080|9090)", "127.0.0.1:0", text)
    (dir / "gateway.toml").write_text(text)
    trace = dir / "trace"
    gateway = Process(
        "strace",
        "-f",
        "-qq",
        "-e",
        "signal=none",
        "-o",
        trace,
        wxgate,
        "run",
        "--config",
        dir / "gateway.toml",
        env={**os.environ, "STATE_DIRECTORY": str(dir / "state")},
    )
    admin = gateway.match(r"admin paths on (\S+)").group(1)
    expect(
        run(sys.executable, "-c", f"import urllib.request as u; print(u.urlopen('http://{admin}/readyz').read().decode())")
        == "ready\n\n",
        "the gateway is not ready",
    )
    # strace keeps SIGTERM from itself while its child runs: the child is told.
    child = pathlib.Path(f"/proc/{gateway.child.pid}/task/{gateway.child.pid}/children").read_text().split()[0]
    os.kill(int(child), signal.SIGHUP)
    gateway.match("SIGHUP|reload")
    os.kill(int(child), signal.SIGTERM)
    expect(gateway.child.wait(60) == 0, f"the gateway did not end well: {gateway.written()}")
    # Each line is "PID call(arguments…".
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    expect({"listen", "epoll_wait", "execve"} <= made, f"strace saw {made} alone")
    refused = made - allowed(unit)
    expect(not refused, f"the unit's SystemCallFilter refuses {refused}")
    print(f"unit: the {len(made)} system calls that the gateway makes are allowed")


def main():
    wxgate = pathlib.Path(sys.argv[1]).resolve()
    shipped = (DEPLOY / "wxgate.service").read_text()
    # systemd looks for the bare name where programs are; here it is elsewhere.
    bare = "ExecStart=wxgate "
    expect(shipped.count(bare) == 1, f"no {bare}")
    there = shipped.replace(bare, f"ExecStart={wxgate} ")
    drop_in = DEPLOY / "wxgate.service.d" / "port-443.conf"
    with tempfile.TemporaryDirectory(prefix="wxgate-unit-") as name:
        dir = pathlib.Path(name)
        print(f"unit: {verify(dir, there)}")
        print(f"unit, at port 443: {verify(dir, there, drop_in)}")
        # What is looked for must be found when it is there.
        broken = there.replace("ProtectHome=yes", "ProtectHomes=yes")
        run("systemd-analyze", "security", "--offline=true", "--threshold=5", dir / "wxgate.service", fails=True)
        (dir / "wxgate.service").write_text(broken)
        expect(
            "ProtectHomes"
            in run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", dir / "wxgate.service", fails=True),
            "systemd-analyze finds no mistake",
        )
        unit = settings(shipped)
        text = (DEPLOY / "gateway.toml").read_text()
        config = check(text, dir, wxgate, CREDENTIALS)
        check_seconds(unit, config)
        check_credentials(unit, text)
        check_system_calls(unit, text, dir, wxgate)


if __name__ == "__main__":
    main()
