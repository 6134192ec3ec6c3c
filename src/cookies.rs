//! The gateway's own cookies: their names, how they are found, written, and
//! kept from the app.
//!
//! Holds always: `Cookie` headers are read as bytes, in all their lines, so
//! that an app's own cookie in an old charset changes nothing; a name that
//! stands twice is told apart from one that stands once; and what is not the
//! gateway's reaches the app byte for byte (RFC 6265, sections 4.2 and 5.4).

use cookie::{Cookie, SameSite};
use http::{HeaderMap, header};
use serde::Deserialize;

use crate::origin::Host;

/// What is set on every cookie of the gateway.
#[derive(Clone, Debug)]
pub struct CookieSettings {
    session_prefix: String,
    login_prefix: String,
    snapshot_prefix: String,
    pay_prefix: String,
    pending: String,
    /// What the names of all but the logins' begin with.
    stem: String,
    domain: Option<String>,
    same_site: SameSite,
    secure: bool,
}

/// `same_site` in `gateway.toml`. `strict` is missing on purpose: it keeps the
/// cookie away from visitors who come from outside, and on iOS logs them in anew.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SameSiteSetting {
    /// Sent with top-level navigations from elsewhere: what a login needs.
    #[default]
    Lax,
    /// Sent from frames on other sites too; https only.
    None,
}

/// How often a cookie's name stands in a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'h> {
    /// Not at all.
    Absent,
    /// Once, with this value.
    Once(&'h [u8]),
    /// More than once: there is no telling which the browser meant.
    Repeated,
}

/// What becomes of the `Cookie` header on its way to the app.
#[derive(Debug, PartialEq, Eq)]
pub enum ForApp {
    /// As it came.
    Unchanged,
    /// This one line instead of what came.
    Replaced(Vec<u8>),
    /// Nothing is left.
    Removed,
}

/// A lifetime of a cookie in the browser.
#[derive(Clone, Copy, Debug)]
pub enum MaxAge {
    /// So many seconds.
    Seconds(u64),
    /// Gone at once: the cookie is deleted.
    Delete,
}

impl CookieSettings {
    /// Settings for cookies named after `name`. With `secure` the names carry
    /// the prefixes that bind them to https, and without `domain` to this host
    /// (RFC 6265bis, section 4.1.3).
    pub fn new(
        name: &str,
        domain: Option<String>,
        same_site: SameSiteSetting,
        secure: bool,
    ) -> Self {
        let any_path = if secure { "__Secure-" } else { "" };
        let root_path = match (secure, &domain) {
            (true, None) => "__Host-",
            _ => any_path,
        };
        Self {
            session_prefix: format!("{root_path}{name}_"),
            login_prefix: format!("{any_path}{name}-login-"),
            snapshot_prefix: format!("{root_path}{name}-snapshot-"),
            pay_prefix: format!("{root_path}{name}-pay-"),
            pending: format!("{root_path}{name}-pending"),
            stem: format!("{root_path}{name}"),
            domain,
            same_site: match same_site {
                SameSiteSetting::Lax => SameSite::Lax,
                SameSiteSetting::None => SameSite::None,
            },
            secure,
        }
    }

    /// The name of the session cookie of the account called `account`.
    pub fn session_name(&self, account: &str) -> String {
        format!("{}{account}", self.session_prefix)
    }

    /// The name of the cookie of a snapshot page's visitor, likewise.
    pub fn snapshot_name(&self, account: &str) -> String {
        format!("{}{account}", self.snapshot_prefix)
    }

    /// The name of the cookie of a visitor's openid with the account under which
    /// they pay, likewise.
    pub fn pay_name(&self, account: &str) -> String {
        format!("{}{account}", self.pay_prefix)
    }

    /// The name of the cookie of the login whose state begins with `piece`.
    pub fn login_name(&self, piece: &str) -> String {
        format!("{}{piece}", self.login_prefix)
    }

