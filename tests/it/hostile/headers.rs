//! Header lines that two parsers cut differently (RFC 9112, section 5).

use super::row::{GONE, Row, get, h1};

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("folded-by-space", "X-A: b\r\n X-WeChat-OpenId: spoofed\r\n"),
        ("folded-by-tab", "X-A: b\r\n\tX-WeChat-OpenId: spoofed\r\n"),
        ("folded-empty", "X-A: b\r\n \r\nX-B: c\r\n"),
        ("space-before-colon", "X-WeChat-OpenId : spoofed\r\n"),
        ("tab-before-colon", "X-WeChat-OpenId\t: spoofed\r\n"),
        ("nothing-before-colon", ": spoofed\r\n"),
        ("no-colon", "X-WeChat-OpenId\r\n"),
        ("no-colon-but-equals", "X-WeChat-OpenId=spoofed\r\n"),
        ("space-in-name", "X WeChat OpenId: spoofed\r\n"),
        ("control-in-name", "X-WeChat\u{1}-OpenId: spoofed\r\n"),
        ("nul-in-name", "X-WeChat\0-OpenId: spoofed\r\n"),
        ("del-in-name", "X-WeChat\u{7f}-OpenId: spoofed\r\n"),
        ("cr-in-name", "X-WeChat\r-OpenId: spoofed\r\n"),
        ("high-byte-in-name", "X-WeChat-\u{d6}penId: spoofed\r\n"),
        ("parenthesis-in-name", "X(WeChat)OpenId: spoofed\r\n"),
        ("slash-in-name", "X/WeChat/OpenId: spoofed\r\n"),
        ("at-in-name", "X@WeChat@OpenId: spoofed\r\n"),
        ("comma-in-name", "X-A,X-WeChat-OpenId: spoofed\r\n"),
        ("semicolon-in-name", "X;WeChat;OpenId: spoofed\r\n"),
        ("quotes-in-name", "\"X-WeChat-OpenId\": spoofed\r\n"),
        ("brackets-in-name", "X[WeChat]OpenId: spoofed\r\n"),
        ("braces-in-name", "X{WeChat}OpenId: spoofed\r\n"),
        ("backslash-in-name", "X\\WeChat\\OpenId: spoofed\r\n"),
        ("control-in-value", "X-A: b\u{1}c\r\n"),
        ("escape-in-value", "X-A: \u{1b}[2J\r\n"),
        ("del-in-value", "X-A: b\u{7f}c\r\n"),
        ("nul-in-value", "X-A: b\0X-WeChat-OpenId: spoofed\r\n"),
        ("bare-cr-in-value", "X-A: b\rX-WeChat-OpenId: spoofed\r\n"),
        ("bare-lf-in-value", "X-A: b\nX-B: c\r\n"),
        (
            "bare-lf-and-identity",
            "X-A: b\nX-WeChat-OpenId: spoofed\r\n",
        ),
        ("cr-cr-lf", "X-A: b\r\r\nX-WeChat-OpenId: spoofed\r\n"),
        (
            "lf-lf-ends-it",
            "X-A: b\n\nGET /smuggled HTTP/1.1\r\nHost: {host}\r\n",
        ),
        ("lf-cr-lf-ends-it", "X-A: b\n\r\n{smuggled}"),
        (
            "vertical-tab-in-value",
            "X-A: b\u{b}X-WeChat-OpenId: spoofed\r\n",
        ),
    ]
    .map(|(name, lines)| get(format!("header-{name}"), lines))
    .into();
    rows.extend([
        h1(
            "header-folded-before-the-first",
            "GET /x HTTP/1.1\r\n X-WeChat-OpenId: spoofed\r\n{head}\r\n",
        ),
        h1(
            "header-of-another-request-line",
            "GET /x HTTP/1.1\r\nGET /smuggled HTTP/1.1\r\n{head}\r\n",
        ),
        get("header-300-of-them", &"X-A: b\r\n".repeat(300))
            .answers(&[400, 431, GONE])
            .closes(),
        get(
            "header-300-names",
            &(0..300)
                .map(|n| format!("X-{n}: b\r\n"))
                .collect::<String>(),
        )
        .answers(&[400, 431, GONE])
        .closes(),
        get(
            "header-value-of-70-kilobytes",
            &format!("X-A: {}\r\n", "b".repeat(70_000)),
        )
        .answers(&[400, 431, GONE])
        .closes(),
        get(
            "header-value-of-two-megabytes",
            &format!("X-A: {}\r\n", "b".repeat(2_000_000)),
        )
        .answers(&[400, 431, GONE])
        .closes(),
        get(
            "header-name-of-70-kilobytes",
            &format!("X-{}: b\r\n", "a".repeat(70_000)),
        )
        .answers(&[400, 431, GONE])
        .closes(),
        // Odd and harmless: it comes through as it is.
        get("header-empty-value", "X-A:\r\n")
            .either()
            .has("x-a", ""),
        get("header-high-bytes-in-value", "X-A: \u{e4}\u{bd}\u{a0}\r\n")
            .either()
            .has("x-a", "\u{4f60}"),
        get("header-colon-in-value", "X-A: X-WeChat-OpenId: s\r\n")
            .either()
            .has("x-a", "X-WeChat-OpenId: s"),
        get(
            "header-line-feed-encoded",
            "X-A: b%0d%0aX-WeChat-OpenId: s\r\n",
        )
        .either()
        .has("x-a", "b%0d%0aX-WeChat-OpenId: s"),
    ]);
    rows
}
