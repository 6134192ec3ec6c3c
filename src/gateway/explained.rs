//! What becomes of a request, told without doing it.
//!
//! Holds always: it is what `decide` and those who carry its decisions out say
//! themselves, never a second opinion; nobody is asked, neither WeChat nor an app:
//! where the next step would be to ask, that is what is told.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use super::answer::refuse_unread;
use super::decide::{Decision, Permit};
use super::{Gateway, Visit};
use crate::access_log::Way;
use crate::endpoints::Endpoint;
use crate::origin::Host;
use crate::reply::Reply;
use crate::request::{self, Asked};
use crate::route::{Decided, LoginAccount, Route};
use crate::session::{Examined, ExaminedPayer, Now};

/// What becomes of a request.
#[derive(Debug)]
pub struct Explained {
    /// The access log's `way`.
    pub way: &'static str,
    /// And its `reason`.
    pub reason: &'static str,
    /// The host, if the request has one.
    pub host: Option<Host>,
    /// The path without its query.
    pub path: String,
    /// The route that decides, if one does.
    pub route: Option<Arc<Route>>,
    /// What follows.
    pub fate: Fate,
    /// The session cookies that came, by account.
    pub sessions: Vec<(Arc<LoginAccount>, Examined)>,
    /// The cookies that tell who pays, by account.
    pub payers: Vec<(Arc<LoginAccount>, ExaminedPayer)>,
    /// When it was asked, in seconds since 1970.
    pub now: Now,
}

/// What follows a decision.
#[derive(Debug)]
pub enum Fate {
    /// The gateway answers by itself.
    Reply(Reply),
    /// The code would be exchanged at WeChat, once.
    Exchange,
    /// It goes to the app with these headers.
    Forward {
        /// In the order of the wire.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// Whether WeChat may be asked something about the visitor first.
        asks_wechat: bool,
    },
}

impl Gateway {
    /// Explains a request that a client at `peer` sends with `header`, of which
    /// `raw` are the bytes; `secured` by TLS that ends here or not.
    pub async fn explain(
        &self,
        header: &RequestHeader,
        raw: &[u8],
        peer: IpAddr,
        secured: bool,
    ) -> pingora::Result<Explained> {
        let mut visit = Visit::begin(&self.in_flight, self.scheme);
        visit.is_rehearsal = true;
        let scheme = self.scheme_of(secured);
        visit.client = self.trusted_proxies.client(peer, &header.headers, scheme);
        visit.trace = self.trace(&header.headers, &visit);
        let asked = Asked::read(header, raw);
        let (mut route, mut sessions, mut payers) = (None, Vec::new(), Vec::new());
        let (host, path) = match &asked {
            Ok(asked) => (Some(asked.host.clone()), asked.path.to_owned()),
            Err(_) => (None, String::new()),
        };
        let fate = match &asked {
            Err(unreadable) => {
                visit.log.decided(Way::Refused, unreadable.reason());
                Fate::Reply(refuse_unread(*unreadable, &visit))
            }
            Ok(asked) => {
                sessions = self.examined(asked, visit.now);
                payers = self.examined_payers(asked, &sessions, visit.now);
                if let Decided::Route(decides) = self.routes.decide(&asked.host, asked.path)
                    && Endpoint::at(asked.path).is_none()
                    && self.routes.verify_file(asked.path).is_none()
                {
                    route = Some(Arc::clone(decides));
                }
                self.fate(asked, header, secured, &mut visit).await?
            }
        };
        Ok(Explained {
            way: visit.log.way.map_or("none", Way::as_str),
            reason: visit.log.reason,
            host,
            path,
            route,
            fate,
            sessions,
            payers,
            now: visit.now,
        })
    }

    async fn fate(
        &self,
        asked: &Asked<'_>,
        header: &RequestHeader,
        secured: bool,
        visit: &mut Visit,
    ) -> pingora::Result<Fate> {
        if let Some(reply) = self.to_https(asked, &header.headers, secured, visit) {
            return Ok(Fate::Reply(reply));
        }
        let decision = self.decide(asked, visit.now);
        let exchanges = matches!(&decision, Decision::Own(endpoint @ Endpoint::Callback) if endpoint.takes(asked.method()))
            && self.callbacks.would_exchange(asked, visit.now_ms);
        if exchanges {
            visit.log.decided(Way::Callback, "logged_in");
            return Ok(Fate::Exchange);
        }
        if let Some(reply) = self.carry_out(decision, asked, visit).await {
            return Ok(Fate::Reply(self.over(secured, reply)));
        }
        let Some(permit) = visit.permit.take() else {
            return Ok(Fate::Reply(Reply::new(http::StatusCode::BAD_GATEWAY)));
        };
        let mut sent = header.clone();
        let authority = request::authority(header).unwrap_or_default();
        self.prepare(&mut sent, &permit, authority, visit)?;
        let headers = sent.headers.iter();
        Ok(Fate::Forward {
            headers: headers
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            asks_wechat: asks_wechat(&permit),
        })
    }

    fn examined(&self, asked: &Asked<'_>, now: Now) -> Vec<(Arc<LoginAccount>, Examined)> {
        let accounts = self.routes.accounts(&asked.host).into_iter();
        let found = accounts.flat_map(|account| {
            let all = self
                .sessions
                .examine(|| asked.cookie_lines(), &asked.host, account, now);
            all.into_iter()
                .map(|examined| (Arc::clone(account), examined))
        });
        found.collect()
    }
}

impl Gateway {
    fn examined_payers(
        &self,
        asked: &Asked<'_>,
        sessions: &[(Arc<LoginAccount>, Examined)],
        now: Now,
    ) -> Vec<(Arc<LoginAccount>, ExaminedPayer)> {
        let good = |found: &Examined| found.verdict.is_ok() && !found.snapshot;
        let counting = sessions.iter().filter(|(_, found)| good(found));
        // Several accounts' sessions may be there: it counts beside one of them.
        let mains: Vec<_> = (counting.filter_map(|(_, found)| found.verdict.as_ref().ok()))
            .map(|carried| Some(&carried.session))
            .collect();
        let mains = if mains.is_empty() { vec![None] } else { mains };
        let accounts = self.routes.pay_accounts(&asked.host).into_iter();
        let found = accounts.filter_map(|account| {
            let look = |main| {
                let lines = || asked.cookie_lines();
                (self.sessions).examine_payer(lines, &asked.host, account, main, now)
            };
            let all = mains.iter().filter_map(|main| look(*main));
            let best = all.reduce(|best, other| match best.verdict {
                Ok(_) => best,
                Err(_) => other,
            });
            Some((Arc::clone(account), best?))
        });
        found.collect()
    }
}

fn asks_wechat(permit: &Permit) -> bool {
    let asks = |session: &crate::session::Session| !session.is_snapshot();
    permit.route().needs_tokens() && permit.session().is_some_and(asks)
}
