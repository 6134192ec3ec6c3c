//! From a code to a session: WeChat's calls of one login.
//!
//! Holds always: a failure is logged here, once; a snapshot page's visitor and
//! one who granted less than was asked open no session.

use tracing::{error, warn};

use crate::origin::Host;
use crate::reply::Trouble;
use crate::route::LoginAccount;
use crate::session::{Millis, Now, Session, Sessions};
use crate::wechat::{Api, ApiError, Code, Meaning, Profile, Scope};

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
    pub(super) account: &'a LoginAccount,
    pub(super) host: &'a Host,
    pub(super) scope: Scope,
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
        if grant.is_snapshot() {
            return Err(Failure::Snapshot);
        }
        if grant.scope().is_some_and(|granted| granted < self.scope) {
            warn!(
                account = self.account.name.as_str(),
                asked = self.scope.as_str(),
                "WeChat granted less than was asked for"
            );
            return Err(Failure::GrantedLess);
        }
        let profile = match self.scope {
            Scope::Base => Profile::default(),
            // The visitor is known; without a profile the app knows less of them.
            Scope::Userinfo => self
                .api
                .profile(account, &grant)
                .await
                .unwrap_or_else(|error| {
                    self.failed("profile", error);
                    Profile::default()
                }),
        };
        self.sessions
            .open(
                self.host,
                self.account,
                &grant,
                self.scope,
                profile,
                seconds(self.now),
            )
            .map_err(|_| Failure::Internal)
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
