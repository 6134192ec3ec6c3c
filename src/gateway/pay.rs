//! Who pays: on a route whose app orders under another account than it logs
//! visitors in with, a visitor with a session is asked for by that account too.
//!
//! Holds always: whoever is let in without is one who cannot be asked in silence, or
//! whom the route would let in without any session; to those the app is told
//! nothing under that account, and nothing false; nobody is let in who would not be
//! let in by their session.

use std::sync::Arc;

use super::Gateway;
use super::decide::{Away, Decision, Permit, turn_away};
use crate::login::Opens;
use crate::reply::Trouble;
use crate::request::Asked;
use crate::route::{Auth, LoginAccount, Need, Route};
use crate::session::{Carried, Now, Session};

/// What is said of a request that is turned away for this, or let in without.
pub(super) const NO_PAYER: &str = "no_payer";
pub(super) const WITHOUT_PAYER: &str = "session_without_payer";

impl Gateway {
    /// The decision about a visitor whose session is enough, on a route with a
    /// `pay_account`.
    pub(super) fn who_pays(
        &self,
        asked: &Asked<'_>,
        route: &Arc<Route>,
        (account, pays): (&Arc<LoginAccount>, &Arc<LoginAccount>),
        mut carried: Carried,
        now: Now,
    ) -> Decision<'_> {
        let (lines, session) = (asked.cookie_lines(), &carried.session);
        match (self.sessions).read_payer(lines, &asked.host, pays, session, now) {
            Ok(paying) => carried.paying = Some(Box::new(paying)),
            Err(why) => {
                self.count_no_session(pays, why);
                if route.auth == Auth::Required && route.leads_to_wechat(asked) {
                    let opens = Opens::Payer(*session.id());
                    return match turn_away(asked, route, pays, Need::OPENID, NO_PAYER) {
                        Decision::Login(away, why) => Decision::Login(Away { opens, ..away }, why),
                        // The session is as good as before.
                        Decision::Refuse(Trouble::SessionEnded, why) => {
                            Decision::Refuse(Trouble::NoPayer, why)
                        }
                        other => other,
                    };
                }
            }
        }
        let (route, account) = (Arc::clone(route), Arc::clone(account));
        Decision::Forward(Permit::Vouched(route, account, Box::new(carried)))
    }

    /// The account with which the visitor of `session`, which is enough for `route`,
    /// is still to be asked for.
    pub(super) fn still_asks_who_pays<'r>(
        &self,
        asked: &Asked<'_>,
        route: &'r Route,
        session: &Session,
        now: Now,
    ) -> Option<&'r Arc<LoginAccount>> {
        let pays = route.pay_account.as_ref()?;
        let lines = asked.cookie_lines();
        let known = (self.sessions).read_payer(lines, &asked.host, pays, session, now);
        (known.is_err() && route.leads_to_wechat(asked)).then_some(pays)
    }

    /// `Set-Cookie` for who pays beside the session of `carried`, where it is to be
    /// written anew: once a new key signs.
    pub(super) fn renewed_payer(
        &self,
        route: &Route,
        carried: &Carried,
        now: Now,
    ) -> Option<String> {
        let (pays, paying) = (route.pay_account.as_ref()?, carried.paying.as_ref()?);
        (paying.renew).then(|| self.sessions.write_payer(&paying.payer, pays, now))
    }
}
