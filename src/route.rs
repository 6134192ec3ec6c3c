//! Host and path → route, decided once and carried.
//!
//! Holds always: the decision is made on the path that is forwarded, by whole
//! segments, longest first, never by query or fragment. Where servers would
//! read a path in different ways (encoded slashes, dot segments, letter case,
//! `;parameters`, doubled slashes, double encoding) and the readings would
//! reach different routes, there is no decision: [`Decided::Ambiguous`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::origin::{Host, PublicOrigin, PublicScheme};
use crate::upstream::Upstream;
use crate::wechat::account::VerifyFile;
use crate::wechat::{Account, Scope};

/// Whether a route lets visitors in without a session.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Only with a session.
    #[default]
    Required,
    /// With a session if there is one.
    Optional,
    /// Without looking for a session.
    None,
}

/// What happens to a navigation from a browser that is not WeChat's.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OutsideWeChat {
    /// A page with a QR code of the address.
    #[default]
    Page,
    /// To WeChat all the same: for development with a simulator, which takes
    /// any browser. WeChat itself shows such a browser an error page.
    Redirect,
}

/// What the app sees of the session cookie.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SessionCookie {
    /// The signed cookie, as it came.
    #[default]
    Forward,
    /// Nothing.
    Strip,
}

/// What happens to a snapshot page's visitor, who is nobody.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Snapshot {
    /// A page that asks for 使用完整服务 (the full service).
    #[default]
    Page,
}

/// The name of a table `[accounts.NAME]`. It stands in a cookie's name.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct AccountName(String);

impl AccountName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountName {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let allowed =
            |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_');
        if (1..=32).contains(&found.len()) && found.bytes().all(allowed) {
            Ok(Self(found))
        } else {
            Err(format!(
                "found \"{found}\"; expected 1 to 32 letters, digits, \"-\" or \"_\""
            ))
        }
    }
}

/// `host` of a route: one host, or all below a domain.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(try_from = "String")]
pub enum HostPattern {
    /// This host.
    Exact(Host),
    /// Every host below this domain, by whole labels; not the domain itself.
    Below(Host),
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let expected = |why: &str| {
            format!(
                "found \"{found}\"; expected a host such as \"shop.example.com\" or \"*.example.com\": {why}"
            )
        };
        if found.contains("://") || found.contains('/') {
            return Err(expected("without a scheme or path"));
        }
        let (below, name) = match found.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, found.as_str()),
        };
        let parsed = url::Host::parse(name)
            .map_err(|_| expected("without a port"))?
            .to_string();
        let host = Host::new(&parsed).ok_or_else(|| expected("this is none"))?;
        Ok(if below {
            Self::Below(host)
        } else {
            Self::Exact(host)
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// `path` of a route: `/` or whole segments without a slash at the end. Only
/// characters that every server reads alike.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(try_from = "String")]
#[derive(Default)]
pub struct RoutePath(String);

impl RoutePath {
    /// The path; `/` for the root.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }
}

impl TryFrom<String> for RoutePath {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("found \"{found}\"; {why}"));
        let Some(rest) = found.strip_prefix('/') else {
            return refuse("a path begins with \"/\"");
        };
        let segments = rest.strip_suffix('/').unwrap_or(rest);
        if rest == "/"
            || segments
                .split('/')
                .any(|segment| segment == "." || segment == "..")
            || (!segments.is_empty() && segments.split('/').any(str::is_empty))
        {
            return refuse("expected whole segments, without \".\", \"..\" or an empty one");
        }
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'/' | b'-'
                        | b'.'
                        | b'_'
                        | b'~'
                        | b'!'
                        | b'$'
                        | b'&'
                        | b'\''
                        | b'('
                        | b')'
                        | b'+'
                        | b','
                        | b'='
                        | b':'
                        | b'@'
                )
        };
        if !segments.bytes().all(plain) {
            return refuse(
                "expected letters, digits and -._~!$&'()+,=:@ alone: no \"%\", \";\", \"?\", \"#\" or \"*\" (a prefix needs no star)",
            );
        }
        if found == "/.wxgate" || found.starts_with("/.wxgate/") {
            return refuse("paths below \"/.wxgate/\" are the gateway's own");
        }
        Ok(Self(if segments.is_empty() {
            String::new()
        } else {
            format!("/{segments}")
        }))
    }
}

