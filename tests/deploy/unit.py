"""deploy/wxgate.service and its drop-in, by systemd's own word, and the gateway
within what the unit allows.

    unit.py WXGATE
"""

import atexit
import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from shipped import DEPLOY, check, drain_timeout, expect, run, secrets

from served import Process, ask, free_port

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


class Supervisor:
    """Hears what the gateway tells systemd (sd_notify(3)), and from whom."""

    def __init__(self, dir):
        self.path = dir / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.settimeout(60)

    def heard(self, pid):
        """The next word of process `pid`. NotifyAccess=main: others are not listened to."""
        while True:
            text, more, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
            sender = next(struct.unpack("3i", data)[0] for level, kind, data in more if kind == socket.SCM_CREDENTIALS)
            if sender == pid:
                return dict(line.split("=", 1) for line in text.decode().splitlines())


def end(strace, followed):
    for pid in followed if strace.child.poll() is None else []:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def check_life(unit, text, dir, wxgate):
    """Runs the gateway as the unit does, from start to stop, with a reload and a
    change of the binary in between: systemd is told what it waits for, and each
    system call that is made is one that the unit allows."""
    place = secrets(dir / "secrets", wxgate)
    text = text.replace(CREDENTIALS, str(place)).replace("127.0.0.1:8080", "127.0.0.1:0")
    admin = free_port()
    text = text.replace("127.0.0.1:9090", f"127.0.0.1:{admin}")
    (dir / "gateway.toml").write_text(text)
    supervisor, trace = Supervisor(dir), dir / "trace"
    strace = Process(
        *("strace", "-f", "-qq", "-e", "signal=none", "-o", trace),
        *(wxgate, "run", "--config", dir / "gateway.toml"),
        env={**os.environ, "STATE_DIRECTORY": str(dir / "state"), "NOTIFY_SOCKET": str(supervisor.path)},
    )
    strace.match("listening on")
    # strace does not end what it follows.
    followed = []
    atexit.register(end, strace, followed)
    main = int(pathlib.Path(f"/proc/{strace.child.pid}/task/{strace.child.pid}/children").read_text().split()[0])
    followed.append(main)
    expect(unit["Type"] == ["notify"] and unit["NotifyAccess"] == ["main"], "the unit waits for another sign")
    expect(supervisor.heard(main) == {"READY": "1"}, "systemd is not told that the gateway serves")
    ready = lambda: ask(f"http://127.0.0.1:{admin}/readyz").text
    expect(ready() == "ready\n", "it does not")

    expect(unit["ExecReload"] == ["kill -HUP $MAINPID"], "another reload")
    os.kill(main, signal.SIGHUP)
    expect("RELOADING" in supervisor.heard(main) and supervisor.heard(main) == {"READY": "1"}, "a reload is not told")

    # What README.md says for a new binary.
    os.kill(main, signal.SIGUSR2)
    told = supervisor.heard(main)
    expect(told.keys() == {"MAINPID", "READY"}, f"systemd is not told who is the main process: {told}")
    next_main = int(told["MAINPID"])
    followed.append(next_main)
    for _ in range(600):
        if not pathlib.Path(f"/proc/{main}").exists():
            break
        threading.Event().wait(0.1)
    expect(next_main != main and not pathlib.Path(f"/proc/{main}").exists(), "the process before goes on")
    expect(ready() == "ready\n", "the process that took over does not serve")
    os.kill(next_main, signal.SIGTERM)
    told = supervisor.heard(next_main)
    if told == {"READY": "1"}:
        # Its own word, which may come before or after it is known as the main process.
        told = supervisor.heard(next_main)
    expect(told == {"STOPPING": "1"}, f"a stop is not told: {told}")
    expect(strace.child.wait(60) == 0, f"the gateway did not end well: {strace.written()}")
    print("unit: systemd is told of start, reload, a new main process and stop")

    # Each line is "PID call(arguments…".
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    expect({"listen", "epoll_wait", "execve", "sendto"} <= made, f"strace saw {made} alone")
    refused = made - allowed(unit)
    expect(not refused, f"the unit's SystemCallFilter refuses {refused}")
    print(f"unit: the {len(made)} system calls that are made meanwhile are allowed")


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
        check_life(unit, text, dir, wxgate)


if __name__ == "__main__":
    main()
