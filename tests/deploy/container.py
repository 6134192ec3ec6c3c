"""deploy/Dockerfile and deploy/compose.yaml as far as they can be followed without
an engine: the linter, what the build is given, the image's files with the gateway
running on nothing else, and the compose file by its schema and its program.

    container.py WXGATE VENV
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

import yaml

from shipped import DEPLOY, ROOT, SECRET, as_root, check, drain_timeout, expect, run, seconds, secrets

from served import Process, ask, free_port


def given_to_the_build(dir):
    """The build's context by .dockerignore: "*", and then what "!" takes back."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    expect(lines[0] == "*" and all(line.startswith("!") for line in lines[1:]), "a .dockerignore of another form")
    for line in lines[1:]:
        found = list(ROOT.glob(line[1:]))
        expect(found, f".dockerignore takes back {line[1:]}, which is not there")
        for path in found:
            to = dir / path.relative_to(ROOT)
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, to)
            else:
                shutil.copy2(path, to)


def check_context(dir, wxgate):
    given_to_the_build(dir)
    # Cargo must find all that Cargo.toml names, and what the source includes.
    host = re.search(r"^host: (.*)$", run("rustc", "-vV"), re.M).group(1)
    told = run(
        "cargo",
        "metadata",
        "--locked",
        "--offline",
        "--format-version",
        "1",
        "--filter-platform",
        host,
        cwd=dir,
        stderr=subprocess.DEVNULL,
    )
    package = next(one for one in json.loads(told)["packages"] if one["name"] == "wxgate")
    expect(
        any(target["name"] == "wxgate" and "bin" in target["kind"] for target in package["targets"]), "no program to build"
    )
    # All that the program was made of here: cargo keeps a list beside it.
    inputs = wxgate.with_suffix(".d").read_text().replace("\\ ", " ").split(": ", 1)[1].split()
    ours = [pathlib.Path(file).relative_to(ROOT) for file in inputs if pathlib.Path(file).is_relative_to(ROOT)]
    expect(pathlib.Path("src/lib.rs") in ours, f"cargo's list names {ours}")
    missing = [str(file) for file in ours if not (dir / file).exists()]
    expect(not missing, f"the build is not given {missing}")
    print("image: the build is given what it needs, and nothing else")


def check_dockerfile():
    """What the linter does not look at."""
    text = (DEPLOY / "Dockerfile").read_text()
    steps = re.sub(r"\\\n\s*", "", text)
    expect(
        "cargo build --release --locked --bin wxgate && deploy/docker/rootfs target/release/wxgate /rootfs" in steps,
        "the build's steps are not those that are checked here",
    )
    last = steps[steps.rindex("\nFROM ") + 1 :]
    expect(
        last.startswith("FROM scratch\n") and "\nUSER 65532:65532\n" in last, "not an empty image with a user of its own"
    )
    msrv = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["rust-version"]
    base = re.search(r"^FROM rust:([\d.]+)-bookworm ", steps, re.M).group(1)
    expect(
        [int(part) for part in base.split(".")] >= [int(part) for part in msrv.split(".")],
        f"Rust {base} is older than {msrv}",
    )
    return json.loads(re.search(r"HEALTHCHECK .*? CMD (\[.*\])", last).group(1))