/// An account as routes use it.
#[derive(Debug)]
pub struct LoginAccount {
    /// The name of its table in `gateway.toml`.
    pub name: AccountName,
    /// The account itself.
    pub wechat: Account,
    /// The name of its session cookie.
    pub session_cookie: String,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// The hosts it serves.
    pub host: HostPattern,
    /// The path it begins at.
    pub path: RoutePath,
    /// The app.
    pub upstream: Upstream,
    /// Whether a session is needed.
    pub auth: Auth,
    /// Whose visitors; a route without login has none.
    pub account: Option<Arc<LoginAccount>>,
    /// What visitors are asked for.
    pub scope: Scope,
    /// What browsers outside WeChat get.
    pub outside_wechat: OutsideWeChat,
    /// What the app sees of the session cookie.
    pub session_cookie: SessionCookie,
    /// What a snapshot page's visitor gets.
    pub snapshot: Snapshot,
    /// The methods it takes; empty for all.
    pub methods: Vec<Method>,
    /// Headers that every request to the app carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The `Host` the app receives, if not the visitor's.
    pub upstream_host: Option<HeaderValue>,
}

impl Route {
    /// Whether it takes `method`, which is compared as it stands (RFC 9110,
    /// section 9.1).
    pub fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// All routes.
#[derive(Debug, Default)]
pub struct Routes {
    exact: HashMap<Host, Site>,
    below: HashMap<Host, Site>,
    verify_files: HashMap<String, VerifyFile>,
    /// The origins of callback hosts, which in a sandbox may have a port.
    origins: HashMap<Host, PublicOrigin>,
    scheme: PublicScheme,
}

/// The routes of one host pattern.
#[derive(Debug, Default)]
struct Site {
    /// By path, `""` being the root.
    routes: HashMap<String, Arc<Route>>,
}

/// The answer to "which route?".
#[derive(Debug)]
pub enum Decided<'a> {
    /// This one.
    Route(&'a Arc<Route>),
    /// The path could be read as that of another route.
    Ambiguous,
    /// None for this host, or none for this path.
    None,
}

impl Routes {
    /// The table of `routes`; with two alike, the places of both.
    ///
    /// # Errors
    /// Each pair `(first, second)` of routes with one host and one path.
    pub fn new(
        routes: &[Arc<Route>],
        verify_files: Vec<VerifyFile>,
        scheme: PublicScheme,
    ) -> Result<Self, Vec<(usize, usize)>> {
        let mut table = Self {
            scheme,
            ..Self::default()
        };
        let mut seen: HashMap<(&HostPattern, &RoutePath), usize> = HashMap::new();
        let mut twins = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            if let Some(first) = seen.get(&(&route.host, &route.path)) {
                twins.push((*first, at));
                continue;
            }
            seen.insert((&route.host, &route.path), at);
            if let Some(account) = &route.account {
                let origin = account.wechat.callback_origin();
                table.origins.insert(origin.host().clone(), origin.clone());
            }
            let sites = match &route.host {
                HostPattern::Exact(host) => table.exact.entry(host.clone()),
                HostPattern::Below(domain) => table.below.entry(domain.clone()),
            };
            sites
                .or_default()
                .routes
                .insert(route.path.0.clone(), Arc::clone(route));
        }
        table.verify_files = verify_files
            .into_iter()
            .map(|file| (format!("/{}", file.name()), file))
            .collect();
        if twins.is_empty() {
            Ok(table)
        } else {
            Err(twins)
        }
    }

    /// The route for `path`, as it stands in the request line without query.
    pub fn decide(&self, host: &Host, path: &str) -> Decided<'_> {
        let Some(site) = self.site(host) else {
            return Decided::None;
        };
        let Some(route) = site.longest_prefix(path) else {
            return Decided::None;
        };
        if !site.is_one_for_all() && !is_plain(path) && site.differs(path, route) {
            return Decided::Ambiguous;
        }
        Decided::Route(route)
    }

    /// What visitors' browsers see of `host`.
    pub fn origin(&self, host: &Host) -> PublicOrigin {
        self.origins
            .get(host)
            .cloned()
            .unwrap_or_else(|| PublicOrigin::of(self.scheme, host))
    }

    /// The file that WeChat asks for at `path`, on any host.
    pub fn verify_file(&self, path: &str) -> Option<&VerifyFile> {
        self.verify_files.get(path)
    }

    /// Every account that a route of `host` uses, the root's first.
    pub fn accounts(&self, host: &Host) -> Vec<&Arc<LoginAccount>> {
        let Some(site) = self.site(host) else {
            return Vec::new();
        };
        let mut routes: Vec<&Arc<Route>> = site.routes.values().collect();
        routes.sort_by(|a, b| a.path.cmp(&b.path));
        let mut accounts: Vec<&Arc<LoginAccount>> = Vec::new();
        for account in routes
            .into_iter()
            .filter_map(|route| route.account.as_ref())
        {
            if !accounts.iter().any(|known| known.name == account.name) {
                accounts.push(account);
            }
        }
        accounts
    }

    fn site(&self, host: &Host) -> Option<&Site> {
        if let Some(site) = self.exact.get(host) {
            return Some(site);
        }
        if self.below.is_empty() {
            return None;
        }
        let mut rest = host.as_str();
        while let Some((_, domain)) = rest.split_once('.') {
            if let Some(site) = Host::new(domain).and_then(|domain| self.below.get(&domain)) {
                return Some(site);
            }
            rest = domain;
        }
        None
    }
}

