//! What a login ends with, once WeChat has vouched for its visitor: a session, who
//! pays beside one, or a ticket alone.
//!
//! Holds always: who pays is noted beside the session alone that the login began
//! with, and only while the request carries it; where that is gone, the visitor
//! goes to where they wanted to go, and what is missing begins there. Of a login
//! that ends with a ticket nothing stays in the browser here, and nothing that is
//! here already goes into the ticket.

use std::sync::Arc;

use tracing::info;

use super::exchange::seconds;
use super::{Callbacks, Outcome, counted, goes_round};
use crate::endpoints;
use crate::login::{self, Login, Opens, Start};
use crate::metrics::AccountCounts;
use crate::reply::{Reply, Trouble};
use crate::request::Asked;
use crate::revocation::SessionId;
use crate::route::{Auth, Decided, LoginAccount, Need};
use crate::session::{Millis, Payer, Session};

/// The session that the login began beside is gone.
const WITHOUT_SESSION: &str = "payer_without_session";

impl Callbacks {
    /// `login`, if there is anything left for it to do; otherwise where its visitor
    /// goes, `others` being this browser's logins besides.
    pub(super) fn unsettled(
        &self,
        asked: &Asked<'_>,
        login: Login,
        others: &[Login],
        account: &LoginAccount,
        counts: &AccountCounts,
        now: Millis,
    ) -> Result<Login, Outcome> {
        if goes_round(&login, others) {
            counts.loops.add_one();
            let outcome = self.end(login, Trouble::SessionNotKept, None);
            return Err(counted(counts, outcome));
        }
        let again = login.finished.is_some();
        let left = self.left_to_do(asked, login, account, now);
        if again && left.is_err() {
            counts.duplicates.add_one();
        }
        left
    }

    fn left_to_do(
        &self,
        asked: &Asked<'_>,
        login: Login,
        account: &LoginAccount,
        now: Millis,
    ) -> Result<Login, Outcome> {
        const THERE: &str = "already_logged_in";
        match &login.opens {
            Opens::Session | Opens::SessionThenPayer(_) => {
                match self.session(asked, &login, account, now) {
                    Some(session) => Err(self.go_on(asked, login, &session, THERE, now)),
                    None => Ok(login),
                }
            }
            Opens::Payer(id) => match self.main(asked, &login, id, now) {
                Some(main) if self.knows_payer(asked, &login, account, &main, now) => {
                    Err(self.leave(asked, login, THERE, now))
                }
                Some(_) => Ok(login),
                None => Err(self.leave(asked, login, WITHOUT_SESSION, now)),
            },
            Opens::Ticket => Ok(login),
        }
    }

