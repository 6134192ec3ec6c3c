//! `wxgate explain` says what the gateway does: each request of a table is asked
//! of both, and they agree.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::App;
use crate::client::{Browser, DESKTOP, PAGE, Traveller, WECHAT, send};
use crate::issued::Issued;
use crate::process::{Process, free_address, wxgate};
use crate::world::{Extra, OPENID, SECRET, files, gateway_toml, install_crypto, simulator};

/// More routes, one for each way that is not in every world.
const TABLES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/asks"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
consent_page = true

[[routes]]
host = "127.0.0.1"
path = "/fragment"
upstream = "http://{app}"
account = "shop"
keep_fragment = true

[[routes]]
host = "127.0.0.1"
path = "/any"
upstream = "http://{app}"
account = "shop"
outside_wechat = "redirect"
max_body = "10B"
assertion = true

[[routes]]
host = "127.0.0.1"
path = "/none"
upstream = "none"
account = "shop"

[[routes]]
host = "a.test"
upstream = "http://{app}"
account = "shop"

[log]
format = "json"
"#;

/// `explain` with `arguments` behind the configuration in `dir`.
fn explain(dir: &Path, arguments: &[&str], input: &str) -> Output {
    let all = [&["explain", "--config", "gateway.toml"], arguments].concat();
    let mut child = wxgate(&all, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that reads none may have ended.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{complaint}");
    text
}

fn as_json(dir: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["--json"], arguments].concat();
    serde_json::from_str(&told(&explain(dir, &arguments, ""))).unwrap()
}

/// One request of the table.
struct Case {
    method: &'static str,
    target: String,
    host: Option<&'static str>,
    agent: &'static str,
    /// Besides `Accept`, which is a page's where none stands here.
    headers: Vec<(&'static str, String)>,
    cookies: String,
    /// What both must say.
    expected: (&'static str, &'static str),
}

fn case(method: &'static str, target: &str, expected: (&'static str, &'static str)) -> Case {
    Case {
        method,
        target: target.to_owned(),
        host: None,
        agent: WECHAT,
        headers: Vec::new(),
        cookies: String::new(),
        expected,
    }
}

impl Case {
    fn from(self, agent: &'static str) -> Self {
        Self { agent, ..self }
    }

    fn at(self, host: &'static str) -> Self {
        let host = Some(host);
        Self { host, ..self }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn carrying(self, cookies: &str) -> Self {
        let cookies = cookies.to_owned();
        Self { cookies, ..self }
    }

    fn host(&self, gateway: SocketAddr) -> String {
        self.host.map_or_else(|| gateway.to_string(), str::to_owned)
    }

    /// Its headers, as both get them.
    fn all_headers(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("User-Agent", self.agent.to_owned())];
        if !self.headers.iter().any(|(name, _)| *name == "Accept") {
            all.push(("Accept", PAGE.to_owned()));
        }
        all.extend(self.headers.iter().cloned());
        if !self.cookies.is_empty() {
            all.push(("Cookie", self.cookies.clone()));
        }
        all
    }

    fn bytes(&self, gateway: SocketAddr, id: usize) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method,
            self.target,
            self.host(gateway)
        );
        for (name, value) in self.all_headers() {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!(
            "X-Request-Id: case-{id}\r\nConnection: close\r\n\r\n"
        ));
        text.into_bytes()
    }

    fn explained(&self, dir: &Path, gateway: SocketAddr) -> Value {
        let url = format!("http://{}{}", self.host(gateway), self.target);
        let headers: Vec<String> = (self.all_headers().iter())
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let mut arguments = vec![self.method, url.as_str()];
        for header in &headers {
            arguments.extend(["--header", header]);
        }
        as_json(dir, &arguments)
    }
}