impl Site {
    /// One route for every path: however a path is read, the answer is the same.
    fn is_one_for_all(&self) -> bool {
        self.routes.len() == 1 && self.routes.contains_key("")
    }

    fn longest_prefix(&self, path: &str) -> Option<&Arc<Route>> {
        let mut prefix = path.strip_suffix('/').unwrap_or(path);
        loop {
            if let Some(route) = self.routes.get(prefix) {
                return Some(route);
            }
            prefix = prefix.rsplit_once('/')?.0;
        }
    }

    /// Whether any way to read `path` reaches another route, letter case aside
    /// on both sides.
    fn differs(&self, path: &str, route: &Arc<Route>) -> bool {
        readings(path).iter().any(|reading| {
            let other = self.longest_prefix_folded(reading);
            !other.is_some_and(|other| Arc::ptr_eq(other, route))
        })
    }

    fn longest_prefix_folded(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes
            .iter()
            .filter(|(prefix, _)| {
                path.get(..prefix.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
                    && path
                        .get(prefix.len()..)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, route)| route)
    }
}

/// Whether every server reads `path` alike: lower-case letters and a few marks,
/// no empty or dot segment.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let plain =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~');
    bytes.iter().all(|byte| plain(*byte))
        && !bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

/// The ways in which servers are known to read a path: decoded not at all,
/// once or twice; cut at a NUL or not; a backslash as a slash; parameters behind `;` kept or
/// cut; empty and dot segments resolved or kept.
fn readings(path: &str) -> Vec<String> {
    let once = decode(path);
    let twice = decode(&once);
    let mut found = Vec::new();
    for text in [path.to_owned(), once, twice] {
        let cut = text.split('\0').next().unwrap_or_default().to_owned();
        for text in [text, cut] {
            let slashed = text.replace(['\\', '\u{2044}', '\u{2215}', '\u{ff0f}', '\u{ff3c}'], "/");
            let bare = without_parameters(&slashed);
            for reading in [resolve(&slashed), resolve(&bare), slashed, bare] {
                if !found.contains(&reading) {
                    found.push(reading);
                }
            }
        }
    }
    found
}

/// Decodes `%XX` once. Overlong UTF-8 forms of `.`, `/` and `\`, which some
/// servers still read as such, are taken at their word.
fn decode(text: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, used) = match (*first, tail) {
            (lead @ (0xc0 | 0xc1), [next, ..]) => ((lead & 1) << 6 | next & 0x3f, 2),
            (0xe0, [a @ 0x80..=0x81, b, ..]) => ((a & 1) << 6 | b & 0x3f, 3),
            (byte, _) => (byte, 1),
        };
        plain.push(byte);
        rest = rest.get(used..).unwrap_or_default();
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn without_parameters(path: &str) -> String {
    let bare: Vec<&str> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    bare.join("/")
}

fn resolve(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, path: &str, auth: Auth) -> Route {
        Route {
            host: HostPattern::try_from(host.to_owned()).unwrap(),
            path: RoutePath::try_from(path.to_owned()).unwrap(),
            upstream: Upstream::try_from("http://127.0.0.1:1".to_owned()).unwrap(),
            auth,
            account: None,
            scope: Scope::Base,
            outside_wechat: OutsideWeChat::Page,
            session_cookie: SessionCookie::Forward,
            snapshot: Snapshot::Page,
            methods: Vec::new(),
            headers: Vec::new(),
            upstream_host: None,
        }
    }

    fn table() -> Routes {
        let routes = vec![
            route("shop.example.com", "/", Auth::Required),
            route("shop.example.com", "/pay/notify", Auth::None),
            route("shop.example.com", "/pay", Auth::Optional),
            route("*.example.com", "/", Auth::Required),
            route("one.example.com", "/", Auth::None),
            route("path.example.com", "/app", Auth::None),
        ];
        let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
        Routes::new(&routes, Vec::new(), PublicScheme::Https).unwrap()
    }