    /// WeChat has vouched for the visitor of `login`, as `session` says.
    pub(super) fn opened(
        &self,
        asked: &Asked<'_>,
        login: Login,
        account: &LoginAccount,
        session: &Session,
        (reason, said): (&'static str, &str),
        now: Millis,
    ) -> Outcome {
        let cookie = match &login.opens {
            Opens::Session | Opens::SessionThenPayer(_) => {
                Some(self.sessions.write(session, account, seconds(now)))
            }
            Opens::Payer(id) => {
                let main = self.main(asked, &login, id, now);
                match main.and_then(|main| Payer::beside(&main, session)) {
                    Some(payer) => Some(self.sessions.write_payer(&payer, account, seconds(now))),
                    None => return self.leave(asked, login, WITHOUT_SESSION, now),
                }
            }
            Opens::Ticket => None,
        };
        info!(host = %login.host, account = account.name.as_str(), "{said}");
        let outcome = match &login.opens {
            Opens::Payer(_) => self.leave(asked, login, reason, now),
            _ => self.go_on(asked, login, session, reason, now),
        };
        match (outcome, cookie) {
            (Outcome::Go(reply, reason), Some(cookie)) => {
                Outcome::Go(reply.with_cookie(&cookie), reason)
            }
            (outcome, _) => outcome,
        }
    }

    /// A session is there: on to who pays, to the host that asked, or to where the
    /// visitor wanted to go.
    fn go_on(
        &self,
        asked: &Asked<'_>,
        login: Login,
        session: &Session,
        reason: &'static str,
        now: Millis,
    ) -> Outcome {
        if let Some(reply) = self.ask_who_pays(asked, &login, session, now) {
            return self.finished(reply, login, reason, now);
        }
        match self.ticket_for(&login, session, now) {
            Some(ticket) => self.finished(Reply::redirect(&ticket), login, reason, now),
            None => self.leave(asked, login, reason, now),
        }
    }

    fn leave(&self, asked: &Asked<'_>, login: Login, reason: &'static str, now: Millis) -> Outcome {
        let origin = self.origin(asked, &login.host);
        let landing = endpoints::landing(&login.to, &origin, &self.routes);
        self.finished(Reply::redirect(&landing), login, reason, now)
    }

    fn finished(&self, reply: Reply, login: Login, reason: &'static str, now: Millis) -> Outcome {
        let reply = match login.finished {
            Some(_) => reply,
            None => reply.with_cookie(&login.finish(&self.sessions, now)),
        };
        Outcome::Go(reply, reason)
    }

    /// The second login, right behind that which opened `session`. `None` where none
    /// is due, or none can begin: the target's own request tells.
    fn ask_who_pays(
        &self,
        asked: &Asked<'_>,
        login: &Login,
        session: &Session,
        now: Millis,
    ) -> Option<Reply> {
        let Opens::SessionThenPayer(name) = &login.opens else {
            return None;
        };
        if session.is_snapshot() {
            return None;
        }
        let mut accounts = self.routes.pay_accounts(&login.host).into_iter();
        let account = accounts.find(|account| account.name.as_str() == name)?;
        let direct = self.sessions.is_direct(&login.host, account);
        if self.knows_payer(asked, login, account, session, now)
            || (direct && self.circuits().start(account, now).is_err())
        {
            return None;
        }
        let start = Start {
            host: &login.host,
            origin: self.origin(asked, &login.host),
            account,
            need: Need::OPENID,
            instead_of: None,
            opens: Opens::Payer(*session.id()),
            to: login.to.clone(),
            attempt: 0,
            route: self.route(login),
        };
        let reply = login::start(&self.sessions, asked.cookie_lines(), start, now).ok()?;
        let counts = self.memory.metrics.account(account.name.as_str());
        counts.logins.add_one(AccountCounts::STARTED);
        Some(reply)
    }

    /// The session with this id, if the request carries it.
    fn main(
        &self,
        asked: &Asked<'_>,
        login: &Login,
        id: &SessionId,
        now: Millis,
    ) -> Option<Session> {
        let accounts = self.routes.accounts(&login.host).into_iter();
        let mut sessions = accounts.filter_map(|account| {
            let lines = asked.cookie_lines();
            let carried = (self.sessions).read(lines, &login.host, account, seconds(now));
            Some(carried.ok()?.session)
        });
        sessions.find(|session| session.id() == id)
    }

    fn knows_payer(
        &self,
        asked: &Asked<'_>,
        login: &Login,
        account: &LoginAccount,
        main: &Session,
        now: Millis,
    ) -> bool {
        let (lines, now) = (asked.cookie_lines(), seconds(now));
        (self.sessions)
            .read_payer(lines, &login.host, account, main, now)
            .is_ok()
    }

    /// Whether a visitor who came back without a login may go home: they have a
    /// session, and no other login would begin there, which might end here again.
    pub(super) fn is_at_home(&self, asked: &Asked<'_>, now: Millis) -> bool {
        let (host, now) = (&asked.host, seconds(now));
        if endpoints::any_session(asked, &self.routes, &self.sessions, now).is_none() {
            return false;
        }
        let Decided::Route(route) = self.routes.decide(host, self.routes.home(host)) else {
            return true;
        };
        if route.accounts.is_empty() || route.auth != Auth::Required {
            return true;
        }
        let lines = || asked.cookie_lines();
        let enough = |account: &Arc<LoginAccount>| {
            let carried = self.sessions.read(lines(), host, account, now).ok()?;
            let need = route.need(account.wechat.kind());
            (need.is_met_by(carried.session.has())).then_some(carried.session)
        };
        let Some(session) = &route.accounts.all().iter().find_map(enough) else {
            return false;
        };
        let unknown = |pays: &Arc<LoginAccount>| {
            let known = (self.sessions).read_payer(lines(), host, pays, session, now);
            known.is_err() && route.leads_to_wechat(asked)
        };
        !route.pay_account.as_ref().is_some_and(unknown)
    }
}
