//! WeChat's ids of a person.
//!
//! Holds always: only `[A-Za-z0-9_-]`, at most 64 bytes, so that an id can
//! stand in a header, a URL and JSON as it is. WeChat's samples have 28
//! characters; the length is not documented and not fixed here. `Debug` shows
//! no id: it is personal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A person's id with one account (公众号); the same person has another with
/// every other account.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OpenId(String);

/// A person's id across all accounts that are bound to one open platform.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnionId(String);

/// The text is no id of WeChat's.
#[derive(Debug, thiserror::Error)]
#[error("not 1 to 64 characters of A-Z a-z 0-9 _ -")]
pub struct NotAnId;

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;

            fn try_from(text: String) -> Result<Self, NotAnId> {
                if is_id(&text) {
                    Ok(Self(text))
                } else {
                    Err(NotAnId)
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

id!(OpenId);
id!(UnionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_alphabet_of_ids_is_taken() {
        for good in ["o6_bmjrPTlm6_2sgVt7hMZOPfL2M", "a", "-_9"] {
            assert_eq!(OpenId::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for wrong in ["", "a b", "a\r\nX: y", "ä", "a/b", &"a".repeat(65)] {
            assert!(OpenId::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }
}
