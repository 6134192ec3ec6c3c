//! One request's context: what is known of it, and nothing that decides.
//!
//! Holds always: time is read once, at the beginning; a request counts as being
//! on its way for exactly as long as its context lives.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::decide::Permit;
use crate::access_log::{self, RequestId};
use crate::origin::PublicScheme;
use crate::reply::Trouble;
use crate::session::{Millis, Now};
use crate::upstream::Client;

/// One request's context.
#[derive(Debug)]
pub struct Visit {
    /// The evidence that the request may go to its app; `None` is never
    /// forwarded.
    pub(super) permit: Option<Permit>,
    pub(super) log: access_log::Entry,
    pub(super) request_id: RequestId,
    pub(super) client: Client,
    pub(super) now: Now,
    /// The same moment, finer.
    pub(super) now_ms: Millis,
    /// Which of the app's addresses is tried.
    pub(super) attempt: usize,
    /// Whether there is another to try.
    pub(super) more_addresses: bool,
    /// What went wrong before Pingora noticed, for the visitor's page.
    pub(super) trouble: Option<Trouble>,
    _in_flight: InFlight,
}

impl Visit {
    /// A request has come; `in_flight` counts it.
    pub(super) fn begin(in_flight: &Arc<AtomicUsize>, scheme: PublicScheme) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            permit: None,
            log: access_log::Entry::start(),
            request_id: RequestId::next(),
            client: Client::unknown(IpAddr::V4(Ipv4Addr::UNSPECIFIED), scheme),
            now: now.as_secs(),
            now_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            attempt: 0,
            more_addresses: false,
            trouble: None,
            _in_flight: InFlight(Arc::clone(in_flight)),
        }
    }
}

/// Counts a request for as long as it is on its way.
#[derive(Debug)]
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
