//! A visitor's way to an app by the facade: never a loop, never lost.

use super::*;
use crate::client::DESKTOP;
use crate::pages::read_code;
use wxgate::simulator::Mood;

#[tokio::test(flavor = "multi_thread")]
async fn the_facade_may_be_the_callbacks_host_itself() {
    let world = world_at(CALLBACK, "").await;
    let mut traveller = Traveller::new(world.gateway);
    let url = link_at(CALLBACK, LEGACY, BACK, "snsapi_base");
    let (_, trail) = traveller.until(&url, is_back).await;
    let asks = trail.iter().filter(|url| url.contains("sign-on")).count();
    assert_eq!((asks, trail.len()), (0, 4), "{trail:#?}");
    let target = exchange_target(LEGACY, secret(LEGACY), &code_in(trail.last().unwrap()));
    let given = api_at(world.gateway, CALLBACK, &target).await.json();
    assert_eq!(given["openid"], OPENID);
    // Its other hosts log in by way of it as ever.
    assert_eq!(traveller.visit("http://a.test/").await.0.status, 200);
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_wechat_the_app_is_to_be_opened_there_and_not_this_browsers_link() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    traveller.agent = DESKTOP;
    // The link has the state of this browser: the app would refuse it in another.
    let url = link(LEGACY, BACK, "snsapi_base");
    let answer = traveller.open(&url).await;
    assert_eq!(answer.status, 403);
    let page = answer.text();
    assert!(page.contains("<code>http://legacy.test/</code>"), "{page}");
    assert_eq!(read_code(&page), "http://legacy.test/");
    // Here it is good, should a session have been opened in the meantime.
    let again = url.split_once(HOST).unwrap().1.split('#').next().unwrap();
    let again = format!("href=\"{}\">重新载入", again.replace('&', "&amp;"));
    assert!(page.contains(&again), "{again}: {page}");
    assert_eq!(world.simulator.calls().authorize.total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_pages_visitor_gets_the_page_and_no_code() {
    let world = world().await;
    world.simulator.set_mood(Mood::Snapshot);
    let mut traveller = Traveller::new(world.gateway);
    let url = link(LEGACY, BACK, "snsapi_userinfo");
    let (answer, trail) = traveller.until(&url, is_back).await;
    assert!(
        answer.text().contains("使用完整服务"),
        "{answer:?} {trail:#?}"
    );
    let again = traveller.until(&url, is_back).await.0;
    assert!(again.text().contains("使用完整服务"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_long_loses_nothing_or_is_refused() {
    let world = world().await;
    // With what means nothing it is too long for a login's cookie.
    let junk = format!(
        "{}&junk={}",
        base().split('#').next().unwrap(),
        "j".repeat(4000)
    );
    let back = way_back(&mut Traveller::new(world.gateway), &junk).await;
    let code = code_in(&back);
    assert_eq!(
        back,
        format!("http://legacy.test/cb?from=wx&x=%2F&code={code}&state={STATE}#/home")
    );
    // As long as a redirect_uri can be, and then longer.
    let fits = format!("http://legacy.test/{}", "a".repeat(2000));
    let url = link(LEGACY, &fits, "snsapi_base");
    let back = way_back(&mut Traveller::new(world.gateway), &url).await;
    assert!(back.starts_with(&fits) && back.ends_with(&format!("&state={STATE}")));
    let url = link(LEGACY, &format!("{fits}{}", "b".repeat(900)), "snsapi_base");
    let answer = Traveller::new(world.gateway).open(&url).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.text().contains("链接过长") && answer.value("set-cookie").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_too_little_ends_on_a_page() {
    let world = world().await;
    // No cookies at all; none at the facade's host; no session there.
    let keeps_nothing: fn(&mut Traveller) = |traveller| {
        for host in [HOST, CALLBACK] {
            traveller.at(host).keeps_cookies = false;
        }
    };
    let none_here: fn(&mut Traveller) = |traveller| traveller.at(HOST).keeps_cookies = false;
    let no_session: fn(&mut Traveller) = |traveller| traveller.at(HOST).forgets = Some("wxgate_");
    for (which, spoil) in [keeps_nothing, none_here, no_session]
        .into_iter()
        .enumerate()
    {
        let mut traveller = Traveller::new(world.gateway);
        spoil(&mut traveller);
        // `until` itself fails on a loop.
        let (answer, trail) = traveller.until(&base(), is_back).await;
        assert_eq!(answer.status, 403, "{which}: {answer:?} {trail:#?}");
        let page = answer.text();
        assert!(page.contains("class=\"go\""), "{which}: {page}");
    }
    // In a browser that keeps them again, the way on leads to the app.
    let mut traveller = Traveller::new(world.gateway);
    none_here(&mut traveller);
    let (answer, _) = traveller.until(&base(), is_back).await;
    let page = answer.text();
    let to = page.split("class=\"go\" href=\"").nth(1).unwrap();
    let to = to.split('"').next().unwrap().replace("&amp;", "&");
    traveller.at(HOST).keeps_cookies = true;
    let url = match to.starts_with('/') {
        true => format!("http://{HOST}{to}"),
        false => to,
    };
    let (_, trail) = traveller.until(&url, is_back).await;
    assert!(
        is_back(&url) || is_back(trail.last().unwrap()),
        "{url} {trail:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_sends_its_visitor_round_is_stopped() {
    let world = world().await;
    let mut traveller = Traveller::new(world.gateway);
    let forum = link(FORUM, "http://forum.test/", "snsapi_base");
    way_back(&mut traveller, &forum).await;
    let mut codes = 0;
    let page = loop {
        let answer = traveller.open(&base()).await;
        if answer.status != 302 {
            break answer;
        }
        codes += 1;
        assert!(codes <= 61);
    };
    assert_eq!((codes, page.status), (60, 429));
    assert!(page.text().contains("errcode 10009"), "{page:?}");
    assert!(page.text().contains("href=\"http://legacy.test/\""));
    assert!(page.value("retry-after").is_some());
    // The other app, and other visitors, go on.
    assert_eq!(traveller.open(&forum).await.status, 302);
    // The same visitor with a new session does not.
    let (page, _) = Traveller::new(world.gateway).until(&base(), is_back).await;
    assert_eq!(page.status, 429, "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_gets_as_many_codes_as_it_may_start_logins() {
    let world = world_at(HOST, "logins_per_minute = 5").await;
    let mut traveller = Traveller::new(world.gateway);
    way_back(&mut traveller, &base()).await;
    for _ in 1..5 {
        assert_eq!(traveller.open(&base()).await.status, 302);
    }
    // Whichever app it is for.
    let forum = link(FORUM, "http://forum.test/", "snsapi_base");
    for url in [&base(), &forum] {
        let page = traveller.open(url).await;
        assert_eq!(page.status, 429);
        assert!(page.text().contains("href="), "{page:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_at_the_facades_host_but_what_is_everywhere() {
    let world = world().await;
    let (mut traveller, ..) = tokens(&world).await;
    let before = world.app.seen().len();
    for path in [
        "/",
        "/connect/oauth2/authorize/",
        "/connect/qrconnect",
        "/connect/oauth2/Authorize?appid=x",
        "//connect/oauth2/authorize",
        "/connect%2Foauth2/authorize",
        "/sns",
        "/sns/userinfo/",
        "/sns/oauth2/component/access_token",
        "/cgi-bin/token?grant_type=client_credential",
    ] {
        let answer = traveller.open(&format!("http://{HOST}{path}")).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(
            answer.text().contains("href=\"http://legacy.test/\""),
            "{path}"
        );
    }
    assert_eq!(world.app.seen().len(), before, "no route serves this host");
    let me = traveller.open(&format!("http://{HOST}/.wxgate/me")).await;
    assert_eq!(me.json()["data"]["openid"], OPENID);
    let file = format!("http://{HOST}/MP_verify_AbCdEfGhIjKlMnOp.txt");
    assert_eq!(traveller.open(&file).await.text(), "AbCdEfGhIjKlMnOp");
    // The facade is at no other host, where the same paths are the app's.
    for host in ["a.test", "x.apps.test", "127.0.0.1"] {
        let answer = traveller.open(&base().replace(HOST, host)).await;
        let app = (
            answer.status,
            is_back(answer.value("location").unwrap_or_default()),
        );
        assert!(matches!(app, (200 | 302, false)), "{host}: {answer:?}");
    }
    // `login` leads to the link that it is given, and else to an app.
    let to = encoded(
        base()
            .split('#')
            .next()
            .unwrap()
            .trim_start_matches("http://wx.apps.test"),
    );
    let login = format!("http://{HOST}/.wxgate/login?to={to}");
    way_back(&mut traveller, &login).await;
    let login = traveller
        .open(&format!("http://{HOST}/.wxgate/login"))
        .await;
    assert_eq!(login.location(), "http://legacy.test/");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_asks_is_told_that_the_facade_is_not_its_to_forward() {
    let world = World::with(Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        callback: Some(CALLBACK),
        tables: &tables(HOST),
        ..Extra::default()
    })
    .await;
    for target in [
        "/sns/auth?access_token=x&openid=y",
        "/connect/oauth2/authorize",
        "/x",
    ] {
        let bytes = format!(
            "GET /.wxgate/auth HTTP/1.1\r\nHost: {HOST}\r\nX-Original-URI: {target}\r\nX-Original-Method: GET\r\n\r\n"
        );
        let answer = send(world.gateway, bytes).await;
        assert_eq!(answer.status, 403, "{target}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_another_browsers_leads_whoever_is_logged_in_to_an_app() {
    let world = world().await;
    let is_ticket = |url: &str| url.contains("/.wxgate/callback/ticket?");
    let (_, trail) = Traveller::new(world.gateway)
        .until(&base(), is_ticket)
        .await;
    let ticket = trail.last().unwrap().clone();
    assert!(is_ticket(&ticket) && ticket.contains(HOST), "{trail:#?}");
    let mut traveller = Traveller::new(world.gateway);
    way_back(&mut traveller, &base()).await;
    let answer = traveller.open(&ticket).await;
    assert_eq!(answer.location(), "http://legacy.test/", "{answer:?}");
}
