//! What is counted, for operators: requests, logins, WeChat's answers, sessions,
//! and how long apps took.
//!
//! Holds always: a label is a name from `gateway.toml`, a word of the program's,
//! or a number of WeChat's, and never anything that a visitor chose; counters
//! live as long as the process, are known by their label, and do not go back
//! when `gateway.toml` is read anew; a request with a session adds to atomics
//! that its route leads to, without a lock, a hash or memory.
//!
//! What is counted here is read by `admin`, with what can be looked at when
//! somebody asks, and with what `upstream` counts of apps that fail.

mod account;
mod counts;
mod history;
mod route;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};

pub use self::account::AccountCounts;
pub use self::counts::{Counter, Histogram, Spread, Tallied, Tally};
use self::history::History;
pub use self::history::Totals;
pub use self::route::{AppCounts, RouteCounters, RouteCounts, Seat};
use self::route::{DECISIONS, ways};
use crate::access_log::Way;
use crate::wechat::{ApiError, Call, Called, Kind, Observer};

/// How many different errors of WeChat's are told apart for one account.
const ERRORS: usize = 200;

/// Everything that is counted. There is one for as long as the process lives.
#[derive(Debug)]
pub struct Metrics {
    /// When counting began.
    pub started: SystemTime,
    /// Why requests were refused.
    pub refusals: Tally<&'static str>,
    routes: RwLock<BTreeMap<String, Arc<RouteCounts>>>,
    apps: RwLock<BTreeMap<String, Arc<AppCounts>>>,
    accounts: RwLock<BTreeMap<String, Arc<AccountCounts>>>,
    app_ids: RwLock<HashMap<(String, Kind), Arc<AccountCounts>>>,
    durations: [Histogram; DECISIONS],
    wechat: [Histogram; Call::ALL.len()],
    history: Mutex<History>,
    current: RwLock<Arc<RouteCounters>>,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its route's number, if one was found.
    pub route: Option<usize>,
    /// Which way it took.
    pub way: Option<Way>,
    /// Why.
    pub reason: &'static str,
    /// The answer's status; 0 when there was none.
    pub status: u16,
    /// How long it took; `None` for what goes on after its answer began, as a
    /// WebSocket does.
    pub took: Option<Duration>,
}

