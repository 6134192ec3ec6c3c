//! A visitor's tokens with WeChat: what an exchange or a refresh gives.
//!
//! Holds always: they are seen by [`super::api`], and by whoever is lent the
//! access token; [`Tokens::pack`] gives them to whoever seals them, in bytes
//! that are wiped.
//!
//! Source: WeChat's page "网页授权", steps 2 and 3.

use std::fmt;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// An access token, and what renews it.
#[derive(Clone)]
pub struct Tokens {
    pub(super) access: Secret,
    pub(super) refresh: Option<Secret>,
    /// For how long the access token is good, in seconds.
    pub(super) expires_in: u64,
}

impl Tokens {
    /// The access token, for one call or for an app that may have it.
    pub fn access(&self) -> &Secret {
        &self.access
    }

    /// What renews it, if WeChat gave that.
    pub fn refresh(&self) -> Option<&Secret> {
        self.refresh.as_ref()
    }

    /// For how long the access token was good when it was given, in seconds.
    pub fn expires_in(&self) -> u64 {
        self.expires_in
    }

    /// The tokens as bytes.
    pub fn pack(&self) -> Zeroizing<Vec<u8>> {
        let refresh = self.refresh.as_ref().map(Secret::expose);
        let parts = (self.access.expose(), refresh, self.expires_in);
        Zeroizing::new(postcard::to_stdvec(&parts).unwrap_or_default())
    }

    /// What [`Self::pack`] made.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let ((access, refresh, expires_in), rest) =
            postcard::take_from_bytes::<(&str, Option<&str>, u64)>(bytes).ok()?;
        rest.is_empty().then(|| Self {
            access: Secret::new(access.to_owned()),
            refresh: refresh.map(|token| Secret::new(token.to_owned())),
            expires_in,
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens(for {} s)", self.expires_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_whole_or_not_at_all() {
        let tokens = Tokens {
            access: Secret::new("access".to_owned()),
            refresh: Some(Secret::new("refresh".to_owned())),
            expires_in: 7200,
        };
        assert_eq!(format!("{tokens:?}"), "Tokens(for 7200 s)");
        let packed = tokens.pack();
        let again = Tokens::unpack(&packed).unwrap();
        assert_eq!(again.access.expose(), "access");
        assert_eq!(again.refresh.unwrap().expose(), "refresh");
        for end in 0..packed.len() {
            assert!(Tokens::unpack(&packed[..end]).is_none());
        }
    }
}
