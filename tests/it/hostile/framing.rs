//! Where a body ends: requests of which two servers could make two.

use super::table::{Parts, Row, Sees, Sent, closing, h1, h2, row};
use crate::h2::{DATA, END_STREAM, Field, field, frame, headers, pseudo};

const BEHIND: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

fn post(parts: &Parts, lines: &str, body: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n{lines}\r\n{body}",
        parts.host, parts.session
    )
}

/// Header lines with a body behind which another request stands.
pub fn http1(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let chunks = format!("0\r\n\r\n{BEHIND}");
    for (name, lines) in [
        (
            "length before coding",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "coding before length",
            "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        ),
        (
            "length 0 and coding",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "small length and coding",
            "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            "coding and a length in capitals",
            "Transfer-Encoding: chunked\r\nCONTENT-LENGTH: 4\r\n",
        ),
        (
            "two codings",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "a coding and identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        (
            "identity, then a coding",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "chunked, then identity",
            "Transfer-Encoding: chunked, identity\r\n",
        ),
        ("identity alone", "Transfer-Encoding: identity\r\n"),
        (
            "chunked twice in a list",
            "Transfer-Encoding: chunked, chunked\r\n",
        ),
        (
            "a list with an empty end",
            "Transfer-Encoding: chunked,\r\n",
        ),
        (
            "a list with an empty beginning",
            "Transfer-Encoding: ,chunked\r\n",
        ),
        ("gzip, then chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        (
            "chunked with a parameter",
            "Transfer-Encoding: chunked;q=1\r\n",
        ),
        ("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n"),
        ("xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("chunkedx", "Transfer-Encoding: chunkedx\r\n"),
        ("chunk", "Transfer-Encoding: chunk\r\n"),
        ("an empty coding", "Transfer-Encoding: \r\n"),
        (
            "a vertical tab before chunked",
            "Transfer-Encoding: \x0bchunked\r\n",
        ),
        (
            "a form feed behind chunked",
            "Transfer-Encoding: chunked\x0c\r\n",
        ),
        ("a NUL behind chunked", "Transfer-Encoding: chunked\0\r\n"),
        ("a folded coding", "Transfer-Encoding:\r\n chunked\r\n"),
        (
            "a space before the colon",
            "Transfer-Encoding : chunked\r\n",
        ),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        (
            "a bare CR before the coding",
            "X: y\rTransfer-Encoding: chunked\r\n",
        ),
        (
            "a bare LF before the coding",
            "X: y\nTransfer-Encoding: chunked\r\n",
        ),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        (
            "two lengths alike",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
        ),
        ("a list of lengths", "Content-Length: 5, 6\r\n"),
        ("a list of lengths alike", "Content-Length: 5, 5\r\n"),
        (
            "a list of lengths without a space",
            "Content-Length: 5,5\r\n",
        ),
        ("a length with a sign", "Content-Length: +5\r\n"),
        ("a negative length", "Content-Length: -5\r\n"),
        ("a hexadecimal length", "Content-Length: 0x5\r\n"),
        ("a length with a space in it", "Content-Length: 5 5\r\n"),
        ("a length with a letter", "Content-Length: 5a\r\n"),
        ("a length with a fraction", "Content-Length: 5.0\r\n"),
        ("an empty length", "Content-Length: \r\n"),
        (
            "a length beyond 64 bits",
            "Content-Length: 18446744073709551621\r\n",
        ),
        ("a length in other digits", "Content-Length: \u{665}\r\n"),
        (
            "a length with an underscore in its name, and chunks",
            "Content_Length: 5\r\nTransfer-Encoding: gzip\r\n",
        ),
    ] {
        rows.push(h1(name, post(parts, lines, &chunks), &[400, 501]));
    }
    let old = post(parts, "Transfer-Encoding: chunked\r\n", &chunks);
    rows.push(h1(
        "chunks of an HTTP/1.0 client",
        old.replace("HTTP/1.1\r\nHost: 1", "HTTP/1.0\r\nHost: 1"),
        &[400],
    ));
    // What may stand there and still means one thing.
    for (name, lines, body) in [
        (
            "chunked in capitals",
            "Transfer-Encoding: CHUNKED\r\n",
            "2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "chunked between spaces",
            "Transfer-Encoding:   chunked  \r\n",
            "2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "a length with zeros before it",
            "Content-Length: 0002\r\n",
            "hi",
        ),
        (
            "a chunk's extension",
            "Transfer-Encoding: chunked\r\n",
            "2;a=\"b\"\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "a chunk's size with zeros before it",
            "Transfer-Encoding: chunked\r\n",
            "0002\r\nhi\r\n0\r\n\r\n",
        ),
    ] {
        rows.push(
            h1(name, post(parts, lines, body), &[200])
                .seen(|seen| seen.body == b"hi" && seen.whole),
        );
    }
    rows.extend(chunks_gone_wrong(parts));
    rows.extend(bodies_behind_bodies(parts));
    closing(rows)
}

fn chunks_gone_wrong(parts: &Parts) -> Vec<Row> {
    let coding = "Transfer-Encoding: chunked\r\n";
    let broken = [
        (
            "a chunk's size in hexadecimal with its mark",
            "0x2\r\nhi\r\n0\r\n\r\n",
        ),
        ("a negative chunk", "-2\r\nhi\r\n0\r\n\r\n"),
        ("a chunk with a sign", "+2\r\nhi\r\n0\r\n\r\n"),
        ("a chunk without size", "\r\nhi\r\n0\r\n\r\n"),
        (
            "a chunk beyond 64 bits",
            "10000000000000002\r\nhi\r\n0\r\n\r\n",
        ),
        ("a chunk of letters", "zz\r\nhi\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "1\r\nhi\r\n0\r\n\r\n"),
        ("a chunk's line that ends in LF", "2\nhi\r\n0\r\n\r\n"),
        ("a chunk that ends in LF", "2\r\nhi\n0\r\n\r\n"),
        ("a space before a chunk's size", " 2\r\nhi\r\n0\r\n\r\n"),
        (
            "a bare CR in a chunk's extension",
            "2;a\rb\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "a bare LF in a chunk's extension",
            "2;a\nb\r\nhi\r\n0\r\n\r\n",
        ),
    ];
    let mut rows: Vec<Row> = broken
        .into_iter()
        .map(|(name, body)| {
            let sent = post(parts, coding, &format!("{body}{BEHIND}"));
            row(
                name,
                Sent::H1(sent.into_bytes()),
                &[400, 502, 200, 0],
                Sees::Any,
            )
        })
        .collect();
    for (name, lines, body) in [
        ("chunks without an end", coding, "2\r\nhi\r\n"),
        ("half a chunk", coding, "ff\r\nhi"),
        (
            "a body shorter than its length",
            "Content-Length: 10\r\n",
            "hi",
        ),
    ] {
        let sent = post(parts, lines, body);
        rows.push(row(
            name,
            Sent::Half(sent.into_bytes()),
            &[400, 408, 0],
            Sees::Any,
        ));
    }
    rows
}

fn bodies_behind_bodies(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, lines, body) in [
        ("a request behind a body", "Content-Length: 2\r\n", "hi"),
        ("a request behind no body", "", ""),
        (
            "a request behind chunks",
            "Transfer-Encoding: chunked\r\n",
            "2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "a request behind a trailer",
            "Transfer-Encoding: chunked\r\n",
            "2\r\nhi\r\n0\r\nX-WeChat-OpenId: spoofed\r\n\r\n",
        ),
        (
            "a request behind a body of nothing",
            "Content-Length: 0\r\n",
            "",
        ),
        (
            "a request behind a wish to continue",
            "Expect: 100-continue\r\nContent-Length: 0\r\n",
            "",
        ),
    ] {
        let sent = post(parts, lines, &format!("{body}{BEHIND}"));
        rows.push(row(
            name,
            Sent::H1(sent.into_bytes()),
            &[200, 100],
            Sees::Any,
        ));
    }
    let host = &parts.host;
    for (name, line) in [
        ("HEAD", "HEAD"),
        ("GET", "GET"),
        ("DELETE", "DELETE"),
        ("OPTIONS", "OPTIONS"),
    ] {
        // A body where a server may expect none: it is one.
        let behind = BEHIND.replace("smuggled", "behind");
        let sent = format!(
            "{line} /x HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\nContent-Length: {}\r\n\r\n{behind}",
            parts.session,
            behind.len()
        );
        let bodied = row(
            format!("{name} with a request as its body"),
            Sent::H1(sent.into_bytes()),
            &[200],
            Sees::Any,
        );
        rows.push(Row {
            sees: Sees::Any,
            ..bodied
        });
    }
    rows
}

fn request(parts: &Parts, more: &[Field]) -> Vec<Field> {
    let mut fields = pseudo("POST", &parts.host, "/x");
    fields.push(field("cookie", &parts.session));
    fields.extend_from_slice(more);
    fields
}

/// The same over HTTP/2, where frames tell the end and lengths may lie.
pub fn http2(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let body = |end: u8| frame(DATA, end, 1, b"hi");
    for (name, fields) in [
        (
            "a length larger than the data",
            vec![field("content-length", "10")],
        ),
        (
            "a length smaller than the data",
            vec![field("content-length", "1")],
        ),
        (
            "two lengths",
            vec![field("content-length", "2"), field("content-length", "3")],
        ),
        ("a list of lengths", vec![field("content-length", "2, 3")]),
        (
            "a list of lengths alike",
            vec![field("content-length", "2, 2")],
        ),
        (
            "two lengths alike",
            vec![field("content-length", "2"), field("content-length", "2")],
        ),
        ("a length with a sign", vec![field("content-length", "+2")]),
        ("a length of letters", vec![field("content-length", "two")]),
        (
            "a length beyond 64 bits",
            vec![field("content-length", "18446744073709551618")],
        ),
        ("a coding", vec![field("transfer-encoding", "chunked")]),
        (
            "a coding and a length",
            vec![
                field("transfer-encoding", "chunked"),
                field("content-length", "2"),
            ],
        ),
        (
            "a coding that is none",
            vec![field("transfer-encoding", "identity")],
        ),
    ] {
        let sent = [headers(1, 0, &request(parts, &fields)), body(END_STREAM)].concat();
        rows.push(
            row(
                format!("h2: {name}"),
                Sent::H2(sent),
                &[400, 502, 0],
                Sees::Any,
            )
            .whole_only(),
        );
    }
    // Passed on as what it says, before the data come that it must not have.
    let empty = [
        headers(1, 0, &request(parts, &[field("content-length", "0")])),
        body(END_STREAM),
    ]
    .concat();
    rows.push(h2("h2: a length of 0 before data", empty, &[0, 200, 400]).perhaps_seen());
    let plain = [headers(1, 0, &request(parts, &[])), body(END_STREAM)].concat();
    rows.push(
        h2("h2: a body without a length", plain, &[200])
            .seen(|seen| seen.body == b"hi" && seen.whole),
    );
    let chunked = [
        headers(1, 0, &request(parts, &[])),
        frame(
            DATA,
            END_STREAM,
            1,
            format!("0\r\n\r\n{}", BEHIND.replace("smuggled", "behind")).as_bytes(),
        ),
    ]
    .concat();
    rows.push(
        h2("h2: chunks as a body", chunked, &[200])
            .seen(|seen| seen.body.starts_with(b"0\r\n\r\nGET /behind")),
    );
    rows
}

impl Row {
    /// The app may see a request whose end it does not: it knows that it is none.
    fn whole_only(mut self) -> Self {
        self.sees = Sees::Broken;
        self
    }
}
