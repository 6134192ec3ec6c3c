//! `account` of a route: one name, or a list of them.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::route::AccountName;

/// The names, of which there is at least one.
#[derive(Debug)]
pub(super) struct AccountNames(Vec<AccountName>);

impl AccountNames {
    /// In the order of the file.
    pub(super) fn all(&self) -> &[AccountName] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for AccountNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = AccountNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, such as \"shop\", or a list of names, one for each kind of account: [\"shop\", \"desk\"]")
            }

            fn visit_str<E: Error>(self, found: &str) -> Result<AccountNames, E> {
                let name = AccountName::try_from(found.to_owned()).map_err(E::custom)?;
                Ok(AccountNames(vec![name]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AccountNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element::<AccountName>()? {
                    if names.contains(&name) {
                        return Err(A::Error::custom(format!(
                            "found \"{}\" twice; expected each name once",
                            name.as_str()
                        )));
                    }
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(A::Error::custom(
                        "found an empty list; expected the name of a table [accounts.NAME], or auth = \"none\" and no account",
                    ));
                }
                Ok(AccountNames(names))
            }
        }

        deserializer.deserialize_any(Forms)
    }
}
