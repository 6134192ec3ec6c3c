//! The binary itself: what it prints, and how it exits.

mod clients;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use wxgate::signing::generate_key;

use crate::client::{Browser, WECHAT, split};
use crate::issued::Issued;
use crate::process::{Process, free_address, wxgate};

/// A file without a mistake. Mistakes are made by replacing parts of it.
const GOOD: &str = r#"
[server]
listen = ["127.0.0.1:8080"]
admin_listen = "127.0.0.1:9090"

[session]
keys = [{ env = "WXGATE_SESSION_KEY" }]

[accounts.shop]
app_id = "wx1234567890abcdef"
app_secret = { env = "WXGATE_APP_SECRET" }
callback_origin = "https://shop.example.com"

[[routes]]
host = "shop.example.com"
path = "/"
upstream = "http://127.0.0.1:3000"
account = "shop"

[[routes]]
host = "shop.example.com"
path = "/pay/notify"
upstream = "http://127.0.0.1:3000"
auth = "none"
"#;

/// `wxgate` with the secrets that the files here name.
fn with_secrets(arguments: &[&str], dir: &Path) -> Command {
    let mut command = wxgate(arguments, dir);
    command
        .env("WXGATE_SESSION_KEY", generate_key().unwrap().expose())
        .env("WXGATE_DEV_KEY", generate_key().unwrap().expose())
        .env("WXGATE_CLIENT_KEY", generate_key().unwrap().expose())
        .env("WXGATE_APP_SECRET", "5ec2e7000000000000000000deadbeef")
        .env("WXGATE_DESK_SECRET", "de5c00000000000000000000deadbeef")
        .env(
            "WXGATE_CORP_SECRET",
            "c0e90000000000000000000000000000000deadbeef",
        )
        .env("WXGATE_PAY_SECRET", "9a900000000000000000000000deadbe")
        .env("WXGATE_LEGACY_SECRET", "legacy0123456789legacy0123456789");
    command
}

fn file_of(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gateway.toml"), text).unwrap();
    dir
}

fn checked(text: &str) -> Output {
    let dir = file_of(text);
    with_secrets(&["check"], dir.path()).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complained(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn assert_passes(text: &str) -> String {
    let output = checked(text);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}\n{text}",
        complained(&output)
    );
    printed(&output)
}

/// Replaces `right` in the good file by `wrong`: `check` must name the line on
/// which `wrong` begins, the key, and each of `parts`.
fn assert_mistake(right: &str, wrong: &str, key: &str, parts: &[&str]) {
    assert!(GOOD.contains(right), "{right}");
    let text = GOOD.replacen(right, wrong, 1);
    let line = GOOD[..GOOD.find(right).unwrap()].matches('\n').count() + 1;
    let output = checked(&text);
    let told = complained(&output);
    assert_eq!(output.status.code(), Some(78), "{wrong}: {told}");
    assert_eq!(printed(&output), "");
    let place = format!("gateway.toml:{line}: {key}");
    let mistake = told.lines().find(|told| told.starts_with(&place));
    let mistake = mistake.unwrap_or_else(|| panic!("no {place:?} in: {told}"));
    for part in parts {
        assert!(mistake.contains(part), "no {part:?} in: {mistake}");
    }
    assert_eq!(told.lines().count(), 1, "one mistake is told once: {told}");
}

// check

#[test]
fn what_lies_below_a_route_that_asks_for_less_is_told_as_it_is() {
    let below = |keys: &str| {
        format!(
            "{GOOD}\n[[routes]]\nhost = \"shop.example.com\"\npath = \"/member\"\nupstream = \"http://127.0.0.1:3000\"\n{keys}\n"
        )
    };
    let more = below("account = \"shop\"\nscope = \"snsapi_userinfo\"\nverify_every = \"1h\"");
    let told = assert_passes(&more);
    assert!(
        told.contains(
            "warning  shop.example.com/member lies below shop.example.com/, whose login differs in scope, verify_every: "
        ) && !told.contains("lets everybody in"),
        "{told}"
    );
    let welcome = below("account = \"club\"\nauth = \"optional\"")
        + "\n[accounts.club]\napp_id = \"wx0234567890abcdef\"\napp_secret = { env = \"WXGATE_PAY_SECRET\" }\ncallback_origin = \"https://shop.example.com\"\n";
    let told = assert_passes(&welcome);
    assert!(
        told.contains("whose login differs in account: ") && !told.contains("lets everybody in"),
        "{told}"
    );
    // Below one that anybody may pass.
    let open = more.replacen(
        "account = \"shop\"",
        "account = \"shop\"\nauth = \"optional\"",
        1,
    );
    let told = assert_passes(&open);
    assert!(
        told.contains("shop.example.com/, which is more open")
            && told.contains("lets everybody in; lock / and")
            && !told.contains("differs"),
        "{told}"
    );
    assert!(!assert_passes(&below("account = \"shop\"")).contains("warning"));
}

