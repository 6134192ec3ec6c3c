//! A decision carried out: the gateway's own answers to a request.
//!
//! Holds always: every answer notes in the access log which way was taken and
//! why; people get pages and programs get JSON.

use std::sync::Arc;

use http::{Method, StatusCode, header};
use serde_json::json;
use tracing::warn;

use super::browser::{elsewhere, login_account, need_of};
use super::decide::{Decision, Permit};
use super::pay::{NO_PAYER, WITHOUT_PAYER};
use super::{Gateway, Visit};
use crate::access_log::Way;
use crate::callback::{Outcome, Shown};
use crate::circuit::Shut;
use crate::endpoints::{self, Endpoint, LoginQuery};
use crate::limits::{Step, TooOften};
use crate::login::{self, Opens};
use crate::metrics::AccountCounts;
use crate::origin::ReturnTo;
use crate::reply::{Fragment, Onward, Page, Reply, Trouble};
use crate::request::{Asked, Kind, Unreadable};
use crate::route::{Decided, LoginAccount, Need};
use crate::session::Session;
use crate::wechat::calls;

impl Gateway {
    /// Carries out a decision: `None` forwards.
    pub(super) async fn carry_out(
        &self,
        decision: Decision<'_>,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Option<Reply> {
        match decision {
            // Its proxy asks about such requests, and sends them to the app itself.
            Decision::Forward(permit) if permit.route().upstream.is_none() => {
                visit.log.decided(Way::Refused, "no_upstream");
                Some(self.page(Trouble::NotFound, asked, &ReturnTo::root(), visit))
            }
            Decision::Forward(permit) => {
                note_permit(&permit, visit);
                visit.permit = Some(permit);
                None
            }
            Decision::Own(endpoint) if !endpoint.takes(asked.method()) => {
                visit.log.decided(Way::Refused, "method");
                let reply = self.page(Trouble::MethodNotAllowed, asked, &ReturnTo::root(), visit);
                Some(reply.with_header(header::ALLOW, endpoint.allow()))
            }
            // Which puts it in a box, or every request would have the room that a login
            // takes.
            Decision::Own(endpoint) => {
                let answer = self.endpoint(endpoint, asked, visit);
                let (reply, called) = calls::noted(answer).await;
                visit.calls = called;
                Some(reply)
            }
            Decision::VerifyFile(file) => {
                visit.log.decided(Way::VerifyFile, "verify_file");
                Some(Reply::text(file.content()))
            }
            // In a box for the same reason.
            Decision::Facade(facade, call) => {
                Some(Box::pin(self.face(facade, call, asked, visit)).await)
            }
            refused => Some(self.turn_down(refused, asked, visit)),
        }
    }

    /// Answers a request that does not get any further.
    pub(super) fn turn_down(
        &self,
        decision: Decision<'_>,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Reply {
        match decision {
            Decision::Login(away, _) if away.asks_first() => {
                visit.log.decided(Way::Login, Trouble::AskConsent.reason());
                self.page(Trouble::AskConsent, asked, &self.way_back(asked), visit)
            }
            Decision::Login(away, _) if away.route.keep_fragment => {
                visit
                    .log
                    .decided(Way::Login, Trouble::KeepFragment.reason());
                self.page(Trouble::KeepFragment, asked, &self.way_back(asked), visit)
            }
            Decision::Login(away, reason) => {
                let start = login::Start {
                    host: &asked.host,
                    origin: self.routes.origin_of(asked),
                    account: &away.account,
                    need: away.need,
                    instead_of: away.instead_of,
                    opens: away.opens,
                    to: self.way_back(asked),
                    attempt: 0,
                    route: Some(&away.route),
                };
                visit.account = Some(Arc::clone(&away.account));
                self.login(start, asked, visit, reason)
            }
            Decision::Refuse(trouble, reason) => {
                visit.log.decided(Way::Refused, reason);
                self.page(trouble, asked, &self.way_back(asked), visit)
            }
            Decision::MethodNotAllowed(route) => {
                visit.log.decided(Way::Refused, "method");
                let allow: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
                let reply = self.page(Trouble::MethodNotAllowed, asked, &ReturnTo::root(), visit);
                reply.with_header(header::ALLOW, &allow.join(", "))
            }
            Decision::LoginRequired(reason) => {
                visit.log.decided(Way::Refused, reason);
                match reason {
                    NO_PAYER => Reply::payer_required(&self.login_url(asked)),
                    _ => self.login_required(asked),
                }
            }
            // None of these is turned down; should one come here, it goes nowhere.
            Decision::Own(_)
            | Decision::VerifyFile(_)
            | Decision::Facade(..)
            | Decision::Forward(_) => {
                visit.log.decided(Way::Refused, Trouble::NotFound.reason());
                self.page(Trouble::NotFound, asked, &ReturnTo::root(), visit)
            }
        }
    }

