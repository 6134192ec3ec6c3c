//! Back from the callback's host: a ticket becomes a session.
//!
//! Holds always: a ticket opens a session at the host it was made for, in time,
//! once, in the browser alone that began the login it belongs to. The session has
//! the id and the ends of the callback host's, so that both end together; for whom
//! another gateway vouches, as its client knows them, it is a new one with an id and
//! ends of its own, and a logout on either side ends none on the other. Where
//! it is not certain that a ticket was not used before, nobody is let in. Whoever
//! is not logs in anew, at most twice by themselves, and then gets a page. No
//! address leads anywhere but to a host that has routes of the account.

use std::sync::Arc;

use tracing::warn;

use super::client::{Caller, Refused};
use super::exchange::seconds;
use super::{Callbacks, Outcome, counted, show};
use crate::endpoints;
use crate::login::{self, Login, Opens};
use crate::metrics::AccountCounts;
use crate::origin::Host;
use crate::reply::{Reply, Trouble};
use crate::request::Asked;
use crate::route::LoginAccount;
use crate::session::{Millis, NoSession, Session};
use crate::signing::SealError;
use crate::signon::{Ask, Binding, Named, TICKET_PATH, Ticket, USED};

/// What is said of a ticket that opened a session.
const TAKEN: &str = "ticket_taken";

/// Why the callback's host does not answer an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// Not sealed by us, or not once in the address.
    Forged,
    /// Not for this host, or its host has no such routes any more.
    Elsewhere,
    /// Too old, or from the future. Which host asked.
    Late(Host),
    /// Another gateway's, which is refused.
    Client(Box<Refused>),
}

/// An ask that is to be answered.
pub struct Asking {
    /// What is asked.
    pub ask: Ask,
    /// With which account.
    pub account: Arc<LoginAccount>,
    /// Which client asks, where it is no host of this gateway's.
    pub client: Option<Caller>,
}

impl Unasked {
    /// One word for the access log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Forged => "ask_forged",
            Self::Elsewhere => "ask_of_another_place",
            Self::Late(_) => "ask_late",
            Self::Client(refused) => refused.reason(),
        }
    }
}

impl Callbacks {
    /// What the callback's host `here` is asked by the `query` of its address, and
    /// for which account.
    ///
    /// # Errors
    /// Why it is not to be answered.
    pub fn ask(&self, query: &str, here: &Host, now: Millis) -> Result<Asking, Unasked> {
        match Named::in_query(query) {
            Named::Nobody => {}
            Named::Client(name) => return self.client_ask(Some(name), query, here, now),
            Named::Odd => return self.client_ask(None, query, here, now),
        }
        let ask = Ask::of_query(self.sessions.keys(), query).ok_or(Unasked::Forged)?;
        let serves = |account: &&Arc<LoginAccount>| {
            account.name.as_str() == ask.account
                && account.wechat.app_id().as_str() == ask.app_id
                && account.via().is_none()
                && account.wechat.callback_origin().host() == here
                && !self.sessions.is_direct(&ask.host, account)
        };
        let accounts = match ask.fresh {
            true => self.routes.pay_accounts(&ask.host),
            false => self.routes.accounts(&ask.host),
        };
        let account = accounts.into_iter().find(serves).cloned();
        let account = account.ok_or(Unasked::Elsewhere)?;
        match ask.is_alive(now) {
            true => Ok(Asking {
                ask,
                account,
                client: None,
            }),
            false => Err(Unasked::Late(ask.host)),
        }
    }

