//! What `/status` tells: one picture of now, for people and for programs.
//!
//! Holds always: it tells of the gateway, of accounts, routes and apps by their
//! names in `gateway.toml`, and of no visitor.

use std::collections::HashMap;
use std::time::SystemTime;

use serde::Serialize;

use super::facts::Facts;
use crate::metrics::{AccountCounts, Metrics, Seat, Spread, Tallied, Totals};
use crate::upstream::UpstreamSeen;
use crate::wechat::errcode::Who;
use crate::wechat::{Call, Errcode};

/// How many routes are listed, the busiest first.
const ROUTES: usize = 100;

/// The picture.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    /// Seconds since 1970.
    pub(super) now: u64,
    pub(super) uptime_seconds: u64,
    pub(super) draining: bool,
    pub(super) listeners: Listeners,
    /// What somebody should look at.
    pub(super) attention: Vec<String>,
    pub(super) totals: Counted,
    pub(super) in_flight: usize,
    pub(super) connections: Connections,
    pub(super) routes: Vec<RouteStatus>,
    /// How many more there are.
    pub(super) routes_not_listed: usize,
    pub(super) accounts: Vec<AccountStatus>,
    pub(super) apps: Vec<AppStatus>,
    pub(super) store: StoreStatus,
    pub(super) certificates: Vec<Certificate>,
    pub(super) config: Config,
    pub(super) refusals: Vec<Cause>,
    pub(super) process: Process,
    /// The last hour, a minute each.
    pub(super) hour: Vec<Counted>,
    /// The last day, ten minutes each.
    pub(super) day: Vec<Counted>,
}

/// Where it listens.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listeners {
    /// For visitors, without TLS.
    pub plain: Vec<String>,
    /// For visitors, over TLS.
    pub tls: Vec<String>,
    /// For operators.
    pub admin: Vec<String>,
}

/// Requests and logins.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counted {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) logins_started: u64,
    pub(super) logins_ok: u64,
    pub(super) logins_failed: u64,
}

