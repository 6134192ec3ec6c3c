//! From a code to a session: WeChat's calls of one login.
//!
//! Holds always: a failure is logged here, once; a snapshot page's visitor opens
//! no session but one of that kind, and only where the route takes it; one who is not
//! of the corp opens none, unless the account lets outsiders in; one who
//! granted less than was asked, or has not the id that was asked for, opens none;
//! nobody is let in whose tokens a route
//! needs and nobody kept.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{error, warn};

use crate::metrics::AccountCounts;
use crate::origin::Host;
use crate::reply::Trouble;
use crate::route::{LoginAccount, Need};
use crate::session::{Millis, Now, Session, Sessions, Terms};
use crate::tokens::Keeper;
use crate::wechat::errcode::{Side, Who};
use crate::wechat::{Api, ApiError, Code, Errcode, Grant, Meaning, Profile, Scope, Visitor};

/// Why an exchange opened no session.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// WeChat's answer, or the lack of one.
    Api(ApiError),
    /// A snapshot page's visitor, who is nobody.
    Snapshot,
    /// Somebody who is not of the corp.
    Outsider,
    /// Less than the route needs.
    GrantedLess,
    /// No unionid, which the route needs.
    NoUnionId,
    /// This login has brought too many codes.
    TooManyCodes,
    /// The store, which is to keep the visitor's tokens, does not answer.
    Store,
    /// The system gave no random bytes.
    Internal,
}

/// The moment in a session's unit.
pub(super) fn seconds(now: Millis) -> Now {
    now / 1000
}

/// What an error of WeChat's leads to.
pub(super) fn consequence(code: &Errcode) -> Trouble {
    let meaning = code.meaning();
    // Their pages name menus of WeChat's console, where a corp's app has none.
    if code.side == Side::WeCom && meaning.who() == Who::Operator {
        return Trouble::CorpBroken;
    }
    match meaning {
        Meaning::Busy => Trouble::NoAnswer,
        // Of tokens WeChat has nothing to say here: nothing came of the code.
        Meaning::CodeSpent | Meaning::TokenDead | Meaning::RefreshDead => Trouble::CodeNotTaken,
        Meaning::Refused => Trouble::Refused,
        Meaning::MinuteQuota | Meaning::DailyQuota => Trouble::Quota,
        Meaning::Barred => Trouble::Barred,
        Meaning::SecretWrong => Trouble::SecretWrong,
        Meaning::AppIdWrong => Trouble::AppIdWrong,
        Meaning::AddressRefused => Trouble::AddressRefused,
        Meaning::ApiBanned => Trouble::ApiBanned,
        Meaning::NotGranted => Trouble::NotEntitled,
        Meaning::Unknown => Trouble::AccountBroken,
    }
}

/// One exchange, with all it needs.
pub(super) struct Work<'a> {
    pub(super) api: &'a Api,
    pub(super) sessions: &'a Sessions,
    pub(super) keeper: &'a Keeper,
    pub(super) account: &'a LoginAccount,
    pub(super) host: &'a Host,
    pub(super) need: Need,
    /// Whether a snapshot page's visitor may look around.
    pub(super) admits_snapshots: bool,
    /// Whether the session stays one: it may only tell who pays beside another.
    pub(super) opens_session: bool,
    /// The session that had too little, if there was one.
    pub(super) before: Option<Session>,
    pub(super) complaints: &'a Complaints,
    pub(super) counts: &'a AccountCounts,
    pub(super) now: Millis,
}

