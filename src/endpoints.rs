//! The gateway's own paths below `/.wxgate/`, but for the callback and the way by
//! another host: `login`, `logout`, `me`, `openid`, `return`, `jwks.json`, `auth`.
//!
//! Holds always: nothing below `/.wxgate/` ever reaches an app; nothing here
//! tells a visitor more than who they are themselves, and what everybody may
//! know; `login` leads to places
//! on this host alone; only a page of this host can log its visitor out.

pub mod auth;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::identity::assertion::Assertions;
use crate::login;
use crate::origin::{Host, PublicOrigin, ReturnTo};
use crate::reply::{Reply, Trouble};
use crate::request::{Asked, Kind};
use crate::revocation::show_id;
use crate::route::{Decided, LoginAccount, Routes};
use crate::session::{Carried, Now, Payer, Session, Sessions};
use crate::signon::{Ask, SIGN_ON_PATH, TICKET_PATH};

/// The prefix of the gateway's own paths.
const PREFIX: &str = "/.wxgate";

/// One of the gateway's own paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Back from WeChat.
    Callback,
    /// At the callback's host: another host asks for a visitor's session.
    SignOn,
    /// Back from the callback's host.
    Ticket,
    /// Log in, then go to `to`.
    Login,
    /// Log out.
    Logout,
    /// Who am I.
    Me,
    /// Who am I, as pages written after WeChat's examples ask.
    OpenId,
    /// Back at the page: its address's fragment is put back.
    Return,
    /// The public halves of the keys that assertions are signed with.
    Jwks,
    /// A proxy asks whether a request may go to the app.
    Auth,
    /// Nothing is there, and no app is asked.
    Unknown,
}

impl Endpoint {
    /// The endpoint at `path`; `None` when the path is not the gateway's.
    pub fn at(path: &str) -> Option<Self> {
        let name = path.strip_prefix(PREFIX)?;
        Some(match name {
            _ if path == SIGN_ON_PATH => Self::SignOn,
            _ if path == TICKET_PATH => Self::Ticket,
            "/callback" => Self::Callback,
            "/login" => Self::Login,
            "/logout" => Self::Logout,
            "/me" => Self::Me,
            "/openid" => Self::OpenId,
            "/return" => Self::Return,
            "/jwks.json" => Self::Jwks,
            "/auth" => Self::Auth,
            name if name.starts_with("/auth/") => Self::Auth,
            "" => Self::Unknown,
            name if name.starts_with('/') => Self::Unknown,
            _ => return None,
        })
    }

    /// Whether it takes `method`. `logout` has a page for those who open it.
    pub fn takes(self, method: &Method) -> bool {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Callback
            | Self::SignOn
            | Self::Ticket
            | Self::Login
            | Self::Me
            | Self::Return
            | Self::Jwks
            | Self::Unknown => reads,
            Self::OpenId | Self::Logout => reads || *method == Method::POST,
            // Some proxies ask with the method that they ask about.
            Self::Auth => true,
        }
    }

    /// What it takes, for `Allow`.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Callback
            | Self::SignOn
            | Self::Ticket
            | Self::Login
            | Self::Me
            | Self::Return
            | Self::Jwks
            | Self::Unknown => "GET, HEAD",
            Self::OpenId => "GET, HEAD, POST",
            Self::Logout => "POST",
            Self::Auth => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        }
    }
}

/// `login` for the way back to `to`, or home where `to` is too odd to be a
/// parameter.
pub fn login_path(to: &ReturnTo) -> String {
    if to.reads_as_host() {
        return format!("{PREFIX}/login");
    }
    let to: String = form_urlencoded::byte_serialize(to.as_str().as_bytes()).collect();
    format!("{PREFIX}/login?to={to}")
}

/// Where a visitor goes to try again for `to`: whom another host sent here asks
/// as that host did.
pub fn try_again(to: &ReturnTo) -> String {
    match Ask::query_of(to) {
        Some(_) => to.as_str().to_owned(),
        None => login_path(to),
    }
}

/// Where a visitor goes who has logged in for `to` at `origin`: there, or, where its
/// route keeps fragments, to the page that puts it back.
pub fn landing(to: &ReturnTo, origin: &PublicOrigin, routes: &Routes) -> String {
    let path = to.path();
    match routes.decide(origin.host(), path) {
        Decided::Route(route) if route.keep_fragment => {
            let to: String = form_urlencoded::byte_serialize(to.as_str().as_bytes()).collect();
            format!("{}{PREFIX}/return?to={to}", origin.as_str())
        }
        _ => to.on(origin),
    }
}

