//! Hosts: who is asked for (RFC 9110, section 7.2; RFC 9112, section 3.2).

use super::row::{GONE, Row, h1};

/// A visitor's request with these `Host` lines.
fn hosted(name: impl Into<String>, lines: &str) -> Row {
    h1(
        name,
        format!(
            "GET /x HTTP/1.1\r\n{lines}Cookie: {{session}}\r\nAccept: application/json\r\n\r\n"
        ),
    )
}

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("missing", ""),
        ("twice-different", "Host: {host}\r\nHost: evil.example\r\n"),
        (
            "twice-different-turned",
            "Host: evil.example\r\nHost: {host}\r\n",
        ),
        ("twice-equal", "Host: {host}\r\nHost: {host}\r\n"),
        ("twice-odd-case", "Host: {host}\r\nhOST: evil.example\r\n"),
        ("empty", "Host:\r\n"),
        ("blank", "Host:   \r\n"),
        ("list", "Host: {host}, evil.example\r\n"),
        ("two-words", "Host: {host} evil.example\r\n"),
        ("user", "Host: user@{host}\r\n"),
        ("user-and-password", "Host: u:p@{host}\r\n"),
        ("own-name-as-user", "Host: {host}@evil.example\r\n"),
        ("path", "Host: {host}/pay/notify\r\n"),
        ("query", "Host: {host}?x\r\n"),
        ("fragment", "Host: {host}#x\r\n"),
        ("scheme", "Host: http://{host}\r\n"),
        ("backslash", "Host: {host}\\evil.example\r\n"),
        ("two-ports", "Host: 127.0.0.1:80:80\r\n"),
        ("port-of-letters", "Host: 127.0.0.1:abc\r\n"),
        ("port-negative", "Host: 127.0.0.1:-1\r\n"),
        ("port-plus", "Host: 127.0.0.1:+80\r\n"),
        ("port-with-space", "Host: 127.0.0.1: 80\r\n"),
        ("port-hex", "Host: 127.0.0.1:0x50\r\n"),
        ("ipv6-zone", "Host: [fe80::1%25eth0]:80\r\n"),
        ("ipv6-open", "Host: [::1\r\n"),
        ("ipv6-bare", "Host: ::1\r\n"),
        ("tab-inside", "Host: 127.0.0.1\t.evil.example\r\n"),
        ("nul", "Host: 127.0.0.1\0.evil.example\r\n"),
        ("bare-cr", "Host: 127.0.0.1\r.evil.example\r\n"),
        ("bare-lf", "Host: 127.0.0.1\nX-A: b\r\n"),
        ("folded", "Host:\r\n {host}\r\n"),
        ("space-before-colon", "Host : {host}\r\n"),
        ("percent", "Host: 127%2e0.0.1\r\n"),
        ("high-byte", "Host: 127.0.0.1\u{e4}\r\n"),
        ("ideographic-dot", "Host: 127\u{e3}\u{80}\u{82}0.0.1\r\n"),
        ("empty-label", "Host: 127..0.0.1\r\n"),
        ("only-a-dot", "Host: .\r\n"),
        ("only-a-port", "Host: :{port}\r\n"),
        ("quoted", "Host: \"127.0.0.1\"\r\n"),
        ("comma-behind", "Host: {host},\r\n"),
        ("angle-brackets", "Host: <script>alert(1)</script>\r\n"),
    ]
    .map(|(name, lines)| hosted(format!("host-{name}"), lines))
    .into();
    rows.push(hosted(
        "host-of-300-letters",
        &format!("Host: {}\r\n", "a".repeat(300)),
    ));
    rows.push(h1(
        "host-missing-http10",
        "GET /x HTTP/1.0\r\nCookie: {session}\r\n\r\n",
    ));
    rows.push(h1(
        "host-missing-on-a-public-route",
        "GET /pay/notify HTTP/1.1\r\nAccept: */*\r\n\r\n",
    ));
    // Names that are well-formed and not served here. 127.1 and its like are
    // 127.0.0.1 to the system's resolver, and to no route.
    rows.extend(
        [
            "evil.example",
            "127.0.0.1.evil.example",
            "evil.example:{port}",
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "0127.0.0.1",
            "[::ffff:127.0.0.1]",
            "[127.0.0.1]",
            "localhost",
            "_",
        ]
        .map(|host| {
            hosted(
                format!("host-not-served-{host}"),
                &format!("Host: {host}\r\n"),
            )
            .answers(&[400, 404])
        }),
    );
    rows.extend([
        hosted("host-trailing-dot", "Host: 127.0.0.1.:{port}\r\n").either(),
        hosted("host-empty-port", "Host: 127.0.0.1:\r\n").either(),
        hosted("host-port-99999", "Host: 127.0.0.1:99999\r\n").either(),
        hosted("host-other-port", "Host: 127.0.0.1:1\r\n").either(),
        // Names that some apps prefer to `Host`.
        hosted("host-by-x-host", "Host: {host}\r\nX-Host: spoofed\r\n").forwarded(),
        hosted(
            "host-by-x-http-host-override",
            "Host: {host}\r\nX-HTTP-Host-Override: spoofed\r\n",
        )
        .forwarded(),
        hosted(
            "host-by-x-forwarded-host",
            "Host: {host}\r\nX-Forwarded-Host: spoofed\r\n",
        )
        .forwarded()
        .has("x-forwarded-host", "{host}"),
        // A stranger is sent to log in, and back to the host of the file.
        h1(
            "host-of-another-port-at-login",
            "GET /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Forwarded-Host: evil.example\r\nAccept: text/html\r\n\
             User-Agent: MicroMessenger/8\r\n\r\n",
        )
        .answers(&[302, 400, GONE])
        .never_says("evil.example"),
    ]);
    rows
}
