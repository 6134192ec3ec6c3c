//! `upstream` as a table: what is wrong with it is told with its place.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use wxgate::config::{Mistakes, Plan};

use crate::issued::Issued;

/// The line of the route's own first key.
const FIRST: usize = 10;

fn parse(dir: &Path, keys: &str) -> Result<Plan, Mistakes> {
    let text = format!(
        "[server]\nstate_dir = \"state\"\n\n\n\n\n[[routes]]\nhost = \"shop.example.com\"\nauth = \"none\"\n{keys}\n"
    );
    Plan::parse(&dir.join("gateway.toml"), &text)
}

/// The one mistake of a route with `keys`: its line after the first of them, its
/// key, its message.
fn mistake(dir: &Path, keys: &str) -> (usize, String, String) {
    let mistakes = parse(dir, keys).expect_err(keys);
    let all: Vec<_> = mistakes.iter().cloned().collect();
    assert_eq!(all.len(), 1, "{keys}: {mistakes}");
    let mistake = all.into_iter().next().unwrap();
    (mistake.line - FIRST, mistake.key, mistake.message)
}

const PEER: &str = "[routes.upstream]\npeers = [\"http://127.0.0.1:1\"]";
const SECURE: &str = "[routes.upstream]\npeers = [\"https://127.0.0.1:1\"]";

#[test]
fn each_mistake_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::for_hosts(&["shop.example.com"]);
    issued.write(dir.path(), "own");
    Issued::for_hosts(&["shop.example.com"]).write(dir.path(), "other");
    std::fs::write(dir.path().join("empty.pem"), "").unwrap();
    let table = |keys: &str| format!("{PEER}\n{keys}");
    let secure = |keys: &str| format!("{SECURE}\ntls = {{ {keys} }}");
    for (keys, line, key, parts) in [
        (
            "upstream = 1".to_owned(),
            0,
            "",
            ["integer `1`", "a list of such, or a table"],
        ),
        (
            "upstream = []".to_owned(),
            0,
            "",
            ["names no peer", "127.0.0.1:3000"],
        ),
        (
            "upstream = [\"http://a\", \"ftp://b\"]".to_owned(),
            0,
            "[1]",
            ["ftp://b", "the scheme must be http or https"],
        ),
        (
            "upstream = \"https://a_b.example.com\"".to_owned(),
            0,
            "",
            ["a_b.example.com", "server_name"],
        ),
        (
            "upstream = \"unix:app.sock\"".to_owned(),
            0,
            "",
            ["unix:app.sock", "unix:/run/app.sock"],
        ),
        (
            "upstream = [\"http://a\", \"http://a:80\"]".to_owned(),
            0,
            "[1]",
            ["a:80 twice", "weight"],
        ),
        (
            format!("upstream = {:?}", vec!["http://a"; 65]),
            0,
            "[1]",
            ["twice", "once"],
        ),
        (
            format!(
                "upstream = {:?}",
                (0..65)
                    .map(|at| format!("http://a:{}", at + 1))
                    .collect::<Vec<_>>()
            ),
            0,
            "[64]",
            ["one too many", "at most 64"],
        ),
        (
            "[routes.upstream]\nbalance = \"session\"".to_owned(),
            0,
            "",
            ["`peers` is missing", "peers = …"],
        ),
        (
            "[routes.upstream]\npeers = []".to_owned(),
            0,
            "",
            ["names no peer", "expected at least one"],
        ),
        (
            "[routes.upstream]\npeers = [{ url = \"http://a\", weight = 0 }]".to_owned(),
            1,
            ".peers[0].weight",
            ["found 0", "1 to 100"],
        ),
        (
            "[routes.upstream]\npeers = [{ url = \"http://a/b\" }]".to_owned(),
            1,
            ".peers[0].url",
            ["http://a/b", "no path"],
        ),
        (
            table("balance = \"random\""),
            2,
            ".balance",
            ["random", "least_connections"],
        ),
        (
            table("connect_timeout = \"1ms\""),
            2,
            ".connect_timeout",
            ["1ms", "10ms to a day"],
        ),
        (table("reuse = 1"), 2, ".reuse", ["integer `1`", "boolean"]),
        (
            table("retries = 1"),
            2,
            ".retries",
            ["unknown field", "ejection"],
        ),
        (
            table("health = { path = \"up\" }"),
            2,
            ".health.path",
            ["\"up\"", "/healthz"],
        ),
        (
            table("health = { path = \"/up\", status = 99 }"),
            2,
            ".health.status",
            ["found 99", "200 to 599"],
        ),
        (
            table("health = { host = \"a\" }"),
            2,
            ".health",
            ["no path", "/healthz"],
        ),
        (
            table("health = { path = \"/up\", host = \"a b\" }"),
            2,
            ".health.host",
            ["a b", "app.internal"],
        ),
        (
            table("ejection = { rest = \"3m\" }"),
            2,
            ".ejection",
            ["longer than longest", "shorter"],
        ),
        (
            table("tls = { server_name = \"a\" }"),
            2,
            ".tls",
            ["plain HTTP", "https URL"],
        ),
        (
            secure("server_name = \"\""),
            2,
            ".tls.server_name",
            ["found \"\"", "app.internal"],
        ),
        (
            secure("server_name = \"a_b.example.com\""),
            2,
            ".tls.server_name",
            ["a_b", "app.internal"],
        ),
        (
            secure("verify = false"),
            2,
            ".tls.verify",
            ["unknown field", "server_name"],
        ),
        (
            secure("ca = \"none.pem\""),
            2,
            ".tls.ca",
            ["none.pem", "cannot be read"],
        ),
        (
            secure("ca = \"empty.pem\""),
            2,
            ".tls.ca",
            ["empty.pem", "holds no certificate"],
        ),
        (
            secure("ca = \"own.key\""),
            2,
            ".tls.ca",
            ["own.key", "holds no certificate"],
        ),
        (
            secure("client_cert = \"own.pem\""),
            2,
            ".tls.client_cert",
            ["stands alone", "client_key"],
        ),
        (
            secure("client_key = \"own.key\""),
            2,
            ".tls.client_key",
            ["stands alone", "client_cert"],
        ),
        (
            secure("client_cert = \"own.pem\", client_key = \"other.key\""),
            2,
            ".tls.client_key",
            ["not that of the first certificate", "made together"],
        ),
        (
            secure("client_cert = \"none.pem\", client_key = \"own.key\""),
            2,
            ".tls.client_cert",
            ["none.pem", "cannot be read"],
        ),
    ] {
        let (at, found, message) = mistake(dir.path(), &keys);
        assert_eq!(
            (at, found),
            (line, format!("routes[0].upstream{key}")),
            "{keys}: {message}"
        );
        for part in parts {
            assert!(message.contains(part), "{keys}: no {part:?} in: {message}");
        }
    }
}

