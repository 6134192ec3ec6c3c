//! A request as the gateway reads it: one host, one target, and what kind of
//! asking it is.
//!
//! Holds always: what is read here is what the app will be sent. A request
//! that two servers could read in two ways is refused before anything else is
//! done with it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::http::RequestHeader;

use crate::cookies;
use crate::origin::Host;
use crate::wechat::Browser;

/// A header's name as CGI, WSGI and PHP apps see it, to whom every character
/// that is no letter or digit is the same.
pub fn folded(name: &str) -> Cow<'_, str> {
    if name
        .bytes()
        .all(|byte| PLAIN.get(usize::from(byte)) == Some(&true))
    {
        return Cow::Borrowed(name);
    }
    let fold = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    Cow::Owned(name.chars().map(fold).collect())
}

/// Which bytes a folded name is made of: every name of every request is looked
/// at, byte by byte.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        #[expect(clippy::indexing_slicing, reason = "the loop ends before the table")]
        {
            plain[byte] = matches!(byte as u8, b'a'..=b'z' | b'0'..=b'9' | b'-');
        }
        byte += 1;
    }
    plain
};

/// A list of folded names, to look others up in. Nearly every name that is asked
/// for is none of them, and its first letter and length tell so.
#[derive(Debug)]
pub struct Names {
    sorted: &'static [&'static str],
    /// By the first letter: the lengths of those that begin with it, as bits.
    shapes: [u64; 128],
}

impl Names {
    /// The names of `sorted`, which are folded, in order, and shorter than 64.
    #[expect(
        clippy::indexing_slicing,
        reason = "done by the compiler, which would say where"
    )]
    pub const fn new(sorted: &'static [&'static str]) -> Self {
        let mut shapes = [0; 128];
        let mut at = 0;
        while at < sorted.len() {
            let name = sorted[at].as_bytes();
            assert!(name.len() < 64);
            shapes[name[0] as usize] |= 1 << name.len();
            at += 1;
        }
        Self { sorted, shapes }
    }

    /// Whether `name`, which is folded, is one of them.
    #[inline]
    pub fn has(&self, name: &str) -> bool {
        let first = name.bytes().next().map(usize::from);
        let shape = first.and_then(|first| self.shapes.get(first));
        let alike = shape.is_some_and(|shape| name.len() < 64 && (shape >> name.len()) & 1 == 1);
        alike && self.sorted.binary_search(&name).is_ok()
    }
}

/// Takes every header out of `request` whose name `goes`. Nearly always there is
/// none, and nothing is allocated.
pub fn take_away(request: &mut RequestHeader, goes: impl Fn(&HeaderName) -> bool) {
    if !request.headers.keys().any(&goes) {
        return;
    }
    let names: Vec<HeaderName> = request.headers.keys().cloned().collect();
    for name in names.iter().filter(|name| goes(name)) {
        request.remove_header(name);
    }
}

/// The longest target: twice what browsers and servers agree on.
const MAX_TARGET: usize = 16 * 1024;
/// The largest header, request line included. An app behind takes less.
const MAX_HEADER: usize = 64 * 1024;

/// The most header fields. HTTP/1 stops there by itself.
const MAX_FIELDS: usize = 256;

/// A request that can be read in one way only.
#[derive(Debug)]
pub struct Asked<'r> {
    /// The host, without port.
    pub host: Host,
    /// The port, if one stands there: where nothing better tells it.
    pub port: Option<u16>,
    /// Path and query as they came and will be forwarded.
    pub target: &'r str,
    /// The target up to its `?`.
    pub path: &'r str,
    /// What follows the `?`.
    pub query: Option<&'r str>,
    header: &'r RequestHeader,
}

