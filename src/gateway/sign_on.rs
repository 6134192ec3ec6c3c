//! At the callback's host: another host asks for a visitor's session, or another
//! gateway for who a visitor is.
//!
//! Holds always: nothing is given but to a host that has routes of the account, or
//! to an origin that is listed for the client, by an address that opens there alone;
//! whoever has no session here goes to WeChat as any visitor does, and comes back to
//! this very ask. Whoever's browser cannot use the account gets a page and is sent
//! back by no redirect: the host that asked may take it for another browser, and
//! would ask again. Where the ask is for who pays, no session here counts, and none
//! stays.

use std::sync::Arc;

use super::browser::open_in;
use super::{Gateway, Visit};
use crate::access_log::Way;
use crate::callback::{Asking, Refused, Unasked};
use crate::endpoints;
use crate::limits::Step;
use crate::login::{self, Opens};
use crate::origin::{Host, ReturnTo};
use crate::reply::{Onward, Page, Reply, Trouble};
use crate::request::{Asked, Kind};
use crate::session::Carried;
use crate::signon::Named;
use crate::wechat::Browser;

impl Gateway {
    /// `sign-on?ask=`: a ticket for whoever has a session, WeChat for the rest.
    pub(super) fn sign_on(&self, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let query = asked.query.unwrap_or_default();
        if let Some(answer) = self.try_out(query, asked, visit) {
            return answer;
        }
        let asks = self.callbacks.ask(query, &asked.host, visit.now_ms);
        let asking = match asks {
            // A picture or a script is no visitor.
            Ok(_) if asked.kind() != Kind::Navigation => {
                visit.log.decided(Way::Refused, "no_navigation");
                return self.page(Trouble::BadRequest, asked, &ReturnTo::root(), visit);
            }
            Ok(found) => found,
            Err(unasked) => {
                visit.log.decided(Way::Refused, unasked.reason());
                return match unasked {
                    Unasked::Late(host) => late(&self.home_of(&host), visit),
                    Unasked::Client(refused) => self.refuse_client(&refused, asked, visit),
                    Unasked::Forged | Unasked::Elsewhere => {
                        self.page(Trouble::BadRequest, asked, &ReturnTo::root(), visit)
                    }
                };
            }
        };
        let Asking { ask, account, .. } = &asking;
        visit.account = Some(Arc::clone(account));
        let mut need = ask.need;
        let read = || {
            let lines = asked.cookie_lines();
            let found = (self.sessions).read(lines, &asked.host, account, visit.now);
            found.ok()
        };
        // Beside another host's session goes who is there now, and nobody who once was.
        let found = if ask.fresh { None } else { read() };
        if let Some(Carried { session, renew, .. }) = found {
            // Should its tokens be gone, its host asks again, instead of it.
            if ask.is_met_by(&session) {
                let counts = asking.client.is_some();
                let page = counts
                    .then(|| self.too_often(Step::Start, asked, &self.way_back(asked), visit));
                if let Some(page) = page.flatten() {
                    return page;
                }
                let cookie = renew.then(|| self.sessions.write(&session, account, visit.now));
                let reply = match self.callbacks.ticket(&asking, session, visit.now_ms) {
                    Ok(address) => Reply::redirect(&address),
                    Err(_) => return self.no_randomness(asked, visit),
                };
                visit.log.decided(Way::Endpoint, "ticket_given");
                return match cookie {
                    Some(cookie) => reply.with_cookie(&cookie),
                    None => reply,
                };
            }
            need = need.keeping(session.has());
        }
        let browser = account.wechat.kind().browser();
        let any = ask.outside && browser == Browser::WeChat;
        if asked.browser() != browser && !any {
            // An ask that was carried to another browser, or whose host is told of another.
            let trouble = open_in(|one| one == browser);
            visit.log.decided(Way::Refused, trouble.reason());
            return back(&self.home_of_asking(&asking), trouble, visit);
        }
        let start = login::Start {
            host: &asked.host,
            origin: self.routes.origin_of(asked),
            account,
            need,
            instead_of: ask.instead_of,
            opens: match ask.fresh {
                true => Opens::Ticket,
                false => Opens::Session,
            },
            to: self.way_back(asked),
            attempt: ask.attempt,
            route: None,
        };
        self.login(start, asked, visit, "sign_on")
    }

    /// The answer to a client that tries whether it may ask, with nobody along.
    fn try_out(&self, query: &str, asked: &Asked<'_>, visit: &mut Visit) -> Option<Reply> {
        let Named::Client(name) = Named::in_query(query) else {
            return None;
        };
        let answer = (self.callbacks).probed(&name, query, &asked.host, visit.now_ms)?;
        if let Some(page) = self.too_often(Step::Start, asked, &ReturnTo::root(), visit) {
            return Some(page);
        }
        let Ok(answer) = answer else {
            return Some(self.no_randomness(asked, visit));
        };
        visit.log.decided(Way::Endpoint, "client_tried");
        Some(Reply::text(&answer))
    }

    /// A page for a visitor whom another gateway sent here, which may not. It leads
    /// back where that is known to be the client's, and else home.
    fn refuse_client(&self, refused: &Refused, asked: &Asked<'_>, visit: &Visit) -> Reply {
        self.callbacks.complain(refused, &asked.host);
        match refused.back() {
            Some(origin) => late(&ReturnTo::root().on(origin), visit),
            None => self.page(Trouble::ClientRefused, asked, &ReturnTo::root(), visit),
        }
    }

    fn home_of_asking(&self, asking: &Asking) -> String {
        match &asking.client {
            Some(caller) => ReturnTo::root().on(&caller.origin),
            None => self.home_of(&asking.ask.host),
        }
    }

    fn home_of(&self, host: &Host) -> String {
        endpoints::home(host, &self.routes).on(&self.routes.origin(host))
    }

    fn no_randomness(&self, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        visit.log.decided(Way::Refused, "no_randomness");
        self.page(Trouble::Internal, asked, &ReturnTo::root(), visit)
    }
}

/// Not sent back by itself: where two machines' clocks differ, that would go on
/// for ever.
fn late(home: &str, visit: &Visit) -> Reply {
    back(home, Trouble::SignOnFailed, visit)
}

/// A page of `trouble` that leads to `home`, where the ask came from.
fn back(home: &str, trouble: Trouble, visit: &Visit) -> Reply {
    let elsewhere = trouble.leads_elsewhere();
    let page = Page {
        trouble,
        onward: Onward::Again(home),
        address: elsewhere.then_some(home),
        fragment: None,
        retry_after: None,
        errcode: None,
        request_id: visit.request_id.as_str(),
    };
    page.reply()
}