/// The lines of the access log, by the number of their case.
fn lines(log: &str) -> HashMap<usize, Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let numbered = lines.filter_map(|line| {
        let id = line["request_id"].as_str()?.strip_prefix("case-")?;
        Some((id.parse().ok()?, line))
    });
    numbered.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_is_what_the_gateway_does() {
    install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let dir = files.path();
    let config = dir.join("gateway.toml");
    let extra = Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        session: "keys = [{ file = \"key\" }]",
        tables: TABLES,
        ..Extra::default()
    };
    std::fs::write(&config, gateway_toml(gateway, app.addr, &simulator, &extra)).unwrap();
    let mut process = Process::gateway(&config);
    let mut browser = Browser::new(WECHAT);
    assert_eq!(browser.visit(gateway, "/x").await.0.status, 200);
    let session = browser.cookies("/x");
    let one = browser.cookie("wxgate_shop").unwrap();
    let twice = format!("{session}; wxgate_shop={}", one.value);
    let mut forged = session.clone().into_bytes();
    let end = forged.len() - 10;
    forged[end] = if forged[end] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    // A login on its way: the code is there, and the browser that began it.
    let mut going = Browser::new(WECHAT);
    let answer = going.open(gateway, "/y").await;
    let answer = going.open_url(answer.location()).await;
    let (_, callback) = crate::client::split(answer.location());
    // One that begins at another host than the callback's, and where it leads to.
    let mut elsewhere = Traveller::new(gateway);
    let (_, trail) = elsewhere
        .until("http://a.test/x", |url| url.contains("?t="))
        .await;
    let target = |url: &String| crate::client::parts(url).1;
    let (ask, ticket) = (target(&trail[0]), target(trail.last().unwrap()));
    let ((refused, login), endpoint) = (("refused", "login"), "endpoint");
    let cases = vec![
        case("GET", "/x", (login, "no_session")),
        case("GET", "/x", (refused, "no_session")).from(DESKTOP),
        case("GET", "/any/x", (login, "no_session")).from(DESKTOP),
        case("GET", "/x", (refused, "no_session")).with("Accept", "application/json"),
        case("POST", "/x", (refused, "no_session")).with("Sec-Fetch-Mode", "navigate"),
        case("GET", "/x", ("vouched", "session")).carrying(&session),
        case("GET", "/any/x", ("vouched", "session")).carrying(&session),
        case("GET", "/x", (login, "session_cookie_repeated")).carrying(&twice),
        case("GET", "/x", (login, "session_forged")).carrying(&forged),
        case("GET", "/member", (login, "session_has_too_little")).carrying(&session),
        case("GET", "/asks", (login, "consent_page")),
        case("GET", "/fragment/x", (login, "keep_fragment")),
        case("GET", "/welcome", ("anonymous", "no_session")),
        case("GET", "/welcome", ("vouched", "session")).carrying(&session),
        case("POST", "/pay/notify", ("public", "auth_none")),
        case("GET", "/none/x", (login, "no_session")),
        case("GET", "/none/x", (refused, "no_upstream")).carrying(&session),
        case(
            "GET",
            "/pay/notify/%2e%2e/%2e%2e/x",
            (refused, "ambiguous_path"),
        ),
        case(
            "GET",
            "/pay/notify/..%5c..%5cx",
            (refused, "ambiguous_path"),
        ),
        case("GET", "/", (refused, "no_route")).at("other.example"),
        case("DELETE", "/events", (refused, "method")).carrying(&session),
        case("POST", "/any", (refused, "body_too_large"))
            .with("Content-Length", "11")
            .carrying(&session),
        case("GET", "/x", (refused, "foreign_origin"))
            .with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Origin", "https://evil.example")
            .carrying(&session),
        case("TRACE", "/x", (refused, "bad_method")),
        case("POST", "/x", (refused, "bad_framing")).with("Content-Length", "0, 0"),
        case("GET", "/x", (refused, "bad_host")).at("a..b"),
        case(
            "GET",
            &format!("/{}", "a".repeat(17_000)),
            (refused, "target_too_long"),
        ),
        case(
            "GET",
            "/MP_verify_AbCdEfGhIjKlMnOp.txt",
            ("verify_file", "verify_file"),
        ),
        case("GET", "/.wxgate/me", (endpoint, "no_session")),
        case("GET", "/.wxgate/me", (endpoint, endpoint)).carrying(&session),
        case("GET", "/.wxgate/openid", (endpoint, endpoint)).carrying(&session),
        case("POST", "/.wxgate/me", (refused, "method")),
        case("GET", "/.wxgate/nothing", (refused, "not_found")),
        case("GET", "/.wxgate/jwks.json", (endpoint, endpoint)),
        case("GET", "/.wxgate/logout", (endpoint, "confirm_logout")),
        case("POST", "/.wxgate/logout", (endpoint, "bad_request")).carrying(&session),
        case("GET", "/.wxgate/return?to=/x", (endpoint, endpoint)),
        case(
            "GET",
            "/.wxgate/return?to=//evil.example",
            (refused, "bad_return_to"),
        ),
        case("GET", "/.wxgate/login?to=/x", (login, "login_endpoint")),
        case("GET", "/.wxgate/login?to=/x", (endpoint, endpoint)).carrying(&session),
        case("GET", "/.wxgate/login?to=/x", (refused, "outside_wechat")).from(DESKTOP),
        case(
            "GET",
            "/.wxgate/callback?code=c&state=00112233445566778899aabbccddeeff0",
            ("callback", "login_cookie_missing"),
        ),
        case(
            "GET",
            "/.wxgate/callback?code=c&state=00112233445566778899aabbccddeeff0",
            ("callback", "already_logged_in"),
        )
        .carrying(&session),
        case("GET", &callback, ("callback", "logged_in")).carrying(&going.cookies(&callback)),
        // By way of the callback's host.
        case("GET", "/x", (login, "no_session")).at("a.test"),
        case("GET", &ask, (login, "sign_on")),
        case("GET", &ask, (endpoint, "ticket_given")).carrying(&session),
        case("GET", &ask, (refused, "outside_wechat")).from(DESKTOP),
        case("GET", &ask, (refused, "ask_of_another_place")).at("a.test"),
        case("GET", "/.wxgate/sign-on?ask=x", (refused, "ask_forged")),
        case("GET", &ticket, ("callback", "ticket_without_login")).at("a.test"),
        case("GET", &ticket, ("callback", "sign_on_failed")),
    ];
    let told: Vec<Value> = cases
        .iter()
        .map(|case| case.explained(dir, gateway))
        .collect();
    for (id, case) in cases.iter().enumerate() {
        let answer = send(gateway, case.bytes(gateway, id)).await;
        let status = told[id]["answer"]["status"].as_u64();
        if let Some(status) = status {
            assert_eq!(
                u64::from(answer.status),
                status,
                "{} {}: {}",
                case.method,
                case.target,
                told[id]
            );
        } else {
            assert!(
                answer.status == 200 || case.target == callback,
                "{answer:?}"
            );
        }
    }
    let began = Instant::now();
    while lines(&process.written()).len() < cases.len() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{}",
            process.written()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let logged = lines(&process.written());
    for (id, case) in cases.iter().enumerate() {
        let (told, logged, name) = (
            &told[id],
            &logged[&id],
            format!("{} {}", case.method, case.target),
        );
        assert_eq!(
            (&told["way"], &told["reason"]),
            (&logged["way"], &logged["reason"]),
            "{name}"
        );
        assert_eq!(
            (told["way"].as_str(), told["reason"].as_str()),
            (Some(case.expected.0), Some(case.expected.1)),
            "{name}"
        );
        assert_ne!(told["why"], told["reason"], "{name} has no sentence");
    }
    process.kill();
    a_proxys_question_is_explained(dir, gateway, &session);
    a_session_is_shown(dir, gateway, &app, &session);
    a_login_is_shown(dir, gateway, &simulator.base_url());
    nothing_secret_is_shown(dir, gateway, &session, &callback, &going.cookies(&callback));
}

