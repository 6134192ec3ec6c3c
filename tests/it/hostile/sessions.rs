//! Sessions that are none: forged, changed, doubled, or carried elsewhere; and
//! other cookies beside a good one.

use super::row::{GONE, Row, h1};

/// A request with these lines instead of a good `Cookie`.
fn carrying(name: impl Into<String>, lines: &str) -> Row {
    h1(
        name,
        format!("GET /x HTTP/1.1\r\nHost: {{host}}\r\nAccept: application/json\r\n{lines}\r\n"),
    )
}

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("empty", ""),
        ("one", "1"),
        ("true", "true"),
        ("openid", "oTestVisitor0000000000000001"),
        ("only-dots", "..."),
        ("truncated", "{shorter}"),
        ("longer", "{value}A"),
        ("padded-once", "{value}="),
        ("padded-twice", "{value}=="),
        ("padding-encoded", "{value}%3d"),
        ("standard-alphabet", "{standard}"),
        ("upper-case", "{upper}"),
        ("quoted", "\"{value}\""),
        ("single-quoted", "'{value}'"),
        ("doubled", "{value}{value}"),
        ("joined-by-dot", "{value}.{value}"),
        ("space-inside", "{shorter} A"),
        ("nul-encoded", "{value}%00"),
        ("line-feed-encoded", "{value}%0a"),
        ("high-byte-behind", "{value}\u{e4}"),
        ("comma-behind", "{value},"),
        ("login-cookie-as-session", "{login-value}"),
        ("algorithm-none", "eyJhbGciOiJub25lIn0.eyJvcGVuaWQiOiJvIn0."),
        ("json", "{\"openid\":\"oTestVisitor0000000000000001\"}"),
    ]
    .map(|(name, value)| {
        carrying(
            format!("session-{name}"),
            &format!("Cookie: wxgate_shop={value}\r\n"),
        )
        .answers(&[401])
    })
    .into();
    rows.extend(
        [
            ("twice-in-a-line", "Cookie: {session}; {session}\r\n"),
            (
                "twice-in-two-lines",
                "Cookie: {session}\r\nCookie: {session}\r\n",
            ),
            (
                "forged-before-the-good-one",
                "Cookie: wxgate_shop=x; {session}\r\n",
            ),
            (
                "forged-behind-the-good-one",
                "Cookie: {session}\r\nCookie: wxgate_shop=x\r\n",
            ),
            ("name-in-other-case", "Cookie: WXGATE_SHOP={value}\r\n"),
            ("name-longer", "Cookie: xwxgate_shop={value}\r\n"),
            (
                "name-of-another-account",
                "Cookie: wxgate_other={value}\r\n",
            ),
            ("name-of-no-account", "Cookie: wxgate_={value}\r\n"),
            (
                "name-with-https-prefix",
                "Cookie: __Host-wxgate_shop={value}\r\n",
            ),
            ("name-encoded", "Cookie: wxgate%5fshop={value}\r\n"),
            (
                "name-of-a-login",
                "Cookie: wxgate-login-00000000={value}\r\n",
            ),
            ("behind-a-comma", "Cookie: a=1, {session}\r\n"),
            ("behind-an-open-quote", "Cookie: a=\"1, {session}\"\r\n"),
            ("in-another-value", "Cookie: a={session}\r\n"),
            ("in-cookie2", "Cookie2: {session}\r\n"),
            ("in-set-cookie", "Set-Cookie: {session}\r\n"),
            ("in-x-cookie", "X-Cookie: {session}\r\n"),
            ("as-bearer", "Authorization: Bearer {value}\r\n"),
            ("as-basic", "Authorization: Basic {value}\r\n"),
            (
                "pending-list-as-session",
                "Cookie: wxgate-pending={value}\r\n",
            ),
            ("login-cookies-alone", "Cookie: {login}\r\n"),
        ]
        .map(|(name, lines)| carrying(format!("session-{name}"), lines).answers(&[401])),
    );
    rows.extend([
        carrying(
            "session-of-ten-kilobytes",
            &format!("Cookie: wxgate_shop={}\r\n", "A".repeat(10_000)),
        )
        .answers(&[401]),
        h1(
            "session-in-the-query",
            "GET /x?{session} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n",
        )
        .answers(&[401]),
        h1(
            "session-of-too-small-a-scope",
            "GET /member HTTP/1.1\r\n{head}\r\n",
        )
        .answers(&[401]),
        h1(
            "session-below-too-small-a-scope",
            "GET /member/../x HTTP/1.1\r\n{head}\r\n",
        )
        .answers(&[400, 401, GONE]),
        // A good session among odd cookies. Those are the app's own business.
        carrying(
            "cookies-rfc-2965",
            "Cookie: $Version=1; {session}; $Path=/\r\n",
        )
        .answers(&[200, 401])
        .seen_at_most(1),
        carrying(
            "cookies-of-200-others",
            &format!("Cookie: {}{{session}}\r\n", "a=b; ".repeat(200)),
        )
        .forwarded(),
        carrying(
            "cookies-in-gbk",
            "Cookie: n=\u{c4}\u{e3}\u{ba}\u{c3}; {session}\r\n",
        )
        .forwarded(),
        carrying("cookies-without-names", "Cookie: =; ;; =x; {session}\r\n").forwarded(),
        carrying(
            "cookies-in-two-lines",
            "Cookie: a=1\r\nCookie: {session}\r\n",
        )
        .forwarded()
        .has("cookie", "a=1; {session}"),
        carrying("cookies-one-line-empty", "Cookie:\r\nCookie: {session}\r\n")
            .forwarded()
            .has("cookie", "{session}"),
        carrying(
            "cookies-of-a-login-stay-behind",
            "Cookie: {login}; {session}; a=1\r\n",
        )
        .forwarded()
        .has("cookie", "{session}; a=1"),
        carrying(
            "cookies-of-another-account-stay-behind",
            "Cookie: wxgate_other=x; {session}\r\n",
        )
        .forwarded()
        .has("cookie", "{session}"),
        h1(
            "cookies-of-a-public-route",
            "GET /pay/notify HTTP/1.1\r\nHost: {host}\r\nCookie: {session}; a=1\r\n\r\n",
        )
        .forwarded()
        .has("cookie", "a=1"),
        h1(
            "cookies-forged-on-an-optional-route",
            "GET /welcome HTTP/1.1\r\nHost: {host}\r\nCookie: wxgate_shop=x; a=1\r\n\r\n",
        )
        .forwarded()
        .lacks("x-wechat-openid")
        .has("cookie", "a=1"),
    ]);
    rows
}