impl Work<'_> {
    /// Exchanges `code` and opens a session for whom WeChat names.
    pub(super) async fn run(&self, code: &Code) -> Result<Session, Failure> {
        let account = &self.account.wechat;
        let grant = self
            .api
            .exchange(account, code)
            .await
            .map_err(|error| self.failed("exchange", error))?;
        if grant.is_snapshot() && !self.admits_snapshots {
            return Err(Failure::Snapshot);
        }
        if !self.account.admits(grant.visitor()) {
            return Err(Failure::Outsider);
        }
        let asked = self.need.scope;
        if grant.scope().is_some_and(|granted| granted < asked) {
            warn!(
                account = self.account.name.as_str(),
                asked = asked.as_str(),
                "WeChat granted less than was asked for"
            );
            return Err(Failure::GrantedLess);
        }
        let profile = match asked {
            Scope::Base => None,
            Scope::Userinfo => Some(self.profile(&grant).await),
        };
        let profile = match profile {
            // Whoever could not be asked about is not said to have no unionid.
            Some(Err(failure)) if self.need.unionid && grant.unionid().is_none() => {
                return Err(failure);
            }
            Some(told) => told.ok(),
            None => None,
        };
        let now = seconds(self.now);
        let terms = Terms {
            scope: asked,
            tokens: self.need.tokens,
        };
        let session = self
            .sessions
            .open(self.host, self.account, &grant, terms, profile, now)
            .map_err(|_| Failure::Internal)?;
        let session = match &self.before {
            Some(before) => session.in_place_of(before),
            None => session,
        };
        if !self.need.is_named_by(session.has()) {
            return Err(self.no_unionid());
        }
        if session.has().tokens {
            let tokens = grant
                .tokens()
                .map_err(|error| self.failed("exchange", error))?;
            self.keeper
                .keep(&session, tokens, now)
                .await
                .map_err(|error| {
                    warn!("a login was refused, for its tokens could not be kept: {error}");
                    Failure::Store
                })?;
        }
        if self.opens_session {
            self.counts.sessions.add_one(match session.is_snapshot() {
                false => "opened",
                true => "opened_snapshot",
            });
        }
        Ok(session)
    }

    /// An operator's mistake: the account is bound to no open platform account.
    fn no_unionid(&self) -> Failure {
        let account = self.account.name.as_str();
        if let Some(before) = self.complaints.note(account, NO_UNIONID) {
            error!(
                account,
                before,
                "WeChat gave no unionid, which a route with identity = \"unionid\" needs: bind the account to an open platform account \
                 (微信开放平台, open.weixin.qq.com > 管理中心), the same for all accounts of the route"
            );
        }
        Failure::NoUnionId
    }

    /// The visitor is known; without a profile the app knows less of them.
    async fn profile(&self, grant: &Grant) -> Result<Profile, Failure> {
        let told = match (grant.tokens(), grant.visitor()) {
            (Ok(tokens), Visitor::OpenId(openid)) => {
                let account = &self.account.wechat;
                self.api.profile(account, tokens.access(), openid).await
            }
            (Ok(_), Visitor::Member(_)) => Err(ApiError::Garbled("a member has no profile")),
            (Err(error), _) => Err(error),
        };
        told.map_err(|error| self.failed("profile", error))
    }

    /// Logged once, here: the rest of the way only decides what is shown.
    fn failed(&self, call: &'static str, api_error: ApiError) -> Failure {
        let account = self.account.name.as_str();
        match &api_error {
            ApiError::Errcode { code, .. } if code.meaning().who() == Who::Operator => {
                if let Some(before) = self.complaints.note(account, code.code) {
                    error!(account, call, before, "{api_error}");
                }
            }
            _ => warn!(account, call, "{api_error}"),
        }
        Failure::Api(api_error)
    }
}

/// What stands for WeChat's number where it gave no unionid.
const NO_UNIONID: i64 = i64::MIN;

/// How often a mistake that one word mends is told.
const TOLD: Duration = Duration::from_secs(60);

/// Operators' mistakes that were told: a thousand visitors meet one at once, and
/// one line a minute is heard better.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<HashMap<(String, i64), (Instant, u64)>>);

impl Complaints {
    /// Notes one. Says how many were kept quiet before it, if it is to be told.
    pub(super) fn note(&self, account: &str, code: i64) -> Option<u64> {
        let mut told = self.0.lock();
        let entry = told.entry((account.to_owned(), code));
        let mut first = false;
        let (at, quiet) = entry.or_insert_with(|| {
            first = true;
            (Instant::now(), 0)
        });
        if !first && at.elapsed() < TOLD {
            *quiet += 1;
            return None;
        }
        *at = Instant::now();
        Some(std::mem::take(quiet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_once_a_minute_for_each_account() {
        let all = Complaints::default();
        assert_eq!(all.note("shop", 40125), Some(0));
        assert_eq!(all.note("shop", 40125), None);
        assert_eq!(all.note("shop", 40125), None);
        assert_eq!(all.note("club", 40125), Some(0));
        assert_eq!(all.note("shop", 40013), Some(0));
        let long_ago = Instant::now().checked_sub(TOLD).unwrap();
        for (at, _) in all.0.lock().values_mut() {
            *at = long_ago;
        }
        assert_eq!(all.note("shop", 40125), Some(2));
        assert_eq!(all.note("shop", 40125), None);
    }
}