#[test]
fn tls_is_told_as_it_was_understood() {
    let dir = certificate().path().display();
    let text = |table: &str| {
        GOOD.replacen(
            "\n[session]",
            &format!("\n[server.tls]\nlisten = [\"127.0.0.1:8443\"]\n{table}\n\n[session]"),
            1,
        )
    };
    let shop = format!(
        "certificates = [{{ hosts = [\"shop.example.com\"], cert = \"{dir}/shop.pem\", key = \"{dir}/shop.key\" }}]"
    );
    let told = assert_passes(&text(&format!(
        "{shop}\nhsts = \"180d\"\nredirect_http = true"
    )));
    for part in [
        "tls      127.0.0.1:8443, TLS 1.2 and later, HTTP/2 and HTTP/1.1\n",
        "cert     shop.example.com: ",
        "shop.pem, until 4096-01-01\n",
        "hsts     max-age=15552000\n",
        "http     pages asked for by plain http are sent to https\n",
    ] {
        assert!(told.contains(part), "no {part:?} in: {told}");
    }
    assert!(!told.contains("warning"), "{told}");
    // What can be served and should be looked at all the same.
    let told = assert_passes(&text(&shop.replace("shop.example.com", "*.example.com")));
    assert!(
        told.contains("warning  the certificate in ")
            && told.contains("does not vouch for *.example.com")
            && told.contains("it vouches for shop.example.com\n"),
        "{told}"
    );
    let told = assert_passes(&text(&shop.replace("shop.example.com", "www.example.com")));
    assert!(
        told.contains("warning  shop.example.com has routes and no certificate in server.tls"),
        "{told}"
    );
    let elsewhere = shop.replace("shop.example.com", "club.example.com");
    let other =
        text(&elsewhere).replace("host = \"shop.example.com\"", "host = \"club.example.com\"");
    let told = assert_passes(&other);
    assert!(
        told.contains(
            "warning  shop.example.com is a callback and has no certificate in server.tls"
        ),
        "{told}"
    );
}

