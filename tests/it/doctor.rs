//! `wxgate doctor` finds what is wrong, each with its cause, and nothing where
//! nothing is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wxgate::simulator::{Api, Mood, SimAccount, Simulator};

use crate::app::App;
use crate::process::{Process, free_address, wxgate};
use crate::world::{
    AGENT, CORP, Extra, SECRET, SITE, files, gateway_toml, install_crypto, simulator,
};

struct Site {
    gateway: SocketAddr,
    app: App,
    simulator: Simulator,
    files: tempfile::TempDir,
    text: String,
    _process: Process,
}

/// A gateway that runs, and the file that the doctor is given.
async fn site() -> Site {
    site_with("").await
}

/// The same with more tables.
async fn site_with(tables: &str) -> Site {
    install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let extra = Extra {
        session: "keys = [{ file = \"key\" }]",
        tables: &tables.replace("{port}", &gateway.port().to_string()),
        ..Extra::default()
    };
    let text = gateway_toml(gateway, app.addr, &simulator, &extra);
    let config = files.path().join("gateway.toml");
    std::fs::write(&config, &text).unwrap();
    let process = Process::gateway(&config);
    Site {
        gateway,
        app,
        simulator,
        files,
        text,
        _process: process,
    }
}

impl Site {
    /// What the doctor says of the file with `from` replaced by `to`.
    async fn doctor(&self, from: &str, to: &str) -> (i32, String) {
        assert!(self.text.contains(from), "{from}");
        let path = self.files.path().join("examined.toml");
        std::fs::write(&path, self.text.replace(from, to)).unwrap();
        let output = run(self.files.path(), "examined.toml").await;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !told.contains(SECRET) && !complained.contains(SECRET),
            "{told}{complained}"
        );
        (output.status.code().unwrap(), format!("{told}{complained}"))
    }

    async fn fails(&self, from: &str, to: &str, words: &[&str]) {
        let (code, told) = self.doctor(from, to).await;
        assert_eq!(code, 1, "{told}");
        let line = told
            .lines()
            .filter(|line| line.starts_with("FAIL "))
            .find(|line| words.iter().all(|word| line.contains(word)));
        assert!(line.is_some(), "{words:?} in:\n{told}");
    }
}