    /// The address at the host that asked, with a ticket for `session`.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn ticket(
        &self,
        asking: &Asking,
        session: Session,
        now: Millis,
    ) -> Result<String, SealError> {
        let Asking {
            ask,
            account,
            client,
        } = asking;
        if let Some(caller) = client {
            return self.client_ticket(caller, account, ask, &session, now);
        }
        let ticket = Ticket::new(ask, session, now).seal(self.sessions.keys(), &ask.host)?;
        let origin = self.routes.origin(&ask.host);
        Ok(format!("{}{TICKET_PATH}?t={ticket}", origin.as_str()))
    }

    /// The same for a login that began because another host asked, if its session
    /// is what was asked for.
    pub(super) fn ticket_for(
        &self,
        login: &Login,
        session: &Session,
        now: Millis,
    ) -> Option<String> {
        let query = Ask::query_of(&login.to)?;
        let asking = self.ask(query, &login.host, now).ok()?;
        let Asking { ask, account, .. } = &asking;
        let ours = account.name.as_str() == login.account
            && ask.is_met_by(session)
            && ask.fresh == (login.opens == Opens::Ticket);
        ours.then(|| self.ticket(&asking, session.clone(), now).ok())?
    }

    /// Answers a request to [`TICKET_PATH`]. Says too which account it was about,
    /// where that is known.
    pub async fn redeem(
        &self,
        asked: &Asked<'_>,
        now: Millis,
    ) -> (Outcome, Option<Arc<LoginAccount>>) {
        let query = asked.query.unwrap_or_default();
        let own = Ticket::of_query(self.sessions.keys(), &asked.host, query);
        let received = || self.received(asked, now).map(|(t, by)| (t, Some(by)));
        let Some((ticket, by)) = own.map(|ticket| (ticket, None)).or_else(received) else {
            let home = endpoints::home(&asked.host, &self.routes);
            return (show(Trouble::SignOnFailed, home), None);
        };
        let mut logins = login::carried(&self.sessions, asked.headers(), &asked.host, now);
        let known = |login: &Login| Binding::of(&login.state) == ticket.binding;
        let at = logins.iter().position(known);
        let login = at.map(|at| logins.swap_remove(at));
        // Who vouches is who was asked: this gateway, or that of the account.
        let asked_of = |account: &Arc<LoginAccount>| match &by {
            Some(by) => by.name == account.name,
            None => account.via().is_none(),
        };
        let begun = login.and_then(|login| {
            let account = self.account(&login).filter(asked_of)?;
            Some((account, login))
        });
        let Some((account, login)) = begun else {
            return (self.stray(asked, &ticket, now).await, None);
        };
        let about = Some(Arc::clone(&account));
        let counts = self.memory.metrics.account(account.name.as_str());
        let login = match self.unsettled(asked, login, &logins, &account, &counts, now) {
            Ok(login) => login,
            Err(outcome) => return (outcome, about),
        };
        let outcome = self.take(ticket, asked, login, &account, now).await;
        counts.logins.add_one(match &outcome {
            Outcome::Go(_, TAKEN) => AccountCounts::OK,
            Outcome::Go(..) => AccountCounts::AGAIN,
            Outcome::Show(shown) => shown.trouble.reason(),
        });
        (outcome, about)
    }

    /// A ticket for a login of this browser's.
    async fn take(
        &self,
        ticket: Ticket,
        asked: &Asked<'_>,
        login: Login,
        account: &Arc<LoginAccount>,
        now: Millis,
    ) -> Outcome {
        match self.store.mark(&ticket.key(), USED).await {
            Ok(true) if login.listed => {}
            // Another host of the domain may have set its cookie.
            Ok(true) => {
                return self.once_more(asked, login, account, "ticket_not_begun_here", now);
            }
            Ok(false) => return self.once_more(asked, login, account, "ticket_used", now),
            Err(error) => {
                warn!("a ticket is not taken, for it may have been used before: {error}");
                return show(Trouble::StoreDown, login.to);
            }
        }
        match self.admitted(ticket, &login, account, now) {
            Ok(session) => {
                let opens = !matches!(login.opens, Opens::Payer(_));
                if opens && account.via().is_some() {
                    self.count_received(account, &session);
                }
                let said = (TAKEN, "a visitor logged in by way of another host");
                self.opened(asked, login, account, &session, said, now)
            }
            Err(reason) => self.once_more(asked, login, account, reason, now),
        }
    }

    /// The session of a ticket that nobody used before, at the host of `login`.
    fn admitted(
        &self,
        ticket: Ticket,
        login: &Login,
        account: &LoginAccount,
        now: Millis,
    ) -> Result<Session, &'static str> {
        if !ticket.is_alive(now) {
            return Err("ticket_late");
        }
        let (session, millis, now) = (ticket.session, now, seconds(now));
        let session = self
            .sessions
            .take_over(session, &login.host, account, now)
            .map_err(NoSession::reason)?;
        let enough = match session.is_snapshot() {
            true => self.admits_snapshots(login, millis) && login.need.is_named_by(session.has()),
            false => login.is_met_by(&session),
        };
        if enough {
            Ok(session)
        } else {
            Err("ticket_has_too_little")
        }
    }

    /// A ticket without the login that it is for: cookies are off, or the address
    /// is somebody else's, who may know it. It is used up, so that it lets in
    /// nobody any more.
    async fn stray(&self, asked: &Asked<'_>, ticket: &Ticket, now: Millis) -> Outcome {
        if let Err(error) = self.store.mark(&ticket.key(), USED).await {
            warn!("a ticket that nobody's login fits is not used up: {error}");
        }
        if self.is_at_home(asked, now) {
            let home = endpoints::home_from(&asked.host, &self.routes);
            return Outcome::Go(Reply::redirect(&home), "already_logged_in");
        }
        let home = endpoints::home(&asked.host, &self.routes);
        let counts = self.counts_at(&asked.host);
        if ticket.attempt == 0 {
            counts.logins.add_one(AccountCounts::AGAIN);
            let login = endpoints::login_again(&home);
            return Outcome::Go(Reply::redirect(&login), "ticket_without_login");
        }
        counts.loops.add_one();
        counted(&counts, show(Trouble::SignOnFailed, home))
    }

    /// The visitor logs in anew, if they have not often enough.
    fn once_more(
        &self,
        asked: &Asked<'_>,
        login: Login,
        account: &Arc<LoginAccount>,
        reason: &'static str,
        now: Millis,
    ) -> Outcome {
        if login.state.attempt() >= login::MAX_ATTEMPT {
            return self.end(login, Trouble::SignOnFailed, None);
        }
        match self.start_again(asked, login, account, now) {
            Outcome::Go(reply, _) => Outcome::Go(reply, reason),
            shown @ Outcome::Show(_) => shown,
        }
    }
}
