//! Another gateway's visitors, who log in by way of this one: its clients' asks
//! here, where the account's secret is, and the tickets for them there.
//!
//! Holds always: a client is found by its name among accounts that visitors come
//! back with to the very host that is asked; its ask opens under its own key alone,
//! and is answered for an origin that this gateway's file lists for it. Who is
//! refused is told nothing by which they could tell a client's name from another,
//! and is sent nowhere; the operator is told what was asked and what would be right,
//! once a minute.

use std::sync::Arc;

use tracing::{info, warn};

use super::Callbacks;
use super::ticket::{Asking, Unasked};
use crate::metrics::AccountCounts;
use crate::origin::{Host, PublicOrigin};
use crate::request::Asked;
use crate::route::{AccountName, Client, LoginAccount};
use crate::session::{Millis, Session};
use crate::signing::SealError;
use crate::signon::{Ask, ClientAsk, ClientTicket, NoAsk, TICKET_PATH, Ticket, Verdict};

/// A client that asks.
pub struct Caller {
    /// Its name.
    pub name: AccountName,
    /// What its visitor's browser sees: one that is listed.
    pub origin: PublicOrigin,
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No account of this host has one of this name.
    Unknown,
    /// The ask does not open under its key for its name.
    Key,
    /// It opens, and says nothing that this version knows.
    OtherVersion,
    /// The ask is for another account.
    OtherAccount,
    /// It is for an account of another kind.
    OtherKind,
    /// The origin is not listed.
    Origin,
    /// Too old, or from the future.
    Late,
}

/// A client that was refused, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Why,
    client: Option<AccountName>,
    account: Option<AccountName>,
    /// What it asked for, as a holder of its key says.
    origin: Option<PublicOrigin>,
    app_id: Option<String>,
    kind: Option<&'static str>,
}

impl Refused {
    fn unknown(client: Option<AccountName>) -> Box<Self> {
        Box::new(Self {
            why: Why::Unknown,
            client,
            account: None,
            origin: None,
            app_id: None,
            kind: None,
        })
    }

    /// Where its visitor may go back to: an origin that is listed.
    pub fn back(&self) -> Option<&PublicOrigin> {
        self.origin.as_ref().filter(|_| self.why == Why::Late)
    }

    /// One word for the access log.
    pub fn reason(&self) -> &'static str {
        match self.why {
            Why::Unknown => "client_unknown",
            Why::Key => "client_key_wrong",
            Why::OtherVersion => "client_of_another_version",
            Why::OtherAccount => "client_of_another_account",
            Why::OtherKind => "client_of_another_kind",
            Why::Origin => "client_origin_not_listed",
            Why::Late => "client_ask_late",
        }
    }

    /// What would be right, for the operator.
    fn advice(&self) -> &'static str {
        match self.why {
            Why::Unknown => {
                "no account whose callback_origin is this host has such a client: expected [[accounts.NAME.clients]] with this name \
                 here, or another client there"
            }
            Why::Key => {
                "its ask does not open: expected the same key in key of this client here and in client_key there, of the same account"
            }
            Why::OtherVersion => {
                "its ask says what this version does not know: expected the same version of wxgate there"
            }
            Why::OtherAccount => {
                "it asks for another appid than this account has: expected the same app_id there, or the client of the account that has it"
            }
            Why::OtherKind => {
                "it has this account as one of another kind: expected the same kind there, in the account's table with via; without one it is \
                 \"official\""
            }
            Why::Origin => {
                "this origin is not listed: if it is one of yours, add it to origins of this client; it must stand there as the visitor's \
                 browser shows it, port included"
            }
            Why::Late => {
                "its ask is more than ten minutes old or from the future: if it is with every visitor, one of the two clocks is wrong"
            }
        }
    }
}

/// An ask that opened under a client's key.
struct Opened<'a> {
    account: &'a Arc<LoginAccount>,
    client: &'a Client,
    asked: ClientAsk,
}

impl Opened<'_> {
    /// What is wrong with it.
    fn fault(&self, now: Millis) -> Option<Why> {
        if self.account.wechat.app_id().as_str() != self.asked.ask.app_id {
            return Some(Why::OtherAccount);
        }
        // Else each would take the visitor's browser for one that the other is for.
        if self.account.wechat.kind().name() != self.asked.kind {
            return Some(Why::OtherKind);
        }
        if self.client.origin(&self.asked.origin).is_none() {
            return Some(Why::Origin);
        }
        (!self.asked.ask.is_alive(now)).then_some(Why::Late)
    }

    fn refused(self, why: Why) -> Box<Refused> {
        Box::new(Refused {
            why,
            client: Some(self.client.name.clone()),
            account: Some(self.account.name.clone()),
            origin: Some(self.asked.origin),
            app_id: Some(self.asked.ask.app_id),
            kind: Some(self.asked.kind),
        })
    }
}

impl Callbacks {
    /// What the client called `name` asks of the callback's host `here` by the
    /// `query` of its address.
    pub(super) fn client_ask(
        &self,
        name: Option<AccountName>,
        query: &str,
        here: &Host,
        now: Millis,
    ) -> Result<Asking, Unasked> {
        let Some(name) = name else {
            return Err(Unasked::Client(Refused::unknown(None)));
        };
        let opened = self
            .ask_under_key(&name, query, here)
            .map_err(Unasked::Client)?;
        if let Some(why) = opened.fault(now) {
            return Err(Unasked::Client(opened.refused(why)));
        }
        let mut ask = opened.asked.ask;
        // Tokens leave this gateway never, whatever another says.
        ask.need.tokens = false;
        ask.instead_of = None;
        Ok(Asking {
            ask,
            account: Arc::clone(opened.account),
            client: Some(Caller {
                name: opened.client.name.clone(),
                origin: opened.asked.origin,
            }),
        })
    }

