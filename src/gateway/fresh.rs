//! What WeChat is asked of a visitor who is let in already: whether their
//! consent holds, what they are called, what acts in their name.
//!
//! Holds always: nothing is asked on a route that asks for nothing, nor of a
//! snapshot page's visitor; whoever cannot be asked about, on a route that asks
//! whether the consent holds, is nobody; whoever withdrew their consent is not let in, and
//! their session is ended everywhere; a question that is not answered counts for
//! as long again as the route allows, and then the request is refused.

use std::sync::Arc;

use tracing::warn;

use super::browser::send_away;
use super::decide::{Away, Decision, Permit};
use super::{Gateway, Visit};
use crate::reply::Trouble;
use crate::request::{Asked, Kind};
use crate::route::{Auth, LoginAccount, Route};
use crate::session::{Carried, Session};
use crate::tokens::Useless;
use crate::wechat::calls;

impl Gateway {
    /// The same decision, or another where what WeChat says calls for it.
    pub(super) async fn freshen<'a>(
        &'a self,
        decision: Decision<'a>,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Decision<'a> {
        let Decision::Forward(Permit::Vouched(route, account, carried)) = decision else {
            return decision;
        };
        let (session, checked) = (&carried.session, route.verify_every.is_some());
        if !route.needs_tokens() || session.is_snapshot() || !(session.has().tokens || checked) {
            return Decision::Forward(Permit::Vouched(route, account, carried));
        }
        let fresh = Fresh {
            gateway: self,
            route,
            account,
        };
        // Where a session is welcome, one may come that was opened for less.
        if !session.has().tokens {
            return fresh.unknown(session, asked);
        }
        // Which puts it in a box, as it is seldom needed and large.
        let (decision, called) = calls::noted(fresh.permit(*carried, asked, visit)).await;
        visit.calls = called;
        decision
    }
}

/// A route that asks for something, and whose visitors come there.
struct Fresh<'a> {
    gateway: &'a Gateway,
    route: Arc<Route>,
    account: Arc<LoginAccount>,
}

impl<'a> Fresh<'a> {
    async fn permit(
        self,
        mut carried: Carried,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Decision<'a> {
        let (keeper, now) = (&self.gateway.keeper, visit.now);
        let session = &carried.session;
        if let Some(every) = self.route.verify_every.map(|every| every.seconds())
            && session.verified_at() + every <= now
        {
            let said = keeper.consent(&self.account, session, every, now).await;
            match said {
                Ok(at) => {
                    carried.session = carried.session.with_consent(at);
                    carried.renew = true;
                }
                Err(Useless::Dead) => return self.withdrawn(session, asked).await,
                // Nothing is known against the visitor, and nothing for them.
                Err(Useless::Gone) => return self.unknown(session, asked),
                Err(Useless::Store(_)) => return refuse(Trouble::StoreDown),
                Err(_) if session.verified_at() + 2 * every > now => {}
                Err(_) => return refuse(Trouble::NoAnswer),
            }
        }
        let session = &carried.session;
        if let Some(ttl) = self.route.profile_ttl.map(|ttl| ttl.seconds())
            && session.profile_at() + ttl <= now
            && asked.kind() == Kind::Navigation
        {
            let told = keeper.profile(&self.account, session, ttl, now).await;
            match told {
                Ok((at, profile)) => {
                    carried.session = carried.session.with_profile(profile, at);
                    carried.renew = true;
                }
                Err(Useless::Gone | Useless::Dead) if self.route.auth == Auth::Required => {
                    return self.log_in(session, asked);
                }
                // A name that is out of date harms nobody.
                Err(_) => {}
            }
        }
        if self.route.access_token {
            match keeper.access(&self.account, &carried.session, now).await {
                Ok(tokens) => visit.access = Some(tokens.access().clone()),
                Err(Useless::Gone | Useless::Dead) if self.route.auth == Auth::Required => {
                    return self.log_in(&carried.session, asked);
                }
                Err(Useless::Gone | Useless::Dead) => {}
                Err(Useless::Store(_)) => return refuse(Trouble::StoreDown),
                Err(Useless::WeChat(_) | Useless::Late) => return refuse(Trouble::NoAnswer),
            }
        }
        Decision::Forward(Permit::Vouched(self.route, self.account, Box::new(carried)))
    }

    /// The visitor took their consent back: they are logged out, everywhere.
    async fn withdrawn(&self, session: &Session, asked: &Asked<'_>) -> Decision<'a> {
        // Should the store not answer, the session has ended here all the same,
        // and elsewhere ends when it is asked there.
        if let Err(error) = self.gateway.store.revoke(&session.revocation()).await {
            warn!("a withdrawn consent is not known to the other instances yet: {error}");
        }
        self.gateway.keeper.forget(session).await;
        if self.route.auth == Auth::Optional {
            return Decision::Forward(Permit::Anonymous(Arc::clone(&self.route)));
        }
        send_away(asked, &self.route, None, "consent_withdrawn")
    }

    /// Whether the consent holds cannot be asked any more.
    fn unknown(&self, session: &Session, asked: &Asked<'_>) -> Decision<'a> {
        match self.route.auth {
            Auth::Optional => Decision::Forward(Permit::Anonymous(Arc::clone(&self.route))),
            Auth::Required | Auth::None => self.log_in(session, asked),
        }
    }

    fn log_in(&self, session: &Session, asked: &Asked<'_>) -> Decision<'a> {
        match send_away(asked, &self.route, Some(session), "tokens_gone") {
            Decision::Login(away, why) => {
                let instead_of = Some(*session.id());
                Decision::Login(Away { instead_of, ..away }, why)
            }
            other => other,
        }
    }
}

fn refuse(trouble: Trouble) -> Decision<'static> {
    Decision::Refuse(trouble, trouble.reason())
}
