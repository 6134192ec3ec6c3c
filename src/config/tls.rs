//! `[server.tls]` becomes certificates that can be served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{ListenAddress, Mistakes};
use crate::origin::PublicScheme;
use crate::route::HostPattern;
use crate::tls::{Certificates, Files, Hsts, MinVersion, Part};

/// `[server.tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    /// Where visitors are served over TLS.
    listen: Spanned<Vec<ListenAddress>>,
    certificates: Spanned<Vec<CertificateTable>>,
    #[serde(default)]
    min_version: MinVersion,
    hsts: Option<Hsts>,
    redirect_http: Option<Spanned<bool>>,
}

/// One of `certificates`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateTable {
    hosts: Spanned<Vec<Spanned<HostPattern>>>,
    cert: Spanned<PathBuf>,
    key: Spanned<PathBuf>,
}

/// `[server.tls]`, resolved.
#[derive(Debug)]
pub struct TlsPlan {
    /// Where visitors are served over TLS.
    pub listen: Vec<SocketAddr>,
    /// With what.
    pub certificates: Arc<Certificates>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// How long browsers remember to come by https alone.
    pub hsts: Option<Hsts>,
    /// Whether visitors who come by plain http are sent to https.
    pub redirect_http: bool,
}

/// The plan of `table`. Whatever is wrong with it is noted.
pub(super) fn plan_tls(
    table: TlsTable,
    scheme: PublicScheme,
    base: &Path,
    mistakes: &mut Mistakes,
) -> TlsPlan {
    if table.listen.get_ref().is_empty() && !mistakes.has_gaps(&table.listen.span()) {
        mistakes.at(
            &table.listen.span(),
            "is empty; expected at least one address, such as \"0.0.0.0:8443\", or no table [server.tls]",
        );
    }
    let redirect_http = table.redirect_http.as_ref().filter(|on| *on.get_ref());
    if let Some(on) = redirect_http.filter(|_| scheme == PublicScheme::Http) {
        mistakes.at(
            &on.span(),
            "found true beside server.public_scheme = \"http\", so that visitors would be sent round in a circle; expected \
             public_scheme = \"https\", or no redirect_http",
        );
    }
    TlsPlan {
        redirect_http: redirect_http.is_some(),
        listen: table
            .listen
            .get_ref()
            .iter()
            .map(|address| address.get())
            .collect(),
        certificates: Arc::new(certificates(&table.certificates, base, mistakes)),
        min_version: table.min_version,
        hsts: table.hsts,
    }
}

fn certificates(
    tables: &Spanned<Vec<CertificateTable>>,
    base: &Path,
    mistakes: &mut Mistakes,
) -> Certificates {
    // What could not be read is missing, and was told.
    let has_gaps = mistakes.has_gaps(&tables.span());
    if tables.get_ref().is_empty() && !has_gaps {
        mistakes.at(
            &tables.span(),
            "is empty; expected at least one { hosts = [\"shop.example.com\"], cert = \"/path/fullchain.pem\", key = \"/path/privkey.pem\" }",
        );
    }
    let mut all = Certificates::default();
    let mut seen: Vec<(&HostPattern, usize)> = Vec::new();
    for (at, table) in tables.get_ref().iter().enumerate() {
        if table.hosts.get_ref().is_empty() && !has_gaps {
            mistakes.at(
                &table.hosts.span(),
                "is empty; expected the hosts that the certificate is for, such as [\"shop.example.com\"] or [\"*.example.com\"]",
            );
        }
        for host in table.hosts.get_ref() {
            match seen.iter().find(|(known, _)| *known == host.get_ref()) {
                Some((_, first)) => mistakes.at(
                    &host.span(),
                    format!(
                        "found \"{}\", which certificate {first} is for already (certificates are counted from 0); expected each host once",
                        host.get_ref()
                    ),
                ),
                None => seen.push((host.get_ref(), at)),
            }
        }
        let files = Files {
            cert: base.join(table.cert.get_ref()),
            key: base.join(table.key.get_ref()),
        };
        let hosts = table.hosts.get_ref().iter();
        let hosts = hosts.map(|host| host.get_ref().clone()).collect();
        if let Err(error) = all.add(hosts, files) {
            let place = match error.part() {
                Part::Cert => table.cert.span(),
                Part::Key => table.key.span(),
            };
            mistakes.at(&place, error.to_string());
        }
    }
    all
}
