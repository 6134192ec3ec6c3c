//! What the simulator did: counters and a bounded list of lines.
//!
//! What always holds: no line holds a secret, a code or a token. Lines are
//! made of the accounts' appids, visitors' nicknames, WeChat's words and
//! numbers, never of what a request said.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

/// How many events are kept.
const KEPT: usize = 200;

/// How often each page and api was called, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// `/connect/oauth2/authorize`
    pub authorize: Tally,
    /// `/connect/qrconnect`
    pub qrconnect: Tally,
    /// The links on the simulator's pages that choose a visitor or refuse.
    pub choose: Tally,
    /// `/sns/oauth2/access_token`
    pub exchange: Tally,
    /// `/sns/oauth2/refresh_token`
    pub refresh: Tally,
    /// `/sns/userinfo`
    pub userinfo: Tally,
    /// `/sns/auth`
    pub check: Tally,
    /// `/cgi-bin/gettoken`
    pub gettoken: Tally,
    /// `/cgi-bin/auth/getuserinfo`
    pub getuserinfo: Tally,
}

/// One page's or api's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub total: u64,
    /// By what came of them: `ok`, an errcode such as `40163`, a mood's name
    /// such as `reset` where the mood spoiled the answer; for the pages also
    /// `asked`, `refused`, `10003`, `malformed`.
    pub outcomes: BTreeMap<String, u64>,
}

impl Tally {
    /// How many ended so.
    pub fn of(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    /// How many ended well: a code issued, an answer given.
    pub fn ok(&self) -> u64 {
        self.of("ok")
    }

    pub(super) fn count(&mut self, outcome: &str) {
        self.total += 1;
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }
}

/// One step of what the simulator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Counts from 1.
    pub number: u64,
    /// The simulator's clock, in milliseconds since its start.
    pub at_ms: u64,
    /// One readable line without a secret, code or token.
    pub text: String,
}

/// The counters and the lines.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) calls: Calls,
    events: VecDeque<Event>,
    last: u64,
}

impl Journal {
    /// Writes down one step, here and in the log.
    pub(super) fn record(&mut self, now: Duration, text: String) {
        self.last += 1;
        tracing::info!(target: "wxgate::simulator", "{} {text}", self.last);
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            number: self.last,
            at_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            text,
        });
    }

    /// Newest last.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }
}
