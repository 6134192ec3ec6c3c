//! Access and refresh tokens of the facade's: what an app is given for a code.
//!
//! Holds always: a token names a grant and its own end, and tells nothing of the
//! visitor; it is signed, so that one with anything changed is none before the store is
//! asked; whether its grant is alive, and whose it is, stands in the store. In the
//! alphabet of WeChat's own tokens, and shorter than the columns that apps have.

use super::records::GrantId;
use crate::session::Now;
use crate::signing::{Keyring, Purpose};

/// How long an access token is good, in seconds (WeChat's page 网页授权).
pub const ACCESS_LIFE: u64 = 7200;
/// How long a refresh token is, likewise.
pub const REFRESH_LIFE: u64 = 30 * 24 * 3600;
/// Every token's length.
const LENGTH: usize = 83;
/// What a token says: its kind, its grant, its end.
const PAYLOAD: usize = 1 + 16 + 8;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To ask something of its visitor.
    Access,
    /// To get another access token.
    Refresh,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Access => b'a',
            Self::Refresh => b'r',
        }
    }
}

/// A token that we signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is for.
    pub kind: Kind,
    /// The grant that it belongs to.
    pub grant: GrantId,
    /// From when on it is no longer good.
    pub until: Now,
}

impl Token {
    /// The token as text.
    pub fn seal(&self, keys: &Keyring) -> String {
        let mut payload = Vec::with_capacity(PAYLOAD);
        payload.push(self.kind.byte());
        payload.extend_from_slice(&self.grant.0);
        payload.extend_from_slice(&self.until.to_be_bytes());
        keys.seal(Purpose::FacadeToken, &payload)
    }

    /// The token of `text`, if it is one of `kind`, whether or not its time is over.
    pub fn open(keys: &Keyring, kind: Kind, text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let mut room = [0; LENGTH];
        let opened = keys.open(Purpose::FacadeToken, text.as_bytes(), &mut room)?;
        let (first, rest) = opened.payload.split_first()?;
        let (grant, until) = rest.split_first_chunk::<16>()?;
        let until = <[u8; 8]>::try_from(until).ok()?;
        (*first == kind.byte()).then_some(Self {
            kind,
            grant: GrantId(*grant),
            until: Now::from_be_bytes(until),
        })
    }

    /// Whether a text has the look of an access token of WeChat's.
    pub fn is_long(text: &str) -> bool {
        text.len() >= 60
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::generate_key;

    #[test]
    fn a_token_opens_as_what_it_is_with_nothing_changed() {
        let keys = Keyring::new(&[generate_key().unwrap()]).unwrap();
        let token = Token {
            kind: Kind::Access,
            grant: GrantId([7; 16]),
            until: 1_000_000,
        };
        let text = token.seal(&keys);
        assert!(text.len() == LENGTH && text.len() <= 128 && Token::is_long(&text));
        assert_eq!(Token::open(&keys, Kind::Access, &text), Some(token));
        assert_eq!(Token::open(&keys, Kind::Refresh, &text), None);
        for at in 0..text.len() {
            for byte in [b'A', b'B', b'=', b'+'] {
                let mut other = text.clone().into_bytes();
                if std::mem::replace(&mut other[at], byte) == byte {
                    continue;
                }
                let other = String::from_utf8(other).unwrap();
                assert_eq!(Token::open(&keys, Kind::Access, &other), None, "{other}");
            }
            assert_eq!(
                Token::open(&keys, Kind::Access, text.get(..at).unwrap()),
                None
            );
        }
        let others = Keyring::new(&[generate_key().unwrap()]).unwrap();
        assert_eq!(Token::open(&others, Kind::Access, &text), None);
        // What was signed for something else is no token, whatever it says.
        let mut payload = vec![b'a'];
        payload.extend_from_slice(&[7; 24]);
        let session = keys.seal(Purpose::Session, &payload);
        assert!(session.len() == LENGTH && Token::open(&keys, Kind::Access, &session).is_none());
    }
}
