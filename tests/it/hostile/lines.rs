//! Request lines and methods (RFC 9112, section 3; RFC 9110, section 9).

use super::row::{GONE, Row, h1};

/// A visitor's request with this line.
fn line(name: impl Into<String>, line: &str) -> Row {
    h1(name, format!("{line}\r\n{{head}}\r\n"))
}

pub fn rows() -> Vec<Row> {
    let mut rows = malformed();
    rows.extend(targets());
    rows.extend(ends());
    rows.extend(methods());
    rows
}

fn malformed() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("two-spaces-behind-the-method", "GET  /x HTTP/1.1"),
        ("two-spaces-before-the-version", "GET /x  HTTP/1.1"),
        ("tabs-for-spaces", "GET\t/x\tHTTP/1.1"),
        ("vertical-tab-for-space", "GET\u{b}/x HTTP/1.1"),
        ("form-feed-before-the-version", "GET /x\u{c}HTTP/1.1"),
        ("space-at-the-end", "GET /x HTTP/1.1 "),
        ("tab-at-the-end", "GET /x HTTP/1.1\t"),
        ("word-at-the-end", "GET /x HTTP/1.1 smuggled"),
        ("leading-space", " GET /x HTTP/1.1"),
        ("leading-tab", "\tGET /x HTTP/1.1"),
        ("no-break-space", "GET\u{a0}/x HTTP/1.1"),
        ("no-method", "/x HTTP/1.1"),
        ("no-target", "GET HTTP/1.1"),
        ("only-a-method", "GET"),
        ("http-0.9", "GET /x"),
        ("http-1.2", "GET /x HTTP/1.2"),
        ("http-2.0", "GET /x HTTP/2.0"),
        ("http-2", "GET /x HTTP/2"),
        ("http-3.0", "GET /x HTTP/3.0"),
        ("http-0.9-by-name", "GET /x HTTP/0.9"),
        ("http-1.10", "GET /x HTTP/1.10"),
        ("http-01.1", "GET /x HTTP/01.1"),
        ("http-1.1-lower-case", "GET /x http/1.1"),
        ("http-1,1", "GET /x HTTP/1,1"),
        ("http-1.1x", "GET /x HTTP/1.1x"),
        ("https-1.1", "GET /x HTTPS/1.1"),
        ("http-space-1.1", "GET /x HTTP/ 1.1"),
        ("icy", "GET /x ICY"),
        ("rtsp", "DESCRIBE /x RTSP/1.0"),
        ("nul-in-the-method", "G\0ET /x HTTP/1.1"),
        ("high-byte-in-the-method", "G\u{e4}T /x HTTP/1.1"),
        ("parentheses-in-the-method", "(GET) /x HTTP/1.1"),
        ("colon-in-the-method", "GET: /x HTTP/1.1"),
        ("bare-cr-in-the-line", "GET /x\rX-A: HTTP/1.1"),
    ]
    .map(|(name, text)| line(format!("line-{name}"), text))
    .into();
    rows.push(h1(
        "line-tls-hello",
        "\u{16}\u{3}\u{1}\0\u{2}\u{1}\0\u{1}\u{fc}\u{3}\u{3}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
    ));
    // Whoever looks for the preface of HTTP/2 must not wait for all of it.
    rows.push(h1("line-and-no-more", "GET / HTTP/1.0\r\n\r\n"));
    rows.push(h1(
        "line-answer-for-a-request",
        "HTTP/1.1 200 OK\r\n{head}\r\n",
    ));
    rows.push(h1(
        "line-h2-preface-broken",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n{smuggled}",
    ));
    rows
}

fn targets() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("space-inside", "/x y"),
        ("control-inside", "/x\u{1}y"),
        ("nul-inside", "/x\0y"),
        ("del-inside", "/x\u{7f}y"),
        ("tab-inside", "/x\ty"),
        ("fragment", "/x#y"),
        ("fragment-behind-the-query", "/x?a=b#c"),
        ("fragment-that-climbs", "/pay/notify#/../../admin"),
        ("absolute-own-host", "http://{host}/x"),
        ("absolute-own-host-https", "https://{host}/x"),
        ("absolute-other-host", "http://evil.example/x"),
        ("absolute-without-path", "http://{host}"),
        ("absolute-user", "http://user@{host}/x"),
        ("absolute-upper-case", "HTTP://{host}/x"),
        ("absolute-one-slash", "http:/{host}/x"),
        ("absolute-backslash", "http:/\\{host}/x"),
        ("absolute-no-authority", "http:///x"),
        ("absolute-odd-scheme", "file:///etc/passwd"),
        ("absolute-public-path", "http://{host}/pay/notify"),
        ("authority", "{host}"),
        ("asterisk", "*"),
        ("no-slash", "x"),
        ("question-mark-first", "?x=1"),
        ("backslash-first", "\\x"),
        ("at-first", "@evil.example/x"),
        ("colon-first", ":80/x"),
        ("dot-first", ".wxgate/me"),
        ("semicolon-first", ";/x"),
    ]
    .map(|(name, target)| line(format!("target-{name}"), &format!("GET {target} HTTP/1.1")))
    .into();
    rows.extend([
        line("target-asterisk-options", "OPTIONS * HTTP/1.1"),
        line(
            "target-of-20-kilobytes",
            &format!("GET /{} HTTP/1.1", "a".repeat(20_000)),
        )
        .answers(&[414])
        .closes(),
        line(
            "target-of-70-kilobytes",
            &format!("GET /{} HTTP/1.1", "a".repeat(70_000)),
        )
        .answers(&[414, 431, 400, GONE])
        .closes(),
        // Old pages link so; the bytes must come through as they are.
        line("target-utf-8-raw", "GET /\u{e4}\u{bd}\u{a0} HTTP/1.1").either(),
        line("target-latin-1-raw", "GET /\u{e4} HTTP/1.1").either(),
        line(
            "target-line-feed-encoded",
            "GET /x%0d%0aX-WeChat-OpenId:%20s HTTP/1.1",
        )
        .either()
        .line("GET /x%0d%0aX-WeChat-OpenId:%20s HTTP/1.1"),
    ]);
    rows
}

