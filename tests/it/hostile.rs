//! Raw bytes from people who mean it badly. Each row says what was sent; the
//! app tells what it saw. `table` runs the rows of all the other modules.

mod callbacks;
mod chunks;
mod fields;
mod floods;
mod forwarded;
mod frames;
mod framing;
mod headers;
mod hops;
mod hosts;
mod judge;
mod lines;
mod paths;
mod pseudo;
mod redirects;
mod row;
mod sessions;
mod spoofing;
mod table;

use crate::client::{Answer, Browser, WECHAT, Wire, send};
use crate::h2;
use crate::world::{Extra, OPENID, World};

/// Sends `bytes`, then sees that the gateway still serves.
async fn attack(world: &World, visitor: &mut Browser, bytes: &[u8]) -> Answer {
    let answer = send(world.gateway, bytes).await;
    assert_eq!(visitor.open(world.gateway, "/still-well").await.status, 200);
    answer
}

/// What the app saw besides the requests that show it is still served.
fn seen(world: &World) -> Vec<crate::app::Seen> {
    let mut seen = world.app.seen();
    seen.retain(|seen| {
        !seen.line().contains("/still-well") && !seen.line().starts_with("GET / HTTP")
    });
    seen
}

const SPELLINGS: &[&str] = &[
    "X-WeChat-OpenId",
    "x-wechat-openid",
    "X-WECHAT-OPENID",
    "X_WeChat_OpenId",
    "x_wechat_openid",
    "X-WeChat_OpenId",
    "X_WECHAT-OPENID",
    "X.WeChat.OpenId",
    "X-WeChat.OpenId",
    "X!WeChat!OpenId",
    "X~WeChat~OpenId",
    "X'WeChat'OpenId",
    "X|WeChat|OpenId",
    "X-WeChat-UnionId",
    "X_WeChat_Scope",
    "X-WeChat-Anything-At-All",
    "x-wechat-",
    "X+WeChat+OpenId",
    "X^WeChat^OpenId",
    "X`WeChat`OpenId",
    "X$WeChat$OpenId",
    "X%WeChat%OpenId",
    "X#WeChat#OpenId",
    "X&WeChat&OpenId",
    "X*WeChat*OpenId",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_identity_reaches_the_app() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let cookies = visitor.cookies("/");
    for name in SPELLINGS {
        for (path, cookie) in [
            ("/pay/notify", ""),
            ("/welcome", ""),
            ("/x", cookies.as_str()),
        ] {
            for (method, connection) in [
                ("GET", "keep-alive"),
                ("POST", "keep-alive"),
                ("OPTIONS", "keep-alive"),
                ("HEAD", "keep-alive"),
                ("PROPFIND", "keep-alive"),
                // Named here, the engine takes it away itself.
                ("GET", name),
            ] {
                let text = format!(
                    "{method} {path} HTTP/1.1\r\nHost: {0}\r\nCookie: {cookie}\r\n{name}: spoofed\r\n{name}: spoofed\r\n\
                     Connection: {connection}\r\nContent-Length: 0\r\n\r\n",
                    world.gateway
                );
                let answer = attack(&world, &mut visitor, text.as_bytes()).await;
                assert!(
                    matches!(answer.status, 200 | 400),
                    "{method} {name}: {answer:?}"
                );
            }
        }
    }
    let seen = seen(&world);
    assert!(
        seen.len() > 100,
        "most of these requests are good but for one header"
    );
    for request in seen {
        let text = request.text();
        assert!(!text.contains("spoofed"), "{text}");
        let expected = if request.line().contains(" /x ") {
            vec![OPENID.to_owned()]
        } else {
            vec![]
        };
        assert_eq!(request.values("x-wechat-openid"), expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_header_takes_nothing_of_ours_away() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let cookies = visitor.cookies("/");
    for named in [
        "X-WeChat-OpenId",
        "x-wechat-openid, X-WeChat-AppId",
        "close, X-WeChat-OpenId",
        "keep-alive, x-wechat-scope",
        "X-Request-Id",
        "X-Real-IP, X-WeChat-OpenId",
    ] {
        let text = format!(
            "GET /x HTTP/1.1\r\nHost: {}\r\nCookie: {cookies}\r\nConnection: {named}\r\n\r\n",
            world.gateway
        );
        let answer = attack(&world, &mut visitor, text.as_bytes()).await;
        assert_eq!(answer.status, 200, "{named}");
        let request = seen(&world).pop().unwrap();
        for name in [
            "x-wechat-openid",
            "x-wechat-appid",
            "x-wechat-scope",
            "x-request-id",
            "x-real-ip",
            "x-forwarded-for",
        ] {
            assert!(
                request.value(name).is_some(),
                "{named} took {name}: {}",
                request.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_or_moved_session_is_none() {
    let world = World::new().await;
    let elsewhere = World::new().await;
    let mut visitor = world.visitor().await;
    let own = visitor.cookie("wxgate_shop").unwrap().value.clone();
    let (login, _) = world.begin("/").await;
    let login = login.cookie("wxgate-login-").unwrap().value.clone();
    let mut values = vec![
        String::new(),
        "1".to_owned(),
        format!("{own}="),
        format!("{own}A"),
        own[..own.len() - 1].to_owned(),
        own.to_ascii_uppercase(),
        format!("\"{own}\""),
        format!("{own}.{own}"),
        login,
        elsewhere
            .visitor()
            .await
            .cookie("wxgate_shop")
            .unwrap()
            .value
            .clone(),
        OPENID.to_owned(),
    ];
    for at in (0..own.len()).step_by(7) {
        let mut bytes = own.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        values.push(String::from_utf8(bytes).unwrap());
    }
    for value in values {
        let text = format!(
            "GET /x HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nCookie: wxgate_shop={value}\r\n\r\n",
            world.gateway
        );
        assert_eq!(
            attack(&world, &mut visitor, text.as_bytes()).await.status,
            401,
            "{value}"
        );
    }
    for line in [
        format!("Cookie: wxgate_shop={own}; wxgate_shop={own}\r\n"),
        format!("Cookie: wxgate_shop={own}\r\nCookie: wxgate_shop=x\r\n"),
        format!("Cookie: Wxgate_Shop={own}\r\n"),
        format!("Cookie: wxgate_shop ={own}x\r\n"),
        format!("Cookie: wxgate_other={own}\r\n"),
        format!("Authorization: Bearer {own}\r\n"),
    ] {
        let text = format!(
            "GET /x HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n{line}\r\n",
            world.gateway
        );
        assert_eq!(
            attack(&world, &mut visitor, text.as_bytes()).await.status,
            401,
            "{line}"
        );
    }
    assert!(seen(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_looks_public_is_not() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    for path in [
        "/pay/notify/../../admin",
        "/pay/notify/..%2f..%2fadmin",
        "/pay/notify%2f..%2f..%2fadmin",
        "/pay/notify/%2e%2e/%2e%2e/admin",
        "/pay/notify/..;/..;/admin",
        "/pay/notify/..%5c..%5cadmin",
        "/pay/notify\\..\\..\\admin",
        "/pay/notify%00/../admin",
        "/pay/notify/%252e%252e/admin",
        "/pay/notify/%c0%ae%c0%ae/admin",
        "/pay/notify%3b/../admin",
        "//pay/notify",
        "/pay//notify/../x",
        "/./pay/notify",
        "/PAY/NOTIFY",
        "/pay/notifyx",
        "/pay/notify.php",
        "/pay/notify%20",
        "/pay",
        "/xpay/notify",
        "/pay/notify%23/admin",
        "/admin?/pay/notify",
        "/admin?x=/pay/notify/../",
        "/admin;/pay/notify",
        "/admin%2f..%2fpay/notify",
        "/welcome/../admin",
        "/welcome%2f..%2fadmin",
        "/x/../welcome",
    ] {
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\r\n",
            world.gateway
        );
        let answer = attack(&world, &mut visitor, text.as_bytes()).await;
        // `%20` and `%23` stay within the segment for every reader.
        assert!(
            matches!(answer.status, 400 | 401),
            "{path}: {}",
            answer.status
        );
    }
    for header in [
        "X-Original-URL: /pay/notify",
        "X-Rewrite-Url: /pay/notify",
        "X-Forwarded-Uri: /pay/notify",
        "X-HTTP-Method-Override: POST",
        "X-Forwarded-Host: public.example",
        "X-Forwarded-Prefix: /pay/notify",
        "User-Agent: GoogleHC/1.0",
        "X-Forwarded-Method: OPTIONS",
    ] {
        let text = format!(
            "GET /admin HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n{header}\r\n\r\n",
            world.gateway
        );
        assert_eq!(
            attack(&world, &mut visitor, text.as_bytes()).await.status,
            401,
            "{header}"
        );
    }
    assert!(
        seen(&world).is_empty(),
        "{:?}",
        seen(&world)
            .iter()
            .map(|seen| seen.line())
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_needs_the_session() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get", "FOO",
    ] {
        let text = format!(
            "{method} /x HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n",
            world.gateway
        );
        assert_eq!(
            attack(&world, &mut visitor, text.as_bytes()).await.status,
            401,
            "{method}"
        );
    }
    for method in ["TRACE", "CONNECT"] {
        let text = format!(
            "{method} /x HTTP/1.1\r\nHost: {0}\r\nCookie: {1}\r\n\r\n",
            world.gateway,
            visitor.cookies("/")
        );
        assert_eq!(
            attack(&world, &mut visitor, text.as_bytes()).await.status,
            405,
            "{method}"
        );
    }
    assert!(seen(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let host = world.gateway.to_string();
    let cookies = visitor.cookies("/");
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let rows: Vec<String> = vec![
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG{smuggled}"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nContent-Length: +5\r\n\r\nhello"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /x HTTP/1.0\r\nHost: {host}\r\nCookie: {cookies}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nHost: other\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost:\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: {host}/pay/notify\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: user@{host}\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET http://other/x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n"),
        format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n"),
        format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nX-A: b\r\n folded\r\n\r\n"
        ),
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nX-A : b\r\n\r\n"),
        format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nX-A: b\rX-WeChat-OpenId: spoofed\r\n\r\n"
        ),
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nX-A: b\0c\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nConnection: Host\r\n\r\n"),
        format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nConnection: X-Forwarded-For\r\n\r\n"
        ),
        format!("GET /x HTTP/9.9\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET /x\r\nHost: {host}\r\n\r\n"),
        "\u{16}\u{3}\u{1}\u{2}\r\n\r\n".to_owned(),
    ];
    for row in rows {
        let mut wire = Wire::to(world.gateway).await;
        wire.send(&row).await;
        wire.finish().await;
        let answer = wire.answer(false).await;
        assert!(answer.status == 400 || answer.closed, "{row:?}: {answer:?}");
        assert!(wire.is_closed().await, "the connection stays open: {row:?}");
        assert_eq!(visitor.open(world.gateway, "/still-well").await.status, 200);
    }
    let seen = seen(&world);
    assert!(
        seen.is_empty(),
        "{:?}",
        seen.iter().map(|seen| seen.text()).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_a_request_are_no_second_one() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let cookies = visitor.cookies("/");
    let host = world.gateway;
    for first in [
        format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        ),
        format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nContent-Length: 1\r\n\r\nx"
        ),
        format!("GET /switch HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n"),
    ] {
        let text = format!(
            "{first}GET /smuggled HTTP/1.1\r\nHost: {host}\r\nX-WeChat-OpenId: spoofed\r\n\r\n"
        );
        attack(&world, &mut visitor, text.as_bytes()).await;
    }
    for request in seen(&world) {
        assert!(
            !request.text().contains("spoofed") && !request.line().contains("smuggled"),
            "{}",
            request.text()
        );
        assert_eq!(
            request
                .value("upgrade")
                .filter(|value| value != "websocket"),
            None
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_cannot_switch_protocols_uninvited() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let answer = visitor.open(world.gateway, "/switch").await;
    assert_eq!(answer.status, 502);
    assert!(!answer.text().contains("smuggled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_never_leaves_the_host() {
    let world = World::new().await;
    for target in [
        "//evil.example/x",
        "///evil.example",
        "/\\evil.example",
        "/x//evil.example",
        "/.//evil.example",
        "/%2f/evil.example",
    ] {
        let mut browser = Browser::new(WECHAT);
        let (answer, trail) = browser.visit(world.gateway, target).await;
        assert!(matches!(answer.status, 200 | 400), "{target}: {answer:?}");
        for stop in trail {
            let ours = stop.starts_with(&format!("http://{}/", world.gateway))
                || stop.starts_with(&format!("{}/", world.simulator.base_url()));
            assert!(ours, "{target} led to {stop}");
        }
    }
    // What the request says of its own host goes nowhere.
    let text = format!(
        "GET /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: javascript\r\nForwarded: host=evil.example\r\n\
         User-Agent: {WECHAT}\r\nAccept: text/html\r\n\r\n"
    );
    let answer = send(world.gateway, text).await;
    assert!(!answer.everything().contains("evil.example"), "{answer:?}");
    assert!(answer.location().contains(&format!(
        "redirect_uri=http%3A%2F%2F127.0.0.1%3A{}%2F",
        world.gateway.port()
    )));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_its_way_is_rebuilt() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let claims = [
        ("X-Forwarded-For", "1.1.1.1"),
        ("X-Forwarded-Proto", "ftp"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "for=1.1.1.1"),
        ("X-Real-IP", "1.1.1.1"),
        ("True-Client-IP", "1.1.1.1"),
        ("Client-IP", "1.1.1.1"),
        ("X-Client-IP", "1.1.1.1"),
        ("X-Original-URL", "/evil"),
        ("X-Rewrite-URL", "/evil"),
        ("X-Request-Id", "evil"),
        ("X_Forwarded_For", "1.1.1.1"),
        ("X_Real_IP", "1.1.1.1"),
    ];
    visitor.ask("GET", world.gateway, "/x", &claims, b"").await;
    let seen = world.app.last();
    assert!(
        !seen.text().contains("1.1.1.1") && !seen.text().contains("evil"),
        "{}",
        seen.text()
    );
    assert_eq!(seen.value("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.value("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(
        seen.value("x-forwarded-host"),
        Some(world.gateway.to_string())
    );
    assert_eq!(seen.value("x-real-ip").as_deref(), Some("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn request_trailers_stay_behind() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let text = format!(
        "POST /x HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nTransfer-Encoding: chunked\r\nTrailer: X-WeChat-OpenId\r\n\r\n\
         2\r\nhi\r\n0\r\nX-WeChat-OpenId: spoofed\r\n\r\n",
        world.gateway,
        visitor.cookies("/")
    );
    attack(&world, &mut visitor, text.as_bytes()).await;
    for request in seen(&world) {
        assert!(!request.text().contains("spoofed"), "{}", request.text());
        assert_eq!(request.value("trailer"), None);
        assert_eq!(request.body, b"hi");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_passes_on_unknowing_is_not_believed() {
    let world = World::with(Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        ..Extra::default()
    })
    .await;
    let mut client = Browser::new(WECHAT);
    for name in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Port",
        "True-Client-IP",
        "Client-IP",
        "Forwarded",
        "X.Forwarded.For",
        "X.Real.IP",
    ] {
        let answer = client
            .ask(
                "GET",
                world.gateway,
                "/pay/notify",
                &[(name, "spoofed")],
                b"",
            )
            .await;
        assert_eq!(answer.status, 200, "{name}");
        let seen = world.app.last();
        assert!(!seen.text().contains("spoofed"), "{}", seen.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_for_another_sites_page_gets_no_visitor() {
    let world = World::new().await;
    let visitor = world.visitor().await;
    let own = format!("http://{}", world.gateway);
    for (origin, status) in [
        ("https://evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("null", 403),
        ("", 403),
        (own.as_str(), 101),
    ] {
        let headers = [
            ("Origin", origin),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
        ];
        let answer = send(
            world.gateway,
            visitor.request("GET", world.gateway, "/socket", &headers, b""),
        )
        .await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_before_it_is_read() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let host = world.gateway;
    for (request, status) in [
        (
            format!(
                "GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n",
                "a/../".repeat(4_000)
            ),
            414,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\n\r\n",
                "a=b; ".repeat(20_000)
            ),
            431,
        ),
    ] {
        assert_eq!(
            attack(&world, &mut visitor, request.as_bytes())
                .await
                .status,
            status
        );
    }
    assert!(seen(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_leads_to_no_other_host() {
    let world = World::new().await;
    for (target, link) in [
        ("//evil.example/x", "/.//evil.example/x"),
        ("/\\evil.example/x", "/./\\evil.example/x"),
    ] {
        let mut desktop = Browser::new(crate::client::DESKTOP);
        let page = desktop.open(world.gateway, target).await;
        assert_eq!(page.status, 403);
        assert!(
            page.text().contains(&format!("href=\"{link}\"")),
            "{}",
            page.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_where_it_was_asked_for_alone() {
    for (server, spoken) in [("", false), ("h2c = true", true)] {
        let world = World::with(Extra {
            server,
            ..Extra::default()
        })
        .await;
        let host = world.gateway.to_string();
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", host.as_str()),
            (":path", "/pay/notify"),
        ];
        let flags = h2::END_STREAM | h2::END_HEADERS;
        let request = h2::frame(h2::HEADERS, flags, 1, &h2::block(&fields));
        let mut connection = h2::Connection::to(world.gateway).await;
        connection.send(&request).await;
        let outcome = connection.outcome(1).await;
        assert_eq!(
            matches!(outcome, h2::Outcome::Answer(200, _)),
            spoken,
            "{outcome:?}"
        );
        assert_eq!(world.app.seen().len(), usize::from(spoken));
        // HTTP/1.1 is spoken beside it, by requests shorter than HTTP/2's preface.
        let answer = send(world.gateway, "GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(answer.status, 400);
    }
}
