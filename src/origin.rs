//! Where a visitor is: host names, public origins, and the way back after a
//! login.
//!
//! Holds always: a [`Host`] is lower-case, without port and trailing dot; a
//! [`PublicOrigin`] comes from `gateway.toml`, never from a request, but for a port
//! that another gateway holds against a list of its own; a
//! [`ReturnTo`] put behind an origin stays on that origin for every browser,
//! for the parser that made it is the one browsers use (WHATWG URL).

use std::fmt;

use serde::Deserialize;
use thiserror::Error;
use url::Url;

/// A host name or address literal: lower-case, no port, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// The host of an authority such as a `Host` header (RFC 9110, section
    /// 7.2): the port is dropped. `None` when it is not one host.
    pub fn from_authority(authority: &str) -> Option<Self> {
        Self::and_port(authority).map(|(host, _)| host)
    }

    /// The same with the port, if one stands there.
    pub fn and_port(authority: &str) -> Option<(Self, Option<u16>)> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if is_port(port) => (host, port.parse().ok()),
            _ => (authority, None),
        };
        Some((Self::new(host)?, port))
    }

    /// `name` as a host; `None` when it is none.
    pub fn new(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let address = name.starts_with('[') && name.ends_with(']');
        let allowed = |byte: u8| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => !address || byte != b'_',
            b':' | b'[' | b']' => address,
            _ => false,
        };
        let labels_ok = address || name.split('.').all(|label| !label.is_empty());
        (!name.is_empty() && name.len() <= 253 && labels_ok && name.bytes().all(allowed))
            .then_some(Self(name))
    }

    /// The host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an IP address.
    pub fn is_address(&self) -> bool {
        self.0.starts_with('[') || self.0.parse::<std::net::Ipv4Addr>().is_ok()
    }

    /// Whether this host is `domain` or lies below it, by whole labels.
    pub fn is_within(&self, domain: &str) -> bool {
        self.0
            .strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// Digits that a port can have, or none at all (RFC 3986, section 3.2.3).
fn is_port(port: &str) -> bool {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    digits && port.len() <= 5 && (port.is_empty() || port.parse::<u16>().is_ok())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The scheme visitors' browsers see.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PublicScheme {
    /// Cookies are `Secure` and carry their prefixes.
    #[default]
    Https,
    /// For development alone: cookies can be read on the way.
    Http,
}

impl PublicScheme {
    /// `https` or `http`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// Scheme, host and port that visitors' browsers see: `https://shop.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicOrigin {
    text: String,
    scheme: PublicScheme,
    host: Host,
    port: Option<u16>,
}

/// Why a text is no origin. The text itself is in the message: it is public.
#[derive(Debug, Error)]
#[error(
    "found \"{found}\"; expected a scheme and a host alone, such as \"https://shop.example.com\": {reason}"
)]
pub struct OriginError {
    found: String,
    reason: &'static str,
}

impl OriginError {
    /// The reason alone.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl PublicOrigin {
    /// The origin of a host on the scheme's own port.
    pub fn of(scheme: PublicScheme, host: &Host) -> Self {
        Self {
            text: format!("{}://{host}", scheme.as_str()),
            scheme,
            host: host.clone(),
            port: None,
        }
    }

    /// The same at `port`, where that is not the scheme's own.
    pub fn at(scheme: PublicScheme, host: &Host, port: Option<u16>) -> Self {
        let usual = match scheme {
            PublicScheme::Https => 443,
            PublicScheme::Http => 80,
        };
        match port.filter(|port| *port != usual) {
            None => Self::of(scheme, host),
            Some(port) => Self {
                text: format!("{}://{host}:{port}", scheme.as_str()),
                port: Some(port),
                ..Self::of(scheme, host)
            },
        }
    }

    /// The origin as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> PublicScheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, if it is not the scheme's own.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The address of `target` here, exactly as it was asked for. `None` when a
    /// browser could read it as another place.
    pub fn address(&self, target: &str) -> Option<String> {
        let plain = target.starts_with('/')
            && !target
                .bytes()
                .any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#');
        let address = plain.then(|| format!("{}{target}", self.text))?;
        let (url, home) = (Url::parse(&address).ok()?, Url::parse(&self.text).ok()?);
        let stays = url.origin() == home.origin();
        (stays && url.username().is_empty() && url.password().is_none()).then_some(address)
    }

    /// Whether the host is an IP address, which WeChat takes from test accounts only.
    pub fn is_address(&self) -> bool {
        self.host.is_address()
    }
}

impl TryFrom<String> for PublicOrigin {
    type Error = OriginError;

