//! What is counted of an account: its logins, its sessions, WeChat's answers.
//!
//! Holds always: a login counts once as begun and once as ended, however many
//! duplicates of its callback arrive.

use std::sync::atomic::{AtomicBool, Ordering};

use super::counts::{Counter, Histogram, Spread, Tally};
use crate::wechat::Call;

/// One account, by its name in the file.
#[derive(Debug, Default)]
pub struct AccountCounts {
    /// What became of logins: `started`, `ok`, `started_again`, or why not.
    pub logins: Tally<&'static str>,
    /// What happened to sessions.
    pub sessions: Tally<&'static str>,
    /// Logins that went round and were stopped.
    pub loops: Counter,
    /// Callbacks that came again.
    pub duplicates: Counter,
    /// What WeChat answered but what was hoped for.
    pub errors: Tally<(Call, String)>,
    pub(super) answered: [Histogram; Call::ALL.len()],
    circuit: AtomicBool,
}

impl AccountCounts {
    /// A login has begun with its visitor being sent to WeChat.
    pub const STARTED: &str = "started";
    /// A login has opened a session.
    pub const OK: &str = "ok";
    /// A login has begun anew by itself.
    pub const AGAIN: &str = "started_again";

    /// Notes whether the account's quota is used up.
    pub fn set_circuit(&self, open: bool) {
        self.circuit.store(open, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn circuit_is_open(&self) -> bool {
        self.circuit.load(Ordering::Relaxed)
    }

    /// How long WeChat took for it, by call.
    pub fn answered(&self) -> impl Iterator<Item = (Call, Spread)> {
        Call::ALL
            .into_iter()
            .zip(self.answered.iter().map(Histogram::read))
    }

    /// How many logins started, ended well, and did not.
    pub fn outcomes(&self) -> (u64, u64, u64) {
        let (mut started, mut ok, mut failed) = (0, 0, 0);
        for (outcome, count) in self.logins.read() {
            match outcome {
                Self::STARTED => started += count,
                Self::OK => ok += count,
                Self::AGAIN => {}
                _ => failed += count,
            }
        }
        (started, ok, failed)
    }
}
