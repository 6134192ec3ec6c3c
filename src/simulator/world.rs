//! All that the simulator knows, behind one lock.
//!
//! What always holds: the lock is held for the time of one step and never
//! while waiting for anything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::corp::CorpTokens;
use super::grants::Grants;
use super::journal::{Calls, Event, Journal};
use super::mood::Spell;
use super::socket::lock;
use super::visitors::{Visitor, Visitors, openid_elsewhere};
use super::{Frequency, Settings, SimAccount};

/// How many authorizes are remembered to find the too frequent.
const REMEMBERED_AUTHORIZES: usize = 10_000;

/// The simulator's settings, which never change, and its state.
pub(super) struct World {
    pub(super) accounts: Vec<SimAccount>,
    pub(super) base_url: String,
    too_frequent: Option<Frequency>,
    started: Instant,
    state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    /// The simulator's clock, since its start; set anew for every step.
    pub(super) now: Duration,
    pub(super) grants: Grants,
    pub(super) corps: CorpTokens,
    pub(super) visitors: Visitors,
    pub(super) journal: Journal,
    pub(super) spell: Spell,
    advanced: Duration,
    authorizes: VecDeque<Authorize>,
}

struct Authorize {
    at: Duration,
    account: usize,
    visitor: Arc<Visitor>,
}

impl World {
    pub(super) fn new(settings: Settings, base_url: String) -> World {
        World {
            accounts: settings.accounts,
            base_url,
            too_frequent: settings.too_frequent,
            started: Instant::now(),
            state: Mutex::new(State {
                now: Duration::ZERO,
                grants: Grants::default(),
                corps: CorpTokens::default(),
                visitors: Visitors::built_in(),
                journal: Journal::default(),
                spell: Spell::NORMAL,
                advanced: Duration::ZERO,
                authorizes: VecDeque::new(),
            }),
        }
    }

    /// One step: `change` sees the state with its clock set.
    pub(super) fn step<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        state.now = self.started.elapsed() + state.advanced;
        change(&mut state)
    }

    /// The simulator's clock as Unix time, in seconds.
    pub(super) fn unix_now(&self) -> u64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH);
        let advanced = lock(&self.state).advanced;
        (real.unwrap_or_default() + advanced).as_secs()
    }

    /// What `account` calls this visitor.
    pub(super) fn openid(&self, account: usize, visitor: &Visitor) -> String {
        match (account, self.accounts.get(account)) {
            (1.., Some(its)) => openid_elsewhere(&its.app_id, visitor),
            _ => visitor.openid.clone(),
        }
    }

    /// Whether this is one authorize too many, by the settings.
    pub(super) fn is_too_frequent(
        &self,
        state: &mut State,
        account: usize,
        visitor: &Arc<Visitor>,
    ) -> bool {
        let Some(limit) = self.too_frequent else {
            return false;
        };
        let now = state.now;
        let authorizes = &mut state.authorizes;
        while authorizes
            .front()
            .is_some_and(|oldest| now.saturating_sub(oldest.at) >= limit.within)
            || authorizes.len() >= REMEMBERED_AUTHORIZES
        {
            authorizes.pop_front();
        }
        let theirs = authorizes
            .iter()
            .filter(|one| one.account == account && one.visitor.openid == visitor.openid)
            .count();
        authorizes.push_back(Authorize {
            at: now,
            account,
            visitor: visitor.clone(),
        });
        theirs >= limit.authorizes
    }

    pub(super) fn cast(&self, spell: Spell) {
        self.step(|state| {
            let now = state.now;
            state
                .journal
                .record(now, format!("mood: {}", spell.described()));
            state.spell = spell;
        });
    }

    pub(super) fn calls(&self) -> Calls {
        self.step(|state| state.journal.calls.clone())
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.step(|state| state.journal.events())
    }

    pub(super) fn visitors(&self) -> Vec<Visitor> {
        self.step(|state| {
            let all = state.visitors.all().iter();
            all.map(|visitor| Visitor::clone(visitor)).collect()
        })
    }

    pub(super) fn set_default_visitor(&self, openid: &str) -> bool {
        self.step(|state| {
            let now = state.now;
            let Some(visitor) = state.visitors.set_default(openid) else {
                return false;
            };
            let line = format!("visitor: {} by default", visitor.shown());
            state.journal.record(now, line);
            true
        })
    }

    pub(super) fn openid_on(&self, app_id: &str, visitor: &str) -> Option<String> {
        let account = self
            .accounts
            .iter()
            .position(|account| account.app_id == app_id)?;
        let visitor = self.step(|state| state.visitors.find(visitor).cloned())?;
        Some(self.openid(account, &visitor))
    }

    pub(super) fn employ(&self, openid: &str, userid: &str) -> bool {
        self.step(|state| {
            let now = state.now;
            let Some(visitor) = state.visitors.employ(openid, userid) else {
                return false;
            };
            let line = format!("visitor: {} is a member of every corp", visitor.shown());
            state.journal.record(now, line);
            true
        })
    }

    pub(super) fn forget_corp_tokens(&self) {
        self.step(|state| {
            state.corps.forget_all();
            let now = state.now;
            let line = "corps' tokens are unknown from now on".to_owned();
            state.journal.record(now, line);
        });
    }

    pub(super) fn withdraw(&self, openid: &str) {
        self.step(|state| {
            state.grants.withdraw(openid);
            let now = state.now;
            state
                .journal
                .record(now, "a visitor took their consent back".to_owned());
        });
    }

    pub(super) fn advance_clock(&self, by: Duration) {
        self.step(|state| {
            state.advanced = state.advanced.saturating_add(by);
            let now = state.now;
            let line = format!("clock: {} s later", by.as_secs());
            state.journal.record(now, line);
        });
    }
}