def check_image(dir, wxgate, health):
    """The image's files, and the gateway on them alone: another root, the image's
    user, nothing that can be written but the state directory."""
    root = dir / "rootfs"
    run(DEPLOY / "docker" / "rootfs", wxgate, root)
    expect(not list(root.glob("**/sh")) and not list(root.glob("**/busybox")), "a shell in the image")
    state = (root / "var/lib/wxgate").stat()
    expect((state.st_uid, state.st_gid, state.st_mode & 0o777) == (65532, 65532, 0o700), "the state directory is another's")
    etc = root / "etc/wxgate"
    admin = free_port()
    secrets(etc, wxgate)
    (etc / "gateway.toml").write_text(f"""
[server]
listen = ["127.0.0.1:0"]
admin_listen = "127.0.0.1:{admin}"
[accounts.shop]
app_id = "wx1234567890abcdef"
app_secret = {{ file = "app_secret" }}
callback_origin = "https://shop.example.com"
[[routes]]
host = "shop.example.com"
upstream = "http://127.0.0.1:3000"
account = "shop"
""")
    for file in etc.iterdir():
        file.chmod(0o644)
    inside = ["chroot", "--userspec=65532:65532", root]
    environment = {"STATE_DIRECTORY": "/var/lib/wxgate"}
    health = [*inside, *health]
    run(*health, fails=True, env={**os.environ, **environment})
    gateway = Process(
        *inside, "/usr/bin/wxgate", "run", "--config", "/etc/wxgate/gateway.toml", env={**os.environ, **environment}
    )
    gateway.match(r"admin paths on")
    said = run(*health, env={**os.environ, **environment})
    expect(said == "ready\n", said)
    port = int(gateway.match(r"listening on 127\.0\.0\.1:(\d+)").group(1))
    first = ask(f"http://127.0.0.1:{port}/", headers={"Host": "shop.example.com"})
    expect(first.location.startswith("https://open.weixin.qq.com/connect/oauth2/authorize?"), first.location)
    expect((root / "var/lib/wxgate/session.key").stat().st_uid == 65532, "no key of the image's user")
    expect(gateway.stop() == 0, f"the gateway did not end well: {gateway.written()}")
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file() and file.name != "wxgate")
    print(f"image: the gateway runs on the image's files alone, {size // 1024} KiB beside itself, and its check says ready")


def check_compose(dir, wxgate, venv):
    file = DEPLOY / "compose.yaml"
    run(venv / "bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    made = run("docker-compose", "--file", file, "config", stderr=subprocess.DEVNULL)
    services = yaml.safe_load(file.read_text())["services"]
    expect(set(yaml.safe_load(made)["services"]) == set(services), "docker-compose reads other services")
    config = check((DEPLOY / "compose" / "gateway.toml").read_text(), dir, wxgate, "/run/secrets")
    gateway = services["gateway"]
    # The names and ports that gateway.toml uses are those of services on its networks.
    named = [config["routes"][0]["upstream"], config["accounts"]["shop"]["api_base_url"]]
    for url in [*named, "redis://redis:6379"]:
        host, port = re.fullmatch(r"\w+://(\w+):(\d+)(?:/0)?", url).groups()
        expect(host in services, f"{url} names no service")
        shared = set(services[host]["networks"]) & set(gateway["networks"])
        expect(shared, f"the gateway does not reach {host}")
        words = " ".join(services[host].get("command", [])) + ("6379" if host == "redis" else "")
        expect(port in words, f"{host} is not told to listen on {port}")
    # Nobody but the gateway reaches the app.
    network = set(services["app"]["networks"])
    expect(len(network) == 1 and "ports" not in services["app"], "the app is reached from elsewhere")
    expect(
        [name for name, one in services.items() if network & set(one["networks"])] == ["gateway", "app"],
        "others share the app's network",
    )
    for name, service in services.items():
        expect(
            service["read_only"] and "no-new-privileges:true" in service["security_opt"], f"{name} may do more than it must"
        )
    expect(seconds(gateway["stop_grace_period"]) > drain_timeout(config) + 5, "stop_grace_period is not above the drain")
    # The simulator knows the account of gateway.toml.
    told = dict(word.removeprefix("--").split("=") for word in services["wechat"]["command"][1:])
    account = config["accounts"]["shop"]
    expect(told["app-id"] == account["app_id"] and told["app-secret"] == SECRET, "the simulator has another account")
    expect(account["callback_origin"] == f"http://{told['callback-host']}", "the simulator sends visitors elsewhere")
    expect(f"printf {told['app-secret']} >compose/secrets/app_secret" in file.read_text(), "another AppSecret is written")
    run(wxgate, *services["wechat"]["command"], "--help")
    print("compose: its schema, docker-compose and its gateway.toml agree")


def main():
    as_root()
    wxgate, venv = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    run(venv / "bin/hadolint", DEPLOY / "Dockerfile")
    with tempfile.TemporaryDirectory(prefix="wxgate-image-") as name:
        dir = pathlib.Path(name)
        dir.chmod(0o755)
        health = check_dockerfile()
        check_context(dir / "context", wxgate)
        check_image(dir, wxgate, health)
        check_compose(dir, wxgate, venv)


if __name__ == "__main__":
    main()
