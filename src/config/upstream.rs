//! A route's `upstream` becomes an app that can be connected to.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::Mistakes;
use crate::tls::{Chain, Files, Part, Unusable, authorities};
use crate::upstream::{CertificateName, Table, Tls, TlsTable, Upstream};

/// The app of `table`. Whatever is wrong with it is noted; what is only to be
/// looked at goes to `remarks`.
pub(super) fn plan_upstream(
    table: &Spanned<Table>,
    base: &Path,
    remarks: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<Upstream> {
    let (place, table) = (table.span(), table.get_ref());
    if table.peers.is_empty() && !table.is_none {
        mistakes.at(
            &place,
            "names no peer; expected at least one address, such as [\"http://127.0.0.1:3000\"], or \"none\"",
        );
        return None;
    }
    let settings = [
        judge_health(table, mistakes),
        judge_ejection(table, mistakes),
    ];
    let (server_name, tls) = match &table.tls {
        Some(tls) => plan_tls(tls, table, base, remarks, mistakes)?,
        None => (None, None),
    };
    if settings.contains(&false) {
        return None;
    }
    match Upstream::new(table, server_name.as_ref(), tls.as_ref()) {
        Ok(upstream) => Some(upstream),
        Err((at, why)) => {
            // One that stands alone has no place of its own.
            let own = table.peers.get(at).map(Spanned::span);
            mistakes.at(&own.filter(|own| !own.is_empty()).unwrap_or(place), why);
            None
        }
    }
}

fn judge_health(table: &Table, mistakes: &mut Mistakes) -> bool {
    let Some(health) = &table.health else {
        return true;
    };
    let (place, health) = (health.span(), health.get_ref());
    let asks = health.host.is_some() || health.status.is_some();
    if asks && health.path.is_none() {
        mistakes.at(&place, "has host or status and no path, so that nothing is asked for; expected path = \"/healthz\", or neither of the two");
        return false;
    }
    true
}

fn judge_ejection(table: &Table, mistakes: &mut Mistakes) -> bool {
    let ejection = table.ejection.get_ref();
    if ejection.rest.get() > ejection.longest.get() {
        mistakes.at(
            &table.ejection.span(),
            "has a rest that is longer than longest (2m by default); expected the shorter of the two",
        );
        return false;
    }
    true
}

/// The name that certificates are checked by, and what is read from files.
fn plan_tls(
    table: &Spanned<TlsTable>,
    app: &Table,
    base: &Path,
    remarks: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<(Option<CertificateName>, Option<Tls>)> {
    let (place, table) = (table.span(), table.get_ref());
    if !app.peers.iter().any(|peer| peer.get_ref().url.is_tls()) {
        mistakes.at(
            &place,
            "found beside peers that all speak plain HTTP; expected an https URL among them, or no tls",
        );
        return None;
    }
    let server_name = match &table.server_name {
        Some(name) => match CertificateName::try_from(name.get_ref().clone()) {
            Ok(name) => Some(name),
            Err(why) => return noted(&name.span(), why, mistakes),
        },
        None => None,
    };
    let ca = match &table.ca {
        Some(path) => match authorities(&base.join(path.get_ref())) {
            Ok(ca) => ca,
            Err(error) => return noted(&path.span(), error.to_string(), mistakes),
        },
        None => Chain::new(),
    };
    let client = match (&table.client_cert, &table.client_key) {
        (None, None) => None,
        (Some(cert), Some(key)) => {
            let files = Files {
                cert: base.join(cert.get_ref()),
                key: base.join(key.get_ref()),
            };
            match files.pair() {
                Ok(pair) => {
                    if files.is_key_exposed() {
                        remarks.push(format!(
                            "the key in {} can be read by everybody on this machine; expected mode 0600 or 0640",
                            files.key.display()
                        ));
                    }
                    Some(pair)
                }
                Err(error) => {
                    let place = place_of(&error, cert.span(), key.span());
                    return noted(&place, error.to_string(), mistakes);
                }
            }
        }
        (cert, key) => {
            let alone = cert.as_ref().or(key.as_ref()).map_or(place, Spanned::span);
            let why = "stands alone; expected client_cert and client_key together, or neither";
            return noted(&alone, why.to_owned(), mistakes);
        }
    };
    let client = client.as_ref().map(|(chain, key)| (chain.as_slice(), key));
    Some((server_name, Some(Tls::new(&ca, client))))
}

fn place_of(error: &Unusable, cert: Range<usize>, key: Range<usize>) -> Range<usize> {
    match error.part() {
        Part::Cert => cert,
        Part::Key => key,
    }
}

fn noted<T>(place: &Range<usize>, why: String, mistakes: &mut Mistakes) -> Option<T> {
    mistakes.at(place, why);
    None
}
