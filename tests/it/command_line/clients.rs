//! Several gateways on one account: what `check` understands of clients and of
//! accounts by way of another gateway, and the mistakes it finds.

use wxgate::signing::generate_key;

use super::{GOOD, assert_passes, checked, complained, file_of, printed, with_secrets};
use crate::process::{Process, free_address};

/// The good file's account, by way of another gateway.
const VIA: &str = r#"via = "https://www.example.com"
client = "dev"
client_key = { env = "WXGATE_CLIENT_KEY" }
"#;

const SECRET_LINES: &str = "app_secret = { env = \"WXGATE_APP_SECRET\" }\ncallback_origin = \"https://shop.example.com\"\n";

/// The good file by way of another gateway, with `from` replaced by `to`; what is
/// told of it.
fn told_via(from: &str, to: &str) -> String {
    let text = GOOD.replace(SECRET_LINES, VIA);
    assert!(text.contains(from), "{from}");
    let output = checked(&text.replace(from, to));
    assert_eq!(output.status.code(), Some(78), "{to}: {}", printed(&output));
    complained(&output)
}

#[test]
fn an_account_by_way_of_another_gateway_is_told_as_it_was_understood() {
    let told = assert_passes(&GOOD.replace(SECRET_LINES, VIA));
    for line in [
        "account  shop: wx1234567890abcdef, by way of https://www.example.com as its client dev\n",
        "login with shop (snsapi_base) by way of www.example.com\n",
    ] {
        assert!(told.contains(line), "{line} in:\n{told}");
    }
    // Its own host there is another's cookies.
    let text = GOOD
        .replace(SECRET_LINES, VIA)
        .replace("shop.example.com", "www.example.com");
    let told = assert_passes(&text);
    assert!(
        told.contains("warning  \"www.example.com\" is the host of accounts.shop.via too")
            && told.contains("session.cookie_name"),
        "{told}"
    );
    // That of who pays likewise.
    let pays = format!(
        "[accounts.pay]\napp_id = \"wxfedcba0987654321\"\n{}\n[[routes]]",
        VIA.replace("www.example.com", "shop.example.com")
    );
    let text = GOOD.replacen("[[routes]]", &pays, 1).replacen(
        "account = \"shop\"\n",
        "account = \"shop\"\npay_account = \"pay\"\n",
        1,
    );
    let told = assert_passes(&text);
    assert!(
        told.contains("warning  \"shop.example.com\" is the host of accounts.pay.via too"),
        "{told}"
    );
}