/// What a proxy would be answered, without who the visitor is.
fn a_proxys_question_is_explained(dir: &Path, gateway: SocketAddr, session: &str) {
    let cookie = format!("Cookie: {session}");
    let url = format!("http://{gateway}/.wxgate/auth/none/x");
    let asked = |more: &[&str]| as_json(dir, &[&["GET", &url, "--header", &cookie], more].concat());
    let told = asked(&["--from", "127.0.0.1"]);
    assert_eq!(
        (&told["way"], &told["reason"]),
        (&"vouched".into(), &"session".into())
    );
    assert_eq!(told["answer"]["status"], 200, "{told}");
    assert!(!told.to_string().contains(OPENID), "{told}");
    let told = asked(&[]);
    assert_eq!(told["reason"], "auth_untrusted", "{told}");
    assert_eq!(told["answer"]["status"], 403, "{told}");
}

fn a_session_is_shown(dir: &Path, gateway: SocketAddr, app: &App, session: &str) {
    let url = format!("http://{gateway}/x");
    let shown = as_json(dir, &["GET", &url, "--inside-wechat", "--cookie", session]);
    let found = &shown["sessions"][0];
    assert_eq!(found["account"], "shop");
    assert_eq!(found["counts"], true);
    assert_eq!(found["holds_for"], "127.0.0.1");
    assert_eq!(found["scope"], "snsapi_base");
    assert!(
        found["openid"].as_str().unwrap().starts_with("oTes… (28"),
        "{found}"
    );
    assert!(
        shown["notes"][0]
            .as_str()
            .unwrap()
            .contains("was not looked at"),
        "{shown}"
    );
    // The app was sent these very headers.
    let seen = app.seen();
    let seen = seen
        .iter()
        .find(|seen| seen.line().starts_with("GET /x ") && seen.value("x-wechat-openid").is_some());
    let seen = seen.unwrap();
    let headers = shown["app"]["headers"].as_array().unwrap();
    for name in [
        "x-wechat-openid",
        "x-wechat-appid",
        "x-wechat-scope",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ] {
        let told = headers.iter().find(|header| header["name"] == name);
        assert!(
            told.is_some() && seen.value(name).is_some(),
            "{name}: {shown}"
        );
    }
    assert_eq!(shown["route"]["index"], 0);
    let text = told(&explain(
        dir,
        &[
            "GET",
            &url,
            "--inside-wechat",
            "--cookie",
            "-",
            "--show-openid",
        ],
        session,
    ));
    assert!(text.contains(OPENID), "{text}");
    assert!(text.contains("decision  vouched (session)"), "{text}");
    // A key that is not there any more.
    std::fs::copy(dir.join("key"), dir.join("key.old")).unwrap();
    std::fs::write(
        dir.join("key"),
        wxgate::signing::generate_key().unwrap().expose(),
    )
    .unwrap();
    let text = told(&explain(
        dir,
        &["GET", &url, "--inside-wechat", "--cookie", session],
        "",
    ));
    assert!(
        text.contains("signed by a key that is not in session.keys"),
        "{text}"
    );
    std::fs::rename(dir.join("key.old"), dir.join("key")).unwrap();
}

