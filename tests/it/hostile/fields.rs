//! Header fields of HTTP/2, where a value may hold any byte until it is written
//! as HTTP/1 for the app (RFC 9113, sections 8.2 and 8.3).

use super::row::{Fields, GONE, Row, Step, h2_fields, h2_frames};
use crate::h2::{DATA, END_HEADERS, END_STREAM, frame};

pub fn rows() -> Vec<Row> {
    let mut rows = names_and_values();
    rows.extend(connection());
    rows.extend(lengths());
    rows.extend(trailers());
    rows.extend(spoofed());
    rows.extend(cookies());
    rows.extend(sizes());
    rows
}

pub(super) fn with(name: &str, field: &str, value: &str) -> Row {
    h2_fields(format!("h2-{name}"), Fields::visitor().add(field, value))
}

fn names_and_values() -> Vec<Row> {
    vec![
        with("name-upper-case", "X-WeChat-OpenId", "spoofed"),
        with("name-one-capital", "cookiE", "a=1"),
        with("name-empty", "", "spoofed"),
        with("name-space", "x wechat openid", "spoofed"),
        with("name-colon", "x-a:b", "spoofed"),
        with("name-crlf", "x-a: b\r\nx-wechat-openid", "spoofed"),
        with("name-lf", "x-a\nx-wechat-openid", "spoofed"),
        with("name-nul", "x-wechat\0openid", "spoofed"),
        with("name-control", "x-wechat\u{1}openid", "spoofed"),
        with("name-high-byte", "x-wechat-\u{f6}penid", "spoofed"),
        with("name-trailing-space", "x-wechat-openid ", "spoofed"),
        with(
            "name-splits-the-request",
            "x: y\r\n\r\nget /smuggled http/1.1\r\na",
            "b",
        ),
        with("value-crlf", "x-a", "b\r\nX-WeChat-OpenId: spoofed"),
        with("value-lf", "x-a", "b\nX-WeChat-OpenId: spoofed"),
        with("value-cr", "x-a", "b\rX-WeChat-OpenId: spoofed"),
        with("value-nul", "x-a", "b\0X-WeChat-OpenId: spoofed"),
        with("value-del", "x-a", "b\u{7f}c"),
        with("value-splits-the-request", "x-a", "b\r\n\r\n{smuggled}"),
        with("value-ends-in-crlf", "x-a", "b\r\n"),
        with(
            "value-of-a-cookie-crlf",
            "cookie",
            "a=1\r\nX-WeChat-OpenId: spoofed",
        ),
        with("value-space-before", "x-a", " b")
            .either()
            .has("x-a", "b"),
        with("value-high-bytes", "x-a", "\u{e4}\u{bd}\u{a0}")
            .either()
            .has("x-a", "\u{4f60}"),
    ]
}

/// Fields that HTTP/2 has no use for (RFC 9113, section 8.2.2).
fn connection() -> Vec<Row> {
    vec![
        with("connection", "connection", "x-wechat-openid"),
        with("connection-close", "connection", "close"),
        with("keep-alive", "keep-alive", "timeout=9"),
        with("proxy-connection", "proxy-connection", "keep-alive"),
        with("upgrade", "upgrade", "websocket"),
        with("transfer-encoding-chunked", "transfer-encoding", "chunked"),
        with(
            "transfer-encoding-identity",
            "transfer-encoding",
            "identity",
        ),
        with("te-gzip", "te", "gzip"),
        with("te-trailers-and-more", "te", "trailers, gzip"),
        with("te-trailers-stays-behind", "te", "trailers").either(),
        with("http2-settings", "http2-settings", "AAMAAABk").either(),
        with("trailer", "trailer", "x-wechat-openid").either(),
        with("proxy", "proxy", "http://spoofed.example")
            .either()
            .lacks("proxy"),
        with("expect-unknown", "expect", "200-ok")
            .answers(&[200, 400, 417, 501, GONE])
            .seen_at_most(1),
        h2_frames(
            "h2-transfer-encoding-with-chunks",
            posted(
                Fields::visitor()
                    .set(":method", "POST")
                    .add("transfer-encoding", "chunked"),
                "0\r\n\r\n",
            ),
        ),
    ]
}

fn posted(fields: Fields, body: &str) -> Vec<Step> {
    vec![
        Step::Fields(END_HEADERS, 1, fields.0),
        Step::Bytes(frame(DATA, END_STREAM, 1, body.as_bytes())),
    ]
}