    /// The piece of the state that the name of a login cookie carries.
    pub fn login_piece<'n>(&self, name: &'n [u8]) -> Option<&'n str> {
        let piece = name.strip_prefix(self.login_prefix.as_bytes())?;
        std::str::from_utf8(piece).ok()
    }

    /// The name of the cookie that lists the logins in flight, so that a new
    /// one can drop the oldest: their own cookies are sent to the callback alone.
    pub fn pending_name(&self) -> &str {
        &self.pending
    }

    /// Whether they are sent from frames on other sites too.
    pub fn is_cross_site(&self) -> bool {
        self.same_site == SameSite::None
    }

    /// The domain that sessions are shared in, if one is set.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Where a cookie that `host` sets is sent to: the shared domain, or `host`
    /// alone.
    pub fn place<'a>(&'a self, host: &'a Host) -> &'a str {
        match self.domain() {
            Some(domain) if host.is_within(domain) => domain,
            _ => host.as_str(),
        }
    }

    /// Whether a cookie that one of two hosts sets is sent to the other too.
    pub fn shared_by(&self, one: &Host, other: &Host) -> bool {
        self.place(one) == self.place(other)
    }

    /// One `Set-Cookie` value for `place`, as [`Self::place`] tells it.
    pub fn write(&self, place: &str, name: &str, value: &str, path: &str, age: MaxAge) -> String {
        let mut cookie = Cookie::build((name, value))
            .path(path)
            .http_only(true)
            .secure(self.secure)
            .same_site(self.same_site);
        if let Some(domain) = self.domain().filter(|domain| *domain == place) {
            cookie = cookie.domain(domain);
        }
        let mut cookie = cookie.build();
        match age {
            MaxAge::Delete => cookie.make_removal(),
            MaxAge::Seconds(seconds) => cookie.set_max_age(cookie::time::Duration::seconds(
                i64::try_from(seconds).unwrap_or(i64::MAX),
            )),
        }
        cookie.to_string()
    }

    fn is_ours(&self, name: &[u8]) -> bool {
        // Most are none of ours, and two looks tell.
        let begins = |prefix: &String| name.starts_with(prefix.as_bytes());
        let at_root = begins(&self.stem)
            && (begins(&self.session_prefix)
                || begins(&self.snapshot_prefix)
                || begins(&self.pay_prefix)
                || name == self.pending.as_bytes());
        at_root || begins(&self.login_prefix)
    }

    /// Whether the `Set-Cookie` value `line` would write one of the gateway's.
    pub fn sets_ours(&self, line: &[u8]) -> bool {
        pieces(line)
            .next()
            .is_some_and(|pair| self.is_ours(split_pair(pair).0))
    }

    /// What the app receives of the `Cookie` lines in `headers`: everything but
    /// the gateway's own, of which only `kept` stays. Several lines become one,
    /// as RFC 9113 (section 8.2.3) asks before cookies go to an HTTP/1 server.
    pub fn for_app(&self, headers: &HeaderMap, kept: Option<&str>) -> ForApp {
        let hidden = |piece: &[u8]| {
            let (name, _) = split_pair(piece);
            self.is_ours(name) && kept.is_none_or(|kept| kept.as_bytes() != name)
        };
        let single = lines(headers).nth(1).is_none();
        if single && !lines(headers).flat_map(pieces).any(hidden) {
            return ForApp::Unchanged;
        }
        let mut line = Vec::new();
        for piece in lines(headers)
            .flat_map(pieces)
            .filter(|piece| !piece.trim_ascii().is_empty() && !hidden(piece))
        {
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(piece.trim_ascii());
        }
        if line.is_empty() {
            ForApp::Removed
        } else {
            ForApp::Replaced(line)
        }
    }
}

/// The values of all `Cookie` headers.
pub fn lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .map(|value| value.as_bytes())
}

fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (piece, after) = split_at(rest?, b';');
        rest = after;
        Some(piece)
    })
}

fn split_pair(piece: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = split_at(piece, b'=');
    (name.trim_ascii(), value.unwrap_or_default().trim_ascii())
}

/// What stands before the first `byte`, and what behind it, if it is there.
fn split_at(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(byte, text) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// Every name and value in the request's `Cookie` lines.
pub fn pairs<'h>(
    lines: impl Iterator<Item = &'h [u8]>,
) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
    lines.flat_map(pieces).map(split_pair)
}

