//! All certificates, by host, as they stand in their files.
//!
//! Holds always: a host is shown its own certificate or none; files that were
//! written anew are served from the next handshake on, both at once, and only
//! if they can be: else the old ones go on, and the operator is told once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{error, info, warn};

use super::certificate::{Files, Loaded, Looks, Term, Unusable};
use crate::origin::Host;
use crate::route::HostPattern;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// All certificates, by host.
#[derive(Debug, Default)]
pub struct Certificates {
    entries: Vec<Entry>,
    exact: HashMap<Host, usize>,
    below: HashMap<Host, usize>,
    /// The one for whoever names no host.
    nameless: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    hosts: Vec<HostPattern>,
    files: Files,
    /// Read with every handshake, and written when files are.
    current: RwLock<Loaded>,
    watched: Mutex<Watched>,
}

/// What is known of an entry's files.
#[derive(Debug)]
struct Watched {
    /// How they looked when they were read, whatever came of it.
    read: Looks,
    /// How they look now, if that is new: whoever writes them may not be done.
    moving: Option<Looks>,
    /// What the operator was told of the certificate's term.
    told: Term,
}

impl Certificates {
    /// Adds the certificate in `files` for `hosts`.
    ///
    /// # Errors
    /// When it cannot be served.
    pub fn add(&mut self, hosts: Vec<HostPattern>, files: Files) -> Result<(), Unusable> {
        // Looked at first: what is written meanwhile is found later.
        let read = files.looks();
        let loaded = files.load()?;
        let at = self.entries.len();
        for host in &hosts {
            match host {
                HostPattern::Exact(host) => self.exact.insert(host.clone(), at),
                HostPattern::Below(domain) => self.below.insert(domain.clone(), at),
            };
        }
        let told = loaded.term(SystemTime::now());
        self.entries.push(Entry {
            hosts,
            files,
            current: RwLock::new(loaded),
            watched: Mutex::new(Watched {
                read,
                moving: None,
                told,
            }),
        });
        self.nameless = self.find_nameless();
        Ok(())
    }

    /// Whoever names no host wants an address, for which TLS has no name (RFC
    /// 6066, section 3), or is a check that wants whatever is here.
    fn find_nameless(&self) -> Option<usize> {
        let has_address = |entry: &Entry| {
            let mut hosts = entry.hosts.iter();
            hosts.any(|host| matches!(host, HostPattern::Exact(host) if host.is_address()))
        };
        let mut with_address = (0..)
            .zip(&self.entries)
            .filter(|(_, entry)| has_address(entry));
        match (with_address.next(), with_address.next(), self.entries.len()) {
            (Some((at, _)), None, _) => Some(at),
            (None, _, 1) => Some(0),
            _ => None,
        }
    }

    /// The certificate for whoever asks for `name`, a host below a `*.` included.
    pub fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let at = match name {
            None => self.nameless?,
            Some(name) => self.place_of(&Host::new(name)?)?,
        };
        let current = self.entries.get(at)?.current.read();
        Some(Arc::clone(&current.certified))
    }

    fn place_of(&self, host: &Host) -> Option<usize> {
        if let Some(at) = self.exact.get(host) {
            return Some(*at);
        }
        if self.below.is_empty() {
            return None;
        }
        let mut rest = host.as_str();
        while let Some((_, domain)) = rest.split_once('.') {
            if let Some(at) = Host::new(domain).and_then(|domain| self.below.get(&domain)) {
                return Some(*at);
            }
            rest = domain;
        }
        None
    }

    /// Whether every host of `pattern` has a certificate here.
    pub fn serve(&self, pattern: &HostPattern) -> bool {
        match pattern {
            HostPattern::Exact(host) => self.place_of(host).is_some(),
            HostPattern::Below(domain) => {
                self.below.contains_key(domain) || {
                    let any = Host::new(&format!("any-host-of-all.{domain}"));
                    any.is_some_and(|any| self.place_of(&any).is_some())
                }
            }
        }
    }

    /// One line for each, for whoever wants to list them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| {
            format!(
                "{}: {}, until {}",
                entry.name(),
                entry.files.cert.display(),
                entry.current.read().until()
            )
        })
    }

    /// What is allowed and should be looked at all the same.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        self.entries
            .iter()
            .flat_map(|entry| entry.warnings(now))
            .collect()
    }

    /// Looks at the files again and again.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let certificates = Arc::clone(&self);
            // A disk may be slow.
            let _ = tokio::task::spawn_blocking(move || certificates.look(SystemTime::now())).await;
        }
    }

    /// Reads what was written anew and stands still since the last look.
    fn look(&self, now: SystemTime) {
        for entry in &self.entries {
            entry.look(now);
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

impl Entry {
    fn name(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        hosts.join(", ")
    }

    fn warnings(&self, now: SystemTime) -> Vec<String> {
        let (cert, key) = (self.files.cert.display(), self.files.key.display());
        let current = self.current.read().clone();
        let mut all = Vec::new();
        if let Some(remark) = current.remark(now) {
            all.push(format!("the certificate in {cert} {remark}"));
        }
        for host in &self.hosts {
            if let Some(names) = current.names_if_not(host) {
                all.push(format!(
                    "the certificate in {cert} does not vouch for {host}, for which server.tls.certificates lists it: browsers show \
                     a warning instead of the page; it vouches for {names}"
                ));
            }
        }
        if current.alone {
            all.push(format!(
                "{cert} holds the host's own certificate alone: unless a root that every phone knows has issued it, \
                 many show a warning instead of the page; expected the whole chain (certbot's fullchain.pem)"
            ));
        }
        if self.files.is_key_exposed() {
            all.push(format!(
                "the key in {key} can be read by every user of this machine; expected mode 0600, or 0640 (chmod)"
            ));
        }
        all
    }

    fn look(&self, now: SystemTime) {
        let mut watched = self.watched.lock();
        let looks = self.files.looks();
        if looks == watched.read {
            watched.moving = None;
        } else if watched.moving == Some(looks) {
            watched.moving = None;
            watched.read = looks;
            self.reload();
        } else {
            watched.moving = Some(looks);
        }
        let current = self.current.read().clone();
        let term = current.term(now);
        if term != watched.told {
            watched.told = term;
            if let Some(remark) = current.remark(now) {
                warn!("the certificate in {} {remark}", self.files.cert.display());
            }
        }
    }

    fn reload(&self) {
        match self.files.load() {
            Ok(loaded) => {
                let until = loaded.until();
                *self.current.write() = loaded;
                info!(
                    "the certificate for {} was read anew from {}; it holds until {until}",
                    self.name(),
                    self.files.cert.display()
                );
                for warning in self.warnings(SystemTime::now()) {
                    warn!("{warning}");
                }
            }
            Err(why) => error!(
                "the certificate for {} cannot be read anew, and the old one goes on (until {}): {why}",
                self.name(),
                self.current.read().until()
            ),
        }
    }
}
