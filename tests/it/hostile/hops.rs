//! What ends at each hop, and what a client would like to end there:
//! `Connection`, `Upgrade`, `Expect` (RFC 9110, sections 7.6, 7.8 and 10.1.1;
//! RFC 6455).

use super::row::{GONE, Row, get, h1, post};

pub fn rows() -> Vec<Row> {
    let mut rows = nominations();
    rows.extend(stripped());
    rows.extend(upgrades());
    rows.extend(sockets());
    rows.extend(expectations());
    rows
}

/// `Connection` names what a proxy should take away. Nothing of ours goes.
fn nominations() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        "X-WeChat-OpenId",
        "close, X-WeChat-OpenId",
        "keep-alive, x-wechat-openid, x-wechat-appid, x-wechat-scope",
        "X-Request-Id",
        "X-Real-IP",
        "close, X-Forwarded-For, X-Forwarded-Proto",
        "Host",
        ":authority",
        "Cookie",
        "close, Content-Type",
        "Accept, Accept, Accept",
        ", , X-WeChat-OpenId, ,",
        "a, b, c, d, e, f, g, h, i, j, k, l, X-WeChat-OpenId",
        "(odd), X-WeChat-OpenId",
    ]
    .map(|names| {
        get(
            format!("connection-names-{names}"),
            &format!("Connection: {names}\r\n"),
        )
        .either()
        .has("x-wechat-scope", "snsapi_base")
    })
    .into();
    rows.extend([
        get(
            "connection-twice",
            "Connection: keep-alive\r\nConnection: X-WeChat-OpenId\r\n",
        )
        .either(),
        get(
            "connection-names-a-spoofed-identity",
            "Connection: X-WeChat-OpenId\r\nX-WeChat-OpenId: spoofed\r\n",
        )
        .either(),
        get(
            "connection-names-a-folded-identity",
            "Connection: X_WeChat_OpenId\r\nX_WeChat_OpenId: spoofed\r\n",
        )
        .either(),
        h1(
            "connection-close-with-a-second-get-behind",
            "GET /x HTTP/1.1\r\n{head}Connection: close\r\n\r\n{smuggled}",
        )
        .forwarded()
        .closes(),
    ]);
    rows
}

fn stripped() -> Vec<Row> {
    [
        ("keep-alive", "Keep-Alive: timeout=99999, max=99999"),
        ("proxy-connection", "Proxy-Connection: keep-alive"),
        ("te", "TE: trailers"),
        ("te-gzip", "TE: gzip, trailers;q=0.5"),
        ("te-in-connection", "Connection: TE\r\nTE: trailers"),
        ("trailer", "Trailer: X-WeChat-OpenId"),
        ("http2-settings", "HTTP2-Settings: AAMAAABk"),
        (
            "proxy-authorization",
            "Proxy-Authorization: Basic c3Bvb2ZlZA==",
        ),
        // CGI makes HTTP_PROXY of it, by which many programs go out (httpoxy).
        ("proxy", "Proxy: http://spoofed.example:3128"),
        ("proxy-odd-case", "pROXY: http://spoofed.example:3128"),
    ]
    .map(|(name, lines)| {
        get(format!("hop-by-hop-{name}"), &format!("{lines}\r\n"))
            .either()
            .lacks("proxy")
            .lacks("proxy-authorization")
    })
    .into()
}

