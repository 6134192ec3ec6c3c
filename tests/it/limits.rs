//! What one address, and all together, may not do; and that a visitor with a
//! session notices nothing of it.

use std::net::IpAddr;
use std::time::Duration;

use wxgate::simulator::Mood;

use crate::client::{Answer, Browser, WECHAT, Wire, send};
use crate::world::{Extra, World};

const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// One request of `browser` from another address of this machine.
async fn ask_from(
    address: [u8; 4],
    world: &World,
    browser: &mut Browser,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut wire = Wire::from(IpAddr::from(address), world.gateway).await;
    wire.send(browser.request("GET", world.gateway, target, headers, b""))
        .await;
    let answer = wire.answer(false).await;
    browser.keep(&answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_comes_drop_by_drop_is_cut_off() {
    let world = World::with(Extra {
        limits: "header_timeout = \"1s\"",
        ..Extra::default()
    })
    .await;
    let mut visitor = world.visitor().await;
    let whole = visitor.request("GET", world.gateway, "/x", &[], b"");
    for before in [&b""[..], &whole[..]] {
        let mut wire = Wire::to(world.gateway).await;
        if !before.is_empty() {
            wire.send(before).await;
            assert_eq!(wire.answer(false).await.status, 200);
        }
        let began = std::time::Instant::now();
        let mut drops = tokio::time::interval(Duration::from_millis(50));
        let mut closed = Box::pin(async {
            // One drop each time, for as long as anybody takes it.
            for byte in b"GET / HTTP/1.1\r\nX-Slow: "
                .iter()
                .chain(std::iter::repeat_n(&b'x', 1000))
            {
                drops.tick().await;
                if !wire.try_send(&[*byte]).await {
                    return true;
                }
            }
            false
        });
        assert!(closed.as_mut().await, "the gateway takes every drop");
        assert!(began.elapsed() >= Duration::from_millis(900));
    }
    assert_eq!(visitor.open(world.gateway, "/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_above_all_limits_is_not_kept() {
    let world = World::new().await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send("GET / HTTP/1.1\r\nX-Large: ").await;
    let mut sent = 0;
    while sent < 8 << 20 && wire.try_send(&[b'x'; 16 * 1024]).await {
        sent += 16 * 1024;
    }
    // What the sockets between hold comes on top.
    assert!(sent < 8 << 20, "{sent} bytes were taken");
    assert_eq!(
        world.visitor().await.open(world.gateway, "/").await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_a_number_of_connections() {
    let world = World::with(Extra {
        limits: "connections_per_address = 3",
        ..Extra::default()
    })
    .await;
    let mut browser = Browser::new(WECHAT);
    let request = browser.request("GET", world.gateway, "/pay/notify", &[], b"");
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::to(world.gateway).await;
        wire.send(&request).await;
        assert_eq!(wire.answer(false).await.status, 200);
        open.push(wire);
    }
    let mut refused = Wire::to(world.gateway).await;
    let answer = refused.answer(false).await;
    assert_eq!(answer.status, 503);
    assert!(answer.value("retry-after").is_some() && refused.is_closed().await);
    let other = ask_from(ELSEWHERE, &world, &mut browser, "/pay/notify", &[]).await;
    assert_eq!(other.status, 200);
    // A place that is left can be taken; how soon is the kernel's business.
    drop(open.pop());
    let mut tries = 0;
    loop {
        let mut wire = Wire::to(world.gateway).await;
        wire.send(&request).await;
        if wire.answer(false).await.status == 200 {
            break;
        }
        tries += 1;
        assert!(tries < 10_000, "the place was not left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_together_have_a_number_of_connections() {
    let world = World::with(Extra {
        limits: "connections = 3\nconnections_per_address = 1",
        server: "trusted_proxies = [\"127.0.0.1\"]",
        ..Extra::default()
    })
    .await;
    let request = Browser::new(WECHAT).request("GET", world.gateway, "/pay/notify", &[], b"");
    let mut open = Vec::new();
    // A proxy brings many.
    for address in [[127, 0, 0, 1], [127, 0, 0, 1], ELSEWHERE] {
        let mut wire = Wire::from(IpAddr::from(address), world.gateway).await;
        wire.send(&request).await;
        assert_eq!(wire.answer(false).await.status, 200);
        open.push(wire);
    }
    let mut third = Wire::from(IpAddr::from([127, 0, 0, 3]), world.gateway).await;
    assert_eq!(third.answer(false).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_starts_a_number_of_logins() {
    let world = World::with(Extra {
        limits: "logins_per_minute = 3",
        ..Extra::default()
    })
    .await;
    let mut visitor = world.visitor().await;
    for _ in 0..2 {
        assert_eq!(
            Browser::new(WECHAT).open(world.gateway, "/x").await.status,
            302
        );
    }
    for target in ["/x", "/.wxgate/login?to=/x"] {
        let page = Browser::new(WECHAT).open(world.gateway, target).await;
        assert_eq!(page.status, 429, "{target}: {page:?}");
        assert_eq!(page.value("retry-after"), Some("60"));
        assert!(page.text().contains("登录过于频繁") && page.values("set-cookie").is_empty());
        assert!(
            page.text().contains("href=\"/x\""),
            "it leads back: {}",
            page.text()
        );
    }
    let other = ask_from(ELSEWHERE, &world, &mut Browser::new(WECHAT), "/x", &[]).await;
    assert_eq!(other.status, 302);
    assert_eq!(visitor.open(world.gateway, "/x").await.status, 200);
    assert_eq!(
        visitor
            .open(world.gateway, "/.wxgate/login?to=/x")
            .await
            .status,
        302
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_brings_a_number_of_callbacks() {
    let world = World::with(Extra {
        limits: "logins_per_minute = 4",
        ..Extra::default()
    })
    .await;
    let (mut browser, callback) = world.until_callback("/x").await;
    for code in 0..4 {
        let forged = format!("/.wxgate/callback?code=c{code}&state={code:033}");
        assert_ne!(
            browser.clone().open(world.gateway, &forged).await.status,
            429
        );
    }
    let page = browser.open(world.gateway, &callback).await;
    assert_eq!((page.status, world.exchanges()), (429, 0));
    // The code is as good as before, from wherever its browser is now.
    let answer = ask_from(ELSEWHERE, &world, &mut browser, &callback, &[]).await;
    assert_eq!((answer.status, world.exchanges()), (302, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_visitor_is_counted() {
    let world = World::with(Extra {
        limits: "logins_per_minute = 2",
        server: "trusted_proxies = [\"127.0.0.1\"]",
        ..Extra::default()
    })
    .await;
    let login = async |from: &str| {
        let headers = [("X-Forwarded-For", from)];
        let mut browser = Browser::new(WECHAT);
        browser
            .ask("GET", world.gateway, "/x", &headers, b"")
            .await
            .status
    };
    for visitor in 1..10 {
        assert_eq!(login(&format!("192.0.2.{visitor}")).await, 302);
        assert_eq!(login(&format!("6.6.6.6, 192.0.2.{visitor}")).await, 302);
        assert_eq!(login(&format!("7.7.7.7, 192.0.2.{visitor}")).await, 429);
    }
    // A household has one IPv6 network and any number of addresses in it.
    assert_eq!(login("2001:db8:0:1::1").await, 302);
    assert_eq!(login("2001:db8:0:1::2").await, 302);
    assert_eq!(login("2001:db8:0:1:ffff::3").await, 429);
    assert_eq!(login("2001:db8:0:2::1").await, 302);
    // Who is no proxy speaks for nobody.
    for from in ["192.0.2.77", "192.0.2.78", "192.0.2.79"] {
        let headers = [("X-Forwarded-For", from)];
        let status = ask_from(ELSEWHERE, &world, &mut Browser::new(WECHAT), "/x", &headers)
            .await
            .status;
        assert_eq!(status == 429, from.ends_with("79"), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_logins_wait_for_wechat() {
    let world = World::with(Extra {
        limits: "logins_in_flight = 1",
        ..Extra::default()
    })
    .await;
    let mut visitor = world.visitor().await;
    let (mut first, first_callback) = world.until_callback("/first").await;
    let (mut second, second_callback) = world.until_callback("/second").await;
    let before = world.exchanges();
    world.simulator.set_mood(Mood::Hanging);
    let gateway = world.gateway;
    let waiting = tokio::spawn(async move { first.open(gateway, &first_callback).await });
    while world.exchanges() == before {
        tokio::task::yield_now().await;
    }
    let page = second.open(gateway, &second_callback).await;
    assert_eq!((page.status, page.value("retry-after")), (503, Some("5")));
    assert!(page.text().contains("登录排队中"));
    assert_eq!(visitor.open(gateway, "/x").await.status, 200);
    // WeChat's time runs out, the next finds a place, and nothing was spent.
    assert_eq!(waiting.await.unwrap().status, 302);
    world.simulator.set_mood(Mood::Normal);
    let answer = second.open(gateway, &second_callback).await;
    assert_eq!(answer.status, 302);
    assert!(answer.location().ends_with("/second"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_wechat_wait_their_turn() {
    let world = World::with(Extra {
        limits: "wechat_calls = 1",
        ..Extra::default()
    })
    .await;
    let (mut first, first_callback) = world.until_callback("/first").await;
    let (mut second, second_callback) = world.until_callback("/second").await;
    let before = world.exchanges();
    // Far less than wechat_timeout, which the second is to wait at most.
    world.simulator.set_mood(Mood::Slow(Duration::from_secs(2)));
    let gateway = world.gateway;
    let answered = tokio::spawn(async move { first.open(gateway, &first_callback).await });
    while world.exchanges() == before {
        tokio::task::yield_now().await;
    }
    world.simulator.set_mood(Mood::Normal);
    let answer = second.open(gateway, &second_callback).await;
    assert!(answer.location().ends_with("/second"), "{answer:?}");
    // It was sent when the first had ended, and not before.
    assert_eq!(world.exchanges(), before + 2);
    let first = tokio::time::timeout(Duration::from_secs(1), answered).await;
    assert_eq!(first.expect("still waits").unwrap().status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_a_largest_size() {
    let world = World::with(Extra {
        route: "max_body = \"1KiB\"",
        ..Extra::default()
    })
    .await;
    let mut visitor = world.visitor().await;
    let answer = visitor
        .ask("POST", world.gateway, "/x", &[], &[b'x'; 1024])
        .await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "app got 1024")
    );
    let before = world.app.seen().len();
    let answer = visitor
        .ask("POST", world.gateway, "/x", &[], &[b'x'; 1025])
        .await;
    assert_eq!(answer.status, 413);
    assert_eq!(world.app.seen().len(), before);
    // One that does not say how long it is.
    let head = visitor.request(
        "POST",
        world.gateway,
        "/x",
        &[("Transfer-Encoding", "chunked")],
        b"",
    );
    let mut wire = Wire::to(world.gateway).await;
    wire.send(
        [
            head,
            format!("400\r\n{0}\r\n400\r\n{0}\r\n0\r\n\r\n", "x".repeat(1024)).into_bytes(),
        ]
        .concat(),
    )
    .await;
    assert_eq!(wire.answer(false).await.status, 413);
    assert!(world.app.seen()[before..].iter().all(|seen| !seen.whole));
    // Without a session it is no better.
    let head = format!(
        "POST /x HTTP/1.1\r\nHost: {}\r\nContent-Length: 99999999\r\n\r\n",
        world.gateway
    );
    assert_eq!(send(world.gateway, head).await.status, 413);
    // What passes through a WebSocket is no body.
    let mut wire = Wire::to(world.gateway).await;
    let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
    wire.send(visitor.request("GET", world.gateway, "/socket", &upgrade, b""))
        .await;
    assert_eq!(wire.answer(false).await.status, 101);
    wire.send([b'w'; 4096]).await;
    assert_eq!(wire.bytes(4096).await.len(), 4096);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spelling_of_a_path_has_no_other_limits() {
    let world = World::with(Extra {
        tables: "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/open\"\nupstream = \"http://{app}\"\nauth = \"none\"\n\n\
                 [[routes]]\nhost = \"127.0.0.1\"\npath = \"/open/get\"\nupstream = \"http://{app}\"\nauth = \"none\"\nmethods = [\"GET\"]\n\n\
                 [[routes]]\nhost = \"127.0.0.1\"\npath = \"/open/small\"\nupstream = \"http://{app}\"\nauth = \"none\"\nmax_body = \"10B\"\n",
        ..Extra::default()
    })
    .await;
    let mut browser = Browser::new(WECHAT);
    for (path, status) in [
        ("/open/get/x", 405),
        ("/open/small/x", 413),
        ("/open/%67et/x", 400),
        ("/open/Get/x", 400),
        ("/open//get/x", 400),
        ("/open/get;a/x", 400),
        ("/open/./get/x", 400),
        ("/open/get.json", 400),
        ("/open/SMALL", 400),
        ("/open/other", 200),
    ] {
        let answer = browser
            .ask("POST", world.gateway, path, &[], &[b'x'; 20])
            .await;
        assert_eq!(answer.status, status, "{path}");
    }
}
