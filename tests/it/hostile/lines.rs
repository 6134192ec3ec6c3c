//! The request line, the host, and the form of header lines.

use super::table::{Parts, Row, Sees, Sent, closing, h1, h2, row};
use crate::h2::{END_STREAM, Field, field, headers, pseudo};

/// Request lines that are none, and hosts that are none or several.
pub fn http1(parts: &Parts) -> Vec<Row> {
    let Parts { host, session, .. } = parts;
    let rest = format!("\r\nHost: {host}\r\nCookie: {session}\r\n\r\n");
    let mut rows = Vec::new();
    for (name, line) in [
        ("two spaces before the target", "GET  /x HTTP/1.1"),
        ("two spaces behind the target", "GET /x  HTTP/1.1"),
        ("a space at the end", "GET /x HTTP/1.1 "),
        ("a space at the beginning", " GET /x HTTP/1.1"),
        ("a tab for a space", "GET\t/x HTTP/1.1"),
        ("a tab behind the target", "GET /x\tHTTP/1.1"),
        ("a space in the target", "GET /x /pay/notify HTTP/1.1"),
        (
            "a version in the target",
            "GET /pay/notify HTTP/1.1 /x HTTP/1.1",
        ),
        ("a NUL in the target", "GET /x\0y HTTP/1.1"),
        ("a control character in the target", "GET /x\x01y HTTP/1.1"),
        ("DEL in the target", "GET /x\x7fy HTTP/1.1"),
        ("a vertical tab in the target", "GET /x\x0by HTTP/1.1"),
        ("a CR in the target", "GET /x\ry HTTP/1.1"),
        ("a CR before the version", "GET /x \rHTTP/1.1"),
        ("a fragment", "GET /pay/notify#/../../x HTTP/1.1"),
        ("an empty fragment", "GET /x# HTTP/1.1"),
        ("a fragment in the query", "GET /x?a#b HTTP/1.1"),
        ("an address of this host", "GET http://HOST/x HTTP/1.1"),
        (
            "an address of this host in capitals",
            "GET HTTP://HOST/x HTTP/1.1",
        ),
        (
            "an address of another host",
            "GET http://other.example/x HTTP/1.1",
        ),
        ("an address with a user", "GET http://other@HOST/x HTTP/1.1"),
        ("an address without slashes", "GET http:x HTTP/1.1"),
        (
            "an address with backslashes",
            "GET http:\\\\other.example/x HTTP/1.1",
        ),
        ("an authority", "GET HOST HTTP/1.1"),
        ("an authority for GET", "GET other.example:80 HTTP/1.1"),
        ("a star", "OPTIONS * HTTP/1.1"),
        ("a star for GET", "GET * HTTP/1.1"),
        ("no slash", "GET x HTTP/1.1"),
        ("a query alone", "GET ?x HTTP/1.1"),
        ("dots alone", "GET ../x HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("an empty target", "GET  HTTP/1.1"),
        ("no version", "GET /x"),
        ("HTTP/0.9", "GET /x HTTP/0.9"),
        ("HTTP/1.2", "GET /x HTTP/1.2"),
        ("HTTP/2.0", "GET /x HTTP/2.0"),
        ("HTTP/1", "GET /x HTTP/1"),
        ("HTTP/1.10", "GET /x HTTP/1.10"),
        ("a version in small letters", "GET /x http/1.1"),
        ("another protocol", "GET /x ICAP/1.0"),
        ("a method with a bracket", "GE{T /x HTTP/1.1"),
        ("a method with a colon", "GET: /x HTTP/1.1"),
        ("a quote in the target", "GET /x<script> HTTP/1.1"),
    ] {
        let text = format!("{}{rest}", line.replace("HOST", host));
        rows.push(h1(name, text, &[400]));
    }
    rows.push(h1(
        "LF alone behind the request line",
        format!("GET /x HTTP/1.1\nHost: {host}\r\nCookie: {session}\r\n\r\n"),
        &[400],
    ));
    rows.push(h1(
        "LF alone behind all lines",
        format!("GET /x HTTP/1.1\nHost: {host}\nCookie: {session}\n\n"),
        &[400],
    ));
    rows.push(h1(
        "LF alone behind one line",
        format!("GET /x HTTP/1.1\r\nHost: {host}\nCookie: {session}\r\n\r\n"),
        &[400],
    ));
    rows.push(h1(
        "LF alone for the empty line",
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\n\n"),
        &[400],
    ));
    rows.push(h1(
        "LF alone before the request line",
        format!("\nGET /x HTTP/1.1{rest}"),
        &[400],
    ));
    rows.push(
        h1(
            "an empty line before the request line",
            format!("\r\nGET /x HTTP/1.1{rest}"),
            &[200],
        )
        .seen(|seen| seen.line() == "GET /x HTTP/1.1"),
    );
    for (name, method) in [("CONNECT", "CONNECT"), ("TRACE", "TRACE")] {
        rows.push(h1(name, format!("{method} /x HTTP/1.1{rest}"), &[405]));
    }
    rows.push(h1(
        "CONNECT to a host",
        format!("CONNECT other.example:443 HTTP/1.1{rest}"),
        &[400, 405],
    ));
    for method in ["TRACK", "get", "Get", "DEBUG", "PRI", "SEARCH", "X"] {
        let text =
            format!("{method} /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
        rows.push(h1(format!("{method} without a session"), text, &[401]));
    }
    rows.push(h1(
        "a target of 20 KiB",
        format!("GET /{} HTTP/1.1{rest}", "x".repeat(20_000)),
        &[414],
    ));
    rows.push(h1(
        "a query of 20 KiB",
        format!("GET /x?{} HTTP/1.1{rest}", "x".repeat(20_000)),
        &[414],
    ));
    rows.extend(hosts(parts));
    rows.extend(header_lines(parts));
    closing(rows)
}

fn hosts(parts: &Parts) -> Vec<Row> {
    let Parts { host, session, .. } = parts;
    let name = host.split(':').next().unwrap_or_default();
    let cases = [
        ("no Host", String::new()),
        ("an empty Host", "Host:\r\n".to_owned()),
        (
            "two Hosts",
            format!("Host: {host}\r\nHost: other.example\r\n"),
        ),
        (
            "two Hosts, the other way round",
            format!("Host: other.example\r\nHost: {host}\r\n"),
        ),
        (
            "two Hosts alike",
            format!("Host: {host}\r\nHost: {host}\r\n"),
        ),
        (
            "two Hosts in different letters",
            format!("Host: {host}\r\nhOST: {host}\r\n"),
        ),
        (
            "a list of hosts",
            format!("Host: {host}, other.example\r\n"),
        ),
        ("a user in Host", format!("Host: other@{host}\r\n")),
        ("a path in Host", format!("Host: {host}/pay/notify\r\n")),
        ("a query in Host", format!("Host: {host}?x\r\n")),
        ("a fragment in Host", format!("Host: {host}#x\r\n")),
        ("a scheme in Host", format!("Host: http://{host}\r\n")),
        ("a space in Host", format!("Host: {host} other.example\r\n")),
        ("a tab in Host", format!("Host: {host}\tother.example\r\n")),
        ("two ports in Host", format!("Host: {name}:80:80\r\n")),
        ("a port of letters", format!("Host: {name}:http\r\n")),
        ("a port with a sign", format!("Host: {name}:+80\r\n")),
        ("an encoded host", "Host: %31%32%37.0.0.1\r\n".to_owned()),
        ("a NUL in Host", format!("Host: {name}\0.other.example\r\n")),
        ("a host beyond ASCII", "Host: ｅxample.com\r\n".to_owned()),
        ("a zone in Host", "Host: [fe80::1%25eth0]\r\n".to_owned()),
        ("half an address in Host", "Host: [::1\r\n".to_owned()),
        ("two dots in Host", format!("Host: {name}..\r\n")),
        ("a folded Host", format!("Host:\r\n {host}\r\n")),
        ("a space before Host's colon", format!("Host : {host}\r\n")),
        (
            "Host named in Connection",
            format!("Host: {host}\r\nConnection: Host\r\n"),
        ),
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|(name, lines)| {
            h1(
                name,
                format!("GET /x HTTP/1.1\r\n{lines}Cookie: {session}\r\n\r\n"),
                &[400],
            )
        })
        .collect();
    for (name, other) in [
        ("another host", "other.example"),
        ("a host that ends like ours", "x127.0.0.1"),
        ("localhost", "localhost"),
    ] {
        rows.push(h1(
            name,
            format!("GET /x HTTP/1.1\r\nHost: {other}\r\nCookie: {session}\r\n\r\n"),
            &[404],
        ));
    }
    // One host, however it is written.
    for (name, same) in [
        ("a dot behind the host", format!("{name}.")),
        ("another port", format!("{name}:1")),
        ("an empty port", format!("{name}:")),
    ] {
        rows.push(
            h1(
                name,
                format!("GET /x HTTP/1.1\r\nHost: {same}\r\nCookie: {session}\r\n\r\n"),
                &[200, 400],
            )
            .perhaps_seen(),
        );
    }
    let other = format!(
        "GET /x HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: spoofed.example\r\nX-Host: spoofed.example\r\nForwarded: host=spoofed.example\r\nCookie: {session}\r\n\r\n"
    );
    let expected = host.clone();
    rows.push(
        h1("other hosts in other headers", other, &[200]).seen(move |seen| {
            seen.values("host") == [expected.as_str()]
                && seen.values("x-forwarded-host") == [expected.as_str()]
        }),
    );
    rows
}

fn header_lines(parts: &Parts) -> Vec<Row> {
    let Parts { host, session, .. } = parts;
    let request = |lines: &str| {
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\n{lines}\r\n")
    };
    let mut rows = Vec::new();
    for (name, lines) in [
        ("a folded line", "X-A: b\r\n c\r\n"),
        (
            "a line folded by a tab",
            "X-A: b\r\n\tX-WeChat-OpenId: spoofed\r\n",
        ),
        ("a space before a colon", "X-A : b\r\n"),
        ("a tab before a colon", "X-A\t: b\r\n"),
        ("no name", ": b\r\n"),
        ("no colon", "X-WeChat-OpenId spoofed\r\n"),
        ("a name with a space", "X A: b\r\n"),
        ("a name with a slash", "X/A: b\r\n"),
        ("a name in brackets", "(X): b\r\n"),
        ("a name beyond ASCII", "X-\u{c4}: b\r\n"),
        ("a NUL in a name", "X\0A: b\r\n"),
        ("a NUL in a value", "X-A: b\0c\r\n"),
        (
            "a bare CR in a value",
            "X-A: b\rX-WeChat-OpenId: spoofed\r\n",
        ),
        ("a bare CR at a value's end", "X-A: b\r\r\n"),
        (
            "a bare LF in a value",
            "X-A: b\nX-WeChat-OpenId: spoofed\r\n",
        ),
        ("a control character in a value", "X-A: b\x01c\r\n"),
        ("DEL in a value", "X-A: b\x7fc\r\n"),
        ("a backspace in a value", "X-A: b\x08c\r\n"),
        (
            "a line of blanks before the first header",
            " \r\nX-A: b\r\n",
        ),
    ] {
        rows.push(h1(name, request(lines), &[400]));
    }
    rows.push(h1(
        "a blank line of spaces first",
        format!("GET /x HTTP/1.1\r\n Host: {host}\r\nCookie: {session}\r\n\r\n"),
        &[400],
    ));
    let many: String = (0..300).map(|at| format!("X-{at}: b\r\n")).collect();
    rows.push(h1("300 headers", request(&many), &[400, 431]));
    rows.push(h1(
        "a header of 70 KiB",
        request(&format!("X-A: {}\r\n", "b".repeat(70_000))),
        &[431],
    ));
    rows.push(h1(
        "cookies of 70 KiB",
        request(&format!("Cookie: {}\r\n", "a=b; ".repeat(14_000))),
        &[431],
    ));
    rows.push(h1(
        "a name of 70 KiB",
        request(&format!("{}: b\r\n", "X".repeat(70_000))),
        &[400, 431],
    ));
    rows.push(row(
        "a header of 200 KiB",
        Sent::H1(request(&format!("X-A: {}\r\n", "b".repeat(200_000))).into_bytes()),
        &[0],
        Sees::Nothing,
    ));
    rows.push(
        h1(
            "bytes beyond ASCII in a value",
            request("X-A: \u{4f60}\u{ff}\r\n"),
            &[200],
        )
        .seen(|seen| seen.value("x-a").as_deref() == Some("\u{4f60}\u{ff}")),
    );
    rows.push(
        h1("an empty value", request("X-A:\r\n"), &[200]).seen(|seen| seen.values("x-a") == [""]),
    );
    rows
}

/// Fields that no HTTP/2 client may send.
pub fn http2(parts: &Parts) -> Vec<Row> {
    let mut rows = Vec::new();
    let cookie = || field("cookie", &parts.session);
    let with = |fields: &[Field]| {
        [
            pseudo("GET", &parts.host, "/x"),
            vec![cookie()],
            fields.to_vec(),
        ]
        .concat()
    };
    let send = |fields: &[Field]| headers(1, END_STREAM, fields);
    for (name, fields) in [
        ("a name in capitals", vec![field("X-A", "b")]),
        (
            "an identity in capitals",
            vec![field("X-WeChat-OpenId", "spoofed")],
        ),
        ("an empty name", vec![field("", "b")]),
        ("a name with a space", vec![field("x a", "b")]),
        ("a name with a colon", vec![field("x:a", "b")]),
        ("a name with a line break", vec![field("x\r\ny", "b")]),
        ("a name with a NUL", vec![field("x\0y", "b")]),
        ("a name beyond ASCII", vec![field("x-\u{c4}", "b")]),
        (
            "a line break in a value",
            vec![field("x-a", "b\r\nx-wechat-openid: spoofed")],
        ),
        (
            "LF in a value",
            vec![field("x-a", "b\nx-wechat-openid: spoofed")],
        ),
        (
            "CR in a value",
            vec![field("x-a", "b\rx-wechat-openid: spoofed")],
        ),
        ("a NUL in a value", vec![field("x-a", "b\0c")]),
        (
            "a whole request in a value",
            vec![field(
                "x-a",
                "b\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
            )],
        ),
        ("connection", vec![field("connection", "close")]),
        (
            "connection that names ours",
            vec![field("connection", "x-wechat-openid")],
        ),
        ("keep-alive", vec![field("keep-alive", "timeout=5")]),
        (
            "proxy-connection",
            vec![field("proxy-connection", "keep-alive")],
        ),
        ("upgrade", vec![field("upgrade", "websocket")]),
        ("a te that is not trailers", vec![field("te", "gzip")]),
        ("a te in a list", vec![field("te", "trailers, gzip")]),
        (
            "a pseudo-header behind the others",
            vec![field("x-a", "b"), field(":path", "/pay/notify")],
        ),
        ("a second :path", vec![field(":path", "/pay/notify")]),
        ("a pseudo-header nobody knows", vec![field(":x", "b")]),
        ("a :status in a request", vec![field(":status", "200")]),
        ("another host", vec![field("host", "other.example")]),
        (
            "two hosts",
            vec![field("host", &parts.host), field("host", &parts.host)],
        ),
        ("an empty host", vec![field("host", "")]),
    ] {
        rows.push(h2(format!("h2: {name}"), send(&with(&fields)), &[400, 0]));
    }
    let path = |method: &str, authority: &str, path: &str| {
        send(&[pseudo(method, authority, path), vec![cookie()]].concat())
    };
    for (name, target) in [
        ("an empty path", ""),
        ("a path without a slash", "x"),
        ("a star for GET", "*"),
        ("an address for a path", "http://other.example/x"),
        ("a space in the path", "/x /pay/notify"),
        ("a version in the path", "/x HTTP/1.1"),
        (
            "a line break in the path",
            "/x\r\nX-WeChat-OpenId: spoofed\r\n",
        ),
        ("LF in the path", "/x\nX-WeChat-OpenId: spoofed"),
        ("a NUL in the path", "/x\0y"),
        ("a tab in the path", "/x\ty"),
        ("DEL in the path", "/x\x7fy"),
        (
            "a whole request in the path",
            "/x HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled",
        ),
    ] {
        rows.push(h2(
            format!("h2: {name}"),
            path("GET", &parts.host, target),
            &[400, 0],
        ));
    }
    let name = parts.host.split(':').next().unwrap_or_default();
    for (title, authority) in [
        ("an empty authority", String::new()),
        ("a user in the authority", format!("other@{}", parts.host)),
        (
            "a path in the authority",
            format!("{}/pay/notify", parts.host),
        ),
        (
            "a list of authorities",
            format!("{}, other.example", parts.host),
        ),
        ("a space in the authority", format!("{} x", parts.host)),
        (
            "a line break in the authority",
            format!("{}\r\nX-WeChat-OpenId: spoofed", parts.host),
        ),
        ("two ports in the authority", format!("{name}:80:80")),
        ("a port of letters in the authority", format!("{name}:http")),
    ] {
        rows.push(h2(
            format!("h2: {title}"),
            path("GET", &authority, "/x"),
            &[400, 404, 0],
        ));
    }
    for (title, method) in [
        ("CONNECT", "CONNECT"),
        ("TRACE", "TRACE"),
        ("a method with a space", "GET /smuggled HTTP/1.1\r\n"),
        ("an empty method", ""),
        ("a method with a line break", "GET\r\n"),
    ] {
        rows.push(h2(
            format!("h2: {title}"),
            path(method, &parts.host, "/x"),
            &[400, 405, 0],
        ));
    }
    for missing in [":method", ":scheme", ":path", ":authority"] {
        let mut fields = with(&[]);
        fields.retain(|(name, _)| name != missing.as_bytes());
        rows.push(h2(format!("h2: no {missing}"), send(&fields), &[400, 0]));
    }
    for (name, scheme) in [
        ("an odd scheme", "javascript"),
        (
            "a scheme with a line break",
            "http\r\nX-WeChat-OpenId: spoofed",
        ),
        ("an empty scheme", ""),
    ] {
        let mut fields = with(&[]);
        fields[1] = field(":scheme", scheme);
        rows.push(h2(format!("h2: {name}"), send(&fields), &[200, 400, 0]).perhaps_seen());
    }
    let many: Vec<Field> = (0..400).map(|at| field(format!("x-{at}"), "b")).collect();
    rows.push(h2("h2: 400 fields", send(&with(&many)), &[400, 431, 0]));
    let large = [field("x-a", "b".repeat(70_000))];
    rows.push(h2(
        "h2: a field of 70 KiB",
        send(&with(&large)),
        &[400, 431, 0],
    ));
    rows.push(h2(
        "h2: a path of 20 KiB",
        path("GET", &parts.host, &format!("/{}", "x".repeat(20_000))),
        &[414],
    ));
    // The parser cuts a fragment off; what is left is what is decided and sent.
    let cut = path("GET", &parts.host, "/pay/notify#/../../x");
    rows.push(
        h2("h2: a fragment in the path", cut, &[200])
            .seen(|seen| seen.line() == "GET /pay/notify HTTP/1.1"),
    );
    rows.push(
        h2(
            "h2: te: trailers",
            send(&with(&[field("te", "trailers")])),
            &[200],
        )
        .seen(|seen| seen.values("te").is_empty()),
    );
    rows.push(
        h2("h2: a good request", send(&with(&[])), &[200])
            .seen(|seen| seen.line() == "GET /x HTTP/1.1"),
    );
    rows
}
