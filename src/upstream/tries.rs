//! How often one request was tried, and where.
//!
//! Holds always: a peer is tried once, and once more after a connection that had
//! served before; a request is counted at a peer for exactly as long as it is
//! there.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::balance::{Set, only};
use super::state::State;

/// The tries of one request.
#[derive(Debug, Default)]
pub struct Tries {
    /// Who has been tried, to the end.
    pub(super) tried: Set,
    /// Who is being tried.
    pub(super) at: Option<usize>,
    /// At which of its addresses.
    pub(super) address: usize,
    pub(super) more_addresses: bool,
    /// Whether the same peer is tried again: at another address, or once more.
    again: bool,
    /// Whether the connection is one of its own.
    pub(super) alone: bool,
    /// Whether something of an answer came.
    pub(super) answered: bool,
    occupied: Option<Occupied>,
}

/// Counts a request at its peer.
#[derive(Debug)]
struct Occupied(Arc<State>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

impl Tries {
    /// Whether the same peer is to be tried again.
    pub(super) fn same_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }

    /// A new peer.
    pub(super) fn begin(&mut self, at: usize) {
        self.at = Some(at);
        self.address = 0;
        self.alone = false;
    }

    /// The request goes to the peer of `state`.
    pub(super) fn occupy(&mut self, state: &Arc<State>) {
        state.busy.fetch_add(1, Relaxed);
        self.occupied = Some(Occupied(Arc::clone(state)));
    }

    /// The same peer, at its next address.
    pub(super) fn next_address(&mut self) {
        self.address += 1;
        self.again = true;
        self.occupied = None;
    }

    /// The same peer once more, over a connection of its own.
    pub(super) fn once_more(&mut self) {
        self.alone = true;
        self.again = true;
        self.occupied = None;
    }

    /// Another peer, if there is one.
    pub(super) fn give_up(&mut self) {
        self.tried |= self.at.map_or(0, only);
        self.again = false;
        self.occupied = None;
    }
}
