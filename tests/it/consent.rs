//! Pages of the gateway's own on the way to WeChat: one that asks first, and one
//! that keeps what no server is told.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::client::{Answer, Browser, DESKTOP, WECHAT, split};
use crate::world::{Extra, World};

const ROUTES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/ask"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
consent_page = true

[[routes]]
host = "127.0.0.1"
path = "/spa"
upstream = "http://{app}"
account = "shop"
keep_fragment = true

[[routes]]
host = "127.0.0.1"
path = "/ask/spa"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"
consent_page = true
keep_fragment = true
"#;

async fn world() -> World {
    World::with_tables(ROUTES).await
}

/// Where the page's link leads.
fn onward(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("class=\"go\" href=\"").unwrap();
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

fn the_script_is_the_only_one(page: &Answer) {
    let text = page.text();
    assert_eq!(text.matches("<script").count(), 1, "{text}");
    let (_, script) = text.split_once("<script>").unwrap();
    let (script, _) = script.split_once("</script>").unwrap();
    let digest = sha2::Sha256::digest(script.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest);
    let policy = page.value("content-security-policy").unwrap();
    assert!(
        policy.contains(&format!(" script-src 'sha256-{hash}';")),
        "{policy}"
    );
    assert!(
        policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.value("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_to_be_asked_is_asked_here_first_and_once() {
    let world = world().await;
    let target = "/ask/x?a=1&b=%20&c=%E4%BD%A0";
    let mut browser = Browser::new(WECHAT);
    let page = browser.open(world.gateway, target).await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains("需要您的微信资料") && !page.text().contains("<script"));
    assert!(
        page.value("content-security-policy")
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
    assert_eq!(
        page.values("set-cookie"),
        Vec::<&str>::new(),
        "no login has begun"
    );
    let login = onward(&page);
    assert!(login.starts_with("/.wxgate/login?to="), "{login}");
    let answer = browser.open(world.gateway, &login).await;
    assert!(
        answer.location().contains("&scope=snsapi_userinfo&"),
        "{answer:?}"
    );
    let (answer, trail) = world.visit(&mut browser, &login).await;
    assert_eq!(answer.status, 200, "{trail:?}");
    assert_eq!(world.app.last().line(), format!("GET {target} HTTP/1.1"));
    // Programs are told as ever; other browsers see the code to scan.
    let program = [("Accept", "application/json")];
    let answer = Browser::new(WECHAT)
        .ask("GET", world.gateway, target, &program, b"")
        .await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_u64()),
        (401, Some(401))
    );
    let page = Browser::new(DESKTOP).open(world.gateway, target).await;
    assert!(page.text().contains("请在微信中打开"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_more_is_asked_too_and_keeps_what_they_had() {
    let world = world().await;
    let mut browser = world.visitor().await;
    let page = browser.open(world.gateway, "/ask").await;
    assert!(page.text().contains("需要您的微信资料"));
    assert_eq!(browser.open(world.gateway, "/").await.status, 200);
    let (answer, _) = world.visit(&mut browser, &onward(&page)).await;
    assert_eq!(answer.status, 200);
    assert!(world.app.last().value("x-wechat-nickname").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_a_fragment_goes_by_two_pages() {
    let world = world().await;
    let target = "/spa/x?a=1&b=%20";
    let mut browser = Browser::new(WECHAT);
    let page = browser.open(world.gateway, target).await;
    assert_eq!(page.status, 401);
    the_script_is_the_only_one(&page);
    assert!(page.text().contains("<body data-step=\"go\">"));
    let login = onward(&page);
    // Without scripts the browser goes on as well.
    let refresh = format!("content=\"0;url={}\"", login.replace('&', "&amp;"));
    assert!(page.text().contains(&refresh), "{}", page.text());
    let (page, trail) = browser.visit(world.gateway, &login).await;
    assert_eq!(page.status, 200, "{trail:?}");
    let back = trail.last().unwrap();
    assert!(
        back.contains("/.wxgate/return?to=%2Fspa%2Fx%3Fa%3D1%26b%3D%2520"),
        "{back}"
    );
    the_script_is_the_only_one(&page);
    assert!(page.text().contains("<body data-step=\"back\">"));
    let there = onward(&page);
    assert_eq!(there, format!("http://{}{target}", world.gateway));
    assert_eq!(
        browser.open(world.gateway, &split(&there).1).await.status,
        200
    );
    assert_eq!(world.app.last().line(), format!("GET {target} HTTP/1.1"));
    // Whoever is known already goes by the second alone.
    let answer = browser.open(world.gateway, &login).await;
    assert!(
        answer.location().contains("/.wxgate/return?to="),
        "{answer:?}"
    );
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_asks_can_keep_the_fragment_too() {
    let world = world().await;
    let page = Browser::new(WECHAT)
        .open(world.gateway, "/ask/spa?x=1")
        .await;
    the_script_is_the_only_one(&page);
    assert!(page.text().contains("<body data-step=\"keep\">"));
    assert!(page.text().contains("需要您的微信资料") && !page.text().contains("http-equiv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_leads_nowhere_else() {
    let world = world().await;
    for wrong in [
        "//evil.example",
        "https://evil.example/",
        "/%5cevil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a&to=/b",
    ] {
        let target = format!("/.wxgate/return?to={wrong}");
        let page = Browser::new(WECHAT).open(world.gateway, &target).await;
        let safe =
            page.status == 400 || onward(&page).starts_with(&format!("http://{}/", world.gateway));
        assert!(safe, "{wrong}: {} {}", page.status, page.text());
        assert!(!page.text().contains("href=\"javascript") && !page.text().contains("href=\"//"));
    }
    let page = Browser::new(WECHAT)
        .open(
            world.gateway,
            "/.wxgate/return?to=%2Fx%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        )
        .await;
    assert_eq!(page.text().matches("<script").count(), 1, "{}", page.text());
    let answer = Browser::new(WECHAT)
        .ask("POST", world.gateway, "/.wxgate/return?to=/", &[], b"")
        .await;
    assert_eq!(
        (answer.status, answer.value("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_asks_for_besides_reaches_wechat() {
    let world = World::with(Extra {
        account: "connect_redirect = true\nforce_popup = true\nlang = \"en\"",
        ..Extra::default()
    })
    .await;
    let mut browser = Browser::new(WECHAT);
    let answer = browser.open(world.gateway, "/").await;
    assert!(
        answer
            .location()
            .ends_with("&forcePopup=true&connect_redirect=1#wechat_redirect")
    );
    let (answer, _) = browser.visit(world.gateway, "/").await;
    assert_eq!(answer.status, 200);
    // The snapshot page is asked for, and is one.
    let world = World::with(Extra {
        account: "force_snapshot = true",
        ..Extra::default()
    })
    .await;
    let (page, _) = Browser::new(WECHAT).visit(world.gateway, "/member").await;
    assert!(page.text().contains("请使用完整服务"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profile_is_asked_for_in_the_accounts_language() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).await.unwrap();
            let line = String::from_utf8_lossy(&request[..count])
                .lines()
                .next()
                .unwrap()
                .to_owned();
            let body = "{\"access_token\":\"TOKEN\",\"openid\":\"oX\",\"scope\":\"snsapi_userinfo\",\"nickname\":\"Ann\"}";
            heard.lock().unwrap().push(line);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for (account, lang) in [
        ("", "zh_CN"),
        ("lang = \"zh_TW\"", "zh_TW"),
        ("lang = \"en\"", "en"),
    ] {
        let world = World::with(Extra {
            account,
            api: Some(format!("http://{api}")),
            ..Extra::default()
        })
        .await;
        let (answer, _) = world.visit(&mut Browser::new(WECHAT), "/member").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            world.app.last().value("x-wechat-nickname").as_deref(),
            Some("Ann")
        );
        let line = asked.lock().unwrap().pop().unwrap();
        let wanted = format!("GET /sns/userinfo?access_token=TOKEN&openid=oX&lang={lang} HTTP/1.1");
        assert_eq!(line, wanted);
    }
}