/// Lines that end otherwise than in CR LF.
fn ends() -> Vec<Row> {
    vec![
        h1(
            "ends-in-lf-only",
            "GET /x HTTP/1.1\nHost: {host}\nCookie: {session}\n\n",
        ),
        h1("ends-in-lf-behind-the-line", "GET /x HTTP/1.1\n{head}\r\n"),
        h1(
            "ends-in-lf-behind-a-header",
            "GET /x HTTP/1.1\r\n{head}X-A: b\n\r\n",
        ),
        h1("ends-in-lf-behind-all", "GET /x HTTP/1.1\r\n{head}\n"),
        h1(
            "ends-in-lf-with-a-second-get-behind",
            "GET /x HTTP/1.1\r\n{head}\n{smuggled}",
        ),
        h1("ends-in-cr-only", "GET /x HTTP/1.1\rHost: {host}\r\r").unfinished(),
        h1("ends-in-cr-cr-lf", "GET /x HTTP/1.1\r\r\n{head}\r\n"),
        h1("ends-in-lf-cr", "GET /x HTTP/1.1\n\rHost: {host}\n\r\n\r"),
        h1("ends-in-nul", "GET /x HTTP/1.1\0\r\n{head}\r\n"),
        // RFC 9112, section 2.2 asks to forgive one empty line.
        h1("ends-before-it-begins", "\r\nGET /x HTTP/1.1\r\n{head}\r\n").either(),
        h1(
            "ends-a-hundred-times-before-it-begins",
            format!("{}GET /x HTTP/1.1\r\n{{head}}\r\n", "\r\n".repeat(100)),
        )
        .either(),
        h1(
            "ends-in-lf-before-it-begins",
            "\nGET /x HTTP/1.1\r\n{head}\r\n",
        )
        .either(),
        h1("ends-nowhere", "GET /x HTTP/1.1\r\nHost: {host}\r\nX-A: ").unfinished(),
    ]
}

fn methods() -> Vec<Row> {
    let mut rows = vec![
        line("method-connect-path", "CONNECT /x HTTP/1.1")
            .answers(&[400, 405, GONE])
            .closes(),
        line("method-connect-authority", "CONNECT {host} HTTP/1.1")
            .answers(&[400, 405, GONE])
            .closes(),
        line("method-connect-inner-host", "CONNECT 10.0.0.1:22 HTTP/1.1")
            .answers(&[400, 405, GONE])
            .closes(),
        line("method-trace", "TRACE /x HTTP/1.1")
            .answers(&[405])
            .closes(),
        // What echoes a request shows scripts the cookie that is kept from them.
        line("method-track", "TRACK /x HTTP/1.1")
            .answers(&[405])
            .closes(),
        line("method-pri", "PRI /x HTTP/1.1")
            .answers(&[200, 400, 405, GONE])
            .seen_at_most(1),
        line(
            "method-of-70-kilobytes",
            &format!("{} /x HTTP/1.1", "A".repeat(70_000)),
        )
        .answers(&[400, 405, 414, 431, 501, GONE])
        .closes(),
    ];
    // A method that nobody knows, or knows by another name, opens no lock.
    rows.extend(
        [
            "get",
            "Get",
            "post",
            "FOO",
            "!#$%&'*+-.^_`|~",
            "DEBUG",
            "MOVE",
            "SEARCH",
        ]
        .map(|method| {
            h1(
                format!("method-of-a-stranger-{method}"),
                format!(
                    "{method} /x HTTP/1.1\r\nHost: {{host}}\r\nAccept: application/json\r\n\r\n"
                ),
            )
            .answers(&[400, 401, 405])
        }),
    );
    // A route that lists its methods takes no other, however it is asked for.
    rows.extend(
        ["DELETE", "PUT", "get", "Post", "PATCH", "OPTIONS"].map(|method| {
            line(
                format!("method-not-listed-{method}"),
                &format!("{method} /limited/x HTTP/1.1"),
            )
            .answers(&[405])
        }),
    );
    rows.extend(
        [
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X_HTTP_Method_Override",
            "x-http-method-override",
        ]
        .map(|name| {
            h1(
                format!("method-overridden-by-{name}"),
                format!(
                    "POST /limited/x HTTP/1.1\r\n{{head}}{name}: DELETE\r\nContent-Length: 0\r\n\r\n"
                ),
            )
            .either()
            .lacks("x-http-method-override")
            .lacks("x-http-method")
            .lacks("x-method-override")
            .lacks("x_http_method_override")
        }),
    );
    rows
}
