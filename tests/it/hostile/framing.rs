//! Lengths and codings: where does a request end? Everything here aims at two
//! servers that answer this differently (RFC 9112, section 6).

use super::row::{GONE, Row, h1, post};

pub fn rows() -> Vec<Row> {
    let mut rows = both();
    rows.extend(lengths());
    rows.extend(codings());
    rows.extend(bodies());
    rows
}

fn both() -> Vec<Row> {
    let zero = "0\r\n\r\n{smuggled}";
    vec![
        post(
            "cl-te-with-smuggled-get",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\nG{smuggled}",
        ),
        post(
            "te-cl-with-smuggled-get",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "5c\r\n{smuggled}\r\n0\r\n\r\n",
        ),
        post(
            "cl-te-of-one-meaning",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post(
            "cl-te-far-apart",
            "Content-Length: 5\r\nX-A: b\r\nX-B: c\r\nTransfer-Encoding: chunked\r\n",
            zero,
        ),
        post(
            "cl-te-odd-case",
            "cOnTeNt-LeNgTh: 5\r\ntRANSFER-eNCODING: chunked\r\n",
            zero,
        ),
        post(
            "cl-zero-te",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            zero,
        ),
        post(
            "bad-cl-te",
            "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
            zero,
        ),
        h1(
            "cl-te-on-a-public-route",
            "POST /pay/notify HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        ),
        h1(
            "cl-te-of-a-stranger",
            "POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        ),
        h1(
            "te-on-http10",
            "POST /x HTTP/1.0\r\n{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        ),
        h1(
            "te-on-http10-kept-alive",
            "POST /x HTTP/1.0\r\n{head}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        ),
        h1(
            "cl-te-on-http10",
            "POST /x HTTP/1.0\r\n{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        ),
        post(
            "cl-in-connection",
            "Connection: Content-Length\r\nContent-Length: 5\r\n",
            "hello",
        )
        .either()
        .body("hello"),
        post(
            "te-in-connection",
            "Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        )
        .either()
        .body("hello"),
    ]
}

/// `Content-Length` in every form but a number.
fn lengths() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("cl-plus", "+5"),
        ("cl-hex", "0x5"),
        ("cl-negative", "-5"),
        ("cl-minus-zero", "-0"),
        ("cl-over-64-bits", "18446744073709551621"),
        ("cl-endless", "99999999999999999999999999999999"),
        ("cl-empty", ""),
        ("cl-space-inside", "5 5"),
        ("cl-letter-behind", "5a"),
        ("cl-fraction", "5.0"),
        ("cl-exponent", "5e0"),
        ("cl-quoted", "\"5\""),
        ("cl-full-width-digit", "\u{ef}\u{bc}\u{95}"),
        ("cl-trailing-comma", "5,"),
        ("cl-leading-comma", ",5"),
        ("cl-list-equal", "5, 5"),
        ("cl-list-different", "5, 50"),
        ("cl-parameter", "5;x=1"),
        ("cl-underscore-digits", "0_5"),
        ("cl-vertical-tab", "\u{b}5"),
        ("cl-form-feed", "5\u{c}"),
        ("cl-nul", "5\0"),
        ("cl-no-break-space", "\u{a0}5"),
    ]
    .map(|(name, value)| post(name, &format!("Content-Length: {value}\r\n"), "hello"))
    .into();
    rows.extend([
        post(
            "cl-twice-different",
            "Content-Length: 0\r\nContent-Length: 92\r\n",
            "{smuggled}",
        ),
        post(
            "cl-twice-equal",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "hello",
        ),
        post(
            "cl-twice-odd-case",
            "Content-Length: 5\r\ncontent-length: 0\r\n",
            "hello",
        ),
        // Its length is that of the body; an app to whom this is no number
        // takes the body for the next visitor's request.
        post(
            "cl-list-equal-with-smuggled-get",
            "Content-Length: 75, 75\r\n",
            "{smuggled}",
        ),
        post("cl-space-before-colon", "Content-Length : 5\r\n", "hello"),
        post("cl-folded", "Content-Length:\r\n 5\r\n", "hello"),
        post("cl-leading-zeros", "Content-Length: 005\r\n", "hello")
            .either()
            .body("hello"),
        post("cl-tab-before-value", "Content-Length:\t5\r\n", "hello")
            .either()
            .body("hello"),
        // To an app that folds names it would be the length.
        post(
            "cl-underscore",
            "Content-Length: 5\r\nContent_Length: 50\r\n",
            "hello",
        )
        .forwarded()
        .lacks("content_length")
        .body("hello"),
        post(
            "cl-underscore-alone",
            "Content_Length: 92\r\n",
            "{smuggled}",
        )
        .forwarded()
        .closes()
        .lacks("content_length")
        .body(""),
        post(
            "cl-dot",
            "Content-Length: 5\r\nContent.Length: 50\r\n",
            "hello",
        )
        .either()
        .body("hello"),
    ]);
    rows
}

/// `Transfer-Encoding` in every form but `chunked`. What follows is a second
/// request to whoever does not take it for a coding.
fn codings() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("te-xchunked", "xchunked"),
        ("te-chunked-x", "chunkedx"),
        ("te-chunk", "chunk"),
        ("te-vertical-tab-chunked", "\u{b}chunked"),
        ("te-form-feed-chunked", "\u{c}chunked"),
        ("te-chunked-vertical-tab", "chunked\u{b}"),
        ("te-chunked-nul", "chunked\0"),
        ("te-no-break-space-chunked", "\u{a0}chunked"),
        ("te-chunked-high-byte", "chunked\u{ff}"),
        ("te-trailing-comma", "chunked,"),
        ("te-leading-comma", ", chunked"),
        ("te-double-quotes", "\"chunked\""),
        ("te-single-quotes", "'chunked'"),
        ("te-parameter", "chunked;q=1"),
        ("te-chunked-chunked", "chunked, chunked"),
        ("te-identity", "identity"),
        ("te-identity-chunked", "identity, chunked"),
        ("te-chunked-identity", "chunked, identity"),
        ("te-gzip-chunked", "gzip, chunked"),
        ("te-chunked-gzip", "chunked, gzip"),
        ("te-gzip", "gzip"),
        ("te-empty", ""),
        ("te-unknown", "cow"),
        ("te-two-words", "chunked cow"),
        ("te-bracketed", "[chunked]"),
    ]
    .map(|(name, value)| {
        post(
            name,
            &format!("Transfer-Encoding: {value}\r\n"),
            "0\r\n\r\n{smuggled}",
        )
    })
    .into();
    rows.extend(
        [
            (
                "te-two-lines",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            ),
            (
                "te-two-lines-identity",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            ),
            (
                "te-two-lines-cow",
                "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
            ),
            (
                "te-identity-with-cl",
                "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            ),
            ("te-space-before-colon", "Transfer-Encoding : chunked\r\n"),
            ("te-tab-before-colon", "Transfer-Encoding\t: chunked\r\n"),
            ("te-folded-value", "Transfer-Encoding:\r\n chunked\r\n"),
            ("te-folded-name", "Transfer-Encoding\r\n : chunked\r\n"),
            (
                "te-in-a-folded-line",
                "X-A: b\r\n Transfer-Encoding: chunked\r\n",
            ),
            (
                "te-behind-a-bare-lf",
                "X-A: b\nTransfer-Encoding: chunked\r\n",
            ),
            (
                "te-behind-a-bare-cr",
                "X-A: b\rTransfer-Encoding: chunked\r\n",
            ),
            ("te-bare-cr-in-value", "Transfer-Encoding: \rchunked\r\n"),
            (
                "te-high-byte-in-name",
                "Transfer-Encoding\u{ff}: chunked\r\n",
            ),
        ]
        .map(|(name, headers)| post(name, headers, "0\r\n\r\n{smuggled}")),
    );
    let fine = |name: &str, headers: &str| {
        post(name, headers, "5\r\nhello\r\n0\r\n\r\n")
            .either()
            .has("transfer-encoding", "chunked")
            .body("hello")
    };
    rows.extend([
        fine("te-chunked-upper-case-ok", "Transfer-Encoding: CHUNKED\r\n"),
        fine("te-tab-chunked", "Transfer-Encoding:\tchunked\r\n"),
        fine("te-no-space", "Transfer-Encoding:chunked\r\n"),
        fine("te-many-spaces", "Transfer-Encoding:    chunked   \r\n"),
        post(
            "te-underscore",
            "Transfer_Encoding: chunked\r\n",
            "0\r\n\r\n{smuggled}",
        )
        .forwarded()
        .closes()
        .lacks("transfer_encoding")
        .body(""),
        post(
            "te-underscore-with-cl",
            "Content-Length: 5\r\nTransfer_Encoding: chunked\r\n",
            "0\r\n\r\n{smuggled}",
        )
        .forwarded()
        .closes()
        .lacks("transfer_encoding"),
    ]);
    rows
}

/// Bodies that are longer or shorter than was said.
fn bodies() -> Vec<Row> {
    vec![
        post(
            "body-longer-than-cl",
            "Content-Length: 5\r\n",
            "hello{smuggled}",
        )
        .forwarded()
        .closes()
        .body("hello"),
        post("body-shorter-than-cl", "Content-Length: 50\r\n", "hello")
            .midway()
            .unfinished(),
        post("body-without-a-length", "", "{smuggled}")
            .forwarded()
            .closes()
            .body(""),
        h1(
            "get-with-a-second-get-behind",
            "GET /x HTTP/1.1\r\n{head}\r\n{smuggled}",
        )
        .forwarded()
        .closes(),
        h1(
            "get-with-a-body",
            "GET /x HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhello",
        )
        .either()
        .body("hello"),
        h1(
            "get-with-chunks",
            "GET /x HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{smuggled}",
        )
        .either()
        .closes()
        .body("hello"),
        h1(
            "head-with-a-body",
            "HEAD /x HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhello{smuggled}",
        )
        .either()
        .closes()
        .body("hello"),
        h1(
            "http10-body-without-a-length",
            "POST /x HTTP/1.0\r\n{head}\r\n{smuggled}",
        )
        .answers(&[200, 400, 411, GONE])
        .seen_at_most(1)
        .closes()
        .body(""),
        h1(
            "http10-kept-alive-with-a-second-get-behind",
            "GET /x HTTP/1.0\r\n{head}Connection: keep-alive\r\n\r\n{smuggled}",
        )
        .forwarded()
        .closes(),
        h1(
            "refused-with-a-second-get-behind",
            "POST /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Length: 5\r\n\r\nhello{smuggled}",
        )
        .answers(&[401])
        .closes(),
        h1(
            "refused-with-its-body-missing",
            "POST /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Length: 92\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n",
        )
        .answers(&[401])
        .closes(),
    ]
}
