//! Callbacks that nobody came back with. None logs anybody in, and but for one
//! row, which WeChat itself refuses, none costs a call.

use super::row::{GONE, Row, h1};

/// `GET /.wxgate/callback?query` with these cookies.
fn back(name: impl Into<String>, query: &str, cookies: &str) -> Row {
    ask(name, "GET", &format!("/.wxgate/callback{query}"), cookies)
}

fn ask(name: impl Into<String>, method: &str, target: &str, cookies: &str) -> Row {
    h1(
        name,
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {{host}}\r\nUser-Agent: MicroMessenger/8\r\nAccept: text/html\r\n\
             Cookie: {cookies}\r\n\r\n"
        ),
    )
    // Sent to log in, told why not, or not understood.
    .answers(&[302, 400, 401, 403, 404, 405])
}

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("nothing", ""),
        ("empty-query", "?"),
        ("code-alone", "?code={code}"),
        ("state-empty", "?code={code}&state="),
        (
            "state-foreign",
            "?code={code}&state=00112233445566778899aabbccddeeff0",
        ),
        ("state-upper-case", "?code={code}&STATE={state}"),
        ("state-longer", "?code={code}&state={state}0"),
        ("state-with-nul", "?code={code}&state={state}%00"),
        ("state-with-nul-before", "?code={code}&state=%00{state}"),
        ("state-with-line-feed", "?code={code}&state={state}%0d%0a"),
        ("state-with-space", "?code={code}&state={state}+"),
        ("state-as-array", "?code={code}&state[]={state}"),
        ("state-quoted", "?code={code}&state=%22{state}%22"),
        (
            "state-twice-different",
            "?code={code}&state={state}&state=0",
        ),
        ("state-twice-turned", "?code={code}&state=0&state={state}"),
        (
            "state-twice-one-encoded",
            "?code={code}&%73tate=0&state={state}",
        ),
        ("state-behind-semicolon", "?code={code};state={state}"),
        (
            "state-in-a-fragment-encoded",
            "?code={code}%23state={state}",
        ),
        ("state-encoded-twice", "?code={code}%26state={state}"),
        (
            "state-of-script",
            "?code={code}&state=%3Cscript%3Ealert(1)%3C/script%3E",
        ),
        ("code-twice-different", "?code={code}&code=x&state={state}"),
        ("code-twice-turned", "?code=x&code={code}&state={state}"),
        ("code-as-array", "?code[]={code}&state={state}"),
        ("code-empty", "?code=&state={state}"),
        ("code-with-nul", "?code={code}%00&state={state}"),
        ("code-with-line-feed", "?code={code}%0d%0aX:y&state={state}"),
        (
            "code-with-ampersand",
            "?code={code}%26appid=x&state={state}",
        ),
        ("code-with-fragment", "?code={code}%23&state={state}"),
        ("code-with-space", "?code={code}%20&state={state}"),
        ("code-with-utf-8", "?code=%e4%bd%a0&state={state}"),
        ("code-of-script", "?code=%3Cscript%3E&state={state}"),
    ]
    .map(|(name, query)| back(format!("callback-{name}"), query, "{login}"))
    .into();
    let good = "?code={code}&state={state}";
    rows.extend(
        [
            ("no-cookie", "a=1"),
            ("session-value-for-the-login", "{login-name}={value}"),
            ("cookie-renamed", "wxgate-login-00000000={login-value}"),
            ("cookie-longer", "{login-name}={login-value}A"),
            ("cookie-quoted", "{login-name}=\"{login-value}\""),
            (
                "cookie-in-other-case",
                "WXGATE-LOGIN-00000000={login-value}",
            ),
            // Planted from another host of the domain, where the list cannot be.
            ("cookie-not-listed", "{login-name}={login-value}"),
            (
                "cookie-listed-elsewhere",
                "{login-name}={login-value}; wxgate-pending=00000000",
            ),
            ("cookie-listed-twice", "{login}; wxgate-pending=00000000"),
        ]
        .map(|(name, cookies)| back(format!("callback-{name}"), good, cookies)),
    );
    rows.extend([
        back(
            "callback-code-of-600-letters",
            &format!("?code={}&state={{state}}", "a".repeat(600)),
            "{login}",
        ),
        back(
            "callback-query-of-15-kilobytes",
            &format!("?x={}&state={{state}}", "a".repeat(15_000)),
            "{login}",
        ),
        back(
            "callback-code-unknown-to-wechat",
            "?code=none&state={state}",
            "{login}",
        )
        .exchanges(1),
        back(
            "callback-a-thousand-login-cookies",
            good,
            &"wxgate-login-00000000=x; ".repeat(1000),
        ),
        back("callback-of-a-visitor-without-a-login", good, "{session}"),
    ]);
    rows.extend(
        [
            ("POST", "/.wxgate/callback?code={code}&state={state}"),
            ("PUT", "/.wxgate/callback?code={code}&state={state}"),
            ("OPTIONS", "/.wxgate/callback?code={code}&state={state}"),
            ("get", "/.wxgate/callback?code={code}&state={state}"),
            // A code anywhere but at the callback is nothing.
            ("GET", "/?code={code}&state={state}"),
            ("GET", "/x?code={code}&state={state}"),
            ("GET", "/.wxgate/me?code={code}&state={state}"),
            ("GET", "/.wxgate/login?code={code}&state={state}"),
            ("GET", "/.wxgate/callback/?code={code}&state={state}"),
            ("GET", "/.wxgate/callback;x?code={code}&state={state}"),
            ("GET", "/.wxgate/callback%00?code={code}&state={state}"),
            ("GET", "/.wxgate//callback?code={code}&state={state}"),
            ("GET", "/.wxgate/x/../callback?code={code}&state={state}"),
            ("GET", "/.WXGATE/callback?code={code}&state={state}"),
            ("GET", "/%2ewxgate/callback?code={code}&state={state}"),
        ]
        .map(|(method, target)| {
            ask(
                format!("callback-{method}-{target}"),
                method,
                target,
                "{login}",
            )
        }),
    );
    rows.push(
        h1(
            "callback-by-form",
            "POST /.wxgate/callback HTTP/1.1\r\nHost: {host}\r\nCookie: {login}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 19\r\n\r\ncode=abc&state=defg",
        )
        .answers(&[400, 405, GONE]),
    );
    rows
}
