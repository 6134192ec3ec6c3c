//! The one decision about a request: may it go to its app, and as whom?
//!
//! Holds always: a [`Permit`] is made here and nowhere else, and
//! [`Permit::Vouched`] only with a session that verified.

use std::sync::Arc;

use super::Gateway;
use super::browser::{can_use, elsewhere, send_away};
use crate::endpoints::Endpoint;
use crate::facade::{Call, Facade};
use crate::login::Opens;
use crate::reply::Trouble;
use crate::request::{Asked, Kind};
use crate::revocation::SessionId;
use crate::route::{Auth, Decided, LoginAccount, Need, Route, Snapshot};
use crate::session::{Carried, NoSession, Now, Payer, Session};
use crate::wechat::account::VerifyFile;
use crate::wechat::{Browser, Scope};

/// The evidence that a request may go to its app.
#[derive(Debug)]
pub(super) enum Permit {
    /// The route asks for no session.
    Public(Arc<Route>),
    /// The route welcomes a session, and there is none.
    Anonymous(Arc<Route>),
    /// WeChat vouched for the visitor, or showed them a snapshot page where the
    /// route takes that.
    Vouched(Arc<Route>, Arc<LoginAccount>, Box<Carried>),
}

impl Permit {
    /// The route it was given for.
    pub(super) fn route(&self) -> &Arc<Route> {
        match self {
            Self::Public(route) | Self::Anonymous(route) | Self::Vouched(route, _, _) => route,
        }
    }

    /// The session it was given for, if it was.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Vouched(_, _, carried) => Some(&carried.session),
            Self::Public(_) | Self::Anonymous(_) => None,
        }
    }

    /// Who pays, beside that session.
    pub(super) fn payer(&self) -> Option<&Payer> {
        match self {
            Self::Vouched(_, _, carried) => carried.paying.as_ref().map(|paying| &paying.payer),
            Self::Public(_) | Self::Anonymous(_) => None,
        }
    }
}

/// A visitor who is to be sent to WeChat.
pub(super) struct Away {
    pub(super) route: Arc<Route>,
    pub(super) account: Arc<LoginAccount>,
    pub(super) need: Need,
    pub(super) opens: Opens,
    /// The session that is not enough, whatever it tells: its tokens are gone.
    pub(super) instead_of: Option<SessionId>,
}

impl Away {
    /// Whether a page of the gateway's own asks before WeChat does. Whoever only
    /// gets tokens anew has been asked.
    pub(super) fn asks_first(&self) -> bool {
        let asks = self.need.scope == Scope::Userinfo && self.route.consent_page;
        asks && self.instead_of.is_none()
    }
}

