//! The status page: what people see of the gateway at work.

use crate::app::App;
use crate::client::Browser;
use crate::metrics::{busy_day, scrape};
use crate::process::free_address;
use crate::world::{Extra, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_what_happened_and_nothing_of_visitors() {
    let world = World::new().await;
    let never = busy_day(&world).await;
    let page = Browser::new("operator").open(world.admin, "/status").await;
    let json = Browser::new("operator")
        .open(world.admin, "/status.json")
        .await;
    for answer in [&page, &json] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.value("cache-control"), Some("no-store"));
        assert_eq!(answer.value("x-content-type-options"), Some("nosniff"));
        for word in &never {
            assert!(!answer.everything().contains(word), "{word}");
        }
    }
    let text = page.text();
    for part in [
        "Routes <i>路由</i>",
        "127.0.0.1/pay/notify",
        "Account shop <i>公众号</i>",
        "refused_at_wechat",
        "-424242",
        "<svg class=\"chart\"",
        "serving 运行中",
        "access_token",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let told = json.json();
    let mut accounts = told["accounts"].as_array().unwrap().iter();
    let shop = accounts
        .find(|account| account["account"] == "shop")
        .unwrap();
    // The first, the one for the profile, and one in a mood that spoils profiles alone.
    assert_eq!(shop["ok"].as_u64(), Some(3));
    let root = &told["routes"][0];
    assert_eq!(root["route"], "127.0.0.1/");
    assert!(root["app"]["median"].as_f64().unwrap() > 0.0);
    assert_eq!(told["hour"].as_array().unwrap().len(), 60);
    assert_eq!(told["day"].as_array().unwrap().len(), 144);
    let logins = |part: &str| -> u64 {
        let all = told[part].as_array().unwrap().iter();
        all.map(|each| each["logins_ok"].as_u64().unwrap()).sum()
    };
    assert_eq!((logins("hour"), logins("day")), (3, 3));
    assert_eq!(told["store"]["trouble"], serde_json::Value::Null);
    assert!(
        told["listeners"]["plain"][0]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_stands_alone_and_runs_nothing() {
    let world = World::new().await;
    let mut operator = Browser::new("operator");
    let page = operator.open(world.admin, "/status").await;
    let text = page.text();
    let policy = page.value("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !policy.contains("script"),
        "{policy}"
    );
    for part in [
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    // The one style is the one that the policy knows.
    let (_, rest) = text.split_once("<style>").unwrap();
    let (style, rest) = rest.split_once("</style>").unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, style.as_bytes());
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
    assert!(policy.contains(&hash));
    for foreign in [
        "<script", "style=", "<style", "src=", "url(", "http:", "https:", " on",
    ] {
        assert!(!rest.contains(&format!("<{foreign}")), "{foreign}");
        if foreign != " on" {
            assert!(!rest.contains(foreign), "{foreign}: {rest}");
        }
    }
    assert!(text.contains("http-equiv=\"refresh\""));
    let paused = operator.open(world.admin, "/status?paused=1").await;
    assert!(!paused.text().contains("http-equiv=\"refresh\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_file_is_text_on_the_page() {
    // A message of the store's tells the address that it tried.
    let files = tempfile::tempdir().unwrap();
    let url = files.path().join("url");
    std::fs::write(&url, "redis://127.0.0.1:1").unwrap();
    let tables = format!(
        "[store]\nkind = {{ redis = {{ file = \"{}\" }} }}\n",
        url.display()
    );
    let world = World::with(Extra {
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let page = Browser::new("operator").open(world.admin, "/status").await;
    let text = page.text();
    assert!(text.contains("store down 存储故障"), "{text}");
    assert!(text.contains("<section class=\"warn\">"), "{text}");
    let json = Browser::new("operator")
        .open(world.admin, "/status.json")
        .await
        .json();
    assert_eq!(json["attention"].as_array().unwrap().len(), 2, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_served_is_told_as_text() {
    let world = World::new().await;
    world.reload(|text| text.replacen("account = \"shop\"", "account = \"<b>shop\"", 1));
    let page = Browser::new("operator").open(world.admin, "/status").await;
    let text = page.text();
    assert!(
        text.contains("&lt;b&gt;shop") && !text.contains("<b>shop"),
        "{text}"
    );
    assert!(text.contains("配置未生效"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_is_told_of_even_when_the_file_names_it_no_more() {
    let (dead, app) = (free_address(), App::start().await);
    let name = format!("{dead},{}", app.addr);
    let tables = format!(
        "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/lame\"\nauth = \"none\"\n[routes.upstream]\npeers = [\"http://{dead}\", \"http://{}\"]\n",
        app.addr
    );
    let world = World::with_tables(&tables).await;
    for _ in 0..2 {
        let answer = Browser::new("visitor").open(world.gateway, "/lame").await;
        assert_eq!(answer.status, 200);
    }
    let mut operator = Browser::new("operator");
    for peers in [2, 0] {
        let json = operator.open(world.admin, "/status.json").await.json();
        let mut apps = json["apps"].as_array().unwrap().iter();
        let told = apps.find(|told| told["upstream"] == *name).unwrap();
        assert_eq!(told["errors"][0]["cause"], "connect", "{told}");
        assert_eq!(told["errors"][0]["count"], 1, "{told}");
        assert_eq!(told["retries"], 1, "{told}");
        assert_eq!(told["took"]["count"], 2, "{told}");
        assert_eq!(told["peers"].as_array().unwrap().len(), peers, "{told}");
        let page = operator.open(world.admin, "/status").await.text();
        assert!(page.contains("<span class=\"bad\">connect 1</span>"));
        let counted = scrape(&world).await;
        let labels = [("upstream", name.as_str()), ("kind", "connect")];
        assert_eq!(counted.get("wxgate_upstream_errors_total", &labels), 1.0);
        let retries = counted.get("wxgate_upstream_retries_total", &labels[..1]);
        assert_eq!(retries, 1.0);
        assert_eq!(world.reload(|text| text.replace(&tables, "")).refused, 0);
    }
}
