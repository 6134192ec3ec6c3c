//! The gateway that requests are given when they begin.
//!
//! Holds always: a request has one gateway from its first hook to its last, so
//! that a change of `gateway.toml` cannot meet it half-way; who begins after the
//! change has the new one. Taking it takes no lock.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Gateway, Visit};

/// The newest gateway, for one worker thread: each has one of its own, so that
/// their requests do not count the same references.
#[derive(Clone, Debug)]
pub struct Live(pub(super) Arc<ArcSwap<Gateway>>);

/// What puts a newer gateway in the place of a [`Live`]'s.
#[derive(Debug)]
pub struct Successor(Arc<ArcSwap<Gateway>>);

impl Live {
    /// Begins with `gateway`.
    pub fn new(gateway: Gateway) -> (Self, Successor) {
        let current = Arc::new(ArcSwap::from_pointee(gateway));
        (Self(Arc::clone(&current)), Successor(current))
    }

    /// The newest.
    pub fn gateway(&self) -> Arc<Gateway> {
        self.0.load_full()
    }
}

impl Successor {
    /// From the next request on, `gateway` serves.
    pub fn succeed(&self, gateway: Gateway) {
        self.0.store(Arc::new(gateway));
    }
}

/// A request on its way.
#[derive(Debug)]
pub struct Course {
    pub(super) gateway: Arc<Gateway>,
    pub(super) visit: Visit,
}