    /// The request's own target, or as much of it as a cookie can hold.
    pub(super) fn way_back(&self, asked: &Asked<'_>) -> ReturnTo {
        let origin = self.routes.origin(&asked.host);
        ReturnTo::of_request(&origin, asked.target)
            .or_else(|| ReturnTo::of_request(&origin, asked.path))
            .unwrap_or_else(ReturnTo::root)
    }

    pub(super) fn login(
        &self,
        start: login::Start<'_>,
        asked: &Asked<'_>,
        visit: &mut Visit,
        reason: &'static str,
    ) -> Reply {
        let counts = self.metrics.account(start.account.name.as_str());
        if let Some(page) = self.too_often(Step::Start, asked, &start.to, visit) {
            counts.logins.add_one(Trouble::TooOften.reason());
            return page;
        }
        // Another host may have a session, for which WeChat is not asked.
        let circuits = self.callbacks.circuits();
        if self.sessions.is_direct(start.host, start.account)
            && let Err(Shut { seconds }) = circuits.start(start.account, visit.now_ms)
        {
            visit.log.decided(Way::Refused, Trouble::Quota.reason());
            counts.logins.add_one(Trouble::Quota.reason());
            visit.retry_after = Some(seconds);
            return self.page(Trouble::Quota, asked, &start.to, visit);
        }
        match login::start(&self.sessions, asked.cookie_lines(), start, visit.now_ms) {
            Ok(reply) => {
                visit.log.decided(Way::Login, reason);
                counts.logins.add_one(AccountCounts::STARTED);
                reply
            }
            Err(error) => {
                warn!("a login could not begin: {error}");
                visit.log.decided(Way::Refused, "no_randomness");
                self.page(Trouble::Internal, asked, &ReturnTo::root(), visit)
            }
        }
    }

    /// The page for whoever's address has taken `step` too often.
    pub(super) fn too_often(
        &self,
        step: Step,
        asked: &Asked<'_>,
        to: &ReturnTo,
        visit: &mut Visit,
    ) -> Option<Reply> {
        let client = visit.client.address;
        let TooOften { first } = self.logins.count(step, client).err()?;
        if first {
            warn!(
                %client, ?step,
                "an address has taken limits.logins_per_minute: if it is a proxy of yours, list it in server.trusted_proxies \
                 and see that it sends X-Forwarded-For"
            );
        }
        visit.log.decided(Way::Refused, Trouble::TooOften.reason());
        Some(self.page(Trouble::TooOften, asked, to, visit))
    }

    /// Back from WeChat, or from the callback's host.
    async fn callback(&self, endpoint: Endpoint, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let home = endpoints::home(&asked.host, &self.routes);
        if let Some(page) = self.too_often(Step::Callback, asked, &home, visit) {
            return page;
        }
        let (outcome, account) = match endpoint {
            Endpoint::Ticket => self.callbacks.redeem(asked, visit.now_ms).await,
            _ => self.callbacks.answer(asked, visit.now_ms).await,
        };
        visit.account = account;
        match outcome {
            Outcome::Go(reply, reason) => {
                visit.log.decided(Way::Callback, reason);
                reply
            }
            Outcome::Show(Shown {
                trouble,
                to,
                address,
                errcode,
                retry_after,
                cookies,
            }) => {
                visit.log.decided(Way::Callback, trouble.reason());
                let page = Page {
                    trouble,
                    onward: Onward::Again(&endpoints::try_again(&to)),
                    address: address.as_deref(),
                    fragment: None,
                    retry_after,
                    errcode: errcode.as_deref(),
                    request_id: visit.request_id.as_str(),
                };
                cookies
                    .iter()
                    .fold(page.reply(), |reply, cookie| reply.with_cookie(cookie))
            }
        }
    }

