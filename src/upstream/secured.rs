//! TLS towards an app: whom it is believed to be, and what it is shown.
//!
//! Holds always: a certificate is checked, in full, by a name that is not empty:
//! Pingora leaves out every check where the name is, and checks one with `_` in
//! its first label by another name. Connections that were made with other
//! authorities, another name or another client certificate are in another group,
//! and are shared with nobody outside it.

use std::fmt;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest as _, Sha256};

/// The name by which an app's certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateName(String);

impl CertificateName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CertificateName {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let first = found.split('.').next().unwrap_or_default();
        match ServerName::try_from(found.as_str()) {
            Ok(_) if !first.is_empty() && !first.contains('_') => Ok(Self(found)),
            _ => Err(format!(
                "found \"{found}\", by which no certificate can be checked; expected server_name = \"app.internal\", or an IP address, as it \
                 stands in the app's certificate"
            )),
        }
    }
}

/// What is particular about TLS with an app, read from its files.
#[derive(Clone, Default)]
pub struct Tls {
    /// Whose certificates are believed; the system's authorities without it.
    ca: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
    group: u64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// The bit that no group of [`Tls`] has: for connections that are in no group.
pub(super) const ALONE: u64 = 1 << 63;

impl Tls {
    /// `ca`: whose certificates are believed, if not the system's authorities';
    /// `client`: the chain that is shown, and its key. All were read as X.509
    /// before, and the key is the chain's.
    pub fn new(
        ca: &[CertificateDer<'_>],
        client: Option<(&[CertificateDer<'_>], &PrivateKeyDer<'_>)>,
    ) -> Self {
        let (chain, key) = match client {
            Some((chain, key)) if !chain.is_empty() => (chain, Some(key)),
            _ => (&[][..], None),
        };
        // Pingora tells connections apart by address, name and the serial number
        // of the client's certificate: neither by authorities, nor by who issued
        // that number.
        let mut hash = Sha256::new();
        for part in [ca, chain] {
            hash.update((part.len() as u64).to_be_bytes());
            for der in part {
                hash.update((der.len() as u64).to_be_bytes());
                hash.update(der);
            }
        }
        let own = |der: &CertificateDer<'_>| der.as_ref().to_vec();
        let wrapped: Vec<WrappedX509> = ca
            .iter()
            .map(|der| WrappedX509::new(own(der), parse_x509))
            .collect();
        let key = key.map(|key| {
            hash.update(key.secret_der());
            CertKey::new(chain.iter().map(own).collect(), key.secret_der().to_vec())
        });
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
        Self {
            ca: (!wrapped.is_empty()).then(|| wrapped.into()),
            client: key.map(Arc::new),
            group: u64::from_be_bytes([a, b, c, d, e, f, g, h]) & !ALONE,
        }
    }

    /// What tells these settings from others.
    pub(super) fn group(&self) -> u64 {
        self.group
    }

    /// Has a connection to `peer` made so.
    pub(super) fn apply(&self, peer: &mut HttpPeer) {
        peer.options.ca.clone_from(&self.ca);
        peer.client_cert_key.clone_from(&self.client);
        peer.group_key = self.group;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_checked_by_a_name_that_means_what_it_says() {
        let name = |text: &str| CertificateName::try_from(text.to_owned());
        for right in ["app.internal", "10.0.0.1", "fd00::1", "a.b_c.example.com"] {
            assert!(name(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            ".",
            "a_b.example.com",
            "a b",
            "https://a",
            "a/b",
            "[fd00::1]",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
