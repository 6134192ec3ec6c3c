"""The Debian package: made by cargo deb, then installed, upgraded, removed and purged
by dpkg below a root of its own.

    debian.py WXGATE CARGO_DEB
"""

import os
import pathlib
import shutil
import stat
import sys
import tempfile

from shipped import DEPLOY, ROOT, SECRET, as_root, expect, run, version

from served import Process

# The package is for one machine: the shipped gateway.toml, with other ports.
PORTS = [("127.0.0.1:8080", "127.0.0.1:0"), ("127.0.0.1:9090", "127.0.0.1:0")]


def make(dir, wxgate, cargo_deb):
    """The package, of the binary that is tested. Its version ends with `revision`."""
    built = dir / "target" / "release"
    built.mkdir(parents=True)
    # Without what a debugger reads: a release has little of that.
    run("strip", "--strip-debug", "-o", built / "wxgate", wxgate)

    def package(revision):
        file = dir / f"wxgate-{revision}.deb"
        run(
            cargo_deb,
            "--no-build",
            "--no-strip",
            "--fast",
            "--offline",
            "--locked",
            "--deb-revision",
            revision,
            "--output",
            file,
            cwd=ROOT,
            env={**os.environ, "CARGO_TARGET_DIR": str(dir / "target")},
        )
        return file

    return package


def field(deb, name):
    return run("dpkg-deb", "--field", deb, name).strip()


def check_contents(deb):
    expect(field(deb, "Package") == "wxgate" and field(deb, "Version") == f"{version()}-1", "another package")
    depends = field(deb, "Depends")
    for needed in ("libc6", "ca-certificates", "systemd"):
        expect(needed in depends, f"does not depend on {needed}: {depends}")
    listed = [line.split(None, 5) for line in run("dpkg-deb", "--contents", deb).splitlines()]
    files = {line[5]: line for line in listed}
    for path, mode in [
        ("./usr/bin/wxgate", "-rwxr-xr-x"),
        ("./etc/wxgate/gateway.toml", "-rw-r--r--"),
        ("./usr/lib/systemd/system/wxgate.service", "-rw-r--r--"),
        ("./usr/lib/sysusers.d/wxgate.conf", "-rw-r--r--"),
        ("./usr/share/doc/wxgate/RUNBOOK.md", "-rw-r--r--"),
        ("./usr/share/doc/wxgate/copyright", "-rw-r--r--"),
    ]:
        expect(path in files, f"{path} is missing")
        expect((files[path][0], files[path][1]) == (mode, "0/0"), f"{path}: {files[path]}")
    expect(run("dpkg-deb", "--info", deb, "conffiles").split() == ["/etc/wxgate/gateway.toml"], "another conffile")


def dpkg(root, *words, **options):
    """dpkg on `root`: the package's scripts run here, and are told where it is."""
    # Nobody is asked and nothing started: dpkg does not look at this machine's packages.
    return run(
        "dpkg",
        f"--root={root}",
        "--force-script-chrootless",
        "--force-depends",
        "--force-confold",
        f"--log={root}/log",
        *words,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        **options,
    )


def empty(root):
    for part in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "usr/bin"):
        (root / part).mkdir(parents=True)
    for part in ("status", "available"):
        (root / "var/lib/dpkg" / part).touch()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def check_installed(root, dir):
    """What an operator meets: the gateway as the unit runs it, and a key."""
    place = root / "etc/wxgate/credentials"
    expect(mode(place) == 0o700 and mode(place / "session_key") == 0o600, "others can read the secrets")
    expect("\nwxgate:" in "\n" + (root / "etc/passwd").read_text(), "no user")
    config = root / "etc/wxgate/gateway.toml"
    expect(config.read_text() == (DEPLOY / "gateway.toml").read_text(), "another gateway.toml")
    unit = (root / "usr/lib/systemd/system/wxgate.service").read_text()
    expect(unit == (DEPLOY / "wxgate.service").read_text(), "another unit")
    # Neither enabled nor started: there is no AppSecret yet.
    expect(not list((root / "etc").glob("systemd/system/*.wants/wxgate.service")), "enabled by itself")
    # The operator puts the AppSecret in its place; systemd hands both over.
    (place / "app_secret").write_text(SECRET)
    text = config.read_text().replace("/run/credentials/wxgate.service", str(place))
    for shipped, free in PORTS:
        text = text.replace(shipped, free)
    (dir / "gateway.toml").write_text(text)
    gateway = Process(
        root / "usr/bin/wxgate",
        "run",
        "--config",
        dir / "gateway.toml",
        env={**os.environ, "STATE_DIRECTORY": str(dir / "state")},
    )
    gateway.match("listening on")
    expect(gateway.stop() == 0, f"the gateway did not end well: {gateway.written()}")


def main():
    as_root()
    wxgate, cargo_deb = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="wxgate-debian-") as name:
        dir = pathlib.Path(name)
        package = make(dir, wxgate, cargo_deb)
        first, second = package("1"), package("2")
        check_contents(first)
        root = dir / "root"
        empty(root)
        dpkg(root, "--install", first)
        check_installed(root, dir)
        key = root / "etc/wxgate/credentials/session_key"
        made, config = key.read_text(), root / "etc/wxgate/gateway.toml"
        config.write_text(config.read_text() + "# ours\n")
        dpkg(root, "--install", second)
        expect(key.read_text() == made, "an upgrade made another session key: everybody is logged out")
        expect(config.read_text().endswith("# ours\n"), "an upgrade replaced gateway.toml")
        shutil.copytree(dir / "state", root / "var/lib/private/wxgate")
        dpkg(root, "--remove", "wxgate")
        expect(
            not (root / "usr/bin/wxgate").exists() and key.exists() and config.exists(),
            "a removal took too little or too much",
        )
        dpkg(root, "--purge", "wxgate")
        left = [path for path in ("etc/wxgate", "var/lib/private/wxgate", "usr/share/doc/wxgate") if (root / path).exists()]
        expect(not left, f"left behind: {left}")
    for script in ("postinst", "postrm"):
        run("sh", "-n", DEPLOY / "debian" / script)
    print("debian: the package installs, keeps its key and settings at an upgrade, and goes without a trace")


if __name__ == "__main__":
    main()