    async fn endpoint(&self, endpoint: Endpoint, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        visit.log.decided(Way::Endpoint, "endpoint");
        let reads_sessions = matches!(
            endpoint,
            Endpoint::Callback
                | Endpoint::SignOn
                | Endpoint::Ticket
                | Endpoint::Login
                | Endpoint::Me
                | Endpoint::OpenId
        );
        if reads_sessions && !self.sessions.ended().is_complete() {
            let trouble = Trouble::StoreDown;
            visit.log.decided(Way::Refused, trouble.reason());
            return self.page(trouble, asked, &self.way_back(asked), visit);
        }
        match endpoint {
            Endpoint::Callback | Endpoint::Ticket => self.callback(endpoint, asked, visit).await,
            Endpoint::SignOn => self.sign_on(asked, visit),
            Endpoint::Login => self.login_endpoint(asked, visit).await,
            Endpoint::Logout => self.logout(asked, visit).await,
            Endpoint::Me | Endpoint::OpenId => self.who_am_i(endpoint, asked, visit),
            Endpoint::Return => self.put_back(asked, visit),
            Endpoint::Auth => self.auth(asked, visit).await,
            Endpoint::Jwks => match &self.assertions {
                Some(assertions) => endpoints::jwks(assertions),
                None => self.nothing(asked, visit),
            },
            Endpoint::Unknown => self.nothing(asked, visit),
        }
    }

    fn nothing(&self, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let trouble = Trouble::NotFound;
        visit.log.decided(Way::Refused, trouble.reason());
        self.page(trouble, asked, &ReturnTo::root(), visit)
    }

    /// `me` and `openid`. A page that asks nothing else keeps its session by it.
    fn who_am_i(&self, endpoint: Endpoint, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        if self.routes.accounts(&asked.host).is_empty() {
            visit.log.decided(Way::Refused, "no_account");
            return self.page(Trouble::NotFound, asked, &ReturnTo::root(), visit);
        }
        let found = endpoints::any_session(asked, &self.routes, &self.sessions, visit.now);
        let Some((account, carried)) = found else {
            visit.log.decided(Way::Endpoint, "no_session");
            return self.login_required(asked);
        };
        let session = &carried.session;
        let reply = match endpoint {
            Endpoint::OpenId => endpoints::openid(session),
            _ => {
                let paying =
                    endpoints::payers(asked, &self.routes, &self.sessions, session, visit.now);
                endpoints::me(&account, session, &paying, &self.sessions)
            }
        };
        if !carried.renew {
            return reply;
        }
        reply.with_cookie(&self.sessions.write(session, &account, visit.now))
    }

    /// `return?to=`: the page that puts an address's fragment back.
    fn put_back(&self, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let Some(LoginQuery { to, .. }) = LoginQuery::read(asked, &self.routes) else {
            visit.log.decided(Way::Refused, "bad_return_to");
            return self.page(Trouble::BadRequest, asked, &ReturnTo::root(), visit);
        };
        let target = to.on(&self.routes.origin_of(asked));
        let page = Page {
            trouble: Trouble::PutBackFragment,
            onward: Onward::Link(&target),
            address: None,
            fragment: Some(Fragment::PutBack),
            retry_after: None,
            errcode: None,
            request_id: visit.request_id.as_str(),
        };
        page.reply()
    }

