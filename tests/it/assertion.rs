//! Upstream proof: an app that verifies `X-WeChat-Assertion` against the
//! published keys knows who the visitor is, whoever else can reach it.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;
use wxgate::config::Plan;
use wxgate::identity::assertion::generate_key;
use wxgate::server;
use wxgate::simulator::{Settings, SimAccount, Simulator};

use crate::app::{App, Seen};
use crate::client::{Browser, WECHAT, send, split};
use crate::process::{Process, free_address};
use crate::world::{Extra, OPENID, World, files, gateway_toml, install_crypto, simulator};

const ASSERTION: &str = "X-WeChat-Assertion";
const KEYS: &str = "/.wxgate/jwks.json";

/// A world whose root asks for the proof.
async fn world(route: &str, tables: &str) -> World {
    World::with(Extra {
        route: &format!("assertion = true\n{route}"),
        tables,
        ..Extra::default()
    })
    .await
}

async fn keys(gateway: std::net::SocketAddr) -> Vec<Value> {
    let answer = Browser::new("an app").open(gateway, KEYS).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["keys"].as_array().unwrap().clone()
}

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn part(token: &str, at: usize) -> Value {
    serde_json::from_slice(&decoded(token.split('.').nth(at).unwrap())).unwrap()
}

/// The claims of `token`, as an app gets them: by the key that it names, from
/// that key's two coordinates alone. `None` where an app must refuse it.
fn verified(token: &str, keys: &[Value]) -> Option<Value> {
    let head = part(token, 0);
    assert_eq!(
        (&head["alg"], &head["typ"]),
        (&"ES256".into(), &"JWT".into())
    );
    let key = keys.iter().find(|key| key["kid"] == head["kid"])?;
    let coordinate = |name: &str| decoded(key[name].as_str().unwrap());
    let point = [&[4][..], &coordinate("x"), &coordinate("y")].concat();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &decoded(signature))
        .ok()?;
    Some(part(token, 1))
}

fn assertion(seen: &Seen) -> String {
    seen.value(ASSERTION).expect("no assertion came")
}