fn a_login_is_shown(dir: &Path, gateway: SocketAddr, wechat: &str) {
    let url = format!("http://{gateway}/member?x=1");
    let text = told(&explain(dir, &["GET", &url, "--inside-wechat"], ""));
    for part in [
        "route     3 127.0.0.1/member → ",
        "decision  login (no_session)",
        &format!("answer    302 Found, to {wechat}/connect/oauth2/authorize\n"),
        &format!("redirect_uri = http://{gateway}/.wxgate/callback\n"),
        "scope = snsapi_userinfo\n",
        "sets the cookie wxgate-login-",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let text = told(&explain(
        dir,
        &[
            "GET",
            &format!("http://{gateway}/pay/notify/%2e%2e/%2e%2e/x"),
        ],
        "",
    ));
    assert!(text.contains("reading   /x: 0 127.0.0.1/ → "), "{text}");
    let text = told(&explain(dir, &["GET", &url], ""));
    assert!(
        text.contains("403 Forbidden, the page outside_wechat (Please open in WeChat)"),
        "{text}"
    );
}

fn nothing_secret_is_shown(
    dir: &Path,
    gateway: SocketAddr,
    session: &str,
    callback: &str,
    login: &str,
) {
    let key = std::fs::read_to_string(dir.join("key")).unwrap();
    let token = session.rsplit('=').next().unwrap();
    let code = callback
        .split("code=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let proof = format!("http://{gateway}/any/x");
    let back = format!("http://{gateway}{callback}");
    for arguments in [
        vec!["GET", &proof, "--cookie", session],
        vec!["GET", &proof, "--cookie", session, "--json"],
        vec!["GET", &back, "--cookie", login],
        vec!["GET", &back, "--cookie", login, "--json"],
    ] {
        let text = told(&explain(dir, &arguments, ""));
        for secret in [SECRET, key.as_str(), token, code, OPENID, "eyJ"] {
            assert!(!text.contains(secret), "{secret} stands in:\n{text}");
        }
    }
}

#[test]
fn nothing_is_made_and_mistakes_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Issued::for_hosts(&["shop.example.com"]);
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    std::fs::write(dir.path().join("cert.pem"), &pair.cert).unwrap();
    std::fs::write(dir.path().join("cert.key"), &pair.key).unwrap();
    let text = r#"
[server]
state_dir = "state"
[server.tls]
listen = ["127.0.0.1:8443"]
certificates = [{ hosts = ["shop.example.com"], cert = "cert.pem", key = "cert.key" }]
redirect_http = true
[accounts.shop]
app_id = "wx1234567890abcdef"
app_secret = { file = "secret" }
callback_origin = "https://shop.example.com"
[[routes]]
host = "shop.example.com"
upstream = "http://127.0.0.1:3000"
account = "shop"
assertion = true
"#;
    std::fs::write(dir.path().join("gateway.toml"), text).unwrap();
    let shown = as_json(
        dir.path(),
        &["GET", "http://shop.example.com/x?y=1", "--inside-wechat"],
    );
    assert_eq!(
        (&shown["way"], &shown["reason"]),
        (&"refused".into(), &"plain_http".into())
    );
    assert_eq!(shown["answer"]["status"], 308);
    assert_eq!(shown["answer"]["to"], "https://shop.example.com/x");
    let shown = as_json(
        dir.path(),
        &[
            "GET",
            "https://shop.example.com/x",
            "--inside-wechat",
            "--cookie",
            "a=b",
        ],
    );
    assert_eq!(shown["reason"], "no_session");
    assert_eq!(
        shown["answer"]["wechat"]["redirect_uri"],
        "https://shop.example.com/.wxgate/callback"
    );
    assert!(
        shown["notes"][0]
            .as_str()
            .unwrap()
            .contains("there is no key"),
        "{shown}"
    );
    assert!(!dir.path().join("state").exists(), "a key was made");
    for arguments in [
        &["GET"][..],
        &["GET", "/cart"],
        &["GET", "ftp://shop.example.com/"],
        &["G T", "https://shop.example.com/"],
        &["GET", "https://shop.example.com/a b"],
        &["GET", "https://shop.example.com/", "--header", "none"],
        &["GET", "https://shop.example.com/", "--from", "nowhere"],
        &[
            "GET",
            "https://shop.example.com/",
            "--user-agent",
            "x",
            "--inside-wechat",
        ],
    ] {
        assert_eq!(
            explain(dir.path(), arguments, "").status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    std::fs::write(
        dir.path().join("gateway.toml"),
        text.replace("upstream", "upstrem"),
    )
    .unwrap();
    let broken = explain(dir.path(), &["GET", "https://shop.example.com/"], "");
    assert_eq!(broken.status.code(), Some(78));
}
