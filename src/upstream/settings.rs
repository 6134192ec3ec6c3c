//! What an app's table may be set to.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;

/// A weight from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Weight(NonZeroU8);

impl Weight {
    /// As a number.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(NonZeroU8::MIN)
    }
}

impl TryFrom<i64> for Weight {
    type Error = String;

    fn try_from(found: i64) -> Result<Self, String> {
        u8::try_from(found)
            .ok()
            .filter(|weight| *weight <= 100)
            .and_then(NonZeroU8::new)
            .map(Self)
            .ok_or_else(|| format!("found {found}; expected a weight from 1 to 100"))
    }
}

/// Which peer a request goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other, as their weights say.
    #[default]
    RoundRobin,
    /// The one with the fewest requests on their way, for its weight.
    LeastConnections,
    /// The same for all requests of a session; without one, of an address.
    Session,
}

impl Balance {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastConnections => "least_connections",
            Self::Session => "session",
        }
    }
}

/// How long each step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection is made; with TLS as long again.
    pub connect: Duration,
    /// Between two reads: bounds idle event streams and WebSockets too, so that it
    /// is longer than the half minute that such protocols leave between pings.
    pub read: Duration,
    /// Between two writes.
    pub write: Duration,
    /// How long a connection is kept that nobody uses. Below the minute after which
    /// many apps close one: a request must not meet a closing connection.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(300),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(50),
        }
    }
}

/// A duration from ten milliseconds to a day, written `"5s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Wait(Duration);

impl Wait {
    const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So long.
    pub(super) const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Wait {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let allowed = Duration::from_millis(10)..=Duration::from_secs(24 * 3600);
        humantime::parse_duration(&found)
            .ok()
            .filter(|duration| allowed.contains(duration))
            .map(Self)
            .ok_or_else(|| {
                format!("found \"{found}\"; expected a duration from 10ms to a day, such as \"5s\"")
            })
    }
}

/// `health`: how a peer is asked whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// What is asked for; without it a connection is enough.
    pub path: Option<CheckPath>,
    /// The host that is asked for; the peer's own by default.
    pub host: Option<AppHost>,
    /// The status that is expected; any of 200 to 399 by default.
    pub status: Option<CheckStatus>,
    /// From one check to the next.
    pub interval: Wait,
    /// How long a check may take.
    pub timeout: Wait,
    /// After how many good checks in a row a peer is back.
    pub healthy: NonZeroU32,
    /// After how many bad checks in a row a peer is out.
    pub unhealthy: NonZeroU32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: None,
            host: None,
            status: None,
            interval: Wait::seconds(10),
            timeout: Wait::seconds(2),
            healthy: NonZeroU32::MIN.saturating_add(1),
            unhealthy: NonZeroU32::MIN.saturating_add(2),
        }
    }
}

/// The path of a check, with its query if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckPath(String);

impl CheckPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CheckPath {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let plain = found.starts_with('/')
            && found
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match plain {
            true => Ok(Self(found)),
            false => Err(format!(
                "found \"{found}\"; expected a path of visible ASCII characters, such as \"/healthz\""
            )),
        }
    }
}

/// A host, with its port if it has one, as the app is to see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct AppHost(HeaderValue);

impl AppHost {
    /// As a header holds it.
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl TryFrom<String> for AppHost {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        crate::origin::Host::from_authority(&found)
            .and_then(|_| HeaderValue::from_str(&found).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("found \"{found}\"; expected a host, such as \"app.internal\" or \"app.internal:8080\"")
            })
    }
}

/// The status that a check expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "i64")]
pub struct CheckStatus(StatusCode);

impl CheckStatus {
    /// The status.
    pub fn get(self) -> StatusCode {
        self.0
    }
}

impl TryFrom<i64> for CheckStatus {
    type Error = String;

    fn try_from(found: i64) -> Result<Self, String> {
        u16::try_from(found)
            .ok()
            .filter(|status| (200..600).contains(status))
            .and_then(|status| StatusCode::from_u16(status).ok())
            .map(Self)
            .ok_or_else(|| format!("found {found}; expected a status from 200 to 599"))
    }
}

/// `ejection`: when a peer that fails is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ejection {
    /// After how many failures in a row; 0 is never.
    pub failures: u32,
    /// How long for the first time; each time after that twice as long.
    pub rest: Wait,
    /// How long at most.
    pub longest: Wait,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 3,
            rest: Wait::seconds(5),
            longest: Wait::seconds(120),
        }
    }
}
