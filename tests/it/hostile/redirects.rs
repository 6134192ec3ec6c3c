//! Ways back that lead away, and pages that repeat what they were told. The
//! runner looks at every `Location` and for every `<script`.

use super::row::{GONE, Row, h1};

/// Values of `to=`, as they stand in the query, that must not be followed.
const AWAY: &[&str] = &[
    "//evil.example",
    "///evil.example",
    "////evil.example/x",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/%5cevil.example",
    "%5c%5cevil.example",
    "%2f%2fevil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0d/evil.example",
    "/%0b/evil.example",
    "%09//evil.example",
    "%20//evil.example",
    "/.//evil.example",
    "/./\\evil.example",
    "/..//evil.example",
    "/x/..//evil.example",
    "/x/../\\evil.example",
    "/%2e%2e//evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "HtTpS://evil.example",
    "http://{host}@evil.example",
    "http://{host}.evil.example",
    "http://evil.example%23@{host}",
    "http://evil.example%5c@{host}",
    "//{host}@evil.example/",
    "//evil.example%2f@{host}/",
    "evil.example",
    "@evil.example",
    ".evil.example",
    ":80@evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt://%0aalert(1)",
    "data:text/html,x",
    "ws://evil.example",
    "ftp://evil.example",
    "file:///etc/passwd",
    "%00//evil.example",
    "/%00/evil.example",
    "%e3%80%82evil.example",
    "%ef%bc%8f%ef%bc%8fevil.example",
    "/%0d%0aLocation:%20https://evil.example",
    "/x%0d%0aSet-Cookie:%20a=b",
    "/x%0aX-Injected:%20y",
    "/&to=//evil.example",
];

/// Texts that a page may repeat, at places where it may.
const REPEATED: &[&str] = &[
    "/x?%3Cscript%3Ealert(1)%3C/script%3E",
    "/%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    "/x?'onmouseover='alert(1)",
    "/x?&quot;&gt;&lt;script&gt;",
    "/.wxgate/login?to=/%3Cscript%3Ealert(1)%3C/script%3E",
    "/.wxgate/login?to=%3Cscript%3E",
    "/.wxgate/callback?state=%3Cscript%3E",
    "/.wxgate/%3Cscript%3E",
    "/.wxgate/logout?to=%3Cscript%3E",
    "/pay/notify/%2e%2e/%3Cscript%3E",
    "//evil.example/%3Cscript%3E",
    "/x?javascript:alert(1)",
];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for to in AWAY {
        // A visitor is sent on at once; whoever has yet to log in, afterwards.
        for (who, cookie) in [("visitor", "{session}"), ("stranger", "a=1")] {
            rows.push(
                h1(
                    format!("redirect-of-a-{who}-to-{to}"),
                    format!(
                        "GET /.wxgate/login?to={to} HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: MicroMessenger/8\r\n\
                         Accept: text/html\r\nCookie: {cookie}\r\n\r\n"
                    ),
                )
                .answers(&[302, 400, GONE])
                .never_says("x-injected"),
            );
        }
    }
    for target in REPEATED {
        rows.push(
            h1(
                format!("page-repeats-{target}"),
                format!(
                    "GET {target} HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\n\r\n"
                ),
            )
            .answers(&[302, 400, 403, 404, 405, GONE])
            .never_says("onmouseover='")
            .never_says("href=\"javascript"),
        );
    }
    rows.extend([
        h1(
            "page-repeats-a-raw-script",
            "GET /x?<script>alert(1)</script> HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n",
        )
        .answers(&[400, 403, GONE]),
        h1(
            "page-repeats-its-referer",
            "GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nReferer: http://{host}/\"><script>alert(1)</script>\r\n\r\n",
        )
        .answers(&[401]),
        h1(
            "redirect-by-a-foreign-referer",
            "GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nReferer: http://{host}.evil.example/x\r\n\r\n",
        )
        .answers(&[401])
        .never_says("evil.example"),
        h1(
            "redirect-by-a-referer-with-two-slashes",
            "GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nReferer: http://127.0.0.1//evil.example/x\r\n\r\n",
        )
        .answers(&[401])
        .never_says("evil.example"),
        h1(
            "redirect-by-forwarded",
            "GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nUser-Agent: MicroMessenger/8\r\n\
             Forwarded: host=evil.example;proto=javascript\r\nX-Forwarded-Proto: javascript\r\nX-Forwarded-Host: evil.example\r\n\r\n",
        )
        .answers(&[302])
        .never_says("evil.example")
        .never_says("javascript"),
        h1(
            "logout-by-another-sites-page",
            "POST /.wxgate/logout HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nOrigin: https://evil.example\r\nContent-Length: 0\r\n\r\n",
        )
        .answers(&[400, 403])
        .never_says("Max-Age=0"),
        h1(
            "logout-by-a-picture",
            "GET /.wxgate/logout HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nAccept: image/webp,*/*;q=0.8\r\nReferer: https://evil.example/\r\n\r\n",
        )
        .answers(&[200, 400, 403, 405])
        .never_says("Max-Age=0"),
    ]);
    rows
}