/// Why a request is refused unread. The names stand in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No `Host`, or one that is no host.
    Host,
    /// A target that is not `/path?query`.
    Target,
    /// A line that is none by RFC 9112: a request line with other than two
    /// spaces, a control character or `#` in it, or any line that ends in LF alone.
    Line,
    /// A transfer coding other than `chunked`.
    Coding,
    /// Both `Content-Length` and `Transfer-Encoding`, or several of one.
    Framing,
    /// A target of more than 16 KiB.
    Long,
    /// A header of more than 64 KiB, or of more than 256 fields.
    Large,
    /// `CONNECT` is for proxies of another kind; `TRACE`, and `TRACK` as some
    /// servers call it, would show a page what it must not see.
    Method,
}

impl Unreadable {
    /// One word for the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Host => "bad_host",
            Self::Target => "bad_target",
            Self::Line => "bad_line",
            Self::Coding => "bad_coding",
            Self::Framing => "bad_framing",
            Self::Long => "target_too_long",
            Self::Large => "header_too_large",
            Self::Method => "bad_method",
        }
    }
}

/// How a request asks, which decides how it can be told to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page is being opened: it can be sent away and come back.
    Navigation,
    /// A form is being sent: it can be answered with a page, but its content
    /// would not survive a login.
    Form,
    /// A script, a picture, a WebSocket, a program.
    Other,
}

impl<'r> Asked<'r> {
    /// Reads a request's header, of which `raw` are the bytes as they came.
    ///
    /// # Errors
    /// When it could be read in more than one way.
    pub fn read(header: &'r RequestHeader, raw: &[u8]) -> Result<Self, Unreadable> {
        if matches!(header.method, Method::TRACE | Method::CONNECT) || header.method == "TRACK" {
            return Err(Unreadable::Method);
        }
        if raw.len() > MAX_HEADER || header.headers.len() > MAX_FIELDS {
            return Err(Unreadable::Large);
        }
        if !lines_end_whole(raw) {
            return Err(Unreadable::Line);
        }
        framing(&header.headers, raw)?;
        let target = std::str::from_utf8(header.raw_path()).map_err(|_| Unreadable::Target)?;
        if target.len() > MAX_TARGET {
            return Err(Unreadable::Long);
        }
        if !target.starts_with('/') || target.contains('#') {
            return Err(Unreadable::Target);
        }
        let authority = authority(header).ok_or(Unreadable::Host)?;
        let (host, port) = Host::and_port(authority).ok_or(Unreadable::Host)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Ok(Self {
            host,
            port,
            target,
            path,
            query,
            header,
        })
    }