/// The same where the page at `to` was refused something at `wanted`: the login is
/// that of the latter's route.
pub fn login_path_for(to: &ReturnTo, wanted: Option<&ReturnTo>) -> String {
    let path = login_path(to);
    let Some(wanted) = wanted.filter(|wanted| !wanted.reads_as_host()) else {
        return path;
    };
    let joint = if path.contains('?') { '&' } else { '?' };
    let wanted: String = form_urlencoded::byte_serialize(wanted.as_str().as_bytes()).collect();
    format!("{path}{joint}for={wanted}")
}

/// Where a visitor of `host` begins who wants nothing in particular.
pub fn home(host: &Host, routes: &Routes) -> ReturnTo {
    ReturnTo::of_request(&routes.origin(host), routes.home(host)).unwrap_or_else(ReturnTo::root)
}

/// The same at a host whose routes are all elsewhere: the home of one whose
/// visitors come back from WeChat to `host`. `None` where `host` has routes.
pub fn home_elsewhere(host: &Host, routes: &Routes) -> Option<String> {
    if routes.serves(host) {
        return None;
    }
    let facade = |host| routes.facade_at(host).map(|facade| facade.home.clone());
    let other = || {
        let other = routes.sends_back_to(host)?;
        let there = || home(other, routes).on(&routes.origin(other));
        Some(facade(other).unwrap_or_else(there))
    };
    facade(host).or_else(other)
}

/// Where a page at `host` leads that leads nowhere in particular: home, or to the
/// home elsewhere.
pub fn home_from(host: &Host, routes: &Routes) -> String {
    let here = || home(host, routes).as_str().to_owned();
    home_elsewhere(host, routes).unwrap_or_else(here)
}

/// [`login_path`] for a login that has failed once, so that it does not go on for ever.
pub fn login_again(to: &ReturnTo) -> String {
    let path = login_path(to);
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}again=1")
}

/// What `login?to=` asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginQuery {
    /// Where to go afterwards.
    pub to: ReturnTo,
    /// What was refused on that page, if it was something else.
    pub wanted: Option<ReturnTo>,
    /// Which try this is: a callback whose cookie was missing counts as one.
    pub attempt: u8,
}

impl LoginQuery {
    /// Reads the query of a request to `login`; `None` when `to` leads
    /// elsewhere or stands twice.
    pub fn read(asked: &Asked<'_>, routes: &Routes) -> Option<Self> {
        let origin = routes.origin(&asked.host);
        let pairs = || form_urlencoded::parse(asked.query.unwrap_or_default().as_bytes());
        let only = |wanted: &str| {
            let mut targets = pairs()
                .filter(|(name, _)| name == wanted)
                .map(|(_, value)| value);
            match (targets.next(), targets.next()) {
                (None, _) => Some(None),
                (Some(to), None) => ReturnTo::of_parameter(&origin, &to).map(Some),
                (Some(_), Some(_)) => None,
            }
        };
        let to = only("to")?.unwrap_or_else(|| home(&asked.host, routes));
        let wanted = only("for")?;
        let attempt = u8::from(pairs().any(|(name, _)| name == "again"));
        Some(Self {
            to,
            wanted,
            attempt,
        })
    }
}

/// The first session that a request carries with any of its host's accounts: those
/// that its browser can use come before the others.
pub fn any_session(
    asked: &Asked<'_>,
    routes: &Routes,
    sessions: &Sessions,
    now: Now,
) -> Option<(Arc<LoginAccount>, Carried)> {
    let mut accounts = routes.accounts(&asked.host);
    if accounts.len() > 1 {
        let browser = asked.browser();
        accounts.sort_by_key(|account| account.wechat.kind().browser() != browser);
    }
    accounts.into_iter().find_map(|account| {
        let carried = sessions
            .read(asked.cookie_lines(), &asked.host, account, now)
            .ok()?;
        Some((Arc::clone(account), carried))
    })
}

/// All sessions that a request carries and a logout ends, those of snapshot
/// pages too.
pub fn all_sessions(
    asked: &Asked<'_>,
    routes: &Routes,
    sessions: &Sessions,
    now: Now,
) -> Vec<Session> {
    let accounts = routes.accounts_at(&asked.host);
    let carried = accounts.iter().flat_map(|account| {
        sessions.read_to_end(|| asked.cookie_lines(), &asked.host, account, now)
    });
    carried.collect()
}

/// `openid`: what a page that does WeChat's login itself expects. A corp's member has
/// none, and their userid is not told for one.
pub fn openid(session: &Session) -> Reply {
    match session.openid() {
        Some(openid) => Reply::json(
            StatusCode::OK,
            &json!({"code": 0, "data": {"openid": openid.as_str()}}),
        ),
        None => {
            let message = "企业成员没有 openid / a corp's member has no openid";
            Reply::json(
                StatusCode::FORBIDDEN,
                &json!({"code": 403, "message": message, "msg": message}),
            )
        }
    }
}