/// The value of the cookie called `name`.
pub fn find<'h>(lines: impl Iterator<Item = &'h [u8]>, name: &str) -> Found<'h> {
    let mut values = pairs(lines).filter(|(other, _)| *other == name.as_bytes());
    match (values.next(), values.next()) {
        (None, _) => Found::Absent,
        (Some((_, value)), None) => Found::Once(value),
        (Some(_), Some(_)) => Found::Repeated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CookieSettings {
        CookieSettings::new("wxgate", None, SameSiteSetting::Lax, true)
    }

    fn for_app(lines: &[&str], kept: Option<&str>) -> ForApp {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        settings().for_app(&headers, kept)
    }

    fn replaced(line: &str) -> ForApp {
        ForApp::Replaced(line.as_bytes().to_vec())
    }

    #[test]
    fn a_cookie_is_found_in_any_line_and_only_by_its_whole_name() {
        let lines = [b"a=1; xab=3;ab=2".as_slice(), b"\xc4\xe3=\xba\xc3; b=\"q\""];
        let look = |name| find(lines.into_iter(), name);
        assert_eq!(look("ab"), Found::Once(b"2"));
        assert_eq!(look("b"), Found::Once(b"\"q\""));
        assert_eq!(look("c"), Found::Absent);
        let twice = [b"s=1".as_slice(), b"s=1"];
        assert_eq!(find(twice.into_iter(), "s"), Found::Repeated);
    }

    #[test]
    fn the_app_gets_its_own_cookies_byte_for_byte() {
        assert_eq!(for_app(&["a=1;b=2 ;  c"], None), ForApp::Unchanged);
        let ours = "__Host-wxgate_shop=v";
        assert_eq!(
            for_app(&[&format!("a=1; {ours}")], Some("__Host-wxgate_shop")),
            ForApp::Unchanged
        );
        assert_eq!(
            for_app(&[&format!("a=1; {ours}; b=\"x; y\"")], None),
            replaced("a=1; b=\"x; y\"")
        );
        assert_eq!(for_app(&[ours], None), ForApp::Removed);
        assert_eq!(
            for_app(
                &[
                    "__Host-wxgate_other=v; a=1; __Host-wxgate-pay-pay=p",
                    "__Secure-wxgate-login-ab=w; b=2; __Host-wxgate-pending=ab"
                ],
                Some("__Host-wxgate_shop")
            ),
            replaced("a=1; b=2")
        );
        assert_eq!(for_app(&["a=1", "b=2"], None), replaced("a=1; b=2"));
        assert_eq!(for_app(&[";"], None), ForApp::Unchanged);
        assert_eq!(for_app(&[], None), ForApp::Unchanged);
    }

    #[test]
    fn set_cookie_binds_to_host_and_https() {
        let text = settings().write("a.example", "n", "v", "/", MaxAge::Seconds(60));
        for part in [
            "n=v",
            "HttpOnly",
            "SameSite=Lax",
            "Secure",
            "Path=/",
            "Max-Age=60",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let gone = settings().write("a.example", "n", "", "/", MaxAge::Delete);
        assert!(
            gone.contains("Max-Age=0") && gone.contains("Path=/"),
            "{gone}"
        );
    }

    #[test]
    fn a_host_outside_the_shared_domain_keeps_its_cookies_to_itself() {
        let domain = Some("example.com".to_owned());
        let settings = CookieSettings::new("wxgate", domain, SameSiteSetting::Lax, true);
        let host = |name| Host::new(name).unwrap();
        let (inside, outside) = (host("a.example.com"), host("badexample.com"));
        assert_eq!(settings.place(&inside), "example.com");
        assert_eq!(settings.place(&outside), "badexample.com");
        assert!(settings.shared_by(&inside, &host("example.com")));
        assert!(!settings.shared_by(&inside, &outside));
        assert!(settings.shared_by(&outside, &outside));
        let written = |host| settings.write(settings.place(host), "n", "v", "/", MaxAge::Delete);
        assert!(written(&inside).contains("Domain=example.com"));
        assert!(!written(&outside).contains("Domain"));
    }
}