#[test]
fn a_mistake_in_tls_is_told_with_its_place_and_its_cure() {
    let (dir, files) = (certificate().path(), tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let (cert, key) = (read("shop.pem"), read("shop.key"));
    write("shop.pem", &cert);
    write("shop.key", &key);
    write("empty.pem", "");
    write("cut.pem", &cert.replace("-----END", "-----"));
    write(
        "junk.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    write(
        "half.pem",
        &format!("{cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    );
    write("other.key", &Issued::for_hosts(&["shop.example.com"]).key);
    write(
        "odd.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    write(
        "locked.key",
        &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    );
    let entry = |hosts: &str, cert: &str, key: &str| {
        format!("certificates = [{{ hosts = [{hosts}], cert = \"{cert}\", key = \"{key}\" }}]")
    };
    let host = "\"shop.example.com\"";
    let listen = "listen = [\"127.0.0.1:8443\"]";
    let with = |cert: &str, key: &str| format!("{listen}\n{}", entry(host, cert, key));
    let good = with("shop.pem", "shop.key");
    let twice = good.replace(
        " }]",
        " }, { hosts = [\"SHOP.example.com.\"], cert = \"shop.pem\", key = \"shop.key\" }]",
    );
    for (table, line, key, parts) in [
        (
            with("none.pem", "shop.key"),
            8,
            "certificates[0].cert",
            ["none.pem cannot be read", "must exist"],
        ),
        (
            with("empty.pem", "shop.key"),
            8,
            "certificates[0].cert",
            ["holds no certificate", "fullchain.pem"],
        ),
        (
            with("cut.pem", "shop.key"),
            8,
            "certificates[0].cert",
            ["is not PEM", "expected text between"],
        ),
        (
            with("junk.pem", "shop.key"),
            8,
            "certificates[0].cert",
            ["numbered 1", "X.509"],
        ),
        (
            with("half.pem", "shop.key"),
            8,
            "certificates[0].cert",
            ["numbered 2", "X.509"],
        ),
        (
            with("shop.pem", "none.key"),
            8,
            "certificates[0].key",
            ["none.key cannot be read", "must exist"],
        ),
        (
            with("shop.pem", "shop.pem"),
            8,
            "certificates[0].key",
            ["holds no private key", "privkey.pem"],
        ),
        (
            with("shop.pem", "other.key"),
            8,
            "certificates[0].key",
            ["is not that of the first certificate", "made together"],
        ),
        (
            with("shop.pem", "odd.key"),
            8,
            "certificates[0].key",
            ["of a kind that cannot be used", "P-256"],
        ),
        (
            with("shop.pem", "locked.key"),
            8,
            "certificates[0].key",
            ["is encrypted", "openssl pkey"],
        ),
        (
            format!("{listen}\n{}", entry("", "shop.pem", "shop.key")),
            8,
            "certificates[0].hosts",
            ["is empty", "*.example.com"],
        ),
        (
            format!(
                "{listen}\n{}",
                entry("\"https://a\"", "shop.pem", "shop.key")
            ),
            8,
            "certificates[0].hosts",
            ["https://a", "without a scheme"],
        ),
        (
            twice,
            8,
            "certificates[1].hosts[0]",
            ["certificate 0 is for already", "once"],
        ),
        (
            format!("{listen}\ncertificates = []"),
            8,
            "certificates",
            ["is empty", "cert = "],
        ),
        (
            listen.to_owned(),
            6,
            "",
            ["`certificates` is missing", "expected a line"],
        ),
        (
            entry(host, "shop.pem", "shop.key"),
            6,
            "",
            ["`listen` is missing", "expected a line"],
        ),
        (
            good.replace("\"127.0.0.1:8443\"", ""),
            7,
            "listen",
            ["is empty", "0.0.0.0:8443"],
        ),
        (
            good.replace("127.0.0.1:8443", "8443"),
            7,
            "listen",
            ["found \"8443\"", "an IP address and a port"],
        ),
        (
            format!("{good}\nmin_version = \"1.1\""),
            9,
            "min_version",
            ["1.1", "`1.2` or `1.3`"],
        ),
        (
            format!("{good}\nhsts = \"for ever\""),
            9,
            "hsts",
            ["for ever", "180d"],
        ),
    ] {
        let text = GOOD.replacen(
            "\n[session]",
            &format!("\n[server.tls]\n{table}\n\n[session]"),
            1,
        );
        std::fs::write(files.path().join("gateway.toml"), &text).unwrap();
        let output = with_secrets(&["check"], files.path()).output().unwrap();
        let told = complained(&output);
        assert_eq!(output.status.code(), Some(78), "{table}: {told}");
        let key = if key.is_empty() {
            "server.tls".to_owned()
        } else {
            format!("server.tls.{key}")
        };
        assert!(
            told.starts_with(&format!("gateway.toml:{line}: {key}: ")),
            "{table}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "one mistake is told once: {told}");
        for part in parts {
            assert!(told.contains(part), "no {part:?} in: {told}");
        }
    }
    let text = GOOD
        .replacen(
            "\n[session]",
            &format!("\n[server.tls]\n{good}\nredirect_http = true\n\n[session]"),
            1,
        )
        .replacen("[server]\n", "[server]\npublic_scheme = \"http\"\n", 1);
    std::fs::write(files.path().join("gateway.toml"), &text).unwrap();
    let told = complained(&with_secrets(&["check"], files.path()).output().unwrap());
    assert!(
        told.contains("server.tls.redirect_http: found true beside server.public_scheme"),
        "{told}"
    );
}

#[test]
fn a_good_file_is_told_as_it_was_understood() {
    let told = assert_passes(GOOD);
    for part in [
        "no mistakes",
        "127.0.0.1:8080",
        "127.0.0.1:9090",
        "shop: wx1234567890abcdef, callback https://shop.example.com/.wxgate/callback",
        "shop.example.com/ → 127.0.0.1:3000: login with shop (snsapi_base)",
        "shop.example.com/pay/notify → 127.0.0.1:3000: open to everybody",
    ] {
        assert!(told.contains(part), "no {part:?} in: {told}");
    }
    assert!(!told.contains("5ec2e7"), "the secret is told");
}

#[test]
fn an_unknown_key_is_told_with_those_that_exist() {
    let listen = "listen = [\"127.0.0.1:8080\"]";
    assert_mistake(
        listen,
        "listne = [\"127.0.0.1:8080\"]",
        "server.listne",
        &["unknown field `listne`", "`listen`"],
    );
    assert_mistake(
        "account = \"shop\"",
        "acount = \"shop\"\naccount = \"shop\"",
        "routes[0].acount",
        &["unknown field `acount`", "`account`"],
    );
    assert_mistake(
        "app_id = ",
        "appid = \"x\"\napp_id = ",
        "accounts.shop.appid",
        &["unknown field `appid`", "`app_id`"],
    );
    assert_mistake(
        "[server]",
        "[sever]\n[server]",
        "sever",
        &["unknown field `sever`", "`server`"],
    );
}

#[test]
fn an_unknown_account_is_told_with_those_that_exist() {
    assert_mistake(
        "account = \"shop\"",
        "account = \"shp\"",
        "routes[0].account",
        &["found \"shp\"", "expected one of: shop"],
    );
}

#[test]
fn a_route_without_an_app_has_no_settings_of_one() {
    let right = "path = \"/pay/notify\"\nupstream = \"http://127.0.0.1:3000\"";
    for setting in [
        "session_cookie = \"strip\"",
        "headers = { \"x-app-mode\" = \"wechat\" }",
        "upstream_host = \"app.internal\"",
        "max_body = \"10MiB\"",
    ] {
        let name = setting.split(' ').next().unwrap();
        let wrong = format!("upstream = \"none\"\npath = \"/pay/notify\"\n{setting}");
        let parts = ["found \"none\" beside", name, "expected the app's address"];
        assert_mistake(right, &wrong, "routes[1].upstream", &parts);
    }
    let none = GOOD.replace("\"http://127.0.0.1:3000\"", "\"none\"");
    let output = checked(&none);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("→ none: "), "{told}");
    assert!(
        told.contains("warning  a route has upstream = \"none\""),
        "{told}"
    );
    let listen = "[server]\ntrusted_proxies = [\"127.0.0.1\"]";
    let told = printed(&checked(&none.replace("[server]", listen)));
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn a_callback_that_wechat_would_refuse_is_told() {
    let right = "callback_origin = \"https://shop.example.com\"";
    for (wrong, why) in [
        ("https://shop.example.com:8443", "no port"),
        ("https://203.0.113.7", "no IP address"),
        ("https://shop.example.com/callback", "without a path"),
        ("https://shop.example.com/", "without a path or a slash"),
        ("shop.example.com", "this is no URL"),
    ] {
        let line = format!("callback_origin = \"{wrong}\"");
        assert_mistake(
            right,
            &line,
            "accounts.shop.callback_origin",
            &[&format!("found \"{wrong}\""), "expected", why],
        );
    }
}

#[test]
fn a_callback_over_http_is_told_what_it_needs() {
    let output = checked(&GOOD.replace("https://shop.example.com", "http://shop.example.com"));
    assert_eq!(output.status.code(), Some(78));
    assert!(
        complained(&output).contains("gateway.toml:12: accounts.shop.callback_origin: "),
        "{}",
        complained(&output)
    );
    let sandbox = "callback_origin = \"http://shop.example.com:8080\"\nsandbox = true";
    let text = GOOD
        .replace("callback_origin = \"https://shop.example.com\"", sandbox)
        .replace("[server]", "[server]\npublic_scheme = \"http\"");
    assert!(assert_passes(&text).contains("http://shop.example.com:8080/.wxgate/callback"));
}

#[test]
fn an_api_without_tls_is_for_a_sandbox_alone() {
    let origin = "callback_origin = \"https://shop.example.com\"";
    let api = "api_base_url = \"http://127.0.0.1:9911\"";
    let text = GOOD.replace(origin, &format!("{origin}\n{api}"));
    let output = checked(&text);
    let told = complained(&output);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(
        told.contains("gateway.toml:13: accounts.shop.api_base_url: ")
            && told.contains("expected https, or sandbox = true"),
        "{told}"
    );
    assert_passes(&text.replace(api, &format!("{api}\nsandbox = true")));
}

#[test]
fn a_path_that_does_not_begin_with_a_slash_is_told() {
    for (wrong, why) in [
        ("pay", "a path begins with \"/\""),
        ("", "a path begins with \"/\""),
        ("*", "a path begins with \"/\""),
        ("/pay/*", "a prefix needs no star"),
        ("/a/../b", "without \".\", \"..\""),
        ("/.wxgate/x", "the gateway's own"),
    ] {
        assert_mistake(
            "path = \"/\"",
            &format!("path = \"{wrong}\""),
            "routes[0].path",
            &[&format!("found \"{wrong}\""), why],
        );
    }
}

#[test]
fn an_upstream_that_is_no_http_url_is_told() {
    for wrong in [
        "127.0.0.1:3000",
        "ftp://127.0.0.1",
        "http://127.0.0.1:3000/app",
        "http://",
    ] {
        assert_mistake(
            "upstream = \"http://127.0.0.1:3000\"",
            &format!("upstream = \"{wrong}\""),
            "routes[0].upstream",
            &[
                &format!("found \"{wrong}\""),
                "expected an http or https URL such as \"http://127.0.0.1:3000\"",
            ],
        );
    }
}

#[test]
fn a_secret_that_is_not_where_it_should_be_is_told_by_its_place() {
    let secret = "{ env = \"WXGATE_APP_SECRET\" }";
    let line = &format!("app_secret = {secret}");
    for (wrong, told) in [
        (
            "{ env = \"WXGATE_TEST_UNSET\" }",
            [
                "the environment variable WXGATE_TEST_UNSET is not set",
                "export it",
            ],
        ),
        (
            "{ file = \"nowhere/secret\" }",
            ["the file nowhere/secret cannot be read", "it must exist"],
        ),
    ] {
        assert_mistake(
            line,
            &line.replace(secret, wrong),
            "accounts.shop.app_secret",
            &told,
        );
    }
    let key = "keys = [{ env = \"WXGATE_SESSION_KEY\" }]";
    assert_mistake(
        key,
        "keys = [{ env = \"WXGATE_TEST_UNSET\" }]",
        "session.keys[0]",
        &["WXGATE_TEST_UNSET is not set"],
    );
    assert_mistake(
        key,
        "keys = [{ env = \"WXGATE_APP_SECRET\" }]",
        "session.keys[0]",
        &["64"],
    );
}

#[test]
fn a_secret_as_plain_text_is_refused_and_never_repeated() {
    let secret = "0123456789plainsecret";
    for (right, at) in [
        (
            "{ env = \"WXGATE_APP_SECRET\" }",
            "accounts.shop.app_secret",
        ),
        ("[{ env = \"WXGATE_SESSION_KEY\" }]", "session.keys"),
    ] {
        for wrong in [
            format!("\"{secret}\""),
            format!("[\"{secret}\"]"),
            format!("{{ text = \"{secret}\" }}"),
            format!("{{ env = 1, x = \"{secret}\" }}"),
        ] {
            let output = checked(&GOOD.replace(right, &wrong));
            let told = complained(&output);
            assert_eq!(output.status.code(), Some(78), "{wrong}: {told}");
            assert!(told.contains(at), "{wrong}: {told}");
            assert!(
                !told.contains(secret) && !printed(&output).contains(secret),
                "{told}"
            );
        }
    }
}

#[test]
fn an_assertion_that_could_not_be_made_is_told() {
    for (wrong, told) in [
        (
            "{ env = \"WXGATE_TEST_UNSET\" }",
            "WXGATE_TEST_UNSET is not set",
        ),
        (
            "{ file = \"nowhere/key\" }",
            "the file nowhere/key cannot be read",
        ),
        (
            "{ env = \"WXGATE_SESSION_KEY\" }",
            "no PKCS#8 private key of the curve P-256; make one with `wxgate keygen --assertion`",
        ),
        ("\"0123456789plainsecret\"", "never stands in this file"),
    ] {
        let keys = format!("assertion.keys = [{wrong}]\n[server]");
        assert_mistake("[server]", &keys, "assertion.keys[0]", &[told]);
    }
    let text = GOOD.replace(
        "[server]",
        "assertion.keys = \"0123456789plainsecret\"\n[server]",
    );
    let told = complained(&checked(&text));
    assert!(
        told.contains("assertion.keys: ") && !told.contains("plainsecret"),
        "{told}"
    );
    assert_mistake(
        "[server]",
        "assertion.key = []\n[server]",
        "assertion.key",
        &["unknown field `key`", "`keys`"],
    );
    assert_mistake(
        "account = \"shop\"",
        "assertion = \"yes\"\naccount = \"shop\"",
        "routes[0].assertion",
        &["found a text", "expected a boolean"],
    );
    assert_mistake(
        "auth = \"none\"",
        "assertion = true\nauth = \"none\"",
        "routes[1].assertion",
        &["auth = \"none\"", "expected auth = \"required\""],
    );
}

#[test]
fn who_signs_assertions_is_told_where_one_is_asked_for() {
    assert!(!assert_passes(GOOD).contains("proofs"));
    let asked = GOOD
        .replace("account = \"shop\"", "account = \"shop\"\nassertion = true")
        .replace("[server]", "[server]\nstate_dir = \"state\"");
    let told = assert_passes(&asked);
    assert!(
        told.contains("proofs   a key kept in state, made"),
        "{told}"
    );
    assert!(told.contains("(snsapi_base), with proof"), "{told}");
    let dir = file_of(&asked.replace(
        "[server]",
        "assertion.keys = [{ file = \"key\" }]\n[server]",
    ));
    let key = wxgate(&["keygen", "--assertion"], dir.path())
        .output()
        .unwrap();
    std::fs::write(dir.path().join("key"), key.stdout).unwrap();
    let output = with_secrets(&["check"], dir.path()).output().unwrap();
    assert!(
        printed(&output).contains("proofs   1 key(s) of assertion.keys"),
        "{}",
        complained(&output)
    );
}

#[test]
fn a_broken_file_is_told_without_repeating_it() {
    for wrong in [
        "app_secret = \"0123456789plainsecret",
        "app_secret = 0123456789plainsecret",
        "app_secret = { env = \"0123456789plainsecret\"",
    ] {
        let output = checked(&GOOD.replace("app_secret = { env = \"WXGATE_APP_SECRET\" }", wrong));
        let told = complained(&output);
        assert_eq!(output.status.code(), Some(78), "{told}");
        // The reader may look for the end of a table on the next line.
        assert!(
            told.starts_with("gateway.toml:11: this is not TOML: ")
                || told.starts_with("gateway.toml:12: this is not TOML: "),
            "{told}"
        );
        assert!(!told.contains("plainsecret"), "{told}");
    }
}

#[test]
fn an_address_that_is_none_is_told() {
    for wrong in ["9090", "localhost:9090", ":9090", "127.0.0.1"] {
        assert_mistake(
            "admin_listen = \"127.0.0.1:9090\"",
            &format!("admin_listen = \"{wrong}\""),
            "server.admin_listen",
            &[
                &format!("found \"{wrong}\""),
                "expected",
                "\"127.0.0.1:8080\"",
            ],
        );
        assert_mistake(
            "listen = [\"127.0.0.1:8080\"]",
            &format!("listen = [\"{wrong}\"]"),
            "server.listen",
            &[&format!("found \"{wrong}\""), "expected"],
        );
    }
}

#[test]
fn two_routes_alike_are_told() {
    let text = GOOD.replace("path = \"/pay/notify\"", "path = \"/\"");
    let told = complained(&checked(&text));
    assert!(
        told.contains("gateway.toml:21: routes[1].host: ") && told.contains("is route 0 already"),
        "{told}"
    );
}

#[test]
fn what_is_missing_is_told() {
    for (field, table) in [
        ("app_id", "accounts.shop"),
        ("app_secret", "accounts.shop"),
        ("callback_origin", "accounts.shop"),
        ("host", "routes[0]"),
        ("upstream", "routes[0]"),
    ] {
        let line = GOOD
            .lines()
            .find(|line| line.starts_with(&format!("{field} = ")))
            .unwrap();
        let output = checked(&GOOD.replacen(line, "", 1));
        let told = complained(&output);
        assert_eq!(output.status.code(), Some(78), "{field}: {told}");
        assert!(
            told.contains(&format!(": {table}: `{field}` is missing")),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "one mistake is told once: {told}");
    }
    let told = complained(&checked(&GOOD.replace("account = \"shop\"", "")));
    assert!(
        told.contains("expected account = \"NAME\"") && told.contains("or auth = \"none\""),
        "{told}"
    );
    let told = complained(&checked("[server]\n"));
    assert!(told.contains("expected at least one [[routes]]"), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["check"][..],
        &["check", "--config", "other.toml"],
        &["run"],
    ] {
        let output = with_secrets(arguments, dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        assert!(
            complained(&output).contains("cannot be read")
                && complained(&output).contains("--config"),
            "{}",
            complained(&output)
        );
    }
}

#[test]
fn several_mistakes_are_told_at_once_in_their_order() {
    let text = GOOD
        .replace(
            "admin_listen = \"127.0.0.1:9090\"",
            "admin_listen = \"9090\"",
        )
        .replace("WXGATE_SESSION_KEY", "WXGATE_TEST_UNSET")
        .replace("https://shop.example.com", "https://shop.example.com:8443")
        .replacen("path = \"/\"", "path = \"pay\"", 1)
        .replace("auth = \"none\"", "auth = \"never\"");
    let output = checked(&text);
    let told = complained(&output);
    assert_eq!(output.status.code(), Some(78));
    let places: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    let expected = [
        "server.admin_listen",
        "session.keys[0]",
        "accounts.shop.callback_origin",
        "routes[0].path",
        "routes[1].auth",
    ];
    assert_eq!(places, expected, "{told}");
}

// run

#[test]
fn a_broken_file_does_not_run() {
    let dir = file_of(&GOOD.replace("path = \"/\"", "path = \"pay\""));
    let output = with_secrets(&["run"], dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        complained(&output).contains("routes[0].path"),
        "{}",
        complained(&output)
    );
}

#[test]
fn an_address_in_use_is_a_message() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (setting, text) in [
        ("server.listen", GOOD.replace("127.0.0.1:8080", &address)),
        (
            "server.admin_listen",
            GOOD.replace("127.0.0.1:8080", "127.0.0.1:0")
                .replace("127.0.0.1:9090", &address),
        ),
    ] {
        let dir = file_of(&text);
        let output = with_secrets(&["run"], dir.path()).output().unwrap();
        let told = complained(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let wanted = format!(
            "wxgate: cannot listen on {address} (address in use); see {setting} in gateway.toml"
        );
        assert!(told.lines().any(|line| line == wanted), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn a_running_gateway_ends_on_sigterm() {
    let text = GOOD
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9090", "127.0.0.1:0");
    let dir = file_of(&text);
    let process = Process::spawn(&mut with_secrets(&["run"], dir.path()));
    process.listening_on();
    assert_eq!(process.terminate().code(), Some(0));
}

#[test]
fn who_asks_whether_it_is_ready_is_told_by_the_exit_code() {
    let admin = free_address().to_string();
    let text = GOOD
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9090", &admin);
    let ask = |dir: &Path, arguments: &[&str]| {
        let arguments = [&["ready"], arguments].concat();
        with_secrets(&arguments, dir).output().unwrap()
    };
    let dir = file_of(&text);
    let process = Process::spawn(&mut with_secrets(&["run"], dir.path()));
    process.listening_on();
    for arguments in [&[][..], &["--except", "store"]] {
        let output = ask(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
        assert_eq!(printed(&output), "ready\n");
    }
    assert_eq!(process.terminate().code(), Some(0));
    let output = ask(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complained(&output).contains(&format!("no gateway answers at {admin}")));

    // A store that does not answer is a no, and is named.
    let redis = format!("redis://{}", free_address());
    std::fs::write(dir.path().join("redis_url"), redis).unwrap();
    let down = format!("{text}\n[store]\nkind = {{ redis = {{ file = \"redis_url\" }} }}\n");
    std::fs::write(dir.path().join("gateway.toml"), down).unwrap();
    let process = Process::spawn(&mut with_secrets(&["run"], dir.path()));
    process.listening_on();
    let output = ask(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complained(&output).contains("wxgate: store: "),
        "{}",
        complained(&output)
    );
    assert_eq!(process.terminate().code(), Some(0));

    // Without the listener nobody can be asked.
    let silent = text.replace(&format!("admin_listen = \"{admin}\"\n"), "");
    assert_ne!(silent, text);
    std::fs::write(dir.path().join("gateway.toml"), silent).unwrap();
    let output = ask(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complained(&output).contains("server.admin_listen is not set"));
}

#[test]
fn a_key_that_no_file_gives_is_made_once_and_is_its_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let text = GOOD
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9090", "127.0.0.1:0")
        .replace("keys = [{ env = \"WXGATE_SESSION_KEY\" }]", "")
        .replace("[server]", "[server]\nstate_dir = \"state\"");
    let dir = file_of(&text);
    let file = dir.path().join("state/session.key");
    let mut keys = BTreeSet::new();
    for _ in 0..2 {
        let process = Process::spawn(&mut with_secrets(&["run"], dir.path()));
        process.listening_on();
        assert_eq!(process.terminate().code(), Some(0));
        keys.insert(std::fs::read_to_string(&file).unwrap());
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    assert_eq!(keys.len(), 1);
}

// The other commands.

#[test]
fn keygen_prints_a_new_key_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = BTreeSet::new();
    for _ in 0..3 {
        let output = wxgate(&["keygen"], dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let key = printed(&output);
        assert_eq!(
            STANDARD
                .decode(key.strip_suffix('\n').unwrap())
                .unwrap()
                .len(),
            64
        );
        assert!(keys.insert(key));
    }
}

#[test]
fn every_command_has_help() {
    let dir = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| {
        let output = wxgate(arguments, dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        printed(&output)
    };
    let all = help(&["--help"]);
    for (command, options) in [
        ("run", &["--config"][..]),
        ("check", &["--config"]),
        ("ready", &["--config", "--except"]),
        ("explain", &["--cookie", "--inside-wechat", "--json"]),
        ("keygen", &["--assertion"]),
        ("simulate", &["--listen", "--callback-host"]),
        ("demo", &["--listen"]),
    ] {
        assert!(all.contains(&format!("  {command} ")), "{all}");
        let told = help(&[command, "--help"]);
        assert!(told.contains(&format!("Usage: wxgate {command}")), "{told}");
        for option in options {
            assert!(told.contains(option), "{told}");
        }
    }
    assert!(help(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &[][..],
        &["nothing"],
        &["run", "--nothing"],
        &["check", "surplus"],
    ] {
        let output = wxgate(arguments, dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            complained(&output).contains("Usage: wxgate"),
            "{}",
            complained(&output)
        );
    }
    let output = wxgate(&["demo", "--listen", "nowhere"], dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        complained(&output).contains("'nowhere' for '--listen <ADDRESS>'"),
        "{}",
        complained(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_prints_an_address_where_the_shop_answers_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::spawn(&mut wxgate(
        &["demo", "--listen", "127.0.0.1:0"],
        dir.path(),
    ));
    let line = process.wait_for("The shop behind wxgate");
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let (addr, target) = split(url);
    let (page, _) = Browser::new(WECHAT).visit(addr, &target).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("老字号小店"), "{}", page.text());
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_alone_prints_its_address_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::spawn(&mut wxgate(
        &["simulate", "--listen", "127.0.0.1:0"],
        dir.path(),
    ));
    let line = process.wait_for("api_base_url");
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let (addr, _) = split(url);
    assert_eq!(
        Browser::new(WECHAT).open(addr, "/simulator/").await.status,
        200
    );
    assert_eq!(process.terminate().code(), Some(0));
}

// gateway.toml at the root of the repository.

const REFERENCE: &str = include_str!("../../gateway.toml");

/// The key of a setting that is off: `# key = value`.
fn key_that_is_off(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix("# ")?.split_once('=')?;
    let key = key.trim_end();
    (!key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    .then_some(key)
}

/// The line that names a table which is off as a whole.
const TLS_IS_OFF: &str = "# [server.tls]";

/// Those lines, each with the one that begins the next table, and with the keys that
/// the table cannot be without, which come with each of the others.
const OFF: [(&str, &str, &[&str]); 6] = [
    (TLS_IS_OFF, "[session]", &["listen", "certificates"]),
    (
        "# [accounts.staging]",
        "# [accounts.desk]",
        &["app_id", "via", "client", "client_key"],
    ),
    (
        "# [accounts.desk]",
        "# [accounts.corp]",
        &["kind", "app_id", "app_secret", "callback_origin"],
    ),
    (
        "# [accounts.corp]",
        "[[routes]]",
        &[
            "kind",
            "app_id",
            "app_secret",
            "callback_origin",
            "agent_id",
        ],
    ),
    // Its route with it.
    (
        "# [accounts.pay]",
        "# [facade]",
        &[
            "app_id",
            "app_secret",
            "callback_origin",
            "host",
            "path",
            "upstream",
            "account",
            "pay_account",
        ],
    ),
    // To the end of the file, its first app with it.
    (
        "# [facade]",
        "",
        &[
            "host",
            "name",
            "account",
            "app_id",
            "app_secret",
            "callback_origins",
        ],
    ),
];

fn switched_on(which: impl Fn(usize) -> bool) -> String {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    let is_key = |at: usize| key_that_is_off(lines[at]).is_some();
    let is_on = |(name, next, needed): &(&str, &str, &'static [&'static str])| {
        let begins = lines.iter().position(|line| line == name).unwrap();
        let rest = lines.iter().skip(begins);
        let table = begins
            ..begins
                + rest
                    .take_while(|line| next.is_empty() || *line != next)
                    .count();
        let on = table.clone().any(|at| is_key(at) && which(at));
        on.then_some((table, *needed))
    };
    let on: Vec<_> = OFF.iter().filter_map(is_on).collect();
    let needed = |at: usize| {
        on.iter().any(|(table, needed)| {
            let key = key_that_is_off(lines[at]);
            let key = key.is_some_and(|key| needed.contains(&key));
            let header = at == table.start || lines[at].starts_with("# [[");
            table.contains(&at) && (key || header)
        })
    };
    let text = (0..lines.len()).map(|at| match lines[at] {
        line if (is_key(at) && which(at)) || needed(at) => line.trim_start_matches("# "),
        line => line,
    });
    let dir = certificate().path().display();
    let mut text = text.collect::<Vec<_>>().join("\n");
    if text.contains("\ntls = {") {
        // It is for peers of https.
        text = text.replace("peers = [\"http:", "peers = [\"https:");
    }
    text.replace("\"/etc/wxgate/shop.", &format!("\"{dir}/shop."))
}

/// A directory with the certificate that the reference names.
fn certificate() -> &'static TempDir {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        Issued::for_hosts(&["shop.example.com"]).write(dir.path(), "shop");
        dir
    })
}

#[test]
fn the_reference_is_a_working_configuration() {
    assert_passes(REFERENCE);
}

#[test]
fn the_reference_needs_the_two_secrets_of_one_shop_and_no_other() {
    let dir = file_of(REFERENCE);
    let mut command = wxgate(&["check", "--config", "gateway.toml"], dir.path());
    let output = command
        .env("WXGATE_SESSION_KEY", generate_key().unwrap().expose())
        .env("WXGATE_APP_SECRET", "5ec2e7000000000000000000deadbeef")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    let told = printed(&output);
    assert!(told.contains("account  shop"), "{told}");
    // Each source of a secret is one account's, also among those that are off.
    let mut sources: Vec<&str> = REFERENCE
        .lines()
        .filter(|line| line.contains("app_secret = {"))
        .collect();
    assert!(sources.len() >= 5, "{sources:?}");
    let all = sources.len();
    sources.sort_by_key(|line| line.trim_start_matches("# "));
    sources.dedup_by_key(|line| line.trim_start_matches("# "));
    assert_eq!(sources.len(), all, "{sources:?}");
}

#[test]
fn every_setting_of_the_reference_can_be_switched_on() {
    let off: Vec<usize> = REFERENCE
        .lines()
        .enumerate()
        .filter(|(_, line)| key_that_is_off(line).is_some())
        .map(|(at, _)| at)
        .collect();
    assert!(off.len() > 10, "{off:?}");
    for at in off {
        assert_passes(&switched_on(|line| line == at));
    }
    assert_passes(&switched_on(|_| true));
}

/// The keys that a table takes, in the code's own words: those of its complaint
/// about one that does not exist.
fn keys_of(table: &str) -> Vec<String> {
    let text = format!("{table}\nno_such_key = 1\n");
    let told = complained(&checked(&text));
    let line = told
        .lines()
        .find(|line| line.contains("unknown field `no_such_key`"))
        .unwrap_or_else(|| panic!("{told}"));
    let (_, expected) = line.split_once("expected ").unwrap();
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_reference_names_every_setting_and_no_other() {
    let mut known = BTreeSet::new();
    let mut reference = REFERENCE.replace(TLS_IS_OFF, "[server.tls]");
    for off in ["# [facade]", "# [[facade.apps]]"] {
        reference = reference.replace(off, off.trim_start_matches("# "));
    }
    for table in [
        "[server]",
        "[server.tls]",
        "[session]",
        "[assertion]",
        "[limits]",
        "[store]",
        "[log]",
        "[telemetry]",
        "[accounts.shop]",
        "[[routes]]",
        "[routes.upstream]",
        "[facade]",
        "[[facade.apps]]",
    ] {
        let keys = match table {
            "[routes.upstream]" => keys_of("[[routes]]\n[routes.upstream]"),
            table => keys_of(table),
        };
        assert!(!keys.is_empty(), "{table}");
        let part = reference
            .split_once(&format!("\n{table}\n"))
            .unwrap_or_else(|| panic!("no {table}"))
            .1;
        // What one route cannot show, another does.
        let end = match table {
            "[[routes]]" => "\n[no",
            "[accounts.shop]" => "\n[[",
            _ => "\n[",
        };
        let part = part.split(end).next().unwrap();
        for key in &keys {
            let stands = part.lines().any(|line| {
                line.trim_start_matches("# ")
                    .starts_with(&format!("{key} = "))
            }) || reference.contains(&format!("\n[server.{key}]\n"))
                || reference.contains(&format!("\n[[facade.{key}]]\n"));
            assert!(stands, "{table} has no {key}");
        }
        known.extend(keys);
    }
    for table in ["health", "ejection", "tls"] {
        let keys = keys_of(&format!(
            "[[routes]]\n[routes.upstream]\n[routes.upstream.{table}]"
        ));
        let mut lines = REFERENCE.lines();
        let begins = format!("# {table} = {{ ");
        let line = lines.find(|line| line.starts_with(&begins)).unwrap();
        for key in keys {
            assert!(line.contains(&format!(" {key} = ")), "{table} has no {key}");
        }
    }
    for table in keys_of("") {
        assert!(
            reference.contains(&format!("\n[{table}"))
                || reference.contains(&format!("\n[[{table}")),
            "no table {table}"
        );
    }
    for key in REFERENCE.lines().filter_map(key_that_is_off) {
        assert!(
            known.contains(key),
            "the reference has {key}, which does not exist"
        );
    }
}

#[test]
fn a_lock_below_an_open_route_is_warned_of() {
    let text = GOOD.replacen(
        "[[routes]]",
        "[[routes]]\nhost = \"shop.example.com\"\npath = \"/open\"\nupstream = \"http://127.0.0.1:3000\"\nauth = \"none\"\n\n\
         [[routes]]\nhost = \"shop.example.com\"\npath = \"/open/secret\"\nupstream = \"http://127.0.0.1:3000\"\naccount = \"shop\"\n\n[[routes]]",
        1,
    );
    let output = checked(&text);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    assert!(
        told.contains("warning") && told.contains("/open/secret"),
        "{told}"
    );
    assert!(!String::from_utf8_lossy(&checked(GOOD).stdout).contains("warning"));
}

#[test]
fn a_route_tells_by_way_of_which_host_its_visitors_log_in() {
    let with = |host: &str, session: &str| {
        let route = format!(
            "[[routes]]\nhost = \"{host}\"\nupstream = \"http://127.0.0.1:3000\"\naccount = \"shop\"\n\n[[routes]]"
        );
        let text = GOOD.replacen("[[routes]]", &route, 1);
        let told = assert_passes(&text.replacen("[session]", &format!("[session]\n{session}"), 1));
        let way = told.contains("login with shop (snsapi_base) by way of shop.example.com");
        (way, told.contains("warning"), told)
    };
    let domain = "cookie_domain = \"example.com\"";
    for (host, session, way, warned) in [
        ("club.example.org", "", true, false),
        ("club.example.com", "", true, false),
        ("*.example.org", "", true, true),
        ("*.example.com", "", true, true),
        ("club.example.com", domain, false, false),
        ("*.example.com", domain, false, false),
        ("badexample.com", domain, true, false),
    ] {
        let (tells, warns, told) = with(host, session);
        assert_eq!((tells, warns), (way, warned), "{host} {session}: {told}");
    }
    let (_, _, told) = with("*.example.org", "");
    assert!(told.contains("any host below example.org"), "{told}");
}

#[test]
fn a_file_in_another_encoding_is_told_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = b"[server]\n# ".to_vec();
    bytes.extend_from_slice(&[0xc4, 0xe3, b'\n']);
    std::fs::write(dir.path().join("gateway.toml"), bytes).unwrap();
    let output = with_secrets(&["check"], dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let told = complained(&output);
    assert!(
        told.contains("gateway.toml:2") && told.contains("UTF-8"),
        "{told}"
    );
}

#[test]
fn settings_that_could_never_serve_are_told() {
    for (from, to, key) in [
        ("listen = [", "listen = []\n# [", "server.listen"),
        (
            "[session]",
            "[session]\ncookie_domain = \"other.example\"",
            "session.cookie_domain",
        ),
        (
            "[session]",
            "[session]\nidle_timeout = \"30d\"",
            "session.idle_timeout",
        ),
        (
            "path = \"/\"",
            "path = \"/\"\nupstream_host = \"a b/c\"",
            "routes[0].upstream_host",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let output = checked(&GOOD.replacen(from, to, 1));
        assert_eq!(output.status.code(), Some(78), "{to}");
        assert!(complained(&output).contains(key), "{}", complained(&output));
    }
}

#[test]
fn a_demo_at_every_address_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output = wxgate(&["demo", "--listen", "0.0.0.0:0"], dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complained(&output).contains("no address that a browser can open"));
}

#[test]
fn the_process_keeps_its_memory_to_itself_and_may_open_many_files() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    let dir = file_of(
        &GOOD
            .replace("127.0.0.1:8080", "127.0.0.1:0")
            .replace("127.0.0.1:9090", "127.0.0.1:0"),
    );
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Begun with few files, as login shells and services are.
    let program = with_secrets(&["run"], dir.path());
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -Sn 256; exec \"$0\" run"])
        .arg(program.get_program())
        .current_dir(dir.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let owner = std::fs::metadata(dir.path()).unwrap().uid();
    if owner == 0 {
        // Root reads everything; nobody may read a process that is private.
        command.uid(65_534).gid(65_534);
    }
    let process = Process::spawn(&mut command);
    process.wait_for("listening on");
    let place = format!("/proc/{}", process.id());
    // A process whose memory is private belongs to root in /proc.
    assert_eq!(
        std::fs::metadata(format!("{place}/environ")).unwrap().uid(),
        0
    );
    let limits = std::fs::read_to_string(format!("{place}/limits")).unwrap();
    let line = |name: &str| -> Vec<String> {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let rest = line.strip_prefix(name).unwrap();
        rest.split_whitespace().take(2).map(str::to_owned).collect()
    };
    assert_eq!(line("Max core file size"), ["0", "0"]);
    let files = line("Max open files");
    assert_eq!(files[0], files[1], "the soft limit is the hard one");
}