#[test]
fn a_password_in_an_address_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    for keys in [
        "upstream = \"http://u:hunter2@a\"",
        "upstream = [\"http://u:hunter2@a\"]",
        "[routes.upstream]\npeers = [{ url = \"http://u:hunter2@a\" }]",
    ] {
        let (_, _, message) = mistake(dir.path(), keys);
        assert!(
            message.contains("password") && !message.contains("hunter2"),
            "{message}"
        );
    }
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    Issued::for_hosts(&["gateway.internal"]).write(dir.path(), "own");
    let keys = format!("{SECURE}\ntls = {{ client_cert = \"own.pem\", client_key = \"own.key\" }}");
    let warnings = || parse(dir.path(), &keys).unwrap().warnings();
    assert_eq!(warnings(), [] as [&str; 0]);
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(dir.path().join("own.key"), readable).unwrap();
    let told = warnings().concat();
    assert!(told.contains("own.key") && told.contains("0600"), "{told}");
}

#[test]
fn a_list_of_routes_shows_the_peers() {
    let dir = tempfile::tempdir().unwrap();
    let shown = |keys: &str| {
        let plan = parse(dir.path(), keys).unwrap();
        let upstream = &plan.listed[0].upstream;
        (
            upstream.to_string(),
            upstream.described().unwrap_or_default(),
        )
    };
    assert_eq!(shown("upstream = \"http://127.0.0.1:1\"").0, "127.0.0.1:1");
    let table = "[routes.upstream]\npeers = [\"unix:/a\", { url = \"https://b\", weight = 2 }]\nbalance = \"session\"\nhealth = { path = \"/up\" }";
    assert_eq!(
        shown(table),
        (
            "unix:/a, https://b:443 (weight 2)".to_owned(),
            "session, asked for /up every 10s".to_owned()
        )
    );
}
