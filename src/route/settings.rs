//! What a route may be set to: each value parsed once into a type that cannot
//! be wrong.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::origin::Host;

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

/// By which id a visitor must be known.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// The account's own id of them.
    #[default]
    OpenId,
    /// That of the open platform account which the accounts are bound to: the same
    /// with all of them.
    UnionId,
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
#[serde(rename_all = "snake_case")]
pub enum Snapshot {
    /// A page that asks for 使用完整服务 (the full service).
    #[default]
    Page,
    /// A short session of its own kind, with which nothing can be changed.
    ReadOnly,
}

/// How often something about a visitor is asked anew, written `"6h"`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct Period(Duration);

impl Period {
    /// In seconds.
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let allowed = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
        humantime::parse_duration(&found)
            .ok()
            .filter(|duration| allowed.contains(duration))
            .map(Self)
            .ok_or_else(|| format!("found \"{found}\"; expected a duration from a second to 30 days, such as \"6h\""))
    }
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
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct RoutePath(String);

impl RoutePath {
    /// The path as a prefix: empty for the root.
    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

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
