//! A text that must not be seen: an app secret, a key, a token.
//!
//! Holds always: nothing here implements `Display`, `Serialize` or `PartialEq`,
//! `Debug` prints a placeholder, and the bytes are wiped when dropped. The only
//! way to the text is [`Secret::expose`], so that a search for that word finds
//! every place where a secret leaves its wrapper.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// A secret text, read from the environment or a file.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `text`; the caller's own copy is given up.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Never to be logged, shown or put into an error.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Whether it stands for itself in an address (RFC 3986, section 2.3).
    pub fn is_unreserved(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        self.0.bytes().all(plain)
    }

    /// Whether `given` is the same text. How long that takes tells neither how much
    /// of it is right nor how long the secret is: hashes are compared, to the end.
    pub fn is(&self, given: &str) -> bool {
        let hashes = [self.0.as_bytes(), given.as_bytes()].map(Sha256::digest);
        let [own, theirs] = &hashes;
        let differing = own
            .iter()
            .zip(theirs)
            .fold(0_u8, |seen, (a, b)| seen | (a ^ b));
        std::hint::black_box(differing) == 0
    }

    /// The same of another secret.
    pub fn same(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "/path" }`.
///
/// A plain text is refused without being repeated: whoever wrote the secret
/// into `gateway.toml` must not find it in a log as well.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// The content of this file, without the line break at its end.
    File(String),
}

/// Why a secret could not be read. Names the place, never the content.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The environment has no such variable.
    #[error(
        "the environment variable {0} is not set; export it before starting, or use {{ file = \"…\" }}"
    )]
    Unset(String),
    /// The variable or file holds nothing.
    #[error("{0} is empty; it must hold the secret")]
    Empty(String),
    /// The variable or file holds more than one line of printable text.
    #[error(
        "{0} holds a space, a line break or another character that no secret has; it must hold the secret alone"
    )]
    NotPrintable(String),
    /// The file cannot be read.
    #[error(
        "the file {path} cannot be read ({reason}); it must exist and be readable by this user"
    )]
    Unreadable {
        /// The path as written in `gateway.toml`.
        path: String,
        /// What the system said.
        reason: std::io::ErrorKind,
    },
}

impl SecretSource {
    /// Reads the secret; a relative path begins at `base`. One printable word;
    /// a line break at its end is cut, for editors and `echo` leave one.
    ///
    /// # Errors
    /// When the place is missing, empty, or holds more than one word.
    pub fn read(&self, base: &Path) -> Result<Secret, SecretError> {
        let (place, text) = match self {
            Self::Env(name) => (
                format!("the environment variable {name}"),
                std::env::var(name).map_err(|_| SecretError::Unset(name.clone()))?,
            ),
            Self::File(path) => (
                format!("the file {path}"),
                std::fs::read_to_string(base.join(path)).map_err(|error| {
                    SecretError::Unreadable {
                        path: path.clone(),
                        reason: error.kind(),
                    }
                })?,
            ),
        };
        let text = Zeroizing::new(text);
        let word = text.trim_end_matches(['\r', '\n']);
        if word.is_empty() {
            return Err(SecretError::Empty(place));
        }
        if !word.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::NotPrintable(place));
        }
        Ok(Secret::new(word.to_owned()))
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

const SOURCE_FORM: &str = "{ env = \"NAME\" } or { file = \"/path\" }";

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SOURCE_FORM)
    }

    fn visit_str<E: serde::de::Error>(self, _secret: &str) -> Result<SecretSource, E> {
        Err(E::custom(format_args!(
            "found a text; a secret never stands in this file: write {SOURCE_FORM}"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let mut source = None;
        while let Some(key) = map.next_key::<String>()? {
            if source.is_some() {
                return Err(A::Error::custom(format_args!(
                    "found more than one key; expected {SOURCE_FORM}"
                )));
            }
            source = Some(match key.as_str() {
                "env" => SecretSource::Env(map.next_value()?),
                "file" => SecretSource::File(map.next_value()?),
                other => {
                    return Err(A::Error::custom(format_args!(
                        "unknown key `{other}`; expected {SOURCE_FORM}"
                    )));
                }
            });
        }
        source
            .ok_or_else(|| A::Error::custom(format_args!("found nothing; expected {SOURCE_FORM}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_is_the_same_as_itself_alone() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(secret.is("hunter2") && secret.same(&secret.clone()));
        for wrong in ["", "hunter", "hunter22", "Hunter2", "hunter3", "hunter2\0"] {
            assert!(!secret.is(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_text_in_the_file_is_refused_without_being_repeated() {
        #[derive(Debug, Deserialize)]
        struct Table {
            #[expect(dead_code, reason = "only its refusal is of interest")]
            app_secret: SecretSource,
        }
        let error = toml::from_str::<Table>("app_secret = \"hunter2\"").unwrap_err();
        assert!(error.message().contains("never stands in this file"));
        assert!(!error.message().contains("hunter2"));
    }

    #[test]
    fn a_file_gives_its_one_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let source = SecretSource::File(path.to_str().unwrap().to_owned());
        assert!(matches!(
            source.read(Path::new("")),
            Err(SecretError::Unreadable { .. })
        ));
        std::fs::write(&path, "abc\r\n").unwrap();
        assert_eq!(source.read(Path::new("")).unwrap().expose(), "abc");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(
            source.read(Path::new("")),
            Err(SecretError::Empty(_))
        ));
        std::fs::write(&path, "two words").unwrap();
        assert!(matches!(
            source.read(Path::new("")),
            Err(SecretError::NotPrintable(_))
        ));
    }
}
