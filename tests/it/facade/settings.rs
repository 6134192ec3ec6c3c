//! `[facade]` in `gateway.toml`: what is refused, and what is told of it.

use wxgate::config::Plan;
use wxgate::reload::Reloads;

use super::*;
use crate::client::Browser;
use crate::process::Process;
use crate::world::{files, gateway_toml, install_crypto, simulator};

/// The mistakes of the usual file with `change`.
async fn mistakes(change: impl Fn(&str) -> String) -> String {
    install_crypto();
    let gateway: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let simulator = simulator(gateway).await;
    let files = files();
    std::fs::write(files.path().join("short"), "0123456789abcde").unwrap();
    let extra = Extra {
        callback: Some(CALLBACK),
        tables: &change(&tables(HOST)),
        ..Extra::default()
    };
    let text = gateway_toml(gateway, gateway, &simulator, &extra);
    match Plan::parse(&files.path().join("gateway.toml"), &text) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_facade_that_could_not_be_meant_is_refused() {
    assert_eq!(mistakes(str::to_owned).await, "");
    for (from, to, place, told) in [
        (
            "host = \"wx.apps.test\"",
            "host = \"a.test\"",
            "facade.host",
            "a host of its own",
        ),
        (
            "host = \"wx.apps.test\"",
            "host = \"*.wx.apps.test\"",
            "facade.host",
            "expected one host",
        ),
        (
            "host = \"wx.apps.test\"",
            "host = \"wx.apps.test:80\"",
            "facade.host",
            "without scheme, port",
        ),
        (
            "name = \"forum\"",
            "name = \"legacy\"",
            "facade.apps[1].name",
            "a name of its own",
        ),
        (
            "name = \"forum\"",
            "name = \"a b\"",
            "facade.apps[1].name",
            "1 to 32 letters",
        ),
        (
            "account = \"club\"\napp_id = \"wxgames",
            "account = \"nobody\"\napp_id = \"wxgames",
            "facade.apps[2].account",
            "which is no account",
        ),
        (
            "wxforum000000002",
            "wxlegacy00000001",
            "facade.apps[1].app_id",
            "one of its own",
        ),
        (
            "wxforum000000002",
            CLUB,
            "facade.apps[1].app_id",
            "a real account's",
        ),
        (
            "forum_secret",
            "legacy_secret",
            "facade.apps[1].app_secret",
            "another app's secret",
        ),
        (
            "forum_secret",
            "app_secret",
            "facade.apps[1].app_secret",
            "real account's AppSecret",
        ),
        (
            "forum_secret",
            "short",
            "facade.apps[1].app_secret",
            "at least 16",
        ),
        (
            "{ file = \"forum_secret\" }",
            "\"forum0123456789forum0123456789fo\"",
            "facade.apps[1].app_secret",
            "never stands in this file",
        ),
        (
            "[\"http://forum.test\"]",
            "[]",
            "facade.apps[1].callback_origins",
            "is empty",
        ),
        (
            "[\"http://forum.test\"]",
            "[\"http://forum.test/\"]",
            "facade.apps[1].callback_origins",
            "without a path",
        ),
        (
            "[\"http://forum.test\"]",
            "[\"http://wx.apps.test:8080\"]",
            "facade.apps[1].callback_origins",
            "own host",
        ),
        ("name = \"forum\"\n", "", "facade.apps", "name"),
    ] {
        let all = mistakes(|text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        })
        .await;
        assert_eq!(all.lines().count(), 1, "{to}: {all}");
        assert!(all.contains(place) && all.contains(told), "{to}: {all}");
        assert!(!all.contains("forum0123456789"), "{all}");
    }
    let cut = |text: &str| {
        let (before, rest) = text.split_once("[[facade.apps]]").unwrap();
        let (_, after) = rest.split_once("[accounts.club]").unwrap();
        format!("{before}[accounts.club]{after}")
    };
    assert!(mistakes(cut).await.contains("without an app"));
    let unknown = |text: &str| text.replace("host = \"wx.", "hosts = \"wx.");
    assert!(mistakes(unknown).await.contains("unknown field `hosts`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_plan_takes_apps_away_and_brings_others() {
    let world = world().await;
    let (mut traveller, access, renews) = tokens(&world).await;
    let served = |reloads: Reloads| assert_eq!(reloads.refused, 0, "{reloads:?}");
    // Another name of the same app changes nothing for its visitors.
    served(world.reload(|text| text.replace("name = \"legacy\"", "name = \"old\"")));
    assert_eq!(errcode(&ask(&world, "auth", &access, OPENID).await), 0);
    // An origin that is taken away gets no code from the next request on.
    served(world.reload(|text| text.replace("\"http://legacy.test\", ", "")));
    let answer = traveller.open(&base()).await;
    assert!(answer.status == 400 && answer.text().contains("errcode 10003"));
    // The app itself: its tokens are nobody's.
    served(world.reload(|text| text.replace("wxlegacy00000001", "wxlegacy00000009")));
    assert_eq!(errcode(&ask(&world, "auth", &access, OPENID).await), 40001);
    assert_eq!(errcode(&refresh(&world, LEGACY, &renews).await), 40013);
    assert_eq!(
        errcode(&refresh(&world, "wxlegacy00000009", &renews).await),
        40030
    );
    // Without a facade its host is one of the routes'.
    served(world.reload(|text| {
        let (before, rest) = text.split_once("[facade]").unwrap();
        let (_, after) = rest.split_once("[accounts.club]").unwrap();
        format!("{before}[accounts.club]{after}")
    }));
    let answer = traveller.open(&base()).await;
    assert_eq!(answer.status, 200);
    assert!(
        world
            .app
            .last()
            .line()
            .contains("/connect/oauth2/authorize")
    );
}

/// The line of the log with all of `words`.
fn line(process: &Process, words: &[&str]) -> String {
    let began = std::time::Instant::now();
    loop {
        let written = process.written();
        let has = |line: &&str| words.iter().all(|word| line.contains(word));
        if let Some(line) = written.lines().find(has) {
            return line.to_owned();
        }
        assert!(
            began.elapsed().as_secs() < 10,
            "no line with {words:?} in {written}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_app_and_number_and_nothing_that_was_sent() {
    install_crypto();
    let gateway = crate::process::free_address();
    let app = crate::app::App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    let tables = format!(
        "{}\n[store]\nkind = {{ file = \"store.redb\" }}\n[log]\nlevel = \"trace\"\n",
        tables(HOST)
    );
    let extra = Extra {
        session: "keys = [{ file = \"key\" }]",
        callback: Some(CALLBACK),
        tables: &tables,
        ..Extra::default()
    };
    std::fs::write(&config, gateway_toml(gateway, app.addr, &simulator, &extra)).unwrap();
    let mut process = Process::gateway(&config);
    let ask = async |target: String| api_at(gateway, HOST, &target).await.json();
    let mut traveller = Traveller::new(gateway);
    let code = code_in(&way_back(&mut traveller, &base()).await);
    let wrong = "wrongSECRETthatNOBODYmaySEE0123456789";
    assert_eq!(
        errcode(&ask(exchange_target(LEGACY, wrong, &code)).await),
        40125
    );
    let given = ask(exchange_target(LEGACY, secret(LEGACY), &code)).await;
    let [access, renews] = ["access_token", "refresh_token"].map(|name| text(&given, name));
    let check = |token: &str| format!("/sns/auth?access_token={token}&openid={OPENID}");
    assert_eq!(errcode(&ask(check(&access)).await), 0);
    let again = ask(exchange_target(LEGACY, secret(LEGACY), &code)).await;
    assert_eq!(errcode(&again), 40163);
    let rid = text(&again, "errmsg")
        .split_once("rid: ")
        .unwrap()
        .1
        .to_owned();
    assert_eq!(errcode(&ask(check(&access)).await), 40001);
    Browser::new(crate::client::WECHAT).open(gateway, "/").await;
    for words in [
        &[
            "way=\"facade\"",
            "reason=\"code_given\"",
            "app=\"legacy\"",
            "account=\"shop\"",
        ][..],
        &[
            "way=\"refused\"",
            "reason=\"errcode_40125\"",
            "app=\"legacy\"",
        ],
        &[
            "way=\"facade\"",
            "reason=\"tokens_given\"",
            "app=\"legacy\"",
        ],
        &[
            "way=\"facade\"",
            "reason=\"token_checked\"",
            "app=\"legacy\"",
        ],
        &["reason=\"errcode_40163\"", "app=\"legacy\"", &rid],
        &["reason=\"errcode_40001\""],
    ] {
        line(&process, words);
    }
    process.kill();
    let log = process.written();
    let store = std::fs::read(files.path().join("store.redb")).unwrap();
    let store = String::from_utf8_lossy(&store).into_owned();
    assert!(store.len() > 1000);
    for hidden in [
        &code,
        &access,
        &renews,
        wrong,
        secret(LEGACY),
        OPENID,
        STATE,
    ] {
        assert!(!log.contains(hidden), "{hidden} stands in the log");
        assert!(!store.contains(hidden), "{hidden} stands in the store");
    }
}

/// What the binary says of the world's file.
fn wxgate(world: &World, arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_wxgate"))
        .args(arguments)
        .args(["--config", "gateway.toml"])
        .current_dir(world.dir())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_lists_the_apps_and_explain_tells_of_a_link() {
    let world = world().await;
    let told = wxgate(&world, &["check"]);
    assert!(told.contains("facade   wx.apps.test: "), "{told}");
    let app = "app      legacy: wxlegacy00000001, login with shop by way of login.test, codes go to http://legacy.test, http://legacy.test:8080\n";
    assert!(told.contains(app), "{told}");
    let mut traveller = Traveller::new(world.gateway);
    way_back(&mut traveller, &base()).await;
    let cookie = traveller.at(HOST).cookies("/");
    let url = base();
    let (first, known) = (["--inside-wechat"], ["--cookie", &cookie]);
    let at = |path: &str| format!("http://{HOST}{path}");
    let wrong = link(LEGACY, "http://evil.test/", "snsapi_base");
    let exchange = at(&exchange_target(LEGACY, secret(LEGACY), "c"));
    for (url, more, words) in [
        (
            &url,
            &first[..],
            &[
                "login (no_session)",
                "302 Found, to http://login.test/.wxgate/sign-on\n",
            ][..],
        ),
        (&url, &[][..], &["refused (no_session)", "outside_wechat"]),
        (
            &url,
            &known[..],
            &[
                "facade (code_given)",
                "302 Found, to http://legacy.test/cb\n",
            ],
        ),
        (
            &wrong,
            &known[..],
            &["refused (errcode_10003)", "the page app_link"],
        ),
        (
            &exchange,
            &[],
            &["facade (facade_api)", "200 OK, text/plain"],
        ),
        (
            &exchange.replace("legacy01", "xxxxxx01"),
            &[],
            &["refused (errcode_40125)"],
        ),
        (&at("/x"), &first[..], &["refused (no_route)", "404"]),
    ] {
        let told = wxgate(&world, &[&["explain", "GET", url][..], more].concat());
        assert!(
            words.iter().all(|word| told.contains(word)),
            "{url} {words:?}: {told}"
        );
        assert!(
            !told.contains(secret(LEGACY)) && !told.contains("code="),
            "{told}"
        );
    }
}

#[test]
fn a_callbacks_host_with_clients_leads_to_the_facade_still() {
    let files = files();
    let key = wxgate::signing::generate_key().unwrap();
    std::fs::write(files.path().join("client_key"), key.expose()).unwrap();
    let text = "[server]\nstate_dir = \"state\"\n\
                [accounts.shop]\napp_id = \"wx1234567890abcdef\"\napp_secret = { file = \"app_secret\" }\n\
                callback_origin = \"https://login.example.com\"\n\
                [[accounts.shop.clients]]\nname = \"dev\"\norigins = [\"http://localhost:3000\"]\nkey = { file = \"client_key\" }\n\
                [facade]\nhost = \"wx.example.com\"\n\
                [[facade.apps]]\nname = \"legacy\"\naccount = \"shop\"\napp_id = \"wxlegacy00000001\"\n\
                app_secret = { file = \"legacy_secret\" }\ncallback_origins = [\"https://legacy.example.com\"]\n";
    let plan = Plan::parse(&files.path().join("gateway.toml"), text).unwrap();
    let host = |name: &str| wxgate::origin::Host::new(name).unwrap();
    let (login, routes) = (host("login.example.com"), &plan.routes);
    assert_eq!(routes.sends_back_to(&login), Some(&host("wx.example.com")));
    // Its clients are known there.
    let name = "dev".to_owned().try_into().unwrap();
    assert_eq!(routes.clients(&login, &name).count(), 1);
    assert_eq!(
        wxgate::endpoints::home_from(&login, routes),
        "https://legacy.example.com/"
    );
}