#[test]
fn what_is_the_other_gateways_is_no_setting_beside_via() {
    for (key, line) in [
        ("app_secret", "app_secret = { env = \"WXGATE_APP_SECRET\" }"),
        (
            "callback_origin",
            "callback_origin = \"https://shop.example.com\"",
        ),
        (
            "open_base_url",
            "open_base_url = \"https://open.weixin.qq.com\"",
        ),
        (
            "api_base_url",
            "api_base_url = \"https://api.weixin.qq.com\"",
        ),
        (
            "api_fallback_url",
            "api_fallback_url = \"https://api2.weixin.qq.com\"",
        ),
        ("verify_files", "verify_files = []"),
        ("outsiders", "outsiders = true"),
        ("lang", "lang = \"en\""),
        ("force_popup", "force_popup = false"),
        ("force_snapshot", "force_snapshot = true"),
        ("connect_redirect", "connect_redirect = true"),
        ("clients", "clients = []"),
    ] {
        let told = told_via("client = \"dev\"", &format!("client = \"dev\"\n{line}"));
        let place = format!("gateway.toml:13: accounts.shop.{key}: found beside via");
        assert!(told.starts_with(&place), "{place}: {told}");
        assert!(
            told.contains(&format!("expected no {key} here, or no via")),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    for (key, line) in [
        (
            "profile_ttl",
            "scope = \"snsapi_userinfo\"\nprofile_ttl = \"1h\"",
        ),
        ("verify_every", "verify_every = \"1h\""),
        ("access_token", "access_token = true"),
    ] {
        let told = told_via("account = \"shop\"", &format!("account = \"shop\"\n{line}"));
        assert!(
            told.contains(&format!(
                ": routes[0].{key}: found with the account \"shop\""
            )) && told.contains("where their tokens stay"),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn an_account_by_way_of_another_gateway_needs_all_of_it() {
    for (key, line) in [
        ("client", "client = \"dev\"\n"),
        (
            "client_key",
            "client_key = { env = \"WXGATE_CLIENT_KEY\" }\n",
        ),
    ] {
        let told = told_via(line, "");
        assert!(
            told.contains(&format!(
                "accounts.shop.via: found without `{key}`; expected a line `{key} = …`"
            )),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
        let told = complained(&checked(&GOOD.replace(
            "[[routes]]\nhost = \"shop.example.com\"\npath = \"/\"",
            &format!("{line}[[routes]]\nhost = \"shop.example.com\"\npath = \"/\""),
        )));
        assert!(
            told.contains(&format!(
                "accounts.shop.{key}: found without via; expected via = "
            )),
            "{told}"
        );
    }
    for (wrong, why) in [
        ("http://www.example.com", "takes http from"),
        ("https://www.example.com:8443", "takes a port"),
        ("https://192.0.2.1", "takes an IP address"),
        ("https://www.example.com/", "without a path"),
        ("www.example.com", "no URL"),
    ] {
        let told = told_via("https://www.example.com", wrong);
        assert!(
            told.contains("accounts.shop.via: ") && told.contains(why),
            "{told}"
        );
    }
    let sandbox = GOOD
        .replace(SECRET_LINES, VIA)
        .replace("https://www.example.com", "http://127.0.0.1:8080")
        .replace("client = ", "sandbox = true\nclient = ");
    assert_passes(&sandbox);
    for (wrong, why) in [
        ("client = \"a b\"", "1 to 32 letters"),
        ("client = \"\"", "1 to 32 letters"),
    ] {
        let told = told_via("client = \"dev\"", wrong);
        assert!(
            told.contains("accounts.shop.client: ") && told.contains(why),
            "{told}"
        );
    }
    for (wrong, why) in [
        (
            "{ env = \"WXGATE_TEST_UNSET\" }",
            "WXGATE_TEST_UNSET is not set",
        ),
        ("{ env = \"WXGATE_APP_SECRET\" }", "64"),
        (
            "{ env = \"WXGATE_SESSION_KEY\" }",
            "is a key of session.keys; expected a key that is used for nothing else",
        ),
        ("\"0123456789plainsecret\"", "never stands in this file"),
    ] {
        let told = told_via("{ env = \"WXGATE_CLIENT_KEY\" }", wrong);
        assert!(
            told.contains("accounts.shop.client_key: ")
                && told.contains(why)
                && !told.contains("plainsecret"),
            "{told}"
        );
    }
}

/// The good file with clients of its account, each a name, origins and a key.
fn with_clients(clients: &[(&str, &str, &str)]) -> String {
    let tables = clients.iter().map(|(name, origins, key)| {
        format!(
            "[[accounts.shop.clients]]\nname = \"{name}\"\norigins = {origins}\nkey = {key}\n\n"
        )
    });
    let text: String = tables.collect();
    GOOD.replacen("[[routes]]", &format!("{text}[[routes]]"), 1)
}

const DEV_KEY: &str = "{ env = \"WXGATE_DEV_KEY\" }";

#[test]
fn clients_are_told_as_they_were_understood() {
    let told = assert_passes(&with_clients(&[
        (
            "dev",
            "[\"http://localhost:3000\", \"https://Dev.example.com:443\"]",
            DEV_KEY,
        ),
        (
            "test",
            "[\"http://[::1]:80\", \"http://192.168.1.7:3000\"]",
            "{ env = \"WXGATE_CLIENT_KEY\" }",
        ),
    ]));
    for line in [
        "client   dev of shop: visitors of http://localhost:3000, https://dev.example.com\n",
        "client   test of shop: visitors of http://[::1], http://192.168.1.7:3000\n",
    ] {
        assert!(told.contains(line), "{line} in:\n{told}");
    }
}

#[test]
fn a_client_that_cannot_be_one_is_told_with_what_would_be_right() {
    let good = "[\"http://localhost:3000\"]";
    let other = "{ env = \"WXGATE_CLIENT_KEY\" }";
    for (clients, key, why) in [
        (
            vec![("dev", "[]", DEV_KEY)],
            "clients[0].origins",
            "expected at least one origin",
        ),
        (
            vec![("dev", "[\"https://*.example.com\"]", DEV_KEY)],
            "clients[0].origins",
            "one by one and without a path: this is no host",
        ),
        (
            vec![("dev", "[\"localhost:3000\"]", DEV_KEY)],
            "clients[0].origins",
            "the scheme must be http or https",
        ),
        (
            vec![("dev", "[\"dev.example.com\"]", DEV_KEY)],
            "clients[0].origins",
            "this is no URL",
        ),
        (
            vec![("dev", "[\"https://dev.example.com/x\"]", DEV_KEY)],
            "clients[0].origins",
            "without a path or a slash",
        ),
        (
            vec![("dev", "[\"https://u@dev.example.com\"]", DEV_KEY)],
            "clients[0].origins",
            "no query, fragment or user name",
        ),
        (
            vec![("d e v", good, DEV_KEY)],
            "clients[0].name",
            "1 to 32 letters",
        ),
        (
            vec![(
                "dev",
                "[\"http://localhost:80\", \"http://localhost\"]",
                DEV_KEY,
            )],
            "clients[0].origins[1]",
            "stands here twice",
        ),
        (
            vec![
                ("dev", good, DEV_KEY),
                ("dev", "[\"http://localhost:1\"]", other),
            ],
            "clients[1].name",
            "which another client of this account is called",
        ),
        (
            vec![("dev", good, DEV_KEY), ("test", good, other)],
            "clients[1].origins[0]",
            "which the client \"dev\" has",
        ),
        (
            vec![
                ("dev", good, DEV_KEY),
                ("test", "[\"http://localhost:1\"]", DEV_KEY),
            ],
            "clients[1].key",
            "is the same key as accounts.shop.clients[0].key; expected a key that is used for nothing else",
        ),
        (
            vec![("dev", good, "{ env = \"WXGATE_SESSION_KEY\" }")],
            "clients[0].key",
            "is a key of session.keys",
        ),
        (
            vec![("dev", good, "{ env = \"WXGATE_APP_SECRET\" }")],
            "clients[0].key",
            "wxgate keygen",
        ),
        (
            vec![("dev", good, "{ env = \"WXGATE_TEST_UNSET\" }")],
            "clients[0].key",
            "is not set",
        ),
        (
            vec![("dev", good, "\"0123456789plainsecret\"")],
            "clients[0].key",
            "never stands in this file",
        ),
    ] {
        let output = checked(&with_clients(&clients));
        let told = complained(&output);
        assert_eq!(output.status.code(), Some(78), "{clients:?}: {told}");
        assert!(
            told.contains(&format!(": accounts.shop.{key}: ")) && told.contains(why),
            "{clients:?}: {told}"
        );
        assert!(!told.contains("plainsecret"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let text = with_clients(&[("dev", good, DEV_KEY)]);
    for field in ["name", "origins", "key"] {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{field} = ")))
            .unwrap();
        let told = complained(&checked(&text.replacen(line, "", 1)));
        assert!(
            told.contains(&format!("accounts.shop.clients[0]: `{field}` is missing")),
            "{told}"
        );
    }
    let told = complained(&checked(
        &text.replace("name = \"dev\"", "name = \"dev\"\nwildcard = true"),
    ));
    assert!(
        told.contains("accounts.shop.clients[0].wildcard: unknown field"),
        "{told}"
    );
}

#[test]
fn a_key_that_is_kept_for_sessions_is_no_clients() {
    let dir = file_of(
        &with_clients(&[(
            "dev",
            "[\"http://localhost:3000\"]",
            "{ file = \"state/session.key\" }",
        )])
        .replace("keys = [{ env = \"WXGATE_SESSION_KEY\" }]", "")
        .replace("[server]", "[server]\nstate_dir = \"state\"")
        .replace("127.0.0.1:8080", &free_address().to_string())
        .replace("127.0.0.1:9090", &free_address().to_string()),
    );
    std::fs::create_dir(dir.path().join("state")).unwrap();
    std::fs::write(
        dir.path().join("state/session.key"),
        generate_key().unwrap().expose(),
    )
    .unwrap();
    let mut process = Process::spawn(&mut with_secrets(&["run"], dir.path()));
    process.wait_for(
        "accounts.shop.clients (dev).key is the session key that is kept in the state directory",
    );
    assert!(!process.wait().success());
}
