//! Identities that a client writes itself, in every spelling that an app may
//! fold to ours. The runner sees that none arrives, and that ours does.

use super::row::{Row, get, h1};

/// Every mark that may stand in a header's name.
const MARKS: &[&str] = &[
    "-", "_", ".", "~", "!", "#", "$", "%", "&", "'", "*", "+", "^", "|", "`",
];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for mark in MARKS {
        let name = ["X", "WeChat", "OpenId"].join(mark);
        for (route, target, cookie) in [
            ("public", "/pay/notify", ""),
            ("locked", "/x", "Cookie: {session}\r\n"),
        ] {
            let text = format!(
                "GET {target} HTTP/1.1\r\nHost: {{host}}\r\n{cookie}{name}: spoofed\r\n\r\n"
            );
            rows.push(h1(format!("spoofed-{name}-on-{route}"), text).forwarded());
        }
    }
    rows.extend(
        [
            "x-wechat-openid",
            "X-WECHAT-OPENID",
            "x-WeChat_openId",
            "X-WeChat-UnionId",
            "X-WeChat-Nickname",
            "X-WeChat-Avatar",
            "X-WeChat-AppId",
            "X-WeChat-Scope",
            "X-WeChat-Anything",
            "X-WeChat-",
            "X_WeChat_AppId",
            "HTTP_X_WECHAT_OPENID",
        ]
        .map(|name| {
            get(
                format!("spoofed-{name}"),
                &format!("{name}: spoofed\r\n{name}: spoofed\r\n"),
            )
            .forwarded()
            .has("x-wechat-scope", "snsapi_base")
        }),
    );
    rows.extend(methods());
    rows.extend([
        get("spoofed-empty", "X-WeChat-OpenId:\r\n").forwarded(),
        get(
            "spoofed-list",
            "X-WeChat-OpenId: oTestVisitor0000000000000001, spoofed\r\n",
        )
        .forwarded(),
        get(
            "spoofed-beside-the-right-one",
            "X-WeChat-OpenId: oTestVisitor0000000000000001\r\nX-WeChat-OpenId: spoofed\r\n",
        )
        .forwarded(),
        h1(
            "spoofed-the-right-one-on-a-public-route",
            "GET /pay/notify HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nX-WeChat-OpenId: oTestVisitor0000000000000001\r\n\r\n",
        )
        .forwarded()
        .lacks("cookie"),
        h1(
            "spoofed-on-an-optional-route-by-a-stranger",
            "GET /welcome HTTP/1.1\r\nHost: {host}\r\nX-WeChat-OpenId: oTestVisitor0000000000000001\r\n\r\n",
        )
        .forwarded()
        .lacks("x-wechat-openid"),
        h1(
            "spoofed-on-an-optional-route-by-a-visitor",
            "GET /welcome HTTP/1.1\r\n{head}X_WeChat_OpenId: spoofed\r\n\r\n",
        )
        .forwarded(),
        h1(
            "spoofed-instead-of-a-session",
            "GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nX-WeChat-OpenId: oTestVisitor0000000000000001\r\n\r\n",
        )
        .answers(&[401]),
        h1(
            "spoofed-over-http10",
            "GET /x HTTP/1.0\r\n{head}X-WeChat-OpenId: spoofed\r\nX_WeChat_OpenId: spoofed\r\n\r\n",
        )
        .forwarded(),
        h1(
            "spoofed-with-a-websocket",
            "GET /socket HTTP/1.1\r\n{head}Connection: Upgrade\r\nUpgrade: websocket\r\nX_WeChat_OpenId: spoofed\r\n\r\n",
        )
        .answers(&[101])
        .seen_at_most(1),
        h1(
            "spoofed-trailer",
            "POST /x HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\nTrailer: X-WeChat-OpenId\r\n\r\n2\r\nhi\r\n0\r\nX-WeChat-OpenId: spoofed\r\nX_WeChat_OpenId: spoofed\r\n\r\n",
        )
        .forwarded()
        .body("hi"),
        // What a framework's own login may trust.
        get("spoofed-header-with-underscore", "Remote_User: spoofed\r\n").forwarded(),
        get("spoofed-X-Forwarded-User", "X-Forwarded-User: spoofed\r\n").forwarded(),
    ]);
    rows
}

/// Methods that short-cuts are made for elsewhere.
fn methods() -> Vec<Row> {
    let with = |method: &str, target: &str, cookie: &str| {
        h1(
            format!("spoofed-by-{method}-on-{target}"),
            format!(
                "{method} {target} HTTP/1.1\r\nHost: {{host}}\r\n{cookie}X-WeChat-OpenId: spoofed\r\n\
                 X.WeChat.OpenId: spoofed\r\nContent-Length: 0\r\n\r\n"
            ),
        )
        .forwarded()
    };
    let mut rows = Vec::new();
    for method in ["OPTIONS", "HEAD", "PROPFIND", "get", "DELETE"] {
        rows.push(with(method, "/pay/notify", ""));
        rows.push(with(method, "/x", "Cookie: {session}\r\n"));
    }
    rows
}
