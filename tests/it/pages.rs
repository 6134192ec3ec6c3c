//! What a visitor is shown instead of the app, and what a script is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use wxgate::simulator::{Api, Mood};

use crate::client::{Answer, Browser, DESKTOP, WECHAT, Wire, send, split};
use crate::world::{SECRET, World};

/// The way on from a page: where its link leads, or its form.
fn onward(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text
        .split_once("href=\"")
        .or_else(|| text.split_once("action=\""))
        .unwrap_or_else(|| panic!("no way on: {text}"));
    plain(rest.split('"').next().unwrap())
}

/// What the page's link says.
fn says(page: &Answer) -> String {
    let text = page.text();
    let (_, link) = text.split_once("<a class=\"go\"").unwrap();
    let (_, words) = link.split_once('>').unwrap();
    words.split('<').next().unwrap().to_owned()
}

/// HTML's text without its escapes.
fn plain(html: &str) -> String {
    html.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// What holds of every page.
fn assert_page(page: &Answer, status: u16) {
    let text = page.text();
    assert_eq!(page.status, status, "{text}");
    assert_eq!(page.value("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.value("cache-control"), Some("no-store"));
    assert_eq!(page.value("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.values("referrer-policy"), [referrer_policy(&text)]);
    assert_eq!(page.value("x-frame-options"), Some("DENY"));
    assert!(text.len() < 32 * 1024, "{} bytes", text.len());
    assert!(
        text.contains("lang=\"zh-CN\"") && text.contains("lang=\"en\""),
        "{text}"
    );
    assert!(
        text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)),
        "{text}"
    );
    assert_policy(page);
    assert_self_contained(&text);
}

/// An address may hold a code, which no page passes on. But under `no-referrer`
/// browsers send forms with `Origin: null`, and nobody could log out.
fn referrer_policy(text: &str) -> &'static str {
    if text.contains("<form") {
        "same-origin"
    } else {
        "no-referrer"
    }
}

/// The policy allows one style, that of the page, and no script.
fn assert_policy(page: &Answer) {
    let text = page.text();
    let style = text
        .split_once("<style>")
        .unwrap()
        .1
        .split_once("</style>")
        .unwrap()
        .0;
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let policy = page.value("content-security-policy").unwrap();
    let directives: Vec<&str> = policy.split("; ").collect();
    assert!(directives.contains(&"default-src 'none'"), "{policy}");
    assert!(
        directives.contains(&format!("style-src 'sha256-{hash}'").as_str()),
        "{policy}"
    );
    assert!(
        directives.contains(&"frame-ancestors 'none'") && directives.contains(&"base-uri 'none'"),
        "{policy}"
    );
    assert!(
        !policy.contains("script") && !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert!(
        !style.contains("url(") && !style.contains("@import"),
        "{style}"
    );
    assert_eq!(
        text.matches(" style=").count(),
        0,
        "a style the policy does not allow"
    );
}

/// No script, and nothing to fetch; links stay on this host.
fn assert_self_contained(text: &str) {
    let lower = text.to_ascii_lowercase();
    for part in [
        "<script",
        "src=",
        "<link",
        "<img",
        "<iframe",
        "javascript:",
        "http-equiv",
    ] {
        assert!(!lower.contains(part), "{part}: {text}");
    }
    for to in text
        .split("href=\"")
        .skip(1)
        .chain(text.split("action=\"").skip(1))
    {
        assert!(to.starts_with('/') && !to.starts_with("//"), "{text}");
    }
}

// Outside WeChat.

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_outside_wechat_is_shown_the_address_to_open() {
    let world = World::new().await;
    let target = "/goods/42?from=a&q=%E8%8C%B6";
    let page = Browser::new(DESKTOP).open(world.gateway, target).await;
    assert_page(&page, 403);
    let text = page.text();
    let address = format!("http://{}{target}", world.gateway);
    assert!(
        text.contains(&format!("<code>{}</code>", address.replace('&', "&amp;"))),
        "{text}"
    );
    assert!(
        text.contains("请在微信中打开") && text.contains("Please open in WeChat"),
        "{text}"
    );
    assert!(
        page.values("set-cookie").is_empty(),
        "nobody began to log in"
    );
    assert!(world.app.seen().is_empty());
    assert_eq!(onward(&page), target);
    assert_eq!(says(&page), "重新载入 / Reload");
}

/// A dark rectangle: left, top, width, height.
type Rectangle = [usize; 4];

/// The page's QR code: the length of its side, and its dark rectangles,
/// each a stroke of one module's width: `M{left} {middle}h{width}`.
fn drawing(text: &str) -> (usize, Vec<Rectangle>) {
    let number = |text: &str| -> usize {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let svg = text
        .split_once("<svg")
        .unwrap()
        .1
        .split_once("</svg>")
        .unwrap()
        .0;
    let side = number(svg.split_once("viewBox=\"0 0 ").unwrap().1);
    let rectangles = svg
        .rsplit_once(" d=\"")
        .unwrap()
        .1
        .split('M')
        .skip(1)
        .map(|path| {
            let (left, rest) = path.split_once(' ').unwrap();
            let (top, rest) = rest.split_once('h').unwrap();
            assert!(top.ends_with(".5"), "{top} is no middle");
            [number(left), number(top), number(rest), 1]
        });
    (side, rectangles.collect())
}

/// What a phone reads off the page.
pub fn read_code(text: &str) -> String {
    /// A camera sees more than a dot for each module.
    const SCALE: usize = 4;
    let (side, rectangles) = drawing(text);
    let mut dark = vec![vec![false; side]; side];
    for [left, top, width, height] in rectangles {
        for row in &mut dark[top..top + height] {
            row[left..left + width].fill(true);
        }
    }
    let shade = |x: usize, y: usize| if dark[y / SCALE][x / SCALE] { 0 } else { 255 };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(side * SCALE, side * SCALE, shade);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code, with white around it");
    grids[0].decode().unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_qr_code_reads_as_the_address() {
    let world = World::new().await;
    let long = format!("/?long={}", "x".repeat(180));
    for target in ["/", "/goods/42?from=a&q=%E8%8C%B6", &long] {
        let page = Browser::new(DESKTOP).open(world.gateway, target).await;
        assert_page(&page, 403);
        assert_eq!(
            read_code(&page.text()),
            format!("http://{}{target}", world.gateway)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_too_long_for_a_qr_code_still_stands_on_the_page() {
    let world = World::new().await;
    for length in [700, 1500, 2500] {
        let target = format!("/?long={}", "x".repeat(length));
        let page = Browser::new(DESKTOP).open(world.gateway, &target).await;
        assert_page(&page, 403);
        assert!(page.text().contains(&target));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_gets_a_pages_headers_and_no_body() {
    let world = World::new().await;
    let browser = Browser::new(DESKTOP);
    let page = send(
        world.gateway,
        browser.request("GET", world.gateway, "/x", &[], b""),
    )
    .await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(browser.request("HEAD", world.gateway, "/x", &[], b""))
        .await;
    let head = wire.answer(true).await;
    assert_eq!(head.status, 403);
    assert_eq!(head.value("content-length"), page.value("content-length"));
    // The next answer begins where no body stood.
    wire.send(browser.request("GET", world.gateway, "/x", &[], b""))
        .await;
    assert_page(&wire.answer(false).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_inside_wechat_is_sent_to_log_in() {
    let world = World::new().await;
    let answer = Browser::new(WECHAT)
        .ask("HEAD", world.gateway, "/x", &[], b"")
        .await;
    assert_eq!(answer.status, 302);
    assert!(answer.location().contains("/connect/oauth2/authorize?"));
}

// Nothing that a visitor brings becomes markup.

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_an_address_is_text_on_every_page() {
    let world = World::new().await;
    let attempts = [
        "/x'onmouseover='alert(1)",
        "/x\"onmouseover=\"alert(1)",
        "/?q='-alert(1)-'",
        "/?q=\"onload=\"alert(1)",
        "/&lt;b&gt;&quot;",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
        "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/<script>alert(1)</script>",
        "/?q=\"><svg/onload=alert(1)>",
        "/\u{202e}x",
    ];
    let mut shown = 0;
    for attempt in attempts {
        for target in [
            attempt.to_owned(),
            format!("/.wxgate/login?to={attempt}"),
            format!("/.wxgate{attempt}"),
        ] {
            let page = Browser::new(DESKTOP).open(world.gateway, &target).await;
            if page.value("content-type") != Some("text/html; charset=utf-8") {
                // The engine refuses some targets before they are read.
                assert_eq!(page.status, 400, "{target}");
                assert!(!page.text().contains("alert"), "{}", page.text());
                continue;
            }
            assert_page(&page, page.status);
            let text = page.text();
            for raw in [
                "'onmouseover",
                "\"onmouseover",
                "\"onload",
                "'-alert",
                "<b>",
                "<svg/",
            ] {
                assert!(!text.contains(raw), "{target}: {text}");
            }
            shown += usize::from(text.contains("alert(1)"));
        }
    }
    assert!(shown >= 8, "only {shown} attempts were shown at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_own_spelling_is_text_as_well() {
    let world = World::new().await;
    for host in ["127.0.0.1:80\"><script>", "<b>", "a.example'x"] {
        let answer = send(
            world.gateway,
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"),
        )
        .await;
        assert!(matches!(answer.status, 400 | 404), "{answer:?}");
        assert!(!answer.text().contains(host), "{}", answer.text());
    }
}

// What WeChat says.

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_refuses_can_try_again() {
    let world = World::new().await;
    world.simulator.set_mood_times(Mood::Refuse, 1);
    let mut browser = Browser::new(WECHAT);
    let (page, _) = browser.visit(world.gateway, "/goods?a=1&b=2").await;
    assert_page(&page, 403);
    assert!(
        page.text().contains("未获得授权") && page.text().contains("Not authorised"),
        "{}",
        page.text()
    );
    assert_eq!(says(&page), "再试一次 / Try again");
    assert_eq!(browser.cookie("wxgate_shop"), None);
    assert_eq!(world.exchanges(), 0);
    let (again, trail) = browser.visit(world.gateway, &onward(&page)).await;
    assert_eq!(again.status, 200);
    assert_eq!(
        trail.last().unwrap(),
        &format!("http://{}/goods?a=1&b=2", world.gateway)
    );
}

/// Visits in `mood` and comes to a page.
async fn page_after(world: &World, mood: Mood) -> (Browser, Answer) {
    world.simulator.set_mood(mood);
    let mut browser = Browser::new(WECHAT);
    let (page, trail) = browser.visit(world.gateway, "/goods").await;
    assert_eq!(browser.cookie("wxgate_shop"), None, "no session");
    let callback = trail.last().unwrap();
    let code = callback
        .split("code=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    for hidden in [SECRET, code, "appsecret", "not in whitelist"] {
        assert!(
            !page.everything().contains(hidden),
            "{hidden}: {}",
            page.everything()
        );
    }
    (browser, page)
}

/// Whether `text` holds three groups of eight hex digits.
fn has_rid(text: &str) -> bool {
    let is_rid = |word: &str| {
        let groups: Vec<&str> = word.split('-').collect();
        groups.len() == 3
            && groups
                .iter()
                .all(|group| group.len() == 8 && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    text.split([' ', '<']).any(is_rid)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_errcode_has_its_page_its_number_and_its_rid() {
    for (errcode, status, words) in [
        (-1, 502, "WeChat does not answer"),
        (40029, 502, "The login did not succeed"),
        (40163, 502, "The login did not succeed"),
        (42003, 502, "The login did not succeed"),
        (41008, 403, "Not authorised"),
        (40001, 502, "AppSecret is wrong"),
        (40125, 502, "AppSecret is wrong"),
        (40013, 502, "AppID is wrong"),
        (40164, 502, "takes no calls from this site"),
        (48001, 502, "may not ask for this"),
        (48004, 502, "has banned this site"),
        (45009, 503, "Too many logins"),
        (45011, 503, "Too many logins"),
        (50002, 403, "does not allow this login"),
        (40226, 403, "does not allow this login"),
        (99999, 502, "WeChat refused the login"),
    ] {
        // A quota that is used up is remembered.
        let world = World::new().await;
        let (_, page) = page_after(
            &world,
            Mood::Errcode {
                api: Api::Exchange,
                errcode,
            },
        )
        .await;
        assert_page(&page, status);
        let text = page.text();
        assert!(text.contains(words), "{errcode}: {text}");
        assert!(
            text.contains(&format!("errcode {errcode} · rid ")) && has_rid(&text),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_about_wechat_leads_back_in_once_wechat_is_well() {
    let world = World::new().await;
    for mood in [
        Mood::Html,
        Mood::CutOff,
        Mood::BadOpenId,
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 40125,
        },
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 40029,
        },
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 50002,
        },
    ] {
        let (mut browser, page) = page_after(&world, mood.clone()).await;
        assert_page(&page, page.status);
        assert!(page.status >= 400, "{mood:?}");
        assert_eq!(says(&page), "再试一次 / Try again", "{mood:?}");
        world.simulator.set_mood(Mood::Normal);
        let (answer, trail) = browser.visit(world.gateway, &onward(&page)).await;
        assert_eq!(answer.status, 200, "{mood:?}");
        assert_eq!(
            trail.last().unwrap(),
            &format!("http://{}/goods", world.gateway)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_visitor_is_asked_for_the_full_service_and_is_nobody() {
    let world = World::new().await;
    world.simulator.set_mood_times(Mood::Snapshot, 1);
    let mut browser = Browser::new(WECHAT);
    let (page, _) = browser.visit(world.gateway, "/member").await;
    assert_page(&page, 403);
    assert!(page.text().contains("使用完整服务"), "{}", page.text());
    assert_eq!(says(&page), "再试一次 / Try again");
    assert_eq!(browser.cookie("wxgate_shop"), None);
    assert!(world.app.seen().is_empty());
    let (consent, trail) = browser.visit(world.gateway, &onward(&page)).await;
    assert_eq!(consent.status, 200);
    assert!(
        trail.last().unwrap().contains("scope=snsapi_userinfo"),
        "the visitor is asked again"
    );
}

// Without a session, and not opening a page.

const FORM: [(&str, &str); 2] = [
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_form_sent_without_a_session_is_told_that_it_was_not_delivered() {
    let world = World::new().await;
    for agent in [WECHAT, DESKTOP] {
        let mut browser = Browser::new(agent);
        let page = browser
            .ask("POST", world.gateway, "/order?a=1", &FORM, b"item=tea")
            .await;
        assert_page(&page, 401);
        assert!(
            page.text().contains("没有送达") && page.text().contains("was not delivered"),
            "{}",
            page.text()
        );
        assert!(page.values("set-cookie").is_empty());
        assert!(
            onward(&page).starts_with("/.wxgate/login?to="),
            "{}",
            onward(&page)
        );
    }
    assert!(world.app.seen().is_empty());
    let mut browser = Browser::new(WECHAT);
    let page = browser
        .ask("POST", world.gateway, "/order?a=1", &FORM, b"item=tea")
        .await;
    assert_eq!(
        browser.visit(world.gateway, &onward(&page)).await.0.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_opens_no_page_is_told_in_json_where_to_log_in() {
    let world = World::new().await;
    let socket = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
    ];
    let cases: [(&str, &[(&str, &str)]); 9] = [
        ("GET", &[("X-Requested-With", "XMLHttpRequest")]),
        (
            "GET",
            &[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")],
        ),
        ("GET", &[("Accept", "application/json")]),
        ("GET", &[("Accept", "*/*")]),
        (
            "GET",
            &[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
        ),
        ("GET", &socket),
        ("POST", &[("Content-Type", "application/json")]),
        ("PUT", &[]),
        ("DELETE", &[]),
    ];
    let login_url = format!(
        "http://{}/.wxgate/login?to=%2Fcart%3Fa%3D1%26b%3D2",
        world.gateway
    );
    let referer = format!("http://{}/cart?a=1&b=2", world.gateway);
    for (method, headers) in cases {
        let headers = [headers, &[("Referer", referer.as_str())]].concat();
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        let answer = Browser::new(WECHAT)
            .ask(method, world.gateway, "/api/cart", &headers, body)
            .await;
        assert_eq!(answer.status, 401, "{method} {headers:?}: {answer:?}");
        assert_eq!(
            answer.value("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(answer.value("cache-control"), Some("no-store"));
        assert_eq!(answer.value("location"), None);
        assert!(answer.values("set-cookie").is_empty());
        let json = answer.json();
        let told = serde_json::json!({"code": 401, "message": json["message"], "msg": json["message"], "login_url": login_url});
        assert_eq!(json, told, "{method} {headers:?}");
        assert!(json["message"].as_str().unwrap().contains("请先登录"));
    }
    assert!(world.app.seen().is_empty());
    let (addr, target) = split(&login_url);
    let (answer, trail) = Browser::new(WECHAT).visit(addr, &target).await;
    assert_eq!((answer.status, trail.last().unwrap()), (200, &referer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_url_leads_nowhere_but_to_a_page_of_this_host() {
    let world = World::new().await;
    let here = world.gateway;
    for referer in [
        "http://evil.example/cart".to_owned(),
        format!("http://{here}.evil.example/"),
        format!("http://{here}@evil.example/"),
        format!("http://{here}//evil.example/"),
        format!("http://{here}/\\evil.example/"),
        format!("https://{here}/cart"),
        "javascript:alert(1)".to_owned(),
        String::new(),
    ] {
        let headers = [
            ("Accept", "application/json"),
            ("Referer", referer.as_str()),
        ];
        let answer = Browser::new(WECHAT)
            .ask("GET", here, "/api", &headers, b"")
            .await;
        assert_eq!(
            answer.json()["login_url"],
            format!("http://{here}/.wxgate/login?to=%2F"),
            "{referer}"
        );
    }
}

// Every page is left by its link.

#[tokio::test(flavor = "multi_thread")]
async fn every_pages_way_on_is_answered() {
    let world = World::new().await;
    for (method, target, headers, status) in [
        ("GET", "/.wxgate/nothing", &[][..], 404),
        ("GET", "/.wxgate/login?to=//evil.example", &[], 400),
        ("GET", "/.wxgate/logout", &[], 405),
        ("GET", "/.wxgate/callback?code=a&state=unknown", &[], 403),
        ("POST", "/order", &FORM, 401),
        ("POST", "/.wxgate/login", &FORM, 405),
        ("DELETE", "/events", &FORM, 405),
    ] {
        let mut browser = Browser::new(WECHAT);
        let page = browser
            .ask(method, world.gateway, target, headers, b"")
            .await;
        assert_page(&page, status);
        let to = onward(&page);
        let next = if page.text().contains("<form") {
            assert!(page.text().contains(">退出 / Log out<"), "{}", page.text());
            let origin = format!("http://{}", world.gateway);
            browser
                .ask(
                    "POST",
                    world.gateway,
                    &to,
                    &[("Origin", &origin), FORM[0], FORM[1]],
                    b"",
                )
                .await
        } else {
            // To the callback somebody came who was about to log in.
            let tries = target.starts_with("/.wxgate/callback?");
            let words = if tries {
                "再试一次 / Try again"
            } else {
                "继续 / Continue"
            };
            assert_eq!(says(&page), words, "{method} {target}");
            browser.visit(world.gateway, &to).await.0
        };
        assert_eq!(
            next.status, 200,
            "{method} {target} leads to {to}: {next:?}"
        );
    }
}