impl From<Totals> for Counted {
    fn from(totals: Totals) -> Self {
        Self {
            requests: totals.requests,
            errors: totals.errors,
            logins_started: totals.started,
            logins_ok: totals.ok,
            logins_failed: totals.failed,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Connections {
    pub(super) open: usize,
    pub(super) refused_full: u64,
    pub(super) refused_full_for_address: u64,
}

/// How long things took, in seconds; nothing where there were none.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Took {
    pub(super) count: u64,
    pub(super) median: Option<f64>,
    pub(super) p95: Option<f64>,
}

impl From<&Spread> for Took {
    fn from(spread: &Spread) -> Self {
        Self {
            count: spread.count(),
            median: spread.quantile(0.5),
            p95: spread.quantile(0.95),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct RouteStatus {
    pub(super) route: String,
    pub(super) upstream: String,
    pub(super) requests: u64,
    pub(super) refused_4xx: u64,
    pub(super) errors_5xx: u64,
    /// Until the header of the app's answer.
    pub(super) app: Took,
}

/// How often something happened, and why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cause {
    pub(super) cause: String,
    pub(super) count: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct AccountStatus {
    pub(super) account: String,
    pub(super) started: u64,
    pub(super) ok: u64,
    pub(super) failed: Vec<Cause>,
    pub(super) loops_stopped: u64,
    pub(super) callback_duplicates: u64,
    pub(super) circuit_open: bool,
    pub(super) sessions: Vec<Cause>,
    pub(super) wechat: Vec<CallStatus>,
    pub(super) wechat_errors: Vec<WeChatError>,
}

#[derive(Debug, Serialize)]
pub(super) struct CallStatus {
    pub(super) call: &'static str,
    pub(super) took: Took,
}

#[derive(Debug, Serialize)]
pub(super) struct WeChatError {
    pub(super) call: &'static str,
    pub(super) errcode: String,
    pub(super) count: u64,
    /// Seconds since 1970.
    pub(super) last: u64,
    /// What to do about it, where the number is WeChat's.
    pub(super) advice: Option<&'static str>,
    /// Whether only an operator can.
    #[serde(skip)]
    pub(super) is_operators: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct AppStatus {
    pub(super) upstream: String,
    pub(super) took: Took,
    pub(super) errors: Vec<Cause>,
    pub(super) retries: u64,
    pub(super) peers: Vec<PeerStatus>,
}

#[derive(Debug, Serialize)]
pub(super) struct PeerStatus {
    pub(super) peer: String,
    pub(super) up: bool,
    pub(super) ejections: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct StoreStatus {
    /// Why it does not answer, if so.
    pub(super) trouble: Option<String>,
    pub(super) errors: Vec<Cause>,
    pub(super) revocations_known: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    pub(super) hosts: String,
    /// Seconds since 1970.
    pub(super) expires: u64,
    pub(super) days_left: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Config {
    pub(super) applied: u64,
    pub(super) refused: u64,
    /// Seconds since 1970.
    pub(super) served_since: Option<u64>,
    /// Why the last change is not served, if so.
    pub(super) mistake: Option<Mistake>,
    pub(super) waits_for_restart: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Mistake {
    /// Seconds since 1970.
    pub(super) at: u64,
    pub(super) message: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) max_files: Option<u64>,
}

fn seconds(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Those that happened, the most frequent first.
fn causes<W: Into<String>>(counted: impl IntoIterator<Item = (W, u64)>) -> Vec<Cause> {
    let mut all: Vec<Cause> = counted
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| Cause {
            cause: cause.into(),
            count,
        })
        .collect();
    all.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    all
}

fn route(seat: &Seat) -> RouteStatus {
    let class = |wanted| {
        let mut classes = seat.route.classes();
        classes
            .find(|(class, _)| *class == wanted)
            .map_or(0, |(_, count)| count)
    };
    RouteStatus {
        route: seat.route.label.clone(),
        upstream: seat.app.label.clone(),
        requests: seat.route.all(),
        refused_4xx: class("4xx"),
        errors_5xx: class("5xx"),
        app: (&seat.answers.read()).into(),
    }
}

fn app(seen: &UpstreamSeen, spread: Option<&Spread>) -> AppStatus {
    let errors = seen.errors.iter();
    AppStatus {
        upstream: seen.upstream.clone(),
        took: spread.unwrap_or(&Spread::default()).into(),
        errors: causes(errors.map(|(kind, count)| (kind.as_str(), *count))),
        retries: seen.retries,
        peers: (seen.peers.iter())
            .map(|peer| PeerStatus {
                peer: peer.peer.clone(),
                up: peer.up,
                ejections: peer.ejections,
            })
            .collect(),
    }
}

fn wechat_error(((call, errcode), seen): ((Call, String), Tallied)) -> WeChatError {
    let known = errcode.parse().ok().map(|code| Errcode {
        side: call.side(),
        code,
        rid: None,
    });
    let who = known.as_ref().map(|errcode| errcode.meaning().who());
    WeChatError {
        call: call.as_str(),
        errcode,
        count: seen.count,
        last: seconds(seen.last),
        advice: known.as_ref().map(Errcode::advice),
        is_operators: who == Some(Who::Operator),
    }
}

fn account(name: &str, counts: &AccountCounts) -> AccountStatus {
    let (started, ok, _) = counts.outcomes();
    let begun = [
        AccountCounts::STARTED,
        AccountCounts::OK,
        AccountCounts::AGAIN,
    ];
    let outcomes = counts.logins.read().into_iter();
    let mut wechat_errors: Vec<_> = counts
        .errors
        .read_times()
        .into_iter()
        .map(wechat_error)
        .collect();
    wechat_errors.sort_by_key(|error| std::cmp::Reverse(error.count));
    AccountStatus {
        account: name.to_owned(),
        started,
        ok,
        failed: causes(outcomes.filter(|(outcome, _)| !begun.contains(outcome))),
        loops_stopped: counts.loops.get(),
        callback_duplicates: counts.duplicates.get(),
        circuit_open: counts.circuit_is_open(),
        sessions: causes(counts.sessions.read()),
        wechat: (counts.answered())
            .filter(|(_, spread)| spread.count() > 0)
            .map(|(call, spread)| CallStatus {
                call: call.as_str(),
                took: (&spread).into(),
            })
            .collect(),
        wechat_errors,
    }
}

impl Status {
    /// What there is to tell at `now`.
    pub(super) fn of(
        metrics: &Metrics,
        facts: &Facts,
        listeners: &Listeners,
        now: SystemTime,
    ) -> Self {
        metrics.note(now);
        let current = metrics.current();
        let mut routes: Vec<RouteStatus> = current.seats().iter().map(route).collect();
        // Those of one number of requests stay as the file has them.
        routes.sort_by_key(|route| std::cmp::Reverse(route.requests));
        let routes_not_listed = routes.len().saturating_sub(ROUTES);
        routes.truncate(ROUTES);
        let used = |name: &String, counts: &AccountCounts| {
            !name.is_empty() || !counts.logins.read().is_empty()
        };
        let accounts = metrics.accounts().into_iter();
        let accounts: Vec<_> = accounts
            .filter(|(name, counts)| used(name, counts))
            .map(|(name, counts)| account(&name, &counts))
            .collect();
        let spreads = metrics.apps().into_iter();
        let spreads: HashMap<_, _> = spreads
            .map(|counts| (counts.label.clone(), counts.spread()))
            .collect();
        let mut apps: Vec<_> = (facts.apps.iter())
            .map(|seen| app(seen, spreads.get(&seen.upstream)))
            .collect();
        apps.sort_by(|one, other| one.upstream.cmp(&other.upstream));
        let reloads = &facts.reloads;
        let counted = |minutes, count| {
            let stretches = metrics.stretches(now, minutes, count).into_iter();
            stretches.map(Counted::from).collect()
        };
        let usage = &facts.usage;
        let mut status = Self {
            version: env!("CARGO_PKG_VERSION"),
            now: seconds(now),
            uptime_seconds: now
                .duration_since(metrics.started)
                .unwrap_or_default()
                .as_secs(),
            draining: facts.draining,
            listeners: listeners.clone(),
            attention: Vec::new(),
            totals: metrics.totals().into(),
            in_flight: facts.in_flight,
            connections: Connections {
                open: facts.connections,
                refused_full: facts.refused_full,
                refused_full_for_address: facts.refused_full_for_address,
            },
            routes,
            routes_not_listed,
            accounts,
            apps,
            store: StoreStatus {
                trouble: facts.store.clone().err(),
                errors: causes(facts.store_errors.iter().copied()),
                revocations_known: facts.revocations_known,
            },
            certificates: (facts.certificates.iter())
                .map(|(hosts, until)| Certificate {
                    hosts: hosts.clone(),
                    expires: seconds(*until),
                    days_left: until.duration_since(now).unwrap_or_default().as_secs() / 86_400,
                })
                .collect(),
            config: Config {
                applied: reloads.applied,
                refused: reloads.refused,
                served_since: reloads.applied_at.map(seconds),
                mistake: (reloads.mistake.as_ref()).map(|(at, message)| Mistake {
                    at: seconds(*at),
                    message: message.clone(),
                }),
                waits_for_restart: reloads.wait_for_restart.clone(),
            },
            refusals: causes(metrics.refusals.read()),
            process: Process {
                cpu_seconds: usage.cpu.map(|cpu| cpu.as_secs_f64()),
                resident_bytes: usage.resident,
                open_files: usage.open_files,
                max_files: usage.max_files,
            },
            hour: counted(1, 60),
            day: counted(10, 144),
        };
        status.attention = status.what_to_look_at();
        status
    }
}
