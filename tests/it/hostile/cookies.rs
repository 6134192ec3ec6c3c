//! Sessions, logins and ways back that are none: what a client can put into
//! `Cookie`, into a callback, and into `login?to=`.

use super::table::{Parts, Row, get, h1, h2};
use crate::client::WECHAT;
use crate::h2::{END_STREAM, Field, field, headers, pseudo};

fn value(pair: &str) -> &str {
    pair.split_once('=').map_or("", |(_, value)| value)
}

/// Cookies that open nothing.
pub fn http1(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let own = value(&parts.session);
    let login = value(&parts.login);
    let cut = own.get(..own.len().saturating_sub(1)).unwrap_or_default();
    let standard = own.replace('-', "+").replace('_', "/");
    for (name, cookie) in [
        ("an empty session", String::new()),
        ("a session of one letter", "1".to_owned()),
        (
            "an openid for a session",
            "oTestVisitor0000000000000001".to_owned(),
        ),
        ("a session cut short", cut.to_owned()),
        ("a session with a letter more", format!("{own}A")),
        ("a session with padding", format!("{own}=")),
        ("a session with two paddings", format!("{own}==")),
        ("a session in capitals", own.to_ascii_uppercase()),
        ("a session in quotes", format!("\"{own}\"")),
        (
            "a session in the other alphabet, changed",
            format!("{standard}+"),
        ),
        ("a session twice in one value", format!("{own}{own}")),
        ("a session behind a dot", format!("x.{own}")),
        (
            "a session with a space in it",
            format!(
                "{} {}",
                own.get(..8).unwrap_or_default(),
                own.get(8..).unwrap_or_default()
            ),
        ),
        ("a session encoded", own.replace('A', "%41") + "%41"),
        ("a login for a session", login.to_owned()),
        ("a session of zeros", "A".repeat(own.len())),
        ("a session of 8 KiB", "A".repeat(8_192)),
        (
            "a session that is JSON",
            "{\"openid\":\"spoofed\"}".to_owned(),
        ),
        (
            "a JWT without algorithm",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzcG9vZmVkIn0.".to_owned(),
        ),
        ("a session beyond ASCII", "\u{4f60}\u{597d}".to_owned()),
    ] {
        rows.push(h1(
            name,
            get(
                &parts.host,
                "/x",
                &format!("Cookie: wxgate_shop={cookie}\r\n"),
            ),
            &[401],
        ));
    }
    for (name, lines) in [
        (
            "a session twice",
            format!("Cookie: wxgate_shop={own}; wxgate_shop={own}\r\n"),
        ),
        (
            "a session and another",
            format!("Cookie: wxgate_shop={own}; wxgate_shop=x\r\n"),
        ),
        (
            "another and a session",
            format!("Cookie: wxgate_shop=x; wxgate_shop={own}\r\n"),
        ),
        (
            "a session in two lines",
            format!("Cookie: wxgate_shop={own}\r\nCookie: wxgate_shop={own}\r\n"),
        ),
        (
            "a session in capitals of its name",
            format!("Cookie: WXGATE_SHOP={own}\r\n"),
        ),
        (
            "a session under another account's name",
            format!("Cookie: wxgate_club={own}\r\n"),
        ),
        (
            "a session under a longer name",
            format!("Cookie: wxgate_shop2={own}\r\n"),
        ),
        (
            "a session under a shorter name",
            format!("Cookie: wxgate_sho={own}\r\n"),
        ),
        (
            "a session as a login",
            format!("Cookie: wxgate-login-00112233={own}\r\n"),
        ),
        (
            "a session behind a comma",
            format!("Cookie: a=b, wxgate_shop={own}\r\n"),
        ),
        (
            "a session in Cookie2",
            format!("Cookie2: wxgate_shop={own}\r\n"),
        ),
        (
            "a session as a bearer",
            format!("Authorization: Bearer {own}\r\n"),
        ),
        (
            "a session as basic",
            format!("Authorization: Basic {own}\r\n"),
        ),
        (
            "a session in a header of its name",
            format!("wxgate-shop: {own}\r\n"),
        ),
        (
            "a session in Set-Cookie",
            format!("Set-Cookie: wxgate_shop={own}\r\n"),
        ),
        (
            "an encoded name",
            format!("Cookie: wxgate%5Fshop={own}\r\n"),
        ),
        (
            "another user of the same header",
            "Cookie: openid=oTestVisitor0000000000000001; user=admin\r\n".to_owned(),
        ),
        (
            "a request of a health check",
            "User-Agent: GoogleHC/1.0\r\n".to_owned(),
        ),
        (
            "a request of a load balancer",
            "User-Agent: ELB-HealthChecker/2.0\r\n".to_owned(),
        ),
    ] {
        rows.push(h1(name, get(&parts.host, "/x", &lines), &[401]));
    }
    for (target, name) in [
        (format!("/x?wxgate_shop={own}"), "a session in the query"),
        (format!("/x;wxgate_shop={own}"), "a session in the path"),
    ] {
        rows.push(h1(name, get(&parts.host, &target, ""), &[401]));
    }
    let line = format!(
        "Cookie: \u{c4}\u{e3}=\u{ba}; {}; x=\"a; b\"; =y; z\r\n",
        parts.session
    );
    rows.push(
        h1(
            "a session among odd cookies",
            get(&parts.host, "/x", &line),
            &[200],
        )
        .seen(|seen| seen.values("cookie").len() == 1),
    );
    let crowd: String = (0..400).map(|at| format!("c{at}=v; ")).collect();
    rows.push(
        h1(
            "a session among 400 cookies",
            get(
                &parts.host,
                "/x",
                &format!("Cookie: {crowd}{}\r\n", parts.session),
            ),
            &[200],
        )
        .seen(|seen| seen.values("cookie").len() == 1),
    );
    let logins: String = (0..300)
        .map(|at| format!("wxgate-login-{at:08x}={login}; "))
        .collect();
    rows.push(h1(
        "300 logins at the callback",
        get(
            &parts.host,
            &format!("/.wxgate/callback?code=a&state={STATE}"),
            &format!("Cookie: {logins}\r\n"),
        ),
        &[302, 403, 431],
    ));
    rows.extend(callbacks(parts));
    rows.extend(ways_back(parts));
    rows.extend(sockets(parts));
    rows
}