    /// The method.
    pub fn method(&self) -> &'r Method {
        &self.header.method
    }

    /// The headers.
    pub fn headers(&self) -> &'r HeaderMap {
        &self.header.headers
    }

    /// How long the body says it is; 0 when it does not say.
    pub fn body_length(&self) -> u64 {
        let length = self.header.headers.get(header::CONTENT_LENGTH);
        // Pingora has refused what is no number.
        length
            .and_then(|length| length.to_str().ok()?.parse().ok())
            .unwrap_or(0)
    }

    /// The values of all `Cookie` headers.
    pub fn cookie_lines(&self) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        cookies::lines(&self.header.headers)
    }

    fn text(&self, name: &str) -> Option<&'r str> {
        self.header.headers.get(name)?.to_str().ok()
    }

    /// How it asks. Browsers say so in `Sec-Fetch-*` (W3C Fetch Metadata); of
    /// older ones, WeChat's on iOS before 16.4 among them, `Accept` tells.
    pub fn kind(&self) -> Kind {
        if self.header.headers.contains_key(header::UPGRADE)
            || self
                .text("x-requested-with")
                .is_some_and(|with| with.eq_ignore_ascii_case("XMLHttpRequest"))
        {
            return Kind::Other;
        }
        let reads = matches!(self.header.method, Method::GET | Method::HEAD);
        let opens_page = match self.text("sec-fetch-mode") {
            Some(mode) => {
                mode == "navigate"
                    && self
                        .text("sec-fetch-dest")
                        .is_none_or(|dest| dest == "document")
            }
            None if reads => self.accepts_page(),
            // A program's POST looks the same as an old browser's: both get JSON.
            None => false,
        };
        match (opens_page, reads) {
            (true, true) => Kind::Navigation,
            (true, false) => Kind::Form,
            (false, _) => Kind::Other,
        }
    }

    /// Whether `Accept` asks for HTML. `*/*` is what a script's `fetch` says
    /// as well as a program's first request; the script's comes from a page.
    fn accepts_page(&self) -> bool {
        let from_page = self.header.headers.contains_key(header::REFERER)
            || self.header.headers.contains_key(header::ORIGIN);
        match self.text("accept") {
            Some(accept)
                if accept.contains("text/html") || accept.contains("application/xhtml+xml") =>
            {
                true
            }
            Some(accept) => accept.trim() == "*/*" && !from_page,
            None => !from_page,
        }
    }

    /// What the browser says that it is. A hint, never a proof.
    pub fn browser(&self) -> Browser {
        let agent = self.header.headers.get(header::USER_AGENT);
        Browser::of(agent.map(HeaderValue::as_bytes).unwrap_or_default())
    }

    /// Whether it may change something at the app: its method is not safe (RFC
    /// 9110, section 9.2.1), or it opens a WebSocket, whose messages have none.
    pub fn changes_something(&self) -> bool {
        let safe = matches!(
            self.header.method,
            Method::GET | Method::HEAD | Method::OPTIONS
        );
        !safe || self.header.headers.contains_key(header::UPGRADE)
    }

    /// Whether the request was made by a page of `origin` itself. Old browsers
    /// that say neither where a POST comes from nor what it is for are refused.
    pub fn is_same_origin(&self, origin: &str) -> bool {
        // A page that sends no referrer says `null`; then only the browser's word counts.
        let mut origins = self.header.headers.get_all(header::ORIGIN).iter();
        let from = origins.next().filter(|from| *from != "null");
        if origins.next().is_some() {
            return false;
        }
        match (from, self.text("sec-fetch-site")) {
            (Some(from), site) => from == origin && site.is_none_or(|site| site == "same-origin"),
            (None, Some(site)) => site == "same-origin",
            (None, None) => false,
        }
    }

    /// Whether this opens a WebSocket for a page of another host: a browser
    /// sends cookies along, and asks nobody (RFC 6455, section 10.2). Hosts of
    /// one `shared` domain are one.
    pub fn is_foreign_socket(&self, shared: Option<&str>) -> bool {
        if !self.header.headers.contains_key(header::UPGRADE) {
            return false;
        }
        let mut origins = self.header.headers.get_all(header::ORIGIN).iter();
        let Some(from) = origins.next() else {
            return false;
        };
        if origins.next().is_some() {
            return true;
        }
        let host = from
            .to_str()
            .ok()
            .and_then(|from| from.split_once("://"))
            .and_then(|(_, authority)| Host::from_authority(authority));
        !host.is_some_and(|host| {
            host == self.host
                || shared
                    .is_some_and(|domain| host.is_within(domain) && self.host.is_within(domain))
        })
    }

    /// The path and query of the page that made the request, if it is one of
    /// `origin`'s.
    pub fn page_of(&self, origin: &str) -> Option<&'r str> {
        self.text("referer")?
            .strip_prefix(origin)
            .filter(|target| target.starts_with('/'))
    }
}

/// One length or one coding. Pingora takes the length away where both stand
/// (RFC 9112, section 6.3, allows that, and section 6.1 to refuse), so that the
/// bytes as they came are asked.
fn framing(headers: &HeaderMap, raw: &[u8]) -> Result<(), Unreadable> {
    let (length, coding) = (header::CONTENT_LENGTH, header::TRANSFER_ENCODING);
    if !headers.contains_key(length) && !headers.contains_key(coding) {
        return Ok(());
    }
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter().count();
    if lengths + codings > 1 || (codings == 1 && names_length(raw)) {
        return Err(Unreadable::Framing);
    }
    // Pingora takes `5, 5` for 5 (RFC 9110, section 8.6, allows that), and passes
    // it on; to an app that takes it for none, the body is the next request.
    let number = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    if headers
        .get(header::CONTENT_LENGTH)
        .is_some_and(|length| !number(length))
    {
        return Err(Unreadable::Framing);
    }
    match headers.get(header::TRANSFER_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Err(Unreadable::Coding)
        }
        _ => Ok(()),
    }
}