    /// `login?to=`: the way that the target's own route prescribes, or that of
    /// `for=`, where something on the target's page was refused.
    async fn login_endpoint(&self, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let Some(query) = LoginQuery::read(asked, &self.routes) else {
            visit.log.decided(Way::Refused, "bad_return_to");
            return self.page(Trouble::BadRequest, asked, &ReturnTo::root(), visit);
        };
        if let Some(reply) = self.face_again(&query, asked, visit) {
            return reply;
        }
        let origin = self.routes.origin_of(asked);
        let target = endpoints::landing(&query.to, &origin, &self.routes);
        let wanted = query.wanted.as_ref().unwrap_or(&query.to);
        let path = wanted.path();
        let Decided::Route(route) = self.routes.decide(&asked.host, path) else {
            if let Some(home) = endpoints::home_elsewhere(&asked.host, &self.routes) {
                return Reply::redirect(&home);
            }
            visit.log.decided(Way::Refused, "no_route");
            return self.page(Trouble::NotFound, asked, &ReturnTo::root(), visit);
        };
        let enough = |account: &LoginAccount, session: &Session| {
            (route.need(account.wechat.kind())).is_met_by(session.has())
        };
        let Some((account, found)) = self.find(asked, route, visit.now, enough) else {
            return Reply::redirect(&target);
        };
        let (mut instead_of, mut opens) = (None, Opens::for_route(route, asked));
        let mut pays = None;
        let had = found.ok().map(|carried| carried.session);
        if let Some(session) = &had {
            let needs = route.needs_tokens() && session.has().tokens;
            if needs && !self.keeper.has(session).await {
                instead_of = Some(*session.id());
            } else if enough(account, session) {
                pays = self.still_asks_who_pays(asked, route, session, visit.now);
                if pays.is_none() {
                    return Reply::redirect(&target);
                }
                opens = Opens::Payer(*session.id());
            }
        }
        if asked.kind() == Kind::Other {
            // A picture or a script cannot log anybody in.
            return self.login_required(asked);
        }
        let Some(account) = pays.or_else(|| login_account(asked, route)) else {
            let trouble = elsewhere(route);
            visit.log.decided(Way::Refused, trouble.reason());
            return self.page(trouble, asked, &query.to, visit);
        };
        visit.account = Some(Arc::clone(account));
        let start = login::Start {
            host: &asked.host,
            origin,
            account,
            need: match pays {
                Some(_) => Need::OPENID,
                None => need_of(route, account, had.as_ref()),
            },
            instead_of,
            opens,
            to: query.to,
            attempt: query.attempt,
            route: Some(route),
        };
        self.login(start, asked, visit, "login_endpoint")
    }

    /// Ends the browser's sessions, here and for good: a copy of their cookies is
    /// worth nothing afterwards.
    async fn logout(&self, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let (mut answer, cookies) = endpoints::logout(asked, &self.routes, &self.sessions);
        if !cookies.is_empty() {
            for session in endpoints::all_sessions(asked, &self.routes, &self.sessions, visit.now) {
                self.metrics
                    .by_app_id(session.app_id(), session.kind())
                    .sessions
                    .add_one("logged_out");
                if let Err(error) = self.store.revoke(&session.revocation()).await {
                    warn!("a logout is not known to the other instances yet: {error}");
                    answer = Err(Trouble::LogoutPending);
                }
                self.keeper.forget(&session).await;
            }
        }
        let reply = match answer {
            Ok(reply) => reply,
            Err(trouble) => {
                visit.log.decided(Way::Endpoint, trouble.reason());
                self.page(trouble, asked, &ReturnTo::root(), visit)
            }
        };
        cookies
            .iter()
            .fold(reply, |reply, cookie| reply.with_cookie(cookie))
    }

    /// 401 with the address to log in at.
    fn login_required(&self, asked: &Asked<'_>) -> Reply {
        Reply::login_required(&self.login_url(asked))
    }

    /// Where to log in for `asked`: it leads back to the page that asked.
    fn login_url(&self, asked: &Asked<'_>) -> String {
        let origin = self.routes.origin_of(asked);
        let page = asked
            .page_of(origin.as_str())
            .and_then(|page| ReturnTo::of_parameter(&origin, page))
            .unwrap_or_else(|| endpoints::home(&asked.host, &self.routes));
        let path = page.path();
        let route = |path| match Endpoint::at(path) {
            None => self.routes.decide(&asked.host, path),
            Some(_) => Decided::None,
        };
        // The page may be content with less than what it asked for: logging in for
        // the page alone would then lead back here.
        let wanted = match (route(asked.path), route(path)) {
            (Decided::Route(own), Decided::Route(page)) if !Arc::ptr_eq(own, page) => {
                ReturnTo::of_request(&origin, asked.path)
            }
            _ => None,
        };
        let path = endpoints::login_path_for(&page, wanted.as_ref());
        format!("{}{path}", origin.as_str())
    }