    fn ask_under_key<'a>(
        &'a self,
        name: &'a AccountName,
        query: &str,
        here: &Host,
    ) -> Result<Opened<'a>, Box<Refused>> {
        let mut refused = Refused::unknown(Some(name.clone()));
        for (account, client) in self.routes.clients(here, name) {
            let why = match ClientAsk::of_query(&client.key, &client.name, query) {
                Ok(asked) => {
                    return Ok(Opened {
                        account,
                        client,
                        asked,
                    });
                }
                Err(NoAsk::Forged) => Why::Key,
                Err(NoAsk::OtherVersion) => Why::OtherVersion,
            };
            // What opened, and was not understood, tells more than what did not.
            if refused.why != Why::OtherVersion {
                refused.why = why;
                refused.account = Some(account.name.clone());
            }
        }
        Err(refused)
    }

    /// The answer to a client that only tries: readable with its key alone. `None`
    /// where none tries.
    pub fn probed(
        &self,
        name: &AccountName,
        query: &str,
        here: &Host,
        now: Millis,
    ) -> Option<Result<String, SealError>> {
        let opened = self.ask_under_key(name, query, here).ok()?;
        if !opened.asked.probe {
            return None;
        }
        let verdict = match opened.fault(now) {
            None => Verdict::Good,
            Some(Why::OtherAccount) => Verdict::OtherAccount,
            Some(Why::OtherKind) => Verdict::OtherKind,
            Some(Why::Late) => Verdict::Late,
            Some(_) => Verdict::OriginNotListed,
        };
        let Client { key, name, .. } = opened.client;
        Some(verdict.seal(key, name, &opened.asked.ask.binding, now))
    }

    /// Tells the operator of a client that was refused.
    pub fn complain(&self, refused: &Refused, here: &Host) {
        let client_name = refused.client.as_ref().map(AccountName::as_str);
        let account = refused.account.as_ref().map(AccountName::as_str);
        // A name that nobody has is whatever somebody wrote: these are one.
        let known = client_name
            .filter(|_| account.is_some())
            .unwrap_or_default();
        let about = format!("client\0{}\0{known}", account.unwrap_or_default());
        let Some(before) = self.memory.complaints.note(&about, refused.why as i64) else {
            return;
        };
        let origin = refused.origin.as_ref().map(PublicOrigin::as_str);
        let app_id = refused
            .app_id
            .as_deref()
            .filter(|_| refused.why == Why::OtherAccount);
        let kind = refused.kind.filter(|_| refused.why == Why::OtherKind);
        warn!(
            host = %here, account, client_name, origin, app_id, kind, before,
            "another gateway sent a visitor here to log in, and is refused: {}",
            refused.advice()
        );
    }

    /// The address at the client's origin, with a ticket for whose session it is.
    pub(super) fn client_ticket(
        &self,
        caller: &Caller,
        account: &LoginAccount,
        ask: &Ask,
        session: &Session,
        now: Millis,
    ) -> Result<String, SealError> {
        let clients = account.clients().iter();
        let mut named = clients.filter(|client| client.name == caller.name);
        // It was found a moment ago, with this origin.
        let client = named.next().ok_or(SealError)?;
        let origin = client.origin(&caller.origin).ok_or(SealError)?;
        let ticket = ClientTicket::seal(&client.key, &client.name, origin, ask, session, now)?;
        info!(
            account = account.name.as_str(),
            client_name = client.name.as_str(),
            origin = origin.as_str(),
            "another gateway is told who a visitor is"
        );
        Ok(format!("{}{TICKET_PATH}?t={ticket}", origin.as_str()))
    }

    /// At the client's gateway: the ticket in the address of `asked`, as a session
    /// of its own, and for which account it is. `None` where none of another
    /// gateway's for this origin stands there.
    pub(super) fn received(
        &self,
        asked: &Asked<'_>,
        now: Millis,
    ) -> Option<(Ticket, Arc<LoginAccount>)> {
        let query = asked.query.unwrap_or_default();
        let origin = self.routes.origin_of(asked);
        let accounts = self.routes.accounts(&asked.host).into_iter();
        let accounts = accounts.chain(self.routes.pay_accounts(&asked.host));
        let mut tickets = accounts.filter_map(|account| {
            let ticket = ClientTicket::of_query(account.via()?, &origin, query)?;
            Some((ticket, account))
        });
        let (ticket, account) = tickets.next()?;
        let opened = (self.sessions).receive(ticket.visitor, &asked.host, account, now / 1000);
        let session = opened
            .inspect_err(|error| warn!("a visitor was not received: {error}"))
            .ok()??;
        let ticket = Ticket {
            session,
            binding: ticket.binding,
            attempt: ticket.attempt,
            made: ticket.made,
        };
        Some((ticket, Arc::clone(account)))
    }

    /// Counts a session that was opened for whom another gateway vouches.
    pub(super) fn count_received(&self, account: &LoginAccount, session: &Session) {
        let counts: Arc<AccountCounts> = self.memory.metrics.account(account.name.as_str());
        counts.sessions.add_one(match session.is_snapshot() {
            false => "opened",
            true => "opened_snapshot",
        });
    }
}