/// Finds what is called `label` in `table`, or makes it.
fn find<T>(
    table: &RwLock<BTreeMap<String, Arc<T>>>,
    label: &str,
    make: impl FnOnce(String) -> T,
) -> Arc<T> {
    if let Some(found) = table.read().get(label) {
        return Arc::clone(found);
    }
    let mut table = table.write();
    let made = table
        .entry(label.to_owned())
        .or_insert_with(|| Arc::new(make(label.to_owned())));
    Arc::clone(made)
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new() -> Arc<Self> {
        let nowhere = Arc::new(RouteCounts::new(String::new()));
        let current = RouteCounters {
            seats: Vec::new(),
            nowhere: Arc::clone(&nowhere),
        };
        Arc::new(Self {
            started: SystemTime::now(),
            refusals: Tally::default(),
            routes: RwLock::new(BTreeMap::from([(String::new(), nowhere)])),
            apps: RwLock::default(),
            accounts: RwLock::default(),
            app_ids: RwLock::default(),
            durations: Default::default(),
            wechat: Default::default(),
            history: Mutex::default(),
            current: RwLock::new(Arc::new(current)),
        })
    }

    /// The counters for `routes`, which are to be served from now on: each a label
    /// and its app's label, in the order of their numbers.
    pub fn routes(&self, routes: impl IntoIterator<Item = (String, String)>) -> Arc<RouteCounters> {
        let seat = |(route, app): (String, String)| {
            let app = find(&self.apps, &app, AppCounts::new);
            Seat {
                answers: find(&app.answers, &route, |_| Histogram::default()),
                route: find(&self.routes, &route, RouteCounts::new),
                app,
            }
        };
        let counters = Arc::new(RouteCounters {
            seats: routes.into_iter().map(seat).collect(),
            nowhere: find(&self.routes, "", RouteCounts::new),
        });
        *self.current.write() = Arc::clone(&counters);
        counters
    }

    /// The requests of all routes that there ever were, and of none.
    pub fn all_routes(&self) -> Vec<Arc<RouteCounts>> {
        self.routes.read().values().map(Arc::clone).collect()
    }

    /// How long requests took, by way.
    pub fn durations(&self) -> impl Iterator<Item = (&'static str, Spread)> {
        ways().zip(self.durations.iter().map(Histogram::read))
    }

    /// How long WeChat took, by call.
    pub fn answered(&self) -> impl Iterator<Item = (Call, Spread)> {
        Call::ALL
            .into_iter()
            .zip(self.wechat.iter().map(Histogram::read))
    }

    /// Those of the last reading of `gateway.toml`.
    pub fn current(&self) -> Arc<RouteCounters> {
        Arc::clone(&self.current.read())
    }

    /// The account called `name` in `gateway.toml`; `""` where none is known.
    pub fn account(&self, name: &str) -> Arc<AccountCounts> {
        find(&self.accounts, name, |_| AccountCounts::default())
    }

    /// All accounts, by name.
    pub fn accounts(&self) -> Vec<(String, Arc<AccountCounts>)> {
        let accounts = self.accounts.read();
        let pairs = accounts
            .iter()
            .map(|(name, counts)| (name.clone(), Arc::clone(counts)));
        pairs.collect()
    }

    /// All apps.
    pub fn apps(&self) -> Vec<Arc<AppCounts>> {
        self.apps.read().values().map(Arc::clone).collect()
    }

    /// Learns which accounts there are from now on: each a name, its AppID and its
    /// kind. Of several alike the first is taken for them.
    pub fn know_accounts<'a>(&self, accounts: impl IntoIterator<Item = (&'a str, &'a str, Kind)>) {
        let mut app_ids = HashMap::new();
        for (name, app_id, kind) in accounts {
            let counts = self.account(name);
            app_ids.entry((app_id.to_owned(), kind)).or_insert(counts);
        }
        *self.app_ids.write() = app_ids;
    }

    /// The account of this AppID and kind; one without a name where none is known.
    pub fn by_app_id(&self, app_id: &str, kind: Kind) -> Arc<AccountCounts> {
        let known = self.app_ids.read().get(&(app_id.to_owned(), kind)).cloned();
        known.unwrap_or_else(|| self.account(""))
    }

    /// Counts calls of WeChat's api.
    pub fn observer(self: &Arc<Self>) -> Observer {
        let metrics = Arc::clone(self);
        Observer::new(move |called| metrics.called(called))
    }

    fn called(&self, called: &Called<'_>) {
        let account = self.by_app_id(called.app_id.as_str(), called.kind);
        if let Some(took) = called.took {
            for histograms in [&self.wechat, &account.answered] {
                if let Some(histogram) = histograms.get(called.call as usize) {
                    histogram.observe(took);
                }
            }
        }
        let Some(error) = called.error else {
            return;
        };
        let word = match error {
            ApiError::NotSent(_) if called.took.is_none() => "timeout".to_owned(),
            ApiError::NotSent(_) => "connect".to_owned(),
            ApiError::NoAnswer(_) => "http".to_owned(),
            ApiError::Late(_) => "timeout".to_owned(),
            ApiError::Garbled(_) => "unreadable".to_owned(),
            ApiError::Errcode { code, .. } => code.code.to_string(),
        };
        let rest = (called.call, "other".to_owned());
        account.errors.add_one_of(ERRORS, (called.call, word), rest);
    }

    /// Counts a request that has ended.
    pub fn ended(&self, routes: &RouteCounters, ended: Ended) {
        let seat = ended.route.and_then(|route| routes.seat(route));
        let counts = seat.map_or(&*routes.nowhere, |seat| &*seat.route);
        let way = ended.way.map_or(Way::ALL.len(), |way| way as usize);
        let class = match ended.status / 100 {
            class @ 1..=5 => usize::from(class),
            _ => 0,
        };
        if let (Some(requests), Some(responses), Some(durations)) = (
            counts.requests.get(way),
            counts.responses.get(class),
            self.durations.get(way),
        ) {
            requests.add_one();
            responses.add_one();
            if let Some(took) = ended.took {
                durations.observe(took);
            }
        }
        if ended.way == Some(Way::Refused) {
            self.refusals.add_one(ended.reason);
        }
    }

    /// Totals of all requests and logins.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counts in self.routes.read().values() {
            totals.requests += counts.all();
            totals.errors += counts.errors();
        }
        for counts in self.accounts.read().values() {
            let (started, ok, failed) = counts.outcomes();
            totals.started += started;
            totals.ok += ok;
            totals.failed += failed;
        }
        totals
    }

    /// Notes the totals for the minute of `now`.
    pub fn note(&self, now: SystemTime) {
        let totals = self.totals();
        self.history.lock().note(minute(now), totals);
    }

    /// What came in each of the last `count` stretches of `minutes`, until `now`.
    pub fn stretches(&self, now: SystemTime, minutes: u64, count: u64) -> Vec<Totals> {
        self.history.lock().stretches(minute(now), minutes, count)
    }
}

fn minute(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(route: Option<usize>, status: u16) -> Ended {
        Ended {
            route,
            way: Some(Way::Vouched),
            reason: "session",
            status,
            took: Some(Duration::from_millis(2)),
        }
    }

    #[test]
    fn counters_are_known_by_their_label_and_do_not_go_back() {
        let metrics = Metrics::new();
        let routes = |all: &[(&str, &str)]| {
            let owned = |(route, app): &(&str, &str)| ((*route).to_owned(), (*app).to_owned());
            metrics.routes(all.iter().map(owned))
        };
        let first = routes(&[("a/", "one:80"), ("b/", "one:80")]);
        metrics.ended(&first, ended(Some(0), 200));
        metrics.ended(&first, ended(Some(1), 502));
        metrics.ended(&first, ended(None, 404));
        metrics.ended(&first, ended(Some(7), 0));
        first
            .seat(1)
            .unwrap()
            .answers
            .observe(Duration::from_millis(3));
        let second = routes(&[("b/", "two:80"), ("c/", "one:80")]);
        metrics.ended(&second, ended(Some(0), 200));
        let counts = |routes: &RouteCounters, number| {
            let route = &routes.seat(number).unwrap().route;
            (route.label.clone(), route.all(), route.errors())
        };
        assert_eq!(counts(&second, 0), ("b/".to_owned(), 2, 1));
        assert_eq!(counts(&second, 1), ("c/".to_owned(), 0, 0));
        assert_eq!(counts(&first, 0), ("a/".to_owned(), 1, 0));
        assert_eq!(second.nowhere().all(), 2);
        let spreads: Vec<_> = (metrics.apps().iter())
            .map(|app| (app.label.clone(), app.spread().count()))
            .collect();
        assert_eq!(
            spreads,
            [("one:80".to_owned(), 1), ("two:80".to_owned(), 0)]
        );
        let totals = metrics.totals();
        assert_eq!((totals.requests, totals.errors), (5, 1));
    }
}