    fn keeps_fragment(&self, asked: &Asked<'_>) -> bool {
        match self.routes.decide(&asked.host, asked.path) {
            Decided::Route(route) => route.keep_fragment,
            Decided::Ambiguous | Decided::None => false,
        }
    }

    /// A trouble as this request can be told of it: a page to people, JSON to
    /// programs. `to` is where the visitor wanted to go.
    pub(super) fn page(
        &self,
        trouble: Trouble,
        asked: &Asked<'_>,
        to: &ReturnTo,
        visit: &Visit,
    ) -> Reply {
        let origin = self.routes.origin_of(asked);
        let address = to.on(&origin);
        let home = endpoints::home_from(&asked.host, &self.routes);
        let login = endpoints::login_path(to);
        // A path that begins with two slashes is none by itself.
        let again = match to.reads_as_host() {
            true => format!("/.{}", to.as_str()),
            false => to.as_str().to_owned(),
        };
        let onward = match trouble {
            Trouble::ConfirmLogout => Onward::Post("/.wxgate/logout"),
            Trouble::SessionEnded
            | Trouble::NoPayer
            | Trouble::AskConsent
            | Trouble::KeepFragment => Onward::Link(&login),
            Trouble::SnapshotReadOnly => Onward::Again(&login),
            trouble if trouble.leads_elsewhere() => Onward::Reload(&again),
            Trouble::AppDown
            | Trouble::AppOut
            | Trouble::AppSlow
            | Trouble::TooOften
            | Trouble::StoreDown
            | Trouble::Quota
            | Trouble::NoAnswer => Onward::Again(&again),
            Trouble::CookieMissing => Onward::Again(&home),
            _ => Onward::Link(&home),
        };
        let fragment = match trouble {
            Trouble::KeepFragment => Some(Fragment::KeepAndGo),
            Trouble::AskConsent if self.keeps_fragment(asked) => Some(Fragment::Keep),
            _ => None,
        };
        let page = Page {
            trouble,
            onward,
            address: (trouble.leads_elsewhere()).then_some(address.as_str()),
            fragment,
            retry_after: visit.retry_after,
            errcode: None,
            request_id: visit.request_id.as_str(),
        };
        let reply = page.reply();
        match asked.kind() {
            Kind::Navigation | Kind::Form => reply,
            Kind::Other => {
                let json = plain(trouble, reply.status(), visit);
                match reply.header(&header::RETRY_AFTER) {
                    Some(seconds) => json.with_header(header::RETRY_AFTER, seconds),
                    None => json,
                }
            }
        }
    }
}

/// Notes which way a request goes that may.
pub(super) fn note_permit(permit: &Permit, visit: &mut Visit) {
    let (way, reason) = match permit {
        Permit::Public(_) => (Way::Public, "auth_none"),
        Permit::Anonymous(_) => (Way::Anonymous, "no_session"),
        Permit::Vouched(route, _, carried)
            if route.pay_account.is_some() && carried.paying.is_none() =>
        {
            (Way::Vouched, WITHOUT_PAYER)
        }
        Permit::Vouched(..) => (Way::Vouched, "session"),
    };
    visit.log.decided(way, reason);
}

/// A trouble for programs.
fn plain(trouble: Trouble, status: StatusCode, visit: &Visit) -> Reply {
    let body = json!({"code": status.as_u16(), "message": trouble.reason(), "request_id": visit.request_id.as_str()});
    Reply::json(status, &body).telling(trouble)
}

/// The answer to a request that cannot be read in one way only.
pub(super) fn refuse_unread(unreadable: Unreadable, visit: &Visit) -> Reply {
    let (trouble, status) = match unreadable {
        Unreadable::Method => (Trouble::MethodNotAllowed, StatusCode::METHOD_NOT_ALLOWED),
        Unreadable::Long => (Trouble::BadRequest, StatusCode::URI_TOO_LONG),
        Unreadable::Large => (
            Trouble::BadRequest,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        Unreadable::Coding => (Trouble::BadRequest, StatusCode::NOT_IMPLEMENTED),
        Unreadable::Host | Unreadable::Target | Unreadable::Framing | Unreadable::Line => {
            (Trouble::BadRequest, StatusCode::BAD_REQUEST)
        }
    };
    plain(trouble, status, visit)
}