const STATE: &str = "00112233445566778899aabbccddeeff0";

/// Callbacks that log nobody in.
fn callbacks(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let login = format!("Cookie: {}\r\n", parts.login);
    for (name, query, answers) in [
        ("nothing", String::new(), &[302, 403][..]),
        ("a code alone", "?code=a".to_owned(), &[302, 403]),
        (
            "a state of ours without its cookie",
            format!("?code=a&state={STATE}"),
            &[302, 403],
        ),
        (
            "a state that is none",
            "?code=a&state=x".to_owned(),
            &[302, 403],
        ),
        ("an empty state", "?code=a&state=".to_owned(), &[302, 403]),
        (
            "a state with a NUL",
            format!("?code=a&state={STATE}%00"),
            &[302, 403],
        ),
        (
            "a state with a line break",
            format!("?code=a&state={STATE}%0d%0aSet-Cookie:%20x"),
            &[302, 403],
        ),
        ("two codes", format!("?code=a&code=b&state={STATE}"), &[400]),
        (
            "two states",
            format!("?code=a&state={STATE}&state=x"),
            &[400],
        ),
        (
            "a list for a code",
            format!("?code[]=a&state={STATE}"),
            &[302, 403],
        ),
        (
            "a list for a state",
            format!("?code=a&state[]={STATE}"),
            &[302, 403],
        ),
        (
            "a code of 10 KiB",
            format!("?code={}&state={STATE}", "a".repeat(10_000)),
            &[302, 403],
        ),
        (
            "a code with a line break",
            format!("?code=a%0d%0ab&state={STATE}"),
            &[302, 403],
        ),
        (
            "a semicolon for an ampersand",
            format!("?code=a;state={STATE}"),
            &[302, 403],
        ),
        (
            "names in capitals",
            format!("?CODE=a&STATE={STATE}"),
            &[302, 403],
        ),
    ] {
        let text = get(&parts.host, &format!("/.wxgate/callback{query}"), &login);
        rows.push(h1(format!("a callback with {name}"), text, answers));
    }
    for path in [
        "/.wxgate/callback/",
        "/.wxgate/callback/x",
        "/.wxgate//callback",
        "/.wxgate/CALLBACK",
        "/.wxgate/callback%3f",
        "/.wxgate/../.wxgate/callback",
        "/.wxgate/",
        "/.wxgate",
        "/.wxgate/admin",
        "/.wxgate/metrics",
        "/.wxgate/healthz",
    ] {
        rows.push(h1(
            format!("{path} is nothing"),
            get(&parts.host, &format!("{path}?code=a&state={STATE}"), &login),
            &[404],
        ));
    }
    for path in [
        "/x",
        "/",
        "/x/callback",
        "/%2ewxgate/callback",
        "//.wxgate/callback",
    ] {
        rows.push(h1(
            format!("a code at {path}"),
            get(&parts.host, &format!("{path}?code=a&state={STATE}"), &login),
            &[401],
        ));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let text = format!(
            "{method} /.wxgate/callback?code=a&state={STATE} HTTP/1.1\r\nHost: {}\r\n{login}Content-Length: 0\r\n\r\n",
            parts.host
        );
        rows.push(h1(format!("a callback by {method}"), text, &[405]));
    }
    for (name, lines) in [
        ("no origin", ""),
        ("another origin", "Origin: https://spoofed.example\r\n"),
        ("another site", "Sec-Fetch-Site: cross-site\r\n"),
        ("a sibling site", "Sec-Fetch-Site: same-site\r\n"),
        ("no site", "Sec-Fetch-Site: none\r\n"),
        ("origin null", "Origin: null\r\n"),
    ] {
        let text = format!(
            "POST /.wxgate/logout HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n{lines}Content-Length: 0\r\n\r\n",
            parts.host, parts.session
        );
        rows.push(h1(format!("a logout with {name}"), text, &[400]));
    }
    rows
}

