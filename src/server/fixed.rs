//! What a process keeps until it ends: listeners, threads, the store.
//!
//! Holds always: a setting that another plan changes and that cannot change under
//! a running process is named to the operator, and not silently left as it was.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::config::{LogFormat, Plan};
use crate::store;

/// The settings that hold until the process ends.
#[derive(Debug, PartialEq)]
pub(super) struct Fixed {
    listen: Vec<SocketAddr>,
    listen_tls: Vec<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    h2c: bool,
    threads: Option<NonZeroUsize>,
    state_dir: Option<PathBuf>,
    store: store::Settings,
    format: LogFormat,
}

impl Fixed {
    /// Those of `plan`.
    pub(super) fn of(plan: &Plan) -> Self {
        let listen = plan.server.listen.get_ref().iter();
        Self {
            listen: listen.map(|address| address.get()).collect(),
            listen_tls: (plan.tls.as_ref()).map_or_else(Vec::new, |tls| tls.listen.clone()),
            admin_listen: plan.server.admin_listen.map(|address| address.get()),
            h2c: plan.server.h2c,
            threads: plan.server.threads,
            state_dir: plan.state_dir(),
            store: plan.store.clone(),
            format: plan.log.format,
        }
    }

    /// The names of those that are others in `new`.
    pub(super) fn differences(&self, new: &Self) -> Vec<&'static str> {
        let named = [
            ("server.listen", self.listen != new.listen),
            ("server.tls.listen", !self.speaks_tls_like(new)),
            ("server.admin_listen", self.admin_listen != new.admin_listen),
            ("server.h2c", self.h2c != new.h2c),
            ("server.threads", self.threads != new.threads),
            ("server.state_dir", self.state_dir != new.state_dir),
            ("store", self.store != new.store),
            ("log.format", self.format != new.format),
        ];
        let differ = named.into_iter().filter(|(_, differs)| *differs);
        differ.map(|(name, _)| name).collect()
    }

    /// Whether TLS is spoken at the same places.
    pub(super) fn speaks_tls_like(&self, new: &Self) -> bool {
        self.listen_tls == new.listen_tls
    }
}
