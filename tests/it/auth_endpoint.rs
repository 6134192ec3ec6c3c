//! `/.wxgate/auth`: a proxy asks about a request and takes it to the app itself.

use std::net::SocketAddr;

use wxgate::cookies::{CookieSettings, SameSiteSetting};

use crate::client::{Answer, Browser, DESKTOP, WECHAT, Wire};
use crate::issued::Issued;
use crate::world::{Extra, OPENID, World};

/// Routes whose requests a proxy takes to their app.
const ROUTES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/only"
upstream = "none"
account = "shop"

[[routes]]
host = "127.0.0.1"
path = "/only/open"
upstream = "none"
auth = "none"

[[routes]]
host = "127.0.0.1"
path = "/only/read"
upstream = "none"
account = "shop"
methods = ["GET", "HEAD"]

[[routes]]
host = "127.0.0.1"
path = "/proof"
upstream = "none"
account = "shop"
assertion = true

[[routes]]
host = "127.0.0.1"
path = "/sent-proof"
upstream = "http://{app}"
account = "shop"
assertion = true

[[routes]]
host = "127.0.0.1"
path = "/token"
upstream = "http://{app}"
account = "shop"
access_token = true

[[routes]]
host = "127.0.0.1"
path = "/asks"
upstream = "none"
account = "shop"
scope = "snsapi_userinfo"
consent_page = true

[[routes]]
host = "127.0.0.1"
path = "/fragment"
upstream = "none"
account = "shop"
keep_fragment = true
"#;

/// Every header that may be told.
const FAMILY: [&str; 11] = [
    "x-wechat-openid",
    "x-wechat-appid",
    "x-wechat-scope",
    "x-wechat-unionid",
    "x-wechat-nickname",
    "x-wechat-avatar",
    "x-wechat-snapshot",
    "x-wechat-assertion",
    "x-wechat-access-token",
    "x-wechat-pay-openid",
    "x-wechat-pay-appid",
];

async fn world() -> World {
    World::with(Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        tables: ROUTES,
        ..Extra::default()
    })
    .await
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// A proxy, by how it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proxy {
    Nginx,
    Caddy,
    Envoy,
}

const PROXIES: [Proxy; 3] = [Proxy::Nginx, Proxy::Caddy, Proxy::Envoy];

impl Proxy {
    /// The question about a request that `browser` sends to the proxy for
    /// `gateway`'s host.
    fn question(
        self,
        browser: &Browser,
        gateway: SocketAddr,
        [method, target]: [&str; 2],
        headers: &[(&str, &str)],
    ) -> Vec<u8> {
        let host = gateway.to_string();
        let mut all = headers.to_vec();
        let own: &[(&str, &str)] = match self {
            Self::Nginx => &[("X-Original-URI", target), ("X-Original-Method", method)],
            Self::Caddy => &[
                ("X-Forwarded-Uri", target),
                ("X-Forwarded-Method", method),
                ("X-Forwarded-Host", &host),
                ("X-Forwarded-Proto", "http"),
            ],
            Self::Envoy => &[],
        };
        all.extend_from_slice(own);
        match self {
            Self::Nginx | Self::Caddy => {
                browser.request("GET", gateway, "/.wxgate/auth", &all, b"")
            }
            Self::Envoy => {
                let target = format!("/.wxgate/auth{target}");
                browser.request(method, gateway, &target, &all, b"")
            }
        }
    }

    /// The answer to it.
    async fn ask(
        self,
        browser: &mut Browser,
        gateway: SocketAddr,
        request: [&str; 2],
        headers: &[(&str, &str)],
    ) -> Answer {
        let question = self.question(browser, gateway, request, headers);
        let answer = crate::client::send(gateway, question).await;
        browser.keep(&answer);
        answer
    }
}

/// That an answer is "yes", for nobody in particular or for the visitor.
fn assert_yes(answer: &Answer, openid: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
    for name in FAMILY {
        assert_eq!(answer.values(name).len(), 1, "{name}: {answer:?}");
    }
    assert_eq!(answer.value("x-wechat-openid"), Some(openid), "{answer:?}");
    assert!(
        answer
            .value("x-request-id")
            .is_some_and(|id| !id.is_empty())
    );
    assert_eq!(answer.value("cache-control"), Some("no-store"));
}