/// Whether every line of a header ends in CR and LF. A server that takes LF
/// alone sees lines where another sees none (RFC 9112, section 2.2).
fn lines_end_whole(raw: &[u8]) -> bool {
    let whole = |end: usize| {
        let before = end.checked_sub(1).and_then(|before| raw.get(before));
        before == Some(&b'\r')
    };
    memchr::memchr_iter(b'\n', raw).all(whole)
}

fn names_length(raw: &[u8]) -> bool {
    let names = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.len() < line.len() && name.trim_ascii().eq_ignore_ascii_case(b"content-length")
    };
    raw.split(|byte| *byte == b'\n').any(names)
}

/// The authority: HTTP/2's `:authority`, or the one `Host` header.
pub fn authority(header: &RequestHeader) -> Option<&str> {
    if header.version == Version::HTTP_2
        && let Some(authority) = header.uri.authority()
    {
        return Some(authority.as_str());
    }
    let mut hosts = header.headers.get_all(header::HOST).iter();
    let host = hosts.next()?;
    if hosts.next().is_some() {
        return None;
    }
    host.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn kind(method: &str, headers: &[(&'static str, &str)]) -> Kind {
        let mut all = vec![("Host", "a.example")];
        all.extend_from_slice(headers);
        let request = request(method, "/", &all);
        Asked::read(&request, b"").unwrap().kind()
    }

    #[test]
    fn only_what_opens_a_page_is_sent_away() {
        use Kind::{Form, Navigation, Other};
        for (method, headers, expected) in [
            (
                "GET",
                vec![
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                ],
                Navigation,
            ),
            (
                "GET",
                vec![("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
                Other,
            ),
            (
                "GET",
                vec![("sec-fetch-mode", "cors"), ("accept", "text/html")],
                Other,
            ),
            (
                "POST",
                vec![
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                ],
                Form,
            ),
            ("POST", vec![("accept", "text/html")], Other),
            (
                "GET",
                vec![("accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
                Navigation,
            ),
            ("GET", vec![("accept", "*/*")], Navigation),
            ("GET", vec![], Navigation),
            ("HEAD", vec![], Navigation),
            (
                "GET",
                vec![("accept", "*/*"), ("referer", "https://a.example/")],
                Other,
            ),
            (
                "GET",
                vec![("accept", "*/*"), ("origin", "https://a.example")],
                Other,
            ),
            ("GET", vec![("accept", "application/json")], Other),
            ("GET", vec![("accept", "image/webp,*/*;q=0.8")], Other),
            (
                "GET",
                vec![
                    ("accept", "text/html"),
                    ("x-requested-with", "XMLHttpRequest"),
                ],
                Other,
            ),
            (
                "GET",
                vec![("accept", "text/html"), ("upgrade", "websocket")],
                Other,
            ),
            ("DELETE", vec![], Other),
            ("OPTIONS", vec![], Other),
        ] {
            assert_eq!(kind(method, &headers), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn what_could_be_read_twice_is_refused() {
        let refused = |request: &RequestHeader| Asked::read(request, b"").unwrap_err();
        assert_eq!(refused(&request("GET", "/", &[])), Unreadable::Host);
        assert_eq!(
            refused(&request("GET", "/", &[("Host", "a"), ("Host", "b")])),
            Unreadable::Host
        );
        assert_eq!(
            refused(&request("GET", "/", &[("Host", "a/b")])),
            Unreadable::Host
        );
        assert_eq!(
            refused(&request("OPTIONS", "*", &[("Host", "a")])),
            Unreadable::Target
        );
        assert_eq!(
            refused(&request("GET", "http://a/x", &[("Host", "a")])),
            Unreadable::Target
        );
        assert_eq!(
            refused(&request("TRACE", "/", &[("Host", "a")])),
            Unreadable::Method
        );
        let both = [
            ("Host", "a"),
            ("Content-Length", "1"),
            ("Transfer-Encoding", "chunked"),
        ];
        assert_eq!(refused(&request("POST", "/", &both)), Unreadable::Framing);
        let coded = request(
            "POST",
            "/",
            &[("Host", "a"), ("Transfer-Encoding", "chunked")],
        );
        assert!(Asked::read(&coded, b"POST / HTTP/1.1\r\nX-Content-Length: 1\r\n\r\n").is_ok());
        let hint = b"POST / HTTP/1.1\r\nContent-Length-Hint: 1\r\n\r\n";
        assert!(Asked::read(&coded, hint).is_ok());
        let raw = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH: 1\r\n\r\n";
        assert_eq!(Asked::read(&coded, raw).unwrap_err(), Unreadable::Framing);
        for length in ["1, 1", "+1", "1 ", "0x1"] {
            let listed = [("Host", "a"), ("Content-Length", length)];
            assert_eq!(refused(&request("POST", "/", &listed)), Unreadable::Framing);
        }
        let twice = [
            ("Host", "a"),
            ("Content-Length", "1"),
            ("Content-Length", "1"),
        ];
        assert_eq!(refused(&request("POST", "/", &twice)), Unreadable::Framing);
    }

    #[test]
    fn wechat_is_told_from_wecom_and_from_the_rest() {
        let browser = |agent: &str| {
            let request = request("GET", "/", &[("Host", "a"), ("User-Agent", agent)]);
            Asked::read(&request, b"").unwrap().browser()
        };
        for (agent, expected) in [
            (
                "Mozilla/5.0 (iPhone) MicroMessenger/8.0.49",
                Browser::WeChat,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) WindowsWechat MicroMessenger/7",
                Browser::WeChat,
            ),
            (
                "Mozilla/5.0 wxwork/4.0 MicroMessenger/7.0.1",
                Browser::WeCom,
            ),
            ("Mozilla/5.0 Chrome/150", Browser::Other),
        ] {
            assert_eq!(browser(agent), expected, "{agent}");
        }
        let silent = request("GET", "/", &[("Host", "a")]);
        let silent = Asked::read(&silent, b"").unwrap();
        assert_eq!(silent.browser(), Browser::Other);
    }

    #[test]
    fn another_sites_post_is_told_apart() {
        let same = |headers: &[(&'static str, &str)]| {
            let mut all = vec![("Host", "a.example")];
            all.extend_from_slice(headers);
            let request = request("POST", "/", &all);
            Asked::read(&request, b"")
                .unwrap()
                .is_same_origin("https://a.example")
        };
        assert!(same(&[("origin", "https://a.example")]));
        assert!(same(&[("sec-fetch-site", "same-origin")]));
        assert!(same(&[
            ("origin", "null"),
            ("sec-fetch-site", "same-origin")
        ]));
        for headers in [
            vec![],
            vec![("origin", "https://evil.example")],
            vec![("origin", "null")],
            vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
            vec![("origin", "http://a.example")],
            vec![("sec-fetch-site", "cross-site")],
            vec![
                ("origin", "https://a.example"),
                ("sec-fetch-site", "cross-site"),
            ],
        ] {
            assert!(!same(&headers), "{headers:?}");
        }
        let mut odd = request(
            "POST",
            "/",
            &[("Host", "a.example"), ("sec-fetch-site", "same-origin")],
        );
        let origin = http::HeaderValue::from_bytes(b"https://\xe9.example").unwrap();
        odd.append_header("origin", origin).unwrap();
        let asked = Asked::read(&odd, b"").unwrap();
        assert!(!asked.is_same_origin("https://a.example"));
    }
}
