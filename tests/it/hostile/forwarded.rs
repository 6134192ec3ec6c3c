//! What a client says of where it comes from. Apps log it, trust it, and build
//! addresses with it, so that they see only what the gateway wrote.

use super::row::{Row, get, h1};

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        "Forwarded",
        "X-Forwarded",
        "Forwarded-For",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Protocol",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Forwarded-Method",
        "X-Forwarded-Server",
        "X-Forwarded-Scheme",
        "X-Forwarded-Ssl",
        "X-Forwarded-By",
        "X-Forwarded-Client-Cert",
        "X-Real-IP",
        "X-RealIP",
        "X-Original-URL",
        "X-Original-Uri",
        "X-Original-Host",
        "X-Original-Forwarded-For",
        "X-Rewrite-URL",
        "X-Request-Id",
        "True-Client-IP",
        "Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "Fastly-Client-IP",
        "Proxy-Client-IP",
        "WL-Proxy-Client-IP",
        "X-ProxyUser-Ip",
        "X-Remote-IP",
        "X-Remote-Addr",
        "X-Originating-IP",
        "Cdn-Src-Ip",
        "Ali-CDN-Real-IP",
        "Front-End-Https",
        "X-Url-Scheme",
        "HTTP_CLIENT_IP",
        "X_Forwarded_For",
        "x_real_ip",
        "X.Forwarded.For",
        "X!Real!IP",
        "Client~IP",
        "Proxy_Client_IP",
    ]
    .map(|name| {
        get(format!("forwarded-{name}"), &format!("{name}: spoofed\r\n"))
            .forwarded()
            .has("x-forwarded-host", "{host}")
    })
    .into();
    rows.extend([
        get(
            "forwarded-for-twice",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 127.0.0.1, spoofed\r\n",
        )
        .forwarded(),
        get("forwarded-request-id-with-newline-encoded", "X-Request-Id: spoofed%0a\r\n")
            .forwarded(),
        h1(
            "forwarded-on-a-public-route",
            "GET /pay/notify HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: spoofed\r\nX-Real-IP: spoofed\r\nX-Original-URL: /spoofed\r\n\r\n",
        )
        .forwarded(),
    ]);
    // Names by which other gateways were led to judge another request.
    rows.extend(
        [
            "X-Original-URL: /pay/notify",
            "X-Rewrite-URL: /pay/notify",
            "X-Forwarded-Uri: /pay/notify",
            "X-Forwarded-Path: /pay/notify",
            "X-Forwarded-Method: OPTIONS",
            "X-Forwarded-Prefix: /pay/notify",
            "X-HTTP-Method-Override: OPTIONS",
            "X-Original-Method: OPTIONS",
            "User-Agent: GoogleHC/1.0",
            "X-Forwarded-For: 127.0.0.1",
            "X-Accel-Redirect: /pay/notify",
        ]
        .map(|line| {
            h1(
                format!("forwarded-opens-no-lock-{line}"),
                format!(
                    "GET /admin HTTP/1.1\r\nHost: {{host}}\r\nAccept: application/json\r\n{line}\r\n\r\n"
                ),
            )
            .answers(&[401])
        }),
    );
    rows
}
