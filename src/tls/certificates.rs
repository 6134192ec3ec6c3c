//! All certificates, by host, as they stand in their files.
//!
//! Holds always: a host is shown its own certificate or none; files that were
//! written anew are served from the next handshake on, both at once, and only
//! if they can be: else the old ones go on, and the operator is told once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{error, info, warn};

use super::certificate::{Files, Loaded, Looks, Term, Unusable};
use crate::origin::Host;
use crate::route::{ByHost, HostPattern};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// All certificates, by host.
#[derive(Debug, Default)]
pub struct Certificates {
    entries: Vec<Entry>,
    by_host: ByHost<usize>,
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
            self.by_host.insert(host, at);
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
            Some(name) => *self.by_host.get(&Host::new(name)?)?,
        };
        let current = self.entries.get(at)?.current.read();
        Some(Arc::clone(&current.certified))
    }

    /// Whether every host of `pattern` has a certificate here.
    pub fn serve(&self, pattern: &HostPattern) -> bool {
        match pattern {
            HostPattern::Exact(host) => self.by_host.get(host).is_some(),
            HostPattern::Below(domain) => {
                self.by_host.has_below(domain) || {
                    let any = Host::new(&format!("any-host-of-all.{domain}"));
                    any.is_some_and(|any| self.by_host.get(&any).is_some())
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

    /// Each one's hosts, and until when it holds.
    pub fn expiries(&self) -> Vec<(String, SystemTime)> {
        let expiry = |entry: &Entry| (entry.name(), entry.current.read().ends);
        self.entries.iter().map(expiry).collect()
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
            if !current.vouches_for(host) {
                let names = match current.names.as_slice() {
                    [] => "no host at all".to_owned(),
                    names => names.join(", "),
                };
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
        let current = self.current.read();
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn pattern(text: &str) -> HostPattern {
        HostPattern::try_from(text.to_owned()).unwrap()
    }

    /// Writes a certificate for `hosts` that holds in 2030.
    fn write(dir: &Path, hosts: &[&str]) -> Files {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2030, 12, 31);
        let key = KeyPair::generate().unwrap();
        write_pem(dir, &params.self_signed(&key).unwrap().pem(), &key)
    }

    fn write_pem(dir: &Path, cert: &str, key: &KeyPair) -> Files {
        let files = Files {
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        };
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        set_mode(&files, 0o600);
        files
    }

    fn set_mode(files: &Files, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn loaded(hosts: &[&str], files: &Files) -> Certificates {
        let mut all = Certificates::default();
        let hosts = hosts.iter().map(|host| pattern(host)).collect();
        all.add(hosts, files.clone()).unwrap();
        all
    }

    fn on(year: u64, day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * u32::try_from((year - 1970) * 36525 / 100 + day).unwrap()
    }

    #[test]
    fn the_operator_is_warned_of_what_visitors_would_meet() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &["shop.example.com"]);
        let all = loaded(&["shop.example.com"], &files);
        let warned = |all: &Certificates, now| all.warnings(now).join("\n");
        assert_eq!(warned(&all, on(2030, 180)), "");
        assert!(warned(&all, on(2029, 1)).contains("holds from 2030-01-01 on"));
        assert!(warned(&all, on(2030, 355)).contains("expires on 2030-12-31"));
        assert!(warned(&all, on(2031, 10)).contains("expired on 2030-12-31"));
        set_mode(&files, 0o644);
        assert!(warned(&all, on(2030, 180)).contains("can be read by every user"));
        set_mode(&files, 0o640);
        let all = loaded(&["shop.example.com", "*.example.com", "127.0.0.1"], &files);
        let told = warned(&all, on(2030, 180));
        assert!(told.contains("does not vouch for *.example.com"), "{told}");
        assert!(told.contains("does not vouch for 127.0.0.1"), "{told}");
        assert!(told.ends_with("it vouches for shop.example.com"), "{told}");
        assert_eq!(told.lines().count(), 2, "{told}");
    }

    #[test]
    fn names_are_those_of_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &["*.example.com", "::1", "127.0.0.1"]);
        let hosts = ["a.example.com", "*.example.com", "[::1]", "127.0.0.1"];
        assert!(loaded(&hosts, &files).warnings(on(2030, 180)).is_empty());
        let told = loaded(&["example.com"], &files).warnings(on(2030, 180));
        assert!(
            told[0].ends_with("it vouches for *.example.com, ::1, 127.0.0.1"),
            "{told:?}"
        );
    }

    #[test]
    fn a_chain_without_its_issuer_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let mut above = CertificateParams::new(Vec::new()).unwrap();
        above.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        above
            .distinguished_name
            .push(rcgen::DnType::CommonName, "an issuer");
        let issuer = CertifiedIssuer::self_signed(above, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap().pem();
        let warned = |files: &Files| loaded(&["shop.example.com"], files).warnings(on(2030, 180));
        let told = warned(&write_pem(dir.path(), &cert, &key));
        assert!(
            told[0].contains("holds the host's own certificate alone"),
            "{told:?}"
        );
        let whole = format!("{cert}{}", issuer.pem());
        assert!(warned(&write_pem(dir.path(), &whole, &key)).is_empty());
    }

    #[test]
    fn files_are_read_once_they_stand_still_and_kept_where_they_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &["a.example"]);
        let all = loaded(&["a.example"], &files);
        let shown = || all.find(Some("a.example")).unwrap().cert[0].clone();
        let first = shown();
        let now = on(2030, 180);
        let is_settled = || {
            let watched = all.entries[0].watched.lock();
            watched.moving.is_none() && watched.read == files.looks()
        };
        all.look(now);
        assert!(is_settled() && shown() == first);
        // New, but perhaps not whole yet.
        write(dir.path(), &["a.example"]);
        all.look(now);
        assert!(!is_settled() && shown() == first);
        all.look(now);
        let second = shown();
        assert!(is_settled() && second != first);
        // What cannot be read is tried once.
        fs::write(&files.key, "junk").unwrap();
        all.look(now);
        all.look(now);
        assert!(is_settled() && shown() == second);
        fs::remove_file(&files.cert).unwrap();
        all.look(now);
        all.look(now);
        assert!(is_settled() && shown() == second);
        write(dir.path(), &["a.example"]);
        all.look(now);
        all.look(now);
        assert!(is_settled() && shown() != second);
    }

    #[test]
    fn whoever_names_no_host_is_shown_the_address_or_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &["a.example"]);
        let nameless = |entries: &[&[&str]]| {
            let mut all = Certificates::default();
            for hosts in entries {
                let hosts = hosts.iter().map(|host| pattern(host)).collect();
                all.add(hosts, files.clone()).unwrap();
            }
            all.nameless
        };
        assert_eq!(nameless(&[&["a.example"]]), Some(0));
        assert_eq!(nameless(&[&["a.example"], &["b.example"]]), None);
        assert_eq!(
            nameless(&[&["a.example"], &["b.example", "[::1]"]]),
            Some(1)
        );
        assert_eq!(nameless(&[&["127.0.0.1"], &["127.0.0.2"]]), None);
    }
}