/// Logs in at `/member`, which asks for more, and agrees to it.
async fn agree(world: &World, browser: &mut Browser) {
    let answer = browser.open(world.gateway, "/member").await;
    let (_, query) = answer.location().split_once('?').unwrap();
    let (addr, target) = split(&format!(
        "{}/simulator/choose/authorize/{OPENID}?{query}",
        world.simulator.base_url()
    ));
    let (answer, _) = browser.visit(addr, &target).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = world.app.last();
    assert!(seen.line().contains("/member"), "{}", seen.line());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_for_nothing_is_signed_or_published() {
    let world = World::new().await;
    let mut browser = world.visitor().await;
    assert_eq!(world.app.last().value(ASSERTION), None);
    assert_eq!(browser.open(world.gateway, KEYS).await.status, 404);
    assert!(!world.dir().join("state/assertion.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_verifies_and_says_what_the_headers_say() {
    let world = world("", "").await;
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let before = now();
    let mut browser = world.visitor().await;
    let seen = world.app.last();
    let claims = verified(&assertion(&seen), &keys(world.gateway).await).unwrap();
    assert_eq!(claims["iss"], format!("http://{}", world.gateway));
    assert_eq!(claims["aud"], "127.0.0.1");
    assert_eq!(claims["sub"], OPENID);
    assert_eq!(claims["appid"], world.app_id);
    assert_eq!(claims["scope"], "snsapi_base");
    assert_eq!(claims.get("unionid"), None);
    let (iat, exp) = (
        claims["iat"].as_u64().unwrap(),
        claims["exp"].as_u64().unwrap(),
    );
    assert!((before..=now()).contains(&iat), "{iat}");
    assert!(exp > iat && exp - iat <= 300, "{iat} {exp}");

    // What more the visitor grants is asserted as soon as a header tells it.
    agree(&world, &mut browser).await;
    assert_eq!(
        world.app.last().value(ASSERTION),
        None,
        "a route that does not ask"
    );
    browser.open(world.gateway, "/").await;
    let seen = world.app.last();
    let claims = verified(&assertion(&seen), &keys(world.gateway).await).unwrap();
    assert_eq!(claims["scope"], "snsapi_userinfo");
    assert!(claims["unionid"].is_string(), "{claims}");
    assert_eq!(
        claims["unionid"].as_str().map(str::to_owned),
        seen.value("X-WeChat-UnionId")
    );
    assert_eq!(
        claims["sub"].as_str().map(str::to_owned),
        seen.value("X-WeChat-OpenId")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_a_client_sent_is_gone() {
    let world = world("", "").await;
    let mut browser = world.visitor().await;
    let stolen = assertion(&world.app.last());
    let forged = [
        ("X-WeChat-Assertion", &*stolen),
        ("x_wechat_assertion", &stolen),
        ("X.WeChat.Assertion", &stolen),
        ("Connection", "close, X-WeChat-Assertion"),
    ];
    for (target, own) in [("/", true), ("/pay/notify", false), ("/welcome", false)] {
        browser
            .ask("GET", world.gateway, target, &forged, b"")
            .await;
        let text = world.app.last().text();
        assert!(!text.contains(&stolen), "{target}: {text}");
        let count = text.to_lowercase().matches("wechat-assertion").count()
            + text.to_lowercase().matches("wechat_assertion").count();
        assert_eq!(count, usize::from(own), "{target}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asserted_without_a_session() {
    let world = world("auth = \"optional\"", "").await;
    let mut browser = Browser::new(WECHAT);
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    assert_eq!(world.app.last().value(ASSERTION), None);
    assert_eq!(browser.open(world.gateway, "/pay/notify").await.status, 200);
    assert_eq!(world.app.last().value(ASSERTION), None);
    agree(&world, &mut browser).await;
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    let token = assertion(&world.app.last());
    let claims = verified(&token, &keys(world.gateway).await).unwrap();
    assert_eq!(claims["sub"], OPENID);
    browser.open(world.gateway, "/pay/notify").await;
    assert_eq!(world.app.last().value(ASSERTION), None, "a public route");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_there_for_everybody_to_read() {
    let world = world("", "").await;
    let mut anyone = Browser::new("an app");
    let answer = anyone.open(world.gateway, KEYS).await;
    assert_eq!(
        answer.value("content-type"),
        Some("application/jwk-set+json")
    );
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    let key = &answer.json()["keys"][0];
    let mut members: Vec<&String> = key.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    for (name, value) in [
        ("kty", "EC"),
        ("crv", "P-256"),
        ("use", "sig"),
        ("alg", "ES256"),
    ] {
        assert_eq!(key[name], value);
    }
    let head = anyone.ask("HEAD", world.gateway, KEYS, &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.value("content-length"), answer.value("content-length"));
    let post = anyone.ask("POST", world.gateway, KEYS, &[], b"").await;
    assert_eq!((post.status, post.value("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_old_assertions_still_verify() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["old", "new"] {
        std::fs::write(dir.path().join(name), generate_key().unwrap().expose()).unwrap();
    }
    let ring = |names: &[&str]| {
        let sources = names
            .iter()
            .map(|name| format!("{{ file = \"{}/{name}\" }}", dir.path().display()));
        format!(
            "[assertion]\nkeys = [{}]",
            sources.collect::<Vec<_>>().join(", ")
        )
    };
    let mut tokens = Vec::new();
    let mut published = Vec::new();
    for names in [&["old"][..], &["old", "new"], &["new", "old"], &["new"]] {
        let world = world("", &ring(names)).await;
        world.visitor().await;
        tokens.push(assertion(&world.app.last()));
        published.push(keys(world.gateway).await);
        assert!(!world.dir().join("state/assertion.key").exists());
        world.stop().await;
    }
    let counts: Vec<usize> = published.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 2, 1]);
    let verifies = |token: usize, keys: usize| verified(&tokens[token], &published[keys]).is_some();
    // The new key is known before it signs, and the old one after it did.
    assert!(verifies(0, 0) && verifies(1, 0) && verifies(2, 1));
    assert!(verifies(0, 2) && verifies(1, 2) && verifies(2, 3));
    assert!(!verifies(0, 3) && !verifies(1, 3));
    assert_eq!(part(&tokens[2], 0)["kid"], published[2][0]["kid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_no_file_gives_is_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    let extra = Extra {
        route: "assertion = true",
        ..Extra::default()
    };
    std::fs::write(&config, gateway_toml(gateway, app.addr, &simulator, &extra)).unwrap();
    let mut process = Process::gateway(&config);
    let (answer, _) = Browser::new(WECHAT).visit(gateway, "/").await;
    assert_eq!(answer.status, 200);
    let first = keys(gateway).await;
    process.kill();
    let process = Process::gateway(&config);
    let second = keys(gateway).await;
    assert_eq!(first, second);
    assert!(verified(&assertion(&app.last()), &second).is_some());
    let file = files.path().join("state/assertion.key");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !process
            .written()
            .contains(std::fs::read_to_string(file).unwrap().trim_end())
    );
}

/// One domain, one account and one session for two hosts.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_for_the_host_that_was_asked() {
    install_crypto();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = listener.local_addr().unwrap();
    let app = App::start().await;
    let door = format!("a.shop.test:{}", gateway.port());
    let account = SimAccount {
        callback_hosts: vec![door.clone()],
        ..SimAccount::default()
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = files();
    std::fs::write(files.path().join("app_secret"), &account.app_secret).unwrap();
    let app_id = account.app_id.clone();
    let simulator = Simulator::start(socket, Settings::new(vec![account]))
        .await
        .unwrap();
    assert!(simulator.set_default_visitor(OPENID));
    let wechat = simulator.base_url();
    let text = format!(
        r#"
[server]
listen = ["{gateway}"]
public_scheme = "http"
state_dir = "state"

[session]
cookie_domain = "shop.test"

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://{door}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"

[[routes]]
host = "*.shop.test"
upstream = "http://{}"
account = "shop"
assertion = true
"#,
        app.addr
    );
    let plan = Plan::parse(&files.path().join("gateway.toml"), &text).unwrap();
    let running = server::start_on(plan, vec![listener]).await.unwrap();
    let mut browser = Browser::new(WECHAT);
    let ask = |browser: &Browser, host: &str, target: &str| {
        let bytes = browser.request("GET", gateway, target, &[], b"");
        let text = String::from_utf8(bytes).unwrap();
        text.replacen(&format!("Host: {gateway}"), &format!("Host: {host}"), 1)
    };
    let answer = send(gateway, ask(&browser, &door, "/")).await;
    browser.keep(&answer);
    let answer = Browser::new(WECHAT).open_url(answer.location()).await;
    let callback = answer.location().replacen(&door, &gateway.to_string(), 1);
    let answer = send(gateway, ask(&browser, &door, &split(&callback).1)).await;
    browser.keep(&answer);
    let mut issuers = Vec::new();
    for host in [&*door, "b.shop.test", "B.Shop.Test.:80"] {
        let answer = send(gateway, ask(&browser, host, "/")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = assertion(&app.last());
        let claims = verified(&token, &keys(gateway).await).unwrap();
        assert_eq!(claims["sub"], OPENID);
        issuers.push((claims["aud"].clone(), claims["iss"].clone()));
    }
    let door = format!("http://{door}");
    assert_eq!(issuers[0], ("a.shop.test".into(), door.into()));
    let b = ("b.shop.test".into(), "http://b.shop.test".into());
    assert_eq!(issuers[1..], [b.clone(), b]);
    running.stop().await;
}