async fn run(dir: &Path, config: &str) -> Output {
    let mut command = wxgate(&["doctor", "--config", config], dir);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Something in front of the gateway, which changes its answers. Whether it keeps
/// the visitor's `Host` is `keeps_host`.
async fn front(gateway: SocketAddr, keeps_host: bool, change: fn(String) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = vec![0; 16 * 1024];
                let count = client.read(&mut request).await.unwrap_or(0);
                let mut request = String::from_utf8_lossy(&request[..count]).replacen(
                    "\r\n\r\n",
                    "\r\nconnection: close\r\n\r\n",
                    1,
                );
                if !keeps_host {
                    request = request.replace(&address.to_string(), &gateway.to_string());
                }
                let mut server = TcpStream::connect(gateway).await.unwrap();
                server.write_all(request.as_bytes()).await.unwrap();
                let mut answer = String::new();
                let _ = server.read_to_string(&mut answer).await;
                let _ = client.write_all(change(answer).as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_well_is_told_so() {
    let site = site().await;
    let (code, told) = site.doctor("[server]", "[server]").await;
    assert_eq!(code, 0, "{told}");
    for word in [
        "ok    accounts.shop.app_secret: WeChat knows the AppID and takes the AppSecret",
        "ok    accounts.shop.app_id: ",
        "answered by a wxgate",
        "a login begins, and comes back to http://",
        "MP_verify_AbCdEfGhIjKlMnOp.txt is served",
        "arrive as they were set",
        "ok    clock: ",
        "ok    routes[0].upstream: ",
        "ok    store.kind: ",
        "look  WeChat's console: 网页授权域名 must be exactly 127.0.0.1",
        " 0 failures\n",
    ] {
        assert!(told.contains(word), "{word} in:\n{told}");
    }
    assert!(!told.contains("FAIL"), "{told}");
    // Loopback is a doubt, and no more: nobody outside comes here.
    assert!(
        told.contains("warn  accounts.shop at http://127.0.0.1"),
        "{told}"
    );
    // Nothing was spent, and the app was asked nothing.
    let calls = site.simulator.calls().exchange;
    assert_eq!(calls.outcomes.get("40029"), Some(&calls.total));
    assert!(site.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wechat_thinks_of_the_account_is_told() {
    let site = site().await;
    std::fs::write(site.files.path().join("wrong"), "not-the-secret").unwrap();
    let wrong = "app_secret = { file = \"wrong\" }";
    site.fails(
        "app_secret = { file = \"app_secret\" }",
        wrong,
        &["40125", "rid", "基本配置", "app_secret"],
    )
    .await;
    let app_id = SimAccount::default().app_id;
    site.fails(
        &app_id,
        "wx0000000000000000",
        &["accounts.shop.app_id", "40013", "基本配置"],
    )
    .await;
    let (_, told) = site.doctor(&app_id, "wxUPPER").await;
    assert!(told.contains("a real AppID is wx and 16"), "{told}");
    for (errcode, words) in [
        (40164, ["40164", "203.0.113.7", "IP白名单"]),
        (48004, ["48004", "通知中心", "rid"]),
        (99999, ["99999", "全局返回码", "rid"]),
    ] {
        let mood = Mood::Errcode {
            api: Api::Exchange,
            errcode,
        };
        site.simulator.set_mood(mood);
        site.fails("[server]", "[server]", &words).await;
    }
    let mood = Mood::Errcode {
        api: Api::Exchange,
        errcode: 45009,
    };
    site.simulator.set_mood(mood);
    let (code, told) = site.doctor("[server]", "[server]").await;
    assert!(
        code == 0
            && told.contains("warn  accounts.shop.app_secret: could not be tried: errcode 45009"),
        "{told}"
    );
    site.simulator.set_mood(Mood::Html);
    site.fails("[server]", "[server]", &["api_base_url", "not WeChat's"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_cannot_be_reached_are_told() {
    let site = site().await;
    let dead = free_address().to_string();
    let api = format!("api_base_url = \"{}\"", site.simulator.base_url());
    site.fails(
        &api,
        &format!("api_base_url = \"http://{dead}\""),
        &["api_base_url", &dead, "firewall"],
    )
    .await;
    let fallback = format!("{api}\napi_fallback_url = \"http://{dead}\"");
    let (code, told) = site.doctor(&api, &fallback).await;
    assert!(
        code == 0 && told.contains("warn  accounts.shop.api_fallback_url"),
        "{told}"
    );
    let upstream = format!("upstream = \"http://{}\"", site.app.addr);
    site.fails(
        &upstream,
        &format!("upstream = \"http://{dead}\""),
        &["routes[0].upstream", &dead],
    )
    .await;
    let tls = format!("upstream = \"https://{}\"", site.app.addr);
    site.fails(&upstream, &tls, &["routes[0].upstream", "no TLS there"])
        .await;
    let both = format!(
        "upstream = [\"http://{}\", \"http://{dead}\"]",
        site.app.addr
    );
    site.fails(&upstream, &both, &["routes[0].upstream.peers[1]", &dead])
        .await;
    site.fails(
        &upstream,
        "upstream = \"http://no-such-host.invalid\"",
        &["routes[0].upstream", "no address"],
    )
    .await;
    std::fs::write(
        site.files.path().join("redis"),
        format!("redis://:hunter2@{dead}"),
    )
    .unwrap();
    let store = "[store]\nkind = { redis = { file = \"redis\" } }\n[limits]";
    let (_, told) = site.doctor("[limits]", store).await;
    assert!(!told.contains("hunter2"), "{told}");
    site.fails("[limits]", store, &["store.kind", "the password"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_front_is_found_out() {
    let site = site().await;
    let origin = format!("callback_origin = \"http://{}\"", site.gateway);
    let behind = |address: SocketAddr| format!("callback_origin = \"http://{address}\"");
    let nobody = free_address();
    site.fails(&origin, &behind(nobody), &["does not answer from here"])
        .await;
    // It redirects, as from a bare domain to www.
    let redirects = front(site.gateway, false, |_| {
        "HTTP/1.1 301 Moved\r\nLocation: https://www.example.com/\r\nContent-Length: 0\r\n\r\n"
            .to_owned()
    });
    let redirects = redirects.await;
    site.fails(
        &origin,
        &behind(redirects),
        &["redirects to https://www.example.com/"],
    )
    .await;
    // Another server.
    let other = front(site.gateway, false, |_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".to_owned()
    });
    site.fails(&origin, &behind(other.await), &["not as a wxgate"])
        .await;
    // One that does not keep Host: the gateway calls itself otherwise.
    let rewrites = front(site.gateway, false, |answer| answer).await;
    site.fails(&origin, &behind(rewrites), &["calls itself http://"])
        .await;
}

/// A host of the first account that is no callback of its; that it is another's
/// gives it a port here.
const OTHER_HOST: &str = r#"
[[routes]]
host = "localhost"
upstream = "http://{app}"
account = "shop"

[[routes]]
host = "localhost"
path = "/club"
upstream = "http://{app}"
account = "club"

[accounts.club]
app_id = "wx5150a7c0ffee0002"
app_secret = { file = "app_secret" }
callback_origin = "http://localhost:{port}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_logins_go_by_way_of_another_is_looked_at_too() {
    let site = site_with(OTHER_HOST).await;
    let (code, told) = site.doctor("[server]", "[server]").await;
    let place = format!("accounts.shop at http://localhost:{}", site.gateway.port());
    let way = format!("a login begins, by way of http://{}", site.gateway);
    let line = told
        .lines()
        .find(|line| line.contains(&place) && line.contains(&way));
    assert!(line.is_some() && code == 0, "{told}");
    // Another gateway there, whose logins go elsewhere.
    let asks = "callback_origin = \"http://127.0.0.1:9\"";
    let origin = format!("callback_origin = \"http://{}\"", site.gateway);
    site.fails(&origin, asks, &[&place, "a login does not begin"])
        .await;
}

/// A facade at a host that another account's callback gives a port here.
const FACADE: &str = r#"
[accounts.club]
app_id = "wx5150a7c0ffee0002"
app_secret = { file = "app_secret" }
callback_origin = "http://localhost:{port}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"

[facade]
host = "localhost"

[[facade.apps]]
name = "legacy"
account = "club"
app_id = "wxlegacy00000001"
app_secret = { file = "legacy_secret" }
callback_origins = ["http://127.0.0.1:3001", "http://no-such-host.invalid"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_facade_and_its_apps_hosts_are_looked_at() {
    let site = site_with(FACADE).await;
    let (code, told) = site.doctor("[server]", "[server]").await;
    let place = format!("facade.host http://localhost:{}", site.gateway.port());
    for line in [
        format!("warn  {place}: localhost leads to "),
        format!("ok    {place}: answered by a wxgate that calls itself so\n"),
        format!("ok    {place}: answers the apps' servers as WeChat does\n"),
        "ok    facade.apps legacy: 127.0.0.1 has an address\n".to_owned(),
        "warn  facade.apps legacy: no-such-host.invalid has no address ".to_owned(),
        "browsers take the app's codes to http://no-such-host.invalid\n".to_owned(),
    ] {
        assert!(told.contains(&line), "{line} in:\n{told}");
    }
    assert_eq!(code, 0, "{told}");
    // Not where it is said to be; a name that leads nowhere; one that leads elsewhere.
    let origin = format!(
        "callback_origin = \"http://localhost:{}\"",
        site.gateway.port()
    );
    let at =
        |address: SocketAddr| format!("callback_origin = \"http://localhost:{}\"", address.port());
    let words = ["facade.host", "does not answer from here"];
    site.fails(&origin, &at(free_address()), &words).await;
    let words = ["facade.host", "nowhere.invalid has no address"];
    let nowhere = "host = \"nowhere.invalid\"";
    site.fails("host = \"localhost\"", nowhere, &words).await;
    let other = front(site.gateway, false, |_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".to_owned()
    });
    let words = ["facade.host", "not as a wxgate with this facade"];
    site.fails(&origin, &at(other.await), &words).await;
    assert!(site.app.seen().is_empty());
}

/// What stands in front of the facade sends below `/.wxgate/` alone here.
#[tokio::test(flavor = "multi_thread")]
async fn a_facade_of_which_some_paths_lead_elsewhere_is_told() {
    install_crypto();
    let gateway = free_address();
    let at_front = front(gateway, true, |answer| match answer.contains("errcode") {
        true => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        false => answer,
    });
    let at_front = at_front.await;
    let app = App::start().await;
    let simulator = simulator(at_front).await;
    let files = files();
    let extra = Extra {
        session: "keys = [{ file = \"key\" }]",
        tables: &FACADE.replace("{port}", &at_front.port().to_string()),
        ..Extra::default()
    };
    let text = gateway_toml(at_front, app.addr, &simulator, &extra);
    let text = text.replace(
        &format!("listen = [\"{at_front}\"]"),
        &format!("listen = [\"{gateway}\"]"),
    );
    let config = files.path().join("gateway.toml");
    std::fs::write(&config, text).unwrap();
    let _process = Process::gateway(&config);
    let output = run(files.path(), "gateway.toml").await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let fault = format!(
        "FAIL  facade.host http://localhost:{}: /sns/auth is answered 404 Not Found",
        at_front.port()
    );
    assert!(told.contains(&fault), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_and_files_that_do_not_arrive_are_told() {
    install_crypto();
    for (change, words) in [
        (
            (|answer: String| {
                answer
                    .replace("Set-Cookie", "X-Was-Cookie")
                    .replace("set-cookie", "x-was-cookie")
            }) as fn(String) -> String,
            ["does not arrive", "Set-Cookie"],
        ),
        (
            |answer| answer.replace("; HttpOnly", ""),
            ["without HttpOnly", "proxy_cookie_flags"],
        ),
        (
            |answer| match answer.contains("AbCdEfGhIjKlMnOp") {
                true => {
                    "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
                false => answer,
            },
            ["MP_verify", "redirected to /login"],
        ),
        (
            |answer| match answer.contains("AbCdEfGhIjKlMnOp") {
                true => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
                false => answer,
            },
            ["MP_verify", "404 Not Found"],
        ),
    ] {
        // The gateway behind believes itself at the front's address.
        let gateway = free_address();
        let at_front = front(gateway, true, change).await;
        let app = App::start().await;
        let simulator = simulator(at_front).await;
        let files = files();
        let extra = Extra {
            session: "keys = [{ file = \"key\" }]",
            ..Extra::default()
        };
        let text = gateway_toml(at_front, app.addr, &simulator, &extra);
        let listen = format!("listen = [\"{gateway}\"]");
        let text = text.replace(&format!("listen = [\"{at_front}\"]"), &listen);
        let config = files.path().join("gateway.toml");
        std::fs::write(&config, text).unwrap();
        let _process = Process::gateway(&config);
        let output = run(files.path(), "gateway.toml").await;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        let line = told
            .lines()
            .find(|line| words.iter().all(|word| line.contains(word)));
        assert!(
            line.is_some_and(|line| line.starts_with("FAIL ")),
            "{words:?} in:\n{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told() {
    let site = site().await;
    let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = old.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = old.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let body = "{\"errcode\":40029,\"errmsg\":\"invalid code, rid: 1-2-3\"}";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2020 08:00:00 GMT\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let api = format!("api_base_url = \"{}\"", site.simulator.base_url());
    site.fails(
        &api,
        &format!("api_base_url = \"http://{address}\""),
        &["clock", "NTP"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_others_can_read_and_mistakes_in_the_file_are_told() {
    let site = site().await;
    let state = site.files.path().join("state");
    std::fs::create_dir_all(&state).unwrap();
    let key = state.join("session.key");
    std::fs::write(&key, "x").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    site.fails(
        "[server]",
        "[server]",
        &["server.state_dir", "session.key", "644"],
    )
    .await;
    let (code, told) = site.doctor("[server]", "[server]\nno_such_key = 1").await;
    assert_eq!(code, 78, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_account_is_looked_at_as_its_browser_meets_it() {
    let table = |name: &str, kind: &str, app_id: &str, more: &str| {
        format!(
            "[accounts.{name}]\nkind = \"{kind}\"\napp_id = \"{app_id}\"\n{more}\
             app_secret = {{ file = \"app_secret\" }}\ncallback_origin = \"http://{{gateway}}\"\nsandbox = true\n\
             open_base_url = \"{{wechat}}\"\napi_base_url = \"{{wechat}}\"\n\n"
        )
    };
    let agent = format!("agent_id = \"{AGENT}\"\n");
    let tables = table("desk", "website", SITE, "")
        + &table("corp", "wecom", CORP, &agent)
        + "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/all\"\nupstream = \"http://{app}\"\n\
           account = [\"shop\", \"desk\", \"corp\"]\n";
    let site = site_with(&tables).await;
    let (code, told) = site.doctor("[server]", "[server]").await;
    assert_eq!(code, 0, "{told}");
    for (place, words) in [
        ("accounts.desk.app_secret", "takes the AppSecret"),
        ("accounts.corp.app_secret", "takes the app's Secret"),
        ("微信开放平台", "授权回调域"),
        ("WeCom's console", "企业可信IP"),
    ] {
        let line = told
            .lines()
            .find(|line| line.contains(place) && line.contains(words));
        assert!(line.is_some(), "{place} {words} in:\n{told}");
    }
    let begins = told.matches("a login begins").count();
    assert_eq!(begins, 3, "{told}");
    let refused = Mood::Errcode {
        api: Api::CorpToken,
        errcode: 60020,
    };
    site.simulator.set_mood(refused);
    site.fails(
        "[server]",
        "[server]",
        &["accounts.corp", "60020", "企业可信IP"],
    )
    .await;
}