    fn try_from(found: String) -> Result<Self, OriginError> {
        let refuse = |reason| OriginError {
            found: found.clone(),
            reason,
        };
        let url = Url::parse(&found).map_err(|_| refuse("this is no URL"))?;
        let scheme = match url.scheme() {
            "https" => PublicScheme::Https,
            "http" => PublicScheme::Http,
            _ => {
                return Err(refuse(
                    "the scheme must be https (or http for a sandbox account)",
                ));
            }
        };
        let rest = found.split_once("://").map_or("", |(_, rest)| rest);
        if rest.contains('/') {
            return Err(refuse(
                "it must end behind the host, without a path or a slash",
            ));
        }
        if rest.contains(['?', '#', '@', '\\']) {
            return Err(refuse("it must hold no query, fragment or user name"));
        }
        let host = url
            .host_str()
            .and_then(Host::new)
            .ok_or_else(|| refuse("this is no host"))?;
        let port = url.port();
        let text = match port {
            Some(port) => format!("{}://{host}:{port}", scheme.as_str()),
            None => format!("{}://{host}", scheme.as_str()),
        };
        Ok(Self {
            text,
            scheme,
            host,
            port,
        })
    }
}

/// A path and query to send a visitor back to, exactly as they were asked for.
/// Made by the parser alone, also when it comes out of a signed cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

/// The longest way back that is kept: it travels in a cookie of 4096 bytes,
/// signed and in base64.
pub const MAX_RETURN_TO: usize = 2600;

impl ReturnTo {
    /// The root of the site.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// `target` as a way back on `origin`: what the visitor asked this very
    /// host for, so only its form is in question. `None` when a browser could
    /// read it as another place.
    pub fn of_request(origin: &PublicOrigin, target: &str) -> Option<Self> {
        let short = target.len() <= MAX_RETURN_TO;
        (short && origin.address(target).is_some()).then(|| Self(target.to_owned()))
    }

    /// `target` as somebody wrote it into `login?to=`: besides, nothing that
    /// any software on the way might take for the start of a host.
    pub fn of_parameter(origin: &PublicOrigin, target: &str) -> Option<Self> {
        let to = Self::of_request(origin, target)?;
        (!to.reads_as_host()).then_some(to)
    }

    /// Whether a careless reader could take the beginning for a host.
    pub fn reads_as_host(&self) -> bool {
        self.0.starts_with("//") || self.0.contains('\\')
    }

    /// The path and query.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.0.split('?').next().unwrap_or("/")
    }

    /// The whole address on `origin`.
    pub fn on(&self, origin: &PublicOrigin) -> String {
        format!("{}{}", origin.as_str(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<PublicOrigin, OriginError> {
        PublicOrigin::try_from(text.to_owned())
    }

    #[test]
    fn a_host_has_one_spelling() {
        let host = |authority| Host::from_authority(authority).map(|host| host.as_str().to_owned());
        assert_eq!(
            host("Shop.Example.COM.:8080").as_deref(),
            Some("shop.example.com")
        );
        assert_eq!(host("[::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(host("127.0.0.1").as_deref(), Some("127.0.0.1"));
        for wrong in [
            "", ":80", "a b", "a/b", "a@b", "a..b", "a:b", "a,b", "例え", "a:65536", "a:000080",
            "a:+80",
        ] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
        assert!(Host::new("a.example.com").unwrap().is_within("example.com"));
        assert!(
            !Host::new("evilexample.com")
                .unwrap()
                .is_within("example.com")
        );
    }

    #[test]
    fn an_origin_is_scheme_and_host_alone() {
        assert_eq!(
            origin("https://Shop.example.com").unwrap().as_str(),
            "https://shop.example.com"
        );
        assert_eq!(origin("http://127.0.0.1:8080").unwrap().port(), Some(8080));
        // What is put together is what would be read.
        for (text, authority) in [
            ("http://localhost:3000", "LOCALHOST:3000"),
            ("http://localhost", "localhost:80"),
            ("http://localhost:443", "localhost:443"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("https://a.example", "a.example:443"),
            ("https://a.example", "a.example"),
            ("https://a.example", "a.example:"),
            ("https://a.example:80", "a.example:80"),
        ] {
            let (host, port) = Host::and_port(authority).unwrap();
            let read = origin(text).unwrap();
            assert_eq!(PublicOrigin::at(read.scheme(), &host, port), read);
        }
        for wrong in [
            "shop.example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "ftp://a",
            "https://a?b",
            "https://a#b",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_parameter_never_leaves_the_origin() {
        let home = origin("https://shop.example.com").unwrap();
        for good in [
            "/",
            "/a?b=c&d",
            "/a//b",
            "/%E4%BD%A0?x=%2F%2Fevil.example",
            "/?u=https://evil.example/",
            "/你",
        ] {
            assert_eq!(ReturnTo::of_parameter(&home, good).unwrap().as_str(), good);
        }
        for wrong in [
            "",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "evil.example",
            "\\\\evil.example",
            "/a\\..\\b",
            "/ ",
            "/a b",
            "/\u{7f}",
            "///evil.example",
            "@evil.example",
            ".evil.example",
            ":80",
            "/a#b",
        ] {
            assert!(ReturnTo::of_parameter(&home, wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn the_requests_own_target_is_kept_even_when_it_is_odd() {
        let home = origin("https://shop.example.com").unwrap();
        let odd = ReturnTo::of_request(&home, "//evil.example/x").unwrap();
        assert_eq!(odd.on(&home), "https://shop.example.com//evil.example/x");
    }
}
