//! One certificate with its key, read from the operator's files.
//!
//! Holds always: what was loaded can be served: every certificate of the chain
//! was read, the key is of a kind that is spoken here, and it is the first
//! certificate's own. No message repeats what stands in a key's file.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, RootCertStore};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer as _, GeneralName};
use zeroize::Zeroizing;

use crate::route::HostPattern;

/// More than any chain or key has.
const MAX_BYTES: u64 = 1 << 20;
/// From when on the end of a certificate is worth a word: renewals are done by
/// then.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Where a certificate and its key are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, the host's own certificate first, in PEM.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// Certificates, each as it was read.
pub type Chain = Vec<CertificateDer<'static>>;

/// Reads the certificates of authorities from one file in PEM.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn authorities(path: &Path) -> Result<Chain, Unusable> {
    let files = Files {
        cert: path.to_owned(),
        key: PathBuf::new(),
    };
    let chain = files.chain()?;
    let mut roots = RootCertStore::empty();
    for (at, der) in chain.iter().enumerate() {
        let added = roots.add(der.clone());
        added.map_err(|_| files.bad_certificate(at + 1))?;
    }
    match chain.is_empty() {
        true => Err(Unusable::NoCertificate(shown(path))),
        false => Ok(chain),
    }
}

/// Which of the two files something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The chain.
    Cert,
    /// The key.
    Key,
}

/// Why a certificate cannot be served.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unusable {
    /// A file that cannot be read.
    #[error(
        "the file {path} cannot be read ({reason}); it must exist and be readable by this user"
    )]
    Unreadable {
        /// Which.
        part: Part,
        /// Its path.
        path: String,
        /// What the system said.
        reason: ErrorKind,
    },
    /// A file that is no PEM.
    #[error(
        "{path} is not PEM ({reason}); expected text between -----BEGIN …----- and -----END …-----"
    )]
    NotPem {
        /// Which.
        part: Part,
        /// Its path.
        path: String,
        /// What is wrong, without its content.
        reason: &'static str,
    },
    /// A file without a certificate.
    #[error(
        "{0} holds no certificate; expected some in PEM, of a chain the host's own first (certbot's fullchain.pem)"
    )]
    NoCertificate(String),
    /// A certificate that cannot be read.
    #[error("the certificate numbered {at} in {path} cannot be read; expected X.509 version 3")]
    BadCertificate {
        /// From 1.
        at: usize,
        /// The file.
        path: String,
    },
    /// A file without a key.
    #[error("{0} holds no private key; expected one in PEM (certbot's privkey.pem)")]
    NoKey(String),
    /// A key behind a passphrase.
    #[error(
        "the key in {0} is encrypted, and nobody is there to type its passphrase; expected it plain: openssl pkey -in OLD -out NEW"
    )]
    Encrypted(String),
    /// A key of a kind that is not spoken here.
    #[error(
        "the key in {0} is of a kind that cannot be used; expected ECDSA on P-256 or P-384, RSA of 2048 to 8192 bits, or Ed25519"
    )]
    UnknownKey(String),
    /// A key of another certificate.
    #[error(
        "the key in {key} is not that of the first certificate in {cert}; expected the two that were made together"
    )]
    Mismatch {
        /// The key's file.
        key: String,
        /// The chain's file.
        cert: String,
    },
}

impl Unusable {
    /// Which of the files to look at.
    pub fn part(&self) -> Part {
        match self {
            Self::Unreadable { part, .. } | Self::NotPem { part, .. } => *part,
            Self::NoCertificate(_) | Self::BadCertificate { .. } => Part::Cert,
            Self::NoKey(_) | Self::Encrypted(_) | Self::UnknownKey(_) | Self::Mismatch { .. } => {
                Part::Key
            }
        }
    }
}

/// What shows that a file was written anew: without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    size: u64,
    /// Tells a link that was turned to another file.
    inode: u64,
}

/// How both files looked; `None` for one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks([Option<Stamp>; 2]);

impl Files {
    /// How the files look now.
    pub(super) fn looks(&self) -> Looks {
        let stamp = |path: &Path| {
            let data = fs::metadata(path).ok()?;
            Some(Stamp {
                changed: (data.mtime(), data.mtime_nsec()),
                size: data.size(),
                inode: data.ino(),
            })
        };
        Looks([stamp(&self.cert), stamp(&self.key)])
    }

