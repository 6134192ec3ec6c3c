//! A request that two servers could read in two ways is refused.

use http::{Method, Version, header};
use wxgate::request::Asked;

/// `data`: a request as it came, whose lines end with a line feed alone; with a
/// `2` at its front, one of HTTP/2, where the second line is the authority.
pub fn request(data: &[u8]) {
    let (second, raw) = match data.strip_prefix(b"2") {
        Some(rest) => (true, rest),
        None => (false, data),
    };
    let (first, lines) = super::split_at_byte(raw, b'\n');
    let (method, target) = super::split_at_byte(first, b' ');
    let Some(mut request) = super::request_of(method, target, lines) else {
        return;
    };
    if second {
        let (authority, _) = super::split_at_byte(lines, b'\n');
        let uri = http::Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query(target);
        let Ok(uri) = uri.build() else {
            return;
        };
        request.set_version(Version::HTTP_2);
        request.set_uri(uri);
    }
    let Ok(asked) = Asked::read(&request, raw) else {
        return;
    };
    assert!(!matches!(*asked.method(), Method::TRACE | Method::CONNECT));
    let whole = match asked.query {
        Some(query) => format!("{}?{query}", asked.path),
        None => asked.path.to_owned(),
    };
    assert_eq!(whole, asked.target);
    assert_eq!(asked.target.as_bytes(), request.raw_path());
    assert!(asked.path.starts_with('/') && !asked.path.contains(['?', '#']));
    assert!(asked.target.len() <= 16 * 1024 && raw.len() <= 64 * 1024);

    // One host, in one spelling.
    let host = asked.host.as_str();
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' | b'[' | b']');
    assert!(!host.is_empty() && host.bytes().all(plain), "{host}");
    let hosts: Vec<&[u8]> = request
        .headers
        .get_all(header::HOST)
        .iter()
        .map(|value| value.as_bytes())
        .collect();
    if !second {
        let [one] = hosts.as_slice() else {
            panic!("{} hosts", hosts.len());
        };
        assert!(one.to_ascii_lowercase().starts_with(host.as_bytes()));
    }

    // One length or one coding.
    let lengths = request.headers.get_all(header::CONTENT_LENGTH);
    let codings = request.headers.get_all(header::TRANSFER_ENCODING);
    assert!(lengths.iter().count() + codings.iter().count() <= 1);
    if codings.iter().count() == 1 {
        for line in raw.split(|byte| *byte == b'\n').skip(1) {
            let (name, _) = super::split_at_byte(line, b':');
            let name = name.trim_ascii().to_ascii_lowercase();
            assert!(!line.contains(&b':') || name != b"content-length");
        }
    }

    // What a page can make a browser send decides nothing by itself.
    let _ = (asked.kind(), asked.browser());
    let origin = format!("https://{host}");
    if let Some(page) = asked.page_of(&origin) {
        assert!(page.starts_with('/'));
    }
    if asked.is_same_origin(&origin) {
        let from = request.headers.get(header::ORIGIN);
        assert!(from.is_none_or(|from| from == "null" || *from == *origin));
    }
}