    fn decide(host: &str, path: &str) -> String {
        match table().decide(&Host::new(host).unwrap(), path) {
            Decided::Route(route) => format!("{}{}", route.host, route.path.as_str()),
            Decided::Ambiguous => "ambiguous".to_owned(),
            Decided::None => "none".to_owned(),
        }
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        for (path, expected) in [
            ("/", "shop.example.com/"),
            ("/payment", "shop.example.com/"),
            ("/pay", "shop.example.com/pay"),
            ("/pay/", "shop.example.com/pay"),
            ("/pay/x", "shop.example.com/pay"),
            ("/pay/notify", "shop.example.com/pay/notify"),
            ("/pay/notify/", "shop.example.com/pay/notify"),
            ("/pay/notify/a/b", "shop.example.com/pay/notify"),
            ("/pay/notifyx", "shop.example.com/pay"),
            ("/x/pay/notify", "shop.example.com/"),
        ] {
            assert_eq!(decide("shop.example.com", path), expected, "{path}");
        }
    }

    #[test]
    fn hosts_are_whole() {
        assert_eq!(decide("other.example.com", "/"), "*.example.com/");
        assert_eq!(decide("a.b.example.com", "/"), "*.example.com/");
        assert_eq!(decide("one.example.com", "/"), "one.example.com/");
        assert_eq!(decide("example.com", "/"), "none");
        assert_eq!(decide("evilexample.com", "/"), "none");
        assert_eq!(decide("path.example.com", "/"), "none");
        assert_eq!(decide("path.example.com", "/apple"), "none");
    }

    #[test]
    fn a_path_that_could_be_another_routes_is_not_decided() {
        for path in [
            "/pay/notify/../../admin",
            "/pay/notify/%2e%2e/admin",
            "/pay/notify%2f..%2f..%2fadmin",
            "/pay/notify/..%2f..%2fadmin",
            "/pay/notify/..%5c..%5cadmin",
            "/pay/notify\\..\\..\\admin",
            "/pay/notify/..;/..;/admin",
            "/pay/notify/%252e%252e/x",
            "/x/../pay/notify",
            "//pay/notify",
            "/pay//notify",
            "/pay/./notify",
            "/pay/%6eotify",
            "/PAY/notify",
            "/pay/Notify",
            "/pay/notify;x=1/../y",
            "/pay;x/notify",
            "/pay/notify%00/x",
            "/pay/notify/%c0%ae%c0%ae/x",
            "/pay/notify%c0%af..%c0%afx",
            "/pay/notify/..%ef%bc%8fx",
            "/pay%2Fnotify",
            "/pay/notify%00",
            "/pay/notify%5cx",
            "/pay/notify;/x",
        ] {
            assert_eq!(decide("shop.example.com", path), "ambiguous", "{path}");
        }
    }

    #[test]
    fn odd_paths_that_lead_to_one_route_however_read_pass() {
        for path in [
            "/a%2Fb",
            "/%E4%BD%A0%E5%A5%BD",
            "/A/b;c=d",
            "/a//b",
            "/a/../b",
            "/你好",
            "/x%00y",
        ] {
            assert_eq!(
                decide("shop.example.com", path),
                "shop.example.com/",
                "{path}"
            );
        }
        assert_eq!(
            decide("shop.example.com", "/pay/notify/Wx%20Pay"),
            "shop.example.com/pay/notify"
        );
        assert_eq!(
            decide("one.example.com", "/a/..%2f..%2fb"),
            "one.example.com/"
        );
        assert_eq!(decide("path.example.com", "/app/%2e%2e/admin"), "ambiguous");
    }

    #[test]
    fn a_route_path_is_plain() {
        let path = |text: &str| RoutePath::try_from(text.to_owned());
        assert_eq!(path("/").unwrap().as_str(), "/");
        assert_eq!(path("/shop/").unwrap(), path("/shop").unwrap());
        for wrong in [
            "",
            "shop",
            "/a//b",
            "/a/../b",
            "/%61",
            "/a;b",
            "/a?b",
            "/a#b",
            "/a*",
            "/.wxgate",
            "/.wxgate/x",
            "//",
            "/./",
        ] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_routes_alike_are_a_mistake() {
        let twins = [
            route("a.example.com", "/x", Auth::None),
            route("A.example.com.", "/x/", Auth::Required),
        ]
        .map(Arc::new);
        assert_eq!(
            Routes::new(&twins, Vec::new(), PublicScheme::Https).unwrap_err(),
            [(0, 1)]
        );
    }
}
