//! `upstream` as it is written: one address, a list, or a table.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::Address;
use super::settings::{Balance, Ejection, Health, Timeouts, Wait, Weight};

/// `upstream` of a route: one address, a list, a table, or `"none"`, which is one
/// without peers that says so.
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
    /// Whether it says that the gateway sends nothing there: a proxy in front does.
    pub is_none: bool,
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
    Wait::new(Timeouts::default().connect)
}

fn read_timeout() -> Wait {
    Wait::new(Timeouts::default().read)
}

fn write_timeout() -> Wait {
    Wait::new(Timeouts::default().write)
}

fn idle_timeout() -> Wait {
    Wait::new(Timeouts::default().idle)
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
                connect: whole.connect_timeout.get(),
                read: whole.read_timeout.get(),
                write: whole.write_timeout.get(),
                idle: whole.idle_timeout.get(),
            },
            reuse: whole.reuse,
            health: whole.health,
            ejection: whole
                .ejection
                .unwrap_or_else(|| Spanned::new(0..0, Ejection::default())),
            tls: whole.tls,
            is_none: false,
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
            is_none: false,
        }
    }
}

/// The word for an app that the gateway does not send anything to.
pub(super) const NONE: &str = "none";

impl Table {
    fn none() -> Self {
        Self {
            is_none: true,
            ..Self::from(Vec::new())
        }
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"http://127.0.0.1:3000\", \"none\", a list of such, or a table with `peers`")
            }

            fn visit_str<E: serde::de::Error>(self, found: &str) -> Result<Table, E> {
                if found == NONE {
                    return Ok(Table::none());
                }
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
