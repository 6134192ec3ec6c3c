//! Paths that look open and are not, in the world where all is locked but
//! `/pay/notify` and, for those who like, `/welcome`.

use super::table::{Parts, Row, get, h1, h2};
use crate::h2::{END_STREAM, field, headers, pseudo};

const HIDDEN: &[&str] = &[
    "/pay/notify/../../smuggled",
    "/pay/notify/../smuggled",
    "/pay/notify/..",
    "/pay/notify/./../../smuggled",
    "/pay/notify/%2e%2e/smuggled",
    "/pay/notify/%2E%2E/smuggled",
    "/pay/notify/.%2e/smuggled",
    "/pay/notify/%2e./smuggled",
    "/pay/notify/%252e%252e/smuggled",
    "/pay/notify/%25252e%25252e/smuggled",
    "/pay/notify/..%2fsmuggled",
    "/pay/notify/..%2Fsmuggled",
    "/pay/notify/..%252fsmuggled",
    "/pay/notify/..%5csmuggled",
    "/pay/notify/..\\smuggled",
    "/pay/notify/..%255csmuggled",
    "/pay/notify/..;/smuggled",
    "/pay/notify/..;x=y/smuggled",
    "/pay/notify/.;/../smuggled",
    "/pay/notify/%2e%2e;/smuggled",
    "/pay/notify/%2e%2e;%2fnotify%2f/smuggled",
    "/pay/notify/..%3b/smuggled",
    "/pay/notify/..%00/smuggled",
    "/pay/notify/..%23/smuggled",
    "/pay/notify/..%3f/smuggled",
    "/pay/notify/..%20/smuggled",
    "/pay/notify/..%09/smuggled",
    "/pay/notify/...%2f../../smuggled",
    "/pay/notify/%c0%ae%c0%ae/smuggled",
    "/pay/notify/%e0%80%ae%e0%80%ae/smuggled",
    "/pay/notify/%f0%80%80%ae%f0%80%80%ae/smuggled",
    "/pay/notify/..%c0%afsmuggled",
    "/pay/notify/..%c1%9csmuggled",
    "/pay/notify/%u002e%u002e/smuggled",
    "/pay/notify/..%u2215smuggled",
    "/pay/notify/..%u2216smuggled",
    "/pay/notify/%ef%bc%8e%ef%bc%8e/smuggled",
    "/pay/notify/..%ef%bc%8fsmuggled",
    "/pay/notify/..%e2%81%84smuggled",
    "/pay/notify/..:$i30:$INDEX_ALLOCATION/smuggled",
    "/pay/notify/.. /smuggled",
    "/pay/notify//../../smuggled",
    "/pay/notify/a/../../../smuggled",
    "/pay/notify/%2e%2e/notify%2fb/../smuggled",
    "/welcome/../smuggled",
    "/welcome/%2e%2e/smuggled",
    "/welcome/..;/smuggled",
];

const LOCKED: &[&str] = &[
    "/welcome\\..\\smuggled",
    "/welcome%2f..%2fsmuggled",
    "/pay/notify%00/../smuggled",
    "/pay/notify\\..\\..\\smuggled",
    "/pay/notify%2f..%2f..%2fsmuggled",
    "/smuggled",
    "/smuggled?/pay/notify",
    "/smuggled?x=/../pay/notify",
    "/smuggled;/pay/notify",
    "/smuggled%2f..%2fpay/notify",
    "/x/../pay/notify/smuggled",
    "//pay/notify/smuggled",
    "///pay/notify/smuggled",
    "/./pay/notify/smuggled",
    "/pay//notify/smuggled",
    "/pay/./notify/smuggled",
    "/PAY/NOTIFY/smuggled",
    "/Pay/notify/smuggled",
    "/pay%2fnotify/smuggled",
    "/%70ay/notify/smuggled",
    "/pay/%6eotify/smuggled",
    "/pay/notifysmuggled",
    "/pay/notify.smuggled",
    "/pay/notify-smuggled",
    "/pay/notify;smuggled",
    "/pay/notify%00smuggled",
    "/pay/notify%20smuggled",
    "/pay/notify%2fsmuggled",
    "/pay\\notify/smuggled",
    "/pay;x/notify/smuggled",
    "/pay/smuggled",
    "/xpay/notify/smuggled",
    "/smuggled/pay/notify",
    "/evil.example/pay/notify/smuggled",
    "//evil.example/pay/notify/smuggled",
    "/http://127.0.0.1/pay/notify/smuggled",
    "/Welcome/smuggled",
    "/welcomesmuggled",
    "/w%65lcome/smuggled",
    "/MP_verify_AbCdEfGhIjKlMnOp.txt/smuggled",
    "/mp_verify_abcdefghijklmnop.txt?smuggled",
    "/x/MP_verify_AbCdEfGhIjKlMnOp.txt?smuggled",
];

/// Without a session each is refused, as what it is or as what it could be.
pub fn http1(parts: &Parts) -> Vec<Row> {
    let mut rows: Vec<Row> = HIDDEN
        .iter()
        .map(|path| h1(*path, get(&parts.host, path, ""), &[400]))
        .collect();
    rows.extend(
        LOCKED
            .iter()
            .map(|path| h1(*path, get(&parts.host, path, ""), &[400, 401])),
    );
    for header in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
        "X-Original-Uri",
        "X-Accel-Redirect",
        "X-HTTP-Path-Override",
    ] {
        let text = get(
            &parts.host,
            "/smuggled",
            &format!("{header}: /pay/notify\r\n"),
        );
        rows.push(h1(format!("{header} for another path"), text, &[401]));
    }
    for path in [
        "/pay/notify",
        "/pay/notify/",
        "/pay/notify/x",
        "/pay/notify?x=/../y",
        "/pay/notify/Wx%20Pay",
        "/pay/notify/.",
        "/pay/notify/%E4%BD%A0",
    ] {
        rows.push(
            h1(
                format!("{path} is open"),
                get(&parts.host, path, ""),
                &[200],
            )
            .seen(move |seen| seen.line() == format!("GET {path} HTTP/1.1")),
        );
    }
    // On a page nothing of an address is more than text.
    for target in [
        "/x?<script>smuggled</script>",
        "/x\"onload=smuggled",
        "/x'><img src=smuggled>",
    ] {
        let text = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\n\r\n",
            parts.host
        );
        rows.push(h1(
            format!("{target} opened outside WeChat"),
            text,
            &[400, 403],
        ));
    }
    rows
}

/// The same over HTTP/2.
pub fn http2(parts: &Parts) -> Vec<Row> {
    let send = |path: &str| {
        headers(
            1,
            END_STREAM,
            &[
                pseudo("GET", &parts.host, path),
                vec![field("accept", "application/json")],
            ]
            .concat(),
        )
    };
    let hidden = HIDDEN
        .iter()
        .step_by(2)
        .map(|path| h2(format!("h2: {path}"), send(path), &[400, 0]));
    let locked = LOCKED
        .iter()
        .step_by(3)
        .map(|path| h2(format!("h2: {path}"), send(path), &[400, 401]));
    hidden.chain(locked).collect()
}
