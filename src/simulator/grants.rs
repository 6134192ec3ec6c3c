//! Codes and tokens: given out, exchanged, refreshed, looked up.
//!
//! What always holds: a code is exchanged at most once, by the account it was
//! issued to, within five minutes. The time is an argument, counted from the
//! simulator's start. Memory is bounded: the oldest are forgotten first, and
//! a forgotten code or token is an invalid one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::errcode::Errcode;
use super::link::Scope;
use super::random;
use super::visitors::Visitor;

const CODE_LIFE: Duration = Duration::from_secs(5 * 60);
/// An access token's life, as `expires_in` says.
pub(super) const ACCESS_LIFE: Duration = Duration::from_secs(7200);
const REFRESH_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many codes, and tokens of each kind, are remembered.
const REMEMBERED: usize = 50_000;

/// Whom a code or a token stands for.
pub(super) struct Holder {
    /// Which of the accounts, by its place among them.
    pub(super) account: usize,
    pub(super) app_id: String,
    pub(super) openid: String,
    pub(super) scope: Scope,
    pub(super) snapshot: bool,
    pub(super) visitor: Arc<Visitor>,
}

/// What an exchange or a refresh gives.
pub(super) struct Granted {
    pub(super) holder: Arc<Holder>,
    pub(super) access_token: String,
    pub(super) refresh_token: String,
}

/// All codes and tokens.
#[derive(Default)]
pub(super) struct Grants {
    codes: Recent<Code>,
    access: Recent<Access>,
    refresh: Recent<Refresh>,
}

struct Code {
    holder: Arc<Holder>,
    issued: Duration,
    used: bool,
}

struct Access {
    holder: Arc<Holder>,
    until: Duration,
}

struct Refresh {
    holder: Arc<Holder>,
    until: Duration,
    access_token: String,
}

impl Grants {
    /// A new code for this visitor.
    pub(super) fn issue(&mut self, holder: Holder, now: Duration) -> String {
        let code = random::code();
        let issued = Code {
            holder: Arc::new(holder),
            issued: now,
            used: false,
        };
        self.codes.insert(code.clone(), issued);
        code
    }

    /// Code to tokens.
    pub(super) fn exchange(
        &mut self,
        app_id: &str,
        code: &str,
        now: Duration,
    ) -> Result<Granted, Errcode> {
        let known = self.codes.get_mut(code).ok_or(Errcode::CODE)?;
        if known.holder.app_id != app_id {
            return Err(Errcode::CODE);
        }
        if known.used {
            return Err(Errcode::CODE_USED);
        }
        if now.saturating_sub(known.issued) >= CODE_LIFE {
            return Err(Errcode::CODE_EXPIRED);
        }
        known.used = true;
        let holder = known.holder.clone();
        let granted = Granted {
            holder: holder.clone(),
            access_token: random::token(),
            refresh_token: random::token(),
        };
        self.keep_access(&granted, now);
        let refresh = Refresh {
            holder,
            until: now + REFRESH_LIFE,
            access_token: granted.access_token.clone(),
        };
        self.refresh.insert(granted.refresh_token.clone(), refresh);
        Ok(granted)
    }

    /// Code to who it stands for, with a corp: there are no tokens of theirs. WeCom
    /// says the same of a code that was used and of one that is too old.
    pub(super) fn spend(
        &mut self,
        app_id: &str,
        account: usize,
        code: &str,
        now: Duration,
    ) -> Result<Arc<Holder>, Errcode> {
        let known = self.codes.get_mut(code).ok_or(Errcode::CODE)?;
        let own = known.holder.app_id == app_id && known.holder.account == account;
        if !own || known.used || now.saturating_sub(known.issued) >= CODE_LIFE {
            return Err(Errcode::CODE);
        }
        known.used = true;
        Ok(known.holder.clone())
    }

    /// Refresh token to access token. As WeChat does it, a token that still
    /// lives is prolonged and stays the same, and the refresh token keeps its
    /// thirty days from the login.
    pub(super) fn refresh(
        &mut self,
        app_id: &str,
        refresh_token: &str,
        now: Duration,
    ) -> Result<Granted, Errcode> {
        let known = self
            .refresh
            .get_mut(refresh_token)
            .ok_or(Errcode::REFRESH_TOKEN)?;
        if known.holder.app_id != app_id {
            return Err(Errcode::REFRESH_TOKEN);
        }
        if now >= known.until {
            return Err(Errcode::REFRESH_EXPIRED);
        }
        let lives = |access: &mut Access| now < access.until;
        if !self.access.get_mut(&known.access_token).is_some_and(lives) {
            known.access_token = random::token();
        }
        let granted = Granted {
            holder: known.holder.clone(),
            access_token: known.access_token.clone(),
            refresh_token: refresh_token.to_owned(),
        };
        self.keep_access(&granted, now);
        Ok(granted)
    }

    /// Whom an access token stands for.
    pub(super) fn holder(
        &mut self,
        access_token: &str,
        openid: &str,
        now: Duration,
    ) -> Result<Arc<Holder>, Errcode> {
        let access = self.access.get_mut(access_token);
        let access = access.ok_or(match access_token.len() {
            60.. => Errcode::TOKEN_UNKNOWN,
            _ => Errcode::TOKEN_MALFORMED,
        })?;
        if now >= access.until {
            return Err(Errcode::TOKEN_EXPIRED);
        }
        if access.holder.openid != openid {
            return Err(Errcode::OPENID);
        }
        Ok(access.holder.clone())
    }

    /// The visitor takes back what they granted: their tokens are unknown from
    /// now on.
    pub(super) fn withdraw(&mut self, openid: &str) {
        self.access
            .values
            .retain(|_, its| its.holder.openid != openid);
        self.refresh
            .values
            .retain(|_, its| its.holder.openid != openid);
    }

    fn keep_access(&mut self, granted: &Granted, now: Duration) {
        let access = Access {
            holder: granted.holder.clone(),
            until: now + ACCESS_LIFE,
        };
        self.access.insert(granted.access_token.clone(), access);
    }
}

/// The newest values by key.
struct Recent<T> {
    values: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent {
            values: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Recent<T> {
    fn insert(&mut self, key: String, value: T) {
        if self.values.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        self.values.get_mut(key)
    }
}
