//! Which of a route's accounts a request is about: the visitor's browser chooses,
//! and a session of any of them lets in.
//!
//! Holds always: a browser is sent to no page of WeChat's that can only fail
//! there; a user agent decides where somebody is sent and never whether they are
//! let in. On a route with one account that account is asked, and no user agent
//! is read.

use std::sync::Arc;

use super::Gateway;
use super::decide::{Decision, turn_away};
use crate::reply::Trouble;
use crate::request::{Asked, Kind};
use crate::route::{LoginAccount, Need, OutsideWeChat, Route};
use crate::session::{Carried, NoSession, Now, Session};
use crate::wechat::Browser;

/// What a request shows of sessions of its route's accounts.
pub(super) type Found<'r> = (&'r Arc<LoginAccount>, Result<Carried, NoSession>);

impl Gateway {
    /// The session that a request carries of one of the accounts of `route`: the
    /// first that is `enough`, that of the browser's own account before the others.
    /// Where none is, what is known of the browser's own, or of the first.
    pub(super) fn find<'r>(
        &self,
        asked: &Asked<'_>,
        route: &'r Route,
        now: Now,
        enough: impl Fn(&LoginAccount, &Session) -> bool,
    ) -> Option<Found<'r>> {
        let read = |account| {
            let found = (self.sessions).read(asked.cookie_lines(), &asked.host, account, now);
            if let Err(why) = &found {
                self.count_no_session(account, *why);
            }
            found
        };
        if let [only] = route.accounts.all() {
            return Some((only, read(only)));
        }
        let own = route.accounts.of(asked.browser());
        let others = route.accounts.all().iter();
        let others = others.filter(|other| !own.is_some_and(|own| Arc::ptr_eq(own, other)));
        let mut best: Option<Found<'r>> = None;
        for account in own.into_iter().chain(others) {
            let found = read(account);
            match &found {
                Ok(carried) if enough(account, &carried.session) => return Some((account, found)),
                // Which sessions have ended is not known: nothing else counts.
                Err(NoSession::Unknown) => return Some((account, found)),
                _ => {}
            }
            // Why there is none says more than that there is none.
            let says_more = match &best {
                None => true,
                Some((_, Err(NoSession::Absent))) => !matches!(found, Err(NoSession::Absent)),
                Some(_) => false,
            };
            if says_more {
                best = Some((account, found));
            }
        }
        best
    }
}

/// The account that a browser which asks so is sent to WeChat with.
pub(super) fn login_account<'r>(
    asked: &Asked<'_>,
    route: &'r Route,
) -> Option<&'r Arc<LoginAccount>> {
    let official = || match route.outside_wechat {
        OutsideWeChat::Page => None,
        OutsideWeChat::Redirect => route.accounts.of(Browser::WeChat),
    };
    route.accounts.of(asked.browser()).or_else(official)
}

/// Whether the browser can log in with `account`, which `route` says more of.
pub(super) fn can_use(asked: &Asked<'_>, route: &Route, account: &LoginAccount) -> bool {
    let browser = account.wechat.kind().browser();
    let any = browser == Browser::WeChat && route.outside_wechat == OutsideWeChat::Redirect;
    any || browser == asked.browser()
}

/// What the visitor needs to log in with `account`. What `had` has besides is not
/// lost, if it is of this account.
pub(super) fn need_of(route: &Route, account: &LoginAccount, had: Option<&Session>) -> Need {
    let need = route.need(account.wechat.kind());
    match had.filter(|had| had.is_of(account)) {
        Some(had) => need.keeping(had.has()),
        None => need,
    }
}

/// What becomes of a request whose visitor is to log in, with the account that
/// their browser can use: see [`turn_away`].
pub(super) fn send_away<'a>(
    asked: &Asked<'_>,
    route: &Arc<Route>,
    had: Option<&Session>,
    reason: &'static str,
) -> Decision<'a> {
    match login_account(asked, route) {
        Some(account) => {
            let need = need_of(route, account, had);
            turn_away(asked, route, account, need, reason)
        }
        None => told(asked, route, reason),
    }
}

/// What is said where nobody can be sent anywhere.
pub(super) fn told<'a>(asked: &Asked<'_>, route: &Route, reason: &'static str) -> Decision<'a> {
    match asked.kind() {
        Kind::Navigation => Decision::Refuse(elsewhere(route), reason),
        Kind::Form => Decision::Refuse(Trouble::SessionEnded, reason),
        Kind::Other => Decision::LoginRequired(reason),
    }
}

/// Where a route is to be opened whose accounts are of no use to this browser: all
/// the places that would do.
pub(super) fn elsewhere(route: &Route) -> Trouble {
    open_in(|browser| route.accounts.of(browser).is_some())
}

/// The same for the browsers of which `has` says so.
pub(super) fn open_in(has: impl Fn(Browser) -> bool) -> Trouble {
    match (
        has(Browser::WeChat),
        has(Browser::WeCom),
        has(Browser::Other),
    ) {
        (true, true, _) => Trouble::OutsideBoth,
        (true, false, true) => Trouble::WeChatOrBrowser,
        (true, false, false) => Trouble::OutsideWeChat,
        (false, true, true) => Trouble::WeComOrBrowser,
        (false, true, false) => Trouble::OutsideWeCom,
        (false, false, _) => Trouble::OpenInBrowser,
    }
}