/// That it is "no", and says nothing of anybody.
fn assert_no(answer: &Answer, what: &str) {
    assert!(answer.status >= 300, "{what}: {answer:?}");
    for name in FAMILY {
        assert!(answer.values(name).is_empty(), "{what}: {answer:?}");
    }
    assert!(!answer.everything().contains(OPENID), "{what}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_says_who_the_visitor_is_and_empties_the_rest() {
    let world = world().await;
    let mut browser = world.visitor().await;
    let before = world.app.seen().len();
    for proxy in PROXIES {
        for method in ["GET", "HEAD", "POST", "DELETE", "PURGE"] {
            for target in ["/cart?a=1&b=%2F", "/only/x"] {
                let forged = [("X-WeChat-OpenId", "forged"), ("X-WeChat-Snapshot", "1")];
                let request = [method, target];
                let answer = proxy
                    .ask(&mut browser, world.gateway, request, &forged)
                    .await;
                assert_yes(&answer, OPENID);
                assert_eq!(answer.value("x-wechat-appid"), Some(&*world.app_id));
                assert_eq!(answer.value("x-wechat-scope"), Some("snsapi_base"));
                assert!(answer.values("set-cookie").is_empty());
                for name in &FAMILY[3..] {
                    assert_eq!(answer.value(name), Some(""), "{name}");
                }
            }
        }
        // Nobody is known where nobody is asked for, session or none.
        for target in ["/pay/notify", "/only/open/x", "/only/open"] {
            let request = ["POST", target];
            let answer = proxy.ask(&mut browser, world.gateway, request, &[]).await;
            assert_yes(&answer, "");
            assert_eq!(answer.value("x-wechat-appid"), Some(""));
        }
        let mut stranger = Browser::new(WECHAT);
        let request = ["GET", "/welcome"];
        let answer = proxy.ask(&mut stranger, world.gateway, request, &[]).await;
        assert_yes(&answer, "");
        let answer = proxy.ask(&mut browser, world.gateway, request, &[]).await;
        assert_yes(&answer, OPENID);
    }
    assert_eq!(
        world.app.seen().len(),
        before,
        "the app is the proxy's to ask"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_a_trusted_proxy_is_answered() {
    let trusting = world().await;
    let nobodys = World::with_tables(ROUTES).await;
    for (world, address) in [(&trusting, "127.0.0.2"), (&nobodys, "127.0.0.1")] {
        let browser = world.visitor().await;
        let mut seen = Vec::new();
        for proxy in PROXIES {
            for browser in [&browser, &Browser::new(WECHAT)] {
                for target in ["/only/open", "/only/x", "/nowhere/../x"] {
                    let question = proxy.question(browser, world.gateway, ["GET", target], &[]);
                    let mut wire = Wire::from(address.parse().unwrap(), world.gateway).await;
                    wire.send(question).await;
                    let mut answer = wire.answer(false).await;
                    assert_eq!(answer.status, 403, "{answer:?}");
                    answer
                        .headers
                        .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
                    seen.push((answer.headers, answer.body));
                }
            }
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "all are told the same: {seen:?}");
        assert!(seen[0].1.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_the_way_leads_through_wechat_and_back() {
    let world = world().await;
    let target = "/only/goods?q=%E8%8C%B6%2F&x=a+b";
    for proxy in PROXIES {
        let mut browser = Browser::new(WECHAT);
        let request = ["GET", target];
        let answer = proxy.ask(&mut browser, world.gateway, request, &[]).await;
        assert_no(&answer, target);
        let status = if proxy == Proxy::Nginx { 401 } else { 302 };
        assert_eq!(answer.status, status, "{answer:?}");
        let mut to = answer.location().to_owned();
        if proxy == Proxy::Nginx {
            assert!(to.contains("/.wxgate/login?to=%2Fonly%2Fgoods%3F"), "{to}");
            assert!(answer.values("set-cookie").is_empty());
            to = browser.open_url(&to).await.location().to_owned();
        }
        assert!(to.contains("/connect/oauth2/authorize?"), "{to}");
        let callback = browser.open_url(&to).await.location().to_owned();
        let back = browser.open_url(&callback).await.location().to_owned();
        assert_eq!(back, format!("http://{}{target}", world.gateway));
        let answer = proxy.ask(&mut browser, world.gateway, request, &[]).await;
        assert_yes(&answer, OPENID);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_sent_to_wechat_is_told_as_if_asking_here() {
    let world = world().await;
    let json = [("Accept", "application/json")];
    let form = [
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    let xhr = [("X-Requested-With", "XMLHttpRequest")];
    let socket = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let cases: [(&str, [&str; 2], Headers<'_>, u16); 7] = [
        (WECHAT, ["GET", "/only/x"], &json, 401),
        (WECHAT, ["GET", "/only/x"], &xhr, 401),
        (WECHAT, ["GET", "/only/x"], &socket, 401),
        (WECHAT, ["POST", "/only/x"], &[], 401),
        (WECHAT, ["POST", "/only/x"], &form, 401),
        (DESKTOP, ["GET", "/only/x"], &[], 401),
        (WECHAT, ["POST", "/only/read"], &[], 403),
    ];
    for (agent, [method, target], headers, for_nginx) in cases {
        let what = format!("{method} {target} {headers:?}");
        let mut browser = Browser::new(agent);
        // What the gateway says to such a request that comes by itself.
        let own = browser
            .ask(method, world.gateway, target, headers, b"")
            .await;
        for proxy in PROXIES {
            let request = [method, target];
            let answer = proxy
                .ask(&mut browser, world.gateway, request, headers)
                .await;
            assert_no(&answer, &what);
            if proxy == Proxy::Nginx {
                assert_eq!(answer.status, for_nginx, "{what}");
                let login = answer.value("location").is_some();
                assert_eq!(login, for_nginx == 401, "{what}");
            } else {
                assert_eq!(answer.status, own.status, "{what}: {answer:?}");
                let kind = answer.value("content-type");
                assert_eq!(kind, own.value("content-type"), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_asks_first_is_no_yes() {
    let world = world().await;
    for target in ["/asks/x", "/fragment/x"] {
        let mut browser = Browser::new(WECHAT);
        for proxy in PROXIES {
            let request = ["GET", target];
            let answer = proxy.ask(&mut browser, world.gateway, request, &[]).await;
            assert_eq!(answer.status, 401, "{answer:?}");
            assert_no(&answer, target);
            if proxy != Proxy::Nginx {
                assert!(answer.text().contains("/.wxgate/login?to="), "{answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_that_is_forwarded_is_the_path_that_decides() {
    let world = world().await;
    for target in [
        "/only/open/../x",
        "/only/open/%2e%2e/x",
        "/only/open/..%2fx",
        "/only/open%2f..%2fx",
        "/only/open/..;/x",
        "/only/open/%252e%252e/x",
        "//only/open/..//x",
        "/only/openx",
        "/only/open\\..\\x",
        "/only/x?/../open",
        "/only/x?path=/only/open",
        "/only/x/..;/open",
        "/only/x%23/../open",
        "/only//open",
        "/ONLY/open/../x",
        "/x/../pay/notify",
        "//pay/notify",
        "/pay%2fnotify",
        "/.wxgate/me",
        "/.wxgate/callback?code=x&state=y",
        "/.wxgate/auth",
        "/.wxgate/auth/only/open",
        "/MP_verify_AbCdEfGhIjKlMnOp.txt",
    ] {
        for proxy in PROXIES {
            // Neither without a session, nor below the gateway's own path with one.
            let mut browser = Browser::new(WECHAT);
            let request = ["GET", target];
            let answer = proxy.ask(&mut browser, world.gateway, request, &[]).await;
            assert_no(&answer, &format!("{proxy:?} {target}"));
        }
    }
    let mut browser = world.visitor().await;
    for target in [
        "/only/open/../x",
        "/.wxgate/me",
        "/.wxgate/auth/only/open",
        "/MP_verify_AbCdEfGhIjKlMnOp.txt",
    ] {
        for proxy in PROXIES {
            let request = ["GET", target];
            let answer = proxy.ask(&mut browser, world.gateway, request, &[]).await;
            assert_no(&answer, &format!("{proxy:?} {target}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_twice_or_in_two_ways_is_refused() {
    let world = world().await;
    let mut browser = world.visitor().await;
    let cases: [(Proxy, Headers<'_>); 14] = [
        // A client's own beside the proxy's.
        (Proxy::Nginx, &[("X-Original-URI", "/only/open")]),
        (Proxy::Nginx, &[("X-Original-Method", "GET")]),
        (Proxy::Nginx, &[("X-Forwarded-Uri", "/only/open")]),
        (Proxy::Nginx, &[("X-Forwarded-Host", "other.example")]),
        (Proxy::Caddy, &[("X-Original-URI", "/only/open")]),
        (Proxy::Caddy, &[("X-Forwarded-Uri", "/only/open")]),
        (Proxy::Caddy, &[("X-Forwarded-Method", "GET")]),
        (Proxy::Caddy, &[("X-Forwarded-Host", "127.0.0.1")]),
        (Proxy::Caddy, &[("X-Forwarded-Proto", "https")]),
        (Proxy::Envoy, &[("X-Original-URI", "/only/open")]),
        (Proxy::Envoy, &[("X-Forwarded-Uri", "/only/open")]),
        // What would tell the app something else.
        (Proxy::Nginx, &[("X_WeChat_OpenId", "forged")]),
        (Proxy::Caddy, &[("X.WeChat.OpenId", "forged")]),
        (Proxy::Envoy, &[("X-Rewrite-Url", "/admin")]),
    ];
    for (proxy, forged) in cases {
        for target in ["/only/x", "/only/open"] {
            let answer = proxy
                .ask(&mut browser, world.gateway, ["GET", target], forged)
                .await;
            assert_eq!(answer.status, 403, "{proxy:?} {forged:?}");
            assert_no(&answer, &format!("{proxy:?} {forged:?}"));
        }
    }
    // Nothing is told.
    let alone = browser.open(world.gateway, "/.wxgate/auth").await;
    assert_eq!(alone.status, 403);
    let query = "/.wxgate/auth?redirect=1";
    let answer = browser.open(world.gateway, query).await;
    assert_eq!(answer.status, 403);
    // A name that makes one method another, where methods decide.
    for (target, status) in [("/only/read", 403), ("/only/x", 200)] {
        let forged = [("X-HTTP-Method-Override", "DELETE")];
        for proxy in PROXIES {
            let request = ["GET", target];
            let answer = proxy
                .ask(&mut browser, world.gateway, request, &forged)
                .await;
            assert_eq!(answer.status, status, "{proxy:?} {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_of_another_sites_page_is_refused_however_it_is_told() {
    let world = world().await;
    let mut browser = world.visitor().await;
    let own = format!("http://{}", world.gateway);
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let stripped = [("Sec-WebSocket-Version", "13")];
    let keyed = [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")];
    let forms: [Headers<'_>; 3] = [&upgrade, &stripped, &keyed];
    for proxy in PROXIES {
        for form in forms {
            for (origin, status) in [("https://evil.example", 403), (own.as_str(), 200)] {
                let headers = [form, &[("Origin", origin)]].concat();
                let request = ["GET", "/only/socket"];
                let answer = proxy
                    .ask(&mut browser, world.gateway, request, &headers)
                    .await;
                assert_eq!(answer.status, status, "{proxy:?} {headers:?} {answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_in_the_answer_and_ends_with_a_logout() {
    let world = World::with(Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        tables: ROUTES,
        ..Extra::default()
    })
    .await;
    let mut browser = world.visitor().await;
    let copied = browser.cookies("/");
    let origin = format!("http://{}", world.gateway);
    // Under a new key every session is written anew.
    let reloads = world.reload(|text| {
        let first = wxgate::signing::generate_key().unwrap();
        std::fs::write(world.dir().join("new.key"), first.expose()).unwrap();
        let keys = "keys = [{ file = \"new.key\" }, { file = \"state/session.key\" }]";
        text.replacen("[session]", &format!("[session]\n{keys}"), 1)
    });
    assert_eq!(reloads.applied, 1, "{reloads:?}");
    for proxy in PROXIES {
        let mut old = Browser::new(WECHAT);
        let cookie = [("Cookie", copied.as_str())];
        let answer = proxy
            .ask(&mut old, world.gateway, ["GET", "/only/x"], &cookie)
            .await;
        assert_yes(&answer, OPENID);
        let renewed = answer.values("set-cookie");
        assert!(
            renewed.len() == 1 && renewed[0].starts_with("wxgate_shop="),
            "{answer:?}"
        );
        let answer = proxy
            .ask(&mut old, world.gateway, ["GET", "/only/x"], &[])
            .await;
        assert_yes(&answer, OPENID);
        assert!(answer.values("set-cookie").is_empty());
    }
    let headers = [("Origin", origin.as_str()), ("Accept", "application/json")];
    let answer = browser
        .ask("POST", world.gateway, "/.wxgate/logout", &headers, b"")
        .await;
    assert_eq!(answer.status, 200);
    for proxy in PROXIES {
        let cookie = [("Cookie", copied.as_str())];
        let answer = proxy
            .ask(
                &mut Browser::new(WECHAT),
                world.gateway,
                ["GET", "/only/x"],
                &cookie,
            )
            .await;
        assert_no(&answer, "after a logout");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_for_routes_that_are_asked_about_and_tokens_for_none() {
    let world = world().await;
    let mut browser = world.visitor().await;
    for target in ["/proof", "/token", "/sent-proof"] {
        let (answer, _) = browser.visit(world.gateway, target).await;
        assert_eq!(answer.status, if target == "/proof" { 404 } else { 200 });
    }
    for proxy in PROXIES {
        let answer = proxy
            .ask(&mut browser, world.gateway, ["GET", "/proof"], &[])
            .await;
        assert_yes(&answer, OPENID);
        let proof = answer.value("x-wechat-assertion").unwrap();
        assert_eq!(proof.split('.').count(), 3, "{proof}");
        for target in ["/token", "/sent-proof"] {
            let answer = proxy
                .ask(&mut browser, world.gateway, ["GET", target], &[])
                .await;
            assert_eq!(answer.status, 403, "{answer:?}");
            assert_no(&answer, target);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_an_app_is_never_forwarded() {
    let world = world().await;
    let before = world.app.seen().len();
    let mut browser = world.visitor().await;
    for target in ["/only/x", "/only/open"] {
        for method in ["GET", "POST"] {
            let answer = browser.ask(method, world.gateway, target, &[], b"").await;
            assert_eq!(answer.status, 404, "{answer:?}");
        }
    }
    // The one request was the visitor's first.
    assert_eq!(world.app.seen().len(), before + 1);
    let answer = Browser::new(WECHAT).open(world.gateway, "/only/x").await;
    assert!(answer.location().contains("/connect/oauth2/authorize?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_sent_to_https_by_what_the_proxy_tells() {
    let issued = Issued::for_hosts(&["127.0.0.1"]);
    let world = World::over_tls(
        Extra {
            server: "trusted_proxies = [\"127.0.0.1\"]",
            tables: ROUTES,
            ..Extra::default()
        },
        &[("[\"127.0.0.1\"]", [&issued.cert, &issued.key])],
        "redirect_http = true",
    )
    .await;
    let browser = Browser::new(WECHAT);
    let question = |proto: &'static str| {
        let told = [
            ("X-Forwarded-Uri", "/only/open"),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Host", "127.0.0.1"),
            ("X-Forwarded-Proto", proto),
        ];
        browser.request("GET", world.plain, "/.wxgate/auth", &told, b"")
    };
    let answer = crate::client::send(world.plain, question("https")).await;
    assert_yes(&answer, "");
    let answer = crate::client::send(world.plain, question("http")).await;
    assert_eq!(answer.status, 308, "{answer:?}");
    assert!(answer.location().ends_with("/only/open"), "{answer:?}");
    assert_no(&answer, "plain http");
}

#[test]
fn the_cookies_that_traefik_is_to_pass_on_are_called_as_they_are_here() {
    let text = include_str!("../../deploy/traefik/forward-auth.yml");
    let (_, list) = text.split_once("# addAuthCookiesToResponse: ").unwrap();
    let listed: Vec<String> = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let settings = CookieSettings::new("wxgate", None, SameSiteSetting::Lax, true);
    let (session, pays) = (|of| settings.session_name(of), settings.pay_name("pay"));
    assert_eq!(listed, [session("shop"), session("desk"), pays]);
}
