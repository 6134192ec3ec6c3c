//! The gateway's cookies in a request: found, and kept from the app.

use http::{HeaderMap, HeaderValue, header};
use wxgate::cookies::{self, CookieSettings, ForApp, Found, SameSiteSetting};

/// `data`: the `Cookie` headers of a request, one a line; and again, each as a
/// `Set-Cookie` of the app's.
pub fn cookies(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut lines: Vec<&[u8]> = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
            lines.push(line);
        }
    }
    for (domain, secure, [any_path, root_path]) in [
        (None, true, ["__Secure-", "__Host-"]),
        (Some("example.com"), true, ["__Secure-", "__Secure-"]),
        (None, false, ["", ""]),
    ] {
        let settings = CookieSettings::new(
            "wxgate",
            domain.map(str::to_owned),
            SameSiteSetting::Lax,
            secure,
        );
        let ours = |name: &[u8]| {
            name.starts_with(format!("{root_path}wxgate_").as_bytes())
                || name.starts_with(format!("{any_path}wxgate-login-").as_bytes())
                || name == format!("{root_path}wxgate-pending").as_bytes()
        };
        let shop = format!("{root_path}wxgate_shop");
        for kept in [None, Some(shop.as_str())] {
            hiding(&settings, &headers, &lines, kept, &ours);
        }
        finding(&headers, &lines, &shop);
        finding(&headers, &lines, settings.pending_name());
        for line in &lines {
            let first = line.split(|byte| *byte == b';').next().unwrap_or_default();
            assert_eq!(settings.sets_ours(line), ours(name_of(first)), "{line:?}");
        }
    }
}

/// What is not ours reaches the app byte for byte and in order; of ours, only
/// what is kept.
fn hiding(
    settings: &CookieSettings,
    headers: &HeaderMap,
    lines: &[&[u8]],
    kept: Option<&str>,
    ours: &dyn Fn(&[u8]) -> bool,
) {
    let expected: Vec<&[u8]> = lines
        .iter()
        .flat_map(|line| cookies_of(line))
        .filter(|piece| {
            let name = name_of(piece);
            !ours(name) || kept.is_some_and(|kept| kept.as_bytes() == name)
        })
        .collect();
    match settings.for_app(headers, kept) {
        ForApp::Unchanged => {
            let all: Vec<&[u8]> = lines.iter().flat_map(|line| cookies_of(line)).collect();
            assert_eq!(all, expected, "what is ours was left");
            assert!(lines.len() <= 1, "several lines stayed several");
        }
        ForApp::Replaced(line) => {
            let left: Vec<&[u8]> = cookies_of(&line).collect();
            assert_eq!(left, expected);
            assert!(!left.is_empty(), "an empty line was written");
            assert!(HeaderValue::from_bytes(&line).is_ok());
        }
        ForApp::Removed => assert!(expected.is_empty(), "lost: {expected:?}"),
    }
}

/// A cookie is found under its whole name, and two are not taken for one.
fn finding(headers: &HeaderMap, lines: &[&[u8]], name: &str) {
    let values: Vec<&[u8]> = lines
        .iter()
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .filter(|piece| name_of(piece) == name.as_bytes())
        .map(|piece| match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => piece[at + 1..].trim_ascii(),
            None => b"",
        })
        .collect();
    let found = cookies::find(cookies::lines(headers), name);
    match values.as_slice() {
        [] => assert_eq!(found, Found::Absent),
        [one] => assert_eq!(found, Found::Once(one)),
        _ => assert_eq!(found, Found::Repeated),
    }
}

fn cookies_of(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|piece| !piece.is_empty())
}

fn name_of(piece: &[u8]) -> &[u8] {
    let end = piece.iter().position(|byte| *byte == b'=');
    piece[..end.unwrap_or(piece.len())].trim_ascii()
}
