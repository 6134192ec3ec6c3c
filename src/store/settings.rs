//! `[store]` in `gateway.toml`.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use toml::Spanned;

use super::RedisUrl;
use crate::secret::SecretSource;

/// `[store]`: what no cookie may hold.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    kind: Spanned<Kind>,
    prefix: Prefix,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            kind: Spanned::new(0..0, Kind::Memory),
            prefix: Prefix("wxgate".to_owned()),
        }
    }
}

/// Where it is kept.
#[derive(Debug)]
enum Kind {
    Memory,
    File(PathBuf),
    Redis(SecretSource),
}

/// `[store]`, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where it is kept.
    pub place: Place,
    /// What all names in a Redis begin with.
    pub prefix: String,
}

/// Where it is kept, resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In this process, but for revocations.
    Memory,
    /// In this file.
    File(PathBuf),
    /// In this Redis.
    Redis(RedisUrl),
}

impl Table {
    /// Reads the secret and completes the path; a relative one begins at `base`.
    pub fn resolve(
        self,
        base: &Path,
        mistake: &mut dyn FnMut(&Range<usize>, String),
    ) -> Option<Settings> {
        let span = self.kind.span();
        let place = match self.kind.into_inner() {
            Kind::Memory => Place::Memory,
            Kind::File(path) => Place::File(base.join(path)),
            Kind::Redis(source) => match source.read(base) {
                Ok(url) => match RedisUrl::parse(&url) {
                    Ok(url) => Place::Redis(url),
                    Err(message) => {
                        mistake(&span, message);
                        return None;
                    }
                },
                Err(error) => {
                    mistake(&span, error.to_string());
                    return None;
                }
            },
        };
        Some(Settings {
            place,
            prefix: self.prefix.0,
        })
    }
}

/// What all names in a Redis begin with.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Prefix(String);

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=32).contains(&found.len()) && found.bytes().all(allowed) {
            Ok(Self(found))
        } else {
            Err(format!(
                "found \"{found}\"; expected 1 to 32 letters, digits, \"-\" or \"_\""
            ))
        }
    }
}

const FORM: &str = "\"memory\", { file = \"/path/store.redb\" } or { redis = { env = \"NAME\" } }";

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)
    }

    fn visit_str<E: serde::de::Error>(self, found: &str) -> Result<Kind, E> {
        match found {
            "memory" => Ok(Kind::Memory),
            // Not repeated: it could be a URL with a password.
            _ => Err(E::custom(format_args!(
                "found another text; expected {FORM}"
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let kind = match map.next_key::<String>()?.as_deref() {
            Some("file") => Kind::File(map.next_value()?),
            Some("redis") => Kind::Redis(map.next_value()?),
            Some(other) => {
                return Err(A::Error::custom(format_args!(
                    "unknown key `{other}`; expected {FORM}"
                )));
            }
            None => {
                return Err(A::Error::custom(format_args!(
                    "found nothing; expected {FORM}"
                )));
            }
        };
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom(format_args!(
                "found more than one key; expected {FORM}"
            )));
        }
        Ok(kind)
    }
}
