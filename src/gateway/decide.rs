//! The one decision about a request: may it go to its app, and as whom?
//!
//! Holds always: a [`Permit`] is made here and nowhere else, and
//! [`Permit::Vouched`] only with a session that verified.

use std::sync::Arc;

use super::Gateway;
use crate::endpoints::Endpoint;
use crate::reply::Trouble;
use crate::request::{Asked, Kind};
use crate::route::{Auth, Decided, LoginAccount, OutsideWeChat, Route};
use crate::session::{Carried, NoSession, Now, Session};
use crate::wechat::account::VerifyFile;

/// The evidence that a request may go to its app.
#[derive(Debug)]
pub(super) enum Permit {
    /// The route asks for no session.
    Public(Arc<Route>),
    /// The route welcomes a session, and there is none.
    Anonymous(Arc<Route>),
    /// WeChat vouched for the visitor.
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
}

/// What is to be done with a request.
pub(super) enum Decision<'a> {
    Own(Endpoint),
    VerifyFile(&'a VerifyFile),
    Forward(Permit),
    Login(&'a Arc<Route>, &'a Arc<LoginAccount>, &'static str),
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
        let route = match self.routes.decide(&asked.host, asked.path) {
            Decided::Route(route) => route,
            Decided::Ambiguous => return Decision::Refuse(Trouble::BadRequest, "ambiguous_path"),
            Decided::None => return Decision::Refuse(Trouble::NotFound, "no_route"),
        };
        if !route.takes(asked.method()) {
            return Decision::MethodNotAllowed(route);
        }
        let Some(account) = &route.account else {
            return match route.auth {
                Auth::None => Decision::Forward(Permit::Public(Arc::clone(route))),
                // `config` makes no such route; should one exist, nobody passes.
                Auth::Required | Auth::Optional => {
                    Decision::Refuse(Trouble::Internal, "route_without_account")
                }
            };
        };
        let session = match route.auth {
            Auth::None => Err(NoSession::Absent),
            Auth::Required | Auth::Optional => {
                self.sessions
                    .read(asked.cookie_lines(), &asked.host, account, now)
            }
        };
        // Why the visitor is not let in, if they are not.
        let reason = match &session {
            Ok(_) => "scope_too_low",
            Err(why) => why.reason(),
        };
        match (route.auth, session, asked.kind()) {
            (Auth::None, _, _) => Decision::Forward(Permit::Public(Arc::clone(route))),
            (Auth::Optional, Err(_), _) => Decision::Forward(Permit::Anonymous(Arc::clone(route))),
            (_, Ok(_), _) if asked.is_foreign_socket(self.sessions.cookies().domain()) => {
                Decision::Refuse(Trouble::ForeignOrigin, "foreign_origin")
            }
            (auth, Ok(carried), _)
                if auth == Auth::Optional || carried.session.scope() >= route.scope =>
            {
                let (route, account) = (Arc::clone(route), Arc::clone(account));
                Decision::Forward(Permit::Vouched(route, account, Box::new(carried)))
            }
            (_, _, Kind::Navigation)
                if asked.inside_wechat() || route.outside_wechat == OutsideWeChat::Redirect =>
            {
                Decision::Login(route, account, reason)
            }
            (_, _, Kind::Navigation) => Decision::Refuse(Trouble::OutsideWeChat, reason),
            (_, _, Kind::Form) => Decision::Refuse(Trouble::SessionEnded, reason),
            (_, _, Kind::Other) => Decision::LoginRequired(reason),
        }
    }
}
