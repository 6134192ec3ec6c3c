//! WeChat's ids of a person, and WeCom's.
//!
//! Holds always: only `[A-Za-z0-9_-]`, in a corp's userid `@` and `.` besides, at
//! most 64 bytes, so that an id can stand in a header, a URL and JSON as it is. A
//! userid is never taken for an openid, whatever it is spelled like. WeChat's samples have 28
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

/// A member's id in their corp (企业微信). To WeCom its letters' case makes no
/// difference.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

/// Who an account says that a visitor is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Visitor {
    /// Somebody with WeChat, by the account's id of them.
    OpenId(OpenId),
    /// A member of the account's corp.
    Member(UserId),
}

impl Visitor {
    /// Their openid, unless they are a corp's member.
    pub fn openid(&self) -> Option<&OpenId> {
        match self {
            Self::OpenId(openid) => Some(openid),
            Self::Member(_) => None,
        }
    }

    /// Their userid, if they are a corp's member.
    pub fn userid(&self) -> Option<&UserId> {
        match self {
            Self::OpenId(_) => None,
            Self::Member(userid) => Some(userid),
        }
    }
}

/// The text is no id of WeChat's.
#[derive(Debug, thiserror::Error)]
#[error("not 1 to 64 characters of A-Z a-z 0-9 _ - (in a userid also @ .)")]
pub struct NotAnId;

fn is_id(text: &str, more: &[u8]) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || more.contains(&byte)
    };
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

macro_rules! id {
    ($name:ident, $more:literal) => {
        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;

            fn try_from(text: String) -> Result<Self, NotAnId> {
                if is_id(&text, $more) {
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

id!(OpenId, b"");
id!(UnionId, b"");
id!(UserId, b"@.");

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
            assert!(UserId::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
        let member = "li.ming@example.com";
        assert!(OpenId::try_from(member.to_owned()).is_err());
        assert!(UserId::try_from(member.to_owned()).is_ok());
    }
}
