//! Headers by which a client says who it is, where it comes from, or what the
//! gateway's own word is worth.

use super::table::{Parts, Row, h1, h2};
use crate::h2::{DATA, END_STREAM, Field, field, frame, headers, pseudo};

/// Marks that CGI and its kin take for one another in a header's name.
const MARKS: &[&str] = &[
    "-", "_", ".", "~", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|",
];

/// Names of identity that some app would take for the gateway's.
fn identities() -> Vec<String> {
    let spelled = |mark: &str| format!("X{mark}WeChat{mark}OpenId");
    let mut names: Vec<String> = MARKS.iter().map(|mark| spelled(mark)).collect();
    for name in [
        "x-wechat-openid",
        "X-WECHAT-OPENID",
        "X_WeChat-OpenId",
        "X-WeChat_OpenId",
        "X-WeChat-UnionId",
        "X_WECHAT_SCOPE",
        "X-WeChat-AppId",
        "X-WeChat-Snapshot",
        "X-WeChat-Assertion",
        "X-WeChat-Pay-OpenId",
        "X-WeChat-Nickname",
        "X-WeChat-",
        "x-wechat--openid",
    ] {
        names.push(name.to_owned());
    }
    names
}

/// Names of where a request came from; what a client writes there never passes.
const WHERE_FROM: &[&str] = &[
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Server",
    "X-Forwarded-User",
    "X-Forwarded",
    "X_Forwarded_For",
    "X.Forwarded.For",
    "X-Real-Ip",
    "X_Real_IP",
    "X-Original-Url",
    "X-Original-Host",
    "X-Original-Forwarded-For",
    "X-Rewrite-Url",
    "True-Client-Ip",
    "Client-Ip",
    "X-Client-Ip",
    "X-Cluster-Client-Ip",
    "Cf-Connecting-Ip",
    "Proxy-Client-IP",
    "WL-Proxy-Client-IP",
    "HTTP_CLIENT_IP",
    "HTTP_X_FORWARDED_FOR",
    "Ali-Cdn-Real-Ip",
    "X-Remote-Addr",
    "X-Request-Id",
    "X-Host",
    "X-Url-Scheme",
    "Front-End-Https",
    "Proxy",
];

/// Three ways to the app: open to all, open with a session welcome, locked.
fn ways(parts: &Parts) -> [(&'static str, String); 4] {
    [
        ("/pay/notify", String::new()),
        ("/pay/notify", format!("Cookie: {}\r\n", parts.session)),
        ("/welcome", String::new()),
        ("/x", format!("Cookie: {}\r\n", parts.session)),
    ]
}

/// Every name, on every way, once and twice and named in `Connection`.
pub fn http1(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let host = &parts.host;
    for (at, name) in identities().iter().enumerate() {
        // Each spelling by one way, each way by many spellings: `identity` has
        // a test of its own that tries all with all.
        let ways = ways(parts);
        let (path, cookie) = &ways[at % ways.len()];
        let method = ["GET", "POST", "OPTIONS", "HEAD", "PROPFIND"][at % 5];
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{name}: spoofed\r\n{name}: spoofed\r\n\r\n"
        );
        rows.push(
            h1(
                format!("{name} twice, by {method} to {path}"),
                text,
                &[200, 400],
            )
            .perhaps_seen(),
        );
    }
    for name in WHERE_FROM {
        let cookie = &parts.session;
        let text = format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n{name}: spoofed\r\n\r\n"
        );
        rows.push(
            h1(format!("{name} on a locked route"), text, &[200]).seen(|seen| {
                seen.values("x-forwarded-for") == ["127.0.0.1"]
                    && seen.values("x-real-ip") == ["127.0.0.1"]
            }),
        );
    }
    rows.extend(connection(parts));
    rows.extend(overrides(parts));
    rows.extend(trailers(parts));
    rows
}

