//! The machine that the gateway runs on: its directories, its store, and the apps
//! as they are reached from it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use pingora::connectors::TransportConnector;

use super::{PATIENCE, Report};
use crate::config::Plan;
use crate::origin::PublicScheme;
use crate::revocation::Revocations;
use crate::store::{Place, Settings, Store};
use crate::upstream::{Resolver, Upstream, why};

/// What needs no connection.
pub(super) fn examine(plan: &Plan, report: &mut Report) {
    for warning in plan.warnings() {
        report.doubt("gateway.toml", warning);
    }
    if plan.server.public_scheme == PublicScheme::Https && plan.server.trusted_proxies.is_empty() {
        report.doubt(
            "server.trusted_proxies",
            "empty, while visitors come over https and so through a proxy: all of them count as one address, for limits and in the log; \
             list the proxy, and see that it sends X-Forwarded-For",
        );
    }
    match plan.state_dir() {
        Some(dir) => directory(&dir, report),
        None => report.doubt(
            "server.state_dir",
            "there is none; expected one that this user can write",
        ),
    }
}

fn directory(dir: &Path, report: &mut Report) {
    let place = "server.state_dir";
    let shown = dir.display();
    if !dir.exists() {
        report.doubt(
            place,
            format!("{shown} does not exist yet; it is made at the first start, if this user may"),
        );
        return;
    }
    match is_writable(dir) {
        Ok(()) => report.good(place, format!("{shown} can be written")),
        Err(error) => report.bad(
            place,
            format!("{shown} cannot be written ({error}); run this as the gateway's user"),
        ),
    }
    for name in ["session.key", "assertion.key", "revocations"] {
        let Ok(metadata) = fs::metadata(dir.join(name)) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            report.bad(
                place,
                format!("{shown}/{name} may be read by others (mode {mode:o}); expected 600, and if it is a key, a new one"),
            );
        }
    }
}

/// A file is made and removed: permissions alone do not tell.
fn is_writable(dir: &Path) -> io::Result<()> {
    tempfile::Builder::new()
        .prefix(".doctor-")
        .tempfile_in(dir)
        .map(drop)
}

/// An app is connected to, over TLS where it has it, exactly as for a visitor. No
/// request is sent.
pub(super) async fn app(number: usize, upstream: Upstream, at: usize) -> Report {
    let mut report = Report::default();
    let place = match upstream.peers() {
        [_] => format!("routes[{number}].upstream"),
        _ => format!("routes[{number}].upstream.peers[{at}]"),
    };
    let Some(peer) = upstream.peers().get(at) else {
        return report;
    };
    let upstream = peer.name();
    let connected = tokio::time::timeout(PATIENCE, async {
        let resolver = Resolver::default();
        let mut attempt = 0;
        loop {
            let (to, more) = peer.connection(&resolver, attempt).await.map_err(|error| {
                format!("its name has no address ({error}); see the machine's DNS")
            })?;
            match TransportConnector::new(None).new_stream(&to).await {
                Ok(_) => return Ok(()),
                Err(_) if more => attempt += 1,
                Err(error) => return Err(why(&error)),
            }
        }
    });
    match connected.await {
        Ok(Ok(())) => report.good(place, format!("{upstream} takes connections")),
        Ok(Err(why)) => report.bad(
            place,
            format!("{upstream} takes none: {why}; start the app, see host and port, and with https its certificate"),
        ),
        Err(_) => report.bad(place, format!("{upstream} takes none in time; is a firewall in between, or with https no TLS there?")),
    }
    report
}

/// Whether the store answers. A file is not opened: a running gateway holds it.
pub(super) async fn store(settings: Settings) -> Report {
    let mut report = Report::default();
    let place = "store.kind";
    match &settings.place {
        Place::Memory => report.good(place, "memory: revocations are kept in server.state_dir"),
        Place::File(path) => {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let dir = dir.unwrap_or(Path::new("."));
            match is_writable(dir) {
                Ok(()) => report.good(place, format!("{} can be written", dir.display())),
                Err(error) => report.bad(
                    place,
                    format!(
                        "{} cannot be written ({error}); run this as the gateway's user",
                        dir.display()
                    ),
                ),
            }
        }
        Place::Redis(_) => {
            let opened = Store::open(settings, None, Arc::new(Revocations::default())).await;
            let ready = match opened {
                Ok(store) => store.ready().map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match ready {
                Ok(()) => report.good(place, "the Redis answers"),
                Err(why) => report.bad(
                    place,
                    format!("{why}; see the URL, the password and the network"),
                ),
            }
        }
    }
    report
}
