//! Several gateways on one account: whether the one that holds the secret would log
//! this one's visitors in, and on that one what its clients' origins are.
//!
//! The other gateway is asked server to server, with an ask that only tries: nobody
//! comes along, and the answer can be read with the client's key alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use reqwest::Client;

use super::origin::{self, is_private, why};
use super::{PATIENCE, Report, client};
use crate::config::{Plan, PlannedAccount};
use crate::origin::{Host, PublicOrigin, PublicScheme};
use crate::route::{Auth, HostPattern, LoginAccount, Need};
use crate::session::Millis;
use crate::signon::{Ask, Binding, ClientAsk, SIGN_ON_PATH, Verdict};
use crate::wechat::State;

/// By how much the clocks may differ before it is told, and before visitors meet it.
const OFF: u64 = 5;
const FAR_OFF: u64 = 25;
/// How long an answer may be: a sealed word.
const MAX_ANSWER: usize = 1024;

/// An account whose secret another gateway holds.
pub(super) struct Look {
    place: String,
    account: Arc<LoginAccount>,
    hosts: Vec<Seen>,
    below: Vec<String>,
}

/// A host whose visitors log in with it.
struct Seen {
    host: Host,
    /// What their browsers may see of it: which, depends on what stands in front.
    origins: Vec<PublicOrigin>,
    look: origin::Look,
}

impl Look {
    pub(super) fn new(planned: &PlannedAccount, plan: &Plan) -> Self {
        let account = &planned.account;
        let mut look = Self {
            place: format!("accounts.{}", account.name.as_str()),
            account: Arc::clone(account),
            hosts: Vec::new(),
            below: Vec::new(),
        };
        for route in &plan.listed {
            let pays = (route.pay_account.as_ref()).is_some_and(|pay| pay.name == account.name);
            if route.auth == Auth::None || !(route.accounts.has(account) || pays) {
                continue;
            }
            match &route.host {
                HostPattern::Below(_) => look.below.push(route.host.to_string()),
                HostPattern::Exact(host) => look.see(host, planned, plan),
            }
        }
        look.below.dedup();
        if let Some(facade) = &plan.facade
            && (facade.accounts().iter()).any(|used| used.name == account.name)
        {
            look.see(&facade.host, planned, plan);
        }
        look
    }

    fn see(&mut self, host: &Host, planned: &PlannedAccount, plan: &Plan) {
        if self.hosts.iter().any(|seen| seen.host == *host) {
            return;
        }
        self.hosts.push(Seen {
            host: host.clone(),
            origins: seen_as(host, plan),
            look: origin::Look::at(plan.routes.origin(host), planned, plan),
        });
    }

    pub(super) async fn examine(self) -> Report {
        let mut report = Report::default();
        let client = match client().build() {
            Ok(client) => client,
            Err(error) => {
                let text = format!("no client can be made ({})", why(error));
                report.bad(&self.place, text);
                return report;
            }
        };
        let Self {
            place,
            account,
            hosts,
            below,
        } = self;
        for seen in hosts {
            if let Some(origin) = listed(&place, &account, &seen, &client, &mut report).await {
                report.0.extend(seen.look.seen_as(origin).examine().await.0);
            }
        }
        for pattern in below {
            report.look(
                "the other gateway's file",
                format!("every host of \"{pattern}\" that visitors come to must stand in origins of this client there, one by one"),
            );
        }
        report
    }
}

/// What browsers may see of `host`: without a port, or with one that is listened on.
fn seen_as(host: &Host, plan: &Plan) -> Vec<PublicOrigin> {
    let scheme = plan.server.public_scheme;
    let plain = plan.server.listen.get_ref().iter().map(|at| at.get());
    let secured = plan.tls.iter().flat_map(|tls| tls.listen.iter().copied());
    let ports: Vec<u16> = match scheme {
        PublicScheme::Http => plain.map(|at| at.port()).collect(),
        PublicScheme::Https => secured.map(|at| at.port()).collect(),
    };
    let mut all: Vec<PublicOrigin> = Vec::new();
    let ports = ports.into_iter().map(Some).chain([None]);
    for origin in ports.map(|port| PublicOrigin::at(scheme, host, port)) {
        if !all.contains(&origin) {
            all.push(origin);
        }
    }
    all
}

/// The first origin of `seen` for which the other gateway would answer.
async fn listed(
    place: &str,
    account: &LoginAccount,
    seen: &Seen,
    client: &Client,
    report: &mut Report,
) -> Option<PublicOrigin> {
    let via = account.wechat.callback_origin().as_str();
    let name = account.via()?.client.as_str();
    for origin in &seen.origins {
        let ours = millis();
        let (verdict, theirs) = match tried(account, origin, client).await {
            Ok(answer) => answer,
            Err(why) => {
                report.bad(format!("{place}.via"), why);
                return None;
            }
        };
        let text = match verdict {
            Verdict::OriginNotListed => continue,
            Verdict::Good => {
                clock(place, via, ours, theirs, report);
                report.good(
                    format!("{place}.via"),
                    format!(
                        "{via} logs visitors of {} in, for its client \"{name}\"",
                        origin.as_str()
                    ),
                );
                return Some(origin.clone());
            }
            Verdict::OtherAccount => format!(
                "{via} has another appid for the account of its client \"{name}\"; expected the same app_id in both files"
            ),
            Verdict::OtherKind => format!(
                "{via} has the account of its client \"{name}\" as one of another kind than \"{}\"; expected the same kind in both files, in the \
                 table with via too",
                account.wechat.kind().name()
            ),
            Verdict::Late => format!(
                "{via} takes an ask of this very moment for too old or for one from the future; let both systems keep their clocks right (NTP)"
            ),
            Verdict::OtherVersion => {
                format!("{via} speaks otherwise; expected the same version of wxgate there")
            }
        };
        report.bad(format!("{place}.via"), text);
        return None;
    }
    let origins: Vec<&str> = seen.origins.iter().map(PublicOrigin::as_str).collect();
    report.bad(
        format!("{place}.via"),
        format!(
            "{via} lists none of {} for its client \"{name}\"; expected in origins of [[accounts.NAME.clients]] there what visitors' browsers \
             show, port included",
            origins.join(", ")
        ),
    );
    None
}