/// Who the visitor of `session` is with the accounts under which they pay at this
/// host, as far as that is known.
pub fn payers(
    asked: &Asked<'_>,
    routes: &Routes,
    sessions: &Sessions,
    session: &Session,
    now: Now,
) -> Vec<(Arc<LoginAccount>, Payer)> {
    let accounts = routes.pay_accounts(&asked.host).into_iter();
    let known = accounts.filter_map(|account| {
        let lines = asked.cookie_lines();
        let found = sessions.read_payer(lines, &asked.host, account, session, now);
        Some((Arc::clone(account), found.ok()?.payer))
    });
    known.collect()
}

/// `me`: all that the app is told, and the session's id, by which an operator
/// can end it.
pub fn me(
    account: &LoginAccount,
    session: &Session,
    payers: &[(Arc<LoginAccount>, Payer)],
    sessions: &Sessions,
) -> Reply {
    let pay = payers.iter().map(|(account, payer)| {
        json!({
            "account": account.name.as_str(),
            "app_id": payer.app_id(),
            "openid": payer.openid().as_str(),
        })
    });
    let data: Value = json!({
        "session": show_id(session.id()),
        "openid": session.openid().map(|id| id.as_str()),
        "userid": session.visitor().userid().map(|id| id.as_str()),
        "unionid": session.unionid().map(|id| id.as_str()),
        "nickname": session.nickname(),
        "avatar": session.avatar(),
        "account": account.name.as_str(),
        "app_id": session.app_id(),
        "scope": session.scope_name(),
        "opened": session.opened(),
        "ends": sessions.ends(session),
        "pay": pay.collect::<Vec<Value>>(),
    });
    Reply::json(StatusCode::OK, &json!({"code": 0, "data": data}))
}

/// `jwks.json`: what an app verifies assertions with (RFC 7517, section 8.5.2
/// for its type).
pub fn jwks(assertions: &Assertions) -> Reply {
    let keys = assertions.published().to_string();
    Reply::new(StatusCode::OK).with_body("application/jwk-set+json", keys.into_bytes())
}

/// `logout`: ends every session and every login of this browser at this host.
/// Answers with the trouble to show where a page is to be shown.
pub fn logout(
    asked: &Asked<'_>,
    routes: &Routes,
    sessions: &Sessions,
) -> (Result<Reply, Trouble>, Vec<String>) {
    if asked.method() != Method::POST {
        return (Err(Trouble::ConfirmLogout), Vec::new());
    }
    if !asked.is_same_origin(routes.origin_of(asked).as_str()) {
        return (Err(Trouble::BadRequest), Vec::new());
    }
    let mut gone: Vec<String> = routes
        .accounts_at(&asked.host)
        .into_iter()
        .flat_map(|account| sessions.forget(&asked.host, account))
        .collect();
    let payers = routes.pay_accounts(&asked.host).into_iter();
    gone.extend(payers.map(|account| sessions.forget_payer(&asked.host, account)));
    gone.extend(login::forget_all(
        sessions,
        &asked.host,
        asked.cookie_lines(),
    ));
    let answer = match asked.kind() {
        Kind::Form => Err(Trouble::LoggedOut),
        Kind::Navigation | Kind::Other => Ok(Reply::json(StatusCode::OK, &json!({"code": 0}))),
    };
    (answer, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_the_prefix_is_the_gateways() {
        assert_eq!(Endpoint::at("/.wxgate/callback"), Some(Endpoint::Callback));
        assert_eq!(Endpoint::at(SIGN_ON_PATH), Some(Endpoint::SignOn));
        assert_eq!(Endpoint::at(TICKET_PATH), Some(Endpoint::Ticket));
        for path in [
            "/.wxgate",
            "/.wxgate/",
            "/.wxgate/callback/",
            "/.wxgate/../x",
            "/.wxgate//me",
            "/.wxgate/ME",
            "/.wxgate/authx",
            "/.wxgate/%61uth",
        ] {
            assert_eq!(Endpoint::at(path), Some(Endpoint::Unknown), "{path}");
        }
        for path in ["/.wxgate/auth", "/.wxgate/auth/", "/.wxgate/auth/../me"] {
            assert_eq!(Endpoint::at(path), Some(Endpoint::Auth), "{path}");
        }
        for path in [
            "/.wxgatex",
            "/x/.wxgate/me",
            "/",
            "/%2ewxgate/me",
            "//.wxgate/me",
        ] {
            assert_eq!(Endpoint::at(path), None, "{path}");
        }
    }

    #[test]
    fn a_login_path_says_where_to_go() {
        let origin = crate::origin::PublicOrigin::try_from("https://a.example".to_owned()).unwrap();
        let to = ReturnTo::of_request(&origin, "/x?a=1&b=%20").unwrap();
        assert_eq!(
            login_path(&to),
            "/.wxgate/login?to=%2Fx%3Fa%3D1%26b%3D%2520"
        );
    }
}
