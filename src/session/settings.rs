//! `[session]` in `gateway.toml`.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::cookies::SameSiteSetting;
use crate::origin::Host;
use crate::secret::SecretSource;

/// `[session]` in `gateway.toml`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// The signing keys: the first signs, all verify.
    pub keys: Vec<Spanned<SecretSource>>,
    /// How long a visitor may be away.
    pub idle_timeout: Spanned<Lifetime>,
    /// How long a session lasts at most.
    pub max_lifetime: Spanned<Lifetime>,
    /// The word that all cookies' names begin with.
    pub cookie_name: CookieName,
    /// The domain that sessions are shared in.
    pub cookie_domain: Option<Spanned<CookieDomain>>,
    /// `SameSite` of the cookies.
    pub same_site: Spanned<SameSiteSetting>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            idle_timeout: Spanned::new(0..0, Lifetime(Duration::from_secs(12 * 3600))),
            max_lifetime: Spanned::new(0..0, Lifetime(Duration::from_secs(7 * 24 * 3600))),
            cookie_name: CookieName("wxgate".to_owned()),
            cookie_domain: None,
            same_site: Spanned::new(0..0, SameSiteSetting::Lax),
        }
    }
}

/// A duration of at least a minute, written `"12h"`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct Lifetime(Duration);

impl Lifetime {
    /// In seconds.
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }
}

impl TryFrom<String> for Lifetime {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let expected = || {
            format!(
                "found \"{found}\"; expected a duration from a minute to a year, such as \"30m\", \"12h\" or \"7d\""
            )
        };
        let duration = humantime::parse_duration(&found).map_err(|_| expected())?;
        let allowed = Duration::from_secs(60)..=Duration::from_secs(366 * 24 * 3600);
        if allowed.contains(&duration) {
            Ok(Self(duration))
        } else {
            Err(expected())
        }
    }
}

/// The word that all cookies' names begin with.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct CookieName(String);

impl CookieName {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CookieName {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let good = (1..=32).contains(&found.len())
            && found.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if good {
            Ok(Self(found))
        } else {
            Err(format!(
                "found \"{found}\"; expected 1 to 32 letters and digits (prefix and account are added)"
            ))
        }
    }
}

/// The domain that sessions are shared in.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct CookieDomain(Host);

impl CookieDomain {
    /// The domain.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The domain as the host that it is.
    pub fn host(&self) -> &Host {
        &self.0
    }
}

impl TryFrom<String> for CookieDomain {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        Host::new(found.strip_prefix('.').unwrap_or(&found))
            .filter(|host| {
                host.as_str().contains('.') && host.as_str().parse::<std::net::IpAddr>().is_err()
            })
            .map(Self)
            .ok_or_else(|| {
                format!("found \"{found}\"; expected a domain of your own, such as \"example.com\"")
            })
    }
}