/// What the gateway that holds the secret says to an ask for `origin`.
async fn tried(
    account: &LoginAccount,
    origin: &PublicOrigin,
    client: &Client,
) -> Result<(Verdict, Millis), String> {
    let via = account.via().ok_or("there is no other gateway")?;
    let there = account.wechat.callback_origin().as_str();
    let random = |_| "the system gives no random bytes".to_owned();
    let binding = Binding::of(&State::random(0).map_err(random)?);
    let ask = ClientAsk {
        origin: origin.clone(),
        ask: Ask {
            host: origin.host().clone(),
            account: account.name.as_str().to_owned(),
            app_id: account.wechat.app_id().as_str().to_owned(),
            need: Need::OPENID,
            instead_of: None,
            snapshots: false,
            outside: false,
            fresh: false,
            binding,
            attempt: 0,
            made: millis(),
        },
        kind: account.wechat.kind().name(),
        probe: true,
    };
    let sealed = ask.seal(via).map_err(|error| error.to_string())?;
    let name = via.client.as_str();
    let url = format!("{there}{SIGN_ON_PATH}?client={name}&ask={sealed}");
    let response = (client.get(url).send().await).map_err(|error| {
        format!(
            "{there} does not answer from here ({}); visitors are sent there: expected via to be the account's callback_origin at the gateway \
             that holds its secret",
            why(error)
        )
    })?;
    let status = response.status();
    let answer = read(response).await;
    let verdict = answer.and_then(|text| Verdict::read(via, &binding, &text));
    verdict.ok_or_else(|| match status {
        StatusCode::FORBIDDEN => format!(
            "{there} does not know the client \"{name}\", or has another key for it; expected the name and the key of one of \
             [[accounts.NAME.clients]] there: its log says which it is"
        ),
        status => format!(
            "{there} answers {status}, not as a gateway that this one is a client of; expected via to be the account's callback_origin at a \
             wxgate that has clients"
        ),
    })
}

fn millis() -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Whether the clocks agree: a ticket lives for half a minute by both.
fn clock(place: &str, via: &str, ours: Millis, theirs: Millis, report: &mut Report) {
    let off = ours.abs_diff(theirs) / 1000;
    let which = if ours > theirs { "ahead of" } else { "behind" };
    let text = format!(
        "this machine's clock is {off} s {which} {via}'s, and a ticket from there is good for 30 s; let both systems keep their clocks right (NTP)"
    );
    let place = format!("clock of {place}.via");
    match off {
        0..=OFF => {}
        _ if off < FAR_OFF => report.doubt(place, text),
        _ => report.bad(place, text),
    }
}

async fn read(mut response: reqwest::Response) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some(more) = response.chunk().await.ok()? {
        bytes.extend_from_slice(&more);
        if bytes.len() > MAX_ANSWER {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The origins of an account's clients that whoever is on the way can read along.
pub(super) async fn clients(planned: Arc<LoginAccount>) -> Report {
    let mut report = Report::default();
    for client in planned.clients() {
        let place = format!(
            "accounts.{}.clients ({})",
            planned.name.as_str(),
            client.name.as_str()
        );
        let mut near = true;
        for origin in &client.origins {
            if origin.scheme() == PublicScheme::Http && !is_near(origin.host()).await {
                near = false;
                report.doubt(
                    &place,
                    format!(
                        "{} is http and neither this machine nor a private network: whoever is on the way reads the ticket, and then the session; \
                         expected https",
                        origin.as_str()
                    ),
                );
            }
        }
        if near {
            let count = client.origins.len();
            report.good(
                &place,
                format!("{count} origin(s), none of them http over the internet"),
            );
        }
    }
    report
}

/// Whether `host` is this machine or in a private network, as its name or DNS says.
async fn is_near(host: &Host) -> bool {
    let name = host.as_str();
    if host.is_within("localhost") {
        return true;
    }
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return is_private(&address);
    }
    let looked = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 80))).await;
    match looked {
        Ok(Ok(found)) => {
            let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            !addresses.is_empty() && addresses.iter().all(is_private)
        }
        // Nobody knows it here.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict as How;
    use super::*;

    #[test]
    fn clocks_that_would_make_every_ticket_late_are_told() {
        for (ours, theirs, expected) in [
            (100_000, 100_000, None),
            (105_999, 100_000, None),
            (106_000, 100_000, Some((How::Doubt, "6 s ahead of"))),
            (100_000, 124_999, Some((How::Doubt, "24 s behind"))),
            (125_000, 100_000, Some((How::Bad, "25 s ahead of"))),
            (100_000, 190_000, Some((How::Bad, "90 s behind"))),
        ] {
            let mut report = Report::default();
            clock(
                "accounts.shop",
                "https://w.example",
                ours,
                theirs,
                &mut report,
            );
            let found = report.findings().first();
            assert_eq!(
                found.map(|found| found.verdict),
                expected.map(|(how, _)| how)
            );
            assert!(expected.is_none_or(|(_, text)| found.unwrap().text.contains(text)));
        }
    }
}