/// What is to be done with a request.
pub(super) enum Decision<'a> {
    Own(Endpoint),
    VerifyFile(&'a VerifyFile),
    Facade(&'a Facade, Call),
    Forward(Permit),
    Login(Away, &'static str),
    Refuse(Trouble, &'static str),
    MethodNotAllowed(&'a Arc<Route>),
    LoginRequired(&'static str),
}

impl Gateway {
    /// The one decision about a request.
    pub(super) fn decide(&self, asked: &Asked<'_>, now: Now) -> Decision<'_> {
        if let Some(endpoint) = Endpoint::at(asked.path) {
            return Decision::Own(endpoint);
        }
        if let Some(file) = self.routes.verify_file(asked.path) {
            return Decision::VerifyFile(file);
        }
        if let Some(facade) = (self.facade.as_deref()).filter(|facade| facade.host == asked.host) {
            return Decision::Facade(facade, Call::at(asked.path));
        }
        let route = match self.routes.decide(&asked.host, asked.path) {
            Decided::Route(route) => route,
            Decided::Ambiguous => return Decision::Refuse(Trouble::BadRequest, "ambiguous_path"),
            Decided::None => return Decision::Refuse(Trouble::NotFound, "no_route"),
        };
        if !route.takes(asked.method()) {
            return Decision::MethodNotAllowed(route);
        }
        if asked.body_length() > route.max_body.bytes() {
            return Decision::Refuse(Trouble::BodyTooLarge, Trouble::BodyTooLarge.reason());
        }
        if route.auth == Auth::None {
            return Decision::Forward(Permit::Public(Arc::clone(route)));
        }
        let welcome = route.auth == Auth::Optional;
        // Where a session is welcome, one may come that was opened for less, but of
        // nobody whom the app could not name.
        let enough = |account: &LoginAccount, session: &Session| {
            let (need, has) = (route.need(account.wechat.kind()), session.has());
            need.is_met_by(has) || (welcome && need.is_named_by(has))
        };
        let Some((account, found)) = self.find(asked, route, now, enough) else {
            // `config` makes no such route; should one exist, nobody passes.
            return Decision::Refuse(Trouble::Internal, "route_without_account");
        };
        let vouched = |account, carried| {
            let (route, account) = (Arc::clone(route), Arc::clone(account));
            Decision::Forward(Permit::Vouched(route, account, Box::new(carried)))
        };
        match found {
            Ok(_) if asked.is_foreign_socket(self.sessions.cookies().domain()) => {
                Decision::Refuse(Trouble::ForeignOrigin, "foreign_origin")
            }
            Ok(carried) if enough(account, &carried.session) => match &route.pay_account {
                None => vouched(account, carried),
                Some(pays) => self.who_pays(asked, route, (account, pays), carried, now),
            },
            Err(NoSession::Unknown) => refuse_unknown(),
            // Nobody could be let in with the session that a login ends with.
            Err(_) if !welcome && !self.sessions.ended().is_complete() => refuse_unknown(),
            found => {
                match (self.snapshot(asked, route, now), found) {
                    (Some(_), _) if asked.changes_something() => {
                        let trouble = Trouble::SnapshotReadOnly;
                        Decision::Refuse(trouble, trouble.reason())
                    }
                    (Some((account, carried)), _) => vouched(account, carried),
                    (None, _) if welcome => Decision::Forward(Permit::Anonymous(Arc::clone(route))),
                    // What the first session has is asked for too: it is not lost.
                    (None, Ok(Carried { session, .. })) => {
                        send_away(asked, route, Some(&session), "session_has_too_little")
                    }
                    (None, Err(why)) => send_away(asked, route, None, why.reason()),
                }
            }
        }
    }

    /// The session of a snapshot page's visitor, where the route takes it: only an
    /// official account has such pages.
    fn snapshot<'r>(
        &self,
        asked: &Asked<'_>,
        route: &'r Route,
        now: Now,
    ) -> Option<(&'r Arc<LoginAccount>, Carried)> {
        if route.snapshot == Snapshot::Page {
            return None;
        }
        let account = route.accounts.of(Browser::WeChat)?;
        let (lines, host) = (asked.cookie_lines(), &asked.host);
        let found = self.sessions.read_snapshot(lines, host, account, now);
        let carried = found.ok()?;
        let need = route.need(account.wechat.kind());
        (need.is_named_by(carried.session.has())).then_some((account, carried))
    }
}

/// It is not known yet which sessions have ended.
fn refuse_unknown() -> Decision<'static> {
    Decision::Refuse(Trouble::StoreDown, NoSession::Unknown.reason())
}

/// What becomes of a request that needs a session and has none: whoever can be
/// sent to WeChat and come back is sent, the rest are told.
pub(super) fn turn_away<'a>(
    asked: &Asked<'_>,
    route: &Arc<Route>,
    account: &Arc<LoginAccount>,
    need: Need,
    reason: &'static str,
) -> Decision<'a> {
    match asked.kind() {
        Kind::Navigation if can_use(asked, route, account) => {
            let away = Away {
                route: Arc::clone(route),
                account: Arc::clone(account),
                need,
                opens: Opens::for_route(route, asked),
                instead_of: None,
            };
            Decision::Login(away, reason)
        }
        Kind::Navigation => Decision::Refuse(elsewhere(route), reason),
        Kind::Form => Decision::Refuse(Trouble::SessionEnded, reason),
        Kind::Other => Decision::LoginRequired(reason),
    }
}
