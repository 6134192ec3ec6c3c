//! Chunks that two servers count differently (RFC 9112, section 7.1). The head
//! has gone to the app when they come, so that it may see an unfinished request,
//! and never a second one.

use super::row::{Row, post};

fn chunked(name: &str, body: &str) -> Row {
    post(name, "Transfer-Encoding: chunked\r\n", body)
}

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("size-0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("size-negative", "-5\r\nhello\r\n0\r\n\r\n"),
        ("size-plus", "+5\r\nhello\r\n0\r\n\r\n"),
        (
            "size-over-64-bits",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        ("size-64-bits-full", "ffffffffffffffff\r\n{smuggled}"),
        ("size-space-before", " 5\r\nhello\r\n0\r\n\r\n"),
        ("size-underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("size-no-digit", "g\r\nhello\r\n0\r\n\r\n"),
        (
            "size-full-width-digit",
            "\u{ef}\u{bc}\u{95}\r\nhello\r\n0\r\n\r\n",
        ),
        ("size-two-numbers", "5 0\r\nhello\r\n0\r\n\r\n"),
        ("size-quoted", "\"5\"\r\nhello\r\n0\r\n\r\n"),
        ("size-nul", "5\0\r\nhello\r\n0\r\n\r\n"),
        ("size-vertical-tab", "5\u{b}\r\nhello\r\n0\r\n\r\n"),
        ("lf-only", "5\nhello\n0\n\n{smuggled}"),
        ("lf-behind-the-size", "5\nhello\r\n0\r\n\r\n{smuggled}"),
        ("lf-behind-the-data", "5\r\nhello\n0\r\n\r\n{smuggled}"),
        ("cr-behind-the-size", "5\rhello\r\n0\r\n\r\n{smuggled}"),
        ("lf-behind-the-last-size", "5\r\nhello\r\n0\n\r\n{smuggled}"),
        ("extension-ends-in-lf", "5;a\nhello\r\n0\r\n\r\n{smuggled}"),
        (
            "extension-with-bare-cr",
            "5;a\rb\r\nhello\r\n0\r\n\r\n{smuggled}",
        ),
        (
            "data-longer-than-its-size",
            "3\r\nhello\r\n0\r\n\r\n{smuggled}",
        ),
        ("data-shorter-than-its-size", "9\r\nhello\r\n0\r\n\r\n"),
        (
            "no-end-of-line-behind-the-data",
            "5\r\nhello0\r\n\r\n{smuggled}",
        ),
        (
            "two-bytes-instead-of-an-end-of-line",
            "5\r\nhelloXX0\r\n\r\n{smuggled}",
        ),
    ]
    .map(|(name, body)| chunked(&format!("chunk-{name}"), body).midway())
    .into();
    rows.extend([
        chunked("chunk-none-is-the-last", "5\r\nhello\r\n")
            .midway()
            .unfinished(),
        chunked("chunk-no-line-behind-the-last", "5\r\nhello\r\n0\r\n")
            .midway()
            .unfinished(),
        chunked("chunk-nothing-at-all", "").midway().unfinished(),
    ]);
    let whole = |name: &str, body: &str| chunked(name, body).either().closes();
    rows.extend([
        // The engine is lenient with these four. What the app gets is framed
        // anew, and the bytes behind go nowhere.
        chunked("chunk-size-missing", "\r\nhello\r\n0\r\n\r\n")
            .either()
            .body(""),
        whole(
            "chunk-extension-hides-a-line",
            "2;\n45\r\nGE\r\n0\r\n\r\n{smuggled}",
        )
        .body("GE"),
        whole(
            "chunk-extension-with-nul",
            "5;a\0b\r\nhello\r\n0\r\n\r\n{smuggled}",
        )
        .body("hello"),
        chunked("chunk-trailer-without-colon", "0\r\nsmuggled\r\n\r\n")
            .either()
            .body(""),
        whole(
            "chunk-size-leading-zeros",
            "0000000005\r\nhello\r\n0\r\n\r\n{smuggled}",
        )
        .body("hello"),
        whole(
            "chunk-size-space-behind",
            "5 \r\nhello\r\n0\r\n\r\n{smuggled}",
        )
        .body("hello"),
        whole("chunk-last-is-many-zeros", "000000000000\r\n\r\n{smuggled}").body(""),
        whole(
            "chunk-last-with-a-second-get-behind",
            "5\r\nhello\r\n0\r\n\r\n{smuggled}",
        )
        .body("hello"),
        whole(
            "chunk-extension-stays-behind",
            "5;name=\"spoofed\"\r\nhello\r\n0;spoofed\r\n\r\n{smuggled}",
        )
        .body("hello"),
        whole(
            "chunk-extension-of-100-kilobytes",
            &format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100_000)),
        ),
        whole(
            "chunk-trailer-with-an-identity",
            "5\r\nhello\r\n0\r\nX-WeChat-OpenId: spoofed\r\n\r\n{smuggled}",
        )
        .body("hello"),
        whole(
            "chunk-trailer-with-a-length",
            "5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: cow\r\n\r\n{smuggled}",
        )
        .body("hello"),
        whole(
            "chunk-trailer-with-a-host-and-a-cookie",
            "5\r\nhello\r\n0\r\nHost: spoofed\r\nCookie: spoofed=1\r\n\r\n{smuggled}",
        )
        .has("cookie", "{session}")
        .body("hello"),
    ]);
    rows
}