    /// Reads both.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn load(&self) -> Result<Loaded, Unusable> {
        let chain = self.chain()?;
        let first = chain
            .first()
            .ok_or_else(|| Unusable::NoCertificate(shown(&self.cert)))?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|_| self.bad_certificate(1))?;
        let validity = parsed.validity();
        let (begins, ends) = (
            moment(validity.not_before.timestamp()),
            moment(validity.not_after.timestamp()),
        );

        let names = names(&parsed);
        // Issued by nothing that stands in the file.
        let alone = chain.len() == 1 && parsed.issuer() != parsed.subject();
        let key = self.key()?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            TlsError::InconsistentKeys(_) => Unusable::Mismatch {
                key: shown(&self.key),
                cert: shown(&self.cert),
            },
            TlsError::InvalidCertificate(_) => self.bad_certificate(1),
            _ => Unusable::UnknownKey(shown(&self.key)),
        })?;
        Ok(Loaded {
            certified: Arc::new(certified),
            begins,
            ends,
            names,
            alone,
        })
    }

    /// Reads both for a client, to which a chain and its key are shown as they are.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn pair(&self) -> Result<(Chain, PrivateKeyDer<'static>), Unusable> {
        let loaded = self.load()?;
        Ok((loaded.certified.cert.clone(), self.key()?))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Unusable> {
        let bytes = read(&self.cert, Part::Cert)?;
        let mut chain = Vec::new();
        for found in CertificateDer::pem_slice_iter(&bytes) {
            let der = found.map_err(|error| not_pem(&self.cert, Part::Cert, &error))?;
            let whole = X509Certificate::from_der(&der).is_ok_and(|(rest, _)| rest.is_empty());
            if !whole || ParsedCertificate::try_from(&der).is_err() {
                return Err(self.bad_certificate(chain.len() + 1));
            }
            chain.push(der);
        }
        Ok(chain)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Unusable> {
        let bytes = read(&self.key, Part::Key)?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
            _ if is_encrypted(&bytes) => Unusable::Encrypted(shown(&self.key)),
            PemError::NoItemsFound => Unusable::NoKey(shown(&self.key)),
            error => not_pem(&self.key, Part::Key, &error),
        })
    }

    fn bad_certificate(&self, at: usize) -> Unusable {
        Unusable::BadCertificate {
            at,
            path: shown(&self.cert),
        }
    }

    /// Whether anybody on this machine can read the key.
    pub fn is_key_exposed(&self) -> bool {
        let mode = fs::metadata(&self.key).map(|data| data.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o007 != 0)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn moment(seconds: i64) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn read(path: &Path, part: Part) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let unreadable = |reason| Unusable::Unreadable {
        part,
        path: shown(path),
        reason,
    };
    let data = fs::metadata(path).map_err(|error| unreadable(error.kind()))?;
    // A device or a pipe might never end.
    if !data.is_file() {
        return Err(unreadable(ErrorKind::InvalidInput));
    }
    if data.len() > MAX_BYTES {
        return Err(unreadable(ErrorKind::FileTooLarge));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(error.kind()))?;
    Ok(Zeroizing::new(bytes))
}

/// In words of our own: the library's repeat a piece of the file.
fn not_pem(path: &Path, part: Part, error: &PemError) -> Unusable {
    let reason = match error {
        PemError::MissingSectionEnd { .. } => "an -----END …----- is missing",
        PemError::IllegalSectionStart { .. } => "an -----BEGIN …----- is broken",
        PemError::Base64Decode(_) => "between the two lines stands no base64",
        _ => "it cannot be read",
    };
    Unusable::NotPem {
        part,
        path: shown(path),
        reason,
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| memchr::memmem::find(pem, mark.as_bytes()).is_some())
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub(super) certified: Arc<CertifiedKey>,
    begins: SystemTime,
    pub(super) ends: SystemTime,
    /// Whom it vouches for, as it says.
    pub(super) names: Vec<String>,
    /// Whether it came without the certificate that issued it.
    pub(super) alone: bool,
}

/// How much longer a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    NotYet,
    Fine,
    Soon,
    Over,
}

impl Loaded {
    /// Until when it holds: `2026-12-31`.
    pub fn until(&self) -> String {
        day(self.ends)
    }

    pub(super) fn term(&self, now: SystemTime) -> Term {
        if now < self.begins {
            Term::NotYet
        } else if now > self.ends {
            Term::Over
        } else if now + SOON > self.ends {
            Term::Soon
        } else {
            Term::Fine
        }
    }

    /// What visitors meet of its term, if anything.
    pub(super) fn remark(&self, now: SystemTime) -> Option<String> {
        match self.term(now) {
            Term::Fine => None,
            Term::NotYet => Some(format!(
                "holds from {} on: until then browsers show a warning instead of the page; is this machine's clock right?",
                day(self.begins)
            )),
            Term::Soon => Some(format!("expires on {}: renew it", day(self.ends))),
            Term::Over => Some(format!(
                "expired on {}: browsers show a warning instead of the page, WeChat's a blank one; renew it",
                day(self.ends)
            )),
        }
    }

    /// Whether it vouches for every host of `pattern`; below a domain, for those
    /// of one more label.
    pub(super) fn vouches_for(&self, pattern: &HostPattern) -> bool {
        let name = match pattern {
            HostPattern::Exact(host) => host.as_str().trim_matches(['[', ']']).to_owned(),
            HostPattern::Below(domain) => format!("any-host-of-all.{domain}"),
        };
        let cert = self.certified.cert.first().map(ParsedCertificate::try_from);
        match (cert, ServerName::try_from(name)) {
            (Some(Ok(cert)), Ok(name)) => rustls::client::verify_server_name(&cert, &name).is_ok(),
            _ => false,
        }
    }
}

/// The names that a certificate is for (RFC 5280, section 4.2.1.6): its subject
/// is none, for no browser looks there any more.
fn names(cert: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = cert.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    let shown = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                (Ok(bytes), _) => Some(IpAddr::from(bytes).to_string()),
                (_, Ok(bytes)) => Some(IpAddr::from(bytes).to_string()),
                _ => None,
            }
        }
        _ => None,
    });
    shown.collect()
}

fn day(moment: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}
