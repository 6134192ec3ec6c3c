//! From a code to a session: WeChat's calls of one login.
//!
//! Holds always: a failure is logged here, once; a snapshot page's visitor opens
//! no session but one of that kind, and only where the route takes it; one who
//! granted less than was asked opens none; nobody is let in whose tokens a route
//! needs and nobody kept.

use tracing::{error, warn};

use crate::origin::Host;
use crate::reply::Trouble;
use crate::route::{LoginAccount, Need};
use crate::session::{Millis, Now, Session, Sessions, Terms};
use crate::store::Store;
use crate::tokens::Keeper;
use crate::wechat::{Api, ApiError, Code, Grant, Meaning, Profile, Scope};

/// Why an exchange opened no session.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// WeChat's answer, or the lack of one.
    Api(ApiError),
    /// A snapshot page's visitor, who is nobody.
    Snapshot,
    /// Less than the route needs.
    GrantedLess,
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
pub(super) fn consequence(meaning: Meaning) -> Trouble {
    match meaning {
        Meaning::Busy => Trouble::NoAnswer,
        Meaning::CodeSpent => Trouble::CodeNotTaken,
        Meaning::Refused => Trouble::Refused,
        Meaning::Quota => Trouble::Quota,
        Meaning::Barred => Trouble::Barred,
        Meaning::Operator
        | Meaning::NotGranted
        | Meaning::TokenDead
        | Meaning::RefreshDead
        | Meaning::Unknown => Trouble::AccountBroken,
    }
}

/// One exchange, with all it needs.
pub(super) struct Work<'a> {
    pub(super) api: &'a Api,
    pub(super) sessions: &'a Sessions,
    pub(super) keeper: &'a Keeper,
    pub(super) store: &'a Store,
    pub(super) account: &'a LoginAccount,
    pub(super) host: &'a Host,
    pub(super) need: Need,
    /// Whether a snapshot page's visitor may look around.
    pub(super) admits_snapshots: bool,
    pub(super) now: Millis,
}

impl Work<'_> {
    /// Exchanges `code` and opens a session for whom WeChat names.
    pub(super) async fn run(&self, code: &Code) -> Result<Session, Failure> {
        let account = &self.account.wechat;
        if self.need.tokens
            && let Err(error) = self.store.ready()
        {
            warn!(
                "a login was refused, and its code not spent, for its tokens could not be kept: {error}"
            );
            return Err(Failure::Store);
        }
        let grant = self
            .api
            .exchange(account, code)
            .await
            .map_err(|error| self.failed("exchange", error))?;
        if grant.is_snapshot() && !self.admits_snapshots {
            return Err(Failure::Snapshot);
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
            Scope::Userinfo => self.profile(&grant).await,
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
        Ok(session)
    }

    /// The visitor is known; without a profile the app knows less of them.
    async fn profile(&self, grant: &Grant) -> Option<Profile> {
        let told = match grant.tokens() {
            Ok(tokens) => {
                let (account, openid) = (&self.account.wechat, grant.openid());
                self.api.profile(account, tokens.access(), openid).await
            }
            Err(error) => Err(error),
        };
        told.map_err(|error| self.failed("profile", error)).ok()
    }

    /// Logged once, here: the rest of the way only decides what is shown.
    fn failed(&self, call: &'static str, api_error: ApiError) -> Failure {
        let account = self.account.name.as_str();
        let operators = matches!(&api_error, ApiError::Errcode { code, .. } if consequence(code.meaning()) == Trouble::AccountBroken);
        if operators {
            error!(account, call, "{api_error}");
        } else {
            warn!(account, call, "{api_error}");
        }
        Failure::Api(api_error)
    }
}