/// Targets of `login?to=` that are no path of this host.
fn ways_back(parts: &Parts) -> Vec<Row> {
    let targets = [
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/%5cevil.example\\",
        "https://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "http://evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        ".evil.example",
        ":80@evil.example",
        "%09/evil.example",
        "/%09/evil.example",
        "/%0a/evil.example",
        "/%0d%0aSet-Cookie:x=y",
        "/%00",
        "/%20/evil.example",
        "%20//evil.example",
        "/a#b",
        "//evil.example@127.0.0.1",
        "//127.0.0.1.evil.example",
        "/\t/evil.example",
        "/.\\evil.example",
        "/..\\evil.example",
    ];
    targets
        .into_iter()
        .map(|target| {
            // As a browser would send it in a query.
            let to = target.replace('\\', "%5C").replace('\t', "%09").replace('#', "%23");
            let text = format!("GET /.wxgate/login?to={to} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {WECHAT}\r\nAccept: text/html\r\nCookie: {}\r\n\r\n", parts.host, parts.session);
            h1(format!("login?to={target:?}"), text, &[400])
        })
        .collect()
}

fn sockets(parts: &Parts) -> Vec<Row> {
    let Parts { host, session, .. } = parts;
    let mut rows = Vec::new();
    for origin in [
        "https://evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil127.0.0.1",
        "null",
        "",
        "file://",
        "http://other@127.0.0.1",
        "http://127.0.0.1, http://evil.example",
    ] {
        let text = format!(
            "GET /socket HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n\r\n"
        );
        rows.push(h1(format!("a WebSocket of {origin:?}"), text, &[403]));
    }
    let none = format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    );
    rows.push(h1(
        "a WebSocket without a session",
        format!("{none}GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        &[401],
    ));
    let refused = format!(
        "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"
    );
    rows.push(
        h1(
            "a request behind a WebSocket that the app refuses",
            refused,
            &[200],
        )
        .perhaps_seen(),
    );
    let early = format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\nhello"
    );
    rows.push(h1("a WebSocket with a body", early, &[101, 200, 400, 502]).perhaps_seen());
    let switch = format!("GET /switch HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\n\r\n");
    rows.push(h1("a 101 that nobody asked for", switch, &[502]).perhaps_seen());
    rows
}

/// Cookies in the pieces that HTTP/2 may send them in.
pub fn http2(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let send = |fields: &[Field]| {
        headers(
            1,
            END_STREAM,
            &[
                pseudo("GET", &parts.host, "/x"),
                vec![field("accept", "application/json")],
                fields.to_vec(),
            ]
            .concat(),
        )
    };
    let own = value(&parts.session);
    let crumbs = [
        field("cookie", "a=1"),
        field("cookie", &parts.session),
        field("cookie", "b=2"),
    ];
    rows.push(
        h2("h2: a session among crumbs", send(&crumbs), &[200]).seen(|seen| {
            let lines = seen.values("cookie");
            lines.len() == 1
                && lines[0].starts_with("a=1; wxgate_shop=")
                && lines[0].ends_with("; b=2")
        }),
    );
    for (name, fields) in [
        ("no cookie", vec![]),
        (
            "two crumbs of one session",
            vec![
                field("cookie", &parts.session),
                field("cookie", &parts.session),
            ],
        ),
        (
            "a session and another in crumbs",
            vec![
                field("cookie", "wxgate_shop=x"),
                field("cookie", &parts.session),
            ],
        ),
        (
            "a session cut in two",
            vec![
                field(
                    "cookie",
                    format!("wxgate_shop={}", own.get(..8).unwrap_or_default()),
                ),
                field("cookie", own.get(8..).unwrap_or_default()),
            ],
        ),
        (
            "a login as a session",
            vec![field(
                "cookie",
                format!("wxgate_shop={}", value(&parts.login)),
            )],
        ),
        (
            "a session with a letter more",
            vec![field("cookie", format!("{}A", parts.session))],
        ),
        (
            "a session as a bearer",
            vec![field("authorization", format!("Bearer {own}"))],
        ),
        (
            "a session in a pseudo-header's place",
            vec![field("set-cookie", &parts.session)],
        ),
    ] {
        rows.push(h2(format!("h2: {name}"), send(&fields), &[401]));
    }
    let many: Vec<Field> = (0..100)
        .map(|at| field("cookie", format!("c{at}=v")))
        .chain([field("cookie", &parts.session)])
        .collect();
    rows.push(
        h2("h2: a session behind a hundred crumbs", send(&many), &[200])
            .seen(|seen| seen.values("cookie").len() == 1),
    );
    let socket = [
        vec![field(":method", "CONNECT"), field(":protocol", "websocket")],
        pseudo("GET", &parts.host, "/socket").split_off(1),
        vec![field("cookie", &parts.session)],
    ]
    .concat();
    rows.push(h2(
        "h2: a WebSocket",
        headers(1, 0, &socket),
        &[400, 405, 501, 0],
    ));
    rows
}