/// What a client says in `Connection` takes nothing of the gateway's away.
fn connection(parts: &Parts) -> Vec<Row> {
    let Parts { host, session, .. } = parts;
    let mut rows = Vec::new();
    for named in [
        "X-WeChat-OpenId",
        "x-wechat-openid, X-WeChat-AppId",
        "close, X-WeChat-OpenId",
        "keep-alive, X-Request-Id",
        "X-Real-Ip",
        "\tX-WeChat-OpenId\t",
        "X-WeChat-OpenId,,close",
        "x_wechat_openid",
    ] {
        let text = format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nConnection: {named}\r\nX-WeChat-OpenId: spoofed\r\n\r\n"
        );
        rows.push(
            h1(format!("Connection: {named:?}"), text, &[200]).seen(|seen| {
                [
                    "x-wechat-openid",
                    "x-wechat-appid",
                    "x-wechat-scope",
                    "x-request-id",
                    "x-real-ip",
                    "x-forwarded-for",
                ]
                .iter()
                .all(|name| seen.values(name).len() == 1)
            }),
        );
    }
    for named in [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "Host",
        ":authority",
        "a b",
        "a/b",
    ] {
        let text = format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nConnection: {named}\r\n\r\n"
        );
        rows.push(h1(format!("Connection: {named}"), text, &[400]));
    }
    let many = vec!["x"; 20].join(", ");
    rows.push(h1(
        "twenty names in Connection",
        format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nConnection: {many}\r\n\r\n"
        ),
        &[400],
    ));
    let cookie = format!(
        "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nConnection: Cookie\r\n\r\n"
    );
    rows.push(h1("Connection: Cookie", cookie, &[200, 401]).perhaps_seen());
    for (name, lines, gone) in [
        (
            "Keep-Alive",
            "Keep-Alive: timeout=999, max=999\r\n",
            "keep-alive",
        ),
        ("TE", "TE: trailers, gzip\r\nConnection: TE\r\n", "te"),
        ("Trailer", "Trailer: X-WeChat-OpenId\r\n", "trailer"),
        (
            "Proxy-Connection",
            "Proxy-Connection: keep-alive\r\n",
            "proxy-connection",
        ),
        (
            "Upgrade to HTTP/2",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "http2-settings",
        ),
        (
            "Upgrade to anything",
            "Upgrade: evil/1.0\r\nConnection: Upgrade\r\n",
            "upgrade",
        ),
    ] {
        let text = format!("GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\n{lines}\r\n");
        rows.push(
            h1(format!("{name} ends here"), text, &[200])
                .seen(move |seen| seen.values(gone).is_empty()),
        );
    }
    let socket = format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nUpgrade: websocket\r\nConnection: X-WeChat-OpenId, Upgrade\r\n\r\n"
    );
    rows.push(
        h1("a WebSocket that names ours in Connection", socket, &[101])
            .seen(|seen| seen.value("upgrade").as_deref() == Some("websocket")),
    );
    rows
}

/// `/strict` takes GET and POST alone: nothing turns one method into another.
fn overrides(parts: &Parts) -> Vec<Row> {
    let Parts { host, session, .. } = parts;
    let mut rows = Vec::new();
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "X.HTTP.Method.Override",
    ] {
        let text = format!(
            "POST /strict/x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\n{name}: DELETE-spoofed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        rows.push(h1(format!("{name} on a route with methods"), text, &[200]).perhaps_seen());
    }
    for method in ["DELETE", "PUT", "HEAD", "get", "POST2"] {
        let text =
            format!("{method} /strict HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\n\r\n");
        rows.push(h1(
            format!("{method} on a route with methods"),
            text,
            &[405],
        ));
    }
    rows
}

fn trailers(parts: &Parts) -> Vec<Row> {
    let Parts { host, session, .. } = parts;
    let mut rows = Vec::new();
    for trailer in [
        "X-WeChat-OpenId: spoofed",
        "Content-Length: 5\r\nX: spoofed",
        "Transfer-Encoding: spoofed",
        "Host: spoofed",
        "Cookie: a=spoofed",
    ] {
        let text = format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nTransfer-Encoding: chunked\r\nTrailer: X-WeChat-OpenId\r\n\r\n2\r\nhi\r\n0\r\n{trailer}\r\n\r\n"
        );
        rows.push(h1(format!("a trailer {trailer:?}"), text, &[200, 400]).perhaps_seen());
    }
    rows
}

/// The same over HTTP/2.
pub fn http2(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let send = |path: &str, cookie: bool, fields: &[Field]| {
        let mut all = pseudo("GET", &parts.host, path);
        if cookie {
            all.push(field("cookie", &parts.session));
        }
        all.extend_from_slice(fields);
        headers(1, END_STREAM, &all)
    };
    for (at, name) in identities().iter().enumerate() {
        let name = name.to_ascii_lowercase();
        let (path, cookie) = [("/pay/notify", false), ("/welcome", false), ("/x", true)][at % 3];
        let twice = [field(&name, "spoofed"), field(&name, "spoofed")];
        rows.push(
            h2(
                format!("h2: {name} {at} to {path}"),
                send(path, cookie, &twice),
                &[200, 400, 0],
            )
            .perhaps_seen(),
        );
    }
    for name in WHERE_FROM.iter().step_by(3) {
        let one = [field(name.to_ascii_lowercase(), "spoofed")];
        rows.push(
            h2(format!("h2: {name}"), send("/x", true, &one), &[200])
                .seen(|seen| seen.values("x-forwarded-for") == ["127.0.0.1"]),
        );
    }
    let trailer = [
        headers(
            1,
            0,
            &[
                pseudo("POST", &parts.host, "/x"),
                vec![field("cookie", &parts.session)],
            ]
            .concat(),
        ),
        frame(DATA, 0, 1, b"hi"),
        headers(
            1,
            END_STREAM,
            &[
                field("x-wechat-openid", "spoofed"),
                field("cookie", "a=spoofed"),
            ],
        ),
    ]
    .concat();
    rows.push(h2("h2: trailers", trailer, &[200]).seen(|seen| seen.body == b"hi"));
    let pseudo_trailer = [
        headers(
            1,
            0,
            &[
                pseudo("POST", &parts.host, "/x"),
                vec![field("cookie", &parts.session)],
            ]
            .concat(),
        ),
        frame(DATA, 0, 1, b"hi"),
        headers(1, END_STREAM, &[field(":path", "/spoofed")]),
    ]
    .concat();
    rows.push(
        h2(
            "h2: a pseudo-header in trailers",
            pseudo_trailer,
            &[200, 400, 502, 0],
        )
        .perhaps_seen(),
    );
    rows
}
