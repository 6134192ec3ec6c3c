//! What an app's table may be set to.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::Address;

/// `upstream` of a route: one address, a list, or a table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where the app listens.
    pub peers: Vec<Spanned<PeerTable>>,
    /// Which of them a request goes to.
    pub balance: Balance,
    /// How long and how often.
    pub timeouts: Timeouts,
    /// Whether connections are used again.
    pub reuse: bool,
    /// How peers are looked after; `None`: not at all.
    pub health: Option<Spanned<Health>>,
    /// When a peer that fails is left alone for a while.
    pub ejection: Spanned<Ejection>,
    /// How TLS is spoken with those of https.
    pub tls: Option<Spanned<TlsTable>>,
}

/// The table, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    peers: Vec<Spanned<PeerTable>>,
    #[serde(default)]
    balance: Balance,
    #[serde(default = "connect_timeout")]
    connect_timeout: Wait,
    #[serde(default = "read_timeout")]
    read_timeout: Wait,
    #[serde(default = "write_timeout")]
    write_timeout: Wait,
    #[serde(default = "idle_timeout")]
    idle_timeout: Wait,
    #[serde(default = "yes")]
    reuse: bool,
    health: Option<Spanned<Health>>,
    ejection: Option<Spanned<Ejection>>,
    tls: Option<Spanned<TlsTable>>,
}

fn connect_timeout() -> Wait {
    Wait(Timeouts::default().connect)
}

fn read_timeout() -> Wait {
    Wait(Timeouts::default().read)
}

fn write_timeout() -> Wait {
    Wait(Timeouts::default().write)
}

fn idle_timeout() -> Wait {
    Wait(Timeouts::default().idle)
}

fn yes() -> bool {
    true
}

impl From<Whole> for Table {
    fn from(whole: Whole) -> Self {
        Self {
            peers: whole.peers,
            balance: whole.balance,
            timeouts: Timeouts {
                connect: whole.connect_timeout.0,
                read: whole.read_timeout.0,
                write: whole.write_timeout.0,
                idle: whole.idle_timeout.0,
            },
            reuse: whole.reuse,
            health: whole.health,
            ejection: whole
                .ejection
                .unwrap_or_else(|| Spanned::new(0..0, Ejection::default())),
            tls: whole.tls,
        }
    }
}

impl From<Vec<Spanned<PeerTable>>> for Table {
    /// With the defaults of everything else.
    fn from(peers: Vec<Spanned<PeerTable>>) -> Self {
        Self {
            peers,
            balance: Balance::default(),
            timeouts: Timeouts::default(),
            reuse: true,
            health: None,
            ejection: Spanned::new(0..0, Ejection::default()),
            tls: None,
        }
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"http://127.0.0.1:3000\", a list of such, or a table with `peers`")
            }

            fn visit_str<E: serde::de::Error>(self, found: &str) -> Result<Table, E> {
                let address = Address::deserialize(StrDeserializer::new(found))?;
                Ok(vec![Spanned::new(0..0, address.into())].into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Table, A::Error> {
                let mut peers = Vec::new();
                while let Some(peer) = list.next_element()? {
                    peers.push(peer);
                }
                Ok(peers.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table, A::Error> {
                Whole::deserialize(MapAccessDeserializer::new(map)).map(Table::from)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

/// One of `peers`: an address, or `{ url = …, weight = … }`.
#[derive(Clone, Debug)]
pub struct PeerTable {
    /// Where it listens.
    pub url: Address,
    /// How many requests it gets for one of a peer with 1.
    pub weight: Weight,
}

impl From<Address> for PeerTable {
    fn from(url: Address) -> Self {
        let weight = Weight::default();
        Self { url, weight }
    }
}

impl<'de> Deserialize<'de> for PeerTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            url: Address,
            #[serde(default)]
            weight: Weight,
        }

        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = PeerTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address such as \"http://127.0.0.1:3000\", or { url = \"…\", weight = 2 }",
                )
            }

            fn visit_str<E: serde::de::Error>(self, found: &str) -> Result<PeerTable, E> {
                Address::deserialize(StrDeserializer::new(found)).map(PeerTable::from)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PeerTable, A::Error> {
                let Whole { url, weight } = Whole::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PeerTable { url, weight })
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

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
    pub host: Option<CheckHost>,
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

/// The host of a check.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckHost(HeaderValue);

impl CheckHost {
    /// The host as a header holds it.
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl TryFrom<String> for CheckHost {
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

/// `tls`: how TLS is spoken with the app. There is no way to leave its
/// certificate unchecked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsTable {
    /// Whose certificates are believed, in place of the system's.
    pub ca: Option<Spanned<PathBuf>>,
    /// The name that the certificate must hold for, in place of the address's.
    pub server_name: Option<Spanned<String>>,
    /// What the gateway shows.
    pub client_cert: Option<Spanned<PathBuf>>,
    /// Its key.
    pub client_key: Option<Spanned<PathBuf>>,
}