fn lengths() -> Vec<Row> {
    let post = |name: &str, lengths: &[&str], body: &str| {
        let mut fields = Fields::visitor().set(":method", "POST");
        for length in lengths {
            fields = fields.add("content-length", length);
        }
        h2_frames(format!("h2-{name}"), posted(fields, body))
    };
    vec![
        post("length-longer-than-the-data", &["50"], "hello").midway(),
        post("length-shorter-than-the-data", &["1"], "hello").midway(),
        // A body of nothing is whole before the data come that it must not have:
        // the app may have answered by then.
        post(
            "length-zero-with-data",
            &["0"],
            "GET /smuggled HTTP/1.1\r\n\r\n",
        )
        .answers(&[200, 400, GONE])
        .midway(),
        post("length-twice-equal", &["5", "5"], "hello"),
        post("length-twice-different", &["5", "0"], "hello"),
        post("length-list", &["5, 5"], "hello"),
        post("length-plus", &["+5"], "hello"),
        post("length-negative", &["-5"], "hello"),
        post("length-hex", &["0x5"], "hello"),
        post("length-empty", &[""], "hello"),
        post("length-over-64-bits", &["18446744073709551621"], "hello"),
        post("length-none-is-fine", &[], "hello")
            .forwarded()
            .body("hello"),
        post("length-right-is-fine", &["5"], "hello")
            .forwarded()
            .body("hello"),
        with("length-without-data", "content-length", "5").midway(),
    ]
}

fn trailers() -> Vec<Row> {
    let trailing = |name: &str, flags: u8, fields: &[(&str, &str)]| {
        let trailers = fields
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        h2_frames(
            format!("h2-trailer-{name}"),
            vec![
                Step::Fields(END_HEADERS, 1, Fields::visitor().set(":method", "POST").0),
                Step::Bytes(frame(DATA, 0, 1, b"hello")),
                Step::Fields(flags, 1, trailers),
            ],
        )
    };
    let end = END_HEADERS | END_STREAM;
    vec![
        trailing("with-an-identity", end, &[("x-wechat-openid", "spoofed")])
            .either()
            .body("hello"),
        trailing(
            "with-a-folded-identity",
            end,
            &[("x_wechat_openid", "spoofed")],
        )
        .either()
        .body("hello"),
        trailing(
            "with-framing",
            end,
            &[("content-length", "50"), ("x-a", "spoofed")],
        )
        .either()
        .body("hello"),
        trailing("with-a-coding", end, &[("transfer-encoding", "chunked")]).midway(),
        // No field of it goes on, well-formed or not.
        trailing("with-a-path", end, &[(":path", "/smuggled")])
            .either()
            .body("hello"),
        trailing("with-upper-case", end, &[("X-WeChat-OpenId", "spoofed")]).midway(),
        trailing("that-does-not-end", END_HEADERS, &[("x-a", "b")]).midway(),
    ]
}

fn spoofed() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        "x-wechat-openid",
        "x_wechat_openid",
        "x.wechat.openid",
        "x~wechat~openid",
        "x-wechat-appid",
        "x|wechat|openid",
        "x-forwarded-for",
        "x-real-ip",
        "forwarded",
        "x-original-url",
        "x-request-id",
        "x_forwarded_host",
    ]
    .map(|name| with(&format!("spoofed-{name}"), name, "spoofed").forwarded())
    .into();
    rows.push(h2_fields("h2-stranger", Fields::stranger("/x")).answers(&[401]));
    rows.push(
        h2_fields(
            "h2-spoofed-on-a-public-path",
            Fields::stranger("/pay/notify").add("x-wechat-openid", "spoofed"),
        )
        .forwarded(),
    );
    rows
}

/// Cookies come in crumbs, and leave as one line (RFC 9113, section 8.2.3).
fn cookies() -> Vec<Row> {
    let crumbs = |name: &str, crumbs: &[&str]| {
        let fields = crumbs.iter().fold(Fields::stranger("/x"), |fields, crumb| {
            fields.add("cookie", crumb)
        });
        h2_fields(format!("h2-crumbs-{name}"), fields)
    };
    vec![
        crumbs("are-joined", &["a=1", "{session}", "b=2"])
            .forwarded()
            .has("cookie", "a=1; {session}; b=2"),
        crumbs("beside-a-login", &["{login}", "{session}"])
            .forwarded()
            .has("cookie", "{session}"),
        crumbs("with-an-empty-one", &["", "{session}"])
            .forwarded()
            .has("cookie", "{session}"),
        crumbs("in-gbk", &["n=\u{c4}\u{e3}", "{session}"]).forwarded(),
        crumbs("of-two-sessions", &["{session}", "{session}"]).answers(&[401]),
        crumbs(
            "of-a-good-and-a-forged-session",
            &["{session}", "wxgate_shop=x"],
        )
        .answers(&[401]),
        crumbs("split-a-session", &["wxgate_shop={shorter}", "A"]).answers(&[401]),
        crumbs("split-a-name", &["wxgate_", "shop={value}"]).answers(&[401]),
    ]
}

fn sizes() -> Vec<Row> {
    let mut many = Fields::visitor();
    for n in 0..300 {
        many = many.add(&format!("x-{n}"), "b");
    }
    vec![
        // Within the limit of bytes, which is the one that HTTP/2 counts.
        h2_fields("h2-300-names", many)
            .answers(&[200, 400, 431, GONE])
            .seen_at_most(1),
    ]
}