fn upgrades() -> Vec<Row> {
    let behind = |name: &str, headers: &str| {
        h1(
            format!("upgrade-{name}"),
            format!("GET /x HTTP/1.1\r\n{{head}}{headers}\r\n{{smuggled}}"),
        )
        .either()
        .closes()
    };
    vec![
        behind(
            "h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        )
        .lacks("upgrade"),
        behind("h2c-not-in-connection", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
            .lacks("upgrade"),
        behind("tls", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n").lacks("upgrade"),
        behind("http-2.0", "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n").lacks("upgrade"),
        behind("h2c-and-websocket", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"),
        behind(
            "two-lines",
            "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        ),
        behind("websocket-refused-by-the-app", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        behind("websocket-not-in-connection", "Upgrade: websocket\r\n"),
        behind("of-nothing", "Connection: Upgrade\r\n").lacks("upgrade"),
        behind("empty", "Connection: Upgrade\r\nUpgrade:\r\n"),
        h1(
            "upgrade-websocket-http10",
            "GET /x HTTP/1.0\r\n{head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n{smuggled}",
        )
        .either()
        .closes(),
        h1(
            "upgrade-websocket-by-post",
            "POST /x HTTP/1.1\r\n{head}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello{smuggled}",
        )
        .either()
        .closes(),
        h1(
            "upgrade-that-the-app-invents",
            "GET /switch HTTP/1.1\r\n{head}\r\n{smuggled}",
        )
        .answers(&[502])
        .seen_at_most(1)
        .closes()
        .never_says("smuggled"),
    ]
}

/// WebSockets for other sites' pages: a browser sends the cookie along.
fn sockets() -> Vec<Row> {
    let socket = |name: &str, lines: &str| {
        h1(
            format!("websocket-{name}"),
            format!(
                "GET /socket HTTP/1.1\r\n{{head}}Connection: Upgrade\r\nUpgrade: websocket\r\n{lines}\r\n"
            ),
        )
    };
    let mut rows: Vec<Row> = [
        ("foreign-origin", "Origin: https://evil.example\r\n"),
        (
            "own-name-before-anothers",
            "Origin: http://127.0.0.1.evil.example\r\n",
        ),
        ("own-name-as-user", "Origin: http://{host}@evil.example\r\n"),
        ("origin-null", "Origin: null\r\n"),
        ("origin-empty", "Origin:\r\n"),
        ("origin-without-scheme", "Origin: {host}\r\n"),
        (
            "origin-with-path",
            "Origin: https://evil.example/{host}\r\n",
        ),
        (
            "origin-list",
            "Origin: http://{host}, https://evil.example\r\n",
        ),
        (
            "origin-twice",
            "Origin: http://{host}\r\nOrigin: https://evil.example\r\n",
        ),
        (
            "origin-twice-turned",
            "Origin: https://evil.example\r\nOrigin: http://{host}\r\n",
        ),
        ("origin-high-byte", "Origin: http://\u{e4}\r\n"),
    ]
    .map(|(name, lines)| socket(name, lines).answers(&[400, 403]))
    .into();
    rows.extend([
        h1(
            "websocket-of-a-stranger",
            "GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://{host}\r\n\r\n",
        )
        .answers(&[401]),
        h1(
            "websocket-odd-case-of-a-foreign-origin",
            "GET /socket HTTP/1.1\r\n{head}Connection: uPGRADE\r\nuPGRADE: WebSocket\r\nOrigin: https://evil.example\r\n\r\n",
        )
        .answers(&[400, 403]),
        socket("of-the-own-page", "Origin: http://{host}\r\n")
            .answers(&[101])
            .seen_at_most(1),
    ]);
    rows
}

fn expectations() -> Vec<Row> {
    vec![
        post(
            "expect-continue-with-a-second-get-behind",
            "Expect: 100-continue\r\nContent-Length: 5\r\n",
            "hello{smuggled}",
        )
        .either()
        .closes()
        .body("hello"),
        post(
            "expect-unknown",
            "Expect: 200-ok\r\nContent-Length: 5\r\n",
            "hello",
        )
        .answers(&[200, 400, 417, 501, GONE])
        .seen_at_most(1),
        post(
            "expect-twice",
            "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n",
            "hello",
        )
        .answers(&[200, 400, 417, GONE])
        .seen_at_most(1),
        get("expect-without-a-body", "Expect: 100-continue\r\n")
            .answers(&[200, 400, 417, GONE])
            .seen_at_most(1),
        h1(
            "expect-of-a-stranger",
            "POST /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nExpect: 100-continue\r\nContent-Length: 92\r\n\r\n{smuggled}",
        )
        .answers(&[401])
        .closes(),
        h1(
            "expect-with-both-framings",
            "POST /x HTTP/1.1\r\n{head}Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        ),
    ]
}
