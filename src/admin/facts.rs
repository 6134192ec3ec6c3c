//! What is not counted but looked at when somebody asks.
//!
//! Holds always: to look waits for nobody, neither the store nor an app.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::Admin;
use crate::limits::NoPlace;
use crate::process::{self, Usage};
use crate::reload::Reloads;
use crate::upstream::UpstreamSeen;

/// How things stand.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Requests on their way.
    pub(super) in_flight: usize,
    /// Visitors' connections that are open.
    pub(super) connections: usize,
    /// Connections that were refused, for as many were open as may be.
    pub(super) refused_full: u64,
    /// The same, for as many of its address were.
    pub(super) refused_full_for_address: u64,
    /// Whether the gateway is being stopped.
    pub(super) draining: bool,
    /// Why the store does not answer, if so.
    pub(super) store: Result<(), String>,
    /// How often it did not, by operation.
    pub(super) store_errors: Vec<(&'static str, u64)>,
    /// Whether it is known which sessions have ended.
    pub(super) revocations_known: bool,
    /// Each certificate's hosts, and until when it holds.
    pub(super) certificates: Vec<(String, SystemTime)>,
    /// The apps: how often they failed, and how their peers are.
    pub(super) apps: Vec<UpstreamSeen>,
    /// What came of reading `gateway.toml` anew.
    pub(super) reloads: Reloads,
    /// What the process uses.
    pub(super) usage: Usage,
}

impl Facts {
    /// How things stand with the gateway of `admin`.
    pub(super) fn of(admin: &Admin) -> Self {
        let lasting = &admin.lasting;
        let spoken = admin.spoken.as_ref().map(|spoken| spoken.load());
        Self {
            in_flight: lasting.in_flight.load(Ordering::Relaxed),
            connections: lasting.connections.open(),
            refused_full: lasting.connections.refused(NoPlace::Full),
            refused_full_for_address: lasting.connections.refused(NoPlace::FullForAddress),
            draining: *admin.stopped.borrow(),
            store: lasting.store.ready().map_err(|error| error.to_string()),
            store_errors: lasting.store.errors().collect(),
            revocations_known: lasting.ended.is_complete(),
            certificates: spoken
                .map(|spoken| spoken.certificates.expiries())
                .unwrap_or_default(),
            apps: lasting.peers.snapshot(),
            reloads: admin.record.get(),
            usage: process::usage(),
        }
    }
}
